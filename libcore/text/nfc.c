/* SPDX-License-Identifier: MIT
 *
 * libutf8proc normalises small windows: from a starter that nothing composes
 * with (class 0) or a border, up to the next such character. That makes it
 * equal to the Unicode 9.0 tables of the reference: characters not assigned
 * in 9.0 never reach it, and U+11A7, which utf8proc 2.8 composes with a Hangul
 * syllable though it is no jamo, is of class 0 and so begins a window. */
#include "text/nfc.h"

#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/unidata.h"

/* Class of the character at p: see pf_uni_nfc(). */
static unsigned nfc_class(const char *p, int *len)
{
    if (!(*p & 0x80))
        return *len = 1, 0;
    return pf_uni_nfc(pf_uni(pf_utf8_get(p, len)));
}

size_t pf_nfc_check(pf_slice t)
{
    size_t start = 0;
    int len;
    for (size_t i = 0; i < t.n; i += (size_t)len) {
        /* Below U+0300 all is class 0: skip such bytes eight at a time. */
        uint64_t w;
        while (i + 8 <= t.n &&
               (memcpy(&w, t.p + i, 8), !(w & 0x8080808080808080u))) {
            i += 8;
            start = i - 1;
        }
        if (i >= t.n)
            break;
        unsigned k = nfc_class(t.p + i, &len);
        if (k == 1)
            return start;
        start = k == 2 ? i + (size_t)len : i;
    }
    return t.n;
}

/* One window without borders through utf8proc. */
static int window(const char *p, size_t n, pf_buf *out, pf_err *e)
{
    int32_t stack[64], *cp = stack;
    utf8proc_ssize_t cap = PF_COUNTOF(stack);
    /* The composed form never grows beyond the decomposed one, whose size
     * the first call returns when the buffer is too small. */
    utf8proc_ssize_t k =
        utf8proc_decompose((const utf8proc_uint8_t *)p, (utf8proc_ssize_t)n,
                           cp, cap, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (k > cap) {
        cap = k;
        cp = pf_calloc((size_t)k + 1, sizeof *cp);
        if (!cp)
            return pf_err_nomem(e);
        k = utf8proc_decompose((const utf8proc_uint8_t *)p,
                               (utf8proc_ssize_t)n, cp, cap,
                               UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    }
    int rc = k < 0 || k > cap
                 ? pf_err_set(e, PF_E_FORMAT, "cannot normalise text: %s",
                              utf8proc_errmsg(k)) : 0;
    if (rc == 0) {
        k = utf8proc_normalize_utf32(cp, k,
                                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        for (utf8proc_ssize_t i = 0; i < k; i++) {
            char b[4];
            pf_buf_add(out, b, (size_t)pf_utf8_put(b, (uint32_t)cp[i]));
        }
    }
    if (cp != stack)
        pf_free(cp);
    return rc;
}

/* Moves the range borders that lie in the window text[a, b), which became
 * out[a2, b2). done[0], done[1]: starts and ends moved so far. */
static void move_ranges(pf_range *r, size_t n, const pf_range *old,
                        size_t done[2], size_t a, size_t b, size_t a2,
                        size_t b2, bool same)
{
    for (; done[0] < n && old[done[0]].start < b; done[0]++) {
        size_t s = old[done[0]].start;
        r[done[0]].start = same || s == a ? a2 + (s - a) : b2;
    }
    for (; done[1] < n && old[done[1]].end <= b; done[1]++) {
        size_t t = old[done[1]].end;
        r[done[1]].end = same ? a2 + (t - a) : t == b ? b2 : a2;
    }
}

int pf_nfc(pf_slice t, pf_buf *out, pf_range *range, size_t n, pf_err *e)
{
    int rc = 0;
    size_t done[2] = {0, 0};
    pf_range *old = NULL;
    pf_buf_clear(out);
    if (n) {
        old = pf_calloc(n, sizeof *old);
        if (!old)
            return pf_err_nomem(e);
        memcpy(old, range, n * sizeof *old);
    }
    for (size_t i = 0; i < t.n && rc == 0;) {
        /* Copy up to the next window that needs care. */
        pf_slice rest = {t.p + i, t.n - i};
        size_t keep = pf_nfc_check(rest), at = out->n;
        pf_buf_add(out, rest.p, keep);
        move_ranges(range, n, old, done, i, i + keep, at, out->n, true);
        i += keep;
        if (i >= t.n)
            break;
        int len;
        size_t w = i;
        if (nfc_class(t.p + w, &len) == 0)
            w += (size_t)len;
        while (w < t.n && nfc_class(t.p + w, &len) == 1)
            w += (size_t)len;
        at = out->n;
        rc = window(t.p + i, w - i, out, e);
        bool same = out->n - at == w - i &&
                    memcmp(out->p + at, t.p + i, w - i) == 0;
        move_ranges(range, n, old, done, i, w, at, out->n, same);
        i = w;
    }
    move_ranges(range, n, old, done, t.n, t.n + 1, out->n, out->n, true);
    pf_free(old);
    if (rc == 0 && pf_buf_failed(out))
        rc = pf_err_nomem(e);
    return rc;
}
