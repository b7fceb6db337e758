/* Nodes, names and pending name operations; what a cut leaves of them. File contents are in
 * fs_sim_file.c. */
#include "tests/support/fs_sim_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static void node_free(struct sim_tree *tree, struct sim_node *node);

void sim_node_hold(struct sim_node *node)
{
    node->references++;
}

void sim_node_drop(struct sim_tree *tree, struct sim_node *node)
{
    assert(node->references > 0);
    if (--node->references == 0)
        node_free(tree, node);
}

static struct sim_node *node_make(struct sim_tree *tree, bool is_dir)
{
    struct sim_node *node = calloc(1, sizeof *node);

    assert(node != NULL);
    node->is_dir = is_dir;
    node->next = tree->nodes;
    if (node->next != NULL)
        node->next->before = node;
    tree->nodes = node;
    return node;
}

/* ---- names ---- */

/* Where name is, or would be put. */
static size_t names_place(const struct sim_names *names, const char *name, bool *found)
{
    size_t low = 0;
    size_t high = names->count;

    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(names->at[middle].name, name);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct sim_node *sim_names_get(const struct sim_names *names, const char *name)
{
    bool found;
    size_t at = names_place(names, name, &found);

    return found ? names->at[at].node : NULL;
}

static void names_set(struct sim_tree *tree, struct sim_names *names, const char *name,
                      struct sim_node *node)
{
    bool found;
    size_t at = names_place(names, name, &found);

    sim_node_hold(node);
    if (found) {
        sim_node_drop(tree, names->at[at].node);
        names->at[at].node = node;
        return;
    }
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? 8 : names->capacity * 2;
        names->at = realloc(names->at, names->capacity * sizeof *names->at);
        assert(names->at != NULL);
    }
    memmove(names->at + at + 1, names->at + at, (names->count - at) * sizeof *names->at);
    names->at[at].name = strdup(name);
    assert(names->at[at].name != NULL);
    names->at[at].node = node;
    names->count++;
}

static void names_remove(struct sim_tree *tree, struct sim_names *names, const char *name)
{
    bool found;
    size_t at = names_place(names, name, &found);
    struct sim_node *node;

    if (!found)
        return;
    node = names->at[at].node;
    free(names->at[at].name);
    names->count--;
    memmove(names->at + at, names->at + at + 1, (names->count - at) * sizeof *names->at);
    sim_node_drop(tree, node);
}

static void names_clear(struct sim_tree *tree, struct sim_names *names)
{
    while (names->count > 0)
        names_remove(tree, names, names->at[names->count - 1].name);
    free(names->at);
    *names = (struct sim_names){0};
}

static void node_free(struct sim_tree *tree, struct sim_node *node)
{
    names_clear(tree, &node->names_now);
    names_clear(tree, &node->names_disk);
    if (node->before != NULL)
        node->before->next = node->next;
    else
        tree->nodes = node->next;
    if (node->next != NULL)
        node->next->before = node->before;
    free(node->now.data);
    free(node->disk.data);
    free(node->dirty);
    free(node);
}

/* The names programs see; `links` counts them. */
static void name_now_set(struct sim_tree *tree, struct sim_node *dir, const char *name,
                         struct sim_node *node)
{
    struct sim_node *old = sim_names_get(&dir->names_now, name);

    if (old != NULL)
        old->links--;
    node->links++;
    names_set(tree, &dir->names_now, name, node);
}

static void name_now_remove(struct sim_tree *tree, struct sim_node *dir, const char *name)
{
    struct sim_node *old = sim_names_get(&dir->names_now, name);

    if (old == NULL)
        return;
    old->links--;
    names_remove(tree, &dir->names_now, name);
}

/* ---- pending operations ---- */

static struct sim_pending *pend(struct sim_tree *tree, struct sim_node *dir, const char *remove,
                                const char *add, struct sim_node *node)
{
    struct sim_pending *op = calloc(1, sizeof *op);

    assert(op != NULL);
    op->number = tree->next_number++;
    op->dir = dir;
    sim_node_hold(dir);
    op->remove = remove == NULL ? NULL : strdup(remove);
    op->add = add == NULL ? NULL : strdup(add);
    op->node = node;
    if (node != NULL)
        sim_node_hold(node);
    op->before = tree->last;
    if (tree->last != NULL)
        tree->last->next = op;
    else
        tree->first = op;
    tree->last = op;
    return op;
}

static void pending_free(struct sim_tree *tree, struct sim_pending *op)
{
    if (op->before != NULL)
        op->before->next = op->next;
    else
        tree->first = op->next;
    if (op->next != NULL)
        op->next->before = op->before;
    else
        tree->last = op->before;
    if (op->twin != NULL)
        op->twin->twin = NULL;
    if (op->node != NULL)
        sim_node_drop(tree, op->node);
    sim_node_drop(tree, op->dir);
    free(op->remove);
    free(op->add);
    free(op);
}

