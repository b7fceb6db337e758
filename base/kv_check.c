/* Is what LMDB will walk what LMDB once wrote? LMDB trusts its pages: a flipped bit in an offset is
 * a crash or an assertion, one in its list of free pages overwrites what is live, one in the number
 * of a transaction is an older state. So both meta pages, every page that the newest one reaches
 * and every page it calls free are looked at before it opens the file. Layout of LMDB 0.9 on 64
 * bits, little-endian:
 *
 *   page   u64 number, u16 -, u16 flags, u16 lower, u16 upper (or u32 pages); u16 offsets of nodes
 *   node   u32 size (branch: low half of a page number), u16 flags (branch: high), u16 key size;
 * key; value, or with flag 1 the u64 number of its overflow pages meta   in pages 0 and 1: u32
 * magic, u32 version, u64 -, u64 map size, two tables (free pages, main), u64 last page, u64
 * transaction. Transaction n is in page n % 2. table  u32 page size, u16 flags, u16 depth, u64
 * branch, leaf, overflow pages, entries, root */
#include "base/kv_internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PAGE_HEAD = 16,
    NODE_HEAD = 8,
    META_VERSION = 1,
    FLAG_BRANCH = 1,
    FLAG_LEAF = 2,
    FLAG_OVERFLOW = 4,
    FLAG_META = 8,
    NODE_BIG = 1,
    FREE_FLAGS = 8,      /* integer keys */
    KEPT_FLAGS = 0x4000, /* what the file was made with; means nothing to a reader */
    DEPTH_MAX = 32,
};
static const uint32_t META_MAGIC = 0xBEEFC0DEu;
static const uint64_t NO_PAGE = UINT64_MAX;

struct table {
    uint32_t page_bytes;
    uint16_t flags, depth;
    uint64_t branch, leaf, overflow, entries, root;
};
struct meta {
    struct table free, main;
    uint64_t last_page, txn;
};

struct checking {
    const uint8_t *file;
    uint64_t pages; /* whole ones in the file */
    uint32_t page_bytes;
    struct meta meta;
    uint8_t *seen;       /* a byte a page: reached, or called free */
    struct table counts; /* of the table that is walked */
    bool free_table;
    struct slice last_key; /* keys rise, from leaf to leaf */
    bool any_key;
    bool or_equal; /* last_key is a branch's: the next one may be the same */
    kv_check_fn *fn;
    void *arg;
    struct err *err;
};

static status PRINTF_LIKE(3, 4) bad(struct checking *c, uint64_t page, const char *format, ...)
{
    char text[160];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(c->err, ST_CORRUPT, "page %" PRIu64 ": %s", page, text);
}

static void read_table(const uint8_t *at, struct table *out)
{
    out->page_bytes = le_u32(at);
    out->flags = le_u16(at + 4);
    out->depth = le_u16(at + 6);
    out->branch = le_u64(at + 8);
    out->leaf = le_u64(at + 16);
    out->overflow = le_u64(at + 24);
    out->entries = le_u64(at + 32);
    out->root = le_u64(at + 40);
}

static status read_meta(struct checking *c, uint64_t number, struct meta *out)
{
    const uint8_t *page = c->file + number * c->page_bytes;
    const uint8_t *at = page + PAGE_HEAD;

    if (le_u64(page) != number || le_u16(page + 10) != FLAG_META || le_u32(at) != META_MAGIC ||
        le_u32(at + 4) != META_VERSION)
        return bad(c, number, "not a meta page");
    read_table(at + 24, &out->free);
    read_table(at + 72, &out->main);
    out->last_page = le_u64(at + 120);
    out->txn = le_u64(at + 128);
    if (out->free.page_bytes != c->page_bytes || (out->free.flags & ~KEPT_FLAGS) != FREE_FLAGS ||
        out->main.flags != 0)
        return bad(c, number, "meta page: a field is out of range");
    if (out->txn != 0 && out->txn % 2 != number)
        return bad(c, number, "meta page: of transaction %" PRIu64, out->txn);
    return ST_OK;
}

