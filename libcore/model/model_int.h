/* SPDX-License-Identifier: MIT
 *
 * Inside libcore/model: the model's struct and what its files share.
 *
 *   params.c   names, shapes, memory of parameters; packed weights
 *   weights.c  masters from safetensors, random numbers; identity
 *   acts.c     activation memory, RoPE tables, windows
 *   forward.c  the graph          backward.c  its reverse
 *   decode.c   the graph for one token per sequence
 *   save.c     masters and gradients to safetensors */
#ifndef PF_MODEL_MODEL_INT_H
#define PF_MODEL_MODEL_INT_H

#include "base/arena.h"
#include "base/map.h"
#include "model/model.h"

/* Parameters of one operation, as device memory; NULL = it has none. The
 * gradients are NULL unless training. */
typedef struct pf_norm_param {
    const float *w, *b;
    void *dw, *db;
} pf_norm_param;

typedef struct pf_linear_param {
    pf_weight *w;
    const float *bias;
    void *dbias;
} pf_linear_param;

typedef struct pf_layer {
    pf_norm_param norm1, norm2, q_norm, k_norm;
    pf_linear_param qkv, o, up, down; /* up: gate | up where gated */
} pf_layer;

/* What the forward of one layer leaves; M rows. */
typedef struct pf_acts {
    void *x0;     /* acc [M,C] residual stream before the layer */
    void *x1;     /* acc [M,C] after attention */
    void *stat1, *stat2; /* acc [M,2] of the norms */
    void *qkv_raw; /* act [M,qkv] before the norm of q and k, where it has one */
    void *q_inv, *k_inv; /* acc [M,H], [M,G]: its 1 / rms */
    void *qkv;    /* act [M,qkv] q | k | v after RoPE */
    void *lse;    /* acc [M,H] */
    void *o;      /* act [M,H*D] */
    void *up;     /* act [M,I or 2I] */
} pf_acts;

struct pf_model {
    pf_config cfg;
    pf_backend *be;
    const pf_log *log;
    bool train, checkpointing;
    int64_t n_qkv, n_up; /* widths of their outputs */

    pf_param *param;
    double *init_std; /* [n_param] of random weights; 0: constant */
    size_t *offset;   /* [n_param] in elements, of masters and gradients */
    size_t n_param, param_cap, init_cap, offset_cap;
    size_t n_elem;    /* masters with alignment gaps */
    pf_arena names;
    pf_map *by_name;
    float *master;
    char *grad;
    pf_layer *layer;  /* [L] */
    pf_norm_param final_norm;
    pf_weight *wte, *wpe, *head; /* head == wte when tied */

    /* Activations (acts.c): one piece of device memory. */
    char *act_mem;
    size_t act_bytes;
    int64_t rows, head_rows; /* reserved */
    pf_acts *acts;    /* [L] when each layer keeps its own, else [1] */
    void **x0;        /* [L + 1] residual streams; all equal unless training */
    void *n, *h;      /* act [M,C] normed input, [M,I] activation */
    void *xh, *stat_h; /* act [R,C] normed head rows, acc [R,2] */
    void *dx, *dy, *dn, *dh, *dwide, *dxh; /* backward */

    double *rope;     /* [n_pos][D/2][2] cos, sin */
    int64_t n_pos;
    /* host, per row, head row or target of the last forward */
    pf_keys *window_keys;
    int32_t window;   /* of the layers that have one, 0 = none has */
    uint8_t *drop;
    bool dropped;
    pf_head head_args; /* lse, top1 and so on lie in head_mem */
    void *head_mem;
    bool kept;        /* activations wait for a backward */
};

/* params.c: fills the parameter table, allocates masters and gradients, and
 * makes the layers' views and packed weights. */
PF_MUST_CHECK int pf_model_build(pf_model *m, pf_err *e);
void pf_model_unbuild(pf_model *m);
/* Index of a parameter by its canonical name, or -1. */
int64_t pf_model_param_find(const pf_model *m, pf_slice name);

/* weights.c */
PF_MUST_CHECK int pf_weights_load(pf_model *m, const char *dir, pf_err *e);
PF_MUST_CHECK int pf_weights_random(pf_model *m, uint64_t seed, pf_err *e);

/* acts.c */
void pf_acts_release(pf_model *m);
/* RoPE tables for positions below n. */
PF_MUST_CHECK int pf_rope_reserve(pf_model *m, int64_t n, pf_err *e);
/* The keys of a block as layer l sees them. */
const pf_keys *pf_layer_keys(const pf_model *m, int l, const pf_block *b);
void pf_window_cut(pf_model *m, const pf_block *b);

/* forward.c; also what backward recomputes. */
pf_attn pf_layer_attn(const pf_model *m, int l, const pf_block *b);
void pf_layer_attention(pf_model *m, int l, const pf_block *b, pf_acts *a);
void pf_layer_mlp_in(pf_model *m, int l, int64_t M, pf_acts *a);
/* q | k | v of M rows, ready for attention. */
void pf_layer_qkv(pf_model *m, int l, const int32_t *pos, int64_t M,
                  pf_acts *a);
static inline pf_acts *pf_layer_acts(pf_model *m, int l)
{
    return &m->acts[m->train && !m->checkpointing ? l : 0];
}

#endif
