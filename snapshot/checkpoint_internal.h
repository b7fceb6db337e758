/* checkpoint_internal.h - the layout of docs/formats/checkpoint.md, shared by writer and loader. */
#ifndef SNAPSHOT_CHECKPOINT_INTERNAL_H
#define SNAPSHOT_CHECKPOINT_INTERNAL_H

#include "segment/container_file.h"
#include "segment/record.h"
#include "snapshot/checkpoint.h"

#include <assert.h>

enum {
    CKPT_FILES_MAX = 300000,
    CKPT_MANIFEST_BYTES_MAX = 16 * 1024 * 1024,
    CKPT_BLOCK_SLOTS_MAX = 65536,
    CKPT_NAME_BYTES = 64,

    CKPT_SECTION_ROWS = 1, /* of a rows file */
    CKPT_SECTION_LIVE = 2, /* of a live file */
    CKPT_SECTION_GRAPH = 1,

    CKPT_ROW_HEAD_BYTES = 20, /* u32 slot, u64 lsn, u64 inserted_at; in front of it u32 bytes */
    CKPT_ROW_BYTES_MAX = CKPT_ROW_HEAD_BYTES + 3 + DOCID_BYTES_MAX + 3 +
                         RECORD_EXTERNAL_ID_BYTES_MAX + 5 + RECORD_PAYLOAD_BYTES_MAX + 2 +
                         RECORD_FIELDS_MAX * (6 + RECORD_DIM_MAX * 4),
    CKPT_LIVE_HEAD_BYTES = 12,  /* u32 block, u32 entries, u32 bytes */
    CKPT_LIVE_ENTRY_BYTES = 15, /* at most: two varints of 5 and 10 */
    CKPT_GRAPH_HEAD_BYTES = 16, /* u16 field, u16 zero, u32 slots end, u8 bits, u8 m,
                                 * u16 ef_construction, u32 zero */
    CKPT_NODE_HEAD_BYTES = 5,   /* u32 slot, u8 level */
    CKPT_NODE_LINKS_MAX = (2 + VNODE_LEVEL_MAX) * VINDEX_M_MAX,
};

enum ckpt_file_kind { CKPT_ROWS = 1, CKPT_LIVE = 2, CKPT_GRAPH = 3 }; /* on disk */

struct ckpt_file {
    uint8_t kind;    /* enum ckpt_file_kind */
    uint32_t number; /* block or field */
    uint64_t generation;
    uint64_t start_lsn; /* of that generation */
    uint64_t bytes;
    uint32_t crc; /* the container's */
    uint32_t items;
};

struct ckpt_manifest {
    uint64_t generation;
    uint64_t start_lsn;
    uint64_t lsn_max;
    uint64_t created_at_ns;
    uint8_t collection_id[16];
    uint32_t block_slots;
    uint32_t slots_end;
    uint32_t live;
    uint32_t dead;
    struct {
        uint16_t id;
        uint32_t dim;
    } fields[RECORD_FIELDS_MAX];
    size_t field_count;
    struct ckpt_file *files;
    size_t file_count;
    size_t file_room;
};

void ckpt_manifest_free(struct ckpt_manifest *m);
NODISCARD
status ckpt_manifest_add(struct ckpt_manifest *m, const struct ckpt_file *file, struct err *err);
NODISCARD
status ckpt_manifest_encode(const struct ckpt_manifest *m, struct buf *out, struct err *err);
NODISCARD
status ckpt_manifest_decode(struct slice bytes, struct ckpt_manifest *out, struct err *err);
/* ST_NOT_FOUND when there is none; ST_CORRUPT also when it is another collection's. */
NODISCARD
status ckpt_manifest_read(struct fs *fs, const char *dir, const uint8_t collection_id[16],
                          struct ckpt_manifest *out, struct err *err);
NODISCARD
status ckpt_manifest_write(struct fs *fs, const char *dir, const struct ckpt_manifest *m,
                           uint64_t *bytes, struct err *err);
const struct ckpt_file *ckpt_manifest_find(const struct ckpt_manifest *m, enum ckpt_file_kind kind,
                                           uint32_t number);
void ckpt_manifest_info(const struct ckpt_manifest *m, struct checkpoint_info *out);

void ckpt_file_name(const struct ckpt_file *file, char name[CKPT_NAME_BYTES]);
NODISCARD
status ckpt_file_path(const char *dir, const struct ckpt_file *file, char path[FS_PATH_BYTES],
                      struct err *err);
/* The largest generation of a file name in dir; 0 if there is none. */
NODISCARD
status ckpt_generation_max(struct fs *fs, const char *dir, uint64_t *out, struct err *err);
/* Removes what looks like ours and `m` does not name, as far as it can: what stays is removed the
 * next time. Only files of generation `only`, unless that is 0. */
