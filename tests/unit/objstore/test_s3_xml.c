/* What stores say in XML, as they say it and as an enemy would. */
#include "objstore/s3_xml.h"

#include "tests/support/alloc_sweep.h"

#include <stdlib.h>

#define HEAD  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define SPACE " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static void error_is_read(void **state)
{
    struct s3_error e;

    (void)state;
    assert_true(s3_xml_error(
        slice_text(HEAD "<Error><Code>AccessDenied</Code><Message>Access &lt;Denied&gt;"
                        "\n.</Message><BucketName>b</BucketName><RequestId>18A</RequestId>"
                        "<Region>eu-1</Region></Error>"),
        &e));
    assert_string_equal(e.code, "AccessDenied");
    assert_string_equal(e.message, "Access <Denied>?.");
    assert_string_equal(e.request_id, "18A");
    assert_string_equal(e.region, "eu-1");
    assert_true(s3_xml_error(slice_text("  \n<Error><Code>X</Code></Error>"), &e));
    assert_true(s3_xml_error(slice_text("<a:Error" SPACE "><a:Code>X</a:Code></a:Error>"), &e));
    assert_false(s3_xml_error(slice_text("<html><body>502</body></html>"), &e));
    assert_false(s3_xml_error(slice_text("<Error><Code></Code></Error>"), &e));
    assert_false(s3_xml_error(slice_text(""), &e));
    assert_false(s3_xml_error(slice_text("<Error><Code>X</Code>"), &e));
    assert_string_equal(e.code, "");
}

/* The text of another entity, a file, or a billion laughs: none is even looked at. */
static void document_types_and_entities_are_refused(void **state)
{
    static const char *const bad[] = {
        "<!DOCTYPE e [<!ENTITY x \"y\">]><Error><Code>&x;</Code></Error>",
        "<!DOCTYPE e SYSTEM \"file:///etc/passwd\"><Error><Code>a</Code></Error>",
        "<!DOCTYPE e [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>"
        "<Error><Code>&b;</Code></Error>",
        "<Error><Code>&x;</Code></Error>",
    };
    struct s3_error e;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(s3_xml_error(slice_text(bad[i]), &e));
}

static const char LISTING[] =
    HEAD "<ListBucketResult" SPACE "><Name>b</Name><Prefix>p/</Prefix><KeyCount>2</KeyCount>"
         "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
         "<Contents><Key>p/</Key><Size>0</Size></Contents>"
         "<Contents><Key>p/a</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified>"
         "<ETag>&quot;x&quot;</ETag><Size>18446744073709551615</Size><Owner><ID>i</ID></Owner>"
         "</Contents>"
         "<Contents><Key>p/b%2F%20+%2b%zz%00c</Key><Size>7</Size></Contents>"
         "</ListBucketResult>";

static void listing_is_read(void **state)
{
    struct objstore_result r = {0};

    (void)state;
    assert_int_equal(s3_xml_list(slice_text(LISTING), "p/", &r, NULL), ST_OK);
    assert_int_equal(r.entry_count, 2);
    assert_true(r.truncated);
    assert_string_equal(r.entries[0].key, "a");
    assert_true(r.entries[0].bytes == UINT64_MAX);
    assert_true(r.entries[0].modified_ns == UINT64_C(1767323045678000000));
    assert_string_equal(r.entries[1].key, "b/  +%zz%00c");
    assert_int_equal(r.entries[1].modified_ns, 0);
    objstore_result_fini(&r);
}

static void empty_listing_is_a_listing(void **state)
{
    struct objstore_result r = {0};

    (void)state;
    assert_int_equal(s3_xml_list(slice_text("<ListBucketResult><IsTruncated>false</IsTruncated>"
                                            "</ListBucketResult>"),
                                 "", &r, NULL),
                     ST_OK);
    assert_int_equal(r.entry_count, 0);
    assert_false(r.truncated);
    objstore_result_fini(&r);
}

