/* SPDX-License-Identifier: MIT
 *
 * Every operation of the cpu backend against the f64 oracle, under each
 * instruction set that the machine has. */
#include "tests/unit/cpu_pair.h"


/* -------------------------------------------------------------- linear -- */

static void linear_case(pf_backend *c, pf_backend *r, int64_t M, int64_t K,
                        const int64_t *out, int n, bool in_by_out)
{
    pair_weight w = pair_weight_new(c, r, out, n, K, in_by_out);
    int64_t N = w.n_out;
    pair x = pair_new(M * K, 1), y = pair_new(M * N, 0), bias = pair_new(N, 1);
    pair dy = pair_new(M * N, 1), dx = pair_new(M * K, 0);
    pair db = pair_new(N, 1), res = pair_new(M * N, 1);
    c->ops->linear(c, y.f, x.f, w.c, bias.f, M);
    r->ops->linear(r, y.d, x.d, w.r, bias.f, M);
    CHECK_PAIR(y, K);
    c->ops->linear_add(c, res.f, x.f, w.c, NULL, M);
    r->ops->linear_add(r, res.d, x.d, w.r, NULL, M);
    CHECK_PAIR(res, K);
    c->ops->linear_dgrad(c, dx.f, dy.f, w.c, M);
    r->ops->linear_dgrad(r, dx.d, dy.d, w.r, M);
    CHECK_PAIR(dx, N);
    c->ops->linear_wgrad(c, w.c, db.f, dy.f, x.f, M);
    r->ops->linear_wgrad(r, w.r, db.d, dy.d, x.d, M);
    CHECK_PAIR(db, M);
    for (int i = 0; i < n; i++)
        CHECK_PAIR(w.grad[i], M);
    pair *all[] = {&x, &y, &bias, &dy, &dx, &db, &res};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        pair_free(all[i]);
    pair_weight_free(c, r, &w);
}

static void linear_all(pf_backend *c, pf_backend *r)
{
    const int64_t qkv[3] = {72, 24, 24}, odd[1] = {37}, wide[1] = {130};
    linear_case(c, r, 45, 72, qkv, 3, false);
    linear_case(c, r, 45, 72, qkv, 3, true);
    linear_case(c, r, 1, 48, odd, 1, false);
    linear_case(c, r, 3, 33, odd, 1, true);
    linear_case(c, r, 600, 50, wide, 1, false);
}

static void test_linear(void)
{
    pf_pool *pool = NULL;
    CHECK_OK(pf_pool_new(&pool, 3, NULL));
    each_tier(linear_all, NULL);
    each_tier(linear_all, pool);
    pf_pool_free(pool);
}

/* ----------------------------------------------------------- embedding -- */

static void embed_all(pf_backend *c, pf_backend *r)
{
    const int64_t V = 50, P = 40, C = 70, M = 130;
    pair_weight wte = pair_weight_new(c, r, &V, 1, C, false);
    pair_weight wpe = pair_weight_new(c, r, &P, 1, C, false);
    pair x = pair_new(M * C, 0), dx = pair_new(M * C, 1);
    int32_t tok[130], pos[130];
    for (int i = 0; i < M; i++) {
        tok[i] = i * 7 % 11;
        pos[i] = i % 40;
    }
    c->ops->embed(c, x.f, wte.c, wpe.c, tok, pos, 1.5f, M);
    r->ops->embed(r, x.d, wte.r, wpe.r, tok, pos, 1.5f, M);
    CHECK_PAIR(x, 2);
    c->ops->embed_bwd(c, wte.c, wpe.c, dx.f, tok, pos, 1.5f, M);
    r->ops->embed_bwd(r, wte.r, wpe.r, dx.d, tok, pos, 1.5f, M);
    CHECK_PAIR(wte.grad[0], 12);
    CHECK_PAIR(wpe.grad[0], 4);
    c->ops->embed(c, x.f, wte.c, NULL, tok, NULL, 1, M);
    r->ops->embed(r, x.d, wte.r, NULL, tok, NULL, 1, M);
    CHECK(pair_nmse(x.f, x.d, x.n) == 0);
    pair_free(&x);
    pair_free(&dx);
    pair_weight_free(c, r, &wte);
    pair_weight_free(c, r, &wpe);
}

