/* Both dialects with a node in memory behind them. The input's first line is a method and a path,
 * the rest a body; it is framed as it should be, so that what is tried is the routes, what they
 * read of paths, queries and JSON, and the rows of an insert. An upsert of the compatible dialect
 * is sent once more as a body that is read in slices.
 *
 * Every request has one answer that is HTTP and JSON (or says what else it is); what a client sends
 * never gets a 5xx but the 501 of what is not built; a problem has a detail that can be printed. */
#include "api/api.h"
#include "base/json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fake_node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WAIT_MS = 20000,
    ANSWER_MAX = 1 << 20,
    LINE_MAX_BYTES = 512,
    BODY_MAX = 128 * 1024,
    BLANKS = 64 * 1024, /* in front of a body make it one that is read in slices */
};

static struct exec *exec;
static struct stats *stats;
static struct node *node;
static struct api *api;
static struct rand_seeded rand_source;
static struct jdoc *doc;
static int fd = -1;
static char answer[ANSWER_MAX];

static void door_open(void)
{
    struct exec_options e = {.workers = 1, .clock = clock_real()};
    struct api_options o = {.host = "127.0.0.1",
                            .timeout_ms = 10000,
                            .connections_max = 8,
                            .header_bytes_max = 16 * 1024,
                            .body_bytes_max = BODY_MAX,
                            .batch_max = 100,
                            .slow_query_ms = 1000,
                            .metrics_enabled = true,
                            .clock = clock_real(),
                            .rand = &rand_source.source};

    FUZZ_CHECK(exec_open(&e, &exec, NULL) == ST_OK && stats_create(&stats, NULL) == ST_OK);
    node = fake_node_create();
    rand_seeded_init(&rand_source, 11);
    o.node = node;
    o.exec = exec;
    o.stats = stats;
    FUZZ_CHECK(api_open(&o, &api, NULL) == ST_OK);
}

static void door_close(void)
{
    (void)close(fd);
    fd = -1;
    api_close(api);
    FUZZ_CHECK(fake_node_pins(node) == 0);
    exec_close(exec);
    fake_node_destroy(node);
    stats_destroy(stats);
}

static void connect_again(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(api_port(api))};
    struct linger now = {.l_onoff = 1};
    int one = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int tries = 0;; tries++) { /* alarms come in between, and ports run out for a moment */
        if (fd >= 0)
            (void)close(fd);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        FUZZ_CHECK(fd >= 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
            break;
        FUZZ_CHECK(tries < 100 && (errno == EINTR || errno == EADDRNOTAVAIL));
        (void)usleep(errno == EINTR ? 0 : 100000);
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void send_all(const void *data, size_t bytes)
{
    for (const char *at = data; bytes > 0;) {
        ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* refused already: the answer says why */
        at += n;
        bytes -= (size_t)n;
    }
}

/* The next bytes of an answer; the fuzzer's own alarms come in between. */
static size_t receive_some(char *to, size_t room)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    ssize_t n;

    do
        n = poll(&wait, 1, WAIT_MS);
    while (n < 0 && errno == EINTR);
    FUZZ_CHECK(n == 1);
    do
        n = recv(fd, to, room, 0);
    while (n < 0 && errno == EINTR);
    FUZZ_CHECK(n > 0);
    return (size_t)n;
}

/* A whole answer; *closes says that the connection is of no more use. */
static int receive(bool head_only, char **body, size_t *body_bytes, bool *closes)
{
    size_t have = 0, want = SIZE_MAX;
    bool chunked = false;
    int http = 0;

    while (have < want) {
        char *end;

        if (chunked && have >= 5 && memcmp(answer + have - 5, "0\r\n\r\n", 5) == 0) {
            want = have; /* an export: its lines are for other tests to read */
            break;
        }

        FUZZ_CHECK(have < sizeof answer - 1);
        have += receive_some(answer + have, sizeof answer - 1 - have);
        answer[have] = '\0';
        end = strstr(answer, "\r\n\r\n");
        if (want == SIZE_MAX && end != NULL) {
            const char *length = strcasestr(answer, "\r\ncontent-length: ");

            FUZZ_CHECK(sscanf(answer, "HTTP/1.1 %d ", &http) == 1);
            chunked = http == 200 && strcasestr(answer, "\r\ntransfer-encoding: chunked") != NULL;
            FUZZ_CHECK(length != NULL || http == 204 || http == 304 || chunked);
            *body = end + 4;
            *body_bytes = length == NULL ? 0 : strtoul(length + 18, NULL, 10);
            if (!chunked || head_only)
                want = (size_t)(*body - answer) + (head_only ? 0 : *body_bytes);
        }
    }
    /* A head that is refused before its method is known is answered with a body, HEAD or not. */
    FUZZ_CHECK(have == want || (head_only && have <= want + *body_bytes));
    *closes = strcasestr(answer, "\r\nconnection: close") != NULL;
    if (head_only)
        *body_bytes = 0;
    return http;
}

static void check_text(struct jval v)
{
    struct slice text = jval_string(v);

    FUZZ_CHECK(jval_type(v) == J_STRING && text.bytes > 0);
    for (size_t b = 0; b < text.bytes; b++)
        FUZZ_CHECK(text.data[b] >= 0x20 && text.data[b] != 0x7f);
}

/* {"time":0.0,"status":{"error":text},"result":null}; false for another shape. */
static bool is_envelope(struct jval root)
{
    struct jval status;
    struct jval v;

    return jval_count(root) == 3 && jval_member(root, "status", &status) &&
           jval_member(status, "error", &v) && jval_member(root, "result", &v) &&
           jval_type(v) == J_NULL;
}

static void check_envelope(struct jval root)
{
    struct jval status;
    struct jval v;

    FUZZ_CHECK(is_envelope(root) && jval_member(root, "status", &status) &&
               jval_member(status, "error", &v));
    check_text(v);
}

static void check_problem(struct jval root, int http)
{
    static const char *const TEXTS[] = {"type", "title", "detail", "code", "request_id"};
    struct jval v;
    uint64_t number;

    FUZZ_CHECK(jval_member(root, "status", &v) && jval_u64(v, &number) && number == (uint64_t)http);
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        FUZZ_CHECK(jval_member(root, TEXTS[i], &v));
        check_text(v);
    }
}

