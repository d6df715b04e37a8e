/* SPDX-License-Identifier: MIT
 *
 * preftok: records -> token rows. */
#include <stdio.h>

#include "base/mem.h"
#include "text/template.h"
#include "tools/preftok_int.h"
#include "tools/tool.h"

typedef struct settings {
    pf_common common;
    const char *model, *template_, *output, *rejects;
    int64_t max_length, shard_size;
    int truncation, special, eos, bos, loss_on, to, boundary;
    bool text, decode;
} settings;

#define AT(field) offsetof(settings, field)
#define LATER "comes with a later version"
#define UNBUILT(name, arg) \
    {name, 0, PF_OPT_UNBUILT, 0, arg, LATER, 0, 0, NULL}

static const pf_opt options[] = {
    {"model", 'm', PF_OPT_STRING, AT(model), "MODEL",
     "directory with tokenizer.json, or such a file (also .zst, .gz)", 0, 0,
     "model_name_or_path"},
    {"max-length", 0, PF_OPT_INT, AT(max_length), "N",
     "most tokens of a prompt with one completion (default: the model's "
     "context)", 1, 1 << 28, NULL},
    {"truncation", 0, PF_OPT_CHOICE, AT(truncation),
     "drop|keep_start|keep_end",
     "rows that are longer: dropped (default), or cut", 0, 0,
     "truncation_mode"},
    {"template", 0, PF_OPT_STRING, AT(template_), "auto|none|FILE",
     "chat template for message lists (default auto: the model's)", 0, 0,
     NULL},
    {"boundary", 0, PF_OPT_CHOICE, AT(boundary), "common|joint|separate",
     "where completions begin (default common: after the common id prefix)",
     0, 0, NULL},
    {"special", 0, PF_OPT_CHOICE, AT(special), "none|nonspecial|parse|error",
     "special tokens written in content (default none: they are text)", 0, 0,
     NULL},
    {"eos", 0, PF_OPT_CHOICE, AT(eos), "auto|always|never",
     "EOS after completions (default auto: after texts, not templates)", 0, 0,
     NULL},
    {"bos", 0, PF_OPT_CHOICE, AT(bos), "auto|always|never",
     "BOS before prompts (default auto: as the tokenizer does)", 0, 0, NULL},
    {"loss-on", 0, PF_OPT_CHOICE, AT(loss_on), "auto|all",
     "tokens of sequences that carry loss (default auto: completions and "
     "assistant turns)", 0, 0, NULL},
    {"output", 'o', PF_OPT_STRING, AT(output), "DIR",
     "write a shard set (a file with --to jsonl, --text, --decode)", 0, 0,
     NULL},
    {"shard-size", 0, PF_OPT_SIZE, AT(shard_size), "BYTES",
     "size of a shard (default 64M)", 4096, 1LL << 40, NULL},
    {"to", 0, PF_OPT_CHOICE, AT(to), "chunks|jsonl",
     "rows in the container (default), or as JSON Lines", 0, 0, NULL},
    {"rejects", 0, PF_OPT_STRING, AT(rejects), "FILE",
     "write the rows that were not kept, with reasons, as JSON Lines", 0, 0,
     NULL},
    {"text", 0, PF_OPT_BOOL, AT(text), NULL,
     "each line is a JSON string: write its ids as a JSON array", 0, 0, NULL},
    {"decode", 0, PF_OPT_BOOL, AT(decode), NULL,
     "each line is an array of ids: write its text as a JSON string", 0, 0,
     NULL},
    UNBUILT("date", "DATE"),
    UNBUILT("part", "I/N"),
    UNBUILT("resume", NULL),
    UNBUILT("explain", NULL),
    UNBUILT("check", "VECTORS"),
    {.name = NULL},
};

static void show_progress(void *ctx, uint64_t rows)
{
    pf_progress(ctx, "rows", rows, 0, NULL);
}

static void warn(const char *what)
{
    pf_log_msg(pf_tool_log(), PF_LOG_WARN, "%s", what);
}

/* The positions the model was made for, from config.json; 0 = unknown. */
static int model_context(const char *path, uint64_t *out, pf_err *e)
{
    static const char *const key[] = {"max_position_embeddings", "n_positions",
                                      "n_ctx"};
    char *text = NULL, *file = pf_path_join(path, "config.json");
    size_t n;
    pf_jval root;
    pf_json *j = NULL;
    int rc = 0;
    if (!file)
        return pf_err_nomem(e);
    if (!pf_path_is_dir(path) || !pf_path_exists(file))
        goto done;
    rc = pf_read_file(file, 16 << 20, &text, &n, e);
    if (rc < 0)
        goto done;
    j = pf_json_new();
    rc = j ? pf_json_parse(j, (pf_slice){text, n}, &root, e) : pf_err_nomem(e);
    if (rc < 0) {
        pf_err_at(e, file, 0, -1);
        goto done;
    }
    for (size_t i = 0; i < PF_COUNTOF(key) && !*out; i++) {
        int64_t v;
        if (pf_ji64(pf_jget(root, key[i]), &v) && v > 0)
            *out = (uint64_t)v;
    }
done:
    pf_json_free(j);
    pf_free(text);
    pf_free(file);
    return rc;
}

