/* utf8.h - is it text? RFC 3629: shortest form, no surrogates, up to U+10FFFF. Threads: any. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at `at`, of which `left` >= 1 bytes are there; 0 if it is not valid. */
size_t utf8_char(const uint8_t *at, size_t left);
bool utf8_valid(const void *text, size_t bytes);
/* What cannot be printed becomes question marks, as many as it had bytes: control characters (those
 * of two bytes too), and what is no character. NUL terminated. */
void utf8_make_printable(char *text);

#endif
