/* text.h - conditions on words: cutting what was asked for, and finding it in a text.
 *
 * Threads    text_match: any.
 * Ownership  words live in the arena. */
#ifndef FILTER_TEXT_H
#define FILTER_TEXT_H

#include "filter/filter.h"

/* Cuts f->text as f->cut says, into f->words. ST_INVALID: more than FILTER_TEXT_WORDS_MAX. */
NODISCARD
status text_cut(struct filter *f, struct arena *arena, struct err *err);
/* Reads the text once, allocates nothing. Of no words: false. */
bool text_match(const struct filter *f, struct slice text);

#endif
