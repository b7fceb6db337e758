#include "objstore/credentials_http.h"

#include "objstore/credentials_read.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct ask {
    CURL *easy;
    CURLM *multi;
    struct curl_slist *headers;
    struct s3_reply reply;
    struct buf *body;
    char words[CURL_ERROR_SIZE];
};

static size_t on_body(char *data, size_t one, size_t count, void *arg)
{
    struct ask *a = arg;

    buf_put(a->body, data, one * count);
    return a->body->failed ? 0 : one * count;
}

static size_t on_header(char *data, size_t one, size_t count, void *arg)
{
    struct ask *a = arg;

    s3_reply_line(&a->reply, slice_make(data, one * count));
    return one * count;
}

static bool add_headers(struct ask *a, const struct credentials_question *q)
{
    static const char *const none[] = {NULL};
    static const char *const own[] = {"Accept:", "Expect:", "Transfer-Encoding:", NULL};
    const char *const *lists[] = {own, q->headers != NULL ? q->headers : none};

    for (size_t i = 0; i < COUNT_OF(lists); i++)
        for (const char *const *at = lists[i]; *at != NULL; at++) {
            struct curl_slist *longer = curl_slist_append(a->headers, *at);

            if (longer == NULL)
                return false;
            a->headers = longer;
        }
    return true;
}

#define SET(option, value) ok = ok && curl_easy_setopt(a->easy, option, value) == CURLE_OK

/* A path that curl would fold, or a port, is the provider's matter: hosts alone are looked at. */
static char *url_part(const char *url, CURLUPart part)
{
    CURLU *u = curl_url();
    char *out = NULL;

    if (u == NULL || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, part, &out, 0) != CURLUE_OK)
        out = NULL;
    curl_url_cleanup(u);
    return out;
}

static bool host_is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == '\0');
}

static bool url_is_loopback(const char *url)
{
    char *host = url_part(url, CURLUPART_HOST);
    bool is = host != NULL && host_is_loopback(host);

    curl_free(host);
    return is;
}

bool credentials_url_host(const char *url, char out[CREDENTIALS_HOST_BYTES])
{
    char *scheme = url_part(url, CURLUPART_SCHEME);
    char *host = url_part(url, CURLUPART_HOST);
    char *port = url_part(url, CURLUPART_PORT);
    char *path = url_part(url, CURLUPART_PATH);
    char *query = url_part(url, CURLUPART_QUERY);
    bool tls = scheme != NULL && strcasecmp(scheme, "https") == 0;
    bool is = host != NULL && query == NULL && (path == NULL || strcmp(path, "/") == 0) &&
              (tls || (scheme != NULL && strcasecmp(scheme, "http") == 0));
    int written = 0;

    if (is && (port == NULL || strcmp(port, tls ? "443" : "80") == 0))
        written = snprintf(out, CREDENTIALS_HOST_BYTES, "%s", host);
    else if (is)
        written = snprintf(out, CREDENTIALS_HOST_BYTES, "%s:%s", host, port);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(query);
    return written > 0 && written < CREDENTIALS_HOST_BYTES;
}

bool credentials_url_is_safe(const char *url)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    char *scheme = url_part(url, CURLUPART_SCHEME);
    char *host = url_part(url, CURLUPART_HOST);
    bool safe = scheme != NULL && host != NULL && strcasecmp(scheme, "https") == 0;

    if (strchr(url, '@') != NULL) /* where one reader sees a host, another sees a user */
        safe = false;
    else if (scheme != NULL && host != NULL && strcasecmp(scheme, "http") == 0) {
        safe = host_is_loopback(host);
        for (size_t i = 0; i < COUNT_OF(hosts); i++)
            safe |= strcasecmp(host, hosts[i]) == 0;
    }
    curl_free(scheme);
    curl_free(host);
    return safe;
}

static bool set_all(struct ask *a, const struct credentials_question *q)
{
    bool ok = add_headers(a, q);

    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_USERAGENT, "tiervec/" TIERVEC_VERSION);
    SET(CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)q->timeout_ms);
    if (q->local || url_is_loopback(q->url))
        SET(CURLOPT_PROXY, "");
    if (q->ca_file != NULL && q->ca_file[0] != '\0')
        SET(CURLOPT_CAINFO, q->ca_file);
    SET(CURLOPT_URL, q->url);
    if (strcmp(q->method, "GET") != 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.bytes);
        SET(CURLOPT_POSTFIELDS, q->body.bytes > 0 ? (const char *)q->body.data : "");
    }
    SET(CURLOPT_CUSTOMREQUEST, q->method);
    SET(CURLOPT_HTTPHEADER, a->headers);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, a);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, a);
    SET(CURLOPT_ERRORBUFFER, a->words);
    return ok;
}

/* CURLE_ABORTED_BY_CALLBACK: it was told to stop. */
static CURLcode run(struct ask *a, const _Atomic bool *stop)
{
    int running = 1;
    int left;
    CURLMsg *message;

    if (curl_multi_add_handle(a->multi, a->easy) != CURLM_OK)
        return CURLE_OUT_OF_MEMORY;
    while (!atomic_load(stop)) {
        if (curl_multi_perform(a->multi, &running) != CURLM_OK)
            return CURLE_OUT_OF_MEMORY;
        message = curl_multi_info_read(a->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE)
            return message->data.result;
        (void)curl_multi_poll(a->multi, NULL, 0, CREDENTIALS_SLICE_MS, NULL);
    }
    return CURLE_ABORTED_BY_CALLBACK;
}

static status settle(struct ask *a, CURLcode code, struct credentials_answer *out, struct err *err)
{
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(err, ST_CLOSED, "the store is being closed");
    if (a->body->failed && a->body->over)
        return err_set(err, ST_LIMIT, "an answer of more than %d bytes",
                       (int)CREDENTIALS_ANSWER_BYTES_MAX);
    if (a->body->failed || code == CURLE_OUT_OF_MEMORY)
        return err_set(err, ST_NOMEM, "no memory for an answer");
    if (code != CURLE_OK)
        return err_set(err, ST_UNAVAILABLE, "no answer (%.120s)",
                       a->words[0] != '\0' ? a->words : curl_easy_strerror(code));
    out->http_status = a->reply.http_status;
    out->date_s = a->reply.date_s;
    return ST_OK;
}

status credentials_http(const struct credentials_question *q, const _Atomic bool *stop,
                        struct credentials_answer *out, struct err *err)
{
    struct ask a = {.easy = curl_easy_init(), .multi = curl_multi_init(), .body = &out->body};
    status st;

    memset(out, 0, sizeof *out);
    buf_init(&out->body, CREDENTIALS_ANSWER_BYTES_MAX);
    if (a.easy == NULL || a.multi == NULL || !set_all(&a, q))
        st = err_set(err, ST_NOMEM, "no memory for a connection");
    else
        st = settle(&a, run(&a, stop), out, err);
    if (a.multi != NULL && a.easy != NULL)
        (void)curl_multi_remove_handle(a.multi, a.easy);
    curl_easy_cleanup(a.easy);
    (void)curl_multi_cleanup(a.multi);
    curl_slist_free_all(a.headers);
    if (st != ST_OK)
        credentials_answer_fini(out);
    return st;
}

void credentials_answer_fini(struct credentials_answer *a)
{
    if (a->body.data != NULL)
        explicit_bzero(a->body.data, a->body.capacity);
    buf_free(&a->body);
}
