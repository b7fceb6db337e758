/* Payload indexes of a cold segment: what was written is read, by the blocks that may have it; each
 * cut, each bit and each lie is found; who does not know them passes them over. */
#include "base/bits.h"
#include "segment/cold_index.h"
#include "segment/cold_internal.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/golden.h"
#include "tests/support/seal_cold.h"
#include "tests/unit/segment/attack.h"
#include "tests/unit/segment/cold_case.h"

#include <stdio.h>

static uint64_t seed = 20261122;

/* --- a model: keys of an index with their rows --- */

enum { KEYS_MAX = 4000 };

struct model_key {
    uint32_t bytes, count;
    uint32_t *rows;
    uint8_t key[COLD_INDEX_KEY_BYTES_MAX];
};
struct model {
    struct cold_index what;
    size_t count;
    struct model_key *keys;
};
static struct model models[3];
static size_t model_count;

static int key_order(const void *a, const void *b)
{
    const struct model_key *x = a, *y = b;
    int order = memcmp(x->key, y->key, x->bytes < y->bytes ? x->bytes : y->bytes);

    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static struct slice key_of(const struct model_key *k)
{
    return slice_make(k->key, k->bytes);
}

static void put_key(struct model *m, const void *key, size_t bytes, uint32_t rows, uint32_t every,
                    uint32_t from)
{
    struct model_key *k = &m->keys[m->count++];

    assert_true(m->count <= KEYS_MAX);
    memcpy(k->key, key, bytes);
    k->bytes = (uint32_t)bytes;
    k->rows = calloc(rows + 1, sizeof *k->rows);
    for (uint32_t row = from; row < rows; row += every)
        k->rows[k->count++] = row;
}

static struct model *begin_model(uint8_t type, const char *path)
{
    struct model *m = &models[model_count++];

    *m = (struct model){.what = {.type = type, .path = slice_text(path)}};
    m->keys = calloc(KEYS_MAX, sizeof *m->keys);
    return m;
}

static void end_model(struct model *m)
{
    size_t kept = 0;

    qsort(m->keys, m->count, sizeof *m->keys, key_order);
    for (size_t i = 0; i < m->count; i++) {
        if (kept > 0 && key_order(&m->keys[kept - 1], &m->keys[i]) == 0)
            free(m->keys[i].rows);
        else
            m->keys[kept++] = m->keys[i];
    }
    m->count = kept;
}

/* Sets, numbers with few rows each, texts of all lengths with long starts in common, some keys with
 * most rows. */
static void make_models(uint32_t rows, uint32_t numbers, uint32_t texts, bool long_texts)
{
    struct rand_seeded r;
    struct model *m;

    rand_seeded_init(&r, seed);
    m = begin_model(2, "price");
    put_key(m, "\0", 1, rows, 1, 0);
    put_key(m, "\1", 1, rows, 3, 1);
    for (uint32_t i = 0; i < numbers; i++) {
        uint8_t key[9] = {0x21};

        for (unsigned b = 5; b < 9; b++)
            key[b] = (uint8_t)rand_u64(&r.source);
        put_key(m, key, sizeof key, rows, 1 + (uint32_t)rand_below(&r.source, rows),
                (uint32_t)rand_below(&r.source, rows));
    }
    end_model(m);
    m = begin_model(1, "word");
    m->what.tokenizer = 2;
    m->what.keep_case = true;
    m->what.min_bytes = 3;
    m->what.max_bytes = 20;
    for (uint32_t i = 0; i < texts; i++) {
        uint8_t key[COLD_INDEX_KEY_BYTES_MAX];
        size_t bytes = 1 + rand_below(&r.source, long_texts ? COLD_INDEX_KEY_BYTES_MAX : 12);

        memset(key, 'a', sizeof key);
        key[0] = 0x10;
        for (size_t b = bytes > 4 ? bytes - 3 : 1; b < bytes; b++)
            key[b] = (uint8_t)('a' + rand_below(&r.source, 3));
        put_key(m, key, bytes, rows, 1 + (uint32_t)rand_below(&r.source, 9), 0);
    }
    end_model(m);
    m = begin_model(5, "nothing");
    end_model(m);
}

static void free_models(void)
{
    for (size_t i = 0; i < model_count; i++) {
        for (size_t k = 0; k < models[i].count; k++)
            free(models[i].keys[k].rows);
        free(models[i].keys);
    }
    model_count = 0;
}

static status write_models(const struct cold_case *c, struct cold_writer *w)
{
    status st = ST_OK;

    (void)c;
    for (size_t i = 0; st == ST_OK && i < model_count; i++) {
        const struct model *m = &models[i];

        st = cold_writer_index_begin(w, &m->what, NULL);
        for (size_t k = 0; st == ST_OK && k < m->count; k++)
            for (uint32_t n = 0; st == ST_OK && n < 2 * m->keys[k].count; n++) /* each twice */
                st = cold_writer_index_row(w, key_of(&m->keys[k]), m->keys[k].rows[n / 2], NULL);
        if (st == ST_OK)
            st = cold_writer_index_end(w, NULL);
    }
    return st;
}

static void make(struct cold_case *c, uint32_t rows, bool plain)
{
    const struct cold_case_options o = {
        .seed = seed, .rows = rows, .fields = 1, .ids = CASE_U64, .payload_bytes = 20};

    cold_case_make(&o, c);
    c->writer.plain = plain;
    c->indexes = write_models;
    cold_case_write(c);
}

static void give_back(struct cold_case *c, struct cold_footer *f)
{
    if (f != NULL)
        cold_footer_free(f);
    cold_case_free(c);
    free_models();
}

/* --- what was written --- */

struct reading {
    const struct model *m;
    size_t at;    /* key of the model */
    uint32_t row; /* of it */
    struct slice low, high;
};

static bool is_within(const struct reading *r, struct slice key)
{
    return !cold_key_below(key, r->low) && !cold_key_below(r->high, key);
}

static status expect_rows(void *arg, struct slice key, const uint32_t *rows, uint32_t count,
                          struct err *err)
{
    struct reading *r = arg;

    (void)err;
    if (!is_within(r, key))
        return ST_OK;
    assert_true(r->at < r->m->count);
    if (r->row == r->m->keys[r->at].count) {
        r->at++;
        r->row = 0;
        assert_true(r->at < r->m->count);
    }
    assert_true(slice_equal(key, key_of(&r->m->keys[r->at])));
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(rows[i], r->m->keys[r->at].rows[r->row++]);
    return ST_OK;
}

/* Keys from..to of the model, read from the blocks that may have them. Returns how many. */
static uint32_t range_is_read(const struct cold_case *c, const struct cold_footer *f,
                              uint16_t index, size_t from, size_t to)
{
    const struct model *m = &models[index];
    struct reading r = {
        .m = m, .at = from, .low = key_of(&m->keys[from]), .high = key_of(&m->keys[to])};
    struct cold_index_cursor *cursor = calloc(1, sizeof *cursor);
    uint32_t first, count;
    struct buf unpacked;

    buf_init(&unpacked, COLD_INDEX_BLOCK_BYTES_MAX);
    cold_index_blocks(f, index, r.low, r.high, &first, &count);
    for (uint32_t i = first; i < first + count; i++) {
        uint64_t offset, bytes;

        cold_index_range(f, i, &offset, &bytes);
        assert_int_equal(cold_index_each(f, index, i, cold_case_part(c, offset, bytes), &unpacked,
                                         cursor, expect_rows, &r, NULL),
                         ST_OK);
    }
    assert_int_equal(r.at, to);
    assert_int_equal(r.row, m->keys[to].count);
    buf_free(&unpacked);
    free(cursor);
    return count;
}

static void everything_is_read(const struct cold_case *c, const struct cold_footer *f,
                               bool long_texts)
{
    struct rand_seeded rand;
    uint32_t whole, some = 0, asked = 0;

    rand_seeded_init(&rand, seed);
    assert_non_null(f->indexes);
    assert_int_equal(f->indexes->count, model_count);
    for (uint16_t i = 0; i < model_count; i++) {
        const struct model *m = &models[i];
        const struct cold_index *x = &f->indexes->items[i];
        uint64_t entries = 0;

        assert_int_equal(x->type, m->what.type);
        assert_int_equal(x->tokenizer, m->what.tokenizer);
        assert_int_equal(x->keep_case, m->what.keep_case);
        assert_int_equal(x->min_bytes, m->what.min_bytes);
        assert_int_equal(x->max_bytes, m->what.max_bytes);
        assert_true(slice_equal(x->path, m->what.path));
        for (size_t k = 0; k < m->count; k++) {
            if (m->keys[k].key[0] < COLD_INDEX_SETS)
                assert_int_equal(x->sets[m->keys[k].key[0]], m->keys[k].count);
            else
                entries += m->keys[k].count;
        }
        assert_int_equal(x->entries, entries);
        if (m->count == 0) {
            assert_int_equal(x->blocks, 0);
            continue;
        }
        whole = range_is_read(c, f, i, 0, m->count - 1);
        assert_int_equal(whole, x->blocks);
        for (int n = 0; n < 60; n++) {
            size_t a = (size_t)rand_below(&rand.source, m->count);

            some += range_is_read(c, f, i, a, a);
            asked += whole;
            (void)range_is_read(c, f, i, a, a + (size_t)rand_below(&rand.source, m->count - a));
        }
    }
    if (asked > 2000 && !long_texts)
        assert_true(some < asked / 4); /* a key lies in few blocks */
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        struct cold_footer f;
        struct cold_case c;

        make_models(round % 2 == 0 ? 300 : 40000, round < 2 ? 5 : 1500, round < 2 ? 5 : 400,
                    round >= 4);
        make(&c, round % 2 == 0 ? 300 : 40000, round % 3 == 0);
        assert_int_equal(cold_case_check(&c), ST_OK);
        assert_int_equal(
            cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, &c.named, &f, NULL), ST_OK);
        everything_is_read(&c, &f, round >= 4);
        give_back(&c, &f);
    }
}

