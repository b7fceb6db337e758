/* grpc.c - what gRPC says about a call besides its message: the status. */
#include "api/grpc.h"

enum grpc_status grpc_status_of_http(int http_status)
{
    switch (http_status) {
    case 400:
    case 422:
        return GRPC_INVALID_ARGUMENT;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_NOT_FOUND;
    case 409:
        return GRPC_ALREADY_EXISTS;
    case 413:
    case 429:
    case 507:
        return GRPC_RESOURCE_EXHAUSTED;
    case 503:
        return GRPC_UNAVAILABLE;
    case 408:
    case 504:
        return GRPC_DEADLINE_EXCEEDED;
    default:
        return http_status >= 200 && http_status < 300 ? GRPC_OK : GRPC_INTERNAL;
    }
}