static void test_embed(void)
{
    each_tier(embed_all, NULL);
}

/* --------------------------------------------------------------- norms -- */

static void norm_case(pf_backend *c, pf_backend *r, pf_norm_kind kind,
                      int64_t C)
{
    const int64_t M = 70, R = 40;
    int32_t row[40];
    for (int i = 0; i < R; i++)
        row[i] = i + i / 2;
    pair x = pair_new(M * C, 2), y = pair_new(M * C, 1), s = pair_new(2 * M, 0);
    pair w = pair_new(C, 1), b = pair_new(C, 1), dy = pair_new(M * C, 1);
    pair dx = pair_new(M * C, 1), dw = pair_new(C, 1), db = pair_new(C, 1);
    const float *bias = kind == PF_NORM_LN ? b.f : NULL;
    c->ops->norm(c, y.f, s.f, x.f, w.f, bias, kind, 1e-5f, NULL, M, C);
    r->ops->norm(r, y.d, s.d, x.d, w.f, bias, kind, 1e-5f, NULL, M, C);
    CHECK_PAIR(y, 16);
    c->ops->norm_bwd(c, dx.f, dw.f, db.f, dy.f, x.f, s.f, w.f, kind, NULL, M,
                     C);
    r->ops->norm_bwd(r, dx.d, dw.d, db.d, dy.d, x.d, s.d, w.f, kind, NULL, M,
                     C);
    CHECK_PAIR(dx, 16);
    CHECK_PAIR(dw, M);
    CHECK_PAIR(db, M);
    c->ops->norm(c, y.f, s.f, x.f, w.f, bias, kind, 1e-5f, row, R, C);
    r->ops->norm(r, y.d, s.d, x.d, w.f, bias, kind, 1e-5f, row, R, C);
    CHECK_PAIR(y, 16);
    c->ops->norm_bwd(c, dx.f, NULL, NULL, dy.f, x.f, s.f, w.f, kind, row, R,
                     C);
    r->ops->norm_bwd(r, dx.d, NULL, NULL, dy.d, x.d, s.d, w.f, kind, row, R,
                     C);
    CHECK_PAIR(dx, 16);
    c->ops->norm_add(c, y.f, s.f, x.f, w.f, bias, kind, 1e-5f, M, C);
    r->ops->norm_add(r, y.d, s.d, x.d, w.f, bias, kind, 1e-5f, M, C);
    CHECK_PAIR(y, 16);
    c->ops->norm_add_bwd(c, dx.f, dw.f, db.f, dy.f, x.f, s.f, w.f, kind, M, C);
    r->ops->norm_add_bwd(r, dx.d, dw.d, db.d, dy.d, x.d, s.d, w.f, kind, M, C);
    CHECK_PAIR(dx, 16);
    CHECK_PAIR(dw, M);
    pair *all[] = {&x, &y, &s, &w, &b, &dy, &dx, &dw, &db};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        pair_free(all[i]);
}

static void norm_all(pf_backend *c, pf_backend *r)
{
    CHECK_OK(c->ops->reserve(c, 128, 64, 4, 2, 32, 576, 64, 100, true, NULL));
    norm_case(c, r, PF_NORM_LN, 64);
    norm_case(c, r, PF_NORM_LN, 77);
    norm_case(c, r, PF_NORM_RMS, 576);
    norm_case(c, r, PF_NORM_RMS1P, 33);
}

static void test_norm(void)
{
    each_tier(norm_all, NULL);
}

