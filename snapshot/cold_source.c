#include "snapshot/cold_source.h"

#include "snapshot/restore_internal.h"

#include <inttypes.h>
#include <stdio.h>

static status checked(cold_check_fn *check, void *arg, uint64_t bytes, const struct buf *body,
                      struct err *err)
{
    if (body->bytes != bytes)
        return err_set(err, ST_CORRUPT, "%zu bytes came of a range of %" PRIu64, body->bytes,
                       bytes);
    return check != NULL ? check(arg, buf_slice(body), err) : ST_OK;
}

/* 404 is no proof (docs/protocol.md, rule 7). */
static status get_patiently(struct cold_source *s, const struct ask *ask, uint64_t offset,
                            uint64_t bytes, struct buf *out, struct err *err)
{
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_BULK,
                               .key = s->key,
                               .range_offset = offset,
                               .range_bytes = bytes,
                               .bytes_max = (size_t)bytes};
    status st = ST_NOT_FOUND;

    for (unsigned miss = 0; st == ST_NOT_FOUND && miss < FETCH_MISSES; miss++) {
        struct ask_tries tries = {0};

        if (miss > 0 && !ask_sleep(ask, ASK_SLICE_MS))
            return err_set(err, ST_CLOSED, "stopped");
        objstore_result_fini(&req.result);
        st = ask_send(ask, &req, &tries, err);
        s->requests += tries.attempts;
    }
    if (st == ST_OK) {
        *out = req.result.body; /* the caller's from here on */
        req.result.body = (struct buf){0};
        s->bytes += out->bytes;
    }
    objstore_result_fini(&req.result);
    return st == ST_NOT_FOUND ? err_wrap(err, ST_CORRUPT, "an object is missing") : st;
}

status cold_source_get(struct cold_source *s, uint64_t offset, uint64_t bytes, unsigned tries,
                       cold_check_fn *check, void *arg, struct buf *out, struct err *err)
{
    struct ask ask = s->ask;
    struct buf body = {0};
    status st = ST_CORRUPT;

    for (unsigned i = 0; st == ST_CORRUPT && i < tries; i++) {
        buf_free(&body);
        body = (struct buf){0};
        ask.fresh_connection = tries < ASK_INTEGRITY_TRIES || i > 0;
        st = get_patiently(s, &ask, offset, bytes, &body, err);
        if (st != ST_OK)
            return st;
        st = checked(check, arg, bytes, &body, err);
    }
    if (st == ST_OK)
        *out = body; /* the caller's from here on */
    else
        buf_free(&body);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", s->key);
}

void cold_source_item(const struct cold_source *s, uint64_t offset, uint64_t bytes,
                      struct fetch_item *out)
{
    *out = (struct fetch_item){
        .bytes = bytes, .bytes_max = (size_t)bytes, .part = true, .offset = offset};
    (void)snprintf(out->key, sizeof out->key, "%s", s->key);
}

status cold_source_take(struct cold_source *s, struct fetch *f, uint64_t offset, uint64_t bytes,
                        cold_check_fn *check, void *arg, struct buf *out, struct err *err)
{
    struct fetch_item item;
    struct buf body = {0};
    status st = fetch_next(f, &item, &body, err);

    if (st == ST_NOT_FOUND)
        return err_wrap(err, ST_CORRUPT, "an object is missing");
    if (st != ST_OK)
        return st;
    s->bytes += body.bytes;
    st = checked(check, arg, bytes, &body, err);
    if (st == ST_OK) {
        *out = body; /* the caller's from here on */
        return ST_OK;
    }
    buf_free(&body);
    if (st != ST_CORRUPT)
        return err_wrap(err, st, "%s", s->key);
    return cold_source_get(s, offset, bytes, 1, check, arg, out, err);
}

/* --- opening --- */

static status check_footer(void *arg, struct slice bytes, struct err *err)
{
    struct cold_source *s = arg;

    return cold_footer_decode(bytes, s->collection, s->named, &s->footer, err);
}

static status check_dead(void *arg, struct slice bytes, struct err *err)
{
    struct cold_source *s = arg;
    status st = restore_ref_check(&s->named->dead, bytes, err);

    return st == ST_OK ? cold_dead_decode(bytes, s->collection, s->named, &s->dead, err) : st;
}

static status read_dead(struct cold_source *s, struct err *err)
{
    char key[OBJKEY_BYTES];
    struct buf body = {0};
    status st;

    if (s->named->dead.bytes == 0)
        return ST_OK;
    objkey_data(s->collection, s->named->dead.uuid, key);
    st = restore_get(&s->ask, key, (size_t)s->named->dead.bytes, ASK_INTEGRITY_TRIES, check_dead, s,
                     &body, err);
    s->requests++;
    s->bytes += body.bytes;
    buf_free(&body);
    return st;
}

status cold_source_open(const struct ask *ask, const uint8_t collection[16],
                        const struct manifest_cold *named, struct cold_source *out, struct err *err)
{
    status st;

    *out = (struct cold_source){.ask = *ask, .named = named};
    memcpy(out->collection, collection, 16);
    objkey_data(collection, named->object.uuid, out->key);
    st = cold_source_get(out, named->footer_offset, named->footer_bytes, ASK_INTEGRITY_TRIES,
                         check_footer, out, &out->footer_bytes, err);
    return st == ST_OK ? read_dead(out, err) : st;
}

void cold_source_close(struct cold_source *s)
{
    cold_footer_free(&s->footer);
    cold_dead_free(&s->dead);
    buf_free(&s->footer_bytes);
    *s = (struct cold_source){.bytes = 0};
}
