/* SPDX-License-Identifier: MIT
 *
 * Rows -> reference log-probabilities under a model.
 *
 * A row's numbers are the same bits whatever rows are scored with it (the
 * model's contract), so callers batch as they like. One thread drives it. */
#ifndef PF_SCORE_SCORE_H
#define PF_SCORE_SCORE_H

#include "base/err.h"
#include "data/identity.h"
#include "data/row.h"
#include "model/model.h"

typedef struct pf_scorer pf_scorer;

/* m stays the caller's and outlives it. */
PF_MUST_CHECK int pf_scorer_new(pf_scorer **out, pf_model *m, pf_err *e);
void pf_scorer_free(pf_scorer *s); /* NULL is fine */

/* PF_E_IDENTITY when rows of this vocabulary cannot be scored by the model:
 * its table is smaller than the ids. */
PF_MUST_CHECK int pf_scorer_check_vocab(const pf_scorer *s, uint32_t vocab,
                                        pf_err *e);

/* The identity of its references: weights, config, dtype, kernel
 * (docs/formats/shard.md lists the keys). */
PF_MUST_CHECK int pf_scorer_identity(const pf_scorer *s, pf_ident *id,
                                     pf_err *e);

/* Scores n rows with branches (pair, unpaired). token gets the f32 log-prob of
 * every completion token, row after row, branch after branch; sum gets, per
 * row and branch, their f64 sum in token order. PF_E_LIMIT for a row longer
 * than the model's context; PF_E_FORMAT when a log-prob is not finite (a
 * damaged model). A row is named by its place in row[]. */
PF_MUST_CHECK int pf_score_rows(pf_scorer *s, const pf_row *row, size_t n,
                                float *token, double *sum, pf_err *e);

#endif
