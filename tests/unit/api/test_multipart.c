/* The file in a form: however its bytes come in, the same ones come out, and the same thing is
 * wrong with it. */
#include "api/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TYPE        "multipart/form-data; boundary=b-1"
#define DISPOSITION "Content-Disposition: form-data; name=\"snapshot\"; filename=\"x.snapshot\"\r\n"

struct taken {
    struct buf file;
    enum multipart_step step;
    struct err err;
};

/* One piece more; an allocation of exactly the bytes that are shown, so that the sanitizer finds
 * who reads past them. */
static void show(struct multipart *m, struct taken *t, struct slice body, size_t come, bool last,
                 size_t *at)
{
    size_t bytes = come - *at;
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
    size_t used = 0;

    assert_non_null(copy);
    memcpy(copy, body.data + *at, bytes);
    if (t->step != MULTIPART_BAD)
        t->step = multipart_take(m, slice_make(copy, bytes), last, &used, &t->file, &t->err);
    assert_true(used <= bytes);
    *at += used;
    free(copy);
}

static void begin(struct multipart *m, struct taken *t, const char *type)
{
    struct err err = {0};

    *t = (struct taken){.step = MULTIPART_MORE};
    buf_init(&t->file, 1 << 20);
    if (multipart_init(m, slice_text(type), &err) != ST_OK)
        fail_msg("%s: %s", type, err.text);
}

static void check(const struct taken *t, const char *file, const char *wrong)
{
    if (wrong != NULL) {
        assert_int_equal(t->step, MULTIPART_BAD);
        if (strstr(t->err.text, wrong) == NULL)
            fail_msg("%s, wanted: %s", t->err.text, wrong);
        return;
    }
    assert_int_equal(t->step, MULTIPART_END);
    if (!slice_equal(buf_slice(&t->file), slice_text(file)))
        fail_msg("%.*s, wanted %s", (int)t->file.bytes, (const char *)t->file.data, file);
}

/* Whole, byte by byte, and cut in three at every two places. */
static void comes_out(const char *type, const char *text, const char *file, const char *wrong)
{
    struct slice body = slice_text(text);

    for (size_t first = 0; first <= body.bytes; first++) {
        for (size_t second = first; second <= body.bytes; second++) {
            struct multipart m;
            struct taken t;
            size_t at = 0;

            begin(&m, &t, type);
            show(&m, &t, body, first, false, &at);
            show(&m, &t, body, second, false, &at);
            show(&m, &t, body, body.bytes, true, &at);
            check(&t, file, wrong);
            buf_free(&t.file);
        }
    }
    for (size_t bytewise = 0; bytewise < 1; bytewise++) {
        struct multipart m;
        struct taken t;
        size_t at = 0;

        begin(&m, &t, type);
        for (size_t come = 0; come <= body.bytes; come++)
            show(&m, &t, body, come, come == body.bytes, &at);
        check(&t, file, wrong);
        buf_free(&t.file);
    }
}

static void every_cut_gives_the_same_file(void **state)
{
    (void)state;
    comes_out(TYPE, "--b-1\r\n" DISPOSITION "\r\nline\r\n\r\n-- end\r\n--b-1--\r\n",
              "line\r\n\r\n-- end", NULL);
    comes_out(TYPE, "--b-1\r\n" DISPOSITION "\r\n\r\n--b-1--", "", NULL);
    comes_out(TYPE, "--b-1\r\n" DISPOSITION "\r\n\r\n\r\n--b-1--", "\r\n", NULL);
    comes_out(TYPE, "--b-1\r\n" DISPOSITION "\r\n--b-\r\n--b\r\r\n--b-1 \t\r\nX: y",
              "--b-\r\n--b\r", NULL);
    comes_out("Multipart/Form-Data; charset=\"a;b\"; Boundary=\"a b'(x)\"",
              "--a b'(x)\r\nCONTENT-disposition: form-data;name=snapshot\r\n\r\nx\r\n--a b'(x)--",
              "x", NULL);
}

