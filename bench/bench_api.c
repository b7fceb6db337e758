/* bench_api - what the REST door itself costs: requests over loopback against a node in memory that
 * answers at once.
 *
 *     bench_api [seconds] [clients]
 *
 * Prints requests a second and the CPU time of the server a request (the process less its client
 * threads), for a query of 384 numbers, a single insert, and inserts of 1,000 x 384. */
#include "api/api.h"
#include "base/json.h"
#include "base/lock.h"
#include "bench/http_client.h"
#include "tests/support/fake_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DIM = 384, BATCH = 1000, ANSWER_BYTES = 1 << 16 };

struct client {
    struct thread thread;
    uint16_t port;
    struct slice request;
    uint64_t until_ns;
    uint64_t answers, failures;
    double cpu_s;
};

static double cpu_of(int who)
{
    struct rusage r;

    (void)getrusage(who, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int connect_to(uint16_t port)
{
    int fd = http_connect(port);

    if (fd < 0)
        exit(1);
    return fd;
}

static void run_client(void *arg)
{
    struct client *c = arg;
    char *answer = malloc(ANSWER_BYTES);
    int fd = connect_to(c->port);
    double cpu = cpu_of(RUSAGE_THREAD);

    while (clock_mono_ns(clock_real()) < c->until_ns) {
        if (http_exchange(fd, c->request, answer, ANSWER_BYTES, NULL) == 200)
            c->answers++;
        else
            c->failures++;
    }
    c->cpu_s = cpu_of(RUSAGE_THREAD) - cpu;
    (void)close(fd);
    free(answer);
}

static void measure(const char *name, uint16_t port, struct slice request, unsigned clients,
                    double seconds)
{
    struct client *c = calloc(clients, sizeof *c);
    double cpu = cpu_of(RUSAGE_SELF);
    uint64_t begun = clock_mono_ns(clock_real());
    uint64_t answers = 0;
    uint64_t failures = 0;
    double took_s;

    for (unsigned i = 0; i < clients; i++) {
        c[i] = (struct client){
            .port = port, .request = request, .until_ns = begun + (uint64_t)(seconds * 1e9)};
        if (thread_start(&c[i].thread, "client", THREAD_NORMAL, run_client, &c[i], NULL) != ST_OK)
            exit(1);
    }
    cpu = -cpu;
    for (unsigned i = 0; i < clients; i++) {
        thread_join(&c[i].thread);
        answers += c[i].answers;
        failures += c[i].failures;
        cpu -= c[i].cpu_s;
    }
    took_s = (double)(clock_mono_ns(clock_real()) - begun) / 1e9;
    cpu += cpu_of(RUSAGE_SELF);
    printf("%-14s clients=%u requests/s=%.0f server_cpu_us=%.1f body_bytes=%zu failures=%llu\n",
           name, clients, (double)answers / took_s, cpu * 1e6 / (double)(answers + 1),
           request.bytes, (unsigned long long)failures);
    free(c);
}

static void put_vector(struct buf *b, struct rand_source *rand)
{
    float v[DIM];

    for (unsigned i = 0; i < DIM; i++)
        v[i] = (float)((double)rand_below(rand, 2000001) / 1e6 - 1.0);
    json_put_floats(b, v, DIM);
}

static struct buf request_of(const char *path, struct buf *body)
{
    struct buf b;

    buf_init(&b, (size_t)1 << 30);
    http_request(&b, "POST", path, buf_slice(body));
    buf_free(body);
    return b;
}

static struct buf make_query(struct rand_source *rand)
{
    struct buf b;

    buf_init(&b, (size_t)1 << 30);
    buf_put_text(&b, "{\"top_k\":10,\"query_vector\":");
    put_vector(&b, rand);
    buf_put_text(&b, "}");
    return request_of("/api/v1/collections/c/query", &b);
}

static struct buf make_insert(struct rand_source *rand, unsigned rows)
{
    struct buf b;

    buf_init(&b, (size_t)1 << 30);
    buf_put_text(&b, "{\"documents\":[");
    for (unsigned i = 0; i < rows; i++) {
        buf_printf(&b,
                   "%s{\"doc_id\":%u,\"payload\":{\"word\":\"w%u\"},\"vector\":", i == 0 ? "" : ",",
                   i % 8, i);
        put_vector(&b, rand);
        buf_put_text(&b, "}");
    }
    buf_put_text(&b, "]}");
    return request_of("/api/v1/collections/c/insert", &b);
}

static void make_collection(uint16_t port)
{
    static const char body[] = "{\"name\":\"c\",\"dimension\":384,\"metric\":\"cosine\"}";
    char *answer = malloc(ANSWER_BYTES);
    int fd = connect_to(port);
    struct buf request;

    buf_init(&request, 1024);
    http_request(&request, "POST", "/api/v1/collections", slice_text(body));
    (void)http_exchange(fd, buf_slice(&request), answer, ANSWER_BYTES, NULL);
    (void)close(fd);
    buf_free(&request);
    free(answer);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2.0;
    unsigned clients = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    struct exec_options exec_options = {0};
    struct api_options options = {.host = "127.0.0.1",
                                  .timeout_ms = 30000,
                                  .connections_max = 1024,
                                  .header_bytes_max = 16384,
                                  .body_bytes_max = 32 << 20,
                                  .batch_max = 10000,
                                  .metrics_enabled = true};
    struct rand_seeded rand;
    struct buf query, one, many;
    struct err err = {0};
    struct api *api;

    rand_seeded_init(&rand, 1);
    options.node = fake_node_create();
    options.clock = clock_real();
    options.rand = &rand.source;
    if (exec_open(&exec_options, &options.exec, &err) != ST_OK ||
        stats_create(&options.stats, &err) != ST_OK || api_open(&options, &api, &err) != ST_OK) {
        (void)fprintf(stderr, "bench_api: %s\n", err.text);
        return 1;
    }
    make_collection(api_port(api));
    query = make_query(&rand.source);
    one = make_insert(&rand.source, 1);
    many = make_insert(&rand.source, BATCH);
    measure("query", api_port(api), buf_slice(&query), clients, seconds);
    measure("insert 1", api_port(api), buf_slice(&one), clients, seconds);
    measure("insert 1000", api_port(api), buf_slice(&many), clients, seconds);
    api_close(api);
    exec_close(options.exec);
    fake_node_destroy(options.node);
    stats_destroy(options.stats);
    buf_free(&query);
    buf_free(&one);
    buf_free(&many);
    return 0;
}
