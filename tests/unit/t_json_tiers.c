/* SPDX-License-Identifier: MIT
 *
 * Every CPU tier of the JSON code against the portable one, on mutated
 * documents and random strings. On a machine without a tier the lower one is
 * compared with itself. */
#include "base/cpu.h"
#include "base/json.h"
#include "base/rng.h"
#include "tests/pftest.h"

static const char sample[] =
    "{\"chosen\": \"\\n\\nHuman: what is a \\\"tape\\\"?\\n\\nAssistant: It is "
    "a list of nodes in the order of the document, caf\xc3\xa9 \xe2\x82\xac "
    "\xf0\x9f\x98\x80 included.\", \"rejected\": \"\\u00e9\\ud83d\\ude00\","
    "\n        \"meta\": {\"n\": [1, 2.5, -3e-7, 0], \"deep\": [[[{}]]], "
    "\"t\": true, \"f\": false, \"z\": null},                         "
    "            \t\"long key that needs more than one vector of sixty-four "
    "bytes to be scanned\":[]}";

/* Text of the tape: types, spans, strings. Equal for equal parses. */
static void dump(pf_jval v, pf_buf *out)
{
    pf_buf_printf(out, "%d %zu %zu %zu ", (int)pf_jtype(v), pf_joffset(v),
                  pf_jraw(v).n, pf_jcount(v));
    pf_buf_add(out, pf_jstr(v).p, pf_jstr(v).n);
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it)) {
        pf_buf_add(out, it.key.p, it.key.n);
        dump(it.value, out);
    }
}

static size_t mutate(char *s, size_t n, uint64_t t)
{
    static const char pool[] = "\"\\{}[]:,0e-. \n\tu\x01\x80\xc3\xa9\xe2\xf0";
    uint64_t edits = pf_rand_below(3, t, 0, 4);
    for (uint64_t i = 0; i < edits; i++) {
        size_t at = pf_rand_below(4, t, i, n);
        char c = pool[pf_rand_below(5, t, i, sizeof pool - 1)];
        switch (pf_rand_below(6, t, i, 4)) {
        case 0:
            s[at] = c;
            break;
        case 1:
            memmove(s + at + 1, s + at, n - at);
            s[at] = c;
            n++;
            break;
        case 2:
            memmove(s + at, s + at + 1, n - at - 1);
            n--;
            break;
        default:
            s[at] = (char)(s[at] ^ 1 << pf_rand_below(7, t, i, 8));
        }
    }
    return n;
}

static void test_reader(void)
{
    pf_json *j = pf_json_new();
    pf_buf want = {0}, got = {0};
    int accepted = 0, differ = 0;
    for (uint64_t t = 0; j && t < 20000; t++) {
        char s[sizeof sample + 8];
        memcpy(s, sample, sizeof sample - 1);
        size_t n = mutate(s, sizeof sample - 1, t);
        if (t % 7 == 0)
            n = pf_rand_below(8, t, 0, n);
        char *exact = memcpy(malloc(n + 1), s, n); /* ASan guards its end */
        exact = realloc(exact, n ? n : 1);
        for (int k = PF_CPU_PORTABLE; k <= PF_CPU_AVX512; k++) {
            pf_err e = PF_ERR_INIT;
            pf_jval v;
            pf_cpu_cap((pf_cpu)k);
            int rc = pf_json_parse(j, (pf_slice){exact, n}, &v, &e);
            pf_buf *b = k ? &got : &want;
            pf_buf_clear(b);
            pf_buf_printf(b, "%d %lld %s ", rc, (long long)e.byte, e.msg);
            dump(v, b);
            accepted += k == 0 && rc == 0;
            differ += k && !pf_slice_eq(pf_buf_slice(&got),
                                        pf_buf_slice(&want));
        }
        free(exact);
    }
    CHECK_INT(differ, 0);
    CHECK(accepted > 1000);
    pf_buf_release(&want);
    pf_buf_release(&got);
    pf_json_free(j);
}

static void test_quote(void)
{
    static const char bytes[] = "ab\"\\\n\x01\xc3\xa9 xyz/\x7f";
    pf_buf want = {0}, got = {0};
    for (uint64_t t = 0; t < 4000; t++) {
        size_t n = pf_rand_below(1, t, 0, 300);
        char *s = malloc(n ? n : 1);
        uint64_t kinds = pf_rand_below(1, t, 1, 100) < 50 ? 1000 : 14;
        for (size_t i = 0; i < n; i++) {
            uint64_t k = pf_rand_below(2, t, i, kinds);
            s[i] = k < 14 ? bytes[k] : 'a';
        }
        for (int k = PF_CPU_PORTABLE; k <= PF_CPU_AVX512; k++) {
            pf_buf *b = k ? &got : &want;
            pf_buf_clear(b);
            pf_cpu_cap((pf_cpu)k);
            pf_json_quote(b, (pf_slice){s, n});
            CHECK(k == 0 ||
                  pf_slice_eq(pf_buf_slice(&got), pf_buf_slice(&want)));
        }
        free(s);
    }
    char *big = malloc(100000);
    memset(big, '\x01', 100000);
    pf_buf_clear(&got);
    pf_json_quote(&got, (pf_slice){big, 100000});
    CHECK_INT(got.n, 600002);
    free(big);
    pf_buf_clear(&got);
    pf_json_quote(&got, (pf_slice){NULL, 0});
    CHECK_STR(got.p, "\"\"");
    pf_buf_release(&want);
    pf_buf_release(&got);
}

static const pft_test tests[] = {
    {"mutated documents", test_reader},
    {"quoting", test_quote},
};
PF_TEST_MAIN(tests)
