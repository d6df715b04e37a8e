/* SPDX-License-Identifier: MIT
 *
 * Expressions of templates: Jinja 3.1's grammar, less what no chat template
 * uses. Unknown filters, tests, methods and functions are refused here. */
#include "text/tmpl_parse.h"

#include <stdio.h>

/* Numbered as the enums of tmpl_int.h. */
static const char *const filters[] = {
    "trim",  "length", "tojson", "default", "string",  "list", "join", "upper",
    "lower", "first",  "last",   "items",   "replace", "int",  NULL};
static const char *const tests[] = {
    "defined",  "undefined", "none",   "string",  "mapping",
    "iterable", "sequence",  "number", "integer", "boolean",
    "true",     "false",     "eq",     "in",      NULL};
static const char *const methods[] = {
    "strip", "lstrip",  "rstrip", "split", "startswith", "endswith", "upper",
    "lower", "replace", "items",  "get",   "keys",       "values",   NULL};

/* A name of a table, or refusal by name. */
static int number_of(tm_parser *p, const char *const *table, pf_slice name,
                     const char *what, int *out)
{
    char msg[64];
    for (int i = 0; table[i]; i++)
        if (pf_slice_is(name, table[i])) {
            *out = i;
            return 0;
        }
    snprintf(msg, sizeof msg, "%s is not built:", what);
    return pf_tm_refuse(p, (size_t)(name.p - p->s), msg, name);
}

static tm_node *unary(tm_parser *p);

/* Arguments up to ')'; the '(' has been read. */
static int arguments(tm_parser *p, tm_node *x)
{
    while (!pf_tm_is_op(p, ")")) {
        pf_slice key = {NULL, 0};
        size_t at = p->at;
        if (p->k == T_NAME) {
            while (at < p->n && pf_tm_is_space(p->s[at]))
                at++;
            if (at + 1 < p->n && p->s[at] == '=' && p->s[at + 1] != '=') {
                key = p->word;
                if (pf_tm_next(p) < 0 || pf_tm_next(p) < 0)
                    return PF_E_USAGE;
            }
        }
        tm_node *a = pf_tm_expr(p);
        if (!a || pf_tm_push(p, &x->arg, &x->n, a) < 0 ||
            pf_tm_push_key(p, x, key) < 0)
            return PF_E_USAGE;
        if (pf_tm_is_op(p, ",")) {
            if (pf_tm_next(p) < 0)
                return PF_E_USAGE;
        } else if (!pf_tm_is_op(p, ")")) {
            return pf_tm_refuse(p, p->start, "',' or ')' is wanted at",
                                pf_tm_here(p));
        }
    }
    return pf_tm_next(p);
}

static tm_node *literal_list(tm_parser *p, const char *close)
{
    tm_node *x = pf_tm_new_node(p, TM_LISTLIT, p->start);
    while (x && !pf_tm_is_op(p, close)) {
        tm_node *a = pf_tm_expr(p);
        if (!a || pf_tm_push(p, &x->arg, &x->n, a) < 0)
            return NULL;
        if (pf_tm_is_op(p, ",")) {
            if (pf_tm_next(p) < 0)
                return NULL;
        } else if (!pf_tm_is_op(p, close)) {
            (void)pf_tm_refuse(p, p->start, "',' is wanted at", pf_tm_here(p));
            return NULL;
        }
    }
    return x && pf_tm_next(p) == 0 ? x : NULL;
}

static tm_node *literal_map(tm_parser *p)
{
    tm_node *x = pf_tm_new_node(p, TM_MAPLIT, p->start);
    p->maps++; /* "}}" does not close the tag in here */
    if (pf_tm_next(p) < 0)
        return NULL;
    while (x && !pf_tm_is_op(p, "}")) {
        tm_node *k = pf_tm_expr(p);
        if (!k || pf_tm_push(p, &x->arg, &x->n, k) < 0 ||
            pf_tm_expect(p, ":") < 0)
            return NULL;
        tm_node *v = pf_tm_expr(p);
        if (!v || pf_tm_push(p, &x->arg, &x->n, v) < 0)
            return NULL;
        if (pf_tm_is_op(p, ",")) {
            if (pf_tm_next(p) < 0)
                return NULL;
        } else if (!pf_tm_is_op(p, "}")) {
            (void)pf_tm_refuse(p, p->start, "',' or '}' is wanted at",
                               pf_tm_here(p));
            return NULL;
        }
    }
    p->maps--;
    return x && pf_tm_next(p) == 0 ? x : NULL;
}