static void other_parts_are_passed_over(void **state)
{
    (void)state;
    comes_out(TYPE,
              "before\r\n--b-1  \r\nContent-Disposition: form-data; name=\"a;filename=b\"\r\n\r\n1"
              "\r\n--b-1\r\nX: y\r\nContent-Disposition: form-data; name=f; filename*=u''c\r\n\r\n2"
              "\r\n--b-1\r\n" DISPOSITION "\r\n3\r\n--b-1--\r\nbehind",
              "2", NULL);
}

static void what_is_no_form_is_refused(void **state)
{
    (void)state;
    comes_out(TYPE, "", NULL, "ends before");
    comes_out(TYPE, "--b-1", NULL, "ends before");
    comes_out(TYPE, "nothing of the kind", NULL, "ends before");
    comes_out(TYPE, "--b-1--\r\n", NULL, "no part");
    comes_out(TYPE, "--b-1\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b-1--", NULL,
              "no part");
    comes_out(TYPE, "--b-1\r\n" DISPOSITION "\r\nfile\r\n--b-", NULL, "ends before");
    comes_out(TYPE, "--b-1\r\n" DISPOSITION "\r\nfile", NULL, "ends before");
    comes_out(TYPE, "--b-1\r\n" DISPOSITION, NULL, "ends before");
    comes_out(TYPE, "--b-1x\r\n" DISPOSITION "\r\nx\r\n--b-1--", NULL, "other bytes behind");
    comes_out(TYPE, "--b-1\r\nX: y\n\r\nx\r\n--b-1--", NULL, "CR LF");
}

static void headers_are_bounded(void **state)
{
    static const struct {
        size_t each, count;
        bool fits;
    } cases[] = {{100, 160, true}, {100, 170, false}, {17000, 1, false}, {2, 1, true}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct multipart m;
        struct taken t;
        struct buf body;
        size_t at = 0;

        begin(&m, &t, TYPE);
        buf_init(&body, 1 << 20);
        buf_put_text(&body, "--b-1\r\n" DISPOSITION);
        for (size_t line = 0; line < cases[i].count; line++) {
            for (size_t c = 0; c < cases[i].each - 2; c++)
                buf_put_text(&body, "h");
            buf_put_text(&body, line + 1 < cases[i].count || cases[i].each > 2 ? "\r\n" : "");
        }
        buf_put_text(&body, "\r\nfile\r\n--b-1--");
        for (size_t come = 0; come <= body.bytes; come += 64)
            show(&m, &t, buf_slice(&body), come, false, &at);
        show(&m, &t, buf_slice(&body), body.bytes, true, &at);
        check(&t, "file", cases[i].fits ? NULL : "more than 16384 bytes");
        buf_free(&body);
        buf_free(&t.file);
    }
}

static void a_boundary_is_what_the_rfc_allows(void **state)
{
    static const char *const bad[] = {"multipart/form-data",
                                      "multipart/form-data; boundary=",
                                      "multipart/form-data; boundary=\"\"",
                                      "multipart/form-data; boundary=\"a",
                                      "multipart/form-data; boundary=a\\b",
                                      "multipart/form-data; boundary=\"a \"",
                                      "multipart/form-data; xboundary=a",
                                      "multipart/form-data; x=\"; boundary=a\"",
                                      "multipart/mixed; boundary=a",
                                      "multipart/form-data; boundary=\xc3\xa4"};
    char text[128] = "multipart/form-data; boundary=";
    size_t front = strlen(text);
    struct multipart m;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (multipart_init(&m, slice_text(bad[i]), NULL) != ST_INVALID)
            fail_msg("%s", bad[i]);
    memset(text + front, 'a', 71);
    assert_int_equal(multipart_init(&m, slice_text(text), NULL), ST_INVALID);
    text[front + 70] = '\0';
    assert_int_equal(multipart_init(&m, slice_text(text), NULL), ST_OK);
    assert_false(multipart_is(slice_text("application/octet-stream")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same_file),
        cmocka_unit_test(other_parts_are_passed_over),
        cmocka_unit_test(what_is_no_form_is_refused),
        cmocka_unit_test(headers_are_bounded),
        cmocka_unit_test(a_boundary_is_what_the_rfc_allows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
