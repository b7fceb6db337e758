#include "objstore/credentials_read.h"

#include "base/json.h"
#include "objstore/s3_xml.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

/* "+01:00", "-0530", "Z"; seconds east of it. */
static bool read_zone(const char *at, int64_t *out)
{
    int hours;
    int minutes;
    int sign = *at == '-' ? -1 : 1;

    *out = 0;
    if ((*at == 'Z' || *at == 'z') && at[1] == '\0')
        return true;
    if (*at != '+' && *at != '-')
        return false;
    at++;
    for (int i = 0; i < 2; i++)
        if (at[i] < '0' || at[i] > '9')
            return false;
    hours = (at[0] - '0') * 10 + at[1] - '0';
    at += at[2] == ':' ? 3 : 2;
    for (int i = 0; i < 2; i++)
        if (at[i] < '0' || at[i] > '9')
            return false;
    minutes = (at[0] - '0') * 10 + at[1] - '0';
    *out = (int64_t)sign * (hours * 3600 + minutes * 60);
    return at[2] == '\0' && hours < 24 && minutes < 60;
}

bool credentials_time(struct slice text, int64_t *out)
{
    char copy[64];
    struct tm tm = {0};
    const char *rest;
    int64_t zone;
    int64_t seconds;

    if (text.bytes >= sizeof copy || memchr(text.data, '\0', text.bytes) != NULL)
        return false;
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL)
        return false;
    if (*rest == '.') {
        rest++;
        if (*rest < '0' || *rest > '9')
            return false;
        while (*rest >= '0' && *rest <= '9')
            rest++;
    }
    if (!read_zone(rest, &zone))
        return false;
    seconds = (int64_t)timegm(&tm) - zone;
    if (seconds <= 0)
        return false;
    *out = seconds;
    return true;
}

struct member {
    const char *name;
    char *out;
    size_t bytes_max;
    bool optional;
};

static status take_member(struct jval root, const struct member *m, struct err *err)
{
    struct jval v;

    if (!jval_member(root, m->name, &v) || jval_type(v) == J_NULL) {
        if (m->optional)
            return ST_OK;
        return err_set(err, ST_CORRUPT, "an answer without %s", m->name);
    }
    if (jval_type(v) != J_STRING || jval_string(v).bytes == 0 ||
        !credentials_take(m->out, m->bytes_max, jval_string(v)))
        return err_set(err, ST_CORRUPT, "an answer whose %s is empty, too long or no text",
                       m->name);
    return ST_OK;
}

/* {"Code": "Success"} is no error; the words of another are shown, its values are not. */
static status check_code(struct jval root, struct err *err)
{
    struct jval v;
    char code[64];
    char message[160] = "";

    if (!jval_member(root, "Code", &v) && !jval_member(root, "code", &v))
        return ST_OK;
    if (jval_type(v) != J_STRING ||
        strncasecmp((const char *)jval_string(v).data, "success", jval_string(v).bytes) == 0)
        return ST_OK;
    credentials_show(code, sizeof code, jval_string(v), NULL, 0);
    if ((jval_member(root, "Message", &v) || jval_member(root, "message", &v)) &&
        jval_type(v) == J_STRING)
        credentials_show(message, sizeof message, jval_string(v), NULL, 0);
    return err_set(err, ST_DENIED, "%s%s%s", code, message[0] != '\0' ? ": " : "", message);
}

static status check_version(struct jval root, struct err *err)
{
    struct jval v;
    uint64_t version = 0;

    if (!jval_member(root, "Version", &v) || !jval_u64(v, &version) || version != 1)
        return err_set(err, ST_CORRUPT, "an answer that is not of \"Version\": 1");
    return ST_OK;
}

static status take_end(const char *text, struct credentials *out, struct err *err)
{
    if (text[0] != '\0' && !credentials_time(slice_text(text), &out->expires_s))
        return err_set(err, ST_CORRUPT, "an answer whose Expiration is no date");
    return ST_OK;
}

