/* What a worker's JSON reader took for a large body it gives back when the request has been read,
 * whatever becomes of it: on every route that takes a body, for one that is refused, one that is
 * taken, and one that is read in slices. */
#include "tests/unit/api/world.h"

#include "api/api_internal.h"
#include "api/qdrant_door.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LARGE = 3 * 1024 * 1024, KEPT_MAX = 1024 * 1024, PATH_MAX_BYTES = 256 };

static struct world w;

struct look {
    struct task task;
    size_t kept;
    atomic_bool done;
};

static task_state look_at_reader(struct task *task)
{
    struct look *look = (struct look *)task;
    const struct jdoc *doc = w.api->docs[exec_worker_index()];

    look->kept = doc == NULL ? 0 : jdoc_capacity(doc);
    atomic_store(&look->done, true);
    return TASK_DONE;
}

/* Of the only worker. */
static size_t kept(void)
{
    struct look look = {.task = {.run = look_at_reader}};

    while (exec_submit(w.exec, &look.task, NULL, NULL) != ST_OK)
        (void)usleep(1000);
    while (!atomic_load(&look.done))
        (void)usleep(100);
    return look.kept;
}

/* Each @ in the text becomes so many letters. */
static char *large_body(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *body, *at;

    for (const char *p = text; *p != '\0'; p++)
        bytes += *p == '@' ? LARGE : 0u;
    at = body = malloc(bytes);
    assert_non_null(body);
    for (; *text != '\0'; text++) {
        size_t run = *text == '@' ? LARGE : 1;

        memset(at, *text == '@' ? 'x' : *text, run);
        at += run;
    }
    *at = '\0';
    return body;
}

static void check(const char *method, const char *path, const char *text, int http_status)
{
    char *body = large_body(text);
    struct answer a = ask(&w, method, path, body);

    if (http_status != 0 && a.status != http_status)
        fail_msg("%s %s: %d %.300s", method, path, a.status, a.body);
    answer_free(&a);
    free(body);
    if (kept() > KEPT_MAX)
        fail_msg("%s %s (%s): the reader keeps %zu bytes", method, path, text, kept());
}

/* {id} and its like become "c", which is there. */
static void path_of(const struct route *r, char out[PATH_MAX_BYTES])
{
    size_t n = 0;

    for (const char *p = r->pattern; *p != '\0' && n + 2 < PATH_MAX_BYTES; p++) {
        if (*p == '{') {
            out[n++] = strncmp(p, "{doc_id", 7) == 0 || strncmp(p, "{point", 6) == 0 ? '1' : 'c';
            p = strchr(p, '}');
        } else {
            out[n++] = *p;
        }
    }
    out[n] = '\0';
}

static void every_route_gives_back_what_a_large_body_took(void **state)
{
    const struct {
        const struct route *routes;
        size_t count;
    } tables[] = {{API_ROUTES, API_ROUTE_COUNT}, {QDRANT_ROUTES, QDRANT_ROUTE_COUNT}};
    size_t asked = 0;

    (void)state;
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < tables[t].count; i++) {
            const struct route *r = &tables[t].routes[i];
            char path[PATH_MAX_BYTES];

            if (r->method != METHOD_POST && r->method != METHOD_PUT && r->method != METHOD_PATCH)
                continue;
            path_of(r, path);
            check(http_method_name(r->method), path, "{\"metadata\":\"@\"}", 0);
            check(http_method_name(r->method), path, "{\"filter\":{\"must\":[\"@\"]}}", 0);
            asked++;
        }
    }
    assert_true(asked > 40);
}

static void what_is_taken_gives_it_back_too(void **state)
{
#define PAYLOAD "\"payload\":{\"a\":\"@\"}"
#define POINT   "{\"id\":1,\"vector\":[1,2,3]," PAYLOAD "}"
#define FILTER  "{\"must\":[{\"key\":\"a\",\"match\":{\"value\":\"@\"}}]}"
#define UPSERT  "{\"upsert\":{\"points\":[" POINT "]}}"
    static const struct {
        const char *method, *path, *text;
    } rows[] = {
        {"POST", "/collections/aliases",
         "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"e\"}}],"
         "\"unheard_of\":\"@\"}"},
        {"PUT", "/collections/c/index",
         "{\"field_name\":\"a\",\"field_schema\":\"keyword\",\"unheard_of\":\"@\"}"},
        /* In slices: the second of two is not read by the route's own run(). */
        {"POST", "/api/v1/collections/c/insert",
         "{\"documents\":[{\"vector\":[1,2,3]," PAYLOAD "},{\"vector\":[1,2,3]," PAYLOAD "}]}"},
        {"PUT", "/collections/c/points?wait=true", "{\"points\":[" POINT "," POINT "]}"},
        {"PUT", "/collections/c/points?wait=true",
         "{\"points\":[" POINT "],\"update_filter\":" FILTER "}"},
        {"PUT", "/collections/c/points?wait=true",
         "{\"batch\":{\"ids\":[1,2],\"vectors\":[[1,2,3],[1,2,3]],\"payloads\":[{\"a\":\"@\"},"
         "{\"a\":\"@\"}]}}"},
        {"POST", "/collections/c/points/batch?wait=true",
         "{\"operations\":[" UPSERT "," UPSERT "]}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check(rows[i].method, rows[i].path, rows[i].text, 200);
}

static int open_world(void **state)
{
    struct api_options o = world_options();

    (void)state;
    o.body_bytes_max = 3 * LARGE;
    o.timeout_ms = 60000;
    world_open_workers(&w, &o, 1);
    make_collection(&w, "dot");
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_gives_back_what_a_large_body_took),
        cmocka_unit_test(what_is_taken_gives_it_back_too),
    };

    return cmocka_run_group_tests_name("api_trim", tests, open_world, close_world);
}
