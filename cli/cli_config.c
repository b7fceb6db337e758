#include "cli/cli_config.h"

#include "base/json.h"
#include "base/mem.h"
#include "config/config.h"

#include <stdio.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, PRINT_BYTES_MAX = 4 << 20 };

static const char help_text[] =
    "usage: tiervec config check   [--json] [--quiet] [flags of serve]\n"
    "       tiervec config show    [--origins] [--json] [flags of serve]\n"
    "       tiervec config example\n"
    "\n"
    "check    says whether a node would start with this file, environment and flags, and why not\n"
    "show     prints the effective values as TOML; --origins says where each comes from\n"
    "example  prints a file with every key and its default\n"
    "\n"
    "Flags of serve: --config FILE, --data-dir DIR, --host ADDRESS, --rest-port PORT, ...,\n"
    "--set section.key=value. Precedence: flag, environment, file, default.\n"
    "\n"
    "example: tiervec config show --origins --config /etc/tiervec/config.toml\n";

struct command {
    bool check, show, example;
    bool origins, json, quiet, help;
    int flag_count; /* what is left for config_load() */
    char **flags;   /* owned array of borrowed texts */
};

static bool *option_of(struct command *command, const char *text)
{
    const struct {
        const char *name;
        bool *option;
    } options[] = {{"--origins", &command->origins},
                   {"--json", &command->json},
                   {"--quiet", &command->quiet},
                   {"--help", &command->help}};

    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (strcmp(text, options[i].name) == 0)
            return options[i].option;
    return NULL;
}

/* False when memory is out. */
static bool parse(int argc, char **argv, struct command *out)
{
    int at = 1;

    *out = (struct command){.flags = mem_alloc_array((size_t)argc + 1, sizeof(char *))};
    if (out->flags == NULL)
        return false;
    if (argc > 1 && argv[1][0] != '-') {
        out->check = strcmp(argv[1], "check") == 0;
        out->show = strcmp(argv[1], "show") == 0;
        out->example = strcmp(argv[1], "example") == 0;
        at = 2;
    }
    for (; at < argc; at++) {
        bool *option = option_of(out, argv[at]);

        if (option != NULL)
            *option = true;
        else
            out->flags[out->flag_count++] = argv[at];
    }
    return true;
}

/* ---- output ---- */

static void put_member(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "\"%s\":", name);
    if (text == NULL)
        buf_put_text(out, "null");
    else
        json_put_string(out, slice_text(text));
}

static void put_warnings(struct buf *out, const struct config *c)
{
    buf_put_text(out, "\"warnings\":[");
    for (size_t i = 0; i < c->warning_count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        json_put_string(out, slice_text(c->warnings[i]));
    }
    buf_put_u8(out, ']');
}

static const char *origin_text(enum config_origin origin)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};

    return names[origin];
}

static void put_settings(struct buf *out, const struct config *c)
{
    bool first = true;

    buf_put_text(out, "\"settings\":[");
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct config_entry *entry = &c->entries[i];

        if (entry->value == NULL)
            continue;
        buf_put_text(out, first ? "{" : ",{");
        first = false;
        put_member(out, "section", entry->section);
        buf_put_u8(out, ',');
        put_member(out, "key", entry->key);
        buf_put_u8(out, ',');
        put_member(out, "value", entry->value);
        buf_put_u8(out, ',');
        put_member(out, "origin", origin_text(entry->origin));
        buf_put_u8(out, ',');
        put_member(out, "where", entry->where);
        buf_put_u8(out, '}');
    }
    buf_put_u8(out, ']');
}

static void print_check(struct buf *out, const struct command *command, const struct config *c)
{
    if (command->json) {
        buf_put_text(out, "{\"valid\":true,");
        put_member(out, "file", c->file);
        buf_put_u8(out, ',');
        put_warnings(out, c);
        buf_put_text(out, "}\n");
    } else if (!command->quiet) {
        buf_printf(out, "the configuration is fine: %s, %zu warning%s\n",
                   c->file == NULL ? "no file" : c->file, c->warning_count,
                   c->warning_count == 1 ? "" : "s");
    }
}

static void print_show(struct buf *out, const struct command *command, const struct config *c)
{
    if (!command->json) {
        if (config_print(c, command->origins, out, NULL) != ST_OK)
            out->failed = true;
        return;
    }
    buf_put_u8(out, '{');
    put_member(out, "file", c->file);
    buf_put_u8(out, ',');
    put_settings(out, c);
    buf_put_u8(out, ',');
    put_warnings(out, c);
    buf_put_text(out, "}\n");
}

static int write_out(const struct buf *out)
{
    bool written = !out->failed;

    if (written && out->bytes > 0)
        written = fwrite(out->data, 1, out->bytes, stdout) == out->bytes && fflush(stdout) == 0;

    if (!written)
        (void)fprintf(stderr, "tiervec config: cannot write the answer\n");
    return written ? EXIT_OK : EXIT_REFUSED;
}

static int refused(const struct command *command, const struct err *err)
{
    struct buf out;

    if (!command->json) {
        (void)fprintf(stderr, "tiervec config: %s\n", err->text);
        return EXIT_REFUSED;
    }
    buf_init(&out, PRINT_BYTES_MAX);
    buf_put_text(&out, "{\"valid\":false,");
    put_member(&out, "error", err->text);
    buf_put_text(&out, "}\n");
    (void)write_out(&out);
    buf_free(&out);
    return EXIT_REFUSED;
}

static int check_or_show(const struct command *command)
{
    struct config c;
    struct buf out;
    struct err err;
    int code;

    if (config_load(command->flag_count, command->flags, environ, &c, &err) != ST_OK)
        return refused(command, &err);
    if (!command->json && !command->quiet)
        for (size_t i = 0; i < c.warning_count; i++)
            (void)fprintf(stderr, "warning: %s\n", c.warnings[i]);
    buf_init(&out, PRINT_BYTES_MAX);
    if (command->check)
        print_check(&out, command, &c);
    else
        print_show(&out, command, &c);
    code = write_out(&out);
    buf_free(&out);
    config_free(&c);
    return code;
}

static int example(void)
{
    struct buf out;
    int code;

    buf_init(&out, PRINT_BYTES_MAX);
    if (config_print_example(&out, NULL) != ST_OK)
        out.failed = true;
    code = write_out(&out);
    buf_free(&out);
    return code;
}

static int run(const struct command *command)
{
    if (command->help) {
        (void)fputs(help_text, stdout);
        return EXIT_OK;
    }
    if (command->example && command->flag_count == 0)
        return example();
    if (!command->check && !command->show) {
        (void)fputs(help_text, stderr);
        return EXIT_USAGE;
    }
    return check_or_show(command);
}

int cli_config(int argc, char **argv)
{
    struct command command;
    int code;

    if (!parse(argc, argv, &command)) {
        (void)fprintf(stderr, "tiervec config: out of memory\n");
        return EXIT_REFUSED;
    }
    code = run(&command);
    mem_free(command.flags);
    return code;
}
