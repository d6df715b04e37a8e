/* SPDX-License-Identifier: MIT
 *
 * Choosing the next token from logits: greedy, or temperature, then top-k,
 * then top-p, as transformers orders its warpers. The random number is a pure
 * function of (seed, stream, index), so a sample does not depend on what else
 * is sampled. */
#ifndef PF_MODEL_SAMPLE_H
#define PF_MODEL_SAMPLE_H

#include "base/err.h"

typedef struct pf_sampler {
    double temperature; /* 0 = greedy: the smallest id among the largest */
    double top_p;       /* 1 = all */
    int64_t top_k;      /* 0 = all */
    uint64_t seed;
    /* scratch of V entries */
    struct pf_candidate *cand;
    int64_t V;
} pf_sampler;

/* Temperature >= 0, 0 < top_p <= 1, top_k >= 0, else PF_E_USAGE naming it. */
PF_MUST_CHECK int pf_sampler_init(pf_sampler *s, double temperature,
                                  double top_p, int64_t top_k, uint64_t seed,
                                  int64_t V, pf_err *e);
void pf_sampler_release(pf_sampler *s);
/* The token for logits[V]; stream tells sequences apart, index tokens. */
int32_t pf_sampler_next(pf_sampler *s, const float *logits, uint64_t stream,
                        uint64_t index);

#endif
