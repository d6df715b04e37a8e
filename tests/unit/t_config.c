/* SPDX-License-Identifier: MIT */
#include "model/config.h"

#include "../pftest.h"

static int parse(pf_config *c, const char *json, pf_err *e)
{
    return pf_config_of_json(c, pf_slice_of(json), "config.json", e);
}

static void refused(const char *json, int code, const char *with)
{
    pf_config c;
    pf_err e = PF_ERR_INIT;
    CHECK_INT(parse(&c, json, &e), code);
    CHECK_STR(e.file, "config.json");
    if (!strstr(e.msg, with))
        CHECK_STR(e.msg, with);
    CHECK(c.json == NULL);
}

/* A file that says nothing takes the defaults of its class. */
static void test_defaults(void)
{
    pf_config c;
    CHECK_OK(parse(&c, "{\"model_type\":\"llama\"}", NULL));
    CHECK_STR(c.architecture, "LlamaForCausalLM");
    CHECK_INT(c.V, 32000);
    CHECK_INT(c.I, 11008);
    CHECK_INT(c.G, 32);
    CHECK_INT(c.D, 128);
    CHECK(!c.tied && !c.qkv_bias && c.norm == PF_NORM_RMS);
    CHECK_NEAR(c.rope[0].theta, 1e4, 0);
    CHECK_NEAR(c.eps, 1e-6, 1e-12);
    CHECK_INT(c.eos, -1);
    pf_config_release(&c);
    CHECK_OK(parse(&c, "{\"architectures\":[\"GPT2LMHeadModel\"]}", NULL));
    CHECK_INT(c.V, 50257);
    CHECK_INT(c.I, 3072);
    CHECK_INT(c.max_pos, 1024);
    CHECK(c.tied && c.norm_bias && c.pos == PF_POS_LEARNED);
    CHECK_INT(c.act, PF_ACT_GELU_TANH);
    pf_config_release(&c);
    CHECK_OK(parse(&c, "{\"model_type\":\"mistral\",\"sliding_window\":null}",
                   NULL));
    CHECK_INT(c.window[0], 0);
    CHECK_INT(c.G, 8);
    pf_config_release(&c);
    CHECK_OK(parse(&c, "{\"model_type\":\"mistral\"}", NULL));
    CHECK_INT(c.window[31], 4096);
    pf_config_release(&c);
    CHECK_OK(parse(&c, "{\"model_type\":\"qwen3\",\"hidden_size\":1024,"
                       "\"num_attention_heads\":16,\"num_key_value_heads\":8}",
                   NULL));
    CHECK_INT(c.D, 128); /* not 1024 / 16 */
    CHECK(c.qk_norm == PF_QK_HEAD && !c.qkv_bias);
    pf_config_release(&c);
}

/* rope_theta beside rope_scaling (transformers 4) and rope_parameters (5). */
static void test_rope(void)
{
    pf_config a, b;
    CHECK_OK(parse(&a,
                   "{\"model_type\":\"llama\",\"rope_theta\":500000.0,"
                   "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
                   "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
                   "\"original_max_position_embeddings\":8192}}",
                   NULL));
    CHECK_OK(parse(&b,
                   "{\"model_type\":\"llama\",\"rope_parameters\":"
                   "{\"rope_theta\":500000.0,\"rope_type\":\"llama3\","
                   "\"factor\":8.0,\"low_freq_factor\":1.0,"
                   "\"high_freq_factor\":4.0,"
                   "\"original_max_position_embeddings\":8192}}",
                   NULL));
    CHECK(memcmp(&a.rope[0], &b.rope[0], sizeof a.rope[0]) == 0);
    CHECK_INT(a.rope[0].kind, PF_ROPE_LLAMA3);
    CHECK_INT(a.rope[0].original_max, 8192);
    pf_config_release(&a);
    pf_config_release(&b);
    CHECK_OK(parse(&a,
                   "{\"model_type\":\"llama\",\"rope_scaling\":"
                   "{\"type\":\"linear\",\"factor\":2}}",
                   NULL));
    CHECK_INT(a.rope[0].kind, PF_ROPE_LINEAR);
    pf_config_release(&a);
}

