/* Objects, then the manifest, then the root: until the root names the manifest nothing of it
 * exists, so a failure anywhere leaves objects that nobody names, and the bucket as it was. */
#include "snapshot/publish.h"

#include "base/crc32c.h"
#include "segment/objkey.h"
#include "snapshot/publish_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum { BATCH_ROWS = 256 }; /* looked at in one epoch guard */

status publish_step(struct publisher *p, struct err *err)
{
    if (p->tuning->step != NULL)
        p->tuning->step(p->tuning->arg);
    return ask_stopped(&p->ask) ? err_set(err, ST_CLOSED, "publishing was stopped") : ST_OK;
}

/* 412 on a name that is 122 random bits of ours: an attempt of ours whose answer was lost. */
static status put(struct publisher *p, const char *key, struct slice bytes, struct err *err)
{
    struct objstore_req req = {.op = OBJSTORE_PUT,
                               .pool = OBJSTORE_BULK,
                               .key = key,
                               .body = bytes,
                               .condition = OBJSTORE_IF_ABSENT};
    struct publish_report *r = &p->report;
    struct ask_tries tries = {0};
    status st = ask_send(&p->ask, &req, &tries, err);

    if (req.result.class == OBJSTORE_PRECONDITION)
        st = ST_OK;
    if (st == ST_OK) {
        r->objects++;
        r->bytes += bytes.bytes;
        if (p->options->on_object != NULL)
            p->options->on_object(p->options->commit_arg, key, bytes.bytes);
    } else {
        r->class = req.result.class;
        r->http_status = req.result.http_status;
        r->attempts = tries.attempts;
        (void)snprintf(r->key, sizeof r->key, "%s", key);
        (void)snprintf(r->s3_code, sizeof r->s3_code, "%s", req.result.s3_code);
    }
    objstore_result_fini(&req.result);
    return st;
}

static void make_ref(struct publisher *p, struct slice bytes, struct object_ref *out)
{
    *out = (struct object_ref){.bytes = bytes.bytes, .crc = crc32c(0, bytes.data, bytes.bytes)};
    uuid_make_v4(p->options->rand, out->uuid);
}

status publish_data(struct publisher *p, struct slice bytes, struct object_ref *out,
                    struct err *err)
{
    struct object_ref ref;
    char key[OBJKEY_BYTES];
    status st;

    make_ref(p, bytes, &ref);
    objkey_data(p->options->collection, ref.uuid, key);
    st = put(p, key, bytes, err);
    if (st == ST_OK)
        *out = ref;
    return st;
}

static uint64_t cold_rows(const struct manifest *m)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < m->cold_count; i++)
        rows += m->colds[i].rows - m->colds[i].dead_rows;
    return rows;
}

status publish_begin(struct publisher *p, const struct manifest *before, struct err *err)
{
    const struct publish_options *o = p->options;
    struct manifest *m = &p->now;
    struct catalog_collection schema;
    status st = before != NULL ? manifest_copy(before, m, err) : ST_OK;

    if (st == ST_OK)
        st = catalog_collection_copy(o->schema, &schema, err);
    if (st != ST_OK)
        return st;
    catalog_collection_free(&m->schema);
    m->schema = schema;
    memcpy(m->collection, o->collection, sizeof m->collection);
    m->revision = o->root->revision + 1;
    m->parent_revision = o->root->has_manifest ? o->root->manifest_revision : 0;
    m->created_at_ns = clock_wall_ns(o->clock);
    m->lsn = o->lsn;
    m->rows = cold_rows(m) + (o->slots != NULL ? slots_live_count(o->slots) : 0);
    m->floor = o->root->floor;
    return ST_OK;
}

/* What lies wholly at or below the floor is of no use to anyone. */
static void drop_behind_floor(struct manifest *m)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->lineage_count; i++)
        if (m->lineages[i].last_lsn > m->floor.lsn)
            m->lineages[kept++] = m->lineages[i];
    m->lineage_count = kept;
    kept = 0;
    for (size_t i = 0; i < m->gap_count; i++)
        if (m->gaps[i].last_lsn > m->floor.lsn)
            m->gaps[kept++] = m->gaps[i];
    m->gap_count = kept;
}

/* Of the root's lineages those behind the floor leave it, and its oldest move into the manifest
 * when it is to be relieved. Its newest stays always: it says where the next epoch begins. */
