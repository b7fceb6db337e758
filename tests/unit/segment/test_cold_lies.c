/* Cold segments that lie under right checksums: each lie alone is found, and none leads outside. */
#include "tests/support/seal_cold.h"
#include "tests/unit/segment/attack.h"
#include "tests/unit/segment/cold_case.h"

static uint64_t seed = 20261122;
static struct cold_footer layout; /* of the good object: edits never move anything */

static void make(struct cold_case *c, uint32_t rows, uint16_t fields, enum cold_case_ids ids)
{
    const struct cold_case_options o = {.seed = seed,
                                        .rows = rows,
                                        .fields = fields,
                                        .ids = ids,
                                        .payload_bytes = 60,
                                        .missing = fields > 2};

    cold_case_make(&o, c);
    c->writer.plain = true;
    cold_case_write(c);
}

static status check_all(struct slice bytes)
{
    struct container_memory_source source;

    container_memory_source_init(&source, bytes);
    return cold_check(&source.source, COLD_CASE_DOCS, NULL, NULL);
}

static status decode_footer(struct slice bytes)
{
    struct cold_footer f;
    status st = cold_footer_decode(bytes, COLD_CASE_DOCS, NULL, &f, NULL);

    if (st == ST_OK)
        cold_footer_free(&f);
    return st;
}

static void layout_of(const struct cold_case *c)
{
    assert_int_equal(cold_footer_decode(cold_case_footer(c), COLD_CASE_DOCS, NULL, &layout, NULL),
                     ST_OK);
}

static void damage_under_good_checksums_never_leads_outside(void **state)
{
    (void)state;
    for (unsigned ids = 0; ids < CASE_IDS_COUNT; ids++) {
        struct cold_case c;

        make(&c, 6, 2, (enum cold_case_ids)ids);
        layout_of(&c);
        seal_cold(c.bytes.data, c.bytes.bytes); /* as it was */
        assert_int_equal(cold_case_check(&c), ST_OK);
        (void)attack_edits(check_all, seal_cold, buf_slice(&c.bytes), c.bytes.bytes - 1, 1500,
                           seed + ids);
        cold_footer_free(&layout);
        cold_case_free(&c);
    }
}

/* Ones that stay inside the footer: nothing but its own checks stands before the arrays. */
static void a_footer_s_lies_never_lead_outside(void **state)
{
    struct cold_case c;
    struct rand_seeded rand;
    struct slice good;
    struct seal_cold s = {0};
    unsigned accepted = 0;

    (void)state;
    make(&c, 8, 3, CASE_MIXED);
    good = cold_case_footer(&c);
    s.bytes = good.bytes;
    rand_seeded_init(&rand, seed);
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t *copy = malloc(good.bytes);
        status st;

        memcpy(copy, good.data, good.bytes);
        for (uint64_t n = 1 + rand_below(&rand.source, 2); n > 0; n--) {
            /* Mostly where counts are. */
            uint64_t at = rand_below(&rand.source, round % 2 == 0 ? good.bytes : 120);

            copy[at] = (uint8_t)rand_u64(&rand.source);
        }
        s.data = copy;
        s.header_crc = container_cold_header_crc(COLD_CASE_DOCS,
                                                 le_u32(copy + BLOCK_HEADER_BYTES + HEAD_AT_SALT));
        seal_cold_footer(&s, 0, good.bytes);
        st = decode_footer(slice_make(copy, good.bytes));
        accepted += st == ST_OK;
        if (st != ST_OK && st != ST_CORRUPT && st != ST_UNSUPPORTED)
            fail_msg("status %s seed=%llu round=%u", status_name(st), (unsigned long long)seed,
                     round);
        free(copy);
    }
    assert_true(accepted > 100 && accepted < 19000);
    cold_case_free(&c);
}

/* --- single lies --- */

