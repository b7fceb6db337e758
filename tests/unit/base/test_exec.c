#include "base/exec.h"
#include "base/lock.h"

#include "tests/support/alloc_sweep.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOG_MAX = 4096, PATIENCE_S = 20 };

static const uint64_t INTERACTIVE_NS = 100000;
static const uint64_t BULK_NS = 10000000;

/* A gate holds what passes it until it is opened: a worker is kept busy while a test fills the
 * queue, and what then happens does not depend on time. */
struct gate {
    struct lock lock;
    struct cond changed;
    bool open;
    unsigned waiting;
};

static void gate_init(struct gate *g)
{
    *g = (struct gate){0};
    lock_init(&g->lock, LOCK_RANK_LEAF, "test gate");
    cond_init(&g->changed);
}

static void gate_fini(struct gate *g)
{
    cond_fini(&g->changed);
    lock_fini(&g->lock);
}

static void gate_open(struct gate *g)
{
    lock_take(&g->lock);
    g->open = true;
    cond_broadcast(&g->changed);
    lock_drop(&g->lock);
}

static void gate_pass(struct gate *g)
{
    lock_take(&g->lock);
    g->waiting++;
    cond_broadcast(&g->changed);
    while (!g->open)
        cond_wait(&g->changed, &g->lock);
    g->waiting--;
    lock_drop(&g->lock);
}

static void gate_wait_for(struct gate *g, unsigned waiting)
{
    lock_take(&g->lock);
    while (g->waiting < waiting)
        if (!cond_wait_ns(&g->changed, &g->lock, PATIENCE_S * 1000000000ull))
            fail_msg("%u of %u tasks reached the gate", g->waiting, waiting);
    lock_drop(&g->lock);
}

/* What ran, in order: a letter a run. */
struct journal {
    _Atomic unsigned count;
    char letters[LOG_MAX + 1];
};

struct job {
    struct task task; /* first */
    struct journal *journal;
    struct gate *gate;
    unsigned slices; /* runs before it is done; 0 and 1 are the same */
    char letter;
};

static task_state job_run(struct task *task)
{
    struct job *job = (struct job *)task;

    if (job->gate != NULL)
        gate_pass(job->gate);
    if (job->journal != NULL) {
        unsigned at = atomic_fetch_add(&job->journal->count, 1);

        if (at < LOG_MAX)
            job->journal->letters[at] = job->letter;
    }
    if (job->slices > 1) {
        job->slices--;
        return TASK_AGAIN;
    }
    return TASK_DONE;
}

static struct job job_make(struct journal *journal, char letter, uint64_t key, uint64_t cost_ns,
                           unsigned slices)
{
    return (struct job){
        .task = {.run = job_run, .fair_key = key, .cost_ns = cost_ns},
        .journal = journal,
        .letter = letter,
        .slices = slices,
    };
}

static struct exec *open_exec(unsigned workers, uint64_t wait_ns_max)
{
    struct exec_options options = {.workers = workers, .wait_ns_max = wait_ns_max};
    struct exec *exec = NULL;
    struct err err;

    if (exec_open(&options, &exec, &err) != ST_OK)
        fail_msg("exec_open: %s", err.text);
    return exec;
}

static void submit(struct exec *exec, struct job *job)
{
    struct err err;

    if (exec_submit(exec, &job->task, NULL, &err) != ST_OK)
        fail_msg("exec_submit: %s", err.text);
}

/* One worker, held at a gate: what is submitted meanwhile runs in the order exec chooses. */
struct stage {
    struct exec *exec;
    struct gate gate;
    struct job holder;
    struct journal journal;
    struct job jobs[LOG_MAX];
    unsigned job_count;
};

static struct stage *stage_open(uint64_t wait_ns_max)
{
    struct stage *s = test_calloc(1, sizeof *s);

