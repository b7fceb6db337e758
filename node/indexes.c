/* Payload indexes of collections: which there are, and what keeps them up.
 *
 * The definitions are settings "index:<path>" in the catalog, so that they are where the collection
 * is: after a restart, in the bucket, in what is restored from it. What the settings say the
 * indexes follow (indexes_follow()); the value of a setting is one line, "<type> <tokenizer>
 * <keep_case> <min> <max>", and behind it the schema as the door sent it.
 *
 * Rows come in on the link threads, a few in each turn, and where too many are pending writers help
 * (write.c). Of a collection without indexes the upkeep thread takes the pending bits back. */
#include "node/indexes.h"
#include "filter/words.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    IDLE_ROWS = 65536, /* of a collection without indexes, in one tick */
};

/* --- rows, as filter/ sees them --- */

static uint32_t rows_end(void *arg)
{
    return slots_end(((struct collection *)arg)->slots);
}

static enum pindex_row rows_state(void *arg, uint32_t slot)
{
    switch (slots_state(((struct collection *)arg)->slots, slot)) {
    case SLOT_LIVE:
        return PINDEX_ROW_LIVE;
    case SLOT_DEAD:
        return PINDEX_ROW_DEAD;
    case SLOT_FREE:
    case SLOT_RESERVED:
    case SLOT_FILLED:
    case SLOT_RETIRED:
        break;
    }
    return PINDEX_ROW_NONE;
}

static struct slice rows_payload(void *arg, uint32_t slot)
{
    struct row row;

    slots_row(((struct collection *)arg)->slots, slot, &row);
    return row.payload;
}

status indexes_create(struct collection *c, struct err *err)
{
    const struct pindex_rows rows = {rows_end, rows_state, rows_payload, c};

    return pindex_create(&rows, &c->budget, &c->pindex, err);
}

/* --- definitions --- */

/* False: what is stored makes no sense. */
static bool read_definition(const struct setting_text *s, struct arena *arena,
                            struct pindex_spec *spec, struct slice *schema)
{
    const uint8_t *end = memchr(s->value.data, '\n', s->value.bytes);
    size_t bytes = end == NULL ? 0 : (size_t)(end - s->value.data);
    char line[INDEX_LINE_BYTES_MAX];
    char type[32];
    int keep_case = 0;

    if (bytes == 0 || bytes >= sizeof line)
        return false;
    memcpy(line, s->value.data, bytes);
    line[bytes] = '\0';
    *spec = (struct pindex_spec){0};
    if (sscanf(line, "%31s %d %d %u %u", type, &spec->words.tokenizer, &keep_case,
               &spec->words.min_bytes, &spec->words.max_bytes) != 5 ||
        !pindex_type_parse(slice_text(type), &spec->type) ||
        words_tokenizer_name(spec->words.tokenizer) == NULL)
        return false;
    spec->words.keep_case = keep_case != 0;
    *schema = slice_make(end + 1, s->value.bytes - bytes - 1);
    return path_parse(s->key, arena, &spec->path, NULL) == ST_OK;
}

status index_definitions(struct collection *c, struct arena *arena, struct index_definition **out,
                         size_t *count, struct err *err)
{
    struct setting_text *settings;
    struct index_definition *found;
    size_t all = 0;
    size_t n = 0;
    status st = node_settings_list(c, INDEX_SETTING_PREFIX, arena, &settings, &all, err);

    if (st != ST_OK)
        return st;
    found = arena_array(arena, all + 1, sizeof *found);
    if (found == NULL)
        return err_set(err, ST_NOMEM, "out of memory for index definitions");
    for (size_t i = 0; i < all; i++) {
        found[n].setting = &settings[i];
        if (read_definition(&settings[i], arena, &found[n].spec, &found[n].schema))
            n++;
        else
            log_error("a payload index is left out: its definition makes no sense",
                      "collection_id=%s path=%.*s", c->id_text, (int)settings[i].key.bytes,
                      (const char *)settings[i].key.data);
    }
    *out = found;
    *count = n;
    return ST_OK;
}

const struct index_definition *index_definition_of(const struct index_definition *items,
                                                   size_t count, const struct path *path)
{
    for (size_t i = 0; i < count; i++)
        if (path_equal(items[i].spec.path, path))
            return &items[i];
    return NULL;
}

/* Takes out what is defined no more. Paths of removed indexes die: one at a time. */
static void remove_undefined(struct collection *c, struct arena *arena,
                             const struct index_definition *items, size_t count)
{
    struct pindex_info infos[PINDEX_COUNT_MAX];
    bool again = true;

    while (again) {
        size_t there = pindex_list(c->pindex, infos, COUNT_OF(infos));

        again = false;
        for (size_t i = 0; i < there && !again; i++) {
            const struct path *path;

            if (path_parse(infos[i].path, arena, &path, NULL) == ST_OK &&
                index_definition_of(items, count, path) == NULL)
                again = pindex_remove(c->pindex, path);
        }
    }
}

/* Each by itself: one that finds no memory keeps none behind it from beginning. Those that are
 * there have their own way of beginning again (pindex_retry()). */
