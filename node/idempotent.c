/* Idempotency keys: a hash table of those seen lately, in the order in which they came. */
#include "base/crypto.h"
#include "node/node_internal.h"
#include "node/points.h"

enum { KEY_BUCKETS = 16384 };

struct seen_key {
    struct seen_key *next;             /* in its bucket */
    struct seen_key *older, *newer;    /* by age */
    uint8_t name[CRYPTO_SHA256_BYTES]; /* of scope and key */
    uint64_t request[2];
    uint64_t began_ns; /* monotonic */
    bool answered;
    uint16_t code;
    uint8_t *answer;
    size_t answer_bytes;
};

struct idempotency {
    struct clock *clock;
    struct lock lock; /* LOCK_RANK_LEAF; guards the rest */
    struct seen_key *buckets[KEY_BUCKETS];
    struct seen_key *oldest, *newest;
    size_t count, bytes;
};

status idempotency_create(struct clock *clock, struct idempotency **out, struct err *err)
{
    struct idempotency *t = mem_zero(sizeof *t);

    if (t == NULL)
        return err_set(err, ST_NOMEM, "out of memory for idempotency keys");
    t->clock = clock;
    lock_init(&t->lock, LOCK_RANK_LEAF, "idempotency keys");
    *out = t;
    return ST_OK;
}

static void free_key(struct seen_key *k)
{
    mem_free(k->answer);
    mem_free(k);
}

void idempotency_destroy(struct idempotency *t)
{
    if (t == NULL)
        return;
    while (t->oldest != NULL) {
        struct seen_key *k = t->oldest;

        t->oldest = k->newer;
        free_key(k);
    }
    lock_fini(&t->lock);
    mem_free(t);
}

/* --- the table, its lock held --- */

static struct seen_key **bucket_of(struct idempotency *t, const uint8_t *name)
{
    return &t->buckets[le_u64(name) % KEY_BUCKETS];
}

static struct seen_key *find_locked(struct idempotency *t, const uint8_t *name)
{
    struct seen_key *k = *bucket_of(t, name);

    while (k != NULL && memcmp(k->name, name, sizeof k->name) != 0)
        k = k->next;
    return k;
}

static void add_locked(struct idempotency *t, struct seen_key *k)
{
    struct seen_key **bucket = bucket_of(t, k->name);

    k->next = *bucket;
    *bucket = k;
    k->older = t->newest;
    if (t->newest != NULL)
        t->newest->newer = k;
    else
        t->oldest = k;
    t->newest = k;
    t->count++;
}

static void remove_locked(struct idempotency *t, struct seen_key *k)
{
    struct seen_key **at = bucket_of(t, k->name);

    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    *(k->older != NULL ? &k->older->newer : &t->oldest) = k->newer;
    *(k->newer != NULL ? &k->newer->older : &t->newest) = k->older;
    t->count--;
    t->bytes -= k->answer_bytes;
    free_key(k);
}

/* What is too old, or too much. Those under way stay: requests under way are few. */
static void make_room_locked(struct idempotency *t)
{
    uint64_t now_ns = clock_mono_ns(t->clock);
    struct seen_key *k = t->oldest;

    while (k != NULL && (t->count > IDEMPOTENT_KEYS_MAX || t->bytes > IDEMPOTENT_BYTES_MAX ||
                         now_ns - k->began_ns >= IDEMPOTENT_KEPT_NS)) {
        struct seen_key *newer = k->newer;

        if (k->answered)
            remove_locked(t, k);
        k = newer;
    }
}

/* --- */

static status name_of(struct slice scope, struct slice key, uint8_t name[CRYPTO_SHA256_BYTES],
                      struct err *err)
{
    struct buf b;
    status st;

