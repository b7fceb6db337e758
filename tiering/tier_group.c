/* Groups encoded from the log, and the memory they take: what is on its way, and as long as there
 * is room what may be sent again. Encoding once more gives the same bytes, so anything that is not
 * under way may be dropped. */
#include "tiering/tier_internal.h"

#include "base/crc32c.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>

enum { OBJECT_SLACK_BYTES = 1 << 20 }; /* head, units and trailer of a group */

/* ---- what is known of a group ---- */

struct tier_seal *tier_seal_find(struct tier_stream *s, uint64_t epoch, uint64_t seq)
{
    for (struct tier_seal *seal = s->ship.seals; seal != NULL; seal = seal->next)
        if (seal->epoch == epoch && seal->seq == seq)
            return seal;
    return NULL;
}

struct tier_seal *tier_seal_get(struct tier_stream *s, const struct stream_effect *e)
{
    struct tier_seal *seal = tier_seal_find(s, e->epoch, e->seq);

    if (seal != NULL)
        return seal;
    seal = mem_zero(sizeof *seal);
    if (seal == NULL)
        return NULL;
    seal->epoch = e->epoch;
    seal->seq = e->seq;
    seal->next = s->ship.seals;
    s->ship.seals = seal;
    return seal;
}

static bool is_wanted(const struct tier_stream *s, const struct tier_seal *seal)
{
    const struct stream *core = &s->ship.core;

    for (size_t i = 0; i < core->seal_count; i++)
        if (core->seals[i].seq == seal->seq && core->core.own_epoch == seal->epoch &&
            core->seals[i].state != SEAL_STORED)
            return true;
    for (const struct tier_io *io = s->ship.ios; io != NULL; io = io->after)
        if (io->seal == seal)
            return true;
    return false;
}

void tier_seal_sweep(struct tier_stream *s)
{
    struct tier_seal **at = &s->ship.seals;

    while (*at != NULL) {
        struct tier_seal *seal = *at;

        if (is_wanted(s, seal)) {
            at = &seal->next;
            continue;
        }
        *at = seal->next;
        tier_bytes_free(s->tier, &seal->bytes);
        mem_free(seal);
    }
}

void tier_seal_free_all(struct tier_stream *s)
{
    while (s->ship.seals != NULL) {
        struct tier_seal *seal = s->ship.seals;

        s->ship.seals = seal->next;
        tier_bytes_free(s->tier, &seal->bytes);
        mem_free(seal);
    }
}

void tier_seal_unuse(struct tier_stream *s, struct tier_seal *seal)
{
    seal->used = ++s->tier->ship.uses;
}

/* ---- memory ---- */

void tier_bytes_free(struct tier *t, struct tier_bytes *b)
{
    if (b->bytes.data == NULL)
        return;
    assert(t->ship.flight_bytes >= b->bytes.bytes);
    t->ship.flight_bytes -= b->bytes.bytes;
    group_writer_destroy(b->writer);
    buf_free(&b->gap);
    *b = (struct tier_bytes){0};
}

/* Of all streams, what was used longest ago. */
static struct tier_seal *oldest_held(struct tier *t)
{
    struct tier_seal *oldest = NULL;

    for (struct tier_stream *s = t->ship.streams; s != NULL; s = s->ship.after)
        for (struct tier_seal *seal = s->ship.seals; seal != NULL; seal = seal->next)
            if (seal->bytes.bytes.data != NULL && (oldest == NULL || seal->used < oldest->used))
                oldest = seal;
    return oldest;
}

bool tier_room(struct tier *t, uint64_t bytes)
{
    while (t->ship.flight_bytes + bytes > t->options.flight_bytes_max) {
        struct tier_seal *seal = oldest_held(t);

        if (seal == NULL)
            return t->ship.flight_bytes == 0;
        tier_bytes_free(t, &seal->bytes);
    }
    return true;
}

uint64_t tier_effect_bytes(struct tier_stream *s, const struct stream_effect *e)
{
    const struct stream *core = &s->ship.core;

    if (e->gap)
        return 0;
    for (size_t i = 0; i < core->seal_count; i++)
        if (core->seals[i].seq == e->seq)
            return core->seals[i].bytes + core->seals[i].bytes / 8;
    return s->tier->options.group_bytes;
}

/* ---- encoding ---- */

