/* SPDX-License-Identifier: MIT
 *
 * Jinja source -> tree. The grammar is that of Jinja 3.1 for the tags and
 * operators that chat templates use; white space follows trim_blocks and
 * lstrip_blocks. What is not built is refused with its line and column. */
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tmpl_int.h"

/* Numbered as the enums of tmpl_int.h. */
static const char *const filters[] = {
    "trim", "length", "tojson", "default", "string", "list", "join", "upper",
    "lower", "first", "last", "items", "replace", "int", NULL};
static const char *const tests[] = {
    "defined", "undefined", "none", "string", "mapping", "iterable",
    "sequence", "number", "integer", "boolean", "true", "false", "eq", "in",
    NULL};
static const char *const methods[] = {
    "strip", "lstrip", "rstrip", "split", "startswith", "endswith", "upper",
    "lower", "replace", "items", "get", "keys", "values", NULL};

typedef enum tok { T_END, T_NAME, T_STR, T_INT, T_FLOAT, T_OP } tok;

typedef struct parser {
    pf_template *t;
    const char *s;
    size_t n, at;
    /* current token of an expression */
    tok k;
    char op[3];
    pf_slice word;
    tm_val value;
    size_t start; /* of it */
    int depth, loops, maps, captures;
    pf_err *e;
} parser;

int tm_fail(const pf_template *t, int code, uint32_t line, uint32_t col,
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

static void position(const parser *p, size_t at, uint32_t *line, uint32_t *col)
{
    *line = *col = 1;
    for (size_t i = 0; i < at && i < p->n; i++) {
        ++*col;
        if (p->s[i] == '\n') {
            ++*line;
            *col = 1;
        }
    }
}

static int fail(parser *p, size_t at, const char *what, pf_slice detail)
{
    uint32_t line, col;
    char q[80] = "";
    position(p, at, &line, &col);
    if (detail.p)
        pf_err_quote(q, sizeof q, detail.p, detail.n);
    return tm_fail(p->t, PF_E_USAGE, line, col, p->e, "%s%s%s", what,
                   detail.p ? " " : "", q);
}

static tm_node *node(parser *p, tm_op op, size_t at)
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

/* Appends to a list in the arena that grows by powers of two. */
static int push(parser *p, tm_node ***list, size_t *n, tm_node *x)
{
    if ((*n & (*n - 1)) == 0) {
        tm_node **to = pf_arena_calloc(&p->t->arena, *n ? *n * 2 : 1,
                                       sizeof *to);
        if (!to)
            return pf_err_nomem(p->e);
        if (*n)
            memcpy(to, *list, *n * sizeof *to);
        *list = to;
    }
    (*list)[(*n)++] = x;
    return 0;
}

static int push_key(parser *p, tm_node *x, pf_slice key)
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

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_escape(parser *p, size_t digits, uint32_t *cp)
{
    *cp = 0;
    for (size_t i = 0; i < digits; i++, p->at++) {
        char c = p->at < p->n ? p->s[p->at] : 0;
        unsigned v = is_digit(c) ? (unsigned)(c - '0')
                     : (c | 32) >= 'a' && (c | 32) <= 'f'
                         ? (unsigned)((c | 32) - 'a' + 10) : 16;
        if (v > 15)
            return fail(p, p->at, "malformed escape", (pf_slice){NULL, 0});
        *cp = *cp << 4 | v;
    }
    if (*cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000))
        return fail(p, p->at, "escape of no character", (pf_slice){NULL, 0});
    return 0;
}

/* A string literal with Python's escapes. */
static int lex_string(parser *p, char quote)
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
        static const char from_c[] = "nrtbfav\\'\"", to_c[] = "\n\r\t\b\f\a\v\\'\"";
        const char *f = memchr(from_c, c, sizeof from_c - 1);
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (f) {
            out[k++] = to_c[f - from_c];
        } else if (digits) {
            if (hex_escape(p, digits, &cp) < 0)
                return PF_E_USAGE;
            k += (size_t)pf_utf8_put(out + k, cp);
        } else if (is_digit(c)) {
            return fail(p, p->at - 2, "octal escapes are not built",
                        (pf_slice){NULL, 0});
        } else if (c != '\n') { /* Python keeps unknown escapes */
            out[k++] = '\\';
            out[k++] = c;
        }
    }
    if (p->at >= p->n)
        return fail(p, from, "a string does not end", (pf_slice){NULL, 0});
    p->at++;
    p->k = T_STR;
    p->value = (tm_val){TM_STR, {.s = {out, k, NULL, 0, false}}};
    return 0;
}