static tm_node *constant(tm_parser *p, tm_val v)
{
    tm_node *x = pf_tm_new_node(p, TM_CONST, p->start);
    if (!x)
        return NULL;
    x->value = v;
    return pf_tm_next(p) == 0 ? x : NULL;
}

static tm_node *name(tm_parser *p)
{
    if (pf_tm_is_word(p, "true") || pf_tm_is_word(p, "True"))
        return constant(p, (tm_val){TM_BOOL, {.b = true}});
    if (pf_tm_is_word(p, "false") || pf_tm_is_word(p, "False"))
        return constant(p, (tm_val){TM_BOOL, {.b = false}});
    if (pf_tm_is_word(p, "none") || pf_tm_is_word(p, "None"))
        return constant(p, (tm_val){TM_NONE, {0}});
    tm_node *x = pf_tm_new_node(p, TM_NAME, p->start);
    if (!x)
        return NULL;
    x->name = p->word;
    return pf_tm_next(p) == 0 ? x : NULL;
}

static tm_node *primary(tm_parser *p)
{
    if (p->k == T_NAME)
        return name(p);
    if (p->k == T_STR || p->k == T_INT || p->k == T_FLOAT) {
        tm_val v = p->value;
        size_t at = p->start;
        tm_node *x = constant(p, v);
        if (x && v.k == TM_STR && p->k == T_STR)
            (void)pf_tm_refuse(p, at, "adjacent strings are not built",
                               (pf_slice){NULL, 0});
        return x && v.k == TM_STR && p->k == T_STR ? NULL : x;
    }
    if (pf_tm_is_op(p, "(")) {
        if (pf_tm_next(p) < 0)
            return NULL;
        tm_node *x = pf_tm_expr(p);
        if (x && pf_tm_is_op(p, ",")) {
            (void)pf_tm_refuse(p, p->start, "tuples are not built",
                               (pf_slice){NULL, 0});
            return NULL;
        }
        return x && pf_tm_expect(p, ")") == 0 ? x : NULL;
    }
    if (pf_tm_is_op(p, "["))
        return pf_tm_next(p) < 0 ? NULL : literal_list(p, "]");
    if (pf_tm_is_op(p, "{"))
        return literal_map(p);
    (void)pf_tm_refuse(p, p->start, "an expression is wanted at",
                       pf_tm_here(p));
    return NULL;
}

/* [item] or [from:to:step] after x. */
static tm_node *subscript(tm_parser *p, tm_node *x)
{
    tm_node *y = pf_tm_new_node(p, TM_ITEM, p->start);
    tm_node *part[3] = {NULL, NULL, NULL};
    int k = 0;
    if (!y || pf_tm_next(p) < 0)
        return NULL;
    while (!pf_tm_is_op(p, "]")) {
        if (pf_tm_is_op(p, ":")) {
            if (++k > 2 || pf_tm_next(p) < 0)
                return NULL;
            y->op = TM_SLICE;
        } else {
            part[k] = pf_tm_expr(p);
            if (!part[k])
                return NULL;
            if (!pf_tm_is_op(p, ":") && !pf_tm_is_op(p, "]")) {
                (void)pf_tm_refuse(p, p->start, "']' is wanted at",
                                   pf_tm_here(p));
                return NULL;
            }
        }
    }
    if (y->op == TM_ITEM && !part[0]) {
        (void)pf_tm_refuse(p, p->start, "an index is wanted",
                           (pf_slice){NULL, 0});
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
    return pf_tm_next(p) == 0 ? y : NULL;
}

static tm_node *call(tm_parser *p, tm_node *x)
{
    static const char *const functions[] = {"raise_exception", "namespace",
                                            "range", NULL};
    tm_node *y = pf_tm_new_node(p, TM_CALL, p->start);
    if (!y || pf_tm_next(p) < 0)
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
            (void)pf_tm_refuse(p, (size_t)(x->name.p - p->s),
                               "strftime_now is not built",
                               (pf_slice){NULL, 0});
            return NULL;
        }
    } else {
        (void)pf_tm_refuse(p, p->start, "this call is not built",
                           (pf_slice){NULL, 0});
        return NULL;
    }
    return arguments(p, y) == 0 ? y : NULL;
}

