#include "objstore/url.h"

#include "objstore/objstore.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

static_assert(OBJSTORE_PREFIX_BYTES - 1 + OBJSTORE_KEY_BYTES_MAX <= 1024, "S3's longest key");

#define FORMS                                                                                      \
    "s3://bucket/prefix, http://host:9000/bucket/prefix, https://host/bucket/prefix, "             \
    "file:///path or memory:name"

static bool starts(const char *text, const char *with, const char **rest)
{
    if (strncasecmp(text, with, strlen(with)) != 0)
        return false;
    *rest = text + strlen(with);
    return true;
}

static bool lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool bucket_is_sound(const char *bucket, size_t bytes)
{
    if (bytes < 3 || bytes > 63 || !lower_or_digit(bucket[0]) || !lower_or_digit(bucket[bytes - 1]))
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (!lower_or_digit(bucket[i]) && bucket[i] != '-' && bucket[i] != '.')
            return false;
        if (bucket[i] == '.' && bucket[i + 1] == '.')
            return false;
    }
    return true;
}

static status take_prefix(const char *text, struct objstore_url *out, struct err *err)
{
    size_t bytes = strlen(text);
    struct err why;

    if (bytes > 0 && text[bytes - 1] == '/')
        bytes--;
    if (bytes == 0)
        return ST_OK;
    if (bytes + 2 > sizeof out->prefix)
        return err_set(err, ST_INVALID, "the prefix behind the bucket has %zu bytes, at most %zu",
                       bytes, sizeof out->prefix - 2);
    memcpy(out->prefix, text, bytes);
    out->prefix[bytes] = '\0';
    if (objstore_key_check(out->prefix, &why) != ST_OK)
        return err_set(err, ST_INVALID,
                       "the prefix behind the bucket is not like a/b: A-Z a-z 0-9 - _ . between "
                       "single slashes, no part . or ..");
    out->prefix[bytes] = '/';
    out->prefix[bytes + 1] = '\0';
    return ST_OK;
}

static status take_bucket(const char *text, struct objstore_url *out, struct err *err)
{
    size_t bytes = strcspn(text, "/");

    if (strpbrk(text, "?#") != NULL)
        return err_set(err, ST_INVALID,
                       "a bucket URL has no ? and no #: options stand in [storage]");
    if (bytes == 0)
        return err_set(err, ST_INVALID, "the URL names no bucket, like " FORMS);
    if (strchr(text, '@') != NULL)
        return err_set(err, ST_INVALID,
                       "credentials do not stand in the URL: set AWS_ACCESS_KEY_ID and "
                       "AWS_SECRET_ACCESS_KEY, or a profile");
    if (!bucket_is_sound(text, bytes))
        return err_set(err, ST_INVALID,
                       "\"%.*s\" is no bucket name: 3 to 63 of a-z 0-9 - . that begin and end "
                       "with a letter or digit",
                       bytes > 80 ? 80 : (int)bytes, text);
    memcpy(out->bucket, text, bytes);
    out->bucket[bytes] = '\0';
    return take_prefix(text[bytes] == '/' ? text + bytes + 1 : text + bytes, out, err);
}

static bool port_is_sound(const char *port, size_t bytes)
{
    unsigned value = 0;

    if (bytes == 0 || bytes > 5)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (port[i] < '0' || port[i] > '9')
            return false;
        value = value * 10 + (unsigned)(port[i] - '0');
    }
    return value >= 1 && value <= 65535;
}

static bool host_is_sound(const char *host, size_t bytes)
{
    bool v6 = bytes > 2 && host[0] == '[' && host[bytes - 1] == ']';
    const char *allowed = v6 ? "0123456789abcdefABCDEF:."
                             : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    size_t from = v6 ? 1 : 0;
    size_t to = v6 ? bytes - 1 : bytes;

    if (bytes == 0 || bytes > 255)
        return false;
    for (size_t i = from; i < to; i++)
        if (strchr(allowed, host[i]) == NULL)
            return false;
    return true;
}

/* [text, bytes): host, or host:port. */
static status authority_check(const char *text, size_t bytes, struct err *err)
{
    size_t host = bytes;

    if (memchr(text, '@', bytes) != NULL)
        return err_set(err, ST_INVALID,
                       "credentials do not stand in the URL: set AWS_ACCESS_KEY_ID and "
                       "AWS_SECRET_ACCESS_KEY, or a profile");
    while (host > 0 && text[host - 1] != ':' && text[host - 1] != ']')
        host--;
    if (host == 0 || text[host - 1] == ']')
        host = bytes;
    else if (!port_is_sound(text + host, bytes - host))
        return err_set(err, ST_INVALID,
                       "the port behind the host is no number from 1 to 65535, as in "
                       "http://host:9000");
    else
        host--;
    if (!host_is_sound(text, host))
        return err_set(err, ST_INVALID,
                       "\"%.*s\" is no host: a name, an IPv4 address or [an IPv6 address], as in "
                       "http://host:9000",
                       host > 80 ? 80 : (int)host, text);
    return ST_OK;
}

