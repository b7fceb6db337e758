#include "tests/unit/tiering/ship_store.h"

#include "segment/group.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FAULTS_MAX = 16, HELD_MAX = 256, LSNS_MAX = 1 << 16 };

struct carried { /* one request on its way below */
    struct objstore_req req;
    struct ship_store *store;
    struct objstore_req *outer;
    struct ship_fault fault; /* class OK: none */
    bool is_group_put, is_root_read;
    uint64_t run; /* of a root read: stored without a hole when it began */
};
struct ship_store {
    struct objstore base;
    struct objstore *inner;
    struct lock lock;
    struct ship_fault faults[FAULTS_MAX];
    size_t fault_count;
    bool hold;
    struct carried *held[HELD_MAX];
    size_t held_count;
    struct ship_counts counts;
    size_t in_flight, most_in_flight;
    bool stored[LSNS_MAX];
    uint64_t run, confirmed;
};

static struct ship_store *of(struct objstore *s)
{
    return (struct ship_store *)s;
}

static void count_locked(struct ship_store *s, const struct objstore_req *req,
                         enum objkey_kind kind)
{
    struct ship_counts *c = &s->counts;

    c->all++;
    c->fresh += req->fresh_connection;
    if (req->op == OBJSTORE_LIST)
        c->lists++;
    else if (req->op == OBJSTORE_HEAD)
        c->heads++;
    else if (req->op == OBJSTORE_GET && kind == OBJKEY_IS_ROOT)
        c->root_reads++;
    else if (req->op == OBJSTORE_PUT && kind == OBJKEY_IS_ROOT)
        c->root_writes++;
    else if (req->op == OBJSTORE_PUT && kind == OBJKEY_IS_GROUP)
        c->group_puts++;
    else if (req->op == OBJSTORE_GET && kind == OBJKEY_IS_GROUP)
        c->group_gets++;
    else if (req->op == OBJSTORE_PUT && kind == OBJKEY_IS_ORPHAN)
        c->orphan_puts++;
    else
        c->other++;
}

static struct ship_fault fault_locked(struct ship_store *s, const struct objstore_req *req,
                                      enum objkey_kind kind)
{
    for (size_t i = 0; i < s->fault_count; i++) {
        struct ship_fault *f = &s->faults[i];

        if (f->count == 0 || (f->op != SHIP_ANY && f->op != (int)req->op) ||
            (f->kind != SHIP_ANY && f->kind != (int)kind))
            continue;
        if (f->count != SHIP_FOR_EVER)
            f->count--;
        return *f;
    }
    return (struct ship_fault){0};
}

static void spoil(struct carried *c, struct objstore_result *r)
{
    enum objstore_class class = c->fault.class;

    objstore_result_fini(r);
    r->class = class;
    r->maybe_applied = c->fault.after_effect;
    if (class == OBJSTORE_PERMANENT) {
        r->http_status = 403;
        (void)snprintf(r->s3_code, sizeof r->s3_code, "AccessDenied");
        (void)snprintf(r->request_id, sizeof r->request_id, "REQ1");
    }
    (void)err_set(&r->err, objstore_class_status(class), "%s: fault: %s", c->outer->key,
                  objstore_class_name(class));
}

static void note_stored_locked(struct ship_store *s, const struct objstore_req *req)
{
    struct objkey key = objkey_parse(req->key);
    struct group *group;
    const struct group_head *head;

    if (group_open(req->body, key.collection, key.epoch, key.seq, &group, NULL) != ST_OK)
        return;
    head = group_head(group);
    for (uint64_t lsn = head->first_lsn; lsn <= head->last_lsn && lsn < LSNS_MAX; lsn++)
        s->stored[lsn] = true;
    while (s->run + 1 < LSNS_MAX && s->stored[s->run + 1])
        s->run++;
    group_close(group);
}

static void answer(struct carried *c)
{
    struct ship_store *s = c->store;
    struct objstore_req *outer = c->outer;

    lock_take(&s->lock);
    if (c->is_group_put) {
        s->in_flight--;
        if (c->req.result.class == OBJSTORE_OK)
            note_stored_locked(s, outer);
    }
    if (c->is_root_read && c->fault.class == OBJSTORE_OK && c->run > s->confirmed)
        s->confirmed = c->run;
    lock_drop(&s->lock);
    outer->result = c->req.result;
    if (c->fault.class != OBJSTORE_OK)
        spoil(c, &outer->result);
    free(c);
    outer->done(outer);
}

static void on_done(struct objstore_req *req)
{
    struct carried *c = req->arg;
    struct ship_store *s = c->store;
    bool held = false;

    lock_take(&s->lock);
    if (c->is_group_put && req->op == OBJSTORE_PUT && req->result.class == OBJSTORE_OK)
        s->counts.groups_stored++;
    s->counts.unchanged += c->is_root_read && req->result.class == OBJSTORE_NOT_MODIFIED;
    if (c->is_group_put && s->hold && s->held_count < HELD_MAX) {
        s->held[s->held_count++] = c;
        held = true;
    }
    lock_drop(&s->lock);
    if (!held)
        answer(c);
}