static uint8_t *footer_block(struct cold_case *c, uint16_t kind, uint16_t field)
{
    uint8_t *at = c->bytes.data + c->named.footer_offset;

    while (le_u16(at + BLOCK_AT_KIND) != kind || le_u16(at + BLOCK_AT_FIELD) != field)
        at += BLOCK_HEADER_BYTES + le_u32(at);
    return at + BLOCK_HEADER_BYTES;
}

static uint8_t *record_of(struct cold_case *c, uint16_t position, uint32_t number)
{
    uint64_t offset, bytes;

    cold_records_range(&layout, position, number, 1, &offset, &bytes);
    return c->bytes.data + offset;
}

static uint8_t *payload_of(struct cold_case *c)
{
    return c->bytes.data + layout.payload_at;
}

static uint8_t *ids_of(struct cold_case *c)
{
    return c->bytes.data + layout.ids_at;
}

static const char *lie_of_the_footer(struct cold_case *c, unsigned which)
{
    uint8_t *head = footer_block(c, BLOCK_HEAD, 0);
    uint8_t *cells = footer_block(c, BLOCK_CELLS, 0);
    uint32_t coarse = layout.fields[0].coarse;

    switch (which) {
    case 0:
        le_put_u32(head + HEAD_AT_ROWS, layout.rows - 1);
        return "a row less";
    case 1:
        le_put_u64(head + HEAD_AT_LSN_MIN, layout.lsn_min - 1);
        return "a smallest lsn that no row has";
    case 2:
        le_put_u64(head + HEAD_AT_LSN_MAX, layout.lsn_max + 1);
        return "a largest lsn that no row has";
    case 3:
        le_put_u64(head + HEAD_AT_LSN_MAX, layout.lsn_max - 1);
        return "a row above the largest lsn";
    case 4:
        le_put_u32(head + HEAD_AT_ID_BLOCKS, 0);
        return "no id blocks";
    case 5:
        le_put_u32(head + HEAD_AT_PAYLOAD_BLOCKS, UINT32_MAX);
        return "payload blocks that cannot be";
    case 6:
        le_put_u32(head + HEAD_BYTES + 4, 0);
        return "a field without a dimension";
    case 7:
        le_put_u16(head + HEAD_BYTES + HEAD_FIELD_BYTES, layout.fields[0].field);
        return "a field twice";
    case 8:
        head[HEAD_AT_ZERO] = 1;
        return "what should be zero";
    case 9:
        le_put_u32(cells, le_u32(cells) + 1);
        return "a fine cell too many";
    case 10:
        le_put_u16(cells + (size_t)coarse * 4, (uint16_t)(le_u16(cells + (size_t)coarse * 4) + 1));
        return "a row of a cell too many";
    case 11:
        le_put_u16(cells + (size_t)coarse * 4, 0);
        return "an empty cell";
    case 12:
        le_put_u32(footer_block(c, BLOCK_COARSE, 0), 0x7fc00000);
        return "a mean that is no number";
    case 13:
        memset(footer_block(c, BLOCK_ID_FILTER, 0), 0, FILTER_BLOCK_BYTES);
        return "a filter that no id passes";
    case 14:
        le_put_u16(footer_block(c, BLOCK_ID_FENCES, 0), 1);
        return "a first fence that is not empty";
    case 15:
        le_put_u32(footer_block(c, BLOCK_FRAMES, 0), 1);
        return "payload that begins at the second row";
    case 16:
        le_put_u32(footer_block(c, BLOCK_FRAMES, 0) + 4, UINT32_MAX);
        return "a payload block longer than one can be";
    case 17:
        le_put_u16(footer_block(c, BLOCK_WORTH, 0) - BLOCK_HEADER_BYTES + BLOCK_AT_KIND,
                   BLOCK_FRAMES);
        return "a block in another's place";
    case 18:
        le_put_u16(footer_block(c, BLOCK_WORTH, 0) - BLOCK_HEADER_BYTES + BLOCK_AT_KIND,
                   BLOCK_OPTIONAL | 3);
        return "a block that is missing";
    default:
        return NULL;
    }
}

