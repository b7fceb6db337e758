#include "wal/wal_internal.h"

#include <inttypes.h>
#include <string.h>

enum { WINDOW_BYTES = 256 * 1024 };
#define WINDOW_BYTES_MAX                                                                           \
    ((size_t)WAL_PAYLOAD_BYTES_MAX + WAL_REC_HEADER_BYTES + WAL_REC_ALIGN + WINDOW_BYTES)

/* The bytes of the file from `offset` on, at least `bytes` of them unless the file ends before. */
static status view(struct wal_reader *r, uint64_t offset, size_t bytes, const uint8_t **at,
                   size_t *have, struct err *err)
{
    size_t want = bytes > WINDOW_BYTES ? bytes : WINDOW_BYTES;
    uint64_t left = offset < r->file_bytes ? r->file_bytes - offset : 0;
    size_t done = 0;
    status st;

    if (bytes > left)
        bytes = (size_t)left;
    if (offset < r->window_at || offset - r->window_at > r->window.bytes ||
        r->window.bytes - (size_t)(offset - r->window_at) < bytes) {
        if (want > left)
            want = (size_t)left;
        buf_reset(&r->window);
        if (!buf_reserve(&r->window, want))
            return buf_status(&r->window, err);
        st = fs_pread(r->fs, r->file, r->window.data, want, offset, &done, err);
        if (st != ST_OK)
            return st;
        r->window_at = offset;
        r->window.bytes = done;
    }
    *at = r->window.data == NULL ? NULL : r->window.data + (size_t)(offset - r->window_at);
    *have = r->window.bytes - (size_t)(offset - r->window_at);
    return ST_OK;
}

static status check_head(struct wal_reader *r, uint64_t number, struct err *err)
{
    const uint8_t *at;
    size_t have;
    status st = view(r, 0, WAL_HEAD_BYTES, &at, &have, err);

    if (st != ST_OK)
        return st;
    if (have < WAL_HEAD_BYTES)
        return err_set(err, ST_CORRUPT, "header block cut short");
    st = wal_head_decode(at, &r->head, err);
    if (st == ST_OK && r->head.number != number)
        st = err_set(err, ST_CORRUPT, "header block: is of file %" PRIu64, r->head.number);
    return st;
}

status wal_reader_open(struct wal_reader *r, struct fs *fs, const char *dir, uint64_t number,
                       struct err *err)
{
    char name[WAL_NAME_BYTES];
    char path[FS_PATH_BYTES];
    status st;

    memset(r, 0, sizeof(*r));
    r->fs = fs;
    buf_init(&r->window, WINDOW_BYTES_MAX);
    wal_name_format(name, number, "wal");
    st = fs_join(path, dir, name, err);
    if (st == ST_OK)
        st = fs_open(fs, path, FS_READ, &r->file, err);
    if (st == ST_OK)
        st = fs_size(fs, r->file, &r->file_bytes, err);
    if (st == ST_OK)
        st = check_head(r, number, err);
    if (st != ST_OK)
        return err_wrap(err, st, "log file %s", path);
    r->seed = wal_head_seed(&r->head);
    r->offset = WAL_HEAD_BYTES;
    return ST_OK;
}

bool wal_reader_mend(struct wal_reader *r, uint64_t number)
{
    uint8_t block[WAL_HEAD_BYTES];
    const uint8_t *at;
    size_t have;

    if (r->file == NULL || view(r, 0, WAL_HEAD_BYTES, &at, &have, NULL) != ST_OK ||
        have < WAL_HEAD_BYTES)
        return false;
    memcpy(block, at, sizeof(block));
    if (!wal_head_mend(block) || wal_head_decode(block, &r->head, NULL) != ST_OK ||
        r->head.number != number)
        return false;
    r->seed = wal_head_seed(&r->head);
    r->offset = WAL_HEAD_BYTES;
    return true;
}

void wal_reader_close(struct wal_reader *r)
{
    fs_close(r->fs, r->file);
    r->file = NULL;
    buf_free(&r->window);
}

status wal_reader_next(struct wal_reader *r, uint64_t lsn, enum wal_step *step, struct wal_rec *rec,
                       struct slice *payload, struct err *err)
{
    const uint8_t *at;
    size_t have;
    size_t frame_bytes;
    status st = view(r, r->offset, WAL_REC_HEADER_BYTES, &at, &have, err);

