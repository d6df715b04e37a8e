/* SPDX-License-Identifier: MIT
 *
 * One vector of floats under three instruction sets: 16 wide with AVX-512, 8
 * with AVX2+FMA, 4 with whatever the compiler makes of a 16-byte vector. The
 * kernels (cpu_*_body_int.h) are written once over it and compiled per tier.
 *
 * vfma rounds once on the first two tiers and twice on the portable one, and
 * sums have as many lanes as a vector: the tiers agree closely, not to the
 * bit, and kernel_id names the tier.
 *
 * A lane of a comparison or of the result of a loop never depends on its
 * neighbours, and vsum adds lanes in one order. */
#ifndef PF_BACKEND_CPU_VEC_INT_H
#define PF_BACKEND_CPU_VEC_INT_H

#include "base/compiler.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)

#define VL 16
#define PF_TIER(name) name##_avx512
typedef __m512 vf;

PF_INLINE vf vld(const float *p) { return _mm512_loadu_ps(p); }
PF_INLINE void vst(float *p, vf a) { _mm512_storeu_ps(p, a); }
PF_INLINE vf vset(float a) { return _mm512_set1_ps(a); }
PF_INLINE vf vadd(vf a, vf b) { return _mm512_add_ps(a, b); }
PF_INLINE vf vsub(vf a, vf b) { return _mm512_sub_ps(a, b); }
PF_INLINE vf vmul(vf a, vf b) { return _mm512_mul_ps(a, b); }
PF_INLINE vf vdiv(vf a, vf b) { return _mm512_div_ps(a, b); }
PF_INLINE vf vsqrt(vf a) { return _mm512_sqrt_ps(a); }
PF_INLINE vf vfma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
/* The second operand where either is a NaN. */
PF_INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
PF_INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
/* a where the bit is set, else b. */
PF_INLINE vf vpick(unsigned bits, vf a, vf b)
{
    return _mm512_mask_mov_ps(b, (__mmask16)bits, a);
}
/* a < b ? x : y, lane by lane. */
PF_INLINE vf vless(vf a, vf b, vf x, vf y)
{
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
}
/* x * 2^n for whole n in [-126, 127]. */
PF_INLINE vf vscale2(vf x, vf n) { return _mm512_scalef_ps(x, n); }
/* Lanes as doubles, lower and upper half, added to s[VL]. */
PF_INLINE void vadd_f64(double *s, vf a, double magic)
{
    __m512d m = _mm512_set1_pd(magic);
    __m512d l = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    __m512d h = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    l = _mm512_sub_pd(_mm512_add_pd(l, m), m);
    h = _mm512_sub_pd(_mm512_add_pd(h, m), m);
    _mm512_storeu_pd(s, _mm512_add_pd(_mm512_loadu_pd(s), l));
    _mm512_storeu_pd(s + 8, _mm512_add_pd(_mm512_loadu_pd(s + 8), h));
}

#elif defined(__AVX2__)

#define VL 8
#define PF_TIER(name) name##_avx2
typedef __m256 vf;

PF_INLINE vf vld(const float *p) { return _mm256_loadu_ps(p); }
PF_INLINE void vst(float *p, vf a) { _mm256_storeu_ps(p, a); }
PF_INLINE vf vset(float a) { return _mm256_set1_ps(a); }
PF_INLINE vf vadd(vf a, vf b) { return _mm256_add_ps(a, b); }
PF_INLINE vf vsub(vf a, vf b) { return _mm256_sub_ps(a, b); }
PF_INLINE vf vmul(vf a, vf b) { return _mm256_mul_ps(a, b); }
PF_INLINE vf vdiv(vf a, vf b) { return _mm256_div_ps(a, b); }
PF_INLINE vf vsqrt(vf a) { return _mm256_sqrt_ps(a); }
PF_INLINE vf vfma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
PF_INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
PF_INLINE vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }
PF_INLINE vf vpick(unsigned bits, vf a, vf b)
{
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i m = _mm256_and_si256(_mm256_set1_epi32((int)bits), lane);
    m = _mm256_cmpeq_epi32(m, lane);
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m));
}
PF_INLINE vf vless(vf a, vf b, vf x, vf y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
PF_INLINE vf vscale2(vf x, vf n)
{
    __m256i e = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    __m256i one = _mm256_set1_epi32(127 << 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_add_epi32(e, one)));
}
PF_INLINE void vadd_f64(double *s, vf a, double magic)
{
    __m256d m = _mm256_set1_pd(magic);
    __m256d l = _mm256_cvtps_pd(_mm256_castps256_ps128(a));
    __m256d h = _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
    l = _mm256_sub_pd(_mm256_add_pd(l, m), m);
    h = _mm256_sub_pd(_mm256_add_pd(h, m), m);
    _mm256_storeu_pd(s, _mm256_add_pd(_mm256_loadu_pd(s), l));
    _mm256_storeu_pd(s + 4, _mm256_add_pd(_mm256_loadu_pd(s + 4), h));
}

#else

#define VL 4
#define PF_TIER(name) name##_portable
/* The vector types of GCC and Clang: element-wise operators, comparisons that
 * give all ones or zero. */
typedef float vf __attribute__((vector_size(16)));
typedef int32_t pf_vi __attribute__((vector_size(16)));

