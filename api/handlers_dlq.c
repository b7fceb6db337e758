/* handlers_dlq.c - dead letters: listed and shown from the table of the node, and retried,
 * replayed, exported and discarded by it. A letter's id is shown as decimal text. */
#include "api/handlers.h"

#include "base/rand.h"
#include "node/bucket.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const NO_PARAMETERS[] = {NULL};

enum { LETTER_LIST_MAX = 1000, LETTER_LIST_DEFAULT = 100, LETTER_IDS_MAX = 1000 };

/* --- printing --- */

static void print_text_or_null(struct buf *out, const char *name, const char *text)
{
    print_text(out, false, name, text[0] == '\0' ? NULL : text);
}

static void print_letter_id(struct buf *out, const char *name, bool first, uint64_t id)
{
    char text[LETTER_ID_BYTES];

    (void)snprintf(text, sizeof text, "%" PRIu64, id);
    print_text(out, first, name, text);
}

static void print_letter(struct buf *out, const struct letter *l)
{
    print_letter_id(out, "id", true, l->id);
    print_text(out, false, "kind", letter_kind_name(l->kind));
    print_u64(out, false, "lsn_first", l->lsn_first);
    print_u64(out, false, "lsn_last", l->lsn_last);
    print_text_or_null(out, "key", l->key);
    print_text_or_null(out, "class", l->class);
    print_key(out, false, "http_status");
    if (l->http_status > 0)
        json_put_u64(out, (uint64_t)l->http_status);
    else
        buf_put_text(out, "null");
    print_text_or_null(out, "s3_code", l->s3_code);
    print_text(out, false, "message", l->message);
    print_u64(out, false, "attempts", l->attempts);
    print_time(out, false, "first_failed_at", l->first_failed_ns);
    print_time(out, false, "last_failed_at", l->last_failed_ns);
    print_bool(out, "blocking", l->blocking);
    print_text(out, false, "state", letter_state_name(l->state));
}

/* --- listing and showing --- */

static bool parse_letter_id(struct slice text, uint64_t *out)
{
    uint64_t n = 0;

    if (text.bytes == 0 || text.bytes >= LETTER_ID_BYTES)
        return false;
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] < '0' || text.data[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(text.data[i] - '0'), &n))
            return false;
    *out = n;
    return true;
}

struct letter_page {
    struct dlq_filter filter;
    uint8_t collection[16];
    uint64_t limit, after;
};

static bool copy_text(struct request *req, struct slice text, const char **out)
{
    *out = arena_strndup(&req->arena, (const char *)text.data, text.bytes);
    if (*out == NULL)
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for a filter");
    return *out != NULL;
}

static bool take_kind(struct request *req, struct slice text, struct letter_page *page)
{
    const char *name;
    enum letter_kind kind;

    if (!copy_text(req, text, &name))
        return false;
    if (!letter_kind_parse(name, &kind)) {
        reply_problem(req, PROBLEM_INVALID,
                      "`kind` is `%.64s`, it must be wal_group, segment, manifest_commit, "
                      "divergent_tail, restore_fetch or gc_delete",
                      name);
        return false;
    }
    page->filter.kind = (int)kind;
    return true;
}

static bool take_page(struct request *req, struct letter_page *page)
{
    const struct slice *limit = request_parameter(req, "limit");
    const struct slice *cursor = request_parameter(req, "cursor");
    const struct slice *class = request_parameter(req, "class");
    const struct slice *kind = request_parameter(req, "kind");

    *page = (struct letter_page){.limit = LETTER_LIST_DEFAULT};
    if (limit != NULL && (!parse_letter_id(*limit, &page->limit) || page->limit < 1 ||
                          page->limit > LETTER_LIST_MAX)) {
        reply_problem(req, PROBLEM_INVALID, "`limit` must be an integer from 1 to %d",
                      LETTER_LIST_MAX);
        return false;
    }
    if (cursor != NULL && !parse_letter_id(*cursor, &page->after)) {
        reply_problem(req, PROBLEM_INVALID,
                      "`cursor` is none that this server gave: use next_cursor of the page before");
        return false;
    }
    return (class == NULL || copy_text(req, *class, &page->filter.class)) &&
           (kind == NULL || take_kind(req, *kind, page));
}

