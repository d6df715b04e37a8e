/* SPDX-License-Identifier: MIT
 *
 * Hash maps from strings to numbers. */
#include "base/map.h"
#include "tests/pftest.h"

static pf_slice name(char buf[32], int i)
{
    int n = snprintf(buf, 32, "key %d%c", i, i % 3 ? 0 : 'x');
    return (pf_slice){buf, (size_t)n + (i % 5 == 0)}; /* some hold a NUL */
}

static void test_map(void)
{
    pf_map *m = pf_map_new(7);
    char buf[32];
    bool added;
    CHECK(m && pf_map_count(m) == 0 && !pf_map_get(m, PF_LIT("x")));
    for (int i = 0; i < 5000; i++) {
        uint64_t *v = pf_map_put(m, name(buf, i), &added);
        CHECK(v && added && *v == 0);
        if (v)
            *v = (uint64_t)i * i;
    }
    for (int i = 0; i < 5000; i++) {
        uint64_t *v = pf_map_get(m, name(buf, i));
        CHECK(v && *v == (uint64_t)i * i);
        v = pf_map_put(m, name(buf, i), &added);
        CHECK(v && !added && *v == (uint64_t)i * i);
        CHECK(pf_slice_eq(pf_map_key(m, (size_t)i), name(buf, i)));
        CHECK(pf_map_value(m, (size_t)i) == (uint64_t)i * i);
    }
    CHECK_INT(pf_map_count(m), 5000);
    CHECK(!pf_map_get(m, PF_LIT("key 5000")));
    CHECK(pf_map_put(m, (pf_slice){NULL, 0}, &added) && added);
    CHECK(pf_map_get(m, PF_LIT("")) != NULL);
    pf_map_free(m);
    pf_map_free(NULL);
}

static int fill(void)
{
    pf_map *m = pf_map_new(0);
    char buf[32];
    bool added;
    int rc = m ? 0 : PF_E_LIMIT;
    for (int i = 0; rc == 0 && i < 60; i++) {
        if (!pf_map_put(m, name(buf, i), &added)) {
            rc = PF_E_LIMIT;
            /* What went in before is still there, and it goes on. */
            CHECK_INT(pf_map_count(m), i);
            for (int k = 0; k < i; k++)
                CHECK(pf_map_get(m, name(buf, k)) != NULL);
            CHECK(!pf_map_get(m, name(buf, i)));
            CHECK(pf_map_put(m, name(buf, i), &added) && added);
        }
    }
    pf_map_free(m);
    return rc;
}

static void test_oom(void)
{
    OOM_WALK(fill());
}

static const pft_test tests[] = {
    {"put and get", test_map},
    {"out of memory", test_oom},
};
PF_TEST_MAIN(tests)
