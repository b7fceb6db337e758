/* vindex.h - the vectors of one field of one collection: planes, exact scan, and the HNSW graph.
 *
 * Rows arrive in three steps: vindex_fill() writes vector and code of an invisible slot;
 * vindex_publish(), with slots_publish() behind it, makes it findable at once, as a pending row
 * that searches scan exactly; vindex_link() moves pending rows into the graph, in parallel, later.
 * Below `threshold` rows nothing is linked and a scan serves. Liveness is not kept here: a search
 * asks `slots`.
 *
 * The graph is HNSW (Malkov and Yashunin 2016, arXiv 1603.09320) with the neighbour choice of its
 * algorithm 4, traversed on an 8-bit code plane and re-ranked on the full f32 plane. Readers never
 * wait: lists are read with relaxed atomics while writers change them. Dead slots are traversed and
 * not returned until vindex_repair() took them out of every list.
 *
 * Metrics    distances rise from best to worst: cosine 1 - dot of unit vectors; dot -dot; l2 the
 * root taken; l1 the sum. Cosine expects vectors normalised by vindex_normalise().
 *
 * Threads    fill any (distinct slots); publish the applier alone; link, repair any background or
 *            worker thread, several link calls at once; search any, inside an epoch guard, with a
 *            scratch of its own; set_ef, set_threshold, numbers any; rebuild_step as repair.
 * Ownership  slots, epoch and budget are borrowed; vectors are copied.
 * Limits     VINDEX_DIM_MAX, VINDEX_K_MAX, VINDEX_EF_MAX, VINDEX_LINKERS_MAX link calls at once.
 *            Memory against the budget. */
#ifndef INDEX_VINDEX_H
#define INDEX_VINDEX_H

#include "index/slots.h"

enum {
    VINDEX_DIM_MAX = 65535,
    VINDEX_K_MAX = 16384,
    VINDEX_EF_MAX = 32768,
    VINDEX_M_MIN = 2,
    VINDEX_M_MAX = 128,
    VINDEX_LINKERS_MAX = 32,
    VINDEX_PENDING_MAX = 2048, /* above the threshold: beyond this many, writers help to link */
};
enum vmetric {
    VMETRIC_COSINE = 1,
    VMETRIC_DOT = 2,
    VMETRIC_L2 = 3,
    VMETRIC_L1 = 4
}; /* on disk, never renumbered */
const char *vmetric_name(enum vmetric m);
NODISCARD
bool vmetric_parse(const char *name, enum vmetric *out);

/* On what a graph is walked and linked. Answers are always ranked on full vectors. */
enum vquantization {
    VQUANT_SCALAR = 0,  /* 8-bit codes */
    VQUANT_NONE = 1,    /* full vectors, no codes */
    VQUANT_BINARY = 2,  /* codes of one bit a component, around a centre learned from rows */
    VQUANT_PRODUCT = 3, /* product quantization */
};                      /* on disk, never renumbered */
const char *vquantization_name(enum vquantization q);
enum { VQUANT_BINARY_ROWS_MIN = 1024 }; /* of an index whose rows are coded so */
/* "none", "scalar", "binary", "product", and "rabitq", another name of binary. */
NODISCARD
bool vquantization_parse(const char *name, enum vquantization *out);
/* ST_INVALID, which names it, for one that no index has. */
NODISCARD
status vquantization_check(enum vquantization q, struct err *err);

/* Where full vectors are kept, if not in RAM: whoever fills a row has put its vector there before.
 * What was read for a slot that nobody reads any more may be overwritten. */
struct vvectors {
    void *arg;
    /* dim floats of a filled slot. Any thread, several at once; waits for a disk, perhaps. */
    status (*read)(void *arg, uint32_t slot, float *out, struct err *err);
};

struct vindex;
struct vindex_options {
    uint32_t dim;
    enum vmetric metric;
    uint16_t m; /* of the first graph, as ef_construction: links a node above layer 0; 2 m on it */
    uint16_t ef_construction;
    uint16_t ef_search;
    enum vquantization quantization; /* binary: none, until a rebuild made its codes */
    uint32_t threshold;              /* rows below which nothing is linked */
    uint64_t seed;                   /* of the level draws */
    struct slots *slots;             /* borrowed */
    struct epoch *epoch;             /* borrowed: the one the readers of slots are in */
    struct mem_budget *budget;
    /* read NULL: in RAM. Else VQUANT_SCALAR is the only quantization; ST_INVALID for others. */
    struct vvectors vectors;
};
NODISCARD
status vindex_create(const struct vindex_options *options, struct vindex **out, struct err *err);
void vindex_destroy(struct vindex *v);

/* Divides by the Euclidean norm (in f64), unless it is 1 as far as floats tell: twice is as once.
 * False, unchanged, for a zero vector. */
bool vindex_normalise(float *v, uint32_t dim);

