/* SPDX-License-Identifier: MIT
 *
 * Dispatch of XXH3, and SHA-256 by libcrypto. The old SHA256_* calls are used
 * on purpose: EVP reads openssl.cnf at its first use, about a millisecond in
 * the start of every tool, for the same speed. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include "base/cpu.h"
#include "base/hash_int.h"

#include <openssl/sha.h>

/* Up to here XXH3 runs the same scalar code at every width. */
#define XXH3_SHORT 240

uint64_t pf_xxh3_64(const void *p, size_t n, uint64_t seed)
{
    if (n <= XXH3_SHORT)
        return pf_xxh3_64_base(p, n, seed);
    switch (pf_cpu_tier()) {
#if defined(__x86_64__)
    case PF_CPU_AVX512:
        return pf_xxh3_64_avx512(p, n, seed);
    case PF_CPU_AVX2:
        return pf_xxh3_64_avx2(p, n, seed);
#endif
    default:
        return pf_xxh3_64_base(p, n, seed);
    }
}

pf_hash128 pf_xxh3_128(const void *p, size_t n, uint64_t seed)
{
    if (n <= XXH3_SHORT)
        return pf_xxh3_128_base(p, n, seed);
    switch (pf_cpu_tier()) {
#if defined(__x86_64__)
    case PF_CPU_AVX512:
        return pf_xxh3_128_avx512(p, n, seed);
    case PF_CPU_AVX2:
        return pf_xxh3_128_avx2(p, n, seed);
#endif
    default:
        return pf_xxh3_128_base(p, n, seed);
    }
}

uint64_t pf_mix64(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

_Static_assert(sizeof(SHA256_CTX) <= sizeof(pf_sha256), "pf_sha256 too small");

/* Only libcrypto looks into the state, so its type is SHA256_CTX throughout. */
static SHA256_CTX *ctx(pf_sha256 *s)
{
    return (SHA256_CTX *)s->state;
}

void pf_sha256_init(pf_sha256 *s)
{
    SHA256_Init(ctx(s));
}

void pf_sha256_update(pf_sha256 *s, const void *p, size_t n)
{
    SHA256_Update(ctx(s), p, n);
}

void pf_sha256_final(pf_sha256 *s, uint8_t out[PF_SHA256_BYTES])
{
    SHA256_Final(out, ctx(s));
}

void pf_sha256_of(const void *p, size_t n, uint8_t out[PF_SHA256_BYTES])
{
    pf_sha256 s;
    pf_sha256_init(&s);
    pf_sha256_update(&s, p, n);
    pf_sha256_final(&s, out);
}

char *pf_hex(const uint8_t *p, size_t n, char *buf)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        buf[2 * i] = digit[p[i] >> 4];
        buf[2 * i + 1] = digit[p[i] & 15];
    }
    buf[2 * n] = 0;
    return buf;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool pf_unhex(const char *s, size_t len, uint8_t *out, size_t n)
{
    if (len / 2 != n || len % 2)
        return false;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_value(s[2 * i]), lo = hex_value(s[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}
