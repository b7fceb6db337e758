/* Cold segments that are damaged, and such as lie under right checksums. */
#include "segment/cold_internal.h"
#include "tests/support/alloc_sweep.h"
#include "tests/unit/segment/attack.h"
#include "tests/unit/segment/cold_case.h"

static uint64_t seed = 20261122;

static void make(struct cold_case *c, uint32_t rows, uint16_t fields, enum cold_case_ids ids)
{
    const struct cold_case_options o = {.seed = seed,
                                        .rows = rows,
                                        .fields = fields,
                                        .ids = ids,
                                        .payload_bytes = 60,
                                        .missing = fields > 1};

    cold_case_make(&o, c);
    c->writer.plain = true;
    cold_case_write(c);
}

/* --- damage --- */

static status check_all(struct slice bytes)
{
    struct container_memory_source source;

    container_memory_source_init(&source, bytes);
    return cold_check(&source.source, COLD_CASE_DOCS, NULL, NULL);
}

static void a_cut_anywhere_is_corruption(void **state)
{
    struct cold_case c;

    (void)state;
    make(&c, 5, 2, CASE_MIXED);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_OK);
    for (size_t cut = 0; cut < c.bytes.bytes; cut++)
        if (attack_copy(check_all, c.bytes.data, cut) != ST_CORRUPT)
            fail_msg("cut at byte %zu of %zu", cut, c.bytes.bytes);
    buf_put_u8(&c.bytes, 0);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_CORRUPT);
    cold_case_free(&c);
}

/* Of the zeros at the end of id blocks one bit in 97 is tried, of all others each. */
static void each_flipped_bit_is_found(void **state)
{
    uint64_t offset, bytes;
    struct cold_footer f;
    struct cold_case c;

    (void)state;
    make(&c, 5, 2, CASE_LONG);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &f, NULL),
                     ST_OK);
    cold_id_range(&f, f.id_blocks - 1, &offset, &bytes);
    for (size_t bit = 0; bit < c.bytes.bytes * 8; bit++) {
        if (bit / 8 > offset + 1800 && bit / 8 < offset + bytes && bit % 97 != 0)
            continue;
        c.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (check_all(buf_slice(&c.bytes)) != ST_CORRUPT)
            fail_msg("bit %zu of byte %zu", bit % 8, bit / 8);
        c.bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cold_footer_free(&f);
    cold_case_free(&c);
}

static const struct manifest_cold *named_now;

static status decode_footer(struct slice bytes)
{
    struct cold_footer f;
    status st = cold_footer_decode(bytes, COLD_CASE_DOCS, named_now, &f, NULL);

    if (st == ST_OK)
        cold_footer_free(&f);
    return st;
}

static void a_footer_is_found_out_by_itself(void **state)
{
    struct cold_case c;
    struct cold_footer f;

    (void)state;
    make(&c, 6, 2, CASE_MIXED);
    for (unsigned i = 0; i < 2; i++) {
        named_now = i == 0 ? NULL : &c.named;
        attack_cuts_and_flips(decode_footer, cold_case_footer(&c));
    }
    for (unsigned i = 0; i < 6; i++) {
        struct manifest_cold m = c.named;

        m.rows += i == 0;
        m.lsn_min -= i == 1;
        m.lsn_max += i == 2;
        m.footer_offset -= i == 3;
        m.footer_crc ^= i == 4;
        m.footer_bytes -= i == 5;
        assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, &m, &f, NULL),
                         ST_CORRUPT);
    }
    cold_case_free(&c);
}

/* What is fetched alone is checked alone. */
static struct {
    struct cold_footer f;
    unsigned what; /* which reader */
} one;

static status pass_row(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                       struct err *err)
{
    (void)arg;
    (void)ordinal;
    (void)row;
    (void)err;
    return ST_OK;
}

static status pass_id(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                      struct err *err)
{
    (void)arg;
    (void)id;
    (void)ordinal;
    (void)lsn;
    (void)err;
    return ST_OK;
}

static status read_one(struct slice bytes)
{
    const uint8_t *codes;
    struct buf unpacked;
    status st;

    switch (one.what) {
    case 0:
        /* A run that is shorter is one too: whole records at least, and as many. */
        return bytes.bytes != 2 * (size_t)one.f.fields[1].record_bytes
                   ? ST_CORRUPT
                   : cold_records_check(&one.f, 1, 1, bytes, NULL);
    case 1:
        return cold_codes_check(&one.f, 1, 0, bytes, &codes, NULL);
    case 2:
        return bytes.bytes != 2 * cold_vector_bytes(&one.f.fields[1])
                   ? ST_CORRUPT
                   : cold_vectors_check(&one.f, 1, 1, bytes, NULL);
    case 3:
        buf_init(&unpacked, 1 << 20);
        st = cold_payload_each(&one.f, 0, bytes, &unpacked, pass_row, NULL, NULL);
        buf_free(&unpacked);
        return st;
    default:
        return cold_id_each(&one.f, 0, bytes, pass_id, NULL, NULL);
    }
}

