/* SPDX-License-Identifier: MIT */
#include "base/cpu.h"

#include <stdatomic.h>

/* 0 = not looked yet, else tier + 1. Racing first calls store the same. */
static atomic_int detected;
static atomic_int cap = PF_CPU_AVX512;

static pf_cpu detect(void)
{
#if defined(__x86_64__)
    /* These builtins also ask XGETBV whether the system saves the state. */
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2") ||
        !__builtin_cpu_supports("pclmul"))
        return PF_CPU_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") ||
        !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vbmi"))
        return PF_CPU_AVX2;
    return PF_CPU_AVX512;
#else
    return PF_CPU_PORTABLE;
#endif
}

pf_cpu pf_cpu_tier(void)
{
    int tier = atomic_load_explicit(&detected, memory_order_relaxed) - 1;
    if (tier < 0) {
        tier = (int)detect();
        atomic_store_explicit(&detected, tier + 1, memory_order_relaxed);
    }
    int most = atomic_load_explicit(&cap, memory_order_relaxed);
    return (pf_cpu)(tier < most ? tier : most);
}

pf_cpu pf_cpu_cap(pf_cpu most)
{
    atomic_store(&cap, (int)most);
    return pf_cpu_tier();
}

const char *pf_cpu_name(pf_cpu tier)
{
    static const char *const name[] = {"portable", "avx2", "avx512"};
    return name[tier];
}
