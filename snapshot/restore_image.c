/* The image of a graph in a restore: its slot map before the rows, its nodes between two records.
 */
#include "snapshot/restore_runner.h"

#include "segment/objkey.h"

struct image_pass { /* over the image's parts, for their slots or their nodes */
    struct restore_runner *r;
    bool nodes;
    size_t next, at;
};

/* The slot map is that of the first field; an index of another moment has other slots. */
static bool is_wanted(const struct image_pass *pass, const struct manifest_image *i)
{
    const struct manifest_image *first = &pass->r->plan->manifest.images[0];

    if (pass->r->deep)
        return true;
    if (i->start_lsn != first->start_lsn || i->slots_end != first->slots_end)
        return false;
    return pass->nodes || i->field == first->field;
}

uint64_t restore_image_parts(struct restore_runner *r)
{
    const struct manifest *m = &r->plan->manifest;
    const struct image_pass slots = {.r = r}, nodes = {.r = r, .nodes = true};
    uint64_t parts = 0;

    for (size_t i = 0; i < m->image_count; i++)
        parts += (uint64_t)is_wanted(&slots, &m->images[i]) +
                 (r->sink->on_node != NULL && is_wanted(&nodes, &m->images[i]));
    return parts;
}

static size_t next_part(const struct image_pass *pass, size_t at)
{
    const struct manifest *m = &pass->r->plan->manifest;

    while (at < m->image_count && !is_wanted(pass, &m->images[at]))
        at++;
    return at;
}

static bool name_part(void *arg, struct fetch_item *out)
{
    struct image_pass *pass = arg;
    const struct manifest *m = &pass->r->plan->manifest;
    size_t at = next_part(pass, pass->next);

    if (at == m->image_count)
        return false;
    *out = (struct fetch_item){.bytes = m->images[at].object.bytes,
                               .bytes_max = (size_t)m->images[at].object.bytes};
    objkey_data(pass->r->options->collection, m->images[at].object.uuid, out->key);
    pass->next = at + 1;
    return true;
}

status restore_check_ref(void *arg, struct slice bytes, struct err *err)
{
    return restore_ref_check(arg, bytes, err);
}

static status hand_slot(void *arg, const struct image_slot *slot, struct err *err)
{
    struct restore_runner *r = arg;

    return r->sink->on_slot != NULL ? r->sink->on_slot(r->sink->arg, slot, err) : ST_OK;
}

static status hand_node(void *arg, const struct image_node *node, struct err *err)
{
    struct image_pass *pass = arg;
    const struct restore_sink *sink = pass->r->sink;
    uint16_t field = pass->r->plan->manifest.images[pass->at].field;

    return sink->on_node != NULL ? sink->on_node(sink->arg, field, node, err) : ST_OK;
}

static status hand_part(struct image_pass *pass, struct slice bytes, struct err *err)
{
    const struct restore_runner *r = pass->r;
    const struct manifest_image *named = &r->plan->manifest.images[pass->at];
    const struct image_head *head;
    struct image *image = NULL;
    status st = image_open(bytes, r->options->collection, &image, err);

    if (st != ST_OK)
        return st;
    head = image_head(image);
    if (head->field != named->field || head->start_lsn != named->start_lsn ||
        head->slot_first != named->slot_first || head->slot_end != named->slot_end ||
        head->slots_end != named->slots_end || head->nodes != named->nodes)
        st = err_set(err, ST_CORRUPT, "not the image part that the manifest names");
    if (st == ST_OK && !pass->nodes && r->sink->on_image != NULL)
        st = r->sink->on_image(r->sink->arg, head, err);
    if (st == ST_OK && (!pass->nodes || r->deep))
        st = image_each_slot(image, hand_slot, pass->r, err);
    if (st == ST_OK && (pass->nodes || r->deep))
        st = image_each_node(image, hand_node, pass, err);
    image_close(image);
    return st;
}

static status read_parts(struct image_pass *pass, struct fetch *f, struct err *err)
{
    struct restore_runner *r = pass->r;
    status st = ST_OK;

    while (st == ST_OK && (pass->at = next_part(pass, pass->at)) < r->plan->manifest.image_count) {
        struct object_ref ref = r->plan->manifest.images[pass->at].object;
        struct fetch_item item;
        struct buf body = {0};

        st = restore_take(f, &item, &body, err);
        if (st == ST_OK)
            st = restore_sound(r, &item, &body, restore_check_ref, &ref, err);
        if (st == ST_OK) {
            st = hand_part(pass, buf_slice(&body), err);
            if (st != ST_OK)
                (void)err_wrap(err, st, "%s", item.key);
        }
        if (st == ST_OK)
            restore_progress(r, body.bytes);
        buf_free(&body);
        pass->at++;
    }
    return st;
}

status restore_read_image(struct restore_runner *r, bool nodes, struct err *err)
{
    struct image_pass pass = {.r = r, .nodes = nodes};
    struct fetch *f = NULL;
    status st = fetch_open(&r->ask, restore_fetch_window(r),
                           restore_fetch_bytes(r) / (nodes ? 2 : 1), name_part, &pass, &f, err);

    if (st == ST_OK)
        st = read_parts(&pass, f, err);
    if (f != NULL)
        r->report.requests += fetch_requests(f);
    fetch_close(f);
    return st;
}

/* Before the first record behind the image, or at the end. */
status restore_nodes_due(struct restore_runner *r, struct err *err)
{
    status st = ST_OK;

    if (!r->use_image || r->nodes_done)
        return ST_OK;
    r->nodes_done = true;
    if (r->sink->on_nodes_begin != NULL)
        st = r->sink->on_nodes_begin(r->sink->arg, err);
    if (st == ST_OK && r->sink->on_node != NULL)
        st = restore_read_image(r, true, err);
    return st;
}
