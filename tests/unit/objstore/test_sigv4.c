/* Our signatures against the values AWS published, and what its rules say of the rest: trimming,
 * order, escaping, tokens. */
#include "objstore/sigv4.h"

#include "tests/support/alloc_sweep.h"

static const struct sigv4_keys KEYS = {"AKIAIOSFODNN7EXAMPLE",
                                       "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL};
static const struct sigv4_keys GENERIC_KEYS = {"AKIDEXAMPLE",
                                               "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL};
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HOST                                                                                       \
    {                                                                                              \
        "Host", "examplebucket.s3.amazonaws.com"                                                   \
    }
#define DATE                                                                                       \
    {                                                                                              \
        "x-amz-date", "20130524T000000Z"                                                           \
    }

static struct sigv4_request request(const char *method, const char *path,
                                    const struct sigv4_pair *headers, size_t header_count,
                                    const char *payload_hash)
{
    return (struct sigv4_request){.method = method,
                                  .path = path,
                                  .headers = headers,
                                  .header_count = header_count,
                                  .payload_hash = payload_hash,
                                  .time = "20130524T000000Z",
                                  .region = "us-east-1",
                                  .service = "s3"};
}

static void check_canonical(const struct sigv4_request *r, const char *hash)
{
    char hex[CRYPTO_SHA256_HEX_BYTES];
    struct buf text;

    buf_init(&text, 65536);
    assert_int_equal(sigv4_canonical(r, &text, NULL), ST_OK);
    assert_int_equal(crypto_sha256_hex(buf_slice(&text), hex, NULL), ST_OK);
    assert_string_equal(hex, hash);
    buf_free(&text);
}

static void check_signed(const struct sigv4_request *r, const struct sigv4_keys *keys,
                         const char *want)
{
    struct buf text;

    buf_init(&text, 65536);
    assert_int_equal(sigv4_sign(r, keys, &text, NULL), ST_OK);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.data, want);
    buf_free(&text);
}

#define AUTHORIZATION(names, signature)                                                            \
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "        \
    "SignedHeaders=" names ", Signature=" signature

static void get_of_a_range_is_signed_as_published(void **state)
{
    const struct sigv4_pair headers[] = {
        HOST, {"Range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, DATE};
    struct sigv4_request r = request("GET", "/test.txt", headers, COUNT_OF(headers), EMPTY);

    (void)state;
    check_canonical(&r, "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
    check_signed(&r, &KEYS,
                 AUTHORIZATION("host;range;x-amz-content-sha256;x-amz-date",
                               "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
}

static void put_with_a_body_is_signed_as_published(void **state)
{
    char hash[CRYPTO_SHA256_HEX_BYTES];
    const struct sigv4_pair headers[] = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                         HOST,
                                         {"x-amz-content-sha256", hash},
                                         DATE,
                                         {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    struct sigv4_request r = request("PUT", "/test$file.text", headers, COUNT_OF(headers), hash);

    (void)state;
    assert_int_equal(crypto_sha256_hex(slice_text("Welcome to Amazon S3."), hash, NULL), ST_OK);
    assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    check_canonical(&r, "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d");
    check_signed(&r, &KEYS,
                 AUTHORIZATION("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                               "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

static void query_is_signed_as_published(void **state)
{
    const struct sigv4_pair headers[] = {HOST, {"x-amz-content-sha256", EMPTY}, DATE};
    const struct sigv4_pair lifecycle[] = {{"lifecycle", NULL}};
    const struct sigv4_pair listing[] = {{"prefix", "J"}, {"max-keys", "2"}};
    struct sigv4_request r = request("GET", "/", headers, COUNT_OF(headers), EMPTY);

    (void)state;
    r.query = lifecycle;
    r.query_count = 1;
    check_canonical(&r, "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca");
    check_signed(&r, &KEYS,
                 AUTHORIZATION("host;x-amz-content-sha256;x-amz-date",
                               "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
    r.query = listing;
    r.query_count = 2;
    check_canonical(&r, "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7");
    check_signed(&r, &KEYS,
                 AUTHORIZATION("host;x-amz-content-sha256;x-amz-date",
                               "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

static void presigned_get_is_the_published_one(void **state)
{
    const struct sigv4_pair headers[] = {HOST};
    struct sigv4_request r = request("GET", "/test.txt", headers, 1, NULL);
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    assert_int_equal(sigv4_presign(&r, &KEYS, 86400, &text, NULL), ST_OK);
    buf_put_u8(&text, 0);
    assert_string_equal(
        (const char *)text.data,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        "&X-Amz-SignedHeaders=host");
    buf_free(&text);
}

static void another_service_is_signed_as_published(void **state)
{
    const struct sigv4_pair headers[] = {{"Host", "example.amazonaws.com"},
                                         {"X-Amz-Date", "20150830T123600Z"}};
    struct sigv4_request r = request("GET", "/", headers, 2, EMPTY);

    (void)state;
    r.time = "20150830T123600Z";
    r.service = "service";
    check_canonical(&r, "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63");
    check_signed(&r, &GENERIC_KEYS,
                 "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                 "SignedHeaders=host;x-amz-date, "
                 "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void check_text(const struct sigv4_request *r, const char *want)
{
    struct buf text;

    buf_init(&text, 65536);
    assert_int_equal(sigv4_canonical(r, &text, NULL), ST_OK);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.data, want);
    buf_free(&text);
}

static void headers_are_lowered_trimmed_sorted_and_merged(void **state)
{
    const struct sigv4_pair headers[] = {{"X-Amz-Meta-B", "  two \t  words  "},
                                         {"HOST", "h"},
                                         {"x-amz-meta-b", "again"},
                                         {"X-Amz-Meta-A", ""},
                                         {"Zebra", "\tz\t"},
                                         {"x-amz-meta-c", NULL}};
    struct sigv4_request r = request("GET", "/", headers, COUNT_OF(headers), EMPTY);

    (void)state;
    check_text(&r, "GET\n/\n\nhost:h\nx-amz-meta-a:\nx-amz-meta-b:two words,again\nx-amz-meta-c:\n"
                   "zebra:z\n\nhost;x-amz-meta-a;x-amz-meta-b;x-amz-meta-c;zebra\n" EMPTY);
}

/* "a-b" is behind "a", though '-' is below the '=' that follows a name; and by the escaped text
 * "%C3" is before "a", though its byte is above. */
static void query_is_sorted_by_escaped_name_then_value(void **state)
{
    const struct sigv4_pair query[] = {{"a-b", "1"}, {"a", "z"},       {"a", "/"},
                                       {"b", NULL},  {"\xc3\xa4", ""}, {"a", "y y+&="}};
    struct sigv4_request r = request("GET", "/", NULL, 0, EMPTY);

    (void)state;
    r.query = query;
    r.query_count = COUNT_OF(query);
    check_text(&r, "GET\n/\n%C3%A4=&a=%2F&a=y%20y%2B%26%3D&a=z&a-b=1&b=\n\n\n" EMPTY);
}

static void path_is_escaped_once_and_not_normalised(void **state)
{
    struct sigv4_request r =
        request("PUT", "/b/a b//./../%2F+~_-.\xc3\xa4$'()*!@:", NULL, 0, EMPTY);

    (void)state;
    check_text(&r, "PUT\n/b/a%20b//./../%252F%2B~_-.%C3%A4%24%27%28%29%2A%21%40%3A\n\n\n\n" EMPTY);
}

/* With a token the signature is another, over the same keys; in a presigned URL it is a pair. */
static void session_token_is_signed(void **state)
{
    struct sigv4_keys keys = KEYS;
    const struct sigv4_pair headers[] = {HOST, {"x-amz-security-token", "to/ken=="}};
    struct sigv4_request r = request("GET", "/", headers, 2, EMPTY);
    struct buf text;

    (void)state;
    keys.token = "to/ken==";
    check_text(&r,
               "GET\n/\n\nhost:examplebucket.s3.amazonaws.com\nx-amz-security-token:to/ken==\n\n"
               "host;x-amz-security-token\n" EMPTY);
    r.header_count = 1;
    buf_init(&text, 4096);
    assert_int_equal(sigv4_presign(&r, &keys, 60, &text, NULL), ST_OK);
    buf_put_u8(&text, 0);
    assert_non_null(strstr((const char *)text.data, "&X-Amz-Security-Token=to%2Fken%3D%3D&"));
    buf_free(&text);
}

static void more_pairs_than_the_bound_are_refused(void **state)
{
    struct sigv4_pair pairs[SIGV4_PAIRS_MAX + 1];
    struct sigv4_request r = request("GET", "/", pairs, COUNT_OF(pairs), EMPTY);
    struct err err;
    struct buf text;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        pairs[i] = (struct sigv4_pair){"a", "b"};
    buf_init(&text, 4096);
    assert_int_equal(sigv4_sign(&r, &KEYS, &text, &err), ST_INVALID);
    assert_int_equal(sigv4_query(&text, pairs, COUNT_OF(pairs), &err), ST_INVALID);
    r.header_count = 1;
    r.query = pairs;
    r.query_count = SIGV4_PAIRS_MAX - 5;
    assert_int_equal(sigv4_presign(&r, &KEYS, 1, &text, &err), ST_INVALID);
    assert_int_equal(text.bytes, 0);
    buf_free(&text);
}

static void a_bound_of_the_output_is_an_error(void **state)
{
    const struct sigv4_pair headers[] = {HOST};
    struct sigv4_request r = request("GET", "/", headers, 1, EMPTY);
    const size_t whole = strlen(AUTHORIZATION("host", EMPTY));

    (void)state;
    for (size_t bytes = 0; bytes <= whole; bytes++) {
        struct buf text;
        status st;

        buf_init(&text, bytes);
        st = sigv4_sign(&r, &KEYS, &text, NULL);
        buf_free(&text);
        assert_int_equal(st, bytes < whole ? ST_NOSPACE : ST_OK);
    }
}

static void time_is_printed_as_signed(void **state)
{
    char text[SIGV4_TIME_BYTES];

    (void)state;
    sigv4_time(1369353600, text);
    assert_string_equal(text, "20130524T000000Z");
    sigv4_time(4102444799, text);
    assert_string_equal(text, "20991231T235959Z");
}

static status sign_once(void *arg)
{
    const struct sigv4_pair headers[] = {HOST, {"range", "bytes=0-1"}};
    const struct sigv4_pair query[] = {{"a", "1"}, {"b", "2"}};
    struct sigv4_request r = request("GET", "/a", headers, 2, EMPTY);
    struct buf text;
    status st;

    (void)arg;
    r.query = query;
    r.query_count = 2;
    buf_init(&text, 4096);
    st = sigv4_sign(&r, &KEYS, &text, NULL);
    if (st == ST_OK)
        st = sigv4_presign(&r, &KEYS, 60, &text, NULL);
    buf_free(&text);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    assert_true(alloc_sweep(sign_once, NULL) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_of_a_range_is_signed_as_published),
        cmocka_unit_test(put_with_a_body_is_signed_as_published),
        cmocka_unit_test(query_is_signed_as_published),
        cmocka_unit_test(presigned_get_is_the_published_one),
        cmocka_unit_test(another_service_is_signed_as_published),
        cmocka_unit_test(headers_are_lowered_trimmed_sorted_and_merged),
        cmocka_unit_test(query_is_sorted_by_escaped_name_then_value),
        cmocka_unit_test(path_is_escaped_once_and_not_normalised),
        cmocka_unit_test(session_token_is_signed),
        cmocka_unit_test(more_pairs_than_the_bound_are_refused),
        cmocka_unit_test(a_bound_of_the_output_is_an_error),
        cmocka_unit_test(time_is_printed_as_signed),
        cmocka_unit_test(each_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
