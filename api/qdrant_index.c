/* qdrant_index.c - payload indexes: made, replaced and dropped. */
#include "api/qdrant_config.h"
#include "api/qdrant_handlers.h"

#include "filter/words.h"

/* Building goes on behind the answer; with wait=true it is waited for, a little less long than the
 * request may take. */
enum { WAIT_SPARE_MS = 250 };

static uint64_t wait_ms_of(const struct request *req, const struct qd_terms *terms)
{
    uint64_t now = clock_mono_ns(req->api->options.clock);
    uint64_t left_ms = req->deadline_ns > now ? (req->deadline_ns - now) / 1000000u : 0;

    if (!terms->wait)
        return 0;
    return left_ms > WAIT_SPARE_MS ? left_ms - WAIT_SPARE_MS : 1;
}

static void on_changed(void *arg, status st, const struct collection_info *info,
                       const struct err *err)
{
    struct request *req = arg;
    struct qd_terms terms = *(const struct qd_terms *)req->state;
    struct collection_info now;

    (void)info;
    request_decide(req);
    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    /* Waiting ended because of the time: it may be building still. */
    if (clock_mono_ns(req->api->options.clock) + WAIT_SPARE_MS * 1000000u >= req->deadline_ns)
        terms.wait = false;
    node_collection_info(req->collection, &now);
    qd_send_update(req, &terms, now.last_lsn);
}

static bool parse_type(struct qd_parse *p, struct slice text, struct pindex_spec *out)
{
    return pindex_type_parse(text, &out->type) ||
           qd_bad(p, QD_FORMAT,
                  "unknown variant `%.*s`, expected one of `keyword`, `integer`, `float`, `geo`, "
                  "`text`, `bool`, `datetime`, `uuid`",
                  (int)(text.bytes < 64 ? text.bytes : 64), (const char *)text.data);
}

/* How a text index cuts its texts; what would find other points and is not there is refused. */
static bool parse_words(struct qd_parse *p, struct jval v, struct filter_words *out)
{
    static const char *const missing[] = {"stopwords", "stemmer", "ascii_folding"};
    struct slice tokenizer = {0};
    bool lowercase = true;
    uint64_t min = 0;
    uint64_t max = 0;
    struct jval other;

    for (size_t i = 0; i < COUNT_OF(missing); i++)
        if (qd_member(v, missing[i], &other) && jval_type(other) != J_FALSE)
            return qd_bad(p, QD_INPUT, "`%s` of a text index is not supported by this version",
                          missing[i]);
    if (!qd_string(p, v, "tokenizer", &tokenizer) || !qd_bool(p, v, "lowercase", &lowercase) ||
        !qd_uint(p, v, "min_token_len", 0, UINT32_MAX, &min) ||
        !qd_uint(p, v, "max_token_len", min, UINT32_MAX, &max))
        return false;
    if (tokenizer.data != NULL && !words_tokenizer_parse(tokenizer, &out->tokenizer))
        return qd_bad(p, QD_FORMAT,
                      "unknown variant `%.*s`, expected one of `prefix`, `whitespace`, `word`, "
                      "`multilingual`",
                      (int)(tokenizer.bytes < 64 ? tokenizer.bytes : 64),
                      (const char *)tokenizer.data);
    out->keep_case = !lowercase;
    out->min_bytes = (uint32_t)min;
    out->max_bytes = (uint32_t)max;
    return true;
}

bool qd_parse_schema(struct qd_parse *p, struct request *req, struct jval v,
                     struct pindex_spec *out, struct slice *schema)
{
    struct slice type = {0};
    struct buf text;
    char *copy;
    status st;

    if (jval_type(v) == J_STRING)
        type = jval_string(v);
    else if (jval_type(v) != J_OBJECT)
        return qd_bad(p, QD_FORMAT, "field_schema: expected a type or an object with `type`");
    else if (!qd_string(p, v, "type", &type))
        return false;
    if (type.data == NULL)
        return qd_bad(p, QD_FORMAT, "field_schema: missing field `type`");
    if (!parse_type(p, type, out) ||
        (out->type == PINDEX_TEXT && jval_type(v) == J_OBJECT && !parse_words(p, v, &out->words)))
        return false;
    buf_init(&text, NODE_INDEX_SCHEMA_BYTES_MAX);
    qd_put_json(&text, v);
    st = buf_status(&text, NULL);
    copy = st == ST_OK ? arena_strndup(&req->arena, (const char *)text.data, text.bytes) : NULL;
    *schema = slice_make(copy, text.bytes);
    buf_free(&text);
    if (st == ST_NOSPACE)
        return qd_bad(p, QD_INPUT, "field_schema is over %d bytes", NODE_INDEX_SCHEMA_BYTES_MAX);
    return copy != NULL || qd_no_memory(p);
}

static bool parse_index(struct qd_parse *p, struct request *req, struct jval body,
                        struct pindex_spec *out, struct slice *schema)
{
    struct jval v;

    if (!qd_member(body, "field_name", &v))
        return qd_bad(p, QD_FORMAT, "missing field `field_name`");
    if (!qd_path(p, req, "field_name", v, &out->path))
        return false;
    if (!qd_member(body, "field_schema", &v))
        return qd_bad(p, QD_INPUT, "field_schema is needed: its type is not guessed");
    return qd_parse_schema(p, req, v, out, schema);
}

static bool keep_terms(struct request *req)
{
    struct qd_terms *terms = arena_zero(&req->arena, sizeof *terms);

    req->state = terms;
    if (terms == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for this request");
        return false;
    }
    return qd_terms(req, terms);
}

task_state handle_qd_index_create(struct request *req)
{
    struct pindex_spec spec = {0};
    struct qd_parse p = {0};
    struct slice schema = {0};
    struct jval body;

    if (!keep_terms(req) || !qd_collection(req) || !qd_body(req, &body))
        return TASK_DONE;
    if (!parse_index(&p, req, body, &spec, &schema))
        return qd_fail_parse(req, &p);
    request_hand(req);
    node_index_create(req->api->options.node, req->collection, &spec, schema,
                      wait_ms_of(req, req->state), on_changed, req);
    return TASK_DONE;
}

task_state handle_qd_index_drop(struct request *req)
{
    const struct path *path;
    struct qd_parse p = {0};
    struct err err = {0};
    status st;

    if (!keep_terms(req) || !qd_collection(req))
        return TASK_DONE;
    st = path_parse(req->match.params[1], &req->arena, &path, &err);
    if (st != ST_OK) {
        (void)qd_bad(&p, st == ST_NOMEM ? QD_TOO_MUCH : QD_INPUT, "%s", err.text);
        return qd_fail_parse(req, &p);
    }
    request_hand(req);
    node_index_drop(req->api->options.node, req->collection, path, on_changed, req);
    return TASK_DONE;
}
