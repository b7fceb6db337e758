#include "base/epoch.h"

#include "base/lock.h"
#include "base/rand.h"

#include "tests/support/alloc_sweep.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct item {
    struct epoch_retired retired; /* first */
    struct epoch *epoch;
    unsigned number;
    unsigned *ran; /* numbers in the order of the callbacks */
    unsigned *ran_count;
    struct item *then; /* retired by the callback */
};

static void item_done(struct epoch_retired *retired)
{
    struct item *item = (struct item *)retired;

    item->ran[(*item->ran_count)++] = item->number;
    if (item->then != NULL)
        epoch_retire(item->epoch, &item->then->retired, item_done);
}

struct bench {
    struct epoch *e;
    struct item items[16];
    unsigned ran[16];
    unsigned ran_count;
};

static int bench_open(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    assert_int_equal(epoch_create(&b.e, NULL), ST_OK);
    for (unsigned i = 0; i < COUNT_OF(b.items); i++)
        b.items[i] =
            (struct item){.epoch = b.e, .number = i, .ran = b.ran, .ran_count = &b.ran_count};
    *state = &b;
    return 0;
}

static int bench_close(void **state)
{
    epoch_destroy(((struct bench *)*state)->e);
    return 0;
}

static void retire(struct bench *b, unsigned number)
{
    epoch_retire(b->e, &b->items[number].retired, item_done);
}