    if (key.bytes == 0 || key.bytes > IDEMPOTENT_KEY_BYTES_MAX ||
        scope.bytes > IDEMPOTENT_SCOPE_BYTES_MAX)
        return err_set(err, ST_INVALID, "an idempotency key has 1 to %d bytes",
                       IDEMPOTENT_KEY_BYTES_MAX);
    buf_init(&b, IDEMPOTENT_SCOPE_BYTES_MAX + IDEMPOTENT_KEY_BYTES_MAX + 4);
    buf_put_u32(&b, (uint32_t)scope.bytes);
    buf_put_slice(&b, scope);
    buf_put_slice(&b, key);
    st = buf_status(&b, err);
    if (st == ST_OK)
        st = crypto_sha256(buf_slice(&b), name, err);
    buf_free(&b);
    return st;
}

static status tell_locked(const struct seen_key *k, const struct seen_key *fresh,
                          struct arena *arena, struct idempotent *out, struct err *err)
{
    uint8_t *copy;

    if (memcmp(k->request, fresh->request, sizeof k->request) != 0) {
        out->state = IDEMPOTENT_OTHER;
        return ST_OK;
    }
    out->state = k->answered ? IDEMPOTENT_KNOWN : IDEMPOTENT_RUNNING;
    out->code = k->code;
    if (k->answer_bytes == 0)
        return ST_OK;
    copy = arena_alloc(arena, k->answer_bytes);
    if (copy == NULL)
        return err_set(err, ST_NOMEM, "out of memory for an answer");
    memcpy(copy, k->answer, k->answer_bytes);
    out->answer = slice_make(copy, k->answer_bytes);
    return ST_OK;
}

status node_idempotent_begin(struct node *node, struct slice scope, struct slice key,
                             struct slice request, struct arena *arena, struct idempotent *out,
                             struct err *err)
{
    struct idempotency *t = node->idempotency;
    struct idempotent told = {0};
    struct seen_key *fresh = NULL;
    struct seen_key *known;
    status st = name_of(scope, key, told.name, err);

    if (st != ST_OK)
        return st;
    fresh = mem_zero(sizeof *fresh);
    if (fresh == NULL)
        return err_set(err, ST_NOMEM, "out of memory for an idempotency key");
    memcpy(fresh->name, told.name, sizeof fresh->name);
    for (unsigned i = 0; i < COUNT_OF(fresh->request); i++)
        fresh->request[i] = hash_bytes(request.data, request.bytes, 1 + i);
    lock_take(&t->lock);
    fresh->began_ns = clock_mono_ns(t->clock);
    make_room_locked(t);
    known = find_locked(t, told.name);
    if (known != NULL) {
        st = tell_locked(known, fresh, arena, &told, err);
    } else {
        add_locked(t, fresh);
        fresh = NULL;
    }
    lock_drop(&t->lock);
    mem_free(fresh);
    if (st == ST_OK)
        *out = told;
    return st;
}

void node_idempotent_end(struct node *node, const struct idempotent *i, uint16_t code,
                         struct slice answer)
{
    struct idempotency *t = node->idempotency;
    bool kept = code != 0 && answer.bytes <= IDEMPOTENT_ANSWER_BYTES_MAX;
    uint8_t *copy = kept ? mem_alloc(answer.bytes) : NULL;
    struct seen_key *k;

    if (copy != NULL && answer.bytes > 0)
        memcpy(copy, answer.data, answer.bytes);
    lock_take(&t->lock);
    k = find_locked(t, i->name);
    if (k != NULL && copy == NULL) {
        remove_locked(t, k);
    } else if (k != NULL) {
        k->answered = true;
        k->code = code;
        k->answer = copy;
        k->answer_bytes = answer.bytes;
        t->bytes += answer.bytes;
        copy = NULL;
        make_room_locked(t);
    }
    lock_drop(&t->lock);
    mem_free(copy);
}

struct docid node_idempotent_id(const struct idempotent *i, uint64_t row)
{
    struct docid id = {.kind = DOCID_UUID};

    le_put_u64(id.uuid, hash_bytes(i->name, sizeof i->name, row * 2));
    le_put_u64(id.uuid + 8, hash_bytes(i->name, sizeof i->name, row * 2 + 1));
    id.uuid[6] = (uint8_t)((id.uuid[6] & 0x0f) | 0x80); /* RFC 9562: version 8, */
    id.uuid[8] = (uint8_t)((id.uuid[8] & 0x3f) | 0x80); /* its variant */
    return id;
}
