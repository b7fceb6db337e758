#include "cli/bulk_file.h"
#include "cli/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_A_FLOAT = 13, WHY_BYTES = 512 };

struct other {
    struct remote remote;
    struct import *in;
    uint32_t page_rows;
};

/* A refusal of the other server, in its own words. */
static int other_ask(struct other *o, const char *method, const char *behind,
                     const struct buf *body, struct jval *result)
{
    char what[256];
    char why[512] = "";
    struct jval root = {0};
    struct jval said;
    struct buf path;
    int http;
    int code;

    (void)snprintf(what, sizeof what, "read %.200s", o->in->from);
    buf_init(&path, 8192);
    remote_path(&path, "/collections/", o->in->from, behind);
    code = path.failed ? cli_error(CLI_USAGE, what, "the name is too long", NULL)
                       : remote_ask_or(&o->remote, what, method, (const char *)path.data, body,
                                       REMOTE_ANY, &root);
    buf_free(&path);
    if (code != CLI_OK)
        return code;
    http = o->remote.answer.status;
    if (http / 100 == 2 && jval_member(root, "result", result))
        return CLI_OK;
    if (jval_member(root, "status", &said) && jval_type(said) == J_OBJECT) {
        struct slice text = remote_text(said, "error");

        (void)snprintf(why, sizeof why, "%.*s", (int)text.bytes, (const char *)text.data);
    }
    if (why[0] == '\0')
        (void)snprintf(why, sizeof why, "%s answered %d", o->in->url, http);
    return cli_error(http == 404 ? CLI_NOT_FOUND : CLI_FAILED, what, why,
                     "URL and --from of a server that speaks the compatible API");
}

static const char *metric_of(struct slice distance)
{
    static const char *const names[][2] = {
        {"Cosine", "cosine"}, {"Dot", "dot"}, {"Euclid", "l2"}, {"Manhattan", "l1"}};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_equal(distance, slice_text(names[i][0])))
            return names[i][1];
    return NULL;
}

static int refuse(struct other *o, const char *why, const char *hint)
{
    char what[256];

    (void)snprintf(what, sizeof what, "import %.200s", o->in->from);
    return cli_error(CLI_FAILED, what, why, hint);
}

/* "x y" of an object's keys behind what why says already. */
static const char *with_keys(char why[WHY_BYTES], struct jval v)
{
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        size_t at = strlen(why);

        (void)snprintf(why + at, WHY_BYTES - at, " %.*s",
                       (int)(it.key.bytes < 64 ? it.key.bytes : 64), (const char *)it.key.data);
    }
    return why;
}

/* One of the other's vectors. */
struct theirs {
    struct slice name;
    uint32_t size;
    const char *metric;
};

static int refuse_vector(struct other *o, struct slice name, const char *what, const char *hint)
{
    char why[WHY_BYTES];

    (void)snprintf(why, sizeof why, "its vector `%.*s` %s",
                   (int)(name.bytes < 64 ? name.bytes : 64), (const char *)name.data, what);
    return refuse(o, why, hint);
}

static int look_at_vector(struct other *o, struct slice name, struct jval v, struct theirs *out)
{
    uint64_t size = remote_u64(v, "size");
    struct jval multi;

    *out = (struct theirs){.name = name, .size = (uint32_t)size};
    out->metric = o->in->metric != NULL ? o->in->metric : metric_of(remote_text(v, "distance"));
    if (jval_member(v, "multivector_config", &multi) && jval_type(multi) == J_OBJECT)
        return refuse_vector(o, name, "holds many a point, which no collection here does",
                             "--vector NAME of another one");
    if (size == 0 || size > BULK_DIM_MAX)
        return refuse_vector(o, name, "has a size that is none here", NULL);
    if (out->metric == NULL)
        return refuse_vector(o, name, "has a distance that is none here", "--metric");
    return CLI_OK;
}

/* Into the collection here: the one of that name, or a new one. */
static int match_field(struct other *o, const struct theirs *v, struct bulk_field *f)
{
    struct bulk_rows *rows = &o->in->run.rows;
    struct err err;

    if (f != NULL && f->dim == v->size)
        return CLI_OK;
    if (f == NULL && rows->open) {
        if (bulk_field_add(rows, v->name, v->size, slice_text(v->metric), NULL, &err) == ST_OK)
            return CLI_OK;
        return refuse(o, err.text, NULL);
    }
    return refuse_vector(o, v->name,
                         f == NULL ? "is none of the collection here"
                                   : "has another size than the one here",
                         "another --collection, --create, or --vector NAME for one of them");
}

static bool is_unnamed(struct jval vectors)
{
    struct jval size;

    return jval_member(vectors, "size", &size) && jval_type(size) == J_U64;
}

