#include "base/docid.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/rand.h"
#include "base/utf8.h"

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_slices(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    return order != 0 ? order : compare_u64(a.bytes, b.bytes);
}

int docid_compare(const struct docid *a, const struct docid *b)
{
    if (a->kind != b->kind)
        return compare_u64(a->kind, b->kind);
    switch ((enum docid_kind)a->kind) {
    case DOCID_U64:
        return compare_u64(a->u64, b->u64);
    case DOCID_UUID:
        return memcmp(a->uuid, b->uuid, sizeof a->uuid);
    case DOCID_BYTES:
        return compare_slices(a->bytes, b->bytes);
    }
    return 0;
}

bool docid_equal(const struct docid *a, const struct docid *b)
{
    return docid_compare(a, b) == 0;
}

uint64_t docid_hash(const struct docid *id)
{
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        return hash_u64(id->u64);
    case DOCID_UUID:
        return hash_bytes(id->uuid, sizeof id->uuid, DOCID_UUID);
    case DOCID_BYTES:
        return hash_bytes(id->bytes.data, id->bytes.bytes, DOCID_BYTES);
    }
    return 0;
}

void buf_put_docid(struct buf *b, const struct docid *id)
{
    buf_put_u8(b, id->kind);
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        buf_put_u64(b, id->u64);
        return;
    case DOCID_UUID:
        buf_put(b, id->uuid, sizeof id->uuid);
        return;
    case DOCID_BYTES:
        assert(id->bytes.bytes >= 1 && id->bytes.bytes <= DOCID_BYTES_MAX);
        buf_put_varint(b, id->bytes.bytes);
        buf_put_slice(b, id->bytes);
        return;
    }
    assert(!"a docid has one of three kinds");
}

static struct docid rd_bytes_id(struct rd *r)
{
    uint64_t bytes = rd_varint(r);

    if (bytes < 1 || bytes > DOCID_BYTES_MAX)
        r->bad = true;
    return (struct docid){.kind = DOCID_BYTES, .bytes = rd_bytes(r, (size_t)bytes)};
}

struct docid rd_docid(struct rd *r)
{
    struct docid id = {.kind = rd_u8(r)};
    struct slice raw;

    switch (id.kind) {
    case DOCID_U64:
        id.u64 = rd_u64(r);
        break;
    case DOCID_UUID:
        raw = rd_bytes(r, sizeof id.uuid);
        if (raw.data != NULL)
            memcpy(id.uuid, raw.data, sizeof id.uuid);
        break;
    case DOCID_BYTES:
        id = rd_bytes_id(r);
        break;
    default:
        r->bad = true;
    }
    return r->bad ? docid_u64(0) : id;
}

size_t docid_format(const struct docid *id, char text[DOCID_TEXT_BYTES])
{
    switch ((enum docid_kind)id->kind) {
    case DOCID_U64:
        return (size_t)snprintf(text, DOCID_TEXT_BYTES, "%" PRIu64, id->u64);
    case DOCID_UUID:
        uuid_format(id->uuid, text);
        return UUID_TEXT_BYTES - 1;
    case DOCID_BYTES:
        assert(id->bytes.bytes <= DOCID_BYTES_MAX);
        memcpy(text, id->bytes.data, id->bytes.bytes);
        text[id->bytes.bytes] = '\0';
        return id->bytes.bytes;
    }
    assert(!"a docid has one of three kinds");
    return 0;
}

static bool parse_digits(const char *text, size_t bytes, uint64_t *out)
{
    uint64_t v = 0;

    /* "007" is not 7: as an integer it would come back changed and meet another document. */
    if (bytes == 0 || (bytes > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

status docid_parse(const char *text, size_t bytes, bool strings, struct docid *out, struct err *err)
{
    struct docid id = {0};

    if (parse_digits(text, bytes, &id.u64))
        id.kind = DOCID_U64;
    else if (uuid_parse(text, bytes, id.uuid))
        id.kind = DOCID_UUID;
    else if (!strings)
        return err_set(err, ST_INVALID,
                       "an id is an unsigned 64-bit integer or a UUID, not \"%.*s\"%s",
                       bytes < 64 ? (int)bytes : 64, text, bytes > 64 ? "..." : "");
    else if (bytes == 0)
        return err_set(err, ST_INVALID, "an id must not be empty");
    else if (bytes > DOCID_BYTES_MAX)
        return err_set(err, ST_INVALID, "an id has at most %d bytes, this one has %zu",
                       DOCID_BYTES_MAX, bytes);
    else if (!utf8_valid(text, bytes))
        return err_set(err, ST_INVALID, "an id must be valid UTF-8");
    else
        id = (struct docid){.kind = DOCID_BYTES, .bytes = slice_make(text, bytes)};
    *out = id;
    return ST_OK;
}
