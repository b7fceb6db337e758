/* What the rows of a new segment put into its payload indexes, sorted: entries gather in RAM, are
 * sorted and written to the scratch folder as runs, and the runs are merged into the segment.
 *
 * An entry is the number of its index and the key as bytes that sort, and the row. Rows come with
 * rising ordinals: what has the same key stays in order where a sort keeps it so. */
#include "base/mem.h"
#include "filter/pindex_stored.h"
#include "segment/cold_index.h"
#include "snapshot/fold_internal.h"

#include <stdlib.h>

enum {
    RUN_BYTES = 32 * 1024 * 1024, /* entries in RAM, and their places */
    READ_BYTES = 64 * 1024,       /* of each run at once */
    STEP_ROWS = 1024,
    HEADER_BYTES = 6, /* u16 bytes of the key, u32 row */
    NUMBER_BYTES = 2, /* of the index, in front of its keys */
    KEY_BYTES_MAX = NUMBER_BYTES + PINDEX_STORED_KEY_BYTES_MAX,
};
static_assert((int)PINDEX_STORED_KEY_BYTES_MAX == (int)COLD_INDEX_KEY_BYTES_MAX,
              "what filter/ tells segment/ keeps");
static_assert((int)PINDEX_STORED_SETS == (int)COLD_INDEX_SETS, "what filter/ tells segment/ keeps");

struct place {      /* of an entry in RAM */
    uint64_t start; /* of its key, as a number that sorts */
    uint32_t at;
};
struct run { /* in the file */
    uint64_t at, end;
};
struct fold_index {
    struct fs *fs;
    const char *dir;
    const struct pindex_spec *specs;
    size_t spec_count;
    uint32_t run_bytes;
    struct buf entries;
    struct place *places;
    size_t count, room;
    struct spool_file file;
    uint64_t file_bytes;
    struct run *runs;
    size_t run_count, run_room;
    uint32_t row; /* being told */
    uint16_t number;
};

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a segment's payload indexes");
}

status fold_index_open(struct fs *fs, const char *dir, const struct pindex_spec *specs,
                       size_t count, uint32_t run_bytes, struct fold_index **out, struct err *err)
{
    struct fold_index *x = mem_zero(sizeof *x);
    status st;

    if (x == NULL)
        return no_memory(err);
    *x = (struct fold_index){.fs = fs,
                             .dir = dir,
                             .specs = specs,
                             .spec_count = count < COLD_INDEXES_MAX ? count : COLD_INDEXES_MAX,
                             .run_bytes = run_bytes != 0 ? run_bytes : RUN_BYTES};
    buf_init(&x->entries, UINT32_MAX);
    st = spool_file_open(&x->file, fs, dir, "indexes", err);
    if (st == ST_OK)
        *out = x;
    else
        fold_index_close(x);
    return st;
}

void fold_index_close(struct fold_index *x)
{
    if (x == NULL)
        return;
    spool_file_close(&x->file);
    buf_free(&x->entries);
    mem_free(x->places);
    mem_free(x->runs);
    mem_free(x);
}

/* --- gathering --- */

static bool grow(void **items, size_t *room, size_t each, size_t first)
{
    size_t wanted = *room == 0 ? first : *room * 2;
    void *longer = mem_resize(*items, wanted * each);

    if (longer == NULL)
        return false;
    *items = longer;
    *room = wanted;
    return true;
}

static bool take_entry(void *arg, struct slice key)
{
    struct fold_index *x = arg;
    struct buf *b = &x->entries;
    struct place p = {.at = (uint32_t)b->bytes};
    uint8_t start[8] = {(uint8_t)(x->number >> 8), (uint8_t)x->number};

    if (x->count == x->room &&
        !grow((void **)&x->places, &x->room, sizeof *x->places, SPOOL_BUFFER_BYTES / 256))
        return false;
    memcpy(start + NUMBER_BYTES, key.data, key.bytes < 6 ? key.bytes : 6);
    for (size_t i = 0; i < sizeof start; i++)
        p.start = p.start << 8 | start[i];
    buf_put_u16(b, (uint16_t)(NUMBER_BYTES + key.bytes));
    buf_put_u32(b, x->row);
    buf_put(b, start, NUMBER_BYTES);
    buf_put_slice(b, key);
    x->places[x->count++] = p;
    return !b->failed;
}

