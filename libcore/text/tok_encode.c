/* SPDX-License-Identifier: MIT
 *
 * Text -> ids in the order of Hugging Face tokenizers: added tokens on the
 * raw text, the normalizer on what lies between, added tokens on that, the
 * pre-tokenizer on what lies between, BPE on each piece. And ids -> text. */
#include "text/tok_int.h"

#include "base/mem.h"
#include "base/utf8.h"

enum { PIECES = 256 };

struct pf_tok_scratch {
    pf_bpe_scratch *bpe;
    pf_buf norm, spaced;
    size_t end[PIECES];
    pf_range *range; /* spans as ranges, then moved by the normalizer */
    pf_special *mode;
    size_t cap_range, cap_mode, n_range;
};

int pf_tok_scratch_new(pf_tok_scratch **out, const pf_tokenizer *t, pf_err *e)
{
    (void)t;
    pf_tok_scratch *s = pf_calloc(1, sizeof *s);
    if (!s)
        return pf_err_nomem(e);
    int rc = pf_bpe_scratch_new(&s->bpe, e);
    if (rc < 0) {
        pf_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void pf_tok_scratch_free(pf_tok_scratch *s)
{
    if (!s)
        return;
    pf_bpe_scratch_free(s->bpe);
    pf_buf_release(&s->norm);
    pf_buf_release(&s->spaced);
    pf_free(s->range);
    pf_free(s->mode);
    pf_free(s);
}

void pf_idbuf_release(pf_idbuf *b)
{
    pf_free(b->id);
    *b = (pf_idbuf){0};
}

int pf_idbuf_push(pf_idbuf *b, uint32_t id, pf_err *e)
{
    if (!PF_GROW(&b->id, &b->cap, b->n + 1))
        return pf_err_nomem(e);
    b->id[b->n++] = id;
    return 0;
}

/* ---------------------------------------------------------------- encode */

/* The spans of the text at hand: ranges [i] with modes [i]. */
typedef struct allowed {
    const pf_range *range;
    const pf_special *mode;
    size_t n, base; /* base: offset of the text in the ranges' numbering */
} allowed;

static bool allow(const void *ctx, const pf_added_token *t, size_t start,
                  size_t end)
{
    const allowed *a = ctx;
    if (pf_added_is_plain(t))
        return true;
    start += a->base;
    end += a->base;
    for (size_t i = 0; i < a->n && start < end; i++) {
        const pf_range *r = a->range + i;
        if (r->end <= start || r->start >= r->end)
            continue;
        if (r->start > start)
            return false;
        if (a->mode[i] != PF_SPECIAL_PARSE &&
            (a->mode[i] != PF_SPECIAL_NONSPECIAL || t->special))
            return false;
        start = r->end;
    }
    return start >= end;
}

static int encode_pieces(const pf_tokenizer *t, pf_tok_scratch *s,
                         pf_slice x, size_t limit, pf_idbuf *out, pf_err *e)
{
    if (t->prefix_space && x.n && x.p[0] != ' ') {
        pf_buf_clear(&s->spaced);
        pf_buf_char(&s->spaced, ' ');
        pf_buf_add(&s->spaced, x.p, x.n);
        if (pf_buf_failed(&s->spaced))
            return pf_err_nomem(e);
        x = pf_buf_slice(&s->spaced);
        limit = x.n;
    }
    for (size_t pos = 0; pos < x.n;) {
        size_t n, k = pf_pretok_scan(&t->pretok, x.p, x.n, pos, s->end,
                                     PIECES);
        if (!PF_GROW(&out->id, &out->cap, out->n + s->end[k - 1] - pos))
            return pf_err_nomem(e);
        int rc = pf_bpe_encode(&t->bpe, s->bpe, x.p, limit, pos, s->end, k,
                               out->id + out->n, &n, e);
        if (rc < 0)
            return rc;
        out->n += n;
        pos = s->end[k - 1];
    }
    return 0;
}

/* One gap between raw added tokens: text[a, b). */
static int encode_gap(const pf_tokenizer *t, pf_tok_scratch *s, pf_slice text,
                      size_t a, size_t b, pf_idbuf *out, pf_err *e)
{
    pf_slice x = {text.p + a, b - a};
    size_t limit = text.n - a;
    allowed ctx = {s->range, s->mode, s->n_range, a};
    if (t->nfc && pf_nfc_check(x) < x.n) {
        size_t n = t->normal ? s->n_range : 0;
        pf_range *moved = s->range + s->n_range;
        for (size_t i = 0; i < n; i++) {
            pf_range r = s->range[i];
            moved[i].start = PF_MIN(PF_MAX(r.start, a), b) - a;
            moved[i].end = PF_MIN(PF_MAX(r.end, a), b) - a;
        }
        int rc = pf_nfc(x, &s->norm, moved, n, e);
        if (rc < 0)
            return rc;
        x = pf_buf_slice(&s->norm);
        limit = x.n;
        ctx.range = moved;
        ctx.base = 0;
    }
    if (!t->normal)
        return encode_pieces(t, s, x, limit, out, e);
    pf_added_split sp = {0};
    for (;;) {
        const pf_added_token *tok;
        size_t g, h;
        int more = pf_added_next(t->normal, x, &sp, allow, &ctx, &g, &h, &tok);
        int rc = encode_pieces(t, s, (pf_slice){x.p + g, h - g}, limit - g,
                               out, e);
        if (rc == 0 && more)
            rc = pf_idbuf_push(out, tok->id, e);
        if (rc < 0 || !more)
            return rc;
    }
}

static bool not_plain(const void *ctx, const pf_added_token *t, size_t start,
                      size_t end)
{
    (void)ctx, (void)start, (void)end;
    return !pf_added_is_plain(t);
}

/* PF_SPECIAL_ERROR: does such a span hold the content of an added token? */
static bool holds_special(const pf_tokenizer *t, pf_slice text,
                          const pf_tok_span *span, size_t n)
{
    pf_added_match m;
    for (size_t i = 0; i < n; i++) {
        pf_slice x = {text.p + span[i].start, span[i].end - span[i].start};
        if (span[i].special != PF_SPECIAL_ERROR)
            continue;
        if ((t->raw && pf_added_find(t->raw, x, 0, not_plain, NULL, &m)) ||
            (t->normal && pf_added_find(t->normal, x, 0, not_plain, NULL, &m)))
            return true;
    }
    return false;
}

int pf_tok_encode_spans(const pf_tokenizer *t, pf_tok_scratch *s,
                        pf_slice text, const pf_tok_span *span, size_t n_span,
                        pf_idbuf *out, pf_err *e)
{
    size_t bad = pf_utf8_check(text.p, text.n);
    if (bad < text.n)
        return pf_err_pos(e, PF_E_FORMAT, NULL, 0, (int64_t)bad,
                          "invalid UTF-8");
    if (holds_special(t, text, span, n_span))
        return 1;
    if (!PF_GROW(&s->range, &s->cap_range, n_span * 2 + 1) ||
        !PF_GROW(&s->mode, &s->cap_mode, n_span + 1))
        return pf_err_nomem(e);
    for (size_t i = 0; i < n_span; i++) {
        s->range[i] = (pf_range){span[i].start, span[i].end};
        s->mode[i] = span[i].special;
    }
    s->n_range = n_span;
    if (!t->raw)
        return encode_gap(t, s, text, 0, text.n, out, e);
    allowed ctx = {s->range, s->mode, n_span, 0};
    pf_added_split sp = {0};
    for (;;) {
        const pf_added_token *tok;
        size_t g, h;
        int more = pf_added_next(t->raw, text, &sp, allow, &ctx, &g, &h, &tok);
        int rc = h > g ? encode_gap(t, s, text, g, h, out, e) : 0;
        if (rc == 0 && more)
            rc = pf_idbuf_push(out, tok->id, e);
        if (rc < 0 || !more)
            return rc;
    }
}

int pf_tok_encode(const pf_tokenizer *t, pf_tok_scratch *s, pf_slice text,
                  pf_special special, pf_idbuf *out, pf_err *e)
{
    pf_tok_span one = {0, text.n, special};
    return pf_tok_encode_spans(t, s, text, &one, 1, out, e);
}

/* ---------------------------------------------------------------- decode */

/* Length of the longest beginning of a valid sequence at p (the maximal
 * subpart of Unicode's practice for U+FFFD), at least 1. */
static size_t bad_length(const unsigned char *p, size_t n)
{
    unsigned lo = 0x80, hi = 0xbf, want;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        want = 1;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        want = 2;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        want = 3;
    else
        return 1;
    lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : lo;
    hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : hi;
    size_t k = 1;
    for (; k <= want && k < n && p[k] >= lo && p[k] <= hi; k++) {
        lo = 0x80;
        hi = 0xbf;
    }
    return k;
}

static void add_lossy(pf_buf *out, const char *p, size_t n)
{
    for (;;) {
        size_t ok = pf_utf8_check(p, n);
        pf_buf_add(out, p, ok);
        if (ok == n)
            return;
        pf_buf_add(out, "\xef\xbf\xbd", 3);
        size_t skip = ok + bad_length((const unsigned char *)p + ok, n - ok);
        p += skip;
        n -= skip;
    }
}

int pf_tok_decode(const pf_tokenizer *t, const uint32_t *id, size_t n,
                  bool skip_special, pf_buf *out, pf_err *e)
{
    pf_buf raw = {0};
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (id[i] >= t->n_entry || !t->entry[id[i]].known) {
            rc = pf_err_set(e, PF_E_FORMAT, "id %u is not in the vocabulary",
                            id[i]);
        } else if (!skip_special || !t->entry[id[i]].special) {
            pf_slice b = pf_tok_bytes(t, id[i]);
            pf_buf_add(&raw, b.p, b.n);
        }
    }
    if (rc == 0) {
        add_lossy(out, raw.p, raw.n);
        if (pf_buf_failed(&raw) || pf_buf_failed(out))
            rc = pf_err_nomem(e);
    }
    pf_buf_release(&raw);
    return rc;
}

pf_slice pf_tok_bytes(const pf_tokenizer *t, uint32_t id)
{
    if (id >= t->n_entry)
        return (pf_slice){NULL, 0};
    const pf_tok_entry *x = t->entry + id;
    return (pf_slice){t->bytes.p + x->byte, x->byte_n};
}
