/* SPDX-License-Identifier: MIT
 *
 * Inside of a tokenizer: shared by its loader and its encoder only. */
#ifndef PF_TEXT_TOK_INT_H
#define PF_TEXT_TOK_INT_H

#include "base/json.h"
#include "base/map.h"
#include "text/added.h"
#include "text/bpe.h"
#include "text/nfc.h"
#include "text/pretok.h"
#include "text/tokenizer.h"

enum { PF_TOK_MAX_AFFIX = 8, PF_TOK_MAX_ID = 1 << 24 };

/* One id. Offsets are into strings (its text in the file) and bytes (what it
 * stands for); a hole in the numbering is not known. */
typedef struct pf_tok_entry {
    uint32_t str, str_n, byte, byte_n;
    bool known, special;
    bool plain; /* spelled in the byte alphabet: a piece can be it */
} pf_tok_entry;

struct pf_tokenizer {
    char *json, *config;
    size_t json_n, config_n;
    pf_tok_entry *entry;
    size_t n_entry, cap_entry; /* n_entry: one more than the largest id */
    size_t n_vocab;            /* entries of model.vocab, as HF counts */
    pf_buf strings, bytes;
    uint16_t to_cp[256];  /* the byte-level alphabet */
    int16_t to_byte[324]; /* and back; -1 = not in it */
    pf_map *by_string; /* content -> id */
    pf_map *by_bytes;  /* ignore_merges only */
    pf_bpe bpe;
    pf_pretok pretok;
    bool nfc, prefix_space;
    pf_added_token *added;
    size_t n_added, cap_added;
    pf_added *raw, *normal; /* the two phases; NULL when empty */
    uint32_t added_max; /* their largest id */
    uint32_t prefix[PF_TOK_MAX_AFFIX], suffix[PF_TOK_MAX_AFFIX];
    size_t n_prefix, n_suffix;
    int32_t bos, eos;
    char *chat_template;
    uint64_t max_length;
    uint8_t digest_all[PF_SHA256_BYTES], digest_vocab[PF_SHA256_BYTES];
};

/* tok_load.c: the components of tokenizer.json into t. */
PF_MUST_CHECK int pf_tok_load_json(pf_tokenizer *t, pf_slice json,
                                   const char *name, pf_err *e);
/* tok_vocab.c: model.vocab and model.merges. */
PF_MUST_CHECK int pf_tok_load_model(pf_tokenizer *t, pf_jval model,
                                    const char *name, pf_err *e);
/* Adds an id with its text, or finds fault with it. */
PF_MUST_CHECK int pf_tok_add_entry(pf_tokenizer *t, pf_slice text, uint32_t id,
                                   pf_err *e);
/* tok_config.c: tokenizer_config.json. */
PF_MUST_CHECK int pf_tok_load_config(pf_tokenizer *t, pf_slice json,
                                     const char *name, pf_err *e);
/* PF_E_USAGE "PATH: VALUE is not supported: HINT" at name. */
int pf_tok_refuse(pf_err *e, const char *name, const char *path, pf_jval value,
                  const char *hint);
pf_slice pf_tok_string(const pf_tokenizer *t, uint32_t id);

#endif