enum objstore_class tier_class_of(status st)
{
    switch (st) {
    case ST_OK:
        return OBJSTORE_OK;
    case ST_CORRUPT:
    case ST_NOT_FOUND:
    case ST_INVALID:
    case ST_NOSPACE: /* of a format's bound */
    case ST_UNSUPPORTED:
        return OBJSTORE_INTEGRITY;
    case ST_EXISTS:
    case ST_CONFLICT:
    case ST_LIMIT:
    case ST_DENIED:
    case ST_UNAVAILABLE:
    case ST_TIMEOUT:
    case ST_UNKNOWN:
    case ST_IO:
    case ST_NOMEM:
    case ST_CLOSED:
    case ST_BUG:
        break;
    }
    return OBJSTORE_TRANSIENT;
}

struct encoding {
    struct group_writer *writer;
    uint64_t bytes_max; /* 0: all that is read */
    uint64_t payload_bytes, records;
    bool full;
};

static status encode_one(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct encoding *enc = arg;
    size_t so_far = group_bytes(enc->writer);

    if (enc->bytes_max != 0 && enc->records > 0 &&
        (enc->payload_bytes >= enc->bytes_max || enc->records >= GROUP_RECORDS_MAX ||
         so_far + payload.bytes > OBJSTORE_OBJECT_BYTES_MAX - OBJECT_SLACK_BYTES)) {
        enc->full = true;
        return err_set(err, ST_LIMIT, "the group is full");
    }
    enc->records++;
    enc->payload_bytes += payload.bytes;
    return group_add(enc->writer, lsn, payload, err);
}

static status finish(struct tier_stream *s, const struct stream_effect *e, struct encoding *enc,
                     struct tier_bytes *out, struct err *err)
{
    struct tier_bytes b = {.writer = enc->writer, .payload_bytes = enc->payload_bytes};
    status st = enc->records == 0
                    ? err_set(err, ST_NOT_FOUND, "the log has no record %" PRIu64, e->first_lsn)
                    : group_finish(enc->writer, &b.head, &b.bytes, err);

    if (st != ST_OK)
        return st;
    if (enc->bytes_max == 0 && b.head.last_lsn != e->last_lsn)
        return err_set(err, ST_NOT_FOUND, "the log ends at %" PRIu64 " within a group",
                       b.head.last_lsn);
    b.crc = crc32c(0, b.bytes.data, b.bytes.bytes);
    s->tier->ship.flight_bytes += b.bytes.bytes;
    *out = b;
    enc->writer = NULL;
    return ST_OK;
}

status tier_encode(struct tier_stream *s, const struct stream_effect *e, uint64_t bytes_max,
                   struct tier_bytes *out, struct err *err)
{
    struct group_head head = {.epoch = e->epoch,
                              .seq = e->seq,
                              .first_lsn = e->first_lsn,
                              .chain_before = e->chain_before};
    struct encoding enc = {.bytes_max = bytes_max};
    status st;

    memcpy(head.collection, s->options.collection, sizeof head.collection);
    st = group_create(&head, &enc.writer, err);
    if (st != ST_OK)
        return st;
    st = wal_read(s->options.wal, e->first_lsn, e->last_lsn, encode_one, &enc, err);
    if (st == ST_LIMIT && enc.full)
        st = ST_OK;
    if (st == ST_OK)
        st = finish(s, e, &enc, out, err);
    group_writer_destroy(enc.writer);
    return st;
}

status tier_encode_gap(struct tier_stream *s, const struct stream_effect *e, struct tier_bytes *out,
                       struct err *err)
{
    struct tier_bytes b = {0};
    struct group_head head = {.kind = GROUP_GAP,
                              .epoch = e->epoch,
                              .seq = e->seq,
                              .first_lsn = e->first_lsn,
                              .last_lsn = e->last_lsn,
                              .chain_before = e->chain_before,
                              .chain = e->chain};
    status st;

    memcpy(head.collection, s->options.collection, sizeof head.collection);
    buf_init(&b.gap, GROUP_BYTES_MAX);
    st = group_encode_gap(&head, &b.gap, err);
    if (st != ST_OK) {
        buf_free(&b.gap);
        return st;
    }
    b.head = head;
    b.bytes = buf_slice(&b.gap);
    b.crc = crc32c(0, b.bytes.data, b.bytes.bytes);
    s->tier->ship.flight_bytes += b.bytes.bytes;
    *out = b;
    return ST_OK;
}
