/* One value: what was given, checked against its key, into the struct and its entry. */
#include "config/config_internal.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "objstore/url.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

/* A value that passed its check, in the form the struct has it. */
struct value {
    uint64_t number; /* numbers and booleans */
    char text[CONFIG_TEXT_BYTES_MAX + 1];
    struct err why; /* of a URL that is none */
};

void config_show(char out[CONFIG_SHOWN_BYTES], struct slice text)
{
    size_t n = 0;

    for (; n < text.bytes && n < CONFIG_SHOWN_BYTES - 4; n++)
        out[n] = isprint(text.data[n]) ? (char)text.data[n] : '?';
    memcpy(out + n, n < text.bytes ? "..." : "", n < text.bytes ? 4 : 1);
}

static void describe_number(const struct config_key *key, char *out, size_t bytes)
{
    (void)snprintf(out, bytes, "a whole number from %" PRIu64 " to %" PRIu64 "%s%s%s%s", key->min,
                   key->max, key->unit == NULL ? "" : " ", key->unit == NULL ? "" : key->unit,
                   key->zero == NULL ? "" : ", or 0: ", key->zero == NULL ? "" : key->zero);
}

static void describe_choice(const struct config_key *key, char *out, size_t bytes)
{
    size_t n = (size_t)snprintf(out, bytes, "one of \"");

    for (const char *c = key->choices; *c != '\0' && n < bytes - 8; c++) {
        if (*c == '|')
            n += (size_t)snprintf(out + n, bytes - n, "\", \"");
        else
            out[n++] = *c;
    }
    (void)snprintf(out + n, bytes - n, "\"");
}

void config_describe(const struct config_key *key, char out[256])
{
    switch (key->kind) {
    case CONFIG_NUMBER:
        describe_number(key, out, 256);
        return;
    case CONFIG_CHOICE:
        describe_choice(key, out, 256);
        return;
    case CONFIG_BOOL:
        (void)snprintf(out, 256, "true or false");
        return;
    case CONFIG_LIST:
        (void)snprintf(out, 256, "a list");
        return;
    case CONFIG_TEXT:
        break;
    }
    switch (key->rule) {
    case CONFIG_HOST:
        (void)snprintf(out, 256, "an IPv4 or IPv6 address, like \"127.0.0.1\" or \"::1\"");
        return;
    case CONFIG_FOLDER:
        (void)snprintf(out, 256, "a folder's path in quotes, not empty");
        return;
    case CONFIG_LEVELS:
        (void)snprintf(out, 256,
                       "trace, debug, info, warn, error or off, then folders: \"info,wal=debug\"");
        return;
    case CONFIG_NAME:
        (void)snprintf(out, 256, "1 to 255 letters, digits, '-', '_', '.' or ':'");
        return;
    case CONFIG_BUCKET:
        (void)snprintf(out, 256,
                       "\"s3://bucket/prefix\", \"http://host:9000/bucket/prefix\" or "
                       "\"file:///path\"");
        return;
    case CONFIG_ENDPOINT:
        (void)snprintf(out, 256, "\"http://host:9000\" or \"https://host\"");
        return;
    case CONFIG_LISTEN:
        (void)snprintf(out, 256,
                       "an address and a port, like \"127.0.0.1:6333\" or "
                       "\"[::1]:6333\"");
        return;
    case CONFIG_ANY:
        break;
    }
    (void)snprintf(out, 256, "a text in quotes");
}

/* ---- checks ---- */

static void shown_raw(const struct config_raw *raw, char out[CONFIG_SHOWN_BYTES])
{
    switch (raw->kind) {
    case CONFIG_RAW_WORD:
    case CONFIG_RAW_TEXT:
        config_show(out, raw->text);
        return;
    case CONFIG_RAW_NUMBER:
        (void)snprintf(out, CONFIG_SHOWN_BYTES, "%" PRId64, raw->number);
        return;
    case CONFIG_RAW_BOOL:
        (void)snprintf(out, CONFIG_SHOWN_BYTES, "%s", raw->boolean ? "true" : "false");
        return;
    case CONFIG_RAW_LIST:
        (void)snprintf(out, CONFIG_SHOWN_BYTES, "a list");
        return;
    case CONFIG_RAW_OTHER:
        break;
    }
    (void)snprintf(out, CONFIG_SHOWN_BYTES, "a value of another type");
}

