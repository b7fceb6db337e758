/* Digests against published values: FIPS 180-4's examples, RFC 4231, RFC 4648. */
#include "base/crypto.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check_sha256(const char *text, const char *want)
{
    char hex[CRYPTO_SHA256_HEX_BYTES];

    assert_int_equal(crypto_sha256_hex(slice_text(text), hex, NULL), ST_OK);
    assert_string_equal(hex, want);
}

static void sha256_is_the_published_one(void **state)
{
    (void)state;
    check_sha256("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha256("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* However it is cut. */
static void a_sum_of_pieces_is_that_of_the_whole(void **state)
{
    static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    char whole[CRYPTO_SHA256_HEX_BYTES];
    char hex[CRYPTO_SHA256_HEX_BYTES];

    (void)state;
    assert_int_equal(crypto_sha256_hex(slice_text(text), whole, NULL), ST_OK);
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct crypto_sum *sum = NULL;

        assert_int_equal(crypto_sum_create(&sum, NULL), ST_OK);
        assert_int_equal(crypto_sum_add(sum, slice_make(text, cut), NULL), ST_OK);
        assert_int_equal(crypto_sum_add(sum, slice_make(text + cut, sizeof text - 1 - cut), NULL),
                         ST_OK);
        assert_int_equal(crypto_sum_hex(sum, hex, NULL), ST_OK);
        assert_string_equal(hex, whole);
        crypto_sum_destroy(sum);
    }
}

static void check_hmac(struct slice key, const char *text, const char *want)
{
    uint8_t mac[CRYPTO_SHA256_BYTES];
    char hex[CRYPTO_SHA256_HEX_BYTES];

    assert_int_equal(crypto_hmac_sha256(key, slice_text(text), mac, NULL), ST_OK);
    crypto_hex(mac, sizeof mac, hex);
    assert_string_equal(hex, want);
}

static void hmac_is_the_published_one(void **state)
{
    uint8_t long_key[131];

    (void)state;
    memset(long_key, 0xaa, sizeof long_key);
    check_hmac(slice_text("Jefe"), "what do ya want for nothing?",
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    check_hmac(slice_make(long_key, sizeof long_key),
               "Test Using Larger Than Block-Size Key - Hash Key First",
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    check_hmac(slice_make(NULL, 0), "",
               "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void base64_pads_as_rfc_4648_does(void **state)
{
    static const char *const want[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                       "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    char out[16];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        crypto_base64((const uint8_t *)"foobar", i, out);
        assert_string_equal(out, want[i]);
    }
    crypto_base64((const uint8_t *)"\xff\xef\xbe", 3, out);
    assert_string_equal(out, "/+++");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_is_the_published_one),
        cmocka_unit_test(a_sum_of_pieces_is_that_of_the_whole),
        cmocka_unit_test(hmac_is_the_published_one),
        cmocka_unit_test(base64_pads_as_rfc_4648_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