static void test_layers(void)
{
    pf_config c;
    CHECK_OK(parse(&c,
                   "{\"model_type\":\"qwen2\",\"num_hidden_layers\":3,"
                   "\"use_sliding_window\":true,\"sliding_window\":9,"
                   "\"layer_types\":[\"full_attention\",\"sliding_attention\","
                   "\"full_attention\"]}",
                   NULL));
    CHECK_INT(c.window[0], 0);
    CHECK_INT(c.window[1], 9);
    pf_config_release(&c);
    CHECK_OK(parse(&c,
                   "{\"model_type\":\"smollm3\",\"num_hidden_layers\":4}",
                   NULL));
    CHECK_INT(c.rope_table[2], 0);
    CHECK_INT(c.rope_table[3], PF_NO_ROPE);
    pf_config_release(&c);
}

static void test_refused(void)
{
    refused("{\"architectures\":[\"MixtralForCausalLM\"]}", PF_E_USAGE,
            "architecture 'MixtralForCausalLM' is not supported");
    refused("{\"model_type\":\"t5\"}", PF_E_USAGE, "'t5'");
    refused("{}", PF_E_FORMAT, "no architectures");
    refused("[1]", PF_E_FORMAT, "not a JSON object");
    refused("{\"model_type\":", PF_E_FORMAT, "");
    refused("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"yarn\"}}",
            PF_E_USAGE, "scaling 'yarn'");
    refused("{\"model_type\":\"llama\",\"hidden_act\":\"relu\"}", PF_E_USAGE,
            "activation 'relu'");
    refused("{\"model_type\":\"llama\",\"quantization_config\":{}}",
            PF_E_USAGE, "quantization_config");
    refused("{\"model_type\":\"llama\",\"vocab_size\":\"many\"}", PF_E_FORMAT,
            "vocab_size");
    refused("{\"model_type\":\"llama\",\"hidden_size\":-4}", PF_E_FORMAT,
            "hidden_size");
    refused("{\"model_type\":\"llama\",\"num_hidden_layers\":513}",
            PF_E_FORMAT, "num_hidden_layers");
    refused("{\"model_type\":\"llama\",\"num_key_value_heads\":5}",
            PF_E_FORMAT, "does not divide");
    refused("{\"model_type\":\"llama\",\"num_attention_heads\":0}",
            PF_E_FORMAT, "num_attention_heads");
    refused("{\"model_type\":\"llama\",\"rms_norm_eps\":0}", PF_E_FORMAT,
            "epsilon");
    refused("{\"model_type\":\"gpt2\",\"n_head\":7}", PF_E_FORMAT, "n_embd");
    refused("{\"model_type\":\"gpt2\",\"scale_attn_by_inverse_layer_idx\":true"
            "}", PF_E_USAGE, "scale_attn_by_inverse_layer_idx");
    refused("{\"model_type\":\"qwen2\",\"layer_types\":[\"full_attention\"]}",
            PF_E_FORMAT, "layer_types");
    pf_config c;
    pf_err e = PF_ERR_INIT;
    CHECK_INT(pf_config_load(&c, "/nonexistent/model", &e), PF_E_IO);
    CHECK_STR(e.file, "/nonexistent/model/config.json");
}

static void test_identity(void)
{
    pf_config a, b;
    pf_ident x = {0}, y = {0};
    CHECK_OK(parse(&a, "{\"model_type\":\"llama\",\"dtype\":\"float32\"}",
                   NULL));
    CHECK_OK(parse(&b, "{\"model_type\":\"llama\",\"rms_norm_eps\":1e-5}",
                   NULL));
    CHECK_OK(pf_config_identity(&a, &x, NULL));
    CHECK_OK(pf_config_identity(&b, &y, NULL));
    CHECK_INT(pf_ident_diff(&x, &y, NULL, NULL), 1);
    CHECK_OK(pf_config_identity(&a, &y, NULL));
    CHECK_INT(pf_ident_diff(&x, &y, NULL, NULL), 0);
    pf_ident_release(&x);
    pf_ident_release(&y);
    pf_config_release(&a);
    pf_config_release(&b);
}

static int once(void)
{
    pf_config c;
    int rc = parse(&c, "{\"model_type\":\"gpt2\",\"n_layer\":2}", NULL);
    if (rc == 0)
        pf_config_release(&c);
    return rc;
}

static void test_oom(void)
{
    OOM_WALK(once());
}

static const pft_test tests[] = {
    {"class defaults", test_defaults},
    {"rope keys of two generations", test_rope},
    {"windows and layers without rope", test_layers},
    {"refused", test_refused},
    {"identity", test_identity},
    {"out of memory", test_oom},
};

PF_TEST_MAIN(tests)
