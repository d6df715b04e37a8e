/* SPDX-License-Identifier: MIT
 *
 * Records from one shape into another: transcripts in the manner of hh-rlhf
 * ("\n\nHuman: ...\n\nAssistant: ...") into message lists, pairs into
 * sequences. */
#ifndef PF_PREP_TRANSCRIPT_H
#define PF_PREP_TRANSCRIPT_H

#include "data/record.h"

/* Text fields become message lists. A prompt that ends in "\n\nAssistant:" is
 * a transcript: its turns become user and assistant messages, the replies one
 * assistant message each. Any other string prompt becomes one user message.
 * White space around a turn is dropped: a chat template puts its own. Fields
 * that are message lists stay as they are.
 * 1 = done; 2 = rejected: a transcript that does not begin with a turn
 * (no_marker), a record without such fields (wrong_type); < 0 = no memory. */
PF_MUST_CHECK int pf_record_to_messages(pf_record *r, pf_arena *a,
                                        pf_buf *scratch, pf_reason *why,
                                        const char **where, pf_err *e);

/* A pair becomes {prompt, completion} of its chosen side; a sequence stays.
 * The same returns; other kinds are rejected (wrong_type). */
PF_MUST_CHECK int pf_record_to_sft(pf_record *r, pf_reason *why,
                                   const char **where);

#endif
