#include "objstore/store.h"

#include "base/crc32c.h"
#include "base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { ETAG_SEED_A = 0x74766f62, ETAG_SEED_B = 0x6a737472 };

void objstore_answer(struct objstore_req *req, enum objstore_class c, int http_status,
                     const char *s3_code, const char *format, ...)
{
    struct objstore_result *r = &req->result;
    char text[ERR_TEXT_BYTES];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->class = c;
    r->http_status = http_status;
    (void)snprintf(r->s3_code, sizeof r->s3_code, "%s", s3_code);
    (void)err_set(&r->err, objstore_class_status(c), "%s", text);
    (void)err_wrap(&r->err, objstore_class_status(c), "%s %.200s", objstore_op_name(req->op),
                   req->key != NULL ? req->key : "");
}

void objstore_answer_ok(struct objstore_req *req, int http_status)
{
    req->result.class = OBJSTORE_OK;
    req->result.http_status = http_status;
}

void objstore_answer_status(struct objstore_req *req, status st, const struct err *err,
                            bool applied)
{
    if (st == ST_NOSPACE)
        objstore_answer(req, OBJSTORE_CAPACITY, 507, "StorageFull", "%s", err->text);
    else if (st == ST_DENIED)
        objstore_answer(req, OBJSTORE_PERMANENT, 403, "AccessDenied", "%s", err->text);
    else if (st == ST_INVALID)
        objstore_answer(req, OBJSTORE_PERMANENT, 400, "InvalidRequest", "%s", err->text);
    else if (st == ST_CORRUPT)
        objstore_answer(req, OBJSTORE_INTEGRITY, 0, "", "%s", err->text);
    else
        objstore_answer(req, OBJSTORE_TRANSIENT, 0, "", "%s", err->text);
    req->result.maybe_applied = applied;
}

static bool refuse(struct objstore_req *req, const char *what)
{
    objstore_answer(req, OBJSTORE_PERMANENT, 400, "InvalidArgument", "%s", what);
    return false;
}

static bool etag_is_sound(const char *etag)
{
    size_t bytes = etag == NULL ? 0 : strnlen(etag, OBJSTORE_ETAG_BYTES);

    if (bytes == 0 || bytes >= OBJSTORE_ETAG_BYTES)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)etag[i] < 0x20 || (unsigned char)etag[i] > 0x7e)
            return false;
    return true;
}

static bool condition_check(struct objstore_req *req)
{
    bool ok = req->condition == OBJSTORE_ALWAYS;

    if (req->op == OBJSTORE_PUT || req->op == OBJSTORE_UPLOAD_COMPLETE)
        ok |= req->condition == OBJSTORE_IF_ABSENT || req->condition == OBJSTORE_IF_MATCH;
    if (req->op == OBJSTORE_GET)
        ok |= req->condition == OBJSTORE_IF_CHANGED;
    if (!ok)
        return refuse(req, "this condition does not go with this kind of request");
    if ((req->condition == OBJSTORE_IF_MATCH || req->condition == OBJSTORE_IF_CHANGED) &&
        !etag_is_sound(req->etag))
        return refuse(req, "the condition has no etag, or one that is none");
    return true;
}

/* A listing's prefix and start_after may end anywhere in a key. */
static bool key_piece(const char *text)
{
    size_t bytes = strlen(text);

    for (size_t i = 0; i < bytes; i++) {
        const char c[2] = {text[i], '\0'};

        if (c[0] != '/' && c[0] != '.' && objstore_key_check(c, NULL) != ST_OK)
            return false;
    }
    return bytes <= OBJSTORE_KEY_BYTES_MAX;
}

static bool list_check(struct objstore_req *req)
{
    if (req->key == NULL || !key_piece(req->key))
        return refuse(req, "the prefix of a listing is too long or has bytes no key has");
    if (req->start_after != NULL && !key_piece(req->start_after))
        return refuse(req, "start_after of a listing is too long or has bytes no key has");
    if (req->list_max > OBJSTORE_LIST_MAX)
        return refuse(req, "a listing of more than 1000 names");
    return true;
}

static bool complete_check(struct objstore_req *req)
{
    if (req->part_count == 0 || req->part_count > OBJSTORE_PARTS_MAX || req->parts == NULL)
        return refuse(req, "a completion names 1 to 10000 parts");
    for (size_t i = 0; i < req->part_count; i++) {
        uint32_t before = i == 0 ? 0 : req->parts[i - 1].number;

        if (req->parts[i].number <= before || req->parts[i].number > OBJSTORE_PARTS_MAX)
            return refuse(req, "numbers of parts are 1 to 10000 and rise");
        if (!etag_is_sound(req->parts[i].etag))
            return refuse(req, "a part without its etag");
    }
    return true;
}

static bool upload_check(struct objstore_req *req)
{
    size_t bytes = req->upload_id == NULL ? 0 : strnlen(req->upload_id, OBJSTORE_UPLOAD_BYTES);

    if (req->op == OBJSTORE_UPLOAD_BEGIN)
        return true;
    if (bytes == 0 || bytes >= OBJSTORE_UPLOAD_BYTES)
        return refuse(req, "the id of the upload is missing");
    if (req->op == OBJSTORE_UPLOAD_PART &&
        (req->part_number == 0 || req->part_number > OBJSTORE_PARTS_MAX))
        return refuse(req, "numbers of parts are 1 to 10000");
    return req->op != OBJSTORE_UPLOAD_COMPLETE || complete_check(req);
}

