/* Letters as bytes and as words. */
#include "dlq/dlq_internal.h"

#include <assert.h>
#include <inttypes.h>

enum { /* docs/formats/dlq.md */
       DLQ_VERSION = 1,
       DLQ_AT_VERSION = 0,
       DLQ_AT_KIND = 2,
       DLQ_AT_STATE = 3,
       DLQ_AT_FLAGS = 4,
       DLQ_AT_ATTEMPTS = 8,
       DLQ_AT_HTTP = 12,
       DLQ_AT_NUMBERS = 16, /* seven u64 */
       DLQ_AT_TEXTS = 72,
       DLQ_FLAG_BLOCKING = 1,
       DLQ_HTTP_MAX = 999,
       DLQ_TEXTS = 6,
};
static_assert(DLQ_AT_NUMBERS + 7 * 8 == DLQ_AT_TEXTS, "docs/formats/dlq.md, value");
static_assert(DLQ_AT_TEXTS + DLQ_TEXTS * 2 + 2 * LETTER_KEY_BYTES + 3 * LETTER_NAME_BYTES +
                      LETTER_TEXT_BYTES <=
                  DLQ_VALUE_BYTES_MAX,
              "the largest letter fits");

static const char *const KINDS[] = {
    [LETTER_WAL_GROUP] = "wal_group",
    [LETTER_SEGMENT] = "segment",
    [LETTER_MANIFEST_COMMIT] = "manifest_commit",
    [LETTER_DIVERGENT_TAIL] = "divergent_tail",
    [LETTER_RESTORE_FETCH] = "restore_fetch",
    [LETTER_GC_DELETE] = "gc_delete",
};

const char *letter_kind_name(enum letter_kind k)
{
    return (size_t)k < COUNT_OF(KINDS) && KINDS[k] != NULL ? KINDS[k] : "unknown";
}

bool letter_kind_parse(const char *name, enum letter_kind *out)
{
    for (size_t i = LETTER_WAL_GROUP; i < COUNT_OF(KINDS); i++)
        if (strcmp(KINDS[i], name) == 0) {
            *out = (enum letter_kind)i;
            return true;
        }
    return false;
}

const char *letter_state_name(enum letter_state s)
{
    return s == LETTER_PARKED ? "parked" : s == LETTER_RETRYING ? "retrying" : "unknown";
}

void letter_key(const uint8_t collection[16], uint64_t id, uint8_t out[DLQ_KEY_BYTES])
{
    memcpy(out, DLQ_PREFIX, 4);
    memcpy(out + 4, collection, 16);
    for (int i = 0; i < 8; i++)
        out[20 + i] = (uint8_t)(id >> (56 - 8 * i));
}

static bool in_range(const struct letter *l)
{
    return l->kind >= LETTER_WAL_GROUP && l->kind <= LETTER_GC_DELETE &&
           (l->state == LETTER_PARKED || l->state == LETTER_RETRYING) && l->http_status >= 0 &&
           l->http_status <= DLQ_HTTP_MAX && l->lsn_first <= l->lsn_last;
}

struct text {
    char *at;
    size_t room;
};

static void texts_of(struct letter *l, struct text out[DLQ_TEXTS])
{
    out[0] = (struct text){l->key, sizeof l->key};
    out[1] = (struct text){l->file, sizeof l->file};
    out[2] = (struct text){l->class, sizeof l->class};
    out[3] = (struct text){l->s3_code, sizeof l->s3_code};
    out[4] = (struct text){l->request_id, sizeof l->request_id};
    out[5] = (struct text){l->message, sizeof l->message};
}

