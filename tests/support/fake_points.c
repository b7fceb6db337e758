/* points.h in front of a node in memory: rows are kept in id order and looked at one by one. What
 * no test needs yet is refused. */
#include "tests/support/fake_node_internal.h"

#include "base/json.h"
#include "filter/payload.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

size_t node_field_count(const struct collection *c)
{
    return c->field_count;
}

const struct field_info *node_field(const struct collection *c, size_t position)
{
    return position < c->field_count ? &c->fields[position] : NULL;
}

void node_field_now(const struct collection *c, size_t position, struct field_info *out)
{
    *out = c->fields[position];
}

int node_field_position(const struct collection *c, struct slice name)
{
    for (size_t i = 0; i < c->field_count; i++)
        if (slice_equal(name, slice_text(c->fields[i].name)))
            return (int)i;
    return -1;
}

bool node_string_ids(const struct collection *c)
{
    return c->string_ids;
}

static int vector_of(void *arg, struct slice name)
{
    return node_field_position(arg, name);
}

status node_filter_bind(struct collection *c, struct filter *f, struct arena *arena,
                        struct err *err)
{
    const struct filter_binding binding = {.vector_of = vector_of, .arg = c};

    return filter_bind(f, &binding, arena, err);
}

/* --- writes --- */

/* Nothing written has no lsn. */
static void finish_locked(struct collection *c, status st, const char *why, node_write_fn *done,
                          void *arg, uint64_t count)
{
    struct completion *made;

    if (st == ST_OK || count > 0)
        c->info.last_lsn += count > 0 ? 1 : 0;
    made = fake_write_completion_locked(c, st, done, arg, count);
    if (count == 0)
        made->result.lsn = 0;
    if (why != NULL)
        (void)err_set(&made->err, st, "%s", why);
    c->node->s.writes += count > 0 ? 1 : 0;
    fake_queue_locked(c->node, made);
}

void node_write_with(struct collection *c, struct write_row *rows, size_t count,
                     const struct write_options *options, node_write_fn *done, void *arg)
{
    struct node *n = c->node;
    uint64_t written = 0;
    status st;

    lock_take(&n->s.lock);
    if (n->s.forget) {
        lock_drop(&n->s.lock);
        return;
    }
    st = fake_refusal_locked(n);
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        bool found;
        size_t at = fake_place_of(c, &rows[i].id, &found);

        if ((found && options->mode == WRITE_INSERT_ONLY) ||
            (!found && options->mode == WRITE_UPDATE_ONLY) ||
            (found && !fake_matches(options->update_filter, &c->rows[at])))
            continue;
        fake_put_locked(c, &rows[i]);
        written++;
    }
    finish_locked(c, st, NULL, done, arg, written);
    lock_drop(&n->s.lock);
}

static bool selected(const struct selector *which, const struct fake_row *row)
{
    if (which->filter != NULL)
        return fake_matches(which->filter, row);
    for (size_t i = 0; i < which->count; i++)
        if (docid_equal(&which->ids[i], &row->id))
            return true;
    return false;
}

void node_delete_with(struct collection *c, const struct selector *which,
                      const struct write_options *options, node_write_fn *done, void *arg)
{
    struct node *n = c->node;
    uint64_t gone = 0;
    status st;

    (void)options;
    lock_take(&n->s.lock);
    st = fake_refusal_locked(n);
    for (size_t i = c->count; st == ST_OK && i > 0; i--) {
        if (!selected(which, &c->rows[i - 1]))
            continue;
        fake_remove_locked(c, i - 1);
        gone++;
    }
    finish_locked(c, st, NULL, done, arg, gone);
    lock_drop(&n->s.lock);
}