static tm_node *filter(tm_parser *p, tm_node *x)
{
    if (pf_tm_next(p) < 0)
        return NULL;
    if (p->k != T_NAME) {
        (void)pf_tm_refuse(p, p->start, "a filter is wanted at", pf_tm_here(p));
        return NULL;
    }
    pf_slice w = p->word;
    if (pf_slice_is(w, "safe") || pf_slice_is(w, "count") ||
        pf_slice_is(w, "d")) {
        if (pf_slice_is(w, "safe")) /* nothing is escaped anyway */
            return pf_tm_next(p) == 0 ? x : NULL;
        w = pf_slice_is(w, "d") ? PF_LIT("default") : PF_LIT("length");
    }
    tm_node *y = pf_tm_new_node(p, TM_FILTER, p->start);
    if (!y ||
        (w.p == p->word.p
             ? number_of(p, filters, w, "the filter", &y->fn)
             : (y->fn = pf_slice_is(w, "default") ? TM_F_DEFAULT : TM_F_LENGTH,
                0)) < 0)
        return NULL;
    y->a = x;
    if (pf_tm_next(p) < 0)
        return NULL;
    if (pf_tm_is_op(p, "(") && (pf_tm_next(p) < 0 || arguments(p, y) < 0))
        return NULL;
    return y;
}

static tm_node *test(tm_parser *p, tm_node *x)
{
    bool negate = false;
    if (pf_tm_next(p) < 0)
        return NULL;
    if (pf_tm_is_word(p, "not")) {
        negate = true;
        if (pf_tm_next(p) < 0)
            return NULL;
    }
    tm_node *y = pf_tm_new_node(p, TM_TEST, p->start);
    if (!y || p->k != T_NAME) {
        if (y)
            (void)pf_tm_refuse(p, p->start, "a test is wanted at",
                               pf_tm_here(p));
        return NULL;
    }
    pf_slice w = p->word;
    if (pf_slice_is(w, "equalto"))
        y->fn = TM_T_EQ;
    else if (number_of(p, tests, w, "the test", &y->fn) < 0)
        return NULL;
    y->a = x;
    if (pf_tm_next(p) < 0)
        return NULL;
    if (pf_tm_is_op(p, "(")) {
        if (pf_tm_next(p) < 0 || arguments(p, y) < 0)
            return NULL;
    } else if (y->fn >= TM_T_EQ) {
        tm_node *a = primary(p);
        if (!a || pf_tm_push(p, &y->arg, &y->n, a) < 0)
            return NULL;
    }
    if ((y->fn >= TM_T_EQ) != (y->n == 1)) {
        (void)pf_tm_refuse(p, p->start,
                           "wrong number of arguments for the test", w);
        return NULL;
    }
    if (!negate)
        return y;
    tm_node *z = pf_tm_new_node(p, TM_NOT, p->start);
    if (z)
        z->a = y;
    return z;
}

/* .name [index] (call) after a primary; filters and tests after those. */
static tm_node *postfix(tm_parser *p, tm_node *x, bool filters_too)
{
    while (x && p->e->code == 0) {
        if (pf_tm_is_op(p, ".")) {
            tm_node *y = pf_tm_new_node(p, TM_ATTR, p->start);
            if (!y || pf_tm_next(p) < 0)
                return NULL;
            if (p->k != T_NAME) {
                (void)pf_tm_refuse(p, p->start, "a name is wanted at",
                                   pf_tm_here(p));
                return NULL;
            }
            y->a = x;
            y->name = p->word;
            x = pf_tm_next(p) == 0 ? y : NULL;
        } else if (pf_tm_is_op(p, "[")) {
            x = subscript(p, x);
        } else if (pf_tm_is_op(p, "(")) {
            x = call(p, x);
        } else if (filters_too && pf_tm_is_op(p, "|")) {
            x = filter(p, x);
        } else if (filters_too && pf_tm_is_word(p, "is")) {
            x = test(p, x);
        } else {
            break;
        }
    }
    return x;
}

