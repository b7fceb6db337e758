/* An order in which neighbours adjoin: points are halved by two means again and again, each half
 * turned towards what lies beside it. */
#include "index/cells_internal.h"

#include <math.h>
#include <stdlib.h>

enum { ROUNDS = 4 };

struct line {
    const float *points;
    uint32_t dim;
    struct side *sides; /* count */
    float *way;         /* dim: between the halves' means */
};
struct side {
    float along;
    uint32_t point;
};

static const float *point(const struct line *l, uint32_t i)
{
    return l->points + (size_t)i * l->dim;
}

static int by_side(const void *a, const void *b)
{
    const struct side *x = a, *y = b;

    if (x->along != y->along)
        return x->along < y->along ? -1 : 1;
    return x->point < y->point ? -1 : x->point > y->point;
}

static void mean_of(const struct line *l, const uint32_t *order, uint32_t count, float *mean)
{
    memset(mean, 0, l->dim * sizeof(*mean));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t d = 0; d < l->dim; d++)
            mean[d] += point(l, order[i])[d] / (float)count;
}

static uint32_t farthest(const struct line *l, const uint32_t *order, uint32_t count,
                         const float *from)
{
    float most = -1;
    uint32_t found = order[0];

    for (uint32_t i = 0; i < count; i++) {
        float d = kernels_get()->l2_f32(point(l, order[i]), from, l->dim);

        if (d > most) {
            most = d;
            found = order[i];
        }
    }
    return found;
}

/* Sorts along the way from a to b; the lower half comes first. */
static void halve(struct line *l, uint32_t *order, uint32_t count, const float *a, const float *b)
{
    for (uint32_t d = 0; d < l->dim; d++)
        l->way[d] = b[d] - a[d];
    for (uint32_t i = 0; i < count; i++) {
        float along = kernels_get()->dot_f32(point(l, order[i]), l->way, l->dim);

        l->sides[i] = (struct side){isnan(along) ? 0 : along, order[i]};
    }
    qsort(l->sides, count, sizeof(*l->sides), by_side);
    for (uint32_t i = 0; i < count; i++)
        order[i] = l->sides[i].point;
}

static float apart(const struct line *l, const float *a, const float *b)
{
    return a == NULL ? 0 : kernels_get()->l2_f32(a, b, l->dim);
}

static void turn_round(uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        uint32_t kept = order[i];

        order[i] = order[count - 1 - i];
        order[count - 1 - i] = kept;
    }
}

/* Halves are equal in size, so this goes no deeper than the logarithm of count. */
static bool line_part(struct line *l, uint32_t *order, uint32_t count, const float *left,
                      const float *right)
{
    uint32_t half = count / 2;
    float *means, *a, *b;
    bool ok;

    if (count <= 1)
        return true;
    means = mem_alloc_array(2 * (size_t)l->dim, sizeof(*means));
    if (means == NULL)
        return false;
    a = means;
    b = means + l->dim;
    mean_of(l, order, count, a);
    memcpy(a, point(l, farthest(l, order, count, a)), l->dim * sizeof(*a));
    memcpy(b, point(l, farthest(l, order, count, a)), l->dim * sizeof(*b));
    for (int round = 0; round < ROUNDS; round++) {
        halve(l, order, count, a, b);
        mean_of(l, order, half, a);
        mean_of(l, order + half, count - half, b);
    }
    if (apart(l, left, a) + apart(l, right, b) > apart(l, left, b) + apart(l, right, a)) {
        float *kept = a;

        turn_round(order, count);
        half = count - half;
        a = b;
        b = kept;
    }
    ok = line_part(l, order, half, left, b) && line_part(l, order + half, count - half, a, right);
    mem_free(means);
    return ok;
}

bool line_up(const float *points, uint32_t count, uint32_t dim, const float *left,
             const float *right, uint32_t *order)
{
    struct line l = {.points = points, .dim = dim};
    bool ok;

    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    l.sides = mem_alloc_array(count, sizeof(*l.sides));
    l.way = mem_alloc_array(dim, sizeof(*l.way));
    ok = l.sides != NULL && l.way != NULL && line_part(&l, order, count, left, right);
    mem_free(l.sides);
    mem_free(l.way);
    return ok;
}
