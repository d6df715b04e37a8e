/* SPDX-License-Identifier: MIT
 *
 * The arithmetic of rows is in make_pair() and make_seq(); the rest turns
 * text fields into ids. */
#include "prep/encode.h"

#include "base/mem.h"

struct pf_encoder {
    const pf_tokenizer *tok;
    const pf_template *tmpl;
    pf_encode_opts opts;
    pf_slice eos, bos; /* texts; NULL when there is none */
    uint32_t vocab;
};

enum { SIDES = 2 };

struct pf_encode_scratch {
    pf_tok_scratch *tok;
    pf_buf text;
    pf_tok_span *span;
    size_t n_span, cap_span;
    pf_rendered rendered;
    pf_idbuf prompt, side[SIDES], part;
    uint8_t *loss; /* seq: one byte an id */
    size_t cap_loss;
};

/* ------------------------------------------------------------ life cycle */

static pf_slice token_text(const pf_tokenizer *t, int32_t id)
{
    return id < 0 ? (pf_slice){NULL, 0} : pf_tokenizer_text(t, (uint32_t)id);
}

int pf_encoder_new(pf_encoder **out, const pf_tokenizer *tok,
                   const pf_template *tmpl, const pf_encode_opts *opts,
                   pf_err *e)
{
    pf_slice eos = token_text(tok, pf_tokenizer_eos(tok));
    pf_slice bos = token_text(tok, pf_tokenizer_bos(tok));
    if (opts->eos == PF_AFFIX_ALWAYS && !eos.p)
        return pf_err_set(e, PF_E_USAGE, "--eos always: the tokenizer names "
                          "no EOS token");
    if (opts->bos == PF_AFFIX_ALWAYS && !bos.p)
        return pf_err_set(e, PF_E_USAGE, "--bos always: the tokenizer names "
                          "no BOS token");
    pf_encoder *c = pf_calloc(1, sizeof *c);
    if (!c)
        return pf_err_nomem(e);
    *c = (pf_encoder){tok, tmpl, *opts, eos, bos, pf_tokenizer_vocab(tok)};
    *out = c;
    return 0;
}

void pf_encoder_free(pf_encoder *c)
{
    pf_free(c);
}

int pf_encoder_ident(const pf_encoder *c, pf_ident *id, pf_err *e)
{
    static const char *const affix[] = {"auto", "always", "never"};
    static const char *const trunc[] = {"drop", "keep_start", "keep_end"};
    static const char *const special[] = {"none", "nonspecial", "parse",
                                          "error"};
    uint8_t all[PF_SHA256_BYTES], vocab[PF_SHA256_BYTES];
    char hex[PF_SHA256_HEX];
    const pf_encode_opts *o = &c->opts;
    pf_tokenizer_digest(c->tok, all, vocab);
    int rc = pf_ident_set(id, "tokenizer.digest", pf_hex(all, 32, hex), e);
    if (rc == 0)
        rc = pf_ident_set(id, "tokenizer.vocab", pf_hex(vocab, 32, hex), e);
    if (rc == 0)
        rc = pf_ident_setf(id, e, "tokenizer.eos", "%d",
                           (int)pf_tokenizer_eos(c->tok));
    if (rc == 0)
        rc = pf_ident_setf(id, e, "tokenizer.bos", "%d",
                           (int)pf_tokenizer_bos(c->tok));
    if (rc == 0 && c->tmpl) {
        pf_template_digest(c->tmpl, all);
        rc = pf_ident_set(id, "template.digest", pf_hex(all, 32, hex), e);
    } else if (rc == 0) {
        rc = pf_ident_set(id, "template.digest", "none", e);
    }
    if (rc == 0)
        rc = pf_ident_set(id, "encode.boundary", "common", e);
    if (rc == 0)
        rc = pf_ident_set(id, "encode.special", special[o->special], e);
    if (rc == 0)
        rc = pf_ident_set(id, "encode.eos", affix[o->eos], e);
    if (rc == 0)
        rc = pf_ident_set(id, "encode.bos", affix[o->bos], e);
    if (rc == 0)
        rc = pf_ident_set(id, "encode.truncation", trunc[o->truncation], e);
    if (rc == 0)
        rc = pf_ident_setf(id, e, "encode.max_length", "%llu",
                           (unsigned long long)o->max_length);
    if (rc == 0)
        rc = pf_ident_set(id, "encode.loss_on",
                          o->loss_on == PF_LOSS_ON_ALL ? "all" : "auto", e);
    return rc == 0 ? pf_ident_set(id, "encode.rules", "1", e) : rc;
}

