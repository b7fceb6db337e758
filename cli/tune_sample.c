/* The sample of `tiervec tune`. A collection that is hardly larger is read whole, in id order, and
 * each of its rows is as likely to be in it; of a larger one the node draws rows, some of them
 * twice. */
#include "cli/tune.h"

#include "base/mem.h"
#include "base/rand.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    PAGE_ROWS_MAX = 1000,
    PAGE_BYTES = 4 * 1024 * 1024,
    TEXT_BYTES_A_FLOAT = 13,
    WHOLE_UP_TO = 3,       /* times the sample */
    BARREN_PAGES_MAX = 20, /* in a row, without a row that is new */
};

struct taking {
    struct tune_command *c;
    struct rand_seeded rand;
    uint32_t want, held; /* rows, queries among them */
    uint64_t seen;
    float *rows;
    uint64_t *ids; /* of what was drawn: hashes, an open table */
    size_t id_mask;
    uint32_t page;
    struct buf next; /* where the next page begins, as JSON; empty: none */
};

/* --- one row --- */

static uint64_t hash_of(struct jval id)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325), n = 0;
    struct slice text = slice_make(&n, sizeof n);

    if (jval_type(id) == J_STRING)
        text = jval_string(id);
    else
        (void)jval_u64(id, &n);
    for (size_t i = 0; i < text.bytes; i++)
        h = (h ^ text.data[i]) * UINT64_C(0x100000001b3);
    return h == 0 ? 1 : h;
}

/* True where it was not there. */
static bool note_id(struct taking *t, struct jval point)
{
    struct jval id;
    uint64_t h;
    size_t at;

    if (!jval_member(point, "id", &id))
        return false;
    h = hash_of(id);
    for (at = h & t->id_mask; t->ids[at] != 0; at = (at + 1) & t->id_mask)
        if (t->ids[at] == h)
            return false;
    t->ids[at] = h;
    return true;
}

/* Into the place of another, once there are enough: each row stays as likely as the next. */
static float *place_for(struct taking *t, bool whole)
{
    uint64_t at = t->seen++;

    if (at >= t->want) {
        at = whole ? rand_below(&t->rand.source, t->seen) : t->want;
        if (at >= t->want)
            return NULL;
    } else {
        t->held++;
    }
    return t->rows + at * t->c->field->dim;
}

static int take_row(struct taking *t, struct jval point, bool whole)
{
    const struct bulk_field *f = t->c->field;
    struct jval v, named;
    struct err err;
    size_t count = 0;
    float *to;

    if (!whole && !note_id(t, point))
        return CLI_OK;
    if (!jval_member(point, "vector", &v) || jval_type(v) == J_NULL)
        return CLI_OK;
    if (jval_type(v) == J_OBJECT) {
        if (!jval_member(v, f->name, &named))
            return CLI_OK;
        v = named;
    }
    to = place_for(t, whole);
    if (to == NULL)
        return CLI_OK;
    if (jval_floats(v, to, f->dim, &count, &err) != ST_OK || count != f->dim)
        return cli_error(CLI_FAILED, "tune", "a vector of another size than the collection's",
                         "--url of a tiervec node");
    return CLI_OK;
}

/* --- a page --- */

static void put_ask(const struct taking *t, struct buf *body, bool whole)
{
    const struct bulk_field *f = t->c->field;

    buf_printf(body, "{\"limit\":%" PRIu32 ",\"with_payload\":false,\"with_vector\":", t->page);
    if (f->name[0] == '\0') {
        buf_put_text(body, "true");
    } else {
        buf_put_text(body, "[");
        json_put_string(body, slice_text(f->name));
        buf_put_text(body, "]");
    }
    buf_put_text(body, ",\"filter\":{\"must\":[{\"has_vector\":");
    json_put_string(body, slice_text(f->name));
    buf_put_text(body, "}]}");
    if (!whole) {
        buf_put_text(body, ",\"query\":{\"sample\":\"random\"}");
    } else if (t->next.bytes > 0) {
        buf_put_text(body, ",\"offset\":");
        buf_put_slice(body, buf_slice(&t->next));
    }
    buf_put_text(body, "}");
}

static void note_next(struct taking *t, struct jval result)
{
    struct jval next;
    uint64_t n;

    buf_reset(&t->next);
    if (!jval_member(result, "next_page_offset", &next))
        return;
    if (jval_u64(next, &n))
        json_put_u64(&t->next, n);
    else if (jval_type(next) == J_STRING)
        json_put_string(&t->next, jval_string(next));
}

