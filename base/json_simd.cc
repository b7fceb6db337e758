// The one place that meets simdjson: its DOM parser behind a C interface. The parser is asked for
// its tape only; walking the tape is C (json_doc.c). simdjson reports by error codes and allocates
// with nothrow new; the catch blocks are for what it might do in another build.

#include <cstring>
#include <memory>
#include <new>

#include <simdjson.h>

#include "base/json_internal.h"

struct json_simd {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
    simdjson::dom::document document;
};

extern "C" struct json_simd *json_simd_create(void)
{
    return new (std::nothrow) json_simd;
}

extern "C" void json_simd_destroy(struct json_simd *s)
{
    delete s;
}

extern "C" void json_simd_release(struct json_simd *s)
{
    s->parser.reset();
    s->document = simdjson::dom::document();
}

extern "C" bool json_simd_resize(struct json_simd *s, size_t capacity, size_t depth_max)
{
    simdjson::error_code error;

    json_simd_release(s);
    try {
        error = simdjson::get_active_implementation()->create_dom_parser_implementation(
            capacity, depth_max, s->parser);
        if (error == simdjson::SUCCESS)
            error = s->document.allocate(capacity);
    } catch (...) {
        error = simdjson::MEMALLOC;
    }
    if (error == simdjson::SUCCESS)
        return true;
    json_simd_release(s);
    return false;
}

extern "C" enum json_simd_result json_simd_parse(struct json_simd *s, const uint8_t *text,
                                                 size_t bytes, struct json_tape *tape,
                                                 const char **why)
{
    simdjson::error_code error;

    try {
        error = s->parser->parse(text, bytes, s->document);
    } catch (...) {
        error = simdjson::MEMALLOC;
    }
    if (error == simdjson::MEMALLOC)
        return JSON_SIMD_NOMEM;
    if (error != simdjson::SUCCESS) {
        *why = simdjson::error_message(error); // static text
        return JSON_SIMD_MALFORMED;
    }
    tape->words = s->document.tape.get();
    tape->strings = s->document.string_buf.get();
    return JSON_SIMD_OK;
}
