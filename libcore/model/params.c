/* SPDX-License-Identifier: MIT
 *
 * The parameters of a model: their Hugging Face names, shapes and places.
 *
 * All masters lie in one block, all gradients in another with the same
 * offsets. The biases of q, k and v (three parameters in a file) are put next
 * to each other, because the fused product reads them as one vector. */
#include "model/model_int.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALIGN 16 /* elements: 64 bytes of f32 */

/* How a family names its tensors; NULL = it has none. */
typedef struct names {
    const char *embed, *pos, *norm, *head;
    const char *layer; /* prefix before the layer's number */
    const char *norm1, *norm2, *q_norm, *k_norm;
    const char *qkv[3], *o, *up[2], *down;
    bool in_by_out; /* GPT-2's Conv1D stores [in, out] */
} names;

static const names llama_names = {
    .embed = "model.embed_tokens.weight",
    .norm = "model.norm",
    .head = "lm_head.weight",
    .layer = "model.layers.",
    .norm1 = "input_layernorm",
    .norm2 = "post_attention_layernorm",
    .q_norm = "self_attn.q_norm",
    .k_norm = "self_attn.k_norm",
    .qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
    .o = "self_attn.o_proj",
    .up = {"mlp.gate_proj", "mlp.up_proj"},
    .down = "mlp.down_proj",
};

static const names gpt2_names = {
    .embed = "transformer.wte.weight",
    .pos = "transformer.wpe.weight",
    .norm = "transformer.ln_f",
    .head = "lm_head.weight",
    .layer = "transformer.h.",
    .norm1 = "ln_1",
    .norm2 = "ln_2",
    .qkv = {"attn.c_attn"},
    .o = "attn.c_proj",
    .up = {"mlp.c_fc"},
    .down = "mlp.c_proj",
    .in_by_out = true,
};

static const names *names_of(pf_family f)
{
    return f == PF_FAMILY_GPT2 ? &gpt2_names : &llama_names;
}

int64_t pf_model_param_find(const pf_model *m, pf_slice name)
{
    const uint64_t *i = pf_map_get(m->by_name, name);
    return i ? (int64_t)*i : -1;
}

/* -------------------------------------------------------------- table -- */

/* A parameter being declared. glued: follows the one before without a gap. */
typedef struct spec {
    int n_dims;
    int64_t dim[2];
    double std;
    bool glued;
} spec;

static int declare(pf_model *m, const char *name, spec s, pf_err *e)
{
    size_t i = m->n_param;
    bool added;
    uint64_t *at = NULL;
    if (!PF_GROW(&m->param, &m->param_cap, i + 1) ||
        !PF_GROW(&m->init_std, &m->init_cap, i + 1) ||
        !PF_GROW(&m->offset, &m->offset_cap, i + 1) ||
        !(at = pf_map_put(m->by_name, pf_slice_of(name), &added)))
        return pf_err_nomem(e);
    *at = i;
    pf_param *p = &m->param[i];
    *p = (pf_param){.n_dims = s.n_dims, .count = 1, .decay = s.n_dims > 1};
    p->name = pf_arena_dup(&m->names, name, strlen(name));
    for (int d = 0; d < s.n_dims; d++) {
        p->dim[d] = s.dim[d];
        if (!pf_mul64(p->count, s.dim[d], &p->count))
            return pf_err_set(e, PF_E_LIMIT, "%s is too large", name);
    }
    size_t first = m->n_elem;
    if (!s.glued)
        first = (size_t)pf_align_up(first, ALIGN);
    m->init_std[i] = s.std;
    m->offset[i] = first;
    m->n_param++;
    if (!pf_add(first, (size_t)p->count, &m->n_elem))
        return pf_err_nomem(e);
    return p->name ? 0 : pf_err_nomem(e);
}

/* The full name of a tensor of a layer (or of none: layer < 0). */
static const char *full_name(const pf_model *m, char buf[128], int layer,
                             const char *part, const char *suffix)
{
    if (layer >= 0)
        snprintf(buf, 128, "%s%d.%s%s", names_of(m->cfg.family)->layer, layer,
                 part, suffix);
    else
        snprintf(buf, 128, "%s%s", part, suffix);
    return buf;
}

static int declare_in(pf_model *m, int layer, const char *part,
                      const char *suffix, spec s, pf_err *e)
{
    char buf[128];
    return declare(m, full_name(m, buf, layer, part, suffix), s, e);
}

static int declare_norm(pf_model *m, int layer, const char *part, int64_t n,
                        pf_err *e)
{
    spec s = {.n_dims = 1, .dim = {n}};
    int rc = declare_in(m, layer, part, ".weight", s, e);
    if (rc == 0 && m->cfg.norm_bias)
        rc = declare_in(m, layer, part, ".bias", s, e);
    return rc;
}

