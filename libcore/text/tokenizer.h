/* SPDX-License-Identifier: MIT
 *
 * Tokenizer facade: text <-> ids exactly as Hugging Face tokenizers 0.23.
 *
 * A pf_tokenizer is read-only after opening and shared by all threads; each
 * thread brings its own pf_tok_scratch. Whatever a file asks for that is not
 * supported is refused at open, naming the JSON path, the component and its
 * value: ids are never approximated. */
#ifndef PF_TEXT_TOKENIZER_H
#define PF_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

typedef struct pf_tokenizer pf_tokenizer;
typedef struct pf_tok_scratch pf_tok_scratch;

/* Which added tokens are recognised in a text. */
typedef enum pf_special {
    PF_SPECIAL_NONE,       /* none: content is plain text (the default) */
    PF_SPECIAL_NONSPECIAL, /* only those with special = false */
    PF_SPECIAL_PARSE,      /* all, as Hugging Face does */
    PF_SPECIAL_ERROR,      /* none, and pf_tok_encode reports a row that
                              contains one (see there) */
} pf_special;

/* path: a model directory, or a tokenizer.json (plain, .gz or .zst). Errors:
 * PF_E_IO missing file, PF_E_FORMAT malformed, PF_E_USAGE unsupported. */
PF_MUST_CHECK int pf_tokenizer_open(pf_tokenizer **out, const char *path,
                                    pf_err *e);
/* From bytes (a tokenizer stored in a shard set); tokenizer_config may be
 * {NULL, 0}. name is used in messages. */
PF_MUST_CHECK int pf_tokenizer_of_json(pf_tokenizer **out, pf_slice json,
                                       pf_slice tokenizer_config,
                                       const char *name, pf_err *e);
void pf_tokenizer_free(pf_tokenizer *t);

/* The bytes it was made from, to be stored beside the shards. */
pf_slice pf_tokenizer_json(const pf_tokenizer *t);
pf_slice pf_tokenizer_config_json(const pf_tokenizer *t); /* may be empty */

/* One more than the largest id (added tokens included). */
uint32_t pf_tokenizer_vocab(const pf_tokenizer *t);
/* Id of a token by its exact content ("<|endoftext|>"), or -1. */
int32_t pf_tokenizer_id(const pf_tokenizer *t, pf_slice content);
/* And back: the content of an id as the file spells it, or {NULL, 0}. */
pf_slice pf_tokenizer_text(const pf_tokenizer *t, uint32_t id);
/* From tokenizer_config.json (bos_token, eos_token, pad_token; a string or
 * {"content":..}); -1 when there is none. A config.json's eos_token_id is
 * used when the tokenizer files name none. */
int32_t pf_tokenizer_bos(const pf_tokenizer *t);
int32_t pf_tokenizer_eos(const pf_tokenizer *t);
/* Ids that the post-processor puts before / after one text (0..8 each). */
const uint32_t *pf_tokenizer_prefix(const pf_tokenizer *t, size_t *n);
const uint32_t *pf_tokenizer_suffix(const pf_tokenizer *t, size_t *n);
/* chat_template of tokenizer_config.json or chat_template.jinja, or NULL. */
const char *pf_tokenizer_chat_template(const pf_tokenizer *t);
/* model_max_length when it is a sane number, else 0. */
uint64_t pf_tokenizer_max_length(const pf_tokenizer *t);

/* Digests of the tables as loaded (not of file bytes): all that decides ids,
 * and id -> bytes alone. */
void pf_tokenizer_digest(const pf_tokenizer *t, uint8_t all[PF_SHA256_BYTES],
                         uint8_t vocab[PF_SHA256_BYTES]);

PF_MUST_CHECK int pf_tok_scratch_new(pf_tok_scratch **out,
                                     const pf_tokenizer *t, pf_err *e);
void pf_tok_scratch_free(pf_tok_scratch *s);

/* Growable ids. Zero-initialise; pf_idbuf_release. */
typedef struct pf_idbuf {
    uint32_t *id;
    size_t n, cap;
} pf_idbuf;
void pf_idbuf_release(pf_idbuf *b);
PF_MUST_CHECK int pf_idbuf_push(pf_idbuf *b, uint32_t id, pf_err *e);

/* Appends the ids of text (valid UTF-8) to out, without prefix or suffix
 * ("add_special_tokens=False"). Under PF_SPECIAL_ERROR returns 1 instead when
 * the text contains the content of an added token (out is unchanged). 0 ok,
 * < 0 out of memory or text that is not UTF-8 (PF_E_FORMAT with the byte). */
PF_MUST_CHECK int pf_tok_encode(const pf_tokenizer *t, pf_tok_scratch *s,
                                pf_slice text, pf_special special,
                                pf_idbuf *out, pf_err *e);

/* One run of a text: bytes [start, end), and whether added tokens are
 * recognised in it (a template's own text) or not (content). */
typedef struct pf_tok_span {
    size_t start, end;
    pf_special special;
} pf_tok_span;

/* Encodes a text whose spans cover it in order, as one text (pieces may cross
 * span borders), except that an added token is recognised only where it lies
 * wholly inside spans that allow it. With one span it is pf_tok_encode. */
PF_MUST_CHECK int pf_tok_encode_spans(const pf_tokenizer *t,
                                      pf_tok_scratch *s, pf_slice text,
                                      const pf_tok_span *span, size_t n_span,
                                      pf_idbuf *out, pf_err *e);

/* Appends the text of ids to out as HF's decode (the decoder of the file;
 * invalid UTF-8 becomes U+FFFD). skip_special leaves special tokens out. An
 * id outside the vocabulary is PF_E_FORMAT. */
PF_MUST_CHECK int pf_tok_decode(const pf_tokenizer *t, const uint32_t *id,
                                size_t n, bool skip_special, pf_buf *out,
                                pf_err *e);
/* The raw bytes of one id (byte-level: the bytes it stands for), or an empty
 * slice. */
pf_slice pf_tok_bytes(const pf_tokenizer *t, uint32_t id);

#endif
