/* The local log against the bucket's end T: its chain, taken on from what is remembered over its
 * own records, must be the bucket's there (tiering/stream.h, enum stream_local). Only a log that
 * was trimmed and remembers nothing, or that cannot be read in between, is compared with the
 * records of the last group. What cannot be known to be common is called diverged: a letter for too
 * much, never for too little. */
#include "tiering/tier_internal.h"

#include "base/mem.h"

#include <inttypes.h>

struct verdict {
    enum stream_local local;
    uint64_t lsn; /* DIVERGED: the last one known to be common */
};

static struct verdict same(void)
{
    return (struct verdict){STREAM_LOCAL_SAME, 0};
}

static struct verdict behind(void)
{
    return (struct verdict){STREAM_LOCAL_BEHIND, 0};
}

static struct verdict diverged(uint64_t lsn)
{
    return (struct verdict){STREAM_LOCAL_DIVERGED, lsn};
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static struct verdict ahead(void)
{
    return (struct verdict){STREAM_LOCAL_AHEAD, 0};
}

/* A log that was begun behind what came from the bucket may be empty. */
static uint64_t durable_of(const struct tier_stream *s)
{
    uint64_t logged = wal_durable_lsn(s->options.wal);

    return logged > s->ship.told_lsn ? logged : s->ship.told_lsn;
}

/* The log ends before T and was not compared: a prefix only as far as is remembered. */
static struct verdict ends_before(const struct tier_stream *s, uint64_t durable)
{
    return durable <= s->ship.hint_lsn ? behind() : diverged(s->ship.hint_lsn);
}

/* It ended before what is remembered when it was opened: a disk that lied, or an older one. What
 * was written since has lsns that the bucket knows as others, whatever the chain says further on.
 */
static struct verdict lost_its_end(const struct tier_stream *s, uint64_t durable)
{
    uint64_t began = s->ship.core.remote_lsn;

    return durable > began ? diverged(began) : behind();
}

/* ---- by the chain ---- */

struct walk {
    uint64_t next_lsn, chain; /* before next_lsn */
    uint64_t group_lsn;       /* the first of the last group */
    uint64_t group_chain;     /* ours before it */
    bool group_reached;
};

static void walk_to(struct walk *w)
{
    if (w->next_lsn != w->group_lsn)
        return;
    w->group_chain = w->chain;
    w->group_reached = true;
}

static status walk_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct walk *w = arg;

    (void)err;
    w->chain = group_chain(w->chain, lsn, payload);
    w->next_lsn = lsn + 1;
    walk_to(w);
    return ST_OK;
}

/* What lies in the log up to T is the bucket's, or parts from it behind what is remembered, or, at
 * best, at the last group. */
static struct verdict chains_differ(const struct tier_stream *s, const struct stream_effect *e,
                                    const struct walk *w)
{
    bool to_group = e->seq != 0 && w->group_reached && w->group_chain == e->chain_before;

    return diverged(to_group ? w->group_lsn - 1 : s->ship.hint_lsn);
}

/* Where the chain is known. Up to the floor of a root without a base the bucket has nothing: what
 * is there is this log's own, under the chain that was chosen for it. */
static uint64_t known(const struct tier_stream *s, uint64_t *chain)
{
    const struct root *root = &s->ship.core.root;

    if (root->state == ROOT_SWITCHING && root->floor.lsn >= s->ship.hint_lsn) {
        *chain = root->floor.chain;
        return root->floor.lsn;
    }
    *chain = s->ship.hint_lsn != 0 || s->ship.hint_chain != 0
                 ? s->ship.hint_chain
                 : group_chain_start(s->options.collection);
    return s->ship.hint_lsn;
}

/* False: the log cannot be read from there to T. */
static bool by_chain(struct tier_stream *s, const struct stream_effect *e, struct verdict *out)
{
    uint64_t chain, hint = known(s, &chain), end = e->last_lsn;
    struct walk w = {.next_lsn = hint + 1, .chain = chain, .group_lsn = e->first_lsn};
    uint64_t durable = durable_of(s);
    status st = ST_OK;

    if (end < hint && !s->options.hint_loaded) {
        *out = ahead();
        return true;
    }
    if (s->ship.core.remote_lsn < s->ship.hint_lsn) {
        *out = lost_its_end(s, durable);
        return true;
    }
    if (end < hint) {
        *out = diverged(hint);
        return true;
    }
    if (durable < end) {
        *out = ends_before(s, durable);
        return true;
    }
    if (hint != 0 && w.chain == 0) /* an lsn without its chain says nothing */
        return false;
    walk_to(&w);
    if (end > hint)
        st = wal_read(s->options.wal, hint + 1, end, walk_one, &w, NULL);
    if (st == ST_OK && w.next_lsn == end + 1) {
        *out = w.chain == e->chain ? same() : chains_differ(s, e, &w);
        return true;
    }
    /* A gap stands for what cannot be read: there is nothing else it could stand for. */
    if (e->gap && st == ST_CORRUPT && w.group_reached && w.group_chain == e->chain_before) {
        *out = same();
        return true;
    }
    return false;
}

