/* Ids in the sequencer's hands: those that records in flight will change (the overlay), and those
 * whose next writer is somebody already (turns).
 *
 * A turn stands in the queue of each of its ids, in all of them at once, so that two turns are
 * everywhere in the same order and nobody waits in a circle. It has come when it is the first
 * everywhere. Then nothing is logged for its ids but what its holder logs: what he reads, once the
 * records in flight are settled, is what his record replaces. */
#include "node/node_internal.h"

static struct id_entry **bucket_of(struct id_table *t, const struct docid *id)
{
    return &t->buckets[docid_hash(id) & t->mask];
}

static void link_entry(struct id_table *t, struct id_entry *e)
{
    struct id_entry **bucket = bucket_of(t, &e->id);

    e->next = *bucket;
    e->at = bucket;
    if (e->next != NULL)
        e->next->at = &e->next;
    *bucket = e;
}

/* Twice as many; as they were if memory is out. The newest entry of an id stays the first. */
static void grow(struct id_table *t)
{
    size_t old_count = t->mask + 1;
    struct id_entry **old = t->buckets;
    struct id_entry **fresh = mem_zero_array(old_count * 2, sizeof(struct id_entry *));

    if (fresh == NULL)
        return;
    t->buckets = fresh;
    t->mask = old_count * 2 - 1;
    for (size_t i = 0; i < old_count; i++) {
        struct id_entry *turned = NULL;

        while (old[i] != NULL) {
            struct id_entry *e = old[i];

            old[i] = e->next;
            e->next = turned;
            turned = e;
        }
        while (turned != NULL) {
            struct id_entry *e = turned;

            turned = e->next;
            link_entry(t, e);
        }
    }
    if (old != t->few)
        mem_free(old);
}

void id_table_init(struct id_table *t)
{
    memset(t, 0, sizeof *t);
    t->buckets = t->few;
    t->mask = NODE_ID_BUCKETS - 1;
}

void id_table_fini(struct id_table *t)
{
    if (t->buckets != t->few)
        mem_free(t->buckets);
    t->buckets = t->few;
}

void id_table_add(struct id_table *t, struct id_entry *e)
{
    if (t->count++ > t->mask * 2)
        grow(t);
    link_entry(t, e);
}

void id_table_remove(struct id_table *t, struct id_entry *e)
{
    *e->at = e->next;
    if (e->next != NULL)
        e->next->at = e->at;
    t->count--;
    if (t->count > 0 || t->mask < NODE_ID_BUCKETS_KEPT)
        return;
    id_table_fini(t);
    id_table_init(t);
}

struct id_entry *id_table_find(struct id_table *t, const struct docid *id)
{
    struct id_entry *e = t->count == 0 ? NULL : *bucket_of(t, id);

    while (e != NULL && !docid_equal(&e->id, id))
        e = e->next; /* the newest comes first */
    return e;
}

static struct turn_entry *turn_entry_of(struct id_entry *e)
{
    return (struct turn_entry *)(void *)e;
}

bool turns_meet_locked(struct collection *c, const struct docid *ids, size_t count)
{
    for (size_t i = 0; c->seq.turns.count > 0 && i < count; i++)
        if (id_table_find(&c->seq.turns, &ids[i]) != NULL)
            return true;
    return false;
}

bool turn_take_locked(struct collection *c, struct turn *turn, const struct docid *ids,
                      size_t count)
{
    turn->count = 0;
    turn->behind = 0;
    turn->held = true;
    for (size_t i = 0; i < count; i++) {
        struct id_entry *before = id_table_find(&c->seq.turns, &ids[i]);
        struct turn_entry *e = &turn->entries[turn->count];

        if (before != NULL && turn_entry_of(before)->turn == turn)
            continue; /* named twice */
        *e = (struct turn_entry){.turn = turn};
        e->link.id = ids[i];
        id_table_add(&c->seq.turns, &e->link);
        turn->count++;
        if (before == NULL)
            continue;
        turn_entry_of(before)->later = e;
        turn->behind++;
    }
    return turn->behind == 0;
}

void turn_leave_locked(struct collection *c, struct turn *turn, struct turn_list *come)
{
    if (!turn->held)
        return;
    turn->held = false;
    for (size_t i = 0; i < turn->count; i++) {
        struct turn_entry *later = turn->entries[i].later;

        id_table_remove(&c->seq.turns, &turn->entries[i].link);
        if (later != NULL && --later->turn->behind == 0)
            turn_list_add(come, later->turn);
    }
}

void turn_list_add(struct turn_list *list, struct turn *turn)
{
    turn->next = NULL;
    if (list->first == NULL)
        list->first = turn;
    else
        list->last->next = turn;
    list->last = turn;
}

void turns_come(struct collection *c, struct turn_list *come)
{
    while (come->first != NULL) {
        struct turn *turn = come->first;

        come->first = turn->next; /* its holder may be gone as soon as the task runs */
        exec_resubmit(c->node->options.exec, turn->task);
    }
}
