/* Every key that is built has an effect, seen in the struct, from each origin it can come from; the
 * later origin wins. */
#include "config/config_internal.h"
#include "tests/unit/config/config_case.h"

#include <ctype.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"

/* What stands in the struct, as text. */
static void field_text(const struct config *c, const struct config_key *key, char *out,
                       size_t bytes)
{
    const char *at = (const char *)c + key->offset;
    uint64_t number = 0;

    if (key->kind == CONFIG_TEXT || key->kind == CONFIG_CHOICE) {
        (void)snprintf(out, bytes, "%s", *(char *const *)(const void *)at);
        return;
    }
    memcpy(&number, at, key->width); /* little-endian, as everywhere here */
    if (key->kind == CONFIG_BOOL)
        (void)snprintf(out, bytes, "%s", number != 0 ? "true" : "false");
    else
        (void)snprintf(out, bytes, "%" PRIu64, number);
}

/* Two values of a key, both allowed and neither the default, so that each origin can be told from
 * the one below it. Keys whose every other value is refused have NULL. */
static bool sample(const struct config_key *key, const char *out[2])
{
    static const struct {
        const char *section, *key;
        const char *values[2];
    } texts[] = {
        {"server", "host", {"127.0.0.2", "::1"}},
        {"server", "node_id", {"node-1", "node-2"}},
        {"database", "data_dir", {"/one", "/two"}},
        {"logging", "level", {"warn", "debug,wal=trace"}},
        {"logging", "format", {"json", "pretty"}},
        {"logging", "file", {"/log/one", "/log/two"}},
        {"wal", "sync", {"none", "none"}},
        {"storage", "tiering_policy", {"Memory", "Memory"}}, /* the other needs a bucket */
        {"storage", "s3_bucket", {"s3://one/prefix", "http://127.0.0.1:9000/two"}},
        {"storage", "s3_region", {"us-west-2", "eu-central-1"}},
        {"storage", "s3_endpoint", {"http://127.0.0.1:9000", "https://store.example"}},
        {"storage", "s3_addressing", {"path", "virtual"}},
        {"storage", "s3_ca_file", {"/ca/one.pem", "/ca/two.pem"}},
        {"storage", "pinned_owner", {"node-1", "node-2"}},
        {"storage", "durability", {"local", "local"}}, /* and so does this one */
        {"storage.retry", "base_backoff_secs", {"2", "64"}},
        {"storage.retry", "max_backoff_secs", {"1", "86400"}},
        {"storage", "wal_path", {"/wal/one", "/wal/two"}},
        {"storage", "snapshot_dir", {"/snap/one", "/snap/two"}},
        {"features", "vector_persistence_enabled", {"true", "true"}},
        {"compat.qdrant", "listen", {"127.0.0.1:6333", "[::1]:6333"}},
    };
    static char numbers[2][24];

    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (strcmp(key->section, texts[i].section) == 0 && strcmp(key->key, texts[i].key) == 0) {
            out[0] = texts[i].values[0];
            out[1] = texts[i].values[1];
            return true;
        }
    if (key->kind == CONFIG_BOOL) {
        out[0] = out[1] = strcmp(key->fallback, "true") == 0 ? "false" : "true";
        return true;
    }
    if (key->kind != CONFIG_NUMBER)
        return false;
    (void)snprintf(numbers[0], sizeof numbers[0], "%" PRIu64, key->min);
    (void)snprintf(numbers[1], sizeof numbers[1], "%" PRIu64, key->max);
    out[0] = numbers[0];
    out[1] = numbers[1];
    return true;
}

static void expect_from(const struct config_case *c, const struct config_key *key,
                        const char *value, enum config_origin origin, const char *where)
{
    struct config out;
    char got[128];
    const struct config_entry *entry;

    config_case_ok(c, &out);
    field_text(&out, key, got, sizeof got);
    entry = config_case_entry(&out, key->section, key->key);
    if (strcmp(got, value) != 0 || entry->origin != origin || strcmp(entry->where, where) != 0)
        fail_msg("%s.%s: wanted %s from %s, got %s from %s", key->section, key->key, value, where,
                 got, entry->where);
    config_free(&out);
}

