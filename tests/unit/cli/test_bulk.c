/* What import reads and export writes: files cut at every byte and with each bit turned, lines, and
 * the state of a run. */
#include "cli/bulk_file.h"
#include "cli/bulk_rows.h"
#include "cli/bulk_state.h"

#include "base/fs.h"
#include "base/npy.h"
#include "tests/support/alloc_sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DIM = 3, ROWS = 4, TEXT_BYTES = 4096 };

/* --- files --- */

static void put_rows(struct buf *out, bool lengths)
{
    for (int row = 0; row < ROWS; row++) {
        if (lengths)
            buf_put_u32(out, DIM);
        for (int i = 0; i < DIM; i++)
            buf_put_f32(out, (float)(row * DIM + i) + 0.5F);
    }
}

static void make_npy(struct buf *out)
{
    buf_init(out, TEXT_BYTES);
    npy_put_header(out, ROWS, DIM);
    assert_int_equal(out->bytes, NPY_WRITTEN_BYTES);
    put_rows(out, false);
}

static void make_fvecs(struct buf *out)
{
    buf_init(out, TEXT_BYTES);
    put_rows(out, true);
}

static FILE *file_of(struct slice bytes)
{
    FILE *f = tmpfile();

    assert_non_null(f);
    assert_int_equal(fwrite(bytes.data, 1, bytes.bytes, f), bytes.bytes);
    rewind(f);
    return f;
}

/* Rows until the end or an error; what was read goes into out, if there is one. */
static status read_all(struct slice bytes, enum bulk_format format, struct buf *out, uint64_t *rows,
                       struct err *err)
{
    FILE *f = file_of(bytes);
    struct bulk_reader r;
    struct slice row;
    bool got = true;
    status st = bulk_reader_open(&r, f, format, err);

    while (st == ST_OK && got) {
        st = bulk_reader_next(&r, &row, &got, err);
        if (st == ST_OK && got && out != NULL)
            buf_put_slice(out, row);
    }
    if (st == ST_OK) {
        assert_int_equal(r.offset, bytes.bytes);
        *rows = r.row;
    }
    bulk_reader_close(&r);
    (void)fclose(f);
    return st;
}

static void check_rows(struct slice bytes, enum bulk_format format)
{
    struct buf got;
    struct buf want;
    uint64_t rows = 0;
    struct err err;

    buf_init(&got, TEXT_BYTES);
    buf_init(&want, TEXT_BYTES);
    put_rows(&want, false);
    assert_int_equal(read_all(bytes, format, &got, &rows, &err), ST_OK);
    assert_int_equal(rows, ROWS);
    assert_true(slice_equal(buf_slice(&got), buf_slice(&want)));
    buf_free(&got);
    buf_free(&want);
}

static void arrays_are_read_row_by_row(void **state)
{
    struct buf b;

    (void)state;
    make_npy(&b);
    check_rows(buf_slice(&b), BULK_NPY);
    buf_free(&b);
    make_fvecs(&b);
    check_rows(buf_slice(&b), BULK_FVECS);
    buf_free(&b);
}

static void a_cut_array_is_refused_but_between_rows_of_fvecs(void **state)
{
    const size_t row = (1 + DIM) * sizeof(float);
    uint64_t rows = 0;
    struct err err;
    struct buf b;

    (void)state;
    make_npy(&b);
    for (size_t cut = 0; cut < b.bytes; cut++)
        assert_int_equal(read_all(slice_make(b.data, cut), BULK_NPY, NULL, &rows, &err),
                         ST_INVALID);
    buf_free(&b);
    make_fvecs(&b);
    for (size_t cut = 0; cut < b.bytes; cut++) {
        status st = read_all(slice_make(b.data, cut), BULK_FVECS, NULL, &rows, &err);

        assert_int_equal(st, cut % row == 0 ? ST_OK : ST_INVALID);
        if (st == ST_OK)
            assert_int_equal(rows, cut / row);
    }
    buf_free(&b);
}

/* A turned bit of the header is refused, or the header says the same with it (a blank for a tab, a
 * quote for another); one of a row is another number. */
