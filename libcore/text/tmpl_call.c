/* SPDX-License-Identifier: MIT
 *
 * Filters, tests and methods. Strings keep the origins of their bytes. */
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tmpl_int.h"
#include "text/unidata.h"

static int bad(tm_ctx *x, const tm_node *n, const char *what, const tm_val *v)
{
    return pf_tm_fail(x->t, PF_E_FORMAT, n->line, n->col, x->e, "%s%s%s", what,
                      v ? " " : "", v ? pf_tm_type(v) : "");
}

static int nomem(tm_ctx *x)
{
    return pf_err_nomem(x->e);
}

/* Argument i, or *out unchanged when there are fewer. */
static int argument(tm_ctx *x, const tm_node *n, size_t i, tm_val *out)
{
    return i < n->n ? pf_tm_eval(x, n->arg[i], out) : 0;
}

static int keyword(tm_ctx *x, const tm_node *n, const char *name, tm_val *out)
{
    for (size_t i = 0; i < n->n; i++)
        if (n->key[i].p && pf_slice_is(n->key[i], name))
            return pf_tm_eval(x, n->arg[i], out);
    return 0;
}

static int set_str(tm_val *out, tm_str s)
{
    *out = (tm_val){TM_STR, {.s = s}};
    return 0;
}

/* ---------------------------------------------------------------- strings */

static bool in_set(const tm_str *set, const char *p, int len)
{
    if (!set)
        return pf_uni_space(pf_uni(pf_utf8_get(p, &len))) ||
               (*p >= 0x1c && *p <= 0x1f); /* Python strips these too */
    for (size_t i = 0; i + (size_t)len <= set->n; i++)
        if (memcmp(set->p + i, p, (size_t)len) == 0)
            return true;
    return false;
}

/* Python's strip: white space, or the characters of set. */
static tm_str strip(tm_ctx *x, const tm_str *s, const tm_str *set, bool left,
                    bool right)
{
    size_t from = 0, to = s->n;
    int len;
    while (left && from < to) {
        (void)pf_utf8_get(s->p + from, &len);
        if (!in_set(set, s->p + from, len))
            break;
        from += (size_t)len;
    }
    while (right && to > from) {
        size_t at = to - 1;
        while (at > from && ((unsigned char)s->p[at] & 0xc0) == 0x80)
            at--;
        if (!in_set(set, s->p + at, (int)(to - at)))
            break;
        to = at;
    }
    return pf_tm_sub(s, from, to, x->a);
}

