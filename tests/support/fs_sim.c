/* The table of calls: each is counted, meets the stop and the faults, and then the tree. */
#include "tests/support/fs_sim.h"
#include "tests/support/fs_sim_internal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { FAULTS_MAX = 64 };
#define SPACE_BYTES_TOTAL ((uint64_t)1 << 40) /* what is said to be there without a limit */

struct sim_handle {
    struct sim_node *node;
    uint64_t generation; /* cuts and crashes before it was opened */
    char path[FS_PATH_BYTES];
};

struct planned_fault {
    struct fs_sim_fault fault;
    char *path_part;
    uint64_t seen; /* matching calls since it was planned */
};

struct fs_sim {
    struct fs table; /* first: the table's calls find the simulation here */
    pthread_mutex_t mutex;
    struct sim_tree tree;
    uint64_t generation;
    uint64_t calls[FS_SIM_EFFECT + 1];
    struct planned_fault faults[FAULTS_MAX];
    size_t fault_count;
    uint64_t effects_left;
    bool stop_planned, stopped;
    bool sync_lies;
};

/* One call through the table, from its counting to its answer; the mutex is held in between. */
struct call {
    struct fs_sim *sim;
    const char *verb;
    const char *path;
    int fails; /* errno a fault chose, 0: none */
    bool runs; /* the call does its work */
    size_t write_bytes;
};

static struct fs_sim *sim_of(struct fs *fs)
{
    return (struct fs_sim *)(void *)fs;
}

static struct sim_handle *handle_of(struct fs_file *file)
{
    return (struct sim_handle *)(void *)file;
}

static bool fault_matches(const struct planned_fault *planned, enum fs_sim_op op, bool effect,
                          const char *path)
{
    enum fs_sim_op wanted = planned->fault.op;

    if (wanted != op && wanted != FS_SIM_ANY && !(wanted == FS_SIM_EFFECT && effect))
        return false;
    return planned->path_part == NULL || strstr(path, planned->path_part) != NULL;
}

/* Every fault counts the call; the first that is due decides. */
static void meet_faults(struct call *call, enum fs_sim_op op, bool effect)
{
    for (size_t i = 0; i < call->sim->fault_count; i++) {
        struct planned_fault *planned = &call->sim->faults[i];
        bool due;

        if (!fault_matches(planned, op, effect, call->path))
            continue;
        planned->seen++;
        due = planned->seen == planned->fault.nth ||
              (planned->fault.for_ever && planned->seen > planned->fault.nth);
        if (!due || call->fails != 0)
            continue;
        call->fails = planned->fault.errnum;
        call->runs = planned->fault.after_effect;
        call->write_bytes = planned->fault.write_bytes;
    }
}

static void meet_stop(struct call *call, bool effect)
{
    struct fs_sim *sim = call->sim;

    if (sim->stop_planned && effect) {
        if (sim->effects_left == 0)
            sim->stopped = true;
        else
            sim->effects_left--;
    }
    if (sim->stopped) {
        call->fails = EIO;
        call->runs = false;
    }
}

static struct call call_begin(struct fs *fs, enum fs_sim_op op, bool effect, const char *verb,
                              const char *path)
{
    struct call call = {.sim = sim_of(fs), .verb = verb, .path = path, .runs = true};

    (void)pthread_mutex_lock(&call.sim->mutex);
    call.sim->calls[op]++;
    call.sim->calls[FS_SIM_ANY]++;
    if (effect)
        call.sim->calls[FS_SIM_EFFECT]++;
    meet_stop(&call, effect);
    if (call.fails == 0)
        meet_faults(&call, op, effect);
    return call;
}

/* As above for a call on a handle, which must not be older than the last cut. */
static struct call call_begin_on(struct fs *fs, const struct sim_handle *handle, enum fs_sim_op op,
                                 bool effect, const char *verb)
{
    struct call call = call_begin(fs, op, effect, verb, handle->path);

    if (handle->generation != call.sim->generation) {
        call.fails = EIO;
        call.runs = false;
        call.write_bytes = 0;
    }
    return call;
}

static status call_end(struct call *call, int failed, struct err *err)
{
    (void)pthread_mutex_unlock(&call->sim->mutex);
    if (failed == 0)
        failed = call->fails;
    return failed == 0 ? ST_OK : err_set_errno(err, failed, "%s %s", call->verb, call->path);
}

