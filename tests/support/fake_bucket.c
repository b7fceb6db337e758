/* The side of node/bucket.h: letters in a table as the node's own, everything else as a test set
 * it. */
#include "tests/support/fake_node_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void fake_bucket_open(struct node *n)
{
    size_t damaged = 0;
    status st = dlq_open(&(struct dlq_options){0}, &n->s.dlq, &damaged, NULL);

    assert(st == ST_OK);
    (void)st;
}

void fake_bucket_close(struct node *n)
{
    dlq_close(n->s.dlq);
}

/* --- what a test sets --- */

void fake_node_set_bucket(struct node *n, const struct node_status *bucket)
{
    fake_take(n);
    n->s.bucket = *bucket;
    fake_drop(n);
}

void fake_node_fail_bucket(struct node *n, status st)
{
    fake_take(n);
    n->s.fail_bucket = st;
    fake_drop(n);
}

void fake_node_short_of_remote(struct node *n, bool is_short)
{
    fake_take(n);
    n->s.short_of_remote = is_short;
    fake_drop(n);
}

void fake_node_set_phase(struct node *n, const char *name, const char *phase, bool switching)
{
    struct collection *c;

    fake_take(n);
    c = fake_find_locked(n, name, strlen(name));
    assert(c != NULL);
    c->info.phase = phase;
    c->info.switching = switching;
    (void)snprintf(c->info.owner, sizeof c->info.owner, "other");
    fake_drop(n);
}

void fake_node_stop_log(struct node *n, const char *name)
{
    struct collection *c;

    fake_take(n);
    c = fake_find_locked(n, name, strlen(name));
    assert(c != NULL);
    c->info.log_stopped = true;
    fake_drop(n);
}

uint64_t fake_node_add_letter(struct node *n, const char *name, struct letter letter)
{
    struct collection *c;
    uint64_t id = 0;
    bool fine;

    fake_take(n);
    c = fake_find_locked(n, name, strlen(name));
    fine = c != NULL && uuid_parse(c->info.id, strlen(c->info.id), letter.collection);
    fake_drop(n);
    fine = fine && dlq_put(n->s.dlq, &letter, &id, NULL) == ST_OK;
    assert(fine);
    return id;
}

status fake_refusal_of_bucket_locked(struct node *n)
{
    status st = n->s.fail_bucket;

    n->s.fail_bucket = ST_OK;
    return st;
}

/* --- letters --- */

const char *node_durability_name(enum node_durability d)
{
    return d == NODE_REMOTE ? "remote" : "local";
}

bool node_durability_parse(const char *text, enum node_durability *out)
{
    *out = strcmp(text, "remote") == 0 ? NODE_REMOTE : NODE_LOCAL;
    return strcmp(text, "remote") == 0 || strcmp(text, "local") == 0;
}

struct dlq *node_dlq(struct node *n)
{
    return n->s.dlq;
}

enum { FAKE_LETTERS = 64 };

/* The letters that ids name, or all of the collection. */
static size_t chosen(struct collection *c, const uint64_t *ids, size_t count,
                     struct letter out[FAKE_LETTERS])
{
    uint8_t collection[16];
    size_t total;
    size_t n = 0;

    if (!uuid_parse(c->info.id, strlen(c->info.id), collection))
        return 0;
    if (ids == NULL)
        return dlq_list(c->node->s.dlq, &(struct dlq_filter){.collection = collection}, 0, out,
                        FAKE_LETTERS, &total);
    for (size_t i = 0; i < count && n < FAKE_LETTERS; i++)
        n += dlq_get(c->node->s.dlq, ids[i], &out[n], NULL) == ST_OK;
    return n;
}

static struct completion *begin_letters(struct collection *c, size_t found, node_dlq_fn *done,
                                        void *arg)
{
    status st = fake_refusal_of_bucket_locked(c->node);
    struct completion *made;

    if (st == ST_OK && found == 0)
        st = ST_NOT_FOUND;
    made = fake_completion(arg, st, "the fake node was told to refuse, or has no such letter");
    made->letters = done;
    return made;
}

static void drop_letter(struct collection *c, const struct letter *l)
{
    status st = dlq_remove(c->node->s.dlq, l->id, NULL);

    assert(st == ST_OK);
    (void)st;
}

