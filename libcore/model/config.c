/* SPDX-License-Identifier: MIT
 *
 * config.json -> pf_config. One table entry per model family: its class and
 * type names and the function that knows its keys and class defaults
 * (transformers 5, configuration_*.py). */
#include "model/config.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONFIG_MAX ((size_t)16 << 20)

/* Reading with class defaults: absent and null keys leave the default. The
 * first mistake stays in e (sticky), so that a family reads all its keys and
 * looks once. */
typedef struct keys {
    pf_jval root;
    const char *name;
    pf_err *e;
    int rc;
} keys;

static void fail(keys *k, int code, const char *key, const char *what)
{
    if (k->rc == 0)
        k->rc = pf_err_pos(k->e, code, k->name, 0, -1, "%s: %s", key, what);
}

static bool absent(pf_jval v)
{
    return pf_jtype(v) == PF_JSON_NONE || pf_jtype(v) == PF_JSON_NULL;
}

static int64_t get_int(keys *k, pf_jval obj, const char *key, int64_t dflt,
                       int64_t min, int64_t max)
{
    pf_jval v = pf_jget(obj, key);
    int64_t n = dflt;
    if (absent(v) || (pf_ji64(v, &n) && n >= min && n <= max))
        return n;
    fail(k, PF_E_FORMAT, key, "not an integer in range");
    return dflt;
}

static double get_num(keys *k, pf_jval obj, const char *key, double dflt)
{
    pf_jval v = pf_jget(obj, key);
    double d = dflt;
    if (!absent(v) && (!pf_jf64(v, &d) || !isfinite(d)))
        fail(k, PF_E_FORMAT, key, "not a finite number");
    return d;
}

static bool get_bool(keys *k, const char *key, bool dflt)
{
    pf_jval v = pf_jget(k->root, key);
    pf_json_type t = pf_jtype(v);
    if (!absent(v) && t != PF_JSON_TRUE && t != PF_JSON_FALSE)
        fail(k, PF_E_FORMAT, key, "not a boolean");
    return pf_jbool(v, dflt);
}

/* A token id or a list of them (the first counts); -1 = none. */
static int64_t get_id(keys *k, const char *key)
{
    pf_jval v = pf_jget(k->root, key);
    pf_jiter it = pf_jiter_of(v);
    if (pf_jtype(v) == PF_JSON_ARRAY && pf_jiter_next(&it))
        v = it.value;
    int64_t id = -1;
    if (!absent(v) && pf_jtype(v) != PF_JSON_ARRAY && !pf_ji64(v, &id))
        fail(k, PF_E_FORMAT, key, "not a token id");
    return id;
}

static void refuse_true(keys *k, const char *key)
{
    if (get_bool(k, key, false))
        fail(k, PF_E_USAGE, key, "true is not supported");
}

static pf_act_kind get_act(keys *k, const char *key, const char *dflt, bool glu)
{
    static const struct {
        const char *name;
        bool glu;
        pf_act_kind kind;
    } table[] = {
        {"silu", true, PF_ACT_SILU_GLU},
        {"swish", true, PF_ACT_SILU_GLU},
        {"gelu_pytorch_tanh", true, PF_ACT_GELU_TANH_GLU},
        {"gelu_new", true, PF_ACT_GELU_TANH_GLU},
        {"gelu_new", false, PF_ACT_GELU_TANH},
        {"gelu_pytorch_tanh", false, PF_ACT_GELU_TANH},
        {"gelu", false, PF_ACT_GELU_ERF},
    };
    pf_jval v = pf_jget(k->root, key);
    pf_slice s = absent(v) ? pf_slice_of(dflt) : pf_jstr(v);
    for (size_t i = 0; i < PF_COUNTOF(table); i++)
        if (table[i].glu == glu && s.p && pf_slice_is(s, table[i].name))
            return table[i].kind;
    char quoted[64], what[96];
    snprintf(what, sizeof what, "activation %s is not supported",
             pf_err_quote(quoted, sizeof quoted, s.p ? s.p : "", s.n));
    fail(k, PF_E_USAGE, key, what);
    return PF_ACT_GELU_TANH;
}

/* ---------------------------------------------------------------- RoPE -- */

