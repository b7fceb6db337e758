/* Reading a bucket back when it is damaged or the store fails: what is wrong is found and named,
 * what fails for a while is waited for, and nothing rests on an image. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "segment/objkey.h"
#include "tests/unit/snapshot/bucket_world.h"
#include "tests/unit/snapshot/counting_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20261126;

/* Whether a restore reads it. */
static bool counts(const struct bucket *b, const char *key)
{
    struct objkey k = objkey_parse(key);

    if (k.kind != OBJKEY_IS_GROUP)
        return k.kind != OBJKEY_IS_MANIFEST ||
               memcmp(k.uuid, b->root.manifest.uuid, sizeof k.uuid) == 0;
    return k.epoch > b->root.floor.epoch ||
           (k.epoch == b->root.floor.epoch && k.seq >= b->root.floor.seq);
}

/* In each byte of each object one bit, another one in the next. */
static void every_flipped_bit_is_found_and_its_object_named(void **state)
{
    struct bucket b;
    unsigned flipped = 0;
    char *key;

    (void)state;
    bucket_open_full(&b, seed);
    b.store = b.direct; /* faster */
    for (size_t n = 0; (key = bucket_key(&b, n)) != NULL; n++) {
        struct buf body = bucket_get(&b, key);

        for (size_t at = 0; counts(&b, key) && at < body.bytes; at++) {
            uint8_t bit = (uint8_t)(1u << (at * 3 + n + seed) % 8);
            struct err err = {0};
            status st;

            body.data[at] ^= bit;
            bucket_put(&b, key, buf_slice(&body));
            st = bucket_try_read(&b, &err);
            if (st != ST_CORRUPT && st != ST_UNSUPPORTED)
                fail_msg("%s byte %zu bit %u: %s %s", key, at, bit, status_name(st), err.text);
            if (strstr(err.text, key) == NULL)
                fail_msg("%s byte %zu is not named: %s", key, at, err.text);
            body.data[at] ^= bit;
            flipped++;
        }
        bucket_put(&b, key, buf_slice(&body));
        buf_free(&body);
        free(key);
    }
    assert_true(flipped > 3000);
    bucket_close(&b);
}

static void a_missing_object_is_corruption_that_names_it(void **state)
{
    unsigned missed = 0;
    struct bucket b;
    char *key;

    (void)state;
    bucket_open_full(&b, seed);
    for (size_t n = 0; (key = bucket_key(&b, n)) != NULL; n++) {
        struct objkey k = objkey_parse(key);
        struct buf body = bucket_get(&b, key);
        struct err err = {0};
        status st;

        bucket_delete(&b, key);
        st = bucket_try_restore(&b, &err);
        if (k.kind == OBJKEY_IS_ROOT) {
            assert_int_equal(st, ST_NOT_FOUND);
        } else if (k.kind == OBJKEY_IS_GROUP && k.epoch >= b.root.open[0]) {
            /* What no root records: a shorter run, or groups that do not go on. */
            assert_true(st == ST_OK || st == ST_CORRUPT);
        } else if (counts(&b, key)) {
            if (st != ST_CORRUPT || strstr(err.text, key) == NULL)
                fail_msg("%s: %s %s", key, status_name(st), err.text);
            missed++;
        } else {
            bucket_ok(st, &err, &b);
        }
        bucket_put(&b, key, buf_slice(&body));
        buf_free(&body);
        free(key);
    }
    assert_true(missed > 5);
    bucket_close(&b);
}