/* The payload block is plain: its first row is {lsn, inserted_at, id of kind 1 and 8 bytes, ...}.
 */
static const char *lie_of_the_rows(struct cold_case *c, unsigned which)
{
    uint8_t *row = payload_of(c) + PAYLOAD_HEADER_BYTES;
    uint8_t *entry = ids_of(c) + IDS_HEADER_BYTES;
    uint64_t offset, bytes;

    switch (which) {
    case 0:
        le_put_u64(record_of(c, 0, 1) + RECORD_AT_LSN, layout.lsn_max + 1);
        return "a record above the largest lsn";
    case 1:
        le_put_u64(record_of(c, 0, 1) + RECORD_AT_LSN,
                   c->rows[1].lsn == layout.lsn_min ? layout.lsn_max : layout.lsn_min);
        return "a record of another lsn";
    case 2:
        record_of(c, 0, 1)[RECORD_AT_ID]++;
        return "a record of another id";
    case 3:
        le_put_u32(record_of(c, 1, 1) + layout.fields[1].record_bytes - 4, layout.rows);
        return "a record behind the rows";
    case 4:
        le_put_u32(record_of(c, 1, 1) + layout.fields[1].record_bytes - 4,
                   c->fields[1].ordinals[0]);
        return "a record of another row";
    case 5:
        memset(record_of(c, 0, 0) + layout.fields[0].record_bytes - 4, 0xff, 4);
        return "a factor that is no number";
    case 6:
        cold_vectors_range(&layout, 0, 2, 1, &offset, &bytes);
        memset(c->bytes.data + offset + 4, 0xff, 4);
        return "a vector that is no number";
    case 7:
        cold_codes_range(&layout, 0, 0, &offset, &bytes);
        c->bytes.data[offset + 4]++;
        return "codes of more rows";
    case 8:
        le_put_u64(row, layout.lsn_max + 1);
        return "a payload row above the largest lsn";
    case 9:
        row[16 + 1]++;
        return "a payload row of another id";
    case 10:
        row[16] = DOCID_BYTES;
        return "an id of another kind";
    case 11:
        payload_of(c)[PAYLOAD_AT_ROWS]++;
        return "a payload row that is not there";
    case 12:
        payload_of(c)[PAYLOAD_AT_UNPACKED]++;
        return "a payload block of more bytes";
    case 13:
        payload_of(c)[PAYLOAD_AT_ZERO] = 1;
        return "what should be zero";
    case 14:
        payload_of(c)[PAYLOAD_AT_FORM] = PAYLOAD_ZSTD;
        return "a payload block that is not packed";
    case 15:
        le_put_u32(payload_of(c) + PAYLOAD_AT_BYTES, UINT32_MAX);
        return "a payload block longer than it is";
    case 16:
        le_put_u32(entry + 9, layout.rows);
        return "an entry behind the rows";
    case 17:
        le_put_u32(entry + 9, le_u32(entry + 9) == 0 ? 1 : 0);
        return "an entry of another row";
    case 18:
        entry[8] ^= 0x80;
        return "entries out of order";
    case 19:
        ids_of(c)[IDS_AT_ENTRIES]--;
        return "an entry less";
    case 20:
        ids_of(c)[IDS_AT_ENTRIES]++;
        return "an entry more";
    case 21:
        ids_of(c)[IDS_AT_USED]++;
        return "a byte behind the entries";
    case 22:
        le_put_u16(ids_of(c) + IDS_AT_USED, UINT16_MAX);
        return "entries longer than the block";
    case 23:
        ids_of(c)[COLD_ID_BLOCK_BYTES - 1] = 1;
        return "something behind the entries";
    case 24:
        le_put_u64(entry + 13, layout.lsn_max + 1);
        return "an entry above the largest lsn";
    default:
        return NULL;
    }
}

