/* The points routes of the compatible dialect, in front of a node in memory: what they read of a
 * body, what they refuse and in which words, what they print. */
#include "tests/unit/api/world.h"

#include "base/mem.h"
#include "node/points.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { BODY_BYTES_MAX = 8 * 1024 * 1024, POINTS = 3000, TRIES_MAX = 20 };

static struct api_options options(void)
{
    struct api_options o = world_options();

    o.body_bytes_max = BODY_BYTES_MAX;
    o.timeout_ms = 60000;
    o.batch_max = 501;
    return o;
}

static void on_made(void *arg, status st, const struct collection_info *info, const struct err *err)
{
    (void)info;
    (void)err;
    assert_int_equal(st, ST_OK);
    atomic_store((atomic_bool *)arg, true);
}

static void make(const struct world *w, const char *name, const struct field_info *fields,
                 size_t count)
{
    const struct collection_spec spec = {
        .name = name, .fields = fields, .field_count = count, .threshold = UINT32_MAX};
    atomic_bool made = false;

    node_collection_create(w->node, &spec, on_made, &made);
    while (!atomic_load(&made))
        (void)usleep(100);
}

/* "u": one unnamed vector of 3. "n": "a" of 2 and "b" of 3. "e": the empty name of 2 beside "x" of
 * 1. "p": payloads only. */
static void open_all(struct world *w, unsigned workers)
{
    static const struct field_info unnamed[] = {{.name = "", .dimension = 3}};
    static const struct field_info named[] = {{.name = "a", .dimension = 2},
                                              {.name = "b", .dimension = 3}};
    static const struct field_info mixed[] = {{.name = "", .dimension = 2},
                                              {.name = "x", .dimension = 1}};
    struct api_options o = options();

    world_open_workers(w, &o, workers);
    make(w, "u", unnamed, 1);
    make(w, "n", named, 2);
    make(w, "e", mixed, 2);
    make(w, "p", named, 0);
}

struct row {
    const char *method, *path, *body;
    int status;
    const char *part; /* of the answer */
};

static void run_rows(const struct world *w, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char path[256];
        struct answer a;

        (void)snprintf(path, sizeof path, "/collections/%s", rows[i].path);
        a = ask(w, rows[i].method, path, rows[i].body);
        if (a.status != rows[i].status || strstr(a.body, rows[i].part) == NULL)
            fail_msg("row %zu: %s %s %s\n%d %s\nnot %d %s", i, rows[i].method, path,
                     rows[i].body == NULL ? "" : rows[i].body, a.status, a.body, rows[i].status,
                     rows[i].part);
        answer_free(&a);
    }
}

#define RUN(w, rows) run_rows(w, rows, sizeof(rows) / sizeof *(rows))

#define COMPLETED ",\"status\":\"completed\"}"
#define PUT(collection, body, status, part)                                                        \
    {                                                                                              \
        "PUT", collection "/points?wait=true", body, status, part                                  \
    }
#define ONE(member)    "{\"points\":[{\"id\":1," member "}]}"
#define BATCH(members) "{\"batch\":{" members "}}"

