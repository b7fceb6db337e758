/* grpc_in_shapes.c - the messages whose JSON is not that of their fields: payload values, ids,
 * vectors, matches, times, searches and indexes. */
#include "api/grpc_shapes.h"

#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* --- payload values --- */

enum {
    VALUE_NULL = 1,
    VALUE_DOUBLE,
    VALUE_INTEGER,
    VALUE_STRING,
    VALUE_BOOL,
    VALUE_STRUCT,
    VALUE_LIST
};

static bool value_wire(uint32_t number, enum wire_kind kind)
{
    switch (number) {
    case VALUE_DOUBLE:
        return kind == WIRE_FIXED64;
    case VALUE_STRING:
    case VALUE_STRUCT:
    case VALUE_LIST:
        return kind == WIRE_BYTES;
    default:
        return kind == WIRE_VARINT;
    }
}

/* Without a kind it is null. */
bool grpc_read_value(struct grpc_in *in, message_type type, struct slice message)
{
    struct rd r = rd_make(message);
    struct wire_field last = {.number = VALUE_NULL};
    struct wire_field w;
    size_t nested = 0;
    double number;

    while (grpc_in_next(in, &r, &w)) {
        if (w.number > VALUE_LIST || !value_wire(w.number, w.kind))
            return grpc_in_bad(in, "field %u of %s is not known or not of its type", w.number,
                               type->short_name);
        nested += w.number >= VALUE_STRUCT;
        last = w;
    }
    if (r.bad)
        return grpc_in_bad(in, "%s is cut short or malformed: not a message", type->short_name);
    if (nested > 1)
        return grpc_in_bad(in, "a %s holds more than one value", type->short_name);
    switch (last.number) {
    case VALUE_DOUBLE:
        memcpy(&number, &last.value, sizeof number);
        if (!isfinite(number))
            return grpc_in_bad(in, "a number of a payload is not finite");
        json_put_f64(in->out, number);
        return true;
    case VALUE_INTEGER:
        json_put_i64(in->out, (int64_t)last.value);
        return true;
    case VALUE_STRING:
        return grpc_in_string(in, last.bytes);
    case VALUE_BOOL:
        buf_put_text(in->out, last.value != 0 ? "true" : "false");
        return true;
    case VALUE_STRUCT:
        return grpc_in_value(in, &qdrant__struct__descriptor, last.bytes);
    case VALUE_LIST:
        return grpc_in_value(in, &qdrant__list_value__descriptor, last.bytes);
    default:
        buf_put_text(in->out, "null");
        return true;
    }
}

/* --- ids --- */

/* The only field of a oneof that is there. */
static bool take_one(struct grpc_in *in, message_type type, struct slice message,
                     struct wire_field *out)
{
    struct rd r = rd_make(message);
    bool found = false;
    struct wire_field w;

    while (grpc_in_next(in, &r, &w)) {
        field_type f = protobuf_c_message_descriptor_get_field(type, w.number);
        bool bytes =
            f != NULL && (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE);

        if (f == NULL || w.kind != (bytes ? WIRE_BYTES : WIRE_VARINT))
            return grpc_in_bad(in, "field %u of %s is not known or not of its type", w.number,
                               type->short_name);
        *out = w;
        found = true;
    }
    if (r.bad)
        return grpc_in_bad(in, "%s is cut short or malformed: not a message", type->short_name);
    return found || grpc_in_bad(in, "none of the fields of %s is given", type->short_name);
}

bool grpc_read_id(struct grpc_in *in, message_type type, struct slice message)
{
    struct wire_field w;

    if (!take_one(in, type, message, &w))
        return false;
    if (w.kind == WIRE_BYTES)
        return grpc_in_string(in, w.bytes);
    json_put_u64(in->out, w.value);
    return true;
}

/* A text of digits is an integer, as in a path. */
bool grpc_read_doc_id(struct grpc_in *in, message_type type, struct slice message)
{
    struct wire_field w;
    struct docid id;

    if (!take_one(in, type, message, &w))
        return false;
    if (w.bytes.bytes > 0 &&
        docid_parse((const char *)w.bytes.data, w.bytes.bytes, false, &id, NULL) == ST_OK &&
        id.kind == DOCID_U64) {
        json_put_u64(in->out, id.u64);
        return true;
    }
    return grpc_in_string(in, w.bytes);
}

/* --- vectors --- */