/* Upper or lower case of ASCII; other cased letters are refused. */
static int change_case(tm_ctx *x, const tm_node *n, const tm_str *s, bool upper,
                       tm_val *out)
{
    char *p = pf_arena_dup(x->a, s->p, s->n);
    if (!p)
        return nomem(x);
    for (size_t i = 0; i < s->n; i++) {
        char c = p[i];
        if ((unsigned char)c >= 0x80)
            return bad(x, n, "upper and lower of non-ASCII are not built",
                       NULL);
        if (upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z')
            p[i] = (char)(c ^ 32);
    }
    tm_str r = *s;
    r.p = p;
    return set_str(out, r);
}

static ptrdiff_t find(const tm_str *s, size_t from, const tm_str *what)
{
    ptrdiff_t k = pf_slice_find((pf_slice){s->p + from, s->n - from},
                                (pf_slice){what->p, what->n});
    return k < 0 ? k : k + (ptrdiff_t)from;
}

static int replace(tm_ctx *x, const tm_node *n, const tm_str *s, tm_val *out)
{
    tm_val a = {TM_NONE, {0}}, b = a;
    size_t at = 0, from = x->out.text.n;
    int rc = argument(x, n, 0, &a);
    if (rc == 0)
        rc = argument(x, n, 1, &b);
    if (rc < 0)
        return rc;
    if (n->n != 2 || a.k != TM_STR || b.k != TM_STR || a.u.s.n == 0)
        return bad(x, n, "replace takes two strings", NULL);
    for (ptrdiff_t k; (k = find(s, at, &a.u.s)) >= 0;) {
        tm_str part = pf_tm_sub(s, at, (size_t)k, x->a);
        pf_tm_sink_add(&x->out, &part);
        pf_tm_sink_add(&x->out, &b.u.s);
        at = (size_t)k + a.u.s.n;
    }
    tm_str rest = pf_tm_sub(s, at, s->n, x->a);
    pf_tm_sink_add(&x->out, &rest);
    out->k = TM_STR;
    return pf_tm_sink_take(&x->out, from, x->a, &out->u.s) < 0 ? nomem(x) : 0;
}

static int split(tm_ctx *x, const tm_node *n, const tm_str *s, tm_val *out)
{
    tm_val sep = {TM_NONE, {0}}, max = {TM_INT, {.i = -1}};
    tm_list *l = pf_arena_calloc(x->a, 1, sizeof *l);
    int rc = l ? argument(x, n, 0, &sep) : nomem(x);
    if (rc == 0)
        rc = argument(x, n, 1, &max);
    if (rc < 0)
        return rc;
    if (sep.k != TM_STR || sep.u.s.n == 0 || max.k != TM_INT)
        return bad(x, n, "split without a separator is not built", NULL);
    size_t at = 0;
    for (ptrdiff_t k; max.u.i != 0 && (k = find(s, at, &sep.u.s)) >= 0;
         max.u.i--) {
        tm_val part = {TM_STR, {.s = pf_tm_sub(s, at, (size_t)k, x->a)}};
        if (pf_tm_list_add(l, part, x->a) < 0)
            return nomem(x);
        at = (size_t)k + sep.u.s.n;
    }
    tm_val rest = {TM_STR, {.s = pf_tm_sub(s, at, s->n, x->a)}};
    if (pf_tm_list_add(l, rest, x->a) < 0)
        return nomem(x);
    *out = (tm_val){TM_LIST, {.l = l}};
    return 0;
}

static int affix(tm_ctx *x, const tm_node *n, const tm_str *s, bool start,
                 tm_val *out)
{
    tm_val a = {TM_NONE, {0}};
    int rc = argument(x, n, 0, &a);
    if (rc < 0)
        return rc;
    if (n->n != 1 || a.k != TM_STR)
        return bad(x, n, "a string is wanted, not", &a);
    size_t k = a.u.s.n;
    bool r =
        k <= s->n && memcmp(start ? s->p : s->p + s->n - k, a.u.s.p, k) == 0;
    *out = (tm_val){TM_BOOL, {.b = r}};
    return 0;
}

/* ------------------------------------------------------------------ lists */

/* what: 0 items as [key, value], 1 keys, 2 values. */
static int map_list(tm_ctx *x, const tm_map *m, int what, tm_val *out)
{
    tm_list *l = pf_arena_calloc(x->a, 1, sizeof *l);
    if (!l)
        return nomem(x);
    for (size_t i = 0; i < m->n; i++) {
        tm_val v = {TM_STR, {.s = m->key[i]}};
        if (what == 0) {
            tm_list *pair = pf_arena_calloc(x->a, 1, sizeof *pair);
            if (!pair || pf_tm_list_add(pair, v, x->a) < 0 ||
                pf_tm_list_add(pair, m->v[i], x->a) < 0)
                return nomem(x);
            v = (tm_val){TM_LIST, {.l = pair}};
        } else if (what == 2) {
            v = m->v[i];
        }
        if (pf_tm_list_add(l, v, x->a) < 0)
            return nomem(x);
    }
    *out = (tm_val){TM_LIST, {.l = l}};
    return 0;
}

static int join(tm_ctx *x, const tm_node *n, const tm_val *v, tm_val *out)
{
    tm_val sep = {TM_STR, {.s = pf_tm_lit("")}};
    size_t from = x->out.text.n;
    int rc = argument(x, n, 0, &sep);
    if (rc < 0)
        return rc;
    if (v->k != TM_LIST || sep.k != TM_STR)
        return bad(x, n, "join of", v);
    for (size_t i = 0; i < v->u.l->n; i++) {
        if (i)
            pf_tm_sink_add(&x->out, &sep.u.s);
        if (!pf_tm_print(&x->out, &v->u.l->v[i]))
            return bad(x, n, "join with", &v->u.l->v[i]);
    }
    out->k = TM_STR;
    return pf_tm_sink_take(&x->out, from, x->a, &out->u.s) < 0 ? nomem(x) : 0;
}

static int to_json(tm_ctx *x, const tm_node *n, const tm_val *v, tm_val *out)
{
    tm_val indent = {TM_INT, {.i = -1}}, ascii = {TM_BOOL, {.b = false}};
    size_t from = x->out.text.n;
    int rc = keyword(x, n, "indent", &indent);
    if (rc == 0)
        rc = keyword(x, n, "ensure_ascii", &ascii);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n->n; i++)
        if (!n->key[i].p || (!pf_slice_is(n->key[i], "indent") &&
                             !pf_slice_is(n->key[i], "ensure_ascii")))
            return bad(x, n, "tojson takes only indent", NULL);
    if (pf_tm_truth(&ascii))
        return bad(x, n, "tojson with ensure_ascii is not built", NULL);
    if (indent.k == TM_NONE)
        indent = (tm_val){TM_INT, {.i = -1}};
    if (indent.k != TM_INT || indent.u.i > 32 || indent.u.i < -1)
        return bad(x, n, "tojson with an indent that is", &indent);
    if (!pf_tm_json(&x->out, v, indent.u.i, 0))
        return bad(x, n, "tojson of", v);
    out->k = TM_STR;
    return pf_tm_sink_take(&x->out, from, x->a, &out->u.s) < 0 ? nomem(x) : 0;
}

