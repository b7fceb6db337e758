/* bench_rest - the real server over loopback: durable inserts, queries, memory, restart.
 *
 *     bench_rest TIERVEC BASE.npy QUERY.npy [rows] [seconds] [m]
 *
 * Starts `TIERVEC serve` on a scratch directory beside the current one, loads `rows` vectors (rows
 * beyond BASE's are sums of two of its rows with seeded noise), and prints one line a figure. Every
 * latency is beside what the device and the loop cost in the same run: a bare fdatasync of the same
 * bytes. Paced runs send at half of the rate that eight clients reached, on a fixed schedule; their
 * latency counts from the scheduled moment. */
#include "base/clock.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/mem.h"
#include "bench/http_client.h"
#include "bench/npy.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TOP_K = 10,
    BATCH = 1000,
    ANSWER_BYTES = 1 << 20,
    CLIENTS_MAX = 8,
    SAMPLES_MAX = 400000,
    PORT = 18742
};

static const char COLLECTION[] = "/api/v1/collections/bench";

struct bench {
    const char *program;
    char dir[64];
    pid_t server;
    struct npy base, query;
    uint32_t rows, dim;
    double seconds;
    unsigned m;
    _Atomic uint32_t next_id;
};

static double now_s(void)
{
    return (double)clock_mono_ns(clock_real()) * 1e-9;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_rest: %s\n", what);
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

static double server_cpu_s(const struct bench *b)
{
    char path[64];
    unsigned long user = 0;
    unsigned long system = 0;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)b->server);
    f = fopen(path, "r");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) !=
        2)
        user = system = 0;
    (void)fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double server_rss_bytes(const struct bench *b)
{
    char path[64];
    unsigned long pages = 0;
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)b->server);
    f = fopen(path, "r");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    (void)fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* One request on a connection of its own; the answer's body in `answer`. */
static int call(const char *method, const char *path, const char *body, char *answer)
{
    struct buf request;
    const char *text = "";
    int fd = http_connect(PORT);
    int code = 0;

    if (fd < 0)
        return 0;
    buf_init(&request, 1 << 20);
    http_request(&request, method, path, slice_text(body));
    code = http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, &text);
    if (code != 0)
        memmove(answer, text, strlen(text) + 1);
    (void)close(fd);
    buf_free(&request);
    return code;
}

static double member(const char *json, const char *name)
{
    char key[64];
    const char *at;

    (void)snprintf(key, sizeof key, "\"%s\":", name);
    at = strstr(json, key);
    return at == NULL ? -1 : strtod(at + strlen(key), NULL);
}

static void wait_ready(char *answer)
{
    while (call("GET", "/ready", "", answer) != 200)
        (void)usleep(1000);
}

static double wait_linked(char *answer)
{
    double begun = now_s();

    do {
        (void)usleep(20000);
        if (call("GET", COLLECTION, "", answer) != 200)
            die("collection is gone");
    } while (member(answer, "pending_rows") > 0);
    return now_s() - begun;
}

/* --- requests --- */

static void put_document(const struct bench *b, struct buf *out, uint32_t id, float *scratch)
{
    npy_row(&b->base, id, scratch);
    buf_printf(out, "{\"doc_id\":%u,\"payload\":{\"n\":%u},\"vector\":", id, id);
    json_put_floats(out, scratch, b->dim);
    buf_put_text(out, "}");
}

static void insert_request(struct bench *b, struct buf *out, uint32_t first, uint32_t count)
{
    float *scratch = mem_alloc_array(b->dim, sizeof *scratch);
    struct buf body;
    char path[64];

    buf_init(&body, (size_t)1 << 30);
    if (scratch == NULL)
        die("out of memory");
    if (count > 1)
        buf_put_text(&body, "{\"documents\":[");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_text(&body, ",");
        put_document(b, &body, first + i, scratch);
    }
    if (count > 1)
        buf_put_text(&body, "]}");
    (void)snprintf(path, sizeof path, "%s/insert", COLLECTION);
    buf_reset(out);
    http_request(out, "POST", path, buf_slice(&body));
    buf_free(&body);
    mem_free(scratch);
}

