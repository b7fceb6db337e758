/* The small store: order, transactions, what survives an abrupt end, a full map, damage. */
#include "base/fs.h"
#include "base/kv_internal.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/rand.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { STORE_BYTES = 1 << 20, VALUE_BYTES = 20000 };

struct subject {
    char dir[64];
    struct kv *kv;
};

static int setup(void **state)
{
    struct subject *s = calloc(1, sizeof *s);

    if (s == NULL)
        return -1;
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/test_kv.XXXXXX");
    *state = s;
    if (mkdtemp(s->dir) == NULL)
        return -1;
    return kv_open(s->dir, STORE_BYTES, &s->kv, NULL) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct subject *s = *state;
    status st;

    kv_close(s->kv);
    st = fs_remove_all(fs_real(), s->dir, NULL);
    free(s);
    return st == ST_OK ? 0 : -1;
}

static void reopen(struct subject *s)
{
    kv_close(s->kv);
    s->kv = NULL;
    assert_int_equal(kv_open(s->dir, STORE_BYTES, &s->kv, NULL), ST_OK);
}

static status put(struct kv *kv, const char *key, struct slice value, struct err *err)
{
    struct kv_write write = {.key = slice_text(key), .value = value};

    return kv_apply(kv, &write, 1, err);
}

static void expect(struct kv *kv, const char *key, struct slice want)
{
    struct buf got;
    struct err err = {0};

    buf_init(&got, STORE_BYTES);
    if (kv_get(kv, slice_text(key), &got, &err) != ST_OK)
        fail_msg("%s: %s", key, err.text);
    assert_true(slice_equal(buf_slice(&got), want));
    buf_free(&got);
}

static status get_only(struct kv *kv, const char *key)
{
    struct buf got;
    status st;

    buf_init(&got, STORE_BYTES);
    st = kv_get(kv, slice_text(key), &got, NULL);
    buf_free(&got);
    return st;
}

static void what_was_applied_is_read_and_survives_a_reopen(void **state)
{
    struct subject *s = *state;
    struct kv_write writes[] = {
        {.key = slice_text("a"), .value = slice_text("one")},
        {.key = slice_text("b"), .value = slice_text("")},
        {.key = slice_text("gone"), .remove = true},
    };
    struct err err;

    assert_int_equal(kv_apply(s->kv, writes, COUNT_OF(writes), &err), ST_OK);
    assert_int_equal(kv_apply(s->kv, NULL, 0, &err), ST_OK);
    expect(s->kv, "a", slice_text("one"));
    expect(s->kv, "b", slice_text(""));
    assert_int_equal(get_only(s->kv, "gone"), ST_NOT_FOUND);
    reopen(s);
    expect(s->kv, "a", slice_text("one"));
    assert_int_equal(put(s->kv, "a", slice_text("two, longer"), &err), ST_OK);
    writes[1].remove = true;
    assert_int_equal(kv_apply(s->kv, writes + 1, 1, &err), ST_OK);
    reopen(s);
    expect(s->kv, "a", slice_text("two, longer"));
    assert_int_equal(get_only(s->kv, "b"), ST_NOT_FOUND);
}

static void one_bad_write_undoes_the_whole_apply(void **state)
{
    struct subject *s = *state;
    char key[KV_KEY_BYTES_MAX + 2];
    struct kv_write writes[2] = {{.key = slice_text("a"), .value = slice_text("one")}};
    struct err err;

    memset(key, 'k', sizeof key);
    writes[1].key = slice_make(key, KV_KEY_BYTES_MAX + 1);
    assert_int_equal(kv_apply(s->kv, writes, 2, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "501"));
    assert_int_equal(get_only(s->kv, "a"), ST_NOT_FOUND);
    writes[1].key.bytes = 0;
    assert_int_equal(kv_apply(s->kv, writes, 2, &err), ST_INVALID);
    writes[1].key.bytes = KV_KEY_BYTES_MAX;
    assert_int_equal(kv_apply(s->kv, writes, 2, &err), ST_OK);
}

struct walk {
    char seen[256];
    unsigned left;
};

