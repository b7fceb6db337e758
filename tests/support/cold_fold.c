#include "tests/support/cold_fold.h"

#include <string.h>

static status each_row(void *arg,
                       status (*fn)(void *fn_arg, const struct fold_row *row, struct err *err),
                       void *fn_arg, struct err *err)
{
    const struct cold_fold *f = arg;
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < f->rows; i++) {
        const float *vectors[] = {f->values + (size_t)i * f->field->dim};
        struct fold_row row = {
            .lsn = 1 + (uint64_t)i, .inserted_at_ns = 1, .id = docid_u64(i), .vectors = vectors};

        st = fn(fn_arg, &row, err);
    }
    return st;
}

static status each_tombstone(void *arg,
                             status (*fn)(void *fn_arg, const struct docid *id, uint64_t lsn,
                                          struct err *err),
                             void *fn_arg, struct err *err)
{
    (void)arg;
    (void)fn;
    (void)fn_arg;
    (void)err;
    return ST_OK;
}

static status commit(void *arg, uint64_t revision, const struct object_ref *manifest,
                     const struct log_floor *floor, size_t absorbed, bool base_complete,
                     struct err *err)
{
    struct cold_fold *f = arg;

    (void)floor;
    (void)absorbed;
    (void)base_complete;
    (void)err;
    f->root.revision = revision;
    f->root.has_manifest = true;
    f->root.manifest_revision = revision;
    f->root.manifest = *manifest;
    return ST_OK;
}

status cold_fold_run(struct cold_fold *f, struct manifest *out, struct fold_report *report,
                     struct err *err)
{
    static char name[] = "rows";
    struct catalog_collection schema = {.name = name,
                                        .policy = POLICY_S3_ONLY,
                                        .durability = DURABILITY_LOCAL,
                                        .fields = f->field,
                                        .field_count = 1};
    struct fold_options o = {
        .publish = {.store = f->store,
                    .clock = clock_real(),
                    .rand = rand_kernel(),
                    .fs = fs_real(),
                    .schema = &schema,
                    .root = &f->root,
                    .lsn = f->rows,
                    .shipped = {.lsn = f->rows, .epoch = 1, .seq = 1},
                    .max_retries = 1,
                    .base_backoff_ms = 1,
                    .max_backoff_ms = 2,
                    .commit = commit,
                    .commit_arg = f},
        .head = {.each_row = each_row, .each_tombstone = each_tombstone, .arg = f},
        .scratch_dir = f->scratch_dir,
        .seed = f->seed};

    memcpy(schema.id, f->collection, sizeof schema.id);
    memcpy(o.publish.collection, f->collection, sizeof f->collection);
    f->root = (struct root){.state = ROOT_LIVE, .epoch = 1};
    memcpy(f->root.collection, f->collection, sizeof f->root.collection);
    return fold_run(&o, NULL, out, report, err);
}