static status refuse(const struct config_key *key, const struct config_raw *raw, const char *where,
                     const char *why, struct err *err)
{
    char shown[CONFIG_SHOWN_BYTES];
    char right[256];

    bool hide = key->secret || key->rule == CONFIG_BUCKET || key->rule == CONFIG_ENDPOINT;

    shown_raw(raw, shown);
    config_describe(key, right);
    return err_set(err, ST_INVALID, "%s: %s.%s: %s%s%s; right is %s", where, key->section, key->key,
                   hide ? "" : shown, hide ? "" : " ", why, right);
}

static bool word_to_number(struct slice word, uint64_t *out)
{
    uint64_t number = 0;

    if (word.bytes == 0)
        return false;
    for (size_t i = 0; i < word.bytes; i++) {
        if (!isdigit(word.data[i]) || __builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(word.data[i] - '0'), &number))
            return false;
    }
    *out = number;
    return true;
}

/* NULL when the value is fine, else what is wrong with it. */
static const char *check_number(const struct config_key *key, const struct config_raw *raw,
                                struct value *out)
{
    if (raw->kind == CONFIG_RAW_WORD) {
        if (!word_to_number(raw->text, &out->number))
            return "is no number";
    } else if (raw->kind == CONFIG_RAW_NUMBER) {
        if (raw->number < 0)
            return "is negative";
        out->number = (uint64_t)raw->number;
    } else {
        return raw->kind == CONFIG_RAW_TEXT ? "is a text, take the quotes away" : "is no number";
    }
    if (out->number == 0 && key->zero != NULL)
        return NULL;
    return out->number < key->min || out->number > key->max ? "is out of range" : NULL;
}

static bool is_word(struct slice text, const char *word)
{
    return text.bytes == strlen(word) &&
           strncasecmp((const char *)text.data, word, text.bytes) == 0;
}

static const char *check_bool(const struct config_raw *raw, struct value *out)
{
    if (raw->kind == CONFIG_RAW_BOOL) {
        out->number = raw->boolean;
        return NULL;
    }
    if (raw->kind == CONFIG_RAW_TEXT)
        return "is a text, take the quotes away";
    if (raw->kind != CONFIG_RAW_WORD)
        return "is neither";
    if (!is_word(raw->text, "true") && !is_word(raw->text, "1") && !is_word(raw->text, "false") &&
        !is_word(raw->text, "0"))
        return "is neither";
    out->number = is_word(raw->text, "true") || is_word(raw->text, "1");
    return NULL;
}

static const char *check_choice(const struct config_key *key, struct slice text, struct value *out)
{
    const char *at = key->choices;

    while (*at != '\0') {
        size_t bytes = strcspn(at, "|");

        if (bytes == text.bytes && strncasecmp(at, (const char *)text.data, bytes) == 0) {
            memcpy(out->text, at, bytes);
            out->text[bytes] = '\0';
            return NULL;
        }
        at += bytes + (at[bytes] == '|');
    }
    return "is none of them";
}

/* The canonical text of an address; "localhost" and brackets around IPv6 are understood. */
static const char *check_host(struct value *v)
{
    unsigned char address[sizeof(struct in6_addr)];
    char *host = v->text;
    size_t bytes = strlen(host);
    int family;

    if (strcasecmp(host, "localhost") == 0) {
        memcpy(host, "127.0.0.1", 10);
        return NULL;
    }
    if (bytes > 2 && host[0] == '[' && host[bytes - 1] == ']') {
        memmove(host, host + 1, bytes - 2);
        host[bytes - 2] = '\0';
    }
    family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(family, host, address) != 1)
        return "is no address";
    (void)inet_ntop(family, address, host, INET6_ADDRSTRLEN);
    return NULL;
}

