/* objstore_conformance.h - one suite over every store behind objstore/objstore.h. What holds here
 * may be relied upon by everything above; what a store does differently stands in its subject.
 *
 * A subject opens handles on one bucket. Every test works below a prefix of its own drawn at
 * random, so a bucket that is not empty, or not emptied, is fine. */
#ifndef TESTS_CONFORMANCE_OBJSTORE_CONFORMANCE_H
#define TESTS_CONFORMANCE_OBJSTORE_CONFORMANCE_H

#include "objstore/objstore.h"

struct objstore_subject {
    const char *name;
    /* Another handle on the same bucket. */
    status (*open)(void *arg, struct objstore **out, struct err *err);
    void *arg;
    unsigned race_rounds; /* 0: 3 */
    /* What some servers cannot. */
    bool no_object_below_object; /* key "a" beside "a/b": MinIO refuses */
    bool no_long_parts;          /* a part of a key over 255 bytes */
    bool no_conditions;          /* answers 200 to a condition that does not hold */
    bool etag_not_content;       /* equal bytes may have another etag */
    bool suffix_unsound;         /* the first bytes for the last ones */
    bool slash_sorts_first;      /* listings go by folders: "a/b" before "a-b" */
    bool parts_unchecked;        /* a completion takes what parts there are: SeaweedFS */
};
/* Runs all of it as a group of cmocka; how many failed. */
int objstore_conformance_run(const struct objstore_subject *subject);

/* --- for the suite's own files --- */

enum { OC_KEYS = 16 };
struct oc {
    const struct objstore_subject *subject;
    struct objstore *s;
    char root[64];
    char keys[OC_KEYS][OBJSTORE_KEY_BYTES_MAX + 1];
    unsigned next_key;
};
/* "<root>/<name>", good until OC_KEYS more were made. */
const char *oc_key(struct oc *oc, const char *name);
struct objstore *oc_open(struct oc *oc);
/* Submits and waits; what it came to. Fails the test where no sound result comes. */
enum objstore_class oc_run(struct objstore *s, struct objstore_req *req);
/* The same, and the class must be this one; the result is freed unless kept by the caller. */
void oc_expect(struct oc *oc, struct objstore_req *req, enum objstore_class want);
void oc_expect_free(struct oc *oc, struct objstore_req req, enum objstore_class want);
/* etag NULL: not wanted. */
void oc_put(struct oc *oc, const char *key, struct slice body, char etag[OBJSTORE_ETAG_BYTES]);
void oc_expect_content(struct oc *oc, const char *key, struct slice want);
void oc_expect_absent(struct oc *oc, const char *key);
/* Bytes that differ along the way; mem_free(). */
uint8_t *oc_bytes(size_t bytes, uint64_t seed);

/* Many requests at once, waited for together. */
struct oc_batch {
    size_t count;
    struct objstore_req *reqs;
    struct oc_latch *latch;
};
void oc_batch_init(struct oc_batch *b, size_t count);
void oc_batch_submit(struct oc_batch *b, struct objstore *s, size_t at);
void oc_batch_wait(struct oc_batch *b); /* until all that were submitted are done, each once */
size_t oc_batch_done(struct oc_batch *b);
void oc_batch_fini(struct oc_batch *b);

struct CMUnitTest;
/* Of each file; returns how many were appended to out. */
size_t oc_objects(struct CMUnitTest *out);
size_t oc_conditions(struct CMUnitTest *out);
size_t oc_races(struct CMUnitTest *out);
size_t oc_lists(struct CMUnitTest *out);
size_t oc_uploads(struct CMUnitTest *out);
size_t oc_ends(struct CMUnitTest *out);

#endif
