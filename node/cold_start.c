/* The cold set of the manifest that the root names, opened when the bucket answers. Until then the
 * collection takes writes and has its head; what needs to know all of it is told why it cannot. */
#include "node/cold_internal.h"

#include "snapshot/ask.h"
#include "snapshot/fold.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    OPEN_RETRY_MS_MIN = 1000,
    OPEN_RETRY_MS_MAX = 60000,
    OPEN_GIVE_UP_MS = 3000, /* other collections wait meanwhile */
    OPEN_SET_MS = 60000,
    OPEN_TRIES_HARD = 1,
};

static uint64_t now_ms(struct node *node)
{
    return clock_mono_ns(node->options.clock) / 1000000;
}

uint64_t cold_floor_of(const struct manifest *m)
{
    /* Base segments are rows of the head: nothing of theirs is cold. */
    return m == NULL || m->segment_count > 0 ? 0 : m->floor.lsn;
}

status cold_check_floor(struct collection *c, uint64_t floor, struct err *err)
{
    struct cold *cold = c->cold;
    struct bucket_marks marks;
    uint64_t known = cold->given_up_lsn;

    ship_marks(c, &marks);
    known = marks.cold_floor > known ? marks.cold_floor : known;
    if (floor >= known)
        return ST_OK;
    return err_set(err, ST_CORRUPT,
                   "the bucket has gone back: its manifest holds rows up to lsn %" PRIu64
                   ", and one up to %" PRIu64
                   " was known here; put the root back that names it (docs/operator.md)",
                   floor, known);
}

void cold_await(struct collection *c)
{
    if (!atomic_exchange(&c->cold->undecided, true))
        atomic_fetch_add(&c->node->cold_undecided, 1);
}

/* Once a fold was noted no checkpoint counts: it goes before the log is trimmed to the fold. */
uint64_t cold_start(struct collection *c)
{
    struct bucket_marks marks;

    if (!cold_is(c))
        return 0;
    ship_marks_read(c, &marks);
    cold_await(c);
    c->cold->given_up_lsn = marks.cold_floor;
    c->cold->committed = marks.cold_floor;
    atomic_store(&c->cold->fold_wanted, marks.cold_floor == 0 && marks.segments > 0);
    return marks.cold_floor;
}

bool cold_undecided(const struct collection *c)
{
    return atomic_load(&c->cold->undecided);
}

void cold_decided(struct collection *c)
{
    if (atomic_exchange(&c->cold->undecided, false))
        atomic_fetch_sub(&c->node->cold_undecided, 1);
}

/* --- reading --- */

static status read_root(struct collection *c, const struct ask *ask, struct root *out,
                        struct err *err)
{
    char key[OBJKEY_BYTES];
    struct buf bytes;
    status st;

    objkey_root(c->id, key);
    buf_init(&bytes, ROOT_BYTES_MAX);
    st = ask_get(ask, key, ROOT_BYTES_MAX, &bytes, NULL, err);
    if (st == ST_OK)
        st = root_decode(buf_slice(&bytes), c->id, out, err);
    buf_free(&bytes);
    return st;
}

static status read_manifest(struct collection *c, const struct ask *ask, const struct root *root,
                            struct manifest *out, struct err *err)
{
    char key[OBJKEY_BYTES];
    struct buf bytes;
    status st;

    objkey_manifest(c->id, root->manifest_revision, root->manifest.uuid, key);
    buf_init(&bytes, MANIFEST_BYTES_MAX);
    st = ask_get(ask, key, MANIFEST_BYTES_MAX, &bytes, NULL, err);
    if (st == ST_OK)
        st = manifest_decode(buf_slice(&bytes), c->id, out, err);
    buf_free(&bytes);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "read %s", key);
}

struct opening {
    struct collection *c;
    const struct cold_open_terms *terms;
    uint64_t give_up_ms;
    struct root root;
    struct manifest manifest;
};

static struct ask ask_of(const struct opening *o)
{
    const struct node *node = o->c->node;

    return (struct ask){
        .store = node->options.store,
        .clock = node->options.clock,
        .rand = node->options.rand,
        .stop = o->terms->stop,
        .policy = objstore_retry_background(100, 1000, OPEN_TRIES_HARD),
        .give_up_ms = o->give_up_ms,
    };
}

/* --- opening --- */

/* Whether dead rows alone are worth a fold. */
static bool merge_due(const struct manifest *m)
{
    const struct fold_facts facts = {.segments = m->colds, .segment_count = m->cold_count};
    bool *merge = mem_zero_array(m->cold_count, sizeof *merge);
    bool due = false;

    if (merge == NULL)
        return false;
    fold_plan(&facts, merge);
    for (size_t i = 0; i < m->cold_count; i++)
        due = due || merge[i];
    mem_free(merge);
    return due;
}

