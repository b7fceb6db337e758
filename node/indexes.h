/* indexes.h - definitions of payload indexes as settings of a collection; of indexes.c.
 *
 * Threads    any.
 * Ownership  what is read lives in the arena. */
#ifndef NODE_INDEXES_H
#define NODE_INDEXES_H

#include "node/node_internal.h"
#include "node/points.h"

#define INDEX_SETTING_PREFIX "index:"
enum {
    INDEX_LINE_BYTES_MAX = 128, /* in front of the schema */
    INDEX_DEFINITIONS_BYTES_MAX = 8 * 1024 * 1024,
};

struct index_definition {
    struct pindex_spec spec;
    struct slice schema;
    const struct setting_text *setting;
};
/* Those that make sense; the others are logged. */
NODISCARD
status index_definitions(struct collection *c, struct arena *arena, struct index_definition **out,
                         size_t *count, struct err *err);
/* The one on the path, whatever its spelling, or NULL. */
const struct index_definition *index_definition_of(const struct index_definition *items,
                                                   size_t count, const struct path *path);

#endif
