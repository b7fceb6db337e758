/* Blocks by name and by age, what they take, and the ghosts of those that were evicted. */
#include "tiering/cache_internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

enum {
    TABLE_MIN = 64,
    GHOST_MIN = 64,
    GHOST_MAX = 65536,
    GHOST_BLOCK_BYTES = 16384, /* a ghost for so many bytes of the bound */
};

uint64_t cache_hash(const uint8_t object[16], uint64_t offset, uint64_t bytes)
{
    uint64_t a, b;

    memcpy(&a, object, sizeof a);
    memcpy(&b, object + sizeof a, sizeof b);
    return hash_u64(hash_u64(a ^ hash_u64(offset)) ^ hash_u64(b + bytes));
}

static uint64_t cost_of(const struct cache_block *b)
{
    return b->bytes + sizeof *b;
}

void cache_count(struct cache *c, uint64_t bytes, bool loose)
{
    c->bytes += bytes;
    c->loose += loose ? bytes : 0;
}

void cache_uncount(struct cache *c, uint64_t bytes, bool loose)
{
    c->bytes -= bytes;
    c->loose -= loose ? bytes : 0;
}

/* --- tables --- */

static uint32_t ghosts_for(uint64_t bytes_max)
{
    uint32_t max = GHOST_MIN;

    while (max < GHOST_MAX && max < bytes_max / GHOST_BLOCK_BYTES)
        max *= 2;
    return max;
}

uint64_t cache_tables_bytes(const struct cache *c)
{
    return c->table_size * sizeof *c->table +
           c->ghost_max * (sizeof *c->ghosts + sizeof *c->ghost_table);
}

status cache_tables_make(struct cache *c, struct err *err)
{
    c->ghost_max = ghosts_for(c->bytes_max);
    c->table_size = TABLE_MIN;
    c->table = mem_zero_array(c->table_size, sizeof *c->table);
    c->ghosts = mem_zero_array(c->ghost_max, sizeof *c->ghosts);
    c->ghost_table = mem_zero_array(c->ghost_max, sizeof *c->ghost_table);
    if (c->table == NULL || c->ghosts == NULL || c->ghost_table == NULL) {
        cache_tables_free(c);
        return err_set(err, ST_NOMEM, "out of memory for the cache's tables");
    }
    cache_count(c, cache_tables_bytes(c), false);
    c->newest.newer = c->newest.older = &c->newest;
    return ST_OK;
}

void cache_tables_free(struct cache *c)
{
    mem_free(c->table);
    mem_free(c->ghosts);
    mem_free(c->ghost_table);
}

/* Without memory the chains grow longer. */
static void grow_table(struct cache *c)
{
    size_t size = c->table_size * 2;
    struct cache_block **table;

    if (c->block_count <= c->table_size)
        return;
    table = mem_zero_array(size, sizeof *table);
    if (table == NULL)
        return;
    for (size_t i = 0; i < c->table_size; i++) {
        struct cache_block *b = c->table[i];

        while (b != NULL) {
            struct cache_block *next = b->chain;

            b->chain = table[b->hash & (size - 1)];
            table[b->hash & (size - 1)] = b;
            b = next;
        }
    }
    mem_free(c->table);
    cache_count(c, (size - c->table_size) * sizeof *table, false);
    c->table = table;
    c->table_size = size;
    cache_evict(c);
}

/* --- ghosts: a ring of names, oldest overwritten, no more of them than twice the bound has --- */

static uint32_t *ghost_slot(struct cache *c, uint64_t hash)
{
    uint32_t *at = &c->ghost_table[hash & (c->ghost_max - 1)];

    while (*at != 0 && c->ghosts[*at - 1].hash != hash)
        at = &c->ghosts[*at - 1].chain;
    return at;
}

static void ghost_remove(struct cache *c, uint64_t hash)
{
    uint32_t *at = ghost_slot(c, hash);
    struct cache_ghost *g;

    if (*at == 0)
        return;
    g = &c->ghosts[*at - 1];
    *at = g->chain;
    c->ghost_bytes -= g->bytes;
    *g = (struct cache_ghost){0};
}

static void ghost_add(struct cache *c, const struct cache_block *b)
{
    struct cache_ghost *g = &c->ghosts[c->ghost_next];

    ghost_remove(c, b->hash);
    if (g->bytes > 0)
        ghost_remove(c, g->hash);
    *g = (struct cache_ghost){.hash = b->hash, .bytes = cost_of(b)};
    g->chain = c->ghost_table[b->hash & (c->ghost_max - 1)];
    c->ghost_table[b->hash & (c->ghost_max - 1)] = c->ghost_next + 1;
    c->ghost_bytes += g->bytes;
    c->ghost_next = (c->ghost_next + 1) & (c->ghost_max - 1);
    if (c->ghost_next == c->ghost_oldest) /* is overwritten next */
        c->ghost_oldest = (c->ghost_oldest + 1) & (c->ghost_max - 1);
    while (c->ghost_bytes > c->bytes_max) {
        struct cache_ghost *old = &c->ghosts[c->ghost_oldest];

        if (old->bytes > 0)
            ghost_remove(c, old->hash);
        c->ghost_oldest = (c->ghost_oldest + 1) & (c->ghost_max - 1);
    }
}

