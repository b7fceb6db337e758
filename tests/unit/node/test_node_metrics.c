/* docs/metrics.md beside what a node with its door really exposes, and whether the numbers are
 * true. */
#include "tests/unit/node/nworld.h"

#include "api/api.h"
#include "objstore/open.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DIM = 4, ANSWER_BYTES_MAX = 1 << 20, FAMILIES_MAX = 200, LABELS_BYTES = 128 };

/* --- numbers --- */

/* The value of the one series that begins so; -1: there is none. */
static double value_of(struct nworld *w, const char *series)
{
    struct buf text;
    double value = -1;
    const char *at;

    buf_init(&text, ANSWER_BYTES_MAX);
    stats_print(w->stats, &text);
    buf_put_u8(&text, '\0');
    assert_false(text.failed);
    at = (const char *)text.data;
    while (at != NULL && strncmp(at, series, strlen(series)) != 0) {
        at = strchr(at, '\n');
        at = at == NULL ? NULL : at + 1;
    }
    if (at != NULL && strchr(at, ' ') != NULL)
        value = strtod(strrchr(series, '}') != NULL ? strchr(at, '}') + 1 : strchr(at, ' '), NULL);
    buf_free(&text);
    return value;
}

static double inserts_of(struct nworld *w, struct collection *c, const char *name)
{
    char series[200];

    (void)snprintf(series, sizeof series, "storage_inserts{collection_id=\"%s\",collection=\"%s\"}",
                   c->id_text, name);
    return value_of(w, series);
}

static void numbers_must_be(struct nworld *w, struct collection *c, const char *name,
                            double inserts, double vectors)
{
    char series[100];

    (void)snprintf(series, sizeof series, "tiervec_collection_vectors{collection=\"%s\"}", name);
    assert_true(inserts_of(w, c, name) == inserts);
    assert_true(value_of(w, series) == vectors);
    assert_true(value_of(w, "tiervec_vectors ") == vectors);
    assert_true(value_of(w, "tiervec_collections ") == 1);
}

static void inserts_and_vectors_are_true_through_everything(void **state)
{
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, true, 501);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 16, NULL), ST_OK);
    c = npin(&w, "docs");
    numbers_must_be(&w, c, "docs", 0, 0);
    for (uint64_t id = 1; id <= 40; id++)
        assert_int_equal(nput(c, id, 1, NULL), ST_OK);
    numbers_must_be(&w, c, "docs", 40, 40);
    for (uint64_t id = 1; id <= 10; id++) /* replaced: written, not more of them */
        assert_int_equal(nput(c, id, 2, NULL), ST_OK);
    numbers_must_be(&w, c, "docs", 50, 40);
    for (uint64_t id = 1; id <= 5; id++)
        assert_int_equal(ndel(c, id, NULL), ST_OK);
    assert_int_equal(ndel(c, 1, NULL), ST_OK); /* nothing there */
    numbers_must_be(&w, c, "docs", 50, 35);
    assert_int_equal(ncheckpoint(c, NULL), ST_OK);
    numbers_must_be(&w, c, "docs", 50, 35);
    assert_int_equal(npatch(&w, c, "papers", 0, NULL), ST_OK);
    numbers_must_be(&w, c, "papers", 50, 35);
    assert_int_equal(npatch(&w, c, "docs", 0, NULL), ST_OK);
    assert_int_equal(npatch(&w, c, "papers", 0, NULL), ST_OK);
    assert_int_equal(nput(c, 100, 1, NULL), ST_OK);
    numbers_must_be(&w, c, "papers", 51, 36);
    epoch_synchronize(w.node->epoch);
    while (epoch_collect(w.node->epoch) > 0)
        ;
    neventually(inserts_of(&w, c, "docs") < 0); /* the reclaim thread may have them in hand */
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "papers");
    numbers_must_be(&w, c, "papers", 0, 36);
    assert_int_equal(nput(c, 101, 1, NULL), ST_OK);
    numbers_must_be(&w, c, "papers", 1, 37);
    assert_int_equal(ndrop(&w, c, NULL), ST_OK);
    assert_true(value_of(&w, "tiervec_vectors ") == 0);
    assert_true(value_of(&w, "tiervec_collections ") == 0);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* --- the page --- */

struct family {
    char name[80];
    char type[16];
    char labels[LABELS_BYTES]; /* as on the page: "a, b" */
};

struct families {
    struct family at[FAMILIES_MAX];
    size_t count;
};

static struct family *family_find(struct families *f, const char *name, size_t bytes)
{
    for (size_t i = 0; i < f->count; i++) {
        if (strlen(f->at[i].name) == bytes && memcmp(f->at[i].name, name, bytes) == 0)
            return &f->at[i];
    }
    return NULL;
}

/* | `name` | type | labels | meaning | */
static void read_page(struct families *out)
{
    FILE *f = fopen(TV_METRICS_DOC, "r");
    char line[1024];

    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        struct family *row = &out->at[out->count];

        memset(row, 0, sizeof *row);
        if (strncmp(line, "| `", 3) != 0)
            continue;
        assert_true(out->count < FAMILIES_MAX);
        if (sscanf(line, "| `%79[^`]` | %15[a-z] | %127[a-z_, ]|", row->name, row->type,
                   row->labels) < 2)
            fail_msg("a row that cannot be read: %s", line);
        while (row->labels[0] != '\0' && row->labels[strlen(row->labels) - 1] == ' ')
            row->labels[strlen(row->labels) - 1] = '\0';
        if (family_find(out, row->name, strlen(row->name)) != NULL)
            fail_msg("%s stands on the page twice", row->name);
        out->count++;
    }
    (void)fclose(f);
}

