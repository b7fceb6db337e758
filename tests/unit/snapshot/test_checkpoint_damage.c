/* Damage to what is on disk: every bit and every length of every file, files that are missing or
 * were exchanged, manifests that lie. All of it is ST_CORRUPT and names the file. */
#include "tests/unit/snapshot/ckpt_world.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 20240900;
static const char *const FILES[] = {"manifest", "rows-0-1", "rows-1-1", "live-1", "graph-0-1"};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct checkpoint_info info;

    world_open(w, seed);
    w->ops_per_step = 0;
    for (uint32_t id = 0; id < 20; id++)
        world_upsert(w, id);
    world_delete(w, 3);
    while (vindex_link(w->vindex, 16) > 0)
        ;
    assert_int_equal(world_checkpoint(w, &info, NULL), ST_OK);
    world_drop(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static void expect_named(const char *what, status st, const struct err *err, const char *name,
                         size_t at)
{
    if (st != ST_CORRUPT || strstr(err->text, name) == NULL)
        fail_msg("%s of %s at %zu: %s: %s", what, name, at, status_name(st), err->text);
}

static status verify(struct world *w, struct err *err)
{
    struct checkpoint_info info;

    *err = (struct err){0};
    return checkpoint_verify(fs_sim_fs(w->sim), WORLD_DIR, w->state.collection_id, &info, err);
}

static status load(struct world *w, struct err *err)
{
    struct checkpoint_info info;
    status st;

    *err = (struct err){0};
    world_make(w);
    st = checkpoint_load(&w->state, true, &info, err);
    world_drop(w);
    return st;
}

static void every_flipped_bit_is_found_and_its_file_named(void **state)
{
    struct world *w = *state;
    struct err err;

    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        struct buf b = world_file_read(w, FILES[i]);

        for (size_t bit = 0; bit < b.bytes * 8; bit++) {
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            world_file_write(w, FILES[i], buf_slice(&b));
            expect_named("verify", verify(w, &err), &err, FILES[i], bit);
            if (bit % 97 == 0)
                expect_named("load", load(w, &err), &err, FILES[i], bit);
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        world_file_write(w, FILES[i], buf_slice(&b));
        buf_free(&b);
    }
    assert_int_equal(verify(w, &err), ST_OK);
}

static void every_cut_is_found_and_its_file_named(void **state)
{
    struct world *w = *state;
    struct err err;

    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        struct buf b = world_file_read(w, FILES[i]);

        for (size_t cut = 0; cut < b.bytes; cut++) {
            world_file_write(w, FILES[i], slice_make(b.data, cut));
            expect_named("verify", verify(w, &err), &err, FILES[i], cut);
            if (cut % 61 == 0)
                expect_named("load", load(w, &err), &err, FILES[i], cut);
        }
        world_file_write(w, FILES[i], buf_slice(&b));
        buf_free(&b);
    }
}

static void a_missing_file_is_corruption_not_absence(void **state)
{
    struct world *w = *state;
    struct err err;

    for (size_t i = 1; i < COUNT_OF(FILES); i++) {
        struct buf b = world_file_read(w, FILES[i]);
        char path[FS_PATH_BYTES];

        assert_int_equal(fs_join(path, WORLD_DIR, FILES[i], NULL), ST_OK);
        assert_int_equal(fs_unlink(fs_sim_fs(w->sim), path, NULL), ST_OK);
        expect_named("verify", verify(w, &err), &err, FILES[i], 0);
        expect_named("load", load(w, &err), &err, FILES[i], 0);
        world_file_write(w, FILES[i], buf_slice(&b));
        buf_free(&b);
    }
}

/* A whole file of the same name, size and collection, but of another time. */
static void an_older_file_of_the_same_name_is_corruption(void **state)
{
    struct world *w = *state;
    struct world other;
    struct checkpoint_info info;
    struct err err;
    struct buf theirs;
    struct buf ours;

    world_open(&other, seed + 1); /* another seed: other levels, the same rows one lsn later */
    other.ops_per_step = 0;
    other.lsn = 1;
    for (uint32_t id = 0; id < 20; id++)
        world_upsert(&other, id);
    world_delete(&other, 3);
    assert_int_equal(world_checkpoint(&other, &info, NULL), ST_OK);
    for (size_t i = 1; i < 4; i++) {
        theirs = world_file_read(&other, FILES[i]);
        ours = world_file_read(w, FILES[i]);
        world_file_write(w, FILES[i], buf_slice(&theirs));
        expect_named("exchanged", load(w, &err), &err, FILES[i], 0);
        world_file_write(w, FILES[i], buf_slice(&ours));
        buf_free(&theirs);
        buf_free(&ours);
    }
    world_close(&other);
}

static void another_collection_s_checkpoint_is_refused(void **state)
{
    struct world *w = *state;
    struct checkpoint_info info;
    struct err err = {0};
    const uint8_t other[16] = {9};

    assert_int_equal(checkpoint_verify(fs_sim_fs(w->sim), WORLD_DIR, other, &info, &err),
                     ST_CORRUPT);
    assert_non_null(strstr(err.text, "manifest"));
}

