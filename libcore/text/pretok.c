/* SPDX-License-Identifier: MIT
 *
 * Each scanner is one function from a position to the end of the piece there.
 * The regexes (Oniguruma semantics: first alternative that matches, greedy
 * with backtracking) reduce to the class of the next one or two characters:
 *
 *  GPT2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
 *          |\s+(?!\S)|\s+
 *  CL100K  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+
 *          |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
#include "text/pretok.h"

#include "base/utf8.h"
#include "text/unidata.h"

enum { L = 1, N = 2, S = 4, O = 8 };

typedef const unsigned char *cursor;

#define R4(x) x, x, x, x
#define R8(x) R4(x), R4(x)
static const uint8_t ascii[128] = {
    R8(O), O, S, S, S, S, S, O, O, R8(O), R8(O), /* 00-1f */
    S, O, O, O, O, O, O, O, R8(O),               /* 20-2f */
    R8(N), N, N, R4(O), O, O,                    /* 30-3f */
    O, L, L, L, L, L, L, L, R8(L), R8(L), L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, R8(L), R8(L), L, L, L, O, O, O, O, O,
};
static const uint8_t of_category[32] = {
    L, L, L, L, L, O, O, O, N, N, N, O, O, O, O, O, O, O, O, O, O, O,
    S, S, S, O, O, O, O, O, S,
};

/* Class of the character at p < end, its length in *len. */
PF_INLINE unsigned class_at(cursor p, int *len)
{
    if (PF_LIKELY(*p < 0x80))
        return *len = 1, ascii[*p];
    uint32_t cp = pf_utf8_get((const char *)p, len);
    return of_category[pf_uni_category(pf_uni(cp))];
}

/* The end of the run of characters of class k (one bit) from p. */
PF_INLINE cursor run_of(cursor p, cursor end, unsigned k)
{
    int len;
    while (p < end && class_at(p, &len) == k)
        p += len;
    return p;
}

/* The end of a piece of white space that begins at p with a character of len
 * bytes: `\s+(?!\S)|\s+`. Before a non-space the last character of a longer
 * run is left to the next piece. */
static cursor space_piece(cursor start, int len, cursor end)
{
    cursor p, last = start;
    int n;
    for (p = start + len; p < end && class_at(p, &n) == S; p += n)
        last = p;
    return p == end || last == start ? p : last;
}

static cursor gpt2_piece(cursor p, cursor end)
{
    int len;
    unsigned k = class_at(p, &len);
    if (*p == '\'' && end - p >= 2) {
        int c = p[1];
        if (c == 's' || c == 't' || c == 'm' || c == 'd')
            return p + 2;
        if (end - p >= 3 && ((c == 'r' && p[2] == 'e') ||
                             (c == 'v' && p[2] == 'e') ||
                             (c == 'l' && p[2] == 'l')))
            return p + 3;
    }
    if (*p == ' ' && end - p >= 2) {
        int next;
        unsigned k2 = class_at(p + 1, &next);
        if (k2 != S)
            return run_of(p + 1 + next, end, k2);
    }
    if (k == S)
        return space_piece(p, len, end);
    return run_of(p + len, end, k);
}

/* Length of a contraction after the apostrophe at p, or 0. Only U+017F folds
 * onto one of these letters from outside ASCII. */
static int contraction(cursor p, cursor end)
{
    if (end - p < 2)
        return 0;
    int c = p[1] | 0x20;
    if (p[1] < 0x80) {
        if (c == 's' || c == 't' || c == 'm' || c == 'd')
            return 2;
        if (end - p < 3 || p[2] >= 0x80)
            return 0;
        int d = p[2] | 0x20;
        return ((c == 'r' || c == 'v') && d == 'e') || (c == 'l' && d == 'l')
                   ? 3 : 0;
    }
    return end - p >= 3 && p[1] == 0xc5 && p[2] == 0xbf ? 3 : 0;
}

/* `\s*[\r\n]+|\s+(?!\S)|\s+` from a space at p. */
static cursor line_piece(cursor p, int len, cursor end)
{
    cursor q = p, newline = NULL, last = p;
    int n = len;
    do {
        if (*q == '\n' || *q == '\r')
            newline = q + 1;
        last = q;
        q += n;
    } while (q < end && class_at(q, &n) == S);
    if (newline)
        return newline;
    return q == end || last == p ? q : last;
}

static cursor cl100k_piece(cursor p, cursor end, unsigned max_digits)
{
    int len, next = 0;
    unsigned k = class_at(p, &len);
    if (k == L)
        return run_of(p + len, end, L);
    if (k == N) {
        p += len;
        for (unsigned i = 1; i < max_digits && p < end; i++, p += len)
            if (class_at(p, &len) != N)
                break;
        return p;
    }
    if (*p == '\'') {
        int c = contraction(p, end);
        if (c)
            return p + c;
    }
    unsigned k2 = p + len < end ? class_at(p + len, &next) : 0;
    if (k2 == L && *p != '\n' && *p != '\r')
        return run_of(p + len + next, end, L);
    if (k == S && !(*p == ' ' && k2 == O))
        return line_piece(p, len, end);
    p = run_of(p + len, end, O);
    while (p < end && (*p == '\r' || *p == '\n'))
        p++;
    return p;
}

/* Up to the first number (class N), which Digits makes a piece of its own. */
static cursor before_number(cursor p, cursor end)
{
    int len;
    while (p < end && class_at(p, &len) != N)
        p += len;
    return p;
}

size_t pf_pretok_scan(const pf_pretok *t, const char *text, size_t n,
                      size_t pos, size_t *out, size_t cap)
{
    cursor base = (cursor)text, p = base + pos, end = base + n;
    size_t k = 0;
    if (t->kind == PF_PRETOK_CL100K) {
        for (; p < end && k < cap; k++) {
            p = cl100k_piece(p, end, t->max_digits);
            out[k] = (size_t)(p - base);
        }
        return k;
    }
    cursor stop = t->digits_apart ? p : end;
    for (; p < end && k < cap; k++) {
        int len;
        if (p == stop)
            stop = before_number(p, end);
        if (p == stop) { /* at a number */
            (void)class_at(p, &len);
            p = stop = p + len;
        } else {
            p = gpt2_piece(p, stop);
        }
        out[k] = (size_t)(p - base);
    }
    return k;
}

bool pf_pretok_of_regex(pf_slice regex, pf_pretok *out)
{
    static const char head[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
                               "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}";
    static const char tail[] = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
                               "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+"
                               "| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    if (pf_slice_is(regex, gpt2)) {
        *out = (pf_pretok){.kind = PF_PRETOK_GPT2};
        return true;
    }
    if (!pf_slice_starts(regex, PF_LIT(head)) ||
        !pf_slice_ends(regex, PF_LIT(tail)))
        return false;
    size_t mid = sizeof head - 1, rest = sizeof tail - 1;
    if (regex.n < mid + rest)
        return false;
    pf_slice digits = {regex.p + mid, regex.n - mid - rest};
    unsigned max = digits.n == 0 ? 1 : pf_slice_is(digits, "{1,3}") ? 3 : 0;
    *out = (pf_pretok){.kind = PF_PRETOK_CL100K, .max_digits = max};
    return max != 0;
}
