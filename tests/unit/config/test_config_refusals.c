/* What is refused, and that the text names place, key, what is wrong and what would be right. */
#include "config/config_internal.h"
#include "tests/unit/config/config_case.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct refusal {
    const char *file;
    const char *part, *other_part;
};

static void refuse_files(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++)
        config_case_refused(&(struct config_case){.file = refusals[i].file}, refusals[i].part,
                            refusals[i].other_part);
}

static void an_unknown_key_is_refused_with_the_nearest(void **state)
{
    static const struct refusal refusals[] = {
        {"[server]\nrest_prot = 1\n", "config.toml:2: there is no key server.rest_prot",
         "nearest is server.rest_port"},
        {"[sever]\nhost = \"::1\"\n", "config.toml:1: there is no section [sever]",
         "nearest is [server]"},
        {"rest_port = 1\n", "no key rest_port", "server.rest_port"},
        {"[server]\nm = 16\n", "server.m", "hnsw.m"},
        {"[hnsw]\nefsearch = 1\n", "hnsw.efsearch", "hnsw.ef_search"},
        {"[storage.retries]\nmax_retries = 1\n", "[storage.retries]", "[storage.retry]"},
        {"[storage.retry]\nmax_retrys = 1\n", "max_retrys", "storage.retry.max_retries"},
        {"[server.rest_port]\nx = 1\n", "server.rest_port", "right is a whole number"},
        {"\"server.rest_port\" = 1\n", "no key server.rest_port", "nearest"},
        {"[Server]\nhost = \"::1\"\n", "no section [Server]", "[server]"},
        {"[server]\n\"\" = 1\n", "no key server.", "nearest"},
        {"server = 5\n", "server is a section", "write [server]"},
        {"[[server]]\nhost = \"::1\"\n", "server is a section", "write [server]"},
        {"[storage]\nretry = true\n", "retry is a section", "write [storage.retry]"},
        {"[unheard]\n", "no section [unheard]", "nearest"},
    };

    (void)state;
    refuse_files(refusals, COUNT_OF(refusals));
    config_case_refused(&(struct config_case){.env = {"TIERVEC_SERVER_REST_PROT=1"}},
                        "TIERVEC_SERVER_REST_PROT is no setting", "TIERVEC_SERVER_REST_PORT");
    config_case_refused(&(struct config_case){.env = {"TIERVEC_DATADIR=1"}}, "TIERVEC_DATADIR",
                        "TIERVEC_DATABASE_DATA_DIR");
    config_case_refused(&(struct config_case){.args = {"--rest-prot", "1"}},
                        "there is no flag --rest-prot", "--rest-port");
    config_case_refused(&(struct config_case){.args = {"--hnsw.ef_serch=1"}}, "no flag",
                        "--hnsw-ef-search");
    config_case_refused(&(struct config_case){.args = {"--set", "hnsw.k=1"}}, "no key hnsw.k",
                        "hnsw.m");
    config_case_refused(&(struct config_case){.args = {"--set", "hnsw.m"}}, "--set hnsw.m",
                        "section.key=value");
    config_case_refused(&(struct config_case){.args = {"8080"}}, "8080 is no flag", "--key=value");
    config_case_refused(&(struct config_case){.args = {"--"}}, "is no flag", "--key=value");
    config_case_refused(&(struct config_case){.args = {"--rest-port"}}, "--rest-port",
                        "wants a value");
}

/* No name may be nearer to something else than to itself. */
static void each_key_is_its_own_nearest(void **state)
{
    (void)state;
    assert_int_equal(config_distance("abcd", 4, "abdc", 4), 1);
    assert_int_equal(config_distance("", 0, "abc", 3), 3);
    assert_int_equal(config_distance("kitten", 6, "sitting", 7), 3);
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const struct config_key *nearest =
            config_key_nearest(slice_text(key->section), slice_text(key->key));

        if (key->use != CONFIG_SEED)
            assert_ptr_equal(nearest, key);
    }
}

