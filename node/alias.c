/* Aliases: another name of a collection. They change on the meta thread, with the bucket's catalog
 * first where the collection is bucket-backed; readers see a copy. */
#include "node/node_internal.h"

#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>

/* The default database, which has no entry. */
static const uint8_t DATABASE[16];

/* Names that are taken here stay here's. */
static status add_aliases(struct catalog *to, const struct catalog *from, const uint8_t id[16],
                          struct err *err)
{
    status st = ST_OK;

    for (size_t i = 0; i < from->alias_count && st == ST_OK; i++) {
        const struct catalog_alias *a = &from->aliases[i];

        if (memcmp(a->collection_id, id, sizeof a->collection_id) == 0 &&
            catalog_find_name(to, a->database_id, a->name) == NULL)
            st = catalog_set_alias(to, a->database_id, a->name, id, err);
    }
    return st;
}

/* Of those that are being loaded the local catalog does not know yet. */
static bool is_coming(const struct node *node, const struct catalog_collection *c)
{
    return c != NULL && catalog_find_id(&node->catalog, c->id) == NULL &&
           !bucket_dropped(&node->catalog, c->id);
}

static status copy_shown(struct node *node, struct catalog *out, struct err *err)
{
    status st;

    catalog_init(out);
    st = catalog_copy(&node->catalog, out, err);
    for (size_t i = 0; i < node->coming.collection_count && st == ST_OK; i++) {
        const struct catalog_collection *c = &node->coming.collections[i];

        if (!is_coming(node, c))
            continue;
        st = catalog_add_collection(out, c, err);
        if (st == ST_OK)
            st = add_aliases(out, &node->coming, c->id, err);
        else if (st != ST_NOMEM) /* its name is another's here: health says so */
            st = ST_OK;
    }
    if (st != ST_OK)
        catalog_free(out);
    return st;
}

void alias_show(struct node *node)
{
    struct catalog copy;
    struct err err = {0};

    if (copy_shown(node, &copy, &err) != ST_OK) {
        log_error("out of memory: aliases are shown as they were", "err=%s", err.text);
        return;
    }
    for (size_t i = 0; i < copy.collection_count; i++) /* collections show theirs */
        catalog_settings_free(&copy.collections[i]);
    lock_take(&node->bucket.lock);
    {
        struct catalog old = node->bucket.aliases;

        node->bucket.aliases = copy;
        copy = old;
    }
    lock_drop(&node->bucket.lock);
    catalog_free(&copy);
}

static bool is_in_table(struct node *node, const uint8_t id[16])
{
    struct collection *c = node_collection_pin_id(node, id);

    node_collection_unpin(c);
    return c != NULL;
}

void alias_expect(struct node *node, const struct catalog *bucket)
{
    struct catalog fresh;
    struct err err = {0};
    status st;

    catalog_init(&fresh);
    st = catalog_copy(bucket, &fresh, &err);
    for (size_t i = st == ST_OK ? fresh.collection_count : 0; i-- > 0 && st == ST_OK;) {
        struct catalog_collection *c = &fresh.collections[i];
        uint8_t id[16];

        memcpy(id, c->id, sizeof id);
        catalog_settings_free(c);
        if (!is_coming(node, c) || !is_in_table(node, id))
            st = catalog_remove_collection(&fresh, id, 0, &err);
    }
    if (st == ST_OK) {
        catalog_free(&node->coming);
        node->coming = fresh;
    } else {
        catalog_free(&fresh);
        log_error("out of memory: aliases appear behind their collections", "err=%s", err.text);
    }
    alias_show(node);
}

void alias_expect_no_more(struct node *node, const uint8_t id[16])
{
    if (catalog_remove_collection(&node->coming, id, 0, NULL) == ST_OK)
        alias_show(node);
}

status alias_adopt(struct node *node, const uint8_t id[16], struct catalog *next, struct err *err)
{
    return add_aliases(next, &node->coming, id, err);
}

struct collection *alias_pin(struct node *node, const char *name, size_t bytes)
{
    uint8_t id[16];
    bool found = false;

    lock_take(&node->bucket.lock);
    for (size_t i = 0; i < node->bucket.aliases.alias_count && !found; i++) {
        const struct catalog_alias *a = &node->bucket.aliases.aliases[i];

        found = strlen(a->name) == bytes && memcmp(a->name, name, bytes) == 0;
        if (found)
            memcpy(id, a->collection_id, sizeof id);
    }
    lock_drop(&node->bucket.lock);
    return found ? node_collection_pin_id(node, id) : NULL;
}

