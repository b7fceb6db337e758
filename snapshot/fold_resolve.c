/* What a fold writes of an id replaces what older segments have of it. Those that stay are asked:
 * the id filter first, then the blocks of the id index where an id may be, read in runs. A row that
 * is there and older is dead from now on; one that is not older means that the head held on to what
 * had been folded before, and is not written again. */
#include "base/bits.h"
#include "base/mem.h"
#include "snapshot/cold_source.h"
#include "snapshot/fold_internal.h"

enum {
    RUN_BYTES = 1024 * 1024,
    GAP_BYTES = 64 * 1024, /* read over rather than asked for apart */
    WINDOW = 16,
    IN_FLIGHT_BYTES = 16 * 1024 * 1024,
};

struct resolver {
    struct fold *f;
    struct cold_source source;
    uint64_t *blocks; /* where an id may be; a bit a block */
    uint32_t ahead;
    bool changed;
    uint64_t entries; /* handed over of the block under way */
};
struct run { /* blocks [first, end) */
    uint32_t first, end;
};

static uint32_t bit_count(const struct resolver *r)
{
    return (r->source.footer.id_blocks + 63) / 64 * 64;
}

static status mark_blocks(struct resolver *r, struct err *err)
{
    const struct spool *s = &r->f->spool;
    status st = ST_OK;

    r->blocks = mem_zero_array(bit_count(r) / 64, sizeof *r->blocks);
    if (r->blocks == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a fold's resolver");
    for (uint32_t i = 0; st == ST_OK && i < s->head_count; i++) {
        const struct docid *id = &s->items[i].id;

        if (cold_id_may(&r->source.footer, id))
            bits_set(r->blocks, cold_id_block(&r->source.footer, id));
        if (i % 4096 == 0)
            st = publish_step(&r->f->p, err);
    }
    return st;
}

static bool next_run(const struct resolver *r, uint32_t from, struct run *out)
{
    uint32_t at = bits_next(r->blocks, bit_count(r), from);

    if (at == BITS_NONE)
        return false;
    *out = (struct run){at, at + 1};
    for (;;) {
        at = bits_next(r->blocks, bit_count(r), out->end);
        if (at == BITS_NONE || (at - out->end) * COLD_ID_BLOCK_BYTES > GAP_BYTES ||
            (at + 1 - out->first) * COLD_ID_BLOCK_BYTES > RUN_BYTES)
            return true;
        out->end = at + 1;
    }
}

static void range_of(const struct resolver *r, const struct run *run, uint64_t *offset,
                     uint64_t *bytes)
{
    cold_id_range(&r->source.footer, run->first, offset, bytes);
    *bytes = (uint64_t)(run->end - run->first) * COLD_ID_BLOCK_BYTES;
}

static bool name_run(void *arg, struct fetch_item *out)
{
    struct resolver *r = arg;
    struct run run;
    uint64_t offset, bytes;

    if (!next_run(r, r->ahead, &run))
        return false;
    range_of(r, &run, &offset, &bytes);
    cold_source_item(&r->source, offset, bytes, out);
    r->ahead = run.end;
    return true;
}

static status on_entry(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                       struct err *err)
{
    struct resolver *r = arg;
    struct spool *s = &r->f->spool;
    struct spool_item *item = spool_find(s, id);

    r->entries++;
    if (item == NULL || cold_source_dead(&r->source, ordinal))
        return ST_OK;
    if (lsn >= item->lsn) {
        spool_drop(s, item);
        return ST_OK;
    }
    if (r->source.dead.bits == NULL) {
        status st = cold_dead_init(&r->source.dead, r->source.footer.rows, err);

        if (st != ST_OK)
            return st;
    }
    r->changed = true;
    r->f->report.rows_dead += cold_dead_add(&r->source.dead, ordinal);
    return ST_OK;
}

/* A block that is wrong is asked for once more, by itself. */
static status read_block(struct resolver *r, uint32_t block, struct slice bytes, struct err *err)
{
    const struct cold_footer *f = &r->source.footer;
    struct buf again = {0};
    uint64_t offset, length;
    status st;

    r->entries = 0;
    st = cold_id_each(f, block, bytes, on_entry, r, err);
    if (st != ST_CORRUPT || r->entries > 0)
        return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", r->source.key);
    cold_id_range(f, block, &offset, &length);
    st = cold_source_get(&r->source, offset, length, 1, NULL, NULL, &again, err);
    if (st != ST_OK)
        return st;
    st = cold_id_each(f, block, buf_slice(&again), on_entry, r, err);
    buf_free(&again);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", r->source.key);
}

static status read_run(struct resolver *r, struct fetch *f, const struct run *run, struct err *err)
{
    struct buf body = {0};
    uint64_t offset, bytes;
    status st;

    range_of(r, run, &offset, &bytes);
    st = cold_source_take(&r->source, f, offset, bytes, NULL, NULL, &body, err);
    for (uint32_t block = run->first; st == ST_OK && block < run->end; block++)
        if (bits_get(r->blocks, block))
            st = read_block(
                r, block,
                slice_make(body.data + (size_t)(block - run->first) * COLD_ID_BLOCK_BYTES,
                           COLD_ID_BLOCK_BYTES),
                err);
    buf_free(&body);
    return st == ST_OK ? publish_step(&r->f->p, err) : st;
}

static status read_runs(struct resolver *r, struct err *err)
{
    struct fetch *f = NULL;
    struct run run = {0, 0};
    status st = fetch_open(&r->f->p.ask, WINDOW, IN_FLIGHT_BYTES, name_run, r, &f, err);

    while (st == ST_OK && next_run(r, run.end, &run))
        st = read_run(r, f, &run, err);
    if (f != NULL)
        r->source.requests += fetch_requests(f);
    fetch_close(f);
    return st;
}

/* A new object of dead rows; the one before stays for who reads the manifest before. */
static status put_dead(struct resolver *r, struct manifest_cold *segment, struct err *err)
{
    struct buf bytes;
    status st;

    buf_init(&bytes, OBJSTORE_OBJECT_BYTES_MAX);
    st = cold_dead_encode(&r->source.dead, r->f->p.now.collection, segment->object.uuid, &bytes,
                          err);
    if (st == ST_OK)
        st = publish_data(&r->f->p, buf_slice(&bytes), &segment->dead, err);
    if (st == ST_OK)
        segment->dead_rows = r->source.dead.dead;
    buf_free(&bytes);
    return st;
}

status fold_resolve(struct fold *f, size_t at, struct err *err)
{
    struct manifest_cold named = f->p.now.colds[at];
    struct resolver *r = mem_zero(sizeof *r); /* the footer alone is large */
    status st;

    if (r == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a fold's resolver");
    r->f = f;
    st = cold_source_open(&f->p.ask, f->p.now.collection, &named, &r->source, err);
    if (st == ST_OK)
        st = mark_blocks(r, err);
    if (st == ST_OK)
        st = read_runs(r, err);
    if (st == ST_OK && r->changed && r->source.dead.dead < named.rows)
        st = put_dead(r, &f->p.now.colds[at], err);
    else if (st == ST_OK && r->changed)
        f->p.now.colds[at].dead_rows = named.rows; /* leaves the manifest */
    f->requests += r->source.requests;
    mem_free(r->blocks);
    cold_source_close(&r->source);
    mem_free(r);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "resolve ids");
}
