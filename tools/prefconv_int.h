/* SPDX-License-Identifier: MIT
 *
 * Inside of prefconv: sources -> records -> shapes -> JSONL, in batches of
 * lines that are converted in parallel and written in order. */
#ifndef PF_TOOLS_PREFCONV_INT_H
#define PF_TOOLS_PREFCONV_INT_H

#include "data/reason.h"
#include "formats/record_writer.h"
#include "formats/source.h"

typedef enum pf_conv_to {
    PF_CONV_PAIRS,
    PF_CONV_MESSAGES,
    PF_CONV_SFT,
    PF_CONV_KEEP, /* records as they come */
} pf_conv_to;

/* One operand. */
typedef struct pf_conv_source {
    const char *path;
    const pf_format *format;
    pf_reader *reader; /* open between pf_conv_open and its last line */
    bool seen_src;     /* it holds records of ours */
    bool cut;          /* its last line breaks off */
} pf_conv_source;

typedef struct pf_conv {
    /* set by the caller */
    const pf_format *format; /* NULL: each source is looked at */
    pf_conv_to to;
    int threads;
    size_t max_line;
    uint64_t limit;       /* rows of input, 0 = all */
    pf_record_writer out; /* its writer */
    pf_writer *rejects;   /* or NULL */
    void (*progress)(void *ctx, uint64_t rows);
    void *ctx;
    /* results */
    pf_tally tally;
    uint64_t bytes; /* uncompressed input */
    /* internal */
    pf_conv_source *source;
    int n_source, current;
    pf_lines *lines;
    uint64_t rows_read; /* counted only under a limit */
    int64_t source_bytes;
    bool source_ended; /* the last batch ended with an LF */
    int kind;          /* of the records written, -1 = none yet */
} pf_conv;

/* Opens all sources and looks at their beginnings, before anything is
 * written. Regular files are closed again, so that many can be named. */
PF_MUST_CHECK int pf_conv_open(pf_conv *c, char **path, int n, pf_err *e);
PF_MUST_CHECK int pf_conv_run(pf_conv *c, pf_err *e);
void pf_conv_close(pf_conv *c);

#endif
