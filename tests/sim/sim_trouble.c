/* What goes wrong with a disk: calls that fail, room that ends, bits that turn. */
#include "sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FAULTS_MAX = 50, ROT_BYTES = 8192 };

struct pick {
    struct sim *w;
    char name[64];
    uint64_t seen;
};

static status pick_file(void *arg, const char *name, bool is_dir, struct err *err)
{
    struct pick *p = arg;

    (void)err;
    if (!is_dir && strstr(name, ".wal") != NULL && sim_below(p->w, ++p->seen) == 0)
        (void)snprintf(p->name, sizeof p->name, "%s", name);
    return ST_OK;
}

/* One bit of one sector of the log turns; the node is down. */
void disk_rot(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    struct fs *fs = fs_sim_fs(n->disk.fs);
    struct pick p = {.w = w};
    char path[128];
    struct fs_file *file;
    uint64_t at;
    uint8_t byte;
    size_t done;

    if (fs_list(fs, SIM_LOG_DIR, pick_file, &p, NULL) != ST_OK || p.seen == 0)
        return;
    at = sim_below(w, ROT_BYTES);
    if (n->disk.end_offset > 600 && sim_chance(w, 500)) { /* in what was written last */
        wal_name_format(p.name, n->disk.end_number, "wal");
        at = n->disk.end_offset - 1 - sim_below(w, 500);
    }
    (void)snprintf(path, sizeof path, "%s/%s", SIM_LOG_DIR, p.name);
    if (fs->open(fs, path, FS_READ | FS_WRITE, &file, NULL) != ST_OK)
        return;
    if (fs->pread(fs, file, &byte, 1, at, &done, NULL) == ST_OK && done == 1) {
        byte ^= (uint8_t)(1 << sim_below(w, 8));
        if (fs->pwrite(fs, file, &byte, 1, at, NULL) == ST_OK && fs->sync(fs, file, NULL) == ST_OK)
            n->disk.rotten = true;
    }
    fs->close(fs, file);
    sim_say(w, "node %zu: a bit of %s turns at %" PRIu64, node, p.name, at);
}

void disk_trouble(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];
    struct fs_sim_fault f = {.nth = 1 + sim_below(w, 3), .errnum = EIO};

    if (n->disk.log == NULL || ++n->disk.faults > FAULTS_MAX)
        return;
    switch (sim_below(w, 6)) {
    case 0:
        f.op = FS_SIM_SYNC;
        f.after_effect = sim_chance(w, 300);
        fs_sim_fail(n->disk.fs, &f);
        break;
    case 1:
        f.op = FS_SIM_WRITE;
        f.write_bytes = (size_t)sim_below(w, 700);
        fs_sim_fail(n->disk.fs, &f);
        break;
    case 2: /* until it is started again */
        f.op = FS_SIM_EFFECT;
        f.nth = 1 + sim_below(w, 12);
        f.for_ever = true;
        fs_sim_fail(n->disk.fs, &f);
        break;
    case 3:
        f.op = sim_chance(w, 500) ? FS_SIM_SYNC_DIR : FS_SIM_RENAME;
        f.after_effect = sim_chance(w, 500);
        fs_sim_fail(n->disk.fs, &f);
        break;
    case 4:
        fs_sim_stop_after(n->disk.fs, sim_below(w, 12));
        break;
    default:
        n->disk.space_max = fs_sim_space_used(n->disk.fs) + sim_below(w, 6000);
        fs_sim_space_limit(n->disk.fs, n->disk.space_max);
        (void)sim_at(w, w->now_ms + 500 + sim_below(w, 20000), EV_SPACE, node);
        break;
    }
    sim_say(w, "node %zu: its disk is in trouble: op %d, call %" PRIu64 "%s%s", node, (int)f.op,
            f.nth, f.for_ever ? " and all later" : "", f.after_effect ? ", done all the same" : "");
}

void disk_well(struct sim *w, size_t node)
{
    struct sim_node *n = &w->node[node];

    if (n->disk.fs == NULL)
        return;
    n->disk.space_max = w->settling ? 0 : w->disk_bytes;
    fs_sim_space_limit(n->disk.fs, n->disk.space_max);
    if (!w->settling)
        return;
    fs_sim_fail_clear(n->disk.fs);
    if (n->up && n->on_disk && !n->loading && !n->disk.damaged && !disk_writable(n))
        node_crash(w, node); /* who looks starts it again */
}