/* 404 once is no proof; bytes that are wrong once are read again; a cut answer too. */
static void what_is_wrong_once_is_asked_again(void **state)
{
    const struct objstore_fault faults[] = {
        {.kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_NOT_FOUND, .key_part = "/g/"},
        {.kind = OBJSTORE_FAULT_REFUSE,
         .class = OBJSTORE_NOT_FOUND,
         .key_part = "/w/",
         .ops = 1u << OBJSTORE_GET},
        {.kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_NOT_FOUND, .key_part = "/m/"},
        {.kind = OBJSTORE_FAULT_CORRUPT, .key_part = "/g/"},
        {.kind = OBJSTORE_FAULT_CORRUPT, .key_part = "/w/"},
        {.kind = OBJSTORE_FAULT_CORRUPT, .key_part = "/m/"},
        {.kind = OBJSTORE_FAULT_CORRUPT, .key_part = "/root"},
        {.kind = OBJSTORE_FAULT_TRUNCATE, .key_part = "/w/"},
        {.kind = OBJSTORE_FAULT_TRUNCATE, .key_part = "/g/"},
        {.kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_TRANSIENT, .times = 3},
        {.kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_TRANSIENT, .ops = 1u << OBJSTORE_LIST},
        {.kind = OBJSTORE_FAULT_REFUSE,
         .class = OBJSTORE_INTEGRITY,
         .key_part = "/w/",
         .ops = 1u << OBJSTORE_GET},
    };
    struct bucket b;

    (void)state;
    bucket_open_full(&b, seed);
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct objstore_fault fault = faults[i];
        struct restore_into_report report;
        unsigned id;

        for (fault.nth = 1; fault.nth < 6; fault.nth += 2) {
            assert_int_equal(objstore_faults_add(b.faults, &fault, &id, NULL), ST_OK);
            bucket_restore_and_check(&b, &report);
            assert_true(objstore_faults_met(b.faults, id) > 0 || fault.nth > 1);
            objstore_faults_clear(b.faults);
        }
    }
    bucket_close(&b);
}

/* One request in three fails, whichever it is. */
static void a_store_in_trouble_is_waited_for(void **state)
{
    struct bucket b;

    (void)state;
    bucket_open_full(&b, seed);
    for (uint32_t n = 1; n < 60; n += 3) {
        const struct objstore_fault fault = {
            .kind = OBJSTORE_FAULT_REFUSE, .class = OBJSTORE_TRANSIENT, .nth = n};

        assert_int_equal(objstore_faults_add(b.faults, &fault, NULL, NULL), ST_OK);
    }
    {
        struct restore_into_report report;

        bucket_restore_and_check(&b, &report);
    }
    bucket_close(&b);
}

static void an_outage_ends_it_in_time_and_a_stop_at_once(void **state)
{
    const struct objstore_fault outage = objstore_fault_outage();
    const struct objstore_fault denied = objstore_fault_denied();
    struct restore_options options;
    struct restore_report report;
    struct restore_plan plan;
    _Atomic bool stop = false;
    struct err err = {0};
    struct bucket b;

    (void)state;
    bucket_open_full(&b, seed);
    bucket_restore_options(&b, &options);
    options.give_up_ms = 100;
    bucket_ok(restore_plan_read(&options, &plan, &err), &err, &b);
    assert_int_equal(objstore_faults_add(b.faults, &outage, NULL, NULL), ST_OK);
    assert_int_equal(restore_run(&options, &plan, &(struct restore_sink){0}, &report, &err),
                     ST_UNAVAILABLE);
    assert_int_equal(bucket_try_read(&b, &err), ST_UNAVAILABLE);
    objstore_faults_clear(b.faults);
    assert_int_equal(objstore_faults_add(b.faults, &denied, NULL, NULL), ST_OK);
    assert_int_equal(restore_run(&options, &plan, &(struct restore_sink){0}, &report, &err),
                     ST_DENIED);
    assert_non_null(strstr(err.text, "c/"));
    objstore_faults_clear(b.faults);
    options.stop = &stop;
    stop = true;
    assert_int_equal(restore_run(&options, &plan, &(struct restore_sink){0}, &report, &err),
                     ST_CLOSED);
    restore_plan_free(&plan);
    bucket_close(&b);
}

