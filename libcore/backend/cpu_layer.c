/* SPDX-License-Identifier: MIT
 *
 * Row-wise operations: norms, RoPE, activations, element-wise loops, norm of
 * gradients, optimizers. A task is a fixed run of rows or elements, so what
 * it sums does not follow the number of threads. */
#include "backend/cpu_int.h"

#include <string.h>

#define TASK_ROWS 32   /* rows of one task, and of one partial sum */
#define TASK_FLOATS 16384
#define SUM_PARTS 2048 /* partial sums of sumsq at most */
#define ROT_MAX 1024   /* widest rotation: pairs of RoPE in one head */

void pf_cpu_layer_need(const pf_cpu_be *c, int64_t *each, int64_t *shared)
{
    int64_t runs = pf_div_up(PF_MAX(c->max_rows, c->head_rows), TASK_ROWS);
    int64_t sums = c->train ? runs * 2 * c->width : 0;
    *each = 0;
    *shared = sums;
}

static int row_tasks(int64_t rows)
{
    return (int)pf_div_up(rows, TASK_ROWS);
}

/* --------------------------------------------------------------- norms -- */

typedef struct pf_norm_job {
    pf_cpu_be *c;
    float *y, *stat, *dx;
    const float *x, *dy, *w, *b;
    pf_norm_kind kind;
    float eps;
    const int32_t *row;
    int64_t R, C;
    bool add;
    float *part; /* [tasks][2][C] partial dw, db, or NULL */
    bool want_db;
} pf_norm_job;

static void norm_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_norm_job *j = arg;
    int64_t r0 = (int64_t)task * TASK_ROWS;
    for (int64_t r = r0; r < PF_MIN(j->R, r0 + TASK_ROWS); r++) {
        int64_t at = j->row ? j->row[r] : r;
        j->c->rows->norm(j->y + r * j->C, j->stat + 2 * r, j->x + at * j->C,
                         j->w, j->b, j->kind, j->eps, j->C, j->add);
    }
}

void pf_cpu_norm(pf_backend *be, void *y, void *stat, const void *x,
                 const float *w, const float *b, pf_norm_kind kind, float eps,
                 const int32_t *row, int64_t R, int64_t C)
{
    pf_norm_job j = {.c = pf_cpu_of(be), .y = y, .stat = stat, .x = x, .w = w,
                     .b = b, .kind = kind, .eps = eps, .row = row, .R = R,
                     .C = C};
    pf_pool_run(be->pool, norm_task, &j, row_tasks(R));
}

void pf_cpu_norm_add(pf_backend *be, void *res, void *stat, const void *y,
                     const float *w, const float *b, pf_norm_kind kind,
                     float eps, int64_t M, int64_t C)
{
    pf_norm_job j = {.c = pf_cpu_of(be), .y = res, .stat = stat, .x = y,
                     .w = w, .b = b, .kind = kind, .eps = eps, .R = M, .C = C,
                     .add = true};
    pf_pool_run(be->pool, norm_task, &j, row_tasks(M));
}

static void norm_bwd_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_norm_job *j = arg;
    int64_t r0 = (int64_t)task * TASK_ROWS;
    float *dw = j->part ? j->part + (int64_t)task * 2 * j->C : NULL;
    float *db = j->want_db ? dw + j->C : NULL;
    if (dw)
        memset(dw, 0, (size_t)(2 * j->C) * sizeof *dw);
    for (int64_t r = r0; r < PF_MIN(j->R, r0 + TASK_ROWS); r++) {
        int64_t at = (j->row ? j->row[r] : r) * j->C;
        j->c->rows->norm_bwd(j->dx + at, dw, db, j->dy + r * j->C, j->x + at,
                             j->stat + 2 * r, j->w, j->kind, j->C, j->add);
    }
}

/* The partial sums in the order of the rows. */
static void norm_bwd(pf_backend *be, pf_norm_job *j, float *dw, float *db)
{
    int tasks = row_tasks(j->R);
    j->part = dw || db ? (float *)j->c->shared_mem : NULL;
    j->want_db = db != NULL;
    pf_pool_run(be->pool, norm_bwd_task, j, tasks);
    for (int t = 0; t < tasks; t++) {
        const float *part = j->part + (int64_t)t * 2 * j->C;
        if (dw)
            j->c->rows->axpy(dw, part, 1, j->C);
        if (db)
            j->c->rows->axpy(db, part + j->C, 1, j->C);
    }
}

void pf_cpu_norm_bwd(pf_backend *be, void *dx, void *dw, void *db,
                     const void *dy, const void *x, const void *stat,
                     const float *w, pf_norm_kind kind, const int32_t *row,
                     int64_t R, int64_t C)
{
    pf_norm_job j = {.c = pf_cpu_of(be), .dx = dx, .dy = dy, .x = x, .w = w,
                     .stat = (float *)stat, .kind = kind, .row = row, .R = R,
                     .C = C, .add = true};
    norm_bwd(be, &j, dw, db);
}