/* LMDB takes the one with the larger number; the other one is of the transaction before. */
static status pick_meta(struct checking *c)
{
    struct meta m[2];
    size_t newest;
    status st = read_meta(c, 0, &m[0]);

    if (st == ST_OK)
        st = read_meta(c, 1, &m[1]);
    if (st != ST_OK)
        return st;
    newest = m[1].txn > m[0].txn;
    if (m[newest].txn - m[!newest].txn > 1)
        return bad(c, newest, "meta pages of transactions %" PRIu64 " and %" PRIu64, m[0].txn,
                   m[1].txn);
    c->meta = m[newest];
    if (c->meta.last_page == 0 || c->meta.last_page >= c->pages)
        return bad(c, newest, "the last page is %" PRIu64 ", the file has %" PRIu64,
                   c->meta.last_page, c->pages);
    return ST_OK;
}

static status claim_page(struct checking *c, uint64_t page, uint64_t from)
{
    if (page < 2 || page > c->meta.last_page)
        return bad(c, from, "names page %" PRIu64 " of %" PRIu64, page, c->meta.last_page);
    if (c->seen[page] != 0)
        return bad(c, from, "names page %" PRIu64 ", which is another's", page);
    c->seen[page] = 1;
    return ST_OK;
}

static int compare_keys(struct slice a, struct slice b)
{
    size_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);

    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static bool rises(const struct checking *c, struct slice key)
{
    if (!c->any_key)
        return true;
    if (c->free_table)
        return le_u64(c->last_key.data) + !c->or_equal <= le_u64(key.data);
    return compare_keys(c->last_key, key) < (c->or_equal ? 1 : 0);
}

static status check_free_list(struct checking *c, uint64_t page, struct slice list)
{
    uint64_t count = list.bytes < 8 ? UINT64_MAX : le_u64(list.data);
    status st = ST_OK;

    if (count > list.bytes / 8 - 1)
        return bad(c, page, "a list of %" PRIu64 " free pages in %zu bytes", count, list.bytes);
    for (uint64_t i = 0; i < count && st == ST_OK; i++) {
        uint64_t number = le_u64(list.data + 8 + 8 * i);

        if (i > 0 && number >= le_u64(list.data + 8 * i)) /* they fall */
            return bad(c, page, "a list of free pages is not in order");
        st = claim_page(c, number, page);
    }
    return st;
}

/* A value in pages of its own: one head, then its bytes. */
static status overflow_value(struct checking *c, uint64_t page, const uint8_t *at, size_t bytes,
                             struct slice *out)
{
    uint64_t first = le_u64(at);
    uint64_t count = (PAGE_HEAD - 1 + (uint64_t)bytes) / c->page_bytes + 1;
    const uint8_t *head;
    status st = ST_OK;

    if (first < 2 || count > c->meta.last_page || first > c->meta.last_page + 1 - count)
        return bad(c, page, "names overflow pages %" PRIu64, first);
    head = c->file + first * c->page_bytes;
    if (le_u64(head) != first || le_u16(head + 10) != FLAG_OVERFLOW || le_u32(head + 12) != count)
        return bad(c, first, "not the overflow pages of a value of %zu bytes", bytes);
    for (uint64_t i = 0; i < count && st == ST_OK; i++)
        st = claim_page(c, first + i, page);
    c->counts.overflow += count;
    *out = slice_make(head + PAGE_HEAD, bytes);
    return st;
}

