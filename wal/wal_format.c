#include "wal/wal_format.h"

#include "base/crc32c.h"
#include "wal/wal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint8_t magic[8] = {'T', 'V', 'W', 'A', 'L', '\r', '\n', 0x1a};

void wal_head_encode(const struct wal_head *head, uint8_t out[WAL_HEAD_BYTES])
{
    memset(out, 0, WAL_HEAD_BYTES);
    memcpy(out + WAL_HEAD_MAGIC, magic, sizeof(magic));
    le_put_u32(out + WAL_HEAD_VERSION, WAL_VERSION);
    le_put_u32(out + WAL_HEAD_FLAGS, head->flags);
    memcpy(out + WAL_HEAD_LOG_ID, head->log_id, sizeof(head->log_id));
    le_put_u64(out + WAL_HEAD_NUMBER, head->number);
    le_put_u64(out + WAL_HEAD_SALT, head->salt);
    le_put_u64(out + WAL_HEAD_FIRST_LSN, head->first_lsn);
    le_put_u64(out + WAL_HEAD_DURABLE_LSN, head->durable_lsn);
    le_put_u32(out + WAL_HEAD_CRC, crc32c(0, out, WAL_HEAD_CRC));
}

status wal_head_decode(const uint8_t in[WAL_HEAD_BYTES], struct wal_head *out, struct err *err)
{
    struct wal_head head = {0};

    if (memcmp(in + WAL_HEAD_MAGIC, magic, sizeof(magic)) != 0)
        return err_set(err, ST_CORRUPT, "header block: not a log file (bad magic)");
    if (le_u32(in + WAL_HEAD_CRC) != crc32c(0, in, WAL_HEAD_CRC))
        return err_set(err, ST_CORRUPT, "header block: crc mismatch");
    if (le_u32(in + WAL_HEAD_VERSION) != WAL_VERSION)
        return err_set(err, ST_UNSUPPORTED, "header block: version %" PRIu32 ", known is %d",
                       le_u32(in + WAL_HEAD_VERSION), WAL_VERSION);
    head.flags = le_u32(in + WAL_HEAD_FLAGS);
    memcpy(head.log_id, in + WAL_HEAD_LOG_ID, sizeof(head.log_id));
    head.number = le_u64(in + WAL_HEAD_NUMBER);
    head.salt = le_u64(in + WAL_HEAD_SALT);
    head.first_lsn = le_u64(in + WAL_HEAD_FIRST_LSN);
    head.durable_lsn = le_u64(in + WAL_HEAD_DURABLE_LSN);
    if ((head.flags & ~(uint32_t)(WAL_FLAG_UNSYNCED | WAL_FLAG_ANEW)) != 0 || head.first_lsn == 0 ||
        head.first_lsn > WAL_LSN_MAX || head.durable_lsn > WAL_LSN_MAX || head.number > WAL_LSN_MAX)
        return err_set(err, ST_CORRUPT, "header block: a field is out of range");
    *out = head;
    return ST_OK;
}

/* The checksum is linear: a flipped bit changes it by the same amount whatever the other bits are,
 * and a zero byte behind it moves that amount on. */
static uint32_t moved_on(uint32_t difference, uint8_t byte)
{
    return ~crc32c(~difference, &byte, 1);
}

bool wal_head_mend(uint8_t block[WAL_HEAD_BYTES])
{
    uint32_t syndrome = crc32c(0, block, WAL_HEAD_CRC) ^ le_u32(block + WAL_HEAD_CRC);
    uint32_t effect[8];

    for (unsigned bit = 0; bit < 8; bit++)
        effect[bit] = moved_on(0, (uint8_t)(1u << bit));
    for (size_t at = WAL_HEAD_CRC; at-- > 0;) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if (effect[bit] == syndrome) {
                block[at] ^= (uint8_t)(1u << bit);
                return true;
            }
            effect[bit] = moved_on(effect[bit], 0);
        }
    }
    if (syndrome == 0 || (syndrome & (syndrome - 1)) != 0)
        return false;
    le_put_u32(block + WAL_HEAD_CRC, crc32c(0, block, WAL_HEAD_CRC));
    return true;
}

uint32_t wal_head_seed(const struct wal_head *head)
{
    uint8_t bytes[32];

    memcpy(bytes, head->log_id, sizeof(head->log_id));
    le_put_u64(bytes + 16, head->number);
    le_put_u64(bytes + 24, head->salt);
    return crc32c(0, bytes, sizeof(bytes));
}

