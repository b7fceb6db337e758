/* bench_rest_cost - what a query costs the server's processors on top of the index's search.
 *
 *     bench_rest_cost TIERVEC BASE.npy QUERY.npy [rows] [ef] [seconds] [rounds]
 *
 * Starts `TIERVEC serve` on a scratch directory beside the current one and loads `rows` vectors
 * (100,000; rows beyond BASE's are sums of two of its rows with seeded noise) under cosine. The
 * same rows, with the same m, ef_construction and ef, are searched by the index alone in this
 * process. Both are then asked the same queries in turns, `rounds` times. Processor time is that of
 * the whole process, by its clock in nanoseconds; each figure is the median of the rounds.
 *
 * Requests are made beforehand: numbers as short as a float allows, but where "17 digits" is said,
 * which is how programs print that read the floats as doubles. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "bench/ann_engine.h"
#include "bench/http_client.h"
#include "bench/npy.h"
#include "bench/replay.h"
#include "index/vindex.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TOP_K = 10,
    M = 32,
    EF_CONSTRUCTION = 200,
    BATCH = 1000,
    QUERIES = 1000,
    ROUNDS_MAX = 15,
    ANSWER_BYTES = 1 << 20,
    PORT = 18743,
};

/* How the queries are put: a body is `before`, queries with "," between them, `after`. */
struct form {
    const char *name, *path, *before, *after;
    unsigned batch, clients;
    bool theirs; /* the compatible dialect */
    bool doubles;
};
#define OUR_REST   ",\"top_k\":10,\"with_payload\":false,\"ef_search\":%u}"
#define THEIR_REST ",\"limit\":10,\"params\":{\"hnsw_ef\":%u}}"
static const char OUR_PATH[] = "/api/v1/collections/bench/query";
static const char THEIR_PATH[] = "/collections/bench/points/query";
static const char THEIR_BATCH[] = "/collections/bench/points/query/batch";
static const struct form FORMS[] = {
    {"ours, 1 client", OUR_PATH, "", "", 1, 1, false, false},
    {"ours, 1 client, 17 digits", OUR_PATH, "", "", 1, 1, false, true},
    {"ours, 8 clients", OUR_PATH, "", "", 1, 8, false, false},
    {"ours, batches of 10", OUR_PATH, "{\"queries\":[", "]}", 10, 1, false, false},
    {"ours, batches of 100", OUR_PATH, "{\"queries\":[", "]}", 100, 1, false, false},
    {"compatible, 1 client", THEIR_PATH, "", "", 1, 1, true, false},
    {"compatible, 1, 17 digits", THEIR_PATH, "", "", 1, 1, true, true},
    {"compatible, 8 clients", THEIR_PATH, "", "", 1, 8, true, false},
    {"compatible, batches of 10", THEIR_BATCH, "{\"searches\":[", "]}", 10, 1, true, false},
    {"compatible, batches of 100", THEIR_BATCH, "{\"searches\":[", "]}", 100, 1, true, false},
};
enum { FORM_COUNT = sizeof FORMS / sizeof FORMS[0] };

struct bench {
    const char *program;
    char dir[64];
    pid_t server;
    struct npy base, query;
    float *units; /* the queries as the index takes them */
    uint32_t rows, queries;
    unsigned ef, rounds;
    double seconds;
    void *index;
    struct buf requests[FORM_COUNT];
    struct slice *slices[FORM_COUNT];
    uint32_t counts[FORM_COUNT];
    double index_us[ROUNDS_MAX];
    struct replay_told told[FORM_COUNT][ROUNDS_MAX];
};

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_rest_cost: %s\n", what);
    exit(1);
}

/* --- the server --- */

static void server_start(struct bench *b)
{
    char port[16];

    (void)snprintf(port, sizeof port, "%d", PORT);
    (void)fflush(stdout);
    b->server = fork();
    if (b->server == 0) {
        int null = open("/dev/null", O_WRONLY);

        (void)dup2(null, 1);
        execl(b->program, b->program, "serve", "--quiet", "--data-dir", b->dir, "--rest-port", port,
              "--grpc-port", "0", "--log-level", "warn", (char *)NULL);
        _exit(127);
    }
}

static int call(const char *method, const char *path, const char *body, char *answer)
{
    struct buf request;
    int fd = http_connect(PORT);
    int code;

    if (fd < 0)
        return 0;
    buf_init(&request, 1 << 20);
    http_request(&request, method, path, slice_text(body));
    code = http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, NULL);
    (void)close(fd);
    buf_free(&request);
    return code;
}

