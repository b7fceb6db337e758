#include "tests/unit/objstore/tls_server.h"

#include "base/lock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY_S = 86400, REQUEST_BYTES = 8192 };

struct tls_server {
    SSL_CTX *context;
    int listener;
    uint16_t port;
    _Atomic unsigned requests;
    _Atomic bool stopping;
    struct thread thread;
};

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

struct tls_identity tls_identity_make(const struct tls_wish *wish)
{
    static long serial = 1;
    struct tls_identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    const struct tls_identity *by = wish->issuer != NULL ? wish->issuer : &id;
    const unsigned char *subject =
        (const unsigned char *)(wish->is_authority ? "tiervec test authority" : "tiervec test");
    X509_NAME *name;

    assert(id.key != NULL && id.cert != NULL);
    name = X509_get_subject_name(id.cert);
    assert(X509_set_version(id.cert, X509_VERSION_3) == 1);
    assert(ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++) == 1);
    assert(X509_gmtime_adj(X509_getm_notBefore(id.cert), (long)wish->from_days * DAY_S) != NULL);
    assert(X509_gmtime_adj(X509_getm_notAfter(id.cert), (long)wish->to_days * DAY_S) != NULL);
    assert(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, subject, -1, -1, 0) == 1);
    assert(X509_set_issuer_name(id.cert, X509_get_subject_name(by->cert)) == 1);
    assert(X509_set_pubkey(id.cert, id.key) == 1);
    add_extension(id.cert, by->cert, NID_basic_constraints,
                  wish->is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    /* Told apart by key where the names are the same, as those of openssl's own tool are. */
    add_extension(id.cert, by->cert, NID_subject_key_identifier, "hash");
    add_extension(id.cert, by->cert, NID_authority_key_identifier, "keyid:always");
    if (wish->name != NULL)
        add_extension(id.cert, by->cert, NID_subject_alt_name, wish->name);
    assert(X509_sign(id.cert, by->key, EVP_sha256()) > 0);
    return id;
}

void tls_identity_free(struct tls_identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
}

void tls_identity_write(const struct tls_identity *id, const char *path)
{
    FILE *file = fopen(path, "w");

    assert(file != NULL && PEM_write_X509(file, id->cert) == 1);
    assert(fclose(file) == 0);
}

static bool has_head(const char *text)
{
    return strstr(text, "\r\n\r\n") != NULL;
}

static void serve(struct tls_server *s, SSL *ssl)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n"
                                 "Connection: close\r\n\r\n";
    char text[REQUEST_BYTES] = "";
    int bytes = 0;

    while (!has_head(text) && bytes < REQUEST_BYTES - 1) {
        int got = SSL_read(ssl, text + bytes, REQUEST_BYTES - 1 - bytes);

        if (got <= 0)
            return;
        bytes += got;
        text[bytes] = '\0';
    }
    s->requests++;
    (void)SSL_write(ssl, answer, (int)sizeof answer - 1);
    (void)SSL_shutdown(ssl);
}

static void run(void *arg)
{
    struct tls_server *s = arg;

    while (!s->stopping) {
        int fd = accept(s->listener, NULL, NULL);
        SSL *ssl;

        if (fd < 0)
            continue;
        ssl = SSL_new(s->context);
        assert(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
        if (SSL_accept(ssl) == 1)
            serve(s, ssl);
        SSL_free(ssl);
        (void)close(fd);
    }
}

struct tls_server *tls_server_start(const struct tls_identity *id)
{
    struct tls_server *s = calloc(1, sizeof *s);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;

    assert(s != NULL);
    s->context = SSL_CTX_new(TLS_server_method());
    assert(s->context != NULL);
    assert(SSL_CTX_use_certificate(s->context, id->cert) == 1);
    assert(SSL_CTX_use_PrivateKey(s->context, id->key) == 1);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(s->listener >= 0);
    assert(bind(s->listener, (struct sockaddr *)&at, sizeof at) == 0);
    assert(listen(s->listener, 16) == 0);
    assert(getsockname(s->listener, (struct sockaddr *)&at, &bytes) == 0);
    s->port = ntohs(at.sin_port);
    assert(thread_start(&s->thread, "tls", THREAD_NORMAL, run, s, NULL) == ST_OK);
    return s;
}

void tls_server_stop(struct tls_server *s)
{
    s->stopping = true;
    (void)shutdown(s->listener, SHUT_RDWR);
    thread_join(&s->thread);
    (void)close(s->listener);
    SSL_CTX_free(s->context);
    free(s);
}

uint16_t tls_server_port(const struct tls_server *s)
{
    return s->port;
}

unsigned tls_server_requests(const struct tls_server *s)
{
    return s->requests;
}
