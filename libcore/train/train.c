/* SPDX-License-Identifier: MIT
 *
 * The loop. One optimizer step: rows -> blocks -> forward, loss, backward ->
 * clip -> update; then log, evaluate, save, in TRL's order. */
#include "train/train.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/mem.h"
#include "train/train_int.h"

double pf_train_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ----------------------------------------------------------------- set-up */

static int64_t block_rows(const pf_caps *c, uint64_t tokens)
{
    for (int i = 0; i < c->n_class; i++)
        if ((uint64_t)c->block_rows[i] >= tokens)
            return c->block_rows[i];
    uint64_t last = (uint64_t)c->block_rows[c->n_class - 1];
    return (int64_t)((tokens + last - 1) / last * last);
}

/* Tokens of the longest row, which decides the largest block. */
static int longest(const pf_rowset *s, uint64_t *most, pf_err *e)
{
    pf_row r;
    for (uint64_t i = 0; s && i < s->n_rows; i++) {
        int rc = s->get(s, i, &r, e);
        if (rc < 0)
            return rc;
        *most = PF_MAX(*most, pf_row_tokens(&r));
    }
    return 0;
}

static int check_set(const pf_train *t, const pf_rowset *s, const char *what,
                     pf_err *e)
{
    const pf_config *c = pf_model_config(t->model);
    if (s->n_rows == 0)
        return pf_err_set(e, PF_E_FORMAT, "%s: no rows", what);
    if (s->kind != PF_ROW_PAIR && s->kind != PF_ROW_SEQ)
        return pf_err_set(e, PF_E_USAGE,
                          "%s: training on %s rows is not built in this "
                          "version", what, pf_row_kind_name(s->kind));
    if ((s->kind == PF_ROW_SEQ) != t->seq)
        return pf_err_set(e, PF_E_FORMAT, "%s: %s rows beside %s rows", what,
                          pf_row_kind_name(s->kind),
                          t->seq ? "seq" : "pair");
    if ((int64_t)s->vocab > c->V)
        return pf_err_set(e, PF_E_IDENTITY,
                          "%s: ids of a vocabulary of %u, the model has %lld",
                          what, s->vocab, (long long)c->V);
    if (!t->seq && !s->ref)
        return pf_err_set(e, PF_E_IDENTITY, "%s: no references (run refscore)",
                          what);
    return 0;
}

static int check_sets(pf_train *t, pf_err *e)
{
    const pf_rowset *first = t->rows ? t->rows : t->eval[0].rows;
    t->seq = first->kind == PF_ROW_SEQ;
    if (!t->seq) {
        int rc = pf_loss_check(&t->a->loss, e);
        if (rc < 0)
            return rc;
        if (pf_loss_is_group(&t->a->loss))
            return pf_err_set(e, PF_E_USAGE, "losses that look across rows "
                                             "are not built in this version");
    }
    int rc = t->rows ? check_set(t, t->rows, "train_dataset", e) : 0;
    for (size_t i = 0; i < t->n_eval && rc == 0; i++)
        rc = check_set(t, t->eval[i].rows, "eval_dataset", e);
    return rc;
}

static int set_batch(pf_train *t, pf_err *e)
{
    const pf_train_args *a = t->a;
    const pf_config *c = pf_model_config(t->model);
    t->batch.model = t->model;
    t->batch.loss = t->seq ? NULL : &a->loss;
    t->batch.max_len = c->max_pos > 0 ? c->max_pos : INT32_MAX;
    uint64_t most = 1, bytes = 0;
    int rc = longest(t->rows, &most, e);
    for (size_t i = 0; i < t->n_eval && rc == 0; i++)
        rc = longest(t->eval[i].rows, &most, e);
    if (rc < 0)
        return rc;
    if (most > (uint64_t)INT32_MAX / 2)
        return pf_err_set(e, PF_E_LIMIT, "a row of %llu tokens",
                          (unsigned long long)most);
    int64_t rows = block_rows(&pf_model_backend(t->model)->caps, most);
    rc = pf_batch_reserve(&t->batch, rows, rows, &bytes, e);
    if (rc == 0)
        pf_log_msg(t->h->log, PF_LOG_INFO,
                   "memory: optimizer %.1f MiB, blocks of %lld rows %.1f MiB",
                   (double)pf_optim_bytes(&t->optim) / 0x1p20,
                   (long long)rows, (double)bytes / 0x1p20);
    return rc;
}

