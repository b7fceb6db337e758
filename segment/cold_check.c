/* A whole cold segment, read from one end to the other. What its sections say of each other is
 * compared by sums of hashes, one term a row, so that it takes no memory however many there are. */
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/mem.h"
#include "segment/cold_index.h"
#include "segment/cold_internal.h"

enum { CHUNK_BYTES = 1024 * 1024 };

struct check {
    struct container_source *source;
    struct container *container;
    struct cold_footer f;
    struct buf footer, io, unpacked;
    uint32_t checksums; /* crc of the checksums of the section that is read */
    uint64_t rows, ids; /* sums over (ordinal, id, lsn), of payload rows and of the index */
    uint64_t entries;
    uint64_t lsn_min, lsn_max;
    uint64_t of_payload[COLD_FIELDS_MAX]; /* and the position there, of payload rows */
    uint64_t of_records[COLD_FIELDS_MAX]; /* the same of records */
};

static uint64_t term(uint64_t id_hash, uint32_t ordinal, uint64_t lsn)
{
    return hash_u64(hash_u64(hash_u64(id_hash + 1) + ordinal + 1) + lsn);
}

static uint64_t term_at(uint64_t row, uint32_t position, uint32_t place)
{
    return hash_u64(hash_u64(row + position + 1) + place);
}

static status fetch(struct check *k, uint64_t offset, uint64_t bytes, struct slice *out,
                    struct err *err)
{
    buf_reset(&k->io);
    if (!buf_reserve(&k->io, (size_t)bytes))
        return buf_status(&k->io, err);
    *out = slice_make(k->io.data, (size_t)bytes);
    return k->source->read(k->source, offset, k->io.data, (size_t)bytes, err);
}

static void note_checksum(struct check *k, const uint8_t *at)
{
    k->checksums = crc32c(k->checksums, at, 4);
}

static status line_is(const struct check *k, size_t index, uint16_t section, uint64_t offset,
                      uint64_t end, uint32_t items, struct err *err)
{
    struct container_section_info info = {0};

    if (index < container_section_count(k->container))
        container_section_at(k->container, index, &info);
    if (info.section != section || info.flags != CONTAINER_SECTION_FRAMED ||
        info.offset != offset || info.bytes != end - offset || info.units != items)
        return err_set(err, ST_CORRUPT,
                       "cold segment: the table has section %u of %" PRIu64 " bytes at %" PRIu64
                       " where section %u of %" PRIu64 " at %" PRIu64 " is, or other items",
                       info.section, info.bytes, info.offset, section, end - offset, offset);
    return ST_OK;
}

/* The table has every section where the footer puts it: so nothing lies outside the file. */
static status check_places(const struct check *k, struct err *err)
{
    const struct cold_footer *f = &k->f;
    size_t index = 0;
    status st = ST_OK;

    for (uint16_t i = 0; st == ST_OK && i < f->field_count; i++) {
        const struct cold_field *c = &f->fields[i];
        uint64_t end = i + 1u < f->field_count ? c[1].records_at : f->payload_at;

        st =
            line_is(k, index++, COLD_SECTION_RECORDS + i, c->records_at, c->codes_at, c->rows, err);
        if (st == ST_OK)
            st = line_is(k, index++, COLD_SECTION_CODES + i, c->codes_at, c->vectors_at, c->coarse,
                         err);
        if (st == ST_OK)
            st = line_is(k, index++, COLD_SECTION_VECTORS + i, c->vectors_at, end, c->rows, err);
    }
    if (st == ST_OK)
        st = line_is(k, index++, COLD_SECTION_PAYLOAD, f->payload_at, f->ids_at, f->payload_blocks,
                     err);
    if (st == ST_OK)
        st = line_is(k, index, COLD_SECTION_IDS, f->ids_at,
                     f->ids_at + (uint64_t)f->id_blocks * COLD_ID_BLOCK_BYTES, f->id_blocks, err);
    return st;
}

