/* openapi.h - api/openapi.json, as it is in the program: what GET /openapi.json answers. */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t OPENAPI_JSON[];
extern const size_t OPENAPI_JSON_BYTES;

#endif
