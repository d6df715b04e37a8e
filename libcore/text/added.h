/* SPDX-License-Identifier: MIT
 *
 * Added tokens: strings recognised before the pre-tokenizer, with Hugging
 * Face's flags. One set per phase: tokens matched on the raw text, and tokens
 * (normalized = true) matched on the normalised text. */
#ifndef PF_TEXT_ADDED_H
#define PF_TEXT_ADDED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct pf_added_token {
    pf_slice content;
    uint32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} pf_added_token;

/* Only white space and not special: ordinary vocabulary (GPT-NeoX's runs of
 * spaces), recognised whatever the mode for content. */
bool pf_added_is_plain(const pf_added_token *t);

typedef struct pf_added pf_added;

/* token stays the caller's; pattern[i] is what is matched for token[i] (its
 * normalised content in the second phase). */
PF_MUST_CHECK int pf_added_new(pf_added **out, const pf_added_token *token,
                               const pf_slice *pattern, size_t n, pf_err *e);
void pf_added_free(pf_added *a);

typedef struct pf_added_match {
    const pf_added_token *token;
    size_t start, end; /* of the token as found */
} pf_added_match;

/* May this token be recognised at [start, end)? */
typedef bool pf_added_allow_fn(const void *ctx, const pf_added_token *t,
                               size_t start, size_t end);

/* The leftmost, then longest, allowed match at or after `from`; false at the
 * end. single_word is checked by pf_added_next_split, not here. */
bool pf_added_find(const pf_added *a, pf_slice text, size_t from,
                   pf_added_allow_fn *allow, const void *ctx,
                   pf_added_match *out);

/* One pass over a text as Hugging Face splits it. Zero-initialise. */
typedef struct pf_added_split {
    size_t at;   /* where the search goes on */
    size_t done; /* bytes before it have been given out */
} pf_added_split;

/* 1 = the next token: the text [*gap, *gap_end) before it (perhaps empty) is
 * to be encoded, then token->id. 0 = no more: [*gap, *gap_end) is the rest. */
int pf_added_next(const pf_added *a, pf_slice text, pf_added_split *s,
                  pf_added_allow_fn *allow, const void *ctx, size_t *gap,
                  size_t *gap_end, const pf_added_token **token);

#endif
