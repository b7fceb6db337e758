/* jsons.h - JSON texts as payload blobs and values, for the tests of filter/. What does not parse
 * fails the test. */
#ifndef TESTS_UNIT_FILTER_JSONS_H
#define TESTS_UNIT_FILTER_JSONS_H

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The value of a text; dies at the next call. */
struct jval jsons_value(const char *text);
/* Its blob into out, which is emptied first. */
void jsons_blob(struct buf *out, const char *text);
void jsons_free(void);

#endif
