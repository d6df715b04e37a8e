/* SPDX-License-Identifier: MIT
 *
 * What the machine can run. Files named *_avx2.c and *_avx512.c are compiled
 * for that tier (the flags are in the Makefile) and may be entered only when
 * pf_cpu_tier() is at least theirs. A tier is all or nothing: a machine that
 * lacks one feature of it is put one lower.
 *
 *   avx2    AVX2, FMA, BMI1, BMI2, PCLMUL
 *   avx512  the above, AVX-512 F, BW, VL, DQ, VBMI
 *
 * No environment variable changes the answer. Thread-safe. */
#ifndef PF_BASE_CPU_H
#define PF_BASE_CPU_H

typedef enum pf_cpu {
    PF_CPU_PORTABLE,
    PF_CPU_AVX2,
    PF_CPU_AVX512,
} pf_cpu;

/* The tier to run at: what the machine has, or the cap if that is lower. */
pf_cpu pf_cpu_tier(void);

/* Test hook: caps the tier from now on (PF_CPU_AVX512 lifts the cap).
 * Returns the tier that results, which is below the wish on a lesser
 * machine, so a test knows what it could not try. */
pf_cpu pf_cpu_cap(pf_cpu most);

const char *pf_cpu_name(pf_cpu tier); /* "portable", "avx2", "avx512" */

#endif
