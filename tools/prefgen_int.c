/* SPDX-License-Identifier: MIT */
#include "tools/prefgen_int.h"

#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/mem.h"
#include "data/record.h"
#include "formats/record_writer.h"
#include "formats/source.h"

/* ---------------------------------------------------------- one prompt -- */

int pf_gen_open(pf_gen *g, const pf_gen_args *a, pf_err *e)
{
    char *path = NULL;
    pf_model_opts o = {.log = pf_tool_log()};
    int rc = pf_model_path(&path, a->model, e);
    if (rc == 0)
        rc = pf_pool_new(&g->pool, a->threads, e);
    if (rc == 0)
        rc = pf_backend_open(&g->be, a->backend, a->dtype, g->pool, e);
    if (rc == 0)
        rc = pf_tokenizer_open(&g->tok, path, e);
    if (rc == 0)
        rc = pf_tok_scratch_new(&g->scratch, g->tok, e);
    if (rc == 0)
        rc = pf_model_load(&g->m, path, g->be, &o, e);
    if (rc == 0)
        rc = pf_sampler_init(&g->sampler, a->temperature, a->top_p, a->top_k,
                             (uint64_t)a->seed, pf_model_config(g->m)->V, e);
    if (rc == 0 && !(g->sample = pf_calloc((size_t)g->n, sizeof *g->sample)))
        rc = pf_err_nomem(e);
    pf_free(path);
    return rc;
}

void pf_gen_close(pf_gen *g)
{
    for (int i = 0; g->sample && i < g->n; i++) {
        pf_idbuf_release(&g->sample[i].ids);
        pf_buf_release(&g->sample[i].text);
    }
    pf_free(g->sample);
    pf_sampler_release(&g->sampler);
    pf_model_free(g->m);
    pf_tok_scratch_free(g->scratch);
    pf_tokenizer_free(g->tok);
    pf_backend_close(g->be);
    pf_pool_free(g->pool);
}

static int decode(pf_gen *g, pf_gen_sample *s, pf_err *e)
{
    pf_buf_clear(&s->text);
    return pf_tok_decode(g->tok, s->ids.id, s->ids.n, true, &s->text, e);
}

/* Cuts the text at the stop text; true when it was there. */
static bool cut_at_stop(const pf_gen *g, pf_gen_sample *s)
{
    ptrdiff_t at = g->stop ? pf_slice_find(pf_buf_slice(&s->text),
                                           pf_slice_of(g->stop))
                           : -1;
    if (at >= 0)
        s->text.n = (size_t)at;
    return at >= 0;
}

/* A sample ends at the end-of-text token of the tokenizer or the model, which
 * is not part of it, or at a stop text. */
static int token(void *ctx, int i, int32_t id, pf_err *e)
{
    pf_gen *g = ctx;
    pf_gen_sample *s = &g->sample[i];
    if (id == pf_tokenizer_eos(g->tok) || id == pf_model_config(g->m)->eos)
        return 1;
    int rc = pf_idbuf_push(&s->ids, (uint32_t)id, e);
    if (rc < 0 || !g->stop)
        return rc;
    rc = decode(g, s, e);
    return rc < 0 ? rc : cut_at_stop(g, s);
}

static int encode_prompt(pf_gen *g, pf_slice text, pf_idbuf *ids, pf_err *e)
{
    size_t n;
    const uint32_t *prefix = pf_tokenizer_prefix(g->tok, &n);
    for (size_t i = 0; i < n; i++) {
        int rc = pf_idbuf_push(ids, prefix[i], e);
        if (rc < 0)
            return rc;
    }
    return pf_tok_encode(g->tok, g->scratch, text, PF_SPECIAL_NONE, ids, e);
}

int pf_gen_prompt(pf_gen *g, pf_slice prompt, pf_err *e)
{
    pf_idbuf ids = {0};
    pf_generate run = {.n_sample = g->n,
                       .max_new = g->max_new,
                       .sampler = &g->sampler,
                       .stream = g->prompts * (uint64_t)g->n,
                       .token = token,
                       .ctx = g};
    for (int i = 0; i < g->n; i++)
        g->sample[i].ids.n = 0;
    int rc = encode_prompt(g, prompt, &ids, e);
    if (rc == 0)
        rc = pf_generate_run(g->m, &run, ids.id, ids.n, e);
    for (int i = 0; rc == 0 && i < g->n; i++) {
        rc = decode(g, &g->sample[i], e);
        cut_at_stop(g, &g->sample[i]);
    }
    g->prompts++;
    pf_idbuf_release(&ids);
    return rc;
}

/* ------------------------------------------------------------- streams -- */

typedef struct stream {
    pf_gen *g;
    pf_record_writer out;
    pf_json *json;
    pf_arena arena;
    pf_buf line;
    bool seen_src;
} stream;

