/* SPDX-License-Identifier: MIT
 *
 * Memory: fault injection, checked arithmetic, growth, big blocks. */
#include "tests/pftest.h"

static void test_faults(void)
{
    uint64_t before = pf_mem_count();
    void *p = pf_alloc(10);
    CHECK(p && pf_mem_count() == before + 1);
    pf_mem_fail_at(2, false);
    void *q = pf_alloc(1);
    CHECK(q && !pf_mem_failed());
    CHECK(!pf_realloc(q, 100) && pf_mem_failed()); /* q lives on */
    void *r = pf_calloc(3, 3);
    CHECK(r != NULL);
    pf_free(r);
    pf_mem_fail_at(1, true);
    CHECK(!pf_alloc(1) && !pf_calloc(1, 1) && !pf_alloc_big(1));
    CHECK(!pf_strdup("x") && !pf_memdup0("x", 1));
    pf_mem_fail_at(0, false);
    CHECK(!pf_mem_failed());
    pf_free(p);
    pf_free(q);
    pf_free(NULL);
}

static void test_arithmetic(void)
{
    size_t n;
    int64_t d;
    CHECK(pf_mul(3, 4, &n) && n == 12);
    CHECK(!pf_mul(SIZE_MAX, 2, &n) && !pf_add(SIZE_MAX, 1, &n));
    CHECK(pf_add(SIZE_MAX, 0, &n) && n == SIZE_MAX);
    CHECK(!pf_mul64(INT64_MAX, 2, &d) && !pf_add64(INT64_MIN, -1, &d));
    CHECK(pf_mul64(-3, 4, &d) && d == -12);
    CHECK(!pf_calloc(SIZE_MAX / 2, 3));
    CHECK(!pf_memdup0("x", SIZE_MAX));
}

static void test_grow(void)
{
    int *v = NULL;
    size_t cap = 0;
    for (size_t i = 0; i < 1000; i++) {
        CHECK(PF_GROW(&v, &cap, i + 1) && cap > i);
        v[i] = (int)i;
    }
    CHECK(v[0] == 0 && v[999] == 999);
    int *old = v;
    size_t old_cap = cap;
    CHECK(!PF_GROW(&v, &cap, SIZE_MAX / 2));
    pf_mem_fail_at(1, false);
    CHECK(!PF_GROW(&v, &cap, cap + 1));
    pf_mem_fail_at(0, false);
    CHECK(v == old && cap == old_cap);
    pf_free(v);
}

static void test_big(void)
{
    static const size_t sizes[] = {0, 1, 100, 4096, (2 << 20) - 1, 2 << 20,
                                   (5 << 20) + 3};
    for (size_t i = 0; i < PF_COUNTOF(sizes); i++) {
        unsigned char *p = pf_alloc_big(sizes[i]);
        CHECK(p && (uintptr_t)p % 64 == 0);
        size_t bad = 0;
        for (size_t k = 0; p && k < sizes[i]; k++)
            bad += p[k] != 0;
        CHECK_INT(bad, 0);
        if (p && sizes[i])
            p[sizes[i] - 1] = 1;
        pf_free_big(p, sizes[i]);
    }
    pf_free_big(NULL, 7);
    CHECK(!pf_alloc_big(SIZE_MAX / 2 + 1));
}

static void test_copies(void)
{
    char *p = pf_strdup("ab"), *q = pf_memdup0("xyz", 2);
    CHECK_STR(p, "ab");
    CHECK_STR(q, "xy");
    pf_free(p);
    pf_free(q);
    q = pf_memdup0(NULL, 0);
    CHECK_STR(q, "");
    pf_free(q);
    p = pf_alloc(0);
    q = pf_alloc(0);
    CHECK(p && q && p != q && (uintptr_t)p % 16 == 0);
    pf_free(p);
    pf_free(q);
}

static const pft_test tests[] = {
    {"planned failures", test_faults}, {"arithmetic", test_arithmetic},
    {"growth", test_grow},             {"big blocks", test_big},
    {"copies", test_copies},
};
PF_TEST_MAIN(tests)
