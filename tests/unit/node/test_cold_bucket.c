/* test_cold_reads over cold segments in a bucket. */
#define COLD_OVER_BUCKET 1
#include "tests/unit/node/test_cold_reads.c"
