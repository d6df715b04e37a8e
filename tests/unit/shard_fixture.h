/* SPDX-License-Identifier: MIT
 *
 * Made-up rows and directories for the container's tests. */
#ifndef PF_TESTS_SHARD_FIXTURE_H
#define PF_TESTS_SHARD_FIXTURE_H

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "formats/shard.h"

enum { FX_MAX = 64 };

/* Row i of a made-up set: lengths and ids by i alone. */
typedef struct fx_row {
    pf_row row;
    uint32_t ids[3 * FX_MAX];
    uint8_t mask[3 * FX_MAX / 8];
    float logp[3 * FX_MAX];
    pf_row_ref ref;
} fx_row;

static inline uint32_t fx_rand(uint64_t i, uint32_t what, uint32_t n)
{
    return (uint32_t)pf_rand_below(7, i, what, n);
}

static inline void fx_make(fx_row *f, pf_row_kind kind, uint32_t vocab,
                           uint64_t i)
{
    pf_row *r = &f->row;
    *r = (pf_row){.kind = kind, .id_size = 4, .ids = f->ids,
                  .n_branch = kind == PF_ROW_PAIR ? 2 : 1,
                  .row_id = i << 12, .flags = (uint8_t)fx_rand(i, 1, 8),
                  .label = kind == PF_ROW_UNPAIRED && fx_rand(i, 2, 2)};
    r->p_len = kind == PF_ROW_SEQ ? 0 : 1 + fx_rand(i, 3, FX_MAX - 1);
    for (uint32_t k = 0; k < r->n_branch; k++)
        r->b_len[k] = 1 + fx_rand(i, 4 + k, FX_MAX - 1);
    uint64_t n = pf_row_tokens(r), c = pf_row_completion(r), at = 0;
    memset(f->mask, 0, sizeof f->mask);
    for (uint64_t t = 0; t < n; t++) {
        f->ids[t] = fx_rand(i, 100 + (uint32_t)t, vocab);
        if (fx_rand(i, 500 + (uint32_t)t, 2))
            f->mask[t / 8] |= (uint8_t)(1u << t % 8);
    }
    if (kind == PF_ROW_SEQ)
        r->mask = f->mask;
    f->ref.token = f->logp;
    for (uint64_t t = 0; t < c; t++)
        f->logp[t] = -(float)pf_rand_f64(9, i, t);
    for (uint32_t k = 0; k < r->n_branch; k++) {
        f->ref.sum[k] = 0;
        for (uint32_t t = 0; t < r->b_len[k]; t++)
            f->ref.sum[k] += (double)f->logp[at++];
    }
}

static inline int fx_head(pf_rows_head *h, pf_row_kind kind, uint32_t vocab,
                          pf_err *e)
{
    char name[] = "t", *argv[] = {name};
    *h = (pf_rows_head){.kind = kind, .vocab = vocab,
                        .n_branch = kind == PF_ROW_PAIR ? 2 : 1};
    int rc = pf_ident_set(&h->recipe, "tokenizer.digest", "abc", e);
    if (rc == 0)
        rc = pf_ident_setf(&h->recipe, e, "max_length", "%d", 512);
    if (rc == 0)
        rc = pf_provenance_add(h, "t", 1, argv, e);
    h->tokenizer_json = pf_strdup("{\"version\":\"1.0\"}");
    h->tokenizer_json_n = 17;
    h->chat_template = pf_strdup("{{ messages }}");
    h->chat_template_n = 14;
    if (rc == 0 && (!h->tokenizer_json || !h->chat_template))
        rc = pf_err_nomem(e);
    if (rc < 0)
        pf_rows_head_release(h);
    return rc;
}

