/* What the upkeep thread does when the disk does not let it: a checkpoint that fails is tried again
 * by age, and costs neither a disk full of attempts nor a log full of lines. */
#include "tests/unit/node/nbucket.h"

#include <errno.h>

enum { DIM = 4, FOLD_OPS = 4, TICKS = 6 };

static void tick(struct nworld *w, struct collection *c)
{
    clock_manual_advance(&w->clock, UINT64_C(1000000000));
    (void)ncheckpoint(c, NULL); /* on that thread, which ticks when it is done */
}

static void a_checkpoint_that_fails_is_not_tried_at_every_tick(void **state)
{
    const struct fs_sim_fault full = {.op = FS_SIM_EFFECT,
                                      .nth = 1,
                                      .errnum = ENOSPC,
                                      .path_part = "/snapshots/",
                                      .for_ever = true};
    struct nworld w;
    struct collection *c;
    uint64_t before;

    (void)state;
    nworld_init(&w, true, 1);
    nworld_bucket(&w, "upkeep");
    w.options.clock = &w.clock.clock;
    w.options.compaction_ops = FOLD_OPS;
    nworld_open(&w);
    assert_int_equal(ncreate_s3(&w, "docs", DIM, NODE_LOCAL, NULL), ST_OK);
    c = npin(&w, "docs");
    fs_sim_fail(w.sim, &full);
    for (uint64_t id = 1; id <= FOLD_OPS; id++)
        assert_int_equal(nput(c, id, 1, NULL), ST_OK);
    tick(&w, c);
    assert_true(nhealth_has(&w, "its last checkpoint failed"));
    before = atomic_load(&c->compactions);
    for (int i = 0; i < TICKS; i++)
        tick(&w, c);
    assert_int_equal(atomic_load(&c->compactions), before);

    fs_sim_fail_clear(w.sim);
    tick(&w, c);
    assert_false(nhealth_has(&w, "its last checkpoint failed"));
    for (uint64_t id = 1; id <= FOLD_OPS; id++)
        assert_int_equal(nput(c, id, 2, NULL), ST_OK);
    clock_manual_advance(&w.clock, UINT64_C(1000000000));
    neventually(atomic_load(&c->compactions) > before);
    node_collection_unpin(c);
    nworld_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_that_fails_is_not_tried_at_every_tick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
