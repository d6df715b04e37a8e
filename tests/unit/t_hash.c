/* SPDX-License-Identifier: MIT
 *
 * XXH3 against values of libxxhash 0.8 on every tier; SHA-256 against FIPS
 * 180-4; hex. */
#include "base/cpu.h"
#include "base/hash.h"
#include "base/rng.h"
#include "tests/pftest.h"

static void test_xxh3(void)
{
    static const struct {
        size_t n;
        uint64_t seed, h64, lo, hi;
    } t[] = {
        {0, 0x0000000000000000, 0x2d06800538d394c2,
         0x6001c324468d497f, 0x99aa06d3014798d8},
        {0, 0x9e3779b97f4a7c15, 0x602b0e2cd6662c8b,
         0x4ca5176998171787, 0xd142977a2cca554b},
        {1, 0x0000000000000000, 0x8a21d78b1538b1c0,
         0x8a21d78b1538b1c0, 0x79d2c79e874f72cd},
        {1, 0x9e3779b97f4a7c15, 0x30e3e5af4b171b5b,
         0x30e3e5af4b171b5b, 0x96e7ba58e13cb0ad},
        {8, 0x0000000000000000, 0x67b8f67a80d308a6,
         0x9987b0f6a787fcff, 0x5ee08611acaf8270},
        {8, 0x9e3779b97f4a7c15, 0xce78802ecdabb9a3,
         0xb9226c5d84ff247b, 0x1d5342b7d5be36c7},
        {17, 0x0000000000000000, 0xbc307578d06e9d93,
         0x0dfdb8ed0de7262a, 0xf600c8a98b27cda2},
        {17, 0x9e3779b97f4a7c15, 0x6ae7b7695b6ca478,
         0xb6a7a8ae89826314, 0x5343c210b89e7152},
        {129, 0x0000000000000000, 0x4ca31f6b2cfd9a3e,
         0x5a753049f4b49d33, 0x485b2b823d90afa9},
        {129, 0x9e3779b97f4a7c15, 0x29ea7c8e1786b720,
         0x8cf996b75b3dfb25, 0x5510569c9e42d0db},
        {240, 0x0000000000000000, 0x2817ed3cdf9547e7,
         0xdfd310866e8ad632, 0x5d572fc255e19c13},
        {240, 0x9e3779b97f4a7c15, 0x6ca0ed75186f14b0,
         0x18eb8996136d7d71, 0x8cb186c063e6fc7e},
        {241, 0x0000000000000000, 0x02f838dd48200ee8,
         0x02f838dd48200ee8, 0x7fb50ebce4e01178},
        {241, 0x9e3779b97f4a7c15, 0xc3f22197318b3cd9,
         0xc3f22197318b3cd9, 0xd9ffdbe77120ff20},
        {1024, 0x0000000000000000, 0x4ecde09865c37511,
         0x4ecde09865c37511, 0x5d7a8fdab30b2c4f},
        {1024, 0x9e3779b97f4a7c15, 0x9994f99f09e1e6e8,
         0x9994f99f09e1e6e8, 0xbec81ce84477fbd8},
        {4999, 0x0000000000000000, 0x3443d0cb5cbe52e9,
         0x3443d0cb5cbe52e9, 0xbba48bbfbd4bf496},
        {4999, 0x9e3779b97f4a7c15, 0x61d178e9afb124a6,
         0x61d178e9afb124a6, 0xbbb24ee02948f14e},
    };
    unsigned char b[5000];
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (unsigned char)(i * 167 + 13);
    for (int k = PF_CPU_PORTABLE; k <= PF_CPU_AVX512; k++) {
        pf_cpu_cap((pf_cpu)k);
        for (size_t i = 0; i < PF_COUNTOF(t); i++) {
            CHECK(pf_xxh3_64(b, t[i].n, t[i].seed) == t[i].h64);
            pf_hash128 h = pf_xxh3_128(b, t[i].n, t[i].seed);
            CHECK(h.lo == t[i].lo && h.hi == t[i].hi);
        }
    }
}

