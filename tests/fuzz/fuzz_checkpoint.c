/* What a local checkpoint consists of. The first byte says which: a manifest; a file of liveness or
 * a graph beside a manifest that allows much. Checksums are mended after each change. */
#include "segment/container_memory.h"
#include "snapshot/checkpoint_internal.h"
#include "tests/fuzz/frames.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

#include <stdlib.h>

enum { SLOTS_END = 4096, ITEMS = 3 };

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    if (bytes == 0 || bytes_max < 2)
        return LLVMFuzzerMutate(data, bytes, bytes_max);
    if (data[0] % 3 == 0)
        return 1 + mutate_frame(data + 1, bytes - 1, bytes_max - 1, seed, "TVCP");
    return 1 + mutate_container(data + 1, bytes - 1, bytes_max - 1, seed,
                                data[0] % 3 == 1 ? CONTAINER_ROWS : CONTAINER_IMAGE, NULL);
}

static status manifest_again(struct slice bytes, struct buf *out, struct err *err)
{
    struct ckpt_manifest m;
    status st = ckpt_manifest_decode(bytes, &m, err);

    if (st == ST_OK) {
        FUZZ_CHECK(ckpt_manifest_encode(&m, out, err) == ST_OK);
        ckpt_manifest_free(&m);
    }
    return st;
}

static status read_live(struct container *c, const struct ckpt_manifest *m, struct err *err)
{
    struct ckpt_live l = {0};
    uint64_t entries = 0;
    status st = ckpt_live_open(&l, c, m, err);

    while (st == ST_OK) {
        st = ckpt_live_next(&l, err);
        for (uint32_t s = 0; st == ST_OK && s < l.slots; s++) {
            entries += l.states[s] != 0;
            FUZZ_CHECK(l.states[s] == 0 || l.lsns[s] <= m->lsn_max);
        }
    }
    FUZZ_CHECK(st != ST_NOT_FOUND || entries == ITEMS);
    ckpt_live_close(&l);
    return st;
}

static status read_graph(struct container *c, const struct ckpt_manifest *m, struct err *err)
{
    const struct ckpt_file *file = ckpt_manifest_find(m, CKPT_GRAPH, 0);
    struct ckpt_graph g = {0};
    struct vnode node;
    uint32_t nodes = 0;
    status st = ckpt_graph_open(&g, c, m, file, err);

    while (st == ST_OK) {
        st = ckpt_graph_next(&g, &node, err);
        for (unsigned l = 0; st == ST_OK && l <= node.level; l++)
            for (unsigned i = 0; i < node.counts[l]; i++)
                FUZZ_CHECK(node.links[l][i] < SLOTS_END);
        nodes += st == ST_OK;
    }
    FUZZ_CHECK(st != ST_NOT_FOUND || nodes == ITEMS);
    ckpt_graph_close(&g);
    return st;
}

static void read_container(const uint8_t *data, size_t bytes, bool live)
{
    struct ckpt_manifest m = {.lsn_max = 1u << 20, .block_slots = 1024, .slots_end = SLOTS_END};
    const struct ckpt_file files[] = {{.kind = CKPT_LIVE, .items = ITEMS},
                                      {.kind = CKPT_GRAPH, .items = ITEMS}};
    struct container_memory_source source;
    struct container *c;
    struct err err = {0};
    status st;

    if (bytes < 32)
        return;
    container_memory_source_init(&source, slice_make(data, bytes));
    if (fuzz_said(container_open(&source.source, live ? CONTAINER_ROWS : CONTAINER_IMAGE, data + 8,
                                 &c, &err),
                  &err) != ST_OK)
        return;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        FUZZ_CHECK(ckpt_manifest_add(&m, &files[i], &err) == ST_OK);
    st = live ? read_live(c, &m, &err) : read_graph(c, &m, &err);
    FUZZ_CHECK(st == ST_NOT_FOUND || fuzz_said(st, &err) == ST_CORRUPT || st == ST_UNSUPPORTED);
    ckpt_manifest_free(&m);
    container_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy;

    if (bytes == 0)
        return 0;
    copy = fuzz_copy(data + 1, bytes - 1);
    if (data[0] % 3 == 0)
        frame_try(copy, bytes - 1, manifest_again, false);
    else
        read_container(copy, bytes - 1, data[0] % 3 == 1);
    free(copy);
    return 0;
}
