#include "tests/unit/wal/wal_test.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

size_t test_payload_bytes(size_t id)
{
    uint64_t r = mix(id + 1);

    /* Mostly small, some over several sectors, every odd length. */
    return 8 + (size_t)(r % 8 == 0 ? r / 8 % (TEST_PAYLOAD_BYTES_MAX - 8) : r / 8 % 300);
}

static void fill_payload(size_t id, uint8_t *out)
{
    size_t bytes = test_payload_bytes(id);

    le_put_u64(out, id);
    for (size_t i = 8; i < bytes; i++)
        out[i] = (uint8_t)mix(id * 8191 + i);
}

static void PRINTF_LIKE(2, 3) wrong(struct ledger *l, const char *format, ...)
{
    va_list args;

    if (l->wrong[0] != 0)
        return;
    va_start(args, format);
    (void)vsnprintf(l->wrong, sizeof(l->wrong), format, args);
    va_end(args);
}

void ledger_init(struct ledger *l)
{
    memset(l, 0, sizeof(*l));
    lock_init(&l->lock, LOCK_RANK_LEAF, "ledger");
    cond_init(&l->cond);
}

void ledger_fini(struct ledger *l)
{
    cond_fini(&l->cond);
    lock_fini(&l->lock);
}

static void done(void *arg, uint64_t lsn, status st, const struct err *err)
{
    struct ledger_entry *e = arg;
    struct ledger *l = e->ledger;

    lock_take(&l->lock);
    if (e->answered)
        wrong(l, "answered twice: lsn %" PRIu64, lsn);
    if (e->lsn != 0 && e->lsn != lsn)
        wrong(l, "callback lsn %" PRIu64 ", submitted as %" PRIu64, lsn, e->lsn);
    if (st != ST_OK && (err == NULL || err->code != st || err->text[0] == 0))
        wrong(l, "a failure without its text");
    if (lsn != l->last_answered_lsn + 1)
        l->out_of_order = true;
    l->last_answered_lsn = lsn;
    e->answered = true;
    e->st = st;
    e->outcome = st == ST_OK ? ACKED : st == ST_UNKNOWN ? UNKNOWN : REFUSED;
    l->answered++;
    l->unknown += st == ST_UNKNOWN;
    cond_broadcast(&l->cond);
    lock_drop(&l->lock);
}

status ledger_submit(struct ledger *l, struct wal *w)
{
    uint8_t payload[TEST_PAYLOAD_BYTES_MAX];
    size_t id = l->count;
    size_t bytes = test_payload_bytes(id);
    struct slice parts[2];
    uint64_t lsn;
    struct err err;
    status st;

    assert_true(id < LEDGER_MAX);
    fill_payload(id, payload);
    parts[0] = slice_make(payload, 8);
    parts[1] = slice_make(payload + 8, bytes - 8);
    lock_take(&l->lock);
    l->at[id] = (struct ledger_entry){.ledger = l};
    l->count++;
    lock_drop(&l->lock);
    st = wal_submit(w, parts, 2, done, &l->at[id], &lsn, &err);
    if (st != ST_OK) {              /* nothing was submitted: it must never be seen */
        if (st == ST_UNAVAILABLE) { /* asked again and again: no id for each */
            lock_take(&l->lock);
            l->count--;
            lock_drop(&l->lock);
            return st;
        }
        lock_take(&l->lock);
        l->at[id].answered = true;
        l->at[id].st = st;
        l->at[id].outcome = REFUSED;
        l->answered++;
        lock_drop(&l->lock);
        return st;
    }
    lock_take(&l->lock);
    l->at[id].lsn = lsn;
    lock_drop(&l->lock);
    return ST_OK;
}

void ledger_wait(struct ledger *l)
{
    lock_take(&l->lock);
    while (l->answered < l->count) {
        if (!cond_wait_ns(&l->cond, &l->lock, 60000000000u))
            fail_msg("%zu of %zu records never answered", l->count - l->answered, l->count);
    }
    lock_drop(&l->lock);
}

void ledger_on_cut(void *arg, uint64_t cut_lsn)
{
    struct ledger *l = arg;

    lock_take(&l->lock);
    l->cuts++;
    l->cut_lsn = cut_lsn;
    l->last_answered_lsn = cut_lsn;
    for (size_t i = 0; i < l->count; i++) {
        if (l->at[i].lsn > cut_lsn && !l->at[i].answered)
            wrong(l, "cut at %" PRIu64 " while lsn %" PRIu64 " waits", cut_lsn, l->at[i].lsn);
    }
    lock_drop(&l->lock);
}

status ledger_replay(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    struct ledger *l = arg;
    uint8_t expected[TEST_PAYLOAD_BYTES_MAX];
    size_t id;

    (void)err;
    if (l->replay_next == 0)
        l->replay_first = lsn;
    else if (lsn != l->replay_next)
        wrong(l, "replay: lsn %" PRIu64 " where %" PRIu64 " comes", lsn, l->replay_next);
    l->replay_next = lsn + 1;
    id = payload.bytes >= 8 ? (size_t)le_u64(payload.data) : LEDGER_MAX;
    if (id >= l->count || payload.bytes != test_payload_bytes(id)) {
        wrong(l, "replay: lsn %" PRIu64 " is not a record of ours", lsn);
        return ST_OK;
    }
    fill_payload(id, expected);
    if (memcmp(expected, payload.data, payload.bytes) != 0)
        wrong(l, "replay: bytes of lsn %" PRIu64 " changed", lsn);
    if (l->at[id].seen)
        wrong(l, "replay: id %zu twice", id);
    if (l->at[id].lsn != lsn)
        wrong(l, "replay: id %zu as lsn %" PRIu64 ", was %" PRIu64, id, lsn, l->at[id].lsn);
    if (l->at[id].outcome == REFUSED)
        wrong(l, "replay: id %zu lsn %" PRIu64 " had been refused (%s)", id, lsn,
              status_name(l->at[id].st));
    l->at[id].seen = true;
    return ST_OK;
}

