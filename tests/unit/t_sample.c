/* SPDX-License-Identifier: MIT */
#include "golden.h"

#include "model/generate.h"
#include "model/sample.h"

static int32_t next(double temperature, double top_p, int64_t top_k,
                    const float *z, int64_t V, uint64_t at)
{
    pf_sampler s;
    CHECK_OK(pf_sampler_init(&s, temperature, top_p, top_k, 5, V, NULL));
    int32_t id = pf_sampler_next(&s, z, 0, at);
    pf_sampler_release(&s);
    return id;
}

static void test_greedy(void)
{
    static const float z[5] = {1, 4, 3, 4, -2};
    for (uint64_t i = 0; i < 50; i++) {
        CHECK_INT(next(0, 1, 0, z, 5, i), 1); /* the first of equal ones */
        int32_t id = next(1, 1, 1, z, 5, i);  /* top_k keeps ties */
        CHECK(id == 1 || id == 3);
        CHECK_INT(next(1, 1e-9, 0, z, 5, i), 1);
    }
}

/* Frequencies of many draws come near the probabilities. */
static void check_shares(double temperature, double top_p, int64_t top_k,
                         const double *want)
{
    static const float z[4] = {0, 2, 1, -1};
    int count[4] = {0}, n = 20000;
    for (int i = 0; i < n; i++)
        count[next(temperature, top_p, top_k, z, 4, (uint64_t)i)]++;
    for (int v = 0; v < 4; v++) {
        CHECK(fabs((double)count[v] / n - want[v]) < 0.012);
        if (want[v] == 0)
            CHECK_INT(count[v], 0);
    }
}

static void test_shares(void)
{
    /* softmax of (0 2 1 -1) is .0871 .6439 .2369 .0321 */
    check_shares(1, 1, 0, (double[]){.0871, .6439, .2369, .0321});
    check_shares(0.5, 1, 0, (double[]){.0159, .8650, .1171, .0022});
    check_shares(1, 1, 2, (double[]){0, .7311, .2689, 0});
    check_shares(1, .9, 0, (double[]){.09, .6652, .2447, 0});
    check_shares(1, .6, 0, (double[]){0, 1, 0, 0});
}

static void test_refused(void)
{
    pf_sampler s;
    CHECK_INT(pf_sampler_init(&s, -1, 1, 0, 0, 4, NULL), PF_E_USAGE);
    CHECK_INT(pf_sampler_init(&s, NAN, 1, 0, 0, 4, NULL), PF_E_USAGE);
    CHECK_INT(pf_sampler_init(&s, 1, 0, 0, 0, 4, NULL), PF_E_USAGE);
    CHECK_INT(pf_sampler_init(&s, 1, 1.1, 0, 0, 4, NULL), PF_E_USAGE);
    CHECK_INT(pf_sampler_init(&s, 1, 1, -1, 0, 4, NULL), PF_E_USAGE);
}

/* ---------------------------------------------------------- generation -- */

#define MAX_NEW 12

typedef struct taken {
    int32_t id[3][MAX_NEW];
    int n[3];
    int stop_after; /* of sample 0 */
} taken;

static int take(void *ctx, int i, int32_t id, pf_err *e)
{
    (void)e;
    taken *t = ctx;
    CHECK(t->n[i] < MAX_NEW);
    t->id[i][t->n[i]++] = id;
    return i == 0 && t->n[0] == t->stop_after;
}

/* A sample does not depend on how many others there are, nor on one of them
 * ending early. */
static void test_generate(void)
{
    golden g;
    pf_backend *be = NULL;
    pf_model *m = NULL;
    pf_sampler s;
    pf_model_opts o = {0};
    if (!golden_open(&g, "llama"))
        return;
    CHECK_OK(pf_backend_open(&be, "ref", "auto", NULL, NULL));
    CHECK_OK(pf_model_load(&m, g.dir, be, &o, NULL));
    CHECK_OK(pf_sampler_init(&s, 1, 1, 0, 9, 1024, NULL));
    const uint32_t *prompt = g.row[0].ids;
    taken three = {.stop_after = 4}, one = {.stop_after = -1};
    pf_generate run = {.n_sample = 3, .max_new = MAX_NEW, .sampler = &s,
                       .token = take, .ctx = &three};
    CHECK_OK(pf_generate_run(m, &run, prompt, 7, NULL));
    CHECK_INT(three.n[0], 4);
    CHECK_INT(three.n[1], MAX_NEW);
    run.n_sample = 1;
    run.stream = 2;
    run.ctx = &one;
    CHECK_OK(pf_generate_run(m, &run, prompt, 7, NULL));
    CHECK_INT(one.n[0], MAX_NEW);
    CHECK(memcmp(one.id[0], three.id[2], sizeof one.id[0]) == 0);
    CHECK(memcmp(three.id[1], three.id[2], sizeof one.id[0]) != 0);
    CHECK_INT(pf_generate_run(m, &run, prompt, 0, NULL), PF_E_FORMAT);
    CHECK_INT(pf_generate_run(m, &run, prompt, 512, NULL), PF_E_LIMIT);
    static const uint32_t bad[1] = {1024};
    CHECK_INT(pf_generate_run(m, &run, bad, 1, NULL), PF_E_FORMAT);
    OOM_WALK((memset(&one, 0, sizeof one),
              pf_generate_run(m, &run, prompt, 3, NULL)));
    pf_sampler_release(&s);
    pf_model_free(m);
    pf_backend_close(be);
    golden_close(&g);
}

static const pft_test tests[] = {
    {"greedy and its neighbours", test_greedy},
    {"shares of tokens", test_shares},
    {"refused", test_refused},
    {"samples side by side", test_generate},
};

PF_TEST_MAIN(tests)
