/* What the writer of cold segments refuses. */
#include "tests/unit/segment/cold_case.h"

#include <stdlib.h>

static uint64_t seed = 20261122;

struct attempt {
    struct container_memory_sink sink;
    struct cold_writer *w;
    struct cold_case c;
};

static void attempt_begin(struct attempt *a)
{
    const struct cold_case_options o = {.seed = seed, .rows = 10, .fields = 2, .nobody_has = 2};

    cold_case_make(&o, &a->c);
    container_memory_sink_init(&a->sink, 1 << 20);
    assert_int_equal(cold_writer_create(&a->sink.sink, &a->c.writer, &a->w, NULL), ST_OK);
}

static void attempt_end(struct attempt *a)
{
    cold_writer_destroy(a->w);
    buf_free(&a->sink.bytes);
    cold_case_free(&a->c);
}

static struct cold_record record_of(const struct cold_case *c, uint32_t i)
{
    return (struct cold_record){.lsn = c->rows[i].lsn,
                                .id = c->rows[i].id,
                                .code = c->fields[0].row_codes + i * c->fields[0].row_code_bytes};
}

static void what_is_out_of_turn_is_refused(void **state)
{
    struct cold_payload_row row = {0};
    struct manifest_cold m = {0};
    struct cold_record r;
    struct attempt a;

    (void)state;
    attempt_begin(&a);
    row = (struct cold_payload_row){.lsn = a.c.rows[0].lsn, .id = a.c.rows[0].id, .fields = 1};
    r = record_of(&a.c, 0);
    assert_int_equal(cold_writer_code(a.w, 0, a.c.fields[0].short_codes, NULL), ST_INVALID);
    assert_int_equal(cold_writer_payload(a.w, &row, NULL), ST_INVALID);
    assert_int_equal(cold_writer_finish(a.w, &m, NULL), ST_INVALID);
    for (uint32_t i = 0; i < 10; i++) {
        r = record_of(&a.c, i);
        assert_int_equal(cold_writer_record(a.w, 0, &r, NULL), ST_OK);
    }
    assert_int_equal(cold_writer_record(a.w, 0, &r, NULL), ST_INVALID); /* one too many */
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(
            cold_writer_code(a.w, 0, a.c.fields[0].short_codes + i * a.c.fields[0].short_code_bytes,
                             NULL),
            ST_OK);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(cold_writer_vector(
                             a.w, 0, a.c.fields[0].vectors + (size_t)i * a.c.fields[0].f.dim, NULL),
                         ST_OK);
    assert_int_equal(cold_writer_record(a.w, 1, &r, NULL), ST_INVALID); /* of an empty field */
    assert_int_equal(cold_writer_id(a.w, &r.id, 0, r.lsn, NULL), ST_INVALID);
    for (uint32_t i = 0; i < 10; i++) {
        row.lsn = a.c.rows[i].lsn;
        row.id = a.c.rows[i].id;
        assert_int_equal(cold_writer_payload(a.w, &row, NULL), ST_OK);
    }
    assert_int_equal(cold_writer_id(a.w, &a.c.rows[a.c.by_id[5]].id, 5, r.lsn, NULL), ST_OK);
    assert_int_equal(cold_writer_id(a.w, &a.c.rows[a.c.by_id[5]].id, 5, r.lsn, NULL), ST_INVALID);
    assert_int_equal(cold_writer_id(a.w, &a.c.rows[a.c.by_id[4]].id, 4, r.lsn, NULL), ST_INVALID);
    assert_int_equal(cold_writer_finish(a.w, &m, NULL), ST_INVALID);
    attempt_end(&a);
}

