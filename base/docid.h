/* docid.h - the id of a document: a kind and u64, UUID or bytes.
 *
 * Order: all integers by value, then all UUIDs by their bytes, then all byte strings bytewise.
 *
 * Ownership  a value; `bytes` of kind DOCID_BYTES borrows from whoever made it.
 * On disk    docs/formats/record.md: kind byte, then 8, 16 or varint length + bytes. */
#ifndef BASE_DOCID_H
#define BASE_DOCID_H

#include "base/bytes.h"

enum { DOCID_BYTES_MAX = 512 };

enum docid_kind { /* on disk, never renumbered */
                  DOCID_U64 = 1,
                  DOCID_UUID = 2,
                  DOCID_BYTES = 3,
};

struct docid {
    uint8_t kind; /* enum docid_kind */
    union {
        uint64_t u64;
        uint8_t uuid[16];
        struct slice bytes; /* 1..DOCID_BYTES_MAX */
    };
};

static inline struct docid docid_u64(uint64_t v)
{
    return (struct docid){.kind = DOCID_U64, .u64 = v};
}
int docid_compare(const struct docid *a, const struct docid *b);
bool docid_equal(const struct docid *a, const struct docid *b);
/* The same for ever, on every machine: its low bits are stored (docs/formats/image.md). */
uint64_t docid_hash(const struct docid *id);
/* Appends the encoding; reads one. rd_docid() sets r->bad on an unknown kind or a bad length; bytes
 * then borrow from the reader's memory. */
void buf_put_docid(struct buf *b, const struct docid *id);
struct docid rd_docid(struct rd *r);

enum { DOCID_TEXT_BYTES = DOCID_BYTES_MAX + 1 };
/* Digits, dashed UUID or the bytes as they are; NUL terminated. Returns the length. */
size_t docid_format(const struct docid *id, char text[DOCID_TEXT_BYTES]);
/* Digits without sign or leading zeros (<= 2^64-1), or a UUID text (rand.h, uuid_parse). With
 * `strings` everything else of 1..512 bytes of UTF-8 is an id too and borrows text. ST_INVALID
 * otherwise. */
NODISCARD
status docid_parse(const char *text, size_t bytes, bool strings, struct docid *out,
                   struct err *err);

#endif
