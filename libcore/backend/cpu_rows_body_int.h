/* SPDX-License-Identifier: MIT
 *
 * Loops over one row, compiled by cpu_rows_{avx512,avx2,portable}.c. A loop's
 * sums follow the row's length alone. */
#ifndef PF_BACKEND_CPU_ROWS_BODY_INT_H
#define PF_BACKEND_CPU_ROWS_BODY_INT_H

#include "backend/cpu_int.h"
#include "backend/cpu_vec_int.h"

/* Loads and stores that mind the row's end; p + i .. p + n. */
PF_INLINE vf row_ld(const float *p, int64_t i, int64_t n)
{
    return i + VL <= n ? vld(p + i) : vld_n(p + i, n - i, 0);
}
PF_INLINE void row_st(float *p, vf a, int64_t i, int64_t n)
{
    if (i + VL <= n)
        vst(p + i, a);
    else
        vst_n(p + i, a, n - i);
}
/* a, with the lanes past the row's end zeroed. */
PF_INLINE vf row_cut(vf a, int64_t i, int64_t n)
{
    return i + VL <= n ? a : vpick((1u << (n - i)) - 1, a, vset(0));
}

/* --------------------------------------------------------------- norms -- */

PF_INLINE vf gain(const float *w, int64_t i, int64_t n, pf_norm_kind kind)
{
    vf g = row_ld(w, i, n);
    return kind == PF_NORM_RMS1P ? vadd(g, vset(1)) : g;
}

static void rows_stat(float *stat, const float *x, pf_norm_kind kind,
                      float eps, int64_t n)
{
    vf s = vset(0), q = vset(0);
    for (int64_t i = 0; kind == PF_NORM_LN && i < n; i += VL)
        s = vadd(s, row_ld(x, i, n));
    float mean = (float)(vsum(s) / (double)n);
    for (int64_t i = 0; i < n; i += VL) {
        vf d = row_cut(vsub(row_ld(x, i, n), vset(mean)), i, n);
        q = vfma(d, d, q);
    }
    stat[0] = mean;
    stat[1] = (float)(1 / sqrt(vsum(q) / (double)n + (double)eps));
}

static void rows_norm(float *y, float *stat, const float *x, const float *w,
                      const float *b, pf_norm_kind kind, float eps, int64_t n,
                      bool add)
{
    rows_stat(stat, x, kind, eps, n);
    vf mean = vset(stat[0]), rstd = vset(stat[1]);
    for (int64_t i = 0; i < n; i += VL) {
        vf v = vmul(vsub(row_ld(x, i, n), mean), rstd);
        v = vmul(v, gain(w, i, n, kind));
        if (b)
            v = vadd(v, row_ld(b, i, n));
        if (add)
            v = vadd(row_ld(y, i, n), v);
        row_st(y, v, i, n);
    }
}

/* dx = rstd (g - mean g - xhat mean(g xhat)), g = dy * gain; without the mean
 * of g for RMS. */
static void rows_norm_bwd(float *dx, float *dw, float *db, const float *dy,
                          const float *x, const float *stat, const float *w,
                          pf_norm_kind kind, int64_t n, bool add)
{
    vf mean = vset(stat[0]), rstd = vset(stat[1]);
    vf sg = vset(0), sx = vset(0);
    for (int64_t i = 0; i < n; i += VL) {
        vf xhat = vmul(vsub(row_ld(x, i, n), mean), rstd);
        vf d = row_ld(dy, i, n), g = vmul(d, gain(w, i, n, kind));
        sg = vadd(sg, row_cut(g, i, n));
        sx = vadd(sx, row_cut(vmul(g, xhat), i, n));
        if (dw)
            row_st(dw, vfma(d, xhat, row_ld(dw, i, n)), i, n);
        if (db)
            row_st(db, vadd(row_ld(db, i, n), d), i, n);
    }
    vf mg = vset(kind == PF_NORM_LN ? (float)(vsum(sg) / (double)n) : 0);
    vf mx = vset((float)(vsum(sx) / (double)n));
    for (int64_t i = 0; i < n; i += VL) {
        vf xhat = vmul(vsub(row_ld(x, i, n), mean), rstd);
        vf g = vmul(row_ld(dy, i, n), gain(w, i, n, kind));
        vf d = vmul(rstd, vsub(vsub(g, mg), vmul(xhat, mx)));
        row_st(dx, add ? vadd(row_ld(dx, i, n), d) : d, i, n);
    }
}

