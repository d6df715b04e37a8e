/* SPDX-License-Identifier: MIT
 *
 * Expressions. Undefined values behave as Jinja's default Undefined: false,
 * empty when printed or looped over, an error when anything else is asked of
 * them. */
#include "text/tmpl_int.h"

#include "base/mem.h"
#include "base/utf8.h"

enum { MAX_STEPS = 4000000, MAX_DEPTH = 200 };

static int bad(tm_ctx *x, const tm_node *n, const char *what, const tm_val *v)
{
    return pf_tm_fail(x->t, PF_E_FORMAT, n->line, n->col, x->e, "%s%s%s", what,
                      v ? " " : "", v ? pf_tm_type(v) : "");
}

int pf_tm_set_var(tm_ctx *x, pf_slice name, tm_val v)
{
    for (size_t i = x->n_var; i-- > x->scope;)
        if (pf_slice_eq(x->var[i].name, name)) {
            x->var[i].value = v;
            return 0;
        }
    if (!PF_GROW(&x->var, &x->cap_var, x->n_var + 1))
        return pf_err_nomem(x->e);
    x->var[x->n_var++] = (tm_var){name, v};
    return 0;
}

static void find_var(const tm_ctx *x, pf_slice name, tm_val *out)
{
    *out = (tm_val){TM_UNDEF, {0}};
    for (size_t i = x->n_var; i-- > 0;)
        if (pf_slice_eq(x->var[i].name, name)) {
            *out = x->var[i].value;
            return;
        }
}

static int attribute(tm_ctx *x, const tm_node *n, const tm_val *v,
                     const tm_str *key, tm_val *out)
{
    *out = (tm_val){TM_UNDEF, {0}};
    if (v->k == TM_UNDEF)
        return bad(x, n, "an attribute of", v);
    if (v->k == TM_MAP || v->k == TM_NAMESPACE) {
        const tm_val *f = pf_tm_map_get(v->u.m, key);
        if (f)
            *out = *f;
    }
    return 0;
}

/* Byte offset of the k-th character, or n. */
static size_t char_at(const tm_str *s, int64_t k)
{
    size_t i = 0;
    int len;
    for (; k > 0 && i < s->n; k--, i += (size_t)len)
        (void)pf_utf8_get(s->p + i, &len);
    return i;
}

static int64_t char_count(const tm_str *s)
{
    int64_t k = 0;
    for (size_t i = 0; i < s->n; i++)
        k += ((unsigned char)s->p[i] & 0xc0) != 0x80;
    return k;
}

static int item(tm_ctx *x, const tm_node *n, const tm_val *v, const tm_val *key,
                tm_val *out)
{
    if (key->k == TM_STR)
        return attribute(x, n, v, &key->u.s, out);
    *out = (tm_val){TM_UNDEF, {0}};
    if (v->k == TM_UNDEF)
        return bad(x, n, "an item of", v);
    if (key->k != TM_INT || (v->k != TM_LIST && v->k != TM_STR))
        return 0;
    int64_t size = v->k == TM_LIST ? (int64_t)v->u.l->n : char_count(&v->u.s);
    int64_t i = key->u.i < 0 ? key->u.i + size : key->u.i;
    if (i < 0 || i >= size)
        return 0;
    if (v->k == TM_LIST) {
        *out = v->u.l->v[i];
        return 0;
    }
    size_t from = char_at(&v->u.s, i), to = char_at(&v->u.s, i + 1);
    *out = (tm_val){TM_STR, {.s = pf_tm_sub(&v->u.s, from, to, x->a)}};
    return 0;
}

/* A slice bound: v or dflt, counted from the end when negative, clamped. */
static int bound(tm_ctx *x, const tm_node *n, int64_t size, int64_t lo,
                 int64_t hi, int64_t dflt, int64_t *out)
{
    tm_val v;
    *out = dflt;
    if (!n)
        return 0;
    int rc = pf_tm_eval(x, n, &v);
    if (rc < 0 || v.k == TM_NONE)
        return rc;
    if (v.k != TM_INT)
        return bad(x, n, "a slice by", &v);
    int64_t i = v.u.i < 0 ? v.u.i + size : v.u.i;
    *out = i < lo ? lo : i > hi ? hi : i;
    return 0;
}

