/* SPDX-License-Identifier: MIT
 *
 * Values of the template engine, and strings with origins. */
#include <stdio.h>

#include "base/mem.h"
#include "text/tmpl_int.h"

/* -------------------------------------------------------------- strings */

tm_str pf_tm_lit(const char *s)
{
    return (tm_str){s, strlen(s), NULL, 0, false};
}

bool pf_tm_origin(const tm_str *s, size_t at, size_t *end)
{
    *end = s->n;
    if (!s->run)
        return s->content;
    for (size_t i = 0; i < s->n_run; i++)
        if (s->run[i].end > at) {
            *end = s->run[i].end;
            return s->run[i].content;
        }
    return s->content;
}

tm_str pf_tm_sub(const tm_str *s, size_t from, size_t to, pf_arena *a)
{
    tm_str r = {s->p + from, to - from, NULL, 0, true};
    size_t end, k = 0;
    bool first = pf_tm_origin(s, from, &end);
    if (end >= to) {
        r.content = first;
        return r;
    }
    tm_run *run = pf_arena_calloc(a, s->n_run, sizeof *run);
    if (!run) /* one origin for all then: the safe one */
        return r;
    for (size_t at = from; at < to; at = end) {
        bool c = pf_tm_origin(s, at, &end);
        run[k++] = (tm_run){PF_MIN(end, to) - from, c};
    }
    r.run = run;
    r.n_run = k;
    return r;
}

bool pf_tm_str_eq(const tm_str *a, const tm_str *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
}

void pf_tm_sink_release(tm_sink *k)
{
    pf_buf_release(&k->text);
    pf_free(k->run);
    *k = (tm_sink){0};
}

bool pf_tm_sink_failed(const tm_sink *k)
{
    return k->failed || pf_buf_failed(&k->text);
}

void pf_tm_sink_raw(tm_sink *k, const char *p, size_t n, bool content)
{
    if (n == 0)
        return;
    pf_buf_add(&k->text, p, n);
    if (k->n_run && k->run[k->n_run - 1].content == content) {
        k->run[k->n_run - 1].end += n;
        return;
    }
    if (!PF_GROW(&k->run, &k->cap_run, k->n_run + 1)) {
        k->failed = true;
        return;
    }
    size_t start = k->n_run ? k->run[k->n_run - 1].end : 0;
    k->run[k->n_run++] = (tm_run){start + n, content};
}

void pf_tm_sink_add(tm_sink *k, const tm_str *s)
{
    for (size_t at = 0, end; at < s->n; at = end) {
        bool c = pf_tm_origin(s, at, &end);
        pf_tm_sink_raw(k, s->p + at, end - at, c);
    }
}

int pf_tm_sink_take(tm_sink *k, size_t from, pf_arena *a, tm_str *out)
{
    size_t n = k->text.n - from;
    if (pf_tm_sink_failed(k))
        return PF_E_LIMIT;
    char *p = pf_arena_dup(a, n ? k->text.p + from : "", n);
    tm_run *run = pf_arena_calloc(a, k->n_run + 1, sizeof *run);
    if (!p || !run)
        return PF_E_LIMIT;
    k->taken += n + k->n_run * sizeof *run;
    *out = (tm_str){p, n, run, 0, false};
    for (size_t i = 0; i < k->n_run; i++)
        if (k->run[i].end > from)
            run[out->n_run++] =
                (tm_run){k->run[i].end - from, k->run[i].content};
    while (k->n_run && k->run[k->n_run - 1].end > from) {
        size_t before = k->n_run > 1 ? k->run[k->n_run - 2].end : 0;
        if (before >= from)
            k->n_run--;
        else
            k->run[k->n_run - 1].end = from;
    }
    k->text.n = from;
    return 0;
}

/* --------------------------------------------------------------- values */

const char *pf_tm_type(const tm_val *v)
{
    static const char *const name[] = {
        "undefined", "none",   "a boolean", "a number",    "a number",
        "a string",  "a list", "a mapping", "a namespace", "a macro"};
    return name[v->k];
}

bool pf_tm_truth(const tm_val *v)
{
    switch (v->k) {
    case TM_UNDEF:
    case TM_NONE:
        return false;
    case TM_BOOL:
        return v->u.b;
    case TM_INT:
        return v->u.i != 0;
    case TM_FLOAT:
        return v->u.f != 0;
    case TM_STR:
        return v->u.s.n > 0;
    case TM_LIST:
        return v->u.l->n > 0;
    case TM_MAP:
        return v->u.m->n > 0;
    default:
        return true;
    }
}

