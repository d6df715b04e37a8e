/* SPDX-License-Identifier: MIT
 *
 * prefgen: samples continuations of prompts from a model. */
#include "tools/prefgen_int.h"

typedef struct settings {
    pf_common common;
    const char *model, *prompt, *output;
    int64_t n, max_new, top_k;
    double temperature, top_p;
    const char *stop;
    int backend, dtype;
} settings;

#define AT(field) offsetof(settings, field)

static const char *const backends[] = {"auto", "cpu", "ref"};
static const char *const dtypes[] = {"auto", "bf16", "f32"};

static const pf_opt options[] = {
    {"model", 'm', PF_OPT_STRING, AT(model), "MODEL",
     "model directory, or org/name in the local Hugging Face cache", 0, 0,
     "model_name_or_path"},
    {"prompt", 0, PF_OPT_STRING, AT(prompt), "TEXT",
     "continue this text and print the samples as they are", 0, 0, NULL},
    {"output", 'o', PF_OPT_STRING, AT(output), "FILE",
     "write to FILE, whole or not at all (default: standard output)", 0, 0,
     NULL},
    {"num-samples", 'n', PF_OPT_INT, AT(n), "K",
     "samples of each prompt (default 1)", 1, 4096, NULL},
    {"max_new_tokens", 0, PF_OPT_INT, AT(max_new), "N",
     "tokens of a sample (default 128)", 1, 0x1p24, NULL},
    {"temperature", 0, PF_OPT_FLOAT, AT(temperature), "X",
     "divides the logits (default 1; 0: always the likeliest token)", 0, 1e6,
     NULL},
    {"top_p", 0, PF_OPT_FLOAT, AT(top_p), "X",
     "draw from the likeliest tokens that hold this share (default 1)", 0, 1,
     NULL},
    {"top_k", 0, PF_OPT_INT, AT(top_k), "N",
     "draw from the N likeliest tokens (default 0: all)", 0, 0x1p31, NULL},
    {"stop", 0, PF_OPT_STRING, AT(stop), "TEXT",
     "end a sample before this text", 0, 0, NULL},
    {"backend", 0, PF_OPT_CHOICE, AT(backend), "auto|cpu|ref",
     "what computes (default auto)", 0, 0, NULL},
    {"dtype", 0, PF_OPT_CHOICE, AT(dtype), "auto|bf16|f32",
     "arithmetic of the matrix products (default auto)", 0, 0, NULL},
    {"condition", 0, PF_OPT_UNBUILT, 0, "TEXT", "comes with a later version",
     0, 0, NULL},
    {.name = NULL},
};

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->n = 1;
    s->max_new = 128;
    s->temperature = 1;
    s->top_p = 1;
}

/* --prompt: each sample as it is, with a line feed after it. */
static int one_prompt(pf_gen *g, const char *prompt, pf_writer *w, pf_err *e)
{
    int rc = pf_gen_prompt(g, pf_slice_of(prompt), e);
    for (int i = 0; rc == 0 && i < g->n; i++) {
        pf_writer_write(w, g->sample[i].text.p, g->sample[i].text.n);
        pf_writer_write(w, "\n", 1);
    }
    return rc;
}

static int run(const pf_tool *t, void *settings_, int n_operand,
               char **operand, pf_err *e)
{
    settings *s = settings_;
    pf_writer *w = NULL;
    pf_gen g = {.n = (int)s->n,
                .max_new = (int)s->max_new,
                .limit = s->common.limit,
                .max_line = (size_t)s->common.max_line,
                .stop = s->stop,
                .common = &s->common};
    pf_gen_args a = {s->model,
                     backends[s->backend],
                     dtypes[s->dtype],
                     (int)s->common.threads,
                     s->temperature,
                     s->top_p,
                     s->top_k,
                     s->common.seed};
    if (!s->model)
        return pf_err_set(e, PF_E_USAGE, "-m MODEL is needed");
    if (n_operand > 0)
        return pf_err_set(e, PF_E_USAGE,
                          "unexpected operand %s: prompts come by --prompt or "
                          "standard input",
                          operand[0]);
    if (s->stop && !*s->stop)
        return pf_err_set(e, PF_E_USAGE, "--stop is empty");
    int rc = pf_gen_open(&g, &a, e);
    if (rc == 0)
        rc = pf_writer_open(&w, s->output ? s->output : "-",
                            s->common.force ? PF_WRITE_REPLACE : PF_WRITE_NEW,
                            e);
    if (rc == 0)
        rc = s->prompt ? one_prompt(&g, s->prompt, w, e)
                       : pf_gen_stream(&g, w, e);
    pf_progress_end(&s->common);
    if (rc == 0) {
        rc = pf_writer_commit(w, e);
        w = NULL;
    }
    if (rc == 0 && !s->prompt)
        rc = pf_tool_summary(t, &s->common, &g.tally, g.bytes, e);
    if (rc == 0 && !s->prompt)
        rc = pf_max_bad_check(&s->common, &g.tally, e);
    pf_writer_abort(w);
    pf_gen_close(&g);
    return rc;
}

static const pf_tool tool = {
    .name = "prefgen",
    .synopsis = "-m MODEL [option ...]",
    .summary = "sample continuations of prompts",
    .options = options,
    .common = "j progress seed limit stats f max-line max-bad",
    .settings_size = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

int main(int argc, char **argv)
{
    return pf_tool_main(&tool, argc, argv);
}
