/* How many rows match a filter, and what follows from it.
 *
 *   few (below the field's threshold)  every match is compared: exact. They are found by an index;
 *                                      or the whole filter is asked first, where that costs less
 *                                      than comparing; or rows that compare well are asked
 *   many, known from an index          a bitmap beside the graph, or a scan of the matches, as the
 *                                      vector index decides
 *   many, not known                    the graph, and a row is asked when it is about to count
 *
 * An estimate may be wrong: the way then costs more, the answer is complete all the same. */
#include "node/query_internal.h"

#include <inttypes.h>
#include <math.h>

enum {
    FULL_BYTES_A_NS = 8, /* of vectors that are read in order */
};

static bool admits_row(struct querying *q, uint32_t slot)
{
    struct row row;

    if (q->within != NULL || q->ask_without) {
        slots_row(q->c->slots, slot, &row);
        if (q->within != NULL && !ids_have(q->within, q->within_count, &row.id))
            return false;
        if (q->ask_without && ids_have(q->without, q->without_count, &row.id))
            return false;
    }
    return asker_matches(&q->asker, slot);
}

bool query_admits(void *querying, uint32_t slot)
{
    struct querying *q = querying;
    if (slot >= q->asked_slots)
        return admits_row(q, slot);
    if (!bits_get(q->asked, slot)) {
        bits_set(q->asked, slot);
        if (admits_row(q, slot))
            bits_set(q->yes, slot);
    }
    return bits_get(q->yes, slot);
}

static status remember_answers(struct querying *q)
{
    uint32_t slots = (slots_end(q->c->slots) + 63) & ~UINT32_C(63);

    q->asked = arena_zero(q->arena, slots / 8 + 8);
    q->yes = arena_zero(q->arena, slots / 8 + 8);
    if (q->asked == NULL || q->yes == NULL)
        return err_set(q->err, ST_NOMEM, "out of memory to filter %" PRIu32 " rows", slots);
    q->asked_slots = slots;
    return ST_OK;
}

/* How many rows a scan asks until none is better any more: all at first, then ever fewer. */
static uint64_t rows_asked(uint64_t rows, uint64_t matches, uint64_t wanted)
{
    uint64_t step = matches <= wanted ? rows : wanted * rows / matches;
    uint64_t asked = step;

    for (uint64_t left = matches; left > wanted && asked < rows; left /= 2)
        asked += step - step * 3 / 10; /* step * ln 2 */
    return asked < rows ? asked : rows;
}

/* Asking every row and comparing those that match, or comparing every row and asking those that
 * compare well. */
static bool asking_first_is_cheaper(const struct querying *q, uint64_t live, uint64_t matches)
{
    uint64_t ask_ns = filter_cost_ns(q->asker.filter) + QUERY_ROW_NS;
    uint64_t compare_ns = (uint64_t)q->field->dimension * sizeof(float) / FULL_BYTES_A_NS;
    uint64_t rows = q->known.bits == NULL || q->known.count > live ? live : q->known.count;
    uint64_t asked = rows_asked(rows, matches, q->options->top_k + QUERY_SPARE);

    return rows * ask_ns + matches * compare_ns < rows * compare_ns + asked * ask_ns;
}

/* Not more than the threshold, as far as a sample can tell: two standard deviations. */
static bool may_be_few(uint64_t matches, uint64_t live, uint32_t threshold)
{
    double sampled = live == 0 ? 0 : (double)matches / (double)live * SELECT_SAMPLE_ROWS;
    double doubt = (2 * sqrt(sampled) + 1) / SELECT_SAMPLE_ROWS * (double)live;

    return (double)matches <= (double)threshold + doubt;
}

struct way {
    struct vsearch s;
    bool few;
};

static status way_of_filter(struct querying *q, struct way *way)
{
    uint64_t live = slots_live_count(q->c->slots), matches;
    struct selected selected;
    status st = remember_answers(q);
    bool counted;

    if (st == ST_OK && q->asker.filter != NULL)
        st = select_known(&q->asker, q->arena, &q->known, q->err);
    if (st != ST_OK)
        return st;
    counted = q->known.bits != NULL && q->known.exact && !q->ask_without;
    if (counted)
        matches = q->known.count;
    else
        matches = select_sample(q->c, &q->known, query_admits, q);
    if (q->known.bits != NULL && q->known.count < matches)
        matches = q->known.count;
    q->out->selectivity = live == 0 || matches >= live ? 1 : (double)matches / (double)live;
    way->few = matches <= vindex_threshold(q->v) ||
               (!counted && may_be_few(matches, live, vindex_threshold(q->v)));
    way->s.exact = way->s.exact || way->few;
    way->s.allow = q->known.bits;
    way->s.allow_slots = q->known.bit_count;
    if (counted)
        return ST_OK;
    if (way->s.exact && q->asker.filter != NULL && !q->ask_without &&
        asking_first_is_cheaper(q, live, matches)) {
        st = select_make(q->c, q->asker.filter, &q->limits, q->arena, &selected, q->err);
        way->s.allow = selected.bits;
        way->s.allow_slots = selected.bit_count;
        q->asker.rows += selected.rows;
        return st;
    }
    way->s.check = query_admits;
    way->s.check_arg = q;
    way->s.check_rows = (uint32_t)matches;
    way->s.give_up = &q->asker.gave_up;
    return ST_OK;
}

