/* import_internal.h - what the task of an import is made of, for those that run one (import.h): the
 * import itself, and whoever else writes documents that come as lines.
 *
 * import_go() steps until nothing can be done: whoever asks first gives import_step() itself, or a
 * step of its own that does other things before and behind it.
 *
 * Threads, ownership: as import.h; an import lives in its request's state. */
#ifndef API_IMPORT_INTERNAL_H
#define API_IMPORT_INTERNAL_H

#include "api/import.h"

enum import_go { IMPORT_ON, IMPORT_WAIT, IMPORT_END };

struct import;
/* Appends what came to out, with JSON_PADDING_BYTES of room behind it. False after import_fail().
 */
typedef bool import_more_fn(struct import *in, struct buf *out, enum upload_end *end);
/* One line that is not blank; false after import_fail(). */
typedef bool import_line_fn(struct import *in, struct slice line, uint64_t number);

struct import {
    struct request *req; /* borrowed */
    struct upload *upload;
    struct import_count count;
    int place; /* in the list of imports; -1: not there */
    struct units units;
    size_t at;           /* of req->body: used up to here */
    uint64_t body_bytes; /* that were used before it */
    uint64_t skip;       /* lines that are passed over */
    uint64_t lines_before;
    uint64_t first_id;
    size_t field; /* that rows are of */
    struct write_options options;
    size_t line_charged; /* of the bound on lines that are not whole */
    enum upload_end end;
    bool read;     /* nothing more is read: all of it was, or some of it is wrong */
    bool failed;   /* a write failed for good: nothing more is written */
    bool remote;   /* so far all batches reached the bucket */
    bool short_of; /* some batch should have, and had not in time */
    /* Who reads other things than the request's body, or other lines than documents; NULL: none. */
    import_more_fn *more;
    import_line_fn *line;
    /* The batch that is filled, behind those under way; oldest first. */
    struct import_batch batches[IMPORT_BATCHES];
    size_t oldest, used;
    struct import_batch *filling;
    /* What it ends with. */
    bool wrong;
    enum problem problem;
    uint64_t bad_line; /* 0: none is to blame */
    char detail[ERR_TEXT_BYTES];
};

/* import_run.c */
/* Its body is read by `format` from here on; req has its upload. */
void import_init(struct import *in, struct request *req, enum units_format format, uint32_t dim);
void import_fini(struct import *in);
uint64_t import_now_ns(const struct import *in);
/* What is wrong with it first is what it ends with; line 0: none is to blame. */
void import_fail(struct import *in, enum problem p, uint64_t line, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* The next line or row (UNITS_UNIT), or how it is with the body; UNITS_BAD after import_fail(). */
enum import_take { IMPORT_TAKE_UNIT, IMPORT_TAKE_SOME, IMPORT_TAKE_WAIT };
enum import_take import_next(struct import *in, struct slice *unit);
/* IMPORT_END: all of it was written, or `wrong` says why not; nothing is under way then. */
enum import_go import_step(struct import *in);
task_state import_go(struct import *in, enum import_go (*step)(struct import *in),
                     task_state (*finish)(struct import *in));

/* import_documents.c: into the batch that is filled; false after import_fail(). */
bool import_take_line(struct import *in, struct slice line, uint64_t number);
bool import_take_floats(struct import *in, struct slice row_bytes, uint64_t number);

#endif
