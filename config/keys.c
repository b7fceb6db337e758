/* Every key there is. The order is that of the example file and of the reference page. */
#include "config/config_internal.h"

#define FIELD(member)                                                                              \
    .offset = offsetof(struct config, member), .width = sizeof(((struct config *)NULL)->member)

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* What later versions build, and what to do until then. */
#define DISK_CACHE .later = "a cache on disk is", .instead = "or use cache_bytes"
#define TLS        .later = "TLS is", .instead = "or put a proxy that speaks TLS in front"
#define KEYS       .later = "API keys are", .instead = "or let a proxy in front check callers"
#define RATES      .later = "rate limits are", .instead = "or let a proxy in front limit callers"
#define AUDIT      .later = "the audit log is", .instead = "or use [logging] log_requests = true"
#define ENCRYPTION .later = "encryption is", .instead = "or use an encrypted file system"

#define TEXT(s, k)   .section = (s), .key = (k), .kind = CONFIG_TEXT
#define NUMBER(s, k) .section = (s), .key = (k), .kind = CONFIG_NUMBER
#define BOOL(s, k)   .section = (s), .key = (k), .kind = CONFIG_BOOL
#define CHOICE(s, k) .section = (s), .key = (k), .kind = CONFIG_CHOICE
#define LIST(s, k)   .section = (s), .key = (k), .kind = CONFIG_LIST
#define RANGE(a, b)  .min = (a), .max = (b)
#define LATER        .use = CONFIG_LATER, .commented = true

