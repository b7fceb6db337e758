/* ann_vectors.h - full vectors of an index in a file of $TMPDIR (/tmp) that goes away with the
 * program: what `tiervec bench ann --compact` ranks its last candidates on.
 *
 * Threads    one that writes, before any reads; then any. */
#ifndef CLI_ANN_VECTORS_H
#define CLI_ANN_VECTORS_H

#include "base/status.h"

struct ann_vectors {
    int fd; /* -1: none */
    uint32_t dim;
};
NODISCARD
status ann_vectors_open(struct ann_vectors *v, uint32_t dim, struct err *err);
void ann_vectors_close(struct ann_vectors *v);
NODISCARD
status ann_vectors_write(const struct ann_vectors *v, uint32_t number, const float *vector,
                         struct err *err);
/* As struct vvectors has it; arg: a struct ann_vectors. */
NODISCARD
status ann_vectors_read(void *arg, uint32_t number, float *out, struct err *err);

#endif