/* All its items were read: the table's crc is over their checksums. */
static status section_end(struct check *k, size_t index, struct err *err)
{
    struct container_section_info info;

    container_section_at(k->container, index, &info);
    if (info.crc != k->checksums)
        return err_set(err, ST_CORRUPT, "cold segment section %u: crc mismatch in the table",
                       info.section);
    k->checksums = 0;
    return ST_OK;
}

/* --- a field --- */

static uint32_t chunk_rows(uint64_t row_bytes, uint32_t left)
{
    uint64_t rows = CHUNK_BYTES / row_bytes;

    rows = rows == 0 ? 1 : rows;
    return rows < left ? (uint32_t)rows : left;
}

static status check_records(struct check *k, uint16_t position, struct err *err)
{
    const struct cold_field *c = &k->f.fields[position];
    status st = ST_OK;

    for (uint32_t first = 0; st == ST_OK && first < c->rows;) {
        uint32_t count = chunk_rows(c->record_bytes, c->rows - first);
        uint64_t offset, bytes;
        struct slice got;

        cold_records_range(&k->f, position, first, count, &offset, &bytes);
        st = fetch(k, offset, bytes, &got, err);
        if (st == ST_OK)
            st = cold_records_check(&k->f, position, first, got, err);
        for (uint32_t i = 0; st == ST_OK && i < count; i++) {
            struct cold_record r;
            uint64_t hash;

            cold_record_at(&k->f, position, first, got, i, &r);
            hash = r.id_is_hash ? r.id_hash : docid_hash(&r.id);
            k->of_records[position] += term_at(term(hash, r.ordinal, r.lsn), first + i, r.id_place);
            note_checksum(k, got.data + (size_t)i * c->record_bytes);
        }
        first += count;
    }
    return st;
}

static status check_codes(struct check *k, uint16_t position, struct err *err)
{
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < k->f.fields[position].coarse; i++) {
        uint64_t offset, bytes;
        const uint8_t *codes;
        struct slice got;

        cold_codes_range(&k->f, position, i, &offset, &bytes);
        st = fetch(k, offset, bytes, &got, err);
        if (st == ST_OK)
            st = cold_codes_check(&k->f, position, i, got, &codes, err);
        if (st == ST_OK)
            note_checksum(k, got.data);
    }
    return st;
}

static status check_vectors(struct check *k, uint16_t position, struct err *err)
{
    const struct cold_field *c = &k->f.fields[position];
    size_t each = cold_vector_bytes(c);
    status st = ST_OK;

    for (uint32_t first = 0; st == ST_OK && first < c->rows;) {
        uint32_t count = chunk_rows(each, c->rows - first);
        uint64_t offset, bytes;
        struct slice got;

        cold_vectors_range(&k->f, position, first, count, &offset, &bytes);
        st = fetch(k, offset, bytes, &got, err);
        if (st == ST_OK)
            st = cold_vectors_check(&k->f, position, first, got, err);
        for (uint32_t i = 0; st == ST_OK && i < count; i++)
            note_checksum(k, got.data + i * each);
        first += count;
    }
    return st;
}

static status check_field(struct check *k, uint16_t position, struct err *err)
{
    size_t index = (size_t)position * 3;
    status st = check_records(k, position, err);

    if (st == ST_OK)
        st = section_end(k, index, err);
    if (st == ST_OK)
        st = check_codes(k, position, err);
    if (st == ST_OK)
        st = section_end(k, index + 1, err);
    if (st == ST_OK)
        st = check_vectors(k, position, err);
    return st == ST_OK ? section_end(k, index + 2, err) : st;
}

/* --- payload and ids --- */