static void put_file(char *out, size_t bytes, const struct config_key *key, const char *value)
{
    const char *quote = key->kind == CONFIG_TEXT || key->kind == CONFIG_CHOICE ? "\"" : "";

    (void)snprintf(out, bytes, "# first line\n[%s]\n%s = %s%s%s\n", key->section, key->key, quote,
                   value, quote);
}

static void upper(char *text)
{
    for (; *text != '\0'; text++)
        *text = *text == '.' ? '_' : (char)toupper((unsigned char)*text);
}

/* The spellings of one key with one value. */
struct spellings {
    char file[512];
    char variable[CONFIG_NAME_BYTES], full[512]; /* "TIERVEC_HNSW_M", with "=16" behind */
    char double_variable[CONFIG_NAME_BYTES], doubled[512];
    char short_variable[CONFIG_NAME_BYTES], shorter[512]; /* "" if there is none */
    char flag[CONFIG_NAME_BYTES], equals[512];
    char set[512];
};

static void spell(const struct config_key *key, const char *value, struct spellings *s)
{
    *s = (struct spellings){0};
    put_file(s->file, sizeof s->file, key, value);
    config_key_variable(key, s->variable);
    (void)snprintf(s->full, sizeof s->full, "%s=%s", s->variable, value);
    (void)snprintf(s->double_variable, CONFIG_NAME_BYTES, "TIERVEC_%s__%s", key->section, key->key);
    upper(s->double_variable);
    (void)snprintf(s->doubled, sizeof s->doubled, "%s=%s", s->double_variable, value);
    config_key_flag(key, s->flag);
    (void)snprintf(s->equals, sizeof s->equals, "%s=%s", s->flag, value);
    (void)snprintf(s->set, sizeof s->set, "%s.%s=%s", key->section, key->key, value);
    if (key->short_name == NULL)
        return;
    (void)snprintf(s->short_variable, CONFIG_NAME_BYTES, "TIERVEC_%s", key->short_name);
    upper(s->short_variable);
    (void)snprintf(s->shorter, sizeof s->shorter, "%s=%s", s->short_variable, value);
}

/* default < file < environment (short < full < double underscores) < flag; `a` and `b` differ. */
static void check_key(const struct config_key *key, const char *a, const char *b)
{
    struct spellings one;
    struct spellings two;

    spell(key, a, &one);
    spell(key, b, &two);
    expect_from(&(struct config_case){.file = ""}, key, key->fallback, CONFIG_DEFAULT, "default");
    expect_from(&(struct config_case){.file = one.file}, key, a, CONFIG_FILE, "./config.toml:3");
    expect_from(&(struct config_case){.file = one.file, .env = {two.full}}, key, b,
                CONFIG_ENVIRONMENT, one.variable);
    expect_from(&(struct config_case){.file = two.file, .env = {one.doubled, two.full}}, key, a,
                CONFIG_ENVIRONMENT, one.double_variable);
    expect_from(&(struct config_case){.env = {two.full}, .args = {one.equals}}, key, a, CONFIG_FLAG,
                one.flag);
    expect_from(&(struct config_case){.file = one.file, .args = {"--set", two.set}}, key, b,
                CONFIG_FLAG, "--set");
    if (key->kind != CONFIG_BOOL)
        expect_from(&(struct config_case){.env = {two.full}, .args = {one.flag, a}}, key, a,
                    CONFIG_FLAG, one.flag);
    if (key->short_name == NULL)
        return;
    expect_from(&(struct config_case){.file = two.file, .env = {one.shorter}}, key, a,
                CONFIG_ENVIRONMENT, one.short_variable);
    expect_from(&(struct config_case){.env = {two.full, one.shorter}}, key, b, CONFIG_ENVIRONMENT,
                one.variable);
}