static int take_page(struct taking *t, bool whole)
{
    struct tune_command *c = t->c;
    struct jval root, result, points;
    struct buf path, body;
    int code;

    buf_init(&path, 8192);
    buf_init(&body, 64 * 1024);
    remote_path(&path, "/collections/", c->name, whole ? "/points/scroll" : "/points/query");
    put_ask(t, &body, whole);
    code = path.failed ? cli_error(CLI_USAGE, "tune", "the name is too long", NULL)
                       : remote_ask(&c->run.remote, "tune: read vectors", "POST",
                                    (const char *)path.data, &body, &root);
    buf_free(&path);
    buf_free(&body);
    if (code != CLI_OK)
        return code;
    if (!jval_member(root, "result", &result) || !jval_member(result, "points", &points))
        return cli_error(CLI_FAILED, "tune", "an answer without points", "--url of a tiervec node");
    for (struct jiter it = jval_iter(points); code == CLI_OK && jiter_next(&it);)
        code = take_row(t, it.value, whole);
    note_next(t, result);
    if (t->next.failed)
        return cli_error(CLI_FAILED, "tune", "out of memory", NULL);
    return code;
}

static int take_whole(struct taking *t)
{
    int code;

    do {
        code = take_page(t, true);
        tune_progress(t->c, "sample: %" PRIu64 " rows read", t->seen);
    } while (code == CLI_OK && t->next.bytes > 0);
    return code;
}

static int take_drawn(struct taking *t)
{
    int barren = 0;
    int code = CLI_OK;

    while (code == CLI_OK && t->held < t->want && barren < BARREN_PAGES_MAX) {
        uint32_t before = t->held;

        code = take_page(t, false);
        barren = t->held == before ? barren + 1 : 0;
        tune_progress(t->c, "sample: %" PRIu32 " of %" PRIu32 " rows", t->held, t->want);
    }
    return code;
}

/* --- the whole --- */

/* Rows of a sample are in no order that means anything, so that the first are as good as any. */
static void shuffle(struct taking *t)
{
    uint32_t dim = t->c->field->dim;

    for (uint32_t i = t->held; i > 1; i--) {
        float *a = t->rows + (size_t)(i - 1) * dim;
        float *b = t->rows + (size_t)rand_below(&t->rand.source, i) * dim;

        for (uint32_t k = 0; k < dim; k++) {
            float f = a[k];

            a[k] = b[k];
            b[k] = f;
        }
    }
}

static int share_out(struct taking *t)
{
    struct tune_sample *s = &t->c->sample;

    if (t->held < TUNE_ROWS_MIN)
        return cli_error(CLI_FAILED, "tune", "the collection has too few vectors to say anything",
                         "100 at least; below hnsw.threshold a scan finds everything");
    s->query_count = t->c->queries < t->held / 4 ? t->c->queries : t->held / 4;
    s->count = t->held - s->query_count;
    return CLI_OK;
}

int tune_take_sample(struct tune_command *c)
{
    struct taking t = {.c = c, .id_mask = 1};
    bool whole = c->rows / WHOLE_UP_TO <= c->sample_rows + c->queries;
    size_t values;
    int code;

    t.want = c->sample_rows + c->queries;
    if (t.want > c->rows)
        t.want = (uint32_t)c->rows;
    if (t.want == 0)
        return share_out(&t);
    t.page = (uint32_t)(PAGE_BYTES / TEXT_BYTES_A_FLOAT / c->field->dim) + 1;
    if (t.page > PAGE_ROWS_MAX)
        t.page = PAGE_ROWS_MAX;
    while (t.id_mask < 2 * (size_t)t.want)
        t.id_mask = 2 * t.id_mask + 1;
    rand_seeded_init(&t.rand, c->seed);
    buf_init(&t.next, 64 * 1024);
    if (size_mul(t.want, c->field->dim, &values))
        t.rows = c->sample.rows = mem_alloc_array(values, sizeof *t.rows);
    t.ids = mem_zero_array(t.id_mask + 1, sizeof *t.ids);
    if (t.rows == NULL || t.ids == NULL)
        code = cli_error(CLI_FAILED, "tune", "out of memory for the sample", "a smaller --sample");
    else
        code = whole ? take_whole(&t) : take_drawn(&t);
    if (code == CLI_OK) {
        shuffle(&t);
        code = share_out(&t);
    }
    mem_free(t.ids);
    buf_free(&t.next);
    return code;
}
