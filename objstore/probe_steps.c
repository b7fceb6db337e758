/* What one writer can find out. */
#include "objstore/probe_internal.h"

#include "base/crc32c.h"

#include <stdio.h>

#define KEY(name, tail)                                                                            \
    char name[OBJSTORE_KEY_BYTES_MAX + 1];                                                         \
    probe_key(p, tail, name)

status probe_step_read(struct probe *p, struct probe_fact *fact)
{
    enum objstore_class class = OBJSTORE_OK;
    char text[PROBE_BODY_BYTES];
    status st;
    KEY(key, "");

    st = probe_put(p, key, "one", OBJSTORE_ALWAYS, NULL, &class, NULL);
    if (st == ST_OK && class != OBJSTORE_OK)
        return p->why.code = ST_DENIED; /* not even that: nothing can be said of conditions */
    if (st == ST_OK)
        st = probe_get(p, key, "one", text);
    if (st != ST_OK || p->lost)
        return st;
    if (strcmp(text, "one") == 0)
        fact->answer = PROBE_HOLDS;
    else
        probe_say(fact, PROBE_BROKEN, "a PUT was answered with success, and %s",
                  text[0] == '\0' ? "nothing is there" : "something else is there");
    return ST_OK;
}

status probe_step_overwrite(struct probe *p, struct probe_fact *fact)
{
    enum objstore_class class = OBJSTORE_OK;
    char text[PROBE_BODY_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    status st;
    KEY(key, "");

    st = probe_make(p, key, "one", etag);
    if (st == ST_OK)
        st = probe_put(p, key, "two", OBJSTORE_ALWAYS, NULL, &class, NULL);
    if (st == ST_OK)
        st = probe_get(p, key, "two", text);
    if (st != ST_OK)
        return st;
    if (class != OBJSTORE_OK)
        probe_say(fact, PROBE_REFUSED, "%.*s", PROBE_TEXT_BYTES - 1, p->why.text);
    else if (strcmp(text, "two") == 0)
        fact->answer = PROBE_HOLDS;
    else if (!p->lost)
        probe_say(fact, PROBE_BROKEN, "a read behind a second PUT still had the first");
    return ST_OK;
}

status probe_step_create_twice(struct probe *p, struct probe_fact *fact)
{
    enum objstore_class class = OBJSTORE_OK;
    char text[PROBE_BODY_BYTES];
    status st;
    KEY(key, "");

    st = probe_put(p, key, "one", OBJSTORE_IF_ABSENT, NULL, &class, NULL);
    if (st != ST_OK || p->lost || probe_refuses(fact, class, &p->why))
        return st;
    if (class == OBJSTORE_PRECONDITION) {
        probe_say(fact, PROBE_BROKEN, "If-None-Match: * was refused where nothing is");
        return ST_OK;
    }
    st = probe_put(p, key, "two", OBJSTORE_IF_ABSENT, NULL, &class, NULL);
    if (st != ST_OK || p->lost || probe_refuses(fact, class, &p->why))
        return st;
    if (class == OBJSTORE_OK) {
        probe_say(fact, PROBE_BROKEN,
                  "a PUT with If-None-Match: * overwrote an object and was answered with success");
        return ST_OK;
    }
    st = probe_get(p, key, "one", text);
    if (st != ST_OK || p->lost)
        return st;
    if (strcmp(text, "one") == 0)
        fact->answer = PROBE_HOLDS;
    else
        probe_say(fact, PROBE_BROKEN,
                  "a PUT with If-None-Match: * was answered with 412 and changed the object");
    return ST_OK;
}

status probe_step_match_right(struct probe *p, struct probe_fact *fact)
{
    enum objstore_class class = OBJSTORE_OK;
    char text[PROBE_BODY_BYTES];
    char old[OBJSTORE_ETAG_BYTES];
    char now[OBJSTORE_ETAG_BYTES];
    status st;
    KEY(key, "");

    st = probe_make(p, key, "one", old);
    if (st != ST_OK || p->lost)
        return st;
    st = probe_put(p, key, "two", OBJSTORE_IF_MATCH, old, &class, now);
    if (st != ST_OK || p->lost || probe_refuses(fact, class, &p->why))
        return st;
    if (class == OBJSTORE_PRECONDITION) {
        probe_say(fact, PROBE_BROKEN, "If-Match with the newest etag was refused");
        return ST_OK;
    }
    if (strcmp(old, now) == 0) {
        probe_say(fact, PROBE_BROKEN, "an object with other bytes has the same etag");
        return ST_OK;
    }
    st = probe_get(p, key, "two", text);
    if (st != ST_OK || p->lost)
        return st;
    if (strcmp(text, "two") == 0)
        fact->answer = PROBE_HOLDS;
    else
        probe_say(fact, PROBE_BROKEN, "If-Match was answered with success and replaced nothing");
    return ST_OK;
}

/* A PUT with If-Match that must be refused; `expected` stays what a read sees. */
static status refused(struct probe *p, struct probe_fact *fact, const char *key, const char *etag,
                      const char *expected, const char *how)
{
    enum objstore_class class = OBJSTORE_OK;
    char text[PROBE_BODY_BYTES];
    status st = probe_put(p, key, "unwanted", OBJSTORE_IF_MATCH, etag, &class, NULL);

    if (st != ST_OK || p->lost || probe_refuses(fact, class, &p->why))
        return st;
    if (class == OBJSTORE_OK) {
        probe_say(fact, PROBE_BROKEN, "a PUT with If-Match and %s was answered with success", how);
        return ST_OK;
    }
    st = probe_get(p, key, expected, text);
    if (st != ST_OK || p->lost)
        return st;
    if (strcmp(text, "unwanted") == 0)
        probe_say(fact, PROBE_BROKEN, "a PUT with If-Match and %s was refused, and took effect",
                  how);
    else
        fact->answer = PROBE_HOLDS;
    return ST_OK;
}

status probe_step_match_stale(struct probe *p, struct probe_fact *fact)
{
    enum objstore_class class = OBJSTORE_OK;
    char old[OBJSTORE_ETAG_BYTES];
    status st;
    KEY(key, "");

    st = probe_make(p, key, "one", old);
    if (st == ST_OK && !p->lost)
        st = probe_put(p, key, "two", OBJSTORE_ALWAYS, NULL, &class, NULL);
    if (st != ST_OK || p->lost)
        return st;
    return refused(p, fact, key, old, "two", "an etag that was replaced");
}

status probe_step_match_missing(struct probe *p, struct probe_fact *fact)
{
    char etag[OBJSTORE_ETAG_BYTES];
    status st;
    KEY(key, "/here");
    KEY(missing, "/missing");

    st = probe_make(p, key, "one", etag);
    if (st != ST_OK || p->lost)
        return st;
    return refused(p, fact, missing, etag, "", "no object under the key");
}

/* Which of the tails a listing of this step's keys has; *rising: in order. */
static status list_tails(struct probe *p, const char *const *tails, size_t count, unsigned *found,
                         bool *rising)
{
    struct objstore_req req = {.op = OBJSTORE_LIST};
    status st;
    KEY(prefix, "/");

    req.key = prefix;
    st = probe_send(p, &req);
    if (st != ST_OK)
        return st;
    *found = 0;
    *rising = true;
    if (req.result.class != OBJSTORE_OK)
        st = err_set(&p->why, ST_DENIED, "%s", req.result.err.text);
    for (size_t i = 0; i < req.result.entry_count; i++) {
        const char *key = req.result.entries[i].key;

        if (i > 0 && strcmp(req.result.entries[i - 1].key, key) >= 0)
            *rising = false;
        for (size_t t = 0; t < count; t++) {
            KEY(want, tails[t]);
            if (strcmp(want, key) == 0)
                *found |= 1u << t;
        }
    }
    objstore_result_fini(&req.result);
    return st;
}

/* By folders `a/b` comes before `a-b`. */
static const char *const TAILS[] = {"/a-b", "/a/b", "/c"};
enum { TAILS_ALL = 7, TAILS_WITHOUT_C = 3 };

static status make_tails(struct probe *p)
{
    status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < COUNT_OF(TAILS); i++) {
        char etag[OBJSTORE_ETAG_BYTES];
        KEY(key, TAILS[i]);

        st = probe_make(p, key, "one", etag);
    }
    return st;
}