static status read_members(struct jval root, bool process, struct credentials *out, struct err *err)
{
    char end[64] = "";
    const struct member members[] = {
        {"AccessKeyId", out->access, sizeof out->access, false},
        {"SecretAccessKey", out->secret, sizeof out->secret, false},
        {process ? "SessionToken" : "Token", out->token, sizeof out->token, process},
        {"Expiration", end, sizeof end, process},
    };
    status st = ST_OK;

    if (jval_type(root) != J_OBJECT)
        return err_set(err, ST_CORRUPT, "an answer that is no JSON object");
    st = process ? check_version(root, err) : check_code(root, err);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(members); i++)
        st = take_member(root, &members[i], err);
    return st != ST_OK ? st : take_end(end, out, err);
}

static void clear(struct credentials *out)
{
    credentials_wipe(out);
    out->expires_s = 0;
}

status credentials_read_json(struct slice text, bool process, struct credentials *out,
                             struct err *err)
{
    struct jdoc *doc = NULL;
    struct jval root;
    status st;

    clear(out);
    st = jdoc_create(&doc, err);
    if (st != ST_OK)
        return st;
    st = jdoc_parse(doc, text, &root, NULL);
    if (st == ST_NOMEM)
        (void)err_set(err, st, "no memory for an answer");
    else if (st != ST_OK) /* the parser's own words might quote it */
        st = err_set(err, ST_CORRUPT, "an answer that is no JSON");
    else
        st = read_members(root, process, out, err);
    jdoc_destroy(doc);
    if (st != ST_OK)
        clear(out);
    return st;
}

status credentials_read_sts(struct slice text, const char *root, struct credentials *out,
                            struct err *err)
{
    enum { ACCESS, SECRET, TOKEN, END, PARTS };
    static const char *const names[PARTS] = {"AccessKeyId", "SecretAccessKey", "SessionToken",
                                             "Expiration"};
    char paths[PARTS][S3_XML_PATH_BYTES];
    char end[64] = "";
    char *const outs[PARTS] = {out->access, out->secret, out->token, end};
    const size_t sizes[PARTS] = {sizeof out->access, sizeof out->secret, sizeof out->token,
                                 sizeof end};
    struct s3_xml_field fields[PARTS];
    status st;

    clear(out);
    for (size_t i = 0; i < PARTS; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%sResponse/%sResult/Credentials/%s", root, root,
                       names[i]);
        fields[i] = (struct s3_xml_field){paths[i], outs[i], sizes[i]};
    }
    st = s3_xml_fields(text, fields, PARTS, err);
    for (size_t i = 0; st == ST_OK && i < PARTS; i++) {
        if (outs[i][0] == '\0')
            st = err_set(err, ST_CORRUPT, "an answer without %s", names[i]);
        else if (!credentials_plain(slice_text(outs[i])))
            st = err_set(err, ST_CORRUPT, "an answer whose %s holds blanks", names[i]);
    }
    if (st == ST_OK)
        st = take_end(end, out, err);
    if (st != ST_OK)
        clear(out);
    return st;
}

struct splitter {
    const char *at;
    char *out;
};

/* One word's next piece; false when a quote is not closed. */
static bool take_piece(struct splitter *s)
{
    char quote = *s->at;

    if (quote == '\\') {
        if (s->at[1] == '\0')
            return false;
        *s->out++ = s->at[1];
        s->at += 2;
        return true;
    }
    if (quote != '\'' && quote != '"') {
        *s->out++ = *s->at++;
        return true;
    }
    for (s->at++; *s->at != quote; s->at++) {
        if (*s->at == '\0')
            return false;
        if (quote == '"' && *s->at == '\\' && (s->at[1] == '"' || s->at[1] == '\\'))
            s->at++;
        *s->out++ = *s->at;
    }
    s->at++;
    return true;
}

status credentials_words(const char *command, char *room, char *argv[CREDENTIALS_WORDS_MAX + 1],
                         struct err *err)
{
    struct splitter s = {command, room};
    size_t count = 0;

    for (;;) {
        while (*s.at == ' ' || *s.at == '\t')
            s.at++;
        if (*s.at == '\0')
            break;
        if (count == CREDENTIALS_WORDS_MAX)
            return err_set(err, ST_INVALID, "a command of more than %d words",
                           (int)CREDENTIALS_WORDS_MAX);
        argv[count++] = s.out;
        while (*s.at != '\0' && *s.at != ' ' && *s.at != '\t')
            if (!take_piece(&s))
                return err_set(err, ST_INVALID, "a command with a quote that is not closed");
        *s.out++ = '\0';
    }
    argv[count] = NULL;
    if (count == 0 || argv[0][0] == '\0')
        return err_set(err, ST_INVALID, "a command without a name");
    return ST_OK;
}

