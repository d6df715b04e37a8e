/* SPDX-License-Identifier: MIT */
#include "tools/prefshard_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/record.h"
#include "formats/export.h"
#include "formats/record_writer.h"
#include "text/tokenizer.h"

/* ------------------------------------------------------------------ ls -- */

static void print_ident(const char *title, const pf_ident *id)
{
    for (size_t i = 0; i < id->n; i++)
        printf("%s %s=%s\n", title, id->item[i].key, id->item[i].value);
}

static void print_total(const pf_rows_head *h, const pf_rows_total *t)
{
    char hex[PF_SHA256_HEX];
    printf("kind %s\nrows %" PRIu64 "\ntokens %" PRIu64
           "\ncompletion_tokens %" PRIu64 "\nvocab %u\nid_bytes %d\n",
           pf_row_kind_name(h->kind), t->rows, t->tokens, t->completion,
           h->vocab, h->vocab <= 65536 ? 2 : 4);
    printf("set_id %s\n", pf_hex(t->set_id, PF_SHA256_BYTES, hex));
    for (int i = 0; i < PF_REASON_COUNT; i++)
        if (t->tally.count[i])
            printf("tally %s=%" PRIu64 "\n", pf_reason_name((pf_reason)i),
                   t->tally.count[i]);
}

static int ls_refs(const char *dir, pf_err *e)
{
    char **names = NULL;
    size_t n = 0;
    int rc = pf_set_ref_names(dir, &names, &n, e);
    for (size_t i = 0; i < n; i++) {
        pf_set *s = NULL;
        char title[96];
        if (rc == 0)
            rc = pf_set_open(&s, dir, names[i], e);
        if (rc == 0) {
            snprintf(title, sizeof title, "reference %s", names[i]);
            print_ident(title, pf_set_ref_ident(s));
        }
        pf_set_close(s);
        pf_free(names[i]);
    }
    pf_free(names);
    return rc;
}

/* One line of Python for every section of every chunk file of the set. */
static int ls_numpy(const char *dir, pf_err *e)
{
    char **names = NULL;
    size_t n = 0;
    int rc = pf_list_dir(dir, &names, &n, e);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        const char *end = len > 4 ? names[i] + len - 4 : "";
        if (rc == 0 && strncmp(names[i], "shard-", 6) == 0 &&
            (strcmp(end, ".prf") == 0 || strcmp(end, ".ref") == 0))
            rc = pf_shard_numpy(dir, names[i], stdout, e);
        pf_free(names[i]);
    }
    pf_free(names);
    return rc;
}

int pf_prefshard_ls(const pf_prefshard *s, const char *path, pf_err *e)
{
    pf_rows_in *in = NULL;
    const pf_chunk *c;
    bool dir = strcmp(path, "-") != 0 && pf_path_is_dir(path);
    uint64_t chunks = 0;
    if (s->numpy && !dir)
        return pf_err_set(e, PF_E_USAGE, "--numpy is for sets");
    if (s->numpy)
        return ls_numpy(path, e);
    int rc = pf_rows_in_open(&in, path, e);
    uint32_t refs = 0;
    while (rc == 0 && (rc = pf_rows_in_next(in, &c, e)) == 1) {
        if (chunks++ == 0 && !dir) {
            refs = pf_chunk_refs(c);
            for (uint32_t r = 0; r < refs; r++) {
                char title[96];
                pf_ref_decl d = pf_chunk_ref(c, r);
                snprintf(title, sizeof title, "reference %s", d.name);
                print_ident(title, d.ident);
            }
        }
        rc = 0;
    }
    if (rc == 0) {
        print_total(pf_rows_in_head(in), pf_rows_in_total(in));
        printf("%s %" PRIu64 "\n", dir ? "shards" : "chunks", chunks);
        print_ident("recipe", &pf_rows_in_head(in)->recipe);
    }
    pf_rows_in_close(in);
    return rc == 0 && dir ? ls_refs(path, e) : rc;
}

/* -------------------------------------------------------------- verify -- */

int pf_prefshard_verify(const pf_prefshard *s, const char *path, pf_err *e)
{
    pf_rows_in *in = NULL;
    const pf_chunk *c;
    int rc;
    if (strcmp(path, "-") != 0 && pf_path_is_dir(path)) {
        rc = pf_set_verify(path, e);
    } else {
        rc = pf_rows_in_open(&in, path, e);
        while (rc == 0 && (rc = pf_rows_in_next(in, &c, e)) == 1)
            rc = pf_chunk_verify(c, e);
        pf_rows_in_close(in);
    }
    if (rc == 0 && !s->common.quiet)
        printf("%s: ok\n", path);
    return rc;
}

/* ---------------------------------------------------------------- rows -- */