bool objstore_req_check(struct objstore_req *req)
{
    struct err err;

    if ((unsigned)req->op >= OBJSTORE_OPS || (unsigned)req->pool >= OBJSTORE_POOLS)
        return refuse(req, "no such kind of request");
    if (!condition_check(req))
        return false;
    if (req->op == OBJSTORE_LIST)
        return list_check(req);
    if (req->key == NULL || objstore_key_check(req->key, &err) != ST_OK)
        return refuse(req, req->key == NULL ? "the key is missing" : err.text);
    if ((req->op == OBJSTORE_PUT || req->op == OBJSTORE_UPLOAD_PART) &&
        req->body.bytes > OBJSTORE_OBJECT_BYTES_MAX)
        return refuse(req, "more than 64 MiB in one piece: larger objects go in parts");
    if (req->op == OBJSTORE_GET && req->range_suffix && req->range_bytes == 0)
        return refuse(req, "the last 0 bytes of an object were asked for");
    return req->op < OBJSTORE_UPLOAD_BEGIN || upload_check(req);
}

bool objstore_checksum_holds(struct objstore_req *req)
{
    if (req->crc32c == NULL || *req->crc32c == crc32c(0, req->body.data, req->body.bytes))
        return true;
    objstore_answer(req, OBJSTORE_INTEGRITY, 400, "BadDigest", "the body has another crc32c");
    return false;
}

bool objstore_condition_holds(struct objstore_req *req, const char *etag)
{
    if (req->condition == OBJSTORE_IF_ABSENT && etag != NULL) {
        objstore_answer(req, OBJSTORE_PRECONDITION, 412, "PreconditionFailed",
                        "the object is there already");
        return false;
    }
    if (req->condition == OBJSTORE_IF_MATCH && etag == NULL) {
        objstore_answer(req, OBJSTORE_PRECONDITION, 404, "NoSuchKey",
                        "the object to be replaced is not there");
        return false;
    }
    if (req->condition == OBJSTORE_IF_MATCH && strcmp(req->etag, etag) != 0) {
        objstore_answer(req, OBJSTORE_PRECONDITION, 412, "PreconditionFailed",
                        "the object is another than the one to be replaced");
        return false;
    }
    return true;
}

bool objstore_condition_changed(struct objstore_req *req, const char *etag)
{
    if (req->condition != OBJSTORE_IF_CHANGED || strcmp(req->etag, etag) != 0)
        return true;
    req->result.class = OBJSTORE_NOT_MODIFIED;
    req->result.http_status = 304;
    return false;
}

static bool range_resolve(const struct objstore_req *req, uint64_t object_bytes, uint64_t *offset,
                          uint64_t *bytes)
{
    bool to_end = req->range_bytes == 0 || req->range_bytes == OBJSTORE_RANGE_ALL;

    *offset = req->range_offset;
    if (req->range_suffix)
        *offset = req->range_bytes < object_bytes ? object_bytes - req->range_bytes : 0;
    else if (to_end && *offset == 0) {
        *bytes = object_bytes; /* no range at all: an empty object is whole too */
        return true;
    }
    if (*offset >= object_bytes)
        return false;
    *bytes = object_bytes - *offset;
    if (!to_end && req->range_bytes < *bytes)
        *bytes = req->range_bytes;
    return true;
}

bool objstore_range_find(struct objstore_req *req, uint64_t object_bytes, uint64_t *offset,
                         size_t *bytes)
{
    uint64_t bytes_max = req->bytes_max == 0 ? OBJSTORE_OBJECT_BYTES_MAX : req->bytes_max;
    uint64_t found = 0;

    if (!range_resolve(req, object_bytes, offset, &found)) {
        objstore_answer(req, OBJSTORE_PERMANENT, 416, "InvalidRange",
                        "the range begins behind the end of an object of %" PRIu64 " bytes",
                        object_bytes);
        return false;
    }
    if (found > bytes_max) {
        objstore_answer(req, OBJSTORE_INTEGRITY, 200, "",
                        "%" PRIu64 " bytes where at most %" PRIu64 " were expected", found,
                        bytes_max);
        return false;
    }
    *bytes = (size_t)found;
    return true;
}

void objstore_etag_of(struct slice content, char out[OBJSTORE_ETAG_BYTES])
{
    (void)snprintf(out, OBJSTORE_ETAG_BYTES, "\"%016" PRIx64 "%016" PRIx64 "\"",
                   hash_bytes(content.data, content.bytes, ETAG_SEED_A),
                   hash_bytes(content.data, content.bytes, ETAG_SEED_B));
}

void objstore_etag_of_parts(const struct objstore_part *parts, size_t count,
                            char out[OBJSTORE_ETAG_BYTES])
{
    uint64_t a = ETAG_SEED_A;
    uint64_t b = ETAG_SEED_B;

    assert(count > 0);
    for (size_t i = 0; i < count; i++) {
        a = hash_bytes(parts[i].etag, strlen(parts[i].etag), a);
        b = hash_bytes(parts[i].etag, strlen(parts[i].etag), b);
    }
    (void)snprintf(out, OBJSTORE_ETAG_BYTES, "\"%016" PRIx64 "%016" PRIx64 "-%zu\"", a, b, count);
}
