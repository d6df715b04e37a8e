/* SPDX-License-Identifier: MIT
 *
 * Inside the ref backend: its structs and the operations of its files.
 * act = acc = double. */
#ifndef PF_BACKEND_REF_INT_H
#define PF_BACKEND_REF_INT_H

#include "model/ops.h"

typedef struct pf_ref {
    pf_backend base;
    double *logit; /* [V] of one row */
    int64_t V;
} pf_ref;

/* w[out][in]: the masters, widened. */
struct pf_weight {
    pf_part *part;
    int n_part;
    int64_t n_in, n_out;
    double *w;
};

/* One loop over the parts: master and gradient of output o, and the stride
 * between inputs. */
typedef struct pf_ref_row {
    const float *master;
    double *grad; /* NULL without training */
    int64_t stride;
} pf_ref_row;
pf_ref_row pf_ref_row_of(const pf_weight *w, int64_t o);

void pf_ref_embed(pf_backend *be, void *x, const pf_weight *wte,
                  const pf_weight *wpe, const int32_t *tok, const int32_t *pos,
                  float scale, int64_t M);
void pf_ref_embed_bwd(pf_backend *be, pf_weight *wte, pf_weight *wpe,
                      const void *dx, const int32_t *tok, const int32_t *pos,
                      float scale, int64_t M);
void pf_ref_norm(pf_backend *be, void *y, void *stat, const void *x,
                 const float *w, const float *b, pf_norm_kind kind, float eps,
                 const int32_t *row, int64_t R, int64_t C);
void pf_ref_norm_bwd(pf_backend *be, void *dx, void *dw, void *db,
                     const void *dy, const void *x, const void *stat,
                     const float *w, pf_norm_kind kind, const int32_t *row,
                     int64_t R, int64_t C);
void pf_ref_norm_add(pf_backend *be, void *res, void *stat, const void *y,
                     const float *w, const float *b, pf_norm_kind kind,
                     float eps, int64_t M, int64_t C);
void pf_ref_norm_add_bwd(pf_backend *be, void *dy, void *dw, void *db,
                         const void *dres, const void *y, const void *stat,
                         const float *w, pf_norm_kind kind, int64_t M,
                         int64_t C);
void pf_ref_qk_norm(pf_backend *be, void *x, void *inv, const float *w,
                    int64_t ld, int64_t col, int n_head, int D, bool full,
                    bool one_plus, float eps, int64_t M);
void pf_ref_qk_norm_bwd(pf_backend *be, void *dx, void *dw, const void *x,
                        const void *inv, const float *w, int64_t ld,
                        int64_t col, int n_head, int D, bool full,
                        bool one_plus, int64_t M);
void pf_ref_rope(pf_backend *be, void *x, int64_t ld, int64_t col, int n_head,
                 int D, int rot, const double *cos_sin, const int32_t *pos,
                 int sign, int64_t M);
void pf_ref_act(pf_backend *be, void *h, const void *in, pf_act_kind kind,
                int64_t M, int64_t I);
void pf_ref_act_bwd(pf_backend *be, void *din, const void *dh, const void *in,
                    pf_act_kind kind, int64_t M, int64_t I);

void pf_ref_attn(pf_backend *be, void *o, void *lse, const void *qkv,
                 const pf_attn *a, int64_t M);
void pf_ref_attn_bwd(pf_backend *be, void *dqkv, const void *d_o,
                     const void *o, const void *qkv, const void *lse,
                     const pf_attn *a, int64_t M);
void pf_ref_attn_decode(pf_backend *be, void *o, const void *qkv,
                        void *const *k, void *const *v, const int32_t *first,
                        const int32_t *len, int n, const pf_attn *a);

void pf_ref_head(pf_backend *be, const void *x, const pf_weight *w,
                 pf_head *h);
void pf_ref_head_bwd(pf_backend *be, void *dx, const void *x, pf_weight *w,
                     const pf_head *h);
void pf_ref_logits(pf_backend *be, float *out, const void *x,
                   const pf_weight *w, float softcap, int64_t R);
double pf_ref_sumsq(pf_backend *be, const void *acc, int64_t n);
void pf_ref_optim(pf_backend *be, const pf_optim_args *a, float *p,
                  const void *g, float *m, float *v, int64_t n);

#endif
