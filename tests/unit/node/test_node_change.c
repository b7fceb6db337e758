/* Conditional and partial writes: what they change, what they leave, who comes first, and that all
 * of it is there after the power was cut. */
#include "tests/unit/node/nchange.h"

#include <stdio.h>
#include <stdlib.h>

enum { DIM = 8 };

static struct nworld w;
static struct collection *c;

static int set_up(void **state)
{
    (void)state;
    nchange_init();
    nworld_init(&w, true, 611);
    nworld_open(&w);
    assert_int_equal(ncreate(&w, "docs", DIM, VMETRIC_COSINE, 64, NULL), ST_OK);
    c = npin(&w, "docs");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_collection_unpin(c);
    nworld_fini(&w);
    nchange_free();
    return 0;
}

static void cut_the_power(void)
{
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
}

static const struct write_options NO_OPTIONS;

/* Document `id` with external id and vector of its own. */
static void put_whole(uint64_t id, const char *json)
{
    float vector[DIM];
    struct write_row row = {.id = docid_u64(id),
                            .external_id = slice_text("outside"),
                            .payload = njson(json),
                            .vector = vector};

    nvector(id, 7, DIM, vector);
    assert_int_equal(nwrite(c, &row, 1, NULL, NULL), ST_OK);
}

static void get_vector(uint64_t id, float out[DIM])
{
    const struct docid key = docid_u64(id);
    struct document d;
    struct arena a;

    arena_init(&a, 1 << 20);
    assert_int_equal(node_get(c, &key, &a, &d, NULL), ST_OK);
    memcpy(out, d.vector, DIM * sizeof *out);
    assert_true(slice_equal(d.external_id, slice_text("outside")));
    arena_free(&a);
}

static void change_all(enum change_kind kind, const char *payload, const char *path)
{
    const struct docid ids[] = {docid_u64(1), docid_u64(2), docid_u64(1)};
    const struct selector both = {.ids = ids, .count = 3};
    const struct path *at = path != NULL ? npath(path) : NULL;
    const struct change change = {
        .kind = kind,
        .payload = payload != NULL ? njson(payload) : (struct slice){0},
        .at = kind == CHANGE_MERGE_PAYLOAD ? at : NULL,
        .keys = &at,
        .key_count = path != NULL,
    };
    struct write_result result;
    uint64_t first, second;

    assert_int_equal(nchange(c, &both, &change, NULL, &result, NULL), ST_OK);
    assert_int_equal(result.count, 2);
    assert_string_equal(result.durability, "local");
    (void)njson_of(c, 1, &first);
    (void)njson_of(c, 2, &second);
    assert_int_equal(first, result.lsn); /* one record */
    assert_int_equal(second, result.lsn);
}

static void a_change_of_the_payload_keeps_everything_else(void **state)
{
    float before[DIM], after[DIM];

    (void)state;
    put_whole(1, "{\"a\":1,\"b\":{\"x\":1}}");
    put_whole(2, "{\"a\":2}");
    get_vector(1, before);
    change_all(CHANGE_MERGE_PAYLOAD, "{\"a\":9007199254740993,\"c\":[1.0]}", NULL);
    assert_string_equal(njson_of(c, 1, NULL),
                        "{\"a\":9007199254740993,\"b\":{\"x\":1},\"c\":[1.0]}");
    assert_string_equal(njson_of(c, 2, NULL), "{\"a\":9007199254740993,\"c\":[1.0]}");
    change_all(CHANGE_MERGE_PAYLOAD, "{\"y\":2}", "b");
    assert_string_equal(njson_of(c, 1, NULL),
                        "{\"a\":9007199254740993,\"b\":{\"x\":1,\"y\":2},\"c\":[1.0]}");
    assert_string_equal(njson_of(c, 2, NULL),
                        "{\"a\":9007199254740993,\"c\":[1.0],\"b\":{\"y\":2}}");
    change_all(CHANGE_DELETE_KEYS, NULL, "b.y");
    assert_string_equal(njson_of(c, 1, NULL),
                        "{\"a\":9007199254740993,\"b\":{\"x\":1},\"c\":[1.0]}");
    change_all(CHANGE_REPLACE_PAYLOAD, "{\"only\":true}", NULL);
    assert_string_equal(njson_of(c, 2, NULL), "{\"only\":true}");
    change_all(CHANGE_CLEAR_PAYLOAD, NULL, NULL);
    assert_string_equal(njson_of(c, 1, NULL), "{}");
    change_all(CHANGE_MERGE_PAYLOAD, "{\"last\":1}", "x.y");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(njson_of(c, 1, NULL), "{\"x\":{\"y\":{\"last\":1}}}");
        get_vector(1, after);
        assert_memory_equal(before, after, sizeof after); /* not normalised once more */
        assert_int_equal(ncount(c), 2);
        ninvariants(c);
        cut_the_power();
    }
}