/* All starts are longer than a fence may be. */
static void keys_with_long_starts_are_found(void **state)
{
    struct cold_footer f;
    struct cold_case c;
    struct model *m;

    (void)state;
    m = begin_model(1, "url");
    for (uint32_t i = 0; i < 3000; i++) {
        uint8_t key[200];
        int n;

        memset(key, 'h', sizeof key);
        n = snprintf((char *)key + 180, 20, "%06u", i * 7 % 3000);
        key[0] = 0x10;
        put_key(m, key, 180 + (size_t)n, 300, 50, i % 50);
    }
    end_model(m);
    make(&c, 300, true);
    assert_int_equal(cold_case_check(&c), ST_OK);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, &c.named, &f, NULL),
                     ST_OK);
    assert_true(f.indexes->blocks > 1);
    for (size_t i = 0; i < m->count; i += 97)
        (void)range_is_read(&c, &f, 0, i, i);
    (void)range_is_read(&c, &f, 0, 0, m->count - 1);
    give_back(&c, &f);
}

static void released_bytes_are_read_and_written_again(void **state)
{
    struct container_memory_source source;
    struct cold_footer f;
    struct cold_case c;
    struct slice stored;
    uint64_t given = seed;

    (void)state;
    seed = 20261122; /* of the released bytes */
    make_models(30, 3, 4, false);
    make(&c, 30, true);
    golden_check("cold-v1-indexes.hex", buf_slice(&c.bytes));
    stored = golden_read("cold-v1-indexes.hex");
    container_memory_source_init(&source, stored);
    assert_int_equal(cold_check(&source.source, COLD_CASE_DOCS, NULL, NULL), ST_OK);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, &c.named, &f, NULL),
                     ST_OK);
    everything_is_read(&c, &f, false);
    mem_free((void *)(uintptr_t)stored.data);
    give_back(&c, &f);
    seed = given;
}

