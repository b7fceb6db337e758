/* Rows: kept, replaced and removed. */
#include "tests/support/fake_node_internal.h"

#include "base/json.h"

#include <assert.h>
#include <stdlib.h>

void fake_row_free(struct fake_row *row)
{
    if (row->id.kind == DOCID_BYTES)
        free((void *)(uintptr_t)row->id.bytes.data);
    free((void *)(uintptr_t)row->external_id.data);
    free((void *)(uintptr_t)row->payload.data);
    for (size_t i = 0; i < FAKE_FIELDS; i++)
        free(row->vectors[i]);
}

size_t fake_place_of(const struct collection *c, const struct docid *id, bool *found)
{
    size_t at = 0;

    while (at < c->count && docid_compare(&c->rows[at].id, id) < 0)
        at++;
    *found = at < c->count && docid_equal(&c->rows[at].id, id);
    return at;
}

static void *copy_of(const void *data, size_t bytes)
{
    void *copy = malloc(bytes == 0 ? 1 : bytes);

    assert(copy != NULL);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    return copy;
}

static void copy_vectors(const struct collection *c, const struct write_row *from,
                         struct fake_row *to)
{
    for (size_t i = 0; i < FAKE_FIELDS; i++) {
        const float *v = NULL;

        if (i < c->field_count)
            v = from->vectors != NULL ? from->vectors[i] : i == 0 ? from->vector : NULL;
        to->vectors[i] = v == NULL ? NULL : copy_of(v, c->fields[i].dimension * sizeof(float));
    }
}

void fake_put_locked(struct collection *c, const struct write_row *from)
{
    bool found;
    size_t at = fake_place_of(c, &from->id, &found);
    struct fake_row *row;

    if (found) {
        fake_row_free(&c->rows[at]);
    } else {
        if (c->count == c->capacity) {
            c->capacity = c->capacity == 0 ? 64 : 2 * c->capacity;
            c->rows = realloc(c->rows, c->capacity * sizeof *c->rows);
            assert(c->rows != NULL);
        }
        memmove(&c->rows[at + 1], &c->rows[at], (c->count - at) * sizeof *c->rows);
        c->count++;
    }
    row = &c->rows[at];
    row->id = from->id;
    if (row->id.kind == DOCID_BYTES)
        row->id.bytes.data = copy_of(from->id.bytes.data, from->id.bytes.bytes);
    row->external_id = slice_make(copy_of(from->external_id.data, from->external_id.bytes),
                                  from->external_id.bytes);
    row->payload =
        slice_make(copy_of(from->payload.data, from->payload.bytes), from->payload.bytes);
    copy_vectors(c, from, row);
    row->inserted_at_ns = 1700000002000000000u;
    row->lsn = c->info.last_lsn;
}

status fake_refusal_locked(struct node *n)
{
    status st = n->s.fail_write;

    n->s.fail_write = ST_OK;
    return n->s.readonly ? ST_DENIED : st;
}

struct completion *fake_write_completion_locked(struct collection *c, status st,
                                                node_write_fn *done, void *arg, uint64_t count)
{
    struct completion *made = fake_completion(arg, st, "the fake node was told to refuse");

    made->write = done;
    made->result = (struct write_result){.lsn = c->info.last_lsn,
                                         .count = count,
                                         .durability = "local",
                                         .short_of_remote = c->node->s.short_of_remote};
    c->info.document_count = c->count;
    return made;
}

void node_write(struct collection *c, struct write_row *rows, size_t count, node_write_fn *done,
                void *arg)
{
    struct node *n = c->node;
    struct completion *made;
    status st;

    fake_take(n);
    if (n->s.forget) {
        fake_drop(n);
        return;
    }
    st = fake_refusal_locked(n);
    if (st == ST_OK) {
        c->info.last_lsn++;
        for (size_t i = 0; i < count; i++) {
            if (rows[i].id.kind == 0) {
                rows[i].id.kind = DOCID_UUID;
                uuid_make_v7(rand_kernel(), clock_real(), rows[i].id.uuid);
            }
            assert(rows[i].payload.bytes == 0 || jbin_check(rows[i].payload, NULL) == ST_OK);
            fake_put_locked(c, &rows[i]);
        }
        n->s.writes++;
    }
    made = fake_write_completion_locked(c, st, done, arg, count);
    if (st == ST_LIMIT) { /* refused where it was asked */
        fake_drop(n);
        fake_complete(made);
        return;
    }
    fake_queue_locked(n, made);
    fake_drop(n);
}

void fake_remove_locked(struct collection *c, size_t at)
{
    fake_row_free(&c->rows[at]);
    memmove(&c->rows[at], &c->rows[at + 1], (c->count - at - 1) * sizeof *c->rows);
    c->count--;
}

void node_delete(struct collection *c, const struct docid *ids, size_t count, node_write_fn *done,
                 void *arg)
{
    struct node *n = c->node;
    uint64_t gone = 0;
    status st;

    fake_take(n);
    st = fake_refusal_locked(n);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        bool found;
        size_t at = fake_place_of(c, &ids[i], &found);

        if (!found)
            continue;
        fake_remove_locked(c, at);
        gone++;
    }
    c->info.last_lsn += gone > 0 ? 1 : 0;
    fake_queue_locked(n, fake_write_completion_locked(c, st, done, arg, gone));
    fake_drop(n);
}

uint64_t node_write_cost_ns(struct collection *c, size_t rows)
{
    (void)c;
    return 1000 * rows;
}
