/* SPDX-License-Identifier: MIT
 *
 * Why a row was not kept. One table for all tools: the names stand in
 * --stats, in --rejects files and in summaries, and never change. */
#ifndef PF_DATA_REASON_H
#define PF_DATA_REASON_H

#include <stdbool.h>
#include <stdint.h>

typedef enum pf_reason {
    PF_KEPT = 0,
    /* damaged input: counted against --max-bad (exit 1) */
    PF_REASON_INVALID_UTF8,
    PF_REASON_INVALID_JSON,
    PF_REASON_LINE_TOO_LONG,
    PF_REASON_NOT_AN_OBJECT,
    PF_REASON_MISSING_FIELD,
    PF_REASON_WRONG_TYPE,
    PF_REASON_BAD_ID,        /* a token id outside the vocabulary */
    /* dropped by a stated rule: never damage */
    PF_REASON_EMPTY_PROMPT,
    PF_REASON_EMPTY_CHOSEN,
    PF_REASON_EMPTY_REJECTED,
    PF_REASON_EMPTY_COMPLETION,
    PF_REASON_PROMPT_MISMATCH,
    PF_REASON_IDENTICAL_PAIR,
    PF_REASON_NO_MARKER,
    PF_REASON_LAST_NOT_ASSISTANT,
    PF_REASON_NO_LOSS,       /* a sequence without a token that carries loss */
    PF_REASON_TOO_LONG,      /* over --max-length under --truncation drop */
    PF_REASON_SPECIAL_TOKEN, /* --special error met an added token in content */
    PF_REASON_TEMPLATE,      /* the chat template refused the messages */
    PF_REASON_COUNT
} pf_reason;

/* "empty_chosen" and the like. */
const char *pf_reason_name(pf_reason r);
/* Does it count as damage (--max-bad)? */
bool pf_reason_is_damage(pf_reason r);
/* False when no reason has that name. */
bool pf_reason_parse(const char *name, pf_reason *out);

/* Rows by outcome; count[PF_KEPT] is the kept ones. Plain sums, so counters
 * of threads and parts add up. */
typedef struct pf_tally {
    uint64_t in; /* rows met */
    uint64_t count[PF_REASON_COUNT];
    uint64_t duplicate_keys; /* JSON objects with a repeated key (last wins) */
} pf_tally;

void pf_tally_add(pf_tally *sum, const pf_tally *t);
uint64_t pf_tally_damaged(const pf_tally *t);
uint64_t pf_tally_rejected(const pf_tally *t); /* damaged and dropped */

#endif
