/* SPDX-License-Identifier: MIT */
#include "model/plan.h"

#include "../pftest.h"

static const pf_caps caps = {.n_class = 2, .block_rows = {8, 16}};

static pf_row make_pair(const uint16_t *ids, uint32_t P, uint32_t a, uint32_t b)
{
    return (pf_row){.kind = PF_ROW_PAIR,
                    .id_size = 2,
                    .n_branch = 2,
                    .p_len = P,
                    .b_len = {a, b},
                    .ids = ids};
}

static const uint16_t ids[64] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                                 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* The picture at the top of plan.c, number by number. */
static void test_picture(void)
{
    pf_row r = make_pair(ids, 3, 2, 3);
    pf_plan p;
    CHECK_OK(pf_plan_build(&p, &r, 1, &caps, 100, NULL));
    CHECK_INT(p.n_block, 1);
    const pf_block *b = &p.block[0];
    CHECK_INT(b->n_row, 8);
    CHECK_INT(b->n_group, 1);
    static const int pos[8] = {0, 1, 2, 3, 4, 3, 4, 5};
    static const pf_keys keys[8] = {{0, 0, 0, 1}, {0, 0, 0, 2}, {0, 0, 0, 3},
                                    {0, 3, 3, 4}, {0, 3, 3, 5}, {0, 3, 5, 6},
                                    {0, 3, 5, 7}, {0, 3, 5, 8}};
    for (int i = 0; i < 8; i++) {
        CHECK_INT(b->tok[i], 10 + i);
        CHECK_INT(b->pos[i], pos[i]);
        CHECK(memcmp(&b->keys[i], &keys[i], sizeof keys[i]) == 0);
    }
    /* Row P-1 predicts the first token of both branches. */
    static const int head[4] = {2, 3, 5, 6};
    static const int row[5] = {0, 0, 1, 2, 3}, id[5] = {13, 15, 14, 16, 17};
    static const int at[5] = {0, 2, 1, 3, 4};
    CHECK_INT(b->n_head, 4);
    CHECK_INT(b->n_target, 5);
    for (int i = 0; i < b->n_head; i++)
        CHECK_INT(b->head_row[i], head[i]);
    for (int t = 0; t < b->n_target; t++) {
        CHECK_INT(b->target_row[t], row[t]);
        CHECK_INT(b->target_id[t], id[t]);
        CHECK_INT(b->target_at[t], at[t]);
        CHECK_INT(b->target_item[t], 0);
    }
    CHECK_INT(p.max_rows, 8);
    CHECK_INT(p.max_head, 4);
    pf_plan_release(&p);
}

/* A sequence predicts its tokens with loss, never the first. */
static void test_seq(void)
{
    uint8_t mask[1] = {0x2d}; /* tokens 0 2 3 5 */
    pf_row r = {.kind = PF_ROW_SEQ,
                .id_size = 2,
                .n_branch = 1,
                .b_len = {6},
                .ids = ids,
                .mask = mask};
    pf_plan p;
    CHECK_OK(pf_plan_build(&p, &r, 1, &caps, 6, NULL));
    const pf_block *b = &p.block[0];
    CHECK_INT(b->n_row, 6);
    CHECK_INT(b->n_target, 3);
    static const int at[3] = {2, 3, 5};
    for (int t = 0; t < b->n_target; t++) {
        CHECK_INT(b->target_at[t], at[t]);
        CHECK_INT(b->target_id[t], 10 + at[t]);
        CHECK_INT(b->head_row[b->target_row[t]], at[t] - 1);
    }
    CHECK_INT(b->pos[5], 5);
    CHECK_INT(b->keys[5].b1, 6);
    pf_plan_release(&p);
    pf_err e = PF_ERR_INIT;
    CHECK_INT(pf_plan_build(&p, &r, 1, &caps, 5, &e), PF_E_LIMIT);
    CHECK(strstr(e.msg, "row 0 has 6 tokens"));
    CHECK(p.block == NULL);
}

/* Every row lands once, blocks keep their class, best fit fills them. */
static void test_packing(void)
{
    uint32_t len[9] = {4, 2, 6, 2, 9, 2, 7, 40, 6};
    pf_row r[9];
    for (int i = 0; i < 9; i++)
        r[i] = make_pair(ids, len[i] - 2, 1, 1);
    pf_plan p;
    r[1] = r[3] = r[5] = (pf_row){.kind = PF_ROW_SEQ, .id_size = 2,
                                  .n_branch = 1, .b_len = {2}, .ids = ids};
    CHECK_OK(pf_plan_build(&p, r, 9, &caps, 100, NULL));
    int seen[9] = {0};
    for (size_t k = 0; k < p.n_block; k++) {
        const pf_block *b = &p.block[k];
        int class = b->group[0].n <= 8 ? 8 : b->group[0].n <= 16 ? 16 : 48;
        CHECK(b->n_row <= class);
        int32_t row = 0;
        for (int g = 0; g < b->n_group; g++) {
            seen[b->item[g]]++;
            CHECK_INT(b->group[g].row, row);
            CHECK_INT(b->group[g].n, len[b->item[g]]);
            CHECK_INT(b->p_len[g], r[b->item[g]].p_len);
            int own = b->group[g].n <= 8 ? 8 : b->group[g].n <= 16 ? 16 : 48;
            CHECK_INT(own, class);
            row += b->group[g].n;
        }
        CHECK_INT(row, b->n_row);
    }
    for (int i = 0; i < 9; i++)
        CHECK_INT(seen[i], 1);
    /* 7 | 6 2 | 6 2 | 4 2 of class 8, then 9, then 40 in a class of 48. */
    CHECK_INT(p.n_block, 6);
    pf_plan_release(&p);
}

static void test_empty(void)
{
    pf_plan p;
    CHECK_OK(pf_plan_build(&p, NULL, 0, &caps, 10, NULL));
    CHECK_INT(p.n_block, 0);
    pf_plan_release(&p);
}

static int build_once(const pf_row *r, size_t n)
{
    pf_plan p;
    int rc = pf_plan_build(&p, r, n, &caps, 100, NULL);
    if (rc == 0)
        pf_plan_release(&p);
    return rc;
}

static void test_oom(void)
{
    pf_row r[3] = {make_pair(ids, 3, 2, 3), make_pair(ids, 9, 2, 3),
                   make_pair(ids, 3, 1, 1)};
    OOM_WALK(build_once(r, 3));
}

static const pft_test tests[] = {
    {"one group, number by number", test_picture},
    {"a sequence with a loss mask", test_seq},
    {"best fit by class", test_packing},
    {"no rows", test_empty},
    {"out of memory", test_oom},
};

PF_TEST_MAIN(tests)