static void query_request(struct bench *b, struct buf *out, uint32_t row, bool exact)
{
    struct buf body;
    char path[64];

    buf_init(&body, (size_t)1 << 24);
    buf_printf(&body, "{\"top_k\":%d,\"with_payload\":false%s,\"query_vector\":", TOP_K,
               exact ? ",\"exact\":true" : "");
    json_put_floats(&body, b->query.values + (size_t)(row % b->query.rows) * b->dim, b->dim);
    buf_put_text(&body, "}");
    (void)snprintf(path, sizeof path, "%s/query", COLLECTION);
    buf_reset(out);
    http_request(out, "POST", path, buf_slice(&body));
    buf_free(&body);
}

/* --- a run of clients --- */

struct client {
    struct bench *b;
    struct thread thread;
    bool insert;
    double until, interval; /* seconds; interval 0: closed loop */
    unsigned index;
    double *samples; /* microseconds */
    uint32_t count;
    uint32_t failures;
};

static void run_client(void *arg)
{
    struct client *c = arg;
    char *answer = mem_alloc(ANSWER_BYTES);
    struct buf request;
    int fd = http_connect(PORT);
    uint32_t row = c->index * 131u;
    double due = now_s() + c->interval * (double)c->index / CLIENTS_MAX;

    buf_init(&request, (size_t)1 << 24);
    while (answer != NULL && now_s() < c->until && c->count < SAMPLES_MAX) {
        double begun;

        /* Built outside of what is measured. */
        if (c->insert)
            insert_request(c->b, &request, c->b->next_id++, 1);
        else
            query_request(c->b, &request, row++, false);
        while (c->interval > 0 && now_s() < due)
            (void)usleep((useconds_t)((due - now_s()) * 1e6 > 60 ? (due - now_s()) * 1e6 - 50 : 1));
        begun = c->interval > 0 ? due : now_s();
        due += c->interval;
        if (http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, NULL) != 200)
            c->failures++;
        c->samples[c->count++] = (now_s() - begun) * 1e6;
    }
    (void)close(fd);
    buf_free(&request);
    mem_free(answer);
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void print_samples(const char *name, double *samples, uint32_t count, double took_s,
                          double cpu_s, uint32_t failures)
{
    if (count == 0)
        return;
    qsort(samples, count, sizeof *samples, rising);
    printf("%-26s %8.0f/s  p50 %6.0f  p95 %6.0f  p99 %6.0f us", name, count / took_s,
           samples[count / 2], samples[(size_t)(count * 0.95)], samples[(size_t)(count * 0.99)]);
    if (cpu_s >= 0)
        printf("  server cpu %5.0f us/request", cpu_s * 1e6 / count);
    printf("%s\n", failures > 0 ? "  FAILURES" : "");
    (void)fflush(stdout);
}

/* Requests a second reached. */
static double run(struct bench *b, const char *name, bool insert, unsigned clients, double rate)
{
    struct client c[CLIENTS_MAX] = {0};
    double *all = mem_alloc_array((size_t)clients * SAMPLES_MAX, sizeof *all);
    double begun = now_s();
    double cpu = server_cpu_s(b);
    double took;
    uint32_t count = 0;
    uint32_t failures = 0;

    for (unsigned i = 0; i < clients; i++) {
        c[i] = (struct client){.b = b,
                               .insert = insert,
                               .until = begun + b->seconds,
                               .interval = rate > 0 ? clients / rate : 0,
                               .index = i,
                               .samples = mem_alloc_array(SAMPLES_MAX, sizeof(double))};
        if (all == NULL || c[i].samples == NULL ||
            thread_start(&c[i].thread, "client", THREAD_NORMAL, run_client, &c[i], NULL) != ST_OK)
            die("no thread or memory");
    }
    for (unsigned i = 0; i < clients; i++) {
        thread_join(&c[i].thread);
        memcpy(all + count, c[i].samples, c[i].count * sizeof *all);
        count += c[i].count;
        failures += c[i].failures;
        mem_free(c[i].samples);
    }
    took = now_s() - begun;
    print_samples(name, all, count, took, server_cpu_s(b) - cpu, failures);
    mem_free(all);
    return count / took;
}

