/* bench_json - how fast request bodies are read and vectors are printed.
 *
 *     bench_json [rounds]
 *
 * The body is that of a batch insert: 1,000 vectors of 384 floats, each component a random float in
 * [-1, 1) with all its digits, and a payload each. Then bodies of one query of 384 floats, as
 * programs print numbers. MB are 10^6 bytes of JSON text. Each line is the best of `rounds` (20).
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>

enum { VECTORS = 1000, DIM = 384, QUERIES = 300, BODY_BYTES_MAX = 32 << 20 };

struct bench {
    struct buf body;
    struct buf out;
    struct buf queries[QUERIES];
    struct jdoc *doc;
    float *vectors;
    struct jval root;
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "bench_json: %s\n", what);
    exit(1);
}

static void make_body(struct bench *b)
{
    struct rand_seeded r;

    rand_seeded_init(&r, 1);
    buf_put_text(&b->body, "{\"documents\":[");
    for (unsigned i = 0; i < VECTORS; i++) {
        for (unsigned k = 0; k < DIM; k++)
            b->vectors[i * DIM + k] = (float)((double)(int64_t)rand_u64(&r.source) / 0x1p63);
        buf_printf(&b->body, "%s{\"doc_id\":\"doc-%u\",\"vector\":", i == 0 ? "" : ",", i);
        json_put_floats(&b->body, b->vectors + (size_t)i * DIM, DIM);
        buf_printf(&b->body, ",\"metadata\":{\"title\":\"number %u\",\"rank\":%u,\"score\":0.5}}",
                   i, i);
    }
    buf_put_text(&b->body, "]}");
    check(buf_reserve(&b->body, JSON_PADDING_BYTES), "out of memory");
}

static size_t parse(struct bench *b)
{
    check(jdoc_parse_buf(b->doc, &b->body, &b->root, NULL) == ST_OK, "parse");
    return b->body.bytes;
}

static size_t parse_and_read(struct bench *b)
{
    struct jval documents;
    struct jval vector;
    size_t row = 0;
    size_t count;

    (void)parse(b);
    check(jval_member(b->root, "documents", &documents), "documents");
    for (struct jiter it = jval_iter(documents); jiter_next(&it); row++)
        check(jval_member(it.value, "vector", &vector) &&
                  jval_floats(vector, b->vectors + row * DIM, DIM, &count, NULL) == ST_OK,
              "vector");
    return b->body.bytes;
}

static size_t print(struct bench *b)
{
    buf_reset(&b->out);
    for (size_t i = 0; i < VECTORS; i++)
        json_put_floats(&b->out, b->vectors + i * DIM, DIM);
    check(!b->out.failed, "print");
    return b->out.bytes;
}

static size_t encode_payloads(struct bench *b)
{
    struct jval documents;
    struct jval payload;

    buf_reset(&b->out);
    check(jval_member(b->root, "documents", &documents), "documents");
    for (struct jiter it = jval_iter(documents); jiter_next(&it);)
        if (jval_member(it.value, "metadata", &payload))
            jbin_put(&b->out, payload);
    check(!b->out.failed, "encode");
    return b->out.bytes;
}

static void measure(struct bench *b, unsigned rounds, const char *name,
                    size_t (*fn)(struct bench *))
{
    uint64_t best = UINT64_MAX;
    size_t bytes = 0;

    for (unsigned i = 0; i < rounds; i++) {
        uint64_t from = clock_mono_ns(clock_real());
        uint64_t took;

        bytes = fn(b);
        took = clock_mono_ns(clock_real()) - from;
        best = took < best ? took : best;
    }
    printf("%-32s %8.3f ms %8.1f MB/s\n", name, (double)best / 1e6,
           (double)bytes * 1e3 / (double)best);
}

/* --- one query, its numbers printed in several ways --- */

