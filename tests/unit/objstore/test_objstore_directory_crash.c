/* The machine loses its power, or the process dies, behind every effect a workload has on the disk.
 *
 * Reopened, each key holds what was last acknowledged, or what a later request said it may have
 * done; what was refused for certain is not there, half objects never are, and nothing is left of
 * files that were being written. A disk whose syncs lie must be found out by the same test.
 *
 * Argument: a seed. */
#include "objstore/directory.h"
#include "tests/support/fs_sim.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KEYS = 4, STEPS = 24, VALUES = STEPS + 1, ABSENT = 0, EFFECTS_MAX = 5000, BODY = 700 };

static const char *const NAMES[KEYS] = {"root", "c/00/root", "c/00/root/below", "c/01/w/1"};

static uint64_t seed_base = 1;

struct model {
    unsigned acked[KEYS];        /* the number of the value, or ABSENT */
    bool possible[KEYS][VALUES]; /* may be there instead */
    char etags[KEYS][OBJSTORE_ETAG_BYTES];
};

static void value_of(unsigned number, uint8_t out[BODY])
{
    memset(out, (int)('a' + number % 26), BODY);
    out[0] = (uint8_t)number;
}

static struct objstore *open_it(struct fs_sim *sim)
{
    struct objstore *s = NULL;

    return objstore_directory_open("/disk/bucket", fs_sim_fs(sim), clock_real(), rand_kernel(), &s,
                                   NULL) == ST_OK
               ? s
               : NULL;
}

static void note(struct model *m, unsigned key, unsigned value, const struct objstore_result *r)
{
    if (r->class == OBJSTORE_OK) {
        memset(m->possible[key], 0, sizeof m->possible[key]);
        m->acked[key] = value;
        memcpy(m->etags[key], r->etag, sizeof r->etag);
    } else if (r->maybe_applied)
        m->possible[key][value] = true;
}

static void upload(struct objstore *s, struct model *m, unsigned key, unsigned value,
                   struct slice body)
{
    struct objstore_req begin = {.op = OBJSTORE_UPLOAD_BEGIN, .key = NAMES[key]};
    struct objstore_req part = {
        .op = OBJSTORE_UPLOAD_PART, .key = NAMES[key], .part_number = 1, .body = body};
    struct objstore_part named = {.number = 1};
    struct objstore_req end = {
        .op = OBJSTORE_UPLOAD_COMPLETE, .key = NAMES[key], .parts = &named, .part_count = 1};

    if (objstore_wait(s, &begin, NULL) == ST_OK) {
        part.upload_id = end.upload_id = begin.result.upload_id;
        if (objstore_wait(s, &part, NULL) == ST_OK) {
            memcpy(named.etag, part.result.etag, sizeof named.etag);
            if (objstore_wait(s, &end, NULL) != ST_BUG)
                note(m, key, value, &end.result);
        }
    }
    objstore_result_fini(&begin.result);
    objstore_result_fini(&part.result);
    objstore_result_fini(&end.result);
}

static void one_step(struct objstore *s, struct model *m, struct rand_source *rng, unsigned value)
{
    unsigned key = (unsigned)rand_below(rng, KEYS);
    unsigned what = (unsigned)rand_below(rng, 8);
    uint8_t body[BODY];
    struct objstore_req req = {.op = OBJSTORE_PUT, .key = NAMES[key], .body = {body, BODY}};

    value_of(value, body);
    if (what == 0) {
        upload(s, m, key, value, req.body);
        return;
    }
    if (what == 1) {
        req.op = OBJSTORE_DELETE;
        value = ABSENT;
    } else if (what < 4)
        req.condition = OBJSTORE_IF_ABSENT;
    else if (what < 6 && m->etags[key][0] != '\0') {
        req.condition = OBJSTORE_IF_MATCH;
        req.etag = m->etags[key];
    }
    if (objstore_wait(s, &req, NULL) != ST_BUG)
        note(m, key, value, &req.result);
    objstore_result_fini(&req.result);
}

/* The number of the value under the key; VALUES: something that was never written. */
static unsigned value_now(struct objstore *s, unsigned key)
{
    struct objstore_req get = {.op = OBJSTORE_GET, .key = NAMES[key]};
    uint8_t want[BODY];
    unsigned value = VALUES;

    if (objstore_wait(s, &get, NULL) == ST_NOT_FOUND)
        value = ABSENT;
    else if (get.result.class == OBJSTORE_OK && get.result.body.bytes == BODY) {
        value_of(get.result.body.data[0], want);
        if (memcmp(want, get.result.body.data, BODY) == 0)
            value = get.result.body.data[0];
    }
    objstore_result_fini(&get.result);
    return value;
}

