/* collect_internal.h - what the two files of the collector share. collect.c goes from step to step,
 * collect_plan.c knows what is alive. */
#ifndef SNAPSHOT_COLLECT_INTERNAL_H
#define SNAPSHOT_COLLECT_INTERNAL_H

#include "snapshot/collect.h"

bool collect_twin(const struct collect *c, enum collect_twin twin);
/* Milliseconds from then to now by the store's clock; false where it told one of them not. */
bool collect_age_ms(uint64_t now_ns, uint64_t then_ns, uint64_t *age_ms);

/* collect_plan.c. Memory that runs out sets out_of_memory and changes nothing else. */
void plan_reset(struct collect *c);
void plan_root(struct collect *c, const struct root *root);
void plan_manifest_listed(struct collect *c, const struct objstore_entry *entry);
/* All are listed: the way back from the root's manifest begins. False: that one is not there. */
bool plan_manifests_begin(struct collect *c, uint64_t now_ns);
/* The next one to read, of those that are kept or (`pinned`) pinned; false: none is left, and
 * mark is what it has to be. */
bool plan_manifest_next(struct collect *c, bool pinned);
void plan_pin_listed(struct collect *c, const struct objstore_entry *entry);
void plan_pin_read(struct collect *c, struct collect_pin *at, const struct pin *pin);
void plan_manifest_read(struct collect *c, struct collect_manifest *at,
                        const struct manifest *body);
/* Everything that keeps is known. */
void plan_settle(struct collect *c);
/* One name that is there: into the plan, or not. */
void plan_judge(struct collect *c, const struct objstore_entry *entry, uint64_t now_ns);

#endif
