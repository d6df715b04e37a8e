/* SPDX-License-Identifier: MIT
 *
 * Inside the CPU backend: its structs, the kernels that are compiled once per
 * instruction set (pf_cpu_kern), and the operations of its files.
 *
 *   cpu.c         open, memory, scratch, the table of operations
 *   cpu_linear.c  packed weights and matrix products, embedding
 *   cpu_layer.c   norms, RoPE, activations, element-wise operations, optimizer
 *   cpu_attn.c    attention forward, decode; cpu_attn_bwd.c its backward
 *   cpu_head.c    the head in chunks of the vocabulary, forward and backward
 *   cpu_gemm_*.c, cpu_rows_*.c   kernels: cpu_gemm_body_int.h,
 *                 cpu_rows_body_int.h under each instruction set
 *
 * act = acc = f32. Another tier (AMX) is one more pair of kernel files.
 *
 * Exactness. An output of a matrix product is one accumulator that takes its
 * k in ascending order (or, where a sum is cut in pieces, pieces of fixed
 * size), whatever tile it lies in. So which rows or columns make up a task is
 * free to follow the number of threads.
 *
 * Line layout of a left operand: rows in tiles of mr, and in a tile 16 floats
 * (one cache line) of each of the mr rows in turn, so that packing copies
 * lines and the kernel walks memory in order. Rows past the end are zero.
 * Panel layout of a right operand: nr columns at a time, k-major. */
#ifndef PF_BACKEND_CPU_INT_H
#define PF_BACKEND_CPU_INT_H

#include "base/cpu.h"
#include "model/ops.h"

#define PF_LINE 16 /* floats */

/* One tile c[rows, cols] of a product over k = 0..depth-1, where
 *   lines:   a(r, k) = a[(k / 16) * a_step + r * 16 + k % 16]
 *   columns: a(r, k) = a[k * a_step + r]
 *   b(k, j) = b[k * ldb + j]
 *   c(r, j) = c[r * ldc + (j / 16) * c_line + j % 16]; c_line is 16 for plain
 *             rows
 * rows <= mr, cols <= nr. a must be readable for `height` rows (as tiles are
 * padded) and b for nr columns. */
typedef enum pf_tile_mode {
    PF_TILE_SET,  /* c = bias + sum (bias may be NULL) */
    PF_TILE_ADD,  /* c += bias + sum */
    PF_TILE_MORE, /* the sum goes on from c */
} pf_tile_mode;

typedef struct pf_tile {
    const float *a, *b, *bias;
    float *c;
    int64_t a_step, ldb, ldc, c_line, depth;
    int rows, cols;
    pf_tile_mode mode;
} pf_tile;

typedef struct pf_gemm_kern {
    int mr, nr;
    int half; /* a height of column tiles that divides a line, <= mr */
    void (*lines)(const pf_tile *t);
    void (*columns)(const pf_tile *t);
} pf_gemm_kern;

/* What one slice of the vocabulary adds to a row's softmax, relative to the
 * slice's largest logit. */
typedef struct pf_head_part {
    double sum, sum_z, sum_2; /* of e, e * (z - max), e^2; e = exp(z - max) */
    double total;             /* of z */
    float max;
    int32_t top;              /* first index with z == max */
} pf_head_part;

/* Row loops. n is a count of floats; pointers need no alignment. */
typedef struct pf_row_kern {
    void (*norm)(float *y, float *stat, const float *x, const float *w,
                 const float *b, pf_norm_kind kind, float eps, int64_t n,
                 bool add);
    /* dw, db: partial sums, += . add: dx += or = (then dx may be dy). */
    void (*norm_bwd)(float *dx, float *dw, float *db, const float *dy,
                     const float *x, const float *stat, const float *w,
                     pf_norm_kind kind, int64_t n, bool add);
    void (*act)(float *h, const float *gate, const float *up, pf_act_kind kind,
                int64_t n);
    void (*act_bwd)(float *dgate, float *dup, const float *dh,
                    const float *gate, const float *up, pf_act_kind kind,
                    int64_t n);
    void (*rope)(float *x, const float *cs, const float *sn, int64_t half);
    void (*axpy)(float *y, const float *x, float a, int64_t n); /* y += a x */
    double (*dot)(const float *x, const float *y, int64_t n);
    double (*sumsq)(const float *x, int64_t n);
    void (*optim)(const pf_optim_args *a, float *p, const float *g, float *m,
                  float *v, int64_t n);
    /* Scores of one row in lines (n_line of 16 floats, `step` floats apart):
     * bits[i] = the keys of line i that the row sees. Soft cap and scale are
     * applied; hidden keys get probability 0. softmax gives exp(s - max), their
     * sum (free of order) and the max; probs gives exp(s - lse). */
    double (*softmax)(float *s, int64_t step, const uint16_t *bits,
                      int64_t n_line, float scale, float cap, float *max);
    /* ds := (dp - delta) * p * scale * d cap, s := p; from raw scores s and
     * dp in ds. */
    void (*probs_bwd)(float *s, float *ds, int64_t step, const uint16_t *bits,
                      int64_t n_line, float scale, float cap, float lse,
                      float delta);
    void (*softcap)(float *z, float cap, int64_t n);
    void (*head_part)(pf_head_part *out, const float *z, int64_t n,
                      unsigned mask);
    /* z := -coef * exp(z - lse) (times d cap); z are capped logits. */
    void (*head_grad)(float *z, double lse, float coef, float cap, int64_t n);
} pf_row_kern;

