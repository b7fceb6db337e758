#include "snapshot/vacuum.h"

#include "base/mem.h"
#include "snapshot/collect_internal.h"

#include <stdio.h>
#include <string.h>

enum { PROBE_LEFT_MS = 3600 * 1000 }; /* as a probe's own sweep */
static const char COLLECTIONS[] = "c/";

const char *vacuum_fate_name(enum vacuum_fate fate)
{
    static const char *const NAMES[] = {[VACUUM_GOES] = "goes",
                                        [VACUUM_WAITS] = "waits",
                                        [VACUUM_PINNED] = "pinned",
                                        [VACUUM_UNKNOWN] = "unknown",
                                        [VACUUM_FAILED] = "failed"};

    return (size_t)fate < COUNT_OF(NAMES) ? NAMES[fate] : "unknown";
}

void vacuum_init(struct vacuum *v, const struct vacuum_options *options)
{
    memset(v, 0, sizeof *v);
    v->options = *options;
    if (v->options.batch == 0)
        v->options.batch = VACUUM_BATCH;
}

void vacuum_fini(struct vacuum *v)
{
    if (v->running)
        collect_fini(&v->run);
    v->running = false;
}

/* --- what became of one --- */

static void add(struct vacuum_amount *to, const struct vacuum_item *item)
{
    to->collections++;
    to->objects += item->objects;
    to->bytes += item->bytes;
}

static void tell(struct vacuum *v, enum vacuum_fate fate)
{
    struct vacuum_report *r = &v->report;

    v->item.fate = fate;
    if (fate == VACUUM_GOES)
        add(&r->goes, &v->item);
    else if (fate == VACUUM_WAITS)
        add(&r->waits, &v->item);
    else if (fate == VACUUM_UNKNOWN)
        add(&r->unknown, &v->item);
    else if (fate == VACUUM_FAILED)
        r->failed++;
    r->pins += v->item.pins;
    r->more_items = r->more_items || r->item_count == VACUUM_ITEMS_MAX;
    if (r->item_count < VACUUM_ITEMS_MAX)
        r->items[r->item_count++] = v->item;
}

static void tell_failed(struct vacuum *v, const struct err *err)
{
    if (v->report.text[0] == '\0')
        (void)snprintf(v->report.text, sizeof v->report.text, "%.319s", err->text);
    tell(v, VACUUM_FAILED);
}

/* Of one collection, and the next may be well. */
static bool is_its_own(status st)
{
    return st == ST_CONFLICT || st == ST_CORRUPT || st == ST_NOT_FOUND;
}

/* --- listings --- */

static status list(struct vacuum *v, struct objstore_req *req, const char *prefix,
                   const char *behind, uint32_t max, struct err *err)
{
    struct ask_tries tries = {0};

    *req = (struct objstore_req){.op = OBJSTORE_LIST,
                                 .pool = OBJSTORE_BULK,
                                 .key = prefix,
                                 .start_after = behind[0] == '\0' ? NULL : behind,
                                 .list_max = max};
    return ask_send(&v->options.ask, req, &tries, err);
}

/* Whether the page goes on behind a name that is new. */
static bool page_behind(const struct objstore_result *r, char behind[OBJSTORE_KEY_BYTES_MAX + 1])
{
    bool any = false;

    for (size_t i = 0; i < r->entry_count; i++)
        if (strcmp(r->entries[i].key, behind) > 0 &&
            strlen(r->entries[i].key) <= OBJSTORE_KEY_BYTES_MAX) {
            memcpy(behind, r->entries[i].key, strlen(r->entries[i].key) + 1);
            any = true;
        }
    return r->truncated && any;
}

/* All of a collection but its root. */
static status weigh(struct vacuum *v, struct err *err)
{
    char behind[OBJSTORE_KEY_BYTES_MAX + 1] = "";
    char prefix[OBJKEY_BYTES];
    struct objstore_req req;
    bool more = true;
    status st = ST_OK;

    objkey_prefix_collection(v->item.id, prefix);
    while (more && st == ST_OK) {
        st = list(v, &req, prefix, behind, 0, err);
        for (size_t i = 0; st == ST_OK && i < req.result.entry_count; i++) {
            if (objkey_parse(req.result.entries[i].key).kind == OBJKEY_IS_ROOT)
                continue;
            v->item.objects++;
            v->item.bytes += req.result.entries[i].bytes;
        }
        more = st == ST_OK && page_behind(&req.result, behind);
        objstore_result_fini(&req.result);
    }
    return st;
}

/* --- a root that should say `dropped` --- */

static status read_root(struct vacuum *v, struct root *root, char etag[OBJSTORE_ETAG_BYTES],
                        struct err *err)
{
    char key[OBJKEY_BYTES];
    struct buf bytes = {0};
    status st;

    objkey_root(v->item.id, key);
    st = ask_get(&v->options.ask, key, ROOT_BYTES_MAX, &bytes, etag, err);
    if (st == ST_OK)
        st = root_decode(buf_slice(&bytes), v->item.id, root, err);
    buf_free(&bytes);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "%s", key);
}

