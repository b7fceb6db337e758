/* bench_qdrant_points - what the points routes of the compatible dialect cost by themselves.
 *
 *     bench_qdrant_points [rounds]
 *
 * Reading: bodies of 1,000 x 1,536 random floats, with a small payload each, as points and as
 * columns, unnamed and named; with the digits of a float, and with the seventeen that a client
 * writes who makes doubles of them. The handler runs as it does behind the door, slice by slice,
 * up to where it hands typed rows to node; beside it what the JSON reader needs for the same body
 * in one piece. MB are 10^6 bytes of JSON text. Printing: records with a small payload, without a
 * vector and with one. Each line is the best of `rounds` (10). */
#include "api/api_internal.h"
#include "api/qdrant_handlers.h"
#include "base/jbin.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "tests/support/fake_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 1000, DIM = 1536, BODY_BYTES_MAX = 64 << 20, RECORDS = 1000 };

enum form { POINTS, NAMED_POINTS, COLUMNS, NAMED_COLUMNS, FORMS };
static const char *const FORM_NAMES[] = {"points", "named points", "columns", "named columns"};

struct bench {
    struct task task; /* first: what runs on the worker */
    unsigned rounds;
    struct api *api;
    struct node *node;
    struct exec *exec;
    float *vectors;
    _Atomic bool done;
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "bench_qdrant_points: %s\n", what);
    exit(1);
}

static void on_made(void *arg, status st, const struct collection_info *info, const struct err *err)
{
    (void)info;
    (void)err;
    check(st == ST_OK, "create");
    atomic_store((_Atomic bool *)arg, true);
}

static void make(struct bench *b, const char *name, const char *field)
{
    const struct field_info fields[] = {{.name = field, .dimension = DIM}};
    const struct collection_spec spec = {
        .name = name, .fields = fields, .field_count = 1, .threshold = UINT32_MAX};
    _Atomic bool made = false;

    node_collection_create(b->node, &spec, on_made, &made);
    while (!atomic_load(&made))
        (void)usleep(100);
}

/* --- bodies --- */

static void put_vector(const struct bench *b, struct buf *body, unsigned row, bool doubles)
{
    const float *v = b->vectors + (size_t)row * DIM;

    if (!doubles) {
        json_put_floats(body, v, DIM);
        return;
    }
    buf_put_text(body, "[");
    for (unsigned k = 0; k < DIM; k++) {
        buf_put_text(body, k > 0 ? ", " : "");
        json_put_f64(body, (double)v[k]);
    }
    buf_put_text(body, "]");
}

static void put_payload(struct buf *body, unsigned row)
{
    buf_printf(body, "{\"title\":\"number %u\",\"rank\":%u,\"score\":0.5}", row, row);
}

static void make_body(const struct bench *b, struct buf *body, enum form form, bool doubles)
{
    buf_reset(body);
    buf_put_text(body, form <= NAMED_POINTS ? "{\"points\":[" : "{\"batch\":{\"ids\":[0");
    for (unsigned i = 1; i < ROWS && form >= COLUMNS; i++)
        buf_printf(body, ",%u", i);
    if (form >= COLUMNS)
        buf_put_text(body, form == COLUMNS ? "],\"vectors\":[" : "],\"vectors\":{\"v\":[");
    for (unsigned i = 0; i < ROWS; i++) {
        buf_put_text(body, i > 0 ? "," : "");
        if (form <= NAMED_POINTS)
            buf_printf(body, "{\"id\":%u,\"vector\":%s", i, form == POINTS ? "" : "{\"v\":");
        put_vector(b, body, i, doubles);
        if (form > NAMED_POINTS)
            continue;
        buf_put_text(body, form == POINTS ? ",\"payload\":" : "},\"payload\":");
        put_payload(body, i);
        buf_put_text(body, "}");
    }
    if (form >= COLUMNS) {
        buf_put_text(body, form == COLUMNS ? "],\"payloads\":[" : "]},\"payloads\":[");
        for (unsigned i = 0; i < ROWS; i++) {
            buf_put_text(body, i > 0 ? "," : "");
            put_payload(body, i);
        }
    }
    buf_put_text(body, form <= NAMED_POINTS ? "]}" : "]}}");
    check(buf_reserve(body, JSON_PADDING_BYTES) && !body->failed, "out of memory for a body");
}

/* --- reading --- */

/* One request up to its hand-over; how many slices it took. */
static unsigned read_once(struct bench *b, const struct buf *body, bool named)
{
    struct request req = {.api = b->api, .body = *body, .deadline_ns = UINT64_MAX};
    task_state state;
    unsigned slices = 1;

    arena_init(&req.arena, REQUEST_ARENA_BYTES_MAX);
    req.match.params[0] = slice_text(named ? "named" : "plain");
    state = handle_qd_upsert(&req);
    for (; state == TASK_AGAIN; slices++)
        state = req.task.run(&req.task);
    check(req.http_status == 0, "the body was refused");
    node_collection_unpin(req.collection);
    buf_free(&req.payloads);
    arena_free(&req.arena);
    return slices;
}

static double read_whole_s(const struct bench *b, const struct buf *body)
{
    uint64_t from = clock_mono_ns(clock_real());
    struct jdoc *doc = NULL;
    struct jval points;
    struct jval vector;
    struct jval root;
    size_t row = 0;
    size_t count;

    check(jdoc_create(&doc, NULL) == ST_OK && jdoc_parse_buf(doc, body, &root, NULL) == ST_OK &&
              jval_member(root, "points", &points),
          "parse");
    for (struct jiter it = jval_iter(points); jiter_next(&it); row++)
        check(jval_member(it.value, "vector", &vector) &&
                  jval_floats(vector, b->vectors + row * DIM, DIM, &count, NULL) == ST_OK,
              "vector");
    jdoc_destroy(doc);
    return (double)(clock_mono_ns(clock_real()) - from) * 1e-9;
}

