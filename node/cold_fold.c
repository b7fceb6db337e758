/* Folds: the head's rows up to a lsn S become part of a cold segment; then the new set is read, the
 * log trimmed, and the head gives up what nobody needs there any more (docs/s3only.md).
 *
 * Until the root names the manifest nothing happened. After it, what follows is done in any order
 * and again by the next turn, or by the next start. */
#include "node/cold_internal.h"
#include "node/indexes.h"
#include "node/publish_step.h"
#include "snapshot/fold.h"

#include <inttypes.h>
#include <stdatomic.h>

enum {
    FOLD_FLUSH_MS = 60000,
    FOLD_SETTLE_RETRY_MS = 5000,
};

static uint64_t now_ms(struct node *node)
{
    return clock_mono_ns(node->options.clock) / 1000000;
}

/* --- one fold --- */

struct folding {
    struct publishing p;
    struct fold_options options;
    struct cold_source source;
    struct manifest after;
    struct fold_report report;
    char scratch_dir[FS_PATH_BYTES];
    struct arena arena; /* of index definitions */
    struct pindex_spec indexes[PINDEX_COUNT_MAX];
    uint64_t ops, bytes; /* counted before S was taken */
};

/* Rows that were deleted before it was S3Only have no tombstones, those of its checkpoint neither.
 */
static status check_reach(const struct folding *f, struct err *err)
{
    struct collection *c = f->p.c;
    uint64_t barrier = atomic_load(&c->cold->barrier_lsn);
    uint64_t checkpoint = atomic_load(&c->snapshot_lsn);

    barrier = checkpoint > barrier ? checkpoint : barrier;
    if (f->source.lsn >= barrier)
        return ST_OK;
    return err_set(err, ST_UNAVAILABLE,
                   "records up to lsn %" PRIu64 " are to be in the bucket first, it has %" PRIu64,
                   barrier, f->source.lsn);
}

static bool is_worth_it(const struct folding *f)
{
    const struct manifest *m = &f->p.before;
    bool more = f->source.lsn > f->source.above;
    bool merges = f->options.all && m->cold_count > 1;

    for (size_t i = 0; i < m->cold_count; i++)
        merges = merges || (f->options.all && m->colds[i].dead_rows > 0);
    return more || merges || f->p.c->cold->merge_due;
}

/* The payload indexes the collection has now. One that comes while this runs is in the next. */
static status read_indexes(struct folding *f, struct err *err)
{
    struct index_definition *items;
    size_t count = 0;
    status st = index_definitions(f->p.c, &f->arena, &items, &count, err);

    if (st != ST_OK)
        return st;
    f->options.indexes = f->indexes;
    for (size_t i = 0; i < count && i < COUNT_OF(f->indexes); i++)
        if (index_definition_of(items, i, items[i].spec.path) == NULL) /* a path once */
            f->indexes[f->options.index_count++] = items[i].spec;
    return ST_OK;
}

static status prepare(struct folding *f, struct err *err)
{
    struct collection *c = f->p.c;
    struct node *node = c->node;
    char scratch[FS_PATH_BYTES];
    uint64_t floor;
    status st = publishing_open(&f->p, &f->options.publish, err);

    if (st == ST_OK && f->p.stream.switching)
        st = err_set(err, ST_UNAVAILABLE, "its base is not in the bucket yet");
    if (st == ST_OK)
        st = publishing_read(&f->p, err);
    if (st != ST_OK)
        return st;
    floor = f->p.has_before ? cold_floor_of(&f->p.before) : 0;
    f->source = (struct cold_source){.c = c, .above = floor, .lsn = f->p.stream.shipped.lsn};
    st = cold_check_floor(c, floor, err);
    if (st == ST_OK)
        st = check_reach(f, err);
    if (st == ST_OK)
        st = read_indexes(f, err);
    if (st == ST_OK)
        st = fs_join(scratch, node->data_dir, COLD_SCRATCH, err);
    if (st == ST_OK)
        st = fs_join(f->scratch_dir, scratch, c->id_text, err);
    f->options.publish.slots = NULL; /* its rows are no part of the manifest's */
    f->options.head = (struct fold_source){
        .each_row = cold_each_row, .each_tombstone = cold_each_tombstone, .arg = &f->source};
    f->options.scratch_dir = f->scratch_dir;
    f->options.budget = &c->budget;
    f->options.seed = rand_u64(node->options.rand);
    return st;
}

static void note_marks(const void *arg, struct bucket_marks *marks)
{
    const struct folding *f = arg;

    marks->log_bytes = 0;
    marks->segments = (uint32_t)f->after.cold_count;
    marks->segment_bytes = f->report.publish.segment_bytes;
    marks->object_bytes = 0;
    marks->image_rows = 0;
    marks->image_lsn = 0;
    marks->changed_rows = 0;
    marks->published_lsn = f->p.stream.shipped_lsn;
    marks->published_at_ns = clock_wall_ns(f->p.c->node->options.clock);
    marks->cold_floor = cold_floor_of(&f->after);
}

static void forget_counted(struct folding *f)
{
    struct collection *c = f->p.c;

    atomic_store(&c->cold->fold_wanted, false);
    atomic_fetch_sub(&c->ops_since_fold, f->ops);
    atomic_fetch_sub(&c->bytes_since_fold, f->bytes);
}