static int slice(tm_ctx *x, const tm_node *n, tm_val *out)
{
    tm_val v, s = {TM_INT, {.i = 1}};
    int64_t from, to;
    int rc = pf_tm_eval(x, n->a, &v);
    if (rc == 0 && n->arg[2])
        rc = pf_tm_eval(x, n->arg[2], &s);
    if (rc < 0)
        return rc;
    if (s.k != TM_INT || s.u.i == 0 || s.u.i < -1000 || s.u.i > 1000)
        return bad(x, n, "a slice step by", &s);
    if (v.k != TM_LIST && v.k != TM_STR)
        return bad(x, n, "a slice of", &v);
    int64_t size = v.k == TM_LIST ? (int64_t)v.u.l->n : char_count(&v.u.s);
    bool back = s.u.i < 0;
    int64_t lo = back ? -1 : 0, hi = back ? size - 1 : size;
    rc = bound(x, n->arg[0], size, lo, hi, back ? hi : lo, &from);
    if (rc == 0)
        rc = bound(x, n->arg[1], size, lo, hi, back ? lo : hi, &to);
    if (rc < 0)
        return rc;
    if (v.k == TM_STR) {
        if (s.u.i != 1)
            return bad(x, n, "a slice with a step of", &v);
        size_t a = char_at(&v.u.s, from), b = char_at(&v.u.s, to);
        *out =
            (tm_val){TM_STR, {.s = pf_tm_sub(&v.u.s, a, PF_MAX(a, b), x->a)}};
        return 0;
    }
    tm_list *l = pf_arena_calloc(x->a, 1, sizeof *l);
    if (!l)
        return pf_err_nomem(x->e);
    for (int64_t i = from; back ? i > to : i < to; i += s.u.i)
        if (pf_tm_list_add(l, v.u.l->v[i], x->a) < 0)
            return pf_err_nomem(x->e);
    *out = (tm_val){TM_LIST, {.l = l}};
    return 0;
}

/* Python's floor division and modulo. */
static int arithmetic(tm_ctx *x, const tm_node *n, const tm_val *a,
                      const tm_val *b, tm_val *out)
{
    int64_t p = a->k == TM_BOOL ? a->u.b : a->u.i;
    int64_t q = b->k == TM_BOOL ? b->u.b : b->u.i, r = 0;
    bool ok = true;
    if ((a->k != TM_INT && a->k != TM_BOOL) ||
        (b->k != TM_INT && b->k != TM_BOOL))
        return bad(x, n, "this arithmetic is not built for",
                   a->k == TM_INT ? b : a);
    if (n->op == TM_DIV ||
        ((n->op == TM_MOD || n->op == TM_IDIV) && (q == 0 || q == -1)))
        return bad(x, n, "this division is not built", NULL);
    if (n->op == TM_ADD) {
        ok = pf_add64(p, q, &r);
    } else if (n->op == TM_SUB) {
        ok = !__builtin_sub_overflow(p, q, &r);
    } else if (n->op == TM_MUL) {
        ok = pf_mul64(p, q, &r);
    } else {
        int64_t m = p % q;
        bool fix = m != 0 && (m < 0) != (q < 0);
        r = n->op == TM_MOD ? m + (fix ? q : 0) : p / q - fix;
    }
    if (!ok)
        return bad(x, n, "the number is too large", NULL);
    *out = (tm_val){TM_INT, {.i = r}};
    return 0;
}

static int concat(tm_ctx *x, const tm_node *n, const tm_val *a, const tm_val *b,
                  tm_val *out)
{
    size_t from = x->out.text.n;
    if (!pf_tm_print(&x->out, a) || !pf_tm_print(&x->out, b))
        return bad(x, n, "cannot join", a->k == TM_STR ? b : a);
    out->k = TM_STR;
    return pf_tm_sink_take(&x->out, from, x->a, &out->u.s) < 0
               ? pf_err_nomem(x->e)
               : 0;
}

static int add(tm_ctx *x, const tm_node *n, const tm_val *a, const tm_val *b,
               tm_val *out)
{
    if (a->k == TM_STR && b->k == TM_STR)
        return concat(x, n, a, b, out);
    if (a->k != TM_LIST || b->k != TM_LIST) {
        if (a->k == TM_STR || b->k == TM_STR)
            return bad(x, n, "cannot add a string and", a->k == TM_STR ? b : a);
        return arithmetic(x, n, a, b, out);
    }
    tm_list *l = pf_arena_calloc(x->a, 1, sizeof *l);
    if (!l)
        return pf_err_nomem(x->e);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < (k ? b : a)->u.l->n; i++)
            if (pf_tm_list_add(l, (k ? b : a)->u.l->v[i], x->a) < 0)
                return pf_err_nomem(x->e);
    *out = (tm_val){TM_LIST, {.l = l}};
    return 0;
}