/* One more is asked for than is shown: it says whether there is a next page. */
static void print_letters(struct buf *out, const struct letter *letters, size_t count,
                          uint64_t limit, size_t total)
{
    size_t shown = count > limit ? (size_t)limit : count;

    buf_put_text(out, "{\"entries\":[");
    for (size_t i = 0; i < shown; i++) {
        buf_put_text(out, i == 0 ? "{" : ",{");
        print_letter(out, &letters[i]);
        buf_put_text(out, "}");
    }
    buf_put_text(out, "]");
    print_u64(out, false, "total", total);
    if (count > limit)
        print_letter_id(out, "next_cursor", false, letters[shown - 1].id);
    else
        print_text(out, false, "next_cursor", NULL);
    buf_put_text(out, "}\n");
}

/* The id of the pinned collection as the table has it. */
static bool collection_bytes(struct request *req, uint8_t out[16])
{
    const char *text = collection_id_text(req->collection);

    if (uuid_parse(text, strlen(text), out))
        return true;
    reply_problem(req, PROBLEM_INTERNAL, "the collection's id is no UUID: %s", text);
    return false;
}

task_state handle_dlq(struct request *req)
{
    static const char *const known[] = {"limit", "cursor", "class", "kind", NULL};
    struct dlq *dlq = node_dlq(req->api->options.node);
    struct letter *letters;
    struct letter_page page;
    size_t total = 0;
    size_t count = 0;

    if (!request_parameters(req, known) || !take_page(req, &page) || !request_pin_collection(req) ||
        !collection_bytes(req, page.collection))
        return TASK_DONE;
    page.filter.collection = page.collection;
    letters = arena_array(&req->arena, (size_t)page.limit + 1, sizeof *letters);
    if (letters == NULL) {
        reply_problem(req, PROBLEM_NO_MEMORY, "out of memory for %" PRIu64 " letters", page.limit);
        return TASK_DONE;
    }
    if (dlq != NULL)
        count = dlq_list(dlq, &page.filter, page.after, letters, (size_t)page.limit + 1, &total);
    print_letters(reply_begin(req), letters, count, page.limit, total);
    reply_send(req, 200);
    return TASK_DONE;
}

/* .../dlq/retry and its like: paths of their own, which only POST knows. */
static bool is_a_verb(struct slice text)
{
    return slice_equal(text, slice_text("retry")) || slice_equal(text, slice_text("replay")) ||
           slice_equal(text, slice_text("split"));
}

/* The letter that the path names, of the pinned collection. */
static bool find_letter(struct request *req, struct letter *out)
{
    struct slice text = req->match.params[1];
    struct dlq *dlq = node_dlq(req->api->options.node);
    uint8_t collection[16];
    uint64_t id = 0;

    if (is_a_verb(text)) {
        req->allow = "POST";
        reply_problem(req, PROBLEM_METHOD, "this path answers POST");
        return false;
    }
    if (!parse_letter_id(text, &id)) {
        reply_problem(req, PROBLEM_INVALID, "the id of a letter is a number, `%.*s` is none",
                      (int)(text.bytes < 64 ? text.bytes : 64), (const char *)text.data);
        return false;
    }
    if (!request_pin_collection(req) || !collection_bytes(req, collection))
        return false;
    if (dlq != NULL && dlq_get(dlq, id, out, NULL) == ST_OK &&
        memcmp(out->collection, collection, sizeof collection) == 0)
        return true;
    reply_problem(req, PROBLEM_NO_LETTER, "the collection has no dead letter %" PRIu64, id);
    return false;
}

task_state handle_letter(struct request *req)
{
    struct letter letter;
    struct buf *out;

    if (!request_parameters(req, NO_PARAMETERS) || !find_letter(req, &letter))
        return TASK_DONE;
    out = reply_begin(req);
    buf_put_text(out, "{\"entry\":{");
    print_letter(out, &letter);
    print_text(out, false, "collection_id", collection_id_text(req->collection));
    print_u64(out, false, "epoch", letter.epoch);
    print_u64(out, false, "seq", letter.seq);
    print_u64(out, false, "bytes", letter.bytes);
    print_text_or_null(out, "file", letter.file);
    print_text_or_null(out, "s3_request_id", letter.request_id);
    buf_put_text(out, "}}\n");
    reply_send(req, 200);
    return TASK_DONE;
}

