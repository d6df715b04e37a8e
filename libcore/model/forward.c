/* SPDX-License-Identifier: MIT
 *
 * The decoder graph, forward. x is the residual stream:
 *
 *   x = embed(token) (+ position)
 *   each layer:  x += attention(norm1(x)) Wo,   x += act(norm2(x) Wup) Wdown
 *   log-probabilities = head(norm(x)) of the rows that predict something
 *
 * Scoring and training run this same code; training only keeps each layer's
 * buffers apart. */
#include "model/model_int.h"

#include <string.h>

/* The stream moves on in place, or into the next buffer when each is kept. */
static void carry(pf_model *m, void *to, const void *from, int64_t M)
{
    if (to != from)
        m->be->ops->copy(m->be, to, from,
                         (size_t)(M * m->cfg.C) *
                             (size_t)m->be->caps.acc_size);
}

static void norm(pf_model *m, void *y, void *stat, const void *x,
                 const pf_norm_param *p, const int32_t *row, int64_t R)
{
    m->be->ops->norm(m->be, y, stat, x, p->w, p->b, m->cfg.norm, m->cfg.eps,
                     row, R, m->cfg.C);
}

pf_attn pf_layer_attn(const pf_model *m, int l, const pf_block *b)
{
    const pf_config *c = &m->cfg;
    return (pf_attn){.H = c->H,
                     .G = c->G,
                     .D = c->D,
                     .scale = c->attn_scale,
                     .softcap = c->attn_softcap,
                     .keys = pf_layer_keys(m, l, b),
                     .group = b->group,
                     .n_group = b->n_group,
                     .drop = m->dropped ? m->drop : NULL};
}

void pf_layer_qkv(pf_model *m, int l, const int32_t *pos, int64_t M,
                  pf_acts *a)
{
    const pf_ops *ops = m->be->ops;
    const pf_config *c = &m->cfg;
    const pf_layer *y = &m->layer[l];
    int64_t ld = m->n_qkv, k = (int64_t)c->H * c->D;

    norm(m, m->n, a->stat1, a->x0, &y->norm1, NULL, M);
    ops->linear(m->be, a->qkv, m->n, y->qkv.w, y->qkv.bias, M);
    if (c->qk_norm != PF_QK_NONE) {
        if (a->qkv_raw)
            ops->copy(m->be, a->qkv_raw, a->qkv,
                      (size_t)(M * ld) * (size_t)m->be->caps.act_size);
        ops->qk_norm(m->be, a->qkv, a->q_inv, y->q_norm.w, ld, 0, c->H, c->D,
                     false, false, c->eps, M);
        ops->qk_norm(m->be, a->qkv, a->k_inv, y->k_norm.w, ld, k, c->G, c->D,
                     false, false, c->eps, M);
    }
    if (c->rope_table[l] != PF_NO_ROPE) {
        ops->rope(m->be, a->qkv, ld, 0, c->H, c->D, c->D, m->rope, pos, 1, M);
        ops->rope(m->be, a->qkv, ld, k, c->G, c->D, c->D, m->rope, pos, 1, M);
    }
}

void pf_layer_attention(pf_model *m, int l, const pf_block *b, pf_acts *a)
{
    const pf_ops *ops = m->be->ops;
    const pf_layer *y = &m->layer[l];
    pf_attn attn = pf_layer_attn(m, l, b);
    int64_t M = b->n_row;

    pf_layer_qkv(m, l, b->pos, M, a);
    ops->attn(m->be, a->o, a->lse, a->qkv, &attn, M);
    carry(m, a->x1, a->x0, M);
    ops->linear_add(m->be, a->x1, a->o, y->o.w, y->o.bias, M);
}

void pf_layer_mlp_in(pf_model *m, int l, int64_t M, pf_acts *a)
{
    const pf_ops *ops = m->be->ops;
    const pf_layer *y = &m->layer[l];

    norm(m, m->n, a->stat2, a->x1, &y->norm2, NULL, M);
    ops->linear(m->be, a->up, m->n, y->up.w, y->up.bias, M);
    ops->act(m->be, m->h, a->up, m->cfg.act, M, m->cfg.I);
}

