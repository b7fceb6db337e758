/* grpc_enums.c - what REST calls the values of the enums, by their numbers from 0. An empty text is
 * a value that counts as absent. */
#include "api/grpc_map.h"
#include "api/grpc_shapes.h"

struct names {
    const ProtobufCEnumDescriptor *type;
    const char *texts[9]; /* NULL ends them */
};
#define NAMES(name, ...)                                                                           \
    {                                                                                              \
        &qdrant__##name##__descriptor,                                                             \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const struct names NAMES[] = {
    NAMES(update_mode, "upsert", "insert_only", "update_only"),
    NAMES(update_status, "", "acknowledged", "completed", "clock_rejected", "wait_timeout"),
    NAMES(write_ordering_type, "weak", "medium", "strong"),
    NAMES(read_consistency_type, "all", "majority", "quorum"),
    NAMES(field_type, "keyword", "integer", "float", "geo", "text", "bool", "datetime", "uuid"),
    NAMES(payload_schema_type, "", "keyword", "integer", "float", "geo", "text", "bool", "datetime",
          "uuid"),
    NAMES(direction, "asc", "desc"),
    NAMES(recommend_strategy, "average_vector", "best_score", "sum_scores"),
    NAMES(fusion, "rrf", "dbsf"),
    NAMES(sample, "random"),
    NAMES(distance, "", "Cosine", "Euclid", "Dot", "Manhattan"),
    NAMES(datatype, "", "float32", "uint8", "float16", "turbo4", "turbo8", "turbo16"),
    NAMES(memory, "", "cold", "cached", "pinned"),
    NAMES(modifier, "none", "idf"),
    NAMES(multi_vector_comparator, "max_sim"),
    NAMES(quantization_type, "", "int8"),
    NAMES(compression_ratio, "x4", "x8", "x16", "x32", "x64"),
    NAMES(binary_quantization_encoding, "one_bit", "two_bits", "one_and_half_bits"),
    NAMES(binary_quantization_query_encoding__setting, "default", "binary", "scalar4bits",
          "scalar8bits"),
    NAMES(turbo_quant_bit_size, "bits1", "bits1_5", "bits2", "bits4", "bits8"),
    NAMES(sharding_method, "auto", "custom"),
    NAMES(max_optimization_threads__setting, "auto"),
    NAMES(collection_status, "", "green", "yellow", "red", "grey"),
    NAMES(tokenizer_type, "", "prefix", "whitespace", "word", "multilingual", "code"),
    NAMES(text_scoring_type, "bm25"),
    NAMES(null_value, ""),
};

static const struct names *names_of(const ProtobufCEnumDescriptor *type)
{
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (NAMES[i].type == type)
            return &NAMES[i];
    return NULL;
}

const char *grpc_enum_text(const ProtobufCEnumDescriptor *type, uint64_t value)
{
    const struct names *n = names_of(type);

    return n != NULL && value < COUNT_OF(n->texts) ? n->texts[value] : NULL;
}

bool grpc_enum_value(const ProtobufCEnumDescriptor *type, struct slice text, uint32_t *out)
{
    const struct names *n = names_of(type);

    for (uint32_t i = 0; n != NULL && i < COUNT_OF(n->texts) && n->texts[i] != NULL; i++) {
        if (text.bytes == 0 || !slice_equal(text, slice_text(n->texts[i])))
            continue;
        *out = i;
        return true;
    }
    return false;
}
