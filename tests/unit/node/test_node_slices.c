/* Large writes on few workers: what is small gets its turn in between. */
#include "tests/unit/node/nworld.h"

#include <stdatomic.h>
#include <time.h>

enum { DIM = 32, THRESHOLD = 1 << 20, ROWS = 10000 };

struct slice_turn {
    struct task large, small;
    struct exec *exec;
    struct collection *c;
    struct write_row *rows;
    struct call written;
    uint64_t lsn_seen;
    _Atomic bool small_ran;
};

static task_state run_small(struct task *task)
{
    struct slice_turn *t =
        (struct slice_turn *)(void *)((char *)task - offsetof(struct slice_turn, small));
    struct collection_info info;

    node_collection_info(t->c, &info);
    t->lsn_seen = info.last_lsn;
    atomic_store(&t->small_ran, true);
    return TASK_DONE;
}

static task_state run_large(struct task *task)
{
    struct slice_turn *t =
        (struct slice_turn *)(void *)((char *)task - offsetof(struct slice_turn, large));

    node_write(t->c, t->rows, ROWS, call_write_done, &t->written);
    assert_int_equal(exec_submit(t->exec, &t->small, NULL, NULL), ST_OK);
    return TASK_DONE;
}

static struct write_row *rows_make(void)
{
    struct write_row *rows = mem_zero_array(ROWS, sizeof *rows);
    float *vectors = mem_alloc_array((size_t)ROWS * DIM, sizeof *vectors);

    assert_non_null(rows);
    assert_non_null(vectors);
    for (uint32_t i = 0; i < ROWS; i++) {
        rows[i].id = docid_u64(i);
        rows[i].vector = vectors + (size_t)i * DIM;
        nvector(i, 1, DIM, rows[i].vector);
    }
    return rows;
}

static void rows_free(struct write_row *rows)
{
    mem_free(rows[0].vector);
    mem_free(rows);
}

/* One worker, a write of many rows, and a small task submitted while it is being filled: the task
 * runs before the write has got its place in the log. */
static void a_large_write_lets_what_is_small_pass(void **state)
{
    struct slice_turn t = {.large = {.run = run_large}, .small = {.run = run_small}};
    const struct timespec nap = {.tv_nsec = 1000000};
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 51);
    exec_close(w.exec);
    assert_int_equal(exec_open(&(struct exec_options){.workers = 1}, &w.exec, NULL), ST_OK);
    w.options.exec = w.exec;
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "c", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
    t.exec = w.exec;
    t.c = npin(&w, "c");
    t.rows = rows_make();
    call_init(&t.written);
    assert_int_equal(exec_submit(w.exec, &t.large, NULL, NULL), ST_OK);
    call_wait(&t.written);
    while (!atomic_load(&t.small_ran))
        (void)nanosleep(&nap, NULL);
    assert_int_equal(t.written.st, ST_OK);
    assert_int_equal(t.written.result.count, ROWS);
    assert_int_equal(t.lsn_seen, 0);
    assert_int_equal(ncount(t.c), ROWS);
    rows_free(t.rows);
    node_collection_unpin(t.c);
    nworld_fini(&w);
}

enum { ATTEMPTS_MAX = 200 };

/* The collection is dropped, and then the node made read-only, while rows are being filled: the
 * write is refused, and what it had reserved is given back. */
static void a_write_refused_between_its_slices_leaves_nothing(void **state)
{
    struct call written;
    struct write_row *rows = rows_make();
    struct collection_info before;
    struct collection_info info;
    struct collection *c;
    struct nworld w;

    (void)state;
    nworld_init(&w, true, 52);
    nworld_open(&w);
    /* A machine that is quick, or takes this thread away, may finish the write first: then once
     * more. */
    for (int attempt = 0;; attempt++) {
        assert_true(attempt < ATTEMPTS_MAX);
        assert_int_equal(ncreate(&w, "c", DIM, VMETRIC_L2, THRESHOLD, NULL), ST_OK);
        c = npin(&w, "c");
        assert_int_equal(nput(c, 1, 1, NULL), ST_OK);
        node_collection_info(c, &before);
        call_init(&written);
        node_write(c, rows, ROWS, call_write_done, &written);
        node_set_readonly(w.node, true);
        call_wait(&written);
        if (written.st != ST_OK)
            break;
        node_set_readonly(w.node, false);
        assert_int_equal(ndrop(&w, c, NULL), ST_OK);
        node_collection_unpin(c);
    }
    assert_int_equal(written.st, ST_DENIED);
    node_collection_info(c, &info);
    assert_int_equal(info.document_count, 1);
    assert_int_equal(info.last_lsn, before.last_lsn);
    node_set_readonly(w.node, false);
    assert_int_equal(nput(c, 2, 1, NULL), ST_OK);
    assert_int_equal(ncount(c), 2);

    call_init(&written);
    node_write(c, rows, ROWS, call_write_done, &written);
    assert_int_equal(ndrop(&w, c, NULL), ST_OK);
    call_wait(&written);
    assert_int_not_equal(written.st, ST_BUG);
    rows_free(rows);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_write_lets_what_is_small_pass),
        cmocka_unit_test(a_write_refused_between_its_slices_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
