/* nfields.h - documents with several vectors, and an exact model of them.
 *
 * A collection of NF_THREE has "image" (3 numbers, l2), the unnamed one (6, cosine) and "sound"
 * (9, dot), in this order; one of NF_NONE has none. A document is a number and a version: its id (a
 * string for each third one), which vectors it has (eight ways, none of them among those), their
 * components and its payload follow. */
#ifndef TESTS_UNIT_NODE_NFIELDS_H
#define TESTS_UNIT_NODE_NFIELDS_H

#include "node/points.h"
#include "tests/unit/node/nbucket.h"

enum { NF_IMAGE = 0, NF_UNNAMED = 1, NF_SOUND = 2, NF_FIELDS = 3, NF_DOCS = 400, NF_TOP = 512 };
enum nf_shape { NF_THREE, NF_NONE };

struct nfmodel { /* version of each document; 0: not there */
    enum nf_shape shape;
    uint32_t versions[NF_DOCS];
    uint32_t version; /* the newest given out */
};

/* Pinned. With what fails: policy MemoryS3 needs a bucket. */
struct collection *nfmake(struct nworld *w, const char *name, enum nf_shape shape,
                          enum node_policy policy);
struct docid nfid(uint32_t doc, char text[16]);
/* Bit per position. */
unsigned nfbits(const struct nfmodel *m, uint32_t doc, uint32_t version);
/* Documents [first, end) anew, in one request; or gone. */
status nfput(struct collection *c, struct nfmodel *m, uint32_t first, uint32_t end,
             struct err *err);
status nfdel(struct collection *c, struct nfmodel *m, uint32_t doc, struct err *err);
/* Everything by id, by list, and by search over each field, exact and through the graph. */
void nfcheck(struct collection *c, const struct nfmodel *m);

#endif
