/* Retrieving, scrolling, counting, sampling and facets, against a model; and pages while documents
 * come and go. */
#include "tests/unit/node/npoints.h"

#include "filter/path.h"

#include <stdio.h>
#include <stdlib.h>

enum { DIM = 3, ROWS = 900 };

static struct nworld world;
static bool indexed; /* collections have payload indexes */

struct model {
    struct collection *c;
    struct arena arena;
    uint32_t version[ROWS + 1]; /* 0: not there */
};

static void put(struct model *m, uint64_t first, uint32_t count, uint32_t version)
{
    pput(m->c, first, count, version);
    for (uint32_t i = 0; i < count; i++)
        m->version[first + i] = version;
}

static void del(struct model *m, uint64_t id)
{
    const struct docid key = docid_u64(id);

    assert_int_equal(ndelete(m->c, &key, 1, NULL, NULL), ST_OK);
    m->version[id] = 0;
}

static void begin(struct model *m)
{
    static unsigned number;
    char name[32];

    memset(m, 0, sizeof *m);
    (void)snprintf(name, sizeof name, "docs-%u", number++);
    assert_int_equal(ncreate(&world, name, DIM, VMETRIC_L2, 50, NULL), ST_OK);
    m->c = npin(&world, name);
    arena_init(&m->arena, 256 << 20);
    if (indexed) {
        pindexed(&world, m->c, "tags[]", PINDEX_KEYWORD);
        pindexed(&world, m->c, "tags", PINDEX_KEYWORD);
        pindexed(&world, m->c, "n", PINDEX_INTEGER);
        pindexed(&world, m->c, "v", PINDEX_INTEGER);
        pindexed(&world, m->c, "same", PINDEX_BOOL);
    }
    for (uint32_t from = 1; from <= ROWS; from += 100)
        put(m, from, 100, 1 + from / 100 % 3);
    put(m, 200, 50, 5);
    for (uint64_t id = 5; id <= ROWS; id += 17)
        del(m, id);
}

static void end(struct model *m)
{
    arena_free(&m->arena);
    node_collection_unpin(m->c);
}

struct rule {
    const char *filter;
    bool (*matches)(const struct model *m, uint64_t id);
};
static bool any(const struct model *m, uint64_t id)
{
    return m->version[id] != 0;
}
static bool tagged(const struct model *m, uint64_t id)
{
    return any(m, id) && id % 10 == 3;
}
static bool rare(const struct model *m, uint64_t id)
{
    return any(m, id) && id >= 400 && id < 403;
}
static bool fifth(const struct model *m, uint64_t id)
{
    return m->version[id] == 5;
}
static bool named(const struct model *m, uint64_t id)
{
    return any(m, id) && (id == 9 || id == 300 || id == 301 || id == 899);
}
static bool none(const struct model *m, uint64_t id)
{
    (void)m;
    (void)id;
    return false;
}
static const struct rule RULES[] = {
    {"{}", any},
    {"{\"must\":{\"key\":\"tags[]\",\"match\":{\"value\":\"t3\"}},"
     "\"must_not\":{\"key\":\"n\",\"range\":{\"lt\":0}}}",
     NULL},
    {"{\"must\":{\"key\":\"n\",\"range\":{\"gte\":400,\"lt\":403}}}", rare},
    {"{\"must\":{\"key\":\"v\",\"match\":{\"value\":5}}}", fifth},
    {"{\"must\":{\"has_id\":[301,9,300,899,12345]}}", named},
    {"{\"must\":{\"is_null\":{\"key\":\"v\"}}}", none},
};

/* Tags are of the id and of the version, so t3 is both's. */
static bool rule_matches(const struct rule *r, const struct model *m, uint64_t id)
{
    if (r->matches != NULL)
        return r->matches(m, id);
    return tagged(m, id) || (m->version[id] != 0 && m->version[id] % 7 == 3);
}

static uint32_t version_of(const struct document *d)
{
    struct jbin_value root = jbin_root(d->payload), v;
    struct rd r = rd_make(root.body);
    struct slice key;

    while (jbin_member(&r, &key, &v))
        if (slice_equal(key, slice_text("v")))
            return (uint32_t)v.u64;
    fail_msg("a payload without a version");
    return 0;
}

