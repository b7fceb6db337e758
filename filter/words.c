#include "filter/words.h"

#include "base/utf8.h"

#include <unicase.h>
#include <unictype.h>

enum { NO_CHARACTER = 0xFFFD };

static const char *const NAMES[] = {
    [FILTER_TOKENS_WORD] = "word",
    [FILTER_TOKENS_WHITESPACE] = "whitespace",
    [FILTER_TOKENS_PREFIX] = "prefix",
    [FILTER_TOKENS_MULTILINGUAL] = "multilingual",
};

const char *words_tokenizer_name(int tokenizer)
{
    return tokenizer >= 0 && tokenizer < (int)COUNT_OF(NAMES) ? NAMES[tokenizer] : NULL;
}

bool words_tokenizer_parse(struct slice name, int *out)
{
    for (int i = 0; i < (int)COUNT_OF(NAMES); i++) {
        if (!slice_equal(name, slice_text(NAMES[i])))
            continue;
        *out = i;
        return true;
    }
    return false;
}

/* The code point at the front of r, which is not empty, and its bytes. */
static uint32_t peek_point(const struct rd *r, size_t *bytes)
{
    const uint8_t *at = r->at;

    *bytes = utf8_char(at, rd_left(r));
    switch (*bytes) {
    case 1:
        return at[0];
    case 2:
        return (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
    case 3:
        return (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
    case 4:
        return (at[0] & 0x07u) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 |
               (at[3] & 0x3Fu);
    default:
        *bytes = 1;
        return NO_CHARACTER;
    }
}

static bool is_alphanumeric(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || ((c | 0x20u) >= 'a' && (c | 0x20u) <= 'z');
    return uc_is_property_alphabetic(c) || uc_is_general_category_withtable(c, UC_CATEGORY_MASK_N);
}

static bool is_blank(uint32_t c)
{
    return c == NO_CHARACTER ||
           (c < 0x80 ? c == ' ' || (c >= '\t' && c <= '\r') : uc_is_property_white_space(c));
}

/* Of a script whose words are not told apart by blanks. */
static bool stands_alone(uint32_t c)
{
    static const char *const names[] = {"Han", "Hiragana", "Thai", "Lao", "Khmer", "Myanmar"};
    const uc_script_t *script = c < 0x80 ? NULL : uc_script(c);

    for (size_t i = 0; script != NULL && i < COUNT_OF(names); i++)
        if (strcmp(script->name, names[i]) == 0)
            return true;
    return false;
}

static uint32_t lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 0x20 : c;
    return uc_tolower(c);
}

/* Counts on when there is no room, so that it is known to be too long. */
static void append(struct words *w, uint32_t c)
{
    uint8_t *at;
    size_t bytes = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    w->points++;
    if (w->bytes + bytes > WORDS_BYTES_MAX) {
        w->bytes = WORDS_BYTES_MAX + 1;
        return;
    }
    at = w->word + w->bytes;
    w->bytes += bytes;
    if (bytes == 1) {
        at[0] = (uint8_t)c;
        return;
    }
    for (size_t i = bytes - 1; i > 0; i--, c >>= 6)
        at[i] = (uint8_t)(0x80u | (c & 0x3Fu));
    at[0] = (uint8_t)((0xF0u << (4 - bytes)) | c);
}

static bool is_inside(int tokenizer, uint32_t c)
{
    return tokenizer == FILTER_TOKENS_WHITESPACE ? !is_blank(c) : is_alphanumeric(c);
}

/* As many characters of ASCII as belong to the word: what read_word() does with each character, in
 * the shape that most text has. */
static void read_ascii(struct words *w, int tokenizer, bool keep_case)
{
    const uint8_t *at = w->rest.at;
    size_t bytes = w->bytes;

    for (; at < w->rest.end && *at < 0x80 && is_inside(tokenizer, *at); at++)
        if (bytes < WORDS_BYTES_MAX)
            w->word[bytes++] = (uint8_t)(keep_case ? *at : lower(*at));
        else
            bytes = WORDS_BYTES_MAX + 1;
    w->points += (uint32_t)(at - w->rest.at);
    w->bytes = bytes;
    w->rest.at = at;
}

/* False: the text is at its end. */
static bool read_word(struct words *w)
{
    int tokenizer = w->cut->tokenizer;
    bool keep_case = w->cut->keep_case;
    size_t bytes;

    w->bytes = 0;
    w->points = 0;
    w->given = 0;
    for (;;) {
        bool inside, alone;
        uint32_t c;

        read_ascii(w, tokenizer, keep_case);
        if (w->rest.at == w->rest.end)
            return w->points > 0;
        c = peek_point(&w->rest, &bytes);
        inside = is_inside(tokenizer, c);
        alone = inside && tokenizer == FILTER_TOKENS_MULTILINGUAL && stands_alone(c);
        if (w->points > 0 && (!inside || alone))
            return true;
        rd_skip(&w->rest, bytes);
        if (inside)
            append(w, keep_case ? c : lower(c));
        if (alone)
            return true;
    }
}

static size_t bytes_of_points(const struct words *w, uint32_t points)
{
    size_t bytes = 0;

    while (points-- > 0 && bytes < w->bytes)
        bytes += utf8_char(w->word + bytes, w->bytes - bytes);
    return bytes;
}

/* Of a query's word what a text may have as a beginning. */
static void shorten(struct words *w)
{
    uint32_t max = w->cut->max_bytes;

    if (max == 0 || w->points <= max || w->bytes > WORDS_BYTES_MAX)
        return;
    w->bytes = bytes_of_points(w, max);
    w->points = max;
}

static bool next_beginning(struct words *w, struct slice *word)
{
    uint32_t min = w->cut->min_bytes > 1 ? w->cut->min_bytes : 1;

    if (w->given >= w->bytes || w->bytes > WORDS_BYTES_MAX)
        return false;
    if (w->given == 0)
        w->given = bytes_of_points(w, min);
    else
        w->given += utf8_char(w->word + w->given, w->bytes - w->given);
    *word = slice_make(w->word, w->given);
    return true;
}

static bool is_left_out(const struct words *w)
{
    return w->bytes > WORDS_BYTES_MAX || w->points < w->cut->min_bytes ||
           (w->cut->max_bytes > 0 && w->points > w->cut->max_bytes);
}

void words_begin(struct words *w, struct slice text, const struct filter_words *cut,
                 enum words_side side)
{
    w->rest = rd_make(text);
    w->cut = cut;
    w->side = side;
    w->bytes = 0;
    w->points = 0;
    w->given = 0;
}

bool words_next(struct words *w, struct slice *word)
{
    bool prefix = w->cut->tokenizer == FILTER_TOKENS_PREFIX;
    bool beginnings = prefix && w->side == WORDS_OF_TEXT;

    if (beginnings && next_beginning(w, word))
        return true;
    while (read_word(w)) {
        if (prefix)
            shorten(w);
        if (is_left_out(w))
            continue;
        if (beginnings)
            return next_beginning(w, word);
        *word = slice_make(w->word, w->bytes);
        return true;
    }
    w->bytes = 0;
    return false;
}
