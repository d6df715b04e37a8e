/* SPDX-License-Identifier: MIT
 *
 * Row order: torch's permutations, short last micro-batches and steps. */
#include "train/order.h"

#include "tests/pftest.h"

/* torch 2.15: randperm(22) of a generator with manual_seed(42), (43). */
static const uint32_t perm42[22] = {6,  3,  18, 17, 4, 11, 2, 21, 8,  16, 20,
                                    7,  12, 13, 5,  1, 14, 15, 9, 10, 0,  19};
static const uint32_t perm43[22] = {14, 19, 17, 15, 2, 13, 6,  5,  9, 10, 4,
                                    0,  16, 20, 21, 3, 11, 12, 7,  1, 8,  18};

/* 22 rows, micro-batches of 4, 3 a step: 6 micro-batches, steps of 12 and 10
 * rows, the second ending with a micro-batch of 2. */
static void test_random(void)
{
    pf_order o;
    CHECK_OK(pf_order_init(&o, 22, 4, 3, false, true, 42, NULL));
    CHECK_INT(o.micro_per_epoch, 6);
    CHECK_INT(o.steps_per_epoch, 2);
    CHECK_INT(pf_order_total(&o, 3, -1), 6);
    CHECK_INT(pf_order_total(&o, 3, 5), 5);
    CHECK_INT(pf_order_total(&o, 0.6, 0), 2);
    pf_order_step s;
    pf_order_get(&o, 0, &s);
    CHECK(s.n == 12 && s.n_micro == 3 && s.epoch == 0);
    CHECK(memcmp(s.row, perm42, 12 * 4) == 0);
    CHECK(s.epoch_after == 0.5);
    pf_order_get(&o, 3, &s);
    CHECK(s.n == 10 && s.n_micro == 3 && s.epoch == 1);
    CHECK(memcmp(s.row, perm43 + 12, 10 * 4) == 0);
    CHECK(s.epoch_after == 2);
    pf_order_get(&o, 1, &s); /* any step at any time */
    CHECK(memcmp(s.row, perm42 + 12, 10 * 4) == 0);
    pf_order_release(&o);
}

static void test_sequential(void)
{
    pf_order o;
    CHECK_OK(pf_order_init(&o, 10, 4, 2, true, false, 9, NULL));
    CHECK_INT(o.micro_per_epoch, 2);
    CHECK_INT(o.steps_per_epoch, 1);
    pf_order_step s;
    pf_order_get(&o, 4, &s);
    CHECK(s.n == 8 && s.n_micro == 2 && s.epoch == 4 && s.row[7] == 7);
    pf_order_release(&o);
    CHECK_OK(pf_order_init(&o, 10, 3, 3, false, false, 9, NULL));
    CHECK_INT(o.steps_per_epoch, 2);
    pf_order_get(&o, 1, &s);
    CHECK(s.n == 1 && s.n_micro == 1 && s.row[0] == 9 && s.epoch_after == 1);
    pf_order_release(&o);
}

static int order_once(void)
{
    pf_order o;
    int rc = pf_order_init(&o, 100, 4, 1, false, true, 1, NULL);
    pf_order_release(&o);
    return rc;
}

static void test_refused(void)
{
    pf_order o;
    CHECK_INT(pf_order_init(&o, 3, 4, 1, true, false, 0, NULL), PF_E_USAGE);
    CHECK_INT(pf_order_init(&o, 0, 4, 1, false, false, 0, NULL), PF_E_USAGE);
    CHECK_INT(pf_order_init(&o, 1ull << 40, 4, 1, false, false, 0, NULL),
              PF_E_LIMIT);
    OOM_WALK(order_once());
}

static const pft_test tests[] = {
    {"torch's order, cut as TRL cuts it", test_random},
    {"file order, drop_last", test_sequential},
    {"refusals and out of memory", test_refused},
};
PF_TEST_MAIN(tests)
