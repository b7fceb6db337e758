/* grpc_frame.h - what gRPC lays over HTTP/2: the five bytes in front of a message, grpc-timeout,
 * grpc-message, content types.
 *
 * Source     gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md).
 * Threads    none of it is shared.
 * Limits     a message's length meets its limit before anything is allocated for it. */
#ifndef API_GRPC_FRAME_H
#define API_GRPC_FRAME_H

#include "api/grpc.h"

enum { GRPC_PREFIX_BYTES = 5 };

/* Cuts what comes into messages. */
struct grpc_reader {
    uint8_t prefix[GRPC_PREFIX_BYTES];
    unsigned prefix_bytes;
    uint32_t left;           /* of the message that has begun */
    uint64_t bytes_max;      /* of a message */
    struct buf message;      /* the prefix taken off; the caller may take it when it is whole */
    enum grpc_status status; /* after GRPC_READ_BAD */
    char why[96];
};
enum grpc_read { GRPC_READ_MORE, GRPC_READ_MESSAGE, GRPC_READ_BAD };
void grpc_reader_init(struct grpc_reader *r, uint64_t bytes_max);
void grpc_reader_free(struct grpc_reader *r);
/* Uses some of the bytes; after GRPC_READ_MESSAGE grpc_reader_next() has to come. */
enum grpc_read grpc_read(struct grpc_reader *r, struct slice in, size_t *used);
void grpc_reader_next(struct grpc_reader *r);
/* Nothing of a next message has come. */
bool grpc_reader_idle(const struct grpc_reader *r);

void grpc_prefix(uint8_t out[GRPC_PREFIX_BYTES], uint32_t message_bytes);

/* "100m": 1 to 8 digits and one of H M S m u n; more nanoseconds than fit become UINT64_MAX. */
NODISCARD
bool grpc_timeout_parse(struct slice text, uint64_t *ns);

/* What is not printable ASCII, and '%', as %XX; what does not fit whole is left out. The result is
 * a text of at most bytes - 1. */
size_t grpc_message_encode(const char *text, char *out, size_t bytes);

/* application/grpc, with +proto or nothing behind it, and parameters. */
bool grpc_content_type(struct slice value);

/* "OK", "INVALID_ARGUMENT", ... */
const char *grpc_status_name(enum grpc_status code);

#endif
