/* The order of ids: a sorted array of all rows and a sorted tail of those published since.
 *
 * Nothing is kept in order while nobody asks: publishing only numbers the row and stamps its block.
 * A page call first collects what was published since the last one, sorts it, and merges it into
 * the tail; when the tail or the dead have become many, tail and array are merged into a new array
 * and the dead are dropped. An order is immutable once published; the old one goes to the epoch, so
 * page calls that still walk it are not disturbed. Queries never come here.
 *
 * What holds: every row published up to order->publishes and live when the order was finished has
 * an entry; whoever finds the order fresh later needs no more. An entry whose row died later must
 * stay for as long as somebody may ask which row has its id now. Two kinds may be dropped. A row
 * that was freed: it died before our guard, so what replaced it was published before, and is
 * listed. And a dead row whose id has no row now, or one that is listed.
 *
 * The page call that makes the order needs more, because rows are replaced while it looks for them:
 * slots_news.c. */
#include "index/slots_internal.h"

enum {
    TAIL_MIN = 1024,   /* entries a tail may have before it is merged, at least; */
    TAIL_DIVISOR = 16, /* and as a share of the array */
    STALE_BITS = 31,   /* after 2^31 publishes all is sorted anew */
};

static size_t run_bytes(size_t capacity)
{
    return sizeof(struct order_run) + capacity * sizeof(struct order_entry);
}