/* A request that never comes back, and somebody who wants to leave. */
static void a_request_that_hangs_holds_up_no_stop(void **state)
{
    (void)state;
    for (uint32_t n = 1; n < 12; n++) {
        const struct objstore_fault held = {.kind = OBJSTORE_FAULT_DELAY,
                                            .nth = n,
                                            .delay_ms = OBJSTORE_FAULT_HOLD,
                                            .times = OBJSTORE_FAULT_FOR_EVER};
        struct restore_options options;
        struct counting_store counting;
        struct restore_report report;
        struct restore_plan plan;
        struct err err = {0};
        struct bucket b;
        status st;

        bucket_open_full(&b, seed);
        counting_store_init(&counting, b.faults);
        counting.stop = &b.stop;
        counting.stop_at = n;
        b.store = &counting.store;
        bucket_restore_options(&b, &options);
        options.stop = &b.stop;
        assert_int_equal(objstore_faults_add(b.faults, &held, NULL, NULL), ST_OK);
        st = restore_plan_read(&options, &plan, &err);
        if (st == ST_OK) {
            st = restore_run(&options, &plan, &(struct restore_sink){0}, &report, &err);
            restore_plan_free(&plan);
        }
        assert_int_equal(st, ST_CLOSED);
        bucket_close(&b);
    }
}

/* The store's own thread meets failures too: it answers that it has trouble, and is asked again. */
static void each_allocation_may_fail(void **state)
{
    bool failed = true;
    struct bucket b;
    int64_t n;

    (void)state;
    bucket_open_full(&b, seed);
    b.store = b.direct;
    for (n = 0; failed; n++) {
        struct restore_into_report report;
        struct err err = {0};
        struct world to;
        status st;

        world_open(&to, seed);
        mem_test_fail_after(n);
        st = bucket_restore_into(&b, &to, &report, &err);
        failed = mem_test_count() > n;
        mem_test_fail_after(-1);
        if (st == ST_OK) {
            world_expected_at(&b.w, b.shipped_lsn, to.expected);
            world_check(&to);
        } else if (st != ST_NOMEM || !failed) {
            fail_msg("allocation %lld: %s", (long long)n, err.text);
        }
        world_close(&to);
    }
    assert_true(n > 100);
    bucket_close(&b);
}

struct lies { /* makes up image parts that are whole and say nonsense */
    struct bucket *b;
    struct rand_source *rand;
};

static uint64_t some(struct lies *l, uint64_t bound)
{
    return rand_below(l->rand, bound);
}

static void lie_about_slots(struct lies *l, struct image_writer *w, uint32_t slots_end)
{
    for (uint32_t slot = 0; slot < slots_end; slot++) {
        const struct world_op *op = &l->b->w.log[some(l, l->b->w.log_count)];
        struct docid id = docid_u64(op->ids[0]);
        const struct image_slot entry = {.slot = slot,
                                         .dead = some(l, 3) == 0,
                                         .lsn = op->lsn, /* of a row that is or was, mostly */
                                         .id_hash = some(l, 4) > 0 ? (uint32_t)docid_hash(&id)
                                                                   : (uint32_t)some(l, 1u << 31)};

        if (some(l, 5) > 0)
            assert_int_equal(image_add_slot(w, &entry, NULL), ST_OK);
    }
}

static void lie_about_nodes(struct lies *l, struct image_writer *w, uint32_t slots_end)
{
    for (uint32_t slot = 0; slot < slots_end; slot++) {
        uint32_t links[8];
        struct image_node node = {.slot = slot, .level = (uint8_t)(some(l, 8) == 0)};

        for (unsigned i = 0; i < COUNT_OF(links); i++)
            links[i] = (slot + 1 + i * 3) % slots_end; /* none twice, not itself */
        node.counts[0] = (uint16_t)(slots_end > 24 ? some(l, 8) : 0);
        node.links[0] = links;
        node.counts[1] = 0;
        node.links[1] = links;
        if (some(l, 5) > 0)
            assert_int_equal(image_add_node(w, &node, NULL), ST_OK);
    }
}

/* An image decides where rows lie and who is whose neighbour, and nothing else: whatever it says,
 * the rows are right. */