/* --- damage --- */

static status check_all(struct slice bytes)
{
    struct container_memory_source source;

    container_memory_source_init(&source, bytes);
    return cold_check(&source.source, COLD_CASE_DOCS, NULL, NULL);
}

static void make_small(struct cold_case *c)
{
    make_models(9, 2, 3, false);
    make(c, 9, true);
}

static void each_cut_and_each_bit_is_found(void **state)
{
    struct cold_footer f;
    struct cold_case c;

    (void)state;
    make_small(&c);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &f, NULL),
                     ST_OK);
    for (size_t cut = (size_t)f.indexes->at; cut < c.bytes.bytes; cut++)
        if (attack_copy(check_all, c.bytes.data, cut) != ST_CORRUPT)
            fail_msg("cut at byte %zu of %zu", cut, c.bytes.bytes);
    for (size_t bit = (size_t)f.indexes->at * 8; bit < c.bytes.bytes * 8; bit++) {
        c.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (check_all(buf_slice(&c.bytes)) != ST_CORRUPT)
            fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
        c.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    give_back(&c, &f);
}

static struct cold_footer layout;
static uint32_t one_block;

static status nothing(void *arg, struct slice key, const uint32_t *rows, uint32_t count,
                      struct err *err)
{
    (void)arg;
    (void)key;
    (void)err;
    for (uint32_t i = 0; i < count; i++)
        assert_true(rows[i] < layout.rows);
    return ST_OK;
}

