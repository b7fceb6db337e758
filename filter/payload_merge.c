/* A payload with another merged into it, written front to back: what is not on the path is copied
 * as bytes. Where the path has `[]` the patch goes into many objects; its members are looked up in
 * a table that is made once. */
#include "filter/payload.h"

#include "base/hash.h"
#include "base/mem.h"

enum { MEMBERS_COMPARED = 8 }; /* more members get the table */

struct patch_member {
    struct slice key, value;
    uint64_t put_in; /* the last object that it was put into, counted from 1 */
};

struct merge {
    struct buf *out;
    const struct path *at;
    struct patch_member *members;
    size_t count;
    uint32_t *table; /* of members by key, + 1; NULL: few */
    size_t mask;
    uint64_t seed;    /* another each time: nobody chooses keys that collide */
    unsigned depth;   /* of the patch, itself the first level */
    uint64_t objects; /* merged into so far */
    bool too_deep;
};

static unsigned depth_of(const struct jbin_value *v, unsigned level)
{
    bool object = v->type == JBIN_T_OBJECT;
    struct rd r = rd_make(v->body);
    struct jbin_value child;
    struct slice key;
    unsigned deepest = level;

    if ((!object && v->type != JBIN_T_ARRAY) || level > JBIN_DEPTH_MAX)
        return level;
    while (object ? jbin_member(&r, &key, &child) : jbin_element(&r, &child)) {
        unsigned below = depth_of(&child, level + 1);

        deepest = below > deepest ? below : deepest;
    }
    return deepest;
}

static bool read_patch(struct merge *m, const struct jbin_value *patch)
{
    struct rd r = rd_make(patch->body);
    struct jbin_value value;
    struct slice key;
    size_t count = 0;
    size_t room = 1;

    while (jbin_member(&r, &key, &value))
        count++;
    m->members = mem_alloc_array(count + 1, sizeof *m->members);
    while (room < count * 2)
        room *= 2;
    m->table = count > MEMBERS_COMPARED ? mem_zero_array(room, sizeof *m->table) : NULL;
    m->mask = room - 1;
    m->seed = (uint64_t)(uintptr_t)m->members;
    if (m->members == NULL || (count > MEMBERS_COMPARED && m->table == NULL))
        return false;
    r = rd_make(patch->body);
    while (m->count < count && jbin_member(&r, &key, &value)) {
        m->members[m->count++] = (struct patch_member){.key = key, .value = value.bytes};
        if (m->table == NULL)
            continue;
        for (size_t i = hash_bytes(key.data, key.bytes, m->seed) & m->mask;;
             i = (i + 1) & m->mask) {
            if (m->table[i] != 0)
                continue;
            m->table[i] = (uint32_t)m->count;
            break;
        }
    }
    return true;
}

static struct patch_member *find_member(struct merge *m, struct slice key)
{
    if (m->table == NULL) {
        for (size_t i = 0; i < m->count; i++)
            if (slice_equal(m->members[i].key, key))
                return &m->members[i];
        return NULL;
    }
    for (size_t i = hash_bytes(key.data, key.bytes, m->seed) & m->mask; m->table[i] != 0;
         i = (i + 1) & m->mask)
        if (slice_equal(m->members[m->table[i] - 1].key, key))
            return &m->members[m->table[i] - 1];
    return NULL;
}

/* v is the object to merge into, `level` deep; anything else is replaced. */
static void put_merged(struct merge *m, const struct jbin_value *v, unsigned level)
{
    struct rd r = rd_make(v != NULL && v->type == JBIN_T_OBJECT ? v->body : (struct slice){0});
    struct jbin_value value;
    struct slice key;
    size_t opened;

    m->too_deep |= level - 1 + m->depth > JBIN_DEPTH_MAX;
    m->objects++;
    opened = jbin_open(m->out, true);
    while (!m->out->failed && jbin_member(&r, &key, &value)) {
        struct patch_member *ours = find_member(m, key);

        jbin_put_key(m->out, key);
        jbin_put_raw(m->out, ours != NULL ? ours->value : value.bytes);
        if (ours != NULL)
            ours->put_in = m->objects;
    }
    for (size_t i = 0; i < m->count && !m->out->failed; i++) {
        if (m->members[i].put_in == m->objects)
            continue;
        jbin_put_key(m->out, m->members[i].key);
        jbin_put_raw(m->out, m->members[i].value);
    }
    jbin_close(m->out, opened);
}