static void load(struct bench *b, char *answer)
{
    struct buf request;
    struct buf body;
    float *row = mem_alloc_array(b->base.dim, sizeof *row);
    int fd = http_connect(PORT);

    buf_init(&request, (size_t)1 << 30);
    buf_init(&body, (size_t)1 << 30);
    if (row == NULL)
        die("out of memory");
    for (uint32_t at = 0; at < b->rows; at += BATCH) {
        buf_reset(&body);
        buf_reset(&request);
        buf_put_text(&body, "{\"documents\":[");
        for (uint32_t i = at; i < b->rows && i < at + BATCH; i++) {
            npy_row(&b->base, i, row);
            buf_printf(&body, "%s{\"doc_id\":%u,\"vector\":", i == at ? "" : ",", i);
            json_put_floats(&body, row, b->base.dim);
            buf_put_text(&body, "}");
        }
        buf_put_text(&body, "]}");
        http_request(&request, "POST", "/api/v1/collections/bench/insert", buf_slice(&body));
        if (http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, NULL) != 200)
            die(answer);
    }
    do
        (void)usleep(50000);
    while (call("GET", "/api/v1/collections/bench", "", answer) == 200 &&
           strstr(answer, "\"pending_rows\":0") == NULL);
    (void)close(fd);
    buf_free(&request);
    buf_free(&body);
    mem_free(row);
}

/* --- requests --- */

static void put_doubles(struct buf *out, const float *v, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_put_text(out, i == 0 ? "[" : ",");
        json_put_f64(out, (double)v[i]);
    }
    buf_put_text(out, "]");
}

static void put_query(struct buf *out, const struct bench *b, const struct form *f, uint32_t at)
{
    const float *v = b->query.values + (size_t)(at % b->queries) * b->base.dim;

    buf_put_text(out, f->theirs ? "{\"query\":" : "{\"query_vector\":");
    if (f->doubles)
        put_doubles(out, v, b->base.dim);
    else
        json_put_floats(out, v, b->base.dim);
    buf_printf(out, f->theirs ? THEIR_REST : OUR_REST, b->ef);
}

static void make_requests(struct bench *b, unsigned which)
{
    const struct form *f = &FORMS[which];
    uint32_t count = b->queries / f->batch < 10 ? 10 : b->queries / f->batch;
    size_t *ends = mem_alloc_array(count, sizeof *ends);
    struct buf *all = &b->requests[which];
    struct buf body;

    buf_init(all, (size_t)1 << 30);
    buf_init(&body, (size_t)1 << 30);
    b->slices[which] = mem_alloc_array(count, sizeof *b->slices[which]);
    b->counts[which] = count;
    if (ends == NULL || b->slices[which] == NULL)
        die("out of memory");
    for (uint32_t i = 0; i < count; i++) {
        buf_reset(&body);
        buf_put_text(&body, f->before);
        for (unsigned k = 0; k < f->batch; k++) {
            buf_put_text(&body, k == 0 ? "" : ",");
            put_query(&body, b, f, i * f->batch + k);
        }
        buf_put_text(&body, f->after);
        http_request(all, "POST", f->path, buf_slice(&body));
        ends[i] = all->bytes;
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t from = i == 0 ? 0 : ends[i - 1];

        b->slices[which][i] = slice_make(all->data + from, ends[i] - from);
    }
    buf_free(&body);
    mem_free(ends);
}

/* --- measuring --- */

static void build_index(struct bench *b)
{
    struct ann_spec spec = {.metric = ANN_COSINE,
                            .dim = b->base.dim,
                            .rows = b->rows,
                            .m = M,
                            .ef_construction = EF_CONSTRUCTION};
    float *rows = mem_alloc_array((size_t)b->rows * b->base.dim, sizeof *rows);

    b->units = mem_alloc_array((size_t)b->queries * b->base.dim, sizeof *b->units);
    if (rows == NULL || b->units == NULL)
        die("out of memory");
    for (uint32_t i = 0; i < b->rows; i++) {
        npy_row(&b->base, i, rows + (size_t)i * b->base.dim);
        (void)vindex_normalise(rows + (size_t)i * b->base.dim, b->base.dim);
    }
    memcpy(b->units, b->query.values, (size_t)b->queries * b->base.dim * sizeof *b->units);
    for (uint32_t i = 0; i < b->queries; i++)
        (void)vindex_normalise(b->units + (size_t)i * b->base.dim, b->base.dim);
    b->index = ann_tiervec.build(&spec, rows, 2);
    if (b->index == NULL)
        die("the index could not be built");
    mem_free(rows);
}

static double own_cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double index_us(struct bench *b)
{
    uint32_t found[TOP_K];
    double begun = own_cpu_s();

    for (uint32_t i = 0; i < b->queries; i++)
        (void)ann_tiervec.search(b->index, b->units + (size_t)i * b->base.dim, TOP_K, b->ef, found);
    return (own_cpu_s() - begun) * 1e6 / b->queries;
}