bool config_listen_parse(const char *text, char host[CONFIG_LISTEN_HOST_BYTES], uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    uint64_t number;
    size_t bytes;

    if (colon == NULL || colon == text)
        return false;
    bytes = (size_t)(colon - text);
    if (text[0] == '[' && text[bytes - 1] == ']' && bytes > 2) {
        text++;
        bytes -= 2;
    } else if (memchr(text, ':', bytes) != NULL) {
        return false; /* where an IPv6 address ends cannot be told */
    }
    if (bytes >= CONFIG_LISTEN_HOST_BYTES || !word_to_number(slice_text(colon + 1), &number) ||
        number > UINT16_MAX)
        return false;
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    *port = (uint16_t)number;
    return true;
}

/* The canonical text of an address and a port. */
static const char *check_listen(struct value *v)
{
    struct value host = {0};
    uint16_t port;
    const char *why;

    if (v->text[0] == '\0')
        return NULL;
    if (!config_listen_parse(v->text, host.text, &port))
        return "is no address and port";
    why = check_host(&host);
    if (why == NULL)
        (void)snprintf(v->text, sizeof v->text,
                       strchr(host.text, ':') != NULL ? "[%.64s]:%u" : "%.64s:%u", host.text,
                       (unsigned)port);
    return why;
}

static const char *check_name(const char *name)
{
    if (strlen(name) > 255)
        return "is too long";
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("-_.:", *c) == NULL)
            return "holds another character";
    return NULL;
}

static const char *check_levels(struct value *v)
{
    char levels[CONFIG_LEVELS_BYTES];

    if (!config_levels_parse(slice_text(v->text), levels))
        return "is no level";
    memcpy(v->text, levels, sizeof levels);
    return NULL;
}

/* The text says more than "is none", and nothing of what may be a password. */
static const char *check_url(struct value *v, bool endpoint)
{
    char taken[OBJSTORE_ENDPOINT_BYTES];
    struct objstore_url url;

    if (v->text[0] == '\0')
        return NULL;
    if ((endpoint ? objstore_endpoint_parse(v->text, taken, &v->why)
                  : objstore_url_parse(v->text, &url, &v->why)) == ST_OK)
        return NULL;
    for (char *c = v->why.text; *c != '\0'; c++)
        *c = isprint((unsigned char)*c) ? *c : '?';
    return v->why.text;
}

static const char *check_rule(const struct config_key *key, struct value *v)
{
    switch (key->rule) {
    case CONFIG_HOST:
        return check_host(v);
    case CONFIG_FOLDER:
        return v->text[0] == '\0' ? "is empty" : NULL;
    case CONFIG_LEVELS:
        return check_levels(v);
    case CONFIG_NAME:
        return check_name(v->text);
    case CONFIG_BUCKET:
    case CONFIG_ENDPOINT:
        return check_url(v, key->rule == CONFIG_ENDPOINT);
    case CONFIG_LISTEN:
        return check_listen(v);
    case CONFIG_ANY:
        break;
    }
    return NULL;
}

static const char *check_text(const struct config_key *key, const struct config_raw *raw,
                              struct value *out)
{
    if (raw->kind != CONFIG_RAW_WORD && raw->kind != CONFIG_RAW_TEXT)
        return "is no text, put it in quotes";
    if (raw->text.bytes > CONFIG_TEXT_BYTES_MAX)
        return "is longer than 4096 bytes";
    if (raw->text.bytes > 0 && memchr(raw->text.data, 0, raw->text.bytes) != NULL)
        return "holds a NUL";
    if (!utf8_valid(raw->text.data, raw->text.bytes))
        return "is not UTF-8";
    if (key->kind == CONFIG_CHOICE)
        return check_choice(key, raw->text, out);
    if (raw->text.bytes > 0)
        memcpy(out->text, raw->text.data, raw->text.bytes);
    out->text[raw->text.bytes] = '\0';
    return check_rule(key, out);
}

