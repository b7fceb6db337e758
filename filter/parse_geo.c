/* Shapes on the earth. */
#include "filter/parse_internal.h"

static status read_degrees(struct parser *p, const struct place *at, const struct member *m,
                           double max, double *out)
{
    struct place place = place_of(at, m->name);

    if (!m->there)
        return parse_refuse(p, at, ST_INVALID, "`%s` is missing", m->name);
    if (!jval_f64(m->value, out))
        return parse_needs(p, &place, "a number of degrees", m->value);
    if (*out < -max || *out > max)
        return parse_refuse(p, &place, ST_LIMIT, "from -%.0f to %.0f degrees are possible", max,
                            max);
    return ST_OK;
}

static status read_point(struct parser *p, const struct place *at, struct jval v,
                         struct filter_point *out)
{
    struct member m[] = {{.name = "lat"}, {.name = "lon"}};
    status st = parse_members(p, at, v, "a point {lat, lon}", m, COUNT_OF(m));

    if (st == ST_OK)
        st = read_degrees(p, at, &m[0], 90, &out->lat);
    return st == ST_OK ? read_degrees(p, at, &m[1], 180, &out->lon) : st;
}

static status read_point_member(struct parser *p, const struct place *at, const struct member *m,
                                struct filter_point *out)
{
    struct place place = place_of(at, m->name);

    if (!m->there)
        return parse_refuse(p, at, ST_INVALID, "`%s` is missing", m->name);
    return read_point(p, &place, m->value, out);
}

status parse_geo_box(struct parser *p, const struct place *at, const struct path *path,
                     struct jval v, struct filter **out)
{
    struct member m[] = {{.name = "top_left"}, {.name = "bottom_right"}};
    struct filter *f;
    status st = parse_members(p, at, v, "a bounding box {top_left, bottom_right}", m, COUNT_OF(m));

    if (st == ST_OK)
        st = parse_node(p, FILTER_GEO_BOX, path, &f);
    if (st == ST_OK)
        st = read_point_member(p, at, &m[0], &f->center);
    if (st == ST_OK)
        st = read_point_member(p, at, &m[1], &f->corner);
    if (st == ST_OK)
        *out = f;
    return st;
}

static status read_radius(struct parser *p, const struct place *at, const struct member *m,
                          double *out)
{
    struct place place = place_of(at, m->name);

    if (!m->there)
        return parse_refuse(p, at, ST_INVALID, "`%s` is missing", m->name);
    if (!jval_f64(m->value, out))
        return parse_needs(p, &place, "a number of metres", m->value);
    if (*out < 0)
        return parse_refuse(p, &place, ST_LIMIT, "a radius is not negative");
    return ST_OK;
}

status parse_geo_radius(struct parser *p, const struct place *at, const struct path *path,
                        struct jval v, struct filter **out)
{
    struct member m[] = {{.name = "center"}, {.name = "radius"}};
    struct filter *f;
    status st = parse_members(p, at, v, "a circle {center, radius}", m, COUNT_OF(m));

    if (st == ST_OK)
        st = parse_node(p, FILTER_GEO_RADIUS, path, &f);
    if (st == ST_OK)
        st = read_point_member(p, at, &m[0], &f->center);
    if (st == ST_OK)
        st = read_radius(p, at, &m[1], &f->radius_m);
    if (st == ST_OK)
        *out = f;
    return st;
}

static status read_points(struct parser *p, const struct place *at, struct jval list,
                          struct filter_ring *out)
{
    struct filter_point *points;
    size_t count = 0;

    if (jval_type(list) != J_ARRAY)
        return parse_needs(p, at, "a list of points", list);
    points = arena_array(p->arena, jval_count(list) + 1, sizeof *points);
    if (points == NULL)
        return parse_nomem(p);
    for (struct jiter it = jval_iter(list); jiter_next(&it); count++) {
        struct place element = place_at(at, count);
        status st = read_point(p, &element, it.value, &points[count]);

        if (st != ST_OK)
            return st;
    }
    if (count < 4 || points[0].lat != points[count - 1].lat ||
        points[0].lon != points[count - 1].lon)
        return parse_refuse(p, at, ST_INVALID,
                            "a ring has at least 4 points, and the last is the first again");
    *out = (struct filter_ring){points, count};
    return ST_OK;
}

static status read_ring(struct parser *p, const struct place *at, struct jval v,
                        struct filter_ring *out)
{
    struct member m[] = {{.name = "points"}};
    struct place place = place_of(at, m[0].name);
    status st = parse_members(p, at, v, "a ring {points}", m, COUNT_OF(m));

    if (st == ST_OK && !m[0].there)
        return parse_refuse(p, at, ST_INVALID, "`points` is missing");
    return st == ST_OK ? read_points(p, &place, m[0].value, out) : st;
}

static status read_interiors(struct parser *p, const struct place *at, struct jval list,
                             struct filter *f)
{
    struct filter_ring *rings;

    if (jval_type(list) != J_ARRAY)
        return parse_needs(p, at, "a list of rings", list);
    rings = arena_array(p->arena, jval_count(list) + 1, sizeof *rings);
    if (rings == NULL)
        return parse_nomem(p);
    f->interiors = rings;
    for (struct jiter it = jval_iter(list); jiter_next(&it); f->interior_count++) {
        struct place element = place_at(at, f->interior_count);
        status st = read_ring(p, &element, it.value, &rings[f->interior_count]);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

status parse_geo_polygon(struct parser *p, const struct place *at, const struct path *path,
                         struct jval v, struct filter **out)
{
    struct member m[] = {{.name = "exterior"}, {.name = "interiors"}};
    struct place exterior = place_of(at, m[0].name);
    struct place interiors = place_of(at, m[1].name);
    struct filter *f;
    status st = parse_members(p, at, v, "a polygon {exterior, interiors}", m, COUNT_OF(m));

    if (st == ST_OK && !m[0].there)
        return parse_refuse(p, at, ST_INVALID, "`exterior` is missing");
    if (st == ST_OK)
        st = parse_node(p, FILTER_GEO_POLYGON, path, &f);
    if (st == ST_OK)
        st = read_ring(p, &exterior, m[0].value, &f->exterior);
    if (st == ST_OK && m[1].there)
        st = read_interiors(p, &interiors, m[1].value, f);
    if (st == ST_OK)
        *out = f;
    return st;
}
