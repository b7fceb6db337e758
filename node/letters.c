/* The records a dead letter stands for: read, printed as NDJSON, and applied again. */
#include "node/letters.h"

#include "base/json.h"
#include "node/fields.h"

#include <stdatomic.h>
#include <stdio.h>

enum { RELOG_PAUSE_MS = 1 };

/* --- reading --- */

status letter_each(struct collection *c, const struct letter *letter, group_each_fn *fn, void *arg,
                   struct err *err)
{
    struct node *node = c->node;
    struct wal *wal;
    status st;

    if (letter->kind != LETTER_WAL_GROUP && letter->kind != LETTER_DIVERGENT_TAIL)
        return ST_OK; /* stands for no records */
    wal = collection_hold_log(c);
    st = tier_letter_read(node->options.fs, node->data_dir, wal, letter, fn, arg, err);
    collection_release_log(c);
    return st;
}

/* --- printing --- */

struct printer {
    struct buf *out;
    struct held_vectors vectors;
};

static void print_head(struct buf *out, const char *op, uint64_t lsn, const struct docid *id)
{
    char text[DOCID_TEXT_BYTES];
    size_t bytes = docid_format(id, text);

    buf_printf(out, "{\"op\":\"%s\",\"lsn\":%llu,\"doc_id\":", op, (unsigned long long)lsn);
    if (id->kind == DOCID_U64)
        json_put_u64(out, id->u64);
    else
        json_put_string(out, slice_make(text, bytes));
}

static void print_vector(struct printer *p, size_t position)
{
    const float *vector = p->vectors.by_position[position];

    if (vector != NULL)
        json_put_floats(p->out, vector, p->vectors.c->fields[position].info.dimension);
    else
        buf_put_text(p->out, "null");
}

/* "vector" of a collection that has the unnamed one alone; else "vectors", by name. */
static void print_vectors(struct printer *p)
{
    const struct collection *c = p->vectors.c;
    bool first = true;

    if (c->field_count == 1 && c->fields[0].id == 0) {
        buf_put_text(p->out, ",\"vector\":");
        print_vector(p, 0);
        return;
    }
    buf_put_text(p->out, ",\"vectors\":{");
    for (size_t i = 0; i < c->field_count; i++) {
        if (p->vectors.by_position[i] == NULL)
            continue;
        if (!first)
            buf_put_u8(p->out, ',');
        first = false;
        json_put_string(p->out, slice_text(c->fields[i].info.name));
        buf_put_u8(p->out, ':');
        print_vector(p, i);
    }
    buf_put_u8(p->out, '}');
}

static status print_row(struct printer *p, uint64_t lsn, const struct record *record,
                        const struct record_row *row, struct err *err)
{
    char when[CLOCK_TEXT_BYTES];
    status st = held_vectors_of_record(&p->vectors, row, err);

    if (st != ST_OK)
        return st;
    print_head(p->out, "upsert", lsn, &row->id);
    buf_put_text(p->out, ",\"external_id\":");
    if (row->external_id.bytes == 0)
        buf_put_text(p->out, "null");
    else
        json_put_string(p->out, row->external_id);
    print_vectors(p);
    buf_put_text(p->out, ",\"payload\":");
    if (row->payload.bytes == 0)
        buf_put_text(p->out, "{}");
    else
        jbin_print(p->out, row->payload);
    clock_format_rfc3339(record->inserted_at_ns, when);
    buf_printf(p->out, ",\"inserted_at\":\"%s\"}\n", when);
    return ST_OK;
}

static status print_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct printer *p = arg;
    struct record record;
    struct record_row row;
    struct docid id;
    status st = record_open(payload, &record, err);

    while (st == ST_OK && record.kind == RECORD_UPSERT &&
           (st = record_next_row(&record, &row, err)) == ST_OK)
        st = print_row(p, lsn, &record, &row, err);
    while (st == ST_OK && record.kind == RECORD_DELETE &&
           (st = record_next_id(&record, &id, err)) == ST_OK) {
        print_head(p->out, "delete", lsn, &id);
        buf_put_text(p->out, "}\n");
    }
    if (st == ST_OK || st == ST_NOT_FOUND)
        st = buf_status(p->out, err);
    return st;
}

