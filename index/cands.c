#include "index/cands.h"

#include <stdlib.h>

void cands_fini(struct cands *c)
{
    mem_free(c->items);
    memset(c, 0, sizeof(*c));
}

bool cands_start(struct cands *c, uint32_t cap, uint32_t cap_max, bool heap)
{
    if (cap_max > c->room) {
        struct cand *items = mem_alloc_array(cap_max, sizeof(*items));

        if (items == NULL)
            return false;
        mem_free(c->items);
        c->items = items;
        c->room = cap_max;
    }
    c->count = 0;
    c->cap = cap;
    c->cap_max = cap_max;
    c->heap = heap;
    return true;
}

/* How many items come before (key, slot). Halved without a branch on what was found: that would be
 * foretold wrongly every other time. */
static uint32_t flat_place(const struct cands *c, float key, uint32_t slot)
{
    const struct cand *base = c->items;
    uint32_t left = c->count;

    while (left > 1) {
        uint32_t half = left / 2;

        base += half & (0u - (uint32_t)(base[half - 1].key <= key));
        left -= half;
    }
    base += left == 1 && base->key <= key;
    while (base > c->items && cand_before(key, slot, base - 1))
        base--;
    return (uint32_t)(base - c->items);
}

static uint32_t flat_put(struct cands *c, float key, uint32_t slot)
{
    uint32_t place = flat_place(c, key, slot);

    if (c->count < c->cap)
        c->count++;
    memmove(&c->items[place + 1], &c->items[place], (c->count - 1 - place) * sizeof(c->items[0]));
    c->items[place] = (struct cand){.key = key, .slot = slot};
    return place;
}

/* The item at `at` is not in order with what is below it: sinks it. Worst at the top. */
static void max_sink(struct cand *items, uint32_t count, uint32_t at, struct cand x)
{
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= count)
            break;
        if (child + 1 < count &&
            cand_before(items[child].key, items[child].slot, &items[child + 1]))
            child++;
        if (!cand_before(x.key, x.slot, &items[child]))
            break;
        items[at] = items[child];
        at = child;
    }
    items[at] = x;
}

static void max_rise(struct cand *items, uint32_t at, struct cand x)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;

        if (!cand_before(items[parent].key, items[parent].slot, &x))
            break;
        items[at] = items[parent];
        at = parent;
    }
    items[at] = x;
}

uint32_t cands_put(struct cands *c, float key, uint32_t slot)
{
    struct cand x = {.key = key, .slot = slot};

    if (!c->heap)
        return flat_put(c, key, slot);
    if (c->count < c->cap)
        max_rise(c->items, c->count++, x);
    else
        max_sink(c->items, c->count, 0, x);
    return 0;
}

static int by_key(const void *a, const void *b)
{
    const struct cand *x = a, *y = b;

    if (cand_before(x->key, x->slot, y))
        return -1;
    return cand_before(y->key, y->slot, x) ? 1 : 0;
}

void cands_sort(struct cands *c)
{
    if (c->heap)
        qsort(c->items, c->count, sizeof(c->items[0]), by_key);
}

void frontier_fini(struct frontier *f)
{
    mem_free(f->items);
    memset(f, 0, sizeof(*f));
}

bool frontier_push(struct frontier *f, float key, uint32_t slot)
{
    struct cand x = {.key = key, .slot = slot};
    uint32_t at = f->count;

    if (f->count == f->room) {
        uint32_t room = f->room == 0 ? 1024 : f->room * 2;
        size_t bytes;
        struct cand *items;

        if (!size_mul(room, sizeof(*items), &bytes))
            return false;
        items = mem_resize(f->items, bytes);
        if (items == NULL)
            return false;
        f->items = items;
        f->room = room;
    }
    f->count++;
    while (at > 0 && cand_before(key, slot, &f->items[(at - 1) / 2])) {
        f->items[at] = f->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    f->items[at] = x;
    return true;
}

struct cand frontier_pop(struct frontier *f)
{
    struct cand best = f->items[0], last = f->items[--f->count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= f->count)
            break;
        if (child + 1 < f->count &&
            cand_before(f->items[child + 1].key, f->items[child + 1].slot, &f->items[child]))
            child++;
        if (!cand_before(f->items[child].key, f->items[child].slot, &last))
            break;
        f->items[at] = f->items[child];
        at = child;
    }
    f->items[at] = last;
    return best;
}

void visited_fini(struct visited *v)
{
    mem_free(v->bits);
    mem_free(v->list);
    memset(v, 0, sizeof(*v));
}

bool visited_start(struct visited *v, uint32_t slots)
{
    size_t words = ((size_t)slots + 63) / 64;

    visited_clear(v);
    if (v->list == NULL) {
        v->list = mem_alloc_array(VISITED_LIST_MAX + 1, sizeof(v->list[0]));
        if (v->list == NULL)
            return false;
    }
    if (words > v->words) {
        uint64_t *bits;

        words += words / 4;
        bits = mem_zero_array(words, sizeof(*bits));
        if (bits == NULL)
            return false;
        mem_free(v->bits);
        v->bits = bits;
        v->words = words;
    }
    v->slots = slots;
    return true;
}

void visited_clear(struct visited *v)
{
    if (v->overflown)
        memset(v->bits, 0, v->words * sizeof(v->bits[0]));
    else
        for (uint32_t i = 0; i < v->count; i++)
            v->bits[v->list[i]] = 0;
    v->count = 0;
    v->overflown = false;
}
