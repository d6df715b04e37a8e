/* SPDX-License-Identifier: MIT
 *
 * The flows of refscore: a stream or set through the model to a stream, a new
 * set or lines; and references for a set in its place. */
#ifndef PF_TOOLS_REFSCORE_INT_H
#define PF_TOOLS_REFSCORE_INT_H

#include "formats/shard.h"
#include "score/score.h"

typedef struct pf_refscore {
    pf_scorer *scorer;
    pf_ident ident;      /* of the references */
    const char *name;
    const char *dir;     /* -o DIR, or the set of --in-place */
    pf_writer *w;        /* stream or lines */
    bool lines;          /* --to jsonl */
    bool resume, force;
    uint64_t limit;      /* rows, 0 = all */
    uint64_t rows, tokens; /* done */
    pf_tally tally;      /* of the rows' producer */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    int (*stopped)(void);
    void *ctx;
    /* of a batch */
    pf_row *row;
    float *token;
    double *sum;
    size_t cap_row, cap_token, cap_sum;
} pf_refscore;

/* in is read to its end; on PF_OK what it gives is published. argc and argv
 * go to the provenance. */
PF_MUST_CHECK int pf_refscore_filter(pf_refscore *r, pf_rows_in *in, int argc,
                                     char **argv, pf_err *e);
PF_MUST_CHECK int pf_refscore_in_place(pf_refscore *r, pf_err *e);
void pf_refscore_release(pf_refscore *r);

#endif