static void without_readers_all_that_was_retired_runs_in_order(void **state)
{
    struct bench *b = *state;

    assert_int_equal(epoch_collect(b->e), 0);
    for (unsigned i = 0; i < 5; i++)
        retire(b, i);
    assert_int_equal(b->ran_count, 0);
    assert_int_equal(epoch_collect(b->e), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(b->ran[i], i);
    assert_int_equal(epoch_collect(b->e), 0);
}

static void a_reader_inside_holds_back_what_is_retired_after_it_entered(void **state)
{
    struct bench *b = *state;
    struct epoch_guard early;
    struct epoch_guard late;

    retire(b, 0);
    early = epoch_enter(b->e);
    retire(b, 1);
    assert_int_equal(epoch_collect(b->e), 0); /* 0 too: entering does not move the epoch */
    assert_int_equal(epoch_collect(b->e), 0);
    late = epoch_enter(b->e);
    retire(b, 2);
    assert_int_equal(epoch_collect(b->e), 0);
    epoch_leave(b->e, early);
    /* The late reader came after 0 and 1 were collected once: it cannot have seen them. */
    assert_int_equal(epoch_collect(b->e), 2);
    assert_int_equal(b->ran[1], 1);
    assert_int_equal(epoch_collect(b->e), 0);
    epoch_leave(b->e, late);
    assert_int_equal(epoch_collect(b->e), 1);
}

static void a_reader_that_came_later_holds_nothing_back(void **state)
{
    struct bench *b = *state;
    struct epoch_guard blocker = epoch_enter(b->e);
    struct epoch_guard later;

    retire(b, 0);
    assert_int_equal(epoch_collect(b->e), 0);
    later = epoch_enter(b->e);
    epoch_leave(b->e, blocker);
    assert_int_equal(epoch_collect(b->e), 1);
    epoch_leave(b->e, later);
}

static void a_callback_may_retire_more(void **state)
{
    struct bench *b = *state;

    b->items[0].then = &b->items[1];
    b->items[1].then = &b->items[2];
    retire(b, 0);
    assert_int_equal(epoch_collect(b->e), 1);
    assert_int_equal(epoch_collect(b->e), 1);
    /* The third is left to epoch_destroy(). */
    epoch_destroy(b->e);
    b->e = NULL;
    assert_int_equal(b->ran_count, 3);
}

static void every_reader_has_a_slot_of_its_own(void **state)
{
    struct bench *b = *state;
    struct epoch_guard guards[EPOCH_GUARDS_MAX];
    bool taken[EPOCH_GUARDS_MAX] = {0};

    for (unsigned i = 0; i < EPOCH_GUARDS_MAX; i++) {
        guards[i] = epoch_enter(b->e);
        assert_true(guards[i].index < EPOCH_GUARDS_MAX);
        assert_false(taken[guards[i].index]);
        taken[guards[i].index] = true;
    }
    retire(b, 0);
    for (unsigned i = 0; i < EPOCH_GUARDS_MAX; i++) {
        assert_int_equal(epoch_collect(b->e), 0);
        epoch_leave(b->e, guards[i]);
    }
    assert_int_equal(epoch_collect(b->e), 1);
}

struct late {
    struct thread thread;
    struct epoch *e;
    _Atomic bool through;
};

static void late_reader_main(void *arg)
{
    struct late *late = arg;
    struct epoch_guard guard = epoch_enter(late->e);

    atomic_store(&late->through, true);
    epoch_leave(late->e, guard);
}

static void synchronizer_main(void *arg)
{
    struct late *late = arg;

    epoch_synchronize(late->e);
    atomic_store(&late->through, true);
}

/* Time for the other thread to go wrong in. */
static void give_it_a_chance(void)
{
    const struct timespec pause = {.tv_nsec = 20000000};

    (void)nanosleep(&pause, NULL);
}

static void with_all_slots_taken_a_reader_waits_for_one(void **state)
{
    struct bench *b = *state;
    struct epoch_guard guards[EPOCH_GUARDS_MAX];
    struct late late = {.e = b->e};

    for (unsigned i = 0; i < EPOCH_GUARDS_MAX; i++)
        guards[i] = epoch_enter(b->e);
    assert_int_equal(
        thread_start(&late.thread, "late", THREAD_NORMAL, late_reader_main, &late, NULL), ST_OK);
    give_it_a_chance();
    assert_false(atomic_load(&late.through));
    epoch_leave(b->e, guards[777]);
    thread_join(&late.thread);
    for (unsigned i = 0; i < EPOCH_GUARDS_MAX; i++)
        if (i != 777)
            epoch_leave(b->e, guards[i]);
}

static void synchronize_waits_for_readers_inside_only(void **state)
{
    struct bench *b = *state;
    struct late late = {.e = b->e};
    struct epoch_guard inside = epoch_enter(b->e);
    struct epoch_guard later;

    assert_int_equal(
        thread_start(&late.thread, "sync", THREAD_NORMAL, synchronizer_main, &late, NULL), ST_OK);
    give_it_a_chance();
    assert_false(atomic_load(&late.through));
    later = epoch_enter(b->e);
    epoch_leave(b->e, inside);
    thread_join(&late.thread); /* though `later` is inside */
    epoch_leave(b->e, later);
    epoch_synchronize(b->e);
}

static status create_and_destroy(void *arg)
{
    struct epoch *e = NULL;
    status st = epoch_create(&e, arg);

    epoch_destroy(e);
    return st;
}

static void creating_fails_cleanly(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(alloc_sweep(create_and_destroy, &err), 1);
}

/* Use after retire: one writer swaps a shared object for a new one and retires the old, a collector
 * runs the callbacks, which overwrite and free it. Readers look at the object again and again while
 * inside; every second hands its guard and pointer to another thread, which looks and leaves. Plain
 * fields: the sanitizers see a callback that came too early, and so does `alive`. */
enum { READERS = 4, READS = 30000, ALIVE = 0x600DF00D };

struct object {
    struct epoch_retired retired; /* first */
    unsigned alive;
    uint64_t twins[2]; /* equal */
};

struct handed {
    struct object *object;
    struct epoch_guard guard;
};

struct hunt {
    struct epoch *e;
    _Atomic(struct object *) shared;
    _Atomic bool stop;
    _Atomic unsigned violations;
    _Atomic uint64_t freed;
    uint64_t made; /* the writer's */
    struct {       /* guarded by lock: what readers hand to the finisher */
        struct lock lock;
        struct handed handed[READERS * 4];
        unsigned count;
    } mail;
};

static struct hunt hunt;

static void object_free(struct epoch_retired *retired)
{
    struct object *object = (struct object *)retired;

    object->alive = 0;
    object->twins[0] = ~object->twins[0];
    mem_free(object);
    atomic_fetch_add(&hunt.freed, 1);
}

static struct object *object_make(uint64_t number)
{
    struct object *object = mem_alloc(sizeof *object);

    if (object == NULL)
        abort();
    object->alive = ALIVE;
    object->twins[0] = number;
    object->twins[1] = number;
    return object;
}

static void look(const struct object *object)
{
    for (unsigned i = 0; i < 20; i++)
        if (object->alive != ALIVE || object->twins[0] != object->twins[1])
            atomic_fetch_add(&hunt.violations, 1);
}

static bool hand_over(struct handed handed)
{
    bool done = false;

    lock_take(&hunt.mail.lock);
    if (hunt.mail.count < COUNT_OF(hunt.mail.handed)) {
        hunt.mail.handed[hunt.mail.count++] = handed;
        done = true;
    }
    lock_drop(&hunt.mail.lock);
    return done;
}

static bool finish_one(void)
{
    struct handed handed = {0};

    lock_take(&hunt.mail.lock);
    if (hunt.mail.count > 0)
        handed = hunt.mail.handed[--hunt.mail.count];
    lock_drop(&hunt.mail.lock);
    if (handed.object == NULL)
        return false;
    look(handed.object);
    epoch_leave(hunt.e, handed.guard);
    return true;
}

static void hunt_reader_main(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < READS; i++) {
        struct epoch_guard guard = epoch_enter(hunt.e);
        struct object *object = atomic_load_explicit(&hunt.shared, memory_order_acquire);

        look(object);
        if (i % 2 == 0 && hand_over((struct handed){object, guard}))
            continue;
        if (i % 16 == 1)
            (void)sched_yield(); /* inside, so that others get far */
        look(object);
        epoch_leave(hunt.e, guard);
    }
}