static pf_rope_kind rope_kind(keys *k, pf_jval r)
{
    pf_jval v = pf_jget(r, "rope_type");
    if (absent(v))
        v = pf_jget(r, "type"); /* transformers before 4.43 */
    if (absent(v) || pf_slice_is(pf_jstr(v), "default"))
        return PF_ROPE_DEFAULT;
    if (pf_slice_is(pf_jstr(v), "linear"))
        return PF_ROPE_LINEAR;
    /* Equal to default up to max_position_embeddings, our limit. */
    if (pf_slice_is(pf_jstr(v), "dynamic"))
        return PF_ROPE_DYNAMIC;
    if (pf_slice_is(pf_jstr(v), "llama3"))
        return PF_ROPE_LLAMA3;
    char quoted[64], what[96];
    pf_slice s = pf_jstr(v);
    snprintf(what, sizeof what, "scaling %s is not supported",
             pf_err_quote(quoted, sizeof quoted, s.p ? s.p : "", s.n));
    fail(k, PF_E_USAGE, "rope_type", what);
    return PF_ROPE_DEFAULT;
}

/* transformers 5: rope_parameters holds all; before: rope_theta beside
 * rope_scaling (null = default). */
static pf_rope get_rope(keys *k, double theta, int64_t max_pos)
{
    pf_jval r = pf_jget(k->root, "rope_parameters");
    theta = get_num(k, k->root, "rope_theta", theta);
    if (absent(r))
        r = pf_jget(k->root, "rope_scaling");
    if (!absent(r) && pf_jtype(r) != PF_JSON_OBJECT)
        fail(k, PF_E_FORMAT, "rope_parameters", "not an object");
    pf_rope p = {.kind = rope_kind(k, r)};
    p.theta = get_num(k, r, "rope_theta", theta);
    p.factor = get_num(k, r, "factor", 1);
    p.low_freq = get_num(k, r, "low_freq_factor", 1);
    p.high_freq = get_num(k, r, "high_freq_factor", 4);
    p.fraction = get_num(k, r, "partial_rotary_factor", 1);
    p.original_max = get_int(k, r, "original_max_position_embeddings", max_pos,
                             1, INT32_MAX);
    if (p.kind != PF_ROPE_LLAMA3) { /* not read: equal for identity */
        p.low_freq = p.high_freq = 0;
        p.original_max = 0;
    }
    if (!(p.theta > 0) || !(p.factor > 0))
        fail(k, PF_E_FORMAT, "rope_theta", "not positive");
    if (p.kind == PF_ROPE_LLAMA3 && !(p.high_freq > p.low_freq))
        fail(k, PF_E_FORMAT, "high_freq_factor", "not above low_freq_factor");
    if (p.fraction != 1)
        fail(k, PF_E_USAGE, "partial_rotary_factor", "only 1 is supported");
    return p;
}

/* ------------------------------------------------------------- windows -- */

/* Qwen and SmolLM3: layer_types names each layer; without it the layers from
 * max_window_layers on slide when use_sliding_window is set. */
static void get_windows(pf_config *c, keys *k)
{
    int64_t w = get_int(k, k->root, "sliding_window", 4096, 1, INT32_MAX);
    bool use = get_bool(k, "use_sliding_window", false) &&
               !absent(pf_jget(k->root, "sliding_window"));
    int64_t from = get_int(k, k->root, "max_window_layers", 28, 0, INT32_MAX);
    pf_jval types = pf_jget(k->root, "layer_types");
    for (int l = 0; use && absent(types) && l < c->L; l++)
        c->window[l] = l >= from ? (int32_t)w : 0;
    if (absent(types))
        return;
    if (pf_jtype(types) != PF_JSON_ARRAY || pf_jcount(types) != (size_t)c->L)
        fail(k, PF_E_FORMAT, "layer_types", "not one name per layer");
    pf_jiter it = pf_jiter_of(types);
    for (int l = 0; k->rc == 0 && l < c->L && pf_jiter_next(&it); l++) {
        if (pf_slice_is(pf_jstr(it.value), "sliding_attention"))
            c->window[l] = use ? (int32_t)w : 0;
        else if (!pf_slice_is(pf_jstr(it.value), "full_attention"))
            fail(k, PF_E_USAGE, "layer_types", "unknown kind of attention");
    }
}

/* SmolLM3: 0 in no_rope_layers (or every n-th layer) means no RoPE. */
static void get_nope(pf_config *c, keys *k)
{
    int64_t n = get_int(k, k->root, "no_rope_layer_interval", 4, 1, INT32_MAX);
    pf_jval list = pf_jget(k->root, "no_rope_layers");
    for (int l = 0; l < c->L; l++)
        c->rope_table[l] = (l + 1) % n == 0 ? PF_NO_ROPE : 0;
    if (absent(list))
        return;
    if (pf_jtype(list) != PF_JSON_ARRAY || pf_jcount(list) != (size_t)c->L)
        fail(k, PF_E_FORMAT, "no_rope_layers", "not one number per layer");
    pf_jiter it = pf_jiter_of(list);
    for (int l = 0; k->rc == 0 && l < c->L && pf_jiter_next(&it); l++) {
        int64_t on = 1;
        if (!pf_ji64(it.value, &on))
            fail(k, PF_E_FORMAT, "no_rope_layers", "not a number");
        c->rope_table[l] = on ? 0 : PF_NO_ROPE;
    }
}

