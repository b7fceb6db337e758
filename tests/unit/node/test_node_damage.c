/* Files that were changed behind the node's back: what can be healed is, what cannot is served as
 * far as it is whole, read-only and with a reason, and the rest of the node does not mind. */
#include "tests/unit/node/nworld.h"

#include "wal/wal_format.h"

#include <stdatomic.h>
#include <stdio.h>

enum {
    DIM = 8,
    DOCS = 40,
    WIDE = 1024, /* 4 KiB a row */
    FILE_BYTES = 64 * 1024,
    WIDE_DOCS = 150,
    TAIL_DOCS = 5,
    IN_THE_LOG = WAL_HEAD_BYTES + 1000, /* far below what later records say is durable */
};

static void make(struct nworld *w, const char *name, uint32_t dim, uint64_t docs)
{
    struct collection *c;

    assert_int_equal(ncreate(w, name, dim, VMETRIC_L2, 16, NULL), ST_OK);
    c = npin(w, name);
    for (uint64_t id = 1; id <= docs; id++)
        assert_int_equal(nput(c, id, (uint32_t)id, NULL), ST_OK);
    node_collection_unpin(c);
}

static void whole(struct nworld *w, const char *name, uint64_t docs)
{
    struct collection *c = npin(w, name);

    nstate(c, "serving", "");
    assert_int_equal(ncount(c), docs);
    for (uint64_t id = 1; id <= docs; id++)
        assert_int_equal(nversion(c, id), id);
    node_collection_unpin(c);
}

static void checkpoint(struct nworld *w, const char *name)
{
    struct collection *c = npin(w, name);
    struct err err = {0};

    if (ncheckpoint(c, &err) != ST_OK)
        fail_msg("checkpoint: %s", err.text);
    node_collection_unpin(c);
}

static void path_of(struct nworld *w, const char *name, const char *folder, const char *part,
                    bool last, char out[FS_PATH_BYTES])
{
    struct collection *c = npin(w, name);

    nfile(w, folder, c, part, last, out);
    node_collection_unpin(c);
}

static void must_be_read_only(struct nworld *w, const char *name, const char *reason)
{
    struct collection *c = npin(w, name);
    struct err err = {0};

    nstate(c, "read_only", reason);
    assert_true(nhealth_has(w, name));
    assert_true(nhealth_has(w, reason));
    assert_int_equal(nput(c, 1000000, 1, &err), ST_DENIED);
    assert_non_null(strstr(err.text, "read-only"));
    assert_int_equal(ndel(c, 1, &err), ST_DENIED);
    assert_int_equal(ncheckpoint(c, &err), ST_DENIED);
    node_collection_unpin(c);
}

/* With a log that reaches back to lsn 1 a damaged checkpoint costs nothing, and the next one takes
 * over nothing from it: that one alone then stands for the rows. */
static void a_damaged_checkpoint_is_healed_by_a_full_log(void **state)
{
    static const char *const parts[] = {"manifest", "rows-0", "live-", "graph-0"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct nworld w;
        struct collection *c;
        char path[FS_PATH_BYTES];
        char dir[FS_PATH_BYTES];
        struct checkpoint_info info;

        nworld_init(&w, true, 20 + i);
        nworld_open(&w);
        make(&w, "docs", DIM, DOCS);
        make(&w, "other", DIM, 3);
        checkpoint(&w, "docs");
        path_of(&w, "docs", "snapshots", parts[i], true, path);
        nworld_power_cut(&w);
        nflip(&w, path, -30);
        nworld_open(&w);
        whole(&w, "docs", DOCS);
        whole(&w, "other", 3);
        assert_false(nhealth_has(&w, ""));
        checkpoint(&w, "docs");
        c = npin(&w, "docs");
        assert_int_equal(collection_paths(c, path, dir, NULL), ST_OK);
        if (checkpoint_verify(nworld_fs(&w), dir, c->id, &info, NULL) != ST_OK)
            fail_msg("damage in %s was taken over by the next checkpoint", parts[i]);
        node_collection_unpin(c);
        nworld_power_cut(&w);
        nworld_open(&w);
        c = npin(&w, "docs");
        assert_int_equal(atomic_load(&c->snapshot_lsn), DOCS);
        node_collection_unpin(c);
        whole(&w, "docs", DOCS);
        nworld_fini(&w);
    }
}

