#include "objstore/aimd.h"

#include <assert.h>

enum {
    GAP_MAX_MS = 1000,
    GAP_MAX_FOREGROUND_MS = 250,
    GAP_SHRINKS = 16, /* by a sixteenth with each success: one in twelve is throttled at balance */
    MS_NS = 1000000,
};

void aimd_init(struct aimd *a, enum objstore_pool pool, uint32_t limit_max)
{
    uint32_t reserved = pool == OBJSTORE_FOREGROUND ? limit_max / 4 : 1;

    assert(limit_max > 0);
    *a = (struct aimd){
        .limit_min = reserved > 0 ? reserved : 1,
        .limit_max = limit_max,
        .gap_max_ns =
            (uint64_t)(pool == OBJSTORE_FOREGROUND ? GAP_MAX_FOREGROUND_MS : GAP_MAX_MS) * MS_NS,
        .limit = limit_max,
    };
}

bool aimd_may_send(const struct aimd *a, uint32_t active, uint64_t now_ns)
{
    return active < a->limit && now_ns >= a->next_ns;
}

void aimd_sent(struct aimd *a, uint64_t now_ns)
{
    if (a->gap_ns > 0)
        a->next_ns = now_ns + a->gap_ns;
}

static void hold(struct aimd *a, uint64_t until_ns)
{
    if (until_ns > a->next_ns)
        a->next_ns = until_ns;
}

static void cut(struct aimd *a, uint64_t now_ns)
{
    const uint64_t first = (uint64_t)AIMD_GAP_FIRST_MS * MS_NS;

    a->cut_ns = now_ns;
    a->successes = 0;
    if (a->limit > a->limit_min) {
        a->limit = a->limit / 2 > a->limit_min ? a->limit / 2 : a->limit_min;
        return;
    }
    a->gap_ns = a->gap_ns < first ? first : a->gap_ns * 2;
    if (a->gap_ns > a->gap_max_ns)
        a->gap_ns = a->gap_max_ns;
    hold(a, now_ns + a->gap_ns);
}

static void succeed(struct aimd *a)
{
    if (a->gap_ns > 0) {
        a->gap_ns -= a->gap_ns / GAP_SHRINKS;
        if (a->gap_ns < (uint64_t)AIMD_GAP_FIRST_MS * MS_NS / 2)
            a->gap_ns = 0;
        return;
    }
    a->successes++;
    if (a->successes < (a->limit > AIMD_WINDOW ? a->limit : AIMD_WINDOW) ||
        a->limit == a->limit_max)
        return;
    a->limit++;
    a->successes = 0;
}

void aimd_yield(struct aimd *a, uint64_t sent_ns, uint64_t now_ns)
{
    if (a->cut_ns == 0 || sent_ns > a->cut_ns)
        cut(a, now_ns);
}

void aimd_answer(struct aimd *a, enum objstore_class c, uint64_t retry_after_ms, uint64_t sent_ns,
                 uint64_t now_ns, uint64_t random)
{
    uint64_t wish = retry_after_ms < AIMD_WISH_MAX_MS ? retry_after_ms : AIMD_WISH_MAX_MS;

    switch (c) {
    case OBJSTORE_THROTTLE:
        aimd_yield(a, sent_ns, now_ns);
        if (wish > 0)
            hold(a, now_ns + wish * MS_NS + random % (wish * MS_NS / 8));
        break;
    case OBJSTORE_OK:
    case OBJSTORE_NOT_MODIFIED:
    case OBJSTORE_NOT_FOUND:
    case OBJSTORE_PRECONDITION:
        succeed(a);
        break;
    case OBJSTORE_CONFLICT: /* what these say of the store's load is not known */
    case OBJSTORE_TRANSIENT:
    case OBJSTORE_REFRESHABLE:
    case OBJSTORE_CAPACITY:
    case OBJSTORE_PERMANENT:
    case OBJSTORE_INTEGRITY:
    case OBJSTORE_CANCELLED:
    case OBJSTORE_CLASSES:
        break;
    }
}
