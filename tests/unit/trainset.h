/* SPDX-License-Identifier: MIT
 *
 * Row sets in memory for tests of training: `ids` records of a file, or seq
 * rows made of them, with references scored by the model itself at its start
 * (what refscore stores). */
#ifndef PF_TESTS_TRAINSET_H
#define PF_TESTS_TRAINSET_H

#include "../pftest.h"

#include "base/io.h"
#include "base/json.h"
#include "model/model.h"

typedef struct trainset {
    pf_rowset rows; /* first: a pf_rowset * is a trainset * */
    pf_row row[128];
    pf_row_ref ref[128];
    size_t n;
} trainset;

static int trainset_get(const pf_rowset *s, uint64_t i, pf_row *out, pf_err *e)
{
    (void)e;
    *out = ((const trainset *)s)->row[i];
    return 0;
}

static int trainset_ref(const pf_rowset *s, uint64_t i, pf_row_ref *out,
                        pf_err *e)
{
    (void)e;
    *out = ((const trainset *)s)->ref[i];
    return 0;
}

static inline uint32_t trainset_ids(pf_jval v, uint32_t *out)
{
    uint32_t n = 0;
    for (pf_jiter it = pf_jiter_of(v); pf_jiter_next(&it);) {
        int64_t id = -1;
        CHECK(pf_ji64(it.value, &id));
        out[n++] = (uint32_t)id;
    }
    return n;
}

static inline void trainset_row(trainset *t, pf_jval v)
{
    pf_row *r = &t->row[t->n];
    uint32_t *ids = calloc(2048, sizeof *ids);
    *r = (pf_row){.kind = PF_ROW_PAIR, .id_size = 4, .n_branch = 2,
                  .ids = ids, .row_id = 1000 + t->n};
    r->p_len = trainset_ids(pf_jget(v, "prompt_ids"), ids);
    r->b_len[0] = trainset_ids(pf_jget(v, "chosen_ids"), ids + r->p_len);
    r->b_len[1] = trainset_ids(pf_jget(v, "rejected_ids"),
                               ids + r->p_len + r->b_len[0]);
    CHECK_OK(pf_row_check(r, t->rows.vocab, NULL));
    t->n++;
}

/* The first n rows of a file of ids records. */
static inline bool trainset_open(trainset *t, const char *path, size_t n)
{
    char *text = NULL;
    size_t len = 0;
    pf_json *j = pf_json_new();
    memset(t, 0, sizeof *t);
    t->rows = (pf_rowset){.kind = PF_ROW_PAIR, .n_branch = 2, .vocab = 1024,
                          .get = trainset_get};
    bool ok = j && pf_read_file(path, 1 << 24, &text, &len, NULL) == 0;
    CHECK(ok);
    for (size_t at = 0; ok && at < len && t->n < n;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t m = end ? (size_t)(end - text) - at : len - at;
        pf_jval v;
        CHECK_OK(pf_json_parse(j, (pf_slice){text + at, m}, &v, NULL));
        trainset_row(t, v);
        at += m + 1;
    }
    t->rows.n_rows = t->n;
    pf_free(text);
    pf_json_free(j);
    return ok && t->n == n;
}

/* Turns pairs into seq rows: prompt and chosen, loss on the latter. */
static inline void trainset_to_seq(trainset *t)
{
    for (size_t i = 0; i < t->n; i++) {
        pf_row *r = &t->row[i];
        uint32_t p = r->p_len, all = p + r->b_len[0];
        uint8_t *mask = calloc(all / 8 + 1, 1);
        for (uint32_t k = p; k < all; k++)
            mask[k >> 3] |= (uint8_t)(1 << (k & 7));
        r->kind = PF_ROW_SEQ;
        r->n_branch = 1;
        r->p_len = 0;
        r->b_len[0] = all;
        r->mask = mask;
        CHECK_OK(pf_row_check(r, t->rows.vocab, NULL));
    }
    t->rows.kind = PF_ROW_SEQ;
    t->rows.n_branch = 1;
    t->rows.ref = NULL;
}

/* References by the model as it is now. Each row is scored alone: training
 * packs it with others, and the bits must not change. */
static inline void trainset_score(trainset *t, pf_model *m)
{
    for (size_t i = 0; i < t->n; i++) {
        const pf_row *r = &t->row[i];
        pf_plan p = {0};
        CHECK_OK(pf_plan_build(&p, r, 1, &pf_model_backend(m)->caps, 4096,
                               NULL));
        CHECK_OK(pf_model_reserve(m, p.max_rows, p.max_head, NULL, NULL));
        float *tok = calloc(pf_row_completion(r), sizeof *tok);
        float *lp = calloc((size_t)p.block[0].n_target, sizeof *lp);
        pf_forward_out out = {.logp = lp};
        CHECK_OK(pf_model_forward(m, &p.block[0], false, NULL, &out, NULL));
        for (int32_t k = 0; k < p.block[0].n_target; k++)
            tok[p.block[0].target_at[k]] = lp[k];
        free(lp);
        free((void *)t->ref[i].token);
        t->ref[i].token = tok;
        for (uint32_t b = 0, at = 0; b < 2; b++) {
            t->ref[i].sum[b] = 0;
            for (uint32_t k = 0; k < r->b_len[b]; k++)
                t->ref[i].sum[b] += (double)tok[at++];
        }
        pf_plan_release(&p);
    }
    t->rows.ref = trainset_ref;
}

static inline void trainset_close(trainset *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free((void *)t->row[i].ids);
        free((void *)t->row[i].mask);
        free((void *)t->ref[i].token);
    }
}

#endif
