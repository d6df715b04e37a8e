/* SPDX-License-Identifier: MIT
 *
 * pf_pool: a team of threads for kernels. A call is published by a generation
 * number; idle threads look at it for a moment before they sleep, because a
 * step makes thousands of short calls. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define SPINS 4000 /* some 20 microseconds */

typedef struct worker {
    pf_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct pf_pool {
    int n; /* threads, the caller included */
    worker *worker;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    /* the call in progress */
    pf_task_fn *fn;
    void *arg;
    int n_task;
    atomic_int next;       /* task to take */
    atomic_int busy;       /* helpers that have not finished this call */
    atomic_uint generation;
    bool stop;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void take_tasks(pf_pool *p, int thread)
{
    for (;;) {
        int t = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (t >= p->n_task)
            return;
        p->fn(p->arg, t, thread);
    }
}

/* Waits for a generation other than seen and returns it. */
static unsigned await_call(pf_pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        unsigned g = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (g != seen)
            return g;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    unsigned g;
    while ((g = atomic_load(&p->generation)) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return g;
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    pf_pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        seen = await_call(p, seen);
        if (p->stop)
            return NULL;
        take_tasks(p, w->index);
        if (atomic_fetch_sub_explicit(&p->busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

static void publish(pf_pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->generation, 1, memory_order_release);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void pf_pool_run(pf_pool *p, pf_task_fn *fn, void *arg, int n)
{
    if (!p || p->n == 1 || n <= 1) {
        for (int i = 0; i < n; i++)
            fn(arg, i, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->n_task = n;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store_explicit(&p->busy, p->n - 1, memory_order_relaxed);
    publish(p);
    take_tasks(p, 0);
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&p->busy, memory_order_acquire) == 0)
            return;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load_explicit(&p->busy, memory_order_acquire) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

/* Signals are for the thread that runs the tool: others block them, save
 * SIGPIPE, which comes to the thread that writes and must end the process. */
static int start_thread(pthread_t *t, void *(*fn)(void *), void *arg,
                        pf_err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(t, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        return 0;
    return pf_err_set(e, PF_E_LIMIT, "cannot start a thread: %s",
                      strerror(rc));
}

static void pool_stop(pf_pool *p, int started)
{
    p->stop = true;
    publish(p);
    for (int i = 1; i < started; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    pf_free(p->worker);
    pf_free(p);
}

int pf_pool_new(pf_pool **out, int n, pf_err *e)
{
    pf_pool *p = pf_calloc(1, sizeof *p);
    if (!p)
        return pf_err_nomem(e);
    p->n = PF_MAX(n, 1);
    p->worker = pf_calloc((size_t)p->n, sizeof *p->worker);
    if (!p->worker) {
        pf_free(p);
        return pf_err_nomem(e);
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    for (int i = 1; i < p->n; i++) {
        p->worker[i] = (worker){.pool = p, .index = i};
        int rc = start_thread(&p->worker[i].thread, worker_main, &p->worker[i],
                              e);
        if (rc < 0) {
            pool_stop(p, i);
            return rc;
        }
    }
    *out = p;
    return 0;
}

void pf_pool_free(pf_pool *p)
{
    if (p)
        pool_stop(p, p->n);
}

int pf_pool_threads(const pf_pool *p)
{
    return p ? p->n : 1;
}

int pf_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return PF_MAX(CPU_COUNT(&set), 1);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* --------------------------------------------------------------- pf_flow -- */

enum slot_state { SLOT_FREE, SLOT_BUSY, SLOT_READY };

typedef struct slot {
    enum slot_state state;
    int rc;
    pf_err err;
    void *item;
} slot;

typedef struct flow {
    const pf_flow *f;
    int n_slot;
    slot *slot;
    pthread_mutex_t lock;
    pthread_cond_t change;
    uint64_t produced, consumed; /* items so far */
    bool producing, consuming;
    bool ended; /* nothing further is to be produced */
    bool done;
    int rc;
    pf_err err;
} flow;

typedef struct flow_thread {
    flow *flow;
    pthread_t thread;
    int index;
} flow_thread;

static void flow_finish(flow *w, int rc, const pf_err *err)
{
    w->rc = rc;
    if (err)
        w->err = *err;
    w->ended = w->done = true;
}

/* Each of these is entered with the lock and leaves with it; they drop it
 * around the caller's function. */
static void consume_one(flow *w, slot *s)
{
    if (s->rc < 0) {
        flow_finish(w, s->rc, &s->err);
        return;
    }
    w->consuming = true;
    pthread_mutex_unlock(&w->lock);
    int rc = w->f->consume(w->f->ctx, s->item, &s->err);
    pthread_mutex_lock(&w->lock);
    w->consuming = false;
    s->state = SLOT_FREE;
    w->consumed++;
    if (rc < 0)
        flow_finish(w, rc, &s->err);
}

static void produce_one(flow *w, slot *s, int thread)
{
    w->producing = true;
    s->state = SLOT_BUSY;
    s->err = (pf_err)PF_ERR_INIT;
    pthread_mutex_unlock(&w->lock);
    int rc = w->f->produce(w->f->ctx, s->item, &s->err);
    pthread_mutex_lock(&w->lock);
    w->producing = false;
    if (rc <= 0)
        w->ended = true;
    if (rc == 0) {
        s->state = SLOT_FREE;
        return;
    }
    w->produced++;
    if (rc > 0) {
        pthread_cond_broadcast(&w->change);
        pthread_mutex_unlock(&w->lock);
        rc = w->f->work(w->f->ctx, s->item, thread, &s->err);
        pthread_mutex_lock(&w->lock);
        if (rc < 0)
            w->ended = true;
    }
    s->rc = PF_MIN(rc, 0);
    s->state = SLOT_READY;
}

static void flow_loop(flow *w, int thread)
{
    pthread_mutex_lock(&w->lock);
    while (!w->done) {
        slot *in = &w->slot[w->produced % (uint64_t)w->n_slot];
        slot *out = &w->slot[w->consumed % (uint64_t)w->n_slot];
        if (!w->consuming && out->state == SLOT_READY)
            consume_one(w, out);
        else if (!w->producing && !w->ended && in->state == SLOT_FREE)
            produce_one(w, in, thread);
        else if (w->ended && !w->producing && w->consumed == w->produced)
            flow_finish(w, 0, NULL);
        else {
            pthread_cond_wait(&w->change, &w->lock);
            continue;
        }
        pthread_cond_broadcast(&w->change);
    }
    pthread_mutex_unlock(&w->lock);
}

static void *flow_main(void *arg)
{
    flow_thread *t = arg;
    flow_loop(t->flow, t->index);
    return NULL;
}

static int flow_threads(flow *w, int threads, pf_err *e)
{
    flow_thread *t = pf_calloc((size_t)threads, sizeof *t);
    if (!t)
        return pf_err_nomem(e);
    int started = 1, rc = 0;
    for (; started < threads && rc == 0; started++) {
        t[started] = (flow_thread){.flow = w, .index = started};
        rc = start_thread(&t[started].thread, flow_main, &t[started], e);
        if (rc < 0)
            break;
    }
    if (rc < 0) {
        pthread_mutex_lock(&w->lock);
        flow_finish(w, rc, NULL);
        pthread_cond_broadcast(&w->change);
        pthread_mutex_unlock(&w->lock);
    } else {
        flow_loop(w, 0);
    }
    for (int i = 1; i < started; i++)
        pthread_join(t[i].thread, NULL);
    pf_free(t);
    return rc;
}

int pf_flow_run(const pf_flow *f, int threads, pf_err *e)
{
    threads = PF_MAX(threads, 1);
    flow w = {.f = f, .n_slot = threads == 1 ? 1 : threads + 2,
              .err = PF_ERR_INIT};
    int rc = 0, ready = 0;
    w.slot = pf_calloc((size_t)w.n_slot, sizeof *w.slot);
    if (!w.slot)
        return pf_err_nomem(e);
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.change, NULL);
    for (; ready < w.n_slot && rc == 0; ready++) {
        w.slot[ready].item = pf_calloc(1, f->item_size);
        if (!w.slot[ready].item)
            rc = pf_err_nomem(e);
        else if (f->item_init)
            rc = f->item_init(f->ctx, w.slot[ready].item, e);
    }
    if (rc == 0)
        rc = flow_threads(&w, threads, e);
    if (rc == 0 && w.rc < 0) {
        rc = w.rc;
        if (e && !e->code)
            *e = w.err;
    }
    for (int i = 0; i < ready; i++) {
        if (w.slot[i].item && f->item_release)
            f->item_release(f->ctx, w.slot[i].item);
        pf_free(w.slot[i].item);
    }
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.change);
    pf_free(w.slot);
    return rc;
}