static void a_change_of_vectors_keeps_the_payload(void **state)
{
    float before[DIM], after[DIM], first[DIM], second[DIM], other[DIM];
    struct write_row rows[] = {{.id = docid_u64(1), .vector = first},
                               {.id = docid_u64(2), .vector = other},
                               {.id = docid_u64(1), .vector = second}};
    const struct change change = {.kind = CHANGE_VECTORS, .rows = rows, .row_count = 3};
    const struct selector none = {0};
    struct write_result result;

    (void)state;
    put_whole(1, "{\"a\":1}");
    put_whole(2, "{\"a\":2}");
    get_vector(1, before);
    nvector(1, 100, DIM, first);
    nvector(1, 101, DIM, second);
    nvector(2, 102, DIM, other);
    assert_int_equal(nchange(c, &none, &change, NULL, &result, NULL), ST_OK);
    assert_int_equal(result.count, 2);
    nvector(1, 101, DIM, before); /* of rows with one id the last */
    (void)vindex_normalise(before, DIM);
    get_vector(1, after);
    assert_memory_equal(before, after, sizeof after);
    assert_string_equal(njson_of(c, 1, NULL), "{\"a\":1}");
    cut_the_power();
    get_vector(1, after);
    assert_memory_equal(before, after, sizeof after);
    assert_string_equal(njson_of(c, 2, NULL), "{\"a\":2}");
}

/* --- several vectors --- */

enum { FIELDS = 3 };
static const struct field_info FIELD[FIELDS] = {
    {.name = "", .dimension = 4, .metric = VMETRIC_COSINE},
    {.name = "second", .dimension = 3, .metric = VMETRIC_L2},
    {.name = "third", .dimension = 5, .metric = VMETRIC_COSINE},
};

static struct collection *many_fields(void)
{
    struct field_info fields[FIELDS];
    const struct collection_spec spec = {
        .name = "many", .fields = fields, .field_count = FIELDS, .threshold = UINT32_MAX};
    struct call call;

    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = FIELD[i];
        fields[i].threshold = UINT32_MAX;
    }
    call_init(&call);
    node_collection_create(w.node, &spec, call_admin_done, &call);
    call_wait(&call);
    if (call.st != ST_OK)
        fail_msg("%s", call.err.text);
    return npin(&w, "many");
}

/* Which of the fields a document has, and that each is what version `versions[i]` was; cosine ones
 * normalised exactly once. */
static void has_fields(struct collection *many, uint64_t id, const uint32_t versions[FIELDS])
{
    const struct docid key = docid_u64(id);
    struct epoch_guard guard = epoch_enter(many->node->epoch);
    uint32_t slot = slots_find(many->slots, &key);

    assert_true(slot != SLOT_NONE);
    for (size_t i = 0; i < FIELDS; i++) {
        float expected[8];

        assert_int_equal(vindex_filled(many->fields[i].vindex, slot), versions[i] != 0);
        if (versions[i] == 0)
            continue;
        nvector(id, versions[i], FIELD[i].dimension, expected);
        if (FIELD[i].metric == VMETRIC_COSINE)
            (void)vindex_normalise(expected, FIELD[i].dimension);
        assert_memory_equal(vindex_vector(many->fields[i].vindex, slot), expected,
                            FIELD[i].dimension * sizeof *expected);
    }
    epoch_leave(many->node->epoch, guard);
}

