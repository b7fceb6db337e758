/* cli_verify.c - `tiervec verify`: reads a data directory and a bucket whole and says what is
 * damaged. The parts are in verify_directory.c and verify_bucket.c. */
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/verify.h"

#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>

static const char help_text[] =
    "usage: tiervec verify [--data-dir DIR] [--from BUCKET_URL]\n"
    "\n"
    "Reads everything and checks it: of a data directory the catalog, checkpoints, logs and dead\n"
    "letters; of a bucket the catalog and each collection's root, manifest, segments, images and\n"
    "log groups. Changes nothing. Without either flag: what the configuration names. No node may\n"
    "run on the directory; on the bucket one may.\n"
    "\n" OFFLINE_FLAGS_HELP "\n"
    "exit: 0 whole, 3 there is nothing, 4 a node runs there, 5 the bucket does not answer, 6 "
    "damaged\n"
    "\n"
    "example: tiervec verify --data-dir /var/lib/tiervec --from s3://bucket/prefix\n";

enum { REPORT_BYTES_MAX = 64 << 20 };

/* --- what was found --- */

static const char *grade_name(enum verify_grade g)
{
    return g == VERIFY_OK        ? "ok"
           : g == VERIFY_NOTE    ? "note"
           : g == VERIFY_DAMAGED ? "damaged"
                                 : "failed";
}

void verify_found(struct verify *v, enum verify_grade grade, const char *where, const char *what,
                  const char *format, ...)
{
    char text[VERIFY_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    v->damaged += grade == VERIFY_DAMAGED;
    v->failed += grade == VERIFY_FAILED;
    if (v->json) {
        buf_printf(&v->out, "%s{\"where\":", v->count++ == 0 ? "" : ",");
        json_put_string(&v->out, slice_text(where));
        buf_put_text(&v->out, ",\"what\":");
        json_put_string(&v->out, slice_text(what));
        buf_printf(&v->out, ",\"status\":\"%s\",\"text\":", grade_name(grade));
        json_put_string(&v->out, slice_text(text));
        buf_put_text(&v->out, "}");
        return;
    }
    buf_printf(&v->out, "%-8s ", grade == VERIFY_DAMAGED ? "DAMAGED" : grade_name(grade));
    cli_put(&v->out, slice_text(where));
    buf_put_text(&v->out, "  ");
    cli_put(&v->out, slice_text(what));
    buf_put_text(&v->out, ": ");
    cli_put(&v->out, slice_text(text));
    buf_put_text(&v->out, "\n");
}

void verify_failure(struct verify *v, const char *where, const char *what, status st,
                    const struct err *err)
{
    if (v->code == CLI_OK && st != ST_CORRUPT)
        v->code = cli_exit_of(st);
    verify_found(v, st == ST_CORRUPT ? VERIFY_DAMAGED : VERIFY_FAILED, where, what, "%s",
                 err->text);
}

/* --- the whole --- */

static void check_both(struct verify *v, const struct offline *o, const struct config *c)
{
    bool both = o->data_dir == NULL && o->from == NULL;

    if (both || o->data_dir != NULL)
        verify_directory(v, c);
    if ((both && c->storage.s3_bucket[0] != '\0') || o->from != NULL)
        verify_bucket(v, c);
}

static int report(struct verify *v, const struct offline *o)
{
    int code = CLI_OK;

    if (o->json)
        buf_printf(&v->out, "],\"damaged\":%" PRIu64 ",\"failed\":%" PRIu64 "}\n", v->damaged,
                   v->failed);
    else if (v->damaged + v->failed > 0)
        buf_printf(&v->out, "%" PRIu64 " damaged, %" PRIu64 " could not be checked\n", v->damaged,
                   v->failed);
    else
        buf_put_text(&v->out, "everything is whole\n");
    if (!o->quiet)
        code = cli_write(&v->out);
    if (v->damaged > 0)
        return CLI_INTEGRITY;
    return v->code != CLI_OK ? v->code : code;
}

int cli_verify(int argc, char **argv)
{
    struct offline o = {0};
    const struct cli_flag flags[] = {OFFLINE_FLAGS(&o)};
    static struct cli_words words;
    struct verify v = {0};
    struct config c;
    struct err err;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (o.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    if (words.count > 0)
        return cli_usage(help_text);
    if (offline_load(&o, &c, &err) != ST_OK)
        return cli_error(CLI_USAGE, "verify", err.text, "tiervec verify --help");
    v.json = o.json;
    buf_init(&v.out, REPORT_BYTES_MAX);
    if (o.json)
        buf_put_text(&v.out, "{\"checked\":[");
    check_both(&v, &o, &c);
    code = report(&v, &o);
    buf_free(&v.out);
    config_free(&c);
    log_close();
    return code;
}