static tm_node *unary_of(tm_parser *p, bool filters_too)
{
    if (pf_tm_is_op(p, "-") || pf_tm_is_op(p, "+")) {
        bool neg = pf_tm_is_op(p, "-");
        tm_node *x = neg ? pf_tm_new_node(p, TM_NEG, p->start) : NULL;
        if ((neg && !x) || pf_tm_next(p) < 0)
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

static tm_node *unary(tm_parser *p)
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
    {"or", TM_OR, 0}, {"and", TM_AND, 1}, {"==", TM_EQ, 3},
    {"!=", TM_NE, 3}, {"<", TM_LT, 3},    {"<=", TM_LE, 3},
    {">", TM_GT, 3},  {">=", TM_GE, 3},   {"in", TM_IN, 3},
    {"+", TM_ADD, 4}, {"-", TM_SUB, 4},   {"~", TM_CONCAT, 5},
    {"*", TM_MUL, 6}, {"/", TM_DIV, 6},   {"//", TM_IDIV, 6},
    {"%", TM_MOD, 6},
};
enum { LEVEL_NOT = 2, LEVELS = 7 };

static const binary *binary_at(const tm_parser *p, int level)
{
    for (size_t i = 0; i < PF_COUNTOF(binaries); i++)
        if (binaries[i].level == level && (pf_tm_is_op(p, binaries[i].text) ||
                                           pf_tm_is_word(p, binaries[i].text)))
            return &binaries[i];
    return NULL;
}

tm_node *pf_tm_binary(tm_parser *p, int level)
{
    if (level == LEVELS)
        return unary(p);
    if (level == LEVEL_NOT) {
        if (!pf_tm_is_word(p, "not"))
            return pf_tm_binary(p, level + 1);
        tm_node *x = pf_tm_new_node(p, TM_NOT, p->start);
        if (!x || pf_tm_next(p) < 0)
            return NULL;
        x->a = pf_tm_binary(p, level);
        return x->a ? x : NULL;
    }
    tm_node *left = pf_tm_binary(p, level + 1), *first = NULL;
    while (left) {
        bool negate = level == 3 && pf_tm_is_word(p, "not");
        size_t at = p->start;
        if (negate && pf_tm_next(p) < 0)
            return NULL;
        const binary *b = binary_at(p, level);
        if (!b && !negate)
            break;
        if (negate && (!b || b->op != TM_IN)) {
            (void)pf_tm_refuse(p, at, "'not' is not expected here",
                               (pf_slice){NULL, 0});
            return NULL;
        }
        if (level == 3 && first) {
            (void)pf_tm_refuse(p, at, "chained comparisons are not built",
                               (pf_slice){NULL, 0});
            return NULL;
        }
        tm_node *x = pf_tm_new_node(p, b->op, at);
        if (!x || pf_tm_next(p) < 0)
            return NULL;
        x->a = left;
        x->b = pf_tm_binary(p, level + 1);
        if (!x->b)
            return NULL;
        left = first = x;
        if (negate) {
            left = pf_tm_new_node(p, TM_NOT, at);
            if (left)
                left->a = x;
        }
    }
    return left;
}

/* An expression with its "a if b else c" forms. */
tm_node *pf_tm_expr(tm_parser *p)
{
    if (++p->depth > 100) {
        (void)pf_tm_refuse(p, p->start, "nested too deep", (pf_slice){NULL, 0});
        return NULL;
    }
    tm_node *x = pf_tm_binary(p, 0);
    while (x && pf_tm_is_word(p, "if")) {
        tm_node *y = pf_tm_new_node(p, TM_COND, p->start);
        if (!y || pf_tm_next(p) < 0)
            return NULL;
        y->a = x;
        y->b = pf_tm_binary(p, 0);
        if (!y->b)
            return NULL;
        if (pf_tm_is_word(p, "else")) {
            if (pf_tm_next(p) < 0)
                return NULL;
            y->c = pf_tm_expr(p);
            if (!y->c)
                return NULL;
        }
        x = y;
    }
    p->depth--;
    if (x && pf_tm_is_op(p, "**")) {
        (void)pf_tm_refuse(p, p->start, "** is not built", (pf_slice){NULL, 0});
        return NULL;
    }
    return x;
}
