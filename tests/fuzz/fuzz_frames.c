/* Any bytes under a good checksum as a root, a manifest, a pin and a bucket format: what is
 * accepted can be written again, to the same bytes but for extensions that were skipped. */
#include "base/mem.h"
#include "segment/manifest.h"
#include "tests/support/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void compare(struct slice from, status encoded, struct buf *again)
{
    size_t same = again->bytes - SEAL_FRAME_BYTES - 4;

    if (encoded != ST_OK || again->bytes > from.bytes ||
        memcmp(again->data + SEAL_FRAME_BYTES, from.data + SEAL_FRAME_BYTES, same) != 0)
        __builtin_trap();
    buf_free(again);
}

static void decode_root(struct slice bytes, struct buf *again)
{
    struct root r;

    if (root_decode(bytes, bytes.data + SEAL_FRAME_BYTES, &r, NULL) == ST_OK)
        compare(bytes, root_encode(&r, again, NULL), again);
}

static void decode_manifest(struct slice bytes, struct buf *again)
{
    struct manifest m;

    if (manifest_decode(bytes, bytes.data + SEAL_FRAME_BYTES, &m, NULL) != ST_OK)
        return;
    compare(bytes, manifest_encode(&m, again, NULL), again);
    manifest_free(&m);
}

static void decode_pin(struct slice bytes, struct buf *again)
{
    struct pin p;

    if (pin_decode(bytes, &p, NULL) == ST_OK)
        compare(bytes, pin_encode(&p, again, NULL), again);
}

static void decode_format(struct slice bytes, struct buf *again)
{
    struct bucket_format f;

    if (bucket_format_decode(bytes, &f, NULL) == ST_OK)
        compare(bytes, bucket_format_encode(&f, again, NULL), again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct {
        const char *magic;
        void (*decode)(struct slice bytes, struct buf *again);
    } kinds[] = {{"TVRT", decode_root},
                 {"TVMF", decode_manifest},
                 {"TVPN", decode_pin},
                 {"TVBF", decode_format}};
    struct buf again;
    uint8_t *copy;

    if (bytes < SEAL_FRAME_BYTES + 16)
        return 0;
    copy = mem_alloc(bytes);
    if (copy == NULL)
        return 0;
    memcpy(copy, data, bytes);
    memcpy(copy, kinds[data[0] % COUNT_OF(kinds)].magic, 4);
    seal_frame(copy, bytes);
    buf_init(&again, MANIFEST_BYTES_MAX);
    kinds[data[0] % COUNT_OF(kinds)].decode(slice_make(copy, bytes), &again);
    buf_free(&again);
    mem_free(copy);
    return 0;
}
