/* nchange.h - conditional and partial writes as calls that wait, and documents as one line of text.
 * Threads: as nworld.h. */
#ifndef TESTS_UNIT_NODE_NCHANGE_H
#define TESTS_UNIT_NODE_NCHANGE_H

#include "node/change.h"
#include "tests/unit/node/nworld.h"

/* Texts become payloads and paths here; they die with nchange_free(). One thread. */
void nchange_init(void);
void nchange_free(void);
struct slice njson(const char *text);
const struct path *npath(const char *text);
/* key: value of a payload is this text. */
struct filter *nfilter(const char *key, const char *value);
struct filter *nfilter_not(struct filter *f);

/* The waiting twins. */
status nwrite_with(struct collection *c, struct write_row *rows, size_t count,
                   const struct write_options *options, struct write_result *result,
                   struct err *err);
status ndelete_with(struct collection *c, const struct selector *which,
                    const struct write_options *options, struct write_result *result,
                    struct err *err);
status nchange(struct collection *c, const struct selector *which, const struct change *change,
               const struct write_options *options, struct write_result *result, struct err *err);
/* An upsert of a u64 id, its vector as nvector(id, version, ..). */
status nput_json(struct collection *c, uint64_t id, const char *json, struct write_result *result);
/* Payload as JSON; "" if it is not there. lsn may be NULL. Valid until the next call. */
const char *njson_of(struct collection *c, uint64_t id, uint64_t *lsn);
/* Merges a payload into one document. */
status nmerge(struct collection *c, uint64_t id, const char *json, struct write_result *result,
              struct err *err);

#endif