/* A linear layer of up to three parts with n_out[] outputs. */
static int declare_linear(pf_model *m, int layer, const char *const *part,
                          int n_part, const int64_t *n_out, int64_t n_in,
                          bool bias, double std, pf_err *e)
{
    bool in_by_out = names_of(m->cfg.family)->in_by_out;
    int rc = 0;
    for (int i = 0; rc == 0 && i < n_part; i++) {
        spec s = {.n_dims = 2, .dim = {n_out[i], n_in}, .std = std};
        if (in_by_out) {
            s.dim[0] = n_in;
            s.dim[1] = n_out[i];
        }
        rc = declare_in(m, layer, part[i], ".weight", s, e);
    }
    for (int i = 0; bias && rc == 0 && i < n_part; i++) {
        spec s = {.n_dims = 1, .dim = {n_out[i]}, .glued = i > 0};
        rc = declare_in(m, layer, part[i], ".bias", s, e);
    }
    return rc;
}

/* The parts of the fused products: three for q | k | v or one, two for
 * gate | up or one. */
static int qkv_parts(const pf_model *m, int64_t n[3])
{
    const pf_config *c = &m->cfg;
    if (!names_of(c->family)->qkv[1]) {
        n[0] = m->n_qkv;
        return 1;
    }
    n[0] = (int64_t)c->H * c->D;
    n[1] = n[2] = (int64_t)c->G * c->D;
    return 3;
}

static int up_parts(const pf_model *m, int64_t n[3])
{
    n[0] = n[1] = m->cfg.I;
    return names_of(m->cfg.family)->up[1] ? 2 : 1;
}

static int declare_layer(pf_model *m, int l, pf_err *e)
{
    const pf_config *c = &m->cfg;
    const names *n = names_of(c->family);
    double std = c->init_range;
    /* GPT-2 scales what writes into the residual stream (its paper, 2.3). */
    double std_out = c->family == PF_FAMILY_GPT2 ? std / sqrt(2.0 * c->L) : std;
    int64_t out[3], width = (int64_t)c->H * c->D;
    int parts = qkv_parts(m, out);
    int rc = declare_norm(m, l, n->norm1, c->C, e);
    if (rc == 0)
        rc = declare_linear(m, l, n->qkv, parts, out, c->C, c->qkv_bias, std,
                            e);
    if (rc == 0 && c->qk_norm == PF_QK_HEAD)
        rc = declare_norm(m, l, n->q_norm, c->D, e);
    if (rc == 0 && c->qk_norm == PF_QK_HEAD)
        rc = declare_norm(m, l, n->k_norm, c->D, e);
    if (rc == 0)
        rc = declare_linear(m, l, &n->o, 1, &c->C, width, c->o_bias, std_out,
                            e);
    if (rc == 0)
        rc = declare_norm(m, l, n->norm2, c->C, e);
    parts = up_parts(m, out);
    if (rc == 0)
        rc = declare_linear(m, l, n->up, parts, out, c->C, c->mlp_bias, std,
                            e);
    if (rc == 0)
        rc = declare_linear(m, l, &n->down, 1, &c->C, c->I, c->mlp_bias,
                            std_out, e);
    return rc;
}

static int declare_all(pf_model *m, pf_err *e)
{
    const pf_config *c = &m->cfg;
    const names *n = names_of(c->family);
    spec table = {.n_dims = 2, .dim = {c->V, c->C}, .std = c->init_range};
    int rc = declare(m, n->embed, table, e);
    if (rc == 0 && n->pos) {
        spec s = table;
        s.dim[0] = c->max_pos;
        rc = declare(m, n->pos, s, e);
    }
    for (int l = 0; rc == 0 && l < c->L; l++)
        rc = declare_layer(m, l, e);
    if (rc == 0)
        rc = declare_norm(m, -1, n->norm, c->C, e);
    if (rc == 0 && !c->tied)
        rc = declare(m, n->head, table, e);
    return rc;
}

/* --------------------------------------------------------------- views -- */

static pf_param *find(const pf_model *m, int layer, const char *part,
                      const char *suffix)
{
    char buf[128];
    const char *name = full_name(m, buf, layer, part, suffix);
    int64_t i = pf_model_param_find(m, pf_slice_of(name));
    return i < 0 ? NULL : &m->param[i];
}

static pf_norm_param norm_view(const pf_model *m, int layer, const char *part)
{
    const pf_param *w = find(m, layer, part, ".weight");
    const pf_param *b = find(m, layer, part, ".bias");
    return (pf_norm_param){w ? w->master : NULL, b ? b->master : NULL,
                           w ? w->grad : NULL, b ? b->grad : NULL};
}

static int pack_new(pf_model *m, pf_weight **out, const pf_part *part, int n,
                    int64_t n_in, pf_err *e)
{
    *out = m->be->ops->weight_new(m->be, part, n, n_in, m->train);
    return *out ? 0 : pf_err_nomem(e);
}

static int linear_view(pf_model *m, pf_linear_param *out, int layer,
                       const char *const *part, int n_part,
                       const int64_t *n_out, int64_t n_in, pf_err *e)
{
    bool in_by_out = names_of(m->cfg.family)->in_by_out;
    pf_part p[3];
    for (int i = 0; i < n_part; i++) {
        const pf_param *w = find(m, layer, part[i], ".weight");
        p[i] = (pf_part){w->master, w->grad, n_out[i], in_by_out};
    }
    const pf_param *b = find(m, layer, part[0], ".bias");
    out->bias = b ? b->master : NULL;
    out->dbias = b ? b->grad : NULL;
    return pack_new(m, &out->w, p, n_part, n_in, e);
}

