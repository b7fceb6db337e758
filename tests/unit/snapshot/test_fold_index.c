/* The payload indexes a fold writes: every key of every row, sorted, whether it all fitted into RAM
 * or was merged from many runs. */
#include "filter/pindex_stored.h"
#include "segment/cold_index.h"
#include "segment/container_memory.h"
#include "snapshot/fold_internal.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/fs_sim.h"
#include "tests/unit/filter/jsons.h"
#include "tests/unit/filter/pindex_gen.h"

#include <stdlib.h>

enum { ROWS = 400, SPECS = 6, PAIR_BYTES = 64 };

static uint64_t seed = 20261122;

struct pair {
    uint32_t spec, row, bytes;
    uint8_t key[PINDEX_STORED_KEY_BYTES_MAX];
};
struct world {
    struct fs_sim *sim;
    struct fs *fs;
    struct arena arena;
    struct pindex_spec specs[SPECS];
    struct buf payloads[ROWS];
    struct pair *pairs;
    size_t count, room, at;
    uint32_t spec, row;
    uint32_t run_bytes;
    unsigned pauses, stop_at;
};

static bool take_pair(void *arg, struct slice key)
{
    struct world *w = arg;

    if (w->count == w->room) {
        w->room = w->room == 0 ? 1024 : 2 * w->room;
        w->pairs = realloc(w->pairs, w->room * sizeof *w->pairs);
        assert_non_null(w->pairs);
    }
    w->pairs[w->count] =
        (struct pair){.spec = w->spec, .row = w->row, .bytes = (uint32_t)key.bytes};
    memcpy(w->pairs[w->count++].key, key.data, key.bytes);
    return true;
}

static int by_pair(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = x->spec != y->spec
                    ? (x->spec < y->spec ? -1 : 1)
                    : memcmp(x->key, y->key, x->bytes < y->bytes ? x->bytes : y->bytes);

    if (order == 0)
        order = (x->bytes > y->bytes) - (x->bytes < y->bytes);
    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

static void world_open(struct world *w)
{
    struct gen gen = {.random = seed};
    struct buf text;
    size_t kept = 0;

    *w = (struct world){.run_bytes = 0};
    w->sim = fs_sim_create();
    w->fs = fs_sim_fs(w->sim);
    arena_init(&w->arena, SIZE_MAX);
    assert_int_equal(fs_mkdir_all(w->fs, "fold", NULL), ST_OK);
    for (size_t i = 0; i < SPECS; i++)
        assert_int_equal(path_parse(slice_text(gen_path(i, &w->specs[i].type)), &w->arena,
                                    &w->specs[i].path, NULL),
                         ST_OK);
    buf_init(&text, 1024 * 1024);
    for (w->row = 0; w->row < ROWS; w->row++) {
        buf_init(&w->payloads[w->row], 1024 * 1024);
        buf_reset(&text);
        gen_payload(&gen, &text);
        jsons_blob(&w->payloads[w->row], (const char *)text.data);
        for (w->spec = 0; w->spec < SPECS; w->spec++)
            assert_true(pindex_entries_of(&w->specs[w->spec], buf_slice(&w->payloads[w->row]),
                                          take_pair, w));
    }
    qsort(w->pairs, w->count, sizeof *w->pairs, by_pair);
    for (size_t i = 0; i < w->count; i++)
        if (kept == 0 || by_pair(&w->pairs[i], &w->pairs[kept - 1]) != 0)
            w->pairs[kept++] = w->pairs[i];
    w->count = kept;
    buf_free(&text);
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < ROWS; i++)
        buf_free(&w->payloads[i]);
    free(w->pairs);
    arena_free(&w->arena);
    fs_sim_destroy(w->sim);
    jsons_free();
}

static status pause_here(void *arg, struct err *err)
{
    struct world *w = arg;

    return ++w->pauses == w->stop_at ? err_set(err, ST_CLOSED, "stop") : ST_OK;
}

static status write_rows(struct world *w, struct cold_writer *writer, struct fold_index *x,
                         struct err *err)
{
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < ROWS; i++) {
        const struct cold_payload_row row = {
            .payload = buf_slice(&w->payloads[i]), .lsn = 1 + i, .id = docid_u64(i)};

        st = cold_writer_payload(writer, &row, err);
        if (st == ST_OK)
            st = fold_index_row(x, i, row.payload, err);
    }
    for (uint32_t i = 0; st == ST_OK && i < ROWS; i++)
        st = cold_writer_id(writer, &(struct docid){.kind = DOCID_U64, .u64 = i}, i, 1 + i, err);
    return st;
}

static status write_segment(struct world *w, struct container_sink *sink, struct manifest_cold *out,
                            struct err *err)
{
    const struct cold_writer_options o = {.collection = {7},
                                          .salt = 5,
                                          .rows = ROWS,
                                          .id_form = COLD_ID_U64,
                                          .id_bytes = 8,
                                          .lsn_min = 1,
                                          .lsn_max = ROWS,
                                          .plain = true};
    struct cold_writer *writer = NULL;
    struct fold_index *x = NULL;
    status st = cold_writer_create(sink, &o, &writer, err);

