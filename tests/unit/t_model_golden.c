/* SPDX-License-Identifier: MIT
 *
 * Log-probabilities and gradients of the f64 oracle and of the cpu backend
 * against transformers in f64, and what must hold for them whatever the
 * numbers: neighbours, sibling answers and sharing of the prompt change no
 * bit. */
#include "golden.h"

static const char *const families[] = {"llama", "gpt2",  "mistral",
                                       "qwen2", "qwen3", "smollm3"};

/* Backends, and how near they must come. transformers computes RMS norms in
 * f32 even in an f64 model: its own rounding is 1.0e-6 here, and up to 3.4e-6
 * in the larger models that tests read through $PF_GOLDEN. */
static const struct {
    const char *name, *dtype;
    double logp, grad, loss;
} *now, backends[] = {
    {"ref", "f64", 5e-6, 1e-5, 1e-7},
    {"cpu", "f32", 1e-4, 1e-4, 1e-4},
};

typedef struct setup {
    pf_backend *be;
    pf_model *m;
    pf_plan plan;
} setup;

static bool open_model(setup *s, const char *dir, bool train, bool again)
{
    memset(s, 0, sizeof *s);
    pf_err e = PF_ERR_INIT;
    pf_model_opts o = {.train = train, .checkpointing = again};
    int rc = pf_backend_open(&s->be, now->name, now->dtype, NULL, &e);
    if (rc == 0)
        rc = pf_model_load(&s->m, dir, s->be, &o, &e);
    if (rc < 0)
        printf("# %s %s\n", e.file, e.msg);
    CHECK_OK(rc);
    return rc == 0;
}

static bool plan_rows(setup *s, const pf_row *row, size_t n)
{
    pf_plan_release(&s->plan);
    int rc = pf_plan_build(&s->plan, row, n, &s->be->caps, 4096, NULL);
    CHECK_OK(rc);
    if (rc == 0)
        rc = pf_model_reserve(s->m, s->plan.max_rows, s->plan.max_head, NULL,
                              NULL);
    CHECK_OK(rc);
    return rc == 0;
}

static void close_model(setup *s)
{
    pf_plan_release(&s->plan);
    pf_model_free(s->m);
    pf_backend_close(s->be);
}

/* got[item][completion token] in f64. */
static void score(setup *s, double *const *got, int only_item)
{
    for (size_t k = 0; k < s->plan.n_block; k++) {
        const pf_block *b = &s->plan.block[k];
        double *lp = calloc((size_t)b->n_target, sizeof *lp);
        pf_forward_out out = {.logp64 = lp};
        CHECK_OK(pf_model_forward(s->m, b, false, NULL, &out, NULL));
        for (int32_t t = 0; t < b->n_target; t++)
            if (only_item < 0 || (int)b->target_item[t] == only_item)
                got[b->target_item[t]][b->target_at[t]] = lp[t];
        free(lp);
    }
}

static double *numbers(const pf_row *r)
{
    return calloc(pf_row_completion(r), sizeof(double));
}

static void check_logps(const char *family)
{
    golden g;
    setup s;
    double *got[GOLDEN_PAIRS], worst = 0;
    if (!golden_open(&g, family) || !open_model(&s, g.dir, false, false) ||
        !plan_rows(&s, g.row, (size_t)g.n))
        return;
    for (int i = 0; i < g.n; i++)
        got[i] = numbers(&g.row[i]);
    score(&s, got, -1);
    for (int i = 0; i < g.n; i++) {
        for (uint64_t t = 0; t < pf_row_completion(&g.row[i]); t++)
            worst = fmax(worst, fabs(got[i][t] - g.want[i][t]));
        free(got[i]);
    }
    printf("# %s on %s: log-probs within %.3g\n", family, now->name, worst);
    CHECK(worst < now->logp);
    close_model(&s);
    golden_close(&g);
}

/* The check for every backend and family at hand. */
static void for_all(void (*check)(const char *family))
{
    for (size_t k = 0; k < PF_COUNTOF(backends); k++) {
        now = &backends[k];
        for (size_t i = 0; i < PF_COUNTOF(families); i++)
            if (golden_has(families[i]))
                check(families[i]);
    }
}

