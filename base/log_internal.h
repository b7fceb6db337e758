/* log_internal.h - the fields of one line: where each key and value stands in a printed text. */
#ifndef BASE_LOG_INTERNAL_H
#define BASE_LOG_INTERNAL_H

#include "base/bytes.h"
#include "base/log.h"

struct log_field {
    struct slice key; /* in the format */
    struct slice value;
    bool number; /* value is a JSON number as it stands */
};
struct log_fields {
    struct log_field field[LOG_FIELDS_MAX];
    size_t count;
    bool cut; /* some did not fit */
    char text[LOG_TEXT_BYTES_MAX + 1];
};
/* Slices borrow from `f` and from `format`. */
void log_fields_make(struct log_fields *f, const char *format, va_list args);
bool log_fields_has(const struct log_fields *f, const char *key);

void log_put_json_fields(struct buf *b, const struct log_fields *f); /* {...} */
/* " key=value" each. */
void log_put_pretty_fields(struct buf *b, const struct log_fields *f);
/* As it is, or as a JSON string if that could be misread. */
void log_put_pretty_value(struct buf *b, struct slice value);

#endif
