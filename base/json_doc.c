/* Request bodies. simdjson writes a tape: one 64-bit word a value, in the order of the text, with
 * its kind in the top byte; a number's bits stand in the word behind it; an opening bracket knows
 * the index behind its closing one and the count of what is inside. A jval is {tape, index}. */
#include "base/json_internal.h"

#include "base/json.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

enum {
    CAPACITY_MIN = 64 * 1024,
    /* A parser that once read a large text gives its memory back before the next small one. */
    CAPACITY_KEPT = 1024 * 1024,
    /* Counts on the tape stop there; above it one has to walk. */
    COUNT_SATURATED = 0xFFFFFF,
};

struct jdoc {
    struct json_simd *simd;
    struct json_tape tape;
    size_t capacity; /* of simd; 0: it has no memory */
    uint8_t *padded; /* a text's copy with room behind it */
    size_t padded_bytes;
};

status jdoc_create(struct jdoc **out, struct err *err)
{
    struct jdoc *d = mem_zero(sizeof *d);

    if (d != NULL)
        d->simd = json_simd_create();
    if (d == NULL || d->simd == NULL) {
        mem_free(d);
        return err_set(err, ST_NOMEM, "out of memory for a JSON parser");
    }
    *out = d;
    return ST_OK;
}

void jdoc_destroy(struct jdoc *d)
{
    if (d == NULL)
        return;
    json_simd_destroy(d->simd);
    mem_free(d->padded);
    mem_free(d);
}

/* Powers of two, so that bodies that grow bit by bit do not each pay for a new parser. What is not
 * touched of it costs address space, not memory. */
static size_t capacity_for(size_t bytes)
{
    size_t capacity = CAPACITY_MIN;

    while (capacity < bytes)
        capacity *= 2;
    return capacity;
}

static status fit_parser(struct jdoc *d, size_t bytes, struct err *err)
{
    bool shrink = d->capacity > CAPACITY_KEPT && bytes <= CAPACITY_KEPT;

    if (d->capacity != 0 && bytes <= d->capacity && !shrink)
        return ST_OK;
    if (shrink) {
        mem_free(d->padded);
        d->padded = NULL;
        d->padded_bytes = 0;
    }
    d->capacity = 0;
    if (!json_simd_resize(d->simd, capacity_for(bytes), JSON_DEPTH_MAX))
        return err_set(err, ST_NOMEM, "out of memory for parsing %zu bytes of JSON", bytes);
    d->capacity = capacity_for(bytes);
    return ST_OK;
}

void jdoc_trim(struct jdoc *d)
{
    if (d->capacity <= CAPACITY_KEPT && d->padded_bytes <= CAPACITY_KEPT)
        return;
    json_simd_release(d->simd);
    d->capacity = 0;
    mem_free(d->padded);
    d->padded = NULL;
    d->padded_bytes = 0;
}

size_t jdoc_capacity(const struct jdoc *d)
{
    return d->capacity;
}

static status copy_padded(struct jdoc *d, struct slice *text, struct err *err)
{
    size_t need = text->bytes + JSON_PADDING_BYTES;

    if (need > d->padded_bytes) {
        uint8_t *padded = mem_alloc(capacity_for(need));

        if (padded == NULL)
            return err_set(err, ST_NOMEM, "out of memory for parsing %zu bytes of JSON",
                           text->bytes);
        mem_free(d->padded);
        d->padded = padded;
        d->padded_bytes = capacity_for(need);
    }
    if (text->bytes > 0)
        memcpy(d->padded, text->data, text->bytes);
    memset(d->padded + text->bytes, 0, JSON_PADDING_BYTES);
    text->data = d->padded;
    return ST_OK;
}

static status malformed(struct slice text, const char *why, struct err *err)
{
    struct json_fault fault;

    if (!json_fault_find(text.data, text.bytes, &fault))
        return err_set(err, ST_INVALID, "malformed JSON: %s", why);
    return err_set(err, ST_INVALID, "malformed JSON at byte %zu: %s", fault.offset, fault.what);
}