static void an_image_that_lies_changes_no_row(void **state)
{
    unsigned placed = 0;

    (void)state;
    for (uint64_t n = 0; n < 60; n++) {
        struct restore_into_report report;
        struct publish_report published;
        struct image_writer *w;
        struct image_head head;
        struct manifest_image *named;
        struct lies lies;
        struct slice bytes;
        struct err err = {0};
        struct buf manifest;
        struct bucket b;
        uint32_t slots_end;
        char key[OBJKEY_BYTES];

        bucket_open(&b, seed + n);
        b.object_bytes = 100000;
        world_ops(&b.w, 150);
        b.w.ops_per_step = 0;
        bucket_checkpoint(&b);
        bucket_ship(&b, b.w.lsn / 2);
        bucket_ok(bucket_publish(&b, n % 2 == 0 ? PUBLISH_IMAGE : PUBLISH_IMAGE | PUBLISH_BASE,
                                 &published, &err),
                  &err, &b);
        assert_int_equal(b.manifest.image_count, 1);
        lies = (struct lies){.b = &b, .rand = &b.w.rand.source};
        slots_end = 1 + (uint32_t)some(&lies, 300);
        head = (struct image_head){.start_lsn = 1 + some(&lies, b.w.lsn), .slots_end = slots_end};
        memcpy(head.collection, b.w.state.collection_id, 16);
        assert_int_equal(image_create(&head, &w, NULL), ST_OK);
        lie_about_slots(&lies, w, slots_end);
        lie_about_nodes(&lies, w, slots_end);
        assert_int_equal(image_finish(w, slots_end, &head, &bytes, NULL), ST_OK);
        named = &b.manifest.images[0];
        named->object.bytes = bytes.bytes;
        named->object.crc = crc32c(0, bytes.data, bytes.bytes);
        named->start_lsn = head.start_lsn;
        named->slot_end = named->slots_end = slots_end;
        named->nodes = head.nodes;
        objkey_data(b.w.state.collection_id, named->object.uuid, key);
        bucket_put(&b, key, bytes);
        image_writer_destroy(w);

        buf_init(&manifest, MANIFEST_BYTES_MAX);
        bucket_ok(manifest_encode(&b.manifest, &manifest, &err), &err, &b);
        b.root.manifest.bytes = manifest.bytes;
        b.root.manifest.crc = crc32c(0, manifest.data, manifest.bytes);
        objkey_manifest(b.w.state.collection_id, b.manifest.revision, b.root.manifest.uuid, key);
        bucket_put(&b, key, buf_slice(&manifest));
        bucket_root_put(&b);
        buf_free(&manifest);
        bucket_restore_and_check(&b, &report);
        placed += report.placed > 0;
        bucket_close(&b);
    }
    assert_true(placed > 20);
}

/* What a node does with a bucket whose image is damaged. */
static void without_its_image_a_damaged_bucket_is_read(void **state)
{
    struct restore_into_report report;
    struct restore_options options;
    struct restore_plan plan;
    struct err err = {0};
    struct bucket b;
    struct world to;
    char key[OBJKEY_BYTES];

    (void)state;
    bucket_open_full(&b, seed);
    objkey_data(b.w.state.collection_id, b.manifest.images[0].object.uuid, key);
    bucket_delete(&b, key);
    assert_int_equal(bucket_try_restore(&b, &err), ST_CORRUPT);
    bucket_restore_options(&b, &options);
    options.without_image = true;
    world_open(&to, seed);
    bucket_ok(restore_plan_read(&options, &plan, &err), &err, &b);
    bucket_ok(restore_into(
                  &options, &plan,
                  &(struct restore_rows){
                      .slots = to.slots, .fields = &to.field, .field_count = 1, .epoch = to.epoch},
                  &report, &err),
              &err, &b);
    assert_false(report.bucket.used_image);
    world_expected_at(&b.w, b.shipped_lsn, to.expected);
    world_check(&to);
    restore_plan_free(&plan);
    world_close(&to);
    bucket_close(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_is_found_and_its_object_named),
        cmocka_unit_test(a_missing_object_is_corruption_that_names_it),
        cmocka_unit_test(what_is_wrong_once_is_asked_again),
        cmocka_unit_test(a_store_in_trouble_is_waited_for),
        cmocka_unit_test(an_outage_ends_it_in_time_and_a_stop_at_once),
        cmocka_unit_test(a_request_that_hangs_holds_up_no_stop),
        cmocka_unit_test(an_image_that_lies_changes_no_row),
        cmocka_unit_test(without_its_image_a_damaged_bucket_is_read),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
