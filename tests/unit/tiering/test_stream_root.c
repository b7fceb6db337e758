/* The root by compare-and-swap when answers are lost: the same bytes until it is decided. */
#include "stream_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct stream_case c;

static int fresh(void **state)
{
    (void)state;
    case_init(&c);
    return 0;
}

static void want_commit(void)
{
    case_step(&c, (struct stream_event){.kind = STREAM_COMMIT,
                                        .manifest = {.bytes = 7},
                                        .manifest_revision = c.s.root.revision + 1});
}

static void next_put(struct stream_effect *put, struct root *root)
{
    case_run(&c, 1000000);
    *put = case_keep(&c, STREAM_DO_PUT_ROOT);
    *root = *put->root;
}

/* What the effect asks for happens in the bucket, and nobody hears of it. */
static void applied(const struct stream_effect *put)
{
    c.bucket = *put->root;
    (void)snprintf(c.etag, sizeof c.etag, "lost");
}

static void a_lost_answer_is_sent_again_unchanged_and_then_found_by_its_nonce(void **state)
{
    struct stream_effect put;
    struct root first, again;

    (void)state;
    case_owned(&c);
    want_commit();
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    first = *put.root;
    applied(&put);
    for (int i = 0; i < 20; i++) {
        case_fail(&c, &put, OBJSTORE_TRANSIENT, true);
        assert_false(case_has(&c, STREAM_DO_COMMITTED));
        next_put(&put, &again);
        assert_memory_equal(&first, &again, sizeof first);
    }
    case_answer_root(&c); /* 412: it was ours */
    assert_false(case_has(&c, STREAM_DO_COMMITTED));
    assert_false(case_effect(&c, STREAM_DO_READ_ROOT)->conditional);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_OK);
    assert_int_equal(c.s.phase, STREAM_OWNED);
    assert_string_equal(c.s.etag, "lost");
}

/* Rule 6: nothing later is committed and nothing acknowledged as remote meanwhile. */
static void nothing_is_asked_of_the_root_while_a_cas_is_undecided(void **state)
{
    struct stream_effect put, group;

    (void)state;
    case_owned(&c);
    want_commit();
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    case_seal(&c, 5, &group);
    case_step(&c, (struct stream_event){.kind = STREAM_WANT_REMOTE, .lsn = 5});
    case_put(&c, &group, OBJSTORE_OK);
    assert_false(case_has(&c, STREAM_DO_READ_ROOT));
    case_fail(&c, &put, OBJSTORE_TRANSIENT, true);
    case_run(&c, 1000000);
    assert_true(case_has(&c, STREAM_DO_PUT_ROOT));
    assert_int_equal(case_count(&c, STREAM_DO_READ_ROOT), 0);
    assert_int_equal(c.s.remote_lsn, 0);
    case_answer_root(&c);
    assert_true(case_has(&c, STREAM_DO_COMMITTED));
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_REMOTE)->lsn, 5);
}

static void a_409_is_sent_again(void **state)
{
    struct stream_effect put;
    struct root first, again;

    (void)state;
    case_owned(&c);
    want_commit();
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    first = *put.root;
    case_fail(&c, &put, OBJSTORE_CONFLICT, false);
    next_put(&put, &again);
    assert_memory_equal(&first, &again, sizeof first);
    assert_int_equal(case_count(&c, STREAM_DO_READ_ROOT), 0);
}

/* 412 and a root that is ours but not this write: it is made anew on top of what is there. */
static void someone_elses_change_of_our_root_is_kept(void **state)
{
    struct stream_effect put;

    (void)state;
    case_owned(&c);
    want_commit();
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    c.bucket.gc_mark = 3;
    c.bucket.revision++;
    (void)snprintf(c.etag, sizeof c.etag, "collected");
    case_answer_root(&c);
    case_answer_root(&c);
    assert_false(case_has(&c, STREAM_DO_COMMITTED));
    assert_memory_not_equal(case_effect(&c, STREAM_DO_PUT_ROOT)->root->nonce, put.root->nonce + 1,
                            15);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_OK);
    assert_int_equal(c.bucket.gc_mark, 3);
    assert_true(c.bucket.has_manifest);
}

/* Taken over between the write and its answer: the nonce is among those before, so it did commit.
 */
static void a_commit_before_a_takeover_is_found_in_the_ring(void **state)
{
    uint8_t nonce[16] = {0xAB};
    struct stream_effect put;

    (void)state;
    case_owned(&c);
    want_commit();
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    applied(&put);
    c.bucket.open[c.bucket.open_count++] = c.bucket.epoch++;
    (void)snprintf(c.bucket.node_id, sizeof c.bucket.node_id, "b");
    memset(c.bucket.session, 4, sizeof c.bucket.session);
    root_next(&c.bucket, nonce);
    case_fail(&c, &put, OBJSTORE_TRANSIENT, true);
    case_run(&c, 1000000);
    case_answer_root(&c);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_OK);
    assert_int_equal(c.s.phase, STREAM_FENCED);
}

