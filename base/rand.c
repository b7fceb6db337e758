#include "base/rand.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static void kernel_fill(struct rand_source *r, void *out, size_t bytes)
{
    uint8_t *at = out;

    (void)r;
    while (bytes > 0) {
        ssize_t n = getrandom(at, bytes, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            /* Not on any kernel this runs on; ids and salts from a guess would be worse. */
            perror("getrandom");
            abort();
        }
        at += n;
        bytes -= (size_t)n;
    }
}

struct rand_source *rand_kernel(void)
{
    static struct rand_source kernel = {.fill = kernel_fill};

    return &kernel;
}

/* splitmix64 (Steele, Lea and Flood, 2014): a counter with a mixer behind it, so that threads only
 * share the counter. */
static uint64_t seeded_next(struct rand_seeded *r)
{
    uint64_t z = atomic_fetch_add(&r->state, 0x9E3779B97F4A7C15u) + 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* `source` is the first member, so a pointer to it is a pointer to the seeded source. */
static void seeded_fill(struct rand_source *source, void *out, size_t bytes)
{
    uint8_t *at = out;

    while (bytes > 0) {
        uint8_t raw[8];
        size_t n = bytes < sizeof raw ? bytes : sizeof raw;

        le_put_u64(raw, seeded_next((struct rand_seeded *)source));
        memcpy(at, raw, n);
        at += n;
        bytes -= n;
    }
}

void rand_seeded_init(struct rand_seeded *r, uint64_t seed)
{
    r->source.fill = seeded_fill;
    atomic_init(&r->state, seed);
}

uint64_t rand_u64(struct rand_source *r)
{
    uint8_t raw[8];

    r->fill(r, raw, sizeof raw);
    return le_u64(raw);
}

/* Lemire 2019: the high half of a product is uniform once the low halves that would come up once
 * too often are rejected. */
uint64_t rand_below(struct rand_source *r, uint64_t bound)
{
    uint64_t reject_below = (0 - bound) % bound;
    unsigned __int128 product;

    do {
        product = (unsigned __int128)rand_u64(r) * bound;
    } while ((uint64_t)product < reject_below);
    return (uint64_t)(product >> 64);
}

static void set_version(uint8_t uuid[16], unsigned version)
{
    uuid[6] = (uint8_t)((uuid[6] & 0x0Fu) | version << 4);
    uuid[8] = (uint8_t)((uuid[8] & 0x3Fu) | 0x80u);
}

void uuid_make_v4(struct rand_source *r, uint8_t out[16])
{
    r->fill(r, out, 16);
    set_version(out, 4);
}

/* The 12 bits behind the version hold the fraction of the millisecond (RFC 9562, 6.2 method 3), so
 * that ids rise within one too. */
void uuid_make_v7(struct rand_source *r, struct clock *c, uint8_t out[16])
{
    uint64_t wall_ns = clock_wall_ns(c);
    uint64_t ms = wall_ns / 1000000;
    unsigned fraction = (unsigned)(wall_ns % 1000000 * 4096 / 1000000);

    r->fill(r, out + 8, 8);
    for (unsigned i = 0; i < 6; i++)
        out[i] = (uint8_t)(ms >> (40 - 8 * i));
    out[6] = (uint8_t)(fraction >> 8);
    out[7] = (uint8_t)fraction;
    set_version(out, 7);
}

static bool dash_before_byte(unsigned i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

void uuid_format(const uint8_t uuid[16], char text[UUID_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char *at = text;

    for (unsigned i = 0; i < 16; i++) {
        if (dash_before_byte(i))
            *at++ = '-';
        *at++ = digits[uuid[i] >> 4];
        *at++ = digits[uuid[i] & 0x0Fu];
    }
    *at = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_parse(const char *text, size_t bytes, uint8_t out[16])
{
    static const char urn[] = "urn:uuid:";
    uint8_t uuid[16];
    bool dashes;

    if (bytes >= sizeof urn - 1 && strncasecmp(text, urn, sizeof urn - 1) == 0) {
        text += sizeof urn - 1;
        bytes -= sizeof urn - 1;
    }
    if (bytes != 32 && bytes != 36)
        return false;
    dashes = bytes == 36;
    for (unsigned i = 0; i < 16; i++) {
        int high;
        int low;

        if (dashes && dash_before_byte(i) && *text++ != '-')
            return false;
        high = hex_digit(*text++);
        low = hex_digit(*text++);
        if (high < 0 || low < 0)
            return false;
        uuid[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out, uuid, sizeof uuid);
    return true;
}