static int compare(tm_ctx *x, const tm_node *n, const tm_val *a,
                   const tm_val *b, tm_val *out)
{
    int c;
    if (a->k == TM_STR && b->k == TM_STR) {
        c = pf_slice_cmp((pf_slice){a->u.s.p, a->u.s.n},
                         (pf_slice){b->u.s.p, b->u.s.n});
    } else if ((a->k == TM_INT || a->k == TM_FLOAT) &&
               (b->k == TM_INT || b->k == TM_FLOAT)) {
        double p = a->k == TM_INT ? (double)a->u.i : a->u.f;
        double q = b->k == TM_INT ? (double)b->u.i : b->u.f;
        c = (p > q) - (p < q);
    } else {
        return bad(x, n, "cannot order", a->k == TM_STR ? b : a);
    }
    bool r = n->op == TM_LT   ? c < 0
             : n->op == TM_LE ? c <= 0
             : n->op == TM_GT ? c > 0
                              : c >= 0;
    *out = (tm_val){TM_BOOL, {.b = r}};
    return 0;
}

static int binary(tm_ctx *x, const tm_node *n, tm_val *out)
{
    tm_val a, b;
    bool r;
    int rc = pf_tm_eval(x, n->a, &a);
    if (rc < 0)
        return rc;
    if (n->op == TM_AND || n->op == TM_OR) {
        *out = a;
        return pf_tm_truth(&a) == (n->op == TM_OR) ? 0
                                                   : pf_tm_eval(x, n->b, out);
    }
    rc = pf_tm_eval(x, n->b, &b);
    if (rc < 0)
        return rc;
    switch (n->op) {
    case TM_EQ:
    case TM_NE:
        *out =
            (tm_val){TM_BOOL, {.b = pf_tm_equal(&a, &b) == (n->op == TM_EQ)}};
        return 0;
    case TM_IN:
        rc = pf_tm_contains(x, n, &a, &b, &r);
        *out = (tm_val){TM_BOOL, {.b = r}};
        return rc;
    case TM_CONCAT:
        return concat(x, n, &a, &b, out);
    case TM_ADD:
        return add(x, n, &a, &b, out);
    case TM_LT:
    case TM_LE:
    case TM_GT:
    case TM_GE:
        return compare(x, n, &a, &b, out);
    default:
        return arithmetic(x, n, &a, &b, out);
    }
}

static int literal(tm_ctx *x, const tm_node *n, tm_val *out)
{
    tm_list *l = pf_arena_calloc(x->a, 1, sizeof *l);
    tm_map *m = pf_arena_calloc(x->a, 1, sizeof *m);
    if (!l || !m)
        return pf_err_nomem(x->e);
    for (size_t i = 0; i < n->n; i++) {
        tm_val v, k = {TM_NONE, {0}};
        int rc = n->op == TM_MAPLIT ? pf_tm_eval(x, n->arg[i++], &k) : 0;
        if (rc == 0)
            rc = pf_tm_eval(x, n->arg[i], &v);
        if (rc < 0)
            return rc;
        if (n->op == TM_MAPLIT && k.k != TM_STR)
            return bad(x, n, "a mapping with a key that is", &k);
        rc = n->op == TM_MAPLIT ? pf_tm_map_put(m, k.u.s, v, x->a)
                                : pf_tm_list_add(l, v, x->a);
        if (rc < 0)
            return pf_err_nomem(x->e);
    }
    *out = n->op == TM_MAPLIT ? (tm_val){TM_MAP, {.m = m}}
                              : (tm_val){TM_LIST, {.l = l}};
    return 0;
}

static int range(tm_ctx *x, const tm_node *n, tm_val *out)
{
    int64_t v[3] = {0, 0, 1};
    if (n->n < 1 || n->n > 3)
        return bad(x, n, "range() takes 1 to 3 numbers", NULL);
    for (size_t i = 0; i < n->n; i++) {
        tm_val a;
        int rc = pf_tm_eval(x, n->arg[i], &a);
        if (rc < 0)
            return rc;
        if (a.k != TM_INT)
            return bad(x, n, "range() of", &a);
        v[n->n == 1 ? 1 : i] = a.u.i;
    }
    tm_list *l = pf_arena_calloc(x->a, 1, sizeof *l);
    if (!l)
        return pf_err_nomem(x->e);
    if (v[2] == 0)
        return bad(x, n, "range() with a step of 0", NULL);
    for (int64_t i = v[0]; v[2] > 0 ? i < v[1] : i > v[1]; i += v[2]) {
        if (l->n >= 100000)
            return bad(x, n, "range() of over 100000 numbers", NULL);
        if (pf_tm_list_add(l, (tm_val){TM_INT, {.i = i}}, x->a) < 0)
            return pf_err_nomem(x->e);
    }
    *out = (tm_val){TM_LIST, {.l = l}};
    return 0;
}

