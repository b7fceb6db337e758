/* The messages of the gRPC door, without a node. The first byte chooses a method, the rest is its
 * message, or with the high bit set the JSON of an answer to it.
 *
 * A message is refused with a text, or becomes a body that is JSON (but for its depth) and says the
 * same when it is read again. As a payload value any JSON comes through a message as it was. An
 * answer becomes fields that can be read to their end. Nothing outgrows its bounds. */
#include "api/grpc_call.h"
#include "api/grpc_shapes.h"
#include "base/json.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { OUT_MAX = 4 << 20, ARENA_MAX = 16 << 20 };

static struct jdoc *doc;

static bool parse(struct slice text, struct jval *root)
{
    struct err err = {0};

    return fuzz_said(jdoc_parse(doc, text, root, &err), &err) == ST_OK;
}

/* A value of JSON as a message, and that as JSON again. */
static void there_and_back(struct jval root, struct arena *arena, struct buf *json)
{
    struct grpc_in in = {.arena = arena, .out = json};
    struct buf message;
    struct grpc_out o = {.out = &message};

    buf_init(&message, OUT_MAX);
    grpc_out_message(&o, &qdrant__value__descriptor, root);
    FUZZ_CHECK(!message.failed);
    FUZZ_CHECK(grpc_in_value(&in, &qdrant__value__descriptor, buf_slice(&message)));
    buf_free(&message);
}

static void check_value(struct jval root, struct arena *arena)
{
    struct buf once;
    struct buf twice;
    struct jval again;

    buf_init(&once, OUT_MAX);
    buf_init(&twice, OUT_MAX);
    there_and_back(root, arena, &once);
    FUZZ_CHECK(parse(buf_slice(&once), &again));
    there_and_back(again, arena, &twice);
    FUZZ_CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
    buf_free(&once);
    buf_free(&twice);
}

static void check_message(const struct grpc_method *method, struct slice message)
{
    struct request req = {0};
    struct grpc_call call = {.method = method, .message = message};
    struct grpc_in in;
    struct jval root;
    struct buf first;

    arena_init(&req.arena, ARENA_MAX);
    buf_init(&req.body, OUT_MAX);
    buf_init(&first, OUT_MAX);
    req.grpc = &call;
    if (!grpc_call_read(&req, NULL, 0, &in)) {
        FUZZ_CHECK(in.text[0] != '\0');
    } else {
        for (size_t i = 0; i < call.float_count; i++)
            FUZZ_CHECK(call.floats[i].count <= message.bytes / sizeof(float));
        if (req.body.bytes > 0 && parse(buf_slice(&req.body), &root))
            check_value(root, &req.arena);
        buf_put_slice(&first, buf_slice(&req.body));
        FUZZ_CHECK(grpc_call_read(&req, NULL, 0, &in));
        FUZZ_CHECK(slice_equal(buf_slice(&first), buf_slice(&req.body)));
    }
    buf_free(&first);
    buf_free(&req.body);
    arena_free(&req.arena);
}

static void check_answer(const struct grpc_method *method, struct slice json)
{
    struct buf out;
    struct jval root;
    struct wire_field w;
    struct rd r;

    if (!parse(json, &root))
        return;
    buf_init(&out, OUT_MAX);
    grpc_call_print((const struct grpc_route_call *)method, root, &out);
    FUZZ_CHECK(!out.failed);
    for (r = rd_make(buf_slice(&out)); wire_next(&r, &w);)
        ;
    FUZZ_CHECK(!r.bad);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static size_t methods;
    const struct grpc_method *method;
    uint8_t *rest;

    while (methods == 0 || grpc_method_at(methods) != NULL)
        methods++;
    if (doc == NULL)
        FUZZ_CHECK(jdoc_create(&doc, NULL) == ST_OK);
    if (bytes == 0)
        return 0;
    method = grpc_method_at((data[0] & 127) % methods);
    rest = fuzz_copy(data + 1, bytes - 1);
    if ((data[0] & 128) == 0)
        check_message(method, slice_make(rest, bytes - 1));
    else
        check_answer(method, slice_make(rest, bytes - 1));
    free(rest);
    return 0;
}
