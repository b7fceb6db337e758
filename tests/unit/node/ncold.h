/* ncold.h - collections under S3Only over a fake cold set (tests/support/fake_cold.h): rows are
 * moved from the head into it when a test says so. Link fake_cold before node.
 *
 * Threads    one writes and folds; others may read meanwhile. */
#ifndef TESTS_UNIT_NODE_NCOLD_H
#define TESTS_UNIT_NODE_NCOLD_H

#include "node/cold_internal.h"
#include "tests/support/fake_cold.h"
#include "tests/unit/node/nworld.h"

/* A collection made as Memory is S3Only from now on, with an empty cold set. */
void ncold_begin(struct collection *c, struct fake_cold_ways *ways);
/* Everything in the head is the cold set's. Waits for readers. Nobody writes. */
void ncold_fold(struct collection *c, struct fake_cold_ways *ways);
/* Memory again, as far as closing it goes; nobody reads. */
void ncold_end(struct collection *c);
uint64_t ncold_rows(struct collection *c); /* in the set */

#endif
