/* config_case.h - one config_load() for tests: a file's text, an environment, flags, in a folder of
 * its own. */
#ifndef TESTS_UNIT_CONFIG_CONFIG_CASE_H
#define TESTS_UNIT_CONFIG_CONFIG_CASE_H

#include "config/config.h"

struct config_case {
    const char *file;     /* text of ./config.toml; NULL: there is none */
    size_t file_bytes;    /* 0: as long as the text */
    const char *env[24];  /* "NAME=value" */
    const char *args[24]; /* flags */
};

/* Group setup and teardown: an empty folder that is the working one. */
int config_case_begin(void **state);
int config_case_end(void **state);

status config_case_load(const struct config_case *c, struct config *out, struct err *err);
/* Loads and fails the test with the text when that fails. */
void config_case_ok(const struct config_case *c, struct config *out);
/* Loads, and fails the test unless it is refused with each of these in the text. */
void config_case_refused(const struct config_case *c, const char *part, const char *other_part);
/* How many warnings hold this text. */
unsigned config_case_warned(const struct config *c, const char *part);
const struct config_entry *config_case_entry(const struct config *c, const char *section,
                                             const char *key);

#endif