/* Where an answer is lost and the next one says that someone was first, that was us or not: the
 * next vacuum sees. */
static status mark(struct vacuum *v, struct root *root, const char *etag, struct err *err)
{
    char key[OBJKEY_BYTES];
    uint8_t nonce[16];
    struct objstore_req req = {.op = OBJSTORE_PUT,
                               .pool = OBJSTORE_BULK,
                               .key = key,
                               .condition = OBJSTORE_IF_MATCH,
                               .etag = etag};
    struct ask_tries tries = {0};
    struct buf bytes;
    status st;

    objkey_root(v->item.id, key);
    v->options.ask.rand->fill(v->options.ask.rand, nonce, sizeof nonce);
    root_next(root, nonce);
    root->state = ROOT_DROPPED;
    root->dropped_at_ns = clock_wall_ns(v->options.ask.clock);
    buf_init(&bytes, ROOT_BYTES_MAX);
    st = root_encode(root, &bytes, err);
    if (st == ST_OK) {
        req.body = buf_slice(&bytes);
        st = ask_send(&v->options.ask, &req, &tries, err);
        objstore_result_fini(&req.result);
    }
    buf_free(&bytes);
    if (st == ST_OK)
        v->report.marked++;
    return st;
}

/* --- one collection --- */

static status is_not_served(void *arg, struct err *err)
{
    struct vacuum *v = arg;
    enum vacuum_known known = VACUUM_SERVED;
    status st = v->options.known(v->options.arg, v->item.id, &known, err);

    if (st == ST_OK && known == VACUUM_SERVED)
        st = err_set(err, ST_CONFLICT, "it is a collection again");
    return st;
}

static status no_mark(void *arg, uint64_t revision, struct err *err)
{
    (void)arg;
    (void)revision;
    return err_set(err, ST_CONFLICT, "the root does not say `dropped` any more");
}

static void run_begin(struct vacuum *v)
{
    struct collect_options options = {.dropped_too = true,
                                      .keep_dropped_ms = v->options.keep_dropped_ms,
                                      .plan_only = v->options.dry_run,
                                      .batch = v->options.batch};

    memcpy(options.collection, v->item.id, sizeof options.collection);
    collect_init(&v->run, &options);
    v->running = true;
}

static void run_end(struct vacuum *v, status st, const struct err *err)
{
    const struct collect_report *r = &v->run.report;
    bool waits = r->young > 0;

    v->item.pins = r->pins;
    v->item.objects += waits ? r->young : r->planned;
    v->item.bytes += waits ? r->young_bytes : r->planned_bytes;
    v->report.deleted += r->deleted;
    collect_fini(&v->run);
    v->running = false;
    if (st != ST_OK)
        tell_failed(v, err);
    else if (v->item.objects > 0)
        tell(v, waits ? VACUUM_WAITS : VACUUM_GOES);
    else if (v->item.pins > 0)
        tell(v, VACUUM_PINNED);
}

/* A plan holds so many names only; the next run has the others. */
static void run_again(struct vacuum *v)
{
    v->item.objects += v->run.report.planned;
    v->item.bytes += v->run.report.planned_bytes;
    v->report.deleted += v->run.report.deleted;
    collect_fini(&v->run);
    run_begin(v);
}

static status run_turn(struct vacuum *v, struct err *err)
{
    const struct collect_shell shell = {
        .ask = v->options.ask, .mark = no_mark, .check = is_not_served, .arg = v};
    uint64_t again_ms = 0;
    status st = collect_turn(&v->run, &shell, &again_ms, err);

    if (st == ST_OK && again_ms > 0)
        return ST_OK;
    if (st == ST_OK && v->run.report.more) {
        run_again(v);
        return ST_OK;
    }
    run_end(v, st, err);
    return st == ST_OK || is_its_own(st) ? ST_OK : st;
}

static status left_alone(struct vacuum *v, struct err *err)
{
    status st = weigh(v, err);

    if (st == ST_OK)
        tell(v, VACUUM_UNKNOWN);
    return st;
}

static status not_marked(struct vacuum *v, struct root *root, const char *etag, struct err *err)
{
    status st;

    if (v->options.dry_run) {
        st = weigh(v, err);
        if (st == ST_OK)
            tell(v, VACUUM_WAITS);
        return st;
    }
    st = mark(v, root, etag, err);
    if (st == ST_OK)
        run_begin(v);
    else if (is_its_own(st))
        tell_failed(v, err);
    return is_its_own(st) ? ST_OK : st;
}

