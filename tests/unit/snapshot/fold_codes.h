/* fold_codes.h - whether the codes of a cold segment are those of its full vectors, in their cells:
 * a wrong one costs recall and no checksum finds it. On the machine that made them they are the
 * same to the last bit. */
#ifndef TESTS_UNIT_SNAPSHOT_FOLD_CODES_H
#define TESTS_UNIT_SNAPSHOT_FOLD_CODES_H

#include "segment/manifest.h"
#include "snapshot/ask.h"

/* Fails the test where they are not. Returns how many coarse cells there are. */
uint32_t fold_codes_check(const struct ask *ask, const uint8_t collection[16],
                          const struct manifest_cold *named);

#endif
