/* The environment. One key may have several names; of those that are set the last of these wins:
 * RUST_LOG and AKIDB_*, the short form, TIERVEC_<SECTION>_<KEY>, the same with double underscores.
 * Between RUST_LOG and AKIDB_LOG_LEVEL, RUST_LOG wins, as it did in AkiDB. A variable that is set
 * to nothing counts as absent: compose files pass such. */
#include "config/config_internal.h"

#include <ctype.h>
#include <stdio.h>

enum rank { RANK_NONE, RANK_SEED, RANK_RUST, RANK_SHORT, RANK_FULL, RANK_DOUBLE, RANK_COUNT };

struct variable {
    char name[CONFIG_NAME_BYTES];
    const char *value; /* borrowed from the environment */
};

/* False for what is no variable of ours: no "=", empty, or a name too long for any key. */
static bool split(const char *text, struct variable *out)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals[1] == '\0' || (size_t)(equals - text) >= sizeof out->name)
        return false;
    memcpy(out->name, text, (size_t)(equals - text));
    out->name[equals - text] = '\0';
    out->value = equals + 1;
    return true;
}

const char *config_variable(char *const *env, const char *name)
{
    struct variable v;

    for (char *const *at = env; at != NULL && *at != NULL; at++)
        if (split(*at, &v) && strcmp(v.name, name) == 0)
            return v.value;
    return NULL;
}

static void short_variable(const struct config_key *key, char out[CONFIG_NAME_BYTES])
{
    (void)snprintf(out, CONFIG_NAME_BYTES, "TIERVEC_%s", key->short_name);
    for (char *c = out; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
}

/* "A__B" and "A_B" are one name. True if there was a double underscore. */
static bool collapse(const char *name, char out[CONFIG_NAME_BYTES])
{
    bool doubled = false;
    size_t n = 0;

    for (const char *c = name; *c != '\0'; c++) {
        if (c[0] == '_' && c[1] == '_')
            doubled = true;
        else
            out[n++] = *c;
    }
    out[n] = '\0';
    return doubled;
}

static enum rank rank_for(const struct config_key *key, const char *name)
{
    char ours[CONFIG_NAME_BYTES];
    char single[CONFIG_NAME_BYTES];

    if (key->seed_name != NULL && strcmp(name, key->seed_name) == 0)
        return RANK_SEED;
    if (key->short_name != NULL) {
        short_variable(key, ours);
        if (strcmp(name, ours) == 0)
            return RANK_SHORT;
    }
    config_key_variable(key, ours);
    if (strcmp(name, ours) == 0)
        return RANK_FULL;
    return collapse(name, single) && strcmp(single, ours) == 0 ? RANK_DOUBLE : RANK_NONE;
}

static enum rank rank_of(const char *name, size_t *index)
{
    if (strcmp(name, "RUST_LOG") == 0) {
        *index = config_key_index("logging", "level");
        return RANK_RUST;
    }
    for (size_t i = 0; i < config_key_count; i++) {
        enum rank rank = rank_for(&config_keys[i], name);

        if (rank != RANK_NONE) {
            *index = i;
            return rank;
        }
    }
    return RANK_NONE;
}

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text);

    return bytes >= strlen(end) && strcmp(text + bytes - strlen(end), end) == 0;
}

/* Kubernetes tells every pod about every service: a service called "tiervec" becomes
 * TIERVEC_SERVICE_HOST, TIERVEC_PORT=tcp://..., TIERVEC_PORT_8080_TCP_ADDR and so on. */
static bool is_service_link(const struct variable *v)
{
    const char *port = strstr(v->name, "_PORT_");

    if (ends_with(v->name, "_SERVICE_HOST") || ends_with(v->name, "_SERVICE_PORT") ||
        strstr(v->name, "_SERVICE_PORT_") != NULL)
        return true;
    if (port != NULL && isdigit((unsigned char)port[strlen("_PORT_")]))
        return true;
    return ends_with(v->name, "_PORT") &&
           (strncmp(v->value, "tcp://", 6) == 0 || strncmp(v->value, "udp://", 6) == 0);
}