static void an_upsert_reads_both_forms_and_refuses_what_it_is_not(void **state)
{
    static const struct row rows[] = {
        PUT("u", "{\"points\":[{\"id\":1,\"vector\":[1,2.5,-3]}]}", 200, COMPLETED),
        {"PUT", "u/points", "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}", 200,
         ",\"status\":\"acknowledged\"}"},
        {"PUT", "u/points?wait=false", "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}", 200,
         ",\"status\":\"acknowledged\"}"},
        {"PUT", "u/points/?wait=true&ordering=strong&shard=9",
         "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}", 200, COMPLETED},
        {"PUT", "u/points?wait=maybe", "{\"points\":[]}", 400, "`wait`"},
        PUT("u", "{\"points\":[]}", 200, COMPLETED),
        PUT("none", "{\"points\":[]}", 404, "Not found: Collection `none` doesn't exist!"),
        /* ids */
        PUT("u", "{\"points\":[{\"id\":18446744073709551615,\"vector\":[1,2,3]}]}", 200, COMPLETED),
        PUT("u", "{\"points\":[{\"id\":\"936DA01F9ABD4d9d80C702AF85C822A8\",\"vector\":[1,2,3]}]}",
            200, COMPLETED),
        PUT("u",
            "{\"points\":[{\"id\":\"urn:uuid:936da01f-9abd-4d9d-80c7-02af85c822a9\","
            "\"vector\":[1,2,3]}]}",
            200, COMPLETED),
        PUT("u", "{\"points\":[{\"id\":\"12\",\"vector\":[1,2,3]}]}", 400,
            "Format error in JSON body: value \\\"12\\\" is not a valid point ID, valid values are "
            "either an unsigned integer or a UUID"),
        PUT("u", "{\"points\":[{\"id\":-1,\"vector\":[1,2,3]}]}", 400, "value -1 is not a valid"),
        PUT("u", "{\"points\":[{\"id\":1.0,\"vector\":[1,2,3]}]}", 400, "value 1.0 is not a valid"),
        PUT("u", "{\"points\":[{\"id\":true,\"vector\":[1,2,3]}]}", 400, "is not a valid point ID"),
        PUT("u", "{\"points\":[{\"id\":null,\"vector\":[1,2,3]}]}", 400, "missing field `id`"),
        PUT("u",
            "{\"points\":[{\"id\":1,\"vector\":[1,2,3]},{\"id\":2,\"vector\":[1,2,3]},"
            "{\"id\":3,\"vector\":[1,2]}]}",
            400, "expected dim: 3, got 2\""),
        PUT("u", "{\"points\":[{\"id\":1,\"vector\":[1,2,3]},{\"vector\":[1,2,3]}]}", 400,
            "missing field `id` (points[1])\""),
        PUT("u", "{\"points\":[{\"id\":18446744073709551616,\"vector\":[1,2,3]}]}", 400,
            "Format error in JSON body: "),
        /* vectors */
        PUT("u", ONE("\"vector\":[1,2]"), 400,
            "\"Wrong input: Vector dimension error: expected dim: 3, got 2\""),
        PUT("u", ONE("\"vector\":[1,2,3,4]"), 400,
            "\"Wrong input: Vector dimension error: expected dim: 3, got 4\""),
        PUT("u", ONE("\"vector\":[]"), 400, "expected dim: 3, got 0"),
        PUT("u", ONE("\"vector\":[1,null,3]"), 400, "Format error in JSON body: "),
        PUT("u", ONE("\"vector\":[1,\"2\",3]"), 400, "Format error in JSON body: "),
        PUT("u", ONE("\"vector\":[1,1e39,3]"), 400, "Format error in JSON body: "),
        PUT("u", ONE("\"vector\":[1,NaN,3]"), 400, "Format error in JSON body: "),
        PUT("u", ONE("\"vector\":[1,1e400,3]"), 400, "Format error in JSON body: "),
        PUT("u", ONE("\"vector\":null"), 400, "missing field `vector`"),
        PUT("u", ONE("\"vector\":7"), 400, "Format error in JSON body: vector: "),
        PUT("u", ONE("\"vector\":{\"a\":[1,2]}"), 400,
            "\"Wrong input: Not existing vector name error: a\""),
        PUT("u", ONE("\"vector\":{\"\":[1,2,3]}"), 200, COMPLETED),
        PUT("u", ONE("\"vector\":[0,0,0]"), 200, COMPLETED),
        PUT("u", ONE("\"vector\":{\"\":{\"indices\":[1],\"values\":[2]}}"), 400, "not supported"),
        PUT("n", ONE("\"vector\":[1,2]"), 400, "\"Wrong input: Not existing vector name error: \""),
        PUT("n", ONE("\"vector\":{\"a\":[1,2],\"c\":[1]}"), 400,
            "\"Wrong input: Not existing vector name error: c\""),
        PUT("n", ONE("\"vector\":{\"a\":[1,2]}"), 200, COMPLETED),
        PUT("n", ONE("\"vector\":{}"), 200, COMPLETED),
        PUT("n", ONE("\"vector\":{\"a\":null,\"b\":[1,2,3]}"), 200, COMPLETED),
        PUT("n", ONE("\"vector\":{\"b\":[1,2]}"), 400, "expected dim: 3, got 2"),
        PUT("e", ONE("\"vector\":[1,2]"), 200, COMPLETED),
        PUT("e", ONE("\"vector\":{\"\":[1,2],\"x\":[3]}"), 200, COMPLETED),
        PUT("p", ONE("\"vector\":{},\"payload\":{\"a\":1}"), 200, COMPLETED),
        PUT("p", ONE("\"vector\":[1]"), 400, "Not existing vector name error: "),
        /* payloads */
        PUT("u", ONE("\"vector\":[1,2,3],\"payload\":null"), 200, COMPLETED),
        PUT("u", ONE("\"vector\":[1,2,3],\"payload\":[1]"), 400, "payload: invalid type: array"),
        PUT("u", ONE("\"vector\":[1,2,3],\"payload\":\"x\""), 400, "payload: invalid type"),
        /* shapes */
        PUT("u", "{}", 400, "one of `points` and `batch` is needed"),
        PUT("u", "{\"points\":null}", 400, "one of `points` and `batch` is needed"),
        PUT("u", "{\"points\":[],\"batch\":{}}", 400, "only one of `points` and `batch`"),
        PUT("u", "{\"points\":{}}", 400, "Format error in JSON body: points: "),
        PUT("u", "{\"points\":[7]}", 400, "Format error in JSON body: points: "),
        PUT("u", "[]", 400, "Format error in JSON body: "),
        PUT("u", "{\"points\":[}", 400, "Format error in JSON body: "),
        PUT("u", "", 400, "Format error in JSON body: "),
        PUT("u", "{\"points\":[],\"update_mode\":\"insert\"}", 400,
            "update_mode: unknown variant `insert`, expected"),
        PUT("u", "{\"points\":[],\"update_mode\":7}", 400, "update_mode"),
        PUT("u", "{\"points\":[],\"update_mode\":null,\"update_filter\":null,\"shard_key\":null}",
            200, COMPLETED),
        /* columns */
        PUT("u", BATCH("\"ids\":[5,6],\"vectors\":[[1,2,3],[4,5,6]]"), 200, COMPLETED),
        PUT("u", BATCH("\"ids\":[5,6],\"vectors\":[[1,2,3],[4,5,6]],\"payloads\":[{\"a\":1},null]"),
            200, COMPLETED),
        PUT("u", BATCH("\"ids\":[5,6],\"vectors\":[[1,2,3]]"), 400,
            "\"Wrong input: number of ids and vectors must be equal (2 != 1)\""),
        PUT("u", BATCH("\"ids\":[5],\"vectors\":[[1,2,3]],\"payloads\":[{},{}]"), 400,
            "number of ids and payloads must be equal (1 != 2)"),
        PUT("u", BATCH("\"vectors\":[[1,2,3]]"), 400, "missing field `ids`"),
        PUT("u", BATCH("\"ids\":[1]"), 400, "missing field `vectors`"),
        PUT("u", BATCH("\"ids\":[1],\"vectors\":[[1,2]]"), 400, "expected dim: 3, got 2\""),
        PUT("u", BATCH("\"ids\":[1,2],\"vectors\":[[1,2,3],[1,2]]"), 400,
            "expected dim: 3, got 2\""),
        PUT("u", BATCH("\"ids\":[1,\"x\"],\"vectors\":[[1,2,3],[1,2,3]]"), 400, "UUID (ids[1])\""),
        PUT("u", BATCH("\"ids\":[\"x\"],\"vectors\":[[1,2,3]]"), 400, "not a valid point ID"),
        PUT("u", BATCH("\"ids\":7,\"vectors\":[]"), 400, "ids: invalid type"),
        PUT("u", BATCH("\"ids\":[1],\"vectors\":7"), 400, "vectors: invalid type"),
        PUT("u", BATCH("\"ids\":[1],\"vectors\":[[1,2,3]],\"payloads\":[7]"), 400, "payload: "),
        PUT("u", BATCH("\"ids\":[],\"vectors\":[]"), 200, COMPLETED),
        PUT("n", BATCH("\"ids\":[1],\"vectors\":[[1,2]]"), 400,
            "Not existing vector name error: \""),
        PUT("n", BATCH("\"ids\":[1,2],\"vectors\":{\"a\":[[1,2],[3,4]],\"b\":[[1,2,3],[4,5,6]]}"),
            200, COMPLETED),
        PUT("n", BATCH("\"ids\":[1,2],\"vectors\":{\"a\":[[1,2],[3,4]],\"b\":[[1,2,3]]}"), 400,
            "number of ids and vectors must be equal (2 != 1)"),
        PUT("n", BATCH("\"ids\":[3,4],\"vectors\":{}"), 200, COMPLETED),
        PUT("n", BATCH("\"ids\":[1],\"vectors\":{\"c\":[[1]]}"), 400,
            "Not existing vector name error: c\""),
        PUT("p", BATCH("\"ids\":[3,4],\"vectors\":{},\"payloads\":[{\"a\":1},{}]"), 200, COMPLETED),
        /* nothing of a refused request is there */
        PUT("u", "{\"points\":[{\"id\":900,\"vector\":[1,2,3]},{\"id\":901,\"vector\":[1,2]}]}",
            400, "dimension"),
        {"POST", "u/points", "{\"ids\":[900]}", 200, "\"result\":[]"},
    };
    struct world w;

    (void)state;
    open_all(&w, 2);
    RUN(&w, rows);
    world_close(&w);
}

