/* SPDX-License-Identifier: MIT
 *
 * Speed of the cpu backend's matrix products, beside OpenBLAS where its shared
 * object is found, and of attention and the head. The contenders take turns
 * round by round, so that a noisy machine hits both; medians of the rounds.
 *
 *   bench_gemm [threads [rounds [portable|avx2|avx512]]]
 *
 * Prints per shape: ours and OpenBLAS in GF/s and their ratio. OpenBLAS gets
 * its operands unpacked, as a caller has them; ours packs the left one in the
 * call and has the weight packed beforehand, as in use. */
#include "base/cpu.h"
#include "model/ops.h"

#include "base/compiler.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k,
                      float alpha, const float *a, int lda, const float *b,
                      int ldb, float beta, float *c, int ldc);
enum { ROW_MAJOR = 101, PLAIN = 111, TURNED = 112, MAX_ROUNDS = 99 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

static float *numbers(size_t n)
{
    float *p = malloc(n * sizeof *p);
    for (size_t i = 0; p && i < n; i++)
        p[i] = (float)((i * 2654435761u >> 7) % 2001) / 1000 - 1;
    if (!p)
        exit(7);
    return p;
}

static sgemm_fn *open_peer(int threads)
{
    void *so = dlopen("libopenblas.so.0", RTLD_NOW);
    if (!so)
        return NULL;
    void *set = dlsym(so, "openblas_set_num_threads");
    void *mul = dlsym(so, "cblas_sgemm");
    void (*set_threads)(int);
    sgemm_fn *fn;
    memcpy(&set_threads, &set, sizeof set);
    memcpy(&fn, &mul, sizeof mul);
    if (set)
        set_threads(threads);
    return fn;
}

typedef struct bench {
    pf_backend *be;
    sgemm_fn *peer;
    int rounds;
} bench;

typedef struct operands {
    int M, K, N;
    float *x, *y, *dx, *dy, *master, *grad;
    pf_weight *w;
} operands;

enum { FORWARD, DGRAD, WGRAD, N_KIND };
static const char *const kind_name[] = {"forward", "dgrad", "wgrad"};

static void ours(const bench *b, const operands *o, int kind)
{
    const pf_ops *ops = b->be->ops;
    if (kind == FORWARD)
        ops->linear(b->be, o->y, o->x, o->w, NULL, o->M);
    else if (kind == DGRAD)
        ops->linear_dgrad(b->be, o->dx, o->dy, o->w, o->M);
    else
        ops->linear_wgrad(b->be, o->w, NULL, o->dy, o->x, o->M);
}

static void theirs(const bench *b, const operands *o, int kind)
{
    int M = o->M, K = o->K, N = o->N;
    if (kind == FORWARD)
        b->peer(ROW_MAJOR, PLAIN, TURNED, M, N, K, 1, o->x, K, o->master, K, 0,
                o->y, N);
    else if (kind == DGRAD)
        b->peer(ROW_MAJOR, PLAIN, PLAIN, M, K, N, 1, o->dy, N, o->master, K, 0,
                o->dx, K);
    else
        b->peer(ROW_MAJOR, TURNED, PLAIN, N, K, M, 1, o->dy, N, o->x, K, 1,
                o->grad, K);
}

static void products(const bench *b, int M, int K, int N)
{
    size_t k = (size_t)K, n = (size_t)N, m = (size_t)M;
    operands o = {.M = M, .K = K, .N = N, .x = numbers(m * k),
                  .y = numbers(m * n), .dx = numbers(m * k),
                  .dy = numbers(m * n), .master = numbers(k * n),
                  .grad = numbers(k * n)};
    pf_part part = {o.master, o.grad, N, false};
    o.w = b->be->ops->weight_new(b->be, &part, 1, K, true);
    if (!o.w)
        exit(7);
    b->be->ops->weight_pack(b->be, o.w);
    for (int kind = 0; kind < N_KIND; kind++) {
        double a[MAX_ROUNDS], p[MAX_ROUNDS], gf = 2e-9 * M * K * N;
        for (int r = -1; r < b->rounds; r++) {
            double t0 = now();
            ours(b, &o, kind);
            double t1 = now();
            if (b->peer)
                theirs(b, &o, kind);
            double t2 = now();
            if (r >= 0) { /* the first warms up */
                a[r] = gf / (t1 - t0);
                p[r] = gf / (t2 - t1);
            }
        }
        double mine = median(a, b->rounds), other = median(p, b->rounds);
        printf("%-8s M %4d  %4d -> %5d  %6.1f GF/s", kind_name[kind], M, K, N,
               mine);
        if (b->peer)
            printf("  openblas %6.1f  ratio %.2f", other, mine / other);
        printf("\n");
    }
    b->be->ops->weight_free(b->be, o.w);
    float *all[] = {o.x, o.y, o.dx, o.dy, o.master, o.grad};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        free(all[i]);
}

/* One causal group of n rows, or 1024 / n of them. */
static void attention(const bench *b, int n, int H, int G, int D)
{
    enum { M = 1024 };
    static pf_keys keys[M];
    static pf_group group[M];
    for (int i = 0; i < M; i++)
        keys[i] = (pf_keys){i / n * n, i / n * n, i / n * n, i + 1};
    for (int g = 0; g < M / n; g++)
        group[g] = (pf_group){g * n, n};
    pf_attn a = {.H = H, .G = G, .D = D, .scale = 0.125f, .keys = keys,
                 .group = group, .n_group = M / n};
    size_t width = (size_t)(H + 2 * G) * (size_t)D, out = (size_t)(H * D);
    float *qkv = numbers(M * width), *o = numbers(M * out);
    float *lse = numbers(M * (size_t)H), *dqkv = numbers(M * width);
    float *d_o = numbers(M * out);
    double f[MAX_ROUNDS], d[MAX_ROUNDS];
    double gf = 2e-9 * 2 * M * (n / 2.0) * H * D;
    for (int r = 0; r < b->rounds; r++) {
        double t0 = now();
        b->be->ops->attn(b->be, o, lse, qkv, &a, M);
        double t1 = now();
        b->be->ops->attn_bwd(b->be, dqkv, d_o, o, qkv, lse, &a, M);
        f[r] = gf / (t1 - t0);
        d[r] = 2.5 * gf / (now() - t1);
    }
    printf("attention T %4d  %d/%d x %d   forward %6.1f GF/s  backward %6.1f\n",
           n, H, G, D, median(f, b->rounds), median(d, b->rounds));
    float *all[] = {qkv, o, lse, dqkv, d_o};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        free(all[i]);
}

static void head(const bench *b, int R, int C, int V)
{
    size_t r = (size_t)R, c = (size_t)C, v = (size_t)V;
    float *x = numbers(r * c), *dx = numbers(r * c), *coef = numbers(r);
    float *master = numbers(v * c), *grad = numbers(v * c), *logp = numbers(r);
    double *lse = malloc(r * sizeof *lse);
    int32_t *row = malloc(r * 4), *target = malloc(r * 4);
    for (int i = 0; i < R; i++) {
        row[i] = i;
        target[i] = i * 37 % V;
    }
    pf_part part = {master, grad, V, false};
    pf_weight *w = b->be->ops->weight_new(b->be, &part, 1, C, true);
    if (!w)
        exit(7);
    b->be->ops->weight_pack(b->be, w);
    pf_head h = {.R = R, .T = R, .C = C, .V = V, .row = row, .target = target,
                 .logp = logp, .lse = lse, .coef = coef};
    double f[MAX_ROUNDS], d[MAX_ROUNDS], gf = 2e-9 * R * C * V;
    int rounds = b->rounds < 5 ? b->rounds : 5;
    for (int i = 0; i < rounds; i++) {
        double t0 = now();
        b->be->ops->head(b->be, x, w, &h);
        double t1 = now();
        b->be->ops->head_bwd(b->be, dx, x, w, &h);
        f[i] = gf / (t1 - t0);
        d[i] = 3 * gf / (now() - t1);
    }
    printf("head R %4d  %d -> %d  forward %6.1f GF/s  backward %6.1f\n", R, C,
           V, median(f, rounds), median(d, rounds));
    b->be->ops->weight_free(b->be, w);
    float *all[] = {x, dx, coef, master, grad, logp};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        free(all[i]);
    free(lse);
    free(row);
    free(target);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : pf_cpu_count();
    bench b = {.rounds = argc > 2 ? atoi(argv[2]) : 9};
    if (threads < 1 || b.rounds < 1 || b.rounds > MAX_ROUNDS)
        return 2;
    for (int t = PF_CPU_PORTABLE; argc > 3 && t <= PF_CPU_AVX512; t++)
        if (strcmp(argv[3], pf_cpu_name((pf_cpu)t)) == 0)
            pf_cpu_cap((pf_cpu)t);
    pf_pool *pool = NULL;
    pf_err e = PF_ERR_INIT;
    char text[400];
    if (pf_pool_new(&pool, threads, &e) < 0 ||
        pf_backend_open(&b.be, "cpu", "f32", pool, &e) < 0 ||
        b.be->ops->reserve(b.be, 1024, 1024, 12, 12, 64, 768, 3072, 50304,
                           true, &e) < 0) {
        fprintf(stderr, "bench_gemm: %s\n", pf_err_text(&e, text, sizeof text));
        return 7;
    }
    b.peer = open_peer(threads);
    printf("%s, %d threads, %d rounds\n", b.be->caps.kernel_id, threads,
           b.rounds);
    products(&b, 1024, 576, 1536);
    products(&b, 1024, 1536, 576);
    products(&b, 1024, 576, 960);
    products(&b, 1024, 768, 3072);
    products(&b, 1024, 3072, 768);
    products(&b, 300, 768, 3072);
    attention(&b, 128, 9, 3, 64);
    attention(&b, 256, 9, 3, 64);
    attention(&b, 1024, 9, 3, 64);
    attention(&b, 256, 12, 12, 64);
    head(&b, 300, 576, 49152);
    pf_backend_close(b.be);
    pf_pool_free(pool);
    return 0;
}
