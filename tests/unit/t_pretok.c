/* SPDX-License-Identifier: MIT
 *
 * The scanners against PCRE2 running the regexes themselves, on all strings
 * up to five characters over one character of each kind that a regex tells
 * apart. (Unicode 14 of PCRE2 10.42 knows all of these.) */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/utf8.h"
#include "tests/pftest.h"
#include "text/pretok.h"
#include "text/unidata.h"

#define SPACE "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}" \
              "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define TAIL "[^" SPACE "\\p{L}\\p{N}]+[\\r\\n]*|[" SPACE "]*[\\r\\n]+|[" SPACE \
             "]+(?![^" SPACE "])|[" SPACE "]+"
#define CL100K(digits)                                                   \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits \
    "| ?" TAIL
#define GPT2                                                             \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE             \
    "\\p{L}\\p{N}]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"

static const char *const kinds[] = {"s", "l", "e", "R", "\u00e9", "\u017f",
                                    "7", "\u00bd", " ", "\t", "\n", "\r",
                                    "\u00a0", "\u180e", "'", "!", "\u0301"};

static void same_pieces(pcre2_code *re, pcre2_match_data *md,
                        const pf_pretok *t, const char *s, size_t n)
{
    size_t end[16], k = pf_pretok_scan(t, s, n, 0, end, 16), at = 0, i = 0;
    while (at < n) {
        int rc = pcre2_match(re, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK, md,
                             NULL);
        size_t *ov = pcre2_get_ovector_pointer(md);
        if (rc < 1 || ov[0] != at || i >= k || end[i] != ov[1]) {
            printf("# piece %zu of \"%s\": %zu, want %zu\n", i, s,
                   i < k ? end[i] : 0, rc < 1 ? 0 : ov[1]);
            pft_failures++;
            return;
        }
        at = ov[1];
        i++;
    }
    if (i != k)
        pft_failures++;
}

static void walk(pcre2_code *re, pcre2_match_data *md, const pf_pretok *t,
                 char *s, size_t n, int left)
{
    if (n)
        same_pieces(re, md, t, s, n);
    if (!left || pft_failures > 5)
        return;
    for (size_t i = 0; i < PF_COUNTOF(kinds); i++) {
        size_t k = strlen(kinds[i]);
        memcpy(s + n, kinds[i], k + 1);
        walk(re, md, t, s, n + k, left - 1);
    }
}

static void against(const char *pattern, const pf_pretok *t, int length)
{
    int code;
    size_t off;
    char s[64];
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP, &code, &off, NULL);
    CHECK(re != NULL);
    if (!re)
        return;
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    walk(re, md, t, s, 0, length);
    pcre2_match_data_free(md);
    pcre2_code_free(re);
}

#ifdef PF_ASAN
enum { LENGTH = 3 };
#else
enum { LENGTH = 4 };
#endif

static void gpt2(void)
{
    against(GPT2, &(pf_pretok){.kind = PF_PRETOK_GPT2}, LENGTH);
}

static void cl100k(void)
{
    against(CL100K("\\p{N}{1,3}"),
            &(pf_pretok){.kind = PF_PRETOK_CL100K, .max_digits = 3}, LENGTH);
    against(CL100K("\\p{N}"),
            &(pf_pretok){.kind = PF_PRETOK_CL100K, .max_digits = 1}, LENGTH);
}

/* Pieces joined by '|'. */
static const char *pieces(const pf_pretok *t, const char *s)
{
    static char out[256];
    size_t end[2], at = 0, n = strlen(s), o = 0;
    while (at < n) { /* two at a time: the scan goes on from any border */
        size_t k = pf_pretok_scan(t, s, n, at, end, 2);
        for (size_t i = 0; i < k; at = end[i++])
            o += (size_t)sprintf(out + o, "%s%.*s", o ? "|" : "",
                                 (int)(end[i] - at), s + at);
    }
    out[o] = 0;
    return out;
}

static void digits_apart(void)
{
    pf_pretok t = {.kind = PF_PRETOK_GPT2, .digits_apart = true};
    CHECK_STR(pieces(&t, "a  12 b3"), "a|  |1|2| b|3");
    CHECK_STR(pieces(&t, "12"), "1|2");
    CHECK_STR(pieces(&t, "\u00bdx  y"), "\u00bd|x| | y");
    t.digits_apart = false;
    CHECK_STR(pieces(&t, "a  12 b3"), "a| | 12| b|3");
    CHECK_STR(pieces(&t, "don't  'LL"), "don|'t| | '|LL");
}

static void regexes(void)
{
    pf_pretok t;
    CHECK(pf_pretok_of_regex(
        PF_LIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
               "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
               "\\s+(?!\\S)|\\s+"), &t));
    CHECK_INT(t.max_digits, 3);
    CHECK(!pf_pretok_of_regex(PF_LIT("\\p{L}+"), &t));
    CHECK(!pf_pretok_of_regex(
        PF_LIT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
               "\\p{N}{1,2}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
               "\\s+(?!\\S)|\\s+"), &t));
}

static void classes(void)
{
    int space = 0, word = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        space += pf_uni_space(pf_uni(c));
        word += pf_uni_word(pf_uni(c));
    }
    CHECK_INT(space, 25);
    CHECK_INT(word, 144667);
    CHECK_INT(pf_uni_category(pf_uni(0x1c89)), PF_UNI_LU); /* Unicode 16 */
    CHECK_INT(pf_uni_nfc(pf_uni(0x1c89)), 2);
    CHECK_INT(pf_uni_nfc(pf_uni(0x301)), 1);
    CHECK_INT(pf_uni_nfc(pf_uni(0xe9)), 0);
}

static const pft_test list[] = {
    {"GPT-2 as PCRE2", gpt2},       {"cl100k as PCRE2", cl100k},
    {"digits apart", digits_apart}, {"regexes known", regexes},
    {"classes", classes},
};
PF_TEST_MAIN(list)
