/* SPDX-License-Identifier: MIT
 *
 * The head: log-probabilities of targets, and what the metrics want of a row,
 * from logits that never exist as a whole.
 *
 * Forward. A task takes some rows and some slices of SLICE words: it computes
 * the logits of a slice into its scratch, picks the targets that fall in it,
 * and keeps one pf_head_part for each row and slice. Parts are joined in f64
 * in the order of the slices. Slices are cut from word 0 on, so a row's
 * result follows V alone.
 *
 * Backward. CHUNK words at a time: the logits again, their gradient
 *   dz = coef ([target] - softmax)
 * into a shared chunk, then dX += dz W by rows and dW += dz^T X by words. */
#include "backend/cpu_int.h"

#include <math.h>
#include <string.h>

#define SLICE 512
#define GROUP 8 /* slices of a forward task */
#define CHUNK 1024

void pf_cpu_head_need(const pf_cpu_be *c, int64_t *each, int64_t *shared)
{
    int64_t rows = (int64_t)PF_TASK_TILES * c->gemm->mr;
    int64_t R = c->head_rows, k = pf_round_up(c->max_k, PF_LINE);
    int64_t parts = R * pf_div_up(c->vocab, SLICE) *
                    (int64_t)(sizeof(pf_head_part) / sizeof(float));
    /* lines of x and logits; or lines of x or dz, and a panel */
    int64_t fwd = rows * (k + SLICE);
    int64_t bwd = PF_MAX(CHUNK, k) * (rows + c->gemm->nr);
    *each = PF_MAX(fwd, bwd) + rows * PF_LINE;
    *shared = c->train ? PF_MAX(parts, R * CHUNK) : parts;
}

typedef struct pf_head_job {
    pf_cpu_be *c;
    const float *x;
    const pf_weight *w;
    const pf_head *h;
    pf_head_part *part; /* [R][n_slice] */
    int64_t n_slice;
    int64_t row_step;   /* rows of a task */
    int row_tasks;
    /* backward */
    float *dz;          /* [R][CHUNK] */
    float *dx;
    int64_t col, cols;  /* the chunk */
} pf_head_job;

/* Rows of a task: tiles shared out evenly, at most PF_TASK_TILES of them. */
static void cut_rows(pf_head_job *j, int64_t rows)
{
    int64_t mr = j->c->gemm->mr, tiles = pf_div_up(rows, mr);
    int64_t tasks = pf_div_up(tiles, (int64_t)j->c->threads * PF_TASK_TILES) *
                    j->c->threads;
    int64_t per = pf_div_up(tiles, tasks);
    j->row_step = per * mr;
    j->row_tasks = (int)pf_div_up(tiles, per);
}