/* ---- files ---- */

static int find_or_make(struct fs_sim *sim, const char *path, unsigned flags, struct sim_node **out)
{
    char name[SIM_NAME_BYTES];
    struct sim_node *dir;
    int failed = sim_find(&sim->tree, path, out);

    if (failed == 0 && (flags & FS_EXCLUSIVE) != 0)
        return EEXIST;
    if (failed == 0 && (*out)->is_dir)
        return EISDIR;
    if (failed != ENOENT || (flags & FS_CREATE) == 0)
        return failed;
    failed = sim_find_parent(&sim->tree, path, &dir, name);
    return failed != 0 ? failed : sim_make(&sim->tree, dir, name, false, out);
}

static int open_node(struct fs_sim *sim, const char *path, unsigned flags, struct sim_node **out)
{
    int failed;

    if (strlen(path) >= FS_PATH_BYTES)
        return ENAMETOOLONG;
    failed = find_or_make(sim, path, flags, out);
    if (failed == 0 && (flags & FS_TRUNCATE) != 0)
        failed = sim_resize(&sim->tree, *out, 0);
    return failed;
}

static struct sim_handle *make_handle(struct fs_sim *sim, struct sim_node *node, const char *path)
{
    struct sim_handle *handle = malloc(sizeof *handle);

    assert(handle != NULL);
    handle->node = node;
    handle->generation = sim->generation;
    memcpy(handle->path, path, strlen(path) + 1);
    sim_node_hold(node);
    node->handles++;
    return handle;
}

static status sim_call_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **out,
                            struct err *err)
{
    bool effect = (flags & (FS_CREATE | FS_TRUNCATE)) != 0;
    struct call call = call_begin(fs, FS_SIM_OPEN, effect, "open", path);
    struct sim_node *node = NULL;
    int failed = call.runs ? open_node(call.sim, path, flags, &node) : 0;

    if (failed == 0 && call.fails == 0)
        *out = (struct fs_file *)(void *)make_handle(call.sim, node, path);
    return call_end(&call, failed, err);
}

static void sim_call_close(struct fs *fs, struct fs_file *file)
{
    struct fs_sim *sim = sim_of(fs);
    struct sim_handle *handle = handle_of(file);

    (void)pthread_mutex_lock(&sim->mutex);
    if (handle->generation == sim->generation) {
        handle->node->handles--;
        if (handle->node->locked_by == handle)
            handle->node->locked_by = NULL;
    }
    sim_node_drop(&sim->tree, handle->node);
    (void)pthread_mutex_unlock(&sim->mutex);
    free(handle);
}

static status sim_call_pread(struct fs *fs, struct fs_file *file, void *out, size_t bytes,
                             uint64_t offset, size_t *done, struct err *err)
{
    struct sim_handle *handle = handle_of(file);
    struct call call = call_begin_on(fs, handle, FS_SIM_READ, false, "read");

    if (call.fails == 0) {
        const struct sim_image *now = &handle->node->now;
        uint64_t left = offset < now->bytes ? now->bytes - offset : 0;
        size_t n = bytes < left ? bytes : (size_t)left;

        if (n > 0)
            memcpy(out, now->data + offset, n);
        *done = n;
    }
    return call_end(&call, 0, err);
}

static status sim_call_pwrite(struct fs *fs, struct fs_file *file, const void *data, size_t bytes,
                              uint64_t offset, struct err *err)
{
    struct sim_handle *handle = handle_of(file);
    struct call call = call_begin_on(fs, handle, FS_SIM_WRITE, true, "write");
    int failed = 0;

    if (!call.runs && call.write_bytes < bytes)
        bytes = call.write_bytes;
    if (call.runs || bytes > 0)
        failed = sim_write(&call.sim->tree, handle->node, data, bytes, offset);
    return call_end(&call, failed, err);
}

static status sim_call_sync(struct fs *fs, struct fs_file *file, struct err *err)
{
    struct sim_handle *handle = handle_of(file);
    struct call call = call_begin_on(fs, handle, FS_SIM_SYNC, true, "sync");
    bool alive = handle->generation == call.sim->generation && !call.sim->stopped;

    if (call.runs && !call.sim->sync_lies)
        sim_sync(handle->node);
    else if (!call.runs && alive)
        sim_sync_failed(handle->node);
    return call_end(&call, 0, err);
}

