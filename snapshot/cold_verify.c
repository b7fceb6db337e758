/* Reading all of a cold segment to find out whether it is whole (segment/cold.h says what that
 * means), and whether what a manifest names goes together: an id lives in one segment. */
#include "snapshot/cold_verify.h"
#include "base/mem.h"
#include "snapshot/cold_source.h"
#include "snapshot/fold.h"

#include <stdlib.h>

enum { CHUNK_BYTES = 8 * 1024 * 1024, ID_BLOCKS_AT_ONCE = 1024 };

/* --- one segment --- */

struct window { /* what was read last; reads go mostly forward */
    struct container_source source;
    struct cold_source *from;
    struct buf bytes;
    uint64_t at;
    bool fresh;
};

static status load(struct window *w, uint64_t offset, uint64_t bytes, struct err *err)
{
    uint64_t left = w->source.bytes - offset;

    bytes = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
    buf_free(&w->bytes);
    w->bytes = (struct buf){0};
    w->at = offset;
    return cold_source_get(w->from, offset, bytes < left ? bytes : left, w->fresh ? 1 : 2, NULL,
                           NULL, &w->bytes, err);
}

static status read_window(struct container_source *source, uint64_t offset, void *out, size_t bytes,
                          struct err *err)
{
    struct window *w = (struct window *)(void *)source; /* its first member */
    status st = ST_OK;

    if (offset > w->source.bytes || bytes > w->source.bytes - offset)
        return err_set(err, ST_CORRUPT, "a section lies behind the end");
    if (bytes == 0)
        return ST_OK;
    if (offset < w->at || offset + bytes > w->at + w->bytes.bytes)
        st = load(w, offset, bytes, err);
    if (st == ST_OK)
        memcpy(out, w->bytes.data + (offset - w->at), bytes);
    return st;
}

/* Damage is believed when it is there over another connection too. */
static status check_all(struct cold_source *from, struct err *err)
{
    struct window w = {.source = {.read = read_window, .bytes = from->named->object.bytes},
                       .from = from};
    status st = ST_CORRUPT;

    for (unsigned i = 0; st == ST_CORRUPT && i < ASK_INTEGRITY_TRIES; i++) {
        w.fresh = i > 0;
        buf_free(&w.bytes);
        w.bytes = (struct buf){0};
        st = cold_check(&w.source, from->collection, from->named, err);
    }
    buf_free(&w.bytes);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", from->key);
}

status cold_verify(const struct ask *ask, const uint8_t collection[16],
                   const struct manifest_cold *segment, uint64_t *bytes, struct err *err)
{
    struct cold_source *s = mem_zero(sizeof *s); /* the footer alone is large */
    status st;

    *bytes = 0;
    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for checking a cold segment");
    st = cold_source_open(ask, collection, segment, s, err);
    if (st == ST_OK)
        st = check_all(s, err);
    *bytes = s->bytes;
    cold_source_close(s);
    mem_free(s);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "cold segment");
}

/* --- all of them --- */