extern const pf_gemm_kern pf_gemm_avx512, pf_gemm_avx2, pf_gemm_portable;
extern const pf_row_kern pf_rows_avx512, pf_rows_avx2, pf_rows_portable;

typedef struct pf_cpu_be {
    pf_backend base;
    const pf_gemm_kern *gemm;
    const pf_row_kern *rows;
    int threads;
    /* Scratch: `each` bytes for every thread, and one shared area. Grown by
     * reserve and weight_new only. */
    char *thread_mem, *shared_mem;
    size_t each, shared;
    /* Sizes the scratch was made for. */
    int64_t max_rows, head_rows, max_k;
    int64_t heads, kv_heads, head_dim, width, vocab;
    bool train;
} pf_cpu_be;

struct pf_weight {
    pf_part *part;
    int n_part;
    int64_t n_in, n_out;
    float *pack; /* panels of nr outputs: [n_out / nr][n_in][nr] */
    size_t pack_bytes;
};

static inline pf_cpu_be *pf_cpu_of(pf_backend *be)
{
    return (pf_cpu_be *)be;
}
static inline float *pf_cpu_scratch(const pf_cpu_be *c, int thread)
{
    return (float *)(c->thread_mem + (size_t)thread * c->each);
}
static inline int64_t pf_div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}
static inline int64_t pf_round_up(int64_t a, int64_t b)
{
    return pf_div_up(a, b) * b;
}

/* Sizes for pf_cpu_fit: a field of 0 asks for nothing. */
typedef struct pf_cpu_need {
    int64_t rows, head_rows, k, heads, kv_heads, head_dim, width, vocab;
    bool train;
} pf_cpu_need;
/* Grows the scratch; false when out of memory (nothing is lost). */
bool pf_cpu_fit(pf_cpu_be *c, const pf_cpu_need *n);
/* Floats of scratch by each file for c's sizes: per thread, shared. */
void pf_cpu_linear_need(const pf_cpu_be *c, int64_t *each, int64_t *shared);
void pf_cpu_layer_need(const pf_cpu_be *c, int64_t *each, int64_t *shared);
void pf_cpu_attn_need(const pf_cpu_be *c, int64_t *each, int64_t *shared);
void pf_cpu_head_need(const pf_cpu_be *c, int64_t *each, int64_t *shared);

/* ------------------------------------------- pieces of matrix products -- */

/* Rows per task of a product: at most PF_TASK_TILES tiles. */
#define PF_TASK_TILES 18
/* Depth of one piece of a gradient's sum over rows. */
#define PF_WGRAD_ROWS 512

/* x[rows, k] (ld apart) in line layout, tile after tile; rows past the end
 * and k up to a multiple of 16 are zero. Returns floats written. */
int64_t pf_cpu_pack_lines(const pf_gemm_kern *g, float *out, const float *x,
                          int64_t ld, int64_t rows, int64_t k);
/* b(k, j) = x[k * ld + j] for j < cols, as one panel of nr columns. */
void pf_cpu_pack_panel(const pf_gemm_kern *g, float *out, const float *x,
                       int64_t ld, int64_t depth, int64_t cols);
/* b(k, j) = x[j * ld + k]: the transposed operand as one panel. */
void pf_cpu_pack_turned(const pf_gemm_kern *g, float *out, const float *x,
                        int64_t ld, int64_t depth, int64_t cols);
/* c[rows, cols] by packed lines a and panels b (panel stride depth * nr). */
void pf_cpu_product(const pf_gemm_kern *g, float *c, int64_t ldc,
                    const float *a, const float *b, const float *bias,
                    int64_t rows, int64_t cols, int64_t depth,
                    pf_tile_mode mode);

/* grad[rows][cols] += sum over m < M of a[m][row] b[m][col]; in pieces of
 * PF_WGRAD_ROWS rows. Runs on the pool. */