status letter_encode(const struct letter *l, struct buf *out, struct err *err)
{
    struct letter copy = *l;
    struct text texts[DLQ_TEXTS];

    if (!in_range(l))
        return err_set(err, ST_INVALID,
                       "a letter out of range kind=%d state=%d http=%d lsn=%" PRIu64 "..%" PRIu64,
                       (int)l->kind, (int)l->state, l->http_status, l->lsn_first, l->lsn_last);
    buf_put_u16(out, DLQ_VERSION);
    buf_put_u8(out, (uint8_t)l->kind);
    buf_put_u8(out, (uint8_t)l->state);
    buf_put_u8(out, l->blocking ? DLQ_FLAG_BLOCKING : 0);
    buf_put_zeros(out, 3);
    buf_put_u32(out, l->attempts);
    buf_put_u32(out, (uint32_t)l->http_status);
    buf_put_u64(out, l->epoch);
    buf_put_u64(out, l->seq);
    buf_put_u64(out, l->lsn_first);
    buf_put_u64(out, l->lsn_last);
    buf_put_u64(out, l->bytes);
    buf_put_u64(out, l->first_failed_ns);
    buf_put_u64(out, l->last_failed_ns);
    texts_of(&copy, texts);
    for (size_t i = 0; i < DLQ_TEXTS; i++) {
        size_t bytes = strnlen(texts[i].at, texts[i].room - 1); /* one that is too long is cut */

        buf_put_u16(out, (uint16_t)bytes);
        buf_put(out, texts[i].at, bytes);
    }
    return buf_status(out, err);
}

static status take_key(struct slice key, struct letter *out, struct err *err)
{
    if (key.bytes != DLQ_KEY_BYTES || memcmp(key.data, DLQ_PREFIX, 4) != 0)
        return err_set(err, ST_CORRUPT, "letter: a key of %zu bytes", key.bytes);
    memcpy(out->collection, key.data + 4, 16);
    for (int i = 0; i < 8; i++)
        out->id = out->id << 8 | key.data[20 + i];
    return out->id != 0 ? ST_OK : err_set(err, ST_CORRUPT, "letter: id 0");
}

static status take_header(struct rd *r, struct letter *out, struct err *err)
{
    uint8_t flags;
    struct slice zeros;
    uint32_t http;

    out->kind = rd_u8(r);
    out->state = rd_u8(r);
    flags = rd_u8(r);
    zeros = rd_bytes(r, 3);
    out->attempts = rd_u32(r);
    http = rd_u32(r);
    out->epoch = rd_u64(r);
    out->seq = rd_u64(r);
    out->lsn_first = rd_u64(r);
    out->lsn_last = rd_u64(r);
    out->bytes = rd_u64(r);
    out->first_failed_ns = rd_u64(r);
    out->last_failed_ns = rd_u64(r);
    if (r->bad)
        return err_set(err, ST_CORRUPT, "letter: cut short");
    out->http_status = http <= DLQ_HTTP_MAX ? (int)http : -1;
    out->blocking = (flags & DLQ_FLAG_BLOCKING) != 0;
    if ((flags & ~DLQ_FLAG_BLOCKING) != 0 || memcmp(zeros.data, "\0\0", 3) != 0 || !in_range(out))
        return err_set(err, ST_CORRUPT, "letter: a field out of range kind=%d state=%d",
                       (int)out->kind, (int)out->state);
    return ST_OK;
}

static status take_texts(struct rd *r, struct letter *out, struct err *err)
{
    struct text texts[DLQ_TEXTS];

    texts_of(out, texts);
    for (size_t i = 0; i < DLQ_TEXTS; i++) {
        struct slice text = rd_bytes(r, rd_u16(r));

        if (r->bad || text.bytes >= texts[i].room)
            return err_set(err, ST_CORRUPT, "letter: text %zu cut short or too long", i);
        if (memchr(text.data, 0, text.bytes) != NULL)
            return err_set(err, ST_CORRUPT, "letter: text %zu holds a NUL", i);
        memcpy(texts[i].at, text.data, text.bytes);
    }
    return rd_left(r) == 0 ? ST_OK
                           : err_set(err, ST_CORRUPT, "letter: %zu bytes follow it", rd_left(r));
}

status letter_decode(struct slice key, struct slice value, struct letter *out, struct err *err)
{
    struct letter l = {0};
    struct rd r = rd_make(value);
    uint16_t version = rd_u16(&r);
    status st = take_key(key, &l, err);

    if (st != ST_OK)
        return st;
    if (!r.bad && version > DLQ_VERSION)
        return err_set(err, ST_UNSUPPORTED, "letter: version %u, this program knows %d", version,
                       DLQ_VERSION);
    if (r.bad || version == 0)
        return err_set(err, ST_CORRUPT, "letter: no version");
    st = take_header(&r, &l, err);
    if (st == ST_OK)
        st = take_texts(&r, &l, err);
    if (st == ST_OK)
        *out = l;
    return st;
}
