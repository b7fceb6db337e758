/* import_files.c - what `tiervec import` reads from a file, a document at a time. */
#include "base/mem.h"
#include "cli/bulk.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct source {
    FILE *file;
    const char *path;
    uint64_t bytes; /* of the file */
};

static int fail(const struct bulk *b, const char *why, const char *hint)
{
    return cli_error(CLI_FAILED, b->what, why, hint);
}

static uint64_t offset_of(const struct bulk *b)
{
    return b->place.at[0] == '\0' ? 0 : strtoull(b->place.at, NULL, 10);
}

/* --- NDJSON --- */

static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.bytes; i++)
        if (strchr(" \t\r\n", line.data[i]) == NULL || line.data[i] == '\0')
            return false;
    return true;
}

/* Sent as it stands, once it was seen to be one object. */
static int put_line(struct bulk *b, struct jdoc *doc, struct slice line, uint64_t behind)
{
    struct jval root;
    struct err err;
    char at[32];
    char why[ERR_TEXT_BYTES + 64];
    status st = jdoc_parse(doc, line, &root, &err);

    if (st != ST_OK || jval_type(root) != J_OBJECT) {
        (void)snprintf(why, sizeof why, "the line before byte %" PRIu64 " is no JSON object%s%s",
                       behind, st != ST_OK ? ": " : "", st != ST_OK ? err.text : "");
        return fail(b, why, "a document a line");
    }
    (void)snprintf(at, sizeof at, "%" PRIu64, behind);
    buf_put_slice(bulk_next(b), line);
    return bulk_put(b, at, behind);
}

static int import_lines(struct bulk *b, struct source *s)
{
    uint64_t behind = offset_of(b);
    struct jdoc *doc = NULL;
    char *line = NULL;
    size_t room = 0;
    int code = CLI_OK;
    ssize_t got;

    if (jdoc_create(&doc, NULL) != ST_OK)
        return fail(b, "out of memory", NULL);
    while (code == CLI_OK && (got = getline(&line, &room, s->file)) >= 0) {
        struct slice text = slice_make(line, (size_t)got);

        behind += (size_t)got;
        if (got > BULK_LINE_BYTES_MAX)
            code = fail(b, "a line is longer than 32 MiB", NULL);
        else if (!is_blank(text))
            code = put_line(b, doc, text, behind);
    }
    if (code == CLI_OK && ferror(s->file))
        code = fail(b, strerror(errno), NULL);
    free(line);
    jdoc_destroy(doc);
    return code;
}

/* --- rows of floats --- */

struct rows {
    uint64_t begin;     /* offset of the first */
    uint64_t row_bytes; /* with what stands before the floats */
    uint64_t count;
    uint32_t dimension;
    uint32_t lead_bytes; /* before the floats of each: 4 in .fvecs */
};