/* The vectors of a row: versions[i] of field i, 0: none. */
static struct write_row row_of(uint64_t id, const uint32_t versions[FIELDS],
                               float numbers[FIELDS][8], float *vectors[FIELDS])
{
    for (size_t i = 0; i < FIELDS; i++) {
        vectors[i] = versions[i] == 0 ? NULL : numbers[i];
        if (versions[i] != 0)
            nvector(id, versions[i], FIELD[i].dimension, numbers[i]);
    }
    return (struct write_row){.id = docid_u64(id), .vectors = vectors};
}

static void vectors_change_and_go_one_by_one(void **state)
{
    struct collection *many = many_fields();
    float numbers[3][FIELDS][8];
    float *vectors[3][FIELDS];
    struct write_row rows[3];
    const struct docid ids[] = {docid_u64(1), docid_u64(2)};
    const struct selector both = {.ids = ids, .count = 2};
    const struct selector none = {0};
    struct change change = {.kind = CHANGE_VECTORS, .rows = rows, .row_count = 3};

    (void)state;
    rows[0] = row_of(1, (uint32_t[]){1, 1, 1}, numbers[0], vectors[0]);
    rows[1] = row_of(2, (uint32_t[]){0, 1, 0}, numbers[1], vectors[1]);
    assert_int_equal(nwrite(many, rows, 2, NULL, NULL), ST_OK);
    has_fields(many, 2, (uint32_t[]){0, 1, 0});
    /* Rows with one id bring different vectors, and of one vector the last counts. */
    rows[0] = row_of(1, (uint32_t[]){2, 0, 2}, numbers[0], vectors[0]);
    rows[1] = row_of(2, (uint32_t[]){0, 0, 2}, numbers[1], vectors[1]);
    rows[2] = row_of(1, (uint32_t[]){3, 0, 0}, numbers[2], vectors[2]);
    assert_int_equal(nchange(many, &none, &change, NULL, NULL, NULL), ST_OK);
    has_fields(many, 1, (uint32_t[]){3, 1, 2});
    has_fields(many, 2, (uint32_t[]){0, 1, 2});
    change = (struct change){.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"m\":1}")};
    for (int i = 0; i < 5; i++)
        assert_int_equal(nchange(many, &both, &change, NULL, NULL, NULL), ST_OK);
    has_fields(many, 1, (uint32_t[]){3, 1, 2});
    change = (struct change){.kind = CHANGE_DELETE_VECTORS, .fields = 1 << 1 | 1 << 0};
    assert_int_equal(nchange(many, &both, &change, NULL, NULL, NULL), ST_OK);
    node_collection_unpin(many);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    nworld_open(&w);
    c = npin(&w, "docs");
    many = npin(&w, "many");
    has_fields(many, 1, (uint32_t[]){0, 0, 2});
    has_fields(many, 2, (uint32_t[]){0, 0, 2});
    assert_string_equal(njson_of(many, 2, NULL), "{\"m\":1}");
    change.fields = 1 << 2;
    assert_int_equal(nchange(many, &both, &change, NULL, NULL, NULL), ST_OK);
    has_fields(many, 1, (uint32_t[]){0, 0, 0});
    assert_int_equal(ncount(many), 2);
    node_collection_unpin(many);
}

static void who_is_missing_is_named_and_the_others_are_changed(void **state)
{
    const struct docid ids[] = {docid_u64(1), docid_u64(77), docid_u64(2), docid_u64(78)};
    const struct selector all = {.ids = ids, .count = 4};
    const struct selector absent = {.ids = ids + 1, .count = 1};
    const struct selector none = {.ids = ids, .count = 0};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"n\":1}")};
    struct write_result result;
    struct err err;

    (void)state;
    put_whole(1, "{}");
    put_whole(2, "{}");
    assert_int_equal(nchange(c, &all, &change, NULL, NULL, &err), ST_NOT_FOUND);
    assert_string_equal(err.text, "No point with id 77 found");
    assert_string_equal(njson_of(c, 1, NULL), "{\"n\":1}");
    assert_string_equal(njson_of(c, 2, NULL), "{\"n\":1}");
    assert_int_equal(nchange(c, &absent, &change, NULL, NULL, &err), ST_NOT_FOUND);
    assert_int_equal(ncount(c), 2);
    assert_int_equal(ndelete_with(c, &all, &NO_OPTIONS, &result, NULL), ST_OK);
    assert_int_equal(result.count, 2);
    assert_int_equal(nchange(c, &none, &change, NULL, &result, NULL), ST_OK);
    assert_true(result.lsn == 0 && result.count == 0);
    assert_int_equal(ndelete_with(c, &none, &NO_OPTIONS, &result, NULL), ST_OK);
    assert_true(result.lsn == 0 && result.count == 0);
}