/* ------------------------------------------------------------ families -- */

typedef struct llama_defaults {
    int64_t V, C, I, L, H, G, D, max_pos; /* G, D: 0 = from the others */
    double theta;
    bool tied;
} llama_defaults;

#define MAX_WIDTH (1 << 24)

/* All that the Llama-shaped families share. */
static void read_llama(pf_config *c, keys *k, const llama_defaults *d)
{
    pf_jval r = k->root;
    c->V = get_int(k, r, "vocab_size", d->V, 1, INT32_MAX);
    c->C = get_int(k, r, "hidden_size", d->C, 1, MAX_WIDTH);
    c->I = get_int(k, r, "intermediate_size", d->I, 1, MAX_WIDTH);
    c->L = (int)get_int(k, r, "num_hidden_layers", d->L, 1, PF_MAX_LAYERS);
    c->H = (int)get_int(k, r, "num_attention_heads", d->H, 1, 65536);
    c->G = (int)get_int(k, r, "num_key_value_heads", d->G ? d->G : c->H, 1,
                        65536);
    c->D = (int)get_int(k, r, "head_dim", d->D ? d->D : c->C / c->H, 1, 65536);
    c->max_pos = get_int(k, r, "max_position_embeddings", d->max_pos, 1,
                         INT32_MAX);
    c->eps = (float)get_num(k, r, "rms_norm_eps", 1e-6);
    c->norm = PF_NORM_RMS;
    c->act = get_act(k, "hidden_act", "silu", true);
    c->pos = PF_POS_ROPE;
    c->rope[0] = get_rope(k, d->theta, c->max_pos);
    c->tied = get_bool(k, "tie_word_embeddings", d->tied);
    c->attn_scale = (float)(1 / sqrt(c->D));
    if (c->D < 1 || c->D % 2)
        fail(k, PF_E_FORMAT, "head_dim", "not an even number");
}

static void read_biases(pf_config *c, keys *k)
{
    c->qkv_bias = c->o_bias = get_bool(k, "attention_bias", false);
    c->mlp_bias = get_bool(k, "mlp_bias", false);
}

static void family_llama(pf_config *c, keys *k)
{
    read_llama(c, k, &(llama_defaults){32000, 4096, 11008, 32, 32, 0, 0, 2048,
                                       1e4, false});
    read_biases(c, k);
}

static void family_mistral(pf_config *c, keys *k)
{
    read_llama(c, k, &(llama_defaults){32000, 4096, 14336, 32, 32, 8, 0,
                                       131072, 1e4, false});
    bool none = pf_jtype(pf_jget(k->root, "sliding_window")) == PF_JSON_NULL;
    int64_t w = get_int(k, k->root, "sliding_window", 4096, 1, INT32_MAX);
    for (int l = 0; l < c->L; l++)
        c->window[l] = none ? 0 : (int32_t)w;
}

static void family_qwen2(pf_config *c, keys *k)
{
    read_llama(c, k, &(llama_defaults){151936, 4096, 22016, 32, 32, 32, 0,
                                       32768, 1e4, false});
    c->qkv_bias = true;
    get_windows(c, k);
}

static void family_qwen3(pf_config *c, keys *k)
{
    read_llama(c, k, &(llama_defaults){151936, 4096, 22016, 32, 32, 32, 128,
                                       32768, 1e4, false});
    read_biases(c, k);
    c->mlp_bias = false; /* not a key of this class */
    c->qk_norm = PF_QK_HEAD;
    get_windows(c, k);
}

static void family_smollm3(pf_config *c, keys *k)
{
    read_llama(c, k, &(llama_defaults){128256, 2048, 11008, 36, 16, 4, 0,
                                       32768, 2e6, true});
    read_biases(c, k);
    get_windows(c, k);
    get_nope(c, k);
}

