#include "index/planes.h"

#include <inttypes.h>
#include <string.h>

enum { TABLE_ROOM_FIRST = 20 };

void plane_init(struct plane *plane, size_t row_bytes)
{
    memset(plane, 0, sizeof(*plane));
    plane->row_bytes = row_bytes;
    while (plane->first_shift < 10 && (row_bytes << (plane->first_shift + 1)) <= PLANE_FIRST_BYTES)
        plane->first_shift++;
    atomic_init(&plane->table, NULL);
}

static uint32_t piece_start(const struct plane *plane, uint32_t piece)
{
    uint32_t doubling = PLANE_CHUNK_SHIFT - plane->first_shift;

    if (piece == 0)
        return 0;
    if (piece <= doubling)
        return 1u << (plane->first_shift + piece - 1);
    return (piece - doubling) << PLANE_CHUNK_SHIFT;
}

static size_t piece_bytes(const struct plane *plane, uint32_t piece)
{
    uint32_t start = piece_start(plane, piece);

    return (size_t)plane_run(plane, start) * plane->row_bytes;
}

static void *piece_alloc(size_t bytes)
{
    void *memory;

    if (bytes >= PLANE_MAP_BYTES_MIN)
        return mem_map(bytes, bytes >= PLANE_HUGE_BYTES_MIN);
    memory = mem_aligned(64, bytes);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

static void piece_free(void *memory, size_t bytes)
{
    if (bytes >= PLANE_MAP_BYTES_MIN)
        mem_unmap(memory, bytes);
    else
        mem_free(memory);
}

void plane_fini(struct plane *plane)
{
    struct plane_table *table = atomic_load_explicit(&plane->table, memory_order_relaxed);

    for (uint32_t i = 0; i < plane->pieces; i++) {
        uintptr_t base = atomic_load_explicit(&table->base[i], memory_order_relaxed);

        piece_free((void *)(base + piece_start(plane, i) * plane->row_bytes),
                   piece_bytes(plane, i));
    }
    while (table != NULL) {
        struct plane_table *older = table->older;

        mem_free(table);
        table = older;
    }
    plane->pieces = 0;
    atomic_store_explicit(&plane->table, NULL, memory_order_relaxed);
}

static status table_grow(struct plane *plane, struct err *err)
{
    struct plane_table *old = atomic_load_explicit(&plane->table, memory_order_relaxed);
    uint32_t room = old == NULL ? TABLE_ROOM_FIRST : old->room * 2;
    struct plane_table *table;

    table = mem_zero(sizeof(*table) + room * sizeof(table->base[0]));
    if (table == NULL)
        return err_set(err, ST_NOMEM, "no memory for a table of %" PRIu32 " pieces", room);
    table->older = old;
    table->room = room;
    for (uint32_t i = 0; i < plane->pieces; i++)
        atomic_init(&table->base[i], atomic_load_explicit(&old->base[i], memory_order_relaxed));
    atomic_store_explicit(&plane->table, table, memory_order_release);
    return ST_OK;
}

static status piece_add(struct plane *plane, struct err *err)
{
    struct plane_table *table = atomic_load_explicit(&plane->table, memory_order_relaxed);
    uint32_t piece = plane->pieces;
    size_t bytes = piece_bytes(plane, piece);
    void *memory;
    status st;

    if (table == NULL || piece == table->room) {
        st = table_grow(plane, err);
        if (st != ST_OK)
            return st;
        table = atomic_load_explicit(&plane->table, memory_order_relaxed);
    }
    memory = piece_alloc(bytes);
    if (memory == NULL)
        return err_set(err, ST_NOMEM, "no memory for %zu bytes of rows", bytes);
    atomic_store_explicit(&table->base[piece],
                          (uintptr_t)memory - piece_start(plane, piece) * plane->row_bytes,
                          memory_order_release);
    plane->pieces++;
    return ST_OK;
}

status plane_grow(struct plane *plane, uint32_t rows, struct err *err)
{
    while (rows > 0 && plane->pieces <= plane_piece(plane, rows - 1)) {
        status st = piece_add(plane, err);

        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
