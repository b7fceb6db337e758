/* Any bytes as a record: must not read outside, must end. */
#include "segment/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct record r;
    struct record_row row;
    struct slice key;
    struct slice value;
    struct docid id;
    float vector[4];
    status st = record_open(slice_make(data, bytes), &r, NULL);

    while (st == ST_OK) {
        if (r.kind == RECORD_UPSERT)
            st = record_next_row(&r, &row, NULL);
        else if (r.kind == RECORD_DELETE)
            st = record_next_id(&r, &id, NULL);
        else
            st = record_next_setting(&r, &key, &value, NULL);
        if (st == ST_OK && r.kind == RECORD_UPSERT &&
            record_row_vector(&row, 0, vector, COUNT_OF(vector), NULL) == ST_BUG)
            __builtin_trap();
    }
    return 0;
}