/* {"_src", "prompt", "completion"} or K-wise with "completions". */
static int put_result(stream *s, const pf_record *r, pf_slice prompt,
                      pf_err *e)
{
    pf_gen *g = s->g;
    pf_buf_clear(&s->line);
    pf_jw w = {.out = &s->line};
    pf_jw_obj(&w);
    if (r && r->src.known) {
        char src[40];
        int n = pf_src_text(r->src, src);
        pf_jw_key(&w, "_src");
        pf_jw_str(&w, (pf_slice){src, (size_t)n});
    }
    pf_jw_key(&w, "prompt");
    pf_jw_str(&w, prompt);
    pf_jw_key(&w, g->n > 1 ? "completions" : "completion");
    if (g->n > 1)
        pf_jw_arr(&w);
    for (int i = 0; i < g->n; i++)
        pf_jw_str(&w, pf_buf_slice(&g->sample[i].text));
    if (g->n > 1)
        pf_jw_end(&w, ']');
    pf_jw_end(&w, '}');
    if (pf_buf_failed(&s->line))
        return pf_err_nomem(e);
    pf_record_writer_put(&s->out, pf_buf_slice(&s->line));
    return 0;
}

/* 1 = *prompt is what to continue, 2 = rejected, < 0 an error. */
static int read_prompt(stream *s, const pf_line *line, pf_record *r,
                       pf_slice *prompt, pf_reason *why, pf_err *e)
{
    pf_jval v;
    pf_err bad = PF_ERR_INIT;
    const char *where = NULL;
    *prompt = line->text;
    *why = PF_REASON_INVALID_JSON;
    if (line->text.p[0] != '{')
        return 1;
    int rc = pf_json_parse(s->json, line->text, &v, &bad);
    if (rc < 0)
        return rc == PF_E_FORMAT ? 2 : pf_err_set(e, rc, "%s", bad.msg);
    pf_arena_reset(&s->arena);
    rc = pf_record_of_json(r, v, &s->arena, why, &where, e);
    if (rc != 1)
        return rc;
    s->seen_src |= r->src.known;
    *why = PF_REASON_MISSING_FIELD;
    if (!r->prompt.present)
        return 2;
    if (r->prompt.is_messages)
        return pf_err_set(e, PF_E_USAGE,
                          "the prompt is a message list, which needs a chat "
                          "template: not supported by prefgen");
    *prompt = r->prompt.text;
    return 1;
}

static int do_line(stream *s, const pf_line *line, pf_err *e)
{
    pf_gen *g = s->g;
    pf_record r = {0};
    pf_slice prompt;
    pf_reason why = PF_REASON_LINE_TOO_LONG;
    g->tally.in++;
    int rc = line->too_long ? 2 : read_prompt(s, line, &r, &prompt, &why, e);
    if (rc == 1) {
        pf_err bad = PF_ERR_INIT;
        rc = pf_gen_prompt(g, prompt, &bad);
        why = PF_REASON_TOO_LONG;
        if (rc == PF_E_LIMIT && strstr(bad.msg, "positions"))
            rc = 2;
        else if (rc < 0 && e)
            *e = bad;
        if (rc == 0)
            rc = put_result(s, line->text.p[0] == '{' ? &r : NULL, prompt, e);
        if (rc == 0)
            why = PF_KEPT;
    }
    if (rc < 0)
        return rc;
    g->tally.count[why]++;
    pf_progress(g->common, "prompts", g->tally.in, 0, NULL);
    return 0;
}

int pf_gen_stream(pf_gen *g, pf_writer *w, pf_err *e)
{
    pf_reader *r = NULL;
    pf_lines *lines = NULL;
    pf_line line = {.ended = true};
    stream s = {.g = g, .out = {.w = w}, .json = pf_json_new()};
    int rc = s.json ? pf_reader_open(&r, "-", e) : pf_err_nomem(e);
    if (rc == 0)
        rc = pf_lines_new(&lines, r, g->max_line, e);
    bool ended = true;
    while (rc == 0 && (g->limit == 0 || g->tally.in < (uint64_t)g->limit) &&
           (rc = pf_lines_next(lines, &line, e)) == 1) {
        rc = 0;
        ended = line.ended;
        g->bytes = (uint64_t)line.offset + line.text.n + line.ended;
        if (line.text.n > 0)
            rc = do_line(&s, &line, e);
        pf_err_at(e, "(stdin)", line.number, -1);
    }
    if (rc == 0)
        rc = pf_source_end(r, s.seen_src, ended, (int64_t)g->bytes, e);
    if (rc == 0)
        pf_record_writer_finish(&s.out);
    pf_lines_free(lines);
    pf_reader_close(r);
    pf_json_free(s.json);
    pf_arena_release(&s.arena);
    pf_buf_release(&s.line);
    return rc;
}