static status check_leaf_node(struct checking *c, uint64_t page, const uint8_t *node, size_t room)
{
    size_t bytes = le_u16(node) | (size_t)le_u16(node + 2) << 16;
    unsigned flags = le_u16(node + 4);
    size_t key_bytes = le_u16(node + 6);
    size_t here = (flags & NODE_BIG) != 0 ? 8 : bytes;
    struct slice key = slice_make(node + NODE_HEAD, key_bytes);
    struct slice value;
    status st = ST_OK;

    if ((flags & ~(unsigned)NODE_BIG) != 0 || key_bytes == 0 ||
        key_bytes + here > room - NODE_HEAD || (c->free_table && key_bytes != 8))
        return bad(c, page, "a node does not fit");
    value = slice_make(node + NODE_HEAD + key_bytes, bytes);
    if ((flags & NODE_BIG) != 0)
        st = overflow_value(c, page, node + NODE_HEAD + key_bytes, bytes, &value);
    if (st != ST_OK)
        return st;
    if (!rises(c, key))
        return bad(c, page, "keys are not in order");
    /* Pages are free since a transaction that was: LMDB writes its own list under the next one. */
    if (c->free_table && (le_u64(key.data) == 0 || le_u64(key.data) > c->meta.txn))
        return bad(c, page, "pages that are free since transaction %" PRIu64 " of %" PRIu64,
                   le_u64(key.data), c->meta.txn);
    c->last_key = key;
    c->any_key = true;
    c->or_equal = false;
    c->counts.entries++;
    if (c->free_table)
        return check_free_list(c, page, value);
    if (c->fn != NULL)
        c->fn(c->arg, key, value);
    return ST_OK;
}

static status check_page(struct checking *c, uint64_t page, uint64_t from, unsigned depth);

/* A branch's first node has no key of its own; those of the others bound what is below. */
static status check_branch_node(struct checking *c, uint64_t page, const uint8_t *node, size_t room,
                                unsigned depth, bool first)
{
    uint64_t below =
        le_u16(node) | (uint64_t)le_u16(node + 2) << 16 | (uint64_t)le_u16(node + 4) << 32;
    struct slice key = slice_make(node + NODE_HEAD, le_u16(node + 6));

    if (key.bytes > room - NODE_HEAD || (!first && key.bytes == 0) ||
        (c->free_table && !first && key.bytes != 8))
        return bad(c, page, "a node does not fit");
    if (!first && !rises(c, key))
        return bad(c, page, "keys are not in order");
    if (!first) {
        c->last_key = key;
        c->or_equal = true;
    }
    return check_page(c, below, page, depth + 1);
}

static size_t node_bytes(const uint8_t *node, bool branch)
{
    size_t value =
        (le_u16(node + 4) & NODE_BIG) != 0 ? 8 : le_u16(node) | (size_t)le_u16(node + 2) << 16;
    size_t bytes = NODE_HEAD + le_u16(node + 6) + (branch ? 0 : value);

    return bytes + bytes % 2;
}

static status check_nodes(struct checking *c, uint64_t page, unsigned depth, bool branch)
{
    const uint8_t *at = c->file + page * c->page_bytes;
    size_t lower = le_u16(at + 12);
    size_t upper = le_u16(at + 14);
    size_t count;
    size_t total = 0; /* of the nodes: they lie without a hole behind `upper` */
    status st = ST_OK;

    if (lower < PAGE_HEAD || lower % 2 != 0 || lower > upper || upper > c->page_bytes)
        return bad(c, page, "its bounds are %zu and %zu", lower, upper);
    count = (lower - PAGE_HEAD) / 2;
    if (count < (branch ? 2u : 1u))
        return bad(c, page, "it holds %zu nodes", count);
    for (size_t i = 0; i < count && st == ST_OK; i++) {
        size_t offset = le_u16(at + PAGE_HEAD + 2 * i);

        if (offset < upper || offset % 2 != 0 || offset + NODE_HEAD > c->page_bytes)
            return bad(c, page, "node %zu is at %zu", i, offset);
        st = branch ? check_branch_node(c, page, at + offset, c->page_bytes - offset, depth, i == 0)
                    : check_leaf_node(c, page, at + offset, c->page_bytes - offset);
        if (st == ST_OK)
            total += node_bytes(at + offset, branch);
    }
    if (st == ST_OK && total != c->page_bytes - upper)
        st = bad(c, page, "its nodes take %zu bytes of %zu", total, c->page_bytes - upper);
    return st;
}