static bool number(const tm_val *v, double *f)
{
    *f = v->k == TM_FLOAT  ? v->u.f
         : v->k == TM_INT  ? (double)v->u.i
         : v->k == TM_BOOL ? (double)v->u.b
                           : 0;
    return v->k == TM_FLOAT || v->k == TM_INT || v->k == TM_BOOL;
}

tm_val *pf_tm_map_get(const tm_map *m, const tm_str *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (pf_tm_str_eq(&m->key[i], key))
            return &m->v[i];
    return NULL;
}

bool pf_tm_equal(const tm_val *a, const tm_val *b)
{
    double x, y;
    if (number(a, &x) && number(b, &y))
        return x == y;
    if (a->k != b->k)
        return false;
    if (a->k == TM_STR)
        return pf_tm_str_eq(&a->u.s, &b->u.s);
    if (a->k == TM_LIST) {
        for (size_t i = 0; i < a->u.l->n && a->u.l->n == b->u.l->n; i++)
            if (!pf_tm_equal(&a->u.l->v[i], &b->u.l->v[i]))
                return false;
        return a->u.l->n == b->u.l->n;
    }
    if (a->k == TM_MAP) {
        for (size_t i = 0; i < a->u.m->n && a->u.m->n == b->u.m->n; i++) {
            const tm_val *o = pf_tm_map_get(b->u.m, &a->u.m->key[i]);
            if (!o || !pf_tm_equal(&a->u.m->v[i], o))
                return false;
        }
        return a->u.m->n == b->u.m->n;
    }
    return a->k == TM_NONE || a->k == TM_UNDEF;
}

/* Doubles arrays in the arena. */
static bool more(void **p, size_t n, size_t elem, pf_arena *a)
{
    if (n & (n - 1))
        return true;
    if (n == 0) {
        *p = pf_arena_calloc(a, 1, elem);
        return *p != NULL;
    }
    void *to = pf_arena_calloc(a, n * 2, elem);
    if (to)
        memcpy(to, *p, n * elem);
    *p = to ? to : *p;
    return to != NULL;
}

int pf_tm_map_put(tm_map *m, tm_str key, tm_val v, pf_arena *a)
{
    tm_val *old = pf_tm_map_get(m, &key);
    if (old) {
        *old = v;
        return 0;
    }
    void *k = m->key, *x = m->v;
    if (!more(&k, m->n, sizeof *m->key, a) || !more(&x, m->n, sizeof *m->v, a))
        return PF_E_LIMIT;
    m->key = k;
    m->v = x;
    m->key[m->n] = key;
    m->v[m->n++] = v;
    return 0;
}

int pf_tm_list_add(tm_list *l, tm_val v, pf_arena *a)
{
    void *x = l->v;
    if (!more(&x, l->n, sizeof *l->v, a))
        return PF_E_LIMIT;
    l->v = x;
    l->v[l->n++] = v;
    return 0;
}

static int string_of(tm_str *out, pf_slice s, pf_arena *a)
{
    const char *p = pf_arena_dup(a, s.p, s.n);
    *out = (tm_str){p, s.n, NULL, 0, true};
    return p ? 0 : PF_E_LIMIT;
}

int pf_tm_of_json(tm_val *out, pf_jval v, pf_arena *a, int depth)
{
    int rc = 0;
    *out = (tm_val){TM_NONE, {0}};
    if (depth > 64)
        return PF_E_FORMAT;
    switch (pf_jtype(v)) {
    case PF_JSON_TRUE:
    case PF_JSON_FALSE:
        *out = (tm_val){TM_BOOL, {.b = pf_jtype(v) == PF_JSON_TRUE}};
        return 0;
    case PF_JSON_NUMBER:
        out->k = TM_INT;
        if (!pf_ji64(v, &out->u.i)) {
            out->k = TM_FLOAT;
            (void)pf_jf64(v, &out->u.f);
        }
        return 0;
    case PF_JSON_STRING:
        out->k = TM_STR;
        return string_of(&out->u.s, pf_jstr(v), a);
    case PF_JSON_ARRAY:
    case PF_JSON_OBJECT:
        break;
    default:
        return 0;
    }
    bool list = pf_jtype(v) == PF_JSON_ARRAY;
    tm_list *l = list ? pf_arena_calloc(a, 1, sizeof *l) : NULL;
    tm_map *m = list ? NULL : pf_arena_calloc(a, 1, sizeof *m);
    if (!l && !m)
        return PF_E_LIMIT;
    pf_jiter it = pf_jiter_of(v);
    while (rc == 0 && pf_jiter_next(&it)) {
        tm_val x;
        tm_str key;
        rc = pf_tm_of_json(&x, it.value, a, depth + 1);
        if (rc == 0 && l)
            rc = pf_tm_list_add(l, x, a);
        if (rc == 0 && m)
            rc = string_of(&key, it.key, a);
        if (rc == 0 && m)
            rc = pf_tm_map_put(m, key, x, a);
    }
    *out = list ? (tm_val){TM_LIST, {.l = l}} : (tm_val){TM_MAP, {.m = m}};
    return rc;
}