static void submit(struct objstore *base, struct objstore_req *req)
{
    struct ship_store *s = of(base);
    struct carried *c = calloc(1, sizeof *c);
    enum objkey_kind kind = objkey_parse(req->key).kind;

    assert(c != NULL);
    c->req = *req;
    c->req.done = on_done;
    c->req.arg = c;
    c->req.priv = NULL;
    c->req.state = 0;
    if (req->op == OBJSTORE_LIST && (req->list_max == 0 || req->list_max > SHIP_PAGE))
        c->req.list_max = SHIP_PAGE;
    c->store = s;
    c->outer = req;
    c->is_group_put = req->op == OBJSTORE_PUT && kind == OBJKEY_IS_GROUP;
    c->is_root_read = req->op == OBJSTORE_GET && kind == OBJKEY_IS_ROOT;
    req->priv = c;
    lock_take(&s->lock);
    c->run = s->run;
    count_locked(s, req, kind);
    c->fault = fault_locked(s, req, kind);
    if (c->is_group_put && ++s->in_flight > s->most_in_flight)
        s->most_in_flight = s->in_flight;
    lock_drop(&s->lock);
    if (c->fault.class != OBJSTORE_OK && !c->fault.after_effect) {
        c->req.op = OBJSTORE_GET; /* something that answers from the other thread */
        c->req.condition = OBJSTORE_ALWAYS;
        c->req.body = (struct slice){0};
        c->req.key = "nothing/here";
    }
    objstore_submit(s->inner, &c->req);
}

/* What is held ends at once; what is below ends by itself. */
static void cancel(struct objstore *base, struct objstore_req *req)
{
    struct ship_store *s = of(base);
    struct carried *found = NULL;

    lock_take(&s->lock);
    for (size_t i = 0; i < s->held_count; i++)
        if (s->held[i]->outer == req) {
            found = s->held[i];
            memmove(s->held + i, s->held + i + 1, (s->held_count - i - 1) * sizeof s->held[0]);
            s->held_count--;
            break;
        }
    lock_drop(&s->lock);
    if (found == NULL)
        return;
    found->fault = (struct ship_fault){.class = OBJSTORE_CANCELLED, .after_effect = true};
    answer(found);
}

static void close_nothing(struct objstore *base)
{
    (void)base;
}

static const struct objstore_ops OPS = {.submit = submit, .cancel = cancel, .close = close_nothing};

struct ship_store *ship_store_create(struct objstore *inner)
{
    struct ship_store *s = calloc(1, sizeof *s);

    assert(s != NULL);
    s->base.ops = &OPS;
    (void)snprintf(s->base.description, sizeof s->base.description, "ship test");
    s->inner = inner;
    lock_init(&s->lock, LOCK_RANK_LEAF, "ship store");
    return s;
}

void ship_store_destroy(struct ship_store *s)
{
    assert(s->held_count == 0 && s->in_flight == 0);
    lock_fini(&s->lock);
    free(s);
}

struct objstore *ship_store(struct ship_store *s)
{
    return &s->base;
}

void ship_store_fail(struct ship_store *s, const struct ship_fault *fault)
{
    lock_take(&s->lock);
    assert(s->fault_count < FAULTS_MAX);
    s->faults[s->fault_count++] = *fault;
    lock_drop(&s->lock);
}

void ship_store_heal(struct ship_store *s)
{
    lock_take(&s->lock);
    s->fault_count = 0;
    lock_drop(&s->lock);
}

void ship_store_hold(struct ship_store *s, bool hold)
{
    lock_take(&s->lock);
    s->hold = hold;
    lock_drop(&s->lock);
}

size_t ship_store_held(struct ship_store *s)
{
    size_t n;

    lock_take(&s->lock);
    n = s->held_count;
    lock_drop(&s->lock);
    return n;
}

void ship_store_let_go(struct ship_store *s, size_t n)
{
    struct carried *c;

    lock_take(&s->lock);
    assert(n < s->held_count);
    c = s->held[n];
    memmove(s->held + n, s->held + n + 1, (s->held_count - n - 1) * sizeof s->held[0]);
    s->held_count--;
    lock_drop(&s->lock);
    answer(c);
}

struct ship_counts ship_store_counts(struct ship_store *s)
{
    struct ship_counts c;

    lock_take(&s->lock);
    c = s->counts;
    lock_drop(&s->lock);
    return c;
}

size_t ship_store_most_in_flight(struct ship_store *s)
{
    size_t n;

    lock_take(&s->lock);
    n = s->most_in_flight;
    lock_drop(&s->lock);
    return n;
}

uint64_t ship_store_confirmed(struct ship_store *s)
{
    uint64_t n;

    lock_take(&s->lock);
    n = s->confirmed;
    lock_drop(&s->lock);
    return n;
}
