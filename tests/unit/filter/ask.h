/* ask.h - a filter as JSON text asked of a payload as JSON text. A filter that begins with '$' is
 * of our own dialect, without that '$'. */
#ifndef TESTS_UNIT_FILTER_ASK_H
#define TESTS_UNIT_FILTER_ASK_H

#include "filter/filter.h"

#include "jsons.h"

/* Parsed into memory that lasts until ask_free(). What is refused fails the test. */
struct filter *ask_parse(const char *filter);
/* What a refusal says: "invalid: filter.must: ..." until the next call. */
const char *ask_refused(const char *filter);
status ask_parse_into(const char *filter, struct arena *arena, struct filter **out,
                      struct err *err);
bool ask(const char *filter, const char *payload);
bool ask_row(const struct filter *f, const char *payload, const struct docid *id, uint64_t vectors);
void ask_free(void);

#endif
