/* The order of ids: a sorted array of all rows and a sorted tail of those published since.
 *
 * Nothing is kept in order while nobody asks: publishing only numbers the row and stamps its block.
 * A page call first collects what was published since the last one, sorts it, and merges it into
 * the tail; when the tail or the dead have become many, tail and array are merged into a new array
 * and the dead are dropped. An order is immutable once published; the old one goes to the epoch, so
 * page calls that still walk it are not disturbed. Queries never come here.
 *
 * What holds: every row that is live when order_refresh() returns has an entry, or came later. An
 * entry whose row died later must stay for as long as somebody may ask which row has its id now.
 * Two kinds may be dropped. A row that was freed: it died before our guard, so what replaced it was
 * published before, and is listed. And a dead row whose id has no row now, or one that is listed.
 */
#include "index/slots_internal.h"

#include <inttypes.h>

enum {
    TAIL_MIN = 1024,   /* entries a tail may have before it is merged, at least; */
    TAIL_DIVISOR = 16, /* and as a share of the array */
    STALE_BITS = 31,   /* after 2^31 publishes all is sorted anew */
    PREFIX_BYTES = 8,
};

/* One row while it is being sorted: its first bytes spare most looks at the row. */
struct item {
    uint64_t prefix;
    struct order_entry entry;
    uint8_t kind;
};

static uint64_t big_endian(const uint8_t *bytes, size_t count)
{
    uint64_t v = 0;

    for (size_t i = 0; i < PREFIX_BYTES; i++)
        v = v << 8 | (i < count ? bytes[i] : 0);
    return v;
}

static uint64_t id_prefix(const struct docid *id)
{
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        return id->u64;
    case DOCID_UUID:
        return big_endian(id->uuid, sizeof id->uuid);
    case DOCID_BYTES:
        return big_endian(id->bytes.data, id->bytes.bytes);
    }
    return 0;
}

/* The rows of both were live inside our guard. */
static bool item_after(const struct slots *s, const struct item *a, const struct item *b)
{
    struct docid ids[2];

    if (a->kind != b->kind)
        return a->kind > b->kind;
    if (a->prefix != b->prefix)
        return a->prefix > b->prefix;
    ids[0] = row_docid(row_at(s, a->entry.slot));
    ids[1] = row_docid(row_at(s, b->entry.slot));
    return docid_compare(&ids[0], &ids[1]) > 0;
}

static void items_merge(const struct slots *s, const struct item *from, struct item *to,
                        size_t left, size_t right)
{
    size_t a = 0;
    size_t b = left;

    if (right == 0 || !item_after(s, &from[left - 1], &from[left])) { /* ids that rise: as is */
        memcpy(to, from, (left + right) * sizeof *to);
        return;
    }
    for (size_t i = 0; i < left + right; i++) {
        bool take_right = a == left || (b < left + right && item_after(s, &from[a], &from[b]));

        to[i] = take_right ? from[b++] : from[a++];
    }
}

/* Merge sort from below; returns which of the two arrays holds the result. */
static struct item *items_sort(const struct slots *s, struct item *items, struct item *other,
                               size_t count)
{
    for (size_t width = 1; width < count; width *= 2) {
        struct item *swap = items;

        for (size_t at = 0; at < count; at += 2 * width) {
            size_t left = count - at < width ? count - at : width;
            size_t right = count - at - left < width ? count - at - left : width;

            items_merge(s, items + at, other + at, left, right);
        }
        items = other;
        other = swap;
    }
    return items;
}

/* What is newer than `since`, or everything live. */
struct news {
    const struct slots *s;
    uint64_t since;
    uint64_t until;
    bool all;
    struct item *items; /* NULL: only counted */
    size_t count;
    size_t capacity;
};

static bool news_wants(const struct news *n, const struct place *p)
{
    uint8_t state = atomic_load_explicit(&p->piece->states[p->at], memory_order_acquire);

    if (state != SLOT_LIVE)
        return false;
    return n->all ||
           (uint32_t)n->until - p->piece->rows[p->at].sequence < (uint32_t)(n->until - n->since);
}

static void news_add(struct news *n, uint32_t slot, const struct place *p)
{
    if (n->items != NULL && n->count < n->capacity) {
        const struct row_store *row = &p->piece->rows[p->at];
        struct docid id = row_docid(row);

        n->items[n->count] = (struct item){
            .prefix = id_prefix(&id),
            .entry = {.slot = slot, .sequence = row->sequence},
            .kind = id.kind,
        };
    }
    n->count++;
}

