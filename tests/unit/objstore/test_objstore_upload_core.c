/* The decisions of an upload, over a store that is a handful of flags: it refuses, loses answers,
 * does things late and twice, and somebody sweeps. What is said at the end is so. */
#include "objstore/upload_core.h"

#include "base/rand.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 1;
static unsigned rounds = 20000;

enum { PARTS = 3, PART_BYTES = 10, UPLOADS = 64, LATE = 8, STEPS_MAX = 4000 };
enum content { ABSENT = 0, OURS, FOREIGN_SAME_SIZE, FOREIGN_OTHER_SIZE };

struct model {
    struct rand_seeded rng;
    enum content object;
    unsigned version; /* of the object: its etag */
    bool we_stored;   /* a PUT or completion of ours took effect */
    struct {
        bool live;
        unsigned parts; /* a bit each */
    } uploads[UPLOADS];
    unsigned upload_count;
    struct { /* takes effect later, though it was answered as lost */
        struct upload_want want;
        unsigned upload;
        bool used;
    } late[LATE];
    enum objstore_condition condition;
    unsigned if_version; /* of IF_MATCH */
    uint64_t bytes;
    unsigned trouble; /* of 100 requests so many go wrong */
};

static unsigned chance(struct model *m, unsigned bound)
{
    return (unsigned)rand_below(&m->rng.source, bound);
}

static void etag_of(const struct model *m, char out[OBJSTORE_ETAG_BYTES])
{
    (void)snprintf(out, OBJSTORE_ETAG_BYTES, "\"%u\"", m->version);
}

/* 412, or nothing. */
static bool holds(const struct model *m)
{
    if (m->condition == OBJSTORE_IF_ABSENT)
        return m->object == ABSENT;
    return m->condition == OBJSTORE_ALWAYS || (m->object != ABSENT && m->version == m->if_version);
}

static void answer(struct objstore_result *r, enum objstore_class c, const char *code)
{
    r->class = c;
    (void)snprintf(r->s3_code, sizeof r->s3_code, "%s", code);
}

static void store_ours(struct model *m)
{
    m->object = OURS;
    m->version++;
    m->we_stored = true;
}

static void apply_write(struct model *m, const struct upload_want *want, unsigned upload,
                        struct objstore_result *r)
{
    if (want->op == OBJSTORE_UPLOAD_BEGIN) {
        assert_true(m->upload_count < UPLOADS);
        m->uploads[m->upload_count].live = true;
        (void)snprintf(r->upload_id, sizeof r->upload_id, "%u", m->upload_count++);
    } else if (want->op == OBJSTORE_UPLOAD_ABORT) {
        m->uploads[upload].live = false;
    } else if (want->op != OBJSTORE_PUT && !m->uploads[upload].live) {
        answer(r, OBJSTORE_NOT_FOUND, "NoSuchUpload");
    } else if (want->op == OBJSTORE_UPLOAD_PART) {
        assert_int_equal(want->offset, (want->part_number - 1) * (uint64_t)PART_BYTES);
        m->uploads[upload].parts |= 1u << want->part_number;
        (void)snprintf(r->etag, sizeof r->etag, "p%u", want->part_number);
    } else if (!holds(m)) {
        answer(r, OBJSTORE_PRECONDITION, "PreconditionFailed");
    } else {
        if (want->op == OBJSTORE_UPLOAD_COMPLETE) {
            assert_int_equal(m->uploads[upload].parts, (1u << (PARTS + 1)) - 2);
            m->uploads[upload].live = false;
        }
        store_ours(m);
        etag_of(m, r->etag);
    }
}

static bool read_object(const struct model *m, const struct upload_want *want,
                        struct objstore_result *r)
{
    if (m->object == ABSENT) {
        answer(r, OBJSTORE_NOT_FOUND, "NoSuchKey");
        return false;
    }
    etag_of(m, r->etag);
    r->object_bytes = m->object == FOREIGN_OTHER_SIZE ? m->bytes + 1 : m->bytes;
    return want->op == OBJSTORE_GET && m->object == OURS;
}