static void check_answer(int http, const char *body, size_t bytes)
{
    bool json = strcasestr(answer, "\r\ncontent-type: application/json") != NULL;
    bool problem = strcasestr(answer, "\r\ncontent-type: application/problem+json") != NULL;
    struct jval root;

    FUZZ_CHECK(http >= 200 && (http < 500 || http == 501));
    FUZZ_CHECK(!problem || http >= 400);
    FUZZ_CHECK(http < 400 || problem || json);
    if (bytes > 0 && (json || problem)) {
        FUZZ_CHECK(jdoc_parse(doc, slice_make(body, bytes), &root, NULL) == ST_OK);
        if (problem)
            check_problem(root, http);
        else if (http >= 400)
            check_envelope(root);
        else
            FUZZ_CHECK(jval_type(root) != J_OBJECT || !is_envelope(root));
    }
}

static int ask_behind(const char *line, size_t line_bytes, size_t blanks, struct slice body)
{
    static char blank[BLANKS];
    char head[LINE_MAX_BYTES + 128];
    char *said = NULL;
    size_t said_bytes = 0;
    bool closes = false;
    int n = snprintf(head, sizeof head, "%.*s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                     (int)line_bytes, line, blanks + body.bytes);
    int http;

    memset(blank, ' ', sizeof blank);
    send_all(head, (size_t)n);
    send_all(blank, blanks);
    send_all(body.data, body.bytes);
    http = receive(line_bytes > 5 && strncmp(line, "HEAD ", 5) == 0, &said, &said_bytes, &closes);
    check_answer(http, said, said_bytes);
    if (closes)
        connect_again();
    return http;
}

static int ask(const char *line, size_t line_bytes, struct slice body)
{
    return ask_behind(line, line_bytes, 0, body);
}

/* What changed the node must not be met by the next input. */
static bool may_change(const uint8_t *line, size_t bytes)
{
    return bytes < 4 || memcmp(line, "GET ", 4) != 0;
}

/* Read in slices or whole, it is answered the same. */
static bool is_upsert(const uint8_t *line, size_t bytes)
{
    static const char START[] = "PUT /collections/c/points";

    return bytes >= sizeof START - 1 && memcmp(line, START, sizeof START - 1) == 0 &&
           (bytes == sizeof START - 1 || line[sizeof START - 1] == '?');
}

static void make_collection(void)
{
    static const char LINE[] = "POST /api/v1/collections";

    (void)ask(LINE, sizeof LINE - 1, slice_text("{\"name\":\"c\",\"dimension\":3}"));
    (void)ask("POST /api/v1/collections/c/documents", 36,
              slice_text("{\"doc_id\":1,\"vector\":[1,2,3],\"payload\":{\"a\":1}}"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *end = bytes == 0 ? NULL : memchr(data, '\n', bytes);
    size_t line = end == NULL ? bytes : (size_t)(end - data);
    struct slice body = {0};
    uint64_t writes;
    int http;

    if (line == 0 || line > LINE_MAX_BYTES || memchr(data, 0, line) != NULL ||
        memchr(data, '\r', line) != NULL)
        return 0;
    if (end != NULL)
        body = slice_make(end + 1, bytes - line - 1);
    if (doc == NULL)
        FUZZ_CHECK(jdoc_create(&doc, NULL) == ST_OK);
    if (api == NULL) {
        door_open();
        connect_again();
        make_collection();
    }
    writes = fake_node_writes(node);
    http = ask((const char *)data, line, body);
    if (is_upsert(data, line) && body.bytes > 0)
        FUZZ_CHECK(ask_behind((const char *)data, line, BLANKS, body) == http);
    if (may_change(data, line) &&
        (fake_node_writes(node) != writes || strncmp(answer + 9, "20", 2) == 0)) {
        door_close();
        api = NULL;
    }
    return 0;
}
