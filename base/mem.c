#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The failure hook counts down; below zero it is off. The total is for tests that sweep. */
static _Atomic int64_t fail_after = -1;
static _Atomic int64_t asked;

static bool hook_says_fail(void)
{
    atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
        return false;
    return atomic_fetch_sub_explicit(&fail_after, 1, memory_order_relaxed) == 0;
}

void mem_test_fail_after(int64_t n)
{
    atomic_store(&asked, 0);
    atomic_store(&fail_after, n < 0 ? -1 : n);
}

int64_t mem_test_count(void)
{
    return atomic_load(&asked);
}

void *mem_alloc(size_t bytes)
{
    return hook_says_fail() ? NULL : malloc(bytes == 0 ? 1 : bytes);
}

void *mem_zero(size_t bytes)
{
    return hook_says_fail() ? NULL : calloc(1, bytes == 0 ? 1 : bytes);
}

void *mem_alloc_array(size_t count, size_t size)
{
    size_t bytes;

    return size_mul(count, size, &bytes) ? mem_alloc(bytes) : NULL;
}

void *mem_zero_array(size_t count, size_t size)
{
    size_t bytes;

    return size_mul(count, size, &bytes) ? mem_zero(bytes) : NULL;
}

void *mem_aligned(size_t align, size_t bytes)
{
    void *memory = NULL;

    if (hook_says_fail() || posix_memalign(&memory, align, bytes == 0 ? 1 : bytes) != 0)
        return NULL;
    return memory;
}

void *mem_resize(void *old, size_t bytes)
{
    return hook_says_fail() ? NULL : realloc(old, bytes == 0 ? 1 : bytes);
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

char *mem_strndup(const char *text, size_t bytes)
{
    char *copy = mem_alloc(bytes + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return copy;
}

void mem_free(void *memory)
{
    free(memory);
}

static size_t whole_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (bytes + page - 1) / page * page;
}

/* Huge pages lie on whole multiples of their size: what is mapped around such a run is given back.
 */
static void *map_aligned(size_t bytes, size_t align)
{
    size_t room;
    uint8_t *memory, *from;

    if (!size_add(bytes, align, &room))
        return MAP_FAILED;
    memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0);
    if (memory == MAP_FAILED)
        return MAP_FAILED;
    from = memory + (align - (uintptr_t)memory % align) % align;
    if (from > memory)
        (void)munmap(memory, (size_t)(from - memory));
    (void)munmap(from + bytes, (size_t)(memory + room - (from + bytes)));
    return from;
}

void *mem_map(size_t bytes, bool huge)
{
    size_t whole = whole_pages(bytes);
    void *memory;

    if (hook_says_fail() || whole < bytes)
        return NULL;
    if (huge)
        memory = map_aligned(whole, MEM_HUGE_PAGE_BYTES);
    else
        memory = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (huge)
        (void)madvise(memory, whole, MADV_HUGEPAGE); /* advice; refused is fine */
    return memory;
}

void mem_unmap(void *memory, size_t bytes)
{
    if (memory != NULL)
        (void)munmap(memory, whole_pages(bytes));
}

bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

bool size_add(size_t a, size_t b, size_t *out)
{
    size_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

void mem_budget_init(struct mem_budget *budget, struct mem_budget *parent, uint64_t bytes_max)
{
    budget->parent = parent;
    budget->bytes_max = bytes_max;
    atomic_init(&budget->bytes, 0);
}

/* A refused reservation never shows in `bytes`: an add that is taken back would make others, who
 * fit, be refused meanwhile. */
static bool reserve_one(struct mem_budget *b, uint64_t bytes, uint64_t *in_use)
{
    uint64_t bytes_max = b->bytes_max == 0 ? UINT64_MAX : b->bytes_max;

    *in_use = atomic_load_explicit(&b->bytes, memory_order_relaxed);
    do {
        if (bytes > bytes_max || *in_use > bytes_max - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->bytes, in_use, *in_use + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void release_below(struct mem_budget *budget, const struct mem_budget *end, uint64_t bytes)
{
    for (struct mem_budget *b = budget; b != end; b = b->parent) {
        uint64_t before = atomic_fetch_sub_explicit(&b->bytes, bytes, memory_order_relaxed);

        assert(before >= bytes);
        (void)before;
    }
}

status mem_reserve(struct mem_budget *budget, uint64_t bytes, struct err *err)
{
    for (struct mem_budget *b = budget; b != NULL; b = b->parent) {
        uint64_t in_use;

        if (reserve_one(b, bytes, &in_use))
            continue;
        release_below(budget, b, bytes);
        return err_set(err, ST_NOSPACE,
                       "memory budget is full: %" PRIu64 " bytes in use of %" PRIu64 ", %" PRIu64
                       " more asked; raise [limits] memory_bytes or delete documents",
                       in_use, b->bytes_max, bytes);
    }
    return ST_OK;
}

void mem_overdraw(struct mem_budget *budget, uint64_t bytes)
{
    for (struct mem_budget *b = budget; b != NULL; b = b->parent)
        atomic_fetch_add_explicit(&b->bytes, bytes, memory_order_relaxed);
}

void mem_release(struct mem_budget *budget, uint64_t bytes)
{
    release_below(budget, NULL, bytes);
}

uint64_t mem_budget_bytes(const struct mem_budget *budget)
{
    return atomic_load_explicit(&budget->bytes, memory_order_relaxed);
}
