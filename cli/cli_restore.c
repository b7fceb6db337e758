/* cli_restore.c - `tiervec restore`: a data directory made anew from a bucket.
 *
 * The bucket's catalog says what has to come back. A node is opened on the empty directory, which
 * loads it all from the bucket as it would at any start; then checkpoints are written, so that the
 * next start needs no bucket to serve. */
#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/options.h"

#include "base/json.h"
#include "base/lock.h"
#include "base/mem.h"
#include "node/bucket.h"
#include "snapshot/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const char help_text[] =
    "usage: tiervec restore --from BUCKET_URL [--data-dir DIR] [--take-ownership]\n"
    "\n"
    "Makes an empty or absent data directory hold what the bucket holds. `tiervec serve` on it "
    "then\n"
    "serves at once. (serve on an empty directory does the same by itself.)\n"
    "\n" OFFLINE_FLAGS_HELP
    "  --take-ownership make this node the owner: only when the old one is gone for good\n"
    "\n"
    "exit: 0 everything is there, 3 the bucket holds nothing, 4 the directory is not empty,\n"
    "      5 the bucket does not answer, 6 something in it is damaged\n"
    "\n"
    "example: tiervec restore --from s3://bucket/prefix --data-dir /var/lib/tiervec\n";

enum {
    POLL_MS = 10,
    APPEAR_SECONDS =
        60, /* what the catalog names and the node does not show after this is missing */
    REPORT_BYTES_MAX = 64 << 20,
};

struct restored { /* one collection */
    const struct catalog_collection *from;
    uint64_t bytes; /* of what is read */
    bool has_image;
    bool seen, loaded;
    struct collection_info info; /* when it was loaded */
    uint64_t took_ns;
};
struct restore {
    struct offline offline;
    struct config config;
    bool config_loaded, take_ownership;
    struct stats *stats;
    struct exec *exec;
    struct objstore *store;
    struct node *node;
    struct catalog catalog;
    bool catalog_read;
    struct restored *items;
    size_t count; /* bucket-backed collections of the catalog */
    uint64_t start_ns;
};

/* --- an empty directory --- */

static status see_entry(void *arg, const char *name, bool is_dir, struct err *err)
{
    (void)arg;
    (void)is_dir;
    if (strcmp(name, "lost+found") == 0)
        return ST_OK;
    return err_set(err, ST_CONFLICT, "it is not empty: there is %s", name);
}

static status must_be_empty(const char *dir, struct err *err)
{
    status st;

    if (dir[0] == '\0')
        return ST_OK;
    st = fs_list(fs_real(), dir, see_entry, NULL, err);
    return st == ST_OK || st == ST_NOT_FOUND ? ST_OK : err_wrap(err, st, "%s", dir);
}

static status check_folders(const struct config *c, struct err *err)
{
    status st = must_be_empty(c->database.data_dir, err);

    if (st == ST_OK)
        st = must_be_empty(c->storage.wal_path, err);
    return st == ST_OK ? must_be_empty(c->storage.snapshot_dir, err) : st;
}

/* --- the node --- */

