/* rabitq_internal.h - a query as the files of these codes share it. */
#ifndef INDEX_RABITQ_INTERNAL_H
#define INDEX_RABITQ_INTERNAL_H

#include "index/rabitq.h"

#include "base/bytes.h"

#include <string.h>

static inline float le_f32(const void *at)
{
    uint32_t bits = le_u32(at);
    float v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

enum { WIDTHS = 4 }; /* planes for 1, 2, 4 and 8 bits; then the low bytes for 8 */
struct rabitq_query {
    uint32_t dim;
    float step;      /* of the 16-bit numbers; the high byte alone counts 256 of them */
    double sum_high; /* of the high bytes */
    double sum_fine; /* of the 16-bit numbers */
    float *turned;   /* as it is */
    int8_t *planes[WIDTHS + 1];
};

#endif
