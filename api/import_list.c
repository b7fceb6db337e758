#include "api/import.h"

#include "api/handlers.h"
#include "base/mem.h"

#include <stdio.h>

enum { COLLECTION_BYTES = 64, OUTCOME_BYTES = 48, CLAIM_BYTES = API_NAME_BYTES_MAX + 1 };

struct import_note {
    bool used, ended;
    uint64_t begun_ns, ended_ns; /* wall */
    uint64_t order;              /* rises with each */
    uint64_t body_bytes;
    struct import_count count;
    char request_id[REQUEST_ID_BYTES_MAX + 1];
    char collection_id[COLLECTION_BYTES];
    char outcome[OUTCOME_BYTES];
};

struct imports {
    struct {              /* guarded by lock */
        struct lock lock; /* LOCK_RANK_LEAF */
        unsigned running;
        uint64_t begun;
        struct import_note notes[IMPORTS_KEPT];
        char claims[IMPORTS_MAX][CLAIM_BYTES]; /* names; "": free */
    } shared;
};

struct imports *imports_create(void)
{
    struct imports *all = mem_zero(sizeof *all);

    if (all != NULL)
        lock_init(&all->shared.lock, LOCK_RANK_LEAF, "imports");
    return all;
}

void imports_destroy(struct imports *all)
{
    if (all == NULL)
        return;
    lock_fini(&all->shared.lock);
    mem_free(all);
}

/* One that is free, or ended longest ago: there are more than may run. */
static int place_locked(const struct imports *all)
{
    int best = -1;

    for (int i = 0; i < IMPORTS_KEPT; i++) {
        const struct import_note *n = &all->shared.notes[i];

        if (!n->used)
            return i;
        if (n->ended && (best < 0 || n->order < all->shared.notes[best].order))
            best = i;
    }
    return best;
}

int imports_begin(struct imports *all, const struct request *req, uint64_t now_wall_ns)
{
    int place = -1;

    lock_take(&all->shared.lock);
    if (all->shared.running < IMPORTS_MAX) {
        struct import_note *n;

        all->shared.running++;
        place = place_locked(all);
        n = &all->shared.notes[place];
        *n = (struct import_note){
            .used = true, .begun_ns = now_wall_ns, .order = ++all->shared.begun};
        (void)snprintf(n->request_id, sizeof n->request_id, "%s", req->id);
        (void)snprintf(n->collection_id, sizeof n->collection_id, "%s",
                       collection_id_text(req->collection));
    }
    lock_drop(&all->shared.lock);
    return place;
}

void imports_note(struct imports *all, int place, const struct import_count *count,
                  uint64_t body_bytes)
{
    lock_take(&all->shared.lock);
    all->shared.notes[place].count = *count;
    all->shared.notes[place].body_bytes = body_bytes;
    lock_drop(&all->shared.lock);
}

void imports_end(struct imports *all, int place, const struct import_count *count,
                 const char *outcome, uint64_t now_wall_ns)
{
    struct import_note *n = &all->shared.notes[place];

    lock_take(&all->shared.lock);
    all->shared.running--;
    n->ended = true;
    n->ended_ns = now_wall_ns;
    n->count = *count;
    (void)snprintf(n->outcome, sizeof n->outcome, "%s", outcome);
    lock_drop(&all->shared.lock);
}

static void print_note(struct buf *out, const struct import_note *n)
{
    buf_put_text(out, "{");
    print_text(out, true, "request_id", n->request_id);
    print_text(out, false, "state", n->ended ? n->outcome : "running");
    print_u64(out, false, "lines", n->count.lines);
    print_u64(out, false, "acknowledged_lines", n->count.acknowledged);
    print_u64(out, false, "imported", n->count.imported);
    print_u64(out, false, "lsn", n->count.lsn);
    print_u64(out, false, "body_bytes", n->body_bytes);
    print_time(out, false, "begun_at", n->begun_ns);
    if (n->ended)
        print_time(out, false, "ended_at", n->ended_ns);
    buf_put_text(out, "}");
}

void imports_print(struct imports *all, struct buf *out, const char *collection_id)
{
    uint64_t below = UINT64_MAX;
    bool first = true;

    buf_put_text(out, "[");
    for (;;) { /* newest first; one copied at a time, so that printing holds no lock */
        struct import_note next = {0};

        lock_take(&all->shared.lock);
        for (int i = 0; i < IMPORTS_KEPT; i++) {
            const struct import_note *n = &all->shared.notes[i];

            if (n->used && n->order < below && n->order > next.order &&
                strcmp(n->collection_id, collection_id) == 0)
                next = *n;
        }
        lock_drop(&all->shared.lock);
        if (!next.used)
            break;
        if (!first)
            buf_put_text(out, ",");
        first = false;
        print_note(out, &next);
        below = next.order;
    }
    buf_put_text(out, "]");
}

/* --- names --- */

status imports_claim(struct imports *all, const char *name, struct err *err)
{
    char *place = NULL;
    status st = ST_OK;

    lock_take(&all->shared.lock);
    for (int i = 0; i < IMPORTS_MAX && st == ST_OK; i++) {
        if (all->shared.claims[i][0] == '\0')
            place = all->shared.claims[i];
        else if (strcmp(all->shared.claims[i], name) == 0)
            st = ST_CONFLICT;
    }
    if (st == ST_OK && place == NULL)
        st = ST_LIMIT;
    if (st == ST_OK)
        (void)snprintf(place, CLAIM_BYTES, "%s", name);
    lock_drop(&all->shared.lock);
    if (st == ST_CONFLICT)
        return err_set(err, st, "Collection `%s` is being recovered already", name);
    if (st == ST_LIMIT)
        return err_set(err, st, "%d collections are being recovered, which is the limit",
                       IMPORTS_MAX);
    return st;
}

void imports_release(struct imports *all, const char *name)
{
    lock_take(&all->shared.lock);
    for (int i = 0; i < IMPORTS_MAX; i++)
        if (strcmp(all->shared.claims[i], name) == 0)
            all->shared.claims[i][0] = '\0';
    lock_drop(&all->shared.lock);
}
