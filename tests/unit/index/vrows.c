#include "vrows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void vrows_init(struct vrows *r, struct vindex_options options, uint32_t clusters, uint64_t seed)
{
    struct slots_options so;
    struct err err;

    memset(r, 0, sizeof(*r));
    r->random = seed;
    r->clusters = clusters;
    mem_budget_init(&r->budget, NULL, 0);
    assert_int_equal(epoch_create(&r->epoch, &err), ST_OK);
    so = (struct slots_options){.epoch = r->epoch, .budget = &r->budget};
    assert_int_equal(slots_create(&so, &r->slots, &err), ST_OK);
    options.slots = r->slots;
    options.epoch = r->epoch;
    options.budget = &r->budget;
    r->options = options;
    assert_int_equal(vindex_create(&options, &r->index, &err), ST_OK);
    assert_int_equal(vindex_scratch_create(&r->scratch, &err), ST_OK);
}

void vrows_fini(struct vrows *r)
{
    vindex_scratch_destroy(r->scratch);
    vindex_destroy(r->index);
    epoch_collect(r->epoch);
    slots_destroy(r->slots);
    epoch_destroy(r->epoch);
    assert_int_equal(mem_budget_bytes(&r->budget), 0);
}

static uint64_t mix(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static float uniform(uint64_t *state)
{
    return (float)((double)(mix(state) >> 11) * 0x1.0p-52 - 1.0);
}

uint64_t vrows_random(struct vrows *r)
{
    return mix(&r->random);
}

float vrows_uniform(struct vrows *r)
{
    return uniform(&r->random);
}

void vrows_point(struct vrows *r, float *out)
{
    uint64_t centre = vrows_random(r) % r->clusters * 7919 + 17;

    for (uint32_t i = 0; i < r->options.dim; i++)
        out[i] = uniform(&centre) + 0.5f * vrows_uniform(r);
    if (r->options.metric == VMETRIC_COSINE)
        (void)vindex_normalise(out, r->options.dim);
}

static struct docid number(uint64_t id)
{
    struct docid d = {0};

    d.kind = DOCID_U64;
    d.u64 = id;
    return d;
}

uint32_t vrows_put(struct vrows *r, uint64_t id, const float *vector)
{
    struct docid d = number(id);
    struct slice none = {0};
    struct err err;
    uint32_t slot;

    assert_int_equal(slots_reserve(r->slots, 1, &slot, &err), ST_OK);
    assert_int_equal(vindex_reserve(r->index, slots_end(r->slots), &err), ST_OK);
    assert_int_equal(slots_fill(r->slots, slot, &d, none, none, 0, &err), ST_OK);
    vindex_fill(r->index, slot, vector);
    vindex_publish(r->index, slot);
    slots_publish(r->slots, slot, ++r->lsn);
    return slot;
}

void vrows_put_random(struct vrows *r, uint64_t first, uint32_t count)
{
    float *point = malloc(r->options.dim * sizeof(float));

    for (uint32_t i = 0; i < count; i++) {
        vrows_point(r, point);
        (void)vrows_put(r, first + i, point);
    }
    free(point);
}

uint32_t vrows_erase(struct vrows *r, uint64_t id)
{
    struct docid d = number(id);

    r->lsn++;
    return slots_erase(r->slots, &d);
}

void vrows_repair(struct vrows *r)
{
    uint32_t room = slots_dead_count(r->slots), count;
    uint32_t *dead = malloc((room + 1) * sizeof(*dead));
    struct vindex_check check;
    struct err err;

    count = slots_dead_list(r->slots, dead, room);
    assert_int_equal(vindex_repair(r->index, dead, count, NULL, &err), ST_OK);
    if (vindex_check(r->index, &check, &err) != ST_OK)
        fail_msg("%s", err.text);
    if (room == count)
        assert_int_equal(check.dead_links, 0);
    for (uint32_t i = 0; i < count; i++)
        slots_retire(r->slots, dead[i]);
    epoch_collect(r->epoch);
    free(dead);
    vrows_check(r, UINT32_MAX);
}

void vrows_check(struct vrows *r, uint32_t unreachable_max)
{
    struct vindex_check check;
    struct err err;

    if (vindex_check(r->index, &check, &err) != ST_OK)
        fail_msg("%s", err.text);
    if (check.unreachable_live > unreachable_max)
        fail_msg("%u of %u rows cannot be reached", check.unreachable_live, check.nodes);
}

uint32_t vrows_search(struct vrows *r, const struct vsearch *s, struct vhit *out)
{
    struct epoch_guard guard = epoch_enter(r->epoch);
    uint32_t count = 0;
    struct err err;

    if (vindex_search(r->index, r->scratch, s, out, &count, NULL, &err) != ST_OK)
        fail_msg("%s", err.text);
    epoch_leave(r->epoch, guard);
    return count;
}

static double distance(const struct vrows *r, const float *a, const float *b)
{
    double dot = 0, square = 0, sum = 0;

    for (uint32_t i = 0; i < r->options.dim; i++) {
        double d = (double)a[i] - (double)b[i];

        dot += (double)a[i] * (double)b[i];
        square += d * d;
        sum += fabs(d);
    }
    switch (r->options.metric) {
    case VMETRIC_COSINE:
        return 1 - dot;
    case VMETRIC_DOT:
        return -dot;
    case VMETRIC_L2:
        return sqrt(square);
    case VMETRIC_L1:
        break;
    }
    return sum;
}

static int by_distance(const void *a, const void *b)
{
    const struct vhit *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

uint32_t vrows_brute(const struct vrows *r, const float *query, uint32_t k, const uint64_t *allow,
                     struct vhit *out)
{
    uint32_t end = slots_end(r->slots), count = 0;
    struct vhit *all = malloc((end + 1) * sizeof(*all));

    for (uint32_t slot = 0; slot < end; slot++) {
        if (!slots_live(r->slots, slot) ||
            (allow != NULL && (allow[slot / 64] >> (slot % 64) & 1) == 0))
            continue;
        all[count].slot = slot;
        all[count++].distance = (float)distance(r, query, vindex_vector(r->index, slot));
    }
    qsort(all, count, sizeof(*all), by_distance);
    count = count < k ? count : k;
    memcpy(out, all, count * sizeof(*all));
    free(all);
    return count;
}

double vrows_recall(struct vrows *r, uint32_t queries, uint32_t k, uint32_t ef)
{
    float *query = malloc(r->options.dim * sizeof(float));
    struct vhit *got = malloc(k * sizeof(*got)), *want = malloc(k * sizeof(*want));
    struct vsearch s = {.query = query, .k = k, .ef = ef};
    uint64_t hits = 0, all = 0;

    for (uint32_t q = 0; q < queries; q++) {
        uint32_t count, expected;

        vrows_point(r, query);
        expected = vrows_brute(r, query, k, NULL, want);
        count = vrows_search(r, &s, got);
        assert_int_equal(count, expected);
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t j = 0; j < expected; j++)
                hits += got[i].slot == want[j].slot;
        all += expected;
    }
    free(query);
    free(got);
    free(want);
    return all == 0 ? 1 : (double)hits / (double)all;
}
