/* options.h - from a configuration to a store and to a node's options: what serve, restore and
 * verify share. Texts are borrowed from the configuration. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "config/config.h"
#include "node/node.h"
#include "objstore/objstore.h"

/* The bucket of [storage]; *out is NULL where none is configured. */
NODISCARD
status cli_open_store(const struct config *c, struct stats *stats, struct objstore **out,
                      struct err *err);
/* Everything the configuration says; stats, exec, store and reload are the caller's to set. */
NODISCARD
status cli_node_options(const struct config *c, struct node_options *out, struct err *err);

#endif
