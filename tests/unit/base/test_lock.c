#include "base/lock.h"
#include "base/lock_internal.h"

#include "tests/support/alloc_sweep.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS_NS 1000000ull

struct tally {
    struct lock lock;
    uint64_t count; /* guarded by lock */
};

static void count_main(void *arg)
{
    struct tally *tally = arg;

    for (unsigned i = 0; i < 20000; i++) {
        lock_take(&tally->lock);
        tally->count++;
        lock_drop(&tally->lock);
    }
}

static void a_lock_lets_one_in_at_a_time(void **state)
{
    struct thread threads[4];
    struct tally tally = {0};

    (void)state;
    lock_init(&tally.lock, LOCK_RANK_LEAF, "tally");
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(
            thread_start(&threads[i], "count", THREAD_NORMAL, count_main, &tally, NULL), ST_OK);
    for (unsigned i = 0; i < COUNT_OF(threads); i++)
        thread_join(&threads[i]);
    assert_int_equal(tally.count, COUNT_OF(threads) * 20000);
    lock_fini(&tally.lock);
}

/* A writer is alone, and gets in although readers come without a pause. */
struct shelf {
    struct rwlock lock;
    uint64_t left, right; /* equal, unless a writer is between them */
    _Atomic bool stop;
};

static void read_main(void *arg)
{
    struct shelf *shelf = arg;

    while (!atomic_load(&shelf->stop)) {
        rwlock_take_read(&shelf->lock);
        if (shelf->left != shelf->right)
            abort();
        rwlock_drop(&shelf->lock);
    }
}

static void readers_see_whole_changes_and_do_not_keep_writers_out(void **state)
{
    struct shelf shelf = {0};
    struct thread readers[3];

    (void)state;
    rwlock_init(&shelf.lock, LOCK_RANK_LEAF, "shelf");
    for (unsigned i = 0; i < COUNT_OF(readers); i++)
        assert_int_equal(thread_start(&readers[i], "read", THREAD_NORMAL, read_main, &shelf, NULL),
                         ST_OK);
    for (unsigned i = 0; i < 2000; i++) {
        rwlock_take_write(&shelf.lock);
        shelf.left++;
        shelf.right++;
        rwlock_drop(&shelf.lock);
    }
    atomic_store(&shelf.stop, true);
    for (unsigned i = 0; i < COUNT_OF(readers); i++)
        thread_join(&readers[i]);
    rwlock_fini(&shelf.lock);
}

/* Two threads hand a number back and forth: no signal is lost, none is heard by the wrong one. */
struct rally {
    struct lock lock;
    struct cond changed;
    unsigned turn; /* guarded by lock */
};

static void rally_main(void *arg)
{
    struct rally *rally = arg;

    for (unsigned i = 0; i < 1000; i++) {
        lock_take(&rally->lock);
        while (rally->turn % 2 == 0)
            cond_wait(&rally->changed, &rally->lock);
        rally->turn++;
        cond_signal(&rally->changed);
        lock_drop(&rally->lock);
    }
}

static void a_signal_wakes_who_waits(void **state)
{
    struct thread other;
    struct rally rally = {0};

    (void)state;
    lock_init(&rally.lock, LOCK_RANK_LEAF, "rally");
    cond_init(&rally.changed);
    assert_int_equal(thread_start(&other, "rally", THREAD_NORMAL, rally_main, &rally, NULL), ST_OK);
    for (unsigned i = 0; i < 1000; i++) {
        lock_take(&rally.lock);
        while (rally.turn % 2 == 1)
            assert_true(cond_wait_ns(&rally.changed, &rally.lock, UINT64_MAX));
        rally.turn++;
        cond_broadcast(&rally.changed);
        lock_drop(&rally.lock);
    }
    thread_join(&other);
    assert_int_equal(rally.turn, 2000);
    cond_fini(&rally.changed);
    lock_fini(&rally.lock);
}

static uint64_t mono_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void a_wait_ends_when_its_time_is_over(void **state)
{
    const uint64_t timeouts[] = {0, 1, 5 * MS_NS, 15 * MS_NS};
    struct lock lock;
    struct cond cond;

    (void)state;
    lock_init(&lock, LOCK_RANK_LEAF, "lock");
    cond_init(&cond);
    lock_take(&lock);
    for (unsigned i = 0; i < COUNT_OF(timeouts); i++) {
        uint64_t before = mono_ns();

        while (cond_wait_ns(&cond, &lock, timeouts[i]))
            before = mono_ns(); /* woken for no reason */
        assert_true(mono_ns() - before >= timeouts[i]);
    }
    lock_drop(&lock);
    cond_fini(&cond);
    lock_fini(&lock);
}