static void records_are_printed_as_they_are_wanted(void **state)
{
    static const struct row rows[] = {
        PUT("u",
            "{\"points\":[{\"id\":1,\"vector\":[0.1,-2,1e-07],\"payload\":{\"big\":"
            "9007199254740993,"
            "\"max\":18446744073709551615,\"f\":1.0,\"i\":1,\"nul\":\"\\u0000\",\"k\":1,\"k\":2}},"
            "{\"id\":7,\"vector\":[1,2,3]}]}",
            200, COMPLETED),
        {"GET", "u/points/1", NULL, 200,
         "\"result\":{\"id\":1,\"payload\":{\"big\":9007199254740993,\"max\":18446744073709551615,"
         "\"f\":1.0,\"i\":1,\"nul\":\"\\u0000\",\"k\":2},\"vector\":[0.1,-2,1e-07]}"},
        {"GET", "u/points/7", NULL, 200, "{\"id\":7,\"payload\":{},\"vector\":[1,2,3]}"},
        {"GET", "u/points/8", NULL, 404, "\"Not found: No point with id 8 found\""},
        {"GET", "u/points/x", NULL, 400, "is not a valid point ID"},
        {"GET", "none/points/1", NULL, 404, "Collection `none` doesn't exist!"},
        {"POST", "u/points", "{\"ids\":[7,8,1,7]}", 200,
         "\"result\":[{\"id\":7,\"payload\":{},\"vector\":null},{\"id\":1,\"payload\":{\"big\""},
        {"POST", "u/points", "{\"ids\":[1],\"with_payload\":false,\"with_vector\":true}", 200,
         "[{\"id\":1,\"payload\":null,\"vector\":[0.1,-2,1e-07]}]"},
        {"POST", "u/points", "{\"ids\":[1],\"with_payload\":[\"i\"]}", 200,
         "{\"id\":1,\"payload\":{\"i\":1},\"vector\":null}"},
        {"POST", "u/points", "{\"ids\":[]}", 200, "\"result\":[]"},
        {"POST", "u/points", "{}", 400, "missing field `ids`"},
        {"POST", "u/points", "{\"ids\":[\"1\"]}", 400, "not a valid point ID"},
        {"POST", "u/points", "{\"ids\":[1],\"with_vector\":[\"a\"]}", 400,
         "Not existing vector name error: a"},
        PUT("n", ONE("\"vector\":{\"b\":[1,2,3]}"), 200, COMPLETED),
        {"GET", "n/points/1", NULL, 200, "\"vector\":{\"b\":[1,2,3]}}"},
        PUT("n", ONE("\"vector\":{\"b\":[4,5,6],\"a\":[0.5,1]}"), 200, COMPLETED),
        {"GET", "n/points/1", NULL, 200, "\"vector\":{\"a\":[0.5,1],\"b\":[4,5,6]}}"},
        {"POST", "n/points", "{\"ids\":[1],\"with_vector\":[\"b\"]}", 200,
         "\"vector\":{\"b\":[4,5,6]}}"},
        PUT("n", ONE("\"vector\":{},\"payload\":{}"), 200, COMPLETED),
        {"GET", "n/points/1", NULL, 200, "{\"id\":1,\"payload\":{},\"vector\":{}}"},
        PUT("p", ONE("\"vector\":{},\"payload\":{\"a\":[1,{\"b\":null}]}"), 200, COMPLETED),
        {"POST", "p/points", "{\"ids\":[1],\"with_vector\":true}", 200,
         "\"payload\":{\"a\":[1,{\"b\":null}]}"},
    };
    struct world w;

    (void)state;
    open_all(&w, 2);
    RUN(&w, rows);
    world_close(&w);
}

#define POST(path, body, status, part)                                                             \
    {                                                                                              \
        "POST", "u/points" path "?wait=true", body, status, part                                   \
    }
#define READ(id, part)                                                                             \
    {                                                                                              \
        "POST", "u/points", "{\"ids\":[" id "],\"with_vector\":true}", 200, part                   \
    }

