/* download.h - an answer that goes out in pieces, each made by a worker when the last one has been
 * taken by the socket.
 *
 * The handler prints a piece into the request's `out` and gives the request back with
 * reply_piece(); the loop sends it as a chunk and submits the task again. So no more than a piece
 * waits for a client, however slowly it reads; one that takes nothing for the time of a request is
 * let go. What goes wrong behind the first piece can be told in one way alone: reply_cut() closes
 * the connection without the last chunk.
 *
 * Threads    reply_piece() and reply_cut(): the worker that has the request. The rest is the
 * loop's. Ownership  dies with its request. */
#ifndef API_DOWNLOAD_H
#define API_DOWNLOAD_H

#include "api/request.h"

struct download {
    bool begun; /* the head is on its way */
    bool last;
    bool cut;
    uint64_t bytes; /* of pieces */
    size_t unsent;  /* the loop's: what the socket had not taken when it last looked */
};

/* Not empty unless it is the last. The first makes it an answer of 200 with content_type. */
void reply_piece(struct request *req, bool last);
void reply_cut(struct request *req, const struct err *err);

#endif