static void test_logps(void)
{
    for_all(check_logps);
}

/* ----------------------------------------------------------- gradients -- */

/* DPO: dL/dlogp of every token of pair i is -+ beta sigmoid(-margin) / n. */
static double dpo_coefs(const golden *g, double *const *lp, double coef[][2])
{
    double loss = 0;
    for (int i = 0; i < g->n; i++) {
        double sum[2] = {0, 0};
        for (uint64_t t = 0; t < pf_row_completion(&g->row[i]); t++)
            sum[t >= g->row[i].b_len[0]] += lp[i][t];
        double u = g->beta * ((sum[0] - g->ref[i][0]) - (sum[1] - g->ref[i][1]));
        loss += (u < 0 ? log1p(exp(u)) - u : log1p(exp(-u))) / g->n;
        double w = g->beta / (1 + exp(u)) / g->n;
        coef[i][0] = -w;
        coef[i][1] = w;
    }
    return loss;
}

static void backward_all(setup *s, const golden *g, double coef[][2])
{
    for (size_t k = 0; k < s->plan.n_block; k++) {
        const pf_block *b = &s->plan.block[k];
        float *d = calloc((size_t)b->n_target, sizeof *d);
        pf_forward_out none = {0};
        for (int32_t t = 0; t < b->n_target; t++) {
            uint32_t i = b->target_item[t];
            d[t] = (float)coef[i][b->target_at[t] >= g->row[i].b_len[0]];
        }
        CHECK_OK(pf_model_forward(s->m, b, true, NULL, &none, NULL));
        CHECK_OK(pf_model_backward(s->m, b, d, NULL));
        CHECK(pf_model_backward(s->m, b, d, NULL) == PF_E_USAGE);
        free(d);
    }
}

/* Relative norm of the difference for each tensor; the largest. */
static double compare_grads(setup *s, const golden *g)
{
    char path[600];
    snprintf(path, sizeof path, "%s/grads.safetensors", g->dir);
    pf_st_file *f = NULL;
    CHECK_OK(pf_st_open(&f, path, NULL));
    size_t n;
    double worst = 0;
    const pf_param *p = pf_model_params(s->m, &n);
    for (size_t i = 0; f && i < n; i++) {
        const pf_st_tensor *t = pf_st_find(f, p[i].name);
        CHECK(t && t->count == p[i].count);
        if (!t || t->count != p[i].count)
            continue;
        float *want = calloc((size_t)t->count, sizeof *want);
        CHECK_OK(pf_st_to_f32(t, 0, t->count, want, NULL));
        double diff = 0, norm = 0;
        for (int64_t k = 0; k < t->count; k++) {
            double d = (s->be->caps.acc_size == 8
                            ? ((const double *)p[i].grad)[k]
                            : ((const float *)p[i].grad)[k]) - want[k];
            diff += d * d;
            norm += (double)want[k] * want[k];
        }
        /* The bias of k changes no softmax: its gradient is rounding noise. */
        double rel = sqrt(diff) / fmax(sqrt(norm), 1e-12);
        if (sqrt(norm) > 1e-12)
            worst = fmax(worst, rel);
        if (sqrt(norm) > 1e-12 && rel > now->grad)
            printf("# %s: %.3g of %.3g\n", p[i].name, rel, sqrt(norm));
        free(want);
    }
    if (f)
        CHECK_INT(pf_st_count(f), n);
    pf_st_close(f);
    return worst;
}

static void check_grads_of(const char *family, bool checkpointing)
{
    golden g;
    setup s;
    double *lp[GOLDEN_PAIRS], coef[GOLDEN_PAIRS][2];
    if (!golden_open(&g, family) || !open_model(&s, g.dir, true, checkpointing) ||
        !plan_rows(&s, g.row, (size_t)g.n))
        return;
    for (int i = 0; i < g.n; i++)
        lp[i] = numbers(&g.row[i]);
    score(&s, lp, -1);
    double loss = dpo_coefs(&g, lp, coef);
    CHECK_NEAR(loss, g.loss, now->loss);
    backward_all(&s, &g, coef);
    double worst = compare_grads(&s, &g);
    printf("# %s on %s: loss off by %.2g, gradients within %.2g\n", family,
           now->name, loss - g.loss, worst);
    CHECK(worst < now->grad);
    for (int i = 0; i < g.n; i++)
        free(lp[i]);
    close_model(&s);
    golden_close(&g);
}

