/* Where rows lie, and what lies beside them.
 *
 * What has no fixed length (external id, payload, an id that is a byte string) is in one blob of
 * the heap per row: two varint lengths, then the id, the external id, the payload. A row that has
 * none of them has no blob. Plain heap blocks and not an arena of our own: see
 * docs/decisions/row-blobs.md. */
#include "index/slots_internal.h"

#include <inttypes.h>

enum {
    LINE_BYTES = 64,
    VARINT_BYTES_MAX = 10,
    /* What the heap adds: a word in front, and rounding to two words. */
    HEAP_WORD_BYTES = 8,
    HEAP_ROUND_BYTES = 16,
    HEAP_BLOCK_BYTES_MIN = 32,
};

static size_t line_up(size_t bytes)
{
    return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

static size_t piece_bytes(uint32_t rows)
{
    return line_up(sizeof(struct piece)) + line_up(rows * sizeof(struct row_store)) +
           line_up(rows * sizeof(uint32_t)) * 2 + line_up(rows) + LINE_BYTES;
}

/* All planes of a piece lie in one zeroed block; rows never straddle more lines than they must. */
static struct piece *piece_create(uint32_t rows)
{
    size_t bytes = piece_bytes(rows);
    uint8_t *block = rows < MAPPED_ROWS_MIN ? mem_zero(bytes) : mem_map(bytes, false);
    struct piece *p = (struct piece *)(void *)block;
    uint8_t *at;

    if (block == NULL)
        return NULL;
    p->bytes = bytes;
    at = block + line_up(sizeof *p);
    at += (LINE_BYTES - (uintptr_t)at % LINE_BYTES) % LINE_BYTES;
    p->rows = (struct row_store *)(void *)at;
    at += line_up(rows * sizeof(struct row_store));
    p->heads = (_Atomic uint32_t *)(void *)at;
    at += line_up(rows * sizeof(uint32_t));
    p->links = (uint32_t *)(void *)at;
    at += line_up(rows * sizeof(uint32_t));
    p->states = (_Atomic uint8_t *)at;
    return p;
}

static void piece_destroy(struct piece *p, uint32_t rows)
{
    if (p == NULL)
        return;
    if (rows < MAPPED_ROWS_MIN)
        mem_free(p);
    else
        mem_unmap(p, p->bytes);
}

static status no_memory(struct err *err, uint32_t slot)
{
    return err_set(err, ST_NOMEM, "out of memory for rows slot=%" PRIu32, slot);
}

static status chunk_directory_locked(struct slots *s, struct err *err)
{
    struct chunk_table *chunks;

    if (atomic_load_explicit(&s->chunks, memory_order_relaxed) != NULL)
        return ST_OK;
    chunks = mem_map(sizeof *chunks, false);
    if (chunks == NULL)
        return no_memory(err, SLOTS_PER_CHUNK);
    atomic_store_explicit(&s->chunks, chunks, memory_order_release);
    return ST_OK;
}

/* The piece that holds `slot`, made if it is not there; *next is the first slot behind it. */
static status piece_ensure_locked(struct slots *s, uint32_t slot, uint32_t *next, struct err *err)
{
    _Atomic(struct piece *) *entry;
    uint32_t rows = SLOTS_PER_CHUNK;
    struct piece *piece;
    status st;

    if (slot < SLOTS_PER_CHUNK) {
        uint32_t index = small_index(slot);

        entry = &s->small[index];
        rows = small_rows(index);
        *next = small_base(index) + rows;
    } else {
        st = chunk_directory_locked(s, err);
        if (st != ST_OK)
            return st;
        entry = &atomic_load_explicit(&s->chunks, memory_order_relaxed)->pieces[slot >> CHUNK_BITS];
        *next = (slot | (SLOTS_PER_CHUNK - 1)) + 1;
    }
    if (atomic_load_explicit(entry, memory_order_relaxed) != NULL)
        return ST_OK;
    piece = piece_create(rows);
    if (piece == NULL)
        return no_memory(err, slot);
    atomic_store_explicit(entry, piece, memory_order_release);
    return ST_OK;
}

status rows_charge(struct slots *s, uint64_t bytes, struct err *err)
{
    status st = mem_reserve(s->budget, bytes, err);

    if (st == ST_OK)
        atomic_fetch_add_explicit(&s->charged, bytes, memory_order_relaxed);
    return st;
}

void rows_refund(struct slots *s, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&s->charged, bytes, memory_order_relaxed);

    assert(before >= bytes);
    mem_release(s->budget, bytes);
}

