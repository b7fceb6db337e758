#include "objstore/open.h"

#include "objstore/directory.h"
#include "objstore/memory.h"
#include "objstore/url.h"

/* Until s3.h is here: objstore_s3_open(options, url, out, err). */
static status open_s3(const struct objstore_options *options, const struct objstore_url *url,
                      struct objstore **out, struct err *err)
{
    (void)options;
    (void)out;
    return err_set(err, ST_UNSUPPORTED, "buckets like s3://%s are not built into this version",
                   url->bucket);
}

static status open_kind(const struct objstore_options *options, const struct objstore_url *url,
                        struct objstore **out, struct err *err)
{
    switch (url->kind) {
    case OBJSTORE_URL_S3:
    case OBJSTORE_URL_HTTP:
        return open_s3(options, url, out, err);
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