/* The root names it. */
static void is_committed(struct folding *f)
{
    struct collection *c = f->p.c;
    struct err err = {0};

    c->cold->committed = cold_floor_of(&f->after);
    ship_change_marks(c, note_marks, f);
    ship_remember(c);
    forget_counted(f);
    atomic_fetch_add(&c->compactions, 1);
    log_info("folded",
             "collection_id=%s revision=%" PRIu64 " lsn=%" PRIu64 " rows=%" PRIu64 " dead=%" PRIu64
             " merged=%u segments=%u bytes=%" PRIu64,
             c->id_text, f->report.publish.revision, c->cold->committed, f->report.rows_written,
             f->report.rows_dead, f->report.merged, f->report.segments, f->report.publish.bytes);
    if (f->report.put_off)
        log_warn("cold segments are not merged for want of memory, it is tried with the next fold",
                 "collection_id=%s segments=%u", c->id_text, f->report.segments);
    if (cold_open_set(c, &f->after, &err) == ST_OK)
        return;
    log_warn("a fold's segments cannot be opened yet, it is tried again", "collection_id=%s err=%s",
             c->id_text, err.text);
    cold_want_open(c);
}

static status fold(struct folding *f, struct err *err)
{
    struct collection *c = f->p.c;
    status st;

    f->ops = atomic_load(&c->ops_since_fold);
    f->bytes = atomic_load(&c->bytes_since_fold);
    st = prepare(f, err);
    if (st != ST_OK)
        return st;
    if (!is_worth_it(f)) {
        forget_counted(f);
        return ST_OK;
    }
    st = fold_run(&f->options, f->p.has_before ? &f->p.before : NULL, &f->after, &f->report, err);
    if (st == ST_OK)
        is_committed(f);
    return st;
}

status cold_fold_now(struct collection *c, bool all, struct publish_report *out, struct err *err)
{
    struct folding *f = mem_zero(sizeof *f);
    status st;

    memset(out, 0, sizeof *out);
    if (f == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    f->p.c = c;
    arena_init(&f->arena, SIZE_MAX); /* settings are bounded by the catalog */
    f->options.all = all;
    manifest_init(&f->after);
    manifest_init(&f->p.before);
    st = ship_own(c, NODE_BUCKET_WAIT_MS, err);
    if (st == ST_OK)
        st = ship_flush(c, FOLD_FLUSH_MS, err);
    if (st == ST_OK)
        st = fold(f, err);
    *out = f->report.publish;
    manifest_free(&f->after);
    publishing_close(&f->p);
    arena_free(&f->arena);
    mem_free(f);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "fold");
}

/* --- what is due --- */

static bool may_fold(struct collection *c)
{
    struct tier_stream_status s;

    return atomic_load_explicit(&c->seq.state, memory_order_acquire) == COLLECTION_SERVING &&
           c->cold->set.now != NULL && now_ms(c->node) >= c->publish_next_ms &&
           bucket_writes_pass(c->node) && ship_status(c, &s) && !s.switching && s.parked == 0 &&
           (s.phase == STREAM_OWNED || s.phase == STREAM_IDLE);
}

static bool fold_due(struct collection *c)
{
    const struct node_options *o = &c->node->options;
    uint64_t ops = atomic_load_explicit(&c->ops_since_fold, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&c->bytes_since_fold, memory_order_relaxed);
    uint64_t ops_max = o->compaction_ops != 0 ? o->compaction_ops : 10000;
    uint64_t bytes_max = o->compaction_bytes != 0 ? o->compaction_bytes : 100 * 1024 * 1024;

    if (atomic_load(&c->cold->fold_wanted))
        return true;
    return !o->no_background_compaction &&
           (ops >= ops_max || bytes >= bytes_max || c->cold->merge_due);
}

static bool fold_turn(struct collection *c)
{
    struct publish_report report;
    struct err err = {0};
    status st;

    if (!may_fold(c) || !fold_due(c))
        return false;
    st = cold_fold_now(c, false, &report, &err);
    if (st != ST_CLOSED && !atomic_load(&c->node->stopping))
        publish_told(c, st, &report, &err);
    return st == ST_OK;
}

static void settle_turn(struct collection *c)
{
    struct cold *cold = c->cold;
    struct err err = {0};

    /* A checkpoint of the time in RAM is of use until a fold has passed it. */
    if (cold->committed <= cold->trimmed || cold->committed < atomic_load(&c->snapshot_lsn) ||
        now_ms(c->node) < cold->settle_next_ms || atomic_load(&c->arriving) ||
        atomic_load(&c->seq.state) != COLLECTION_SERVING)
        return;
    if (cold_settle_log(c, &err) == ST_OK)
        return;
    cold->settle_next_ms = now_ms(c->node) + FOLD_SETTLE_RETRY_MS;
    log_warn("the log of a collection cannot be trimmed yet", "collection_id=%s err=%s", c->id_text,
             err.text);
}

bool cold_turn(struct collection *c)
{
    enum collection_state state = atomic_load_explicit(&c->seq.state, memory_order_acquire);
    bool folded;

    if (!cold_is(c) || (state != COLLECTION_SERVING && state != COLLECTION_READ_ONLY))
        return false;
    folded = fold_turn(c);
    settle_turn(c);
    cold_give_up_turn(c);
    return folded;
}