static void layer_forward(pf_model *m, int l, const pf_block *b)
{
    const pf_layer *y = &m->layer[l];
    pf_acts *a = pf_layer_acts(m, l);
    void *x2 = m->x0[l + 1];

    a->x0 = m->x0[l];
    pf_layer_attention(m, l, b, a);
    pf_layer_mlp_in(m, l, b->n_row, a);
    carry(m, x2, a->x1, b->n_row);
    m->be->ops->linear_add(m->be, x2, m->h, y->down.w, y->down.bias,
                           b->n_row);
}

static void head_forward(pf_model *m, const pf_block *b,
                         const pf_forward_out *out)
{
    pf_head *h = &m->head_args;
    h->R = b->n_head;
    h->T = b->n_target;
    h->C = m->cfg.C;
    h->V = m->cfg.V;
    h->row = b->target_row;
    h->target = b->target_id;
    h->softcap = m->cfg.logit_softcap;
    h->mask = (out->entropy ? PF_HEAD_ENTROPY : 0) |
              (out->sum_p2 ? PF_HEAD_SUM_P2 : 0) |
              (out->top1_hit ? PF_HEAD_TOP1 : 0) |
              (out->mean_logit ? PF_HEAD_MEAN_LOGIT : 0);
    norm(m, m->xh, m->stat_h, m->x0[m->cfg.L], &m->final_norm, b->head_row,
         h->R);
    if (h->R > 0)
        m->be->ops->head(m->be, m->xh, m->head, h);
}

/* From head rows to targets. */
static void hand_out(const pf_head *h, const pf_forward_out *out)
{
    for (int64_t t = 0; t < h->T; t++) {
        int32_t r = h->row[t];
        if (out->logp)
            out->logp[t] = h->logp[t];
        if (out->logp64)
            out->logp64[t] = h->logp64[t];
        if (out->entropy)
            out->entropy[t] = h->entropy[r];
        if (out->sum_p2)
            out->sum_p2[t] = h->sum_p2[r];
        if (out->mean_logit)
            out->mean_logit[t] = h->mean_logit[r];
        if (out->top1_hit)
            out->top1_hit[t] = h->top1[r] == h->target[t];
    }
}

/* Everything that indexes a table. */
static int check_block(const pf_model *m, const pf_block *b, pf_err *e)
{
    if (b->n_row > m->rows || b->n_head > m->head_rows)
        return pf_err_set(e, PF_E_LIMIT,
                          "a block of %d tokens and %d predictions: %lld and "
                          "%lld were reserved",
                          b->n_row, b->n_head, (long long)m->rows,
                          (long long)m->head_rows);
    for (int32_t i = 0; i < b->n_row; i++) {
        if (b->tok[i] < 0 || b->tok[i] >= m->cfg.V)
            return pf_err_set(e, PF_E_FORMAT,
                              "token id %d: the model has %lld", b->tok[i],
                              (long long)m->cfg.V);
        if (b->pos[i] < 0 || b->pos[i] >= m->cfg.max_pos)
            return pf_err_set(e, PF_E_LIMIT,
                              "position %d: the model has %lld", b->pos[i],
                              (long long)m->cfg.max_pos);
    }
    for (int32_t t = 0; t < b->n_target; t++)
        if (b->target_id[t] < 0 || b->target_id[t] >= m->cfg.V)
            return pf_err_set(e, PF_E_FORMAT,
                              "token id %d: the model has %lld",
                              b->target_id[t], (long long)m->cfg.V);
    return 0;
}

int pf_model_forward(pf_model *m, const pf_block *b, bool keep,
                     const uint8_t *drop, const pf_forward_out *out, pf_err *e)
{
    m->kept = false;
    if (keep && !m->train)
        return pf_err_set(e, PF_E_USAGE, "the model was not loaded to train");
    int rc = check_block(m, b, e);
    if (rc < 0)
        return rc;
    m->dropped = drop != NULL;
    if (drop && b->n_row)
        memcpy(m->drop, drop, (size_t)b->n_row);
    pf_window_cut(m, b);
    m->be->ops->embed(m->be, m->x0[0], m->wte, m->wpe, b->tok, b->pos,
                      m->cfg.embed_scale, b->n_row);
    for (int l = 0; l < m->cfg.L; l++)
        layer_forward(m, l, b);
    head_forward(m, b, out);
    hand_out(&m->head_args, out);
    m->kept = keep;
    return 0;
}
