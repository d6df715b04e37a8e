/* SPDX-License-Identifier: MIT
 *
 * Random numbers, the same on every machine.
 *
 * pf_rand   counter-based: a pure function of (seed, stream, index), so it
 *           needs no state and resumes anywhere
 * pf_mt     MT19937 with init_genrand seeding, to follow torch.randperm */
#ifndef PF_BASE_RNG_H
#define PF_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* 64 uniform bits: with m = splitmix64's finaliser (pf_mix64) and g its odd
 * constant 0x9e3779b97f4a7c15, m(m(m(seed + g) + (stream + 1) g) +
 * (index + 1) g). */
uint64_t pf_rand_u64(uint64_t seed, uint64_t stream, uint64_t index);
/* Uniform in [0, 1) with 53 bits. */
double pf_rand_f64(uint64_t seed, uint64_t stream, uint64_t index);
/* Standard normal (Box-Muller on index 2i, 2i + 1; only pf's own numerics). */
double pf_rand_normal(uint64_t seed, uint64_t stream, uint64_t index);
/* Uniform in [0, n) without bias; n >= 1. */
uint64_t pf_rand_below(uint64_t seed, uint64_t stream, uint64_t index,
                       uint64_t n);

typedef struct pf_mt {
    uint32_t mt[624];
    int at;
} pf_mt;

void pf_mt_init(pf_mt *m, uint32_t seed);
uint32_t pf_mt_u32(pf_mt *m);

/* torch.randperm(n) of a CPU generator with manual_seed(seed): for i in
 * 0..n-2, swap a[i] with a[i + u32 mod (n - i)]. perm holds n entries.
 * Checked against torch 2.15 to n = 300,000. n < 2^32 / 20: above it torch
 * draws 64-bit numbers. Only the low 32 bits of seed count, as in torch. */
void pf_torch_randperm(uint64_t seed, uint32_t *perm, uint32_t n);

#endif
