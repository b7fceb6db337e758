#include "filter/geo.h"

#include <math.h>

static bool number_of(const struct jbin_value *v, double *out)
{
    switch (v->type) {
    case JBIN_T_U64:
        *out = (double)v->u64;
        return true;
    case JBIN_T_I64:
        *out = (double)v->i64;
        return true;
    case JBIN_T_F64:
        *out = v->f64;
        return isfinite(v->f64);
    case JBIN_T_NULL:
    case JBIN_T_BOOL:
    case JBIN_T_STRING:
    case JBIN_T_ARRAY:
    case JBIN_T_OBJECT:
    case JBIN_T_BAD:
        break;
    }
    return false;
}

bool geo_point_of(const struct jbin_value *v, struct filter_point *out)
{
    struct rd r = rd_make(v->body);
    struct jbin_value member;
    struct slice key;
    bool lat = false;
    bool lon = false;

    if (v->type != JBIN_T_OBJECT)
        return false;
    while (!(lat && lon) && jbin_member(&r, &key, &member)) {
        if (slice_equal(key, slice_text("lat")))
            lat = number_of(&member, &out->lat);
        else if (slice_equal(key, slice_text("lon")))
            lon = number_of(&member, &out->lon);
    }
    return lat && lon;
}

static double radians(double degrees)
{
    return degrees * (M_PI / 180);
}

double geo_distance_m(struct filter_point a, struct filter_point b)
{
    double lat = sin(radians(b.lat - a.lat) / 2);
    double lon = sin(radians(b.lon - a.lon) / 2);
    double h = lat * lat + cos(radians(a.lat)) * cos(radians(b.lat)) * lon * lon;

    return 2 * GEO_EARTH_RADIUS_M * asin(sqrt(fmin(fmax(h, 0), 1)));
}

bool geo_in_box(struct filter_point p, struct filter_point top_left,
                struct filter_point bottom_right)
{
    if (!(p.lat < top_left.lat && p.lat > bottom_right.lat))
        return false;
    if (top_left.lon > bottom_right.lon)
        return p.lon > top_left.lon || p.lon < bottom_right.lon;
    return p.lon > top_left.lon && p.lon < bottom_right.lon;
}

static bool between(double v, double a, double b)
{
    return (v >= a && v <= b) || (v >= b && v <= a);
}

/* Counts the edges that a ray towards rising longitude crosses; an edge has its lower end, not its
 * upper one. */
enum geo_place geo_place_in(struct filter_point p, const struct filter_ring *ring)
{
    bool inside = false;

    for (size_t i = 0; i + 1 < ring->count; i++) {
        struct filter_point a = ring->points[i];
        struct filter_point b = ring->points[i + 1];
        double side = (b.lon - a.lon) * (p.lat - a.lat) - (p.lon - a.lon) * (b.lat - a.lat);

        if (side == 0 && between(p.lat, a.lat, b.lat) && between(p.lon, a.lon, b.lon))
            return GEO_ON_EDGE;
        if ((a.lat > p.lat) != (b.lat > p.lat) && (side > 0) == (b.lat > a.lat))
            inside = !inside;
    }
    return inside ? GEO_INSIDE : GEO_OUTSIDE;
}