/* What is of class "permanent" fails again. */
void node_dlq_retry(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                    void *arg)
{
    struct letter letters[FAKE_LETTERS];
    size_t found = chosen(c, ids, count, letters);
    struct completion *made;

    fake_take(c->node);
    made = begin_letters(c, ids == NULL ? 1 : found, done, arg);
    made->dlq.retried = found;
    for (size_t i = 0; i < found && made->st == ST_OK; i++) {
        bool fails = strcmp(letters[i].class, "permanent") == 0;

        made->dlq.failed += fails;
        made->dlq.succeeded += !fails;
        if (fails)
            (void)snprintf(made->dlq.text, sizeof made->dlq.text, "%s", letters[i].message);
        else
            drop_letter(c, &letters[i]);
    }
    fake_queue_locked(c->node, made);
    fake_drop(c->node);
}

void node_dlq_replay(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                     void *arg)
{
    struct letter letters[FAKE_LETTERS];
    size_t found = chosen(c, ids, count, letters);
    struct completion *made;

    fake_take(c->node);
    made = begin_letters(c, found, done, arg);
    for (size_t i = 0; i < found && made->st == ST_OK; i++) {
        if (letters[i].kind != LETTER_DIVERGENT_TAIL)
            made->st = err_set(&made->err, ST_INVALID, "letter %u is no divergent tail",
                               (unsigned)letters[i].id);
        else
            made->dlq.records += letters[i].lsn_last - letters[i].lsn_first + 1;
    }
    fake_queue_locked(c->node, made);
    fake_drop(c->node);
}

void node_dlq_discard(struct collection *c, const uint64_t *ids, size_t count,
                      uint64_t confirm_first, uint64_t confirm_last, bool dropped,
                      node_dlq_fn *done, void *arg)
{
    struct letter letters[FAKE_LETTERS];
    size_t found = chosen(c, ids, count, letters);
    struct completion *made;

    fake_take(c->node);
    made = begin_letters(c, found, done, arg);
    made->dlq.lsn_first = UINT64_MAX;
    for (size_t i = 0; i < found; i++) {
        if (letters[i].lsn_first < made->dlq.lsn_first)
            made->dlq.lsn_first = letters[i].lsn_first;
        if (letters[i].lsn_last > made->dlq.lsn_last)
            made->dlq.lsn_last = letters[i].lsn_last;
    }
    if (made->st == ST_OK &&
        (made->dlq.lsn_first != confirm_first || made->dlq.lsn_last != confirm_last)) {
        made->st = err_set(&made->err, ST_CONFLICT, "the range is another one");
        made->dlq_result = true;
    }
    made->dlq.records = made->dlq.lsn_last - made->dlq.lsn_first + 1;
    (void)snprintf(made->dlq.file, sizeof made->dlq.file, "/data/dlq/%s.ndjson",
                   dropped ? "dropped" : "kept");
    for (size_t i = 0; i < found && made->st == ST_OK; i++)
        drop_letter(c, &letters[i]);
    fake_queue_locked(c->node, made);
    fake_drop(c->node);
}

void node_dlq_split(struct collection *c, const uint64_t *ids, size_t count, node_dlq_fn *done,
                    void *arg)
{
    struct completion *made;

    (void)ids;
    (void)count;
    fake_take(c->node);
    made = fake_completion(arg, ST_UNSUPPORTED, "no store has refused a group for its size");
    made->letters = done;
    fake_queue_locked(c->node, made);
    fake_drop(c->node);
}

void node_dlq_export(struct collection *c, uint64_t id, node_export_fn *done, void *arg)
{
    struct completion *made;

    (void)id;
    fake_take(c->node);
    made = fake_completion(arg, fake_refusal_of_bucket_locked(c->node), "told to refuse");
    made->exported = done;
    made->text = "{\"op\":\"delete\",\"lsn\":7,\"doc_id\":1}\n";
    fake_queue_locked(c->node, made);
    fake_drop(c->node);
}

/* --- snapshots --- */

