/* SPDX-License-Identifier: MIT
 *
 * The loss table. Notation: rho = logp - ref of a branch, c chosen, r
 * rejected, x = beta * rho_c, y = beta * rho_r, u = x - y.
 *
 * Has caused bugs elsewhere: label smoothing that only some losses honour
 * (here a mix that ignores it is refused), log(sigmoid) that underflows. */
#include "train/loss.h"

#include <math.h>
#include <string.h>

static double sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double log_sigmoid(double x)
{
    return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x));
}

static double sq(double x)
{
    return x * x;
}

/* What most losses start from. */
typedef struct margin {
    double x, y, u;
} margin;

static margin margin_of(const pf_loss_args *a, const pf_loss_x *x)
{
    margin m;
    m.x = a->beta * (x->logp[0] - x->ref[0]);
    m.y = a->beta * (x->logp[1] - x->ref[1]);
    m.u = m.x - m.y;
    return m;
}

/* dL/du -> both branches. */
static void put_du(const pf_loss_args *a, double du, double *d)
{
    d[0] = a->beta * du;
    d[1] = -a->beta * du;
}

static void put_dxy(const pf_loss_args *a, double dx, double dy, double *d)
{
    d[0] = a->beta * dx;
    d[1] = a->beta * dy;
}

/* A loss that looks at one row at a time: its body gives L[i] and d[i]. */
#define ROW_LOSS(name, body)                                               \
    static void name(const pf_loss_args *a, const pf_loss_x *xs, size_t n, \
                     double *L, double (*d)[PF_LOSS_K])                    \
    {                                                                      \
        for (size_t i = 0; i < n; i++) {                                   \
            const pf_loss_x *r = &xs[i];                                   \
            margin m = margin_of(a, r);                                    \
            body                                                           \
        }                                                                  \
    }

ROW_LOSS(loss_sigmoid, {
    (void)r;
    L[i] = -log_sigmoid(m.u);
    put_du(a, -sigmoid(-m.u), d[i]);
})

/* DPO with smoothed labels (Mitchell's cDPO note). */
ROW_LOSS(loss_cdpo, {
    double eps = a->label_smoothing;
    (void)r;
    L[i] = -(1 - eps) * log_sigmoid(m.u) - eps * log_sigmoid(-m.u);
    put_du(a, -(1 - eps) * sigmoid(-m.u) + eps * sigmoid(m.u), d[i]);
})

/* Robust DPO (arXiv 2403.00409): unbiased under flipped labels. */
ROW_LOSS(loss_robust, {
    double eps = a->label_smoothing;
    double k = 1 / (1 - 2 * eps);
    (void)r;
    L[i] = k * (-(1 - eps) * log_sigmoid(m.u) + eps * log_sigmoid(-m.u));
    put_du(a, k * (-(1 - eps) * sigmoid(-m.u) - eps * sigmoid(m.u)), d[i]);
})

/* SLiC (arXiv 2305.10425). */
ROW_LOSS(loss_hinge, {
    (void)r;
    L[i] = fmax(0, 1 - m.u);
    put_du(a, m.u < 1 ? -1 : 0, d[i]);
})

/* IPO (arXiv 2310.12036), averaged over tokens as its authors advised. */
ROW_LOSS(loss_ipo, {
    double h = (r->logp[0] - r->ref[0]) / r->n[0] -
               (r->logp[1] - r->ref[1]) / r->n[1] - 1 / (2 * a->beta);
    (void)m;
    L[i] = h * h;
    d[i][0] = 2 * h / r->n[0];
    d[i][1] = -2 * h / r->n[1];
})

/* EXO (arXiv 2402.00856), eq. 16 for pairs: reverse KL to smoothed labels. */
ROW_LOSS(loss_exo_pair, {
    double eps = a->label_smoothing;
    double p = sigmoid(m.u);
    double q = sigmoid(-m.u);
    (void)r;
    L[i] = p * (log_sigmoid(m.u) - log1p(-eps)) +
           q * (log_sigmoid(-m.u) - log(eps));
    put_du(a, p * q * (m.u - (log1p(-eps) - log(eps))), d[i]);
})

/* NCA (arXiv 2402.05369). */
ROW_LOSS(loss_nca_pair, {
    (void)r;
    L[i] = -log_sigmoid(m.x) - 0.5 * log_sigmoid(-m.x) -
           0.5 * log_sigmoid(-m.y);
    put_dxy(a, -sigmoid(-m.x) + 0.5 * sigmoid(m.x), 0.5 * sigmoid(m.y), d[i]);
})

