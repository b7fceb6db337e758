/* grpc_out_shapes.c - the messages of answers whose JSON is not that of their fields. */
#include "api/grpc_shapes.h"

#include "base/json.h"

#include <stdio.h>

static bool is_integer(struct jval v)
{
    return jval_type(v) == J_U64 || jval_type(v) == J_I64;
}

/* What does not fit 64 bits with a sign is a double, as there is no other place for it. */
void grpc_print_value(struct grpc_out *o, message_type type, struct jval v)
{
    int64_t n;

    switch (jval_type(v)) {
    case J_NULL: /* of a oneof even a zero is there */
        wire_put_tag(o->out, grpc_field(type, "null_value")->id, WIRE_VARINT);
        buf_put_u8(o->out, 0);
        break;
    case J_TRUE:
    case J_FALSE:
        grpc_out_field(o, type, "bool_value", v);
        break;
    case J_U64:
    case J_I64:
        grpc_out_field(o, type, jval_i64(v, &n) ? "integer_value" : "double_value", v);
        break;
    case J_F64:
        grpc_out_field(o, type, "double_value", v);
        break;
    case J_STRING:
        grpc_out_field(o, type, "string_value", v);
        break;
    case J_ARRAY:
        grpc_out_field(o, type, "list_value", v);
        break;
    case J_OBJECT:
        grpc_out_field(o, type, "struct_value", v);
        break;
    }
}

void grpc_print_id(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type, jval_type(v) == J_STRING ? "uuid" : "num", v);
}

void grpc_print_doc_id(struct grpc_out *o, message_type type, struct jval v)
{
    char digits[24];
    uint64_t n;

    if (!jval_u64(v, &n)) {
        grpc_out_field(o, type, "text", v);
        return;
    }
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    wire_put_bytes(o->out, grpc_field(type, "text")->id, slice_text(digits));
}

/* --- vectors --- */

void grpc_print_dense(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type, "data", v);
}

void grpc_print_vector(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type, "dense", v);
}

void grpc_print_vectors(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type, jval_type(v) == J_OBJECT ? "vectors" : "vector", v);
}

/* --- what is told of a collection --- */

void grpc_print_vectors_config(struct grpc_out *o, message_type type, struct jval v)
{
    struct jval size;
    bool unnamed = jval_member(v, "size", &size) && is_integer(size);

    grpc_out_field(o, type, unnamed ? "params" : "params_map", v);
}

void grpc_print_only_field(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type, type->fields[0].name, v);
}

void grpc_print_threads(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type, is_integer(v) ? "value" : "setting", v);
}

void grpc_print_index_params(struct grpc_out *o, message_type type, struct jval v)
{
    struct jval kind;
    char name[48];
    field_type f;

    if (!jval_member(v, "type", &kind) || jval_type(kind) != J_STRING)
        return;
    (void)snprintf(name, sizeof name, "%.*s_index_params",
                   (int)(jval_string(kind).bytes < 16 ? jval_string(kind).bytes : 16),
                   (const char *)jval_string(kind).data);
    f = protobuf_c_message_descriptor_get_field_by_name(type, name);
    if (f != NULL)
        grpc_out_field(o, type, name, v);
}

void grpc_print_optimizer(struct grpc_out *o, message_type type, struct jval v)
{
    struct jval error;

    if (jval_type(v) == J_STRING) {
        wire_put_tag(o->out, grpc_field(type, "ok")->id, WIRE_VARINT);
        buf_put_u8(o->out, slice_equal(jval_string(v), slice_text("ok")));
    } else if (jval_member(v, "error", &error)) {
        grpc_out_field(o, type, "error", error);
    }
}

/* --- numbers and texts that may be either --- */

void grpc_print_order(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type, is_integer(v) ? "int" : "float", v);
}

void grpc_print_group_id(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type,
                   jval_type(v) == J_STRING ? "string_value"
                   : jval_type(v) == J_I64  ? "integer_value"
                                            : "unsigned_value",
                   v);
}

void grpc_print_facet(struct grpc_out *o, message_type type, struct jval v)
{
    grpc_out_field(o, type,
                   jval_type(v) == J_STRING ? "string_value"
                   : is_integer(v)          ? "integer_value"
                                            : "bool_value",
                   v);
}

/* A list of points, or {"points": list}. */
void grpc_print_batch_result(struct grpc_out *o, message_type type, struct jval v)
{
    struct jval points = v;

    if (jval_type(v) == J_ARRAY || jval_member(v, "points", &points))
        grpc_out_field(o, type, "result", points);
}