bool tier_check_by_log(struct tier_stream *s, uint64_t token, const struct stream_effect *e)
{
    struct stream_event event = {.kind = STREAM_LOCAL_CHECKED, .token = token};
    struct verdict verdict = diverged(s->ship.hint_lsn);

    if (!by_chain(s, e, &verdict) && e->seq != 0 && !e->gap)
        return false;
    event.local = verdict.local;
    event.lsn = verdict.lsn;
    tier_feed(s, &event);
    return true;
}

/* ---- record by record ---- */

struct comparing {
    uint64_t first_lsn, last_lsn, chain_before;
    uint64_t *chains; /* the bucket's, of first_lsn.. */
    uint64_t chain;   /* ours so far */
    uint64_t next_lsn;
};

static status note_chain(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct comparing *c = arg;

    (void)err;
    c->chain = group_chain(c->chain, lsn, payload);
    c->chains[lsn - c->first_lsn] = c->chain;
    return ST_OK;
}

static status compare_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct comparing *c = arg;

    c->chain = group_chain(c->chain, lsn, payload);
    if (c->chain != c->chains[lsn - c->first_lsn])
        return err_set(err, ST_CONFLICT, "record %" PRIu64 " differs", lsn);
    c->next_lsn = lsn + 1;
    return ST_OK;
}

static status compare_from(struct tier_stream *s, struct comparing *c, uint64_t lsn,
                           struct err *err)
{
    c->next_lsn = lsn;
    c->chain = lsn == c->first_lsn ? c->chain_before : c->chains[lsn - 1 - c->first_lsn];
    return wal_read(s->options.wal, lsn, c->last_lsn, compare_one, c, err);
}

/* The log no longer has the group's first records: what is remembered must be in the group. */
static status compare_trimmed(struct tier_stream *s, struct comparing *c, struct verdict *out,
                              struct err *err)
{
    uint64_t hint = s->ship.hint_lsn;
    status st;

    *out = diverged(least(hint, c->last_lsn));
    if (hint < c->first_lsn || hint >= c->last_lsn)
        return ST_OK;
    if (c->chains[hint - c->first_lsn] != s->ship.hint_chain) {
        *out = diverged(0);
        return ST_OK;
    }
    st = compare_from(s, c, hint + 1, err);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    if (st == ST_CONFLICT) {
        *out = diverged(c->next_lsn - 1);
        return ST_OK;
    }
    *out = c->next_lsn > c->last_lsn ? same() : behind();
    return st;
}

static status compare(struct tier_stream *s, struct comparing *c, struct verdict *out,
                      struct err *err)
{
    uint64_t durable = durable_of(s);
    status st;

    if (durable < c->first_lsn) {
        *out = ends_before(s, durable);
        return ST_OK;
    }
    st = compare_from(s, c, c->first_lsn, err);
    if (st == ST_NOT_FOUND)
        return compare_trimmed(s, c, out, err);
    if (st == ST_CONFLICT) {
        /* Where its very first record differs the histories may have parted before. */
        *out = diverged(c->next_lsn > c->first_lsn ? c->next_lsn - 1
                                                   : least(s->ship.hint_lsn, c->first_lsn - 1));
        return ST_OK;
    }
    *out = c->next_lsn > c->last_lsn ? same() : behind();
    return st;
}

static status with_group(struct tier_stream *s, const struct stream_effect *e, struct slice body,
                         struct verdict *out, struct err *err)
{
    struct group *group = NULL;
    struct comparing c = {0};
    const struct group_head *head;
    status st = group_open(body, s->options.collection, e->epoch, e->seq, &group, err);

    if (st != ST_OK)
        return st;
    head = group_head(group);
    if (head->kind != GROUP_RECORDS || head->last_lsn != e->last_lsn || head->chain != e->chain) {
        st = err_set(err, ST_CORRUPT, "group %" PRIu64 " is not the one that was read before",
                     e->seq);
        goto out;
    }
    c.first_lsn = head->first_lsn;
    c.last_lsn = head->last_lsn;
    c.chain = c.chain_before = head->chain_before;
    c.chains = mem_alloc_array(head->last_lsn - head->first_lsn + 1, sizeof *c.chains);
    if (c.chains == NULL) {
        st = err_set(err, ST_NOMEM, "out of memory to compare a group");
        goto out;
    }
    st = group_each(group, note_chain, &c, err);
    if (st == ST_OK)
        st = compare(s, &c, out, err);
out:
    mem_free(c.chains);
    group_close(group);
    return st;
}

void tier_check(struct tier_stream *s, uint64_t token, const struct stream_effect *e,
                struct slice body)
{
    struct stream_event event = {.kind = STREAM_LOCAL_CHECKED, .token = token};
    struct verdict verdict = {0};
    struct err err;
    status st;

    st = with_group(s, e, body, &verdict, &err);
    if (st != ST_OK) {
        event.class = tier_class_of(st);
        event.text = err.text;
    }
    event.local = verdict.local;
    event.lsn = verdict.lsn;
    tier_feed(s, &event);
}