/* Python's repr of a float: as JSON's shortest form, but never an integer. */
static int float_text(double f, char *buf)
{
    int n = pf_f64_text(f, buf);
    if (!memchr(buf, '.', (size_t)n) && !memchr(buf, 'e', (size_t)n)) {
        memcpy(buf + n, ".0", 3);
        n += 2;
    }
    return n;
}

bool pf_tm_print(tm_sink *k, const tm_val *v)
{
    char b[40];
    const char *s = b;
    int n = 0;
    switch (v->k) {
    case TM_UNDEF:
        return true;
    case TM_STR:
        pf_tm_sink_add(k, &v->u.s);
        return true;
    case TM_NONE:
        s = "None";
        n = 4;
        break;
    case TM_BOOL:
        s = v->u.b ? "True" : "False";
        n = v->u.b ? 4 : 5;
        break;
    case TM_INT:
        n = snprintf(b, sizeof b, "%lld", (long long)v->u.i);
        break;
    case TM_FLOAT:
        n = float_text(v->u.f, b);
        break;
    default:
        return false;
    }
    pf_tm_sink_raw(k, s, (size_t)n, false);
    return true;
}

static void json_break(tm_sink *k, int64_t indent, int depth, const char *flat)
{
    if (indent < 0) {
        pf_tm_sink_raw(k, flat, strlen(flat), true);
        return;
    }
    if (flat[0] == ',')
        pf_tm_sink_raw(k, ",", 1, true);
    pf_tm_sink_raw(k, "\n", 1, true);
    for (int64_t i = 0; i < indent * depth; i++)
        pf_tm_sink_raw(k, " ", 1, true);
}

bool pf_tm_json(tm_sink *k, const tm_val *v, int64_t indent, int depth)
{
    char b[40];
    bool list = v->k == TM_LIST;
    if (v->k == TM_STR) {
        pf_buf q = {0};
        pf_json_quote(&q, (pf_slice){v->u.s.p, v->u.s.n});
        k->failed |= pf_buf_failed(&q);
        pf_tm_sink_raw(k, q.p, q.n, true);
        pf_buf_release(&q);
        return true;
    }
    if (!list && v->k != TM_MAP) {
        const char *s = v->k != TM_BOOL ? "null" : v->u.b ? "true" : "false";
        if (v->k == TM_INT || v->k == TM_FLOAT) {
            s = b;
            b[v->k == TM_INT ? snprintf(b, sizeof b, "%lld", (long long)v->u.i)
                             : float_text(v->u.f, b)] = 0;
        }
        if (v->k == TM_UNDEF || v->k > TM_MAP)
            return false;
        pf_tm_sink_raw(k, s, strlen(s), true);
        return true;
    }
    size_t n = list ? v->u.l->n : v->u.m->n;
    pf_tm_sink_raw(k, list ? "[" : "{", 1, true);
    for (size_t i = 0; i < n; i++) {
        if (i || indent >= 0)
            json_break(k, indent, depth + 1, i ? ", " : "");
        if (!list) {
            tm_val key = {TM_STR, {.s = v->u.m->key[i]}};
            (void)pf_tm_json(k, &key, indent, depth);
            pf_tm_sink_raw(k, ": ", 2, true);
        }
        if (!pf_tm_json(k, list ? &v->u.l->v[i] : &v->u.m->v[i], indent,
                        depth + 1))
            return false;
    }
    if (n && indent >= 0)
        json_break(k, indent, depth, "");
    pf_tm_sink_raw(k, list ? "]" : "}", 1, true);
    return true;
}