static void measure(struct bench *b, unsigned round)
{
    b->index_us[round] = index_us(b);
    for (unsigned f = 0; f < FORM_COUNT; f++) {
        struct replay r = {.port = PORT,
                           .protocol = REPLAY_HTTP,
                           .requests = b->slices[f],
                           .count = b->counts[f],
                           .clients = FORMS[f].clients,
                           .seconds = b->seconds,
                           .servers = &b->server,
                           .server_count = 1};

        if (!replay_run(&r, &b->told[f][round]) || b->told[f][round].failures > 0)
            die(FORMS[f].name);
    }
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *v, unsigned count)
{
    qsort(v, count, sizeof *v, rising);
    return v[count / 2];
}

static void print(struct bench *b)
{
    double index = median(b->index_us, b->rounds);

    printf("%u x %u, ef %u, index alone %.1f us of CPU a query (%.1f to %.1f over %u rounds)\n",
           b->rows, b->base.dim, b->ef, index, b->index_us[0], b->index_us[b->rounds - 1],
           b->rounds);
    printf("%-27s %9s %9s %9s %9s %8s %8s %8s\n", "CPU us a query", "server", "on top", "least",
           "queries/s", "p50 us", "p95", "p99");
    for (unsigned f = 0; f < FORM_COUNT; f++) {
        double cpu[ROUNDS_MAX];
        double rate[ROUNDS_MAX];
        const struct replay_told *last = &b->told[f][b->rounds - 1];

        for (unsigned i = 0; i < b->rounds; i++) {
            double queries = (double)b->told[f][i].answers * FORMS[f].batch;

            cpu[i] = b->told[f][i].server_cpu_s * 1e6 / queries;
            rate[i] = queries / b->told[f][i].wall_s;
        }
        qsort(cpu, b->rounds, sizeof *cpu, rising);
        printf("%-27s %9.1f %9.1f %9.1f %9.0f %8.0f %8.0f %8.0f\n", FORMS[f].name,
               cpu[b->rounds / 2], cpu[b->rounds / 2] - index, cpu[0] - index,
               median(rate, b->rounds), last->p50_us, last->p95_us, last->p99_us);
    }
}

static void prepare(struct bench *b, int argc, char **argv)
{
    struct err err = {0};

    b->program = argv[1];
    b->rows = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 100000;
    b->ef = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 100;
    b->seconds = argc > 6 ? strtod(argv[6], NULL) : 1;
    b->rounds = argc > 7 ? (unsigned)strtoul(argv[7], NULL, 10) : 5;
    if (b->rounds == 0 || b->rounds > ROUNDS_MAX)
        die("1 to 15 rounds");
    if (npy_read(argv[2], b->rows, &b->base, &err) != ST_OK ||
        npy_read(argv[3], QUERIES, &b->query, &err) != ST_OK)
        die(err.text);
    b->queries = b->query.rows;
    (void)snprintf(b->dir, sizeof b->dir, "bench-data-%d", (int)getpid());
    if (http_connect(PORT) >= 0)
        die("something listens on the benchmark's port already");
}

int main(int argc, char **argv)
{
    char *answer = mem_alloc(ANSWER_BYTES);
    static struct bench b;
    char body[200];
    bool fine;

    if (argc < 4 || answer == NULL)
        die("usage: bench_rest_cost TIERVEC BASE.npy QUERY.npy [rows] [ef] [seconds] [rounds]");
    prepare(&b, argc, argv);
    build_index(&b);
    server_start(&b);
    while (call("GET", "/ready", "", answer) != 200)
        (void)usleep(1000);
    (void)snprintf(body, sizeof body,
                   "{\"name\":\"bench\",\"dimension\":%u,\"metric\":\"cosine\",\"hnsw\":{\"m\":%d,"
                   "\"ef_construction\":%d}}",
                   b.base.dim, M, EF_CONSTRUCTION);
    if (call("POST", "/api/v1/collections", body, answer) != 201)
        die(answer);
    load(&b, answer);
    for (unsigned f = 0; f < FORM_COUNT; f++)
        make_requests(&b, f);
    for (unsigned i = 0; i < b.rounds; i++)
        measure(&b, i);
    print(&b);
    (void)kill(b.server, SIGTERM);
    (void)waitpid(b.server, NULL, 0);
    (void)snprintf(body, sizeof body, "rm -rf '%s'", b.dir);
    fine = system(body) == 0;
    ann_tiervec.destroy(b.index);
    return fine ? 0 : 1;
}
