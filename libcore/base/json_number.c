/* SPDX-License-Identifier: MIT
 *
 * Numbers of JSON syntax to double, correctly rounded: Clinger's fast path
 * ("How to read floating point numbers accurately", 1990) for short ones,
 * the C library's strtod in the C locale for the rest. That one gets a text
 * of bounded length: 800 significant digits and a sticky one decide every
 * rounding (767 are the most that a halfway point can have). */
#define _GNU_SOURCE /* newlocale, strtod_l */
#include "base/json_int.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_DIGITS 800
#define EXP_LIMIT 100000000 /* beyond it every number is 0 or infinite */

typedef struct decimal {
    uint64_t small;      /* the first 19 significant digits */
    int n;               /* significant digits, at most MAX_DIGITS + 1 */
    int64_t exp;         /* value = 0.DIGITS x 10^exp */
    bool neg, dropped;   /* dropped: a non-zero digit did not fit */
    char digit[MAX_DIGITS + 2];
} decimal;

static void add_digit(decimal *d, char c)
{
    if (d->n == 0 && c == '0')
        return;
    if (d->n < MAX_DIGITS) {
        if (d->n < 19)
            d->small = d->small * 10 + (uint64_t)(c - '0');
        d->digit[d->n++] = c;
    } else if (c != '0') {
        d->dropped = true;
    }
}

static void read_decimal(decimal *d, pf_slice s)
{
    const char *p = s.p, *end = p + s.n;
    d->neg = *p == '-';
    p += d->neg;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        add_digit(d, *p);
        d->exp += d->n > 0;
    }
    if (p < end && *p == '.') {
        for (p++; p < end && *p >= '0' && *p <= '9'; p++) {
            add_digit(d, *p);
            d->exp -= d->n == 0;
        }
    }
    if (p < end) {
        bool neg = p[1] == '-';
        int64_t x = 0;
        for (p += 1 + (neg || p[1] == '+'); p < end; p++)
            if (x < EXP_LIMIT * INT64_C(100))
                x = x * 10 + (*p - '0');
        d->exp += neg ? -x : x;
    }
    while (!d->dropped && d->n > 19 && d->digit[d->n - 1] == '0')
        d->n--;
}

/* The text given to strtod needs no locale's point: it has none. */
static double by_strtod(decimal *d)
{
    char buf[MAX_DIGITS + 32];
    if (d->dropped)
        d->digit[d->n++] = '1';
    int64_t exp = d->exp - d->n;
    exp = PF_MAX(PF_MIN(exp, EXP_LIMIT), -EXP_LIMIT);
    snprintf(buf, sizeof buf, "%s%.*se%d", d->neg ? "-" : "", d->n, d->digit,
             (int)exp);
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c)
        return strtod(buf, NULL);
    double v = strtod_l(buf, NULL, c);
    freelocale(c);
    return v;
}

double pf_json_to_f64(pf_slice number)
{
    static const double pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,
                                   1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
                                   1e18, 1e19, 1e20, 1e21, 1e22};
    decimal d;
    d.small = 0;
    d.n = 0;
    d.exp = 0;
    d.dropped = false;
    read_decimal(&d, number);
    if (d.n == 0)
        return d.neg ? -0.0 : 0.0;
    int64_t exp = d.exp - d.n;
    if (d.n <= 19 && d.small <= UINT64_C(1) << 53 && exp >= -22 && exp <= 22) {
        /* Both operands are exact, so the result is rounded once. */
        double v = (double)d.small;
        v = exp < 0 ? v / pow10[-exp] : v * pow10[exp];
        return d.neg ? -v : v;
    }
    return by_strtod(&d);
}