static status walk_block(struct slice bytes)
{
    struct cold_index_cursor *cursor = calloc(1, sizeof *cursor);
    uint16_t index = 0;
    struct buf unpacked;
    status st;

    while (one_block - layout.indexes->items[index].first >= layout.indexes->items[index].blocks)
        index++;
    buf_init(&unpacked, COLD_INDEX_BLOCK_BYTES_MAX);
    st = cold_index_each(&layout, index, one_block, bytes, &unpacked, cursor, nothing, NULL, NULL);
    buf_free(&unpacked);
    free(cursor);
    return st;
}

static void seal_block(uint8_t *data, size_t bytes)
{
    if (bytes < INDEX_HEADER_BYTES)
        return;
    le_put_u32(data + INDEX_AT_CRC,
               container_item_crc(layout.header_crc, COLD_SECTION_INDEXES, one_block,
                                  slice_make(data, INDEX_AT_CRC),
                                  slice_make(data + INDEX_AT_ENTRIES, bytes - INDEX_AT_ENTRIES)));
}

static void a_block_is_found_out_by_itself(void **state)
{
    struct cold_case c;
    unsigned accepted = 0;

    (void)state;
    make_models(60, 40, 30, true);
    make(&c, 60, true);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &layout, NULL),
                     ST_OK);
    for (one_block = 0; one_block < layout.indexes->blocks; one_block++) {
        uint64_t offset, bytes;
        struct slice block;

        cold_index_range(&layout, one_block, &offset, &bytes);
        block = cold_case_part(&c, offset, bytes);
        if (one_block == 0)
            attack_cuts_and_flips(walk_block, block);
        accepted +=
            attack_edits(walk_block, seal_block, block, block.bytes - 1, 3000, seed + one_block);
    }
    print_message("%u lies of blocks could be true\n", accepted);
    assert_true(accepted > 10);
    give_back(&c, &layout);
}

static void damage_under_good_checksums_never_leads_outside(void **state)
{
    struct cold_case c;
    struct rand_seeded rand;
    struct slice good;
    struct seal_cold s = {0};
    unsigned accepted = 0, corrupt = 0;
    size_t from;

    (void)state;
    make_small(&c);
    good = cold_case_footer(&c);
    for (from = 0; le_u16(good.data + from + BLOCK_AT_KIND) != BLOCK_INDEXES;)
        from += BLOCK_HEADER_BYTES + le_u32(good.data + from + BLOCK_AT_BYTES);
    s.bytes = good.bytes;
    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t *copy = malloc(good.bytes);
        struct cold_footer f;
        status st;

        memcpy(copy, good.data, good.bytes);
        for (uint64_t n = 1 + rand_below(&rand.source, 2); n > 0; n--)
            copy[from + BLOCK_HEADER_BYTES +
                 rand_below(&rand.source, good.bytes - from - BLOCK_HEADER_BYTES)] =
                (uint8_t)rand_u64(&rand.source);
        s.data = copy;
        s.header_crc = container_cold_header_crc(COLD_CASE_DOCS,
                                                 le_u32(copy + BLOCK_HEADER_BYTES + HEAD_AT_SALT));
        seal_cold_footer(&s, 0, good.bytes);
        st = cold_footer_decode(slice_make(copy, good.bytes), COLD_CASE_DOCS, NULL, &f, NULL);
        accepted += st == ST_OK;
        corrupt += st == ST_CORRUPT;
        assert_true(st == ST_OK || st == ST_CORRUPT);
        for (uint16_t i = 0; st == ST_OK && f.indexes != NULL && i < f.indexes->count; i++) {
            uint32_t first, count;

            cold_index_blocks(&f, i, slice_make(copy, 3), slice_make(copy + 3, 5), &first, &count);
            assert_true(first + count <= f.indexes->blocks);
        }
        if (st == ST_OK)
            cold_footer_free(&f);
        free(copy);
    }
    assert_true(accepted > 100 && corrupt > 1000);
    give_back(&c, NULL);
}

