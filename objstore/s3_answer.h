/* s3_answer.h - what an answer of the store, or the lack of one, comes to. Pure: the table of
 * docs (object-store study, 3.11) as code.
 *
 * An answer is believed as far as it proves itself. A success without what S3 always says (an ETag,
 * its XML) is some other server's; so is a 404 without S3's error document, and it is no
 * OBJSTORE_NOT_FOUND: what is taken for absent may be created anew. */
#ifndef OBJSTORE_S3_ANSWER_H
#define OBJSTORE_S3_ANSWER_H

#include "objstore/s3_reply.h"
#include "objstore/s3_target.h"

enum s3_mend { /* what to try before the answer is given, once each */
               S3_MEND_NONE = 0,
               S3_MEND_CLOCK,  /* sign for the store's time: reply.date_s */
               S3_MEND_REGION, /* sign for the region in `region` */
               S3_MEND_KEYS,   /* read the credentials again */
               S3_MEND_BYTES,  /* ask again over another connection */
};

struct s3_asked { /* what texts and decisions need of who asked */
    const struct s3_target *target;
    const char *keys_source; /* credentials.source */
    const char *ca_file;     /* NULL or "": the system's */
    int64_t now_s;           /* our clock, when it was signed */
    char region[64];         /* out: of S3_MEND_REGION */
};

enum s3_break {                   /* how a transfer ended without a whole answer */
                S3_BREAK_CONNECT, /* nothing was sent */
                S3_BREAK_TRUST,   /* nobody we know vouches for the certificate */
                S3_BREAK_EXPIRED, /* or not valid yet */
                S3_BREAK_NAME,    /* it is another host's */
                S3_BREAK_CA_FILE, /* our authorities cannot be read */
                S3_BREAK_ADDRESS, /* the URL cannot be: configuration */
                S3_BREAK_TIMEOUT,
                S3_BREAK_CUT, /* reset, closed early, not HTTP */
                S3_BREAK_MEMORY,
};

/* Whether the object in an answer of 200 or 206 to a GET is the one asked for, by its headers;
 * *bytes is how long it will be (UINT64_MAX: not told). False: the answer is given in result. */
NODISCARD
bool s3_body_begins(struct objstore_req *req, const struct s3_reply *reply,
                    const struct s3_asked *asked, uint64_t *bytes);
/* A whole answer: fills the result. text: the body of whatever is no object. */
enum s3_mend s3_answer(struct objstore_req *req, const struct s3_reply *reply, struct slice text,
                       struct s3_asked *asked);
/* The whole object came, and its crc32c is not reply->crc32c. */
enum s3_mend s3_answer_damaged(struct objstore_req *req, const struct s3_reply *reply,
                               const struct s3_asked *asked);
/* what: the transport's own words. sent: any byte of the request may have arrived. */
void s3_answer_broken(struct objstore_req *req, enum s3_break how, const char *what, bool sent,
                      const struct s3_asked *asked);

#endif
