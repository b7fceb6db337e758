/* AkiDB's own config.toml and environment start a node unedited. */
#include "tests/unit/config/config_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* The keys and values of its production file. */
static const char production[] = "[server]\n"
                                 "host = \"0.0.0.0\"\n"
                                 "rest_port = 8080\n"
                                 "grpc_port = 9090\n"
                                 "timeout_seconds = 30\n"
                                 "[database]\n"
                                 "path = \"sqlite:///var/lib/akidb/data/metadata.db\"\n"
                                 "max_connections = 10\n"
                                 "connection_timeout_seconds = 5\n"
                                 "[features]\n"
                                 "metrics_enabled = true\n"
                                 "vector_persistence_enabled = true\n"
                                 "auto_initialize = true\n"
                                 "[hnsw]\n"
                                 "m = 32\n"
                                 "ef_construction = 200\n"
                                 "threshold = 10000\n"
                                 "[logging]\n"
                                 "level = \"info\"\n"
                                 "format = \"json\"\n";

static void the_production_file_starts(void **state)
{
    struct config c;

    (void)state;
    config_case_ok(&(struct config_case){.file = production,
                                         .env = {"RUST_LOG=info", "AKIDB_CONFIG=./config.toml"}},
                   &c);
    assert_string_equal(c.server.host, "0.0.0.0");
    assert_int_equal(c.server.rest_port, 8080);
    assert_string_equal(c.database.data_dir, "/var/lib/akidb/data");
    assert_string_equal(c.logging.format, "json");
    assert_true(c.anonymous_beyond_loopback);
    assert_int_equal(config_case_warned(&c, "ANYONE WHO REACHES 0.0.0.0"), 1);
    assert_int_equal(config_case_warned(&c, "database.max_connections means nothing here"), 1);
    assert_int_equal(
        config_case_warned(&c, "database.connection_timeout_seconds means nothing here"), 1);
    assert_int_equal(config_case_warned(&c, "taken as data_dir"), 1);
    assert_int_equal(c.server.grpc_port, 9090);
    assert_int_equal(c.warning_count, 4);
    assert_string_equal(config_case_entry(&c, "database", "data_dir")->where, "./config.toml:7");
    config_free(&c);
}

/* Its Memory tier and its worker sections, which stand at their defaults. */
static void the_storage_sections_start_when_they_say_memory(void **state)
{
    static const char text[] = "[storage]\n"
                               "tiering_policy = \"Memory\"\n"
                               "wal_path = \"/var/lib/akidb/wal\"\n"
                               "snapshot_dir = \"/var/lib/akidb/snapshots\"\n"
                               "enable_background_compaction = true\n"
                               "[storage.compaction]\n"
                               "threshold_bytes = 104857600\n"
                               "threshold_ops = 10000\n"
                               "[storage.retry]\n"
                               "max_retries = 5\n"
                               "base_backoff_secs = 1\n"
                               "max_backoff_secs = 64\n";
    struct config c;

    (void)state;
    config_case_ok(&(struct config_case){.file = text}, &c);
    assert_string_equal(c.storage.wal_path, "/var/lib/akidb/wal");
    assert_string_equal(c.storage.snapshot_dir, "/var/lib/akidb/snapshots");
    assert_int_equal(c.warning_count, 0);
    config_free(&c);
}

/* Its MemoryS3 tier on AWS and on MinIO, word for word. */
static void the_bucket_sections_start(void **state)
{
    static const char aws[] = "[storage]\n"
                              "tiering_policy = \"MemoryS3\"\n"
                              "wal_path = \"/var/lib/akidb/wal\"\n"
                              "snapshot_dir = \"/var/lib/akidb/snapshots\"\n"
                              "s3_bucket = \"s3://my-bucket/akidb\"\n"
                              "s3_region = \"us-west-2\"\n";
    static const char minio[] = "[storage]\n"
                                "tiering_policy = \"MemoryS3\"\n"
                                "s3_bucket = \"http://localhost:9000/akidb\"\n"
                                "s3_region = \"us-east-1\"  # Required but ignored by MinIO\n"
                                "s3_endpoint = \"http://localhost:9000\"\n"
                                "enable_background_compaction = true  # Default: true\n"
                                "[storage.compaction]\n"
                                "threshold_bytes = 104857600  # 100MB (default)\n"
                                "threshold_ops = 10000\n"
                                "[storage.retry]\n"
                                "max_retries = 5\n"
                                "base_backoff_secs = 1\n"
                                "max_backoff_secs = 64\n";
    struct config c;

    (void)state;
    config_case_ok(&(struct config_case){.file = aws}, &c);
    assert_string_equal(c.storage.s3_bucket, "s3://my-bucket/akidb");
    assert_int_equal(c.warning_count, 0);
    config_free(&c);
    config_case_ok(&(struct config_case){.file = minio}, &c);
    assert_string_equal(c.storage.s3_endpoint, "http://localhost:9000");
    assert_int_equal(c.warning_count, 0);
    config_free(&c);
}

