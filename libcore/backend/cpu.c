/* SPDX-License-Identifier: MIT
 *
 * The CPU backend: opening, memory, scratch and the table of operations. See
 * cpu_int.h for how the parts hang together. */
#include "backend/cpu.h"
#include "backend/cpu_int.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* Changes when results of any kernel change to the bit: part of identity. */
#define KERNEL_VERSION 1

/* -------------------------------------------------------------- memory -- */

static void *cpu_alloc(pf_backend *be, size_t bytes)
{
    (void)be;
    return pf_alloc_big(bytes);
}

static void cpu_free(pf_backend *be, void *p, size_t bytes)
{
    (void)be;
    pf_free_big(p, bytes);
}

static void cpu_copy(pf_backend *be, void *dst, const void *src, size_t n)
{
    (void)be;
    if (n)
        memcpy(dst, src, n);
}

static void cpu_zero(pf_backend *be, void *p, size_t n)
{
    (void)be;
    if (n)
        memset(p, 0, n);
}

static void cpu_sync(pf_backend *be)
{
    (void)be;
}

/* ------------------------------------------------------------- scratch -- */

/* Replaces *mem when it must grow; its content is not kept. */
static bool grow(char **mem, size_t *have, int64_t floats, size_t times)
{
    size_t each, old, all;
    if (floats < 0 || !pf_mul((size_t)floats, sizeof(float), &each) ||
        !pf_add(each, 255, &each))
        return false;
    each &= ~(size_t)255;
    if (each <= *have)
        return true;
    if (!pf_mul(each, times, &all) || !pf_mul(*have, times, &old))
        return false;
    char *p = pf_alloc_big(all);
    if (!p)
        return false;
    pf_free_big(*mem, old);
    *mem = p;
    *have = each;
    return true;
}

bool pf_cpu_fit(pf_cpu_be *c, const pf_cpu_need *n)
{
    static void (*const needs[])(const pf_cpu_be *, int64_t *, int64_t *) = {
        pf_cpu_linear_need, pf_cpu_layer_need, pf_cpu_attn_need,
        pf_cpu_head_need};
    pf_cpu_be want = *c;
    want.max_rows = PF_MAX(c->max_rows, n->rows);
    want.head_rows = PF_MAX(c->head_rows, n->head_rows);
    want.max_k = PF_MAX(c->max_k, n->k);
    want.heads = PF_MAX(c->heads, n->heads);
    want.kv_heads = PF_MAX(c->kv_heads, n->kv_heads);
    want.head_dim = PF_MAX(c->head_dim, n->head_dim);
    want.width = PF_MAX(c->width, n->width);
    want.vocab = PF_MAX(c->vocab, n->vocab);
    want.train = c->train || n->train;
    int64_t each = 0, shared = 0;
    for (size_t i = 0; i < PF_COUNTOF(needs); i++) {
        int64_t e = 0, s = 0;
        needs[i](&want, &e, &s);
        each = PF_MAX(each, e);
        shared = PF_MAX(shared, s);
    }
    if (!grow(&want.thread_mem, &want.each, each, (size_t)c->threads))
        return false;
    c->thread_mem = want.thread_mem;
    c->each = want.each;
    if (!grow(&want.shared_mem, &want.shared, shared, 1))
        return false;
    *c = want;
    return true;
}

static int cpu_reserve(pf_backend *be, int64_t max_rows, int64_t head_rows,
                       int H, int G, int D, int64_t C, int64_t I, int64_t V,
                       bool train, pf_err *e)
{
    pf_cpu_need n = {.rows = max_rows,
                     .head_rows = head_rows,
                     .k = PF_MAX(C, I),
                     .heads = H,
                     .kv_heads = G,
                     .head_dim = D,
                     .width = PF_MAX(C, (int64_t)H * D),
                     .vocab = V,
                     .train = train};
    return pf_cpu_fit(pf_cpu_of(be), &n) ? 0 : pf_err_nomem(e);
}

/* ---------------------------------------------------------------- open -- */