/* --------------------------------------------------------- activations -- */

#define GELU_A 0.79788456080286535588f /* sqrt(2 / pi) */
#define GELU_B 0.044715f
#define INV_SQRT_2PI 0.39894228040143267794f

/* gelu_tanh(x) = x sigmoid(2 u), u = A (x + B x^3): the tail keeps its
 * relative precision, which 1 + tanh would lose. */
PF_INLINE vf gelu_arg(vf x)
{
    vf x2 = vmul(x, x);
    return vmul(vmul(vset(2 * GELU_A), x), vfma(vset(GELU_B), x2, vset(1)));
}

PF_INLINE vf act_value(vf x, pf_act_kind kind)
{
    if (kind == PF_ACT_SILU_GLU)
        return vmul(x, vsigmoid(x));
    if (kind == PF_ACT_GELU_ERF)
        return vmul(x, vnormal(x));
    return vmul(x, vsigmoid(gelu_arg(x)));
}

/* The value and the derivative. */
PF_INLINE vf act_slope(vf x, pf_act_kind kind, vf *value)
{
    if (kind == PF_ACT_GELU_ERF) {
        vf p = vnormal(x), e = vexp(vmul(vset(-0.5f), vmul(x, x)));
        *value = vmul(x, p);
        return vfma(vmul(x, vset(INV_SQRT_2PI)), e, p);
    }
    /* x s(u): s + x s (1 - s) u' */
    bool silu = kind == PF_ACT_SILU_GLU;
    vf s = vsigmoid(silu ? x : gelu_arg(x)), slope = vset(1);
    if (!silu)
        slope = vmul(vset(2 * GELU_A), vfma(vset(3 * GELU_B), vmul(x, x),
                                            vset(1)));
    *value = vmul(x, s);
    return vfma(vmul(*value, vsub(vset(1), s)), slope, s);
}

PF_INLINE void act_loop(float *h, const float *gate, const float *up,
                        pf_act_kind kind, int64_t n)
{
    for (int64_t i = 0; i < n; i += VL) {
        vf v = act_value(row_ld(gate, i, n), kind);
        if (up)
            v = vmul(v, row_ld(up, i, n));
        row_st(h, v, i, n);
    }
}

PF_INLINE void act_bwd_loop(float *dgate, float *dup, const float *dh,
                            const float *gate, const float *up,
                            pf_act_kind kind, int64_t n)
{
    for (int64_t i = 0; i < n; i += VL) {
        vf value, d = row_ld(dh, i, n);
        vf slope = act_slope(row_ld(gate, i, n), kind, &value);
        if (up) {
            vf u = row_ld(up, i, n);
            row_st(dup, vmul(d, value), i, n);
            d = vmul(d, u);
        }
        row_st(dgate, vmul(d, slope), i, n);
    }
}

static void rows_act(float *h, const float *gate, const float *up,
                     pf_act_kind kind, int64_t n)
{
    switch (kind) { /* the kind a constant in each loop */
    case PF_ACT_SILU_GLU:
        act_loop(h, gate, up, PF_ACT_SILU_GLU, n);
        break;
    case PF_ACT_GELU_ERF:
        act_loop(h, gate, up, PF_ACT_GELU_ERF, n);
        break;
    default:
        act_loop(h, gate, up, PF_ACT_GELU_TANH, n);
    }
}

