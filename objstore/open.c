#include "objstore/open.h"

#include "objstore/directory.h"
#include "objstore/memory.h"
#include "objstore/meter.h"
#include "objstore/s3.h"
#include "objstore/url.h"

static status open_kind(const struct objstore_options *options, const struct objstore_url *url,
                        struct objstore **out, struct err *err)
{
    switch (url->kind) {
    case OBJSTORE_URL_S3:
    case OBJSTORE_URL_HTTP:
        return objstore_s3_open(options, url, out, err);
    case OBJSTORE_URL_MEMORY:
        return objstore_memory_open(url->name, options->clock, out, err);
    case OBJSTORE_URL_FILE:
        return objstore_directory_open(url->path, options->fs, options->clock, options->rand, out,
                                       err);
    }
    return err_set(err, ST_BUG, "a URL of no kind");
}

/* Doors that were not given are the real ones. */
static struct objstore_options with_doors(const struct objstore_options *options)
{
    struct objstore_options full = *options;

    full.fs = full.fs != NULL ? full.fs : fs_real();
    full.clock = full.clock != NULL ? full.clock : clock_real();
    full.rand = full.rand != NULL ? full.rand : rand_kernel();
    return full;
}

status objstore_open(const struct objstore_options *options, struct objstore **out, struct err *err)
{
    const struct objstore_options full = with_doors(options);
    struct objstore_url url;
    struct objstore *store = NULL;
    status st = objstore_url_parse(full.url, &url, err);

    if (st == ST_OK)
        st = open_kind(&full, &url, &store, err);
    if (st == ST_OK && full.stats != NULL) {
        struct objstore *inner = store;

        st = objstore_meter_open(inner, full.stats, full.clock, &store, err);
        if (st != ST_OK)
            objstore_close(inner);
    }
    if (st == ST_OK)
        *out = store;
    return st;
}
