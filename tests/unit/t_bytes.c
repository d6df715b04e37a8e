/* SPDX-License-Identifier: MIT
 *
 * Half-width floats, all 65,536 of each, and little-endian access. */
#include "base/bytes.h"
#include "tests/pftest.h"

static void test_bf16(void)
{
    int bad = 0;
    for (uint32_t h = 0; h <= 0xffff; h++) {
        float f = pf_bf16_to_f32((uint16_t)h);
        uint16_t back = pf_f32_to_bf16(f);
        if (isnan(f)) {
            bad += !isnan(pf_bf16_to_f32(back)) || back >> 15 != h >> 15;
            continue;
        }
        bad += back != h;
        if (isinf(f))
            continue;
        /* Between a value and the next: below, at, above the half. */
        uint32_t u = pf_f32_bits(f);
        bad += pf_f32_to_bf16(pf_bits_f32(u | 0x7fff)) != h;
        bad += pf_f32_to_bf16(pf_bits_f32(u | 0x8000)) != h + (h & 1);
        bad += pf_f32_to_bf16(pf_bits_f32(u | 0x8001)) != h + 1;
    }
    CHECK_INT(bad, 0);
    CHECK_INT(pf_f32_to_bf16(pf_bits_f32(0x7f800001)), 0x7fc0);
}

static void test_f16(void)
{
    int bad = 0;
    for (uint32_t h = 0; h <= 0xffff; h++) {
        float f = pf_f16_to_f32((uint16_t)h);
        int exp = h >> 10 & 31, man = h & 0x3ff;
        double want = exp ? ldexp(1024 + man, exp - 25) : ldexp(man, -24);
        if (exp == 31)
            bad += man ? !isnan(f) : !isinf(f);
        else
            bad += fabs(f) != want;
        bad += (pf_f32_bits(f) >> 31) != h >> 15;
    }
    CHECK_INT(bad, 0);
}

static void test_access(void)
{
    unsigned char b[9] = {0xff, 1, 2, 3, 4, 5, 6, 7, 8};
    CHECK_INT(pf_get_u16(b + 1), 0x0201);
    CHECK_INT(pf_get_u32(b + 1), 0x04030201);
    CHECK(pf_get_u64(b + 1) == 0x0807060504030201u);
    pf_put_u32(b + 3, 0xa1b2c3d4u);
    CHECK(b[2] == 2 && b[3] == 0xd4 && b[6] == 0xa1 && b[7] == 7);
    pf_put_f64(b + 1, -0.1);
    CHECK(pf_get_f64(b + 1) == -0.1);
    CHECK_INT(pf_align_up(0, 64), 0);
    CHECK_INT(pf_align_up(65, 64), 128);
    CHECK_INT(pf_align_up(128, 64), 128);
}

static const pft_test tests[] = {
    {"bfloat16", test_bf16},
    {"binary16", test_f16},
    {"access", test_access},
};
PF_TEST_MAIN(tests)
