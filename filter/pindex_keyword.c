/* value -> set of slots, for keywords, booleans, uuids and words. */
#include "filter/pindex_internal.h"

#include "base/hash.h"
#include "base/rand.h"

enum { FIRST_ROOM = 16 };

static uint32_t hash_of(struct slice key)
{
    return (uint32_t)hash_bytes(key.data, key.bytes, 0x7069);
}

static bool is_key(const struct value_entry *e, uint32_t hash, struct slice key)
{
    return e->hash == hash && e->key_bytes == key.bytes && memcmp(e->key, key.data, key.bytes) == 0;
}

/* Where the key is, or the free place where it would be. room is not 0. */
static uint32_t place_of(const struct value_map *m, uint32_t hash, struct slice key)
{
    uint32_t at = hash & (m->room - 1);

    while (m->entries[at] != NULL && !is_key(m->entries[at], hash, key))
        at = (at + 1) & (m->room - 1);
    return at;
}

const struct slot_set *value_map_find(const struct value_map *m, struct slice key)
{
    const struct value_entry *e;

    if (m->room == 0)
        return NULL;
    e = m->entries[place_of(m, hash_of(key), key)];
    return e == NULL ? NULL : &e->slots;
}

/* At most three quarters full. */
static bool map_grow(struct value_map *m, struct charge *charge)
{
    uint32_t room = m->room == 0 ? FIRST_ROOM : 2 * m->room;
    struct value_map larger = {.room = room, .count = m->count};

    if (m->count + 1 <= m->room / 4 * 3)
        return true;
    if (!charge_take(charge, room * sizeof(struct value_entry *)))
        return false;
    larger.entries = mem_zero_array(room, sizeof *larger.entries);
    if (larger.entries == NULL) {
        charge_give(charge, room * sizeof(struct value_entry *));
        return false;
    }
    for (uint32_t i = 0; i < m->room; i++) {
        struct value_entry *e = m->entries[i];
        uint32_t at = e == NULL ? 0 : e->hash & (room - 1);

        if (e == NULL)
            continue;
        while (larger.entries[at] != NULL)
            at = (at + 1) & (room - 1);
        larger.entries[at] = e;
    }
    charge_give(charge, m->room * sizeof(struct value_entry *));
    mem_free(m->entries);
    *m = larger;
    return true;
}

static uint64_t entry_bytes(uint32_t key_bytes)
{
    return sizeof(struct value_entry) + key_bytes + 16; /* the heap's own */
}

static struct value_entry *entry_make(uint32_t hash, struct slice key, struct charge *charge)
{
    uint64_t bytes = entry_bytes((uint32_t)key.bytes);
    struct value_entry *e;

    if (!charge_take(charge, bytes))
        return NULL;
    e = mem_alloc(sizeof *e + key.bytes);
    if (e == NULL) {
        charge_give(charge, bytes);
        return NULL;
    }
    e->slots = (struct slot_set){0};
    e->hash = hash;
    e->key_bytes = (uint32_t)key.bytes;
    memcpy(e->key, key.data, key.bytes);
    return e;
}

static void entry_free(struct value_entry *e, struct charge *charge)
{
    slot_set_free(&e->slots, charge);
    charge_give(charge, entry_bytes(e->key_bytes));
    mem_free(e);
}

/* A place that becomes free may cut a run of entries: those behind it move up. */
static void take_out(struct value_map *m, uint32_t at, struct charge *charge)
{
    uint32_t mask = m->room - 1;

    entry_free(m->entries[at], charge);
    m->count--;
    for (uint32_t next = (at + 1) & mask; m->entries[next] != NULL; next = (next + 1) & mask) {
        uint32_t home = m->entries[next]->hash & mask;

        if (((next - home) & mask) < ((next - at) & mask))
            continue; /* it is nearer to its home than the gap is */
        m->entries[at] = m->entries[next];
        at = next;
    }
    m->entries[at] = NULL;
}

bool value_map_add(struct value_map *m, struct slice key, uint32_t slot, bool *added,
                   struct charge *charge)
{
    uint32_t hash = hash_of(key);
    uint32_t at;

    *added = false;
    if (!map_grow(m, charge))
        return false;
    at = place_of(m, hash, key);
    if (m->entries[at] == NULL) {
        m->entries[at] = entry_make(hash, key, charge);
        if (m->entries[at] == NULL)
            return false;
        m->count++;
    }
    return slot_set_add(&m->entries[at]->slots, slot, added, charge); /* the first costs nothing */
}

bool value_map_remove(struct value_map *m, struct slice key, uint32_t slot, struct charge *charge)
{
    uint32_t at;

    if (m->room == 0)
        return false;
    at = place_of(m, hash_of(key), key);
    if (m->entries[at] == NULL || !slot_set_remove(&m->entries[at]->slots, slot, charge))
        return false;
    if (m->entries[at]->slots.count == 0)
        take_out(m, at, charge);
    return true;
}

void value_map_free(struct value_map *m, struct charge *charge)
{
    for (uint32_t i = 0; i < m->room; i++)
        if (m->entries[i] != NULL)
            entry_free(m->entries[i], charge);
    if (m->room != 0)
        charge_give(charge, m->room * sizeof(struct value_entry *));
    mem_free(m->entries);
    *m = (struct value_map){0};
}

/* --- keys --- */

static bool uuid_key(struct slice text, struct value_key *out)
{
    char usual[UUID_TEXT_BYTES];

    if (!uuid_parse((const char *)text.data, text.bytes, out->room))
        return false;
    uuid_format(out->room, usual);
    out->bytes = slice_equal(text, slice_text(usual)) ? slice_make(out->room, 16) : text;
    return true;
}

bool value_key_of(enum pindex_type type, const struct filter_value *v, struct value_key *out)
{
    switch (type) {
    case PINDEX_BOOL:
        out->room[0] = v->boolean;
        out->bytes = slice_make(out->room, 1);
        return v->type == JBIN_T_BOOL;
    case PINDEX_KEYWORD:
        out->bytes = v->text;
        return v->type == JBIN_T_STRING && v->text.bytes <= PINDEX_KEY_BYTES_MAX;
    case PINDEX_UUID:
        return v->type == JBIN_T_STRING && v->text.bytes <= PINDEX_KEY_BYTES_MAX &&
               uuid_key(v->text, out);
    case PINDEX_INTEGER:
    case PINDEX_FLOAT:
    case PINDEX_GEO:
    case PINDEX_DATETIME:
    case PINDEX_TEXT:
        break;
    }
    return false;
}
