/* import_stream.c - the rest of a file to POST .../import as it lies there. How far it came is
 * asked for on another connection, so that the state follows while the file is sent. */
#include "cli/http_internal.h"
#include "cli/import_file.h"

#include "base/clock.h"
#include "base/npy.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 256 * 1024,
    LOOK_MS = 500, /* between questions how far it is */
    MS = 1000000,
};

struct stream {
    struct import_command *c;
    struct bulk_state from; /* where it began */
    char request_id[64];
    int fd;
    struct buf piece; /* read and not sent yet */
    size_t at;
    uint64_t read_at; /* of the file */
    uint64_t file_bytes;
    uint64_t looked_ns, moved_ns;
};

bool import_may_stream(const struct import_command *c)
{
    const struct bulk_run *run = &c->in.run;
    struct stat about;

    return !run->dry_run && c->in.named == NULL && c->batch_rows == NULL &&
           c->batch_bytes == NULL && c->file != stdin &&
           (c->reader.format == BULK_NDJSON || run->rows.field_count == 1) &&
           fstat(fileno(c->file), &about) == 0 && S_ISREG(about.st_mode);
}

/* --- how far it is --- */

/* Where line (or row) number `lines` of the stream ends in the file. */
static status position_of(struct stream *s, uint64_t lines, uint64_t *out, struct err *err)
{
    struct bulk_state *state = &s->c->in.run.state;
    uint64_t at = state->position;
    uint64_t left = lines - (state->row - s->from.row);
    uint8_t text[64 * 1024];

    if (s->c->reader.format != BULK_NDJSON) {
        *out = at + left * ((s->c->reader.format == BULK_FVECS ? 4u : 0u) +
                            4u * (uint64_t)s->c->reader.dim);
        return ST_OK;
    }
    while (left > 0) {
        ssize_t n = pread(fileno(s->c->file), text, sizeof text, (off_t)at);
        const uint8_t *line = text;

        if (n < 0)
            return err_set_errno(err, errno, "read the file");
        if (n == 0)
            break; /* the last line wants its end */
        while (left > 0 && (line = memchr(line, '\n', (size_t)(text + n - line))) != NULL) {
            line++;
            left--;
        }
        at += left > 0 ? (uint64_t)n : (uint64_t)(line - text);
    }
    *out = at;
    return ST_OK;
}

/* So many lines of the stream, and documents in them, are acknowledged. */
static int note(struct stream *s, uint64_t lines, uint64_t documents)
{
    struct bulk_run *run = &s->c->in.run;
    struct bulk_state *state = &run->state;
    struct err err;

    if (lines <= state->row - s->from.row)
        return CLI_OK;
    if (position_of(s, lines, &state->position, &err) != ST_OK)
        return cli_error(CLI_FAILED, run->what, err.text, NULL);
    state->row = s->from.row + lines;
    state->rows = s->from.rows + documents;
    s->moved_ns = clock_mono_ns(clock_real());
    run->batches++;
    bulk_run_progress(run);
    return bulk_run_save(run);
}

/* What the node says of the import that is ours; where it cannot be asked that is no failure. */
static int look(struct stream *s)
{
    struct bulk_run *run = &s->c->in.run;
    struct http_answer answer = {0};
    struct jval root;
    struct jval list;
    struct buf path;
    int code = CLI_OK;

    s->looked_ns = clock_mono_ns(clock_real());
    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", run->collection_id, "/import");
    if (path.failed ||
        http_ask(remote_url(&run->remote), "GET", (const char *)path.data, (struct slice){0},
                 &answer, NULL) != ST_OK ||
        answer.status != 200 ||
        jdoc_parse(run->rows.doc, buf_slice(&answer.body), &root, NULL) != ST_OK ||
        !jval_member(root, "imports", &list))
        goto out;
    for (struct jiter it = jval_iter(list); jiter_next(&it);) {
        if (!slice_equal(remote_text(it.value, "request_id"), slice_text(s->request_id)))
            continue;
        code =
            note(s, remote_u64(it.value, "acknowledged_lines"), remote_u64(it.value, "imported"));
        break;
    }
out:
    buf_free(&path);
    http_answer_free(&answer);
    return code;
}

/* --- sending --- */

/* The next piece of the file; empty behind its end, which is where it was at the start. */
static status read_piece(struct stream *s, struct err *err)
{
    uint64_t left = s->file_bytes - s->read_at;
    size_t want = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    ssize_t n;

    buf_reset(&s->piece);
    s->at = 0;
    if (want == 0)
        return ST_OK;
    if (!buf_reserve(&s->piece, want))
        return buf_status(&s->piece, err);
    n = pread(fileno(s->c->file), s->piece.data, want, (off_t)s->read_at);
    if (n <= 0)
        return n == 0 ? err_set(err, ST_IO, "the file became shorter")
                      : err_set_errno(err, errno, "read the file");
    s->piece.bytes = (size_t)n;
    s->read_at += (uint64_t)n;
    return ST_OK;
}

