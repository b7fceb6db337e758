/* hash.h - XXH3 of bytes (libxxhash is met here alone). Not for security. Threads: any. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t bytes, uint64_t seed);
uint64_t hash_u64(uint64_t v); /* mixes well; a bijection */

#endif
