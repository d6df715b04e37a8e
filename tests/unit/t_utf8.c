/* SPDX-License-Identifier: MIT
 *
 * UTF-8: every code point, every damaged pair and triple of bytes, and the
 * CPU tiers on texts with an error at every place. */
#include "base/cpu.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tests/pftest.h"

static void test_code_points(void)
{
    int bad = 0;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        char s[4];
        int n = pf_utf8_put(s, c), len = 0;
        bool surrogate = c >= 0xd800 && c < 0xe000;
        bad += n != (c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        bad += pf_utf8_check(s, (size_t)n) != (surrogate ? 0u : (size_t)n);
        bad += !surrogate && (pf_utf8_get(s, &len) != c || len != n);
        for (size_t cut = 1; cut < (size_t)n; cut++)
            bad += pf_utf8_check(s, cut) != 0;
    }
    CHECK_INT(bad, 0);
}

/* The definition, decoded the slow way: value, shortest form, range. */
static bool legal(const unsigned char *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80   ? 1
                 : p[0] < 0xc0 ? 0
                 : p[0] < 0xe0 ? 2
                 : p[0] < 0xf0 ? 3
                 : p[0] < 0xf8 ? 4
                               : 0;
    if (len != n)
        return false;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return false;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c >= least[len] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

static void test_sequences(void)
{
    int bad = 0;
    for (uint32_t u = 0; u < 1 << 24; u += u < 0xc00000 ? 0x1357 : 1) {
        unsigned char s[4] = {(unsigned char)(u >> 16),
                              (unsigned char)(u >> 8), (unsigned char)u, 0x80};
        if (s[0] < 0xc0)
            continue;
        size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
        bad += pf_utf8_valid((char *)s, n) != legal(s, n);
    }
    CHECK_INT(bad, 0);
}

static const char *const pieces[] = {
    "a", "bcdefgh", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
    "\xed\x9f\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf",
    "0123456789012345678901234567890123456789012345678901234567890123456789",
};
static const char *const damage[] = {
    "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3\xc3", "\xe0\x9f\xbf",
    "\xe2\x82", "\xe2", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
    "\xf0\x9f\x98", "\xf0\x9f", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
    "\xf8\x88\x80\x80\x80", "\xfe", "\xff", "\xc3\xa9\xa9",
    "\xe2\x82\xac\x80", "\xf0\x9f\x98\x80\x80",
};

/* A text of n_pieces with one damaged piece, in a block of its own size; the
 * offset of the damage in *at (or the length). */
static char *text(uint64_t t, size_t *n, size_t *at)
{
    char buf[2048];
    size_t count = pf_rand_below(1, t, 0, 24);
    size_t where = pf_rand_below(1, t, 1, 2 * count + 1);
    *n = 0;
    *at = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        const char *s = pieces[pf_rand_below(2, t, i, PF_COUNTOF(pieces))];
        if (i == where) {
            s = damage[pf_rand_below(2, t, i, PF_COUNTOF(damage))];
            *at = *n;
        }
        memcpy(buf + *n, s, strlen(s));
        *n += strlen(s);
    }
    char *p = malloc(*n ? *n : 1);
    memcpy(p, buf, *n);
    return p;
}

static void test_tiers(void)
{
    int differ = 0, missed = 0, broken = 0;
    for (uint64_t t = 0; t < 60000; t++) {
        size_t n, at, want = 0;
        char *s = text(t, &n, &at);
        for (int k = PF_CPU_PORTABLE; k <= PF_CPU_AVX512; k++) {
            pf_cpu_cap((pf_cpu)k);
            size_t got = pf_utf8_check(s, n);
            if (k == PF_CPU_PORTABLE)
                want = got;
            differ += got != want;
        }
        broken += want < n;
        /* Some damage starts with a legal character. */
        missed += at == SIZE_MAX ? want != n : want < at || want > at + 4;
        free(s);
    }
    CHECK_INT(differ, 0);
    CHECK_INT(missed, 0);
    CHECK(broken > 10000);
}

static const pft_test tests[] = {
    {"every code point", test_code_points},
    {"sequences by definition", test_sequences},
    {"tiers equal", test_tiers},
};
PF_TEST_MAIN(tests)
