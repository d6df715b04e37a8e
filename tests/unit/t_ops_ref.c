/* SPDX-License-Identifier: MIT
 *
 * Every backward operation of the oracle against central differences of its
 * forward, through the scalar f = sum of out[i] * dy[i]. */
#include "backend/ref.h"

#include "../pftest.h"

#include "base/rng.h"

static pf_backend *be;
static const pf_ops *ops;
static uint64_t draws;

static double draw(void)
{
    return pf_rand_normal(11, 1, draws++);
}

static void fill(double *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = draw();
}

static void fill_f32(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = (float)draw();
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

typedef double scalar_fn(void *ctx);

/* grad[i] = d f / d x[i]. */
static void check_grad(double *x, const double *grad, int n, scalar_fn *f,
                       void *ctx, const char *what)
{
    for (int i = 0; i < n; i++) {
        double keep = x[i], h = 1e-5;
        x[i] = keep + h;
        double up = f(ctx);
        x[i] = keep - h;
        double down = f(ctx), num = (up - down) / (2 * h);
        x[i] = keep;
        if (!(fabs(num - grad[i]) <= 1e-7 * fmax(1, fabs(num)))) {
            printf("# %s[%d]: %.10g, differences give %.10g\n", what, i,
                   grad[i], num);
            CHECK(!"gradient");
            return;
        }
    }
}

/* The same for f32 parameters: steps that a float can hold. */
static void check_grad_f32(float *x, const double *grad, int n, scalar_fn *f,
                           void *ctx, const char *what)
{
    for (int i = 0; i < n; i++) {
        float keep = x[i], up_x = keep + 0x1p-12f, down_x = keep - 0x1p-12f;
        x[i] = up_x;
        double up = f(ctx);
        x[i] = down_x;
        double down = f(ctx);
        double num = (up - down) / ((double)up_x - (double)down_x);
        x[i] = keep;
        if (!(fabs(num - grad[i]) <= 1e-5 * fmax(1, fabs(num)))) {
            printf("# %s[%d]: %.10g, differences give %.10g\n", what, i,
                   grad[i], num);
            CHECK(!"gradient");
            return;
        }
    }
}

/* -------------------------------------------------------------- linear -- */

enum { M = 4, K = 3, N1 = 2, N2 = 3, N = N1 + N2 };

typedef struct linear_case {
    double x[M * K], y[M * N], dy[M * N];
    float w1[N1 * K], w2[N2 * K], bias[N];
    pf_weight *w;
} linear_case;

static double linear_f(void *ctx)
{
    linear_case *c = ctx;
    ops->weight_pack(be, c->w);
    ops->linear(be, c->y, c->x, c->w, c->bias, M);
    return dot(c->y, c->dy, M * N);
}

static void check_linear(bool in_by_out)
{
    linear_case c;
    double g1[N1 * K] = {0}, g2[N2 * K] = {0}, db[N] = {0}, dx[M * K];
    double res[M * N], before[M * N];
    fill(c.x, M * K);
    fill(c.dy, M * N);
    fill_f32(c.w1, N1 * K);
    fill_f32(c.w2, N2 * K);
    fill_f32(c.bias, N);
    pf_part part[2] = {{c.w1, g1, N1, in_by_out}, {c.w2, g2, N2, in_by_out}};
    c.w = ops->weight_new(be, part, 2, K, true);
    linear_f(&c);
    /* Output 3 of row 2 is input . row 1 of the second part. */
    double want = c.bias[3];
    for (int k = 0; k < K; k++)
        want += c.x[2 * K + k] *
                (double)(in_by_out ? c.w2[k * N2 + 1] : c.w2[K + k]);
    CHECK_NEAR(c.y[2 * N + 3], want, 1e-14);
    fill(res, M * N);
    memcpy(before, res, sizeof res);
    ops->linear_add(be, res, c.x, c.w, c.bias, M);
    for (int i = 0; i < M * N; i++)
        CHECK_NEAR(res[i], before[i] + c.y[i], 1e-14);
    ops->linear_dgrad(be, dx, c.dy, c.w, M);
    ops->linear_wgrad(be, c.w, db, c.dy, c.x, M);
    check_grad(c.x, dx, M * K, linear_f, &c, "linear dx");
    check_grad_f32(c.w1, g1, N1 * K, linear_f, &c, "linear dw");
    check_grad_f32(c.w2, g2, N2 * K, linear_f, &c, "linear dw, second part");
    check_grad_f32(c.bias, db, N, linear_f, &c, "linear db");
    ops->linear_wgrad(be, c.w, db, c.dy, c.x, M); /* it adds */
    for (int i = 0; i < N; i++)
        db[i] /= 2;
    check_grad_f32(c.bias, db, N, linear_f, &c, "linear db twice");
    ops->weight_free(be, c.w);
}

static void test_linear(void)
{
    check_linear(false);
    check_linear(true);
}

/* ----------------------------------------------------------- embedding -- */

enum { VOC = 5, POS = 4, C = 3 };

typedef struct embed_case {
    float te[VOC * C], pe[POS * C];
    double x[M * C], dy[M * C];
    pf_weight *wte, *wpe;
    int32_t tok[M], pos[M];
} embed_case;

static double embed_f(void *ctx)
{
    embed_case *c = ctx;
    ops->weight_pack(be, c->wte);
    ops->weight_pack(be, c->wpe);
    ops->embed(be, c->x, c->wte, c->wpe, c->tok, c->pos, 1.5f, M);
    return dot(c->x, c->dy, M * C);
}

static void test_embed(void)
{
    embed_case c = {.tok = {4, 0, 4, 2}, .pos = {0, 1, 2, 1}};
    double gt[VOC * C] = {0}, gp[POS * C] = {0};
    fill_f32(c.te, VOC * C);
    fill_f32(c.pe, POS * C);
    fill(c.dy, M * C);
    pf_part t = {c.te, gt, VOC, false}, p = {c.pe, gp, POS, false};
    c.wte = ops->weight_new(be, &t, 1, C, true);
    c.wpe = ops->weight_new(be, &p, 1, C, true);
    embed_f(&c);
    CHECK_NEAR(c.x[2 * C + 1], 1.5 * (double)c.te[4 * C + 1] +
                                   (double)c.pe[2 * C + 1], 1e-14);
    ops->embed_bwd(be, c.wte, c.wpe, c.dy, c.tok, c.pos, 1.5f, M);
    check_grad_f32(c.te, gt, VOC * C, embed_f, &c, "embed dwte");
    check_grad_f32(c.pe, gp, POS * C, embed_f, &c, "embed dwpe");
    ops->weight_free(be, c.wte);
    ops->weight_free(be, c.wpe);
}

/* --------------------------------------------------------------- norms -- */

enum { W = 6, R = 2 };

typedef struct norm_case {
    double x[M * W], y[M * W], stat[M * 2], dy[M * W];
    float w[W], b[W];
    const int32_t *row;
    int rows;
    pf_norm_kind kind;
} norm_case;

static double norm_f(void *ctx)
{
    norm_case *c = ctx;
    ops->norm(be, c->y, c->stat, c->x, c->w, c->b, c->kind, 1e-5f, c->row,
              c->rows, W);
    return dot(c->y, c->dy, c->rows * W);
}

static double norm_add_f(void *ctx)
{
    norm_case *c = ctx;
    double res[M * W] = {0};
    ops->norm_add(be, res, c->stat, c->x, c->w, c->b, c->kind, 1e-5f, M, W);
    return dot(res, c->dy, M * W);
}

static void check_norm(pf_norm_kind kind, const int32_t *row, int rows)
{
    norm_case c = {.kind = kind, .row = row, .rows = rows};
    double dx[M * W] = {0}, dw[W] = {0}, db[W] = {0};
    fill(c.x, M * W);
    fill(c.dy, M * W);
    fill_f32(c.w, W);
    fill_f32(c.b, W);
    norm_f(&c);
    ops->norm_bwd(be, dx, dw, db, c.dy, c.x, c.stat, c.w, kind, row, rows, W);
    check_grad(c.x, dx, M * W, norm_f, &c, "norm dx");
    check_grad_f32(c.w, dw, W, norm_f, &c, "norm dw");
    check_grad_f32(c.b, db, W, norm_f, &c, "norm db");
    if (row)
        return;
    memset(dw, 0, sizeof dw);
    memset(db, 0, sizeof db);
    norm_add_f(&c);
    ops->norm_add_bwd(be, dx, dw, db, c.dy, c.x, c.stat, c.w, kind, M, W);
    check_grad(c.x, dx, M * W, norm_add_f, &c, "norm_add dx");
    check_grad_f32(c.w, dw, W, norm_add_f, &c, "norm_add dw");
    check_grad_f32(c.b, db, W, norm_add_f, &c, "norm_add db");
}

static void test_norm(void)
{
    static const int32_t row[R] = {1, 3};
    for (int kind = PF_NORM_LN; kind <= PF_NORM_RMS1P; kind++) {
        check_norm((pf_norm_kind)kind, NULL, M);
        check_norm((pf_norm_kind)kind, row, R);
    }
}

enum { QH = 2, QD = 2, QLD = 7, QCOL = 2 };

typedef struct qk_case {
    double x[M * QLD], y[M * QLD], inv[M * QH], dy[M * QLD];
    float w[QH * QD];
    bool full, one_plus;
} qk_case;

static double qk_f(void *ctx)
{
    qk_case *c = ctx;
    memcpy(c->y, c->x, sizeof c->y);
    ops->qk_norm(be, c->y, c->inv, c->w, QLD, QCOL, QH, QD, c->full,
                 c->one_plus, 1e-6f, M);
    return dot(c->y, c->dy, M * QLD);
}

static void test_qk_norm(void)
{
    for (int v = 0; v < 4; v++) {
        qk_case c = {.full = v & 1, .one_plus = v >> 1};
        double dx[M * QLD], dw[QH * QD] = {0};
        fill(c.x, M * QLD);
        fill(c.dy, M * QLD);
        fill_f32(c.w, QH * QD);
        c.w[1] = 0; /* nothing may be divided by a weight */
        qk_f(&c);
        memcpy(dx, c.dy, sizeof dx);
        ops->qk_norm_bwd(be, dx, dw, c.x, c.inv, c.w, QLD, QCOL, QH, QD,
                         c.full, c.one_plus, M);
        check_grad(c.x, dx, M * QLD, qk_f, &c, "qk_norm dx");
        check_grad_f32(c.w, dw, c.full ? QH * QD : QD, qk_f, &c,
                       "qk_norm dw");
    }
}

static void test_rope(void)
{
    enum { D = 6, ROT = 4 };
    double table[3 * (ROT / 2) * 2], x[2 * 2 * D], was[2 * 2 * D];
    int32_t pos[2] = {2, 0};
    for (int i = 0; i < 3 * ROT / 2; i++) {
        double angle = (i / 2) * (i % 2 ? 0.1 : 1.0);
        table[2 * i] = cos(angle);
        table[2 * i + 1] = sin(angle);
    }
    fill(x, 4 * D);
    memcpy(was, x, sizeof x);
    ops->rope(be, x, 2 * D, D, 1, D, ROT, table, pos, 1, 2);
    CHECK(memcmp(x, was, D * sizeof *x) == 0); /* before the column */
    CHECK_NEAR(x[D], was[D] * cos(2) - was[D + 2] * sin(2), 1e-15);
    CHECK_NEAR(x[D + 2], was[D + 2] * cos(2) + was[D] * sin(2), 1e-15);
    CHECK_NEAR(x[D + 1], was[D + 1] * cos(.2) - was[D + 3] * sin(.2), 1e-15);
    CHECK(x[D + 4] == was[D + 4] && x[D + 5] == was[D + 5]); /* not rotated */
    CHECK(memcmp(x + 3 * D, was + 3 * D, D * sizeof *x) == 0); /* position 0 */
    ops->rope(be, x, 2 * D, D, 1, D, ROT, table, pos, -1, 2);
    for (int i = 0; i < 4 * D; i++)
        CHECK_NEAR(x[i], was[i], 1e-15);
}

/* --------------------------------------------------------- activations -- */

typedef struct act_case {
    double in[M * 2 * W], h[M * W], dy[M * W];
    pf_act_kind kind;
} act_case;

static double act_f(void *ctx)
{
    act_case *c = ctx;
    ops->act(be, c->h, c->in, c->kind, M, W);
    return dot(c->h, c->dy, M * W);
}

static void test_act(void)
{
    static const double at_1[] = {0.84119199, 0.84134475, 0.73105858,
                                  0.84119199};
    for (int k = PF_ACT_GELU_TANH; k <= PF_ACT_GELU_TANH_GLU; k++) {
        act_case c = {.kind = (pf_act_kind)k};
        bool glu = k >= PF_ACT_SILU_GLU;
        double din[M * 2 * W];
        fill(c.in, M * 2 * W);
        fill(c.dy, M * W);
        c.in[0] = 1;
        if (glu)
            c.in[W] = 1;
        act_f(&c);
        CHECK_NEAR(c.h[0], at_1[k], 1e-8);
        ops->act_bwd(be, din, c.dy, c.in, c.kind, M, W);
        check_grad(c.in, din, M * W * (glu ? 2 : 1), act_f, &c, "act");
    }
}

/* ----------------------------------------------------------- attention -- */

/* Two groups; the first is a prompt of 2 with branches of 2 and 1. */
enum { T = 8, H = 4, G = 2, D = 3, QKV = (H + 2 * G) * D };
static const pf_keys tree[T] = {{0, 0, 0, 1}, {0, 0, 0, 2}, {0, 2, 2, 3},
                                {0, 2, 2, 4}, {0, 2, 4, 5}, {5, 5, 5, 6},
                                {5, 5, 5, 7}, {6, 6, 6, 8}};
static const pf_group groups[2] = {{0, 5}, {5, 3}};

typedef struct attn_case {
    double qkv[T * QKV], o[T * H * D], lse[T * H], dy[T * H * D];
    pf_attn a;
} attn_case;

static double attn_f(void *ctx)
{
    attn_case *c = ctx;
    ops->attn(be, c->o, c->lse, c->qkv, &c->a, T);
    return dot(c->o, c->dy, T * H * D);
}

static void test_attn(void)
{
    static const uint8_t drop[T] = {0, 1, 0, 1, 0, 1, 0, 0};
    static double dqkv[T * QKV];
    for (int v = 0; v < 4; v++) {
        static attn_case c;
        c.a = (pf_attn){H, G, D, 0.7f, v & 1 ? 2.f : 0.f, tree, groups, 2,
                        v & 2 ? drop : NULL};
        fill(c.qkv, T * QKV);
        fill(c.dy, T * H * D);
        attn_f(&c);
        ops->attn_bwd(be, dqkv, c.dy, c.o, c.qkv, c.lse, &c.a, T);
        check_grad(c.qkv, dqkv, T * QKV, attn_f, &c, "attn");
        /* A row that sees one key copies its value: head 3 reads group 1. */
        if (!c.a.drop)
            CHECK_NEAR(c.o[3 * D + 1], c.qkv[(H + G + 1) * D + 1], 1e-14);
        /* Row 5 sees itself alone, hidden: nothing comes out. */
        if (c.a.drop)
            CHECK(c.o[5 * H * D] == 0 && isinf(c.lse[5 * H]));
    }
}

/* A causal run of attn, token by token over a cache; the window last. */
static void test_attn_decode(void)
{
    static attn_case c;
    double k[T * G * D], v[T * G * D], o[H * D];
    pf_keys causal[T];
    pf_group one = {0, T};
    for (int32_t i = 0; i < T; i++)
        causal[i] = (pf_keys){0, 0, i > 5 ? i - 2 : 0, i + 1};
    c.a = (pf_attn){H, G, D, 0.7f, 0, causal, &one, 1, NULL};
    fill(c.qkv, T * QKV);
    attn_f(&c);
    for (int32_t i = 0; i < T; i++) {
        void *kp = k, *vp = v;
        ops->attn_decode(be, o, c.qkv + i * QKV, &kp, &vp, &causal[i].b0, &i,
                         1, &c.a);
        for (int d = 0; d < H * D; d++)
            CHECK_NEAR(o[d], c.o[i * H * D + d], 1e-14);
    }
}

/* ---------------------------------------------------------------- head -- */

typedef struct head_case {
    double x[R * C];
    float w[VOC * C];
    pf_weight *weight;
    pf_head h;
} head_case;

static double head_f(void *ctx)
{
    head_case *c = ctx;
    double sum = 0;
    ops->weight_pack(be, c->weight);
    ops->head(be, c->x, c->weight, &c->h);
    for (int64_t t = 0; t < c->h.T; t++)
        sum += (double)c->h.coef[t] * c->h.logp64[t];
    return sum;
}

/* What softmax of the row's logits gives, the long way. */
static void check_extras(const head_case *c, int64_t r)
{
    float z[VOC * R];
    double p[VOC], sum = 0, entropy = 0, p2 = 0, mean = 0;
    int top = 0;
    ops->logits(be, z, c->x, c->weight, c->h.softcap, R);
    for (int v = 0; v < VOC; v++)
        sum += p[v] = exp((double)z[r * VOC + v]);
    for (int v = 0; v < VOC; v++) {
        p[v] /= sum;
        entropy -= p[v] * log(p[v]);
        p2 += p[v] * p[v];
        mean += (double)z[r * VOC + v] / VOC;
        if (p[v] > p[top])
            top = v;
    }
    CHECK_NEAR(c->h.lse[r], log(sum), 1e-6);
    CHECK_NEAR(c->h.entropy[r], entropy, 1e-6);
    CHECK_NEAR(c->h.sum_p2[r], p2, 1e-6);
    CHECK_NEAR(c->h.mean_logit[r], mean, 1e-6);
    CHECK_INT(c->h.top1[r], top);
}

static void test_head(void)
{
    static const int32_t row[3] = {0, 0, 1}, target[3] = {4, 1, 0};
    static const float coef[3] = {0.5f, -1.25f, 2};
    float logp[3], entropy[R], sum_p2[R], mean[R];
    double logp64[3], lse[R], dx[R * C];
    int32_t top[R];
    for (int v = 0; v < 2; v++) {
        head_case c;
        double g[VOC * C] = {0};
        c.h = (pf_head){.R = R, .T = 3, .C = C, .V = VOC, .row = row,
                        .target = target, .softcap = v ? 1.5f : 0, .mask = 15,
                        .logp = logp, .logp64 = logp64, .lse = lse,
                        .entropy = entropy, .sum_p2 = sum_p2,
                        .mean_logit = mean, .top1 = top, .coef = coef};
        fill(c.x, R * C);
        fill_f32(c.w, VOC * C);
        pf_part p = {c.w, g, VOC, false};
        c.weight = ops->weight_new(be, &p, 1, C, true);
        head_f(&c);
        check_extras(&c, 0);
        check_extras(&c, 1);
        CHECK(logp[1] == (float)logp64[1]);
        ops->head_bwd(be, dx, c.x, c.weight, &c.h);
        check_grad(c.x, dx, R * C, head_f, &c, "head dx");
        check_grad_f32(c.w, g, VOC * C, head_f, &c, "head dw");
        ops->weight_free(be, c.weight);
    }
}

/* --------------------------------------------------------------- optim -- */

/* Two steps of each from w = 1, g = 0.5 (scaled by 0.5), by hand. */
static void test_optim(void)
{
    double g[1] = {1};
    pf_optim_args a = {.kind = PF_OPTIM_ADAMW, .lr = 0.1, .beta1 = 0.9,
                       .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1,
                       .bias1 = 0.1, .bias2 = 0.01, .grad_scale = 0.5};
    float p = 1, m = 0, v = 0;
    ops->optim(be, &a, &p, g, &m, &v, 1);
    CHECK_NEAR(p, 1 * (1 - 0.01) - 0.1, 1e-6); /* first step: lr * sign */
    CHECK_NEAR(m, 0.05, 1e-7);
    CHECK_NEAR(v, 0.0025, 1e-9);
    a = (pf_optim_args){.kind = PF_OPTIM_SGD, .lr = 0.1, .momentum = 0.9,
                        .weight_decay = 0.2, .grad_scale = 1};
    p = 1, m = 0.5;
    ops->optim(be, &a, &p, g, &m, NULL, 1);
    CHECK_NEAR(m, 0.45 + 1.2, 1e-6);
    CHECK_NEAR(p, 1 - 0.165, 1e-6);
    a = (pf_optim_args){.kind = PF_OPTIM_RMSPROP, .lr = 0.1, .alpha = 0.75,
                        .eps = 0.5, .grad_scale = 1};
    p = 1, v = 0;
    ops->optim(be, &a, &p, g, NULL, &v, 1);
    CHECK_NEAR(v, 0.25, 1e-7);
    CHECK_NEAR(p, 1 - 0.1 / (0.5 + 0.5), 1e-6);
    a = (pf_optim_args){.kind = PF_OPTIM_LION, .lr = 0.1, .beta1 = 0.9,
                        .beta2 = 0.5, .weight_decay = 1, .grad_scale = 1};
    p = 1, m = -1;
    ops->optim(be, &a, &p, g, &m, NULL, 1);
    CHECK_NEAR(p, 0.9 + 0.1, 1e-6); /* 0.9 * -1 + 0.1 * 1 < 0 */
    CHECK_NEAR(m, 0, 1e-7);
    CHECK_NEAR(ops->sumsq(be, (double[]){3, 4}, 2), 25, 0);
}

static int open_close(void)
{
    pf_backend *b = NULL;
    int rc = pf_backend_ref_open(&b, "f64", NULL, NULL);
    if (rc == 0)
        rc = b->ops->reserve(b, 4, 2, H, G, D, C, W, VOC, true, NULL);
    pf_backend_close(b);
    return rc;
}

static void test_open(void)
{
    pf_backend *b = NULL;
    pf_err e = PF_ERR_INIT;
    OOM_WALK(open_close());
    CHECK_INT(pf_backend_open(&b, "ref", "bf16", NULL, &e), PF_E_USAGE);
    CHECK_INT(pf_backend_open(&b, "gpu", "auto", NULL, &e), PF_E_USAGE);
    pf_backend_close(NULL);
    CHECK_OK(pf_backend_ref_open(&be, "auto", NULL, NULL));
    ops = be->ops;
    CHECK_OK(ops->reserve(be, T, R, H, G, D, C, W, VOC, true, NULL));
}

static void test_close(void)
{
    pf_backend_close(be);
}

static const pft_test tests[] = {
    {"open", test_open},
    {"linear", test_linear},
    {"embed", test_embed},
    {"norm", test_norm},
    {"qk_norm", test_qk_norm},
    {"rope", test_rope},
    {"act", test_act},
    {"attn", test_attn},
    {"attn_decode", test_attn_decode},
    {"head", test_head},
    {"optim and sumsq", test_optim},
    {"close", test_close},
};

PF_TEST_MAIN(tests)
