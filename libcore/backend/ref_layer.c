/* SPDX-License-Identifier: MIT
 *
 * The oracle's row-wise operations: embedding, norms, RoPE, activations. */
#include "backend/ref_int.h"

#include <math.h>

/* ----------------------------------------------------------- embedding -- */

void pf_ref_embed(pf_backend *be, void *x, const pf_weight *wte,
                  const pf_weight *wpe, const int32_t *tok, const int32_t *pos,
                  float scale, int64_t M)
{
    (void)be;
    int64_t C = wte->n_in;
    double *out = x;
    for (int64_t m = 0; m < M; m++)
        for (int64_t c = 0; c < C; c++)
            out[m * C + c] = scale * wte->w[tok[m] * C + c] +
                             (wpe ? wpe->w[pos[m] * C + c] : 0);
}

static void add_row(const pf_weight *w, int32_t o, const double *d, float scale)
{
    pf_ref_row r = pf_ref_row_of(w, o);
    for (int64_t c = 0; r.grad && c < w->n_in; c++)
        r.grad[c * r.stride] += scale * d[c];
}

void pf_ref_embed_bwd(pf_backend *be, pf_weight *wte, pf_weight *wpe,
                      const void *dx, const int32_t *tok, const int32_t *pos,
                      float scale, int64_t M)
{
    (void)be;
    const double *d = dx;
    for (int64_t m = 0; m < M; m++) {
        add_row(wte, tok[m], d + m * wte->n_in, scale);
        if (wpe)
            add_row(wpe, pos[m], d + m * wte->n_in, 1);
    }
}

/* --------------------------------------------------------------- norms -- */

static double gain(const float *w, int64_t c, bool one_plus)
{
    return one_plus ? 1.0 + w[c] : w[c];
}

/* Mean (0 for RMS) and 1 / sqrt(mean square deviation + eps). */
static void statistics(double *stat, const double *x, int64_t C,
                       pf_norm_kind kind, float eps)
{
    double mean = 0, square = 0;
    for (int64_t c = 0; kind == PF_NORM_LN && c < C; c++)
        mean += x[c] / (double)C;
    for (int64_t c = 0; c < C; c++)
        square += (x[c] - mean) * (x[c] - mean);
    stat[0] = mean;
    stat[1] = 1 / sqrt(square / (double)C + (double)eps);
}

static double normed(const double *x, const double *stat, const float *w,
                     const float *b, pf_norm_kind kind, int64_t c)
{
    return (x[c] - stat[0]) * stat[1] * gain(w, c, kind == PF_NORM_RMS1P) +
           (b ? b[c] : 0);
}

/* dx[c] = rstd * (g - mean g - xhat * mean(g xhat)), g = dy * gain; the mean
 * of g is left out for RMS. out(c) is *dx += or =. */
static void norm_row_bwd(double *dx, bool add, double *dw, double *db,
                         const double *dy, const double *x,
                         const double *stat, const float *w,
                         pf_norm_kind kind, int64_t C)
{
    bool one_plus = kind == PF_NORM_RMS1P;
    double sum_g = 0, sum_gx = 0;
    for (int64_t c = 0; c < C; c++) {
        double xhat = (x[c] - stat[0]) * stat[1];
        double g = dy[c] * gain(w, c, one_plus);
        sum_g += g;
        sum_gx += g * xhat;
        if (dw)
            dw[c] += dy[c] * xhat;
        if (db)
            db[c] += dy[c];
    }
    double mean_g = kind == PF_NORM_LN ? sum_g / (double)C : 0;
    for (int64_t c = 0; c < C; c++) {
        double xhat = (x[c] - stat[0]) * stat[1];
        double g = dy[c] * gain(w, c, one_plus);
        double d = stat[1] * (g - mean_g - xhat * sum_gx / (double)C);
        dx[c] = add ? dx[c] + d : d;
    }
}

void pf_ref_norm(pf_backend *be, void *y, void *stat, const void *x,
                 const float *w, const float *b, pf_norm_kind kind, float eps,
                 const int32_t *row, int64_t R, int64_t C)
{
    (void)be;
    for (int64_t r = 0; r < R; r++) {
        const double *in = (const double *)x + (row ? row[r] : r) * C;
        double *s = (double *)stat + r * 2, *out = (double *)y + r * C;
        statistics(s, in, C, kind, eps);
        for (int64_t c = 0; c < C; c++)
            out[c] = normed(in, s, w, b, kind, c);
    }
}

void pf_ref_norm_bwd(pf_backend *be, void *dx, void *dw, void *db,
                     const void *dy, const void *x, const void *stat,
                     const float *w, pf_norm_kind kind, const int32_t *row,
                     int64_t R, int64_t C)
{
    (void)be;
    for (int64_t r = 0; r < R; r++) {
        int64_t at = (row ? row[r] : r) * C;
        norm_row_bwd((double *)dx + at, true, dw, db,
                     (const double *)dy + r * C, (const double *)x + at,
                     (const double *)stat + r * 2, w, kind, C);
    }
}

void pf_ref_norm_add(pf_backend *be, void *res, void *stat, const void *y,
                     const float *w, const float *b, pf_norm_kind kind,
                     float eps, int64_t M, int64_t C)
{
    (void)be;
    for (int64_t m = 0; m < M; m++) {
        const double *in = (const double *)y + m * C;
        double *s = (double *)stat + m * 2, *out = (double *)res + m * C;
        statistics(s, in, C, kind, eps);
        for (int64_t c = 0; c < C; c++)
            out[c] += normed(in, s, w, b, kind, c);
    }
}

