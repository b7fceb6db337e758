/* count_internal.h - counting and sampling, of what is in RAM and of the rest: count.c,
 * count_cold.c, sample_cold.c. */
#ifndef NODE_COUNT_INTERNAL_H
#define NODE_COUNT_INTERNAL_H

#include "node/points.h"

/* What is in RAM. */
NODISCARD
status count_head(struct collection *c, const struct filter *filter, bool exact,
                  const struct read_limits *limits, struct arena *arena, uint64_t *out,
                  struct err *err);
NODISCARD
status sample_head(struct collection *c, const struct filter *filter, uint32_t count,
                   const struct read_want *want, const struct read_limits *limits,
                   struct arena *arena, struct document **out, uint32_t *out_count,
                   struct err *err);
/* All of it; on a cold thread. */
NODISCARD
status count_cold(struct collection *c, const struct filter *filter, bool exact,
                  const struct read_limits *limits, struct arena *arena, uint64_t *out,
                  struct err *err);
NODISCARD
status sample_cold(struct collection *c, const struct filter *filter, uint32_t count,
                   const struct read_want *want, const struct read_limits *limits,
                   struct arena *arena, struct document **out, uint32_t *out_count,
                   struct err *err);

#endif
