/* fake_node.h - node/node.h in memory, for tests of the doors: what a node is asked for is kept in
 * plain arrays, answers come from a thread of its own as the real node's do, and a test can hold
 * them back, delay them or make them fail. Link it instead of node. */
#ifndef SUPPORT_FAKE_NODE_H
#define SUPPORT_FAKE_NODE_H

#include "node/bucket.h"

struct node *fake_node_create(void);
void fake_node_destroy(struct node *n);
/* While held, writes and catalog changes complete for nobody. */
void fake_node_hold(struct node *n, bool held);
/* Rows to insert are forgotten and never answered: what a door does until it hands them over can be
 * timed. */
void fake_node_forget(struct node *n);
/* The next write, or query, fails with st. */
void fake_node_fail_write(struct node *n, status st);
/* Where doors keep what they make of collections; borrowed. Without it there is no such place. */
void fake_node_set_exports(struct node *n, struct fs *fs, const char *dir);
/* The disk failed under the collection's log. */
void fake_node_stop_log(struct node *n, const char *name);
void fake_node_fail_query(struct node *n, status st);
/* Every query takes this long on its worker, and is estimated so. */
void fake_node_query_ms(struct node *n, uint32_t ms);
void fake_node_set_ready(struct node *n, bool ready);
void fake_node_set_degraded(struct node *n, const char *reason);
/* Pins that were not given back yet. */
int fake_node_pins(struct node *n);
/* Idempotency keys that were begun and not ended yet. */
int fake_node_keys_owed(struct node *n);
/* What a collection's info says of rows: live ones, pending, of those to be linked, linked. */
void fake_node_set_rows(struct node *n, const char *name, uint64_t documents, uint64_t pending,
                        uint64_t to_link, uint64_t linked);
/* Requests for it belong on a thread that may wait for the network; tasks that were moved there;
 * the next one is refused with st. */
void fake_node_set_waits(struct node *n, const char *name, bool waits);
unsigned fake_node_waited(struct node *n);
void fake_node_refuse_waits(struct node *n, status st);
/* Writes that were taken, and completions that have run. */
unsigned fake_node_writes(struct node *n);
unsigned fake_node_queries(struct node *n);

/* A bucket, and how it is: only what node_status() says of the bucket is looked at. */
void fake_node_set_bucket(struct node *n, const struct node_status *bucket);
/* The next call that needs the bucket fails with st. */
void fake_node_fail_bucket(struct node *n, status st);
/* Writes that follow reach "local" only although `remote` was wanted. */
void fake_node_short_of_remote(struct node *n, bool is_short);
void fake_node_set_phase(struct node *n, const char *name, const char *phase, bool switching);
/* Into the table, with the collection's id; returns the letter's. Of class "permanent": retrying it
 * fails again. */
uint64_t fake_node_add_letter(struct node *n, const char *name, struct letter letter);

#endif
