/* stream_case.h - a core in a test's hands: every step's effects are kept, every answer is the
 * test's. Asserts by cmocka. */
#ifndef TESTS_STREAM_CASE_H
#define TESTS_STREAM_CASE_H

#include "tiering/stream.h"

enum { CASE_START_MS = 1000, CASE_LOG_MAX = 4096 };

struct stream_case {
    struct stream s;
    struct stream_options options;
    uint64_t now_ms;
    uint64_t steps;                         /* makes nonces */
    struct stream_effects out;              /* of the last step */
    struct stream_effect log[CASE_LOG_MAX]; /* of all since case_forget(), timers left out */
    size_t log_count;
    struct root bucket; /* what the root in the bucket is, as the test wants it */
    char etag[OBJSTORE_ETAG_BYTES];
};
/* Defaults: node "a", rpo 1000 ms, groups of 1000 bytes, 4 in flight, 5 retries, backoff 1000 to
 * 64000 ms. Change c->options before case_open(). */
void case_init(struct stream_case *c);
void case_open(struct stream_case *c, uint64_t durable_lsn, uint64_t hint);
void case_forget(struct stream_case *c);

void case_step(struct stream_case *c, struct stream_event e);
void case_tick(struct stream_case *c, uint64_t after_ms); /* moves the clock, then a tick */
/* Ticks whenever one was asked for, until until_ms have passed or another effect came. */
void case_run(struct stream_case *c, uint64_t ms);
void case_log(struct stream_case *c, uint64_t lsn, uint64_t bytes);

/* The first effect of the kind in the last step; fails the test if there is none. */
const struct stream_effect *case_effect(struct stream_case *c, enum stream_effect_kind kind);
bool case_has(const struct stream_case *c, enum stream_effect_kind kind);
size_t case_count(const struct stream_case *c, enum stream_effect_kind kind); /* since forget */
/* Effects that ask the bucket for something, since forget. */
size_t case_requests(const struct stream_case *c);

/* A root of `node` at epoch 1 in the bucket, with nothing in it. */
void case_bucket(struct stream_case *c, const char *node);
/* Answers the root request of the last step from c->bucket, as a store would. */
void case_answer_root(struct stream_case *c);
void case_fail(struct stream_case *c, const struct stream_effect *effect, enum objstore_class class,
               bool maybe_applied);
/* The chain at lsn in these tests, and a group's answer. */
uint64_t case_chain(uint64_t lsn);
void case_encoded(struct stream_case *c, const struct stream_effect *effect, uint64_t last_lsn,
                  uint64_t bytes);
void case_put(struct stream_case *c, const struct stream_effect *effect, enum objstore_class class);
/* From case_open() with an own root of epoch 1 to OWNED at the root's floor. */
void case_own(struct stream_case *c);
/* The same in one go: nothing in the log, nothing in the bucket, nothing counted. */
void case_owned(struct stream_case *c);
/* A group of records up to lsn goes as far as its PUT, which is kept in *put. */
void case_seal(struct stream_case *c, uint64_t lsn, struct stream_effect *put);
/* Effects are overwritten by the next step: a copy. */
struct stream_effect case_keep(struct stream_case *c, enum stream_effect_kind kind);

#endif
