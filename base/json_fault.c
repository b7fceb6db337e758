/* What is wrong with a text, and where. simdjson is fast because it does not know where it is when
 * something fails. This walks the same grammar one byte at a time, once a text has been refused:
 * it takes exactly what simdjson takes, and a test holds the two against each other. It keeps its
 * own stack of open arrays and objects, so that depth costs a bit and not a call. */
#include "base/json_internal.h"

#include "base/json.h"
#include "base/utf8.h"

#include <assert.h>

struct walk {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    struct json_fault *fault;
    bool object[JSON_DEPTH_MAX]; /* by open level: an object, or else an array */
    size_t open;
};

static bool fault_at(struct walk *w, const uint8_t *where, const char *what)
{
    w->fault->what = what;
    w->fault->offset = (size_t)(where - w->start);
    return false;
}

/* The byte there, or -1 at the end. */
static int peek(const struct walk *w)
{
    return w->at < w->end ? *w->at : -1;
}

static int skip_blanks(struct walk *w)
{
    while (w->at < w->end && (*w->at == ' ' || *w->at == '\t' || *w->at == '\n' || *w->at == '\r'))
        w->at++;
    return peek(w);
}

/* Four hexadecimal digits; -1 if they are not there. */
static int32_t hex4(const uint8_t *at, const uint8_t *end)
{
    int32_t v = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = at[i];

        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* At the backslash. */
static bool walk_escape(struct walk *w)
{
    const uint8_t *from = w->at;
    int32_t unit;

    w->at++;
    if (w->at == w->end)
        return fault_at(w, from, "a string is not closed");
    if (*w->at != 'u') {
        if (*w->at == '\0' || strchr("\"\\/bfnrt", *w->at) == NULL)
            return fault_at(w, from, "unknown escape in a string");
        w->at++;
        return true;
    }
    unit = hex4(w->at + 1, w->end);
    if (unit < 0)
        return fault_at(w, from, "\\u needs four hexadecimal digits");
    w->at += 5;
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return fault_at(w, from, "a low surrogate escape without its high one");
    if (unit < 0xD800 || unit > 0xDBFF)
        return true;
    if (w->end - w->at < 6 || w->at[0] != '\\' || w->at[1] != 'u')
        return fault_at(w, from, "a high surrogate escape without its low one");
    unit = hex4(w->at + 2, w->end);
    if (unit < 0xDC00 || unit > 0xDFFF)
        return fault_at(w, from, "a high surrogate escape without its low one");
    w->at += 6;
    return true;
}

/* At the opening quote. */
static bool walk_string(struct walk *w)
{
    const uint8_t *from = w->at++;

    while (w->at < w->end) {
        size_t step;

        if (*w->at == '"') {
            w->at++;
            return true;
        }
        if (*w->at == '\\') {
            if (!walk_escape(w))
                return false;
            continue;
        }
        if (*w->at < 0x20)
            return fault_at(w, w->at, "a control character in a string must be escaped");
        step = utf8_char(w->at, (size_t)(w->end - w->at));
        if (step == 0)
            return fault_at(w, w->at, "invalid UTF-8");
        w->at += step;
    }
    return fault_at(w, from, "a string is not closed");
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(struct walk *w)
{
    const uint8_t *from = w->at;

    while (is_digit(peek(w)))
        w->at++;
    return (size_t)(w->at - from);
}

static bool integer_fits(const uint8_t *digits, size_t count, bool negative)
{
    const char *most = negative ? "9223372036854775808" : "18446744073709551615";
    size_t most_count = strlen(most);

    return count < most_count || (count == most_count && memcmp(digits, most, count) <= 0);
}

/* A float is out of range when it rounds to infinity: from the half way between the largest double
 * and 2^1024 on. `exponent` is that of the text. */
static bool float_fits(const uint8_t *from, const uint8_t *mantissa_end, int64_t exponent)
{
    static const char half_way[] = "179769313486231580793728971405303415"; /* e308 */
    int64_t scale = 0; /* the first digit that is not 0 stands for 10^scale */
    bool point = false;
    size_t matched = 0;
    size_t seen = 0;

    for (const uint8_t *p = from; p < mantissa_end; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (seen == 0 && *p == '0') {
            scale -= point;
            continue;
        }
        if (seen == 0)
            scale -= point;
        else
            scale += !point;
        seen++;
        if (matched + 1 == seen && matched + 1 < sizeof half_way) {
            if (*p < (uint8_t)half_way[matched])
                matched = sizeof half_way; /* below, whatever follows */
            else if (*p == (uint8_t)half_way[matched])
                matched++;
        }
    }
    if (seen == 0)
        return true;
    if (scale + exponent != 308)
        return scale + exponent < 308;
    return matched == sizeof half_way || matched == seen;
}

/* The exponent's value, kept small enough to add to. At the sign or first digit. */
static bool walk_exponent(struct walk *w, int64_t *out)
{
    bool negative = peek(w) == '-';
    int64_t v = 0;

    if (peek(w) == '-' || peek(w) == '+')
        w->at++;
    if (!is_digit(peek(w)))
        return fault_at(w, w->at, "a number's exponent has no digits");
    for (; is_digit(peek(w)); w->at++)
        v = v > INT32_MAX ? v : v * 10 + (*w->at - '0');
    *out = negative ? -v : v;
    return true;
}

static bool walk_number(struct walk *w)
{
    const uint8_t *from = w->at;
    bool negative = peek(w) == '-';
    bool integer = true;
    const uint8_t *digits;
    const uint8_t *mantissa_end;
    int64_t exponent = 0;
    size_t count;

    w->at += negative;
    digits = w->at;
    count = skip_digits(w);
    if (count == 0)
        return fault_at(w, from, "a minus sign without a number");
    if (count > 1 && digits[0] == '0')
        return fault_at(w, from, "a number with a leading zero");
    if (peek(w) == '.') {
        integer = false;
        w->at++;
        if (skip_digits(w) == 0)
            return fault_at(w, from, "a number has no digits after its point");
    }
    mantissa_end = w->at;
    if (peek(w) == 'e' || peek(w) == 'E') {
        integer = false;
        w->at++;
        if (!walk_exponent(w, &exponent))
            return false;
    }
    if (integer && !integer_fits(digits, count, negative))
        return fault_at(w, from, "an integer is out of range (beyond 64 bits)");
    if (!integer && !float_fits(digits, mantissa_end, exponent))
        return fault_at(w, from, "a number is out of range (beyond a 64-bit float)");
    return true;
}

static bool walk_word(struct walk *w, const char *word)
{
    size_t bytes = strlen(word);

    if ((size_t)(w->end - w->at) < bytes || memcmp(w->at, word, bytes) != 0)
        return fault_at(w, w->at, "expected a value");
    w->at += bytes;
    return true;
}

static bool walk_scalar(struct walk *w)
{
    switch (peek(w)) {
    case '"':
        return walk_string(w);
    case 't':
        return walk_word(w, "true");
    case 'f':
        return walk_word(w, "false");
    case 'n':
        return walk_word(w, "null");
    default:
        if (peek(w) == '-' || is_digit(peek(w)))
            return walk_number(w);
        return fault_at(w, w->at, "expected a value");
    }
}

static bool ends_short(struct walk *w)
{
    if (w->open == 0)
        return fault_at(w, w->end, "the text is empty");
    return fault_at(w, w->end,
                    w->object[w->open - 1] ? "the text ends in an object that is not closed"
                                           : "the text ends in an array that is not closed");
}

/* A member's key and its colon. */
static bool walk_key(struct walk *w)
{
    if (skip_blanks(w) < 0)
        return ends_short(w);
    if (peek(w) != '"')
        return fault_at(w, w->at, "expected a key in quotes");
    if (!walk_string(w))
        return false;
    if (skip_blanks(w) < 0)
        return ends_short(w);
    if (peek(w) != ':')
        return fault_at(w, w->at, "expected ':' after a key");
    w->at++;
    return true;
}

/* At a value. *opened: an array or object was opened and a value must follow. */
static bool walk_value(struct walk *w, bool *opened)
{
    int c = skip_blanks(w);
    bool object = c == '{';

    *opened = false;
    if (c < 0)
        return ends_short(w);
    if (w->open == JSON_DEPTH_MAX)
        return fault_at(w, w->at, "more than 512 levels deep");
    if (c != '{' && c != '[')
        return walk_scalar(w);
    w->object[w->open++] = object;
    w->at++;
    if (skip_blanks(w) == (object ? '}' : ']'))
        return true; /* empty: walk_closes() takes the bracket */
    *opened = true;
    return object ? walk_key(w) : true;
}

/* Behind a value: closes what ends here. *more: a comma came and a value must follow. */
static bool walk_closes(struct walk *w, bool *more)
{
    *more = false;
    while (w->open > 0) {
        bool object = w->object[w->open - 1];
        int c = skip_blanks(w);

        if (c < 0)
            return ends_short(w);
        if (c == ',') {
            w->at++;
            *more = true;
            return object ? walk_key(w) : true;
        }
        if (c != (object ? '}' : ']'))
            return fault_at(w, w->at, object ? "expected ',' or '}'" : "expected ',' or ']'");
        w->at++;
        w->open--;
    }
    if (skip_blanks(w) >= 0)
        return fault_at(w, w->at, "text after the end of the document");
    return true;
}

static_assert(JSON_DEPTH_MAX == 512, "the text above names it");

bool json_fault_find(const uint8_t *text, size_t bytes, struct json_fault *fault)
{
    static const uint8_t nothing[1];
    struct walk w = {.fault = fault};
    bool more = true;

    w.start = w.at = bytes == 0 ? nothing : text;
    w.end = w.start + bytes;
    while (more) {
        if (!walk_value(&w, &more))
            return true;
        if (!more && !walk_closes(&w, &more))
            return true;
    }
    return false;
}