static void fields_that_do_not_fit_are_refused(void **state)
{
    struct world *w = *state;
    struct checkpoint_info info;
    struct err err = {0};

    world_make(w);
    w->field.id = 4;
    assert_int_equal(checkpoint_load(&w->state, true, &info, &err), ST_CORRUPT);
    w->field.id = 0;
    w->field.dim = WORLD_DIM + 1;
    assert_int_equal(checkpoint_load(&w->state, true, &info, &err), ST_CORRUPT);
    w->state.field_count = 0;
    assert_int_equal(checkpoint_load(&w->state, true, &info, &err), ST_CORRUPT);
    world_drop(w);
}

/* A manifest that is whole and wrong: a good checksum over random changes. Never a crash, never
 * another status than these. */
static void manifests_that_lie_never_lead_outside(void **state)
{
    struct world *w = *state;
    struct buf b = world_file_read(w, "manifest");
    struct rand_seeded rand;
    unsigned decoded = 0;

    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 20000; round++) {
        size_t bytes = b.bytes - (round % 5 == 0 ? rand_below(&rand.source, b.bytes - 88) : 0);
        uint64_t edits = 1 + rand_below(&rand.source, 3);
        uint8_t *copy = malloc(bytes);
        struct ckpt_manifest m;
        status st;

        assert_non_null(copy);
        memcpy(copy, b.data, bytes);
        for (uint64_t e = 0; e < edits; e++)
            copy[rand_below(&rand.source, bytes)] ^= (uint8_t)rand_u64(&rand.source);
        le_put_u32(copy + 8, (uint32_t)bytes);
        le_put_u32(copy + 12, crc32c(crc32c(0, copy, 12), copy + 16, bytes - 16));
        st = ckpt_manifest_decode(slice_make(copy, bytes), &m, NULL);
        if (st == ST_OK) {
            decoded++;
            ckpt_manifest_free(&m);
        } else if (st != ST_CORRUPT && st != ST_UNSUPPORTED) {
            fail_msg("%s round=%u seed=%llu", status_name(st), round, (unsigned long long)seed);
        }
        if (round % 100 == 0) {
            struct err err;

            world_file_write(w, "manifest", slice_make(copy, bytes));
            st = load(w, &err);
            assert_true(st == ST_OK || st == ST_CORRUPT || st == ST_UNSUPPORTED);
        }
        free(copy);
    }
    assert_true(decoded > 0);
    buf_free(&b);
}

/* Containers that are whole and wrong inside: a live file, rows or nodes of bytes with good
 * checksums all the way up to the manifest. */
static void contents_that_lie_never_lead_outside(void **state)
{
    struct world *w = *state;
    struct rand_seeded rand;
    unsigned loaded = 0;

    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 600; round++) {
        size_t which = 1 + rand_below(&rand.source, COUNT_OF(FILES) - 1);
        struct buf file = world_file_read(w, FILES[which]);
        struct buf manifest = world_file_read(w, "manifest");
        struct buf old = world_file_read(w, "manifest");
        struct buf whole = world_file_read(w, FILES[which]);
        uint8_t *entry = manifest.data + 88 + 8 + (which - 1) * 40;
        uint8_t *trailer = file.data + file.bytes - 64;
        uint8_t *table = file.data + le_u64(trailer + 8);
        size_t payload = le_u32(file.data + 32);
        uint8_t place[12] = {0};
        uint32_t crc;
        struct err err;
        status st;

        assert_int_equal(le_u32(table + 4), 1); /* one unit: it can be sealed here */
        for (unsigned e = 0; e < 1 + round % 3; e++)
            file.data[60 + rand_below(&rand.source, payload)] ^= (uint8_t)rand_u64(&rand.source);
        memcpy(place, file.data + 28, 4);
        memcpy(place + 4, table, 2);
        crc = crc32c(0, place, sizeof place);
        crc = crc32c(crc, file.data + 32, 8);
        crc = crc32c(crc, file.data + 44, 16);
        le_put_u32(file.data + 40, crc32c(crc, file.data + 60, payload));
        le_put_u32(table + 32, crc32c(0, file.data + 32, 28));
        le_put_u32(trailer + 20, crc32c(0, table, 40));
        le_put_u32(trailer + 60, crc32c(0, trailer, 60));
        memcpy(entry + 32, trailer + 60, 4);
        le_put_u32(manifest.data + 12,
                   crc32c(crc32c(0, manifest.data, 12), manifest.data + 16, manifest.bytes - 16));
        world_file_write(w, FILES[which], buf_slice(&file));
        world_file_write(w, "manifest", buf_slice(&manifest));
        assert_int_equal(verify(w, &err), ST_OK); /* else the seal is wrong */
        st = load(w, &err);
        if (st == ST_CORRUPT && strstr(err.text, "checkpoint file") == NULL)
            fail_msg("no file in: %s", err.text);
        if (st != ST_OK && st != ST_CORRUPT)
            fail_msg("%s: %s round=%u seed=%llu", status_name(st), err.text, round,
                     (unsigned long long)seed);
        loaded += st == ST_OK;
        world_file_write(w, FILES[which], buf_slice(&whole));
        world_file_write(w, "manifest", buf_slice(&old));
        buf_free(&file);
        buf_free(&manifest);
        buf_free(&old);
        buf_free(&whole);
    }
    assert_true(loaded > 0 && loaded < 600);
}

