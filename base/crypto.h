/* crypto.h - SHA-256 and HMAC, by OpenSSL.
 *
 * Threads    any.
 * Failure    ST_NOMEM alone: what OpenSSL cannot do here is for want of memory. */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include "base/bytes.h"

enum {
    CRYPTO_SHA256_BYTES = 32,
    CRYPTO_SHA256_HEX_BYTES = 2 * CRYPTO_SHA256_BYTES + 1, /* lower case, with the NUL */
};

NODISCARD
status crypto_sha256(struct slice data, uint8_t out[CRYPTO_SHA256_BYTES], struct err *err);
NODISCARD
status crypto_sha256_hex(struct slice data, char out[CRYPTO_SHA256_HEX_BYTES], struct err *err);
/* A SHA-256 of what comes piece by piece: one thread at a time; crypto_sum_hex() once, at the end.
 */
struct crypto_sum;
NODISCARD
status crypto_sum_create(struct crypto_sum **out, struct err *err);
void crypto_sum_destroy(struct crypto_sum *sum); /* accepts NULL */
NODISCARD
status crypto_sum_add(struct crypto_sum *sum, struct slice data, struct err *err);
NODISCARD
status crypto_sum_hex(struct crypto_sum *sum, char out[CRYPTO_SHA256_HEX_BYTES], struct err *err);
NODISCARD
status crypto_hmac_sha256(struct slice key, struct slice data, uint8_t out[CRYPTO_SHA256_BYTES],
                          struct err *err);
/* Two characters a byte, lower case, and a NUL. */
void crypto_hex(const uint8_t *data, size_t bytes, char *out);
/* Standard alphabet with padding; out has room for 4 * ((bytes + 2) / 3) characters and a NUL. */
void crypto_base64(const uint8_t *data, size_t bytes, char *out);

#endif