/* Of some ids only: each is looked up and compared. */
static status search_within(struct querying *q)
{
    q->out->plan = "matches";
    q->out->selectivity = 1;
    q->left_out = INFINITY;
    if (!query_hits_reserve(q, (uint32_t)q->within_count))
        return err_set(q->err, ST_NOMEM, "out of memory for %zu candidates", q->within_count);
    for (size_t i = 0; i < q->within_count && !q->asker.gave_up; i++) {
        uint32_t slot = slots_find(q->c->slots, &q->within[i]);

        if (i % SELECT_LOOK_ROWS == 0 && !asker_goes_on(&q->asker))
            break;
        if (slot == SLOT_NONE || !vindex_filled(q->v, slot) || !query_admits(q, slot))
            continue;
        query_hit_add(q, slot, vindex_distance(q->v, q->query, slot));
        q->stats.distances++;
    }
    q->stats.scanned += q->count;
    return asker_status(&q->asker, q->err);
}

static status take(struct querying *q, struct way *way, uint32_t room)
{
    struct vhit *found = arena_array(q->arena, room, sizeof *found);
    struct vsearch_stats stats = {0};
    uint32_t count = 0;
    status st;

    q->room = room;
    if (found == NULL || !query_hits_reserve(q, 2 * room + QUERY_NEWS))
        return err_set(q->err, ST_NOMEM, "out of memory for %" PRIu32 " matches", room);
    way->s.k = room;
    st = vindex_search(q->v, q->scratch, &way->s, found, &count, &stats, q->err);
    if (st != ST_OK)
        return q->asker.gave_up ? asker_status(&q->asker, q->err) : st;
    q->stats.visited += stats.visited;
    q->stats.layers = stats.layers > q->stats.layers ? stats.layers : q->stats.layers;
    q->stats.distances += stats.distances;
    q->stats.scanned += stats.scanned;
    q->stats.used_graph = stats.used_graph;
    q->left_out = stats.left_out;
    q->count = 0;
    q->mixed = false;
    for (uint32_t i = 0; i < count; i++)
        query_hit_add(q, found[i].slot, found[i].distance);
    return ST_OK;
}

static const char *plan_name(const struct querying *q, const struct way *way, bool filtered)
{
    if (!filtered)
        return q->stats.used_graph ? "graph" : "scan";
    if (q->stats.used_graph)
        return "filtered graph";
    return way->s.allow != NULL ? "matches" : "scan";
}

static uint32_t room_for(const struct querying *q, uint32_t wanted, uint32_t spare)
{
    uint32_t room = wanted + spare + (q->ask_without ? 0 : (uint32_t)q->without_count);

    return room > VINDEX_K_MAX ? VINDEX_K_MAX : room;
}

static status search_once(struct querying *q, struct way *way, uint32_t room)
{
    status st = take(q, way, room);

    if (st == ST_OK)
        query_hits_catch_up(q);
    return st;
}

/* With more room as long as the hits do not tell what the best are. */
static status search_index(struct querying *q, struct way *way, uint32_t wanted)
{
    uint32_t room_max = room_for(q, wanted, QUERY_TIES_MAX);
    uint32_t room = room_for(q, wanted, QUERY_SPARE);
    int moved = 0;

    for (;;) {
        bool of_all = moved == QUERY_MOVED_MAX;
        status st = of_all ? query_hits_of_all(q) : search_once(q, way, room);
        enum hits_end end;

        if (st != ST_OK || !asker_goes_on(&q->asker))
            return st;
        end = query_hits_rank(q, wanted);
        if (of_all || end == HITS_COMPLETE || (end == HITS_TIED && room >= room_max))
            return ST_OK;
        moved += end == HITS_MOVED;
        room = 4 * room > room_max ? room_max : 4 * room;
    }
}

status query_search(struct querying *q, uint32_t wanted)
{
    bool filtered = q->asker.filter != NULL || q->ask_without;
    uint64_t before = clock_mono_ns(q->c->node->options.clock);
    struct way way = {.s = {.query = q->query,
                            .ef = q->options->ef_search,
                            .exact = q->options->exact,
                            .stop = q->options->stop}};
    status st = ST_OK;

    if (q->within != NULL)
        st = search_within(q);
    else if (filtered)
        st = way_of_filter(q, &way);
    else if (q->options->points != NULL && slots_live_count(q->c->slots) <= vindex_threshold(q->v))
        way.s.exact = true;
    q->out->filter_ns = filtered ? clock_mono_ns(q->c->node->options.clock) - before : 0;
    if (st == ST_OK && q->within == NULL)
        st = search_index(q, &way, wanted);
    else if (st == ST_OK)
        (void)query_hits_rank(q, wanted);
    if (q->within == NULL)
        q->out->plan = plan_name(q, &way, filtered);
    return st == ST_OK ? asker_status(&q->asker, q->err) : st;
}
