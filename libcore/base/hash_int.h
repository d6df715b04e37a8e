/* SPDX-License-Identifier: MIT
 *
 * XXH3 at one vector width each; hash.c picks. */
#ifndef PF_BASE_HASH_INT_H
#define PF_BASE_HASH_INT_H

#include "base/hash.h"

uint64_t pf_xxh3_64_base(const void *p, size_t n, uint64_t seed);
uint64_t pf_xxh3_64_avx2(const void *p, size_t n, uint64_t seed);
uint64_t pf_xxh3_64_avx512(const void *p, size_t n, uint64_t seed);
pf_hash128 pf_xxh3_128_base(const void *p, size_t n, uint64_t seed);
pf_hash128 pf_xxh3_128_avx2(const void *p, size_t n, uint64_t seed);
pf_hash128 pf_xxh3_128_avx512(const void *p, size_t n, uint64_t seed);

#endif
