/* explore.h - every state that two nodes, their disks, a bucket, a reader and a collector can come
 * to within bounds. README.md says what a state and a choice are, what is left out and why, and how
 * to read a violation.
 *
 *   explore_main.c     configurations, twins, what is printed
 *   explore_search.c   the states that are known, the frontier, the way back from a violation
 *   explore_choice.c   what may happen next in a state, and doing it
 *   explore_node.c     a node: its disk, its process, the shell that docs/protocol.md asks for
 *   explore_store.c    the bucket, and requests that nobody waits for any more
 *   explore_read.c     the reader
 *   explore_collect.c  the collector
 *   explore_check.c    what must be true in each state
 *   explore_code.c     a state as bytes: what two states have to differ in to be two
 *   explore_decode.c   and back
 *   explore_words.c    the small numbers it is made of
 *   explore_print.c    a choice and a state in words */
#ifndef TESTS_EXPLORE_H
#define TESTS_EXPLORE_H

#include "tiering/stream.h"

#include <stdio.h>

enum {
    EX_NODES = 2,
    EX_LSNS = 3,
    EX_GROUPS = 24,
    EX_DEAD = 12,
    EX_KEPT = 4,
    EX_SPANS = 8,
    EX_PLAN = 12,
    EX_MANIFESTS = 2,
    EX_OPEN = 8,
    EX_LINEAGES = 8,
    EX_REQUESTS = 5, /* of one node: of the root, of taking, of seals */
    EX_CHOICES = 96,
    EX_STATE_BYTES = 2048,
    EX_TEXT = 256,
    EX_NOW_MS = 1000000, /* the time of every step */
};

/* Broken twins of what is not the core, beside enum stream_twin. */
enum {
    EX_TWIN_LOSE_TAIL = 1 << 17,     /* a divergent tail is not kept */
    EX_TWIN_CHECK_REACHES = 1 << 18, /* a log that reaches T is taken for the same */
    EX_TWIN_COLLECT_SHIFT = 20       /* enum collect_twin */
};

struct ex_bounds {
    uint32_t twins;
    uint8_t writes;     /* records, in all */
    uint8_t remote;     /* do they wait for the bucket: 0 no, 1 yes, 2 either */
    uint8_t crashes;    /* of each node */
    bool one_crash;     /* of either node, not of both */
    uint8_t faults;     /* lost answers, 409s and wrong 404s, in all */
    uint8_t takes;      /* takeovers by command, in all */
    uint8_t commits;    /* manifests published, in all */
    uint8_t in_flight;  /* groups of one node */
    uint8_t readers;    /* restores */
    bool pins;          /* they pin */
    uint8_t collectors; /* runs that collect garbage, in all */
    uint8_t batch;      /* deletes between two looks at the root */
    bool apart;         /* effects and answers always apart, and answers lost after effects too */
    uint32_t settle;    /* of so many states one is settled; 0: none is */
};

/* What a log, a manifest or a restore holds: 1, then four bits a record. */
typedef uint16_t ex_code;

struct ex_lineage {
    uint8_t epoch, end_seq;
    ex_code code;
};
struct ex_root { /* struct root without what cannot differ here */
    uint8_t state, revision, epoch;
    uint8_t session; /* ex_session() */
    uint8_t nonce;
    uint8_t nonces; /* bits: who may look for a nonce of theirs among those before */
    uint8_t open_count, lineage_count;
    uint8_t open[EX_OPEN];
    struct ex_lineage lineages[EX_LINEAGES];
    uint8_t floor_epoch, floor_seq;
    ex_code floor_code;
    uint8_t manifest, manifest_revision; /* 0: none */
    uint8_t gc_mark;
};
struct ex_place {
    uint8_t epoch, seq;
};
struct ex_group {
    uint8_t epoch, seq;
    ex_code code;
};
struct ex_manifest { /* what its code stands for is in its segments */
    bool there, named, refused;
    uint8_t revision, parent;
    struct ex_place floor;
    ex_code code;
};

struct ex_request {
    uint64_t token;
    enum stream_effect_kind kind;
    bool applied, conditional;
    uint8_t epoch, seq;        /* PUT_GROUP, READ_GROUP, LIST, COMPARE */
    ex_code code;              /* PUT_GROUP, COMPARE */
    enum objstore_class class; /* applied: the answer */
    bool etag_now;             /* the root it read or wrote is still the bucket's */
    enum stream_local local;   /* CHECK_LOCAL */
    uint8_t lsn;               /* the same */
    struct ex_root root;       /* READ_ROOT, applied, OK */
};