static uint64_t write_in_mode(uint64_t first, enum write_mode mode, const char *json)
{
    const struct write_options options = {.mode = mode};
    float vectors[2][DIM];
    struct write_row rows[2];
    struct write_result result;

    for (uint64_t i = 0; i < 2; i++) {
        nvector(first + i, 1, DIM, vectors[i]);
        rows[i] = (struct write_row){
            .id = docid_u64(first + i), .vector = vectors[i], .payload = njson(json)};
    }
    assert_int_equal(nwrite_with(c, rows, 2, &options, &result, NULL), ST_OK);
    return result.count;
}

static void modes_write_only_what_is_there_or_is_not(void **state)
{
    (void)state;
    assert_int_equal(write_in_mode(1, WRITE_UPDATE_ONLY, "{\"u\":0}"), 0);
    assert_int_equal(ncount(c), 0);
    assert_int_equal(write_in_mode(1, WRITE_INSERT_ONLY, "{\"i\":1}"), 2);
    assert_int_equal(write_in_mode(2, WRITE_INSERT_ONLY, "{\"i\":2}"), 1);
    assert_string_equal(njson_of(c, 2, NULL), "{\"i\":1}");
    assert_string_equal(njson_of(c, 3, NULL), "{\"i\":2}");
    assert_int_equal(write_in_mode(3, WRITE_UPDATE_ONLY, "{\"u\":3}"), 1);
    assert_string_equal(njson_of(c, 3, NULL), "{\"u\":3}");
    assert_string_equal(njson_of(c, 4, NULL), "");
    assert_int_equal(write_in_mode(3, WRITE_UPSERT, "{}"), 2);
}

static status put_if(uint64_t id, uint64_t lsn, const char *json, struct err *err)
{
    const struct write_options options = {.only_if = true, .if_lsn = lsn};
    float vector[DIM];
    struct write_row row = {.id = docid_u64(id), .vector = vector, .payload = njson(json)};

    nvector(id, 1, DIM, vector);
    return nwrite_with(c, &row, 1, &options, NULL, err);
}

static void a_condition_on_the_lsn_holds_or_says_which_it_is(void **state)
{
    const struct docid ids[] = {docid_u64(1), docid_u64(2)};
    const struct selector one = {.ids = ids, .count = 1};
    const struct selector two = {.ids = ids, .count = 2};
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"m\":1}")};
    struct write_options options = {.only_if = true, .if_lsn = 1};
    struct err err;
    uint64_t lsn;

    (void)state;
    assert_int_equal(put_if(1, 5, "{}", &err), ST_CONFLICT);
    assert_string_equal(err.text, "the document is not there, it should have lsn 5");
    assert_int_equal(put_if(1, 0, "{\"v\":1}", NULL), ST_OK);
    assert_int_equal(put_if(1, 0, "{\"v\":2}", &err), ST_CONFLICT);
    assert_string_equal(err.text, "the document is there already, with lsn 1");
    assert_int_equal(put_if(1, 1, "{\"v\":3}", NULL), ST_OK);
    assert_int_equal(put_if(1, 1, "{\"v\":4}", &err), ST_CONFLICT);
    assert_string_equal(err.text, "the document has lsn 2, not 1");
    assert_string_equal(njson_of(c, 1, &lsn), "{\"v\":3}");
    assert_int_equal(lsn, 2);
    assert_int_equal(nchange(c, &one, &change, &options, NULL, &err), ST_CONFLICT);
    assert_int_equal(ndelete_with(c, &one, &options, NULL, &err), ST_CONFLICT);
    assert_int_equal(nchange(c, &two, &change, &options, NULL, &err), ST_INVALID);
    options.if_lsn = 2;
    assert_int_equal(nchange(c, &one, &change, &options, NULL, &err), ST_OK);
    options.if_lsn = 3;
    assert_int_equal(ndelete_with(c, &one, &options, NULL, &err), ST_OK);
    assert_string_equal(njson_of(c, 1, NULL), "");
}