bool grpc_read_dense(struct grpc_in *in, message_type type, struct slice message)
{
    struct rd r = rd_make(message);
    struct wire_field w;

    while (grpc_in_next(in, &r, &w))
        if (w.number != 1 || (w.kind != WIRE_BYTES && w.kind != WIRE_FIXED32))
            return grpc_in_bad(in, "field %u of %s is not known or not of its type", w.number,
                               type->short_name);
    if (r.bad)
        return grpc_in_bad(in, "%s is cut short or malformed: not a message", type->short_name);
    return grpc_in_float_field(in, message, 1);
}

/* Older programs put the numbers into the message itself, and say beside them what they are. */
bool grpc_read_vector(struct grpc_in *in, message_type type, struct slice message)
{
    enum { DATA = 1, INDICES = 2, VECTORS_COUNT = 3, DENSE = 101 };
    struct rd r = rd_make(message);
    struct wire_field kind = {0};
    bool indices = false;
    uint64_t parts = 0;
    struct wire_field w;
    field_type f;

    while (grpc_in_next(in, &r, &w)) {
        f = protobuf_c_message_descriptor_get_field(type, w.number);
        if (f == NULL ||
            (w.number == VECTORS_COUNT
                 ? w.kind != WIRE_VARINT
                 : w.kind != WIRE_BYTES && (w.number != DATA || w.kind != WIRE_FIXED32)))
            return grpc_in_bad(in, "field %u of %s is not known or not of its type", w.number,
                               type->short_name);
        if (w.number >= DENSE && kind.number == DENSE && w.number == DENSE)
            return grpc_in_bad(in, "a %s holds more than one vector", type->short_name);
        if (w.number >= DENSE)
            kind = w;
        indices = indices || w.number == INDICES;
        if (w.number == VECTORS_COUNT)
            parts = w.value;
    }
    if (r.bad)
        return grpc_in_bad(in, "%s is cut short or malformed: not a message", type->short_name);
    if (kind.number != 0) {
        f = protobuf_c_message_descriptor_get_field(type, kind.number);
        return grpc_in_value(in, f->descriptor, kind.bytes);
    }
    if (indices)
        return grpc_in_value(in, &qdrant__sparse_vector__descriptor, (struct slice){0});
    if (parts > 0)
        return grpc_in_value(in, &qdrant__multi_dense_vector__descriptor, (struct slice){0});
    return grpc_in_float_field(in, message, DATA);
}

/* --- filters --- */

bool grpc_read_match(struct grpc_in *in, message_type type, struct slice message)
{
    static const char *const names[] = {NULL,       "value",  "value",    "value",  "text",
                                        "any",      "any",    "except",   "except", "phrase",
                                        "text_any", "prefix", "substring"};
    struct wire_field w;
    field_type f;

    if (!take_one(in, type, message, &w))
        return false;
    f = protobuf_c_message_descriptor_get_field(type, w.number);
    buf_put_text(in->out, "{\"");
    buf_put_text(in->out, names[w.number]);
    buf_put_text(in->out, "\":");
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (!grpc_in_value(in, f->descriptor, w.bytes))
            return false;
    } else if (f->type == PROTOBUF_C_TYPE_STRING) {
        if (!grpc_in_string(in, w.bytes))
            return false;
    } else if (f->type == PROTOBUF_C_TYPE_BOOL) {
        buf_put_text(in->out, w.value != 0 ? "true" : "false");
    } else {
        json_put_i64(in->out, (int64_t)w.value);
    }
    buf_put_text(in->out, "}");
    return true;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days since 1970 as a date of the proleptic Gregorian calendar, counted from a March 1st so that
 * the leap day is the last of its year. */
static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    enum { DAYS_TO_1970 = 719468, DAYS_400_YEARS = 146097 };
    int64_t shifted = days + DAYS_TO_1970;
    int64_t era = floor_div(shifted, DAYS_400_YEARS);
    unsigned in_era = (unsigned)(shifted - era * DAYS_400_YEARS);
    unsigned years = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * years + years / 4 - years / 100);
    unsigned shifted_month = (5 * in_year + 2) / 153;

    *day = in_year - (153 * shifted_month + 2) / 5 + 1;
    *month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    *year = era * 400 + years + (*month <= 2);
}

