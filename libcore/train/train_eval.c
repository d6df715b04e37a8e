/* SPDX-License-Identifier: MIT
 *
 * Evaluation: rows in file order in batches of eval_batch. As in TRL the loss
 * is weighted by rows, every other value is the plain mean over batches. */
#include "base/mem.h"
#include "train/train_int.h"

/* Rows that are packed together: several batches, so that blocks fill. */
enum { PACK_ROWS = 64 };

typedef struct sums {
    pf_window window;
    double loss; /* times rows */
    uint64_t rows, batches;
} sums;

static void add_batch(const pf_train *t, sums *s, const pf_item *it,
                      uint32_t n)
{
    double loss = 0, tokens = 0;
    for (uint32_t i = 0; i < n; i++) {
        loss += it[i].loss;
        tokens += it[i].n[0];
    }
    if (t->seq) /* likelihood: over the tokens of the batch */
        loss = tokens > 0 ? loss / tokens * n : 0;
    s->loss += loss;
    s->rows += n;
    s->batches++;
    pf_window_add(&s->window, it, n, t->a->loss.beta, t->seq);
}

static int eval_pack(pf_train *t, sums *s, const char *name, uint64_t first,
                     uint32_t n, uint32_t *at, pf_err *e)
{
    for (uint32_t i = 0; i < n; i++)
        at[i] = (uint32_t)first + i;
    int rc = pf_batch_load(&t->batch, at, n, e);
    if (rc == 0)
        rc = pf_batch_run(&t->batch, NULL, e);
    if (rc == 0 && t->log_rows)
        rc = pf_train_log_rows(t, name ? name : "", e);
    for (uint32_t i = 0; i < n && rc == 0; i += t->a->eval_batch)
        add_batch(t, s, t->batch.item + i, PF_MIN(t->a->eval_batch, n - i));
    return rc;
}

static int add_entry(pf_train *t, const char *prefix, const sums *s,
                     double seconds, pf_err *e)
{
    double sec = seconds > 1e-9 ? seconds : 1e-9;
    pf_buf b = {0};
    pf_jw j = {.out = &b};
    pf_jw_obj(&j);
    pf_jw_metric(&j, prefix, "loss", s->loss / (double)s->rows);
    pf_jw_metric(&j, prefix, "runtime", seconds);
    pf_jw_metric(&j, prefix, "samples_per_second", (double)s->rows / sec);
    pf_jw_metric(&j, prefix, "steps_per_second", (double)s->batches / sec);
    pf_window_write(&s->window, &j, prefix, t->num_tokens, t->seq);
    pf_jw_metric(&j, "", "epoch", t->epoch);
    pf_jw_key(&j, "step");
    pf_jw_i64(&j, t->step);
    pf_jw_end(&j, '}');
    int rc = b.failed ? pf_err_nomem(e)
                      : pf_history_add(&t->history, pf_buf_slice(&b), e);
    pf_buf_release(&b);
    return rc;
}

static int eval_set(pf_train *t, const pf_train_set *set, pf_err *e)
{
    const pf_train_args *a = t->a;
    double start = pf_train_seconds();
    uint64_t n_rows = set->rows->n_rows;
    if (a->drop_last)
        n_rows = n_rows / a->eval_batch * a->eval_batch;
    if (n_rows == 0)
        return pf_err_set(e, PF_E_USAGE,
                          "eval_dataset: not one batch of %u rows",
                          a->eval_batch);
    if (n_rows > UINT32_MAX)
        return pf_err_set(e, PF_E_LIMIT, "eval_dataset: too many rows");
    uint32_t pack = (PACK_ROWS + a->eval_batch - 1) / a->eval_batch *
                    a->eval_batch;
    uint32_t *at = pf_calloc(pack, sizeof *at);
    if (!at)
        return pf_err_nomem(e);
    sums s = {0};
    int rc = 0;
    t->batch.set = set->rows;
    for (uint64_t i = 0; i < n_rows && rc == 0; i += pack)
        rc = eval_pack(t, &s, set->name, i,
                       (uint32_t)PF_MIN(pack, n_rows - i), at, e);
    pf_free(at);
    if (rc < 0)
        return rc;
    pf_buf prefix = {0};
    pf_buf_str(&prefix, "eval_");
    if (set->name) {
        pf_buf_str(&prefix, set->name);
        pf_buf_char(&prefix, '_');
    }
    rc = prefix.failed ? pf_err_nomem(e)
                       : add_entry(t, prefix.p, &s,
                                   pf_train_seconds() - start, e);
    pf_buf_release(&prefix);
    return rc;
}

int pf_train_eval(pf_train *t, pf_err *e)
{
    int rc = 0;
    for (size_t i = 0; i < t->n_eval && rc == 0; i++) {
        rc = eval_set(t, &t->eval[i], e);
        if (rc == 0)
            pf_log_msg(t->h->log, PF_LOG_INFO, "%s",
                       t->history.line[t->history.n - 1]);
    }
    return rc;
}
