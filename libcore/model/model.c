/* SPDX-License-Identifier: MIT
 *
 * Loading and freeing a model; small accessors. */
#include "model/model_int.h"

#include "base/mem.h"

/* A window is cut once per block, so all layers that have one share it. */
static int find_window(pf_model *m, pf_err *e)
{
    for (int l = 0; l < m->cfg.L; l++) {
        int32_t w = m->cfg.window[l];
        if (w && m->window && w != m->window)
            return pf_err_set(e, PF_E_USAGE,
                              "sliding windows of two sizes are not supported");
        m->window = w ? w : m->window;
    }
    return 0;
}

int pf_model_load(pf_model **out, const char *dir, pf_backend *be,
                  const pf_model_opts *o, pf_err *e)
{
    *out = NULL;
    pf_model *m = pf_calloc(1, sizeof *m);
    if (!m)
        return pf_err_nomem(e);
    m->be = be;
    m->log = o->log;
    m->train = o->train;
    m->checkpointing = o->train && o->checkpointing;
    int rc = pf_config_load(&m->cfg, dir, e);
    if (rc == 0)
        rc = find_window(m, e);
    if (rc == 0)
        rc = pf_model_build(m, e);
    if (rc == 0)
        rc = o->random ? pf_weights_random(m, o->seed, e)
                       : pf_weights_load(m, dir, e);
    if (rc < 0) {
        pf_model_free(m);
        return rc;
    }
    pf_model_refresh(m);
    pf_log_msg(m->log, PF_LOG_INFO, "%s: %s, %zu tensors, %zu parameters", dir,
               m->cfg.architecture, m->n_param, m->n_elem);
    *out = m;
    return 0;
}

void pf_model_free(pf_model *m)
{
    if (!m)
        return;
    pf_acts_release(m);
    pf_model_unbuild(m);
    pf_config_release(&m->cfg);
    pf_free(m);
}

const pf_config *pf_model_config(const pf_model *m)
{
    return &m->cfg;
}

pf_backend *pf_model_backend(const pf_model *m)
{
    return m->be;
}

pf_param *pf_model_params(pf_model *m, size_t *n)
{
    *n = m->n_param;
    return m->param;
}

void pf_model_refresh(pf_model *m)
{
    const pf_ops *ops = m->be->ops;
    ops->weight_pack(m->be, m->wte);
    if (m->wpe)
        ops->weight_pack(m->be, m->wpe);
    if (m->head != m->wte)
        ops->weight_pack(m->be, m->head);
    for (int l = 0; l < m->cfg.L; l++) {
        ops->weight_pack(m->be, m->layer[l].qkv.w);
        ops->weight_pack(m->be, m->layer[l].o.w);
        ops->weight_pack(m->be, m->layer[l].up.w);
        ops->weight_pack(m->be, m->layer[l].down.w);
    }
}

void pf_model_zero_grad(pf_model *m)
{
    if (m->grad)
        m->be->ops->zero(m->be, m->grad,
                         m->n_elem * (size_t)m->be->caps.acc_size);
}