/* The label names of one series, but for a histogram's le. */
static void label_names(const char *at, const char *end, char out[LABELS_BYTES])
{
    out[0] = '\0';
    while (at < end) {
        const char *equals = memchr(at, '=', (size_t)(end - at));
        size_t bytes = strlen(out);

        if (equals == NULL)
            return;
        if ((size_t)(equals - at) != 2 || memcmp(at, "le", 2) != 0)
            (void)snprintf(out + bytes, LABELS_BYTES - bytes, "%s%.*s", bytes > 0 ? ", " : "",
                           (int)(equals - at), at);
        at = equals + 2; /* behind the quote; the test's labels have none inside */
        at = memchr(at, '"', (size_t)(end - at));
        if (at == NULL)
            return;
        at += at[1] == ',' ? 2 : 1;
    }
}

static void read_series(struct families *out, const char *line)
{
    static const char *const suffixes[] = {"", "_bucket", "_sum", "_count"};
    size_t bytes = strcspn(line, "{ ");
    struct family *f = NULL;

    for (size_t i = 0; i < COUNT_OF(suffixes) && f == NULL; i++) {
        size_t cut = strlen(suffixes[i]);

        if (bytes > cut && memcmp(line + bytes - cut, suffixes[i], cut) == 0)
            f = family_find(out, line, bytes - cut);
    }
    if (f == NULL)
        fail_msg("a series without a type: %.80s", line);
    if (line[bytes] == '{')
        label_names(line + bytes + 1, strchr(line, '}'), f->labels);
}

static void read_exposition(char *text, struct families *out)
{
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        struct family *f = &out->at[out->count];

        if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_true(out->count < FAMILIES_MAX);
            memset(f, 0, sizeof *f);
            assert_int_equal(sscanf(line, "# TYPE %79s %15s", f->name, f->type), 2);
            out->count++;
        } else if (line[0] != '#' && line[0] != '\r') {
            read_series(out, line);
        }
    }
}

/* One request on a connection of its own; the body. */
static char *get(uint16_t port, const char *path)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    char *answer = calloc(1, ANSWER_BYTES_MAX);
    char request[200];
    size_t bytes = 0;
    ssize_t n;
    char *body;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0 && answer != NULL);
    assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    while ((n = recv(fd, answer + bytes, ANSWER_BYTES_MAX - 1 - bytes, 0)) > 0)
        bytes += (size_t)n;
    (void)close(fd);
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    body = strstr(answer, "\r\n\r\n");
    assert_non_null(body);
    memmove(answer, body + 4, strlen(body + 4) + 1);
    return answer;
}

static char *expose(struct nworld *w)
{
    const struct api_options options = {
        .node = w->node,
        .exec = w->exec,
        .stats = w->stats,
        .clock = clock_real(),
        .rand = &w->rand.source,
        .host = "127.0.0.1",
        .timeout_ms = 10000,
        .connections_max = 16,
        .header_bytes_max = 16384,
        .body_bytes_max = 1 << 20,
        .batch_max = 100,
        .metrics_enabled = true,
    };
    struct api *api = NULL;
    char *text;

    assert_int_equal(api_open(&options, &api, NULL), ST_OK);
    free(get(api_port(api), "/ready"));
    free(get(api_port(api), "/metrics"));
    text = get(api_port(api), "/metrics");
    api_close(api);
    return text;
}

static void the_page_and_the_exposition_are_one(void **state)
{
    struct families *page = calloc(1, sizeof *page);
    struct families *live = calloc(1, sizeof *live);
    struct objstore_req get = {.op = OBJSTORE_GET, .key = "nothing"};
    char *const keys[] = {(char *)"AWS_ACCESS_KEY_ID=a", (char *)"AWS_SECRET_ACCESS_KEY=b", NULL};
    struct objstore *store = NULL;
    struct objstore *remote = NULL;
    struct nworld w;
    char *text;

    (void)state;
    assert_true(page != NULL && live != NULL);
    read_page(page);
    nworld_init(&w, true, 502);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_L2, 16, NULL), ST_OK);
    assert_int_equal(
        objstore_open(&(struct objstore_options){.url = "memory:metrics", .stats = w.stats}, &store,
                      NULL),
        ST_OK);
    assert_int_equal(objstore_wait(store, &get, NULL), ST_NOT_FOUND);
    objstore_result_fini(&get.result);
    assert_int_equal(objstore_open(&(struct objstore_options){.url = "http://127.0.0.1:1/bucket",
                                                              .env = keys,
                                                              .stats = w.stats},
                                   &remote, NULL),
                     ST_OK);
    text = expose(&w);
    objstore_close(remote);
    objstore_close(store);
    read_exposition(text, live);
    free(text);
    nworld_fini(&w);
    assert_true(page->count > 30);
    for (size_t i = 0; i < live->count; i++) {
        const struct family *l = &live->at[i];
        const struct family *p = family_find(page, l->name, strlen(l->name));

        if (p == NULL)
            fail_msg("%s is exposed and not on the page", l->name);
        if (strcmp(p->type, l->type) != 0 || strcmp(p->labels, l->labels) != 0)
            fail_msg("%s is a %s of (%s), the page says a %s of (%s)", l->name, l->type, l->labels,
                     p->type, p->labels);
    }
    for (size_t i = 0; i < page->count; i++) {
        if (family_find(live, page->at[i].name, strlen(page->at[i].name)) == NULL)
            fail_msg("%s is on the page and not exposed", page->at[i].name);
    }
    free(page);
    free(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inserts_and_vectors_are_true_through_everything),
        cmocka_unit_test(the_page_and_the_exposition_are_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
