/* A look at the brackets and dots of a TOML text, in one pass and without recursion. It need not
 * judge the text, only bound how deep a parser can be led: strings and comments are stepped over,
 * and whatever is malformed is left for the parser to name. */
#include "config/toml_shim.h"

#include <stdio.h>
#include <string.h>

struct scan {
    const char *at, *end;
    unsigned line;
    unsigned depth; /* brackets open */
    unsigned parts; /* dots of the key (or number) under way */
};

static bool fault_set(struct toml_fault *fault, unsigned line, const char *text)
{
    fault->line = line;
    (void)snprintf(fault->text, sizeof fault->text, "%s", text);
    return false;
}

static bool at_triple(const struct scan *s, char quote)
{
    return s->end - s->at >= 3 && s->at[0] == quote && s->at[1] == quote && s->at[2] == quote;
}

/* s->at stands on the opening quote, and then behind the closing one. */
static void step_over_string(struct scan *s)
{
    char quote = *s->at;
    bool triple = at_triple(s, quote);

    s->at += triple ? 3 : 1;
    while (s->at < s->end) {
        if (quote == '"' && *s->at == '\\' && s->end - s->at >= 2 && s->at[1] != '\n') {
            s->at += 2;
            continue;
        }
        if (triple ? at_triple(s, quote) : *s->at == quote) {
            s->at += triple ? 3 : 1;
            return;
        }
        if (*s->at == '\n') {
            if (!triple) /* unterminated; the parser will say so */
                return;
            s->line++;
        }
        s->at++;
    }
}

static void step_over_comment(struct scan *s)
{
    while (s->at < s->end && *s->at != '\n')
        s->at++;
}

static bool step(struct scan *s, struct toml_fault *fault)
{
    switch (*s->at) {
    case '"':
    case '\'':
        step_over_string(s);
        return true;
    case '#':
        step_over_comment(s);
        return true;
    case '[':
    case '{':
        s->parts = 0;
        if (++s->depth > TOML_DEPTH_MAX)
            return fault_set(fault, s->line, "brackets stand too deep inside each other");
        break;
    case ']':
    case '}':
        if (s->depth > 0)
            s->depth--;
        break;
    case '.':
        if (++s->parts >= TOML_PARTS_MAX)
            return fault_set(fault, s->line, "a key has too many parts");
        break;
    case '\n':
        s->line++;
        s->parts = 0;
        break;
    case '=':
    case ',':
        s->parts = 0;
        break;
    default:
        break;
    }
    s->at++;
    return true;
}

bool toml_scan(const char *text, size_t bytes, struct toml_fault *fault)
{
    struct scan s = {.at = text, .end = text + bytes, .line = 1};
    const char *nul = bytes == 0 ? NULL : memchr(text, 0, bytes);

    if (nul != NULL) {
        unsigned line = 1;

        for (const char *c = text; c < nul; c++)
            line += *c == '\n';
        return fault_set(fault, line, "a NUL byte; the file is not text");
    }
    while (s.at < s.end)
        if (!step(&s, fault))
            return false;
    return true;
}
