/* SPDX-License-Identifier: MIT
 *
 * The AVX-512 tier of the JSON kernel: 64 bytes at a time; the last load of a
 * text is masked and its missing bytes read as zeros, which are special. */
#define JSON_RUN pf_json_run_avx512
#define JSON_ESCAPE pf_json_escape_avx512
#include "base/json_kernel.inc"

#include <immintrin.h>

#define WIDTH 64

static inline uint64_t special(__m512i v)
{
    return _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('"')) |
           _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\\')) |
           _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8(0x20));
}

static inline __m512i load(const unsigned char *p, const unsigned char *end)
{
    if (PF_LIKELY(end - p >= WIDTH))
        return _mm512_loadu_si512(p);
    uint64_t have = (UINT64_C(1) << (end - p)) - 1;
    return _mm512_maskz_loadu_epi8(have, p);
}

/* Is a high bit among the lowest k < 64 bytes? */
static inline bool high_below(__m512i v, int k)
{
    return (_mm512_movepi8_mask(v) & ((UINT64_C(1) << k) - 1)) != 0;
}

static inline const unsigned char *scan(const unsigned char *p,
                                        const unsigned char *end, bool *high)
{
    __m512i v, seen = _mm512_setzero_si512();
    uint64_t hit;
    for (;; p += WIDTH) {
        v = load(p, end);
        hit = special(v);
        if (hit)
            break;
        seen = _mm512_or_si512(seen, v);
    }
    int k = __builtin_ctzll(hit);
    *high |= _mm512_movepi8_mask(seen) != 0 || high_below(v, k);
    return p + k;
}

static inline const unsigned char *copy(unsigned char **dst,
                                        const unsigned char *p,
                                        const unsigned char *end, bool *high)
{
    unsigned char *to = *dst;
    for (;; p += WIDTH, to += WIDTH) {
        __m512i v = load(p, end);
        _mm512_storeu_si512(to, v);
        uint64_t hit = special(v);
        if (hit) {
            int k = __builtin_ctzll(hit);
            *high |= high_below(v, k);
            *dst = to + k;
            return p + k;
        }
        *high |= _mm512_movepi8_mask(v) != 0;
    }
}

static inline const unsigned char *spaces(const unsigned char *p,
                                          const unsigned char *end)
{
    for (;; p += WIDTH) {
        __m512i v = load(p, end);
        uint64_t blank = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(' ')) |
                         _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\n')) |
                         _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\r')) |
                         _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\t'));
        if (~blank)
            return p + __builtin_ctzll(~blank);
    }
}
