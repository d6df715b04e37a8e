/* SPDX-License-Identifier: MIT
 *
 * Chat templates: the public face. Rendering runs the tree over the messages
 * as values made from their JSON, so that any field a template asks for is
 * there. */
#include "text/template.h"

#include "base/mem.h"
#include "text/tmpl_int.h"

void pf_rendered_release(pf_rendered *r)
{
    pf_buf_release(&r->text);
    pf_free(r->span);
    pf_arena_release(&r->arena);
    pf_json_free(r->json);
    *r = (pf_rendered){0};
}

/* Jinja reads "\r\n" and "\r" as "\n". */
static size_t normalise_lines(char *s, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\r' && i + 1 < n && s[i + 1] == '\n')
            continue;
        s[k++] = s[i] == '\r' ? '\n' : s[i];
    }
    s[k] = 0;
    return k;
}

int pf_template_new(pf_template **out, pf_slice source, const char *name,
                    pf_err *e)
{
    pf_template *t = pf_calloc(1, sizeof *t);
    if (!t)
        return pf_err_nomem(e);
    t->source = pf_memdup0(source.p, source.n);
    t->name = pf_strdup(name);
    if (t->source)
        t->n = normalise_lines(t->source, source.n);
    int rc = t->source && t->name ? pf_tm_parse(t, e) : pf_err_nomem(e);
    if (rc < 0) {
        pf_template_free(t);
        return rc;
    }
    pf_sha256_of(source.p, source.n, t->digest);
    *out = t;
    return 0;
}

void pf_template_free(pf_template *t)
{
    if (!t)
        return;
    pf_arena_release(&t->arena);
    pf_free(t->source);
    pf_free(t->name);
    pf_free(t);
}

void pf_template_digest(const pf_template *t, uint8_t out[PF_SHA256_BYTES])
{
    memcpy(out, t->digest, PF_SHA256_BYTES);
}

/* ------------------------------------------------------------- variables */

static int of_text(tm_ctx *x, pf_json *j, pf_slice json, tm_val *out)
{
    pf_jval root;
    int rc = pf_json_parse(j, json, &root, x->e);
    if (rc == 0)
        rc = pf_tm_of_json(out, root, x->a, 0);
    return rc == PF_E_LIMIT ? pf_err_nomem(x->e)
           : rc < 0 ? pf_err_set(x->e, rc, "nested too deep") : 0;
}

/* A message made by a tool has no JSON: then role and content are all there
 * is, as in most others. */
static int of_message(tm_ctx *x, pf_json *j, const pf_message *m, tm_val *out)
{
    if (m->json.p && !m->plain)
        return of_text(x, j, m->json, out);
    tm_map *map = pf_arena_calloc(x->a, 1, sizeof *map);
    tm_val role = {TM_STR, {.s = {m->role.p, m->role.n, NULL, 0, true}}};
    tm_val text = {TM_STR, {.s = {m->content.p, m->content.n, NULL, 0, true}}};
    if (!map || pf_tm_map_put(map, pf_tm_lit("role"), role, x->a) < 0 ||
        pf_tm_map_put(map, pf_tm_lit("content"), text, x->a) < 0)
        return pf_err_nomem(x->e);
    *out = (tm_val){TM_MAP, {.m = map}};
    return 0;
}

static int set_text(tm_ctx *x, const char *name, pf_slice s)
{
    if (!s.p)
        return 0;
    tm_val v = {TM_STR, {.s = {s.p, s.n, NULL, 0, false}}};
    return pf_tm_set_var(x, pf_slice_of(name), v);
}

static int set_vars(tm_ctx *x, const pf_render_args *a, pf_json *j,
                    const tm_list *msgs)
{
    tm_val v = {TM_NONE, {0}};
    int rc = set_text(x, "bos_token", a->bos);
    if (rc == 0)
        rc = set_text(x, "eos_token", a->eos);
    if (rc == 0 && a->tools.p)
        rc = of_text(x, j, a->tools, &v);
    if (rc == 0 && v.k == TM_STR) /* a list in a string, as TRL takes it */
        rc = of_text(x, j, (pf_slice){v.u.s.p, v.u.s.n}, &v);
    if (rc == 0)
        rc = pf_tm_set_var(x, PF_LIT("tools"), v);
    if (rc == 0)
        rc = pf_tm_set_var(x, PF_LIT("documents"), (tm_val){TM_NONE, {0}});
    v = (tm_val){TM_NONE, {0}};
    if (rc == 0 && a->kwargs.p)
        rc = of_text(x, j, a->kwargs, &v);
    for (size_t i = 0; rc == 0 && v.k == TM_MAP && i < v.u.m->n; i++)
        rc = pf_tm_set_var(x, (pf_slice){v.u.m->key[i].p, v.u.m->key[i].n},
                        v.u.m->v[i]);
    if (rc == 0)
        rc = pf_tm_set_var(x, PF_LIT("messages"),
                        (tm_val){TM_LIST, {.l = (tm_list *)msgs}});
    return rc;
}