status probe_step_list(struct probe *p, struct probe_fact *fact)
{
    struct objstore_req gone = {.op = OBJSTORE_DELETE};
    unsigned found;
    bool rising;
    status st = make_tails(p);
    KEY(key, "/c");

    if (st != ST_OK || p->lost)
        return st;
    st = list_tails(p, TAILS, COUNT_OF(TAILS), &found, &rising);
    if (st != ST_OK)
        return st;
    if (found != TAILS_ALL) {
        probe_say(fact, PROBE_BROKEN, "a listing lacked an object that had been put before it");
        return ST_OK;
    }
    gone.key = key;
    st = probe_send(p, &gone);
    if (st != ST_OK || p->lost)
        return st;
    objstore_result_fini(&gone.result);
    st = list_tails(p, TAILS, COUNT_OF(TAILS), &found, &rising);
    if (st != ST_OK)
        return st;
    if (found == TAILS_WITHOUT_C)
        fact->answer = PROBE_HOLDS;
    else
        probe_say(fact, PROBE_BROKEN,
                  (found & TAILS_WITHOUT_C) == TAILS_WITHOUT_C
                      ? "a listing still had an object that had been deleted before it"
                      : "a listing lacked an object that had been put before it");
    return ST_OK;
}

status probe_step_list_order(struct probe *p, struct probe_fact *fact)
{
    unsigned found;
    bool rising = true;
    status st = make_tails(p);

    if (st == ST_OK && !p->lost)
        st = list_tails(p, TAILS, COUNT_OF(TAILS), &found, &rising);
    if (st != ST_OK || p->lost)
        return st;
    if (rising)
        fact->answer = PROBE_HOLDS;
    else
        probe_say(fact, PROBE_BROKEN, "by folders, so a/b comes before a-b: the node sorts itself");
    return ST_OK;
}

