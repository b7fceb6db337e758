/* Which documents a change takes on next: a part of the ids that were named, or what a filter finds
 * on its walk in id order, up to the last id there was when it began.
 *
 * Where payload indexes leave few rows to be asked these are selected at once (select.h) and their
 * ids kept. Else the walk meets each id that is there all along exactly once, whatever replaces its
 * row meanwhile (slots_page()). The filter is asked here only to leave out what does not match;
 * what becomes of a document is decided when its turn has come. */
#include "node/change.h"

/* Rows of one id are put together, in their order: the first of the batch decides with all of them.
 */
static status link_same(struct change_op *op, struct err *err)
{
    size_t count = op->batch.count;
    size_t room = 1;
    uint32_t *table; /* the first row of an id, of those looked at, + 1 */

    while (room < count * 2)
        room *= 2;
    table = mem_zero_array(room, sizeof *table);
    if (table == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a change of %zu documents", count);
    for (size_t i = count; i-- > 0;) {
        size_t at = docid_hash(&op->batch.ids[i]) & (room - 1);

        while (table[at] != 0 && !docid_equal(&op->batch.ids[table[at] - 1], &op->batch.ids[i]))
            at = (at + 1) & (room - 1);
        op->batch.same[i] = table[at];
        if (table[at] != 0)
            op->batch.same[table[at] - 1] |= CHANGE_FOLLOWS;
        table[at] = (uint32_t)i + 1;
    }
    mem_free(table);
    return ST_OK;
}

static status take_named(struct change_op *op, struct err *err)
{
    size_t left = op->count - op->taken;

    op->batch.first = op->taken;
    op->batch.count = left < op->batch.room ? left : op->batch.room;
    for (size_t i = 0; i < op->batch.count; i++)
        op->batch.ids[i] = op->rows != NULL ? op->rows[op->taken + i].id : op->ids[op->taken + i];
    op->taken += op->batch.count;
    return op->batch.same != NULL && op->batch.count > 0 ? link_same(op, err) : ST_OK;
}

static void copy_id(const struct docid *from, struct docid *out, void *text)
{
    *out = *from;
    if (from->kind != DOCID_BYTES)
        return;
    memcpy(text, from->bytes.data, from->bytes.bytes);
    out->bytes = slice_make(text, from->bytes.bytes);
}

static status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a change by filter");
}

static status keep_selected(struct change_op *op, const struct selected *s, struct err *err)
{
    size_t count = 0;

    op->walk.found = mem_alloc_array((size_t)s->count + 1, sizeof *op->walk.found);
    if (op->walk.found == NULL)
        return no_memory(err);
    for (uint32_t slot = selected_next(s, 0); slot != SLOT_NONE && count < s->count;
         slot = selected_next(s, slot + 1)) {
        struct row row;

        slots_row(op->c->slots, slot, &row);
        if (!keep_id(&op->walk.texts, &row.id, &op->walk.found[count++]))
            return no_memory(err);
    }
    op->ids = op->walk.found;
    op->count = count;
    return ST_OK;
}

/* Inside a guard: what payload indexes know, or where the walk ends. */
static status walk_begin(struct change_op *op, struct err *err)
{
    struct selected selected;
    struct arena arena;
    struct asker asker;
    struct known known;
    bool any = false;
    status st;

    arena_init(&arena, SIZE_MAX); /* a few bits a row */
    asker_init(&asker, op->c, op->which, NULL);
    st = select_known(&asker, &arena, &known, err);
    if (st == ST_OK && known.bits != NULL && known.count <= CHANGE_KNOWN_MAX) {
        st = select_make(op->c, op->which, NULL, &arena, &selected, err);
        if (st == ST_OK)
            st = keep_selected(op, &selected, err);
    } else if (st == ST_OK) {
        st = slots_last(op->c->slots, &op->walk.last, op->walk.last_text, &any, err);
        op->walk.ended = !any;
    }
    arena_free(&arena);
    return st;
}