/* Names that begin like ours and are no settings. */
static bool is_not_a_key(const struct variable *v)
{
    return strcmp(v->name, "TIERVEC_CONFIG") == 0 || strcmp(v->name, "AKIDB_CONFIG") == 0 ||
           strcmp(v->name, "TIERVEC_URL") == 0 || strcmp(v->name, "TIERVEC_VERSION") == 0 ||
           strcmp(v->name, "TIERVEC_BROKEN_TWIN") == 0 ||
           strncmp(v->name, "TIERVEC_TEST_", strlen("TIERVEC_TEST_")) == 0 || is_service_link(v);
}

static const struct config_key *nearest_variable(const char *name)
{
    const struct config_key *nearest = &config_keys[0];
    size_t nearest_distance = SIZE_MAX;

    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char other[CONFIG_NAME_BYTES];
        size_t distance;

        config_key_variable(key, other);
        distance = config_distance(name, strlen(name), other, strlen(other));
        if (key->short_name != NULL) {
            size_t shorter;

            short_variable(key, other);
            shorter = config_distance(name, strlen(name), other, strlen(other));
            distance = shorter < distance ? shorter : distance;
        }
        if (key->use != CONFIG_SEED && distance < nearest_distance) {
            nearest = key;
            nearest_distance = distance;
        }
    }
    return nearest;
}

/* What begins with our prefix and is no key is a mistake; of AkiDB's it is only worth a warning. */
static status check_names(struct config_load *load, struct err *err)
{
    struct variable v;
    size_t index;

    for (char *const *at = load->env; at != NULL && *at != NULL; at++) {
        if (!split(*at, &v) || rank_of(v.name, &index) != RANK_NONE || is_not_a_key(&v))
            continue;
        if (strncmp(v.name, "TIERVEC_", strlen("TIERVEC_")) == 0) {
            char nearest[CONFIG_NAME_BYTES];
            char shown[CONFIG_SHOWN_BYTES];

            config_show(shown, slice_text(v.name));
            config_key_variable(nearest_variable(v.name), nearest);
            return err_set(err, ST_INVALID, "environment: %s is no setting; the nearest is %s",
                           shown, nearest);
        }
        if (strncmp(v.name, "AKIDB_", strlen("AKIDB_")) == 0) {
            char shown[CONFIG_SHOWN_BYTES];
            status st;

            config_show(shown, slice_text(v.name));
            st = config_warn(load->out, err, "environment: %s means nothing here", shown);

            if (st != ST_OK)
                return st;
        }
    }
    return ST_OK;
}

static status take_rust_log(struct config_load *load, const struct variable *v, struct err *err)
{
    char levels[CONFIG_LEVELS_BYTES];
    struct config_raw raw = {.kind = CONFIG_RAW_TEXT};
    char shown[CONFIG_SHOWN_BYTES];

    if (!config_levels_from_rust(slice_text(v->value), levels)) {
        config_show(shown, slice_text(v->value));
        return config_warn(load->out, err, "RUST_LOG: %s holds no level that means anything here",
                           shown);
    }
    raw.text = slice_text(levels);
    return config_set(load, config_key_index("logging", "level"), &raw, CONFIG_ENVIRONMENT,
                      "RUST_LOG", err);
}

static status take_rank(struct config_load *load, enum rank rank, struct err *err)
{
    struct variable v;
    size_t index = 0;

    for (char *const *at = load->env; at != NULL && *at != NULL; at++) {
        struct config_raw raw = {.kind = CONFIG_RAW_WORD};
        status st;

        if (!split(*at, &v) || rank_of(v.name, &index) != rank)
            continue;
        raw.text = slice_text(v.value);
        st = rank == RANK_RUST ? take_rust_log(load, &v, err)
                               : config_apply(load, index, &raw, CONFIG_ENVIRONMENT, v.name, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

status config_read_environment(struct config_load *load, struct err *err)
{
    status st = check_names(load, err);

    for (int rank = RANK_SEED; rank < RANK_COUNT && st == ST_OK; rank++)
        st = take_rank(load, (enum rank)rank, err);
    return st;
}