/* BCO (arXiv 2404.04656) on pairs, without the running mean (as TRL 1.16). */
ROW_LOSS(loss_bco_pair, {
    (void)r;
    L[i] = -log_sigmoid(m.x) - log_sigmoid(-m.y);
    put_dxy(a, -sigmoid(-m.x), sigmoid(m.y), d[i]);
})

/* SPPO (arXiv 2405.00675) with hard labels. */
ROW_LOSS(loss_sppo_hard, {
    double c = r->logp[0] - r->ref[0] - 0.5 / a->beta;
    double b = r->logp[1] - r->ref[1] + 0.5 / a->beta;
    (void)m;
    L[i] = sq(c) + sq(b);
    d[i][0] = 2 * c;
    d[i][1] = 2 * b;
})

/* APO (arXiv 2408.06266): zero raises chosen and lowers rejected. */
ROW_LOSS(loss_apo_zero, {
    (void)r;
    L[i] = 1 - sigmoid(m.x) + sigmoid(m.y);
    put_dxy(a, -sigmoid(m.x) * sigmoid(-m.x), sigmoid(m.y) * sigmoid(-m.y),
            d[i]);
})

/* APO down lowers both, rejected more. */
ROW_LOSS(loss_apo_down, {
    double gu = sigmoid(m.u) * sigmoid(-m.u);
    (void)r;
    L[i] = sigmoid(m.x) + 1 - sigmoid(m.u);
    put_dxy(a, sigmoid(m.x) * sigmoid(-m.x) - gu, gu, d[i]);
})

/* DiscoPOP (arXiv 2406.08414): logistic and exponential, blended by u. */
ROW_LOSS(loss_discopop, {
    double t = a->discopop_tau;
    double s = sigmoid(m.u / t);
    double ds = s * sigmoid(-m.u / t) / t;
    double ex = exp(-m.u);
    (void)r;
    L[i] = -(1 - s) * log_sigmoid(m.u) + s * ex;
    put_du(a, ds * (log_sigmoid(m.u) + ex) - (1 - s) * sigmoid(-m.u) - s * ex,
           d[i]);
})

/* DPO on log-ratios averaged over tokens. */
ROW_LOSS(loss_sigmoid_norm, {
    double u = m.x / r->n[0] - m.y / r->n[1];
    L[i] = -log_sigmoid(u);
    double du = -a->beta * sigmoid(-u);
    d[i][0] = du / r->n[0];
    d[i][1] = -du / r->n[1];
})

static const pf_loss_kind kinds[] = {
    {"sigmoid", loss_sigmoid, 0, "DPO: -log sigmoid(beta * margin)"},
    {"cdpo", loss_cdpo, PF_LOSS_SMOOTHING, "DPO with smoothed labels"},
    {"robust", loss_robust, PF_LOSS_SMOOTHING, "robust DPO"},
    {"hinge", loss_hinge, 0, "SLiC hinge"},
    {"ipo", loss_ipo, 0, "IPO, averaged over tokens"},
    {"exo_pair", loss_exo_pair, PF_LOSS_SMOOTHING, "EXO for pairs"},
    {"nca_pair", loss_nca_pair, 0, "NCA for pairs"},
    {"bco_pair", loss_bco_pair, 0, "BCO for pairs"},
    {"sppo_hard", loss_sppo_hard, 0, "SPPO with hard labels"},
    {"apo_zero", loss_apo_zero, 0, "APO zero"},
    {"apo_down", loss_apo_down, 0, "APO down"},
    {"discopop", loss_discopop, PF_LOSS_TAU, "DiscoPOP"},
    {"sigmoid_norm", loss_sigmoid_norm, 0, "DPO on per-token averages"},
    {"aot", NULL, PF_LOSS_GROUP | PF_LOSS_SMOOTHING, "AOT"},
    {"aot_unpaired", NULL, PF_LOSS_GROUP | PF_LOSS_SMOOTHING, "AOT unpaired"},
    {"sft", NULL, PF_LOSS_GROUP, "likelihood of the chosen side"},
    {"simpo", NULL, 0, "SimPO"},
    {"orpo", NULL, 0, "ORPO"},
    {"rpo", NULL, 0, "DPO with likelihood of the chosen side"},
    {"kto", NULL, PF_LOSS_GROUP, "KTO"},
    {"apo_zero_unpaired", NULL, 0, "APO zero, unpaired"},
    {NULL, NULL, 0, NULL},
};