static void each_key_from_each_origin(void **state)
{
    unsigned keys = 0;

    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const char *values[2] = {0};

        if (config_keys[i].width == 0)
            continue;
        if (!sample(&config_keys[i], values))
            fail_msg("%s.%s has no sample", config_keys[i].section, config_keys[i].key);
        check_key(&config_keys[i], values[0], values[1]);
        keys++;
    }
    assert_true(keys >= 45);
}

/* Names must not overlap, or one setting would become another. */
static void no_two_keys_share_a_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++)
        for (size_t j = 0; j < config_key_count; j++) {
            char a[CONFIG_NAME_BYTES];
            char b[CONFIG_NAME_BYTES];
            char shorter[CONFIG_NAME_BYTES];

            config_key_variable(&config_keys[i], a);
            config_key_variable(&config_keys[j], b);
            if (i != j)
                assert_string_not_equal(a, b);
            if (config_keys[j].short_name == NULL)
                continue;
            (void)snprintf(shorter, sizeof shorter, "TIERVEC_%s", config_keys[j].short_name);
            upper(shorter);
            assert_string_not_equal(a, shorter);
            if (i != j && config_keys[i].short_name != NULL)
                assert_string_not_equal(config_keys[i].short_name, config_keys[j].short_name);
        }
}

static void every_maximum_fits_its_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];

        assert_true(key->doc != NULL && key->fallback != NULL);
        assert_true(key->use != CONFIG_LATER || (key->later != NULL && key->instead != NULL));
        assert_true(key->kind != CONFIG_BOOL || key->width == 0 || key->width == sizeof(bool));
        if (key->kind != CONFIG_NUMBER)
            continue;
        assert_true(key->min <= key->max && key->max <= INT64_MAX);
        assert_true(key->width == 0 || key->width == 8 || key->max >> (8 * key->width) == 0);
    }
}

static void the_file_is_found_in_its_order(void **state)
{
    static const char text[] = "[server]\nrest_port = 1111\n";
    struct config c;

    (void)state;
    assert_int_equal(
        fs_write_file(fs_real(), "named.toml", slice_text("[server]\nrest_port = 2222\n"), NULL),
        ST_OK);
    assert_int_equal(
        fs_write_file(fs_real(), "other.toml", slice_text("[server]\nrest_port = 3333\n"), NULL),
        ST_OK);
    config_case_ok(&(struct config_case){.file = text}, &c);
    assert_int_equal(c.server.rest_port, 1111);
    assert_string_equal(c.file, "./config.toml");
    config_free(&c);
    config_case_ok(&(struct config_case){.file = text, .env = {"AKIDB_CONFIG=named.toml"}}, &c);
    assert_int_equal(c.server.rest_port, 2222);
    config_free(&c);
    config_case_ok(
        &(struct config_case){.file = text,
                              .env = {"AKIDB_CONFIG=named.toml", "TIERVEC_CONFIG=other.toml"}},
        &c);
    assert_int_equal(c.server.rest_port, 3333);
    config_free(&c);
    config_case_ok(&(struct config_case){.file = text,
                                         .env = {"TIERVEC_CONFIG=other.toml"},
                                         .args = {"--rest-port", "0", "--log-requests", "--config",
                                                  "named.toml"}},
                   &c);
    assert_int_equal(c.server.rest_port, 0);
    assert_true(c.logging.log_requests);
    assert_string_equal(c.file, "named.toml");
    config_free(&c);
    config_case_ok(&(struct config_case){.env = {"TIERVEC_CONFIG="}}, &c); /* empty is absent */
    assert_true(c.file == NULL || c.file[0] == '/');
    config_free(&c);
    config_case_refused(&(struct config_case){.env = {"TIERVEC_CONFIG=none.toml"}},
                        "TIERVEC_CONFIG", "none.toml");
    config_case_refused(&(struct config_case){.args = {"--config=none.toml"}}, "--config",
                        "none.toml");
    config_case_refused(&(struct config_case){.args = {"--config"}}, "--config", "wants a value");
    config_case_refused(&(struct config_case){.args = {"--config="}}, "--config", "empty");
    config_case_refused(&(struct config_case){.args = {"--config", "/"}}, "--config", "/");
}