static const char *lie_of_the_table(struct cold_case *c, unsigned which)
{
    uint8_t *trailer = c->bytes.data + c->bytes.bytes - SEAL_TRAILER_BYTES;
    uint8_t *table = c->bytes.data + le_u64(trailer + 8);

    switch (which) {
    case 0:
        le_put_u16(table, COLD_SECTION_CODES);
        le_put_u16(table + SEAL_ENTRY_BYTES, COLD_SECTION_RECORDS);
        return "sections in each other's place";
    case 1:
        le_put_u32(table + 4, le_u32(table + 4) - 1);
        return "a record less than there are";
    case 2:
        le_put_u16(table + 2, CONTAINER_SECTION_FRAMED | CONTAINER_SECTION_OPTIONAL);
        return "records that may be skipped";
    case 3:
        le_put_u16(table + 2, 0);
        return "records in units";
    case 4:
        le_put_u64(table + 16, le_u64(table + 16) - 1);
        le_put_u64(table + 24, le_u64(table + 24) - 1);
        le_put_u64(table + SEAL_ENTRY_BYTES + 8, le_u64(table + SEAL_ENTRY_BYTES + 8) - 1);
        le_put_u64(table + SEAL_ENTRY_BYTES + 16, le_u64(table + SEAL_ENTRY_BYTES + 16) + 1);
        le_put_u64(table + SEAL_ENTRY_BYTES + 24, le_u64(table + SEAL_ENTRY_BYTES + 24) + 1);
        return "a border between sections elsewhere";
    default:
        return NULL;
    }
}

typedef const char *lie_fn(struct cold_case *c, unsigned which);

static void lies_are_found(lie_fn *lie)
{
    for (unsigned which = 0;; which++) {
        struct container_memory_source source;
        struct err err = {0};
        struct cold_case c;
        const char *what;
        status st;

        make(&c, 12, 2, CASE_U64);
        layout_of(&c);
        what = lie(&c, which);
        seal_cold(c.bytes.data, c.bytes.bytes);
        container_memory_source_init(&source, buf_slice(&c.bytes));
        st = cold_check(&source.source, COLD_CASE_DOCS, NULL, &err);
        if (st != (what == NULL ? ST_OK : ST_CORRUPT) || (what != NULL && strlen(err.text) < 10))
            fail_msg("%s: %s %s", what == NULL ? "nothing" : what, status_name(st), err.text);
        cold_footer_free(&layout);
        cold_case_free(&c);
        if (what == NULL)
            break;
    }
}

/* A payload becomes the row's external id: as many bytes, in another place. */
static void an_external_id_that_the_footer_denies_is_found(void **state)
{
    const struct cold_case_options o = {
        .seed = seed, .rows = 12, .fields = 1, .payload_bytes = 60, .no_external_ids = true};
    struct container_memory_source source;
    struct err err = {0};
    struct cold_case c;
    uint8_t *external;

    (void)state;
    cold_case_make(&o, &c);
    c.writer.plain = true;
    cold_case_write(&c);
    layout_of(&c);
    external = payload_of(&c) + PAYLOAD_HEADER_BYTES + 16 + 9; /* of the first row, behind its id */
    assert_int_equal(external[0], 0);
    assert_in_range(external[1], 1, 127);
    external[0] = external[1];
    memmove(external + 1, external + 2, external[0]);
    external[1 + external[0]] = 0;
    seal_cold(c.bytes.data, c.bytes.bytes);
    container_memory_source_init(&source, buf_slice(&c.bytes));
    assert_int_equal(cold_check(&source.source, COLD_CASE_DOCS, NULL, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "external id"));
    cold_footer_free(&layout);
    cold_case_free(&c);
}

static void each_lie_of_the_footer_is_found(void **state)
{
    (void)state;
    lies_are_found(lie_of_the_footer);
}

static void each_lie_of_the_rows_is_found(void **state)
{
    (void)state;
    lies_are_found(lie_of_the_rows);
}

