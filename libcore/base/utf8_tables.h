/* SPDX-License-Identifier: MIT
 *
 * Tables of the vector UTF-8 checks. Each error is a bit; a pair of bytes has
 * it when all three nibbles looked up (high and low of the first byte, high
 * of the second) allow it. TWO_CONT is no error by itself: it is set for two
 * continuations in a row and must agree with what the lead bytes ask for. */
#ifndef PF_BASE_UTF8_TABLES_H
#define PF_BASE_UTF8_TABLES_H

#include <stdint.h>

enum {
    TOO_SHORT = 1 << 0,   /* lead, then no continuation */
    TOO_LONG = 1 << 1,    /* ASCII, then a continuation */
    OVERLONG_3 = 1 << 2,  /* e0 80..9f */
    TOO_LARGE = 1 << 3,   /* f4 90..bf, f5.. */
    SURROGATE = 1 << 4,   /* ed a0..bf */
    OVERLONG_2 = 1 << 5,  /* c0, c1 */
    TOO_LARGE_2 = 1 << 6, /* f5.. 80..8f */
    OVERLONG_4 = 1 << 6,  /* f0 80..8f */
    TWO_CONT = 1 << 7,
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONT, /* the low nibble is any */
};

static const uint8_t pf_utf8_first_high[16] = {
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, /* 0. .. 7. */
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
    TWO_CONT, TWO_CONT, TWO_CONT, TWO_CONT, /* 8. .. b. */
    TOO_SHORT | OVERLONG_2,                 /* c. */
    TOO_SHORT,                              /* d. */
    TOO_SHORT | OVERLONG_3 | SURROGATE,     /* e. */
    TOO_SHORT | TOO_LARGE | TOO_LARGE_2 | OVERLONG_4, /* f. */
};

static const uint8_t pf_utf8_first_low[16] = {
    CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4, /* .0 */
    CARRY | OVERLONG_2,                           /* .1 */
    CARRY,
    CARRY,
    CARRY | TOO_LARGE, /* .4 */
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2 | SURROGATE, /* .d */
    CARRY | TOO_LARGE | TOO_LARGE_2,
    CARRY | TOO_LARGE | TOO_LARGE_2,
};

#define PF_UTF8_CONT (TOO_LONG | OVERLONG_2 | TWO_CONT)
static const uint8_t pf_utf8_second_high[16] = {
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
    PF_UTF8_CONT | OVERLONG_3 | TOO_LARGE_2 | OVERLONG_4, /* 8. */
    PF_UTF8_CONT | OVERLONG_3 | TOO_LARGE,                /* 9. */
    PF_UTF8_CONT | SURROGATE | TOO_LARGE,                 /* a. */
    PF_UTF8_CONT | SURROGATE | TOO_LARGE,                 /* b. */
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
};

/* The greatest bytes that leave nothing due behind a vector's end. */
#define PF_UTF8_FF4 0xff, 0xff, 0xff, 0xff
#define PF_UTF8_FF16 PF_UTF8_FF4, PF_UTF8_FF4, PF_UTF8_FF4, PF_UTF8_FF4
static const uint8_t pf_utf8_last[64] = {
    PF_UTF8_FF16, PF_UTF8_FF16, PF_UTF8_FF16, PF_UTF8_FF4, PF_UTF8_FF4,
    PF_UTF8_FF4,  0xff,         0xef,         0xdf,        0xbf,
};

#endif
