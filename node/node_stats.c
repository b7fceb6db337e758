/* The families of node/ on /metrics (docs/metrics.md), and what the machine lets us use. */
#include "filter/pindex.h"
#include "node/cold_internal.h"
#include "node/fields.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *const COLLECTION_LABELS[] = {"collection_id", "collection", NULL};
static const char *const SEARCH_LABELS[] = {"collection", "tier", NULL};
static const char *const NAME_LABEL[] = {"collection", NULL};
static const char *const KIND_LABEL[] = {"kind", NULL};
static const double REBUILD_BUCKETS[] = {1, 10, 60, 300, 1800, 7200, 43200};
static const double CHECKPOINT_BUCKETS[] = {0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800};

/* The seed's names that count what a bucket does: true zeros as long as nothing is shipped. */
static const struct {
    const char *name, *help;
} SEED[] = {
    {"storage_s3_uploads", "Objects uploaded to the bucket."},
    {"storage_s3_retries", "Uploads tried again."},
    {"storage_s3_permanent_failures", "Uploads given up and put into the dead-letter queue."},
    {"storage_compactions", "Compactions finished."},
    {"storage_cache_hits", "Reads of cold data answered from the cache."},
    {"storage_cache_misses", "Reads of cold data that went to the bucket."},
    {"storage_dlq_size", "Entries in the dead-letter queue."},
    {"storage_s3_upload_queue_size", "Uploads waiting."},
};

static struct stats_metric *plain(struct node *node, const char *name, enum stats_type type,
                                  const char *help)
{
    return stats_metric(stats_family(node->options.stats, name, type, help, NULL, NULL, 0), NULL);
}

static void set_labelled(struct stats_family *family, const char *value, double v)
{
    const char *const values[] = {value, NULL};

    stats_set(stats_metric(family, values), v);
}