static void changes_read_their_selector_and_tell_who_is_missing(void **state)
{
    static const struct row rows[] = {
        PUT("u",
            "{\"points\":[{\"id\":1,\"vector\":[1,2,3],\"payload\":{\"a\":1,\"b\":{\"c\":2}}},"
            "{\"id\":2,\"vector\":[4,5,6]},{\"id\":3,\"vector\":[7,8,9]}]}",
            200, COMPLETED),
        POST("/payload", "{\"payload\":{\"a\":9},\"points\":[1]}", 200, COMPLETED),
        READ("1", "\"payload\":{\"a\":9,\"b\":{\"c\":2}}"),
        POST("/payload", "{\"payload\":{\"d\":3},\"points\":[1],\"key\":\"b\"}", 200, COMPLETED),
        READ("1", "\"b\":{\"c\":2,\"d\":3}"),
        POST("/payload", "{\"payload\":{\"x\":1},\"points\":[2,77]}", 404,
             "\"Not found: No point with id 77 found\""),
        READ("2", "\"payload\":{\"x\":1}"),
        POST("/payload", "{\"points\":[1]}", 400, "missing field `payload`"),
        POST("/payload", "{\"payload\":{}}", 400, "Wrong input: "),
        POST("/payload", "{\"payload\":7,\"points\":[1]}", 400, "payload: invalid type"),
        POST("/payload", "{\"payload\":{},\"points\":[1],\"key\":\"a[\"}", 400, "key"),
        POST("/payload", "{\"payload\":{},\"points\":[\"1\"]}", 400, "not a valid point ID"),
        POST("/payload", "{\"payload\":{},\"points\":[]}", 200, COMPLETED),
        {"PUT", "u/points/payload?wait=true", "{\"payload\":{\"n\":null},\"points\":[1]}", 200,
         COMPLETED},
        READ("1", "\"payload\":{\"n\":null}"),
        {"PUT", "u/points/payload", "{\"payload\":{},\"points\":[99]}", 404,
         "No point with id 99 found"},
        POST("/payload", "{\"payload\":{\"a\":1,\"b\":{\"c\":2,\"d\":3}},\"points\":[1]}", 200, ""),
        POST("/payload/delete", "{\"keys\":[\"n\",\"b.c\",\"none\"],\"points\":[1]}", 200,
             COMPLETED),
        READ("1", "\"payload\":{\"a\":1,\"b\":{\"d\":3}}"),
        POST("/payload/delete", "{\"points\":[1]}", 400, "missing field `keys`"),
        POST("/payload/delete", "{\"keys\":[\"\"],\"points\":[1]}", 400, "keys"),
        POST("/payload/delete", "{\"keys\":\"a\",\"points\":[1]}", 400, "keys: invalid type"),
        POST("/payload/delete", "{\"keys\":[\"a\"],\"points\":[88]}", 404, "id 88 found"),
        POST("/payload/clear", "{\"points\":[1]}", 200, COMPLETED),
        READ("1", "\"payload\":{}"),
        POST("/payload/clear", "{\"points\":[88]}", 404, "id 88 found"),
        POST("/payload/clear", "{}", 400, "Wrong input: "),
        {"PUT", "u/points/vectors?wait=true", "{\"points\":[{\"id\":1,\"vector\":[9,9,9]}]}", 200,
         COMPLETED},
        READ("1", "\"vector\":[9,9,9]"),
        {"PUT", "u/points/vectors", "{\"points\":[{\"id\":66,\"vector\":[9,9,9]}]}", 404,
         "No point with id 66 found"},
        {"PUT", "u/points/vectors", "{\"points\":[{\"id\":1,\"vector\":[9]}]}", 400,
         "expected dim: 3, got 1"},
        {"PUT", "u/points/vectors", "{}", 400, "missing field `points`"},
        PUT("n", ONE("\"vector\":{\"a\":[1,2],\"b\":[1,2,3]},\"payload\":{\"a\":1}"), 200, ""),
        {"PUT", "n/points/vectors", "{\"points\":[{\"id\":1,\"vector\":{\"a\":[3,4]}}]}", 200, ""},
        {"GET", "n/points/1", NULL, 200,
         "\"payload\":{\"a\":1},\"vector\":{\"a\":[3,4],\"b\":[1,2,3]}"},
        {"POST", "n/points/vectors/delete", "{\"points\":[1],\"vector\":[\"b\"]}", 200, ""},
        {"GET", "n/points/1", NULL, 200, "\"vector\":{\"a\":[3,4]}}"},
        {"POST", "n/points/vectors/delete", "{\"points\":[1],\"vector\":[\"q\"]}", 400,
         "Not existing vector name error: q"},
        {"POST", "n/points/vectors/delete", "{\"points\":[1],\"vector\":[]}", 422,
         "Validation error in JSON body: ["},
        {"POST", "n/points/vectors/delete", "{\"points\":[1]}", 400, "missing field `vector`"},
        {"POST", "n/points/vectors/delete", "{\"points\":[1],\"vector\":\"a\"}", 400, "vector: "},
        POST("/delete", "{\"points\":[2,77]}", 200, COMPLETED),
        READ("2", "\"result\":[]"),
        POST("/delete", "{\"points\":[2]}", 200, COMPLETED),
        POST("/delete", "{}", 400, "Wrong input: "),
        POST("/delete", "{\"points\":7}", 400, "Format error in JSON body: "),
        {"POST", "none/points/delete", "{\"points\":[2]}", 404, "doesn't exist!"},
    };
    struct world w;

    (void)state;
    open_all(&w, 2);
    RUN(&w, rows);
    world_close(&w);
}

