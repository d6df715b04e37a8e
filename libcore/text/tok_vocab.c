/* SPDX-License-Identifier: MIT
 *
 * The model of a tokenizer.json: byte-level BPE's vocabulary and merges. */
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tok_int.h"

#include <stdio.h>

/* Byte-level alphabet: printable Latin-1 stands for itself, the other 68
 * bytes are U+0100 onwards in order of their value. */
static bool is_printable(unsigned b)
{
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
}

static void byte_alphabet(uint16_t to_cp[256], int16_t to_byte[324])
{
    unsigned next = 256;
    memset(to_byte, -1, 324 * sizeof *to_byte);
    for (unsigned b = 0; b < 256; b++) {
        to_cp[b] = (uint16_t)(is_printable(b) ? b : next++);
        to_byte[to_cp[b]] = (int16_t)b;
    }
}

pf_slice pf_tok_string(const pf_tokenizer *t, uint32_t id)
{
    const pf_tok_entry *x = t->entry + id;
    return (pf_slice){t->strings.p + x->str, x->str_n};
}

/* Appends the bytes a token stands for: by the alphabet when all of its
 * characters are in it, else its own UTF-8 (as the ByteLevel decoder). */
static bool add_bytes(pf_buf *out, pf_slice text, const int16_t to_byte[324])
{
    size_t at = out->n;
    int len;
    for (size_t i = 0; i < text.n; i += (size_t)len) {
        uint32_t cp = pf_utf8_get(text.p + i, &len);
        if (cp >= 324 || to_byte[cp] < 0) {
            out->n = at;
            pf_buf_add(out, text.p, text.n);
            return false;
        }
        pf_buf_char(out, (char)to_byte[cp]);
    }
    return true;
}

int pf_tok_add_entry(pf_tokenizer *t, pf_slice text, uint32_t id, pf_err *e)
{
    if (id >= t->n_entry) {
        if (!PF_GROW(&t->entry, &t->cap_entry, (size_t)id + 1))
            return pf_err_nomem(e);
        memset(t->entry + t->n_entry, 0,
               (id + 1 - t->n_entry) * sizeof *t->entry);
        t->n_entry = (size_t)id + 1;
    }
    pf_tok_entry *x = t->entry + id;
    if (x->known)
        return pf_err_set(e, PF_E_USAGE, "two tokens have the id %u", id);
    bool added;
    uint64_t *v = pf_map_put(t->by_string, text, &added);
    if (!v)
        return pf_err_nomem(e);
    *v = id;
    if (t->strings.n + text.n > UINT32_MAX / 2)
        return pf_err_set(e, PF_E_LIMIT, "a vocabulary of over 2 GiB");
    x->known = true;
    x->str = (uint32_t)t->strings.n;
    x->str_n = (uint32_t)text.n;
    pf_buf_add(&t->strings, text.p, text.n);
    x->byte = (uint32_t)t->bytes.n;
    x->plain = add_bytes(&t->bytes, text, t->to_byte) && text.n > 0;
    x->byte_n = (uint32_t)(t->bytes.n - x->byte);
    if (pf_buf_failed(&t->strings) || pf_buf_failed(&t->bytes))
        return pf_err_nomem(e);
    return 0;
}

static int load_vocab(pf_tokenizer *t, pf_jval vocab, const char *name,
                      pf_err *e)
{
    if (pf_jtype(vocab) != PF_JSON_OBJECT)
        return pf_err_pos(e, PF_E_FORMAT, name, 0, -1,
                          "model.vocab is %s, not an object",
                          pf_jtype_name(vocab));
    pf_jiter it = pf_jiter_of(vocab);
    while (pf_jiter_next(&it)) {
        int64_t id;
        if (!pf_ji64(it.value, &id) || id < 0 || id >= PF_TOK_MAX_ID) {
            char q[80];
            pf_slice raw = pf_jraw(it.value);
            pf_err_quote(q, sizeof q, raw.p, raw.n);
            return pf_err_pos(e, PF_E_FORMAT, name, 0, -1,
                              "model.vocab: an id of %s", q);
        }
        int rc = pf_tok_add_entry(t, it.key, (uint32_t)id, e);
        if (rc < 0) {
            pf_err_at(e, name, 0, -1);
            return rc;
        }
    }
    t->n_vocab = pf_map_count(t->by_string);
    if (t->n_vocab == 0)
        return pf_err_pos(e, PF_E_FORMAT, name, 0, -1,
                          "model.vocab is empty");
    return 0;
}