static void run_late(struct model *m)
{
    for (size_t i = 0; i < LATE; i++) {
        struct objstore_result r = {0};

        if (!m->late[i].used || chance(m, 3) != 0)
            continue;
        m->late[i].used = false;
        apply_write(m, &m->late[i].want, m->late[i].upload, &r);
    }
}

static void put_late(struct model *m, const struct upload_want *want, unsigned upload)
{
    size_t i = chance(m, LATE);

    if (m->late[i].used || want->op == OBJSTORE_UPLOAD_BEGIN)
        return;
    m->late[i].used = true;
    m->late[i].want = *want;
    m->late[i].upload = upload;
}

/* What the store answers; *equal of a GET. */
static void serve(struct model *m, const struct upload_want *want, unsigned upload,
                  struct objstore_result *r, bool *equal)
{
    static const enum objstore_class refusals[] = {
        OBJSTORE_TRANSIENT, OBJSTORE_THROTTLE,  OBJSTORE_CAPACITY,   OBJSTORE_CONFLICT,
        OBJSTORE_PERMANENT, OBJSTORE_INTEGRITY, OBJSTORE_REFRESHABLE};
    bool read = want->op == OBJSTORE_HEAD || want->op == OBJSTORE_GET;
    bool wrong = chance(m, 100) < m->trouble;
    unsigned kind = chance(m, 4);

    run_late(m);
    if (wrong && kind == 0) {
        answer(r, refusals[chance(m, COUNT_OF(refusals))], "");
        return;
    }
    if (wrong && kind == 1 && !read) { /* answered as lost, done later or never */
        put_late(m, want, upload);
        answer(r, OBJSTORE_TRANSIENT, "");
        r->maybe_applied = true;
        return;
    }
    if (read)
        *equal = read_object(m, want, r);
    else
        apply_write(m, want, upload, r);
    if (wrong && kind == 2 && !read) { /* done, and the answer is lost */
        *r = (struct objstore_result){.class = OBJSTORE_TRANSIENT, .maybe_applied = true};
    } else if (wrong && kind == 3 && !read) { /* done, and done again later */
        put_late(m, want, upload);
    }
    if (wrong && chance(m, 4) == 0) /* somebody sweeps */
        m->uploads[upload].live = false;
}

static void model_init(struct model *m, uint64_t round)
{
    memset(m, 0, sizeof *m);
    rand_seeded_init(&m->rng, seed * 1000003 + round);
    m->condition = (enum objstore_condition)chance(m, 3);
    m->object = m->condition == OBJSTORE_IF_MATCH ? FOREIGN_SAME_SIZE : ABSENT;
    if (chance(m, 4) == 0)
        m->object = (enum content)chance(m, 4);
    m->version = m->if_version = 7;
    if (m->condition == OBJSTORE_IF_MATCH && chance(m, 5) == 0)
        m->if_version = 6;
    m->bytes = chance(m, 3) == 0 ? PART_BYTES : PARTS * PART_BYTES - 1;
    m->trouble = chance(m, 2) == 0 ? 0 : chance(m, 60);
}

/* Answers come in any order. */
static unsigned run_core(struct model *m, struct upload_core *u, unsigned stop_at)
{
    struct {
        struct upload_want want;
        unsigned upload;
    } sent[UPLOAD_SLOTS_MAX];
    uint32_t under_way = 0;
    uint64_t now = 1;
    unsigned steps = 0;

    while (u->step != UPLOAD_DONE || under_way > 0) {
        struct upload_want want;
        struct objstore_result r = {0};
        struct upload_answer a = {.result = &r};
        uint64_t wake = 0;
        uint32_t at;

        if (++steps == stop_at)
            upload_core_stop(u, OBJSTORE_CANCELLED);
        assert_true(steps < STEPS_MAX);
        while (upload_core_next(u, now, &want, &wake)) {
            assert_true(under_way < u->slot_count);
            sent[under_way].want = want;
            sent[under_way++].upload = (unsigned)strtoul(u->upload_id, NULL, 10);
        }
        if (under_way == 0) {
            assert_true(u->step == UPLOAD_DONE || wake != UINT64_MAX);
            now = u->step == UPLOAD_DONE ? now : wake;
            continue;
        }
        at = chance(m, under_way);
        serve(m, &sent[at].want, sent[at].upload, &r, &a.equal);
        (void)upload_core_answer(u, sent[at].want.slot, &a, now, rand_u64(&m->rng.source));
        sent[at] = sent[--under_way];
        now += chance(m, 5);
    }
    return steps;
}

