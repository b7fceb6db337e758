#include "node/store_trust.h"

#include <stdio.h>

enum { MEMORY_VERSION = 1 };

const char *store_mode_name(enum store_mode mode)
{
    static const char *const names[] = {"unproven", "full", "pinned", "refused"};

    return (unsigned)mode < COUNT_OF(names) ? names[mode] : "unproven";
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static enum store_mode pinned(const struct store_facts *f, char text[STORE_TEXT_BYTES])
{
    if (!f->marker_known)
        return STORE_UNPROVEN;
    (void)snprintf(
        text, STORE_TEXT_BYTES,
        "pinned-owner mode: the store protects nothing; this node alone may write there, "
        "and never two processes under its name (%.140s)",
        f->grade == PROBE_GRADE_A
            ? "the store has grade A: without [storage] pinned_owner it is trusted"
            : f->verdict);
    return STORE_PINNED;
}

/* From what binds most to what binds least. Nothing here ever makes a refused store a trusted one:
 * that takes an operator, who lifts `distrusted` and the marker. */
enum store_mode store_decide(const struct store_facts *f, char text[STORE_TEXT_BYTES])
{
    bool wanting = f->grade == PROBE_GRADE_B || f->grade == PROBE_GRADE_C || f->distrusted;

    text[0] = '\0';
    if (f->pinned_owner[0] != '\0' && !is(f->pinned_owner, f->node_id)) {
        (void)snprintf(text, STORE_TEXT_BYTES,
                       "[storage] pinned_owner names %.80s as the only node that writes to this "
                       "bucket, and this node is %.80s: it reads, and writes nothing there",
                       f->pinned_owner, f->node_id);
        return STORE_REFUSED;
    }
    if (f->marker[0] != '\0' && !is(f->marker, f->node_id)) {
        (void)snprintf(
            text, STORE_TEXT_BYTES,
            "the bucket's meta/pinned names %.80s as the only node that writes there, as "
            "its store keeps no conditions; this node is %.80s: it reads, and writes "
            "nothing there",
            f->marker, f->node_id);
        return STORE_REFUSED;
    }
    if (f->grade == PROBE_GRADE_NONE)
        return STORE_UNPROVEN;
    if (f->grade == PROBE_GRADE_UNFIT) {
        (void)snprintf(text, STORE_TEXT_BYTES, "nothing is written to the bucket: %.280s",
                       f->verdict);
        return STORE_REFUSED;
    }
    if (f->pinned_owner[0] != '\0')
        return pinned(f, text);
    if (f->grade == PROBE_GRADE_A && (wanting || f->marker[0] != '\0')) {
        (void)snprintf(text, STORE_TEXT_BYTES,
                       "nothing is written to the bucket: the store was found wanting before and "
                       "has grade A now; if it was mended or replaced, `tiervec probe --node "
                       "--accept` says so");
        return STORE_REFUSED;
    }
    if (wanting) {
        (void)snprintf(text, STORE_TEXT_BYTES, "nothing is written to the bucket: %.280s",
                       f->verdict);
        return STORE_REFUSED;
    }
    return STORE_FULL;
}

/* --- remembered --- */

static void put_text(struct buf *out, const char *text)
{
    size_t bytes = strlen(text);

    buf_put_u16(out, (uint16_t)bytes);
    buf_put(out, text, bytes);
}

static void take_text(struct rd *r, char *out, size_t bytes_max)
{
    uint16_t bytes = rd_u16(r);

    if (r->bad || bytes >= bytes_max || bytes > rd_left(r)) {
        r->bad = true;
        return;
    }
    memcpy(out, r->at, bytes);
    out[bytes] = '\0';
    r->at += bytes;
}

void store_memory_encode(const struct store_memory *m, struct buf *out)
{
    buf_put_u8(out, MEMORY_VERSION);
    buf_put_u8(out, (uint8_t)m->grade);
    buf_put_u8(out, m->distrusted);
    buf_put_u64(out, m->probed_at_ns);
    put_text(out, m->server);
    put_text(out, m->store);
    put_text(out, m->verdict);
}

bool store_memory_decode(struct slice bytes, struct store_memory *out)
{
    struct store_memory m = {0};
    struct rd r = rd_make(bytes);
    uint8_t version = rd_u8(&r);
    uint8_t grade = rd_u8(&r);
    uint8_t distrusted = rd_u8(&r);

    m.probed_at_ns = rd_u64(&r);
    take_text(&r, m.server, sizeof m.server);
    take_text(&r, m.store, sizeof m.store);
    take_text(&r, m.verdict, sizeof m.verdict);
    if (r.bad || rd_left(&r) != 0 || version != MEMORY_VERSION || distrusted > 1 ||
        grade > PROBE_GRADE_UNFIT)
        return false;
    m.grade = (enum probe_grade)grade;
    m.distrusted = distrusted != 0;
    *out = m;
    return true;
}
