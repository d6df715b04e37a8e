/* SPDX-License-Identifier: MIT
 *
 * pf_rows_out: rows -> a chunk stream, or a set's directory.
 *
 * Chunks and shards are cut by content alone (rows, bytes of ids), never by
 * time or by how the rows arrived, so equal rows give equal bytes. */
#include "formats/shard_int.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    STREAM_BYTES = 1 << 20,
    STREAM_ROWS = 1024,
    SHARD_BYTES = 64 << 20,
    SHARD_ROWS = 32768,
};

struct pf_rows_out {
    pf_rows_head head;
    uint8_t recipe[PF_SHA256_BYTES];
    pf_gather g;
    pf_totals totals;
    uint64_t max_bytes, seq;
    uint32_t max_rows, n_refs;
    char *ref_name[PF_MAX_REFS];
    pf_ref_manifest ref[PF_MAX_REFS]; /* ident in both forms */
    bool sums_only[PF_MAX_REFS];
    pf_writer *w; /* stream */
    char *dir;    /* set */
    bool replace, made_dir;
    int lock;
    pf_manifest man;
    pf_sums sums;
};

static void stream_write(void *ctx, const void *p, size_t n)
{
    pf_writer_write(ctx, p, n);
}

static void out_free(pf_rows_out *o)
{
    pf_gather_release(&o->g);
    pf_rows_head_release(&o->head);
    for (uint32_t i = 0; i < o->n_refs; i++) {
        pf_ref_manifest_release(&o->ref[i]);
        pf_free(o->ref_name[i]);
    }
    pf_manifest_release(&o->man);
    pf_sums_release(&o->sums);
    if (o->lock >= 0)
        close(o->lock);
    pf_free(o->dir);
    pf_free(o);
}

static int ident_copy(pf_ident *to, const pf_ident *from, pf_err *e)
{
    int rc = 0;
    for (size_t i = 0; i < from->n && rc == 0; i++)
        rc = pf_ident_set(to, from->item[i].key, from->item[i].value, e);
    return rc;
}