static void each_range_is_found_out_by_itself(void **state)
{
    (void)state;
    for (unsigned plain = 0; plain < 2; plain++) {
        struct cold_case c;
        uint64_t offset = 0, bytes = 0;

        make(&c, 12, 2, CASE_MIXED);
        c.writer.plain = plain == 1;
        cold_case_write(&c);
        assert_int_equal(
            cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, &c.named, &one.f, NULL),
            ST_OK);
        for (one.what = plain == 1 ? 0 : 3; one.what < 5; one.what++) {
            switch (one.what) {
            case 0:
                cold_records_range(&one.f, 1, 1, 2, &offset, &bytes);
                break;
            case 1:
                cold_codes_range(&one.f, 1, 0, &offset, &bytes);
                break;
            case 2:
                cold_vectors_range(&one.f, 1, 1, 2, &offset, &bytes);
                break;
            case 3:
                cold_payload_range(&one.f, 0, &offset, &bytes);
                break;
            default:
                cold_id_range(&one.f, 0, &offset, &bytes);
            }
            attack_cuts_and_flips(read_one, cold_case_part(&c, offset, bytes));
        }
        cold_footer_free(&one.f);
        cold_case_free(&c);
    }
}

static void a_run_of_part_of_a_record_is_corruption(void **state)
{
    uint64_t offset, bytes;
    struct cold_footer f;
    struct cold_case c;
    struct slice part;

    (void)state;
    make(&c, 12, 1, CASE_U64);
    assert_int_equal(cold_footer_decode(cold_case_footer(&c), COLD_CASE_DOCS, NULL, &f, NULL),
                     ST_OK);
    cold_records_range(&f, 0, 0, 12, &offset, &bytes);
    part = cold_case_part(&c, offset, bytes);
    for (size_t cut = 0; cut < part.bytes; cut++)
        assert_int_equal(cold_records_check(&f, 0, 0, slice_make(part.data, cut), NULL),
                         cut % f.fields[0].record_bytes == 0 ? ST_OK : ST_CORRUPT);
    assert_int_equal(cold_records_check(&f, 0, 1, part, NULL), ST_CORRUPT); /* one behind the end */
    assert_int_equal(cold_records_check(&f, 0, 13, slice_make(part.data, 0), NULL), ST_CORRUPT);
    cold_footer_free(&f);
    cold_case_free(&c);
}

/* --- checksums made right again --- */

static struct cold_footer layout; /* of the good object: edits never move anything */
static struct manifest_cold layout_named;

static void seal_item(uint8_t *data, uint16_t section, uint32_t number, uint64_t at, uint64_t bytes,
                      size_t crc_at, uint32_t *of_all)
{
    uint32_t header = container_cold_header_crc(COLD_CASE_DOCS, layout.salt);
    uint8_t *item = data + at;
    uint32_t crc = container_item_crc(header, section, number, slice_make(item, crc_at),
                                      slice_make(item + crc_at + 4, (size_t)bytes - crc_at - 4));

    le_put_u32(item + crc_at, crc);
    *of_all = crc32c(*of_all, item + crc_at, 4);
}

static uint32_t seal_section(uint8_t *data, uint16_t section)
{
    uint16_t at = section & 0xff;
    uint64_t offset, bytes;
    uint32_t crc = 0;

    switch (section & 0xff00) {
    case COLD_SECTION_RECORDS:
        for (uint32_t i = 0; i < layout.fields[at].rows; i++) {
            cold_records_range(&layout, at, i, 1, &offset, &bytes);
            seal_item(data, section, i, offset, bytes, 0, &crc);
        }
        break;
    case COLD_SECTION_CODES:
        for (uint32_t i = 0; i < layout.fields[at].coarse; i++) {
            cold_codes_range(&layout, at, i, &offset, &bytes);
            seal_item(data, section, i, offset, bytes, 0, &crc);
        }
        break;
    case COLD_SECTION_VECTORS:
        for (uint32_t i = 0; i < layout.fields[at].rows; i++) {
            cold_vectors_range(&layout, at, i, 1, &offset, &bytes);
            seal_item(data, section, i, offset, bytes, 0, &crc);
        }
        break;
    case COLD_SECTION_PAYLOAD:
        for (uint32_t i = 0; i < layout.payload_blocks; i++) {
            cold_payload_range(&layout, i, &offset, &bytes);
            seal_item(data, section, i, offset, bytes, PAYLOAD_AT_CRC, &crc);
        }
        break;
    case COLD_SECTION_IDS:
        for (uint32_t i = 0; i < layout.id_blocks; i++) {
            cold_id_range(&layout, i, &offset, &bytes);
            seal_item(data, section, i, offset, bytes, 0, &crc);
        }
        break;
    default:
        break;
    }
    return crc;
}

static uint32_t seal_footer(uint8_t *footer, size_t bytes)
{
    uint32_t crc = 0;
    uint32_t number = 0;

    for (size_t at = 0; bytes - at >= BLOCK_HEADER_BYTES;) {
        uint32_t n = le_u32(footer + at);

        if (n > bytes - at - BLOCK_HEADER_BYTES)
            break;
        seal_item(footer, COLD_SECTION_FOOTER, number++, at, BLOCK_HEADER_BYTES + n, BLOCK_AT_CRC,
                  &crc);
        at += BLOCK_HEADER_BYTES + n;
    }
    return crc;
}

