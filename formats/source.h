/* SPDX-License-Identifier: MIT
 *
 * Dataset readers: files in any known format -> records.
 *
 * A format is one file in formats/ and one line in the registry of source.c.
 * Readers of line formats are functions from one line to records, so lines
 * can be converted in parallel and in order. */
#ifndef PF_FORMATS_SOURCE_H
#define PF_FORMATS_SOURCE_H

#include "base/arena.h"
#include "base/io.h"
#include "base/json.h"
#include "base/lines.h"
#include "data/record.h"

typedef struct pf_format pf_format;
struct pf_format {
    const char *name;  /* "hh-rlhf" */
    const char *about; /* one line for --list-formats */
    /* How well the keys and shapes of a first record fit: 0 no, 1..100. */
    int (*probe)(pf_jval record);
    /* One parsed line -> a record. 1 = r filled, 2 = rejected (*why, *where
     * names the field or NULL), < 0 fatal. src of r is set by the caller. */
    int (*convert)(pf_record *r, pf_jval line, pf_arena *a, pf_reason *why,
                   const char **where, pf_err *e);
};

/* The registry, by name and whole (ends with NULL). */
const pf_format *pf_format_find(const char *name);
const pf_format *const *pf_formats(void);

/* Looks at the beginning of an opened reader and says what it is:
 * PF_E_FORMAT for an empty file, a git-lfs pointer ("the data was never
 * downloaded"), Parquet, Arrow, HTML, a binary; PF_E_TRUNCATED for zero bytes
 * on a pipe. */
PF_MUST_CHECK int pf_source_check(pf_reader *r, pf_err *e);

/* Chooses the format for an opened reader by its first records, or refuses
 * with the candidates when two fit equally (PF_E_FORMAT). */
PF_MUST_CHECK int pf_source_sniff(pf_reader *r, const pf_format **out,
                                  pf_err *e);

/* End mark of record streams (docs/formats/record.md): after the last line of
 * an input, PF_E_TRUNCATED when records of ours (seen_src) stop without a
 * final LF, or a pipe gave no byte at all. */
PF_MUST_CHECK int pf_source_end(const pf_reader *r, bool seen_src,
                                bool last_line_ended, int64_t bytes,
                                pf_err *e);

#endif