static void family_gpt2(pf_config *c, keys *k)
{
    pf_jval r = k->root;
    c->V = get_int(k, r, "vocab_size", 50257, 1, INT32_MAX);
    c->C = get_int(k, r, "n_embd", 768, 1, MAX_WIDTH);
    c->I = get_int(k, r, "n_inner", 4 * c->C, 1, MAX_WIDTH);
    c->L = (int)get_int(k, r, "n_layer", 12, 1, PF_MAX_LAYERS);
    c->H = c->G = (int)get_int(k, r, "n_head", 12, 1, 65536);
    c->max_pos = get_int(k, r, "n_positions", 1024, 1, INT32_MAX);
    c->eps = (float)get_num(k, r, "layer_norm_epsilon", 1e-5);
    c->norm = PF_NORM_LN;
    c->act = get_act(k, "activation_function", "gelu_new", false);
    c->pos = PF_POS_LEARNED;
    c->qkv_bias = c->o_bias = c->mlp_bias = c->norm_bias = true;
    c->tied = get_bool(k, "tie_word_embeddings", true);
    c->D = (int)(c->C / c->H);
    if (c->C % c->H)
        fail(k, PF_E_FORMAT, "n_embd", "not a multiple of n_head");
    bool scaled = get_bool(k, "scale_attn_weights", true);
    c->attn_scale = scaled ? (float)(1 / sqrt(c->D)) : 1;
    refuse_true(k, "scale_attn_by_inverse_layer_idx");
    refuse_true(k, "add_cross_attention");
    for (int l = 0; l < c->L; l++)
        c->rope_table[l] = PF_NO_ROPE;
}

static const struct {
    const char *architecture, *model_type;
    pf_family family;
    void (*read)(pf_config *c, keys *k);
} families[] = {
    {"LlamaForCausalLM", "llama", PF_FAMILY_LLAMA, family_llama},
    {"MistralForCausalLM", "mistral", PF_FAMILY_MISTRAL, family_mistral},
    {"Qwen2ForCausalLM", "qwen2", PF_FAMILY_QWEN2, family_qwen2},
    {"Qwen3ForCausalLM", "qwen3", PF_FAMILY_QWEN3, family_qwen3},
    {"SmolLM3ForCausalLM", "smollm3", PF_FAMILY_SMOLLM3, family_smollm3},
    {"GPT2LMHeadModel", "gpt2", PF_FAMILY_GPT2, family_gpt2},
};

/* ---------------------------------------------------------------- load -- */

static void copy_name(char *dst, size_t n, pf_slice s)
{
    size_t len = PF_MIN(s.n, n - 1);
    if (len)
        memcpy(dst, s.p, len);
    dst[len] = 0;
}

/* architectures[0], or model_type where a file names none. */
static int find_family(pf_config *c, keys *k)
{
    pf_jiter it = pf_jiter_of(pf_jget(k->root, "architectures"));
    pf_slice type = pf_jstr(pf_jget(k->root, "model_type")), arch = {NULL, 0};
    if (pf_jtype(pf_jget(k->root, "architectures")) == PF_JSON_ARRAY &&
        pf_jiter_next(&it))
        arch = pf_jstr(it.value);
    copy_name(c->model_type, sizeof c->model_type, type);
    copy_name(c->architecture, sizeof c->architecture, arch);
    for (size_t i = 0; i < PF_COUNTOF(families); i++)
        if (arch.p ? pf_slice_is(arch, families[i].architecture)
                   : type.p && pf_slice_is(type, families[i].model_type))
            return (int)i;
    if (!arch.p && !type.p)
        return pf_err_pos(k->e, PF_E_FORMAT, k->name, 0, -1,
                          "no architectures and no model_type");
    char quoted[80];
    pf_slice s = arch.p ? arch : type;
    return pf_err_pos(k->e, PF_E_USAGE, k->name, 0, -1,
                      "architecture %s is not supported",
                      pf_err_quote(quoted, sizeof quoted, s.p, s.n));
}

static int read_config(pf_config *c, pf_jval root, const char *name, pf_err *e)
{
    keys k = {root, name, e, 0};
    if (pf_jtype(root) != PF_JSON_OBJECT)
        return pf_err_pos(e, PF_E_FORMAT, name, 0, -1, "not a JSON object");
    int f = find_family(c, &k);
    if (f < 0)
        return f;
    c->family = families[f].family;
    copy_name(c->architecture, sizeof c->architecture,
              pf_slice_of(families[f].architecture));
    c->pre_norm = true;
    c->embed_scale = 1;
    c->bos = get_id(&k, "bos_token_id");
    c->eos = get_id(&k, "eos_token_id");
    c->init_range = get_num(&k, root, "initializer_range", 0.02);
    if (!absent(pf_jget(root, "quantization_config")))
        fail(&k, PF_E_USAGE, "quantization_config",
             "quantised weights are not supported");
    families[f].read(c, &k);
    if (c->G == 0 || c->H % c->G)
        fail(&k, PF_E_FORMAT, "num_key_value_heads",
             "does not divide num_attention_heads");
    if ((int64_t)c->H * c->D > MAX_WIDTH)
        fail(&k, PF_E_FORMAT, "head_dim", "not an integer in range");
    if (!(c->eps > 0))
        fail(&k, PF_E_FORMAT, "norm epsilon", "not positive");
    return k.rc;
}

