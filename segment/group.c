/* Entries go out as they come; the head, which is known last, lies behind them, near the trailer.
 * So one record is copied once into a unit and once into the object, whatever its size. */
#include "segment/group.h"

#include "base/hash.h"
#include "base/mem.h"
#include "segment/container_items.h"
#include "segment/container_memory.h"
#include "segment/record.h"
#include "wal/wal.h"

#include <assert.h>
#include <inttypes.h>

enum { /* docs/formats/group.md */
       SECTION_HEAD = 1,
       SECTION_ENTRIES = 2,
       HEAD_AT_KIND = 0,
       HEAD_AT_ZERO = 1,
       HEAD_AT_EPOCH = 8,
       HEAD_AT_SEQ = 16,
       HEAD_AT_FIRST = 24,
       HEAD_AT_LAST = 32,
       HEAD_AT_CHAIN_BEFORE = 40,
       HEAD_AT_CHAIN = 48,
       HEAD_AT_OLDEST = 56,
       HEAD_BYTES = 64,
       RECORD_AT_INSERTED_AT = 8, /* docs/formats/record.md */
       VARINT_BYTES_MAX = 10,
       PAYLOAD_BYTES_MAX = WAL_PAYLOAD_BYTES_MAX,
       /* of the entries: what is left is for unit headers and the rest of the container */
       ENTRIES_BYTES_MAX = GROUP_BYTES_MAX - 1024 * 1024,
};
static_assert(HEAD_AT_OLDEST + 8 == HEAD_BYTES, "docs/formats/group.md, head");
static_assert(PAYLOAD_BYTES_MAX + VARINT_BYTES_MAX < ENTRIES_BYTES_MAX, "any record fits");
static const char GAP[3] = {'g', 'a', 'p'};

uint64_t group_chain_start(const uint8_t collection[16])
{
    return hash_bytes(collection, 16, 0);
}

uint64_t group_chain(uint64_t before, uint64_t lsn, struct slice payload)
{
    return hash_bytes(payload.data, payload.bytes, hash_u64(before ^ hash_u64(lsn)));
}

uint64_t group_chain_gap(uint64_t before, uint64_t first_lsn, uint64_t last_lsn)
{
    uint8_t what[sizeof GAP + 16];

    memcpy(what, GAP, sizeof GAP);
    le_put_u64(what + sizeof GAP, first_lsn);
    le_put_u64(what + sizeof GAP + 8, last_lsn);
    return group_chain(before, first_lsn, slice_make(what, sizeof what));
}

/* --- writing --- */

struct group_writer {
    struct container_memory_sink sink;
    struct container_writer *container;
    struct group_head head; /* last_lsn is first_lsn - 1 while there is no record */
    size_t entries_bytes;
    bool finished;
};

static const char *head_problem(const struct group_head *h)
{
    if (h->epoch == 0 || h->seq == 0)
        return "epoch or seq is 0";
    if (h->first_lsn == 0 || h->last_lsn < h->first_lsn || h->last_lsn == UINT64_MAX)
        return "lsns";
    if (h->kind != GROUP_RECORDS && h->kind != GROUP_GAP)
        return "kind";
    if (h->kind == GROUP_RECORDS && h->last_lsn - h->first_lsn >= GROUP_RECORDS_MAX)
        return "too many records";
    if (h->kind == GROUP_GAP && h->oldest_ns != 0)
        return "time of a gap";
    return NULL;
}

static status head_check(const struct group_head *h, status code, struct err *err)
{
    const char *problem = head_problem(h);

    if (problem == NULL)
        return ST_OK;
    return err_set(err, code,
                   "group head out of range: %s epoch=%" PRIu64 " seq=%" PRIu64
                   " first_lsn=%" PRIu64 " last_lsn=%" PRIu64,
                   problem, h->epoch, h->seq, h->first_lsn, h->last_lsn);
}

