/* mem.h - allocation with checked sizes, a failure hook for tests, and budgets.
 *
 * Everything on the heap comes from here, so that a test can make each allocation fail in turn.
 * Sizes are products more often than not: mem_alloc_array() and size_mul() check them.
 *
 * Threads    any. mem_test_fail_after() is for one-threaded tests.
 * Ownership  who allocates frees, with mem_free(); NULL is fine. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/status.h"

/* Return NULL when memory is out (or the test hook says so); contents are zero for _zero, else
 * undefined. A size of 0 gives a pointer that may be freed. */
NODISCARD
void *mem_alloc(size_t bytes);
NODISCARD
void *mem_zero(size_t bytes);
NODISCARD
void *mem_alloc_array(size_t count, size_t size);
NODISCARD
void *mem_zero_array(size_t count, size_t size);
/* `align` a power of two, at least sizeof(void *). Freed with mem_free(). */
NODISCARD
void *mem_aligned(size_t align, size_t bytes);
NODISCARD
void *mem_resize(void *old, size_t bytes);
NODISCARD
char *mem_strdup(const char *text);
NODISCARD
char *mem_strndup(const char *text, size_t bytes);
void mem_free(void *memory);

enum { MEM_HUGE_PAGE_BYTES = 2 * 1024 * 1024 };
/* Whole pages from the kernel, zeroed, not counted against RSS until touched; `huge` asks for
 * transparent huge pages, and begins at a multiple of their size. bytes is rounded up to pages.
 * NULL when refused. */
NODISCARD
void *mem_map(size_t bytes, bool huge);
void mem_unmap(void *memory, size_t bytes);

/* False on overflow; *out is then unchanged. */
NODISCARD
bool size_mul(size_t a, size_t b, size_t *out);
NODISCARD
bool size_add(size_t a, size_t b, size_t *out);

/* Tests: the n-th allocation from now (0 = the next) fails, once; a negative n turns the hook off.
 * mem_test_count() is how many allocations were asked for since the last call of fail_after. */
void mem_test_fail_after(int64_t n);
int64_t mem_test_count(void);

/* A budget in bytes that is reserved against before anything is allocated for data that grows with
 * what users store. Budgets nest: a collection's budget draws on the node's. */
struct mem_budget {
    struct mem_budget *parent; /* borrowed, NULL at the top */
    uint64_t bytes_max;        /* 0: no limit of its own */
    _Atomic uint64_t bytes;    /* reserved now, own and children's */
};
void mem_budget_init(struct mem_budget *budget, struct mem_budget *parent, uint64_t bytes_max);
/* All or nothing over the whole chain. ST_NOSPACE says which limit and how much is in use. */
NODISCARD
status mem_reserve(struct mem_budget *budget, uint64_t bytes, struct err *err);
/* Counts bytes without asking, beyond the limit too: for what reading needs, which is bounded by
 * what was reserved already. Reservations are then refused the earlier. */
void mem_overdraw(struct mem_budget *budget, uint64_t bytes);
void mem_release(struct mem_budget *budget, uint64_t bytes);
uint64_t mem_budget_bytes(const struct mem_budget *budget);

#endif
