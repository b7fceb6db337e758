/* qdrant_recover.h - a collection made anew from a snapshot file (docs/qdrant.md, "Recovering"):
 * PUT
 * .../snapshots/recover, from a file of this node, and POST .../snapshots/upload.
 *
 * The file's documents go into a collection of another name, by the machinery of an import; when
 * its last line came and all is as it says, that one takes the place of the collection
 * (node_collection_replace()). Whatever goes wrong before, the other one is dropped and nothing
 * changed.
 *
 * Threads    the task's, but for what node calls back with (RECOVER_CALLED, under the upload's
 * lock). Limits     IMPORTS_MAX at once, one a name. */
#ifndef API_QDRANT_RECOVER_H
#define API_QDRANT_RECOVER_H

#include "api/import_internal.h"
#include "api/multipart.h"
#include "api/qdrant_config.h"
#include "base/crypto.h"

enum {
    RECOVER_HEX = 8, /* digits behind the other name */
    RECOVER_SUFFIX_BYTES = sizeof ".recovering-" - 1 + RECOVER_HEX,
    RECOVER_ASKED_BYTES_MAX = 64 * 1024,
    RECOVER_PIECE_BYTES = 256 * 1024,
};

enum recover_phase {
    RECOVER_ASKED, /* the body of PUT .../recover comes */
    RECOVER_HEAD,  /* the first line */
    RECOVER_SWEEP, /* what earlier ones left is dropped */
    RECOVER_MADE,  /* the new collection is */
    RECOVER_INDEXES,
    RECOVER_DOCUMENTS,
    RECOVER_PLACE, /* it takes the old one's */
    RECOVER_UNDO,  /* it is dropped */
    RECOVER_OVER,
};

struct recover_index {
    struct pindex_spec spec;
    struct slice schema;
};

struct recover {
    struct import in; /* the first member; its request's state */
    enum recover_phase phase;
    bool claimed;
    char name[API_NAME_BYTES_MAX + 1];
    char fresh[API_NAME_BYTES_MAX + 1]; /* what the new one is called until it takes its place */
    struct buf raw;                     /* of the request's body: multipart, or what is asked */
    enum upload_end raw_end;
    bool is_multipart;
    struct multipart multipart;
    struct fs *fs;
    struct fs_file *file; /* NULL: the body is the snapshot */
    uint64_t file_at;
    struct crypto_sum *sum;
    char checksum[CRYPTO_SHA256_HEX_BYTES]; /* wanted; "": none */
    struct qd_create create;
    struct recover_index *indexes;
    size_t index_count, index_at;
    uint64_t documents;
    bool ended; /* the last line came */
    uint64_t documents_said;

    bool waits;  /* for node */
    bool called; /* node has called back; under the upload's lock */
    status st;   /* what it said */
    struct err err;
};

/* --- qdrant_recover_ask.c: each fails the import and returns false on a problem --- */

/* The collection that is meant, by name or alias, and the name that the new one has meanwhile. */
bool recover_take_name(struct recover *r);
bool recover_take_checksum(struct recover *r, const char *where, struct slice text);
/* The body of PUT .../recover; the file is open then. */
bool recover_take_asked(struct recover *r);
/* The first line of the file. */
bool recover_take_head(struct recover *r, struct slice line);
/* import_line_fn: a document, or the last line. */
bool recover_take_line(struct import *in, struct slice line, uint64_t number);
/* All lines came: whether it is whole, and what was asked for. */
bool recover_check_whole(struct recover *r);
/* import_more_fn of the body, and of the file. */
bool recover_more(struct import *in, struct buf *out, enum upload_end *end);
bool recover_is_left(const char *name, const char *other); /* other is what one of name left */

#endif