void pf_cpu_wgrad(pf_cpu_be *c, float *grad, const float *a, int64_t lda,
                  const float *b, int64_t ldb, int64_t rows, int64_t cols,
                  int64_t M);

/* ---------------------------------------------------------- operations -- */

pf_weight *pf_cpu_weight_new(pf_backend *be, const pf_part *part, int n_part,
                             int64_t n_in, bool train);
void pf_cpu_weight_free(pf_backend *be, pf_weight *w);
void pf_cpu_weight_pack(pf_backend *be, pf_weight *w);
void pf_cpu_linear(pf_backend *be, void *y, const void *x, const pf_weight *w,
                   const float *bias, int64_t M);
void pf_cpu_linear_add(pf_backend *be, void *res, const void *x,
                       const pf_weight *w, const float *bias, int64_t M);
void pf_cpu_linear_dgrad(pf_backend *be, void *dx, const void *dy,
                         const pf_weight *w, int64_t M);
void pf_cpu_linear_wgrad(pf_backend *be, pf_weight *w, void *dbias,
                         const void *dy, const void *x, int64_t M);
void pf_cpu_embed(pf_backend *be, void *x, const pf_weight *wte,
                  const pf_weight *wpe, const int32_t *tok, const int32_t *pos,
                  float scale, int64_t M);
void pf_cpu_embed_bwd(pf_backend *be, pf_weight *wte, pf_weight *wpe,
                      const void *dx, const int32_t *tok, const int32_t *pos,
                      float scale, int64_t M);

void pf_cpu_norm(pf_backend *be, void *y, void *stat, const void *x,
                 const float *w, const float *b, pf_norm_kind kind, float eps,
                 const int32_t *row, int64_t R, int64_t C);
void pf_cpu_norm_bwd(pf_backend *be, void *dx, void *dw, void *db,
                     const void *dy, const void *x, const void *stat,
                     const float *w, pf_norm_kind kind, const int32_t *row,
                     int64_t R, int64_t C);
void pf_cpu_norm_add(pf_backend *be, void *res, void *stat, const void *y,
                     const float *w, const float *b, pf_norm_kind kind,
                     float eps, int64_t M, int64_t C);
void pf_cpu_norm_add_bwd(pf_backend *be, void *dy, void *dw, void *db,
                         const void *dres, const void *y, const void *stat,
                         const float *w, pf_norm_kind kind, int64_t M,
                         int64_t C);
void pf_cpu_qk_norm(pf_backend *be, void *x, void *inv, const float *w,
                    int64_t ld, int64_t col, int n_head, int D, bool full,
                    bool one_plus, float eps, int64_t M);
void pf_cpu_qk_norm_bwd(pf_backend *be, void *dx, void *dw, const void *x,
                        const void *inv, const float *w, int64_t ld,
                        int64_t col, int n_head, int D, bool full,
                        bool one_plus, int64_t M);
void pf_cpu_rope(pf_backend *be, void *x, int64_t ld, int64_t col, int n_head,
                 int D, int rot, const double *cos_sin, const int32_t *pos,
                 int sign, int64_t M);
void pf_cpu_act(pf_backend *be, void *h, const void *in, pf_act_kind kind,
                int64_t M, int64_t I);
void pf_cpu_act_bwd(pf_backend *be, void *din, const void *dh, const void *in,
                    pf_act_kind kind, int64_t M, int64_t I);
void pf_cpu_cast(pf_backend *be, void *act, const void *acc, int64_t n);
void pf_cpu_add(pf_backend *be, void *acc, const void *act, int64_t n);
double pf_cpu_sumsq(pf_backend *be, const void *acc, int64_t n);
void pf_cpu_optim(pf_backend *be, const pf_optim_args *a, float *p,
                  const void *g, float *m, float *v, int64_t n);

void pf_cpu_attn(pf_backend *be, void *o, void *lse, const void *qkv,
                 const pf_attn *a, int64_t M);
void pf_cpu_attn_bwd(pf_backend *be, void *dqkv, const void *d_o,
                     const void *o, const void *qkv, const void *lse,
                     const pf_attn *a, int64_t M);
void pf_cpu_attn_decode(pf_backend *be, void *o, const void *qkv,
                        void *const *k, void *const *v, const int32_t *first,
                        const int32_t *len, int n, const pf_attn *a);

void pf_cpu_head(pf_backend *be, const void *x, const pf_weight *w,
                 pf_head *h);
void pf_cpu_head_bwd(pf_backend *be, void *dx, const void *x, pf_weight *w,
                     const pf_head *h);
void pf_cpu_logits(pf_backend *be, float *out, const void *x,
                   const pf_weight *w, float softcap, int64_t R);

#endif