static void records_that_no_reader_would_take_are_refused(void **state)
{
    float nan_code[16];
    struct cold_record r;
    struct attempt a;

    (void)state;
    attempt_begin(&a);
    memset(nan_code, 0xff, sizeof nan_code);
    r = record_of(&a.c, 0);
    r.lsn = a.c.writer.lsn_min - 1;
    assert_int_equal(cold_writer_record(a.w, 0, &r, NULL), ST_INVALID);
    r.lsn = a.c.writer.lsn_max + 1;
    assert_int_equal(cold_writer_record(a.w, 0, &r, NULL), ST_INVALID);
    r = record_of(&a.c, 0);
    r.id.kind = DOCID_UUID;
    assert_int_equal(cold_writer_record(a.w, 0, &r, NULL), ST_INVALID);
    r = record_of(&a.c, 0);
    r.code = (const uint8_t *)nan_code;
    assert_int_equal(cold_writer_record(a.w, 0, &r, NULL), ST_INVALID);
    attempt_end(&a);
}

static const char *wrong(struct cold_writer_options *o, struct cold_field *fields, unsigned which)
{
    switch (which) {
    case 0:
        o->rows = 0;
        return "no rows";
    case 1:
        o->lsn_min = 0;
        return "lsn 0";
    case 2:
        o->lsn_max = o->lsn_min - 1;
        return "lsns that fall";
    case 3:
        o->id_bytes = 9;
        return "ids of nine bytes";
    case 4:
        o->id_form = COLD_ID_MIXED;
        return "mixed ids of eight bytes";
    case 5:
        fields[1].field = fields[0].field;
        return "a field twice";
    case 6:
        fields[0].dim = 0;
        return "no dimension";
    case 7:
        fields[0].metric = 5;
        return "no metric";
    case 8:
        fields[0].short_bits = 8;
        return "short codes that are not";
    case 9:
        fields[0].rows++;
        return "a field of more rows";
    case 10:
        fields[0].fine--;
        return "cells that are too few";
    case 11:
        fields[0].rows--;
        return "cells of more rows";
    case 12:
        o->field_count = COLD_FIELDS_MAX + 1;
        return "too many fields";
    default:
        return NULL;
    }
}

static void options_that_do_not_fit_are_refused(void **state)
{
    const struct cold_case_options o = {.seed = seed, .rows = 10, .fields = 2};
    struct container_memory_sink sink;
    struct cold_writer *w;
    struct cold_case c;

    (void)state;
    cold_case_make(&o, &c);
    container_memory_sink_init(&sink, 1 << 20);
    for (unsigned which = 0;; which++) {
        struct cold_writer_options options = c.writer;
        struct cold_field fields[2] = {c.cold_fields[0], c.cold_fields[1]};
        const char *what;

        options.fields = fields;
        what = wrong(&options, fields, which);
        if (what == NULL)
            break;
        if (cold_writer_create(&sink.sink, &options, &w, NULL) != ST_INVALID)
            fail_msg("%s is taken", what);
    }
    buf_free(&sink.bytes);
    cold_case_free(&c);
}

/* A sink that fails at its n-th write: the writer says so, and takes nothing more. */
struct broken_sink {
    struct container_sink sink;
    unsigned writes, fail_at;
};

static status broken_write(struct container_sink *sink, struct slice bytes, struct err *err)
{
    struct broken_sink *b = (struct broken_sink *)sink;

    (void)bytes;
    return b->writes++ == b->fail_at ? err_set(err, ST_IO, "no") : ST_OK;
}

static void a_sink_that_fails_fails_the_segment(void **state)
{
    const struct cold_case_options o = {
        .seed = seed, .rows = 60, .fields = 2, .payload_bytes = 30000};
    struct manifest_cold m;
    struct cold_case c;

    (void)state;
    cold_case_make(&o, &c);
    for (unsigned n = 0;; n++) {
        struct broken_sink b = {.sink.write = broken_write, .fail_at = n};
        status st = cold_case_write_to(&c, &b.sink, &m);

        if (b.writes <= n) {
            assert_int_equal(st, ST_OK);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(st, ST_IO);
        assert_int_equal(b.writes, n + 1);
    }
    cold_case_free(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_out_of_turn_is_refused),
        cmocka_unit_test(records_that_no_reader_would_take_are_refused),
        cmocka_unit_test(options_that_do_not_fit_are_refused),
        cmocka_unit_test(a_sink_that_fails_fails_the_segment),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