static void on_exported(void *arg, status st, const struct buf *ndjson, const struct err *err)
{
    struct request *req = arg;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    req->content_type = "application/x-ndjson";
    buf_put_slice(reply_begin(req), buf_slice(ndjson));
    reply_send(req, 200);
}

task_state handle_letter_export(struct request *req)
{
    struct letter letter;

    if (request_parameters(req, NO_PARAMETERS) && find_letter(req, &letter))
        node_dlq_export(req->collection, letter.id, on_exported, req);
    return TASK_DONE;
}

/* --- doing something about them --- */

struct letter_request {
    uint64_t *ids; /* NULL: all of the collection */
    size_t count;
    uint64_t confirm_first, confirm_last; /* not said: a range that no letter has */
    bool drop;
};

static bool take_letter_id(struct parse *p, struct jval v, uint64_t *out)
{
    if (jval_u64(v, out) || (jval_type(v) == J_STRING && parse_letter_id(jval_string(v), out)))
        return true;
    return parse_fail(p, PROBLEM_INVALID, "the id of a letter is a number, also as text");
}

static bool take_letter_ids(struct request *req, struct parse *p, struct jval v,
                            struct letter_request *out)
{
    if (jval_type(v) != J_ARRAY)
        return parse_fail(p, PROBLEM_INVALID, "`ids` is of type %s, an array is needed",
                          jtype_name(jval_type(v)));
    out->count = jval_count(v);
    if (out->count == 0)
        return parse_fail(p, PROBLEM_INVALID, "`ids` is empty; leave it out to mean all");
    if (out->count > LETTER_IDS_MAX)
        return parse_fail(p, PROBLEM_BATCH_TOO_LARGE, "`ids` has %zu elements, the limit is %d",
                          out->count, LETTER_IDS_MAX);
    out->ids = arena_array(&req->arena, out->count, sizeof *out->ids);
    if (out->ids == NULL)
        return parse_fail(p, PROBLEM_NO_MEMORY, "out of memory for %zu ids", out->count);
    p->list = "ids";
    p->index = 0;
    for (struct jiter it = jval_iter(v); jiter_next(&it); p->index++)
        if (!take_letter_id(p, it.value, &out->ids[p->index]))
            return false;
    p->list = NULL;
    return true;
}

static bool take_confirm(struct parse *p, struct jval v, struct letter_request *out)
{
    static const struct member members[] = {{"lsn_first", false}, {"lsn_last", false}};
    bool seen[2] = {false, false};

    if (jval_type(v) != J_OBJECT)
        return parse_fail(p, PROBLEM_INVALID, "`confirm` is of type %s, an object is needed",
                          jtype_name(jval_type(v)));
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        int which = parse_member(p, members, COUNT_OF(members), &it);

        if (which < 0)
            return false;
        if (which > 1)
            continue;
        if (!parse_uint(p, members[which].name, it.value, 0, UINT64_MAX,
                        which == 0 ? &out->confirm_first : &out->confirm_last))
            return false;
        seen[which] = true;
    }
    if (!seen[0] || !seen[1])
        return parse_fail(p, PROBLEM_INVALID, "`confirm` needs `lsn_first` and `lsn_last`");
    return true;
}

/* member_count leaves out what only a discard takes. */
static bool take_letters(struct request *req, size_t member_count, struct letter_request *out)
{
    static const struct member members[] = {{"ids", false}, {"confirm", false}, {"drop", false}};
    struct parse p = {0};
    struct jval root;

    *out = (struct letter_request){.confirm_first = UINT64_MAX};
    if (!request_parameters(req, NO_PARAMETERS) || !request_json(req, true, &root))
        return false;
    for (struct jiter it = jval_iter(root); jiter_next(&it);) {
        int which = parse_member(&p, members, member_count, &it);

        if (which < 0 || (which < (int)member_count &&
                          ((which == 0 && !take_letter_ids(req, &p, it.value, out)) ||
                           (which == 1 && !take_confirm(&p, it.value, out)) ||
                           (which == 2 && !parse_bool(&p, "drop", it.value, &out->drop))))) {
            (void)fail_parse(req, &p);
            return false;
        }
    }
    return request_pin_collection(req);
}