static uint32_t seed_at(uint32_t seed, uint64_t offset)
{
    uint8_t bytes[8];

    le_put_u64(bytes, offset);
    return crc32c(seed, bytes, sizeof(bytes));
}

static uint32_t header_crc(const uint8_t *frame, uint32_t seed)
{
    return crc32c(seed, frame + WAL_REC_BODY_CRC, WAL_REC_HEADER_BYTES - WAL_REC_BODY_CRC);
}

static uint32_t body_crc(const uint8_t *frame, uint32_t seed, uint32_t payload_bytes)
{
    return crc32c(seed, frame + WAL_REC_HEADER_BYTES,
                  wal_rec_frame_bytes(payload_bytes) - WAL_REC_HEADER_BYTES);
}

void wal_rec_seal(uint8_t *frame, uint32_t seed, uint64_t offset, const struct wal_rec *rec)
{
    uint32_t here = seed_at(seed, offset);

    le_put_u32(frame + WAL_REC_BODY_CRC, body_crc(frame, here, rec->payload_bytes));
    le_put_u64(frame + WAL_REC_LSN, rec->lsn);
    le_put_u64(frame + WAL_REC_DURABLE_LSN, rec->durable_lsn);
    le_put_u32(frame + WAL_REC_BYTES, rec->payload_bytes);
    le_put_u32(frame + WAL_REC_KIND, rec->kind); /* and the three zeros behind it */
    le_put_u32(frame + WAL_REC_HEAD_CRC, header_crc(frame, here));
}

static bool rec_in_range(const struct wal_rec *rec)
{
    if (rec->lsn > WAL_LSN_MAX)
        return false;
    if (rec->kind == WAL_KIND_MARKER)
        return rec->payload_bytes == 0 && rec->durable_lsn <= rec->lsn;
    return rec->payload_bytes > 0 && rec->payload_bytes <= WAL_PAYLOAD_BYTES_MAX &&
           rec->durable_lsn < rec->lsn;
}

bool wal_rec_check_header(const uint8_t *frame, uint32_t seed, uint64_t offset, struct wal_rec *out)
{
    uint32_t kind = le_u32(frame + WAL_REC_KIND);
    struct wal_rec rec;

    /* The cheap test first: the search for later records asks at every eighth byte. */
    if (kind != WAL_KIND_DATA && kind != WAL_KIND_MARKER)
        return false;
    if (le_u32(frame + WAL_REC_HEAD_CRC) != header_crc(frame, seed_at(seed, offset)))
        return false;
    rec.lsn = le_u64(frame + WAL_REC_LSN);
    rec.durable_lsn = le_u64(frame + WAL_REC_DURABLE_LSN);
    rec.payload_bytes = le_u32(frame + WAL_REC_BYTES);
    rec.kind = (uint8_t)kind;
    if (!rec_in_range(&rec))
        return false;
    *out = rec;
    return true;
}

bool wal_rec_check_body(const uint8_t *frame, uint32_t seed, uint64_t offset,
                        const struct wal_rec *rec)
{
    return le_u32(frame + WAL_REC_BODY_CRC) ==
           body_crc(frame, seed_at(seed, offset), rec->payload_bytes);
}

bool wal_end_mark_is_zero(const uint8_t *frame)
{
    static const uint8_t zero[WAL_END_MARK_BYTES];

    return memcmp(frame, zero, sizeof(zero)) == 0;
}

void wal_name_format(char name[WAL_NAME_BYTES], uint64_t number, const char *suffix)
{
    (void)snprintf(name, WAL_NAME_BYTES, "%016" PRIx64 ".%s", number, suffix);
}

static bool hex_digit(char c, uint64_t *value)
{
    if (c >= '0' && c <= '9')
        *value = (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
        *value = (uint64_t)(c - 'a') + 10;
    else
        return false;
    return true;
}

bool wal_name_parse(const char *name, const char *suffix, uint64_t *number)
{
    uint64_t n = 0;
    uint64_t digit;

    for (size_t i = 0; i < 16; i++) {
        if (!hex_digit(name[i], &digit))
            return false;
        n = n << 4 | digit;
    }
    if (name[16] != '.' || strcmp(name + 17, suffix) != 0)
        return false;
    *number = n;
    return true;
}