/* --- single lies --- */

static uint8_t *directory_of(struct cold_case *c)
{
    uint8_t *at = c->bytes.data + c->named.footer_offset;

    while (le_u16(at + BLOCK_AT_KIND) != BLOCK_INDEXES)
        at += BLOCK_HEADER_BYTES + le_u32(at + BLOCK_AT_BYTES);
    return at + BLOCK_HEADER_BYTES;
}

enum { FIRST = 16, PATH_AT = FIRST + 12, SETS_AT = PATH_AT + 2 + 5 /* "price" */ };

static const char *lie(struct cold_case *c, unsigned which)
{
    uint8_t *d = directory_of(c);
    uint8_t *block = c->bytes.data + layout.indexes->at;

    switch (which) {
    case 0:
        le_put_u16(d, 0);
        return "version 0";
    case 1:
        le_put_u16(d + 2, 0);
        return "no indexes";
    case 2:
        le_put_u16(d + 2, 2);
        return "fewer indexes than there are";
    case 3:
        le_put_u32(d + 4, le_u32(d + 4) - 1);
        return "fewer blocks than there are";
    case 4:
        le_put_u64(d + 8, layout.ids_at);
        return "blocks in the id index";
    case 5:
        le_put_u64(d + 8, UINT64_MAX - 20);
        return "blocks around the end of all numbers";
    case 6:
        le_put_u64(d + 8, layout.indexes->at + 1);
        return "blocks a byte further on";
    case 7:
        d[FIRST + 3] = 1;
        return "a byte that is to be zero";
    case 8:
        le_put_u16(d + PATH_AT, 0);
        return "no path";
    case 9:
        le_put_u32(d + SETS_AT, c->options.rows + 1);
        return "more rows than there are";
    case 10:
        le_put_u32(d + SETS_AT, c->options.rows - 1);
        return "fewer rows than there are";
    case 11:
        le_put_u64(d + SETS_AT + 16, le_u64(d + SETS_AT + 16) + 1);
        return "an entry more than there are";
    case 12:
        d[SETS_AT + 28 + FENCE_AT_LOOSE] = 1;
        return "a first fence that is loose";
    case 13:
        block[INDEX_AT_ENTRIES]--;
        return "an entry less in a block";
    case 14:
        block[INDEX_AT_ZERO] = 1;
        return "a byte of a block that is to be zero";
    case 15:
        block[INDEX_HEADER_BYTES] = 1;
        return "a first key that has a start in common with none";
    case 16:
        block[INDEX_HEADER_BYTES + 2] = 2;
        return "keys out of order";
    default:
        return NULL;
    }
}

static void each_lie_is_found(void **state)
{
    (void)state;
    for (unsigned which = 0;; which++) {
        struct cold_case c;
        const char *what;
        status st;

        make_small(&c);
        assert_int_equal(
            cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &layout, NULL), ST_OK);
        what = lie(&c, which);
        seal_cold(c.bytes.data, c.bytes.bytes);
        st = check_all(buf_slice(&c.bytes));
        if (st != (what == NULL ? ST_OK : ST_CORRUPT))
            fail_msg("%s: %s", what == NULL ? "nothing" : what, status_name(st));
        give_back(&c, &layout);
        if (what == NULL)
            break;
    }
}