void pf_cpu_norm_add_bwd(pf_backend *be, void *dy, void *dw, void *db,
                         const void *dres, const void *y, const void *stat,
                         const float *w, pf_norm_kind kind, int64_t M,
                         int64_t C)
{
    pf_norm_job j = {.c = pf_cpu_of(be), .dx = dy, .dy = dres, .x = y, .w = w,
                     .stat = (float *)stat, .kind = kind, .R = M, .C = C};
    norm_bwd(be, &j, dw, db);
}

/* -------------------------------------------------- norm of heads, RoPE -- */

typedef struct pf_head_norm_job {
    pf_cpu_be *c;
    float *x, *inv, *part;
    const float *in, *w;
    int64_t ld, col, M;
    int runs, width; /* normed runs of a row */
    pf_norm_kind kind;
    float eps;
} pf_head_norm_job;

static pf_head_norm_job head_norm_job(pf_backend *be, const float *w,
                                      int64_t ld, int64_t col, int n_head,
                                      int D, bool full, bool one_plus,
                                      int64_t M)
{
    return (pf_head_norm_job){
        .c = pf_cpu_of(be),
        .w = w,
        .ld = ld,
        .col = col,
        .M = M,
        .runs = full ? 1 : n_head,
        .width = full ? n_head * D : D,
        .kind = one_plus ? PF_NORM_RMS1P : PF_NORM_RMS,
    };
}

static void qk_norm_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_head_norm_job *j = arg;
    int64_t m0 = (int64_t)task * TASK_ROWS;
    for (int64_t m = m0; m < PF_MIN(j->M, m0 + TASK_ROWS); m++)
        for (int h = 0; h < j->runs; h++) {
            float *v = j->x + m * j->ld + j->col + (int64_t)h * j->width;
            float stat[2];
            j->c->rows->norm(v, stat, v, j->w, NULL, j->kind, j->eps, j->width,
                             false);
            j->inv[m * j->runs + h] = stat[1];
        }
}

void pf_cpu_qk_norm(pf_backend *be, void *x, void *inv, const float *w,
                    int64_t ld, int64_t col, int n_head, int D, bool full,
                    bool one_plus, float eps, int64_t M)
{
    pf_head_norm_job j =
        head_norm_job(be, w, ld, col, n_head, D, full, one_plus, M);
    j.x = x;
    j.inv = inv;
    j.eps = eps;
    pf_pool_run(be->pool, qk_norm_task, &j, row_tasks(M));
}

static void qk_norm_bwd_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_head_norm_job *j = arg;
    int64_t m0 = (int64_t)task * TASK_ROWS;
    float *dw = j->part ? j->part + (int64_t)task * j->width : NULL;
    if (dw)
        memset(dw, 0, (size_t)j->width * sizeof *dw);
    for (int64_t m = m0; m < PF_MIN(j->M, m0 + TASK_ROWS); m++)
        for (int h = 0; h < j->runs; h++) {
            int64_t at = m * j->ld + j->col + (int64_t)h * j->width;
            float stat[2] = {0, j->inv[m * j->runs + h]};
            j->c->rows->norm_bwd(j->x + at, dw, NULL, j->x + at, j->in + at,
                                 stat, j->w, j->kind, j->width, false);
        }
}

void pf_cpu_qk_norm_bwd(pf_backend *be, void *dx, void *dw, const void *x,
                        const void *inv, const float *w, int64_t ld,
                        int64_t col, int n_head, int D, bool full,
                        bool one_plus, int64_t M)
{
    pf_head_norm_job j =
        head_norm_job(be, w, ld, col, n_head, D, full, one_plus, M);
    j.x = dx;
    j.in = x;
    j.inv = (float *)inv;
    j.part = dw ? (float *)j.c->shared_mem : NULL;
    pf_pool_run(be->pool, qk_norm_bwd_task, &j, row_tasks(M));
    for (int t = 0; dw && t < row_tasks(M); t++)
        j.c->rows->axpy(dw, j.part + (int64_t)t * j.width, 1, j.width);
}

typedef struct pf_rope_job {
    const pf_row_kern *k;
    float *x;
    int64_t ld, M;
    int n_head, D, rot, sign;
    const double *cos_sin;
    const int32_t *pos;
} pf_rope_job;

/* Pairs of a head in runs of ROT_MAX: the table's f64 is rounded once for all
 * heads of a row. */
static void rope_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_rope_job *j = arg;
    float cs[ROT_MAX], sn[ROT_MAX];
    int64_t m0 = (int64_t)task * TASK_ROWS, half = j->rot / 2;
    for (int64_t m = m0; m < PF_MIN(j->M, m0 + TASK_ROWS); m++) {
        const double *t = j->cos_sin + (int64_t)j->pos[m] * half * 2;
        for (int64_t i = 0; i < half; i++) {
            cs[i] = (float)t[2 * i];
            sn[i] = (float)(j->sign * t[2 * i + 1]);
        }
        for (int h = 0; h < j->n_head; h++)
            j->k->rope(j->x + m * j->ld + (int64_t)h * j->D, cs, sn, half);
    }
}

