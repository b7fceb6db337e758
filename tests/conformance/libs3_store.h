/* libs3_store.h - Debian's libs3 behind the table of objstore.h, as far as it goes: a trial, for
 * the conformance suite and bench_objstore (docs/decisions/sigv2-backend.md). Signature version 2;
 * no conditions but those of reads, no uploads in parts, no suffix ranges, no HTTP statuses.
 *
 * Threads    sixteen, a blocking request each. One store a process. */
#ifndef TESTS_CONFORMANCE_LIBS3_STORE_H
#define TESTS_CONFORMANCE_LIBS3_STORE_H

#include "objstore/objstore.h"

/* asks_etags: by a HEAD where a PUT told none. TIERVEC_TEST_S3_ENDPOINT, TIERVEC_TEST_S3_BUCKET,
 * AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: as scripts/s3_servers sets them. */
NODISCARD
status libs3_store_open(bool asks_etags, struct objstore **out, struct err *err);

#endif
