/* grpc_in.c - a message into JSON.
 *
 * Two looks at each message: the first finds where its fields lie and refuses what is not known,
 * the second prints them in the order of the descriptor. */
#include "api/grpc_map.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

bool grpc_in_bad(struct grpc_in *in, const char *format, ...)
{
    va_list args;

    in->end = GRPC_IN_BAD;
    va_start(args, format);
    (void)vsnprintf(in->text, sizeof in->text, format, args);
    va_end(args);
    return false;
}

bool grpc_in_no_memory(struct grpc_in *in)
{
    (void)grpc_in_bad(in, "out of memory for this request");
    in->end = GRPC_IN_NO_MEMORY;
    return false;
}

bool grpc_in_next(struct grpc_in *in, struct rd *r, struct wire_field *out)
{
    enum { STEPS_BETWEEN_LOOKS = 1024 };

    if (++in->steps % STEPS_BETWEEN_LOOKS == 0 && in->clock != NULL &&
        clock_mono_ns(in->clock) > in->until_ns)
        in->late = true;
    return !in->late && wire_next(r, out);
}

/* --- the first look --- */

struct seen { /* of one field */
    const uint8_t *first, *last;
    size_t count;
};
struct view {
    message_type type;
    struct slice message;
    struct seen seen[GRPC_FIELDS_MAX];
};

static bool is_repeated(field_type f)
{
    return f->label == PROTOBUF_C_LABEL_REPEATED;
}

static enum wire_kind kind_of(field_type f)
{
    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    case PROTOBUF_C_TYPE_FLOAT:
        return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_DOUBLE:
        return WIRE_FIXED64;
    default:
        return WIRE_VARINT;
    }
}

static bool fits(field_type f, enum wire_kind kind)
{
    return kind == kind_of(f) || (kind == WIRE_BYTES && is_repeated(f));
}

