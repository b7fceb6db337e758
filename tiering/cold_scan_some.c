/* Some rows of a segment, streaming past the cache: payload blocks that have one of them, or the id
 * index where nothing but ids is wanted of many. */
#include "tiering/cold_scan.h"

#include "base/bits.h"
#include "base/mem.h"

enum {
    WAVE_BYTES = 8 * 1024 * 1024,
    GET_BYTES = 1024 * 1024,
    WAVE_BLOCKS = 2048,
    GET_COST = 32 * 1024, /* of one more GET, in bytes */
};

struct wave {
    struct cold_span spans[WAVE_BLOCKS];
    struct cache_want wants[2 * WAVE_BLOCKS]; /* and what lies between */
    size_t want_of[WAVE_BLOCKS];
    size_t count, want_count;
    uint64_t bytes, run;
};

static void wave_add(struct wave *w, const struct cold_segment *s, enum cold_kind kind,
                     uint32_t block)
{
    struct cold_span *span = &w->spans[w->count];
    struct cache_want want;

    *span = (struct cold_span){.segment = s, .kind = kind, .first = block};
    cold_want(span, true, &want);
    want.joined = w->count > 0 && w->run + want.bytes <= GET_BYTES;
    if (want.joined && block != span[-1].first + 1) {
        want.joined = cold_want_gap(&w->wants[w->want_count - 1], &want, &w->wants[w->want_count]);
        if (want.joined)
            w->run += w->wants[w->want_count++].bytes;
    }
    w->run = want.joined ? w->run + want.bytes : want.bytes;
    w->bytes += want.bytes;
    w->want_of[w->count++] = w->want_count;
    w->wants[w->want_count++] = want;
}

static bool is_full(const struct wave *w)
{
    return w->count == WAVE_BLOCKS || w->bytes >= WAVE_BYTES;
}

static void wave_empty(struct wave *w)
{
    w->count = w->want_count = 0;
    w->bytes = w->run = 0;
}

static bool any_in(const uint64_t *bits, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end;) {
        if (i % 64 == 0 && i + 64 <= end) {
            if (bits[i / 64] != 0)
                return true;
            i += 64;
        } else if (bits_get(bits, i++)) {
            return true;
        }
    }
    return false;
}

static bool block_has(const struct cold_footer *f, const uint64_t *bits, uint32_t block)
{
    return any_in(bits, f->payload_first[block], f->payload_first[block + 1]);
}

/* --- payload --- */

struct some {
    struct cold_set *set;
    const struct cold_segment *segment;
    const uint64_t *bits;
    const struct cold_terms *terms;
    struct cold_stats *stats;
    struct wave *wave;
    struct buf unpacked;
    uint32_t *ordinals; /* UINT16_MAX */
    cold_scan_fn *fn;
    void *arg;
};

static status wave_rows(struct some *s, size_t i, struct err *err)
{
    const struct wave *w = s->wave;
    const struct cold_footer *f = &s->segment->footer;
    uint32_t block = w->spans[i].first;
    size_t count = 0;

    for (uint32_t at = f->payload_first[block]; at < f->payload_first[block + 1]; at++)
        if (bits_get(s->bits, at))
            s->ordinals[count++] = at;
    return cold_payload_some(f, block, w->wants[w->want_of[i]].body, s->ordinals, count,
                             &s->unpacked, s->fn, s->arg, err);
}

static status wave_read(struct some *s, struct err *err)
{
    struct wave *w = s->wave;
    status st = cold_read(s->set, s->terms, w->wants, w->want_count, s->stats, err);

    for (size_t i = 0; st == ST_OK && i < w->count; i++) {
        st = wave_rows(s, i, err);
        if (st == ST_CORRUPT)
            (void)err_wrap(err, st, "cold segment %s", s->segment->key);
    }
    cache_give_back(s->set->cache, w->wants, w->want_count);
    wave_empty(w);
    return st;
}