static status check_page(struct checking *c, uint64_t page, uint64_t from, unsigned depth)
{
    const struct table *t = c->free_table ? &c->meta.free : &c->meta.main;
    bool branch = depth < t->depth;
    const uint8_t *at;
    status st = claim_page(c, page, from);

    if (st != ST_OK)
        return st;
    at = c->file + page * c->page_bytes;
    if (le_u64(at) != page || le_u16(at + 10) != (branch ? FLAG_BRANCH : FLAG_LEAF))
        return bad(c, page, "not the page that page %" PRIu64 " names", from);
    if (branch)
        c->counts.branch++;
    else
        c->counts.leaf++;
    return check_nodes(c, page, depth, branch);
}

static status check_table(struct checking *c, bool free_table)
{
    const struct table *t = free_table ? &c->meta.free : &c->meta.main;
    status st = ST_OK;

    c->free_table = free_table;
    c->counts = (struct table){.depth = t->depth};
    c->any_key = false;
    c->or_equal = false;
    if (t->depth > DEPTH_MAX || (t->root == NO_PAGE) != (t->depth == 0))
        return bad(c, c->meta.txn % 2, "a table of depth %u", t->depth);
    if (t->root != NO_PAGE)
        st = check_page(c, t->root, c->meta.txn % 2, 1);
    if (st == ST_OK && (c->counts.branch != t->branch || c->counts.leaf != t->leaf ||
                        c->counts.overflow != t->overflow || c->counts.entries != t->entries))
        st = bad(c, c->meta.txn % 2,
                 "a table of %" PRIu64 " entries in %" PRIu64 " leaves holds %" PRIu64
                 " in %" PRIu64,
                 t->entries, t->leaf, c->counts.entries, c->counts.leaf);
    return st;
}

size_t kv_check_bytes(struct slice begin, uint64_t file_bytes)
{
    size_t page_bytes = begin.bytes < KV_CHECK_BEGIN_MIN ? 0 : le_u32(begin.data + PAGE_HEAD + 24);
    uint64_t last = 1;

    for (size_t i = 0; i < 2; i++) {
        size_t at = i * page_bytes + PAGE_HEAD + 120;

        if (at + 8 <= begin.bytes && le_u64(begin.data + at) > last)
            last = le_u64(begin.data + at);
    }
    return page_bytes == 0 || last >= file_bytes / page_bytes ? (size_t)file_bytes
                                                              : (size_t)(last + 1) * page_bytes;
}

status kv_check(struct slice file, kv_check_fn *fn, void *arg, struct err *err)
{
    struct checking c = {.file = file.data, .fn = fn, .arg = arg, .err = err};
    status st;

    if (file.bytes < KV_CHECK_BEGIN_MIN)
        return err_set(err, ST_CORRUPT, "%zu bytes are no pages", file.bytes);
    c.page_bytes = le_u32(file.data + PAGE_HEAD + 24);
    if (c.page_bytes < 512 || c.page_bytes > 65536 || (c.page_bytes & (c.page_bytes - 1)) != 0 ||
        file.bytes < 2 * (size_t)c.page_bytes)
        return err_set(err, ST_CORRUPT, "page 0: pages of %" PRIu32 " bytes", c.page_bytes);
    c.pages = file.bytes / c.page_bytes;
    st = pick_meta(&c);
    if (st != ST_OK)
        return st;
    c.seen = mem_zero((size_t)c.meta.last_page + 1);
    if (c.seen == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    st = check_table(&c, false);
    if (st == ST_OK)
        st = check_table(&c, true);
    mem_free(c.seen);
    return st;
}