    gate_init(&s->gate);
    s->exec = open_exec(1, wait_ns_max);
    s->holder = job_make(NULL, 0, 99, INTERACTIVE_NS, 1);
    s->holder.gate = &s->gate;
    submit(s->exec, &s->holder);
    gate_wait_for(&s->gate, 1);
    return s;
}

static void stage_add_key(struct stage *s, unsigned count, char letter, uint64_t key,
                          uint64_t cost_ns, unsigned slices)
{
    for (unsigned i = 0; i < count; i++) {
        struct job *job = &s->jobs[s->job_count++];

        *job = job_make(&s->journal, letter, key, cost_ns, slices);
        submit(s->exec, job);
    }
}

static void stage_add(struct stage *s, unsigned count, char letter, uint64_t cost_ns,
                      unsigned slices)
{
    stage_add_key(s, count, letter, (uint64_t)letter, cost_ns, slices);
}

/* Opens the gate, runs all and returns the journal as a text. */
static const char *stage_run(struct stage *s)
{
    gate_open(&s->gate);
    exec_close(s->exec);
    assert_true(s->journal.count <= LOG_MAX);
    return s->journal.letters;
}

static void stage_free(struct stage *s)
{
    gate_fini(&s->gate);
    test_free(s);
}

/* While both have work left, neither is more than one turn ahead. */
static void assert_turns(const char *ran, char first, unsigned first_total, char second,
                         unsigned second_total)
{
    unsigned a = 0;
    unsigned b = 0;

    for (; *ran != '\0'; ran++) {
        a += *ran == first;
        b += *ran == second;
        if (a < first_total && b < second_total)
            assert_true(a <= b + 1 && b <= a + 1);
    }
    assert_int_equal(a, first_total);
    assert_int_equal(b, second_total);
}

static void a_key_with_many_tasks_takes_turns_with_one_that_has_few(void **state)
{
    struct stage *s = stage_open(0);

    (void)state;
    stage_add(s, 300, 'a', INTERACTIVE_NS, 1);
    stage_add(s, 20, 'b', INTERACTIVE_NS, 1);
    assert_turns(stage_run(s), 'a', 300, 'b', 20);
    stage_free(s);
}

static void slices_of_bulk_take_turns_over_keys(void **state)
{
    struct stage *s = stage_open(0);

    (void)state;
    stage_add(s, 10, 'a', BULK_NS, 30);
    stage_add(s, 1, 'b', BULK_NS, 200);
    assert_turns(stage_run(s), 'a', 300, 'b', 200);
    stage_free(s);
}

/* A long one does not hold up short ones of its own collection. */
static void slices_within_a_key_go_round(void **state)
{
    struct stage *s = stage_open(0);

    (void)state;
    stage_add_key(s, 1, 'a', 7, BULK_NS, 5);
    stage_add_key(s, 1, 'b', 7, BULK_NS, 2);
    stage_add_key(s, 1, 'c', 7, BULK_NS, 1);
    assert_string_equal(stage_run(s), "abcabaaa");
    stage_free(s);
}

/* What a begun task holds (a reader's guard, scratch) must not add up with the queue. */
static void no_more_than_so_many_bulk_tasks_are_begun(void **state)
{
    enum { TASKS = 4 * EXEC_BEGUN_MAX, SLICES = 5 };
    struct stage *s = stage_open(3600000000000);
    unsigned runs[TASKS] = {0};
    unsigned begun = 0;
    unsigned begun_most = 0;
    const char *ran;

    (void)state;
    for (unsigned i = 0; i < TASKS; i++)
        stage_add_key(s, 1, (char)(i + 1), 7, BULK_NS, SLICES);
    ran = stage_run(s);
    assert_int_equal(s->journal.count, TASKS * SLICES);
    for (unsigned i = 0; i < TASKS * SLICES; i++) {
        unsigned task = (unsigned char)ran[i];

        assert_true(task < TASKS);
        runs[task]++;
        begun += runs[task] == 1;
        begun -= runs[task] == SLICES;
        begun_most = begun > begun_most ? begun : begun_most;
    }
    /* One key may have two begun beyond the bound, and the one that runs. */
    assert_in_range(begun_most, EXEC_BEGUN_MAX, EXEC_BEGUN_MAX + 3);
    stage_free(s);
}

