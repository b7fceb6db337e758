/* collect.h - which objects of one collection may leave the bucket, as a pure state machine.
 *
 * collect_step(state, event) -> one effect. No thread, no clock, no I/O: the shell carries the
 * effect out and brings its outcome as the next event, one at a time. docs/protocol.md, "Collecting
 * garbage", has the protocol and why nothing that is alive is deleted; tests/sim and tests/explore
 * are where it is tried, beside the streams.
 *
 * A run: root, manifests listed and the kept ones read, mark, root, pins listed and read with their
 * manifests, everything listed, grace, then before each batch of deletes the root again. The shell
 * runs nothing of the same collection that publishes between BEGIN and the last listing.
 *
 * Threads    a value; one thread steps it.
 * Ownership  collect_init() makes, collect_fini() frees: what is alive and the plan are on the
 * heap, at most COLLECT_PLAN_MAX names; what is beyond that is the next run's. Time       ages are
 * differences of the store's own clock (date_ns, modified_ns). now_ms (monotonic) only says when to
 * look again. Failure    what may succeed later is asked again, with backoff, COLLECT_TRIES times;
 * everything else ends the run. A run that ends early has lost nothing. */
#ifndef SNAPSHOT_COLLECT_H
#define SNAPSHOT_COLLECT_H

#include "objstore/objstore.h"
#include "segment/manifest.h"
#include "segment/objkey.h"

enum {
    COLLECT_PLAN_MAX = 10000,
    COLLECT_BATCH_MAX = 1000,
    COLLECT_TRIES = 8, /* of one effect */
    COLLECT_REASON_BYTES = 256,
    COLLECT_BACKOFF_MS = 1000, /* doubles up to COLLECT_BACKOFF_MAX_MS */
    COLLECT_BACKOFF_MAX_MS = 60000,
};

/* Broken twins for tests, 0 in production; each must be found by simulator or exploration. */
enum collect_twin {
    COLLECT_TWIN_NO_REVALIDATION = 1, /* deletes without reading the root before a batch */
    COLLECT_TWIN_LOCAL_CLOCK = 2,     /* ages by the node's wall clock */
    COLLECT_TWIN_IGNORE_PINS = 4,
    COLLECT_TWIN_MARK_LAST = 8,    /* the pins are listed before the mark is made */
    COLLECT_TWIN_FORGET_COLD = 16, /* cold segments are not among what a manifest needs */
};
struct collect_options {
    uint8_t collection[16];
    uint8_t session[16]; /* of the stream that owns it */
    uint64_t keep_ms;    /* a manifest that was replaced stays so long */
    uint32_t keep_versions;
    uint64_t grace_ms; /* readers without a pin have so long */
    bool dropped_too;  /* vacuum: else a root that says `dropped` ends the run, nothing deleted */
    uint64_t keep_dropped_ms;
    bool plan_only; /* counts what would go, all of it, and deletes nothing */
    uint32_t batch; /* names between two looks at the root; 1..COLLECT_BATCH_MAX */
    uint32_t twins;
};

enum collect_effect_kind {
    COLLECT_TIMER = 0,     /* a TICK at or after at_ms */
    COLLECT_READ_ROOT,     /* unconditional */
    COLLECT_LIST,          /* one page of `prefix` behind `start_after` ("": from the first) */
    COLLECT_MARK,          /* STREAM_MARK of `revision` */
    COLLECT_READ_PIN,      /* `key` */
    COLLECT_READ_MANIFEST, /* `key`, of `revision` */
    COLLECT_DELETE,        /* plan[first..first + count): each, whatever order; a name that is gone
                            * is fine. Answered once for all: OK, or the worst that came */
    COLLECT_FINISHED,      /* class OK, or why not with `text`; report is complete. After it only
                            * BEGIN does something */
};
struct collect_effect {
    enum collect_effect_kind kind;
    uint64_t at_ms;
    uint64_t revision;
    char prefix[OBJKEY_BYTES], start_after[OBJKEY_BYTES], key[OBJKEY_BYTES];
    size_t first, count;
    enum objstore_class class;
    const char *text; /* borrowed until the next step */
};

