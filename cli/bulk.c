#include "cli/bulk.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLACE_BYTES_MAX = 8192, BUSY_TRIES = 120, SHOW_NS = 200000000 };

void bulk_put_value(struct buf *out, struct jval v)
{
    struct buf blob;

    buf_init(&blob, BULK_LINE_BYTES_MAX * (size_t)4);
    jbin_put(&blob, v);
    out->failed = out->failed || blob.failed;
    if (!blob.failed)
        jbin_print(out, buf_slice(&blob));
    buf_free(&blob);
}

/* --- the place --- */

static bool read_small(const char *path, char *text, size_t room, size_t *bytes)
{
    FILE *f = fopen(path, "rb");

    if (f == NULL)
        return false;
    *bytes = fread(text, 1, room, f);
    (void)fclose(f);
    return true;
}

static int take_place(struct place *p, const char *what, struct jdoc *doc, struct slice text)
{
    struct jval root;
    struct jval at;
    struct buf b;

    if (jdoc_parse(doc, text, &root, NULL) != ST_OK || !jval_member(root, "at", &at))
        return cli_error(CLI_FAILED, what, "the file of its place is damaged",
                         "without --resume, from the beginning");
    if (!slice_equal(remote_text(root, "source"), slice_text(p->source)) ||
        !slice_equal(remote_text(root, "target"), slice_text(p->target)))
        return cli_error(CLI_CONFLICT, what, "the place kept there is of another run",
                         "--state with another file, or without --resume");
    buf_init(&b, sizeof p->at - 1);
    bulk_put_value(&b, at);
    if (!b.failed && b.bytes > 0) {
        memcpy(p->at, b.data, b.bytes);
        p->at[b.bytes] = '\0';
    }
    buf_free(&b);
    p->count = remote_u64(root, "count");
    return CLI_OK;
}

int place_load(struct place *p, const char *what)
{
    char text[PLACE_BYTES_MAX];
    struct jdoc *doc = NULL;
    size_t bytes;
    int code;

    p->at[0] = '\0';
    if (p->path == NULL || !read_small(p->path, text, sizeof text, &bytes))
        return CLI_OK;
    if (jdoc_create(&doc, NULL) != ST_OK)
        return cli_error(CLI_FAILED, what, "out of memory", NULL);
    code = take_place(p, what, doc, slice_make(text, bytes));
    jdoc_destroy(doc);
    return code;
}

static bool write_whole(const char *path, const struct buf *b)
{
    FILE *f = fopen(path, "wb");
    bool fine;

    if (f == NULL)
        return false;
    fine = fwrite(b->data, 1, b->bytes, f) == b->bytes && fflush(f) == 0 && fsync(fileno(f)) == 0;
    return (fclose(f) == 0) && fine;
}

int place_save(const struct place *p, const char *what)
{
    char next[PLACE_BYTES_MAX];
    struct buf b;
    bool fine;

    if (p->path == NULL)
        return CLI_OK;
    buf_init(&b, PLACE_BYTES_MAX);
    buf_put_text(&b, "{\"source\":");
    json_put_string(&b, slice_text(p->source));
    buf_put_text(&b, ",\"target\":");
    json_put_string(&b, slice_text(p->target));
    buf_printf(&b, ",\"at\":%s,\"count\":%" PRIu64 "}\n", p->at, p->count);
    (void)snprintf(next, sizeof next, "%s.next", p->path);
    fine = !b.failed && write_whole(next, &b) && rename(next, p->path) == 0;
    buf_free(&b);
    return fine ? CLI_OK
                : cli_error(CLI_FAILED, what, "its place cannot be written",
                            "--state with a file that can be written");
}

void place_remove(const struct place *p)
{
    if (p->path != NULL)
        (void)unlink(p->path);
}

/* --- sending --- */

