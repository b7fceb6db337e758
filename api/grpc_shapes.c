/* grpc_shapes.c - how each message lies in JSON, where that is not as its fields are called. Those
 * that come most often stand first. */
#include "api/grpc_shapes.h"
#include "api/grpc_map.h"

#include <assert.h>
#include <string.h>

#define TYPE(name) &qdrant__##name##__descriptor
#define OWN(name, in, out)                                                                         \
    {                                                                                              \
        .type = TYPE(name), .kind = SHAPE_OWN, .read = (in), .print = (out)                        \
    }
#define SOLE(name, ...)                                                                            \
    {                                                                                              \
        .type = TYPE(name), .kind = SHAPE_SOLE, .fields = { __VA_ARGS__ }                          \
    }
#define OBJECT(name, ...)                                                                          \
    {                                                                                              \
        .type = TYPE(name), .kind = SHAPE_OBJECT, .fields = { __VA_ARGS__ }                        \
    }
#define TEXT(name, json)                                                                           \
    {                                                                                              \
        .type = TYPE(name), .kind = SHAPE_TEXT, .text = (json)                                     \
    }
#define NOTHING                                                                                    \
    {                                                                                              \
        NULL, NULL, 0                                                                              \
    }

/* What every query of a batch may carry beside what it asks. */
#define OF_A_BATCH                                                                                 \
    {"collection_name", NULL, FIELD_SAME}, {"timeout", NULL, FIELD_LEFT_OUT},                      \
        {"read_consistency", NULL, FIELD_LEFT_OUT},                                                \
    {                                                                                              \
        "shard_key_selector", NULL, FIELD_LEFT_OUT                                                 \
    }
#define SHARD_KEY                                                                                  \
    {                                                                                              \
        "shard_key_selector", NULL, FIELD_LEFT_OUT                                                 \
    }
#define SELECTOR                                                                                   \
    {                                                                                              \
        "points_selector", NULL, FIELD_INLINE                                                      \
    }

