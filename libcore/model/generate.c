/* SPDX-License-Identifier: MIT */
#include "model/generate.h"

#include "base/mem.h"

typedef struct state {
    const pf_generate *g;
    pf_decode *d;
    int32_t *next;  /* [n_sample] token to feed, -1 = finished */
    float *logits;  /* [n_sample][V] */
    int64_t V;
    int live;
} state;

static int feed_prompt(state *s, const uint32_t *prompt, size_t n, pf_err *e)
{
    int rc = 0;
    for (size_t t = 0; rc == 0 && t < n; t++) {
        for (int i = 0; i < s->g->n_sample; i++)
            s->next[i] = prompt[t] > INT32_MAX ? INT32_MAX : (int32_t)prompt[t];
        rc = pf_decode_step(s->d, s->next, s->logits, e);
    }
    return rc;
}

/* Draws token number `index` of every sample that is not finished. */
static int draw(state *s, int index, pf_err *e)
{
    const pf_generate *g = s->g;
    for (int i = 0; i < g->n_sample; i++) {
        if (s->next[i] < 0)
            continue;
        s->next[i] = pf_sampler_next(g->sampler,
                                     s->logits + (size_t)i * (size_t)s->V,
                                     g->stream + (uint64_t)i, (uint64_t)index);
        int rc = g->token(g->ctx, i, s->next[i], e);
        if (rc < 0)
            return rc;
        if (rc == 1) {
            s->next[i] = -1;
            s->live--;
        }
    }
    return 0;
}

int pf_generate_run(pf_model *m, const pf_generate *g, const uint32_t *prompt,
                    size_t n_prompt, pf_err *e)
{
    const pf_config *c = pf_model_config(m);
    if (n_prompt == 0)
        return pf_err_set(e, PF_E_FORMAT, "the prompt has no token");
    if (n_prompt >= (size_t)c->max_pos)
        return pf_err_set(e, PF_E_LIMIT,
                          "a prompt of %zu tokens: the model has positions "
                          "for %lld",
                          n_prompt, (long long)c->max_pos);
    int max_new = (int)PF_MIN((int64_t)g->max_new,
                              c->max_pos - (int64_t)n_prompt);
    state s = {.g = g, .V = c->V, .live = g->n_sample};
    size_t n = (size_t)g->n_sample, floats;
    s.next = pf_calloc(n, sizeof *s.next);
    if (pf_mul(n, (size_t)c->V, &floats))
        s.logits = pf_calloc(floats, sizeof *s.logits);
    int rc = s.next && s.logits ? 0 : pf_err_nomem(e);
    if (rc == 0)
        rc = pf_decode_new(&s.d, m, g->n_sample, (int)n_prompt + max_new, e);
    if (rc == 0)
        rc = feed_prompt(&s, prompt, n_prompt, e);
    for (int t = 0; rc == 0 && t < max_new; t++) {
        rc = draw(&s, t, e);
        if (rc < 0 || s.live == 0 || t + 1 == max_new)
            break;
        rc = pf_decode_step(s.d, s.next, s.logits, e);
    }
    pf_decode_free(s.d);
    pf_free(s.next);
    pf_free(s.logits);
    return rc;
}