struct shape {
    const char *name;
    char style; /* f, g or e of printf() */
    int digits;
    double scale;
    bool narrow; /* the number is a float's value */
};
static const struct shape SHAPES[] = {
    {"6 digits", 'f', 6, 1, false},
    {"8 digits", 'f', 8, 1, false},
    {"9 digits, small", 'g', 9, 0.05, false},
    {"floats as doubles, 17 digits", 'g', 17, 0.05, true},
    {"doubles, 17 digits", 'g', 17, 0.05, false},
    {"18 places", 'f', 18, 1, false},
    {"exponents", 'e', 7, 0.001, false},
    {"short ones", 'f', 2, 1, false},
    {"integers to 255", 'f', 0, 255, false},
    {"20 places and more", 'f', 22, 1, false},
};

static void put_number(struct buf *out, const struct shape *shape, double v)
{
    char number[64];

    if (shape->narrow)
        v = (double)(float)v;
    if (shape->style == 'f')
        (void)snprintf(number, sizeof number, "%.*f", shape->digits, v);
    else if (shape->style == 'g')
        (void)snprintf(number, sizeof number, "%.*g", shape->digits, v);
    else
        (void)snprintf(number, sizeof number, "%.*e", shape->digits, v);
    buf_put_text(out, number);
}

/* Bodies enough that no branch predictor knows them by heart. */
static void make_queries(struct bench *b, const struct shape *shape)
{
    struct rand_seeded r;

    rand_seeded_init(&r, 2);
    for (unsigned q = 0; q < QUERIES; q++) {
        struct buf *body = &b->queries[q];

        buf_reset(body);
        buf_put_text(body, "{\"query_vector\":[");
        for (unsigned i = 0; i < DIM; i++) {
            if (i > 0)
                buf_put_text(body, ",");
            put_number(body, shape, (double)(int64_t)rand_u64(&r.source) / 0x1p63 * shape->scale);
        }
        buf_put_text(body, "],\"top_k\":10,\"with_payload\":false}");
        check(buf_reserve(body, JSON_PADDING_BYTES), "out of memory");
    }
}

static size_t parse_queries(struct bench *b)
{
    size_t bytes = 0;

    for (unsigned q = 0; q < QUERIES; q++) {
        struct jval vector;
        size_t count;

        check(jdoc_parse_buf(b->doc, &b->queries[q], &b->root, NULL) == ST_OK &&
                  jval_member(b->root, "query_vector", &vector) &&
                  jval_floats(vector, b->vectors, DIM, &count, NULL) == ST_OK,
              "query_vector");
        bytes += b->queries[q].bytes;
    }
    return bytes;
}

static void measure_shapes(struct bench *b, unsigned rounds)
{
    printf("%d queries of %d floats, parsed and read:\n", QUERIES, DIM);
    for (unsigned q = 0; q < QUERIES; q++)
        buf_init(&b->queries[q], BODY_BYTES_MAX);
    for (size_t i = 0; i < sizeof SHAPES / sizeof SHAPES[0]; i++) {
        make_queries(b, &SHAPES[i]);
        measure(b, rounds, SHAPES[i].name, parse_queries);
    }
    for (unsigned q = 0; q < QUERIES; q++)
        buf_free(&b->queries[q]);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;
    static struct bench b;

    buf_init(&b.body, BODY_BYTES_MAX);
    buf_init(&b.out, BODY_BYTES_MAX);
    b.vectors = mem_alloc_array((size_t)VECTORS * DIM, sizeof *b.vectors);
    check(b.vectors != NULL && jdoc_create(&b.doc, NULL) == ST_OK, "out of memory");
    make_body(&b);
    printf("body: %u x %u floats, %zu bytes\n", VECTORS, DIM, b.body.bytes);
    measure(&b, rounds, "parse", parse);
    measure(&b, rounds, "parse and read the vectors", parse_and_read);
    measure(&b, rounds, "encode the payloads (blob bytes)", encode_payloads);
    measure(&b, rounds, "print the vectors", print);
    measure_shapes(&b, rounds);
    jdoc_destroy(b.doc);
    mem_free(b.vectors);
    buf_free(&b.body);
    buf_free(&b.out);
    return 0;
}
