/* cli_export_lines.c - the lines of GET .../export into a file, as they come. A stream that is cut
 * off goes on behind the last whole line, by the id it has. */
#include "cli/export.h"
#include "cli/http_pieces.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { WRITE_BYTES = 1024 * 1024 };

/* --- what came --- */

static uint64_t count_lines(const uint8_t *at, size_t bytes)
{
    const uint8_t *end = at + bytes;
    uint64_t count = 0;

    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        count++;
        at++;
    }
    return count;
}

/* The id of the last whole line is where another stream begins behind. */
static int note_last(struct export_command *c, size_t bytes)
{
    struct bulk_run *run = &c->run;
    const uint8_t *before = bytes < 2 ? NULL : memrchr(c->out.data, '\n', bytes - 1);
    const uint8_t *from = before == NULL ? c->out.data : before + 1;
    struct slice line = slice_make(from, (size_t)(c->out.data + bytes - 1 - from));
    struct slice text;
    struct jval root;
    struct jval id;
    struct err err;
    uint64_t n;

    if (jdoc_parse(run->rows.doc, line, &root, &err) != ST_OK || !jval_member(root, "doc_id", &id))
        return cli_error(CLI_FAILED, "export", "a line without a doc_id", "--url of a node");
    if (jval_u64(id, &n)) {
        (void)snprintf(run->state.cursor, sizeof run->state.cursor, "%" PRIu64, n);
        return CLI_OK;
    }
    text = jval_type(id) == J_STRING ? jval_string(id) : slice_text("");
    if (text.bytes == 0 || text.bytes >= sizeof run->state.cursor)
        return cli_error(CLI_FAILED, "export", "a line with an odd doc_id", "--url of a node");
    (void)snprintf(run->state.cursor, sizeof run->state.cursor, "%.*s", (int)text.bytes,
                   (const char *)text.data);
    return CLI_OK;
}

/* All whole lines to the file; what is left of the next one stays. */
static int write_lines(struct export_command *c)
{
    const uint8_t *end = c->out.bytes == 0 ? NULL : memrchr(c->out.data, '\n', c->out.bytes);
    size_t all = c->out.bytes;
    size_t whole = end == NULL ? 0 : (size_t)(end - c->out.data) + 1;
    int code;

    if (whole == 0)
        return CLI_OK;
    code = note_last(c, whole);
    if (code != CLI_OK)
        return code;
    c->run.state.rows += count_lines(c->out.data, whole);
    c->run.batches++;
    bulk_run_progress(&c->run);
    c->out.bytes = whole;
    code = export_write(c);
    memmove(c->out.data, c->out.data + whole, all - whole);
    c->out.bytes = all - whole;
    return code;
}

/* --- the stream --- */

static void put_path(const struct export_command *c, struct buf *path)
{
    char sign = '?';

    buf_put_text(path, "/api/v1/collections/");
    http_put_encoded(path, c->run.collection_id);
    buf_put_text(path, "/export");
    if (c->filter != NULL) {
        buf_printf(path, "%cfilter=", sign);
        http_put_encoded(path, c->filter);
        sign = '&';
    }
    if (c->run.state.cursor[0] != '\0') {
        buf_printf(path, "%cafter=", sign);
        http_put_encoded(path, c->run.state.cursor);
    }
    buf_put_u8(path, 0);
}

enum pull { PULL_ALL, PULL_CUT, PULL_FAILED };

/* From where it stands to the end of the stream, or to where it is cut. */
static enum pull pull(struct export_command *c, struct http_pieces *p, int *code, struct err *err)
{
    for (;;) {
        struct slice piece;
        bool end = false;
        status st = http_pieces_next(p, &piece, &end, err);

        buf_put_slice(&c->out, piece);
        *code = CLI_OK;
        if (st != ST_OK || end || c->out.bytes >= WRITE_BYTES)
            *code =
                c->out.failed ? export_cannot_write(c, "out of memory for a line") : write_lines(c);
        if (*code != CLI_OK)
            return PULL_FAILED;
        if (end && c->out.bytes > 0)
            st = err_set(err, ST_CORRUPT, "the last line has no end");
        if (st == ST_OK && !end)
            continue;
        buf_reset(&c->out);
        if (st == ST_OK)
            return PULL_ALL;
        if (st == ST_UNAVAILABLE)
            return PULL_CUT;
        *code = cli_error(CLI_FAILED, "export", err->text, "--url of a node");
        return PULL_FAILED;
    }
}

/* One stream. *again: there is more, and the node may give it later, after *wait_s. */
static int one_stream(struct export_command *c, bool *again, uint32_t *wait_s, struct err *err)
{
    struct remote *r = &c->run.remote;
    struct http_pieces p = {0};
    struct jval root;
    struct buf path;
    int code = CLI_OK;
    status st;

    buf_init(&path, 64 * 1024);
    put_path(c, &path);
    if (path.failed) {
        buf_free(&path);
        return cli_error(CLI_USAGE, "export", "the filter is too long", "a shorter one");
    }
    st = http_pieces_open(&p, remote_url(r), (const char *)path.data, r->header, err);
    *again = st == ST_UNAVAILABLE || (st == ST_OK && (p.status == 429 || p.status == 503));
    *wait_s = p.retry_after_s;
    if (*again && st == ST_OK)
        (void)err_set(err, ST_UNAVAILABLE, "the node answered %d", p.status);
    if (st == ST_OK && p.status == 200)
        *again = pull(c, &p, &code, err) == PULL_CUT;
    else if (st == ST_OK && !*again) /* once more, for what it says */
        code = remote_ask(r, "export", "GET", (const char *)path.data, NULL, &root);
    else if (!*again)
        code = cli_error(CLI_FAILED, "export", err->text, "--url of a node");
    http_pieces_close(&p);
    buf_free(&path);
    return code;
}

int export_lines(struct export_command *c)
{
    struct bulk_run *run = &c->run;
    uint32_t waited_s = 0;
    uint32_t wait_s = 1;

    for (;;) {
        uint64_t rows = run->state.rows;
        uint32_t asked_s = 0;
        struct err err = {0};
        bool again = false;
        int code = one_stream(c, &again, &asked_s, &err);

        if (code != CLI_OK || !again)
            return code;
        if (run->state.rows > rows) { /* it goes on: patience begins anew */
            waited_s = 0;
            wait_s = 1;
        }
        if (asked_s > wait_s)
            wait_s = asked_s;
        if (waited_s + wait_s > BULK_PATIENCE_S)
            return cli_error(CLI_UNREACHABLE, "export", err.text,
                             "--url or TIERVEC_URL; `tiervec serve` runs a node");
        (void)sleep(wait_s);
        waited_s += wait_s;
        wait_s = wait_s < 8 ? 2 * wait_s : 8;
        run->remote.retries++;
    }
}