/* https://bucket.s3.eu-west-1.amazonaws.com/prefix: a browser's form of what is s3:// here. */
static bool is_virtual_aws(const char *host, size_t bytes)
{
    static const char aws[] = ".amazonaws.com";
    size_t tail = sizeof aws - 1;

    return bytes > tail && strncasecmp(host + bytes - tail, aws, tail) == 0 &&
           strncasecmp(host, "s3.", 3) != 0 && strncasecmp(host, "s3-", 3) != 0;
}

static status take_endpoint(const char *scheme, const char *authority, size_t bytes,
                            char out[OBJSTORE_ENDPOINT_BYTES], struct err *err)
{
    status st = authority_check(authority, bytes, err);

    if (st == ST_OK)
        (void)snprintf(out, OBJSTORE_ENDPOINT_BYTES, "%s://%.*s", scheme, (int)bytes, authority);
    return st;
}

static status parse_http(const char *scheme, const char *rest, struct objstore_url *out,
                         struct err *err)
{
    size_t bytes = strcspn(rest, "/?#");
    status st = take_endpoint(scheme, rest, bytes, out->endpoint, err);

    out->kind = OBJSTORE_URL_HTTP;
    if (st != ST_OK)
        return st;
    if (is_virtual_aws(rest, bytes))
        return err_set(err, ST_INVALID, "a bucket of AWS is written s3://bucket/prefix");
    return take_bucket(rest[bytes] == '/' ? rest + bytes + 1 : rest + bytes, out, err);
}

static status parse_file(const char *rest, struct objstore_url *out, struct err *err)
{
    size_t bytes;

    out->kind = OBJSTORE_URL_FILE;
    if (rest[0] != '/' || rest[1] != '/' || rest[2] != '/')
        return err_set(err, ST_INVALID,
                       "a directory is written file:///path: three slashes, then the path from "
                       "the root on");
    rest += 2;
    bytes = strlen(rest);
    while (bytes > 1 && rest[bytes - 1] == '/')
        bytes--;
    if (bytes >= sizeof out->path)
        return err_set(err, ST_INVALID, "the path behind file:// is longer than %zu bytes",
                       sizeof out->path - 1);
    memcpy(out->path, rest, bytes);
    out->path[bytes] = '\0';
    return ST_OK;
}

static status parse_memory(const char *rest, struct objstore_url *out, struct err *err)
{
    size_t bytes = strlen(rest);

    out->kind = OBJSTORE_URL_MEMORY;
    if (bytes == 0 || bytes >= sizeof out->name || strchr(rest, '/') != NULL ||
        objstore_key_check(rest, NULL) != ST_OK)
        return err_set(err, ST_INVALID,
                       "a bucket in memory is written memory:name, the name 1 to %zu of A-Z a-z "
                       "0-9 - _ .",
                       sizeof out->name - 1);
    memcpy(out->name, rest, bytes + 1);
    return ST_OK;
}

status objstore_url_parse(const char *text, struct objstore_url *out, struct err *err)
{
    struct objstore_url url = {0};
    const char *rest;
    status st;

    if (text == NULL || text[0] == '\0')
        return err_set(err, ST_INVALID, "the bucket URL is empty; it is like " FORMS);
    if (starts(text, "s3://", &rest)) {
        url.kind = OBJSTORE_URL_S3;
        st = take_bucket(rest, &url, err);
    } else if (starts(text, "http://", &rest))
        st = parse_http("http", rest, &url, err);
    else if (starts(text, "https://", &rest))
        st = parse_http("https", rest, &url, err);
    else if (starts(text, "file:", &rest))
        st = parse_file(rest, &url, err);
    else if (starts(text, "memory:", &rest))
        st = parse_memory(rest, &url, err);
    else
        return err_set(err, ST_INVALID, "this is no bucket URL; one is like " FORMS);
    if (st == ST_OK)
        *out = url;
    return st;
}

status objstore_endpoint_parse(const char *text, char out[OBJSTORE_ENDPOINT_BYTES], struct err *err)
{
    const char *scheme = "http";
    const char *rest;
    size_t bytes;

    if (starts(text, "https://", &rest))
        scheme = "https";
    else if (!starts(text, "http://", &rest))
        return err_set(err, ST_INVALID, "an endpoint is written http://host:9000 or https://host");
    bytes = strcspn(rest, "/?#");
    if (rest[bytes] != '\0' && strcmp(rest + bytes, "/") != 0)
        return err_set(err, ST_INVALID,
                       "an endpoint ends behind host and port, as in http://host:9000; the bucket "
                       "stands in the bucket URL");
    return take_endpoint(scheme, rest, bytes, out, err);
}
