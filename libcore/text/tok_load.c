/* SPDX-License-Identifier: MIT
 *
 * tokenizer.json: normalizer, pre-tokenizer, post-processor, decoder and
 * added tokens. Every component is either taken with its exact meaning or
 * refused by its JSON path. truncation and padding are ignored, as
 * transformers does, which sets both anew at every call. */
#include "text/tok_int.h"

#include <stdio.h>

#include "base/mem.h"

int pf_tok_refuse(pf_err *e, const char *name, const char *path, pf_jval v,
                  const char *hint)
{
    char q[140];
    pf_slice raw = pf_jraw(v);
    if (pf_jtype(v) == PF_JSON_NONE)
        snprintf(q, sizeof q, "(missing)");
    else
        pf_err_quote(q, sizeof q, raw.p, PF_MIN(raw.n, (size_t)120));
    return pf_err_pos(e, PF_E_USAGE, name, 0, -1,
                      "%s: %s is not supported: %s", path, q, hint);
}

static bool type_is(pf_jval v, const char *type)
{
    pf_slice s = pf_jstr(pf_jget(v, "type"));
    return s.p && pf_slice_is(s, type);
}

static bool is_nothing(pf_jval v)
{
    return pf_jtype(v) == PF_JSON_NONE || pf_jtype(v) == PF_JSON_NULL;
}

static const char *sub_path(char buf[96], const char *path, const char *list,
                            size_t i)
{
    snprintf(buf, 96, "%s.%s[%zu]", path, list, i);
    return buf;
}

