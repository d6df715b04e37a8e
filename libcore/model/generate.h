/* SPDX-License-Identifier: MIT
 *
 * Continuing a prompt: n samples side by side over one KV cache. */
#ifndef PF_MODEL_GENERATE_H
#define PF_MODEL_GENERATE_H

#include "model/model.h"
#include "model/sample.h"

/* Called with every token drawn. 0 = go on, 1 = that sample is finished,
 * < 0 = stop with that error. */
typedef int pf_token_fn(void *ctx, int sample, int32_t id, pf_err *e);

typedef struct pf_generate {
    int n_sample;
    int max_new;      /* tokens a sample may get; also cut by the context */
    pf_sampler *sampler;
    uint64_t stream;  /* random numbers: sample s draws from stream + s */
    pf_token_fn *token;
    void *ctx;
} pf_generate;

/* An empty prompt is PF_E_FORMAT, one that fills the context PF_E_LIMIT. */
PF_MUST_CHECK int pf_generate_run(pf_model *m, const pf_generate *g,
                                  const uint32_t *prompt, size_t n_prompt,
                                  pf_err *e);

#endif
