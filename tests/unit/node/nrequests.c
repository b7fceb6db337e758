#include "tests/unit/node/nrequests.h"

#include "objstore/memory.h"
#include "tiering/tier_internal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 8, QUIET_S = 12, PAGE_BYTES = 1 << 16 };

/* --- the store --- */

static struct nrequests *of(struct objstore *s)
{
    return (struct nrequests *)(void *)((char *)s - offsetof(struct nrequests, base));
}

/* A listing's key is a prefix. */
static enum objkey_kind kind_of(const struct objstore_req *req)
{
    if (req->op != OBJSTORE_LIST)
        return objkey_parse(req->key).kind;
    return strstr(req->key, "/w/") != NULL     ? OBJKEY_IS_GROUP
           : strstr(req->key, "/pin/") != NULL ? OBJKEY_IS_PIN
                                               : OBJKEY_OTHER;
}

static void on_submit(struct objstore *s, struct objstore_req *req)
{
    struct nrequests *q = of(s);

    atomic_fetch_add(&q->seen[req->op][kind_of(req)], 1);
    objstore_submit(q->meter, req);
}

static void on_cancel(struct objstore *s, struct objstore_req *req)
{
    objstore_cancel(of(s)->meter, req);
}

static void on_close(struct objstore *s)
{
    (void)s;
}

void nreq_init(struct nrequests *q, const char *bucket)
{
    static const struct objstore_ops ops = {
        .submit = on_submit, .cancel = on_cancel, .close = on_close};
    struct objstore *memory = NULL;

    memset(q, 0, sizeof *q);
    nlog();
    nworld_init(&q->w, false, 8);
    /* The store tells the time of the test too. */
    (void)snprintf(q->w.bucket_name, sizeof q->w.bucket_name, "%s", bucket);
    assert_int_equal(objstore_memory_open(bucket, &q->w.clock.clock, &memory, NULL), ST_OK);
    assert_int_equal(objstore_faults_open(memory, q->w.seed, &q->w.bucket, NULL), ST_OK);
    q->w.options.clock = &q->w.clock.clock;
    q->w.options.rpo_ms = 1000;
    q->w.options.max_retries = 3;
    q->w.options.remote_wait_ms = 10000;
    q->w.options.base_backoff_ms = 1000;
    q->w.options.max_backoff_ms = 64000;
    assert_int_equal(objstore_meter_open(q->w.bucket, NULL, &q->w.clock.clock, &q->meter, NULL),
                     ST_OK);
    q->base.ops = &ops;
    (void)snprintf(q->base.description, sizeof q->base.description, "%s", bucket);
    q->w.options.store = &q->base;
}

void nreq_fini(struct nrequests *q)
{
    nreq_close(q);
    q->w.bucket = q->meter; /* closes what it is around too */
    nworld_fini(&q->w);
}

void nreq_pin(struct nrequests *q)
{
    q->c = npin(&q->w, "docs");
}

void nreq_open(struct nrequests *q)
{
    nworld_open(&q->w);
    nsettled(&q->w);
}

void nreq_close(struct nrequests *q)
{
    node_collection_unpin(q->c);
    q->c = NULL;
    if (q->w.node != NULL)
        nworld_close(&q->w);
}

void nreq_put(struct nrequests *q, uint64_t first, uint64_t last, uint32_t version)
{
    struct err err = {0};

    for (uint64_t id = first; id <= last; id++)
        if (nput(q->c, id, version, &err) != ST_OK)
            fail_msg("put %llu: %s", (unsigned long long)id, err.text);
    nreq_rest(q); /* the ship thread has heard of it before time goes on */
}

status nreq_create(struct nrequests *q, const char *name, uint32_t threshold,
                   enum node_durability durability)
{
    const struct collection_spec spec = {.name = name,
                                         .dimension = DIM,
                                         .metric = VMETRIC_L2,
                                         .threshold = threshold,
                                         .policy = NODE_MEMORY_S3,
                                         .durability = durability};
    struct call call;

    call_init(&call);
    node_collection_create(q->w.node, &spec, call_admin_done, &call);
    call_wait(&call);
    return call.st;
}

void nreq_docs(struct nrequests *q, uint64_t rows, uint32_t threshold,
               enum node_durability durability)
{
    nreq_open(q);
    assert_int_equal(nreq_create(q, "docs", threshold, durability), ST_OK);
    nreq_pin(q);
    nreq_put(q, 1, rows, 1);
    nreq_until(q, nshipped(q->c));
}