static int length(tm_ctx *x, const tm_node *n, const tm_val *v, tm_val *out)
{
    int64_t k = 0;
    if (v->k == TM_LIST)
        k = (int64_t)v->u.l->n;
    else if (v->k == TM_MAP)
        k = (int64_t)v->u.m->n;
    else if (v->k == TM_STR)
        for (size_t i = 0; i < v->u.s.n; i++)
            k += ((unsigned char)v->u.s.p[i] & 0xc0) != 0x80;
    else if (v->k != TM_UNDEF)
        return bad(x, n, "the length of", v);
    *out = (tm_val){TM_INT, {.i = k}};
    return 0;
}

static int end_of(tm_ctx *x, const tm_node *n, const tm_val *v, bool first,
                  tm_val *out)
{
    *out = (tm_val){TM_UNDEF, {0}};
    if (v->k != TM_LIST)
        return bad(x, n, "first and last are built for lists, not for", v);
    if (v->u.l->n)
        *out = v->u.l->v[first ? 0 : v->u.l->n - 1];
    return 0;
}

static int printed(tm_ctx *x, const tm_node *n, const tm_val *v, tm_val *out)
{
    size_t from = x->out.text.n;
    if (!pf_tm_print(&x->out, v))
        return bad(x, n, "cannot print", v);
    out->k = TM_STR;
    return pf_tm_sink_take(&x->out, from, x->a, &out->u.s) < 0 ? nomem(x) : 0;
}

static int dflt(tm_ctx *x, const tm_node *n, const tm_val *v, tm_val *out)
{
    tm_val falsy = {TM_BOOL, {.b = false}};
    int rc = argument(x, n, 1, &falsy);
    if (rc == 0)
        rc = keyword(x, n, "boolean", &falsy);
    *out = *v;
    if (rc < 0 ||
        (v->k != TM_UNDEF && !(pf_tm_truth(&falsy) && !pf_tm_truth(v))))
        return rc;
    *out = (tm_val){TM_STR, {.s = pf_tm_lit("")}};
    return argument(x, n, 0, out);
}

int pf_tm_filter(tm_ctx *x, const tm_node *n, tm_val v, tm_val *out)
{
    switch (n->fn) {
    case TM_F_LENGTH:
        return length(x, n, &v, out);
    case TM_F_TOJSON:
        return to_json(x, n, &v, out);
    case TM_F_DEFAULT:
        return dflt(x, n, &v, out);
    case TM_F_STRING:
        return printed(x, n, &v, out);
    case TM_F_JOIN:
        return join(x, n, &v, out);
    case TM_F_FIRST:
    case TM_F_LAST:
        return end_of(x, n, &v, n->fn == TM_F_FIRST, out);
    case TM_F_LIST:
        *out = v;
        return v.k == TM_LIST  ? 0
               : v.k == TM_MAP ? map_list(x, v.u.m, 1, out)
                               : bad(x, n, "a list of", &v);
    case TM_F_ITEMS:
        return v.k == TM_MAP ? map_list(x, v.u.m, 0, out)
                             : bad(x, n, "the items of", &v);
    case TM_F_INT:
        if (v.k != TM_INT && v.k != TM_BOOL)
            return bad(x, n, "int of", &v);
        *out = (tm_val){TM_INT, {.i = v.k == TM_BOOL ? v.u.b : v.u.i}};
        return 0;
    default:
        break;
    }
    /* the rest takes the printed form of what it gets */
    tm_val s;
    int rc = printed(x, n, &v, &s);
    if (rc < 0)
        return rc;
    if (n->fn == TM_F_REPLACE)
        return replace(x, n, &s.u.s, out);
    if (n->fn != TM_F_TRIM)
        return change_case(x, n, &s.u.s, n->fn == TM_F_UPPER, out);
    tm_val set = {TM_NONE, {0}};
    rc = argument(x, n, 0, &set);
    return rc < 0 ? rc
                  : set_str(out,
                            strip(x, &s.u.s, set.k == TM_STR ? &set.u.s : NULL,
                                  true, true));
}

/* ------------------------------------------------------ tests and methods */