static status begin_defined(struct collection *c, const struct index_definition *items,
                            size_t count, bool missing_only, struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; i < count; i++) {
        struct err one = {0};

        if ((missing_only && pindex_has(c->pindex, &items[i].spec)) ||
            pindex_add(c->pindex, &items[i].spec, &one) == ST_OK)
            continue;
        if (st == ST_OK && err != NULL)
            *err = one;
        st = one.code;
    }
    return st;
}

static void follow(struct collection *c, bool missing_only)
{
    enum collection_state state = atomic_load_explicit(&c->seq.state, memory_order_acquire);
    struct index_definition *items;
    struct arena arena;
    struct err err = {0};
    size_t count = 0;
    bool was_missing;
    status st;

    if (c->pindex == NULL || state == COLLECTION_FAILED || state == COLLECTION_DROPPED)
        return;
    arena_init(&arena, INDEX_DEFINITIONS_BYTES_MAX);
    lock_take(&c->indexes_lock);
    st = index_definitions(c, &arena, &items, &count, &err);
    if (st == ST_OK)
        remove_undefined(c, &arena, items, count);
    if (st == ST_OK)
        st = begin_defined(c, items, count, missing_only, &err);
    was_missing = atomic_exchange(&c->indexes_missing, st != ST_OK);
    lock_drop(&c->indexes_lock);
    arena_free(&arena);
    if (st != ST_OK && !was_missing)
        log_error("payload indexes are not as they are defined: queries look at every row",
                  "collection_id=%s err=%s", c->id_text, err.text);
    if (pindex_building(c->pindex) && state != COLLECTION_LOADING)
        linkers_want(c);
}

void indexes_follow(struct collection *c)
{
    follow(c, false);
}

/* --- work --- */

bool indexes_behind(const struct collection *c)
{
    return pindex_any(c->pindex) && (pindex_pending(c->pindex) > 0 || pindex_building(c->pindex));
}

static bool take_rows(struct collection *c, uint32_t rows)
{
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    struct pindex_progress p = pindex_step(c->pindex, rows);

    epoch_leave(c->node->epoch, guard);
    if (p.left == 0)
        indexes_answer(c->node, false);
    return p.done > 0;
}

bool indexes_turn(struct collection *c, uint32_t rows)
{
    bool done;

    if (atomic_exchange(&c->indexing, true)) /* another thread is at it */
        return false;
    done = take_rows(c, rows);
    atomic_store(&c->indexing, false);
    return done;
}

bool indexes_over_bound(const struct collection *c)
{
    return pindex_any(c->pindex) && pindex_pending(c->pindex) > NODE_INDEX_PENDING_MAX;
}

void indexes_help(struct collection *c, uint32_t rows)
{
    (void)take_rows(c, rows);
}

/* Without indexes the bits are but taken back; those whose thread went away while rows were pending
 * are worked on again. */
void indexes_tick(struct collection *c)
{
    if (atomic_load(&c->indexes_missing))
        follow(c, true);
    if (!pindex_any(c->pindex) && pindex_pending(c->pindex) > 0)
        (void)indexes_turn(c, IDLE_ROWS);
    else if (pindex_retry(c->pindex) || indexes_behind(c))
        linkers_want(c);
}

/* One that is defined and could not be begun. */
static bool find_missing(struct collection *c, char *path, size_t path_bytes)
{
    struct index_definition *items;
    struct arena arena;
    size_t count = 0;
    size_t i = 0;

    if (!atomic_load(&c->indexes_missing))
        return false;
    arena_init(&arena, INDEX_DEFINITIONS_BYTES_MAX);
    if (index_definitions(c, &arena, &items, &count, NULL) == ST_OK)
        while (i < count && pindex_has(c->pindex, &items[i].spec))
            i++;
    if (i < count)
        (void)snprintf(path, path_bytes, "%.*s", (int)items[i].setting->key.bytes,
                       (const char *)items[i].setting->key.data);
    arena_free(&arena);
    return i < count;
}

bool indexes_full(struct collection *c, char *path, size_t path_bytes)
{
    struct pindex_info infos[PINDEX_COUNT_MAX];
    size_t count;
    bool full = find_missing(c, path, path_bytes);

    if (full || !pindex_any(c->pindex))
        return full;
    lock_take(&c->indexes_lock); /* so that no path goes away */
    count = pindex_list(c->pindex, infos, COUNT_OF(infos));
    for (size_t i = 0; i < count && !full; i++) {
        full = infos[i].state == PINDEX_FULL;
        if (full)
            (void)snprintf(path, path_bytes, "%.*s", (int)infos[i].path.bytes,
                           (const char *)infos[i].path.data);
    }
    lock_drop(&c->indexes_lock);
    return full;
}

uint64_t indexes_bytes(struct collection *c)
{
    struct pindex_info infos[PINDEX_COUNT_MAX];
    size_t count = pindex_list(c->pindex, infos, COUNT_OF(infos));
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += infos[i].bytes;
    return bytes;
}
