/* Small documents, by cJSON. The text is first held against the same grammar as request bodies
 * (json_fault.c), as cJSON alone takes invalid UTF-8, control characters and numbers beyond a
 * double. */
#include "base/json_internal.h"

#include "base/json.h"
#include "base/mem.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdlib.h>

struct json_small {
    cJSON *root;
};

/* cJSON does not say whether it failed for want of memory; our hook notes it. */
static _Thread_local bool memory_was_out;

static void *alloc_for_cjson(size_t bytes)
{
    void *memory = mem_alloc(bytes);

    memory_was_out |= memory == NULL;
    return memory;
}

/* cJSON's hooks are global to the process: set once, before its first use. */
static void use_our_memory(void)
{
    cJSON_Hooks hooks = {.malloc_fn = alloc_for_cjson, .free_fn = mem_free};

    cJSON_InitHooks(&hooks);
}

status json_small_parse(struct slice text, struct json_small **out, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct json_fault fault;
    struct json_small *j;

    if (text.bytes > JSON_SMALL_BYTES_MAX)
        return err_set(err, ST_INVALID, "a JSON document of %zu bytes is over %d", text.bytes,
                       JSON_SMALL_BYTES_MAX);
    if (json_fault_find(text.data, text.bytes, &fault))
        return err_set(err, ST_INVALID, "malformed JSON at byte %zu: %s", fault.offset, fault.what);
    (void)pthread_once(&once, use_our_memory);
    j = mem_zero(sizeof *j);
    if (j == NULL)
        return err_set(err, ST_NOMEM, "out of memory for a JSON document");
    memory_was_out = false;
    j->root = cJSON_ParseWithLength((const char *)text.data, text.bytes);
    if (j->root != NULL) {
        *out = j;
        return ST_OK;
    }
    mem_free(j);
    if (memory_was_out)
        return err_set(err, ST_NOMEM, "out of memory for a JSON document");
    return err_set(err, ST_INVALID, "a JSON document that cJSON does not take");
}

void json_small_free(struct json_small *j)
{
    if (j == NULL)
        return;
    cJSON_Delete(j->root);
    mem_free(j);
}

static const cJSON *element_of(const cJSON *array, const char *step, size_t bytes)
{
    char *end;
    unsigned long index;

    if (step[0] < '0' || step[0] > '9')
        return NULL;
    index = strtoul(step, &end, 10);
    if (end != step + bytes || index > JSON_SMALL_BYTES_MAX)
        return NULL;
    return cJSON_GetArrayItem(array, (int)index);
}

static const cJSON *member_of(const cJSON *object, const char *step, size_t bytes)
{
    const cJSON *found = NULL;
    const cJSON *child;

    cJSON_ArrayForEach(child, object)
    {
        if (strlen(child->string) == bytes && memcmp(child->string, step, bytes) == 0)
            found = child; /* of doubled keys the last */
    }
    return found;
}

static const cJSON *look_up(const struct json_small *j, const char *path)
{
    const cJSON *at = j->root;

    while (at != NULL) {
        size_t bytes = strcspn(path, ".");

        if (cJSON_IsObject(at))
            at = member_of(at, path, bytes);
        else
            at = cJSON_IsArray(at) ? element_of(at, path, bytes) : NULL;
        if (path[bytes] == '\0')
            break;
        path += bytes + 1;
    }
    return at;
}

const char *json_small_text(const struct json_small *j, const char *dotted_path)
{
    const cJSON *at = look_up(j, dotted_path);

    return at == NULL ? NULL : cJSON_GetStringValue(at);
}

bool json_small_number(const struct json_small *j, const char *dotted_path, double *out)
{
    const cJSON *at = look_up(j, dotted_path);

    if (at == NULL || !cJSON_IsNumber(at))
        return false;
    *out = at->valuedouble;
    return true;
}