static void wrong_types_are_refused_with_the_right_one(void **state)
{
    static const struct refusal refusals[] = {
        {"[server]\nrest_port = \"8080\"\n", "take the quotes away",
         "config.toml:2: server.rest_port"},
        {"[server]\nrest_port = 80.5\n", "is no number", "a whole number from 1 to 65535"},
        {"[server]\nrest_port = [1]\n", "a list is no number", "whole number"},
        {"[server]\nrest_port = true\n", "is no number", "whole number"},
        {"[server]\nhost = 5\n", "is no text", "an IPv4 or IPv6 address"},
        {"[server]\nhost = 1979-05-27\n", "is no text", "address"},
        {"[logging]\nlog_requests = 1\n", "is neither", "true or false"},
        {"[logging]\nlog_requests = \"true\"\n", "take the quotes away", "true or false"},
        {"[logging]\nformat = \"xml\"\n", "xml is none of them", "\"auto\", \"json\", \"pretty\""},
        {"[logging]\nlevel = \"loud\"\n", "loud is no level", "trace, debug, info"},
        {"[logging]\nlevel = \"info,wall=debug\"\n", "is no level", "info,wal=debug"},
        {"[logging]\nlevel = \"\"\n", "is no level", "trace"},
        {"[wal]\nsync = \"fdatasync\"\n", "is none of them", "\"fsync\", \"none\""},
        {"[server]\ntrusted_proxies = \"all\"\n", "is no list", "a list"},
        {"[database]\ndata_dir = \"\"\n", "is empty", "a folder"},
        {"[server]\nhost = \"all\"\n", "all is no address", "127.0.0.1"},
        {"[server]\nhost = \"1.2.3\"\n", "is no address", "127.0.0.1"},
        {"[server]\nhost = \"\"\n", "is no address", "127.0.0.1"},
        {"[server]\nnode_id = \"a b\"\n", "another character", "letters, digits"},
        {"[server]\nnode_id = \"a\\u0000b\"\n", "holds a NUL", "server.node_id"},
    };

    (void)state;
    refuse_files(refusals, COUNT_OF(refusals));
    config_case_refused(&(struct config_case){.env = {"TIERVEC_REST_PORT=80a"}},
                        "TIERVEC_REST_PORT: server.rest_port: 80a is no number", "1 to 65535");
    config_case_refused(&(struct config_case){.env = {"TIERVEC_REST_PORT=-1"}}, "is no number",
                        "1 to 65535");
    config_case_refused(&(struct config_case){.args = {"--log-requests=maybe"}}, "maybe is neither",
                        "true or false");
}

/* Every number of the table: one below, one above, 64 bits exceeded, negative. */
static void numbers_keep_to_their_bounds(void **state)
{
    unsigned numbers = 0;

    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char file[256];
        char text[256];

        if (key->kind != CONFIG_NUMBER || key->use == CONFIG_SEED)
            continue;
        numbers++;
        (void)snprintf(file, sizeof file, "[%s]\n%s = %" PRIu64 "\n", key->section, key->key,
                       key->max + 1);
        config_case_refused(&(struct config_case){.file = file}, key->key, "is out of range");
        (void)snprintf(file, sizeof file, "[%s]\n%s = -1\n", key->section, key->key);
        config_case_refused(&(struct config_case){.file = file}, key->key, "is negative");
        (void)snprintf(text, sizeof text, "--set=%s.%s=18446744073709551616", key->section,
                       key->key);
        config_case_refused(&(struct config_case){.args = {text}}, key->key, "is no number");
        if (key->min == 0 || (key->min == 1 && key->zero != NULL))
            continue;
        (void)snprintf(text, sizeof text, "--set=%s.%s=%" PRIu64, key->section, key->key,
                       key->min - 1);
        config_case_refused(&(struct config_case){.args = {text}}, key->key, "is out of range");
    }
    assert_true(numbers > 25);
}

