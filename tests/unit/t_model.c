/* SPDX-License-Identifier: MIT
 *
 * Loading, saving, identity and random weights of models; damaged weights;
 * no allocation after reserve. */
#include "golden.h"

#include <unistd.h>

#include "base/bytes.h"

static char root[] = "/tmp/pf_model_XXXXXX";
static const char *const file_names[] = {
    "config.json", "model.safetensors", "a.safetensors", "b.safetensors",
    "model.safetensors.index.json", "pytorch_model.bin"};

static const char *in_root(const char *name)
{
    static char buf[4][128];
    static int i;
    i = (i + 1) % 4;
    snprintf(buf[i], sizeof buf[i], "%s/%s", root, name);
    return buf[i];
}

static void clean(void)
{
    for (size_t i = 0; i < PF_COUNTOF(file_names); i++)
        unlink(in_root(file_names[i]));
}

static void put(const char *name, const char *text)
{
    CHECK_OK(pf_write_file(in_root(name), text, strlen(text), PF_WRITE_REPLACE,
                           NULL));
}

static pf_backend *open_ref(void)
{
    pf_backend *be = NULL;
    CHECK_OK(pf_backend_open(&be, "ref", "auto", NULL, NULL));
    return be;
}

static int load(const char *dir, bool random, uint64_t seed, char *weights,
                pf_err *e)
{
    pf_backend *be = open_ref();
    pf_model *m = NULL;
    pf_ident id = {0};
    pf_model_opts o = {.random = random, .seed = seed};
    int rc = pf_model_load(&m, dir, be, &o, e);
    if (rc == 0 && weights) {
        CHECK_OK(pf_model_identity(m, &id, NULL));
        snprintf(weights, 65, "%s", pf_ident_get(&id, "model.weights"));
    }
    pf_ident_release(&id);
    pf_model_free(m);
    pf_backend_close(be);
    return rc;
}

/* A tiny Llama's tensors, to be written in good and bad ways. */
#define TINY_CONFIG                                                        \
    "{\"model_type\": \"llama\", \"vocab_size\": 6, \"hidden_size\": 4, "    \
    "\"intermediate_size\": 3, \"num_hidden_layers\": 1, "                   \
    "\"num_attention_heads\": 2, \"tie_word_embeddings\": true}"
#define LAYER "model.layers.0."
static float values[64];
static pf_st_out tiny[] = {
    {"model.embed_tokens.weight", PF_DT_F32, 2, {6, 4}, values},
    {LAYER "input_layernorm.weight", PF_DT_F32, 1, {4}, values + 3},
    {LAYER "self_attn.q_proj.weight", PF_DT_F32, 2, {4, 4}, values + 5},
    {LAYER "self_attn.k_proj.weight", PF_DT_F32, 2, {4, 4}, values + 6},
    {LAYER "self_attn.v_proj.weight", PF_DT_F32, 2, {4, 4}, values + 7},
    {LAYER "self_attn.o_proj.weight", PF_DT_F32, 2, {4, 4}, values + 8},
    {LAYER "post_attention_layernorm.weight", PF_DT_F32, 1, {4}, values + 9},
    {LAYER "mlp.gate_proj.weight", PF_DT_F32, 2, {3, 4}, values + 10},
    {LAYER "mlp.up_proj.weight", PF_DT_F32, 2, {3, 4}, values + 11},
    {LAYER "mlp.down_proj.weight", PF_DT_F32, 2, {4, 3}, values + 12},
    {"model.norm.weight", PF_DT_F32, 1, {4}, values + 13},
    {LAYER "self_attn.rotary_emb.inv_freq", PF_DT_F32, 1, {1}, values},
    {"lm_head.weight", PF_DT_F32, 2, {6, 4}, values + 2}, /* tied: not read */
};
#define N_TINY PF_COUNTOF(tiny)

static void write_tiny(const char *name, const pf_st_out *t, size_t n)
{
    for (int i = 0; i < 64; i++)
        values[i] = (float)(i % 7 - 3) / 8;
    pf_err e = PF_ERR_INIT;
    CHECK_OK(pf_st_write(in_root(name), t, n, NULL, NULL, PF_WRITE_REPLACE,
                         &e));
}

static void refused(int code, const char *with)
{
    pf_err e = PF_ERR_INIT;
    CHECK_INT(load(root, false, 0, NULL, &e), code);
    if (!strstr(e.msg, with))
        CHECK_STR(e.msg, with);
}

