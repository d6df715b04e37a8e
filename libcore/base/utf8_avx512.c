/* SPDX-License-Identifier: MIT
 *
 * utf8_avx2.c in vectors of 64 bytes; see there. */
#include "base/utf8_int.h"
#include "base/utf8_tables.h"

#include <immintrin.h>
#include <stdint.h>

#define WIDTH 64

static inline __m512i table(const uint8_t t[16])
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)t));
}

/* The bytes k positions before those of v, `before` being the last vector:
 * lane by lane, the lane before each is rotated in. */
#define PREV(v, lanes, k) _mm512_alignr_epi8(v, lanes, 16 - (k))

static inline __m512i errors(__m512i v, __m512i before)
{
    __m512i nibble = _mm512_set1_epi8(0x0f);
    __m512i lanes = _mm512_alignr_epi64(v, before, 6);
    __m512i prev = PREV(v, lanes, 1);
    __m512i a = _mm512_shuffle_epi8(
        table(pf_utf8_first_high),
        _mm512_and_si512(_mm512_srli_epi16(prev, 4), nibble));
    __m512i b = _mm512_shuffle_epi8(table(pf_utf8_first_low),
                                    _mm512_and_si512(prev, nibble));
    __m512i c = _mm512_shuffle_epi8(
        table(pf_utf8_second_high),
        _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
    __m512i pair = _mm512_and_si512(_mm512_and_si512(a, b), c);
    __m512i third = _mm512_subs_epu8(PREV(v, lanes, 2),
                                     _mm512_set1_epi8((char)(0xe0 - 0x80)));
    __m512i fourth = _mm512_subs_epu8(PREV(v, lanes, 3),
                                      _mm512_set1_epi8((char)(0xf0 - 0x80)));
    __m512i due = _mm512_and_si512(_mm512_or_si512(third, fourth),
                                   _mm512_set1_epi8((char)0x80));
    return _mm512_xor_si512(due, pair);
}

size_t pf_utf8_check_avx512(const char *p, size_t n)
{
    __m512i before = _mm512_setzero_si512(), open = before;
    __m512i last = _mm512_loadu_si512(pf_utf8_last);
    size_t i = 0;
    for (; n - i >= WIDTH; i += WIDTH) {
        __m512i v = _mm512_loadu_si512(p + i), bad;
        if (_mm512_movepi8_mask(v) == 0) {
            bad = open;
            open = _mm512_setzero_si512();
        } else {
            bad = errors(v, before);
            open = _mm512_subs_epu8(v, last);
        }
        if (_mm512_test_epi8_mask(bad, bad))
            break;
        before = v;
    }
    return pf_utf8_check_from(p, n, i);
}