static void check_grads(const char *family)
{
    check_grads_of(family, false);
}

static void test_grads(void)
{
    for_all(check_grads);
}

static void check_again(const char *family)
{
    check_grads_of(family, true);
}

static void test_checkpointing(void)
{
    for_all(check_again);
}

/* ---------------------------------------------------------- invariance -- */

/* Keeping activations, or not, gives the same bits: step 0 of training meets
 * its references exactly. */
static void check_keep(const char *family)
{
    golden g;
    setup s, t;
    if (!golden_open(&g, family) || !open_model(&s, g.dir, false, false) ||
        !open_model(&t, g.dir, true, false) ||
        !plan_rows(&s, g.row, (size_t)g.n) ||
        !plan_rows(&t, g.row, (size_t)g.n))
        return;
    for (size_t k = 0; k < s.plan.n_block; k++) {
        const pf_block *b = &s.plan.block[k];
        size_t n = (size_t)b->n_target;
        float *one = calloc(n, sizeof *one), *two = calloc(n, sizeof *two);
        CHECK_OK(pf_model_forward(s.m, b, false, NULL,
                                  &(pf_forward_out){.logp = one}, NULL));
        CHECK_OK(pf_model_forward(t.m, &t.plan.block[k], true, NULL,
                                  &(pf_forward_out){.logp = two}, NULL));
        CHECK(memcmp(one, two, n * sizeof *one) == 0);
        free(one);
        free(two);
    }
    close_model(&s);
    close_model(&t);
    golden_close(&g);
}

static void test_keep(void)
{
    for_all(check_keep);
}

/* A sequence of prompt + one branch on its own. */
static pf_row alone(const pf_row *r, int k, uint32_t *ids)
{
    uint32_t n = 0, at = r->p_len + (k ? r->b_len[0] : 0);
    for (uint32_t i = 0; i < r->p_len; i++)
        ids[n++] = pf_row_id_at(r, i);
    for (uint32_t i = 0; i < r->b_len[k]; i++)
        ids[n++] = pf_row_id_at(r, at + i);
    return (pf_row){.kind = PF_ROW_SEQ, .id_size = 4, .n_branch = 1,
                    .b_len = {n}, .ids = ids};
}

/* Sharing the prompt gives the bits of two separate sequences. */
static void check_sharing(const char *family)
{
    golden g;
    setup s;
    if (!golden_open(&g, family) || !open_model(&s, g.dir, false, false))
        return;
    uint32_t ids[2][1024];
    for (int i = 0; i < g.n; i++) {
        pf_row both[2] = {alone(&g.row[i], 0, ids[0]),
                          alone(&g.row[i], 1, ids[1])};
        double *shared[1] = {numbers(&g.row[i])};
        double *apart[2] = {numbers(&both[0]), numbers(&both[1])};
        if (plan_rows(&s, &g.row[i], 1))
            score(&s, shared, -1);
        if (plan_rows(&s, both, 2))
            score(&s, apart, -1);
        for (uint32_t k = 0, at = 0; k < 2; k++)
            for (uint32_t t = 0; t < g.row[i].b_len[k]; t++, at++)
                CHECK(shared[0][at] == apart[k][g.row[i].p_len + t]);
        free(shared[0]);
        free(apart[0]);
        free(apart[1]);
    }
    close_model(&s);
    golden_close(&g);
}

static void test_sharing(void)
{
    for_all(check_sharing);
}

/* Poisoning: other tokens in a neighbour row, or in the sibling answer, or
 * later in the same answer, change no bit of a log-probability. */