static status change_payload(const struct change *change, struct slice *payload)
{
    status st = ST_OK;
    struct buf out;

    buf_init(&out, 1 << 20);
    switch (change->kind) {
    case CHANGE_MERGE_PAYLOAD:
        st = payload_merge(&out, *payload, change->payload, change->at, NULL);
        break;
    case CHANGE_REPLACE_PAYLOAD:
        buf_put_slice(&out, change->payload);
        break;
    case CHANGE_DELETE_KEYS:
        payload_delete(&out, *payload, change->keys, change->key_count);
        break;
    case CHANGE_CLEAR_PAYLOAD:
        break;
    case CHANGE_VECTORS:
    case CHANGE_DELETE_VECTORS:
        buf_put_slice(&out, *payload);
        break;
    }
    st = st == ST_OK ? buf_status(&out, NULL) : st;
    if (st != ST_OK) {
        buf_free(&out);
        return st;
    }
    free((void *)(uintptr_t)payload->data);
    *payload = slice_make(malloc(out.bytes + 1), out.bytes);
    assert(payload->data != NULL);
    if (out.bytes > 0)
        memcpy((void *)(uintptr_t)payload->data, out.data, out.bytes);
    buf_free(&out);
    return ST_OK;
}

static void change_vectors(const struct collection *c, const struct write_row *from, uint64_t gone,
                           struct fake_row *row)
{
    for (size_t i = 0; i < c->field_count; i++) {
        const float *v = NULL;

        if (from != NULL)
            v = from->vectors != NULL ? from->vectors[i] : i == 0 ? from->vector : NULL;
        if (v == NULL && (gone >> i & 1) == 0)
            continue;
        free(row->vectors[i]);
        row->vectors[i] = NULL;
        if (v == NULL)
            continue;
        row->vectors[i] = calloc(c->fields[i].dimension, sizeof(float));
        assert(row->vectors[i] != NULL);
        memcpy(row->vectors[i], v, c->fields[i].dimension * sizeof(float));
    }
}

/* The first that is not there, as node says it. */
static const char *missing(const struct collection *c, const struct docid *id, char text[600])
{
    char shown[DOCID_TEXT_BYTES];
    bool found;

    (void)fake_place_of(c, id, &found);
    if (found)
        return NULL;
    (void)docid_format(id, shown);
    (void)snprintf(text, 600, "No point with id %s found", shown);
    return text;
}

void node_change(struct collection *c, const struct selector *which, const struct change *change,
                 const struct write_options *options, node_write_fn *done, void *arg)
{
    struct node *n = c->node;
    const char *why = NULL;
    uint64_t changed = 0;
    char text[600];
    status st;

    (void)options;
    lock_take(&n->s.lock);
    st = fake_refusal_locked(n);
    for (size_t i = 0; st == ST_OK && why == NULL && i < change->row_count; i++)
        why = missing(c, &change->rows[i].id, text);
    for (size_t i = 0; st == ST_OK && why == NULL && change->kind != CHANGE_VECTORS &&
                       which->filter == NULL && i < which->count;
         i++)
        why = missing(c, &which->ids[i], text);
    for (size_t i = 0; st == ST_OK && i < c->count; i++) {
        const struct write_row *from = NULL;

        for (size_t r = 0; r < change->row_count; r++)
            if (docid_equal(&change->rows[r].id, &c->rows[i].id))
                from = &change->rows[r];
        if (change->kind == CHANGE_VECTORS ? from == NULL : !selected(which, &c->rows[i]))
            continue;
        st = change_payload(change, &c->rows[i].payload);
        if (st != ST_OK)
            break;
        change_vectors(c, from, change->fields, &c->rows[i]);
        changed++;
    }
    finish_locked(c, why != NULL ? ST_NOT_FOUND : st, why, done, arg, changed);
    lock_drop(&n->s.lock);
}

/* --- reads --- */

bool fake_copy_row(const struct collection *c, const struct fake_row *row,
                   const struct read_want *want, struct arena *arena, struct document *out)
{
    uint8_t *payload = arena_alloc(arena, row->payload.bytes);

    *out = (struct document){.id = row->id, .lsn = row->lsn};
    out->vectors = arena_zero(arena, FAKE_FIELDS * sizeof *out->vectors);
    if (payload == NULL || out->vectors == NULL)
        return false;
    if (want->payload && row->payload.bytes > 0)
        memcpy(payload, row->payload.data, row->payload.bytes);
    out->payload = slice_make(payload, want->payload ? row->payload.bytes : 0);
    for (size_t i = 0; i < c->field_count; i++) {
        float *v;

        if ((want->vectors >> i & 1) == 0 || row->vectors[i] == NULL)
            continue;
        v = arena_array(arena, c->fields[i].dimension, sizeof *v);
        if (v == NULL)
            return false;
        memcpy(v, row->vectors[i], c->fields[i].dimension * sizeof *v);
        out->vectors[i] = v;
    }
    return true;
}

