/* Points on a map of 2^32 by 2^32 cells, numbered along a Z-curve (Morton 1966): the bits of both
 * coordinates in turn. A square of cells whose side is a power of two is one run of numbers, so an
 * area is covered by few runs: squares are cut in four, the larger ones first, until there are
 * GEO_RUNS_MAX. What lies in the runs is a superset; the rows themselves are asked. */
#include "filter/pindex_internal.h"

#include <math.h>

#include "filter/geo.h"

enum { GEO_RUNS_MAX = 48 };
static const double MARGIN_DEGREES = 1e-6; /* over all rounding: a tenth of a metre */
static const double RADIANS = 0.017453292519943295;

struct cells { /* inclusive */
    uint32_t low_x, high_x, low_y, high_y;
};
struct square {
    uint32_t x, y;
    uint32_t bits; /* its side is 2^bits cells */
};

/* The bits of v, each with a gap behind it. */
static uint64_t spread(uint32_t v)
{
    uint64_t x = v;

    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    x = (x | x << 2) & UINT64_C(0x3333333333333333);
    return (x | x << 1) & UINT64_C(0x5555555555555555);
}

static uint64_t cell_key(uint32_t x, uint32_t y)
{
    return spread(x) | spread(y) << 1;
}

/* v from -bound to bound. */
static uint32_t cell_of(double v, double bound)
{
    double at = (v + bound) / (2 * bound) * 4294967296.0;

    if (!(at > 0))
        return 0;
    return at >= 4294967295.0 ? UINT32_MAX : (uint32_t)at;
}

bool geo_key(double lat, double lon, uint64_t *out)
{
    if (!(lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180))
        return false;
    *out = cell_key(cell_of(lon, 180), cell_of(lat, 90));
    return true;
}

static bool apart(const struct square *s, const struct cells *c)
{
    uint32_t last = (uint32_t)((UINT64_C(1) << s->bits) - 1);

    return s->x > c->high_x || s->x + last < c->low_x || s->y > c->high_y || s->y + last < c->low_y;
}

static bool inside(const struct square *s, const struct cells *c)
{
    uint32_t last = (uint32_t)((UINT64_C(1) << s->bits) - 1);

    return s->x >= c->low_x && s->x + last <= c->high_x && s->y >= c->low_y &&
           s->y + last <= c->high_y;
}

static void tell(const struct square *s, const struct tree *t, const struct parts *out)
{
    uint64_t low = cell_key(s->x, s->y);
    uint64_t cells = s->bits == 32 ? 0 : UINT64_C(1) << 2 * s->bits; /* 0: 2^64 */

    out->range(out->arg, t, low, low + (cells - 1));
}

/* Squares in a queue, the largest first because quarters go to its end. */
static void cover(const struct tree *t, const struct cells *c, const struct parts *out)
{
    struct square queue[4 * GEO_RUNS_MAX] = {{.bits = 32}};
    size_t first = 0;
    size_t count = 1;
    size_t told = 0;

    while (first < count) {
        struct square s = queue[first++];

        if (apart(&s, c))
            continue;
        if (inside(&s, c) || told + (count - first) + 4 > GEO_RUNS_MAX ||
            count + 4 > COUNT_OF(queue)) {
            tell(&s, t, out);
            told++;
            continue;
        }
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t side = UINT32_C(1) << (s.bits - 1);

            queue[count++] = (struct square){
                .x = s.x + (i % 2) * side, .y = s.y + (i / 2) * side, .bits = s.bits - 1};
        }
    }
}

static void cover_degrees(const struct tree *t, double south, double north, double west,
                          double east, const struct parts *out)
{
    const struct cells c = {.low_x = cell_of(west - MARGIN_DEGREES, 180),
                            .high_x = cell_of(east + MARGIN_DEGREES, 180),
                            .low_y = cell_of(south - MARGIN_DEGREES, 90),
                            .high_y = cell_of(north + MARGIN_DEGREES, 90)};

    if (south <= north && west <= east)
        cover(t, &c, out);
}

/* West and east as they come: beyond 180 degrees they go on at the other end. */
static void cover_around(const struct tree *t, double south, double north, double west, double east,
                         const struct parts *out)
{
    if (east - west >= 360) {
        cover_degrees(t, south, north, -180, 180, out);
        return;
    }
    if (west < -180)
        cover_degrees(t, south, north, west + 360, 180, out);
    if (east > 180)
        cover_degrees(t, south, north, -180, east - 360, out);
    cover_degrees(t, south, north, west < -180 ? -180 : west, east > 180 ? 180 : east, out);
}

/* A circle reaches as far east and west as its tangents from the pole do. */
static void cover_circle(const struct tree *t, struct filter_point center, double radius_m,
                         const struct parts *out)
{
    double angle = radius_m / GEO_EARTH_RADIUS_M;
    double reach = angle / RADIANS * (1 + 1e-9) + MARGIN_DEGREES;
    double south = center.lat - reach;
    double north = center.lat + reach;
    double width = 360;

    if (south > -90 && north < 90 && angle < 1.5) {
        double sine = sin(angle) / cos(center.lat * RADIANS);

        if (sine < 1)
            width = asin(sine) / RADIANS * (1 + 1e-9) + MARGIN_DEGREES;
    }
    cover_around(t, south, north, center.lon - width, center.lon + width, out);
}

void geo_parts(const struct pindex *index, const struct filter *f, const struct parts *out)
{
    const struct tree *t = &index->trees[TREE_POSITIVE];

    out->slots(out->arg, &index->special);
    if (f->kind == FILTER_GEO_BOX) {
        double west = f->center.lon;
        double east = f->corner.lon;

        if (west <= east) {
            cover_degrees(t, f->corner.lat, f->center.lat, west, east, out);
        } else {
            cover_degrees(t, f->corner.lat, f->center.lat, west, 180, out);
            cover_degrees(t, f->corner.lat, f->center.lat, -180, east, out);
        }
    } else if (f->kind == FILTER_GEO_RADIUS && !(fabs(f->center.lat) <= 90)) {
        out->slots(out->arg, &index->indexed);
    } else if (f->kind == FILTER_GEO_RADIUS) {
        cover_circle(t, f->center, f->radius_m, out);
    } else {
        double south = 90, north = -90, west = 180, east = -180;

        for (size_t i = 0; i < f->exterior.count; i++) {
            const struct filter_point *p = &f->exterior.points[i];

            south = p->lat < south ? p->lat : south;
            north = p->lat > north ? p->lat : north;
            west = p->lon < west ? p->lon : west;
            east = p->lon > east ? p->lon : east;
        }
        cover_degrees(t, south, north, west, east, out);
    }
}
