/* Two images of a file's bytes, and the sectors in which they may differ. */
#include "tests/support/fs_sim_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { SIM_FILE_BYTES_MAX = 1 << 30 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t sectors(size_t bytes)
{
    return (bytes + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES;
}

/* `used` bytes are worth copying; what calloc() gives beyond is not touched. */
static void image_resize(struct sim_image *image, size_t bytes, size_t used)
{
    if (bytes > image->capacity) {
        size_t capacity = image->capacity;
        uint8_t *data;

        if (capacity == 0)
            capacity = SIM_SECTOR_BYTES;
        while (capacity < bytes)
            capacity *= 2;
        data = calloc(1, capacity);
        assert(data != NULL);
        if (image->bytes > 0)
            memcpy(data, image->data, least(image->bytes, used));
        free(image->data);
        image->data = data;
        image->capacity = capacity;
    }
    if (bytes < image->bytes && bytes < used)
        memset(image->data + bytes, 0, least(image->bytes, used) - bytes);
    image->bytes = bytes;
}

static void now_resize(struct sim_node *file, size_t bytes)
{
    size_t before = sectors(file->now.capacity);
    size_t after;

    image_resize(&file->now, bytes, file->touched);
    after = sectors(file->now.capacity);
    if (after == before)
        return;
    file->dirty = realloc(file->dirty, after * sizeof *file->dirty);
    assert(file->dirty != NULL);
    memset(file->dirty + before, 0, (after - before) * sizeof *file->dirty);
}

static void mark_dirty(struct sim_node *file, size_t from, size_t to)
{
    for (size_t s = from / SIM_SECTOR_BYTES; s < sectors(to); s++)
        file->dirty[s] = true;
}

uint64_t sim_used(const struct sim_tree *tree)
{
    uint64_t used = 0;

    for (const struct sim_node *node = tree->nodes; node != NULL; node = node->next)
        if (!node->is_dir && (node->links > 0 || node->handles > 0))
            used += node->now.bytes;
    return used;
}

/* How large the file may become at most, `wanted` if there is room. */
static uint64_t room(const struct sim_tree *tree, const struct sim_node *file, uint64_t wanted)
{
    uint64_t used;

    if (tree->space_max == 0 || wanted <= file->now.bytes)
        return wanted;
    used = sim_used(tree);
    if (used >= tree->space_max)
        return file->now.bytes;
    if (wanted - file->now.bytes <= tree->space_max - used)
        return wanted;
    return file->now.bytes + (tree->space_max - used);
}

int sim_write(struct sim_tree *tree, struct sim_node *file, const void *data, size_t bytes,
              uint64_t offset)
{
    uint64_t end = offset + bytes;
    uint64_t end_max;

    if (end < offset || end > SIM_FILE_BYTES_MAX)
        return EFBIG;
    end_max = room(tree, file, end);
    if (end_max < end)
        bytes = end_max > offset ? (size_t)(end_max - offset) : 0;
    if (bytes > 0) {
        if (offset + bytes > file->now.bytes)
            now_resize(file, (size_t)(offset + bytes));
        memcpy(file->now.data + offset, data, bytes);
        mark_dirty(file, (size_t)offset, (size_t)(offset + bytes));
        if (offset + bytes > file->touched)
            file->touched = (size_t)(offset + bytes);
    }
    return end_max < end ? ENOSPC : 0;
}

int sim_resize(struct sim_tree *tree, struct sim_node *file, uint64_t bytes)
{
    if (bytes > SIM_FILE_BYTES_MAX)
        return EFBIG;
    if (room(tree, file, bytes) < bytes)
        return ENOSPC;
    /* What is cut off and grown again later reads as zeros, which the disk does not know yet. */
    if (bytes < file->now.bytes)
        mark_dirty(file, (size_t)bytes, file->now.bytes);
    now_resize(file, (size_t)bytes);
    return 0;
}

static void sector_to_disk(struct sim_node *file, size_t sector)
{
    size_t from = sector * SIM_SECTOR_BYTES;
    size_t to = least(from + SIM_SECTOR_BYTES, least(file->disk.bytes, file->now.bytes));

    if (from < to)
        memcpy(file->disk.data + from, file->now.data + from, to - from);
}

static void clean(struct sim_node *file)
{
    if (file->dirty != NULL)
        memset(file->dirty, 0, sectors(file->now.capacity) * sizeof *file->dirty);
}

void sim_sync(struct sim_node *file)
{
    image_resize(&file->disk, file->now.bytes, file->touched);
    for (size_t s = 0; s < sectors(least(file->now.bytes, file->touched)); s++)
        if (file->dirty[s])
            sector_to_disk(file, s);
    clean(file);
}

/* The size is still to be written, the bytes never will be: a file that grew ends in zeros. */
void sim_sync_failed(struct sim_node *file)
{
    clean(file);
}

void sim_cut_file(struct sim_node *file, struct rand_source *rng, enum sim_keep keep,
                  bool keep_size)
{
    if (keep_size)
        image_resize(&file->disk, file->now.bytes, file->touched);
    for (size_t s = 0; s < sectors(least(file->now.bytes, file->touched)); s++)
        if (file->dirty[s] &&
            (keep == SIM_KEEP_ALL || (keep == SIM_KEEP_SOME && rand_below(rng, 2) == 1)))
            sector_to_disk(file, s);
    clean(file);
    now_resize(file, file->disk.bytes);
    if (file->disk.bytes > 0)
        memcpy(file->now.data, file->disk.data, least(file->disk.bytes, file->touched));
}
