/* Reading documents by id, and binding filters to a collection. */
#include "node/cold_reads.h"

static int vector_of(void *arg, struct slice name)
{
    return node_field_position(arg, name);
}

static bool words_of(void *arg, const struct path *path, struct filter_words *out)
{
    const struct collection *c = arg;

    return c->pindex != NULL && pindex_words_of(c->pindex, path, out);
}

status node_filter_bind(struct collection *c, struct filter *f, struct arena *arena,
                        struct err *err)
{
    const struct filter_binding binding = {.vector_of = vector_of, .words_of = words_of, .arg = c};

    return filter_is_all(f) ? ST_OK : filter_bind(f, &binding, arena, err);
}

status collection_index_on(const struct collection *c, const struct path *path,
                           struct pindex_info *out, struct err *err)
{
    if (c->pindex != NULL && pindex_info_of(c->pindex, path, out))
        return ST_OK;
    return err_set(err, ST_NOT_FOUND, "there is no index on %.*s", (int)path->text.bytes,
                   (const char *)path->text.data);
}

/* Which ids came before: a hash table of places in the list. */
struct seen {
    uint32_t *places; /* + 1; 0: free */
    size_t room;      /* a power of two, at least twice as many as ids */
};

static bool seen_make(struct seen *s, struct arena *arena, size_t count)
{
    s->room = 8;
    while (s->room < 2 * count)
        s->room *= 2;
    s->places = arena_zero(arena, s->room * sizeof *s->places);
    return s->places != NULL;
}

static bool seen_first(struct seen *s, const struct docid *ids, size_t at)
{
    size_t i = docid_hash(&ids[at]) & (s->room - 1);

    for (; s->places[i] != 0; i = (i + 1) & (s->room - 1))
        if (docid_equal(&ids[s->places[i] - 1], &ids[at]))
            return false;
    s->places[i] = (uint32_t)at + 1;
    return true;
}

static status retrieve_cold(struct collection *c, const struct docid *ids, size_t count,
                            const struct read_want *want, struct seen *seen, struct arena *arena,
                            struct document *out, uint32_t *out_count, struct err *err)
{
    struct docid *once = arena_array(arena, count, sizeof *once);
    struct cold_doc *docs = arena_array(arena, count, sizeof *docs);
    struct cold_reads reads = {0};
    uint32_t n = 0;
    size_t asked = 0;
    status st;

    if (once == NULL || docs == NULL)
        return err_set(err, ST_NOMEM, "out of memory for %zu documents", count);
    for (size_t i = 0; i < count; i++)
        if (seen_first(seen, ids, i))
            once[asked++] = ids[i];
    st = cold_reads_begin(c, &want->limits, &reads, err);
    if (st == ST_OK)
        do
            st = cold_docs(&reads, once, asked, want, arena, docs, err);
        while (cold_reads_again(&reads, st));
    st = cold_reads_end(&reads, st, err);
    for (size_t i = 0; st == ST_OK && i < asked; i++)
        if (docs[i].found)
            out[n++] = docs[i].document;
    *out_count = n;
    return st;
}

status node_retrieve(struct collection *c, const struct docid *ids, size_t count,
                     const struct read_want *want, struct arena *arena, struct document **out,
                     uint32_t *out_count, struct err *err)
{
    struct document *documents = arena_array(arena, count + 1, sizeof *documents);
    struct seen seen = {0};
    struct epoch_guard guard;
    uint32_t n = 0;
    status st = collection_check_readable(c, err);

    *out = documents;
    *out_count = 0;
    if (st != ST_OK || count == 0)
        return st;
    if (documents == NULL || !seen_make(&seen, arena, count))
        return err_set(err, ST_NOMEM, "out of memory for %zu documents", count);
    if (cold_is(c))
        return retrieve_cold(c, ids, count, want, &seen, arena, documents, out_count, err);
    guard = epoch_enter(c->node->epoch);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        uint32_t slot = slots_find(c->slots, &ids[i]);

        if (slot == SLOT_NONE || !seen_first(&seen, ids, i))
            continue;
        if (!keep_document(arena, c, slot, want, &documents[n++]))
            st = err_set(err, ST_NOMEM, "out of memory for %zu documents; ask for fewer", count);
    }
    epoch_leave(c->node->epoch, guard);
    *out_count = st == ST_OK ? n : 0;
    return st;
}
