/* SPDX-License-Identifier: MIT
 *
 * safetensors files (the format of huggingface/safetensors 0.5): an 8-byte
 * header length, a JSON header, then the tensors. Row-major, little-endian.
 *
 * Checked at open: header length against 100 MB and the file, JSON, duplicate
 * names, dtype, product of shape x size = byte range, no overlap, no hole, the
 * data covers the file exactly. */
#ifndef PF_BASE_SAFETENSORS_H
#define PF_BASE_SAFETENSORS_H

#include "base/err.h"
#include "base/io.h"

#define PF_ST_MAX_DIMS 8

typedef enum pf_dtype {
    PF_DT_F64,
    PF_DT_F32,
    PF_DT_F16,
    PF_DT_BF16,
    PF_DT_I64,
    PF_DT_I32,
    PF_DT_I16,
    PF_DT_I8,
    PF_DT_U64,
    PF_DT_U32,
    PF_DT_U16,
    PF_DT_U8,
    PF_DT_BOOL,
    PF_DT_COUNT
} pf_dtype;

size_t pf_dtype_size(pf_dtype t);
const char *pf_dtype_name(pf_dtype t); /* "F32", as in the file */

typedef struct pf_st_tensor {
    const char *name; /* NUL-terminated, owned by the file */
    pf_dtype dtype;
    int n_dims;
    int64_t dim[PF_ST_MAX_DIMS];
    int64_t count; /* product of dims */
    const void *data; /* in the mapping; only byte-aligned */
} pf_st_tensor;

typedef struct pf_st_file pf_st_file;

PF_MUST_CHECK int pf_st_open(pf_st_file **out, const char *path, pf_err *e);
void pf_st_close(pf_st_file *f);
size_t pf_st_count(const pf_st_file *f);
const pf_st_tensor *pf_st_at(const pf_st_file *f, size_t i); /* file order */
const pf_st_tensor *pf_st_find(const pf_st_file *f, const char *name);
/* A value of __metadata__, or NULL. */
const char *pf_st_meta(const pf_st_file *f, const char *key);

/* n floats from a F64/F32/F16/BF16 tensor starting at element first (exact
 * widening; F64 is rounded). PF_E_FORMAT for integer tensors. */
PF_MUST_CHECK int pf_st_to_f32(const pf_st_tensor *t, int64_t first, int64_t n,
                               float *out, pf_err *e);

/* Writing: the tensors in the order given, each produced by a callback so
 * that no second copy of a model is made. Always writes metadata
 * {"format":"pt"}, which older transformers require. */
typedef struct pf_st_out {
    const char *name;
    pf_dtype dtype;
    int n_dims;
    int64_t dim[PF_ST_MAX_DIMS];
    const void *data; /* tensor bytes in dtype, or NULL to use fill() */
} pf_st_out;

/* Fills buf with bytes [off, off + n) of tensor i (in its dtype). */
typedef int pf_st_fill_fn(void *ctx, size_t i, uint64_t off, void *buf,
                          size_t n, pf_err *e);

/* Atomic (pf_writer). fill may be NULL when every tensor has data. */
PF_MUST_CHECK int pf_st_write(const char *path, const pf_st_out *t, size_t n,
                              pf_st_fill_fn *fill, void *ctx,
                              pf_write_mode mode, pf_err *e);

#endif