static status absorb(struct publisher *p, size_t *absorbed, struct err *err)
{
    const struct root *root = p->options->root;
    bool all = p->options->absorb || root->lineage_count > ROOT_LINEAGES_MAX / 2;
    size_t count = 0;
    status st = ST_OK;

    while (st == ST_OK && count + 1 < root->lineage_count) {
        const struct lineage *l = &root->lineages[count];

        if (l->last_lsn > p->now.floor.lsn) {
            if (!all)
                break;
            st = manifest_add_lineage(&p->now, l, err);
        }
        count++;
    }
    *absorbed = count;
    return st;
}

/* The records that rows were left out for must be in the bucket, and a restore shall know how far
 * the log must reach. */
static status settle(struct publisher *p, struct err *err)
{
    const struct publish_options *o = p->options;
    uint64_t lsn = 0;
    status st;

    if (o->settle == NULL)
        return ST_OK;
    st = o->settle(o->settle_arg, &lsn, err);
    if (st == ST_OK && lsn > p->now.lsn)
        p->now.lsn = lsn;
    return st == ST_OK ? ST_OK : err_wrap(err, st, "wait for the log");
}

static status put_manifest(struct publisher *p, struct err *err)
{
    char key[OBJKEY_BYTES];
    struct buf bytes;
    status st;

    buf_init(&bytes, MANIFEST_BYTES_MAX);
    st = manifest_encode(&p->now, &bytes, err);
    if (st == ST_OK) {
        make_ref(p, buf_slice(&bytes), &p->report.manifest);
        objkey_manifest(p->options->collection, p->now.revision, p->report.manifest.uuid, key);
        st = put(p, key, buf_slice(&bytes), err);
    }
    buf_free(&bytes);
    return st;
}

static status commit(struct publisher *p, size_t absorbed, bool base, struct err *err)
{
    const struct publish_options *o = p->options;
    const struct log_floor stays = {.lsn = 0};

    if (ask_stopped(&p->ask))
        return err_set(err, ST_CLOSED, "publishing was stopped");
    return o->commit(o->commit_arg, p->now.revision, &p->report.manifest,
                     base ? &p->now.floor : &stays, absorbed, base, err);
}

status publish_end(struct publisher *p, bool base, struct err *err)
{
    size_t absorbed = 0;
    status st = base ? settle(p, err) : ST_OK;

    if (st != ST_OK)
        return st;
    drop_behind_floor(&p->now);
    st = absorb(p, &absorbed, err);
    if (st == ST_OK)
        st = put_manifest(p, err);
    return st == ST_OK ? commit(p, absorbed, base, err) : st;
}

static status run(struct publisher *p, const struct manifest *before, struct err *err)
{
    unsigned what = p->options->what;
    status st = publish_begin(p, before, err);

    if (st == ST_OK && (what & PUBLISH_BASE) != 0)
        st = publish_base(p, err);
    if (st == ST_OK && (what & PUBLISH_IMAGE) != 0)
        st = publish_image(p, err);
    return st == ST_OK ? publish_end(p, (what & PUBLISH_BASE) != 0, err) : st;
}

void publish_sum_up(struct publisher *p)
{
    p->report.revision = p->now.revision;
    p->report.floor = p->now.floor;
    for (size_t i = 0; i < p->now.segment_count; i++)
        p->report.segment_bytes += p->now.segments[i].object.bytes;
    p->report.segment_bytes += manifest_cold_bytes(&p->now);
}

struct ask publish_ask(const struct publish_options *o)
{
    return (struct ask){
        .store = o->store,
        .clock = o->clock,
        .rand = o->rand,
        .stop = o->stop,
        .policy = objstore_retry_background(o->base_backoff_ms, o->max_backoff_ms, o->max_retries)};
}

status publish_run_tuned(const struct publish_options *options, const struct manifest *before,
                         const struct publish_tuning *tuning, struct manifest *after,
                         struct publish_report *out, struct err *err)
{
    struct publisher p = {
        .options = options,
        .tuning = tuning,
        .ask = publish_ask(options),
    };
    status st;

    manifest_init(&p.now);
    st = run(&p, before, err);
    if (st == ST_OK) {
        publish_sum_up(&p);
        *after = p.now; /* the caller's from here on */
        manifest_init(&p.now);
    } else {
        (void)err_wrap(err, st, "publish");
    }
    manifest_free(&p.now);
    *out = p.report;
    return st;
}

status publish_run(const struct publish_options *options, const struct manifest *before,
                   struct manifest *after, struct publish_report *out, struct err *err)
{
    const struct publish_tuning tuning = {.object_bytes = SEGMENT_BYTES_AIM,
                                          .batch_rows = BATCH_ROWS};

    return publish_run_tuned(options, before, &tuning, after, out, err);
}