static void seal(uint8_t *data, size_t bytes)
{
    uint8_t *trailer = data + bytes - SEAL_TRAILER_BYTES;
    uint64_t table = le_u64(trailer + 8);
    uint32_t count = le_u32(trailer + 16);
    uint32_t header = crc32c(0, data, 28);

    le_put_u32(data + 28, header);
    le_put_u32(trailer + 32, header);
    if (table <= bytes - SEAL_TRAILER_BYTES && count < 256 &&
        count * SEAL_ENTRY_BYTES == bytes - SEAL_TRAILER_BYTES - table) {
        for (uint32_t i = 0; i < count; i++) {
            uint8_t *entry = data + table + i * SEAL_ENTRY_BYTES;
            uint16_t section = i + 1 == count   ? COLD_SECTION_FOOTER
                               : i == count - 2 ? COLD_SECTION_IDS
                               : i == count - 3 ? COLD_SECTION_PAYLOAD
                                                : (uint16_t)((i % 3 + 1) * 0x100 + i / 3);

            le_put_u32(entry + 32, section == COLD_SECTION_FOOTER
                                       ? seal_footer(data + layout_named.footer_offset,
                                                     layout_named.footer_bytes)
                                       : seal_section(data, section));
        }
        le_put_u32(trailer + 20, crc32c(0, data + table, count * SEAL_ENTRY_BYTES));
    }
    le_put_u32(trailer + 60, crc32c(0, trailer, 60));
}

static void layout_of(const struct cold_case *c)
{
    assert_int_equal(cold_footer_decode(cold_case_footer(c), COLD_CASE_DOCS, NULL, &layout, NULL),
                     ST_OK);
    layout_named = c->named;
}

static void damage_under_good_checksums_never_leads_outside(void **state)
{
    (void)state;
    for (unsigned ids = 0; ids < CASE_IDS_COUNT; ids++) {
        struct cold_case c;

        make(&c, 6, 2, (enum cold_case_ids)ids);
        layout_of(&c);
        seal(c.bytes.data, c.bytes.bytes); /* as it was */
        assert_int_equal(cold_case_check(&c), ST_OK);
        (void)attack_edits(check_all, seal, buf_slice(&c.bytes), c.bytes.bytes - 1, 1500,
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
    unsigned accepted = 0;

    (void)state;
    make(&c, 8, 3, CASE_MIXED);
    layout_of(&c);
    good = cold_case_footer(&c);
    named_now = NULL;
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
        layout.salt = le_u32(copy + BLOCK_HEADER_BYTES + HEAD_AT_SALT);
        (void)seal_footer(copy, good.bytes);
        layout.salt = c.writer.salt;
        st = decode_footer(slice_make(copy, good.bytes));
        accepted += st == ST_OK;
        if (st != ST_OK && st != ST_CORRUPT && st != ST_UNSUPPORTED)
            fail_msg("status %s seed=%llu round=%u", status_name(st), (unsigned long long)seed,
                     round);
        free(copy);
    }
    assert_true(accepted > 100 && accepted < 19000);
    cold_footer_free(&layout);
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
        seal(c.bytes.data, c.bytes.bytes);
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
    seal(c.bytes.data, c.bytes.bytes);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_UNSUPPORTED);
    le_put_u16(footer_block(&c, BLOCK_HEAD, 0) + HEAD_AT_VERSION, COLD_VERSION);
    le_put_u16(footer_block(&c, BLOCK_FRAMES, 0) - BLOCK_HEADER_BYTES + BLOCK_AT_KIND,
               BLOCK_FRAMES + 1);
    seal(c.bytes.data, c.bytes.bytes);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_UNSUPPORTED);
    le_put_u16(footer_block(&c, BLOCK_FRAMES + 1, 0) - BLOCK_HEADER_BYTES + BLOCK_AT_KIND,
               BLOCK_FRAMES);
    payload_of(&c)[PAYLOAD_AT_FORM] = PAYLOAD_ZSTD + 1;
    seal(c.bytes.data, c.bytes.bytes);
    assert_int_equal(check_all(buf_slice(&c.bytes)), ST_UNSUPPORTED);
    cold_footer_free(&layout);
    cold_case_free(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_anywhere_is_corruption),
        cmocka_unit_test(each_flipped_bit_is_found),
        cmocka_unit_test(a_footer_is_found_out_by_itself),
        cmocka_unit_test(each_range_is_found_out_by_itself),
        cmocka_unit_test(a_run_of_part_of_a_record_is_corruption),
        cmocka_unit_test(damage_under_good_checksums_never_leads_outside),
        cmocka_unit_test(a_footer_s_lies_never_lead_outside),
        cmocka_unit_test(each_lie_of_the_footer_is_found),
        cmocka_unit_test(each_lie_of_the_rows_is_found),
        cmocka_unit_test(each_lie_of_the_table_is_found),
        cmocka_unit_test(what_is_newer_is_refused_as_such),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    print_message("seed=%llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
