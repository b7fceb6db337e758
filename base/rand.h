/* rand.h - randomness as a table of functions: the kernel's, or a seeded sequence for tests.
 *
 * Threads    any, for both. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/clock.h"

struct rand_source {
    void (*fill)(struct rand_source *r, void *out, size_t bytes);
};
struct rand_source *rand_kernel(void); /* static, never freed */

struct rand_seeded {
    struct rand_source source; /* pass &r->source */
    _Atomic uint64_t state;    /* splitmix64 */
};
void rand_seeded_init(struct rand_seeded *r, uint64_t seed);

uint64_t rand_u64(struct rand_source *r);
/* Uniform in [0, bound); bound > 0. */
uint64_t rand_below(struct rand_source *r, uint64_t bound);
/* UUID version 4 and version 7 (RFC 9562; milliseconds of wall time first, so that ids rise). */
void uuid_make_v4(struct rand_source *r, uint8_t out[16]);
void uuid_make_v7(struct rand_source *r, struct clock *c, uint8_t out[16]);
/* Lower case with dashes, 36 characters and a NUL. */
enum { UUID_TEXT_BYTES = 37 };
void uuid_format(const uint8_t uuid[16], char text[UUID_TEXT_BYTES]);
/* With or without dashes, any case, `urn:uuid:` allowed in front. False if it is none. */
NODISCARD
bool uuid_parse(const char *text, size_t bytes, uint8_t out[16]);

#endif