static void print_line(const char *name, double best_s, size_t bytes, unsigned slices)
{
    printf("%-44s %8.2f ms %8.1f MB/s", name, best_s * 1e3, (double)bytes / best_s / 1e6);
    if (slices > 0)
        printf("  %u slices of %.2f ms", slices, best_s * 1e3 / slices);
    printf("\n");
}

static void bench_reading(struct bench *b)
{
    struct buf body;

    buf_init(&body, BODY_BYTES_MAX);
    for (int doubles = 0; doubles <= 1; doubles++) {
        for (int form = POINTS; form < FORMS; form++) {
            double best_s = 1e9;
            double whole_s = 1e9;
            unsigned slices = 0;
            char name[64];

            make_body(b, &body, (enum form)form, doubles != 0);
            for (unsigned i = 0; i < b->rounds; i++) {
                uint64_t from = clock_mono_ns(clock_real());
                double took_s;

                slices = read_once(b, &body, form == NAMED_POINTS || form == NAMED_COLUMNS);
                took_s = (double)(clock_mono_ns(clock_real()) - from) * 1e-9;
                best_s = took_s < best_s ? took_s : best_s;
                if (form != POINTS)
                    continue;
                took_s = read_whole_s(b, &body);
                whole_s = took_s < whole_s ? took_s : whole_s;
            }
            (void)snprintf(name, sizeof name, "read %s, %.1f MB of %s", FORM_NAMES[form],
                           (double)body.bytes / 1e6, doubles != 0 ? "doubles" : "floats");
            print_line(name, best_s, body.bytes, slices);
            if (form == POINTS)
                print_line("  the JSON reader alone, in one piece", whole_s, body.bytes, 0);
        }
    }
    buf_free(&body);
}

/* --- printing --- */

static void bench_printing(struct bench *b, bool with_vector)
{
    struct collection *c = node_collection_pin(b->node, "plain", 5);
    struct qd_want want = {.payload.part = PAYLOAD_WHOLE, .vectors = with_vector ? 1 : 0};
    double best_s = 1e9;
    struct buf payload;
    struct buf text;
    struct jdoc *doc = NULL;
    struct jval root;
    struct buf out;

    buf_init(&payload, 4096);
    buf_init(&text, 4096);
    buf_init(&out, BODY_BYTES_MAX);
    put_payload(&text, 7);
    check(jdoc_create(&doc, NULL) == ST_OK &&
              jdoc_parse(doc, buf_slice(&text), &root, NULL) == ST_OK,
          "payload");
    jbin_put(&payload, root);
    for (unsigned i = 0; i < b->rounds; i++) {
        uint64_t from = clock_mono_ns(clock_real());
        double took_s;

        buf_reset(&out);
        for (unsigned r = 0; r < RECORDS; r++) {
            const float *vectors[1] = {b->vectors + (size_t)r * DIM};
            const struct document d = {
                .id = docid_u64(r), .payload = buf_slice(&payload), .vectors = vectors};

            qd_print_record(&out, c, &d, &want);
        }
        took_s = (double)(clock_mono_ns(clock_real()) - from) * 1e-9;
        best_s = took_s < best_s ? took_s : best_s;
    }
    check(!out.failed, "print");
    printf("%-44s %8.3f us a record %8.1f MB/s\n",
           with_vector ? "print records with their vectors" : "print records",
           best_s * 1e6 / RECORDS, (double)out.bytes / best_s / 1e6);
    node_collection_unpin(c);
    jdoc_destroy(doc);
    buf_free(&payload);
    buf_free(&text);
    buf_free(&out);
}

static task_state run(struct task *task)
{
    struct bench *b = (struct bench *)task;

    bench_reading(b);
    bench_printing(b, false);
    bench_printing(b, true);
    atomic_store(&b->done, true);
    return TASK_DONE;
}

int main(int argc, char **argv)
{
    struct exec_options e = {.workers = 1, .clock = clock_real()};
    struct rand_seeded rand;
    struct api_options o = {.host = "127.0.0.1",
                            .timeout_ms = 60000,
                            .connections_max = 8,
                            .header_bytes_max = 16 * 1024,
                            .body_bytes_max = BODY_BYTES_MAX,
                            .batch_max = 10000,
                            .clock = clock_real(),
                            .rand = &rand.source};
    struct bench b = {.rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10};
    struct stats *stats = NULL;

    check(exec_open(&e, &b.exec, NULL) == ST_OK && stats_create(&stats, NULL) == ST_OK, "open");
    rand_seeded_init(&rand, 1);
    b.node = fake_node_create();
    fake_node_forget(b.node);
    o.node = b.node;
    o.exec = b.exec;
    o.stats = stats;
    check(api_open(&o, &b.api, NULL) == ST_OK, "api");
    make(&b, "plain", "");
    make(&b, "named", "v");
    b.vectors = mem_alloc_array((size_t)ROWS * DIM, sizeof *b.vectors);
    check(b.vectors != NULL, "out of memory");
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++)
        b.vectors[i] = (float)((double)(int64_t)rand_u64(&rand.source) / 0x1p63);
    b.task.run = run;
    check(exec_submit(b.exec, &b.task, NULL, NULL) == ST_OK, "submit");
    while (!atomic_load(&b.done))
        (void)usleep(1000);
    api_close(b.api);
    exec_close(b.exec);
    fake_node_destroy(b.node);
    stats_destroy(stats);
    mem_free(b.vectors);
    return 0;
}
