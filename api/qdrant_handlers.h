/* qdrant_handlers.h - the functions behind the routes of the compatible dialect (qdrant.c). */
#ifndef API_QDRANT_HANDLERS_H
#define API_QDRANT_HANDLERS_H

#include "api/qdrant.h"

/* qdrant_root.c */
task_state handle_qd_root(struct request *req); /* on the loop */
task_state handle_qd_telemetry(struct request *req);
task_state handle_qd_cluster(struct request *req);
/* qdrant_collections.c, qdrant_create.c, qdrant_info.c */
task_state handle_qd_collections(struct request *req);
task_state handle_qd_exists(struct request *req);
task_state handle_qd_create(struct request *req);
task_state handle_qd_info(struct request *req);
task_state handle_qd_patch(struct request *req);
task_state handle_qd_drop(struct request *req);
/* qdrant_aliases.c */
task_state handle_qd_aliases(struct request *req);
task_state handle_qd_collection_aliases(struct request *req);
task_state handle_qd_alias_change(struct request *req);
/* qdrant_index.c */
task_state handle_qd_index_create(struct request *req);
task_state handle_qd_index_drop(struct request *req);
/* qdrant_snapshots.c */
task_state handle_qd_snapshots(struct request *req);
task_state handle_qd_snapshot_create(struct request *req);
task_state handle_qd_snapshot(struct request *req);
task_state handle_qd_snapshot_drop(struct request *req);
/* qdrant_recover.c */
task_state handle_qd_recover(struct request *req);
task_state handle_qd_recover_upload(struct request *req);

/* qdrant_points*.c, qdrant_change*.c */
task_state handle_qd_upsert(struct request *req);
task_state handle_qd_retrieve(struct request *req);
task_state handle_qd_point(struct request *req);
task_state handle_qd_delete(struct request *req);
task_state handle_qd_set_payload(struct request *req);
task_state handle_qd_overwrite_payload(struct request *req);
task_state handle_qd_delete_payload(struct request *req);
task_state handle_qd_clear_payload(struct request *req);
task_state handle_qd_scroll(struct request *req);
task_state handle_qd_count(struct request *req);
task_state handle_qd_batch(struct request *req);
task_state handle_qd_update_vectors(struct request *req);
task_state handle_qd_delete_vectors(struct request *req);
task_state handle_qd_facet(struct request *req);

/* qdrant_query*.c */
task_state handle_qd_query(struct request *req);
task_state handle_qd_query_batch(struct request *req);
task_state handle_qd_query_groups(struct request *req);
task_state handle_qd_search(struct request *req);
task_state handle_qd_search_batch(struct request *req);
task_state handle_qd_matrix_pairs(struct request *req);
task_state handle_qd_matrix_offsets(struct request *req);

#endif
