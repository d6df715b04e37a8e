/* SPDX-License-Identifier: MIT
 *
 * A decoder model on a backend: load, forward, backward, save.
 *
 * Scoring and training run the very same forward: saving activations changes
 * no arithmetic, so a model scored by refscore and trained by preftrain gives
 * equal bits at step 0.
 *
 *   pf_model_load  ->  pf_plan_build over rows  ->  for each block:
 *   pf_model_forward (log-probs of every completion token)
 *   [pf_model_backward with dL/dlogp of each]
 *
 * One thread drives a model. */
#ifndef PF_MODEL_MODEL_H
#define PF_MODEL_MODEL_H

#include "base/log.h"
#include "base/safetensors.h"
#include "data/identity.h"
#include "data/row.h"
#include "model/config.h"
#include "model/ops.h"
#include "model/plan.h"

typedef struct pf_model pf_model;

/* A parameter: an f32 master under its Hugging Face name, shape and
 * orientation. Tied weights stand once (under the embedding's name). */
typedef struct pf_param {
    const char *name;
    int n_dims;
    int64_t dim[4];
    int64_t count;
    float *master;  /* device memory of the backend */
    void *grad;     /* acc elements; NULL unless training */
    bool decay;     /* weight decay applies: matrices, embeddings, head */
} pf_param;

typedef struct pf_model_opts {
    bool train;          /* gradients and saved activations */
    bool random;         /* ignore weights, initialise by config and seed */
    uint64_t seed;
    bool checkpointing;  /* recompute activations layer by layer */
    const pf_log *log;
} pf_model_opts;

/* dir: config.json and model.safetensors (or shards of it with an index).
 * Errors: PF_E_IO missing, PF_E_FORMAT malformed or unknown / missing tensors
 * (named), PF_E_USAGE an architecture or flag that is not built (named),
 * PF_E_LIMIT. be stays the caller's and outlives the model. */
PF_MUST_CHECK int pf_model_load(pf_model **out, const char *dir,
                                pf_backend *be, const pf_model_opts *o,
                                pf_err *e);
void pf_model_free(pf_model *m);

const pf_config *pf_model_config(const pf_model *m);
pf_backend *pf_model_backend(const pf_model *m);
pf_param *pf_model_params(pf_model *m, size_t *n);
/* Refreshes packed copies after masters changed (after an optimizer step). */
void pf_model_refresh(pf_model *m);
void pf_model_zero_grad(pf_model *m);

/* SHA-256 over canonical tensors (names sorted, shapes, f32 values) as they
 * are now, hex; and the config fields that change logits, into id (keys
 * "model.weights", "model.config.*"). */
PF_MUST_CHECK int pf_model_identity(const pf_model *m, pf_ident *id,
                                    pf_err *e);

/* What forward gives for one block; arrays are the caller's, each for all
 * targets of the block in plan order (pf_block.n_target), or NULL. */
typedef struct pf_forward_out {
    float *logp;       /* log-probability of every completion token, f32 */
    double *logp64;    /* before rounding (tests) */
    float *entropy, *sum_p2, *mean_logit; /* of the predicting row */
    uint8_t *top1_hit; /* target == argmax (first of equal) */
} pf_forward_out;

/* keep: activations stay for a backward (the model must have been loaded with
 * train). drop: per block row, 1 = hidden key (CoH), or NULL. */
PF_MUST_CHECK int pf_model_forward(pf_model *m, const pf_block *b, bool keep,
                                   const uint8_t *drop,
                                   const pf_forward_out *out, pf_err *e);
/* Adds to the gradients: coef[t] = dL/dlogp of target t, in plan order, of
 * the block that forward saw last with keep. */
PF_MUST_CHECK int pf_model_backward(pf_model *m, const pf_block *b,
                                    const float *coef, pf_err *e);
/* Largest block (rows) and head rows that will come: scratch and activations
 * are allocated here, never in forward or backward. Returns PF_E_LIMIT when
 * it cannot be had; *bytes (may be NULL) gets the need. */
PF_MUST_CHECK int pf_model_reserve(pf_model *m, int64_t rows,
                                   int64_t head_rows, uint64_t *bytes,
                                   pf_err *e);

/* Writes model.safetensors (f32 or bf16, format=pt) and copies config.json
 * with dtype updated; atomic per file. */
PF_MUST_CHECK int pf_model_save(const pf_model *m, const char *dir,
                                pf_dtype dtype, pf_err *e);
/* Gradients as safetensors under HF names (f32). */
PF_MUST_CHECK int pf_model_save_grads(const pf_model *m, const char *path,
                                      pf_err *e);

/* Sampling with a KV cache: n sequences share a model. */
typedef struct pf_decode pf_decode;
PF_MUST_CHECK int pf_decode_new(pf_decode **out, pf_model *m, int n_seq,
                                int max_len, pf_err *e);
void pf_decode_free(pf_decode *d);
/* Feeds one token to each sequence (id < 0: that one is finished, skipped)
 * and gives the logits [n_seq][vocab] f32 of the next. */
PF_MUST_CHECK int pf_decode_step(pf_decode *d, const int32_t *id,
                                 float *logits, pf_err *e);

#endif
