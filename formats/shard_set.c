/* SPDX-License-Identifier: MIT
 *
 * pf_set: a set's directory, mapped and verified whole at open. */
#include "formats/shard_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* An opened reference: one sidecar a shard. */
typedef struct set_ref {
    pf_ref_manifest man;
    pf_cols_file *file; /* [n_shard] */
} set_ref;

struct pf_set {
    pf_rowset rows; /* first: pf_set_rows hands it out */
    char *dir;
    pf_manifest man;
    pf_mapping *map;
    char **path;
    pf_chunk *chunk;
    size_t n;
    set_ref *ref[PF_MAX_REFS];
    uint32_t n_refs;
    bool imported; /* the chosen reference is the rows' own sums */
    pf_ident imported_ident;
};

static void ref_free(set_ref *r, size_t n)
{
    if (!r)
        return;
    for (size_t i = 0; r->file && i < n; i++)
        pf_cols_file_close(&r->file[i]);
    pf_free(r->file);
    pf_ref_manifest_release(&r->man);
    pf_free(r);
}

void pf_set_close(pf_set *s)
{
    if (!s)
        return;
    for (uint32_t r = 0; r < s->n_refs; r++)
        ref_free(s->ref[r], s->n);
    for (size_t i = 0; i < s->n; i++) {
        if (s->map && s->map[i].p)
            pf_mapping_close(&s->map[i]);
        if (s->path)
            pf_free(s->path[i]);
        if (s->chunk)
            pf_free(s->chunk[i].comp_off);
    }
    pf_free(s->map);
    pf_free(s->path);
    pf_free(s->chunk);
    pf_manifest_release(&s->man);
    pf_ident_release(&s->imported_ident);
    pf_free(s->dir);
    pf_free(s);
}

const pf_rows_head *pf_set_head(const pf_set *s)
{
    return &s->man.head;
}

const pf_rows_total *pf_set_total(const pf_set *s)
{
    return &s->man.total;
}

const pf_rowset *pf_set_rows(const pf_set *s)
{
    return &s->rows;
}

size_t pf_set_shards(const pf_set *s)
{
    return s->n;
}

const pf_chunk *pf_set_shard(const pf_set *s, size_t i)
{
    return &s->chunk[i];
}

const pf_manifest *pf_set_manifest(const pf_set *s)
{
    return &s->man;
}

bool pf_set_ref_imported(const pf_set *s)
{
    return s->imported;
}

const pf_ident *pf_set_ref_ident(const pf_set *s)
{
    if (s->imported)
        return &s->imported_ident;
    return s->n_refs ? &s->ref[0]->man.ident : NULL;
}

/* -------------------------------------------------------------- access -- */

static const pf_chunk *chunk_of(const pf_set *s, uint64_t row, uint32_t *at)
{
    size_t lo = 0, hi = s->n;
    if (row >= s->man.total.rows)
        return NULL;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->man.shard[mid].first_row <= row)
            lo = mid;
        else
            hi = mid;
    }
    *at = (uint32_t)(row - s->man.shard[lo].first_row);
    return &s->chunk[lo];
}

static int get_row(const pf_rowset *rows, uint64_t i, pf_row *out, pf_err *e)
{
    uint32_t at;
    const pf_chunk *c = chunk_of((const pf_set *)rows, i, &at);
    if (!c)
        return pf_err_set(e, PF_E_USAGE, "no row %" PRIu64 " in %" PRIu64, i,
                          rows->n_rows);
    pf_chunk_row(c, at, out);
    return 0;
}

static int get_ref(const pf_rowset *rows, uint64_t i, pf_row_ref *out,
                   pf_err *e)
{
    const pf_set *s = (const pf_set *)rows;
    uint32_t at;
    const pf_chunk *c = chunk_of(s, i, &at);
    if (!c)
        return pf_err_set(e, PF_E_USAGE, "no row %" PRIu64 " in %" PRIu64, i,
                          rows->n_rows);
    if (s->imported) {
        out->token = NULL;
        for (uint32_t k = 0; k < c->K; k++)
            out->sum[k] = c->imported[(size_t)at * c->K + k];
    } else {
        pf_chunk_row_ref(c, at, 0, out);
    }
    return 0;
}

/* ------------------------------------------------------------- opening -- */

