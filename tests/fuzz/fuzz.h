/* fuzz.h - what the fuzzers share: a check that stops, and what every refusal has to look like.
 *
 * Inputs are copied to an allocation of exactly their size, so that the sanitizer sees a read
 * behind them. Threads: one. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Says where and what, then traps. */
_Noreturn void fuzz_stop(const char *file, int line, const char *what);
#define FUZZ_CHECK(expression)                                                                     \
    do {                                                                                           \
        if (!(expression))                                                                         \
            fuzz_stop(__FILE__, __LINE__, #expression);                                            \
    } while (0)

/* st, after a look at it: a refusal is one that input may cause and has a text of printable UTF-8;
 * err is empty again. */
status fuzz_said(status st, struct err *err);
/* That it is printable UTF-8 without control characters. */
void fuzz_printable(const char *text);
/* free() it. */
uint8_t *fuzz_copy(const uint8_t *data, size_t bytes);

#endif
