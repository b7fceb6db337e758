/* grpc_methods.c - the methods, and for each the route that does the same. */
#include "api/grpc_call.h"
#include "api/grpc_shapes.h"

#define Q(name) &qdrant__##name##__descriptor
#define N(name) &akidb__collection__v1__##name##__descriptor
#define CALL(name, write_or_read, http, pattern, in, out, ...)                                     \
    {                                                                                              \
        .method = {(name), ROUTE_##write_or_read, grpc_run, grpc_finish}, .verb = METHOD_##http,   \
        .route = (pattern), .request = (in), .answer = (out), __VA_ARGS__                          \
    }

#define C "/collections/{collection}"
#define A "/api/v1/collections"

#define NAMED     .path = {"collection_name"}
#define READS     .query = GRPC_READ_PARAMETERS
#define WRITES    .query = GRPC_WRITE_PARAMETERS
#define OF_RESULT .form = ANSWER_RESULT
#define OF_ROOT   .form = ANSWER_ROOT

static const char *const GRPC_READ_PARAMETERS[] = {"timeout", "read_consistency", NULL};
static const char *const GRPC_WRITE_PARAMETERS[] = {"wait", "timeout", "ordering", NULL};
static const char *const DURABLE[] = {"durability", "if_lsn", NULL};

static const struct grpc_route_call CALLS[] = {
    CALL("/qdrant.Points/Upsert", WRITE, PUT, C "/points", Q(upsert_points),
         Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/Query", READ, POST, C "/points/query", Q(query_points), Q(query_response),
         NAMED, READS, OF_RESULT),
    CALL("/qdrant.Points/QueryBatch", READ, POST, C "/points/query/batch", Q(query_batch_points),
         Q(query_batch_response), NAMED, READS),
    CALL("/qdrant.Points/QueryGroups", READ, POST, C "/points/query/groups", Q(query_point_groups),
         Q(query_groups_response), NAMED, READS),
    CALL("/qdrant.Points/Search", READ, POST, C "/points/search", Q(search_points),
         Q(search_response), NAMED, READS),
    CALL("/qdrant.Points/SearchBatch", READ, POST, C "/points/search/batch", Q(search_batch_points),
         Q(search_batch_response), NAMED, READS),
    CALL("/qdrant.Points/Get", READ, POST, C "/points", Q(get_points), Q(get_response), NAMED,
         READS),
    CALL("/qdrant.Points/Scroll", READ, POST, C "/points/scroll", Q(scroll_points),
         Q(scroll_response), NAMED, READS, OF_RESULT),
    CALL("/qdrant.Points/Count", READ, POST, C "/points/count", Q(count_points), Q(count_response),
         NAMED, READS),
    CALL("/qdrant.Points/Facet", READ, POST, C "/facet", Q(facet_counts), Q(facet_response), NAMED,
         READS, OF_RESULT),
    CALL("/qdrant.Points/SearchMatrixPairs", READ, POST, C "/points/search/matrix/pairs",
         Q(search_matrix_points), Q(search_matrix_pairs_response), NAMED, READS),
    CALL("/qdrant.Points/SearchMatrixOffsets", READ, POST, C "/points/search/matrix/offsets",
         Q(search_matrix_points), Q(search_matrix_offsets_response), NAMED, READS),
    CALL("/qdrant.Points/Delete", WRITE, POST, C "/points/delete", Q(delete_points),
         Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/UpdateVectors", WRITE, PUT, C "/points/vectors", Q(update_point_vectors),
         Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/DeleteVectors", WRITE, POST, C "/points/vectors/delete",
         Q(delete_point_vectors), Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/SetPayload", WRITE, POST, C "/points/payload", Q(set_payload_points),
         Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/OverwritePayload", WRITE, PUT, C "/points/payload", Q(set_payload_points),
         Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/DeletePayload", WRITE, POST, C "/points/payload/delete",
         Q(delete_payload_points), Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/ClearPayload", WRITE, POST, C "/points/payload/clear",
         Q(clear_payload_points), Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/UpdateBatch", WRITE, POST, C "/points/batch", Q(update_batch_points),
         Q(update_batch_response), NAMED, WRITES),
    CALL("/qdrant.Points/CreateFieldIndex", WRITE, PUT, C "/index",
         Q(create_field_index_collection), Q(points_operation_response), NAMED, WRITES),
    CALL("/qdrant.Points/DeleteFieldIndex", WRITE, DELETE, C "/index/{field}",
         Q(delete_field_index_collection), Q(points_operation_response),
         .path = {"collection_name", "field_name"}, WRITES),

    CALL("/qdrant.Collections/List", READ, GET, "/collections", Q(list_collections_request),
         Q(list_collections_response), OF_RESULT),
    CALL("/qdrant.Collections/Get", READ, GET, C, Q(get_collection_info_request),
         Q(get_collection_info_response), NAMED),
    CALL("/qdrant.Collections/CollectionExists", READ, GET, C "/exists",
         Q(collection_exists_request), Q(collection_exists_response), NAMED),
    CALL("/qdrant.Collections/Create", WRITE, PUT, C, Q(create_collection),
         Q(collection_operation_response), NAMED, WRITES),
    CALL("/qdrant.Collections/Update", WRITE, PATCH, C, Q(update_collection),
         Q(collection_operation_response), NAMED, WRITES),
    CALL("/qdrant.Collections/Delete", WRITE, DELETE, C, Q(delete_collection),
         Q(collection_operation_response), NAMED, WRITES),
    CALL("/qdrant.Collections/UpdateAliases", WRITE, POST, "/collections/aliases",
         Q(change_aliases), Q(collection_operation_response), WRITES),
    CALL("/qdrant.Collections/ListAliases", READ, GET, "/aliases", Q(list_aliases_request),
         Q(list_aliases_response), OF_RESULT),
    CALL("/qdrant.Collections/ListCollectionAliases", READ, GET, C "/aliases",
         Q(list_collection_aliases_request), Q(list_aliases_response), NAMED, OF_RESULT),
    CALL("/qdrant.Qdrant/HealthCheck", PROBE, GET, "/", Q(health_check_request),
         Q(health_check_reply), OF_ROOT),

    CALL("/akidb.collection.v1.CollectionService/Query", READ, POST, A "/{id}/query",
         N(query_request), N(query_response), .path = {"collection_id"}, OF_ROOT),
    CALL("/akidb.collection.v1.CollectionService/Insert", WRITE, POST, A "/{id}/insert",
         N(insert_request), N(insert_response), .path = {"collection_id"}, .query = DURABLE,
         OF_ROOT),
    CALL("/akidb.collection.v1.CollectionService/Get", READ, GET, A "/{id}/docs/{doc_id}",
         N(get_request), N(get_response), .path = {"collection_id", "doc_id"}, OF_ROOT),
    CALL("/akidb.collection.v1.CollectionService/Delete", WRITE, POST, A "/{id}/delete",
         N(delete_request), N(delete_response), .path = {"collection_id"}, .query = DURABLE,
         OF_ROOT),
    CALL("/akidb.collection.v1.CollectionService/Describe", READ, GET, A "/{id}",
         N(get_collection_request), N(get_collection_response), .path = {"collection_id"}, OF_ROOT),
    CALL("/akidb.collection.v1.CollectionManagementService/CreateCollection", WRITE, POST, A,
         N(create_collection_request), N(create_collection_response), OF_ROOT),
    CALL("/akidb.collection.v1.CollectionManagementService/ListCollections", READ, GET, A,
         N(list_collections_request), N(list_collections_response), OF_ROOT),
    CALL("/akidb.collection.v1.CollectionManagementService/GetCollection", READ, GET, A "/{id}",
         N(get_collection_request), N(get_collection_response), .path = {"collection_id"}, OF_ROOT),
    CALL("/akidb.collection.v1.CollectionManagementService/DeleteCollection", WRITE, DELETE,
         A "/{id}", N(delete_collection_request), N(delete_collection_response),
         .path = {"collection_id"}, OF_ROOT),
};

const struct grpc_method *grpc_method_find(struct slice path)
{
    for (size_t i = 0; i < COUNT_OF(CALLS); i++)
        if (slice_equal(path, slice_text(CALLS[i].method.path)))
            return &CALLS[i].method;
    return NULL;
}

const struct grpc_method *grpc_method_at(size_t index)
{
    return index < COUNT_OF(CALLS) ? &CALLS[index].method : NULL;
}
