/* grpc_out.c - JSON into a message: each field of the descriptor from the member of its name. What
 * has no field is left out, and a member of another type than its field counts as absent: the JSON
 * is our own. */
#include "api/grpc_shapes.h"

#include "base/json.h"

static void put_u64(struct grpc_out *o, field_type f, uint64_t value)
{
    wire_put_tag(o->out, f->id, WIRE_VARINT);
    buf_put_varint(o->out, value);
}

static void put_integer(struct grpc_out *o, field_type f, struct jval v)
{
    int64_t negative;
    uint64_t n;

    if (jval_u64(v, &n))
        put_u64(o, f, n);
    else if (jval_i64(v, &negative))
        put_u64(o, f, (uint64_t)negative);
}

static void put_scalar(struct grpc_out *o, field_type f, struct jval v)
{
    uint32_t value;
    double number;

    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        if (jval_type(v) == J_TRUE || jval_type(v) == J_FALSE)
            put_u64(o, f, jval_bool(v));
        break;
    case PROTOBUF_C_TYPE_ENUM:
        if (jval_type(v) == J_STRING && grpc_enum_value(f->descriptor, jval_string(v), &value))
            put_u64(o, f, value);
        break;
    case PROTOBUF_C_TYPE_STRING:
        if (jval_type(v) == J_STRING)
            wire_put_bytes(o->out, f->id, jval_string(v));
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        if (!jval_f64(v, &number))
            break;
        wire_put_tag(o->out, f->id, WIRE_FIXED32);
        buf_put_f32(o->out, (float)number);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        if (!jval_f64(v, &number))
            break;
        wire_put_tag(o->out, f->id, WIRE_FIXED64);
        buf_put_f64(o->out, number);
        break;
    default:
        put_integer(o, f, v);
        break;
    }
}

static void put_message(struct grpc_out *o, field_type f, struct jval v)
{
    size_t opened = wire_open(o->out, f->id);

    grpc_out_message(o, f->descriptor, v);
    wire_close(o->out, opened);
}

static void put_map(struct grpc_out *o, field_type f, struct jval v)
{
    message_type entry = f->descriptor;

    if (jval_type(v) != J_OBJECT)
        return;
    for (struct jiter it = jval_iter(v); jiter_next(&it) && !o->out->failed;) {
        size_t opened = wire_open(o->out, f->id);

        wire_put_bytes(o->out, entry->fields[0].id, it.key);
        put_message(o, &entry->fields[1], it.value);
        wire_close(o->out, opened);
    }
}

/* Numbers of one width are packed. */
static void put_packed(struct grpc_out *o, field_type f, struct jval v)
{
    size_t opened = wire_open(o->out, f->id);
    double number;
    uint64_t n;

    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        if (f->type == PROTOBUF_C_TYPE_FLOAT && jval_f64(it.value, &number))
            buf_put_f32(o->out, (float)number);
        else if (f->type == PROTOBUF_C_TYPE_UINT64 && jval_u64(it.value, &n))
            buf_put_varint(o->out, n);
    }
    wire_close(o->out, opened);
}

static void put_list(struct grpc_out *o, field_type f, struct jval v)
{
    if (f->type == PROTOBUF_C_TYPE_FLOAT || f->type == PROTOBUF_C_TYPE_UINT64) {
        if (jval_type(v) == J_STRING)
            grpc_out_vector(o, f->id, v);
        else if (jval_type(v) == J_ARRAY)
            put_packed(o, f, v);
        return;
    }
    if (jval_type(v) != J_ARRAY)
        return;
    for (struct jiter it = jval_iter(v); jiter_next(&it) && !o->out->failed;) {
        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            put_message(o, f, it.value);
        else
            put_scalar(o, f, it.value);
    }
}

static void put_field(struct grpc_out *o, field_type f, struct jval v)
{
    if (jval_type(v) == J_NULL)
        return;
    if (grpc_is_map(f))
        put_map(o, f, v);
    else if (f->label == PROTOBUF_C_LABEL_REPEATED)
        put_list(o, f, v);
    else if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        put_message(o, f, v);
    else
        put_scalar(o, f, v);
}

void grpc_out_field(struct grpc_out *o, message_type type, const char *name, struct jval v)
{
    put_field(o, grpc_field(type, name), v);
}

static void put_members(struct grpc_out *o, message_type type, const struct shape *shape,
                        struct jval v)
{
    for (size_t i = 0; i < type->n_fields && jval_type(v) == J_OBJECT; i++) {
        field_type f = &type->fields[i];
        const struct field_shape *s = grpc_field_shape(shape, f->name);
        struct jval member;

        if (s != NULL && (s->how & (FIELD_LEFT_OUT | FIELD_YIELDS)) != 0)
            continue;
        if (jval_member(v, s != NULL && s->as != NULL ? s->as : f->name, &member))
            put_field(o, f, member);
    }
}

void grpc_out_message(struct grpc_out *o, message_type type, struct jval v)
{
    const struct shape *shape = grpc_shape(type);

    if (shape != NULL && shape->print != NULL)
        shape->print(o, type, v);
    else if (shape != NULL && shape->kind == SHAPE_SOLE && type->n_fields == 1)
        put_field(o, &type->fields[0], v);
    else
        put_members(o, type, shape, v);
}
