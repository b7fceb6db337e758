/* qdrant_config.h - the body a collection was created with, kept with it as a setting, so that what
 * a program asks of a collection has the shape it gave it.
 *
 * Threads    any.
 * Ownership  results live in the request's arena, or in the caller's buf. */
#ifndef API_QDRANT_CONFIG_H
#define API_QDRANT_CONFIG_H

#include "api/qdrant.h"

#define QD_SETTING "qdrant"

/* Any JSON value as text, appended to out. */
void qd_put_json(struct buf *out, struct jval v);
/* The collection's setting as an object; {} for one that was not made by this dialect. It lives
 * until this worker parses again. Answers and returns false on a problem. */
bool qd_stored(struct request *req, struct jval *root);
/* And its text, in the arena; empty: there is none. */
bool qd_stored_text(struct request *req, struct jval *root, struct slice *stored);
/* `"config":{...}`, from what is stored and what node says. */
void qd_print_config(struct buf *out, const struct collection *c, struct jval stored);
/* The body the request's collection, of which this is stored, would be made anew with: what is
 * stored, and the graphs it has now where that says otherwise. False: out of memory. */
bool qd_print_create(struct buf *out, struct request *req, struct jval stored);

/* What a create body asks for. Everything in it is checked; the text to store goes to *stored. */
struct qd_create {
    struct collection_spec spec;
    struct field_info *fields;
    struct slice stored;
};
bool qd_parse_create(struct qd_parse *p, struct request *req, struct jval body,
                     struct qd_create *out);
/* A `field_schema`, into all of *out but its path, and as text. qdrant_index.c */
bool qd_parse_schema(struct qd_parse *p, struct request *req, struct jval v,
                     struct pindex_spec *out, struct slice *schema);
/* "memory", "memory_s3", "s3_only" of metadata.tier; *out stays 0 where there is none. */
bool qd_parse_tier(struct qd_parse *p, struct jval body, enum node_policy *out);
/* A name a collection or an alias may have: 422 otherwise. */
bool qd_check_name(struct qd_parse *p, const char *member, struct slice name);
/* hnsw_config of body, whose members' types are checked: m, ef_construction and threshold go to
 * field, those that are not given stay. */
bool qd_parse_hnsw(struct qd_parse *p, struct jval body, struct field_info *field);
/* quantization_config of body as the quantization that means the same; one that is not given, and
 * one no index has, stays or is scalar. */
bool qd_parse_quantization(struct qd_parse *p, struct jval body, struct field_info *field);
/* Whether its one vector was created without a name: as a list in records, as one object in the
 * collection's info. */
bool qd_is_unnamed(const struct collection *c, struct jval stored);

#endif