static void remote_durability_needs_a_bucket(void **state)
{
    const struct write_options remote = {.durability = NODE_REMOTE};
    const struct write_options local = {.durability = NODE_LOCAL};
    const struct docid id = docid_u64(1);
    const struct selector one = {.ids = &id, .count = 1};
    const struct change change = {.kind = CHANGE_CLEAR_PAYLOAD};
    float vector[DIM];
    struct write_row row = {.id = id, .vector = vector};
    struct err err;

    (void)state;
    nvector(1, 1, DIM, vector);
    assert_int_equal(nwrite_with(c, &row, 1, &remote, NULL, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "bucket"));
    assert_int_equal(nwrite_with(c, &row, 1, &local, NULL, NULL), ST_OK);
    assert_int_equal(nchange(c, &one, &change, &remote, NULL, NULL), ST_INVALID);
    assert_int_equal(ndelete_with(c, &one, &remote, NULL, NULL), ST_INVALID);
    assert_int_equal(ncount(c), 1);
}

/* --- who comes first --- */

/* What is sent without waiting for it. */
struct sent {
    struct call call;
    struct write_row row;
    float vector[DIM];
    struct docid id;
    struct selector which;
    struct change change;
};

static void send_put(struct sent *s, uint64_t id, const char *json)
{
    *s = (struct sent){.id = docid_u64(id)};
    call_init(&s->call);
    nvector(id, 1, DIM, s->vector);
    s->row = (struct write_row){.id = s->id, .vector = s->vector, .payload = njson(json)};
    node_write(c, &s->row, 1, call_write_done, &s->call);
}

static void send_merge(struct sent *s, uint64_t id, const char *json)
{
    *s = (struct sent){.id = docid_u64(id)};
    call_init(&s->call);
    s->which = (struct selector){.ids = &s->id, .count = 1};
    s->change = (struct change){.kind = CHANGE_MERGE_PAYLOAD, .payload = njson(json)};
    node_change(c, &s->which, &s->change, &NO_OPTIONS, call_write_done, &s->call);
}

static void send_delete(struct sent *s, uint64_t id)
{
    *s = (struct sent){.id = docid_u64(id)};
    call_init(&s->call);
    node_delete(c, &s->id, 1, call_write_done, &s->call);
}

/* What was sent before it is not applied yet when a change comes: it waits for it. */
static void a_change_sees_what_is_in_flight(void **state)
{
    static struct sent sent[40];

    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        char json[64];

        for (unsigned i = 0; i < 40; i += 4) {
            (void)snprintf(json, sizeof json, "{\"n\":%u}", i);
            send_put(&sent[i], i + 1, json);
            send_merge(&sent[i + 1], i + 1, "{\"m\":1}");
            send_merge(&sent[i + 2], i + 1, "{\"k\":2}");
            send_delete(&sent[i + 3], i % 8 == 0 ? i + 1 : 1000);
        }
        for (unsigned i = 0; i < 40; i++) {
            call_wait(&sent[i].call);
            assert_int_equal(sent[i].call.st, ST_OK);
        }
        for (unsigned i = 0; i < 40; i += 4) {
            (void)snprintf(json, sizeof json, "{\"n\":%u,\"m\":1,\"k\":2}", i);
            assert_string_equal(njson_of(c, i + 1, NULL), i % 8 == 0 ? "" : json);
        }
    }
    assert_int_equal(c->seq.turns.count, 0);
    assert_int_equal(c->seq.overlay.count, 0);
}

/* The turn of an id in the test's own hands. */
struct hold {
    struct turn turn;
    struct turn_entry entry;
    struct task task;
};

static void hold(struct hold *h, uint64_t id)
{
    const struct docid key = docid_u64(id);

    *h = (struct hold){.turn = {.entries = &h->entry, .task = &h->task}};
    lock_take(&c->seq.lock);
    assert_true(turn_take_locked(c, &h->turn, &key, 1));
    lock_drop(&c->seq.lock);
}