static void interactive_tasks_go_before_bulk(void **state)
{
    struct stage *s = stage_open(0);

    (void)state;
    stage_add(s, 2, 'B', BULK_NS, 2);
    stage_add(s, 5, 'i', INTERACTIVE_NS, 1);
    assert_string_equal(stage_run(s), "iiiiiBBBB");
    stage_free(s);
}

static void bulk_is_slowed_down_but_never_starved(void **state)
{
    struct stage *s = stage_open(0);
    const char *ran;

    (void)state;
    stage_add(s, 3, 'B', BULK_NS, 1);
    stage_add(s, 100, 'i', INTERACTIVE_NS, 1);
    ran = stage_run(s);
    for (unsigned i = 0; i < 103; i++) {
        bool turn = i % (EXEC_INTERACTIVE_RUN + 1) == EXEC_INTERACTIVE_RUN;

        assert_int_equal(ran[i], turn && i < 3 * (EXEC_INTERACTIVE_RUN + 1) ? 'B' : 'i');
    }
    stage_free(s);
}

/* Its estimate was wrong: it must not hold up those whose was right. */
static void an_interactive_task_that_goes_on_is_bulk(void **state)
{
    struct stage *s = stage_open(0);

    (void)state;
    stage_add(s, 1, 'x', INTERACTIVE_NS, 3);
    stage_add(s, 4, 'i', INTERACTIVE_NS, 1);
    assert_string_equal(stage_run(s), "xiiiixx");
    stage_free(s);
}

/* Two workers. Every bulk task that runs stays where it is until the gate opens; an interactive one
 * gets through all the same. */
static void an_interactive_task_never_waits_behind_bulk(void **state)
{
    struct gate bulk_gate;
    struct gate done_gate;
    struct journal journal = {0};
    struct job bulk[20];
    struct job interactive[50];
    struct exec *exec = open_exec(2, 0);

    (void)state;
    gate_init(&bulk_gate);
    gate_init(&done_gate);
    for (unsigned i = 0; i < COUNT_OF(bulk); i++) {
        bulk[i] = job_make(NULL, 'B', i % 3, BULK_NS, 2);
        bulk[i].gate = &bulk_gate;
        submit(exec, &bulk[i]);
    }
    gate_wait_for(&bulk_gate, 1);
    for (unsigned i = 0; i < COUNT_OF(interactive); i++) {
        interactive[i] = job_make(&journal, 'i', i % 3, INTERACTIVE_NS, 1);
        if (i == COUNT_OF(interactive) - 1)
            interactive[i].gate = &done_gate;
        submit(exec, &interactive[i]);
    }
    gate_wait_for(&done_gate, 1); /* fails if the second worker took bulk */
    assert_int_equal(bulk_gate.waiting, 1);
    gate_open(&done_gate);
    gate_open(&bulk_gate);
    exec_close(exec);
    assert_int_equal(journal.count, COUNT_OF(interactive));
    gate_fini(&bulk_gate);
    gate_fini(&done_gate);
}

static void bulk_runs_on_all_workers_but_one(void **state)
{
    struct gate gate;
    struct job bulk[12];
    struct exec *exec = open_exec(4, 0);

    (void)state;
    gate_init(&gate);
    for (unsigned i = 0; i < COUNT_OF(bulk); i++) {
        bulk[i] = job_make(NULL, 'B', i, BULK_NS, 1);
        bulk[i].gate = &gate;
        submit(exec, &bulk[i]);
    }
    gate_wait_for(&gate, 3);
    assert_int_equal(exec_queued(exec), COUNT_OF(bulk) - 3);
    gate_open(&gate);
    exec_close(exec);
    gate_fini(&gate);
}

