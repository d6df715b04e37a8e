/* SPDX-License-Identifier: MIT */
#include "tests/pftest.h"
#include "text/nfc.h"

static const char *nfc(const char *s)
{
    static pf_buf out;
    pf_slice t = pf_slice_of(s);
    CHECK_OK(pf_nfc(t, &out, NULL, 0, NULL));
    bool same = out.n == t.n && (t.n == 0 || memcmp(out.p, t.p, t.n) == 0);
    if (pf_nfc_check(t) == t.n)
        CHECK(same);
    return out.p ? out.p : "";
}

static void forms(void)
{
    CHECK_STR(nfc("plain text"), "plain text");
    CHECK_STR(nfc("e\u0301"), "\u00e9");
    CHECK_STR(nfc("ab e\u0301 cd"), "ab \u00e9 cd");
    CHECK_STR(nfc("\u212b"), "\u00c5");
    CHECK_STR(nfc("q\u0307\u0323"), "q\u0323\u0307"); /* reordered */
    CHECK_STR(nfc("\u0958"), "\u0915\u093c"); /* excluded from composition */
    CHECK_STR(nfc("\u0301e"), "\u0301e");
    CHECK_STR(nfc("\u1112\u1161\u11ab"), "\ud55c");
    CHECK_STR(nfc("\uac00\u11a8"), "\uac01");
}

static void guards(void)
{
    /* no jamo, though utf8proc 2.8 takes it for one */
    CHECK_STR(nfc("\uac00\u11a7"), "\uac00\u11a7");
    /* composed since Unicode 13: not by the tables of 9.0 */
    CHECK_STR(nfc("\U00011935\U00011930"), "\U00011935\U00011930");
    /* nothing moves across a character that 9.0 does not know */
    CHECK_STR(nfc("a\u0301\U00011935\u0323\u0307"),
              "\u00e1\U00011935\u0323\u0307");
    CHECK_STR(nfc("\U00011935\u0307\u0323"), "\U00011935\u0323\u0307");
}

static void ranges(void)
{
    /*             0123 4 5      7 8 9  11 */
    pf_slice t = PF_LIT("abe\u0301cd");
    pf_range r[] = {{0, 2}, {2, 5}, {5, 7}, {0, 7}, {3, 7}, {0, 3}, {7, 7}};
    pf_buf out = {0};
    CHECK_OK(pf_nfc(t, &out, r, 3, NULL));
    CHECK_STR(out.p, "ab\u00e9cd");
    CHECK_INT(r[0].end, 2);
    CHECK_INT(r[1].start, 2);
    CHECK_INT(r[1].end, 4);
    CHECK_INT(r[2].start, 4);
    CHECK_INT(r[2].end, 6);
    CHECK_OK(pf_nfc(t, &out, r + 3, 1, NULL));
    CHECK_INT(r[3].end, 6);
    /* a border inside the window that changed gives the window away */
    CHECK_OK(pf_nfc(t, &out, r + 4, 1, NULL));
    CHECK_INT(r[4].start, 4);
    CHECK_OK(pf_nfc(t, &out, r + 5, 1, NULL));
    CHECK_INT(r[5].end, 2);
    CHECK_OK(pf_nfc(t, &out, r + 6, 1, NULL));
    CHECK_INT(r[6].start, 6);
    pf_buf_release(&out);
}

static int oom(void)
{
    pf_buf out = {0}, text = {0};
    pf_range r = {0, 1};
    pf_buf_str(&text, "a");
    for (int i = 0; i < 200; i++)
        pf_buf_str(&text, "\u0301\u0323");
    int rc = pf_buf_failed(&text)
                 ? PF_E_LIMIT
                 : pf_nfc(pf_buf_slice(&text), &out, &r, 1, NULL);
    pf_buf_release(&out);
    pf_buf_release(&text);
    return rc;
}

static void out_of_memory(void)
{
    OOM_WALK(oom());
}

static const pft_test list[] = {
    {"normal forms", forms},
    {"guards", guards},
    {"ranges", ranges},
    {"out of memory", out_of_memory},
};
PF_TEST_MAIN(list)