status letter_print(struct collection *c, const struct letter *letter, struct buf *out,
                    struct err *err)
{
    struct printer p = {.out = out};
    status st = held_vectors_init(&p.vectors, c, err);

    if (st == ST_OK)
        st = letter_each(c, letter, print_record, &p, err);
    held_vectors_fini(&p.vectors);
    return st;
}

/* --- writes that are waited for --- */

struct awaited {
    struct lock lock;
    struct cond cond;
    bool done;
    status st;
    struct err err;
};

static void on_written(void *arg, status st, const struct write_result *result,
                       const struct err *err)
{
    struct awaited *a = arg;

    (void)result;
    lock_take(&a->lock);
    a->done = true;
    a->st = st;
    if (err != NULL)
        a->err = *err;
    cond_broadcast(&a->cond);
    lock_drop(&a->lock);
}

static void await_begin(struct awaited *a)
{
    memset(a, 0, sizeof *a);
    lock_init(&a->lock, LOCK_RANK_LEAF, "awaited write");
    cond_init(&a->cond);
}

static status await_end(struct awaited *a, struct err *err)
{
    lock_take(&a->lock);
    while (!a->done)
        cond_wait(&a->cond, &a->lock);
    lock_drop(&a->lock);
    cond_fini(&a->cond);
    lock_fini(&a->lock);
    if (a->st != ST_OK && err != NULL)
        *err = a->err;
    return a->st;
}

/* On its own terms, but never for the bucket's answer: it may be what does not take the records. */
static status write_one(struct collection *c, struct write_row *row, struct write_terms terms,
                        struct err *err)
{
    struct awaited a;

    terms.local = true;
    await_begin(&a);
    write_on_terms(c, row, 1, &terms, on_written, &a);
    return await_end(&a, err);
}

static status delete_one(struct collection *c, const struct docid *id, struct write_terms terms,
                         struct err *err)
{
    struct awaited a;

    terms.local = true;
    terms.absent_too = true;
    await_begin(&a);
    delete_on_terms(c, id, 1, &terms, on_written, &a);
    return await_end(&a, err);
}

/* --- applying --- */

struct applier {
    struct collection *c;
    struct held_vectors vectors;
    uint64_t records;
};

static status apply_row(struct applier *a, const struct record_row *row, struct err *err)
{
    struct write_row out = {.id = row->id,
                            .external_id = row->external_id,
                            .payload = row->payload,
                            .vectors = a->vectors.by_position,
                            .as_stored = UINT64_MAX};
    status st = held_vectors_of_record(&a->vectors, row, err);

    if (st == ST_OK)
        st = write_one(a->c, &out, (struct write_terms){0}, err);
    if (st == ST_OK)
        a->records++;
    return st;
}

static status apply_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct applier *a = arg;
    struct record record;
    struct record_row row;
    struct docid id;
    status st = record_open(payload, &record, err);

    (void)lsn;
    while (st == ST_OK && record.kind == RECORD_UPSERT &&
           (st = record_next_row(&record, &row, err)) == ST_OK)
        st = apply_row(a, &row, err);
    while (st == ST_OK && record.kind == RECORD_DELETE &&
           (st = record_next_id(&record, &id, err)) == ST_OK) {
        st = delete_one(a->c, &id, (struct write_terms){0}, err);
        a->records += st == ST_OK;
    }
    return st == ST_NOT_FOUND ? ST_OK : st;
}

status letter_apply(struct collection *c, const struct letter *letter, uint64_t *records,
                    struct err *err)
{
    struct applier a = {.c = c};
    status st = held_vectors_init(&a.vectors, c, err);