int pf_config_of_json(pf_config *c, pf_slice json, const char *name, pf_err *e)
{
    *c = (pf_config){0};
    pf_jval root;
    pf_json *j = pf_json_new();
    c->json = pf_memdup0(json.p, json.n);
    c->json_n = json.n;
    int rc = j && c->json ? 0 : pf_err_nomem(e);
    if (rc == 0 && (rc = pf_json_parse(j, json, &root, e)) < 0)
        pf_err_at(e, name, 0, -1);
    if (rc == 0)
        rc = read_config(c, root, name, e);
    pf_json_free(j);
    if (rc < 0)
        pf_config_release(c);
    return rc;
}

int pf_config_load(pf_config *c, const char *dir, pf_err *e)
{
    *c = (pf_config){0};
    char *path = pf_path_join(dir, "config.json"), *text = NULL;
    size_t n = 0;
    int rc = path ? 0 : pf_err_nomem(e);
    if (rc == 0)
        rc = pf_read_file(path, CONFIG_MAX, &text, &n, e);
    if (rc == 0)
        rc = pf_config_of_json(c, (pf_slice){text, n}, path, e);
    pf_free(text);
    pf_free(path);
    return rc;
}

void pf_config_release(pf_config *c)
{
    pf_free(c->json);
    *c = (pf_config){0};
}

/* ------------------------------------------------------------ identity -- */

/* Runs of equal numbers: "4096x12,0x2". */
static void add_runs(pf_buf *b, const pf_config *c,
                     int64_t (*of)(const pf_config *, int))
{
    for (int l = 0, n; l < c->L; l += n) {
        for (n = 1; l + n < c->L && of(c, l + n) == of(c, l);)
            n++;
        pf_buf_printf(b, "%s%lldx%d", l ? "," : "", (long long)of(c, l), n);
    }
}

static int64_t window_of(const pf_config *c, int l)
{
    return c->window[l];
}

static int64_t rope_of(const pf_config *c, int l)
{
    return c->rope_table[l];
}

int pf_config_identity(const pf_config *c, pf_ident *id, pf_err *e)
{
    pf_buf b = {0};
    const pf_rope *r = &c->rope[0];
    int rc = pf_ident_set(id, "model.config.architecture", c->architecture, e);
    if (rc == 0)
        rc = pf_ident_setf(id, e, "model.config.shape",
                           "V%lld C%lld I%lld L%d H%d G%d D%d",
                           (long long)c->V, (long long)c->C, (long long)c->I,
                           c->L, c->H, c->G, c->D);
    if (rc == 0)
        rc = pf_ident_setf(id, e, "model.config.norm",
                           "kind %d pre %d post %d parallel %d qk %d eps %.9g",
                           c->norm, c->pre_norm, c->post_norm, c->parallel,
                           c->qk_norm, (double)c->eps);
    if (rc == 0)
        rc = pf_ident_setf(id, e, "model.config.bias", "%d%d%d%d",
                           c->qkv_bias, c->o_bias, c->mlp_bias, c->norm_bias);
    if (rc == 0)
        rc = pf_ident_setf(id, e, "model.config.scales",
                           "act %d attn %.9g cap %.9g %.9g embed %.9g", c->act,
                           (double)c->attn_scale, (double)c->attn_softcap,
                           (double)c->logit_softcap, (double)c->embed_scale);
    if (rc == 0)
        rc = pf_ident_setf(id, e, "model.config.rope",
                           "pos %d kind %d theta %.17g factor %.17g low %.17g "
                           "high %.17g fraction %.17g max %lld",
                           c->pos, r->kind, r->theta, r->factor, r->low_freq,
                           r->high_freq, r->fraction,
                           (long long)r->original_max);
    if (rc == 0) {
        add_runs(&b, c, window_of);
        pf_buf_str(&b, " rope ");
        add_runs(&b, c, rope_of);
        rc = pf_buf_failed(&b)
                 ? pf_err_nomem(e)
                 : pf_ident_set(id, "model.config.window", b.p, e);
    }
    if (rc == 0)
        rc = pf_ident_setf(id, e, "model.config.tied", "%d", c->tied);
    pf_buf_release(&b);
    return rc;
}
