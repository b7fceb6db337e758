/* Any bytes as a file of profiles: keys come trimmed and printable as they stand there, and a
 * section that is there is there under any other order of reading. */
#include "objstore/credentials_file.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

struct seen {
    struct slice text;
    size_t keys;
};

static bool inside(struct slice part, struct slice all)
{
    return part.bytes == 0 ||
           (part.data >= all.data && part.data + part.bytes <= all.data + all.bytes);
}

static void on_key(void *arg, struct slice key, struct slice value)
{
    struct seen *s = arg;

    FUZZ_CHECK(inside(key, s->text) && inside(value, s->text));
    FUZZ_CHECK(key.bytes == 0 || memchr(key.data, 0x0a, key.bytes) == NULL);
    FUZZ_CHECK(value.bytes == 0 || memchr(value.data, '\n', value.bytes) == NULL);
    FUZZ_CHECK(key.bytes == 0 || (key.data[0] != 0x20 && key.data[key.bytes - 1] != 0x20));
    FUZZ_CHECK(value.bytes == 0 || (value.data[0] != ' ' && value.data[value.bytes - 1] != ' '));
    s->keys++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    static const char *const PROFILES[] = {"default", "dev"};

    for (size_t i = 0; i < COUNT_OF(PROFILES); i++) {
        for (int config = 0; config < 2; config++) {
            struct seen s = {.text = slice_make(copy, bytes)};
            bool there = profile_read(s.text, PROFILES[i], config != 0, on_key, &s);

            FUZZ_CHECK(there || s.keys == 0);
        }
    }
    free(copy);
    return 0;
}
