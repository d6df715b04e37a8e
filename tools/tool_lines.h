/* SPDX-License-Identifier: MIT
 *
 * A tool over JSON Lines: sources are read in batches, lines parsed and
 * handled in parallel, batches handed on in order. Counts, rejects, limits
 * and the end mark of record streams are kept here. */
#ifndef PF_TOOLS_TOOL_LINES_H
#define PF_TOOLS_TOOL_LINES_H

#include "base/arena.h"
#include "base/io.h"
#include "base/json.h"
#include "data/record.h"

/* One parsed line. */
typedef struct pf_job_row {
    pf_jval json;
    int64_t offset, number;
    int file;
    const char *path;
    pf_arena *arena; /* lives until the batch has been handed on */
} pf_job_row;

typedef struct pf_line_job {
    /* set by the caller */
    char **path; /* operands; none = standard input */
    int n_path;
    int threads;
    size_t max_line;
    uint64_t limit;     /* lines of input, 0 = all */
    bool arrays;        /* lines may be JSON arrays */
    pf_writer *rejects; /* or NULL */
    void *ctx;
    size_t slot_size; /* the caller's part of a batch, zeroed at first */
    void (*release)(void *ctx, void *slot); /* or NULL */
    void (*begin)(void *ctx, void *slot);   /* a new batch */
    /* 1 = kept, 2 = rejected with *why and perhaps *where, < 0 fatal. Sets
     * *seen_src for a record of ours. Any thread in [0, threads). */
    int (*row)(void *ctx, void *slot, int thread, const pf_job_row *row,
               pf_reason *why, const char **where, bool *seen_src, pf_err *e);
    int (*end)(void *ctx, void *slot, pf_err *e); /* in order */
    /* results */
    pf_tally tally;
    uint64_t bytes;
    /* internal */
    struct pf_job_source *source;
    int n_source, current;
    struct pf_lines *lines;
    uint64_t rows_read;
    int64_t source_bytes;
    bool source_ended;
} pf_line_job;

/* Opens all sources and looks at their beginnings. */
PF_MUST_CHECK int pf_line_job_open(pf_line_job *j, pf_err *e);
PF_MUST_CHECK int pf_line_job_run(pf_line_job *j, pf_err *e);
void pf_line_job_close(pf_line_job *j);

#endif