status run_create(size_t capacity, struct order_run **out, struct err *err)
{
    struct order_run *run = mem_alloc(run_bytes(capacity));

    if (run == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the order of ids rows=%zu", capacity);
    run->capacity = capacity;
    run->count = 0;
    *out = run;
    return ST_OK;
}

void run_add(struct order_run *run, const struct order_entry *e)
{
    const struct order_entry *last = run->count > 0 ? &run->entries[run->count - 1] : NULL;

    if (last == NULL || last->slot != e->slot || last->sequence != e->sequence)
        run->entries[run->count++] = *e;
}

static void free_retired(struct epoch_retired *retired)
{
    mem_free(retired); /* the first member of what it frees */
}
static_assert(offsetof(struct order_run, retired) == 0, "free_retired()");
static_assert(offsetof(struct order, retired) == 0, "free_retired()");

static void run_retire(struct slots *s, struct order_run *run)
{
    if (run == NULL)
        return;
    epoch_retire(s->epoch, &run->retired, free_retired);
}

/* Copies the id of a retired row. Its slot may become free at any time, but not while we hold the
 * lock. */
static bool retired_id(const struct slots *s, const struct order_entry *e, struct order_cursor *c)
{
    struct row_store *row = row_at(s, e->slot);
    bool known;

    lock_take(&s->pool->shared.lock);
    known = state_load(s, e->slot) == SLOT_RETIRED && row->sequence == e->sequence;
    if (known) {
        c->id = row_docid(row);
        if (c->id.kind == DOCID_BYTES) {
            memcpy(c->text, c->id.bytes.data, c->id.bytes.bytes);
            c->id.bytes.data = c->text;
        }
    }
    lock_drop(&s->pool->shared.lock);
    return known;
}

/* A row seen live or dead inside our guard stays until we leave. */
static bool entry_id(const struct slots *s, const struct order_entry *e, struct order_cursor *c)
{
    const struct row_store *row = row_at(s, e->slot);

    switch (state_load(s, e->slot)) {
    case SLOT_LIVE:
    case SLOT_DEAD:
        if (row->sequence != e->sequence)
            return false;
        c->id = row_docid(row);
        return true;
    case SLOT_RETIRED:
        return retired_id(s, e, c);
    case SLOT_FREE:
    case SLOT_RESERVED:
    case SLOT_FILLED:
        break;
    }
    return false;
}

void cursor_init(struct order_cursor *c, const struct order_run *run)
{
    static const struct order_run empty;

    c->run = run != NULL ? run : &empty;
    c->at = 0;
}

void cursor_seek(struct order_cursor *c, const struct slots *s, uint32_t at)
{
    for (c->at = at; c->at < c->run->count; c->at++)
        if (entry_id(s, &c->run->entries[c->at], c))
            return;
}

/* Whether an order that lists everything live at `until` still needs the entry under the cursor:
 * see the top. */
static bool entry_needed(const struct slots *s, const struct order_cursor *c, uint64_t until)
{
    const struct order_entry *e = &c->run->entries[c->at];
    uint32_t now;

    if (slots_live(s, e->slot) && row_at(s, e->slot)->sequence == e->sequence)
        return true;
    now = idmap_find(s, &c->id);
    return now != SLOT_NONE && (int32_t)(row_at(s, now)->sequence - (uint32_t)until) > 0;
}

/* Both runs in one. With `clean`, without the dead that nobody will ask for. */
static status runs_merge(struct slots *s, const struct order_run *a, const struct order_run *b,
                         bool clean, uint64_t until, struct order_run **out, struct err *err)
{
    struct order_cursor from[2];
    struct order_run *run = NULL;
    status st;

    cursor_init(&from[0], a);
    cursor_init(&from[1], b);
    st = run_create((size_t)from[0].run->count + from[1].run->count, &run, err);
    if (st != ST_OK)
        return st;
    cursor_seek(&from[0], s, 0);
    cursor_seek(&from[1], s, 0);
    while (!cursor_done(&from[0]) || !cursor_done(&from[1])) {
        bool second = cursor_done(&from[0]) ||
                      (!cursor_done(&from[1]) && docid_compare(&from[1].id, &from[0].id) < 0);
        struct order_cursor *c = &from[second];

        if (!clean || entry_needed(s, c, until))
            run_add(run, &c->run->entries[c->at]);
        cursor_seek(c, s, c->at + 1);
    }
    *out = run;
    return ST_OK;
}

static uint32_t run_count(const struct order_run *run)
{
    return run == NULL ? 0 : run->count;
}

/* How much tail, and how many dead, a main run of this length bears. */
static uint32_t main_slack(const struct order *o)
{
    uint32_t share = run_count(o->main) / TAIL_DIVISOR;

    return share > TAIL_MIN ? share : TAIL_MIN;
}

static bool order_is_fresh(const struct slots *s, const struct order *o)
{
    return o != NULL && o->publishes == atomic_load_explicit(&s->publishes, memory_order_acquire) &&
           atomic_load_explicit(&s->deaths, memory_order_relaxed) - o->main_deaths <= main_slack(o);
}

/* Puts the news into next->tail, and the tail into next->main when it is time. On failure what was
 * made is dropped. */
static status order_merge(struct slots *s, const struct order *now, struct order_run *news,
                          struct order *next, struct err *err)
{
    uint64_t deaths = atomic_load_explicit(&s->deaths, memory_order_relaxed);
    struct order_run *merged;
    status st;

    if (news != NULL && run_count(now->tail) > 0) {
        st = runs_merge(s, now->tail, news, false, 0, &merged, err);
        mem_free(news);
        if (st != ST_OK)
            return st;
        news = merged;
    }
    next->main = now->main;
    next->main_publishes = now->main_publishes;
    next->main_deaths = now->main_deaths;
    next->tail = news != NULL ? news : now->tail;
    if (run_count(next->tail) <= main_slack(now) && deaths - now->main_deaths <= main_slack(now))
        return ST_OK;
    st = runs_merge(s, next->main, next->tail, true, next->publishes, &merged, err);
    mem_free(news);
    if (st != ST_OK)
        return st;
    next->main = merged;
    next->main_deaths = deaths;
    next->tail = NULL;
    return ST_OK;
}

static status order_next(struct slots *s, const struct order *now, struct order **out,
                         struct err *err)
{
    uint64_t publishes = atomic_load_explicit(&s->publishes, memory_order_acquire);
    bool anew = now == NULL || (publishes - now->main_publishes) >> STALE_BITS != 0;
    struct order *next = mem_zero(sizeof *next);
    struct order_run *run = NULL;
    status st;

    if (next == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the order of ids");
    next->main_deaths = atomic_load_explicit(&s->deaths, memory_order_relaxed);
    st = news_run(s, anew ? NULL : &now->publishes, &next->publishes, &run, err);
    next->main_publishes = next->publishes;
    if (st == ST_OK && anew)
        next->main = run;
    else if (st == ST_OK)
        st = order_merge(s, now, run, next, err);
    if (st != ST_OK) {
        mem_free(next);
        return st;
    }
    *out = next;
    return ST_OK;
}

status order_refresh(struct slots *s, const struct order **out, struct err *err)
{
    struct order *now = atomic_load_explicit(&s->order, memory_order_acquire);
    struct order *next;
    status st = ST_OK;

    if (order_is_fresh(s, now)) {
        *out = now;
        return ST_OK;
    }
    lock_take(&s->order_lock);
    now = atomic_load_explicit(&s->order, memory_order_relaxed);
    next = now;
    if (!order_is_fresh(s, now))
        st = order_next(s, now, &next, err);
    if (st == ST_OK && next != now) {
        atomic_store_explicit(&s->order, next, memory_order_release);
        if (now != NULL) {
            if (now->main != next->main)
                run_retire(s, now->main);
            if (now->tail != next->tail)
                run_retire(s, now->tail);
            epoch_retire(s->epoch, &now->retired, free_retired);
        }
    }
    lock_drop(&s->order_lock);
    if (st == ST_OK)
        *out = next;
    return st;
}

void order_free(struct slots *s)
{
    struct order *o = atomic_load_explicit(&s->order, memory_order_relaxed);

    if (o == NULL)
        return;
    mem_free(o->main);
    mem_free(o->tail);
    mem_free(o);
}
