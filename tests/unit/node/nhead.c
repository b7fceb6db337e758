#include "tests/unit/node/nhead.h"

#include "snapshot/fold.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

struct collection *nhead_make(struct nworld *w, const char *name, enum node_durability durability)
{
    const struct collection_spec spec = {.name = name,
                                         .dimension = NDIM,
                                         .metric = VMETRIC_L2,
                                         .threshold = 64,
                                         .policy = NODE_S3_ONLY,
                                         .durability = durability};
    struct call call;

    call_init(&call);
    node_collection_create(w->node, &spec, call_admin_done, &call);
    call_wait(&call);
    if (call.st != ST_OK)
        fail_msg("create %s: %s", name, call.err.text);
    return npin(w, name);
}

struct on_publish {
    struct collection *c;
    bool all;
    struct nhead_facts facts;
};

static status do_fold(void *arg, struct err *err)
{
    struct on_publish *job = arg;
    struct publish_report report;
    status st;

    assert_true(cold_work_begin(job->c));
    st = cold_fold_now(job->c, job->all, &report, err);
    if (st == ST_OK)
        (void)cold_turn(job->c);
    cold_work_end(job->c);
    return st;
}

status nhead_fold(struct collection *c, bool all, struct err *err)
{
    struct on_publish job = {.c = c, .all = all};

    return jobs_run(&c->node->fold, do_fold, &job, err);
}

void nhead_folded(struct collection *c)
{
    struct err err = {0};

    if (nhead_fold(c, false, &err) != ST_OK)
        fail_msg("fold: %s", err.text);
}

static status do_look(void *arg, struct err *err)
{
    struct on_publish *job = arg;
    struct cold *cold = job->c->cold;
    struct cold_set *set = NULL;

    (void)err;
    assert_true(cold_work_begin(job->c));
    job->facts = (struct nhead_facts){.floor = cold->set.floor,
                                      .given_up = cold->given_up_lsn,
                                      .committed = cold->committed,
                                      .trimmed = cold->trimmed,
                                      .live = slots_live_count(job->c->slots),
                                      .tombstones = tombstones_count(job->c)};
    for (const struct cold_past *p = cold->past; p != NULL; p = p->next)
        job->facts.past += !atomic_load(&p->free);
    if (cold_hold(job->c, &set, NULL) == ST_OK) {
        job->facts.rows = cold_set_rows(set);
        job->facts.segments = cold_set_segments(set);
    }
    cold_set_drop(set);
    cold_work_end(job->c);
    return ST_OK;
}

struct nhead_facts nhead_facts(struct collection *c)
{
    struct on_publish job = {.c = c};

    assert_int_equal(jobs_run(&c->node->fold, do_look, &job, NULL), ST_OK);
    return job.facts;
}

/* The payload is copied: its slot may be used again. */
static uint64_t in_head(struct collection *c, const struct docid *id, uint32_t *version)
{
    struct epoch_guard guard = epoch_enter(c->node->epoch);
    uint32_t slot = slots_find(c->slots, id);
    struct row row = {0};

    *version = 0;
    if (slot != SLOT_NONE) {
        slots_row(c->slots, slot, &row);
        *version = npayload_version(row.payload);
    }
    epoch_leave(c->node->epoch, guard);
    return row.lsn;
}

uint32_t nhead_version_in(struct collection *c, struct cold_set *set, uint64_t number)
{
    const struct cold_terms terms = {.newer = cold_newer, .newer_arg = c};
    const struct docid id = docid_u64(number);
    struct cold_row row = {0};
    struct cold_stats stats = {0};
    struct arena arena;
    struct err err = {0};
    uint32_t version;
    uint32_t cold = 0;
    uint64_t lsn;

    arena_init(&arena, 1 << 20);
    /* The head last: what it gives up meanwhile is in the set. */
    if (cold_set_get(set, &id, 1, COLD_PAYLOAD, 0, &terms, &arena, &row, &stats, &err) != ST_OK)
        fail_msg("get %" PRIu64 ": %s", number, err.text);
    if (row.found)
        cold = npayload_version(row.payload);
    arena_free(&arena);
    lsn = in_head(c, &id, &version);
    if (lsn == 0)
        return cold;
    if (row.found && row.lsn == lsn)
        assert_int_equal(cold, version);
    return version;
}

uint32_t nhead_version(struct collection *c, uint64_t id)
{
    struct cold_set *set = NULL;
    uint32_t version = UINT32_MAX;

    if (cold_hold(c, &set, NULL) == ST_OK)
        version = nhead_version_in(c, set, id);
    cold_set_drop(set);
    return version;
}

void nhead_has_range(struct collection *c, uint64_t first, uint64_t last, uint32_t version)
{
    for (uint64_t id = first; id <= last; id++) {
        uint32_t got = nhead_version(c, id);

        if (got != version)
            fail_msg("id %" PRIu64 " has version %u, not %u", id, got, version);
    }
}

static bool is_open(struct collection *c)
{
    struct cold_set *set = NULL;
    status st = cold_hold(c, &set, NULL);

    cold_set_drop(set);
    return st == ST_OK;
}

void nhead_open(struct collection *c)
{
    neventually(is_open(c));
}

status nhead_delete(struct collection *c, uint64_t first, uint64_t last, struct err *err)
{
    struct docid ids[1024];
    size_t count = 0;

    for (uint64_t id = first; id <= last && count < COUNT_OF(ids); id++)
        ids[count++] = docid_u64(id);
    return ndelete(c, ids, count, NULL, err);
}

static status note_first(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    uint64_t *first = arg;

    (void)payload;
    (void)err;
    if (*first == 0)
        *first = lsn;
    return ST_OK;
}

struct nhead_log nhead_log(const struct collection *c)
{
    char snapshot_dir[FS_PATH_BYTES];
    struct nhead_log log;

    assert_int_equal(collection_paths(c, log.dir, snapshot_dir, NULL), ST_OK);
    memcpy(log.id, c->id, sizeof log.id);
    return log;
}

uint64_t nhead_first_in_log(struct nworld *w, const struct nhead_log *log)
{
    struct wal_salvage found;
    uint64_t first = 0;

    assert_int_equal(wal_salvage(nworld_fs(w), log->dir, log->id, note_first, &first, &found, NULL),
                     ST_OK);
    return first;
}

bool nhead_has_checkpoint(struct nworld *w, struct collection *c)
{
    char wal_dir[FS_PATH_BYTES];
    char snapshot_dir[FS_PATH_BYTES];
    char path[FS_PATH_BYTES];
    struct fs_stat found;

    assert_int_equal(collection_paths(c, wal_dir, snapshot_dir, NULL), ST_OK);
    assert_int_equal(fs_join(path, snapshot_dir, "manifest", NULL), ST_OK);
    return fs_stat(nworld_fs(w), path, &found, NULL) == ST_OK;
}