status node_retrieve(struct collection *c, const struct docid *ids, size_t count,
                     const struct read_want *want, struct arena *arena, struct document **out,
                     uint32_t *out_count, struct err *err)
{
    struct document *made = arena_array(arena, count + 1, sizeof *made);
    bool fine = made != NULL;
    uint32_t n = 0;

    lock_take(&c->node->s.lock);
    for (size_t i = 0; fine && i < count; i++) {
        bool found;
        size_t at = fake_place_of(c, &ids[i], &found);

        for (uint32_t k = 0; k < n; k++)
            found = found && !docid_equal(&made[k].id, &ids[i]);
        if (found)
            fine = fake_copy_row(c, &c->rows[at], want, arena, &made[n++]);
    }
    lock_drop(&c->node->s.lock);
    if (!fine)
        return err_set(err, ST_NOMEM, "out of memory for documents");
    *out = made;
    *out_count = n;
    return ST_OK;
}

status node_scroll(struct collection *c, const struct scroll *s, struct arena *arena,
                   struct scrolled *out, struct err *err)
{
    struct document *made = arena_array(arena, (size_t)s->limit + 1, sizeof *made);
    bool fine = made != NULL;
    size_t at = 0;
    bool found;

    if (s->order_by != NULL)
        return err_set(err, ST_INVALID, "there is no index on `%.*s`", (int)s->order_by->text.bytes,
                       (const char *)s->order_by->text.data);
    *out = (struct scrolled){.documents = made};
    lock_take(&c->node->s.lock);
    if (s->from != NULL)
        at = fake_place_of(c, s->from, &found);
    for (; fine && at < c->count; at++) {
        if (!fake_matches(s->filter, &c->rows[at]))
            continue;
        if (out->count == s->limit) {
            out->more = true;
            out->next = c->rows[at].id;
            break;
        }
        fine = fake_copy_row(c, &c->rows[at], &s->want, arena, &made[out->count++]);
    }
    lock_drop(&c->node->s.lock);
    return fine ? ST_OK : err_set(err, ST_NOMEM, "out of memory for a page");
}

uint64_t node_select_cost_ns(struct collection *c, const struct filter *filter)
{
    return filter_is_all(filter) ? 0 : filter_cost_ns(filter) * c->count;
}

status node_count(struct collection *c, const struct filter *filter, bool exact,
                  const struct read_limits *limits, struct arena *arena, uint64_t *out,
                  struct err *err)
{
    uint64_t n = 0;

    (void)exact;
    (void)limits;
    (void)arena;
    (void)err;
    lock_take(&c->node->s.lock);
    for (size_t i = 0; i < c->count; i++)
        n += fake_matches(filter, &c->rows[i]) ? 1 : 0;
    lock_drop(&c->node->s.lock);
    *out = n;
    return ST_OK;
}

status node_facet(struct collection *c, const struct path *key, const struct filter *filter,
                  uint32_t limit, bool exact, const struct read_limits *limits, struct arena *arena,
                  struct facet_hit **out, uint32_t *count, struct err *err)
{
    (void)c;
    (void)key;
    (void)filter;
    (void)limit;
    (void)exact;
    (void)limits;
    (void)arena;
    (void)out;
    (void)count;
    return err_set(err, ST_UNSUPPORTED, "not supported yet");
}

/* Every key is new; who begins owes an end: world_close() looks. */
status node_idempotent_begin(struct node *node, struct slice scope, struct slice key,
                             struct slice request, struct arena *arena, struct idempotent *out,
                             struct err *err)
{
    (void)scope, (void)key, (void)request, (void)arena, (void)err;
    *out = (struct idempotent){.state = IDEMPOTENT_NEW};
    lock_take(&node->s.lock);
    node->s.keys_owed++;
    lock_drop(&node->s.lock);
    return ST_OK;
}

void node_idempotent_end(struct node *node, const struct idempotent *i, uint16_t code,
                         struct slice answer)
{
    (void)i, (void)code, (void)answer;
    lock_take(&node->s.lock);
    node->s.keys_owed--;
    lock_drop(&node->s.lock);
}

struct docid node_idempotent_id(const struct idempotent *i, uint64_t row)
{
    (void)i;
    return docid_u64(1000000 + row);
}