static void a_commit_after_a_takeover_is_refused(void **state)
{
    (void)state;
    case_owned(&c);
    want_commit();
    c.bucket.open[c.bucket.open_count++] = c.bucket.epoch++;
    memset(c.bucket.session, 4, sizeof c.bucket.session);
    (void)snprintf(c.etag, sizeof c.etag, "taken");
    case_answer_root(&c);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_PRECONDITION);
    assert_int_equal(c.s.phase, STREAM_FENCED);
}

/* Sixteen writes are remembered: as many of ours are found, one more is not. */
static void the_ring_holds_sixteen_nonces(void **state)
{
    uint8_t first[16] = {1}, nonce[16] = {2};
    struct root r = {.revision = 1};

    (void)state;
    memcpy(r.nonce, first, 16);
    for (int i = 0; i < ROOT_NONCES_MAX; i++) {
        nonce[1] = (uint8_t)i;
        root_next(&r, nonce);
        assert_true(root_has_nonce(&r, first));
    }
    nonce[1] = 99;
    root_next(&r, nonce);
    assert_false(root_has_nonce(&r, first));
}

static void a_commit_that_is_refused_for_good_is_given_up(void **state)
{
    struct stream_effect put;
    struct root root;

    (void)state;
    case_owned(&c);
    want_commit();
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    for (int i = 0; i < 5; i++) {
        case_fail(&c, &put, OBJSTORE_PERMANENT, false);
        assert_false(case_has(&c, STREAM_DO_COMMITTED));
        next_put(&put, &root);
    }
    case_fail(&c, &put, OBJSTORE_PERMANENT, false);
    assert_int_equal(case_effect(&c, STREAM_DO_COMMITTED)->class, OBJSTORE_PERMANENT);
    assert_int_equal(c.s.phase, STREAM_OWNED);
}

/* Refused for good, but one attempt before may have been applied: it is never given up. */
static void a_commit_that_may_have_happened_is_not_given_up(void **state)
{
    struct stream_effect put;
    struct root root;

    (void)state;
    case_owned(&c);
    want_commit();
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    case_fail(&c, &put, OBJSTORE_TRANSIENT, true);
    for (int i = 0; i < 30; i++) {
        next_put(&put, &root);
        case_fail(&c, &put, OBJSTORE_PERMANENT, false);
        assert_false(case_has(&c, STREAM_DO_COMMITTED));
    }
}

static void a_root_is_lost_after_three_misses_and_taken_when_it_is_back(void **state)
{
    struct stream_effect group;
    struct root kept;

    (void)state;
    case_owned(&c);
    case_seal(&c, 5, &group);
    case_put(&c, &group, OBJSTORE_OK);
    kept = c.bucket;
    c.bucket.epoch = 0;
    for (int i = 1; i <= STREAM_ROOT_MISSES; i++) {
        case_run(&c, 1000000);
        assert_int_equal(c.s.phase, STREAM_OWNED);
        case_answer_root(&c);
    }
    assert_int_equal(c.s.phase, STREAM_ROOT_LOST);
    case_forget(&c);
    case_tick(&c, STREAM_PARKED_RETRY_MS - 1);
    assert_int_equal(c.log_count, 0);
    c.bucket = kept;
    case_tick(&c, 1);
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_TAKING);
    assert_int_equal(case_effect(&c, STREAM_DO_PUT_ROOT)->root->epoch, kept.epoch + 1);
}

static void a_lost_root_is_made_again_only_when_told_and_with_a_higher_epoch(void **state)
{
    (void)state;
    case_bucket(&c, "a");
    c.bucket.epoch = 0;
    case_open(&c, 3, 0);
    case_tick(&c, 1);
    for (int i = 1; i <= STREAM_ROOT_MISSES; i++) {
        case_answer_root(&c);
        case_run(&c, 100000);
    }
    assert_int_equal(c.s.phase, STREAM_ROOT_LOST);
    assert_int_equal(case_count(&c, STREAM_DO_PUT_ROOT), 0);
    case_step(&c, (struct stream_event){.kind = STREAM_RECREATE,
                                        .root_state = ROOT_SWITCHING,
                                        .epoch = 12,
                                        .floor_lsn = 3,
                                        .chain = case_chain(3)});
    case_answer_root(&c);
    assert_int_equal(c.s.phase, STREAM_OWNED);
    assert_int_equal(c.bucket.epoch, 12);
    assert_int_equal(c.bucket.state, ROOT_SWITCHING);
    assert_int_equal(c.bucket.floor.lsn, 3);
}