status group_create(const struct group_head *head, struct group_writer **out, struct err *err)
{
    struct group_writer *w;
    status st;

    if (head->epoch == 0 || head->seq == 0 || head->first_lsn == 0)
        return err_set(err, ST_INVALID, "a group needs an epoch, a seq and an lsn from 1");
    w = mem_zero(sizeof *w);
    if (w == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a group");
    w->head = *head;
    w->head.kind = GROUP_RECORDS;
    w->head.last_lsn = head->first_lsn - 1;
    w->head.chain = head->chain_before;
    w->head.oldest_ns = 0;
    container_memory_sink_init(&w->sink, GROUP_BYTES_MAX);
    st = container_create(&w->sink.sink, CONTAINER_GROUP, head->collection, &w->container, err);
    if (st == ST_OK)
        st = container_section(w->container, SECTION_ENTRIES, 0, err);
    if (st != ST_OK) {
        group_writer_destroy(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

void group_writer_destroy(struct group_writer *w)
{
    if (w == NULL)
        return;
    container_writer_destroy(w->container);
    buf_free(&w->sink.bytes);
    mem_free(w);
}

static size_t put_varint(uint8_t out[VARINT_BYTES_MAX], uint64_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

static status add_check(const struct group_writer *w, uint64_t lsn, struct slice payload,
                        struct err *err)
{
    if (w->finished || lsn != w->head.last_lsn + 1 || lsn == UINT64_MAX)
        return err_set(err, ST_INVALID, "group: lsn %" PRIu64 " does not follow %" PRIu64, lsn,
                       w->head.last_lsn);
    if (payload.bytes < RECORD_HEADER_BYTES || payload.bytes > PAYLOAD_BYTES_MAX)
        return err_set(err, ST_INVALID, "group: no record has %zu bytes lsn=%" PRIu64,
                       payload.bytes, lsn);
    if (lsn - w->head.first_lsn >= GROUP_RECORDS_MAX ||
        w->entries_bytes + payload.bytes + VARINT_BYTES_MAX > ENTRIES_BYTES_MAX)
        return err_set(err, ST_NOSPACE, "group is full lsn=%" PRIu64, lsn);
    return ST_OK;
}

status group_add(struct group_writer *w, uint64_t lsn, struct slice payload, struct err *err)
{
    uint8_t prefix[VARINT_BYTES_MAX];
    size_t n = put_varint(prefix, payload.bytes);
    status st = add_check(w, lsn, payload, err);

    if (st == ST_OK)
        st = container_write(w->container, slice_make(prefix, n), err);
    if (st == ST_OK)
        st = container_write(w->container, payload, err);
    if (st != ST_OK)
        return st;
    if (lsn == w->head.first_lsn)
        w->head.oldest_ns = le_u64(payload.data + RECORD_AT_INSERTED_AT);
    w->head.last_lsn = lsn;
    w->head.chain = group_chain(w->head.chain, lsn, payload);
    w->entries_bytes += n + payload.bytes;
    return ST_OK;
}

size_t group_bytes(const struct group_writer *w)
{
    return w->entries_bytes;
}

static status write_head(struct container_writer *c, const struct group_head *h, struct err *err)
{
    uint8_t head[HEAD_BYTES] = {0};
    uint64_t bytes;
    uint32_t crc;
    status st = head_check(h, ST_INVALID, err);

    head[HEAD_AT_KIND] = (uint8_t)h->kind;
    le_put_u64(head + HEAD_AT_EPOCH, h->epoch);
    le_put_u64(head + HEAD_AT_SEQ, h->seq);
    le_put_u64(head + HEAD_AT_FIRST, h->first_lsn);
    le_put_u64(head + HEAD_AT_LAST, h->last_lsn);
    le_put_u64(head + HEAD_AT_CHAIN_BEFORE, h->chain_before);
    le_put_u64(head + HEAD_AT_CHAIN, h->chain);
    le_put_u64(head + HEAD_AT_OLDEST, h->oldest_ns);
    if (st == ST_OK)
        st = items_write_head(c, SECTION_HEAD, slice_make(head, sizeof head), err);
    if (st == ST_OK)
        st = container_finish(c, &bytes, &crc, err);
    return st;
}

status group_finish(struct group_writer *w, struct group_head *head, struct slice *bytes,
                    struct err *err)
{
    status st = ST_OK;

    if (w->finished)
        return err_set(err, ST_BUG, "group was finished before");
    if (w->head.last_lsn < w->head.first_lsn)
        return err_set(err, ST_INVALID, "group without a record");
    w->finished = true;
    st = write_head(w->container, &w->head, err);
    if (st != ST_OK)
        return st;
    *head = w->head;
    *bytes = buf_slice(&w->sink.bytes);
    return ST_OK;
}

status group_encode_gap(const struct group_head *head, struct buf *out, struct err *err)
{
    struct container_writer *c = NULL;
    struct container_memory_sink sink;
    struct group_head h = *head;
    status st;

    h.kind = GROUP_GAP;
    h.oldest_ns = 0;
    container_memory_sink_init(&sink, GROUP_BYTES_MAX);
    st = container_create(&sink.sink, CONTAINER_GROUP, h.collection, &c, err);
    if (st == ST_OK)
        st = write_head(c, &h, err);
    if (st == ST_OK) {
        buf_put_slice(out, buf_slice(&sink.bytes));
        st = buf_status(out, err);
    }
    container_writer_destroy(c);
    buf_free(&sink.bytes);
    return st;
}

/* --- reading --- */

struct group {
    struct container_memory_source source;
    struct container *container;
    struct group_head head;
};

static status read_head(struct group *g, struct err *err)
{
    uint8_t head[HEAD_BYTES];
    status st = items_read_head(g->container, SECTION_HEAD, head, sizeof head, err);

    if (st != ST_OK)
        return st;
    for (size_t i = HEAD_AT_ZERO; i < HEAD_AT_EPOCH; i++)
        if (head[i] != 0)
            return err_set(err, ST_CORRUPT, "group head is not one");
    g->head.kind = (enum group_kind)head[HEAD_AT_KIND];
    g->head.epoch = le_u64(head + HEAD_AT_EPOCH);
    g->head.seq = le_u64(head + HEAD_AT_SEQ);
    g->head.first_lsn = le_u64(head + HEAD_AT_FIRST);
    g->head.last_lsn = le_u64(head + HEAD_AT_LAST);
    g->head.chain_before = le_u64(head + HEAD_AT_CHAIN_BEFORE);
    g->head.chain = le_u64(head + HEAD_AT_CHAIN);
    g->head.oldest_ns = le_u64(head + HEAD_AT_OLDEST);
    return head_check(&g->head, ST_CORRUPT, err);
}

static status take_record(struct container_stream *s, uint64_t lsn, struct slice *payload,
                          struct err *err)
{
    uint64_t bytes = 0;
    status st = items_take_varint(s, &bytes, err);

    if (st == ST_OK && (bytes < RECORD_HEADER_BYTES || bytes > PAYLOAD_BYTES_MAX))
        return err_set(err, ST_CORRUPT, "group record out of range lsn=%" PRIu64 " bytes=%" PRIu64,
                       lsn, bytes);
    if (st == ST_OK)
        st = container_stream_take(s, bytes, payload, err);
    return st;
}

status group_each(struct group *g, group_each_fn *fn, void *arg, struct err *err)
{
    struct container_stream s = {0};
    struct slice payload;
    status st;

    if (g->head.kind == GROUP_GAP)
        return ST_OK;
    st = items_open(g->container, SECTION_ENTRIES, &s, err);
    for (uint64_t lsn = g->head.first_lsn; st == ST_OK && lsn <= g->head.last_lsn; lsn++) {
        st = take_record(&s, lsn, &payload, err);
        if (st == ST_OK)
            st = fn(arg, lsn, payload, err);
    }
    if (st == ST_OK)
        st = container_stream_end(&s, err);
    container_stream_close(&s);
    return st;
}

struct chain_check {
    uint64_t chain;
    uint64_t first_lsn;
    uint64_t oldest_ns;
};

static status chain_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct chain_check *k = arg;

    (void)err;
    if (lsn == k->first_lsn)
        k->oldest_ns = le_u64(payload.data + RECORD_AT_INSERTED_AT);
    k->chain = group_chain(k->chain, lsn, payload);
    return ST_OK;
}

static status check_records(struct group *g, struct err *err)
{
    struct chain_check k = {.chain = g->head.chain_before, .first_lsn = g->head.first_lsn};
    struct container_section_info info;
    bool has_entries = container_find(g->container, SECTION_ENTRIES, &info, NULL) == ST_OK;
    status st;

    if (has_entries != (g->head.kind == GROUP_RECORDS))
        return err_set(err, ST_CORRUPT, "group has records and is a gap, or neither");
    if (g->head.kind == GROUP_GAP)
        return ST_OK;
    st = group_each(g, chain_record, &k, err);
    if (st == ST_OK && (k.chain != g->head.chain || k.oldest_ns != g->head.oldest_ns))
        st = err_set(err, ST_CORRUPT, "group chain or time does not fit its records");
    return st;
}

static status check_place(const struct group *g, uint64_t epoch, uint64_t seq, struct err *err)
{
    if (g->head.epoch == epoch && g->head.seq == seq)
        return ST_OK;
    return err_set(err, ST_CORRUPT,
                   "group is another one: epoch=%" PRIu64 " seq=%" PRIu64 ", not epoch=%" PRIu64
                   " seq=%" PRIu64,
                   g->head.epoch, g->head.seq, epoch, seq);
}

status group_open(struct slice bytes, const uint8_t collection[16], uint64_t epoch, uint64_t seq,
                  struct group **out, struct err *err)
{
    static const uint16_t known[] = {SECTION_HEAD, SECTION_ENTRIES};
    struct group *g;
    status st;

    if (bytes.bytes > GROUP_BYTES_MAX)
        return err_set(err, ST_CORRUPT, "group is too large bytes=%zu", bytes.bytes);
    g = mem_zero(sizeof *g);
    if (g == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a group");
    memcpy(g->head.collection, collection, sizeof g->head.collection);
    container_memory_source_init(&g->source, bytes);
    st = container_open(&g->source.source, CONTAINER_GROUP, collection, &g->container, err);
    if (st == ST_OK)
        st = container_check_sections(g->container, known, COUNT_OF(known), err);
    if (st == ST_OK)
        st = read_head(g, err);
    if (st == ST_OK)
        st = check_place(g, epoch, seq, err);
    if (st == ST_OK)
        st = check_records(g, err);
    if (st != ST_OK) {
        group_close(g);
        return st;
    }
    *out = g;
    return ST_OK;
}

void group_close(struct group *g)
{
    if (g == NULL)
        return;
    container_close(g->container);
    mem_free(g);
}

const struct group_head *group_head(const struct group *g)
{
    return &g->head;
}