static status see_row(void *arg, uint32_t ordinal, const struct cold_payload_row *row,
                      struct err *err)
{
    struct check *k = arg;
    uint64_t sum = term(docid_hash(&row->id), ordinal, row->lsn);
    uint32_t place = cold_id_needs_place(k->f.id_bytes, &row->id) && k->f.id_form == COLD_ID_MIXED
                         ? cold_id_block(&k->f, &row->id)
                         : 0;

    (void)err;
    k->rows += sum;
    for (uint16_t i = 0; i < k->f.field_count; i++)
        if (row->positions[i] != UINT32_MAX)
            k->of_payload[i] += term_at(sum, row->positions[i], place);
    if (k->lsn_min == 0 || row->lsn < k->lsn_min)
        k->lsn_min = row->lsn;
    if (row->lsn > k->lsn_max)
        k->lsn_max = row->lsn;
    return ST_OK;
}

static status see_id(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                     struct err *err)
{
    struct check *k = arg;

    if (!cold_id_may(&k->f, id))
        return err_set(err, ST_CORRUPT,
                       "cold segment: the id of row %" PRIu32 " does not pass the filter", ordinal);
    k->ids += term(docid_hash(id), ordinal, lsn);
    k->entries++;
    return ST_OK;
}

static status check_blocks(struct check *k, struct err *err)
{
    size_t index = (size_t)k->f.field_count * 3;
    uint64_t offset, bytes;
    struct slice got;
    status st = ST_OK;

    for (uint32_t i = 0; st == ST_OK && i < k->f.payload_blocks; i++) {
        cold_payload_range(&k->f, i, &offset, &bytes);
        st = fetch(k, offset, bytes, &got, err);
        if (st == ST_OK)
            st = cold_payload_each(&k->f, i, got, &k->unpacked, see_row, k, err);
        if (st == ST_OK)
            note_checksum(k, got.data + PAYLOAD_AT_CRC);
    }
    if (st == ST_OK)
        st = section_end(k, index, err);
    for (uint32_t i = 0; st == ST_OK && i < k->f.id_blocks; i++) {
        cold_id_range(&k->f, i, &offset, &bytes);
        st = fetch(k, offset, bytes, &got, err);
        if (st == ST_OK)
            st = cold_id_each(&k->f, i, got, see_id, k, err);
        if (st == ST_OK)
            note_checksum(k, got.data);
    }
    if (st == ST_OK)
        return section_end(k, index + 1, err);
    return st;
}

static status compare(const struct check *k, struct err *err)
{
    if (k->entries != k->f.rows || k->ids != k->rows)
        return err_set(err, ST_CORRUPT,
                       "cold segment: the %" PRIu64
                       " ids of the index are not those of the %" PRIu32 " rows",
                       k->entries, k->f.rows);
    if (k->lsn_min != k->f.lsn_min || k->lsn_max != k->f.lsn_max)
        return err_set(err, ST_CORRUPT,
                       "cold segment: lsns are %" PRIu64 " to %" PRIu64 ", not %" PRIu64
                       " to %" PRIu64,
                       k->lsn_min, k->lsn_max, k->f.lsn_min, k->f.lsn_max);
    for (uint16_t i = 0; i < k->f.field_count; i++)
        if (k->of_payload[i] != k->of_records[i])
            return err_set(err, ST_CORRUPT,
                           "cold segment: the records of field %u are not those of the rows",
                           k->f.fields[i].field);
    return ST_OK;
}

/* --- the footer, and what lies around it --- */

static status footer_read(struct container_source *source, struct container *c,
                          const uint8_t collection[16], const struct manifest_cold *named,
                          struct buf *bytes, struct cold_footer *out, struct err *err)
{
    struct container_section_info info = {0};
    struct cold_footer f;
    status st = ST_OK;