int bulk_begin(struct bulk *b)
{
    struct slice id;
    struct jval root;
    struct jval info;
    struct buf path;
    int code;

    b->begun_ns = clock_mono_ns(clock_real());
    buf_init(&b->body, BULK_BYTES + BULK_LINE_BYTES_MAX);
    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", b->collection, "");
    code = remote_ask(b->node, b->what, "GET", (const char *)path.data, NULL, &root);
    buf_free(&path);
    if (code != CLI_OK || !jval_member(root, "collection", &info))
        return code == CLI_OK ? CLI_FAILED : code;
    b->dimension = (uint32_t)remote_u64(info, "dimension");
    id = remote_text(info, "collection_id");
    (void)snprintf(b->place.target, sizeof b->place.target, "%.*s", (int)id.bytes,
                   (const char *)id.data);
    code = place_load(&b->place, b->what);
    b->done = b->place.count;
    return code;
}

void bulk_free(struct bulk *b)
{
    buf_free(&b->body);
}

struct buf *bulk_next(struct bulk *b)
{
    buf_put_text(&b->body, b->count == 0 ? "{\"documents\":[" : ",");
    return &b->body;
}

/* A node that has too much to do says when to come again. */
static int send_batch(struct bulk *b, const char *path)
{
    struct jval root;

    for (int tries = 0;; tries++) {
        int code = remote_ask_or(b->node, b->what, "POST", path, &b->body, 429, &root);

        if (code != CLI_OK || b->node->answer.status != 429)
            return code;
        if (tries == BUSY_TRIES)
            return cli_error(CLI_UNREACHABLE, b->what, "the node has too much to do",
                             "tiervec status");
        (void)sleep(b->node->answer.retry_after_s > 0 ? b->node->answer.retry_after_s : 1);
    }
}

static int flush(struct bulk *b)
{
    struct buf path;
    int code;

    if (b->count == 0)
        return CLI_OK;
    buf_put_text(&b->body, "]}");
    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", b->collection, "/insert");
    code = send_batch(b, (const char *)path.data);
    buf_free(&path);
    if (code != CLI_OK) {
        if (!b->node->quiet)
            (void)fprintf(stderr,
                          "%" PRIu64 " documents are in; what failed is among the %" PRIu64
                          " behind them%s\n",
                          b->done, b->count,
                          b->place.path != NULL ? "; --resume goes on there" : "");
        return code;
    }
    b->done += b->count;
    b->count = 0;
    buf_reset(&b->body);
    b->place.count = b->done;
    return place_save(&b->place, b->what);
}

void bulk_progress(struct bulk *b, uint64_t at_bytes)
{
    uint64_t now_ns = clock_mono_ns(clock_real());

    if (b->node->quiet || b->node->json || !cli_on_terminal() || now_ns - b->shown_ns < SHOW_NS)
        return;
    b->shown_ns = now_ns;
    (void)fprintf(stderr, "\r%" PRIu64 " documents", b->done);
    if (b->total_bytes > 0 && at_bytes > 0)
        (void)fprintf(stderr, ", %.0f %%", 100.0 * (double)at_bytes / (double)b->total_bytes);
    (void)fprintf(stderr, ", %.0f/s ",
                  (double)(b->done - 0) * 1e9 / (double)(now_ns - b->begun_ns + 1));
}

int bulk_put(struct bulk *b, const char *at, uint64_t at_bytes)
{
    int code = CLI_OK;

    b->count++;
    (void)snprintf(b->place.at, sizeof b->place.at, "%s", at);
    if (b->body.failed)
        return cli_error(CLI_FAILED, b->what, "a document is too large, or memory is out", NULL);
    if (b->count >= b->batch || b->body.bytes >= BULK_BYTES)
        code = flush(b);
    bulk_progress(b, at_bytes);
    return code;
}

int bulk_end(struct bulk *b)
{
    double seconds;
    int code = flush(b);

    if (code != CLI_OK)
        return code;
    place_remove(&b->place);
    if (!b->node->quiet && !b->node->json && cli_on_terminal())
        (void)fputs("\r\x1b[K", stderr);
    seconds = (double)(clock_mono_ns(clock_real()) - b->begun_ns) / 1e9;
    if (b->node->quiet)
        return CLI_OK;
    if (b->node->json)
        printf("{\"collection_id\":\"%s\",\"imported\":%" PRIu64 ",\"seconds\":%.3f}\n",
               b->place.target, b->done, seconds);
    else
        printf("imported %" PRIu64 " documents in %.1f s\n", b->done, seconds);
    return CLI_OK;
}
