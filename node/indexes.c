/* Payload indexes of collections: which there are, and what keeps them up.
 *
 * The definitions are settings "index:<path>" in the catalog, so that they are where the collection
 * is: after a restart, in the bucket, in what is restored from it. What the settings say the
 * indexes follow (indexes_follow()); the value of a setting is one line, "<type> <tokenizer>
 * <keep_case> <min> <max>", and behind it the schema as the door sent it.
 *
 * Rows come in on the link threads, a few in each turn, and where too many are pending writers help
 * (write.c). Of a collection without indexes the upkeep thread takes the pending bits back. */
#include "filter/words.h"
#include "node/node_internal.h"
#include "node/points.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

static const char PREFIX[] = "index:";
enum {
    SCHEMA_BYTES_MAX = 8192,
    LINE_BYTES_MAX = 128,
    FOLLOW_BYTES_MAX = 8 * 1024 * 1024,
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

static void put_definition(struct buf *out, const struct pindex_spec *spec, struct slice schema)
{
    buf_printf(out, "%s %d %d %u %u\n", pindex_type_name(spec->type), spec->words.tokenizer,
               spec->words.keep_case ? 1 : 0, spec->words.min_bytes, spec->words.max_bytes);
    buf_put_slice(out, schema);
}

/* False: what is stored makes no sense. */
static bool read_definition(const struct setting_text *s, struct arena *arena,
                            struct pindex_spec *spec, struct slice *schema)
{
    const uint8_t *end = memchr(s->value.data, '\n', s->value.bytes);
    size_t bytes = end == NULL ? 0 : (size_t)(end - s->value.data);
    char line[LINE_BYTES_MAX];
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

struct definition {
    struct pindex_spec spec;
    struct slice schema;
    const struct setting_text *setting;
};

static status read_definitions(struct collection *c, struct arena *arena, struct definition **out,
                               size_t *count, struct err *err)
{
    struct setting_text *settings;
    struct definition *found;
    size_t all = 0;
    size_t n = 0;
    status st = node_settings_list(c, PREFIX, arena, &settings, &all, err);

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

static const struct definition *definition_of(const struct definition *items, size_t count,
                                              const struct path *path)
{
    for (size_t i = 0; i < count; i++)
        if (path_equal(items[i].spec.path, path))
            return &items[i];
    return NULL;
}

/* Takes out what is defined no more. Paths of removed indexes die: one at a time. */
static void remove_undefined(struct collection *c, struct arena *arena,
                             const struct definition *items, size_t count)
{
    struct pindex_info infos[PINDEX_COUNT_MAX];
    bool again = true;

    while (again) {
        size_t there = pindex_list(c->pindex, infos, COUNT_OF(infos));

        again = false;
        for (size_t i = 0; i < there && !again; i++) {
            const struct path *path;

            if (path_parse(infos[i].path, arena, &path, NULL) == ST_OK &&
                definition_of(items, count, path) == NULL)
                again = pindex_remove(c->pindex, path);
        }
    }
}

void indexes_follow(struct collection *c)
{
    enum collection_state state = atomic_load_explicit(&c->seq.state, memory_order_acquire);
    struct definition *items;
    struct arena arena;
    struct err err = {0};
    size_t count = 0;
    status st;

    if (c->pindex == NULL || state == COLLECTION_FAILED || state == COLLECTION_DROPPED)
        return;
    arena_init(&arena, FOLLOW_BYTES_MAX);
    lock_take(&c->indexes_lock);
    st = read_definitions(c, &arena, &items, &count, &err);
    if (st == ST_OK)
        remove_undefined(c, &arena, items, count);
    for (size_t i = 0; i < count && st == ST_OK; i++)
        st = pindex_add(c->pindex, &items[i].spec, &err);
    lock_drop(&c->indexes_lock);
    arena_free(&arena);
    if (st != ST_OK)
        log_error("payload indexes are not as they are defined: queries look at every row",
                  "collection_id=%s err=%s", c->id_text, err.text);
    if (pindex_building(c->pindex) && state != COLLECTION_LOADING)
        linkers_want(c);
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
    if (!pindex_any(c->pindex) && pindex_pending(c->pindex) > 0)
        (void)indexes_turn(c, IDLE_ROWS);
    else if (pindex_retry(c->pindex) || indexes_behind(c))
        linkers_want(c);
}

bool indexes_full(struct collection *c, char *path, size_t path_bytes)
{
    struct pindex_info infos[PINDEX_COUNT_MAX];
    size_t count;
    bool full = false;

    if (!pindex_any(c->pindex))
        return false;
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

/* --- creating and dropping --- */

/* One that asked for an index, until it is built or the time is over. */
struct index_wait {
    struct index_wait *next;
    struct collection *c; /* pinned */
    uint64_t deadline_ns;
    uint64_t wait_ms;
    bool drops;
    node_admin_fn *done;
    void *arg;
    struct arena arena;
    const struct path *path;
};

static void wait_free(struct index_wait *w)
{
    if (w == NULL)
        return;
    node_collection_unpin(w->c);
    arena_free(&w->arena);
    mem_free(w);
}

static void wait_end(struct index_wait *w, status st, const struct err *err)
{
    struct collection_info info;
    node_admin_fn *done = w->done;
    void *arg = w->arg;

    if (st == ST_OK)
        node_collection_info(w->c, &info);
    wait_free(w);
    done(arg, st, st == ST_OK ? &info : NULL, err);
}

static bool is_over(const struct index_wait *w, uint64_t now_ns)
{
    struct pindex_info info;

    return now_ns >= w->deadline_ns || !pindex_info_of(w->c->pindex, w->path, &info) ||
           info.state != PINDEX_BUILDING;
}

void indexes_answer(struct node *node, bool all)
{
    struct index_wait *over = NULL;
    uint64_t now_ns = clock_mono_ns(node->options.clock);

    if (atomic_load_explicit(&node->index_waits.count, memory_order_relaxed) == 0)
        return;
    lock_take(&node->index_waits.lock);
    for (struct index_wait **at = &node->index_waits.first; *at != NULL;) {
        struct index_wait *w = *at;

        if (!all && !is_over(w, now_ns)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = over;
        over = w;
        atomic_fetch_sub(&node->index_waits.count, 1);
    }
    lock_drop(&node->index_waits.lock);
    while (over != NULL) {
        struct index_wait *w = over;

        over = w->next;
        wait_end(w, ST_OK, NULL);
    }
}

/* On the meta thread: the definition is in the catalog, and the index was begun. */
static void on_defined(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct index_wait *w = arg;
    struct node *node = w->c->node;
    uint64_t now_ns = clock_mono_ns(node->options.clock);

    (void)info;
    if (st != ST_OK || w->drops || w->c->pindex == NULL) {
        wait_end(w, st, err);
        return;
    }
    w->deadline_ns = now_ns + w->wait_ms * 1000000;
    if (is_over(w, now_ns)) {
        wait_end(w, ST_OK, NULL);
        return;
    }
    lock_take(&node->index_waits.lock);
    w->next = node->index_waits.first;
    node->index_waits.first = w;
    atomic_fetch_add(&node->index_waits.count, 1);
    lock_drop(&node->index_waits.lock);
    indexes_answer(node, false); /* it may have been built in between */
}

static struct index_wait *wait_make(struct collection *c, const struct path *path,
                                    node_admin_fn *done, void *arg)
{
    struct index_wait *w = mem_zero(sizeof *w);

    if (w == NULL)
        return NULL;
    w->c = c;
    w->done = done;
    w->arg = arg;
    collection_pin(c);
    arena_init(&w->arena, FOLLOW_BYTES_MAX);
    if (path_parse(path->text, &w->arena, &w->path, NULL) == ST_OK)
        return w;
    wait_free(w);
    return NULL;
}

/* The key of the setting, by whatever spelling its path has there; *known: it is there. */
static status key_of(struct index_wait *w, char key[CATALOG_SETTING_KEY_BYTES_MAX], bool *known,
                     size_t *count, struct err *err)
{
    struct definition *items;
    const struct definition *d;
    struct slice path = w->path->text;
    status st = read_definitions(w->c, &w->arena, &items, count, err);

    if (st != ST_OK)
        return st;
    d = definition_of(items, *count, w->path);
    *known = d != NULL;
    if (d != NULL)
        path = d->setting->key;
    (void)snprintf(key, CATALOG_SETTING_KEY_BYTES_MAX, "%s%.*s", PREFIX, (int)path.bytes,
                   (const char *)path.data);
    return ST_OK;
}
static_assert(sizeof PREFIX + PATH_BYTES_MAX < CATALOG_SETTING_KEY_BYTES_MAX, "a path fits");

void node_index_create(struct node *node, struct collection *c, const struct pindex_spec *spec,
                       struct slice schema, uint64_t wait_ms, node_admin_fn *done, void *arg)
{
    struct index_wait *w = wait_make(c, spec->path, done, arg);
    char key[CATALOG_SETTING_KEY_BYTES_MAX];
    struct buf value;
    struct err err = {0};
    bool known = false;
    size_t count = 0;
    status st = ST_OK;

    buf_init(&value, SCHEMA_BYTES_MAX + LINE_BYTES_MAX);
    if (w == NULL)
        st = err_set(&err, ST_NOMEM, "out of memory for a payload index");
    if (st == ST_OK && schema.bytes > SCHEMA_BYTES_MAX)
        st = err_set(&err, ST_INVALID, "the schema of an index has at most %d bytes, this one %zu",
                     SCHEMA_BYTES_MAX, schema.bytes);
    if (st == ST_OK)
        st = key_of(w, key, &known, &count, &err);
    if (st == ST_OK && !known && count >= PINDEX_COUNT_MAX)
        st = err_set(&err, ST_LIMIT, "a collection has at most %d payload indexes",
                     PINDEX_COUNT_MAX);
    if (st == ST_OK) {
        put_definition(&value, spec, schema);
        st = buf_status(&value, &err);
    }
    if (st == ST_OK) {
        w->wait_ms = wait_ms;
        node_setting_put(node, c, key, buf_slice(&value), on_defined, w);
    } else {
        wait_free(w);
        done(arg, st, NULL, &err);
    }
    buf_free(&value);
}

void node_index_drop(struct node *node, struct collection *c, const struct path *path,
                     node_admin_fn *done, void *arg)
{
    struct index_wait *w = wait_make(c, path, done, arg);
    char key[CATALOG_SETTING_KEY_BYTES_MAX];
    struct err err = {0};
    bool known = false;
    size_t count = 0;
    status st = w == NULL ? err_set(&err, ST_NOMEM, "out of memory for a payload index")
                          : key_of(w, key, &known, &count, &err);

    if (st != ST_OK) {
        wait_free(w);
        done(arg, st, NULL, &err);
    } else if (!known) {
        wait_end(w, ST_OK, NULL);
    } else {
        w->drops = true;
        node_setting_put(node, c, key, slice_make(NULL, 0), on_defined, w);
    }
}

status node_index_list(struct collection *c, struct arena *arena, struct index_info **out,
                       size_t *count, struct err *err)
{
    struct definition *items;
    struct index_info *infos;
    size_t n = 0;
    status st = collection_check_loaded(c, err);

    if (st == ST_OK)
        st = read_definitions(c, arena, &items, &n, err);
    if (st != ST_OK)
        return st;
    infos = arena_array(arena, n + 1, sizeof *infos);
    if (infos == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a list of indexes");
    for (size_t i = 0; i < n; i++) {
        struct pindex_info info = {.state = PINDEX_BUILDING};

        (void)pindex_info_of(c->pindex, items[i].spec.path, &info);
        infos[i] = (struct index_info){.path = items[i].setting->key,
                                       .schema = items[i].schema,
                                       .type = items[i].spec.type,
                                       .state = info.state,
                                       .points = info.points};
    }
    *out = infos;
    *count = n;
    return ST_OK;
}