static status note(void *arg, struct slice key, struct slice value, struct err *err)
{
    struct walk *walk = arg;
    size_t used = strlen(walk->seen);

    (void)snprintf(walk->seen + used, sizeof walk->seen - used, "%.*s=%.*s ", (int)key.bytes,
                   (const char *)key.data, (int)value.bytes, (const char *)value.data);
    return --walk->left == 0 ? err_set(err, ST_LIMIT, "enough") : ST_OK;
}

static void a_walk_is_in_order_and_keeps_to_its_prefix(void **state)
{
    struct subject *s = *state;
    const char *const keys[] = {"b/2", "a", "b/10", "c", "b", "b/"};
    struct walk walk = {.left = 100};
    struct err err;

    for (size_t i = 0; i < COUNT_OF(keys); i++)
        assert_int_equal(put(s->kv, keys[i], slice_text("v"), &err), ST_OK);
    assert_int_equal(kv_each(s->kv, slice_text("b/"), note, &walk, &err), ST_OK);
    assert_string_equal(walk.seen, "b/=v b/10=v b/2=v ");
    walk = (struct walk){.left = 100};
    assert_int_equal(kv_each(s->kv, slice_text(""), note, &walk, &err), ST_OK);
    assert_string_equal(walk.seen, "a=v b=v b/=v b/10=v b/2=v c=v ");
    walk = (struct walk){.left = 2};
    assert_int_equal(kv_each(s->kv, slice_text(""), note, &walk, &err), ST_LIMIT);
    assert_string_equal(walk.seen, "a=v b=v ");
    walk = (struct walk){.left = 100};
    assert_int_equal(kv_each(s->kv, slice_text("zz"), note, &walk, &err), ST_OK);
    assert_string_equal(walk.seen, "");
}

