/* SPDX-License-Identifier: MIT
 *
 * NFC as the normalizer of Hugging Face tokenizers does it: with the tables of
 * Unicode 9.0. Later characters are copied, and nothing reorders or composes
 * across them. */
#ifndef PF_TEXT_NFC_H
#define PF_TEXT_NFC_H

#include "base/err.h"
#include "base/str.h"

/* Offset of the first window that has to be normalised, or text.n when a scan
 * of the character classes shows that nothing changes. Text is valid UTF-8. */
size_t pf_nfc_check(pf_slice text);

/* Half-open byte ranges of the text, in order. */
typedef struct pf_range {
    size_t start, end;
} pf_range;

/* Replaces *out by the normal form. The n ranges are moved to where their
 * bytes went; a range border inside a window that changed moves inwards, so
 * that a range never gains bytes of its neighbours. */
PF_MUST_CHECK int pf_nfc(pf_slice text, pf_buf *out, pf_range *range,
                         size_t n, pf_err *e);

#endif
