/* SPDX-License-Identifier: MIT
 *
 * The AVX2 tier of the JSON kernel: 32 bytes at a time. A rest of less than a
 * vector is left to a copy of it that ends in a special byte, so nothing is
 * read behind the text. */
#define JSON_RUN pf_json_run_avx2
#define JSON_ESCAPE pf_json_escape_avx2
#include "base/json_kernel.inc"

#include <immintrin.h>

#define WIDTH 32

static inline uint32_t special(__m256i v)
{
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    __m256i top = _mm256_set1_epi8(0x1f);
    __m256i control = _mm256_cmpeq_epi8(_mm256_max_epu8(v, top), top);
    return (uint32_t)_mm256_movemask_epi8(
        _mm256_or_si256(_mm256_or_si256(quote, slash), control));
}

static inline __m256i load(const unsigned char *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* The rest [p, end), n < WIDTH bytes, then zeros (which are special). */
static inline __m256i load_rest(const unsigned char *p, size_t n)
{
    unsigned char rest[WIDTH] = {0};
    memcpy(rest, p, n);
    return load(rest);
}

/* Is a high bit among the lowest k bytes? */
static inline bool high_below(__m256i v, uint32_t k)
{
    return ((uint32_t)_mm256_movemask_epi8(v) & ((UINT64_C(1) << k) - 1)) != 0;
}

static inline const unsigned char *scan(const unsigned char *p,
                                        const unsigned char *end, bool *high)
{
    __m256i v, seen = _mm256_setzero_si256();
    uint32_t hit;
    for (;; p += WIDTH) {
        bool whole = PF_LIKELY(end - p >= WIDTH);
        v = whole ? load(p) : load_rest(p, (size_t)(end - p));
        hit = special(v);
        if (hit)
            break;
        seen = _mm256_or_si256(seen, v);
    }
    uint32_t k = (uint32_t)__builtin_ctz(hit);
    *high |= _mm256_movemask_epi8(seen) != 0 || high_below(v, k);
    return p + k;
}

static inline const unsigned char *copy(unsigned char **dst,
                                        const unsigned char *p,
                                        const unsigned char *end, bool *high)
{
    unsigned char *to = *dst;
    for (;; p += WIDTH, to += WIDTH) {
        bool whole = PF_LIKELY(end - p >= WIDTH);
        __m256i v = whole ? load(p) : load_rest(p, (size_t)(end - p));
        _mm256_storeu_si256((__m256i *)to, v);
        uint32_t hit = special(v);
        if (hit) {
            uint32_t k = (uint32_t)__builtin_ctz(hit);
            *high |= high_below(v, k);
            *dst = to + k;
            return p + k;
        }
        *high |= _mm256_movemask_epi8(v) != 0;
    }
}

static inline const unsigned char *spaces(const unsigned char *p,
                                          const unsigned char *end)
{
    for (; end - p >= WIDTH; p += WIDTH) {
        __m256i v = load(p);
        __m256i a = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(' '));
        __m256i b = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\n'));
        __m256i c = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\r'));
        __m256i d = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\t'));
        uint32_t other = ~(uint32_t)_mm256_movemask_epi8(
            _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
        if (other)
            return p + __builtin_ctz(other);
    }
    while (p < end && is_space(*p))
        p++;
    return p;
}
