/* How durable a write is, as the request asks: stronger than its collection or weaker, of upserts,
 * deletes and changes; and that changes come back from the bucket alone. */
#include "tests/unit/node/nbucket.h"
#include "tests/unit/node/nchange.h"

#include <stdio.h>
#include <stdlib.h>

static struct nworld w;
static struct collection *c;

static void open_world(enum node_durability durability, const char *bucket)
{
    nchange_init();
    nworld_init(&w, false, 21);
    nworld_bucket(&w, bucket);
    nworld_open(&w);
    c = nmake(&w, "docs", durability);
}

static void close_world(void)
{
    node_collection_unpin(c);
    nworld_fini(&w);
    nchange_free();
}

enum { WRITES = 4 };

/* The n-th kind of write, which finds something to do. */
static struct write_result one_write(int n, const struct write_options *options)
{
    const struct docid ids[] = {docid_u64(1), docid_u64(2)};
    const struct selector one = {.ids = ids, .count = 1};
    const struct selector two = {.ids = ids + 1, .count = 1};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"m\":1}")};
    struct write_options conditional = *options;
    float vector[NDIM];
    struct write_row row = {.id = ids[1], .vector = vector};
    struct write_result result = {0};

    conditional.mode = WRITE_INSERT_ONLY;
    nvector(1, 1, NDIM, vector);
    switch (n) {
    case 0:
        assert_int_equal(nwrite_with(c, &row, 1, options, &result, NULL), ST_OK);
        break;
    case 1:
        assert_int_equal(nchange(c, &one, &change, options, &result, NULL), ST_OK);
        break;
    case 2:
        assert_int_equal(ndelete_with(c, &two, options, &result, NULL), ST_OK);
        break;
    default:
        assert_int_equal(nwrite_with(c, &row, 1, &conditional, &result, NULL), ST_OK);
        assert_int_equal(ndel(c, 2, NULL), ST_OK);
    }
    assert_int_equal(result.count, 1);
    return result;
}

static void a_request_may_ask_for_more_than_its_collection(void **state)
{
    const struct write_options remote = {.durability = NODE_REMOTE};
    const struct write_options none = {0};

    (void)state;
    open_world(NODE_LOCAL, "more");
    assert_int_equal(nput_json(c, 1, "{}", NULL), ST_OK);
    for (int n = 0; n < WRITES; n++) {
        struct write_result result = one_write(n, &remote);

        assert_string_equal(result.durability, "remote");
        assert_false(result.short_of_remote);
        assert_true(ninfo(c).remote_lsn >= result.lsn);
        assert_string_equal(one_write(1, &none).durability, "local");
    }
    close_world();
}

static void a_request_may_ask_for_less_than_its_collection(void **state)
{
    const struct write_options local = {.durability = NODE_LOCAL};
    const struct write_options none = {0};

    (void)state;
    open_world(NODE_REMOTE, "less");
    assert_int_equal(nput_json(c, 1, "{}", NULL), ST_OK);
    assert_string_equal(one_write(1, &none).durability, "remote");
    (void)nfault(&w, objstore_fault_outage());
    for (int n = 0; n < 3; n++) {
        struct write_result result = one_write(n, &local);

        assert_string_equal(result.durability, "local");
        assert_false(result.short_of_remote);
    }
    objstore_faults_clear(w.bucket);
    close_world();
}

static void who_waits_only_so_long_is_told_local(void **state)
{
    const struct write_options remote = {.durability = NODE_REMOTE, .wait_ms = 60};

    (void)state;
    open_world(NODE_LOCAL, "so-long");
    assert_int_equal(nput_json(c, 1, "{}", NULL), ST_OK);
    neventually(nshipped(c));
    (void)nfault(&w, objstore_fault_outage());
    for (int n = 0; n < 3; n++) {
        struct write_result result = one_write(n, &remote);

        assert_string_equal(result.durability, "local");
        assert_true(result.short_of_remote);
    }
    objstore_faults_clear(w.bucket);
    close_world();
}

static void changes_come_back_from_the_bucket_alone(void **state)
{
    const struct write_options remote = {.durability = NODE_REMOTE};
    const struct selector all = {.filter = nfilter_not(nfilter("k", "zz"))};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"all\":true}")};

    (void)state;
    for (uint64_t id = 1; id <= 50; id++)
        assert_int_equal(nput_json(c, id, "{\"k\":1}", NULL), ST_OK);
    assert_int_equal(nmerge(c, 7, "{\"m\":18446744073709551615}", NULL, NULL), ST_OK);
    assert_int_equal(nchange(c, &all, &change, &remote, NULL, NULL), ST_OK);
    node_collection_unpin(c);
    nlose_disk(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ncount(c), 50);
    assert_string_equal(njson_of(c, 7, NULL), "{\"k\":1,\"m\":18446744073709551615,\"all\":true}");
    assert_string_equal(njson_of(c, 50, NULL), "{\"k\":1,\"all\":true}");
}

static int set_up_alone(void **state)
{
    (void)state;
    open_world(NODE_LOCAL, "alone-again");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_world();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_may_ask_for_more_than_its_collection),
        cmocka_unit_test(a_request_may_ask_for_less_than_its_collection),
        cmocka_unit_test(who_waits_only_so_long_is_told_local),
        cmocka_unit_test_setup_teardown(changes_come_back_from_the_bucket_alone, set_up_alone,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
