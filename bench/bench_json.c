/* bench_json - how fast request bodies are read and vectors are printed.
 *
 *     bench_json [rounds]
 *
 * The body is that of a batch insert: 1,000 vectors of 384 floats, each component a random float in
 * [-1, 1) with all its digits, and a payload each. MB are 10^6 bytes of JSON text. Each line is the
 * best of `rounds` (20). */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>

enum { VECTORS = 1000, DIM = 384, BODY_BYTES_MAX = 32 << 20 };

struct bench {
    struct buf body;
    struct buf out;
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

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;
    struct bench b = {0};

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
    jdoc_destroy(b.doc);
    mem_free(b.vectors);
    buf_free(&b.body);
    buf_free(&b.out);
    return 0;
}
