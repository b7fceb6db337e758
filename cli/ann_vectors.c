#include "cli/ann_vectors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096 };

status ann_vectors_open(struct ann_vectors *v, uint32_t dim, struct err *err)
{
    const char *folder = getenv("TMPDIR");
    char path[PATH_BYTES_MAX];
    int bytes, fd;

    if (folder == NULL || folder[0] == '\0')
        folder = "/tmp";
    bytes = snprintf(path, sizeof path, "%s/tiervec-vectors-XXXXXX", folder);
    if (bytes < 0 || (size_t)bytes >= sizeof path)
        return err_set(err, ST_INVALID, "TMPDIR is too long");
    fd = mkstemp(path);
    if (fd < 0)
        return err_set_errno(err, errno, "make a file in %s", folder);
    (void)unlink(path);
    *v = (struct ann_vectors){.fd = fd, .dim = dim};
    return ST_OK;
}

void ann_vectors_close(struct ann_vectors *v)
{
    if (v->fd >= 0)
        (void)close(v->fd);
    v->fd = -1;
}

status ann_vectors_write(const struct ann_vectors *v, uint32_t number, const float *vector,
                         struct err *err)
{
    const char *from = (const char *)vector;
    size_t bytes = v->dim * sizeof(*vector);
    off_t at = (off_t)number * (off_t)bytes;

    while (bytes > 0) {
        ssize_t done = pwrite(v->fd, from, bytes, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return err_set_errno(err, errno, "write vector %" PRIu32, number);
        from += done;
        at += done;
        bytes -= (size_t)done;
    }
    return ST_OK;
}

status ann_vectors_read(void *arg, uint32_t number, float *out, struct err *err)
{
    const struct ann_vectors *v = arg;
    char *to = (char *)out;
    size_t bytes = v->dim * sizeof(*out);
    off_t at = (off_t)number * (off_t)bytes;

    while (bytes > 0) {
        ssize_t done = pread(v->fd, to, bytes, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_set_errno(err, errno, "read vector %" PRIu32, number);
        if (done == 0)
            return err_set(err, ST_IO, "the file of vectors ends before vector %" PRIu32, number);
        to += done;
        at += done;
        bytes -= (size_t)done;
    }
    return ST_OK;
}
