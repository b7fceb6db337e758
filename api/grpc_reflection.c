/* grpc_reflection.c - server reflection, v1 and v1alpha, out of the descriptors the build made.
 * They are read where they lie: files are few, and who asks is a person or a client that starts.
 *
 * Source     grpc/doc/server-reflection.md, descriptor.proto of Protocol Buffers. */
#include "api/descriptors.h"
#include "api/grpc_internal.h"
#include "api/grpc_wire.h"

#include <stdio.h>

enum { /* fields of descriptor.proto */
       SET_FILE = 1,
       FILE_NAME = 1,
       FILE_PACKAGE = 2,
       FILE_MESSAGE = 4,
       FILE_ENUM = 5,
       FILE_SERVICE = 6,
       NAME = 1, /* of a message, a field, an enum, a value, a service, a method */
       MESSAGE_FIELD = 2,
       MESSAGE_NESTED = 3,
       MESSAGE_ENUM = 4,
       ENUM_VALUE = 2,
       SERVICE_METHOD = 2,
};

enum { /* fields of reflection */
       ASK_FILE = 3,
       ASK_SYMBOL = 4,
       ASK_EXTENSION = 5,
       ASK_EXTENSIONS = 6,
       ASK_SERVICES = 7,
       SAY_ORIGINAL = 2,
       SAY_FILES = 4,
       SAY_SERVICES = 6,
       SAY_ERROR = 7,
       SAID_BYTES_MAX = 1024 * 1024,
};

static bool next_file(struct rd *r, struct slice *file)
{
    struct wire_field f;

    while (wire_next(r, &f)) {
        if (f.number == SET_FILE && f.kind == WIRE_BYTES) {
            *file = f.bytes;
            return true;
        }
    }
    return false;
}

/* The last field of that number, which holds bytes; empty when there is none. */
static struct slice bytes_of(struct slice message, uint32_t number)
{
    struct rd r = rd_make(message);
    struct slice found = slice_make("", 0);
    struct wire_field f;

    while (wire_next(&r, &f))
        if (f.number == number && f.kind == WIRE_BYTES)
            found = f.bytes;
    return found;
}

/* symbol without `name` and the dot behind it; false when it does not begin so. An empty name is in
 * front of everything. */
static bool step_into(struct slice *symbol, struct slice name)
{
    size_t n = name.bytes;

    if (n == 0)
        return true;
    if (symbol->bytes < n || memcmp(symbol->data, name.data, n) != 0 ||
        (symbol->bytes > n && symbol->data[n] != '.'))
        return false;
    if (symbol->bytes > n)
        n++;
    *symbol = slice_make(symbol->data + n, symbol->bytes - n);
    return true;
}

/* What may stand below one kind of thing: message below message, value below enum. */
struct below {
    uint32_t number;
    const struct below *inner;
};
static const struct below leaf[] = {{0, NULL}};
static const struct below enums[] = {{ENUM_VALUE, leaf}, {0, NULL}};
static const struct below services[] = {{SERVICE_METHOD, leaf}, {0, NULL}};
static const struct below messages[] = {
    {MESSAGE_FIELD, leaf}, {MESSAGE_NESTED, messages}, {MESSAGE_ENUM, enums}, {0, NULL}};
static const struct below files[] = {
    {FILE_MESSAGE, messages}, {FILE_ENUM, enums}, {FILE_SERVICE, services}, {0, NULL}};

static const struct below *inner_of(const struct below *kinds, const struct wire_field *f)
{
    for (; kinds->number != 0; kinds++)
        if (f->kind == WIRE_BYTES && kinds->number == f->number)
            return kinds->inner;
    return NULL;
}

/* The depth is that of our own descriptors. */
static bool holds(struct slice message, const struct below *kinds, struct slice symbol)
{
    struct rd r = rd_make(message);
    struct wire_field f;

    while (wire_next(&r, &f)) {
        const struct below *inner = inner_of(kinds, &f);
        struct slice rest = symbol;
        struct slice name;

        if (inner == NULL)
            continue;
        name = bytes_of(f.bytes, NAME);
        if (name.bytes == 0 || !step_into(&rest, name))
            continue;
        if (rest.bytes == 0 || holds(f.bytes, inner, rest))
            return true;
    }
    return false;
}

