/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include "base/cpu.h"
#include "base/utf8_int.h"

#include <string.h>

/* Length of the valid sequence at p with n >= 1 bytes left, or 0. The bounds
 * of the second byte are those of table 3-7 of the Unicode standard. */
static size_t sequence(const unsigned char *p, size_t n)
{
    unsigned char lo = 0x80, hi = 0xbf;
    size_t len;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        len = 2;
    else if ((p[0] & 0xf0) == 0xe0)
        len = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (p[0] == 0xe0)
        lo = 0xa0;
    else if (p[0] == 0xed)
        hi = 0x9f;
    else if (p[0] == 0xf0)
        lo = 0x90;
    else if (p[0] == 0xf4)
        hi = 0x8f;
    if (n < len || p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

size_t pf_utf8_check_scalar(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t i = 0;
    while (i < n) {
        uint64_t word;
        if (n - i >= 8 && (memcpy(&word, p + i, 8),
                           (word & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        size_t len = sequence(p + i, n - i);
        if (len == 0)
            return i;
        i += len;
    }
    return n;
}

size_t pf_utf8_check_from(const char *p, size_t n, size_t done)
{
    size_t from = done;
    for (size_t back = 1; back <= 3 && back <= done; back++) {
        unsigned char c = (unsigned char)p[done - back];
        if (c < 0x80)
            break;
        if (c >= 0xc0) {
            from = done - back;
            break;
        }
    }
    return from + pf_utf8_check_scalar(p + from, n - from);
}

size_t pf_utf8_check(const char *p, size_t n)
{
#if defined(__x86_64__)
    if (n >= 64) {
        switch (pf_cpu_tier()) {
        case PF_CPU_AVX512:
            return pf_utf8_check_avx512(p, n);
        case PF_CPU_AVX2:
            return pf_utf8_check_avx2(p, n);
        default:
            break;
        }
    }
#endif
    return pf_utf8_check_scalar(p, n);
}

int pf_utf8_put(char *out, uint32_t cp)
{
    unsigned char *p = (unsigned char *)out;
    if (cp < 0x80)
        return p[0] = (unsigned char)cp, 1;
    if (cp < 0x800) {
        p[0] = (unsigned char)(0xc0 | cp >> 6);
        p[1] = (unsigned char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        p[0] = (unsigned char)(0xe0 | cp >> 12);
        p[1] = (unsigned char)(0x80 | (cp >> 6 & 0x3f));
        p[2] = (unsigned char)(0x80 | (cp & 0x3f));
        return 3;
    }
    p[0] = (unsigned char)(0xf0 | cp >> 18);
    p[1] = (unsigned char)(0x80 | (cp >> 12 & 0x3f));
    p[2] = (unsigned char)(0x80 | (cp >> 6 & 0x3f));
    p[3] = (unsigned char)(0x80 | (cp & 0x3f));
    return 4;
}
