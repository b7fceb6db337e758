/* s3_target.h - where the requests of a store go: endpoint, host, bucket, prefix, region. Pure. */
#ifndef OBJSTORE_S3_TARGET_H
#define OBJSTORE_S3_TARGET_H

#include "objstore/credentials.h"
#include "objstore/open.h"
#include "objstore/url.h"

enum { S3_HOST_BYTES = OBJSTORE_ENDPOINT_BYTES + OBJSTORE_BUCKET_BYTES };

struct s3_target {
    bool tls;
    bool aws;                               /* the host follows the region */
    bool virtual_host;                      /* the bucket stands in the host, not in the path */
    char host[S3_HOST_BYTES];               /* of the URL and of Host: "b.s3.eu-1.amazonaws.com",
                                             * "127.0.0.1:9000" */
    char endpoint[OBJSTORE_ENDPOINT_BYTES]; /* for texts: "http://127.0.0.1:9000" */
    char region[CREDENTIALS_REGION_BYTES];
    char bucket[OBJSTORE_BUCKET_BYTES];
    char prefix[OBJSTORE_PREFIX_BYTES];
};

/* What the options say, then the environment and files, then AWS. ST_INVALID with the reason. */
NODISCARD
status s3_target_make(const struct objstore_options *options, const struct objstore_url *url,
                      const struct credentials *found, struct s3_target *out, struct err *err);
/* False for what is no name of a region; the target is then unchanged. */
bool s3_target_set_region(struct s3_target *t, const char *region);

#endif
