/* SPDX-License-Identifier: MIT
 *
 * Record -> row: tokenisation of preference data by the rules of TRL 1.16.
 *
 * Text. The prompt and prompt + completion are encoded as whole texts, with
 * the ids the tokenizer's post-processor puts around a text. The EOS text
 * ends a completion unless it stands there already. P, the prompt's length,
 * is the shortest over all branches of the common prefix of ids(prompt) and
 * ids(prompt + completion); what the prompt loses by that belongs to the
 * completions.
 *
 * Messages. The same with the rendered chat template: the prompt with its
 * generation prompt, each whole conversation without; no ids around, no EOS.
 * What a template prints is parsed for special tokens, content is not (by
 * opts.special).
 *
 * seq. One text, or one rendering; a loss border at byte b of it stands after
 * the common id prefix of text[0, b) and the whole text. */
#ifndef PF_PREP_ENCODE_H
#define PF_PREP_ENCODE_H

#include "base/arena.h"
#include "data/identity.h"
#include "data/record.h"
#include "data/row.h"
#include "text/template.h"
#include "text/tokenizer.h"

/* Order as in the tables of options: auto|always|never. */
typedef enum pf_affix { PF_AFFIX_AUTO, PF_AFFIX_ALWAYS, PF_AFFIX_NEVER } pf_affix;
/* drop|keep_start|keep_end */
typedef enum pf_truncation {
    PF_TRUNC_DROP,       /* over max_length: rejected as too_long */
    PF_TRUNC_KEEP_START, /* branches lose their ends; P >= max_length drops */
    PF_TRUNC_KEEP_END,   /* the shared prompt loses its beginning */
} pf_truncation;
/* auto|all: what carries loss in a seq row. auto: segments by their own bits,
 * prompt + completion the completion, messages the assistant's turns. */
typedef enum pf_loss_on { PF_LOSS_ON_AUTO, PF_LOSS_ON_ALL } pf_loss_on;

typedef struct pf_encode_opts {
    pf_special special; /* in content */
    pf_affix eos, bos;
    pf_truncation truncation;
    uint64_t max_length; /* tokens of prompt + branch; 0 = no bound */
    pf_loss_on loss_on;
} pf_encode_opts;

typedef struct pf_encoder pf_encoder;
/* tmpl NULL: message lists are PF_E_USAGE when they come. Both must outlive
 * the encoder, which is read-only: one for all threads. */
PF_MUST_CHECK int pf_encoder_new(pf_encoder **out, const pf_tokenizer *tok,
                                 const pf_template *tmpl,
                                 const pf_encode_opts *opts, pf_err *e);
void pf_encoder_free(pf_encoder *c);
/* Adds all that decides a row given its record to a recipe. */
PF_MUST_CHECK int pf_encoder_ident(const pf_encoder *c, pf_ident *id,
                                   pf_err *e);

/* One per thread. */
typedef struct pf_encode_scratch pf_encode_scratch;
PF_MUST_CHECK int pf_encode_scratch_new(pf_encode_scratch **out,
                                        const pf_encoder *c, pf_err *e);
void pf_encode_scratch_free(pf_encode_scratch *s);

/* The row kind of a record kind; false for one that makes no rows. */
bool pf_encode_kind(pf_record_kind k, pf_row_kind *out);

/* 1 = *row, whose arrays lie in the arena; 2 = rejected (*why, and *where the
 * field or NULL); < 0 fatal. */
PF_MUST_CHECK int pf_encode_record(const pf_encoder *c, pf_encode_scratch *s,
                                   const pf_record *r, pf_arena *a,
                                   pf_row *row, pf_reason *why,
                                   const char **where, pf_err *e);

#endif