static struct scrolled page(struct model *m, const struct scroll *ask)
{
    struct scrolled got;
    struct err err = {0};

    if (node_scroll(m->c, ask, &m->arena, &got, &err) != ST_OK)
        fail_msg("%s", err.text);
    return got;
}

static void scrolls_return_what_matches_in_id_order(void **state)
{
    static const uint32_t limits[] = {1, 2, 7, 100, ROWS - 53, ROWS, 5000, UINT32_MAX};
    static struct model m;

    (void)state;
    begin(&m);
    for (size_t r = 0; r < COUNT_OF(RULES); r++) {
        for (size_t l = 0; l < COUNT_OF(limits); l++) {
            struct docid from;
            struct scroll ask = {.filter = pfilter(m.c, RULES[r].filter, &m.arena),
                                 .limit = limits[l],
                                 .want = {.payload = true, .vectors = 1}};
            struct scrolled got;
            uint64_t id = 0;

            do {
                got = page(&m, &ask);
                assert_true(got.count <= limits[l] && (got.more || ask.from == NULL || got.count));
                assert_true(got.count == limits[l] || !got.more);
                for (uint32_t i = 0; i < got.count; i++) {
                    float vector[DIM];

                    for (id++; id <= ROWS && !rule_matches(&RULES[r], &m, id);)
                        id++;
                    assert_int_equal(got.documents[i].id.u64, id);
                    assert_int_equal(version_of(&got.documents[i]), m.version[id]);
                    pvector(id, m.version[id], DIM, vector);
                    assert_memory_equal(got.documents[i].vectors[0], vector, sizeof vector);
                }
                from = got.next;
                ask.from = &from;
            } while (got.more);
            for (id++; id <= ROWS; id++)
                assert_false(rule_matches(&RULES[r], &m, id));
            arena_reset(&m.arena);
        }
    }
    end(&m);
}

/* `from` is inclusive and need not exist. */
static void a_page_begins_at_its_id_or_behind_it(void **state)
{
    static struct model m;

    (void)state;
    begin(&m);
    for (size_t r = 0; r < COUNT_OF(RULES); r++) {
        for (uint64_t from = 0; from < ROWS + 3; from += 1 + from % 5) {
            const struct docid id = docid_u64(from);
            struct scroll ask = {
                .filter = pfilter(m.c, RULES[r].filter, &m.arena), .from = &id, .limit = 1};
            struct scrolled got = page(&m, &ask);
            uint64_t want = from;

            while (want <= ROWS && (want == 0 || !rule_matches(&RULES[r], &m, want)))
                want++;
            assert_int_equal(got.count, want <= ROWS ? 1 : 0);
            if (got.count > 0) {
                assert_int_equal(got.documents[0].id.u64, want);
                assert_true(got.documents[0].payload.bytes == 0 && !got.documents[0].vectors);
            }
            arena_reset(&m.arena);
        }
    }
    end(&m);
}

/* Ids that stay come once each; what comes behind the page is met, what goes is not. */
static void pages_go_on_while_documents_come_and_go(void **state)
{
    static struct model m;

    (void)state;
    for (size_t r = 0; r < 2; r++) {
        struct docid from;
        struct scroll ask = {.limit = 50, .want = {.payload = true}};
        struct scrolled got;
        uint64_t last = 0;
        uint32_t turn = 0;

        begin(&m);
        if (r == 1)
            ask.filter = pfilter(m.c, RULES[1].filter, &m.arena);
        do {
            got = page(&m, &ask);
            for (uint32_t i = 0; i < got.count; i++) {
                uint64_t id = got.documents[i].id.u64;

                for (uint64_t skipped = last + 1; skipped < id; skipped++)
                    assert_false(rule_matches(&RULES[r], &m, skipped));
                assert_true(rule_matches(&RULES[r], &m, id));
                last = id;
            }
            if (!got.more)
                break;
            from = got.next;
            ask.from = &from;
            turn++;
            /* The very id the next page begins with, some behind it, one before it. */
            del(&m, from.u64);
            put(&m, last + 5 + turn, 4, 3);
            if (last > 20)
                del(&m, last - 11);
            put(&m, ROWS - turn, 1, 7 + turn);
        } while (turn < 100);
        for (uint64_t id = last + 1; id <= ROWS; id++)
            assert_false(rule_matches(&RULES[r], &m, id));
        end(&m);
    }
}

