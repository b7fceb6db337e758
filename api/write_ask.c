/* write_ask.c - what our own writes take beside their body: how far they must be (`durability`), on
 * which condition (`if_lsn`), and under which Idempotency-Key. */
#include "api/handlers.h"

#include <inttypes.h>
#include <stdio.h>

enum { QUERY_BYTES_MAX = 64 * 1024 };

static bool take_durability(struct request *req, struct write_options *out)
{
    const struct slice *text = request_parameter(req, "durability");

    if (text == NULL)
        return true;
    if (slice_equal(*text, slice_text("local"))) {
        out->durability = NODE_LOCAL;
        return true;
    }
    if (slice_equal(*text, slice_text("remote"))) {
        out->durability = NODE_REMOTE;
        return true;
    }
    reply_problem(req, PROBLEM_INVALID, "`durability` must be local or remote");
    return false; /* out may have been the request's: it is gone */
}

static bool parse_lsn(struct slice text, uint64_t *out)
{
    struct docid id;

    /* Digits as those of a number that is an id. */
    if (docid_parse((const char *)text.data, text.bytes, false, &id, NULL) != ST_OK ||
        id.kind != DOCID_U64)
        return false;
    *out = id.u64;
    return true;
}

bool take_write_options(struct request *req, struct write_options *out)
{
    const struct slice *lsn = request_parameter(req, "if_lsn");

    *out = (struct write_options){0};
    if (!take_durability(req, out))
        return false;
    if (lsn == NULL)
        return true;
    out->only_if = true;
    if (parse_lsn(*lsn, &out->if_lsn))
        return true;
    reply_problem(req, PROBLEM_INVALID, "`if_lsn` must be an integer from 0 to %" PRIu64,
                  UINT64_MAX);
    return false;
}

/* --- Idempotency-Key --- */

/* What must be the same for the answer to be: the path, the query, the body. The body alone where
 * the rest is in the scope. */
static status put_request(struct request *req, struct buf *out, struct slice *request,
                          struct err *err)
{
    *request = buf_slice(&req->body);
    if (req->query_count == 0 && req->match.param_count < 2)
        return ST_OK;
    for (size_t i = 1; i < req->match.param_count; i++) {
        buf_put_u32(out, (uint32_t)req->match.params[i].bytes);
        buf_put_slice(out, req->match.params[i]);
    }
    for (size_t i = 0; i < req->query_count; i++) {
        buf_put_u32(out, (uint32_t)req->query[i].name.bytes);
        buf_put_slice(out, req->query[i].name);
        buf_put_u32(out, (uint32_t)req->query[i].value.bytes);
        buf_put_slice(out, req->query[i].value);
    }
    buf_put_slice(out, *request);
    *request = buf_slice(out);
    return buf_status(out, err);
}

static status ask_node(struct request *req, struct idempotent *out, struct err *err)
{
    char scope[IDEMPOTENT_SCOPE_BYTES_MAX];
    struct slice request;
    struct buf text;
    status st;
    int bytes = snprintf(scope, sizeof scope, "%s %s %s", http_method_name(req->method),
                         req->match.route->pattern,
                         req->collection == NULL ? "" : collection_id_text(req->collection));

    buf_init(&text, req->body.bytes + QUERY_BYTES_MAX);
    st = put_request(req, &text, &request, err);
    if (st == ST_OK)
        st = node_idempotent_begin(req->api->options.node, slice_make(scope, (size_t)bytes),
                                   req->idempotency_key, request, &req->arena, out, err);
    buf_free(&text);
    return st;
}

static bool key_is_fine(struct slice key)
{
    for (size_t i = 0; i < key.bytes; i++)
        if (key.data[i] < '!' || key.data[i] > '~')
            return false;
    return key.bytes > 0 && key.bytes <= IDEMPOTENT_KEY_BYTES_MAX;
}

bool request_is_new(struct request *req)
{
    struct idempotent *seen;
    struct err err = {0};
    status st;

    if (req->idempotency_key.data == NULL)
        return true;
    if (!key_is_fine(req->idempotency_key)) {
        reply_problem(req, PROBLEM_INVALID,
                      "Idempotency-Key must be 1 to %d printable ASCII characters without blanks",
                      IDEMPOTENT_KEY_BYTES_MAX);
        return false;
    }
    seen = arena_zero(&req->arena, sizeof *seen);
    st = seen == NULL ? err_set(&err, ST_NOMEM, "out of memory for an idempotency key")
                      : ask_node(req, seen, &err);
    if (st != ST_OK) {
        reply_status(req, st, &err);
        return false;
    }
    switch (seen->state) {
    case IDEMPOTENT_NEW:
        req->idempotent = seen;
        return true;
    case IDEMPOTENT_KNOWN:
        buf_put_slice(reply_begin(req), seen->answer);
        req->replayed = true;
        reply_send(req, seen->code);
        return false;
    case IDEMPOTENT_RUNNING:
        reply_problem(req, PROBLEM_KEY_BUSY, "the first request with this key is under way");
        return false;
    case IDEMPOTENT_OTHER:
        reply_problem(req, PROBLEM_KEY_REUSED,
                      "the key came before, with another request to this route");
        return false;
    }
    return true;
}

void request_idempotent_end(struct request *req)
{
    bool done = req->http_status >= 200 && req->http_status < 300;

    if (req->idempotent == NULL)
        return;
    node_idempotent_end(req->api->options.node, req->idempotent,
                        done ? (uint16_t)req->http_status : 0,
                        done ? buf_slice(&req->out) : (struct slice){0});
    req->idempotent = NULL;
}
