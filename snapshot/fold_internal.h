/* fold_internal.h - what the files of a fold share.
 *
 * fold.c           the order of things
 * fold_spool.c     rows on the local disk, ids in RAM
 * fold_resolve.c   which rows of segments that stay are dead from now on
 * fold_order.c     which row lies where in the new segment: cells, ids
 * fold_index.c     payload indexes of the new segment
 * fold_write.c     the object, the upload */
#ifndef SNAPSHOT_FOLD_INTERNAL_H
#define SNAPSHOT_FOLD_INTERNAL_H

#include "base/arena.h"
#include "index/cells.h"
#include "segment/cold.h"
#include "snapshot/fold.h"
#include "snapshot/publish_internal.h"
#include "snapshot/vector_file.h"

/* Tests send small parts, and are let in between steps. */
struct fold_tuning {
    struct publish_tuning publish; /* step and arg alone */
    uint32_t part_bytes;           /* of an upload; 0: upload.h's */
    uint32_t index_bytes;          /* entries of payload indexes in RAM; 0: fold_index.c's */
};
NODISCARD
status fold_run_tuned(const struct fold_options *options, const struct manifest *before,
                      const struct fold_tuning *tuning, struct manifest *after,
                      struct fold_report *out, struct err *err);

/* --- fold_spool.c --- */
/* A file that is written from its beginning on, with holes, through a buffer. */
struct spool_file {
    struct fs *fs;
    struct fs_file *file; /* NULL: not opened */
    struct buf pending;
    uint64_t at; /* where pending begins */
};
enum { SPOOL_BUFFER_BYTES = 1024 * 1024 };
NODISCARD
status spool_file_open(struct spool_file *f, struct fs *fs, const char *dir, const char *name,
                       struct err *err);
/* offset: not before what was put last. */
NODISCARD
status spool_file_put(struct spool_file *f, uint64_t offset, const void *data, size_t bytes,
                      struct err *err);
NODISCARD
status spool_file_flush(struct spool_file *f, struct err *err);
void spool_file_close(struct spool_file *f);

struct spool_item {  /* a row, or a tombstone */
    struct docid id; /* bytes in the spool's arena */
    uint64_t lsn;
    uint64_t offset; /* in the file of rows */
    uint64_t fields; /* bit per position: has a vector */
    uint32_t bytes;
    bool tombstone;
    bool gone; /* replaced by something newer: not written */
};
struct spool_field { /* a vector field: vector of item i at i x dim floats */
    struct spool_file file;
    uint32_t dim;
    uint64_t end; /* bytes of the file */
    struct vector_file vectors;
};
struct spool {
    struct fs *fs;
    const char *dir;
    struct spool_item *items;
    uint32_t count, room;
    uint32_t head_count; /* of the head: the first ones */
    uint32_t rows;       /* items that are neither tombstones nor gone */
    uint32_t *table;     /* of the head's items by id: index + 1; a power of two */
    uint32_t table_size, table_used;
    struct arena ids;
    struct spool_file rows_file;
    uint64_t rows_end;
    struct spool_field *fields;
    size_t field_count;
    bool made; /* the folder */
};
NODISCARD
status spool_open(struct spool *s, struct fs *fs, const char *dir,
                  const struct catalog_collection *schema, struct err *err);
void spool_close(struct spool *s); /* removes the folder */
/* Of the head: what has the same id and is older goes; what is newer stays alone. */
NODISCARD
status spool_head_row(struct spool *s, const struct fold_row *row, struct err *err);
NODISCARD
status spool_head_tombstone(struct spool *s, const struct docid *id, uint64_t lsn, struct err *err);
/* Of a merged segment. */
NODISCARD
status spool_cold_row(struct spool *s, const struct fold_row *row, struct err *err);
/* The head's item of an id, or NULL. */
struct spool_item *spool_find(const struct spool *s, const struct docid *id);
void spool_drop(struct spool *s, struct spool_item *item);
/* After the last row: everything can be read. */
NODISCARD
status spool_rewind(struct spool *s, struct err *err);
/* Zeros where the disk failed, which spool_status() says. */
const float *spool_vector(const struct spool *s, size_t field, uint32_t item);
NODISCARD
status spool_status(const struct spool *s, size_t field, struct err *err);
struct spool_blob { /* of a row, in `bytes` */
    uint64_t inserted_at_ns;
    struct slice external_id, payload;
};
NODISCARD
status spool_blob(const struct spool *s, uint32_t item, struct buf *bytes, struct spool_blob *out,
                  struct err *err);

/* --- fold_index.c --- */
/* Entries of payload indexes: 32 MiB of them in RAM, and 64 KiB for each 32 MiB there are. */
struct fold_index;
typedef status fold_pause_fn(void *arg, struct err *err);
/* specs: borrowed; a file in dir. run_bytes: 0 but in tests. */
NODISCARD
status fold_index_open(struct fs *fs, const char *dir, const struct pindex_spec *specs,
                       size_t count, uint32_t run_bytes, struct fold_index **out, struct err *err);
void fold_index_close(struct fold_index *x); /* accepts NULL */
/* Rows with rising ordinals. */
NODISCARD
status fold_index_row(struct fold_index *x, uint32_t ordinal, struct slice payload,
                      struct err *err);
/* After the last row, and the writer's last id. */
NODISCARD
status fold_index_write(struct fold_index *x, struct cold_writer *w, fold_pause_fn *pause,
                        void *arg, struct err *err);

/* --- the fold --- */
struct fold {
    const struct fold_options *options;
    const struct fold_tuning *tuning;
    struct publisher p;
    struct spool spool;
    uint64_t requests;
    uint64_t counted; /* in the budget */
    struct fold_report report;
};
/* The segment at p.now.colds[at], which stays: dead rows it gets from this fold. */
NODISCARD
status fold_resolve(struct fold *f, size_t at, struct err *err);
/* The rows of the spool as a segment in the bucket, added to p.now. */
NODISCARD
status fold_write(struct fold *f, struct err *err);

/* --- fold_order.c --- */
struct fold_field { /* the rows of a vector field */
    struct cells_build build;
    bool built;
    uint32_t rows;
    uint32_t *items; /* by number while cells are made, then by position */
};
struct fold_order { /* which row lies where in a segment */
    const struct spool *s;
    const struct catalog_collection *schema;
    uint32_t rows;
    uint64_t lsn_min, lsn_max;
    enum cold_id_form id_form;
    uint8_t id_bytes;
    uint32_t *by_id, *by_ordinal; /* items */
    uint32_t *ordinal_of;         /* of an item */
    uint32_t *place_of;           /* of an item: block of the id index; NULL: none needs one */
    uint32_t **position_of;       /* of fields but the first, of an item */
    struct fold_field *fields;
    struct cold_field *cold_fields; /* for the writer; arrays are those of the cells */
};
/* The kept rows of a spool, in cells. ST_CORRUPT: an id is there twice. *out is to be freed
 * whatever came. */
NODISCARD
status fold_order_make(const struct spool *s, const struct catalog_collection *schema,
                       uint64_t seed, const _Atomic bool *stop, struct fold_order *out,
                       struct err *err);
void fold_order_free(struct fold_order *o);

#endif
