/* points.h - what both dialects do with documents beyond node.h: conditional and partial writes,
 * filtered reads, scrolling, counting, facets, payload indexes.
 *
 * A collection has vector *fields*, numbered by position from 0 in the order in which it was
 * created with; a document may lack any of them. Positions and names never change.
 *
 * Threads, ownership, failure: as node.h. Filters are bound to the collection (node_filter_bind())
 * and constant; what a filter, a path or a row points to must stay until done() ran. */
#ifndef NODE_POINTS_H
#define NODE_POINTS_H

#include "filter/filter.h"
#include "filter/payload.h"
#include "filter/pindex.h"
#include "node/node.h"

/* --- the schema --- */

enum { NODE_FIELDS_MAX = 64 };
struct field_info {
    const char *name; /* "" for the unnamed one */
    uint32_t dimension;
    int metric; /* enum vmetric */
    uint16_t m, ef_construction, ef_search;
    uint32_t threshold;
    uint8_t quantization; /* 1 + enum vquantization; 0: scalar, or not said */
};
/* Constant as long as the collection is pinned. */
size_t node_field_count(const struct collection *c);
const struct field_info *node_field(const struct collection *c, size_t position);
/* A copy as it is now: its ef_search may change. */
void node_field_now(const struct collection *c, size_t position, struct field_info *out);
int node_field_position(const struct collection *c, struct slice name); /* -1: none */
bool node_string_ids(const struct collection *c);
/* Texts kept with the collection in the catalog: what a restore brings back. The door chooses keys
 * ("qdrant": the body it was created with). ST_NOT_FOUND, ST_NOMEM. */
enum { NODE_SETTING_BYTES_MAX = 65536 };
NODISCARD
status node_setting(struct collection *c, const char *key, struct arena *arena, struct slice *out,
                    struct err *err);
/* value empty: removes it. As node_collection_patch(). */
void node_setting_put(struct node *node, struct collection *c, const char *key, struct slice value,
                      node_admin_fn *done, void *arg);

NODISCARD
status node_filter_bind(struct collection *c, struct filter *f, struct arena *arena,
                        struct err *err);

/* --- payload indexes --- */

enum { NODE_INDEX_SCHEMA_BYTES_MAX = 8192 };
/* The definition goes to the catalog, then the index is built in the background; done() comes when
 * it is built, or has been begun for as long as wait_ms. schema is JSON text, told back as it is.
 */
void node_index_create(struct node *node, struct collection *c, const struct pindex_spec *spec,
                       struct slice schema, uint64_t wait_ms, node_admin_fn *done, void *arg);
void node_index_drop(struct node *node, struct collection *c, const struct path *path,
                     node_admin_fn *done, void *arg);
struct index_info {
    struct slice path, schema; /* in the arena */
    enum pindex_type type;
    enum pindex_state state;
    uint64_t points;
};
NODISCARD
status node_index_list(struct collection *c, struct arena *arena, struct index_info **out,
                       size_t *count, struct err *err);

/* --- writes --- */

enum write_mode { WRITE_UPSERT = 0, WRITE_INSERT_ONLY, WRITE_UPDATE_ONLY };
struct write_options {
    enum node_durability durability; /* 0: the collection's */
    enum write_mode mode;
    const struct filter *update_filter; /* NULL: none. A document that is there and does not match
                                         * stays as it is; new ones are inserted */
    bool only_if;     /* of one row: ST_CONFLICT unless the document's lsn is if_lsn ... */
    uint64_t if_lsn;  /* ... 0: unless there is none */
    uint64_t wait_ms; /* how long to wait for `remote`; 0: the node's */
    bool uncounted;   /* of a delete by ids: nobody asks how many of them were there, so it does not
                       * read what is not in RAM; result->count may be less */
};
/* One record, as node_write(); conditions are held against the very row that is replaced. result
 * counts the documents that were written; none: ST_OK with lsn 0. ST_INVALID: `remote` where there
 * is no bucket. */
void node_write_with(struct collection *c, struct write_row *rows, size_t count,
                     const struct write_options *options, node_write_fn *done, void *arg);

struct selector { /* ids, or those that match at the lsn at which the write is decided */
    const struct docid *ids;
    size_t count;
    const struct filter *filter; /* NULL: ids */
};
/* As node_delete(); by a filter only what matches when its turn has come. */
void node_delete_with(struct collection *c, const struct selector *which,
                      const struct write_options *options, node_write_fn *done, void *arg);

enum change_kind {
    CHANGE_MERGE_PAYLOAD,   /* payload, at */
    CHANGE_REPLACE_PAYLOAD, /* payload */
    CHANGE_DELETE_KEYS,     /* keys */
    CHANGE_CLEAR_PAYLOAD,
    CHANGE_VECTORS,        /* rows: id and vectors; others of the document stay */
    CHANGE_DELETE_VECTORS, /* fields: bit per position */
};
struct change {
    enum change_kind kind;
    struct slice payload;
    const struct path *at; /* NULL: the top */
    const struct path *const *keys;
    size_t key_count;
    struct write_row *rows; /* CHANGE_VECTORS, and no selector */
    size_t row_count;
    uint64_t fields;
};
/* Reads each document, changes it, and logs it whole. From the reading to the logging nobody else
 * writes these ids: other writes to them wait, all in the order in which they came, so nothing is
 * lost between two changes and none is tried again for ever. Ids that are not there: the others are
 * changed, then done() gets ST_NOT_FOUND with "No point with id <id> found" for the first of them.
 *
 * The documents of a request that names them are one record, one lsn, up to 65,536 ids and 24 MiB
 * of what they hold; beyond that, and where a filter chooses (a walk in id order, each document
 * asked again when its turn has come), several records follow each other and readers may see those
 * before. done() has the last lsn then, and a failure says how many were changed before it. No ids:
 * ST_OK with lsn 0. */