/* --- time --- */

static uint64_t all_seen(struct nrequests *q)
{
    struct objstore_counts now;
    uint64_t n = 0;

    objstore_meter_counts(q->meter, &now);
    for (int op = 0; op < OBJSTORE_OPS; op++)
        n += objstore_counts_op(&now, (enum objstore_op)op);
    return n;
}

static bool at_rest(struct nrequests *q)
{
    struct objstore_counts now;

    objstore_meter_counts(q->meter, &now);
    return now.under_way == objstore_faults_held(q->w.bucket) &&
           (q->w.node == NULL || tier_is_quiet(q->w.node->tier));
}

void nreq_rest(struct nrequests *q)
{
    for (int i = 0; !at_rest(q); i++) {
        if (i > 60000)
            fail_msg("the ship thread does not come to rest");
        npause_ms(1);
    }
}

void nreq_pass(struct nrequests *q, uint64_t ms)
{
    while (ms > 0) {
        uint64_t step = ms < 1000 ? ms : 1000;

        clock_manual_advance(&q->w.clock, step * 1000000);
        if (q->w.node != NULL)
            tier_wake(q->w.node->tier);
        nreq_rest(q);
        ms -= step;
    }
}

void nreq_quiet(struct nrequests *q)
{
    uint64_t before = all_seen(q);

    for (int s = 0; s < QUIET_S; s++) {
        nreq_pass(q, 1000);
        npause_ms(1);
        if (all_seen(q) != before)
            s = -1;
        before = all_seen(q);
    }
}

/* --- counting --- */

void nreq_from(struct nrequests *q)
{
    for (int op = 0; op < OBJSTORE_OPS; op++)
        for (int kind = 0; kind < NREQ_KINDS; kind++)
            atomic_store(&q->seen[op][kind], 0);
    objstore_meter_counts(q->meter, &q->before);
}

void nreq_begin(struct nrequests *q)
{
    nreq_quiet(q);
    nreq_from(q);
}

/* "1,234"; "1,234 + image" where `but` of them are not always the same. */
static void put_number(char *out, size_t bytes, uint64_t n, uint64_t but)
{
    const char *and = but > 0 ? " + image" : "";

    assert_true(n >= but && n - but < 1000000);
    n -= but;
    if (n >= 1000)
        (void)snprintf(out, bytes, "%llu,%03llu%s", (unsigned long long)(n / 1000),
                       (unsigned long long)(n % 1000), and);
    else
        (void)snprintf(out, bytes, "%llu%s", (unsigned long long)n, and);
}

/* "root: 2 GET, 2 PUT; w/: 1 LIST" */
static void put_kinds(struct nrequests *q, char *out, size_t room)
{
    static const struct {
        enum objkey_kind kind;
        const char *name;
    } NAMES[] = {{OBJKEY_IS_FORMAT, "meta/format"},
                 {OBJKEY_IS_CATALOG, "meta/catalog"},
                 {OBJKEY_IS_PROBE, "probe/"},
                 {OBJKEY_IS_ROOT, "root"},
                 {OBJKEY_IS_GROUP, "w/"},
                 {OBJKEY_IS_DATA, "g/"},
                 {OBJKEY_IS_MANIFEST, "m/"},
                 {OBJKEY_IS_PIN, "pin/"},
                 {OBJKEY_IS_PINNED, "pinned"},
                 {OBJKEY_IS_ORPHAN, "orphan/"},
                 {OBJKEY_OTHER, "other"}};
    static const struct {
        enum objstore_op op;
        const char *name;
    } OPS[] = {{OBJSTORE_GET, "GET"},
               {OBJSTORE_PUT, "PUT"},
               {OBJSTORE_LIST, "LIST"},
               {OBJSTORE_HEAD, "HEAD"},
               {OBJSTORE_DELETE, "DELETE"}};
    size_t at = 0;

    out[0] = '\0';
    for (size_t k = 0; k < COUNT_OF(NAMES); k++) {
        const char *between = at == 0 ? "" : "; ";

        for (size_t o = 0; o < COUNT_OF(OPS); o++) {
            uint64_t n = atomic_load(&q->seen[OPS[o].op][NAMES[k].kind]);
            bool first = between[0] == '\0' || between[0] == ';';

            if (n == 0)
                continue;
            at += (size_t)snprintf(out + at, room - at, "%s%s%s%llu %s", between,
                                   first ? NAMES[k].name : "", first ? " " : "",
                                   (unsigned long long)n, OPS[o].name);
            between = ", ";
        }
    }
    assert_true(at < room);
}