static void rows_act_bwd(float *dgate, float *dup, const float *dh,
                         const float *gate, const float *up, pf_act_kind kind,
                         int64_t n)
{
    switch (kind) {
    case PF_ACT_SILU_GLU:
        act_bwd_loop(dgate, dup, dh, gate, up, PF_ACT_SILU_GLU, n);
        break;
    case PF_ACT_GELU_ERF:
        act_bwd_loop(dgate, dup, dh, gate, up, PF_ACT_GELU_ERF, n);
        break;
    default:
        act_bwd_loop(dgate, dup, dh, gate, up, PF_ACT_GELU_TANH, n);
    }
}

/* ------------------------------------------------------------ plain row -- */

static void rows_rope(float *x, const float *cs, const float *sn, int64_t half)
{
    for (int64_t i = 0; i < half; i += VL) {
        vf a = row_ld(x, i, half), b = row_ld(x + half, i, half);
        vf c = row_ld(cs, i, half), s = row_ld(sn, i, half);
        row_st(x, vsub(vmul(a, c), vmul(b, s)), i, half);
        row_st(x + half, vadd(vmul(b, c), vmul(a, s)), i, half);
    }
}

static void rows_axpy(float *y, const float *x, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i += VL)
        row_st(y, vfma(vset(a), row_ld(x, i, n), row_ld(y, i, n)), i, n);
}

static double rows_dot(const float *x, const float *y, int64_t n)
{
    vf s = vset(0);
    for (int64_t i = 0; i < n; i += VL)
        s = vfma(row_ld(x, i, n), row_ld(y, i, n), s);
    return vsum(s);
}

