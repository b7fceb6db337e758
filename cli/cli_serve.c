#include "cli/cli_serve.h"

#include "api/api.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/options.h"
#include "wal/wal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    HEADER_BYTES_MAX = 16 * 1024,
    DRAIN_MS = 10000,
    /* Two a collection that is written to, 1,000 of them at once, and some to spare. */
    FILES_BESIDE_CONNECTIONS = 2048,
};

static const char help_text[] =
    "usage: tiervec serve [--quiet] [flags]\n"
    "\n"
    "Runs a node until SIGTERM or SIGINT. Needs no configuration: collections are kept in memory,\n"
    "their log and checkpoints in ./data, and REST answers on 127.0.0.1:8080.\n"
    "\n"
    "  --config FILE            read this file (else TIERVEC_CONFIG, ./config.toml,\n"
    "                           /etc/tiervec/config.toml)\n"
    "  --data-dir DIR           where log, checkpoints and catalog lie\n"
    "  --host ADDRESS           address to listen on\n"
    "  --rest-port PORT         port of REST\n"
    "  --log-level LEVEL        trace, debug, info, warn, error\n"
    "  --set section.key=value  any key of the configuration reference\n"
    "  --take-ownership         of the bucket's collections that another node owns: only when "
    "that\n"
    "                           node is gone for good\n"
    "  --quiet                  no greeting on standard output\n"
    "\n"
    "example: tiervec serve --data-dir /var/lib/tiervec --rest-port 8080\n";

struct serve {
    int argc; /* the flags, for reading the configuration again */
    char **argv;
    struct config config; /* after start() the meta thread's alone */
    bool config_loaded;
    bool take_ownership;
    struct stats *stats;
    struct exec *exec;
    struct objstore *store; /* NULL: there is no bucket */
    struct node *node;
    struct api *api;
};

/* Takes `flag` out of the arguments; true if it was there. */
static bool take_flag(int *argc, char **argv, const char *flag)
{
    bool found = false;
    int kept = 0;

    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], flag) == 0)
            found = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return found;
}

static void greet(const struct config *c, uint16_t port)
{
    const char *host = strcmp(c->server.host, "0.0.0.0") == 0 || strcmp(c->server.host, "::") == 0
                           ? "127.0.0.1"
                           : c->server.host;
    char base[300];

    (void)snprintf(base, sizeof base,
                   strchr(host, ':') != NULL ? "http://[%s]:%u/api/v1" : "http://%s:%u/api/v1",
                   host, port);
    printf("tiervec " TIERVEC_VERSION " listens on %s:%u, data in %s. Try, in another terminal:\n\n"
           "curl -s %s/collections -d '{\"name\":\"demo\",\"dimension\":3,\"metric\":\"cosine\"}'\n"
           "curl -s %s/collections/demo/insert -d "
           "'{\"documents\":[{\"doc_id\":1,\"vector\":[1,0,0],\"payload\":"
           "{\"word\":\"east\"}},{\"doc_id\":2,\"vector\":[0,1,0],\"payload\":{\"word\":\"north\"}}"
           "]}'\n"
           "curl -s %s/collections/demo/query -d "
           "'{\"query_vector\":[0.9,0.1,0],\"top_k\":1,\"with_payload\":true}'\n\n",
           host, port, c->database.data_dir, base, base, base);
    (void)fflush(stdout);
}

static bool changes_at_once(const struct config_entry *e)
{
    return strcmp(e->section, "logging") == 0 &&
           (strcmp(e->key, "level") == 0 || strcmp(e->key, "format") == 0 ||
            strcmp(e->key, "file") == 0);
}

