/* What a write takes beside its body, at the door: parameters, keys, ids that are text.
 * world_close() looks that each key that was begun has ended. */
#include "tests/unit/api/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void keyed(const struct world *w, const char *method, const char *path, const char *key,
                  const char *body, int http_status, const char *part)
{
    int fd = client_connect(w);
    char text[2048];
    struct answer a;

    (void)snprintf(
        text, sizeof text,
        "%s %s HTTP/1.1\r\nHost: t\r\nIdempotency-Key: %s\r\nContent-Length: %zu\r\n\r\n%s", method,
        path, key, strlen(body), body);
    client_send_text(fd, text);
    a = client_read(fd, false);
    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("%s %s: %d %s", method, path, a.status, a.body);
    answer_free(&a);
    client_close(fd);
}

static void each_key_that_was_begun_is_ended(void **state)
{
    const struct api_options o = world_options();
    char long_key[300];
    struct world w;

    (void)state;
    memset(long_key, 'k', sizeof long_key);
    long_key[256] = '\0';
    world_open(&w, &o);
    keyed(&w, "POST", "/api/v1/collections", "a",
          "{\"name\":\"c\",\"dimension\":3,\"metric\":\"l2\"}", 201, "collection_id");
    keyed(&w, "POST", "/api/v1/collections", "b", "{\"name\":\"x\"}", 400, "`dimension`");
    keyed(&w, "POST", "/api/v1/collections/c/insert", "a", "{\"vector\":[1,2,3]}", 200,
          "\"doc_id\":1000000");
    keyed(&w, "POST", "/api/v1/collections/c/insert", "a", "{\"vector\":[1]}", 400,
          "dimension is 3");
    keyed(&w, "POST", "/api/v1/collections/c/insert", "a", "{", 400, "malformed_json");
    keyed(&w, "POST", "/api/v1/collections/c/insert?durability=local", "a",
          "{\"doc_id\":7,\"vector\":[1,2,3]}", 200, "\"doc_id\":7");
    keyed(&w, "POST", "/api/v1/collections/c/delete", "a", "{\"ids\":[7]}", 200, "\"deleted\":1");
    keyed(&w, "POST", "/api/v1/collections/c/delete", "a", "{}", 400, "neither");
    keyed(&w, "DELETE", "/api/v1/collections/c/docs/9", "a", "", 404, "document_not_found");
    keyed(&w, "DELETE", "/api/v1/collections/c/docs/x", "a", "", 400, "doc_id");
    keyed(&w, "POST", "/api/v1/collections/c/insert", "", "{\"vector\":[1,2,3]}", 400,
          "Idempotency-Key");
    keyed(&w, "POST", "/api/v1/collections/c/insert", "a b", "{\"vector\":[1,2,3]}", 400,
          "Idempotency-Key");
    keyed(&w, "POST", "/api/v1/collections/c/insert", long_key, "{\"vector\":[1,2,3]}", 400,
          "Idempotency-Key");
    world_close(&w);
}

static void has(const struct world *w, const char *method, const char *path, const char *body,
                int http_status, const char *part)
{
    struct answer a = ask(w, method, path, body);

    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("%s %s: %d %s", method, path, a.status, a.body);
    answer_free(&a);
}

static void ids_are_text_where_the_collection_says_so(void **state)
{
    const struct api_options o = world_options();
    struct world w;

    (void)state;
    world_open(&w, &o);
    has(&w, "POST", "/api/v1/collections",
        "{\"name\":\"s\",\"dimension\":1,\"metric\":\"l2\",\"string_ids\":true}", 201, "\"s\"");
    has(&w, "GET", "/api/v1/collections/s", NULL, 200, "\"string_ids\":true");
    has(&w, "POST", "/api/v1/collections/s/insert", "{\"doc_id\":\"a/b\",\"vector\":[1]}", 200,
        "{\"doc_id\":\"a/b\",");
    has(&w, "POST", "/api/v1/collections/s/insert",
        "{\"documents\":[{\"doc_id\":\"42\",\"vector\":[2]},{\"doc_id\":43,\"vector\":[3]}]}", 200,
        "\"inserted\":2");
    has(&w, "POST", "/api/v1/collections/s/insert", "{\"doc_id\":\"\",\"vector\":[1]}", 400,
        "0 bytes");
    has(&w, "GET", "/api/v1/collections/s/docs/a%2Fb", NULL, 200, "{\"doc_id\":\"a/b\",");
    has(&w, "GET", "/api/v1/collections/s/docs/42", NULL, 200, "{\"doc_id\":\"42\",");
    has(&w, "POST", "/api/v1/collections/s/query", "{\"query_vector\":[3],\"top_k\":1}", 200,
        "{\"doc_id\":\"43\",");
    has(&w, "POST", "/api/v1/collections/s/delete", "{\"ids\":[\"a/b\",\"43\"]}", 200,
        "\"deleted\":2");
    has(&w, "DELETE", "/api/v1/collections/s/docs/none", NULL, 404, "none");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_that_was_begun_is_ended),
        cmocka_unit_test(ids_are_text_where_the_collection_says_so),
    };

    return cmocka_run_group_tests_name("write ask", tests, NULL, NULL);
}