/* Every key of a later version: refused by name with another value, taken with its default. */
static void later_keys_are_refused_by_name(void **state)
{
    unsigned later = 0;

    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char name[128];
        char other[256];
        char same[256];
        struct config c;
        const char *value = "\"something\"";

        if (key->use != CONFIG_LATER)
            continue;
        later++;
        if (key->kind == CONFIG_NUMBER)
            value = strtoull(key->fallback, NULL, 10) == key->max ? "1" : "3";
        else if (key->kind == CONFIG_BOOL)
            value = strcmp(key->fallback, "true") == 0 ? "false" : "true";
        else if (key->kind == CONFIG_LIST)
            value = "[\"10.0.0.1\"]";
        else if (key->kind == CONFIG_CHOICE)
            value = "\"remote\"";
        if (key->kind == CONFIG_NUMBER && key->min > 3)
            value = "90000000";
        (void)snprintf(name, sizeof name, "%s.%s: ", key->section, key->key);
        (void)snprintf(other, sizeof other, "[%s]\n%s = %s\n", key->section, key->key, value);
        config_case_refused(&(struct config_case){.file = other}, name,
                            "not part of this version; leave it out, ");
        (void)snprintf(same, sizeof same,
                       key->kind == CONFIG_LIST ? "[%s]\n%s = []\n"
                       : key->kind == CONFIG_TEXT || key->kind == CONFIG_CHOICE
                           ? "[%s]\n%s = \"%s\"\n"
                           : "[%s]\n%s = %s\n",
                       key->section, key->key, key->fallback);
        config_case_ok(&(struct config_case){.file = same}, &c);
        config_free(&c);
        if (key->kind != CONFIG_TEXT)
            continue;
        (void)snprintf(same, sizeof same, "[%s]\n%s = \"\"\n", key->section, key->key);
        config_case_ok(&(struct config_case){.file = same}, &c);
        config_free(&c);
    }
    assert_true(later >= 15);
}

static void tiers_and_persistence_are_refused_by_name(void **state)
{
    struct config c;

    (void)state;
    config_case_refused(&(struct config_case){.file = "[storage]\ntiering_policy = \"MemoryS3\"\n"},
                        "config.toml:2: storage.tiering_policy = \"MemoryS3\" needs a bucket",
                        "s3_bucket = \"s3://bucket/prefix\"");
    config_case_refused(
        &(struct config_case){.env = {"TIERVEC_TIERING_POLICY=S3Only"}},
        "TIERVEC_TIERING_POLICY: storage.tiering_policy = \"S3Only\" needs a bucket",
        "s3_bucket = \"s3://bucket/prefix\"");
    config_case_ok(&(struct config_case){.file = "[storage]\ntiering_policy = \"S3Only\"\n",
                                         .args = {"--tiering-policy", "memory"}},
                   &c);
    assert_string_equal(c.storage.tiering_policy, "Memory");
    config_free(&c);
    config_case_refused(
        &(struct config_case){.file = "[features]\nvector_persistence_enabled = false\n"},
        "features.vector_persistence_enabled", "sync = \"none\"");
    config_case_refused(
        &(struct config_case){.args = {"--storage-wal-path=/x", "--storage-snapshot-dir=/x"}},
        "storage.snapshot_dir", "two folders");
    config_case_ok(&(struct config_case){.args = {"--wal-sync=none"}}, &c);
    assert_int_equal(config_case_warned(&c, "wal.sync"), 1);
    config_free(&c);
}