static void a_batch_runs_in_order_and_says_where_it_ended(void **state)
{
    static const struct row rows[] = {
        POST("/batch", "{\"operations\":[]}", 200, "\"result\":[]"),
        POST("/batch",
             "{\"operations\":["
             "{\"upsert\":{\"points\":[{\"id\":1,\"vector\":[1,2,3]},{\"id\":2,\"vector\":[1,2,3]}]"
             "}},"
             "{\"set_payload\":{\"payload\":{\"a\":1,\"b\":2},\"points\":[1,2]}},"
             "{\"delete_payload\":{\"keys\":[\"a\"],\"points\":[1]}},"
             "{\"update_vectors\":{\"points\":[{\"id\":1,\"vector\":[7,7,7]}]}},"
             "{\"delete\":{\"points\":[2]}},"
             "{\"delete\":{\"points\":[2]}},"
             "{\"upsert\":{\"batch\":{\"ids\":[3],\"vectors\":[[3,3,3]]}}},"
             "{\"overwrite_payload\":{\"payload\":{\"z\":1},\"points\":[3]}}]}",
             200,
             "\"result\":[{\"operation_id\":1,\"status\":\"completed\"},{\"operation_id\":2,"
             "\"status\":\"completed\"},{\"operation_id\":3,\"status\":\"completed\"},"
             "{\"operation_id\":4,\"status\":\"completed\"},{\"operation_id\":5,\"status\":"
             "\"completed\"},{\"operation_id\":5,\"status\":\"completed\"},{\"operation_id\":6,"
             "\"status\":\"completed\"},{\"operation_id\":7,\"status\":\"completed\"}]"),
        READ("1,2,3", "[{\"id\":1,\"payload\":{\"b\":2},\"vector\":[7,7,7]},{\"id\":3,\"payload\":{"
                      "\"z\":1},\"vector\":[3,3,3]}]"),
        POST("/batch",
             "{\"operations\":[{\"set_payload\":{\"payload\":{\"first\":1},\"points\":[1]}},"
             "{\"clear_payload\":{\"points\":[44]}},{\"delete\":{\"points\":[1]}}]}",
             404, "\"Not found: No point with id 44 found (operation 1, clear_payload; "),
        READ("1", "\"payload\":{\"b\":2,\"first\":1}"),
        /* what cannot be read stops all of it */
        POST("/batch",
             "{\"operations\":[{\"delete\":{\"points\":[1]}},{\"upsert\":{\"points\":[{\"id\":9,"
             "\"vector\":[1]}]}}]}",
             400,
             "\"Wrong input: Vector dimension error: expected dim: 3, got 1 (operation 1, upsert)"),
        POST("/batch", "{\"operations\":[{\"delete\":{\"points\":[1]}},{\"drop\":{}}]}", 400,
             "(operation 1)"),
        POST("/batch", "{\"operations\":[{\"delete\":{\"points\":[1]},\"upsert\":{}}]}", 400,
             "several kinds"),
        POST("/batch", "{\"operations\":[{\"delete\":[1]}]}", 400, "delete: invalid type"),
        POST("/batch", "{\"operations\":[7]}", 400, "operations: invalid type"),
        POST("/batch", "{\"operations\":{}}", 400, "operations: invalid type"),
        POST("/batch", "{}", 400, "missing field `operations`"),
        READ("1", "\"payload\":{\"b\":2,\"first\":1}"),
    };
    struct world w;

    (void)state;
    open_all(&w, 2);
    RUN(&w, rows);
    world_close(&w);
}

static void scrolls_and_counts_read_what_they_are_asked(void **state)
{
    static const struct row rows[] = {
        {"POST", "u/points/scroll", "{}", 200,
         "\"result\":{\"points\":[],\"next_page_offset\":null}"},
        PUT("u",
            BATCH("\"ids\":[30,10,20,\"936da01f-9abd-4d9d-80c7-02af85c822a8\"],"
                  "\"vectors\":[[3,3,3],[1,1,1],[2,2,2],[4,4,4]]"),
            200, ""),
        {"POST", "u/points/scroll", "{\"limit\":2}", 200,
         "{\"points\":[{\"id\":10,\"payload\":{},\"vector\":null},{\"id\":20,\"payload\":{},"
         "\"vector\":null}],\"next_page_offset\":30}"},
        {"POST", "u/points/scroll", "{\"limit\":2,\"offset\":30,\"with_payload\":false}", 200,
         "{\"points\":[{\"id\":30,\"payload\":null,\"vector\":null},{\"id\":"
         "\"936da01f-9abd-4d9d-80c7-02af85c822a8\",\"payload\":null,\"vector\":null}],"
         "\"next_page_offset\":null}"},
        {"POST", "u/points/scroll", "{\"limit\":1,\"offset\":21,\"with_vector\":true}", 200,
         "{\"points\":[{\"id\":30,\"payload\":{},\"vector\":[3,3,3]}],\"next_page_offset\":"
         "\"936da01f-9abd-4d9d-80c7-02af85c822a8\"}"},
        {"POST", "u/points/scroll", "{\"limit\":0}", 422,
         "Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]"},
        {"POST", "u/points/scroll", "{\"limit\":-1}", 400, "Format error in JSON body: "},
        {"POST", "u/points/scroll", "{\"limit\":\"2\"}", 400, "Format error in JSON body: "},
        {"POST", "u/points/scroll", "{\"offset\":\"2\"}", 400, "not a valid point ID"},
        {"POST", "u/points/scroll", "{\"offset\":null,\"limit\":null}", 200, "{\"id\":10,"},
        {"POST", "u/points/scroll", "{\"order_by\":\"a\",\"offset\":1}", 400, "`offset`"},
        {"POST", "u/points/scroll", "{\"order_by\":\"a\"}", 400, "Wrong input: "},
        {"PUT", "u/index",
         "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"min_token_len\":9,"
         "\"max_token_len\":3}}",
         422, "[max_token_len: value 3 invalid, must be 9 or larger]"},
        {"POST", "u/points/scroll", "{\"order_by\":{}}", 400, "missing field `key`"},
        {"POST", "u/points/scroll", "{\"order_by\":{\"key\":\"a\",\"direction\":\"up\"}}", 400,
         "direction"},
        {"POST", "u/points/scroll", "{\"order_by\":{\"key\":\"a\",\"start_from\":[]}}", 400,
         "start_from"},
        {"POST", "u/points/scroll", "{\"order_by\":7}", 400, "order_by"},
        {"POST", "u/points/scroll", "", 200, "{\"id\":10,"},
        {"POST", "u/points/scroll?timeout=0", "{}", 400, "`timeout`"},
        {"POST", "u/points/count", "{}", 200, "\"result\":{\"count\":4}"},
        {"POST", "u/points/count", "{\"exact\":false}", 200, "\"result\":{\"count\":4}"},
        {"POST", "u/points/count", "{\"exact\":7}", 400, "exact: invalid type"},
        {"POST", "u/facet", "{}", 400, "missing field `key`"},
        {"POST", "u/facet", "{\"key\":\"a\",\"limit\":0}", 422, "limit: value 0"},
        {"POST", "u/facet", "{\"key\":7}", 400, "key: invalid type"},
    };
    struct world w;

    (void)state;
    open_all(&w, 2);
    RUN(&w, rows);
    world_close(&w);
}

/* --- large bodies --- */

enum form { BY_POINTS, BY_COLUMNS, BY_NAMED_COLUMNS };

static void put_floats(struct buf *b, unsigned i, unsigned dim)
{
    buf_printf(b, "[%u", i);
    for (unsigned k = 1; k < dim; k++)
        buf_printf(b, ",%u.5", k);
    buf_put_text(b, "]");
}