static void a_turned_bit_of_a_header_is_never_another_shape(void **state)
{
    uint64_t rows = 0;
    struct err err;
    struct buf b;

    (void)state;
    make_npy(&b);
    for (size_t bit = 0; bit < (size_t)NPY_WRITTEN_BYTES * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (read_all(buf_slice(&b), BULK_NPY, NULL, &rows, &err) == ST_OK)
            assert_int_equal(rows, ROWS);
        else
            assert_int_equal(err.code, ST_INVALID);
        b.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    buf_free(&b);
}

static status read_header(const char *dict, unsigned version, struct err *err)
{
    uint64_t rows = 0;
    struct buf b;
    status st;

    buf_init(&b, TEXT_BYTES);
    buf_put(&b, "\x93NUMPY", 6);
    buf_put_u8(&b, (uint8_t)version);
    buf_put_u8(&b, 0);
    if (version == 1)
        buf_put_u16(&b, (uint16_t)strlen(dict));
    else
        buf_put_u32(&b, (uint32_t)strlen(dict));
    buf_put_text(&b, dict);
    st = read_all(buf_slice(&b), BULK_NPY, NULL, &rows, err);
    buf_free(&b);
    return st;
}

static void headers_are_taken_as_numpy_writes_them_and_no_other_way(void **state)
{
    static const char *const fine[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }      \n",
        "{\"shape\":(0,3,),\"fortran_order\":False,\"descr\":\"<f4\"}",
    };
    static const char *const wrong[][2] = {
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3), }", "<f4"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (0, 3), }", "<f4"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3), }", "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "1 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "0 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3, 4), }", "3 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 0), }", "0 values"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 65536), }", "65536 values"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9999999999999999999), }", "NumPy"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }", "NumPy"},
        {"{'descr': '<f4', 'fortran_order': False}", "NumPy"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", "NumPy"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), 'more': 'x'}", "NumPy"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), } x", "NumPy"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (0, 3), }", "NumPy"},
        {"{'descr': '<f4", "NumPy"},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(fine); i++)
        for (unsigned version = 1; version <= 3; version++)
            assert_int_equal(read_header(fine[i], version, &err), ST_OK);
    assert_int_equal(read_header(fine[0], 4, &err), ST_INVALID);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_int_equal(read_header(wrong[i][0], 1, &err), ST_INVALID);
        if (strstr(err.text, wrong[i][1]) == NULL)
            fail_msg("%s: %s", wrong[i][0], err.text);
    }
}

static void a_reader_goes_on_where_another_stood(void **state)
{
    struct bulk_reader r;
    struct slice row;
    struct err err;
    uint64_t offset;
    struct buf b;
    bool got;
    FILE *f;

    (void)state;
    make_fvecs(&b);
    f = file_of(buf_slice(&b));
    assert_int_equal(bulk_reader_open(&r, f, BULK_FVECS, &err), ST_OK);
    assert_int_equal(bulk_reader_next(&r, &row, &got, &err), ST_OK);
    offset = r.offset;
    bulk_reader_close(&r);
    rewind(f);
    assert_int_equal(bulk_reader_open(&r, f, BULK_FVECS, &err), ST_OK);
    assert_int_equal(bulk_reader_seek(&r, offset, 1, &err), ST_OK);
    assert_int_equal(bulk_reader_next(&r, &row, &got, &err), ST_OK);
    assert_true(got);
    assert_int_equal(r.row, 2);
    assert_memory_equal(row.data, b.data + offset + sizeof(float), DIM * sizeof(float));
    bulk_reader_close(&r);
    (void)fclose(f);
    buf_free(&b);
}

static void lines_end_as_they_like_and_blank_ones_count(void **state)
{
    static const char text[] = "a\n\n  \r\nbc\r\n\tdef";
    struct bulk_reader r;
    struct slice row;
    struct err err;
    bool got;
    FILE *f = file_of(slice_text(text));
    static const struct {
        const char *text;
        uint64_t number;
    } want[] = {{"a", 1}, {"bc", 4}, {"\tdef", 5}};

    (void)state;
    assert_int_equal(bulk_reader_open(&r, f, BULK_NDJSON, &err), ST_OK);
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        assert_int_equal(bulk_reader_next(&r, &row, &got, &err), ST_OK);
        assert_true(got && slice_equal(row, slice_text(want[i].text)));
        assert_int_equal(r.row, want[i].number);
    }
    assert_int_equal(bulk_reader_next(&r, &row, &got, &err), ST_OK);
    assert_false(got);
    bulk_reader_close(&r);
    (void)fclose(f);
}