/* --- phases --- */

static void device(struct bench *b)
{
    enum { N = 1000 };
    static double samples[N];
    char path[96];
    char *bytes = mem_zero((size_t)b->dim * 4 + 64);
    double begun = now_s();
    int fd;

    (void)snprintf(path, sizeof path, "%s.sync", b->dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || bytes == NULL || posix_fallocate(fd, 0, 16 << 20) != 0)
        die("cannot measure the device");
    for (int i = 0; i < N; i++) {
        double at = now_s();

        if (pwrite(fd, bytes, (size_t)b->dim * 4 + 64, (off_t)i * (b->dim * 4 + 64)) < 0 ||
            fdatasync(fd) != 0)
            die("fdatasync");
        samples[i] = (now_s() - at) * 1e6;
    }
    print_samples("device: write + fdatasync", samples, N, now_s() - begun, -1, 0);
    (void)close(fd);
    (void)unlink(path);
    mem_free(bytes);
}

static void load(struct bench *b, char *answer)
{
    struct buf request;
    int fd = http_connect(PORT);
    double spent = 0;
    double cpu = server_cpu_s(b);
    double rss = server_rss_bytes(b);
    double linked;

    buf_init(&request, (size_t)1 << 30);
    for (uint32_t at = 0; at < b->rows; at += BATCH) {
        uint32_t count = b->rows - at < BATCH ? b->rows - at : BATCH;
        double begun;

        insert_request(b, &request, at, count);
        begun = now_s();
        if (http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, NULL) != 200)
            die(answer);
        spent += now_s() - begun;
    }
    b->next_id = b->rows;
    printf("bulk insert                %8.0f/s  %u rows in batches of %d, durable, %.1f s\n",
           b->rows / spent, b->rows, BATCH, spent);
    linked = wait_linked(answer);
    printf("linked                     %8.0f/s  graph complete %.1f s after the last answer, "
           "server cpu %.0f us/row\n",
           b->rows / (spent + linked), linked, (server_cpu_s(b) - cpu) * 1e6 / b->rows);
    printf("memory                     %8.0f bytes/vector resident (%u x %u, of which f32 %u)\n",
           (server_rss_bytes(b) - rss) / b->rows, b->rows, b->dim, b->dim * 4);
    (void)close(fd);
    buf_free(&request);
}

/* Ids of an answer's matches. */
static unsigned ids_of(const char *body, long ids[TOP_K])
{
    unsigned n = 0;

    while (n < TOP_K && (body = strstr(body, "\"doc_id\":")) != NULL)
        ids[n++] = strtol(body += 9, NULL, 10);
    return n;
}

static void recall(struct bench *b, char *answer, const char *name)
{
    enum { QUERIES = 200 };
    unsigned hits = 0;
    unsigned all = 0;
    struct buf request;
    int fd = http_connect(PORT);

    buf_init(&request, (size_t)1 << 24);
    for (uint32_t q = 0; q < QUERIES; q++) {
        long exact[TOP_K];
        long found[TOP_K];
        const char *body = "";
        unsigned n;
        unsigned m;

        query_request(b, &request, q, true);
        if (http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, &body) != 200)
            die(answer);
        n = ids_of(body, exact);
        query_request(b, &request, q, false);
        if (http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, &body) != 200)
            die(answer);
        m = ids_of(body, found);
        all += n;
        for (unsigned i = 0; i < n; i++)
            for (unsigned j = 0; j < m; j++)
                hits += exact[i] == found[j];
    }
    printf("%-26s %8.4f   recall@%d over %d queries\n", name, (double)hits / all, TOP_K, QUERIES);
    (void)close(fd);
    buf_free(&request);
}