/* ids 1 to count; tail stands behind the points, or the last column. */
static void put_body(struct buf *b, enum form form, unsigned count, const char *tail)
{
    buf_init(b, BODY_BYTES_MAX);
    if (form == BY_POINTS) {
        buf_put_text(b, "{\"points\":[");
        for (unsigned i = 1; i <= count; i++) {
            buf_printf(b,
                       "%s{\"id\":%u,\"payload\":{\"n\":[%u,\"]}\"]},\"vector\":", i > 1 ? "," : "",
                       i, i);
            put_floats(b, i, 3);
            buf_put_text(b, "}");
        }
    } else {
        buf_put_text(b, "{\"batch\":{\"ids\":[");
        for (unsigned i = 1; i <= count; i++)
            buf_printf(b, "%s%u", i > 1 ? "," : "", i);
        buf_put_text(b, form == BY_COLUMNS ? "],\"vectors\":[" : "],\"vectors\":{\"b\":[");
        for (unsigned i = 1; i <= count; i++) {
            buf_put_text(b, i > 1 ? "," : "");
            put_floats(b, i, 3);
        }
        buf_put_text(b, form == BY_COLUMNS ? "],\"payloads\":[" : "]},\"payloads\":[");
        for (unsigned i = 1; i <= count; i++)
            buf_printf(b, "%s{\"n\":[%u,\"]}\"]}", i > 1 ? "," : "", i);
    }
    buf_put_text(b, tail);
    assert_false(b->failed);
    assert_true(b->bytes > (size_t)64 * 1024); /* else it would not be sliced */
}

