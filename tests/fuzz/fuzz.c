#include "tests/fuzz/fuzz.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_stop(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, what);
    __builtin_trap();
}

void fuzz_printable(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            (void)fprintf(stderr, "byte %zu of: %s\n", (size_t)(c - text), text);
            fuzz_stop(__FILE__, __LINE__, "a control character");
        }
    }
    if (!utf8_valid(text, strlen(text))) {
        (void)fprintf(stderr, "text: %s\n", text);
        fuzz_stop(__FILE__, __LINE__, "not UTF-8");
    }
}

status fuzz_said(status st, struct err *err)
{
    if (st != ST_OK) {
        FUZZ_CHECK(st != ST_BUG && st != ST_IO);
        FUZZ_CHECK(err->text[0] != '\0');
        FUZZ_CHECK(err->code == st);
        fuzz_printable(err->text);
    }
    *err = (struct err){0};
    return st;
}

uint8_t *fuzz_copy(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);

    FUZZ_CHECK(copy != NULL);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}