/* --- texts of others --- */

static bool in_token(char c)
{
    return isalnum((unsigned char)c) || c == '+' || c == '/' || c == '=' || c == '_' || c == '-';
}

/* Of the same length: what follows keeps its place. */
static void cover(char *text, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        text[i] = '*';
}

static void cover_known(char *text, const char *const *secrets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t bytes = secrets[i] != NULL ? strlen(secrets[i]) : 0;

        for (char *at = text; bytes >= 4 && (at = strstr(at, secrets[i])) != NULL; at += bytes)
            cover(at, 0, bytes);
    }
}

static void cover_long(char *text)
{
    enum { LONG = 20, LONGER_THAN_WORDS = 32 };

    for (size_t at = 0; text[at] != '\0';) {
        size_t run = 0;
        bool letters = true;

        while (in_token(text[at + run])) {
            letters = letters && isalpha((unsigned char)text[at + run]);
            run++;
        }
        if (run >= LONGER_THAN_WORDS || (run >= LONG && !letters))
            cover(text, at, at + run);
        at += run > 0 ? run : 1;
    }
}

/* What comes behind such a name in a sentence: "token is expired". Nothing else is let through. */
static bool is_word(const char *text, size_t bytes)
{
    static const char *const words[] = {
        "and",   "cannot",   "could",    "does",     "expired", "file",     "for",
        "found", "from",     "has",      "have",     "in",      "included", "invalid",
        "is",    "it",       "missing",  "must",     "no",      "not",      "of",
        "or",    "provided", "provider", "required", "was",     "with"};

    while (bytes > 0 && strchr(".,!)", text[bytes - 1]) != NULL)
        bytes--;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strlen(words[i]) == bytes && strncasecmp(text, words[i], bytes) == 0)
            return true;
    return bytes == 0;
}

/* "Token: x", "password=x", "\"SecretAccessKey\": \"x\"", "secret is x1" */
static void cover_named(char *text)
{
    static const char *const names[] = {"secret",     "token",  "passw",
                                        "credential", "bearer", "accesskey"};
    static const char gaps[] = " \t:=\"'`,;>";

    for (size_t i = 0; i < COUNT_OF(names); i++)
        for (char *at = text; (at = strcasestr(at, names[i])) != NULL;) {
            size_t name = 0;
            size_t from;
            size_t to;
            bool assigned;

            while (isalnum((unsigned char)at[name]) || at[name] == '_' || at[name] == '-')
                name++;
            from = name + strspn(at + name, gaps);
            assigned = strcspn(at + name, ":=\"'`>") < from - name;
            if (strncasecmp(at + from, "is ", 3) == 0)
                from += 3 + strspn(at + from + 3, gaps);
            to = from + strcspn(at + from, " \t\"'`,;");
            if (from > name && (assigned || !is_word(at + from, to - from)))
                cover(at, from, to);
            at += to > 0 ? to : 1;
        }
}

/* Runs of stars to three. */
static void shorten(char *out, size_t bytes_max, const char *text)
{
    size_t used = 0;
    size_t stars = 0;

    for (; *text != '\0' && used + 1 < bytes_max; text++) {
        stars = *text == '*' ? stars + 1 : 0;
        if (stars <= 3)
            out[used++] = *text;
    }
    out[used] = '\0';
}

void credentials_show(char *out, size_t bytes_max, struct slice text, const char *const *secrets,
                      size_t secret_count)
{
    enum { SEEN_MAX = 4096 };
    char seen[SEEN_MAX];
    size_t bytes = text.bytes < SEEN_MAX - 1 ? text.bytes : SEEN_MAX - 1;

    for (size_t i = 0; i < bytes; i++)
        seen[i] = text.data[i] < 0x20 || text.data[i] > 0x7e ? ' ' : (char)text.data[i];
    while (bytes > 0 && seen[bytes - 1] == ' ')
        bytes--;
    seen[bytes] = '\0';
    cover_known(seen, secrets, secret_count);
    cover_named(seen);
    cover_long(seen);
    shorten(out, bytes_max, seen + strspn(seen, " "));
}
