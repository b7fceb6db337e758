/* The head's rows to a spool; the rows of segments that are merged behind them; the segments that
 * stay are asked what is dead in them; then the new segment, the manifest and the root, as
 * publish.c has it. Until the root names the manifest nothing of it exists, and nothing that the
 * manifest before names is ever touched. */
#include "snapshot/fold.h"

#include "base/mem.h"
#include "snapshot/fold_internal.h"

#include <inttypes.h>

enum { STEP_ROWS = 256 };

static status on_head_row(void *arg, const struct fold_row *row, struct err *err)
{
    struct fold *f = arg;
    status st = spool_head_row(&f->spool, row, err);

    return st == ST_OK && f->spool.count % STEP_ROWS == 0 ? publish_step(&f->p, err) : st;
}

static status on_head_tombstone(void *arg, const struct docid *id, uint64_t lsn, struct err *err)
{
    struct fold *f = arg;

    return spool_head_tombstone(&f->spool, id, lsn, err);
}

static status read_head(struct fold *f, struct err *err)
{
    const struct fold_source *head = &f->options->head;
    status st = head->each_row(head->arg, on_head_row, f, err);

    if (st == ST_OK)
        st = head->each_tombstone(head->arg, on_head_tombstone, f, err);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "read the head");
}

/* --- segments that are merged --- */

static status on_cold_row(void *arg, const struct cold_stream_row *row, struct err *err)
{
    struct fold *f = arg;
    status st = spool_cold_row(&f->spool, &row->row, err);

    return st == ST_OK && f->spool.count % STEP_ROWS == 0 ? publish_step(&f->p, err) : st;
}

static status read_cold(struct fold *f, const struct manifest_cold *segment, struct err *err)
{
    const struct cold_stream_options options = {.ask = &f->p.ask,
                                                .collection = f->p.now.collection,
                                                .segment = segment,
                                                .schema = f->options->publish.schema,
                                                .fs = f->options->publish.fs,
                                                .scratch_dir = f->options->scratch_dir};
    struct cold_stream_report report;
    status st = cold_stream(&options, on_cold_row, f, &report, err);

    f->requests += report.requests;
    f->report.merged++;
    return st == ST_OK ? ST_OK : err_wrap(err, st, "merge");
}

static status merge(struct fold *f, const bool *merged, struct err *err)
{
    struct manifest *m = &f->p.now;
    size_t kept = 0;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < m->cold_count; i++)
        if (merged[i])
            st = read_cold(f, &m->colds[i], err);
    for (size_t i = 0; st == ST_OK && i < m->cold_count; i++)
        if (!merged[i])
            m->colds[kept++] = m->colds[i];
    if (st == ST_OK)
        m->cold_count = kept;
    return st;
}

/* --- memory --- */

static uint64_t memory_for(uint64_t rows, uint64_t bytes)
{
    return rows * FOLD_ROW_BYTES + (bytes < FOLD_PARTS_BYTES ? bytes : FOLD_PARTS_BYTES);
}

static void count_head(struct fold *f)
{
    uint64_t bytes = f->spool.rows_end;

    for (size_t i = 0; i < f->spool.field_count; i++)
        bytes += f->spool.fields[i].end;
    if (f->options->budget == NULL)
        return;
    f->counted = memory_for(f->spool.count, bytes);
    mem_overdraw(f->options->budget, f->counted);
}

/* What is merged is read and written: its parts count twice. */
static status count_merged(struct fold *f, bool *merged, struct err *err)
{
    const struct manifest *m = &f->p.now;
    struct err why = {0};
    uint64_t rows = 0, bytes = 0, wanted;

    for (size_t i = 0; i < m->cold_count; i++) {
        rows += merged[i] ? m->colds[i].rows : 0;
        bytes += merged[i] ? m->colds[i].object.bytes : 0;
    }
    wanted = memory_for(rows, 2 * bytes);
    if (rows == 0 || f->options->budget == NULL)
        return ST_OK;
    if (mem_reserve(f->options->budget, wanted, &why) == ST_OK) {
        f->counted += wanted;
        return ST_OK;
    }
    if (f->options->all || f->spool.count == 0)
        return err_set(err, ST_NOSPACE,
                       "merging %" PRIu64 " rows of cold segments takes %" PRIu64
                       " MiB of memory: %s",
                       rows, wanted / (1024 * 1024) + 1, why.text);
    memset(merged, 0, m->cold_count * sizeof *merged);
    f->report.put_off = true;
    return ST_OK;
}

