/* golden.h - bytes of released format versions, kept as hex text under tests/golden/.
 *
 * golden_check() compares what today's code writes with the file, byte for byte, and fails the test
 * on the first difference. With TV_GOLDEN_WRITE=1 in the environment it writes the file instead:
 * for a new version's first file, never for an old one. golden_read() gives the bytes for reading
 * back; mem_free() them. */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include "base/bytes.h"

void golden_check(const char *name, struct slice bytes);
struct slice golden_read(const char *name);

#endif