    if (st == ST_OK)
        st = fold_index_open(w->fs, "fold", w->specs, SPECS, w->run_bytes, &x, err);
    if (st == ST_OK)
        st = write_rows(w, writer, x, err);
    if (st == ST_OK)
        st = fold_index_write(x, writer, pause_here, w, err);
    if (st == ST_OK)
        st = cold_writer_finish(writer, out, err);
    fold_index_close(x);
    cold_writer_destroy(writer);
    return st;
}

static status expect_pairs(void *arg, struct slice key, const uint32_t *rows, uint32_t count,
                           struct err *err)
{
    struct world *w = arg;

    (void)err;
    for (uint32_t i = 0; i < count; i++, w->at++) {
        const struct pair *p = &w->pairs[w->at];

        assert_true(w->at < w->count);
        assert_int_equal(p->spec, w->spec);
        assert_int_equal(p->row, rows[i]);
        assert_true(slice_equal(key, slice_make(p->key, p->bytes)));
    }
    return ST_OK;
}

static void everything_is_there(struct world *w, struct slice object, struct manifest_cold *named)
{
    struct cold_index_cursor *cursor = malloc(sizeof *cursor);
    struct container_memory_source source;
    struct cold_footer f;
    struct buf unpacked;

    container_memory_source_init(&source, object);
    assert_int_equal(cold_check(&source.source, (const uint8_t[16]){7}, named, NULL), ST_OK);
    assert_int_equal(
        cold_footer_decode(slice_make(object.data + named->footer_offset, named->footer_bytes),
                           (const uint8_t[16]){7}, named, &f, NULL),
        ST_OK);
    assert_non_null(f.indexes);
    assert_int_equal(f.indexes->count, SPECS);
    buf_init(&unpacked, COLD_INDEX_BLOCK_BYTES_MAX);
    w->at = 0;
    for (w->spec = 0; w->spec < SPECS; w->spec++) {
        const struct cold_index *x = &f.indexes->items[w->spec];

        assert_true(slice_equal(x->path, w->specs[w->spec].path->text));
        assert_int_equal(x->type, w->specs[w->spec].type);
        cursor->key_bytes = 0;
        for (uint32_t b = x->first; b < x->first + x->blocks; b++) {
            uint64_t offset, bytes;

            cold_index_range(&f, b, &offset, &bytes);
            assert_int_equal(cold_index_each(&f, (uint16_t)w->spec, b,
                                             slice_make(object.data + offset, (size_t)bytes),
                                             &unpacked, cursor, expect_pairs, w, NULL),
                             ST_OK);
        }
    }
    assert_int_equal(w->at, w->count);
    cold_footer_free(&f);
    buf_free(&unpacked);
    free(cursor);
}

static void runs_are_merged_into_the_same(void **state)
{
    const uint32_t run_bytes[] = {0, 40000, 3000, 1};
    struct slice first = {0};
    struct world w;

    (void)state;
    world_open(&w);
    for (size_t i = 0; i < COUNT_OF(run_bytes); i++) {
        struct container_memory_sink sink;
        struct manifest_cold named = {.level = 1};

        container_memory_sink_init(&sink, SIZE_MAX);
        w.run_bytes = run_bytes[i];
        assert_int_equal(write_segment(&w, &sink.sink, &named, NULL), ST_OK);
        everything_is_there(&w, buf_slice(&sink.bytes), &named);
        if (i == 0) {
            first = buf_slice(&sink.bytes);
            continue;
        }
        assert_true(slice_equal(first, buf_slice(&sink.bytes)));
        buf_free(&sink.bytes);
    }
    mem_free((void *)(uintptr_t)first.data);
    world_close(&w);
}

static void it_stops_where_it_is_told_to(void **state)
{
    struct container_memory_sink sink;
    struct manifest_cold named;
    struct world w;

    (void)state;
    world_open(&w);
    container_memory_sink_init(&sink, SIZE_MAX);
    assert_int_equal(write_segment(&w, &sink.sink, &named, NULL), ST_OK);
    buf_free(&sink.bytes);
    assert_true(w.pauses > 1);
    w.stop_at = w.pauses;
    w.pauses = 0;
    container_memory_sink_init(&sink, SIZE_MAX);
    assert_int_equal(write_segment(&w, &sink.sink, &named, NULL), ST_CLOSED);
    buf_free(&sink.bytes);
    world_close(&w);
}

static status write_once(void *arg)
{
    struct container_memory_sink sink;
    struct manifest_cold named;
    status st;

    container_memory_sink_init(&sink, SIZE_MAX);
    st = write_segment(arg, &sink.sink, &named, NULL);
    buf_free(&sink.bytes);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    struct world w;

    (void)state;
    world_open(&w);
    w.run_bytes = 60000;
    assert_true(alloc_sweep(write_once, &w) > 20);
    world_close(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_merged_into_the_same),
        cmocka_unit_test(it_stops_where_it_is_told_to),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
