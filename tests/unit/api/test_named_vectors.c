/* Named vectors in our own dialect: collections made with them, documents read and printed,
 * searches over one of them. */
#include "world.h"

#include "base/mem.h"
#include "node/points.h"

#include <stdio.h>
#include <string.h>

#define COLLECTIONS "/api/v1/collections"
#define TWO         COLLECTIONS "/two"
#define MIXED       COLLECTIONS "/mixed"

static struct world world;

static int open_world(void **state)
{
    const struct api_options options = world_options();

    (void)state;
    world_open(&world, &options);
    expect(&world, "POST", COLLECTIONS,
           "{\"name\":\"two\",\"vectors\":{\"a\":{\"dimension\":2,\"metric\":\"l2\"},"
           "\"b\":{\"dimension\":3,\"metric\":\"cosine\",\"hnsw\":{\"m\":7}}},\"hnsw\":{\"m\":5,"
           "\"ef_search\":9}}",
           201);
    expect(&world, "POST", COLLECTIONS,
           "{\"name\":\"mixed\",\"vectors\":{\"\":{\"dimension\":1,\"metric\":\"l2\"},"
           "\"n\":{\"dimension\":2,\"metric\":\"dot\"}}}",
           201);
    expect(&world, "POST", COLLECTIONS,
           "{\"name\":\"only\",\"vectors\":{\"o\":{\"dimension\":2,\"metric\":\"l2\"}}}", 201);
    expect(&world, "POST", COLLECTIONS, "{\"name\":\"none\",\"vectors\":{}}", 201);
    expect(&world, "POST", COLLECTIONS, "{\"name\":\"plain\",\"dimension\":2,\"metric\":\"l2\"}",
           201);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

/* One exchange; the body holds `part`. */
static void check(const char *method, const char *path, const char *body, int http_status,
                  const char *part)
{
    struct answer a = ask(&world, method, path, body);

    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("%s %s %s: %d %s\n%s is not there", method, path, body, a.status, a.body, part);
    answer_free(&a);
}

static void lacks(const char *path, const char *part)
{
    struct answer a = ask(&world, "GET", path, NULL);

    assert_int_equal(a.status, 200);
    if (strstr(a.body, part) != NULL)
        fail_msg("GET %s: %s", path, a.body);
    answer_free(&a);
}

static void a_collection_shows_its_vectors(void **state)
{
    (void)state;
    check("GET", TWO, NULL, 200,
          "\"vectors\":{\"a\":{\"dimension\":2,\"metric\":\"l2\",\"hnsw\":{\"m\":5,\"ef_"
          "construction\":0,\"ef_search\":9,\"threshold\":4294967295},\"quantization\":\"scalar\"},"
          "\"b\":{\"dimension\":3,"
          "\"metric\":\"cosine\",\"hnsw\":{\"m\":7,");
    check("GET", MIXED, NULL, 200, "\"vectors\":{\"\":{\"dimension\":1,");
    check("GET", COLLECTIONS "/none", NULL, 200, "\"vectors\":{},");
    lacks(COLLECTIONS "/plain", "\"vectors\":{\"");
}

/* By id and in pages; `back` may be sent again. */
static void comes_back(const char *collection, const char *sent, const char *back)
{
    char path[128];
    char body[256];

    (void)snprintf(path, sizeof path, COLLECTIONS "/%s/insert", collection);
    (void)snprintf(body, sizeof body, "{\"documents\":[{\"doc_id\":7,%s}]}", sent);
    check("POST", path, body, 200, "\"inserted\":1");
    (void)snprintf(body, sizeof body, "\"external_id\":null,%s,\"payload\":{},", back);
    (void)snprintf(path, sizeof path, COLLECTIONS "/%s/docs/7", collection);
    check("GET", path, NULL, 200, body);
    (void)snprintf(path, sizeof path, COLLECTIONS "/%s/docs?with_vector=true", collection);
    check("GET", path, NULL, 200, body);
}

static void documents_come_back_with_the_vectors_they_have(void **state)
{
    static const struct {
        const char *collection, *sent, *back;
    } rows[] = {
        {"two", "\"vectors\":{\"b\":[0,0,2],\"a\":[1,2]}",
         "\"vectors\":{\"a\":[1,2],\"b\":[0,0,2]}"},
        {"two", "\"vectors\":{\"a\":[1,2]}", "\"vectors\":{\"a\":[1,2]}"},
        {"two", "\"vectors\":{\"a\":[1,2],\"b\":null}", "\"vectors\":{\"a\":[1,2]}"},
        {"two", "\"vectors\":{}", "\"vectors\":{}"},
        {"mixed", "\"vector\":[4],\"vectors\":{\"n\":[1,2]}",
         "\"vector\":[4],\"vectors\":{\"n\":[1,2]}"},
        {"mixed", "\"vector\":[4]", "\"vector\":[4],\"vectors\":{}"},
        {"mixed", "\"vectors\":{\"\":[4]}", "\"vector\":[4],\"vectors\":{}"},
        {"mixed", "\"vectors\":{\"n\":[1,2]}", "\"vector\":null,\"vectors\":{\"n\":[1,2]}"},
        {"only", "\"vector\":[1,2]", "\"vectors\":{\"o\":[1,2]}"},
        {"only", "\"vectors\":{\"o\":[1,2]}", "\"vectors\":{\"o\":[1,2]}"},
        {"none", "\"payload\":{}", "\"vectors\":{}"},
        {"none", "\"vectors\":{}", "\"vectors\":{}"},
        {"plain", "\"vectors\":{\"\":[1,2]}", "\"vector\":[1,2]"},
        {"plain", "\"vectors\":{}", "\"vector\":null,\"vectors\":{}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        comes_back(rows[i].collection, rows[i].sent, rows[i].back);
        comes_back(rows[i].collection, rows[i].back, rows[i].back);
    }
}

static void the_graph_of_a_single_vector_is_changed(void **state)
{
    (void)state;
    check("PATCH", TWO, "{\"hnsw\":{\"ef_search\":30},\"vectors\":{\"b\":{\"hnsw\":{\"m\":11}}}}",
          200, "\"hnsw\":{\"m\":5,");
    check("GET", TWO, NULL, 200, "\"metric\":\"cosine\",\"hnsw\":{\"m\":11,");
    check("GET", TWO, NULL, 200, "\"ef_search\":30,");
    check("PATCH", TWO, "{\"vectors\":{\"c\":{}}}", 400, "`vectors` names the vector `c`");
    check("PATCH", TWO, "{\"vectors\":{\"a\":{\"metric\":\"l2\"}}}", 400,
          "vectors.a: `metric` is not a member of this request; it has hnsw");
    check("PATCH", TWO, "{\"vectors\":{\"a\":{\"hnsw\":{\"m\":1}}}}", 400, "vectors.a: `hnsw.m`");
    check("PATCH", TWO, "{\"vectors\":{\"a\":7}}", 400, "vectors.a: it is of type integer");
    check("PATCH", TWO, "{\"vectors\":7}", 400, "`vectors` is of type integer");
    check("PATCH", TWO, "{\"vectors\":{}}", 400, "nothing to change");
    check("PATCH", COLLECTIONS "/plain", "{\"vectors\":{\"\":{\"hnsw\":{\"m\":9}}}}", 200,
          "\"hnsw\":{\"m\":9,");
}

static void an_insert_replaces_all_vectors_of_the_document(void **state)
{
    (void)state;
    check("POST", TWO "/insert", "{\"doc_id\":1,\"vectors\":{\"a\":[1,2],\"b\":[0,1,0]}}", 200, "");
    check("POST", TWO "/insert", "{\"doc_id\":1,\"vectors\":{\"a\":[3,4]}}", 200, "");
    check("GET", TWO "/docs/1", NULL, 200, "\"vectors\":{\"a\":[3,4]},");
}

static void a_search_says_which_vector(void **state)
{
    (void)state;
    expect(&world, "POST", TWO "/insert",
           "{\"documents\":[{\"doc_id\":1,\"vectors\":{\"a\":[0,0],\"b\":[1,0,0]}},{\"doc_id\":2,"
           "\"vectors\":{\"a\":[3,4]},\"external_id\":\"x\"},{\"doc_id\":3,\"vectors\":{\"b\":[0,1,"
           "0]}}]}",
           200);
    check("POST", TWO "/query", "{\"query_vector\":[3,4],\"using\":\"a\",\"with_vector\":true}",
          200,
          "{\"matches\":[{\"doc_id\":2,\"external_id\":\"x\",\"distance\":0,\"score\":0,"
          "\"payload\":{},\"vectors\":{\"a\":[3,4]}},{\"doc_id\":1,\"external_id\":null,"
          "\"distance\":5,\"score\":5,\"payload\":{},\"vectors\":{\"a\":[0,0],\"b\":[1,0,0]}}],");
    check("POST", TWO "/query",
          "{\"query_vector\":[3,4],\"using\":\"a\",\"with_vector\":[\"b\"],\"with_payload\":false}",
          200, "\"score\":0,\"vectors\":{}},{\"doc_id\":1,\"external_id\":null,\"distance\":5,");
    check("POST", TWO "/query",
          "{\"queries\":[{\"query_vector\":[0,1,0],\"using\":\"b\",\"top_k\":1,\"explain\":true},"
          "{\"query_vector\":[0,0],\"using\":\"a\",\"top_k\":1}]}",
          200, "\"explain\":{\"using\":\"b\",\"plan\":");
    check("POST", COLLECTIONS "/only/insert", "{\"doc_id\":5,\"vector\":[1,1]}", 200, "");
    check("POST", COLLECTIONS "/only/query", "{\"query_vector\":[1,1],\"with_vector\":[\"o\"]}",
          200, "\"vectors\":{\"o\":[1,1]}");
    check("POST", MIXED "/insert", "{\"doc_id\":5,\"vector\":[1]}", 200, "");
    check("POST", MIXED "/query", "{\"query_vector\":[1],\"with_vector\":[\"\"]}", 200,
          "\"vector\":[1]}");
    check("POST", MIXED "/query", "{\"query_vector\":[1],\"using\":\"\",\"explain\":true}", 200,
          "\"explain\":{\"using\":\"\",");
    check("POST", COLLECTIONS "/plain/query", "{\"query_vector\":[1,2],\"using\":\"\"}", 200,
          "\"matches\":[]");
}

static void a_page_holds_the_vectors_that_were_asked_for(void **state)
{
    (void)state;
    expect(&world, "POST", TWO "/insert",
           "{\"documents\":[{\"doc_id\":1,\"vectors\":{\"a\":[0,0],\"b\":[1,0,0]}},{\"doc_id\":2,"
           "\"vectors\":{\"a\":[3,4]},\"payload\":{\"p\":1}}]}",
           200);
    check("GET", TWO "/docs?with_vector=%5B%22b%22%5D", NULL, 200,
          "{\"doc_id\":1,\"external_id\":null,\"vectors\":{\"b\":[1,0,0]},");
    check("GET", TWO "/docs?with_vector=%5B%5D", NULL, 200,
          "{\"doc_id\":1,\"external_id\":null,\"payload\":{},");
    check("GET", TWO "/docs?with_vector=%5B%22a%22%5D&filter=%7B%22p%22:1%7D", NULL, 200,
          "{\"documents\":[{\"doc_id\":2,\"external_id\":null,\"vectors\":{\"a\":[3,4]},");
    check("GET", TWO "/docs?with_vector=%5B%22c%22%5D", NULL, 400,
          "`with_vector` names the vector `c`, which the collection has not; it has `a`, `b`");
    check("GET", TWO "/docs?with_vector=%5B", NULL, 400, "`with_vector` is not JSON");
    check("GET", TWO "/docs?with_vector=a", NULL, 400, "`with_vector` must be true, false or");
}

/* 100 documents over pages of 7 with one named vector: the way that is not node_list()'s. */
static void pages_of_some_vectors_leave_nothing_out(void **state)
{
    char path[512];
    char cursor[256] = "";
    unsigned seen = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        char body[96];

        (void)snprintf(body, sizeof body, "{\"doc_id\":%d,\"vectors\":{\"a\":[%d,1]}}", i, i);
        expect(&world, "POST", TWO "/insert", body, 200);
    }
    do {
        struct answer a;
        const char *next;

        (void)snprintf(path, sizeof path, TWO "/docs?limit=7&with_vector=%%5B%%22a%%22%%5D%s%s",
                       cursor[0] != '\0' ? "&cursor=" : "", cursor);
        a = ask(&world, "GET", path, NULL);
        assert_int_equal(a.status, 200);
        for (const char *at = a.body; (at = strstr(at, "{\"doc_id\":")) != NULL; at++) {
            char wanted[64];

            (void)snprintf(wanted, sizeof wanted,
                           "{\"doc_id\":%u,\"external_id\":null,\"vectors\":{\"a\":[%u,1]}", seen,
                           seen);
            assert_memory_equal(at, wanted, strlen(wanted));
            seen++;
        }
        next = strstr(a.body, "\"next_cursor\":\"");
        cursor[0] = '\0';
        if (next != NULL)
            assert_int_equal(sscanf(next, "\"next_cursor\":\"%255[^\"]", cursor), 1);
        answer_free(&a);
    } while (cursor[0] != '\0');
    assert_int_equal(seen, 100);
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *path, *body;
        int http_status;
        const char *part;
    } rows[] = {
        {COLLECTIONS, "{\"name\":\"x\",\"dimension\":2,\"vectors\":{}}", 400,
         "`dimension` is of a collection with one unnamed vector, `vectors` says it for each"},
        {COLLECTIONS, "{\"name\":\"x\",\"vectors\":{},\"metric\":\"l2\"}", 400,
         "`metric` is of a collection with one unnamed vector"},
        {COLLECTIONS, "{\"name\":\"x\"}", 400, "`dimension` is missing, or `vectors`"},
        {COLLECTIONS, "{\"name\":\"x\",\"vectors\":[]}", 400, "`vectors` is of type array"},
        {COLLECTIONS, "{\"name\":\"x\",\"vectors\":{\"a\":3}}", 400,
         "vectors.a: it is of type integer, an object"},
        {COLLECTIONS, "{\"name\":\"x\",\"vectors\":{\"a\":{\"metric\":\"l2\"}}}", 400,
         "vectors.a: `dimension` is missing"},
        {COLLECTIONS, "{\"name\":\"x\",\"vectors\":{\"a\":{\"dimension\":2}}}", 400,
         "vectors.a: `metric` is missing"},
        {COLLECTIONS, "{\"name\":\"x\",\"vectors\":{\"a\":{\"dimension\":0,\"metric\":\"l2\"}}}",
         400, "vectors.a: `dimension` is 0, it must be from 1 to 65535"},
        {COLLECTIONS,
         "{\"name\":\"x\",\"vectors\":{\"a\":{\"dimension\":1,\"metric\":\"l2\",\"size\":1}}}", 400,
         "vectors.a: `size` is not a member"},
        {COLLECTIONS,
         "{\"name\":\"x\",\"vectors\":{\"a\":{\"dimension\":1,\"metric\":\"l2\",\"hnsw\":{\"m\":1}}"
         "}}",
         400, "vectors.a: `hnsw.m` is 1"},
        {COLLECTIONS,
         "{\"name\":\"x\",\"vectors\":{\"a\":{\"dimension\":1,\"metric\":\"l2\"},"
         "\"a\":{\"dimension\":1,\"metric\":\"l2\"}}}",
         400, "`vectors` holds `a` twice"},
        {TWO "/insert", "{\"vector\":[1,2]}", 400,
         "`vector` does not say which vector: the collection has `a`, `b`; name it with `vectors`"},
        {TWO "/insert", "{\"doc_id\":1}", 400, "`vectors` is missing; {} says"},
        {TWO "/insert", "{\"vectors\":null}", 400, "`vectors` is missing"},
        {TWO "/insert", "{\"vectors\":{\"c\":[1]}}", 400,
         "`vectors` names the vector `c`, which the collection has not; it has `a`, `b`"},
        {TWO "/insert", "{\"vectors\":{\"\":[1]}}", 400, "names the vector ``"},
        {TWO "/insert", "{\"vectors\":[1,2]}", 400, "`vectors` is of type array, an object"},
        {TWO "/insert", "{\"vectors\":{\"a\":[1]}}", 400,
         "`vectors.a` has 1 values, the vector's dimension is 2"},
        {TWO "/insert", "{\"vectors\":{\"a\":{\"b\":[1]}}}", 400,
         "`vectors.a` is of type object, an array of numbers"},
        {TWO "/insert", "{\"vectors\":{\"a\":[0,0]}}", 200, "doc_id"},
        {TWO "/insert", "{\"vectors\":{\"b\":[0,0,0]}}", 422, "`vectors.b` is all zeros"},
        {TWO "/insert", "{\"documents\":[{\"vectors\":{}},{\"vectors\":{\"a\":[1,2,3]}}]}", 400,
         "documents[1]: `vectors.a` has 3 values"},
        {TWO "/insert", "{\"documents\":[{\"vectors\":{}}],\"vectors\":{}}", 400,
         "`vectors` may not stand beside `documents`"},
        {MIXED "/insert", "{\"vector\":[1],\"vectors\":{\"\":[1]}}", 400,
         "`vector` and `vectors` both hold the vector ``"},
        {COLLECTIONS "/only/insert", "{\"vector\":[1,2],\"vectors\":{\"o\":[1,2]}}", 400,
         "both hold the vector `o`"},
        {COLLECTIONS "/none/insert", "{\"vector\":[1]}", 400, "has no vectors"},
        {COLLECTIONS "/none/query", "{\"query_vector\":[1]}", 400, "has no vectors"},
        {COLLECTIONS "/plain/insert", "{\"vectors\":{\"a\":[1,2]}}", 400,
         "it has one without a name"},
        {TWO "/query", "{\"query_vector\":[1,2]}", 400,
         "does not say which vector: the collection has `a`, `b`; name it with `using`"},
        {TWO "/query", "{\"query_vector\":[1,2],\"using\":\"c\"}", 400,
         "`using` names the vector `c`, which the collection has not; it has `a`, `b`"},
        {TWO "/query", "{\"query_vector\":[1,2],\"using\":7}", 400, "`using` is of type integer"},
        {TWO "/query", "{\"query_vector\":[1,2],\"using\":\"b\"}", 400,
         "`query_vector` has 2 values, the vector's dimension is 3"},
        {TWO "/query", "{\"query_vector\":[0,0,0],\"using\":\"b\"}", 422, "`query_vector`"},
        {TWO "/query", "{\"using\":\"b\"}", 400, "`query_vector` is missing"},
        {TWO "/query", "{\"query_vector\":[1,2],\"using\":\"a\",\"with_vector\":[\"c\"]}", 400,
         "`with_vector` names the vector `c`"},
        {TWO "/query", "{\"query_vector\":[1,2],\"using\":\"a\",\"with_vector\":[7]}", 400,
         "`with_vector` holds a value of type integer"},
        {TWO "/query", "{\"query_vector\":[1,2],\"using\":\"a\",\"with_vector\":\"a\"}", 400,
         "`with_vector` is of type string, true, false or a list of names"},
        {TWO "/query", "{\"queries\":[{\"query_vector\":[1,2]}],\"using\":\"a\"}", 400,
         "`using` may not stand beside `queries`"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check("POST", rows[i].path, rows[i].body, rows[i].http_status, rows[i].part);
}

static void a_collection_has_so_many_vectors(void **state)
{
    struct buf body;

    (void)state;
    buf_init(&body, 1 << 20);
    buf_put_text(&body, "{\"name\":\"x\",\"vectors\":{");
    for (int i = 0; i < NODE_FIELDS_MAX + 1; i++)
        buf_printf(&body, "%s\"v%d\":{\"dimension\":1,\"metric\":\"l2\"}", i == 0 ? "" : ",", i);
    buf_put_text(&body, "}}");
    buf_put_u8(&body, 0);
    check("POST", COLLECTIONS, (const char *)body.data, 400, "a collection has at most 64");
    buf_free(&body);
}

/* Each allocation fails once: the answer as ever, a 503 or a closed connection; nothing leaks. */
static void each_failed_allocation_is_survived(void **state)
{
    static const struct {
        const char *method, *path, *body;
        int http_status, or_status;
    } rows[] = {
        {"POST", COLLECTIONS,
         "{\"name\":\"new\",\"vectors\":{\"a\":{\"dimension\":2,\"metric\":\"l2\"}}}", 201,
         409 /* made although its answer was lost */},
        {"GET", TWO, NULL, 200, 0},
        {"POST", TWO "/insert",
         "{\"documents\":[{\"doc_id\":1,\"vectors\":{\"a\":[0,0],\"b\":[1,0,0]}},{\"doc_id\":2,"
         "\"external_id\":\"x\",\"vectors\":{\"a\":[3,4]},\"payload\":{\"p\":1}}]}",
         200, 0},
        {"GET", TWO "/docs/1", NULL, 200, 404},
        {"GET", TWO "/docs?with_vector=%5B%22b%22%5D", NULL, 200, 0},
        {"POST", TWO "/query",
         "{\"query_vector\":[3,4],\"using\":\"a\",\"with_vector\":[\"a\",\"b\"]}", 200, 0},
    };

    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        int64_t asked = 1;

        for (int64_t n = 0; n < asked; n++) {
            struct answer a;

            mem_test_fail_after(n);
            a = ask(&world, rows[row].method, rows[row].path, rows[row].body);
            asked = mem_test_count() > n ? n + 2 : 0; /* until none fails */
            mem_test_fail_after(-1);
            assert_true(asked < 200);
            if (a.status != 0 && a.status != rows[row].http_status && a.status != 503 &&
                (a.status != rows[row].or_status || a.status == 0))
                fail_msg("%s %s, allocation %lld: %d %s", rows[row].method, rows[row].path,
                         (long long)n, a.status, a.body);
            answer_free(&a);
        }
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        T(a_collection_shows_its_vectors),
        T(documents_come_back_with_the_vectors_they_have),
        T(the_graph_of_a_single_vector_is_changed),
        T(an_insert_replaces_all_vectors_of_the_document),
        T(a_search_says_which_vector),
        T(a_page_holds_the_vectors_that_were_asked_for),
        T(pages_of_some_vectors_leave_nothing_out),
        T(what_is_wrong_is_said),
        T(a_collection_has_so_many_vectors),
        T(each_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