static void shoot(struct collection *c, const char *name, node_snapshot_fn *done, void *arg)
{
    struct completion *made;

    fake_take(c->node);
    if (name != NULL && !c->info.has_bucket)
        made = fake_completion(arg, ST_INVALID, "only a bucket-backed collection has named ones");
    else
        made = fake_completion(arg, fake_refusal_of_bucket_locked(c->node), "told to refuse");
    made->snapshot = done;
    c->info.snapshot_lsn = c->info.last_lsn;
    made->shot = (struct node_snapshot_result){.checkpoint_lsn = c->info.last_lsn,
                                               .checkpoint_bytes = 4096,
                                               .checkpoint_at_ns = 1700000001000000000u};
    if (c->info.has_bucket) {
        made->shot.lsn = c->info.last_lsn;
        made->shot.objects = 2;
        made->shot.bytes = 100;
        made->shot.revision = 3;
    }
    if (name != NULL)
        (void)snprintf(made->shot.pin, sizeof made->shot.pin, "pin-of-%.20s", name);
    fake_queue_locked(c->node, made);
    fake_drop(c->node);
}

void node_snapshot(struct collection *c, const char *name, node_snapshot_fn *done, void *arg)
{
    shoot(c, name, done, arg);
}

void node_compact(struct collection *c, bool anew, node_snapshot_fn *done, void *arg)
{
    (void)anew;
    shoot(c, NULL, done, arg);
}

static void admin(struct collection *c, struct node *n, status st, node_admin_fn *done, void *arg)
{
    struct completion *made = fake_completion(arg, st, "told to refuse, or not there");

    made->admin = done;
    if (c != NULL)
        made->info = c->info;
    fake_queue_locked(n, made);
}

void node_take_ownership(struct collection *c, node_admin_fn *done, void *arg)
{
    status st;

    fake_take(c->node);
    st = c->info.has_bucket ? fake_refusal_of_bucket_locked(c->node) : ST_INVALID;
    if (st == ST_OK && strcmp(c->info.phase, "diverged") != 0) /* that one is loaded anew */
        c->info.phase = "owned";
    admin(c, c->node, st, done, arg);
    fake_drop(c->node);
}

void node_republish(struct collection *c, node_admin_fn *done, void *arg)
{
    node_take_ownership(c, done, arg);
}

void node_breaker_reset(struct node *n, const char **before, const char **after)
{
    fake_take(n);
    *before = n->s.bucket.has_bucket ? n->s.bucket.breaker : NULL;
    *after = n->s.bucket.has_bucket ? "half_open" : NULL;
    fake_drop(n);
}

/* The store has grade A, and was never found wanting. */
void node_probe_store(struct node *n, bool accept, node_probe_fn *done, void *arg)
{
    static const struct node_probe_result result = {
        .grade = "A", .mode = "full", .server = "fake", .verdict = "grade A: it is fake"};
    const struct err none = {.code = ST_INVALID, .text = "this node has no bucket to probe"};
    bool has;

    (void)accept;
    fake_take(n);
    has = n->s.bucket.has_bucket;
    fake_drop(n);
    done(arg, has ? ST_OK : ST_INVALID, has ? &result : NULL, &none);
}

/* One that has ended at once. */
status node_vacuum(struct node *n, bool dry_run, struct err *err)
{
    bool has;

    fake_take(n);
    has = n->s.bucket.has_bucket;
    n->s.vacuumed = n->s.vacuumed || has;
    n->s.vacuumed_dry = dry_run;
    fake_drop(n);
    return has ? ST_OK : err_set(err, ST_INVALID, "this node has no bucket");
}

bool node_vacuum_shown(struct node *n, struct node_vacuum *out)
{
    bool any;

    *out = (struct node_vacuum){
        .started_at_ns = 1700000000000000000u,
        .ended_at_ns = 1700000001000000000u,
        .goes = {1, 7, 4096},
        .unknown = {1, 2, 3},
        .served = 5,
        .items = {{"00000000-0000-7000-8000-000000000001", "goes", 7, 4096, 0}},
        .item_count = 1};
    fake_take(n);
    any = n->s.vacuumed;
    out->dry_run = n->s.vacuumed_dry;
    fake_drop(n);
    out->deleted = out->dry_run ? 0 : 7;
    return any;
}

/* --- aliases --- */