    if (container_section_count(c) > 0)
        container_section_at(c, container_section_count(c) - 1, &info);
    if (info.section != COLD_SECTION_FOOTER || (info.flags & CONTAINER_SECTION_FRAMED) == 0 ||
        info.bytes > UINT32_MAX ||
        (named != NULL &&
         (info.offset != named->footer_offset || container_crc(c) != named->object.crc ||
          source->bytes != named->object.bytes)))
        return err_set(err, ST_CORRUPT,
                       "cold segment: its footer is not where it should be, or it is another one");
    buf_reset(bytes);
    if (!buf_reserve(bytes, (size_t)info.bytes))
        return buf_status(bytes, err);
    st = source->read(source, info.offset, bytes->data, (size_t)info.bytes, err);
    bytes->bytes = (size_t)info.bytes;
    if (st == ST_OK)
        st = cold_footer_decode(buf_slice(bytes), collection, named, &f, err);
    if (st != ST_OK)
        return st;
    if (f.header_crc != container_header_crc(c) ||
        f.ids_at + (uint64_t)f.id_blocks * COLD_ID_BLOCK_BYTES > info.offset ||
        (f.indexes != NULL && f.indexes->end > info.offset)) {
        cold_footer_free(&f);
        return err_set(err, ST_CORRUPT, "cold segment: its footer is of another one");
    }
    *out = f;
    return ST_OK;
}

status cold_footer_find(struct container_source *source, const uint8_t collection[16],
                        struct buf *bytes, struct cold_footer *out, struct err *err)
{
    struct container *c;
    status st = container_open(source, CONTAINER_COLD, collection, &c, err);

    if (st != ST_OK)
        return st;
    st = footer_read(source, c, collection, NULL, bytes, out, err);
    container_close(c);
    return st;
}

/* Its own line of the table: the blocks were checked when it was decoded. */
static status check_footer(struct check *k, struct err *err)
{
    size_t last = container_section_count(k->container) - 1;
    struct container_section_info info;
    uint32_t blocks = 0;

    for (size_t at = 0; at < k->footer.bytes; blocks++) {
        note_checksum(k, k->footer.data + at + BLOCK_AT_CRC);
        at += BLOCK_HEADER_BYTES + le_u32(k->footer.data + at + BLOCK_AT_BYTES);
    }
    container_section_at(k->container, last, &info);
    if (info.units != blocks)
        return err_set(err, ST_CORRUPT,
                       "cold segment: the footer has %" PRIu32 " blocks, not %" PRIu32, blocks,
                       info.units);
    return section_end(k, last, err);
}

/* --- payload indexes --- */

struct counting {
    uint32_t sets[COLD_INDEX_SETS];
    uint64_t entries;
};

static status count_rows(void *arg, struct slice key, const uint32_t *rows, uint32_t count,
                         struct err *err)
{
    struct counting *c = arg;

    (void)rows;
    (void)err;
    if (key.data[0] < COLD_INDEX_SETS)
        c->sets[key.data[0]] += count;
    else
        c->entries += count;
    return ST_OK;
}

static status check_index(struct check *k, uint16_t index, struct cold_index_cursor *cursor,
                          struct err *err)
{
    const struct cold_index *x = &k->f.indexes->items[index];
    struct counting counted = {.entries = 0};
    status st = ST_OK;

    cursor->key_bytes = 0;
    for (uint32_t i = x->first; st == ST_OK && i < x->first + x->blocks; i++) {
        uint64_t offset, bytes;
        struct slice got;

        cold_index_range(&k->f, i, &offset, &bytes);
        st = fetch(k, offset, bytes, &got, err);
        if (st == ST_OK)
            st = cold_index_each(&k->f, index, i, got, &k->unpacked, cursor, count_rows, &counted,
                                 err);
        if (st == ST_OK)
            note_checksum(k, got.data + INDEX_AT_CRC);
    }
    if (st == ST_OK &&
        (counted.entries != x->entries || memcmp(counted.sets, x->sets, sizeof counted.sets) != 0))
        st =
            err_set(err, ST_CORRUPT,
                    "cold segment: payload index %u has other rows than its directory says", index);
    return st;
}