static void what_is_said_of_an_upload_is_so(void **state)
{
    struct objstore_retry_policy policy = objstore_retry_background(10, 100, 1);
    unsigned came_to[OBJSTORE_CLASSES] = {0};
    unsigned found = 0, restarted = 0;

    (void)state;
    policy.attempts_max = 4;
    policy.capacity_attempts_max = 2;
    for (uint64_t round = 0; round < rounds; round++) {
        struct objstore_part parts[PARTS];
        struct upload_core u;
        struct model m;
        bool ours_before;
        bool live = false;

        model_init(&m, round);
        ours_before = m.object == OURS;
        upload_core_init(&u, m.bytes, PART_BYTES, 1 + chance(&m, 4), m.condition, &policy, 2,
                         parts);
        (void)run_core(&m, &u, chance(&m, 4) == 0 ? 1 + chance(&m, 20) : 0);
        for (size_t i = 0; i < UPLOADS; i++)
            live = live || m.uploads[i].live;
        if ((u.class == OBJSTORE_OK && m.object != OURS) ||
            (u.class != OBJSTORE_OK && m.we_stored && !u.maybe_applied) ||
            (u.class == OBJSTORE_OK && !u.found && !m.we_stored) ||
            (u.class == OBJSTORE_PRECONDITION && m.we_stored) || (live && !u.left_behind))
            fail_msg("%s: object %d, stored %d, maybe %d, found %d, live %d, left %d; seed %" PRIu64
                     " round %" PRIu64,
                     objstore_class_name(u.class), m.object, m.we_stored, u.maybe_applied, u.found,
                     live, u.left_behind, seed, round);
        if (u.class == OBJSTORE_OK && u.found)
            assert_true(ours_before || m.we_stored);
        if (m.trouble == 0 && m.condition == OBJSTORE_ALWAYS)
            assert_true(u.class == OBJSTORE_OK || u.class == OBJSTORE_CANCELLED);
        came_to[u.class]++;
        found += u.found;
        restarted += u.restarts > 0;
    }
    if (rounds < 1000)
        return;
    assert_true(came_to[OBJSTORE_OK] > rounds / 4 && found > rounds / 100);
    assert_true(came_to[OBJSTORE_PRECONDITION] > rounds / 100 && restarted > rounds / 100);
}

static void parts_are_large_enough_and_not_too_many(void **state)
{
    const uint64_t mib = 1024 * 1024;
    const uint64_t sizes[] = {0,
                              1,
                              16 * mib,
                              16 * mib + 1,
                              1000 * mib,
                              160000 * mib,
                              160000 * mib + 1,
                              400000 * mib,
                              640000 * mib,
                              640000 * mib + 1};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        uint64_t part = upload_part_bytes(sizes[i], 0);

        if (sizes[i] > 640000 * mib) {
            assert_int_equal(part, 0);
            continue;
        }
        assert_true(part >= UPLOAD_PART_BYTES && part <= OBJSTORE_OBJECT_BYTES_MAX);
        assert_true((sizes[i] + part - 1) / part <= OBJSTORE_PARTS_MAX);
        assert_true(sizes[i] > 160000 * mib || part == UPLOAD_PART_BYTES);
    }
    assert_int_equal(upload_part_bytes(100 * mib, 1), OBJSTORE_PART_BYTES_MIN);
    assert_int_equal(upload_part_bytes(100 * mib, UINT32_MAX), OBJSTORE_OBJECT_BYTES_MAX);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_of_an_upload_is_so),
        cmocka_unit_test(parts_are_large_enough_and_not_too_many),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        rounds = (unsigned)strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
