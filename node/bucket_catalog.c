/* The object meta/catalog: bucket-backed collections by name, for every node that uses the bucket
 * (docs/protocol.md, "Catalog").
 *
 * A change is read, change, write if it is still what was read. A lost answer is neither success
 * nor failure: the same bytes are sent until the store decides, and what another node put there
 * meanwhile is looked at for our nonce. Another's write may already stand on ours: changes are
 * made so that making one twice is harmless, and what fails behind a lost answer, for whatever
 * reason, is told as unknown. */
#include "node/node_internal.h"
#include "snapshot/ask.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

enum {
    CATALOG_PAUSE_MS = 100,
    CATALOG_ATTEMPT_MS = 5000,
    BUCKET_VERSION = 1,
};

struct attempt {
    struct node *node;
    uint64_t deadline_ns;
    char etag[OBJSTORE_ETAG_BYTES]; /* "": there is none yet */
    struct catalog catalog;
    bool maybe; /* one of the tries may have taken effect */
};

void bucket_pause(struct node *node, uint64_t ms)
{
    lock_take(&node->reclaim.lock);
    if (!atomic_load(&node->stopping))
        (void)cond_wait_ns(&node->reclaim.stop, &node->reclaim.lock, ms * 1000000);
    lock_drop(&node->reclaim.lock);
}

static bool out_of_time(const struct attempt *a)
{
    return atomic_load(&a->node->stopping) ||
           clock_mono_ns(a->node->options.clock) >= a->deadline_ns;
}

/* One GET; ST_NOT_FOUND: none, out is empty. */
static status get_once(struct node *node, struct catalog *out, char etag[OBJSTORE_ETAG_BYTES],
                       enum objstore_class *class, bool fresh, struct err *err)
{
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .fresh_connection = fresh,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_CATALOG,
                               .bytes_max = CATALOG_BYTES_MAX,
                               .timeout_ms = CATALOG_ATTEMPT_MS};
    status st = objstore_wait(node->options.store, &req, err);

    catalog_init(out);
    etag[0] = '\0';
    *class = req.result.class;
    if (st == ST_OK) {
        st = catalog_decode(buf_slice(&req.result.body), out, err);
        if (st != ST_OK)
            st = err_wrap(err, st,
                          "the bucket's %s (an older one may be brought back by the "
                          "store's versions)",
                          OBJKEY_CATALOG);
        memcpy(etag, req.result.etag, OBJSTORE_ETAG_BYTES);
    }
    objstore_result_fini(&req.result);
    return st;
}

static status read_once(struct node *node, struct catalog *out, char etag[OBJSTORE_ETAG_BYTES],
                        enum objstore_class *class, struct err *err)
{
    status st = ST_CORRUPT;

    for (unsigned i = 0; st == ST_CORRUPT && i < ASK_INTEGRITY_TRIES; i++)
        st = get_once(node, out, etag, class, i > 0, err);
    return st;
}

status bucket_catalog_read(struct node *node, struct catalog *out, struct err *err)
{
    char etag[OBJSTORE_ETAG_BYTES];
    enum objstore_class class;
    status st = read_once(node, out, etag, &class, err);

    return st == ST_NOT_FOUND ? ST_OK : st;
}

static status read_for_change(struct attempt *a, struct err *err)
{
    enum objstore_class class;
    status st;

    for (;;) {
        catalog_free(&a->catalog);
        st = read_once(a->node, &a->catalog, a->etag, &class, err);
        if (st == ST_OK || st == ST_NOT_FOUND)
            return ST_OK;
        if (!objstore_class_retries(class) || out_of_time(a))
            return err_wrap(err, st == ST_CLOSED ? ST_UNAVAILABLE : st,
                            "read the bucket's catalog");
        bucket_pause(a->node, CATALOG_PAUSE_MS);
    }
}

enum decision { WON, LOST, GIVE_UP };

/* Sends the same bytes until it is decided. */
static enum decision send(struct attempt *a, struct slice bytes, const uint8_t nonce[16],
                          status *st, struct err *err)
{
    const uint64_t revision = a->catalog.revision + 1;
    const bool before = a->maybe;

    for (;;) {
        struct objstore_req req = {
            .op = OBJSTORE_PUT,
            .pool = OBJSTORE_LOG,
            .key = OBJKEY_CATALOG,
            .body = bytes,
            .condition = a->etag[0] == '\0' ? OBJSTORE_IF_ABSENT : OBJSTORE_IF_MATCH,
            .etag = a->etag,
            .timeout_ms = CATALOG_ATTEMPT_MS,
        };
        enum objstore_class class;

        *st = objstore_wait(a->node->options.store, &req, err);
        class = req.result.class;
        a->maybe = a->maybe || req.result.maybe_applied;
        objstore_result_fini(&req.result);
        if (class == OBJSTORE_OK)
            return WON;
        if (class == OBJSTORE_PRECONDITION) {
            *st = read_for_change(a, err);
            if (*st == ST_OK && memcmp(a->catalog.nonce, nonce, 16) == 0)
                return WON;
            if (*st == ST_OK && a->catalog.revision == revision)
                a->maybe = before; /* the place this one wanted is another's */
            if (*st == ST_OK)
                return LOST;
        } else if (objstore_class_retries(class) && !out_of_time(a)) {
            bucket_pause(a->node, CATALOG_PAUSE_MS);
            continue;
        }
        *st = err_wrap(err, *st == ST_CLOSED ? ST_UNAVAILABLE : *st, "write the bucket's catalog");
        return GIVE_UP;
    }
}

