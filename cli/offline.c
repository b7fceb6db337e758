#include "cli/offline.h"

#include "cli/options.h"
#include "objstore/url.h"

#include <stdio.h>
#include <unistd.h>

enum { FLAG_BYTES = CONFIG_TEXT_BYTES_MAX + 64, FLAGS_MAX = 8 };

struct flags {
    int count;
    char *argv[FLAGS_MAX];
    char texts[FLAGS_MAX][FLAG_BYTES];
};

static bool put(struct flags *f, const char *flag, const char *value)
{
    int bytes;

    if (value == NULL)
        return true;
    bytes = snprintf(f->texts[f->count], FLAG_BYTES, "%s=%s", flag, value);
    f->argv[f->count] = f->texts[f->count];
    f->count++;
    return bytes > 0 && bytes < FLAG_BYTES;
}

status offline_load(const struct offline *o, struct config *out, struct err *err)
{
    static struct flags f; /* too large for a stack, and called once */
    struct log_options log;
    status st;

    f.count = 0;
    if (!put(&f, "--config", o->config) || !put(&f, "--data-dir", o->data_dir) ||
        !put(&f, "--storage-s3-bucket", o->from) ||
        !put(&f, "--storage-s3-endpoint", o->endpoint) ||
        !put(&f, "--storage-s3-region", o->region))
        return err_set(err, ST_INVALID, "a flag's value is longer than %d bytes",
                       CONFIG_TEXT_BYTES_MAX);
    st = config_load(f.count, f.argv, environ, out, err);
    if (st != ST_OK)
        return st;
    config_log_options(out, &log);
    log.clock = clock_real();
    log.level = LOG_ERROR; /* what is worth telling is in the report */
    log.levels = NULL;
    st = log_open(&log, err);
    if (st != ST_OK)
        config_free(out);
    return st;
}

status offline_store(const struct config *c, struct stats *stats, struct objstore **out,
                     struct err *err)
{
    struct objstore_url url = {0};
    struct fs_stat found;
    status st = objstore_url_parse(c->storage.s3_bucket, &url, err);

    if (st == ST_OK && url.kind == OBJSTORE_URL_FILE)
        st = fs_stat(fs_real(), url.path, &found, err);
    if (st == ST_NOT_FOUND)
        return err_set(err, st, "there is no directory %s", url.path);
    return st == ST_OK ? cli_open_store(c, stats, out, err) : st;
}
