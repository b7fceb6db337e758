/* open.h - from what the configuration says to a store.
 *
 *   s3://bucket/prefix                  AWS, or [storage] s3_endpoint when that is set
 *   http://host:9000/bucket/prefix      that endpoint, path style; https likewise
 *   file:///path                        a directory as the bucket
 *   memory:name                         tests: one per process and name, gone with it
 *
 * Threads    objstore_open() blocks on nothing but local files; the first request meets the
 * network. Ownership  texts are copied; clock, rand and stats are borrowed. */
#ifndef OBJSTORE_OPEN_H
#define OBJSTORE_OPEN_H

#include "base/clock.h"
#include "base/fs.h"
#include "base/rand.h"
#include "base/stats.h"
#include "objstore/objstore.h"

enum objstore_addressing {
    OBJSTORE_ADDRESS_AUTO = 0,
    OBJSTORE_ADDRESS_PATH,
    OBJSTORE_ADDRESS_VIRTUAL
};

struct objstore_options {
    const char *url;
    const char *region; /* NULL or "": AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1 */
    const char
        *endpoint; /* NULL or "": AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's, AWS */
    enum objstore_addressing addressing; /* auto: virtual on AWS, path with an endpoint of one's
                                          * own, an IP address, or a bucket with a dot over TLS */
    const char *ca_file;                 /* NULL: AWS_CA_BUNDLE, the system's */
    char *const *env; /* "NAME=value", NULL-terminated; NULL: the process's own */
    struct fs *fs; /* directory store and credential files; NULL: the real one, like the next two */
    struct clock *clock;
    struct rand_source *rand;
    struct stats *stats;                      /* tiervec_s3_*; NULL for none */
    uint32_t connections_max[OBJSTORE_POOLS]; /* 0: 32, 8, 8 */
};
/* ST_INVALID: the URL is none of the above, and what it should look like. ST_UNSUPPORTED. A store
 * whose credentials cannot be found opens too, and every request is OBJSTORE_PERMANENT saying where
 * they were looked for. */
NODISCARD
status objstore_open(const struct objstore_options *options, struct objstore **out,
                     struct err *err);

#endif
