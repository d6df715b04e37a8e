/* SPDX-License-Identifier: MIT
 *
 * Writing safetensors. Tensors stand in the caller's order, with no gaps; the
 * header is padded with spaces to a multiple of 8, as upstream does, so that
 * the data of a file of 8-byte types is aligned. */
#include "base/safetensors.h"

#include "base/bytes.h"
#include "base/json.h"
#include "base/mem.h"

#define PIECE ((size_t)1 << 20)

static int tensor_bytes(const pf_st_out *t, uint64_t *out, pf_err *e)
{
    size_t n = pf_dtype_size(t->dtype);
    bool ok = t->n_dims >= 0 && t->n_dims <= PF_ST_MAX_DIMS;
    for (int i = 0; ok && i < t->n_dims; i++)
        ok = t->dim[i] >= 0 && pf_mul(n, (size_t)t->dim[i], &n);
    *out = n;
    return ok ? 0
              : pf_err_set(e, PF_E_LIMIT, "tensor %s: bad shape", t->name);
}

static int build_header(pf_buf *b, const pf_st_out *t, size_t n, pf_err *e)
{
    static const char length[8];
    uint64_t at = 0, size;
    pf_jw w = {.out = b};
    pf_buf_add(b, length, sizeof length);
    pf_jw_obj(&w);
    pf_jw_key(&w, "__metadata__");
    pf_jw_raw(&w, PF_LIT("{\"format\":\"pt\"}"));
    for (size_t i = 0; i < n; i++) {
        int rc = tensor_bytes(&t[i], &size, e);
        if (rc)
            return rc;
        pf_jw_key(&w, t[i].name);
        pf_jw_obj(&w);
        pf_jw_key(&w, "dtype");
        pf_jw_cstr(&w, pf_dtype_name(t[i].dtype));
        pf_jw_key(&w, "shape");
        pf_jw_arr(&w);
        for (int d = 0; d < t[i].n_dims; d++)
            pf_jw_i64(&w, t[i].dim[d]);
        pf_jw_end(&w, ']');
        pf_jw_key(&w, "data_offsets");
        pf_jw_arr(&w);
        pf_jw_u64(&w, at);
        if (!pf_add(at, size, &at))
            return pf_err_set(e, PF_E_LIMIT, "tensors too large");
        pf_jw_u64(&w, at);
        pf_jw_end(&w, ']');
        pf_jw_end(&w, '}');
    }
    pf_jw_end(&w, '}');
    while (!pf_buf_failed(b) && b->n % 8)
        pf_buf_char(b, ' ');
    if (pf_buf_failed(b))
        return pf_err_nomem(e);
    pf_put_u64(b->p, b->n - 8);
    return 0;
}

int pf_st_write(const char *path, const pf_st_out *t, size_t n,
                pf_st_fill_fn *fill, void *ctx, pf_write_mode mode, pf_err *e)
{
    pf_buf head = {0};
    pf_writer *w = NULL;
    char *piece = NULL;
    int rc = build_header(&head, t, n, e);
    if (rc == 0)
        rc = pf_writer_open(&w, path, mode, e);
    if (rc)
        goto fail;
    pf_writer_write(w, head.p, head.n);
    for (size_t i = 0; i < n; i++) {
        uint64_t size;
        if ((rc = tensor_bytes(&t[i], &size, e)) != 0)
            goto fail;
        if (t[i].data) {
            pf_writer_write(w, t[i].data, size);
            continue;
        }
        PF_ASSERT(fill || size == 0);
        if (!piece && !(piece = pf_alloc(PIECE))) {
            rc = pf_err_nomem(e);
            goto fail;
        }
        for (uint64_t off = 0; off < size; off += PIECE) {
            size_t part = PF_MIN(size - off, PIECE);
            if ((rc = fill(ctx, i, off, piece, part, e)) != 0)
                goto fail;
            pf_writer_write(w, piece, part);
        }
    }
    rc = pf_writer_commit(w, e);
    w = NULL;
fail:
    pf_writer_abort(w);
    pf_free(piece);
    pf_buf_release(&head);
    return rc;
}