static void let_go(struct hold *h)
{
    struct turn_list come = {0};

    lock_take(&c->seq.lock);
    turn_leave_locked(c, &h->turn, &come);
    lock_drop(&c->seq.lock);
    turns_come(c, &come);
}

static void writes_to_one_id_keep_the_order_in_which_they_came(void **state)
{
    static struct sent sent[6];
    struct hold h;

    (void)state;
    put_whole(1, "{\"first\":0}");
    hold(&h, 1);
    send_merge(&sent[0], 1, "{\"a\":1}");
    send_merge(&sent[1], 1, "{\"b\":2}");
    send_put(&sent[2], 1, "{\"c\":3}");
    send_merge(&sent[3], 1, "{\"d\":4}");
    send_delete(&sent[4], 1);
    send_put(&sent[5], 1, "{\"e\":5}");
    assert_int_equal(nput_json(c, 2, "{}", NULL), ST_OK); /* others do not wait */
    for (int i = 0; i < 6; i++)
        assert_false(sent[i].call.done);
    let_go(&h);
    for (int i = 0; i < 6; i++) {
        call_wait(&sent[i].call);
        assert_int_equal(sent[i].call.st, ST_OK);
        assert_int_equal(sent[i].call.result.lsn, 3 + i);
        assert_int_equal(sent[i].call.result.count, 1);
    }
    assert_string_equal(njson_of(c, 1, NULL), "{\"e\":5}");
    assert_int_equal(c->seq.turns.count, 0);
}

/* A turn over several ids waits for all of them, and two such never wait for each other. */
static void turns_over_many_ids_cross_without_a_standstill(void **state)
{
    static struct sent sent[3];
    const struct docid forth[] = {docid_u64(1), docid_u64(2), docid_u64(3)};
    const struct docid back[] = {docid_u64(3), docid_u64(2), docid_u64(1)};
    struct hold h;

    (void)state;
    for (uint64_t id = 1; id <= 3; id++)
        put_whole(id, "{}");
    hold(&h, 2);
    for (int i = 0; i < 2; i++) {
        call_init(&sent[i].call);
        sent[i].which = (struct selector){.ids = i == 0 ? forth : back, .count = 3};
        sent[i].change = (struct change){.kind = CHANGE_MERGE_PAYLOAD,
                                         .payload = njson(i == 0 ? "{\"f\":1}" : "{\"b\":1}")};
        node_change(c, &sent[i].which, &sent[i].change, &NO_OPTIONS, call_write_done,
                    &sent[i].call);
    }
    send_put(&sent[2], 3, "{\"p\":1}");
    let_go(&h);
    for (int i = 0; i < 3; i++) {
        call_wait(&sent[i].call);
        assert_int_equal(sent[i].call.st, ST_OK);
    }
    assert_string_equal(njson_of(c, 1, NULL), "{\"f\":1,\"b\":1}");
    assert_string_equal(njson_of(c, 2, NULL), "{\"f\":1,\"b\":1}");
    assert_string_equal(njson_of(c, 3, NULL), "{\"p\":1}");
}

/* A million ids in flight must not be looked for one by one: the tables grow, and shrink. */
static void many_ids_in_flight_are_found(void **state)
{
    enum { MANY = 9000 };
    struct write_row *rows = mem_zero_array(MANY, sizeof *rows);
    float *vectors = mem_alloc_array((size_t)MANY * DIM, sizeof *vectors);
    struct docid *ids = mem_alloc_array(MANY, sizeof *ids);
    const struct change first = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"m\":1}")};
    const struct change second = {.kind = CHANGE_MERGE_PAYLOAD, .payload = njson("{\"n\":1}")};
    const struct selector all = {.ids = ids, .count = MANY};
    struct write_result result;
    struct call call;

    (void)state;
    for (uint64_t i = 0; i < MANY; i++) {
        rows[i] = (struct write_row){.id = docid_u64(i + 1), .vector = vectors + i * DIM};
        nvector(i + 1, 1, DIM, rows[i].vector);
        ids[i] = rows[i].id;
    }
    assert_int_equal(nwrite(c, rows, MANY, NULL, NULL), ST_OK);
    call_init(&call);
    node_change(c, &all, &first, &NO_OPTIONS, call_write_done, &call);
    assert_int_equal(nchange(c, &all, &second, NULL, &result, NULL), ST_OK);
    call_wait(&call);
    assert_int_equal(result.count, MANY);
    assert_int_equal(result.lsn, call.result.lsn + 1);
    for (uint64_t id = 1; id <= MANY; id += 97)
        assert_string_equal(njson_of(c, id, NULL), "{\"m\":1,\"n\":1}");
    assert_int_equal(c->seq.overlay.count, 0);
    assert_true(c->seq.overlay.mask < NODE_ID_BUCKETS_KEPT);
    assert_int_equal(ndelete_with(c, &all, &NO_OPTIONS, &result, NULL), ST_OK);
    assert_int_equal(result.count, MANY);
    mem_free(rows);
    mem_free(vectors);
    mem_free(ids);
}