static void each_lie_of_the_table_is_found(void **state)
{
    (void)state;
    lies_are_found(lie_of_the_table);
}

static void what_is_newer_is_refused_as_such(void **state)
{
    struct cold_case c;

    (void)state;
    make(&c, 4, 1, CASE_U64);
    layout_of(&c);
    le_put_u16(footer_block(&c, BLOCK_HEAD, 0) + HEAD_AT_VERSION, COLD_VERSION + 1);
    seal_cold(c.bytes.data, c.bytes.bytes);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_UNSUPPORTED);
    le_put_u16(footer_block(&c, BLOCK_HEAD, 0) + HEAD_AT_VERSION, COLD_VERSION);
    le_put_u16(footer_block(&c, BLOCK_FRAMES, 0) - BLOCK_HEADER_BYTES + BLOCK_AT_KIND,
               BLOCK_FRAMES + 1);
    seal_cold(c.bytes.data, c.bytes.bytes);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_UNSUPPORTED);
    le_put_u16(footer_block(&c, BLOCK_FRAMES + 1, 0) - BLOCK_HEADER_BYTES + BLOCK_AT_KIND,
               BLOCK_FRAMES);
    payload_of(&c)[PAYLOAD_AT_FORM] = PAYLOAD_ZSTD + 1;
    seal_cold(c.bytes.data, c.bytes.bytes);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_UNSUPPORTED);
    cold_footer_free(&layout);
    cold_case_free(&c);
}

/* As many rows as there can be, of the longest vectors: places are beyond 32 bits. */
static void places_of_the_largest_segment_do_not_wrap(void **state)
{
    const uint64_t ends[] = {0, UINT64_C(1) << 40};
    struct cold_footer f = {.rows = UINT32_MAX,
                            .id_bytes = 66,
                            .field_count = 2,
                            .payload_blocks = 1,
                            .payload_offsets = ends,
                            .id_blocks = UINT32_MAX};
    const struct cold_field field = {
        .dim = RECORD_DIM_MAX, .short_bits = 4, .rows = UINT32_MAX, .coarse = 1000};
    uint64_t offset, bytes, end;

    (void)state;
    f.fields[0] = f.fields[1] = field;
    end = cold_place_sections(&f);
    assert_int_equal(f.fields[0].record_bytes, 12 + 66 + 65535 + 8);
    assert_int_equal(f.fields[1].record_bytes, 12 + 66 + 65535 + 8 + 4);
    cold_records_range(&f, 0, UINT32_MAX - 1, 1, &offset, &bytes);
    assert_true(offset == 32 + (uint64_t)(UINT32_MAX - 1) * (12 + 66 + 65535 + 8));
    assert_true(offset + bytes == f.fields[0].codes_at);
    cold_vectors_range(&f, 1, UINT32_MAX - 1, 1, &offset, &bytes);
    assert_true(bytes == 4 + 4 * (uint64_t)RECORD_DIM_MAX);
    assert_true(offset + bytes == f.payload_at);
    assert_true(f.fields[0].vectors_at - f.fields[0].codes_at ==
                8 * UINT64_C(1000) + (uint64_t)UINT32_MAX * (32768 + 8));
    assert_true(f.ids_at == f.payload_at + ends[1]);
    assert_true(end == f.ids_at + (uint64_t)UINT32_MAX * 4096);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_under_good_checksums_never_leads_outside),
        cmocka_unit_test(a_footer_s_lies_never_lead_outside),
        cmocka_unit_test(an_external_id_that_the_footer_denies_is_found),
        cmocka_unit_test(each_lie_of_the_footer_is_found),
        cmocka_unit_test(each_lie_of_the_rows_is_found),
        cmocka_unit_test(each_lie_of_the_table_is_found),
        cmocka_unit_test(what_is_newer_is_refused_as_such),
        cmocka_unit_test(places_of_the_largest_segment_do_not_wrap),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
