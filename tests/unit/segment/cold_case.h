/* cold_case.h - a cold segment made of nothing but a seed: rows, ids of a form, fields that not all
 * rows have, cells; written by the writer, for the tests of segment/cold.h.
 *
 * Rows are numbered by ordinal. Codes and cells are noise: nothing here ranks anything.
 * Threads    one. */
#ifndef TESTS_SEGMENT_COLD_CASE_H
#define TESTS_SEGMENT_COLD_CASE_H

#include "base/rand.h"
#include "segment/cold.h"
#include "segment/container_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum cold_case_ids { CASE_U64, CASE_UUID, CASE_MIXED, CASE_TEXTS, CASE_LONG, CASE_IDS_COUNT };
enum { CASE_FIELDS_MAX = 4, CASE_DIM_MAX = 20, CASE_TEXT_BYTES = 512 };

struct cold_case_options {
    uint64_t seed;
    uint32_t rows;
    uint16_t fields;
    enum cold_case_ids ids;
    uint32_t payload_bytes; /* of a row, at most; every tenth has none */
    bool missing;           /* vectors are */
    uint16_t nobody_has;    /* 1 + a field that no row has; 0: each has some */
    bool no_external_ids;   /* else every fourth row has one */
};
struct cold_case_row {
    struct docid id;
    uint64_t lsn, inserted_at_ns;
    struct buf payload;
    uint64_t fields;
    uint32_t positions[CASE_FIELDS_MAX];
    uint32_t place;
    uint8_t text[CASE_TEXT_BYTES]; /* of its id */
};
struct cold_case_field {
    struct cold_field f;
    uint32_t *ordinals; /* by position */
    uint8_t *row_codes, *short_codes;
    float *vectors;
    size_t row_code_bytes, short_code_bytes;
};
struct cold_case {
    struct cold_case_options options;
    struct cold_case_row *rows;
    uint32_t *by_id;
    struct cold_case_field fields[CASE_FIELDS_MAX];
    struct cold_field cold_fields[CASE_FIELDS_MAX];
    struct cold_writer_options writer;
    status (*indexes)(const struct cold_case *c, struct cold_writer *w); /* NULL: none */
    struct buf bytes; /* the object, once written */
    struct manifest_cold named;
};
extern const uint8_t COLD_CASE_DOCS[16];

void cold_case_make(const struct cold_case_options *options, struct cold_case *out);
void cold_case_free(struct cold_case *c);
/* Everything into the sink; what the writer says. */
status cold_case_write_to(const struct cold_case *c, struct container_sink *sink,
                          struct manifest_cold *out);
void cold_case_write(struct cold_case *c); /* into bytes, named */
struct slice cold_case_footer(const struct cold_case *c);
/* The part of the object a _range() said. */
struct slice cold_case_part(const struct cold_case *c, uint64_t offset, uint64_t bytes);
status cold_case_check(const struct cold_case *c); /* cold_check() of bytes, by the manifest */

#endif