static bool file_has(struct slice file, struct slice symbol)
{
    return step_into(&symbol, bytes_of(file, FILE_PACKAGE)) && symbol.bytes > 0 &&
           holds(file, files, symbol);
}

static bool find_file(struct slice wanted, bool is_symbol, struct slice *file)
{
    struct rd r = rd_make(slice_make(DESCRIPTORS, DESCRIPTORS_BYTES));

    while (next_file(&r, file))
        if (is_symbol ? file_has(*file, wanted) : slice_equal(bytes_of(*file, FILE_NAME), wanted))
            return true;
    return false;
}

/* --- answers --- */

static void put_error(struct buf *out, enum grpc_status code, const char *text)
{
    size_t error = wire_open(out, SAY_ERROR);

    wire_put_tag(out, 1, WIRE_VARINT);
    buf_put_varint(out, (uint64_t)code);
    wire_put_bytes(out, 2, slice_text(text));
    wire_close(out, error);
}

static void put_file(struct buf *out, struct slice wanted, bool is_symbol)
{
    struct slice file;
    size_t said;

    if (is_symbol && wanted.bytes > 0 && wanted.data[0] == '.')
        wanted = slice_make(wanted.data + 1, wanted.bytes - 1);
    if (!find_file(wanted, is_symbol, &file)) {
        put_error(out, GRPC_NOT_FOUND,
                  is_symbol ? "this node has no such symbol" : "this node has no such file");
        return;
    }
    said = wire_open(out, SAY_FILES);
    wire_put_bytes(out, 1, file);
    wire_close(out, said);
}

static void put_services_of(struct buf *out, struct slice file)
{
    struct slice package = bytes_of(file, FILE_PACKAGE);
    struct rd r = rd_make(file);
    struct wire_field f;

    while (wire_next(&r, &f)) {
        struct slice name;
        char text[128];
        size_t service;

        if (f.number != FILE_SERVICE || f.kind != WIRE_BYTES)
            continue;
        name = bytes_of(f.bytes, NAME);
        (void)snprintf(text, sizeof text, "%.*s.%.*s", (int)package.bytes,
                       (const char *)package.data, (int)name.bytes, (const char *)name.data);
        service = wire_open(out, 1);
        wire_put_bytes(out, 1, slice_text(text));
        wire_close(out, service);
    }
}

static void put_services(struct buf *out)
{
    struct rd r = rd_make(slice_make(DESCRIPTORS, DESCRIPTORS_BYTES));
    size_t said = wire_open(out, SAY_SERVICES);
    struct slice file;

    while (next_file(&r, &file))
        put_services_of(out, file);
    wire_close(out, said);
}

static void put_answer(struct buf *out, const struct wire_field *ask)
{
    switch (ask->number) {
    case ASK_FILE:
    case ASK_SYMBOL:
        put_file(out, ask->bytes, ask->number == ASK_SYMBOL);
        break;
    case ASK_SERVICES:
        put_services(out);
        break;
    case ASK_EXTENSION:
    case ASK_EXTENSIONS:
        put_error(out, GRPC_NOT_FOUND, "nothing here has extensions");
        break;
    default:
        put_error(out, GRPC_INVALID_ARGUMENT, "the request asks for nothing this node knows");
        break;
    }
}

static void reflect(struct grpc_stream *g, struct slice message)
{
    struct rd r = rd_make(message);
    struct wire_field ask = {.number = 0};
    struct wire_field f;
    struct buf out;

    while (wire_next(&r, &f))
        if (f.number >= ASK_FILE && f.number <= ASK_SERVICES && f.kind == WIRE_BYTES)
            ask = f;
    if (r.bad) {
        grpc_fail(g, GRPC_INVALID_ARGUMENT, "the message is no ServerReflectionRequest");
        return;
    }
    buf_init(&out, SAID_BYTES_MAX);
    wire_put_bytes(&out, SAY_ORIGINAL, message);
    put_answer(&out, &ask);
    if (out.failed)
        grpc_fail(g, GRPC_RESOURCE_EXHAUSTED, "the answer is too large, or there is no memory");
    else
        (void)grpc_say(g, buf_slice(&out));
    buf_free(&out);
}

const struct grpc_own GRPC_REFLECTION = {
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true, reflect};
const struct grpc_own GRPC_REFLECTION_ALPHA = {
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true, reflect};
