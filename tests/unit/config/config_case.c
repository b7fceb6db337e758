#include "tests/unit/config/config_case.h"

#include "base/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

int config_case_begin(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/test_config.XXXXXX");
    return mkdtemp(root) != NULL && chdir(root) == 0 ? 0 : -1;
}

int config_case_end(void **state)
{
    (void)state;
    return chdir("/") == 0 && fs_remove_all(fs_real(), root, NULL) == ST_OK ? 0 : -1;
}

/* Not fs_write_file(): thousands of syncs would be waited for. */
static void write_file(const char *text, size_t bytes)
{
    FILE *file = fopen("config.toml", "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

status config_case_load(const struct config_case *c, struct config *out, struct err *err)
{
    char *env[COUNT_OF(c->env) + 1] = {0};
    char *args[COUNT_OF(c->args) + 1] = {0};
    int argc = 0;

    (void)unlink("config.toml");
    if (c->file != NULL)
        write_file(c->file, c->file_bytes > 0 ? c->file_bytes : strlen(c->file));
    for (size_t i = 0; i < COUNT_OF(c->env) && c->env[i] != NULL; i++)
        env[i] = (char *)(uintptr_t)c->env[i];
    for (; argc < (int)COUNT_OF(c->args) && c->args[argc] != NULL; argc++)
        args[argc] = (char *)(uintptr_t)c->args[argc];
    return config_load(argc, args, env, out, err);
}

void config_case_ok(const struct config_case *c, struct config *out)
{
    struct err err = {0};

    if (config_case_load(c, out, &err) != ST_OK)
        fail_msg("refused: %s\nfile: %s", err.text, c->file == NULL ? "none" : c->file);
}

void config_case_refused(const struct config_case *c, const char *part, const char *other_part)
{
    struct config out = {0};
    struct err err = {0};
    status st = config_case_load(c, &out, &err);

    if (st != ST_INVALID)
        fail_msg("%s, wanted: %s\nfile: %s", status_name(st), part,
                 c->file == NULL ? "none" : c->file);
    if (strstr(err.text, part) == NULL || strstr(err.text, other_part) == NULL)
        fail_msg("\"%s\" holds not \"%s\" and \"%s\"", err.text, part, other_part);
    assert_null(out.entries);
}

unsigned config_case_warned(const struct config *c, const char *part)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->warning_count; i++)
        n += strstr(c->warnings[i], part) != NULL;
    return n;
}

const struct config_entry *config_case_entry(const struct config *c, const char *section,
                                             const char *key)
{
    for (size_t i = 0; i < c->entry_count; i++)
        if (strcmp(c->entries[i].section, section) == 0 && strcmp(c->entries[i].key, key) == 0)
            return &c->entries[i];
    fail_msg("no entry %s.%s", section, key);
    return NULL;
}
