/* grpc_native.c - how the messages of akidb.collection.v1 lie in the JSON of our own API. */
#include "api/grpc_shapes.h"

#define TYPE(name) &akidb__collection__v1__##name##__descriptor
#define OBJECT(name, ...)                                                                          \
    {                                                                                              \
        .type = TYPE(name), .kind = SHAPE_OBJECT, .fields = { __VA_ARGS__ }                        \
    }

static const struct shape SHAPES[] = {
    {.type = TYPE(doc_id), .kind = SHAPE_OWN, .read = grpc_read_doc_id, .print = grpc_print_doc_id},
    {.type = TYPE(vector), .kind = SHAPE_SOLE, .fields = {{"values", NULL, FIELD_FLOATS}}},
    {.type = TYPE(named_vectors), .kind = SHAPE_SOLE, .fields = {{"by_name", NULL, 0}}},
    OBJECT(insert_document, {"vector", NULL, FIELD_FLOATS}),
    OBJECT(insert_request, {"documents", NULL, FIELD_ALWAYS}),
    OBJECT(query_request, {"query_vector", NULL, FIELD_FLOATS | FIELD_ALWAYS}),
    OBJECT(document, {"vector", NULL, FIELD_FLOATS}),
    OBJECT(match, {"vector", NULL, FIELD_FLOATS}),
};

const struct shape *grpc_native_shape(message_type type)
{
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++)
        if (SHAPES[i].type == type)
            return &SHAPES[i];
    return NULL;
}
