/* SPDX-License-Identifier: MIT
 *
 * forward.c in reverse. dx is the gradient of the residual stream; a branch
 * x += f(x) adds f's share to it. Norm outputs and the feed-forward
 * activation are computed again; with checkpointing the whole layer is. The
 * same operations on the same inputs give the same bits. */
#include "model/model_int.h"

/* Has caused bugs: a tied table gets its gradient from the head and from the
 * embedding, both must add. */

static void norm_again(pf_model *m, void *stat, const void *x,
                       const pf_norm_param *p, int64_t M)
{
    m->be->ops->norm(m->be, m->n, stat, x, p->w, p->b, m->cfg.norm,
                     m->cfg.eps, NULL, M, m->cfg.C);
}

/* dx += d norm(x): dn holds the gradient of its output. */
static void norm_backward(pf_model *m, const void *x, const void *stat,
                          const pf_norm_param *p, int64_t M)
{
    m->be->ops->norm_bwd(m->be, m->dx, p->dw, p->db, m->dn, x, stat, p->w,
                         m->cfg.norm, NULL, M, m->cfg.C);
}

/* y = x W^T + b: gradients of W and b, then d_in = dy W. */
static void linear_backward(pf_model *m, void *d_in,
                            const pf_linear_param *p, const void *dy,
                            const void *x, int64_t M)
{
    m->be->ops->linear_wgrad(m->be, p->w, p->dbias, dy, x, M);
    m->be->ops->linear_dgrad(m->be, d_in, dy, p->w, M);
}

static void mlp_backward(pf_model *m, int l, int64_t M, pf_acts *a)
{
    const pf_ops *ops = m->be->ops;
    const pf_layer *y = &m->layer[l];

    ops->act(m->be, m->h, a->up, m->cfg.act, M, m->cfg.I);
    ops->cast(m->be, m->dy, m->dx, M * m->cfg.C);
    linear_backward(m, m->dh, &y->down, m->dy, m->h, M);
    ops->act_bwd(m->be, m->dwide, m->dh, a->up, m->cfg.act, M, m->cfg.I);
    norm_again(m, a->stat2, a->x1, &y->norm2, M);
    linear_backward(m, m->dn, &y->up, m->dwide, m->n, M);
    norm_backward(m, a->x1, a->stat2, &y->norm2, M);
}

static void qk_backward(pf_model *m, int l, const int32_t *pos, int64_t M,
                        pf_acts *a)
{
    const pf_ops *ops = m->be->ops;
    const pf_config *c = &m->cfg;
    const pf_layer *y = &m->layer[l];
    int64_t ld = m->n_qkv, k = (int64_t)c->H * c->D;

    if (c->rope_table[l] != PF_NO_ROPE) {
        ops->rope(m->be, m->dwide, ld, 0, c->H, c->D, c->D, m->rope, pos, -1,
                  M);
        ops->rope(m->be, m->dwide, ld, k, c->G, c->D, c->D, m->rope, pos, -1,
                  M);
    }
    if (c->qk_norm != PF_QK_NONE) {
        ops->qk_norm_bwd(m->be, m->dwide, y->q_norm.dw, a->qkv_raw, a->q_inv,
                         y->q_norm.w, ld, 0, c->H, c->D, false, false, M);
        ops->qk_norm_bwd(m->be, m->dwide, y->k_norm.dw, a->qkv_raw, a->k_inv,
                         y->k_norm.w, ld, k, c->G, c->D, false, false, M);
    }
}

static void attention_backward(pf_model *m, int l, const pf_block *b,
                               pf_acts *a)
{
    const pf_ops *ops = m->be->ops;
    const pf_layer *y = &m->layer[l];
    pf_attn attn = pf_layer_attn(m, l, b);
    int64_t M = b->n_row;

    ops->cast(m->be, m->dy, m->dx, M * m->cfg.C);
    linear_backward(m, m->dh, &y->o, m->dy, a->o, M);
    ops->attn_bwd(m->be, m->dwide, m->dh, a->o, a->qkv, a->lse, &attn, M);
    qk_backward(m, l, b->pos, M, a);
    norm_again(m, a->stat1, a->x0, &y->norm1, M);
    linear_backward(m, m->dn, &y->qkv, m->dwide, m->n, M);
    norm_backward(m, a->x0, a->stat1, &y->norm1, M);
}

static void layer_backward(pf_model *m, int l, const pf_block *b)
{
    pf_acts *a = pf_layer_acts(m, l);
    a->x0 = m->x0[l];
    if (m->checkpointing) {
        pf_layer_attention(m, l, b, a);
        pf_layer_mlp_in(m, l, b->n_row, a);
    }
    mlp_backward(m, l, b->n_row, a);
    attention_backward(m, l, b, a);
}

int pf_model_backward(pf_model *m, const pf_block *b, const float *coef,
                      pf_err *e)
{
    const pf_ops *ops = m->be->ops;
    const pf_config *c = &m->cfg;
    pf_head *h = &m->head_args;
    if (!m->kept)
        return pf_err_set(e, PF_E_USAGE, "backward without a kept forward");
    m->kept = false;
    if (h->R == 0)
        return 0;
    h->coef = coef;
    ops->head_bwd(m->be, m->dxh, m->xh, m->head, h);
    ops->zero(m->be, m->dx,
              (size_t)(b->n_row * c->C) * (size_t)m->be->caps.acc_size);
    ops->norm_bwd(m->be, m->dx, m->final_norm.dw, m->final_norm.db, m->dxh,
                  m->x0[c->L], m->stat_h, m->final_norm.w, c->norm,
                  b->head_row, h->R, c->C);
    for (int l = c->L - 1; l >= 0; l--)
        layer_backward(m, l, b);
    ops->embed_bwd(m->be, m->wte, m->wpe, m->dx, b->tok, b->pos,
                   c->embed_scale, b->n_row);
    return 0;
}