static int set_steps(pf_train *t, pf_err *e)
{
    const pf_train_args *a = t->a;
    if (!a->train)
        return 0;
    int rc = pf_order_init(&t->order, t->rows->n_rows, a->batch, a->accum,
                           a->drop_last, a->random, a->order_seed, e);
    if (rc < 0)
        return rc;
    t->total = pf_order_total(&t->order, a->epochs, a->max_steps);
    if (t->total < 1)
        return pf_err_set(e, PF_E_USAGE, "no steps: num_train_epochs %g",
                          a->epochs);
    t->schedule = (pf_schedule){
        .kind = a->schedule, .lr = a->lr, .total = t->total,
        .warmup = pf_schedule_warmup(a->warmup_steps, t->total)};
    t->log_every = pf_schedule_interval(a->log_steps, t->total);
    t->eval_every = pf_schedule_interval(a->eval_steps, t->total);
    t->save_every = pf_schedule_interval(a->save_steps, t->total);
    return pf_optim_init(&t->optim, t->model, &a->optim, e);
}

/* ----------------------------------------------------------------- a step */

/* What each row's loss counts in the step's: mean of micro-batch means; seq:
 * one over the target tokens of the whole step. */
static int set_weights(pf_train *t, const pf_order_step *s, pf_err *e)
{
    uint32_t b = t->a->batch;
    if (!PF_GROW(&t->weight, &t->cap_weight, s->n))
        return pf_err_nomem(e);
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t in_micro = PF_MIN(b, s->n - i / b * b);
        t->weight[i] = 1 / ((double)in_micro * s->n_micro);
        if (t->seq)
            t->weight[i] = t->batch.n_target
                               ? 1 / (double)t->batch.n_target
                               : 0;
    }
    return 0;
}

static int check_step0(pf_train *t, pf_err *e)
{
    const pf_batch *b = &t->batch;
    double d2 = 0, most = 0;
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const pf_item *it = &b->item[i];
        for (int k = 0; k < PF_LOSS_K; k++) {
            double d = it->x.logp[k] - it->x.ref[k];
            most = fmax(most, fabs(d));
            if (t->a->step0 == PF_STEP0_EXACT && d != 0)
                return pf_err_set(
                    e, PF_E_IDENTITY,
                    "step 0: row %llu, branch %d: log-probability %.9g, its "
                    "reference says %.9g, yet both are by the same model and "
                    "kernels", (unsigned long long)it->at, k, it->x.logp[k],
                    it->x.ref[k]);
            if (!isnan(it->ref_err2))
                tokens += it->n[k];
        }
        d2 += isnan(it->ref_err2) ? 0 : it->ref_err2;
    }
    double rms = tokens ? sqrt(d2 / (double)tokens) : 0;
    if (t->a->step0 == PF_STEP0_EXACT) {
        pf_log_msg(t->h->log, PF_LOG_INFO,
                   "step 0: references are exact: rewards 0, loss %.9g",
                   pf_loss_at_zero(&t->a->loss));
        return 0;
    }
    if (t->a->step0 == PF_STEP0_REPORT)
        pf_log_msg(t->h->log, PF_LOG_INFO,
                   "step 0: references of other origin: %.3g nat rms a token "
                   "from the policy, at most %.3g a branch", rms, most);
    else
        pf_log_msg(t->h->log, PF_LOG_WARN,
                   "step 0: references differ by %.3g nat rms a token "
                   "(allowed %.3g), at most %.3g a branch", rms,
                   t->a->step0_rms, most);
    if (t->a->step0 == PF_STEP0_TOLERANCE && !(rms <= t->a->step0_rms))
        return pf_err_set(e, PF_E_IDENTITY,
                          "step 0: references differ by %.3g nat rms a token "
                          "from the policy they claim to be, allowed %.3g",
                          rms, t->a->step0_rms);
    return 0;
}

