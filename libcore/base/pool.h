/* SPDX-License-Identifier: MIT
 *
 * Threads. Two shapes of work, and no other source of threads in prefkit:
 *
 * pf_pool_run  the same function for task 0..n-1, for kernels. Which thread
 *              runs a task never matters to the result: a task owns what it
 *              writes, and cuts depend on shapes alone.
 * pf_flow      a pipeline produce -> work (parallel) -> consume (in the order
 *              of production), for filters. Output bytes are equal for every
 *              number of threads. */
#ifndef PF_BASE_POOL_H
#define PF_BASE_POOL_H

#include "base/err.h"

typedef struct pf_pool pf_pool;

/* n >= 1 threads including the caller of pf_pool_run (so 1 starts none).
 * PF_E_LIMIT when threads cannot be had. */
PF_MUST_CHECK int pf_pool_new(pf_pool **out, int n, pf_err *e);
void pf_pool_free(pf_pool *p);
int pf_pool_threads(const pf_pool *p);

/* Calls fn(arg, task, thread) for every task in [0, n); returns when all are
 * done. thread is in [0, pf_pool_threads). p == NULL runs them in the caller.
 * Not reentrant; one caller at a time. */
typedef void pf_task_fn(void *arg, int task, int thread);
void pf_pool_run(pf_pool *p, pf_task_fn *fn, void *arg, int n);

/* Cores this process may use. */
int pf_cpu_count(void);

typedef struct pf_flow {
    /* Fills item; 1 = there is one, 0 = end, < 0 error. One thread. */
    int (*produce)(void *ctx, void *item, pf_err *e);
    /* In any thread, thread in [0, threads). */
    int (*work)(void *ctx, void *item, int thread, pf_err *e);
    /* One thread, items in the order produced. */
    int (*consume)(void *ctx, void *item, pf_err *e);
    /* Prepare / dispose the reusable item slots (zeroed before init; release
     * is also called on a slot whose init failed). Both may be NULL. */
    int (*item_init)(void *ctx, void *item, pf_err *e);
    void (*item_release)(void *ctx, void *item);
    void *ctx;
    size_t item_size;
} pf_flow;

/* Runs the pipeline with `threads` threads, the caller among them (1 = all in
 * the caller, no thread is started), and threads + 2 slots. "One thread"
 * means one call at a time; which thread makes it may change. Returns 0, or
 * the error of the earliest item that failed: items before it have been
 * consumed, none after it. */
PF_MUST_CHECK int pf_flow_run(const pf_flow *f, int threads, pf_err *e);

#endif
