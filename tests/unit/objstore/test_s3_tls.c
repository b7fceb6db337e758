/* A store with a certificate of its own authority: believed for the file that is named and for no
 * other, and what is wrong with one is said with the file and what to do. Nothing is sent to who
 * is not believed. */
#include "objstore/open.h"
#include "tests/unit/objstore/tls_server.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    char folder[32];
    char ca[64], other_ca[64], garbage[64];
    struct tls_identity authority, other;
} w;

static int make_authorities(void **state)
{
    const struct tls_wish wish = {.from_days = -1, .to_days = 30, .is_authority = true};

    (void)state;
    (void)snprintf(w.folder, sizeof w.folder, "/tmp/tiervec-tls-XXXXXX");
    if (mkdtemp(w.folder) == NULL)
        return -1;
    (void)snprintf(w.ca, sizeof w.ca, "%s/ca.pem", w.folder);
    (void)snprintf(w.other_ca, sizeof w.other_ca, "%s/other.pem", w.folder);
    (void)snprintf(w.garbage, sizeof w.garbage, "%s/garbage.pem", w.folder);
    w.authority = tls_identity_make(&wish);
    w.other = tls_identity_make(&wish);
    tls_identity_write(&w.authority, w.ca);
    tls_identity_write(&w.other, w.other_ca);
    return fs_write_file(fs_real(), w.garbage, slice_text("no certificate\n"), NULL) == ST_OK ? 0
                                                                                              : -1;
}

static int free_authorities(void **state)
{
    (void)state;
    tls_identity_free(&w.authority);
    tls_identity_free(&w.other);
    return fs_remove_all(fs_real(), w.folder, NULL) == ST_OK ? 0 : -1;
}

/* Asks the server once; file NULL: what AWS_CA_BUNDLE says, else the system's. */
static void ask(const struct tls_server *server, const char *file, const char *bundle,
                enum objstore_class want, const char *text)
{
    char url[64];
    char variable[128];
    char *env[] = {(char *)"AWS_ACCESS_KEY_ID=AK", (char *)"AWS_SECRET_ACCESS_KEY=S3CRET", variable,
                   NULL};
    struct objstore_options options = {.url = url, .env = env, .ca_file = file};
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = "k", .body = slice_text("")};
    struct objstore *s = NULL;
    struct err err = {0};

    (void)snprintf(variable, sizeof variable, "AWS_CA_BUNDLE=%s", bundle);
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/bucket/p",
                   (unsigned)tls_server_port(server));
    assert_int_equal(objstore_open(&options, &s, &err), ST_OK);
    if (objstore_wait(s, &req, &err) != objstore_class_status(want) || req.result.class != want ||
        (text != NULL && strstr(err.text, text) == NULL))
        fail_msg("%s: %s", objstore_class_name(req.result.class), err.text);
    if (want != OBJSTORE_OK) {
        assert_false(req.result.maybe_applied);
        assert_int_equal(tls_server_requests(server), 0);
        assert_null(strstr(err.text, "S3CRET"));
    }
    objstore_result_fini(&req.result);
    objstore_close(s);
}

static struct tls_server *serve(const struct tls_wish *wish)
{
    struct tls_identity id = tls_identity_make(wish);
    struct tls_server *server = tls_server_start(&id);

    tls_identity_free(&id);
    return server;
}

static struct tls_wish sound(void)
{
    return (struct tls_wish){
        .issuer = &w.authority, .name = "IP:127.0.0.1", .from_days = -1, .to_days = 30};
}

static void a_private_authority_is_believed_where_it_is_named(void **state)
{
    struct tls_wish wish = sound();
    struct tls_server *server = serve(&wish);

    (void)state;
    ask(server, NULL, "", OBJSTORE_PERMANENT, "; authorities: the system's)");
    ask(server, w.other_ca, "", OBJSTORE_PERMANENT, "s3_ca_file or AWS_CA_BUNDLE (");
    ask(server, w.other_ca, w.ca, OBJSTORE_PERMANENT, w.other_ca); /* the option leads */
    ask(server, w.ca, "", OBJSTORE_OK, NULL);
    ask(server, w.ca, w.other_ca, OBJSTORE_OK, NULL);
    assert_int_equal(tls_server_requests(server), 2);
    tls_server_stop(server);
    server = serve(&wish);
    ask(server, NULL, w.ca, OBJSTORE_OK, NULL);
    tls_server_stop(server);
}

static void a_certificate_may_be_its_own_authority(void **state)
{
    struct tls_wish wish = sound();
    struct tls_identity id;
    struct tls_server *server;
    char path[64];

    (void)state;
    wish.issuer = NULL;
    id = tls_identity_make(&wish);
    server = tls_server_start(&id);
    (void)snprintf(path, sizeof path, "%s/self.pem", w.folder);
    tls_identity_write(&id, path);
    ask(server, w.ca, "", OBJSTORE_PERMANENT, w.ca);
    ask(server, path, "", OBJSTORE_OK, NULL);
    tls_server_stop(server);
    tls_identity_free(&id);
}

static void one_that_is_out_of_its_time_is_refused(void **state)
{
    static const struct {
        int from, to;
    } times[] = {{-30, -1}, {1, 30}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct tls_wish wish = sound();
        struct tls_server *server;

        wish.from_days = times[i].from;
        wish.to_days = times[i].to;
        server = serve(&wish);
        ask(server, w.ca, "", OBJSTORE_PERMANENT,
            "its certificate has expired or is not valid yet; give the store a new one, or set");
        tls_server_stop(server);
    }
}

static void one_of_another_name_is_refused(void **state)
{
    static const char *const names[] = {"DNS:store.example", "IP:127.0.0.2", "DNS:127.0.0.1"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct tls_wish wish = sound();
        struct tls_server *server;

        wish.name = names[i];
        server = serve(&wish);
        ask(server, w.ca, "", OBJSTORE_PERMANENT, "its certificate is for another name; use one");
        tls_server_stop(server);
    }
}

static void a_file_without_authorities_is_said(void **state)
{
    struct tls_wish wish = sound();
    struct tls_server *server = serve(&wish);
    char missing[64];

    (void)state;
    (void)snprintf(missing, sizeof missing, "%s/missing.pem", w.folder);
    ask(server, missing, "", OBJSTORE_PERMANENT, missing);
    ask(server, missing, "", OBJSTORE_PERMANENT, "the authorities cannot be read; correct");
    ask(server, w.garbage, "", OBJSTORE_PERMANENT, w.garbage);
    tls_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_private_authority_is_believed_where_it_is_named),
        cmocka_unit_test(a_certificate_may_be_its_own_authority),
        cmocka_unit_test(one_that_is_out_of_its_time_is_refused),
        cmocka_unit_test(one_of_another_name_is_refused),
        cmocka_unit_test(a_file_without_authorities_is_said),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_authorities, free_authorities);
}