/* Inside a guard. Asking one row may take as long as a slice. */
static status walk_page(struct change_op *op, uint64_t until_ns, struct err *err)
{
    struct collection *c = op->c;
    uint32_t slots[CHANGE_PAGE_ROWS];
    uint32_t count = 0;
    status st = slots_page(c->slots, op->walk.after.kind != 0 ? &op->walk.after : NULL,
                           CHANGE_PAGE_ROWS, slots, &count, err);

    op->walk.ended = count < CHANGE_PAGE_ROWS;
    for (uint32_t i = 0; st == ST_OK && i < count; i++) {
        struct filter_row asked;
        struct row row;

        if (i > 0 && clock_mono_ns(c->node->options.clock) >= until_ns) {
            op->walk.ended = false;
            break;
        }
        slots_row(c->slots, slots[i], &row);
        if (docid_compare(&row.id, &op->walk.last) > 0) {
            op->walk.ended = true;
            break;
        }
        asked = (struct filter_row){&row.id, row.payload, row_vectors(c, slots[i])};
        if ((op->which == NULL || filter_match(op->which, &asked)) &&
            !keep_id(&op->walk.ids, &row.id, &op->batch.ids[op->batch.count++]))
            st = no_memory(err);
        copy_id(&row.id, &op->walk.after, op->walk.after_text);
    }
    return st;
}

/* Under S3Only: many ids at a time, whole. */
static status find_cold(struct change_op *op, struct err *err)
{
    const struct scroll ask = {.filter = op->which,
                               .from = op->walk.more ? &op->walk.after : NULL,
                               .limit = CHANGE_FOUND_MAX,
                               .limits = {.stop = &op->c->node->stopping}};
    struct scrolled page = {0};
    struct arena arena;
    status st;

    arena_init(&arena, SIZE_MAX); /* CHANGE_FOUND_MAX ids and places */
    st = node_scroll(op->c, &ask, &arena, &page, err);
    arena_reset(&op->walk.texts);
    op->taken = op->count = 0;
    if (st == ST_OK && op->walk.found == NULL)
        op->walk.found = mem_alloc_array(CHANGE_FOUND_MAX, sizeof *op->walk.found);
    if (st == ST_OK && op->walk.found == NULL)
        st = no_memory(err);
    for (uint32_t i = 0; st == ST_OK && i < page.count; i++)
        if (!keep_id(&op->walk.texts, &page.documents[i].id, &op->walk.found[op->count++]))
            st = no_memory(err);
    op->ids = op->walk.found;
    op->walk.more = page.more;
    if (page.more)
        copy_id(&page.next, &op->walk.after, op->walk.after_text);
    arena_free(&arena);
    return st;
}

bool change_chosen(const struct change_op *op)
{
    if (op->walk.more)
        return false;
    return op->by_filter && op->walk.found == NULL ? op->walk.ended : op->taken == op->count;
}

status change_choose(struct change_op *op, bool *again, struct err *err)
{
    struct clock *clock = op->c->node->options.clock;
    uint64_t until_ns = clock_mono_ns(clock) + EXEC_SLICE_NS;
    status st = ST_OK;

    *again = false;
    if (op->by_filter && cold_is(op->c) &&
        (!op->walk.begun || (op->walk.more && op->taken == op->count))) {
        op->walk.begun = true;
        st = find_cold(op, err);
        return st == ST_OK ? take_named(op, err) : st;
    }
    if (op->by_filter && !op->walk.begun) {
        struct epoch_guard guard = epoch_enter(op->c->node->epoch);

        op->walk.begun = true;
        st = walk_begin(op, err);
        epoch_leave(op->c->node->epoch, guard);
    }
    if (st == ST_OK && (!op->by_filter || op->walk.found != NULL))
        return take_named(op, err);
    while (st == ST_OK && !*again && !op->walk.ended &&
           op->batch.count + CHANGE_PAGE_ROWS <= op->batch.room) {
        struct epoch_guard guard = epoch_enter(op->c->node->epoch);

        st = walk_page(op, until_ns, err);
        epoch_leave(op->c->node->epoch, guard);
        *again = clock_mono_ns(clock) >= until_ns && !op->walk.ended;
    }
    return st;
}