static struct buf *begin_answer(struct request *req)
{
    struct buf *out = reply_begin(req);

    buf_put_text(out, "{");
    print_text(out, true, "collection_id", collection_id_text(req->collection));
    return out;
}

static void end_answer(struct request *req, struct buf *out)
{
    buf_put_text(out, "}\n");
    reply_send(req, 200);
}

static void on_retried(void *arg, status st, const struct node_dlq_result *r, const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    out = begin_answer(req);
    print_u64(out, false, "retried_count", r->retried);
    print_u64(out, false, "success_count", r->succeeded);
    print_u64(out, false, "failed_count", r->failed);
    if (r->failed > 0)
        print_text(out, false, "message", r->text);
    end_answer(req, out);
}

task_state handle_dlq_retry(struct request *req)
{
    struct letter_request wanted;

    if (take_letters(req, 1, &wanted))
        node_dlq_retry(req->collection, wanted.ids, wanted.count, on_retried, req);
    return TASK_DONE;
}

static void on_replayed(void *arg, status st, const struct node_dlq_result *r,
                        const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    out = begin_answer(req);
    print_u64(out, false, "replayed_count", r->records);
    end_answer(req, out);
}

/* Which letters has to be said: what they do is not undone by saying it again. */
static bool take_named_letters(struct request *req, struct letter_request *out)
{
    if (!take_letters(req, 1, out))
        return false;
    if (out->ids == NULL)
        reply_problem(req, PROBLEM_INVALID, "`ids` is missing");
    return out->ids != NULL;
}

task_state handle_dlq_replay(struct request *req)
{
    struct letter_request wanted;

    if (take_named_letters(req, &wanted))
        node_dlq_replay(req->collection, wanted.ids, wanted.count, on_replayed, req);
    return TASK_DONE;
}

task_state handle_dlq_split(struct request *req)
{
    struct letter_request wanted;

    if (take_named_letters(req, &wanted))
        node_dlq_split(req->collection, wanted.ids, wanted.count, on_retried, req);
    return TASK_DONE;
}

static void ask_for_range(struct request *req, const struct node_dlq_result *r)
{
    char members[128];
    char detail[256];

    (void)snprintf(members, sizeof members,
                   "\"confirm\":{\"lsn_first\":%" PRIu64 ",\"lsn_last\":%" PRIu64 "}", r->lsn_first,
                   r->lsn_last);
    (void)snprintf(detail, sizeof detail,
                   "discarding takes what the bucket does not have from lsn %" PRIu64 " to %" PRIu64
                   " out of it; repeat exactly that range as `confirm`",
                   r->lsn_first, r->lsn_last);
    reply_problem_with(req, PROBLEM_CONFIRM, detail, members);
}

static void on_discarded(void *arg, status st, const struct node_dlq_result *r,
                         const struct err *err)
{
    struct request *req = arg;
    struct buf *out;

    if (st == ST_CONFLICT && r != NULL) {
        ask_for_range(req, r);
        return;
    }
    if (st != ST_OK) {
        fail_bucket(req, st, err);
        return;
    }
    out = begin_answer(req);
    buf_put_text(out, ",\"discarded\":{");
    print_u64(out, true, "lsn_first", r->lsn_first);
    print_u64(out, false, "lsn_last", r->lsn_last);
    print_u64(out, false, "records", r->records);
    buf_put_text(out, "}");
    print_text_or_null(out, "export", r->file);
    end_answer(req, out);
}

task_state handle_dlq_discard(struct request *req)
{
    struct letter_request wanted;

    if (take_letters(req, 3, &wanted))
        node_dlq_discard(req->collection, wanted.ids, wanted.count, wanted.confirm_first,
                         wanted.confirm_last, wanted.drop, on_discarded, req);
    return TASK_DONE;
}
