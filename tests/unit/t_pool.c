/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/pool.h"
#include "tests/pftest.h"

enum { TASKS = 500 };

typedef struct run {
    int done[TASKS];
    atomic_int bad;
    int threads;
} run;

static void task(void *arg, int t, int thread)
{
    run *r = arg;
    r->done[t]++;
    if (thread < 0 || thread >= r->threads)
        atomic_fetch_add(&r->bad, 1);
}

static void test_pool(void)
{
    static const int threads[] = {1, 2, 7};
    for (int i = 0; i < 3; i++) {
        pf_pool *p;
        CHECK_OK(pf_pool_new(&p, threads[i], NULL));
        CHECK_INT(pf_pool_threads(p), threads[i]);
        run r = {.threads = threads[i]};
        for (int k = 0; k < 300; k++)
            pf_pool_run(p, task, &r, k % TASKS);
        if (i == 1)
            usleep(20000); /* the helpers go to sleep */
        pf_pool_run(p, task, &r, TASKS);
        CHECK_INT(r.bad, 0);
        for (int t = 0; t < TASKS; t++)
            CHECK_INT(r.done[t], 1 + (t < 299 ? 299 - t : 0));
        pf_pool_free(p);
    }
    run r = {.threads = 1};
    pf_pool_run(NULL, task, &r, 3);
    CHECK_INT(r.done[2], 1);
    CHECK(pf_cpu_count() >= 1);
}

/* Numbers through a flow: where it fails, and what came out. */
typedef struct stream {
    int next, count;
    int fail_produce, fail_work, fail_consume, fail_init; /* -1 = never */
    int got, items;
    atomic_int producing, consuming, overlaps;
} stream;

typedef struct cell {
    int value, squared;
    char *memory;
} cell;

static int produce(void *ctx, void *item, pf_err *e)
{
    stream *s = ctx;
    if (atomic_fetch_add(&s->producing, 1))
        atomic_fetch_add(&s->overlaps, 1);
    int rc = s->next < s->count;
    ((cell *)item)->value = s->next;
    if (s->next == s->fail_produce)
        rc = pf_err_set(e, PF_E_TRUNCATED, "produce %d", s->next);
    s->next++;
    atomic_fetch_sub(&s->producing, 1);
    return rc;
}

static int work(void *ctx, void *item, int thread, pf_err *e)
{
    stream *s = ctx;
    cell *c = item;
    (void)thread;
    for (unsigned i = 0; i < pf_mix64((uint64_t)c->value) % 3000; i++)
        c->squared += (int)i;
    c->squared = c->value * c->value;
    if (s->fail_work >= 0 && c->value >= s->fail_work)
        return pf_err_set(e, PF_E_FORMAT, "work %d", c->value);
    return 0;
}

static int consume(void *ctx, void *item, pf_err *e)
{
    stream *s = ctx;
    cell *c = item;
    if (atomic_fetch_add(&s->consuming, 1) || c->value != s->got ||
        c->squared != c->value * c->value)
        atomic_fetch_add(&s->overlaps, 1);
    s->got++;
    atomic_fetch_sub(&s->consuming, 1);
    if (c->value == s->fail_consume)
        return pf_err_set(e, PF_E_IO, "consume %d", c->value);
    return 0;
}

static int init(void *ctx, void *item, pf_err *e)
{
    stream *s = ctx;
    if (s->items++ == s->fail_init)
        return pf_err_set(e, PF_E_LIMIT, "init");
    ((cell *)item)->memory = pf_alloc(10);
    return ((cell *)item)->memory ? 0 : pf_err_nomem(e);
}

static void release(void *ctx, void *item)
{
    (void)ctx;
    pf_free(((cell *)item)->memory);
}

static int flow(stream *s, int threads, pf_err *e)
{
    pf_flow f = {produce, work, consume, init, release, s, sizeof(cell)};
    return pf_flow_run(&f, threads, e);
}

static const stream sound = {
    .count = 1000,
    .fail_produce = -1,
    .fail_work = -1,
    .fail_consume = -1,
    .fail_init = -1,
};

static void test_flow(void)
{
    for (int threads = 1; threads <= 7; threads += 3) {
        pf_err e = PF_ERR_INIT;
        stream s = sound;
        CHECK_INT(flow(&s, threads, &e), 0);
        CHECK_INT(s.got, 1000);
        CHECK_INT(s.overlaps, 0);
        CHECK_INT(e.code, 0);
        stream none = sound;
        none.count = 0;
        CHECK_INT(flow(&none, threads, &e), 0);
        CHECK_INT(none.got, 0);
    }
}

static void test_flow_errors(void)
{
    for (int threads = 1; threads <= 7; threads += 2) {
        pf_err e = PF_ERR_INIT;
        stream p = sound;
        p.fail_produce = 500;
        CHECK_INT(flow(&p, threads, &e), PF_E_TRUNCATED);
        CHECK_STR(e.msg, "produce 500");
        CHECK_INT(p.got, 500);
        pf_err_clear(&e);
        stream w = sound;
        w.fail_work = 321;
        CHECK_INT(flow(&w, threads, &e), PF_E_FORMAT);
        CHECK_STR(e.msg, "work 321"); /* the earliest, though others fail */
        CHECK_INT(w.got, 321);
        pf_err_clear(&e);
        stream c = sound;
        c.fail_consume = 77;
        CHECK_INT(flow(&c, threads, &e), PF_E_IO);
        CHECK_STR(e.msg, "consume 77");
        CHECK_INT(c.got, 78);
        pf_err_clear(&e);
        stream i = sound;
        i.fail_init = threads == 1 ? 0 : 2;
        CHECK_INT(flow(&i, threads, &e), PF_E_LIMIT);
        CHECK_INT(i.got, 0);
    }
}

static int walk(int threads)
{
    stream s = sound;
    s.count = 20;
    return flow(&s, threads, NULL);
}

static int walk_pool(void)
{
    pf_pool *p;
    int rc = pf_pool_new(&p, 3, NULL);
    if (rc == 0)
        pf_pool_free(p);
    return rc;
}

static void test_oom(void)
{
    OOM_WALK(walk(1));
    OOM_WALK(walk(3));
    OOM_WALK(walk_pool());
}

static const pft_test tests[] = {
    {"pool", test_pool},
    {"flow keeps the order", test_flow},
    {"flow returns the earliest error", test_flow_errors},
    {"out of memory", test_oom},
};
PF_TEST_MAIN(tests)