static void the_environment_alone_starts(void **state)
{
    struct config c;

    (void)state;
    config_case_ok(
        &(struct config_case){
            .env = {"AKIDB_HOST=0.0.0.0", "AKIDB_REST_PORT=8181", "AKIDB_GRPC_PORT=9000",
                    "AKIDB_DB_PATH=sqlite:///data/akidb/metadata.db", "AKIDB_LOG_LEVEL=debug",
                    "AKIDB_LOG_FORMAT=json", "AKIDB_METRICS_ENABLED=false",
                    "AKIDB_VECTOR_PERSISTENCE_ENABLED=true", "AKIDB_AUTO_INITIALIZE=false",
                    "AKIDB_SOMETHING_ELSE=1", "RUST_LOG=warn", "PATH=/bin", "HOME"}},
        &c);
    assert_string_equal(c.server.host, "0.0.0.0");
    assert_int_equal(c.server.rest_port, 8181);
    assert_int_equal(c.server.grpc_port, 9000);
    assert_string_equal(c.database.data_dir, "/data/akidb");
    assert_string_equal(c.logging.level, "warn");
    assert_string_equal(c.logging.format, "json");
    assert_false(c.features.metrics_enabled);
    assert_false(c.features.auto_initialize);
    assert_true(c.anonymous_beyond_loopback);
    assert_int_equal(config_case_warned(&c, "AKIDB_SOMETHING_ELSE means nothing here"), 1);
    config_free(&c);
}

static void ours_wins_over_the_seeds(void **state)
{
    struct config c;

    (void)state;
    config_case_ok(
        &(struct config_case){.file = production,
                              .env = {"AKIDB_DB_PATH=sqlite://akidb.db", "TIERVEC_DATA_DIR=/ours",
                                      "AKIDB_HOST=0.0.0.0", "TIERVEC_HOST=127.0.0.1"}},
        &c);
    assert_string_equal(c.database.data_dir, "/ours");
    assert_string_equal(c.server.host, "127.0.0.1");
    assert_false(c.anonymous_beyond_loopback);
    config_free(&c);
    config_case_ok(&(struct config_case){.file = "[database]\ndata_dir = \"/a\"\n"
                                                 "path = \"sqlite:///b/x.db\"\n"},
                   &c);
    assert_string_equal(c.database.data_dir, "/a");
    assert_int_equal(config_case_warned(&c, "database.path is not used"), 1);
    config_free(&c);
}

/* Which address is the seed's, and which is ours. */
static void only_the_seeds_own_address_is_taken_without_keys(void **state)
{
    static const char file_without_path[] = "[server]\nhost = \"0.0.0.0\"\n";
    struct config c;

    (void)state;
    config_case_ok(
        &(struct config_case){.file = file_without_path, .env = {"AKIDB_DB_PATH=sqlite:///x/y.db"}},
        &c);
    assert_true(c.anonymous_beyond_loopback);
    config_free(&c);
    config_case_refused(
        &(struct config_case){.file = file_without_path, .env = {"AKIDB_REST_PORT=80"}},
        "knows no keys", "allow_anonymous");
    config_case_refused(&(struct config_case){.file = file_without_path,
                                              .args = {"--database-path=sqlite:///x/y.db"}},
                        "knows no keys", "allow_anonymous");
    config_case_refused(&(struct config_case){.file = production, .args = {"--host", "0.0.0.0"}},
                        "--host", "allow_anonymous");
    config_case_refused(&(struct config_case){.file = production, .env = {"TIERVEC_HOST=::"}},
                        "TIERVEC_HOST", "allow_anonymous");
    config_case_refused(
        &(struct config_case){.file = production, .env = {"TIERVEC_ALLOW_ANONYMOUS=false"}},
        "knows no keys", "allow_anonymous");
    config_case_ok(
        &(struct config_case){.file = production, .env = {"TIERVEC_ALLOW_ANONYMOUS=true"}}, &c);
    assert_false(c.anonymous_beyond_loopback);
    assert_int_equal(config_case_warned(&c, "ANYONE"), 0);
    config_free(&c);
}

