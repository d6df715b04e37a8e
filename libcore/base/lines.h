/* SPDX-License-Identifier: MIT
 *
 * Lines of a byte stream. Only LF (0x0A) ends a line: U+2028, U+0085, a lone
 * CR, vertical tabs are data. Every line comes with the byte offset of its
 * first byte in the uncompressed stream. A UTF-8 byte order mark at the very
 * start is skipped (offsets still count it). */
#ifndef PF_BASE_LINES_H
#define PF_BASE_LINES_H

#include "base/io.h"

typedef struct pf_line {
    pf_slice text;   /* without its LF; valid until the next call */
    int64_t offset;  /* of its first byte */
    int64_t number;  /* 1-based */
    bool ended;      /* an LF followed (false only for a last line) */
    bool too_long;   /* over max_line: text holds its first 4 KiB only */
} pf_line;

typedef struct pf_lines pf_lines;

/* Reads from r, which stays the caller's. max_line bounds memory: a longer
 * line is skipped to its LF and returned once with too_long set. */
PF_MUST_CHECK int pf_lines_new(pf_lines **out, pf_reader *r, size_t max_line,
                               pf_err *e);
void pf_lines_free(pf_lines *l);

/* 1 = a line, 0 = the end, < 0 an error of the reader. Empty lines are
 * returned too. The 64 bytes after text are readable (any contents), for the
 * vector loops of json and utf8. */
PF_MUST_CHECK int pf_lines_next(pf_lines *l, pf_line *out, pf_err *e);

/* Next batch of whole lines of about `want` bytes as one block, for handing
 * to a worker: text holds "line LF line LF ..."; only the last line of a
 * stream may lack its LF. Same returns; number is that of the first line. A
 * too-long line comes as a batch of its own. Use one of next, batch and fill
 * on a pf_lines, not several. */
PF_MUST_CHECK int pf_lines_batch(pf_lines *l, size_t want, pf_line *out,
                                 pf_err *e);

/* The same, read straight into the caller's block (out->text points there and
 * stays valid as long as the block is left alone). */
PF_MUST_CHECK int pf_lines_fill(pf_lines *l, pf_buf *block, size_t want,
                                pf_line *out, pf_err *e);

#endif
