/* Points, distances, boxes and polygons. */
#include "filter/geo.h"

#include "jsons.h"

#include <math.h>

static struct filter_point at(double lat, double lon)
{
    return (struct filter_point){lat, lon};
}

static void a_point_is_an_object_with_two_numbers(void **state)
{
    static const char *const no[] = {
        "null",
        "1",
        "\"1,2\"",
        "[1,2]",
        "{}",
        "{\"lat\":1}",
        "{\"lon\":1}",
        "{\"lat\":1,\"lon\":\"2\"}",
        "{\"lat\":true,\"lon\":2}",
        "{\"lat\":null,\"lon\":2}",
        "{\"lat\":1,\"lng\":2}",
        "{\"Lat\":1,\"Lon\":2}",
        "{\"lat\":[1],\"lon\":2}",
    };
    struct filter_point p;
    struct jbin_value v;
    struct buf blob;

    (void)state;
    buf_init(&blob, 4096);
    for (size_t i = 0; i < COUNT_OF(no); i++) {
        jsons_blob(&blob, no[i]);
        v = jbin_root(buf_slice(&blob));
        assert_false(geo_point_of(&v, &p));
    }
    jsons_blob(&blob, "{\"name\":\"x\",\"lon\":-13.25,\"lat\":52,\"alt\":3}");
    v = jbin_root(buf_slice(&blob));
    assert_true(geo_point_of(&v, &p));
    assert_true(p.lat == 52 && p.lon == -13.25);
    buf_free(&blob);
    jsons_free();
}

/* Against the angle between the two directions, which loses digits for near points only. */
static double by_vectors(struct filter_point a, struct filter_point b)
{
    const double r = M_PI / 180;
    double ax = cos(a.lat * r) * cos(a.lon * r), ay = cos(a.lat * r) * sin(a.lon * r);
    double bx = cos(b.lat * r) * cos(b.lon * r), by = cos(b.lat * r) * sin(b.lon * r);
    double az = sin(a.lat * r), bz = sin(b.lat * r);
    double cx = ay * bz - az * by, cy = az * bx - ax * bz, cz = ax * by - ay * bx;

    return GEO_EARTH_RADIUS_M *
           atan2(sqrt(cx * cx + cy * cy + cz * cz), ax * bx + ay * by + az * bz);
}

static void distances_are_those_on_the_sphere(void **state)
{
    (void)state;
    for (int lat = -90; lat <= 90; lat += 15)
        for (int lon = -180; lon <= 180; lon += 20)
            for (int lat2 = -90; lat2 <= 90; lat2 += 17)
                for (int lon2 = -180; lon2 <= 180; lon2 += 23) {
                    double want = by_vectors(at(lat, lon), at(lat2, lon2));
                    double got = geo_distance_m(at(lat, lon), at(lat2, lon2));

                    if (fabs(got - want) > 1e-6 * want + 0.1)
                        fail_msg("%d %d to %d %d: %f, not %f", lat, lon, lat2, lon2, got, want);
                }
    assert_true(geo_distance_m(at(10, 20), at(10, 20)) == 0);
    assert_true(fabs(geo_distance_m(at(0, 0), at(0, 180)) - M_PI * GEO_EARTH_RADIUS_M) < 1e-3);
    assert_true(fabs(geo_distance_m(at(0, 0), at(1, 0)) - 111195.0802) < 0.001);
    assert_true(geo_distance_m(at(0, 0), at(1e308, -1e308)) >= 0);
}

static void a_box_is_open_and_may_cross_the_date_line(void **state)
{
    (void)state;
    assert_true(geo_in_box(at(5, 5), at(10, 0), at(0, 10)));
    assert_false(geo_in_box(at(10, 5), at(10, 0), at(0, 10)));
    assert_false(geo_in_box(at(0, 5), at(10, 0), at(0, 10)));
    assert_false(geo_in_box(at(5, 0), at(10, 0), at(0, 10)));
    assert_false(geo_in_box(at(5, 10), at(10, 0), at(0, 10)));
    assert_false(geo_in_box(at(5, 11), at(10, 0), at(0, 10)));
    assert_false(geo_in_box(at(5, 5), at(0, 0), at(10, 10)));
    assert_true(geo_in_box(at(0, 179), at(10, 170), at(-10, -170)));
    assert_true(geo_in_box(at(0, -179), at(10, 170), at(-10, -170)));
    assert_true(geo_in_box(at(0, 180), at(10, 170), at(-10, -170)));
    assert_false(geo_in_box(at(0, 0), at(10, 170), at(-10, -170)));
    assert_false(geo_in_box(at(0, 170), at(10, 170), at(-10, -170)));
    assert_false(geo_in_box(at(0, -170), at(10, 170), at(-10, -170)));
}

static void a_ring_has_an_inside_an_edge_and_an_outside(void **state)
{
    /* A square with a notch from above, whose tip is at (5, 5). */
    static const struct filter_point points[] = {{0, 0}, {0, 10}, {10, 10}, {10, 7},
                                                 {5, 5}, {10, 3}, {10, 0},  {0, 0}};
    static const struct filter_ring ring = {points, COUNT_OF(points)};
    static const struct filter_ring none = {NULL, 0};
    static struct filter_point turned[COUNT_OF(points)];
    const struct filter_ring back = {turned, COUNT_OF(points)};
    static const struct {
        double lat, lon;
        enum geo_place place;
    } cases[] = {
        {1, 1, GEO_INSIDE},    {4.9, 5, GEO_INSIDE},  {9, 1, GEO_INSIDE},    {9, 9, GEO_INSIDE},
        {5, 1, GEO_INSIDE},    {5, 9, GEO_INSIDE},    {9, 5, GEO_OUTSIDE},   {5.1, 5, GEO_OUTSIDE},
        {-1, 5, GEO_OUTSIDE},  {5, -1, GEO_OUTSIDE},  {5, 11, GEO_OUTSIDE},  {11, 1, GEO_OUTSIDE},
        {0, -1, GEO_OUTSIDE},  {10, -1, GEO_OUTSIDE}, {10, 5, GEO_OUTSIDE},  {0, 0, GEO_ON_EDGE},
        {0, 5, GEO_ON_EDGE},   {5, 0, GEO_ON_EDGE},   {5, 10, GEO_ON_EDGE},  {10, 8, GEO_ON_EDGE},
        {10, 10, GEO_ON_EDGE}, {5, 5, GEO_ON_EDGE},   {7.5, 4, GEO_ON_EDGE}, {7.5, 6, GEO_ON_EDGE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(points); i++)
        turned[i] = points[COUNT_OF(points) - 1 - i];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(geo_place_in(at(cases[i].lat, cases[i].lon), &ring), cases[i].place);
        assert_int_equal(geo_place_in(at(cases[i].lat, cases[i].lon), &back), cases[i].place);
    }
    assert_int_equal(geo_place_in(at(0, 0), &none), GEO_OUTSIDE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_is_an_object_with_two_numbers),
        cmocka_unit_test(distances_are_those_on_the_sphere),
        cmocka_unit_test(a_box_is_open_and_may_cross_the_date_line),
        cmocka_unit_test(a_ring_has_an_inside_an_edge_and_an_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