static void check_poison(const char *family)
{
    golden g;
    setup s;
    if (!golden_open(&g, family) || !open_model(&s, g.dir, false, false))
        return;
    const pf_row *r = &g.row[0];
    uint64_t n = pf_row_tokens(r), cut = r->p_len + r->b_len[0];
    uint32_t *ids = calloc(n, sizeof *ids), *own = calloc(n, sizeof *own);
    double *base[2] = {numbers(r), numbers(&g.row[1])};
    double *got[2] = {numbers(r), numbers(&g.row[1])};
    for (uint64_t i = 0; i < n; i++)
        own[i] = ids[i] = pf_row_id_at(r, i);
    pf_row two[2] = {*r, g.row[1]};
    two[0].ids = ids;
    if (plan_rows(&s, two, 2)) {
        score(&s, base, -1);
        for (uint64_t i = cut; i < n; i++) /* sibling: the rejected answer */
            ids[i] = (ids[i] + 7) % 1024;
        plan_rows(&s, two, 2);
        score(&s, got, -1);
        for (uint32_t t = 0; t < r->b_len[0]; t++)
            CHECK(got[0][t] == base[0][t]);
        CHECK(got[0][r->b_len[0]] != base[0][r->b_len[0]]);
        for (uint64_t t = 0; t < pf_row_completion(&g.row[1]); t++)
            CHECK(got[1][t] == base[1][t]); /* the neighbour row */
        memcpy(ids, own, n * sizeof *ids);
        ids[cut - 3] = (ids[cut - 3] + 1) % 1024; /* near its end */
        plan_rows(&s, two, 2);
        score(&s, got, -1);
        for (uint32_t t = 0; t + 3 < r->b_len[0]; t++)
            CHECK(got[0][t] == base[0][t]);
        CHECK(got[0][r->b_len[0] - 1] != base[0][r->b_len[0] - 1]);
    }
    for (int i = 0; i < 2; i++) {
        free(base[i]);
        free(got[i]);
    }
    free(ids);
    free(own);
    close_model(&s);
    golden_close(&g);
}

static void test_poison(void)
{
    for_all(check_poison);
}

/* --------------------------------------------------------------- decode -- */

/* The logits of a step give the log-probability that forward gives. */
static void check_decode(const char *family)
{
    golden g;
    setup s;
    pf_decode *d = NULL;
    if (!golden_open(&g, family) || !open_model(&s, g.dir, false, false))
        return;
    int64_t V = pf_model_config(s.m)->V;
    float *logits = calloc((size_t)(2 * V), sizeof *logits);
    const pf_row *r = &g.row[0];
    CHECK_OK(pf_decode_new(&d, s.m, 2, 300, NULL));
    uint32_t n = r->p_len + r->b_len[0];
    for (uint32_t i = 0; d && i + 1 < n; i++) {
        /* Sequence 0 starts late: sequence 1 alone must not notice. */
        int32_t feed[2] = {i < 5 ? -1 : (int32_t)pf_row_id_at(r, i - 5),
                           (int32_t)pf_row_id_at(r, i)};
        CHECK_OK(pf_decode_step(d, feed, logits, NULL));
        if (i + 1 < r->p_len)
            continue;
        double max = -INFINITY, sum = 0;
        for (int64_t v = 0; v < V; v++)
            max = fmax(max, (double)logits[V + v]);
        for (int64_t v = 0; v < V; v++)
            sum += exp((double)logits[V + v] - max);
        double lp = (double)logits[V + pf_row_id_at(r, i + 1)] - max - log(sum);
        CHECK_NEAR(lp, g.want[0][i + 1 - r->p_len],
                   now->logp);
    }
    pf_decode_free(d);
    free(logits);
    close_model(&s);
    golden_close(&g);
}

static void test_decode(void)
{
    for_all(check_decode);
}

static const pft_test tests[] = {
    {"log-probabilities of transformers", test_logps},
    {"gradients of transformers", test_grads},
    {"gradients with recomputed layers", test_checkpointing},
    {"keeping activations changes no bit", test_keep},
    {"a shared prompt is exact", test_sharing},
    {"what a row does not see changes no bit", test_poison},
    {"decoding with a cache", test_decode},
};

PF_TEST_MAIN(tests)