void node_alias_set(struct node *n, const char *alias, struct collection *c, node_admin_fn *done,
                    void *arg)
{
    status st;
    size_t at = 0;

    fake_take(n);
    st = fake_refusal_of_bucket_locked(n);
    while (at < n->s.alias_count && strcmp(n->s.aliases[at].alias, alias) < 0)
        at++;
    if (st == ST_OK && (at == n->s.alias_count || strcmp(n->s.aliases[at].alias, alias) != 0)) {
        assert(n->s.alias_count < FAKE_ALIASES);
        memmove(&n->s.aliases[at + 1], &n->s.aliases[at],
                (n->s.alias_count++ - at) * sizeof n->s.aliases[0]);
        (void)snprintf(n->s.aliases[at].alias, sizeof n->s.aliases[at].alias, "%s", alias);
    }
    if (st == ST_OK)
        n->s.aliases[at].collection = c;
    admin(c, n, st, done, arg);
    fake_drop(n);
}

void node_alias_remove(struct node *n, const char *alias, node_admin_fn *done, void *arg)
{
    status st;
    size_t at = 0;

    fake_take(n);
    st = fake_refusal_of_bucket_locked(n);
    while (at < n->s.alias_count && strcmp(n->s.aliases[at].alias, alias) != 0)
        at++;
    if (st == ST_OK && at == n->s.alias_count)
        st = ST_NOT_FOUND;
    if (st == ST_OK)
        memmove(&n->s.aliases[at], &n->s.aliases[at + 1],
                (--n->s.alias_count - at) * sizeof n->s.aliases[0]);
    admin(NULL, n, st, done, arg);
    fake_drop(n);
}

static size_t alias_at_locked(const struct node *n, const char *alias)
{
    size_t at = 0;

    while (at < n->s.alias_count && strcmp(n->s.aliases[at].alias, alias) != 0)
        at++;
    return at;
}

static void alias_put_locked(struct node *n, const char *alias, struct collection *c)
{
    size_t at = alias_at_locked(n, alias);

    if (at == n->s.alias_count) {
        assert(n->s.alias_count < FAKE_ALIASES);
        at = 0;
        while (at < n->s.alias_count && strcmp(n->s.aliases[at].alias, alias) < 0)
            at++;
        memmove(&n->s.aliases[at + 1], &n->s.aliases[at],
                (n->s.alias_count++ - at) * sizeof n->s.aliases[0]);
        (void)snprintf(n->s.aliases[at].alias, sizeof n->s.aliases[at].alias, "%s", alias);
    }
    n->s.aliases[at].collection = c;
}

static void alias_take_locked(struct node *n, size_t at)
{
    memmove(&n->s.aliases[at], &n->s.aliases[at + 1],
            (--n->s.alias_count - at) * sizeof n->s.aliases[0]);
}

static status alias_act_locked(struct node *n, const struct node_alias_action *a)
{
    size_t at = alias_at_locked(n, a->alias);
    struct collection *c;

    if (a->collection != NULL) {
        c = fake_find_locked(n, a->collection, strlen(a->collection));
        if (c != NULL)
            alias_put_locked(n, a->alias, c);
        return c != NULL ? ST_OK : ST_NOT_FOUND;
    }
    if (at == n->s.alias_count)
        return a->renamed != NULL ? ST_NOT_FOUND : ST_OK;
    c = n->s.aliases[at].collection;
    alias_take_locked(n, at);
    if (a->renamed != NULL)
        alias_put_locked(n, a->renamed, c);
    return ST_OK;
}

void node_alias_change(struct node *n, const struct node_alias_action *actions, size_t count,
                       node_admin_fn *done, void *arg)
{
    status st;

    fake_take(n);
    st = fake_refusal_of_bucket_locked(n);
    for (size_t i = 0; i < count && st == ST_OK; i++)
        st = alias_act_locked(n, &actions[i]);
    admin(NULL, n, st, done, arg);
    fake_drop(n);
}

size_t node_alias_list(struct node *n, const char *after, struct node_alias *out, size_t max)
{
    size_t count = 0;

    fake_take(n);
    for (size_t i = 0; i < n->s.alias_count && count < max; i++) {
        const struct collection *c = n->s.aliases[i].collection;

        if (after != NULL && strcmp(n->s.aliases[i].alias, after) <= 0)
            continue;
        (void)snprintf(out[count].alias, sizeof out->alias, "%s", n->s.aliases[i].alias);
        (void)snprintf(out[count].collection, sizeof out->collection, "%s", c->info.name);
        memcpy(out[count++].collection_id, c->info.id, sizeof out->collection_id);
    }
    fake_drop(n);
    return count;
}