static bool same_value(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Keys whose value differs and that change at once, or not. */
static void put_differences(const struct config *old, const struct config *now, bool at_once,
                            struct buf *json)
{
    bool first = true;

    buf_put_text(json, "[");
    for (size_t i = 0; i < now->entry_count && i < old->entry_count; i++) {
        if (same_value(old->entries[i].value, now->entries[i].value) ||
            changes_at_once(&now->entries[i]) != at_once)
            continue;
        buf_printf(json, "%s\"%s.%s\"", first ? "" : ",", now->entries[i].section,
                   now->entries[i].key);
        first = false;
    }
    buf_put_text(json, "]");
}

static status open_log(const struct config *c, struct err *err)
{
    struct log_options log;

    config_log_options(c, &log);
    log.clock = clock_real();
    return log_open(&log, err);
}

/* node_reload_fn. The values at start stay in s->config for all that needs a restart: they are what
 * the node runs with. */
static status reload(void *arg, struct buf *json, struct err *err)
{
    struct serve *s = arg;
    struct config now;
    status st = config_load(s->argc, s->argv, environ, &now, err);

    if (st != ST_OK)
        return st;
    st = open_log(&now, err);
    if (st == ST_OK) {
        if (s->store != NULL)
            objstore_reload(s->store); /* credentials */
        buf_put_text(json, "{\"changed\":");
        put_differences(&s->config, &now, true, json);
        buf_put_text(json, ",\"needs_restart\":");
        put_differences(&s->config, &now, false, json);
        buf_put_text(json, "}");
    }
    config_free(&now);
    return st;
}

static status open_node(struct serve *s, struct err *err)
{
    struct node_options options;
    status st = cli_node_options(&s->config, &options, err);

    if (st != ST_OK)
        return st;
    options.stats = s->stats;
    options.exec = s->exec;
    options.store = s->store;
    options.take_ownership = s->take_ownership;
    options.reload = reload;
    options.reload_arg = s;
#ifdef TIERVEC_BROKEN_TWIN
    /* A twin of the program for tests alone: it must be caught losing what it acknowledged. */
    options.wal_twin = TIERVEC_BROKEN_TWIN;
#endif
    return node_open(&options, &s->node, err);
}

static bool is_default(const struct config *c, const char *section, const char *key)
{
    for (size_t i = 0; i < c->entry_count; i++)
        if (strcmp(c->entries[i].section, section) == 0 && strcmp(c->entries[i].key, key) == 0)
            return c->entries[i].origin == CONFIG_DEFAULT;
    return false;
}

static status open_api(struct serve *s, struct err *err)
{
    const struct config *c = &s->config;
    char host[CONFIG_LISTEN_HOST_BYTES];
    uint16_t port = 0;
    bool has_listener = config_listen_parse(c->qdrant.listen, host, &port);
    const struct api_options options = {
        .node = s->node,
        .exec = s->exec,
        .stats = s->stats,
        .clock = clock_real(),
        .rand = rand_kernel(),
        .host = c->server.host,
        .port = c->server.rest_port,
        .timeout_ms = c->server.timeout_seconds * 1000,
        .connections_max = c->server.max_connections,
        .header_bytes_max = HEADER_BYTES_MAX,
        .body_bytes_max = c->server.max_body_bytes,
        .batch_max = c->server.max_batch,
        .slow_query_ms = c->logging.slow_query_ms,
        .metrics_enabled = c->features.metrics_enabled,
        .log_requests = c->logging.log_requests,
        .grpc = c->server.grpc_port != 0,
        .grpc_port = c->server.grpc_port,
        .grpc_optional = is_default(c, "server", "grpc_port"),
        .qdrant_host = has_listener ? host : NULL,
        .qdrant_port = port,
        .qdrant_body_bytes_max = c->qdrant.max_body,
        .qdrant_string_ids = c->qdrant.string_ids,
    };

    return api_open(&options, &s->api, err);
}

/* The soft limit is often 1,024, for the sake of programs that use select(). We may raise it. */
static void raise_file_limit(const struct config *c)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
        files.rlim_cur < (rlim_t)c->server.max_connections + FILES_BESIDE_CONNECTIONS)
        log_warn("this process may open few files: connections will be closed unheard, and logs "
                 "may not open",
                 "limit=%llu needed=%llu remedy=ulimit -n, or LimitNOFILE= of systemd",
                 (unsigned long long)files.rlim_cur,
                 (unsigned long long)c->server.max_connections + FILES_BESIDE_CONNECTIONS);
}

