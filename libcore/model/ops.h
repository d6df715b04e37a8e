/* SPDX-License-Identifier: MIT
 *
 * What a backend implements: about 25 kernel-level operations on device
 * memory in one in-order stream. The layer loops of forward.c and backward.c
 * are written once over them.
 *
 * Element types. A backend picks two (pf_caps): `act` for what GEMMs read and
 * write (bf16 with AMX, f32 on plain CPUs, f64 in the oracle), and `acc` for
 * the residual stream, statistics, gradients of parameters (f32; f64 in the
 * oracle). Masters of parameters are f32 everywhere. Device pointers are
 * void *: the host may add byte offsets to them but reads and writes them only
 * through copy_in and copy_out.
 *
 * Letters: M rows of a block (tokens), C width, N outputs, K inputs, H query
 * heads, G key-value heads, D head width, I feed-forward width, V vocabulary,
 * R head rows, T targets.
 *
 * Exactness. A row's results do not depend on the other rows of a call, on M,
 * or on the number of threads, bit for bit: every output has one owner that
 * sums in one order given by K (or by the row's own key ranges) alone.
 * Gradients of parameters sum over rows in row order in fixed-size pieces.
 *
 * Calls queue work and do not fail, save those that return int. Scratch is
 * owned by the backend and sized at weight_new / attn time or by reserve():
 * no operation allocates. One thread drives a backend. */
#ifndef PF_MODEL_OPS_H
#define PF_MODEL_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pool.h"

typedef struct pf_backend pf_backend;
typedef struct pf_weight pf_weight; /* a packed matrix, backend's own */

typedef struct pf_caps {
    const char *name;    /* "cpu", "ref" */
    char kernel_id[96];  /* backend, version, ISA tier, dtypes: identity */
    const char *dtype;   /* "float32", "bfloat16", "float64" */
    int act_size, acc_size; /* bytes per element */
    int n_class;
    int block_rows[8];   /* M classes, ascending: a block has one of these
                            row counts as capacity; a longer group takes the
                            next class; above the last one, multiples of it */
} pf_caps;

/* One master matrix inside a packed weight (q, k, v are three parts). Parts
 * are stacked along the outputs. */
typedef struct pf_part {
    float *master;   /* f32, HF orientation */
    void *grad;      /* acc elements, same layout, or NULL (no training) */
    int64_t n_out;
    bool in_by_out;  /* stored [in, out] (GPT-2 Conv1D), else [out, in] */
} pf_part;

typedef enum pf_norm_kind { PF_NORM_LN, PF_NORM_RMS, PF_NORM_RMS1P } pf_norm_kind;
typedef enum pf_act_kind {
    PF_ACT_GELU_TANH,
    PF_ACT_GELU_ERF,
    PF_ACT_SILU_GLU,      /* silu(gate) * up, input rows are gate | up */
    PF_ACT_GELU_TANH_GLU, /* gelu_tanh(gate) * up */
} pf_act_kind;

/* Keys that a row sees: [p0, p1) and [b0, b1), row indices of the block; the
 * prompt part and its own branch up to itself. Windows are cut in already. An
 * empty range has p0 == p1. */
typedef struct pf_keys {
    int32_t p0, p1, b0, b1;
} pf_keys;

/* Rows [row, row + n) share one key set [key, row + n) at most: an attention
 * job never looks outside its group (prompt and all its branches). */
typedef struct pf_group {
    int32_t row, n;
} pf_group;

typedef struct pf_attn {
    int H, G, D;
    float scale;
    float softcap;      /* 0 = none: s -> cap * tanh(s / cap) */
    const pf_keys *keys; /* host, [M] */
    const pf_group *group; /* host, [n_group], covering the block's rows */
    int n_group;
    const uint8_t *drop; /* host, [M]: 1 = key hidden (CoH masking), or NULL */
} pf_attn;

/* What the head gives besides the target's log-probability, per row. */
enum {
    PF_HEAD_ENTROPY = 1,
    PF_HEAD_SUM_P2 = 2,
    PF_HEAD_TOP1 = 4,
    PF_HEAD_MEAN_LOGIT = 8,
};

typedef struct pf_head {
    int64_t R, T, C, V;
    const int32_t *row;    /* host, [T]: head row of each target, ascending */
    const int32_t *target; /* host, [T]: token id */
    float softcap;         /* of the logits, 0 = none */
    unsigned mask;         /* PF_HEAD_* wanted */
    /* host results */
    float *logp;           /* [T] log-probability of the target, f32 */
    double *logp64;        /* [T] or NULL: the same before rounding */
    double *lse;           /* [R] log-sum-exp, kept for head_bwd */
    float *entropy, *sum_p2, *mean_logit; /* [R] where asked for */
    int32_t *top1;         /* [R] smallest id among the largest logits */
    /* backward */
    const float *coef;     /* [T] dL / dlogp */
} pf_head;