static int open_shard(pf_set *s, size_t i, pf_totals *t, pf_err *e)
{
    const pf_listed *l = &s->man.shard[i];
    pf_chunk *c = &s->chunk[i];
    s->path[i] = pf_path_join(s->dir, l->file);
    if (!s->path[i])
        return pf_err_nomem(e);
    int rc = pf_mapping_open(&s->map[i], s->path[i], true, e);
    if (rc < 0)
        return rc;
    if (s->map[i].n != l->bytes)
        return pf_err_pos(e, s->map[i].n < l->bytes ? PF_E_TRUNCATED
                                                    : PF_E_FORMAT,
                          s->path[i], 0, (int64_t)s->map[i].n,
                          "%zu bytes, the manifest says %" PRIu64,
                          s->map[i].n, l->bytes);
    rc = pf_ck_open(&c->ck, s->map[i].p, s->map[i].n, s->path[i], 0, e);
    if (rc < 0)
        return rc;
    if (memcmp(c->ck.head.recipe, s->man.recipe, PF_SHA256_BYTES) != 0)
        return pf_err_pos(e, PF_E_IDENTITY, s->path[i], 0, 64,
                          "shard of another recipe");
    if (c->ck.head.seq != i || c->ck.head.first_row != l->first_row ||
        c->ck.head.n_rows != l->rows || c->ck.tail.hash != l->trailer)
        return pf_err_pos(e, PF_E_IDENTITY, s->path[i], 0, 0,
                          "not the shard that the manifest names");
    rc = pf_chunk_init(c, &s->man.head, e);
    if (rc == 0)
        pf_totals_add(t, c->key, c->n, &c->ck.tail);
    return rc;
}

static int open_shards(pf_set *s, pf_err *e)
{
    pf_totals t;
    const pf_rows_total *want = &s->man.total;
    s->map = pf_calloc(s->man.n_shard, sizeof *s->map);
    s->path = pf_calloc(s->man.n_shard, sizeof *s->path);
    s->chunk = pf_calloc(s->man.n_shard, sizeof *s->chunk);
    if (!s->map || !s->path || !s->chunk)
        return pf_err_nomem(e);
    s->n = s->man.n_shard;
    pf_totals_init(&t, s->man.recipe);
    for (size_t i = 0; i < s->n; i++) {
        int rc = open_shard(s, i, &t, e);
        if (rc < 0)
            return rc;
    }
    pf_totals_final(&t);
    if (t.t.rows != want->rows || t.t.tokens != want->tokens ||
        t.t.completion != want->completion ||
        memcmp(t.t.set_id, want->set_id, PF_SHA256_BYTES) != 0 ||
        t.row_sum.lo != s->man.row_sum.lo ||
        t.row_sum.hi != s->man.row_sum.hi)
        return pf_err_pos(e, PF_E_FORMAT, s->dir, 0, -1,
                          "the shards are not those of the manifest's set_id");
    return 0;
}

static int read_blob(const pf_set *s, const pf_listed *l, char **out,
                     size_t *n, pf_err *e)
{
    pf_mapping m = {0};
    uint8_t sha[PF_SHA256_BYTES];
    char *path = pf_path_join(s->dir, l->file);
    if (!path)
        return pf_err_nomem(e);
    int rc = pf_mapping_open(&m, path, true, e);
    if (rc == 0 && m.n != l->bytes)
        rc = pf_err_pos(e, m.n < l->bytes ? PF_E_TRUNCATED : PF_E_FORMAT,
                        path, 0, (int64_t)m.n,
                        "%zu bytes, the manifest says %" PRIu64, m.n,
                        l->bytes);
    if (rc == 0) {
        pf_sha256_of(m.p, m.n, sha);
        if (memcmp(sha, l->sha256, sizeof sha) != 0)
            rc = pf_err_pos(e, PF_E_FORMAT, path, 0, -1,
                            "damaged: its SHA-256 is not the manifest's");
    }
    if (rc == 0)
        rc = pf_zstd_unpack(m.p, m.n, l->raw, l->file, out, e);
    if (rc == 0)
        *n = l->raw;
    pf_err_at(e, path, 0, -1);
    if (m.p)
        pf_mapping_close(&m);
    pf_free(path);
    return rc;
}

static int open_blobs(pf_set *s, pf_err *e)
{
    pf_rows_head *h = &s->man.head;
    for (size_t i = 0; i < s->man.n_blob; i++) {
        const pf_listed *l = &s->man.blob[i];
        char **p = NULL;
        size_t *n = NULL;
        if (strcmp(l->file, "tokenizer.json.zst") == 0)
            p = &h->tokenizer_json, n = &h->tokenizer_json_n;
        else if (strcmp(l->file, "tokenizer_config.json.zst") == 0)
            p = &h->tokenizer_config, n = &h->tokenizer_config_n;
        else if (strcmp(l->file, "chat_template.jinja.zst") == 0)
            p = &h->chat_template, n = &h->chat_template_n;
        if (!p || *p)
            return pf_err_pos(e, PF_E_FORMAT, s->dir, 0, -1,
                              "manifest lists an unknown file '%.64s'",
                              l->file);
        int rc = read_blob(s, l, p, n, e);
        if (rc < 0)
            return rc;
    }
    char *path = pf_path_join(s->dir, "provenance.jsonl"), *text = NULL;
    size_t n, lines;
    int rc = path ? pf_read_file(path, PF_JSON_MAX, &text, &n, e)
                  : pf_err_nomem(e);
    if (rc == 0)
        rc = pf_provenance_check(text, n, true, &lines, path, e);
    if (rc == 0 && lines) {
        text[lines] = 0;
        h->provenance = text;
        h->provenance_n = lines;
        text = NULL;
    }
    pf_free(text);
    pf_free(path);
    return rc;
}

