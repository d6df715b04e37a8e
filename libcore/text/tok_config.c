/* SPDX-License-Identifier: MIT
 *
 * tokenizer_config.json: special tokens, chat template, context length. */
#include "text/tok_int.h"

#include <stdio.h>

#include "base/mem.h"

/* "<s>" or {"content": "<s>", ...}; an unknown token is refused, for
 * transformers would add it to the vocabulary. */
static int special_id(const pf_tokenizer *t, pf_jval root, const char *key,
                      int32_t *out, const char *name, pf_err *e)
{
    pf_jval v = pf_jget(root, key);
    pf_slice s = pf_jtype(v) == PF_JSON_OBJECT
                     ? pf_jstr(pf_jget(v, "content")) : pf_jstr(v);
    if (!s.p || !s.n)
        return 0;
    *out = pf_tokenizer_id(t, s);
    if (*out < 0)
        return pf_tok_refuse(e, name, key, v, "it is not in the vocabulary");
    return 0;
}

/* A template, or the one named "default" of a list of {name, template}. */
static pf_slice chat_template(pf_jval v)
{
    if (pf_jtype(v) != PF_JSON_ARRAY)
        return pf_jstr(v);
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it)) {
        pf_slice n = pf_jstr(pf_jget(it.value, "name"));
        if (n.p && pf_slice_is(n, "default"))
            return pf_jstr(pf_jget(it.value, "template"));
    }
    return (pf_slice){NULL, 0};
}

/* Tokens that transformers would add to those of tokenizer.json. */
static int check_decoder(const pf_tokenizer *t, pf_jval dec, const char *name,
                         pf_err *e)
{
    pf_jiter it = pf_jiter_of(dec);
    while (pf_jiter_next(&it)) {
        pf_slice s = pf_jstr(pf_jget(it.value, "content"));
        char path[64];
        if (s.p && pf_tokenizer_id(t, s) >= 0)
            continue;
        snprintf(path, sizeof path, "added_tokens_decoder.%.*s",
                 (int)PF_MIN(it.key.n, (size_t)24), it.key.p);
        return pf_tok_refuse(e, name, path, it.value,
                             "tokenizer.json has no such token");
    }
    return 0;
}

int pf_tok_load_config(pf_tokenizer *t, pf_slice json, const char *name,
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
    rc = check_decoder(t, pf_jget(root, "added_tokens_decoder"), name, e);
    if (rc == 0)
        rc = special_id(t, root, "bos_token", &t->bos, name, e);
    if (rc == 0)
        rc = special_id(t, root, "eos_token", &t->eos, name, e);
    if (rc < 0)
        goto done;
    pf_slice tmpl = chat_template(pf_jget(root, "chat_template"));
    if (tmpl.p && !t->chat_template) {
        t->chat_template = pf_memdup0(tmpl.p, tmpl.n);
        if (!t->chat_template)
            rc = pf_err_nomem(e);
    }
    int64_t max;
    if (pf_ji64(pf_jget(root, "model_max_length"), &max) && max > 0 &&
        max < (int64_t)1 << 40)
        t->max_length = (uint64_t)max;
done:
    pf_json_free(j);
    return rc;
}