static void a_path_is_taken_as_its_folder(void **state)
{
    static const struct {
        const char *path, *folder;
    } paths[] = {
        {"sqlite://akidb.db", "."},
        {"sqlite:akidb.db", "."},
        {"sqlite://./akidb.db", "."},
        {"sqlite://data/akidb.db", "data"},
        {"sqlite:///akidb.db", "/"},
        {"sqlite:///srv//x//akidb.db", "/srv//x"},
        {"sqlite:///srv/akidb.db?mode=rwc", "/srv"},
        {"sqlite:///srv/a.db?x=/y", "/srv"},
    };
    static const char *const wrong[] = {"sqlite::memory:", "sqlite:",         "sqlite://",
                                        "/srv/akidb.db",   "postgres://db/x", "sqlite://?mode=rwc"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        char text[128];
        struct config c;

        (void)snprintf(text, sizeof text, "AKIDB_DB_PATH=%s", paths[i].path);
        config_case_ok(&(struct config_case){.env = {text}}, &c);
        assert_string_equal(c.database.data_dir, paths[i].folder);
        config_free(&c);
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char text[128];

        (void)snprintf(text, sizeof text, "[database]\npath = \"%s\"\n", wrong[i]);
        config_case_refused(&(struct config_case){.file = text}, "config.toml:2: database.path",
                            "data_dir = ");
    }
    config_case_refused(&(struct config_case){.file = "[database]\npath = 5\n"}, "database.path",
                        "data_dir = ");
}

static void rust_log_is_understood_as_far_as_it_goes(void **state)
{
    static const struct {
        const char *rust, *level;
    } levels[] = {
        {"RUST_LOG=debug", "debug"},
        {"RUST_LOG=WARN", "warn"},
        {"RUST_LOG=akidb=trace", "trace"},
        {"RUST_LOG=info,akidb_rest=debug", "debug"},
        {"RUST_LOG=akidb::hnsw=trace,info", "info"},
        {"RUST_LOG=info,wal=debug,hyper=off", "info,wal=debug"},
        {"RUST_LOG=wal=debug", "info,wal=debug"},
        {"RUST_LOG=off", "off"},
    };
    static const char *const nothing[] = {"RUST_LOG=needle::hnsw=trace", "RUST_LOG=,,=,",
                                          "RUST_LOG=7", "RUST_LOG=\xff=\x01"};
    struct config c;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        config_case_ok(&(struct config_case){.env = {levels[i].rust, "AKIDB_LOG_LEVEL=error"}}, &c);
        assert_string_equal(c.logging.level, levels[i].level);
        assert_int_equal(c.warning_count, 0);
        config_free(&c);
    }
    for (size_t i = 0; i < COUNT_OF(nothing); i++) {
        config_case_ok(&(struct config_case){.env = {nothing[i], "AKIDB_LOG_LEVEL=error"}}, &c);
        assert_string_equal(c.logging.level, "error");
        assert_int_equal(config_case_warned(&c, "RUST_LOG"), 1);
        config_free(&c);
    }
    config_case_ok(&(struct config_case){.env = {"RUST_LOG=debug", "TIERVEC_LOG_LEVEL=warn"}}, &c);
    assert_string_equal(c.logging.level, "warn");
    config_free(&c);
}

/* What Kubernetes puts into every pod, and our own names that are no settings. */
static void variables_that_are_no_settings_are_left_alone(void **state)
{
    struct config c;

    (void)state;
    config_case_ok(
        &(struct config_case){
            .env = {"TIERVEC_SERVICE_HOST=10.0.0.1", "TIERVEC_SERVICE_PORT=8080",
                    "TIERVEC_SERVICE_PORT_REST=8080", "TIERVEC_PORT=tcp://10.0.0.1:8080",
                    "TIERVEC_PORT_8080_TCP=tcp://10.0.0.1:8080",
                    "TIERVEC_PORT_8080_TCP_ADDR=10.0.0.1", "TIERVEC_HEADLESS_SERVICE_HOST=None",
                    "TIERVEC_TEST_SEED=5", "TIERVEC_VERSION=1", "TIERVEC_URL=http://h"}},
        &c);
    assert_int_equal(c.warning_count, 0);
    config_free(&c);
    config_case_refused(&(struct config_case){.env = {"TIERVEC_PORT=8080"}}, "TIERVEC_PORT",
                        "is no setting");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_production_file_starts),
        cmocka_unit_test(the_storage_sections_start_when_they_say_memory),
        cmocka_unit_test(the_bucket_sections_start),
        cmocka_unit_test(the_environment_alone_starts),
        cmocka_unit_test(ours_wins_over_the_seeds),
        cmocka_unit_test(only_the_seeds_own_address_is_taken_without_keys),
        cmocka_unit_test(a_path_is_taken_as_its_folder),
        cmocka_unit_test(rust_log_is_understood_as_far_as_it_goes),
        cmocka_unit_test(variables_that_are_no_settings_are_left_alone),
    };

    return cmocka_run_group_tests(tests, config_case_begin, config_case_end);
}