static void qk_case(pf_backend *c, pf_backend *r, bool full, bool one_plus)
{
    const int H = 3, D = 20;
    const int64_t M = 50, ld = 100, col = 13;
    pair x = pair_new(M * ld, 1), in = pair_new(M * ld, 0);
    pair inv = pair_new(M * H, 0), dx = pair_new(M * ld, 1);
    pair w = pair_new(full ? H * D : D, 1), dw = pair_new(w.n, 1);
    memcpy(in.f, x.f, (size_t)x.n * sizeof *x.f);
    memcpy(in.d, x.d, (size_t)x.n * sizeof *x.d);
    c->ops->qk_norm(c, x.f, inv.f, w.f, ld, col, H, D, full, one_plus, 1e-6f,
                    M);
    r->ops->qk_norm(r, x.d, inv.d, w.f, ld, col, H, D, full, one_plus, 1e-6f,
                    M);
    CHECK_PAIR(x, 16);
    CHECK_PAIR(inv, 16);
    c->ops->qk_norm_bwd(c, dx.f, dw.f, in.f, inv.f, w.f, ld, col, H, D, full,
                        one_plus, M);
    r->ops->qk_norm_bwd(r, dx.d, dw.d, in.d, inv.d, w.f, ld, col, H, D, full,
                        one_plus, M);
    CHECK_PAIR(dx, 16);
    CHECK_PAIR(dw, M * H);
    pair *all[] = {&x, &in, &inv, &dx, &w, &dw};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        pair_free(all[i]);
}

static void rope_case(pf_backend *c, pf_backend *r, int rot)
{
    const int H = 3, D = 20;
    const int64_t M = 50, ld = 100, col = 13;
    double *table = malloc(sizeof *table * 64 * (size_t)rot);
    int32_t pos[50];
    for (int p = 0; p < 64; p++)
        for (int i = 0; i < rot / 2; i++) {
            double a = p * pow(10000, -2.0 * i / rot);
            table[p * rot + 2 * i] = cos(a);
            table[p * rot + 2 * i + 1] = sin(a);
        }
    for (int m = 0; m < M; m++)
        pos[m] = m * 5 % 64;
    pair x = pair_new(M * ld, 1);
    for (int sign = 1; sign >= -1; sign -= 2) {
        c->ops->rope(c, x.f, ld, col, H, D, rot, table, pos, sign, M);
        r->ops->rope(r, x.d, ld, col, H, D, rot, table, pos, sign, M);
        CHECK_PAIR(x, 4);
    }
    pair_free(&x);
    free(table);
}

static void qk_rope_all(pf_backend *c, pf_backend *r)
{
    CHECK_OK(c->ops->reserve(c, 128, 64, 4, 2, 32, 64, 64, 100, true, NULL));
    qk_case(c, r, false, false);
    qk_case(c, r, true, false);
    qk_case(c, r, false, true);
    rope_case(c, r, 20);
    rope_case(c, r, 8);
}

static void test_qk_rope(void)
{
    each_tier(qk_rope_all, NULL);
}

/* --------------------------------------------------------- activations -- */

static void act_all(pf_backend *c, pf_backend *r)
{
    const int64_t M = 40, I = 75;
    for (int k = PF_ACT_GELU_TANH; k <= PF_ACT_GELU_TANH_GLU; k++) {
        pair in = pair_new(M * 2 * I, 9), h = pair_new(M * I, 0);
        pair dh = pair_new(M * I, 1), din = pair_new(M * 2 * I, 0);
        c->ops->act(c, h.f, in.f, k, M, I);
        r->ops->act(r, h.d, in.d, k, M, I);
        CHECK_PAIR(h, 8);
        c->ops->act_bwd(c, din.f, dh.f, in.f, k, M, I);
        r->ops->act_bwd(r, din.d, dh.d, in.d, k, M, I);
        CHECK_PAIR(din, 8);
        pair *all[] = {&in, &h, &dh, &din};
        for (size_t i = 0; i < PF_COUNTOF(all); i++)
            pair_free(all[i]);
    }
}

static void test_act(void)
{
    each_tier(act_all, NULL);
}

/* ----------------------------------------------------------- attention -- */