/* The directory of a later version, or none: the segment is as one without indexes. */
static void who_does_not_know_them_passes_them_over(void **state)
{
    for (unsigned round = 0; round < 2; round++) {
        struct cold_case c;
        struct cold_footer f;

        (void)state;
        make_small(&c);
        if (round == 0)
            le_put_u16(directory_of(&c), INDEX_VERSION + 1);
        else
            le_put_u16(directory_of(&c) - BLOCK_HEADER_BYTES + BLOCK_AT_KIND, 0xfffe);
        seal_cold(c.bytes.data, c.bytes.bytes);
        assert_int_equal(check_all(buf_slice(&c.bytes)), ST_OK);
        assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &f, NULL),
                         ST_OK);
        assert_null(f.indexes);
        give_back(&c, &f);
    }
}

/* --- writing --- */

static status try_out_of_turn(const struct cold_case *c, struct cold_writer *w)
{
    const struct cold_index what = {.type = 1, .path = slice_text("a")};
    const struct slice a = slice_text("a"), b = slice_text("b");

    assert_int_equal(cold_writer_index_row(w, a, 0, NULL), ST_INVALID);
    assert_int_equal(cold_writer_index_end(w, NULL), ST_INVALID);
    assert_int_equal(cold_writer_index_begin(w, &what, NULL), ST_OK);
    assert_int_equal(cold_writer_index_begin(w, &what, NULL), ST_INVALID);
    assert_int_equal(cold_writer_index_row(w, b, c->options.rows, NULL), ST_INVALID);
    assert_int_equal(cold_writer_index_row(w, slice_make(NULL, 0), 0, NULL), ST_INVALID);
    assert_int_equal(cold_writer_index_row(w, b, 2, NULL), ST_OK);
    assert_int_equal(cold_writer_index_row(w, b, 2, NULL), ST_OK);
    assert_int_equal(cold_writer_index_row(w, b, 1, NULL), ST_INVALID);
    assert_int_equal(cold_writer_index_row(w, a, 3, NULL), ST_INVALID);
    assert_int_equal(cold_writer_finish(w, &(struct manifest_cold){.level = 1}, NULL), ST_INVALID);
    return cold_writer_index_end(w, NULL);
}

static void what_is_out_of_turn_is_refused(void **state)
{
    const struct cold_case_options o = {.seed = 3, .rows = 5, .ids = CASE_U64};
    struct cold_case c;

    (void)state;
    cold_case_make(&o, &c);
    c.indexes = try_out_of_turn;
    cold_case_write(&c);
    assert_int_equal(cold_case_check(&c), ST_OK);
    cold_case_free(&c);
}

static status write_and_check(void *arg)
{
    struct cold_case *c = arg;
    struct container_memory_sink sink;
    struct container_memory_source source;
    struct manifest_cold m = {0};
    status st;

    container_memory_sink_init(&sink, 1 << 24);
    st = cold_case_write_to(c, &sink.sink, &m);
    container_memory_source_init(&source, buf_slice(&sink.bytes));
    if (st == ST_OK)
        st = cold_check(&source.source, COLD_CASE_DOCS, &m, NULL);
    buf_free(&sink.bytes);
    return st;
}

static void each_allocation_may_fail(void **state)
{
    struct cold_case c;

    (void)state;
    make_models(50, 20, 20, true);
    make(&c, 50, false);
    assert_true(alloc_sweep(write_and_check, &c) >= 25);
    give_back(&c, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(keys_with_long_starts_are_found),
        cmocka_unit_test(released_bytes_are_read_and_written_again),
        cmocka_unit_test(each_cut_and_each_bit_is_found),
        cmocka_unit_test(a_block_is_found_out_by_itself),
        cmocka_unit_test(damage_under_good_checksums_never_leads_outside),
        cmocka_unit_test(each_lie_is_found),
        cmocka_unit_test(who_does_not_know_them_passes_them_over),
        cmocka_unit_test(what_is_out_of_turn_is_refused),
        cmocka_unit_test(each_allocation_may_fail),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
