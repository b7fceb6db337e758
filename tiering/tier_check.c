/* The local log against the bucket's end T. Where the log still has the records of the last group
 * they are compared one by one, by their digests; where it was trimmed, or begins behind what was
 * loaded from the bucket, the remembered (lsn, chain) stands for what is gone. What cannot be known
 * to be common is called diverged: a letter for too much, never for too little. */
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

bool tier_check_by_hint(struct tier_stream *s, const struct stream_effect *e)
{
    return e->last_lsn != 0 && e->last_lsn == s->ship.hint_lsn && e->chain == s->ship.hint_chain;
}

/* The log ends before T and was not compared: a prefix only as far as the bucket had confirmed. */
static struct verdict ends_before(const struct tier_stream *s, uint64_t durable)
{
    return durable <= s->ship.hint_lsn ? behind() : diverged(s->ship.hint_lsn);
}

static struct verdict without_group(struct tier_stream *s, const struct stream_effect *e)
{
    uint64_t durable = wal_durable_lsn(s->options.wal);

    if (durable < e->last_lsn)
        return tier_check_by_hint(s, e) ? behind() : ends_before(s, durable);
    if (e->last_lsn != 0 && e->last_lsn == s->ship.hint_lsn && e->chain != s->ship.hint_chain)
        return diverged(0);
    return same();
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
    uint64_t durable = wal_durable_lsn(s->options.wal);
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
    status st = ST_OK;

    if (body.data == NULL)
        verdict = without_group(s, e);
    else
        st = with_group(s, e, body, &verdict, &err);
    if (st != ST_OK) {
        event.class = tier_class_of(st);
        event.text = err.text;
    }
    event.local = verdict.local;
    event.lsn = verdict.lsn;
    tier_feed(s, &event);
}