/* Writes rows [0, n) with n_refs references ("a", "b"). */
static inline int fx_write(const pf_rows_out_opts *base, pf_row_kind kind,
                           uint32_t vocab, uint32_t n, uint32_t n_refs,
                           pf_rows_total *total, pf_err *e)
{
    pf_rows_out_opts o = *base;
    pf_rows_out *out = NULL;
    pf_rows_head h = {0};
    pf_ident id[2] = {{0}, {0}};
    pf_ref_decl decl[2] = {{"a", &id[0]}, {"b", &id[1]}};
    pf_tally tally = {.in = n + 1, .count = {n}};
    fx_row *f = malloc(sizeof *f);
    int rc = pf_ident_set(&id[0], "model.weights", "aaaa", e);
    if (rc == 0)
        rc = pf_ident_set(&id[1], "model.weights", "bbbb", e);
    if (rc == 0)
        rc = fx_head(&h, kind, vocab, e);
    o.refs = decl;
    o.n_refs = n_refs;
    tally.count[PF_REASON_TOO_LONG] = 1;
    if (rc == 0)
        rc = pf_rows_out_open(&out, &h, &o, e);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        fx_make(f, kind, vocab, i);
        pf_row_ref refs[2] = {f->ref, f->ref};
        rc = pf_rows_out_add_refs(out, &f->row, refs, e);
    }
    if (rc == 0)
        rc = pf_rows_out_finish(out, &tally, total, e);
    else
        pf_rows_out_abort(out);
    free(f);
    pf_ident_release(&id[0]);
    pf_ident_release(&id[1]);
    pf_rows_head_release(&h);
    return rc;
}

static inline int fx_write_file(const char *path, pf_row_kind kind,
                                uint32_t vocab, uint32_t n, uint32_t n_refs,
                                pf_err *e)
{
    pf_writer *w = NULL;
    int rc = pf_writer_open(&w, path, PF_WRITE_REPLACE, e);
    if (rc < 0)
        return rc;
    pf_rows_out_opts o = {.w = w};
    rc = fx_write(&o, kind, vocab, n, n_refs, NULL, e);
    if (rc < 0)
        pf_writer_abort(w);
    else
        rc = pf_writer_commit(w, e);
    return rc;
}

/* Does row r equal the made-up row i? */
static inline bool fx_same(const pf_row *r, pf_row_kind kind, uint32_t vocab,
                           uint64_t i)
{
    fx_row *f = malloc(sizeof *f);
    fx_make(f, kind, vocab, i);
    uint64_t n = pf_row_tokens(&f->row);
    bool ok = r->kind == kind && r->flags == f->row.flags &&
              r->label == f->row.label && r->row_id == f->row.row_id &&
              r->n_branch == f->row.n_branch && r->p_len == f->row.p_len &&
              pf_row_tokens(r) == n && r->b_len[0] == f->row.b_len[0];
    for (uint64_t t = 0; t < n && ok; t++)
        ok = pf_row_id_at(r, t) == f->ids[t] &&
             pf_row_mask_at(r, t) == pf_row_mask_at(&f->row, t);
    pf_hash128 a = pf_row_key(r), b = pf_row_key(&f->row);
    ok = ok && a.lo == b.lo && a.hi == b.hi;
    free(f);
    return ok;
}

static inline bool fx_same_ref(const pf_row_ref *r, pf_row_kind kind,
                               uint32_t vocab, uint64_t i)
{
    fx_row *f = malloc(sizeof *f);
    fx_make(f, kind, vocab, i);
    bool ok = memcmp(r->token, f->logp,
                     4 * pf_row_completion(&f->row)) == 0;
    for (uint32_t k = 0; k < f->row.n_branch; k++)
        ok = ok && r->sum[k] == f->ref.sum[k];
    free(f);
    return ok;
}

static char fx_dir[64];

static inline const char *fx_tmp(void)
{
    if (!fx_dir[0]) {
        const char *t = getenv("TMPDIR");
        snprintf(fx_dir, sizeof fx_dir, "%.40s/pf_shard_XXXXXX",
                 t ? t : "/tmp");
        if (!mkdtemp(fx_dir))
            abort();
    }
    return fx_dir;
}

/* "TMP/name" in a static buffer, eight at a time. */
static inline const char *fx_path(const char *name)
{
    static char buf[8][160];
    static int at;
    char *p = buf[at++ % 8];
    snprintf(p, sizeof buf[0], "%s/%s", fx_tmp(), name);
    return p;
}

static inline void fx_remove_dir(const char *dir)
{
    char **names;
    size_t n;
    if (pf_list_dir(dir, &names, &n, NULL) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        char *p = pf_path_join(dir, names[i]);
        if (pf_path_is_dir(p))
            fx_remove_dir(p);
        else
            unlink(p);
        pf_free(p);
        pf_free(names[i]);
    }
    pf_free(names);
    rmdir(dir);
}

#endif
