/* remote.h - a command that asks a running node.
 *
 * --url, else TIERVEC_URL, else http://127.0.0.1:8080. With --json the node's own answer goes to
 * standard output as it came, a problem too; with --quiet nothing does. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "base/json.h"
#include "cli/cli.h"
#include "cli/http.h"

#define REMOTE_FLAGS_HELP                                                                          \
    "  --url URL   the node (else TIERVEC_URL, else http://127.0.0.1:8080)\n"                      \
    "  --json      the node's answer as JSON\n"                                                    \
    "  --quiet     no output, the exit code says it\n"                                             \
    "\n"                                                                                           \
    "exit: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 unreachable, 6 damaged\n"

struct remote {
    const char *url;
    const char *header; /* one more of each request, "api-key: x"; NULL: none */
    bool json, quiet, help;
    struct jdoc *doc; /* of the last answer */
    struct http_answer answer;
    char code[64]; /* of the last problem; "" else */
    bool keeps;    /* one connection for all requests, each of which bears being sent twice */
    struct http_line line;
    uint32_t patience_s; /* how long one that says 429, 503 or nothing is asked again; 0: once */
    uint64_t retries;
};
/* clang-format off */
#define REMOTE_FLAGS(r)                                                                            \
    {"--url", NULL, &(r)->url}, {"--json", &(r)->json, NULL}, {"--quiet", &(r)->quiet, NULL},      \
    {"--help", &(r)->help, NULL}, {"-h", &(r)->help, NULL}
/* clang-format on */

void remote_close(struct remote *r);
/* --url, or what stands for it. */
const char *remote_url(const struct remote *r);
/* Asks; *root is the JSON of an answer of 2xx (zeros for lines of it). Else says what went
 * wrong and returns the exit code. body may be NULL. */
int remote_ask(struct remote *r, const char *what, const char *method, const char *path,
               const struct buf *body, struct jval *root);
enum { REMOTE_ANY = -1, REMOTE_WHATEVER = -2 };
/* As remote_ask(), and an answer with this status (or REMOTE_ANY) is no failure: it is parsed like
 * one of 2xx. REMOTE_WHATEVER: one that is no JSON is none either, and gives zeros. */
int remote_ask_or(struct remote *r, const char *what, const char *method, const char *path,
                  const struct buf *body, int also, struct jval *root);
/* Says what is wrong with the last answer, whose JSON is root; the exit code. */
int remote_refused(struct remote *r, const char *what, struct jval root);
/* Prints the answer as it came, for --json; true if that was all there is to print. */
bool remote_printed(const struct remote *r, int *code);

/* Members of an answer. */
struct slice remote_text(struct jval v, const char *name); /* "" where it is no text */
uint64_t remote_u64(struct jval v, const char *name);      /* 0 */
double remote_f64(struct jval v, const char *name);        /* 0 */
bool remote_bool(struct jval v, const char *name);         /* false */

/* "/api/v1/collections/<name>" and what follows it, into out. */
void remote_path(struct buf *out, const char *before, const char *name, const char *behind);

#endif
