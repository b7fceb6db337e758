/* The rules that make lists a manifest: what a restore would trip over is refused before it is
 * stored. */
#include "index/vindex.h"
#include "segment/catalog_internal.h"
#include "segment/container.h"
#include "segment/manifest_internal.h"
#include "segment/root_internal.h"

#include <inttypes.h>

static bool segment_ok(const struct manifest *m, const struct manifest_segment *s)
{
    if (s->object.bytes == 0 || s->lsn_min > s->lsn_max || (s->rows == 0) != (s->lsn_max == 0) ||
        (s->rows > 0 && s->lsn_min == 0))
        return false;
    /* A record behind the segment's start and not behind the floor would be lost. */
    return m->floor.lsn <= s->start_lsn;
}

static bool has_field(const struct catalog_collection *c, uint16_t field)
{
    for (size_t i = 0; i < c->field_count; i++)
        if (c->fields[i].id == field)
            return true;
    return false;
}

/* Parts of one image lie one behind the other, from slot 0 to its end; images by field. */
static bool image_ok(const struct manifest *m, size_t at)
{
    const struct manifest_image *i = &m->images[at];
    const struct manifest_image *before = at > 0 ? i - 1 : NULL;
    const struct manifest_image *next = at + 1 < m->image_count ? i + 1 : NULL;
    bool first = before == NULL || before->field != i->field;
    bool last = next == NULL || next->field != i->field;

    if (i->object.bytes == 0 || i->slot_first >= i->slot_end ||
        i->nodes > i->slot_end - i->slot_first || !has_field(&m->schema, i->field))
        return false;
    if (before != NULL && before->field > i->field)
        return false;
    if (i->slot_first != (first ? 0 : before->slot_end) || last != (i->slot_end == i->slots_end))
        return false;
    if (i->m == 0 ? i->ef_construction != 0
                  : i->m < VINDEX_M_MIN || i->m > VINDEX_M_MAX || i->ef_construction == 0)
        return false;
    return first || (before->start_lsn == i->start_lsn && before->slots_end == i->slots_end &&
                     before->m == i->m && before->ef_construction == i->ef_construction);
}

static bool gap_ok(const struct manifest *m, size_t at)
{
    const struct manifest_gap *g = &m->gaps[at];

    if (g->first_lsn == 0 || g->first_lsn > g->last_lsn || g->epoch == 0 || g->seq == 0)
        return false;
    return at == 0 || g[-1].last_lsn < g->first_lsn;
}

static bool ref_is_zero(const struct object_ref *o)
{
    static const uint8_t none[sizeof o->uuid];

    return o->bytes == 0 && o->crc == 0 && memcmp(o->uuid, none, sizeof none) == 0;
}

/* Rows above the floor would be told twice, and no two entries have an object in common: each is
 * looked up, and garbage collected, by its own. */
static bool cold_ok(const struct manifest *m, size_t at)
{
    const struct manifest_cold *c = &m->colds[at];
    uint64_t end = c->footer_offset + c->footer_bytes;

    if (c->rows == 0 || c->lsn_min == 0 || c->lsn_min > c->lsn_max || c->lsn_max > m->floor.lsn ||
        c->dead_rows > c->rows)
        return false;
    if (c->footer_bytes == 0 || c->footer_offset < CONTAINER_HEADER_BYTES ||
        end < c->footer_offset || end > c->object.bytes)
        return false;
    if ((c->dead_rows == 0) ? !ref_is_zero(&c->dead) : c->dead.bytes == 0)
        return false;
    for (size_t i = 0; i < at; i++)
        if (memcmp(m->colds[i].object.uuid, c->object.uuid, 16) == 0 ||
            (c->dead_rows > 0 && memcmp(m->colds[i].dead.uuid, c->dead.uuid, 16) == 0))
            return false;
    return true;
}

static status lists_check(const struct manifest *m, status code, struct err *err)
{
    if (!lineages_ok(m->lineages, m->lineage_count))
        return err_set(err, code, "manifest: lineages out of order");
    for (size_t i = 0; i < m->segment_count; i++)
        if (!segment_ok(m, &m->segments[i]))
            return err_set(err, code, "manifest: segment %zu out of range start_lsn=%" PRIu64, i,
                           m->segments[i].start_lsn);
    for (size_t i = 0; i < m->image_count; i++)
        if (!image_ok(m, i))
            return err_set(err, code,
                           "manifest: image part %zu does not fit: field=%u slots %" PRIu32
                           " to %" PRIu32 " of %" PRIu32,
                           i, m->images[i].field, m->images[i].slot_first, m->images[i].slot_end,
                           m->images[i].slots_end);
    for (size_t i = 0; i < m->gap_count; i++)
        if (!gap_ok(m, i))
            return err_set(err, code, "manifest: gap %zu out of range first_lsn=%" PRIu64, i,
                           m->gaps[i].first_lsn);
    for (size_t i = 0; i < m->cold_count; i++)
        if (!cold_ok(m, i))
            return err_set(err, code,
                           "manifest: cold segment %zu out of range rows=%" PRIu32 " lsns %" PRIu64
                           " to %" PRIu64,
                           i, m->colds[i].rows, m->colds[i].lsn_min, m->colds[i].lsn_max);
    return ST_OK;
}

status manifest_check(const struct manifest *m, status code, struct err *err)
{
    status st;

    if (m->revision == 0 || m->parent_revision >= m->revision)
        return err_set(err, code, "manifest: revision=%" PRIu64 " parent=%" PRIu64 " out of range",
                       m->revision, m->parent_revision);
    if (m->lineage_count > MANIFEST_OBJECTS_MAX || m->segment_count > MANIFEST_OBJECTS_MAX ||
        m->image_count > MANIFEST_OBJECTS_MAX || m->gap_count > MANIFEST_OBJECTS_MAX ||
        m->cold_count > MANIFEST_COLDS_MAX)
        return err_set(err, code, "manifest: more than %d of a kind", MANIFEST_OBJECTS_MAX);
    if (!log_floor_ok(&m->floor))
        return err_set(err, code, "manifest: log floor out of range");
    if (m->schema.name == NULL || !catalog_id_equal(m->schema.id, m->collection))
        return err_set(err, code, "manifest: its schema is not its collection's");
    st = catalog_check_collection(&m->schema, code, err);
    if (st != ST_OK)
        return err_wrap(err, st, "manifest");
    return lists_check(m, code, err);
}