/* The end of the stretch that shares a stamp with `slot`: a block, or a piece smaller than that. */
static uint32_t block_end(uint32_t slot)
{
    uint32_t index = small_index(slot);

    if (slot >= UINT32_C(1) << BLOCK_BITS)
        return (slot | ((UINT32_C(1) << BLOCK_BITS) - 1)) + 1;
    return small_base(index) + small_rows(index);
}

static void news_collect(struct news *n)
{
    uint32_t end = slots_end(n->s);
    uint32_t stop;

    n->count = 0;
    for (uint32_t slot = 0; slot < end; slot = stop) {
        struct place p = place_of(n->s, slot);
        uint64_t stamp =
            atomic_load_explicit(&p.piece->stamps[p.at >> BLOCK_BITS], memory_order_relaxed);

        stop = block_end(slot) < end ? block_end(slot) : end;
        if (!n->all && stamp <= n->since)
            continue;
        for (; slot < stop; slot++, p.at++)
            if (news_wants(n, &p))
                news_add(n, slot, &p);
    }
}

enum { ITEM_SORT_BYTES = 2 * sizeof(struct item) };

/* Room for n->capacity items, twice. */
static status news_room(struct news *n, struct err *err)
{
    n->items = mem_alloc_array(n->capacity, ITEM_SORT_BYTES);
    if (n->items == NULL)
        return err_set(err, ST_NOMEM, "out of memory to sort ids rows=%zu", n->capacity);
    mem_overdraw(n->s->budget, n->capacity * ITEM_SORT_BYTES);
    return ST_OK;
}

static void news_free(struct news *n)
{
    if (n->items == NULL)
        return;
    mem_free(n->items);
    mem_release(n->s->budget, n->capacity * ITEM_SORT_BYTES);
    n->items = NULL;
}

/* Collects and sorts; *sorted is n->count items, of n's memory. With `all` more may be published
 * between counting and collecting than the slack holds; then it counts again. */
static status news_sorted(struct news *n, struct item **sorted, struct err *err)
{
    status st;

    *sorted = NULL;
    do {
        news_free(n);
        news_collect(n);
        if (n->count == 0)
            return ST_OK;
        n->capacity = n->count + (n->all ? n->count / 8 + TAIL_MIN : 0);
        st = news_room(n, err);
        if (st != ST_OK)
            return st;
        news_collect(n);
    } while (n->count > n->capacity);
    *sorted = items_sort(n->s, n->items, n->items + n->capacity, n->count);
    return ST_OK;
}

static size_t run_bytes(size_t capacity)
{
    return sizeof(struct order_run) + capacity * sizeof(struct order_entry);
}

/* What it takes was charged with the rows. */
static status run_create(size_t capacity, struct order_run **out, struct err *err)
{
    struct order_run *run = mem_alloc(run_bytes(capacity));

    if (run == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the order of ids rows=%zu", capacity);
    run->capacity = capacity;
    run->count = 0;
    *out = run;
    return ST_OK;
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
            run->entries[run->count++] = c->run->entries[c->at];
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

static status run_of_news(struct news *n, struct order_run **out, struct err *err)
{
    struct item *items;
    status st = news_sorted(n, &items, err);

    if (st == ST_OK && n->count > 0)
        st = run_create(n->count, out, err);
    if (st == ST_OK && n->count > 0)
        for (size_t i = 0; i < n->count; i++)
            (*out)->entries[(*out)->count++] = items[i].entry;
    news_free(n);
    return st;
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
    uint64_t until = atomic_load_explicit(&s->publishes, memory_order_acquire);
    bool anew = now == NULL || (until - now->main_publishes) >> STALE_BITS != 0;
    struct news news = {.s = s, .since = anew ? 0 : now->publishes, .until = until, .all = anew};
    struct order *next = mem_zero(sizeof *next);
    struct order_run *run = NULL;
    status st;

    if (next == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the order of ids");
    next->publishes = until;
    next->main_publishes = until;
    next->main_deaths = atomic_load_explicit(&s->deaths, memory_order_relaxed);
    st = run_of_news(&news, &run, err);
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
