/* SPDX-License-Identifier: MIT */
#include "tools/refscore_int.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "formats/export.h"
#include "formats/record_writer.h"

enum { MAX_REFS = 16 };

void pf_refscore_release(pf_refscore *r)
{
    pf_ident_release(&r->ident);
    pf_scorer_free(r->scorer);
    pf_writer_abort(r->w);
    pf_free(r->row);
    pf_free(r->token);
    pf_free(r->sum);
}

static int make_room(pf_refscore *r, size_t rows, uint32_t K, pf_err *e)
{
    if (PF_GROW(&r->row, &r->cap_row, rows) &&
        PF_GROW(&r->sum, &r->cap_sum, rows * K))
        return 0;
    return pf_err_nomem(e);
}

/* Room for the tokens of r->row[0 .. n). */
static int token_room(pf_refscore *r, size_t n, uint64_t *tokens, pf_err *e)
{
    *tokens = 0;
    for (size_t i = 0; i < n; i++)
        *tokens += pf_row_completion(&r->row[i]);
    return PF_GROW(&r->token, &r->cap_token, (size_t)*tokens)
               ? 0
               : pf_err_nomem(e);
}

static int score(pf_refscore *r, uint64_t first, size_t n, pf_err *e)
{
    if (r->stopped && r->stopped())
        return pf_err_set(e, PF_E_IO, "stopped by a signal");
    int rc = pf_score_rows(r->scorer, r->row, n, r->token, r->sum, e);
    if (rc < 0 && e && e->code) {
        size_t len = strlen(e->msg);
        snprintf(e->msg + len, sizeof e->msg - len,
                 " (counting from row %llu)", (unsigned long long)first);
    }
    return rc;
}

/* -------------------------------------------------------------- filter -- */

typedef struct flow {
    pf_refscore *r;
    pf_rows_in *in;
    pf_rows_head head; /* with our provenance */
    pf_rows_out *out;
    pf_record_writer lines;
    pf_buf line;
    uint64_t at; /* row of the input */
    uint32_t n_old; /* references that came */
} flow;

static int open_out(flow *f, const pf_chunk *c, pf_err *e)
{
    pf_refscore *r = f->r;
    pf_ref_decl refs[MAX_REFS + 1];
    f->n_old = pf_chunk_refs(c);
    if (f->n_old > MAX_REFS - 1)
        return pf_err_set(e, PF_E_LIMIT, "the rows have %u references",
                          f->n_old);
    for (uint32_t i = 0; i < f->n_old; i++) {
        refs[i] = pf_chunk_ref(c, i);
        if (strcmp(refs[i].name, r->name) == 0)
            return pf_err_set(e, PF_E_USAGE, "the rows have references named "
                              "'%s' already: choose a --name", r->name);
    }
    refs[f->n_old] = (pf_ref_decl){r->name, &r->ident};
    pf_rows_out_opts o = {.dir = r->dir, .w = r->w, .replace = r->force,
                          .refs = refs, .n_refs = f->n_old + 1};
    if (r->lines)
        return 0;
    int rc = pf_rows_out_open(&f->out, &f->head, &o, e);
    if (rc == 0 && r->dir && !r->resume)
        rc = pf_ref_part_remove(r->dir, r->name, e);
    return rc;
}

static int emit(flow *f, const pf_chunk *c, uint32_t i, const pf_row *row,
                const pf_row_ref *own, pf_err *e)
{
    if (f->out) {
        pf_row_ref refs[MAX_REFS];
        for (uint32_t k = 0; k < f->n_old; k++)
            pf_chunk_row_ref(c, i, k, &refs[k]);
        refs[f->n_old] = *own;
        return pf_rows_out_add_refs(f->out, row, refs, e);
    }
    pf_buf_clear(&f->line);
    pf_export_row(&f->line, row, own, PF_EXPORT_SRC);
    if (pf_buf_failed(&f->line))
        return pf_err_nomem(e);
    pf_record_writer_put(&f->lines, pf_buf_slice(&f->line));
    return 0;
}

/* Rows [first, first + n) of a chunk: scored, or taken from a part. */
static int batch(flow *f, const pf_chunk *c, uint32_t first, uint32_t n,
                 pf_err *e)
{
    pf_refscore *r = f->r;
    uint32_t K = pf_rows_in_head(f->in)->n_branch;
    uint64_t tokens;
    int rc = make_room(r, n, K, e);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        pf_chunk_row(c, first + i, &r->row[i]);
    if (rc == 0)
        rc = token_room(r, n, &tokens, e);
    if (rc == 0 && r->dir && r->resume)
        rc = pf_ref_part_load(r->dir, r->name, &r->ident, c, first, n,
                                  r->token, r->sum, e);
    if (rc == 0) {
        rc = score(r, f->at + first, n, e);
        if (rc == 0 && r->dir)
            rc = pf_ref_part_save(r->dir, r->name, &r->ident, c, first, n,
                               r->token, r->sum, e);
    }
    const float *t = r->token;
    for (uint32_t i = 0; i < n && rc >= 0; i++) {
        pf_row_ref own = {.token = t};
        memcpy(own.sum, r->sum + (size_t)i * K, K * sizeof *own.sum);
        rc = emit(f, c, first + i, &r->row[i], &own, e);
        t += pf_row_completion(&r->row[i]);
    }
    r->rows += n;
    r->tokens += tokens;
    if (rc >= 0 && r->progress)
        r->progress(r->ctx, r->rows, 0);
    return rc < 0 ? rc : 0;
}

