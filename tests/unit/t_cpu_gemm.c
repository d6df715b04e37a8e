/* SPDX-License-Identifier: MIT
 *
 * The tile kernels of the cpu backend: every height and width, all modes and
 * both layouts of the left operand, against sums in f64; and that a low tile
 * has the bits of a full one. */
#include "tests/unit/cpu_pair.h"

#include "backend/cpu_int.h"

static const pf_gemm_kern *kernels(pf_cpu tier)
{
    return tier == PF_CPU_PORTABLE ? &pf_gemm_portable
           : tier == PF_CPU_AVX2   ? &pf_gemm_avx2
                                   : &pf_gemm_avx512;
}

enum { DEPTH = 83, LD = 70 };

/* One tile by the definition, in f64. */
static double element(const pf_tile *t, bool lines, int r, int j)
{
    double sum = 0;
    for (int64_t k = 0; k < t->depth; k++) {
        int64_t at = lines ? k / PF_LINE * t->a_step + r * PF_LINE + k % PF_LINE
                           : k * t->a_step + r;
        sum += (double)t->a[at] * (double)t->b[k * t->ldb + j];
    }
    return sum + (t->bias ? (double)t->bias[j] : 0);
}

static void tile_case(const pf_gemm_kern *g, bool lines, int rows, int cols,
                      pf_tile_mode mode, bool bias)
{
    static float a[16 * 128], b[128 * 32], add[32], c[16 * LD], was[16 * LD];
    for (size_t i = 0; i < PF_COUNTOF(a); i++)
        a[i] = pair_random(1);
    for (size_t i = 0; i < PF_COUNTOF(b); i++)
        b[i] = pair_random(1);
    for (int i = 0; i < 32; i++)
        add[i] = pair_random(1);
    for (size_t i = 0; i < PF_COUNTOF(c); i++)
        was[i] = c[i] = pair_random(1);
    pf_tile t = {.a = a, .b = b, .bias = bias ? add : NULL, .c = c,
                 .a_step = lines ? g->mr * PF_LINE : g->mr, .ldb = g->nr,
                 .ldc = LD, .c_line = PF_LINE, .depth = DEPTH, .rows = rows,
                 .cols = cols, .mode = mode};
    (lines ? g->lines : g->columns)(&t);
    for (int r = 0; r < 16; r++)
        for (int j = 0; j < LD; j++) {
            double want = (double)was[r * LD + j];
            if (r < rows && j < cols)
                want = element(&t, lines, r, j) +
                       (mode == PF_TILE_SET ? 0 : want);
            /* 83 terms below 1: far below 1e-5 when right */
            CHECK_NEAR(c[r * LD + j], want, 1e-5);
        }
}

static void test_tiles(void)
{
    for (int tier = PF_CPU_PORTABLE; tier <= PF_CPU_AVX512; tier++) {
        if (pf_cpu_cap(tier) != (pf_cpu)tier)
            continue;
        const pf_gemm_kern *g = kernels(tier);
        CHECK(PF_LINE % g->half == 0 && g->half <= g->mr);
        for (int rows = 1; rows <= g->mr; rows++)
            for (int cols = 1; cols <= g->nr; cols += cols < 3 ? 1 : 5)
                for (int m = PF_TILE_SET; m <= PF_TILE_MORE; m++) {
                    bool bias = m != PF_TILE_MORE && rows % 2;
                    tile_case(g, true, rows, cols, m, bias);
                    tile_case(g, false, rows, cols, m, bias);
                    tile_case(g, true, rows, g->nr, m, bias);
                }
    }
    pf_cpu_cap(PF_CPU_AVX512);
}

/* Row r of a product has the same bits with 1, 2, ... rows after it. */
static void test_heights(void)
{
    enum { K = 200, N = 40, M = 14 };
    static float x[M * K], lines[32 * 224], panels[64 * K], full[M * N], c[M * N];
    for (int tier = PF_CPU_PORTABLE; tier <= PF_CPU_AVX512; tier++) {
        if (pf_cpu_cap(tier) != (pf_cpu)tier)
            continue;
        const pf_gemm_kern *g = kernels(tier);
        for (int i = 0; i < M * K; i++)
            x[i] = pair_random(1);
        for (int i = 0; i < 64 * K; i++)
            panels[i] = pair_random(1);
        pf_cpu_pack_lines(g, lines, x, K, M, K);
        pf_cpu_product(g, full, N, lines, panels, NULL, M, N, K, PF_TILE_SET);
        for (int rows = 1; rows <= M; rows++)
            for (int from = 0; from + rows <= M; from++) {
                pf_cpu_pack_lines(g, lines, x + from * K, K, rows, K);
                pf_cpu_product(g, c, N, lines, panels, NULL, rows, N, K,
                               PF_TILE_SET);
                CHECK(memcmp(c, full + from * N,
                             (size_t)rows * N * sizeof *c) == 0);
            }
    }
    pf_cpu_cap(PF_CPU_AVX512);
}

static void test_packing(void)
{
    const pf_gemm_kern *g = &pf_gemm_portable;
    static float x[50 * 40], lines[64 * 48], panel[50 * 8], turned[50 * 8];
    for (int i = 0; i < 50 * 40; i++)
        x[i] = (float)i + 1;
    int64_t n = pf_cpu_pack_lines(g, lines, x, 40, 10, 37);
    CHECK_INT(n, 12 * 48);
    for (int r = 0; r < 12; r++)
        for (int k = 0; k < 48; k++) {
            int at = r / g->mr * g->mr * 48 + k / 16 * g->mr * 16 +
                     r % g->mr * 16 + k % 16;
            CHECK(lines[at] == (r < 10 && k < 37 ? x[r * 40 + k] : 0));
        }
    pf_cpu_pack_panel(g, panel, x + 3, 40, 50, 7);
    pf_cpu_pack_turned(g, turned, x, 40, 39, 7);
    for (int j = 0; j < 7; j++) {
        for (int k = 0; k < 50; k++)
            CHECK(panel[k * g->nr + j] == x[k * 40 + 3 + j]);
        for (int k = 0; k < 39; k++)
            CHECK(turned[k * g->nr + j] == x[j * 40 + k]);
    }
}

static const pft_test tests[] = {
    {"tiles of every size against f64", test_tiles},
    {"a low tile has the bits of a full one", test_heights},
    {"packing", test_packing},
};
PF_TEST_MAIN(tests)
