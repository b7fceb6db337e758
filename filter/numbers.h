/* numbers.h - integers and floats compared by their exact values, and scalars put in order.
 *
 * Threads    any. */
#ifndef FILTER_NUMBERS_H
#define FILTER_NUMBERS_H

#include "filter/filter.h"

/* As jbin keeps them: U64, I64 below zero, F64 finite. */
struct number {
    enum jbin_type type;
    union {
        uint64_t u64;
        int64_t i64;
        double f64;
    };
};
static inline bool number_is(enum jbin_type t)
{
    return t == JBIN_T_U64 || t == JBIN_T_I64 || t == JBIN_T_F64;
}
/* Of a number's type. */
static inline struct number number_of(enum jbin_type type, uint64_t u64, int64_t i64, double f64)
{
    struct number n = {.type = type};

    if (type == JBIN_T_U64)
        n.u64 = u64;
    else if (type == JBIN_T_I64)
        n.i64 = i64;
    else
        n.f64 = f64;
    return n;
}
/* -1, 0, 1, whatever their types. */
int number_compare(struct number a, struct number b);
/* A float without a fraction that an integer holds becomes that integer; all else stays. */
struct number number_simplest(struct number n);
double number_f64(struct number n); /* the nearest */

struct number filter_value_number(const struct filter_value *v);
struct filter_value filter_number_value(struct number n);
/* By type, then by value; 0 only of two that are the same. */
int filter_value_compare(const struct filter_value *a, const struct filter_value *b);

#endif
