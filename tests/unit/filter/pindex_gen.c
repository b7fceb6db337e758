#include "pindex_gen.h"

#include <stdio.h>

static const struct {
    const char *path;
    enum pindex_type suits;
} PATHS[GEN_PATHS] = {
    {"kw", PINDEX_KEYWORD},    {"int", PINDEX_INTEGER}, {"flt", PINDEX_FLOAT},
    {"flag", PINDEX_BOOL},     {"geo", PINDEX_GEO},     {"time", PINDEX_DATETIME},
    {"uuid", PINDEX_UUID},     {"text", PINDEX_TEXT},   {"o.kw", PINDEX_KEYWORD},
    {"a[].n", PINDEX_INTEGER}, {"words", PINDEX_TEXT},
};

uint64_t gen_next(struct gen *g)
{
    uint64_t z = g->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t gen_below(struct gen *g, uint64_t bound)
{
    return gen_next(g) % bound;
}

const char *gen_path(size_t i, enum pindex_type *suits)
{
    if (i >= GEN_PATHS)
        return NULL;
    *suits = PATHS[i].suits;
    return PATHS[i].path;
}

/* --- values --- */

static const char *pick(struct gen *g, const char *const *texts, size_t count)
{
    return texts[gen_below(g, count)];
}

static void put_word(struct gen *g, struct buf *out)
{
    static const char *const words[] = {"red",         "green", "blue", "Red", "r",
                                        "gr\xc3\xbcn", "x1",    "y",    "zz"};

    buf_put_text(out, pick(g, words, COUNT_OF(words)));
}

static void put_integer(struct gen *g, struct buf *out)
{
    static const char *const edges[] = {
        "0",
        "9007199254740993",
        "9007199254740992",
        "18446744073709551615",
        "18446744073709551614",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775807",
        "-9007199254740993",
        "-1",
    };

    if (gen_below(g, 6) == 0)
        buf_put_text(out, pick(g, edges, COUNT_OF(edges)));
    else
        buf_printf(out, "%d", (int)gen_below(g, 41) - 20);
}

static void put_float(struct gen *g, struct buf *out)
{
    static const char *const edges[] = {
        "0.0",    "-0.0",   "9007199254740992.0",     "1e300",
        "-1e300", "5e-324", "18446744073709551616.0", "-9223372036854775808.0",
        "0.5",    "-0.5"};

    if (gen_below(g, 6) == 0)
        buf_put_text(out, pick(g, edges, COUNT_OF(edges)));
    else
        buf_printf(out, "%d.%d", (int)gen_below(g, 41) - 20, gen_below(g, 2) == 0 ? 0 : 5);
}

static void put_time(struct gen *g, struct buf *out)
{
    int month = 1 + (int)gen_below(g, 9);
    int day = (int)gen_below(g, 10);
    char text[64];

    switch (gen_below(g, 5)) {
    case 0:
        (void)snprintf(text, sizeof text, "\"2024-0%d-1%d\"", month, day);
        break;
    case 1:
        (void)snprintf(text, sizeof text, "\"2024-0%d-1%dT12:30:00Z\"", month, day);
        break;
    case 2:
        (void)snprintf(text, sizeof text, "\"2024-0%d-1%d 12:30\"", month, day);
        break;
    case 3:
        (void)snprintf(text, sizeof text, "\"2024-0%d-1%dT00:00:00.25+02\"", month, day);
        break;
    default:
        (void)snprintf(text, sizeof text, "\"1969-0%d-1%dT00:00:00\"", month, day);
        break;
    }
    buf_put_text(out, text);
}

static void put_uuid(struct gen *g, struct buf *out)
{
    static const char *const uuids[] = {
        "\"00000000-0000-4000-8000-000000000001\"", "\"00000000-0000-4000-8000-000000000002\"",
        "\"00000000000040008000000000000001\"",     "\"00000000-0000-4000-8000-00000000000A\"",
        "\"00000000-0000-4000-8000-00000000000a\"", "\"none\""};

    buf_put_text(out, pick(g, uuids, COUNT_OF(uuids) - (g->clean ? 1 : 0)));
}

static void put_text(struct gen *g, struct buf *out)
{
    size_t words = gen_below(g, 5);

    buf_put_u8(out, '"');
    for (size_t i = 0; i < words; i++) {
        put_word(g, out);
        buf_put_text(out, gen_below(g, 4) == 0 ? ", " : " ");
    }
    buf_put_u8(out, '"');
}

/* Around the date line, the poles and a town. */
static void make_degrees(struct gen *g, double *lat, double *lon)
{
    static const double lats[] = {52.5, 89.9, -89.95, 0};
    static const double lons[] = {13.4, 179.9, -179.9, 0};
    double a = (double)gen_below(g, 2001) / 1000 - 1;
    double b = (double)gen_below(g, 2001) / 1000 - 1;

    *lat = lats[gen_below(g, COUNT_OF(lats))] + a * (gen_below(g, 3) == 0 ? 30 : 0.05);
    *lon = lons[gen_below(g, COUNT_OF(lons))] + b * (gen_below(g, 3) == 0 ? 90 : 0.1);
}

static void put_point(struct gen *g, struct buf *out, bool on_map)
{
    double lat, lon;

    make_degrees(g, &lat, &lon);
    if (on_map) {
        lat = lat > 90 ? 90 : lat < -90 ? -90 : lat;
        lon = lon > 180 ? 180 : lon < -180 ? -180 : lon;
    }
    buf_printf(out, "{\"lat\": %.6f, \"lon\": %.6f}", lat, lon);
}

static void put_keyword(struct gen *g, struct buf *out)
{
    buf_put_u8(out, '"');
    put_word(g, out);
    if (gen_below(g, 3) == 0)
        buf_printf(out, "%d", (int)gen_below(g, 30));
    if (!g->clean && gen_below(g, 40) == 0)
        for (int i = 0; i < 400; i++)
            put_word(g, out);
    buf_put_u8(out, '"');
}

static void put_suiting(struct gen *g, enum pindex_type type, struct buf *out)
{
    switch (type) {
    case PINDEX_KEYWORD:
        put_keyword(g, out);
        return;
    case PINDEX_INTEGER:
        put_integer(g, out);
        return;
    case PINDEX_FLOAT:
        put_float(g, out);
        return;
    case PINDEX_BOOL:
        buf_put_text(out, gen_below(g, 2) == 0 ? "true" : "false");
        return;
    case PINDEX_GEO:
        put_point(g, out, false);
        return;
    case PINDEX_DATETIME:
        put_time(g, out);
        return;
    case PINDEX_UUID:
        put_uuid(g, out);
        return;
    case PINDEX_TEXT:
        put_text(g, out);
        return;
    }
}

static void put_any(struct gen *g, enum pindex_type suits, struct buf *out, int depth);

static void put_list(struct gen *g, enum pindex_type suits, struct buf *out, int depth)
{
    size_t count = gen_below(g, 4);

    buf_put_u8(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        put_any(g, suits, out, depth + 1);
    }
    buf_put_u8(out, ']');
}

static void put_any(struct gen *g, enum pindex_type suits, struct buf *out, int depth)
{
    switch (gen_below(g, 14)) {
    case 0:
        buf_put_text(out, "null");
        return;
    case 1:
        if (g->clean)
            break;
        put_suiting(g, (enum pindex_type)(1 + gen_below(g, PINDEX_TEXT)), out);
        return;
    case 2:
    case 3:
        if (depth < (g->clean ? 1 : 3)) {
            put_list(g, suits, out, depth);
            return;
        }
        break;
    default:
        break;
    }
    put_suiting(g, suits, out);
}

void gen_payload(struct gen *g, struct buf *out)
{
    const char *comma = "";

    buf_put_u8(out, '{');
    for (size_t i = 0; i < GEN_PATHS; i++) {
        if (gen_below(g, 4) == 0)
            continue;
        buf_put_text(out, comma);
        comma = ",";
        if (strcmp(PATHS[i].path, "o.kw") == 0) {
            buf_put_text(out, "\"o\":{\"kw\":");
            put_any(g, PATHS[i].suits, out, 0);
            buf_put_u8(out, '}');
        } else if (strcmp(PATHS[i].path, "a[].n") == 0) {
            size_t count = gen_below(g, 4);

            buf_put_text(out, "\"a\":[");
            for (size_t k = 0; k < count; k++) {
                buf_put_text(out, k > 0 ? ",{\"n\":" : "{\"n\":");
                put_any(g, PATHS[i].suits, out, 1);
                buf_put_u8(out, '}');
            }
            buf_put_u8(out, ']');
        } else {
            buf_printf(out, "\"%s\":", PATHS[i].path);
            put_any(g, PATHS[i].suits, out, 0);
        }
    }
    buf_put_u8(out, '}');
    buf_put_u8(out, '\0');
}

/* --- conditions --- */

static void put_scalar(struct gen *g, enum pindex_type type, struct buf *out)
{
    if (type == PINDEX_FLOAT || type == PINDEX_GEO)
        type = PINDEX_INTEGER; /* match takes neither */
    put_suiting(g, type, out);
}

static void put_values(struct gen *g, enum pindex_type type, struct buf *out)
{
    size_t count = gen_below(g, 5);

    if (type == PINDEX_BOOL) /* lists are of texts or of integers */
        type = PINDEX_INTEGER;
    buf_put_u8(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        put_scalar(g, type, out);
    }
    buf_put_u8(out, ']');
}

static void put_bounds(struct gen *g, enum pindex_type type, struct buf *out)
{
    static const char *const lower[] = {"gt", "gte"};
    static const char *const upper[] = {"lt", "lte"};
    bool low = gen_below(g, 4) != 0;
    bool high = !low || gen_below(g, 2) == 0;

    buf_put_text(out, "{");
    if (low) {
        buf_printf(out, "\"%s\":", pick(g, lower, 2));
        put_suiting(g, type, out);
    }
    if (high) {
        buf_printf(out, "%s\"%s\":", low ? "," : "", pick(g, upper, 2));
        put_suiting(g, type, out);
    }
    buf_put_text(out, "}");
}

static void put_good_time_bounds(struct gen *g, struct buf *out)
{
    buf_printf(out, "{\"gte\":\"2024-0%d-10\",\"lt\":\"2024-0%d-12T13:00:00Z\"}",
               1 + (int)gen_below(g, 9), 1 + (int)gen_below(g, 9));
}

static void put_area(struct gen *g, struct buf *out)
{
    double lat, lon;

    switch (gen_below(g, 3)) {
    case 0:
        buf_put_text(out, "\"geo_radius\":{\"center\":");
        put_point(g, out, true);
        buf_printf(out, ",\"radius\":%d}",
                   (int)gen_below(g, gen_below(g, 3) == 0 ? 9000000 : 9000));
        return;
    case 1:
        buf_put_text(out, "\"geo_bounding_box\":{\"top_left\":");
        put_point(g, out, true);
        buf_put_text(out, ",\"bottom_right\":");
        put_point(g, out, true);
        buf_put_text(out, "}");
        return;
    default:
        make_degrees(g, &lat, &lon);
        lat = lat > 80 ? 80 : lat < -80 ? -80 : lat;
        lon = lon > 170 ? 170 : lon < -170 ? -170 : lon;
        buf_printf(out,
                   "\"geo_polygon\":{\"exterior\":{\"points\":[{\"lat\":%f,\"lon\":%f},"
                   "{\"lat\":%f,\"lon\":%f},{\"lat\":%f,\"lon\":%f},{\"lat\":%f,\"lon\":%f}]}}",
                   lat, lon, lat + 9, lon + 1, lat + 2, lon + 9, lat, lon);
        return;
    }
}

static void put_condition(struct gen *g, struct buf *out)
{
    size_t at = gen_below(g, GEN_PATHS + 1); /* the last: a key that nobody indexes */
    const char *path = at < GEN_PATHS ? PATHS[at].path : "kw[0]";
    enum pindex_type type = at < GEN_PATHS ? PATHS[at].suits : PINDEX_KEYWORD;

    if (gen_below(g, 10) == 0)
        type = (enum pindex_type)(1 + gen_below(g, PINDEX_TEXT));
    buf_printf(out, "{\"key\":\"%s\",", path);
    switch (gen_below(g, 12)) {
    case 0:
        buf_printf(out, "\"is_empty\":%s}", gen_below(g, 2) == 0 ? "true" : "false");
        return;
    case 1:
        buf_printf(out, "\"is_null\":%s}", gen_below(g, 2) == 0 ? "true" : "false");
        return;
    case 2:
        buf_put_text(out, "\"match\":{\"except\":");
        put_values(g, type, out);
        buf_put_text(out, "}}");
        return;
    case 3:
        buf_put_text(out, "\"match\":{\"any\":");
        put_values(g, type, out);
        buf_put_text(out, "}}");
        return;
    case 4:
        buf_printf(out, "\"values_count\":{\"gte\":%d}}", (int)gen_below(g, 3));
        return;
    default:
        break;
    }
    if (type == PINDEX_GEO) {
        put_area(g, out);
    } else if (type == PINDEX_DATETIME) {
        buf_put_text(out, "\"range\":");
        put_good_time_bounds(g, out);
    } else if (type == PINDEX_FLOAT || (type == PINDEX_INTEGER && gen_below(g, 2) == 0)) {
        buf_put_text(out, "\"range\":");
        put_bounds(g, gen_below(g, 2) == 0 ? PINDEX_INTEGER : PINDEX_FLOAT, out);
    } else if (type == PINDEX_TEXT) {
        static const char *const kinds[] = {"text", "text_any", "phrase"};

        buf_printf(out, "\"match\":{\"%s\":", pick(g, kinds, 3));
        put_text(g, out);
        buf_put_text(out, "}");
    } else {
        buf_put_text(out, "\"match\":{\"value\":");
        put_scalar(g, type, out);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "}");
}

static void put_filter(struct gen *g, struct buf *out, int depth);

static void put_clause(struct gen *g, struct buf *out, int depth, size_t count)
{
    buf_put_u8(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        if (depth < 2 && gen_below(g, 5) == 0)
            put_filter(g, out, depth + 1);
        else
            put_condition(g, out);
    }
    buf_put_u8(out, ']');
}

static void put_filter(struct gen *g, struct buf *out, int depth)
{
    static const char *const clauses[] = {"must", "should", "must_not"};
    const char *comma = "";
    bool some = gen_below(g, 5) == 0;

    buf_put_u8(out, '{');
    for (size_t i = 0; i < COUNT_OF(clauses); i++) {
        if (gen_below(g, 2) == 0 && !(i == 2 && comma[0] == '\0' && !some))
            continue;
        buf_printf(out, "%s\"%s\":", comma, clauses[i]);
        comma = ",";
        put_clause(g, out, depth, 1 + gen_below(g, 3));
    }
    if (some) {
        size_t count = 1 + gen_below(g, 5);

        buf_printf(out, "%s\"min_should\":{\"min_count\":%d,\"conditions\":", comma,
                   1 + (int)gen_below(g, count + 1));
        put_clause(g, out, depth, count);
        buf_put_u8(out, '}');
    }
    buf_put_u8(out, '}');
}

void gen_filter(struct gen *g, struct buf *out)
{
    if (gen_below(g, 3) == 0) {
        buf_put_text(out, "{\"must\":");
        put_condition(g, out);
        buf_put_u8(out, '}');
    } else {
        put_filter(g, out, 0);
    }
    buf_put_u8(out, '\0');
}

/* --- our own dialect: null, and numbers that equal whatever their kind --- */

static void put_own_value(struct gen *g, enum pindex_type type, struct buf *out)
{
    if (gen_below(g, 10) == 0)
        buf_put_text(out, "null");
    else if (type == PINDEX_INTEGER || type == PINDEX_FLOAT || type == PINDEX_GEO)
        put_suiting(g, gen_below(g, 2) == 0 ? PINDEX_INTEGER : PINDEX_FLOAT, out);
    else
        put_suiting(g, type, out);
}

static void put_own_condition(struct gen *g, enum pindex_type type, struct buf *out)
{
    static const char *const one[] = {"$eq", "$ne"};
    static const char *const many[] = {"$in", "$nin"};
    static const char *const bounds[] = {"$lt", "$lte", "$gt", "$gte"};
    size_t kind = gen_below(g, 8);
    size_t count = gen_below(g, 6);

    if (kind <= 1) {
        put_own_value(g, type, out);
    } else if (kind <= 3) {
        buf_printf(out, "{\"%s\":", pick(g, one, 2));
        put_own_value(g, type, out);
        buf_put_u8(out, '}');
    } else if (kind <= 5) {
        buf_printf(out, "{\"%s\":[", pick(g, many, 2));
        for (size_t i = 0; i < count; i++) {
            buf_put_text(out, i > 0 ? "," : "");
            put_own_value(g, type, out);
        }
        buf_put_text(out, "]}");
    } else if (kind == 6) {
        buf_printf(out, "{\"$exists\":%s}", count % 2 == 0 ? "true" : "false");
    } else {
        buf_printf(out, "{\"$not\":{\"%s\":", pick(g, bounds, 4));
        put_suiting(g, count % 2 == 0 ? PINDEX_INTEGER : PINDEX_FLOAT, out);
        buf_put_text(out, "}}");
    }
}

void gen_own_filter(struct gen *g, struct buf *out)
{
    bool either = gen_below(g, 3) == 0;
    size_t count = 1 + gen_below(g, 3);

    buf_put_text(out, either ? "{\"$or\":[{" : "{");
    for (size_t i = 0; i < count; i++) {
        size_t path = gen_below(g, GEN_PATHS);

        buf_put_text(out, i == 0 ? "" : either ? "},{" : ",");
        buf_printf(out, "\"%s\":", PATHS[path].path);
        put_own_condition(g, PATHS[path].suits, out);
    }
    buf_put_text(out, either ? "}]}" : "}");
    buf_put_u8(out, '\0');
}
