/* Any bytes as a configuration's file. */
#include "config/toml_shim.h"
#include "tests/fuzz/configs.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static bool on_item(void *arg, const struct toml_item *item)
{
    size_t *sum = arg;

    FUZZ_CHECK(item->line >= 1);
    for (size_t i = 0; i < item->section_bytes; i++)
        *sum += (uint8_t)item->section[i];
    for (size_t i = 0; i < item->key_bytes; i++)
        *sum += (uint8_t)item->key[i];
    for (size_t i = 0; item->kind == TOML_TEXT && i < item->text_bytes; i++)
        *sum += (uint8_t)item->text[i];
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    char *const none[] = {NULL};
    struct toml_fault fault = {0};
    size_t sum = 0;

    if (toml_read((const char *)copy, bytes, on_item, &sum, &fault) == TOML_BAD)
        FUZZ_CHECK(fault.text[0] != '\0');
    configs_try(slice_make(copy, bytes), none, NULL, 0);
    free(copy);
    return 0;
}