/* A child writes and tells each success through a pipe; it ends without closing anything. */
static void what_was_applied_survives_an_abrupt_end(void **state)
{
    struct subject *s = *state;
    int pipes[2];
    uint8_t last = 0;
    uint8_t told;
    pid_t child;
    char key[8];

    kv_close(s->kv);
    s->kv = NULL;
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct kv *kv = NULL;

        if (kv_open(s->dir, STORE_BYTES, &kv, NULL) != ST_OK)
            _exit(1);
        for (uint8_t i = 1; i < 100; i++) {
            (void)snprintf(key, sizeof key, "%u", i);
            if (put(kv, key, slice_make(&i, 1), NULL) != ST_OK || write(pipes[1], &i, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    (void)close(pipes[1]);
    while (last < 30 && read(pipes[0], &told, 1) == 1)
        last = told;
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(pipes[0], &told, 1) == 1)
        last = told;
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(pipes[0]);
    assert_true(last >= 30);
    reopen(s);
    for (uint8_t i = 1; i <= last; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        expect(s->kv, key, slice_make(&i, 1));
    }
}

struct readers {
    struct kv *kv;
    _Atomic bool stop;
    _Atomic unsigned torn;
    _Atomic uint64_t reads;
};

static status first_of_pair(void *arg, struct slice key, struct slice value, struct err *err)
{
    struct slice *pair = arg;

    (void)key;
    (void)err;
    if (pair[0].data == NULL)
        pair[0] = value;
    else
        pair[1] = value;
    return ST_OK;
}

static status pair_is_equal(struct kv *kv, bool *equal)
{
    struct slice pair[2] = {0};
    status st = kv_each(kv, slice_text("pair/"), first_of_pair, pair, NULL);

    *equal = pair[0].bytes == pair[1].bytes;
    return st;
}

static void read_pairs(void *arg)
{
    struct readers *r = arg;

    while (!atomic_load(&r->stop)) {
        bool equal = false;

        if (pair_is_equal(r->kv, &equal) != ST_OK || !equal)
            atomic_fetch_add(&r->torn, 1);
        atomic_fetch_add(&r->reads, 1);
    }
}

/* Two keys always change together; readers on other threads never see them differ. */
static void readers_see_whole_transactions_while_one_writes(void **state)
{
    struct subject *s = *state;
    struct readers r = {.kv = s->kv};
    struct thread threads[3] = {0};
    static const uint8_t fill[64];

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(
            thread_start(&threads[i], "kv reader", THREAD_NORMAL, read_pairs, &r, NULL), ST_OK);
    for (unsigned i = 0; i < 60 || atomic_load(&r.reads) < 100; i++) {
        struct slice value = slice_make(fill, i % 64);
        struct kv_write writes[2] = {{.key = slice_text("pair/a"), .value = value},
                                     {.key = slice_text("pair/b"), .value = value}};

        assert_int_equal(kv_apply(s->kv, writes, 2, NULL), ST_OK);
    }
    atomic_store(&r.stop, true);
    for (unsigned i = 0; i < 3; i++)
        thread_join(&threads[i]);
    assert_int_equal(atomic_load(&r.torn), 0);
}

static unsigned fill_up(struct kv *kv, struct err *err)
{
    static const uint8_t value[VALUE_BYTES];
    char key[16];
    unsigned n = 0;

    for (;;) {
        status st;

        (void)snprintf(key, sizeof key, "%08u", n);
        st = put(kv, key, slice_make(value, sizeof value), err);
        if (st != ST_OK) {
            if (st != ST_NOSPACE)
                fail_msg("after %u: %s", n, err->text);
            return n;
        }
        n++;
    }
}

/* Full, emptied one by one, and full again with nearly as much: nothing leaks. */
static void a_full_store_says_so_and_can_be_emptied(void **state)
{
    struct subject *s = *state;
    struct stat before;
    struct stat after;
    struct err err;
    unsigned first;
    char path[128];

    (void)snprintf(path, sizeof path, "%s/data.mdb", s->dir);
    assert_int_equal(stat(path, &before), 0);
    assert_true(before.st_size >= STORE_BYTES);
    first = fill_up(s->kv, &err);
    assert_non_null(strstr(err.text, "full"));
    assert_true(first > 30);
    for (unsigned round = 0; round < 2; round++) {
        unsigned n = fill_up(s->kv, &err);
        char key[16];

        (void)n;
        for (unsigned i = 0; i < first + 8; i++) {
            struct kv_write removal = {.remove = true};

            (void)snprintf(key, sizeof key, "%08u", i);
            removal.key = slice_text(key);
            assert_int_equal(kv_apply(s->kv, &removal, 1, &err), ST_OK);
        }
        assert_int_equal(get_only(s->kv, "00000000"), ST_NOT_FOUND);
        assert_true(fill_up(s->kv, &err) + 8 >= first);
        reopen(s);
        expect(s->kv, "00000000", slice_make((uint8_t[VALUE_BYTES]){0}, VALUE_BYTES));
    }
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_true(after.st_blocks * 512 >= STORE_BYTES); /* on the device, not a hole */
}

static void a_value_larger_than_the_store_is_refused(void **state)
{
    struct subject *s = *state;
    uint8_t *value = calloc(1, 2 * STORE_BYTES);
    struct err err;

    assert_non_null(value);
    assert_int_equal(put(s->kv, "big", slice_make(value, 2 * STORE_BYTES), &err), ST_NOSPACE);
    assert_int_equal(put(s->kv, "big", slice_make(value, STORE_BYTES / 2), &err), ST_OK);
    expect(s->kv, "big", slice_make(value, STORE_BYTES / 2));
    free(value);
}

static void overwrite(const char *dir, const char *find, size_t find_bytes)
{
    char path[128];
    struct buf image;
    struct fs_file *file = NULL;
    unsigned changed = 0;

    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    buf_init(&image, 4 * STORE_BYTES);
    assert_int_equal(fs_read_file(fs_real(), path, 4 * STORE_BYTES, &image, NULL), ST_OK);
    assert_int_equal(fs_open(fs_real(), path, FS_READ | FS_WRITE, &file, NULL), ST_OK);
    for (size_t i = 0; i + find_bytes <= image.bytes; i++)
        if (memcmp(image.data + i, find, find_bytes) == 0) {
            assert_int_equal(fs_pwrite(fs_real(), file, "#", 1, i + find_bytes - 1, NULL), ST_OK);
            changed++;
        }
    assert_true(changed > 0);
    fs_close(fs_real(), file);
    buf_free(&image);
}

static status note_damage(void *arg, struct slice key, struct slice value, struct err *err)
{
    char *text = arg;

    (void)err;
    strncat(text, (const char *)key.data, key.bytes);
    strcat(text, value.data == NULL ? "! " : " ");
    return ST_OK;
}

static void a_changed_value_is_corruption(void **state)
{
    struct subject *s = *state;
    struct walk walk = {.left = 100};
    char text[64] = "";
    struct err err;

    assert_int_equal(put(s->kv, "key", slice_text("a value to be found"), &err), ST_OK);
    assert_int_equal(put(s->kv, "other", slice_text("fine"), &err), ST_OK);
    kv_close(s->kv);
    s->kv = NULL;
    overwrite(s->dir, "a value to be found", 19);
    reopen(s);
    assert_int_equal(get_only(s->kv, "key"), ST_CORRUPT);
    assert_int_equal(kv_each(s->kv, slice_text(""), note, &walk, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "crc"));
    expect(s->kv, "other", slice_text("fine"));
    assert_int_equal(kv_each_or_damaged(s->kv, slice_text(""), note_damage, text, &err), ST_OK);
    assert_string_equal(text, "key! other ");
}

static void damaged_files_are_refused_at_open(void **state)
{
    struct subject *s = *state;
    static const uint8_t junk[8192] = {1, 2, 3};
    char path[128];
    struct fs_file *file = NULL;
    struct err err;
    off_t whole;
    struct stat found;

    (void)snprintf(path, sizeof path, "%s/data.mdb", s->dir);
    (void)fill_up(s->kv, &err);
    kv_close(s->kv);
    s->kv = NULL;
    assert_int_equal(stat(path, &found), 0);
    whole = found.st_size;
    for (unsigned part = 0; part < 6; part++) {
        static const unsigned cut[] = {0, 1, 100, 4096, 9000, 400000};

        assert_int_equal(truncate(path, (off_t)cut[part]), 0);
        if (kv_open(s->dir, STORE_BYTES, &s->kv, &err) != ST_CORRUPT)
            fail_msg("cut at %u: %s", cut[part], err.text);
        if (cut[part] < 9000) /* the meta pages are gone for good: make them anew */
            assert_int_equal(unlink(path), 0);
        if (part < 4) {
            assert_int_equal(kv_open(s->dir, STORE_BYTES, &s->kv, &err), ST_OK);
            (void)fill_up(s->kv, &err);
            kv_close(s->kv);
            s->kv = NULL;
        } else {
            assert_int_equal(truncate(path, whole), 0);
        }
    }
    assert_int_equal(fs_open(fs_real(), path, FS_READ | FS_WRITE, &file, &err), ST_OK);
    assert_int_equal(fs_pwrite(fs_real(), file, junk, sizeof junk, 0, &err), ST_OK);
    fs_close(fs_real(), file);
    assert_int_equal(kv_open(s->dir, STORE_BYTES, &s->kv, &err), ST_CORRUPT);
    assert_non_null(strstr(err.text, "data.mdb"));
}

static struct buf read_store(const struct subject *s)
{
    struct buf bytes;
    char path[128];

    (void)snprintf(path, sizeof path, "%s/data.mdb", s->dir);
    buf_init(&bytes, 4 * STORE_BYTES);
    assert_int_equal(fs_read_file(fs_real(), path, 4 * STORE_BYTES, &bytes, NULL), ST_OK);
    return bytes;
}

enum { CHURN_KEYS = 90, CHURN_MAX = 9000 };

static size_t now_at; /* the byte that is changed */

static void churn_key(char key[24], uint64_t i)
{
    (void)snprintf(key, 24, "%016llx", (unsigned long long)(i * UINT64_C(0x9E3779B97F4A7C15)));
}

/* bytes 0: it is taken out. */
static void churn(struct kv *kv, uint64_t i, size_t bytes)
{
    static uint8_t value[CHURN_MAX];
    char key[24];
    const struct kv_write write = {
        .key = slice_text((churn_key(key, i), key)), .value = {value, bytes}, .remove = bytes == 0};

    struct err err;

    memset(value, (int)(i + bytes), sizeof value);
    if (kv_apply(kv, &write, 1, &err) != ST_OK)
        fail_msg("byte %zu: %s of %zu bytes: %s", now_at, key, bytes, err.text);
}

/* Small and large values, splits and merges, reused pages: what LMDB writes passes, every time. */
static void what_lmdb_writes_passes_the_check(void **state)
{
    struct subject *s = *state;
    struct rand_seeded r;

    rand_seeded_init(&r, 1);
    for (int i = 0; i < 1500; i++) {
        size_t most = rand_below(&r.source, 4) == 0 ? CHURN_MAX : 300;
        struct buf bytes;
        struct err err;

        churn(s->kv, rand_below(&r.source, CHURN_KEYS),
              i % 500 > 350 || rand_below(&r.source, 3) == 0 ? 0 : rand_below(&r.source, most));
        if (i % 7 != 0)
            continue;
        bytes = read_store(s);
        if (kv_check(buf_slice(&bytes), NULL, NULL, &err) != ST_OK)
            fail_msg("after %d changes: %s", i, err.text);
        assert_true(kv_check_bytes(slice_make(bytes.data, KV_CHECK_BEGIN_BYTES), bytes.bytes) <=
                    bytes.bytes);
        buf_free(&bytes);
    }
    reopen(s);
}

struct churned {
    size_t bytes[CHURN_KEYS];
    size_t right, damaged;
};

static status look_at_churned(void *arg, struct slice key, struct slice value, struct err *err)
{
    struct churned *c = arg;
    char name[24];

    (void)err;
    if (value.data == NULL) {
        c->damaged++;
        return ST_OK;
    }
    for (uint64_t i = 0; i < CHURN_KEYS; i++) {
        churn_key(name, i);
        if (!slice_equal(slice_text(name), key))
            continue;
        assert_int_equal(value.bytes, c->bytes[i]);
        for (size_t at = 0; at < value.bytes; at++)
            assert_int_equal(value.data[at], (uint8_t)(i + value.bytes));
        c->right++;
        return ST_OK;
    }
    fail_msg("a key nobody wrote");
    return ST_OK;
}

/* LMDB does not survive a damaged page: it must never see one. */
static void a_flipped_bit_is_refused_reported_or_harmless(void **state)
{
    struct subject *s = *state;
    struct churned want = {0};
    struct rand_seeded r;
    struct buf whole;
    char path[128];
    size_t used, there = 0;
    size_t refused = 0, reported = 0, harmless = 0;

    rand_seeded_init(&r, 2);
    for (uint64_t i = 0; i < 4 * CHURN_KEYS; i++) {
        size_t bytes = i % 5 == 4 ? 0 : 10 + rand_below(&r.source, i % 29 == 0 ? 9000 - 10 : 120);

        churn(s->kv, i % CHURN_KEYS, bytes);
        want.bytes[i % CHURN_KEYS] = bytes;
    }
    for (size_t i = 0; i < CHURN_KEYS; i++)
        there += want.bytes[i] > 0;
    kv_close(s->kv);
    s->kv = NULL;
    whole = read_store(s);
    used = kv_check_bytes(buf_slice(&whole), whole.bytes);
    assert_in_range(used, 16 * 4096, 100 * 4096);
    (void)snprintf(path, sizeof path, "%s/data.mdb", s->dir);
    /* Every byte of page heads and offsets, one in twenty-nine of what else there is. */
    for (size_t at = 0; at < used; at += at % 4096 < 160 ? 3 : 29) {
        struct churned found = want;
        struct fs_file *file = NULL;
        struct err err;
        uint8_t *byte = &whole.data[at];
        uint8_t bit = (uint8_t)(1u << rand_below(&r.source, 8));

        *byte ^= bit;
        assert_int_equal(fs_open(fs_real(), path, FS_READ | FS_WRITE, &file, NULL), ST_OK);
        assert_int_equal(fs_pwrite(fs_real(), file, whole.data, used, 0, NULL), ST_OK);
        fs_close(fs_real(), file);
        *byte ^= bit;
        if (kv_open(s->dir, STORE_BYTES, &s->kv, &err) != ST_OK) {
            assert_int_equal(err.code, ST_CORRUPT);
            assert_non_null(strstr(err.text, "data.mdb"));
            refused++;
            continue;
        }
        now_at = at;
        assert_int_equal(kv_each_or_damaged(s->kv, slice_text(""), look_at_churned, &found, NULL),
                         ST_OK);
        if (found.right + found.damaged != there || kv_damaged(s->kv) != found.damaged)
            fail_msg("byte %zu: %zu of %zu entries, %zu damaged", at, found.right, there,
                     found.damaged);
        *(found.damaged > 0 ? &reported : &harmless) += 1;
        for (uint64_t i = 0; i < 6; i++)
            churn(s->kv, at + i, (at + i) % 3 == 0 ? 0 : 2000);
        kv_close(s->kv);
        s->kv = NULL;
        assert_int_equal(kv_open(s->dir, STORE_BYTES, &s->kv, &err), ST_OK);
        kv_close(s->kv);
        s->kv = NULL;
    }
    print_message("refused %zu, reported %zu, harmless %zu\n", refused, reported, harmless);
    assert_true(refused > 100 && reported > 100 && harmless > 100);
    buf_free(&whole);
}

static void a_half_made_file_is_made_again(void **state)
{
    struct subject *s = *state;
    char path[128];

    kv_close(s->kv);
    s->kv = NULL;
    (void)snprintf(path, sizeof path, "%s/data.mdb", s->dir);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/data.mdb.new", s->dir);
    assert_int_equal(fs_write_file(fs_real(), path, slice_text("half"), NULL), ST_OK);
    reopen(s);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(put(s->kv, "a", slice_text("b"), NULL), ST_OK);
}

static void a_store_may_grow_between_opens(void **state)
{
    struct subject *s = *state;
    struct err err;
    unsigned small = fill_up(s->kv, &err);

    kv_close(s->kv);
    s->kv = NULL;
    assert_int_equal(kv_open(s->dir, 2 * STORE_BYTES, &s->kv, &err), ST_OK);
    assert_true(fill_up(s->kv, &err) >= small + small / 2);
    reopen(s); /* smaller again: everything is readable, puts are refused */
    expect(s->kv, "00000000", slice_make((uint8_t[VALUE_BYTES]){0}, VALUE_BYTES));
    assert_int_equal(put(s->kv, "x", slice_text("y"), &err), ST_NOSPACE);
}

static void bad_arguments_and_failing_allocations_are_refused(void **state)
{
    struct subject *s = *state;
    struct kv *kv = NULL;
    struct buf got;
    struct err err;
    int64_t n = 0;
    status st;

    assert_int_equal(kv_open("/proc/no/such", STORE_BYTES, &kv, &err), ST_NOT_FOUND);
    assert_int_equal(kv_open(s->dir, 0, &kv, &err), ST_INVALID);
    assert_int_equal(put(s->kv, "a", slice_text("some text"), &err), ST_OK);
    buf_init(&got, 4);
    assert_int_not_equal(kv_get(s->kv, slice_text("a"), &got, &err), ST_OK);
    buf_free(&got);
    kv_close(s->kv);
    s->kv = NULL;
    do {
        mem_test_fail_after(n++);
        st = kv_open(s->dir, STORE_BYTES, &kv, &err);
        mem_test_fail_after(-1);
        assert_true(st == ST_OK || st == ST_NOMEM);
    } while (st != ST_OK);
    kv_close(kv);
    kv_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_was_applied_is_read_and_survives_a_reopen),
        TEST(one_bad_write_undoes_the_whole_apply),
        TEST(a_walk_is_in_order_and_keeps_to_its_prefix),
        TEST(what_was_applied_survives_an_abrupt_end),
        TEST(readers_see_whole_transactions_while_one_writes),
        TEST(a_full_store_says_so_and_can_be_emptied),
        TEST(a_value_larger_than_the_store_is_refused),
        TEST(a_changed_value_is_corruption),
        TEST(damaged_files_are_refused_at_open),
        TEST(what_lmdb_writes_passes_the_check),
        TEST(a_flipped_bit_is_refused_reported_or_harmless),
        TEST(a_half_made_file_is_made_again),
        TEST(a_store_may_grow_between_opens),
        TEST(bad_arguments_and_failing_allocations_are_refused),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