static status read_rows(struct some *s, struct err *err)
{
    const struct cold_footer *f = &s->segment->footer;
    status st = ST_OK;

    for (uint32_t b = 0; st == ST_OK && b < f->payload_blocks; b++) {
        if (!block_has(f, s->bits, b))
            continue;
        wave_add(s->wave, s->segment, COLD_PAYLOAD_BLOCK, b);
        if (is_full(s->wave))
            st = wave_read(s, err);
    }
    return st == ST_OK && s->wave->count > 0 ? wave_read(s, err) : st;
}

status cold_scan_some(struct cold_set *set, const struct cold_segment *segment,
                      const uint64_t *bits, const struct cold_terms *terms, cold_scan_fn *fn,
                      void *arg, struct cold_stats *stats, struct err *err)
{
    struct some s = {.set = set,
                     .segment = segment,
                     .bits = bits,
                     .terms = terms,
                     .stats = stats,
                     .wave = mem_alloc(sizeof *s.wave),
                     .ordinals = mem_alloc_array(UINT16_MAX, sizeof *s.ordinals),
                     .fn = fn,
                     .arg = arg};
    status st = ST_OK;

    buf_init(&s.unpacked, COLD_PAYLOAD_BLOCK_BYTES_MAX);
    if (s.wave == NULL || s.ordinals == NULL) {
        st = err_set(err, ST_NOMEM, "out of memory for a scan");
    } else {
        wave_empty(s.wave);
        st = read_rows(&s, err);
    }
    buf_free(&s.unpacked);
    mem_free(s.ordinals);
    mem_free(s.wave);
    return st;
}

/* --- ids --- */

bool cold_scan_ids_pay(const struct cold_segment *segment, const uint64_t *bits)
{
    const struct cold_footer *f = &segment->footer;
    uint64_t ids = (uint64_t)f->id_blocks * COLD_ID_BLOCK_BYTES;
    uint64_t cost = 0, most = ids + ids / GET_BYTES * GET_COST + GET_COST;
    bool before = false;

    for (uint32_t b = 0; cost <= most && b < f->payload_blocks; b++) {
        bool has = block_has(f, bits, b);

        if (has)
            cost += f->payload_offsets[b + 1] - f->payload_offsets[b] + (before ? 0 : GET_COST);
        before = has;
    }
    return cost > most;
}

struct naming {
    const uint64_t *bits;
    cold_scan_id_fn *fn;
    void *arg;
};

static status take_id(void *arg, const struct docid *id, uint32_t ordinal, uint64_t lsn,
                      struct err *err)
{
    struct naming *n = arg;

    return bits_get(n->bits, ordinal) ? n->fn(n->arg, ordinal, id, lsn, err) : ST_OK;
}

status cold_scan_ids(struct cold_set *set, const struct cold_segment *segment, const uint64_t *bits,
                     const struct cold_terms *terms, cold_scan_id_fn *fn, void *arg,
                     struct cold_stats *stats, struct err *err)
{
    struct naming n = {.bits = bits, .fn = fn, .arg = arg};
    struct wave *w = mem_alloc(sizeof *w);
    status st = ST_OK;

    if (w == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a scan");
    for (uint32_t b = 0; st == ST_OK && b < segment->footer.id_blocks;) {
        wave_empty(w);
        for (; b < segment->footer.id_blocks && !is_full(w); b++)
            wave_add(w, segment, COLD_ID_BLOCK, b);
        st = cold_read(set, terms, w->wants, w->want_count, stats, err);
        for (size_t i = 0; st == ST_OK && i < w->count; i++) {
            st = cold_id_each(&segment->footer, w->spans[i].first, w->wants[w->want_of[i]].body,
                              take_id, &n, err);
            if (st == ST_CORRUPT)
                (void)err_wrap(err, st, "cold segment %s", segment->key);
        }
        cache_give_back(set->cache, w->wants, w->want_count);
    }
    mem_free(w);
    return st;
}
