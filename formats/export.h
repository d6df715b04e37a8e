/* SPDX-License-Identifier: MIT
 *
 * Rows -> JSON Lines under TRL's column names.
 *
 *   pair      prompt_ids chosen_ids rejected_ids
 *             [ref_chosen_logps ref_rejected_logps]
 *   unpaired  prompt_ids completion_ids label [ref_logps]
 *   seq       input_ids completion_mask */
#ifndef PF_FORMATS_EXPORT_H
#define PF_FORMATS_EXPORT_H

#include "base/str.h"
#include "data/row.h"

enum {
    PF_EXPORT_SRC = 1,   /* "_src" first: preftok reads such rows again */
    PF_EXPORT_TOKENS = 2 /* ref_*_token_logps beside the sums */
};

/* Appends the row as one object, no LF. ref: its references, or NULL (then
 * imported sums of the row, if any, are written). The error is that of the
 * buffer. */
void pf_export_row(pf_buf *out, const pf_row *r, const pf_row_ref *ref,
                   unsigned flags);

#endif