/* Whether the path from this step on can be made where it is not there yet. */
static bool can_be_made(const struct path *at, uint32_t step)
{
    for (; step < at->count; step++)
        if (at->steps[step].kind != PATH_KEY)
            return false;
    return true;
}

static void put_at(struct merge *m, const struct jbin_value *v, uint32_t step);

static void put_object(struct merge *m, const struct jbin_value *v, uint32_t step)
{
    struct slice wanted = m->at->steps[step].key;
    struct rd r = rd_make(v != NULL && v->type == JBIN_T_OBJECT ? v->body : (struct slice){0});
    struct jbin_value value;
    struct slice key;
    bool found = false;
    size_t opened = jbin_open(m->out, true);

    while (!m->out->failed && jbin_member(&r, &key, &value)) {
        jbin_put_key(m->out, key);
        if (slice_equal(key, wanted)) {
            found = true;
            put_at(m, &value, step + 1);
        } else {
            jbin_put_raw(m->out, value.bytes);
        }
    }
    if (!found && can_be_made(m->at, step)) {
        jbin_put_key(m->out, wanted);
        put_at(m, NULL, step + 1);
    }
    jbin_close(m->out, opened);
}

static void put_array(struct merge *m, const struct jbin_value *v, uint32_t step)
{
    const struct path_step *s = &m->at->steps[step];
    struct rd r = rd_make(v->body);
    struct jbin_value element;
    size_t opened = jbin_open(m->out, false);

    for (uint64_t i = 0; !m->out->failed && jbin_element(&r, &element); i++) {
        if (s->kind == PATH_EACH || s->index == i)
            put_at(m, &element, step + 1);
        else
            jbin_put_raw(m->out, element.bytes);
    }
    jbin_close(m->out, opened);
}

/* v is what the first `step` steps lead to; NULL: nothing is there, and the rest can be made. */
static void put_at(struct merge *m, const struct jbin_value *v, uint32_t step)
{
    if (m->at == NULL || step == m->at->count)
        put_merged(m, v, step + 1);
    else if (m->at->steps[step].kind == PATH_KEY &&
             (v == NULL || v->type == JBIN_T_OBJECT || can_be_made(m->at, step)))
        put_object(m, v, step);
    else if (m->at->steps[step].kind != PATH_KEY && v->type == JBIN_T_ARRAY)
        put_array(m, v, step);
    else
        jbin_put_raw(m->out, v->bytes);
}

status payload_merge(struct buf *out, struct slice payload, struct slice patch,
                     const struct path *at, struct err *err)
{
    const struct jbin_value root = jbin_root(payload);
    const struct jbin_value members = jbin_root(patch);
    struct merge m = {.out = out, .at = at};
    status st = ST_OK;

    if (members.type != JBIN_T_OBJECT || root.type == JBIN_T_BAD)
        return err_set(err, ST_INVALID, "what is merged into a payload is a JSON object");
    m.depth = depth_of(&members, 1);
    if (!read_patch(&m, &members)) {
        st = err_set(err, ST_NOMEM, "out of memory for a payload of %zu bytes", patch.bytes);
    } else {
        jbin_put_version(out);
        put_at(&m, &root, 0);
        st = buf_status(out, err);
    }
    if (st == ST_OK && m.too_deep)
        st = err_set(err, ST_INVALID, "the payload would be nested deeper than %d levels",
                     (int)JBIN_DEPTH_MAX);
    mem_free(m.members);
    mem_free(m.table);
    return st;
}