bool ledger_check(struct ledger *l, const struct wal_report *report, bool settle)
{
    uint64_t last = l->replay_next == 0 ? 0 : l->replay_next - 1;

    if (report->corrupt)
        wrong(l, "corrupt: %.200s", report->text);
    if (last != 0 && last != report->last_lsn)
        wrong(l, "report says lsn %" PRIu64 ", replay ended at %" PRIu64, report->last_lsn, last);
    if (l->replay_next != 0 && l->replay_first > l->trimmed_lsn + 1)
        wrong(l, "the log begins at %" PRIu64 ", trimmed was %" PRIu64, l->replay_first,
              l->trimmed_lsn);
    for (size_t i = 0; i < l->count; i++) {
        struct ledger_entry *e = &l->at[i];
        bool may_be_trimmed = e->lsn <= l->trimmed_lsn && !e->seen;

        if (l->lossy && settle && e->outcome == ACKED && !e->seen && !may_be_trimmed)
            e->outcome = REFUSED; /* gone: it may not come back */
        if (!l->lossy && e->outcome == ACKED && !e->seen && !may_be_trimmed)
            wrong(l, "acknowledged lsn %" PRIu64 " (id %zu) is missing, the log ends at %" PRIu64,
                  e->lsn, i, report->last_lsn);
        if (settle && e->outcome == UNKNOWN && !may_be_trimmed) {
            e->outcome = e->seen ? ACKED : REFUSED;
            e->st = ST_UNKNOWN;
        }
        e->seen = false;
    }
    l->replay_next = 0;
    l->last_answered_lsn = report->last_lsn;
    if (l->out_of_order)
        wrong(l, "callbacks out of order");
    return l->wrong[0] == 0;
}

void test_log_init(struct test_log *t, struct fs *fs, struct ledger *l, uint64_t seed)
{
    struct log_options quiet = {.level = LOG_OFF, .clock = clock_real()};

    assert_st_ok(log_open(&quiet, NULL));
    memset(t, 0, sizeof(*t));
    t->fs = fs;
    t->ledger = l;
    t->clock = clock_real();
    t->file_bytes_first = 8 * 1024;
    t->file_bytes_max = 32 * 1024;
    rand_seeded_init(&t->rand, seed);
}

status test_log_open(struct test_log *t)
{
    struct wal_engine_options engine = {.fs = t->fs,
                                        .clock = t->clock,
                                        .rand = &t->rand.source,
                                        .sync = t->sync,
                                        .broken_twins = true,
                                        .file_bytes_first = t->file_bytes_first,
                                        .file_bytes_max = t->file_bytes_max};
    struct wal_options log = {.dir = TEST_DIR,
                              .log_id = "0123456789abcde",
                              .expect_lsn = t->expect_lsn,
                              .replay = ledger_replay,
                              .replay_arg = t->ledger,
                              .on_cut = ledger_on_cut,
                              .cut_arg = t->ledger};
    status st = wal_engine_open(&engine, &t->engine, &t->err);

    if (st != ST_OK)
        return st;
    log.engine = t->engine;
    st = wal_open(&log, &t->wal, &t->report, &t->err);
    if (st != ST_OK) {
        wal_engine_close(t->engine);
        t->engine = NULL;
        t->ledger->replay_next = 0;
        for (size_t i = 0; i < t->ledger->count; i++)
            t->ledger->at[i].seen = false;
    }
    return st;
}

void test_log_close(struct test_log *t)
{
    wal_close(t->wal);
    wal_engine_close(t->engine);
    t->wal = NULL;
    t->engine = NULL;
}

void test_log_open_checked(struct test_log *t)
{
    if (test_log_open(t) != ST_OK)
        fail_msg("open: %s", t->err.text);
    if (!ledger_check(t->ledger, &t->report, wal_state(t->wal, NULL) == ST_OK))
        fail_msg("%s", t->ledger->wrong);
}

void test_log_append(struct test_log *t, unsigned count)
{
    size_t from = t->ledger->count;

    for (unsigned i = 0; i < count; i++) {
        assert_st_ok(ledger_submit(t->ledger, t->wal));
        ledger_wait(t->ledger);
    }
    for (size_t i = from; i < t->ledger->count; i++)
        assert_int_equal(t->ledger->at[i].st, ST_OK);
}

struct buf test_read_file(struct fs *fs, const char *path)
{
    struct buf b;

    buf_init(&b, 64 * 1024 * 1024);
    assert_st_ok(fs_read_file(fs, path, b.bytes_max, &b, NULL));
    return b;
}

void test_write_file(struct fs *fs, const char *path, struct slice bytes)
{
    struct fs_file *file;

    assert_st_ok(fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNCATE, &file, NULL));
    assert_st_ok(fs_pwrite(fs, file, bytes.data, bytes.bytes, 0, NULL));
    assert_st_ok(fs_sync(fs, file, NULL));
    fs_close(fs, file);
}

size_t test_wal_files(struct fs *fs, size_t index, char path[FS_PATH_BYTES])
{
    static const uint8_t id[16] = "0123456789abcde";
    struct wal_dir d;
    char name[WAL_NAME_BYTES];
    size_t count;

    assert_st_ok(wal_dir_read(fs, TEST_DIR, id, &d, NULL));
    count = d.files.count;
    if (index < count) {
        wal_name_format(name, d.files.at[index].number, "wal");
        assert_st_ok(fs_join(path, TEST_DIR, name, NULL));
    }
    wal_dir_free(&d);
    return count;
}
