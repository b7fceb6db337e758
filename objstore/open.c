#include "objstore/open.h"

#include "objstore/directory.h"
#include "objstore/memory.h"
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

status objstore_open(const struct objstore_options *options, struct objstore **out, struct err *err)
{
    struct objstore_url url;
    status st = objstore_url_parse(options->url, &url, err);

    return st != ST_OK ? st : open_kind(options, &url, out, err);
}
