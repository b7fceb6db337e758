/* Members of requests of the compatible dialect that mean something elsewhere, or that are not
 * supported: none that would change the answer is read over. What the API has never heard of is. */
#include "tests/unit/api/world.h"

#include <stdio.h>

static struct world w;

struct row {
    const char *method, *path, *body;
    const char *part; /* of the answer; NULL: 200 */
};

static void run(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[128];
        struct answer a;

        (void)snprintf(path, sizeof path, "/collections/u%s", rows[i].path);
        a = ask(&w, rows[i].method, path, rows[i].body);
        if (a.status != (rows[i].part == NULL ? 200 : 400) ||
            (rows[i].part != NULL && strstr(a.body, rows[i].part) == NULL))
            fail_msg("row %zu: %s %s %s\n%d %s", i, rows[i].method, path, rows[i].body, a.status,
                     a.body);
        answer_free(&a);
    }
}

#define RUN(rows)        run(rows, sizeof(rows) / sizeof *(rows))
#define POST(path, body) "POST", path, body
#define PUT(path, body)  "PUT", path, body
#define Q(more)          POST("/points/query", "{\"query\":[1,0]," more "}")
#define FORM(form)       POST("/points/query", "{\"query\":{" form "}}")
#define NO(member)       "`" member "` does not go with "

static void what_belongs_elsewhere_is_refused(void **state)
{
    static const struct row rows[] = {
        {Q("\"order_by\":\"a\""), NO("order_by") "a query"},
        {Q("\"group_by\":\"a\""), NO("group_by") "a query"},
        {Q("\"group_size\":3"), NO("group_size") "a query"},
        {Q("\"with_lookup\":\"u\""), NO("with_lookup") "a query"},
        {Q("\"vector\":[0,1]"), NO("vector") "a query"},
        {Q("\"top\":3"), NO("top") "a query"},
        {Q("\"prefetch\":{\"query\":[1,0],\"offset\":3}"), NO("offset") "a prefetch"},
        {Q("\"prefetch\":[{\"query\":[1,0],\"order_by\":\"a\"}]"), NO("order_by") "a prefetch"},
        {FORM("\"recommend\":{\"positive\":[1]},\"strategy\":\"best_score\""),
         NO("strategy") "`recommend`"},
        {FORM("\"recommend\":{\"positive\":[1]},\"mmr\":{}"), NO("mmr") "`recommend`"},
        {FORM("\"nearest\":[1,0],\"strategy\":\"best_score\""), NO("strategy") "`nearest`"},
        {FORM("\"order_by\":\"a\",\"direction\":\"desc\""), NO("direction") "`order_by`"},
        {FORM("\"recommend\":{\"positive\":[1],\"target\":2}"), NO("target") "`recommend`"},
        {POST("/points/query", "{\"prefetch\":{\"query\":[1,0]},\"query\":{\"fusion\":\"rrf\","
                               "\"k\":60}}"),
         NO("k") "`fusion`"},
        {POST("/points/search", "{\"vector\":[1,0],\"limit\":1,\"using\":\"b\"}"),
         NO("using") "a search"},
        {POST("/points/search", "{\"vector\":[1,0],\"limit\":1,\"query\":[0,1]}"),
         NO("query") "a search"},
        {POST("/points/search", "{\"vector\":[1,0],\"limit\":1,\"prefetch\":[]}"),
         NO("prefetch") "a search"},
        {POST("/points/search", "{\"vector\":[1,0],\"limit\":1,\"lookup_from\":{}}"),
         NO("lookup_from") "a search"},
        {POST("/points/scroll", "{\"query\":[1,0]}"), NO("query") "a scroll"},
        {POST("/points/scroll", "{\"score_threshold\":1}"), NO("score_threshold") "a scroll"},
        {POST("/points/scroll", "{\"group_by\":\"a\"}"), NO("group_by") "a scroll"},
        {POST("/points/count", "{\"limit\":1}"), NO("limit") "a count"},
        {POST("/points/count", "{\"query\":[1,0]}"), NO("query") "a count"},
        {POST("/facet", "{\"key\":\"a\",\"offset\":1}"), NO("offset") "a facet"},
        {POST("/facet", "{\"key\":\"a\",\"order_by\":\"b\"}"), NO("order_by") "a facet"},
        {POST("/points", "{\"ids\":[1],\"filter\":{}}"), NO("filter") "points by id"},
        {POST("/points", "{\"ids\":[1],\"limit\":1}"), NO("limit") "points by id"},
        {POST("/points", "{\"ids\":[1],\"offset\":1}"), NO("offset") "points by id"},
        {POST("/points/search/matrix/pairs", "{\"params\":{}}"), NO("params") "a matrix"},
        {POST("/points/search/matrix/offsets", "{\"score_threshold\":0}"),
         NO("score_threshold") "a matrix"},
        {PUT("/points", "{\"points\":[],\"filter\":{}}"), NO("filter") "an upsert"},
        {PUT("/points/vectors", "{\"points\":[],\"update_mode\":\"insert_only\"}"),
         NO("update_mode") "vectors"},
        {PUT("/points/vectors", "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{}}]}"),
         NO("payload") "vectors"},
        {POST("/points/delete", "{\"points\":[7],\"update_filter\":{}}"),
         NO("update_filter") "this route"},
        {POST("/points/payload", "{\"points\":[7],\"payload\":{},\"update_filter\":{}}"),
         NO("update_filter") "this route"},
        {PUT("/points/payload", "{\"points\":[7],\"payload\":{},\"update_mode\":\"upsert\"}"),
         NO("update_mode") "this route"},
        {POST("/points/payload/delete", "{\"points\":[7],\"keys\":[\"a\"],\"key\":\"b\"}"),
         NO("key") "this route"},
        {POST("/points/payload/clear", "{\"points\":[7],\"update_filter\":{}}"),
         NO("update_filter") "this route"},
        {POST("/points/vectors/delete", "{\"points\":[7],\"vector\":[\"\"],\"update_filter\":{}}"),
         NO("update_filter") "this route"},
        {POST("/points/batch",
              "{\"operations\":[{\"delete\":{\"points\":[7],\"update_filter\":{}}}]}"),
         NO("update_filter") "this route"},
    };

    (void)state;
    RUN(rows);
}

