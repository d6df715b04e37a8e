/* SPDX-License-Identifier: MIT
 *
 * pf_set_verify: all that opening checks, and what it takes on trust: row
 * keys and reference sums from their contents, files from SHA256SUMS. */
#include "formats/shard_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Sums are those of the f32 log-probs in f64, in token order. */
static int check_sums(const pf_chunk *c, uint32_t r, pf_err *e)
{
    for (uint32_t i = 0; i < c->n; i++) {
        pf_row row;
        pf_row_ref ref;
        pf_chunk_row(c, i, &row);
        pf_chunk_row_ref(c, i, r, &ref);
        const float *t = ref.token;
        for (uint32_t k = 0; t && k < c->K; k++) {
            double sum = 0;
            for (uint32_t j = 0; j < row.b_len[k]; j++)
                sum += (double)*t++;
            if (sum != ref.sum[k])
                return pf_ck_error(&c->ck, e, "references '%s': row %u: the "
                                   "sum is not that of its tokens",
                                   c->ref[r].name, i);
        }
    }
    return 0;
}

int pf_chunk_verify(const pf_chunk *c, pf_err *e)
{
    int rc = pf_chunk_check_keys(c, e);
    for (uint32_t r = 0; r < pf_chunk_refs(c) && rc == 0; r++)
        rc = check_sums(c, r, e);
    return rc;
}

int pf_shard_numpy(const char *dir, const char *file, FILE *out, pf_err *e)
{
    pf_mapping m = {0};
    pf_ck c;
    char *path = pf_path_join(dir, file);
    int rc = path ? pf_mapping_open(&m, path, true, e) : pf_err_nomem(e);
    if (rc == 0)
        rc = pf_ck_open(&c, m.p, m.n, path, 0, e);
    for (uint32_t i = 0; rc == 0 && i < c.head.n_sec; i++) {
        const pf_ck_sec *s = &c.sec[i];
        const char *type = s->dtype == 'B'   ? "u1"
                           : s->dtype == 'H' ? "<u2"
                           : s->dtype == 'I' ? "<u4"
                           : s->dtype == 'Q' ? "<u8"
                           : s->dtype == 'f' ? "<f4"
                                             : "<f8";
        if (s->n && s->codec == PF_CK_RAW)
            fprintf(out, "%s = np.memmap('%s', '%s', 'r', offset=%zu, "
                    "shape=(%" PRIu64 ",))\n", s->name, path, type,
                    (size_t)((const unsigned char *)s->p - m.p), s->n);
    }
    if (m.p)
        pf_mapping_close(&m);
    pf_free(path);
    return rc;
}

static int put_file(pf_sums *sums, const char *dir, const char *name,
                    pf_err *e)
{
    pf_mapping m = {0};
    uint8_t sha[PF_SHA256_BYTES];
    char *path = pf_path_join(dir, name);
    int rc = path ? pf_mapping_open(&m, path, true, e) : pf_err_nomem(e);
    if (rc == 0) {
        pf_sha256_of(m.p, m.n, sha);
        rc = pf_sums_put(sums, name, sha, e);
    }
    if (m.p)
        pf_mapping_close(&m);
    pf_free(path);
    return rc;
}

static int sum_all(pf_sums *sums, const pf_set *s, const char *dir, pf_err *e)
{
    const pf_manifest *m = pf_set_manifest(s);
    int rc = put_file(sums, dir, "manifest.json", e);
    for (size_t i = 0; i < m->n_blob && rc == 0; i++)
        rc = put_file(sums, dir, m->blob[i].file, e);
    uint32_t refs = pf_chunk_refs(pf_set_shard(s, 0));
    for (size_t i = 0; i < m->n_shard && rc == 0; i++) {
        rc = put_file(sums, dir, m->shard[i].file, e);
        for (uint32_t r = 0; r < refs && rc == 0; r++) {
            char name[128];
            pf_ref_decl d = pf_chunk_ref(pf_set_shard(s, i), r);
            pf_shard_name(name, sizeof name, i, d.name);
            rc = put_file(sums, dir, name, e);
        }
    }
    for (uint32_t r = 0; r < refs && rc == 0; r++) {
        char name[PF_REF_NAME_MAX + 16];
        snprintf(name, sizeof name, "%s.ref.json",
                 pf_chunk_ref(pf_set_shard(s, 0), r).name);
        rc = put_file(sums, dir, name, e);
    }
    return rc;
}

static int check_sums_file(const pf_set *s, const char *dir, pf_err *e)
{
    pf_sums sums = {0};
    pf_buf want = {0};
    char *path = pf_path_join(dir, "SHA256SUMS"), *text = NULL;
    size_t n = 0;
    int rc = path ? sum_all(&sums, s, dir, e) : pf_err_nomem(e);
    if (rc == 0)
        rc = pf_sums_text(&sums, &want, e);
    if (rc == 0)
        rc = pf_read_file(path, PF_JSON_MAX, &text, &n, e);
    if (rc == 0 && (n != want.n || memcmp(text, want.p, n) != 0)) {
        size_t at = 0;
        while (at < n && at < want.n && text[at] == want.p[at])
            at++;
        rc = pf_err_pos(e, at == n ? PF_E_TRUNCATED : PF_E_FORMAT, path, 0,
                        (int64_t)at, "not the sums of the files here");
    }
    pf_free(text);
    pf_free(path);
    pf_buf_release(&want);
    pf_sums_release(&sums);
    return rc;
}

int pf_set_verify(const char *dir, pf_err *e)
{
    pf_set *s;
    int rc = pf_set_open_all(&s, dir, e);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < pf_set_shards(s) && rc == 0; i++)
        rc = pf_chunk_verify(pf_set_shard(s, i), e);
    if (rc == 0)
        rc = check_sums_file(s, dir, e);
    pf_set_close(s);
    return rc;
}