static status parse(struct jdoc *d, struct slice text, bool padded, struct jval *root,
                    struct err *err)
{
    const char *why = "";
    status st;

    if (text.bytes > JSON_BYTES_MAX)
        return err_set(err, ST_INVALID, "a JSON text of %zu bytes is over %d", text.bytes,
                       JSON_BYTES_MAX);
    st = fit_parser(d, text.bytes, err);
    if (st == ST_OK && !padded)
        st = copy_padded(d, &text, err);
    if (st != ST_OK)
        return st;
    switch (json_simd_parse(d->simd, text.data, text.bytes, &d->tape, &why)) {
    case JSON_SIMD_OK:
        break;
    case JSON_SIMD_NOMEM:
        return err_set(err, ST_NOMEM, "out of memory for parsing %zu bytes of JSON", text.bytes);
    case JSON_SIMD_MALFORMED:
        return malformed(text, why, err);
    }
    *root = (struct jval){{(uintptr_t)&d->tape, 1}}; /* word 0 is the document's */
    return ST_OK;
}

status jdoc_parse(struct jdoc *d, struct slice text, struct jval *root, struct err *err)
{
    return parse(d, text, false, root, err);
}

status jdoc_parse_buf(struct jdoc *d, const struct buf *text, struct jval *root, struct err *err)
{
    return parse(d, buf_slice(text), text->capacity - text->bytes >= JSON_PADDING_BYTES, root, err);
}

static const struct json_tape *tape_of(struct jval v)
{
    const struct json_tape *tape = (const struct json_tape *)(uintptr_t)v.w[0];

    assert(tape != NULL); /* a jval that no parse gave */
    return tape;
}

static uint64_t word_of(struct jval v)
{
    return tape_of(v)->words[v.w[1]];
}

static char kind_of(uint64_t word)
{
    return (char)(word >> 56);
}

static uint64_t payload_of(uint64_t word)
{
    return word & ((UINT64_C(1) << 56) - 1);
}

static uint64_t number_bits(struct jval v)
{
    return tape_of(v)->words[v.w[1] + 1];
}

/* The index behind the value at `at`. */
static uint64_t index_behind(const uint64_t *words, uint64_t at)
{
    switch (kind_of(words[at])) {
    case '[':
    case '{':
        return (uint32_t)payload_of(words[at]);
    case 'l':
    case 'u':
    case 'd':
        return at + 2;
    default:
        return at + 1;
    }
}

enum jtype jval_type(struct jval v)
{
    switch (kind_of(word_of(v))) {
    case 't':
        return J_TRUE;
    case 'f':
        return J_FALSE;
    case 'l':
        return (int64_t)number_bits(v) < 0 ? J_I64 : J_U64;
    case 'u':
        return J_U64;
    case 'd':
        return J_F64;
    case '"':
        return J_STRING;
    case '[':
        return J_ARRAY;
    case '{':
        return J_OBJECT;
    default:
        return J_NULL;
    }
}

const char *jtype_name(enum jtype t)
{
    switch (t) {
    case J_NULL:
        return "null";
    case J_FALSE:
    case J_TRUE:
        return "boolean";
    case J_U64:
    case J_I64:
        return "integer";
    case J_F64:
        return "number";
    case J_STRING:
        return "string";
    case J_ARRAY:
        return "array";
    case J_OBJECT:
        return "object";
    }
    return "unknown";
}

bool jval_bool(struct jval v)
{
    return kind_of(word_of(v)) == 't';
}

bool jval_u64(struct jval v, uint64_t *out)
{
    if (jval_type(v) != J_U64)
        return false;
    *out = number_bits(v);
    return true;
}

bool jval_i64(struct jval v, int64_t *out)
{
    if (kind_of(word_of(v)) != 'l') /* 'u' is above INT64_MAX only */
        return false;
    *out = (int64_t)number_bits(v);
    return true;
}

