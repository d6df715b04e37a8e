/* SPDX-License-Identifier: MIT
 *
 * The tile kernel, compiled by cpu_gemm_{avx512,avx2,portable}.c. A tile of
 * MR x NR outputs lives in registers; each k is one multiply-add per output,
 * in ascending order. Lower tiles serve what is left over of rows: an output
 * sees the same operations in each. */
#ifndef PF_BACKEND_CPU_GEMM_BODY_INT_H
#define PF_BACKEND_CPU_GEMM_BODY_INT_H

#include "backend/cpu_int.h"
#include "backend/cpu_vec_int.h"

#if VL == 16
#define MR 14 /* 28 accumulators, 2 of b, of 32 registers */
#define NV 2
#elif VL == 8
#define MR 6 /* 12 accumulators, 2 of b, 1 of a, of 16 registers */
#define NV 2
#else
#define MR 4
#define NV 2
#endif
#define NR (NV * VL)

typedef struct pf_acc {
    vf v[MR][NV];
} pf_acc;

/* One k: height x NR multiply-adds. as: floats between rows of a. */
PF_INLINE void tile_step(pf_acc *s, int height, const float *a, int as,
                         const float *b)
{
    vf bv[NV];
    PF_UNROLL
    for (int j = 0; j < NV; j++)
        bv[j] = vld(b + j * VL);
    PF_UNROLL
    for (int r = 0; r < height; r++) {
        vf av = vset(a[r * as]);
        PF_UNROLL
        for (int j = 0; j < NV; j++)
            s->v[r][j] = vfma(av, bv[j], s->v[r][j]);
    }
}

/* Where vector j of row r lies in c. */
PF_INLINE float *tile_at(const pf_tile *t, int r, int j)
{
    return t->c + r * t->ldc + j * VL / PF_LINE * t->c_line +
           j * VL % PF_LINE;
}

PF_INLINE void tile_load(pf_acc *s, int height, const pf_tile *t)
{
    bool whole = t->cols == NR;
    PF_UNROLL
    for (int r = 0; r < height; r++)
        PF_UNROLL
        for (int j = 0; j < NV; j++) {
            s->v[r][j] = vset(0);
            if (t->mode == PF_TILE_MORE && r < t->rows) {
                const float *c = tile_at(t, r, j);
                s->v[r][j] = whole ? vld(c) : vld_n(c, t->cols - j * VL, 0);
            }
        }
}

PF_INLINE void tile_store(const pf_acc *s, int height, const pf_tile *t)
{
    PF_UNROLL
    for (int j = 0; j < NV; j++) {
        int64_t n = t->cols - j * VL;
        if (n <= 0)
            continue;
        bool whole = n >= VL;
        vf bias = vset(0);
        if (t->bias)
            bias = whole ? vld(t->bias + j * VL)
                         : vld_n(t->bias + j * VL, n, 0);
        PF_UNROLL
        for (int r = 0; r < height; r++) {
            if (r >= t->rows)
                break;
            float *c = tile_at(t, r, j);
            vf v = s->v[r][j];
            if (t->mode != PF_TILE_MORE)
                v = vadd(v, bias);
            if (t->mode == PF_TILE_ADD)
                v = vadd(whole ? vld(c) : vld_n(c, n, 0), v);
            if (whole)
                vst(c, v);
            else
                vst_n(c, v, n);
        }
    }
}

PF_INLINE void tile_lines(const pf_tile *t, int height)
{
    pf_acc s;
    const float *b = t->b;
    tile_load(&s, height, t);
    for (int64_t k = 0; k < t->depth; k += PF_LINE) {
        const float *a = t->a + k / PF_LINE * t->a_step;
        int64_t n = PF_MIN(t->depth - k, PF_LINE);
        for (int64_t i = 0; i < n; i++, b += t->ldb)
            tile_step(&s, height, a + i, PF_LINE, b);
    }
    tile_store(&s, height, t);
}

PF_INLINE void tile_columns(const pf_tile *t, int height)
{
    pf_acc s;
    const float *a = t->a, *b = t->b;
    tile_load(&s, height, t);
    for (int64_t k = 0; k < t->depth; k++, a += t->a_step, b += t->ldb)
        tile_step(&s, height, a, 1, b);
    tile_store(&s, height, t);
}

static void run_lines(const pf_tile *t)
{
    if (t->rows > 4)
        tile_lines(t, MR);
    else if (t->rows > 1)
        tile_lines(t, 4);
    else
        tile_lines(t, 1);
}

#if MR > 8
#define MR_HALF 8
#else
#define MR_HALF 4
#endif

static void run_columns(const pf_tile *t)
{
    if (t->rows > MR_HALF)
        tile_columns(t, MR);
    else if (t->rows > 4)
        tile_columns(t, MR_HALF);
    else if (t->rows > 1)
        tile_columns(t, 4);
    else
        tile_columns(t, 1);
}

const pf_gemm_kern PF_TIER(pf_gemm) = {MR, NR, MR_HALF, run_lines,
                                          run_columns};

#endif
