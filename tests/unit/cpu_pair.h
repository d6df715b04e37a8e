/* SPDX-License-Identifier: MIT
 *
 * Tests of the cpu backend: both backends with the same numbers, the oracle
 * in f64, and how far apart the results may be. */
#ifndef PF_TESTS_CPU_PAIR_H
#define PF_TESTS_CPU_PAIR_H

#include "tests/pftest.h"

#include "base/cpu.h"
#include "base/rng.h"
#include "model/ops.h"

/* The same n numbers for either backend. */
typedef struct pair {
    float *f;
    double *d;
    int64_t n;
} pair;

static uint64_t pair_seed = 1;

/* Uniform in [-scale, scale), exact in f32. */
static inline float pair_random(float scale)
{
    pair_seed = pair_seed * 6364136223846793005u + 1442695040888963407u;
    return ((float)(pair_seed >> 40) / 8388608.0f - 1) * scale;
}

static inline pair pair_new(int64_t n, float scale)
{
    pair p = {malloc((size_t)n * sizeof(float)),
              malloc((size_t)n * sizeof(double)), n};
    for (int64_t i = 0; i < n; i++)
        p.d[i] = (double)(p.f[i] = scale != 0 ? pair_random(scale) : 0);
    return p;
}

static inline void pair_free(pair *p)
{
    free(p->f);
    free(p->d);
}

/* Normalised mean square error of f against d. */
static inline double pair_nmse(const float *f, const double *d, int64_t n)
{
    double err = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        err += ((double)f[i] - d[i]) * ((double)f[i] - d[i]);
        all += d[i] * d[i];
    }
    return err / (all > 0 ? all : 1);
}

/* Rounding of f32 sums of `terms` terms: each addition errs by at most
 * u = 2^-24 of the running sum, errors add like a random walk, so the mean
 * square error is about terms * u^2 of the sum of squares; 8 allows for the
 * operations around the sum. */
#define NMSE_BOUND(terms) (8.0 * (double)((terms) + 16) * 0x1p-48)

#define CHECK_PAIR(p, terms)                                                 \
    do {                                                                     \
        double pr_e = pair_nmse((p).f, (p).d, (p).n);                        \
        if (!(pr_e <= NMSE_BOUND(terms))) {                                  \
            printf("# %s:%d: %s: nmse %g, bound %g\n", __FILE__, __LINE__,   \
                   #p, pr_e, NMSE_BOUND(terms));                             \
            pft_failures++;                                                  \
        }                                                                    \
    } while (0)

/* Runs a test under every tier that the machine has. */
static inline void each_tier(void (*fn)(pf_backend *c, pf_backend *r),
                             pf_pool *pool)
{
    static const pf_cpu tiers[] = {PF_CPU_PORTABLE, PF_CPU_AVX2,
                                   PF_CPU_AVX512};
    for (int i = 0; i < 3; i++) {
        if (pf_cpu_cap(tiers[i]) != tiers[i])
            continue;
        pf_backend *c = NULL, *r = NULL;
        int before = pft_failures;
        CHECK_OK(pf_backend_open(&c, "cpu", "f32", pool, NULL));
        CHECK_OK(pf_backend_open(&r, "ref", "auto", NULL, NULL));
        CHECK(c && strstr(c->caps.kernel_id, pf_cpu_name(tiers[i])));
        if (c && r)
            fn(c, r);
        if (pft_failures > before)
            printf("# under tier %s\n", pf_cpu_name(tiers[i]));
        pf_backend_close(c);
        pf_backend_close(r);
    }
    pf_cpu_cap(PF_CPU_AVX512);
}

/* A weight for either backend over the same masters. */
typedef struct pair_weight {
    pf_part part[3];
    pair master[3], grad[3];
    int n;
    int64_t n_in, n_out;
    pf_weight *c, *r;
} pair_weight;

static inline pair_weight pair_weight_new(pf_backend *c, pf_backend *r,
                                          const int64_t *out, int n,
                                          int64_t n_in, bool in_by_out)
{
    pair_weight w = {.n = n, .n_in = n_in};
    pf_part pc[3], pr[3];
    for (int i = 0; i < n; i++) {
        w.master[i] = pair_new(out[i] * n_in, 0.5f);
        w.grad[i] = pair_new(out[i] * n_in, 0.25f);
        pc[i] = (pf_part){w.master[i].f, w.grad[i].f, out[i], in_by_out};
        pr[i] = (pf_part){w.master[i].f, w.grad[i].d, out[i], in_by_out};
        w.n_out += out[i];
    }
    w.c = c->ops->weight_new(c, pc, n, n_in, true);
    w.r = r->ops->weight_new(r, pr, n, n_in, true);
    c->ops->weight_pack(c, w.c);
    r->ops->weight_pack(r, w.r);
    return w;
}

static inline void pair_weight_free(pf_backend *c, pf_backend *r,
                                    pair_weight *w)
{
    c->ops->weight_free(c, w->c);
    r->ops->weight_free(r, w->r);
    for (int i = 0; i < w->n; i++) {
        pair_free(&w->master[i]);
        pair_free(&w->grad[i]);
    }
}

/* Key ranges of n_group groups, each a prompt of p tokens and two branches of
 * len[0], len[1]; window > 0 cuts what lies further back. Returns the rows. */
static inline int pair_keys(pf_keys *k, pf_group *g, int n_group, const int *p,
                            const int (*len)[2], int window)
{
    int row = 0;
    for (int i = 0; i < n_group; i++) {
        int base = row;
        for (int t = 0; t < p[i]; t++, row++)
            k[row] = (pf_keys){base, base, base, row + 1};
        for (int b = 0; b < 2; b++) {
            int from = row;
            for (int t = 0; t < len[i][b]; t++, row++)
                k[row] = (pf_keys){base, base + p[i], from, row + 1};
        }
        g[i] = (pf_group){base, row - base};
    }
    for (int r = 0; window > 0 && r < row; r++) {
        int over = k[r].p1 - k[r].p0 + k[r].b1 - k[r].b0 - window;
        int cut = over > 0 ? PF_MIN(over, k[r].p1 - k[r].p0) : 0;
        k[r].p0 += cut;
        k[r].b0 += over > cut ? over - cut : 0;
    }
    return row;
}

#endif