struct ex_node {
    /* the disk */
    ex_code log, hint, hint_before; /* hint_before: the last process's, a crash may find it */
    bool hint_loaded, hint_before_loaded;
    uint8_t log_first; /* records before it were loaded: they are in no log of this node */
    /* what it may still do, and did */
    uint8_t crashes, written, session; /* session: how often it began */
    /* the process */
    struct stream *s;
    bool etag_now, op_etag_now; /* stream.etag, op.etag: still the bucket's */
    uint8_t commit;             /* manifest under way; 0: none */
    struct ex_request req[EX_REQUESTS];
    size_t req_count;
};

struct ex_reader {
    /* LISTED: pins, it knows what */
    enum { READER_AWAY = 0, READER_LIST, READER_LISTED, READER_PINNED, READER_HOLDS } step;
    bool pins;
    uint8_t node; /* pins: in whose process */
    struct ex_root root;
    ex_code need; /* what it must find */
    uint8_t run;  /* of the root's lineages, open epochs and the epoch: which it lists next */
    uint8_t ends[EX_LINEAGES + EX_OPEN + 1]; /* of each run */
};

/* What a state keeps of struct collect. */
struct ex_kept {
    uint8_t revision, id, parent;
    bool kept, pinned, read;
    struct ex_place floor;
};
struct ex_pin {
    uint8_t revision, id;
    struct ex_place to;
};
struct ex_span {
    struct ex_place from, to;
};
struct ex_name { /* manifest 0: a group */
    struct ex_place place;
    uint8_t revision, manifest;
};
struct ex_collector {
    uint8_t at; /* enum collect_step_kind; 0: none runs */
    uint8_t node;
    uint8_t pending; /* bits: deletes of plan[] under way; at the mark: the stream was asked */
    uint8_t epoch, mark, gc_mark, manifest_revision, manifest, level, versions;
    struct ex_place floor;
    uint8_t open_count, lineage_count, manifest_count, pin_count, span_count, plan_count;
    uint8_t open[EX_OPEN];
    struct ex_place lineages[EX_LINEAGES];
    struct ex_kept manifests[EX_KEPT];
    struct ex_pin pins[1];
    struct ex_span spans[EX_SPANS];
    struct ex_name plan[EX_PLAN];
};

struct ex_world {
    const struct ex_bounds *bounds;
    struct ex_root root;
    struct ex_group groups[EX_GROUPS]; /* by epoch, seq */
    size_t group_count;
    struct ex_manifest manifests[EX_MANIFESTS];
    size_t manifest_count;
    struct ex_group dead_groups[EX_DEAD]; /* PUTs under way that nobody waits for */
    size_t dead_group_count;
    struct ex_root dead_roots[EX_DEAD]; /* CASes of the bucket's etag of now, the same */
    size_t dead_root_count;
    struct ex_node node[EX_NODES];
    struct ex_reader reader;
    struct ex_collector collector;
    struct ex_name dead_deletes[EX_DEAD]; /* of a collector that is gone */
    size_t dead_delete_count;
    uint8_t writes, faults, takes, commits, readers, collectors; /* left */
    ex_code remote;    /* the longest that was acknowledged as in the bucket */
    uint16_t lettered; /* bits by record */
    char problem[EX_TEXT];
};

enum ex_choice_kind {
    EX_APPLY = 0, /* progress: a request takes effect */
    EX_ANSWER,
    EX_BOTH,
    EX_LOAD,
    EX_TIMER,
    EX_READ,
    EX_COLLECT,
    EX_DELETE,
    EX_LATE_GROUP, /* from here on what need not happen */
    EX_LATE_ROOT,
    EX_LATE_DELETE,
    EX_LOST,
    EX_CONFLICT,
    EX_MISS,
    EX_WRITE,
    EX_TAKE,
    EX_COMMIT,
    EX_CRASH,
    EX_READER_COMES,
    EX_PIN,
    EX_COLLECTOR_COMES,
};
enum { EX_TIMER_FENCE = 100 };
struct ex_choice {
    uint8_t kind, node, at;
};

/* explore_words.c */
ex_code code_push(ex_code code, uint8_t record);
uint8_t code_lsn(ex_code code);
uint8_t code_record(ex_code code, uint8_t lsn);
ex_code code_upto(ex_code code, uint8_t lsn);
bool code_holds(ex_code code, uint8_t record);
void code_root(const struct root *r, struct ex_root *out);
void code_to_root(const struct ex_root *r, struct root *out);
uint8_t code_session(size_t node, uint8_t incarnation);
size_t code_session_node(uint8_t session); /* EX_NODES: nobody's */
uint8_t code_nonce_bit(uint8_t nonce);     /* in ex_root.nonces */