const struct config_key config_keys[] = {
    /* ---- server ---- */
    {TEXT("server", "host"), FIELD(server.host), .rule = CONFIG_HOST, .fallback = "127.0.0.1",
     .short_name = "host", .seed_name = "AKIDB_HOST",
     .doc = "The address to listen on, IPv4 or IPv6. One beyond loopback needs [auth] "
            "allow_anonymous = true, because this version knows no keys."},
    {NUMBER("server", "rest_port"), FIELD(server.rest_port), RANGE(1, 65535),
     .zero = "the system chooses one", .fallback = "8080", .short_name = "rest_port",
     .seed_name = "AKIDB_REST_PORT", .doc = "The port of the REST API."},
    {NUMBER("server", "grpc_port"), FIELD(server.grpc_port), RANGE(1, 65535), .zero = "no gRPC",
     .fallback = "9090", .short_name = "grpc_port", .seed_name = "AKIDB_GRPC_PORT",
     .commented = true,
     .doc = "The port of the gRPC API. When nobody set it and 9090 is taken, the node starts "
            "without gRPC and says so; a port that was set has to be free."},
    {NUMBER("server", "timeout_seconds"), FIELD(server.timeout_seconds), RANGE(1, 3600),
     .unit = "seconds", .fallback = "30",
     .doc = "A request that takes longer, from its first byte to its answer, is ended."},
    {NUMBER("server", "threads"), FIELD(server.threads), RANGE(1, 1024),
     .zero = "as many as there are cores", .fallback = "0", .short_name = "threads",
     .doc = "Worker threads that answer requests."},
    {LIST("server", "trusted_proxies"), LATER, .fallback = "",
     .doc = "Proxies whose X-Forwarded-For is believed.", .later = "trusted proxies are",
     .instead = "the address of the connection is what counts"},
    {TEXT("server", "node_id"), FIELD(server.node_id), .rule = CONFIG_NAME, .fallback = "",
     .short_name = "node_id",
     .doc = "This node's name in status, logs and locks: 1 to 255 letters, digits, '-', '_', '.' "
            "or ':'. Empty: the host's name."},
    {NUMBER("server", "max_connections"), FIELD(server.max_connections), RANGE(1, 65535),
     .fallback = "1024", .doc = "Connections open at one time; one more is refused."},
    {NUMBER("server", "max_body_bytes"), FIELD(server.max_body_bytes), RANGE(KIB, GIB),
     .unit = "bytes", .fallback = "33554432",
     .doc = "The body of a request; a longer one is refused."},
    {NUMBER("server", "max_batch"), FIELD(server.max_batch), RANGE(1, 100000), .unit = "documents",
     .fallback = "10000", .doc = "Documents in one request; more are refused."},
    /* ---- database ---- */
    {TEXT("database", "data_dir"), FIELD(database.data_dir), .rule = CONFIG_FOLDER,
     .fallback = "./data", .short_name = "data_dir",
     .doc = "The folder of everything this node keeps. It is made if absent; one process at a "
            "time uses it."},
    {TEXT("database", "path"), .use = CONFIG_SEED, .rule = CONFIG_FOLDER, .fallback = "",
     .seed_name = "AKIDB_DB_PATH", .commented = true,
     .doc = "AkiDB's key: of \"sqlite:///folder/file.db\" the folder is taken as data_dir. No "
            "SQLite file is read or written."},
    {NUMBER("database", "max_connections"), .use = CONFIG_SEED, RANGE(0, UINT32_MAX),
     .fallback = "10", .commented = true, .doc = "AkiDB's key; it means nothing here.",
     .later = "there is no SQL database behind this node, so no pool of connections to it; for "
              "clients see server.max_connections"},
    {NUMBER("database", "connection_timeout_seconds"), .use = CONFIG_SEED, RANGE(0, UINT32_MAX),
     .unit = "seconds", .fallback = "5", .commented = true,
     .doc = "AkiDB's key; it means nothing here.",
     .later = "there is no SQL database behind this node to wait for; for requests see "
              "server.timeout_seconds"},
    /* ---- features ---- */
    {BOOL("features", "metrics_enabled"), FIELD(features.metrics_enabled), .fallback = "true",
     .seed_name = "AKIDB_METRICS_ENABLED", .doc = "Serve GET /metrics."},
    {BOOL("features", "vector_persistence_enabled"), FIELD(features.vector_persistence_enabled),
     .fallback = "true", .seed_name = "AKIDB_VECTOR_PERSISTENCE_ENABLED",
     .doc = "Vectors are always kept on disk in this version; false is refused."},
    {BOOL("features", "auto_initialize"), FIELD(features.auto_initialize), .fallback = "true",
     .seed_name = "AKIDB_AUTO_INITIALIZE",
     .doc = "Make the default tenant and database at the first start."},
    /* ---- hnsw ---- */
    {NUMBER("hnsw", "m"), FIELD(hnsw.m), RANGE(2, 128), .unit = "links", .fallback = "32",
     .doc = "Links of a node on the graph's upper layers, twice as many on the lowest. More: "
            "better recall, more memory. A default for new collections, as the next three are."},
    {NUMBER("hnsw", "ef_construction"), FIELD(hnsw.ef_construction), RANGE(2, 32768),
     .unit = "candidates", .fallback = "200",
     .doc = "Candidates kept while a row is linked. More: a better graph, slower linking."},
    {NUMBER("hnsw", "ef_search"), FIELD(hnsw.ef_search), RANGE(1, 32768), .unit = "candidates",
     .fallback = "100",
     .doc = "Candidates kept while searching, at least top_k. More: better recall, slower."},
    {NUMBER("hnsw", "threshold"), FIELD(hnsw.threshold), RANGE(0, 1000000000), .unit = "rows",
     .fallback = "10000",
     .doc = "Below so many rows a collection is scanned and no graph is built."},
    /* ---- logging ---- */
    {TEXT("logging", "level"), FIELD(logging.level), .rule = CONFIG_LEVELS, .fallback = "info",
     .short_name = "log_level", .seed_name = "AKIDB_LOG_LEVEL",
     .doc = "trace, debug, info, warn, error or off; levels of single folders behind it: "
            "\"info,wal=debug\". RUST_LOG is understood too."},
    {CHOICE("logging", "format"), FIELD(logging.format), .choices = "auto|json|pretty",
     .fallback = "auto", .short_name = "log_format", .seed_name = "AKIDB_LOG_FORMAT",
     .doc = "auto: pretty on a terminal, else json."},
    {TEXT("logging", "file"), FIELD(logging.file), .fallback = "",
     .doc = "The file to append to. Empty: standard error."},
    {NUMBER("logging", "slow_query_ms"), FIELD(logging.slow_query_ms), RANGE(1, 3600000),
     .unit = "milliseconds", .zero = "none is logged", .fallback = "100",
     .doc = "Queries slower than this are logged."},
    {BOOL("logging", "log_requests"), FIELD(logging.log_requests), .fallback = "false",
     .short_name = "log_requests", .doc = "One line for each request."},
    /* ---- limits ---- */
    {NUMBER("limits", "memory_bytes"), FIELD(limits.memory_bytes), RANGE(MIB, 1024 * TIB),
     .unit = "bytes", .zero = "80 % of the cgroup's limit or of RAM", .fallback = "0",
     .short_name = "memory_bytes",
     .doc = "Memory for what users store; a write that would cross it gets 507 before it is "
            "acknowledged."},
    /* ---- wal ---- */
    {NUMBER("wal", "max_bytes"), FIELD(wal.max_bytes), RANGE(MIB, 16 * TIB), .unit = "bytes",
     .fallback = "1073741824",
     .doc = "A longer write-ahead log forces a checkpoint; it never refuses a write."},
    {NUMBER("wal", "checkpoint_interval_secs"), FIELD(wal.checkpoint_interval_secs),
     RANGE(1, 604800), .unit = "seconds", .fallback = "300",
     .doc = "A checkpoint is taken so often when something changed."},
    {CHOICE("wal", "sync"), FIELD(wal.sync), .choices = "fsync|none", .fallback = "fsync",
     .doc = "fsync: an acknowledged write survives a power cut. none: it survives the end of the "
            "process only, and health says so."},
    /* ---- storage ---- */
    {CHOICE("storage", "tiering_policy"), FIELD(storage.tiering_policy),
     .choices = "Memory|MemoryS3|S3Only", .fallback = "Memory", .short_name = "tiering_policy",
     .doc = "Where new collections live. Memory: RAM and the log on the local disk. MemoryS3: the "
            "same, and everything is shipped to the bucket. S3Only: in the bucket, larger than "
            "memory, with a cache in it."},
    {TEXT("storage", "wal_path"), FIELD(storage.wal_path), .fallback = "",
     .doc = "The folder of the write-ahead logs. Empty: <data_dir>/wal."},
    {TEXT("storage", "snapshot_dir"), FIELD(storage.snapshot_dir), .fallback = "",
     .doc = "The folder of the local checkpoints. Empty: <data_dir>/snapshots."},
    {TEXT("storage", "s3_bucket"), FIELD(storage.s3_bucket), .rule = CONFIG_BUCKET, .fallback = "",
     .doc = "The bucket: \"s3://bucket/prefix\" on AWS or at s3_endpoint, "
            "\"http://host:9000/bucket/prefix\", or \"file:///path\" for a directory as the "
            "bucket. Credentials never stand here. Empty: there is none."},
    {TEXT("storage", "s3_region"), FIELD(storage.s3_region), .rule = CONFIG_NAME, .fallback = "",
     .doc =
         "The bucket's region. Empty: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1."},
    {TEXT("storage", "s3_endpoint"), FIELD(storage.s3_endpoint), .rule = CONFIG_ENDPOINT,
     .fallback = "",
     .doc = "The store's address when it is not AWS: \"http://127.0.0.1:9000\". Empty: "
            "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's, AWS."},
    {CHOICE("storage", "s3_addressing"), FIELD(storage.s3_addressing),
     .choices = "auto|path|virtual", .fallback = "auto",
     .doc = "Whether the bucket stands in the path or in the host's name. auto: the host's name on "
            "AWS, the path at an endpoint of one's own."},
    {TEXT("storage", "s3_ca_file"), FIELD(storage.s3_ca_file), .fallback = "",
     .doc = "Authorities the store's certificate is checked with. Empty: AWS_CA_BUNDLE, the "
            "system's."},
    {TEXT("storage", "pinned_owner"), FIELD(storage.pinned_owner), .rule = CONFIG_NAME,
     .fallback = "",
     .doc = "The node_id of the only node that may ever write to this bucket, for a store that "
            "ignores conditions of writes (`tiervec probe` says which do). Such a store does not "
            "keep two writers apart: nobody takes a collection over, and two processes of one "
            "node_id would destroy each other's data. Empty: such a store is refused."},
    {NUMBER("storage", "cache_size"), FIELD(storage.cache_size), RANGE(0, UINT32_MAX),
     .unit = "vectors", .fallback = "10000",
     .doc = "Vectors of S3Only collections kept in memory, 4 KiB each and 64 MiB beside them."},
    {NUMBER("storage", "cache_bytes"), FIELD(storage.cache_bytes), RANGE(16 * MIB, 1024 * TIB),
     .unit = "bytes", .zero = "cache_size decides", .fallback = "0", .doc = "The same in bytes."},
    {TEXT("storage", "disk_cache_path"), LATER, DISK_CACHE, .fallback = "",
     .doc = "A folder that caches what was read from the bucket."},
    {NUMBER("storage", "disk_cache_bytes"), LATER, DISK_CACHE, RANGE(1, 1024 * TIB),
     .unit = "bytes", .zero = "no cache on disk", .fallback = "0",
     .doc = "How large that folder may grow."},
    {CHOICE("storage", "durability"), FIELD(storage.durability), .choices = "local|remote",
     .fallback = "local",
     .doc = "What a write to a new bucket-backed collection waits for: the local log, or the "
            "bucket as well."},
    {NUMBER("storage", "rpo_ms"), FIELD(storage.rpo_ms), RANGE(1, 3600000), .unit = "milliseconds",
     .fallback = "1000",
     .doc = "How old a write may grow before it is sent to the bucket, however little there is."},
    {BOOL("storage", "enable_background_compaction"), FIELD(storage.enable_background_compaction),
     .fallback = "true",
     .doc = "Write the base of a collection in the bucket anew when most of it is dead. false: "
            "only by command."},
    {NUMBER("storage", "group_bytes"), FIELD(storage.group_bytes), RANGE(64 * KIB, 64 * MIB),
     .unit = "bytes", .fallback = "4194304", .doc = "Log shipped as one object."},
    {NUMBER("storage", "max_in_flight"), FIELD(storage.max_in_flight), RANGE(1, 256),
     .unit = "uploads", .fallback = "4",
     .doc = "Log groups of one collection under way at one time."},
    {NUMBER("storage", "unshipped_bytes_max"), FIELD(storage.unshipped_bytes_max),
     RANGE(MIB, 1024 * TIB), .unit = "bytes", .fallback = "10737418240",
     .doc = "Log that may wait for the bucket: at half of it health says so, at 75 % writes are "
            "slowed with 429, at 92 % refused with 507."},
    {NUMBER("storage.compaction", "threshold_bytes"), FIELD(storage.compaction_threshold_bytes),
     RANGE(MIB, TIB), .unit = "bytes", .fallback = "104857600",
     .doc = "So much new log of a collection is folded into its local checkpoint."},
    {NUMBER("storage.compaction", "threshold_ops"), FIELD(storage.compaction_threshold_ops),
     RANGE(1, UINT32_MAX), .unit = "operations", .fallback = "10000",
     .doc = "So many new rows are, whichever comes first."},
    {NUMBER("storage.retry", "max_retries"), FIELD(storage.retry_max_retries), RANGE(0, 1000),
     .fallback = "5",
     .doc = "Tries of an upload the store refuses before it becomes a dead letter. What may get "
            "better by itself is tried for ever."},
    {NUMBER("storage.retry", "base_backoff_secs"), FIELD(storage.retry_base_backoff_secs),
     RANGE(1, 3600), .unit = "seconds", .fallback = "1", .doc = "The wait before the first retry."},
    {NUMBER("storage.retry", "max_backoff_secs"), FIELD(storage.retry_max_backoff_secs),
     RANGE(1, 86400), .unit = "seconds", .fallback = "64",
     .doc = "The longest wait between retries."},
    {NUMBER("storage.retention", "keep_versions"), FIELD(storage.retention_keep_versions),
     RANGE(1, 1000000), .unit = "manifests", .fallback = "10",
     .doc = "Versions of a collection kept in the bucket at least, the newest included, with the "
            "log from the oldest of them on."},
    {NUMBER("storage.retention", "keep_days"), FIELD(storage.retention_keep_days), RANGE(0, 36500),
     .unit = "days", .fallback = "7",
     .doc = "Days a version stays after it was replaced; kept if either says so. What is pinned "
            "stays as long as its pin."},
    {NUMBER("storage.retention", "grace_secs"), FIELD(storage.retention_grace_secs),
     RANGE(0, 604800), .unit = "seconds", .fallback = "3600",
     .doc = "What is to be deleted waits so long, for who reads the bucket meanwhile."},
    /* ---- doors and keys ---- */
    {TEXT("tls", "cert"), LATER, TLS, .fallback = "", .doc = "The certificate's file."},
    {TEXT("tls", "key"), LATER, TLS, .fallback = "", .doc = "The private key's file."},
    {TEXT("tls", "client_ca"), LATER, TLS, .fallback = "",
     .doc = "Clients must show a certificate of these authorities."},
    {BOOL("auth", "allow_anonymous"), FIELD(auth.allow_anonymous), .fallback = "false",
     .short_name = "allow_anonymous",
     .doc = "Listen beyond loopback although anyone who reaches the port may then read and "
            "change everything."},
    {TEXT("auth", "keys_file"), LATER, KEYS, .fallback = "", .doc = "The file of API keys."},
    {TEXT("auth", "jwt_key_file"), LATER, KEYS, .fallback = "",
     .doc = "The key that signs tokens."},
    {TEXT("auth", "jwt_issuer"), LATER, KEYS, .fallback = "", .doc = "Tokens' issuer."},
    {TEXT("auth", "jwt_audience"), LATER, KEYS, .fallback = "", .doc = "Tokens' audience."},
    {TEXT("auth", "jwt_secret"), LATER, KEYS, .fallback = "", .secret = true,
     .doc = "A shared secret for signed tokens."},
    {NUMBER("rate_limit", "requests_per_minute"), LATER, RATES, RANGE(1, UINT32_MAX),
     .unit = "requests", .zero = "no limit", .fallback = "0", .doc = "Requests of one caller."},
    {NUMBER("rate_limit", "burst_size"), LATER, RATES, RANGE(0, UINT32_MAX), .unit = "requests",
     .fallback = "0", .doc = "Requests at once before the limit holds."},
    {TEXT("audit", "file"), LATER, AUDIT, .fallback = "", .doc = "The audit log's file."},
    {TEXT("encryption", "key_file"), LATER, ENCRYPTION, .fallback = "",
     .doc = "The key's file for data at rest."},
    {TEXT("compat.qdrant", "listen"), FIELD(qdrant.listen), .rule = CONFIG_LISTEN, .fallback = "",
     .doc = "An address and port of its own for the compatible API, which always answers on "
            "rest_port too: \"127.0.0.1:6333\" for programs with a fixed port. Empty: none."},
    {BOOL("compat.qdrant", "string_ids"), FIELD(qdrant.string_ids), .fallback = "false",
     .doc = "Collections made through the compatible API from then on take ids of any text of 1 to "
            "512 bytes."},
    {NUMBER("compat.qdrant", "max_body"), FIELD(qdrant.max_body), RANGE(KIB, GIB), .unit = "bytes",
     .fallback = "33554432", .doc = "The body of a request of the compatible API."},
};
const size_t config_key_count = COUNT_OF(config_keys);
