/* world.h - a real door on a loopback port in front of a fake node, and a client that speaks bytes.
 */
#ifndef TESTS_API_WORLD_H
#define TESTS_API_WORLD_H

#include "api/api.h"
#include "base/json.h"
#include "tests/support/fake_node.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct world {
    struct exec *exec;
    struct stats *stats;
    struct node *node;
    struct api *api;
    struct rand_seeded rand;
};

/* The options a test may change before world_open(). */
struct api_options world_options(void);
void world_open(struct world *w, const struct api_options *options);
void world_open_workers(struct world *w, const struct api_options *options, unsigned workers);
void world_close(struct world *w);

int client_connect(const struct world *w);
void client_close(int fd);
void client_reset(int fd); /* closes with a reset, as a crashed client does */
void client_send(int fd, const void *data, size_t bytes);
void client_send_text(int fd, const char *text);
/* Whether the other side closed; waits up to 5 s. */
bool client_at_end(int fd);

struct answer {
    int status; /* 0: the connection ended before an answer */
    char head[2048];
    char *body; /* NUL terminated; answer_free() */
    size_t body_bytes;
};
/* One answer; 100 Continue is skipped and counted in *continues if not NULL. head_only: the answer
 * to a HEAD. */
struct answer client_read(int fd, bool head_only);
void answer_free(struct answer *a);
bool answer_has_header(const struct answer *a, const char *line_begin);

/* A whole exchange on a connection of its own. body NULL: none. */
struct answer ask(const struct world *w, const char *method, const char *path, const char *body);
/* As ask(), checks the status and drops the answer. */
void expect(const struct world *w, const char *method, const char *path, const char *body,
            int http_status);
/* A problem's code, "" if it is none. */
const char *answer_code(const struct answer *a, char code[64]);
/* Makes collection "c" of dimension 3. */
void make_collection(const struct world *w, const char *metric);

#endif