    if (st == ST_OK)
        st = letter_each(c, letter, apply_record, &a, err);
    held_vectors_fini(&a.vectors);
    *records += a.records;
    return st;
}

/* --- before a discard: what the range had is logged again, or gone --- */

struct relogger {
    struct collection *c;
    uint64_t first_lsn, last_lsn;
    bool drop;
    struct held_vectors vectors;
    struct buf contents; /* external id and payload of one row */
    uint64_t records;
};

/* The row of id as it is now, if its newest record lies in the range; copied. *lsn: of its newest
 * record, 0: it is not there. */
static bool newest_in_range(struct relogger *r, const struct docid *id, struct write_row *out,
                            uint64_t *lsn)
{
    struct collection *c = r->c;
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    uint32_t slot = slots_find(c->slots, id);
    struct row row = {0};
    bool in;

    if (slot != SLOT_NONE)
        slots_row(c->slots, slot, &row);
    in = slot != SLOT_NONE && row.lsn >= r->first_lsn && row.lsn <= r->last_lsn;
    *lsn = row.lsn;
    if (in) {
        buf_reset(&r->contents);
        buf_put_slice(&r->contents, row.external_id);
        buf_put_slice(&r->contents, row.payload);
        held_vectors_of_slot(&r->vectors, slot);
        *out = (struct write_row){
            .id = *id, .vectors = r->vectors.by_position, .as_stored = UINT64_MAX};
        out->external_id = slice_make(r->contents.data, row.external_id.bytes);
        out->payload = row.payload.bytes == 0 ? (struct slice){0}
                                              : slice_make(r->contents.data + row.external_id.bytes,
                                                           row.payload.bytes);
    }
    epoch_leave(c->node->epoch, guard);
    return in;
}

/* ST_CONFLICT: a client's write came between the look and the log. */
static status relog_once(struct relogger *r, const struct docid *id, struct err *err)
{
    struct write_terms terms = {.only_if = true};
    struct write_row row;
    status st;

    if (newest_in_range(r, id, &row, &terms.newest_lsn)) {
        if (buf_status(&r->contents, err) != ST_OK)
            return ST_NOMEM;
        st = r->drop ? delete_one(r->c, id, terms, err) : write_one(r->c, &row, terms, err);
    } else if (terms.newest_lsn == 0) {
        /* Deleted in the range, or behind it: a delete more does no harm. */
        st = delete_one(r->c, id, terms, err);
    } else {
        return ST_OK;
    }
    r->records += st == ST_OK;
    return st;
}

static status relog(struct relogger *r, const struct docid *id, struct err *err)
{
    status st;

    while ((st = relog_once(r, id, err)) == ST_CONFLICT)
        bucket_pause(r->c->node, RELOG_PAUSE_MS);
    return st;
}

static status relog_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct relogger *r = arg;
    struct record record;
    struct record_row row;
    struct docid id;
    status st = record_open(payload, &record, err);

    (void)lsn;
    while (st == ST_OK && record.kind == RECORD_UPSERT &&
           (st = record_next_row(&record, &row, err)) == ST_OK)
        st = relog(r, &row.id, err);
    while (st == ST_OK && record.kind == RECORD_DELETE &&
           (st = record_next_id(&record, &id, err)) == ST_OK)
        st = relog(r, &id, err);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

status letter_relog(struct collection *c, const struct letter *letter, bool drop, uint64_t *records,
                    struct err *err)
{
    struct relogger r = {
        .c = c, .first_lsn = letter->lsn_first, .last_lsn = letter->lsn_last, .drop = drop};
    status st = held_vectors_init(&r.vectors, c, err);

    buf_init(&r.contents, RECORD_PAYLOAD_BYTES_MAX + RECORD_EXTERNAL_ID_BYTES_MAX);
    if (st == ST_OK)
        st = letter_each(c, letter, relog_record, &r, err);
    buf_free(&r.contents);
    held_vectors_fini(&r.vectors);
    *records += r.records;
    return st;
}