/* Of the number at words[at]; false if there is none. */
static bool number_at(const uint64_t *words, uint64_t at, double *out)
{
    switch (kind_of(words[at])) {
    case 'd':
        memcpy(out, &words[at + 1], sizeof *out);
        return true;
    case 'l':
        *out = (double)(int64_t)words[at + 1];
        return true;
    case 'u':
        *out = (double)words[at + 1];
        return true;
    default:
        return false;
    }
}

bool jval_f64(struct jval v, double *out)
{
    return number_at(tape_of(v)->words, v.w[1], out);
}

static struct slice string_at(const struct json_tape *tape, uint64_t at)
{
    const uint8_t *string = tape->strings + payload_of(tape->words[at]);

    return slice_make(string + 4, le_u32(string));
}

struct slice jval_string(struct jval v)
{
    if (kind_of(word_of(v)) != '"')
        return (struct slice){0};
    return string_at(tape_of(v), v.w[1]);
}

size_t jval_count(struct jval v)
{
    uint64_t word = word_of(v);
    size_t count = 0;

    if (kind_of(word) != '[' && kind_of(word) != '{')
        return 0;
    count = (size_t)(payload_of(word) >> 32);
    if (count < COUNT_SATURATED)
        return count;
    count = 0;
    for (struct jiter it = jval_iter(v); jiter_next(&it);)
        count++;
    return count;
}

/* w: where the next element or member starts, where the closing bracket stands, whether members. */
struct jiter jval_iter(struct jval v)
{
    char kind = kind_of(word_of(v));

    if (kind != '[' && kind != '{')
        return (struct jiter){.value = v};
    return (struct jiter){
        .value = v,
        .w = {v.w[1] + 1, index_behind(tape_of(v)->words, v.w[1]) - 1, kind == '{'},
    };
}

bool jiter_next(struct jiter *it)
{
    const struct json_tape *tape = tape_of(it->value);

    if (it->w[0] >= it->w[1])
        return false;
    if (it->w[2]) {
        it->key = string_at(tape, it->w[0]);
        it->w[0]++;
    }
    it->value.w[1] = it->w[0];
    it->w[0] = index_behind(tape->words, it->w[0]);
    return true;
}

bool jval_member(struct jval v, const char *key, struct jval *out)
{
    struct slice wanted = slice_text(key);
    bool found = false;

    if (jval_type(v) != J_OBJECT)
        return false;
    for (struct jiter it = jval_iter(v); jiter_next(&it);) {
        if (!slice_equal(it.key, wanted))
            continue;
        *out = it.value;
        found = true;
    }
    return found;
}

static status bad_element(struct jval v, struct err *err)
{
    double number;

    if (!jval_f64(v, &number))
        return err_set(err, ST_INVALID, "%s is not a number", jtype_name(jval_type(v)));
    return err_set(err, ST_INVALID, "%g is beyond a 32-bit float", number);
}

status jval_floats(struct jval v, float *out, size_t count_max, size_t *count, struct err *err)
{
    const uint64_t *words = tape_of(v)->words;
    uint64_t at = v.w[1] + 1;
    size_t n;

    if (jval_type(v) != J_ARRAY)
        return err_set(err, ST_INVALID, "expected an array of numbers, not %s",
                       jtype_name(jval_type(v)));
    n = jval_count(v);
    *count = n;
    if (n > count_max)
        return err_set(err, ST_INVALID, "an array of %zu numbers, at most %zu are expected", n,
                       count_max);
    for (size_t i = 0; i < n; i++, at += 2) { /* a number takes two words */
        double number;

        if (number_at(words, at, &number)) {
            out[i] = (float)number;
            if (isfinite(out[i]))
                continue;
        }
        (void)bad_element((struct jval){{v.w[0], at}}, err);
        return err_wrap(err, ST_INVALID, "element %zu", i);
    }
    return ST_OK;
}