static int table_view(pf_model *m, pf_weight **out, const char *name,
                      pf_err *e)
{
    const pf_param *w = find(m, -1, name, "");
    pf_part p = {w->master, w->grad, w->dim[0], false};
    return pack_new(m, out, &p, 1, w->dim[1], e);
}

static int layer_view(pf_model *m, int l, pf_err *e)
{
    const pf_config *c = &m->cfg;
    const names *n = names_of(c->family);
    pf_layer *y = &m->layer[l];
    int64_t out[3], width = (int64_t)c->H * c->D;
    y->norm1 = norm_view(m, l, n->norm1);
    y->norm2 = norm_view(m, l, n->norm2);
    if (c->qk_norm != PF_QK_NONE) {
        y->q_norm = norm_view(m, l, n->q_norm);
        y->k_norm = norm_view(m, l, n->k_norm);
    }
    int parts = qkv_parts(m, out);
    int rc = linear_view(m, &y->qkv, l, n->qkv, parts, out, c->C, e);
    if (rc == 0)
        rc = linear_view(m, &y->o, l, &n->o, 1, &c->C, width, e);
    parts = up_parts(m, out);
    if (rc == 0)
        rc = linear_view(m, &y->up, l, n->up, parts, out, c->C, e);
    if (rc == 0)
        rc = linear_view(m, &y->down, l, &n->down, 1, &c->C, c->I, e);
    return rc;
}

static int make_views(pf_model *m, pf_err *e)
{
    const names *n = names_of(m->cfg.family);
    int rc = table_view(m, &m->wte, n->embed, e);
    if (rc == 0 && n->pos)
        rc = table_view(m, &m->wpe, n->pos, e);
    for (int l = 0; rc == 0 && l < m->cfg.L; l++)
        rc = layer_view(m, l, e);
    m->final_norm = norm_view(m, -1, n->norm);
    if (m->cfg.tied)
        m->head = m->wte;
    else if (rc == 0)
        rc = table_view(m, &m->head, n->head, e);
    return rc;
}

/* -------------------------------------------------------------- build -- */

static int allocate(pf_model *m, pf_err *e)
{
    const pf_ops *ops = m->be->ops;
    size_t master, grad = 0, acc = (size_t)m->be->caps.acc_size;
    if (!pf_mul(m->n_elem, sizeof(float), &master) ||
        (m->train && !pf_mul(m->n_elem, acc, &grad)))
        return pf_err_nomem(e);
    m->master = ops->alloc(m->be, master);
    if (m->train)
        m->grad = ops->alloc(m->be, grad);
    m->layer = pf_calloc((size_t)m->cfg.L, sizeof *m->layer);
    if (!m->master || (m->train && !m->grad) || !m->layer)
        return pf_err_set(e, PF_E_LIMIT,
                          "out of memory: %.1f MiB of parameters",
                          (double)(master + grad) / 0x1p20);
    for (size_t i = 0; i < m->n_param; i++) {
        m->param[i].master = m->master + m->offset[i];
        m->param[i].grad = m->train ? m->grad + m->offset[i] * acc : NULL;
    }
    return 0;
}

int pf_model_build(pf_model *m, pf_err *e)
{
    const pf_config *c = &m->cfg;
    m->n_qkv = (int64_t)(c->H + 2 * c->G) * c->D;
    m->n_up = names_of(c->family)->up[1] ? 2 * c->I : c->I;
    m->by_name = pf_map_new(0);
    if (!m->by_name)
        return pf_err_nomem(e);
    int rc = declare_all(m, e);
    if (rc == 0)
        rc = allocate(m, e);
    if (rc == 0)
        rc = make_views(m, e);
    return rc;
}

static void drop_weight(pf_model *m, pf_weight *w)
{
    if (w)
        m->be->ops->weight_free(m->be, w);
}

void pf_model_unbuild(pf_model *m)
{
    const pf_ops *ops = m->be->ops;
    for (int l = 0; m->layer && l < m->cfg.L; l++) {
        drop_weight(m, m->layer[l].qkv.w);
        drop_weight(m, m->layer[l].o.w);
        drop_weight(m, m->layer[l].up.w);
        drop_weight(m, m->layer[l].down.w);
    }
    if (m->head != m->wte)
        drop_weight(m, m->head);
    drop_weight(m, m->wte);
    drop_weight(m, m->wpe);
    if (m->grad)
        ops->free(m->be, m->grad, m->n_elem * (size_t)m->be->caps.acc_size);
    if (m->master)
        ops->free(m->be, m->master, m->n_elem * sizeof(float));
    pf_free(m->layer);
    pf_free(m->param);
    pf_free(m->init_std);
    pf_free(m->offset);
    pf_map_free(m->by_name);
    pf_arena_release(&m->names);
}
