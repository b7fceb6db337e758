#include "segment/objkey.h"

#include "base/hash.h"
#include "base/rand.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    U64_DIGITS = 16,
    UUID_DIGITS = UUID_TEXT_BYTES - 1,
    DIR_BYTES = 5 + UUID_DIGITS + 1,
    PROBER_BYTES_MAX = 100,
};

static_assert(DIR_BYTES + 7 + U64_DIGITS + 1 + UUID_DIGITS + 1 + U64_DIGITS < OBJKEY_BYTES,
              "the longest name, of an orphan, fits");

/* "c/<h2>/<id>/" and what follows. */
static void put(const uint8_t collection[16], char out[OBJKEY_BYTES], const char *format, ...)
    PRINTF_LIKE(3, 4);

static void put(const uint8_t collection[16], char out[OBJKEY_BYTES], const char *format, ...)
{
    char id[UUID_TEXT_BYTES];
    va_list args;
    int n;

    uuid_format(collection, id);
    n = snprintf(out, OBJKEY_BYTES, "c/%02x/%s/", (unsigned)(hash_bytes(collection, 16, 0) & 0xFF),
                 id);
    assert(n == DIR_BYTES);
    va_start(args, format);
    n = vsnprintf(out + n, OBJKEY_BYTES - (size_t)n, format, args);
    va_end(args);
    assert(n >= 0 && n < OBJKEY_BYTES - DIR_BYTES);
}

void objkey_root(const uint8_t collection[16], char out[OBJKEY_BYTES])
{
    put(collection, out, "root");
}

void objkey_group(const uint8_t collection[16], uint64_t epoch, uint64_t seq,
                  char out[OBJKEY_BYTES])
{
    put(collection, out, "w/%016" PRIx64 "/%016" PRIx64, epoch, seq);
}

void objkey_manifest(const uint8_t collection[16], uint64_t revision, const uint8_t uuid[16],
                     char out[OBJKEY_BYTES])
{
    char text[UUID_TEXT_BYTES];

    uuid_format(uuid, text);
    put(collection, out, "m/%016" PRIx64 "-%s", revision, text);
}

void objkey_data(const uint8_t collection[16], const uint8_t uuid[16], char out[OBJKEY_BYTES])
{
    char text[UUID_TEXT_BYTES];

    uuid_format(uuid, text);
    put(collection, out, "g/%s", text);
}

void objkey_pin(const uint8_t collection[16], const uint8_t uuid[16], char out[OBJKEY_BYTES])
{
    char text[UUID_TEXT_BYTES];

    uuid_format(uuid, text);
    put(collection, out, "pin/%s", text);
}

void objkey_orphan(const uint8_t collection[16], uint64_t epoch, const uint8_t session[16],
                   uint64_t first_lsn, char out[OBJKEY_BYTES])
{
    char text[UUID_TEXT_BYTES];

    uuid_format(session, text);
    put(collection, out, "orphan/%016" PRIx64 "/%s/%016" PRIx64, epoch, text, first_lsn);
}

void objkey_prefix_collection(const uint8_t collection[16], char out[OBJKEY_BYTES])
{
    put(collection, out, "%s", "");
}

void objkey_prefix_groups(const uint8_t collection[16], uint64_t epoch, char out[OBJKEY_BYTES])
{
    put(collection, out, "w/%016" PRIx64 "/", epoch);
}

void objkey_prefix_pins(const uint8_t collection[16], char out[OBJKEY_BYTES])
{
    put(collection, out, "pin/");
}

void objkey_prefix_manifests(const uint8_t collection[16], char out[OBJKEY_BYTES])
{
    put(collection, out, "m/");
}

void objkey_prefix_probe(const char *prober, char out[OBJKEY_BYTES])
{
    char name[PROBER_BYTES_MAX + 1];
    size_t bytes = strnlen(prober, PROBER_BYTES_MAX);

    for (size_t i = 0; i < bytes; i++) {
        char c = prober[i];
        bool kept = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';

        name[i] = (char)(kept ? c : '_');
    }
    name[bytes] = '\0';
    (void)snprintf(out, OBJKEY_BYTES, OBJKEY_PROBES "%s/", bytes == 0 ? "_" : name);
}

/* What is left of a name; NULL once it is not what was asked for. */
struct cut {
    const char *at;
};

static void cut_text(struct cut *c, const char *text)
{
    size_t n = strlen(text);

    if (c->at != NULL)
        c->at = strncmp(c->at, text, n) == 0 ? c->at + n : NULL;
}