static void check_no_listing(const char *text, const char *prefix)
{
    struct objstore_result r = {0};
    struct err err;

    assert_int_equal(s3_xml_list(slice_text(text), prefix, &r, &err), ST_CORRUPT);
    objstore_result_fini(&r);
}

static void what_is_no_listing_is_refused(void **state)
{
    (void)state;
    check_no_listing("", "");
    check_no_listing("OK", "");
    check_no_listing("<html/>", "");
    check_no_listing(LISTING, "q/");
    check_no_listing("<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
                     "");
    check_no_listing("<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents>"
                     "</ListBucketResult>",
                     "");
    check_no_listing("<a><b><c><d><e><f><g><h><i/></h></g></f></e></d></c></b></a>", "");
}

static void bounds_are_kept(void **state)
{
    struct objstore_result r = {0};
    struct err err;
    struct buf text;

    (void)state;
    buf_init(&text, 4 * 1024 * 1024);
    for (int entries = OBJSTORE_LIST_MAX; entries <= OBJSTORE_LIST_MAX + 1; entries++) {
        buf_reset(&text);
        buf_put_text(&text, "<ListBucketResult>");
        for (int i = 0; i < entries; i++)
            buf_printf(&text, "<Contents><Key>%d</Key><Size>1</Size></Contents>", i);
        buf_put_text(&text, "</ListBucketResult>");
        assert_int_equal(s3_xml_list(buf_slice(&text), "", &r, &err),
                         entries == OBJSTORE_LIST_MAX ? ST_OK : ST_CORRUPT);
        objstore_result_fini(&r);
    }
    for (size_t bytes = S3_XML_TEXT_BYTES_MAX; bytes <= S3_XML_TEXT_BYTES_MAX + 1; bytes++) {
        buf_reset(&text);
        buf_put_text(&text, "<ListBucketResult><Contents><Key>");
        for (size_t i = 0; i < bytes; i++)
            buf_put_text(&text, "k");
        buf_put_text(&text, "</Key></Contents></ListBucketResult>");
        assert_int_equal(s3_xml_list(buf_slice(&text), "", &r, &err),
                         bytes == S3_XML_TEXT_BYTES_MAX ? ST_OK : ST_CORRUPT);
        objstore_result_fini(&r);
    }
    /* A root with no content and a name that is too long ends at once, with nothing open. */
    buf_reset(&text);
    buf_put_text(&text, "<");
    for (size_t i = 0; i < S3_XML_PATH_BYTES; i++)
        buf_put_text(&text, "n");
    buf_put_text(&text, "/>");
    assert_int_equal(s3_xml_list(buf_slice(&text), "", &r, &err), ST_CORRUPT);
    buf_free(&text);
}

