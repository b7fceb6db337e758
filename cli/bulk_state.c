#include "cli/bulk_state.h"

#include "base/fs.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>

enum { STATE_BYTES_MAX = 16 * 1024 };

status bulk_state_job(struct bulk_state *s, struct slice words, struct err *err)
{
    return crypto_sha256_hex(words, s->job, err);
}

static bool take_text(struct jval root, const char *name, char *out, size_t bytes)
{
    struct jval v;
    struct slice text;

    if (!jval_member(root, name, &v) || jval_type(v) != J_STRING)
        return false;
    text = jval_string(v);
    if (text.bytes >= bytes || (text.bytes > 0 && memchr(text.data, 0, text.bytes) != NULL))
        return false;
    memcpy(out, text.data, text.bytes);
    out[text.bytes] = '\0';
    return true;
}

static bool take_u64(struct jval root, const char *name, uint64_t *out)
{
    struct jval v;

    return jval_member(root, name, &v) && jval_u64(v, out);
}

static status decode(struct bulk_state *s, struct jval root, struct err *err)
{
    struct bulk_state got = *s;
    struct jval done;
    uint64_t version = 0;

    if (!take_u64(root, "version", &version) || version != 1 ||
        !take_text(root, "job", got.job, sizeof got.job) ||
        !take_text(root, "collection_id", got.collection_id, sizeof got.collection_id) ||
        !take_u64(root, "position", &got.position) || !take_u64(root, "row", &got.row) ||
        !take_u64(root, "rows", &got.rows) ||
        !take_text(root, "cursor", got.cursor, sizeof got.cursor) ||
        !jval_member(root, "done", &done))
        return err_set(err, ST_CORRUPT, "it is no state of a bulk run, version 1");
    got.done = jval_type(done) == J_TRUE;
    if (strcmp(got.job, s->job) != 0)
        return err_set(err, ST_CONFLICT,
                       "it is of another job: the input or what was asked for has changed");
    if (strcmp(got.collection_id, s->collection_id) != 0)
        return err_set(err, ST_CONFLICT, "it is of the collection %s, this one is %s",
                       got.collection_id, s->collection_id);
    *s = got;
    return ST_OK;
}

status bulk_state_load(struct bulk_state *s, bool *found, struct err *err)
{
    struct jdoc *doc = NULL;
    struct jval root;
    struct buf text;
    struct fs_stat there;
    status st = fs_stat(fs_real(), s->path, &there, err);

    *found = false;
    if (st == ST_NOT_FOUND)
        return ST_OK;
    buf_init(&text, STATE_BYTES_MAX);
    if (st == ST_OK)
        st = fs_read_file(fs_real(), s->path, STATE_BYTES_MAX, &text, err);
    if (st == ST_OK)
        st = jdoc_create(&doc, err);
    if (st == ST_OK && jdoc_parse(doc, buf_slice(&text), &root, err) != ST_OK)
        st = err_set(err, ST_CORRUPT, "it is no state of a bulk run, version 1");
    if (st == ST_OK)
        st = decode(s, root, err);
    *found = st == ST_OK;
    jdoc_destroy(doc);
    buf_free(&text);
    return st;
}

status bulk_state_save(const struct bulk_state *s, struct err *err)
{
    struct buf text;
    status st;

    if (s->path == NULL)
        return ST_OK;
    buf_init(&text, STATE_BYTES_MAX);
    buf_printf(&text, "{\"version\":1,\"job\":\"%s\",\"collection_id\":\"%s\"", s->job,
               s->collection_id);
    buf_printf(&text,
               ",\"position\":%" PRIu64 ",\"row\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"cursor\":",
               s->position, s->row, s->rows);
    json_put_string(&text, slice_text(s->cursor));
    buf_printf(&text, ",\"done\":%s}\n", s->done ? "true" : "false");
    st = buf_status(&text, err);
    if (st == ST_OK)
        st = fs_write_file(fs_real(), s->path, buf_slice(&text), err);
    buf_free(&text);
    return st;
}
