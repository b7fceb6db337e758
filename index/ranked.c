#include "index/ranked.h"

enum { BATCH_MAX = 32 };

void ranked_fini(struct ranked *r)
{
    mem_free(r->words);
    memset(r, 0, sizeof(*r));
}

bool ranked_room(struct ranked *r, uint32_t room)
{
    uint64_t *words;

    if (room <= r->room)
        return true;
    words = mem_alloc_array(room, sizeof(*words));
    if (words == NULL)
        return false;
    mem_free(r->words);
    r->words = words;
    r->room = room;
    return true;
}

/* By counting who comes before whom: there is nothing to foretell. */
static void batch_sort(uint64_t *words, uint32_t count)
{
    uint64_t sorted[BATCH_MAX];
    uint32_t places[BATCH_MAX];

    for (uint32_t i = 0; i < count; i++) {
        uint64_t x = words[i];
        uint32_t place = 0;

        for (uint32_t j = 0; j < i; j++) {
            uint32_t before = words[j] < x;

            place += before;
            places[j] += 1 - before;
        }
        places[i] = place;
    }
    for (uint32_t i = 0; i < count; i++)
        sorted[places[i]] = words[i];
    memcpy(words, sorted, count * sizeof(words[0]));
}

/* How many of the first `count` come before x. Halved without a branch on what was found: that
 * would be foretold wrongly every other time. */
static uint32_t place_of(const uint64_t *words, uint32_t count, uint64_t x)
{
    const uint64_t *base = words;

    while (count > 1) {
        uint32_t half = count / 2;

        base += half & (0u - (uint32_t)(base[half - 1] < x));
        count -= half;
    }
    return (uint32_t)(base - words) + (count == 1 && *base < x);
}

/* From the last one on, each stretch between two of them moves once, to where it ends up. */
static void merge_sorted(struct ranked *r, const uint64_t *batch, uint32_t count)
{
    uint32_t places[BATCH_MAX], end = r->count, over;

    over = end + count > r->cap ? end + count - r->cap : 0;
    for (; over > 0; over--) {
        uint32_t last = count > 0 && (end == 0 || batch[count - 1] > r->words[end - 1]);

        count -= last;
        end -= 1 - last;
    }
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        places[i] = place_of(r->words, end, batch[i]);
    r->count = end + count;
    for (uint32_t i = count; i-- > 0;) {
        memmove(&r->words[places[i] + i + 1], &r->words[places[i]],
                (end - places[i]) * sizeof(r->words[0]));
        end = places[i];
        r->words[end + i] = batch[i];
    }
    r->next = places[0] < r->next ? places[0] : r->next;
}

void ranked_merge(struct ranked *r, uint64_t *words, uint32_t count)
{
    for (uint32_t at = 0; at < count; at += BATCH_MAX) {
        uint32_t now = count - at < BATCH_MAX ? count - at : BATCH_MAX;

        batch_sort(words + at, now);
        merge_sorted(r, words + at, now);
    }
}
