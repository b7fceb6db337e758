/* A log's directory. The input is up to four files, each u16 n, the first 64 bytes of its header
 * block (the rest of the block is zeros and a good checksum), then n bytes of records.
 *
 * Whatever lies there: a log that opens for reading opens for writing with the same records, reads
 * them again, takes one more where it is whole, and has exactly those after a restart. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/fs_sim.h"
#include "wal/wal_internal.h"

#include "base/crc32c.h"

#include <stdlib.h>

#define DIR "/log"
enum { FILES_MAX = 4, FILE_BYTES_FIRST = 8192, FILE_BYTES_MAX = 32768, SHORT_HEAD = WAL_HEAD_ZERO };

/* --- the input's layout --- */

struct part {
    uint8_t *head; /* SHORT_HEAD bytes */
    uint8_t *records;
    size_t bytes;
};

static size_t parts_of(uint8_t *data, size_t bytes, struct part parts[FILES_MAX])
{
    size_t count = 0;

    while (count < FILES_MAX && bytes >= 2 + SHORT_HEAD) {
        struct part *p = &parts[count++];
        size_t n = le_u16(data);

        p->head = data + 2;
        p->records = data + 2 + SHORT_HEAD;
        p->bytes = n < bytes - 2 - SHORT_HEAD ? n : bytes - 2 - SHORT_HEAD;
        data += 2 + SHORT_HEAD + p->bytes;
        bytes -= 2 + SHORT_HEAD + p->bytes;
    }
    return count;
}

static void block_of(const struct part *p, uint8_t block[WAL_HEAD_BYTES])
{
    memset(block, 0, WAL_HEAD_BYTES);
    memcpy(block, p->head, SHORT_HEAD);
    le_put_u32(block + WAL_HEAD_CRC, crc32c(0, block, WAL_HEAD_CRC));
}

/* Seals what stands where a record would begin, as far as lengths hold together. */
static void seal_records(const struct part *p)
{
    uint8_t block[WAL_HEAD_BYTES];
    struct wal_head head;
    size_t at = 0;

    block_of(p, block);
    if (wal_head_decode(block, &head, NULL) != ST_OK)
        return;
    while (p->bytes - at >= WAL_REC_HEADER_BYTES) {
        uint8_t *frame = p->records + at;
        struct wal_rec rec = {.lsn = le_u64(frame + WAL_REC_LSN),
                              .durable_lsn = le_u64(frame + WAL_REC_DURABLE_LSN),
                              .payload_bytes = le_u32(frame + WAL_REC_BYTES),
                              .kind = frame[WAL_REC_KIND]};
        size_t size = wal_rec_frame_bytes(rec.payload_bytes);

        if (wal_end_mark_is_zero(frame) || size > p->bytes - at)
            break;
        memset(frame + WAL_REC_HEADER_BYTES + rec.payload_bytes, 0,
               size - WAL_REC_HEADER_BYTES - rec.payload_bytes);
        wal_rec_seal(frame, wal_head_seed(&head), WAL_HEAD_BYTES + at, &rec);
        at += size;
    }
}

/* A record goes, or comes twice; a lsn or a length changes by little. */
static void nudge(const struct part *p, unsigned random)
{
    size_t at = 0;
    unsigned which = random % 8;

    while (p->bytes - at >= WAL_REC_HEADER_BYTES) {
        uint8_t *frame = p->records + at;
        size_t size = wal_rec_frame_bytes(le_u32(frame + WAL_REC_BYTES));
        uint8_t *field = frame + (random / 8 % 2 == 0 ? WAL_REC_LSN : WAL_REC_DURABLE_LSN);

        if (size > p->bytes - at)
            return;
        if (which-- == 0) {
            if (random / 16 % 4 == 0)
                memset(frame, 0, WAL_REC_HEADER_BYTES);
            else if (random / 16 % 4 == 1)
                frame[WAL_REC_KIND] ^= WAL_KIND_DATA ^ WAL_KIND_MARKER;
            else
                le_put_u64(field, le_u64(field) + (random / 16 % 4 == 2 ? 1 : UINT64_MAX));
            return;
        }
        at += size;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    struct part parts[FILES_MAX];
    size_t count = parts_of(data, bytes, parts);

    if (count > 0 && seed % 4 == 1) {
        nudge(&parts[seed / 4 % count], seed / 16);
    } else if (count > 0 && seed % 4 == 2) {
        struct part *p = &parts[seed / 4 % count];

        (void)LLVMFuzzerMutate(p->head + WAL_HEAD_FLAGS, SHORT_HEAD - WAL_HEAD_FLAGS,
                               SHORT_HEAD - WAL_HEAD_FLAGS);
    } else {
        bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
    }
    if (seed / 4 % 8 != 0) {
        count = parts_of(data, bytes, parts);
        for (size_t i = 0; i < count; i++)
            seal_records(&parts[i]);
    }
    return bytes;
}

/* --- the directory --- */

static struct fs_sim *sim;
static struct wal_engine *engine;
static struct rand_seeded rand_source;

static void begin(void)
{
    struct wal_engine_options o = {.clock = clock_real(),
                                   .rand = &rand_source.source,
                                   .file_bytes_first = FILE_BYTES_FIRST,
                                   .file_bytes_max = FILE_BYTES_MAX};

    if (sim != NULL)
        return;
    rand_seeded_init(&rand_source, 1);
    sim = fs_sim_create();
    o.fs = fs_sim_fs(sim);
    FUZZ_CHECK(wal_engine_open(&o, &engine, NULL) == ST_OK);
}

static void put_files(const struct part *parts, size_t count)
{
    struct fs *fs = fs_sim_fs(sim);

    (void)fs_remove_all(fs, DIR, NULL);
    FUZZ_CHECK(fs_mkdir(fs, DIR, NULL) == ST_OK);
    for (size_t i = 0; i < count; i++) {
        uint8_t block[WAL_HEAD_BYTES];
        char name[WAL_NAME_BYTES];
        char path[FS_PATH_BYTES];
        struct fs_file *file;

        block_of(&parts[i], block);
        wal_name_format(name, le_u64(block + WAL_HEAD_NUMBER), "wal");
        FUZZ_CHECK(fs_join(path, DIR, name, NULL) == ST_OK);
        FUZZ_CHECK(fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, NULL) == ST_OK);
        FUZZ_CHECK(fs_pwrite(fs, file, block, sizeof block, 0, NULL) == ST_OK);
        FUZZ_CHECK(fs_pwrite(fs, file, parts[i].records, parts[i].bytes, WAL_HEAD_BYTES, NULL) ==
                   ST_OK);
        fs_close(fs, file);
    }
}

