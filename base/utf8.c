#include "base/utf8.h"

#include <string.h>

size_t utf8_char(const uint8_t *at, size_t left)
{
    size_t bytes = at[0] < 0x80 ? 1 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;

    if (bytes == 1)
        return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4 || left < bytes)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((at[i] & 0xC0u) != 0x80u)
            return 0;
    if ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) ||
        (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F))
        return 0;
    return bytes;
}

bool utf8_valid(const void *text, size_t bytes)
{
    const uint8_t *at = text;

    while (bytes > 0) {
        size_t n = utf8_char(at, bytes);

        if (n == 0)
            return false;
        at += n;
        bytes -= n;
    }
    return true;
}

void utf8_make_printable(char *text)
{
    uint8_t *at = (uint8_t *)text;
    size_t left = strlen(text);

    while (left > 0) {
        size_t n = utf8_char(at, left);
        bool prints = n > 0 && at[0] >= 0x20 && at[0] != 0x7F;

        if (n == 0)
            n = 1;
        if (n == 2 && at[0] == 0xC2 && at[1] < 0xA0)
            prints = false;
        if (!prints)
            memset(at, '?', n);
        at += n;
        left -= n;
    }
}