static int all_chunks(flow *f, pf_err *e)
{
    pf_refscore *r = f->r;
    const pf_chunk *c;
    bool open = false;
    int rc;
    while ((rc = pf_rows_in_next(f->in, &c, e)) == 1) {
        uint32_t n = pf_chunk_rows(c);
        if (!open) {
            rc = open_out(f, c, e);
            if (rc < 0)
                return rc;
            open = true;
        }
        if (r->limit && n > r->limit - r->rows)
            n = (uint32_t)(r->limit - r->rows);
        for (uint32_t first = 0; first < n; first += PF_REF_GRID) {
            rc = batch(f, c, first, PF_MIN(n - first, PF_REF_GRID), e);
            if (rc < 0)
                return rc;
        }
        f->at += pf_chunk_rows(c);
        if (r->w && r->lines) {
            rc = pf_writer_flush(r->w, e);
            if (rc < 0)
                return rc;
        }
    }
    return rc;
}

static int finish(flow *f, pf_err *e)
{
    pf_refscore *r = f->r;
    int rc = 0;
    r->tally = pf_rows_in_total(f->in)->tally;
    if (f->out) {
        pf_rows_out *out = f->out;
        f->out = NULL;
        rc = pf_rows_out_finish(out, &r->tally, NULL, e);
    } else {
        pf_record_writer_finish(&f->lines);
    }
    if (rc == 0 && r->dir)
        rc = pf_ref_part_remove(r->dir, r->name, e);
    if (rc == 0 && r->w) {
        pf_writer *w = r->w;
        r->w = NULL;
        rc = pf_writer_commit(w, e);
    }
    return rc;
}

/* --resume of a landing that was finished: the same rows, the same
 * reference? Then there is nothing to do. */
static int already_there(pf_refscore *r, pf_rows_in *in, pf_err *e)
{
    pf_set *s = NULL;
    const pf_chunk *c;
    int rc = pf_set_open(&s, r->dir, r->name, e);
    if (rc == 0)
        rc = pf_ident_require(&r->ident, pf_set_ref_ident(s), "references",
                              e);
    while (rc == 0 && (rc = pf_rows_in_next(in, &c, e)) == 1)
        rc = 0;
    if (rc == 0 && memcmp(pf_rows_in_total(in)->set_id,
                          pf_set_total(s)->set_id, PF_SHA256_BYTES) != 0)
        rc = pf_err_pos(e, PF_E_IDENTITY, r->dir, 0, -1,
                        "holds a finished set of other rows");
    pf_set_close(s);
    return rc;
}

int pf_refscore_filter(pf_refscore *r, pf_rows_in *in, int argc, char **argv,
                       pf_err *e)
{
    flow f = {.r = r, .in = in, .lines = {.w = r->w}};
    if (r->dir && r->resume && !r->force) {
        char *m = pf_path_join(r->dir, "manifest.json");
        if (!m)
            return pf_err_nomem(e);
        bool there = pf_path_exists(m);
        pf_free(m);
        if (there)
            return already_there(r, in, e);
    }
    int rc = pf_rows_head_copy(&f.head, pf_rows_in_head(in), e);
    if (rc == 0)
        rc = pf_provenance_add(&f.head, "refscore", argc, argv, e);
    if (rc == 0)
        rc = all_chunks(&f, e);
    if (rc == 0)
        rc = finish(&f, e);
    pf_rows_out_abort(f.out);
    pf_rows_head_release(&f.head);
    pf_buf_release(&f.line);
    return rc;
}

/* ------------------------------------------------------------ in place -- */

static int one_cell(pf_refscore *r, pf_ref_out *o, uint32_t i, pf_err *e)
{
    const pf_rowset *rows = pf_ref_out_rows(o);
    uint64_t first, tokens;
    uint32_t n;
    bool done;
    pf_ref_out_cell(o, i, &first, &n, &done);
    int rc = make_room(r, n, rows->n_branch, e);
    for (uint32_t k = 0; k < n && rc == 0; k++)
        rc = rows->get(rows, first + k, &r->row[k], e);
    if (rc == 0)
        rc = token_room(r, n, &tokens, e);
    if (rc < 0)
        return rc;
    if (!done) {
        rc = score(r, first, n, e);
        if (rc == 0)
            rc = pf_ref_out_put(o, i, r->token, r->sum, e);
    }
    r->rows += n;
    r->tokens += tokens;
    if (rc == 0 && r->progress)
        r->progress(r->ctx, r->rows, rows->n_rows);
    return rc;
}

/* 1 when --resume finds the reference complete. */
static int finished_before(const pf_refscore *r, pf_err *e)
{
    char **names = NULL;
    size_t n = 0;
    bool there = false;
    int rc = pf_set_ref_names(r->dir, &names, &n, e);
    for (size_t i = 0; i < n; i++) {
        there = there || strcmp(names[i], r->name) == 0;
        pf_free(names[i]);
    }
    pf_free(names);
    if (rc < 0 || !there)
        return rc;
    pf_set *s = NULL;
    rc = pf_set_open(&s, r->dir, r->name, e);
    if (rc == 0)
        rc = pf_ident_require(&r->ident, pf_set_ref_ident(s), "references",
                              e);
    pf_set_close(s);
    return rc < 0 ? rc : 1;
}

int pf_refscore_in_place(pf_refscore *r, pf_err *e)
{
    pf_ref_out *o = NULL;
    int rc = r->resume && !r->force ? finished_before(r, e) : 0;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = pf_ref_out_open(&o, r->dir, r->name, &r->ident, r->resume, r->force,
                         e);
    if (rc < 0)
        return rc;
    rc = pf_scorer_check_vocab(r->scorer, pf_ref_out_rows(o)->vocab, e);
    for (uint32_t i = 0; i < pf_ref_out_cells(o) && rc == 0; i++)
        rc = one_cell(r, o, i, e);
    if (rc < 0) {
        pf_ref_out_abort(o);
        return rc;
    }
    return pf_ref_out_finish(o, e);
}
