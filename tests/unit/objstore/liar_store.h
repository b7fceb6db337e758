/* liar_store.h - a store around a store that gets one thing wrong, as stores do: the broken twins a
 * probe must find out. */
#ifndef TESTS_UNIT_OBJSTORE_LIAR_STORE_H
#define TESTS_UNIT_OBJSTORE_LIAR_STORE_H

#include "objstore/objstore.h"

enum lie {
    LIE_NONE = 0,
    LIE_IGNORES_ABSENT,     /* If-None-Match: * is not looked at */
    LIE_IGNORES_MATCH,      /* If-Match is not looked at */
    LIE_IGNORES_CONDITIONS, /* neither, as rclone's server */
    LIE_MATCH_MAKES,    /* If-Match where nothing is makes an object, as MinIO before late 2025 */
    LIE_TWO_CREATE,     /* of many that create at once now and then two win */
    LIE_TWO_REPLACE,    /* of many that replace at once now and then two win */
    LIE_LOSER_WRITES,   /* who is told 412 in a race takes effect now and then */
    LIE_REFUSED_WRITES, /* 412 to a second create, which takes effect */
    LIE_NEVER_MATCHES,  /* the newest etag is refused as well */
    LIE_REFUSES_CONDITIONS, /* 501 NotImplemented to every condition */
    LIE_REFUSES_MATCH,      /* to If-Match alone */
    LIE_ONE_ETAG,           /* the same for all bytes */
    LIE_STALE_LIST,         /* a listing lacks what was put last */
    LIE_LISTS_THE_DELETED,  /* and has what was deleted last */
    LIE_STALE_READ,         /* a GET brings what was there before the last PUT */
    LIE_NO_RANGES,          /* the whole object instead */
    LIE_FIRST_FOR_LAST,     /* a suffix is answered with the first bytes */
    LIE_LOSES,              /* a PUT is answered with success and forgotten */
    LIE_UNSORTED,           /* listings fall */
    LIE_TAKES_CHECKSUMS,    /* and compares none */
    LIE_COMPLETES,          /* a completion's condition is not looked at */
    LIES,
};

/* Takes inner and closes it with itself. */
struct objstore *liar_open(struct objstore *inner, enum lie lie);

#endif
