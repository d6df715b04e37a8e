/* SPDX-License-Identifier: MIT
 *
 * Little-endian numbers in byte arrays, never by struct cast, and half-width
 * floats. Files of prefkit are little-endian on every machine. */
#ifndef PF_BASE_BYTES_H
#define PF_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "prefkit maps little-endian files directly: big-endian is not supported"
#endif

#define PF_LE_PAIR(name, type)                                     \
    static inline type pf_get_##name(const void *p)                \
    {                                                              \
        type v;                                                    \
        memcpy(&v, p, sizeof v);                                   \
        return v;                                                  \
    }                                                              \
    static inline void pf_put_##name(void *p, type v)              \
    {                                                              \
        memcpy(p, &v, sizeof v);                                   \
    }
PF_LE_PAIR(u16, uint16_t)
PF_LE_PAIR(u32, uint32_t)
PF_LE_PAIR(u64, uint64_t)
PF_LE_PAIR(f32, float)
PF_LE_PAIR(f64, double)
#undef PF_LE_PAIR

static inline uint32_t pf_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static inline float pf_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* bfloat16: exact widening, and round to nearest even (NaN stays NaN). */
static inline float pf_bf16_to_f32(uint16_t h)
{
    return pf_bits_f32((uint32_t)h << 16);
}
static inline uint16_t pf_f32_to_bf16(float f)
{
    uint32_t u = pf_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

/* IEEE binary16 -> f32, exact, subnormals included. */
static inline float pf_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exp = (h >> 10) & 31, man = h & 0x3ff;
    if (exp == 31)
        return pf_bits_f32(sign | 0x7f800000u | man << 13);
    if (exp)
        return pf_bits_f32(sign | (exp + 112) << 23 | man << 13);
    float v = (float)man * 0x1p-24f;
    return sign ? -v : v;
}

static inline uint64_t pf_align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

#endif