static const struct shape SHAPES[] = {
    OWN(value, grpc_read_value, grpc_print_value),
    OWN(point_id, grpc_read_id, grpc_print_id),
    OWN(vector, grpc_read_vector, NULL),
    {.type = TYPE(dense_vector),
     .kind = SHAPE_OWN,
     .read = grpc_read_dense,
     .print = grpc_print_dense},
    SOLE(vectors, NOTHING),
    OBJECT(point_struct, {"vectors", "vector", 0}),
    SOLE(named_vectors, {"vectors", NULL, 0}),
    SOLE(struct, {"fields", NULL, 0}),
    SOLE(list_value, {"values", NULL, 0}),
    {.type = TYPE(vectors_output), .kind = SHAPE_OWN, .print = grpc_print_vectors},
    {.type = TYPE(vector_output), .kind = SHAPE_OWN, .print = grpc_print_vector},
    SOLE(named_vectors_output, {"vectors", NULL, 0}),
    OBJECT(scored_point, {"vectors", "vector", 0}),
    OBJECT(retrieved_point, {"vectors", "vector", 0}),
    OBJECT(point_vectors, {"vectors", "vector", 0}),

    OBJECT(condition, {"field", NULL, FIELD_INLINE}, {"filter", NULL, FIELD_INLINE},
           {"has_id", NULL, FIELD_INLINE}, {"has_vector", NULL, FIELD_INLINE}),
    OBJECT(field_condition, {"datetime_range", "range", 0}),
    {.type = TYPE(match), .kind = SHAPE_OWN, .read = grpc_read_match},
    OBJECT(min_should, {"conditions", NULL, FIELD_ALWAYS}),
    OBJECT(has_id_condition, {"has_id", NULL, FIELD_ALWAYS}),
    SOLE(repeated_strings, NOTHING),
    SOLE(repeated_integers, NOTHING),
    OBJECT(geo_line_string, {"points", NULL, FIELD_ALWAYS}),
    OWN(timestamp, grpc_read_time, NULL),

    /* What this version does not take: the route says so. */
    TEXT(sparse_vector, "{\"indices\":[],\"values\":[]}"),
    TEXT(multi_dense_vector, "{\"vectors\":[]}"),
    TEXT(document, "{\"text\":\"\",\"model\":\"\"}"),
    TEXT(image, "{\"image\":\"\",\"model\":\"\"}"),
    TEXT(inference_object, "{\"object\":{},\"model\":\"\"}"),
    TEXT(discover_input, "{}"),
    TEXT(context_input, "{}"),
    TEXT(formula, "{}"),
    TEXT(relevance_feedback_input, "{}"),
    TEXT(text_query, "{}"),
    TEXT(idf_params, "{}"),
    TEXT(acorn_search_params, "{}"),
    TEXT(disabled, "\"Disabled\""),

    SOLE(vector_input, NOTHING),
    OBJECT(query, {"nearest_with_mmr", NULL, FIELD_INLINE}),
    OBJECT(query_points, OF_A_BATCH, {"with_vectors", "with_vector", 0}),
    OBJECT(query_point_groups, SHARD_KEY, {"with_vectors", "with_vector", 0}),
    OBJECT(query_batch_points, {"query_points", "searches", FIELD_ALWAYS}),
    {.type = TYPE(search_points), .kind = SHAPE_OWN, .read = grpc_read_search},
    OBJECT(search_batch_points, {"search_points", "searches", FIELD_ALWAYS}),
    OBJECT(lookup_location, {"collection_name", "collection", 0}, {"vector_name", "vector", 0},
           SHARD_KEY),
    SOLE(start_from, NOTHING),
    OBJECT(scroll_points, SHARD_KEY, {"with_vectors", "with_vector", 0}),
    OBJECT(get_points, SHARD_KEY, {"ids", NULL, FIELD_ALWAYS}, {"with_vectors", "with_vector", 0}),
    OBJECT(count_points, SHARD_KEY),
    OBJECT(facet_counts, SHARD_KEY),
    OBJECT(search_matrix_points, SHARD_KEY),
    SOLE(with_payload_selector, {"include", NULL, FIELD_NAMED}, {"exclude", NULL, FIELD_NAMED}),
    SOLE(payload_include_selector, NOTHING),
    SOLE(payload_exclude_selector, NOTHING),
    SOLE(with_vectors_selector, NOTHING),
    SOLE(vectors_selector, NOTHING),

    SOLE(points_ids_list, NOTHING),
    OBJECT(upsert_points, SHARD_KEY, {"points", NULL, FIELD_ALWAYS}),
    OBJECT(update_point_vectors, SHARD_KEY, {"points", NULL, FIELD_ALWAYS}),
    OBJECT(delete_points, SHARD_KEY, {"points", NULL, FIELD_INLINE}),
    OBJECT(clear_payload_points, SHARD_KEY, {"points", NULL, FIELD_INLINE}),
    OBJECT(set_payload_points, SHARD_KEY, SELECTOR, {"payload", NULL, FIELD_ALWAYS}),
    OBJECT(delete_payload_points, SHARD_KEY, SELECTOR, {"keys", NULL, FIELD_ALWAYS}),
    OBJECT(delete_point_vectors, SHARD_KEY, SELECTOR, {"vectors", "vector", FIELD_ALWAYS}),
    OBJECT(points_update_operation, {"delete_deprecated", "delete", 0},
           {"delete_points", "delete", 0}, {"clear_payload_deprecated", "clear_payload", 0}),
    OBJECT(points_update_operation__point_struct_list, SHARD_KEY, {"points", NULL, FIELD_ALWAYS}),
    OBJECT(points_update_operation__update_vectors, SHARD_KEY, {"points", NULL, FIELD_ALWAYS}),
    OBJECT(points_update_operation__set_payload, SHARD_KEY, SELECTOR,
           {"payload", NULL, FIELD_ALWAYS}),
    OBJECT(points_update_operation__overwrite_payload, SHARD_KEY, SELECTOR,
           {"payload", NULL, FIELD_ALWAYS}),
    OBJECT(points_update_operation__delete_payload, SHARD_KEY, SELECTOR,
           {"keys", NULL, FIELD_ALWAYS}),
    OBJECT(points_update_operation__delete_vectors, SHARD_KEY, SELECTOR,
           {"vectors", "vector", FIELD_ALWAYS}),
    OBJECT(points_update_operation__delete_points, SHARD_KEY, {"points", NULL, FIELD_INLINE}),
    OBJECT(points_update_operation__clear_payload, SHARD_KEY, {"points", NULL, FIELD_INLINE}),
    OBJECT(update_batch_points, {"operations", NULL, FIELD_ALWAYS}),
    OBJECT(change_aliases, {"actions", NULL, FIELD_ALWAYS}),
    {.type = TYPE(create_field_index_collection), .kind = SHAPE_OWN, .read = grpc_read_index},

    OBJECT(create_collection, {"vectors_config", "vectors", 0},
           {"sparse_vectors_config", "sparse_vectors", 0}),
    OBJECT(update_collection, {"vectors_config", "vectors", 0},
           {"sparse_vectors_config", "sparse_vectors", 0}),
    OBJECT(collection_params, {"vectors_config", "vectors", 0},
           {"sparse_vectors_config", "sparse_vectors", 0}),
    {.type = TYPE(vectors_config), .kind = SHAPE_SOLE, .print = grpc_print_vectors_config},
    SOLE(vector_params_map, {"map", NULL, 0}),
    SOLE(vectors_config_diff, {"params", "", FIELD_NAMED}),
    SOLE(vector_params_diff_map, {"map", NULL, 0}),
    SOLE(sparse_vector_config, {"map", NULL, 0}),
    SOLE(quantization_config_diff, {"scalar", NULL, FIELD_NAMED}, {"product", NULL, FIELD_NAMED},
         {"binary", NULL, FIELD_NAMED}, {"turboquant", NULL, FIELD_NAMED}),
    {.type = TYPE(binary_quantization_query_encoding),
     .kind = SHAPE_SOLE,
     .print = grpc_print_only_field},
    {.type = TYPE(max_optimization_threads), .kind = SHAPE_SOLE, .print = grpc_print_threads},
    OBJECT(optimizers_config_diff,
           {"deprecated_max_optimization_threads", "max_optimization_threads", FIELD_YIELDS}),
    SOLE(strict_mode_multivector_config, {"multivector_config", NULL, 0}),
    SOLE(strict_mode_sparse_config, {"sparse_config", NULL, 0}),
    {.type = TYPE(payload_index_params), .kind = SHAPE_OWN, .print = grpc_print_index_params},
    {.type = TYPE(optimizer_status), .kind = SHAPE_OWN, .print = grpc_print_optimizer},

    {.type = TYPE(order_value), .kind = SHAPE_OWN, .print = grpc_print_order},
    {.type = TYPE(group_id), .kind = SHAPE_OWN, .print = grpc_print_group_id},
    {.type = TYPE(facet_value), .kind = SHAPE_OWN, .print = grpc_print_facet},
    {.type = TYPE(batch_result), .kind = SHAPE_OWN, .print = grpc_print_batch_result},
    OBJECT(query_response, {"result", "points", 0}),
    OBJECT(scroll_response, {"result", "points", 0}),
};

const struct shape *grpc_shape(message_type type)
{
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++)
        if (SHAPES[i].type == type)
            return &SHAPES[i];
    return grpc_native_shape(type);
}

const struct field_shape *grpc_field_shape(const struct shape *shape, const char *name)
{
    if (shape == NULL)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(shape->fields) && shape->fields[i].name != NULL; i++)
        if (strcmp(shape->fields[i].name, name) == 0)
            return &shape->fields[i];
    return NULL;
}

bool grpc_is_map(field_type field)
{
    message_type entry = field->descriptor;
    size_t bytes;

    if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label != PROTOBUF_C_LABEL_REPEATED)
        return false;
    bytes = strlen(entry->short_name);
    return bytes > 5 && strcmp(entry->short_name + bytes - 5, "Entry") == 0 && entry->n_fields == 2;
}

field_type grpc_field(message_type type, const char *name)
{
    field_type f = protobuf_c_message_descriptor_get_field_by_name(type, name);

    assert(f != NULL);
    return f;
}