static void counts_are_exact_and_about_right(void **state)
{
    static struct model m;

    (void)state;
    begin(&m);
    for (size_t r = 0; r < COUNT_OF(RULES); r++) {
        const struct filter *f = pfilter(m.c, RULES[r].filter, &m.arena);
        uint64_t want = 0, got = 0, about = 0;

        for (uint64_t id = 1; id <= ROWS; id++)
            want += rule_matches(&RULES[r], &m, id) ? 1 : 0;
        assert_int_equal(node_count(m.c, f, true, NULL, &m.arena, &got, NULL), ST_OK);
        assert_int_equal(got, want);
        assert_int_equal(node_count(m.c, f, false, NULL, &m.arena, &about, NULL), ST_OK);
        assert_true(about <= want + ROWS / 10 && about + ROWS / 10 >= want);
        arena_reset(&m.arena);
    }
    end(&m);
}

static void documents_are_retrieved_in_the_order_of_ids(void **state)
{
    static const uint64_t asked[] = {9, 3, 5, 9, 700, 3, 77777, 2, 9};
    static const uint64_t want[] = {9, 3, 700, 2};
    static struct model m;
    struct docid ids[COUNT_OF(asked)];
    struct document *got;
    uint32_t count;

    (void)state;
    begin(&m);
    for (size_t i = 0; i < COUNT_OF(asked); i++)
        ids[i] = docid_u64(asked[i]);
    for (int with = 0; with < 2; with++) {
        const struct read_want what = {.payload = with == 1, .vectors = with == 1 ? 1 : 0};

        assert_int_equal(
            node_retrieve(m.c, ids, COUNT_OF(asked), &what, &m.arena, &got, &count, NULL), ST_OK);
        assert_int_equal(count, COUNT_OF(want));
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(got[i].id.u64, want[i]);
            assert_true((got[i].payload.bytes > 0) == (with == 1));
            assert_true((got[i].vectors != NULL) == (with == 1));
            assert_true(got[i].lsn > 0);
        }
    }
    assert_int_equal(
        node_retrieve(m.c, ids, 0, &(struct read_want){0}, &m.arena, &got, &count, NULL), ST_OK);
    assert_int_equal(count, 0);
    end(&m);
}

/* Each is there once and matches; over many draws each comes, none much too often. */
static void samples_are_random_documents_that_match(void **state)
{
    static struct model m;
    static uint32_t drawn[ROWS + 1];

    (void)state;
    begin(&m);
    for (size_t r = 0; r < COUNT_OF(RULES); r++) {
        const struct filter *f = pfilter(m.c, RULES[r].filter, &m.arena);
        static const uint32_t counts[] = {0, 1, 10, ROWS - 60, 2 * ROWS};
        uint32_t all = 0;

        for (uint64_t id = 1; id <= ROWS; id++)
            all += rule_matches(&RULES[r], &m, id) ? 1 : 0;
        memset(drawn, 0, sizeof drawn);
        for (size_t i = 0; i < COUNT_OF(counts) * 20; i++) {
            uint32_t wanted = counts[i % COUNT_OF(counts)], count;
            struct document *got;
            uint8_t seen[ROWS + 1] = {0};

            assert_int_equal(node_sample(m.c, f, wanted, &(struct read_want){0}, NULL, &m.arena,
                                         &got, &count, NULL),
                             ST_OK);
            assert_int_equal(count, wanted < all ? wanted : all);
            for (uint32_t j = 0; j < count; j++) {
                uint64_t id = got[j].id.u64;

                assert_true(rule_matches(&RULES[r], &m, id));
                assert_int_equal(seen[id]++, 0);
                if (wanted == 10)
                    drawn[id]++;
            }
        }
        for (uint64_t id = 1; id <= ROWS && all > 500; id++)
            assert_in_range(drawn[id], 0, 8);
    }
    end(&m);
}

static const struct path *path(struct model *m, const char *text)
{
    const struct path *p;

    assert_int_equal(path_parse(slice_text(text), &m->arena, &p, NULL), ST_OK);
    return p;
}

