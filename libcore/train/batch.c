/* SPDX-License-Identifier: MIT
 *
 * Per-token log-probabilities are rounded to f32 and summed in f64 in token
 * order, as refscore does: equal weights then give rewards of exactly 0. */
#include "train/batch.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

void pf_batch_release(pf_batch *b)
{
    if (b->planned)
        pf_plan_release(&b->plan);
    pf_free(b->item);
    pf_free(b->row);
    pf_free(b->ref);
    pf_free(b->first);
    pf_free(b->logp);
    pf_free(b->b_logp);
    pf_free(b->b_entropy);
    pf_free(b->b_logit);
    pf_free(b->b_coef);
    pf_free(b->b_hit);
    *b = (pf_batch){0};
}

int pf_batch_reserve(pf_batch *b, int64_t rows, int64_t head, uint64_t *bytes,
                     pf_err *e)
{
    rows = PF_MAX(rows, b->rows_reserved);
    head = PF_MAX(head, b->head_reserved);
    int rc = pf_model_reserve(b->model, rows, head, bytes, e);
    if (rc < 0)
        return rc;
    b->rows_reserved = rows;
    b->head_reserved = head;
    return 0;
}

/* ------------------------------------------------------------------ load -- */

static int fetch(pf_batch *b, uint32_t i, uint64_t at, pf_err *e)
{
    pf_row *r = &b->row[i];
    pf_item *it = &b->item[i];
    int rc = b->set->get(b->set, at, r, e);
    if (rc < 0)
        return rc;
    *it = (pf_item){.at = at, .row_id = r->row_id, .ref_err2 = NAN};
    for (uint32_t k = 0; k < r->n_branch && k < PF_LOSS_K; k++) {
        it->x.n[k] = r->b_len[k];
        it->tokens += (uint64_t)r->p_len + r->b_len[k];
    }
    it->x.label = r->label;
    b->first[i + 1] = b->first[i] + (size_t)pf_row_completion(r);
    if (!b->loss)
        return 0;
    if (!b->set->ref)
        return pf_err_set(e, PF_E_IDENTITY, "the set has no references");
    rc = b->set->ref(b->set, at, &b->ref[i], e);
    if (rc < 0)
        return rc;
    for (uint32_t k = 0; k < r->n_branch && k < PF_LOSS_K; k++) {
        it->x.ref[k] = b->ref[i].sum[k];
        if (!isfinite(it->x.ref[k]))
            return pf_err_set(e, PF_E_IDENTITY,
                              "row %llu has a reference that is not a number",
                              (unsigned long long)at);
    }
    return 0;
}

static bool grow_rows(pf_batch *b, uint32_t n)
{
    return PF_GROW(&b->item, &b->cap_item, n) &&
           PF_GROW(&b->row, &b->cap_row, n) &&
           PF_GROW(&b->ref, &b->cap_ref, n) &&
           PF_GROW(&b->first, &b->cap_first, (size_t)n + 1);
}

/* The five arrays grow together, so that one capacity serves them. */
static bool grow_block(pf_batch *b, size_t n)
{
    size_t cap[5] = {b->cap_block, b->cap_block, b->cap_block, b->cap_block,
                     b->cap_block};
    bool ok = PF_GROW(&b->b_logp, &cap[0], n) &&
              PF_GROW(&b->b_entropy, &cap[1], n) &&
              PF_GROW(&b->b_logit, &cap[2], n) &&
              PF_GROW(&b->b_coef, &cap[3], n) &&
              PF_GROW(&b->b_hit, &cap[4], n);
    if (ok)
        b->cap_block = cap[0];
    return ok;
}

int pf_batch_load(pf_batch *b, const uint32_t *at, uint32_t n, pf_err *e)
{
    const pf_caps *caps = &pf_model_backend(b->model)->caps;
    b->n = 0;
    if (b->planned)
        pf_plan_release(&b->plan);
    b->planned = false;
    if (!grow_rows(b, n))
        return pf_err_nomem(e);
    b->first[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        int rc = fetch(b, i, at[i], e);
        if (rc < 0)
            return rc;
    }
    int rc = pf_plan_build(&b->plan, b->row, n, caps, b->max_len, e);
    if (rc < 0)
        return rc;
    b->planned = true;
    size_t most = 1;
    b->n_target = 0;
    for (size_t i = 0; i < b->plan.n_block; i++) {
        size_t t = (size_t)b->plan.block[i].n_target;
        most = PF_MAX(most, t);
        b->n_target += t;
    }
    if (!grow_block(b, most) ||
        !PF_GROW(&b->logp, &b->cap_logp, b->first[n] + 1))
        return pf_err_nomem(e);
    if (b->plan.max_rows > b->rows_reserved ||
        b->plan.max_head > b->head_reserved) {
        rc = pf_batch_reserve(b, b->plan.max_rows, b->plan.max_head, NULL, e);
        if (rc < 0)
            return rc;
    }
    b->n = n;
    return 0;
}

