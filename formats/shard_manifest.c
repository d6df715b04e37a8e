/* SPDX-License-Identifier: MIT
 *
 * Manifests: canonical JSON inside a frame with its digest,
 *
 *   {"digest":"<SHA-256 of the object's bytes>","set":{...}}\n
 *
 * so that no byte of the file can change unseen. They are written last: a
 * directory without one is not a set. */
#include "formats/shard_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

void pf_listed_release(pf_listed *l, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pf_free(l[i].file);
    pf_free(l);
}

int pf_listed_add(pf_listed **l, size_t *n, size_t *cap,
                  const pf_listed *item, const char *file, pf_err *e)
{
    char *copy = pf_strdup(file);
    if (!copy || !PF_GROW(l, cap, *n + 1)) {
        pf_free(copy);
        return pf_err_nomem(e);
    }
    (*l)[*n] = *item;
    (*l)[(*n)++].file = copy;
    return 0;
}

void pf_manifest_release(pf_manifest *m)
{
    pf_rows_head_release(&m->head);
    pf_listed_release(m->shard, m->n_shard);
    pf_listed_release(m->blob, m->n_blob);
    *m = (pf_manifest){0};
}

void pf_ref_manifest_release(pf_ref_manifest *m)
{
    pf_ident_release(&m->ident);
    pf_listed_release(m->shard, m->n_shard);
    *m = (pf_ref_manifest){0};
}

/* ------------------------------------------------------------- writing -- */

static void key_u64(pf_jw *w, const char *key, uint64_t v)
{
    pf_jw_key(w, key);
    pf_jw_u64(w, v);
}

static void key_str(pf_jw *w, const char *key, const char *v)
{
    pf_jw_key(w, key);
    pf_jw_cstr(w, v);
}

static void key_hex(pf_jw *w, const char *key, const uint8_t *p)
{
    char hex[PF_SHA256_HEX];
    key_str(w, key, pf_hex(p, PF_SHA256_BYTES, hex));
}

static void write_shards(pf_jw *w, const pf_listed *l, size_t n, bool rows)
{
    pf_jw_key(w, "shards");
    pf_jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        char hex[17];
        snprintf(hex, sizeof hex, "%016" PRIx64, l[i].trailer);
        pf_jw_obj(w);
        key_u64(w, "bytes", l[i].bytes);
        key_u64(w, "completion", l[i].completion);
        key_str(w, "file", l[i].file);
        key_u64(w, "first_row", l[i].first_row);
        key_u64(w, "rows", l[i].rows);
        if (rows)
            key_u64(w, "tokens", l[i].tokens);
        key_str(w, "trailer", hex);
        pf_jw_end(w, '}');
    }
    pf_jw_end(w, ']');
}

static int write_ident(pf_jw *w, const char *key, const pf_ident *id,
                       pf_err *e)
{
    pf_buf b = {0};
    int rc = pf_ident_json(id, &b, e);
    pf_jw_key(w, key);
    if (rc == 0)
        pf_jw_raw(w, pf_buf_slice(&b));
    else
        pf_jw_null(w); /* the document is lost, its shape stays legal */
    pf_buf_release(&b);
    return rc;
}

/* Puts body into its frame. */
static int frame(const char *key, const pf_buf *body, pf_buf *out, pf_err *e)
{
    uint8_t sha[PF_SHA256_BYTES];
    char hex[PF_SHA256_HEX];
    if (pf_buf_failed(body))
        return pf_err_nomem(e);
    pf_sha256_of(body->p, body->n, sha);
    pf_buf_printf(out, "{\"digest\":\"%s\",\"%s\":",
                  pf_hex(sha, sizeof sha, hex), key);
    pf_buf_add(out, body->p, body->n);
    pf_buf_str(out, "}\n");
    return pf_buf_failed(out) ? pf_err_nomem(e) : 0;
}

static void write_blobs(pf_jw *w, const pf_manifest *m)
{
    pf_jw_key(w, "blobs");
    pf_jw_arr(w);
    for (size_t i = 0; i < m->n_blob; i++) {
        pf_jw_obj(w);
        key_u64(w, "bytes", m->blob[i].bytes);
        key_str(w, "file", m->blob[i].file);
        key_u64(w, "raw", m->blob[i].raw);
        key_hex(w, "sha256", m->blob[i].sha256);
        pf_jw_end(w, '}');
    }
    pf_jw_end(w, ']');
}

