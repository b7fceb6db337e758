/* json_internal.h - what the files of json.h share: the shims in C++ and the finder of faults.
 *
 * Included from C and C++, so it names nothing that C++ cannot read. */
#ifndef BASE_JSON_INTERNAL_H
#define BASE_JSON_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* base/json_simd.cc: simdjson. No exception leaves it. A parsed document is its tape (64-bit words,
 * a kind in the top byte and 56 bits of payload) and its unescaped strings. */
struct json_simd;
struct json_tape {
    const uint64_t *words;
    const uint8_t *strings;
};
enum json_simd_result { JSON_SIMD_OK, JSON_SIMD_NOMEM, JSON_SIMD_MALFORMED };

struct json_simd *json_simd_create(void); /* NULL when memory is out */
void json_simd_destroy(struct json_simd *s);
/* Makes room for texts of `capacity` bytes, no more and no less; false when memory is out, and then
 * there is room for none. Ends the document parsed before. */
bool json_simd_resize(struct json_simd *s, size_t capacity, size_t depth_max);
/* Gives all memory back; json_simd_resize() before the next text. */
void json_simd_release(struct json_simd *s);
/* JSON_PADDING_BYTES behind the text must be readable. *why is set with JSON_SIMD_MALFORMED. */
enum json_simd_result json_simd_parse(struct json_simd *s, const uint8_t *text, size_t bytes,
                                      struct json_tape *tape, const char **why);

/* base/json_chars.cc: the shortest decimal that reads back to the same value; returns its length,
 * no NUL. A finite float reads back as a float, and as a double that is then narrowed. */
enum { JSON_CHARS_MAX = 32 };
size_t json_chars_f32(char *out, float v);
size_t json_chars_f64(char *out, double v);

/* base/json_fault.c: looks at a text byte by byte and finds the first thing that is not JSON as
 * json.h takes it. True if there is one. Slow and exact; for the text of an error, and for small
 * documents. */
struct json_fault {
    const char *what;
    size_t offset;
};
bool json_fault_find(const uint8_t *text, size_t bytes, struct json_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
