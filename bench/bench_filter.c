/* How long one filter_match() takes: typical conditions on payloads of ten members, over enough
 * rows that they do not all lie in the nearest cache; CPU time, as others may want the processor
 * too. Beside each the estimate of filter_cost_ns(). Usage: bench_filter [rounds] */
#include "filter/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS = 20000 };

static const struct {
    const char *name, *filter;
} cases[] = {
    {"keyword, first member", "{\"must\":{\"key\":\"color\",\"match\":{\"value\":\"red\"}}}"},
    {"keyword, last member", "{\"must\":{\"key\":\"shop\",\"match\":{\"value\":\"s17\"}}}"},
    {"keyword, 20 of them", "{\"must\":{\"key\":\"shop\",\"match\":{\"any\":[\"s1\",\"s2\",\"s3\","
                            "\"s4\",\"s5\",\"s6\",\"s7\",\"s8\","
                            "\"s9\",\"s10\",\"s11\",\"s12\",\"s13\",\"s14\",\"s15\",\"s16\","
                            "\"s17\",\"s18\",\"s19\",\"s20\"]}}}"},
    {"number range", "{\"must\":{\"key\":\"price\",\"range\":{\"gte\":10,\"lt\":500.5}}}"},
    {"number range, last member",
     "{\"must\":{\"key\":\"weight\",\"range\":{\"gte\":10,\"lt\":500}}}"},
    {"missing key", "{\"must\":{\"key\":\"none\",\"match\":{\"value\":1}}}"},
    {"element of an array", "{\"must\":{\"key\":\"tags\",\"match\":{\"value\":\"t7\"}}}"},
    {"two steps", "{\"must\":{\"key\":\"maker.city\",\"match\":{\"value\":\"c3\"}}}"},
    {"time range", "{\"must\":{\"key\":\"since\",\"range\":{\"gte\":\"2024-01-01\"}}}"},
    {"circle", "{\"must\":{\"key\":\"place\",\"geo_radius\":{\"center\":{\"lat\":50,\"lon\":10},"
               "\"radius\":500000}}}"},
    {"two words in 100", "{\"must\":{\"key\":\"text\",\"match\":{\"text\":\"word50 missing\"}}}"},
    {"keyword and range", "{\"must\":[{\"key\":\"color\",\"match\":{\"value\":\"red\"}},{\"key\":"
                          "\"price\",\"range\":{\"lt\":500}}]}"},
    {"three clauses", "{\"must\":[{\"key\":\"color\",\"match\":{\"any\":[\"red\",\"blue\"]}}],"
                      "\"must_not\":[{\"key\":\"stock\","
                      "\"match\":{\"value\":false}}],\"should\":[{\"key\":\"price\",\"range\":{"
                      "\"lt\":100}},{\"key\":\"weight\","
                      "\"range\":{\"gt\":900}}]}"},
};

static void put_row(struct buf *text, unsigned n)
{
    static const char *const colors[] = {"red", "green", "blue", "yellow"};

    buf_printf(text,
               "{\"color\":\"%s\",\"price\":%u.5,\"stock\":%s,\"tags\":[\"t%u\",\"t%u\",\"t%u\"],"
               "\"maker\":{\"name\":\"m%u\",\"city\":\"c%u\"},\"since\":\"20%02u-03-04T05:06:07Z\","
               "\"place\":{\"lat\":%u.25,\"lon\":%u.5},\"title\":\"A thing to sell, number %u\","
               "\"weight\":%u,\"shop\":\"s%u\"}",
               colors[n % 4], n % 1000, n % 3 != 0 ? "true" : "false", n % 20, n % 7, n % 11,
               n % 100, n % 10, n % 30 + 10, n % 90, n % 180, n, n * 7 % 1000, n % 100);
}

static void put_text_row(struct buf *text)
{
    buf_put_text(text, "{\"a\":1,\"text\":\"");
    for (unsigned i = 0; i < 100; i++)
        buf_printf(text, "Word%u, ", i);
    buf_put_text(text, "\"}");
}

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct slice blob_of(struct jdoc *doc, struct arena *arena, struct buf *text)
{
    struct buf blob;
    struct slice kept;
    struct jval v;

    buf_init(&blob, 1 << 20);
    if (jdoc_parse(doc, buf_slice(text), &v, NULL) != ST_OK)
        abort();
    jbin_put(&blob, v);
    kept = slice_make(arena_strndup(arena, (const char *)blob.data, blob.bytes), blob.bytes);
    if (kept.data == NULL)
        abort();
    buf_reset(text);
    buf_free(&blob);
    return kept;
}

static void measure(const struct filter *f, const char *name, const struct slice *rows,
                    unsigned rounds)
{
    double best = 1e300;
    size_t matches = 0;

    for (unsigned round = 0; round < rounds; round++) {
        double begun = now_ns();
        double took;

        matches = 0;
        for (size_t i = 0; i < ROWS; i++) {
            struct filter_row row = {.payload = rows[i]};

            matches += filter_match(f, &row) ? 1 : 0;
        }
        took = (now_ns() - begun) / ROWS;
        best = took < best ? took : best;
    }
    printf("%-28s %8.1f %8llu %9.1f %%\n", name, best, (unsigned long long)filter_cost_ns(f),
           100.0 * (double)matches / ROWS);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;
    static struct slice rows[ROWS], texts[ROWS];
    struct arena arena;
    struct jdoc *doc;
    struct buf text;
    size_t bytes = 0;

    arena_init(&arena, (size_t)1 << 30);
    buf_init(&text, 1 << 20);
    if (jdoc_create(&doc, NULL) != ST_OK)
        abort();
    for (unsigned i = 0; i < ROWS; i++) {
        put_row(&text, i);
        rows[i] = blob_of(doc, &arena, &text);
        bytes += rows[i].bytes;
        put_text_row(&text);
        texts[i] = blob_of(doc, &arena, &text);
    }
    printf("%d payloads of %zu bytes, best of %u rounds\n%-28s %8s %8s %11s\n", ROWS, bytes / ROWS,
           rounds, "condition", "ns/row", "estimate", "match");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct filter *f;
        struct jval v;
        struct err err;

        if (jdoc_parse(doc, slice_text(cases[i].filter), &v, &err) != ST_OK ||
            filter_parse_qdrant(v, false, &arena, &f, &err) != ST_OK) {
            printf("%s: %s\n", cases[i].name, err.text);
            return 1;
        }
        measure(f, cases[i].name, strstr(cases[i].filter, "\"text\"") != NULL ? texts : rows,
                rounds);
    }
    buf_free(&text);
    jdoc_destroy(doc);
    arena_free(&arena);
    return 0;
}