int pf_tm_contains(tm_ctx *x, const tm_node *n, const tm_val *a,
                   const tm_val *b, bool *out)
{
    *out = false;
    if (b->k == TM_STR && a->k == TM_STR) {
        *out = a->u.s.n == 0 || find(&b->u.s, 0, &a->u.s) >= 0;
        return 0;
    }
    if (b->k == TM_MAP) {
        *out = a->k == TM_STR && pf_tm_map_get(b->u.m, &a->u.s);
        return 0;
    }
    if (b->k == TM_UNDEF)
        return 0;
    if (b->k != TM_LIST)
        return bad(x, n, "cannot look into", b);
    for (size_t i = 0; i < b->u.l->n && !*out; i++)
        *out = pf_tm_equal(a, &b->u.l->v[i]);
    return 0;
}

int pf_tm_test(tm_ctx *x, const tm_node *n, const tm_val *v, bool *out)
{
    tm_val a;
    int rc = 0;
    *out = false;
    switch (n->fn) {
    case TM_T_DEFINED:
    case TM_T_UNDEFINED:
        *out = (v->k == TM_UNDEF) == (n->fn == TM_T_UNDEFINED);
        break;
    case TM_T_NONE:
        *out = v->k == TM_NONE;
        break;
    case TM_T_STRING:
        *out = v->k == TM_STR;
        break;
    case TM_T_MAPPING:
        *out = v->k == TM_MAP;
        break;
    case TM_T_ITERABLE: /* Jinja's Undefined can be looped over */
        *out = v->k == TM_STR || v->k == TM_LIST || v->k == TM_MAP ||
               v->k == TM_UNDEF;
        break;
    case TM_T_SEQUENCE:
        *out = v->k == TM_STR || v->k == TM_LIST || v->k == TM_MAP;
        break;
    case TM_T_NUMBER:
        *out = v->k == TM_INT || v->k == TM_FLOAT || v->k == TM_BOOL;
        break;
    case TM_T_INTEGER:
        *out = v->k == TM_INT;
        break;
    case TM_T_BOOLEAN:
        *out = v->k == TM_BOOL;
        break;
    case TM_T_TRUE:
    case TM_T_FALSE:
        *out = v->k == TM_BOOL && v->u.b == (n->fn == TM_T_TRUE);
        break;
    default:
        rc = pf_tm_eval(x, n->arg[0], &a);
        if (rc == 0 && n->fn == TM_T_IN)
            rc = pf_tm_contains(x, n, v, &a, out);
        else if (rc == 0)
            *out = pf_tm_equal(v, &a);
    }
    return rc;
}

static int string_method(tm_ctx *x, const tm_node *n, const tm_str *s,
                         tm_val *out)
{
    tm_val set = {TM_NONE, {0}};
    int rc;
    switch (n->fn) {
    case TM_M_STRIP:
    case TM_M_LSTRIP:
    case TM_M_RSTRIP:
        rc = argument(x, n, 0, &set);
        return rc < 0
                   ? rc
                   : set_str(out,
                             strip(x, s, set.k == TM_STR ? &set.u.s : NULL,
                                   n->fn != TM_M_RSTRIP, n->fn != TM_M_LSTRIP));
    case TM_M_SPLIT:
        return split(x, n, s, out);
    case TM_M_STARTSWITH:
    case TM_M_ENDSWITH:
        return affix(x, n, s, n->fn == TM_M_STARTSWITH, out);
    case TM_M_REPLACE:
        return replace(x, n, s, out);
    default:
        return change_case(x, n, s, n->fn == TM_M_UPPER, out);
    }
}

int pf_tm_method(tm_ctx *x, const tm_node *n, tm_val v, tm_val *out)
{
    tm_val key = {TM_NONE, {0}};
    if (v.k == TM_STR && n->fn < TM_M_ITEMS)
        return string_method(x, n, &v.u.s, out);
    if (v.k != TM_MAP || n->fn < TM_M_ITEMS)
        return bad(x, n, "no such method of", &v);
    if (n->fn != TM_M_GET)
        return map_list(x, v.u.m,
                        n->fn == TM_M_ITEMS  ? 0
                        : n->fn == TM_M_KEYS ? 1
                                             : 2,
                        out);
    int rc = argument(x, n, 0, &key);
    *out = (tm_val){TM_NONE, {0}};
    if (rc == 0)
        rc = argument(x, n, 1, out);
    if (rc < 0)
        return rc;
    const tm_val *f = key.k == TM_STR ? pf_tm_map_get(v.u.m, &key.u.s) : NULL;
    if (f)
        *out = *f;
    return 0;
}
