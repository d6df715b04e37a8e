/* SPDX-License-Identifier: MIT
 *
 * refscore: adds the reference model's per-token log-probabilities to rows. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer.h"
#include "tools/refscore_int.h"
#include "tools/tool.h"

typedef struct settings {
    pf_common common;
    const char *model, *output, *in_place, *name;
    int dtype, backend, to;
    bool resume;
} settings;

#define AT(field) offsetof(settings, field)
#define LATER "comes with a later version"

static const pf_opt options[] = {
    {"model", 'm', PF_OPT_STRING, AT(model), "MODEL",
     "the reference model: a Hugging Face directory, or org/name in the local "
     "cache",
     0, 0, "model_name_or_path"},
    {"output", 'o', PF_OPT_STRING, AT(output), "DIR",
     "write a shard set with the references (with --to jsonl: a file); "
     "default: a stream on standard output",
     0, 0, NULL},
    {"in-place", 0, PF_OPT_STRING, AT(in_place), "DIR",
     "add the references to the set in DIR", 0, 0, NULL},
    {"name", 0, PF_OPT_STRING, AT(name), "NAME",
     "name of the references (default: the model's base name)", 0, 0, NULL},
    {"dtype", 0, PF_OPT_CHOICE, AT(dtype), "auto|bf16|f32",
     "arithmetic of the model (default auto: the fastest the backend has)", 0,
     0, NULL},
    {"backend", 0, PF_OPT_CHOICE, AT(backend), "auto|cpu|ref",
     "what computes: cpu, or ref, the slow f64 oracle", 0, 0, NULL},
    {"resume", 0, PF_OPT_BOOL, AT(resume), NULL,
     "continue a killed run from the parts it finished", 0, 0, NULL},
    {"to", 0, PF_OPT_CHOICE, AT(to), "chunks|jsonl",
     "form of the output (default chunks)", 0, 0, NULL},
    {"part", 0, PF_OPT_UNBUILT, 0, "I/N", LATER, 0, 0, NULL},
    {"verify", 0, PF_OPT_UNBUILT, 0, "N", LATER, 0, 0, NULL},
    {.name = NULL},
};

typedef struct job {
    pf_refscore r;
    pf_rows_in *in;
    pf_pool *pool;
    pf_backend *be;
    pf_model *model;
    char *path, *name;
} job;

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    pf_progress(ctx, "rows", done, total, NULL);
}

/* The last part of the operand, in the letters that names may have. */
static char *base_name(const char *model)
{
    size_t n = strlen(model);
    while (n && model[n - 1] == '/')
        n--;
    size_t from = n;
    while (from && model[from - 1] != '/')
        from--;
    n -= from;
    char *s = pf_memdup0(model + from, PF_MIN(n, PF_REF_NAME_MAX));
    if (!s)
        return NULL;
    for (char *p = s; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("._-", *p);
        if (!plain || (p == s && (*p == '.' || *p == '-')))
            *p = '_';
    }
    if (*s && strcmp(s, "imported") != 0)
        return s;
    pf_free(s);
    return pf_strdup("model");
}

static int check_settings(const settings *s, int n, pf_err *e)
{
    if (!s->model)
        return pf_err_set(e, PF_E_USAGE, "-m MODEL is needed");
    if (n > 1)
        return pf_err_set(e, PF_E_USAGE, "one input at a time");
    if (s->in_place && (n || s->output || s->to || s->common.limit))
        return pf_err_set(e, PF_E_USAGE, "--in-place takes no operand, -o, "
                          "--to or --limit");
    if (s->resume && !s->in_place && (!s->output || s->to))
        return pf_err_set(e, PF_E_USAGE,
                          "--resume needs --in-place DIR or -o DIR");
    if (!s->output && !s->in_place && !s->to)
        return pf_refuse_terminal(e);
    return 0;
}

static int open_input(job *j, const settings *s, int n, char **operand,
                      pf_err *e)
{
    int rc = pf_model_path(&j->path, s->model, e);
    if (rc < 0)
        return rc;
    if (s->in_place)
        return 0;
    rc = pf_rows_in_open(&j->in, n ? operand[0] : "-", e);
    if (rc == 0 && pf_rows_in_head(j->in)->kind == PF_ROW_SEQ)
        rc = pf_err_set(e, PF_E_USAGE, "seq rows need no references");
    return rc;
}

/* The model's own tokenizer, where it has one we read, must give the same
 * tokens to the ids as that of the rows. */
