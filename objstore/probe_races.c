/* Many writers at once, each over a connection of its own: the pools of a store have 32 together.
 */
#include "objstore/probe_internal.h"

#include <stdio.h>

enum { FOREGROUND_RACERS = 16, LOG_RACERS = 24 };

static enum objstore_pool pool_of(uint32_t i)
{
    if (i < FOREGROUND_RACERS)
        return OBJSTORE_FOREGROUND;
    return i < LOG_RACERS ? OBJSTORE_LOG : OBJSTORE_BULK;
}

static void line_up(struct probe *p, const char *key, enum objstore_condition when,
                    const char *etag)
{
    for (uint32_t i = 0; i < p->options.racers; i++) {
        struct probe_shot *shot = &p->shots[i];

        *shot = (struct probe_shot){.req = {.op = OBJSTORE_PUT,
                                            .pool = pool_of(i),
                                            .key = key,
                                            .condition = when,
                                            .etag = etag}};
        (void)snprintf(shot->text, sizeof shot->text, "racer %u of %s", i, p->run);
        shot->req.body = slice_text(shot->text);
    }
}

struct outcome {
    uint32_t wins, winner;
    bool refused;
};

static struct outcome count(struct probe *p)
{
    struct outcome o = {0};

    for (uint32_t i = 0; i < p->options.racers; i++) {
        const struct objstore_result *r = &p->shots[i].req.result;

        if (r->class == OBJSTORE_OK) {
            o.wins++;
            o.winner = i;
        } else if (r->class != OBJSTORE_PRECONDITION) {
            o.refused = true;
            p->why = r->err;
        }
    }
    return o;
}

/* Two successes are two, whatever else was lost; everything else counts only where nothing was. */
static status judge(struct probe *p, struct probe_fact *fact, const char *key, const char *what)
{
    struct outcome o = count(p);
    char text[PROBE_BODY_BYTES];
    status st;

    if (o.wins > 1) {
        probe_say(fact, PROBE_BROKEN, "%u of %u that %s at once were answered with success", o.wins,
                  p->options.racers, what);
        return ST_OK;
    }
    if (p->lost)
        return ST_OK;
    if (o.refused) {
        probe_say(fact, PROBE_REFUSED, "%.*s", PROBE_TEXT_BYTES - 1, p->why.text);
        return ST_OK;
    }
    if (o.wins == 0) { /* someone in between may have sent the winner's twice */
        p->lost = true;
        (void)err_set(&p->why, ST_UNAVAILABLE, "of %u that %s at once none won", p->options.racers,
                      what);
        return ST_OK;
    }
    st = probe_get(p, key, p->shots[o.winner].text, text);
    if (st != ST_OK || p->lost)
        return st;
    if (strcmp(text, p->shots[o.winner].text) == 0)
        fact->answer = PROBE_HOLDS;
    else
        probe_say(fact, PROBE_BROKEN, "of %u that %s at once one won, and another's is there",
                  p->options.racers, what);
    return ST_OK;
}

static status run(struct probe *p, struct probe_fact *fact, const char *key,
                  enum objstore_condition when, const char *etag, const char *what)
{
    uint64_t timeout_ms = p->timeout_ms;
    status st;

    line_up(p, key, when, etag);
    p->timeout_ms = timeout_ms > PROBE_RACE_MS ? timeout_ms : PROBE_RACE_MS;
    st = probe_send_all(p, p->shots, p->options.racers);
    p->timeout_ms = timeout_ms;
    if (st == ST_OK)
        st = judge(p, fact, key, what);
    probe_free(p->shots, p->options.racers);
    return st;
}

status probe_step_create_race(struct probe *p, struct probe_fact *fact)
{
    char key[OBJSTORE_KEY_BYTES_MAX + 1];

    probe_key(p, "", key);
    return run(p, fact, key, OBJSTORE_IF_ABSENT, NULL, "create an object");
}

status probe_step_match_race(struct probe *p, struct probe_fact *fact)
{
    char key[OBJSTORE_KEY_BYTES_MAX + 1];
    char etag[OBJSTORE_ETAG_BYTES];
    status st;

    probe_key(p, "", key);
    st = probe_make(p, key, "one", etag);
    if (st != ST_OK || p->lost)
        return st;
    return run(p, fact, key, OBJSTORE_IF_MATCH, etag, "replace an object");
}
