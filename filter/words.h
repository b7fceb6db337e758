/* words.h - cutting text into words, the same for conditions, payload values and text indexes.
 *
 * word          letters and digits of any script, cut at everything else
 * whitespace    cut at white space only
 * prefix        as word; a text has all beginnings of its words, a query its whole words, at most
 *               max_bytes code points long
 * multilingual  as word, and characters of scripts written without blanks stand alone
 *
 * Words are lower-cased (each code point alone) unless told otherwise. One that has fewer code
 * points than min_bytes or more than max_bytes, or more than WORDS_BYTES_MAX bytes, is left out, as
 * if it were not there.
 *
 * Threads    a reader is one thread's.
 * Ownership  nothing is allocated; a word lives in its reader. */
#ifndef FILTER_WORDS_H
#define FILTER_WORDS_H

#include "filter/filter.h"

enum filter_tokenizer { /* stored in the catalog, never renumbered */
                        FILTER_TOKENS_WORD = 0,
                        FILTER_TOKENS_WHITESPACE = 1,
                        FILTER_TOKENS_PREFIX = 2,
                        FILTER_TOKENS_MULTILINGUAL = 3,
};
const char *words_tokenizer_name(int tokenizer); /* "word", ...; of none of them NULL */
NODISCARD
bool words_tokenizer_parse(struct slice name, int *out);

enum { WORDS_BYTES_MAX = 1024 };
enum words_side {
    WORDS_OF_TEXT,  /* a payload's */
    WORDS_OF_QUERY, /* a condition's */
    WORDS_WHOLE,    /* either, for phrases: no beginnings, whatever the tokenizer */
};
struct words {
    struct rd rest;
    const struct filter_words *cut; /* borrowed */
    enum words_side side;
    size_t bytes;                  /* of the word */
    uint32_t points;               /* its code points */
    size_t given;                  /* of them handed out, as beginnings */
    uint8_t word[WORDS_BYTES_MAX]; /* lower-cased */
};
void words_begin(struct words *w, struct slice text, const struct filter_words *cut,
                 enum words_side side);
/* The next word, until the next call; false: no more. Text that is not UTF-8 is cut there. */
bool words_next(struct words *w, struct slice *word);

#endif
