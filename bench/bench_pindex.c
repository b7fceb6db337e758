/* bench_pindex - payload indexes alone: building them, what they take, looking rows up.
 *
 *   bench_pindex [rows]
 *
 * Rows are random: a keyword of 1,000, an integer below a million, a float, a time within a year, a
 * point in a town and around it, a text of 8 of 5,000 words. Times are of one thread, by its CPU
 * time; of each lookup the median of many. */
#include "filter/pindex.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/json.h"

enum { KEYWORDS = 1000, NUMBERS = 1000000, WORDS = 5000, TRIES = 41 };

struct rows {
    uint32_t count;
    struct slice *payloads;
    uint8_t *bytes;
    size_t used, room;
};

static uint64_t state = 1;

static uint64_t random_below(uint64_t bound)
{
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % bound;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_pindex: %s\n", what);
    exit(1);
}

static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- rows --- */

static void put_payload(struct buf *out)
{
    char text[64];

    buf_reset(out);
    buf_printf(out, "{\"kw\":\"keyword-%03u\",\"int\":%u,\"flt\":%u.%u,",
               (unsigned)random_below(1000), (unsigned)random_below(NUMBERS),
               (unsigned)random_below(1000), (unsigned)random_below(1000));
    (void)snprintf(text, sizeof text, "2024-%02u-%02uT%02u:%02u:00Z",
                   1 + (unsigned)random_below(12), 1 + (unsigned)random_below(28),
                   (unsigned)random_below(24), (unsigned)random_below(60));
    buf_printf(out, "\"time\":\"%s\",\"geo\":{\"lat\":%.5f,\"lon\":%.5f},\"text\":\"", text,
               52 + (double)random_below(100000) / 1e5, 13 + (double)random_below(100000) / 1e5);
    for (int i = 0; i < 8; i++)
        buf_printf(out, "w%u ", (unsigned)random_below(WORDS));
    buf_put_text(out, "\"}");
}

static void make_rows(struct rows *r, uint32_t count)
{
    struct jdoc *doc = NULL;
    struct buf text, blob;

    r->count = count;
    r->room = (size_t)count * 256;
    r->bytes = malloc(r->room);
    r->payloads = malloc(count * sizeof *r->payloads);
    buf_init(&text, 65536);
    buf_init(&blob, 65536);
    if (r->bytes == NULL || r->payloads == NULL || jdoc_create(&doc, NULL) != ST_OK)
        die("out of memory");
    for (uint32_t i = 0; i < count; i++) {
        struct jval v;

        put_payload(&text);
        buf_reset(&blob);
        if (jdoc_parse(doc, buf_slice(&text), &v, NULL) != ST_OK)
            die("a payload does not parse");
        jbin_put(&blob, v);
        if (blob.failed || r->used + blob.bytes > r->room)
            die("a payload is too long");
        memcpy(r->bytes + r->used, blob.data, blob.bytes);
        r->payloads[i] = slice_make(r->bytes + r->used, blob.bytes);
        r->used += blob.bytes;
    }
    buf_free(&text);
    buf_free(&blob);
    jdoc_destroy(doc);
}

static uint32_t rows_end(void *arg)
{
    return ((struct rows *)arg)->count;
}

static enum pindex_row rows_state(void *arg, uint32_t slot)
{
    return slot < ((struct rows *)arg)->count ? PINDEX_ROW_LIVE : PINDEX_ROW_NONE;
}

static struct slice rows_payload(void *arg, uint32_t slot)
{
    return ((struct rows *)arg)->payloads[slot];
}

/* --- building --- */

static void build(struct pindex_set *set, const struct rows *r, const char *key,
                  enum pindex_type type, struct arena *arena)
{
    struct pindex_spec spec = {.type = type};
    struct pindex_info info;
    double began = cpu_s();
    double took;

    if (path_parse(slice_text(key), arena, &spec.path, NULL) != ST_OK ||
        pindex_add(set, &spec, NULL) != ST_OK)
        die("no index");
    while (pindex_step(set, 4096).left > 0)
        ;
    took = cpu_s() - began;
    if (!pindex_info_of(set, spec.path, &info) || info.state != PINDEX_READY)
        die("not built");
    printf("  %-9s %6.2f us a row, %6.1f bytes a row, %u rows\n", pindex_type_name(type),
           took / r->count * 1e6, (double)info.bytes / r->count, (unsigned)info.points);
}