/* Memory for every slot below slot_end (planes, links, pending queue). ST_NOSPACE, ST_NOMEM. */
NODISCARD
status vindex_reserve(struct vindex *v, uint32_t slot_end, struct err *err);
void vindex_fill(struct vindex *v, uint32_t slot, const float *vector);
/* Of an invisible slot: it has no vector in this field, whatever a write that was refused left. */
void vindex_clear(struct vindex *v, uint32_t slot);
/* Of a filled slot. Never fails. Just before slots_publish(), which makes the row live: a search
 * that finds its predecessor dead must be able to find it. */
void vindex_publish(struct vindex *v, uint32_t slot);
/* Of a filled slot; NULL where full vectors are not in RAM. */
const float *vindex_vector(const struct vindex *v, uint32_t slot);
/* Copies it, wherever it is. */
NODISCARD
status vindex_read(const struct vindex *v, uint32_t slot, float *out, struct err *err);
/* Whether the slot has a vector of this field (below slot_end or not). */
bool vindex_filled(const struct vindex *v, uint32_t slot);

/* Links up to max pending rows, and as many in a graph that is made beside; returns how many. 0:
 * nothing pending, or below the threshold. */
uint32_t vindex_link(struct vindex *v, uint32_t max);
uint32_t vindex_pending(const struct vindex *v);
/* Rows that linking would take now, in the graph that serves and in the one made beside it. */
uint32_t vindex_to_link(const struct vindex *v);
bool vindex_graph_wanted(const struct vindex *v); /* at or above the threshold, or a graph exists */

/* One repair pass over `count` dead slots: every list that names one is rebuilt from what is live
 * around it; the entry point moves if need be. Afterwards no list names them and the caller retires
 * them. Runs beside searches and links (which stop choosing slots that are dead). Waits for epochs:
 * background threads only, outside guards. Stops early with ST_CLOSED when *stop becomes true. */
NODISCARD
status vindex_repair(struct vindex *v, const uint32_t *dead, uint32_t count,
                     const _Atomic bool *stop, struct err *err);

struct vindex_scratch; /* visited marks and pools of one searching thread; grows at need */
NODISCARD
status vindex_scratch_create(struct vindex_scratch **out, struct err *err);
void vindex_scratch_destroy(struct vindex_scratch *scratch);

struct vhit {
    uint32_t slot;
    float distance; /* of the full vectors, as in Metrics above */
};
struct vsearch {
    const float *query; /* dim floats; cosine: normalised, or zero (then every distance is 1) */
    uint32_t k;
    uint32_t ef;              /* 0: the index's own; at least k is used */
    bool exact;               /* scan the full plane */
    const uint64_t *allow;    /* bitmap over slots, or NULL for all live ones */
    uint32_t allow_slots;     /* bits in allow; slots beyond are not allowed */
    const _Atomic bool *stop; /* looked at now and then; NULL for none */
    /* Beside allow: asked of rows that are about to count, perhaps more than once; they are
     * live or were a moment ago. NULL. */
    bool (*check)(void *arg, uint32_t slot);
    void *check_arg;
    uint32_t check_rows; /* about how many rows may count, for the choice of the way */
    const bool *give_up; /* check sets it: the search ends as if stopped; NULL for none */
};
struct vsearch_stats {
    uint32_t visited;   /* graph nodes expanded */
    uint32_t layers;    /* of the graph, passed through from its entry down; 0 without it */
    uint32_t distances; /* code and full distances computed */
    uint32_t scanned;   /* pending or scanned rows */
    bool used_graph;
    /* What was left out and not published during the search is not nearer than this; INFINITY:
     * nothing was. As far as the last hit, or nearer where hits moved away meanwhile. */
    float left_out;
};
/* The k best live, current rows, best first, equal distances by slot; *count <= k. Answers are
 * complete: if k rows match, k come back. ST_NOMEM (scratch), ST_TIMEOUT (*stop became true), what
 * the reading of a vector said. */
NODISCARD
status vindex_search(const struct vindex *v, struct vindex_scratch *scratch,
                     const struct vsearch *s, struct vhit *out, uint32_t *count,
                     struct vsearch_stats *stats, struct err *err);
/* Of the full vectors; the slot is filled. NaN where its vector could not be read. */
float vindex_distance(const struct vindex *v, const float *query, uint32_t slot);
/* Cost of a search in nanoseconds, rough, from counters kept while serving. */
uint64_t vindex_search_cost_ns(const struct vindex *v, const struct vsearch *s);

void vindex_set_ef_search(struct vindex *v, uint16_t ef);
uint16_t vindex_ef_search(const struct vindex *v);
void vindex_set_threshold(struct vindex *v, uint32_t rows);
uint32_t vindex_threshold(const struct vindex *v);
uint64_t vindex_bytes(const struct vindex *v);
struct vindex_sizes { /* in RAM, as charged; together vindex_bytes() */
    uint64_t vectors; /* in full */
    uint64_t codes;   /* of every quantization that is there */
    uint64_t links;   /* of every graph that is there */
};
void vindex_sizes(const struct vindex *v, struct vindex_sizes *out);
uint32_t vindex_linked(const struct vindex *v);
/* Published and not taken out by a repair: dead ones are among them. */
uint32_t vindex_rows(const struct vindex *v);
const char *vindex_kernel(void); /* "avx512vnni", "avx2", "scalar": chosen at start */
/* Tests: use this set of kernels from now on; false if the machine lacks it. */
bool vindex_kernel_choose(const char *name);