static void attn_case(pf_backend *c, pf_backend *r, int H, int G, int D,
                      float softcap, int window, bool drop)
{
    static const int p[4] = {40, 1, 7, 90};
    static const int len[4][2] = {{30, 17}, {3, 60}, {0, 0}, {35, 1}};
    pf_keys keys[400];
    pf_group group[4];
    uint8_t hidden[400];
    int M = pair_keys(keys, group, 4, p, len, window);
    for (int i = 0; i < M; i++)
        hidden[i] = i % 5 == 3;
    pf_attn a = {.H = H, .G = G, .D = D, .scale = 1 / sqrtf((float)D),
                 .softcap = softcap, .keys = keys, .group = group,
                 .n_group = 4, .drop = drop ? hidden : NULL};
    int64_t ld = (int64_t)(H + 2 * G) * D;
    pair qkv = pair_new(M * ld, 2), o = pair_new((int64_t)M * H * D, 0);
    pair lse = pair_new((int64_t)M * H, 0), dqkv = pair_new(M * ld, 1);
    pair d_o = pair_new((int64_t)M * H * D, 1);
    c->ops->attn(c, o.f, lse.f, qkv.f, &a, M);
    r->ops->attn(r, o.d, lse.d, qkv.d, &a, M);
    CHECK_PAIR(o, 200 + D);
    for (int64_t i = 0; i < lse.n; i++) {
        CHECK(isfinite(lse.d[i]) == isfinite(lse.f[i]));
        if (isfinite(lse.d[i]))
            CHECK_NEAR(lse.f[i], lse.d[i], 2e-6);
    }
    c->ops->attn_bwd(c, dqkv.f, d_o.f, o.f, qkv.f, lse.f, &a, M);
    r->ops->attn_bwd(r, dqkv.d, d_o.d, o.d, qkv.d, lse.d, &a, M);
    CHECK_PAIR(dqkv, 200 + D);
    pair *all[] = {&qkv, &o, &lse, &dqkv, &d_o};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        pair_free(all[i]);
}

static void attn_all(pf_backend *c, pf_backend *r)
{
    CHECK_OK(c->ops->reserve(c, 400, 64, 9, 3, 128, 64, 64, 100, true, NULL));
    attn_case(c, r, 3, 3, 64, 0, 0, false);
    attn_case(c, r, 6, 2, 32, 0, 0, false);
    attn_case(c, r, 2, 1, 20, 0, 33, false);
    attn_case(c, r, 2, 1, 80, 5, 0, false);
    attn_case(c, r, 2, 2, 16, 0, 0, true);
}

static void test_attn(void)
{
    pf_pool *pool = NULL;
    CHECK_OK(pf_pool_new(&pool, 2, NULL));
    each_tier(attn_all, pool);
    pf_pool_free(pool);
}

static void decode_all(pf_backend *c, pf_backend *r)
{
    const int H = 4, G = 2, D = 24, n = 2, max = 700;
    const int32_t first[2] = {0, 15}, len[2] = {600, 40};
    pf_attn a = {.H = H, .G = G, .D = D, .scale = 0.2f};
    pair qkv = pair_new((int64_t)n * (H + 2 * G) * D, 2);
    pair o = pair_new((int64_t)n * H * D, 0), k[2], v[2];
    void *kf[2], *kd[2], *vf[2], *vd[2];
    for (int i = 0; i < n; i++) {
        k[i] = pair_new((int64_t)max * G * D, 2);
        v[i] = pair_new((int64_t)max * G * D, 1);
        kf[i] = k[i].f, kd[i] = k[i].d, vf[i] = v[i].f, vd[i] = v[i].d;
    }
    c->ops->attn_decode(c, o.f, qkv.f, kf, vf, first, len, n, &a);
    r->ops->attn_decode(r, o.d, qkv.d, kd, vd, first, len, n, &a);
    CHECK_PAIR(o, 200);
    for (int i = 0; i < n; i++) {
        CHECK(pair_nmse(k[i].f, k[i].d, k[i].n) == 0);
        CHECK(pair_nmse(v[i].f, v[i].d, v[i].n) == 0);
        pair_free(&k[i]);
        pair_free(&v[i]);
    }
    pair_free(&qkv);
    pair_free(&o);
}

static void test_decode(void)
{
    each_tier(decode_all, NULL);
}

/* ---------------------------------------------------------------- head -- */

/* Results of a head for one backend. */
typedef struct head_out {
    float logp[80], entropy[60], p2[60], mean[60];
    double logp64[80], lse[60];
    int32_t top1[60];
} head_out;