static const char *check_value(const struct config_key *key, const struct config_raw *raw,
                               struct value *out)
{
    switch (key->kind) {
    case CONFIG_NUMBER:
        return check_number(key, raw, out);
    case CONFIG_BOOL:
        return check_bool(raw, out);
    case CONFIG_LIST:
        out->number = raw->kind == CONFIG_RAW_LIST   ? (uint64_t)raw->number
                      : raw->kind == CONFIG_RAW_WORD ? raw->text.bytes
                                                     : 1;
        return raw->kind == CONFIG_RAW_LIST || raw->kind == CONFIG_RAW_WORD ? NULL : "is no list";
    case CONFIG_TEXT:
    case CONFIG_CHOICE:
        break;
    }
    return check_text(key, raw, out);
}

/* ---- into the struct ---- */

void config_put_text(struct buf *out, struct slice text)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < text.bytes; i++) {
        uint8_t c = text.data[i];

        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\u%04X", c);
        else
            buf_put_u8(out, c);
    }
    buf_put_u8(out, '"');
}

static char *toml_text(const struct config_key *key, const struct value *v)
{
    struct buf out;
    char *text = NULL;

    buf_init(&out, 8 * CONFIG_TEXT_BYTES_MAX);
    if (key->secret && v->text[0] != '\0')
        buf_put_text(&out, "\"***\"");
    else if (key->kind == CONFIG_NUMBER)
        buf_printf(&out, "%" PRIu64, v->number);
    else if (key->kind == CONFIG_BOOL)
        buf_put_text(&out, v->number != 0 ? "true" : "false");
    else if (key->kind == CONFIG_LIST)
        buf_put_text(&out, v->number != 0 ? "[...]" : "[]");
    else
        config_put_text(&out, slice_text(v->text));
    if (!out.failed)
        text = mem_strndup((const char *)out.data, out.bytes);
    buf_free(&out);
    return text;
}

static bool store_text(char **field, const char *text)
{
    char *copy = mem_strdup(text);

    if (copy == NULL)
        return false;
    mem_free(*field);
    *field = copy;
    return true;
}

/* Every number was checked against a maximum that fits its field; keys_fit in the tests says so. */
static bool store(const struct config_key *key, struct config *out, const struct value *v)
{
    char *at = (char *)out + key->offset;

    if (key->width == 0)
        return true;
    if (key->kind == CONFIG_TEXT || key->kind == CONFIG_CHOICE)
        return store_text((char **)(void *)at, v->text);
    if (key->kind == CONFIG_BOOL)
        *(bool *)(void *)at = v->number != 0;
    else if (key->width == sizeof(uint16_t))
        *(uint16_t *)(void *)at = (uint16_t)v->number;
    else if (key->width == sizeof(uint32_t))
        *(uint32_t *)(void *)at = (uint32_t)v->number;
    else
        *(uint64_t *)(void *)at = v->number;
    return true;
}

static status set_checked(struct config_load *load, size_t index, const struct value *v,
                          enum config_origin origin, const char *where, struct err *err)
{
    const struct config_key *key = &config_keys[index];
    struct config_entry *entry = &load->out->entries[index];
    char *text = toml_text(key, v);
    char *place = mem_strdup(where);

    if (text == NULL || place == NULL || !store(key, load->out, v)) {
        mem_free(text);
        mem_free(place);
        return err_set(err, ST_NOMEM, "configuration: out of memory");
    }
    mem_free(entry->value);
    mem_free(entry->where);
    entry->value = text;
    entry->where = place;
    entry->origin = origin;
    return ST_OK;
}

status config_set(struct config_load *load, size_t index, const struct config_raw *raw,
                  enum config_origin origin, const char *where, struct err *err)
{
    const struct config_key *key = &config_keys[index];
    struct value *v = mem_zero(sizeof *v);
    const char *wrong;
    status st;

    if (v == NULL)
        return err_set(err, ST_NOMEM, "configuration: out of memory");
    wrong = check_value(key, raw, v);
    st = wrong != NULL ? refuse(key, raw, where, wrong, err)
                       : set_checked(load, index, v, origin, where, err);
    mem_free(v);
    return st;
}
