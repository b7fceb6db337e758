/* The proposal becomes the collection's setting. What a sample said is looked at again on the
 * collection itself: with more rows the same ef_search finds less. */
#include "cli/tune.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
    K = 10,
    CHECK_QUERIES_MAX = 100,
    BATCH_BYTES = 4 * 1024 * 1024,
    TEXT_BYTES_A_FLOAT = 13,
    BODY_BYTES_MAX = 64 * 1024 * 1024,
    RAISES_MAX = 8,
    LOOK_EVERY_US = 200 * 1000,
};

static int ask(struct tune_command *c, const char *what, const char *method, const char *behind,
               const struct buf *body, struct jval *root)
{
    struct buf path;
    int code;

    buf_init(&path, 8192);
    remote_path(&path, "/api/v1/collections/", c->run.collection_id, behind);
    code = path.failed
               ? cli_error(CLI_FAILED, what, "out of memory", NULL)
               : remote_ask(&c->run.remote, what, method, (const char *)path.data, body, root);
    buf_free(&path);
    return code;
}

/* --- the change --- */

static void put_settings(const struct tune_command *c, struct buf *b, const struct tune_graph *g,
                         bool whole)
{
    buf_put_text(b, "\"hnsw\":{");
    if (whole)
        buf_printf(b, "\"m\":%u,\"ef_construction\":%u,", g->m, g->ef_construction);
    buf_printf(b, "\"ef_search\":%u}", g->ef_search);
    if (whole && g->quantization != c->now.quantization)
        buf_printf(b, ",\"quantization\":\"%s\"", vquantization_name(g->quantization));
}

static int patch(struct tune_command *c, const struct tune_graph *g, bool whole)
{
    struct jval root;
    struct buf body;
    int code;

    buf_init(&body, 64 * 1024);
    buf_put_text(&body, "{");
    if (c->field->name[0] != '\0') {
        buf_put_text(&body, "\"vectors\":{");
        json_put_string(&body, slice_text(c->field->name));
        buf_put_text(&body, ":{");
    }
    put_settings(c, &body, g, whole);
    buf_put_text(&body, c->field->name[0] != '\0' ? "}}}" : "}");
    code = ask(c, "tune --apply", "PATCH", "", &body, &root);
    buf_free(&body);
    return code;
}

static int wait_made(struct tune_command *c)
{
    struct jval root, info, rebuild;

    for (;;) {
        int code = ask(c, "tune --apply", "GET", "", NULL, &root);

        if (code != CLI_OK)
            return code;
        if (!jval_member(root, "collection", &info))
            return cli_error(CLI_FAILED, "tune --apply", "an answer without a collection",
                             "--url of a tiervec node");
        if (!jval_member(info, "rebuild", &rebuild) || jval_type(rebuild) != J_OBJECT)
            return CLI_OK;
        tune_progress(c, "the graph is made anew: %" PRIu64 " of %" PRIu64 " rows",
                      remote_u64(rebuild, "linked"), remote_u64(rebuild, "rows"));
        (void)usleep(LOOK_EVERY_US);
    }
}

/* --- a look at the node's own answers --- */

static void put_query(struct tune_command *c, struct buf *b, uint32_t q, bool exact)
{
    const float *query = c->sample.rows + (size_t)q * c->field->dim;

    buf_put_text(b, "{\"query_vector\":");
    json_put_floats(b, query, c->field->dim);
    if (c->field->name[0] != '\0') {
        buf_put_text(b, ",\"using\":");
        json_put_string(b, slice_text(c->field->name));
    }
    buf_printf(b, ",\"top_k\":%d,\"with_payload\":false%s}", K, exact ? ",\"exact\":true" : "");
}

/* Distances of the matches of one query, best first. */
static uint32_t take_distances(struct jval answer, double out[K])
{
    struct jval matches;
    uint32_t n = 0;

    if (!jval_member(answer, "matches", &matches))
        return 0;
    for (struct jiter it = jval_iter(matches); n < K && jiter_next(&it);)
        out[n++] = remote_f64(it.value, "distance");
    return n;
}

/* Pairs of answers, an exact one and another: how many of the first are in the second. */
static void count_found(struct jval results, uint64_t *found, uint64_t *all)
{
    double exact[K], other[K];
    struct jiter it = jval_iter(results);

    while (jiter_next(&it)) {
        uint32_t wanted = take_distances(it.value, exact);
        uint32_t got = jiter_next(&it) ? take_distances(it.value, other) : 0;

        *all += wanted;
        for (uint32_t i = 0; i < got && wanted > 0; i++)
            *found += other[i] <= exact[wanted - 1] ? 1 : 0;
    }
}

static int look(struct tune_command *c, struct tune_applied *out)
{
    uint32_t count =
        c->sample.query_count < CHECK_QUERIES_MAX ? c->sample.query_count : CHECK_QUERIES_MAX;
    uint32_t batch = (uint32_t)(BATCH_BYTES / TEXT_BYTES_A_FLOAT / c->field->dim / 2) + 1;
    uint64_t found = 0, all = 0;
    int code = CLI_OK;

    for (uint32_t from = 0; code == CLI_OK && from < count; from += batch) {
        struct jval root, results;
        struct buf body;

        buf_init(&body, BODY_BYTES_MAX);
        buf_put_text(&body, "{\"queries\":[");
        for (uint32_t q = from; q < count && q < from + batch; q++) {
            buf_put_text(&body, q > from ? "," : "");
            put_query(c, &body, q, true);
            buf_put_text(&body, ",");
            put_query(c, &body, q, false);
        }
        buf_put_text(&body, "]}");
        code = ask(c, "tune --apply", "POST", "/query", &body, &root);
        buf_free(&body);
        if (code == CLI_OK && !jval_member(root, "results", &results))
            code = cli_error(CLI_FAILED, "tune --apply", "an answer without results",
                             "--url of a tiervec node");
        if (code == CLI_OK)
            count_found(results, &found, &all);
    }
    out->queries = count;
    out->recall = all == 0 ? 0 : (double)found / (double)all;
    return code;
}

int tune_apply(struct tune_command *c, const struct tune_graph *graph, struct tune_applied *out)
{
    struct tune_graph g = *graph;
    int code = patch(c, &g, true);

    if (code == CLI_OK)
        code = wait_made(c);
    if (code == CLI_OK)
        code = look(c, out);
    for (int i = 0; code == CLI_OK && i < RAISES_MAX && g.ef_search < VINDEX_EF_MAX / 2 &&
                    out->recall < tune_floor(c->wish.profile);
         i++) {
        g.ef_search = (uint16_t)(g.ef_search + g.ef_search / 2);
        code = patch(c, &g, false);
        if (code == CLI_OK)
            code = look(c, out);
    }
    out->ef_search = g.ef_search;
    return code;
}