/* Of a oneof the last stays. */
static void forget_others(struct view *v, size_t index)
{
    field_type f = &v->type->fields[index];

    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
        return;
    for (size_t i = 0; i < v->type->n_fields; i++)
        if (i != index && (v->type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            v->type->fields[i].quantifier_offset == f->quantifier_offset)
            v->seen[i].count = 0;
}

static bool look(struct grpc_in *in, message_type type, struct slice message, struct view *v)
{
    struct rd r = rd_make(message);
    struct wire_field w;

    assert(type->n_fields <= GRPC_FIELDS_MAX);
    v->type = type;
    v->message = message;
    memset(v->seen, 0, type->n_fields * sizeof v->seen[0]);
    for (const uint8_t *at = r.at; grpc_in_next(in, &r, &w); at = r.at) {
        field_type f = protobuf_c_message_descriptor_get_field(type, w.number);
        struct seen *s;

        if (f == NULL)
            return grpc_in_bad(in, "field %u of %s is not known to this version", w.number,
                               type->short_name);
        if (!fits(f, w.kind))
            return grpc_in_bad(in, "`%s` of %s is not of its type", f->name, type->short_name);
        s = &v->seen[f - type->fields];
        if (s->count == 0) {
            forget_others(v, (size_t)(f - type->fields));
            s->first = at;
        }
        s->last = at;
        s->count++;
    }
    return !r.bad ||
           grpc_in_bad(in, "%s is cut short or malformed: not a message", type->short_name);
}

static struct rd from(const struct view *v, const uint8_t *at)
{
    struct rd r = rd_make(v->message);

    r.at = at;
    return r;
}

static struct wire_field last_of(const struct view *v, size_t index)
{
    struct rd r = from(v, v->seen[index].last);
    struct wire_field w = {0};

    (void)wire_next(&r, &w);
    return w;
}

/* A message that came in pieces is all of them behind one another. */
static bool joined(struct grpc_in *in, const struct view *v, size_t index, struct slice *out)
{
    const struct seen *s = &v->seen[index];
    struct rd r = from(v, s->count == 0 ? v->message.data : s->first);
    struct wire_field w;
    size_t bytes = 0;
    uint8_t *all;

    *out = s->count == 0 ? (struct slice){0} : last_of(v, index).bytes;
    if (s->count <= 1)
        return true;
    all = arena_alloc(in->arena, v->message.bytes);
    if (all == NULL)
        return grpc_in_no_memory(in);
    while (grpc_in_next(in, &r, &w)) {
        if (w.number != v->type->fields[index].id)
            continue;
        memcpy(all + bytes, w.bytes.data, w.bytes.bytes);
        bytes += w.bytes.bytes;
    }
    *out = slice_make(all, bytes);
    return true;
}

/* --- values --- */

bool grpc_in_string(struct grpc_in *in, struct slice text)
{
    if (!utf8_valid(text.data, text.bytes))
        return grpc_in_bad(in, "a string is not UTF-8");
    json_put_string(in->out, text);
    return true;
}

static bool put_number(struct grpc_in *in, double v)
{
    if (!isfinite(v))
        return grpc_in_bad(in, "a number is not finite");
    json_put_f64(in->out, v);
    return true;
}

static bool put_enum(struct grpc_in *in, field_type f, uint64_t value)
{
    const char *text = grpc_enum_text(f->descriptor, value);

    if (text == NULL || text[0] == '\0')
        return grpc_in_bad(in, "`%s`: there is no value %lld of %s", f->name, (long long)value,
                           ((const ProtobufCEnumDescriptor *)f->descriptor)->short_name);
    json_put_string(in->out, slice_text(text));
    return true;
}

static bool put_scalar(struct grpc_in *in, field_type f, const struct wire_field *w)
{
    uint32_t bits = (uint32_t)w->value;
    double wide;
    float narrow;

    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return grpc_in_string(in, w->bytes);
    case PROTOBUF_C_TYPE_MESSAGE:
        return grpc_in_value(in, f->descriptor, w->bytes);
    case PROTOBUF_C_TYPE_ENUM:
        return put_enum(in, f, w->value);
    case PROTOBUF_C_TYPE_BOOL:
        buf_put_text(in->out, w->value != 0 ? "true" : "false");
        return true;
    case PROTOBUF_C_TYPE_UINT32:
        json_put_u64(in->out, bits);
        return true;
    case PROTOBUF_C_TYPE_UINT64:
        json_put_u64(in->out, w->value);
        return true;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_INT64:
        json_put_i64(in->out, (int64_t)w->value);
        return true;
    case PROTOBUF_C_TYPE_FLOAT: /* as a double it is exact */
        memcpy(&narrow, &bits, sizeof narrow);
        return put_number(in, (double)narrow);
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(&wide, &w->value, sizeof wide);
        return put_number(in, wide);
    default:
        return grpc_in_bad(in, "`%s` is of a type that is not known", f->name);
    }
}

/* One number of a packed run. */
static bool next_packed(struct rd *r, field_type f, struct wire_field *w)
{
    if (r->bad || rd_left(r) == 0)
        return false;
    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_FLOAT:
        w->value = rd_u32(r);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        w->value = rd_u64(r);
        break;
    default:
        w->value = rd_varint(r);
        break;
    }
    return !r->bad;
}

static bool put_packed(struct grpc_in *in, field_type f, struct slice run, bool *first)
{
    struct rd r = rd_make(run);
    struct wire_field w = {0};

    while (!in->out->failed && next_packed(&r, f, &w)) {
        buf_put_text(in->out, *first ? "" : ",");
        *first = false;
        if (!put_scalar(in, f, &w))
            return false;
    }
    return !r.bad || grpc_in_bad(in, "`%s` is cut short", f->name);
}

static bool put_entry(struct grpc_in *in, message_type entry, struct slice message)
{
    struct slice value = {0};
    struct view v;

    if (!look(in, entry, message, &v))
        return false;
    if (!grpc_in_string(in, v.seen[0].count == 0 ? value : last_of(&v, 0).bytes))
        return false;
    buf_put_text(in->out, ":");
    return joined(in, &v, 1, &value) && grpc_in_value(in, entry->fields[1].descriptor, value);
}