static status open_set(struct collection *c, const struct manifest *m,
                       const struct cold_open_terms *terms, struct err *err)
{
    struct cold *cold = c->cold;
    struct cold_set_options options = {
        .cache = c->node->cache,
        .account = &cold->account,
        .manifest = m,
        .before = cold->set.now, /* who works on it alone changes it */
        .deadline_ns = terms->deadline_ns,
        .stop = terms->stop,
    };
    struct cold_set *set = NULL;
    status st;

    if (options.cache == NULL)
        return err_set(err, ST_UNAVAILABLE,
                       "its rows are in a bucket and this node was started without one: set "
                       "[storage] s3_bucket");
    memcpy(options.collection, c->id, sizeof options.collection);
    st = cold_set_open(&options, &set, err);
    if (st == ST_OK)
        st = cold_swap(c, set, cold_floor_of(m), err);
    if (st != ST_OK) {
        cold_set_drop(set);
        return st;
    }
    atomic_store(&cold->revision, m->revision);
    if (cold_floor_of(m) > cold->committed)
        cold->committed = cold_floor_of(m);
    cold->merge_due = merge_due(m);
    cold_count_doubled(c);
    return ST_OK;
}

struct cold_open_terms cold_open_patiently(const struct collection *c)
{
    return (struct cold_open_terms){.deadline_ns = clock_mono_ns(c->node->options.clock) +
                                                   (uint64_t)OPEN_SET_MS * 1000000,
                                    .stop = &c->node->stopping};
}

status cold_open_set(struct collection *c, const struct manifest *m, struct err *err)
{
    const struct cold_open_terms terms = cold_open_patiently(c);

    return open_set(c, m, &terms, err);
}

static void tell(struct collection *c, const char *why)
{
    lock_take(&c->cold->set.lock);
    (void)snprintf(c->cold->set.reason, sizeof c->cold->set.reason,
                   "what the collection has in the bucket cannot be read now: %.180s", why);
    lock_drop(&c->cold->set.lock);
}

/* What lies between is nowhere: nothing is written on top of it. */
static void gone_back(struct collection *c, const struct err *err)
{
    if (c->cold->went_back)
        return;
    c->cold->went_back = true;
    log_error("the bucket has gone back behind what it had", "collection_id=%s err=%s", c->id_text,
              err->text);
    if (atomic_load(&c->seq.state) == COLLECTION_SERVING)
        collection_set_state(c, COLLECTION_READ_ONLY, err->text);
}

static void back_again(struct collection *c)
{
    if (!c->cold->went_back)
        return;
    c->cold->went_back = false;
    if (atomic_load(&c->seq.state) == COLLECTION_READ_ONLY)
        collection_set_state(c, COLLECTION_SERVING, NULL);
}

/* What the root names, unless that is open. */
static status open_named(struct opening *o, struct err *err)
{
    struct collection *c = o->c;
    const struct ask ask = ask_of(o);
    uint64_t revision = o->root.has_manifest ? o->root.manifest_revision : 0;
    status st = ST_OK;

    if (c->cold->set.now != NULL && revision == atomic_load(&c->cold->revision))
        return ST_OK;
    if (o->root.has_manifest)
        st = read_manifest(c, &ask, &o->root, &o->manifest, err);
    if (st == ST_OK && (st = cold_check_floor(c, cold_floor_of(&o->manifest), err)) != ST_OK)
        gone_back(c, err);
    return st == ST_OK ? open_set(c, &o->manifest, o->terms, err) : st;
}

static const char *own_name(const struct node *node)
{
    return node->owner_id != NULL ? node->owner_id : node->node_id;
}

status cold_open_now(struct collection *c, const struct cold_open_terms *terms, struct err *err)
{
    uint64_t now_ns = clock_mono_ns(c->node->options.clock);
    struct opening *o = mem_zero(sizeof *o);
    struct ask ask;
    status st;

    if (o == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    o->c = c;
    o->terms = terms;
    o->give_up_ms = terms->deadline_ns > now_ns ? (terms->deadline_ns - now_ns) / 1000000 + 1 : 1;
    if (o->give_up_ms > OPEN_GIVE_UP_MS)
        o->give_up_ms = OPEN_GIVE_UP_MS;
    ask = ask_of(o);
    manifest_init(&o->manifest);
    memcpy(o->manifest.collection, c->id, sizeof o->manifest.collection);
    st = read_root(c, &ask, &o->root, err);
    if (st == ST_OK) {
        atomic_store(&c->cold->foreign,
                     strncmp(o->root.node_id, own_name(c->node), sizeof o->root.node_id) != 0);
        st = open_named(o, err);
    }
    if (st == ST_OK)
        back_again(c);
    manifest_free(&o->manifest);
    mem_free(o);
    return st;
}

void cold_open_failed(struct collection *c, const struct err *err)
{
    struct cold *cold = c->cold;
    uint64_t wait = OPEN_RETRY_MS_MIN;

    for (uint32_t i = 0; i < cold->open_failures && wait < OPEN_RETRY_MS_MAX; i++)
        wait *= 2;
    cold->open_failures++;
    cold->open_next_ms = now_ms(c->node) + wait;
    tell(c, err->text);
    cold_decided(c);
    if (cold->open_failures == 1)
        log_warn("a collection's cold segments cannot be opened, it is tried again",
                 "collection_id=%s err=%s", c->id_text, err->text);
}
