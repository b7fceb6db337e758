/* Creating, dropping and listing payload indexes. The definition goes to the catalog, the index
 * follows it (indexes.c); who asked waits until it is built, or for as long as he said. */
#include "node/indexes.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    DEAD_COUNTED_MAX = 16384,
    DEAD_SLOTS_MAX = 1 << 21,
};

static void put_definition(struct buf *out, const struct pindex_spec *spec, struct slice schema)
{
    buf_printf(out, "%s %d %d %u %u\n", pindex_type_name(spec->type), spec->words.tokenizer,
               spec->words.keep_case ? 1 : 0, spec->words.min_bytes, spec->words.max_bytes);
    buf_put_slice(out, schema);
}

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
    arena_init(&w->arena, INDEX_DEFINITIONS_BYTES_MAX);
    if (path_parse(path->text, &w->arena, &w->path, NULL) == ST_OK)
        return w;
    wait_free(w);
    return NULL;
}

/* On the meta thread. The key of the setting, by whatever spelling its path has there; a healing
 * may have put another collection in the place of the one that was asked. */
static status choose_key(void *arg, struct collection *c, char key[SETTING_KEY_BYTES],
                         bool *nothing, struct err *err)
{
    struct index_wait *w = arg;
    const struct index_definition *d;
    struct index_definition *items;
    struct slice path = w->path->text;
    size_t count = 0;
    status st = index_definitions(c, &w->arena, &items, &count, err);

    collection_pin(c);
    node_collection_unpin(w->c);
    w->c = c;
    if (st != ST_OK)
        return st;
    d = index_definition_of(items, count, w->path);
    *nothing = w->drops && d == NULL;
    if (!w->drops && d == NULL && count >= PINDEX_COUNT_MAX)
        return err_set(err, ST_INVALID,
                       "a collection has at most %d payload indexes: drop one that is not needed",
                       PINDEX_COUNT_MAX);
    if (d != NULL)
        path = d->setting->key;
    (void)snprintf(key, SETTING_KEY_BYTES, "%s%.*s", INDEX_SETTING_PREFIX, (int)path.bytes,
                   (const char *)path.data);
    return ST_OK;
}
static_assert(sizeof INDEX_SETTING_PREFIX + PATH_BYTES_MAX < SETTING_KEY_BYTES, "a path fits");

void node_index_create(struct node *node, struct collection *c, const struct pindex_spec *spec,
                       struct slice schema, uint64_t wait_ms, node_admin_fn *done, void *arg)
{
    struct index_wait *w = wait_make(c, spec->path, done, arg);
    struct buf value;
    struct err err = {0};
    status st = ST_OK;

    buf_init(&value, NODE_INDEX_SCHEMA_BYTES_MAX + INDEX_LINE_BYTES_MAX);
    if (w == NULL)
        st = err_set(&err, ST_NOMEM, "out of memory for a payload index");
    if (st == ST_OK && schema.bytes > NODE_INDEX_SCHEMA_BYTES_MAX)
        st = err_set(&err, ST_INVALID, "the schema of an index has at most %d bytes, this one %zu",
                     NODE_INDEX_SCHEMA_BYTES_MAX, schema.bytes);
    if (st == ST_OK) {
        put_definition(&value, spec, schema);
        st = buf_status(&value, &err);
    }
    if (st == ST_OK) {
        w->wait_ms = wait_ms;
        setting_put_chosen(node, c, choose_key, buf_slice(&value), on_defined, w);
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
    struct err err = {0};

    if (w == NULL) {
        done(arg, err_set(&err, ST_NOMEM, "out of memory for a payload index"), NULL, &err);
        return;
    }
    w->drops = true;
    setting_put_chosen(node, c, choose_key, slice_make(NULL, 0), on_defined, w);
}

/* Dead rows that are still in the indexes do not count; of very many they are not looked for. */
static uint32_t dead_rows(struct collection *c, struct arena *arena, uint32_t **out)
{
    uint32_t count = slots_dead_count(c->slots);

    if (count == 0 || count > DEAD_COUNTED_MAX || slots_end(c->slots) > DEAD_SLOTS_MAX)
        return 0;
    *out = arena_array(arena, count, sizeof **out);
    return *out == NULL ? 0 : slots_dead_list(c->slots, *out, count);
}

status node_index_list(struct collection *c, struct arena *arena, struct index_info **out,
                       size_t *count, struct err *err)
{
    struct index_definition *items;
    struct index_info *infos;
    uint32_t *dead = NULL;
    uint32_t dead_count;
    size_t n = 0;
    status st = collection_check_loaded(c, err);

    if (st == ST_OK)
        st = index_definitions(c, arena, &items, &n, err);
    if (st != ST_OK)
        return st;
    infos = arena_array(arena, n + 1, sizeof *infos);
    if (infos == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a list of indexes");
    dead_count = dead_rows(c, arena, &dead);
    for (size_t i = 0; i < n; i++) {
        const struct path *path = items[i].spec.path;
        struct pindex_info info = {0};
        uint64_t among;

        if (!pindex_has(c->pindex, &items[i].spec) || !pindex_info_of(c->pindex, path, &info))
            info = (struct pindex_info){
                .state = atomic_load(&c->indexes_missing) ? PINDEX_FULL : PINDEX_BUILDING};
        among = pindex_points_among(c->pindex, path, dead, dead_count);
        info.points -= among < info.points ? among : info.points;
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