void ckpt_remove_unnamed(struct fs *fs, const char *dir, const struct ckpt_manifest *m,
                         uint64_t only);

/* Tests write small blocks in small steps, and change the collection between steps. */
struct ckpt_tuning {
    uint32_t block_slots;
    uint32_t batch_rows;     /* rows or nodes copied in one epoch guard */
    void (*step)(void *arg); /* outside guards, between batches; NULL for none */
    void *arg;
};
NODISCARD
status ckpt_write(const struct checkpoint_state *state, uint64_t start_lsn, uint64_t created_at_ns,
                  const _Atomic bool *stop, const struct ckpt_tuning *tuning,
                  struct checkpoint_info *out, struct err *err);

/* By at most so many threads. */
NODISCARD
status ckpt_load(const struct checkpoint_state *state, bool read_only, unsigned threads,
                 struct checkpoint_info *out, struct err *err);

/* One checkpoint being written. */
struct ckpt_writer {
    const struct checkpoint_state *state;
    const struct ckpt_tuning *tuning;
    const _Atomic bool *stop;
    struct ckpt_manifest before; /* empty if there was none */
    struct ckpt_manifest now;
    struct buf batch;
    uint64_t bytes_written;
    uint32_t blocks_written, blocks_kept;
};
/* Each adds its files to w->now. */
NODISCARD
status ckpt_write_blocks(struct ckpt_writer *w, struct err *err);
NODISCARD
status ckpt_write_live(struct ckpt_writer *w, struct err *err);
NODISCARD
status ckpt_write_graphs(struct ckpt_writer *w, struct err *err);

/* A file being written: its container, and what the manifest will say. */
struct ckpt_out {
    struct ckpt_file file;
    struct container_file_sink sink;
    struct container_writer *container;
};
NODISCARD
status ckpt_out_open(struct ckpt_writer *w, enum ckpt_file_kind kind, uint32_t number,
                     enum container_kind container_kind, uint16_t section, struct ckpt_out *out,
                     struct err *err);
/* Finishes, syncs and names it in w->now. */
NODISCARD
status ckpt_out_finish(struct ckpt_writer *w, struct ckpt_out *out, struct err *err);
void ckpt_out_close(struct ckpt_out *out); /* always, after either */
/* Between batches: lets a test in; ST_CLOSED when the writer shall stop. */
NODISCARD
status ckpt_step(struct ckpt_writer *w, struct err *err);

/* Reading (checkpoint_read.c). A file of the checkpoint: `in` stays where it is (the container
 * points into it) and is closed by ckpt_in_close() in any case. */
struct ckpt_in {
    struct container_file_source source;
    struct container *container;
    bool
        missing; /* the manifest names it and it is not there: damage, or a later checkpoint's doing
                  */
};
NODISCARD
status ckpt_in_open(struct fs *fs, const char *dir, const uint8_t collection_id[16],
                    const struct ckpt_file *file, struct ckpt_in *in, struct err *err);
void ckpt_in_close(struct ckpt_in *in);
/* Puts the file's name in front. */
status ckpt_name_file(const struct ckpt_file *file, status st, struct err *err);

struct ckpt_live { /* the live file, block by block; _close() in any case */
    const struct ckpt_manifest *m;
    struct container_stream stream;
    int64_t block_before;
    uint32_t block, first, slots; /* slots: in this block and below slots end */
    uint32_t entries;
    uint64_t *lsns;  /* of the block's slots */
    uint8_t *states; /* SLOT_LIVE, SLOT_DEAD, or 0 for none */
    uint64_t entries_read;
};
NODISCARD
status ckpt_live_open(struct ckpt_live *l, struct container *c, const struct ckpt_manifest *m,
                      struct err *err);
/* The next block; ST_NOT_FOUND after the last, without a text. */
NODISCARD
status ckpt_live_next(struct ckpt_live *l, struct err *err);
void ckpt_live_close(struct ckpt_live *l);

struct ckpt_graph { /* a graph file, node by node; _close() in any case */
    const struct ckpt_manifest *m;
    struct container_stream stream;
    struct vgraph made; /* m 0: the file does not say */
    uint32_t *links;    /* of the node read last */
    uint32_t left;
    uint32_t next_slot;
};
NODISCARD
status ckpt_graph_open(struct ckpt_graph *g, struct container *c, const struct ckpt_manifest *m,
                       const struct ckpt_file *file, struct err *err);
/* The next node, links borrowed until the next call; ST_NOT_FOUND after the last, without a text.
 */
NODISCARD
status ckpt_graph_next(struct ckpt_graph *g, struct vnode *out, struct err *err);
void ckpt_graph_close(struct ckpt_graph *g);

#endif
