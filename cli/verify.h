/* verify.h - the parts of `tiervec verify`: each adds what it found to one report. */
#ifndef CLI_VERIFY_H
#define CLI_VERIFY_H

#include "cli/offline.h"

enum { VERIFY_TEXT_BYTES = 1024 };
enum verify_grade {
    VERIFY_OK,
    VERIFY_NOTE,    /* whole, and worth a look */
    VERIFY_DAMAGED, /* stored bytes are not what they were, or are gone */
    VERIFY_FAILED,  /* could not be checked */
};
struct verify {
    bool json;
    struct buf out;
    uint64_t count, damaged, failed;
    int code; /* of the first that failed */
};
/* where: a collection's name, or a place; what: "log", "checkpoint", ... */
void verify_found(struct verify *v, enum verify_grade grade, const char *where, const char *what,
                  const char *format, ...) PRINTF_LIKE(5, 6);
/* Damage where st is ST_CORRUPT, else a failure. */
void verify_failure(struct verify *v, const char *where, const char *what, status st,
                    const struct err *err);

void verify_directory(struct verify *v, const struct config *c);
void verify_bucket(struct verify *v, const struct config *c);

#endif
