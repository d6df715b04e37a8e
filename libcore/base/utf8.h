/* SPDX-License-Identifier: MIT
 *
 * UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF). */
#ifndef PF_BASE_UTF8_H
#define PF_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offset of the first byte of the first invalid sequence, or n when all is
 * valid. Vectorised with run-time dispatch. */
size_t pf_utf8_check(const char *p, size_t n);
static inline bool pf_utf8_valid(const char *p, size_t n)
{
    return pf_utf8_check(p, n) == n;
}

/* Decodes the code point at p in VALID text; *len gets 1..4. */
static inline uint32_t pf_utf8_get(const char *s, int *len)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80)
        return *len = 1, p[0];
    if (p[0] < 0xe0)
        return *len = 2, (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
    if (p[0] < 0xf0)
        return *len = 3, (uint32_t)(p[0] & 0x0f) << 12 |
                             (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    return *len = 4, (uint32_t)(p[0] & 0x07) << 18 |
                         (uint32_t)(p[1] & 0x3f) << 12 |
                         (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
}

/* Writes the code point (a valid scalar) and returns its length 1..4. */
int pf_utf8_put(char *out, uint32_t cp);

#endif