/* Pieces of the file end within lines. */
static void lines_longer_than_a_piece_are_whole(void **state)
{
    enum { COUNT = 9, LONG = 200 * 1000 };
    struct bulk_reader r;
    struct slice row;
    struct err err;
    struct buf b;
    bool got;
    FILE *f;

    (void)state;
    buf_init(&b, (size_t)COUNT * LONG * 2);
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t at = 0; at < i * LONG / COUNT + 1; at++)
            buf_put_u8(&b, (uint8_t)('a' + i));
        buf_put_u8(&b, '\n');
    }
    f = file_of(buf_slice(&b));
    assert_int_equal(bulk_reader_open(&r, f, BULK_NDJSON, &err), ST_OK);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(bulk_reader_next(&r, &row, &got, &err), ST_OK);
        assert_int_equal(row.bytes, i * LONG / COUNT + 1);
        assert_int_equal(row.data[0], 'a' + i);
        assert_int_equal(row.data[row.bytes - 1], 'a' + i);
    }
    bulk_reader_close(&r);
    (void)fclose(f);
    buf_free(&b);
}

static void formats_go_by_the_end_of_the_name(void **state)
{
    enum bulk_format f;

    (void)state;
    assert_int_equal(bulk_format_of("a/b.npy"), BULK_NPY);
    assert_int_equal(bulk_format_of("b.fvecs"), BULK_FVECS);
    assert_int_equal(bulk_format_of("b.npy.txt"), BULK_NDJSON);
    assert_int_equal(bulk_format_of("b"), BULK_NDJSON);
    assert_false(bulk_format_parse("csv", &f));
}

/* --- rows --- */

/* A collection with these vectors of dimension 2; NULL: there is none yet. */
static void open_rows(struct bulk_rows *w, const char *const *names)
{
    *w = (struct bulk_rows){.open = names == NULL};
    assert_int_equal(bulk_rows_open(w, NULL), ST_OK);
    for (; names != NULL && *names != NULL; names++)
        assert_int_equal(bulk_field_add(w, slice_text(*names), 2, slice_text("l2"), NULL, NULL),
                         ST_OK);
}

/* want: what goes out, or what is said of it. */
static void put_into(const char *const *names, const char *line, status st, const char *want)
{
    struct bulk_rows w;
    struct buf out;
    struct err err = {0};

    open_rows(&w, names);
    buf_init(&out, TEXT_BYTES);
    if (bulk_put_line(&w, &out, slice_text(line), 7, &err) != st)
        fail_msg("%s: %s", line, err.text);
    if (st != ST_OK && strstr(err.text, want) == NULL)
        fail_msg("%s: %s", line, err.text);
    if (st == ST_OK && !slice_equal(buf_slice(&out), slice_text(want)))
        fail_msg("%s: %.*s", line, (int)out.bytes, (const char *)out.data);
    buf_free(&out);
    bulk_rows_close(&w);
}

static const char *const PLAIN[] = {"", NULL};
static const char *const NAMED[] = {"a", "b\"", NULL};
static const char *const ONE[] = {"a", NULL};
static const char *const NONE[] = {NULL};

