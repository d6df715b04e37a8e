/* SPDX-License-Identifier: MIT
 *
 * Jinja source -> tree: text and tags. White space follows trim_blocks and
 * lstrip_blocks. What is not built is refused with its line and column. */
#include "text/tmpl_parse.h"

#include <stdio.h>

static int body(tm_parser *p, tm_node ***list, size_t *n, const char *enders,
                pf_slice *ender);

/* After the tokens of a tag: its end, with trim_blocks. */
static int end_tag(tm_parser *p)
{
    if (p->k != T_END)
        return pf_tm_refuse(p, p->start, "unexpected", pf_tm_here(p));
    const char *s = p->s + p->at;
    char sign = s[0] == '-' || s[0] == '+' ? *s++ : 0;
    if (s[0] != '%')
        return pf_tm_refuse(p, p->start, "'%}' is wanted", (pf_slice){NULL, 0});
    p->at = (size_t)(s + 2 - p->s);
    if (sign == '-')
        while (p->at < p->n && pf_tm_is_space(p->s[p->at]))
            p->at++;
    else if (sign != '+' && p->at < p->n && p->s[p->at] == '\n')
        p->at++;
    return 0;
}

/* body up to one of the enders, then that tag's name is consumed. */
static int block(tm_parser *p, tm_node ***list, size_t *n, const char *enders,
                 pf_slice *ender)
{
    int rc = end_tag(p);
    if (rc == 0 && ++p->depth > 90)
        rc = pf_tm_refuse(p, p->at, "nested too deep", (pf_slice){NULL, 0});
    if (rc == 0)
        rc = body(p, list, n, enders, ender);
    p->depth--;
    return rc;
}

