/* SPDX-License-Identifier: MIT
 *
 * Byte strings: pf_slice is a borrowed view, pf_buf a growable buffer.
 *
 * pf_buf is sticky: once an append has failed for lack of memory, further
 * appends do nothing and pf_buf_failed() says so. Append many, check once.
 * b->p is followed by a NUL that is not counted in b->n (when b->p != NULL). */
#ifndef PF_BASE_STR_H
#define PF_BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

typedef struct pf_slice {
    const char *p;
    size_t n;
} pf_slice;

#define PF_LIT(s) ((pf_slice){(s), sizeof(s) - 1})

static inline pf_slice pf_slice_of(const char *s)
{
    return (pf_slice){s, s ? strlen(s) : 0};
}
static inline bool pf_slice_eq(pf_slice a, pf_slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool pf_slice_is(pf_slice a, const char *s)
{
    return a.n == strlen(s) && memcmp(a.p, s, a.n) == 0;
}
bool pf_slice_starts(pf_slice s, pf_slice prefix);
bool pf_slice_ends(pf_slice s, pf_slice suffix);
/* Offset of the first / last occurrence of needle (not empty), or -1. */
ptrdiff_t pf_slice_find(pf_slice s, pf_slice needle);
ptrdiff_t pf_slice_rfind(pf_slice s, pf_slice needle);
/* Bytewise order; a prefix comes first. */
int pf_slice_cmp(pf_slice a, pf_slice b);

typedef struct pf_buf {
    char *p;
    size_t n, cap;
    bool failed;
} pf_buf;

void pf_buf_release(pf_buf *b);
static inline void pf_buf_clear(pf_buf *b)
{
    b->n = 0;
    b->failed = false;
}
static inline bool pf_buf_failed(const pf_buf *b)
{
    return b->failed;
}
static inline pf_slice pf_buf_slice(const pf_buf *b)
{
    return (pf_slice){b->p, b->n};
}
/* Makes room for extra more bytes; false (and sticky) when out of memory. */
bool pf_buf_reserve(pf_buf *b, size_t extra);
void pf_buf_add(pf_buf *b, const void *p, size_t n);
void pf_buf_str(pf_buf *b, const char *s);
void pf_buf_char(pf_buf *b, char c);
void pf_buf_printf(pf_buf *b, const char *fmt, ...) PF_PRINTF(2, 3);
/* Hands the bytes over (pf_free them) and leaves b empty; NULL if failed. */
PF_MUST_CHECK char *pf_buf_take(pf_buf *b, size_t *n);

#endif
