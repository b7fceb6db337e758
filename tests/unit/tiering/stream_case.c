#include "stream_case.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void case_init(struct stream_case *c)
{
    memset(c, 0, sizeof *c);
    c->now_ms = CASE_START_MS;
    memset(c->options.collection, 7, sizeof c->options.collection);
    memset(c->options.session, 1, sizeof c->options.session);
    (void)snprintf(c->options.node_id, sizeof c->options.node_id, "a");
    c->options.rpo_ms = 1000;
    c->options.group_bytes = 1000;
    c->options.max_in_flight = 4;
    c->options.max_retries = 5;
    c->options.base_backoff_ms = 1000;
    c->options.max_backoff_ms = 64000;
    c->options.seed = 1;
}

void case_open(struct stream_case *c, uint64_t durable_lsn, uint64_t hint)
{
    stream_init(&c->s, &c->options, durable_lsn, (durable_lsn - hint) * 10, hint, c->now_ms);
}

void case_forget(struct stream_case *c)
{
    c->log_count = 0;
}

void case_step(struct stream_case *c, struct stream_event e)
{
    uint8_t nonce[16] = {0};

    e.now_ms = c->now_ms;
    c->steps++;
    memcpy(nonce, &c->steps, sizeof c->steps);
    stream_step(&c->s, &e, nonce, &c->out);
    for (size_t i = 0; i < c->out.count; i++) {
        if (c->out.items[i].kind == STREAM_DO_TIMER)
            continue;
        assert_true(c->log_count < CASE_LOG_MAX);
        c->log[c->log_count++] = c->out.items[i];
    }
}

void case_tick(struct stream_case *c, uint64_t after_ms)
{
    c->now_ms += after_ms;
    case_step(c, (struct stream_event){.kind = STREAM_TICK});
}

void case_run(struct stream_case *c, uint64_t ms)
{
    uint64_t until = c->now_ms + ms;
    size_t before = c->log_count;

    while (c->log_count == before && c->now_ms < until) {
        uint64_t next = c->s.core.timer_ms;

        if (next > until)
            next = until;
        case_tick(c, next > c->now_ms ? next - c->now_ms : 0);
    }
}

void case_log(struct stream_case *c, uint64_t lsn, uint64_t bytes)
{
    case_step(c, (struct stream_event){.kind = STREAM_LOG, .lsn = lsn, .bytes = bytes});
}

const struct stream_effect *case_effect(struct stream_case *c, enum stream_effect_kind kind)
{
    for (size_t i = 0; i < c->out.count; i++)
        if (c->out.items[i].kind == kind)
            return &c->out.items[i];
    fail_msg("no effect of kind %d in the last step", (int)kind);
    return NULL;
}

struct stream_effect case_keep(struct stream_case *c, enum stream_effect_kind kind)
{
    return *case_effect(c, kind);
}

bool case_has(const struct stream_case *c, enum stream_effect_kind kind)
{
    for (size_t i = 0; i < c->out.count; i++)
        if (c->out.items[i].kind == kind)
            return true;
    return false;
}

size_t case_count(const struct stream_case *c, enum stream_effect_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < c->log_count; i++)
        count += c->log[i].kind == kind;
    return count;
}

size_t case_requests(const struct stream_case *c)
{
    return case_count(c, STREAM_DO_READ_ROOT) + case_count(c, STREAM_DO_PUT_ROOT) +
           case_count(c, STREAM_DO_LIST) + case_count(c, STREAM_DO_READ_GROUP) +
           case_count(c, STREAM_DO_PUT_GROUP) + case_count(c, STREAM_DO_COMPARE);
}

static void new_etag(struct stream_case *c)
{
    (void)snprintf(c->etag, sizeof c->etag, "e%llu",
                   (unsigned long long)hash_bytes(&c->bucket, sizeof c->bucket, 0));
}

void case_bucket(struct stream_case *c, const char *node)
{
    struct root *r = &c->bucket;

    memset(r, 0, sizeof *r);
    memcpy(r->collection, c->options.collection, sizeof r->collection);
    r->state = ROOT_LIVE;
    r->revision = 1;
    r->nonce[0] = 0xEE;
    (void)snprintf(r->node_id, sizeof r->node_id, "%s", node);
    memset(r->session, 9, sizeof r->session);
    r->epoch = 1;
    r->floor = (struct log_floor){.lsn = 0, .epoch = 1, .seq = 1, .chain = case_chain(0)};
    new_etag(c);
}

