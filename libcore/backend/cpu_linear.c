/* SPDX-License-Identifier: MIT
 *
 * Packed weights, the four matrix products of a linear layer, embedding.
 *
 *   linear   y[M,N]  = x[M,K] W^T   lines of x, panels packed by weight_pack
 *   dgrad    dx[M,K] = dy[M,N] W    lines of dy, panels cut from the masters
 *                                   on the fly: no second packed copy
 *   wgrad    dW      += dy^T x      columns of one, panels of the other, in
 *                                   pieces of PF_WGRAD_ROWS rows
 *
 * The left operand of a task stays in the second-level cache while panels
 * stream past it; a task's panel is used for all its tiles. */
#include "backend/cpu_int.h"

#include "base/mem.h"

#include <string.h>

/* ------------------------------------------------------------- packing -- */

int64_t pf_cpu_pack_lines(const pf_gemm_kern *g, float *out, const float *x,
                          int64_t ld, int64_t rows, int64_t k)
{
    int64_t mr = g->mr, full = k / PF_LINE, rest = k % PF_LINE;
    float *o = out;
    for (int64_t r0 = 0; r0 < rows; r0 += mr) {
        int64_t n = PF_MIN(mr, rows - r0);
        for (int64_t l = 0; l < pf_div_up(k, PF_LINE); l++) {
            const float *in = x + r0 * ld + l * PF_LINE;
            for (int64_t r = 0; r < n; r++, o += PF_LINE, in += ld) {
                if (l < full) {
                    memcpy(o, in, PF_LINE * sizeof *o);
                    continue;
                }
                memset(o, 0, PF_LINE * sizeof *o);
                memcpy(o, in, (size_t)rest * sizeof *o);
            }
            size_t pad = (size_t)(mr - n) * PF_LINE;
            memset(o, 0, pad * sizeof *o);
            o += pad;
        }
    }
    return o - out;
}

/* x[depth, rows] as columns: tile after tile [depth][mr]; missing rows 0. */
static void pack_columns(const pf_gemm_kern *g, float *out, const float *x,
                         int64_t ld, int64_t rows, int64_t depth)
{
    int64_t mr = g->mr;
    for (int64_t r0 = 0; r0 < rows; r0 += mr) {
        size_t n = (size_t)PF_MIN(mr, rows - r0);
        for (int64_t k = 0; k < depth; k++, out += mr) {
            memcpy(out, x + k * ld + r0, n * sizeof *out);
            memset(out + n, 0, ((size_t)mr - n) * sizeof *out);
        }
    }
}

void pf_cpu_pack_panel(const pf_gemm_kern *g, float *out, const float *x,
                       int64_t ld, int64_t depth, int64_t cols)
{
    for (int64_t k = 0; k < depth; k++, out += g->nr, x += ld) {
        if (cols == 32) /* sizes that the compiler knows: no call */
            memcpy(out, x, 32 * sizeof *out);
        else if (cols == 16)
            memcpy(out, x, 16 * sizeof *out);
        else
            memcpy(out, x, (size_t)cols * sizeof *out);
    }
}

/* out[k * nr + j] = x[j * ld + k] for a square of four: the vectors of GCC 12
 * and Clang, whatever the instruction set. */
typedef float pf_quad __attribute__((vector_size(16)));

