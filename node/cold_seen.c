#include "node/cold_reads.h"
#include "node/select.h"

#include <stdatomic.h>
#include <stdlib.h>

status cold_seen_begin(struct cold_reads *r, struct arena *arena, struct cold_seen *out,
                       struct err *err)
{
    uint64_t rows = cold_set_rows(r->set);

    *out =
        (struct cold_seen){.room = (size_t)(rows < COLD_SEEN_MAX ? rows : COLD_SEEN_MAX),
                           .floor = cold_set_floor(r->set),
                           .lsn = atomic_load_explicit(&r->c->applied_lsn, memory_order_acquire)};
    out->hashes = arena_array(arena, out->room + 1, sizeof *out->hashes);
    return out->hashes != NULL ? ST_OK : err_set(err, ST_NOMEM, "out of memory to count");
}

void cold_seen_add(struct cold_seen *seen, const struct docid *id)
{
    if (seen->count < seen->room)
        seen->hashes[seen->count++] = docid_hash(id);
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static bool is_seen(const struct cold_seen *seen, const struct row *row)
{
    uint64_t hash;

    if (row->lsn <= seen->floor)
        return true;
    hash = docid_hash(&row->id);
    return row->lsn > seen->lsn && seen->count > 0 &&
           bsearch(&hash, seen->hashes, seen->count, sizeof hash, by_hash) != NULL;
}

void cold_seen_leave_out(struct cold_seen *seen, const struct collection *c, struct selected *rows)
{
    if (seen->count > 0)
        qsort(seen->hashes, seen->count, sizeof *seen->hashes, by_hash);
    for (uint32_t slot = 0; (slot = selected_next(rows, slot)) != SLOT_NONE; slot++) {
        struct row row;

        slots_row(c->slots, slot, &row);
        if (!is_seen(seen, &row))
            continue;
        bits_clear(rows->bits, slot);
        rows->count--;
    }
}
