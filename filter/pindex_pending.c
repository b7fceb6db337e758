/* Which slots the indexes do not know yet.
 *
 * One bit a slot, and above each 64 words of bits a word that says which of them are not empty, so
 * that the few pending slots of a large collection are found at once. The applier sets a bit, then
 * its summary bit; who clears (one thread at a time) clears the bit and, where the word is empty
 * then, the summary bit, and looks once more: a bit that was set in between sets its summary again.
 * In between the summary may lack a word that has bits. Who clears needs not mind, it looks again;
 * a reader must: `sweep` is odd as long as that may be so, and a reader that meets it odd or
 * changed looks at every word. */
#include "filter/pindex_internal.h"

struct pending_piece {
    uint32_t words;
    _Atomic uint64_t *bits;
    _Atomic uint64_t *summary; /* bit w of the whole: word w has bits */
};

enum { FIRST_BITS = 6 };

static uint32_t piece_of(uint32_t slot)
{
    return slot < 64 ? 0 : 32 - FIRST_BITS - (uint32_t)__builtin_clz(slot);
}

static uint32_t piece_base(uint32_t piece)
{
    return piece == 0 ? 0 : UINT32_C(64) << (piece - 1);
}

static uint32_t piece_words(uint32_t piece)
{
    return piece == 0 ? 1 : UINT32_C(1) << (piece - 1);
}

static uint32_t summary_words(uint32_t words)
{
    return (words + 63) / 64;
}

static struct pending_piece *piece_get(const struct pending *p, uint32_t piece)
{
    return atomic_load_explicit(&p->pieces[piece], memory_order_acquire);
}

/* One allocation: the piece, its bits, its summary. */
static struct pending_piece *piece_make(uint32_t words)
{
    size_t all = (size_t)words + summary_words(words);
    struct pending_piece *piece = mem_zero(sizeof *piece + all * sizeof(uint64_t));

    if (piece == NULL)
        return NULL;
    piece->words = words;
    piece->bits = (_Atomic uint64_t *)(void *)(piece + 1);
    piece->summary = piece->bits + words;
    return piece;
}

static uint64_t piece_bytes(uint32_t words)
{
    return sizeof(struct pending_piece) +
           ((uint64_t)words + summary_words(words)) * sizeof(uint64_t);
}

bool pending_reserve(struct pending *p, uint32_t slot_end, struct charge *charge)
{
    for (uint32_t i = 0; i < PENDING_PIECES && piece_base(i) < slot_end; i++) {
        struct pending_piece *piece;

        if (piece_get(p, i) != NULL)
            continue;
        if (!charge_take(charge, piece_bytes(piece_words(i))))
            return false;
        piece = piece_make(piece_words(i));
        if (piece == NULL) {
            charge_give(charge, piece_bytes(piece_words(i)));
            return false;
        }
        atomic_store_explicit(&p->pieces[i], piece, memory_order_release);
    }
    return true;
}

/* Pieces are made from the first on. */
bool pending_reserved(const struct pending *p, uint32_t slot_end)
{
    return slot_end == 0 || piece_get(p, piece_of(slot_end - 1)) != NULL;
}

void pending_free(struct pending *p)
{
    for (uint32_t i = 0; i < PENDING_PIECES; i++)
        mem_free(piece_get(p, i));
}

void pending_add(struct pending *p, uint32_t slot)
{
    uint32_t at = piece_of(slot);
    struct pending_piece *piece = piece_get(p, at);
    uint32_t offset = slot - piece_base(at);
    uint64_t bit = UINT64_C(1) << offset % 64;
    uint32_t word = offset / 64;
    uint64_t before;

    atomic_fetch_add(&p->count, 1);
    before = atomic_fetch_or(&piece->bits[word], bit);
    if ((before & bit) != 0)
        atomic_fetch_sub(&p->count, 1);
    /* Sequential with pending_drop(): either it sees our bit, or we find the word empty. */
    if (before == 0)
        atomic_fetch_or(&piece->summary[word / 64], UINT64_C(1) << word % 64);
}

