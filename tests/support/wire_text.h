/* wire_text.h - protobuf's wire format written by hand, for tests that must not depend on the
 * tables they test. Fields are a number and a value:
 *
 *     1=150          a varint (negative ones too)        2"text"     bytes, \xx in hex
 *     3{1=1 2"a"}    a message                           4f0.5       32 bits
 *     5d0.5          64 bits                             6[0.5 2]    packed floats
 *     7(1 300)       packed varints
 *
 * Blanks separate. Anything else stops the test. */
#ifndef TESTS_SUPPORT_WIRE_TEXT_H
#define TESTS_SUPPORT_WIRE_TEXT_H

#include "api/grpc_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static inline const char *wire_text_bytes(const char *at, struct buf *out, uint32_t number)
{
    size_t opened = wire_open(out, number);

    while (*at != '"') {
        assert_true(*at != '\0');
        if (*at == '\\') {
            char hex[3] = {at[1], at[2], '\0'};

            buf_put_u8(out, (uint8_t)strtoul(hex, NULL, 16));
            at += 3;
        } else {
            buf_put_u8(out, (uint8_t)*at++);
        }
    }
    wire_close(out, opened);
    return at + 1;
}

/* Up to the end or a brace that closes. */
static inline const char *wire_text_fields(const char *at, struct buf *out)
{
    while (*at != '\0' && *at != '}') {
        char *end = (char *)(uintptr_t)at;
        uint32_t number = (uint32_t)strtoul(at, &end, 10);
        size_t opened;

        assert_true(end != at);
        at = end + 1;
        switch (*end) {
        case '=':
            wire_put_tag(out, number, WIRE_VARINT);
            buf_put_varint(out,
                           *at == '-' ? (uint64_t)strtoll(at, &end, 10) : strtoull(at, &end, 10));
            at = end;
            break;
        case 'f':
            wire_put_tag(out, number, WIRE_FIXED32);
            buf_put_f32(out, strtof(at, &end));
            at = end;
            break;
        case 'd':
            wire_put_tag(out, number, WIRE_FIXED64);
            buf_put_f64(out, strtod(at, &end));
            at = end;
            break;
        case '"':
            at = wire_text_bytes(at, out, number);
            break;
        case '{':
            opened = wire_open(out, number);
            at = wire_text_fields(at, out);
            assert_true(*at == '}');
            at++;
            wire_close(out, opened);
            break;
        case '[':
            opened = wire_open(out, number);
            while (*at != ']') {
                buf_put_f32(out, strtof(at, &end));
                assert_true(end != at);
                at = *end == ' ' ? end + 1 : end;
            }
            at++;
            wire_close(out, opened);
            break;
        case '(':
            opened = wire_open(out, number);
            while (*at != ')') {
                buf_put_varint(out, strtoull(at, &end, 10));
                assert_true(end != at);
                at = *end == ' ' ? end + 1 : end;
            }
            at++;
            wire_close(out, opened);
            break;
        default:
            fail_msg("a field is no field: %s", at - 1);
        }
        while (*at == ' ')
            at++;
    }
    return at;
}

#endif
