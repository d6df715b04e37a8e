/* SPDX-License-Identifier: MIT
 *
 * Inside of preftok: the handling of batches. */
#ifndef PF_TOOLS_PREFTOK_INT_H
#define PF_TOOLS_PREFTOK_INT_H

#include "formats/record_writer.h"
#include "formats/shard.h"
#include "prep/encode.h"
#include "tools/tool_lines.h"

typedef enum pf_tok_mode {
    PF_TOK_CHUNKS, /* records -> container */
    PF_TOK_JSONL,  /* records -> rows as JSON */
    PF_TOK_TEXT,   /* JSON strings -> arrays of ids */
    PF_TOK_DECODE, /* arrays of ids -> JSON strings */
} pf_tok_mode;

typedef struct pf_tok_run {
    pf_tok_mode mode;
    const pf_tokenizer *tok;
    const pf_encoder *enc;
    pf_encode_scratch **scratch;  /* per thread: record modes */
    pf_tok_scratch **tok_scratch; /* per thread: text mode */
    pf_special special;           /* text mode */
    /* output */
    const char *dir; /* a set, or NULL */
    pf_writer *w;
    pf_record_writer lines;
    pf_rows_head head; /* kind and n_branch are set by the first row */
    pf_rows_out_opts out_opts;
    pf_rows_out *out;
    int kind; /* of the records, -1 = none yet */
    bool refs;
    uint64_t rows;
    void (*progress)(void *ctx, uint64_t rows);
    void (*warn)(const char *what);
    void *ctx;
    bool warn_template; /* strings though the model has a template */
} pf_tok_run;

/* Fills in the callbacks of a job for r. */
void pf_tok_run_job(pf_tok_run *r, pf_line_job *job);

#endif
