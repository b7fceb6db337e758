/* json_gen.h - random JSON documents for tests. */
#ifndef TEST_JSON_GEN_H
#define TEST_JSON_GEN_H

#include "base/bytes.h"
#include "base/rand.h"

/* Appends a well-formed document of at most `depth` levels below its root. */
void json_gen(struct buf *b, struct rand_source *r, unsigned depth);

/* The seed of this run: the program's first argument, or a random one. Printed by who fails. */
void json_gen_seed_init(int argc, char **argv);
uint64_t json_gen_seed(void);

#endif