/* First target whose head row is >= r. */
static int64_t first_target(const pf_head *h, int64_t r)
{
    int64_t lo = 0, hi = h->T;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (h->row[mid] < r)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* -------------------------------------------------------------- forward -- */

/* z[rows, SLICE]: logits of words [col, col + n). */
static void slice_logits(const pf_head_job *j, float *z, const float *lines,
                         int64_t rows, int64_t col, int64_t n)
{
    const pf_head *h = j->h;
    pf_cpu_product(j->c->gemm, z, SLICE, lines, j->w->pack + col * h->C, NULL,
                   rows, n, h->C, PF_TILE_SET);
    for (int64_t r = 0; h->softcap > 0 && r < rows; r++)
        j->c->rows->softcap(z + r * SLICE, h->softcap, n);
}

static void head_task(void *arg, int task, int thread)
{
    const pf_head_job *j = arg;
    const pf_head *h = j->h;
    int64_t row = task % j->row_tasks * j->row_step;
    int64_t rows = PF_MIN(j->row_step, h->R - row);
    int64_t s0 = (int64_t)(task / j->row_tasks) * GROUP;
    int64_t s1 = PF_MIN(j->n_slice, s0 + GROUP);
    float *z = pf_cpu_scratch(j->c, thread), *lines = z + j->row_step * SLICE;
    int64_t t0 = first_target(h, row), t1 = first_target(h, row + rows);
    pf_cpu_pack_lines(j->c->gemm, lines, j->x + row * h->C, h->C, rows, h->C);
    for (int64_t s = s0; s < s1; s++) {
        int64_t col = s * SLICE, n = PF_MIN(SLICE, h->V - col);
        slice_logits(j, z, lines, rows, col, n);
        for (int64_t r = 0; r < rows; r++)
            j->c->rows->head_part(&j->part[(row + r) * j->n_slice + s],
                                  z + r * SLICE, n, h->mask);
        for (int64_t t = t0; t < t1; t++) {
            int64_t v = h->target[t] - col;
            if (v >= 0 && v < n)
                h->logp[t] = z[(h->row[t] - row) * SLICE + v];
        }
    }
}

/* Joins the parts of one row; logp still holds the targets' logits. */
static void join_parts(const pf_head *h, const pf_head_part *p,
                       int64_t n_slice, int64_t r)
{
    double max = -INFINITY, sum = 0, sum_z = 0, sum_2 = 0, total = 0;
    int64_t top = 0;
    for (int64_t s = 0; s < n_slice; s++)
        if ((double)p[s].max > max) {
            max = p[s].max;
            top = s * SLICE + p[s].top;
        }
    for (int64_t s = 0; s < n_slice; s++) {
        double d = (double)p[s].max - max, f = exp(d);
        sum += f * p[s].sum;
        sum_z += f * (p[s].sum_z + d * p[s].sum);
        sum_2 += f * f * p[s].sum_2;
        total += p[s].total;
    }
    h->lse[r] = max + log(sum);
    if (h->mask & PF_HEAD_ENTROPY)
        h->entropy[r] = (float)(log(sum) - sum_z / sum);
    if (h->mask & PF_HEAD_SUM_P2)
        h->sum_p2[r] = (float)(sum_2 / (sum * sum));
    if (h->mask & PF_HEAD_MEAN_LOGIT)
        h->mean_logit[r] = (float)(total / (double)h->V);
    if (h->mask & PF_HEAD_TOP1)
        h->top1[r] = (int32_t)top;
}

void pf_cpu_head(pf_backend *be, const void *x, const pf_weight *w, pf_head *h)
{
    pf_cpu_be *c = pf_cpu_of(be);
    if (h->R <= 0)
        return;
    PF_ASSERT(h->R <= c->head_rows && h->V <= c->vocab);
    pf_head_job j = {.c = c,
                     .x = x,
                     .w = w,
                     .h = h,
                     .part = (pf_head_part *)c->shared_mem,
                     .n_slice = pf_div_up(h->V, SLICE)};
    cut_rows(&j, h->R);
    pf_pool_run(be->pool, head_task, &j,
                j.row_tasks * (int)pf_div_up(j.n_slice, GROUP));
    for (int64_t r = 0; r < h->R; r++)
        join_parts(h, j.part + r * j.n_slice, j.n_slice, r);
    for (int64_t t = 0; t < h->T; t++) {
        double logp = (double)h->logp[t] - h->lse[h->row[t]];
        h->logp[t] = (float)logp;
        if (h->logp64)
            h->logp64[t] = logp;
    }
}

/* ------------------------------------------------------------- backward -- */

/* One logit before its cap, for the slope of the cap at a target. */
static float one_logit(const pf_head_job *j, int64_t r, int64_t v)
{
    int64_t C = j->h->C, nr = j->c->gemm->nr;
    const float *w = j->w->pack + v / nr * nr * C + v % nr;
    const float *x = j->x + r * C;
    double sum = 0;
    for (int64_t c = 0; c < C; c++)
        sum += (double)x[c] * (double)w[c * nr];
    return (float)sum;
}

/* d capped / d logit of a target; 1 without a cap. */
static float target_slope(const pf_head_job *j, int64_t r, int64_t v)
{
    double cap = (double)j->h->softcap;
    if (cap <= 0)
        return 1;
    double t = tanh((double)one_logit(j, r, v) / cap);
    return (float)(1 - t * t);
}

/* dz of some rows and the chunk. */
static void grad_task(void *arg, int task, int thread)
{
    const pf_head_job *j = arg;
    const pf_head *h = j->h;
    int64_t row = task * j->row_step;
    int64_t rows = PF_MIN(j->row_step, h->R - row);
    float *lines = pf_cpu_scratch(j->c, thread);
    int64_t t = first_target(h, row);
    pf_cpu_pack_lines(j->c->gemm, lines, j->x + row * h->C, h->C, rows, h->C);
    pf_cpu_product(j->c->gemm, j->dz + row * CHUNK, CHUNK, lines,
                   j->w->pack + j->col * h->C, NULL, rows, j->cols, h->C,
                   PF_TILE_SET);
    for (int64_t r = row; r < row + rows; r++) {
        float *z = j->dz + r * CHUNK;
        double coef = 0;
        int64_t first = t;
        for (; t < h->T && h->row[t] == r; t++)
            coef += (double)h->coef[t];
        if (h->softcap > 0)
            j->c->rows->softcap(z, h->softcap, j->cols);
        j->c->rows->head_grad(z, h->lse[r], (float)coef, h->softcap, j->cols);
        for (int64_t u = first; u < t; u++) {
            int64_t v = h->target[u] - j->col;
            if (v >= 0 && v < j->cols)
                z[v] += h->coef[u] * target_slope(j, r, h->target[u]);
        }
    }
}

/* dX of some rows, (+)= dz W over the chunk's words. */
static void dx_task(void *arg, int task, int thread)
{
    const pf_head_job *j = arg;
    const pf_gemm_kern *g = j->c->gemm;
    int64_t C = j->h->C, row = task * j->row_step;
    int64_t rows = PF_MIN(j->row_step, j->h->R - row);
    float *lines = pf_cpu_scratch(j->c, thread);
    float *panel = lines + pf_cpu_pack_lines(g, lines, j->dz + row * CHUNK,
                                             CHUNK, rows, j->cols);
    const float *w = j->w->part[0].master + j->col * C;
    for (int64_t c = 0; c < C; c += g->nr) {
        int64_t cols = PF_MIN(g->nr, C - c);
        pf_cpu_pack_panel(g, panel, w + c, C, j->cols, cols);
        pf_cpu_product(g, j->dx + row * C + c, C, lines, panel, NULL, rows,
                       cols, j->cols, j->col ? PF_TILE_ADD : PF_TILE_SET);
    }
}

void pf_cpu_head_bwd(pf_backend *be, void *dx, const void *x, pf_weight *w,
                     const pf_head *h)
{
    pf_cpu_be *c = pf_cpu_of(be);
    if (h->R <= 0)
        return;
    PF_ASSERT(c->train && h->R <= c->head_rows);
    PF_ASSERT(w->n_part == 1 && !w->part[0].in_by_out);
    pf_head_job j = {.c = c,
                     .x = x,
                     .w = w,
                     .h = h,
                     .dz = (float *)c->shared_mem,
                     .dx = dx};
    float *grad = w->part[0].grad;
    cut_rows(&j, h->R);
    for (j.col = 0; j.col < h->V; j.col += CHUNK) {
        j.cols = PF_MIN(CHUNK, h->V - j.col);
        pf_pool_run(be->pool, grad_task, &j, j.row_tasks);
        pf_pool_run(be->pool, dx_task, &j, j.row_tasks);
        if (grad)
            pf_cpu_wgrad(c, grad + j.col * h->C, j.dz, CHUNK, x, h->C, j.cols,
                         h->C, h->R);
    }
}