bool pending_has(const struct pending *p, uint32_t slot)
{
    uint32_t at = piece_of(slot);
    struct pending_piece *piece = piece_get(p, at);
    uint32_t offset = slot - piece_base(at);

    return piece != NULL && (atomic_load(&piece->bits[offset / 64]) >> offset % 64 & 1) != 0;
}

static void summary_take_back(struct pending *p, struct pending_piece *piece, uint32_t word)
{
    uint64_t bit = UINT64_C(1) << word % 64;

    atomic_fetch_add(&p->sweep, 1);
    atomic_fetch_and(&piece->summary[word / 64], ~bit);
    if (atomic_load(&piece->bits[word]) != 0)
        atomic_fetch_or(&piece->summary[word / 64], bit);
    atomic_fetch_add(&p->sweep, 1);
}

void pending_drop(struct pending *p, uint32_t slot)
{
    uint32_t at = piece_of(slot);
    struct pending_piece *piece = piece_get(p, at);
    uint32_t offset = slot - piece_base(at);
    uint64_t bit = UINT64_C(1) << offset % 64;
    uint32_t word = offset / 64;
    uint64_t before;

    if (piece == NULL)
        return;
    before = atomic_fetch_and(&piece->bits[word], ~bit);
    if ((before & bit) == 0)
        return;
    if (before == bit)
        summary_take_back(p, piece, word);
    atomic_fetch_sub(&p->count, 1);
}

/* The bits of one word from a slot on, into out. */
static uint32_t word_slots(uint64_t bits, uint32_t base, uint32_t from, uint32_t *out, uint32_t max)
{
    uint32_t n = 0;

    while (bits != 0 && n < max) {
        uint32_t slot = base + (uint32_t)__builtin_ctzll(bits);

        if (slot >= from)
            out[n++] = slot;
        bits &= bits - 1;
    }
    return n;
}

uint32_t pending_find(struct pending *p, uint32_t from, uint32_t *out, uint32_t max)
{
    uint32_t n = 0;

    for (uint32_t i = piece_of(from); i < PENDING_PIECES && n < max; i++) {
        struct pending_piece *piece = piece_get(p, i);
        uint32_t base = piece_base(i);
        uint32_t first = from > base ? (from - base) / 64 : 0;

        if (piece == NULL)
            break;
        for (uint32_t s = first / 64; s < summary_words(piece->words) && n < max; s++) {
            uint64_t words = atomic_load(&piece->summary[s]);

            for (; words != 0 && n < max; words &= words - 1) {
                uint32_t w = s * 64 + (uint32_t)__builtin_ctzll(words);

                n +=
                    word_slots(atomic_load(&piece->bits[w]), base + w * 64, from, out + n, max - n);
            }
        }
    }
    return n;
}

static void piece_bits(const struct pending_piece *piece, uint64_t *out, uint32_t words, bool all)
{
    for (uint32_t s = 0; s * 64 < words; s++) {
        uint32_t left = words - s * 64;
        uint64_t some = all ? UINT64_MAX : atomic_load(&piece->summary[s]);

        if (left < 64)
            some &= (UINT64_C(1) << left) - 1;
        for (; some != 0; some &= some - 1) {
            uint32_t w = s * 64 + (uint32_t)__builtin_ctzll(some);

            out[w] |= atomic_load_explicit(&piece->bits[w], memory_order_acquire);
        }
    }
}

static void all_bits(const struct pending *p, uint64_t *bits, uint32_t words, bool all)
{
    for (uint32_t i = 0; i < PENDING_PIECES && piece_base(i) / 64 < words; i++) {
        const struct pending_piece *piece = piece_get(p, i);
        uint32_t base = piece_base(i) / 64;

        if (piece == NULL)
            break;
        piece_bits(piece, bits + base, words - base < piece->words ? words - base : piece->words,
                   all);
    }
}

void pending_bits(const struct pending *p, uint64_t *bits, uint32_t bit_count)
{
    uint32_t sweep = atomic_load(&p->sweep);

    /* It is counted before its bit is set, and its row goes live after. */
    if (atomic_load(&p->count) == 0)
        return;
    if (sweep % 2 == 0) {
        all_bits(p, bits, bit_count / 64, false);
        if (atomic_load(&p->sweep) == sweep)
            return;
    }
    all_bits(p, bits, bit_count / 64, true);
}