int pf_manifest_json(const pf_manifest *m, pf_buf *out, pf_err *e)
{
    pf_buf body = {0};
    pf_jw w = {.out = &body};
    char sum[33];
    pf_hash128_hex(m->row_sum, sum);
    pf_jw_obj(&w);
    write_blobs(&w, m);
    key_u64(&w, "branches", m->head.n_branch);
    key_u64(&w, "completion", m->total.completion);
    key_str(&w, "format", "prefkit-set");
    key_str(&w, "kind", pf_row_kind_name(m->head.kind));
    int rc = write_ident(&w, "recipe", &m->head.recipe, e);
    key_hex(&w, "recipe_id", m->recipe);
    key_str(&w, "row_sum", sum);
    key_u64(&w, "rows", m->total.rows);
    key_hex(&w, "set_id", m->total.set_id);
    write_shards(&w, m->shard, m->n_shard, true);
    pf_jw_key(&w, "tally");
    pf_tally_json(&w, &m->total.tally);
    key_u64(&w, "tokens", m->total.tokens);
    key_u64(&w, "version", 1);
    key_u64(&w, "vocab", m->head.vocab);
    pf_jw_end(&w, '}');
    if (rc == 0)
        rc = frame("set", &body, out, e);
    pf_buf_release(&body);
    return rc;
}

int pf_ref_manifest_json(const pf_ref_manifest *m, pf_buf *out, pf_err *e)
{
    pf_buf body = {0};
    pf_jw w = {.out = &body};
    uint8_t id[PF_SHA256_BYTES];
    pf_jw_obj(&w);
    key_u64(&w, "completion", m->completion);
    key_str(&w, "format", "prefkit-reference");
    int rc = write_ident(&w, "ident", &m->ident, e);
    if (rc == 0)
        rc = pf_ident_digest(&m->ident, id, e);
    key_str(&w, "name", m->name);
    if (rc == 0)
        key_hex(&w, "ref_id", id);
    key_u64(&w, "rows", m->rows);
    key_hex(&w, "set_id", m->set_id);
    write_shards(&w, m->shard, m->n_shard, false);
    key_u64(&w, "version", 1);
    pf_jw_end(&w, '}');
    if (rc == 0)
        rc = frame("ref", &body, out, e);
    pf_buf_release(&body);
    return rc;
}

/* ------------------------------------------------------------- reading -- */

typedef struct framed {
    char *path, *text;
    size_t n;
    pf_json *doc;
    pf_jval body;
} framed;

static void framed_release(framed *f)
{
    pf_json_free(f->doc);
    pf_free(f->text);
    pf_free(f->path);
}

/* A whole file ends in "}\n"; one whose last byte was hit still has the '}'
 * before it. */
static bool looks_cut(const char *p, size_t n)
{
    if (n < 2)
        return true;
    return p[n - 1] != '\n' && !(p[n - 2] == '}' && !strchr(",]}", p[n - 1]));
}

static int framed_open(framed *f, const char *dir, const char *name,
                       const char *key, pf_err *e)
{
    pf_buf want = {0};
    pf_jval root;
    *f = (framed){.path = pf_path_join(dir, name)};
    if (!f->path)
        return pf_err_nomem(e);
    int rc = pf_read_file(f->path, PF_JSON_MAX, &f->text, &f->n, e);
    if (rc < 0)
        return rc;
    if (looks_cut(f->text, f->n))
        return pf_err_pos(e, PF_E_TRUNCATED, f->path, 0, (int64_t)f->n,
                          "manifest ends before its end");
    rc = pf_shard_json(&f->doc, (pf_slice){f->text, f->n}, &root, e);
    if (rc < 0)
        goto done;
    f->body = pf_jget(root, key);
    pf_slice raw = pf_jraw(f->body);
    pf_buf body = {.p = (char *)(uintptr_t)raw.p, .n = raw.n};
    if (pf_jtype(f->body) != PF_JSON_OBJECT)
        rc = pf_err_set(e, PF_E_FORMAT, "not a manifest of a '%s'", key);
    if (rc == 0)
        rc = frame(key, &body, &want, e);
    if (rc == 0 && !pf_slice_eq(pf_buf_slice(&want),
                                (pf_slice){f->text, f->n}))
        rc = pf_err_set(e, PF_E_FORMAT, "manifest does not have its digest");
    pf_buf_release(&want);
done:
    pf_err_at(e, f->path, 0, 0);
    return rc;
}

/* Manifests name files beside them, never elsewhere. */
static bool plain_name(pf_slice s)
{
    return s.n > 0 && s.n < 128 && s.p[0] != '.' && !memchr(s.p, '/', s.n) &&
           !memchr(s.p, 0, s.n);
}