status rows_extend_locked(struct slots *s, uint32_t end, struct err *err)
{
    uint32_t charged = s->pool->shared.charged_rows;
    uint32_t wanted = (end + CHARGE_ROWS - 1) / CHARGE_ROWS * CHARGE_ROWS;
    uint32_t slot = charged;
    status st;

    if (wanted <= charged)
        return ST_OK;
    st = rows_charge(s, (uint64_t)(wanted - charged) * ROW_BYTES, err);
    if (st != ST_OK)
        return st;
    while (slot < wanted) {
        st = piece_ensure_locked(s, slot, &slot, err);
        if (st != ST_OK) {
            rows_refund(s, (uint64_t)(wanted - charged) * ROW_BYTES);
            return st;
        }
    }
    s->pool->shared.charged_rows = wanted;
    return ST_OK;
}

static void piece_free_blobs(struct piece *p, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++)
        mem_free(p->rows[i].blob);
}

void rows_free(struct slots *s)
{
    uint32_t end = atomic_load_explicit(&s->end, memory_order_relaxed);
    struct chunk_table *chunks = atomic_load_explicit(&s->chunks, memory_order_relaxed);

    for (uint32_t i = 0; i < SMALL_PIECES; i++) {
        struct piece *p = atomic_load_explicit(&s->small[i], memory_order_relaxed);

        /* Behind `end` nothing was ever touched, and should not be now. */
        if (p != NULL && small_base(i) < end)
            piece_free_blobs(p, end - small_base(i) < small_rows(i) ? end - small_base(i)
                                                                    : small_rows(i));
        piece_destroy(p, small_rows(i));
    }
    for (uint32_t i = 1; chunks != NULL && i < CHUNKS_MAX; i++) {
        struct piece *p = atomic_load_explicit(&chunks->pieces[i], memory_order_relaxed);
        uint32_t base = i << CHUNK_BITS;

        if (p == NULL)
            break;
        if (base < end)
            piece_free_blobs(p, end - base < SLOTS_PER_CHUNK ? end - base : SLOTS_PER_CHUNK);
        piece_destroy(p, SLOTS_PER_CHUNK);
    }
    mem_unmap(chunks, sizeof *chunks);
    rows_refund(s, atomic_load_explicit(&s->charged, memory_order_relaxed));
}

struct docid row_docid(const struct row_store *row)
{
    struct docid id = {.kind = row->kind};
    struct rd r;

    switch ((enum docid_kind)id.kind) {
    case DOCID_U64:
        id.u64 = row->id.u64;
        break;
    case DOCID_UUID:
        memcpy(id.uuid, row->id.uuid, sizeof id.uuid);
        break;
    case DOCID_BYTES:
        r = rd_make(slice_make(row->blob, 2 * VARINT_BYTES_MAX + row->id.text.bytes));
        (void)rd_varint(&r);
        (void)rd_varint(&r);
        id.bytes = slice_make(r.at, row->id.text.bytes);
        break;
    }
    return id;
}

static bool text_prefix_equal(const struct row_store *row, struct slice text)
{
    size_t bytes = text.bytes < TEXT_PREFIX_BYTES ? text.bytes : TEXT_PREFIX_BYTES;

    return row->id.text.bytes == text.bytes && memcmp(row->id.text.prefix, text.data, bytes) == 0;
}

bool row_has_id(const struct row_store *row, const struct docid *id)
{
    struct docid own;

    if (row->kind != id->kind || (row->kind == DOCID_BYTES && !text_prefix_equal(row, id->bytes)))
        return false;
    own = row_docid(row);
    return docid_equal(&own, id);
}

static size_t varint_bytes(uint64_t v)
{
    size_t bytes = 1;

    for (; v >= 0x80; v >>= 7)
        bytes++;
    return bytes;
}

static uint8_t *varint_put(uint8_t *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *at++ = (uint8_t)(v | 0x80);
    *at++ = (uint8_t)v;
    return at;
}

static uint8_t *slice_put(uint8_t *at, struct slice s)
{
    if (s.bytes > 0)
        memcpy(at, s.data, s.bytes);
    return at + s.bytes;
}

/* What a heap block of this size takes. */
static uint64_t heap_bytes(size_t bytes)
{
    size_t block =
        (bytes + HEAP_WORD_BYTES + HEAP_ROUND_BYTES - 1) / HEAP_ROUND_BYTES * HEAP_ROUND_BYTES;

    return block < HEAP_BLOCK_BYTES_MIN ? HEAP_BLOCK_BYTES_MIN : block;
}