/* --vector: one of theirs, into the one of that name here, else the unnamed or only one. */
static int look_at_one(struct other *o, struct jval vectors)
{
    char why[WHY_BYTES] = "it has no vector of this name; there are:";
    struct bulk_rows *rows = &o->in->run.rows;
    struct theirs theirs;
    struct jval v;
    struct err err;
    int code;

    if (is_unnamed(vectors))
        return refuse(o, "its vector has no name", "without --vector");
    if (!jval_member(vectors, o->in->named, &v))
        return refuse(o, with_keys(why, vectors), "--vector NAME of one of them");
    code = look_at_vector(o, slice_text(o->in->named), v, &theirs);
    if (code != CLI_OK)
        return code;
    rows->take = o->in->named;
    rows->into = bulk_field_called(rows, theirs.name);
    if (rows->into == NULL && bulk_field_meant(rows, NULL, &rows->into, &err) != ST_OK)
        return refuse(o, err.text, "another --collection, or --create");
    if (rows->open) {
        rows->into->dim = theirs.size;
        (void)snprintf(rows->into->metric, sizeof rows->into->metric, "%s", theirs.metric);
    }
    return match_field(o, &theirs, rows->into);
}

static int look_at_all(struct other *o, struct jval params, struct jval vectors)
{
    char why[WHY_BYTES] = "it has sparse vectors, which no collection here takes:";
    const struct bulk_rows *rows = &o->in->run.rows;
    struct theirs theirs;
    struct jval sparse;
    int code = CLI_OK;

    if (jval_member(params, "sparse_vectors", &sparse) && jval_type(sparse) == J_OBJECT &&
        jval_count(sparse) > 0)
        return refuse(o, with_keys(why, sparse),
                      "--vector NAME takes one of the dense ones, without the others");
    if (is_unnamed(vectors)) {
        struct bulk_field *f = bulk_field_called(rows, slice_text(""));

        code = look_at_vector(o, slice_text(""), vectors, &theirs);
        if (f == NULL && rows->field_count == 1)
            f = &rows->fields[0];
        return code != CLI_OK ? code : match_field(o, &theirs, f);
    }
    for (struct jiter it = jval_iter(vectors); code == CLI_OK && jiter_next(&it);) {
        code = look_at_vector(o, it.key, it.value, &theirs);
        if (code == CLI_OK)
            code = match_field(o, &theirs, bulk_field_called(rows, it.key));
    }
    return code;
}

/* Another tiervec says whether its ids may be any text; no other server has such. */
static int look_at_ids(struct other *o)
{
    struct jval root = {0};
    struct jval info;
    struct buf path;
    int code;

    if (!o->in->run.rows.open)
        return CLI_OK;
    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", o->in->from, "");
    code = remote_ask_or(&o->remote, "look at its ids", "GET", (const char *)path.data, NULL,
                         REMOTE_WHATEVER, &root);
    buf_free(&path);
    if (code == CLI_OK && o->remote.answer.status == 200 &&
        jval_member(root, "collection", &info) && remote_bool(info, "string_ids"))
        o->in->run.rows.string_ids = true;
    return code;
}

static int look_at_other(struct other *o)
{
    struct bulk_run *run = &o->in->run;
    struct jval params;
    struct jval v;
    uint64_t size;
    int code = other_ask(o, "GET", "", NULL, &params);

    if (code != CLI_OK)
        return code;
    if (!jval_member(params, "config", &params) || !jval_member(params, "params", &params) ||
        !jval_member(params, "vectors", &v) || jval_type(v) != J_OBJECT)
        return refuse(o, "its description names no dense vectors", "a collection that has some");
    code = o->in->named != NULL ? look_at_one(o, v) : look_at_all(o, params, v);
    if (code == CLI_OK)
        code = look_at_ids(o);
    run->rows.open = false; /* all that may come is known */
    run->rows.may_lack = true;
    size = bulk_fields_dim(&run->rows);
    size = run->batch_bytes_max / ((size == 0 ? 1 : size) * TEXT_BYTES_A_FLOAT) + 1;
    o->page_rows = (uint32_t)(size < run->batch_rows_max ? size : run->batch_rows_max);
    return code;
}

static void put_scroll(const struct other *o, struct buf *body)
{
    const struct import *in = o->in;

    buf_printf(body, "{\"limit\":%" PRIu32 ",\"with_payload\":true,\"with_vector\":", o->page_rows);
    if (in->named == NULL) {
        buf_put_text(body, "true");
    } else {
        buf_put_text(body, "[");
        json_put_string(body, slice_text(in->named));
        buf_put_text(body, "]");
    }
    if (in->run.state.cursor[0] != '\0')
        buf_printf(body, ",\"offset\":%s", in->run.state.cursor);
    buf_put_text(body, "}");
}

