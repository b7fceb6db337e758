/* faults_internal.h - what faults.c and faults_plan.c share. */
#ifndef OBJSTORE_FAULTS_INTERNAL_H
#define OBJSTORE_FAULTS_INTERNAL_H

#include "base/lock.h"
#include "objstore/faults.h"

struct plan {
    struct objstore_fault fault; /* its texts point into the arrays below */
    char key_prefix[OBJSTORE_KEY_BYTES_MAX + 1];
    char key_part[128];
    char s3_code[64];
    bool active;
    uint64_t seen, met;
};

struct faults {
    struct objstore store;
    struct objstore *inner; /* owned */
    struct rand_seeded rng;
    struct thread thread;
    _Atomic int profile; /* enum objstore_profile */
    _Atomic uint64_t late_effects;
    struct {                          /* guarded by lock */
        struct lock lock;             /* LOCK_RANK_OBJSTORE */
        struct cond woken;            /* something came to `waiting`, or is due earlier */
        struct objstore_req *waiting; /* by next; due at their slot's at_ns */
        struct plan plans[OBJSTORE_FAULTS_MAX];
        unsigned plan_count;
        bool stopping;
    } shared;
};

struct faults *faults_of(struct objstore *s);

/* The fault that meets this request, copied; false: none. Texts of the copy live as long as the
 * store: a plan's place is used again only by the next fault, with the same or another text. */
bool faults_match_locked(struct faults *f, const struct objstore_req *req, struct plan *out);

/* Of a request and all it points to; the caller frees it with faults_copy_free(). NULL: memory. */
struct objstore_req *faults_copy(const struct objstore_req *req);
void faults_copy_free(struct objstore_req *copy);

#endif
