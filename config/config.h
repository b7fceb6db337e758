/* config.h - file, environment and flags -> one options struct; each value knows where it came
 * from.
 *
 * Precedence: flag, environment, file, default. An unknown key is an error that names the nearest
 * known one. Keys whose feature a later version builds are refused by name when they are set to
 * anything but their default; keys of the seed that mean nothing here are accepted with a warning
 * that says why.
 *
 * The file is the one --config names, else TIERVEC_CONFIG, else AKIDB_CONFIG, else ./config.toml,
 * else /etc/tiervec/config.toml; one that is named must be there. docs/configuration.md has every
 * key.
 *
 * Threads    none of it is shared; read it from any thread once it is loaded.
 * Ownership  config_free() frees every text inside.
 * Limits     CONFIG_FILE_BYTES_MAX the file, CONFIG_TEXT_BYTES_MAX a value.
 * Failure    ST_INVALID: the text names file, line, key, what is wrong and what would be right. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/bytes.h"
#include "base/log.h"

enum {
    CONFIG_FILE_BYTES_MAX = 256 * 1024,
    CONFIG_TEXT_BYTES_MAX = 4096, /* of one value */
};

enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG };

struct config {
    struct {
        char *host;
        uint16_t rest_port, grpc_port;
        uint32_t timeout_seconds;
        uint32_t threads; /* 0: cores */
        char *node_id;
        uint32_t max_connections;
        uint64_t max_body_bytes;
        uint32_t max_batch;
    } server;
    struct {
        char *data_dir;
    } database;
    struct {
        bool metrics_enabled, vector_persistence_enabled, auto_initialize;
    } features;
    struct {
        uint16_t m, ef_construction, ef_search;
        uint32_t threshold;
    } hnsw;
    struct {
        char *level; /* a level, or "info,wal=debug" as RUST_LOG has it */
        char *format;
        char *file;
        uint32_t slow_query_ms;
        bool log_requests;
    } logging;
    struct {
        uint64_t memory_bytes;
    } limits;
    struct {
        uint64_t max_bytes;
        uint32_t checkpoint_interval_secs;
        char *sync;
    } wal;
    struct {
        char *tiering_policy;
        char *wal_path;
        char *snapshot_dir;
        char *s3_bucket; /* "": there is none */
        char *s3_region, *s3_endpoint, *s3_ca_file;
        char *s3_addressing;
        char *pinned_owner;   /* "": none */
        uint32_t cache_size;  /* vectors */
        uint64_t cache_bytes; /* 0: cache_size decides */
        char *durability;
        uint32_t rpo_ms;
        bool enable_background_compaction;
        uint64_t group_bytes;
        uint32_t max_in_flight;
        uint64_t unshipped_bytes_max;
        uint64_t compaction_threshold_bytes;
        uint32_t compaction_threshold_ops;
        uint32_t retry_max_retries, retry_base_backoff_secs, retry_max_backoff_secs;
        uint32_t retention_keep_versions, retention_keep_days, retention_grace_secs;
    } storage;
    struct {
        bool allow_anonymous;
    } auth;
    struct {
        char *listen; /* "127.0.0.1:6333", "[::1]:6333"; "": none */
        bool string_ids;
        uint64_t max_body;
    } qdrant;

    bool anonymous_beyond_loopback; /* the seed's own configuration: served, with a loud warning */
    char *file;                     /* the one that was read; NULL: none */
    struct config_entry
        *entries; /* every key with text value, origin and where (file:line, variable, flag) */
    size_t entry_count;
    char **warnings;
    size_t warning_count;
};
struct config_entry {
    const char *section, *key;
    char *value; /* as TOML text; secrets masked */
    enum config_origin origin;
    char *where;
};

/* argv: the flags behind the subcommand ("--config", PATH, "--data-dir=...", "--rest-port", ...);
 * env: NULL-terminated "NAME=value" list (environ). */
NODISCARD
status config_load(int argc, char *const *argv, char *const *env, struct config *out,
                   struct err *err);
void config_free(struct config *c);
/* "127.0.0.1:6333" or "[::1]:6333" cut in two; the host without brackets. False for anything else.
 */
enum { CONFIG_LISTEN_HOST_BYTES = 64 };
NODISCARD
bool config_listen_parse(const char *text, char host[CONFIG_LISTEN_HOST_BYTES], uint16_t *port);
/* What [logging] says, for log_open(); texts are borrowed from c, the clock is the caller's to set.
 */
void config_log_options(const struct config *c, struct log_options *out);
/* The whole reference as TOML with comments: what config.example.toml is generated from. */
NODISCARD
status config_print_example(struct buf *out, struct err *err);
/* The same as tables of Markdown: the generated part of docs/configuration.md. */
NODISCARD
status config_print_reference(struct buf *out, struct err *err);
/* `config show`: effective values, with origins when asked. */
NODISCARD
status config_print(const struct config *c, bool origins, struct buf *out, struct err *err);

#endif