/* The id as JSON writes it: an integer, or a text in quotes. */
static bool put_id_text(struct buf *out, struct jval id)
{
    uint64_t n;

    if (jval_u64(id, &n))
        json_put_u64(out, n);
    else if (jval_type(id) == J_STRING)
        json_put_string(out, jval_string(id));
    else
        return false;
    return true;
}

static void label_of(struct jval point, char label[BULK_LABEL_BYTES])
{
    struct jval id;
    struct buf text;

    buf_init(&text, 8192);
    if (!jval_member(point, "id", &id) || !put_id_text(&text, id))
        buf_put_text(&text, "without an id");
    (void)snprintf(label, BULK_LABEL_BYTES, "point %.*s", (int)(text.bytes < 48 ? text.bytes : 48),
                   (const char *)text.data);
    buf_free(&text);
}

/* Where the other side goes on, "" behind the last page. */
static bool take_cursor(struct jval result, char out[BULK_CURSOR_BYTES])
{
    struct jval next;
    struct buf text;
    bool fine = true;

    out[0] = '\0';
    if (!jval_member(result, "next_page_offset", &next) || jval_type(next) == J_NULL)
        return true;
    buf_init(&text, BULK_CURSOR_BYTES - 1);
    fine = put_id_text(&text, next) && !text.failed;
    if (fine)
        (void)snprintf(out, BULK_CURSOR_BYTES, "%.*s", (int)text.bytes, (const char *)text.data);
    buf_free(&text);
    return fine;
}

/* The points of a page, in batches; the state moves with whole pages. */
static int take_points(struct other *o, struct jval points, uint64_t *count)
{
    struct bulk_run *run = &o->in->run;
    char label[BULK_LABEL_BYTES];
    struct err err;
    int code = CLI_OK;

    for (struct jiter it = jval_iter(points); code == CLI_OK && jiter_next(&it); (*count)++) {
        label_of(it.value, label);
        bulk_batch_next(run, label);
        if (bulk_put_document(&run->rows, &run->body, it.value, NULL, &err) != ST_OK)
            return bulk_run_bad_row(run, label, &err);
        if (bulk_batch_full(run))
            code = import_send(o->in);
    }
    return code;
}

static int take_page(struct other *o, bool *more)
{
    struct bulk_run *run = &o->in->run;
    char next[BULK_CURSOR_BYTES];
    struct jval result;
    struct jval points;
    struct buf body;
    uint64_t count = 0;
    int code;

    buf_init(&body, 64 * 1024);
    put_scroll(o, &body);
    code = other_ask(o, "POST", "/points/scroll", &body, &result);
    buf_free(&body);
    if (code != CLI_OK)
        return code;
    if (!jval_member(result, "points", &points) || jval_type(points) != J_ARRAY ||
        !take_cursor(result, next))
        return refuse(o, "a page of its points is none that is known", NULL);
    *more = next[0] != '\0';
    if (*more && strcmp(next, run->state.cursor) == 0)
        return refuse(o, "its pages do not move on", NULL);
    code = take_points(o, points, &count);
    if (code == CLI_OK)
        code = import_send(o->in);
    if (code != CLI_OK)
        return code;
    run->state.rows += count;
    memcpy(run->state.cursor, next, sizeof next);
    bulk_run_progress(run);
    return *more && !run->dry_run ? bulk_run_save(run) : CLI_OK;
}

static int take_all(struct other *o)
{
    struct bulk_run *run = &o->in->run;
    bool more = true;
    struct buf words;
    int code;

    buf_init(&words, 64 * 1024);
    buf_printf(&words, "import qdrant %s %s %s", o->in->url, o->in->from,
               o->in->named != NULL ? o->in->named : "");
    code = bulk_run_resume(run, &words);
    buf_free(&words);
    if (code == CLI_OK && run->state.done)
        return bulk_run_end(run, false);
    while (code == CLI_OK && more)
        code = take_page(o, &more);
    return code != CLI_OK ? code : import_end(o->in);
}

int import_qdrant(struct import *in)
{
    struct other o = {.in = in, .remote = {.url = in->url, .keeps = true}};
    const char *key = getenv("QDRANT_API_KEY");
    struct buf header;
    int code = CLI_OK;

    buf_init(&header, 8192);
    if (key != NULL && key[0] != '\0') {
        buf_printf(&header, "api-key: %s", key);
        buf_put_u8(&header, 0);
        o.remote.header = (const char *)header.data;
        if (header.failed)
            code = cli_error(CLI_USAGE, "import", "QDRANT_API_KEY is too long", NULL);
    }
    if (code == CLI_OK)
        code = import_look(in);
    if (code == CLI_OK)
        code = look_at_other(&o);
    o.remote.patience_s = BULK_PATIENCE_S;
    if (code == CLI_OK)
        code = take_all(&o);
    remote_close(&o.remote);
    buf_free(&header);
    return code;
}
