/* mutate.h - mutators that know where checksums lie and make them right again, so that what is
 * tried is what lies behind them. One try in sixteen leaves them wrong.
 *
 * For LLVMFuzzerCustomMutator(): data holds bytes, has room for bytes_max; the new size is
 * returned. Threads: one. */
#ifndef TESTS_FUZZ_MUTATE_H
#define TESTS_FUZZ_MUTATE_H

#include "segment/container.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t bytes_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed);

/* What begins with the header of docs/formats/frame.md. */
size_t mutate_frame(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed,
                    const char magic[4]);

enum { MUTATE_SECTIONS_MAX = 8 };
struct mutate_section {
    uint16_t section;
    uint16_t flags;
    struct buf bytes;
};
/* After a section was changed: mends what one section says of another. */
typedef void mutate_mend_fn(struct mutate_section *sections, size_t count, const uint8_t owner[16]);
/* A container: one section is changed, left out, renumbered or moved and the whole is written anew;
 * else single bytes are changed and the checksums over them made right. mend may be NULL. */
size_t mutate_container(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed,
                        enum container_kind kind, mutate_mend_fn *mend);

#endif
