/* SPDX-License-Identifier: MIT
 *
 * Shortest decimals of doubles and floats by Schubfach (Raffaello Giulietti,
 * "The Schubfach way to render doubles", 2020): of the shortest decimals that
 * round to the value, the closest to it. With k chosen such that the interval
 * of rounding is between 1 and 10 units of 10^k wide, one of the four
 * decimals next to the value at 10^k and 10^(k+1) is the answer. Values are
 * scaled by a power of ten rounded up at 128 (64) bits; rounding the product
 * to odd keeps every comparison exact, as the paper proves.
 *
 * The layout is that of Python's repr: 1.0, 0.0001, 1e-05, 1.5e+16. */
#include "base/bytes.h"
#include "base/json_int.h"

typedef struct shortest {
    uint64_t digits;
    int exp; /* value = digits x 10^exp */
} shortest;

/* floor(log10(2^q)) and floor(log10(3/4 2^q)), floor(log2(10^k)): exact for
 * |q| < 1500 and |k| < 400. */
static int log10_pow2(int q, bool three_quarters)
{
    return (q * 1262611 - (three_quarters ? 524031 : 0)) >> 22;
}

static int log2_pow10(int k)
{
    return (k * 1741647) >> 19;
}

/* The scaled value, times 4, and its rounding interval; "odd" rounding. */
typedef struct scaled {
    uint64_t low, mid, high;
} scaled;

/* Picks from the interval; even: its bounds belong to it. */
static shortest pick(scaled v, bool even, int k)
{
    uint64_t low = v.low + !even, high = v.high - !even, s = v.mid / 4;
    if (s >= 10) {
        uint64_t t = s / 10;
        bool down = low <= 40 * t, up = 40 * t + 40 <= high;
        if (down != up)
            return (shortest){t + up, k + 1};
    }
    bool down = low <= 4 * s, up = 4 * s + 4 <= high;
    if (down != up)
        return (shortest){s + up, k};
    uint64_t half = 4 * s + 2;
    bool round_up = v.mid > half || (v.mid == half && (s & 1));
    return (shortest){s + round_up, k};
}

/* floor(c g / 2^128), its last bit set when anything was cut off. */
static uint64_t times128(pf_pow10 g, uint64_t c)
{
    pf_u128 low = (pf_u128)g.lo * c;
    pf_u128 high = (pf_u128)g.hi * c + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* floor(c g / 2^64) in the same way, for a 64-bit g. */
static uint64_t times64(uint64_t g, uint64_t c)
{
    pf_u128 p = (pf_u128)g * c;
    return (uint64_t)(p >> 64) | ((uint32_t)((uint64_t)p >> 32) > 1);
}

/* c x 2^q with `bits` of mantissa; closer: the value below is half as far
 * away as the one above (a power of two). */
static shortest shorten(uint64_t c, int q, bool closer, int bits)
{
    if (q <= 0 && -q < bits && (c & ((UINT64_C(1) << -q) - 1)) == 0)
        return (shortest){c >> -q, 0};
    int k = log10_pow2(q, closer);
    int shift = q + log2_pow10(-k) + 1;
    uint64_t low = (4 * c - 2 + closer) << shift, mid = 4 * c << shift,
             high = (4 * c + 2) << shift;
    pf_pow10 g = pf_pow10_table[-k - PF_POW10_MIN];
    scaled v;
    if (bits == 53) {
        v = (scaled){times128(g, low), times128(g, mid), times128(g, high)};
    } else {
        /* The table holds floor + 1; the same of its upper half. */
        uint64_t g64 = g.lo ? g.hi + 1 : g.hi;
        v = (scaled){times64(g64, low), times64(g64, mid),
                     times64(g64, high)};
    }
    return pick(v, c % 2 == 0, k);
}

static char *put_digits(char *p, const char *digit, int n)
{
    memcpy(p, digit, (size_t)n);
    return p + n;
}

static char *put_zeros(char *p, int n)
{
    memset(p, '0', (size_t)n);
    return p + n;
}

static int layout(shortest d, bool neg, char *buf)
{
    char digit[24], *end = digit + sizeof digit, *first = end, *p = buf;
    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exp++;
    }
    for (; d.digits; d.digits /= 10)
        *--first = (char)('0' + d.digits % 10);
    int n = (int)(end - first), point = n + d.exp; /* 0.DIGITS x 10^point */
    if (neg)
        *p++ = '-';
    if (point > -4 && point <= 0) {
        p = put_zeros(put_digits(p, "0.", 2), -point);
        p = put_digits(p, first, n);
    } else if (point > 0 && point <= 16) {
        int whole = PF_MIN(n, point);
        p = put_zeros(put_digits(p, first, whole), point - whole);
        *p++ = '.';
        if (n > whole)
            p = put_digits(p, first + whole, n - whole);
        else
            *p++ = '0';
    } else {
        int exp = point - 1, abs = exp < 0 ? -exp : exp;
        *p++ = *first;
        if (n > 1) {
            *p++ = '.';
            p = put_digits(p, first + 1, n - 1);
        }
        *p++ = 'e';
        *p++ = exp < 0 ? '-' : '+';
        if (abs >= 100)
            *p++ = (char)('0' + abs / 100);
        *p++ = (char)('0' + abs / 10 % 10);
        *p++ = (char)('0' + abs % 10);
    }
    *p = 0;
    return (int)(p - buf);
}

static int literal(const char *s, char *buf)
{
    size_t n = strlen(s);
    memcpy(buf, s, n + 1);
    return (int)n;
}

int pf_f64_text(double v, char *buf)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    uint64_t frac = u & ((UINT64_C(1) << 52) - 1);
    int exp = (int)(u >> 52 & 0x7ff);
    bool neg = u >> 63;
    if (exp == 0x7ff)
        return literal("null", buf);
    if (exp == 0 && frac == 0)
        return literal(neg ? "-0.0" : "0.0", buf);
    uint64_t c = exp ? frac | UINT64_C(1) << 52 : frac;
    int q = (exp ? exp : 1) - 1075;
    return layout(shorten(c, q, frac == 0 && exp > 1, 53), neg, buf);
}

int pf_f32_text(float v, char *buf)
{
    uint32_t u = pf_f32_bits(v), frac = u & 0x7fffff;
    int exp = (int)(u >> 23 & 0xff);
    bool neg = u >> 31;
    if (exp == 0xff)
        return literal("null", buf);
    if (exp == 0 && frac == 0)
        return literal(neg ? "-0.0" : "0.0", buf);
    uint32_t c = exp ? frac | 0x800000 : frac;
    int q = (exp ? exp : 1) - 150;
    return layout(shorten(c, q, frac == 0 && exp > 1, 24), neg, buf);
}