/* Rows of the checkpoint that the log no longer has. */
static void make_trimmed(struct nworld *w, uint64_t seed)
{
    struct collection *c;
    char path[FS_PATH_BYTES];

    nworld_init(w, true, seed);
    w->options.wal_file_bytes = FILE_BYTES;
    nworld_open(w);
    make(w, "docs", WIDE, WIDE_DOCS);
    make(w, "other", DIM, 3);
    checkpoint(w, "docs");
    path_of(w, "docs", "wal", ".wal", false, path);
    assert_null(strstr(path, "0000000000000001.wal")); /* or nothing was trimmed */
    c = npin(w, "docs");
    for (uint64_t i = 1; i <= TAIL_DOCS; i++)
        assert_int_equal(nput(c, WIDE_DOCS + i, (uint32_t)(WIDE_DOCS + i), NULL), ST_OK);
    node_collection_unpin(c);
}

static void a_damaged_checkpoint_with_a_trimmed_log_is_read_only(void **state)
{
    static const char *const parts[] = {"manifest", "rows-0"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct nworld w;
        struct collection *c;
        char path[FS_PATH_BYTES];

        make_trimmed(&w, 30 + i);
        path_of(&w, "docs", "snapshots", parts[i], true, path);
        nworld_power_cut(&w);
        nflip(&w, path, -40);
        for (int round = 0; round < 2; round++) {
            nworld_open(&w);
            must_be_read_only(&w, "docs", "missing");
            c = npin(&w, "docs");
            assert_true(ncount(c) >= TAIL_DOCS && ncount(c) < WIDE_DOCS);
            assert_int_equal(nversion(c, WIDE_DOCS + TAIL_DOCS), WIDE_DOCS + TAIL_DOCS);
            node_collection_unpin(c);
            whole(&w, "other", 3);
            nworld_close(&w);
        }
        nflip(&w, path, -40); /* the whole file is put back */
        nworld_open(&w);
        whole(&w, "docs", WIDE_DOCS + TAIL_DOCS);
        assert_false(nhealth_has(&w, ""));
        nworld_fini(&w);
    }
}

static void a_flipped_bit_in_the_log_is_served_up_to_the_break(void **state)
{
    struct nworld w;
    struct collection *c;
    char path[FS_PATH_BYTES];
    uint64_t count = 0;

    (void)state;
    nworld_init(&w, true, 40);
    nworld_open(&w);
    make(&w, "docs", DIM, DOCS);
    make(&w, "other", DIM, 3);
    path_of(&w, "docs", "wal", ".wal", true, path);
    nworld_power_cut(&w);
    nflip(&w, path, IN_THE_LOG);
    for (int round = 0; round < 2; round++) {
        nworld_open(&w);
        must_be_read_only(&w, "docs", "log is damaged");
        c = npin(&w, "docs");
        assert_true(ncount(c) > 0 && ncount(c) < DOCS);
        assert_true(round == 0 || ncount(c) == count);
        count = ncount(c);
        for (uint64_t id = 1; id <= DOCS; id++)
            assert_int_equal(nversion(c, id), id <= count ? id : 0);
        node_collection_unpin(c);
        whole(&w, "other", 3);
        nworld_close(&w);
    }
    nflip(&w, path, IN_THE_LOG);
    nworld_open(&w);
    whole(&w, "docs", DOCS);
    nworld_fini(&w);
}