static status resize_call(struct call *call, struct sim_handle *handle, uint64_t bytes,
                          struct err *err)
{
    int failed = call->runs ? sim_resize(&call->sim->tree, handle->node, bytes) : 0;

    return call_end(call, failed, err);
}

static status sim_call_truncate(struct fs *fs, struct fs_file *file, uint64_t bytes,
                                struct err *err)
{
    struct call call = call_begin_on(fs, handle_of(file), FS_SIM_TRUNCATE, true, "truncate");

    return resize_call(&call, handle_of(file), bytes, err);
}

static status sim_call_allocate(struct fs *fs, struct fs_file *file, uint64_t bytes,
                                struct err *err)
{
    struct sim_handle *handle = handle_of(file);
    struct call call = call_begin_on(fs, handle, FS_SIM_ALLOCATE, true, "allocate");

    if (bytes < handle->node->now.bytes)
        bytes = handle->node->now.bytes;
    return resize_call(&call, handle, bytes, err);
}

static status sim_call_size(struct fs *fs, struct fs_file *file, uint64_t *bytes, struct err *err)
{
    struct sim_handle *handle = handle_of(file);
    struct call call = call_begin_on(fs, handle, FS_SIM_SIZE, false, "size of");

    if (call.fails == 0)
        *bytes = handle->node->now.bytes;
    return call_end(&call, 0, err);
}

static status sim_call_lock(struct fs *fs, struct fs_file *file, struct err *err)
{
    struct sim_handle *handle = handle_of(file);
    struct call call = call_begin_on(fs, handle, FS_SIM_LOCK, false, "lock");
    bool taken = false;

    if (call.fails == 0) {
        taken = handle->node->locked_by != NULL && handle->node->locked_by != handle;
        if (!taken)
            handle->node->locked_by = handle;
    }
    if (taken) {
        (void)call_end(&call, 0, NULL);
        return err_set(err, ST_CONFLICT, "%s is locked by another process", handle->path);
    }
    return call_end(&call, 0, err);
}

/* ---- names ---- */

static status sim_call_rename(struct fs *fs, const char *from, const char *to, struct err *err)
{
    struct call call = call_begin(fs, FS_SIM_RENAME, true, "rename", from);
    int failed = call.runs ? sim_rename(&call.sim->tree, from, to) : 0;

    return call_end(&call, failed, err);
}

static int remove_name(struct sim_tree *tree, const char *path, bool is_dir)
{
    char name[SIM_NAME_BYTES];
    struct sim_node *dir;
    struct sim_node *node;
    int failed = sim_find(tree, path, &node);

    if (failed == 0)
        failed = sim_find_parent(tree, path, &dir, name);
    if (failed != 0)
        return failed;
    if (node->is_dir != is_dir)
        return is_dir ? ENOTDIR : EISDIR;
    if (name[0] == '\0')
        return EBUSY;
    if (is_dir && node->names_now.count > 0)
        return ENOTEMPTY;
    sim_remove(tree, dir, name);
    return 0;
}

static status sim_call_unlink(struct fs *fs, const char *path, struct err *err)
{
    struct call call = call_begin(fs, FS_SIM_UNLINK, true, "remove", path);
    int failed = call.runs ? remove_name(&call.sim->tree, path, false) : 0;

    return call_end(&call, failed, err);
}

static status sim_call_rmdir(struct fs *fs, const char *path, struct err *err)
{
    struct call call = call_begin(fs, FS_SIM_RMDIR, true, "remove folder", path);
    int failed = call.runs ? remove_name(&call.sim->tree, path, true) : 0;

    return call_end(&call, failed, err);
}

static int make_folder(struct sim_tree *tree, const char *path)
{
    char name[SIM_NAME_BYTES];
    struct sim_node *dir;
    struct sim_node *node;
    int failed = sim_find(tree, path, &node);

    if (failed == 0)
        return node->is_dir ? 0 : EEXIST;
    if (failed == ENOENT)
        failed = sim_find_parent(tree, path, &dir, name);
    return failed != 0 ? failed : sim_make(tree, dir, name, true, &node);
}