static const pf_ops cpu_ops = {
    .alloc = cpu_alloc,
    .free = cpu_free,
    .copy_in = cpu_copy,
    .copy_out = cpu_copy,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .sync = cpu_sync,
    .reserve = cpu_reserve,
    .weight_new = pf_cpu_weight_new,
    .weight_free = pf_cpu_weight_free,
    .weight_pack = pf_cpu_weight_pack,
    .linear = pf_cpu_linear,
    .linear_add = pf_cpu_linear_add,
    .linear_dgrad = pf_cpu_linear_dgrad,
    .linear_wgrad = pf_cpu_linear_wgrad,
    .embed = pf_cpu_embed,
    .embed_bwd = pf_cpu_embed_bwd,
    .norm = pf_cpu_norm,
    .norm_bwd = pf_cpu_norm_bwd,
    .norm_add = pf_cpu_norm_add,
    .norm_add_bwd = pf_cpu_norm_add_bwd,
    .qk_norm = pf_cpu_qk_norm,
    .qk_norm_bwd = pf_cpu_qk_norm_bwd,
    .rope = pf_cpu_rope,
    .attn = pf_cpu_attn,
    .attn_bwd = pf_cpu_attn_bwd,
    .attn_decode = pf_cpu_attn_decode,
    .act = pf_cpu_act,
    .act_bwd = pf_cpu_act_bwd,
    .head = pf_cpu_head,
    .head_bwd = pf_cpu_head_bwd,
    .logits = pf_cpu_logits,
    .cast = pf_cpu_cast,
    .add = pf_cpu_add,
    .sumsq = pf_cpu_sumsq,
    .optim = pf_cpu_optim,
};

static void cpu_close(pf_backend *be)
{
    pf_cpu_be *c = pf_cpu_of(be);
    pf_free_big(c->thread_mem, c->each * (size_t)c->threads);
    pf_free_big(c->shared_mem, c->shared);
    pf_free(c);
}

static void choose_kernels(pf_cpu_be *c, pf_cpu tier)
{
    c->gemm = &pf_gemm_portable;
    c->rows = &pf_rows_portable;
#if defined(__x86_64__)
    if (tier >= PF_CPU_AVX512) {
        c->gemm = &pf_gemm_avx512;
        c->rows = &pf_rows_avx512;
    } else if (tier >= PF_CPU_AVX2) {
        c->gemm = &pf_gemm_avx2;
        c->rows = &pf_rows_avx2;
    }
#endif
}

int pf_backend_cpu_open(pf_backend **out, const char *dtype, pf_pool *pool,
                        pf_err *e)
{
    *out = NULL;
    if (strcmp(dtype, "bf16") == 0)
        return pf_err_set(e, PF_E_USAGE,
                          "dtype bf16 on the cpu backend needs AMX kernels, "
                          "which are not built: use f32");
    if (strcmp(dtype, "auto") != 0 && strcmp(dtype, "f32") != 0)
        return pf_err_set(e, PF_E_USAGE,
                          "unknown dtype \"%s\": auto and f32 are known on "
                          "the cpu backend", dtype);
    pf_cpu_be *c = pf_calloc(1, sizeof *c);
    if (!c)
        return pf_err_nomem(e);
    pf_cpu tier = pf_cpu_tier();
    choose_kernels(c, tier);
    c->threads = pool ? pf_pool_threads(pool) : 1;
    c->base.ops = &cpu_ops;
    c->base.pool = pool;
    c->base.close = cpu_close;
    c->base.caps = (pf_caps){.name = "cpu",
                             .dtype = "float32",
                             .act_size = sizeof(float),
                             .acc_size = sizeof(float),
                             .n_class = 4,
                             .block_rows = {1024, 2048, 4096, 8192}};
    snprintf(c->base.caps.kernel_id, sizeof c->base.caps.kernel_id,
             "cpu/%d/%s/f32", KERNEL_VERSION, pf_cpu_name(tier));
    *out = &c->base;
    return 0;
}
