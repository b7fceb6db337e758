/* jbin_tags.h - the tags of docs/formats/payload.md, for base/jbin*.c alone. Stored, never
 * renumbered. */
#ifndef BASE_JBIN_TAGS_H
#define BASE_JBIN_TAGS_H

enum {
    JBIN_VERSION = 1,
    JBIN_NULL = 0x00,
    JBIN_FALSE = 0x01,
    JBIN_TRUE = 0x02,
    JBIN_U64 = 0x03,
    JBIN_NEGATIVE = 0x04,
    JBIN_F64 = 0x05,
    JBIN_STRING = 0x06,
    JBIN_ARRAY = 0x07,
    JBIN_OBJECT = 0x08,
    JBIN_SHORT = 0x80, /* and the bytes of the string */
    JBIN_SHORT_BYTES_MAX = 127,
};

#endif
