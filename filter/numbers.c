#include "filter/numbers.h"

#include <math.h>

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* A double is cut to an integer, which is exact, and only then compared; what was cut off decides
 * between equals. */
static int compare_u64_f64(uint64_t a, double b)
{
    uint64_t whole;

    if (b < 0)
        return 1;
    if (!(b < 0x1p64))
        return -1;
    whole = (uint64_t)b;
    if (a != whole)
        return compare_u64(a, whole);
    return b > (double)whole ? -1 : 0;
}

static int compare_i64_f64(int64_t a, double b)
{
    int64_t whole;

    if (b >= 0x1p63)
        return -1;
    if (!(b >= -0x1p63))
        return 1;
    whole = (int64_t)b;
    if (a != whole)
        return a < whole ? -1 : 1;
    return b > (double)whole ? -1 : b < (double)whole ? 1 : 0;
}

static int compare_u64_i64(uint64_t a, int64_t b)
{
    return b < 0 ? 1 : compare_u64(a, (uint64_t)b);
}

int number_compare(struct number a, struct number b)
{
    if (a.type == JBIN_T_U64)
        return b.type == JBIN_T_U64   ? compare_u64(a.u64, b.u64)
               : b.type == JBIN_T_I64 ? compare_u64_i64(a.u64, b.i64)
                                      : compare_u64_f64(a.u64, b.f64);
    if (a.type == JBIN_T_I64)
        return b.type == JBIN_T_U64   ? -compare_u64_i64(b.u64, a.i64)
               : b.type == JBIN_T_I64 ? (a.i64 > b.i64) - (a.i64 < b.i64)
                                      : compare_i64_f64(a.i64, b.f64);
    return b.type == JBIN_T_U64   ? -compare_u64_f64(b.u64, a.f64)
           : b.type == JBIN_T_I64 ? -compare_i64_f64(b.i64, a.f64)
                                  : (a.f64 > b.f64) - (a.f64 < b.f64);
}

struct number number_simplest(struct number n)
{
    if (n.type != JBIN_T_F64 || n.f64 != trunc(n.f64))
        return n;
    if (n.f64 >= 0 && n.f64 < 0x1p64)
        return (struct number){.type = JBIN_T_U64, .u64 = (uint64_t)n.f64};
    if (n.f64 < 0 && n.f64 >= -0x1p63)
        return (struct number){.type = JBIN_T_I64, .i64 = (int64_t)n.f64};
    return n;
}

double number_f64(struct number n)
{
    return n.type == JBIN_T_U64 ? (double)n.u64 : n.type == JBIN_T_I64 ? (double)n.i64 : n.f64;
}

struct number filter_value_number(const struct filter_value *v)
{
    return number_of(v->type, v->u64, v->i64, v->f64);
}

struct filter_value filter_number_value(struct number n)
{
    struct filter_value v = {.type = n.type};

    if (n.type == JBIN_T_U64)
        v.u64 = n.u64;
    else if (n.type == JBIN_T_I64)
        v.i64 = n.i64;
    else
        v.f64 = n.f64;
    return v;
}

static int compare_text(struct slice a, struct slice b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    return order != 0 ? order : compare_u64(a.bytes, b.bytes);
}

int filter_value_compare(const struct filter_value *a, const struct filter_value *b)
{
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->type == JBIN_T_BOOL)
        return (int)a->boolean - (int)b->boolean;
    if (a->type == JBIN_T_STRING)
        return compare_text(a->text, b->text);
    return number_is(a->type) ? number_compare(filter_value_number(a), filter_value_number(b)) : 0;
}