/* --- ranges --- */

enum { RANGE_OBJECT_BYTES = 4096 };

static const struct range {
    uint64_t offset, bytes;
    bool suffix;
    size_t first, count; /* what must come; count 0: 416 */
    const char *name;
} RANGES[] = {
    {100, 100, false, 100, 100, "in the middle"},
    {4000, OBJSTORE_RANGE_ALL, false, 4000, 96, "to the end"},
    {4000, 4096, false, 4000, 96, "beyond the end"},
    {0, 10, true, 4086, 10, "of the last bytes"},
    {5000, 10, false, 0, 0, "that begins beyond the end"},
};

static status one_range(struct probe *p, struct probe_fact *fact, const char *key,
                        const uint8_t *object, const struct range *r)
{
    struct objstore_req req = {.op = OBJSTORE_GET,
                               .key = key,
                               .range_offset = r->offset,
                               .range_bytes = r->bytes,
                               .range_suffix = r->suffix};
    const struct slice want = slice_make(object + r->first, r->count);
    status st = probe_send(p, &req);

    if (st != ST_OK)
        return st;
    if (r->count == 0 ? req.result.class == OBJSTORE_OK : req.result.class != OBJSTORE_OK)
        probe_say(fact, PROBE_BROKEN, "a range %s: %.120s", r->name,
                  r->count == 0 ? "answered with success" : req.result.err.text);
    else if (r->count != 0 && !slice_equal(buf_slice(&req.result.body), want))
        probe_say(fact, PROBE_BROKEN, "a range %s brought other bytes", r->name);
    objstore_result_fini(&req.result);
    return ST_OK;
}

status probe_step_range(struct probe *p, struct probe_fact *fact)
{
    uint8_t object[RANGE_OBJECT_BYTES];
    struct objstore_req put = {.op = OBJSTORE_PUT, .body = slice_make(object, sizeof object)};
    status st;
    KEY(key, "");

    for (size_t i = 0; i < sizeof object; i++)
        object[i] = (uint8_t)((i * 131) ^ (i >> 8));
    put.key = key;
    st = probe_send(p, &put);
    if (st != ST_OK)
        return st;
    objstore_result_fini(&put.result);
    for (size_t i = 0; st == ST_OK && i < COUNT_OF(RANGES); i++) {
        st = one_range(p, fact, key, object, &RANGES[i]);
        if (st == ST_OK && fact->answer == PROBE_BROKEN) { /* a bit that flipped would not again */
            fact->answer = PROBE_UNKNOWN;
            st = one_range(p, fact, key, object, &RANGES[i]);
        }
        if (fact->answer == PROBE_BROKEN)
            return st;
    }
    if (st == ST_OK)
        fact->answer = PROBE_HOLDS;
    return st;
}

/* --- what no grade hangs on --- */

status probe_step_not_modified(struct probe *p, struct probe_fact *fact)
{
    char etag[OBJSTORE_ETAG_BYTES];
    struct objstore_req get = {.op = OBJSTORE_GET, .condition = OBJSTORE_IF_CHANGED, .etag = etag};
    status st;
    KEY(key, "");

    get.key = key;
    st = probe_make(p, key, "one", etag);
    if (st == ST_OK && !p->lost)
        st = probe_send(p, &get);
    if (st != ST_OK || p->lost)
        return st;
    if (get.result.class == OBJSTORE_NOT_MODIFIED)
        fact->answer = PROBE_HOLDS;
    else
        probe_say(fact, PROBE_BROKEN, "If-None-Match with the newest etag brought HTTP %d",
                  get.result.http_status);
    objstore_result_fini(&get.result);
    return ST_OK;
}

