/* Many threads change the table at once: persist is never in two threads, and what it was told adds
 * up to what is listed. */
#include "base/lock.h"
#include "dlq/dlq_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

enum { THREADS = 4, LETTERS = 300 };

struct shared {
    struct dlq *dlq;
    _Atomic int inside;
    int64_t present; /* plain: persist is one thread at a time */
};
struct worker {
    struct shared *shared;
    struct thread thread;
    uint8_t collection[16];
};

static void persist(void *arg, const struct kv_write *writes, size_t count)
{
    struct shared *s = arg;

    assert_int_equal(atomic_fetch_add(&s->inside, 1), 0);
    for (size_t i = 0; i < count; i++)
        if (writes[i].key.bytes == DLQ_KEY_BYTES)
            s->present += writes[i].remove ? -1 : 1;
    assert_int_equal(atomic_fetch_sub(&s->inside, 1), 1);
}

static void work(void *arg)
{
    struct worker *w = arg;
    struct letter l = {.kind = LETTER_WAL_GROUP, .state = LETTER_PARKED};
    struct letter page[8];
    struct dlq_counts counts;
    uint64_t id;

    memcpy(l.collection, w->collection, 16);
    for (uint64_t i = 1; i <= LETTERS; i++) {
        l.lsn_first = l.lsn_last = i;
        if (dlq_put(w->shared->dlq, &l, &id, NULL) != ST_OK)
            return;
        if (i % 10 == 0)
            dlq_remove_shipped(w->shared->dlq, w->collection, i - 5);
        if (i % 7 == 0)
            assert_int_equal(dlq_remove(w->shared->dlq, id, NULL), ST_OK);
        (void)dlq_list(w->shared->dlq, NULL, 0, page, COUNT_OF(page), NULL);
        dlq_count(w->shared->dlq, w->collection, &counts);
    }
}

static void changes_from_many_threads_add_up(void **state)
{
    struct shared shared = {0};
    struct worker workers[THREADS] = {0};
    const struct dlq_options options = {.persist = persist, .persist_arg = &shared};
    struct dlq_counts counts;
    size_t damaged;

    (void)state;
    assert_int_equal(dlq_open(&options, &shared.dlq, &damaged, NULL), ST_OK);
    for (uint8_t i = 0; i < THREADS; i++) {
        workers[i].shared = &shared;
        workers[i].collection[0] = i;
        assert_int_equal(
            thread_start(&workers[i].thread, "letters", THREAD_NORMAL, work, &workers[i], NULL),
            ST_OK);
    }
    for (size_t i = 0; i < THREADS; i++)
        thread_join(&workers[i].thread);
    dlq_count(shared.dlq, NULL, &counts);
    assert_true(counts.letters > 0 && counts.letters <= THREADS * 6);
    assert_int_equal(shared.present, counts.letters);
    dlq_close(shared.dlq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(changes_from_many_threads_add_up)};

    return cmocka_run_group_tests_name("dlq_threads", tests, NULL, NULL);
}
