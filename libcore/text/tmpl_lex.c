/* SPDX-License-Identifier: MIT
 *
 * Tokens of template expressions, and what all of the parser uses. */
#include "text/tmpl_parse.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"

int pf_tm_fail(const pf_template *t, int code, uint32_t line, uint32_t col,
               pf_err *e, const char *fmt, ...)
{
    char msg[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return pf_err_set(e, code, "%s:%u:%u: %s", t->name, (unsigned)line,
                      (unsigned)col, msg);
}

/* Goes on from the last position asked for: the parser moves forward. */
static void position(tm_parser *p, size_t at, uint32_t *line, uint32_t *col)
{
    if (at < p->seen) {
        p->seen = 0;
        p->line = 1;
        p->line_at = 0;
    }
    for (; p->seen < at && p->seen < p->n; p->seen++)
        if (p->s[p->seen] == '\n') {
            p->line++;
            p->line_at = p->seen + 1;
        }
    *line = p->line;
    *col = (uint32_t)(at - p->line_at) + 1;
}

int pf_tm_refuse(tm_parser *p, size_t at, const char *what, pf_slice detail)
{
    uint32_t line, col;
    char q[80] = "";
    position(p, at, &line, &col);
    if (detail.p)
        pf_err_quote(q, sizeof q, detail.p, detail.n);
    return pf_tm_fail(p->t, PF_E_USAGE, line, col, p->e, "%s%s%s", what,
                      detail.p ? " " : "", q);
}

tm_node *pf_tm_new_node(tm_parser *p, tm_op op, size_t at)
{
    tm_node *n = pf_arena_calloc(&p->t->arena, 1, sizeof *n);
    if (!n) {
        (void)pf_err_nomem(p->e);
        return NULL;
    }
    n->op = op;
    position(p, at, &n->line, &n->col);
    return n;
}

/* Lists lie in the arena and grow by powers of two. */
int pf_tm_push(tm_parser *p, tm_node ***list, size_t *n, tm_node *x)
{
    if ((*n & (*n - 1)) == 0) {
        tm_node **to =
            pf_arena_calloc(&p->t->arena, *n ? *n * 2 : 1, sizeof *to);
        if (!to)
            return pf_err_nomem(p->e);
        if (*n)
            memcpy(to, *list, *n * sizeof *to);
        *list = to;
    }
    (*list)[(*n)++] = x;
    return 0;
}

int pf_tm_push_key(tm_parser *p, tm_node *x, pf_slice key)
{
    if ((x->n_key & (x->n_key - 1)) == 0) {
        pf_slice *to = pf_arena_calloc(&p->t->arena,
                                       x->n_key ? x->n_key * 2 : 1, sizeof *to);
        if (!to)
            return pf_err_nomem(p->e);
        if (x->n_key)
            memcpy(to, x->key, x->n_key * sizeof *to);
        x->key = to;
    }
    x->key[x->n_key++] = key;
    return 0;
}

/* ----------------------------------------------------------------- tokens */

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool pf_tm_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_escape(tm_parser *p, size_t digits, uint32_t *cp)
{
    *cp = 0;
    for (size_t i = 0; i < digits; i++, p->at++) {
        char c = p->at < p->n ? p->s[p->at] : 0;
        unsigned v = is_digit(c) ? (unsigned)(c - '0')
                     : (c | 32) >= 'a' && (c | 32) <= 'f'
                         ? (unsigned)((c | 32) - 'a' + 10)
                         : 16;
        if (v > 15)
            return pf_tm_refuse(p, p->at, "malformed escape",
                                (pf_slice){NULL, 0});
        *cp = *cp << 4 | v;
    }
    if (*cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000))
        return pf_tm_refuse(p, p->at, "escape of no character",
                            (pf_slice){NULL, 0});
    return 0;
}