static void test_damage(void)
{
    pf_st_out t[N_TINY + 1];
    put("config.json", TINY_CONFIG);
    refused(PF_E_IO, "");
    put("pytorch_model.bin", "PK");
    refused(PF_E_USAGE, "pickled weights are not read");
    write_tiny("model.safetensors", tiny, N_TINY);
    CHECK_OK(load(root, false, 0, NULL, NULL));
    write_tiny("model.safetensors", tiny, 10);
    refused(PF_E_FORMAT, "tensor model.norm.weight is missing");
    memcpy(t, tiny, sizeof tiny);
    t[N_TINY] = (pf_st_out){"model.extra", PF_DT_F32, 1, {4}, values};
    write_tiny("model.safetensors", t, N_TINY + 1);
    refused(PF_E_FORMAT, "unknown tensor 'model.extra'");
    memcpy(t, tiny, sizeof tiny);
    t[7].dim[0] = 4;
    write_tiny("model.safetensors", t, N_TINY);
    refused(PF_E_FORMAT, "has shape [4,4], the config wants [3,4]");
    memcpy(t, tiny, sizeof tiny);
    t[7].dtype = PF_DT_I32;
    write_tiny("model.safetensors", t, N_TINY);
    refused(PF_E_FORMAT, "");
    memcpy(t, tiny, sizeof tiny);
    t[N_TINY] = (pf_st_out){"norm.weight", PF_DT_F32, 1, {4}, values};
    write_tiny("model.safetensors", t, N_TINY + 1);
    refused(PF_E_FORMAT, "tensor 'norm.weight' twice");
    clean();
    pf_err e = PF_ERR_INIT;
    CHECK_INT(load("/nonexistent", false, 0, NULL, &e), PF_E_IO);
    CHECK_STR(e.file, "/nonexistent/config.json");
}

#define MAP(body) "{\"weight_map\":{" body "}}"
#define AT(name, part) "\"" name "\":\"" part "\""
#define FIRST_TEN(p)                                                       \
    AT("model.embed_tokens.weight", p) "," AT(LAYER "input_layernorm.weight", p) \
    "," AT(LAYER "self_attn.q_proj.weight", p) ","                           \
    AT(LAYER "self_attn.k_proj.weight", p) ","                               \
    AT(LAYER "self_attn.v_proj.weight", p) ","                               \
    AT(LAYER "self_attn.o_proj.weight", p) ","                               \
    AT(LAYER "post_attention_layernorm.weight", p) ","                       \
    AT(LAYER "mlp.gate_proj.weight", p) "," AT(LAYER "mlp.up_proj.weight", p) \
    "," AT(LAYER "mlp.down_proj.weight", p)

/* Two parts and an index give the model that one file gives. */
static void test_shards(void)
{
    char one[65], two[65];
    put("config.json", TINY_CONFIG);
    write_tiny("model.safetensors", tiny, 11);
    CHECK_OK(load(root, false, 0, one, NULL));
    unlink(in_root("model.safetensors"));
    write_tiny("a.safetensors", tiny, 10);
    write_tiny("b.safetensors", tiny + 10, 1);
    const char *index = "model.safetensors.index.json";
    put(index, MAP(FIRST_TEN("a.safetensors") "," AT("model.norm.weight",
                                                     "b.safetensors")));
    CHECK_OK(load(root, false, 0, two, NULL));
    CHECK_STR(two, one);
    put(index, MAP(FIRST_TEN("a.safetensors") "," AT("model.norm.weight",
                                                     "a.safetensors")));
    refused(PF_E_FORMAT, "weight_map names 11 tensors, the parts hold 10");
    put(index, MAP(FIRST_TEN("b.safetensors")));
    refused(PF_E_FORMAT, "the index does not place it here");
    put(index, MAP(FIRST_TEN("../a.safetensors")));
    refused(PF_E_FORMAT, "not a file name");
    put(index, "{\"weight_map\":3}");
    refused(PF_E_FORMAT, "no weight_map");
    put(index, "{");
    refused(PF_E_FORMAT, "");
    clean();
}

/* GPT-2 as saved from the bare trunk, with the mask buffers of old files. */
static void test_prefix(void)
{
    char want[65], got[65], path[600];
    pf_st_file *f = NULL;
    snprintf(path, sizeof path, "%s/gpt2", golden_root());
    CHECK_OK(load(path, false, 0, want, NULL));
    snprintf(path, sizeof path, "%s/gpt2/model.safetensors", golden_root());
    CHECK_OK(pf_st_open(&f, path, NULL));
    size_t n = pf_st_count(f);
    pf_st_out *t = calloc(n + 1, sizeof *t);
    for (size_t i = 0; i < n; i++) {
        const pf_st_tensor *s = pf_st_at(f, i);
        t[i] = (pf_st_out){s->name + strlen("transformer."), s->dtype,
                           s->n_dims, {0}, s->data};
        memcpy(t[i].dim, s->dim, sizeof s->dim);
    }
    t[n] = (pf_st_out){"h.0.attn.bias", PF_DT_F32, 1, {4}, values};
    CHECK_OK(pf_st_write(in_root("model.safetensors"), t, n + 1, NULL, NULL,
                         PF_WRITE_REPLACE, NULL));
    char *config = NULL;
    size_t len;
    snprintf(path, sizeof path, "%s/gpt2/config.json", golden_root());
    CHECK_OK(pf_read_file(path, 1 << 20, &config, &len, NULL));
    put("config.json", config);
    CHECK_OK(load(root, false, 0, got, NULL));
    CHECK_STR(got, want);
    pf_free(config);
    free(t);
    pf_st_close(f);
    clean();
}