/* What goes with a bucket only, and what does not go with one. */
static void a_bucket_is_needed_and_checked(void **state)
{
    static const struct refusal refusals[] = {
        {"[storage]\ns3_bucket = \"bucket\"\n",
         "config.toml:2: storage.s3_bucket: ", "s3://bucket"},
        {"[storage]\ns3_bucket = \"gs://bucket\"\n", "storage.s3_bucket", "file:///path"},
        {"[storage]\ns3_bucket = \"s3://UPPER\"\n", "is no bucket name", "file:///path"},
        {"[storage]\ns3_bucket = \"file:relative\"\n", "three slashes", "file:///path"},
        {"[storage]\ns3_endpoint = \"127.0.0.1:9000\"\n", "storage.s3_endpoint",
         "http://host:9000"},
        {"[storage]\ns3_endpoint = \"http://h/path\"\n", "storage.s3_endpoint", "http://host:9000"},
        {"[storage]\ns3_addressing = \"host\"\n", "is none of them", "\"virtual\""},
        {"[storage]\ns3_region = \"a b\"\n", "another character", "storage.s3_region"},
        {"[storage]\ndurability = \"remote\"\n", "config.toml:2: storage.durability",
         "needs a bucket"},
        {"[storage]\ntiering_policy = \"MemoryS3\"\ns3_bucket = \"file:///b\"\n[wal]\nsync = "
         "\"none\"\n",
         "config.toml:5: wal.sync", "right is \"fsync\""},
        {"[storage.retry]\nbase_backoff_secs = 65\n",
         "config.toml:2: storage.retry.base_backoff_secs", "more than max_backoff_secs"},
    };
    struct config c;

    (void)state;
    refuse_files(refusals, COUNT_OF(refusals));
    config_case_ok(&(struct config_case){.file = "[storage]\n"
                                                 "s3_bucket = \"http://localhost:9000/akidb\"\n"
                                                 "s3_endpoint = \"http://localhost:9000/\"\n"},
                   &c);
    assert_int_equal(c.warning_count, 0);
    config_free(&c);
    config_case_ok(&(struct config_case){.file = "[storage]\n"
                                                 "s3_bucket = \"file:///b\"\n"
                                                 "s3_endpoint = \"http://localhost:9000\"\n"},
                   &c);
    assert_int_equal(config_case_warned(&c, "s3_endpoint is not used"), 1);
    config_free(&c);
    config_case_ok(&(struct config_case){.args = {"--storage-s3-bucket=memory:x"}}, &c);
    assert_int_equal(config_case_warned(&c, "gone with the process"), 1);
    config_free(&c);
}

/* Credentials never stand in the configuration, and are not repeated where somebody tried. */
static void a_url_with_a_password_is_refused_unseen(void **state)
{
    static const char *const urls[] = {
        "--storage-s3-bucket=http://user:hunter2@host:9000/bucket",
        "--storage-s3-bucket=https://hunter2@host/bucket",
        "--storage-s3-bucket=s3://user:hunter2@bucket/prefix",
        "--storage-s3-bucket=ftp://user:hunter2@host/bucket",
        "--storage-s3-bucket=http://host/bucket?secret=hunter2",
        "--storage-s3-endpoint=http://user:hunter2@host:9000",
        "--storage-s3-endpoint=user:hunter2@host",
    };
    struct config c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct err err;

        assert_int_equal(config_case_load(&(struct config_case){.args = {urls[i]}}, &c, &err),
                         ST_INVALID);
        assert_non_null(strstr(err.text, "storage.s3_"));
        if (strstr(err.text, "hunter2") != NULL)
            fail_msg("%s", err.text);
    }
}

/* A secret that is refused must not be in the text. */
static void a_secret_is_never_printed(void **state)
{
    struct config c;
    struct err err;

    (void)state;
    assert_int_equal(
        config_case_load(&(struct config_case){.file = "[auth]\njwt_secret = \"hunter2\"\n"}, &c,
                         &err),
        ST_INVALID);
    assert_non_null(strstr(err.text, "auth.jwt_secret"));
    assert_null(strstr(err.text, "hunter2"));
    assert_int_equal(
        config_case_load(&(struct config_case){.args = {"--auth-jwt-secret=hun\nter2"}}, &c, &err),
        ST_INVALID);
    assert_null(strstr(err.text, "hun"));
}

static void an_open_address_needs_to_be_meant(void **state)
{
    static const char *const open[] = {"--host=0.0.0.0", "--host=::", "--host=192.168.1.5",
                                       "--host=::ffff:10.0.0.1"};
    struct config c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(open); i++) {
        config_case_refused(&(struct config_case){.args = {open[i]}}, "knows no keys",
                            "allow_anonymous = true");
        config_case_ok(&(struct config_case){.args = {open[i], "--allow-anonymous"}}, &c);
        assert_false(c.anonymous_beyond_loopback);
        assert_true(c.auth.allow_anonymous);
        config_free(&c);
    }
    config_case_refused(&(struct config_case){.file = "[server]\nhost = \"0.0.0.0\"\n"},
                        "config.toml:2", "allow_anonymous = true");
    config_case_refused(&(struct config_case){.env = {"TIERVEC_HOST=0.0.0.0"}}, "TIERVEC_HOST",
                        "allow_anonymous");
    config_case_ok(&(struct config_case){.args = {"--host=127.3.2.1"}}, &c);
    config_free(&c);
}