/* --- what a log says --- */

struct story {
    uint64_t first, last;
    uint64_t records;
    uint32_t crc;
};

static status on_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct story *s = arg;

    (void)err;
    FUZZ_CHECK(lsn > 0 && payload.bytes > 0 && (s->records == 0 || lsn == s->last + 1));
    if (s->records == 0)
        s->first = lsn;
    s->last = lsn;
    s->records++;
    s->crc = crc32c(s->crc, payload.data, payload.bytes);
    return ST_OK;
}

static status open_log(const uint8_t id[16], bool read_only, struct wal **w,
                       struct wal_report *report, struct story *s)
{
    struct wal_options o = {
        .engine = engine, .dir = DIR, .replay = on_record, .replay_arg = s, .read_only = read_only};
    struct err err = {0};
    status st;

    memcpy(o.log_id, id, sizeof o.log_id);
    *s = (struct story){0};
    *report = (struct wal_report){0};
    st = fuzz_said(wal_open(&o, w, report, &err), &err);
    if (st == ST_OK) {
        FUZZ_CHECK(report->records == s->records);
        FUZZ_CHECK(s->records == 0 || report->last_lsn == s->last);
        FUZZ_CHECK(!(report->torn && report->corrupt));
        FUZZ_CHECK((report->torn || report->corrupt) == (report->text[0] != '\0'));
        fuzz_printable(report->text);
    }
    return st;
}

static void read_again(struct wal *w, const struct story *s)
{
    struct story now = {0};
    struct err err = {0};

    if (s->records == 0)
        return;
    if (wal_read(w, s->first, s->last, on_record, &now, &err) != ST_OK)
        fuzz_stop(__FILE__, __LINE__, err.text);
    FUZZ_CHECK(memcmp(&now, s, sizeof now) == 0);
}

/* Whole and open for writing: one more record, and a restart. */
static void go_on(const uint8_t id[16], struct wal *w, const struct story *before)
{
    static const char PAYLOAD[] = "one more";
    struct wal_report report;
    struct story now;
    struct err err = {0};
    uint64_t lsn = 0;

    FUZZ_CHECK(fuzz_said(wal_append_wait(w, slice_make(PAYLOAD, 8), &lsn, &err), &err) == ST_OK);
    FUZZ_CHECK(before->records == 0 || lsn == before->last + 1);
    wal_close(w);
    FUZZ_CHECK(open_log(id, true, &w, &report, &now) == ST_OK);
    FUZZ_CHECK(!report.torn && !report.corrupt && report.last_lsn == lsn);
    FUZZ_CHECK(now.records == before->records + 1 && now.last == lsn);
    FUZZ_CHECK(now.crc == crc32c(before->crc, PAYLOAD, 8));
    wal_close(w);
}

static void try_log(const uint8_t id[16])
{
    struct wal_report looked, opened;
    struct story seen, now;
    struct wal *w = NULL;
    status st = open_log(id, true, &w, &looked, &seen);

    if (st == ST_OK)
        read_again(w, &seen);
    if (st == ST_OK)
        wal_close(w);
    FUZZ_CHECK(open_log(id, false, &w, &opened, &now) == st);
    if (st != ST_OK)
        return;
    FUZZ_CHECK(memcmp(&now, &seen, sizeof now) == 0);
    FUZZ_CHECK(opened.torn == looked.torn && opened.corrupt == looked.corrupt);
    read_again(w, &now);
    if (opened.corrupt) {
        struct err err = {0};

        FUZZ_CHECK(fuzz_said(wal_state(w, &err), &err) == ST_CORRUPT);
        wal_close(w);
    } else {
        go_on(id, w, &now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct part parts[FILES_MAX];
    uint8_t *copy = fuzz_copy(data, bytes);
    size_t count = parts_of(copy, bytes, parts);

    begin();
    if (count > 0) {
        put_files(parts, count);
        try_log(parts[0].head + WAL_HEAD_LOG_ID);
    }
    free(copy);
    return 0;
}
