/* SPDX-License-Identifier: MIT
 *
 * Losses: every closed form against finite differences in double, the
 * constants of step 0, and the options each loss takes. */
#include "train/loss.h"

#include "tests/pftest.h"

static pf_loss_args args_of(const char *name, double eps)
{
    pf_loss_args a = {.beta = 0.1, .label_smoothing = eps,
                      .discopop_tau = 0.05, .n_kind = 1, .weight = {1}};
    a.kind[0] = pf_loss_find(name);
    return a;
}

static double eps_of(const pf_loss_kind *k)
{
    return k->flags & PF_LOSS_SMOOTHING ? 0.1 : 0;
}

/* Points that reach both sides of every kink and tail. */
static pf_loss_x point(int i)
{
    static const double c[] = {-43.25, -12.5, -300, -2.125, -80};
    static const double r[] = {-40, -12.5, -18.5, -250, -81};
    int j = i % 5, k = i / 5 % 5;
    pf_loss_x x = {.logp = {c[j], r[k]}, .ref = {c[k] * 0.875, r[j] * 1.125},
                   .n = {3 + j, 11 - k}};
    return x;
}

static double sum_at(const pf_loss_args *a, pf_loss_x x, int b, double h)
{
    double L, d[1][PF_LOSS_K];
    x.logp[b] += h;
    pf_loss_run(a, &x, 1, &L, d);
    return L;
}

static void check_derivative(const pf_loss_args *a, const char *name)
{
    for (int i = 0; i < 25; i++) {
        pf_loss_x x = point(i);
        double L, d[1][PF_LOSS_K];
        pf_loss_run(a, &x, 1, &L, d);
        if (!(L < 1e12))
            continue; /* exp(-u) of discopop: no digits left to compare */
        for (int b = 0; b < PF_LOSS_K; b++) {
            double h = 1e-4;
            /* fourth-order central difference */
            double fd = (8 * (sum_at(a, x, b, h) - sum_at(a, x, b, -h)) -
                         (sum_at(a, x, b, 2 * h) - sum_at(a, x, b, -2 * h))) /
                        (12 * h);
            double tol = 1e-7 * fmax(fabs(d[0][b]), 1e-4 * (1 + fabs(L)));
            if (!(fabs(fd - d[0][b]) <= tol)) {
                printf("# %s point %d branch %d: %.12g, want %.12g\n", name,
                       i, b, d[0][b], fd);
                CHECK(!"derivative");
            }
        }
    }
}

static void test_derivatives(void)
{
    int built = 0;
    for (const pf_loss_kind *k = pf_loss_kinds(); k->name; k++) {
        if (!k->fn)
            continue;
        pf_loss_args a = args_of(k->name, eps_of(k));
        CHECK_OK(pf_loss_check(&a, NULL));
        check_derivative(&a, k->name);
        built++;
    }
    CHECK_INT(built, 13);
}

static void test_mix(void)
{
    pf_loss_args a = args_of("sigmoid", 0);
    a.n_kind = 3;
    a.kind[1] = pf_loss_find("ipo");
    a.kind[2] = pf_loss_find("bco_pair");
    a.weight[0] = 1;
    a.weight[1] = 0.25;
    a.weight[2] = -0.5;
    check_derivative(&a, "mix");
    /* equal to the weighted sum, over more rows than one piece */
    enum { N = 150 };
    static pf_loss_x x[N];
    static double L[N], d[N][PF_LOSS_K], want[N], d1[N][PF_LOSS_K], L1[N];
    for (int i = 0; i < N; i++)
        x[i] = point(i);
    pf_loss_run(&a, x, N, L, d);
    memset(want, 0, sizeof want);
    for (size_t k = 0; k < 3; k++) {
        a.kind[k]->fn(&a, x, N, L1, d1);
        for (int i = 0; i < N; i++)
            want[i] += a.weight[k] * L1[i];
    }
    for (int i = 0; i < N; i++)
        CHECK_NEAR(L[i], want[i], 1e-15);
}

/* Step 0 under beta .1, label_smoothing .1 (recomputed from the formulas and
 * equal to what TRL 1.16 logs). */
static void test_at_zero(void)
{
    static const struct {
        const char *name;
        double want;
    } t[] = {
        {"sigmoid", 0.69314718055994531}, {"cdpo", 0.69314718055994531},
        {"robust", 0.69314718055994531},  {"sigmoid_norm", 0.69314718055994531},
        {"hinge", 1},                     {"ipo", 25},
        {"exo_pair", 0.51082562376599072}, {"nca_pair", 1.3862943611198906},
        {"bco_pair", 1.3862943611198906}, {"sppo_hard", 50},
        {"apo_zero", 1},                  {"apo_down", 1},
        {"discopop", 0.34657359027997264 + 0.5},
    };
    for (size_t i = 0; i < PF_COUNTOF(t); i++) {
        const pf_loss_kind *k = pf_loss_find(t[i].name);
        CHECK(k && k->fn);
        if (!k || !k->fn)
            continue;
        pf_loss_args a = args_of(t[i].name, eps_of(k));
        CHECK_NEAR(pf_loss_at_zero(&a), t[i].want, 1e-14);
    }
    pf_loss_args a = args_of("sigmoid", 0);
    CHECK(pf_loss_at_zero(&a) == log(2));
}

static void test_tails(void)
{
    pf_loss_args a = args_of("sigmoid", 0);
    pf_loss_x x = {.logp = {-1e5, 0}, .ref = {0, -1e5}, .n = {1, 1}};
    double L, d[1][PF_LOSS_K];
    pf_loss_run(&a, &x, 1, &L, d);
    CHECK_NEAR(L, 2e4, 1e-12);
    CHECK_NEAR(d[0][0], -0.1, 1e-12);
    x = (pf_loss_x){.logp = {1e5, -2e5}, .ref = {0, -1e5}, .n = {1, 1}};
    pf_loss_run(&a, &x, 1, &L, d);
    CHECK(L >= 0 && L < 1e-300);
    CHECK(d[0][0] <= 0 && d[0][0] > -1e-300);
}

static void test_refused(void)
{
    pf_err e = PF_ERR_INIT;
    CHECK(pf_loss_find("nonsense") == NULL);
    pf_loss_args a = args_of("aot", 0);
    CHECK_INT(pf_loss_check(&a, &e), PF_E_USAGE);
    CHECK(strstr(e.msg, "aot is not built") != NULL);
    a = args_of("sigmoid", 0.1);
    CHECK_INT(pf_loss_check(&a, NULL), PF_E_USAGE); /* would be ignored */
    a = args_of("robust", 0.5);
    CHECK_INT(pf_loss_check(&a, NULL), PF_E_USAGE);
    a = args_of("exo_pair", 0);
    CHECK_INT(pf_loss_check(&a, NULL), PF_E_USAGE);
    a = args_of("sigmoid", 0);
    a.beta = 0;
    CHECK_INT(pf_loss_check(&a, NULL), PF_E_USAGE);
    a = args_of("discopop", 0);
    a.discopop_tau = 0;
    CHECK_INT(pf_loss_check(&a, NULL), PF_E_USAGE);
    a.n_kind = 0;
    CHECK_INT(pf_loss_check(&a, NULL), PF_E_USAGE);
}

static const pft_test tests[] = {
    {"closed forms equal finite differences", test_derivatives},
    {"a mix is the weighted sum", test_mix},
    {"constants of step 0", test_at_zero},
    {"far tails stay finite", test_tails},
    {"what a loss cannot use is refused", test_refused},
};
PF_TEST_MAIN(tests)
