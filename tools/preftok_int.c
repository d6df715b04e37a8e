/* SPDX-License-Identifier: MIT */
#include "tools/preftok_int.h"

#include "base/mem.h"

typedef struct slot {
    pf_row *row;
    size_t n, cap;
    pf_buf out;
    pf_idbuf ids;
    pf_buf text;
    int kind; /* of this batch's records */
    int64_t line;
    const char *path;
    bool refs, strings;
} slot;

static void begin(void *ctx, void *p)
{
    (void)ctx;
    slot *s = p;
    s->n = 0;
    s->kind = -1;
    s->strings = false;
    pf_buf_clear(&s->out);
}

static void release(void *ctx, void *p)
{
    (void)ctx;
    slot *s = p;
    pf_free(s->row);
    pf_buf_release(&s->out);
    pf_idbuf_release(&s->ids);
    pf_buf_release(&s->text);
}

/* ------------------------------------------------------------ rows as JSON */

static void put_ids(pf_jw *w, const char *key, const pf_row *r, uint64_t from,
                    uint64_t n)
{
    pf_jw_key(w, key);
    pf_jw_arr(w);
    for (uint64_t i = from; i < from + n; i++)
        pf_jw_u64(w, pf_row_id_at(r, i));
    pf_jw_end(w, ']');
}

static void row_json(pf_buf *out, const pf_row *r)
{
    static const char *const name[2] = {"chosen_ids", "rejected_ids"};
    static const char *const ref[2] = {"ref_chosen_logps",
                                       "ref_rejected_logps"};
    char src[40];
    pf_jw w = {.out = out};
    int n = pf_src_text(pf_src_of_row_id(r->row_id), src);
    pf_jw_obj(&w);
    pf_jw_key(&w, "_src");
    pf_jw_str(&w, (pf_slice){src, (size_t)n});
    if (r->kind == PF_ROW_SEQ) {
        put_ids(&w, "input_ids", r, 0, r->b_len[0]);
        pf_jw_key(&w, "loss_mask");
        pf_jw_arr(&w);
        for (uint32_t i = 0; i < r->b_len[0]; i++)
            pf_jw_u64(&w, pf_row_mask_at(r, i));
        pf_jw_end(&w, ']');
    } else {
        put_ids(&w, "prompt_ids", r, 0, r->p_len);
        uint64_t at = r->p_len;
        for (uint32_t k = 0; k < r->n_branch; at += r->b_len[k++])
            put_ids(&w, r->n_branch == 1 ? "completion_ids" : name[k], r, at,
                    r->b_len[k]);
    }
    if (r->kind == PF_ROW_UNPAIRED) {
        pf_jw_key(&w, "label");
        pf_jw_bool(&w, r->label);
    }
    for (uint32_t k = 0; r->has_ref && k < r->n_branch; k++) {
        pf_jw_key(&w, ref[k]);
        pf_jw_f64(&w, r->ref_sum[k]);
    }
    pf_jw_end(&w, '}');
}

/* ---------------------------------------------------------------- records */

static bool is_text(const pf_record *r)
{
    const pf_text *f = r->messages.present ? &r->messages : &r->prompt;
    return r->kind != PF_RECORD_IDS && !f->is_messages;
}

static int record_row(void *ctx, void *p, int thread, const pf_job_row *line,
                      pf_reason *why, const char **where, bool *seen_src,
                      pf_err *e)
{
    pf_tok_run *t = ctx;
    slot *s = p;
    pf_record r;
    if (pf_jtype(line->json) != PF_JSON_OBJECT) {
        *why = PF_REASON_NOT_AN_OBJECT;
        return 2;
    }
    r.src.known = false;
    int rc = pf_record_of_json(&r, line->json, line->arena, why, where, e);
    if (rc > 0)
        *seen_src |= r.src.known;
    if (rc != 1)
        return rc;
    if (!r.src.known)
        r.src = (pf_src){(uint32_t)line->file, (uint64_t)line->offset, 0,
                         true};
    bool refs = r.kind == PF_RECORD_IDS && r.has_ref;
    if (s->kind < 0) {
        s->kind = (int)r.kind;
        s->refs = refs;
        s->line = line->number;
        s->path = line->path;
    } else if (s->kind != (int)r.kind || s->refs != refs) {
        return pf_err_set(e, PF_E_FORMAT, s->kind == (int)r.kind
                          ? "records with and without reference sums"
                          : "a record of kind %s after records of kind %s",
                          pf_record_kind_name(r.kind),
                          pf_record_kind_name((pf_record_kind)s->kind));
    }
    s->strings |= is_text(&r);
    if (!PF_GROW(&s->row, &s->cap, s->n + 1))
        return pf_err_nomem(e);
    pf_row *row = s->row + s->n;
    rc = pf_encode_record(t->enc, t->scratch[thread], &r, line->arena, row,
                          why, where, e);
    if (rc != 1)
        return rc;
    if (t->mode == PF_TOK_JSONL) {
        if (s->out.n)
            pf_buf_char(&s->out, '\n');
        row_json(&s->out, row);
        return pf_buf_failed(&s->out) ? pf_err_nomem(e) : 1;
    }
    s->n++;
    return 1;
}

