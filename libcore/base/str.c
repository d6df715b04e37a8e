/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

bool pf_slice_starts(pf_slice s, pf_slice prefix)
{
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

bool pf_slice_ends(pf_slice s, pf_slice suffix)
{
    return s.n >= suffix.n &&
           memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0;
}

ptrdiff_t pf_slice_find(pf_slice s, pf_slice needle)
{
    if (s.n < needle.n)
        return -1;
    const char *at = memmem(s.p, s.n, needle.p, needle.n);
    return at ? at - s.p : -1;
}

ptrdiff_t pf_slice_rfind(pf_slice s, pf_slice needle)
{
    size_t end = s.n;
    while (end >= needle.n) {
        const char *last = memrchr(s.p, needle.p[0], end - needle.n + 1);
        if (!last)
            return -1;
        if (memcmp(last, needle.p, needle.n) == 0)
            return last - s.p;
        end = (size_t)(last - s.p) + needle.n - 1;
    }
    return -1;
}

int pf_slice_cmp(pf_slice a, pf_slice b)
{
    size_t n = PF_MIN(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

void pf_buf_release(pf_buf *b)
{
    pf_free(b->p);
    *b = (pf_buf){0};
}

bool pf_buf_reserve(pf_buf *b, size_t extra)
{
    size_t want;
    if (b->failed)
        return false;
    if (!pf_add(b->n, extra, &want) || !pf_add(want, 1, &want) ||
        !PF_GROW(&b->p, &b->cap, want)) {
        b->failed = true;
        return false;
    }
    return true;
}

void pf_buf_add(pf_buf *b, const void *p, size_t n)
{
    if (!pf_buf_reserve(b, n))
        return;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void pf_buf_str(pf_buf *b, const char *s)
{
    pf_buf_add(b, s, strlen(s));
}

void pf_buf_char(pf_buf *b, char c)
{
    pf_buf_add(b, &c, 1);
}

void pf_buf_printf(pf_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        PF_BUG("bad format");
    if (!pf_buf_reserve(b, (size_t)n))
        return;
    va_start(ap, fmt);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

char *pf_buf_take(pf_buf *b, size_t *n)
{
    if (!pf_buf_reserve(b, 0)) {
        pf_buf_release(b);
        return NULL;
    }
    char *p = b->p;
    p[b->n] = 0;
    if (n)
        *n = b->n;
    *b = (pf_buf){0};
    return p;
}
