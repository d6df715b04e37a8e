/* SPDX-License-Identifier: MIT
 *
 * Schedules against what transformers 5.23's get_scheduler gives (lr 0.003),
 * to the last bit. */
#include "train/schedule.h"

#include "tests/pftest.h"

typedef struct vector {
    const char *name;
    int warmup, total, n;
    double lr[20];
} vector;

static const vector vectors[] = {
    {"linear", 4, 16, 17,
     {0.0, 0.00075, 0.0015, 0.0022500000000000003, 0.003, 0.00275, 0.0025,
      0.0022500000000000003, 0.002, 0.0017500000000000003, 0.0015, 0.00125,
      0.001, 0.00075, 0.0005, 0.00025, 0.0}},
    {"linear", 0, 5, 6,
     {0.003, 0.0024000000000000002, 0.0018, 0.0012000000000000001,
      0.0006000000000000001, 0.0}},
    {"cosine", 0, 6, 7,
     {0.003, 0.002799038105676658, 0.0022500000000000003, 0.0015,
      0.0007500000000000003, 0.00020096189432334193, 0.0}},
    {"cosine", 3, 11, 12,
     {0.0, 0.001, 0.002, 0.003, 0.00288581929876693, 0.002560660171779821,
      0.002074025148547635, 0.0015, 0.0009259748514523654,
      0.0004393398282201788, 0.0001141807012330699, 0.0}},
    {"constant", 3, 4, 5, {0.003, 0.003, 0.003, 0.003, 0.003}},
    {"constant_with_warmup", 3, 5, 6,
     {0.0, 0.001, 0.002, 0.003, 0.003, 0.003}},
    {"linear", 8, 4, 5,
     {0.0, 0.000375, 0.00075, 0.0011250000000000001, 0.0015}},
};

static void test_vectors(void)
{
    for (size_t i = 0; i < PF_COUNTOF(vectors); i++) {
        const vector *v = &vectors[i];
        pf_schedule s = {.lr = 0.003, .warmup = v->warmup, .total = v->total};
        CHECK_OK(pf_schedule_parse(v->name, &s.kind, NULL));
        for (int k = 0; k < v->n; k++)
            if (pf_schedule_lr(&s, k) != v->lr[k]) {
                printf("# %s %d: %.17g, want %.17g\n", v->name, k,
                       pf_schedule_lr(&s, k), v->lr[k]);
                CHECK(!"learning rate");
            }
    }
}

static void test_counts(void)
{
    CHECK_INT(pf_schedule_warmup(0, 100), 0);
    CHECK_INT(pf_schedule_warmup(0.1, 101), 11);
    CHECK_INT(pf_schedule_warmup(7, 100), 7);
    CHECK_INT(pf_schedule_warmup(7.9, 100), 7);
    CHECK_INT(pf_schedule_interval(10, 3), 10);
    CHECK_INT(pf_schedule_interval(0.25, 10), 3);
    CHECK_INT(pf_schedule_interval(0.001, 10), 1);
}

static void test_refused(void)
{
    pf_schedule_kind k;
    pf_err e = PF_ERR_INIT;
    CHECK_INT(pf_schedule_parse("polynomial", &k, &e), PF_E_USAGE);
    CHECK(strstr(e.msg, "polynomial is not built") != NULL);
    pf_err_clear(&e);
    CHECK_INT(pf_schedule_parse("wsd\n", &k, &e), PF_E_USAGE);
    CHECK(strstr(e.msg, "no such schedule") != NULL);
}

static const pft_test tests[] = {
    {"learning rates equal transformers'", test_vectors},
    {"shares of the total", test_counts},
    {"unknown and unbuilt names", test_refused},
};
PF_TEST_MAIN(tests)