/* Tags t0..t9 of the id and t<version % 7>: a document whose two are the same counts once. */
static void facets_count_each_value_once_a_document(void **state)
{
    static struct model m;

    (void)state;
    begin(&m);
    for (size_t r = 0; r < COUNT_OF(RULES); r++) {
        const struct filter *f = pfilter(m.c, RULES[r].filter, &m.arena);
        uint64_t want[10] = {0}, versions[8] = {0}, same = 0;
        struct facet_hit *hits;
        uint32_t count, distinct = 0;

        for (uint64_t id = 1; id <= ROWS; id++) {
            if (!rule_matches(&RULES[r], &m, id))
                continue;
            want[id % 10]++;
            if (m.version[id] % 7 != id % 10)
                want[m.version[id] % 7]++;
            versions[m.version[id]]++;
            same++;
        }
        for (int t = 0; t < 10; t++)
            distinct += want[t] > 0 ? 1 : 0;
        assert_int_equal(
            node_facet(m.c, path(&m, "tags"), f, 100, true, NULL, &m.arena, &hits, &count, NULL),
            ST_OK);
        assert_int_equal(count, distinct);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(hits[i].value.type, JBIN_T_STRING);
            assert_int_equal(hits[i].value.text.bytes, 2);
            assert_int_equal(hits[i].count, want[hits[i].value.text.data[1] - '0']);
            if (i > 0)
                assert_true(hits[i - 1].count > hits[i].count ||
                            (hits[i - 1].count == hits[i].count &&
                             hits[i - 1].value.text.data[1] < hits[i].value.text.data[1]));
        }
        assert_int_equal(
            node_facet(m.c, path(&m, "v"), f, 2, true, NULL, &m.arena, &hits, &count, NULL), ST_OK);
        assert_true(count <= 2);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(hits[i].count, versions[hits[i].value.u64]);
        assert_int_equal(
            node_facet(m.c, path(&m, "same"), f, 2, true, NULL, &m.arena, &hits, &count, NULL),
            ST_OK);
        assert_int_equal(count, same > 0 ? 1 : 0);
        assert_true(same == 0 || (hits[0].value.boolean && hits[0].count == same));
        arena_reset(&m.arena);
    }
    end(&m);
}

static void an_order_without_an_index_is_refused(void **state)
{
    static struct model m;
    struct scroll ask = {.limit = 10};
    struct scrolled got;
    struct err err = {0};

    (void)state;
    begin(&m);
    ask.order_by = path(&m, "n");
    assert_int_equal(node_scroll(m.c, &ask, &m.arena, &got, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "`n`"));
    end(&m);
}

/* Every read that looks at rows ends when it is stopped. */
static void reads_stop_when_they_are_told(void **state)
{
    static const _Atomic bool stop = true;
    const struct read_limits limits = {.stop = &stop};
    static struct model m;
    struct scroll ask = {.limit = 10, .limits = limits};
    const struct filter *f;
    struct scrolled got;
    struct facet_hit *hits;
    struct document *documents;
    uint64_t counted;
    uint32_t count;

    (void)state;
    begin(&m);
    f = ask.filter = pfilter(m.c, RULES[1].filter, &m.arena);
    assert_int_equal(node_scroll(m.c, &ask, &m.arena, &got, NULL), ST_TIMEOUT);
    assert_int_equal(node_count(m.c, f, true, &limits, &m.arena, &counted, NULL), ST_TIMEOUT);
    assert_int_equal(node_count(m.c, f, false, &limits, &m.arena, &counted, NULL), ST_TIMEOUT);
    assert_int_equal(
        node_facet(m.c, path(&m, "v"), f, 9, true, &limits, &m.arena, &hits, &count, NULL),
        ST_TIMEOUT);
    assert_int_equal(
        node_facet(m.c, path(&m, "v"), NULL, 9, true, &limits, &m.arena, &hits, &count, NULL),
        ST_TIMEOUT);
    assert_int_equal(node_sample(m.c, f, 3, &ask.want, &limits, &m.arena, &documents, &count, NULL),
                     ST_TIMEOUT);
    end(&m);
}

struct order {
    uint64_t id, value;
};

static bool falling;