PF_INLINE void turn_square(float *out, int64_t nr, const float *x, int64_t ld)
{
    pf_quad r[4], t[4];
    for (int i = 0; i < 4; i++)
        memcpy(&r[i], x + i * ld, sizeof r[i]);
    t[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    t[1] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    t[2] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    t[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(t[0], t[2], 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(t[0], t[2], 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(t[1], t[3], 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(t[1], t[3], 2, 3, 6, 7);
    for (int i = 0; i < 4; i++)
        memcpy(out + i * nr, &r[i], sizeof r[i]);
}

/* A cache line of each row at a time, so that a line is read once. */
void pf_cpu_pack_turned(const pf_gemm_kern *g, float *out, const float *x,
                        int64_t ld, int64_t depth, int64_t cols)
{
    int64_t nr = g->nr, j4 = cols / 4 * 4;
    for (int64_t k0 = 0; k0 < depth; k0 += PF_LINE) {
        int64_t k1 = PF_MIN(depth, k0 + PF_LINE);
        int64_t k4 = k1 - k0 == PF_LINE ? k1 : k0;
        for (int64_t j = 0; j < j4; j += 4)
            for (int64_t k = k0; k < k4; k += 4)
                turn_square(out + k * nr + j, nr, x + j * ld + k, ld);
        for (int64_t j = k4 == k1 ? j4 : 0; j < cols; j++)
            for (int64_t k = k0; k < k1; k++)
                out[k * nr + j] = x[j * ld + k];
    }
}

void pf_cpu_product(const pf_gemm_kern *g, float *c, int64_t ldc,
                    const float *a, const float *b, const float *bias,
                    int64_t rows, int64_t cols, int64_t depth,
                    pf_tile_mode mode)
{
    int64_t a_tile = pf_round_up(depth, PF_LINE) * g->mr;
    pf_tile t = {.a_step = (int64_t)g->mr * PF_LINE,
                 .ldb = g->nr,
                 .ldc = ldc,
                 .c_line = PF_LINE,
                 .depth = depth,
                 .mode = mode};
    for (int64_t j = 0; j < cols; j += g->nr, b += depth * g->nr) {
        t.b = b;
        t.bias = bias ? bias + j : NULL;
        t.cols = (int)PF_MIN(g->nr, cols - j);
        t.a = a;
        for (int64_t r = 0; r < rows; r += g->mr, t.a += a_tile) {
            t.rows = (int)PF_MIN(g->mr, rows - r);
            t.c = c + r * ldc + j;
            g->lines(&t);
        }
    }
}

/* ---------------------------------------------------------- cuts, tasks -- */

/* rows x cols of outputs cut into row_tasks x col_tasks; a task has at most
 * PF_TASK_TILES tiles of rows. */
typedef struct pf_cut {
    int64_t rows, cols;         /* of all */
    int64_t row_step, col_step; /* of a task */
    int row_tasks, col_tasks;
} pf_cut;

static pf_cut cut(const pf_cpu_be *c, int64_t rows, int64_t cols)
{
    const pf_gemm_kern *g = c->gemm;
    pf_cut t = {.rows = rows, .cols = cols};
    int64_t tiles = pf_div_up(rows, g->mr), panels = pf_div_up(cols, g->nr);
    int64_t rounds = pf_div_up(tiles, (int64_t)c->threads * PF_TASK_TILES);
    int64_t per = pf_div_up(tiles, rounds * c->threads);
    int64_t row_tasks = pf_div_up(tiles, per);
    int64_t col_tasks = pf_div_up(c->threads, row_tasks);
    int64_t per_col = pf_div_up(panels, col_tasks);
    t.row_step = per * g->mr;
    t.col_step = per_col * g->nr;
    t.row_tasks = (int)row_tasks;
    t.col_tasks = (int)pf_div_up(panels, per_col);
    return t;
}

/* The part of the outputs that a task owns. */
typedef struct pf_rect {
    int64_t row, rows, col, cols;
} pf_rect;

static pf_rect rect_of(const pf_cut *t, int task)
{
    pf_rect r = {.row = task / t->col_tasks * t->row_step,
                 .col = task % t->col_tasks * t->col_step};
    r.rows = PF_MIN(t->row_step, t->rows - r.row);
    r.cols = PF_MIN(t->col_step, t->cols - r.col);
    return r;
}

void pf_cpu_linear_need(const pf_cpu_be *c, int64_t *each, int64_t *shared)
{
    int64_t k = pf_round_up(PF_MAX(c->max_k, PF_WGRAD_ROWS), PF_LINE);
    *each = k * ((int64_t)PF_TASK_TILES * c->gemm->mr + c->gemm->nr) + 64;
    *shared = 0;
}

/* ------------------------------------------------------------- weights -- */

void pf_cpu_weight_free(pf_backend *be, pf_weight *w)
{
    (void)be;
    if (!w)
        return;
    pf_free(w->part);
    pf_free_big(w->pack, w->pack_bytes);
    pf_free(w);
}

pf_weight *pf_cpu_weight_new(pf_backend *be, const pf_part *part, int n_part,
                             int64_t n_in, bool train)
{
    pf_cpu_be *c = pf_cpu_of(be);
    pf_weight *w = pf_calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->n_part = n_part;
    w->n_in = n_in;
    for (int p = 0; p < n_part; p++)
        w->n_out += part[p].n_out;
    pf_cpu_need need = {.k = train ? PF_MAX(n_in, w->n_out) : n_in};
    size_t outs = (size_t)pf_round_up(w->n_out, c->gemm->nr);
    w->part = pf_calloc((size_t)n_part, sizeof *part);
    if (pf_mul(outs, (size_t)n_in, &outs) &&
        pf_mul(outs, sizeof *w->pack, &w->pack_bytes))
        w->pack = pf_alloc_big(w->pack_bytes);
    if (!w->part || !w->pack || !pf_cpu_fit(c, &need)) {
        pf_cpu_weight_free(be, w);
        return NULL;
    }
    memcpy(w->part, part, (size_t)n_part * sizeof *part);
    return w;
}

typedef struct pf_pack_job {
    const pf_gemm_kern *g;
    pf_weight *w;
} pf_pack_job;

/* One panel, which parts may share. */
static void pack_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_pack_job *j = arg;
    pf_weight *w = j->w;
    int64_t nr = j->g->nr, col = task * nr, part0 = 0;
    float *out = w->pack + col * w->n_in;
    for (int p = 0; p < w->n_part; part0 += w->part[p++].n_out) {
        const pf_part *part = &w->part[p];
        int64_t from = PF_MAX(col, part0);
        int64_t to = PF_MIN(col + nr, part0 + part->n_out);
        if (from >= to)
            continue;
        int64_t o = from - part0;
        if (part->in_by_out)
            pf_cpu_pack_panel(j->g, out + from - col, part->master + o,
                              part->n_out, w->n_in, to - from);
        else
            pf_cpu_pack_turned(j->g, out + from - col,
                               part->master + o * w->n_in, w->n_in, w->n_in,
                               to - from);
    }
}

void pf_cpu_weight_pack(pf_backend *be, pf_weight *w)
{
    pf_pack_job j = {pf_cpu_of(be)->gemm, w};
    pf_pool_run(be->pool, pack_task, &j,
                (int)pf_div_up(w->n_out, j.g->nr));
}

/* ------------------------------------------------------------- forward -- */

typedef struct pf_linear_job {
    pf_cpu_be *c;
    const pf_weight *w;
    const float *x, *bias;
    float *y;
    int64_t ldx, ldy;
    pf_cut cut;
    pf_tile_mode mode;
} pf_linear_job;

static void linear_task(void *arg, int task, int thread)
{
    const pf_linear_job *j = arg;
    const pf_gemm_kern *g = j->c->gemm;
    pf_rect r = rect_of(&j->cut, task);
    int64_t k = j->w->n_in;
    float *a = pf_cpu_scratch(j->c, thread);
    pf_cpu_pack_lines(g, a, j->x + r.row * j->ldx, j->ldx, r.rows, k);
    pf_cpu_product(g, j->y + r.row * j->ldy + r.col, j->ldy, a,
                   j->w->pack + r.col * k, j->bias ? j->bias + r.col : NULL,
                   r.rows, r.cols, k, j->mode);
}

static void linear(pf_backend *be, float *y, const float *x,
                   const pf_weight *w, const float *bias, int64_t M,
                   pf_tile_mode mode)
{
    if (M <= 0)
        return;
    pf_cpu_be *c = pf_cpu_of(be);
    pf_linear_job j = {.c = c,
                       .w = w,
                       .x = x,
                       .y = y,
                       .bias = bias,
                       .ldx = w->n_in,
                       .ldy = w->n_out,
                       .cut = cut(c, M, w->n_out),
                       .mode = mode};
    pf_pool_run(be->pool, linear_task, &j,
                j.cut.row_tasks * j.cut.col_tasks);
}

void pf_cpu_linear(pf_backend *be, void *y, const void *x, const pf_weight *w,
                   const float *bias, int64_t M)
{
    linear(be, y, x, w, bias, M, PF_TILE_SET);
}

void pf_cpu_linear_add(pf_backend *be, void *res, const void *x,
                       const pf_weight *w, const float *bias, int64_t M)
{
    linear(be, res, x, w, bias, M, PF_TILE_ADD);
}

void pf_cpu_logits(pf_backend *be, float *out, const void *x,
                   const pf_weight *w, float softcap, int64_t R)
{
    linear(be, out, x, w, NULL, R, PF_TILE_SET);
    for (int64_t r = 0; softcap > 0 && r < R; r++)
        pf_cpu_of(be)->rows->softcap(out + r * w->n_out, softcap, w->n_out);
}

/* ---------------------------------------------------------------- dgrad -- */

/* Columns [col, col + cols) of W as a panel of depth n_out. */
static void master_panel(const pf_gemm_kern *g, float *out, const pf_weight *w,
                         int64_t col, int64_t cols)
{
    for (int p = 0; p < w->n_part; p++) {
        const pf_part *part = &w->part[p];
        if (part->in_by_out)
            pf_cpu_pack_turned(g, out, part->master + col * part->n_out,
                               part->n_out, part->n_out, cols);
        else
            pf_cpu_pack_panel(g, out, part->master + col, w->n_in,
                              part->n_out, cols);
        out += part->n_out * g->nr;
    }
}

static void dgrad_task(void *arg, int task, int thread)
{
    const pf_linear_job *j = arg;
    const pf_gemm_kern *g = j->c->gemm;
    pf_rect r = rect_of(&j->cut, task);
    int64_t depth = j->w->n_out;
    float *a = pf_cpu_scratch(j->c, thread);
    float *panel = a + pf_cpu_pack_lines(g, a, j->x + r.row * j->ldx, j->ldx,
                                         r.rows, depth);
    for (int64_t i = 0; i < r.cols; i += g->nr) {
        int64_t cols = PF_MIN(g->nr, r.cols - i);
        master_panel(g, panel, j->w, r.col + i, cols);
        pf_cpu_product(g, j->y + r.row * j->ldy + r.col + i, j->ldy, a, panel,
                       NULL, r.rows, cols, depth, PF_TILE_SET);
    }
}

void pf_cpu_linear_dgrad(pf_backend *be, void *dx, const void *dy,
                         const pf_weight *w, int64_t M)
{
    if (M <= 0)
        return;
    pf_cpu_be *c = pf_cpu_of(be);
    pf_linear_job j = {.c = c,
                       .w = w,
                       .x = dy,
                       .y = dx,
                       .ldx = w->n_out,
                       .ldy = w->n_in,
                       .cut = cut(c, M, w->n_in)};
    pf_pool_run(be->pool, dgrad_task, &j, j.cut.row_tasks * j.cut.col_tasks);
}

/* ---------------------------------------------------------------- wgrad -- */

/* grad[i][j] += sum over m of a[m][i] b[m][j]. */
typedef struct pf_wgrad_job {
    pf_cpu_be *c;
    const float *a, *b;
    float *grad;
    int64_t lda, ldb, M;
    pf_cut cut;
} pf_wgrad_job;

static void wgrad_tiles(const pf_wgrad_job *j, const pf_rect *r,
                        const float *a, const float *panel, int64_t depth,
                        int64_t col, int64_t cols)
{
    const pf_gemm_kern *g = j->c->gemm;
    pf_tile t = {.a = a,
                 .b = panel,
                 .a_step = g->mr,
                 .ldb = g->nr,
                 .ldc = j->cut.cols,
                 .c_line = PF_LINE,
                 .depth = depth,
                 .cols = (int)cols,
                 .mode = PF_TILE_ADD};
    for (int64_t i = 0; i < r->rows; i += g->mr, t.a += depth * g->mr) {
        t.rows = (int)PF_MIN(g->mr, r->rows - i);
        t.c = j->grad + (r->row + i) * t.ldc + col;
        g->columns(&t);
    }
}

static void wgrad_task(void *arg, int task, int thread)
{
    const pf_wgrad_job *j = arg;
    const pf_gemm_kern *g = j->c->gemm;
    pf_rect r = rect_of(&j->cut, task);
    float *a = pf_cpu_scratch(j->c, thread);
    float *panel = a + j->cut.row_step * PF_WGRAD_ROWS;
    for (int64_t m = 0; m < j->M; m += PF_WGRAD_ROWS) {
        int64_t depth = PF_MIN(PF_WGRAD_ROWS, j->M - m);
        pack_columns(g, a, j->a + m * j->lda + r.row, j->lda, r.rows, depth);
        for (int64_t i = 0; i < r.cols; i += g->nr) {
            int64_t col = r.col + i, cols = PF_MIN(g->nr, r.cols - i);
            pf_cpu_pack_panel(g, panel, j->b + m * j->ldb + col, j->ldb, depth,
                              cols);
            wgrad_tiles(j, &r, a, panel, depth, col, cols);
        }
    }
}

void pf_cpu_wgrad(pf_cpu_be *c, float *grad, const float *a, int64_t lda,
                  const float *b, int64_t ldb, int64_t rows, int64_t cols,
                  int64_t M)
{
    pf_wgrad_job j = {.c = c,
                      .a = a,
                      .b = b,
                      .grad = grad,
                      .lda = lda,
                      .ldb = ldb,
                      .M = M,
                      .cut = cut(c, rows, cols)};
    pf_pool_run(c->base.pool, wgrad_task, &j,
                j.cut.row_tasks * j.cut.col_tasks);
}

#define BIAS_COLS 64
#define BIAS_ROWS 128

typedef struct pf_bias_job {
    const pf_row_kern *k;
    float *db;
    const float *dy;
    int64_t M, N;
} pf_bias_job;

static void bias_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_bias_job *j = arg;
    int64_t col = (int64_t)task * BIAS_COLS;
    int64_t n = PF_MIN(BIAS_COLS, j->N - col);
    for (int64_t m = 0; m < j->M; m += BIAS_ROWS) {
        float part[BIAS_COLS] = {0};
        for (int64_t i = m; i < PF_MIN(j->M, m + BIAS_ROWS); i++)
            j->k->axpy(part, j->dy + i * j->N + col, 1, n);
        j->k->axpy(j->db + col, part, 1, n);
    }
}

void pf_cpu_linear_wgrad(pf_backend *be, pf_weight *w, void *dbias,
                         const void *dy, const void *x, int64_t M)
{
    pf_cpu_be *c = pf_cpu_of(be);
    const float *d = dy;
    for (int p = 0; p < w->n_part; d += w->part[p++].n_out) {
        const pf_part *part = &w->part[p];
        if (!part->grad)
            continue;
        if (part->in_by_out)
            pf_cpu_wgrad(c, part->grad, x, w->n_in, d, w->n_out, w->n_in,
                         part->n_out, M);
        else
            pf_cpu_wgrad(c, part->grad, d, w->n_out, x, w->n_in, part->n_out,
                         w->n_in, M);
    }
    if (dbias) {
        pf_bias_job j = {c->rows, dbias, dy, M, w->n_out};
        pf_pool_run(be->pool, bias_task, &j,
                    (int)pf_div_up(w->n_out, BIAS_COLS));
    }
}

/* ------------------------------------------------------------ embedding -- */

#define EMBED_ROWS 64
#define EMBED_COLS 64

typedef struct pf_embed_job {
    const pf_row_kern *k;
    const pf_weight *wte, *wpe;
    float *x;
    const float *dx;
    const int32_t *tok, *pos;
    float scale;
    int64_t M;
} pf_embed_job;

/* y[n] += scale * row o of a weight from column col, in either orientation. */
static void add_master_row(const pf_row_kern *k, float *y, const pf_weight *w,
                           int32_t o, float scale)
{
    const pf_part *p = &w->part[0];
    if (!p->in_by_out) {
        k->axpy(y, p->master + o * w->n_in, scale, w->n_in);
        return;
    }
    for (int64_t i = 0; i < w->n_in; i++)
        y[i] += scale * p->master[i * p->n_out + o];
}

static void embed_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_embed_job *j = arg;
    int64_t m = (int64_t)task * EMBED_ROWS, C = j->wte->n_in;
    int64_t end = PF_MIN(j->M, m + EMBED_ROWS);
    memset(j->x + m * C, 0, (size_t)((end - m) * C) * sizeof(float));
    for (; m < end; m++) {
        add_master_row(j->k, j->x + m * C, j->wte, j->tok[m], j->scale);
        if (j->wpe)
            add_master_row(j->k, j->x + m * C, j->wpe, j->pos[m], 1);
    }
}

void pf_cpu_embed(pf_backend *be, void *x, const pf_weight *wte,
                  const pf_weight *wpe, const int32_t *tok, const int32_t *pos,
                  float scale, int64_t M)
{
    pf_embed_job j = {.k = pf_cpu_of(be)->rows, .wte = wte, .wpe = wpe, .x = x,
                      .tok = tok, .pos = pos, .scale = scale, .M = M};
    pf_pool_run(be->pool, embed_task, &j, (int)pf_div_up(M, EMBED_ROWS));
}

/* Columns [col, col + n) of dx, added to row o of the gradient. */
static void add_grad_row(const pf_row_kern *k, const pf_weight *w, int32_t o,
                         const float *dx, float scale, int64_t col, int64_t n)
{
    const pf_part *p = &w->part[0];
    float *grad = p->grad;
    if (grad && !p->in_by_out)
        k->axpy(grad + o * w->n_in + col, dx, scale, n);
    else if (grad)
        for (int64_t i = 0; i < n; i++)
            grad[(col + i) * p->n_out + o] += scale * dx[i];
}

/* A task owns columns and takes the rows in order: no two threads meet in one
 * element, however often a token comes. */
static void embed_bwd_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_embed_job *j = arg;
    int64_t col = (int64_t)task * EMBED_COLS, C = j->wte->n_in;
    int64_t n = PF_MIN(EMBED_COLS, C - col);
    for (int64_t m = 0; m < j->M; m++) {
        const float *d = j->dx + m * C + col;
        add_grad_row(j->k, j->wte, j->tok[m], d, j->scale, col, n);
        if (j->wpe)
            add_grad_row(j->k, j->wpe, j->pos[m], d, 1, col, n);
    }
}

void pf_cpu_embed_bwd(pf_backend *be, pf_weight *wte, pf_weight *wpe,
                      const void *dx, const int32_t *tok, const int32_t *pos,
                      float scale, int64_t M)
{
    pf_embed_job j = {.k = pf_cpu_of(be)->rows, .wte = wte, .wpe = wpe,
                      .dx = dx, .tok = tok, .pos = pos, .scale = scale, .M = M};
    pf_pool_run(be->pool, embed_bwd_task, &j,
                (int)pf_div_up(wte->n_in, EMBED_COLS));
}
