/* SPDX-License-Identifier: MIT
 *
 * XXH3 with all of xxHash inlined: AVX2. */
#include "base/hash_int.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t pf_xxh3_64_avx2(const void *p, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(p, n, seed);
}

pf_hash128 pf_xxh3_128_avx2(const void *p, size_t n, uint64_t seed)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(p, n, seed);
    return (pf_hash128){h.low64, h.high64};
}
