/* Readers of test_cold_ways over cold segments in a bucket. */
#define COLD_OVER_BUCKET 1
#include "tests/unit/node/test_cold_ways.c"