static int copy_name(pf_jval v, char buf[128], pf_err *e)
{
    pf_slice s = pf_jstr(pf_jget(v, "file"));
    if (!plain_name(s))
        return pf_err_set(e, PF_E_FORMAT, "'file' is not a file name");
    memcpy(buf, s.p, s.n);
    buf[s.n] = 0;
    return 0;
}

static int read_shards(pf_jval obj, pf_listed **l, size_t *n, size_t *cap,
                       const char *ref, bool rows, pf_err *e)
{
    pf_jval list = pf_jget(obj, "shards");
    uint64_t first = 0;
    if (pf_jtype(list) != PF_JSON_ARRAY)
        return pf_err_set(e, PF_E_FORMAT, "'shards' is %s",
                          pf_jtype_name(list));
    pf_jiter it = pf_jiter_of(list);
    while (pf_jiter_next(&it)) {
        pf_listed s = {0};
        char file[128], want[128];
        uint8_t t[8];
        pf_shard_name(want, sizeof want, *n, ref);
        int rc = copy_name(it.value, file, e);
        if (rc == 0 && strcmp(file, want) != 0)
            rc = pf_err_set(e, PF_E_FORMAT, "shard %zu is named otherwise",
                            *n);
        if (rc == 0)
            rc = pf_json_u64(it.value, "bytes", &s.bytes, e);
        if (rc == 0)
            rc = pf_json_u64(it.value, "first_row", &s.first_row, e);
        if (rc == 0)
            rc = pf_json_u64(it.value, "rows", &s.rows, e);
        if (rc == 0 && rows)
            rc = pf_json_u64(it.value, "tokens", &s.tokens, e);
        if (rc == 0)
            rc = pf_json_u64(it.value, "completion", &s.completion, e);
        if (rc == 0)
            rc = pf_json_hex(it.value, "trailer", t, sizeof t, e);
        if (rc < 0)
            return rc;
        for (int i = 0; i < 8; i++) /* written as a number: high digit first */
            s.trailer = s.trailer << 8 | t[i];
        if (s.first_row != first || s.rows == 0)
            return pf_err_set(e, PF_E_FORMAT, "shard %zu does not follow the "
                              "one before", *n);
        first += s.rows;
        rc = pf_listed_add(l, n, cap, &s, file, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_blobs(pf_manifest *m, pf_jval obj, pf_err *e)
{
    pf_jiter it = pf_jiter_of(pf_jget(obj, "blobs"));
    while (pf_jiter_next(&it)) {
        pf_listed s = {0};
        char file[128];
        int rc = copy_name(it.value, file, e);
        if (rc == 0)
            rc = pf_json_u64(it.value, "bytes", &s.bytes, e);
        if (rc == 0)
            rc = pf_json_u64(it.value, "raw", &s.raw, e);
        if (rc == 0)
            rc = pf_json_hex(it.value, "sha256", s.sha256, PF_SHA256_BYTES,
                             e);
        if (rc == 0)
            rc = pf_listed_add(&m->blob, &m->n_blob, &m->cap_blob, &s, file,
                               e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check_format(pf_jval obj, const char *format, pf_err *e)
{
    uint64_t version = 0;
    if (!pf_slice_is(pf_jstr(pf_jget(obj, "format")), format))
        return pf_err_set(e, PF_E_FORMAT, "not a manifest of %s", format);
    int rc = pf_json_u64(obj, "version", &version, e);
    if (rc == 0 && version != 1)
        rc = pf_err_set(e, PF_E_FORMAT, "format version %" PRIu64
                        ", this is 1", version);
    return rc;
}

static int read_head(pf_manifest *m, pf_jval o, pf_err *e)
{
    char kind[16] = "";
    pf_slice k = pf_jstr(pf_jget(o, "kind"));
    uint8_t id[PF_SHA256_BYTES], sum[16];
    uint64_t branches = 0, vocab = 0;
    if (k.n < sizeof kind && k.n)
        memcpy(kind, k.p, k.n);
    int rc = check_format(o, "prefkit-set", e);
    if (rc == 0 && !pf_row_kind_parse(kind, &m->head.kind))
        rc = pf_err_set(e, PF_E_FORMAT, "unknown row kind");
    if (rc == 0)
        rc = pf_json_u64(o, "branches", &branches, e);
    if (rc == 0)
        rc = pf_json_u64(o, "vocab", &vocab, e);
    if (rc == 0 && (branches != (m->head.kind == PF_ROW_PAIR ? 2 : 1) ||
                    vocab == 0 || vocab > UINT32_MAX))
        rc = pf_err_set(e, PF_E_FORMAT, "branches or vocab make no sense");
    m->head.n_branch = (uint32_t)branches;
    m->head.vocab = (uint32_t)vocab;
    if (rc == 0)
        rc = pf_ident_of_json(&m->head.recipe, pf_jget(o, "recipe"), e);
    if (rc == 0)
        rc = pf_json_hex(o, "recipe_id", m->recipe, PF_SHA256_BYTES, e);
    if (rc == 0)
        rc = pf_ident_digest(&m->head.recipe, id, e);
    if (rc == 0 && memcmp(id, m->recipe, sizeof id) != 0)
        rc = pf_err_set(e, PF_E_FORMAT, "recipe_id is not that of the recipe");
    if (rc == 0)
        rc = pf_json_hex(o, "row_sum", sum, sizeof sum, e);
    for (int i = 0; i < 8 && rc == 0; i++) {
        m->row_sum.hi = m->row_sum.hi << 8 | sum[i];
        m->row_sum.lo = m->row_sum.lo << 8 | sum[8 + i];
    }
    return rc;
}

int pf_manifest_read(pf_manifest *m, const char *dir, pf_err *e)
{
    framed f;
    *m = (pf_manifest){0};
    int rc = framed_open(&f, dir, "manifest.json", "set", e);
    if (rc == 0)
        rc = read_head(m, f.body, e);
    if (rc == 0)
        rc = pf_json_u64(f.body, "rows", &m->total.rows, e);
    if (rc == 0)
        rc = pf_json_u64(f.body, "tokens", &m->total.tokens, e);
    if (rc == 0)
        rc = pf_json_u64(f.body, "completion", &m->total.completion, e);
    if (rc == 0)
        rc = pf_json_hex(f.body, "set_id", m->total.set_id, PF_SHA256_BYTES,
                         e);
    if (rc == 0)
        rc = pf_tally_read(&m->total.tally, pf_jget(f.body, "tally"), e);
    if (rc == 0)
        rc = read_shards(f.body, &m->shard, &m->n_shard, &m->cap_shard, NULL,
                         true, e);
    if (rc == 0)
        rc = read_blobs(m, f.body, e);
    pf_err_at(e, f.path, 0, -1);
    framed_release(&f);
    if (rc < 0)
        pf_manifest_release(m);
    return rc;
}

int pf_ref_manifest_read(pf_ref_manifest *m, const char *dir,
                         const char *name, pf_err *e)
{
    framed f;
    char file[PF_REF_NAME_MAX + 16];
    uint8_t id[PF_SHA256_BYTES], want[PF_SHA256_BYTES];
    *m = (pf_ref_manifest){0};
    int rc = pf_ref_name_check(name, e);
    if (rc < 0)
        return rc;
    snprintf(m->name, sizeof m->name, "%s", name);
    snprintf(file, sizeof file, "%s.ref.json", name);
    rc = framed_open(&f, dir, file, "ref", e);
    if (rc == 0)
        rc = check_format(f.body, "prefkit-reference", e);
    if (rc == 0 && !pf_slice_is(pf_jstr(pf_jget(f.body, "name")), name))
        rc = pf_err_set(e, PF_E_FORMAT, "manifest is of another name");
    if (rc == 0)
        rc = pf_ident_of_json(&m->ident, pf_jget(f.body, "ident"), e);
    if (rc == 0)
        rc = pf_ident_digest(&m->ident, id, e);
    if (rc == 0)
        rc = pf_json_hex(f.body, "ref_id", want, sizeof want, e);
    if (rc == 0 && memcmp(id, want, sizeof id) != 0)
        rc = pf_err_set(e, PF_E_FORMAT, "ref_id is not that of the identity");
    if (rc == 0)
        rc = pf_json_hex(f.body, "set_id", m->set_id, PF_SHA256_BYTES, e);
    if (rc == 0)
        rc = pf_json_u64(f.body, "rows", &m->rows, e);
    if (rc == 0)
        rc = pf_json_u64(f.body, "completion", &m->completion, e);
    if (rc == 0)
        rc = read_shards(f.body, &m->shard, &m->n_shard, &m->cap_shard, name,
                         false, e);
    pf_err_at(e, f.path, 0, -1);
    framed_release(&f);
    if (rc < 0)
        pf_ref_manifest_release(m);
    return rc;
}
