#include "bench/http_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int http_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static bool send_all(int fd, struct slice request)
{
    for (size_t sent = 0; sent < request.bytes;) {
        ssize_t n = send(fd, request.data + sent, request.bytes - sent, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

int http_exchange(int fd, struct slice request, char *answer, size_t capacity, const char **body)
{
    size_t at = 0;
    size_t want = 0;

    if (!send_all(fd, request))
        return 0;
    while (want == 0 || at < want) {
        ssize_t n = recv(fd, answer + at, capacity - 1 - at, 0);
        char *end;
        char *length;

        if (n <= 0)
            return 0;
        at += (size_t)n;
        answer[at] = '\0';
        end = want == 0 ? strstr(answer, "\r\n\r\n") : NULL;
        if (end == NULL)
            continue;
        length = strstr(answer, "Content-Length: ");
        if (length == NULL)
            return 0;
        want = (size_t)(end + 4 - answer) + strtoul(length + 16, NULL, 10);
        if (body != NULL)
            *body = end + 4;
    }
    return atoi(answer + 9);
}

void http_request(struct buf *out, const char *method, const char *path, struct slice body)
{
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: b\r\nContent-Length: %zu\r\n\r\n", method, path,
               body.bytes);
    buf_put_slice(out, body);
}
