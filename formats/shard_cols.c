/* SPDX-License-Identifier: MIT
 *
 * COLS chunks: reference log-probabilities of a run of rows. A chunk carries
 * its reference's name and whole identity and the hash of the rows it belongs
 * to, so a stream, a part and a sidecar need nothing else to be checked. */
#include "formats/shard_int.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

enum { BIND = 48 }; /* ref_id 32, hash of the rows 16 */

int pf_ref_name_check(const char *name, pf_err *e)
{
    size_t n = strlen(name);
    bool ok = n > 0 && n <= PF_REF_NAME_MAX && name[0] != '.' &&
              name[0] != '-' && strcmp(name, "imported") != 0;
    for (size_t i = 0; i < n && ok; i++)
        ok = (name[i] >= 'a' && name[i] <= 'z') ||
             (name[i] >= 'A' && name[i] <= 'Z') ||
             (name[i] >= '0' && name[i] <= '9') || strchr("._-", name[i]);
    if (ok)
        return 0;
    char q[96];
    return pf_err_set(e, PF_E_USAGE, "reference name %s: want letters, "
                      "digits, '.', '_', '-'; not 'imported'",
                      pf_err_quote(q, sizeof q, name, n));
}

void pf_cols_head_release(pf_cols_head *h)
{
    pf_ident_release(&h->ident);
    *h = (pf_cols_head){0};
}

int pf_cols_write(const pf_ck_head *head, const pf_cols *cols,
                  pf_hash128 rows, const pf_ck_sink *to, uint64_t *trailer,
                  uint64_t *bytes, pf_err *e)
{
    pf_buf json = {0};
    uint8_t bind[BIND];
    pf_ck c = {.head = *head};
    c.head.kind = PF_CK_COLS;
    c.head.n_sec = 0;
    c.tail.completion = cols->n_token;
    int rc = pf_ident_json(cols->ident, &json, e);
    if (rc == 0) {
        pf_sha256_of(json.p, json.n, bind);
        pf_put_u64(bind + 32, rows.lo);
        pf_put_u64(bind + 40, rows.hi);
        pf_ck_add(&c, "name", 'B', cols->name, strlen(cols->name));
        pf_ck_add(&c, "ident", 'B', json.p, json.n);
        pf_ck_add(&c, "bind", 'B', bind, BIND);
        if (cols->token)
            pf_ck_add(&c, "token", 'f', cols->token, cols->n_token);
        pf_ck_add(&c, "sum", 'd', cols->sum,
                  (uint64_t)c.head.n_rows * c.head.n_branch);
        rc = pf_ck_write(&c, to, e);
    }
    if (trailer)
        *trailer = c.tail.hash;
    if (bytes)
        *bytes = c.head.bytes;
    pf_buf_release(&json);
    return rc;
}

static int read_ident(pf_cols_head *h, const pf_ck *c, pf_err *e)
{
    const pf_ck_sec *name, *ident, *bind;
    pf_json *doc = NULL;
    pf_jval root;
    uint8_t id[PF_SHA256_BYTES];
    int rc = pf_ck_need(c, "name", 'B', UINT64_MAX, &name, e);
    if (rc == 0)
        rc = pf_ck_need(c, "ident", 'B', UINT64_MAX, &ident, e);
    if (rc == 0)
        rc = pf_ck_need(c, "bind", 'B', BIND, &bind, e);
    if (rc < 0)
        return rc;
    if (name->n > PF_REF_NAME_MAX)
        return pf_ck_error(c, e, "reference name too long");
    memcpy(h->name, name->p, name->n);
    h->name[name->n] = 0;
    if (strlen(h->name) != name->n || pf_ref_name_check(h->name, NULL) < 0)
        return pf_ck_error(c, e, "reference name is not one");
    memcpy(h->ref_id, bind->p, PF_SHA256_BYTES);
    h->rows.lo = pf_get_u64((const uint8_t *)bind->p + 32);
    h->rows.hi = pf_get_u64((const uint8_t *)bind->p + 40);
    rc = pf_shard_json(&doc, (pf_slice){ident->p, ident->n}, &root, e);
    if (rc == 0)
        rc = pf_ident_of_json(&h->ident, root, e);
    if (rc == 0)
        rc = pf_ident_digest(&h->ident, id, e);
    pf_json_free(doc);
    if (rc == 0 && memcmp(id, h->ref_id, sizeof id) != 0)
        rc = pf_ck_error(c, e, "reference identity and its digest differ");
    return rc;
}

int pf_cols_read(pf_cols_head *h, pf_cols *out, const pf_ck *c,
                 uint64_t n_token, pf_err *e)
{
    static const char *const known[] = {"name", "ident", "bind",
                                        "token", "sum", NULL};
    const pf_ck_sec *s;
    *h = (pf_cols_head){0};
    *out = (pf_cols){0};
    if (c->head.kind != PF_CK_COLS)
        return pf_ck_error(c, e, "chunk of kind %u, want references",
                           c->head.kind);
    int rc = pf_ck_known(c, known, e);
    if (rc == 0)
        rc = read_ident(h, c, e);
    if (rc == 0 && pf_ck_find(c, "token")) {
        rc = pf_ck_need(c, "token", 'f', n_token, &s, e);
        if (rc == 0) {
            out->token = s->p;
            n_token = s->n;
        }
    }
    if (rc == 0)
        rc = pf_ck_need(c, "sum", 'd',
                        (uint64_t)c->head.n_rows * c->head.n_branch, &s, e);
    if (rc == 0) {
        out->sum = s->p;
        for (uint64_t i = 0; i < s->n && rc == 0; i++)
            if (!isfinite(out->sum[i]))
                rc = pf_ck_error(c, e, "reference sum is not finite");
    }
    if (rc < 0) {
        pf_cols_head_release(h);
        pf_err_at(e, c->file, 0, (int64_t)c->at);
        return rc;
    }
    out->name = h->name;
    out->ident = &h->ident;
    out->n_token = n_token;
    return 0;
}

void pf_cols_file_close(pf_cols_file *f)
{
    pf_cols_head_release(&f->head);
    if (f->map.p)
        pf_mapping_close(&f->map);
    pf_free(f->path);
    *f = (pf_cols_file){0};
}

int pf_cols_file_open(pf_cols_file *f, const char *dir, const char *name,
                      uint64_t n_token, pf_err *e)
{
    *f = (pf_cols_file){.path = pf_path_join(dir, name)};
    if (!f->path)
        return pf_err_nomem(e);
    int rc = pf_mapping_open(&f->map, f->path, true, e);
    if (rc == 0)
        rc = pf_ck_open(&f->ck, f->map.p, f->map.n, f->path, 0, e);
    if (rc == 0)
        rc = pf_cols_read(&f->head, &f->cols, &f->ck, n_token, e);
    if (rc < 0)
        pf_cols_file_close(f);
    return rc;
}
