/* Writes whose client waits only so long: what is under way by then is told as such, what was
 * refused is not.
 *
 * To step in, the files that hand writes over are compiled here once more, with names of ours for
 * answering a refusal and for going on with the next operation of a batch. */
#include "tests/unit/api/world.h"

#include "api/qdrant_points.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static void refuse_late(struct request *req, status st, const struct err *err);
static void go_on(struct exec *exec, struct task *task);

#define qd_fail_status refuse_late
#include "api/qdrant_change.c"
#undef qd_fail_status
#define qd_fail_status refuse_late
#define exec_resubmit  go_on
#include "api/qdrant_change_batch.c"
#undef qd_fail_status
#undef exec_resubmit

enum { TIMEOUT_MS = 1000 };

static struct world w;
static atomic_bool hold_next; /* operations of a batch behind the first get stuck */

/* Node has refused it; the answer takes until the client has been waiting too long. */
static void refuse_late(struct request *req, status st, const struct err *err)
{
    (void)usleep((TIMEOUT_MS + 500) * 1000);
    qd_fail_status(req, st, err);
}

static void go_on(struct exec *exec, struct task *task)
{
    if (atomic_exchange(&hold_next, false))
        fake_node_hold(w.node, true);
    exec_resubmit(exec, task);
}

static int open_world(void **state)
{
    struct api_options o = world_options();

    (void)state;
    o.timeout_ms = 60000;
    world_open_workers(&w, &o, 1);
    expect(&w, "PUT", "/collections/u", "{\"vectors\":{\"size\":3,\"distance\":\"Dot\"}}", 200);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    fake_node_hold(w.node, false);
    world_close(&w);
    return 0;
}

static void check(const char *method, const char *path, const char *body, int http_status,
                  const char *part)
{
    struct answer a = ask(&w, method, path, body);

    if (a.status != http_status || strstr(a.body, part) == NULL)
        fail_msg("%s: %d %s\nnot %d %s", path, a.status, a.body, http_status, part);
    answer_free(&a);
}

#define ONE "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}"
#define TWO                                                                                        \
    "{\"operations\":[{\"upsert\":" ONE "},{\"delete\":{\"points\":[7]}},"                         \
    "{\"delete\":{\"points\":[8]}}]}"

static void what_was_refused_is_not_told_as_under_way(void **state)
{
    (void)state;
    fake_node_fail_write(w.node, ST_DENIED);
    check("PUT", "/collections/u/points?wait=true&timeout=1", ONE, 403, "\"error\":\"");
    fake_node_fail_write(w.node, ST_DENIED);
    check("POST", "/collections/u/points/delete?wait=true&timeout=1", "{\"points\":[1]}", 403,
          "\"error\":\"");
    fake_node_fail_write(w.node, ST_DENIED);
    check("POST", "/collections/u/points/batch?wait=true&timeout=1", TWO, 403,
          "(operation 0, upsert; ");
}

/* The write whose client was told goes on. */
static void let_it_end(void)
{
    fake_node_hold(w.node, false);
    while (fake_node_pins(w.node) > 0)
        (void)usleep(1000);
    check("PUT", "/collections/u/points?wait=true", ONE, 200, "completed");
}

static void a_batch_tells_which_operations_are_done(void **state)
{
    (void)state;
    fake_node_hold(w.node, true);
    check("POST", "/collections/u/points/batch?wait=true&timeout=1", TWO, 200,
          "\"result\":[{\"operation_id\":null,\"status\":\"wait_timeout\"},"
          "{\"operation_id\":null,\"status\":\"wait_timeout\"},"
          "{\"operation_id\":null,\"status\":\"wait_timeout\"}],");
    let_it_end();

    atomic_store(&hold_next, true);
    check("POST", "/collections/u/points/batch?wait=true&timeout=4", TWO, 200,
          ",\"status\":\"completed\"},{\"operation_id\":null,\"status\":\"wait_timeout\"},"
          "{\"operation_id\":null,\"status\":\"wait_timeout\"}],");
    let_it_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_refused_is_not_told_as_under_way),
        cmocka_unit_test(a_batch_tells_which_operations_are_done),
    };

    return cmocka_run_group_tests_name("qdrant_late", tests, open_world, close_world);
}
