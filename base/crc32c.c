/* CRC-32C over three interleaved streams.
 *
 * The crc32 instruction takes 3 cycles but one can start every cycle, so a single chain of it uses
 * a third of the CPU. Blocks of three equal parts are therefore run as three chains. The checksum
 * is linear: crc(A then B) = crc(A moved over |B| zero bytes) ^ crc(B from 0). Moving a checksum
 * over a fixed number of zero bytes is a linear map of 32 bits, kept as four tables of 256, made
 * once. */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum {
    POLYNOMIAL = (int)0x82F63B78u, /* 0x1EDC6F41, bits reversed */
    LONG_BYTES = 4096,             /* of one stream in a long block */
    SHORT_BYTES = 256,
};

typedef uint32_t shift_table[4][256];

static uint32_t tables[8][256];
static shift_table over_long;
static shift_table over_short;
static bool has_instruction;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ (uint32_t)POLYNOMIAL : crc >> 1;
        tables[0][i] = crc;
    }
    for (unsigned i = 0; i < 256; i++)
        for (unsigned t = 1; t < 8; t++)
            tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xFFu];
}

/* The map is linear, so it is known from its 32 unit vectors. */
static void make_shift(shift_table shift, size_t zero_bytes)
{
    uint32_t unit[32];

    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t crc = (uint32_t)1 << bit;

        for (size_t i = 0; i < zero_bytes; i++)
            crc = crc >> 8 ^ tables[0][crc & 0xFFu];
        unit[bit] = crc;
    }
    for (unsigned byte = 0; byte < 4; byte++)
        for (unsigned v = 0; v < 256; v++) {
            uint32_t crc = 0;

            for (unsigned bit = 0; bit < 8; bit++)
                if (v >> bit & 1)
                    crc ^= unit[8 * byte + bit];
            shift[byte][v] = crc;
        }
}

static void choose(void)
{
    make_tables();
    make_shift(over_long, LONG_BYTES);
    make_shift(over_short, SHORT_BYTES);
#if defined(__x86_64__)
    has_instruction = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

static uint32_t by_table(uint32_t crc, const uint8_t *at, size_t bytes)
{
    crc = ~crc;
    for (; bytes >= 8; at += 8, bytes -= 8) {
        uint32_t low = le_u32(at) ^ crc;
        uint32_t high = le_u32(at + 4);

        crc = tables[7][low & 0xFFu] ^ tables[6][low >> 8 & 0xFFu] ^ tables[5][low >> 16 & 0xFFu] ^
              tables[4][low >> 24] ^ tables[3][high & 0xFFu] ^ tables[2][high >> 8 & 0xFFu] ^
              tables[1][high >> 16 & 0xFFu] ^ tables[0][high >> 24];
    }
    for (; bytes > 0; at++, bytes--)
        crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xFFu];
    return ~crc;
}

#if defined(__x86_64__)

static uint32_t shift_over(const shift_table shift, uint32_t crc)
{
    return shift[0][crc & 0xFFu] ^ shift[1][crc >> 8 & 0xFFu] ^ shift[2][crc >> 16 & 0xFFu] ^
           shift[3][crc >> 24];
}

static inline uint64_t load(const uint8_t *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof v);
    return v;
}

/* Three streams of part_bytes each, from `at`. */
__attribute__((target("sse4.2"))) static uint32_t
three_streams(uint32_t crc, const uint8_t *at, size_t part_bytes, const shift_table shift)
{
    uint64_t a = crc;
    uint64_t b = 0;
    uint64_t c = 0;

    for (size_t i = 0; i < part_bytes; i += 8) {
        a = _mm_crc32_u64(a, load(at + i));
        b = _mm_crc32_u64(b, load(at + part_bytes + i));
        c = _mm_crc32_u64(c, load(at + 2 * part_bytes + i));
    }
    b ^= shift_over(shift, (uint32_t)a);
    return (uint32_t)c ^ shift_over(shift, (uint32_t)b);
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *at,
                                                                 size_t bytes)
{
    uint64_t wide;

    crc = ~crc;
    for (; bytes >= 3 * LONG_BYTES; at += 3 * LONG_BYTES, bytes -= 3 * LONG_BYTES)
        crc = three_streams(crc, at, LONG_BYTES, over_long);
    for (; bytes >= 3 * SHORT_BYTES; at += 3 * SHORT_BYTES, bytes -= 3 * SHORT_BYTES)
        crc = three_streams(crc, at, SHORT_BYTES, over_short);
    wide = crc;
    for (; bytes >= 8; at += 8, bytes -= 8)
        wide = _mm_crc32_u64(wide, load(at));
    crc = (uint32_t)wide;
    for (; bytes > 0; at++, bytes--)
        crc = _mm_crc32_u8(crc, *at);
    return ~crc;
}

#else

static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t bytes)
{
    return by_table(crc, at, bytes);
}

#endif

uint32_t crc32c_table(uint32_t crc, const void *data, size_t bytes)
{
    (void)pthread_once(&once, choose);
    return by_table(crc, data, bytes);
}

uint32_t crc32c_hardware(uint32_t crc, const void *data, size_t bytes)
{
    (void)pthread_once(&once, choose);
    return has_instruction ? by_instruction(crc, data, bytes) : by_table(crc, data, bytes);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
    return crc32c_hardware(crc, data, bytes);
}