static void what_is_not_supported_is_refused(void **state)
{
    static const struct row rows[] = {
        {Q("\"params\":{\"acorn\":5}"), "acorn: invalid type: integer, expected an object"},
        {Q("\"params\":{\"acorn\":{\"enable\":1}}"), "enable: invalid type"},
        {POST("/points/query", "{\"query\":[[1,0],[0,1]]}"),
         "lists of vectors (multivectors) are not supported by this version"},
        {PUT("/points", "{\"points\":[{\"id\":1,\"vector\":[[1,0],[0,1]]}]}"),
         "lists of vectors (multivectors) are not supported by this version"},
        {POST("/points/query/groups", "{\"query\":[1,0],\"group_by\":\"a\",\"with_lookup\":\"u\"}"),
         "`with_lookup` is not supported"},
        {POST("/points/query/groups", "{\"query\":[1,0],\"group_by\":\"a\",\"offset\":1}"),
         "`offset` does not go with groups"},
    };

    (void)state;
    RUN(rows);
}

static void what_changes_nothing_is_taken(void **state)
{
    static const struct row rows[] = {
        {Q("\"unheard_of\":1"), NULL},
        {Q("\"order_by\":null,\"params\":{\"unheard_of\":1}"), NULL},
        {Q("\"shard_key\":\"a\""), NULL},
        {Q("\"shard_key\":[\"a\",1]"), NULL},
        {Q("\"params\":{\"indexed_only\":true}"), NULL},
        {Q("\"params\":{\"acorn\":{\"enable\":true,\"max_selectivity\":0.4}}"), NULL},
        {Q("\"params\":{\"quantization\":{\"ignore\":true,\"rescore\":true,\"oversampling\":2.0}}"),
         NULL},
        {FORM("\"nearest\":[1,0],\"unheard_of\":1"), NULL},
        {POST("/points/query/groups", "{\"query\":[1,0],\"group_by\":\"a\",\"unheard_of\":1}"),
         NULL},
        {POST("/points/search", "{\"vector\":[1,0],\"limit\":1,\"unheard_of\":1}"), NULL},
        {POST("/points/scroll", "{\"unheard_of\":1,\"shard_key\":\"a\"}"), NULL},
        {POST("/points/count", "{\"unheard_of\":1,\"shard_key\":\"a\"}"), NULL},
        {POST("/points", "{\"ids\":[1],\"unheard_of\":1,\"shard_key\":\"a\"}"), NULL},
        {PUT("/points", "{\"points\":[],\"unheard_of\":1,\"shard_key\":\"a\"}"), NULL},
        {POST("/points/delete", "{\"points\":[7],\"unheard_of\":1,\"shard_key\":\"a\"}"), NULL},
    };

    (void)state;
    RUN(rows);
}

static int open_world(void **state)
{
    struct api_options o = world_options();

    (void)state;
    o.timeout_ms = 60000;
    world_open_workers(&w, &o, 1);
    expect(&w, "PUT", "/collections/u", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200);
    expect(&w, "PUT", "/collections/u/points?wait=true",
           "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"a\":1}}]}", 200);
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
        cmocka_unit_test(what_belongs_elsewhere_is_refused),
        cmocka_unit_test(what_is_not_supported_is_refused),
        cmocka_unit_test(what_changes_nothing_is_taken),
    };

    return cmocka_run_group_tests_name("qdrant_members", tests, open_world, close_world);
}