static status blob_make(struct slots *s, const struct row *from, uint8_t **out, struct err *err)
{
    struct slice text = from->id.kind == DOCID_BYTES ? from->id.bytes : (struct slice){0};
    size_t bytes = varint_bytes(from->external_id.bytes) + varint_bytes(from->payload.bytes);
    uint8_t *blob;
    uint8_t *at;
    status st;

    if (text.bytes == 0 && from->external_id.bytes == 0 && from->payload.bytes == 0) {
        *out = NULL;
        return ST_OK;
    }
    if (!size_add(bytes, text.bytes, &bytes) || !size_add(bytes, from->external_id.bytes, &bytes) ||
        !size_add(bytes, from->payload.bytes, &bytes) || bytes > UINT32_MAX)
        return err_set(err, ST_INVALID, "a row's external id and payload exceed %" PRIu32 " bytes",
                       UINT32_MAX);
    st = rows_charge(s, heap_bytes(bytes), err);
    if (st != ST_OK)
        return st;
    blob = mem_alloc(bytes);
    if (blob == NULL) {
        rows_refund(s, heap_bytes(bytes));
        return err_set(err, ST_NOMEM, "out of memory for a row's payload bytes=%zu", bytes);
    }
    at = varint_put(blob, from->external_id.bytes);
    at = varint_put(at, from->payload.bytes);
    at = slice_put(at, text);
    at = slice_put(at, from->external_id);
    (void)slice_put(at, from->payload);
    *out = blob;
    return ST_OK;
}

static void id_put(struct row_store *row, const struct docid *id)
{
    memset(&row->id, 0, sizeof row->id);
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        row->id.u64 = id->u64;
        break;
    case DOCID_UUID:
        memcpy(row->id.uuid, id->uuid, sizeof row->id.uuid);
        break;
    case DOCID_BYTES:
        row->id.text.bytes = (uint16_t)id->bytes.bytes;
        memcpy(row->id.text.prefix, id->bytes.data,
               id->bytes.bytes < TEXT_PREFIX_BYTES ? id->bytes.bytes : TEXT_PREFIX_BYTES);
        break;
    }
}

status row_fill(struct slots *s, struct row_store *row, const struct row *from, struct err *err)
{
    uint8_t *blob = NULL;
    status st;

    if (from->id.kind < DOCID_U64 || from->id.kind > DOCID_BYTES ||
        (from->id.kind == DOCID_BYTES &&
         (from->id.bytes.bytes == 0 || from->id.bytes.bytes > DOCID_BYTES_MAX)))
        return err_set(err, ST_INVALID, "a document id of kind %u that cannot be", from->id.kind);
    st = blob_make(s, from, &blob, err);
    if (st != ST_OK)
        return st;
    id_put(row, &from->id);
    row->lsn = from->lsn & SLOTS_LSN_MAX;
    row->kind = from->id.kind;
    row->inserted_at_ns = from->inserted_at_ns;
    row->blob = blob;
    return ST_OK;
}

/* The lengths at the start of a blob, as {external id, payload}; r is then behind them. */
static struct rd blob_lengths(const struct row_store *row, size_t lengths[2])
{
    struct rd r = rd_make(slice_make(row->blob, 2 * VARINT_BYTES_MAX));

    lengths[0] = (size_t)rd_varint(&r);
    lengths[1] = (size_t)rd_varint(&r);
    return r;
}

void row_contents(const struct row_store *row, struct slice *external_id, struct slice *payload)
{
    size_t lengths[2];
    const uint8_t *at;

    *external_id = (struct slice){0};
    *payload = (struct slice){0};
    if (row->blob == NULL)
        return;
    at = blob_lengths(row, lengths).at + (row->kind == DOCID_BYTES ? row->id.text.bytes : 0);
    if (lengths[0] > 0)
        *external_id = slice_make(at, lengths[0]);
    if (lengths[1] > 0)
        *payload = slice_make(at + lengths[0], lengths[1]);
}

uint64_t row_blob_bytes(const struct row_store *row)
{
    size_t lengths[2];
    const uint8_t *at;

    if (row->blob == NULL)
        return 0;
    at = blob_lengths(row, lengths).at + (row->kind == DOCID_BYTES ? row->id.text.bytes : 0);
    return heap_bytes((size_t)(at - row->blob) + lengths[0] + lengths[1]);
}