PF_INLINE vf vld(const float *p)
{
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
PF_INLINE void vst(float *p, vf a) { memcpy(p, &a, sizeof a); }
PF_INLINE vf vset(float a) { return (vf){a, a, a, a}; }
PF_INLINE vf vadd(vf a, vf b) { return a + b; }
PF_INLINE vf vsub(vf a, vf b) { return a - b; }
PF_INLINE vf vmul(vf a, vf b) { return a * b; }
PF_INLINE vf vdiv(vf a, vf b) { return a / b; }
PF_INLINE vf vsqrt(vf a)
{
    return (vf){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])};
}
PF_INLINE vf vfma(vf a, vf b, vf c) { return a * b + c; }
PF_INLINE vf pf_vblend(pf_vi m, vf a, vf b)
{
    return (vf)(((pf_vi)a & m) | ((pf_vi)b & ~m));
}
PF_INLINE vf vmax(vf a, vf b) { return pf_vblend(a > b, a, b); }
PF_INLINE vf vmin(vf a, vf b) { return pf_vblend(a < b, a, b); }
PF_INLINE vf vpick(unsigned bits, vf a, vf b)
{
    const pf_vi lane = {1, 2, 4, 8};
    int32_t n = (int32_t)bits;
    pf_vi m = (pf_vi){n, n, n, n} & lane;
    return pf_vblend(m == lane, a, b);
}
PF_INLINE vf vless(vf a, vf b, vf x, vf y) { return pf_vblend(a < b, x, y); }
PF_INLINE vf vscale2(vf x, vf n)
{
    pf_vi e = {(int32_t)n[0], (int32_t)n[1], (int32_t)n[2], (int32_t)n[3]};
    return x * (vf)((e + 127) * (1 << 23));
}
PF_INLINE void vadd_f64(double *s, vf a, double magic)
{
    for (int i = 0; i < VL; i++)
        s[i] += ((double)a[i] + magic) - magic;
}

#endif

PF_INLINE vf vneg(vf a) { return vsub(vset(0), a); }

/* Up to VL floats: lanes above n are `fill` and are not stored. */
PF_INLINE vf vld_n(const float *p, int64_t n, float fill)
{
    float t[VL];
    for (int i = 0; i < VL; i++)
        t[i] = i < n ? p[i] : fill;
    return vld(t);
}
PF_INLINE void vst_n(float *p, vf a, int64_t n)
{
    float t[VL];
    vst(t, a);
    for (int i = 0; i < n; i++)
        p[i] = t[i];
}

/* Lanes in order, in f64. */
PF_INLINE double vsum(vf a)
{
    float t[VL];
    double s = 0;
    vst(t, a);
    for (int i = 0; i < VL; i++)
        s += (double)t[i];
    return s;
}
PF_INLINE float vtop(vf a)
{
    float t[VL], m;
    vst(t, a);
    m = t[0];
    for (int i = 1; i < VL; i++)
        m = t[i] > m ? t[i] : m;
    return m;
}

/* e^x within about 1 ulp in [-87.3, 88.3]; 0 below, about e^88.3 above, NaN
 * of a NaN. n = round(x / ln 2) and e^r = 1 + r + r^2 q(r) on |r| <= ln 2 / 2,
 * q the minimax polynomial of degree 5 (relative error 3e-9); ln 2 in two
 * parts, so that n * the first is exact. */
PF_INLINE vf vexp(vf x)
{
    const vf round = vset(12582912.0f); /* 1.5 * 2^23 */
    vf c = vmin(vset(88.37f), vmax(vset(-87.33f), x));
    vf n = vsub(vfma(c, vset(1.44269504088896341f), round), round);
    vf r = vfma(n, vset(-0.693359375f), c);
    r = vfma(n, vset(2.12194440054690583e-4f), r);
    vf q = vset(1.9857820e-4f);
    q = vfma(q, r, vset(1.3933643e-3f));
    q = vfma(q, r, vset(8.3333608e-3f));
    q = vfma(q, r, vset(4.1666466e-2f));
    q = vfma(q, r, vset(1.6666667e-1f));
    q = vfma(q, r, vset(0.5f));
    q = vfma(vmul(q, r), r, r);
    q = vscale2(vadd(q, vset(1)), n);
    return vless(x, vset(-87.33f), vset(0), q);
}

/* 1 / (1 + e^-x), relatively exact on both sides. */
PF_INLINE vf vsigmoid(vf x)
{
    return vdiv(vset(1), vadd(vset(1), vexp(vneg(x))));
}

/* Absolute error below 2e-7, which is what a soft cap needs. */
PF_INLINE vf vtanh(vf x)
{
    return vsub(vmul(vset(2), vsigmoid(vadd(x, x))), vset(1));
}

/* The normal distribution function. Above 0 it is 1 - erfc / 2, below erfc / 2:
 * erfc(t) = exp(-t^2) u q(u), u = 1 / (1 + t / 2), q of degree 9 fitted for
 * t in [0, 10] (relative error 2e-8). */
PF_INLINE vf vnormal(vf x)
{
    vf t = vmul(vmax(x, vneg(x)), vset(0.70710678118654752f));
    t = vmin(vset(10), t);
    vf u = vdiv(vset(1), vfma(t, vset(0.5f), vset(1)));
    vf q = vset(0.012283337f);
    q = vfma(q, u, vset(-0.123251968f));
    q = vfma(q, u, vset(0.428922509f));
    q = vfma(q, u, vset(-0.6700153f));
    q = vfma(q, u, vset(0.421268892f));
    q = vfma(q, u, vset(-0.098315062f));
    q = vfma(q, u, vset(0.225541072f));
    q = vfma(q, u, vset(0.23864498f));
    q = vfma(q, u, vset(0.282857021f));
    q = vfma(q, u, vset(0.2820645f));
    /* q fits erfc(t) e^(t^2) / u; half of erfc is wanted */
    vf half = vmul(vmul(q, u), vmul(vset(0.5f), vexp(vneg(vmul(t, t)))));
    return vless(x, vset(0), half, vsub(vset(1), half));
}

#endif