static int parse_if(tm_parser *p, tm_node *x)
{
    pf_slice ender;
    x->a = pf_tm_expr(p);
    if (!x->a)
        return PF_E_USAGE;
    int rc = block(p, &x->arg, &x->n, " elif else endif ", &ender);
    if (rc < 0)
        return rc;
    if (pf_slice_is(ender, "elif")) {
        tm_node *y = pf_tm_new_node(p, TM_IF, p->start);
        if (!y || pf_tm_push(p, &x->other, &x->n_other, y) < 0)
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

static int parse_for(tm_parser *p, tm_node *x)
{
    pf_slice ender;
    for (;;) {
        if (p->k != T_NAME)
            return pf_tm_refuse(p, p->start, "a name is wanted at",
                                pf_tm_here(p));
        if (pf_tm_push_key(p, x, p->word) < 0 || pf_tm_next(p) < 0)
            return PF_E_USAGE;
        if (!pf_tm_is_op(p, ","))
            break;
        if (pf_tm_next(p) < 0)
            return PF_E_USAGE;
    }
    if (!pf_tm_is_word(p, "in"))
        return pf_tm_refuse(p, p->start, "'in' is wanted at", pf_tm_here(p));
    if (pf_tm_next(p) < 0 || !(x->a = pf_tm_binary(p, 0)))
        return PF_E_USAGE;
    if (pf_tm_is_word(p, "if") &&
        (pf_tm_next(p) < 0 || !(x->b = pf_tm_expr(p))))
        return PF_E_USAGE;
    if (pf_tm_is_word(p, "recursive"))
        return pf_tm_refuse(p, p->start, "recursive loops are not built",
                            (pf_slice){NULL, 0});
    p->loops++;
    int rc = block(p, &x->arg, &x->n, " else endfor ", &ender);
    p->loops--;
    if (rc == 0 && pf_slice_is(ender, "else"))
        rc = block(p, &x->other, &x->n_other, " endfor ", &ender);
    return rc < 0 ? rc : end_tag(p);
}

static int parse_set(tm_parser *p, tm_node *x)
{
    pf_slice ender;
    if (p->k != T_NAME)
        return pf_tm_refuse(p, p->start, "a name is wanted at", pf_tm_here(p));
    x->name = p->word;
    if (pf_tm_next(p) < 0)
        return PF_E_USAGE;
    if (pf_tm_is_op(p, ".")) {
        if (pf_tm_next(p) < 0 || p->k != T_NAME ||
            pf_tm_push_key(p, x, p->word) < 0 || pf_tm_next(p) < 0)
            return pf_tm_refuse(p, p->start, "a name is wanted at",
                                pf_tm_here(p));
    }
    if (pf_tm_is_op(p, "=")) {
        if (pf_tm_next(p) < 0 || !(x->a = pf_tm_expr(p)))
            return PF_E_USAGE;
        if (pf_tm_is_op(p, ","))
            return pf_tm_refuse(p, p->start, "tuples are not built",
                                (pf_slice){NULL, 0});
        return end_tag(p);
    }
    if (p->k != T_END || x->n_key)
        return pf_tm_refuse(p, p->start, "this form of set is not built at",
                            pf_tm_here(p));
    x->op = TM_SETBLOCK;
    p->captures++;
    int rc = block(p, &x->arg, &x->n, " endset ", &ender);
    p->captures--;
    return rc < 0 ? rc : end_tag(p);
}

static int parse_macro(tm_parser *p, tm_node *x)
{
    pf_slice ender;
    if (p->k != T_NAME)
        return pf_tm_refuse(p, p->start, "a name is wanted at", pf_tm_here(p));
    x->name = p->word;
    if (pf_tm_next(p) < 0 || pf_tm_expect(p, "(") < 0)
        return PF_E_USAGE;
    while (!pf_tm_is_op(p, ")")) {
        tm_node *dflt = NULL;
        if (p->k != T_NAME)
            return pf_tm_refuse(p, p->start, "a parameter is wanted at",
                                pf_tm_here(p));
        if (pf_tm_push_key(p, x, p->word) < 0 || pf_tm_next(p) < 0)
            return PF_E_USAGE;
        if (pf_tm_is_op(p, "=") &&
            (pf_tm_next(p) < 0 || !(dflt = pf_tm_expr(p))))
            return PF_E_USAGE;
        if (pf_tm_push(p, &x->other, &x->n_other, dflt) < 0)
            return PF_E_USAGE;
        if (pf_tm_is_op(p, ",") && pf_tm_next(p) < 0)
            return PF_E_USAGE;
    }
    if (pf_tm_next(p) < 0)
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
static int statement(tm_parser *p, tm_node *x)
{
    pf_slice w = p->word, ender;
    size_t at = p->start;
    if (pf_tm_next(p) < 0)
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
            return pf_tm_refuse(
                p, at, "generation inside of macro or set is not built",
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
    return pf_tm_refuse(p, at, "the tag is not built:", w);
}

/* Adds template text [from, to), cut as the tag after it says. */
static int add_text(tm_parser *p, tm_node ***list, size_t *n, size_t from,
                    size_t to, char kind, char sign)
{
    const char *s = p->s;
    if (sign == '-') {
        while (to > from && pf_tm_is_space(s[to - 1]))
            to--;
    } else if (sign != '+' && kind != '{' && kind != 0) {
        size_t i = to;
        while (i > from && pf_tm_is_space(s[i - 1]) && s[i - 1] != '\n')
            i--;
        if (i < to && (i == 0 || s[i - 1] == '\n'))
            to = i;
    }
    if (to == from)
        return 0;
    tm_node *x = pf_tm_new_node(p, TM_TEXT, from);
    if (!x)
        return PF_E_LIMIT;
    x->value = (tm_val){TM_STR, {.s = {s + from, to - from, NULL, 0, false}}};
    return pf_tm_push(p, list, n, x);
}

static int comment(tm_parser *p, size_t at)
{
    pf_slice rest = {p->s + at + 2, p->n - at - 2};
    ptrdiff_t k = pf_slice_find(rest, PF_LIT("#}"));
    if (k < 0)
        return pf_tm_refuse(p, at, "a comment does not end",
                            (pf_slice){NULL, 0});
    char sign = k > 0 ? rest.p[k - 1] : 0;
    p->at = at + 2 + (size_t)k + 2;
    if (sign == '-')
        while (p->at < p->n && pf_tm_is_space(p->s[p->at]))
            p->at++;
    else if (sign != '+' && p->at < p->n && p->s[p->at] == '\n')
        p->at++;
    return 0;
}

static int output(tm_parser *p, tm_node ***list, size_t *n)
{
    tm_node *x = pf_tm_new_node(p, TM_OUTPUT, p->at);
    if (!x || pf_tm_next(p) < 0 || !(x->a = pf_tm_expr(p)))
        return PF_E_USAGE;
    if (p->k != T_END)
        return pf_tm_refuse(p, p->start, "unexpected", pf_tm_here(p));
    const char *s = p->s + p->at;
    bool strip = s[0] == '-';
    if (s[strip] != '}')
        return pf_tm_refuse(p, p->start, "'}}' is wanted", (pf_slice){NULL, 0});
    p->at += 2 + strip;
    while (strip && p->at < p->n && pf_tm_is_space(p->s[p->at]))
        p->at++;
    return pf_tm_push(p, list, n, x);
}

/* Text and tags up to a tag named in enders (" a b "), or the end when
 * enders is NULL. */
static int body(tm_parser *p, tm_node ***list, size_t *n, const char *enders,
                pf_slice *ender)
{
    for (;;) {
        size_t from = p->at, at = from;
        while (at < p->n && !(p->s[at] == '{' && at + 1 < p->n &&
                              strchr("{%#", p->s[at + 1]) && p->s[at + 1]))
            at++;
        if (at == p->n) {
            if (enders)
                return pf_tm_refuse(p, at, "the template ends inside a block",
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
            if (pf_tm_next(p) < 0)
                return PF_E_USAGE;
            if (p->k != T_NAME)
                return pf_tm_refuse(p, p->start, "a tag is wanted at",
                                    pf_tm_here(p));
            char word[40];
            snprintf(word, sizeof word, " %.*s ",
                     (int)PF_MIN(p->word.n, (size_t)30), p->word.p);
            if (enders && strstr(enders, word)) {
                *ender = p->word;
                return pf_tm_next(p);
            }
            tm_node *x = pf_tm_new_node(p, TM_TEXT, p->start);
            rc = x ? statement(p, x) : PF_E_LIMIT;
            if (rc == 0)
                rc = pf_tm_push(p, list, n, x);
        }
        if (rc < 0)
            return rc;
    }
}

int pf_tm_parse(pf_template *t, pf_err *e)
{
    pf_err own = PF_ERR_INIT;
    tm_parser p = {.t = t, .s = t->source, .n = t->n, .line = 1, .e = &own};
    /* Jinja drops one newline at the very end. */
    if (p.n && p.s[p.n - 1] == '\n')
        p.n--;
    int rc = 0;
    t->root = pf_tm_new_node(&p, TM_GENERATION, 0);
    if (t->root)
        rc = body(&p, &t->root->arg, &t->root->n, NULL, NULL);
    if (own.code) {
        rc = own.code;
        if (e && !e->code)
            *e = own;
    }
    return t->root ? rc : pf_err_nomem(e);
}