static status send_some(struct stream *s, struct err *err)
{
    ssize_t n = send(s->fd, s->piece.data + s->at, s->piece.bytes - s->at, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return err_set(err, ST_UNAVAILABLE, "the connection was lost (%s)", strerror(errno));
    if (n > 0) {
        s->at += (size_t)n;
        s->moved_ns = clock_mono_ns(clock_real());
    }
    return s->at == s->piece.bytes ? read_piece(s, err) : ST_OK;
}

/* Until there is an answer, or none will come. *code: of a state that cannot be kept. */
static status send_all_of_it(struct stream *s, int *code, struct err *err)
{
    status st = s->piece.bytes == 0 ? read_piece(s, err) : ST_OK;

    while (st == ST_OK && *code == CLI_OK) {
        bool more = s->at < s->piece.bytes;
        struct pollfd p = {.fd = s->fd, .events = (short)(POLLIN | (more ? POLLOUT : 0))};
        uint64_t now_ns;

        if (poll(&p, 1, LOOK_MS) < 0 && errno != EINTR)
            return err_set_errno(err, errno, "wait for the node");
        if ((p.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
            return ST_OK;
        if ((p.revents & POLLOUT) != 0)
            st = send_some(s, err);
        now_ns = clock_mono_ns(clock_real());
        if (now_ns - s->looked_ns >= (uint64_t)LOOK_MS * MS)
            *code = look(s);
        if (now_ns > s->moved_ns && now_ns - s->moved_ns > (uint64_t)HTTP_WAIT_MS * MS)
            st = err_set(err, ST_UNAVAILABLE, "nothing moved for %d s", HTTP_WAIT_MS / 1000);
    }
    return st;
}

static status open_stream(struct stream *s, struct err *err)
{
    struct bulk_run *run = &s->c->in.run;
    const struct bulk_reader *r = &s->c->reader;
    char header[128];
    struct buf path;
    status st;

    if (r->format == BULK_NPY)
        npy_put_header(&s->piece, r->rows - s->from.row, r->dim);
    (void)snprintf(s->request_id, sizeof s->request_id, "tiervec-import-%d-%" PRIu64, (int)getpid(),
                   s->looked_ns);
    (void)snprintf(header, sizeof header, "X-Request-Id: %s", s->request_id);
    buf_init(&path, 8192);
    buf_put_text(&path, "/api/v1/collections/");
    http_put_encoded(&path, run->collection_id);
    buf_printf(&path, "/import?format=%s&lines_before=%" PRIu64, bulk_format_name(r->format),
               s->from.row);
    if (r->format != BULK_NDJSON)
        buf_printf(&path, "&first_id=%" PRIu64, s->c->in.first_id);
    buf_put_u8(&path, 0);
    st = buf_status(&path, err);
    if (st == ST_OK)
        st = http_send_head(remote_url(&run->remote), "POST", (const char *)path.data, header,
                            s->piece.bytes + s->file_bytes - s->read_at, &s->fd, err);
    buf_free(&path);
    return st;
}

/* What the answer says of how far it came, whatever else it says. */
static int take_answer(struct stream *s, bool *all, struct err *err)
{
    struct bulk_run *run = &s->c->in.run;
    struct http_answer answer = {0};
    struct jval root;
    int code = CLI_OK;

    if (http_read_answer(s->fd, &answer, err) == ST_OK &&
        jdoc_parse(run->rows.doc, buf_slice(&answer.body), &root, NULL) == ST_OK) {
        *all = answer.status / 100 == 2;
        code = note(s, remote_u64(root, *all ? "lines" : "acknowledged_lines"),
                    remote_u64(root, "imported"));
        /* What is wrong with the file or the collection is wrong the next time too. */
        if (answer.status / 100 == 4 && answer.status != 429 && answer.status != 408)
            s->c->streams = false;
    } else {
        code = look(s);
    }
    http_answer_free(&answer);
    return code;
}

int import_stream(struct import_command *c, bool *all)
{
    struct stream s = {.c = c, .from = c->in.run.state};
    struct stat about;
    struct err err;
    int code = CLI_OK;
    status st = ST_OK;

    *all = false;
    if (fstat(fileno(c->file), &about) != 0 || (uint64_t)about.st_size <= s.from.position)
        return CLI_OK;
    s.file_bytes = (uint64_t)about.st_size;
    s.read_at = s.from.position;
    s.looked_ns = s.moved_ns = clock_mono_ns(clock_real());
    buf_init(&s.piece, 2 * PIECE_BYTES);
    st = open_stream(&s, &err);
    if (st == ST_OK) {
        st = send_all_of_it(&s, &code, &err);
        if (code == CLI_OK)
            code = st == ST_OK ? take_answer(&s, all, &err) : look(&s);
        (void)close(s.fd);
    }
    buf_free(&s.piece);
    if (code == CLI_OK && !*all &&
        bulk_reader_seek(&c->reader, c->in.run.state.position, c->in.run.state.row, &err) != ST_OK)
        code = cli_error(CLI_FAILED, c->in.run.what, err.text, NULL);
    return code;
}