static int by_alias(const void *a, const void *b)
{
    return strcmp(((const struct node_alias *)a)->alias, ((const struct node_alias *)b)->alias);
}

size_t node_alias_list(struct node *node, const char *after, struct node_alias *out, size_t max)
{
    struct node_alias *all;
    size_t count = 0;
    size_t written = 0;

    lock_take(&node->bucket.lock);
    all = mem_alloc_array(node->bucket.aliases.alias_count, sizeof *all);
    for (size_t i = 0; all != NULL && i < node->bucket.aliases.alias_count; i++) {
        const struct catalog_alias *a = &node->bucket.aliases.aliases[i];
        const struct catalog_collection *c =
            catalog_find_id(&node->bucket.aliases, a->collection_id);

        (void)snprintf(all[count].alias, sizeof all[count].alias, "%s", a->name);
        uuid_format(a->collection_id, all[count].collection_id);
        (void)snprintf(all[count].collection, sizeof all[count].collection, "%s",
                       c == NULL ? "" : c->name);
        count++;
    }
    lock_drop(&node->bucket.lock);
    if (all == NULL)
        return 0;
    qsort(all, count, sizeof *all, by_alias);
    for (size_t i = 0; i < count && written < max; i++) {
        if (after == NULL || strcmp(all[i].alias, after) > 0)
            out[written++] = all[i];
    }
    mem_free(all);
    return written;
}

/* --- changing --- */

enum alias_kind {
    ALIAS_SET,    /* to the collection with this id */
    ALIAS_POINT,  /* to the collection of this name, or id */
    ALIAS_REMOVE, /* ST_NOT_FOUND without it */
    ALIAS_FORGET, /* fine without it */
    ALIAS_RENAME, /* to this name */
};
struct alias_action {
    enum alias_kind kind;
    char alias[CATALOG_NAME_BYTES_MAX + 1];
    char name[CATALOG_NAME_BYTES_MAX + 1];
    uint8_t id[16];
};

/* What actions come to: one alias stands for a collection, or goes. */
struct alias_step {
    const char *alias; /* in an action */
    bool goes;
    uint8_t id[16];
};

struct alias_job {
    struct meta_job job;
    struct node *node;
    struct collection *c; /* pinned, of ALIAS_SET; NULL else */
    struct alias_action *actions;
    struct alias_step *steps; /* two an action at most */
    size_t action_count, step_count;
    node_admin_fn *done;
    void *arg;
};

static void job_free(struct alias_job *job)
{
    if (job == NULL)
        return;
    mem_free(job->actions);
    mem_free(job->steps);
    mem_free(job);
}

static status step_set(struct alias_job *job, struct catalog *next, const char *alias,
                       const uint8_t id[16], struct err *err)
{
    struct alias_step *step = &job->steps[job->step_count++];
    status st = catalog_set_alias(next, DATABASE, alias, id, err);

    *step = (struct alias_step){.alias = alias};
    memcpy(step->id, id, sizeof step->id);
    if (st == ST_EXISTS)
        return err_set(err, ST_EXISTS, "Collection `%s` already exists!", alias);
    return st;
}

static status step_remove(struct alias_job *job, struct catalog *next, const char *alias,
                          struct err *err)
{
    job->steps[job->step_count++] = (struct alias_step){.alias = alias, .goes = true};
    return catalog_remove_alias(next, DATABASE, alias, err);
}

static bool is_alias(const struct catalog *catalog, const char *name)
{
    const struct catalog_collection *c = catalog_find_name(catalog, DATABASE, name);

    return c != NULL && strcmp(c->name, name) != 0;
}

/* An alias is no collection here: who points one at another would be surprised when that moves. */
static const struct catalog_collection *find_target(const struct catalog *catalog, const char *name)
{
    const struct catalog_collection *c = catalog_find_name(catalog, DATABASE, name);
    uint8_t id[16];

    if (c != NULL && strcmp(c->name, name) == 0)
        return c;
    return uuid_parse(name, strlen(name), id) ? catalog_find_id(catalog, id) : NULL;
}

static status rename_alias(struct alias_job *job, struct catalog *next,
                           const struct alias_action *a, struct err *err)
{
    uint8_t id[16];
    status st;

    if (!is_alias(next, a->alias))
        return err_set(err, ST_NOT_FOUND, "Alias %s does not exists!", a->alias);
    memcpy(id, catalog_find_name(next, DATABASE, a->alias)->id, sizeof id);
    st = step_remove(job, next, a->alias, err);
    return st == ST_OK ? step_set(job, next, a->name, id, err) : st;
}

