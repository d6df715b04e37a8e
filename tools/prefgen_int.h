/* SPDX-License-Identifier: MIT
 *
 * What prefgen does with one prompt, and with a stream of them. */
#ifndef PF_TOOLS_PREFGEN_INT_H
#define PF_TOOLS_PREFGEN_INT_H

#include "base/io.h"
#include "data/reason.h"
#include "model/generate.h"
#include "text/tokenizer.h"
#include "tools/tool.h"

/* The samples of one prompt. */
typedef struct pf_gen_sample {
    pf_idbuf ids;
    pf_buf text;
} pf_gen_sample;

typedef struct pf_gen {
    /* set by the caller */
    int n, max_new;
    int64_t limit;          /* prompts, 0 = all */
    size_t max_line;
    const char *stop;       /* text that ends a sample, or NULL */
    pf_common *common;      /* for progress */
    /* opened */
    pf_pool *pool;
    pf_backend *be;
    pf_model *m;
    pf_tokenizer *tok;
    pf_tok_scratch *scratch;
    pf_sampler sampler;
    pf_gen_sample *sample;  /* [n] */
    uint64_t prompts;       /* answered so far: picks the random streams */
    pf_tally tally;
    uint64_t bytes;
} pf_gen;

typedef struct pf_gen_args {
    const char *model, *backend, *dtype;
    int threads;
    double temperature, top_p;
    int64_t top_k, seed;
} pf_gen_args;

PF_MUST_CHECK int pf_gen_open(pf_gen *g, const pf_gen_args *a, pf_err *e);
void pf_gen_close(pf_gen *g);
/* Fills g->sample for one prompt. */
PF_MUST_CHECK int pf_gen_prompt(pf_gen *g, pf_slice prompt, pf_err *e);
/* Lines of standard input (records, or plain text) -> records on w. */
PF_MUST_CHECK int pf_gen_stream(pf_gen *g, pf_writer *w, pf_err *e);

#endif
