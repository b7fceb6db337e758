/* Requests for a collection that waits for the network run on threads of their own, from their
 * beginning, and answer as any. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world world;

static int open_world(void **state)
{
    const struct api_options options = world_options();

    (void)state;
    world_open(&world, &options);
    expect(&world, "POST", "/api/v1/collections",
           "{\"name\":\"here\",\"dimension\":2,\"metric\":\"l2\"}", 201);
    expect(&world, "POST", "/api/v1/collections",
           "{\"name\":\"away\",\"dimension\":2,\"metric\":\"l2\"}", 201);
    fake_node_set_waits(world.node, "away", true);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    assert_int_equal(fake_node_pins(world.node), 0);
    world_close(&world);
    return 0;
}

/* What a clock or a counter tells is no part of an answer, nor how many digits it has. */
static void blank(char *text, const char *name)
{
    for (char *at = text; (at = strstr(at, name)) != NULL;) {
        char *end;

        at += strlen(name);
        end = at + strcspn(at, ",}");
        memmove(at, end, strlen(end) + 1);
    }
}

static void blank_all(struct answer *a)
{
    static const char *const names[] = {"\"latency_ms\":", "\"time\":",   "\"inserted_at\":",
                                        "\"request_id\":", "\"detail\":", "\"error\":"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        blank(a->body, names[i]);
}

struct exchange {
    const char *method, *path, *body; /* path: % is the collection */
    bool stays;                       /* told of the collection, not of what it holds */
};

static const struct exchange EXCHANGES[] = {
    {"POST", "/api/v1/collections/%/insert",
     "{\"documents\":[{\"id\":1,\"vector\":[1,2],\"payload\":{\"a\":1}},"
     "{\"id\":2,\"vector\":[3,4],\"payload\":{\"a\":2}}]}",
     false},
    {"POST", "/api/v1/collections/%/query", "{\"vector\":[1,2],\"top_k\":2}", false},
    {"POST", "/api/v1/collections/%/query",
     "{\"queries\":[{\"vector\":[1,2],\"top_k\":1},{\"vector\":[3,3],\"top_k\":2}]}", false},
    {"POST", "/api/v1/collections/%/query", "{\"vector\":[1,2,3]}", false},
    {"POST", "/api/v1/collections/%/query", "{", false},
    {"GET", "/api/v1/collections/%/docs/1", NULL, false},
    {"GET", "/api/v1/collections/%/docs/9", NULL, false},
    {"GET", "/api/v1/collections/%/docs?limit=1", NULL, false},
    {"GET", "/api/v1/collections/%/export", NULL, false},
    {"PUT", "/collections/%/points", "{\"points\":[{\"id\":3,\"vector\":[5,6]}]}", false},
    {"POST", "/collections/%/points/query", "{\"query\":[1,1],\"limit\":2}", false},
    {"POST", "/collections/%/points/query/batch",
     "{\"searches\":[{\"query\":1,\"limit\":2},{\"query\":[0,0]}]}", false},
    {"POST", "/collections/%/points", "{\"ids\":[1,2,7]}", false},
    {"POST", "/collections/%/points/scroll", "{\"limit\":2}", false},
    {"POST", "/collections/%/points/count", "{}", false},
    {"POST", "/collections/%/points/payload", "{\"payload\":{\"b\":1},\"points\":[1]}", false},
    {"POST", "/collections/%/points/delete", "{\"points\":[3]}", false},
    {"POST", "/api/v1/collections/%/delete", "{\"ids\":[2,8]}", false},
    {"DELETE", "/api/v1/collections/%/docs/1", NULL, false},
    {"GET", "/admin/collections/%/dlq", NULL, true},
};

static struct answer exchange(const struct exchange *e, const char *collection)
{
    char path[256];
    const char *at = strchr(e->path, '%');

    (void)snprintf(path, sizeof path, "%.*s%s%s", (int)(at - e->path), e->path, collection, at + 1);
    return ask(&world, e->method, path, e->body);
}

static void answers_are_those_of_any(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof EXCHANGES / sizeof *EXCHANGES; i++) {
        const struct exchange *e = &EXCHANGES[i];
        unsigned before = fake_node_waited(world.node);
        struct answer here = exchange(e, "here");
        struct answer away;

        assert_int_equal(fake_node_waited(world.node), before);
        away = exchange(e, "away");
        if (e->stays)
            assert_int_equal(fake_node_waited(world.node), before);
        else if (fake_node_waited(world.node) == before)
            fail_msg("%s %s was not moved", e->method, e->path);
        blank_all(&here);
        blank_all(&away);
        if (here.status != away.status || (here.status < 300 && strcmp(here.body, away.body) != 0))
            fail_msg("%s %s %s: %d %s\nbut %d %s", e->method, e->path, e->body, here.status,
                     here.body, away.status, away.body);
        answer_free(&here);
        answer_free(&away);
    }
}