static void slow_tasks_leave_a_worker_to_all_others(void **state)
{
    struct gate gate;
    struct journal journal = {0};
    struct job slow[6], other[3];
    struct exec *exec = open_exec(2, 0);

    (void)state;
    gate_init(&gate);
    for (unsigned i = 0; i < COUNT_OF(slow); i++) {
        slow[i] = job_make(&journal, 'S', i, i % 2 == 0 ? BULK_NS : INTERACTIVE_NS, 2);
        slow[i].gate = &gate;
        slow[i].task.slow = true;
        submit(exec, &slow[i]);
    }
    gate_wait_for(&gate, 1);
    other[0] = job_make(&journal, 'B', 1, BULK_NS, 3);
    other[1] = job_make(&journal, 'I', 1, INTERACTIVE_NS, 1);
    other[2] = job_make(&journal, 'I', 1, INTERACTIVE_NS, 2);
    for (unsigned i = 0; i < COUNT_OF(other); i++)
        submit(exec, &other[i]);
    for (unsigned tries = 0; atomic_load(&journal.count) < 6; tries++) {
        assert_true(tries < PATIENCE_S * 1000);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(exec_queued(exec), COUNT_OF(slow) - 1);
    gate_open(&gate);
    exec_close(exec);
    assert_int_equal(journal.count, 6 + 2 * COUNT_OF(slow));
    gate_fini(&gate);
}

static void slow_and_bulk_take_turns_on_one_worker(void **state)
{
    struct stage *s = stage_open(0);

    (void)state;
    stage_add(s, 2, 'B', BULK_NS, 5);
    for (unsigned i = 0; i < 2; i++) {
        struct job *job = &s->jobs[s->job_count++];

        *job = job_make(&s->journal, 'S', 7, INTERACTIVE_NS, 5);
        job->task.slow = true;
        submit(s->exec, job);
    }
    stage_add(s, 1, 'I', INTERACTIVE_NS, 1);
    assert_turns(stage_run(s) + 1, 'B', 10, 'S', 10);
    assert_int_equal(s->journal.letters[0], 'I');
    stage_free(s);
}

static void over_the_wait_bound_a_task_is_refused(void **state)
{
    const uint64_t wait_ns_max = 10 * INTERACTIVE_NS;
    struct stage *s = stage_open(wait_ns_max);
    struct job job = job_make(&s->journal, 'x', 1, INTERACTIVE_NS, 1);
    uint64_t retry_after_ns = 0;
    struct err err = {0};

    (void)state;
    /* Up to the bound, and one more: what is ahead may not pass it. */
    stage_add(s, 11, 'i', INTERACTIVE_NS, 1);
    assert_int_equal(exec_queued(s->exec), 11);
    assert_int_equal(exec_queued_ns(s->exec), 11 * INTERACTIVE_NS);
    assert_int_equal(exec_submit(s->exec, &job.task, &retry_after_ns, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "the queue is full"));
    assert_true(retry_after_ns >= INTERACTIVE_NS);
    assert_int_equal(exec_submit(s->exec, &job.task, NULL, NULL), ST_LIMIT);
    assert_int_equal(exec_queued(s->exec), 11);
    /* What was admitted before goes on. */
    exec_resubmit(s->exec, &job.task);
    assert_int_equal(exec_queued(s->exec), 12);
    assert_string_equal(stage_run(s), "ixiiiiiiiiii");
    stage_free(s);
}

/* Interactive work is not refused for the bulk it does not wait for; bulk waits for both. */
static void each_class_counts_what_is_ahead_of_it(void **state)
{
    struct stage *s = stage_open(20 * INTERACTIVE_NS);
    struct job bulk = job_make(&s->journal, 'B', 1, BULK_NS, 1);
    uint64_t retry_after_ns = 0;

    (void)state;
    stage_add(s, 1, 'B', BULK_NS, 1);
    assert_int_equal(exec_submit(s->exec, &bulk.task, &retry_after_ns, NULL), ST_LIMIT);
    assert_int_equal(retry_after_ns, BULK_NS - 20 * INTERACTIVE_NS);
    stage_add(s, 3, 'i', INTERACTIVE_NS, 1);
    assert_string_equal(stage_run(s), "iiiB");
    stage_free(s);
}

static void an_estimate_of_nothing_or_of_too_much_counts_within_bounds(void **state)
{
    struct stage *s = stage_open(50 * EXEC_COST_NS_MIN);
    struct job job = job_make(&s->journal, 'x', 1, UINT64_MAX, 1);

    (void)state;
    stage_add(s, 51, 'i', 0, 1);
    assert_int_equal(exec_submit(s->exec, &job.task, NULL, NULL), ST_LIMIT);
    exec_resubmit(s->exec, &job.task);
    assert_true(exec_queued_ns(s->exec) > 3600000000000);
    assert_true(exec_queued_ns(s->exec) < 2 * 3600000000000ull);
    (void)stage_run(s);
    stage_free(s);
}

/* Each run takes 3 ms by the clock exec was given. */
struct slow {
    struct task task; /* first */
    struct clock_manual *clock;
    unsigned slices;
};

static task_state slow_run(struct task *task)
{
    struct slow *slow = (struct slow *)task;

    clock_manual_advance(slow->clock, 3000000);
    return --slow->slices > 0 ? TASK_AGAIN : TASK_DONE;
}

/* After each slice another task of the same key stands at a gate, and what is left of the estimate
 * can be seen: less by what the slice took, but at least another slice. */
static void what_a_slice_took_is_off_the_estimate(void **state)
{
    const uint64_t left_ns[] = {7000000, 4000000, 1000000, EXEC_SLICE_NS, EXEC_SLICE_NS};
    struct gate gates[COUNT_OF(left_ns)];
    struct job jobs[COUNT_OF(left_ns)];
    struct clock_manual clock;
    struct exec_options options = {.workers = 1, .clock = &clock.clock};
    struct slow slow = {.task = {.run = slow_run, .fair_key = 7, .cost_ns = 10000000},
                        .clock = &clock,
                        .slices = COUNT_OF(left_ns) + 1};
    struct exec *exec = NULL;

    (void)state;
    clock_manual_init(&clock, 0, 0);
    assert_int_equal(exec_open(&options, &exec, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(left_ns); i++) {
        gate_init(&gates[i]);
        jobs[i] = job_make(NULL, 'g', 7, BULK_NS, 1);
        jobs[i].gate = &gates[i];
    }
    /* The first gate holds the worker while slow and the second gate line up behind it. */
    submit(exec, &jobs[0]);
    gate_wait_for(&gates[0], 1);
    assert_int_equal(exec_submit(exec, &slow.task, NULL, NULL), ST_OK);
    for (size_t i = 0; i + 1 < COUNT_OF(left_ns); i++) {
        submit(exec, &jobs[i + 1]);
        gate_open(&gates[i]);
        gate_wait_for(&gates[i + 1], 1);
        assert_int_equal(exec_queued(exec), 1);
        assert_int_equal(exec_queued_ns(exec), left_ns[i]);
    }
    gate_open(&gates[COUNT_OF(left_ns) - 1]);
    exec_close(exec);
    for (size_t i = 0; i < COUNT_OF(left_ns); i++)
        gate_fini(&gates[i]);
}

/* A request in steps: each submits the next from its run(). */
struct chain {
    struct task task; /* first */
    struct exec *exec;
    unsigned steps;
};

static task_state chain_run(struct task *task)
{
    struct chain *chain = (struct chain *)task;

    if (chain->steps-- > 1)
        exec_resubmit(chain->exec, task);
    return TASK_DONE;
}

static void closer_main(void *arg)
{
    exec_close(arg);
}

static void close_runs_what_is_queued_and_takes_nothing_new(void **state)
{
    struct stage *s = stage_open(0);
    struct chain chain = {.task = {.run = chain_run}, .exec = s->exec, .steps = 100};
    struct thread closer;
    status st;

    (void)state;
    stage_add(s, 40, 'B', BULK_NS, 3);
    assert_int_equal(exec_submit(s->exec, &chain.task, NULL, NULL), ST_OK);
    assert_int_equal(thread_start(&closer, "closer", THREAD_NORMAL, closer_main, s->exec, NULL),
                     ST_OK);
    /* The close waits for the worker at the gate, so exec is there to say so. Until the closer
     * comes around to it, the queue takes some, then it is full. */
    do {
        struct job *job = &s->jobs[s->job_count];

        *job = job_make(&s->journal, 'i', 1, EXEC_INTERACTIVE_NS, 1);
        st = exec_submit(s->exec, &job->task, NULL, NULL);
        s->job_count += st == ST_OK;
        (void)sched_yield();
    } while (st != ST_CLOSED);
    gate_open(&s->gate);
    thread_join(&closer);
    assert_int_equal(s->journal.count, 40 * 3 + s->job_count - 40);
    assert_int_equal(chain.steps, 0);
    stage_free(s);
}

/* Many threads submit to many workers: each task runs exactly once and its memory is free then. */
struct storm {
    struct task task; /* first */
    struct exec *exec;
    _Atomic uint64_t *sum;
    uint64_t value;
    unsigned slices;
};

static task_state storm_run(struct task *task)
{
    struct storm *storm = (struct storm *)task;
    int index = exec_worker_index();

    if (index < 0 || index >= (int)exec_workers(storm->exec))
        abort();
    if (storm->slices-- > 1)
        return TASK_AGAIN;
    atomic_fetch_add(storm->sum, storm->value);
    mem_free(storm);
    return TASK_DONE;
}

struct submitter {
    struct thread thread;
    struct exec *exec;
    _Atomic uint64_t *sum;
    uint64_t first;
    uint64_t count;
};

static void submitter_main(void *arg)
{
    struct submitter *s = arg;

    for (uint64_t v = s->first; v < s->first + s->count; v++) {
        struct storm *storm = mem_zero(sizeof *storm);

        if (storm == NULL)
            abort();
        *storm = (struct storm){
            .task = {.run = storm_run, .fair_key = v % 7, .cost_ns = v % 3 * EXEC_INTERACTIVE_NS},
            .exec = s->exec,
            .sum = s->sum,
            .value = v,
            .slices = v % 3 == 2 ? (unsigned)(v % 5) : 1,
        };
        while (exec_submit(s->exec, &storm->task, NULL, NULL) == ST_LIMIT)
            (void)sched_yield();
    }
}

static void each_task_runs_exactly_once(void **state)
{
    enum { SUBMITTERS = 3, EACH = 5000 };
    const uint64_t total = SUBMITTERS * EACH;
    struct submitter submitters[SUBMITTERS];
    _Atomic uint64_t sum = 0;
    struct exec *exec = open_exec(3, 0);

    (void)state;
    assert_int_equal(exec_workers(exec), 3);
    assert_int_equal(exec_worker_index(), -1);
    for (unsigned i = 0; i < SUBMITTERS; i++) {
        submitters[i] =
            (struct submitter){.exec = exec, .sum = &sum, .first = i * EACH, .count = EACH};
        assert_int_equal(thread_start(&submitters[i].thread, "submitter", THREAD_NORMAL,
                                      submitter_main, &submitters[i], NULL),
                         ST_OK);
    }
    for (unsigned i = 0; i < SUBMITTERS; i++)
        thread_join(&submitters[i].thread);
    exec_close(exec);
    assert_int_equal(sum, total * (total - 1) / 2);
}

/* Sleepers are woken one by one: none may be missed, however a round before them ended. */
static void tasks_that_wait_for_each_other_all_find_a_worker(void **state)
{
    enum { WORKERS = 4, ROUNDS = 300 };
    static struct job jobs[ROUNDS][WORKERS];
    static struct gate gates[ROUNDS];
    struct exec *exec = open_exec(WORKERS, 0);

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        gate_init(&gates[round]);
        for (unsigned i = 0; i < WORKERS; i++) {
            jobs[round][i] = job_make(NULL, 'a', i % 2, 0, 0);
            jobs[round][i].gate = &gates[round];
            submit(exec, &jobs[round][i]);
        }
        gate_wait_for(&gates[round], WORKERS);
        gate_open(&gates[round]);
    }
    exec_close(exec);
    for (unsigned round = 0; round < ROUNDS; round++)
        gate_fini(&gates[round]);
}

struct last_word {
    struct exec *exec;
    struct job job;
};

static void say_last_word(void *arg)
{
    struct last_word *w = arg;

    submit(w->exec, &w->job);
}

/* Who hands in the last task may still be waking a worker for it when that task has run and the
 * exec is closed: nothing of it is gone before. */
static void closing_waits_for_who_wakes_a_worker(void **state)
{
    enum { ROUNDS = 200 };

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct journal journal = {0};
        struct last_word w = {.exec = open_exec(2, 0), .job = job_make(&journal, 'a', 0, 0, 0)};
        struct thread thread = {0};

        assert_int_equal(thread_start(&thread, "last-word", THREAD_NORMAL, say_last_word, &w, NULL),
                         ST_OK);
        while (atomic_load(&journal.count) == 0)
            (void)sched_yield();
        exec_close(w.exec);
        thread_join(&thread);
    }
}