bool cache_ghost_take(struct cache *c, uint64_t hash)
{
    if (*ghost_slot(c, hash) == 0)
        return false;
    ghost_remove(c, hash);
    return true;
}

/* --- by age --- */

static void idle_add(struct cache *c, struct cache_block *b)
{
    b->older = c->newest.older;
    b->newer = &c->newest;
    b->older->newer = b;
    c->newest.older = b;
    b->idle = true;
    c->idle += cost_of(b);
}

static void idle_remove(struct cache *c, struct cache_block *b)
{
    b->newer->older = b->older;
    b->older->newer = b->newer;
    b->idle = false;
    c->idle -= cost_of(b);
}

static void account_for(struct cache_block *b, int64_t bytes)
{
    if (b->account != NULL)
        b->account->resident_bytes += (uint64_t)bytes;
}

static void block_free(struct cache *c, struct cache_block *b)
{
    if (b->idle)
        idle_remove(c, b);
    cache_block_unlist(c, b);
    if (b->ready) {
        account_for(b, -(int64_t)cost_of(b));
        c->codes -= b->class == CACHE_CODES ? cost_of(b) : 0;
    }
    cache_uncount(c, cost_of(b), b->loose);
    mem_free(b->data);
    mem_free(b);
}

static void evict_to(struct cache *c, uint64_t bytes_max)
{
    while (c->bytes - c->loose > bytes_max && c->idle > 0) {
        struct cache_block *oldest = c->newest.newer;

        ghost_add(c, oldest);
        c->evictions++;
        block_free(c, oldest);
    }
}

void cache_evict(struct cache *c)
{
    evict_to(c, c->bytes_max);
}

bool cache_make_room(struct cache *c, uint64_t bytes)
{
    if (bytes > c->bytes_max || c->bytes - c->loose - c->idle > c->bytes_max - bytes)
        return false;
    evict_to(c, c->bytes_max - bytes);
    return true;
}

/* --- blocks --- */

struct cache_block *cache_find(struct cache *c, const struct cache_want *w, uint64_t hash)
{
    struct cache_block *b = c->table[hash & (c->table_size - 1)];

    while (b != NULL && (b->hash != hash || b->offset != w->offset || b->bytes != w->bytes ||
                         memcmp(b->object, w->object, sizeof b->object) != 0))
        b = b->chain;
    return b;
}

struct cache_block *cache_block_make(struct cache *c, const struct cache_want *w, uint64_t hash,
                                     bool loose, struct cache_account *account)
{
    struct cache_block *b = mem_zero(sizeof *b);

    if (b == NULL)
        return NULL;
    b->hash = hash;
    b->offset = w->offset;
    b->bytes = w->bytes;
    memcpy(b->object, w->object, sizeof b->object);
    b->class = w->class;
    b->account = account;
    b->loose = loose || !cache_make_room(c, cost_of(b));
    cache_count(c, cost_of(b), b->loose);
    b->listed = true;
    b->chain = c->table[hash & (c->table_size - 1)];
    c->table[hash & (c->table_size - 1)] = b;
    c->block_count++;
    grow_table(c);
    return b;
}

void cache_block_unlist(struct cache *c, struct cache_block *b)
{
    struct cache_block **at = &c->table[b->hash & (c->table_size - 1)];

    if (!b->listed)
        return;
    while (*at != b)
        at = &(*at)->chain;
    *at = b->chain;
    b->listed = false;
    c->block_count--;
}

void cache_block_hold(struct cache *c, struct cache_block *b)
{
    if (b->idle)
        idle_remove(c, b);
    b->refs++;
}

void cache_block_drop(struct cache *c, struct cache_block *b)
{
    assert(b->refs > 0);
    if (--b->refs > 0)
        return;
    if (!b->ready || b->loose || !b->listed) {
        block_free(c, b);
        return;
    }
    idle_add(c, b);
    cache_evict(c); /* the bound may have been lowered */
}

void cache_block_adopt(struct cache *c, struct cache_block *b)
{
    if (!b->loose || !b->listed || !cache_make_room(c, cost_of(b)))
        return;
    b->loose = false;
    c->loose -= cost_of(b);
}

void cache_block_loosen(struct cache *c, struct cache_block *b)
{
    if (!b->loose)
        c->loose += cost_of(b);
    b->loose = true;
    if (b->ready)
        account_for(b, -(int64_t)cost_of(b));
    b->account = NULL;
    cache_block_unlist(c, b);
}

void cache_block_ready(struct cache *c, struct cache_block *b, uint8_t *data)
{
    b->data = data;
    b->flight = NULL;
    b->ready = true;
    account_for(b, (int64_t)cost_of(b));
    c->codes += b->class == CACHE_CODES ? cost_of(b) : 0;
}

void cache_block_pin(struct cache *c, struct cache_block *b)
{
    cache_block_hold(c, b);
    if (b->pins++ > 0)
        return;
    c->pinned += cost_of(b);
    if (!b->loose)
        return;
    b->loose = false; /* counts within the bound, and others make room for it as they can */
    c->loose -= cost_of(b);
    cache_evict(c);
}

void cache_block_unpin(struct cache *c, struct cache_block *b)
{
    assert(b->pins > 0);
    if (--b->pins == 0)
        c->pinned -= cost_of(b);
    cache_block_drop(c, b);
}