/* The examples are read from a collection that waits; the request's own does not. */
static void a_lookup_moves_the_request(void **state)
{
    unsigned before;

    (void)state;
    expect(&world, "PUT", "/collections/away/points", "{\"points\":[{\"id\":1,\"vector\":[1,1]}]}",
           200);
    expect(&world, "PUT", "/collections/here/points", "{\"points\":[{\"id\":4,\"vector\":[1,1]}]}",
           200);
    before = fake_node_waited(world.node);
    expect(&world, "POST", "/collections/here/points/query",
           "{\"query\":1,\"lookup_from\":{\"collection\":\"away\"},\"limit\":2}", 200);
    assert_int_equal(fake_node_waited(world.node), before + 1);
    expect(&world, "POST", "/collections/here/points/query",
           "{\"query\":1,\"lookup_from\":{\"collection\":\"nowhere\"},\"limit\":2}", 404);
    assert_int_equal(fake_node_waited(world.node), before + 1);
}

static void a_full_queue_refuses(void **state)
{
    struct answer a;

    (void)state;
    fake_node_refuse_waits(world.node, ST_LIMIT);
    a = ask(&world, "GET", "/api/v1/collections/away/docs", NULL);
    assert_int_equal(a.status, 429);
    assert_true(answer_has_header(&a, "Retry-After:"));
    answer_free(&a);
    fake_node_refuse_waits(world.node, ST_LIMIT);
    a = ask(&world, "POST", "/collections/away/points/scroll", "{}");
    assert_int_equal(a.status, 429);
    answer_free(&a);
    expect(&world, "GET", "/api/v1/collections/away/docs", NULL, 200);
}

static void the_cache_by_hand(void **state)
{
    struct answer a;

    (void)state;
    a = ask(&world, "POST", "/api/v1/collections/away/warm", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"warmed_bytes\":4096,\"latency_ms\":"));
    answer_free(&a);
    a = ask(&world, "POST", "/api/v1/collections/away/unload", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"unloaded_bytes\":4096,"));
    answer_free(&a);
    expect(&world, "POST", "/api/v1/collections/here/warm", NULL, 400);
    expect(&world, "POST", "/api/v1/collections/away/warm", "{\"x\":1}", 400);
    fake_node_fail_bucket(world.node, ST_IO);
    expect(&world, "POST", "/api/v1/collections/away/warm", NULL, 500);
    a = ask(&world, "GET", "/api/v1/collections/away/tier", NULL);
    assert_non_null(strstr(a.body, "\"cache_hits\":2,\"cache_misses\":3,\"cold\":{\"open\":true,"
                                   "\"rows\":5,\"segments\":1,\"footer_bytes\":64,"
                                   "\"cached_bytes\":128,\"cache_ghost_hits\":0}"));
    answer_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_are_those_of_any, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_lookup_moves_the_request, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses, open_world, close_world),
        cmocka_unit_test_setup_teardown(the_cache_by_hand, open_world, close_world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
