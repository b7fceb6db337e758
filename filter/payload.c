#include "filter/payload.h"

void payload_merge(struct buf *out, struct slice payload, struct slice patch, const struct path *at)
{
    (void)payload;
    (void)at;
    buf_put_slice(out, patch);
}

void payload_delete(struct buf *out, struct slice payload, const struct path *const *keys,
                    size_t count)
{
    (void)keys;
    (void)count;
    buf_put_slice(out, payload);
}

void payload_print(struct buf *out, struct slice payload, const struct payload_selection *what)
{
    if (what->part == PAYLOAD_NONE)
        buf_put_text(out, "null");
    else if (payload.bytes == 0)
        buf_put_text(out, "{}");
    else
        jbin_print(out, payload);
}