static void test_tiers(void)
{
    static unsigned char b[20000];
    int differ = 0;
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (unsigned char)pf_rand_u64(1, 1, i);
    for (uint64_t i = 0; i < 500; i++) {
        size_t at = pf_rand_below(2, 0, i, 64);
        size_t n = pf_rand_below(2, 1, i, sizeof b - 64);
        uint64_t seed = i % 3 ? pf_rand_u64(2, 2, i) : 0;
        pf_cpu_cap(PF_CPU_PORTABLE);
        uint64_t h = pf_xxh3_64(b + at, n, seed);
        pf_hash128 w = pf_xxh3_128(b + at, n, seed);
        for (int k = PF_CPU_AVX2; k <= PF_CPU_AVX512; k++) {
            pf_cpu_cap((pf_cpu)k);
            pf_hash128 g = pf_xxh3_128(b + at, n, seed);
            differ += pf_xxh3_64(b + at, n, seed) != h;
            differ += g.lo != w.lo || g.hi != w.hi;
        }
    }
    CHECK_INT(differ, 0);
}

static const char *sha_hex(const void *p, size_t n)
{
    static char hex[PF_SHA256_HEX];
    uint8_t d[PF_SHA256_BYTES];
    pf_sha256_of(p, n, d);
    return pf_hex(d, sizeof d, hex);
}

static void test_sha256(void)
{
    CHECK_STR(sha_hex("", 0), "e3b0c44298fc1c149afbf4c8996fb924"
                              "27ae41e4649b934ca495991b7852b855");
    CHECK_STR(sha_hex("abc", 3), "ba7816bf8f01cfea414140de5dae2223"
                                 "b00361a396177a9cb410ff61f20015ad");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    CHECK_STR(sha_hex(million, 1000000), "cdc76e5c9914fb9281a1c7e284d73e67"
                                         "f1809a48a497200e046d39ccc7112cd0");
    /* In pieces, and copied by assignment on the way. */
    uint8_t one[PF_SHA256_BYTES], two[PF_SHA256_BYTES];
    pf_sha256_of(million, 1000000, one);
    pf_sha256 s;
    pf_sha256_init(&s);
    for (size_t at = 0, n = 1; at < 1000000; at += n, n = n * 3 + 1) {
        n = PF_MIN(n, 1000000 - at);
        pf_sha256_update(&s, million + at, n);
        pf_sha256 copy = s;
        s = copy;
    }
    pf_sha256_final(&s, two);
    CHECK(memcmp(one, two, sizeof one) == 0);
    free(million);
}

static void test_hex(void)
{
    static const uint8_t b[] = {0x00, 0x9a, 0xff, 0x10};
    char s[9];
    uint8_t back[4];
    CHECK_STR(pf_hex(b, 4, s), "009aff10");
    CHECK_STR(pf_hex(b, 0, s), "");
    CHECK(pf_unhex("009AfF10", 8, back, 4) && memcmp(b, back, 4) == 0);
    CHECK(!pf_unhex("009aff1", 7, back, 4));
    CHECK(!pf_unhex("009aff10", 8, back, 3));
    CHECK(!pf_unhex("009aff1g", 8, back, 4));
    CHECK(!pf_unhex("00 9aff1", 8, back, 4));
    CHECK(pf_unhex("", 0, back, 0));
}

/* First outputs of splitmix64 seeded with 1234567. */
static void test_mix(void)
{
    uint64_t x = 1234567, g = 0x9e3779b97f4a7c15u;
    CHECK(pf_mix64(x + g) == 6457827717110365317u);
    CHECK(pf_mix64(x + 2 * g) == 3203168211198807973u);
}

static const pft_test tests[] = {
    {"xxh3 values", test_xxh3}, {"xxh3 tiers", test_tiers},
    {"sha-256", test_sha256},   {"hex", test_hex},
    {"splitmix64", test_mix},
};
PF_TEST_MAIN(tests)