static void a_create_whose_answer_is_lost_is_found_by_its_nonce(void **state)
{
    struct stream_effect put;
    struct root root;

    (void)state;
    case_bucket(&c, "a");
    c.bucket.epoch = 0;
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_CREATE, .root_state = ROOT_LIVE});
    put = case_keep(&c, STREAM_DO_PUT_ROOT);
    assert_string_equal(put.etag, "");
    applied(&put);
    case_fail(&c, &put, OBJSTORE_TRANSIENT, true);
    next_put(&put, &root);
    case_answer_root(&c);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_CREATED)->class, OBJSTORE_OK);
    assert_int_equal(c.s.phase, STREAM_OWNED);
}

static void a_create_where_a_root_stands_is_refused(void **state)
{
    (void)state;
    case_bucket(&c, "b");
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_CREATE, .root_state = ROOT_LIVE});
    case_answer_root(&c);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_CREATED)->class, OBJSTORE_PRECONDITION);
    assert_string_equal(c.bucket.node_id, "b");
}

/* What a switch of ours that was cut short left is replaced, an epoch further; what became whole,
 * or is another's, is not. */
static void a_switch_cut_short_is_begun_again_in_its_place(void **state)
{
    static const struct {
        const char *owner;
        enum root_state there;
        bool replaced;
    } cases[] = {{"a", ROOT_SWITCHING, true},
                 {"a", ROOT_LIVE, false},
                 {"a", ROOT_DROPPED, false},
                 {"b", ROOT_SWITCHING, false}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t epoch;

        (void)fresh(state);
        case_bucket(&c, cases[i].owner);
        c.bucket.state = cases[i].there;
        epoch = c.bucket.epoch;
        case_open(&c, 3, 3);
        case_step(&c, (struct stream_event){.kind = STREAM_CREATE,
                                            .root_state = ROOT_SWITCHING,
                                            .floor_lsn = 3,
                                            .chain = case_chain(3)});
        case_answer_root(&c);
        case_answer_root(&c);
        if (cases[i].replaced)
            case_answer_root(&c);
        assert_int_equal(case_effect(&c, STREAM_DO_CREATED)->class,
                         cases[i].replaced ? OBJSTORE_OK : OBJSTORE_PRECONDITION);
        assert_int_equal(c.bucket.epoch, cases[i].replaced ? epoch + 1 : epoch);
        if (!cases[i].replaced)
            continue;
        assert_int_equal(c.s.phase, STREAM_OWNED);
        assert_int_equal(c.bucket.floor.lsn, 3);
        assert_int_equal(c.bucket.floor.epoch, epoch + 1);
    }
}

/* Whoever owns it: the catalog has decided. */
static void a_drop_marks_the_root_of_anyone(void **state)
{
    (void)state;
    case_bucket(&c, "b");
    case_open(&c, 0, 0);
    case_step(&c, (struct stream_event){.kind = STREAM_DROP, .wall_ns = 77});
    case_answer_root(&c);
    case_answer_root(&c);
    assert_int_equal(case_effect(&c, STREAM_DO_CREATED)->class, OBJSTORE_OK);
    assert_int_equal(c.bucket.state, ROOT_DROPPED);
    assert_int_equal(c.bucket.dropped_at_ns, 77);
    assert_int_equal(c.s.phase, STREAM_DROPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_lost_answer_is_sent_again_unchanged_and_then_found_by_its_nonce,
                               fresh),
        cmocka_unit_test_setup(nothing_is_asked_of_the_root_while_a_cas_is_undecided, fresh),
        cmocka_unit_test_setup(a_409_is_sent_again, fresh),
        cmocka_unit_test_setup(someone_elses_change_of_our_root_is_kept, fresh),
        cmocka_unit_test_setup(a_commit_before_a_takeover_is_found_in_the_ring, fresh),
        cmocka_unit_test_setup(a_commit_after_a_takeover_is_refused, fresh),
        cmocka_unit_test_setup(the_ring_holds_sixteen_nonces, fresh),
        cmocka_unit_test_setup(a_commit_that_is_refused_for_good_is_given_up, fresh),
        cmocka_unit_test_setup(a_commit_that_may_have_happened_is_not_given_up, fresh),
        cmocka_unit_test_setup(a_root_is_lost_after_three_misses_and_taken_when_it_is_back, fresh),
        cmocka_unit_test_setup(a_lost_root_is_made_again_only_when_told_and_with_a_higher_epoch,
                               fresh),
        cmocka_unit_test_setup(a_create_whose_answer_is_lost_is_found_by_its_nonce, fresh),
        cmocka_unit_test_setup(a_create_where_a_root_stands_is_refused, fresh),
        cmocka_unit_test_setup(a_switch_cut_short_is_begun_again_in_its_place, fresh),
        cmocka_unit_test_setup(a_drop_marks_the_root_of_anyone, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