/* --- another graph in the place of the one that serves (index/README.md) --- */

struct vgraph { /* with what a graph is made */
    uint16_t m, ef_construction;
    enum vquantization quantization;
};
struct vgraph vindex_graph(const struct vindex *v); /* of the one that serves */
/* Sets memory aside for a rebuild, beyond what one under way has; *added is what this call charged.
 * Until vindex_rebuild_settle(), which says how much of that is not needed after all, no step
 * begins or gives back anything. ST_NOSPACE names the bytes; nothing to settle then. Any thread. */
NODISCARD
status vindex_rebuild_reserve(struct vindex *v, const struct vgraph *want, uint64_t *added,
                              struct err *err);
void vindex_rebuild_settle(struct vindex *v, uint64_t give_back);
/* How often that was settled: asked before the wish for a step is read. */
uint64_t vindex_rebuild_settled(struct vindex *v);
enum vrebuild {
    VREBUILD_NONE,    /* what serves is what is wanted; nothing is set aside */
    VREBUILD_BEGUN,   /* by this call; vindex_link() links it from now on */
    VREBUILD_LINKING, /* not enough is linked yet */
    VREBUILD_DONE,    /* by this call: it serves, the old one is freed */
};
/* What can be done now so that a graph of `want` comes to serve; one that is made for another wish
 * is dropped. Waits for readers: as vindex_repair(), and never beside it (ST_CONFLICT, as while
 * memory is being set aside, and where that was settled behind `settled`: the wish is old then, and
 * what was set aside is for another).
 * VQUANT_BINARY is not begun below VQUANT_BINARY_ROWS_MIN rows: what serves stays meanwhile, as
 * vindex_graph() says, and the step says VREBUILD_NONE where nothing else is to do.
 * ST_NOSPACE, ST_NOMEM: could not begin, nothing changed. ST_INVALID, here and above, for a
 * quantization that no index has. */
NODISCARD
status vindex_rebuild_step(struct vindex *v, const struct vgraph *want, uint64_t settled,
                           enum vrebuild *out, struct err *err);
struct vrebuild_progress { /* of the graph, or the codes before it, that are made */
    struct vgraph made;
    uint32_t linked, pending; /* rows; while codes are made those that have one, and the others */
};
bool vindex_rebuild_shown(const struct vindex *v, struct vrebuild_progress *out); /* false: none */
/* Loading, before the first import and best before the first row: the nodes to come are of a graph
 * made with this, whatever the index was created for. Its quantization stays: links serve with
 * any. Nothing changed unless ST_OK. */
NODISCARD
status vindex_graph_load(struct vindex *v, const struct vgraph *made, struct err *err);

/* The graph as values, for images. Read under a seqlock per node, beside writers. */
struct vnode {
    uint32_t slot;
    uint8_t level;             /* 0..VNODE_LEVEL_MAX */
    uint16_t counts[16];       /* links per level 0..level */
    const uint32_t *links[16]; /* borrowed from the caller's buffer on export */
};
enum { VNODE_LEVEL_MAX = 15 };
/* Inside an epoch guard. Copies one linked node's lists into buffer (>= vindex_node_links_max()
 * u32). False: slot not linked. */
bool vindex_node_export(const struct vindex *v, uint32_t slot, uint32_t *buffer, struct vnode *out);
size_t vindex_node_links_max(const struct vindex *v);
/* Loading, before any reader: of a slot there is room for, whose row may be loaded before or after;
 * a node without a row by the finish is none, and links to what is no node of that level are
 * dropped then. Distinct slots from any thread. ST_CORRUPT for impossible levels, counts or self
 * links. */
NODISCARD
status vindex_node_import(struct vindex *v, const struct vnode *node, struct err *err);
/* After the last import and the last row: picks the entry point; filled slots that were not
 * imported become pending. */
NODISCARD
status vindex_import_finish(struct vindex *v, struct err *err);
/* The same by several threads, each its part of the slots below vindex_slot_end(): all parts of the
 * first before any of the second. */
uint32_t vindex_slot_end(const struct vindex *v);
void vindex_import_rows(struct vindex *v, uint32_t first, uint32_t end);
void vindex_import_links(struct vindex *v, uint32_t first, uint32_t end);

struct vindex_check {
    uint32_t nodes, links, unreachable_live, dead_links, max_level;
};
/* Invariants: no link to a free slot, no self link, no doubles, degrees in bounds, levels right,
 * entry point live or dead but linked. Counts what cannot be reached from the entry on layer 0. No
 * writer may run. ST_CORRUPT with the first breach. */
NODISCARD
status vindex_check(const struct vindex *v, struct vindex_check *out, struct err *err);

#endif