static bool put_list(struct grpc_in *in, const struct view *v, size_t index)
{
    field_type f = &v->type->fields[index];
    struct rd r = from(v, v->seen[index].count == 0 ? v->message.data : v->seen[index].first);
    size_t left = v->seen[index].count;
    bool map = grpc_is_map(f);
    bool first = true;
    bool fine = true;
    struct wire_field w;

    buf_put_text(in->out, map ? "{" : "[");
    while (fine && left > 0 && !in->out->failed && grpc_in_next(in, &r, &w)) {
        if (w.number != f->id)
            continue;
        left--;
        if (w.kind == WIRE_BYTES && kind_of(f) != WIRE_BYTES) {
            fine = put_packed(in, f, w.bytes, &first);
            continue;
        }
        buf_put_text(in->out, first ? "" : ",");
        first = false;
        fine = map ? put_entry(in, f->descriptor, w.bytes) : put_scalar(in, f, &w);
    }
    buf_put_text(in->out, map ? "}" : "]");
    return fine;
}

/* --- fields and messages --- */

static bool put_field(struct grpc_in *in, const struct view *v, size_t index, unsigned how)
{
    field_type f = &v->type->fields[index];
    struct wire_field w = {0};

    if ((how & FIELD_FLOATS) != 0)
        return grpc_in_float_field(in, v->message, f->id);
    if (is_repeated(f))
        return put_list(in, v, index);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return joined(in, v, index, &w.bytes) && put_scalar(in, f, &w);
    if (v->seen[index].count > 0)
        w = last_of(v, index);
    return put_scalar(in, f, &w);
}

/* A number or a string that is not on the wire is its default, unless it says whether it is there.
 */
