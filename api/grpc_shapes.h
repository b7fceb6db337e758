/* grpc_shapes.h - the messages that need a function of their own, and what protoc-c made of proto/.
 */
#ifndef API_GRPC_SHAPES_H
#define API_GRPC_SHAPES_H

#include "api/grpc_map.h"

#include <akidb_collection.pb-c.h>
#include <qdrant_collections.pb-c.h>
#include <qdrant_index.pb-c.h>
#include <qdrant_points.pb-c.h>
#include <qdrant_query.pb-c.h>
#include <qdrant_values.pb-c.h>
#include <qdrant_vectors.pb-c.h>

typedef bool grpc_read_fn(struct grpc_in *in, message_type type, struct slice message);
typedef void grpc_print_fn(struct grpc_out *o, message_type type, struct jval v);

/* grpc_in_shapes.c */
grpc_read_fn grpc_read_value, grpc_read_id, grpc_read_vector, grpc_read_dense, grpc_read_match,
    grpc_read_time, grpc_read_search, grpc_read_index, grpc_read_doc_id;
/* grpc_out_shapes.c */
grpc_print_fn grpc_print_value, grpc_print_id, grpc_print_dense, grpc_print_vectors,
    grpc_print_vector, grpc_print_vectors_config, grpc_print_only_field, grpc_print_threads,
    grpc_print_index_params, grpc_print_optimizer, grpc_print_order, grpc_print_group_id,
    grpc_print_facet, grpc_print_batch_result, grpc_print_doc_id;

/* grpc_native.c: those of akidb.collection.v1 */
const struct shape *grpc_native_shape(message_type type);

#endif
