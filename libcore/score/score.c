/* SPDX-License-Identifier: MIT */
#include "score/score.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

struct pf_scorer {
    pf_model *m;
    float *logp; /* of a block, in plan order */
    size_t cap_logp;
    uint64_t *first; /* [n + 1] completion tokens before a row */
    size_t cap_first;
};

int pf_scorer_new(pf_scorer **out, pf_model *m, pf_err *e)
{
    pf_scorer *s = pf_calloc(1, sizeof *s);
    if (!s)
        return pf_err_nomem(e);
    s->m = m;
    *out = s;
    return 0;
}

void pf_scorer_free(pf_scorer *s)
{
    if (!s)
        return;
    pf_free(s->logp);
    pf_free(s->first);
    pf_free(s);
}

int pf_scorer_check_vocab(const pf_scorer *s, uint32_t vocab, pf_err *e)
{
    int64_t V = pf_model_config(s->m)->V;
    if (vocab <= V)
        return 0;
    return pf_err_set(e, PF_E_IDENTITY,
                      "the rows have %u token ids, the model knows %lld",
                      vocab, (long long)V);
}

int pf_scorer_identity(const pf_scorer *s, pf_ident *id, pf_err *e)
{
    const pf_caps *caps = &pf_model_backend(s->m)->caps;
    int rc = pf_model_identity(s->m, id, e);
    if (rc == 0)
        rc = pf_ident_set(id, "dtype", caps->dtype, e);
    if (rc == 0)
        rc = pf_ident_set(id, "kernel_id", caps->kernel_id, e);
    return rc;
}

/* Log-probs of a block to the places of their rows' tokens. */
static int scatter(const pf_scorer *s, const pf_block *b, float *token,
                   pf_err *e)
{
    for (int32_t t = 0; t < b->n_target; t++) {
        if (!isfinite(s->logp[t]))
            return pf_err_set(e, PF_E_FORMAT,
                              "log-prob of token %u of row %u is not finite",
                              b->target_at[t], b->target_item[t]);
        token[s->first[b->target_item[t]] + b->target_at[t]] = s->logp[t];
    }
    return 0;
}

static int score_plan(pf_scorer *s, const pf_plan *plan, float *token,
                      pf_err *e)
{
    int rc = pf_model_reserve(s->m, plan->max_rows, plan->max_head, NULL, e);
    for (size_t i = 0; i < plan->n_block && rc == 0; i++) {
        const pf_block *b = &plan->block[i];
        if (!PF_GROW(&s->logp, &s->cap_logp, (size_t)b->n_target))
            return pf_err_nomem(e);
        pf_forward_out out = {.logp = s->logp};
        rc = pf_model_forward(s->m, b, false, NULL, &out, e);
        if (rc == 0)
            rc = scatter(s, b, token, e);
    }
    return rc;
}

int pf_score_rows(pf_scorer *s, const pf_row *row, size_t n, float *token,
                  double *sum, pf_err *e)
{
    pf_plan plan = {0};
    if (!PF_GROW(&s->first, &s->cap_first, n + 1))
        return pf_err_nomem(e);
    s->first[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (row[i].kind == PF_ROW_SEQ)
            return pf_err_set(e, PF_E_USAGE, "seq rows need no references");
        s->first[i + 1] = s->first[i] + pf_row_completion(&row[i]);
    }
    int rc = pf_plan_build(&plan, row, n, &pf_model_backend(s->m)->caps,
                           pf_model_config(s->m)->max_pos, e);
    if (rc == 0)
        rc = score_plan(s, &plan, token, e);
    pf_plan_release(&plan);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const float *t = token + s->first[i];
        for (uint32_t k = 0; k < row[i].n_branch; k++) {
            double v = 0;
            for (uint32_t j = 0; j < row[i].b_len[k]; j++)
                v += (double)*t++;
            *sum++ = v;
        }
    }
    return rc;
}
