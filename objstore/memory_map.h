/* memory_map.h - objects by key and uploads by id, in memory: what memory.c puts a lock around.
 *
 * Threads    the caller's lock. Failure  NULL or ST_NOMEM, with nothing changed. */
#ifndef OBJSTORE_MEMORY_MAP_H
#define OBJSTORE_MEMORY_MAP_H

#include "objstore/objstore.h"

struct memory_object { /* never changed once made */
    uint64_t modified_ns;
    char etag[OBJSTORE_ETAG_BYTES];
    size_t bytes;
    char *key; /* behind the data */
    uint8_t data[];
};
struct memory_upload {
    struct memory_upload *next;
    char id[32];
    size_t count, capacity;
    struct memory_part { /* numbers rising */
        uint32_t number;
        struct memory_object *object;
    } * parts;
    char key[];
};
struct memory_map {
    struct memory_object **objects; /* keys rising */
    size_t count, capacity;
    struct memory_upload *uploads;
    uint64_t upload_number; /* of the newest */
};

/* Room for `bytes`, to be filled; memory_object_free() or memory_map_put() takes it. */
struct memory_object *memory_object_make(const char *key, size_t bytes, uint64_t modified_ns);
void memory_object_free(struct memory_object *object);

void memory_map_fini(struct memory_map *map);
/* Of the first key that is not below `key`. */
size_t memory_map_find(const struct memory_map *map, const char *key);
struct memory_object *memory_map_get(const struct memory_map *map, const char *key);
/* Takes the object on ST_OK, and frees the one it replaces. */
NODISCARD
status memory_map_put(struct memory_map *map, struct memory_object *object);
void memory_map_remove(struct memory_map *map, const char *key);

struct memory_upload *memory_upload_begin(struct memory_map *map, const char *key);
struct memory_upload *memory_upload_get(const struct memory_map *map, const char *id,
                                        const char *key);
/* Takes the object on ST_OK; a part that is there already is replaced. */
NODISCARD
status memory_upload_put(struct memory_upload *upload, uint32_t number,
                         struct memory_object *object);
struct memory_object *memory_upload_part(const struct memory_upload *upload, uint32_t number);
void memory_upload_remove(struct memory_map *map, struct memory_upload *upload);

#endif
