/* SPDX-License-Identifier: MIT
 *
 * Masters and gradients -> safetensors. A tied head is not written, as
 * transformers does. Always one file: nothing in the format or in
 * transformers needs a large model to be cut into shards. */
#include "model/model_int.h"

#include "base/bytes.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"

#include <string.h>

#define CHUNK 16384 /* elements converted at a time */

/* Elements are read from the device in their own type and written as dtype;
 * at: of parameter i. acc != 0: gradients of that element size. */
typedef struct source {
    const pf_model *m;
    pf_dtype dtype;
    size_t size;  /* of a device element: float master or acc gradient */
    bool grads;
    char *staging; /* [CHUNK] device elements */
} source;

static float element(const source *s, size_t i)
{
    if (s->size == sizeof(double))
        return (float)pf_get_f64(s->staging + i * sizeof(double));
    return pf_get_f32(s->staging + i * sizeof(float));
}

static int fill(void *ctx, size_t i, uint64_t off, void *buf, size_t n,
                pf_err *e)
{
    (void)e;
    const source *s = ctx;
    const pf_param *p = &s->m->param[i];
    const char *from = s->grads ? p->grad : (const char *)p->master;
    size_t out = pf_dtype_size(s->dtype), count = n / out;
    from += (size_t)(off / out) * s->size;
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t k = PF_MIN(count - at, CHUNK);
        s->m->be->ops->copy_out(s->m->be, s->staging, from + at * s->size,
                                k * s->size);
        for (size_t j = 0; j < k; j++) {
            char *dst = (char *)buf + (at + j) * out;
            if (s->dtype == PF_DT_BF16)
                pf_put_u16(dst, pf_f32_to_bf16(element(s, j)));
            else
                pf_put_f32(dst, element(s, j));
        }
    }
    return 0;
}

static int write_tensors(const pf_model *m, const char *path, pf_dtype dtype,
                         bool grads, pf_err *e)
{
    source s = {.m = m, .dtype = dtype, .grads = grads};
    s.size = grads ? (size_t)m->be->caps.acc_size : sizeof(float);
    pf_st_out *t = pf_calloc(m->n_param, sizeof *t);
    s.staging = pf_calloc(CHUNK, s.size);
    int rc = t && s.staging ? 0 : pf_err_nomem(e);
    for (size_t i = 0; rc == 0 && i < m->n_param; i++) {
        t[i].name = m->param[i].name;
        t[i].dtype = dtype;
        t[i].n_dims = m->param[i].n_dims;
        memcpy(t[i].dim, m->param[i].dim, sizeof m->param[i].dim);
    }
    if (rc == 0)
        rc = pf_st_write(path, t, m->n_param, fill, &s, PF_WRITE_REPLACE, e);
    pf_free(t);
    pf_free(s.staging);
    return rc;
}

/* The config as read, with the value of dtype (torch_dtype before
 * transformers 5) replaced, or dtype put in front where there is none. */
static int new_config(const pf_config *c, const char *dtype, pf_buf *out,
                      pf_err *e)
{
    pf_jval root;
    pf_json *j = pf_json_new();
    pf_slice text = {c->json, c->json_n};
    int rc = j ? pf_json_parse(j, text, &root, e) : pf_err_nomem(e);
    if (rc == 0) {
        size_t at = 0;
        bool found = false;
        pf_jiter it = pf_jiter_of(root);
        while (pf_jiter_next(&it)) {
            if (!pf_slice_is(it.key, "dtype") &&
                !pf_slice_is(it.key, "torch_dtype"))
                continue;
            size_t from = pf_joffset(it.value);
            pf_buf_add(out, text.p + at, from - at);
            pf_buf_printf(out, "\"%s\"", dtype);
            at = from + pf_jraw(it.value).n;
            found = true;
        }
        if (!found) {
            at = pf_joffset(root) + 1;
            pf_buf_add(out, text.p, at);
            pf_buf_printf(out, "\n  \"dtype\": \"%s\",", dtype);
        }
        pf_buf_add(out, text.p + at, text.n - at);
        rc = pf_buf_failed(out) ? pf_err_nomem(e) : 0;
    }
    pf_json_free(j);
    return rc;
}

int pf_model_save(const pf_model *m, const char *dir, pf_dtype dtype,
                  pf_err *e)
{
    if (dtype != PF_DT_F32 && dtype != PF_DT_BF16)
        return pf_err_set(e, PF_E_USAGE, "weights are saved as F32 or BF16");
    pf_buf config = {0};
    char *weights = pf_path_join(dir, "model.safetensors");
    char *json = pf_path_join(dir, "config.json");
    int rc = weights && json ? pf_make_dirs(dir, e) : pf_err_nomem(e);
    if (rc == 0)
        rc = new_config(&m->cfg,
                        dtype == PF_DT_F32 ? "float32" : "bfloat16", &config,
                        e);
    if (rc == 0)
        rc = write_tensors(m, weights, dtype, false, e);
    if (rc == 0)
        rc = pf_write_file(json, config.p, config.n, PF_WRITE_REPLACE, e);
    pf_buf_release(&config);
    pf_free(weights);
    pf_free(json);
    return rc;
}

int pf_model_save_grads(const pf_model *m, const char *path, pf_err *e)
{
    if (!m->train)
        return pf_err_set(e, PF_E_USAGE, "the model was not loaded to train");
    return write_tensors(m, path, PF_DT_F32, true, e);
}
