/* configs.h - one load of a configuration, and what is asked of each: a refusal says why in text
 * that can be printed; what is accepted prints, and what it prints is accepted and prints the same.
 */
#ifndef TESTS_FUZZ_CONFIGS_H
#define TESTS_FUZZ_CONFIGS_H

#include "base/bytes.h"

/* file: TOML; env and args end with NULL. */
void configs_try(struct slice file, char *const *env, char *const *args, int argc);

#endif