bool grpc_read_time(struct grpc_in *in, message_type type, struct slice message)
{
    enum { SECONDS_DAY = 86400, NANOS = 1000000000 };
    /* 0001-01-01 and the end of 9999: what the message may say. */
    const int64_t first = INT64_C(-62135596800);
    const int64_t last = INT64_C(253402300799);
    struct rd r = rd_make(message);
    int64_t seconds = 0;
    int64_t nanos = 0;
    struct wire_field w;
    int64_t year;
    unsigned month;
    unsigned day;
    unsigned rest;

    while (grpc_in_next(in, &r, &w)) {
        if (w.number > 2 || w.kind != WIRE_VARINT)
            return grpc_in_bad(in, "field %u of %s is not known or not of its type", w.number,
                               type->short_name);
        *(w.number == 1 ? &seconds : &nanos) = (int64_t)w.value;
    }
    if (r.bad || seconds < first || seconds > last || nanos < 0 || nanos >= NANOS)
        return grpc_in_bad(in, "a %s is malformed or out of range", type->short_name);
    date_of(floor_div(seconds, SECONDS_DAY), &year, &month, &day);
    rest = (unsigned)(seconds - floor_div(seconds, SECONDS_DAY) * SECONDS_DAY);
    buf_printf(in->out, "\"%04" PRId64 "-%02u-%02uT%02u:%02u:%02u.%09" PRId64 "Z\"", year, month,
               day, rest / 3600, rest / 60 % 60, rest % 60, nanos);
    return true;
}

/* --- requests --- */

/* {"vector": [..]} or {"vector": {"name": .., "vector": [..]}} */
bool grpc_read_search(struct grpc_in *in, message_type type, struct slice message)
{
    static const char *const skip[] = {
        "vector",         "vector_name",      "collection_name",    "timeout",
        "sparse_indices", "read_consistency", "shard_key_selector", NULL};
    struct wire_field name = {0};
    struct wire_field w = {0};
    bool named = grpc_in_find(in, type, message, "vector_name", &name);
    bool first = false;

    if (in->text[0] == '\0' && grpc_in_find(in, type, message, "collection_name", &w) &&
        w.bytes.bytes > 0 && !slice_equal(w.bytes, in->collection))
        return grpc_in_bad(in, "`collection_name` of %s is not that of the whole call",
                           type->short_name);
    if (in->text[0] == '\0' && grpc_in_find(in, type, message, "sparse_indices", &w))
        return grpc_in_bad(in, "sparse vectors are not supported by this version");
    if (in->text[0] != '\0')
        return false;
    buf_put_text(in->out, "{\"vector\":");
    if (named) {
        buf_put_text(in->out, "{\"name\":");
        if (!grpc_in_string(in, name.bytes))
            return false;
        buf_put_text(in->out, ",\"vector\":");
    }
    if (!grpc_in_float_field(in, message, grpc_field(type, "vector")->id))
        return false;
    buf_put_text(in->out, named ? "}" : "");
    if (!grpc_in_members(in, type, message, skip, &first))
        return false;
    buf_put_text(in->out, "}");
    return true;
}

static const char *type_of_params(const char *field, char out[16])
{
    size_t bytes = strcspn(field, "_"); /* "keyword_index_params" */

    (void)snprintf(out, 16, "%.*s", (int)bytes, field);
    return out;
}

/* {"field_name": .., "field_schema": "keyword" or {"type": "keyword", ..}} */
bool grpc_read_index(struct grpc_in *in, message_type type, struct slice message)
{
    static const char *const skip[] = {
        "field_type", "field_index_params", "collection_name", "wait", "timeout", "ordering", NULL};
    message_type params = &qdrant__payload_index_params__descriptor;
    const char *said = NULL;
    bool first = true;
    struct wire_field w;
    struct wire_field p;
    field_type f;
    char name[16];

    if (grpc_in_find(in, type, message, "field_type", &w)) {
        said = grpc_enum_text(&qdrant__field_type__descriptor, w.value);
        if (said == NULL)
            return grpc_in_bad(in, "`field_type`: there is no type %" PRIu64, w.value);
    }
    if (in->text[0] != '\0')
        return false;
    buf_put_text(in->out, "{");
    if (!grpc_in_members(in, type, message, skip, &first))
        return false;
    if (grpc_in_find(in, type, message, "field_index_params", &w)) {
        if (!take_one(in, params, w.bytes, &p))
            return false;
        f = protobuf_c_message_descriptor_get_field(params, p.number);
        if (said != NULL && strcmp(said, type_of_params(f->name, name)) != 0)
            return grpc_in_bad(in, "`field_type` is %s, but `field_index_params` are those of %s",
                               said, name);
        buf_put_text(in->out, ",\"field_schema\":{\"type\":\"");
        buf_put_text(in->out, type_of_params(f->name, name));
        buf_put_text(in->out, "\"");
        first = false;
        if (!grpc_in_members(in, f->descriptor, p.bytes, NULL, &first))
            return false;
        buf_put_text(in->out, "}");
    } else if (in->text[0] != '\0') {
        return false;
    } else if (said != NULL) {
        buf_put_text(in->out, ",\"field_schema\":\"");
        buf_put_text(in->out, said);
        buf_put_text(in->out, "\"");
    }
    buf_put_text(in->out, "}");
    return true;
}
