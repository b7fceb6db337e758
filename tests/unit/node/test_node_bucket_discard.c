/* Dead letters of a node while writes go on, over restarts, with a full LMDB: each test is named
 * after what must not happen. */
#include "tests/unit/node/nbucket.h"

#include <stdatomic.h>
#include <stdio.h>

/* The first group is refused for good; what comes behind it waits. */
static void park_first(struct nworld *w, struct collection *c, uint64_t ids)
{
    struct objstore_fault refused = objstore_fault_denied();

    refused.ops = 1u << OBJSTORE_PUT;
    refused.key_part = "/w/";
    (void)nfault(w, refused);
    nput_batch(c, 1, ids, 1);
    neventually(ninfo(c).dlq == 1);
}

struct overwriter {
    struct collection *c;
    uint64_t last;
    _Atomic bool go;
};

static void overwrite(void *arg)
{
    struct overwriter *o = arg;

    while (!atomic_load(&o->go))
        npause_ms(1);
    nput_range(o->c, 1, o->last, 2);
}

/* A client writes to the documents of a dead letter while an operator discards it: what the client
 * was told is there afterwards. Both go through the ids in the same order. */
static void discarding_takes_back_no_write_beside_it(void **state)
{
    struct overwriter o = {.last = 300};
    struct thread thread = {0};
    struct nworld w;
    struct err err = {0};

    (void)state;
    nworld_init(&w, false, 21);
    nworld_bucket(&w, "beside");
    nworld_open(&w);
    o.c = nmake(&w, "docs", NODE_LOCAL);
    for (int round = 0; round < 3; round++) {
        objstore_faults_clear(w.bucket);
        park_first(&w, o.c, o.last);
        atomic_store(&o.go, false);
        assert_int_equal(thread_start(&thread, "writer", THREAD_NORMAL, overwrite, &o, NULL),
                         ST_OK);
        atomic_store(&o.go, true);
        objstore_faults_clear(w.bucket);
        if (ndiscard_all(o.c, false, &err) != ST_OK && err.code != ST_NOT_FOUND)
            fail_msg("discard: %s", err.text);
        thread_join(&thread);
        nhas_range(o.c, 1, o.last, 2);
        neventually(nshipped(o.c));
    }
    node_collection_unpin(o.c);
    nlose_disk(&w);
    nworld_open(&w);
    o.c = npin(&w, "docs");
    nhas_range(o.c, 1, o.last, 2);
    node_collection_unpin(o.c);
    nworld_fini(&w);
}

/* What a discard logs again waits for the disk alone: the bucket is what does not take it. */
static void discarding_does_not_wait_for_the_bucket_row_by_row(void **state)
{
    struct nworld w;
    struct collection *c;
    struct err err = {0};
    uint64_t began_ns;

    (void)state;
    nworld_init(&w, false, 22);
    nworld_bucket(&w, "rowbyrow");
    w.options.remote_wait_ms = 1500;
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_REMOTE);
    park_first(&w, c, 10);
    began_ns = clock_mono_ns(clock_real());
    objstore_faults_clear(w.bucket);
    if (ndiscard_all(c, false, &err) != ST_OK && err.code != ST_NOT_FOUND)
        fail_msg("discard: %s", err.text);
    assert_true(clock_mono_ns(clock_real()) - began_ns < UINT64_C(8000000000));
    nhas_range(c, 1, 10, 1);
    neventually(nshipped(c));
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    nhas_range(c, 1, 10, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* Letters of publishing leave when it succeeds, though another process had failed. */
static void a_letter_of_publishing_leaves_after_a_restart(void **state)
{
    struct objstore_fault refused = objstore_fault_denied();
    struct nworld w;
    struct collection *c;

    (void)state;
    nworld_init(&w, false, 38);
    nworld_bucket(&w, "letters");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    for (uint32_t version = 1; version <= 4; version++)
        nput_range(c, 1, 100, version);
    neventually(nconfirmed(c));
    refused.ops = 1u << OBJSTORE_PUT;
    refused.key_part = "/g/";
    (void)nfault(&w, refused);
    assert_int_not_equal(ncompact(c, NULL, NULL), ST_OK);
    assert_int_equal(ninfo(c).dlq, 1);
    node_collection_unpin(c);
    nworld_close(&w);
    objstore_faults_clear(w.bucket);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ninfo(c).dlq, 1);
    assert_int_equal(ncompact(c, NULL, NULL), ST_OK);
    assert_int_equal(ninfo(c).dlq, 0);
    node_collection_unpin(c);
    nworld_fini(&w);
}

/* What cannot be remembered is tried again; whoever waits for LMDB behind it is told. */
static void a_full_lmdb_lets_nobody_wait_for_ever(void **state)
{
    struct nworld w;
    uint8_t key[16] = "x/";
    uint8_t *value = mem_zero(1 << 20);
    struct kv_write write = {.key = slice_make(key, sizeof key),
                             .value = slice_make(value, 1 << 20)};
    struct err err = {0};

    (void)state;
    assert_non_null(value);
    nworld_init(&w, false, 39);
    nworld_open(&w);
    for (uint8_t i = 0; i < 20; i++) {
        key[3] = i;
        kv_writer_put(w.node->kv_writer, &write, 1);
    }
    assert_int_not_equal(ncreate(&w, "docs", NDIM, VMETRIC_L2, 64, &err), ST_OK);
    assert_true(err.text[0] != '\0');
    mem_free(value);
    nworld_fini(&w);
}

/* The file of a divergent tail is gone or damaged: an operator can get rid of its letter. */
static void a_letter_without_its_file_can_be_discarded(void **state)
{
    struct nworld w;
    struct collection *c;
    struct letter letter = {.kind = LETTER_DIVERGENT_TAIL,
                            .state = LETTER_PARKED,
                            .epoch = 1,
                            .seq = 1,
                            .lsn_first = 5,
                            .lsn_last = 6,
                            .class = "divergent"};
    struct err err = {0};
    uint64_t id;

    (void)state;
    nworld_init(&w, false, 44);
    nworld_bucket(&w, "nofile");
    nworld_open(&w);
    c = nmake(&w, "docs", NODE_LOCAL);
    nput_range(c, 1, 10, 1);
    memcpy(letter.collection, c->id, sizeof letter.collection);
    (void)snprintf(letter.file, sizeof letter.file, "letters/%s/1-5.group", c->id_text);
    assert_int_equal(dlq_put(w.node->dlq, &letter, &id, NULL), ST_OK);
    assert_int_equal(ninfo(c).dlq, 1);
    if (ndiscard_all(c, false, &err) != ST_OK)
        fail_msg("discard: %s", err.text);
    assert_int_equal(ninfo(c).dlq, 0);
    nhas_range(c, 1, 10, 1);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(discarding_takes_back_no_write_beside_it),
        cmocka_unit_test(discarding_does_not_wait_for_the_bucket_row_by_row),
        cmocka_unit_test(a_letter_of_publishing_leaves_after_a_restart),
        cmocka_unit_test(a_full_lmdb_lets_nobody_wait_for_ever),
        cmocka_unit_test(a_letter_without_its_file_can_be_discarded),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test by name */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
