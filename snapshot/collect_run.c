#include "snapshot/collect_run.h"

#include "base/mem.h"

#include <stdio.h>

struct turn {
    struct collect *c;
    const struct collect_shell *shell;
    struct collect_effect effect;
    struct collect_event event;
    /* What the event points into. */
    struct objstore_req req;
    struct root *root;
    struct pin pin;
    struct manifest manifest;
    struct err err;
};

static uint64_t now_ms(const struct turn *t)
{
    return clock_mono_ns(t->shell->ask.clock) / 1000000;
}

static void begin_event(struct turn *t, enum collect_event_kind kind)
{
    t->event = (struct collect_event){
        .kind = kind, .now_ms = now_ms(t), .wall_ns = clock_wall_ns(t->shell->ask.clock)};
}

/* A request of the effect: its class, text and time become the event's. */
static bool ask(struct turn *t, const struct objstore_req *what)
{
    struct ask_tries tries = {0};
    bool ok;

    t->req = *what;
    ok = ask_send(&t->shell->ask, &t->req, &tries, &t->err) == ST_OK;
    t->event.class = t->req.result.class;
    if (!ok && t->event.class == OBJSTORE_OK) /* stopped before it was sent */
        t->event.class = OBJSTORE_CANCELLED;
    t->event.text = t->err.text;
    t->event.date_ns = t->req.result.date_ns;
    t->event.retry_after_ms = t->req.result.retry_after_ms;
    return ok;
}

static bool get(struct turn *t, const char *key, size_t bytes_max)
{
    return ask(t,
               &(struct objstore_req){
                   .op = OBJSTORE_GET, .pool = OBJSTORE_BULK, .key = key, .bytes_max = bytes_max});
}

/* What a decoder said of an object that came. */
static void decoded(struct turn *t, const char *key, status st)
{
    if (st == ST_OK)
        return;
    (void)err_wrap(&t->err, st, "%s", key);
    t->event.text = t->err.text;
    t->event.class = st == ST_NOMEM ? OBJSTORE_TRANSIENT : OBJSTORE_INTEGRITY;
}

static void read_root(struct turn *t)
{
    char key[OBJKEY_BYTES];

    objkey_root(t->c->options.collection, key);
    if (!get(t, key, ROOT_BYTES_MAX))
        return;
    decoded(
        t, key,
        root_decode(buf_slice(&t->req.result.body), t->c->options.collection, t->root, &t->err));
    t->event.root = t->root;
}

static void read_pin(struct turn *t)
{
    if (!get(t, t->effect.key, 0))
        return;
    decoded(t, t->effect.key, pin_decode(buf_slice(&t->req.result.body), &t->pin, &t->err));
    t->event.pin = &t->pin;
}

static void read_manifest(struct turn *t)
{
    if (!get(t, t->effect.key, MANIFEST_BYTES_MAX))
        return;
    decoded(t, t->effect.key,
            manifest_decode(buf_slice(&t->req.result.body), t->c->options.collection, &t->manifest,
                            &t->err));
    t->event.body = &t->manifest;
}

static void list(struct turn *t)
{
    const char *after = t->effect.start_after;

    if (!ask(t, &(struct objstore_req){.op = OBJSTORE_LIST,
                                       .pool = OBJSTORE_BULK,
                                       .key = t->effect.prefix,
                                       .start_after = after[0] != '\0' ? after : NULL}))
        return;
    t->event.entries = t->req.result.entries;
    t->event.entry_count = t->req.result.entry_count;
    t->event.truncated = t->req.result.truncated;
}

static void mark(struct turn *t)
{
    status st = t->shell->mark(t->shell->arg, t->effect.revision, &t->err);

    t->event.class = st == ST_OK ? OBJSTORE_OK : OBJSTORE_PRECONDITION;
    t->event.text = t->err.text;
}