static status start(struct serve *s, struct err *err)
{
    const struct exec_options workers = {.workers = s->config.server.threads};
    status st = open_log(&s->config, err);

    if (st != ST_OK)
        return st;
    log_info("starting", "version=%s config=%s data_dir=%s bucket=%s", TIERVEC_VERSION,
             s->config.file == NULL ? "none" : s->config.file, s->config.database.data_dir,
             s->config.storage.s3_bucket[0] == '\0' ? "none" : s->config.storage.s3_bucket);
    for (size_t i = 0; i < s->config.warning_count; i++)
        log_warn("configuration", "text=%s", s->config.warnings[i]);
    raise_file_limit(&s->config);
    st = stats_create(&s->stats, err);
    if (st == ST_OK)
        st = exec_open(&workers, &s->exec, err);
    if (st == ST_OK)
        st = cli_open_store(&s->config, s->stats, &s->store, err);
    if (st == ST_OK)
        st = open_node(s, err);
    if (st == ST_OK && s->config.anonymous_beyond_loopback) {
        node_add_reason(s->node, "listens beyond loopback without a key: anyone who reaches the "
                                 "port can read and write");
        log_warn(
            "listens beyond loopback without a key: anyone who reaches the port can read and write",
            "host=%s", s->config.server.host);
    }
    return st == ST_OK ? open_api(s, err) : st;
}

static void stop(struct serve *s)
{
    if (s->api != NULL)
        api_drain(s->api, DRAIN_MS);
    api_close(s->api);
    node_close(s->node);
    objstore_close(s->store);
    exec_close(s->exec);
    stats_destroy(s->stats);
    log_info("stopped", "");
    log_close();
    if (s->config_loaded)
        config_free(&s->config);
}

static void block_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, set, NULL); /* threads started from here on inherit it */
    (void)signal(SIGPIPE, SIG_IGN);
}

/* What came of it is in the log. */
static void on_reloaded(void *arg, status st, const struct buf *json, const struct err *err)
{
    (void)arg;
    (void)st;
    (void)json;
    (void)err;
}

static void wait_for_stop(struct serve *s, const sigset_t *set)
{
    for (;;) {
        int got = 0;

        if (sigwait(set, &got) != 0)
            continue;
        if (got != SIGHUP) {
            log_info("stopping", "signal=%s", got == SIGTERM ? "SIGTERM" : "SIGINT");
            return;
        }
        node_reload(s->node, on_reloaded, NULL);
    }
}

int cli_serve(int argc, char **argv)
{
    struct serve s = {0};
    struct err err = {0};
    sigset_t signals;
    bool quiet;
    status st;

    argc--;
    argv++;
    if (take_flag(&argc, argv, "--help") || take_flag(&argc, argv, "-h")) {
        (void)fputs(help_text, stdout);
        return EXIT_OK;
    }
    quiet = take_flag(&argc, argv, "--quiet");
    s.take_ownership = take_flag(&argc, argv, "--take-ownership");
    block_signals(&signals);
    s.argc = argc;
    s.argv = argv;
    st = config_load(argc, argv, environ, &s.config, &err);
    s.config_loaded = st == ST_OK;
    if (st == ST_OK)
        st = start(&s, &err);
    if (st != ST_OK) {
        (void)fprintf(stderr, "error: %s\n", err.text);
        if (s.config_loaded && s.config.logging.file[0] != '\0')
            log_error("could not start", "err=%s", err.text); /* stderr has it already */
        stop(&s);
        return EXIT_FAILED;
    }
    log_info("listening", "host=%s port=%u", s.config.server.host, api_port(s.api));
    if (api_qdrant_port(s.api) != 0)
        log_info("listening for the compatible dialect", "listen=%s port=%u",
                 s.config.qdrant.listen, api_qdrant_port(s.api));
    if (api_grpc_port(s.api) != 0)
        log_info("listening for gRPC", "host=%s port=%u", s.config.server.host,
                 api_grpc_port(s.api));
    if (!quiet)
        greet(&s.config, api_port(s.api));
    wait_for_stop(&s, &signals);
    stop(&s);
    return EXIT_OK;
}