struct living { /* hashes of ids that live, of all segments; then ids that share one */
    uint64_t *hashes;
    uint64_t count, room;
    const uint64_t *twice; /* the second time round: sorted */
    uint64_t twice_count;
    struct {
        struct docid id;
        uint8_t bytes[DOCID_BYTES_MAX];
    } * ids;
    uint64_t id_count;
    struct cold_source *source;
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static status see_twice(struct living *l, const struct docid *id, struct err *err)
{
    char text[DOCID_TEXT_BYTES];

    for (uint64_t i = 0; i < l->id_count; i++)
        if (docid_equal(&l->ids[i].id, id)) {
            (void)docid_format(id, text);
            return err_set(err, ST_CORRUPT, "id %s lives in two cold segments, one of them %s",
                           text, l->source->key);
        }
    l->ids[l->id_count].id = *id;
    if (id->kind == DOCID_BYTES) {
        memcpy(l->ids[l->id_count].bytes, id->bytes.data, id->bytes.bytes);
        l->ids[l->id_count].id.bytes.data = l->ids[l->id_count].bytes;
    }
    l->id_count++;
    return ST_OK;
}

static status on_id(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                    struct err *err)
{
    struct living *l = arg;
    uint64_t hash = docid_hash(id);

    (void)lsn;
    if (cold_source_dead(l->source, ordinal))
        return ST_OK;
    if (l->twice == NULL && l->count == l->room)
        return err_set(err, ST_CORRUPT, "%s: more rows live than there are", l->source->key);
    if (l->twice == NULL)
        l->hashes[l->count++] = hash;
    else if (bsearch(&hash, l->twice, l->twice_count, sizeof hash, by_number) != NULL &&
             l->id_count < l->room)
        return see_twice(l, id, err);
    return ST_OK;
}

struct id_reader {
    struct cold_source *source;
    uint32_t ahead;
};

static uint32_t blocks_at(const struct cold_source *s, uint32_t block)
{
    uint32_t left = s->footer.id_blocks - block;

    return left < ID_BLOCKS_AT_ONCE ? left : ID_BLOCKS_AT_ONCE;
}

static bool name_ids(void *arg, struct fetch_item *out)
{
    struct id_reader *r = arg;
    uint64_t offset, bytes;

    if (r->ahead == r->source->footer.id_blocks)
        return false;
    cold_id_range(&r->source->footer, r->ahead, &offset, &bytes);
    cold_source_item(r->source, offset,
                     (uint64_t)blocks_at(r->source, r->ahead) * COLD_ID_BLOCK_BYTES, out);
    r->ahead += blocks_at(r->source, r->ahead);
    return true;
}

static status each_id(struct living *l, struct err *err)
{
    struct cold_source *s = l->source;
    struct id_reader r = {.source = s};
    struct fetch *f = NULL;
    status st = fetch_open(&s->ask, 8, (uint64_t)8 * CHUNK_BYTES, name_ids, &r, &f, err);

    for (uint32_t block = 0; st == ST_OK && block < s->footer.id_blocks;) {
        uint32_t count = blocks_at(s, block);
        struct buf body = {0};
        uint64_t offset, bytes;

        cold_id_range(&s->footer, block, &offset, &bytes);
        st = cold_source_take(s, f, offset, (uint64_t)count * COLD_ID_BLOCK_BYTES, NULL, NULL,
                              &body, err);
        for (uint32_t i = 0; st == ST_OK && i < count; i++)
            st = cold_id_each(
                &s->footer, block + i,
                slice_make(body.data + (size_t)i * COLD_ID_BLOCK_BYTES, COLD_ID_BLOCK_BYTES), on_id,
                l, err);
        buf_free(&body);
        block += count;
    }
    if (f != NULL)
        s->requests += fetch_requests(f);
    fetch_close(f);
    return st;
}

static status each_living(struct living *l, const struct ask *ask, const struct manifest *m,
                          struct cold_verify_report *report, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < m->cold_count; i++) {
        st = cold_source_open(ask, m->collection, &m->colds[i], l->source, err);
        if (st == ST_OK)
            st = each_id(l, err);
        report->bytes += l->source->bytes;
        report->requests += l->source->requests;
        cold_source_close(l->source);
    }
    return st;
}

/* Sorts, and keeps at the front each hash that is there more than once. */
static uint64_t keep_twice(struct living *l)
{
    uint64_t kept = 0;

    if (l->count > 0)
        qsort(l->hashes, l->count, sizeof *l->hashes, by_number);
    for (uint64_t i = 1; i < l->count; i++)
        if (l->hashes[i] == l->hashes[i - 1] && (kept == 0 || l->hashes[kept - 1] != l->hashes[i]))
            l->hashes[kept++] = l->hashes[i];
    return kept;
}

/* Two ids of one hash are no damage: those that share one are compared. */
static status compare_twice(struct living *l, const struct ask *ask, const struct manifest *m,
                            struct cold_verify_report *report, struct err *err)
{
    struct living again = {.source = l->source, .twice = l->hashes, .twice_count = keep_twice(l)};
    status st;

    if (again.twice_count == 0)
        return ST_OK;
    if (again.twice_count > 1000)
        again.twice_count = 1000; /* more than chance has; the first say enough */
    again.room = again.twice_count * 4;
    again.ids = mem_zero_array(again.room, sizeof *again.ids);
    if (again.ids == NULL)
        return err_set(err, ST_NOMEM, "out of memory for comparing ids");
    st = each_living(&again, ask, m, report, err);
    mem_free(again.ids);
    return st;
}

status cold_verify_once(const struct ask *ask, const struct manifest *m,
                        struct cold_verify_report *report, struct err *err)
{
    struct living l = {.room = 0};
    status st = ST_OK;

    if (m->cold_count < 2)
        return ST_OK;
    for (size_t i = 0; i < m->cold_count; i++)
        l.room += m->colds[i].rows - m->colds[i].dead_rows;
    l.hashes = mem_alloc_array(l.room, sizeof *l.hashes);
    l.source = mem_zero(sizeof *l.source);
    if (l.hashes == NULL || l.source == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for comparing ids");
    if (st == ST_OK)
        st = each_living(&l, ask, m, report, err);
    if (st == ST_OK)
        st = compare_twice(&l, ask, m, report, err);
    mem_free(l.hashes);
    mem_free(l.source);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "cold segments");
}
