/* Opening a set: what it shares with the one before, and one wave for the rest. Holding and letting
 * go. */
#include "base/crc32c.h"
#include "base/mem.h"
#include "tiering/cold_internal.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

/* --- segments and graves --- */

static struct cold_segment *segment_hold(struct cold_segment *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

static void segment_drop(struct cold_segment *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    while (s->newest != NULL) {
        struct cold_selection *older = s->newest->older;

        cold_selection_drop(s->newest);
        s->newest = older;
    }
    cold_footer_free(&s->footer);
    if (s->block != NULL)
        cache_unpin(s->cache, s->block);
    cache_uncharge(s->cache, s->charged);
    lock_fini(&s->lock);
    mem_free(s);
}

static void graves_drop(struct cold_graves *g)
{
    if (g == NULL || atomic_fetch_sub(&g->refs, 1) != 1)
        return;
    cache_uncharge(g->cache, g->charged);
    cold_dead_free(&g->dead);
    mem_free(g);
}

static bool same_object(const struct object_ref *a, const struct object_ref *b)
{
    return memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0 && a->bytes == b->bytes &&
           a->crc == b->crc;
}

int cold_segment_field(const struct cold_segment *s, uint16_t field)
{
    for (int i = 0; i < s->footer.field_count; i++)
        if (s->footer.fields[i].field == field)
            return i;
    return -1;
}

/* --- opening --- */

/* What is read of one segment. */
struct opening {
    struct cold_member *member;
    const struct manifest_cold *named;
    char dead_key[OBJKEY_BYTES];
    struct cache_want *footer, *dead; /* NULL: shared */
};

static status check_crc(uint32_t crc, const uint8_t *body, size_t bytes, const char *what,
                        struct err *err)
{
    return crc32c(0, body, bytes) == crc
               ? ST_OK
               : err_set(err, ST_CORRUPT, "%s of a cold segment: crc mismatch", what);
}

static status check_footer(void *arg, uint8_t *body, size_t bytes, struct err *err)
{
    return check_crc(((const struct manifest_cold *)arg)->footer_crc, body, bytes, "footer", err);
}

static status check_dead(void *arg, uint8_t *body, size_t bytes, struct err *err)
{
    return check_crc(((const struct manifest_cold *)arg)->dead.crc, body, bytes, "dead rows", err);
}

static bool share(struct cold_member *m, const struct manifest_cold *named,
                  const struct cold_set *before)
{
    for (uint32_t i = 0; before != NULL && i < before->count; i++) {
        const struct cold_member *b = &before->members[i];

        if (!same_object(&b->segment->named.object, &named->object))
            continue;
        m->segment = segment_hold(b->segment);
        if (same_object(&b->graves->object, &named->dead)) {
            m->graves = b->graves;
            atomic_fetch_add(&m->graves->refs, 1);
        }
        return true;
    }
    return false;
}

static status make_member(struct cold_set *s, struct opening *o, const struct cold_set *before,
                          struct err *err)
{
    struct cold_member *m = o->member;

    if (!share(m, o->named, before)) {
        m->segment = mem_zero(sizeof *m->segment);
        if (m->segment == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a cold segment");
        m->segment->refs = 1;
        m->segment->cache = s->cache;
        m->segment->named = *o->named;
        objkey_data(s->collection, o->named->object.uuid, m->segment->key);
        lock_init(&m->segment->lock, LOCK_RANK_LEAF, "cold segment");
    }
    if (m->graves == NULL) {
        m->graves = mem_zero(sizeof *m->graves);
        if (m->graves == NULL)
            return err_set(err, ST_NOMEM, "out of memory for a cold segment");
        m->graves->refs = 1;
        m->graves->cache = s->cache;
        m->graves->object = o->named->dead;
    }
    return ST_OK;
}

static size_t want_member(struct opening *o, const uint8_t collection[16], struct cache_want *wants)
{
    const struct cold_segment *segment = o->member->segment;
    const struct manifest_cold *named = o->named;
    struct cache_want *w = wants;

    if (segment->block == NULL) {
        o->footer = w;
        *w++ = (struct cache_want){.object = segment->named.object.uuid,
                                   .key = segment->key,
                                   .offset = named->footer_offset,
                                   .bytes = named->footer_bytes,
                                   .class = CACHE_PINNED,
                                   .check = check_footer,
                                   .check_arg = (void *)(uintptr_t)named};
    }
    if (named->dead.bytes > 0 && o->member->graves->dead.bits == NULL) {
        objkey_data(collection, named->dead.uuid, o->dead_key);
        o->dead = w;
        *w++ = (struct cache_want){.object = named->dead.uuid,
                                   .key = o->dead_key,
                                   .bytes = named->dead.bytes,
                                   .class = CACHE_SCAN,
                                   .check = check_dead,
                                   .check_arg = (void *)(uintptr_t)named};
    }
    return (size_t)(w - wants);
}

static void map_fields(const struct cold_set *set, struct cold_segment *s)
{
    for (int i = 0; i < COLD_FIELDS_MAX; i++)
        s->place_of[i] = s->position_of[i] = -1;
    for (int16_t i = 0; i < set->field_count; i++) {
        int position = cold_segment_field(s, set->fields[i]);

        s->position_of[i] = (int16_t)position;
        if (position >= 0)
            s->place_of[position] = i;
    }
}

static status take_footer(const struct cold_set *set, struct opening *o, struct err *err)
{
    struct cold_segment *s = o->member->segment;
    status st;

    st = cold_footer_decode(o->footer->body, set->collection, o->named, &s->footer, err);
    for (uint16_t i = 0; st == ST_OK && i < s->footer.field_count; i++) {
        cold_field_cells(&s->footer.fields[i], &s->cells[i]);
        st = cells_check(&s->cells[i], err);
    }
    if (st != ST_OK)
        return err_wrap(err, st, "cold segment %s", s->key);
    map_fields(set, s);
    cache_pin(set->cache, o->footer);
    s->block = o->footer->block;
    s->charged = sizeof *s + s->footer.own_bytes;
    cache_charge(s->cache, s->charged);
    return ST_OK;
}

static status take_dead(const struct cold_set *set, struct opening *o, struct err *err)
{
    struct cold_graves *g = o->member->graves;
    status st = cold_dead_decode(o->dead->body, set->collection, o->named, &g->dead, err);

    if (st != ST_OK)
        return err_wrap(err, st, "dead rows of cold segment %s", o->member->segment->key);
    g->charged = sizeof *g + (g->dead.rows + 63) / 64 * sizeof(uint64_t);
    cache_charge(g->cache, g->charged);
    return ST_OK;
}

static status take_all(struct cold_set *s, struct opening *openings, struct err *err)
{
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < s->count; i++) {
        if (openings[i].footer != NULL)
            st = take_footer(s, &openings[i], err);
        if (st == ST_OK && openings[i].dead != NULL)
            st = take_dead(s, &openings[i], err);
        s->rows += s->members[i].segment->named.rows - s->members[i].graves->dead.dead;
    }
    return st;
}

static status read_all(struct cold_set *s, const struct cold_set_options *options,
                       struct opening *openings, struct cache_want *wants, struct err *err)
{
    struct cold_terms terms = {.deadline_ns = options->deadline_ns, .stop = options->stop};
    size_t count = 0;
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < s->count; i++) {
        struct opening *o = &openings[i];

        o->member = &s->members[i];
        o->named = &options->manifest->colds[i];
        st = make_member(s, o, options->before, err);
        if (st == ST_OK)
            count += want_member(o, s->collection, wants + count);
    }
    if (st == ST_OK)
        st = cold_read(s, &terms, wants, count, NULL, err);
    if (st == ST_OK)
        st = take_all(s, openings, err);
    cache_give_back(s->cache, wants, count);
    return st;
}