/* What the bucket knows of it and this node not yet would make the change something else there. */
static status check_coming(const struct alias_job *job, const char *name, struct err *err)
{
    if (!is_coming(job->node, catalog_find_name(&job->node->coming, DATABASE, name)))
        return ST_OK;
    return err_set(err, ST_UNAVAILABLE,
                   "%s is of a collection that comes from the bucket and is not whole on the local "
                   "disk yet: wait until its phase is no longer arriving (tiervec tier NAME)",
                   name);
}

static status check_action(const struct alias_job *job, const struct alias_action *a,
                           struct err *err)
{
    status st = check_coming(job, a->alias, err);

    if (st == ST_OK && a->name[0] != '\0')
        st = check_coming(job, a->name, err);
    if (st == ST_OK && a->kind == ALIAS_SET && catalog_find_id(&job->node->catalog, a->id) == NULL)
        st = err_set(err, ST_UNAVAILABLE,
                     "the collection comes from the bucket and is not whole on the local disk yet: "
                     "wait until its phase is no longer arriving (tiervec tier NAME)");
    return st;
}

static status act(struct alias_job *job, struct catalog *next, const struct alias_action *a,
                  struct err *err)
{
    const struct catalog_collection *target;

    switch (a->kind) {
    case ALIAS_SET:
        return step_set(job, next, a->alias, a->id, err);
    case ALIAS_POINT:
        target = find_target(next, a->name);
        if (target == NULL)
            return err_set(err, ST_NOT_FOUND, "Collection `%s` doesn't exist!", a->name);
        return step_set(job, next, a->alias, target->id, err);
    case ALIAS_REMOVE:
        return step_remove(job, next, a->alias, err);
    case ALIAS_FORGET:
        return is_alias(next, a->alias) ? step_remove(job, next, a->alias, err) : ST_OK;
    case ALIAS_RENAME:
        return rename_alias(job, next, a, err);
    }
    return ST_OK;
}

/* Whether the bucket's catalog has to know. */
static bool is_backed(const struct alias_job *job)
{
    const struct catalog *catalog = &job->node->catalog;

    if (job->node->tier == NULL)
        return false;
    if (job->c != NULL && policy_has_bucket(atomic_load(&job->c->policy)))
        return true;
    for (size_t i = 0; i < job->step_count; i++) {
        const struct alias_step *step = &job->steps[i];
        const struct catalog_collection *was = catalog_find_name(catalog, DATABASE, step->alias);
        const struct catalog_collection *is =
            step->goes ? NULL : catalog_find_id(catalog, step->id);

        if ((was != NULL && policy_has_bucket(was->policy)) ||
            (is != NULL && policy_has_bucket(is->policy)))
            return true;
    }
    return false;
}

/* In the bucket an alias may move away from a collection, or to one, that only this node knows. */
static status change_there(void *arg, struct catalog *catalog, struct err *err)
{
    const struct alias_job *job = arg;
    status st = ST_OK;

    for (size_t i = 0; i < job->step_count && st == ST_OK; i++) {
        const struct alias_step *step = &job->steps[i];

        if (!step->goes && catalog_find_id(catalog, step->id) != NULL) {
            st = catalog_set_alias(catalog, DATABASE, step->alias, step->id, err);
            continue;
        }
        st = catalog_remove_alias(catalog, DATABASE, step->alias, err);
        if (st == ST_NOT_FOUND)
            st = ST_OK;
    }
    return st;
}

static void run_alias(struct meta_job *base)
{
    struct alias_job *job = (struct alias_job *)(void *)base;
    struct node *node = job->node;
    struct collection_info info;
    struct catalog next;
    struct err err = {0};
    bool backed;
    status st = node_check_writable(node, &err);

    catalog_init(&next);
    if (st == ST_OK && job->c != NULL)
        st = collection_pin_now(&job->c, &err);
    if (st == ST_OK)
        st = catalog_copy(&node->catalog, &next, &err);
    for (size_t i = 0; i < job->action_count && st == ST_OK; i++) {
        st = check_action(job, &job->actions[i], &err);
        if (st == ST_OK)
            st = act(job, &next, &job->actions[i], &err);
    }
    backed = st == ST_OK && is_backed(job);
    if (backed)
        st = catalog_fits(&next, &err);
    if (st == ST_OK && backed)
        st = bucket_catalog_change(node, change_there, job, &err);
    if (st == ST_OK && job->step_count > 0) {
        st = catalog_store_write(node, &next, &err);
        if (st != ST_OK && backed)
            st = catalog_store_missed(node, &err);
    }
    catalog_free(&next);
    memset(&info, 0, sizeof info);
    if (st == ST_OK && job->c != NULL)
        node_collection_info(job->c, &info);
    node_collection_unpin(job->c);
    job->done(job->arg, st, st == ST_OK ? &info : NULL, &err);
    job_free(job);
}

