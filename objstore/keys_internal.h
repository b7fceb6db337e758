/* keys_internal.h - what tests of keys.c need beyond its contract. */
#ifndef OBJSTORE_KEYS_INTERNAL_H
#define OBJSTORE_KEYS_INTERNAL_H

#include "objstore/credentials_ask.h"
#include "objstore/keys.h"

/* As keys_open(), for tests that cannot wait so long. */
NODISCARD
status keys_open_timed(const struct keys_options *options,
                       const struct credentials_timings *timings, struct keys **out,
                       struct err *err);

#endif