/* One rendering of the first n messages into x->out. */
static int render(tm_ctx *x, const pf_render_args *a, pf_json *j,
                  const tm_list *all, size_t n, bool generation)
{
    tm_list *part = pf_arena_calloc(x->a, 1, sizeof *part);
    if (!part)
        return pf_err_nomem(x->e);
    *part = (tm_list){all->v, n, n};
    x->n_var = x->scope = 0;
    x->n_mark = 0;
    x->depth = 0;
    x->out.taken = 0;
    x->steps = 0;
    pf_buf_clear(&x->out.text);
    x->out.n_run = 0;
    int rc = set_vars(x, a, j, part);
    if (rc == 0)
        rc = pf_tm_set_var(x, PF_LIT("add_generation_prompt"),
                        (tm_val){TM_BOOL, {.b = generation}});
    if (rc == 0)
        rc = pf_tm_run_list(x, x->t->root->arg, x->t->root->n);
    return rc > 0 ? 0 : rc;
}

/* --------------------------------------------------------------- loss */

static int add_mark(tm_ctx *x, size_t start, size_t end)
{
    if (!PF_GROW(&x->mark, &x->cap_mark, x->n_mark + 2))
        return pf_err_nomem(x->e);
    x->mark[x->n_mark++] = start;
    x->mark[x->n_mark++] = end;
    return 0;
}

static bool is_prefix(const pf_buf *p, const pf_buf *of)
{
    return p->n <= of->n && (p->n == 0 || memcmp(p->p, of->p, p->n) == 0);
}

/* An assistant turn is what the rendering through it adds to the rendering
 * of all before it with a generation prompt. y renders, x gets the marks. */
static int find_turns(tm_ctx *x, tm_ctx *y, const pf_render_args *a,
                      pf_json *j, const tm_list *all)
{
    for (size_t i = 0; i < a->n_msg; i++) {
        if (!a->msg[i].role.p || !pf_slice_is(a->msg[i].role, "assistant"))
            continue;
        int rc = render(y, a, j, all, i, true);
        size_t start = y->out.text.n;
        bool ok = is_prefix(&y->out.text, &x->out.text);
        if (rc == 0)
            rc = render(y, a, j, all, i + 1, false);
        if (rc < 0)
            return rc;
        if (!ok || !is_prefix(&y->out.text, &x->out.text) ||
            y->out.text.n < start)
            return pf_err_set(x->e, PF_E_FORMAT, "%s: the turns of the "
                              "assistant cannot be told apart: the rendering "
                              "of a shorter conversation is no prefix",
                              x->t->name);
        rc = add_mark(x, start, y->out.text.n);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Runs and marks -> spans without gaps. */
static int make_spans(const tm_ctx *x, pf_rendered *out, pf_err *e)
{
    size_t at = 0, r = 0, m = 0, n = x->out.text.n;
    out->n_span = 0;
    while (at < n) {
        while (x->out.run[r].end <= at)
            r++;
        while (m < x->n_mark && x->mark[m + 1] <= at)
            m += 2;
        size_t end = x->out.run[r].end;
        bool loss = m < x->n_mark && x->mark[m] <= at;
        if (m < x->n_mark)
            end = PF_MIN(end, loss ? x->mark[m + 1] : x->mark[m]);
        if (!PF_GROW(&out->span, &out->cap_span, out->n_span + 1))
            return pf_err_nomem(e);
        out->span[out->n_span++] =
            (pf_tmpl_span){at, end, x->out.run[r].content, loss};
        at = end;
    }
    return 0;
}

static void release_ctx(tm_ctx *x)
{
    pf_free(x->var);
    pf_free(x->mark);
    pf_tm_sink_release(&x->out);
}

int pf_template_render(const pf_template *t, const pf_render_args *a,
                       pf_rendered *out, pf_err *e)
{
    tm_ctx x = {.t = t, .a = &out->arena, .e = e}, y = x;
    int rc = 0;
    pf_arena_reset(&out->arena);
    if (!out->json && !(out->json = pf_json_new()))
        return pf_err_nomem(e);
    tm_list *all = pf_arena_calloc(&out->arena, 1, sizeof *all);
    if (!all)
        return pf_err_nomem(e);
    for (size_t i = 0; i < a->n_msg && rc == 0; i++) {
        tm_val v;
        rc = of_message(&x, out->json, &a->msg[i], &v);
        if (rc == 0 && pf_tm_list_add(all, v, &out->arena) < 0)
            rc = pf_err_nomem(e);
    }
    if (rc == 0)
        rc = render(&x, a, out->json, all, a->n_msg, a->add_generation_prompt);
    if (rc == 0 && !a->mark_loss)
        x.n_mark = 0;
    else if (rc == 0 && !t->has_generation)
        rc = find_turns(&x, &y, a, out->json, all);
    if (rc == 0)
        rc = make_spans(&x, out, e);
    if (rc == 0) {
        pf_buf_clear(&out->text);
        pf_buf_add(&out->text, x.out.text.p, x.out.text.n);
        if (pf_buf_failed(&out->text))
            rc = pf_err_nomem(e);
    }
    release_ctx(&x);
    release_ctx(&y);
    return rc;
}