static status count_entries(void *arg, const char *name, bool is_dir, struct err *err)
{
    (void)name;
    (void)is_dir;
    (void)err;
    ++*(unsigned *)arg;
    return ST_OK;
}

/* seen: each key's value. */
static bool holds(struct fs_sim *sim, const struct model *m, unsigned seen[KEYS])
{
    struct objstore *s = open_it(sim);
    struct objstore_req list = {.op = OBJSTORE_LIST, .key = ""};
    unsigned present = 0;
    unsigned temporary = 0;
    bool ok = s != NULL;

    for (unsigned key = 0; key < KEYS && ok; key++) {
        unsigned value = value_now(s, key);

        ok = value == m->acked[key] || (value < VALUES && m->possible[key][value]);
        present += value != ABSENT;
        seen[key] = value;
    }
    ok = ok && objstore_wait(s, &list, NULL) == ST_OK && list.result.entry_count == present;
    objstore_result_fini(&list.result);
    ok = ok &&
         fs_list(fs_sim_fs(sim), "/disk/bucket/temporary", count_entries, &temporary, NULL) ==
             ST_OK &&
         temporary == 1;
    objstore_close(s);
    return ok;
}

enum how { POWER_CUT, KILL, LIAR };

/* *ended: the workload came to its end before the stop. */
static bool one_run(uint64_t seed, uint64_t effects, enum how how, bool *ended)
{
    struct fs_sim *sim = fs_sim_create();
    struct model m = {0};
    struct rand_seeded rng;
    struct objstore *s;
    unsigned seen[KEYS];
    unsigned later[KEYS];
    bool ok = true;

    assert_int_equal(fs_mkdir_all(fs_sim_fs(sim), "/disk", NULL), ST_OK);
    rand_seeded_init(&rng, seed);
    fs_sim_sync_lies(sim, how == LIAR);
    fs_sim_stop_after(sim, effects);
    s = open_it(sim);
    for (unsigned i = 1; i <= STEPS && s != NULL; i++)
        one_step(s, &m, &rng.source, i);
    *ended = !fs_sim_stopped(sim);
    /* A handle of a dead process is closed behind the crash: it can do nothing any more. */
    fs_sim_stop_after(sim, 0);
    objstore_close(s);
    rand_seeded_init(&rng, seed * EFFECTS_MAX + effects);
    if (how == KILL)
        fs_sim_process_crash(sim);
    else
        fs_sim_power_cut(sim, &rng.source);
    ok = holds(sim, &m, seen);
    if (how == KILL && ok) {
        /* What a successor has seen outlives the power too. */
        fs_sim_power_cut(sim, NULL);
        ok = holds(sim, &m, later) && memcmp(seen, later, sizeof seen) == 0;
    }
    fs_sim_destroy(sim);
    return ok;
}

static unsigned sweep(uint64_t seed, enum how how)
{
    unsigned failed = 0;
    bool ended = false;

    for (uint64_t effects = 0; !ended; effects++) {
        assert_true(effects < EFFECTS_MAX);
        if (!one_run(seed, effects, how, &ended)) {
            failed++;
            if (how != LIAR)
                print_message("seed %" PRIu64 ", stopped after %" PRIu64 " effects\n", seed,
                              effects);
        }
    }
    return failed;
}

static void nothing_acknowledged_is_lost_to_a_power_cut(void **state)
{
    (void)state;
    for (uint64_t seed = seed_base; seed < seed_base + 3; seed++)
        assert_int_equal(sweep(seed, POWER_CUT), 0);
}

static void nothing_seen_behind_a_kill_is_lost_to_a_power_cut_later(void **state)
{
    (void)state;
    for (uint64_t seed = seed_base + 10; seed < seed_base + 12; seed++)
        assert_int_equal(sweep(seed, KILL), 0);
}

static void a_disk_that_lies_is_found_out(void **state)
{
    (void)state;
    assert_true(sweep(seed_base, LIAR) > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_to_a_power_cut),
        cmocka_unit_test(nothing_seen_behind_a_kill_is_lost_to_a_power_cut_later),
        cmocka_unit_test(a_disk_that_lies_is_found_out),
    };

    if (argc > 1)
        seed_base = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
