/* What a probe leaves behind, and what others left. */
#include "objstore/probe_internal.h"

#include <stdio.h>

enum { SWEEP_PAGES_MAX = 8 };
#define LEFTOVER_NS (UINT64_C(3600) * 1000000000) /* by the store's clock */

static void delete_some(struct probe *p, const struct objstore_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        p->shots[i] = (struct probe_shot){.req = {.op = OBJSTORE_DELETE, .key = entries[i].key}};
    if (probe_send_all(p, p->shots, count) != ST_OK) {
        /* What stays is a leftover. */
    }
    probe_free(p->shots, count);
}

void probe_sweep(struct probe *p, uint64_t now_ns)
{
    char prefix[PROBE_PREFIX_BYTES_MAX + 32];
    char after[OBJSTORE_KEY_BYTES_MAX + 1] = "";

    if (now_ns == 0)
        (void)snprintf(prefix, sizeof prefix, "%s%s/", p->options.prefix, p->run);
    else
        (void)snprintf(prefix, sizeof prefix, "%s", p->options.leftovers);
    for (unsigned page = 0; page < SWEEP_PAGES_MAX; page++) {
        struct objstore_req req = {
            .op = OBJSTORE_LIST, .key = prefix, .start_after = after[0] == '\0' ? NULL : after};
        struct objstore_entry old[PROBE_RACERS];
        size_t count = 0;
        bool more;

        if (probe_send(p, &req) != ST_OK)
            return;
        for (size_t i = 0; i < req.result.entry_count; i++) {
            const struct objstore_entry *e = &req.result.entries[i];

            if (strcmp(e->key, after) > 0)
                (void)snprintf(after, sizeof after, "%s", e->key);
            if (now_ns != 0 && (e->modified_ns == 0 || e->modified_ns + LEFTOVER_NS > now_ns))
                continue;
            old[count++] = *e;
            if (count < COUNT_OF(old))
                continue;
            delete_some(p, old, count);
            count = 0;
        }
        delete_some(p, old, count);
        more = req.result.truncated && req.result.entry_count > 0;
        objstore_result_fini(&req.result);
        if (!more)
            return;
    }
}
