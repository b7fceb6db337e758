#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>
#include <string.h>

enum { ARENA_BLOCK_BYTES = 16 * 1024, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t capacity;
    alignas(16) uint8_t data[];
};

void arena_init(struct arena *a, size_t bytes_max)
{
    *a = (struct arena){.bytes_max = bytes_max};
}

static void free_blocks(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;

        mem_free(block);
        block = next;
    }
}

void arena_free(struct arena *a)
{
    free_blocks(a->blocks);
    *a = (struct arena){.bytes_max = a->bytes_max};
}

/* The newest block is first in the list; the oldest, of the usual size, is the one kept. */
void arena_reset(struct arena *a)
{
    struct arena_block *last = a->blocks;

    while (last != NULL && last->next != NULL) {
        struct arena_block *next = last->next;

        a->bytes -= sizeof *last + last->capacity;
        mem_free(last);
        last = next;
    }
    a->blocks = last;
    a->full = false;
    if (last != NULL)
        last->used = 0;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    struct arena_block *block = a->blocks;
    size_t rounded;
    size_t capacity;
    size_t total;

    if (!size_add(bytes, ARENA_ALIGN - 1, &rounded))
        return NULL;
    rounded = rounded / ARENA_ALIGN * ARENA_ALIGN;
    if (block != NULL && block->capacity - block->used >= rounded) {
        void *memory = block->data + block->used;

        block->used += rounded;
        return memory;
    }
    capacity = rounded > ARENA_BLOCK_BYTES ? rounded : ARENA_BLOCK_BYTES;
    if (!size_add(capacity, sizeof *block, &total) || total > a->bytes_max ||
        a->bytes > a->bytes_max - total) {
        a->full = true;
        return NULL;
    }
    block = mem_aligned(ARENA_ALIGN, total);
    if (block == NULL)
        return NULL;
    block->capacity = capacity;
    block->used = rounded;
    block->next = a->blocks;
    a->blocks = block;
    a->bytes += total;
    return block->data;
}

void *arena_zero(struct arena *a, size_t bytes)
{
    void *memory = arena_alloc(a, bytes);

    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t bytes;

    return size_mul(count, size, &bytes) ? arena_alloc(a, bytes) : NULL;
}

char *arena_strndup(struct arena *a, const char *text, size_t bytes)
{
    char *copy = arena_alloc(a, bytes + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return copy;
}
