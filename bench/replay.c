#include "bench/replay.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 8 << 20, SAMPLES_MAX = 1 << 21, CLIENTS_MAX = 64 };

struct link {
    int fd;
    char *answer;
    size_t bytes; /* of the answer */
    size_t body;  /* where its body begins */
    bool failed;  /* it is whole, and says that the request was not done */
};

static double now_s(void)
{
    return (double)clock_mono_ns(clock_real()) * 1e-9;
}

static double clock_s(clockid_t which)
{
    struct timespec t = {0};

    (void)clock_gettime(which, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double replay_cpu_s(pid_t process)
{
    clockid_t which;

    return clock_getcpuclockid(process, &which) == 0 ? clock_s(which) : 0;
}

static double servers_cpu_s(const struct replay *r)
{
    double sum = 0;

    for (unsigned i = 0; i < r->server_count; i++)
        sum += replay_cpu_s(r->servers[i]);
    return sum;
}

/* --- where an answer ends: its length, 0 when it is not whole --- */

static size_t http_end(struct link *l)
{
    const char *end = memmem(l->answer, l->bytes, "\r\n\r\n", 4);
    const char *length;

    if (end == NULL)
        return 0;
    l->body = (size_t)(end + 4 - l->answer);
    l->failed = strncmp(l->answer + 8, " 200", 4) != 0;
    length = strcasestr(l->answer, "\r\ncontent-length:");
    if (length != NULL && length < end)
        return l->body + strtoul(length + 17, NULL, 10);
    end = memmem(l->answer + l->body, l->bytes - l->body, "0\r\n\r\n", 5);
    return end == NULL ? 0 : (size_t)(end + 5 - l->answer);
}

/* Behind the value that begins at `at`; 0 when it is not whole. */
static size_t resp_behind(struct link *l, size_t at)
{
    const char *end = at < l->bytes ? memmem(l->answer + at, l->bytes - at, "\r\n", 2) : NULL;
    size_t behind;
    long n;

    if (end == NULL)
        return 0;
    behind = (size_t)(end + 2 - l->answer);
    n = strtol(l->answer + at + 1, NULL, 10);
    if (l->answer[at] == '-')
        l->failed = true;
    if (l->answer[at] == '$')
        return n < 0 ? behind : behind + (size_t)n + 2;
    if (l->answer[at] == '%')
        n *= 2;
    else if (l->answer[at] != '*')
        n = 0;
    for (; n > 0 && behind != 0; n--)
        behind = resp_behind(l, behind);
    return behind;
}

static size_t pg_end(struct link *l)
{
    size_t at = 0;

    while (at + 5 <= l->bytes) {
        const uint8_t *m = (const uint8_t *)l->answer + at;
        size_t length = (size_t)m[1] << 24 | (size_t)m[2] << 16 | (size_t)m[3] << 8 | m[4];

        if (m[0] == 'E')
            l->failed = true;
        if (m[0] == 'Z')
            return at + 1 + length;
        at += 1 + length;
    }
    return 0;
}

static size_t end_of(struct link *l, enum replay_protocol protocol)
{
    size_t end;

    l->failed = false;
    l->body = 0;
    end = protocol == REPLAY_HTTP   ? http_end(l)
          : protocol == REPLAY_RESP ? resp_behind(l, 0)
                                    : pg_end(l);
    return end <= l->bytes ? end : 0;
}

/* --- one connection --- */

static void link_close(struct link *l)
{
    if (l->fd >= 0)
        (void)close(l->fd);
    mem_free(l->answer);
    *l = (struct link){.fd = -1};
}

/* False when the connection broke. */
static bool exchange(struct link *l, enum replay_protocol protocol, struct slice request)
{
    for (size_t sent = 0; sent < request.bytes;) {
        ssize_t n = send(l->fd, request.data + sent, request.bytes - sent, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    l->bytes = 0;
    while (l->bytes < ANSWER_BYTES_MAX - 1) {
        ssize_t n = recv(l->fd, l->answer + l->bytes, ANSWER_BYTES_MAX - 1 - l->bytes, 0);

        if (n <= 0)
            return false;
        l->bytes += (size_t)n;
        l->answer[l->bytes] = '\0';
        if (end_of(l, protocol) != 0)
            return true;
    }
    return false;
}

/* The list of what is said first, one after the other. */
static bool greet(struct link *l, const struct replay *r)
{
    for (size_t at = 0; at + 4 <= r->hello.bytes;) {
        size_t bytes = le_u32(r->hello.data + at);

        if (bytes > r->hello.bytes - at - 4 ||
            !exchange(l, r->protocol, slice_make(r->hello.data + at + 4, bytes)) || l->failed)
            return false;
        at += 4 + bytes;
    }
    return true;
}

static bool link_open(struct link *l, const struct replay *r)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(r->port)};
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    l->answer = mem_alloc(ANSWER_BYTES_MAX);
    if (l->answer != NULL && connect(l->fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 && greet(l, r))
        return true;
    (void)fprintf(stderr, "replay: no connection to port %u\n", r->port);
    link_close(l);
    return false;
}

/* --- a run --- */

struct client {
    const struct replay *r;
    struct thread thread;
    struct link link;
    uint32_t first;
    double until;
    float *samples_us;
    uint32_t count, failures;
};

static void run_client(void *arg)
{
    struct client *c = arg;
    double begun = now_s();

    for (uint32_t at = c->first; begun < c->until && c->count < SAMPLES_MAX; at++) {
        double ended;

        if (!exchange(&c->link, c->r->protocol, c->r->requests[at % c->r->count])) {
            c->failures++;
            return;
        }
        c->failures += c->link.failed;
        ended = now_s();
        c->samples_us[c->count++] = (float)((ended - begun) * 1e6);
        begun = ended;
    }
}

static int rising(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;

    return x < y ? -1 : x > y;
}

static bool tell(struct client *clients, unsigned count, struct replay_told *out)
{
    size_t n = 0;
    float *all;

    for (unsigned i = 0; i < count; i++) {
        out->answers += clients[i].count;
        out->failures += clients[i].failures;
    }
    all = mem_alloc_array(out->answers + 1, sizeof *all);
    if (all == NULL)
        return false;
    for (unsigned i = 0; i < count; i++) {
        memcpy(all + n, clients[i].samples_us, clients[i].count * sizeof *all);
        n += clients[i].count;
    }
    qsort(all, n, sizeof *all, rising);
    if (n > 0) {
        out->p50_us = (double)all[n / 2];
        out->p95_us = (double)all[n * 95 / 100];
        out->p99_us = (double)all[n * 99 / 100];
    }
    mem_free(all);
    return true;
}

static bool open_clients(const struct replay *r, struct client *clients)
{
    for (unsigned i = 0; i < r->clients; i++) {
        clients[i].r = r;
        clients[i].first = (uint32_t)((uint64_t)r->count * i / r->clients);
        clients[i].samples_us = mem_alloc_array(SAMPLES_MAX, sizeof(float));
        if (clients[i].samples_us == NULL || !link_open(&clients[i].link, r)) {
            mem_free(clients[i].samples_us);
            for (unsigned k = 0; k < i; k++) {
                link_close(&clients[k].link);
                mem_free(clients[k].samples_us);
            }
            return false;
        }
    }
    return true;
}

bool replay_run(const struct replay *r, struct replay_told *out)
{
    struct client clients[CLIENTS_MAX] = {0};
    double servers;
    double own;
    double begun;
    bool fine;

    *out = (struct replay_told){0};
    if (r->clients > CLIENTS_MAX || r->count == 0 || !open_clients(r, clients))
        return false;
    servers = servers_cpu_s(r);
    own = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    begun = now_s();
    fine = true;
    for (unsigned i = 0; i < r->clients; i++) {
        clients[i].until = begun + r->seconds;
        fine = thread_start(&clients[i].thread, "client", THREAD_NORMAL, run_client, &clients[i],
                            NULL) == ST_OK &&
               fine;
    }
    for (unsigned i = 0; i < r->clients; i++)
        thread_join(&clients[i].thread);
    out->wall_s = now_s() - begun;
    out->client_cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - own;
    out->server_cpu_s = servers_cpu_s(r) - servers;
    fine = tell(clients, r->clients, out) && fine;
    for (unsigned i = 0; i < r->clients; i++) {
        link_close(&clients[i].link);
        mem_free(clients[i].samples_us);
    }
    return fine;
}

bool replay_once(const struct replay *r, FILE *answers)
{
    struct link l = {.fd = -1};
    bool fine = link_open(&l, r);

    for (uint32_t i = 0; fine && i < r->count; i++) {
        uint8_t length[4];
        size_t bytes;

        fine = exchange(&l, r->protocol, r->requests[i]);
        if (fine && l.failed) {
            (void)fprintf(stderr, "replay: request %u: %.400s\n", i, l.answer);
            fine = false;
        }
        bytes = l.bytes - l.body;
        for (unsigned k = 0; k < sizeof length; k++)
            length[k] = (uint8_t)(bytes >> 8 * k);
        fine = fine && fwrite(length, 1, sizeof length, answers) == sizeof length &&
               fwrite(l.answer + l.body, 1, bytes, answers) == bytes;
    }
    link_close(&l);
    return fine;
}
