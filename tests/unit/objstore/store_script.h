/* store_script.h - every operation once, for sweeps of failing allocations: each request ends, in
 * OK or in TRANSIENT with a text, and what was refused was not done. */
#ifndef TESTS_UNIT_OBJSTORE_STORE_SCRIPT_H
#define TESTS_UNIT_OBJSTORE_STORE_SCRIPT_H

#include "objstore/objstore.h"

/* ST_OK; ST_NOMEM where a request was TRANSIENT; else it fails the test. */
status store_script(struct objstore *s);

#endif