static void hunt_finisher_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&hunt.stop))
        if (!finish_one())
            (void)sched_yield();
    while (finish_one())
        ;
}

static void hunt_writer_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&hunt.stop)) {
        struct object *fresh = object_make(++hunt.made);
        struct object *old = atomic_exchange_explicit(&hunt.shared, fresh, memory_order_acq_rel);

        epoch_retire(hunt.e, &old->retired, object_free);
        if (hunt.made % 64 == 0)
            (void)sched_yield();
    }
}

static void hunt_collector_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&hunt.stop)) {
        if (epoch_collect(hunt.e) == 0)
            (void)sched_yield();
    }
}

static void no_reader_sees_what_was_reclaimed(void **state)
{
    thread_fn *const helpers[] = {hunt_finisher_main, hunt_writer_main, hunt_collector_main};
    struct thread readers[READERS];
    struct thread others[COUNT_OF(helpers)];

    (void)state;
    memset(&hunt, 0, sizeof hunt);
    assert_int_equal(epoch_create(&hunt.e, NULL), ST_OK);
    lock_init(&hunt.mail.lock, LOCK_RANK_LEAF, "test mail");
    atomic_store(&hunt.shared, object_make(0));
    for (unsigned i = 0; i < COUNT_OF(others); i++)
        assert_int_equal(thread_start(&others[i], "hunt", THREAD_NORMAL, helpers[i], NULL, NULL),
                         ST_OK);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(
            thread_start(&readers[i], "reader", THREAD_NORMAL, hunt_reader_main, NULL, NULL),
            ST_OK);
    for (unsigned i = 0; i < READERS; i++)
        thread_join(&readers[i]);
    atomic_store(&hunt.stop, true);
    for (unsigned i = 0; i < COUNT_OF(others); i++)
        thread_join(&others[i]);
    assert_int_equal(hunt.violations, 0);
    assert_true(hunt.freed > 0); /* while readers were at work */
    epoch_destroy(hunt.e);
    assert_int_equal(hunt.freed, hunt.made);
    mem_free(atomic_load(&hunt.shared));
    lock_fini(&hunt.mail.lock);
}

#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BENCH(without_readers_all_that_was_retired_runs_in_order),
        WITH_BENCH(a_reader_inside_holds_back_what_is_retired_after_it_entered),
        WITH_BENCH(a_reader_that_came_later_holds_nothing_back),
        WITH_BENCH(a_callback_may_retire_more),
        WITH_BENCH(every_reader_has_a_slot_of_its_own),
        WITH_BENCH(with_all_slots_taken_a_reader_waits_for_one),
        WITH_BENCH(synchronize_waits_for_readers_inside_only),
        cmocka_unit_test(creating_fails_cleanly),
        cmocka_unit_test(no_reader_sees_what_was_reclaimed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
