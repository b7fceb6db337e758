#include "cli/bulk_run.h"

#include "base/clock.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOW_EVERY_MS = 200, MS = 1000000 };

status bulk_run_open(struct bulk_run *run, struct err *err)
{
    run->started_ns = clock_mono_ns(clock_real());
    run->remote.keeps = true;
    run->state.path = run->resume;
    buf_init(&run->body, BULK_BODY_BYTES_MAX);
    run->labels = mem_alloc_array(BULK_BATCH_ROWS_MAX, sizeof *run->labels);
    if (run->labels == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    return bulk_rows_open(&run->rows, err);
}

void bulk_run_close(struct bulk_run *run)
{
    buf_free(&run->body);
    mem_free(run->labels);
    bulk_rows_close(&run->rows);
    remote_close(&run->remote);
}

/* What a document may have, as the node describes it. */
static status take_fields(struct bulk_rows *rows, struct jval info, struct err *err)
{
    struct jval vectors;
    status st = ST_OK;

    if (!jval_member(info, "vectors", &vectors))
        return bulk_field_add(rows, slice_text(""), (uint32_t)remote_u64(info, "dimension"),
                              remote_text(info, "metric"), NULL, err);
    for (struct jiter it = jval_iter(vectors); st == ST_OK && jiter_next(&it);)
        st = bulk_field_add(rows, it.key, (uint32_t)remote_u64(it.value, "dimension"),
                            remote_text(it.value, "metric"), NULL, err);
    return st;
}

int bulk_run_look(struct bulk_run *run, bool or_absent)
{
    char what[256];
    struct jval root;
    struct jval info;
    struct slice text;
    struct err err;
    struct buf path;
    int code;

    (void)snprintf(what, sizeof what, "%s %.200s", run->what, run->collection);
    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", run->collection, "");
    code = path.failed ? cli_error(CLI_USAGE, what, "the name is too long", NULL)
                       : remote_ask_or(&run->remote, what, "GET", (const char *)path.data, NULL,
                                       or_absent ? 404 : 0, &root);
    buf_free(&path);
    /* From here on a node that goes away for a while is waited for. */
    run->remote.patience_s = BULK_PATIENCE_S;
    run->rows.open = or_absent;
    if (code != CLI_OK || !jval_member(root, "collection", &info))
        return code;
    text = remote_text(info, "collection_id");
    (void)snprintf(run->collection_id, sizeof run->collection_id, "%.*s", (int)text.bytes,
                   (const char *)text.data);
    run->rows.open = false;
    run->rows.string_ids = remote_bool(info, "string_ids");
    return take_fields(&run->rows, info, &err) == ST_OK
               ? CLI_OK
               : cli_error(CLI_FAILED, what, err.text, "--url of a node");
}

int bulk_run_resume(struct bulk_run *run, const struct buf *words)
{
    struct err err;
    status st = buf_status(words, &err);

    if (st == ST_OK)
        st = bulk_state_job(&run->state, buf_slice(words), &err);
    memcpy(run->state.collection_id, run->collection_id, sizeof run->state.collection_id);
    if (st == ST_OK && run->resume != NULL && !run->dry_run)
        st = bulk_state_load(&run->state, &run->resumed, &err);
    run->resumed_rows = run->state.rows;
    if (st == ST_OK)
        return CLI_OK;
    return cli_error(cli_exit_of(st), run->resume != NULL ? run->resume : run->what, err.text,
                     "another file for --resume, or without it");
}

int bulk_run_save(struct bulk_run *run)
{
    struct err err;
    status st = bulk_state_save(&run->state, &err);

    if (st == ST_OK)
        return CLI_OK;
    return cli_error(CLI_FAILED, "write the state of --resume", err.text, "room, or another file");
}

/* --- what is shown --- */

static double seconds_of(const struct bulk_run *run)
{
    return (double)(clock_mono_ns(clock_real()) - run->started_ns) / 1e9;
}

static bool shows(const struct bulk_run *run)
{
    return !run->remote.quiet && !run->remote.json && cli_on_terminal();
}

void bulk_run_progress(struct bulk_run *run)
{
    uint64_t now_ns = clock_mono_ns(clock_real());
    double seconds = seconds_of(run);

    if (!shows(run) || now_ns - run->shown_ns < (uint64_t)SHOW_EVERY_MS * MS)
        return;
    run->shown_ns = now_ns;
    (void)fprintf(stderr, "\r\033[K%s: %" PRIu64 " documents, %.0f/s", run->what, run->state.rows,
                  seconds > 0 ? (double)(run->state.rows - run->resumed_rows) / seconds : 0);
}

static void clear_progress(struct bulk_run *run)
{
    if (shows(run) && run->shown_ns != 0)
        (void)fputs("\r\033[K", stderr);
    run->shown_ns = 0;
}

static int say_json(struct bulk_run *run)
{
    struct buf out;
    int code;

    buf_init(&out, 64 * 1024);
    buf_put_text(&out, "{\"collection\":");
    json_put_string(&out, slice_text(run->collection));
    buf_printf(&out,
               ",\"documents\":%" PRIu64 ",\"resumed_at\":%" PRIu64 ",\"batches\":%" PRIu64
               ",\"retries\":%" PRIu64 ",\"dry_run\":%s,\"seconds\":%.3f}\n",
               run->state.rows, run->resumed_rows, run->batches, run->remote.retries,
               run->dry_run ? "true" : "false", seconds_of(run));
    code = cli_write(&out);
    buf_free(&out);
    return code;
}

int bulk_run_end(struct bulk_run *run, bool to_stderr)
{
    FILE *out = to_stderr ? stderr : stdout;

    clear_progress(run);
    if (run->remote.quiet)
        return CLI_OK;
    if (run->remote.json)
        return say_json(run);
    (void)fprintf(out, "%s%s: %" PRIu64 " documents", run->dry_run ? "would " : "", run->what,
                  run->state.rows);
    if (run->resumed)
        (void)fprintf(out, ", %" PRIu64 " of them before", run->resumed_rows);
    (void)fprintf(out, ", %.1f s\n", seconds_of(run));
    return CLI_OK;
}

int bulk_run_bad_row(struct bulk_run *run, const char *label, const struct err *err)
{
    char what[256];

    clear_progress(run);
    (void)snprintf(what, sizeof what, "%s %.100s, %.100s", run->what, run->collection, label);
    return cli_error(cli_exit_of(err->code) == CLI_INTEGRITY ? CLI_INTEGRITY : CLI_FAILED, what,
                     err->text,
                     run->resume != NULL ? "mend it; what came before is counted in --resume's file"
                                         : "mend it and run again: what came before is replaced");
}

/* --- batches --- */

void bulk_batch_next(struct bulk_run *run, const char *label)
{
    buf_put_text(&run->body, run->batch_rows == 0 ? "{\"documents\":[" : ",");
    (void)snprintf(run->labels[run->batch_rows++], BULK_LABEL_BYTES, "%s", label);
}

bool bulk_batch_full(const struct bulk_run *run)
{
    return run->batch_rows == run->batch_rows_max || run->body.bytes >= run->batch_bytes_max;
}

/* "documents[7]: ..." names a row of the batch; its label, or NULL. */
static const char *label_in(const struct bulk_run *run, struct jval root)
{
    static const char list[] = "documents[";
    struct slice detail = remote_text(root, "detail");
    char text[sizeof list + 16];
    unsigned long at;

    (void)snprintf(text, sizeof text, "%.*s", (int)detail.bytes, (const char *)detail.data);
    if (strncmp(text, list, sizeof list - 1) != 0)
        return NULL;
    at = strtoul(text + sizeof list - 1, NULL, 10);
    return at < run->batch_rows ? run->labels[at] : NULL;
}

static int refused(struct bulk_run *run, struct jval root)
{
    const char *label = label_in(run, root);
    char what[256];

    clear_progress(run);
    if (label != NULL)
        (void)snprintf(what, sizeof what, "%s %.100s, %s", run->what, run->collection, label);
    else
        (void)snprintf(what, sizeof what, "%s %.100s, %s to %s", run->what, run->collection,
                       run->labels[0], run->labels[run->batch_rows - 1]);
    return remote_refused(&run->remote, what, root);
}

static int post(struct bulk_run *run)
{
    struct jval root = {0};
    struct buf path;
    int code;

    buf_init(&path, 8192);
    /* By its id: a name may have moved to another meanwhile. */
    remote_path(&path, "/api/v1/collections/", run->collection_id, "/insert");
    code = remote_ask_or(&run->remote, run->what, "POST", (const char *)path.data, &run->body,
                         REMOTE_ANY, &root);
    buf_free(&path);
    if (code == CLI_OK && run->remote.answer.status / 100 != 2)
        code = refused(run, root);
    return code;
}

int bulk_batch_send(struct bulk_run *run)
{
    int code = CLI_OK;

    if (run->batch_rows == 0)
        return CLI_OK;
    buf_put_text(&run->body, "]}");
    if (!run->dry_run)
        code = post(run);
    if (code != CLI_OK)
        return code;
    run->batches++;
    run->batch_rows = 0;
    buf_reset(&run->body);
    bulk_run_progress(run);
    return run->dry_run ? CLI_OK : bulk_run_save(run);
}