static int take_refs(pf_rows_out *o, const pf_rows_out_opts *opts, pf_err *e)
{
    if (opts->n_refs > PF_MAX_REFS)
        return pf_err_set(e, PF_E_LIMIT, "more than %d references",
                          PF_MAX_REFS);
    if (opts->n_refs && o->head.kind == PF_ROW_SEQ)
        return pf_err_set(e, PF_E_USAGE, "seq rows take no references");
    for (uint32_t i = 0; i < opts->n_refs; i++) {
        const char *name = opts->refs[i].name;
        int rc = pf_ref_name_check(name, e);
        for (uint32_t k = 0; k < i && rc == 0; k++)
            if (strcmp(name, o->ref_name[k]) == 0)
                rc = pf_err_set(e, PF_E_USAGE,
                                "two references named '%s'", name);
        if (rc < 0)
            return rc;
        o->n_refs = i + 1;
        snprintf(o->ref[i].name, sizeof o->ref[i].name, "%s", name);
        o->ref_name[i] = pf_strdup(name);
        if (!o->ref_name[i])
            return pf_err_nomem(e);
        rc = ident_copy(&o->ref[i].ident, opts->refs[i].ident, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static bool is_manifest(const char *name, void *ctx)
{
    (void)ctx;
    return strcmp(name, "manifest.json") == 0;
}

/* Everything of a set but its manifest and its temporaries. */
static bool is_published(const char *name, void *ctx)
{
    size_t n = strlen(name);
    bool tmp = pf_is_temporary(name, ctx);
    if (tmp || is_manifest(name, ctx))
        return false;
    return (strncmp(name, "shard-", 6) == 0 && n > 4 &&
            (strcmp(name + n - 4, ".prf") == 0 ||
             strcmp(name + n - 4, ".ref") == 0 ||
             (n > 5 && strcmp(name + n - 5, ".part") == 0))) ||
           (n > 9 && strcmp(name + n - 9, ".ref.json") == 0) ||
           strcmp(name, "SHA256SUMS") == 0 ||
           strcmp(name, "provenance.jsonl") == 0 ||
           strcmp(name, "tokenizer.json.zst") == 0 ||
           strcmp(name, "tokenizer_config.json.zst") == 0 ||
           strcmp(name, "chat_template.jinja.zst") == 0;
}

static int open_dir(pf_rows_out *o, pf_err *e)
{
    o->made_dir = !pf_path_exists(o->dir);
    int rc = pf_make_dirs(o->dir, e);
    if (rc == 0)
        rc = pf_dir_lock(o->dir, &o->lock, e);
    if (rc < 0)
        return rc;
    char *m = pf_path_join(o->dir, "manifest.json");
    if (!m)
        return pf_err_nomem(e);
    if (pf_path_exists(m) && !o->replace)
        rc = pf_err_pos(e, PF_E_IO, o->dir, 0, -1,
                        "a set is there already (-f replaces it)");
    pf_free(m);
    return rc < 0 ? rc : pf_dir_sweep(o->dir, pf_is_temporary, NULL, e);
}

static int start(pf_rows_out *o, const pf_rows_out_opts *opts, pf_err *e)
{
    int rc = pf_ident_digest(&o->head.recipe, o->recipe, e);
    if (rc == 0)
        rc = take_refs(o, opts, e);
    if (rc < 0)
        return rc;
    pf_totals_init(&o->totals, o->recipe);
    pf_gather_init(&o->g, &o->head, o->n_refs);
    if (opts->dir) {
        o->max_bytes = opts->shard_bytes ? opts->shard_bytes : SHARD_BYTES;
        o->max_rows = opts->shard_rows ? opts->shard_rows : SHARD_ROWS;
        o->dir = pf_strdup(opts->dir);
        return o->dir ? open_dir(o, e) : pf_err_nomem(e);
    }
    o->max_bytes = STREAM_BYTES;
    o->max_rows = STREAM_ROWS;
    o->w = opts->w;
    pf_ck_sink to = {stream_write, o->w};
    return pf_meta_write(&o->head, o->seq++, o->recipe, &to, e);
}

int pf_rows_out_open(pf_rows_out **out, const pf_rows_head *head,
                     const pf_rows_out_opts *opts, pf_err *e)
{
    pf_rows_out *o = pf_calloc(1, sizeof *o);
    if (!o)
        return pf_err_nomem(e);
    o->lock = -1;
    o->replace = opts->replace;
    int rc = pf_rows_head_copy(&o->head, head, e);
    if (rc == 0)
        rc = start(o, opts, e);
    if (rc < 0) {
        if (o->made_dir)
            rmdir(o->dir);
        out_free(o);
        return rc;
    }
    *out = o;
    return 0;
}

/* ------------------------------------------------------ chunks, shards -- */

static pf_cols cols_of(const pf_rows_out *o, uint32_t r)
{
    const pf_gather_ref *g = &o->g.ref[r];
    return (pf_cols){.name = o->ref_name[r], .ident = &o->ref[r].ident,
                     .token = o->sums_only[r] ? NULL : g->token,
                     .sum = g->sum, .n_token = o->g.n_completion};
}

static int flush_stream(pf_rows_out *o, pf_ck *ck, pf_err *e)
{
    pf_ck_sink to = {stream_write, o->w};
    pf_hash128 rows = pf_rows_hash(o->g.key, o->g.n);
    ck->head.seq = o->seq++;
    int rc = pf_gather_write(&o->g, ck, &to, e);
    for (uint32_t r = 0; r < o->n_refs && rc == 0; r++) {
        pf_cols cols = cols_of(o, r);
        ck->head.seq = o->seq++;
        rc = pf_cols_write(&ck->head, &cols, rows, &to, NULL, NULL, e);
    }
    return rc < 0 ? rc : pf_writer_flush(o->w, e);
}

static int write_sidecar(pf_rows_out *o, uint32_t r, const pf_ck_head *head,
                         pf_err *e)
{
    char name[128];
    uint8_t sha[PF_SHA256_BYTES];
    pf_tmp_file f;
    pf_cols cols = cols_of(o, r);
    pf_listed item = {.first_row = head->first_row, .rows = head->n_rows,
                      .completion = cols.n_token};
    pf_shard_name(name, sizeof name, o->seq, o->ref_name[r]);
    int rc = pf_tmp_open(&f, o->dir, name, e);
    if (rc < 0)
        return rc;
    pf_ck_sink to = pf_tmp_sink(&f);
    rc = pf_cols_write(head, &cols, pf_rows_hash(o->g.key, o->g.n), &to,
                       &item.trailer, &item.bytes, e);
    if (rc < 0) {
        pf_tmp_abort(&f);
        return rc;
    }
    rc = pf_tmp_commit(&f, sha, e);
    if (rc == 0)
        rc = pf_sums_put(&o->sums, name, sha, e);
    pf_ref_manifest *m = &o->ref[r];
    m->rows += item.rows;
    m->completion += item.completion;
    if (rc == 0)
        rc = pf_listed_add(&m->shard, &m->n_shard, &m->cap_shard, &item,
                           name, e);
    return rc;
}

static int flush_shard(pf_rows_out *o, pf_ck *ck, pf_err *e)
{
    char name[64];
    uint8_t sha[PF_SHA256_BYTES];
    pf_tmp_file f;
    pf_shard_name(name, sizeof name, o->seq, NULL);
    ck->head.seq = o->seq;
    int rc = pf_tmp_open(&f, o->dir, name, e);
    if (rc < 0)
        return rc;
    pf_ck_sink to = pf_tmp_sink(&f);
    rc = pf_gather_write(&o->g, ck, &to, e);
    if (rc < 0) {
        pf_tmp_abort(&f);
        return rc;
    }
    rc = pf_tmp_commit(&f, sha, e);
    if (rc == 0)
        rc = pf_sums_put(&o->sums, name, sha, e);
    pf_listed item = {.bytes = ck->head.bytes,
                      .first_row = ck->head.first_row,
                      .rows = ck->head.n_rows,
                      .tokens = ck->tail.tokens,
                      .completion = ck->tail.completion,
                      .trailer = ck->tail.hash};
    if (rc == 0)
        rc = pf_listed_add(&o->man.shard, &o->man.n_shard, &o->man.cap_shard,
                           &item, name, e);
    for (uint32_t r = 0; r < o->n_refs && rc == 0; r++)
        rc = write_sidecar(o, r, &ck->head, e);
    o->seq++;
    return rc;
}

static int flush(pf_rows_out *o, pf_err *e)
{
    pf_ck ck = {0};
    if (o->g.n == 0)
        return 0;
    pf_head_fill(&ck.head, &o->head, o->recipe);
    ck.head.first_row = o->totals.t.rows;
    int rc = o->dir ? flush_shard(o, &ck, e) : flush_stream(o, &ck, e);
    if (rc < 0)
        return rc;
    pf_totals_add(&o->totals, o->g.key, o->g.n, &ck.tail);
    pf_gather_clear(&o->g);
    return 0;
}

int pf_rows_out_add_refs(pf_rows_out *o, const pf_row *r,
                         const pf_row_ref *refs, pf_err *e)
{
    if (r->kind != o->head.kind)
        return pf_err_set(e, PF_E_FORMAT, "%s row among %s rows",
                          pf_row_kind_name(r->kind),
                          pf_row_kind_name(o->head.kind));
    int rc = pf_row_check(r, o->head.vocab, e);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < o->n_refs; i++) {
        bool first = o->totals.t.rows == 0 && o->g.n == 0;
        if (first)
            o->sums_only[i] = !refs[i].token;
        else if (o->sums_only[i] != !refs[i].token)
            return pf_err_set(e, PF_E_IDENTITY, "reference '%s' has token "
                              "log-probs for some rows only",
                              o->ref_name[i]);
    }
    rc = pf_gather_add(&o->g, r, refs, e);
    if (rc < 0)
        return rc;
    if (o->g.n >= o->max_rows || o->g.n_token * o->g.id_size >= o->max_bytes)
        return flush(o, e);
    return 0;
}

int pf_rows_out_add(pf_rows_out *o, const pf_row *r, pf_err *e)
{
    if (o->n_refs)
        PF_BUG("rows without their references");
    return pf_rows_out_add_refs(o, r, NULL, e);
}

/* ----------------------------------------------------------- publishing -- */

static int write_blob(pf_rows_out *o, const char *file, const char *p,
                      size_t n, pf_err *e)
{
    char *packed;
    size_t packed_n;
    pf_listed item = {.raw = n};
    if (!p)
        return 0;
    int rc = pf_zstd_pack(p, n, &packed, &packed_n, e);
    if (rc < 0)
        return rc;
    item.bytes = packed_n;
    rc = pf_tmp_write(o->dir, file, packed, packed_n, item.sha256, e);
    pf_free(packed);
    if (rc == 0)
        rc = pf_sums_put(&o->sums, file, item.sha256, e);
    if (rc == 0)
        rc = pf_listed_add(&o->man.blob, &o->man.n_blob, &o->man.cap_blob,
                           &item, file, e);
    return rc;
}

/* NAME.tmp for a manifest, listed in SHA256SUMS. */
static int write_manifest(pf_rows_out *o, const char *file, pf_buf *json,
                          int rc, pf_err *e)
{
    uint8_t sha[PF_SHA256_BYTES];
    if (rc == 0)
        rc = pf_tmp_write(o->dir, file, json->p, json->n, sha, e);
    if (rc == 0)
        rc = pf_sums_put(&o->sums, file, sha, e);
    pf_buf_release(json);
    return rc;
}

static int write_rest(pf_rows_out *o, pf_err *e)
{
    const pf_rows_head *h = &o->head;
    pf_buf b = {0};
    int rc = write_blob(o, "chat_template.jinja.zst", h->chat_template,
                        h->chat_template_n, e);
    if (rc == 0)
        rc = write_blob(o, "tokenizer.json.zst", h->tokenizer_json,
                        h->tokenizer_json_n, e);
    if (rc == 0)
        rc = write_blob(o, "tokenizer_config.json.zst", h->tokenizer_config,
                        h->tokenizer_config_n, e);
    for (uint32_t r = 0; r < o->n_refs && rc == 0; r++) {
        char file[PF_REF_NAME_MAX + 16];
        snprintf(file, sizeof file, "%s.ref.json", o->ref_name[r]);
        memcpy(o->ref[r].set_id, o->totals.t.set_id, PF_SHA256_BYTES);
        rc = write_manifest(o, file, &b,
                            pf_ref_manifest_json(&o->ref[r], &b, e), e);
    }
    if (rc < 0)
        return rc;
    rc = pf_provenance_file(h->provenance, h->provenance_n, &b, e);
    if (rc == 0)
        rc = pf_tmp_write(o->dir, "provenance.jsonl", b.p, b.n, NULL, e);
    pf_buf_release(&b);
    o->man.head = o->head; /* lent for the writing */
    memcpy(o->man.recipe, o->recipe, sizeof o->recipe);
    o->man.total = o->totals.t;
    o->man.row_sum = o->totals.row_sum;
    if (rc == 0)
        rc = write_manifest(o, "manifest.json", &b,
                            pf_manifest_json(&o->man, &b, e), e);
    o->man.head = (pf_rows_head){0};
    if (rc == 0)
        rc = pf_sums_text(&o->sums, &b, e);
    if (rc == 0)
        rc = pf_tmp_write(o->dir, "SHA256SUMS", b.p, b.n, NULL, e);
    pf_buf_release(&b);
    return rc;
}

static int give_name(pf_rows_out *o, const char *name, pf_err *e)
{
    char tmp[160];
    snprintf(tmp, sizeof tmp, "%s.tmp", name);
    return pf_dir_rename(o->dir, tmp, name, e);
}

/* The old set ends when its manifest goes; the new one begins with its own. */
static int publish(pf_rows_out *o, pf_err *e)
{
    int rc = pf_dir_sweep(o->dir, is_manifest, NULL, e);
    if (rc == 0)
        rc = pf_dir_sweep(o->dir, is_published, NULL, e);
    for (size_t i = 0; i < o->sums.n && rc == 0; i++)
        if (strcmp(o->sums.item[i].name, "manifest.json") != 0)
            rc = give_name(o, o->sums.item[i].name, e);
    if (rc == 0)
        rc = give_name(o, "provenance.jsonl", e);
    if (rc == 0)
        rc = give_name(o, "SHA256SUMS", e);
    if (rc == 0)
        rc = pf_sync_dir(o->dir, e);
    if (rc == 0)
        rc = give_name(o, "manifest.json", e);
    return rc < 0 ? rc : pf_sync_dir(o->dir, e);
}

int pf_rows_out_finish(pf_rows_out *o, const pf_tally *tally,
                       pf_rows_total *total, pf_err *e)
{
    int rc = flush(o, e);
    pf_totals_final(&o->totals);
    if (tally)
        o->totals.t.tally = *tally;
    if (rc == 0 && o->totals.t.rows == 0)
        rc = pf_err_set(e, PF_E_FORMAT, "no row was kept");
    if (rc == 0 && o->dir) {
        rc = write_rest(o, e);
        if (rc == 0)
            rc = publish(o, e);
    } else if (rc == 0) {
        pf_ck_head like;
        pf_ck_sink to = {stream_write, o->w};
        pf_head_fill(&like, &o->head, o->recipe);
        rc = pf_end_write(&o->totals, &like, o->seq++, &to, e);
        if (rc == 0)
            rc = pf_writer_flush(o->w, e);
    }
    if (rc < 0) {
        pf_rows_out_abort(o);
        return rc;
    }
    if (total)
        *total = o->totals.t;
    out_free(o);
    return 0;
}

void pf_rows_out_abort(pf_rows_out *o)
{
    if (!o)
        return;
    if (o->dir) {
        if (pf_dir_sweep(o->dir, pf_is_temporary, NULL, NULL) == 0 &&
            o->made_dir)
            rmdir(o->dir);
    }
    out_free(o);
}