static status sim_call_mkdir(struct fs *fs, const char *path, struct err *err)
{
    struct call call = call_begin(fs, FS_SIM_MKDIR, true, "make folder", path);
    int failed = call.runs ? make_folder(&call.sim->tree, path) : 0;

    return call_end(&call, failed, err);
}

static int find_dir(struct sim_tree *tree, const char *path, struct sim_node **out)
{
    int failed = sim_find(tree, path, out);

    return failed == 0 && !(*out)->is_dir ? ENOTDIR : failed;
}

struct listed {
    char *name;
    bool is_dir;
};

static int copy_names(struct sim_tree *tree, const char *path, struct listed **out, size_t *count)
{
    struct sim_node *dir;
    int failed = find_dir(tree, path, &dir);

    if (failed != 0)
        return failed;
    *count = dir->names_now.count;
    *out = calloc(*count + 1, sizeof **out);
    assert(*out != NULL);
    for (size_t i = 0; i < *count; i++) {
        (*out)[i].name = strdup(dir->names_now.at[i].name);
        assert((*out)[i].name != NULL);
        (*out)[i].is_dir = dir->names_now.at[i].node->is_dir;
    }
    return 0;
}

/* The names are copied: the callback may call back into the file system. */
static status sim_call_list(struct fs *fs, const char *path, fs_list_fn *fn, void *arg,
                            struct err *err)
{
    struct call call = call_begin(fs, FS_SIM_LIST, false, "list folder", path);
    struct listed *names = NULL;
    size_t count = 0;
    int failed = call.fails == 0 ? copy_names(&call.sim->tree, path, &names, &count) : 0;
    status st = call_end(&call, failed, err);

    for (size_t i = 0; i < count; i++) {
        if (st == ST_OK)
            st = fn(arg, names[i].name, names[i].is_dir, err);
        free(names[i].name);
    }
    free(names);
    return st;
}

static status sim_call_stat(struct fs *fs, const char *path, struct fs_stat *out, struct err *err)
{
    struct call call = call_begin(fs, FS_SIM_STAT, false, "look at", path);
    struct sim_node *node = NULL;
    int failed = call.fails == 0 ? sim_find(&call.sim->tree, path, &node) : 0;

    if (failed == 0 && node != NULL)
        *out = (struct fs_stat){.bytes = node->now.bytes, .is_dir = node->is_dir};
    return call_end(&call, failed, err);
}

static status sim_call_sync_dir(struct fs *fs, const char *path, struct err *err)
{
    struct call call = call_begin(fs, FS_SIM_SYNC_DIR, true, "sync folder", path);
    struct sim_node *dir = NULL;
    int failed = call.runs ? find_dir(&call.sim->tree, path, &dir) : 0;

    if (failed == 0 && dir != NULL)
        sim_sync_dir(&call.sim->tree, dir);
    return call_end(&call, failed, err);
}

static status sim_call_space(struct fs *fs, const char *path, struct fs_space *out, struct err *err)
{
    struct call call = call_begin(fs, FS_SIM_SPACE, false, "free space at", path);
    struct sim_tree *tree = &call.sim->tree;
    struct sim_node *node;
    int failed = call.fails == 0 ? sim_find(tree, path, &node) : 0;

    if (failed == 0 && call.fails == 0) {
        uint64_t total = tree->space_max == 0 ? SPACE_BYTES_TOTAL : tree->space_max;
        uint64_t used = sim_used(tree);

        *out =
            (struct fs_space){.bytes_total = total, .bytes_free = used < total ? total - used : 0};
    }
    return call_end(&call, failed, err);
}

/* ---- what tests do to it ---- */

static const struct fs sim_table = {
    .open = sim_call_open,
    .close = sim_call_close,
    .pread = sim_call_pread,
    .pwrite = sim_call_pwrite,
    .sync = sim_call_sync,
    .truncate = sim_call_truncate,
    .allocate = sim_call_allocate,
    .size = sim_call_size,
    .rename = sim_call_rename,
    .unlink = sim_call_unlink,
    .mkdir = sim_call_mkdir,
    .rmdir = sim_call_rmdir,
    .list = sim_call_list,
    .stat = sim_call_stat,
    .sync_dir = sim_call_sync_dir,
    .space = sim_call_space,
    .lock = sim_call_lock,
};

