/* import.h - what the two ways of `tiervec import` share: a file's rows, another server's points.
 */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "cli/bulk_run.h"

struct import {
    struct bulk_run run;
    bool create, string_ids;
    const char *metric;     /* NULL: not said */
    uint32_t dimension;     /* 0: as the input says */
    const char *url, *from; /* of another server */
    const char *named;      /* --vector */
    uint64_t first_id;
};
/* Looks at the collection, which may be absent with create, and compares what was asked for. */
int import_look(struct import *in);
/* Makes the collection where it is absent, now that rows know its vectors. */
int import_create(struct import *in);
/* Sends the batch, into a collection that is made first where it has to be. */
int import_send(struct import *in);
/* Nothing is left: the rest, the state, the last line. */
int import_end(struct import *in);

/* import_qdrant.c: the points of a collection of a Qdrant-compatible server, by scroll. */
int import_qdrant(struct import *in);

#endif