static int open_base(pf_set **out, const char *dir, pf_err *e)
{
    pf_set *s = pf_calloc(1, sizeof *s);
    if (!s)
        return pf_err_nomem(e);
    s->dir = pf_strdup(dir);
    char *m = pf_path_join(dir, "manifest.json");
    int rc = s->dir && m ? 0 : pf_err_nomem(e);
    if (rc == 0 && !pf_path_exists(m))
        rc = pf_err_pos(e, PF_E_IO, dir, 0, -1, pf_path_is_dir(dir)
                        ? "no manifest.json: not a set, or one that was never "
                          "finished" : "no such set");
    pf_free(m);
    if (rc == 0)
        rc = pf_manifest_read(&s->man, dir, e);
    if (rc == 0)
        rc = open_shards(s, e);
    if (rc == 0)
        rc = open_blobs(s, e);
    if (rc < 0) {
        pf_set_close(s);
        return rc;
    }
    s->rows = (pf_rowset){.n_rows = s->man.total.rows,
                          .kind = s->man.head.kind,
                          .n_branch = s->man.head.n_branch,
                          .vocab = s->man.head.vocab,
                          .get = get_row};
    *out = s;
    return 0;
}

/* ---------------------------------------------------------- references -- */

static int open_sidecar(const pf_set *s, set_ref *r, size_t i, pf_err *e)
{
    const pf_listed *l = &r->man.shard[i];
    const pf_chunk *c = &s->chunk[i];
    pf_cols_file *f = &r->file[i];
    uint8_t id[PF_SHA256_BYTES];
    int rc = pf_ident_digest(&r->man.ident, id, e);
    if (rc == 0)
        rc = pf_cols_file_open(f, s->dir, l->file, UINT64_MAX, e);
    if (rc < 0)
        return rc;
    pf_hash128 rows = pf_rows_hash(c->key, c->n);
    if (memcmp(f->head.ref_id, id, sizeof id) != 0) {
        pf_err why = PF_ERR_INIT;
        if (pf_ident_require(&r->man.ident, &f->head.ident, "references",
                             &why) == 0)
            PF_BUG("equal identities with different digests");
        return pf_err_pos(e, PF_E_IDENTITY, f->path, 0, 0, "%s", why.msg);
    }
    if (memcmp(f->ck.head.recipe, s->man.recipe, PF_SHA256_BYTES) != 0 ||
        f->head.rows.lo != rows.lo || f->head.rows.hi != rows.hi ||
        f->ck.head.first_row != l->first_row || f->ck.head.n_rows != c->n ||
        f->ck.head.seq != i)
        return pf_err_pos(e, PF_E_IDENTITY, f->path, 0, 0,
                          "references of other rows");
    if (f->cols.token && f->cols.n_token != c->ck.tail.completion)
        return pf_err_pos(e, PF_E_FORMAT, f->path, 0, 0,
                          "%" PRIu64 " log-probs for %" PRIu64 " tokens",
                          f->cols.n_token, c->ck.tail.completion);
    if (strcmp(f->head.name, r->man.name) != 0 ||
        f->ck.tail.hash != l->trailer || f->map.n != l->bytes)
        return pf_err_pos(e, PF_E_FORMAT, f->path, 0, 0,
                          "not the file that its manifest names");
    return 0;
}

static int ref_exists(const pf_set *s, const char *name, pf_err *e)
{
    char file[PF_REF_NAME_MAX + 16];
    int rc = pf_ref_name_check(name, e);
    if (rc < 0)
        return rc;
    snprintf(file, sizeof file, "%s.ref.json", name);
    char *path = pf_path_join(s->dir, file);
    if (!path)
        return pf_err_nomem(e);
    if (!pf_path_exists(path))
        rc = pf_err_pos(e, PF_E_IDENTITY, s->dir, 0, -1,
                        "no complete references '%s' (refscore adds them)",
                        name);
    pf_free(path);
    return rc;
}

