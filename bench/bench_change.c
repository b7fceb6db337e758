/* bench_change - conditional and partial writes inside the node, beside plain upserts of the same
 * documents.
 *
 *     bench_change DIRECTORY [rows] [dim]
 *
 * A node in DIRECTORY, which is emptied, with `rows` (100,000) random vectors of `dim` (128)
 * numbers and payloads of three members, nothing linked (what linking costs an upsert costs a
 * change just the same). Each line: documents, time, documents a second; by filter also the most
 * memory the process took beyond what it had before, which includes the new rows themselves. */
#include "base/exec.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "node/points.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { BULK = 10000, SINGLES = 2000, CLIENTS = 16 };

static struct node *node;
static struct collection *c;
static struct arena arena;
static struct jdoc *doc;
static uint64_t rows = 100000;
static uint32_t dim = 128;

struct call {
    struct lock lock;
    struct cond cond;
    unsigned left;
    uint64_t count;
};
static struct call call;

static void check(bool ok, const char *what, const struct err *err)
{
    if (ok)
        return;
    (void)fprintf(stderr, "bench_change: %s: %s\n", what, err != NULL ? err->text : "");
    exit(1);
}

static void on_written(void *arg, status st, const struct write_result *result,
                       const struct err *err)
{
    (void)arg;
    check(st == ST_OK, "write", err);
    lock_take(&call.lock);
    call.left--;
    call.count += result->count;
    cond_signal(&call.cond);
    lock_drop(&call.lock);
}

static void on_made(void *arg, status st, const struct collection_info *info, const struct err *err)
{
    (void)info;
    check(st == ST_OK, "create", err);
    atomic_store((_Atomic bool *)arg, true);
}

static void begin_call(void)
{
    lock_take(&call.lock);
    call.left++;
    lock_drop(&call.lock);
}

/* Until no more than so many are under way. */
static void wait_for(unsigned left)
{
    lock_take(&call.lock);
    while (call.left > left)
        cond_wait(&call.cond, &call.lock);
    lock_drop(&call.lock);
}

static struct slice json(const char *text)
{
    struct jval root;
    struct buf b;
    uint8_t *copy;
    size_t bytes;

    buf_init(&b, 1 << 20);
    check(jdoc_parse(doc, slice_text(text), &root, NULL) == ST_OK, text, NULL);
    jbin_put(&b, root);
    copy = arena_alloc(&arena, b.bytes);
    check(copy != NULL && !b.failed, "memory", NULL);
    memcpy(copy, b.data, b.bytes);
    bytes = b.bytes;
    buf_free(&b);
    return slice_make(copy, bytes);
}

static uint64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

static long peak_kib(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void line(const char *what, uint64_t count, uint64_t ns, long more_kib)
{
    printf("%-44s %9llu %10.1f ms %12.0f/s", what, (unsigned long long)count, (double)ns * 1e-6,
           (double)count * 1e9 / (double)ns);
    if (more_kib >= 0)
        printf(" %8.1f MiB more", (double)more_kib / 1024);
    printf("\n");
    (void)fflush(stdout);
}

static void open_node(const char *directory)
{
    static struct node_options options;
    const struct collection_spec spec = {
        .name = "docs", .dimension = dim, .metric = 2, .threshold = UINT32_MAX - 1};
    _Atomic bool made = false;
    struct exec *exec;
    struct stats *stats;
    struct err err;
    double progress;

    check(stats_create(&stats, &err) == ST_OK, "stats", &err);
    check(exec_open(&(struct exec_options){0}, &exec, &err) == ST_OK, "exec", &err);
    check(fs_remove_all(fs_real(), directory, &err) == ST_OK, "empty the directory", &err);
    options = (struct node_options){.fs = fs_real(),
                                    .clock = clock_real(),
                                    .rand = rand_kernel(),
                                    .stats = stats,
                                    .exec = exec,
                                    .data_dir = directory,
                                    .policy = NODE_MEMORY,
                                    .wal_bytes_max = UINT64_C(16) << 30,
                                    .checkpoint_interval_ns = UINT64_C(3600) * 1000000000,
                                    .auto_initialize = true,
                                    .m = 16,
                                    .ef_construction = 100,
                                    .ef_search = 100,
                                    .threshold = UINT32_MAX - 1,
                                    .batch_max = BULK};
    check(node_open(&options, &node, &err) == ST_OK, "open", &err);
    while (!node_ready(node, &progress))
        ;
    node_collection_create(node, &spec, on_made, &made);
    while (!atomic_load(&made))
        ;
    c = node_collection_pin(node, "docs", 4);
    check(c != NULL, "pin", NULL);
}

static void fill(void)
{
    struct write_row *batch = mem_zero_array(BULK, sizeof *batch);
    float *vectors = mem_alloc_array((size_t)BULK * dim, sizeof *vectors);
    struct slice payloads[10];
    struct rand_seeded r;
    uint64_t start_ns = now_ns();

    check(batch != NULL && vectors != NULL, "memory", NULL);
    rand_seeded_init(&r, 1);
    for (size_t i = 0; i < COUNT_OF(payloads); i++) {
        char text[128];

        (void)snprintf(text, sizeof text,
                       "{\"k\":\"kind%zu\",\"n\":%zu,\"title\":\"a document of some kind\"}", i, i);
        payloads[i] = json(text);
    }
    for (uint64_t first = 0; first < rows; first += BULK) {
        size_t count = rows - first < BULK ? (size_t)(rows - first) : BULK;

        for (size_t i = 0; i < count; i++) {
            float *v = vectors + i * dim;

            for (uint32_t k = 0; k < dim; k++)
                v[k] = (float)(rand_u64(&r.source) >> 40) * 0x1p-24f;
            batch[i] = (struct write_row){
                .id = docid_u64(first + i + 1), .payload = payloads[(first + i) % 10], .vector = v};
        }
        begin_call();
        node_write(c, batch, count, on_written, NULL);
        wait_for(0);
    }
    line("upsert, 10,000 a request", rows, now_ns() - start_ns, -1);
    mem_free(batch);
    mem_free(vectors);
}

/* One request after the other, or CLIENTS at once: of one document, or each of another. */
static void singles(const char *what, unsigned at_once, bool one, bool plain)
{
    static const struct write_options none;
    static struct docid ids[SINGLES];
    static struct selector which[SINGLES];
    static struct write_row put[SINGLES];
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = json("{\"m\":1}")};
    float *vector = mem_zero_array(dim, sizeof *vector);
    uint64_t start_ns = now_ns();

    for (size_t i = 0; i < SINGLES; i++) {
        ids[i] = docid_u64(one ? 1 : 1 + i * 7 % rows);
        which[i] = (struct selector){.ids = &ids[i], .count = 1};
        put[i] = (struct write_row){.id = ids[i], .vector = vector, .payload = change.payload};
        wait_for(at_once - 1);
        begin_call();
        if (plain)
            node_write(c, &put[i], 1, on_written, NULL);
        else
            node_change(c, &which[i], &change, &none, on_written, NULL);
    }
    wait_for(0);
    line(what, SINGLES, now_ns() - start_ns, -1);
    mem_free(vector);
}