static int lex_number(parser *p)
{
    size_t from = p->at;
    int64_t v = 0;
    while (p->at < p->n && (is_digit(p->s[p->at]) || p->s[p->at] == '_')) {
        char c = p->s[p->at++];
        if (c != '_' && (!pf_mul64(v, 10, &v) || !pf_add64(v, c - '0', &v)))
            return fail(p, from, "the number is too large",
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

/* The next token of an expression; T_END at "%}", "}}" and their "-" forms. */
static int next(parser *p)
{
    while (p->at < p->n && is_space(p->s[p->at]))
        p->at++;
    p->start = p->at;
    p->k = T_END;
    p->op[0] = 0;
    const char *s = p->s + p->at;
    size_t left = p->n - p->at;
    if (left == 0)
        return fail(p, p->at, "the template ends inside a tag",
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
        return fail(p, p->at, "unexpected character", (pf_slice){s, 1});
    p->at += p->op[1] ? 2 : 1;
    return 0;
}

static bool is_op(const parser *p, const char *op)
{
    return p->k == T_OP && strcmp(p->op, op) == 0;
}

static bool is_word(const parser *p, const char *w)
{
    return p->k == T_NAME && pf_slice_is(p->word, w);
}

static pf_slice here(const parser *p)
{
    return (pf_slice){p->s + p->start, p->at - p->start};
}

static int expect(parser *p, const char *op)
{
    if (!is_op(p, op)) {
        char what[32];
        snprintf(what, sizeof what, "'%s' is wanted at", op);
        return fail(p, p->start, what, here(p));
    }
    return next(p);
}

/* A name of a table, or refusal by name. */
static int number_of(parser *p, const char *const *table, pf_slice name,
                     const char *what, int *out)
{
    char msg[64];
    for (int i = 0; table[i]; i++)
        if (pf_slice_is(name, table[i])) {
            *out = i;
            return 0;
        }
    snprintf(msg, sizeof msg, "%s is not built:", what);
    return fail(p, (size_t)(name.p - p->s), msg, name);
}

/* ------------------------------------------------------------ expressions */

static tm_node *expr(parser *p);
static tm_node *unary(parser *p);

/* Arguments up to ')'; the '(' has been read. */
static int arguments(parser *p, tm_node *x)
{
    while (!is_op(p, ")")) {
        pf_slice key = {NULL, 0};
        size_t at = p->at;
        if (p->k == T_NAME) {
            while (at < p->n && is_space(p->s[at]))
                at++;
            if (at + 1 < p->n && p->s[at] == '=' && p->s[at + 1] != '=') {
                key = p->word;
                if (next(p) < 0 || next(p) < 0)
                    return PF_E_USAGE;
            }
        }
        tm_node *a = expr(p);
        if (!a || push(p, &x->arg, &x->n, a) < 0 || push_key(p, x, key) < 0)
            return PF_E_USAGE;
        if (is_op(p, ",")) {
            if (next(p) < 0)
                return PF_E_USAGE;
        } else if (!is_op(p, ")")) {
            return fail(p, p->start, "',' or ')' is wanted at", here(p));
        }
    }
    return next(p);
}

static tm_node *literal_list(parser *p, const char *close)
{
    tm_node *x = node(p, TM_LISTLIT, p->start);
    while (x && !is_op(p, close)) {
        tm_node *a = expr(p);
        if (!a || push(p, &x->arg, &x->n, a) < 0)
            return NULL;
        if (is_op(p, ",")) {
            if (next(p) < 0)
                return NULL;
        } else if (!is_op(p, close)) {
            (void)fail(p, p->start, "',' is wanted at", here(p));
            return NULL;
        }
    }
    return x && next(p) == 0 ? x : NULL;
}

static tm_node *literal_map(parser *p)
{
    tm_node *x = node(p, TM_MAPLIT, p->start);
    p->maps++; /* "}}" does not close the tag in here */
    if (next(p) < 0)
        return NULL;
    while (x && !is_op(p, "}")) {
        tm_node *k = expr(p);
        if (!k || push(p, &x->arg, &x->n, k) < 0 || expect(p, ":") < 0)
            return NULL;
        tm_node *v = expr(p);
        if (!v || push(p, &x->arg, &x->n, v) < 0)
            return NULL;
        if (is_op(p, ",")) {
            if (next(p) < 0)
                return NULL;
        } else if (!is_op(p, "}")) {
            (void)fail(p, p->start, "',' or '}' is wanted at", here(p));
            return NULL;
        }
    }
    p->maps--;
    return x && next(p) == 0 ? x : NULL;
}

static tm_node *constant(parser *p, tm_val v)
{
    tm_node *x = node(p, TM_CONST, p->start);
    if (!x)
        return NULL;
    x->value = v;
    return next(p) == 0 ? x : NULL;
}

static tm_node *name(parser *p)
{
    if (is_word(p, "true") || is_word(p, "True"))
        return constant(p, (tm_val){TM_BOOL, {.b = true}});
    if (is_word(p, "false") || is_word(p, "False"))
        return constant(p, (tm_val){TM_BOOL, {.b = false}});
    if (is_word(p, "none") || is_word(p, "None"))
        return constant(p, (tm_val){TM_NONE, {0}});
    tm_node *x = node(p, TM_NAME, p->start);
    if (!x)
        return NULL;
    x->name = p->word;
    return next(p) == 0 ? x : NULL;
}

static tm_node *primary(parser *p)
{
    if (p->k == T_NAME)
        return name(p);
    if (p->k == T_STR || p->k == T_INT || p->k == T_FLOAT) {
        tm_val v = p->value;
        size_t at = p->start;
        tm_node *x = constant(p, v);
        if (x && v.k == TM_STR && p->k == T_STR)
            (void)fail(p, at, "adjacent strings are not built",
                       (pf_slice){NULL, 0});
        return x && v.k == TM_STR && p->k == T_STR ? NULL : x;
    }
    if (is_op(p, "(")) {
        if (next(p) < 0)
            return NULL;
        tm_node *x = expr(p);
        if (x && is_op(p, ",")) {
            (void)fail(p, p->start, "tuples are not built",
                       (pf_slice){NULL, 0});
            return NULL;
        }
        return x && expect(p, ")") == 0 ? x : NULL;
    }
    if (is_op(p, "["))
        return next(p) < 0 ? NULL : literal_list(p, "]");
    if (is_op(p, "{"))
        return literal_map(p);
    (void)fail(p, p->start, "an expression is wanted at", here(p));
    return NULL;
}

/* [item] or [from:to:step] after x. */
static tm_node *subscript(parser *p, tm_node *x)
{
    tm_node *y = node(p, TM_ITEM, p->start);
    tm_node *part[3] = {NULL, NULL, NULL};
    int k = 0;
    if (!y || next(p) < 0)
        return NULL;
    while (!is_op(p, "]")) {
        if (is_op(p, ":")) {
            if (++k > 2 || next(p) < 0)
                return NULL;
            y->op = TM_SLICE;
        } else {
            part[k] = expr(p);
            if (!part[k])
                return NULL;
            if (!is_op(p, ":") && !is_op(p, "]")) {
                (void)fail(p, p->start, "']' is wanted at", here(p));
                return NULL;
            }
        }
    }
    if (y->op == TM_ITEM && !part[0]) {
        (void)fail(p, p->start, "an index is wanted", (pf_slice){NULL, 0});
        return NULL;
    }
    y->a = x;
    if (y->op == TM_ITEM) {
        y->b = part[0];
    } else {
        y->arg = pf_arena_calloc(&p->t->arena, 3, sizeof *y->arg);
        if (!y->arg)
            return NULL;
        memcpy(y->arg, part, sizeof part);
        y->n = 3;
    }
    return next(p) == 0 ? y : NULL;
}

static tm_node *call(parser *p, tm_node *x)
{
    static const char *const functions[] = {"raise_exception", "namespace",
                                            "range", NULL};
    tm_node *y = node(p, TM_CALL, p->start);
    if (!y || next(p) < 0)
        return NULL;
    y->fn = TM_G_MACRO;
    y->name = x->name;
    if (x->op == TM_ATTR) {
        y->op = TM_METHOD;
        y->a = x->a;
        if (number_of(p, methods, x->name, "the method", &y->fn) < 0)
            return NULL;
    } else if (x->op == TM_NAME) {
        for (int i = 0; functions[i]; i++)
            if (pf_slice_is(x->name, functions[i]))
                y->fn = TM_G_RAISE + i;
        if (pf_slice_is(x->name, "strftime_now")) {
            (void)fail(p, (size_t)(x->name.p - p->s),
                       "strftime_now is not built", (pf_slice){NULL, 0});
            return NULL;
        }
    } else {
        (void)fail(p, p->start, "this call is not built",
                   (pf_slice){NULL, 0});
        return NULL;
    }
    return arguments(p, y) == 0 ? y : NULL;
}

static tm_node *filter(parser *p, tm_node *x)
{
    if (next(p) < 0)
        return NULL;
    if (p->k != T_NAME) {
        (void)fail(p, p->start, "a filter is wanted at", here(p));
        return NULL;
    }
    pf_slice w = p->word;
    if (pf_slice_is(w, "safe") || pf_slice_is(w, "count") ||
        pf_slice_is(w, "d")) {
        if (pf_slice_is(w, "safe")) /* nothing is escaped anyway */
            return next(p) == 0 ? x : NULL;
        w = pf_slice_is(w, "d") ? PF_LIT("default") : PF_LIT("length");
    }
    tm_node *y = node(p, TM_FILTER, p->start);
    if (!y || (w.p == p->word.p ? number_of(p, filters, w, "the filter",
                                            &y->fn)
                                : (y->fn = pf_slice_is(w, "default")
                                               ? TM_F_DEFAULT : TM_F_LENGTH,
                                   0)) < 0)
        return NULL;
    y->a = x;
    if (next(p) < 0)
        return NULL;
    if (is_op(p, "(") && (next(p) < 0 || arguments(p, y) < 0))
        return NULL;
    return y;
}

static tm_node *test(parser *p, tm_node *x)
{
    bool negate = false;
    if (next(p) < 0)
        return NULL;
    if (is_word(p, "not")) {
        negate = true;
        if (next(p) < 0)
            return NULL;
    }
    tm_node *y = node(p, TM_TEST, p->start);
    if (!y || p->k != T_NAME) {
        if (y)
            (void)fail(p, p->start, "a test is wanted at", here(p));
        return NULL;
    }
    pf_slice w = p->word;
    if (pf_slice_is(w, "equalto"))
        y->fn = TM_T_EQ;
    else if (number_of(p, tests, w, "the test", &y->fn) < 0)
        return NULL;
    y->a = x;
    if (next(p) < 0)
        return NULL;
    if (is_op(p, "(")) {
        if (next(p) < 0 || arguments(p, y) < 0)
            return NULL;
    } else if (y->fn >= TM_T_EQ) {
        tm_node *a = primary(p);
        if (!a || push(p, &y->arg, &y->n, a) < 0)
            return NULL;
    }
    if ((y->fn >= TM_T_EQ) != (y->n == 1)) {
        (void)fail(p, p->start, "wrong number of arguments for the test", w);
        return NULL;
    }
    if (!negate)
        return y;
    tm_node *z = node(p, TM_NOT, p->start);
    if (z)
        z->a = y;
    return z;
}

/* .name [index] (call) after a primary; filters and tests after those. */
static tm_node *postfix(parser *p, tm_node *x, bool filters_too)
{
    while (x && p->e->code == 0) {
        if (is_op(p, ".")) {
            tm_node *y = node(p, TM_ATTR, p->start);
            if (!y || next(p) < 0)
                return NULL;
            if (p->k != T_NAME) {
                (void)fail(p, p->start, "a name is wanted at", here(p));
                return NULL;
            }
            y->a = x;
            y->name = p->word;
            x = next(p) == 0 ? y : NULL;
        } else if (is_op(p, "[")) {
            x = subscript(p, x);
        } else if (is_op(p, "(")) {
            x = call(p, x);
        } else if (filters_too && is_op(p, "|")) {
            x = filter(p, x);
        } else if (filters_too && is_word(p, "is")) {
            x = test(p, x);
        } else {
            break;
        }
    }
    return x;
}

static tm_node *unary_of(parser *p, bool filters_too)
{
    if (is_op(p, "-") || is_op(p, "+")) {
        bool neg = is_op(p, "-");
        tm_node *x = neg ? node(p, TM_NEG, p->start) : NULL;
        if ((neg && !x) || next(p) < 0)
            return NULL;
        tm_node *a = unary_of(p, false);
        if (neg && a) {
            x->a = a;
            a = x;
        }
        return filters_too ? postfix(p, a, true) : a;
    }
    return postfix(p, primary(p), filters_too);
}

static tm_node *unary(parser *p)
{
    return unary_of(p, true);
}

/* Binary operators by level, loosest first. */
typedef struct binary {
    const char *text;
    tm_op op;
    int level;
} binary;
static const binary binaries[] = {
    {"or", TM_OR, 0}, {"and", TM_AND, 1},
    {"==", TM_EQ, 3}, {"!=", TM_NE, 3}, {"<", TM_LT, 3}, {"<=", TM_LE, 3},
    {">", TM_GT, 3}, {">=", TM_GE, 3}, {"in", TM_IN, 3},
    {"+", TM_ADD, 4}, {"-", TM_SUB, 4}, {"~", TM_CONCAT, 5},
    {"*", TM_MUL, 6}, {"/", TM_DIV, 6}, {"//", TM_IDIV, 6}, {"%", TM_MOD, 6},
};
enum { LEVEL_NOT = 2, LEVELS = 7 };

static const binary *binary_at(const parser *p, int level)
{
    for (size_t i = 0; i < PF_COUNTOF(binaries); i++)
        if (binaries[i].level == level &&
            (is_op(p, binaries[i].text) || is_word(p, binaries[i].text)))
            return &binaries[i];
    return NULL;
}

static tm_node *binary_level(parser *p, int level)
{
    if (level == LEVELS)
        return unary(p);
    if (level == LEVEL_NOT) {
        if (!is_word(p, "not"))
            return binary_level(p, level + 1);
        tm_node *x = node(p, TM_NOT, p->start);
        if (!x || next(p) < 0)
            return NULL;
        x->a = binary_level(p, level);
        return x->a ? x : NULL;
    }
    tm_node *left = binary_level(p, level + 1), *first = NULL;
    while (left) {
        bool negate = level == 3 && is_word(p, "not");
        size_t at = p->start;
        if (negate && next(p) < 0)
            return NULL;
        const binary *b = binary_at(p, level);
        if (!b && !negate)
            break;
        if (negate && (!b || b->op != TM_IN)) {
            (void)fail(p, at, "'not' is not expected here",
                       (pf_slice){NULL, 0});
            return NULL;
        }
        if (level == 3 && first) {
            (void)fail(p, at, "chained comparisons are not built",
                       (pf_slice){NULL, 0});
            return NULL;
        }
        tm_node *x = node(p, b->op, at);
        if (!x || next(p) < 0)
            return NULL;
        x->a = left;
        x->b = binary_level(p, level + 1);
        if (!x->b)
            return NULL;
        left = first = x;
        if (negate) {
            left = node(p, TM_NOT, at);
            if (left)
                left->a = x;
        }
    }
    return left;
}

/* An expression with its "a if b else c" forms. */
static tm_node *expr(parser *p)
{
    if (++p->depth > 100) {
        (void)fail(p, p->start, "nested too deep", (pf_slice){NULL, 0});
        return NULL;
    }
    tm_node *x = binary_level(p, 0);
    while (x && is_word(p, "if")) {
        tm_node *y = node(p, TM_COND, p->start);
        if (!y || next(p) < 0)
            return NULL;
        y->a = x;
        y->b = binary_level(p, 0);
        if (!y->b)
            return NULL;
        if (is_word(p, "else")) {
            if (next(p) < 0)
                return NULL;
            y->c = expr(p);
            if (!y->c)
                return NULL;
        }
        x = y;
    }
    p->depth--;
    if (x && is_op(p, "**")) {
        (void)fail(p, p->start, "** is not built", (pf_slice){NULL, 0});
        return NULL;
    }
    return x;
}

/* -------------------------------------------------------------- statements */

static int body(parser *p, tm_node ***list, size_t *n, const char *enders,
                pf_slice *ender);

/* After the tokens of a tag: its end, with trim_blocks. */
static int end_tag(parser *p)
{
    if (p->k != T_END)
        return fail(p, p->start, "unexpected", here(p));
    const char *s = p->s + p->at;
    char sign = s[0] == '-' || s[0] == '+' ? *s++ : 0;
    if (s[0] != '%')
        return fail(p, p->start, "'%}' is wanted", (pf_slice){NULL, 0});
    p->at = (size_t)(s + 2 - p->s);
    if (sign == '-')
        while (p->at < p->n && is_space(p->s[p->at]))
            p->at++;
    else if (sign != '+' && p->at < p->n && p->s[p->at] == '\n')
        p->at++;
    return 0;
}

/* body up to one of the enders, then that tag's name is consumed. */
static int block(parser *p, tm_node ***list, size_t *n, const char *enders,
                 pf_slice *ender)
{
    int rc = end_tag(p);
    if (rc == 0 && ++p->depth > 90)
        rc = fail(p, p->at, "nested too deep", (pf_slice){NULL, 0});
    if (rc == 0)
        rc = body(p, list, n, enders, ender);
    p->depth--;
    return rc;
}

static int parse_if(parser *p, tm_node *x)
{
    pf_slice ender;
    x->a = expr(p);
    if (!x->a)
        return PF_E_USAGE;
    int rc = block(p, &x->arg, &x->n, " elif else endif ", &ender);
    if (rc < 0)
        return rc;
    if (pf_slice_is(ender, "elif")) {
        tm_node *y = node(p, TM_IF, p->start);
        if (!y || push(p, &x->other, &x->n_other, y) < 0)
            return PF_E_USAGE;
        return parse_if(p, y); /* its endif is ours too */
    }
    if (pf_slice_is(ender, "else")) {
        rc = block(p, &x->other, &x->n_other, " endif ", &ender);
        if (rc < 0)
            return rc;
    }
    return end_tag(p);
}

static int parse_for(parser *p, tm_node *x)
{
    pf_slice ender;
    for (;;) {
        if (p->k != T_NAME)
            return fail(p, p->start, "a name is wanted at", here(p));
        if (push_key(p, x, p->word) < 0 || next(p) < 0)
            return PF_E_USAGE;
        if (!is_op(p, ","))
            break;
        if (next(p) < 0)
            return PF_E_USAGE;
    }
    if (!is_word(p, "in"))
        return fail(p, p->start, "'in' is wanted at", here(p));
    if (next(p) < 0 || !(x->a = binary_level(p, 0)))
        return PF_E_USAGE;
    if (is_word(p, "if") && (next(p) < 0 || !(x->b = expr(p))))
        return PF_E_USAGE;
    if (is_word(p, "recursive"))
        return fail(p, p->start, "recursive loops are not built",
                    (pf_slice){NULL, 0});
    p->loops++;
    int rc = block(p, &x->arg, &x->n, " else endfor ", &ender);
    p->loops--;
    if (rc == 0 && pf_slice_is(ender, "else"))
        rc = block(p, &x->other, &x->n_other, " endfor ", &ender);
    return rc < 0 ? rc : end_tag(p);
}

static int parse_set(parser *p, tm_node *x)
{
    pf_slice ender;
    if (p->k != T_NAME)
        return fail(p, p->start, "a name is wanted at", here(p));
    x->name = p->word;
    if (next(p) < 0)
        return PF_E_USAGE;
    if (is_op(p, ".")) {
        if (next(p) < 0 || p->k != T_NAME || push_key(p, x, p->word) < 0 ||
            next(p) < 0)
            return fail(p, p->start, "a name is wanted at", here(p));
    }
    if (is_op(p, "=")) {
        if (next(p) < 0 || !(x->a = expr(p)))
            return PF_E_USAGE;
        if (is_op(p, ","))
            return fail(p, p->start, "tuples are not built",
                        (pf_slice){NULL, 0});
        return end_tag(p);
    }
    if (p->k != T_END || x->n_key)
        return fail(p, p->start, "this form of set is not built at", here(p));
    x->op = TM_SETBLOCK;
    p->captures++;
    int rc = block(p, &x->arg, &x->n, " endset ", &ender);
    p->captures--;
    return rc < 0 ? rc : end_tag(p);
}

static int parse_macro(parser *p, tm_node *x)
{
    pf_slice ender;
    if (p->k != T_NAME)
        return fail(p, p->start, "a name is wanted at", here(p));
    x->name = p->word;
    if (next(p) < 0 || expect(p, "(") < 0)
        return PF_E_USAGE;
    while (!is_op(p, ")")) {
        tm_node *dflt = NULL;
        if (p->k != T_NAME)
            return fail(p, p->start, "a parameter is wanted at", here(p));
        if (push_key(p, x, p->word) < 0 || next(p) < 0)
            return PF_E_USAGE;
        if (is_op(p, "=") && (next(p) < 0 || !(dflt = expr(p))))
            return PF_E_USAGE;
        if (push(p, &x->other, &x->n_other, dflt) < 0)
            return PF_E_USAGE;
        if (is_op(p, ",") && next(p) < 0)
            return PF_E_USAGE;
    }
    if (next(p) < 0)
        return PF_E_USAGE;
    int loops = p->loops;
    p->loops = 0;
    p->captures++;
    int rc = block(p, &x->arg, &x->n, " endmacro ", &ender);
    p->captures--;
    p->loops = loops;
    return rc < 0 ? rc : end_tag(p);
}

/* A tag whose first word has been read. */
static int statement(parser *p, tm_node *x)
{
    pf_slice w = p->word, ender;
    size_t at = p->start;
    if (next(p) < 0)
        return PF_E_USAGE;
    if (pf_slice_is(w, "if")) {
        x->op = TM_IF;
        return parse_if(p, x);
    }
    if (pf_slice_is(w, "for")) {
        x->op = TM_FOR;
        return parse_for(p, x);
    }
    if (pf_slice_is(w, "set")) {
        x->op = TM_SET;
        return parse_set(p, x);
    }
    if (pf_slice_is(w, "macro")) {
        x->op = TM_MACRODEF;
        return parse_macro(p, x);
    }
    if (pf_slice_is(w, "generation")) {
        if (p->captures)
            return fail(p, at, "generation inside of macro or set is not built",
                        (pf_slice){NULL, 0});
        x->op = TM_GENERATION;
        p->t->has_generation = true;
        int rc = block(p, &x->arg, &x->n, " endgeneration ", &ender);
        return rc < 0 ? rc : end_tag(p);
    }
    if (p->loops > 0 &&
        (pf_slice_is(w, "break") || pf_slice_is(w, "continue"))) {
        x->op = pf_slice_is(w, "break") ? TM_BREAK : TM_CONTINUE;
        return end_tag(p);
    }
    return fail(p, at, "the tag is not built:", w);
}

/* Adds template text [from, to), cut as the tag after it says. */
static int add_text(parser *p, tm_node ***list, size_t *n, size_t from,
                    size_t to, char kind, char sign)
{
    const char *s = p->s;
    if (sign == '-') {
        while (to > from && is_space(s[to - 1]))
            to--;
    } else if (sign != '+' && kind != '{' && kind != 0) {
        size_t i = to;
        while (i > from && is_space(s[i - 1]) && s[i - 1] != '\n')
            i--;
        if (i < to && (i == 0 || s[i - 1] == '\n'))
            to = i;
    }
    if (to == from)
        return 0;
    tm_node *x = node(p, TM_TEXT, from);
    if (!x)
        return PF_E_LIMIT;
    x->value = (tm_val){TM_STR, {.s = {s + from, to - from, NULL, 0, false}}};
    return push(p, list, n, x);
}

static int comment(parser *p, size_t at)
{
    pf_slice rest = {p->s + at + 2, p->n - at - 2};
    ptrdiff_t k = pf_slice_find(rest, PF_LIT("#}"));
    if (k < 0)
        return fail(p, at, "a comment does not end", (pf_slice){NULL, 0});
    char sign = k > 0 ? rest.p[k - 1] : 0;
    p->at = at + 2 + (size_t)k + 2;
    if (sign == '-')
        while (p->at < p->n && is_space(p->s[p->at]))
            p->at++;
    else if (sign != '+' && p->at < p->n && p->s[p->at] == '\n')
        p->at++;
    return 0;
}

static int output(parser *p, tm_node ***list, size_t *n)
{
    tm_node *x = node(p, TM_OUTPUT, p->at);
    if (!x || next(p) < 0 || !(x->a = expr(p)))
        return PF_E_USAGE;
    if (p->k != T_END)
        return fail(p, p->start, "unexpected", here(p));
    const char *s = p->s + p->at;
    bool strip = s[0] == '-';
    if (s[strip] != '}')
        return fail(p, p->start, "'}}' is wanted", (pf_slice){NULL, 0});
    p->at += 2 + strip;
    while (strip && p->at < p->n && is_space(p->s[p->at]))
        p->at++;
    return push(p, list, n, x);
}

/* Text and tags up to a tag named in enders (" a b "), or the end when
 * enders is NULL. */
static int body(parser *p, tm_node ***list, size_t *n, const char *enders,
                pf_slice *ender)
{
    for (;;) {
        size_t from = p->at, at = from;
        while (at < p->n && !(p->s[at] == '{' && at + 1 < p->n &&
                              strchr("{%#", p->s[at + 1]) && p->s[at + 1]))
            at++;
        if (at == p->n) {
            if (enders)
                return fail(p, at, "the template ends inside a block",
                            (pf_slice){NULL, 0});
            p->at = at;
            return add_text(p, list, n, from, at, 0, 0);
        }
        char kind = p->s[at + 1];
        char sign = at + 2 < p->n ? p->s[at + 2] : 0;
        sign = sign == '-' || sign == '+' ? sign : 0;
        int rc = add_text(p, list, n, from, at, kind, sign);
        if (rc < 0)
            return rc;
        p->at = at + 2 + (sign != 0);
        if (kind == '#') {
            rc = comment(p, at);
        } else if (kind == '{') {
            rc = output(p, list, n);
        } else {
            if (next(p) < 0)
                return PF_E_USAGE;
            if (p->k != T_NAME)
                return fail(p, p->start, "a tag is wanted at", here(p));
            char word[40];
            snprintf(word, sizeof word, " %.*s ",
                     (int)PF_MIN(p->word.n, (size_t)30), p->word.p);
            if (enders && strstr(enders, word)) {
                *ender = p->word;
                return next(p);
            }
            tm_node *x = node(p, TM_TEXT, p->start);
            rc = x ? statement(p, x) : PF_E_LIMIT;
            if (rc == 0)
                rc = push(p, list, n, x);
        }
        if (rc < 0)
            return rc;
    }
}

int tm_parse(pf_template *t, pf_err *e)
{
    pf_err own = PF_ERR_INIT;
    parser p = {.t = t, .s = t->source, .n = t->n, .e = &own};
    /* Jinja drops one newline at the very end. */
    if (p.n && p.s[p.n - 1] == '\n')
        p.n--;
    int rc = 0;
    t->root = node(&p, TM_GENERATION, 0);
    if (t->root)
        rc = body(&p, &t->root->arg, &t->root->n, NULL, NULL);
    if (own.code) {
        rc = own.code;
        if (e && !e->code)
            *e = own;
    }
    return t->root ? rc : pf_err_nomem(e);
}
