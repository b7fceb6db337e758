#include "objstore/s3_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

enum { VALUE_BYTES = 512, RETRY_AFTER_S_MAX = 3600 };

int64_t s3_reply_date(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%a, %d %b %Y %H:%M:%S", &tm);
    time_t seconds;

    if (rest == NULL || strcmp(rest, " GMT") != 0)
        return 0;
    seconds = timegm(&tm);
    return seconds > 0 ? (int64_t)seconds : 0;
}

/* Digits and nothing else in front of `end`. */
static bool take_u64(const char *text, const char *end, uint64_t *out)
{
    uint64_t value = 0;

    if (text == end)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9' || value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *out = value;
    return true;
}

static void take_text(char *out, size_t bytes_max, const char *value)
{
    if (strlen(value) < bytes_max)
        memcpy(out, value, strlen(value) + 1);
}

/* "bytes 0-9/100" */
static void take_range(struct s3_reply *r, const char *value)
{
    const char *dash = strchr(value, '-');
    const char *slash = strchr(value, '/');
    uint64_t first;
    uint64_t last;
    uint64_t total;

    if (strncasecmp(value, "bytes ", 6) != 0 || dash == NULL || slash == NULL || slash < dash ||
        !take_u64(value + 6, dash, &first) || !take_u64(dash + 1, slash, &last) ||
        !take_u64(slash + 1, slash + strlen(slash), &total) || first > last || last >= total)
        return;
    r->has_range = true;
    r->range_first = first;
    r->range_last = last;
    r->range_total = total;
}

/* In seconds, or until when. */
static void take_wish(struct s3_reply *r, const char *value)
{
    uint64_t seconds;

    if (take_u64(value, value + strlen(value), &seconds))
        r->retry_after_ms = (seconds < RETRY_AFTER_S_MAX ? seconds : RETRY_AFTER_S_MAX) * 1000;
    else
        r->retry_at_s = s3_reply_date(value);
}

uint64_t s3_reply_wish_ms(const struct s3_reply *r, int64_t now_s)
{
    int64_t from = r->date_s != 0 ? r->date_s : now_s;

    if (r->retry_at_s <= from)
        return r->retry_after_ms;
    return (uint64_t)(r->retry_at_s - from < RETRY_AFTER_S_MAX ? r->retry_at_s - from
                                                               : RETRY_AFTER_S_MAX) *
           1000;
}

static void take_header(struct s3_reply *r, const char *name, const char *value)
{
    if (strcasecmp(name, "etag") == 0)
        take_text(r->etag, sizeof r->etag, value);
    else if (strcasecmp(name, "x-amz-request-id") == 0)
        take_text(r->request_id, sizeof r->request_id, value);
    else if (strcasecmp(name, "x-amz-bucket-region") == 0)
        take_text(r->region, sizeof r->region, value);
    else if (strcasecmp(name, "server") == 0)
        take_text(r->server, sizeof r->server, value);
    else if (strcasecmp(name, "date") == 0)
        r->date_s = s3_reply_date(value);
    else if (strcasecmp(name, "content-length") == 0)
        r->has_length = take_u64(value, value + strlen(value), &r->length);
    else if (strcasecmp(name, "transfer-encoding") == 0)
        r->is_chunked = strcasecmp(value, "chunked") == 0;
    else if (strcasecmp(name, "content-range") == 0)
        take_range(r, value);
    else if (strcasecmp(name, "retry-after") == 0)
        take_wish(r, value);
    else if (strcasecmp(name, "x-amz-checksum-crc32c") == 0 && strlen(value) == 8)
        take_text(r->crc32c, sizeof r->crc32c, value); /* "...-3" is of the parts' sums */
    else if (strcasecmp(name, "content-type") == 0)
        r->is_page = strncasecmp(value, "text/html", 9) == 0;
    else if (strcasecmp(name, "content-encoding") == 0)
        r->is_encoded = value[0] != '\0' && strcasecmp(value, "identity") != 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* "HTTP/1.1 200 OK" */
static bool take_status(struct s3_reply *r, const char *line)
{
    const char *blank = strchr(line, ' ');
    uint64_t code;

    if (strncmp(line, "HTTP/", 5) != 0)
        return false;
    memset(r, 0, sizeof *r);
    if (blank != NULL && strlen(blank) >= 4 && take_u64(blank + 1, blank + 4, &code))
        r->http_status = (int)code;
    return true;
}

void s3_reply_line(struct s3_reply *r, struct slice line)
{
    char text[VALUE_BYTES];
    char *value;
    char *name_end;
    size_t bytes = line.bytes;

    while (bytes > 0 && is_blank((char)line.data[bytes - 1]))
        bytes--;
    if (bytes == 0 || bytes >= sizeof text || memchr(line.data, '\0', bytes) != NULL)
        return;
    memcpy(text, line.data, bytes);
    text[bytes] = '\0';
    if (take_status(r, text))
        return;
    value = strchr(text, ':');
    if (value == NULL)
        return;
    name_end = value++;
    *name_end = '\0';
    while (is_blank(*value))
        value++;
    for (const char *at = value; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            return; /* none of ours has such bytes, and they would end in texts */
    take_header(r, text, value);
}