static void uploads_are_read(void **state)
{
    char id[OBJSTORE_UPLOAD_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    struct err err;

    (void)state;
    assert_int_equal(s3_xml_upload_id(slice_text("<InitiateMultipartUploadResult><Key>k</Key>"
                                                 "<UploadId>a-_b</UploadId>"
                                                 "</InitiateMultipartUploadResult>"),
                                      id, &err),
                     ST_OK);
    assert_string_equal(id, "a-_b");
    assert_int_equal(s3_xml_upload_id(slice_text("<InitiateMultipartUploadResult/>"), id, &err),
                     ST_CORRUPT);
    assert_int_equal(s3_xml_complete(slice_text("\n \n<CompleteMultipartUploadResult>"
                                                "<ETag>&quot;e-2&quot;</ETag>"
                                                "</CompleteMultipartUploadResult>"),
                                     etag, &err),
                     ST_OK);
    assert_string_equal(etag, "\"e-2\"");
    assert_int_equal(s3_xml_complete(slice_text("<CompleteMultipartUploadResult><ETag>e</ETag>"
                                                "</CompleteMultipartUploadResult>"),
                                     etag, &err),
                     ST_OK);
    assert_string_equal(etag, "\"e\"");
    assert_int_equal(
        s3_xml_complete(slice_text("<Error><Code>InternalError</Code></Error>"), etag, &err),
        ST_CORRUPT);
}

/* Both go into later requests: If-Match, and an address. */
static void an_etag_or_id_with_a_line_end_is_none(void **state)
{
    char id[OBJSTORE_UPLOAD_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    struct err err;

    (void)state;
    assert_int_equal(s3_xml_complete(slice_text("<CompleteMultipartUploadResult>"
                                                "<ETag>\"a&#13;\nX-Evil: 1\"</ETag>"
                                                "</CompleteMultipartUploadResult>"),
                                     etag, &err),
                     ST_CORRUPT);
    assert_string_equal(err.text, "XML with an ETag that is none");
    assert_int_equal(s3_xml_upload_id(slice_text("<InitiateMultipartUploadResult><UploadId>a\nb"
                                                 "</UploadId></InitiateMultipartUploadResult>"),
                                      id, &err),
                     ST_CORRUPT);
    assert_string_equal(id, "");
}

static void parts_are_written(void **state)
{
    const struct objstore_part parts[] = {{1, "\"a&<>\""}, {10000, "b"}};
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    s3_xml_put_parts(&text, parts, 2);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.data,
                        "<CompleteMultipartUpload" SPACE "><Part><PartNumber>1</PartNumber>"
                        "<ETag>&quot;a&amp;&lt;&gt;&quot;</ETag></Part><Part>"
                        "<PartNumber>10000</PartNumber><ETag>b</ETag></Part>"
                        "</CompleteMultipartUpload>");
    buf_free(&text);
}

static void times_are_read(void **state)
{
    static const char *const none[] = {"",
                                       "now",
                                       "2026-01-02",
                                       "2026-01-02T03:04:05",
                                       "2026-01-02T03:04:05Zx",
                                       "1969-01-02T03:04:05Z"};

    (void)state;
    assert_true(s3_xml_time_ns("1970-01-01T00:00:01Z") == 1000000000);
    assert_true(s3_xml_time_ns("1970-01-01T00:00:01.0000000019Z") == 1000000001);
    for (size_t i = 0; i < COUNT_OF(none); i++)
        assert_true(s3_xml_time_ns(none[i]) == 0);
}

/* Each cut and each flipped bit: an answer or an error, and nothing read beyond. */
static void damage_is_borne(void **state)
{
    size_t whole = sizeof LISTING - 1;

    (void)state;
    for (size_t cut = 0; cut < whole; cut++) {
        struct objstore_result r = {0};
        char *exact = malloc(cut + 1);

        memcpy(exact, LISTING, cut);
        assert_int_equal(s3_xml_list(slice_make(exact, cut), "p/", &r, NULL), ST_CORRUPT);
        objstore_result_fini(&r);
        free(exact);
    }
    for (size_t bit = 0; bit < whole * 8; bit++) {
        struct objstore_result r = {0};
        char *copy = malloc(whole);
        status st;

        memcpy(copy, LISTING, whole);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
        st = s3_xml_list(slice_make(copy, whole), "p/", &r, NULL);
        assert_true(st == ST_OK || st == ST_CORRUPT);
        objstore_result_fini(&r);
        free(copy);
    }
}

static status list_once(void *arg)
{
    struct objstore_result r = {0};
    status st = s3_xml_list(slice_text(LISTING), "p/", &r, NULL);

    (void)arg;
    objstore_result_fini(&r);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(list_once, NULL) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_is_read),
        cmocka_unit_test(document_types_and_entities_are_refused),
        cmocka_unit_test(listing_is_read),
        cmocka_unit_test(empty_listing_is_a_listing),
        cmocka_unit_test(what_is_no_listing_is_refused),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(uploads_are_read),
        cmocka_unit_test(an_etag_or_id_with_a_line_end_is_none),
        cmocka_unit_test(parts_are_written),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(damage_is_borne),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
