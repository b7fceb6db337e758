#include "base/crypto.h"

#include "base/mem.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

status crypto_sha256(struct slice data, uint8_t out[CRYPTO_SHA256_BYTES], struct err *err)
{
    if (EVP_Digest(data.data, data.bytes, out, NULL, EVP_sha256(), NULL) != 1)
        return err_set(err, ST_NOMEM, "no memory for a SHA-256 of %zu bytes", data.bytes);
    return ST_OK;
}

status crypto_sha256_hex(struct slice data, char out[CRYPTO_SHA256_HEX_BYTES], struct err *err)
{
    uint8_t digest[CRYPTO_SHA256_BYTES];
    status st = crypto_sha256(data, digest, err);

    if (st == ST_OK)
        crypto_hex(digest, sizeof digest, out);
    return st;
}

struct crypto_sum {
    EVP_MD_CTX *md;
};

status crypto_sum_create(struct crypto_sum **out, struct err *err)
{
    struct crypto_sum *sum = mem_zero(sizeof *sum);

    if (sum != NULL)
        sum->md = EVP_MD_CTX_new();
    if (sum == NULL || sum->md == NULL || EVP_DigestInit_ex(sum->md, EVP_sha256(), NULL) != 1) {
        crypto_sum_destroy(sum);
        return err_set(err, ST_NOMEM, "no memory for a SHA-256");
    }
    *out = sum;
    return ST_OK;
}

void crypto_sum_destroy(struct crypto_sum *sum)
{
    if (sum == NULL)
        return;
    EVP_MD_CTX_free(sum->md);
    mem_free(sum);
}

status crypto_sum_add(struct crypto_sum *sum, struct slice data, struct err *err)
{
    if (data.bytes > 0 && EVP_DigestUpdate(sum->md, data.data, data.bytes) != 1)
        return err_set(err, ST_NOMEM, "no memory for a SHA-256 of %zu bytes", data.bytes);
    return ST_OK;
}

status crypto_sum_hex(struct crypto_sum *sum, char out[CRYPTO_SHA256_HEX_BYTES], struct err *err)
{
    uint8_t digest[CRYPTO_SHA256_BYTES];

    if (EVP_DigestFinal_ex(sum->md, digest, NULL) != 1)
        return err_set(err, ST_NOMEM, "no memory for a SHA-256");
    crypto_hex(digest, sizeof digest, out);
    return ST_OK;
}

status crypto_hmac_sha256(struct slice key, struct slice data, uint8_t out[CRYPTO_SHA256_BYTES],
                          struct err *err)
{
    static const uint8_t none = 0; /* a key of no bytes is a key, and NULL means "the last one" */

    if (key.bytes > INT_MAX || HMAC(EVP_sha256(), key.bytes == 0 ? &none : key.data, (int)key.bytes,
                                    data.data, data.bytes, out, NULL) == NULL)
        return err_set(err, ST_NOMEM, "no memory for an HMAC of %zu bytes", data.bytes);
    return ST_OK;
}

void crypto_hex(const uint8_t *data, size_t bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * bytes] = '\0';
}

void crypto_base64(const uint8_t *data, size_t bytes, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t three = (uint32_t)data[i] << 16;

        if (i + 1 < bytes)
            three |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < bytes)
            three |= data[i + 2];
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = i + 1 < bytes ? digits[three >> 6 & 63] : '=';
        *out++ = i + 2 < bytes ? digits[three & 63] : '=';
    }
    *out = '\0';
}
