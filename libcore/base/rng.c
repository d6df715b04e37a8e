/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include "base/compiler.h"
#include "base/hash.h"

#include <math.h>

#define GOLDEN 0x9e3779b97f4a7c15u

uint64_t pf_rand_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t x = pf_mix64(seed + GOLDEN);
    x = pf_mix64(x + (stream + 1) * GOLDEN);
    return pf_mix64(x + (index + 1) * GOLDEN);
}

double pf_rand_f64(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (double)(pf_rand_u64(seed, stream, index) >> 11) * 0x1p-53;
}

double pf_rand_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    /* 1 - u is in (0, 1], so the logarithm is finite. */
    double u = pf_rand_f64(seed, stream, 2 * index);
    double v = pf_rand_f64(seed, stream, 2 * index + 1);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586477 * v);
}

/* Lemire, "Fast random integer generation in an interval" (2019). A rejected
 * draw is replaced by the next of a chain that starts at it. */
uint64_t pf_rand_below(uint64_t seed, uint64_t stream, uint64_t index,
                       uint64_t n)
{
    PF_ASSERT(n >= 1);
    uint64_t x = pf_rand_u64(seed, stream, index);
    pf_u128 m = (pf_u128)x * n;
    if ((uint64_t)m < n) {
        uint64_t reject_below = -n % n;
        while ((uint64_t)m < reject_below) {
            x = pf_mix64(x + GOLDEN);
            m = (pf_u128)x * n;
        }
    }
    return (uint64_t)(m >> 64);
}

/* MT19937: Matsumoto and Nishimura, mt19937ar.c (2002), init_genrand. */
#define MT_N 624
#define MT_M 397

void pf_mt_init(pf_mt *m, uint32_t seed)
{
    m->mt[0] = seed;
    for (uint32_t i = 1; i < MT_N; i++) {
        uint32_t prev = m->mt[i - 1];
        m->mt[i] = 1812433253u * (prev ^ prev >> 30) + i;
    }
    m->at = MT_N;
}

static void mt_refill(pf_mt *m)
{
    for (int i = 0; i < MT_N; i++) {
        uint32_t y = (m->mt[i] & 0x80000000u) |
                     (m->mt[(i + 1) % MT_N] & 0x7fffffffu);
        m->mt[i] = m->mt[(i + MT_M) % MT_N] ^ y >> 1 ^
                   (y & 1 ? 0x9908b0dfu : 0);
    }
    m->at = 0;
}

uint32_t pf_mt_u32(pf_mt *m)
{
    if (m->at >= MT_N)
        mt_refill(m);
    uint32_t y = m->mt[m->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

void pf_torch_randperm(uint64_t seed, uint32_t *perm, uint32_t n)
{
    PF_ASSERT(n < UINT32_MAX / 20);
    pf_mt mt;
    pf_mt_init(&mt, (uint32_t)seed);
    for (uint32_t i = 0; i < n; i++)
        perm[i] = i;
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t j = i + pf_mt_u32(&mt) % (n - i), t = perm[i];
        perm[i] = perm[j];
        perm[j] = t;
    }
}