static status read_catalog(struct restore *r, struct err *err)
{
    status st = restore_catalog(r->store, &r->catalog, NULL, err);

    if (st == ST_NOT_FOUND) {
        catalog_free(&r->catalog);
        return err_set(err, st, "%s holds no catalog of tiervec", r->store->description);
    }
    if (st != ST_OK)
        return st;
    r->catalog_read = true;
    r->items = mem_zero_array(r->catalog.collection_count + 1, sizeof *r->items);
    if (r->items == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    for (size_t i = 0; i < r->catalog.collection_count; i++)
        r->items[r->count++].from = &r->catalog.collections[i];
    return ST_OK;
}

/* For the report alone: what cannot be read fails where it is loaded. */
static void read_plan(struct restore *r, struct restored *item)
{
    struct restore_options options = {
        .store = r->store, .clock = clock_real(), .rand = rand_kernel()};
    struct restore_plan plan;

    memcpy(options.collection, item->from->id, sizeof options.collection);
    if (restore_plan_read(&options, &plan, NULL) != ST_OK)
        return;
    item->bytes = plan.bytes;
    item->has_image = plan.has_manifest && plan.manifest.image_count > 0;
    restore_plan_free(&plan);
}

static status open_node(struct restore *r, struct err *err)
{
    const struct exec_options workers = {.workers = r->config.server.threads};
    struct node_options options;
    status st = cli_node_options(&r->config, &options, err);

    if (st == ST_OK)
        st = exec_open(&workers, &r->exec, err);
    if (st != ST_OK)
        return st;
    options.stats = r->stats;
    options.exec = r->exec;
    options.store = r->store;
    options.take_ownership = r->take_ownership;
    r->start_ns = clock_mono_ns(clock_real());
    return node_open(&options, &r->node, err);
}

static status open_all(struct restore *r, struct err *err)
{
    status st = offline_load(&r->offline, &r->config, err);

    r->config_loaded = st == ST_OK;
    if (st == ST_OK && r->config.storage.s3_bucket[0] == '\0')
        st = err_set(err, ST_INVALID, "no bucket is named");
    if (st == ST_OK)
        st = check_folders(&r->config, err);
    if (st == ST_OK)
        st = stats_create(&r->stats, err);
    if (st == ST_OK)
        st = offline_store(&r->config, r->stats, &r->store, err);
    if (st == ST_OK)
        st = read_catalog(r, err);
    for (size_t i = 0; st == ST_OK && i < r->count; i++)
        read_plan(r, &r->items[i]);
    return st == ST_OK ? open_node(r, err) : st;
}

static void close_all(struct restore *r)
{
    node_close(r->node);
    objstore_close(r->store);
    exec_close(r->exec);
    stats_destroy(r->stats);
    if (r->catalog_read)
        catalog_free(&r->catalog);
    mem_free(r->items);
    log_close();
    if (r->config_loaded)
        config_free(&r->config);
}

/* --- waiting --- */

static void rest(void)
{
    const struct timespec t = {.tv_nsec = POLL_MS * 1000000L};

    (void)nanosleep(&t, NULL);
}

/* True once the node is done with it, well or not. */
static bool look_at(struct restore *r, struct restored *item)
{
    char id[UUID_TEXT_BYTES];
    struct collection *c;

    if (item->loaded)
        return true;
    uuid_format(item->from->id, id);
    c = node_collection_pin(r->node, id, strlen(id));
    if (c == NULL)
        return false;
    item->seen = true;
    node_collection_info(c, &item->info);
    node_collection_unpin(c);
    item->loaded = strcmp(item->info.state, "loading") != 0 &&
                   (!item->info.arriving || strcmp(item->info.state, "failed") == 0);
    item->took_ns = clock_mono_ns(clock_real()) - r->start_ns;
    return item->loaded;
}

static void show_progress(const struct restore *r, size_t loaded, bool last)
{
    double progress = 0;

    if (r->offline.quiet || !cli_on_terminal())
        return;
    (void)node_ready(r->node, &progress);
    (void)fprintf(stderr, "\r%zu of %zu collections, %.0f %%%s", loaded, r->count, progress * 100,
                  last ? "\n" : "   ");
    (void)fflush(stderr);
}

static bool aliases_are_there(struct restore *r)
{
    struct node_alias *page = mem_alloc_array(r->catalog.alias_count + 1, sizeof *page);
    size_t count;

    if (page == NULL)
        return true;
    count = node_alias_list(r->node, NULL, page, r->catalog.alias_count + 1);
    mem_free(page);
    return count >= r->catalog.alias_count;
}

/* Until each is loaded, or failed, or does not appear. */
static void wait_loaded(struct restore *r)
{
    uint64_t last_ns = r->start_ns;
    size_t loaded = 0;
    unsigned turn = 0;

    while (loaded < r->count || !aliases_are_there(r)) {
        uint64_t now_ns = clock_mono_ns(clock_real());
        bool waiting = false;

        loaded = 0;
        for (size_t i = 0; i < r->count; i++) {
            loaded += look_at(r, &r->items[i]);
            waiting = waiting || (r->items[i].seen && !r->items[i].loaded);
        }
        if (waiting)
            last_ns = now_ns;
        if (now_ns - last_ns > (uint64_t)APPEAR_SECONDS * 1000000000u)
            break;
        if (turn++ % 20 == 0)
            show_progress(r, loaded, false);
        rest();
    }
    show_progress(r, loaded, true);
}

struct waiter { /* for one checkpoint */
    struct lock lock;
    struct cond changed;
    bool done;
    status st;
    struct err err;
};

static void on_checkpoint(void *arg, status st, const struct collection_info *info,
                          const struct err *err)
{
    struct waiter *w = arg;

    (void)info;
    lock_take(&w->lock);
    w->done = true;
    w->st = st;
    if (st != ST_OK && err != NULL)
        w->err = *err;
    cond_broadcast(&w->changed);
    lock_drop(&w->lock);
}

static status checkpoint(struct restore *r, const struct restored *item, struct err *err)
{
    struct collection *c = node_collection_pin(r->node, item->info.id, strlen(item->info.id));
    struct waiter w = {0};

    if (c == NULL)
        return err_set(err, ST_NOT_FOUND, "it is gone");
    lock_init(&w.lock, LOCK_RANK_LEAF, "restore");
    cond_init(&w.changed);
    node_checkpoint(c, on_checkpoint, &w);
    lock_take(&w.lock);
    while (!w.done)
        cond_wait(&w.changed, &w.lock);
    lock_drop(&w.lock);
    cond_fini(&w.changed);
    lock_fini(&w.lock);
    node_collection_unpin(c);
    if (w.st != ST_OK)
        *err = w.err;
    return w.st;
}

/* --- the report --- */

/* NULL when it is whole and here. */
static const char *what_failed(const struct restored *item)
{
    if (!item->loaded)
        return "the bucket's catalog names it, and the node did not load it";
    if (strcmp(item->info.state, "failed") == 0)
        return item->info.reason;
    return NULL;
}

static const char *graph_of(const struct restored *item)
{
    if (item->info.document_count < item->info.threshold)
        return "scanned, no graph";
    return item->has_image ? "image" : "linked anew";
}

static void put_item(struct buf *out, const struct restored *item, bool json, bool first)
{
    const char *failed = what_failed(item);
    double seconds = (double)item->took_ns / 1e9;

    if (json) {
        buf_put_text(out, first ? "{\"collection\":" : ",{\"collection\":");
        json_put_string(out, slice_text(item->from->name));
        buf_printf(out,
                   ",\"documents\":%" PRIu64 ",\"last_lsn\":%" PRIu64 ",\"bytes\":%" PRIu64
                   ",\"seconds\":%.3f,\"graph\":\"%s\",\"failed\":",
                   item->info.document_count, item->info.last_lsn, item->bytes, seconds,
                   graph_of(item));
        if (failed == NULL)
            buf_put_text(out, "null");
        else
            json_put_string(out, slice_text(failed));
        buf_put_text(out, "}");
        return;
    }
    cli_put(out, slice_text(item->from->name));
    if (failed != NULL) {
        buf_put_text(out, "  FAILED: ");
        cli_put(out, slice_text(failed));
        buf_put_text(out, "\n");
        return;
    }
    buf_printf(out,
               "  %" PRIu64 " documents up to lsn %" PRIu64 ", %" PRIu64 " bytes, %.2f s, graph: "
               "%s%s%s\n",
               item->info.document_count, item->info.last_lsn, item->bytes, seconds, graph_of(item),
               item->info.reason[0] != '\0' ? "; " : "", item->info.reason);
}

static int report(struct restore *r, size_t failed)
{
    struct buf out;
    int code = CLI_OK;

    buf_init(&out, REPORT_BYTES_MAX);
    if (r->offline.json)
        buf_put_text(&out, "{\"collections\":[");
    for (size_t i = 0; i < r->count; i++)
        put_item(&out, &r->items[i], r->offline.json, i == 0);
    if (r->offline.json)
        buf_printf(&out, "],\"failed\":%zu}\n", failed);
    else
        buf_printf(&out, "%zu of %zu collections restored to %s\n", r->count - failed, r->count,
                   r->config.database.data_dir);
    if (!r->offline.quiet)
        code = cli_write(&out);
    buf_free(&out);
    return failed > 0 ? CLI_INTEGRITY : code;
}

static int run(struct restore *r)
{
    struct err err = {0};
    size_t failed = 0;
    int code;

    wait_loaded(r);
    for (size_t i = 0; i < r->count; i++) {
        if (what_failed(&r->items[i]) != NULL) {
            failed++;
            continue;
        }
        if (checkpoint(r, &r->items[i], &err) != ST_OK)
            return cli_error(CLI_FAILED, r->items[i].from->name, err.text,
                             "an empty directory on a disk with room");
    }
    code = report(r, failed);
    if (failed > 0)
        (void)cli_error(code, "restore", "not everything came back",
                        "tiervec verify --from the same bucket");
    return code;
}

static const char *hint_of(status st)
{
    if (st == ST_CONFLICT)
        return "an empty or absent --data-dir";
    if (st == ST_NOT_FOUND)
        return "--from with the prefix that serve has in s3_bucket";
    return st == ST_INVALID ? "tiervec restore --help" : "the same again when that is mended";
}

int cli_restore(int argc, char **argv)
{
    struct restore r = {0};
    const struct cli_flag flags[] = {OFFLINE_FLAGS(&r.offline),
                                     {"--take-ownership", &r.take_ownership, NULL}};
    static struct cli_words words;
    struct err err = {0};
    status st;
    int code;

    if (!cli_parse(argc, argv, flags, COUNT_OF(flags), &words))
        return CLI_USAGE;
    if (r.offline.help) {
        (void)fputs(help_text, stdout);
        return CLI_OK;
    }
    if (words.count > 0)
        return cli_usage(help_text);
    st = open_all(&r, &err);
    if (st == ST_OK)
        code = run(&r);
    else
        code = cli_error(st == ST_INVALID ? CLI_USAGE : cli_exit_of(st), "restore", err.text,
                         hint_of(st));
    close_all(&r);
    return code;
}