/* In f64 throughout: squares of f32 are exact there. */
static double rows_sumsq(const float *x, int64_t n)
{
    double s[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            s[j] += (double)x[i + j] * (double)x[i + j];
    for (; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (int j = 0; j < 8; j++)
        sum += s[j];
    return sum;
}

/* ----------------------------------------------------------- optimizers -- */

/* torch's classes: AdamW (decoupled decay, moments by lerp), SGD with
 * momentum, RMSprop, and Lion; scalars are formed in f64 once. */
static void optim_adamw(const pf_optim_args *a, float *p, const float *grad,
                        float *m, float *v, int64_t n)
{
    vf scale = vset((float)a->grad_scale), eps = vset((float)a->eps);
    vf keep = vset((float)(1 - a->lr * a->weight_decay));
    vf c1 = vset((float)(1 - a->beta1)), b2 = vset((float)a->beta2);
    vf c2 = vset((float)(1 - a->beta2));
    vf step = vset((float)(-a->lr / a->bias1));
    vf root = vset((float)sqrt(a->bias2));
    for (int64_t i = 0; i < n; i += VL) {
        vf g = vmul(row_ld(grad, i, n), scale);
        vf m0 = row_ld(m, i, n), v0 = row_ld(v, i, n);
        m0 = vfma(c1, vsub(g, m0), m0);
        v0 = vfma(vmul(c2, g), g, vmul(b2, v0));
        vf den = vadd(vdiv(vsqrt(v0), root), eps);
        vf w = vmul(row_ld(p, i, n), keep);
        row_st(m, m0, i, n);
        row_st(v, v0, i, n);
        row_st(p, vfma(step, vdiv(m0, den), w), i, n);
    }
}

static void optim_sgd(const pf_optim_args *a, float *p, const float *grad,
                      float *m, int64_t n)
{
    vf scale = vset((float)a->grad_scale), lr = vset((float)-a->lr);
    vf wd = vset((float)a->weight_decay), mu = vset((float)a->momentum);
    for (int64_t i = 0; i < n; i += VL) {
        vf w = row_ld(p, i, n);
        vf g = vfma(wd, w, vmul(row_ld(grad, i, n), scale));
        if (m) {
            g = vfma(mu, row_ld(m, i, n), g);
            row_st(m, g, i, n);
        }
        row_st(p, vfma(lr, g, w), i, n);
    }
}

static void optim_rmsprop(const pf_optim_args *a, float *p, const float *grad,
                          float *m, float *v, int64_t n)
{
    vf scale = vset((float)a->grad_scale), lr = vset((float)-a->lr);
    vf wd = vset((float)a->weight_decay), mu = vset((float)a->momentum);
    vf al = vset((float)a->alpha), ca = vset((float)(1 - a->alpha));
    vf eps = vset((float)a->eps);
    for (int64_t i = 0; i < n; i += VL) {
        vf w = row_ld(p, i, n), v0 = row_ld(v, i, n);
        vf g = vfma(wd, w, vmul(row_ld(grad, i, n), scale));
        v0 = vfma(vmul(ca, g), g, vmul(al, v0));
        row_st(v, v0, i, n);
        vf s = vdiv(g, vadd(vsqrt(v0), eps));
        if (m) {
            s = vfma(mu, row_ld(m, i, n), s);
            row_st(m, s, i, n);
        }
        row_st(p, vfma(lr, s, w), i, n);
    }
}

static void optim_lion(const pf_optim_args *a, float *p, const float *grad,
                       float *m, int64_t n)
{
    vf scale = vset((float)a->grad_scale), lr = vset((float)a->lr);
    vf keep = vset((float)(1 - a->lr * a->weight_decay)), zero = vset(0);
    vf b1 = vset((float)a->beta1), c1 = vset((float)(1 - a->beta1));
    vf b2 = vset((float)a->beta2), c2 = vset((float)(1 - a->beta2));
    for (int64_t i = 0; i < n; i += VL) {
        vf g = vmul(row_ld(grad, i, n), scale), m0 = row_ld(m, i, n);
        vf u = vfma(b1, m0, vmul(c1, g));
        vf w = vmul(row_ld(p, i, n), keep);
        u = vless(u, zero, vneg(lr), vless(zero, u, lr, zero));
        row_st(p, vsub(w, u), i, n);
        row_st(m, vfma(b2, m0, vmul(c2, g)), i, n);
    }
}

static void rows_optim(const pf_optim_args *a, float *p, const float *g,
                       float *m, float *v, int64_t n)
{
    switch (a->kind) {
    case PF_OPTIM_ADAMW:
        optim_adamw(a, p, g, m, v, n);
        break;
    case PF_OPTIM_SGD:
        optim_sgd(a, p, g, m, n);
        break;
    case PF_OPTIM_RMSPROP:
        optim_rmsprop(a, p, g, m, v, n);
        break;
    case PF_OPTIM_LION:
        optim_lion(a, p, g, m, n);
        break;
    }
}

/* ------------------------------------------------------------- softmax -- */

PF_INLINE vf score(vf raw, vf scale, float cap)
{
    vf s = vmul(raw, scale);
    return cap > 0 ? vmul(vset(cap), vtanh(vmul(s, vset(1 / cap)))) : s;
}

/* The sum must not depend on where the keys lie in their lines: each term is
 * rounded to a multiple of 2^-36, whereafter f64 sums of up to 2^16 terms of
 * at most 1 are exact in any order. */
#define SUM_MAGIC (1.5 * 65536) /* 1.5 * 2^(52 - 36) */

static double rows_softmax(float *s, int64_t step, const uint16_t *bits,
                           int64_t n_line, float scale, float cap, float *max)
{
    const vf low = vset(-INFINITY), sc = vset(scale);
    vf top = low;
    for (int64_t i = 0; i < n_line; i++)
        for (int j = 0; bits[i] && j < PF_LINE; j += VL) {
            float *p = s + i * step + j;
            vf v = vpick((unsigned)bits[i] >> j, score(vld(p), sc, cap), low);
            vst(p, v);
            top = vmax(v, top);
        }
    *max = vtop(top);
    double lane[VL] = {0}, sum = 0;
    const vf m = vset(*max > -INFINITY ? *max : 0);
    for (int64_t i = 0; i < n_line; i++)
        for (int j = 0; j < PF_LINE; j += VL) {
            float *p = s + i * step + j;
            vf v = vset(0);
            if (bits[i]) {
                v = vexp(vsub(vld(p), m));
                vadd_f64(lane, v, SUM_MAGIC);
            }
            vst(p, v);
        }
    for (int j = 0; j < VL; j++)
        sum += lane[j];
    return sum;
}

static void rows_probs_bwd(float *s, float *ds, int64_t step,
                           const uint16_t *bits, int64_t n_line, float scale,
                           float cap, float lse, float delta)
{
    const vf sc = vset(scale), l = vset(lse), dl = vset(delta), z = vset(0);
    for (int64_t i = 0; i < n_line; i++)
        for (int j = 0; j < PF_LINE; j += VL) {
            float *p = s + i * step + j, *d = ds + i * step + j;
            vf prob = z, grad = z;
            if (bits[i]) {
                vf v = score(vld(p), sc, cap);
                unsigned b = (unsigned)bits[i] >> j;
                prob = vpick(b, vexp(vsub(v, l)), z);
                grad = vmul(vmul(vsub(vld(d), dl), prob), sc);
                if (cap > 0) {
                    vf t = vmul(v, vset(1 / cap));
                    grad = vmul(grad, vsub(vset(1), vmul(t, t)));
                }
                grad = vpick(b, grad, z);
            }
            vst(p, prob);
            vst(d, grad);
        }
}

/* ---------------------------------------------------------------- head -- */

static void rows_softcap(float *z, float cap, int64_t n)
{
    for (int64_t i = 0; i < n; i += VL)
        row_st(z, score(row_ld(z, i, n), vset(1), cap), i, n);
}

static void rows_head_part(pf_head_part *out, const float *z, int64_t n,
                           unsigned mask)
{
    vf top = vset(-INFINITY);
    for (int64_t i = 0; i < n; i += VL)
        top = vmax(i + VL <= n ? vld(z + i) : vld_n(z + i, n - i, -INFINITY),
                   top);
    *out = (pf_head_part){.max = vtop(top)};
    const vf m = vset(out->max);
    vf s = vset(0), sz = s, s2 = s, total = s;
    for (int64_t i = 0; i < n; i += VL) {
        vf v = row_ld(z, i, n), d = vsub(v, m);
        vf e = row_cut(vexp(d), i, n);
        s = vadd(s, e);
        if (mask) {
            sz = vfma(e, row_cut(d, i, n), sz);
            s2 = vfma(e, e, s2);
            total = vadd(total, v);
        }
    }
    out->sum = vsum(s);
    out->sum_z = vsum(sz);
    out->sum_2 = vsum(s2);
    out->total = vsum(total);
    while ((mask & PF_HEAD_TOP1) && out->top < n - 1 &&
           z[out->top] != out->max)
        out->top++;
}

/* exp(z - lse) with lse in two floats, so that nothing of it is lost. */
static void rows_head_grad(float *z, double lse, float coef, float cap,
                           int64_t n)
{
    const vf hi = vset((float)lse), lo = vset((float)(lse - (float)lse));
    for (int64_t i = 0; i < n; i += VL) {
        vf v = row_ld(z, i, n);
        vf d = vmul(vset(-coef), vexp(vsub(vsub(v, hi), lo)));
        if (cap > 0) {
            vf t = vmul(v, vset(1 / cap));
            d = vmul(d, vsub(vset(1), vmul(t, t)));
        }
        row_st(z, d, i, n);
    }
}

const pf_row_kern PF_TIER(pf_rows) = {
    .norm = rows_norm,
    .norm_bwd = rows_norm_bwd,
    .act = rows_act,
    .act_bwd = rows_act_bwd,
    .rope = rows_rope,
    .axpy = rows_axpy,
    .dot = rows_dot,
    .sumsq = rows_sumsq,
    .optim = rows_optim,
    .softmax = rows_softmax,
    .probs_bwd = rows_probs_bwd,
    .softcap = rows_softcap,
    .head_part = rows_head_part,
    .head_grad = rows_head_grad,
};

#endif
