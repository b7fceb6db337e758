/* import_documents.c - lines and rows of an import as documents of the batch that is filled. */
#include "api/import_internal.h"

#include "api/document.h"
#include "base/crypto.h"
#include "index/vindex.h"

#include <inttypes.h>
#include <math.h>

/* Version 8 of RFC 9562: what the rest holds is ours to say. The same line of the same body is the
 * same document whenever it is sent. */
static status id_of_line(struct slice line, uint64_t number, struct docid *out, struct err *err)
{
    uint8_t hash[CRYPTO_SHA256_BYTES];
    struct buf text;
    status st;

    buf_init(&text, line.bytes + sizeof number);
    buf_put_u64(&text, number);
    buf_put_slice(&text, line);
    st = buf_status(&text, err);
    if (st == ST_OK)
        st = crypto_sha256(buf_slice(&text), hash, err);
    buf_free(&text);
    if (st != ST_OK)
        return st;
    hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x80);
    hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
    out->kind = DOCID_UUID;
    memcpy(out->uuid, hash, sizeof out->uuid);
    return ST_OK;
}

bool import_take_line(struct import *in, struct slice line, uint64_t number)
{
    struct import_batch *b = in->filling;
    struct write_row *row = import_batch_row(b);
    struct parse p = {0};
    struct err err = {0};
    struct jval v;
    bool fine;

    if (!request_json_part(in->req, line, &v)) { /* once more, for what it says */
        status st = request_json_text(in->req, line, &v, &err);

        if (st != ST_OK) {
            request_json_done(in->req);
            import_fail(in, st == ST_INVALID ? PROBLEM_BAD_JSON : problem_of_status(st), number,
                        "line %" PRIu64 ": %s", number, err.text);
            return false;
        }
    }
    fine = document_take(&b->holder, &p, v, row, &b->payload_at[b->count]);
    if (line.bytes > IMPORT_BATCH_BYTES)
        request_json_done(in->req);
    if (fine && row->id.kind == 0 &&
        id_of_line(line, in->lines_before + number, &row->id, &err) != ST_OK)
        fine = parse_fail(&p, PROBLEM_NO_MEMORY, "%s", err.text);
    if (!fine) {
        import_fail(in, p.problem, number, "line %" PRIu64 ": %s", number, p.text);
        return false;
    }
    import_batch_keep(b, line.bytes, number);
    return true;
}

bool import_take_floats(struct import *in, struct slice row_bytes, uint64_t number)
{
    struct import_batch *b = in->filling;
    struct write_row *row = import_batch_row(b);
    const struct collection *c = in->req->collection;
    struct rd r = rd_make(row_bytes);
    float *vector = arena_array(&b->holder.arena, in->units.dim, sizeof *vector);
    uint64_t index = in->lines_before + number - 1;
    bool zero = true;

    if (vector == NULL || !document_set_vector(&b->holder, row, in->field, vector)) {
        import_fail(in, PROBLEM_NO_MEMORY, number, "out of memory for a vector");
        return false;
    }
    for (uint32_t i = 0; i < in->units.dim; i++) {
        vector[i] = rd_f32(&r);
        zero = zero && vector[i] == 0;
        if (isfinite(vector[i]))
            continue;
        import_fail(in, PROBLEM_INVALID, number, "row %" PRIu64 ": value %" PRIu32 " is not finite",
                    number, i);
        return false;
    }
    if (zero && node_field(c, in->field)->metric == VMETRIC_COSINE) {
        import_fail(in, PROBLEM_ZERO_VECTOR, number, "row %" PRIu64 ": all values are 0", number);
        return false;
    }
    if (index > UINT64_MAX - in->first_id) {
        import_fail(in, PROBLEM_INVALID, number, "row %" PRIu64 ": its id is beyond %" PRIu64,
                    number, UINT64_MAX);
        return false;
    }
    row->id = docid_u64(in->first_id + index);
    import_batch_keep(b, row_bytes.bytes, number);
    return true;
}