/* What lies below the checkpoint is in the checkpoint. */
static void a_flipped_bit_in_a_log_below_the_checkpoint_loses_no_row(void **state)
{
    struct nworld w;
    struct collection *c;
    char path[FS_PATH_BYTES];

    (void)state;
    nworld_init(&w, true, 41);
    nworld_open(&w);
    make(&w, "docs", DIM, DOCS);
    checkpoint(&w, "docs");
    path_of(&w, "docs", "wal", ".wal", true, path);
    nworld_power_cut(&w);
    nflip(&w, path, IN_THE_LOG);
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ncount(c), DOCS);
    for (uint64_t id = 1; id <= DOCS; id++)
        assert_int_equal(nversion(c, id), id);
    assert_true(nhealth_has(&w, "docs"));
    node_collection_unpin(c);
    nworld_fini(&w);
}

static void a_damaged_catalog_stops_the_start_and_nothing_changes(void **state)
{
    struct nworld w;
    struct buf before, after;
    char path[FS_PATH_BYTES];
    struct err err = {0};
    struct fs_stat found;

    (void)state;
    nworld_init(&w, true, 42);
    nworld_open(&w);
    make(&w, "docs", DIM, DOCS);
    nworld_close(&w);
    assert_int_equal(fs_join(path, w.dir, "catalog", NULL), ST_OK);
    assert_int_equal(fs_stat(nworld_fs(&w), path, &found, NULL), ST_OK);
    for (uint64_t at = 0; at < found.bytes; at += 7) {
        uint64_t effects;

        nflip(&w, path, (int64_t)at);
        buf_init(&before, 1 << 20);
        buf_init(&after, 1 << 20);
        assert_int_equal(fs_read_file(nworld_fs(&w), path, 1 << 20, &before, NULL), ST_OK);
        effects = fs_sim_calls(w.sim, FS_SIM_RENAME) + fs_sim_calls(w.sim, FS_SIM_UNLINK) +
                  fs_sim_calls(w.sim, FS_SIM_WRITE) + fs_sim_calls(w.sim, FS_SIM_TRUNCATE);
        if (nworld_try_open(&w, &err) == ST_OK)
            fail_msg("opened with byte %llu of the catalog changed", (unsigned long long)at);
        assert_true(err.code == ST_CORRUPT || err.code == ST_UNSUPPORTED);
        assert_non_null(strstr(err.text, "catalog"));
        assert_non_null(strstr(err.text, "put back"));
        assert_int_equal(fs_sim_calls(w.sim, FS_SIM_RENAME) + fs_sim_calls(w.sim, FS_SIM_UNLINK) +
                             fs_sim_calls(w.sim, FS_SIM_WRITE) +
                             fs_sim_calls(w.sim, FS_SIM_TRUNCATE),
                         effects);
        assert_int_equal(fs_read_file(nworld_fs(&w), path, 1 << 20, &after, NULL), ST_OK);
        assert_int_equal(before.bytes, after.bytes);
        assert_memory_equal(before.data, after.data, before.bytes);
        buf_free(&before);
        buf_free(&after);
        nflip(&w, path, (int64_t)at);
    }
    nworld_open(&w);
    whole(&w, "docs", DOCS);
    nworld_fini(&w);
}

enum loss { LOSE_DIRECTORY, LOSE_FILES };

