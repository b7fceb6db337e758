/* keys.h - the keys a store signs with, kept fresh: by a thread that asks their provider
 * (credentials.h) ahead of their end, on reload, and when the store refuses them.
 *
 * Who signs looks and copies, and never waits for a provider. Old keys stay in use until new ones
 * came or they ended, whatever the provider says meanwhile. A provider that fails is asked again
 * with pauses, said once in the log and then as long as it lasts in keys_trouble().
 *
 * Threads    any. `on_news` is called by the thread `keys` without a lock, after each answer of a
 *            provider; it must not wait. Ends at keys_close(), which breaks off what is under way.
 * Ownership  environment and texts are copied; fs, clock, rand and stats are borrowed. */
#ifndef OBJSTORE_KEYS_H
#define OBJSTORE_KEYS_H

#include "base/rand.h"
#include "base/stats.h"
#include "objstore/credentials.h"

typedef void keys_news_fn(void *arg);

struct keys_options {
    char *const *env; /* NULL: the process's own */
    struct fs *fs;
    struct clock *clock;
    struct rand_source *rand;
    struct stats *stats; /* NULL: none */
    const char *ca_file; /* NULL or "": AWS_CA_BUNDLE, the system's */
    keys_news_fn *on_news;
    void *arg;
};

struct keys;
/* Reads environment and files; what has to be asked for comes later. ST_NOMEM. */
NODISCARD
status keys_open(const struct keys_options *options, struct keys **out, struct err *err);
/* What environment and files said when it was opened: region, endpoint, ca_file. Until
 * keys_start(). */
const struct credentials *keys_first(const struct keys *k);
NODISCARD
status keys_start(struct keys *k, const char *store, struct err *err);
void keys_close(struct keys *k); /* accepts NULL */

enum keys_state {
    KEYS_WAIT = 0, /* none yet, or ended, and the provider is being asked: news will come */
    KEYS_READY,
    KEYS_LACK, /* none: out->source says why and what to do */
};
/* A cheap look. Where *round differs from the keys' own, *out and *round are set; a new round is
 * other keys. 0: none seen yet. */
enum keys_state keys_look(struct keys *k, uint64_t *round, struct credentials *out);
/* The store says that the keys of this round have ended. True: news will come. */
NODISCARD
bool keys_refused(struct keys *k, uint64_t round);
/* A provider is being asked: on_news will be called. */
bool keys_busy(struct keys *k);
/* Everything is read again; who looks meanwhile is told KEYS_WAIT, for KEYS_RELOAD_WAIT_MS at
 * most. */
void keys_reload(struct keys *k);
enum { KEYS_RELOAD_WAIT_MS = 2000 };
/* Why the provider fails, while keys are in use or not; "" while it does not. */
void keys_trouble(struct keys *k, char text[ERR_TEXT_BYTES]);

#endif