typedef enum pf_optim_kind {
    PF_OPTIM_ADAMW,
    PF_OPTIM_SGD,
    PF_OPTIM_RMSPROP,
    PF_OPTIM_LION,
} pf_optim_kind;

/* One optimizer step over n elements; the formulas are those of the torch
 * classes (reference in libcore/train/optim.h). g is scaled by grad_scale
 * (clipping) first. */
typedef struct pf_optim_args {
    pf_optim_kind kind;
    double lr, beta1, beta2, eps, weight_decay;
    double momentum, alpha;       /* sgd; rmsprop */
    double bias1, bias2;          /* 1 - beta^t */
    double grad_scale;
} pf_optim_args;

typedef struct pf_ops {
    /* Memory of the device, zeroed, 64-byte aligned; NULL when out of it. */
    void *(*alloc)(pf_backend *be, size_t bytes);
    void (*free)(pf_backend *be, void *p, size_t bytes);
    void (*copy_in)(pf_backend *be, void *dst, const void *host, size_t n);
    void (*copy_out)(pf_backend *be, void *host, const void *src, size_t n);
    /* Device to device; the ranges do not overlap. */
    void (*copy)(pf_backend *be, void *dst, const void *src, size_t n);
    void (*zero)(pf_backend *be, void *p, size_t n);
    void (*sync)(pf_backend *be);

    /* Scratch for blocks of up to max_rows rows, head_rows head rows, and the
     * given widths. Called before use; PF_E_LIMIT when it cannot be had. */
    int (*reserve)(pf_backend *be, int64_t max_rows, int64_t head_rows,
                   int H, int G, int D, int64_t C, int64_t I, int64_t V,
                   bool train, pf_err *e);

    /* A packed weight of n_out x n_in made of parts. train: dgrad and wgrad
     * will be called. weight_pack refreshes it from the masters. */
    pf_weight *(*weight_new)(pf_backend *be, const pf_part *part, int n_part,
                             int64_t n_in, bool train);
    void (*weight_free)(pf_backend *be, pf_weight *w);
    void (*weight_pack)(pf_backend *be, pf_weight *w);

    /* y[M,N] act = x[M,K] act . W^T + bias (f32 [N] or NULL). */
    void (*linear)(pf_backend *be, void *y, const void *x, const pf_weight *w,
                   const float *bias, int64_t M);
    /* res[M,N] acc += x . W^T + bias. */
    void (*linear_add)(pf_backend *be, void *res, const void *x,
                       const pf_weight *w, const float *bias, int64_t M);
    /* dx[M,K] act = dy[M,N] act . W. */
    void (*linear_dgrad)(pf_backend *be, void *dx, const void *dy,
                         const pf_weight *w, int64_t M);
    /* part.grad += dy^T x, dbias[N] acc (or NULL) += column sums of dy. */
    void (*linear_wgrad)(pf_backend *be, pf_weight *w, void *dbias,
                         const void *dy, const void *x, int64_t M);

    /* x[M,C] acc = scale * wte[tok] (+ wpe[pos]); reads the working copy (what
     * the GEMM of a tied head reads). tok, pos: host [M]. wpe may be NULL. */
    void (*embed)(pf_backend *be, void *x, const pf_weight *wte,
                  const pf_weight *wpe, const int32_t *tok,
                  const int32_t *pos, float scale, int64_t M);
    /* grads of wte (and wpe) += ; dx acc. */
    void (*embed_bwd)(pf_backend *be, pf_weight *wte, pf_weight *wpe,
                      const void *dx, const int32_t *tok, const int32_t *pos,
                      float scale, int64_t M);

    /* y[R,C] act = norm(x[row[r]]), x[M,C] acc; stat[R,2] acc keeps (mean,
     * rstd). row: host [R], or NULL for all M = R rows. w, b f32 masters. */
    void (*norm)(pf_backend *be, void *y, void *stat, const void *x,
                 const float *w, const float *b, pf_norm_kind kind, float eps,
                 const int32_t *row, int64_t R, int64_t C);
    /* dx[row[r]] acc += d/dx; dw, db acc += (NULL: not wanted). */
    void (*norm_bwd)(pf_backend *be, void *dx, void *dw, void *db,
                     const void *dy, const void *x, const void *stat,
                     const float *w, pf_norm_kind kind, const int32_t *row,
                     int64_t R, int64_t C);
    /* Post-norm: res[M,C] acc += norm(y act). */
    void (*norm_add)(pf_backend *be, void *res, void *stat, const void *y,
                     const float *w, const float *b, pf_norm_kind kind,
                     float eps, int64_t M, int64_t C);
    void (*norm_add_bwd)(pf_backend *be, void *dy, void *dw, void *db,
                         const void *dres, const void *y, const void *stat,
                         const float *w, pf_norm_kind kind, int64_t M,
                         int64_t C);
    /* RMS norm of heads of q or k in place (D wide, or all n_head * D as one
     * when full): x[M, ld] act, from column col; inv[M, n_head or 1] acc.
     * Backward turns dx (same place and shape) from d/d output into d/d input;
     * x is what qk_norm read, kept by the caller. */
    void (*qk_norm)(pf_backend *be, void *x, void *inv, const float *w,
                    int64_t ld, int64_t col, int n_head, int D, bool full,
                    bool one_plus, float eps, int64_t M);
    void (*qk_norm_bwd)(pf_backend *be, void *dx, void *dw, const void *x,
                        const void *inv, const float *w, int64_t ld,
                        int64_t col, int n_head, int D, bool full,
                        bool one_plus, int64_t M);

    /* Rotate-half RoPE in place on n_head heads of D from column col of
     * x[M, ld] act: the first rot dims, pairs (i, i + rot/2). cos_sin: host
     * f64 [max_pos][rot/2][2]. sign +1 forward, -1 backward. */
    void (*rope)(pf_backend *be, void *x, int64_t ld, int64_t col, int n_head,
                 int D, int rot, const double *cos_sin, const int32_t *pos,
                 int sign, int64_t M);

    /* o[M,H*D] act; qkv[M,(H+2G)*D] act, rows q | k | v; lse[M,H] acc. */
    void (*attn)(pf_backend *be, void *o, void *lse, const void *qkv,
                 const pf_attn *a, int64_t M);
    void (*attn_bwd)(pf_backend *be, void *dqkv, const void *d_o,
                     const void *o, const void *qkv, const void *lse,
                     const pf_attn *a, int64_t M);
    /* KV cache: qkv[n,(H+2G)*D] act holds one new token per sequence. Its k
     * and v are written at row len[i] of sequence i's caches k, v (act, each
     * [max_len, G*D]); then q attends to rows [first[i], len[i]] . */
    void (*attn_decode)(pf_backend *be, void *o, const void *qkv,
                        void *const *k, void *const *v, const int32_t *first,
                        const int32_t *len, int n, const pf_attn *a);

    /* h[M,I] act from in[M, I or 2I] act. */
    void (*act)(pf_backend *be, void *h, const void *in, pf_act_kind kind,
                int64_t M, int64_t I);
    void (*act_bwd)(pf_backend *be, void *din, const void *dh, const void *in,
                    pf_act_kind kind, int64_t M, int64_t I);

    /* x[R,C] act normed head rows. */
    void (*head)(pf_backend *be, const void *x, const pf_weight *w,
                 pf_head *h);
    /* dx[R,C] act and the weight's grad +=, from h->coef and h->lse. */
    void (*head_bwd)(pf_backend *be, void *dx, const void *x, pf_weight *w,
                     const pf_head *h);
    /* All V logits of few rows, f32 to the host (sampling). */
    void (*logits)(pf_backend *be, float *out, const void *x,
                   const pf_weight *w, float softcap, int64_t R);

    void (*cast)(pf_backend *be, void *act, const void *acc, int64_t n);
    /* acc[i] += act[i]. */
    void (*add)(pf_backend *be, void *acc, const void *act, int64_t n);
    /* Sum of squares of n acc elements; same bits for any thread count. */
    double (*sumsq)(pf_backend *be, const void *acc, int64_t n);
    /* p f32 masters, g acc, m and v f32 (NULL where the kind has none). */
    void (*optim)(pf_backend *be, const pf_optim_args *a, float *p,
                  const void *g, float *m, float *v, int64_t n);
    /* Sums acc elements over ranks; NULL = one rank. */
    void (*allreduce)(pf_backend *be, void *acc, int64_t n);
} pf_ops;

/* Every backend's struct begins with this. */
struct pf_backend {
    const pf_ops *ops;
    pf_caps caps;
    pf_pool *pool; /* the caller's, may be NULL (one thread) */
    void (*close)(pf_backend *be);
};

/* name: "auto" (the best for this machine), "cpu", "ref" (f64 oracle).
 * dtype: "auto", "f32", "bf16"; one that the backend or machine lacks is
 * PF_E_USAGE. Implemented in libcore/backend/backend.c. */
PF_MUST_CHECK int pf_backend_open(pf_backend **out, const char *name,
                                  const char *dtype, pf_pool *pool, pf_err *e);
void pf_backend_close(pf_backend *be); /* NULL is fine */

#endif
