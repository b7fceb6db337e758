/* From nothing to a checked struct: defaults, file, environment, flags, then what only all of them
 * together can tell. */
#include "config/config_internal.h"

#include "base/mem.h"
#include "objstore/url.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

enum { WARNINGS_MAX = 64 };

status config_warn(struct config *c, struct err *err, const char *format, ...)
{
    char text[ERR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (c->warning_count == WARNINGS_MAX)
        return err_set(err, ST_INVALID, "configuration: more than %d warnings; the last: %s",
                       WARNINGS_MAX, text);
    c->warnings[c->warning_count] = mem_strdup(text);
    if (c->warnings[c->warning_count] == NULL)
        return err_set(err, ST_NOMEM, "configuration: out of memory");
    c->warning_count++;
    return ST_OK;
}

static struct config_raw raw_default(const struct config_key *key)
{
    if (key->kind == CONFIG_LIST)
        return (struct config_raw){.kind = CONFIG_RAW_LIST};
    return (struct config_raw){.kind = CONFIG_RAW_WORD, .text = slice_text(key->fallback)};
}

static status set_defaults(struct config_load *load, struct err *err)
{
    struct config *out = load->out;

    out->entries = mem_zero_array(config_key_count, sizeof *out->entries);
    out->warnings = mem_zero_array(WARNINGS_MAX, sizeof *out->warnings);
    if (out->entries == NULL || out->warnings == NULL)
        return err_set(err, ST_NOMEM, "configuration: out of memory");
    out->entry_count = config_key_count;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        struct config_raw raw = raw_default(key);
        status st;

        out->entries[i].section = key->section;
        out->entries[i].key = key->key;
        if (key->use == CONFIG_SEED)
            continue; /* absent unless set */
        st = config_set(load, i, &raw, CONFIG_DEFAULT, "default", err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* ---- all values together ---- */

static const struct config_entry *entry_of(const struct config *c, const char *section,
                                           const char *key)
{
    return &c->entries[config_key_index(section, key)];
}

/* What is not built may be named with its default, or with nothing. */
static bool asks_for_later(const struct config_key *key, const struct config_entry *entry)
{
    struct buf fallback;
    bool asks;

    if (entry->origin == CONFIG_DEFAULT)
        return false;
    if (key->kind != CONFIG_TEXT && key->kind != CONFIG_CHOICE)
        return strcmp(entry->value, key->kind == CONFIG_LIST ? "[]" : key->fallback) != 0;
    buf_init(&fallback, CONFIG_SHOWN_BYTES);
    config_put_text(&fallback, slice_text(key->fallback));
    asks = strcmp(entry->value, "\"\"") != 0 &&
           !slice_equal(slice_text(entry->value), buf_slice(&fallback));
    buf_free(&fallback);
    return asks;
}

static status check_later(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];

        if (key->use == CONFIG_LATER && asks_for_later(key, &c->entries[i]))
            return err_set(err, ST_INVALID,
                           "%s: %s.%s: %s not part of this version; leave it out, %s",
                           c->entries[i].where, key->section, key->key, key->later, key->instead);
    }
    return ST_OK;
}

static status check_tier(const struct config *c, struct err *err)
{
    const struct config_entry *policy = entry_of(c, "storage", "tiering_policy");
    bool memory = strcmp(c->storage.tiering_policy, "Memory") == 0;

    if (!memory && c->storage.s3_bucket[0] == '\0')
        return err_set(err, ST_INVALID,
                       "%s: storage.tiering_policy = \"%s\" needs a bucket; say [storage] "
                       "s3_bucket = \"s3://bucket/prefix\", or \"file:///path\" to try it out",
                       policy->where, c->storage.tiering_policy);
    if (!memory && strcmp(c->wal.sync, "none") == 0)
        return err_set(
            err, ST_INVALID,
            "%s: wal.sync = \"none\" goes with tiering_policy = \"Memory\" only: what is "
            "shipped must be on the local disk first; right is \"fsync\"",
            entry_of(c, "wal", "sync")->where);
    if (strcmp(c->storage.durability, "remote") == 0 && c->storage.s3_bucket[0] == '\0')
        return err_set(
            err, ST_INVALID,
            "%s: storage.durability = \"remote\" needs a bucket; say [storage] s3_bucket "
            "= \"s3://bucket/prefix\"",
            entry_of(c, "storage", "durability")->where);
    if (c->storage.retry_base_backoff_secs > c->storage.retry_max_backoff_secs)
        return err_set(err, ST_INVALID,
                       "%s: storage.retry.base_backoff_secs is more than max_backoff_secs",
                       entry_of(c, "storage.retry", "base_backoff_secs")->where);
    return ST_OK;
}

static status check_features(const struct config *c, struct err *err)
{
    if (!c->features.vector_persistence_enabled)
        return err_set(
            err, ST_INVALID,
            "%s: features.vector_persistence_enabled = false: vectors are always kept on "
            "disk in this version; leave it out, or give up durability for speed with "
            "[wal] sync = \"none\"",
            entry_of(c, "features", "vector_persistence_enabled")->where);
    if (c->storage.wal_path[0] != '\0' && strcmp(c->storage.wal_path, c->storage.snapshot_dir) == 0)
        return err_set(
            err, ST_INVALID,
            "%s: storage.snapshot_dir is the folder of wal_path too; right are two folders",
            entry_of(c, "storage", "snapshot_dir")->where);
    return ST_OK;
}

static bool is_loopback(const char *host)
{
    struct in6_addr six;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (strncmp(host, "127.", 4) == 0)
        return true;
    if (inet_pton(AF_INET6, host, &six) != 1)
        return false;
    return IN6_IS_ADDR_LOOPBACK(&six) ||
           (memcmp(&six, mapped, sizeof mapped) == 0 && six.s6_addr[12] == 127);
}

/* seed.c says how AkiDB's configuration is told from ours. */
static bool host_is_the_seeds(const struct config_load *load, const struct config_entry *host)
{
    if (host->origin == CONFIG_ENVIRONMENT)
        return strcmp(host->where, "AKIDB_HOST") == 0;
    return host->origin == CONFIG_FILE && load->sqlite_path;
}

/* What is told who would let anyone in by this address. */
static status refuse_exposure(const struct config_entry *e, const char *host, struct err *err)
{
    return err_set(err, ST_INVALID,
                   "%s: %s.%s = \"%s\" is reachable from other machines, and this version knows no "
                   "keys: anyone could read and change everything; right is \"127.0.0.1\", or "
                   "[auth] allow_anonymous = true if that is meant",
                   e->where, e->section, e->key, host);
}

/* The compatible API has the rules of the first listener. */
static status check_qdrant_exposure(const struct config *c, struct err *err)
{
    const struct config_entry *listen = entry_of(c, "compat.qdrant", "listen");
    char host[CONFIG_LISTEN_HOST_BYTES];
    uint16_t port;

    if (!config_listen_parse(c->qdrant.listen, host, &port) || is_loopback(host) ||
        c->auth.allow_anonymous)
        return ST_OK;
    return refuse_exposure(listen, c->qdrant.listen, err);
}

static status check_exposure(struct config_load *load, struct err *err)
{
    struct config *c = load->out;
    const struct config_entry *host = entry_of(c, "server", "host");
    bool said = entry_of(c, "auth", "allow_anonymous")->origin != CONFIG_DEFAULT;
    status st = check_qdrant_exposure(c, err);

    if (st != ST_OK || is_loopback(c->server.host) || c->auth.allow_anonymous)
        return st;
    if (said || !host_is_the_seeds(load, host))
        return refuse_exposure(host, c->server.host, err);
    c->anonymous_beyond_loopback = true;
    return config_warn(
        c, err,
        "ANYONE WHO REACHES %s CAN READ AND CHANGE EVERYTHING: %s gives that address "
        "and there are no keys; taken because this is AkiDB's configuration. Say "
        "[auth] allow_anonymous = true, or host = \"127.0.0.1\"",
        c->server.host, host->where);
}

/* An address that stands in s3_bucket already; the same one twice is fine. */
static bool endpoint_is_idle(const struct config *c)
{
    char said[OBJSTORE_ENDPOINT_BYTES];
    struct objstore_url url;

    if (c->storage.s3_endpoint[0] == '\0' || c->storage.s3_bucket[0] == '\0' ||
        objstore_url_parse(c->storage.s3_bucket, &url, NULL) != ST_OK ||
        objstore_endpoint_parse(c->storage.s3_endpoint, said, NULL) != ST_OK)
        return false;
    return url.kind != OBJSTORE_URL_S3 && strcmp(said, url.endpoint) != 0;
}

static status warn_of_effects(struct config *c, struct err *err)
{
    const struct config_entry *sync = entry_of(c, "wal", "sync");
    const struct config_entry *endpoint = entry_of(c, "storage", "s3_endpoint");
    const struct config_entry *bucket = entry_of(c, "storage", "s3_bucket");
    status st = ST_OK;

    if (strcmp(c->wal.sync, "none") == 0)
        st = config_warn(c, err,
                         "%s: wal.sync = \"none\": acknowledged writes may be lost with the power",
                         sync->where);
    if (st == ST_OK && endpoint->origin != CONFIG_DEFAULT && endpoint_is_idle(c))
        st = config_warn(c, err, "%s: storage.s3_endpoint is not used: %s says where the store is",
                         endpoint->where, bucket->where);
    if (st == ST_OK && strncmp(c->storage.s3_bucket, "memory:", strlen("memory:")) == 0)
        st = config_warn(c, err,
                         "%s: storage.s3_bucket: a bucket in memory is gone with the process",
                         bucket->where);
    return st;
}

status config_check(struct config_load *load, struct err *err)
{
    status st = check_later(load->out, err);

    if (st == ST_OK)
        st = check_tier(load->out, err);
    if (st == ST_OK)
        st = check_features(load->out, err);
    if (st == ST_OK)
        st = check_exposure(load, err);
    return st != ST_OK ? st : warn_of_effects(load->out, err);
}

static status load_all(struct config_load *load, int argc, char *const *argv, struct err *err)
{
    status st = set_defaults(load, err);

    if (st == ST_OK)
        st = config_find_file_flag(load, argc, argv, err);
    if (st == ST_OK)
        st = config_read_file(load, err);
    if (st == ST_OK)
        st = config_read_environment(load, err);
    if (st == ST_OK)
        st = config_read_flags(load, argc, argv, err);
    return st != ST_OK ? st : config_check(load, err);
}

status config_load(int argc, char *const *argv, char *const *env, struct config *out,
                   struct err *err)
{
    struct config c = {0};
    struct config_load load = {.out = &c, .env = env};
    status st = load_all(&load, argc, argv, err);

    if (st != ST_OK) {
        config_free(&c);
        return st;
    }
    *out = c;
    return ST_OK;
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];

        if (key->width > 0 && (key->kind == CONFIG_TEXT || key->kind == CONFIG_CHOICE))
            mem_free(*(char **)(void *)((char *)c + key->offset));
    }
    for (size_t i = 0; i < c->entry_count; i++) {
        mem_free(c->entries[i].value);
        mem_free(c->entries[i].where);
    }
    for (size_t i = 0; i < c->warning_count; i++)
        mem_free(c->warnings[i]);
    mem_free(c->file);
    mem_free(c->entries);
    mem_free(c->warnings);
    *c = (struct config){0};
}