static status check_indexes(struct check *k, size_t at, struct err *err)
{
    struct cold_index_cursor *cursor = mem_alloc(sizeof *cursor);
    status st = ST_OK;

    if (cursor == NULL)
        return err_set(err, ST_NOMEM, "out of memory for checking a cold segment");
    for (uint16_t i = 0; st == ST_OK && i < k->f.indexes->count; i++)
        st = check_index(k, i, cursor, err);
    mem_free(cursor);
    return st == ST_OK ? section_end(k, at, err) : st;
}

/* Where the footer has a directory the section is where it says; else nobody knows it. */
static status is_indexes(const struct check *k, const struct container_section_info *info,
                         struct err *err)
{
    const struct cold_indexes *d = k->f.indexes;

    if (info->offset == d->at && info->bytes == d->end - d->at && info->units == d->blocks &&
        info->flags == (CONTAINER_SECTION_FRAMED | CONTAINER_SECTION_OPTIONAL))
        return ST_OK;
    return err_set(err, ST_CORRUPT,
                   "cold segment: the payload indexes are not where the footer "
                   "has them");
}

/* Sections this program does not know: in units they can be checked all the same. */
static status check_others(struct check *k, struct err *err)
{
    size_t known = (size_t)k->f.field_count * 3 + 2;
    bool indexes = k->f.indexes == NULL;
    status st = ST_OK;

    for (size_t i = known; st == ST_OK && i + 1 < container_section_count(k->container); i++) {
        struct container_section_info info;
        struct container_cursor cursor;
        struct slice payload;

        container_section_at(k->container, i, &info);
        if ((info.flags & CONTAINER_SECTION_OPTIONAL) == 0)
            return err_set(err, ST_UNSUPPORTED,
                           "cold segment section %u is newer than this program", info.section);
        if (info.section == COLD_SECTION_INDEXES && k->f.indexes != NULL && !indexes) {
            indexes = true;
            st = is_indexes(k, &info, err);
            if (st == ST_OK)
                st = check_indexes(k, i, err);
            continue;
        }
        if ((info.flags & CONTAINER_SECTION_FRAMED) != 0)
            continue;
        st = container_seek(k->container, info.section, &cursor, err);
        while (st == ST_OK)
            st = container_next(&cursor, &payload, err);
        st = st == ST_NOT_FOUND ? ST_OK : st;
    }
    if (st == ST_OK && !indexes)
        st = err_set(err, ST_CORRUPT, "cold segment: its payload indexes are not there");
    return st;
}

static status check_all(struct check *k, struct err *err)
{
    status st = check_places(k, err);

    if (st == ST_OK)
        st = check_others(k, err);
    for (uint16_t i = 0; st == ST_OK && i < k->f.field_count; i++)
        st = check_field(k, i, err);
    if (st == ST_OK)
        st = check_blocks(k, err);
    if (st == ST_OK)
        st = check_footer(k, err);
    return st == ST_OK ? compare(k, err) : st;
}

status cold_check(struct container_source *source, const uint8_t collection[16],
                  const struct manifest_cold *named, struct err *err)
{
    struct check *k = mem_zero(sizeof *k);
    status st;

    if (k == NULL)
        return err_set(err, ST_NOMEM, "out of memory for checking a cold segment");
    k->source = source;
    buf_init(&k->footer, SIZE_MAX);
    buf_init(&k->io, SIZE_MAX);
    buf_init(&k->unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    st = container_open(source, CONTAINER_COLD, collection, &k->container, err);
    if (st == ST_OK)
        st = footer_read(source, k->container, collection, named, &k->footer, &k->f, err);
    if (st == ST_OK)
        st = check_all(k, err);
    cold_footer_free(&k->f);
    container_close(k->container);
    buf_free(&k->footer);
    buf_free(&k->io);
    buf_free(&k->unpacked);
    mem_free(k);
    return st;
}