void node_change(struct collection *c, const struct selector *which, const struct change *change,
                 const struct write_options *options, node_write_fn *done, void *arg);

/* --- idempotency keys ---
 *
 * A client that does not know what became of a write sends it again under the same key, and is told
 * the first answer instead of writing twice. The door asks before it reads the request's meaning
 * and tells the answer afterwards, both exactly once: who was told IDEMPOTENT_NEW owes the end.
 *
 * Keys are kept in memory for IDEMPOTENT_KEPT_NS, IDEMPOTENT_KEYS_MAX of them and
 * IDEMPOTENT_BYTES_MAX of answers; beyond that the oldest that is answered goes first. A restart
 * forgets them: the write is then done again, which leaves the same documents where it names their
 * ids; a door that makes ids takes node_idempotent_id(), which a restart does not change. */
enum {
    IDEMPOTENT_KEY_BYTES_MAX = 255,
    IDEMPOTENT_SCOPE_BYTES_MAX = 1024,
    IDEMPOTENT_KEYS_MAX = 100000,
    IDEMPOTENT_ANSWER_BYTES_MAX = 16 * 1024, /* one that is longer is forgotten */
    IDEMPOTENT_BYTES_MAX = 64 * 1024 * 1024,
};
#define IDEMPOTENT_KEPT_NS (UINT64_C(24) * 3600 * 1000000000)
enum idempotent_state {
    IDEMPOTENT_NEW,     /* do it, then node_idempotent_end() */
    IDEMPOTENT_KNOWN,   /* answer `code` and `answer` */
    IDEMPOTENT_RUNNING, /* the first is under way: 409 with Retry-After */
    IDEMPOTENT_OTHER,   /* the key came with another request: 422 */
};
struct idempotent {
    enum idempotent_state state;
    uint16_t code;
    struct slice answer; /* in the arena */
    uint8_t name[32];
};
/* scope: what keys are apart for (who asks, which route); request: the bytes that must be the same.
 * ST_INVALID: an empty key, or one over its bound; ST_NOMEM. */
NODISCARD
status node_idempotent_begin(struct node *node, struct slice scope, struct slice key,
                             struct slice request, struct arena *arena, struct idempotent *out,
                             struct err *err);
/* code 0: nothing was done, or nobody knows: the key is forgotten, and the next one is new. */
void node_idempotent_end(struct node *node, const struct idempotent *i, uint16_t code,
                         struct slice answer);
/* The id of the row-th document that the request brings none for; a UUID of version 8. */
struct docid node_idempotent_id(const struct idempotent *i, uint64_t row);

/* --- reads: on the caller's thread; results live in the arena --- */

struct read_limits {
    uint64_t deadline_ns;     /* monotonic; 0: none */
    const _Atomic bool *stop; /* NULL: none */
};
struct read_want {
    bool payload;
    bool external_id; /* without payload; else it comes with it */
    uint64_t vectors; /* bit per field position */
    /* Of node_retrieve() of a collection that waits for the network; others have their own. */
    struct read_limits limits;
};
/* In the order of ids, each once; absent ones are left out. */
NODISCARD
status node_retrieve(struct collection *c, const struct docid *ids, size_t count,
                     const struct read_want *want, struct arena *arena, struct document **out,
                     uint32_t *out_count, struct err *err);

struct scroll {
    const struct filter *filter; /* NULL: all */
    const struct docid *from;    /* the first id to return, or where it would be; NULL: the first */
    uint32_t limit;
    struct read_want want;
    const struct path *order_by; /* NULL: id order */
    bool falling;
    const struct filter_value *start_from; /* of order_by; NULL */
    struct read_limits limits;
};
struct scrolled {
    struct document *documents;
    struct filter_value *order_values; /* one a document with order_by; NULL else */
    uint32_t count;
    bool more;
    struct docid next; /* where the next page begins, if more */
};
/* ST_INVALID: order_by without an integer, float or datetime index on its path. */
NODISCARD
status node_scroll(struct collection *c, const struct scroll *s, struct arena *arena,
                   struct scrolled *out, struct err *err);
/* About how long node_count(), node_scroll() and their like would ask rows for the filter, as if
 * all of a page's rows came last; 0 without a filter. For the queue. */
uint64_t node_select_cost_ns(struct collection *c, const struct filter *filter);
NODISCARD
status node_count(struct collection *c, const struct filter *filter, bool exact,
                  const struct read_limits *limits, struct arena *arena, uint64_t *out,
                  struct err *err);
struct facet_hit {
    struct filter_value value;
    uint64_t count;
};
/* Count falling, then value rising; at most limit. */
NODISCARD
status node_facet(struct collection *c, const struct path *key, const struct filter *filter,
                  uint32_t limit, bool exact, const struct read_limits *limits, struct arena *arena,
                  struct facet_hit **out, uint32_t *count, struct err *err);
/* Random documents, at most count. */
NODISCARD
status node_sample(struct collection *c, const struct filter *filter, uint32_t count,
                   const struct read_want *want, const struct read_limits *limits,
                   struct arena *arena, struct document **out, uint32_t *out_count,
                   struct err *err);

/* node_query() takes these beside its options (query_options.points). */
struct point_query {
    uint32_t field;              /* position */
    const struct filter *filter; /* NULL: all */
    const struct docid *within;  /* only these count, scored exactly; NULL: all */
    size_t within_count;
    const struct docid *without; /* these do not */
    size_t without_count;
    bool has_threshold;
    float threshold;  /* of the score, inclusive */
    uint64_t vectors; /* bit per field position: given back in match.vectors */
};

#endif