static pf_head head_of(pf_head h, head_out *o)
{
    h.logp = o->logp;
    h.logp64 = o->logp64;
    h.lse = o->lse;
    h.entropy = o->entropy;
    h.sum_p2 = o->p2;
    h.mean_logit = o->mean;
    h.top1 = o->top1;
    return h;
}

static void head_case(pf_backend *c, pf_backend *r, int64_t V, int64_t C,
                      float softcap)
{
    enum { R = 60, T = 80 };
    static head_out oc, orf;
    int32_t row[T], target[T];
    float coef[T];
    for (int t = 0; t < T; t++) {
        row[t] = t * R / T;
        target[t] = (int32_t)(t * 977 % V);
        coef[t] = pair_random(1);
    }
    pair_weight w = pair_weight_new(c, r, &V, 1, C, false);
    pair x = pair_new(R * C, 1), dx = pair_new(R * C, 1);
    pf_head h = {.R = R, .T = T, .C = C, .V = V, .row = row, .target = target,
                 .softcap = softcap, .mask = 15, .coef = coef};
    pf_head hc = head_of(h, &oc), hr = head_of(h, &orf);
    CHECK_OK(r->ops->reserve(r, 64, R, 4, 2, 32, C, 64, V, true, NULL));
    c->ops->head(c, x.f, w.c, &hc);
    r->ops->head(r, x.d, w.r, &hr);
    for (int t = 0; t < T; t++) {
        CHECK_NEAR(oc.logp64[t], orf.logp64[t], 4e-6);
        CHECK(oc.logp[t] == (float)oc.logp64[t]);
    }
    for (int i = 0; i < R; i++) {
        CHECK_NEAR(oc.lse[i], orf.lse[i], 1e-6);
        CHECK_NEAR(oc.entropy[i], orf.entropy[i], 1e-5);
        CHECK_NEAR(oc.p2[i], orf.p2[i], 1e-5);
        CHECK_NEAR(oc.mean[i], orf.mean[i], 1e-5);
        CHECK_INT(oc.top1[i], orf.top1[i]);
    }
    c->ops->head_bwd(c, dx.f, x.f, w.c, &hc);
    r->ops->head_bwd(r, dx.d, x.d, w.r, &hr);
    CHECK_PAIR(dx, 400);
    CHECK_PAIR(w.grad[0], 400);
    float *z = malloc((size_t)(R * V) * sizeof *z);
    float *zr = malloc((size_t)(R * V) * sizeof *zr);
    c->ops->logits(c, z, x.f, w.c, softcap, R);
    r->ops->logits(r, zr, x.d, w.r, softcap, R);
    for (int64_t i = 0; i < R * V; i += 97)
        CHECK_NEAR(z[i], zr[i], 1e-5);
    free(z);
    free(zr);
    pair_free(&x);
    pair_free(&dx);
    pair_weight_free(c, r, &w);
}

static void head_all(pf_backend *c, pf_backend *r)
{
    CHECK_OK(c->ops->reserve(c, 64, 60, 4, 2, 32, 96, 64, 2300, true, NULL));
    head_case(c, r, 2300, 96, 0);
    head_case(c, r, 515, 50, 4);
    head_case(c, r, 100, 33, 0);
}

static void test_head(void)
{
    pf_pool *pool = NULL;
    CHECK_OK(pf_pool_new(&pool, 2, NULL));
    each_tier(head_all, pool);
    pf_pool_free(pool);
}

/* ------------------------------------------------- flat loops, optimizer -- */