static void make_durable(struct sim_tree *tree, struct sim_pending *op)
{
    if (op->remove != NULL)
        names_remove(tree, &op->dir->names_disk, op->remove);
    if (op->add != NULL)
        names_set(tree, &op->dir->names_disk, op->add, op->node);
    pending_free(tree, op);
}

/* All of dir's operations up to `number`, in order. One that takes a file away to another folder
 * brings that folder's along; those are older, so this ends. */
static void sync_names(struct sim_tree *tree, struct sim_node *dir, uint64_t number)
{
    struct sim_pending *op = tree->first;

    while (op != NULL && op->number <= number) {
        if (op->dir != dir) {
            op = op->next;
            continue;
        }
        if (op->add == NULL && op->twin != NULL)
            sync_names(tree, op->twin->dir, op->twin->number);
        make_durable(tree, op);
        op = tree->first;
    }
}

void sim_sync_dir(struct sim_tree *tree, struct sim_node *dir)
{
    sync_names(tree, dir, UINT64_MAX);
}

/* ---- paths ---- */

/* The next part of *path into name; ENOENT at the end. */
static int next_part(const char **path, char name[SIM_NAME_BYTES])
{
    for (;;) {
        size_t bytes;

        while (**path == '/')
            (*path)++;
        bytes = strcspn(*path, "/");
        if (bytes == 0)
            return ENOENT;
        if (bytes >= SIM_NAME_BYTES)
            return ENAMETOOLONG;
        memcpy(name, *path, bytes);
        name[bytes] = '\0';
        *path += bytes;
        if (strcmp(name, ".") != 0)
            return 0;
    }
}

int sim_find_parent(struct sim_tree *tree, const char *path, struct sim_node **dir,
                    char name[SIM_NAME_BYTES])
{
    struct sim_node *at = tree->root;
    char part[SIM_NAME_BYTES];
    int failed = next_part(&path, name);

    if (failed == ENOENT) { /* the root has no name */
        name[0] = '\0';
        *dir = at;
        return 0;
    }
    while (failed == 0) {
        failed = next_part(&path, part);
        if (failed != 0)
            break;
        at = sim_names_get(&at->names_now, name);
        if (at == NULL)
            return ENOENT;
        if (!at->is_dir)
            return ENOTDIR;
        memcpy(name, part, sizeof part);
    }
    if (failed != ENOENT)
        return failed;
    *dir = at;
    return 0;
}

int sim_find(struct sim_tree *tree, const char *path, struct sim_node **out)
{
    struct sim_node *dir;
    struct sim_node *node;
    char name[SIM_NAME_BYTES];
    int failed = sim_find_parent(tree, path, &dir, name);

    if (failed != 0)
        return failed;
    node = name[0] == '\0' ? dir : sim_names_get(&dir->names_now, name);
    if (node == NULL)
        return ENOENT;
    *out = node;
    return 0;
}

/* ---- changes of names ---- */

int sim_make(struct sim_tree *tree, struct sim_node *dir, const char *name, bool is_dir,
             struct sim_node **out)
{
    struct sim_node *node;

    if (sim_names_get(&dir->names_now, name) != NULL)
        return EEXIST;
    node = node_make(tree, is_dir);
    name_now_set(tree, dir, name, node);
    (void)pend(tree, dir, NULL, name, node);
    *out = node;
    return 0;
}

void sim_remove(struct sim_tree *tree, struct sim_node *dir, const char *name)
{
    name_now_remove(tree, dir, name);
    (void)pend(tree, dir, name, NULL, NULL);
}

static bool holds(const struct sim_node *dir, const struct sim_node *wanted)
{
    if (dir == wanted)
        return true;
    for (size_t i = 0; i < dir->names_now.count; i++)
        if (dir->names_now.at[i].node->is_dir && holds(dir->names_now.at[i].node, wanted))
            return true;
    return false;
}

static int rename_allowed(const struct sim_node *node, const struct sim_node *target,
                          const struct sim_node *to_dir)
{
    if (node == NULL)
        return ENOENT;
    if (node->is_dir && holds(node, to_dir))
        return EINVAL;
    if (target == NULL)
        return 0;
    if (target->is_dir != node->is_dir)
        return target->is_dir ? EISDIR : ENOTDIR;
    return target->is_dir && target->names_now.count > 0 ? ENOTEMPTY : 0;
}