status probe_step_checksum(struct probe *p, struct probe_fact *fact)
{
    const struct slice body = slice_text("one");
    uint32_t sum = crc32c(0, body.data, body.bytes);
    struct objstore_req put = {.op = OBJSTORE_PUT, .body = body, .crc32c = &sum};
    status st;
    KEY(key, "");

    put.key = key;
    st = probe_send(p, &put);
    if (st != ST_OK || p->lost)
        return st;
    if (put.result.class != OBJSTORE_OK)
        probe_say(fact, PROBE_REFUSED, "%.*s", PROBE_TEXT_BYTES - 1, put.result.err.text);
    objstore_result_fini(&put.result);
    if (fact->answer == PROBE_REFUSED)
        return ST_OK;
    sum ^= 1;
    st = probe_send(p, &put);
    if (st != ST_OK || p->lost)
        return st;
    if (put.result.class == OBJSTORE_OK)
        probe_say(fact, PROBE_BROKEN, "a PUT with a wrong x-amz-checksum-crc32c was taken");
    else
        fact->answer = PROBE_HOLDS;
    objstore_result_fini(&put.result);
    return ST_OK;
}

static void abort_upload(struct probe *p, const char *key, const char *upload_id)
{
    struct objstore_req req = {.op = OBJSTORE_UPLOAD_ABORT, .key = key, .upload_id = upload_id};

    if (probe_send(p, &req) == ST_OK)
        objstore_result_fini(&req.result);
}

static status complete(struct probe *p, struct probe_fact *fact, const char *key,
                       const char *upload_id)
{
    struct objstore_part part = {.number = 1};
    struct objstore_req put = {.op = OBJSTORE_UPLOAD_PART,
                               .key = key,
                               .upload_id = upload_id,
                               .part_number = 1,
                               .body = slice_text("two")};
    struct objstore_req end = {.op = OBJSTORE_UPLOAD_COMPLETE,
                               .key = key,
                               .upload_id = upload_id,
                               .parts = &part,
                               .part_count = 1,
                               .condition = OBJSTORE_IF_ABSENT};
    status st = probe_send(p, &put);

    if (st != ST_OK || p->lost)
        return st;
    memcpy(part.etag, put.result.etag, sizeof part.etag);
    if (put.result.class != OBJSTORE_OK)
        probe_say(fact, PROBE_REFUSED, "%.*s", PROBE_TEXT_BYTES - 1, put.result.err.text);
    objstore_result_fini(&put.result);
    if (fact->answer == PROBE_REFUSED)
        return ST_OK;
    st = probe_send(p, &end);
    if (st != ST_OK || p->lost)
        return st;
    if (end.result.class == OBJSTORE_PRECONDITION)
        fact->answer = PROBE_HOLDS;
    else if (end.result.class == OBJSTORE_OK)
        probe_say(fact, PROBE_BROKEN,
                  "a completion with If-None-Match: * overwrote an object with success");
    else
        probe_say(fact, PROBE_REFUSED, "%.*s", PROBE_TEXT_BYTES - 1, end.result.err.text);
    objstore_result_fini(&end.result);
    return ST_OK;
}

status probe_step_complete_twice(struct probe *p, struct probe_fact *fact)
{
    struct objstore_req begin = {.op = OBJSTORE_UPLOAD_BEGIN};
    char upload_id[OBJSTORE_UPLOAD_BYTES];
    char etag[OBJSTORE_ETAG_BYTES];
    status st;
    KEY(key, "");

    begin.key = key;
    st = probe_make(p, key, "one", etag);
    if (st == ST_OK && !p->lost)
        st = probe_send(p, &begin);
    if (st != ST_OK || p->lost)
        return st;
    memcpy(upload_id, begin.result.upload_id, sizeof upload_id);
    if (begin.result.class != OBJSTORE_OK)
        probe_say(fact, PROBE_REFUSED, "%.*s", PROBE_TEXT_BYTES - 1, begin.result.err.text);
    objstore_result_fini(&begin.result);
    if (fact->answer == PROBE_REFUSED)
        return ST_OK;
    st = complete(p, fact, key, upload_id);
    if (st == ST_OK && fact->answer != PROBE_BROKEN)
        abort_upload(p, key, upload_id);
    return st;
}
