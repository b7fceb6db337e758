/* The table of letters: what is listed, what survives a restart, what damage leaves alone, and that
 * RAM and disk never part, whatever allocation fails. */
#include "dlq/dlq_internal.h"
#include "tests/support/alloc_sweep.h"

#include <stdio.h>
#include <stdlib.h>

enum { STORE_BYTES = 16 << 20, MANY = 5000 };

struct subject {
    char dir[64];
    struct kv *kv;
    struct dlq *dlq;
    size_t damaged;
    size_t calls, writes;
};

static void apply(void *arg, const struct kv_write *writes, size_t count)
{
    struct subject *s = arg;
    struct err err;

    s->calls++;
    s->writes += count;
    if (s->kv != NULL && kv_apply(s->kv, writes, count, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static void open_dlq(struct subject *s)
{
    const struct dlq_options options = {.kv = s->kv, .persist = apply, .persist_arg = s};
    struct err err;

    if (dlq_open(&options, &s->dlq, &s->damaged, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct subject *s = calloc(1, sizeof *s);

    if (s == NULL)
        return -1;
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/test_dlq.XXXXXX");
    *state = s;
    if (mkdtemp(s->dir) == NULL || kv_open(s->dir, STORE_BYTES, &s->kv, NULL) != ST_OK)
        return -1;
    open_dlq(s);
    return 0;
}

static int teardown(void **state)
{
    struct subject *s = *state;
    status st;

    dlq_close(s->dlq);
    kv_close(s->kv);
    st = fs_remove_all(fs_real(), s->dir, NULL);
    free(s);
    return st == ST_OK ? 0 : -1;
}

static void restart(struct subject *s)
{
    dlq_close(s->dlq);
    kv_close(s->kv);
    assert_int_equal(kv_open(s->dir, STORE_BYTES, &s->kv, NULL), ST_OK);
    open_dlq(s);
}

static const uint8_t ONE[16] = {1};
static const uint8_t TWO[16] = {2};

static struct letter make(const uint8_t collection[16], enum letter_kind kind, uint64_t first,
                          uint64_t last)
{
    struct letter l = {.kind = kind,
                       .state = LETTER_PARKED,
                       .lsn_first = first,
                       .lsn_last = last,
                       .bytes = 10,
                       .first_failed_ns = 1000 + first,
                       .last_failed_ns = 2000 + first,
                       .blocking = kind == LETTER_WAL_GROUP};

    memcpy(l.collection, collection, 16);
    (void)snprintf(l.class, sizeof l.class, first % 2 == 0 ? "permanent" : "integrity");
    (void)snprintf(l.message, sizeof l.message, "letter %llu", (unsigned long long)first);
    return l;
}

static uint64_t put(struct subject *s, const uint8_t collection[16], enum letter_kind kind,
                    uint64_t first, uint64_t last)
{
    struct letter l = make(collection, kind, first, last);
    struct err err;
    uint64_t id = 0;

    if (dlq_put(s->dlq, &l, &id, &err) != ST_OK)
        fail_msg("%s", err.text);
    return id;
}

static size_t count_all(struct subject *s)
{
    struct dlq_counts counts;

    dlq_count(s->dlq, NULL, &counts);
    return counts.letters;
}

static void letters_come_back_after_a_restart(void **state)
{
    struct subject *s = *state;
    uint64_t a = put(s, ONE, LETTER_WAL_GROUP, 1, 10);
    uint64_t b = put(s, TWO, LETTER_DIVERGENT_TAIL, 11, 20);
    struct letter got;

    assert_true(b > a);
    assert_int_equal(dlq_set_state(s->dlq, a, LETTER_RETRYING, NULL), ST_OK);
    assert_int_equal(dlq_get(s->dlq, a, &got, NULL), ST_OK);
    assert_int_equal(got.state, LETTER_RETRYING);
    restart(s);
    assert_int_equal(s->damaged, 0);
    assert_int_equal(count_all(s), 2);
    assert_int_equal(dlq_get(s->dlq, a, &got, NULL), ST_OK);
    assert_int_equal(got.state, LETTER_PARKED); /* nobody is at it any more */
    assert_string_equal(got.message, "letter 1");
    assert_int_equal(dlq_get(s->dlq, b, &got, NULL), ST_OK);
    assert_int_equal(got.kind, LETTER_DIVERGENT_TAIL);
    assert_memory_equal(got.collection, TWO, 16);
}

static void the_same_range_again_is_the_same_letter(void **state)
{
    struct subject *s = *state;
    uint64_t id = put(s, ONE, LETTER_WAL_GROUP, 5, 9);
    struct letter again = make(ONE, LETTER_WAL_GROUP, 5, 9);
    struct letter got;
    uint64_t same = 0;

    again.first_failed_ns = 9999;
    again.last_failed_ns = 9999;
    again.attempts = 6;
    assert_int_equal(dlq_put(s->dlq, &again, &same, NULL), ST_OK);
    assert_int_equal(same, id);
    assert_int_equal(count_all(s), 1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(dlq_get(s->dlq, id, &got, NULL), ST_OK);
        assert_int_equal(got.first_failed_ns, 1005);
        assert_int_equal(got.last_failed_ns, 9999);
        assert_int_equal(got.attempts, 6);
        restart(s);
    }
    assert_true(put(s, ONE, LETTER_DIVERGENT_TAIL, 5, 9) != id);
    assert_true(put(s, TWO, LETTER_WAL_GROUP, 5, 9) != id);
    assert_true(put(s, ONE, LETTER_WAL_GROUP, 5, 10) != id);
    assert_int_equal(count_all(s), 4);
}

static void an_id_is_not_used_twice_over_a_restart(void **state)
{
    struct subject *s = *state;
    uint64_t id = put(s, ONE, LETTER_WAL_GROUP, 1, 1);

    assert_int_equal(dlq_remove(s->dlq, id, NULL), ST_OK);
    assert_int_equal(dlq_remove(s->dlq, id, NULL), ST_NOT_FOUND);
    restart(s);
    assert_int_equal(count_all(s), 0);
    assert_true(put(s, ONE, LETTER_WAL_GROUP, 1, 1) > id);
}

static void stored_groups_take_their_letters_along(void **state)
{
    struct subject *s = *state;
    struct dlq_counts counts;

    (void)put(s, ONE, LETTER_WAL_GROUP, 1, 10);
    (void)put(s, ONE, LETTER_WAL_GROUP, 11, 20);
    (void)put(s, ONE, LETTER_DIVERGENT_TAIL, 1, 10);
    (void)put(s, TWO, LETTER_WAL_GROUP, 1, 10);
    dlq_remove_shipped(s->dlq, ONE, 19);
    for (int round = 0; round < 2; round++) {
        dlq_count(s->dlq, ONE, &counts);
        assert_int_equal(counts.letters, 2);
        assert_int_equal(counts.blocking, 1);
        assert_int_equal(counts.divergent, 1);
        assert_int_equal(counts.bytes, 20);
        assert_int_equal(counts.oldest_failed_ns, 1001);
        assert_int_equal(count_all(s), 3);
        restart(s);
    }
    dlq_remove_collection(s->dlq, ONE);
    restart(s);
    assert_int_equal(count_all(s), 1);
}

static void lists_are_paged_and_filtered(void **state)
{
    struct subject *s = *state;
    struct letter page[16];
    const struct dlq_filter one = {.collection = ONE};
    const struct dlq_filter tails = {.kind = LETTER_DIVERGENT_TAIL};
    const struct dlq_filter odd = {.collection = ONE, .class = "integrity"};
    uint64_t after = 0;
    size_t seen = 0;
    size_t total;
    size_t n;

    for (uint64_t i = 1; i <= 50; i++)
        (void)put(s, i % 5 == 0 ? TWO : ONE, i % 10 == 0 ? LETTER_DIVERGENT_TAIL : LETTER_WAL_GROUP,
                  i, i);
    while ((n = dlq_list(s->dlq, &one, after, page, COUNT_OF(page), &total)) > 0) {
        assert_int_equal(total, 40);
        for (size_t i = 0; i < n; i++) {
            assert_true(page[i].id > after);
            after = page[i].id;
            assert_memory_equal(page[i].collection, ONE, 16);
        }
        seen += n;
    }
    assert_int_equal(seen, 40);
    assert_int_equal(dlq_list(s->dlq, &tails, 0, page, COUNT_OF(page), &total), 5);
    assert_int_equal(total, 5);
    assert_int_equal(dlq_list(s->dlq, &odd, 0, page, 1, &total), 1);
    assert_int_equal(total, 20);
    assert_int_equal(dlq_list(s->dlq, NULL, 0, NULL, 0, &total), 0);
    assert_int_equal(total, 50);
}

static void thousands_of_letters_stay_and_go(void **state)
{
    struct subject *s = *state;
    size_t calls;

    for (uint64_t i = 1; i <= MANY; i++)
        (void)put(s, ONE, LETTER_WAL_GROUP, i * 10, i * 10 + 9);
    restart(s);
    assert_int_equal(count_all(s), MANY);
    calls = s->calls;
    dlq_remove_shipped(s->dlq, ONE, MANY * 5);
    assert_true(s->calls - calls <= MANY / 2 / 32); /* many removals, few transactions */
    restart(s);
    assert_int_equal(count_all(s), MANY - MANY / 2 + 1);
}

static void flip_in_file(struct subject *s, const char *find)
{
    char path[128];
    struct buf image;
    struct fs_file *file = NULL;
    size_t length = strlen(find);
    unsigned changed = 0;

    (void)snprintf(path, sizeof path, "%s/data.mdb", s->dir);
    buf_init(&image, 4 * STORE_BYTES);
    assert_int_equal(fs_read_file(fs_real(), path, 4 * STORE_BYTES, &image, NULL), ST_OK);
    assert_int_equal(fs_open(fs_real(), path, FS_READ | FS_WRITE, &file, NULL), ST_OK);
    for (size_t i = 0; i + length <= image.bytes; i++)
        if (memcmp(image.data + i, find, length) == 0) {
            assert_int_equal(fs_pwrite(fs_real(), file, "#", 1, i + length - 1, NULL), ST_OK);
            changed++;
        }
    assert_true(changed > 0);
    fs_close(fs_real(), file);
    buf_free(&image);
}

/* One value fails its checksum, one is of a newer version, one key is none. The others are served,
 * and none of the three is written over. */
static void damaged_entries_are_kept_aside(void **state)
{
    struct subject *s = *state;
    uint64_t hurt = put(s, ONE, LETTER_WAL_GROUP, 777, 777);
    uint64_t fine = put(s, ONE, LETTER_WAL_GROUP, 5, 5);
    uint8_t key[DLQ_KEY_BYTES];
    struct kv_write foreign[] = {
        {.key = slice_make(key, sizeof key), .value = slice_text("\2 a later program's")},
        {.key = slice_text("dlq/short"), .value = slice_text("x")},
    };
    struct letter got;

    letter_key(TWO, 1000, key);
    assert_int_equal(kv_apply(s->kv, foreign, COUNT_OF(foreign), NULL), ST_OK);
    dlq_close(s->dlq);
    s->dlq = NULL;
    kv_close(s->kv);
    flip_in_file(s, "letter 777");
    assert_int_equal(kv_open(s->dir, STORE_BYTES, &s->kv, NULL), ST_OK);
    open_dlq(s);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(s->damaged, 3);
        assert_int_equal(dlq_get(s->dlq, hurt, &got, NULL), ST_NOT_FOUND);
        assert_int_equal(dlq_get(s->dlq, fine, &got, NULL), ST_OK);
        assert_true(put(s, TWO, LETTER_WAL_GROUP, (uint64_t)round, 9) > 1000);
        restart(s);
    }
}

struct told {
    char text[4096];
};
static void note(void *arg, const struct kv_write *writes, size_t count)
{
    struct told *told = arg;
    size_t at = strlen(told->text);

    for (size_t i = 0; i < count; i++) {
        if (writes[i].key.bytes != DLQ_KEY_BYTES)
            continue;
        at += (size_t)snprintf(told->text + at, sizeof told->text - at, "%c%u ",
                               writes[i].remove ? '-' : '+', writes[i].key.data[27]);
    }
}

static void persist_hears_of_changes_in_order(void **state)
{
    struct told told = {{0}};
    const struct dlq_options options = {.persist = note, .persist_arg = &told};
    struct letter l = make(ONE, LETTER_WAL_GROUP, 1, 1);
    struct dlq *dlq;
    size_t damaged;
    uint64_t id;

    (void)state;
    assert_int_equal(dlq_open(&options, &dlq, &damaged, NULL), ST_OK);
    for (l.lsn_first = 1; l.lsn_first <= 3; l.lsn_first++) {
        l.lsn_last = l.lsn_first;
        assert_int_equal(dlq_put(dlq, &l, &id, NULL), ST_OK);
    }
    assert_int_equal(dlq_set_state(dlq, 2, LETTER_RETRYING, NULL), ST_OK);
    assert_int_equal(dlq_remove(dlq, 1, NULL), ST_OK);
    dlq_remove_collection(dlq, ONE);
    assert_string_equal(told.text, "+1 +2 +3 +2 -1 -2 -3 ");
    l.kind = 0;
    assert_int_equal(dlq_put(dlq, &l, &id, NULL), ST_INVALID);
    assert_string_equal(told.text, "+1 +2 +3 +2 -1 -2 -3 ");
    dlq_close(dlq);
}

/* A mirror of what persist was handed must be what the table says, whichever allocation fails. */
struct mirror {
    unsigned present;
};
static void reflect(void *arg, const struct kv_write *writes, size_t count)
{
    struct mirror *m = arg;

    for (size_t i = 0; i < count; i++)
        if (writes[i].key.bytes == DLQ_KEY_BYTES) {
            unsigned bit = 1U << writes[i].key.data[27];

            m->present = writes[i].remove ? m->present & ~bit : m->present | bit;
        }
}

static status use_all_of_it(void *arg)
{
    struct mirror mirror = {0};
    const struct dlq_options options = {.persist = reflect, .persist_arg = &mirror};
    struct letter l = make(ONE, LETTER_WAL_GROUP, 1, 1);
    struct letter page[32];
    struct dlq *dlq = NULL;
    size_t damaged;
    size_t n;
    uint64_t id;
    unsigned present = 0;
    status st = dlq_open(&options, &dlq, &damaged, NULL);

    (void)arg;
    if (st != ST_OK)
        return st;
    for (uint64_t i = 1; i <= 20; i++) {
        l.lsn_first = l.lsn_last = i;
        if (dlq_put(dlq, &l, &id, NULL) != ST_OK)
            st = ST_NOMEM;
    }
    if (dlq_put(dlq, &l, &id, NULL) != ST_OK || /* the last one again */
        dlq_set_state(dlq, 3, LETTER_RETRYING, NULL) == ST_NOMEM)
        st = ST_NOMEM;
    if (dlq_remove(dlq, 2, NULL) != ST_OK)
        st = ST_NOMEM; /* it was never made */
    dlq_remove_shipped(dlq, ONE, 10);
    n = dlq_list(dlq, NULL, 0, page, COUNT_OF(page), NULL);
    for (size_t i = 0; i < n; i++)
        present |= 1U << page[i].id;
    assert_int_equal(present, mirror.present);
    assert_true(n >= 9 && n <= 10);
    dlq_close(dlq);
    return st;
}

static void a_failed_allocation_leaves_ram_and_disk_alike(void **state)
{
    (void)state;
    assert_true(alloc_sweep(use_all_of_it, NULL) > 60);
}

static status open_again(void *arg)
{
    struct subject *s = arg;
    const struct dlq_options options = {.kv = s->kv};
    struct dlq *dlq = NULL;
    size_t damaged;
    status st = dlq_open(&options, &dlq, &damaged, NULL);

    dlq_close(dlq);
    return st;
}

static void opening_meets_each_failed_allocation(void **state)
{
    struct subject *s = *state;

    for (uint64_t i = 1; i <= 20; i++)
        (void)put(s, ONE, LETTER_WAL_GROUP, i, i);
    assert_true(alloc_sweep(open_again, s) >= 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(letters_come_back_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_range_again_is_the_same_letter, setup, teardown),
        cmocka_unit_test_setup_teardown(an_id_is_not_used_twice_over_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(stored_groups_take_their_letters_along, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_paged_and_filtered, setup, teardown),
        cmocka_unit_test_setup_teardown(thousands_of_letters_stay_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_entries_are_kept_aside, setup, teardown),
        cmocka_unit_test(persist_hears_of_changes_in_order),
        cmocka_unit_test(a_failed_allocation_leaves_ram_and_disk_alike),
        cmocka_unit_test_setup_teardown(opening_meets_each_failed_allocation, setup, teardown),
    };

    return cmocka_run_group_tests_name("dlq", tests, NULL, NULL);
}
