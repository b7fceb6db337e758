// Shortest decimals, by the standard library's to_chars (Ryu). It never throws and never allocates.

#include <charconv>
#include <cstring>

#include "base/json_internal.h"

extern "C" size_t json_chars_f32(char *out, float v)
{
    // The one float (and its negative) whose shortest decimal, 7.038531e-26, is not read back by
    // who reads a double and narrows it: the double falls on the half way between two floats and
    // goes the other way. Found by trying all of them (test_json_write with TIERVEC_TEST_ALL_FLOATS
    // set).
    static const float double_rounded = 0x1.5c87fap-84f;
    static const char long_form[] = "-7.0385307e-26";

    if (v == double_rounded || v == -double_rounded) {
        const char *text = v < 0 ? long_form : long_form + 1;

        std::memcpy(out, text, std::strlen(text));
        return std::strlen(text);
    }
    return static_cast<size_t>(std::to_chars(out, out + JSON_CHARS_MAX, v).ptr - out);
}

extern "C" size_t json_chars_f64(char *out, double v)
{
    return static_cast<size_t>(std::to_chars(out, out + JSON_CHARS_MAX, v).ptr - out);
}
