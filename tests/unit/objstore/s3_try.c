#include "tests/unit/objstore/s3_try.h"

#include <assert.h>
#include <stdio.h>

char *const S3_TRY_ENV[] = {(char *)"AWS_ACCESS_KEY_ID=AK", (char *)"AWS_SECRET_ACCESS_KEY=S3CRET",
                            NULL};

static const struct s3_timings SHORT = {.connect_ms = 2000,
                                        .stall_s = 2,
                                        .stall_bytes_s = 1024,
                                        .base_ms = 20000,
                                        .bytes_per_s = 1024 * 1024,
                                        .completion_ms = 20000};

void s3_try_open_with(struct s3_try *t, const struct http_line *lines, size_t count,
                      struct objstore_options *options)
{
    struct objstore_url url = {.kind = OBJSTORE_URL_HTTP, .bucket = "bucket", .prefix = "p/"};
    struct err err;

    t->server = http_script_start(lines, count);
    (void)snprintf(url.endpoint, sizeof url.endpoint, "http://127.0.0.1:%u",
                   (unsigned)http_script_port(t->server));
    if (options->env == NULL)
        options->env = S3_TRY_ENV;
    if (objstore_s3_open_timed(options, &url, &SHORT, &t->store, &err) != ST_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        assert(false);
    }
}

void s3_try_open(struct s3_try *t, const struct http_line *lines, size_t count)
{
    struct objstore_options options = {0};

    s3_try_open_with(t, lines, count, &options);
}

void s3_try_close(struct s3_try *t)
{
    objstore_close(t->store);
    http_script_stop(t->server);
}

enum objstore_class s3_try_once(const struct http_line *line, struct objstore_req *req)
{
    struct s3_try t;
    struct err err;

    s3_try_open(&t, line, 1);
    if (objstore_wait(t.store, req, &err) != ST_OK && req->result.err.text[0] == '\0')
        assert(false);
    s3_try_close(&t);
    return req->result.class;
}