int pf_train_log_rows(pf_train *t, const char *eval, pf_err *e)
{
    pf_buf b = {0};
    double beta = t->a->loss.beta;
    for (uint32_t i = 0; i < t->batch.n; i++) {
        const pf_item *it = &t->batch.item[i];
        pf_jw j = {.out = &b};
        pf_jw_obj(&j);
        if (eval) {
            pf_jw_key(&j, "eval");
            pf_jw_cstr(&j, eval);
        }
        pf_jw_key(&j, "step");
        pf_jw_i64(&j, t->step + !eval);
        pf_jw_key(&j, "row");
        pf_jw_u64(&j, it->at);
        pf_jw_key(&j, "row_id");
        pf_jw_u64(&j, it->row_id);
        pf_jw_metric(&j, "", "loss", it->loss);
        pf_jw_metric(&j, "", t->seq ? "logps" : "logps/chosen",
                     it->x.logp[0]);
        if (!t->seq) {
            pf_jw_metric(&j, "", "logps/rejected", it->x.logp[1]);
            pf_jw_metric(&j, "", "rewards/chosen",
                         beta * (it->x.logp[0] - it->x.ref[0]));
            pf_jw_metric(&j, "", "rewards/rejected",
                         beta * (it->x.logp[1] - it->x.ref[1]));
        }
        pf_jw_end(&j, '}');
        pf_buf_char(&b, '\n');
    }
    int rc = 0;
    if (b.failed)
        rc = pf_err_nomem(e);
    else if (fwrite(b.p, 1, b.n, t->log_rows) != b.n ||
             fflush(t->log_rows) != 0)
        rc = pf_err_errno(e, t->a->log_rows, "cannot write");
    pf_buf_release(&b);
    return rc;
}

/* The update, unless the step gave something that is not a number: then the
 * weights stay (TRL would spoil them). */
static void update(pf_train *t, double loss)
{
    pf_window *w = &t->window;
    double norm = pf_optim_grad_norm(&t->optim);
    t->last_norm = norm;
    t->last_lr = pf_schedule_lr(&t->schedule, t->step);
    if (isfinite(norm) && isfinite(loss)) {
        pf_optim_step(&t->optim, t->last_lr, norm);
        w->loss += loss;
    } else {
        pf_log_msg(t->h->log, PF_LOG_WARN,
                   "step %lld skipped: loss %g, gradient norm %g",
                   (long long)t->step + 1, loss, norm);
        w->loss += w->steps ? w->loss / (double)w->steps : 0;
    }
    w->steps++;
}

static void count(pf_train *t, const pf_order_step *s, double seconds)
{
    const pf_item *it = t->batch.item;
    for (uint32_t at = 0; at < s->n; at += t->a->batch)
        pf_window_add(&t->window, it + at, PF_MIN(t->a->batch, s->n - at),
                      t->a->loss.beta, t->seq);
    for (uint32_t i = 0; i < s->n; i++) {
        t->num_tokens += it[i].tokens;
        t->window.tokens += it[i].tokens;
    }
    t->window.rows += s->n;
    t->window.seconds += seconds;
    t->epoch = s->epoch_after;
}

static int train_step(pf_train *t, pf_err *e)
{
    double start = pf_train_seconds();
    pf_order_step s;
    pf_order_get(&t->order, t->step, &s);
    t->batch.set = t->rows;
    int rc = pf_batch_load(&t->batch, s.row, s.n, e);
    if (rc == 0)
        rc = set_weights(t, &s, e);
    if (rc < 0)
        return rc;
    pf_model_zero_grad(t->model);
    rc = pf_batch_run(&t->batch, t->weight, e);
    if (rc == 0 && t->step == 0 && !t->seq)
        rc = check_step0(t, e);
    if (rc == 0 && t->log_rows)
        rc = pf_train_log_rows(t, NULL, e);
    if (rc == 0 && t->step == 0 && t->a->dump_grads)
        rc = pf_model_save_grads(t->model, t->a->dump_grads, e);
    if (rc < 0)
        return rc;
    double loss = 0;
    for (uint32_t i = 0; i < s.n; i++)
        loss += t->weight[i] * t->batch.item[i].loss;
    update(t, loss);
    t->step++;
    count(t, &s, pf_train_seconds() - start);
    return 0;
}

