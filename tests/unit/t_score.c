/* SPDX-License-Identifier: MIT
 *
 * Scoring: the places of log-probs, sums, company, and the flows of refscore
 * with a small model. Runs in the repository's root. */
#include "tests/pftest.h"

#include <stdio.h>

#include "score/score.h"
#include "shard_fixture.h"
#include "tools/refscore_int.h"

#define MODEL "tests/golden/models/llama"

static pf_backend *be;
static pf_model *model;
static pf_scorer *scorer;
static uint32_t vocab;

static void t_open(void)
{
    pf_err e = PF_ERR_INIT;
    pf_model_opts o = {0};
    CHECK_OK(pf_backend_open(&be, "cpu", "f32", NULL, &e));
    int rc = pf_model_load(&model, MODEL, be, &o, &e);
    if (rc < 0)
        printf("# %s: %s\n", e.file, e.msg);
    CHECK_INT(rc, 0);
    CHECK_OK(pf_scorer_new(&scorer, model, &e));
    vocab = (uint32_t)pf_model_config(model)->V;
    CHECK_INT(pf_scorer_check_vocab(scorer, vocab, &e), 0);
    CHECK_INT(pf_scorer_check_vocab(scorer, vocab + 1, NULL), PF_E_IDENTITY);
}

enum { N = 7 };

/* Alone or in company: the same bits, in their places; sums in f64. */
static void t_company(void)
{
    static fx_row f[N];
    static float all[N * 3 * FX_MAX], one[3 * FX_MAX];
    double sum[N * 2], own[2];
    pf_row row[N];
    pf_err e = PF_ERR_INIT;
    for (uint64_t i = 0; i < N; i++) {
        fx_make(&f[i], PF_ROW_PAIR, vocab, i);
        row[i] = f[i].row;
    }
    int rc = pf_score_rows(scorer, row, N, all, sum, &e);
    if (rc < 0)
        printf("# %s\n", e.msg);
    CHECK_INT(rc, 0);
    const float *t = all;
    for (int i = 0; i < N; i++) {
        size_t n = (size_t)pf_row_completion(&row[i]);
        CHECK_OK(pf_score_rows(scorer, &row[i], 1, one, own, &e));
        CHECK(memcmp(one, t, 4 * n) == 0);
        CHECK(memcmp(own, sum + 2 * i, 16) == 0);
        double s = 0;
        for (uint32_t k = 0; k < row[i].b_len[0]; k++) {
            CHECK(t[k] < 0);
            s += (double)t[k];
        }
        CHECK(s == own[0]);
        t += n;
    }
    fx_make(&f[0], PF_ROW_SEQ, vocab, 0);
    CHECK_INT(pf_score_rows(scorer, &f[0].row, 1, one, own, NULL),
              PF_E_USAGE);
}

static int stop_after, calls;
static int stop(void)
{
    return stop_after && ++calls > stop_after ? 15 : 0;
}

static int land(const char *from, const char *dir, bool resume, int stop_at,
                pf_err *e)
{
    char name[] = "refscore", *argv[] = {name};
    pf_rows_in *in = NULL;
    pf_refscore r = {.name = "m", .dir = dir, .resume = resume,
                     .stopped = stop};
    stop_after = stop_at;
    calls = 0;
    int rc = pf_scorer_new(&r.scorer, model, e);
    if (rc == 0)
        rc = pf_scorer_identity(r.scorer, &r.ident, e);
    if (rc == 0 && !from)
        rc = pf_refscore_in_place(&r, e);
    else if (rc == 0)
        rc = pf_rows_in_open(&in, from, e);
    if (rc == 0 && from)
        rc = pf_refscore_filter(&r, in, 1, argv, e);
    pf_rows_in_close(in);
    pf_refscore_release(&r);
    return rc;
}

static bool same_sums(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    CHECK_OK(pf_read_file(a, 1 << 20, &x, &n, NULL));
    CHECK_OK(pf_read_file(b, 1 << 20, &y, &m, NULL));
    bool ok = n == m && x && y && memcmp(x, y, n) == 0;
    pf_free(x);
    pf_free(y);
    return ok;
}

/* A pipe, a pipe stopped and resumed, and a set scored in its place. */
static void t_landing(void)
{
    pf_err e = PF_ERR_INIT;
    const char *s = fx_path("s.prf"), *a = fx_path("a"), *b = fx_path("b");
    CHECK_OK(fx_write_file(s, PF_ROW_PAIR, vocab, 1100, 0, &e));
    CHECK_OK(land(s, a, false, 0, &e));
    CHECK_INT(land(s, b, false, 1, NULL), PF_E_IO);
    CHECK_INT(pf_set_open(&(pf_set *){0}, b, NULL, NULL), PF_E_IO);
    CHECK_OK(land(s, b, true, 1, &e)); /* the second batch alone is left */
    CHECK(same_sums(fx_path("a/SHA256SUMS"), fx_path("b/SHA256SUMS")));
    CHECK_OK(land(s, b, true, 1, &e)); /* nothing to do */
    CHECK_OK(pf_set_verify(b, &e));
    pf_rows_out_opts o = {.dir = fx_path("c")};
    CHECK_OK(fx_write(&o, PF_ROW_PAIR, vocab, 1100, 0, NULL, &e));
    CHECK_INT(land(NULL, o.dir, false, 1, NULL), PF_E_IO);
    CHECK_OK(land(NULL, o.dir, true, 1, &e));
    CHECK(same_sums(fx_path("a/SHA256SUMS"), fx_path("c/SHA256SUMS")));
    CHECK_INT(land(s, a, false, 0, NULL), PF_E_IO);
    if (e.code)
        printf("# %s: %s\n", e.file, e.msg);
}

static void t_close(void)
{
    pf_scorer_free(scorer);
    pf_model_free(model);
    pf_backend_close(be);
    fx_remove_dir(fx_tmp());
}

static const pft_test tests[] = {
    {"a model", t_open},
    {"rows alone and in company", t_company},
    {"landing, resuming, in place", t_landing},
    {"clean", t_close},
};
PF_TEST_MAIN(tests)