static void answer_read(struct stream_case *c, const struct stream_effect *effect)
{
    struct stream_event e = {.kind = STREAM_ROOT_READ,
                             .token = effect->token,
                             .class = OBJSTORE_OK,
                             .root = &c->bucket,
                             .etag = c->etag};

    if (c->bucket.epoch == 0)
        e.class = OBJSTORE_NOT_FOUND;
    else if (effect->conditional && strcmp(effect->etag, c->etag) == 0)
        e.class = OBJSTORE_NOT_MODIFIED;
    case_step(c, e);
}

void case_answer_root(struct stream_case *c)
{
    struct stream_event e = {.kind = STREAM_ROOT_DONE};
    const struct stream_effect *effect;

    if (case_has(c, STREAM_DO_READ_ROOT)) {
        answer_read(c, case_effect(c, STREAM_DO_READ_ROOT));
        return;
    }
    effect = case_effect(c, STREAM_DO_PUT_ROOT);
    e.token = effect->token;
    if (strcmp(effect->etag, c->bucket.epoch == 0 ? "" : c->etag) != 0) {
        e.class = OBJSTORE_PRECONDITION;
    } else {
        c->bucket = *effect->root;
        new_etag(c);
        e.etag = c->etag;
    }
    case_step(c, e);
}

void case_fail(struct stream_case *c, const struct stream_effect *effect, enum objstore_class class,
               bool maybe_applied)
{
    struct stream_event e = {.token = effect->token,
                             .class = class,
                             .maybe_applied = maybe_applied,
                             .text = "as the test wants it"};

    switch ((int)effect->kind) {
    case STREAM_DO_READ_ROOT:
        e.kind = STREAM_ROOT_READ;
        break;
    case STREAM_DO_PUT_ROOT:
        e.kind = STREAM_ROOT_DONE;
        break;
    case STREAM_DO_LIST:
        e.kind = STREAM_LISTED;
        break;
    case STREAM_DO_READ_GROUP:
        e.kind = STREAM_GROUP_READ;
        break;
    case STREAM_DO_CHECK_LOCAL:
        e.kind = STREAM_LOCAL_CHECKED;
        break;
    case STREAM_DO_ENCODE:
        e.kind = STREAM_ENCODED;
        break;
    case STREAM_DO_PUT_GROUP:
        e.kind = STREAM_PUT_DONE;
        break;
    case STREAM_DO_COMPARE:
        e.kind = STREAM_COMPARED;
        break;
    default:
        fail_msg("effect %d has no answer", (int)effect->kind);
    }
    case_step(c, e);
}

uint64_t case_chain(uint64_t lsn)
{
    return hash_u64(lsn + 1);
}

void case_encoded(struct stream_case *c, const struct stream_effect *effect, uint64_t last_lsn,
                  uint64_t bytes)
{
    case_step(c, (struct stream_event){.kind = STREAM_ENCODED,
                                       .token = effect->token,
                                       .first_lsn = effect->first_lsn,
                                       .last_lsn = last_lsn,
                                       .bytes = bytes,
                                       .chain_before = effect->chain_before,
                                       .chain = case_chain(last_lsn),
                                       .crc = (uint32_t)last_lsn});
}

void case_put(struct stream_case *c, const struct stream_effect *effect, enum objstore_class class)
{
    case_fail(c, effect, class, class == OBJSTORE_TRANSIENT);
}

void case_own(struct stream_case *c)
{
    case_answer_root(c);
    case_answer_root(c);
    case_step(c, (struct stream_event){.kind = STREAM_LISTED,
                                       .token = case_effect(c, STREAM_DO_LIST)->token});
    case_answer_root(c);
    case_step(c, (struct stream_event){.kind = STREAM_LOCAL_CHECKED,
                                       .token = case_effect(c, STREAM_DO_CHECK_LOCAL)->token,
                                       .local = STREAM_LOCAL_SAME});
    assert_int_equal(c->s.phase, STREAM_OWNED);
}

void case_owned(struct stream_case *c)
{
    case_bucket(c, "a");
    case_open(c, 0, 0);
    case_step(c, (struct stream_event){.kind = STREAM_OWN});
    case_own(c);
    case_forget(c);
}

void case_seal(struct stream_case *c, uint64_t lsn, struct stream_effect *put)
{
    case_log(c, lsn, c->s.durable_bytes + 1000);
    case_encoded(c, case_effect(c, STREAM_DO_ENCODE), lsn, 1000);
    *put = case_keep(c, STREAM_DO_PUT_GROUP);
}
