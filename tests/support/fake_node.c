/* The thread that answers, what a test sets, and what a node is asked as a whole. */
#include "tests/support/fake_node_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

const char *node_policy_name(enum node_policy p)
{
    return p == NODE_MEMORY ? "Memory" : p == NODE_MEMORY_S3 ? "MemoryS3" : "S3Only";
}

bool node_policy_parse(const char *text, enum node_policy *out)
{
    for (int p = NODE_MEMORY; p <= NODE_S3_ONLY; p++) {
        if (strcmp(text, node_policy_name((enum node_policy)p)) == 0) {
            *out = (enum node_policy)p;
            return true;
        }
    }
    return false;
}

/* --- the thread that completes --- */

static void complete_export(struct completion *c, const struct err *err)
{
    struct buf text;

    buf_init(&text, 4096);
    if (c->st == ST_OK)
        buf_put_text(&text, c->text);
    c->exported(c->arg, c->st, c->st == ST_OK ? &text : NULL, err);
    buf_free(&text);
}

void fake_complete(struct completion *c)
{
    const struct err *err = c->st == ST_OK ? NULL : &c->err;

    if (c->write != NULL)
        c->write(c->arg, c->st, c->st == ST_OK ? &c->result : NULL, err);
    else if (c->letters != NULL)
        c->letters(c->arg, c->st, c->st == ST_OK || c->dlq_result ? &c->dlq : NULL, err);
    else if (c->snapshot != NULL)
        c->snapshot(c->arg, c->st, c->st == ST_OK ? &c->shot : NULL, err);
    else if (c->exported != NULL)
        complete_export(c, err);
    else
        c->admin(c->arg, c->st, c->st == ST_OK ? &c->info : NULL, err);
    free(c);
}

static void run(void *arg)
{
    struct node *n = arg;

    fake_take(n);
    for (;;) {
        struct completion *c = n->s.first;

        if (c == NULL && n->s.stopping)
            break;
        if (c == NULL || n->s.held) {
            cond_wait(&n->s.changed, &n->s.lock);
            continue;
        }
        n->s.first = c->next;
        if (n->s.first == NULL)
            n->s.last = &n->s.first;
        fake_drop(n);
        fake_complete(c);
        fake_take(n);
    }
    fake_drop(n);
}

struct completion *fake_completion(void *arg, status st, const char *text)
{
    struct completion *c = calloc(1, sizeof *c);

    assert(c != NULL);
    c->arg = arg;
    c->st = st;
    if (st != ST_OK)
        (void)err_set(&c->err, st, "%s", text);
    return c;
}

void fake_queue_locked(struct node *n, struct completion *c)
{
    *n->s.last = c;
    n->s.last = &c->next;
    cond_broadcast(&n->s.changed);
}

struct node *fake_node_create(void)
{
    struct node *n = calloc(1, sizeof *n);
    status st;

    assert(n != NULL);
    lock_init(&n->s.lock, LOCK_RANK_NODE, "fake node");
    cond_init(&n->s.changed);
    n->s.last = &n->s.first;
    n->s.ready = true;
    fake_bucket_open(n);
    st = thread_start(&n->thread, "fake-node", THREAD_NORMAL, run, n, NULL);
    assert(st == ST_OK);
    (void)st;
    return n;
}

void fake_node_destroy(struct node *n)
{
    fake_take(n);
    n->s.stopping = true;
    n->s.held = false;
    cond_broadcast(&n->s.changed);
    fake_drop(n);
    thread_join(&n->thread);
    exec_close(n->s.cold);
    while (n->s.collections != NULL) {
        struct collection *c = n->s.collections;

        n->s.collections = c->next;
        for (size_t i = 0; i < c->count; i++)
            fake_row_free(&c->rows[i]);
        free(c->rows);
        buf_free(&c->setting);
        free(c);
    }
    fake_bucket_close(n);
    cond_fini(&n->s.changed);
    lock_fini(&n->s.lock);
    free(n);
}

/* --- what a test sets and asks --- */

void fake_node_hold(struct node *n, bool held)
{
    fake_take(n);
    n->s.held = held;
    cond_broadcast(&n->s.changed);
    fake_drop(n);
}

void fake_node_forget(struct node *n)
{
    fake_take(n);
    n->s.forget = true;
    fake_drop(n);
}

void fake_node_fail_write(struct node *n, status st)
{
    fake_take(n);
    n->s.fail_write = st;
    fake_drop(n);
}

void fake_node_fail_query(struct node *n, status st)
{
    fake_take(n);
    n->s.fail_query = st;
    fake_drop(n);
}

void fake_node_query_ms(struct node *n, uint32_t ms)
{
    fake_take(n);
    n->s.query_ms = ms;
    fake_drop(n);
}

void fake_node_set_ready(struct node *n, bool ready)
{
    fake_take(n);
    n->s.ready = ready;
    fake_drop(n);
}

void fake_node_set_degraded(struct node *n, const char *reason)
{
    fake_take(n);
    (void)snprintf(n->s.reason, sizeof n->s.reason, "%s", reason);
    fake_drop(n);
}

int fake_node_pins(struct node *n)
{
    int pins;

    fake_take(n);
    pins = n->s.pins;
    fake_drop(n);
    return pins;
}

int fake_node_keys_owed(struct node *n)
{
    int owed;

    fake_take(n);
    owed = n->s.keys_owed;
    fake_drop(n);
    return owed;
}

unsigned fake_node_writes(struct node *n)
{
    unsigned writes;

    fake_take(n);
    writes = n->s.writes;
    fake_drop(n);
    return writes;
}

unsigned fake_node_queries(struct node *n)
{
    unsigned queries;

    fake_take(n);
    queries = n->s.queries;
    fake_drop(n);
    return queries;
}

/* --- the node --- */

bool node_ready(struct node *n, double *progress)
{
    bool ready;

    fake_take(n);
    ready = n->s.ready;
    fake_drop(n);
    if (progress != NULL)
        *progress = ready ? 1.0 : 0.25;
    return ready;
}

void node_set_readonly(struct node *n, bool readonly)
{
    fake_take(n);
    n->s.readonly = readonly;
    fake_drop(n);
}

void node_reload(struct node *n, node_reload_done_fn *done, void *arg)
{
    struct buf json;

    (void)n;
    buf_init(&json, 256);
    buf_put_text(&json, "{\"changed\":[\"logging.level\"],\"needs_restart\":[]}");
    done(arg, ST_OK, &json, NULL);
    buf_free(&json);
}

void node_health(struct node *n, struct node_health *out)
{
    fake_take(n);
    *out = (struct node_health){.degraded = n->s.reason[0] != '\0',
                                .disk_full = strstr(n->s.reason, "disk is full") != NULL};
    if (out->degraded) {
        memcpy(out->reasons[0], n->s.reason, sizeof out->reasons[0]);
        out->reason_count = 1;
    }
    fake_drop(n);
}

void node_status(struct node *n, struct node_status *out)
{
    fake_take(n);
    *out = n->s.bucket;
    (void)snprintf(out->node_id, sizeof out->node_id, "fake");
    out->uptime_ns = 1500000000;
    out->readonly = n->s.readonly;
    for (struct collection *c = n->s.collections; c != NULL; c = c->next) {
        out->collections += c->dropped ? 0 : 1;
        out->documents += c->dropped ? 0 : c->count;
    }
    fake_drop(n);
}
