/* SPDX-License-Identifier: MIT
 *
 * Random numbers: MT19937 and permutations against mt19937ar.c and torch
 * 2.15; the counter-based ones against recorded values and their law. */
#include "base/hash.h"
#include "base/rng.h"
#include "tests/pftest.h"

static void test_mt(void)
{
    /* init_genrand(5489): the first, second and 10,000th number. */
    pf_mt m;
    pf_mt_init(&m, 5489);
    CHECK(pf_mt_u32(&m) == 3499211612u);
    CHECK(pf_mt_u32(&m) == 581869302u);
    for (int i = 2; i < 9999; i++)
        (void)pf_mt_u32(&m);
    CHECK(pf_mt_u32(&m) == 4123659995u);
}

/* Values of torch.randperm(n, generator=g) after g.manual_seed(seed). */
static void test_permutation(void)
{
    static const struct {
        uint64_t seed;
        uint32_t n;
        uint8_t want[16];
    } small[] = {
        {0, 1, {0}},
        {7, 2, {1, 0}},
        {0, 10, {4, 1, 7, 5, 3, 9, 0, 8, 6, 2}},
        {42, 10, {2, 6, 1, 8, 4, 5, 0, 9, 3, 7}},
        {4294967301u, 16,
         {3, 10, 11, 7, 6, 13, 8, 9, 4, 5, 2, 1, 15, 12, 14, 0}},
        {5, 16, {3, 10, 11, 7, 6, 13, 8, 9, 4, 5, 2, 1, 15, 12, 14, 0}},
    };
    static const struct {
        uint64_t seed;
        uint32_t n;
        const char *sha; /* the first half of SHA-256 of the u32 values */
    } large[] = {
        {42, 1000, "e944a33b3da0cea1838527c6328e1262"},
        {42, 2303, "efefc7af719e832bcc8187fe9d4e0e26"},
        {1, 65536, "3aafccb629ce1305f6b81dfb0ad13bae"},
        {123, 300000, "247b98bff09124536abae96de3744566"},
    };
    uint32_t *perm = malloc(300000 * sizeof *perm);
    for (size_t i = 0; i < PF_COUNTOF(small); i++) {
        pf_torch_randperm(small[i].seed, perm, small[i].n);
        for (uint32_t k = 0; k < small[i].n; k++)
            CHECK_INT(perm[k], small[i].want[k]);
    }
    for (size_t i = 0; i < PF_COUNTOF(large); i++) {
        uint8_t d[PF_SHA256_BYTES];
        char hex[PF_SHA256_HEX];
        pf_torch_randperm(large[i].seed, perm, large[i].n);
        pf_sha256_of(perm, large[i].n * sizeof *perm, d);
        pf_hex(d, sizeof d, hex);
        hex[32] = 0;
        CHECK_STR(hex, large[i].sha);
    }
    pf_torch_randperm(1, perm, 0);
    free(perm);
}

static void test_counter(void)
{
    /* The definition in rng.h, and that all three arguments count. */
    uint64_t g = 0x9e3779b97f4a7c15u, x = pf_mix64(3 + g);
    x = pf_mix64(x + 5 * g);
    CHECK(pf_rand_u64(3, 4, 5) == pf_mix64(x + 6 * g));
    CHECK(pf_rand_u64(1, 2, 3) != pf_rand_u64(2, 1, 3));
    CHECK(pf_rand_u64(1, 2, 3) != pf_rand_u64(1, 3, 2));
    CHECK(pf_rand_u64(g, 0, 0) != pf_rand_u64(0, 1, 0));
}

/* Means and variances within five standard errors of their law. */
static void test_law(void)
{
    enum { N = 200000 };
    double u = 0, uu = 0, z = 0, zz = 0;
    int count[6] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double a = pf_rand_f64(9, 1, i), b = pf_rand_normal(9, 2, i);
        CHECK(a >= 0 && a < 1 && isfinite(b));
        u += a, uu += a * a, z += b, zz += b * b;
        uint64_t k = pf_rand_below(9, 3, i, 6);
        CHECK(k < 6);
        count[k % 6]++;
    }
    CHECK(fabs(u / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    CHECK(fabs(uu / N - 1.0 / 3) < 5 * sqrt(4.0 / 45 / N));
    CHECK(fabs(z / N) < 5 / sqrt(N));
    CHECK(fabs(zz / N - 1) < 5 * sqrt(2.0 / N));
    for (int k = 0; k < 6; k++)
        CHECK(fabs(count[k] - N / 6.0) < 5 * sqrt(N * 5.0 / 36));
    CHECK_INT(pf_rand_below(1, 2, 3, 1), 0);
    uint64_t half = UINT64_C(3) << 62; /* a quarter of draws is rejected */
    for (uint64_t i = 0; i < 1000; i++)
        CHECK(pf_rand_below(1, 2, i, half) < half);
}

static const pft_test tests[] = {
    {"mt19937", test_mt},
    {"torch.randperm", test_permutation},
    {"counter-based", test_counter},
    {"laws", test_law},
};
PF_TEST_MAIN(tests)
