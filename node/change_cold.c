/* Documents that a change reads where not all are in RAM: under the turn nobody else writes them,
 * so copies are as good as the rows. */
#include "node/change.h"

static bool asks_filters(const struct change_op *op)
{
    return op->which != NULL || op->options.update_filter != NULL;
}

static bool asks_vectors(const struct change_op *op)
{
    return op->job == JOB_CHANGE || cold_asks_vectors(op->which) ||
           cold_asks_vectors(op->options.update_filter);
}

status change_read_cold(struct change_op *op, struct err *err)
{
    const struct read_want want = {.payload = op->job == JOB_CHANGE || asks_filters(op),
                                   .vectors = asks_vectors(op) ? cold_all_fields(op->c) : 0};
    size_t left = op->batch.count - op->batch.at;
    size_t count = left < CHANGE_COLD_DOCS ? left : CHANGE_COLD_DOCS;
    struct cold_reads r;
    status st;

    arena_reset(&op->cold.arena);
    op->cold.at = op->batch.at;
    op->cold.count = count;
    op->cold.docs = arena_array(&op->cold.arena, count, sizeof *op->cold.docs);
    if (op->cold.docs == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a change of %zu documents", count);
    st = cold_reads_begin(op->c, &(struct read_limits){.stop = &op->c->node->stopping}, &r, err);
    if (st == ST_OK)
        do
            st = cold_docs(&r, op->batch.ids + op->batch.at, count, &want, &op->cold.arena,
                           op->cold.docs, err);
        while (cold_reads_again(&r, st));
    return cold_reads_end(&r, st, err);
}
