#include "segment/objkey.h"
#include "snapshot/restore_internal.h"

status restore_verify(const struct restore_options *options, struct restore_report *out,
                      struct err *err)
{
    const struct restore_sink nothing = {.arg = NULL};
    struct restore_plan plan;
    status st = restore_plan_read(options, &plan, err);

    if (st != ST_OK)
        return st;
    st = restore_run_deep(options, &plan, &nothing, true, out, err);
    restore_plan_free(&plan);
    return st;
}

status restore_catalog(struct objstore *store, struct catalog *out, char etag[OBJSTORE_ETAG_BYTES],
                       struct err *err)
{
    const struct restore_options options = {
        .store = store, .clock = clock_real(), .rand = rand_kernel()};
    const struct ask ask = restore_ask(&options);
    status st = ST_CORRUPT;

    for (unsigned i = 0; st == ST_CORRUPT && i < ASK_INTEGRITY_TRIES; i++) {
        struct buf body = {0};

        st = ask_get(&ask, OBJKEY_CATALOG, CATALOG_BYTES_MAX, &body, etag, err);
        if (st == ST_OK)
            st = catalog_decode(buf_slice(&body), out, err);
        buf_free(&body);
    }
    if (st == ST_NOT_FOUND)
        catalog_init(out);
    return st == ST_OK ? ST_OK : err_wrap(err, st, "read the bucket's catalog");
}
