/* SPDX-License-Identifier: MIT
 *
 * UTF-8 in vectors of 32 bytes after Keiser and Lemire ("Validating UTF-8 in
 * less than one instruction per byte", 2020): three table look-ups by nibble
 * name, for each pair of neighbouring bytes, the errors that each nibble
 * allows; their conjunction is the errors that are there. */
#include "base/utf8_int.h"
#include "base/utf8_tables.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define WIDTH 32

static inline __m256i table(const uint8_t t[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)t));
}

/* The bytes k positions before those of v, `before` being the last vector. */
#define PREV(v, before, k)                                                  \
    _mm256_alignr_epi8(v, _mm256_permute2x128_si256(before, v, 0x21),       \
                       16 - (k))

/* Non-zero where v, after `before`, is wrong. */
static inline __m256i errors(__m256i v, __m256i before)
{
    __m256i nibble = _mm256_set1_epi8(0x0f);
    __m256i prev = PREV(v, before, 1);
    __m256i a = _mm256_shuffle_epi8(
        table(pf_utf8_first_high),
        _mm256_and_si256(_mm256_srli_epi16(prev, 4), nibble));
    __m256i b = _mm256_shuffle_epi8(table(pf_utf8_first_low),
                                    _mm256_and_si256(prev, nibble));
    __m256i c = _mm256_shuffle_epi8(
        table(pf_utf8_second_high),
        _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
    __m256i pair = _mm256_and_si256(_mm256_and_si256(a, b), c);
    /* A byte must be a continuation exactly where a lead says so. */
    __m256i third = _mm256_subs_epu8(PREV(v, before, 2),
                                     _mm256_set1_epi8((char)(0xe0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(PREV(v, before, 3),
                                      _mm256_set1_epi8((char)(0xf0 - 0x80)));
    __m256i due = _mm256_and_si256(_mm256_or_si256(third, fourth),
                                   _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(due, pair);
}

/* Non-zero where a sequence goes on behind v. */
static inline __m256i unfinished(__m256i v)
{
    return _mm256_subs_epu8(
        v, _mm256_loadu_si256((const __m256i *)(pf_utf8_last + 64 - WIDTH)));
}

size_t pf_utf8_check_avx2(const char *p, size_t n)
{
    __m256i before = _mm256_setzero_si256(), open = before;
    size_t i = 0;
    for (; n - i >= WIDTH; i += WIDTH) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(p + i)), bad;
        if (_mm256_movemask_epi8(v) == 0) {
            bad = open;
            open = _mm256_setzero_si256();
        } else {
            bad = errors(v, before);
            open = unfinished(v);
        }
        if (!_mm256_testz_si256(bad, bad))
            break;
        before = v;
    }
    return pf_utf8_check_from(p, n, i);
}