enum collect_event_kind {
    COLLECT_TICK = 0,
    COLLECT_BEGIN,  /* a run, when none is under way */
    COLLECT_STOP,   /* ends the run: CANCELLED */
    COLLECT_ANSWER, /* of the effect that is under way */
    COLLECT_AGAIN,  /* the effect under way is given once more: it was put off */
};
struct collect_event {
    enum collect_event_kind kind;
    uint64_t now_ms;
    uint64_t wall_ns; /* the node's; for a twin alone */
    /* ANSWER: what the effect came to. NOT_FOUND of a pin, again and again: it was taken
     * back meanwhile. */
    enum objstore_class class;
    const char *text;
    uint64_t date_ns;                     /* the store's clock when it answered; 0: not told */
    uint64_t retry_after_ms;              /* its wish */
    const struct root *root;              /* READ_ROOT */
    const struct pin *pin;                /* READ_PIN, decoded */
    const struct manifest *body;          /* READ_MANIFEST, decoded */
    const struct objstore_entry *entries; /* LIST */
    size_t entry_count;
    bool truncated;
};

enum collect_step_kind { /* where a run is */
                         COLLECT_AT_REST = 0,
                         COLLECT_AT_ROOT,      /* whose is it */
                         COLLECT_AT_MANIFESTS, /* listing them */
                         COLLECT_AT_KEPT,      /* reading one that is kept */
                         COLLECT_AT_MARK,
                         COLLECT_AT_MARKED, /* the root again */
                         COLLECT_AT_PINS,
                         COLLECT_AT_PIN,
                         COLLECT_AT_PINNED, /* reading the manifest of one */
                         COLLECT_AT_ALL,
                         COLLECT_AT_CHECK, /* behind the grace: the root, before a batch */
                         COLLECT_AT_DELETE,
};
const char *collect_step_name(enum collect_step_kind at); /* "rest", "root", ... */

struct collect_place { /* of a group; (0, 0) before all, (UINT64_MAX, UINT64_MAX) behind all */
    uint64_t epoch, seq;
};
struct collect_span { /* groups that are needed, both ends counted */
    struct collect_place from, to;
};
struct collect_manifest { /* in the bucket, or named by a pin */
    uint64_t revision;
    uint8_t uuid[16];
    uint64_t modified_ns;
    bool kept;   /* the root's, or one before it that is young enough */
    bool pinned; /* by a pin */
    bool read;
    uint64_t parent_revision; /* this and the next: once it is read */
    struct collect_place floor;
};
struct collect_pin {
    uint8_t uuid[16];
    uint64_t manifest_revision; /* 0: none */
    uint8_t manifest_uuid[16];
    struct collect_place to; /* the last group it needs */
};
struct collect_report { /* of the run, complete when it is finished */
    uint64_t mark;      /* it went by */
    uint64_t listed, planned, planned_bytes, deleted;
    uint64_t young, young_bytes; /* of a dropped one whose time has not come */
    uint64_t manifests, pins;    /* kept */
    uint64_t dead_pins;          /* whose manifest is not there: they never held, or it was lost */
    bool more;                   /* there was more than a plan holds */
};
struct collect { /* read by the shell: at, report, plan; changed by collect_step() alone */
    struct collect_options options;
    enum collect_step_kind at;
    struct collect_report report;
    char reason[COLLECT_REASON_BYTES];
    /* the root as it was read last */
    bool dropped;
    uint64_t epoch, gc_mark, manifest_revision;
    uint8_t manifest_uuid[16];
    struct collect_place floor;
    uint64_t open[ROOT_OPEN_MAX];
    size_t open_count;
    struct lineage lineages[ROOT_LINEAGES_MAX];
    size_t lineage_count;
    /* the effect under way */
    char start_after[OBJKEY_BYTES];
    uint32_t failures; /* of it, in a row */
    uint64_t retry_at_ms;
    bool waiting; /* for a tick, then it is asked (again) */
    uint64_t mark;
    uint64_t level; /* revision that was kept last on the way from the root's manifest back */
    uint32_t versions;
    uint64_t listed_at_ns;  /* the store's clock when the manifests were listed */
    bool aged;              /* dropped: long enough ago */
    uint64_t planned_at_ns; /* the store's clock at the end of the last listing */
    size_t next;            /* pin or manifest that is read, name of the plan that is next */
    struct collect_manifest *manifests;
    size_t manifest_count, manifest_room;
    struct collect_pin *pins;
    size_t pin_count, pin_room;
    struct collect_span *spans;
    size_t span_count, span_room;
    uint8_t (*alive)[16]; /* data objects that manifests name; sorted once all are read */
    size_t alive_count, alive_room;
    struct objkey *plan;
    size_t plan_count, plan_room;
    bool out_of_memory;
};
void collect_init(struct collect *c, const struct collect_options *options);
void collect_fini(struct collect *c); /* a zeroed one too */
void collect_step(struct collect *c, const struct collect_event *event, struct collect_effect *out);
/* The key of plan[i]. */
void collect_key(const struct collect *c, size_t i, char out[OBJKEY_BYTES]);

#endif
