/* import_qdrant.c - every point of a collection of a server that speaks that dialect, by scroll. */
#include "cli/bulk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct there {
    struct remote server;
    const char *from, *vector; /* vector NULL: the unnamed one */
};

static int ask(struct there *t, const char *what, const char *method, const char *behind,
               const struct buf *body, struct jval *result)
{
    struct jval root = {0};
    struct buf path;
    int code;

    buf_init(&path, 8192);
    remote_path(&path, "/collections/", t->from, behind);
    code = path.failed ? cli_error(CLI_USAGE, what, "the name is too long", NULL)
                       : remote_ask(&t->server, what, method, (const char *)path.data, body, &root);
    buf_free(&path);
    if (code == CLI_OK && !jval_member(root, "result", result))
        return cli_error(CLI_FAILED, what, "who answers there does not speak that dialect",
                         "the URL of its REST port, as http://127.0.0.1:6333");
    return code;
}

/* --- the collection --- */

static const char *metric_of(struct slice distance)
{
    static const char *const names[][2] = {
        {"Cosine", "cosine"}, {"Dot", "dot"}, {"Euclid", "l2"}, {"Manhattan", "l1"}};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_equal(distance, slice_text(names[i][0])))
            return names[i][1];
    return NULL;
}

static bool find_vectors(const struct there *t, struct jval info, struct jval *out)
{
    return jval_member(info, "config", &info) && jval_member(info, "params", &info) &&
           jval_member(info, "vectors", out) &&
           (t->vector == NULL || jval_member(*out, t->vector, out));
}

/* A collection of the same shape here; that it is there already is fine. */
static int make_target(struct bulk *b, struct there *t)
{
    struct jval result = {0};
    struct jval vectors;
    struct jval root;
    const char *metric = NULL;
    struct buf body;
    int code = ask(t, b->what, "GET", "", NULL, &result);

    if (code != CLI_OK)
        return code;
    if (find_vectors(t, result, &vectors))
        metric = metric_of(remote_text(vectors, "distance"));
    if (metric == NULL)
        return cli_error(CLI_USAGE, b->what, "the collection there has no such vector",
                         "--vector with the name of one");
    buf_init(&body, 65536);
    buf_put_text(&body, "{\"name\":");
    json_put_string(&body, slice_text(b->collection));
    buf_printf(&body, ",\"dimension\":%" PRIu64 ",\"metric\":\"%s\"}", remote_u64(vectors, "size"),
               metric);
    code = remote_ask_or(b->node, b->what, "POST", "/api/v1/collections", &body, 409, &root);
    buf_free(&body);
    return code;
}

/* --- the points --- */

static bool put_point(struct buf *out, const struct there *t, struct jval point)
{
    struct jval id;
    struct jval vector;
    struct jval payload;

    if (!jval_member(point, "id", &id) || !jval_member(point, "vector", &vector) ||
        (t->vector != NULL && !jval_member(vector, t->vector, &vector)) ||
        jval_type(vector) != J_ARRAY)
        return false;
    buf_put_text(out, "{\"doc_id\":");
    bulk_put_value(out, id);
    buf_put_text(out, ",\"vector\":");
    bulk_put_value(out, vector);
    if (jval_member(point, "payload", &payload) && jval_type(payload) == J_OBJECT) {
        buf_put_text(out, ",\"payload\":");
        bulk_put_value(out, payload);
    }
    buf_put_text(out, "}");
    return true;
}

/* The place behind the last point of a page is the next page, behind any other the page itself:
 * what is sent twice then is the same. */
static int put_page(struct bulk *b, struct there *t, struct jval points, const char *next)
{
    char page[BULK_AT_BYTES];
    size_t left = jval_count(points);
    int code = CLI_OK;

    (void)snprintf(page, sizeof page, "%s", b->place.at[0] == '\0' ? "null" : b->place.at);
    for (struct jiter it = jval_iter(points); code == CLI_OK && jiter_next(&it);) {
        if (!put_point(bulk_next(b), t, it.value))
            return cli_error(CLI_FAILED, b->what,
                             "a point has no dense vector, or it is not the unnamed one",
                             "--vector with the name of one that every point has");
        code = bulk_put(b, --left == 0 && next[0] != '\0' ? next : page, 0);
    }
    return code;
}

/* "" behind the last page. */
static int take_next(struct bulk *b, struct jval result, char next[BULK_AT_BYTES])
{
    struct jval v;
    struct buf text;
    bool fine;

    next[0] = '\0';
    if (!jval_member(result, "next_page_offset", &v) || jval_type(v) == J_NULL)
        return CLI_OK;
    buf_init(&text, BULK_AT_BYTES - 1);
    bulk_put_value(&text, v);
    fine = !text.failed;
    (void)snprintf(next, BULK_AT_BYTES, "%.*s", (int)text.bytes, (const char *)text.data);
    buf_free(&text);
    return fine ? CLI_OK : cli_error(CLI_FAILED, b->what, "an offset is too long", NULL);
}

/* *more: place.at is where the next page begins. */
static int next_page(struct bulk *b, struct there *t, bool *more)
{
    char next[BULK_AT_BYTES];
    struct jval result = {0};
    struct jval points;
    struct buf body;
    int code;

    buf_init(&body, 65536);
    buf_printf(&body, "{\"limit\":%" PRIu64 ",\"with_payload\":true,\"with_vector\":true",
               b->batch);
    if (b->place.at[0] != '\0' && strcmp(b->place.at, "null") != 0)
        buf_printf(&body, ",\"offset\":%s", b->place.at);
    buf_put_text(&body, "}");
    code = ask(t, b->what, "POST", "/points/scroll", &body, &result);
    buf_free(&body);
    if (code != CLI_OK)
        return code;
    if (!jval_member(result, "points", &points))
        return cli_error(CLI_FAILED, b->what, "a page without points came", NULL);
    code = take_next(b, result, next);
    if (code == CLI_OK)
        code = put_page(b, t, points, next);
    *more = code == CLI_OK && next[0] != '\0';
    if (*more)
        memcpy(b->place.at, next, sizeof next);
    return code;
}

int import_qdrant(struct bulk *b, const char *url, const char *from, const char *vector)
{
    struct there t = {.server = {.url = url, .quiet = true}, .from = from, .vector = vector};
    const char *key = getenv("QDRANT_API_KEY");
    char header[1024];
    bool more = true;
    int code;

    if (key != NULL && key[0] != '\0') {
        (void)snprintf(header, sizeof header, "api-key: %s", key);
        t.server.header = header;
    }
    code = make_target(b, &t);

    if (code == CLI_OK)
        code = bulk_begin(b);
    while (code == CLI_OK && more)
        code = next_page(b, &t, &more);
    remote_close(&t.server);
    return code;
}