static bool all_finite(const float *v, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

static int put_row(struct bulk *b, const struct rows *r, uint64_t row, uint8_t *raw, float *v)
{
    uint64_t behind = r->begin + (row + 1) * r->row_bytes;
    struct buf *out;
    char why[128];
    char at[32];

    if (r->lead_bytes > 0 && le_u32(raw) != r->dimension) {
        (void)snprintf(why, sizeof why,
                       "row %" PRIu64 " has %" PRIu32 " values, the first %" PRIu32, row,
                       le_u32(raw), r->dimension);
        return fail(b, why, NULL);
    }
    for (uint32_t i = 0; i < r->dimension; i++) {
        uint32_t bits = le_u32(raw + r->lead_bytes + (size_t)4 * i);

        memcpy(&v[i], &bits, sizeof bits);
    }
    if (!all_finite(v, r->dimension)) {
        (void)snprintf(why, sizeof why, "row %" PRIu64 " has a value that is no number", row);
        return fail(b, why, NULL);
    }
    out = bulk_next(b);
    buf_printf(out, "{\"doc_id\":%" PRIu64 ",\"vector\":", row);
    json_put_floats(out, v, r->dimension);
    buf_put_text(out, "}");
    (void)snprintf(at, sizeof at, "%" PRIu64, behind);
    return bulk_put(b, at, behind);
}

static int import_rows(struct bulk *b, struct source *s, const struct rows *r)
{
    uint64_t at = offset_of(b);
    uint64_t row = at <= r->begin ? 0 : (at - r->begin) / r->row_bytes;
    uint8_t *raw = mem_alloc(r->row_bytes);
    float *v = mem_alloc_array(r->dimension, sizeof *v);
    int code = raw == NULL || v == NULL ? fail(b, "out of memory", NULL) : CLI_OK;
    char why[128];

    if (code == CLI_OK && r->dimension != b->dimension) {
        (void)snprintf(why, sizeof why,
                       "its rows have %" PRIu32 " values, the collection's dimension is %" PRIu32,
                       r->dimension, b->dimension);
        code = fail(b, why, NULL);
    }
    if (code == CLI_OK && fseeko(s->file, (off_t)(r->begin + row * r->row_bytes), SEEK_SET) != 0)
        code = fail(b, strerror(errno), NULL);
    for (; code == CLI_OK && row < r->count; row++) {
        if (fread(raw, 1, r->row_bytes, s->file) != r->row_bytes)
            code = fail(b, "the file became shorter while it was read", NULL);
        else
            code = put_row(b, r, row, raw, v);
    }
    mem_free(raw);
    mem_free(v);
    return code;
}

static int import_fvecs(struct bulk *b, struct source *s)
{
    struct rows r = {.lead_bytes = 4};
    uint8_t lead[4];

    if (s->bytes == 0)
        return CLI_OK;
    if (fread(lead, 1, sizeof lead, s->file) != sizeof lead || le_u32(lead) == 0 ||
        le_u32(lead) > 65535)
        return fail(b, "it does not begin as an .fvecs file", NULL);
    r.dimension = le_u32(lead);
    r.row_bytes = 4 + (uint64_t)4 * r.dimension;
    r.count = s->bytes / r.row_bytes;
    if (s->bytes % r.row_bytes != 0)
        return fail(b, "it does not end with a whole row", NULL);
    return import_rows(b, s, &r);
}

/* The head is a line like {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
static bool read_npy_head(const char *head, struct rows *r)
{
    const char *shape = strstr(head, "'shape':");
    unsigned long long rows;
    unsigned long long columns;
    int used = 0;

    if (strstr(head, "'descr': '<f4'") == NULL || strstr(head, "'fortran_order': False") == NULL ||
        shape == NULL || sscanf(shape, "'shape': (%llu, %llu)%n", &rows, &columns, &used) != 2 ||
        used == 0 || columns == 0 || columns > 65535 || rows > UINT64_MAX / (4 * columns) / 2)
        return false;
    r->count = rows;
    r->dimension = (uint32_t)columns;
    r->row_bytes = 4 * (uint64_t)columns;
    return true;
}

static int import_npy(struct bulk *b, struct source *s)
{
    uint8_t lead[12] = {0};
    char head[4097] = "";
    struct rows r = {0};
    size_t lead_bytes;
    size_t head_bytes;

    if (fread(lead, 1, 10, s->file) != 10 || memcmp(lead, "\x93NUMPY", 6) != 0)
        return fail(b, "it does not begin as an .npy file", NULL);
    lead_bytes = lead[6] == 1 ? 10 : 12;
    if (lead_bytes == 12 && fread(lead + 10, 1, 2, s->file) != 2)
        return fail(b, "it is cut off", NULL);
    head_bytes = lead_bytes == 10 ? (size_t)lead[8] | (size_t)lead[9] << 8 : le_u32(lead + 8);
    if (head_bytes >= sizeof head || fread(head, 1, head_bytes, s->file) != head_bytes)
        return fail(b, "it is cut off, or no .npy file of one array", NULL);
    r.begin = lead_bytes + head_bytes;
    if (!read_npy_head(head, &r))
        return fail(b, "it is no array of float32 with two dimensions in C order",
                    "numpy.save(path, numpy.ascontiguousarray(a, dtype='<f4'))");
    if (s->bytes < r.begin || (s->bytes - r.begin) / r.row_bytes != r.count ||
        (s->bytes - r.begin) % r.row_bytes != 0)
        return fail(b, "its size is not what its head says", NULL);
    return import_rows(b, s, &r);
}

/* --- */

static const char *format_of(const char *path, const char *format)
{
    const char *dot = strrchr(path, '.');

    if (format != NULL)
        return format;
    if (dot != NULL && (strcmp(dot, ".npy") == 0 || strcmp(dot, ".fvecs") == 0))
        return dot + 1;
    return "ndjson";
}

static int import_as(struct bulk *b, struct source *s, const char *format)
{
    int code;

    if (strcmp(format, "npy") != 0 && strcmp(format, "fvecs") != 0 && strcmp(format, "ndjson") != 0)
        return cli_error(CLI_USAGE, b->what, "there is no such format", "ndjson, npy or fvecs");
    code = bulk_begin(b);
    if (code != CLI_OK)
        return code;
    if (offset_of(b) > s->bytes)
        return cli_error(CLI_CONFLICT, b->what, "the file is shorter than the place kept of it",
                         "without --resume, from the beginning");
    if (strcmp(format, "npy") == 0)
        return import_npy(b, s);
    if (strcmp(format, "fvecs") == 0)
        return import_fvecs(b, s);
    if (offset_of(b) > 0 && fseeko(s->file, (off_t)offset_of(b), SEEK_SET) != 0)
        return fail(b, strerror(errno), NULL);
    return import_lines(b, s);
}

int import_file(struct bulk *b, const char *path, const char *format)
{
    struct source s = {.path = path, .file = fopen(path, "rb")};
    struct stat info;
    int code;

    if (s.file == NULL)
        return cli_error(errno == ENOENT ? CLI_NOT_FOUND : CLI_FAILED, b->what, strerror(errno),
                         NULL);
    if (fstat(fileno(s.file), &info) != 0 || !S_ISREG(info.st_mode))
        code = fail(b, "it is no file that can be read twice", NULL);
    else {
        s.bytes = b->total_bytes = (uint64_t)info.st_size;
        code = import_as(b, &s, format_of(path, format));
    }
    (void)fclose(s.file);
    return code;
}
