#include "objstore/s3_target.h"

#include <assert.h>
#include <stdio.h>

#define REGION_DEFAULT "us-east-1"

/* Of AWS the region becomes a part of the host, and may come from an answer: nothing that could
 * make it another's host is let through. */
static bool region_is_sound(const char *region, bool aws)
{
    size_t bytes = strlen(region);

    for (size_t i = 0; i < bytes; i++)
        if (!((region[i] >= 'a' && region[i] <= 'z') || (region[i] >= 'A' && region[i] <= 'Z') ||
              (region[i] >= '0' && region[i] <= '9') || region[i] == '-' || region[i] == '_' ||
              (!aws && (region[i] == '.' || region[i] == ':'))))
            return false;
    return bytes > 0 && bytes < CREDENTIALS_REGION_BYTES;
}

/* "127.0.0.1", "127.0.0.1:9000", "[::1]:9000" */
static bool is_address(const char *host)
{
    return host[0] == '[' || (host[strspn(host, "0123456789.")] == '\0') ||
           (host[strspn(host, "0123456789.")] == ':' && strchr(host, '.') != NULL);
}

/* The host as it stands in the Host header: without a port that the scheme implies. */
static void take_host(struct s3_target *t, const char *endpoint)
{
    const char *host = strstr(endpoint, "://") + 3;
    const char *implied = t->tls ? ":443" : ":80";
    size_t bytes = strlen(host);
    size_t port = strlen(implied);

    if (bytes > port && strcmp(host + bytes - port, implied) == 0)
        bytes -= port;
    if (t->virtual_host)
        (void)snprintf(t->host, sizeof t->host, "%s.%.*s", t->bucket, (int)bytes, host);
    else
        (void)snprintf(t->host, sizeof t->host, "%.*s", (int)bytes, host);
}

static void rehost(struct s3_target *t)
{
    if (t->aws)
        (void)snprintf(t->endpoint, sizeof t->endpoint, "https://s3.%s.amazonaws.com%s", t->region,
                       strncmp(t->region, "cn-", 3) == 0 ? ".cn" : "");
    take_host(t, t->endpoint);
}

bool s3_target_set_region(struct s3_target *t, const char *region)
{
    if (!region_is_sound(region, t->aws))
        return false;
    (void)snprintf(t->region, sizeof t->region, "%s", region);
    rehost(t);
    return true;
}

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static status choose_endpoint(const struct objstore_options *options,
                              const struct objstore_url *url, const struct credentials *found,
                              struct s3_target *t, struct err *err)
{
    const char *from = is_set(options->endpoint) ? "s3_endpoint" : "AWS_ENDPOINT_URL or a profile";
    const char *text = is_set(options->endpoint) ? options->endpoint : found->endpoint;

    if (url->endpoint[0] != '\0') {
        memcpy(t->endpoint, url->endpoint, sizeof t->endpoint);
    } else if (text[0] != '\0') {
        status st = objstore_endpoint_parse(text, t->endpoint, err);

        if (st != ST_OK)
            return err_wrap(err, st, "the endpoint of %s", from);
    } else {
        t->aws = true;
    }
    return ST_OK;
}

status s3_target_make(const struct objstore_options *options, const struct objstore_url *url,
                      const struct credentials *found, struct s3_target *out, struct err *err)
{
    const char *region = is_set(options->region) ? options->region : found->region;
    status st;

    assert(url->kind == OBJSTORE_URL_S3 || url->kind == OBJSTORE_URL_HTTP);
    memset(out, 0, sizeof *out);
    memcpy(out->bucket, url->bucket, sizeof out->bucket);
    memcpy(out->prefix, url->prefix, sizeof out->prefix);
    st = choose_endpoint(options, url, found, out, err);
    if (st != ST_OK)
        return st;
    out->tls = out->aws || strncmp(out->endpoint, "https:", 6) == 0;
    if (!out->aws)
        out->virtual_host = options->addressing == OBJSTORE_ADDRESS_VIRTUAL &&
                            !is_address(strstr(out->endpoint, "://") + 3);
    else /* a bucket with a dot is in no certificate for *.s3 */
        out->virtual_host =
            options->addressing == OBJSTORE_ADDRESS_VIRTUAL ||
            (options->addressing == OBJSTORE_ADDRESS_AUTO && strchr(out->bucket, '.') == NULL);
    if (!s3_target_set_region(out, region[0] != '\0' ? region : REGION_DEFAULT))
        return err_set(err, ST_INVALID,
                       "\"%.80s\" is no name of a region: up to 63 letters, digits and -, like "
                       "us-east-1",
                       region);
    return ST_OK;
}