/* The first record decides the kind of the whole output. */
static int settle_kind(pf_tok_run *t, const slot *s, pf_err *e)
{
    if (s->kind < 0)
        return 0;
    if (t->kind < 0) {
        t->kind = s->kind;
        t->refs = s->refs;
    } else if (t->kind != s->kind || t->refs != s->refs) {
        return pf_err_pos(e, PF_E_FORMAT, s->path, s->line, -1,
                          t->kind == s->kind
                              ? "records with and without reference sums"
                              : "a record of kind %s after records of kind %s",
                          pf_record_kind_name((pf_record_kind)s->kind),
                          pf_record_kind_name((pf_record_kind)t->kind));
    }
    if (s->strings && t->warn_template) {
        t->warn_template = false;
        t->warn("the model has a chat template: it is used for message lists, "
                "not for strings");
    }
    return 0;
}

static int record_end(void *ctx, void *p, pf_err *e)
{
    pf_tok_run *t = ctx;
    slot *s = p;
    int rc = settle_kind(t, s, e);
    if (rc < 0)
        return rc;
    if (t->mode == PF_TOK_JSONL) {
        pf_record_writer_put(&t->lines, pf_buf_slice(&s->out));
        rc = pf_writer_flush(t->w, e);
    }
    if (s->n && !t->out) {
        t->head.kind = s->row[0].kind;
        t->head.n_branch = s->row[0].n_branch;
        rc = pf_rows_out_open(&t->out, &t->head, &t->out_opts, e);
    }
    for (size_t i = 0; i < s->n && rc == 0; i++)
        rc = pf_rows_out_add(t->out, &s->row[i], e);
    t->rows += s->n;
    if (t->progress)
        t->progress(t->ctx, t->rows);
    return rc;
}

/* ------------------------------------------------------- text and decode */

static int text_row(void *ctx, void *p, int thread, const pf_job_row *line,
                    pf_reason *why, const char **where, bool *seen_src,
                    pf_err *e)
{
    pf_tok_run *t = ctx;
    slot *s = p;
    (void)where, (void)seen_src;
    if (pf_jtype(line->json) != PF_JSON_STRING) {
        *why = PF_REASON_WRONG_TYPE;
        return 2;
    }
    s->ids.n = 0;
    int rc = pf_tok_encode(t->tok, t->tok_scratch[thread], pf_jstr(line->json),
                           t->special, &s->ids, e);
    if (rc == 1) {
        *why = PF_REASON_SPECIAL_TOKEN;
        return 2;
    }
    if (rc < 0)
        return rc;
    pf_jw w = {.out = &s->out};
    pf_jw_arr(&w);
    for (size_t i = 0; i < s->ids.n; i++)
        pf_jw_u64(&w, s->ids.id[i]);
    pf_jw_end(&w, ']');
    pf_buf_char(&s->out, '\n');
    return pf_buf_failed(&s->out) ? pf_err_nomem(e) : 1;
}

static int decode_row(void *ctx, void *p, int thread, const pf_job_row *line,
                      pf_reason *why, const char **where, bool *seen_src,
                      pf_err *e)
{
    pf_tok_run *t = ctx;
    slot *s = p;
    (void)thread, (void)where, (void)seen_src;
    if (pf_jtype(line->json) != PF_JSON_ARRAY) {
        *why = PF_REASON_WRONG_TYPE;
        return 2;
    }
    s->ids.n = 0;
    pf_jiter it = pf_jiter_of(line->json);
    while (pf_jiter_next(&it)) {
        int64_t id;
        if (!pf_ji64(it.value, &id) || id < 0 ||
            id >= (int64_t)pf_tokenizer_vocab(t->tok) ||
            !pf_tokenizer_text(t->tok, (uint32_t)id).p) {
            *why = PF_REASON_BAD_ID;
            return 2;
        }
        int rc = pf_idbuf_push(&s->ids, (uint32_t)id, e);
        if (rc < 0)
            return rc;
    }
    pf_buf_clear(&s->text);
    int rc = pf_tok_decode(t->tok, s->ids.id, s->ids.n, false, &s->text, e);
    if (rc < 0)
        return rc;
    pf_json_quote(&s->out, pf_buf_slice(&s->text));
    pf_buf_char(&s->out, '\n');
    return pf_buf_failed(&s->out) ? pf_err_nomem(e) : 1;
}

static int lines_end(void *ctx, void *p, pf_err *e)
{
    pf_tok_run *t = ctx;
    slot *s = p;
    pf_writer_write(t->w, s->out.p, s->out.n);
    return pf_writer_flush(t->w, e);
}

void pf_tok_run_job(pf_tok_run *r, pf_line_job *job)
{
    r->kind = -1;
    job->ctx = r;
    job->slot_size = sizeof(slot);
    job->begin = begin;
    job->release = release;
    if (r->mode == PF_TOK_TEXT || r->mode == PF_TOK_DECODE) {
        job->row = r->mode == PF_TOK_TEXT ? text_row : decode_row;
        job->end = lines_end;
    } else {
        job->row = record_row;
        job->end = record_end;
    }
}
