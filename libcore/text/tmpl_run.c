/* SPDX-License-Identifier: MIT
 *
 * Statements. Loops and macros open scopes: what is set in them is gone after
 * an iteration or the call, as in Jinja; if does not. */
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tmpl_int.h"

enum { RUN_BREAK = 1, RUN_CONTINUE = 2, MAX_OUTPUT = 1 << 28, MAX_TAKEN = 1 << 30 };

static int bad(tm_ctx *x, const tm_node *n, const char *what, const tm_val *v)
{
    return pf_tm_fail(x->t, PF_E_FORMAT, n->line, n->col, x->e, "%s%s%s", what,
                      v ? " " : "", v ? pf_tm_type(v) : "");
}

/* What a for loop goes through, as a list. */
static int iterable(tm_ctx *x, const tm_node *n, const tm_val *v, tm_list **out)
{
    tm_list *l = pf_arena_calloc(x->a, 1, sizeof *l);
    *out = l;
    if (!l)
        return pf_err_nomem(x->e);
    if (v->k == TM_LIST) {
        *out = v->u.l;
    } else if (v->k == TM_MAP) {
        for (size_t i = 0; i < v->u.m->n; i++)
            if (pf_tm_list_add(l, (tm_val){TM_STR, {.s = v->u.m->key[i]}},
                               x->a) < 0)
                return pf_err_nomem(x->e);
    } else if (v->k == TM_STR) {
        int len;
        for (size_t i = 0; i < v->u.s.n; i += (size_t)len) {
            (void)pf_utf8_get(v->u.s.p + i, &len);
            tm_str c = pf_tm_sub(&v->u.s, i, i + (size_t)len, x->a);
            if (pf_tm_list_add(l, (tm_val){TM_STR, {.s = c}}, x->a) < 0)
                return pf_err_nomem(x->e);
        }
    } else if (v->k != TM_UNDEF) {
        return bad(x, n, "cannot loop over", v);
    }
    return 0;
}