static void check_save(const char *family)
{
    char dir[600], want[65], got[65];
    snprintf(dir, sizeof dir, "%s/%s", golden_root(), family);
    pf_backend *be = open_ref();
    pf_model *m = NULL;
    pf_model_opts o = {0};
    CHECK_OK(load(dir, false, 0, want, NULL));
    CHECK_OK(pf_model_load(&m, dir, be, &o, NULL));
    if (!m)
        return;
    CHECK_OK(pf_model_save(m, root, PF_DT_F32, NULL));
    CHECK_OK(load(root, false, 0, got, NULL));
    CHECK_STR(got, want);

    /* bf16: every value is the rounded one, the config says so. */
    CHECK_OK(pf_model_save(m, root, PF_DT_BF16, NULL));
    pf_st_file *f = NULL;
    CHECK_OK(pf_st_open(&f, in_root("model.safetensors"), NULL));
    size_t n;
    const pf_param *p = pf_model_params(m, &n);
    CHECK_INT(pf_st_count(f), n);
    CHECK(pf_st_find(f, "lm_head.weight") == NULL);
    CHECK_STR(pf_st_meta(f, "format"), "pt");
    for (size_t i = 0; i < n; i++) {
        const pf_st_tensor *t = pf_st_find(f, p[i].name);
        CHECK(t && t->dtype == PF_DT_BF16 && t->n_dims == p[i].n_dims);
        for (int64_t k = 0; t && k < p[i].count; k++)
            if (pf_get_u16((const char *)t->data + 2 * k) !=
                pf_f32_to_bf16(p[i].master[k])) {
                CHECK(!"bf16 value");
                break;
            }
    }
    pf_st_close(f);
    char *config = NULL;
    size_t len;
    CHECK_OK(pf_read_file(in_root("config.json"), 1 << 20, &config, &len,
                          NULL));
    CHECK(config && strstr(config, "\"dtype\": \"bfloat16\""));
    CHECK(config && !strstr(config, "float32"));
    pf_free(config);
    CHECK_INT(pf_model_save(m, root, PF_DT_F16, NULL), PF_E_USAGE);
    pf_model_free(m);
    pf_backend_close(be);
    clean();
}

static void test_save(void)
{
    check_save("llama");
    check_save("gpt2");
}

/* A config without dtype gets one; torch_dtype is replaced in its place. */
static void test_save_config(void)
{
    pf_backend *be = open_ref();
    pf_model_opts o = {.random = true};
    static const char *const before[] = {
        TINY_CONFIG, "{\"torch_dtype\":\"float16\",\"model_type\":\"llama\","
                     "\"vocab_size\":6,\"hidden_size\":4,"
                     "\"intermediate_size\":3,\"num_hidden_layers\":1,"
                     "\"num_attention_heads\":2}"};
    static const char *const after[] = {"\"dtype\": \"float32\",",
                                        "\"torch_dtype\":\"float32\",\"model"};
    for (int i = 0; i < 2; i++) {
        pf_model *m = NULL;
        char *config = NULL;
        size_t len;
        put("config.json", before[i]);
        CHECK_OK(pf_model_load(&m, root, be, &o, NULL));
        CHECK_OK(m ? pf_model_save(m, root, PF_DT_F32, NULL) : -1);
        CHECK_OK(pf_read_file(in_root("config.json"), 1 << 20, &config, &len,
                              NULL));
        CHECK(config && strstr(config, after[i]));
        CHECK_OK(load(root, false, 0, NULL, NULL));
        pf_free(config);
        pf_model_free(m);
    }
    pf_backend_close(be);
    clean();
}