/* Goes over the rows of an input with the reference that was asked for. */
typedef struct walk {
    const pf_prefshard *s;
    pf_rows_in *in;
    uint64_t at; /* rows so far */
    int (*row)(struct walk *w, const pf_chunk *c, uint32_t i,
               const pf_row_ref *ref, pf_err *e);
    void *ctx;
} walk;

/* Which of the chunk's references, -1 = none. */
static int choose_ref(const walk *w, const pf_chunk *c, int *out, pf_err *e)
{
    uint32_t n = pf_chunk_refs(c);
    const char *want = w->s->ref;
    *out = -1;
    if (want && strcmp(want, "imported") == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        if (!want || strcmp(pf_chunk_ref(c, i).name, want) == 0)
            *out = (int)i;
    if (want && *out < 0)
        return pf_err_set(e, PF_E_IDENTITY, "no references '%s'", want);
    if (!want && n > 1)
        return pf_err_set(e, PF_E_USAGE, "%u references: name one with --ref "
                          "('%s', '%s' ..)", n, pf_chunk_ref(c, 0).name,
                          pf_chunk_ref(c, 1).name);
    return 0;
}

static int walk_rows(walk *w, pf_err *e)
{
    const pf_chunk *c;
    uint64_t limit = (uint64_t)w->s->common.limit;
    int rc;
    while ((rc = pf_rows_in_next(w->in, &c, e)) == 1) {
        int ref;
        rc = choose_ref(w, c, &ref, e);
        if (rc < 0)
            return rc;
        for (uint32_t i = 0; i < pf_chunk_rows(c); i++, w->at++) {
            pf_row_ref r;
            if (limit && w->at >= limit)
                break; /* the rest is still read: its end is checked */
            if (ref >= 0)
                pf_chunk_row_ref(c, i, (uint32_t)ref, &r);
            rc = w->row(w, c, i, ref >= 0 ? &r : NULL, e);
            if (rc < 0)
                return rc;
        }
    }
    return rc;
}

typedef struct exporting {
    pf_record_writer lines;
    pf_buf buf;
    unsigned flags;
} exporting;

static int export_row(walk *w, const pf_chunk *c, uint32_t i,
                      const pf_row_ref *ref, pf_err *e)
{
    exporting *x = w->ctx;
    pf_row row;
    pf_chunk_row(c, i, &row);
    pf_buf_clear(&x->buf);
    pf_export_row(&x->buf, &row, ref, x->flags);
    if (pf_buf_failed(&x->buf))
        return pf_err_nomem(e);
    pf_record_writer_put(&x->lines, pf_buf_slice(&x->buf));
    return 0;
}

int pf_prefshard_export(const pf_prefshard *s, const char *path, pf_err *e)
{
    exporting x = {0};
    walk w = {.s = s, .row = export_row, .ctx = &x};
    x.flags = (s->to == 1 ? PF_EXPORT_SRC : 0u) |
              (s->per_token ? PF_EXPORT_TOKENS : 0u);
    int rc = pf_rows_in_open(&w.in, path, e);
    if (rc == 0)
        rc = pf_writer_open(&x.lines.w, s->output ? s->output : "-",
                            s->common.force ? PF_WRITE_REPLACE : PF_WRITE_NEW,
                            e);
    if (rc == 0)
        rc = walk_rows(&w, e);
    if (rc == 0) {
        pf_record_writer_finish(&x.lines);
        pf_writer *out = x.lines.w;
        x.lines.w = NULL;
        rc = pf_writer_commit(out, e);
    }
    pf_writer_abort(x.lines.w);
    pf_buf_release(&x.buf);
    pf_rows_in_close(w.in);
    return rc;
}

/* ---------------------------------------------------------------- show -- */

typedef struct showing {
    pf_tokenizer *tok; /* NULL: none is stored, or one that is not read */
    uint64_t row;      /* wanted index, or UINT64_MAX */
    uint64_t id;       /* wanted row_id */
    bool by_id, any;
    pf_buf buf;
} showing;

static int show_part(showing *x, const char *name, const pf_row *r,
                     uint64_t from, uint32_t n, pf_err *e)
{
    pf_buf text = {0};
    int rc = 0;
    printf("  %s: %u tokens\n    ", name, n);
    if (x->tok) {
        uint32_t *id = pf_calloc(n, sizeof *id);
        for (uint32_t i = 0; id && i < n; i++)
            id[i] = pf_row_id_at(r, from + i);
        rc = id ? pf_tok_decode(x->tok, id, n, false, &text, e)
                : pf_err_nomem(e);
        pf_free(id);
        pf_buf_clear(&x->buf);
        if (rc == 0)
            pf_json_quote(&x->buf, pf_buf_slice(&text));
        if (rc == 0 && !pf_buf_failed(&x->buf))
            fwrite(x->buf.p, 1, x->buf.n, stdout);
    } else {
        for (uint32_t i = 0; i < n; i++)
            printf("%s%u", i ? " " : "", pf_row_id_at(r, from + i));
    }
    putchar('\n');
    pf_buf_release(&text);
    return rc;
}

static void show_mask(const pf_row *r)
{
    printf("  loss: ");
    for (uint32_t i = 0, from = 0; i <= r->b_len[0]; i++) {
        bool on = i < r->b_len[0] && pf_row_mask_at(r, i);
        bool was = i > 0 && pf_row_mask_at(r, i - 1);
        if (on && !was)
            from = i;
        if (was && !on)
            printf("[%u,%u) ", from, i);
    }
    putchar('\n');
}

static int show_row(walk *w, const pf_chunk *c, uint32_t i,
                    const pf_row_ref *ref, pf_err *e)
{
    static const char *const branch[2][2] = {{"completion", NULL},
                                             {"chosen", "rejected"}};
    showing *x = w->ctx;
    pf_row r;
    char src[40];
    pf_chunk_row(c, i, &r);
    if (x->by_id ? r.row_id != x->id
                 : x->row != UINT64_MAX && w->at != x->row)
        return 0;
    x->any = true;
    pf_hash128 key = pf_chunk_key(c, i);
    pf_src_text(pf_src_of_row_id(r.row_id), src);
    printf("row %" PRIu64 " %s src=%s key=%016" PRIx64 "%016" PRIx64 "%s%s%s",
           w->at, pf_row_kind_name(r.kind), src, key.hi, key.lo,
           r.flags & PF_ROW_TRUNCATED_PROMPT ? " truncated_prompt" : "",
           r.flags & PF_ROW_TRUNCATED_BRANCH ? " truncated_branch" : "",
           r.flags & PF_ROW_BOUNDARY_MOVED ? " boundary_moved" : "");
    if (r.kind == PF_ROW_UNPAIRED)
        printf(" label=%s", r.label ? "true" : "false");
    putchar('\n');
    uint64_t at = r.p_len;
    int rc = r.p_len ? show_part(x, "prompt", &r, 0, r.p_len, e) : 0;
    for (uint32_t k = 0; k < r.n_branch && rc == 0; k++) {
        const char *name = r.kind == PF_ROW_SEQ
                               ? "sequence"
                               : branch[r.kind == PF_ROW_PAIR][k];
        rc = show_part(x, name, &r, at, r.b_len[k], e);
        at += r.b_len[k];
        if (ref)
            printf("    reference log-prob %.6f\n", ref->sum[k]);
        else if (r.has_ref)
            printf("    imported log-prob %.6f\n", r.ref_sum[k]);
    }
    if (r.kind == PF_ROW_SEQ)
        show_mask(&r);
    return rc;
}

static int want_row(showing *x, const char *row, pf_err *e)
{
    pf_src src;
    char *end;
    x->row = UINT64_MAX;
    if (!row)
        return 0;
    if (strchr(row, ':')) {
        if (!pf_src_parse(pf_slice_of(row), &src))
            return pf_err_set(e, PF_E_USAGE, "--row: want N or "
                              "FILE:OFFSET:SUB");
        x->by_id = true;
        x->id = pf_src_row_id(src);
        return 0;
    }
    x->row = strtoull(row, &end, 10);
    if (!*row || *end || strchr(row, '-'))
        return pf_err_set(e, PF_E_USAGE, "--row: want N or FILE:OFFSET:SUB");
    return 0;
}

int pf_prefshard_show(const pf_prefshard *s, const char *path, pf_err *e)
{
    showing x = {0};
    walk w = {.s = s, .row = show_row, .ctx = &x};
    int rc = want_row(&x, s->row, e);
    if (rc == 0)
        rc = pf_rows_in_open(&w.in, path, e);
    if (rc == 0 && pf_rows_in_head(w.in)->tokenizer_json) {
        const pf_rows_head *h = pf_rows_in_head(w.in);
        pf_err why = PF_ERR_INIT;
        if (pf_tokenizer_of_json(
                &x.tok,
                (pf_slice){h->tokenizer_json, h->tokenizer_json_n},
                (pf_slice){h->tokenizer_config, h->tokenizer_config_n},
                "the stored tokenizer", &why) < 0)
            pf_log_msg(pf_tool_log(), PF_LOG_WARN, "no text: %s", why.msg);
    }
    if (rc == 0)
        rc = walk_rows(&w, e);
    if (rc == 0 && s->row && !x.any)
        rc = pf_err_set(e, PF_E_USAGE, "no row %s in %s", s->row, path);
    pf_tokenizer_free(x.tok);
    pf_buf_release(&x.buf);
    pf_rows_in_close(w.in);
    return rc;
}
