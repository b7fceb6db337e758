/* fs_sim_internal.h - the tree of the simulated file system: nodes, names, what is on the disk.
 * Errors are errno values here; 0 is fine. All of it expects the simulation's mutex held. */
#ifndef TESTS_SUPPORT_FS_SIM_INTERNAL_H
#define TESTS_SUPPORT_FS_SIM_INTERNAL_H

#include "tests/support/fs_sim.h"

enum { SIM_SECTOR_BYTES = 512, SIM_NAME_BYTES = 256 };

struct sim_node;

struct sim_names { /* sorted by name; each entry counts as a reference */
    struct sim_entry {
        char *name;
        struct sim_node *node;
    } * at;
    size_t count, capacity;
};

struct sim_image {
    uint8_t *data; /* zeros from `bytes` to `capacity` */
    size_t bytes, capacity;
};

struct sim_node {
    struct sim_node *before, *next; /* of all nodes */
    size_t references;              /* names, pending operations, handles */
    size_t links;                   /* names that programs see */
    size_t handles;                 /* valid ones */
    bool is_dir;
    const void *locked_by; /* the handle that holds the lock */
    /* A file's. */
    struct sim_image now, disk;
    size_t touched; /* from here on both images are zeros */
    bool *dirty;    /* by sector, as many as now.capacity has */
    /* A folder's. */
    struct sim_names names_now, names_disk;
    size_t keep; /* during a cut: how many more pending operations survive */
};

/* A change of one folder's names that is not yet durable. */
struct sim_pending {
    struct sim_pending *before, *next; /* in the order they were made, over all folders */
    uint64_t number;
    struct sim_node *dir;
    char *remove; /* NULL: none */
    char *add;    /* NULL: none */
    struct sim_node *node;
    /* Of a rename between folders: the adding and the removing side know each other until one is
     * durable. The removal waits for the addition, never the other way round. */
    struct sim_pending *twin;
    bool lost; /* during a cut: the twin did not survive */
};

struct sim_tree {
    struct sim_node *root;
    struct sim_node *nodes;
    struct sim_pending *first, *last;
    uint64_t next_number;
    uint64_t space_max; /* 0: no limit */
};

void sim_tree_init(struct sim_tree *tree);
void sim_tree_fini(struct sim_tree *tree);

/* A reference for a handle. */
void sim_node_hold(struct sim_node *node);
void sim_node_drop(struct sim_tree *tree, struct sim_node *node);

/* Finds the node of path, or its folder and last name (name may then be "" for the root). */
int sim_find(struct sim_tree *tree, const char *path, struct sim_node **out);
int sim_find_parent(struct sim_tree *tree, const char *path, struct sim_node **dir,
                    char name[SIM_NAME_BYTES]);
struct sim_node *sim_names_get(const struct sim_names *names, const char *name);

int sim_make(struct sim_tree *tree, struct sim_node *dir, const char *name, bool is_dir,
             struct sim_node **out);
void sim_remove(struct sim_tree *tree, struct sim_node *dir, const char *name);
int sim_rename(struct sim_tree *tree, const char *from, const char *to);

/* As many bytes as fit are written; ENOSPC when that is not all. */
int sim_write(struct sim_tree *tree, struct sim_node *file, const void *data, size_t bytes,
              uint64_t offset);
int sim_resize(struct sim_tree *tree, struct sim_node *file, uint64_t bytes);
void sim_sync(struct sim_node *file);
void sim_sync_failed(struct sim_node *file);
enum sim_keep { SIM_KEEP_NONE, SIM_KEEP_ALL, SIM_KEEP_SOME };
/* The disk's image after a cut, which is then what programs see: `keep` says which dirty sectors
 * survive, rng draws for SOME. */
void sim_cut_file(struct sim_node *file, struct rand_source *rng, enum sim_keep keep,
                  bool keep_size);
void sim_sync_dir(struct sim_tree *tree, struct sim_node *dir);
uint64_t sim_used(const struct sim_tree *tree);

/* What is left after a power cut becomes what programs see. */
void sim_cut(struct sim_tree *tree, struct rand_source *rng);
/* No handle is valid and nothing is locked from here on. */
void sim_forget_handles(struct sim_tree *tree);

#endif
