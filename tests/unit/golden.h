/* SPDX-License-Identifier: MIT
 *
 * Reads a golden.json (tests/golden/models): pairs with per-token f64
 * log-probabilities of transformers and made-up reference sums. The directory
 * is tests/golden/models, or $PF_GOLDEN for more families. */
#ifndef PF_TESTS_GOLDEN_H
#define PF_TESTS_GOLDEN_H

#include "../pftest.h"

#include "base/io.h"
#include "base/json.h"
#include "model/model.h"

#define GOLDEN_PAIRS 16

typedef struct golden {
    char dir[512];
    double beta, loss;
    int n;
    pf_row row[GOLDEN_PAIRS];
    double *want[GOLDEN_PAIRS]; /* per completion token */
    double ref[GOLDEN_PAIRS][2];
} golden;

static inline const char *golden_root(void)
{
    const char *root = getenv("PF_GOLDEN");
    return root ? root : "tests/golden/models";
}

static inline bool golden_has(const char *family)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s/golden.json", golden_root(), family);
    return pf_path_exists(path);
}

static inline uint32_t golden_ids(pf_jval v, uint32_t *out)
{
    uint32_t n = 0;
    for (pf_jiter it = pf_jiter_of(v); pf_jiter_next(&it);) {
        int64_t id = -1;
        CHECK(pf_ji64(it.value, &id));
        out[n++] = (uint32_t)id;
    }
    return n;
}

static inline size_t golden_nums(pf_jval v, double *out)
{
    size_t n = 0;
    for (pf_jiter it = pf_jiter_of(v); pf_jiter_next(&it);)
        CHECK(pf_jf64(it.value, &out[n++]));
    return n;
}

static inline void golden_pair(golden *g, pf_jval p)
{
    pf_row *r = &g->row[g->n];
    uint32_t *ids = calloc(4096, sizeof *ids);
    double *want = calloc(4096, sizeof *want);
    *r = (pf_row){.kind = PF_ROW_PAIR, .id_size = 4, .n_branch = 2, .ids = ids};
    r->p_len = golden_ids(pf_jget(p, "prompt_ids"), ids);
    r->b_len[0] = golden_ids(pf_jget(p, "chosen_ids"), ids + r->p_len);
    r->b_len[1] = golden_ids(pf_jget(p, "rejected_ids"),
                             ids + r->p_len + r->b_len[0]);
    size_t a = golden_nums(pf_jget(p, "chosen_logps"), want);
    CHECK_INT(a, r->b_len[0]);
    CHECK_INT(golden_nums(pf_jget(p, "rejected_logps"), want + a),
              r->b_len[1]);
    g->want[g->n] = want;
    CHECK(pf_jf64(pf_jget(p, "ref_chosen"), &g->ref[g->n][0]));
    CHECK(pf_jf64(pf_jget(p, "ref_rejected"), &g->ref[g->n][1]));
    g->n++;
}

static inline bool golden_open(golden *g, const char *family)
{
    memset(g, 0, sizeof *g);
    snprintf(g->dir, sizeof g->dir, "%s/%s", golden_root(), family);
    char path[600], *text = NULL;
    size_t n = 0;
    snprintf(path, sizeof path, "%s/golden.json", g->dir);
    pf_json *j = pf_json_new();
    pf_jval root;
    bool ok = j && pf_read_file(path, 1 << 24, &text, &n, NULL) == 0 &&
              pf_json_parse(j, (pf_slice){text, n}, &root, NULL) == 0;
    CHECK(ok);
    if (ok) {
        CHECK(pf_jf64(pf_jget(root, "beta"), &g->beta));
        CHECK(pf_jf64(pf_jget(root, "loss"), &g->loss));
        pf_jiter it = pf_jiter_of(pf_jget(root, "pairs"));
        while (g->n < GOLDEN_PAIRS && pf_jiter_next(&it))
            golden_pair(g, it.value);
    }
    pf_free(text);
    pf_json_free(j);
    return ok;
}

static inline void golden_close(golden *g)
{
    for (int i = 0; i < g->n; i++) {
        free((void *)g->row[i].ids);
        free(g->want[i]);
    }
}

#endif
