/* Any text as a name of an object: what is taken for one of ours is its only name. */
#include "base/mem.h"
#include "segment/objkey.h"
#include "tests/fuzz/fuzz.h"

static void name_of(const struct objkey *k, char out[OBJKEY_BYTES])
{
    switch (k->kind) {
    case OBJKEY_OTHER:
    case OBJKEY_IS_PROBE: /* whatever lies there */
        break;
    case OBJKEY_IS_PINNED:
        strcpy(out, OBJKEY_PINNED);
        break;
    case OBJKEY_IS_FORMAT:
        strcpy(out, OBJKEY_FORMAT);
        break;
    case OBJKEY_IS_CATALOG:
        strcpy(out, OBJKEY_CATALOG);
        break;
    case OBJKEY_IS_ROOT:
        objkey_root(k->collection, out);
        break;
    case OBJKEY_IS_GROUP:
        objkey_group(k->collection, k->epoch, k->seq, out);
        break;
    case OBJKEY_IS_MANIFEST:
        objkey_manifest(k->collection, k->revision, k->uuid, out);
        break;
    case OBJKEY_IS_DATA:
        objkey_data(k->collection, k->uuid, out);
        break;
    case OBJKEY_IS_PIN:
        objkey_pin(k->collection, k->uuid, out);
        break;
    case OBJKEY_IS_ORPHAN:
        objkey_orphan(k->collection, k->epoch, k->uuid, k->lsn, out);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *key = mem_strndup((const char *)data, bytes);
    char again[OBJKEY_BYTES];
    struct objkey k;

    if (key == NULL)
        return 0;
    k = objkey_parse(key);
    name_of(&k, again);
    if (k.kind != OBJKEY_OTHER && k.kind != OBJKEY_IS_PROBE && strcmp(key, again) != 0)
        fuzz_stop(__FILE__, __LINE__, "another name");
    mem_free(key);
    return 0;
}
