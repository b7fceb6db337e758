/* The root is read and changed by one request at a time. A CAS is sent until its fate is known:
 * 200, or 412 and then a look for our nonce. Until then nothing else is asked of the root, so
 * nothing later is committed and no fence read is believed (docs/protocol.md, rule 6). */
#include "tiering/stream_internal.h"

#include <string.h>

bool op_idle(const struct stream *s)
{
    return s->core.op.purpose == OP_NONE;
}

void op_stop(struct stream *s)
{
    struct stream_op *op = &s->core.op;

    op->purpose = OP_NONE;
    op->wait = (struct stream_wait){0};
}

static void op_start(struct stream *s, enum op_purpose purpose, bool write)
{
    struct stream_op *op = &s->core.op;

    op->purpose = purpose;
    op->write = write;
    op->resolve = false;
    op->maybe = false;
    op->misses = 0;
    stream_wait_start(s, &op->wait);
}

void op_read(struct stream *s, enum op_purpose purpose, uint64_t at_ms)
{
    op_start(s, purpose, false);
    s->core.op.wait.next_try_ms = at_ms;
}

void op_write(struct stream *s, enum op_purpose purpose)
{
    struct stream_op *op = &s->core.op;

    op_start(s, purpose, true);
    if (purpose == OP_CREATE) {
        op->etag[0] = '\0';
        op->next.revision = 1;
        memcpy(op->next.nonce, s->core.nonce, sizeof op->next.nonce);
    } else {
        memcpy(op->etag, s->etag, sizeof op->etag);
        root_next(&op->next, s->core.nonce);
    }
}

void op_advance(struct stream *s, struct stream_effects *out)
{
    struct stream_op *op = &s->core.op;
    struct stream_effect *effect;

    if (op->purpose == OP_NONE || s->core.stopped || !stream_wait_due(s, &op->wait))
        return;
    op->wait.token = stream_token(s);
    if (op->write && !op->resolve) {
        effect = stream_emit(out, STREAM_DO_PUT_ROOT);
        effect->root = &op->next;
        effect->etag = op->etag;
    } else {
        effect = stream_emit(out, STREAM_DO_READ_ROOT);
        effect->conditional =
            (op->purpose == OP_FENCE || op->purpose == OP_FENCED_READ) && s->has_root;
        effect->etag = effect->conditional ? s->etag : "";
    }
    effect->token = op->wait.token;
}

static void adopt(struct stream *s, const struct root *root, const char *etag)
{
    size_t bytes = etag != NULL ? strnlen(etag, sizeof s->etag - 1) : 0;

    s->root = *root;
    s->has_root = true;
    memset(s->etag, 0, sizeof s->etag);
    if (bytes > 0)
        memcpy(s->etag, etag, bytes);
}

/* What a CAS came to: the root as it is now is in s->root. */
static void written(struct stream *s, struct stream_effects *out, int purpose, bool won)
{
    op_stop(s);
    switch (purpose) {
    case OP_TAKE:
        owner_taken(s, out, won);
        break;
    case OP_CLOSE:
        owner_closed(s, out, won);
        break;
    case OP_CREATE:
    case OP_REPLACE:
        create_done(s, out, won);
        break;
    case OP_COMMIT:
        commit_done(s, out, won);
        break;
    case OP_MARK:
        mark_done(s, out, won);
        break;
    case OP_DROP:
        drop_done(s, out, won);
        break;
    default:
        break;
    }
}

static void was_read(struct stream *s, struct stream_effects *out, int purpose)
{
    op_stop(s);
    switch (purpose) {
    case OP_TAKE_READ:
    case OP_LOST_READ:
        owner_root_known(s, out);
        break;
    case OP_TAKE_AGAIN:
        owner_still_taking(s, out);
        break;
    case OP_FENCE:
        remote_fence_seen(s, out);
        break;
    case OP_FENCED_READ:
        owner_fenced_read(s, out);
        break;
    case OP_DROP_READ:
        drop_root_known(s, out);
        break;
    default:
        break;
    }
}

static void missed(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_op *op = &s->core.op;

    stream_wait_failed(s, &op->wait, "read root", e);
    if (++op->misses < STREAM_ROOT_MISSES)
        return;
    if (op->purpose == OP_DROP_READ || op->purpose == OP_DROP) {
        op_stop(s);
        s->has_root = false;
        drop_done(s, out, true);
        return;
    }
    if (op->purpose == OP_CREATE) { /* what was in the way is gone */
        op->resolve = false;
        op->misses = 0;
        return;
    }
    if (op->purpose == OP_REPLACE) {
        op_write(s, OP_CREATE);
        return;
    }
    owner_root_lost(s, out);
}

void op_on_read(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_op *op = &s->core.op;

    if (op->purpose == OP_NONE || e->token == 0 || e->token != op->wait.token)
        return;
    if (e->class == OBJSTORE_NOT_FOUND) {
        missed(s, e, out);
        return;
    }
    if ((e->class == OBJSTORE_OK && e->root == NULL) ||
        (e->class != OBJSTORE_OK && e->class != OBJSTORE_NOT_MODIFIED)) {
        stream_wait_failed(s, &op->wait, "read root", e);
        return;
    }
    if (e->class == OBJSTORE_OK)
        adopt(s, e->root, e->etag);
    if (op->resolve)
        written(s, out, op->purpose, root_has_nonce(&s->root, op->next.nonce));
    else
        was_read(s, out, op->purpose);
}

/* A CAS that cannot have taken effect and is refused again and again; what the node waits for is
 * answered, what the protocol needs goes on. */
static bool gives_up(const struct stream *s)
{
    const struct stream_op *op = &s->core.op;

    return !op->maybe && op->wait.hard_failures > s->options.max_retries &&
           (op->purpose == OP_COMMIT || op->purpose == OP_MARK || op->purpose == OP_CREATE ||
            op->purpose == OP_REPLACE);
}

static void refused(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    int purpose = s->core.op.purpose;

    op_stop(s);
    if (purpose == OP_COMMIT)
        commit_refuse(s, out, e->class, s->trouble);
    else if (purpose == OP_MARK)
        mark_refuse(s, out, e->class, s->trouble);
    else
        create_refuse(s, out, e->class, s->trouble);
}

void op_on_written(struct stream *s, const struct stream_event *e, struct stream_effects *out)
{
    struct stream_op *op = &s->core.op;

    if (op->purpose == OP_NONE || e->token == 0 || e->token != op->wait.token)
        return;
    if (e->class == OBJSTORE_OK) {
        adopt(s, &op->next, e->etag);
        written(s, out, op->purpose, true);
        return;
    }
    if (e->class == OBJSTORE_CONFLICT && stream_twin(s, STREAM_TWIN_409_AS_412)) {
        written(s, out, op->purpose, false);
        return;
    }
    if (e->class == OBJSTORE_PRECONDITION || e->class == OBJSTORE_NOT_FOUND) {
        op->resolve = true;
        op->misses = 0;
        stream_wait_start(s, &op->wait);
        return;
    }
    op->maybe = op->maybe || e->maybe_applied;
    stream_wait_failed(s, &op->wait, "write root", e);
    if (gives_up(s))
        refused(s, e, out);
}