static void restart(struct bench *b, char *answer, int sig, const char *name)
{
    struct buf request;
    double begun;
    double stopped;
    double ready;
    double first;
    int code;
    int fd;

    begun = now_s();
    (void)kill(b->server, sig);
    (void)waitpid(b->server, &code, 0);
    stopped = now_s() - begun;
    begun = now_s();
    server_start(b);
    wait_ready(answer);
    ready = now_s() - begun;
    buf_init(&request, (size_t)1 << 24);
    query_request(b, &request, 0, false);
    fd = http_connect(PORT);
    if (http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, NULL) != 200)
        die(answer);
    first = now_s() - begun;
    (void)close(fd);
    buf_free(&request);
    if (call("GET", COLLECTION, "", answer) != 200)
        die("collection is gone");
    printf("%-26s stop %.2f s, ready %.3f s, first answer %.3f s after start; documents %.0f "
           "linked %.0f pending %.0f\n",
           name, stopped, ready, first, member(answer, "document_count"),
           member(answer, "linked_rows"), member(answer, "pending_rows"));
    (void)fflush(stdout);
}

static void prepare(struct bench *b, int argc, char **argv)
{
    struct err err = {0};

    b->program = argv[1];
    b->rows = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 100000;
    b->seconds = argc > 5 ? strtod(argv[5], NULL) : 5;
    b->m = argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 0;
    if (npy_read(argv[2], b->rows, &b->base, &err) != ST_OK ||
        npy_read(argv[3], 2000, &b->query, &err) != ST_OK)
        die(err.text);
    b->dim = b->base.dim;
    (void)snprintf(b->dir, sizeof b->dir, "bench-data-%d", (int)getpid());
    if (http_connect(PORT) >= 0)
        die("something listens on the benchmark's port already");
}

int main(int argc, char **argv)
{
    char *answer = mem_alloc(ANSWER_BYTES);
    static struct bench b;
    char body[200];
    double rate;

    if (argc < 4 || answer == NULL)
        die("usage: bench_rest TIERVEC BASE.npy QUERY.npy [rows] [seconds] [m]");
    prepare(&b, argc, argv);
    device(&b);
    server_start(&b);
    wait_ready(answer);
    if (b.m != 0)
        (void)snprintf(
            body, sizeof body,
            "{\"name\":\"bench\",\"dimension\":%u,\"metric\":\"cosine\",\"hnsw\":{\"m\":%u}}",
            b.dim, b.m);
    else
        (void)snprintf(body, sizeof body,
                       "{\"name\":\"bench\",\"dimension\":%u,\"metric\":\"cosine\"}", b.dim);
    if (call("POST", "/api/v1/collections", body, answer) != 201)
        die(answer);
    load(&b, answer);
    recall(&b, answer, "recall");
    (void)run(&b, "query, 1 client", false, 1, 0);
    rate = run(&b, "query, 8 clients", false, 8, 0);
    (void)run(&b, "query, paced at half", false, 8, rate / 2);
    (void)run(&b, "insert, 1 client", true, 1, 0);
    rate = run(&b, "insert, 8 clients", true, 8, 0);
    (void)wait_linked(answer);
    (void)run(&b, "insert, paced at half", true, 8, rate / 2);
    (void)wait_linked(answer);
    restart(&b, answer, SIGTERM, "restart after SIGTERM");
    recall(&b, answer, "recall right after");
    (void)run(&b, "query, paced, right after", false, 8, rate / 2 > 1000 ? 1000 : rate / 2);
    restart(&b, answer, SIGKILL, "restart after SIGKILL");
    (void)kill(b.server, SIGTERM);
    (void)waitpid(b.server, NULL, 0);
    (void)snprintf(body, sizeof body, "rm -rf '%s'", b.dir);
    return system(body) == 0 ? 0 : 1;
}