int pf_encode_scratch_new(pf_encode_scratch **out, const pf_encoder *c,
                          pf_err *e)
{
    pf_encode_scratch *s = pf_calloc(1, sizeof *s);
    if (!s)
        return pf_err_nomem(e);
    int rc = pf_tok_scratch_new(&s->tok, c->tok, e);
    if (rc < 0) {
        pf_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void pf_encode_scratch_free(pf_encode_scratch *s)
{
    if (!s)
        return;
    pf_tok_scratch_free(s->tok);
    pf_buf_release(&s->text);
    pf_free(s->span);
    pf_rendered_release(&s->rendered);
    pf_idbuf_release(&s->prompt);
    for (int i = 0; i < SIDES; i++)
        pf_idbuf_release(&s->side[i]);
    pf_idbuf_release(&s->part);
    pf_free(s->loss);
    pf_free(s);
}

bool pf_encode_kind(pf_record_kind k, pf_row_kind *out)
{
    switch (k) {
    case PF_RECORD_PAIR:
    case PF_RECORD_IDS:
        return *out = PF_ROW_PAIR, true;
    case PF_RECORD_SEQ:
        return *out = PF_ROW_SEQ, true;
    case PF_RECORD_UNPAIRED:
        return *out = PF_ROW_UNPAIRED, true;
    default:
        return false;
    }
}

/* ---------------------------------------------------------- texts to ids */

/* What a function below met: kept, rejected, or fatal. */
typedef struct verdict {
    pf_reason *why;
    const char **where;
} verdict;

static int reject(verdict v, pf_reason why, const char *where)
{
    *v.why = why;
    *v.where = where;
    return 2;
}

static int add_span(pf_encode_scratch *s, size_t end, pf_special special,
                    pf_err *e)
{
    size_t start = s->n_span ? s->span[s->n_span - 1].end : 0;
    if (end <= start)
        return 0;
    if (!PF_GROW(&s->span, &s->cap_span, s->n_span + 1))
        return pf_err_nomem(e);
    s->span[s->n_span++] = (pf_tok_span){start, end, special};
    return 0;
}

/* Ids of the first n bytes of s->text. affixes: as the post-processor (text)
 * or none (a rendered template). */
static int encode_prefix(const pf_encoder *c, pf_encode_scratch *s, size_t n,
                         bool affixes, pf_idbuf *out, verdict v, pf_err *e)
{
    size_t n_pre, n_suf, k = s->n_span;
    const uint32_t *pre = pf_tokenizer_prefix(c->tok, &n_pre);
    const uint32_t *suf = pf_tokenizer_suffix(c->tok, &n_suf);
    int rc = 0;
    affixes = affixes && c->opts.bos == PF_AFFIX_AUTO;
    out->n = 0;
    for (size_t i = 0; affixes && i < n_pre && rc == 0; i++)
        rc = pf_idbuf_push(out, pre[i], e);
    while (k > 0 && s->span[k - 1].start >= n)
        k--;
    size_t end = k ? s->span[k - 1].end : 0;
    if (k)
        s->span[k - 1].end = n;
    if (rc == 0)
        rc = pf_tok_encode_spans(c->tok, s->tok, (pf_slice){s->text.p, n},
                                 s->span, k, out, e);
    if (k)
        s->span[k - 1].end = end;
    if (rc == 1)
        return reject(v, PF_REASON_SPECIAL_TOKEN, NULL);
    for (size_t i = 0; affixes && i < n_suf && rc == 0; i++)
        rc = pf_idbuf_push(out, suf[i], e);
    if (rc == 0 && c->opts.bos == PF_AFFIX_ALWAYS) {
        uint32_t bos = (uint32_t)pf_tokenizer_bos(c->tok);
        if (out->n == 0 || out->id[0] != bos) {
            rc = pf_idbuf_push(out, bos, e);
            if (rc == 0) {
                memmove(out->id + 1, out->id, (out->n - 1) * sizeof *out->id);
                out->id[0] = bos;
            }
        }
    }
    return rc < 0 ? rc : 1;
}

/* Ends s->text with EOS, as a span that is parsed, unless it ends so: then
 * that end becomes such a span. */
static int add_eos(const pf_encoder *c, pf_encode_scratch *s, size_t from,
                   bool rendered, pf_err *e)
{
    pf_affix how = c->opts.eos;
    if (how == PF_AFFIX_NEVER || (how == PF_AFFIX_AUTO && rendered))
        return add_span(s, s->text.n, c->opts.special, e);
    if (!c->eos.p)
        return pf_err_set(e, PF_E_USAGE, "the tokenizer names no EOS token "
                          "to end completions with (--eos never does without)");
    pf_slice tail = {s->text.p + from, s->text.n - from};
    size_t own = s->text.n;
    if (pf_slice_ends(tail, c->eos)) {
        if (rendered)
            return add_span(s, own, PF_SPECIAL_PARSE, e);
        own -= c->eos.n;
    } else {
        pf_buf_add(&s->text, c->eos.p, c->eos.n);
        if (pf_buf_failed(&s->text))
            return pf_err_nomem(e);
    }
    int rc = add_span(s, own, c->opts.special, e);
    return rc < 0 ? rc : add_span(s, s->text.n, PF_SPECIAL_PARSE, e);
}

static void start_text(pf_encode_scratch *s)
{
    pf_buf_clear(&s->text);
    s->n_span = 0;
}

/* s->text and spans := prompt + completion (+ EOS). */
static int plain_text(const pf_encoder *c, pf_encode_scratch *s,
                      pf_slice prompt, const pf_slice *completion, pf_err *e)
{
    start_text(s);
    pf_buf_add(&s->text, prompt.p, prompt.n);
    if (completion)
        pf_buf_add(&s->text, completion->p, completion->n);
    if (pf_buf_failed(&s->text))
        return pf_err_nomem(e);
    return completion ? add_eos(c, s, prompt.n, false, e)
                      : add_span(s, s->text.n, c->opts.special, e);
}

/* s->text and spans := the rendering of two message lists, one after the
 * other. A template that raises rejects the row. */
static int render(const pf_encoder *c, pf_encode_scratch *s,
                  const pf_record *r, const pf_text *a, const pf_text *b,
                  bool generation, bool loss, pf_arena *ar, verdict v,
                  pf_err *e)
{
    size_t nb = b ? b->n_msg : 0;
    if (!c->tmpl)
        return pf_err_set(e, PF_E_USAGE, "message lists need a chat template "
                          "and there is none: give one with --template FILE");
    pf_message *m = pf_arena_calloc(ar, a->n_msg + nb + 1, sizeof *m);
    if (!m)
        return pf_err_nomem(e);
    memcpy(m, a->msg, a->n_msg * sizeof *m);
    if (nb)
        memcpy(m + a->n_msg, b->msg, nb * sizeof *m);
    pf_render_args args = {
        .msg = m,
        .n_msg = a->n_msg + nb,
        .tools = r->tools,
        .kwargs = r->chat_template_kwargs,
        .add_generation_prompt = generation,
        .mark_loss = loss,
        .bos = c->bos,
        .eos = c->eos,
    };
    pf_err why = PF_ERR_INIT;
    int rc = pf_template_render(c->tmpl, &args, &s->rendered, &why);
    if (rc == PF_E_FORMAT)
        return reject(v, PF_REASON_TEMPLATE, NULL);
    if (rc < 0) {
        if (e)
            *e = why;
        return rc;
    }
    start_text(s);
    pf_buf_add(&s->text, s->rendered.text.p, s->rendered.text.n);
    if (pf_buf_failed(&s->text))
        return pf_err_nomem(e);
    for (size_t i = 0; i < s->rendered.n_span && rc == 0; i++) {
        const pf_tmpl_span *p = s->rendered.span + i;
        rc = add_span(s, p->end,
                      p->content ? c->opts.special : PF_SPECIAL_PARSE, e);
    }
    if (rc == 0 && !generation && c->opts.eos == PF_AFFIX_ALWAYS)
        rc = add_eos(c, s, 0, true, e);
    return rc < 0 ? rc : 1;
}

static size_t common_prefix(const pf_idbuf *a, const pf_idbuf *b)
{
    size_t i = 0, n = PF_MIN(a->n, b->n);
    while (i < n && a->id[i] == b->id[i])
        i++;
    return i;
}

/* ids(prompt) and ids(prompt + completion) for each side. */
static int encode_sides(const pf_encoder *c, pf_encode_scratch *s,
                        const pf_record *r, const pf_text *const *side,
                        int n, pf_arena *a, verdict v, pf_err *e)
{
    bool chat = r->prompt.is_messages;
    int rc;
    for (int i = 0; i < n; i++)
        if (side[i]->is_messages != chat)
            return reject(v, PF_REASON_WRONG_TYPE, "prompt");
    for (int i = -1; i < n; i++) {
        const pf_text *t = i < 0 ? NULL : side[i];
        if (chat)
            rc = render(c, s, r, &r->prompt, t, !t, false, a, v, e);
        else
            rc = plain_text(c, s, r->prompt.text, t ? &t->text : NULL, e);
        if (rc < 0 || rc == 2)
            return rc;
        rc = encode_prefix(c, s, s->text.n, !chat,
                           t ? &s->side[i] : &s->prompt, v, e);
        if (rc != 1)
            return rc;
    }
    return 1;
}

/* ----------------------------------------------------------------- rows */

static int store_ids(const pf_encoder *c, pf_arena *a, pf_row *row,
                     const uint32_t *const *part, const size_t *n, int parts,
                     pf_err *e)
{
    size_t total = 0, at = 0;
    for (int i = 0; i < parts; i++)
        if (!pf_add(total, n[i], &total) || total > UINT32_MAX / 8)
            return pf_err_set(e, PF_E_LIMIT, "a row of over 2^29 tokens");
    row->id_size = c->vocab <= 65536 ? 2 : 4;
    void *ids = pf_arena_alloc(a, total * row->id_size + 4);
    if (!ids)
        return pf_err_nomem(e);
    for (int i = 0; i < parts; i++)
        for (size_t k = 0; k < n[i]; k++, at++) {
            if (row->id_size == 2)
                ((uint16_t *)ids)[at] = (uint16_t)part[i][k];
            else
                ((uint32_t *)ids)[at] = part[i][k];
        }
    row->ids = ids;
    return 0;
}

static const char *const side_field[2][SIDES] = {{"completion", NULL},
                                                 {"chosen", "rejected"}};
static const pf_reason side_empty[2][SIDES] = {
    {PF_REASON_EMPTY_COMPLETION, PF_KEPT},
    {PF_REASON_EMPTY_CHOSEN, PF_REASON_EMPTY_REJECTED}};

/* A pair or unpaired row of prompt[0, p) and k branches; cuts or rejects what
 * is longer than max_length. */
static int make_pair(const pf_encoder *c, const uint32_t *prompt, size_t p,
                     const uint32_t *const *branch, const size_t *len, int k,
                     pf_arena *a, pf_row *row, verdict v, pf_err *e)
{
    const uint32_t *part[1 + SIDES] = {prompt, NULL, NULL};
    size_t n[1 + SIDES] = {p, 0, 0}, longest = 0, max = c->opts.max_length;
    if (p == 0)
        return reject(v, PF_REASON_EMPTY_PROMPT, "prompt");
    for (int i = 0; i < k; i++) {
        if (len[i] == 0)
            return reject(v, side_empty[k - 1][i], side_field[k - 1][i]);
        part[i + 1] = branch[i];
        n[i + 1] = len[i];
        longest = PF_MAX(longest, len[i]);
    }
    if (max && p + longest > max) {
        size_t over = p + longest - max;
        if (c->opts.truncation == PF_TRUNC_KEEP_START && p < max) {
            for (int i = 1; i <= k; i++)
                n[i] = PF_MIN(n[i], max - p);
            row->flags |= PF_ROW_TRUNCATED_BRANCH;
        } else if (c->opts.truncation == PF_TRUNC_KEEP_END && over < p) {
            part[0] += over;
            n[0] -= over;
            row->flags |= PF_ROW_TRUNCATED_PROMPT;
        } else {
            return reject(v, PF_REASON_TOO_LONG, NULL);
        }
    }
    row->n_branch = (uint32_t)k;
    row->p_len = (uint32_t)n[0];
    for (int i = 0; i < k; i++)
        row->b_len[i] = (uint32_t)n[i + 1];
    int rc = store_ids(c, a, row, part, n, k + 1, e);
    return rc < 0 ? rc : 1;
}

static int encode_branches(const pf_encoder *c, pf_encode_scratch *s,
                           const pf_record *r, pf_arena *a, pf_row *row,
                           verdict v, pf_err *e)
{
    bool pair = r->kind == PF_RECORD_PAIR;
    const pf_text *side[SIDES] = {pair ? &r->chosen : &r->completion,
                                  &r->rejected};
    int k = pair ? 2 : 1;
    int rc = encode_sides(c, s, r, side, k, a, v, e);
    if (rc != 1)
        return rc;
    size_t n_suf, p = s->prompt.n, len[SIDES];
    const uint32_t *branch[SIDES];
    for (int i = 0; i < k; i++)
        p = PF_MIN(p, common_prefix(&s->prompt, &s->side[i]));
    for (int i = 0; i < k; i++) {
        branch[i] = s->side[i].id + p;
        len[i] = s->side[i].n - p;
    }
    (void)pf_tokenizer_suffix(c->tok, &n_suf);
    if (r->prompt.is_messages || c->opts.bos != PF_AFFIX_AUTO)
        n_suf = 0;
    if (p + n_suf < s->prompt.n)
        row->flags |= PF_ROW_BOUNDARY_MOVED;
    return make_pair(c, s->prompt.id, p, branch, len, k, a, row, v, e);
}

static int encode_ids(const pf_encoder *c, const pf_record *r, pf_arena *a,
                      pf_row *row, verdict v, pf_err *e)
{
    const pf_ids *f[3] = {&r->prompt_ids, &r->chosen_ids, &r->rejected_ids};
    static const char *const name[3] = {"prompt_ids", "chosen_ids",
                                        "rejected_ids"};
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < f[i]->n; k++)
            if (f[i]->id[k] >= c->vocab)
                return reject(v, PF_REASON_BAD_ID, name[i]);
    const uint32_t *branch[SIDES] = {f[1]->id, f[2]->id};
    size_t len[SIDES] = {f[1]->n, f[2]->n};
    int rc = make_pair(c, f[0]->id, f[0]->n, branch, len, 2, a, row, v, e);
    if (rc != 1 || !r->has_ref)
        return rc;
    if (row->flags) /* sums of more tokens than the row has now */
        return reject(v, PF_REASON_TOO_LONG, "ref_chosen_logps");
    row->has_ref = true;
    row->ref_sum[0] = r->ref_chosen;
    row->ref_sum[1] = r->ref_rejected;
    return 1;
}

/* Row of s->side[0] with s->loss. */
static int make_seq(const pf_encoder *c, pf_encode_scratch *s, pf_arena *a,
                    pf_row *row, verdict v, pf_err *e)
{
    const uint32_t *ids = s->side[0].id;
    const uint8_t *loss = s->loss;
    size_t n = s->side[0].n, max = c->opts.max_length;
    if (max && n > max) {
        if (c->opts.truncation == PF_TRUNC_DROP)
            return reject(v, PF_REASON_TOO_LONG, NULL);
        row->flags |= PF_ROW_TRUNCATED_BRANCH;
        if (c->opts.truncation == PF_TRUNC_KEEP_END) {
            ids += n - max;
            loss += n - max;
        }
        n = max;
    }
    uint8_t *mask = pf_arena_calloc(a, n / 8 + 1, 1);
    if (!mask)
        return pf_err_nomem(e);
    bool any = false; /* the first token is predicted from nothing */
    for (size_t i = 0; i < n; i++) {
        bool bit = loss[i] || c->opts.loss_on == PF_LOSS_ON_ALL;
        mask[i >> 3] |= (uint8_t)(bit << (i & 7));
        any |= bit && i > 0;
    }
    if (!any)
        return reject(v, PF_REASON_NO_LOSS, NULL);
    row->mask = mask;
    row->n_branch = 1;
    row->b_len[0] = (uint32_t)n;
    int rc = store_ids(c, a, row, &ids, &n, 1, e);
    return rc < 0 ? rc : 1;
}

/* Runs of loss in s->text, in order: byte ends and values. */
typedef struct loss_run {
    size_t end;
    bool loss;
} loss_run;

/* Ids of s->text into side[0], and the loss of each: a border at byte b
 * stands after the common prefix of the ids of text[0, b) and of the text. */
static int encode_runs(const pf_encoder *c, pf_encode_scratch *s,
                       const loss_run *run, size_t n, bool affixes, verdict v,
                       pf_err *e)
{
    int rc = encode_prefix(c, s, s->text.n, affixes, &s->side[0], v, e);
    if (rc != 1)
        return rc;
    if (!PF_GROW(&s->loss, &s->cap_loss, s->side[0].n + 1))
        return pf_err_nomem(e);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t to = s->side[0].n;
        if (i + 1 < n && run[i].loss == run[i + 1].loss)
            continue;
        if (i + 1 < n) {
            rc = encode_prefix(c, s, run[i].end, affixes, &s->part, v, e);
            if (rc != 1)
                return rc;
            to = PF_MAX(at, common_prefix(&s->part, &s->side[0]));
        }
        memset(s->loss + at, run[i].loss, to - at);
        at = to;
    }
    return 1;
}

