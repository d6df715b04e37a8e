/* SPDX-License-Identifier: MIT
 *
 * preftrain: scored token rows -> a trained Hugging Face model directory. */
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "tools/preftrain_int.h"

static int stop(void *ctx)
{
    (void)ctx;
    return pf_stop_signal();
}

static void on_step(void *ctx, int64_t step, int64_t total, const char *entry)
{
    const pf_train_setup *u = ctx;
    pf_progress(&u->s->common, "steps", (uint64_t)step, (uint64_t)total, NULL);
    if (entry)
        pf_log_msg(pf_tool_log(), PF_LOG_INFO, "%s", entry);
}

static int check_settings(const pf_train_settings_cli *s, pf_err *e)
{
    if (!s->model)
        return pf_err_set(e, PF_E_USAGE, "--model is missing");
    if (s->do_train && !s->train_dataset)
        return pf_err_set(e, PF_E_USAGE, "--train_dataset is missing");
    if (s->do_train && !s->output_dir)
        return pf_err_set(e, PF_E_USAGE, "--output_dir is missing");
    if (!s->do_train && s->eval_dataset.n == 0)
        return pf_err_set(e, PF_E_USAGE, "--do_train false needs "
                                         "--eval_dataset");
    if (s->eval_strategy != PF_WHEN_NO && s->eval_dataset.n == 0)
        return pf_err_set(e, PF_E_USAGE, "--eval_strategy needs "
                                         "--eval_dataset");
    return 0;
}

static bool wants_resume(const pf_train_settings_cli *s)
{
    return s->do_train && s->resume && strcmp(s->resume, "false") != 0;
}

/* An older run is neither mixed with nor lost. */
static int check_output(const pf_train_settings_cli *s, pf_err *e)
{
    if (!s->output_dir || s->common.force || wants_resume(s))
        return 0;
    char *path = pf_path_join(s->output_dir, "metrics.jsonl");
    if (!path)
        return pf_err_nomem(e);
    bool there = pf_path_exists(path);
    pf_free(path);
    if (there)
        return pf_err_pos(e, PF_E_IO, s->output_dir, 0, -1,
                          "holds a run already (-f replaces it, "
                          "--resume_from_checkpoint true goes on)");
    return 0;
}

/* The output would take the place of the weights that a resume and the
 * references are compared with. */
static int check_in_place(const pf_train_setup *u, pf_err *e)
{
    struct stat a, b;
    if (!u->s->do_train || stat(u->dir, &a) != 0 ||
        stat(u->s->output_dir, &b) != 0 || a.st_dev != b.st_dev ||
        a.st_ino != b.st_ino)
        return 0;
    return pf_err_set(e, PF_E_USAGE,
                      "--output_dir is the model's own directory");
}

/* Where to go on from; a fresh start removes checkpoints of an older run. */
static int find_start(const pf_train_settings_cli *s, char **resume,
                      pf_err *e)
{
    *resume = NULL;
    if (!s->do_train)
        return 0;
    if (wants_resume(s) && strcmp(s->resume, "true") != 0) {
        *resume = pf_strdup(s->resume);
        return *resume ? 0 : pf_err_nomem(e);
    }
    if (wants_resume(s)) {
        int rc = pf_checkpoint_last(s->output_dir, resume, e);
        if (rc < 0 || *resume)
            return rc;
        pf_log_msg(pf_tool_log(), PF_LOG_WARN,
                   "no checkpoint in %s: starting from the beginning",
                   s->output_dir);
    }
    return pf_checkpoint_clear(s->output_dir, e);
}

static int train(pf_train_setup *u, const char *resume, pf_err *e)
{
    pf_train_args a;
    bool seq = pf_set_head(pf_train_setup_first(u))->kind == PF_ROW_SEQ;
    int rc = pf_preftrain_args(u->s, seq, &a, e);
    if (rc < 0)
        return rc;
    a.resume = resume;
    a.identity = &u->identity;
    a.step0 = u->step0;
    a.step0_rms = u->step0_rms;
    pf_train_hooks h = {.ctx = u, .log = pf_tool_log(), .stop = stop,
                        .step = on_step, .beside = pf_train_setup_beside};
    pf_train_result r;
    pf_catch_stop();
    rc = pf_train_run(u->model, &a, pf_train_setup_rows(u), u->eval_set,
                      u->n_eval, &h, &r, e);
    pf_progress_end(&u->s->common);
    if (rc == 0 && r.stopped)
        pf_log_msg(pf_tool_log(), PF_LOG_WARN,
                   "stopped after step %lld; --resume_from_checkpoint true "
                   "goes on", (long long)r.steps);
    return rc;
}

static int run(const pf_tool *t, void *settings, int n_operand,
               char **operand, pf_err *e)
{
    const pf_train_settings_cli *s = settings;
    pf_train_setup u = {.s = s};
    pf_train_args a;
    char *resume = NULL;
    (void)t;
    (void)n_operand;
    (void)operand;
    pf_preftrain_notes();
    int rc = check_settings(s, e);
    if (rc == 0) /* mistakes of usage first: opening sets may take long */
        rc = pf_preftrain_args(s, s->loss_type.n == 1 &&
                                      strcmp(s->loss_type.v[0], "nll") == 0,
                               &a, e);
    if (rc == 0)
        rc = check_output(s, e);
    if (rc == 0)
        rc = pf_train_setup_open(&u, e);
    if (rc == 0)
        rc = check_in_place(&u, e);
    if (rc == 0)
        rc = find_start(s, &resume, e);
    if (rc == 0)
        rc = train(&u, resume, e);
    pf_train_setup_release(&u);
    pf_free(resume);
    return rc;
}

static const pf_tool tool = {
    .name = "preftrain",
    .synopsis = "--model MODEL --train_dataset DIR --output_dir DIR "
                "[option ...]",
    .summary = "train a language model on preferences, without its reference",
    .options = pf_preftrain_options,
    .common = "threads j progress seed force f",
    .no_operand = true,
    .settings_size = sizeof(pf_train_settings_cli),
    .defaults = pf_preftrain_defaults,
    .run = run,
};

int main(int argc, char **argv)
{
    return pf_tool_main(&tool, argc, argv);
}