/* The halves of a merge: "a b" or ["a", "b"]. */
static bool merge_halves(pf_jval v, pf_slice *a, pf_slice *b)
{
    if (pf_jtype(v) == PF_JSON_ARRAY && pf_jcount(v) == 2) {
        pf_jiter it = pf_jiter_of(v);
        *a = pf_jiter_next(&it) ? pf_jstr(it.value) : (pf_slice){0};
        *b = pf_jiter_next(&it) ? pf_jstr(it.value) : (pf_slice){0};
        return a->p && b->p;
    }
    pf_slice s = pf_jstr(v);
    const char *sp = s.p ? memchr(s.p, ' ', s.n) : NULL;
    if (!sp)
        return false;
    *a = (pf_slice){s.p, (size_t)(sp - s.p)};
    *b = (pf_slice){sp + 1, s.n - a->n - 1};
    return memchr(b->p, ' ', b->n) == NULL;
}

static int bad_merge(const char *name, size_t i, pf_jval v, const char *what,
                     pf_err *e)
{
    char q[120];
    pf_slice raw = pf_jraw(v);
    pf_err_quote(q, sizeof q, raw.p, raw.n);
    return pf_err_pos(e, PF_E_FORMAT, name, 0, -1, "model.merges[%zu]: %s: %s",
                      i, what, q);
}

static int load_merges(pf_tokenizer *t, pf_jval merges, const char *name,
                       pf_err *e)
{
    if (pf_jtype(merges) != PF_JSON_ARRAY)
        return pf_err_pos(e, PF_E_FORMAT, name, 0, -1,
                          "model.merges is %s, not an array",
                          pf_jtype_name(merges));
    int rc = 0;
    size_t n = pf_jcount(merges), k = 0, i = 0;
    pf_merge *m = pf_calloc(n + 1, sizeof *m);
    pf_buf joined = {0};
    if (!m)
        return pf_err_nomem(e);
    pf_jiter it = pf_jiter_of(merges);
    for (; rc == 0 && pf_jiter_next(&it); i++) {
        pf_slice a, b, s = pf_jstr(it.value);
        if (s.p && pf_slice_starts(s, PF_LIT("#version")))
            continue;
        if (!merge_halves(it.value, &a, &b)) {
            rc = bad_merge(name, i, it.value, "not a pair", e);
            break;
        }
        pf_buf_clear(&joined);
        pf_buf_add(&joined, a.p, a.n);
        pf_buf_add(&joined, b.p, b.n);
        if (pf_buf_failed(&joined)) {
            rc = pf_err_nomem(e);
            break;
        }
        const uint64_t *l = pf_map_get(t->by_string, a),
                       *r = pf_map_get(t->by_string, b),
                       *x = pf_map_get(t->by_string, pf_buf_slice(&joined));
        if (!l || !r || !x) {
            rc = bad_merge(name, i, it.value,
                           "a part is not in the vocabulary", e);
            break;
        }
        m[k] = (pf_merge){(uint32_t)*l, (uint32_t)*r, (uint32_t)k,
                          (uint32_t)*x};
        k++;
    }
    if (rc == 0)
        rc = pf_bpe_init(&t->bpe, m, k, e);
    pf_buf_release(&joined);
    pf_free(m);
    return rc;
}

/* Bytes without a token are dropped or unk, unless byte_fallback would have
 * a word: that mixture is refused. 0xc0, 0xc1, 0xf5.. never occur. */
