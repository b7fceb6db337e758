/* gc_case.h - a small bucket with one collection, and the collector run over it, for the tests of
 * snapshot/collect.h. One at a time: `gc`.
 *
 * Threads    one. */
#ifndef TESTS_UNIT_SNAPSHOT_GC_CASE_H
#define TESTS_UNIT_SNAPSHOT_GC_CASE_H

#include "base/mem.h"
#include "snapshot/collect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { GC_KEYS_MAX = 64, GC_EFFECTS_MAX = 400, MS = 1000000, HOUR = 3600 * 1000 };
extern const uint8_t GC_ID[16];
extern const uint64_t GC_NOON_NS;

struct gc_case {
    struct root root;
    char keys[GC_KEYS_MAX][OBJKEY_BYTES];
    uint64_t modified_ns[GC_KEYS_MAX];
    size_t count;
    struct manifest manifests[8];
    struct pin pins[4];
    size_t manifest_count, pin_count;
    uint64_t now_ms, date_ns;
    size_t page; /* names in an answer */
    enum collect_effect_kind asked[GC_EFFECTS_MAX];
    size_t asked_count;
    /* what goes wrong: so many answers to such an effect, or a change before it */
    enum collect_effect_kind fault_kind;
    enum objstore_class fault;
    uint32_t faults;
    bool taken_before_delete;
    struct collect c;
    struct collect_effect last;
};
extern struct gc_case gc;

/* An owned root at epoch 3, and nothing else; one version is kept, nothing by age. */
int gc_setup(void **state);
int gc_teardown(void **state);
#define GC_TRIAL(f) cmocka_unit_test_setup_teardown(f, gc_setup, gc_teardown)

/* What is in the bucket. Objects are named by small numbers. */
void gc_name(uint64_t n, uint8_t uuid[16]);
void gc_has(const char *key, uint64_t modified_ns);
void gc_group(uint64_t epoch, uint64_t seq);
void gc_data(uint64_t n);
/* With one segment, and the log from (epoch, seq) on. */
struct manifest *gc_manifest(uint64_t revision, uint64_t parent, uint64_t n, uint64_t segment,
                             struct log_floor floor, uint64_t modified_ns);
/* It names a cold segment, and dead rows of it (0: none). */
void gc_cold(struct manifest *m, uint64_t n, uint64_t dead);
void gc_root_names(uint64_t revision, uint64_t n, struct log_floor floor);
void gc_pin(uint64_t n, uint64_t revision, uint64_t manifest_name, uint64_t epoch, uint64_t seq);
struct log_floor gc_at(uint64_t epoch, uint64_t seq);
/* Two bases: the second moved the floor from 1/1 to 2/3 and replaced segment 21 by 22. */
void gc_two_versions(void);

bool gc_there(const char *key);
bool gc_group_there(uint64_t epoch, uint64_t seq);
bool gc_data_there(uint64_t n);
bool gc_manifest_there(uint64_t revision, uint64_t n);

/* A whole run: what it came to. */
enum objstore_class gc_run(void);
void gc_answer(void); /* the effect under way */
size_t gc_asked(enum collect_effect_kind kind);

#endif