static struct answer send_body(const struct world *w, const char *collection,
                               const struct buf *body)
{
    struct answer a;
    char head[256]; /* no allocation: some are made to fail meanwhile */
    int fd = client_connect(w);

    (void)snprintf(head, sizeof head,
                   "PUT /collections/%s/points?wait=true HTTP/1.1\r\nHost: t\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   collection, body->bytes);
    client_send_text(fd, head);
    client_send(fd, body->data, body->bytes);
    a = client_read(fd, false);
    client_close(fd);
    return a;
}

static void expect_large(const struct world *w, const char *collection, enum form form,
                         const char *tail, int http_status, const char *part)
{
    struct answer a;
    struct buf body;

    put_body(&body, form, POINTS, tail);
    a = send_body(w, collection, &body);
    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("%s, form %d: %d %s, not %d %s", tail, form, a.status, a.body, http_status, part);
    answer_free(&a);
    buf_free(&body);
}

static void large_upserts_are_taken_whole_or_not_at_all(void **state)
{
    static const struct row after[] = {
        {"POST", "u/points/count", "{}", 200, "\"count\":3000}"},
        {"GET", "u/points/2999", NULL, 200,
         "{\"id\":2999,\"payload\":{\"n\":[2999,\"]}\"]},\"vector\":[2999,1.5,2.5]}"},
    };
    static const struct row named[] = {
        {"POST", "n/points/count", "{}", 200, "\"count\":3000}"},
        {"GET", "n/points/3000", NULL, 200,
         "{\"id\":3000,\"payload\":{\"n\":[3000,\"]}\"]},\"vector\":{\"b\":[3000,1.5,2.5]}}"},
    };
    struct world w;

    (void)state;
    open_all(&w, 2);
    expect_large(&w, "u", BY_POINTS, ",{\"id\":1,\"vector\":[1,2]}]}", 400,
                 "expected dim: 3, got 2\"");
    expect_large(&w, "u", BY_POINTS, ",{\"id\":\"1\",\"vector\":[1,2,3]}]}", 400,
                 "UUID (points[3000])\"");
    expect_large(&w, "u", BY_POINTS, ",7]}", 400, "Format error in JSON body: points: ");
    expect_large(&w, "u", BY_POINTS, ",]}", 400, "malformed JSON at byte");
    expect_large(&w, "u", BY_POINTS, "]", 400, "malformed JSON at byte");
    expect_large(&w, "u", BY_POINTS, "]}x", 400, "malformed JSON at byte");
    expect_large(&w, "u", BY_POINTS, "],\"update_mode\":\"x\"}", 400, "update_mode");
    expect_large(&w, "u", BY_POINTS, "],\"batch\":{}}", 400, "only one of");
    expect_large(&w, "u", BY_POINTS, "],\"points\":null}", 400, "one of `points` and `batch`");
    expect_large(&w, "u", BY_COLUMNS, ",{}]}}", 400, "must be equal (3000 != 3001)");
    expect_large(&w, "u", BY_COLUMNS, ",7]}}", 400, "payload: invalid type");
    expect_large(&w, "u", BY_COLUMNS, "],\"ids\":[7]}}", 400, "must be equal (1 != 3000)");
    expect_large(&w, "n", BY_COLUMNS, "]}}", 400, "Not existing vector name error: ");
    expect_large(&w, "u", BY_NAMED_COLUMNS, "]}}", 400, "Not existing vector name error: b");
    assert_int_equal(fake_node_writes(w.node), 0);
    expect_large(&w, "u", BY_POINTS, "]}", 200, COMPLETED);
    run_rows(&w, after, 2);
    expect_large(&w, "u", BY_COLUMNS, "]}}", 200, COMPLETED);
    expect_large(&w, "u", BY_POINTS, "],\"shard_key\":null,\"update_mode\":\"upsert\"} ", 200,
                 COMPLETED);
    expect_large(&w, "u", BY_POINTS, "],\"other\":[1]}", 200, COMPLETED);
    expect_large(&w, "u", BY_POINTS, "],\"points\":[{\"id\":1,\"vector\":[9,9,9]}]}", 200,
                 COMPLETED);
    run_rows(&w, after, 2);
    expect_large(&w, "n", BY_NAMED_COLUMNS, "]},\"update_mode\":\"insert_only\"}", 200, COMPLETED);
    run_rows(&w, named, 2);
    world_close(&w);
}

/* Its operations are read one by one; what stands around them otherwise is read in one piece. */
static void expect_batch(const struct world *w, const char *front, const char *tail,
                         int http_status, const char *part)
{
    struct answer a;
    struct buf body;
    char head[256];
    int fd = client_connect(w);

    buf_init(&body, BODY_BYTES_MAX);
    buf_put_text(&body, front);
    for (unsigned i = 0; i < 500; i++) {
        buf_printf(&body, "%s{\"upsert\":{\"points\":[{\"id\":%u,\"payload\":{\"t\":\"%0200u\"},",
                   i > 0 ? "," : "", i, i);
        buf_put_text(&body, "\"vector\":");
        put_floats(&body, i, 3);
        buf_put_text(&body, "}]}}");
    }
    buf_put_text(&body, tail);
    assert_true(body.bytes > (size_t)64 * 1024 && !body.failed);
    (void)snprintf(head, sizeof head,
                   "POST /collections/u/points/batch?wait=true HTTP/1.1\r\nHost: t\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   body.bytes);
    client_send_text(fd, head);
    client_send(fd, body.data, body.bytes);
    a = client_read(fd, false);
    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("%s...%s: %d %s, not %d %s", front, tail, a.status, a.body, http_status, part);
    answer_free(&a);
    client_close(fd);
    buf_free(&body);
}

static void large_batches_are_read_whole_before_the_first_write(void **state)
{
    static const struct row after[] = {
        {"POST", "u/points/count", "{}", 200, "\"count\":499}"},
        {"GET", "u/points/499", NULL, 200, "\"vector\":[499,1.5,2.5]}"},
    };
    struct world w;

    (void)state;
    open_all(&w, 2);
    expect_batch(&w, "{\"operations\":[", ",{\"drop\":{}}]}", 400, "(operation 500)");
    expect_batch(&w, "{\"operations\":[", ",7]}", 400, "operations: invalid type: integer");
    expect_batch(&w, "{\"operations\":[", ",]}", 400, "malformed JSON at byte");
    expect_batch(&w, "{\"operations\":[", "]", 400, "malformed JSON at byte");
    expect_batch(&w, "{\"operations\":[", "]}}", 400, "malformed JSON at byte");
    expect_batch(&w, "{\"operations\":[", "],\"operations\":[{}]}", 400, "(operation 0)");
    expect_batch(&w, "{\"other\":[", "]}", 400, "missing field `operations`");
    expect_batch(&w, "{\"operations\":[",
                 ",{\"delete\":{\"points\":[0]}},{\"delete\":{\"points\":[0]}}]}", 400,
                 "Wrong input: operations: there are more than the limit of 501");
    expect_batch(&w, "{\"other\":1,\"operations\":[",
                 ",{\"delete\":{\"points\":[0]}},{\"delete\":{\"points\":[0]}}]}", 400,
                 "Wrong input: operations: there are more than the limit of 501");
    assert_int_equal(fake_node_writes(w.node), 0);
    expect_batch(&w, "{\"operations\":[", ",{\"delete\":{\"points\":[0]}}]}", 200,
                 "{\"operation_id\":501,\"status\":\"completed\"}]");
    run_rows(&w, after, 2);
    expect_batch(&w, "{\"other\":1,\"operations\":[", ",{\"delete\":{\"points\":[0]}}]}", 200,
                 "{\"operation_id\":1002,\"status\":\"completed\"}]");
    run_rows(&w, after, 2);
    world_close(&w);
}

/* A bucket that has not confirmed in time is said, to those who wait. */
static void a_write_short_of_the_bucket_is_no_completed_one(void **state)
{
    static const struct row rows[] = {
        PUT("u", ONE("\"vector\":[1,2,3]"), 200,
            "{\"operation_id\":1,\"status\":\"wait_timeout\"}"),
        {"PUT", "u/points", ONE("\"vector\":[1,2,3]"), 200,
         "{\"operation_id\":2,\"status\":\"acknowledged\"}"},
        POST("/batch", "{\"operations\":[{\"delete\":{\"points\":[1]}}]}", 200,
             "[{\"operation_id\":3,\"status\":\"wait_timeout\"}]"),
    };
    struct world w;

    (void)state;
    open_all(&w, 1);
    fake_node_short_of_remote(w.node, true);
    RUN(&w, rows);
    world_close(&w);
}

/* One worker: while it reads a large body others are answered; returns how many. Then a long page
 * is printed. */
static unsigned small_requests_beside_a_large_one(void)
{
    unsigned passed = 0;
    struct answer a;
    struct buf body;
    struct world w;
    int fd;

    open_all(&w, 1);
    buf_init(&body, BODY_BYTES_MAX);
    put_body(&body, BY_POINTS, POINTS, "");
    for (unsigned i = 0; i < 50; i++) { /* long payloads, so that reading takes its time */
        buf_printf(&body, ",{\"id\":%u,\"vector\":[1,2,3],\"payload\":{\"n\":[0", POINTS + i);
        for (unsigned k = 0; k < 20000; k++)
            buf_put_text(&body, ",1.5");
        buf_put_text(&body, "]}}");
    }
    buf_put_text(&body, "]}");
    assert_false(body.failed);
    fd = client_connect(&w);
    {
        char head[128];

        (void)snprintf(
            head, sizeof head,
            "PUT /collections/u/points HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n",
            body.bytes);
        client_send_text(fd, head);
    }
    client_send(fd, body.data, body.bytes);
    while (fake_node_writes(w.node) == 0) {
        expect(&w, "GET", "/collections/u/points/999999", NULL, 404);
        passed++;
    }
    a = client_read(fd, false);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    client_close(fd);
    a = ask(&w, "POST", "/collections/u/points/scroll", "{\"limit\":100000,\"with_vector\":true}");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "{\"id\":3049,"));
    assert_non_null(strstr(a.body, "\"next_page_offset\":null}"));
    answer_free(&a);
    buf_free(&body);
    world_close(&w);
    return passed;
}

/* A client that is itself kept waiting by the machine asks seldom: then once more. */
static void small_requests_pass_large_ones(void **state)
{
    unsigned tries = 0;

    (void)state;
    while (small_requests_beside_a_large_one() < 5)
        assert_true(tries++ < TRIES_MAX);
}

