#include "segment/manifest.h"

#include "base/mem.h"
#include "segment/manifest_internal.h"

void manifest_init(struct manifest *m)
{
    *m = (struct manifest){0};
}

void manifest_free(struct manifest *m)
{
    catalog_collection_free(&m->schema);
    mem_free(m->lineages);
    mem_free(m->segments);
    mem_free(m->images);
    mem_free(m->gaps);
    mem_free(m->colds);
    manifest_init(m);
}

static status nomem(struct err *err)
{
    return err_set(err, ST_NOMEM, "out of memory for a manifest");
}

void *manifest_room(size_t count, size_t item)
{
    size_t room = 1;

    while (room < count)
        room *= 2;
    return mem_zero_array(room, item);
}

static bool copy_list(const void *from, size_t count, size_t item, void **out)
{
    *out = manifest_room(count, item);
    if (*out == NULL)
        return false;
    if (count > 0)
        memcpy(*out, from, count * item);
    return true;
}

status manifest_copy(const struct manifest *from, struct manifest *out, struct err *err)
{
    void *lists[5] = {0};
    struct manifest m = *from;
    status st = catalog_collection_copy(&from->schema, &m.schema, err);

    if (st != ST_OK)
        return st;
    if (!copy_list(from->lineages, from->lineage_count, sizeof *m.lineages, &lists[0]) ||
        !copy_list(from->segments, from->segment_count, sizeof *m.segments, &lists[1]) ||
        !copy_list(from->images, from->image_count, sizeof *m.images, &lists[2]) ||
        !copy_list(from->gaps, from->gap_count, sizeof *m.gaps, &lists[3]) ||
        !copy_list(from->colds, from->cold_count, sizeof *m.colds, &lists[4])) {
        for (size_t i = 0; i < COUNT_OF(lists); i++)
            mem_free(lists[i]);
        catalog_collection_free(&m.schema);
        return nomem(err);
    }
    m.lineages = lists[0];
    m.segments = lists[1];
    m.images = lists[2];
    m.gaps = lists[3];
    m.colds = lists[4];
    *out = m;
    return ST_OK;
}

/* Room for one more behind `count`; see manifest_room(). */
static status grow(void **list, size_t count, size_t item, struct err *err)
{
    void *longer;

    if (count >= MANIFEST_OBJECTS_MAX)
        return err_set(err, ST_NOSPACE, "a manifest has room for %d of each kind",
                       MANIFEST_OBJECTS_MAX);
    if (*list != NULL && (count == 0 || (count & (count - 1)) != 0))
        return ST_OK;
    longer = mem_resize(*list, (count == 0 ? 1 : count * 2) * item);
    if (longer == NULL)
        return nomem(err);
    *list = longer;
    return ST_OK;
}

status manifest_add_lineage(struct manifest *m, const struct lineage *l, struct err *err)
{
    void *list = m->lineages;
    status st = grow(&list, m->lineage_count, sizeof *l, err);

    m->lineages = list;
    if (st == ST_OK)
        m->lineages[m->lineage_count++] = *l;
    return st;
}

status manifest_add_segment(struct manifest *m, const struct manifest_segment *s, struct err *err)
{
    void *list = m->segments;
    status st = grow(&list, m->segment_count, sizeof *s, err);

    m->segments = list;
    if (st == ST_OK)
        m->segments[m->segment_count++] = *s;
    return st;
}

status manifest_add_image(struct manifest *m, const struct manifest_image *i, struct err *err)
{
    void *list = m->images;
    status st = grow(&list, m->image_count, sizeof *i, err);

    m->images = list;
    if (st == ST_OK)
        m->images[m->image_count++] = *i;
    return st;
}

status manifest_add_gap(struct manifest *m, const struct manifest_gap *g, struct err *err)
{
    void *list = m->gaps;
    status st = grow(&list, m->gap_count, sizeof *g, err);

    m->gaps = list;
    if (st == ST_OK)
        m->gaps[m->gap_count++] = *g;
    return st;
}

status manifest_add_cold(struct manifest *m, const struct manifest_cold *c, struct err *err)
{
    void *list = m->colds;
    status st;

    if (m->cold_count >= MANIFEST_COLDS_MAX)
        return err_set(err, ST_NOSPACE, "a manifest has room for %d cold segments",
                       MANIFEST_COLDS_MAX);
    st = grow(&list, m->cold_count, sizeof *c, err);
    m->colds = list;
    if (st == ST_OK)
        m->colds[m->cold_count++] = *c;
    return st;
}

uint64_t manifest_cold_bytes(const struct manifest *m)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < m->cold_count; i++)
        bytes += m->colds[i].object.bytes + m->colds[i].dead.bytes;
    return bytes;
}