static int call(tm_ctx *x, const tm_node *n, tm_val *out)
{
    tm_val v;
    if (n->fn == TM_G_RANGE)
        return range(x, n, out);
    if (n->fn == TM_G_RAISE) {
        char q[160] = "";
        int rc = n->n ? pf_tm_eval(x, n->arg[0], &v) : 0;
        if (rc < 0)
            return rc;
        if (n->n && v.k == TM_STR)
            pf_err_quote(q, sizeof q, v.u.s.p, v.u.s.n);
        return pf_tm_fail(x->t, PF_E_FORMAT, n->line, n->col, x->e,
                          "the template raised %s", q);
    }
    if (n->fn == TM_G_NAMESPACE) {
        tm_map *m = pf_arena_calloc(x->a, 1, sizeof *m);
        if (!m)
            return pf_err_nomem(x->e);
        for (size_t i = 0; i < n->n; i++) {
            tm_str key = {n->key[i].p, n->key[i].n, NULL, 0, false};
            int rc = pf_tm_eval(x, n->arg[i], &v);
            if (rc < 0)
                return rc;
            if (!key.p)
                return bad(x, n, "namespace() takes name=value", NULL);
            if (pf_tm_map_put(m, key, v, x->a) < 0)
                return pf_err_nomem(x->e);
        }
        *out = (tm_val){TM_NAMESPACE, {.m = m}};
        return 0;
    }
    find_var(x, n->name, &v);
    if (v.k != TM_MACRO)
        return bad(x, n, "cannot call", &v);
    return pf_tm_call_macro(x, n, v.u.macro, out);
}

static int eval(tm_ctx *x, const tm_node *n, tm_val *out)
{
    tm_val v, k;
    bool r;
    int rc = 0;
    switch (n->op) {
    case TM_CONST:
        *out = n->value;
        return 0;
    case TM_NAME:
        find_var(x, n->name, out);
        return 0;
    case TM_SLICE:
        return slice(x, n, out);
    case TM_CALL:
        return call(x, n, out);
    case TM_COND:
        rc = pf_tm_eval(x, n->b, &v);
        *out = (tm_val){TM_UNDEF, {0}};
        if (rc < 0 || (!pf_tm_truth(&v) && !n->c))
            return rc;
        return pf_tm_eval(x, pf_tm_truth(&v) ? n->a : n->c, out);
    case TM_LISTLIT:
    case TM_MAPLIT:
        return literal(x, n, out);
    case TM_ATTR:
    case TM_ITEM:
    case TM_FILTER:
    case TM_TEST:
    case TM_METHOD:
    case TM_NOT:
    case TM_NEG:
        break;
    default:
        return binary(x, n, out);
    }
    rc = pf_tm_eval(x, n->a, &v);
    if (rc < 0)
        return rc;
    switch (n->op) {
    case TM_ATTR:
        return attribute(x, n, &v,
                         &(tm_str){n->name.p, n->name.n, NULL, 0, false}, out);
    case TM_ITEM:
        rc = pf_tm_eval(x, n->b, &k);
        return rc < 0 ? rc : item(x, n, &v, &k, out);
    case TM_FILTER:
        return pf_tm_filter(x, n, v, out);
    case TM_METHOD:
        return pf_tm_method(x, n, v, out);
    case TM_TEST:
        rc = pf_tm_test(x, n, &v, &r);
        *out = (tm_val){TM_BOOL, {.b = r}};
        return rc;
    case TM_NOT:
        *out = (tm_val){TM_BOOL, {.b = !pf_tm_truth(&v)}};
        return 0;
    default:
        if (v.k != TM_INT || v.u.i == INT64_MIN)
            return bad(x, n, "cannot negate", &v);
        *out = (tm_val){TM_INT, {.i = -v.u.i}};
        return 0;
    }
}

int pf_tm_eval(tm_ctx *x, const tm_node *n, tm_val *out)
{
    if (++x->steps > MAX_STEPS || x->depth >= MAX_DEPTH)
        return pf_tm_fail(x->t, PF_E_LIMIT, n->line, n->col, x->e,
                          "the template runs too long or too deep");
    x->depth++;
    int rc = eval(x, n, out);
    x->depth--;
    return rc;
}
