/* handlers.h - the functions behind the routes, and what several of them print. All run on workers
 * unless the route says otherwise. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "api/api_internal.h"
#include "api/members.h"
#include "filter/filter.h"

enum {
    API_DOC_LIST_MAX = 1000,
    API_DOC_LIST_DEFAULT = 100,
    API_NAME_BYTES_MAX = 255,
};

/* handlers_node.c */
task_state handle_liveness(struct request *req); /* on the loop */
task_state handle_health(struct request *req);
task_state handle_ready(struct request *req);
task_state handle_readyz(struct request *req);
task_state handle_metrics(struct request *req);
task_state handle_status(struct request *req);
task_state handle_openapi(struct request *req);
/* handlers_admin.c */
task_state handle_admin_health(struct request *req);
task_state handle_readonly(struct request *req);
task_state handle_readwrite(struct request *req);
task_state handle_reload(struct request *req);
/* handlers_bucket.c */
task_state handle_snapshot(struct request *req);
task_state handle_compact(struct request *req);
task_state handle_tier(struct request *req);
task_state handle_tier_change(struct request *req);
task_state handle_warm(struct request *req);
task_state handle_unload(struct request *req);
task_state handle_take_ownership(struct request *req);
task_state handle_breaker_reset(struct request *req);
task_state handle_probe_store(struct request *req);

/* handlers_vacuum.c */
task_state handle_vacuum(struct request *req);
task_state handle_vacuum_shown(struct request *req);
task_state handle_aliases(struct request *req);
task_state handle_alias_set(struct request *req);
task_state handle_alias_remove(struct request *req);
/* handlers_dlq.c */
task_state handle_dlq(struct request *req);
task_state handle_letter(struct request *req);
task_state handle_letter_export(struct request *req);
task_state handle_dlq_retry(struct request *req);
task_state handle_dlq_replay(struct request *req);
task_state handle_dlq_split(struct request *req);
task_state handle_dlq_discard(struct request *req);
/* handlers_collections.c */
task_state handle_create(struct request *req);
task_state handle_collections(struct request *req);
task_state handle_collection(struct request *req);
task_state handle_patch(struct request *req);
task_state handle_drop(struct request *req);
/* handlers_write.c */
task_state handle_insert(struct request *req);
/* The end of what a write is answered; out has members already. 202: the bucket was asked for, and
 * the log on this machine is what was reached in time. */
void send_written(struct request *req, struct buf *out, const struct write_result *result);
/* handlers_delete.c */
task_state handle_delete_one(struct request *req);
task_state handle_delete_many(struct request *req);
/* handlers_read.c */
task_state handle_document(struct request *req);
task_state handle_documents(struct request *req);
/* `filter` of the query, the JSON text of one (NULL: none is sent, and *out stays); false when the
 * request has been answered. */
bool take_filter_parameter(struct request *req, const struct slice *text,
                           const struct filter **out);
/* handlers_import.c */
task_state handle_import(struct request *req);
task_state handle_imports(struct request *req);
/* handlers_export.c */
task_state handle_export(struct request *req);
/* handlers_query.c */
task_state handle_query(struct request *req);

/* Answers with the problem p holds. */
task_state fail_parse(struct request *req, const struct parse *p);

/* A write that failed: as reply_status(), and tells apart who does not own the collection and what
 * waits for the bucket. */
void fail_write(struct request *req, status st, const struct err *err);
/* What it would answer with. */
enum problem problem_of_write(struct request *req, status st);
/* What a failure is of something that needs the bucket itself. */
enum problem problem_of_bucket(struct request *req, status st);
/* As fail_write() for what needs the bucket itself. */
void fail_bucket(struct request *req, status st, const struct err *err);

/* `durability` and `if_lsn` of the query; false when the request has been answered. */
bool take_write_options(struct request *req, struct write_options *out);

/* Our form of a filter, bound to the request's collection, in the request's arena. */
bool parse_filter(struct request *req, struct parse *p, const char *member, struct jval v,
                  const struct filter **out);

/* A name of at most API_NAME_BYTES_MAX, copied into the arena. */
bool parse_name(struct arena *arena, struct parse *p, const char *member, struct jval v,
                const char **out);
/* handlers_collections.c: "Memory" or "MemoryS3". */
bool parse_policy(struct parse *p, struct jval v, enum node_policy *out);
bool parse_metric(struct parse *p, struct jval v, struct collection_spec *spec);
bool parse_graph(struct parse *p, struct jval v, struct collection_spec *spec);
/* 1 + enum vquantization. */
bool parse_quantization(struct parse *p, struct jval v, uint8_t *out);
/* vectors_spec.c: `vectors` of a new collection into spec's fields; those that do not say it have
 * the graph of spec. All other members of spec are read before. */
bool parse_vectors_spec(struct request *req, struct parse *p, struct jval v,
                        struct collection_spec *spec);
/* `vectors` of a PATCH: hnsw of single ones into patch, beside what it says for all. */
bool parse_vectors_patch(struct request *req, struct parse *p, struct jval v,
                         struct collection_patch *patch);
/* `,"vectors":{...}` of a collection that has others than one unnamed vector. */
void print_vectors_spec(struct buf *out, const struct collection *c);
/* `,"bucket":{...}` or `,"bucket":null`: what is said of a collection's side in the bucket. */
void print_bucket_state(struct buf *out, const struct collection_info *info);

/* `"name":`, with a comma in front unless it is the first. */
void print_key(struct buf *out, bool first, const char *name);
void print_text(struct buf *out, bool first, const char *name, const char *text);
void print_bool(struct buf *out, const char *name, bool v); /* never the first */
void print_u64(struct buf *out, bool first, const char *name, uint64_t v);
void print_time(struct buf *out, bool first, const char *name, uint64_t wall_ns);
/* As text, whatever it is, in a collection of string_ids. */
void print_doc_id(struct buf *out, const struct docid *id, bool string_ids);
/* null when empty */
void print_external_id(struct buf *out, struct slice external_id);
/* {} when empty */
void print_payload(struct buf *out, struct slice payload);

#endif