static status look_at(struct vacuum *v, struct err *err)
{
    struct root *root = mem_alloc(sizeof *root);
    char etag[OBJSTORE_ETAG_BYTES];
    enum vacuum_known known = VACUUM_NOT_KNOWN;
    status st = root == NULL ? err_set(err, ST_NOMEM, "out of memory")
                             : v->options.known(v->options.arg, v->item.id, &known, err);

    if (st == ST_OK && known == VACUUM_SERVED) {
        v->report.served++;
    } else if (st == ST_OK) {
        st = read_root(v, root, etag, err);
        if (st == ST_OK && root->state == ROOT_DROPPED)
            run_begin(v);
        else if (st == ST_OK && known == VACUUM_DROPPED)
            st = not_marked(v, root, etag, err);
        else if (st == ST_OK || is_its_own(st) || st == ST_UNSUPPORTED)
            st = left_alone(v, err);
    }
    mem_free(root);
    return st;
}

/* --- the walk --- */

/* Behind everything of this collection: '0' comes behind '/'. */
static void go_behind(struct vacuum *v, const uint8_t id[16])
{
    char prefix[OBJKEY_BYTES];

    objkey_prefix_collection(id, prefix);
    (void)snprintf(v->behind, sizeof v->behind, "%.*s0", (int)strlen(prefix) - 1, prefix);
}

/* What is none of ours is passed over name by name. */
static status go_on(struct vacuum *v, const char *name, const struct objkey *key, struct err *err)
{
    if (strcmp(name, v->behind) <= 0 || strlen(name) >= sizeof v->behind)
        return err_set(err, ST_CORRUPT, "a listing goes on behind no name");
    if (key->kind == OBJKEY_OTHER)
        (void)snprintf(v->behind, sizeof v->behind, "%s", name);
    else
        go_behind(v, key->collection);
    return ST_OK;
}

static const struct objstore_entry *smallest(const struct objstore_result *r)
{
    const struct objstore_entry *e = &r->entries[0];

    for (size_t i = 1; i < r->entry_count; i++)
        if (strcmp(r->entries[i].key, e->key) < 0)
            e = &r->entries[i];
    return e;
}

/* A root is the last but for groups: with another collection behind it, it stands alone. */
static bool is_bare(const struct objstore_result *r, const struct objkey *first)
{
    for (size_t i = 0; i < r->entry_count; i++) {
        struct objkey key = objkey_parse(r->entries[i].key);

        if (key.kind != OBJKEY_OTHER && key.kind != OBJKEY_IS_ROOT &&
            memcmp(key.collection, first->collection, sizeof key.collection) == 0)
            return false;
    }
    return first->kind == OBJKEY_IS_ROOT && (r->entry_count > 1 || !r->truncated);
}

static status walk(struct vacuum *v, struct err *err)
{
    struct objstore_req req;
    struct objkey key = {.kind = OBJKEY_OTHER};
    bool bare = false;
    status st = list(v, &req, COLLECTIONS, v->behind, 2, err);

    if (st == ST_OK && req.result.entry_count == 0) {
        v->probes = true;
    } else if (st == ST_OK) {
        key = objkey_parse(smallest(&req.result)->key);
        bare = is_bare(&req.result, &key);
        st = go_on(v, smallest(&req.result)->key, &key, err);
    }
    objstore_result_fini(&req.result);
    if (st != ST_OK || key.kind == OBJKEY_OTHER || bare)
        return st;
    v->item = (struct vacuum_item){.fate = VACUUM_UNKNOWN};
    memcpy(v->item.id, key.collection, sizeof v->item.id);
    return look_at(v, err);
}

/* --- probe/ --- */

static status probe_entry(struct vacuum *v, const struct objstore_entry *e, uint64_t now_ns,
                          struct err *err)
{
    struct objstore_req del = {.op = OBJSTORE_DELETE, .pool = OBJSTORE_BULK, .key = e->key};
    struct ask_tries tries = {0};
    uint64_t age_ms = 0;
    status st;

    if (!collect_age_ms(now_ns, e->modified_ns, &age_ms) || age_ms < PROBE_LEFT_MS)
        return ST_OK;
    v->report.probe_objects++;
    v->report.probe_bytes += e->bytes;
    if (v->options.dry_run)
        return ST_OK;
    st = ask_send(&v->options.ask, &del, &tries, err);
    objstore_result_fini(&del.result);
    if (st == ST_OK)
        v->report.deleted++;
    return st;
}

static status sweep_probes(struct vacuum *v, struct err *err)
{
    char behind[OBJSTORE_KEY_BYTES_MAX + 1] = "";
    struct objstore_req req;
    bool more = true;
    status st = ST_OK;

    while (more && st == ST_OK) {
        st = list(v, &req, OBJKEY_PROBES, behind, 0, err);
        for (size_t i = 0; st == ST_OK && i < req.result.entry_count; i++)
            st = probe_entry(v, &req.result.entries[i], req.result.date_ns, err);
        more = st == ST_OK && page_behind(&req.result, behind);
        objstore_result_fini(&req.result);
    }
    return st;
}

status vacuum_turn(struct vacuum *v, bool *more, struct err *err)
{
    struct err text = {0}; /* reports have it too */

    if (err == NULL)
        err = &text;
    *more = true;
    if (v->running)
        return run_turn(v, err);
    if (!v->probes)
        return walk(v, err);
    *more = false;
    return sweep_probes(v, err);
}