    if (st != ST_OK)
        return st;
    *step = WAL_STEP_BAD;
    if (have < WAL_REC_HEADER_BYTES)
        return ST_OK;
    if (wal_end_mark_is_zero(at)) {
        *step = WAL_STEP_END;
        return ST_OK;
    }
    if (!wal_rec_check_header(at, r->seed, r->offset, rec))
        return ST_OK;
    if (rec->kind == WAL_KIND_MARKER) {
        if (rec->lsn == lsn - 1)
            *step = WAL_STEP_MARKER;
        return ST_OK;
    }
    frame_bytes = wal_rec_frame_bytes(rec->payload_bytes);
    if (rec->lsn != lsn || frame_bytes > r->file_bytes - r->offset)
        return ST_OK;
    st = view(r, r->offset, frame_bytes, &at, &have, err);
    if (st != ST_OK)
        return st;
    if (have < frame_bytes || !wal_rec_check_body(at, r->seed, r->offset, rec))
        return ST_OK;
    *payload = slice_make(at + WAL_REC_HEADER_BYTES, rec->payload_bytes);
    *step = WAL_STEP_DATA;
    r->offset += frame_bytes;
    return ST_OK;
}

/* The headers in one window. A record's header alone is trusted: what it says of others is true
 * even if its own payload was torn. */
static void search_window(const struct wal_reader *r, const uint8_t *at, size_t bytes,
                          uint64_t offset, uint64_t lsn, bool *found, uint64_t *claim)
{
    struct wal_rec rec;

    for (size_t i = 0; i + WAL_REC_HEADER_BYTES <= bytes; i += WAL_REC_ALIGN) {
        if (!wal_rec_check_header(at + i, r->seed, offset + i, &rec) || rec.lsn < lsn)
            continue;
        *found = true;
        if (rec.durable_lsn > *claim)
            *claim = rec.durable_lsn;
    }
}

status wal_reader_search(struct wal_reader *r, uint64_t lsn, bool *found, uint64_t *claim,
                         struct err *err)
{
    uint64_t offset = r->offset;

    *found = false;
    while (offset + WAL_REC_HEADER_BYTES <= r->file_bytes) {
        const uint8_t *at;
        size_t have;
        status st = view(r, offset, WAL_REC_HEADER_BYTES, &at, &have, err);

        if (st != ST_OK)
            return st;
        if (have < WAL_REC_HEADER_BYTES)
            break;
        search_window(r, at, have, offset, lsn, found, claim);
        /* The last header that fits into the window was looked at; go on with the next one. */
        offset += (have - WAL_REC_HEADER_BYTES) / WAL_REC_ALIGN * WAL_REC_ALIGN + WAL_REC_ALIGN;
    }
    return ST_OK;
}

/* The header at `offset`, if there is one: moves behind the record where its body can be there. */
static status found_at(struct wal_reader *r, uint64_t offset, const struct wal_rec *rec,
                       struct slice *payload, struct err *err)
{
    size_t frame_bytes = wal_rec_frame_bytes(rec->payload_bytes);
    const uint8_t *at;
    size_t have;
    status st;

    *payload = (struct slice){0};
    r->offset = offset + WAL_REC_HEADER_BYTES;
    if (rec->kind != WAL_KIND_DATA || frame_bytes > r->file_bytes - offset)
        return ST_OK;
    st = view(r, offset, frame_bytes, &at, &have, err);
    if (st != ST_OK || have < frame_bytes)
        return st;
    r->offset = offset + frame_bytes;
    if (wal_rec_check_body(at, r->seed, offset, rec))
        *payload = slice_make(at + WAL_REC_HEADER_BYTES, rec->payload_bytes);
    return ST_OK;
}

status wal_reader_find(struct wal_reader *r, bool *found, struct wal_rec *rec,
                       struct slice *payload, struct err *err)
{
    *found = false;
    while (r->offset + WAL_REC_HEADER_BYTES <= r->file_bytes) {
        const uint8_t *at;
        size_t have;
        status st = view(r, r->offset, WAL_REC_HEADER_BYTES, &at, &have, err);

        if (st != ST_OK)
            return st;
        if (have < WAL_REC_HEADER_BYTES)
            break;
        for (size_t i = 0; i + WAL_REC_HEADER_BYTES <= have; i += WAL_REC_ALIGN) {
            if (!wal_rec_check_header(at + i, r->seed, r->offset + i, rec))
                continue;
            *found = true;
            return found_at(r, r->offset + i, rec, payload, err);
        }
        r->offset += (have - WAL_REC_HEADER_BYTES) / WAL_REC_ALIGN * WAL_REC_ALIGN + WAL_REC_ALIGN;
    }
    return ST_OK;
}