/* The second listener has the rules of the first. */
static void an_address_with_a_port_is_whole_and_meant(void **state)
{
    static const char *const open[] = {"0.0.0.0:6333", "[::]:6333", "192.168.1.5:1"};
    static const struct {
        const char *said, *taken;
    } fine[] = {{"localhost:6333", "127.0.0.1:6333"},
                {"127.0.0.9:0", "127.0.0.9:0"},
                {"[0:0::1]:65535", "[::1]:65535"},
                {"", ""}};
    static const char *const bad[] = {
        ":6333", "6333", "127.0.0.1",     "127.0.0.1:", "127.0.0.1:65536", "::1:1",
        "[::1]", "[]:1", "127.0.0.1:63x", "name:80",    "127.0.0.1:-1",    "[::1:80"};
    char flag[128];
    struct config c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(open); i++) {
        (void)snprintf(flag, sizeof flag, "--compat-qdrant-listen=%s", open[i]);
        config_case_refused(&(struct config_case){.args = {flag}}, "compat.qdrant.listen",
                            "allow_anonymous = true");
        config_case_ok(&(struct config_case){.args = {flag, "--allow-anonymous"}}, &c);
        config_free(&c);
    }
    for (size_t i = 0; i < COUNT_OF(fine); i++) {
        (void)snprintf(flag, sizeof flag, "--compat-qdrant-listen=%s", fine[i].said);
        config_case_ok(&(struct config_case){.args = {flag}}, &c);
        assert_string_equal(c.qdrant.listen, fine[i].taken);
        config_free(&c);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        (void)snprintf(flag, sizeof flag, "--compat-qdrant-listen=%s", bad[i]);
        config_case_refused(&(struct config_case){.args = {flag}}, "compat.qdrant.listen",
                            "\"127.0.0.1:6333\"");
    }
}

/* Values with control characters are shown, not obeyed. */
static void texts_of_errors_are_printable(void **state)
{
    static const struct config_case cases[] = {
        {.file = "[server]\nhost = \"\\u001b[31m\\n\\u00e4\"\n"},
        {.file = "[\"se\\u001bver\"]\nx = 1\n"},
        {.file = "[server]\nhost = \x1b\n"},
        {.env = {"TIERVEC_REST_PORT=\x1b[31m\xff"}},
        {.args = {"--\x1b[31m=1"}},
        {.args = {"--set", "a\x1b.b=1"}},
        {.args = {"--storage-s3-bucket=s3://a\x1b[31m"}},
        {.args = {"--storage-s3-endpoint=http://a\x1b[31m"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config c;
        struct err err = {0};

        assert_int_equal(config_case_load(&cases[i], &c, &err), ST_INVALID);
        for (const char *t = err.text; *t != '\0'; t++)
            if ((unsigned char)*t < 0x20 || (unsigned char)*t > 0x7e)
                fail_msg("case %zu: byte %02x in: %s", i, (unsigned char)*t, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_key_is_refused_with_the_nearest),
        cmocka_unit_test(each_key_is_its_own_nearest),
        cmocka_unit_test(wrong_types_are_refused_with_the_right_one),
        cmocka_unit_test(numbers_keep_to_their_bounds),
        cmocka_unit_test(later_keys_are_refused_by_name),
        cmocka_unit_test(tiers_and_persistence_are_refused_by_name),
        cmocka_unit_test(a_bucket_is_needed_and_checked),
        cmocka_unit_test(a_url_with_a_password_is_refused_unseen),
        cmocka_unit_test(a_secret_is_never_printed),
        cmocka_unit_test(an_open_address_needs_to_be_meant),
        cmocka_unit_test(an_address_with_a_port_is_whole_and_meant),
        cmocka_unit_test(texts_of_errors_are_printable),
    };

    return cmocka_run_group_tests(tests, config_case_begin, config_case_end);
}