void pf_cpu_rope(pf_backend *be, void *x, int64_t ld, int64_t col, int n_head,
                 int D, int rot, const double *cos_sin, const int32_t *pos,
                 int sign, int64_t M)
{
    PF_ASSERT(rot / 2 <= ROT_MAX);
    pf_rope_job j = {.k = pf_cpu_of(be)->rows, .x = (float *)x + col, .ld = ld,
                     .M = M, .n_head = n_head, .D = D, .rot = rot,
                     .sign = sign, .cos_sin = cos_sin, .pos = pos};
    pf_pool_run(be->pool, rope_task, &j, row_tasks(M));
}

/* --------------------------------------------------------- activations -- */

typedef struct pf_act_job {
    const pf_row_kern *k;
    float *h, *din;
    const float *in, *dh;
    pf_act_kind kind;
    int64_t M, I;
} pf_act_job;

static bool is_glu(pf_act_kind kind)
{
    return kind == PF_ACT_SILU_GLU || kind == PF_ACT_GELU_TANH_GLU;
}

static void act_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_act_job *j = arg;
    int64_t m0 = (int64_t)task * TASK_ROWS, I = j->I;
    bool glu = is_glu(j->kind);
    for (int64_t m = m0; m < PF_MIN(j->M, m0 + TASK_ROWS); m++) {
        int64_t at = m * (glu ? 2 * I : I);
        const float *up = glu ? j->in + at + I : NULL;
        if (j->din)
            j->k->act_bwd(j->din + at, glu ? j->din + at + I : NULL,
                          j->dh + m * I, j->in + at, up, j->kind, I);
        else
            j->k->act(j->h + m * I, j->in + at, up, j->kind, I);
    }
}

void pf_cpu_act(pf_backend *be, void *h, const void *in, pf_act_kind kind,
                int64_t M, int64_t I)
{
    pf_act_job j = {.k = pf_cpu_of(be)->rows, .h = h, .in = in, .kind = kind,
                    .M = M, .I = I};
    pf_pool_run(be->pool, act_task, &j, row_tasks(M));
}

void pf_cpu_act_bwd(pf_backend *be, void *din, const void *dh, const void *in,
                    pf_act_kind kind, int64_t M, int64_t I)
{
    pf_act_job j = {.k = pf_cpu_of(be)->rows, .din = din, .dh = dh, .in = in,
                    .kind = kind, .M = M, .I = I};
    pf_pool_run(be->pool, act_task, &j, row_tasks(M));
}

/* --------------------------------------------------------- element-wise -- */

typedef struct pf_flat_job {
    const pf_row_kern *k;
    float *y, *m, *v;
    const float *x;
    double *sum;
    const pf_optim_args *args;
    int64_t n, step;
} pf_flat_job;

/* p + i, or NULL of NULL. */
static float *at(float *p, int64_t i)
{
    return p ? p + i : NULL;
}

static void flat_run(pf_backend *be, pf_task_fn *fn, pf_flat_job *j)
{
    j->k = pf_cpu_of(be)->rows;
    pf_pool_run(be->pool, fn, j, (int)pf_div_up(j->n, j->step));
}

void pf_cpu_cast(pf_backend *be, void *act, const void *acc, int64_t n)
{
    (void)be;
    if (n > 0 && act != acc)
        memcpy(act, acc, (size_t)n * sizeof(float));
}

static void add_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_flat_job *j = arg;
    int64_t i = task * j->step;
    j->k->axpy(j->y + i, j->x + i, 1, PF_MIN(j->step, j->n - i));
}

void pf_cpu_add(pf_backend *be, void *acc, const void *act, int64_t n)
{
    pf_flat_job j = {.y = acc, .x = act, .n = n, .step = TASK_FLOATS};
    flat_run(be, add_task, &j);
}

static void sumsq_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_flat_job *j = arg;
    int64_t i = task * j->step;
    j->sum[task] = j->k->sumsq(j->x + i, PF_MIN(j->step, j->n - i));
}

double pf_cpu_sumsq(pf_backend *be, const void *acc, int64_t n)
{
    double sum[SUM_PARTS], all = 0;
    int64_t step = PF_MAX(TASK_FLOATS, pf_div_up(n, SUM_PARTS));
    pf_flat_job j = {.x = acc, .sum = sum, .n = n, .step = step};
    flat_run(be, sumsq_task, &j);
    for (int64_t i = 0; i < pf_div_up(n, step); i++)
        all += sum[i];
    return all;
}

static void optim_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_flat_job *j = arg;
    int64_t i = task * j->step;
    j->k->optim(j->args, j->y + i, j->x + i, at(j->m, i), at(j->v, i),
                PF_MIN(j->step, j->n - i));
}

void pf_cpu_optim(pf_backend *be, const pf_optim_args *a, float *p,
                  const void *g, float *m, float *v, int64_t n)
{
    pf_flat_job j = {.y = p, .x = g, .m = m, .v = v, .args = a, .n = n,
                     .step = TASK_FLOATS};
    flat_run(be, optim_task, &j);
}