/* Everything that is opened for a run. */
typedef struct opened {
    char *path;
    pf_tokenizer *tok;
    pf_template *tmpl;
    pf_encoder *enc;
    pf_tok_run run;
    int threads;
} opened;

static int open_template(opened *o, const settings *s, pf_err *e)
{
    const char *which = s->template_ ? s->template_ : "auto";
    const char *src = pf_tokenizer_chat_template(o->tok);
    char *text = NULL;
    size_t n = 0;
    if (strcmp(which, "none") == 0)
        return 0;
    const char *name = "chat_template";
    if (strcmp(which, "auto") == 0) {
        if (!src)
            return 0;
        n = strlen(src);
    } else {
        int rc = pf_read_file(which, 16 << 20, &text, &n, e);
        if (rc < 0)
            return rc;
        src = text;
        name = which;
    }
    pf_rows_head *h = &o->run.head;
    int rc = pf_template_new(&o->tmpl, (pf_slice){src, n}, name, e);
    if (rc == 0) {
        h->chat_template = pf_memdup0(src, n);
        h->chat_template_n = n;
        if (!h->chat_template)
            rc = pf_err_nomem(e);
    }
    o->run.warn_template = rc == 0 && !text;
    pf_free(text);
    return rc;
}

static int open_scratch(opened *o, pf_err *e)
{
    pf_tok_run *r = &o->run;
    bool text = r->mode == PF_TOK_TEXT;
    r->scratch = pf_calloc((size_t)o->threads, sizeof *r->scratch);
    r->tok_scratch = pf_calloc((size_t)o->threads, sizeof *r->tok_scratch);
    if (!r->scratch || !r->tok_scratch)
        return pf_err_nomem(e);
    for (int i = 0; i < o->threads && r->mode != PF_TOK_DECODE; i++) {
        int rc = text ? pf_tok_scratch_new(&r->tok_scratch[i], o->tok, e)
                      : pf_encode_scratch_new(&r->scratch[i], o->enc, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int open_encoder(opened *o, const settings *s, pf_err *e)
{
    uint64_t context = 0, tok_max = pf_tokenizer_max_length(o->tok);
    int rc = open_template(o, s, e);
    if (rc == 0)
        rc = model_context(o->path, &context, e);
    if (rc < 0)
        return rc;
    if (!context || (tok_max && tok_max < context))
        context = tok_max;
    pf_encode_opts opts = {
        .special = (pf_special)s->special,
        .eos = (pf_affix)s->eos,
        .bos = (pf_affix)s->bos,
        .truncation = (pf_truncation)s->truncation,
        .max_length = s->max_length ? (uint64_t)s->max_length : context,
        .loss_on = (pf_loss_on)s->loss_on,
    };
    return pf_encoder_new(&o->enc, o->tok, o->tmpl, &opts, e);
}

/* The head of the container: identity, and what others need of the model. */
static int make_head(opened *o, pf_err *e)
{
    pf_rows_head *h = &o->run.head;
    pf_slice json = pf_tokenizer_json(o->tok);
    pf_slice config = pf_tokenizer_config_json(o->tok);
    int argc;
    char **argv;
    h->vocab = pf_tokenizer_vocab(o->tok);
    h->tokenizer_json = pf_memdup0(json.p, json.n);
    h->tokenizer_json_n = json.n;
    if (config.n)
        h->tokenizer_config = pf_memdup0(config.p, config.n);
    h->tokenizer_config_n = config.n;
    if (!h->tokenizer_json || (config.n && !h->tokenizer_config))
        return pf_err_nomem(e);
    pf_tool_args(&argc, &argv);
    int rc = pf_encoder_ident(o->enc, &h->recipe, e);
    if (rc == 0)
        rc = pf_ident_set(&h->recipe, "row.schema", "1", e);
    return rc == 0 ? pf_provenance_add(h, "preftok", argc, argv, e) : rc;
}

static int open_output(opened *o, const settings *s, pf_err *e)
{
    pf_tok_run *r = &o->run;
    bool force = s->common.force;
    bool set = r->mode == PF_TOK_CHUNKS && s->output;
    r->out_opts.shard_bytes = (uint64_t)s->shard_size;
    r->out_opts.replace = force;
    if (set) {
        r->out_opts.dir = r->dir = s->output;
        char *m = pf_path_join(s->output, "manifest.json");
        if (!m)
            return pf_err_nomem(e);
        bool there = pf_path_exists(m);
        pf_free(m);
        if (there && !force)
            return pf_err_pos(e, PF_E_IO, s->output, 0, -1,
                              "a shard set is there already (-f replaces it)");
        return 0;
    }
    if (r->mode == PF_TOK_CHUNKS) {
        int rc = pf_refuse_terminal(e);
        if (rc < 0)
            return rc;
    }
    int rc = pf_writer_open(&r->w, s->output ? s->output : "-",
                            force ? PF_WRITE_REPLACE : PF_WRITE_NEW, e);
    r->lines.w = r->out_opts.w = r->w;
    return rc;
}

static void close_all(opened *o)
{
    pf_tok_run *r = &o->run;
    pf_rows_out_abort(r->out);
    pf_writer_abort(r->w);
    for (int i = 0; i < o->threads; i++) {
        if (r->scratch)
            pf_encode_scratch_free(r->scratch[i]);
        if (r->tok_scratch)
            pf_tok_scratch_free(r->tok_scratch[i]);
    }
    pf_free(r->scratch);
    pf_free(r->tok_scratch);
    pf_rows_head_release(&r->head);
    pf_encoder_free(o->enc);
    pf_template_free(o->tmpl);
    pf_tokenizer_free(o->tok);
    pf_free(o->path);
}

static int open_all(opened *o, const settings *s, pf_err *e)
{
    if (!s->model)
        return pf_err_set(e, PF_E_USAGE, "-m MODEL is needed");
    if (s->text && s->decode)
        return pf_err_set(e, PF_E_USAGE, "--text and --decode exclude each "
                          "other");
    if (s->boundary)
        return pf_err_set(e, PF_E_USAGE, "--boundary %s is not available: "
                          LATER, s->boundary == 1 ? "joint" : "separate");
    pf_tok_run *r = &o->run;
    r->mode = s->text ? PF_TOK_TEXT : s->decode ? PF_TOK_DECODE
                        : s->to == 1 ? PF_TOK_JSONL : PF_TOK_CHUNKS;
    r->special = (pf_special)s->special;
    r->progress = show_progress;
    r->warn = warn;
    r->ctx = (void *)&s->common;
    int rc = pf_model_path(&o->path, s->model, e);
    if (rc == 0)
        rc = pf_tokenizer_open(&o->tok, o->path, e);
    r->tok = o->tok;
    if (rc == 0 && r->mode <= PF_TOK_JSONL)
        rc = open_encoder(o, s, e);
    r->enc = o->enc;
    if (rc == 0 && r->mode == PF_TOK_CHUNKS)
        rc = make_head(o, e);
    return rc == 0 ? open_scratch(o, e) : rc;
}

static int publish(opened *o, pf_line_job *job, pf_err *e)
{
    pf_tok_run *r = &o->run;
    int rc = 0;
    if (job->rejects) {
        pf_writer *w = job->rejects;
        job->rejects = NULL;
        rc = pf_writer_commit(w, e);
    }
    if (rc == 0 && job->tally.count[PF_KEPT] == 0)
        return pf_err_set(e, PF_E_FORMAT,
                          "no row was kept: nothing is written");
    if (rc == 0 && r->out) {
        pf_rows_total total;
        pf_rows_out *out = r->out;
        r->out = NULL;
        rc = pf_rows_out_finish(out, &job->tally, &total, e);
    }
    if (rc == 0 && r->w) {
        if (r->mode == PF_TOK_JSONL)
            pf_record_writer_finish(&r->lines);
        pf_writer *w = r->w;
        r->w = NULL;
        rc = pf_writer_commit(w, e);
    }
    return rc;
}

static int run(const pf_tool *t, void *settings_, int n, char **operand,
               pf_err *e)
{
    settings *s = settings_;
    opened o = {.threads = (int)s->common.threads};
    pf_line_job job = {
        .path = operand,
        .n_path = n,
        .threads = (int)s->common.threads,
        .max_line = (size_t)s->common.max_line,
        .limit = (uint64_t)s->common.limit,
        .arrays = s->decode,
    };
    int rc = open_all(&o, s, e);
    if (rc == 0)
        rc = pf_line_job_open(&job, e);
    if (rc == 0)
        rc = open_output(&o, s, e);
    if (rc == 0 && s->rejects)
        rc = pf_writer_open(&job.rejects, s->rejects, PF_WRITE_REPLACE, e);
    if (rc == 0) {
        pf_tok_run_job(&o.run, &job);
        rc = pf_line_job_run(&job, e);
        pf_progress_end(&s->common);
        if (rc == 0) {
            rc = publish(&o, &job, e);
            /* After "no row was kept" the summary says why. */
            if (rc == 0 || rc == PF_E_FORMAT) {
                int told = pf_tool_summary(t, &s->common, &job.tally,
                                           job.bytes, e);
                rc = rc < 0 ? rc : told;
            }
        }
    }
    if (rc == 0)
        rc = pf_max_bad_check(&s->common, &job.tally, e);
    pf_writer_abort(job.rejects);
    pf_line_job_close(&job);
    close_all(&o);
    return rc;
}

static const pf_tool tool = {
    .name = "preftok",
    .synopsis = "-m MODEL [option ...] [FILE ...]",
    .summary = "turn records into token rows",
    .options = options,
    .common = "j progress limit stats f max-line max-bad",
    .settings_size = sizeof(settings),
    .run = run,
};

int main(int argc, char **argv)
{
    return pf_tool_main(&tool, argc, argv);
}