struct inside {
    char name[16];
    sigset_t blocked;
    int nice;
};

static void inside_main(void *arg)
{
    struct inside *inside = arg;

    (void)pthread_getname_np(pthread_self(), inside->name, sizeof inside->name);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &inside->blocked);
    inside->nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
}

static void a_thread_has_its_name_and_priority_and_takes_no_signals(void **state)
{
    int own = getpriority(PRIO_PROCESS, 0);
    struct inside inside;
    struct thread t = {0};
    sigset_t mask;

    (void)state;
    thread_join(&t);
    assert_int_equal(thread_start(&t, "fifteen-letters", THREAD_NORMAL, inside_main, &inside, NULL),
                     ST_OK);
    thread_join(&t);
    thread_join(&t);
    assert_string_equal(inside.name, "fifteen-letters");
    assert_int_equal(inside.nice, own);
    assert_int_equal(sigismember(&inside.blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&inside.blocked, SIGHUP), 1);
    assert_int_equal(sigismember(&inside.blocked, SIGUSR1), 1);
    assert_int_equal(thread_start(&t, "linker", THREAD_BACKGROUND, inside_main, &inside, NULL),
                     ST_OK);
    thread_join(&t);
    assert_string_equal(inside.name, "linker");
    assert_int_equal(inside.nice, own + 10 > 19 ? 19 : own + 10);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

/* Last of all: niceness that was taken on is not always to be had back. */
static void a_background_thread_is_nicer_than_a_nice_process(void **state)
{
    int nicer = getpriority(PRIO_PROCESS, 0) + 4;
    struct inside inside;
    struct thread t = {0};

    (void)state;
    nicer = nicer > 19 ? 19 : nicer;
    assert_int_equal(setpriority(PRIO_PROCESS, 0, nicer), 0);
    assert_int_equal(thread_start(&t, "linker", THREAD_BACKGROUND, inside_main, &inside, NULL),
                     ST_OK);
    thread_join(&t);
    assert_int_equal(inside.nice, nicer + 10 > 19 ? 19 : nicer + 10);
}

static status start_and_join(void *arg)
{
    struct inside inside;
    struct thread t;
    status st = thread_start(&t, "once", THREAD_NORMAL, inside_main, &inside, arg);

    assert_int_equal(t.started, st == ST_OK);
    thread_join(&t);
    return st;
}

static void starting_fails_cleanly(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(alloc_sweep(start_and_join, &err), 1);
}

static void bandwidth_of_a_cgroup_is_rounded_up_to_cpus(void **state)
{
    (void)state;
    assert_int_equal(cpu_max_parse("max 100000"), 0);
    assert_int_equal(cpu_max_parse("200000 100000"), 2);
    assert_int_equal(cpu_max_parse("150000 100000"), 2);
    assert_int_equal(cpu_max_parse("100001 100000"), 2);
    assert_int_equal(cpu_max_parse("100000 100000"), 1);
    assert_int_equal(cpu_max_parse("1000 100000"), 1);
    assert_int_equal(cpu_max_parse("99999999999999999999999 1"), UINT16_MAX);
    assert_int_equal(cpu_max_parse("1 0"), 0);
    assert_int_equal(cpu_max_parse("0 100000"), 0);
    assert_int_equal(cpu_max_parse("-1 100000"), 0);
    assert_int_equal(cpu_max_parse("100000"), 0);
    assert_int_equal(cpu_max_parse("100000 "), 0);
    assert_int_equal(cpu_max_parse(""), 0);
    assert_int_equal(cpu_max_parse("x y"), 0);
}

/* Runs fn in a child; its exit as waitpid() says, and what it wrote to stderr. */
static int in_child(void (*fn)(void), char *text, size_t bytes)
{
    int pipe_fd[2];
    size_t used = 0;
    ssize_t n;
    int exit_status;
    pid_t pid;

    assert_int_equal(pipe(pipe_fd), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0};

        (void)signal(SIGABRT, SIG_DFL); /* cmocka's handler would go on with the tests */
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)dup2(pipe_fd[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    (void)close(pipe_fd[1]);
    while (used < bytes - 1 && (n = read(pipe_fd[0], text + used, bytes - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    (void)close(pipe_fd[0]);
    assert_int_equal(waitpid(pid, &exit_status, 0), pid);
    return exit_status;
}

static void on_one_cpu(void)
{
    cpu_set_t own;
    cpu_set_t one;

    CPU_ZERO(&own);
    CPU_ZERO(&one);
    (void)sched_getaffinity(0, sizeof own, &own);
    for (size_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &own) && CPU_COUNT(&one) == 0)
            CPU_SET(i, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0 || thread_cpu_count() != 1)
        _exit(1);
}

static void the_affinity_mask_bounds_the_cpus(void **state)
{
    char text[256];

    (void)state;
    assert_in_range(thread_cpu_count(), 1, 100000);
    assert_int_equal(in_child(on_one_cpu, text, sizeof text), 0);
}

static struct lock low;
static struct lock high;
static struct lock high_too;
static struct cond cond;

static void make_locks(void)
{
    lock_init(&low, LOCK_RANK_WAL, "low lock");
    lock_init(&high, LOCK_RANK_EPOCH, "high lock");
    lock_init(&high_too, LOCK_RANK_EPOCH, "high lock too");
    cond_init(&cond);
}

static void upwards_and_dropped_in_any_order(void)
{
    make_locks();
    for (unsigned i = 0; i < 100; i++) {
        lock_take(&low);
        lock_take(&high);
        lock_drop(&low);
        lock_drop(&high);
        lock_take(&low);
        lock_take(&high_too);
        lock_drop(&high_too);
        lock_drop(&low);
        lock_take(&high);
        (void)cond_wait_ns(&cond, &high, 1);
        lock_drop(&high);
    }
}

static void the_right_order_passes(void **state)
{
    char text[1024];

    (void)state;
    assert_int_equal(in_child(upwards_and_dropped_in_any_order, text, sizeof text), 0);
    assert_string_equal(text, "");
}

#ifdef BASE_LOCK_CHECKS

static void downwards(void)
{
    make_locks();
    lock_take(&high);
    lock_take(&low);
}

static void sideways(void)
{
    make_locks();
    lock_take(&high);
    lock_take(&high_too);
}

/* The top is dropped first; the one below still counts. */
static void downwards_after_a_drop(void)
{
    make_locks();
    lock_take(&low);
    lock_take(&high);
    lock_drop(&low);
    lock_take(&low);
}

static void reading_twice(void)
{
    struct rwlock shelf;

    rwlock_init(&shelf, LOCK_RANK_ROWS, "shelf lock");
    rwlock_take_read(&shelf);
    rwlock_take_read(&shelf);
}

static void reading_below(void)
{
    struct rwlock shelf;

    make_locks();
    rwlock_init(&shelf, LOCK_RANK_API, "shelf lock");
    lock_take(&high);
    rwlock_take_read(&shelf);
}

static void drop_what_is_not_held(void)
{
    make_locks();
    lock_take(&low);
    lock_drop(&high);
}

static void wait_with_another_lock_held(void)
{
    make_locks();
    lock_take(&low);
    lock_take(&high);
    (void)cond_wait_ns(&cond, &high, 1);
}

static void a_breach_aborts_with_both_names(void **state)
{
    const struct {
        void (*fn)(void);
        const char *first;
        const char *second;
    } cases[] = {
        {downwards, "low lock", "high lock"},
        {sideways, "high lock too", "high lock"},
        {downwards_after_a_drop, "low lock", "high lock"},
        {reading_twice, "shelf lock", "shelf lock"},
        {reading_below, "shelf lock", "high lock"},
        {drop_what_is_not_held, "high lock", "low lock"},
        {wait_with_another_lock_held, "high lock", "low lock"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[4096];
        int exit_status = in_child(cases[i].fn, text, sizeof text);

        if (!WIFSIGNALED(exit_status) || WTERMSIG(exit_status) != SIGABRT)
            fail_msg("case %zu went on, saying \"%s\"", i, text);
        assert_non_null(strstr(text, "lock order"));
        assert_non_null(strstr(text, cases[i].first));
        assert_non_null(strstr(text, cases[i].second));
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_order_passes),
#ifdef BASE_LOCK_CHECKS
        cmocka_unit_test(a_breach_aborts_with_both_names),
#endif
        cmocka_unit_test(the_affinity_mask_bounds_the_cpus),
        cmocka_unit_test(bandwidth_of_a_cgroup_is_rounded_up_to_cpus),
        cmocka_unit_test(a_lock_lets_one_in_at_a_time),
        cmocka_unit_test(readers_see_whole_changes_and_do_not_keep_writers_out),
        cmocka_unit_test(a_signal_wakes_who_waits),
        cmocka_unit_test(a_wait_ends_when_its_time_is_over),
        cmocka_unit_test(a_thread_has_its_name_and_priority_and_takes_no_signals),
        cmocka_unit_test(starting_fails_cleanly),
        cmocka_unit_test(a_background_thread_is_nicer_than_a_nice_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