/* ------------------------------------------------------------------- run -- */

static int branch_of(const pf_row *r, uint32_t at)
{
    return r->n_branch > 1 && at >= r->b_len[0];
}

/* One block's results to its rows. */
static void gather(pf_batch *b, const pf_block *k)
{
    for (int32_t t = 0; t < k->n_target; t++) {
        uint32_t i = k->target_item[t], at = k->target_at[t];
        pf_item *it = &b->item[i];
        int br = branch_of(&b->row[i], at);
        b->logp[b->first[i] + at] = b->b_logp[t];
        it->n[br]++;
        it->hit[br] += b->b_hit[t];
        it->entropy[br] += (double)b->b_entropy[t];
        it->logit[br] += (double)b->b_logit[t];
    }
}

static void sum_row(pf_batch *b, uint32_t i)
{
    const pf_row *r = &b->row[i];
    pf_item *it = &b->item[i];
    const float *lp = b->logp + b->first[i];
    size_t at = 0;
    for (uint32_t k = 0; k < r->n_branch && k < PF_LOSS_K; k++) {
        double s = 0;
        for (uint32_t j = 0; j < r->b_len[k]; j++, at++)
            s += (double)lp[at];
        it->x.logp[k] = s;
    }
    const float *ref = b->loss ? b->ref[i].token : NULL;
    if (!ref)
        return;
    double d2 = 0;
    for (size_t j = 0; j < at; j++) {
        double d = (double)lp[j] - (double)ref[j];
        d2 += d * d;
    }
    it->ref_err2 = d2;
}

/* Losses of the rows of one block and the coefficients of its targets. All
 * losses in the table look at one row at a time (pf_loss_check), so a block
 * is as good a group as a micro-batch. */
static void coefficients(pf_batch *b, const pf_block *k, const double *weight)
{
    for (int32_t g = 0; g < k->n_group; g++)
        sum_row(b, k->item[g]);
    if (!b->loss) {
        for (int32_t g = 0; g < k->n_group; g++)
            b->item[k->item[g]].loss = -b->item[k->item[g]].x.logp[0];
        for (int32_t t = 0; weight && t < k->n_target; t++)
            b->b_coef[t] = (float)-weight[k->target_item[t]];
        return;
    }
    /* the derivative of a row, kept until its targets are met */
    uint32_t last = UINT32_MAX;
    double d[1][PF_LOSS_K];
    for (int32_t g = 0; g < k->n_group; g++) {
        pf_item *it = &b->item[k->item[g]];
        pf_loss_run(b->loss, &it->x, 1, &it->loss, d);
    }
    for (int32_t t = 0; weight && t < k->n_target; t++) {
        uint32_t i = k->target_item[t];
        double L;
        if (i != last)
            pf_loss_run(b->loss, &b->item[i].x, 1, &L, d);
        last = i;
        int br = branch_of(&b->row[i], k->target_at[t]);
        b->b_coef[t] = (float)(weight[i] * d[0][br]);
    }
}

static int run_block(pf_batch *b, const pf_block *k, const double *weight,
                     pf_err *e)
{
    pf_forward_out out = {.logp = b->b_logp, .entropy = b->b_entropy,
                          .mean_logit = b->b_logit, .top1_hit = b->b_hit};
    int rc = pf_model_forward(b->model, k, weight != NULL, NULL, &out, e);
    if (rc < 0)
        return rc;
    gather(b, k);
    coefficients(b, k, weight);
    return weight ? pf_model_backward(b->model, k, b->b_coef, e) : 0;
}

int pf_batch_run(pf_batch *b, const double *weight, pf_err *e)
{
    int rc = 0;
    /* seq: what carries no loss has no target and counts 0 */
    memset(b->logp, 0, b->first[b->n] * sizeof *b->logp);
    pf_mem_guard(true);
    for (size_t i = 0; i < b->plan.n_block && rc == 0; i++)
        rc = run_block(b, &b->plan.block[i], weight, e);
    pf_mem_guard(false);
    return rc;
}