/* Binds the loop's names to an item. */
static int bind(tm_ctx *x, const tm_node *n, tm_val v)
{
    if (n->n_key == 1)
        return pf_tm_set_var(x, n->key[0], v);
    if (v.k != TM_LIST || v.u.l->n != n->n_key)
        return bad(x, n, "cannot unpack", &v);
    for (size_t i = 0; i < n->n_key; i++) {
        int rc = pf_tm_set_var(x, n->key[i], v.u.l->v[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The items that pass the loop's own if. */
static int keep(tm_ctx *x, const tm_node *n, tm_list **items)
{
    tm_list *l = pf_arena_calloc(x->a, 1, sizeof *l);
    if (!l)
        return pf_err_nomem(x->e);
    for (size_t i = 0; i < (*items)->n; i++) {
        tm_val v;
        size_t vars = x->n_var;
        int rc = bind(x, n, (*items)->v[i]);
        if (rc == 0)
            rc = pf_tm_eval(x, n->b, &v);
        if (rc == 0 && pf_tm_truth(&v) &&
            pf_tm_list_add(l, (*items)->v[i], x->a) < 0)
            rc = pf_err_nomem(x->e);
        if (rc < 0)
            return rc;
        x->n_var = vars;
    }
    *items = l;
    return 0;
}

/* One map serves all iterations. */
static int loop_var(tm_ctx *x, tm_map *m, const tm_list *l, size_t i)
{
    tm_val undef = {TM_UNDEF, {0}};
    int64_t k = (int64_t)i, n = (int64_t)l->n;
    const struct {
        const char *name;
        tm_val v;
    } f[] = {
        {"index0", {TM_INT, {.i = k}}},
        {"index", {TM_INT, {.i = k + 1}}},
        {"first", {TM_BOOL, {.b = i == 0}}},
        {"last", {TM_BOOL, {.b = i + 1 == l->n}}},
        {"length", {TM_INT, {.i = n}}},
        {"revindex", {TM_INT, {.i = n - k}}},
        {"revindex0", {TM_INT, {.i = n - k - 1}}},
        {"previtem", i ? l->v[i - 1] : undef},
        {"nextitem", i + 1 < l->n ? l->v[i + 1] : undef},
    };
    for (size_t j = 0; j < PF_COUNTOF(f); j++)
        if (pf_tm_map_put(m, pf_tm_lit(f[j].name), f[j].v, x->a) < 0)
            return pf_err_nomem(x->e);
    return pf_tm_set_var(x, PF_LIT("loop"), (tm_val){TM_MAP, {.m = m}});
}

static int run_for(tm_ctx *x, const tm_node *n)
{
    tm_val v;
    tm_list *l = NULL;
    size_t scope = x->scope, vars = x->n_var;
    tm_map *loop = pf_arena_calloc(x->a, 1, sizeof *loop);
    int rc = loop ? pf_tm_eval(x, n->a, &v) : pf_err_nomem(x->e);
    if (rc == 0)
        rc = iterable(x, n, &v, &l);
    if (rc < 0)
        return rc;
    x->scope = x->n_var;
    if (n->b)
        rc = keep(x, n, &l);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        x->n_var = x->scope;
        rc = bind(x, n, l->v[i]);
        if (rc == 0)
            rc = loop_var(x, loop, l, i);
        if (rc == 0)
            rc = pf_tm_run_list(x, n->arg, n->n);
        if (rc == RUN_CONTINUE)
            rc = 0;
    }
    x->scope = scope;
    x->n_var = vars;
    if (rc == RUN_BREAK)
        return 0;
    if (rc == 0 && l->n == 0)
        rc = pf_tm_run_list(x, n->other, n->n_other);
    return rc;
}

static int run_set(tm_ctx *x, const tm_node *n)
{
    tm_val v;
    size_t from = x->out.text.n;
    int rc;
    if (n->op == TM_SETBLOCK) {
        rc = pf_tm_run_list(x, n->arg, n->n);
        if (rc == 0 && pf_tm_sink_take(&x->out, from, x->a, &v.u.s) < 0)
            rc = pf_err_nomem(x->e);
        v.k = TM_STR;
    } else {
        rc = pf_tm_eval(x, n->a, &v);
    }
    if (rc != 0)
        return rc;
    if (n->n_key == 0)
        return pf_tm_set_var(x, n->name, v);
    for (size_t i = x->n_var; i-- > 0;)
        if (pf_slice_eq(x->var[i].name, n->name)) {
            tm_str key = {n->key[0].p, n->key[0].n, NULL, 0, false};
            if (x->var[i].value.k != TM_NAMESPACE)
                break;
            return pf_tm_map_put(x->var[i].value.u.m, key, v, x->a) < 0
                       ? pf_err_nomem(x->e)
                       : 0;
        }
    return bad(x, n, "cannot set an attribute of what is no namespace", NULL);
}

int pf_tm_call_macro(tm_ctx *x, const tm_node *call, const tm_node *m,
                     tm_val *out)
{
    size_t scope = x->scope, vars = x->n_var, from = x->out.text.n;
    int rc = 0;
    if (x->depth > 60)
        return bad(x, call, "macros call each other too deep", NULL);
    tm_val *v = pf_arena_calloc(x->a, m->n_key + 1, sizeof *v);
    bool *set = pf_arena_calloc(x->a, m->n_key + 1, sizeof *set);
    if (!v || !set)
        return pf_err_nomem(x->e);
    for (size_t i = 0; i < call->n; i++) {
        size_t k = i;
        if (call->key[i].p)
            for (k = 0; k < m->n_key; k++)
                if (pf_slice_eq(m->key[k], call->key[i]))
                    break;
        if (k >= m->n_key)
            return bad(x, call, "the macro has no such parameter", NULL);
        rc = pf_tm_eval(x, call->arg[i], &v[k]);
        if (rc < 0)
            return rc;
        set[k] = true;
    }
    x->scope = x->n_var;
    for (size_t i = 0; i < m->n_key && rc == 0; i++) {
        if (!set[i] && m->other[i])
            rc = pf_tm_eval(x, m->other[i], &v[i]);
        if (rc == 0)
            rc = pf_tm_set_var(x, m->key[i], v[i]);
    }
    if (rc == 0)
        rc = pf_tm_run_list(x, m->arg, m->n);
    x->scope = scope;
    x->n_var = vars;
    out->k = TM_STR;
    if (rc == 0 && pf_tm_sink_take(&x->out, from, x->a, &out->u.s) < 0)
        rc = pf_err_nomem(x->e);
    return rc;
}

static int run_generation(tm_ctx *x, const tm_node *n)
{
    if (!PF_GROW(&x->mark, &x->cap_mark, x->n_mark + 2))
        return pf_err_nomem(x->e);
    size_t k = x->n_mark;
    x->mark[k] = x->mark[k + 1] = x->out.text.n;
    x->n_mark += 2;
    int rc = pf_tm_run_list(x, n->arg, n->n);
    x->mark[k + 1] = x->out.text.n;
    return rc;
}

static int run(tm_ctx *x, const tm_node *n)
{
    tm_val v;
    int rc;
    switch (n->op) {
    case TM_TEXT:
        pf_tm_sink_add(&x->out, &n->value.u.s);
        return 0;
    case TM_OUTPUT:
        rc = pf_tm_eval(x, n->a, &v);
        if (rc == 0 && !pf_tm_print(&x->out, &v))
            return bad(x, n, "cannot print", &v);
        return rc;
    case TM_IF:
        rc = pf_tm_eval(x, n->a, &v);
        if (rc < 0)
            return rc;
        return pf_tm_truth(&v) ? pf_tm_run_list(x, n->arg, n->n)
                               : pf_tm_run_list(x, n->other, n->n_other);
    case TM_FOR:
        return run_for(x, n);
    case TM_SET:
    case TM_SETBLOCK:
        return run_set(x, n);
    case TM_MACRODEF:
        return pf_tm_set_var(x, n->name, (tm_val){TM_MACRO, {.macro = n}});
    case TM_GENERATION:
        return run_generation(x, n);
    case TM_BREAK:
        return RUN_BREAK;
    default:
        return RUN_CONTINUE;
    }
}

int pf_tm_run_list(tm_ctx *x, tm_node *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = run(x, list[i]);
        if (rc != 0)
            return rc;
        if (pf_tm_sink_failed(&x->out))
            return pf_err_nomem(x->e);
        if (x->out.text.n > MAX_OUTPUT || x->out.taken > MAX_TAKEN)
            return pf_tm_fail(x->t, PF_E_LIMIT, list[i]->line, list[i]->col,
                              x->e, "the rendering takes too much memory");
    }
    return 0;
}
