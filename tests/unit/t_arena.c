/* SPDX-License-Identifier: MIT
 *
 * Arenas: allocations stay apart, blocks are used again. */
#include "base/arena.h"
#include "base/rng.h"
#include "tests/pftest.h"

enum { N = 400 };

static int fill(pf_arena *a, uint64_t round)
{
    unsigned char *p[N];
    size_t n[N];
    int bad = 0;
    for (uint64_t i = 0; i < N; i++) {
        n[i] = pf_rand_below(1, round, i, i % 50 ? 300 : 40000);
        p[i] = pf_arena_alloc(a, n[i]);
        if (!p[i])
            return PF_E_LIMIT;
        bad += (uintptr_t)p[i] % 16 != 0;
        memset(p[i], (int)i, n[i]);
    }
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < n[i]; k++)
            bad += p[i][k] != (unsigned char)i;
    CHECK_INT(bad, 0);
    return 0;
}

static void test_reuse(void)
{
    pf_arena a = {0};
    CHECK_OK(fill(&a, 1));
    uint64_t made = pf_mem_count();
    for (int round = 0; round < 20; round++) {
        pf_arena_reset(&a);
        CHECK_OK(fill(&a, 1));
    }
    CHECK_INT(pf_mem_count(), made); /* a steady stream allocates nothing */
    pf_arena_release(&a);
    CHECK(!a.first && !a.current);
}

static void test_sizes(void)
{
    pf_arena a = {0};
    char *big = pf_arena_calloc(&a, 9, 1 << 20);
    CHECK(big && big[0] == 0 && big[(9 << 20) - 1] == 0);
    CHECK(!pf_arena_alloc(&a, SIZE_MAX) && !pf_arena_alloc(&a, SIZE_MAX / 2));
    CHECK(!pf_arena_calloc(&a, SIZE_MAX / 2, 3));
    char *s = pf_arena_dup(&a, "a\0b", 3);
    CHECK(s && memcmp(s, "a\0b", 4) == 0);
    CHECK_STR(pf_arena_dup(&a, NULL, 0), "");
    pf_arena_reset(&a); /* the block over 4 MiB goes */
    CHECK(pf_arena_alloc(&a, 100) != NULL);
    pf_arena_release(&a);
    pf_arena_reset(&a);
    pf_arena_release(&a);
}

static int one_walk(void)
{
    pf_arena a = {0};
    int rc = fill(&a, 2);
    pf_arena_release(&a);
    return rc;
}

static void test_oom(void)
{
    OOM_WALK(one_walk());
}

static const pft_test tests[] = {
    {"reuse", test_reuse},
    {"sizes", test_sizes},
    {"out of memory", test_oom},
};
PF_TEST_MAIN(tests)