static struct slice key_at(const uint8_t *entry)
{
    return slice_make(entry + HEADER_BYTES, le_u16(entry));
}

static int key_order(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, a.bytes < b.bytes ? a.bytes : b.bytes);

    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int by_key(const void *a, const void *b, void *entries)
{
    const struct place *x = a, *y = b;
    const uint8_t *base = entries;
    int order;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    order = key_order(key_at(base + x->at), key_at(base + y->at));
    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static status spill(struct fold_index *x, struct err *err)
{
    uint64_t first = x->file_bytes;
    status st = ST_OK;

    if (x->count == 0)
        return ST_OK;
    if (x->run_count == x->run_room && !grow((void **)&x->runs, &x->run_room, sizeof *x->runs, 16))
        return no_memory(err);
    qsort_r(x->places, x->count, sizeof *x->places, by_key, x->entries.data);
    for (size_t i = 0; st == ST_OK && i < x->count; i++) {
        const uint8_t *entry = x->entries.data + x->places[i].at;
        size_t bytes = HEADER_BYTES + (size_t)le_u16(entry);

        st = spool_file_put(&x->file, x->file_bytes, entry, bytes, err);
        x->file_bytes += bytes;
    }
    x->runs[x->run_count++] = (struct run){first, x->file_bytes};
    x->count = 0;
    buf_reset(&x->entries);
    return st;
}

status fold_index_row(struct fold_index *x, uint32_t ordinal, struct slice payload, struct err *err)
{
    x->row = ordinal;
    for (x->number = 0; x->number < x->spec_count; x->number++)
        if (!pindex_entries_of(&x->specs[x->number], payload, take_entry, x))
            return no_memory(err);
    return x->entries.bytes + x->count * sizeof *x->places >= x->run_bytes ? spill(x, err) : ST_OK;
}

/* --- merging --- */

struct reader { /* of a run */
    struct run left;
    uint8_t *bytes; /* READ_BYTES */
    size_t at, end; /* of what was read */
    struct slice key;
    uint32_t row;
};
struct merging {
    struct fold_index *x;
    struct reader *readers;
    uint8_t *bytes;
    uint32_t *heap; /* readers, the least on top */
    size_t count;
};

/* The entry at r->at is whole, or there is none: *more is false. */
static status read_entry(struct fold_index *x, struct reader *r, bool *more, struct err *err)
{
    size_t have = r->end - r->at;
    status st = ST_OK;

    if (have < HEADER_BYTES + KEY_BYTES_MAX && r->left.at < r->left.end) {
        uint64_t left = r->left.end - r->left.at;
        size_t bytes = left < READ_BYTES - have ? (size_t)left : READ_BYTES - have;

        memmove(r->bytes, r->bytes + r->at, have);
        st = fs_pread_full(x->fs, x->file.file, r->bytes + have, bytes, r->left.at, err);
        r->left.at += bytes;
        r->at = 0;
        r->end = have += bytes;
    }
    *more = have > 0;
    if (st != ST_OK || have == 0)
        return st;
    if (have < HEADER_BYTES || have - HEADER_BYTES < le_u16(r->bytes + r->at))
        return err_set(err, ST_IO, "a fold's scratch file was changed");
    r->key = key_at(r->bytes + r->at);
    r->row = le_u32(r->bytes + r->at + 2);
    r->at += HEADER_BYTES + r->key.bytes;
    return ST_OK;
}

static bool is_before(const struct merging *m, uint32_t a, uint32_t b)
{
    const struct reader *x = &m->readers[a], *y = &m->readers[b];
    int order = key_order(x->key, y->key);

    return order != 0 ? order < 0 : x->row < y->row;
}

static void sink(struct merging *m, size_t at)
{
    uint32_t moved = m->heap[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < m->count && is_before(m, m->heap[child + 1], m->heap[child]))
            child++;
        if (child >= m->count || !is_before(m, m->heap[child], moved))
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = moved;
}

static status merge_open(struct merging *m, struct err *err)
{
    size_t runs = m->x->run_count;
    status st = ST_OK;

    m->readers = mem_zero_array(runs + 1, sizeof *m->readers);
    m->heap = mem_alloc_array(runs + 1, sizeof *m->heap);
    m->bytes = mem_alloc_array(runs + 1, READ_BYTES);
    if (m->readers == NULL || m->heap == NULL || m->bytes == NULL)
        return no_memory(err);
    for (uint32_t i = 0; st == ST_OK && i < runs; i++) {
        bool more = false;

        m->readers[i] =
            (struct reader){.left = m->x->runs[i], .bytes = m->bytes + (size_t)i * READ_BYTES};
        st = read_entry(m->x, &m->readers[i], &more, err);
        if (more)
            m->heap[m->count++] = i;
    }
    for (size_t i = m->count / 2; st == ST_OK && i-- > 0;)
        sink(m, i);
    return st;
}

static status merge_next(struct merging *m, struct err *err)
{
    bool more;
    status st = read_entry(m->x, &m->readers[m->heap[0]], &more, err);

    if (st != ST_OK)
        return st;
    if (!more)
        m->heap[0] = m->heap[--m->count];
    if (m->count > 0)
        sink(m, 0);
    return ST_OK;
}

static status begin(const struct fold_index *x, size_t i, struct cold_writer *w, struct err *err)
{
    const struct pindex_spec *spec = &x->specs[i];
    const struct cold_index what = {.type = (uint8_t)spec->type,
                                    .tokenizer = (uint8_t)spec->words.tokenizer,
                                    .keep_case = spec->words.keep_case,
                                    .min_bytes = spec->words.min_bytes,
                                    .max_bytes = spec->words.max_bytes,
                                    .path = spec->path->text};

    return cold_writer_index_begin(w, &what, err);
}

/* Every index has its place, those without an entry too. */
static status write_merged(struct merging *m, struct cold_writer *w, fold_pause_fn *pause,
                           void *arg, struct err *err)
{
    const struct fold_index *x = m->x;
    status st = ST_OK;
    uint32_t n = 0;

    for (size_t i = 0; st == ST_OK && i < x->spec_count; i++) {
        st = begin(x, i, w, err);
        while (st == ST_OK && m->count > 0) {
            const struct reader *r = &m->readers[m->heap[0]];

            if ((size_t)(r->key.data[0] << 8 | r->key.data[1]) != i)
                break;
            st = cold_writer_index_row(
                w, slice_make(r->key.data + NUMBER_BYTES, r->key.bytes - NUMBER_BYTES), r->row,
                err);
            if (st == ST_OK)
                st = merge_next(m, err);
            if (st == ST_OK && ++n % STEP_ROWS == 0)
                st = pause(arg, err);
        }
        if (st == ST_OK)
            st = cold_writer_index_end(w, err);
    }
    return st;
}

status fold_index_write(struct fold_index *x, struct cold_writer *w, fold_pause_fn *pause,
                        void *arg, struct err *err)
{
    struct merging m = {.x = x};
    status st = spill(x, err);

    if (st == ST_OK)
        st = spool_file_flush(&x->file, err);
    buf_free(&x->entries); /* their room is the runs' now */
    mem_free(x->places);
    x->places = NULL;
    x->room = 0;
    if (st == ST_OK)
        st = merge_open(&m, err);
    if (st == ST_OK)
        st = write_merged(&m, w, pause, arg, err);
    mem_free(m.readers);
    mem_free(m.heap);
    mem_free(m.bytes);
    return st;
}