static void collect_process(struct node *node)
{
    struct rusage usage;
    struct rlimit files;
    unsigned long pages_total = 0;
    unsigned long pages_resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");

    if (statm != NULL) {
        if (fscanf(statm, "%lu %lu", &pages_total, &pages_resident) == 2) {
            double page = (double)sysconf(_SC_PAGESIZE);

            stats_set(node->virtual_bytes, (double)pages_total * page);
            stats_set(node->resident_bytes, (double)pages_resident * page);
        }
        (void)fclose(statm);
    }
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        stats_set(node->cpu_seconds,
                  (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                      (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        stats_set(node->max_fds, (double)files.rlim_cur);
}

static status count_entry(void *arg, const char *name, bool is_dir, struct err *err)
{
    double *count = arg;

    (void)name;
    (void)is_dir;
    (void)err;
    *count += 1;
    return ST_OK;
}

static void collect_collection(struct collection *c)
{
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    struct collection_stats *s = atomic_load_explicit(&c->stats, memory_order_acquire);

    stats_set(s->vectors, (double)(slots_live_count(c->slots) + cold_rows_now(c)));
    stats_set(s->inserts, (double)atomic_load_explicit(&c->inserted, memory_order_relaxed));
    stats_set(s->snapshot_timestamp, (double)atomic_load(&c->checkpoint_wall_ns) * 1e-9);
    bucket_collect(c, s);
    epoch_leave(c->node->epoch, guard);
}

static void collect_bucket(struct node *node)
{
    struct node_status s = {0};
    struct tier_status t = {0};
    struct cache_status cached = {0};
    enum probe_grade grade;
    enum store_mode mode;

    if (node->tier != NULL)
        tier_status(node->tier, &t);
    bucket_status(node, &s);
    stats_set(node->unshipped_seconds, (double)s.lag_ms * 1e-3);
    stats_set(node->unshipped_bytes, (double)s.unshipped_bytes);
    stats_set(node->backpressure, (double)atomic_load(&node->pressure));
    stats_set(node->breaker, (double)t.breaker);
    lock_take(&node->bucket.lock);
    grade = node->trust.shown.grade;
    mode = node->trust.shown.mode;
    lock_drop(&node->bucket.lock);
    if (node->cache != NULL)
        cache_status(node->cache, &cached);
    stats_set(node->cache_bytes, (double)cached.bytes);
    stats_set(node->store_grade, (double)grade);
    stats_set(node->store_pinned, mode == STORE_PINNED ? 1.0 : 0.0);
}

static void collect(void *arg)
{
    struct node *node = arg;
    struct collection **items = NULL;
    size_t count = 0;
    uint64_t rows = 0;
    uint64_t vectors = 0;
    uint64_t indexes = 0;
    uint64_t unindexed = 0;
    uint64_t rebuilding = 0;
    uint64_t live = 0;
    uint64_t dead = 0;
    double fds = 0;
    struct fs_space space;

    if (table_snapshot(node, &items, &count, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        struct collection *c = items[i];
        struct fields_counts counts;
        struct rebuild_info rebuild;
        enum collection_state state = atomic_load_explicit(&c->seq.state, memory_order_acquire);

        if (state != COLLECTION_SERVING && state != COLLECTION_READ_ONLY)
            continue;
        rows += slots_bytes(c->slots);
        fields_counts(c, &counts);
        vectors += counts.index_bytes;
        indexes += indexes_bytes(c);
        unindexed += pindex_any(c->pindex) ? pindex_pending(c->pindex) : 0;
        rebuild_info_of(c, &rebuild);
        rebuilding += rebuild.rows > rebuild.linked ? rebuild.rows - rebuild.linked : 0;
        live += slots_live_count(c->slots) + cold_rows_now(c);
        dead += slots_dead_count(c->slots);
        collect_collection(c);
    }
    table_snapshot_free(items, count);
    stats_set(node->collections, (double)count);
    stats_set(node->vectors, (double)live);
    stats_set(node->deleted_vectors, (double)dead);
    set_labelled(node->memory_bytes, "rows", (double)rows);
    set_labelled(node->memory_bytes, "vectors", (double)vectors);
    set_labelled(node->memory_bytes, "indexes", (double)indexes);
    stats_set(node->unindexed, (double)unindexed);
    stats_set(node->rebuild_rows, (double)rebuilding);
    set_labelled(node->memory_bytes, "reserved", (double)mem_budget_bytes(&node->budget));
    set_labelled(node->memory_bytes, "limit", (double)node->budget.bytes_max);
    collect_bucket(node);
    if (fs_space(node->options.fs, node->data_dir, &space, NULL) == ST_OK)
        stats_set(node->disk_free, (double)space.bytes_free);
    if (fs_list(fs_real(), "/proc/self/fd", count_entry, &fds, NULL) == ST_OK)
        stats_set(node->open_fds, fds);
    collect_process(node);
}

status node_stats_open(struct node *node, struct err *err)
{
    static const char *const BUILD_LABELS[] = {"version", NULL};
    static const char *const BUILD_VALUES[] = {TIERVEC_VERSION, NULL};
    struct stats *s = node->options.stats;

    node->distance_computations = plain(node, "tiervec_distance_computations_total", STATS_COUNTER,
                                        "Vector distances computed by searches.");
    node->collections =
        plain(node, "tiervec_collections", STATS_GAUGE, "Collections on this node.");
    node->vectors =
        plain(node, "tiervec_vectors", STATS_GAUGE, "Live documents in all collections.");
    node->deleted_vectors =
        plain(node, "tiervec_deleted_vectors", STATS_GAUGE,
              "Replaced or deleted documents still in the graphs, until repair takes them out.");
    node->unindexed = plain(node, "tiervec_index_pending_rows", STATS_GAUGE,
                            "Rows that payload indexes do not know yet; queries look at them.");
    node->rebuild_rows =
        plain(node, "tiervec_rebuild_pending_rows", STATS_GAUGE,
              "Vectors that graphs lack which are made anew; the old ones serve meanwhile.");
    node->rebuild_seconds =
        stats_metric(stats_family(s, "tiervec_index_build_duration_seconds", STATS_HISTOGRAM,
                                  "Time to make a graph anew, until it serves.", NULL,
                                  REBUILD_BUCKETS, COUNT_OF(REBUILD_BUCKETS)),
                     NULL);
    node->disk_free = plain(node, "tiervec_disk_free_bytes", STATS_GAUGE,
                            "Free bytes where the data directory lies.");
    node->cache_bytes = plain(node, "tiervec_cache_bytes", STATS_GAUGE,
                              "Bytes of cold segments in memory, of all collections.");
    node->unshipped_seconds = plain(node, "tiervec_oldest_unshipped_write_seconds", STATS_GAUGE,
                                    "Age of the oldest write the bucket lacks; 0: it lacks none.");
    node->unshipped_bytes =
        plain(node, "tiervec_unshipped_bytes", STATS_GAUGE, "Log that the bucket lacks.");
    node->backpressure = plain(node, "tiervec_backpressure_level", STATS_GAUGE,
                               "0 green, 1 yellow, 2 orange: writes get 429, 3 red: 507.");
    collector_metrics(node);
    node->breaker = plain(node, "tiervec_breaker_state", STATS_GAUGE,
                          "Of the bucket: 0 closed, 1 half open, 2 open.");
    node->store_grade =
        plain(node, "tiervec_store_grade", STATS_GAUGE,
              "Of the bucket's store: 1 A, 2 B, 3 C, 4 unfit; 0: it was not probed.");
    node->store_pinned = plain(node, "tiervec_store_pinned_owner", STATS_GAUGE,
                               "1: the store protects nothing, and this node writes there alone.");
    node->memory_bytes =
        stats_family(s, "tiervec_memory_bytes", STATS_GAUGE,
                     "Memory by kind; limit is [limits] memory_bytes.", KIND_LABEL, NULL, 0);
    node->collection_vectors = stats_family(s, "tiervec_collection_vectors", STATS_GAUGE,
                                            "Live documents of a collection.", NAME_LABEL, NULL, 0);
    node->search_seconds = stats_family(s, "tiervec_search_latency_seconds", STATS_HISTOGRAM,
                                        "Time of a search inside the node.", SEARCH_LABELS,
                                        STATS_LATENCY_BUCKETS, STATS_LATENCY_BUCKET_COUNT);
    node->insert_seconds =
        stats_family(s, "tiervec_insert_latency_seconds", STATS_HISTOGRAM,
                     "Time of an insert request inside the node, until it is durable.", NAME_LABEL,
                     STATS_LATENCY_BUCKETS, STATS_LATENCY_BUCKET_COUNT);
    node->inserts = stats_family(s, "storage_inserts", STATS_UNTYPED,
                                 "Documents inserted or replaced.", COLLECTION_LABELS, NULL, 0);
    node->snapshot_timestamp = stats_family(
        s, "storage_last_snapshot_timestamp", STATS_UNTYPED,
        "When the last snapshot was finished, seconds since 1970.", COLLECTION_LABELS, NULL, 0);
    node->seed_count = COUNT_OF(SEED);
    for (size_t i = 0; i < COUNT_OF(SEED); i++)
        node->seed[i] =
            stats_family(s, SEED[i].name, STATS_UNTYPED, SEED[i].help, COLLECTION_LABELS, NULL, 0);
    node->checkpoint_seconds =
        stats_metric(stats_family(s, "tiervec_checkpoint_duration_seconds", STATS_HISTOGRAM,
                                  "Time to write a local checkpoint.", NULL, CHECKPOINT_BUCKETS,
                                  COUNT_OF(CHECKPOINT_BUCKETS)),
                     NULL);
    node->cpu_seconds =
        plain(node, "process_cpu_seconds_total", STATS_COUNTER, "User and system CPU time.");
    node->resident_bytes =
        plain(node, "process_resident_memory_bytes", STATS_GAUGE, "Resident memory.");
    node->virtual_bytes =
        plain(node, "process_virtual_memory_bytes", STATS_GAUGE, "Virtual memory.");
    node->open_fds = plain(node, "process_open_fds", STATS_GAUGE, "Open file descriptors.");
    node->max_fds =
        plain(node, "process_max_fds", STATS_GAUGE, "Most file descriptors this process may open.");
    stats_set(plain(node, "process_start_time_seconds", STATS_GAUGE,
                    "When the process started, seconds since 1970."),
              (double)clock_wall_ns(node->options.clock) * 1e-9);
    stats_set(stats_metric(stats_family(s, "tiervec_build_info", STATS_GAUGE,
                                        "Always 1; the version is a label.", BUILD_LABELS, NULL, 0),
                           BUILD_VALUES),
              1);
    return stats_on_collect(s, collect, node, err);
}

struct collection_stats *collection_stats_create(struct node *node, const char *id_text,
                                                 const char *name)
{
    const char *const ids[] = {id_text, name, NULL};
    const char *const names[] = {name, NULL};
    const char *const tier[] = {name, "memory", NULL};
    struct collection_stats *s = mem_zero(sizeof *s);

    if (s == NULL)
        return NULL;
    /* Held: a dropped collection may still wait to be freed when the next one has its name. */
    s->inserts = stats_metric_hold(node->inserts, ids);
    s->snapshot_timestamp = stats_metric_hold(node->snapshot_timestamp, ids);
    s->vectors = stats_metric_hold(node->collection_vectors, names);
    s->search_seconds = stats_metric_hold(node->search_seconds, tier);
    s->insert_seconds = stats_metric_hold(node->insert_seconds, names);
    s->seed_count = node->seed_count;
    for (size_t i = 0; i < node->seed_count; i++)
        s->seed[i] = stats_metric_hold(node->seed[i], ids);
    return s;
}

struct stats_metric *collection_stats_cold(struct collection *c, struct collection_stats *s)
{
    struct stats_metric *m = atomic_load_explicit(&s->cold_seconds, memory_order_acquire);
    char name[CATALOG_NAME_BYTES_MAX + 1];
    const char *const tier[] = {name, "cold", NULL};
    struct stats_metric *fresh;

    if (m != NULL)
        return m;
    lock_take(&c->node->table.lock);
    memcpy(name, c->table.name, sizeof name);
    lock_drop(&c->node->table.lock);
    fresh = stats_metric_hold(c->node->search_seconds, tier);
    if (atomic_compare_exchange_strong(&s->cold_seconds, &m, fresh))
        return fresh;
    stats_metric_drop(fresh);
    return m;
}

void collection_stats_destroy(struct collection_stats *s)
{
    if (s == NULL)
        return;
    stats_metric_drop(s->inserts);
    stats_metric_drop(s->snapshot_timestamp);
    stats_metric_drop(s->vectors);
    stats_metric_drop(s->search_seconds);
    if (atomic_load(&s->cold_seconds) != NULL)
        stats_metric_drop(atomic_load(&s->cold_seconds));
    stats_metric_drop(s->insert_seconds);
    for (size_t i = 0; i < s->seed_count; i++)
        stats_metric_drop(s->seed[i]);
    mem_free(s);
}

static void stats_are_unused(struct epoch_retired *retired)
{
    collection_stats_destroy((struct collection_stats *)(void *)retired);
}
static_assert(offsetof(struct collection_stats, retired) == 0, "stats_are_unused() casts");

void collection_stats_replace(struct collection *c, struct collection_stats *fresh)
{
    /* Pairs with the acquire of those who count, inside a guard. */
    struct collection_stats *old = atomic_exchange_explicit(&c->stats, fresh, memory_order_acq_rel);

    epoch_retire(c->node->epoch, &old->retired, stats_are_unused);
}

/* The smallest limit from the cgroup `path` up to the root of `tree`: a container may see its own
 * cgroup as the root. */
static uint64_t smallest_limit(const char *tree, char *path, const char *file)
{
    uint64_t limit = UINT64_MAX;

    for (char *end = path + strlen(path); end >= path; end--) {
        char name[600];
        unsigned long long value;
        FILE *f;

        if (*end != '\0' && *end != '/')
            continue;
        *end = '\0';
        (void)snprintf(name, sizeof name, "%s%s/%s", tree, path, file);
        f = fopen(name, "re");
        if (f == NULL)
            continue;
        if (fscanf(f, "%llu", &value) == 1 && value < limit)
            limit = value;
        (void)fclose(f);
    }
    return limit;
}

/* Of this process's cgroup: version 2 (a line 0::/path), or the memory controller of version 1
 * (n:memory:/path, among others). */
static uint64_t cgroup_limit(void)
{
    char line[512];
    uint64_t limit = UINT64_MAX;
    FILE *f = fopen("/proc/self/cgroup", "re");

    if (f == NULL)
        return limit;
    while (fgets(line, sizeof line, f) != NULL) {
        char *kinds = strchr(line, ':');
        char *path = kinds == NULL ? NULL : strchr(kinds + 1, ':');
        uint64_t found = UINT64_MAX;

        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (strcmp(kinds, ":") == 0)
            found = smallest_limit("/sys/fs/cgroup", path, "memory.max");
        else if (strcmp(kinds, ":memory") == 0)
            found = smallest_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
        limit = found < limit ? found : limit;
    }
    (void)fclose(f);
    return limit;
}

uint64_t node_memory_limit(void)
{
    uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = cgroup_limit();

    return (limit < ram ? limit : ram) / 5 * 4;
}