int sim_rename(struct sim_tree *tree, const char *from, const char *to)
{
    char from_name[SIM_NAME_BYTES];
    char to_name[SIM_NAME_BYTES];
    struct sim_node *from_dir;
    struct sim_node *to_dir;
    struct sim_node *node;
    struct sim_node *target;
    int failed = sim_find_parent(tree, from, &from_dir, from_name);

    if (failed == 0)
        failed = sim_find_parent(tree, to, &to_dir, to_name);
    if (failed != 0)
        return failed;
    node = sim_names_get(&from_dir->names_now, from_name);
    target = sim_names_get(&to_dir->names_now, to_name);
    failed = rename_allowed(node, target, to_dir);
    if (failed != 0 || node == target)
        return failed;
    name_now_set(tree, to_dir, to_name, node);
    name_now_remove(tree, from_dir, from_name);
    if (from_dir == to_dir) {
        (void)pend(tree, from_dir, from_name, to_name, node);
    } else {
        struct sim_pending *adds = pend(tree, to_dir, NULL, to_name, node);
        struct sim_pending *removes = pend(tree, from_dir, from_name, NULL, NULL);

        adds->twin = removes;
        removes->twin = adds;
    }
    return 0;
}

/* ---- the cut ---- */

static uint64_t draw(struct rand_source *rng, uint64_t bound)
{
    return rng == NULL ? 0 : rand_below(rng, bound);
}

static void choose_prefixes(struct sim_tree *tree, struct rand_source *rng)
{
    for (struct sim_node *node = tree->nodes; node != NULL; node = node->next)
        node->keep = 0;
    for (struct sim_pending *op = tree->first; op != NULL; op = op->next)
        op->dir->keep++;
    for (struct sim_node *node = tree->nodes; node != NULL; node = node->next) {
        uint64_t mode = draw(rng, 4); /* now and then all or nothing */

        if (mode == 0)
            node->keep = 0;
        else if (mode != 1)
            node->keep = draw(rng, node->keep + 1);
    }
}

static void cut_names(struct sim_tree *tree, struct rand_source *rng)
{
    choose_prefixes(tree, rng);
    while (tree->first != NULL) {
        struct sim_pending *op = tree->first;

        if (op->dir->keep > 0 && !op->lost) {
            op->dir->keep--;
            make_durable(tree, op);
            continue;
        }
        op->dir->keep = 0; /* a prefix: nothing behind the first that is lost */
        if (op->twin != NULL)
            op->twin->lost = true;
        pending_free(tree, op);
    }
}

static void show_durable_names(struct sim_tree *tree, struct sim_node *dir)
{
    while (dir->names_now.count > 0)
        name_now_remove(tree, dir, dir->names_now.at[dir->names_now.count - 1].name);
    for (size_t i = 0; i < dir->names_disk.count; i++)
        name_now_set(tree, dir, dir->names_disk.at[i].name, dir->names_disk.at[i].node);
}

static void cut_file(struct sim_node *file, struct rand_source *rng)
{
    uint64_t mode = draw(rng, 4);
    bool keep_size = mode == 1 || (mode > 1 && draw(rng, 2) == 1);

    sim_cut_file(file, rng,
                 mode == 0   ? SIM_KEEP_NONE
                 : mode == 1 ? SIM_KEEP_ALL
                             : SIM_KEEP_SOME,
                 keep_size);
}

void sim_cut(struct sim_tree *tree, struct rand_source *rng)
{
    cut_names(tree, rng);
    /* Every node is held while the visible names change, so that none goes under the walk. */
    for (struct sim_node *node = tree->nodes; node != NULL; node = node->next)
        sim_node_hold(node);
    for (struct sim_node *node = tree->nodes; node != NULL; node = node->next) {
        if (node->is_dir)
            show_durable_names(tree, node);
        else
            cut_file(node, rng);
    }
    /* The next one is still held when this one goes. */
    for (struct sim_node *node = tree->nodes; node != NULL;) {
        struct sim_node *next = node->next;

        sim_node_drop(tree, node);
        node = next;
    }
}

void sim_forget_handles(struct sim_tree *tree)
{
    for (struct sim_node *node = tree->nodes; node != NULL; node = node->next) {
        node->handles = 0;
        node->locked_by = NULL;
    }
}

void sim_tree_init(struct sim_tree *tree)
{
    *tree = (struct sim_tree){0};
    tree->root = node_make(tree, true);
    sim_node_hold(tree->root);
    tree->root->links = 1;
}

void sim_tree_fini(struct sim_tree *tree)
{
    while (tree->first != NULL)
        pending_free(tree, tree->first);
    sim_node_drop(tree, tree->root);
    while (tree->nodes != NULL) /* files whose handle was never closed: a test that failed */
        node_free(tree, tree->nodes);
}