static bool may_delete(struct turn *t)
{
    status st = t->shell->check == NULL ? ST_OK : t->shell->check(t->shell->arg, &t->err);

    if (st == ST_OK)
        return true;
    t->event.class = st == ST_CLOSED           ? OBJSTORE_CANCELLED
                     : status_is_transient(st) ? OBJSTORE_TRANSIENT
                                               : OBJSTORE_PRECONDITION;
    t->event.text = t->err.text;
    return false;
}

static void delete (struct turn *t)
{
    if (!may_delete(t)) {
        t->req.key = NULL;
        return;
    }
    for (size_t i = t->effect.first; i < t->effect.first + t->effect.count; i++) {
        char key[OBJKEY_BYTES];

        collect_key(t->c, i, key);
        objstore_result_fini(&t->req.result);
        if (!ask(
                t,
                &(struct objstore_req){.op = OBJSTORE_DELETE, .pool = OBJSTORE_BULK, .key = key}) &&
            t->event.class != OBJSTORE_NOT_FOUND) {
            t->req.key = NULL;
            return;
        }
        t->event.class = OBJSTORE_OK;
    }
    t->req.key = NULL;
}

static void carry_out(struct turn *t)
{
    begin_event(t, COLLECT_ANSWER);
    t->req = (struct objstore_req){.op = OBJSTORE_GET};
    manifest_init(&t->manifest);
    t->err = (struct err){0};
    switch (t->effect.kind) {
    case COLLECT_READ_ROOT:
        read_root(t);
        break;
    case COLLECT_LIST:
        list(t);
        break;
    case COLLECT_MARK:
        mark(t);
        break;
    case COLLECT_READ_PIN:
        read_pin(t);
        break;
    case COLLECT_READ_MANIFEST:
        read_manifest(t);
        break;
    case COLLECT_DELETE:
        delete (t);
        break;
    case COLLECT_TIMER:
    case COLLECT_FINISHED:
        break;
    }
    t->event.now_ms = now_ms(t);
    collect_step(t->c, &t->event, &t->effect);
    manifest_free(&t->manifest);
    objstore_result_fini(&t->req.result);
}

static status ended(const struct turn *t, struct err *err)
{
    status st = objstore_class_status(t->effect.class);

    return st == ST_OK ? ST_OK : err_set(err, st, "%s", t->effect.text);
}

/* Requests were tried again already as the ask's policy has it; what failed all the same ends the
 * run, and a later one plans anew. Only for readers' grace a run waits. */
static bool waits_for_more_than_grace(const struct turn *t)
{
    return t->effect.kind == COLLECT_TIMER && (t->c->at != COLLECT_AT_CHECK || t->c->failures > 0);
}

static void stop(struct turn *t)
{
    begin_event(t, COLLECT_STOP);
    collect_step(t->c, &t->event, &t->effect);
}

status collect_turn(struct collect *c, const struct collect_shell *shell, uint64_t *again_ms,
                    struct err *err)
{
    struct turn t = {.c = c, .shell = shell, .root = mem_alloc(sizeof *t.root)};
    status st = ST_OK;

    *again_ms = 0;
    if (t.root == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    begin_event(&t, c->at == COLLECT_AT_REST ? COLLECT_BEGIN
                    : c->waiting             ? COLLECT_TICK
                                             : COLLECT_AGAIN);
    collect_step(c, &t.event, &t.effect);
    while (t.effect.kind != COLLECT_TIMER && t.effect.kind != COLLECT_FINISHED) {
        bool deleting = t.effect.kind == COLLECT_DELETE;

        carry_out(&t);
        if (deleting && c->at == COLLECT_AT_CHECK)
            break;
    }
    if (t.effect.kind == COLLECT_FINISHED) {
        st = ended(&t, err);
    } else if (waits_for_more_than_grace(&t)) {
        st = err_set(err, ST_UNAVAILABLE, "%s", t.err.text);
        stop(&t);
    } else {
        *again_ms = t.effect.kind == COLLECT_TIMER ? t.effect.at_ms : now_ms(&t) + 1;
    }
    mem_free(t.root);
    return st;
}
