/* Documents by id, wherever they are. */
#include "node/cold_reads.h"

/* Who asks right behind the start waits for the bucket's first answer. */
static void await_first_try(struct collection *c, const struct cold_terms *terms)
{
    while (cold_undecided(c) && !atomic_load(&c->node->stopping) &&
           (terms->stop == NULL || !atomic_load(terms->stop)) &&
           clock_mono_ns(c->node->options.clock) < terms->deadline_ns)
        bucket_pause(c->node, COLD_FIRST_TRY_MS);
}

status cold_reads_begin(struct collection *c, const struct read_limits *limits,
                        struct cold_reads *out, struct err *err)
{
    uint64_t deadline_ns = limits == NULL ? 0 : limits->deadline_ns;

    if (deadline_ns == 0)
        deadline_ns = clock_mono_ns(c->node->options.clock) + COLD_WAIT_MS * UINT64_C(1000000);
    *out = (struct cold_reads){.c = c,
                               .terms = {.newer = cold_newer,
                                         .newer_arg = c,
                                         .deadline_ns = deadline_ns,
                                         .stop = limits == NULL ? NULL : limits->stop}};
    await_first_try(c, &out->terms);
    return cold_hold(c, &out->set, err);
}

status cold_reads_outcome(status st, struct err *err)
{
    if (st == ST_DENIED || st == ST_IO || st == ST_UNKNOWN)
        return err_wrap(err, ST_UNAVAILABLE, "the bucket could not be read");
    if (st == ST_NOT_FOUND)
        return err_wrap(err, ST_CORRUPT, "a cold segment is not in the bucket");
    return st;
}

status cold_reads_end(struct cold_reads *r, status st, struct err *err)
{
    cold_set_drop(r->set);
    r->set = NULL;
    return cold_reads_outcome(st, err);
}

/* Doors ask for all there may be. */
static uint64_t fields_of(const struct cold_reads *r, const struct read_want *want)
{
    return want->vectors & cold_all_fields(r->c);
}

static unsigned what_of(const struct read_want *want)
{
    return want->payload ? COLD_PAYLOAD : want->external_id ? COLD_EXTERNAL_ID : 0;
}

static void document_of(const struct cold_row *row, const struct read_want *want,
                        struct document *out)
{
    *out = (struct document){.id = row->id,
                             .external_id = row->external_id,
                             .inserted_at_ns = row->inserted_at_ns,
                             .lsn = row->lsn,
                             .vectors = want->vectors != 0 ? row->vectors : NULL};
    if (want->payload)
        out->payload = row->payload;
}

static status no_memory(size_t count, struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for %zu documents; ask for fewer", count);
}

/* Those that are in the head and not found yet. */
static status from_head(struct cold_reads *r, const struct docid *ids, size_t count,
                        const struct read_want *want, struct arena *arena, struct cold_doc *out,
                        struct err *err)
{
    struct epoch_guard guard = epoch_enter(r->c->node->epoch);
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < count; i++) {
        uint32_t slot = out[i].found ? SLOT_NONE : slots_find(r->c->slots, &ids[i]);

        if (slot == SLOT_NONE)
            continue;
        if (!keep_document(arena, r->c, slot, want, &out[i].document))
            st = no_memory(count, err);
        out[i].found = out[i].in_head = true;
    }
    epoch_leave(r->c->node->epoch, guard);
    return st;
}

/* The others, from the set. */
static status from_set(struct cold_reads *r, const struct docid *ids, size_t count,
                       const struct read_want *want, struct arena *arena, struct cold_doc *out,
                       size_t *missing, struct err *err)
{
    struct docid *asked = arena_array(arena, count, sizeof *asked);
    struct cold_row *rows = arena_zero(arena, count * sizeof *rows);
    size_t n = 0, at = 0;
    status st;

    *missing = 0;
    if (asked == NULL || rows == NULL)
        return no_memory(count, err);
    for (size_t i = 0; i < count; i++)
        if (!out[i].found)
            asked[n++] = ids[i];
    if (n == 0)
        return ST_OK;
    st = cold_set_get(r->set, asked, n, what_of(want), fields_of(r, want), &r->terms, arena, rows,
                      &r->stats, err);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        if (out[i].found)
            continue;
        out[i].found = rows[at].found;
        if (rows[at].found)
            document_of(&rows[at], want, &out[i].document);
        *missing += !rows[at++].found;
    }
    return st;
}

/* Who is missing in both was deleted; or was written while the set was asked, which knew that it
 * has a newer record. */
status cold_docs(struct cold_reads *r, const struct docid *ids, size_t count,
                 const struct read_want *want, struct arena *arena, struct cold_doc *out,
                 struct err *err)
{
    size_t missing = 0;
    status st;

    memset(out, 0, count * sizeof *out);
    if (count == 0)
        return ST_OK;
    st = from_head(r, ids, count, want, arena, out, err);
    if (st == ST_OK && r->set != NULL)
        st = from_set(r, ids, count, want, arena, out, &missing, err);
    return st == ST_OK && missing > 0 ? from_head(r, ids, count, want, arena, out, err) : st;
}

status cold_docs_at(struct cold_reads *r, struct cold_row *rows, size_t count,
                    const struct read_want *want, struct arena *arena, struct document *out,
                    struct err *err)
{
    status st = ST_OK;

    if (count > 0)
        st = cold_set_rows_at(r->set, rows, count, what_of(want), fields_of(r, want), &r->terms,
                              arena, &r->stats, err);
    for (size_t i = 0; st == ST_OK && i < count; i++)
        document_of(&rows[i], want, &out[i]);
    return st;
}