static void optim_case(pf_backend *c, pf_backend *r, pf_optim_args a)
{
    const int64_t n = 20011;
    pair p = pair_new(n, 1), g = pair_new(n, 1), m = pair_new(n, 0.1f);
    pair v = pair_new(n, 0.1f), got = pair_new(n, 0);
    float *pr = malloc((size_t)n * sizeof *pr);
    float *mr = malloc((size_t)n * sizeof *mr);
    float *vr = malloc((size_t)n * sizeof *vr);
    for (int64_t i = 0; i < n; i++) {
        v.f[i] = fabsf(v.f[i]);
        pr[i] = p.f[i], mr[i] = m.f[i], vr[i] = v.f[i];
    }
    c->ops->optim(c, &a, p.f, g.f, m.f, v.f, n);
    r->ops->optim(r, &a, pr, g.d, mr, vr, n);
    for (int64_t i = 0; i < n; i++)
        got.f[i] = p.f[i], got.d[i] = (double)pr[i];
    CHECK_PAIR(got, 1);
    for (int64_t i = 0; i < n; i++)
        got.f[i] = m.f[i], got.d[i] = (double)mr[i];
    CHECK_PAIR(got, 1);
    for (int64_t i = 0; i < n; i++)
        got.f[i] = v.f[i], got.d[i] = (double)vr[i];
    CHECK_PAIR(got, 1);
    free(pr);
    free(mr);
    free(vr);
    pair *all[] = {&p, &g, &m, &v, &got};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        pair_free(all[i]);
}

static void flat_all(pf_backend *c, pf_backend *r)
{
    const int64_t n = 50021;
    pair a = pair_new(n, 1), b = pair_new(n, 1);
    /* n terms, 2^-53 each */
    CHECK_NEAR(c->ops->sumsq(c, a.f, n), r->ops->sumsq(r, a.d, n), 6e-12);
    c->ops->add(c, a.f, b.f, n);
    r->ops->add(r, a.d, b.d, n);
    CHECK_PAIR(a, 1);
    c->ops->cast(c, b.f, a.f, n);
    CHECK(memcmp(a.f, b.f, (size_t)n * sizeof *a.f) == 0);
    c->ops->copy(c, b.f, a.f, 8);
    c->ops->zero(c, b.f, 8);
    CHECK(b.f[0] == 0 && b.f[2] == a.f[2]);
    pair_free(&a);
    pair_free(&b);
    pf_optim_args o = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
                       .weight_decay = 0.1, .momentum = 0.9, .alpha = 0.99,
                       .bias1 = 0.271, .bias2 = 0.002997, .grad_scale = 0.5};
    for (int k = PF_OPTIM_ADAMW; k <= PF_OPTIM_LION; k++) {
        o.kind = (pf_optim_kind)k;
        optim_case(c, r, o);
    }
}

static void test_flat(void)
{
    each_tier(flat_all, NULL);
}

/* -------------------------------------------------------------- opening -- */

static int open_and_use(void)
{
    pf_backend *be = NULL;
    pf_err e = PF_ERR_INIT;
    float master[64] = {0};
    pf_part part = {master, NULL, 8, false};
    int rc = pf_backend_open(&be, "cpu", "auto", NULL, &e);
    pf_weight *w = NULL;
    if (rc == 0)
        rc = be->ops->reserve(be, 256, 64, 2, 2, 8, 16, 32, 100, true, &e);
    if (rc == 0) {
        w = be->ops->weight_new(be, &part, 1, 8, false);
        rc = w ? 0 : PF_E_LIMIT;
    }
    if (w)
        be->ops->weight_free(be, w);
    pf_backend_close(be);
    return rc;
}

static void test_open(void)
{
    pf_backend *be = NULL;
    pf_err e = PF_ERR_INIT;
    CHECK_INT(pf_backend_open(&be, "cpu", "bf16", NULL, &e), PF_E_USAGE);
    CHECK(strstr(e.msg, "bf16") != NULL && !be);
    pf_err_clear(&e);
    CHECK_INT(pf_backend_open(&be, "cpu", "int8", NULL, &e), PF_E_USAGE);
    OOM_WALK(open_and_use());
}

static const pft_test tests[] = {
    {"linear: forward, add, dgrad, wgrad", test_linear},
    {"embedding and its gradient", test_embed},
    {"norms", test_norm},
    {"norm of heads, rope", test_qk_rope},
    {"activations", test_act},
    {"attention: groups, GQA, window, cap, hidden keys", test_attn},
    {"decode attention", test_decode},
    {"head", test_head},
    {"add, sumsq, optimizers", test_flat},
    {"opening, out of memory", test_open},
};
PF_TEST_MAIN(tests)