const pf_loss_kind *pf_loss_kinds(void)
{
    return kinds;
}

const pf_loss_kind *pf_loss_find(const char *name)
{
    for (const pf_loss_kind *k = kinds; k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

static int check_smoothing(const pf_loss_args *a, const pf_loss_kind *k,
                           pf_err *e)
{
    double eps = a->label_smoothing;
    bool exo = strcmp(k->name, "exo_pair") == 0;
    if (!(k->flags & PF_LOSS_SMOOTHING))
        return 0;
    if (exo && !(eps > 0 && eps < 1))
        return pf_err_set(e, PF_E_USAGE,
                          "loss_type exo_pair: label_smoothing must lie "
                          "between 0 and 1, is %g", eps);
    if (!exo && !(eps >= 0 && eps < 0.5))
        return pf_err_set(e, PF_E_USAGE,
                          "loss_type %s: label_smoothing must lie in "
                          "[0, 0.5), is %g", k->name, eps);
    return 0;
}

int pf_loss_check(const pf_loss_args *a, pf_err *e)
{
    bool smoothing = false;
    if (a->n_kind == 0 || a->n_kind > PF_LOSS_MAX_MIX)
        return pf_err_set(e, PF_E_USAGE, "loss_type: between 1 and %d losses",
                          PF_LOSS_MAX_MIX);
    if (!(a->beta > 0) || !isfinite(a->beta))
        return pf_err_set(e, PF_E_USAGE, "beta must be above 0, is %g",
                          a->beta);
    for (size_t i = 0; i < a->n_kind; i++) {
        const pf_loss_kind *k = a->kind[i];
        if (!k->fn)
            return pf_err_set(e, PF_E_USAGE,
                              "loss_type %s is not built in this version",
                              k->name);
        if (!isfinite(a->weight[i]))
            return pf_err_set(e, PF_E_USAGE, "loss_weights: not a number");
        int rc = check_smoothing(a, k, e);
        if (rc < 0)
            return rc;
        if ((k->flags & PF_LOSS_TAU) && !(a->discopop_tau > 0))
            return pf_err_set(e, PF_E_USAGE,
                              "discopop_tau must be above 0, is %g",
                              a->discopop_tau);
        smoothing |= (k->flags & PF_LOSS_SMOOTHING) != 0;
    }
    if (a->label_smoothing != 0 && !smoothing)
        return pf_err_set(e, PF_E_USAGE,
                          "label_smoothing %g has no effect on loss_type %s: "
                          "use cdpo or robust", a->label_smoothing,
                          a->kind[0]->name);
    return 0;
}

bool pf_loss_is_group(const pf_loss_args *a)
{
    for (size_t i = 0; i < a->n_kind; i++)
        if (a->kind[i]->flags & PF_LOSS_GROUP)
            return true;
    return false;
}

/* Pieces of this many rows: losses that look across rows are called whole. */
enum { PIECE = 64 };

static void add_kind(const pf_loss_args *a, size_t k, const pf_loss_x *x,
                     size_t n, double *L, double (*d)[PF_LOSS_K])
{
    double l1[PIECE], d1[PIECE][PF_LOSS_K];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        a->kind[k]->fn(a, x + at, m, l1, d1);
        for (size_t i = 0; i < m; i++) {
            L[at + i] += a->weight[k] * l1[i];
            for (int b = 0; b < PF_LOSS_K; b++)
                d[at + i][b] += a->weight[k] * d1[i][b];
        }
    }
}

void pf_loss_run(const pf_loss_args *a, const pf_loss_x *x, size_t n,
                 double *L, double (*d)[PF_LOSS_K])
{
    if (a->n_kind == 1 && a->weight[0] == 1) {
        a->kind[0]->fn(a, x, n, L, d);
        return;
    }
    PF_ASSERT(!pf_loss_is_group(a));
    memset(L, 0, n * sizeof *L);
    memset(d, 0, n * sizeof *d);
    for (size_t k = 0; k < a->n_kind; k++)
        add_kind(a, k, x, n, L, d);
}

double pf_loss_at_zero(const pf_loss_args *a)
{
    pf_loss_x x = {.n = {1, 1}};
    double L, d[1][PF_LOSS_K];
    pf_loss_run(a, &x, 1, &L, d);
    return L;
}