static status make_set(const struct cold_set_options *options, struct cold_set **out,
                       struct err *err)
{
    const struct manifest *m = options->manifest;
    struct cold_set *s = mem_zero(sizeof *s + m->cold_count * sizeof s->members[0]);

    if (s == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a cold set");
    s->refs = 1;
    s->cache = options->cache;
    s->account = options->account;
    memcpy(s->collection, options->collection, sizeof s->collection);
    s->floor_lsn = m->floor.lsn;
    s->count = (uint32_t)m->cold_count;
    s->field_count = (uint16_t)m->schema.field_count;
    for (size_t i = 0; i < m->schema.field_count; i++)
        s->fields[i] = m->schema.fields[i].id;
    lock_init(&s->lock, LOCK_RANK_LEAF, "cold set");
    *out = s;
    return ST_OK;
}

status cold_set_open(const struct cold_set_options *options, struct cold_set **out, struct err *err)
{
    size_t count = options->manifest->cold_count;
    struct opening *openings = mem_zero_array(count + 1, sizeof *openings);
    struct cache_want *wants = mem_zero_array(2 * count + 1, sizeof *wants);
    struct cold_set *s = NULL;
    status st;

    if (options->manifest->schema.field_count > COLD_FIELDS_MAX)
        st = err_set(err, ST_CORRUPT, "more vector fields than a cold segment has");
    else if (openings == NULL || wants == NULL)
        st = err_set(err, ST_NOMEM, "out of memory for a cold set");
    else
        st = make_set(options, &s, err);
    if (st == ST_OK)
        st = read_all(s, options, openings, wants, err);
    mem_free(openings);
    mem_free(wants);
    if (st != ST_OK) {
        cold_set_drop(s);
        return err_wrap(err, st, "open cold segments");
    }
    *out = s;
    return ST_OK;
}

/* --- holding --- */

struct cold_set *cold_set_hold(struct cold_set *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void cold_set_drop(struct cold_set *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i < s->count; i++) {
        segment_drop(s->members[i].segment);
        graves_drop(s->members[i].graves);
    }
    if (s->on_free != NULL)
        s->on_free(s->on_free_arg);
    lock_fini(&s->lock);
    mem_free(s);
}

void cold_set_when_free(struct cold_set *s, void (*on_free)(void *arg), void *arg)
{
    lock_take(&s->lock);
    assert(s->on_free == NULL);
    s->on_free = on_free;
    s->on_free_arg = arg;
    lock_drop(&s->lock);
}

bool cold_set_missing(const struct cold_set *s)
{
    return atomic_load_explicit(&s->missing, memory_order_relaxed);
}

uint64_t cold_set_floor(const struct cold_set *s)
{
    return s->floor_lsn;
}

bool cold_set_external_ids(const struct cold_set *s)
{
    bool some = false;

    for (uint32_t i = 0; i < s->count; i++)
        some = some || !s->members[i].segment->footer.no_external_ids;
    return some;
}

uint64_t cold_set_rows(const struct cold_set *s)
{
    return s->rows;
}

uint32_t cold_set_segments(const struct cold_set *s)
{
    return s->count;
}

uint64_t cold_set_resident_bytes(const struct cold_set *s)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < s->count; i++)
        bytes += s->members[i].segment->named.footer_bytes + s->members[i].segment->charged +
                 s->members[i].graves->charged;
    return bytes;
}