/* explore_code.c, explore_decode.c */
struct ex_bytes {
    size_t count;
    uint8_t data[EX_STATE_BYTES];
};
/* Canonical: of the state and its mirror image the smaller; true: it was the mirror image. */
bool code_world(const struct ex_world *w, struct ex_bytes *out);
/* Streams are decoded into `streams`. */
void code_read(struct ex_world *w, const struct ex_bounds *bounds, struct stream *streams,
               const uint8_t *data, size_t bytes);

/* explore_store.c */
void store_apply(struct ex_world *w, size_t node, struct ex_request *r);
void store_late_group(struct ex_world *w, size_t at);
void store_late_root(struct ex_world *w, size_t at);
void store_abandon(struct ex_world *w, size_t node, const struct ex_request *r);
void store_forget(struct ex_world *w); /* what waits for ever and cannot have an effect */
const struct ex_group *store_group(const struct ex_world *w, uint8_t epoch, uint8_t seq);

/* explore_node.c */
void node_options(const struct ex_world *w, size_t node, struct stream_options *out);
void node_start(struct ex_world *w, size_t node);
void node_step(struct ex_world *w, size_t node, struct stream_event e);
void node_answer(struct ex_world *w, size_t node, struct ex_request r);
void node_fail(struct ex_world *w, size_t node, size_t at, enum objstore_class class, bool maybe);
void node_write(struct ex_world *w, size_t node, bool remote);
void node_commit(struct ex_world *w, size_t node);
void node_crash(struct ex_world *w, size_t node, bool hint_written);
void node_load(struct ex_world *w, size_t node);
void node_timer(struct ex_world *w, size_t node, uint8_t which);
bool node_takes_writes(const struct ex_node *n);

/* explore_read.c */
void reader_comes(struct ex_world *w);
void reader_pins(struct ex_world *w, size_t node); /* what its node has in the bucket now */
struct ex_place reader_pinned_to(const struct ex_reader *r);
void reader_step(struct ex_world *w);
void reader_forget(struct ex_world *w);
void reader_check(struct ex_world *w); /* a pin that holds keeps everything */
size_t reader_runs(const struct ex_reader *r);

/* explore_collect.c */
void collector_begin(struct ex_world *w, size_t node);
void collector_step(struct ex_world *w);
void collector_marked(struct ex_world *w, enum objstore_class class);
void collector_delete(struct ex_world *w, uint8_t which);
void collector_late(struct ex_world *w, uint8_t which);
void collector_dies(struct ex_world *w);
void collector_forget(struct ex_world *w);
bool collector_may_step(const struct ex_collector *c);
bool collector_lists(const struct ex_collector *c); /* its node publishes nothing meanwhile */
const char *collector_at(const struct ex_collector *c);

/* explore_check.c */
void check_fail(struct ex_world *w, const char *format, ...) PRINTF_LIKE(2, 3);
/* What a restore in one instant would have; false: nothing, and why. */
bool check_content(const struct ex_world *w, ex_code *out, const char **why);
void check_root_change(struct ex_world *w, const struct ex_root *before);
void check_remote(struct ex_world *w, size_t node, uint64_t lsn);
void check_state(struct ex_world *w);
/* Nothing is under way any more. */
void check_quiet(struct ex_world *w);

/* explore_choice.c */
size_t choice_list(const struct ex_world *w, struct ex_choice *out);
bool choice_must(const struct ex_world *w, const struct ex_choice *c);
void choice_do(struct ex_world *w, const struct ex_choice *c);
void choice_print(const struct ex_world *w, const struct ex_choice *c, bool mirrored, FILE *out);
void choice_print_state(const struct ex_world *w, bool mirrored, FILE *out);

/* explore_search.c */
struct ex_result {
    uint64_t states, transitions, deepest, quiet, settled;
    double seconds;
    bool finished, violated;
    char problem[EX_TEXT];
};
void search_run(const struct ex_bounds *bounds, uint64_t states_max, bool quiet,
                struct ex_result *out);
/* A path as a violation prints it, step by step; false: it does not exist, or nothing is wrong. */
bool search_replay(const struct ex_bounds *bounds, const char *path);
/* The very first state: nothing written, a root that an earlier process made. */
void world_begin(struct ex_world *w, const struct ex_bounds *bounds, struct stream *streams);

#endif