/* --- lookups --- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void look_up(struct pindex_set *set, const struct rows *r, const char *what,
                    const char *filter)
{
    double times[TRIES], estimate_s;
    struct pindex_answer answer = {0};
    struct pindex_estimate e;
    struct jdoc *doc = NULL;
    struct filter *f = NULL;
    struct arena parsed, arena;
    struct jval v;

    arena_init(&parsed, 1 << 20);
    arena_init(&arena, (size_t)1 << 30);
    if (jdoc_create(&doc, NULL) != ST_OK ||
        jdoc_parse(doc, slice_text(filter), &v, NULL) != ST_OK ||
        filter_parse_qdrant(v, false, &parsed, &f, NULL) != ST_OK ||
        filter_bind(f, &(struct filter_binding){0}, &parsed, NULL) != ST_OK)
        die(filter);
    for (int i = 0; i < TRIES; i++) {
        double began;

        arena_reset(&arena);
        began = cpu_s();
        if (pindex_lookup(set, f, &arena, &answer, NULL) != ST_OK || !answer.used)
            die(filter);
        times[i] = cpu_s() - began;
    }
    qsort(times, TRIES, sizeof *times, by_size);
    estimate_s = cpu_s();
    for (int i = 0; i < 100; i++)
        pindex_estimate(set, f, r->count, &e);
    estimate_s = (cpu_s() - estimate_s) / 100;
    printf("  %-34s %8.1f us, %8u rows%s; estimate %u to %u, %.2f us\n", what,
           times[TRIES / 2] * 1e6, (unsigned)answer.count, answer.exact ? "" : " to ask",
           (unsigned)e.low, (unsigned)e.high, estimate_s * 1e6);
    jdoc_destroy(doc);
    arena_free(&parsed);
    arena_free(&arena);
}

static void look_up_all(struct pindex_set *set, const struct rows *r)
{
    static const struct {
        const char *what;
        unsigned per_mille;
    } ranges[] = {{"integer, range of 0.1 %", 1},
                  {"integer, range of 1 %", 10},
                  {"integer, range of 10 %", 100},
                  {"integer, range of 50 %", 500}};
    char filter[512];

    look_up(set, r, "keyword, 1 of 1,000",
            "{\"must\":{\"key\":\"kw\",\"match\":{\"value\":\"keyword-007\"}}}");
    look_up(set, r, "keyword, not 1 of 1,000",
            "{\"must_not\":{\"key\":\"kw\",\"match\":{\"value\":\"keyword-007\"}}}");
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        (void)snprintf(filter, sizeof filter,
                       "{\"must\":{\"key\":\"int\",\"range\":{\"gte\":200000,\"lt\":%u}}}",
                       200000 + NUMBERS / 1000 * ranges[i].per_mille);
        look_up(set, r, ranges[i].what, filter);
    }
    look_up(set, r, "keyword and integer of 50 %",
            "{\"must\":[{\"key\":\"kw\",\"match\":{\"value\":\"keyword-007\"}},"
            "{\"key\":\"int\",\"range\":{\"lt\":500000}}]}");
    look_up(
        set, r, "datetime, one of 12 months",
        "{\"must\":{\"key\":\"time\",\"range\":{\"gte\":\"2024-05-01\",\"lt\":\"2024-06-01\"}}}");
    look_up(set, r, "geo, 1 km",
            "{\"must\":{\"key\":\"geo\",\"geo_radius\":{\"center\":{\"lat\":52.5,\"lon\":13.4},"
            "\"radius\":1000}}}");
    look_up(set, r, "geo, 20 km",
            "{\"must\":{\"key\":\"geo\",\"geo_radius\":{\"center\":{\"lat\":52.5,\"lon\":13.4},"
            "\"radius\":20000}}}");
    look_up(set, r, "text, one word of 5,000",
            "{\"must\":{\"key\":\"text\",\"match\":{\"text\":\"w77\"}}}");
    look_up(set, r, "text, two words",
            "{\"must\":{\"key\":\"text\",\"match\":{\"text\":\"w77 w78\"}}}");
}

int main(int argc, char **argv)
{
    struct rows r = {0};
    const struct pindex_rows rows = {rows_end, rows_state, rows_payload, &r};
    struct mem_budget budget;
    struct pindex_set *set = NULL;
    struct arena arena;

    make_rows(&r, argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000);
    printf("%u rows, %.0f bytes a payload\n", r.count, (double)r.used / r.count);
    mem_budget_init(&budget, NULL, 0);
    arena_init(&arena, 1 << 20);
    if (pindex_create(&rows, &budget, &set, NULL) != ST_OK)
        die("no set");
    printf("building, CPU of one thread:\n");
    build(set, &r, "kw", PINDEX_KEYWORD, &arena);
    build(set, &r, "int", PINDEX_INTEGER, &arena);
    build(set, &r, "flt", PINDEX_FLOAT, &arena);
    build(set, &r, "time", PINDEX_DATETIME, &arena);
    build(set, &r, "geo", PINDEX_GEO, &arena);
    build(set, &r, "text", PINDEX_TEXT, &arena);
    printf("looking up, median:\n");
    look_up_all(set, &r);
    pindex_destroy(set);
    arena_free(&arena);
    free(r.payloads);
    free(r.bytes);
    return 0;
}