static bool is_there(const struct view *v, size_t index, unsigned how)
{
    field_type f = &v->type->fields[index];

    if (f->type == PROTOBUF_C_TYPE_ENUM && !is_repeated(f)) {
        bool seen = v->seen[index].count > 0;
        const char *text = grpc_enum_text(f->descriptor, seen ? last_of(v, index).value : 0);

        /* One that has no name is refused where it is printed. */
        return seen ? text == NULL || text[0] != '\0'
                    : (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 && text != NULL &&
                          text[0] != '\0';
    }
    if (v->seen[index].count > 0 || (how & FIELD_ALWAYS) != 0)
        return true;
    return !is_repeated(f) && f->type != PROTOBUF_C_TYPE_MESSAGE &&
           (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0;
}

static bool is_skipped(const char *const *skip, const char *name)
{
    while (skip != NULL && *skip != NULL && strcmp(*skip, name) != 0)
        skip++;
    return skip != NULL && *skip != NULL;
}

static bool same_collection(struct grpc_in *in, const struct view *v, size_t index)
{
    struct slice name = v->seen[index].count == 0 ? (struct slice){0} : last_of(v, index).bytes;

    return name.bytes == 0 || slice_equal(name, in->collection) ||
           grpc_in_bad(in, "`%s` of %s is not that of the whole call", v->type->fields[index].name,
                       v->type->short_name);
}

/* The field that is there and has the same name in JSON; -1: none. */
static int other_of_name(const struct view *v, const struct shape *shape, size_t index,
                         const char *name)
{
    for (size_t i = 0; i < v->type->n_fields; i++) {
        const struct field_shape *s = grpc_field_shape(shape, v->type->fields[i].name);
        const char *as = s != NULL && s->as != NULL ? s->as : v->type->fields[i].name;

        if (i != index && v->seen[i].count > 0 && strcmp(as, name) == 0 &&
            (s == NULL || (s->how & (FIELD_LEFT_OUT | FIELD_INLINE)) == 0))
            return (int)i;
    }
    return -1;
}

static bool enter(struct grpc_in *in)
{
    return ++in->depth <= GRPC_DEPTH_MAX ||
           grpc_in_bad(in, "more than %d messages within one another", GRPC_DEPTH_MAX);
}

static bool put_member(struct grpc_in *in, const struct view *v, const struct shape *shape,
                       size_t index, bool *first)
{
    field_type f = &v->type->fields[index];
    const struct field_shape *s;
    unsigned how;
    struct slice part;
    const char *as;
    int other = -1;

    if (v->seen[index].count == 0 && (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return true;
    s = grpc_field_shape(shape, f->name);
    how = s == NULL ? 0 : s->how;
    as = s != NULL && s->as != NULL ? s->as : f->name;
    if ((how & FIELD_SAME) != 0)
        return same_collection(in, v, index);
    if ((how & FIELD_LEFT_OUT) != 0 || !is_there(v, index, how))
        return true;
    if ((how & FIELD_INLINE) != 0) {
        if (!joined(in, v, index, &part) || !enter(in) ||
            !grpc_in_members(in, f->descriptor, part, NULL, first))
            return false;
        in->depth--;
        return true;
    }
    if (s != NULL && s->as != NULL)
        other = other_of_name(v, shape, index, as);
    if (other >= 0 && (how & FIELD_YIELDS) != 0)
        return true;
    if (other >= 0 &&
        (grpc_field_shape(shape, v->type->fields[other].name) == NULL ||
         (grpc_field_shape(shape, v->type->fields[other].name)->how & FIELD_YIELDS) == 0))
        return grpc_in_bad(in, "only one of `%s` and `%s` may be given", f->name,
                           v->type->fields[other].name);
    buf_put_text(in->out, *first ? "\"" : ",\"");
    *first = false;
    buf_put_text(in->out, as);
    buf_put_text(in->out, "\":");
    return put_field(in, v, index, how);
}

bool grpc_in_members(struct grpc_in *in, message_type type, struct slice message,
                     const char *const *skip, bool *first)
{
    const struct shape *shape = grpc_shape(type);
    struct view v;

    if (!look(in, type, message, &v))
        return false;
    for (size_t i = 0; i < type->n_fields && !in->out->failed; i++)
        if (!is_skipped(skip, type->fields[i].name) && !put_member(in, &v, shape, i, first))
            return false;
    return !in->out->failed || grpc_in_no_memory(in);
}

static bool put_sole(struct grpc_in *in, const struct shape *shape, struct slice message)
{
    const struct field_shape *s;
    struct view v;
    size_t i = 0;

    if (!look(in, shape->type, message, &v))
        return false;
    while (i < v.type->n_fields && v.seen[i].count == 0)
        i++;
    if (i == v.type->n_fields && v.type->n_fields == 1 && is_repeated(&v.type->fields[0]))
        i = 0; /* an empty list */
    if (i == v.type->n_fields)
        return grpc_in_bad(in, "none of the fields of %s is given", v.type->short_name);
    s = grpc_field_shape(shape, v.type->fields[i].name);
    if (s != NULL && (s->how & FIELD_NAMED) != 0) {
        buf_put_text(in->out, "{\"");
        buf_put_text(in->out, s->as != NULL ? s->as : s->name);
        buf_put_text(in->out, "\":");
    }
    if (!put_field(in, &v, i, s == NULL ? 0 : s->how))
        return false;
    if (s != NULL && (s->how & FIELD_NAMED) != 0)
        buf_put_text(in->out, "}");
    return true;
}

bool grpc_in_value(struct grpc_in *in, message_type type, struct slice message)
{
    const struct shape *shape = grpc_shape(type);
    bool first = true;
    bool fine = false;

    if (!enter(in))
        return false;
    switch (shape == NULL ? SHAPE_OBJECT : shape->kind) {
    case SHAPE_OBJECT:
        buf_put_text(in->out, "{");
        fine = grpc_in_members(in, type, message, NULL, &first);
        buf_put_text(in->out, "}");
        break;
    case SHAPE_SOLE:
        fine = put_sole(in, shape, message);
        break;
    case SHAPE_TEXT:
        buf_put_text(in->out, shape->text);
        fine = true;
        break;
    case SHAPE_OWN:
        fine = shape->read(in, type, message);
        break;
    }
    in->depth--;
    return fine;
}

bool grpc_in_find(struct grpc_in *in, message_type type, struct slice message, const char *name,
                  struct wire_field *out)
{
    struct view v;
    size_t index = (size_t)(grpc_field(type, name) - type->fields);

    in->text[0] = '\0';
    if (!look(in, type, message, &v) || v.seen[index].count == 0)
        return false;
    *out = last_of(&v, index);
    if (v.type->fields[index].type == PROTOBUF_C_TYPE_MESSAGE)
        return joined(in, &v, index, &out->bytes);
    return true;
}