static int check_tokenizer(job *j, const pf_rows_head *h, pf_err *e)
{
    const char *want = pf_ident_get(&h->recipe, "tokenizer.vocab");
    char *file = pf_path_join(j->path, "tokenizer.json");
    uint8_t all[PF_SHA256_BYTES], vocab[PF_SHA256_BYTES];
    char hex[PF_SHA256_HEX];
    pf_tokenizer *t = NULL;
    pf_err why = PF_ERR_INIT;
    if (!file)
        return pf_err_nomem(e);
    bool there = pf_path_exists(file);
    pf_free(file);
    if (!want || !there)
        return 0;
    int rc = pf_tokenizer_open(&t, j->path, &why);
    if (rc == PF_E_USAGE || rc == PF_E_FORMAT) {
        pf_log_msg(pf_tool_log(), PF_LOG_WARN, "cannot compare tokenizers: %s",
                   why.msg);
        return 0;
    }
    if (rc < 0) {
        if (e)
            *e = why;
        return rc;
    }
    pf_tokenizer_digest(t, all, vocab);
    pf_tokenizer_free(t);
    if (strcmp(want, pf_hex(vocab, sizeof vocab, hex)) == 0)
        return 0;
    return pf_err_pos(e, PF_E_IDENTITY, j->path, 0, -1,
                      "a model of another vocabulary than the rows' "
                      "(tokenizer.vocab is %.16s.., want %.16s..)",
                      hex, want);
}

static int open_model(job *j, const settings *s, pf_err *e)
{
    static const char *const dtype[] = {"auto", "bf16", "f32"};
    static const char *const backend[] = {"auto", "cpu", "ref"};
    pf_model_opts o = {.log = pf_tool_log()};
    int rc = pf_pool_new(&j->pool, (int)s->common.threads, e);
    if (rc == 0)
        rc = pf_backend_open(&j->be, backend[s->backend], dtype[s->dtype],
                             j->pool, e);
    if (rc == 0)
        rc = pf_model_load(&j->model, j->path, j->be, &o, e);
    if (rc == 0)
        rc = pf_scorer_new(&j->r.scorer, j->model, e);
    return rc == 0 ? pf_scorer_identity(j->r.scorer, &j->r.ident, e) : rc;
}

static int open_output(job *j, const settings *s, pf_err *e)
{
    pf_refscore *r = &j->r;
    r->lines = s->to == 1;
    r->resume = s->resume;
    r->force = s->common.force;
    r->limit = (uint64_t)s->common.limit;
    r->progress = show_progress;
    r->stopped = pf_stop_signal;
    r->ctx = (void *)&s->common;
    if (s->in_place || (s->output && !r->lines)) {
        r->dir = s->in_place ? s->in_place : s->output;
        return 0;
    }
    return pf_writer_open(&r->w, s->output ? s->output : "-",
                          r->force ? PF_WRITE_REPLACE : PF_WRITE_NEW, e);
}

static int score_all(job *j, const settings *s, pf_err *e)
{
    int argc;
    char **argv;
    if (s->in_place) {
        pf_set *set;
        int rc = pf_set_open(&set, s->in_place, NULL, e);
        if (rc == 0) {
            rc = check_tokenizer(j, pf_set_head(set), e);
            pf_set_close(set);
        }
        return rc < 0 ? rc : pf_refscore_in_place(&j->r, e);
    }
    const pf_rows_head *h = pf_rows_in_head(j->in);
    int rc = pf_scorer_check_vocab(j->r.scorer, h->vocab, e);
    if (rc == 0)
        rc = check_tokenizer(j, h, e);
    pf_tool_args(&argc, &argv);
    return rc < 0 ? rc
                  : pf_refscore_filter(&j->r, j->in, argc, argv, e);
}

static int run(const pf_tool *t, void *settings_, int n, char **operand,
               pf_err *e)
{
    settings *s = settings_;
    job j = {0};
    int rc = check_settings(s, n, e);
    if (rc < 0)
        return rc;
    pf_catch_stop();
    j.name = s->name ? pf_strdup(s->name) : base_name(s->model);
    rc = j.name ? pf_ref_name_check(j.name, e) : pf_err_nomem(e);
    j.r.name = j.name;
    if (rc == 0)
        rc = open_input(&j, s, n, operand, e);
    if (rc == 0)
        rc = open_model(&j, s, e);
    if (rc == 0)
        rc = open_output(&j, s, e);
    if (rc == 0)
        rc = score_all(&j, s, e);
    pf_progress_end(&s->common);
    if (rc == 0) {
        pf_tally done = {.in = j.r.rows, .count = {j.r.rows}};
        rc = pf_tool_summary(t, &s->common, &done, j.r.tokens * 4, e);
    }
    pf_refscore_release(&j.r);
    pf_rows_in_close(j.in);
    pf_model_free(j.model);
    pf_backend_close(j.be);
    pf_pool_free(j.pool);
    pf_free(j.path);
    pf_free(j.name);
    return rc;
}

static const pf_tool tool = {
    .name = "refscore",
    .synopsis = "-m MODEL [option ...] [DIR | FILE | -]",
    .summary = "add reference log-probabilities to token rows",
    .options = options,
    .common = "j progress limit stats f",
    .settings_size = sizeof(settings),
    .run = run,
};

int main(int argc, char **argv)
{
    return pf_tool_main(&tool, argc, argv);
}
