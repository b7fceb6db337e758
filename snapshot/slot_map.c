#include "snapshot/slot_map.h"

#include "base/hash.h"
#include "base/mem.h"

enum { ROOM_MIN = 256 };

static size_t home_of(const struct slot_map *m, uint64_t lsn, uint32_t id_hash)
{
    return (size_t)hash_u64(lsn ^ hash_u64(id_hash)) & (m->room - 1);
}

static void place(struct slot_map *m, const struct slot_map_entry *e)
{
    size_t at = home_of(m, e->lsn, e->id_hash);

    while (m->entries[at].lsn != 0)
        at = (at + 1) & (m->room - 1);
    m->entries[at] = *e;
}

static status grow(struct slot_map *m, struct err *err)
{
    struct slot_map larger = {.room = m->room == 0 ? ROOM_MIN : 2 * m->room};

    larger.entries = mem_zero_array(larger.room, sizeof *larger.entries);
    if (larger.entries == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the slots of an image");
    for (size_t i = 0; i < m->room; i++)
        if (m->entries[i].lsn != 0)
            place(&larger, &m->entries[i]);
    larger.count = m->count;
    mem_free(m->entries);
    *m = larger;
    return ST_OK;
}

static struct slot_map_entry *find(const struct slot_map *m, uint64_t lsn, uint32_t id_hash)
{
    if (m->room == 0)
        return NULL;
    for (size_t at = home_of(m, lsn, id_hash); m->entries[at].lsn != 0;
         at = (at + 1) & (m->room - 1))
        if (m->entries[at].lsn == lsn && m->entries[at].id_hash == id_hash)
            return &m->entries[at];
    return NULL;
}

status slot_map_put(struct slot_map *m, uint64_t lsn, uint32_t id_hash, uint32_t slot,
                    struct err *err)
{
    const struct slot_map_entry e = {.lsn = lsn, .id_hash = id_hash, .slot = slot};
    struct slot_map_entry *same = find(m, lsn, id_hash);

    if (same != NULL) {
        same->slot = SLOT_NONE;
        return ST_OK;
    }
    if ((m->count + 1) * 4 > m->room * 3) {
        status st = grow(m, err);

        if (st != ST_OK)
            return st;
    }
    place(m, &e);
    m->count++;
    return ST_OK;
}

/* What was taken stays as a mark of its key, or a search for another would end at it. */
uint32_t slot_map_take(struct slot_map *m, uint64_t lsn, uint32_t id_hash)
{
    struct slot_map_entry *e = find(m, lsn, id_hash);
    uint32_t slot = e == NULL ? SLOT_NONE : e->slot;

    if (e != NULL)
        e->slot = SLOT_NONE;
    return slot;
}

void slot_map_free(struct slot_map *m)
{
    mem_free(m->entries);
    *m = (struct slot_map){0};
}