static int encode_segments(const pf_encoder *c, pf_encode_scratch *s,
                           const pf_record *r, pf_arena *a, verdict v,
                           pf_err *e)
{
    size_t n = r->n_segment, from = 0;
    if (n == 0)
        return reject(v, PF_REASON_NO_LOSS, "segments");
    loss_run *run = pf_arena_calloc(a, n, sizeof *run);
    if (!run)
        return pf_err_nomem(e);
    start_text(s);
    for (size_t i = 0; i < n; i++) {
        from = s->text.n;
        pf_buf_add(&s->text, r->segment[i].text.p, r->segment[i].text.n);
        run[i] = (loss_run){s->text.n, r->segment[i].loss};
    }
    if (pf_buf_failed(&s->text))
        return pf_err_nomem(e);
    int rc = add_eos(c, s, from, false, e);
    if (rc < 0)
        return rc;
    run[n - 1].end = s->text.n;
    return encode_runs(c, s, run, n, true, v, e);
}

static int encode_messages(const pf_encoder *c, pf_encode_scratch *s,
                           const pf_record *r, pf_arena *a, verdict v,
                           pf_err *e)
{
    bool all = c->opts.loss_on == PF_LOSS_ON_ALL;
    int rc = render(c, s, r, &r->messages, NULL, false, !all, a, v, e);
    if (rc != 1)
        return rc;
    size_t n = s->rendered.n_span;
    loss_run *run = pf_arena_calloc(a, n + 1, sizeof *run);
    if (!run)
        return pf_err_nomem(e);
    for (size_t i = 0; i < n; i++)
        run[i] = (loss_run){s->rendered.span[i].end, s->rendered.span[i].loss};
    if (n == 0)
        return reject(v, PF_REASON_NO_LOSS, "messages");
    run[n - 1].end = s->text.n;
    return encode_runs(c, s, run, n, false, v, e);
}