/* Without memory at any place a request is refused with 503 or 507, or done. */
static void sweep(struct world *w, const char *method, const char *path, const struct buf *body)
{
    int64_t asked = 0;

    for (int64_t n = 0; n <= asked; n += 1 + asked / 60) {
        int fd = client_connect(w);
        struct answer a;
        char head[256];

        expect(w, "GET", "/livez", NULL, 200);
        (void)snprintf(head, sizeof head,
                       "%s /collections/%s HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n",
                       method, path, body->bytes);
        mem_test_fail_after(n);
        client_send_text(fd, head);
        client_send(fd, body->data, body->bytes);
        a = client_read(fd, false);
        asked = asked > mem_test_count() ? asked : mem_test_count();
        mem_test_fail_after(-1);
        if (a.status != 0 && a.status != 200 && a.status != 503 && a.status != 507)
            fail_msg("after %lld allocations: %d %s", (long long)n, a.status, a.body);
        answer_free(&a);
        client_close(fd);
    }
}

static void each_failed_allocation_is_survived(void **state)
{
    static const struct {
        const char *method, *path, *body;
    } rows[] = {
        {"POST", "u/points", "{\"ids\":[1,2,3,4,5,6],\"with_vector\":true}"},
        {"POST", "u/points/scroll", "{\"limit\":2000,\"with_payload\":[\"n[]\"]}"},
        {"POST", "u/points/batch",
         "{\"operations\":[{\"delete_payload\":{\"keys\":[\"a.b\"],\"points\":[1,2]}},{\"upsert\":{"
         "\"points\":[{\"id\":1,\"vector\":[1,2,3],\"payload\":{\"a\":1}}]}}]}"},
        {"POST", "u/points/payload", "{\"payload\":{\"a\":1},\"points\":[1,2],\"key\":\"a.b\"}"},
    };
    struct buf body;
    struct world w;

    (void)state;
    open_all(&w, 1);
    for (int form = BY_POINTS; form <= BY_COLUMNS; form++) {
        put_body(&body, (enum form)form, POINTS, form == BY_POINTS ? "]}" : "]}}");
        sweep(&w, "PUT", "u/points", &body);
        buf_free(&body);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_init(&body, 4096);
        buf_put_text(&body, rows[i].body);
        sweep(&w, rows[i].method, rows[i].path, &body);
        buf_free(&body);
    }
    expect(&w, "GET", "/collections/u/points/1", NULL, 200);
    world_close(&w);
}

/* A page whose answer is over the bound of all answers is given up where it meets it. */
static void a_scroll_over_the_bound_of_answers_is_refused(void **state)
{
    static const struct field_info field[] = {{.name = "", .dimension = 3}};
    struct api_options o = options();
    struct answer a;
    struct buf body;
    struct world w;

    (void)state;
    o.replies_bytes_max = 128 * 1024;
    world_open_workers(&w, &o, 1);
    make(&w, "u", field, 1);
    put_body(&body, BY_POINTS, POINTS, "]}");
    a = send_body(&w, "u", &body);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = ask(&w, "POST", "/collections/u/points/scroll", "{\"limit\":3000,\"with_vector\":true}");
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"status\":{\"error\":\"Service internal error: "));
    assert_true(answer_has_header(&a, "Retry-After: "));
    answer_free(&a);
    a = ask(&w, "POST", "/collections/u/points/scroll", "{\"limit\":300}");
    assert_int_equal(a.status, 200);
    answer_free(&a);
    buf_free(&body);
    world_close(&w);
}

static void a_payload_that_is_too_deep_is_told_so(void **state)
{
    struct answer a;
    struct buf body;
    struct world w;

    (void)state;
    open_all(&w, 1);
    buf_init(&body, BODY_BYTES_MAX);
    for (unsigned levels = 128; levels <= 129; levels++) { /* the payload is the first */
        buf_reset(&body);
        buf_put_text(&body, "{\"points\":[{\"id\":1,\"vector\":[1,2,3],\"payload\":{\"a\":");
        for (unsigned i = 1; i < levels; i++)
            buf_put_text(&body, "[");
        for (unsigned i = 1; i < levels; i++)
            buf_put_text(&body, "]");
        buf_put_text(&body, "}}]}");
        a = send_body(&w, "u", &body);
        assert_int_equal(a.status, levels == 128 ? 200 : 400);
        if (levels > 128)
            assert_non_null(strstr(a.body, "Wrong input: a payload is more than 128 levels deep"));
        answer_free(&a);
    }
    buf_free(&body);
    world_close(&w);
}

/* A write that takes longer than its client wants to wait is under way, not refused. */
static void who_waits_only_so_long_is_told_that_the_write_is_under_way(void **state)
{
    static const char body[] = "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}";
    struct answer a;
    struct world w;

    (void)state;
    open_all(&w, 1);
    fake_node_hold(w.node, true);
    a = ask(&w, "PUT", "/collections/u/points?wait=true&timeout=1", body);
    assert_int_equal(a.status, 200);
    assert_non_null(
        strstr(a.body, "\"result\":{\"operation_id\":null,\"status\":\"wait_timeout\"},"));
    assert_true(strstr(a.body, "\"time\":0.") == NULL || /* a second, by the loop's clock */
                strstr(a.body, "\"time\":0.9") != NULL);
    answer_free(&a);
    expect(&w, "GET", "/collections/u/points/1", NULL, 200); /* the fake one shows it already */
    fake_node_hold(w.node, false);
    a = ask(&w, "PUT", "/collections/u/points?wait=true&timeout=1", body);
    assert_non_null(strstr(a.body, COMPLETED));
    answer_free(&a);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upsert_reads_both_forms_and_refuses_what_it_is_not),
        cmocka_unit_test(records_are_printed_as_they_are_wanted),
        cmocka_unit_test(changes_read_their_selector_and_tell_who_is_missing),
        cmocka_unit_test(a_batch_runs_in_order_and_says_where_it_ended),
        cmocka_unit_test(scrolls_and_counts_read_what_they_are_asked),
        cmocka_unit_test(who_waits_only_so_long_is_told_that_the_write_is_under_way),
        cmocka_unit_test(a_payload_that_is_too_deep_is_told_so),
        cmocka_unit_test(large_upserts_are_taken_whole_or_not_at_all),
        cmocka_unit_test(large_batches_are_read_whole_before_the_first_write),
        cmocka_unit_test(a_write_short_of_the_bucket_is_no_completed_one),
        cmocka_unit_test(small_requests_pass_large_ones),
        cmocka_unit_test(a_scroll_over_the_bound_of_answers_is_refused),
        cmocka_unit_test(each_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
