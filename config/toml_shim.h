/* toml_shim.h - TOML 1.0 read by toml++, the only C++ of this folder; no exception leaves it.
 *
 * The text is first looked through by toml_scan() for what would make a recursive reader run out of
 * stack: the parser is not given more than TOML_DEPTH_MAX brackets inside each other, nor keys of
 * more than TOML_PARTS_MAX parts.
 *
 * Threads    any. Ownership: the item's bytes are borrowed until the callback returns. */
#ifndef CONFIG_TOML_SHIM_H
#define CONFIG_TOML_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TOML_DEPTH_MAX = 8, TOML_PARTS_MAX = 8, TOML_FAULT_BYTES = 192 };

enum toml_kind {
    TOML_TEXT,
    TOML_INTEGER,
    TOML_BOOLEAN,
    TOML_FLOAT,
    TOML_DATE, /* dates and times of all forms */
    TOML_ARRAY,
    TOML_TABLE, /* told before what is inside */
};

struct toml_item {
    const char *section; /* the tables it stands in, joined by dots; "" at the top */
    size_t section_bytes;
    const char *key; /* may hold any byte, NUL too */
    size_t key_bytes;
    enum toml_kind kind;
    const char *text; /* of TOML_TEXT; may hold NUL */
    size_t text_bytes;
    int64_t integer; /* of TOML_INTEGER; of TOML_ARRAY how many elements */
    bool boolean;
    unsigned line; /* from 1 */
};

struct toml_fault {
    unsigned line;
    char text[TOML_FAULT_BYTES];
};

enum toml_result { TOML_OK, TOML_BAD, TOML_NO_MEMORY, TOML_STOPPED };

/* False stops the reading: TOML_STOPPED. */
typedef bool toml_item_fn(void *arg, const struct toml_item *item);

/* fault is filled on TOML_BAD. Items of a table come in the order of their keys. */
enum toml_result toml_read(const char *text, size_t bytes, toml_item_fn *fn, void *arg,
                           struct toml_fault *fault);

/* False, with fault filled, when the text nests too deeply or holds a NUL. */
bool toml_scan(const char *text, size_t bytes, struct toml_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