static int load_bytes(pf_tokenizer *t, pf_jval model, const char *name,
                      pf_err *e)
{
    unsigned missing = 0;
    for (unsigned b = 0; b < 256; b++) {
        char c[4];
        int n = pf_utf8_put(c, t->to_cp[b]);
        const uint64_t *v =
            pf_map_get(t->by_string, (pf_slice){c, (size_t)n});
        t->bpe.byte_id[b] = v ? (uint32_t)*v : PF_BPE_NONE;
        missing += !v && b != 0xc0 && b != 0xc1 && b < 0xf5;
    }
    t->bpe.unk = PF_BPE_NONE;
    t->bpe.fuse_unk = pf_jbool(pf_jget(model, "fuse_unk"), false);
    pf_slice unk = pf_jstr(pf_jget(model, "unk_token"));
    if (unk.p && missing) {
        const uint64_t *v = pf_map_get(t->by_string, unk);
        if (!v)
            return pf_tok_refuse(e, name, "model.unk_token",
                                 pf_jget(model, "unk_token"),
                                 "it is not in the vocabulary");
        t->bpe.unk = (uint32_t)*v;
    }
    if (missing > 128)
        return pf_err_pos(e, PF_E_USAGE, name, 0, -1,
                          "model.vocab: not a byte-level vocabulary (%u byte "
                          "symbols are missing)", missing);
    if (missing && pf_jbool(pf_jget(model, "byte_fallback"), false))
        return pf_tok_refuse(e, name, "model.byte_fallback",
                             pf_jget(model, "byte_fallback"),
                             "only byte-level BPE is built, and its alphabet is "
                             "incomplete here");
    return 0;
}

static int load_whole(pf_tokenizer *t, pf_err *e)
{
    t->by_bytes = pf_map_new(0);
    if (!t->by_bytes)
        return pf_err_nomem(e);
    for (size_t i = 0; i < t->n_entry; i++) {
        const pf_tok_entry *x = t->entry + i;
        bool added;
        if (!x->known || !x->plain)
            continue;
        uint64_t *v = pf_map_put(
            t->by_bytes, (pf_slice){t->bytes.p + x->byte, x->byte_n}, &added);
        if (!v)
            return pf_err_nomem(e);
        *v = i;
    }
    t->bpe.whole = t->by_bytes;
    return 0;
}

int pf_tok_load_model(pf_tokenizer *t, pf_jval model, const char *name,
                      pf_err *e)
{
    static const char *const affix[] = {"continuing_subword_prefix",
                                        "end_of_word_suffix"};
    pf_jval type = pf_jget(model, "type");
    if (pf_jtype(model) != PF_JSON_OBJECT)
        return pf_err_pos(e, PF_E_FORMAT, name, 0, -1, "no model: not a "
                          "tokenizer.json");
    if (pf_jtype(type) == PF_JSON_STRING) {
        if (!pf_slice_is(pf_jstr(type), "BPE"))
            return pf_tok_refuse(e, name, "model.type", type,
                                 "only byte-level BPE is built");
    } else if (pf_jtype(pf_jget(model, "merges")) == PF_JSON_NONE) {
        return pf_tok_refuse(e, name, "model.merges", pf_jget(model, "merges"),
                             "only byte-level BPE is built");
    }
    for (size_t i = 0; i < PF_COUNTOF(affix); i++) {
        char path[64];
        pf_jval v = pf_jget(model, affix[i]);
        snprintf(path, sizeof path, "model.%s", affix[i]);
        if (pf_jstr(v).n)
            return pf_tok_refuse(e, name, path, v, "must be empty");
    }
    double dropout = 0;
    pf_jval d = pf_jget(model, "dropout");
    if (pf_jf64(d, &dropout) && dropout != 0)
        return pf_tok_refuse(e, name, "model.dropout", d,
                             "ids would be random");
    byte_alphabet(t->to_cp, t->to_byte);
    int rc = load_vocab(t, pf_jget(model, "vocab"), name, e);
    if (rc == 0)
        rc = load_bytes(t, model, name, e);
    if (rc == 0)
        rc = load_merges(t, pf_jget(model, "merges"), name, e);
    if (rc == 0 && pf_jbool(pf_jget(model, "ignore_merges"), false))
        rc = load_whole(t, e);
    return rc;
}
