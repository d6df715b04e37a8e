/* SPDX-License-Identifier: MIT
 *
 * Slices and growing buffers. */
#include "base/str.h"
#include "base/rng.h"
#include "tests/pftest.h"

static void test_slices(void)
{
    pf_slice s = PF_LIT("abcabcd"), none = {NULL, 0};
    CHECK(pf_slice_starts(s, PF_LIT("abc")) && pf_slice_ends(s, PF_LIT("bcd")));
    CHECK(!pf_slice_starts(s, PF_LIT("abcabcde")));
    CHECK(!pf_slice_ends(PF_LIT("d"), PF_LIT("cd")));
    CHECK(pf_slice_starts(s, PF_LIT("")) && pf_slice_ends(s, PF_LIT("")));
    CHECK_INT(pf_slice_find(s, PF_LIT("bc")), 1);
    CHECK_INT(pf_slice_rfind(s, PF_LIT("bc")), 4);
    CHECK_INT(pf_slice_find(s, PF_LIT("x")), -1);
    CHECK_INT(pf_slice_rfind(s, PF_LIT("ac")), -1);
    CHECK_INT(pf_slice_rfind(s, PF_LIT("abcabcd")), 0);
    CHECK_INT(pf_slice_rfind(PF_LIT("ab"), PF_LIT("abc")), -1);
    CHECK_INT(pf_slice_rfind(PF_LIT("aaaa"), PF_LIT("aa")), 2);
    CHECK(pf_slice_cmp(PF_LIT("a"), PF_LIT("ab")) < 0);
    CHECK(pf_slice_cmp(PF_LIT("\xff"), PF_LIT("a")) > 0);
    CHECK_INT(pf_slice_cmp(none, PF_LIT("")), 0);
    CHECK(pf_slice_eq(none, PF_LIT("")) && pf_slice_is(s, "abcabcd"));
    CHECK(!pf_slice_is(s, "abcabc"));
    CHECK_INT(pf_slice_of(NULL).n, 0);
}

/* find and rfind against the plain loop, on texts of two letters. */
static void test_search(void)
{
    int bad = 0;
    for (uint64_t t = 0; t < 3000; t++) {
        char s[40];
        size_t n = pf_rand_below(1, t, 0, sizeof s), first = n, last = n;
        size_t m = 1 + pf_rand_below(1, t, 1, 4);
        char needle[4];
        for (size_t i = 0; i < n; i++)
            s[i] = "ab"[pf_rand_below(2, t, i, 2)];
        for (size_t i = 0; i < m; i++)
            needle[i] = "ab"[pf_rand_below(3, t, i, 2)];
        for (size_t i = 0; i + m <= n; i++) {
            if (memcmp(s + i, needle, m) != 0)
                continue;
            first = first == n ? i : first;
            last = i;
        }
        bad += pf_slice_find((pf_slice){s, n}, (pf_slice){needle, m}) !=
               (first == n ? -1 : (ptrdiff_t)first);
        bad += pf_slice_rfind((pf_slice){s, n}, (pf_slice){needle, m}) !=
               (last == n ? -1 : (ptrdiff_t)last);
    }
    CHECK_INT(bad, 0);
}

static void test_buffer(void)
{
    pf_buf b = {0};
    pf_buf_add(&b, NULL, 0);
    CHECK_STR(b.p, "");
    pf_buf_str(&b, "ab");
    pf_buf_char(&b, 'c');
    pf_buf_printf(&b, "%d-%s", 42, "x");
    CHECK_STR(b.p, "abc42-x");
    CHECK_INT(b.n, 7);
    for (int i = 0; i < 10000; i++)
        pf_buf_printf(&b, "%04d", i);
    CHECK_INT(b.n, 40007);
    CHECK(memcmp(b.p + 7 + 4 * 9999, "9999", 5) == 0);
    size_t n = 0;
    char *p = pf_buf_take(&b, &n);
    CHECK(p && n == 40007 && !b.p && b.n == 0);
    pf_free(p);
    p = pf_buf_take(&b, NULL);
    CHECK_STR(p, "");
    pf_free(p);
}

static void test_sticky(void)
{
    pf_buf b = {0};
    pf_buf_str(&b, "kept");
    pf_mem_fail_at(1, false);
    CHECK(!pf_buf_reserve(&b, 1000));
    pf_mem_fail_at(0, false);
    pf_buf_str(&b, "not added");
    CHECK(pf_buf_failed(&b) && pf_slice_is(pf_buf_slice(&b), "kept"));
    CHECK(!pf_buf_take(&b, NULL) && !b.p);
    pf_buf_str(&b, "anew");
    CHECK_STR(b.p, "anew");
    CHECK(!pf_buf_reserve(&b, SIZE_MAX - 2));
    pf_buf_clear(&b);
    CHECK(!pf_buf_failed(&b) && b.n == 0);
    pf_buf_release(&b);
}

static int build(void)
{
    pf_buf b = {0};
    for (int i = 0; i < 100; i++)
        pf_buf_printf(&b, "%d ", i);
    char *p = pf_buf_take(&b, NULL);
    pf_free(p);
    return p ? 0 : PF_E_LIMIT;
}

static void test_oom(void)
{
    OOM_WALK(build());
}

static const pft_test tests[] = {
    {"slices", test_slices},  {"search", test_search},
    {"buffer", test_buffer},  {"failure sticks", test_sticky},
    {"out of memory", test_oom},
};
PF_TEST_MAIN(tests)