/* What was read has the change: nobody need write it again. */
static bool stands(const struct attempt *a, const struct catalog *next)
{
    struct buf was, is;
    bool same;

    buf_init(&was, CATALOG_BYTES_MAX);
    buf_init(&is, CATALOG_BYTES_MAX);
    same = catalog_bytes(&a->catalog, &was, NULL) == ST_OK &&
           catalog_bytes(next, &is, NULL) == ST_OK && slice_equal(buf_slice(&was), buf_slice(&is));
    buf_free(&was);
    buf_free(&is);
    return same;
}

static status try_once(struct attempt *a, catalog_change_fn *change, void *arg,
                       enum decision *decision, struct err *err)
{
    struct catalog next;
    struct buf bytes;
    status st = catalog_copy(&a->catalog, &next, err);

    *decision = GIVE_UP;
    if (st != ST_OK)
        return st;
    buf_init(&bytes, CATALOG_BYTES_MAX);
    st = change(arg, &next, err);
    if (st == ST_OK && a->maybe && stands(a, &next)) {
        *decision = WON;
        goto out;
    }
    next.revision++;
    a->node->options.rand->fill(a->node->options.rand, next.nonce, sizeof next.nonce);
    if (st == ST_OK)
        st = catalog_bytes(&next, &bytes, err);
    if (st == ST_OK)
        *decision = send(a, buf_slice(&bytes), next.nonce, &st, err);
out:
    buf_free(&bytes);
    catalog_free(&next);
    return st;
}

status bucket_check_refused(struct node *node, struct err *err)
{
    status st = ST_OK;

    if (!atomic_load(&node->bucket_refused))
        return bucket_check_trust(node, err);
    lock_take(&node->bucket.lock);
    st = err_set(err, ST_UNSUPPORTED, "%s", node->bucket.bucket_reason);
    lock_drop(&node->bucket.lock);
    return st;
}

status bucket_catalog_change(struct node *node, catalog_change_fn *change, void *arg,
                             struct err *err)
{
    struct attempt a = {
        .node = node,
        .deadline_ns = clock_mono_ns(node->options.clock) + (uint64_t)NODE_BUCKET_WAIT_MS * 1000000,
    };
    enum decision decision = GIVE_UP;
    status st;

    catalog_init(&a.catalog);
    st = bucket_check_refused(node, err);
    if (st == ST_OK)
        st = read_for_change(&a, err);
    while (st == ST_OK) {
        st = try_once(&a, change, arg, &decision, err);
        if (st != ST_OK || decision == WON)
            break;
        if (out_of_time(&a))
            st = err_set(err, ST_UNAVAILABLE,
                         "others change the bucket's catalog all the time; try again");
    }
    catalog_free(&a.catalog);
    if (st != ST_OK && a.maybe)
        st = err_wrap(err, ST_UNKNOWN,
                      "whether the bucket's catalog took the change is not known: look again once "
                      "the bucket answers");
    if (st == ST_UNKNOWN) /* what there is then is gone by */
        atomic_store(&node->sync_later, true);
    atomic_fetch_add(&node->catalog_changes, 1); /* what was read before is old, failed or not */
    return st;
}

/* --- meta/format --- */

/* Nothing of a bucket that asks for another program is touched. */
static status check_program(const struct bucket_format *format, struct err *err)
{
    if (format->writer_min <= BUCKET_VERSION)
        return ST_OK;
    return err_set(err, ST_UNSUPPORTED,
                   "it was written for newer programs: this one writes version %d, %u is needed. "
                   "Upgrade this node, or give it another bucket or prefix",
                   BUCKET_VERSION, format->writer_min);
}

status bucket_check_format(struct node *node, struct err *err)
{
    struct bucket_format format = {.version = BUCKET_VERSION, .reader_min = 1, .writer_min = 1};
    struct objstore_req get = {.op = OBJSTORE_GET,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_FORMAT,
                               .bytes_max = 65536,
                               .timeout_ms = CATALOG_ATTEMPT_MS};
    struct objstore_req put = {.op = OBJSTORE_PUT,
                               .pool = OBJSTORE_LOG,
                               .key = OBJKEY_FORMAT,
                               .condition = OBJSTORE_IF_ABSENT,
                               .timeout_ms = CATALOG_ATTEMPT_MS};
    struct buf bytes;
    status st = objstore_wait(node->options.store, &get, err);

    if (st == ST_OK)
        st = bucket_format_decode(buf_slice(&get.result.body), &format, err);
    if (st == ST_OK)
        st = check_program(&format, err);
    if (st != ST_NOT_FOUND) {
        objstore_result_fini(&get.result);
        return st == ST_OK ? ST_OK : err_wrap(err, st, "the bucket's %s", OBJKEY_FORMAT);
    }
    objstore_result_fini(&get.result);
    if (!bucket_writes_pass(node)) { /* an empty bucket gets it once it may be written */
        atomic_store(&node->format_wanted, true);
        return ST_OK;
    }
    uuid_make_v4(node->options.rand, format.cluster_id);
    format.created_at_ns = clock_wall_ns(node->options.clock);
    buf_init(&bytes, 65536);
    st = bucket_format_encode(&format, &bytes, err);
    if (st == ST_OK) {
        put.body = buf_slice(&bytes);
        st = objstore_wait(node->options.store, &put, err);
        if (put.result.class == OBJSTORE_PRECONDITION)
            st = ST_OK; /* another node was first, or an answer was lost */
        objstore_result_fini(&put.result);
    }
    buf_free(&bytes);
    return st;
}