static void make_row(struct nrequests *q, const char *operation, uint64_t sent_but,
                     uint64_t received_but, char out[NREQ_ROW_BYTES])
{
    static const enum objstore_op OPS[] = {OBJSTORE_PUT, OBJSTORE_GET, OBJSTORE_LIST,
                                           OBJSTORE_DELETE};
    struct objstore_counts now;
    char kinds[NREQ_ROW_BYTES / 2];
    char sent[32], received[32];
    uint64_t n[COUNT_OF(OPS)];
    uint64_t rest_of = 0;

    objstore_meter_counts(q->meter, &now);
    for (size_t i = 0; i < COUNT_OF(OPS); i++) {
        uint64_t seen = 0;

        n[i] = objstore_counts_op(&now, OPS[i]) - objstore_counts_op(&q->before, OPS[i]);
        for (int kind = 0; kind < NREQ_KINDS; kind++)
            seen += atomic_load(&q->seen[OPS[i]][kind]);
        assert_int_equal(seen, n[i]); /* the meter and what stands in front of it agree */
    }
    for (int op = 0; op < OBJSTORE_OPS; op++)
        rest_of += objstore_counts_op(&now, (enum objstore_op)op) -
                   objstore_counts_op(&q->before, (enum objstore_op)op);
    /* No HEAD, and no upload in parts, in anything that is measured here. */
    assert_int_equal(rest_of, n[0] + n[1] + n[2] + n[3]);
    put_number(sent, sizeof sent, now.sent_bytes - q->before.sent_bytes, sent_but);
    put_number(received, sizeof received, now.received_bytes - q->before.received_bytes,
               received_but);
    put_kinds(q, kinds, sizeof kinds);
    (void)snprintf(out, NREQ_ROW_BYTES, "| %s | %llu | %llu | %llu | %llu | %s | %s | %s |",
                   operation, (unsigned long long)n[0], (unsigned long long)n[1],
                   (unsigned long long)n[2], (unsigned long long)n[3], sent, received, kinds);
}

/* --- the page --- */

static size_t checked;

static const char *page(void)
{
    static char text[PAGE_BYTES];
    FILE *file;

    if (text[0] != '\0')
        return text;
    file = fopen(TV_REQUESTS_DOC, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    assert_int_equal(fclose(file), 0);
    return text;
}

size_t nreq_rows_checked(void)
{
    return checked;
}

/* Rows of tables, without heads: those with numbers in the second cell. */
size_t nreq_rows_of_page(void)
{
    size_t n = 0;

    for (const char *line = page(); line != NULL; line = strchr(line + 1, '\n')) {
        bool row = line[0] == '\n' && line[1] == '|' && line[2] == ' ';
        const char *cell = row ? strstr(line + 2, " | ") : NULL;

        n += cell != NULL && cell[3] >= '0' && cell[3] <= '9';
    }
    return n;
}

static void compare(const char *operation, const char *row)
{
    char begin[NREQ_ROW_BYTES];
    const char *line;
    const char *end;

    checked++;
    if (getenv("TV_REQUESTS_WRITE") != NULL) {
        (void)printf("%s\n", row);
        return;
    }
    (void)snprintf(begin, sizeof begin, "\n| %s |", operation);
    line = strstr(page(), begin);
    if (line == NULL)
        fail_msg("docs/requests.md has no row of \"%s\": %s", operation, row);
    line++;
    end = strchr(line, '\n');
    if (end == NULL || (size_t)(end - line) != strlen(row) || memcmp(line, row, strlen(row)) != 0)
        fail_msg("docs/requests.md says\n%.*s\nand it was\n%s", (int)(end - line), line, row);
}

void nreq_end_but(struct nrequests *q, const char *operation, uint64_t sent_but,
                  uint64_t received_but)
{
    char row[NREQ_ROW_BYTES];

    nreq_quiet(q);
    make_row(q, operation, sent_but, received_but, row);
    compare(operation, row);
}

void nreq_end_now(struct nrequests *q, const char *operation)
{
    char row[NREQ_ROW_BYTES];

    nreq_rest(q);
    make_row(q, operation, 0, 0, row);
    compare(operation, row);
}

void nreq_end(struct nrequests *q, const char *operation)
{
    nreq_end_but(q, operation, 0, 0);
}
