/* bench_replay - requests from a file, replayed over connections to a port of 127.0.0.1.
 *
 *     bench_replay PORT http|resp|pg REQUESTS CLIENTS SECONDS [PID...]
 *     bench_replay PORT http|resp|pg REQUESTS once ANSWERS
 *
 * REQUESTS is a list of u32 lengths (little endian), each before its bytes. The first is such a
 * list again, of what each connection says first (it may be empty), the others are the requests.
 * ANSWERS becomes such a list, one answer a request. A run prints a line of JSON: rate, latencies,
 * and the processor time of this program and of the processes that were named. */
#include "bench/replay.h"

#include "base/mem.h"

#include <stdlib.h>

enum { SERVERS_MAX = 64, FILE_BYTES_MAX = 1 << 30 };

static void die(const char *what)
{
    (void)fprintf(stderr, "bench_replay: %s\n", what);
    exit(1);
}

static void read_all(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    char piece[65536];
    size_t n;

    buf_init(out, FILE_BYTES_MAX);
    if (f == NULL)
        die("the file of requests cannot be read");
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_put(out, piece, n);
    (void)fclose(f);
    if (out->failed)
        die("the file of requests is too large");
}

/* How many there are, and where, if `list` has room for them. */
static uint32_t cut(const struct buf *all, struct slice *list)
{
    uint32_t count = 0;

    for (size_t at = 0; at + 4 <= all->bytes; count++) {
        uint32_t bytes = le_u32(all->data + at);

        if (bytes > all->bytes - at - 4)
            die("the file of requests is cut short");
        if (list != NULL)
            list[count] = slice_make(all->data + at + 4, bytes);
        at += 4 + (size_t)bytes;
    }
    if (count < 2)
        die("the file has no request");
    return count;
}

static enum replay_protocol protocol_of(const char *name)
{
    if (strcmp(name, "http") == 0)
        return REPLAY_HTTP;
    if (strcmp(name, "resp") == 0)
        return REPLAY_RESP;
    if (strcmp(name, "pg") != 0)
        die("the protocol is http, resp or pg");
    return REPLAY_PG;
}

static bool once(struct replay *r, const char *path)
{
    FILE *f = fopen(path, "wb");
    bool fine = f != NULL && replay_once(r, f);

    return f != NULL && fclose(f) == 0 && fine;
}

static bool run(struct replay *r, int argc, char **argv)
{
    pid_t servers[SERVERS_MAX];
    struct replay_told t;

    r->servers = servers;
    for (int i = 6; i < argc && r->server_count < SERVERS_MAX; i++)
        servers[r->server_count++] = (pid_t)strtol(argv[i], NULL, 10);
    r->clients = (unsigned)strtoul(argv[4], NULL, 10);
    r->seconds = strtod(argv[5], NULL);
    if (!replay_run(r, &t))
        return false;
    printf("{\"answers\":%llu,\"failures\":%llu,\"rate\":%.1f,\"p50_us\":%.1f,\"p95_us\":%.1f,"
           "\"p99_us\":%.1f,\"server_cpu_us\":%.2f,\"client_cpu_us\":%.2f}\n",
           (unsigned long long)t.answers, (unsigned long long)t.failures,
           (double)t.answers / t.wall_s, t.p50_us, t.p95_us, t.p99_us,
           t.server_cpu_s * 1e6 / (double)t.answers, t.client_cpu_s * 1e6 / (double)t.answers);
    return true;
}

int main(int argc, char **argv)
{
    struct replay r = {0};
    struct buf all;
    struct slice *list;
    uint32_t count;
    bool fine;

    if (argc < 6)
        die("usage: bench_replay PORT http|resp|pg REQUESTS CLIENTS SECONDS [PID...]");
    read_all(argv[3], &all);
    count = cut(&all, NULL);
    list = mem_alloc_array(count, sizeof *list);
    if (list == NULL)
        die("out of memory");
    (void)cut(&all, list);
    r.port = (uint16_t)strtoul(argv[1], NULL, 10);
    r.protocol = protocol_of(argv[2]);
    r.hello = list[0];
    r.requests = list + 1;
    r.count = count - 1;
    fine = strcmp(argv[4], "once") == 0 ? once(&r, argv[5]) : run(&r, argc, argv);
    mem_free(list);
    buf_free(&all);
    return fine ? 0 : 1;
}