/* More than one record holds: several, and all of it. */
static void what_is_too_much_for_a_record_becomes_several(void **state)
{
    enum { DOCS = 40, BYTES = 1 << 20 };
    struct docid ids[DOCS];
    const struct selector all = {.ids = ids, .count = DOCS};
    char *json = mem_alloc(BYTES + 16);
    struct change change = {.kind = CHANGE_REPLACE_PAYLOAD};
    struct write_result result;
    struct err err;
    uint64_t lsn;

    (void)state;
    (void)snprintf(json, BYTES, "{\"k\":\"");
    memset(json + 6, 'x', BYTES);
    memcpy(json + 6 + BYTES, "\"}", 3);
    change.payload = njson(json);
    for (uint64_t i = 0; i < DOCS; i++) {
        put_whole(i + 1, "{}");
        ids[i] = docid_u64(i + 1);
    }
    assert_int_equal(nchange(c, &all, &change, NULL, &result, &err), ST_OK);
    assert_int_equal(result.count, DOCS);
    assert_int_equal(result.lsn, DOCS + 2);
    change = (struct change){.kind = CHANGE_CLEAR_PAYLOAD};
    assert_int_equal(nchange(c, &all, &change, NULL, &result, &err), ST_OK);
    assert_int_equal(result.lsn, DOCS + 3);
    for (uint64_t i = 0; i < DOCS; i++) {
        assert_string_equal(njson_of(c, i + 1, &lsn), "{}");
        assert_int_equal(lsn, DOCS + 3);
    }
    mem_free(json);
}

/* A payload of 16 MiB is the most; nothing of the request is written. */
static void a_payload_that_would_grow_too_large_is_refused(void **state)
{
    enum { BYTES = 9 << 20 };
    const struct docid ids[] = {docid_u64(1), docid_u64(2)};
    const struct selector both = {.ids = ids, .count = 2};
    char *json = mem_alloc(BYTES + 16);
    struct change change = {.kind = CHANGE_MERGE_PAYLOAD};
    struct err err;

    (void)state;
    (void)snprintf(json, BYTES, "{\"k\":\"");
    memset(json + 6, 'x', BYTES);
    memcpy(json + 6 + BYTES, "\"}", 3);
    put_whole(1, "{}");
    put_whole(2, "{}");
    change.payload = njson(json);
    assert_int_equal(
        nchange(c, &(struct selector){.ids = ids + 1, .count = 1}, &change, NULL, NULL, NULL),
        ST_OK);
    json[2] = 'l';
    change.payload = njson(json);
    assert_int_equal(nchange(c, &both, &change, NULL, NULL, &err), ST_INVALID);
    assert_string_equal(njson_of(c, 1, NULL), "{}");
    assert_int_equal(c->seq.turns.count, 0);
    mem_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_change_of_the_payload_keeps_everything_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_change_of_vectors_keeps_the_payload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vectors_change_and_go_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_missing_is_named_and_the_others_are_changed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(modes_write_only_what_is_there_or_is_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_condition_on_the_lsn_holds_or_says_which_it_is, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(remote_durability_needs_a_bucket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_change_sees_what_is_in_flight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_to_one_id_keep_the_order_in_which_they_came, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(turns_over_many_ids_cross_without_a_standstill, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(many_ids_in_flight_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_much_for_a_record_becomes_several, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_payload_that_would_grow_too_large_is_refused, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