/* ---------------------------------------------------------- log and friends */

static int add_log(pf_train *t, pf_err *e)
{
    pf_window *w = &t->window;
    pf_buf b = {0};
    pf_jw j = {.out = &b};
    pf_jw_obj(&j);
    pf_jw_metric(&j, "", "loss", w->loss / (double)(t->step - t->last_log));
    pf_jw_metric(&j, "", "grad_norm", t->last_norm);
    pf_jw_metric(&j, "", "learning_rate", t->last_lr);
    pf_window_write(w, &j, "", t->num_tokens, t->seq);
    double sec = fmax(w->seconds, 1e-9);
    pf_jw_metric(&j, "", t->seq ? "samples_per_second" : "pairs_per_second",
                 (double)w->rows / sec);
    pf_jw_metric(&j, "", "tokens_per_second", (double)w->tokens / sec);
    pf_jw_metric(&j, "", "epoch", t->epoch);
    pf_jw_key(&j, "step");
    pf_jw_i64(&j, t->step);
    pf_jw_end(&j, '}');
    int rc = b.failed ? pf_err_nomem(e)
                      : pf_history_add(&t->history, pf_buf_slice(&b), e);
    pf_buf_release(&b);
    t->total_loss += w->loss;
    t->last_log = t->step;
    *w = (pf_window){0};
    return rc;
}

/* The train_runtime entry that ends a run, with TRL's tail window. */
static int add_summary(pf_train *t, double seconds, pf_train_result *r,
                       pf_err *e)
{
    const pf_window *w = &t->window;
    double steps = (double)(t->step - t->first_step);
    double sec = fmax(seconds, 1e-9);
    double rows = (double)t->order.used * steps /
                  (double)t->order.steps_per_epoch;
    r->train_seconds = seconds;
    r->train_loss = (t->total_loss + w->loss) / fmax(steps, 0.001);
    pf_buf b = {0};
    pf_jw j = {.out = &b};
    pf_jw_obj(&j);
    pf_jw_metric(&j, "", "train_runtime", seconds);
    pf_jw_metric(&j, "", "train_samples_per_second", rows / sec);
    pf_jw_metric(&j, "", "train_steps_per_second", steps / sec);
    pf_jw_metric(&j, "", "total_flos", 0);
    pf_jw_metric(&j, "", "train_loss", r->train_loss);
    if (w->micro)
        pf_window_write(w, &j, "", t->num_tokens, t->seq);
    pf_jw_metric(&j, "", "epoch", t->epoch);
    pf_jw_key(&j, "step");
    pf_jw_i64(&j, t->step);
    pf_jw_end(&j, '}');
    int rc = b.failed ? pf_err_nomem(e)
                      : pf_history_add(&t->history, pf_buf_slice(&b), e);
    pf_buf_release(&b);
    return rc;
}

static bool due(pf_when when, int64_t every, int64_t step, bool epoch_end)
{
    return (when == PF_WHEN_STEPS && step % every == 0) ||
           (when == PF_WHEN_EPOCH && epoch_end);
}

/* After a step: log, evaluate, save. The end of a run counts as the end of
 * its epoch. */
static int after_step(pf_train *t, pf_err *e)
{
    const pf_train_args *a = t->a;
    bool last = t->step >= t->total;
    bool epoch_end = last || t->step % t->order.steps_per_epoch == 0;
    int rc = 0;
    const char *entry = NULL;
    if (due(a->log_when, t->log_every, t->step, epoch_end) ||
        (a->log_first && t->step == 1)) {
        rc = add_log(t, e);
        if (rc < 0)
            return rc;
        entry = t->history.line[t->history.n - 1];
    }
    if (t->h->step)
        t->h->step(t->h->ctx, t->step, t->total, entry);
    double at = a->eval_when == PF_WHEN_EPOCH ? t->epoch : (double)t->step;
    if (t->n_eval && a->eval_delay <= at &&
        (due(a->eval_when, t->eval_every, t->step, epoch_end) ||
         (last && a->eval_when == PF_WHEN_STEPS)))
        rc = pf_train_eval(t, e);
    bool save = due(a->save_when, t->save_every, t->step, epoch_end) ||
                (last && a->save_when == PF_WHEN_STEPS);
    if (rc == 0 && save && a->output_dir)
        rc = pf_checkpoint_save(t, e);
    return rc;
}

