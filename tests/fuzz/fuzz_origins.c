/* Lines as environment variables and flags: one that begins with "--" is a flag, every other a
 * variable. No line may name a file. */
#include "tests/fuzz/configs.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { ENV_MAX = 16, ARGS_MAX = 8 };

static bool names_a_file(const char *line)
{
    return strncmp(line, "--config", 8) == 0 || strncmp(line, "TIERVEC_CONFIG", 14) == 0 ||
           strncmp(line, "AKIDB_CONFIG", 12) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    char *env[ENV_MAX + 1] = {0};
    char *args[ARGS_MAX + 1] = {0};
    size_t env_count = 0;
    int argc = 0;
    char *at = NULL;

    FUZZ_CHECK(text != NULL);
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    for (char *line = strtok_r(text, "\n", &at); line != NULL; line = strtok_r(NULL, "\n", &at)) {
        if (names_a_file(line))
            continue;
        if (strncmp(line, "--", 2) == 0 && argc < ARGS_MAX)
            args[argc++] = line;
        else if (env_count < ENV_MAX)
            env[env_count++] = line;
    }
    configs_try(slice_make("", 0), env, args, argc);
    free(text);
    return 0;
}
