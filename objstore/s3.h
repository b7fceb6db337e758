/* s3.h - a bucket of S3 or of what speaks its protocol, over HTTP/1.1 by libcurl, with signatures
 * of our own.
 *
 * One thread (`s3`) drives all connections and calls done(). Each pool has a limit of its own; what
 * is beyond it waits in order. A request's timeout counts from when it has a connection to go on.
 *
 * Over http the body's SHA-256 is signed; over https that pass is left out and the store compares
 * x-amz-checksum-crc32c. Conditions and ranges are signed too: nothing between here and the store
 * can drop one unseen. Redirects are never followed; a store that names the right region in one is
 * asked again there, once. An answer is believed as far as it proves itself: lengths, Content-Range
 * and error documents are checked, and a 404 that is not S3's own says nothing about an object.
 *
 * Everything else is the contract of objstore.h and open.h. */
#ifndef OBJSTORE_S3_H
#define OBJSTORE_S3_H

#include "objstore/open.h"
#include "objstore/url.h"

/* url: of kind OBJSTORE_URL_S3 or OBJSTORE_URL_HTTP. ST_INVALID: an endpoint from the options or
 * the environment that is none. */
NODISCARD
status objstore_s3_open(const struct objstore_options *options, const struct objstore_url *url,
                        struct objstore **out, struct err *err);

#endif