static status open_and_close(void *arg)
{
    struct exec_options options = {.workers = 3};
    struct exec *exec = NULL;
    status st = exec_open(&options, &exec, arg);

    assert_int_equal(st == ST_OK, exec != NULL);
    exec_close(exec);
    return st;
}

static void opening_gives_everything_back_when_it_fails(void **state)
{
    struct exec_options options = {.workers = EXEC_WORKERS_MAX + 1};
    struct exec *exec = NULL;
    struct err err;

    (void)state;
    assert_int_equal(alloc_sweep(open_and_close, &err), 4);
    assert_int_equal(exec_open(&options, &exec, &err), ST_INVALID);
    assert_null(exec);
    exec_close(NULL);
    options.workers = 0;
    assert_int_equal(exec_open(&options, &exec, &err), ST_OK);
    assert_int_equal(exec_workers(exec), thread_cpu_count());
    exec_close(exec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_with_many_tasks_takes_turns_with_one_that_has_few),
        cmocka_unit_test(slices_of_bulk_take_turns_over_keys),
        cmocka_unit_test(slices_within_a_key_go_round),
        cmocka_unit_test(no_more_than_so_many_bulk_tasks_are_begun),
        cmocka_unit_test(interactive_tasks_go_before_bulk),
        cmocka_unit_test(bulk_is_slowed_down_but_never_starved),
        cmocka_unit_test(an_interactive_task_that_goes_on_is_bulk),
        cmocka_unit_test(an_interactive_task_never_waits_behind_bulk),
        cmocka_unit_test(bulk_runs_on_all_workers_but_one),
        cmocka_unit_test(slow_tasks_leave_a_worker_to_all_others),
        cmocka_unit_test(slow_and_bulk_take_turns_on_one_worker),
        cmocka_unit_test(over_the_wait_bound_a_task_is_refused),
        cmocka_unit_test(each_class_counts_what_is_ahead_of_it),
        cmocka_unit_test(an_estimate_of_nothing_or_of_too_much_counts_within_bounds),
        cmocka_unit_test(what_a_slice_took_is_off_the_estimate),
        cmocka_unit_test(close_runs_what_is_queued_and_takes_nothing_new),
        cmocka_unit_test(each_task_runs_exactly_once),
        cmocka_unit_test(tasks_that_wait_for_each_other_all_find_a_worker),
        cmocka_unit_test(closing_waits_for_who_wakes_a_worker),
        cmocka_unit_test(opening_gives_everything_back_when_it_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
