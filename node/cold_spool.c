/* The head of a collection that comes from the bucket: the records behind the floor, which are its
 * rows and tombstones in RAM, go into the new local log as well, under the lsns they have. So the
 * log has every record above the floor, as if it had never been lost, and needs no checkpoint.
 *
 * While the bucket is read they lie in a scratch file, because nothing local is touched before all
 * of it was read. Lsns that an operator discarded are filled with a record that says nothing. */
#include "node/cold_internal.h"
#include "node/refill.h"
#include "segment/record.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    SPOOL_BUFFER_BYTES = 1024 * 1024,
    SPOOL_HEAD_BYTES = 16, /* lsn, bytes */
    SPOOL_NAME_BYTES = 64,
};

struct cold_spool {
    struct fs *fs;
    struct fs_file *file;
    char path[FS_PATH_BYTES];
    uint64_t floor; /* the first record is behind it */
    uint64_t bytes; /* in the file */
    uint64_t records;
    struct buf buffer;
};

/* --- writing --- */

static status flush(struct cold_spool *s, struct err *err)
{
    status st = buf_status(&s->buffer, err);

    if (st == ST_OK && s->buffer.bytes > 0)
        st = fs_pwrite(s->fs, s->file, s->buffer.data, s->buffer.bytes, s->bytes, err);
    if (st == ST_OK)
        s->bytes += s->buffer.bytes;
    buf_reset(&s->buffer);
    return st;
}

status cold_spool_begin(struct collection *c, uint64_t floor, struct err *err)
{
    struct node *node = c->node;
    struct cold_spool *s = mem_zero(sizeof *s);
    char dir[FS_PATH_BYTES];
    char name[SPOOL_NAME_BYTES];
    status st;

    cold_spool_drop(c);
    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    s->fs = node->options.fs;
    s->floor = floor;
    buf_init(&s->buffer, WAL_PAYLOAD_BYTES_MAX + 2 * SPOOL_BUFFER_BYTES);
    (void)snprintf(name, sizeof name, "%s.records", c->id_text);
    st = fs_join(dir, node->data_dir, COLD_SCRATCH, err);
    if (st == ST_OK)
        st = fs_mkdir_all(s->fs, dir, err);
    if (st == ST_OK)
        st = fs_join(s->path, dir, name, err);
    if (st == ST_OK)
        st = fs_open(s->fs, s->path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNCATE, &s->file, err);
    c->cold->spool = s;
    if (st != ST_OK)
        cold_spool_drop(c);
    return st;
}

status cold_spool_put(struct collection *c, uint64_t lsn, struct slice payload, struct err *err)
{
    struct cold_spool *s = c->cold->spool;

    if (s == NULL || lsn <= s->floor)
        return ST_OK;
    buf_put_u64(&s->buffer, lsn);
    buf_put_u64(&s->buffer, payload.bytes);
    buf_put_slice(&s->buffer, payload);
    s->records++;
    return s->buffer.bytes >= SPOOL_BUFFER_BYTES ? flush(s, err) : ST_OK;
}

void cold_spool_drop(struct collection *c)
{
    struct cold_spool *s = c->cold->spool;

    if (s == NULL)
        return;
    fs_close(s->fs, s->file);
    if (s->file != NULL && fs_unlink(s->fs, s->path, NULL) != ST_OK)
        log_warn("a scratch file stays until the next start", "path=%s", s->path);
    buf_free(&s->buffer);
    mem_free(s);
    c->cold->spool = NULL;
}

bool cold_spool_floor(const struct collection *c, uint64_t *floor)
{
    *floor = c->cold->spool == NULL ? 0 : c->cold->spool->floor;
    return c->cold->spool != NULL;
}

/* --- into the log --- */

/* What a gap group stands for. */
static status fill_up_to(struct refill *r, uint64_t lsn, struct err *err)
{
    struct record_writer w;
    struct buf nothing;
    status st;

    if (r->next_lsn == lsn)
        return ST_OK;
    buf_init(&nothing, SPOOL_BUFFER_BYTES);
    record_begin(&w, &nothing, RECORD_SETTINGS, 0);
    record_put_setting(&w, slice_text("gap"), slice_text(""));
    st = record_end(&w, err);
    while (st == ST_OK && r->next_lsn < lsn)
        st = refill_put(r, buf_slice(&nothing), err);
    buf_free(&nothing);
    return st;
}

static status refill_all(struct refill *r, struct cold_spool *s, struct err *err)
{
    uint64_t at = 0;
    status st = flush(s, err);

    while (st == ST_OK && at < s->bytes) {
        uint8_t head[SPOOL_HEAD_BYTES];
        struct rd rd;
        uint64_t lsn, bytes;

        st = fs_pread_full(s->fs, s->file, head, sizeof head, at, err);
        if (st != ST_OK)
            break;
        rd = rd_make(slice_make(head, sizeof head));
        lsn = rd_u64(&rd);
        bytes = rd_u64(&rd);
        if (lsn < r->next_lsn || bytes > WAL_PAYLOAD_BYTES_MAX)
            return err_set(err, ST_CORRUPT, "a scratch file is not what was written");
        buf_reset(&s->buffer);
        if (!buf_reserve(&s->buffer, bytes))
            return buf_status(&s->buffer, err);
        st = fs_pread_full(s->fs, s->file, s->buffer.data, bytes, at + sizeof head, err);
        if (st == ST_OK)
            st = fill_up_to(r, lsn, err);
        if (st == ST_OK)
            st = refill_put(r, slice_make(s->buffer.data, bytes), err);
        at += sizeof head + bytes;
    }
    return st;
}

status cold_spool_append(struct collection *c, uint64_t last_lsn, struct err *err)
{
    struct cold_spool *s = c->cold->spool;
    struct refill r;
    status st;

    refill_begin(&r, c, s->floor + 1);
    st = refill_all(&r, s, err);
    buf_reset(&s->buffer); /* it may be asked for once more */
    if (st == ST_OK)
        st = fill_up_to(&r, last_lsn + 1, err);
    st = refill_end(&r, st, err);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "the records behind the floor");
}