static int loop(pf_train *t, pf_train_result *r, pf_err *e)
{
    double start = pf_train_seconds();
    int rc = 0;
    if (t->step == 0 && t->a->eval_on_start && t->n_eval)
        rc = pf_train_eval(t, e);
    while (rc == 0 && t->step < t->total) {
        rc = train_step(t, e);
        if (rc == 0)
            rc = after_step(t, e);
        if (rc == 0 && t->step < t->total && t->h->stop &&
            t->h->stop(t->h->ctx)) {
            r->stopped = true;
            if (t->a->output_dir && !t->a->save_only_model)
                rc = pf_checkpoint_save(t, e);
            break;
        }
    }
    r->steps = t->step;
    if (rc == 0 && !r->stopped)
        rc = add_summary(t, pf_train_seconds() - start, r, e);
    return rc;
}

/* ----------------------------------------------------------------- a run */

static int open_outputs(pf_train *t, pf_err *e)
{
    const pf_train_args *a = t->a;
    if (a->output_dir) {
        int rc = pf_make_dirs(a->output_dir, e);
        if (rc < 0)
            return rc;
        char *path = pf_path_join(a->output_dir, "metrics.jsonl");
        if (!path)
            return pf_err_nomem(e);
        rc = pf_history_open(&t->history, path, e);
        pf_free(path);
        if (rc < 0)
            return rc;
    }
    if (a->log_rows) {
        t->log_rows = fopen(a->log_rows, t->step ? "a" : "w");
        if (!t->log_rows)
            return pf_err_errno(e, a->log_rows, "cannot open");
    }
    return 0;
}

static int save_final(pf_train *t, pf_err *e)
{
    const pf_train_args *a = t->a;
    if (!a->output_dir)
        return 0;
    int rc = t->h->beside ? t->h->beside(t->h->ctx, a->output_dir, e) : 0;
    if (rc == 0)
        rc = pf_model_save(t->model, a->output_dir, a->save_dtype, e);
    return rc;
}

static void release(pf_train *t)
{
    if (t->log_rows)
        fclose(t->log_rows);
    pf_history_release(&t->history);
    pf_batch_release(&t->batch);
    pf_optim_release(&t->optim);
    pf_order_release(&t->order);
    pf_free(t->weight);
}

int pf_train_run(pf_model *m, const pf_train_args *a, const pf_rowset *rows,
                 const pf_train_set *eval, size_t n_eval,
                 const pf_train_hooks *h, pf_train_result *r, pf_err *e)
{
    static const pf_train_hooks none = {0};
    pf_train t = {.model = m, .a = a, .rows = a->train ? rows : NULL,
                  .eval = eval, .n_eval = n_eval, .h = h ? h : &none};
    *r = (pf_train_result){0};
    if (!t.rows && (a->train || n_eval == 0))
        return pf_err_set(e, PF_E_USAGE, a->train ? "no train_dataset"
                                                  : "nothing to do: do_train "
                                                    "is false and there is "
                                                    "no eval_dataset");
    int rc = check_sets(&t, e);
    if (rc == 0)
        rc = set_steps(&t, e);
    if (rc == 0)
        rc = set_batch(&t, e);
    if (rc == 0 && a->resume)
        rc = pf_checkpoint_load(&t, e);
    t.first_step = t.step;
    if (rc == 0)
        rc = open_outputs(&t, e);
    if (rc == 0)
        rc = a->train ? loop(&t, r, e) : pf_train_eval(&t, e);
    if (rc == 0 && a->train && !r->stopped)
        rc = save_final(&t, e);
    if (rc == 0)
        rc = pf_history_sync(&t.history, e);
    release(&t);
    return rc;
}
