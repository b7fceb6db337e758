/* Parts of a payload: one walk along all paths at once. As every step of a path goes one level
 * down, the paths that lead through a value are at the same step, and only which they are is kept.
 * Written as JSON text (payload_print) or as a blob (payload_delete). */
#include "filter/payload.h"

#include "base/mem.h"

enum { PATHS_INSIDE = 8 }; /* so many need no memory of their own */

struct part {
    struct buf *out;
    bool json;
    bool include;
    size_t room;              /* of one level's set */
    const struct path **sets; /* one a level, those behind the first step */
};

/* What becomes of a member or element: the paths that end at it decide, those that go on through it
 * are left in `set`. */
struct fate {
    bool ends;
    size_t count;
    const struct path **set;
};

static void put_whole(struct part *p, struct slice value)
{
    if (p->json)
        jbin_print_value(p->out, value);
    else
        jbin_put_raw(p->out, value);
}

static void put_key(struct part *p, struct slice key)
{
    if (p->json) {
        json_put_string(p->out, key);
        buf_put(p->out, ":", 1);
    } else {
        jbin_put_key(p->out, key);
    }
}

static size_t open_body(struct part *p, bool object)
{
    if (!p->json)
        return jbin_open(p->out, object);
    buf_put(p->out, object ? "{" : "[", 1);
    return 0;
}

static void close_body(struct part *p, size_t opened, bool object)
{
    if (p->json)
        buf_put(p->out, object ? "}" : "]", 1);
    else
        jbin_close(p->out, opened);
}

static bool step_takes(const struct path_step *step, const struct slice *key, uint64_t index)
{
    switch (step->kind) {
    case PATH_KEY:
        return key != NULL && slice_equal(step->key, *key);
    case PATH_EACH:
        return key == NULL;
    case PATH_AT:
        return key == NULL && step->index == index;
    }
    return false;
}

/* key NULL: the index-th element of an array. */
static struct fate fate_of(struct part *p, const struct path *const *active, size_t count,
                           unsigned level, const struct slice *key, uint64_t index)
{
    struct fate f = {.set = p->sets + (size_t)level * p->room};

    for (size_t i = 0; i < count && !f.ends; i++) {
        if (!step_takes(&active[i]->steps[level], key, index))
            continue;
        f.ends = active[i]->count == level + 1;
        if (!f.ends)
            f.set[f.count++] = active[i];
    }
    return f;
}

static bool stays(const struct part *p, const struct fate *f)
{
    return f->ends ? p->include : f->count > 0 || !p->include;
}

/* v is what the first `level` steps of the active paths lead to, and all of them go on. */
static void put_part(struct part *p, const struct jbin_value *v, unsigned level,
                     const struct path *const *active, size_t count)
{
    bool object = v->type == JBIN_T_OBJECT;
    struct rd r = rd_make(v->body);
    struct jbin_value child;
    struct slice key = {0};
    bool first = true;
    size_t opened;

    if (!object && v->type != JBIN_T_ARRAY) {
        put_whole(p, v->bytes);
        return;
    }
    opened = open_body(p, object);
    for (uint64_t i = 0;
         !p->out->failed && (object ? jbin_member(&r, &key, &child) : jbin_element(&r, &child));
         i++) {
        struct fate f = fate_of(p, active, count, level, object ? &key : NULL, i);

        if (!stays(p, &f))
            continue;
        if (p->json && !first)
            buf_put(p->out, ",", 1);
        first = false;
        if (object)
            put_key(p, key);
        if (f.ends || f.count == 0)
            put_whole(p, child.bytes);
        else
            put_part(p, &child, level + 1, f.set, f.count);
    }
    close_body(p, opened, object);
}

static void put_root(struct part *p, struct slice payload, const struct path *const *paths,
                     size_t count)
{
    const struct path *inside[PATHS_INSIDE * PATH_STEPS_MAX];
    const struct jbin_value root = jbin_root(payload);
    uint32_t steps = 1;

    for (size_t i = 0; i < count; i++)
        steps = paths[i]->count > steps ? paths[i]->count : steps;
    p->room = count;
    p->sets = count <= PATHS_INSIDE ? inside : mem_alloc_array(count * steps, sizeof *p->sets);
    if (p->sets == NULL || root.type == JBIN_T_BAD)
        p->out->failed = true;
    else
        put_part(p, &root, 0, paths, count);
    if (p->sets != inside)
        mem_free(p->sets);
}

void payload_delete(struct buf *out, struct slice payload, const struct path *const *keys,
                    size_t count)
{
    struct part p = {.out = out};

    jbin_put_version(out);
    put_root(&p, payload, keys, count);
}

void payload_print(struct buf *out, struct slice payload, const struct payload_selection *what)
{
    struct part p = {.out = out, .json = true, .include = what->part == PAYLOAD_INCLUDE};

    if (what->part == PAYLOAD_NONE)
        buf_put_text(out, "null");
    else if (payload.bytes == 0)
        buf_put_text(out, "{}");
    else if (what->part == PAYLOAD_WHOLE)
        jbin_print(out, payload);
    else
        put_root(&p, payload, what->paths, what->count);
}