/* A collection is never taken for an empty one because its log is gone. */
static void lose_log(enum loss what, bool with_checkpoint, uint64_t seed)
{
    struct nworld w;
    struct collection *c;
    struct err err = {0};
    struct arena arena;
    struct document doc;
    const struct docid id = docid_u64(1);
    char dir[FS_PATH_BYTES];
    char snapshot[FS_PATH_BYTES];

    nworld_init(&w, true, seed);
    nworld_open(&w);
    make(&w, "docs", DIM, DOCS);
    make(&w, "other", DIM, 3);
    if (with_checkpoint)
        checkpoint(&w, "docs");
    c = npin(&w, "docs");
    assert_int_equal(collection_paths(c, dir, snapshot, NULL), ST_OK);
    node_collection_unpin(c);
    nworld_power_cut(&w);
    assert_int_equal(fs_remove_all(nworld_fs(&w), dir, NULL), ST_OK);
    if (what == LOSE_FILES)
        assert_int_equal(fs_mkdir_all(nworld_fs(&w), dir, NULL), ST_OK);
    for (int round = 0; round < 2; round++) {
        nworld_open(&w);
        c = npin(&w, "docs");
        nstate(c, "failed", dir);
        assert_true(nhealth_has(&w, "docs"));
        arena_init(&arena, 1 << 16);
        assert_int_equal(node_get(c, &id, &arena, &doc, &err), ST_UNAVAILABLE);
        arena_free(&arena);
        assert_int_equal(nput(c, 1, 1, &err), ST_UNAVAILABLE);
        assert_int_equal(ncheckpoint(c, &err), ST_DENIED);
        assert_int_equal(node_query_cost_ns(c, &(struct query_options){.top_k = 1}), 0);
        node_collection_unpin(c);
        whole(&w, "other", 3);
        nworld_close(&w);
    }
    nworld_open(&w);
    c = npin(&w, "docs");
    assert_int_equal(ndrop(&w, c, &err), ST_OK);
    node_collection_unpin(c);
    assert_false(nhealth_has(&w, "docs"));
    nworld_fini(&w);
}

static void a_collection_without_its_log_has_failed(void **state)
{
    (void)state;
    lose_log(LOSE_DIRECTORY, false, 50);
    lose_log(LOSE_DIRECTORY, true, 51);
    lose_log(LOSE_FILES, false, 52);
    lose_log(LOSE_FILES, true, 53);
}

/* The first file holds what follows the checkpoint, the fourth lies in the middle. */
static void a_log_with_a_file_missing_is_not_served_as_whole(void **state)
{
    static const char *const parts[] = {".wal", "4.wal"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        struct nworld w;
        struct collection *c;
        struct collection_info info;
        char path[FS_PATH_BYTES];

        nworld_init(&w, true, 54 + i);
        w.options.wal_file_bytes = FILE_BYTES;
        nworld_open(&w);
        make(&w, "docs", WIDE, 20);
        make(&w, "other", DIM, 3);
        checkpoint(&w, "docs");
        c = npin(&w, "docs");
        for (uint64_t id = 21; id <= WIDE_DOCS; id++)
            assert_int_equal(nput(c, id, (uint32_t)id, NULL), ST_OK);
        node_collection_unpin(c);
        path_of(&w, "docs", "wal", parts[i], false, path);
        nworld_power_cut(&w);
        assert_int_equal(fs_unlink(nworld_fs(&w), path, NULL), ST_OK);
        for (int round = 0; round < 2; round++) {
            nworld_open(&w);
            c = npin(&w, "docs");
            node_collection_info(c, &info);
            if (strcmp(info.state, "serving") == 0)
                fail_msg("served without %s", path);
            assert_true(info.reason[0] != '\0');
            assert_true(nhealth_has(&w, "docs"));
            node_collection_unpin(c);
            whole(&w, "other", 3);
            nworld_close(&w);
        }
        nworld_fini(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_checkpoint_is_healed_by_a_full_log),
        cmocka_unit_test(a_damaged_checkpoint_with_a_trimmed_log_is_read_only),
        cmocka_unit_test(a_flipped_bit_in_the_log_is_served_up_to_the_break),
        cmocka_unit_test(a_flipped_bit_in_a_log_below_the_checkpoint_loses_no_row),
        cmocka_unit_test(a_damaged_catalog_stops_the_start_and_nothing_changes),
        cmocka_unit_test(a_collection_without_its_log_has_failed),
        cmocka_unit_test(a_log_with_a_file_missing_is_not_served_as_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