static void many(const char *what, const struct selector *which, bool erase)
{
    static const struct write_options none;
    const struct change change = {.kind = CHANGE_MERGE_PAYLOAD, .payload = json("{\"m\":2}")};
    uint64_t before = call.count;
    long kib = peak_kib();
    uint64_t start_ns = now_ns();

    begin_call();
    if (erase)
        node_delete_with(c, which, &none, on_written, NULL);
    else
        node_change(c, which, &change, &none, on_written, NULL);
    wait_for(0);
    line(what, call.count - before, now_ns() - start_ns, peak_kib() - kib);
}

static struct filter *kind_is(const char *kind)
{
    struct filter *f = arena_zero(&arena, sizeof *f);
    struct filter_value *v = arena_zero(&arena, sizeof *v);

    check(f != NULL && v != NULL, "memory", NULL);
    *v = (struct filter_value){.type = JBIN_T_STRING, .text = slice_text(kind)};
    *f = (struct filter){.kind = FILTER_ANY_OF, .values = v, .value_count = 1};
    check(path_parse(slice_text("k"), &arena, &f->path, NULL) == ST_OK, "path", NULL);
    return f;
}

int main(int argc, char **argv)
{
    static struct docid ids[BULK];
    struct filter all = {.kind = FILTER_ALL};

    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_change DIRECTORY [rows] [dim]\n");
        return 2;
    }
    rows = argc > 2 ? strtoull(argv[2], NULL, 10) : rows;
    dim = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : dim;
    check(rows >= BULK && dim > 0, "at least 10,000 rows", NULL);
    lock_init(&call.lock, LOCK_RANK_LEAF, "call");
    cond_init(&call.cond);
    arena_init(&arena, 1 << 26);
    check(jdoc_create(&doc, NULL) == ST_OK, "memory", NULL);
    open_node(argv[1]);
    fill();
    singles("upsert, 1 client", 1, false, true);
    singles("merge, 1 client", 1, false, false);
    singles("upsert, 16 clients", CLIENTS, false, true);
    singles("merge, 16 clients", CLIENTS, false, false);
    singles("merge of one document, 16 clients", CLIENTS, true, false);
    for (size_t i = 0; i < BULK; i++)
        ids[i] = docid_u64(i + 1);
    many("merge, 10,000 ids in a request", &(struct selector){.ids = ids, .count = BULK}, false);
    many("merge by filter, a tenth", &(struct selector){.filter = kind_is("kind3")}, false);
    many("merge by filter, all", &(struct selector){.filter = &all}, false);
    many("delete by filter, a tenth", &(struct selector){.filter = kind_is("kind4")}, true);
    many("delete by filter, all", &(struct selector){.filter = &all}, true);
    node_collection_unpin(c);
    node_close(node);
    return 0;
}
