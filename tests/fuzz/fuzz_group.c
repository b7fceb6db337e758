/* A group: its checksums and its chain are mended after each change. What is accepted hands out
 * every record it counts, and encoded again it is the same group. */
#include "segment/container_memory.h"
#include "segment/group.h"
#include "segment/record.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

#include <stdlib.h>

enum { HEAD = 1, ENTRIES = 2, HEAD_BYTES = 64 }; /* docs/formats/group.md */

static struct mutate_section *find(struct mutate_section *sections, size_t count, uint16_t number)
{
    for (size_t i = 0; i < count; i++)
        if (sections[i].section == number)
            return &sections[i];
    return NULL;
}

/* The head says what the entries are. */
static void mend(struct mutate_section *sections, size_t count, const uint8_t owner[16])
{
    struct mutate_section *head = find(sections, count, HEAD);
    struct mutate_section *entries = find(sections, count, ENTRIES);
    struct rd r;
    uint64_t lsn, chain;
    uint8_t *h;

    (void)owner;
    if (head == NULL || entries == NULL || head->bytes.bytes != HEAD_BYTES)
        return;
    h = head->bytes.data;
    lsn = le_u64(h + 24);
    chain = le_u64(h + 40);
    r = rd_make(buf_slice(&entries->bytes));
    for (bool first = true; rd_left(&r) > 0; first = false) {
        struct slice payload = rd_bytes(&r, (size_t)rd_varint(&r));

        if (r.bad || payload.bytes < RECORD_HEADER_BYTES)
            return;
        if (first)
            le_put_u64(h + 56, le_u64(payload.data + 8));
        chain = group_chain(chain, lsn, payload);
        le_put_u64(h + 32, lsn++);
    }
    le_put_u64(h + 48, chain);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed)
{
    return mutate_container(data, bytes, bytes_max, seed, CONTAINER_GROUP, mend);
}

/* As a reader knows them from the key. */
static bool place(struct slice bytes, uint64_t *epoch, uint64_t *seq)
{
    struct container_memory_source source;
    struct container_cursor cursor;
    struct container *c;
    struct slice head;
    bool there;

    container_memory_source_init(&source, bytes);
    if (container_open(&source.source, CONTAINER_GROUP, bytes.data + 8, &c, NULL) != ST_OK)
        return false;
    there = container_seek(c, HEAD, &cursor, NULL) == ST_OK &&
            container_next(&cursor, &head, NULL) == ST_OK && head.bytes >= 24;
    if (there) {
        *epoch = le_u64(head.data + 8);
        *seq = le_u64(head.data + 16);
    }
    container_close(c);
    return there;
}

static status copy_record(void *arg, uint64_t lsn, struct slice payload, struct err *err)
{
    FUZZ_CHECK(payload.bytes >= RECORD_HEADER_BYTES);
    return group_add(arg, lsn, payload, err);
}

static void encode_again(struct group *g)
{
    const struct group_head *head = group_head(g);
    struct group_head now = *head;
    struct group_writer *w = NULL;
    struct group *again;
    struct slice bytes;
    struct buf gap;

    buf_init(&gap, 4096);
    if (head->kind == GROUP_GAP) {
        FUZZ_CHECK(group_encode_gap(head, &gap, NULL) == ST_OK);
        bytes = buf_slice(&gap);
    } else {
        FUZZ_CHECK(group_create(head, &w, NULL) == ST_OK);
        FUZZ_CHECK(group_each(g, copy_record, w, NULL) == ST_OK);
        FUZZ_CHECK(group_finish(w, &now, &bytes, NULL) == ST_OK);
    }
    FUZZ_CHECK(memcmp(&now, head, sizeof now) == 0);
    FUZZ_CHECK(group_open(bytes, head->collection, head->epoch, head->seq, &again, NULL) == ST_OK);
    FUZZ_CHECK(memcmp(group_head(again), head, sizeof now) == 0);
    group_close(again);
    group_writer_destroy(w);
    buf_free(&gap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = fuzz_copy(data, bytes);
    uint64_t epoch = 1;
    uint64_t seq = 1;
    struct err err = {0};
    struct group *g;

    if (bytes >= 32) {
        (void)place(slice_make(copy, bytes), &epoch, &seq);
        if (fuzz_said(group_open(slice_make(copy, bytes), copy + 8, epoch, seq, &g, &err), &err) ==
            ST_OK) {
            encode_again(g);
            group_close(g);
        }
    }
    free(copy);
    return 0;
}
