/* SPDX-License-Identifier: MIT
 *
 * The portable tier of the JSON kernel: eight bytes at a time in a register
 * (Mycroft's zero-byte test; only its lowest hit is exact, and only that is
 * used). The vector tiers are tested against this one. */
#define JSON_RUN pf_json_run_scalar
#define JSON_ESCAPE pf_json_escape_scalar
#include "base/json_kernel.inc"

#include "base/bytes.h"

#define ONES 0x0101010101010101u
#define TOPS 0x8080808080808080u

/* The high bit of the first special byte of w, and noise above it. */
static inline uint64_t special(uint64_t w)
{
    uint64_t quote = w ^ ONES * '"', slash = w ^ ONES * '\\';
    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) |
            ((w - ONES * 0x20) & ~w)) & TOPS;
}

static inline bool is_special(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static inline const unsigned char *scan(const unsigned char *p,
                                        const unsigned char *end, bool *high)
{
    uint64_t seen = 0;
    for (; end - p >= 8; p += 8) {
        uint64_t w = pf_get_u64(p), hit = special(w);
        seen |= w;
        if (hit) {
            *high |= (seen & TOPS) != 0;
            return p + (__builtin_ctzll(hit) >> 3);
        }
    }
    for (; p < end && !is_special(*p); p++)
        seen |= *p;
    *high |= (seen & TOPS) != 0;
    return p;
}

static inline const unsigned char *copy(unsigned char **dst,
                                        const unsigned char *p,
                                        const unsigned char *end, bool *high)
{
    const unsigned char *q = scan(p, end, high);
    memcpy(*dst, p, (size_t)(q - p));
    *dst += q - p;
    return q;
}

static inline const unsigned char *spaces(const unsigned char *p,
                                          const unsigned char *end)
{
    while (p < end && is_space(*p))
        p++;
    return p;
}