/* A string literal with Python's escapes. */
static int lex_string(tm_parser *p, char quote)
{
    size_t from = p->at++, k = 0, room = p->at;
    while (room < p->n && p->s[room] != quote)
        room += p->s[room] == '\\' ? 2 : 1;
    /* No escape is longer than what it stands for. */
    char *out = pf_arena_alloc(&p->t->arena, PF_MIN(room, p->n) - from + 1);
    if (!out)
        return pf_err_nomem(p->e);
    while (p->at < p->n && p->s[p->at] != quote) {
        char c = p->s[p->at++];
        uint32_t cp;
        if (c != '\\' || p->at >= p->n) {
            out[k++] = c;
            continue;
        }
        c = p->s[p->at++];
        static const char from_c[] = "nrtbfav\\'\"",
                          to_c[] = "\n\r\t\b\f\a\v\\'\"";
        const char *f = memchr(from_c, c, sizeof from_c - 1);
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (f) {
            out[k++] = to_c[f - from_c];
        } else if (digits) {
            if (hex_escape(p, digits, &cp) < 0)
                return PF_E_USAGE;
            k += (size_t)pf_utf8_put(out + k, cp);
        } else if (is_digit(c)) {
            return pf_tm_refuse(p, p->at - 2, "octal escapes are not built",
                                (pf_slice){NULL, 0});
        } else if (c != '\n') { /* Python keeps unknown escapes */
            out[k++] = '\\';
            out[k++] = c;
        }
    }
    if (p->at >= p->n)
        return pf_tm_refuse(p, from, "a string does not end",
                            (pf_slice){NULL, 0});
    p->at++;
    p->k = T_STR;
    p->value = (tm_val){TM_STR, {.s = {out, k, NULL, 0, false}}};
    return 0;
}

static int lex_number(tm_parser *p)
{
    size_t from = p->at;
    int64_t v = 0;
    while (p->at < p->n && (is_digit(p->s[p->at]) || p->s[p->at] == '_')) {
        char c = p->s[p->at++];
        if (c != '_' && (!pf_mul64(v, 10, &v) || !pf_add64(v, c - '0', &v)))
            return pf_tm_refuse(p, from, "the number is too large",
                                (pf_slice){NULL, 0});
    }
    if (p->at + 1 < p->n && p->s[p->at] == '.' && is_digit(p->s[p->at + 1])) {
        double scale = 1, f = (double)v;
        for (p->at++; p->at < p->n && is_digit(p->s[p->at]); p->at++)
            f += (p->s[p->at] - '0') * (scale /= 10);
        p->k = T_FLOAT;
        p->value = (tm_val){TM_FLOAT, {.f = f}};
        return 0;
    }
    p->k = T_INT;
    p->value = (tm_val){TM_INT, {.i = v}};
    return 0;
}

int pf_tm_next(tm_parser *p)
{
    while (p->at < p->n && pf_tm_is_space(p->s[p->at]))
        p->at++;
    p->start = p->at;
    p->k = T_END;
    p->op[0] = 0;
    const char *s = p->s + p->at;
    size_t left = p->n - p->at;
    if (left == 0)
        return pf_tm_refuse(p, p->at, "the template ends inside a tag",
                            (pf_slice){NULL, 0});
    size_t sign = (s[0] == '-' || s[0] == '+') && left > 2;
    if (left >= 2 + sign && s[sign + 1] == '}' && s[sign] == '%')
        return 0;
    /* "}}" closes only outside of a dictionary: literals track it. */
    if (left >= 2 + sign && s[sign + 1] == '}' && s[sign] == '}' &&
        (sign == 0 || s[0] == '-') && p->maps == 0)
        return 0;
    if (is_alpha(s[0])) {
        size_t k = 1;
        while (k < left && (is_alpha(s[k]) || is_digit(s[k])))
            k++;
        p->k = T_NAME;
        p->word = (pf_slice){s, k};
        p->at += k;
        return 0;
    }
    if (is_digit(s[0]))
        return lex_number(p);
    if (s[0] == '"' || s[0] == '\'')
        return lex_string(p, s[0]);
    static const char *const two[] = {"==", "!=", "<=", ">=", "//", "**"};
    p->k = T_OP;
    p->op[0] = s[0];
    p->op[1] = p->op[2] = 0;
    for (size_t i = 0; i < PF_COUNTOF(two); i++)
        if (left >= 2 && memcmp(s, two[i], 2) == 0)
            p->op[1] = s[1];
    if (!strchr("+-*/%~<>=()[]{},.:|!", s[0]) || s[0] == 0)
        return pf_tm_refuse(p, p->at, "unexpected character", (pf_slice){s, 1});
    p->at += p->op[1] ? 2 : 1;
    return 0;
}

bool pf_tm_is_op(const tm_parser *p, const char *op)
{
    return p->k == T_OP && strcmp(p->op, op) == 0;
}

bool pf_tm_is_word(const tm_parser *p, const char *w)
{
    return p->k == T_NAME && pf_slice_is(p->word, w);
}

pf_slice pf_tm_here(const tm_parser *p)
{
    return (pf_slice){p->s + p->start, p->at - p->start};
}

int pf_tm_expect(tm_parser *p, const char *op)
{
    if (!pf_tm_is_op(p, op)) {
        char what[32];
        snprintf(what, sizeof what, "'%s' is wanted at", op);
        return pf_tm_refuse(p, p->start, what, pf_tm_here(p));
    }
    return pf_tm_next(p);
}
