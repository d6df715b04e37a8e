/* SPDX-License-Identifier: MIT
 *
 * Hashes: XXH3 (integrity of blocks, row keys, tables) and SHA-256
 * (identity). XXH3 runs at the width of the machine's vectors, chosen at the
 * first call; the values are the same on every machine (xxHash 0.8). */
#ifndef PF_BASE_HASH_H
#define PF_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pf_hash128 {
    uint64_t lo, hi;
} pf_hash128;

uint64_t pf_xxh3_64(const void *p, size_t n, uint64_t seed);
pf_hash128 pf_xxh3_128(const void *p, size_t n, uint64_t seed);

/* Finaliser of splitmix64: spreads a small number over 64 bits. */
uint64_t pf_mix64(uint64_t x);

#define PF_SHA256_BYTES 32
#define PF_SHA256_HEX 65 /* 64 digits and a NUL */

/* Opaque, by value, no release needed. */
typedef struct pf_sha256 {
    uint64_t state[16];
} pf_sha256;

void pf_sha256_init(pf_sha256 *s);
void pf_sha256_update(pf_sha256 *s, const void *p, size_t n);
void pf_sha256_final(pf_sha256 *s, uint8_t out[PF_SHA256_BYTES]);
void pf_sha256_of(const void *p, size_t n, uint8_t out[PF_SHA256_BYTES]);

/* Lower-case hex with a NUL; buf holds 2 * n + 1 bytes. Returns buf. */
char *pf_hex(const uint8_t *p, size_t n, char *buf);
/* Reads exactly 2 * n hex digits (either case); false when malformed. */
bool pf_unhex(const char *s, size_t len, uint8_t *out, size_t n);

#endif