struct fs_sim *fs_sim_create(void)
{
    struct fs_sim *sim = calloc(1, sizeof *sim);

    assert(sim != NULL);
    sim->table = sim_table;
    (void)pthread_mutex_init(&sim->mutex, NULL);
    sim_tree_init(&sim->tree);
    return sim;
}

void fs_sim_destroy(struct fs_sim *sim)
{
    if (sim == NULL)
        return;
    fs_sim_fail_clear(sim);
    sim_tree_fini(&sim->tree);
    (void)pthread_mutex_destroy(&sim->mutex);
    free(sim);
}

struct fs *fs_sim_fs(struct fs_sim *sim)
{
    return &sim->table;
}

void fs_sim_fail(struct fs_sim *sim, const struct fs_sim_fault *fault)
{
    struct planned_fault *planned;

    (void)pthread_mutex_lock(&sim->mutex);
    assert(sim->fault_count < FAULTS_MAX);
    assert(fault->nth > 0 && fault->errnum > 0);
    planned = &sim->faults[sim->fault_count++];
    *planned = (struct planned_fault){.fault = *fault};
    if (fault->path_part != NULL) {
        planned->path_part = strdup(fault->path_part);
        assert(planned->path_part != NULL);
    }
    (void)pthread_mutex_unlock(&sim->mutex);
}

void fs_sim_fail_nth(struct fs_sim *sim, enum fs_sim_op op, uint64_t nth, int errnum)
{
    fs_sim_fail(sim, &(struct fs_sim_fault){.op = op, .nth = nth, .errnum = errnum});
}

static void clear_faults_locked(struct fs_sim *sim)
{
    while (sim->fault_count > 0)
        free(sim->faults[--sim->fault_count].path_part);
}

void fs_sim_fail_clear(struct fs_sim *sim)
{
    (void)pthread_mutex_lock(&sim->mutex);
    clear_faults_locked(sim);
    (void)pthread_mutex_unlock(&sim->mutex);
}

void fs_sim_space_limit(struct fs_sim *sim, uint64_t bytes)
{
    (void)pthread_mutex_lock(&sim->mutex);
    sim->tree.space_max = bytes;
    (void)pthread_mutex_unlock(&sim->mutex);
}

uint64_t fs_sim_space_used(struct fs_sim *sim)
{
    uint64_t used;

    (void)pthread_mutex_lock(&sim->mutex);
    used = sim_used(&sim->tree);
    (void)pthread_mutex_unlock(&sim->mutex);
    return used;
}

uint64_t fs_sim_calls(struct fs_sim *sim, enum fs_sim_op op)
{
    uint64_t calls;

    (void)pthread_mutex_lock(&sim->mutex);
    calls = sim->calls[op];
    (void)pthread_mutex_unlock(&sim->mutex);
    return calls;
}

void fs_sim_stop_after(struct fs_sim *sim, uint64_t effects)
{
    (void)pthread_mutex_lock(&sim->mutex);
    sim->stop_planned = true;
    sim->effects_left = effects;
    (void)pthread_mutex_unlock(&sim->mutex);
}

bool fs_sim_stopped(struct fs_sim *sim)
{
    bool stopped;

    (void)pthread_mutex_lock(&sim->mutex);
    stopped = sim->stopped;
    (void)pthread_mutex_unlock(&sim->mutex);
    return stopped;
}

void fs_sim_sync_lies(struct fs_sim *sim, bool lies)
{
    (void)pthread_mutex_lock(&sim->mutex);
    sim->sync_lies = lies;
    (void)pthread_mutex_unlock(&sim->mutex);
}

static void end_process_locked(struct fs_sim *sim)
{
    sim_forget_handles(&sim->tree);
    clear_faults_locked(sim);
    sim->stop_planned = false;
    sim->stopped = false;
    sim->generation++;
}

void fs_sim_power_cut(struct fs_sim *sim, struct rand_source *rng)
{
    (void)pthread_mutex_lock(&sim->mutex);
    end_process_locked(sim);
    sim_cut(&sim->tree, rng);
    (void)pthread_mutex_unlock(&sim->mutex);
}

void fs_sim_process_crash(struct fs_sim *sim)
{
    (void)pthread_mutex_lock(&sim->mutex);
    end_process_locked(sim);
    (void)pthread_mutex_unlock(&sim->mutex);
}