void pf_ref_norm_add_bwd(pf_backend *be, void *dy, void *dw, void *db,
                         const void *dres, const void *y, const void *stat,
                         const float *w, pf_norm_kind kind, int64_t M,
                         int64_t C)
{
    (void)be;
    for (int64_t m = 0; m < M; m++)
        norm_row_bwd((double *)dy + m * C, false, dw, db,
                     (const double *)dres + m * C, (const double *)y + m * C,
                     (const double *)stat + m * 2, w, kind, C);
}

/* Width of one normed run, and how many of them a row has. */
static int run_width(int n_head, int D, bool full)
{
    return full ? n_head * D : D;
}

void pf_ref_qk_norm(pf_backend *be, void *x, void *inv, const float *w,
                    int64_t ld, int64_t col, int n_head, int D, bool full,
                    bool one_plus, float eps, int64_t M)
{
    (void)be;
    int width = run_width(n_head, D, full), runs = full ? 1 : n_head;
    pf_norm_kind kind = one_plus ? PF_NORM_RMS1P : PF_NORM_RMS;
    for (int64_t m = 0; m < M; m++)
        for (int h = 0; h < runs; h++) {
            double *v = (double *)x + m * ld + col + (int64_t)h * width;
            double stat[2];
            statistics(stat, v, width, PF_NORM_RMS, eps);
            ((double *)inv)[m * runs + h] = stat[1];
            for (int c = 0; c < width; c++)
                v[c] = normed(v, stat, w, NULL, kind, c);
        }
}

void pf_ref_qk_norm_bwd(pf_backend *be, void *dx, void *dw, const void *x,
                        const void *inv, const float *w, int64_t ld,
                        int64_t col, int n_head, int D, bool full,
                        bool one_plus, int64_t M)
{
    (void)be;
    int width = run_width(n_head, D, full), runs = full ? 1 : n_head;
    pf_norm_kind kind = one_plus ? PF_NORM_RMS1P : PF_NORM_RMS;
    for (int64_t m = 0; m < M; m++)
        for (int h = 0; h < runs; h++) {
            int64_t at = m * ld + col + (int64_t)h * width;
            double *d = (double *)dx + at;
            double stat[2] = {0, ((const double *)inv)[m * runs + h]};
            norm_row_bwd(d, false, dw, NULL, d, (const double *)x + at, stat,
                         w, kind, width);
        }
}

/* ---------------------------------------------------------------- RoPE -- */

void pf_ref_rope(pf_backend *be, void *x, int64_t ld, int64_t col, int n_head,
                 int D, int rot, const double *cos_sin, const int32_t *pos,
                 int sign, int64_t M)
{
    (void)be;
    int half = rot / 2;
    for (int64_t m = 0; m < M; m++)
        for (int h = 0; h < n_head; h++) {
            double *v = (double *)x + m * ld + col + (int64_t)h * D;
            const double *cs = cos_sin + (int64_t)pos[m] * half * 2;
            for (int i = 0; i < half; i++) {
                double c = cs[2 * i], s = sign * cs[2 * i + 1];
                double a = v[i], b = v[i + half];
                v[i] = a * c - b * s;
                v[i + half] = b * c + a * s;
            }
        }
}

/* --------------------------------------------------------- activations -- */

/* sqrt(2 / pi) and the cubic term of Hendrycks & Gimpel's approximation. */
#define GELU_A 0.79788456080286535588
#define GELU_B 0.044715
#define SQRT_HALF 0.70710678118654752440
#define INV_SQRT_2PI 0.39894228040143267794

static double activation(double x, pf_act_kind kind)
{
    switch (kind) {
    case PF_ACT_SILU_GLU:
        return x / (1 + exp(-x));
    case PF_ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x * SQRT_HALF));
    default:
        return 0.5 * x * (1 + tanh(GELU_A * (x + GELU_B * x * x * x)));
    }
}

static double derivative(double x, pf_act_kind kind)
{
    switch (kind) {
    case PF_ACT_SILU_GLU: {
        double s = 1 / (1 + exp(-x));
        return s * (1 + x * (1 - s));
    }
    case PF_ACT_GELU_ERF:
        return 0.5 * (1 + erf(x * SQRT_HALF)) +
               x * INV_SQRT_2PI * exp(-0.5 * x * x);
    default: {
        double t = tanh(GELU_A * (x + GELU_B * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_A *
                                   (1 + 3 * GELU_B * x * x);
    }
    }
}

static bool is_glu(pf_act_kind kind)
{
    return kind == PF_ACT_SILU_GLU || kind == PF_ACT_GELU_TANH_GLU;
}

void pf_ref_act(pf_backend *be, void *h, const void *in, pf_act_kind kind,
                int64_t M, int64_t I)
{
    (void)be;
    int64_t width = is_glu(kind) ? 2 * I : I;
    for (int64_t m = 0; m < M; m++)
        for (int64_t i = 0; i < I; i++) {
            const double *gate = (const double *)in + m * width;
            double up = is_glu(kind) ? gate[I + i] : 1;
            ((double *)h)[m * I + i] = activation(gate[i], kind) * up;
        }
}

void pf_ref_act_bwd(pf_backend *be, void *din, const void *dh, const void *in,
                    pf_act_kind kind, int64_t M, int64_t I)
{
    (void)be;
    int64_t width = is_glu(kind) ? 2 * I : I;
    for (int64_t m = 0; m < M; m++)
        for (int64_t i = 0; i < I; i++) {
            const double *gate = (const double *)in + m * width;
            double *d = (double *)din + m * width;
            double dy = ((const double *)dh)[m * I + i];
            double up = is_glu(kind) ? gate[I + i] : 1;
            if (is_glu(kind))
                d[I + i] = dy * activation(gate[i], kind);
            d[i] = dy * up * derivative(gate[i], kind);
        }
}