static int open_ref(pf_set *s, const char *name, pf_err *e)
{
    int rc = ref_exists(s, name, e);
    if (rc < 0)
        return rc;
    set_ref *r = pf_calloc(1, sizeof *r);
    if (!r)
        return pf_err_nomem(e);
    rc = pf_ref_manifest_read(&r->man, s->dir, name, e);
    if (rc < 0) {
        pf_free(r);
        return rc;
    }
    r->file = pf_calloc(s->n, sizeof *r->file);
    if (!r->file)
        rc = pf_err_nomem(e);
    if (rc == 0 && memcmp(r->man.set_id, s->man.total.set_id,
                          PF_SHA256_BYTES) != 0)
        rc = pf_err_pos(e, PF_E_IDENTITY, s->dir, 0, -1,
                        "references '%s' are of another set", name);
    if (rc == 0 && (r->man.n_shard != s->n ||
                    r->man.rows != s->man.total.rows ||
                    r->man.completion != s->man.total.completion))
        rc = pf_err_pos(e, PF_E_IDENTITY, s->dir, 0, -1,
                        "references '%s' do not cover every row", name);
    for (size_t i = 0; i < s->n && rc == 0; i++)
        rc = open_sidecar(s, r, i, e);
    if (rc < 0) {
        ref_free(r, s->n);
        return rc;
    }
    for (size_t i = 0; i < s->n; i++) {
        s->chunk[i].ref[s->n_refs] = r->file[i].cols;
        s->chunk[i].ref[s->n_refs].name = r->man.name;
        s->chunk[i].ref[s->n_refs].ident = &r->man.ident;
        s->chunk[i].n_refs = s->n_refs + 1;
    }
    s->ref[s->n_refs++] = r;
    return 0;
}

static bool has_imported(const pf_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const pf_chunk *c = &s->chunk[i];
        if (!c->imported)
            return false;
        for (uint32_t k = 0; k < c->n; k++)
            if (!(c->imported[(size_t)k * c->K] ==
                  c->imported[(size_t)k * c->K]))
                return false; /* NaN: a row came without */
    }
    return s->n > 0;
}

static int use_imported(pf_set *s, pf_err *e)
{
    if (!has_imported(s))
        return pf_err_pos(e, PF_E_IO, s->dir, 0, -1,
                          "not every row has imported references");
    s->imported = true;
    return pf_ident_set(&s->imported_ident, "kind", "imported", e);
}

static void names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pf_free(names[i]);
    pf_free(names);
}

int pf_set_ref_names(const char *dir, char ***names, size_t *n, pf_err *e)
{
    size_t kept = 0;
    int rc = pf_list_dir(dir, names, n, e);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < *n; i++) {
        char *s = (*names)[i];
        size_t len = strlen(s);
        if (len > 9 && strcmp(s + len - 9, ".ref.json") == 0) {
            s[len - 9] = 0;
            (*names)[kept++] = s;
        } else {
            pf_free(s);
        }
    }
    *n = kept;
    return 0;
}

/* The only reference there is: a scored one, or the imported sums. */
static int open_only_ref(pf_set *s, pf_err *e)
{
    char **names = NULL;
    size_t n = 0;
    int rc = pf_set_ref_names(s->dir, &names, &n, e);
    if (rc < 0)
        return rc;
    if (n == 1)
        rc = open_ref(s, names[0], e);
    else if (n > 1)
        rc = pf_err_pos(e, PF_E_USAGE, s->dir, 0, -1,
                        "%zu references ('%.64s', '%.64s' ..): name one", n,
                        names[0], names[1]);
    else if (has_imported(s))
        rc = use_imported(s, e);
    else
        rc = pf_err_pos(e, PF_E_IDENTITY, s->dir, 0, -1,
                        "no complete references (refscore adds them)");
    names_free(names, n);
    return rc;
}

int pf_set_open(pf_set **out, const char *dir, const char *ref_name,
                pf_err *e)
{
    pf_set *s;
    int rc = open_base(&s, dir, e);
    if (rc < 0)
        return rc;
    if (ref_name && !*ref_name)
        rc = open_only_ref(s, e);
    else if (ref_name && strcmp(ref_name, "imported") == 0)
        rc = use_imported(s, e);
    else if (ref_name)
        rc = open_ref(s, ref_name, e);
    if (rc < 0) {
        pf_set_close(s);
        return rc;
    }
    if (ref_name)
        s->rows.ref = get_ref;
    *out = s;
    return 0;
}

int pf_set_open_all(pf_set **out, const char *dir, pf_err *e)
{
    char **names = NULL;
    size_t n = 0;
    pf_set *s;
    int rc = open_base(&s, dir, e);
    if (rc < 0)
        return rc;
    rc = pf_set_ref_names(dir, &names, &n, e);
    if (rc == 0 && n > PF_MAX_REFS)
        rc = pf_err_pos(e, PF_E_LIMIT, dir, 0, -1, "more than %d references",
                        PF_MAX_REFS);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = open_ref(s, names[i], e);
    names_free(names, n);
    if (rc < 0) {
        pf_set_close(s);
        return rc;
    }
    *out = s;
    return 0;
}