static status plan_and_merge(struct fold *f, struct err *err)
{
    struct manifest *m = &f->p.now;
    struct fold_facts facts = {.head_rows = f->spool.rows,
                               .head_tombstones = f->spool.count - f->spool.rows,
                               .segments = m->colds,
                               .segment_count = m->cold_count,
                               .all = f->options->all};
    bool *merged;
    status st;

    if (m->cold_count == 0)
        return ST_OK;
    merged = mem_zero_array(m->cold_count, sizeof *merged);
    if (merged == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a fold");
    fold_plan(&facts, merged);
    st = count_merged(f, merged, err);
    if (st == ST_OK)
        st = merge(f, merged, err);
    mem_free(merged);
    return st;
}

/* --- segments that stay --- */

static status resolve(struct fold *f, struct err *err)
{
    struct manifest *m = &f->p.now;
    size_t kept = 0;
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && f->spool.head_count > 0 && i < m->cold_count; i++)
        st = fold_resolve(f, i, err);
    for (size_t i = 0; st == ST_OK && i < m->cold_count; i++)
        if (m->colds[i].dead_rows < m->colds[i].rows)
            m->colds[kept++] = m->colds[i];
    if (st == ST_OK)
        m->cold_count = kept;
    return st;
}

static void count_rows(struct manifest *m)
{
    m->rows = 0;
    for (size_t i = 0; i < m->cold_count; i++)
        m->rows += m->colds[i].rows - m->colds[i].dead_rows;
}

/* The first fold of a collection that was in RAM has all of its rows in the head, so the base
 * segments and images that the manifest before names are not needed beside it. */
static status run(struct fold *f, const struct manifest *before, struct err *err)
{
    const struct fold_options *o = f->options;
    status st = publish_begin(&f->p, before, err);

    f->p.now.segment_count = 0;
    f->p.now.image_count = 0;
    if (st == ST_OK)
        st = spool_open(&f->spool, o->publish.fs, o->scratch_dir, o->publish.schema, err);
    if (st == ST_OK)
        st = read_head(f, err);
    if (st == ST_OK) {
        count_head(f);
        st = plan_and_merge(f, err);
    }
    if (st == ST_OK)
        st = resolve(f, err);
    if (st == ST_OK)
        st = spool_rewind(&f->spool, err);
    if (st == ST_OK && f->spool.rows > 0)
        st = fold_write(f, err);
    f->report.rows_written = f->spool.rows;
    spool_close(&f->spool);
    if (f->counted > 0)
        mem_release(o->budget, f->counted);
    if (st != ST_OK)
        return st;
    f->p.now.floor = o->publish.shipped;
    count_rows(&f->p.now);
    return publish_end(&f->p, true, err);
}

status fold_run_tuned(const struct fold_options *options, const struct manifest *before,
                      const struct fold_tuning *tuning, struct manifest *after,
                      struct fold_report *out, struct err *err)
{
    struct fold f = {
        .options = options,
        .tuning = tuning,
        .p = {.options = &options->publish,
              .tuning = &tuning->publish,
              .ask = publish_ask(&options->publish)},
    };
    status st;

    manifest_init(&f.p.now);
    st = run(&f, before, err);
    if (st == ST_OK) {
        publish_sum_up(&f.p);
        f.report.segments = (uint32_t)f.p.now.cold_count;
        *after = f.p.now; /* the caller's from here on */
        manifest_init(&f.p.now);
    } else {
        (void)err_wrap(err, st, "fold");
    }
    manifest_free(&f.p.now);
    f.report.publish = f.p.report;
    f.report.requests = f.requests + f.p.report.objects;
    *out = f.report;
    return st;
}

status fold_run(const struct fold_options *options, const struct manifest *before,
                struct manifest *after, struct fold_report *out, struct err *err)
{
    const struct fold_tuning tuning = {.part_bytes = 0};

    return fold_run_tuned(options, before, &tuning, after, out, err);
}
