/* SPDX-License-Identifier: MIT
 *
 * Model shape and the flags of the one decoder graph, from a Hugging Face
 * config.json (transformers 4 and 5 spellings). Absent keys take the class
 * defaults of transformers. A flag that is not built yet is refused at load
 * with its name; an unknown architecture by its name. */
#ifndef PF_MODEL_CONFIG_H
#define PF_MODEL_CONFIG_H

#include "base/err.h"
#include "base/str.h"
#include "data/identity.h"
#include "model/ops.h"

typedef enum pf_family {
    PF_FAMILY_LLAMA,
    PF_FAMILY_GPT2,
    PF_FAMILY_MISTRAL,
    PF_FAMILY_QWEN2,
    PF_FAMILY_QWEN3,
    PF_FAMILY_SMOLLM3,
    PF_FAMILY_COUNT
} pf_family;

typedef enum pf_pos_kind { PF_POS_ROPE, PF_POS_LEARNED } pf_pos_kind;
typedef enum pf_qk_norm { PF_QK_NONE, PF_QK_HEAD, PF_QK_FULL } pf_qk_norm;
typedef enum pf_rope_kind {
    PF_ROPE_DEFAULT,
    PF_ROPE_LINEAR,
    PF_ROPE_DYNAMIC,
    PF_ROPE_LLAMA3,
    PF_ROPE_YARN,
    PF_ROPE_LONGROPE
} pf_rope_kind;

#define PF_MAX_LAYERS 512

typedef struct pf_rope {
    pf_rope_kind kind;
    double theta, factor, low_freq, high_freq, fraction;
    int64_t original_max;
} pf_rope;

#define PF_NO_ROPE 255

typedef struct pf_config {
    pf_family family;
    char architecture[64], model_type[32];
    int64_t V, C, I, max_pos;
    int L, H, G, D;
    pf_norm_kind norm;
    bool pre_norm, post_norm, parallel;
    pf_pos_kind pos;
    pf_rope rope[2];                 /* global, local */
    uint8_t rope_table[PF_MAX_LAYERS]; /* 0, 1, or PF_NO_ROPE */
    int32_t window[PF_MAX_LAYERS];   /* 0 = none */
    bool qkv_bias, o_bias, mlp_bias, norm_bias;
    pf_qk_norm qk_norm;
    pf_act_kind act;
    float eps, attn_scale, attn_softcap, logit_softcap, embed_scale;
    bool tied;
    double init_range;
    int64_t bos, eos;                /* -1 = none */
    char *json;                      /* the file as read */
    size_t json_n;
} pf_config;

PF_MUST_CHECK int pf_config_load(pf_config *c, const char *dir, pf_err *e);
PF_MUST_CHECK int pf_config_of_json(pf_config *c, pf_slice json,
                                    const char *name, pf_err *e);
void pf_config_release(pf_config *c);
/* The fields that change logits, as keys "model.config.*". */
PF_MUST_CHECK int pf_config_identity(const pf_config *c, pf_ident *id,
                                     pf_err *e);

#endif
