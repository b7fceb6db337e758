/* grpc_health.c - grpc.health.v1.Health: says what GET /ready says, from the loop, so that a full
 * queue does not make a node look dead.
 *
 * Source     grpc/doc/health-checking.md. */
#include "api/grpc_internal.h"
#include "api/grpc_wire.h"

enum health { HEALTH_UNKNOWN = 0, HEALTH_SERVING = 1, HEALTH_NOT_SERVING = 2, HEALTH_NO_SUCH = 3 };

static const char *const services[] = {
    "",
    "qdrant.Points",
    "qdrant.Collections",
    "qdrant.Qdrant",
    "akidb.collection.v1.CollectionService",
    "akidb.collection.v1.CollectionManagementService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
};

static enum health health_now(const struct grpc_stream *g)
{
    const struct api *api = g->conn->server->api;
    double progress;

    return node_ready(api->options.node, &progress) &&
                   !atomic_load_explicit(&api->draining, memory_order_relaxed)
               ? HEALTH_SERVING
               : HEALTH_NOT_SERVING;
}

static struct slice answer(uint8_t to[2], enum health health)
{
    to[0] = 1 << 3; /* field 1, a varint */
    to[1] = (uint8_t)health;
    return slice_make(to, 2);
}

/* HealthCheckRequest: `string service = 1`. Fields we do not know are stepped over; false when it
 * is no message. */
static bool read_service(struct slice message, struct slice *service)
{
    struct rd r = rd_make(message);
    struct wire_field f;

    *service = slice_make("", 0);
    while (wire_next(&r, &f))
        if (f.number == 1 && f.kind == WIRE_BYTES)
            *service = f.bytes;
    return !r.bad;
}

/* False when the stream was answered with what is wrong. */
static bool ask(struct grpc_stream *g, struct slice message, bool *known)
{
    struct slice service;

    if (!read_service(message, &service)) {
        grpc_fail(g, GRPC_INVALID_ARGUMENT, "the message is no grpc.health.v1.HealthCheckRequest");
        return false;
    }
    *known = false;
    for (size_t i = 0; i < COUNT_OF(services) && !*known; i++)
        *known = slice_equal(service, slice_text(services[i]));
    return true;
}

static void check(struct grpc_stream *g, struct slice message)
{
    uint8_t text[2];
    bool known;

    if (!ask(g, message, &known))
        return;
    if (!known)
        grpc_fail(g, GRPC_NOT_FOUND, "this node has no service of that name");
    else if (grpc_say(g, answer(text, health_now(g))))
        grpc_done(g);
}

void grpc_watch_look(struct grpc_stream *g)
{
    enum health now = g->known ? health_now(g) : HEALTH_NO_SUCH;
    uint8_t text[2];

    if (now == g->watched || !grpc_say(g, answer(text, now)))
        return;
    g->watched = (uint8_t)now;
}

static void watch(struct grpc_stream *g, struct slice message)
{
    if (ask(g, message, &g->known))
        grpc_watch_look(g);
}

const struct grpc_own GRPC_HEALTH_CHECK = {"/grpc.health.v1.Health/Check", false, check};
const struct grpc_own GRPC_HEALTH_WATCH = {"/grpc.health.v1.Health/Watch", false, watch};
