/* group.h - a sealed run of log records: one immutable object, `w/<epoch>/<seq>`.
 *
 * Encoding is a pure function of what goes in: a group that is encoded again from the same log is
 * byte for byte the same, so that sending it twice is harmless. Records are the log's own payloads
 * (docs/formats/record.md). A GAP group holds none: it says that the lsns it covers were discarded
 * by an operator. Its chain is that of the records it stands for, because groups behind it may be
 * stored already; where they could not be read, group_chain_gap().
 *
 * The digest chain runs over records, not over groups: chain(n) = group_chain(chain(n - 1), n,
 * payload). Two logs of one collection are the same up to n if and only if their chains at n are.
 *
 * Threads    none of it is shared.
 * Ownership  the writer appends to a buf it owns until group_finish(); the reader borrows the
 * bytes. On disk    docs/formats/group.md, version 1: a container of kind CONTAINER_GROUP. Failure
 * any flipped bit or cut is ST_CORRUPT; a newer version ST_UNSUPPORTED. */
#ifndef SEGMENT_GROUP_H
#define SEGMENT_GROUP_H

#include "segment/container.h"

enum {
    GROUP_BYTES_MAX = 320 * 1024 * 1024, /* one record may be WAL_PAYLOAD_BYTES_MAX */
    GROUP_RECORDS_MAX = 1 << 20,
};
enum group_kind { GROUP_RECORDS = 0, GROUP_GAP = 1 }; /* on disk */

struct group_head {
    enum group_kind kind;
    uint8_t collection[16];
    uint64_t epoch, seq;
    uint64_t first_lsn, last_lsn; /* both covered; a group covers at least one lsn */
    uint64_t chain_before;        /* at first_lsn - 1 */
    uint64_t chain;               /* at last_lsn */
    uint64_t oldest_ns;           /* inserted_at of its first record, wall; 0 for a gap */
};

/* The chain before lsn 1. */
uint64_t group_chain_start(const uint8_t collection[16]);
uint64_t group_chain(uint64_t before, uint64_t lsn, struct slice payload);
uint64_t group_chain_gap(uint64_t before, uint64_t first_lsn, uint64_t last_lsn);

struct group_writer;
/* epoch, seq, first_lsn, chain_before of head count; the rest is found out. */
NODISCARD
status group_create(const struct group_head *head, struct group_writer **out, struct err *err);
/* Records come in lsn order without gaps from head->first_lsn. */
NODISCARD
status group_add(struct group_writer *w, uint64_t lsn, struct slice payload, struct err *err);
size_t group_bytes(const struct group_writer *w); /* so far, about */
/* The object's bytes, borrowed from the writer until it is destroyed; *head is complete. */
NODISCARD
status group_finish(struct group_writer *w, struct group_head *head, struct slice *bytes,
                    struct err *err);
void group_writer_destroy(struct group_writer *w);
/* A gap in one piece; everything of head counts, chain too (docs/protocol.md, Discarding). */
NODISCARD
status group_encode_gap(const struct group_head *head, struct buf *out, struct err *err);

struct group;
/* Checks everything, the chain included. collection, epoch and seq must be those expected:
 * ST_CORRUPT else. */
NODISCARD
status group_open(struct slice bytes, const uint8_t collection[16], uint64_t epoch, uint64_t seq,
                  struct group **out, struct err *err);
void group_close(struct group *g);
const struct group_head *group_head(const struct group *g);
/* Every record in lsn order; a status other than ST_OK stops and is returned. */
typedef status group_each_fn(void *arg, uint64_t lsn, struct slice payload, struct err *err);
NODISCARD
status group_each(struct group *g, group_each_fn *fn, void *arg, struct err *err);

#endif
