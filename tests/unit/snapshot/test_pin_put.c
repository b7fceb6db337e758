/* Pins that hold, and pins that a collector has passed. */
#include "objstore/faults.h"
#include "objstore/memory.h"
#include "segment/objkey.h"
#include "snapshot/pin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t ID[16] = {1, 2, 3};

static struct world {
    struct objstore *faults;
    struct rand_seeded rand;
    struct ask ask;
    struct root root;
    struct pin pin;
    char key[OBJKEY_BYTES];
} w;

static void put_root(void)
{
    char key[OBJKEY_BYTES];
    struct buf bytes;
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = key};

    objkey_root(ID, key);
    buf_init(&bytes, ROOT_BYTES_MAX);
    assert_int_equal(root_encode(&w.root, &bytes, NULL), ST_OK);
    req.body = buf_slice(&bytes);
    assert_int_equal(objstore_wait(w.faults, &req, NULL), ST_OK);
    objstore_result_fini(&req.result);
    buf_free(&bytes);
}

static int setup(void **state)
{
    static unsigned count;
    struct objstore *memory;
    char name[32];

    (void)state;
    memset(&w, 0, sizeof w);
    (void)snprintf(name, sizeof name, "pin-%u", count++);
    assert_int_equal(objstore_memory_open(name, NULL, &memory, NULL), ST_OK);
    assert_int_equal(objstore_faults_open(memory, 1, &w.faults, NULL), ST_OK);
    rand_seeded_init(&w.rand, 5);
    w.ask = (struct ask){.store = w.faults,
                         .clock = clock_real(),
                         .rand = &w.rand.source,
                         .policy = objstore_retry_background(1, 1, 2),
                         .give_up_ms = 2000};
    memcpy(w.root.collection, ID, sizeof ID);
    (void)snprintf(w.root.node_id, sizeof w.root.node_id, "a");
    w.root.state = ROOT_LIVE;
    w.root.revision = 9;
    w.root.epoch = 1;
    w.root.nonce[0] = 1;
    w.root.session[0] = 1;
    w.root.has_manifest = true;
    w.root.manifest_revision = 7;
    w.root.manifest = (struct object_ref){.uuid = {4}, .bytes = 5, .crc = 6};
    put_root();
    memcpy(w.pin.collection, ID, sizeof ID);
    w.pin.id[0] = 8;
    w.pin.root_revision = 9;
    w.pin.manifest_revision = 7;
    w.pin.manifest = w.root.manifest;
    objkey_pin(ID, w.pin.id, w.key);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    objstore_close(w.faults);
    return 0;
}

static bool there(void)
{
    struct objstore_req req = {.op = OBJSTORE_GET, .key = w.key};
    status st = objstore_wait(w.faults, &req, NULL);
    struct pin got;
    bool same = false;

    if (st == ST_OK)
        same = pin_decode(buf_slice(&req.result.body), &got, NULL) == ST_OK &&
               got.manifest_revision == w.pin.manifest_revision;
    objstore_result_fini(&req.result);
    return same;
}

static void the_state_of_now_is_pinned(void **state)
{
    (void)state;
    w.root.gc_mark = 7;
    put_root();
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_OK);
    assert_true(there());
}

/* The collector marked between the reading of the root and the pin. */
static void what_the_mark_has_passed_is_not_pinned(void **state)
{
    struct err err = {0};

    (void)state;
    w.pin.manifest_revision = 5;
    w.root.gc_mark = 7;
    put_root();
    assert_int_equal(pin_put(&w.ask, &w.pin, &err), ST_CONFLICT);
    assert_non_null(strstr(err.text, "mark is 7"));
    assert_false(there());
}

static void a_log_without_manifest_is_pinned_before_any_mark(void **state)
{
    (void)state;
    w.pin.manifest_revision = 0;
    w.pin.manifest = (struct object_ref){.bytes = 0};
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_OK);
    w.root.gc_mark = 1;
    put_root();
    w.pin.id[0] = 9;
    objkey_pin(ID, w.pin.id, w.key);
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_CONFLICT);
    assert_false(there());
}

static void what_is_dropped_is_not_pinned(void **state)
{
    (void)state;
    w.root.state = ROOT_DROPPED;
    w.root.dropped_at_ns = 1;
    put_root();
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_CONFLICT);
    assert_false(there());
}

/* The pin's maker had been replaced and did not know: what it had stored since is not the
 * collection's, and a collector may delete it whatever is pinned. */
static void groups_that_do_not_count_are_not_pinned(void **state)
{
    struct err err = {0};

    (void)state;
    w.pin.epoch = 1;
    w.pin.seq = 4;
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_OK);
    w.root.epoch = 2;
    w.root.open[w.root.open_count++] = 1; /* where it ends nobody knows yet */
    put_root();
    assert_int_equal(pin_put(&w.ask, &w.pin, &err), ST_CONFLICT);
    assert_non_null(strstr(err.text, "group 4 of epoch 1"));
    w.root.open_count = 0;
    w.root.lineages[w.root.lineage_count++] =
        (struct lineage){.epoch = 1, .end_seq = 3, .last_lsn = 30};
    put_root();
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_CONFLICT);
    assert_false(there());
    w.root.lineages[0].end_seq = 4;
    put_root();
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_OK);
}

static void a_lost_answer_is_asked_for_again(void **state)
{
    struct objstore_fault lose = {.kind = OBJSTORE_FAULT_LOSE, .ops = 1u << OBJSTORE_PUT};
    struct objstore_fault refuse = {.kind = OBJSTORE_FAULT_REFUSE, .ops = 1u << OBJSTORE_GET};

    (void)state;
    assert_int_equal(objstore_faults_add(w.faults, &lose, NULL, NULL), ST_OK);
    assert_int_equal(objstore_faults_add(w.faults, &refuse, NULL, NULL), ST_OK);
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_OK);
    assert_true(there());
}

/* The root cannot be read: nobody says that the pin holds. */
static void without_the_root_no_pin_is_promised(void **state)
{
    struct objstore_fault denied = {.kind = OBJSTORE_FAULT_REFUSE,
                                    .ops = 1u << OBJSTORE_GET,
                                    .times = OBJSTORE_FAULT_FOR_EVER,
                                    .class = OBJSTORE_PERMANENT};

    (void)state;
    assert_int_equal(objstore_faults_add(w.faults, &denied, NULL, NULL), ST_OK);
    assert_int_equal(pin_put(&w.ask, &w.pin, NULL), ST_DENIED);
}

#define TRIAL(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRIAL(the_state_of_now_is_pinned),
        TRIAL(what_the_mark_has_passed_is_not_pinned),
        TRIAL(a_log_without_manifest_is_pinned_before_any_mark),
        TRIAL(what_is_dropped_is_not_pinned),
        TRIAL(groups_that_do_not_count_are_not_pinned),
        TRIAL(a_lost_answer_is_asked_for_again),
        TRIAL(without_the_root_no_pin_is_promised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