static void hosts_are_put_into_one_form(void **state)
{
    static const struct {
        const char *given, *got;
    } hosts[] = {{"--host=localhost", "127.0.0.1"},
                 {"--host=[::1]", "::1"},
                 {"--host=0:0::1", "::1"},
                 {"--host=::ffff:127.0.0.1", "::ffff:127.0.0.1"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        struct config c;

        config_case_ok(&(struct config_case){.args = {hosts[i].given}}, &c);
        assert_string_equal(c.server.host, hosts[i].got);
        config_free(&c);
    }
}

/* The values that a bucket goes with: each of them from file and environment. */
static void a_bucket_brings_its_tier(void **state)
{
    static const char file[] = "[storage]\n"
                               "tiering_policy = \"MemoryS3\"\n"
                               "s3_bucket = \"s3://my-bucket/akidb\"\n"
                               "s3_region = \"us-west-2\"\n"
                               "durability = \"remote\"\n";
    struct config c;

    (void)state;
    config_case_ok(&(struct config_case){.file = file}, &c);
    assert_string_equal(c.storage.tiering_policy, "MemoryS3");
    assert_string_equal(c.storage.s3_bucket, "s3://my-bucket/akidb");
    assert_string_equal(c.storage.durability, "remote");
    assert_int_equal(c.warning_count, 0);
    config_free(&c);
    config_case_ok(&(struct config_case){.env = {"TIERVEC_TIERING_POLICY=memorys3",
                                                 "TIERVEC_STORAGE_S3_BUCKET=file:///var/bucket"},
                                         .args = {"--storage-durability", "Remote"}},
                   &c);
    assert_string_equal(c.storage.tiering_policy, "MemoryS3");
    assert_string_equal(c.storage.s3_bucket, "file:///var/bucket");
    assert_string_equal(c.storage.durability, "remote");
    config_free(&c);
}

static void log_options_follow_the_section(void **state)
{
    struct log_options options;
    struct config c;

    (void)state;
    config_case_ok(&(struct config_case){.args = {"--log-level", "WARN, wal=Debug,api=trace",
                                                  "--log-format=JSON", "--logging-file=/x"}},
                   &c);
    assert_string_equal(c.logging.level, "warn,wal=debug,api=trace");
    config_log_options(&c, &options);
    assert_int_equal(options.level, LOG_WARN);
    assert_string_equal(options.levels, "wal=debug,api=trace");
    assert_int_equal(options.format, LOG_FORMAT_JSON);
    assert_string_equal(options.path, "/x");
    config_free(&c);
    config_case_ok(&(struct config_case){.args = {"--log-level=off", "--log-format=pretty"}}, &c);
    config_log_options(&c, &options);
    assert_int_equal(options.level, LOG_OFF);
    assert_null(options.levels);
    assert_int_equal(options.format, LOG_FORMAT_PRETTY);
    config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_from_each_origin),
        cmocka_unit_test(no_two_keys_share_a_name),
        cmocka_unit_test(every_maximum_fits_its_field),
        cmocka_unit_test(the_file_is_found_in_its_order),
        cmocka_unit_test(hosts_are_put_into_one_form),
        cmocka_unit_test(a_bucket_brings_its_tier),
        cmocka_unit_test(log_options_follow_the_section),
    };

    return cmocka_run_group_tests(tests, config_case_begin, config_case_end);
}