static void a_line_of_either_form_is_the_same_document(void **state)
{
    static const struct {
        const char *const *names;
        const char *line, *want;
    } rows[] = {
        {PLAIN, "{\"doc_id\":18446744073709551615,\"vector\":[1,2.5]}",
         "{\"doc_id\":18446744073709551615,\"vector\":[1,2.5]}"},
        {PLAIN, "{\"payload\":{\"a\":[1,null,1.0]},\"vector\":[1e0,0],\"id\":1}",
         "{\"doc_id\":1,\"vector\":[1,0],\"payload\":{\"a\":[1,null,1.0]}}"},
        {PLAIN,
         "{\"doc_id\":1,\"external_id\":\"\\u00e9\",\"vector\":[1,2],\"payload\":null,\"lsn\":4}",
         "{\"doc_id\":1,\"external_id\":\"\xc3\xa9\",\"vector\":[1,2]}"},
        {PLAIN, "{\"id\":1,\"vector\":null,\"vectors\":{}}", "{\"doc_id\":1,\"vectors\":{}}"},
        {NAMED, "{\"id\":1,\"vectors\":{\"a\":[1,2],\"b\\\"\":[3,4]}}",
         "{\"doc_id\":1,\"vectors\":{\"a\":[1,2],\"b\\\"\":[3,4]}}"},
        {NAMED, "{\"id\":1,\"vector\":{\"a\":[1,2],\"b\\\"\":null}}",
         "{\"doc_id\":1,\"vectors\":{\"a\":[1,2]}}"},
        {NAMED, "{\"id\":1,\"vector\":{}}", "{\"doc_id\":1,\"vectors\":{}}"},
        {ONE, "{\"id\":1,\"vector\":[1,2]}", "{\"doc_id\":1,\"vector\":[1,2]}"},
        {NONE, "{\"id\":1,\"payload\":{}}", "{\"doc_id\":1,\"payload\":{}}"},
        {NULL, "{\"id\":1,\"vector\":[1],\"vectors\":{\"new\":[1,2,3]}}",
         "{\"doc_id\":1,\"vector\":[1],\"vectors\":{\"new\":[1,2,3]}}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        put_into(rows[i].names, rows[i].line, ST_OK, rows[i].want);
}

static void a_vector_that_has_no_place_is_refused_by_name(void **state)
{
    static const struct {
        const char *const *names;
        const char *line, *want;
    } rows[] = {
        {PLAIN, "{\"id\":1}", "`vector` is missing"},
        {PLAIN, "{\"id\":1,\"vector\":null}", "`vector` is missing"},
        {PLAIN, "{\"id\":1,\"vector\":[1,2,3]}", "`vector` has 3 values, 2 are needed"},
        {PLAIN, "{\"id\":1,\"vector\":\"x\"}", "array of numbers"},
        {PLAIN, "{\"id\":1,\"vector\":[[1,2]]}", "many vectors"},
        {PLAIN, "{\"id\":1,\"vectors\":{\"x\":[1,2]}}", "no vector `x`; it has one without a name"},
        {PLAIN, "{\"id\":1,\"vectors\":[1,2]}", "`vectors` is of type array"},
        {PLAIN, "{\"id\":1,\"vector\":{\"x\":[1,2]},\"vectors\":{}}", "both hold"},
        {NAMED, "{\"id\":1,\"vector\":[1,2]}", "does not say which: the collection has `a`, `b\"`"},
        {NAMED, "{\"id\":1,\"vectors\":{\"a\":[1]}}", "`vectors.a` has 1 values, 2 are needed"},
        {NAMED, "{\"id\":1,\"vectors\":{\"a\":{\"indices\":[1],\"values\":[2]}}}",
         "`vectors.a` is sparse"},
        {NAMED, "{\"id\":1,\"vectors\":{\"a\":[[1,2],[3,4]]}}", "`vectors.a` holds many"},
        {NONE, "{\"id\":1,\"vector\":[1,2]}", "the collection has none"},
        {NULL, "{\"id\":1,\"vectors\":{\"a\\u0000\":[1,2]}}", "its name is none that is taken"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        put_into(rows[i].names, rows[i].line, ST_INVALID, rows[i].want);
}

/* The first document of a new collection has one named vector, the next an unnamed one too. */
static void the_first_vector_that_comes_is_not_the_only_one(void **state)
{
    struct bulk_rows w;
    struct buf out;

    (void)state;
    open_rows(&w, NULL);
    buf_init(&out, TEXT_BYTES);
    assert_int_equal(
        bulk_put_line(&w, &out, slice_text("{\"id\":1,\"vectors\":{\"a\":[1,2]}}"), 1, NULL),
        ST_OK);
    assert_int_equal(bulk_put_line(&w, &out, slice_text("{\"id\":2,\"vector\":[1,2,3]}"), 2, NULL),
                     ST_OK);
    assert_int_equal(w.field_count, 2);
    assert_int_equal(bulk_field_called(&w, slice_text(""))->dim, 3);
    buf_free(&out);
    bulk_rows_close(&w);
}

static void of_named_vectors_one_may_be_taken(void **state)
{
    const char *line = "{\"id\":1,\"vector\":{\"x\":[1,2],\"y\":[3,4,5]}}";
    struct bulk_rows w;
    struct jval v;
    struct err err;
    struct buf out;

    (void)state;
    for (size_t named = 0; named < 2; named++) {
        open_rows(&w, named ? ONE : PLAIN);
        w.take = "x";
        w.into = &w.fields[0];
        buf_init(&out, TEXT_BYTES);
        assert_int_equal(bulk_put_line(&w, &out, slice_text(line), 1, &err), ST_OK);
        assert_true(slice_equal(buf_slice(&out),
                                slice_text(named ? "{\"doc_id\":1,\"vectors\":{\"a\":[1,2]}}"
                                                 : "{\"doc_id\":1,\"vector\":[1,2]}")));
        w.take = "z";
        assert_int_equal(bulk_put_line(&w, &out, slice_text(line), 1, &err), ST_INVALID);
        assert_non_null(strstr(err.text, "no vector `z`"));
        buf_reset(&out);
        assert_int_equal(jdoc_parse(w.doc, slice_text(line), &v, NULL), ST_OK);
        (void)snprintf(w.fields[0].name, sizeof w.fields[0].name, "x");
        assert_int_equal(bulk_put_floats(&w, &out, &w.fields[0], v, &err), ST_OK);
        assert_int_equal(out.bytes, 8);
        (void)snprintf(w.fields[0].name, sizeof w.fields[0].name, "z");
        assert_int_equal(bulk_put_floats(&w, &out, &w.fields[0], v, &err), ST_INVALID);
        assert_non_null(strstr(err.text, "\"has_vector\":\"z\""));
        buf_free(&out);
        bulk_rows_close(&w);
    }
}

static void vectors_are_so_many_and_each_once(void **state)
{
    struct bulk_field *f = NULL;
    struct bulk_rows w;
    struct err err;
    char name[BULK_NAME_BYTES + 1];

    (void)state;
    open_rows(&w, ONE);
    assert_int_equal(bulk_field_add(&w, slice_text("a"), 1, slice_text(""), NULL, &err),
                     ST_INVALID);
    memset(name, 'n', sizeof name);
    assert_int_equal(
        bulk_field_add(&w, slice_make(name, BULK_NAME_BYTES), 1, slice_text(""), NULL, &err),
        ST_INVALID);
    for (size_t i = 1; i < BULK_FIELDS_MAX; i++)
        assert_int_equal(bulk_field_add(&w, slice_make(name, i), 1, slice_text(""), NULL, &err),
                         ST_OK);
    assert_int_equal(bulk_field_add(&w, slice_text("z"), 1, slice_text(""), NULL, &err),
                     ST_INVALID);
    assert_int_equal(bulk_fields_dim(&w), 2 + BULK_FIELDS_MAX - 1);
    assert_int_equal(bulk_field_meant(&w, NULL, &f, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "--vector"));
    assert_int_equal(bulk_field_meant(&w, "nn", &f, &err), ST_OK);
    assert_string_equal(f->name, "nn");
    bulk_rows_close(&w);
}

static void made_id(const char *line, uint64_t number, char id[64])
{
    struct bulk_rows w = {.open = true};
    struct buf out;

    assert_int_equal(bulk_rows_open(&w, NULL), ST_OK);
    buf_init(&out, TEXT_BYTES);
    assert_int_equal(bulk_put_line(&w, &out, slice_text(line), number, NULL), ST_OK);
    (void)snprintf(id, 64, "%.*s", 36, (const char *)out.data + strlen("{\"doc_id\":\""));
    buf_free(&out);
    bulk_rows_close(&w);
}

/* The ids of lines without one stay for ever: a run may go on with a later version. */
static void an_id_is_made_of_the_lines_number_and_text(void **state)
{
    char id[64];
    char other[64];

    (void)state;
    made_id("{\"vector\":[1,2]}", 1, id);
    assert_string_equal(id, "77c62468-f4c9-810c-b54f-a19c03665095");
    made_id("{\"vector\":[1,2]}", 2, other);
    assert_string_not_equal(id, other);
    made_id("{\"vector\":[1,3]}", 1, other);
    assert_string_not_equal(id, other);
}

static status put_one(void *arg)
{
    struct bulk_rows w = {.open = true};
    struct buf out;
    struct err err;
    status st = bulk_rows_open(&w, &err);

    (void)arg;
    buf_init(&out, TEXT_BYTES);
    if (st == ST_OK)
        st = bulk_put_line(&w, &out, slice_text("{\"vector\":[1,2],\"payload\":{\"a\":\"b\"}}"), 1,
                           &err);
    buf_free(&out);
    bulk_rows_close(&w);
    return st;
}

static void a_line_without_memory_is_not_put(void **state)
{
    (void)state;
    assert_true(alloc_sweep(put_one, NULL) >= 3);
}

static void floats_that_are_none_are_refused(void **state)
{
    static const uint32_t bad[] = {0x7fc00000, 0x7f800000, 0xff800000};
    struct bulk_field *field = NULL;
    struct bulk_rows w = {.open = true};
    struct err err;
    struct buf out;

    (void)state;
    assert_int_equal(bulk_rows_open(&w, &err), ST_OK);
    assert_int_equal(bulk_field_meant(&w, NULL, &field, &err), ST_OK);
    buf_init(&out, TEXT_BYTES);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint8_t bytes[8] = {0};

        le_put_u32(bytes + 4, bad[i]);
        assert_int_equal(bulk_put_vector(&w, &out, field, slice_make(bytes, sizeof bytes), 1, &err),
                         ST_INVALID);
        assert_non_null(strstr(err.text, "value 1"));
    }
    buf_free(&out);
    bulk_rows_close(&w);
}

/* --- the state --- */

static void a_state_is_of_one_job_and_one_collection(void **state)
{
    char path[] = "/tmp/test_bulk.XXXXXX";
    struct bulk_state s = {.path = path, .position = 1ULL << 60, .row = 7, .rows = 6};
    struct bulk_state got = {.path = path};
    struct err err;
    bool found = true;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0 && close(fd) == 0 && unlink(path) == 0);
    assert_int_equal(bulk_state_job(&s, slice_text("a job"), &err), ST_OK);
    (void)snprintf(s.collection_id, sizeof s.collection_id, "c");
    (void)snprintf(s.cursor, sizeof s.cursor, "\"a\\b\"");
    memcpy(got.job, s.job, sizeof got.job);
    memcpy(got.collection_id, s.collection_id, sizeof got.collection_id);
    assert_int_equal(bulk_state_load(&got, &found, &err), ST_OK);
    assert_false(found);
    assert_int_equal(bulk_state_save(&s, &err), ST_OK);
    assert_int_equal(bulk_state_load(&got, &found, &err), ST_OK);
    assert_true(found && got.position == 1ULL << 60 && got.row == 7 && got.rows == 6 && !got.done);
    assert_string_equal(got.cursor, s.cursor);
    got.job[0] = 'x';
    assert_int_equal(bulk_state_load(&got, &found, &err), ST_CONFLICT);
    got.job[0] = s.job[0];
    got.collection_id[0] = 'd';
    assert_int_equal(bulk_state_load(&got, &found, &err), ST_CONFLICT);
    assert_int_equal(unlink(path), 0);
}

static void a_cut_state_is_said_to_be_damaged(void **state)
{
    char path[] = "/tmp/test_bulk.XXXXXX";
    struct bulk_state s = {.path = path};
    struct err err;
    struct buf whole;
    bool found;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0 && close(fd) == 0);
    assert_int_equal(bulk_state_job(&s, slice_text("a job"), &err), ST_OK);
    assert_int_equal(bulk_state_save(&s, &err), ST_OK);
    buf_init(&whole, TEXT_BYTES);
    assert_int_equal(fs_read_file(fs_real(), path, TEXT_BYTES, &whole, &err), ST_OK);
    for (size_t cut = 0; cut + 2 < whole.bytes; cut++) { /* the line end may go */
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(fs_write_file(fs_real(), path, slice_make(whole.data, cut), &err), ST_OK);
        assert_int_equal(bulk_state_load(&s, &found, &err), ST_CORRUPT);
        assert_false(found);
    }
    buf_free(&whole);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_are_read_row_by_row),
        cmocka_unit_test(a_cut_array_is_refused_but_between_rows_of_fvecs),
        cmocka_unit_test(a_turned_bit_of_a_header_is_never_another_shape),
        cmocka_unit_test(headers_are_taken_as_numpy_writes_them_and_no_other_way),
        cmocka_unit_test(a_reader_goes_on_where_another_stood),
        cmocka_unit_test(lines_end_as_they_like_and_blank_ones_count),
        cmocka_unit_test(lines_longer_than_a_piece_are_whole),
        cmocka_unit_test(formats_go_by_the_end_of_the_name),
        cmocka_unit_test(a_line_of_either_form_is_the_same_document),
        cmocka_unit_test(a_vector_that_has_no_place_is_refused_by_name),
        cmocka_unit_test(the_first_vector_that_comes_is_not_the_only_one),
        cmocka_unit_test(of_named_vectors_one_may_be_taken),
        cmocka_unit_test(vectors_are_so_many_and_each_once),
        cmocka_unit_test(an_id_is_made_of_the_lines_number_and_text),
        cmocka_unit_test(a_line_without_memory_is_not_put),
        cmocka_unit_test(floats_that_are_none_are_refused),
        cmocka_unit_test(a_state_is_of_one_job_and_one_collection),
        cmocka_unit_test(a_cut_state_is_said_to_be_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
