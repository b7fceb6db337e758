/* bulk.h - what import and export share: batches of documents on their way to a node, the place
 * from which a run that was cut off goes on, and how far it is.
 *
 * Memory: one batch of text (BULK_BYTES), one answer, one line.
 *
 * The place is kept in a small file beside the data, written anew after each batch that the node
 * has acknowledged: {"source","target","at","count"}. A run that is cut off between the two writes
 * that batch once more, which changes nothing where documents have ids. */
#ifndef CLI_BULK_H
#define CLI_BULK_H

#include "cli/remote.h"

enum {
    BULK_BATCH = 1000,             /* documents a request, unless asked otherwise */
    BULK_BATCH_MAX = 10000,        /* what a node takes unless configured otherwise */
    BULK_BYTES = 8 * 1024 * 1024,  /* of documents a request */
    BULK_LINE_BYTES_MAX = 1 << 25, /* of one document */
    BULK_AT_BYTES = 2048,
};

struct place {
    const char *path; /* NULL: none is kept */
    const char *source;
    char target[64];        /* the collection's id */
    char at[BULK_AT_BYTES]; /* JSON: an offset or a cursor; "" at the begin */
    uint64_t count;         /* documents before it */
};
/* Reads it, if it is there, of this source and this target; else at is "". A code. */
int place_load(struct place *p, const char *what);
NODISCARD
int place_save(const struct place *p, const char *what);
void place_remove(const struct place *p); /* the run is whole */

struct bulk {
    struct remote *node;
    const char *what; /* for errors: "import words.ndjson" */
    const char *collection;
    uint64_t batch; /* documents a request */
    struct place place;
    struct buf body;      /* {"documents":[... */
    uint64_t count;       /* in body */
    uint64_t done;        /* acknowledged, those of runs before it included */
    uint64_t begun_ns;    /* monotonic */
    uint64_t shown_ns;    /* when progress was last shown */
    uint32_t dimension;   /* of the collection */
    uint64_t total_bytes; /* of the source; 0: not known */
};
/* Looks at the collection and loads the place. A code. */
int bulk_begin(struct bulk *b);
/* The next document's text is what is put into the buf. */
struct buf *bulk_next(struct bulk *b);
/* After a document: sends when the batch is full. at: JSON of the place behind it; at_bytes: the
 * same in bytes, for progress (0: not known). A code. */
int bulk_put(struct bulk *b, const char *at, uint64_t at_bytes);
/* Sends what is left, forgets the place, says what was done. A code. */
int bulk_end(struct bulk *b);
void bulk_free(struct bulk *b);
/* On a terminal, a few times a second: how far it is. */
void bulk_progress(struct bulk *b, uint64_t at_bytes);

/* A value as JSON again. */
void bulk_put_value(struct buf *out, struct jval v);

/* import_files.c: NDJSON, .npy and .fvecs by the name's end, or as `format` says. A code. */
int import_file(struct bulk *b, const char *path, const char *format);
/* import_qdrant.c: every point of a collection of a server that speaks that dialect. A code. */
int import_qdrant(struct bulk *b, const char *url, const char *from, const char *vector);

#endif