static void test_random(void)
{
    char a[65], b[65], c[65], dir[600];
    snprintf(dir, sizeof dir, "%s/gpt2", golden_root());
    CHECK_OK(load(dir, true, 7, a, NULL));
    CHECK_OK(load(dir, true, 7, b, NULL));
    CHECK_OK(load(dir, true, 8, c, NULL));
    CHECK_STR(a, b);
    CHECK(strcmp(a, c) != 0);
    pf_backend *be = open_ref();
    pf_model *m = NULL;
    pf_model_opts o = {.random = true, .seed = 1};
    CHECK_OK(pf_model_load(&m, dir, be, &o, NULL));
    size_t n = 0;
    const pf_param *p = m ? pf_model_params(m, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        double sum = 0, square = 0;
        for (int64_t k = 0; k < p[i].count; k++) {
            sum += p[i].master[k];
            square += (double)p[i].master[k] * p[i].master[k];
        }
        double N = (double)p[i].count, std = sqrt(square / N);
        CHECK(p[i].decay == (p[i].n_dims == 2));
        if (p[i].n_dims == 2) /* 0.02, and 0.02 / sqrt(2 L) for c_proj */
            CHECK(fabs(std / (strstr(p[i].name, "c_proj") ? 0.01 : 0.02) - 1) <
                      0.1 &&
                  fabs(sum / N) < 0.1 * std);
        else
            CHECK(sum == (strstr(p[i].name, ".weight") ? N : 0));
    }
    pf_model_free(m);
    pf_backend_close(be);
}

/* Everything that forward and backward need was had by reserve. */
static void test_no_allocation(void)
{
    golden g;
    pf_plan plan = {0};
    pf_model *m = NULL;
    pf_backend *be = open_ref();
    pf_model_opts o = {.train = true};
    if (!golden_open(&g, "llama"))
        return;
    CHECK_OK(pf_model_load(&m, g.dir, be, &o, NULL));
    CHECK_OK(pf_plan_build(&plan, g.row, 1, &be->caps, 512, NULL));
    pf_forward_out out = {0};
    pf_err e = PF_ERR_INIT;
    const pf_block *b = &plan.block[0];
    float *coef = calloc((size_t)b->n_target, sizeof *coef);
    CHECK_INT(pf_model_forward(m, b, true, NULL, &out, &e), PF_E_LIMIT);
    uint64_t bytes = 0;
    CHECK_OK(pf_model_reserve(m, plan.max_rows, plan.max_head, &bytes, NULL));
    CHECK(bytes > 0);
    uint64_t before = pf_mem_count();
    CHECK_OK(pf_model_reserve(m, 1, 1, NULL, NULL));
    CHECK_OK(pf_model_forward(m, b, true, NULL, &out, NULL));
    CHECK_OK(pf_model_backward(m, b, coef, NULL));
    pf_model_zero_grad(m);
    pf_model_refresh(m);
    CHECK_INT(pf_mem_count(), before);
    b->tok[1] = 1024;
    pf_err_clear(&e);
    CHECK_INT(pf_model_forward(m, b, true, NULL, &out, &e), PF_E_FORMAT);
    CHECK(strstr(e.msg, "token id 1024"));
    free(coef);
    pf_plan_release(&plan);
    pf_model_free(m);
    pf_backend_close(be);
    golden_close(&g);
}

static int load_and_save(void)
{
    pf_backend *be = NULL;
    pf_model *m = NULL;
    pf_decode *d = NULL;
    pf_ident id = {0};
    pf_model_opts o = {.train = true};
    int rc = pf_backend_open(&be, "ref", "auto", NULL, NULL);
    if (rc == 0)
        rc = pf_model_load(&m, root, be, &o, NULL);
    if (rc == 0)
        rc = pf_model_reserve(m, 20, 5, NULL, NULL);
    if (rc == 0)
        rc = pf_decode_new(&d, m, 2, 10, NULL);
    if (rc == 0)
        rc = pf_model_identity(m, &id, NULL);
    if (rc == 0)
        rc = pf_model_save(m, root, PF_DT_F32, NULL);
    if (rc == 0)
        rc = pf_model_save_grads(m, in_root("a.safetensors"), NULL);
    pf_ident_release(&id);
    pf_decode_free(d);
    pf_model_free(m);
    pf_backend_close(be);
    return rc;
}

static void test_oom(void)
{
    put("config.json", TINY_CONFIG);
    write_tiny("model.safetensors", tiny, N_TINY);
    OOM_WALK(load_and_save());
    clean();
    rmdir(root);
}

static void test_start(void)
{
    CHECK(mkdtemp(root) != NULL);
}

static const pft_test tests[] = {
    {"a place for files", test_start},
    {"weights that do not fit are named", test_damage},
    {"sharded weights", test_shards},
    {"GPT-2 without its prefix", test_prefix},
    {"save", test_save},
    {"save: dtype in the config", test_save_config},
    {"random weights", test_random},
    {"no allocation after reserve", test_no_allocation},
    {"out of memory", test_oom},
};

PF_TEST_MAIN(tests)