static int encode_seq(const pf_encoder *c, pf_encode_scratch *s,
                      const pf_record *r, pf_arena *a, pf_row *row, verdict v,
                      pf_err *e)
{
    int rc;
    if (r->messages.present) {
        rc = r->messages.is_messages
                 ? encode_messages(c, s, r, a, v, e)
                 : reject(v, PF_REASON_WRONG_TYPE, "messages");
    } else if (r->completion.present) {
        const pf_text *side = &r->completion;
        rc = encode_sides(c, s, r, &side, 1, a, v, e);
        if (rc == 1) {
            size_t n = s->side[0].n;
            size_t p = common_prefix(&s->prompt, &s->side[0]);
            if (!PF_GROW(&s->loss, &s->cap_loss, n + 1))
                return pf_err_nomem(e);
            memset(s->loss, 0, p);
            memset(s->loss + p, 1, n - p);
        }
    } else {
        rc = encode_segments(c, s, r, a, v, e);
    }
    return rc == 1 ? make_seq(c, s, a, row, v, e) : rc;
}

int pf_encode_record(const pf_encoder *c, pf_encode_scratch *s,
                     const pf_record *r, pf_arena *a, pf_row *row,
                     pf_reason *why, const char **where, pf_err *e)
{
    verdict v = {why, where};
    *row = (pf_row){.row_id = pf_src_row_id(r->src), .label = r->label};
    *where = NULL;
    if (!pf_encode_kind(r->kind, &row->kind))
        return reject(v, PF_REASON_MISSING_FIELD, "completion");
    if (r->kind != PF_RECORD_UNPAIRED)
        row->label = false;
    if (r->kind == PF_RECORD_IDS)
        return encode_ids(c, r, a, row, v, e);
    if (r->kind == PF_RECORD_SEQ)
        return encode_seq(c, s, r, a, row, v, e);
    return encode_branches(c, s, r, a, row, v, e);
}