static int by_value(const void *a, const void *b)
{
    const struct order *x = a, *y = b;

    if (x->value != y->value)
        return (x->value < y->value) == falling ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Rising and falling, from a value on, with filters; one entry for each value of an array. */
static void check_order(struct model *m, const char *key, const struct rule *rule, uint32_t limit,
                        const uint64_t *from)
{
    static struct order want[2 * ROWS];
    struct filter_value start = {.type = JBIN_T_U64};
    struct scroll ask = {.filter = pfilter(m->c, rule->filter, &m->arena),
                         .limit = limit,
                         .falling = falling,
                         .order_by = path(m, key),
                         .start_from = from == NULL ? NULL : &start,
                         .want = {.payload = true}};
    struct scrolled got;
    uint32_t count = 0;

    if (from != NULL)
        start.u64 = *from;
    for (uint64_t id = 1; id <= ROWS; id++) {
        uint64_t value = key[0] == 'n' ? id % 1000 : m->version[id];

        if (rule_matches(rule, m, id) &&
            (from == NULL || (falling ? value <= *from : value >= *from)))
            want[count++] = (struct order){id, value};
    }
    qsort(want, count, sizeof *want, by_value);
    got = page(m, &ask);
    assert_int_equal(got.count, count < limit ? count : limit);
    assert_int_equal(got.more, count > limit);
    for (uint32_t i = 0; i < got.count; i++) {
        assert_int_equal(got.documents[i].id.u64, want[i].id);
        assert_int_equal(got.order_values[i].type, JBIN_T_U64);
        assert_int_equal(got.order_values[i].u64, want[i].value);
    }
}

static void an_order_follows_its_index(void **state)
{
    static struct model m;

    (void)state;
    indexed = true;
    begin(&m);
    for (uint32_t i = 0; i < COUNT_OF(RULES) * 2 * 2 * 3; i++) {
        const struct rule *rule = &RULES[i % COUNT_OF(RULES)];
        uint64_t from = i % 7 + (i % 5 == 0 ? 200 : 0);
        uint32_t rest = i / COUNT_OF(RULES);

        falling = rest % 2 == 1;
        check_order(&m, rest / 2 % 2 == 0 ? "n" : "v", rule, 1 + i * 37 % 300,
                    rest / 4 == 0 ? NULL : &from);
        check_order(&m, rest / 2 % 2 == 0 ? "n" : "v", rule, 2 * ROWS, NULL);
        /* What was just written is in its place, though no index knows it yet. */
        put(&m, 1 + i * 11 % ROWS, 3, 1 + i % 6);
        check_order(&m, "v", rule, 200, NULL);
        arena_reset(&m.arena);
    }
    end(&m);
    indexed = false;
}

struct text_doc {
    uint64_t id;
    const char *payload;
};

static void write_texts(struct collection *c, const struct text_doc *docs, size_t count)
{
    struct jdoc *doc = NULL;

    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (size_t i = 0; i < count; i++) {
        float vector[DIM] = {1};
        struct buf payload;
        struct write_row row = {.id = docid_u64(docs[i].id), .vector = vector};

        ppayload(doc, docs[i].payload, &payload);
        row.payload = buf_slice(&payload);
        assert_int_equal(nwrite(c, &row, 1, NULL, NULL), ST_OK);
        buf_free(&payload);
    }
    jdoc_destroy(doc);
}

static const struct text_doc TEXTS[] = {
    {1, "{\"t\":\"2024-03-01T00:00:00Z\",\"x\":1.5}"},
    {2, "{\"t\":\"2024-02-29\",\"x\":2}"},
    {3, "{\"t\":[\"2025-01-01 10:00\",\"2023-12-31T23:00:00-01:00\",\"no time\"],\"x\":[3,-7,3]}"},
    {4, "{\"t\":\"2024-03-01 01:00:00+01:00\",\"x\":18446744073709551615}"},
    {5, "{\"t\":17,\"x\":\"text\"}"},
    {6, "{\"x\":null}"},
    {7, "{\"t\":\"1969-07-20T20:17:40.5Z\",\"x\":-0.25}"},
};

struct expected {
    uint64_t id;
    const char *text; /* of the value */
};

static void check_texts(struct collection *c, struct arena *arena, const char *key, bool down,
                        const struct filter_value *from, const struct expected *want,
                        uint32_t count)
{
    struct scroll ask = {.limit = 100, .falling = down, .start_from = from};
    struct scrolled got;
    struct err err = {0};

    assert_int_equal(path_parse(slice_text(key), arena, &ask.order_by, NULL), ST_OK);
    if (node_scroll(c, &ask, arena, &got, &err) != ST_OK)
        fail_msg("%s", err.text);
    assert_int_equal(got.count, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct expected *w = &want[down ? count - 1 - i : i];
        const struct filter_value *v = &got.order_values[i];
        char text[64];

        if (v->type == JBIN_T_STRING)
            (void)snprintf(text, sizeof text, "%.*s", (int)v->text.bytes,
                           (const char *)v->text.data);
        else if (v->type == JBIN_T_F64)
            (void)snprintf(text, sizeof text, "%g", v->f64);
        else if (v->type == JBIN_T_I64)
            (void)snprintf(text, sizeof text, "%lld", (long long)v->i64);
        else
            (void)snprintf(text, sizeof text, "%llu", (unsigned long long)v->u64);
        assert_string_equal(text, w->text);
        assert_int_equal(got.documents[i].id.u64, w->id);
    }
}

/* Each value of an array is an entry; a time is told as the payload has it; what is no value of the
 * index is left out. Written before the index is there, after, and half and half. */
static void orders_of_times_and_numbers(void **state)
{
    static const struct expected times[] = {
        {7, "1969-07-20T20:17:40.5Z"}, {3, "2023-12-31T23:00:00-01:00"}, {2, "2024-02-29"},
        {1, "2024-03-01T00:00:00Z"},   {4, "2024-03-01 01:00:00+01:00"}, {3, "2025-01-01 10:00"},
    };
    static const struct expected numbers[] = {
        {3, "-7"}, {7, "-0.25"}, {1, "1.5"}, {2, "2"}, {3, "3"}, {4, "18446744073709551615"},
    };
    const struct filter_value march = {.type = JBIN_T_STRING,
                                       .text = slice_text("2024-02-29T00:00Z")};
    const struct filter_value two = {.type = JBIN_T_F64, .f64 = 1.75};
    struct arena arena;

    (void)state;
    arena_init(&arena, 64 << 20);
    for (size_t before = 0; before <= COUNT_OF(TEXTS); before += 3) {
        struct collection *c;
        struct scroll ask = {.limit = 1, .start_from = &two};
        struct scrolled got;
        struct err err;
        char name[32];

        (void)snprintf(name, sizeof name, "texts-%zu", before);
        assert_int_equal(ncreate(&world, name, DIM, VMETRIC_L2, 50, NULL), ST_OK);
        c = npin(&world, name);
        write_texts(c, TEXTS, before);
        pindexed(&world, c, "t", PINDEX_DATETIME);
        pindexed(&world, c, "x", PINDEX_FLOAT);
        write_texts(c, TEXTS + before, COUNT_OF(TEXTS) - before);
        check_texts(c, &arena, "t", false, NULL, times, COUNT_OF(times));
        check_texts(c, &arena, "x", false, NULL, numbers, COUNT_OF(numbers));
        check_texts(c, &arena, "x", true, NULL, numbers, COUNT_OF(numbers));
        check_texts(c, &arena, "t", false, &march, times + 2, 4);
        check_texts(c, &arena, "t", true, &march, times, 3);
        check_texts(c, &arena, "x", false, &two, numbers + 3, 3);
        check_texts(c, &arena, "x", true, &two, numbers, 3);
        assert_int_equal(path_parse(slice_text("t"), &arena, &ask.order_by, NULL), ST_OK);
        assert_int_equal(node_scroll(c, &ask, &arena, &got, &err), ST_INVALID);
        node_collection_unpin(c);
    }
    arena_free(&arena);
}

struct hungry {
    struct model *m;
    const struct filter *filter;
    const struct path *key;
    size_t bytes_max; /* of the arena */
};

static status run_out(struct hungry *h, int which)
{
    const struct read_want want = {.payload = true, .vectors = 1};
    const struct point_query points = {.filter = h->filter, .vectors = 1};
    const struct query_options o = {.top_k = 20, .points = &points, .with_payload = true};
    struct scroll ask = {.filter = h->filter, .limit = 20, .want = want};
    float query[DIM] = {1};
    struct docid ids[] = {docid_u64(1), docid_u64(2), docid_u64(1)};
    struct query_result r;
    struct scrolled page;
    struct document *documents;
    struct facet_hit *hits;
    struct err err = {0};
    struct arena arena;
    uint64_t n;
    uint32_t count = 0;
    status st = ST_BUG;

    arena_init(&arena, h->bytes_max);
    if (which == 0)
        st = node_query(h->m->c, query, &o, &arena, &r, &err);
    else if (which == 1)
        st = node_scroll(h->m->c, &ask, &arena, &page, &err);
    else if (which == 2)
        st = node_count(h->m->c, h->filter, true, NULL, &arena, &n, &err);
    else if (which == 3)
        st = node_facet(h->m->c, h->key, h->filter, 5, true, NULL, &arena, &hits, &count, &err);
    else if (which == 4)
        st = node_sample(h->m->c, h->filter, 9, &want, NULL, &arena, &documents, &count, &err);
    else if (which == 5)
        st = node_retrieve(h->m->c, ids, COUNT_OF(ids), &want, &arena, &documents, &count, &err);
    ask.order_by = h->key;
    if (which == 6)
        st = node_scroll(h->m->c, &ask, &arena, &page, &err);
    assert_true(st == ST_OK || err.text[0] != '\0');
    arena_free(&arena);
    return st;
}

/* Wherever a request's memory ends, it says so, and the next one is answered. */
static void reads_say_when_memory_is_out(void **state)
{
    static struct model m;
    struct hungry h = {.m = &m};

    (void)state;
    indexed = true;
    begin(&m);
    for (int rule = 1; rule < 4; rule++) {
        h.filter = pfilter(m.c, RULES[rule].filter, &m.arena);
        h.key = path(&m, "v");
        for (int which = 0; which < 7; which++) {
            uint32_t failed = 0;
            status st = ST_NOMEM;

            for (h.bytes_max = 0; st != ST_OK; h.bytes_max += 200, failed++) {
                st = run_out(&h, which);
                assert_true(st == ST_OK || st == ST_NOMEM);
                assert_true(failed < 100000);
            }
            assert_true(failed > 1);
        }
    }
    end(&m);
    indexed = false;
}

static int with_indexes(void **state)
{
    (void)state;
    indexed = true;
    return 0;
}

static int without_indexes(void **state)
{
    (void)state;
    indexed = false;
    return 0;
}

static int open_world(void **state)
{
    (void)state;
    nworld_init(&world, true, 32);
    nworld_open(&world);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    nworld_fini(&world);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrolls_return_what_matches_in_id_order),
        cmocka_unit_test_setup_teardown(scrolls_return_what_matches_in_id_order, with_indexes,
                                        without_indexes),
        cmocka_unit_test(a_page_begins_at_its_id_or_behind_it),
        cmocka_unit_test_setup_teardown(a_page_begins_at_its_id_or_behind_it, with_indexes,
                                        without_indexes),
        cmocka_unit_test(pages_go_on_while_documents_come_and_go),
        cmocka_unit_test_setup_teardown(pages_go_on_while_documents_come_and_go, with_indexes,
                                        without_indexes),
        cmocka_unit_test(counts_are_exact_and_about_right),
        cmocka_unit_test_setup_teardown(counts_are_exact_and_about_right, with_indexes,
                                        without_indexes),
        cmocka_unit_test(documents_are_retrieved_in_the_order_of_ids),
        cmocka_unit_test(samples_are_random_documents_that_match),
        cmocka_unit_test_setup_teardown(samples_are_random_documents_that_match, with_indexes,
                                        without_indexes),
        cmocka_unit_test(facets_count_each_value_once_a_document),
        cmocka_unit_test_setup_teardown(facets_count_each_value_once_a_document, with_indexes,
                                        without_indexes),
        cmocka_unit_test(an_order_without_an_index_is_refused),
        cmocka_unit_test(an_order_follows_its_index),
        cmocka_unit_test(orders_of_times_and_numbers),
        cmocka_unit_test(reads_say_when_memory_is_out),
        cmocka_unit_test(reads_stop_when_they_are_told),
        cmocka_unit_test_setup_teardown(reads_stop_when_they_are_told, with_indexes,
                                        without_indexes),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
