#include "objstore/memory_map.h"

#include "base/mem.h"

#include <stdio.h>

struct memory_object *memory_object_make(const char *key, size_t bytes, uint64_t modified_ns)
{
    size_t key_bytes = strlen(key) + 1;
    struct memory_object *object = mem_alloc(sizeof *object + bytes + key_bytes);

    if (object == NULL)
        return NULL;
    object->modified_ns = modified_ns;
    object->etag[0] = '\0';
    object->bytes = bytes;
    object->key = (char *)object->data + bytes;
    memcpy(object->key, key, key_bytes);
    return object;
}

void memory_object_free(struct memory_object *object)
{
    mem_free(object);
}

void memory_map_fini(struct memory_map *map)
{
    while (map->uploads != NULL)
        memory_upload_remove(map, map->uploads);
    for (size_t i = 0; i < map->count; i++)
        memory_object_free(map->objects[i]);
    mem_free(map->objects);
    memset(map, 0, sizeof *map);
}

size_t memory_map_find(const struct memory_map *map, const char *key)
{
    size_t low = 0;
    size_t high = map->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(map->objects[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct memory_object *memory_map_get(const struct memory_map *map, const char *key)
{
    size_t at = memory_map_find(map, key);

    return at < map->count && strcmp(map->objects[at]->key, key) == 0 ? map->objects[at] : NULL;
}

static bool grow(void **array, size_t count, size_t *capacity, size_t size)
{
    size_t more = *capacity < 16 ? 16 : *capacity * 2;
    size_t bytes;
    void *moved;

    if (count < *capacity)
        return true;
    if (!size_mul(more, size, &bytes))
        return false;
    moved = mem_resize(*array, bytes);
    if (moved == NULL)
        return false;
    *array = moved;
    *capacity = more;
    return true;
}

status memory_map_put(struct memory_map *map, struct memory_object *object)
{
    size_t at = memory_map_find(map, object->key);
    void *array = map->objects;

    if (at < map->count && strcmp(map->objects[at]->key, object->key) == 0) {
        memory_object_free(map->objects[at]);
        map->objects[at] = object;
        return ST_OK;
    }
    if (!grow(&array, map->count, &map->capacity, sizeof(struct memory_object *)))
        return ST_NOMEM;
    map->objects = array;
    memmove(map->objects + at + 1, map->objects + at,
            (map->count - at) * sizeof(struct memory_object *));
    map->objects[at] = object;
    map->count++;
    return ST_OK;
}

void memory_map_remove(struct memory_map *map, const char *key)
{
    size_t at = memory_map_find(map, key);

    if (at == map->count || strcmp(map->objects[at]->key, key) != 0)
        return;
    memory_object_free(map->objects[at]);
    map->count--;
    memmove(map->objects + at, map->objects + at + 1,
            (map->count - at) * sizeof(struct memory_object *));
}

struct memory_upload *memory_upload_begin(struct memory_map *map, const char *key)
{
    size_t key_bytes = strlen(key) + 1;
    struct memory_upload *upload = mem_zero(sizeof *upload + key_bytes);

    if (upload == NULL)
        return NULL;
    memcpy(upload->key, key, key_bytes);
    (void)snprintf(upload->id, sizeof upload->id, "upload-%llu",
                   (unsigned long long)++map->upload_number);
    upload->next = map->uploads;
    map->uploads = upload;
    return upload;
}

struct memory_upload *memory_upload_get(const struct memory_map *map, const char *id,
                                        const char *key)
{
    for (struct memory_upload *at = map->uploads; at != NULL; at = at->next)
        if (strcmp(at->id, id) == 0 && strcmp(at->key, key) == 0)
            return at;
    return NULL;
}

static size_t part_find(const struct memory_upload *upload, uint32_t number)
{
    size_t at = upload->count;

    while (at > 0 && upload->parts[at - 1].number >= number)
        at--;
    return at;
}

status memory_upload_put(struct memory_upload *upload, uint32_t number,
                         struct memory_object *object)
{
    size_t at = part_find(upload, number);
    void *array = upload->parts;

    if (at < upload->count && upload->parts[at].number == number) {
        memory_object_free(upload->parts[at].object);
        upload->parts[at].object = object;
        return ST_OK;
    }
    if (!grow(&array, upload->count, &upload->capacity, sizeof upload->parts[0]))
        return ST_NOMEM;
    upload->parts = array;
    memmove(upload->parts + at + 1, upload->parts + at,
            (upload->count - at) * sizeof upload->parts[0]);
    upload->parts[at] = (struct memory_part){number, object};
    upload->count++;
    return ST_OK;
}

struct memory_object *memory_upload_part(const struct memory_upload *upload, uint32_t number)
{
    size_t at = part_find(upload, number);

    return at < upload->count && upload->parts[at].number == number ? upload->parts[at].object
                                                                    : NULL;
}

void memory_upload_remove(struct memory_map *map, struct memory_upload *upload)
{
    struct memory_upload **at = &map->uploads;

    while (*at != upload)
        at = &(*at)->next;
    *at = upload->next;
    for (size_t i = 0; i < upload->count; i++)
        memory_object_free(upload->parts[i].object);
    mem_free(upload->parts);
    mem_free(upload);
}
