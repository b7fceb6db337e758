/* grpc_methods.c - the methods of the gRPC door, by path. */
#include "api/grpc.h"

const struct grpc_method *grpc_method_find(struct slice path)
{
    (void)path;
    return NULL;
}