static void a_newer_manifest_is_unsupported_and_never_written_over(void **state)
{
    struct world *w = *state;
    struct buf b = world_file_read(w, "manifest");
    struct checkpoint_info info;
    struct err err;

    b.data[4] = 2;
    le_put_u32(b.data + 12, crc32c(crc32c(0, b.data, 12), b.data + 16, b.bytes - 16));
    world_file_write(w, "manifest", buf_slice(&b));
    assert_int_equal(load(w, &err), ST_UNSUPPORTED);
    world_make(w);
    assert_int_equal(world_checkpoint(w, &info, &err), ST_UNSUPPORTED);
    world_drop(w);
    buf_free(&b);
}

/* A manifest that cannot be read keeps nothing; what is in RAM is written anew over it. */
static void a_damaged_checkpoint_is_healed_by_the_next(void **state)
{
    struct checkpoint_info info;
    struct err err = {0};
    struct world w;

    (void)state;
    world_open(&w, seed);
    w.ops_per_step = 0;
    world_ops(&w, 60);
    assert_int_equal(world_checkpoint(&w, &info, &err), ST_OK);
    world_file_write(&w, "manifest", slice_text("TVCP?"));
    assert_int_equal(world_checkpoint(&w, &info, &err), ST_OK);
    assert_int_equal(info.blocks_kept, 0);
    assert_int_equal(info.generation, 2);
    assert_int_equal(world_restart(&w), w.lsn);
    world_check(&w);
    world_close(&w);
}

static void released_manifests_are_read_and_written_again(void **state)
{
    struct ckpt_manifest m = {.generation = 9,
                              .start_lsn = 1000,
                              .lsn_max = 1010,
                              .created_at_ns = 1700000000000000001u,
                              .collection_id = {1, 2, 3},
                              .block_slots = CHECKPOINT_BLOCK_SLOTS,
                              .slots_end = 20000,
                              .live = 18000,
                              .dead = 5,
                              .fields = {{.id = 0, .dim = 384}, {.id = 2, .dim = 3}},
                              .field_count = 2};
    const struct ckpt_file files[] = {
        {CKPT_ROWS, 0, 7, 800, 25000000, 0x11223344, 16000},
        {CKPT_ROWS, 1, 9, 1000, 3000000, 0x22334455, 2005},
        {CKPT_LIVE, 0, 9, 1000, 40000, 0x33445566, 18005},
        {CKPT_GRAPH, 0, 9, 1000, 1000000, 0x44556677, 18000},
        {CKPT_GRAPH, 2, 9, 1000, 1000, 0x55667788, 0},
    };
    struct ckpt_manifest back;
    struct slice stored;
    struct buf b;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        assert_int_equal(ckpt_manifest_add(&m, &files[i], NULL), ST_OK);
    buf_init(&b, CKPT_MANIFEST_BYTES_MAX);
    assert_int_equal(ckpt_manifest_encode(&m, &b, NULL), ST_OK);
    golden_check("checkpoint-v1-manifest.hex", buf_slice(&b));
    stored = golden_read("checkpoint-v1-manifest.hex");
    assert_int_equal(ckpt_manifest_decode(stored, &back, NULL), ST_OK);
    assert_int_equal(back.generation, 9);
    assert_int_equal(back.lsn_max, 1010);
    assert_int_equal(back.fields[1].id, 2);
    assert_int_equal(back.file_count, 5);
    assert_memory_equal(&back.files[3].crc, &files[3].crc, 4);
    assert_ptr_equal(ckpt_manifest_find(&back, CKPT_ROWS, 1), &back.files[1]);
    assert_ptr_equal(ckpt_manifest_find(&back, CKPT_GRAPH, 2), &back.files[4]);
    assert_null(ckpt_manifest_find(&back, CKPT_ROWS, 2));
    mem_free((void *)(uintptr_t)stored.data);
    ckpt_manifest_free(&back);
    ckpt_manifest_free(&m);
    buf_free(&b);
}

int main(int argc, char **argv)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(every_flipped_bit_is_found_and_its_file_named),
        WITH_WORLD(every_cut_is_found_and_its_file_named),
        WITH_WORLD(a_missing_file_is_corruption_not_absence),
        WITH_WORLD(an_older_file_of_the_same_name_is_corruption),
        WITH_WORLD(another_collection_s_checkpoint_is_refused),
        WITH_WORLD(fields_that_do_not_fit_are_refused),
        WITH_WORLD(manifests_that_lie_never_lead_outside),
        WITH_WORLD(contents_that_lie_never_lead_outside),
        WITH_WORLD(a_newer_manifest_is_unsupported_and_never_written_over),
        cmocka_unit_test(a_damaged_checkpoint_is_healed_by_the_next),
        cmocka_unit_test(released_manifests_are_read_and_written_again),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
