/* tls_server.h - certificates of one's own making, and a server on 127.0.0.1 that shows one and
 * says 200 to every request.
 *
 * Threads    one, which serves one connection after the other until tls_server_stop(). */
#ifndef TESTS_UNIT_OBJSTORE_TLS_SERVER_H
#define TESTS_UNIT_OBJSTORE_TLS_SERVER_H

#include "base/status.h"

#include <openssl/x509.h>

struct tls_identity {
    EVP_PKEY *key;
    X509 *cert;
};
struct tls_wish {
    const struct tls_identity *issuer; /* NULL: signs itself */
    const char *name;                  /* "IP:127.0.0.1", "DNS:host": the subject's other name */
    int from_days, to_days;            /* from today on */
    bool is_authority;
};
struct tls_identity tls_identity_make(const struct tls_wish *wish);
void tls_identity_free(struct tls_identity *id);
void tls_identity_write(const struct tls_identity *id, const char *path); /* the certificate, PEM */

struct tls_server;
struct tls_server *tls_server_start(const struct tls_identity *id);
void tls_server_stop(struct tls_server *s);
uint16_t tls_server_port(const struct tls_server *s);
unsigned tls_server_requests(const struct tls_server *s); /* that came through a handshake */

#endif
