/* import.h - POST .../import: documents of a body of any length, written in batches while it comes.
 *
 * The task cuts the body (units.h), reads documents into the batch that is being filled, and hands
 * full ones to node, IMPORT_BATCHES at most under way. Batches end in any order and are
 * acknowledged in that of the lines: `acknowledged_lines` is a prefix of the body that is in the
 * collection, whatever happens after. Batches that hold a same id are never under way together, so
 * that of a document that comes twice the later line stays.
 *
 * A batch that node refuses for now (full queues, back pressure) is tried again for the time of a
 * request. What is wrong with a line ends the import behind the lines before it, which are written.
 *
 * Threads    the task's, but for what node says of a batch (the commit thread) and struct imports
 *            (any).
 * Limits     IMPORTS_MAX at once, IMPORT_BATCH_ROWS and about IMPORT_BATCH_BYTES of text a batch.
 */
#ifndef API_IMPORT_H
#define API_IMPORT_H

#include "api/units.h"
#include "api/upload.h"

enum {
    IMPORTS_MAX = 16,
    IMPORTS_KEPT = 64, /* of which GET .../import tells, ended ones too */
    IMPORT_BATCHES = 4,
    IMPORT_BATCH_ROWS = 1000,
    IMPORT_BATCH_BYTES = 1024 * 1024,
    IMPORT_TABLE = 4096, /* of a batch's ids: four times as many as rows, a power of two */
};

struct import_count {
    uint64_t lines; /* read so far */
    uint64_t
        acknowledged;  /* lines from the first that are done: in the collection, or passed over */
    uint64_t imported; /* documents among them, without those that were skipped */
    uint64_t lsn;      /* of the last of these */
};

/* --- what GET .../import tells --- */

NODISCARD
struct imports *imports_create(void);
void imports_destroy(struct imports *all); /* accepts NULL */
/* The place of a new one; -1: IMPORTS_MAX are under way. */
int imports_begin(struct imports *all, const struct request *req, uint64_t now_wall_ns);
void imports_note(struct imports *all, int place, const struct import_count *count,
                  uint64_t body_bytes);
/* outcome: "done", or the code of the problem it ended with. */
void imports_end(struct imports *all, int place, const struct import_count *count,
                 const char *outcome, uint64_t now_wall_ns);
/* `[...]`: those of the collection, newest first. */
void imports_print(struct imports *all, struct buf *out, const char *collection_id);

/* Who replaces the collection of this name has it to itself until imports_release(). ST_CONFLICT:
 * somebody else does; ST_LIMIT: IMPORTS_MAX are under way. */
NODISCARD
status imports_claim(struct imports *all, const char *name, struct err *err);
void imports_release(struct imports *all, const char *name);

/* --- batches --- */

enum import_state {
    IMPORT_FREE,
    IMPORT_FILLING,
    IMPORT_WRITING, /* with node */
    IMPORT_ENDED,   /* node has called back */
    IMPORT_LATER,   /* refused for now: to be written again */
    IMPORT_DONE,    /* written; waits for those before it */
};

struct import_batch {
    struct upload *upload; /* borrowed */
    struct request holder; /* what documents are read into: collection, arena, payloads */
    struct write_options options;
    struct write_row *rows;
    size_t *payload_at;
    size_t count;
    size_t bytes;
    uint64_t first_line, last_line;
    uint32_t ids[IMPORT_TABLE]; /* hashes of its ids, 0: none */
    uint64_t refused_ns;        /* monotonic, the first time; 0: not yet */
    uint64_t again_ns;
    uint32_t refusals;

    /* IMPORT_ENDED is set where node calls back, behind what it says; all else by the task. */
    _Atomic enum import_state state;
    status st;
    struct err err;
    struct write_result result;
};

/* Ready for documents; false: out of memory. */
bool import_batch_begin(struct import_batch *b, struct request *req);
void import_batch_free(struct import_batch *b);
/* The row that comes next, zeroed; counted by import_batch_keep(). */
struct write_row *import_batch_row(struct import_batch *b);
void import_batch_keep(struct import_batch *b, size_t bytes, uint64_t line);
bool import_batch_full(const struct import_batch *b);
/* Some id may be in both. */
bool import_batch_shares(const struct import_batch *a, const struct import_batch *b);
void import_batch_write(struct import_batch *b);

#endif