static int load_normalizer(pf_tokenizer *t, pf_jval v, const char *path,
                           int depth, const char *name, pf_err *e)
{
    if (is_nothing(v))
        return 0;
    if (type_is(v, "NFC")) {
        t->nfc = true;
        return 0;
    }
    if (!type_is(v, "Sequence") || depth > 4)
        return pf_tok_refuse(e, name, path, v, "only NFC is built");
    size_t i = 0;
    pf_jiter it = pf_jiter_of(pf_jget(v, "normalizers"));
    while (pf_jiter_next(&it)) {
        char buf[96];
        int rc = load_normalizer(t, it.value,
                                 sub_path(buf, path, "normalizers", i++),
                                 depth + 1, name, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A Split whose pieces tile the text: Isolated, or Removed with invert. */
static int load_split(pf_tokenizer *t, pf_jval v, const char *path,
                      const char *name, pf_err *e)
{
    pf_slice how = pf_jstr(pf_jget(v, "behavior"));
    bool invert = pf_jbool(pf_jget(v, "invert"), false);
    pf_slice re = pf_jstr(pf_jget(pf_jget(v, "pattern"), "Regex"));
    bool tiles = how.p && ((pf_slice_is(how, "Isolated") && !invert) ||
                           (pf_slice_is(how, "Removed") && invert));
    if (!tiles)
        return pf_tok_refuse(e, name, path, v,
                             "only Isolated, or Removed with invert, is built");
    if (!re.p || !pf_pretok_of_regex(re, &t->pretok))
        return pf_tok_refuse(e, name, path, pf_jget(v, "pattern"),
                             "only the regexes of GPT-2, Llama 3 and Qwen 2 "
                             "are built");
    return 0;
}

/* ByteLevel as the last step; after_split: a Split has made the pieces. */
static int load_byte_level(pf_tokenizer *t, pf_jval v, bool after_split,
                           bool digits, const char *path, const char *name,
                           pf_err *e)
{
    pf_jval space = pf_jget(v, "add_prefix_space");
    if (!type_is(v, "ByteLevel"))
        return pf_tok_refuse(e, name, path, v,
                             "byte-level BPE needs ByteLevel here");
    t->prefix_space = pf_jbool(space, false);
    if (t->prefix_space && (after_split || digits))
        return pf_tok_refuse(e, name, path, v,
                             "add_prefix_space after another step");
    bool regex = pf_jbool(pf_jget(v, "use_regex"), true);
    if (regex == after_split)
        return pf_tok_refuse(e, name, path, v,
                             regex ? "use_regex after a Split"
                                   : "use_regex false without a Split");
    if (regex)
        t->pretok = (pf_pretok){.kind = PF_PRETOK_GPT2,
                                .digits_apart = digits};
    return 0;
}

static int load_pre_tokenizer(pf_tokenizer *t, pf_jval v, const char *name,
                              pf_err *e)
{
    static const char path[] = "pre_tokenizer";
    bool split = false, digits = false, bytes = false;
    if (type_is(v, "ByteLevel"))
        return load_byte_level(t, v, false, false, path, name, e);
    if (!type_is(v, "Sequence"))
        return pf_tok_refuse(e, name, path, v,
                             "ByteLevel, or a Sequence that ends with it, is "
                             "wanted");
    size_t i = 0;
    pf_jiter it = pf_jiter_of(pf_jget(v, "pretokenizers"));
    for (; pf_jiter_next(&it); i++) {
        char buf[96];
        int rc = 0;
        const char *at = sub_path(buf, path, "pretokenizers", i);
        if (bytes || (i > 0 && !type_is(it.value, "ByteLevel")))
            return pf_tok_refuse(e, name, at, it.value,
                                 "this sequence of steps is not built");
        if (type_is(it.value, "Split")) {
            rc = load_split(t, it.value, at, name, e);
            split = true;
        } else if (type_is(it.value, "Digits")) {
            digits = true;
            if (!pf_jbool(pf_jget(it.value, "individual_digits"), false))
                rc = pf_tok_refuse(e, name, at, it.value,
                                   "only individual_digits is built");
        } else {
            rc = load_byte_level(t, it.value, split, digits, at, name, e);
            bytes = true;
        }
        if (rc < 0)
            return rc;
    }
    if (!bytes)
        return pf_tok_refuse(e, name, path, v, "a ByteLevel step is wanted");
    return 0;
}

/* -------------------------------------------------------- post-processor */

/* Puts ids around what is there: the new ones go outside. */
static int wrap(uint32_t *at, size_t *n, const uint32_t *ids, size_t k,
                bool front, const char *name, pf_err *e)
{
    if (*n + k > PF_TOK_MAX_AFFIX)
        return pf_err_pos(e, PF_E_USAGE, name, 0, -1,
                          "post_processor: more than %d tokens around a text",
                          PF_TOK_MAX_AFFIX);
    if (front)
        memmove(at + k, at, *n * sizeof *at);
    memcpy(front ? at : at + *n, ids, k * sizeof *ids);
    *n += k;
    return 0;
}

/* The ids of one SpecialToken of a template. */
static int template_ids(pf_jval special, pf_slice id, uint32_t *out,
                        size_t *n, size_t n_entry, const char *path,
                        const char *name, pf_err *e)
{
    pf_jval ids = pf_jget(pf_jget_s(special, id), "ids");
    pf_jiter it = pf_jiter_of(ids);
    while (pf_jiter_next(&it)) {
        int64_t v;
        if (*n == PF_TOK_MAX_AFFIX || !pf_ji64(it.value, &v) || v < 0 ||
            v >= (int64_t)n_entry)
            return pf_tok_refuse(e, name, path, ids,
                                 "too many ids, or not in the vocabulary");
        out[(*n)++] = (uint32_t)v;
    }
    return pf_jcount(ids) ? 0 : pf_tok_refuse(e, name, path, special,
                                              "a special token is missing");
}

static int load_template(pf_tokenizer *t, pf_jval v, const char *path,
                         const char *name, pf_err *e)
{
    uint32_t ids[2][PF_TOK_MAX_AFFIX];
    size_t n[2] = {0, 0};
    int seen = 0;
    pf_jval special = pf_jget(v, "special_tokens");
    pf_jiter it = pf_jiter_of(pf_jget(v, "single"));
    while (pf_jiter_next(&it)) {
        pf_jval tok = pf_jget(it.value, "SpecialToken");
        pf_slice id = pf_jstr(pf_jget(tok, "id"));
        if (pf_jtype(pf_jget(it.value, "Sequence")) == PF_JSON_OBJECT) {
            if (seen++)
                return pf_tok_refuse(e, name, path, v, "two sequences");
            continue;
        }
        int rc = template_ids(special, id, ids[seen], &n[seen], t->n_entry,
                              path, name, e);
        if (rc < 0)
            return rc;
    }
    if (!seen)
        return pf_tok_refuse(e, name, path, v, "no sequence in single");
    int rc = wrap(t->prefix, &t->n_prefix, ids[0], n[0], true, name, e);
    return rc < 0 ? rc
                  : wrap(t->suffix, &t->n_suffix, ids[1], n[1], false, name,
                         e);
}

/* ["<s>", 0] of the Roberta and Bert shapes. */
static bool named_id(pf_jval v, size_t n_entry, uint32_t *out)
{
    pf_jiter it = pf_jiter_of(v);
    int64_t id = -1;
    if (pf_jtype(v) != PF_JSON_ARRAY || pf_jcount(v) != 2)
        return false;
    while (pf_jiter_next(&it))
        if (!pf_ji64(it.value, &id))
            id = -1;
    *out = (uint32_t)id;
    return id >= 0 && id < (int64_t)n_entry;
}

static int load_post(pf_tokenizer *t, pf_jval v, const char *path, int depth,
                     const char *name, pf_err *e)
{
    if (is_nothing(v) || type_is(v, "ByteLevel"))
        return 0;
    if (type_is(v, "TemplateProcessing"))
        return load_template(t, v, path, name, e);
    if (type_is(v, "RobertaProcessing") || type_is(v, "BertProcessing")) {
        uint32_t cls, sep;
        if (!named_id(pf_jget(v, "cls"), t->n_entry, &cls) ||
            !named_id(pf_jget(v, "sep"), t->n_entry, &sep))
            return pf_tok_refuse(e, name, path, v, "cls and sep are wanted");
        int rc = wrap(t->prefix, &t->n_prefix, &cls, 1, true, name, e);
        return rc < 0 ? rc
                      : wrap(t->suffix, &t->n_suffix, &sep, 1, false, name, e);
    }
    if (!type_is(v, "Sequence") || depth > 4)
        return pf_tok_refuse(e, name, path, v, "this step is not built");
    size_t i = 0;
    pf_jiter it = pf_jiter_of(pf_jget(v, "processors"));
    while (pf_jiter_next(&it)) {
        char buf[96];
        int rc = load_post(t, it.value,
                           sub_path(buf, path, "processors", i++), depth + 1,
                           name, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int load_decoder(pf_jval v, const char *name, pf_err *e)
{
    pf_jval one = v;
    if (type_is(v, "Sequence") && pf_jcount(pf_jget(v, "decoders")) == 1) {
        pf_jiter it = pf_jiter_of(pf_jget(v, "decoders"));
        if (pf_jiter_next(&it))
            one = it.value;
    }
    if (type_is(one, "ByteLevel"))
        return 0;
    return pf_tok_refuse(e, name, "decoder", v, "only ByteLevel is built");
}

/* ---------------------------------------------------------- added tokens */

/* The id Hugging Face gives: that of the vocabulary, else the next free one
 * above it and above all added before; the file's own number is not used. */
static uint32_t added_id(const pf_tokenizer *t, pf_slice content)
{
    const uint64_t *v = pf_map_get(t->by_string, content);
    if (v)
        return (uint32_t)*v;
    return t->n_added && t->added_max >= t->n_vocab ? t->added_max + 1
                                                    : (uint32_t)t->n_vocab;
}

static int load_one_added(pf_tokenizer *t, pf_jval v, size_t i,
                          const char *name, pf_err *e)
{
    char path[64];
    pf_slice content = pf_jstr(pf_jget(v, "content"));
    snprintf(path, sizeof path, "added_tokens[%zu]", i);
    if (content.n == 0)
        return pf_tok_refuse(e, name, path, v, "its content is empty");
    if (!PF_GROW(&t->added, &t->cap_added, t->n_added + 1))
        return pf_err_nomem(e);
    bool special = pf_jbool(pf_jget(v, "special"), false);
    pf_added_token a = {
        .id = added_id(t, content),
        .single_word = pf_jbool(pf_jget(v, "single_word"), false),
        .lstrip = pf_jbool(pf_jget(v, "lstrip"), false),
        .rstrip = pf_jbool(pf_jget(v, "rstrip"), false),
        .normalized = pf_jbool(pf_jget(v, "normalized"), !special),
        .special = special,
    };
    if (a.id >= PF_TOK_MAX_ID)
        return pf_tok_refuse(e, name, path, v, "its id is too large");
    size_t k = t->n_added;
    if (pf_map_get(t->by_string, content)) {
        /* Twice the same content: the last flags count. */
        for (k = 0; k < t->n_added && t->added[k].id != a.id; k++)
            ;
    } else {
        int rc = pf_tok_add_entry(t, content, a.id, e);
        if (rc < 0)
            return rc;
    }
    t->entry[a.id].special |= special;
    t->added_max = PF_MAX(t->added_max, a.id);
    t->n_added += k == t->n_added;
    t->added[k] = a;
    return 0;
}

static int make_phase(pf_tokenizer *t, bool normalized, pf_added **out,
                      pf_err *e)
{
    int rc = 0;
    size_t any = 0;
    pf_buf norm = {0}, one = {0};
    pf_slice *pat = pf_calloc(t->n_added + 1, sizeof *pat);
    if (!pat)
        return pf_err_nomem(e);
    for (size_t i = 0; i < t->n_added && rc == 0; i++) {
        if (t->added[i].normalized != normalized)
            continue;
        any++;
        pat[i] = t->added[i].content;
        if (normalized && t->nfc && pf_nfc_check(pat[i]) < pat[i].n) {
            rc = pf_nfc(pat[i], &one, NULL, 0, e);
            /* kept by offset until norm no longer moves */
            pat[i] = (pf_slice){NULL, one.n};
            pf_buf_add(&norm, one.p, one.n);
        }
    }
    if (rc == 0 && pf_buf_failed(&norm))
        rc = pf_err_nomem(e);
    size_t at = 0;
    for (size_t i = 0; i < t->n_added && rc == 0; i++)
        if (!pat[i].p && pat[i].n) {
            pat[i].p = norm.p + at;
            at += pat[i].n;
        }
    if (rc == 0 && any)
        rc = pf_added_new(out, t->added, pat, t->n_added, e);
    pf_buf_release(&one);
    pf_buf_release(&norm);
    pf_free(pat);
    return rc;
}

static int load_added(pf_tokenizer *t, pf_jval list, const char *name,
                      pf_err *e)
{
    size_t i = 0;
    pf_jiter it = pf_jiter_of(list);
    while (pf_jiter_next(&it)) {
        int rc = load_one_added(t, it.value, i++, name, e);
        if (rc < 0)
            return rc;
    }
    for (i = 0; i < t->n_added; i++)
        t->added[i].content = pf_tok_string(t, t->added[i].id);
    int rc = make_phase(t, false, &t->raw, e);
    return rc < 0 ? rc : make_phase(t, true, &t->normal, e);
}

int pf_tok_load_json(pf_tokenizer *t, pf_slice json, const char *name,
                     pf_err *e)
{
    pf_jval root;
    pf_json *j = pf_json_new();
    if (!j)
        return pf_err_nomem(e);
    int rc = pf_json_parse(j, json, &root, e);
    if (rc < 0) {
        pf_err_at(e, name, 0, -1);
        goto done;
    }
    rc = pf_tok_load_model(t, pf_jget(root, "model"), name, e);
    if (rc == 0)
        rc = load_normalizer(t, pf_jget(root, "normalizer"), "normalizer", 0,
                             name, e);
    if (rc == 0)
        rc = load_pre_tokenizer(t, pf_jget(root, "pre_tokenizer"), name, e);
    if (rc == 0)
        rc = load_added(t, pf_jget(root, "added_tokens"), name, e);
    if (rc == 0)
        rc = load_post(t, pf_jget(root, "post_processor"), "post_processor",
                       0, name, e);
    if (rc == 0)
        rc = load_decoder(pf_jget(root, "decoder"), name, e);
done:
    pf_json_free(j);
    return rc;
}