static uint64_t cut_u64(struct cut *c)
{
    uint64_t v = 0;

    for (unsigned i = 0; c->at != NULL && i < U64_DIGITS; i++) {
        char ch = *c->at;
        unsigned digit = ch >= '0' && ch <= '9' ? (unsigned)(ch - '0') : (unsigned)(ch - 'a') + 10;

        c->at = digit < 16 ? c->at + 1 : NULL;
        v = v << 4 | digit;
    }
    return v;
}

static void cut_uuid(struct cut *c, uint8_t out[16])
{
    if (c->at != NULL)
        c->at = strnlen(c->at, UUID_DIGITS) == UUID_DIGITS && uuid_parse(c->at, UUID_DIGITS, out)
                    ? c->at + UUID_DIGITS
                    : NULL;
}

static enum objkey_kind kind_of(const char *rest)
{
    static const struct {
        const char *text;
        enum objkey_kind kind;
    } names[] = {{"root", OBJKEY_IS_ROOT}, {"w/", OBJKEY_IS_GROUP}, {"m/", OBJKEY_IS_MANIFEST},
                 {"g/", OBJKEY_IS_DATA},   {"pin/", OBJKEY_IS_PIN}, {"orphan/", OBJKEY_IS_ORPHAN}};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strncmp(rest, names[i].text, strlen(names[i].text)) == 0)
            return names[i].kind;
    return OBJKEY_OTHER;
}

/* Reads the name by its kind, and builds it again: only what comes out the same is a name. */
static bool read_name(struct objkey *k, struct cut c, char again[OBJKEY_BYTES])
{
    switch (k->kind) {
    case OBJKEY_IS_ROOT:
        objkey_root(k->collection, again);
        return true;
    case OBJKEY_IS_GROUP:
        cut_text(&c, "w/");
        k->epoch = cut_u64(&c);
        cut_text(&c, "/");
        k->seq = cut_u64(&c);
        objkey_group(k->collection, k->epoch, k->seq, again);
        return c.at != NULL;
    case OBJKEY_IS_MANIFEST:
        cut_text(&c, "m/");
        k->revision = cut_u64(&c);
        cut_text(&c, "-");
        cut_uuid(&c, k->uuid);
        objkey_manifest(k->collection, k->revision, k->uuid, again);
        return c.at != NULL;
    case OBJKEY_IS_DATA:
        cut_text(&c, "g/");
        cut_uuid(&c, k->uuid);
        objkey_data(k->collection, k->uuid, again);
        return c.at != NULL;
    case OBJKEY_IS_PIN:
        cut_text(&c, "pin/");
        cut_uuid(&c, k->uuid);
        objkey_pin(k->collection, k->uuid, again);
        return c.at != NULL;
    case OBJKEY_IS_ORPHAN:
        cut_text(&c, "orphan/");
        k->epoch = cut_u64(&c);
        cut_text(&c, "/");
        cut_uuid(&c, k->uuid);
        cut_text(&c, "/");
        k->lsn = cut_u64(&c);
        objkey_orphan(k->collection, k->epoch, k->uuid, k->lsn, again);
        return c.at != NULL;
    case OBJKEY_OTHER:
    case OBJKEY_IS_FORMAT:
    case OBJKEY_IS_CATALOG:
    case OBJKEY_IS_PINNED:
    case OBJKEY_IS_PROBE:
        break;
    }
    return false;
}

struct objkey objkey_parse(const char *key)
{
    struct objkey k = {.kind = OBJKEY_OTHER};
    struct cut c = {.at = key};
    char again[OBJKEY_BYTES];

    if (strcmp(key, OBJKEY_FORMAT) == 0)
        return (struct objkey){.kind = OBJKEY_IS_FORMAT};
    if (strcmp(key, OBJKEY_CATALOG) == 0)
        return (struct objkey){.kind = OBJKEY_IS_CATALOG};
    if (strcmp(key, OBJKEY_PINNED) == 0)
        return (struct objkey){.kind = OBJKEY_IS_PINNED};
    if (strncmp(key, OBJKEY_PROBES, strlen(OBJKEY_PROBES)) == 0)
        return (struct objkey){.kind = OBJKEY_IS_PROBE};
    cut_text(&c, "c/");
    if (c.at == NULL || strnlen(c.at, 3) < 3)
        return k;
    c.at += 2; /* the hash is compared below */
    cut_text(&c, "/");
    cut_uuid(&c, k.collection);
    cut_text(&c, "/");
    if (c.at == NULL)
        return k;
    k.kind = kind_of(c.at);
    if (!read_name(&k, c, again) || strcmp(key, again) != 0)
        return (struct objkey){.kind = OBJKEY_OTHER};
    return k;
}
