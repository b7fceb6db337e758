/* geo.h - points on the earth as a sphere, and whether they lie in a shape.
 *
 * Degrees; distances in metres. Shapes are open: what lies on their edge is outside. The edges of
 * polygons are straight in latitude and longitude and do not cross the date line.
 *
 * Threads    any. */
#ifndef FILTER_GEO_H
#define FILTER_GEO_H

#include "filter/filter.h"

#define GEO_EARTH_RADIUS_M 6371008.8

/* An object with numbers as lat and lon. */
NODISCARD
bool geo_point_of(const struct jbin_value *v, struct filter_point *out);
/* Haversine. */
double geo_distance_m(struct filter_point a, struct filter_point b);
/* top_left.lon > bottom_right.lon: the box crosses the date line. */
bool geo_in_box(struct filter_point p, struct filter_point top_left,
                struct filter_point bottom_right);
enum geo_place { GEO_OUTSIDE, GEO_ON_EDGE, GEO_INSIDE };
enum geo_place geo_place_in(struct filter_point p, const struct filter_ring *ring);

#endif
