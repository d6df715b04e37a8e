/* SPDX-License-Identifier: MIT */
#include "train/order.h"

#include <math.h>

#include "base/mem.h"
#include "base/rng.h"

/* pf_torch_randperm follows torch below this. */
#define MAX_ROWS (UINT32_MAX / 20u)

int pf_order_init(pf_order *o, uint64_t n_rows, uint32_t batch,
                  uint32_t accum, bool drop_last, bool random, uint64_t seed,
                  pf_err *e)
{
    *o = (pf_order){.batch = batch, .accum = accum, .random = random,
                    .seed = seed, .row_epoch = -1};
    if (batch == 0 || accum == 0)
        return pf_err_set(e, PF_E_USAGE, "batch sizes must be above 0");
    if (n_rows > MAX_ROWS)
        return pf_err_set(e, PF_E_LIMIT, "a set of more than %u rows",
                          MAX_ROWS);
    o->n_rows = (uint32_t)n_rows;
    o->used = drop_last ? o->n_rows / batch * batch : o->n_rows;
    if (o->used == 0)
        return pf_err_set(e, PF_E_USAGE,
                          "%u rows are not one micro-batch of %u",
                          o->n_rows, batch);
    o->micro_per_epoch = ((int64_t)o->used + batch - 1) / batch;
    o->steps_per_epoch = (o->micro_per_epoch + accum - 1) / accum;
    o->row = pf_calloc(o->n_rows, sizeof *o->row);
    if (!o->row)
        return pf_err_nomem(e);
    return 0;
}

void pf_order_release(pf_order *o)
{
    pf_free(o->row);
    o->row = NULL;
}

int64_t pf_order_total(const pf_order *o, double epochs, int64_t max_steps)
{
    if (max_steps > 0)
        return max_steps;
    return (int64_t)ceil(epochs * (double)o->steps_per_epoch);
}

static void arrange(pf_order *o, int64_t epoch)
{
    if (o->row_epoch == epoch)
        return;
    if (o->random)
        pf_torch_randperm(o->seed + (uint64_t)epoch, o->row, o->n_rows);
    else if (o->row_epoch < 0)
        for (uint32_t i = 0; i < o->n_rows; i++)
            o->row[i] = i;
    o->row_epoch = epoch;
}

void pf_order_get(pf_order *o, int64_t step, pf_order_step *out)
{
    int64_t epoch = step / o->steps_per_epoch;
    int64_t first = step % o->steps_per_epoch * o->accum; /* micro-batch */
    int64_t last = PF_MIN(first + o->accum, o->micro_per_epoch);
    uint64_t begin = (uint64_t)first * o->batch;
    uint64_t end = PF_MIN((uint64_t)last * o->batch, (uint64_t)o->used);
    arrange(o, epoch);
    out->epoch = epoch;
    out->row = o->row + begin;
    out->n = (uint32_t)(end - begin);
    out->n_micro = (uint32_t)(last - first);
    out->epoch_after = (double)epoch + (double)last /
                                           (double)o->micro_per_epoch;
}
