#include "filter/text.h"

#include "filter/words.h"

#include <stdlib.h>

static int compare_words(const void *a, const void *b)
{
    const struct slice *x = a;
    const struct slice *y = b;
    size_t common = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->data, y->data, common); /* no word is empty */

    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static enum words_side side_of_query(const struct filter *f)
{
    return f->kind == FILTER_PHRASE ? WORDS_WHOLE : WORDS_OF_QUERY;
}

static status keep_words(const struct filter *f, struct arena *arena, struct slice *words,
                         size_t *count, struct err *err)
{
    struct words reader;
    struct slice word;

    *count = 0;
    words_begin(&reader, f->text, &f->cut, side_of_query(f));
    while (words_next(&reader, &word)) {
        const char *copy;

        if (*count == FILTER_TEXT_WORDS_MAX)
            return err_set(err, ST_INVALID, "a text to look for has at most %d words",
                           FILTER_TEXT_WORDS_MAX);
        copy = arena_strndup(arena, (const char *)word.data, word.bytes);
        if (copy == NULL)
            return err_set(err, ST_NOMEM, "out of memory for the words of a filter");
        words[(*count)++] = slice_make(copy, word.bytes);
    }
    return ST_OK;
}

static size_t sort_words(struct slice *words, size_t count)
{
    size_t kept = 0;

    if (count > 1)
        qsort(words, count, sizeof *words, compare_words);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !slice_equal(words[kept - 1], words[i]))
            words[kept++] = words[i];
    return kept;
}

/* fallback[k]: how many first words of the phrase are also the last of its first k, fewer than k.
 * Knuth, Morris, Pratt 1977: the text is read once, whatever the phrase repeats. */
static void fill_fallback(const struct slice *words, size_t count, uint32_t *fallback)
{
    uint32_t k = 0;

    fallback[0] = 0;
    for (size_t i = 1; i <= count; i++) {
        fallback[i] = i == 1 ? 0 : k;
        if (i == count)
            break;
        while (k > 0 && !slice_equal(words[k], words[i]))
            k = fallback[k];
        if (slice_equal(words[k], words[i]))
            k++;
    }
}

status text_cut(struct filter *f, struct arena *arena, struct err *err)
{
    struct slice found[FILTER_TEXT_WORDS_MAX];
    struct slice *words;
    size_t count;
    status st = keep_words(f, arena, found, &count, err);

    if (st != ST_OK)
        return st;
    if (f->kind != FILTER_PHRASE)
        count = sort_words(found, count);
    words = arena_array(arena, count + 1, sizeof *words);
    if (words == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the words of a filter");
    memcpy(words, found, count * sizeof *words);
    if (f->kind == FILTER_PHRASE) {
        uint32_t *fallback = arena_array(arena, count + 1, sizeof *fallback);

        if (fallback == NULL)
            return err_set(err, ST_NOMEM, "out of memory for the words of a filter");
        fill_fallback(words, count, fallback);
        f->fallback = fallback;
    }
    f->words = words;
    f->word_count = count;
    return ST_OK;
}

static const struct slice *find_word(const struct filter *f, struct slice word)
{
    if (f->word_count > 4)
        return bsearch(&word, f->words, f->word_count, sizeof word, compare_words);
    for (size_t i = 0; i < f->word_count; i++)
        if (slice_equal(f->words[i], word))
            return &f->words[i];
    return NULL;
}

static bool has_all(const struct filter *f, struct words *reader)
{
    uint64_t seen[FILTER_TEXT_WORDS_MAX / 64];
    size_t left = f->word_count;
    struct slice word;

    memset(seen, 0, (f->word_count + 63) / 64 * sizeof seen[0]);
    while (words_next(reader, &word)) {
        const struct slice *found = find_word(f, word);
        size_t at;

        if (found == NULL)
            continue;
        at = (size_t)(found - f->words);
        if (seen[at / 64] >> (at % 64) & 1)
            continue;
        seen[at / 64] |= (uint64_t)1 << (at % 64);
        if (--left == 0)
            return true;
    }
    return false;
}

static bool has_any(const struct filter *f, struct words *reader)
{
    struct slice word;

    while (words_next(reader, &word))
        if (find_word(f, word) != NULL)
            return true;
    return false;
}

static bool has_phrase(const struct filter *f, struct words *reader)
{
    struct slice word;
    size_t met = 0;

    while (words_next(reader, &word)) {
        while (met > 0 && !slice_equal(f->words[met], word))
            met = f->fallback[met];
        if (slice_equal(f->words[met], word))
            met++;
        if (met == f->word_count)
            return true;
    }
    return false;
}

bool text_match(const struct filter *f, struct slice text)
{
    struct words reader;

    if (f->word_count == 0)
        return false;
    words_begin(&reader, text, &f->cut, f->kind == FILTER_PHRASE ? WORDS_WHOLE : WORDS_OF_TEXT);
    if (f->kind == FILTER_TEXT)
        return has_all(f, &reader);
    return f->kind == FILTER_TEXT_ANY ? has_any(f, &reader) : has_phrase(f, &reader);
}