static struct alias_job *job_new(struct node *node, size_t count, node_admin_fn *done, void *arg)
{
    struct alias_job *job = mem_zero(sizeof *job);

    if (job == NULL)
        return NULL;
    job->job.run = run_alias;
    job->node = node;
    job->done = done;
    job->arg = arg;
    job->actions = mem_zero_array(count + 1, sizeof *job->actions);
    job->steps = mem_zero_array(2 * count + 1, sizeof *job->steps);
    if (job->actions != NULL && job->steps != NULL)
        return job;
    job_free(job);
    return NULL;
}

static status take_name(const char *name, char out[CATALOG_NAME_BYTES_MAX + 1], struct err *err)
{
    status st = catalog_name_check(name, strlen(name), err);

    if (st == ST_OK)
        (void)snprintf(out, CATALOG_NAME_BYTES_MAX + 1, "%s", name);
    return st;
}

/* What is longer than a name is no collection's; what remains of it is told back. */
static status add_action(struct alias_job *job, const struct node_alias_action *from,
                         struct err *err)
{
    struct alias_action *a = &job->actions[job->action_count++];
    status st = take_name(from->alias, a->alias, err);

    a->kind = from->collection != NULL ? ALIAS_POINT
              : from->renamed != NULL  ? ALIAS_RENAME
                                       : ALIAS_FORGET;
    if (st == ST_OK && a->kind == ALIAS_RENAME)
        st = take_name(from->renamed, a->name, err);
    if (a->kind == ALIAS_POINT)
        (void)snprintf(a->name, sizeof a->name, "%s", from->collection);
    return st;
}

/* Takes the job; st is what preparing it came to. */
static void submit(struct alias_job *job, status st, struct err *err, node_admin_fn *done,
                   void *arg)
{
    if (job == NULL)
        st = err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK && job->c != NULL)
        collection_pin(job->c);
    if (st == ST_OK && !jobs_push(&job->node->meta, &job->job)) {
        node_collection_unpin(job->c);
        st = err_set(err, ST_UNAVAILABLE, "the node is stopping");
    }
    if (st == ST_OK)
        return;
    job_free(job);
    done(arg, st, NULL, err);
}

static void change_one(struct node *node, const char *alias, struct collection *c,
                       node_admin_fn *done, void *arg)
{
    struct alias_job *job = job_new(node, 1, done, arg);
    struct err err = {0};
    status st = ST_OK;

    if (job != NULL) {
        job->action_count = 1;
        job->actions[0].kind = c != NULL ? ALIAS_SET : ALIAS_REMOVE;
        job->c = c;
        if (c != NULL)
            memcpy(job->actions[0].id, c->id, sizeof job->actions[0].id);
        st = take_name(alias, job->actions[0].alias, &err);
    }
    submit(job, st, &err, done, arg);
}

void node_alias_set(struct node *node, const char *alias, struct collection *c, node_admin_fn *done,
                    void *arg)
{
    change_one(node, alias, c, done, arg);
}

void node_alias_remove(struct node *node, const char *alias, node_admin_fn *done, void *arg)
{
    change_one(node, alias, NULL, done, arg);
}

void node_alias_change(struct node *node, const struct node_alias_action *actions, size_t count,
                       node_admin_fn *done, void *arg)
{
    struct alias_job *job =
        count <= NODE_ALIAS_ACTIONS_MAX ? job_new(node, count, done, arg) : NULL;
    struct err err = {0};
    status st = ST_OK;

    if (count > NODE_ALIAS_ACTIONS_MAX) {
        st = err_set(&err, ST_INVALID, "at most %d aliases are changed at once",
                     NODE_ALIAS_ACTIONS_MAX);
        done(arg, st, NULL, &err);
        return;
    }
    for (size_t i = 0; job != NULL && i < count && st == ST_OK; i++)
        st = add_action(job, &actions[i], &err);
    submit(job, st, &err, done, arg);
}
