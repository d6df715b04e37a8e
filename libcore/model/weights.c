/* SPDX-License-Identifier: MIT
 *
 * Masters of a model: from safetensors (one file, or shards with an index),
 * or from random numbers; and their digest.
 *
 * Every parameter must be found exactly once with its shape; a tensor that
 * the graph does not know is an error, save buffers that are known to carry
 * nothing. Pickles are refused: reading one runs code. */
#include "model/model_int.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 65536 /* elements converted at a time */
#define INDEX_MAX ((size_t)64 << 20)

typedef struct loader {
    pf_model *m;
    bool *seen;     /* [n_param] */
    float *staging; /* [CHUNK] */
    pf_json *json;
    pf_jval map;    /* weight_map of an index, or NONE */
    size_t mapped;  /* its entries met in the parts */
} loader;

/* ------------------------------------------------------------- tensors -- */

static bool ends(const char *s, const char *suffix)
{
    return pf_slice_ends(pf_slice_of(s), pf_slice_of(suffix));
}

/* Masks and frequencies that old files carry along, and the copy of a tied
 * head, which transformers does not read either. */
static bool is_ignored(const pf_model *m, const char *name)
{
    return ends(name, ".attn.bias") || ends(name, ".attn.masked_bias") ||
           ends(name, ".rotary_emb.inv_freq") ||
           (m->cfg.tied && strcmp(name, "lm_head.weight") == 0);
}

/* By its name, or with the prefix that files saved from the bare trunk lack
 * ("wte.weight", "embed_tokens.weight"). */
static int64_t find_param(const pf_model *m, const char *name)
{
    char full[160];
    int64_t i = pf_model_param_find(m, pf_slice_of(name));
    const char *prefix = m->cfg.family == PF_FAMILY_GPT2 ? "transformer."
                                                         : "model.";
    int n = snprintf(full, sizeof full, "%s%s", prefix, name);
    if (i >= 0 || n >= (int)sizeof full)
        return i;
    return pf_model_param_find(m, pf_slice_of(full));
}

static int check_shape(const pf_param *p, const pf_st_tensor *t,
                       const char *path, pf_err *e)
{
    bool same = p->n_dims == t->n_dims;
    for (int d = 0; same && d < p->n_dims; d++)
        same = p->dim[d] == t->dim[d];
    if (same)
        return 0;
    char want[64] = "", got[96] = "";
    for (int d = 0; d < p->n_dims; d++)
        snprintf(want + strlen(want), sizeof want - strlen(want), "%s%lld",
                 d ? "," : "", (long long)p->dim[d]);
    for (int d = 0; d < t->n_dims && strlen(got) < 70; d++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%lld",
                 d ? "," : "", (long long)t->dim[d]);
    return pf_err_pos(e, PF_E_FORMAT, path, 0, -1,
                      "tensor %s has shape [%s], the config wants [%s]",
                      p->name, got, want);
}

static int load_tensor(loader *ld, const pf_st_tensor *t, const char *path,
                       pf_err *e)
{
    pf_model *m = ld->m;
    char quoted[128];
    int64_t i = find_param(m, t->name);
    if (i < 0 && is_ignored(m, t->name))
        return 0;
    pf_err_quote(quoted, sizeof quoted, t->name, strlen(t->name));
    if (i < 0)
        return pf_err_pos(e, PF_E_FORMAT, path, 0, -1,
                          "unknown tensor %s for %s", quoted,
                          m->cfg.architecture);
    if (ld->seen[i])
        return pf_err_pos(e, PF_E_FORMAT, path, 0, -1, "tensor %s twice",
                          quoted);
    ld->seen[i] = true;
    pf_param *p = &m->param[i];
    int rc = check_shape(p, t, path, e);
    for (int64_t at = 0; rc == 0 && at < p->count; at += CHUNK) {
        int64_t n = PF_MIN(p->count - at, CHUNK);
        rc = pf_st_to_f32(t, at, n, ld->staging, e);
        if (rc == 0)
            m->be->ops->copy_in(m->be, p->master + at, ld->staging,
                                (size_t)n * sizeof(float));
    }
    if (rc < 0)
        pf_err_at(e, path, 0, -1);
    return rc;
}

/* A tensor of a part stands in the index, under that part. */
static int check_mapped(loader *ld, const char *name, const char *part,
                        const char *path, pf_err *e)
{
    pf_slice in = pf_jstr(pf_jget(ld->map, name));
    ld->mapped++;
    if (in.p && pf_slice_is(in, part))
        return 0;
    char quoted[128];
    return pf_err_pos(e, PF_E_FORMAT, path, 0, -1,
                      "tensor %s: the index does not place it here",
                      pf_err_quote(quoted, sizeof quoted, name, strlen(name)));
}

static int load_file(loader *ld, const char *dir, const char *part, pf_err *e)
{
    pf_st_file *f = NULL;
    char *path = pf_path_join(dir, part);
    int rc = path ? pf_st_open(&f, path, e) : pf_err_nomem(e);
    for (size_t i = 0; rc == 0 && i < pf_st_count(f); i++) {
        const pf_st_tensor *t = pf_st_at(f, i);
        if (pf_jtype(ld->map) != PF_JSON_NONE)
            rc = check_mapped(ld, t->name, part, path, e);
        if (rc == 0)
            rc = load_tensor(ld, t, path, e);
    }
    pf_st_close(f);
    pf_free(path);
    return rc;
}

/* -------------------------------------------------------------- shards -- */

static bool is_plain_name(pf_slice s)
{
    return s.p && s.n > 0 && !memchr(s.p, '/', s.n) && !memchr(s.p, 0, s.n) &&
           s.p[0] != '.';
}

static int load_parts(loader *ld, const char *dir, const char *path, pf_err *e)
{
    pf_map *parts = pf_map_new(1);
    int rc = parts ? 0 : pf_err_nomem(e);
    pf_jiter it = pf_jiter_of(ld->map);
    while (rc == 0 && pf_jiter_next(&it)) {
        bool added;
        pf_slice part = pf_jstr(it.value);
        if (!is_plain_name(part))
            rc = pf_err_pos(e, PF_E_FORMAT, path, 0, -1,
                            "weight_map names a part that is not a file name");
        else if (!pf_map_put(parts, part, &added))
            rc = pf_err_nomem(e);
    }
    for (size_t i = 0; rc == 0 && i < pf_map_count(parts); i++) {
        pf_slice s = pf_map_key(parts, i);
        char *part = pf_memdup0(s.p, s.n);
        rc = part ? load_file(ld, dir, part, e) : pf_err_nomem(e);
        pf_free(part);
    }
    if (rc == 0 && ld->mapped != pf_jcount(ld->map))
        rc = pf_err_pos(e, PF_E_FORMAT, path, 0, -1,
                        "weight_map names %zu tensors, the parts hold %zu",
                        pf_jcount(ld->map), ld->mapped);
    pf_map_free(parts);
    return rc;
}

static int load_index(loader *ld, const char *dir, const char *path, pf_err *e)
{
    char *text = NULL;
    size_t n = 0;
    pf_jval root;
    int rc = pf_read_file(path, INDEX_MAX, &text, &n, e);
    ld->json = pf_json_new();
    if (rc == 0 && !ld->json)
        rc = pf_err_nomem(e);
    if (rc == 0) {
        rc = pf_json_parse(ld->json, (pf_slice){text, n}, &root, e);
        pf_err_at(e, path, 0, -1);
    }
    if (rc == 0) {
        ld->map = pf_jget(root, "weight_map");
        rc = pf_jtype(ld->map) == PF_JSON_OBJECT
                 ? load_parts(ld, dir, path, e)
                 : pf_err_pos(e, PF_E_FORMAT, path, 0, -1, "no weight_map");
    }
    pf_free(text);
    return rc;
}

/* ---------------------------------------------------------------- load -- */

static int load_any(loader *ld, const char *dir, pf_err *e)
{
    char *one = pf_path_join(dir, "model.safetensors");
    char *index = pf_path_join(dir, "model.safetensors.index.json");
    char *pickle = pf_path_join(dir, "pytorch_model.bin");
    int rc;
    if (!one || !index || !pickle)
        rc = pf_err_nomem(e);
    else if (!pf_path_exists(one) && pf_path_exists(index))
        rc = load_index(ld, dir, index, e);
    else if (!pf_path_exists(one) && pf_path_exists(pickle))
        rc = pf_err_pos(e, PF_E_USAGE, pickle, 0, -1,
                        "pickled weights are not read: save the model as "
                        "safetensors");
    else
        rc = load_file(ld, dir, "model.safetensors", e);
    pf_free(one);
    pf_free(index);
    pf_free(pickle);
    return rc;
}

int pf_weights_load(pf_model *m, const char *dir, pf_err *e)
{
    loader ld = {.m = m};
    ld.seen = pf_calloc(m->n_param, sizeof *ld.seen);
    ld.staging = pf_calloc(CHUNK, sizeof *ld.staging);
    int rc = ld.seen && ld.staging ? 0 : pf_err_nomem(e);
    if (rc == 0)
        rc = load_any(&ld, dir, e);
    for (size_t i = 0; rc == 0 && i < m->n_param; i++)
        if (!ld.seen[i])
            rc = pf_err_pos(e, PF_E_FORMAT, dir, 0, -1, "tensor %s is missing",
                            m->param[i].name);
    pf_json_free(ld.json);
    pf_free(ld.seen);
    pf_free(ld.staging);
    return rc;
}

/* -------------------------------------------------------------- random -- */

#define RANDOM_TASKS 16

typedef struct random_job {
    uint64_t seed, stream;
    int64_t first, n;
    double std, constant;
    float *out; /* [RANDOM_TASKS * CHUNK] */
} random_job;

static void random_task(void *arg, int task, int thread)
{
    (void)thread;
    const random_job *j = arg;
    int64_t from = (int64_t)task * CHUNK, to = PF_MIN(from + CHUNK, j->n);
    for (int64_t i = from; i < to; i++) {
        uint64_t at = (uint64_t)(j->first + i);
        double v = j->std > 0
                       ? j->std * pf_rand_normal(j->seed, j->stream, at)
                       : j->constant;
        j->out[i] = (float)v;
    }
}

/* As transformers' _init_weights: matrices normal, norms 1, biases 0. A
 * parameter's numbers depend on the seed and its place in the table only. */
int pf_weights_random(pf_model *m, uint64_t seed, pf_err *e)
{
    random_job j = {.seed = seed};
    j.out = pf_calloc(RANDOM_TASKS * CHUNK, sizeof *j.out);
    if (!j.out)
        return pf_err_nomem(e);
    for (size_t i = 0; i < m->n_param; i++) {
        pf_param *p = &m->param[i];
        j.stream = i;
        j.std = m->init_std[i];
        j.constant = p->n_dims == 1 && ends(p->name, ".weight");
        for (int64_t at = 0; at < p->count; at += RANDOM_TASKS * CHUNK) {
            j.first = at;
            j.n = PF_MIN(p->count - at, RANDOM_TASKS * CHUNK);
            pf_pool_run(m->be->pool, random_task, &j,
                        (int)((j.n + CHUNK - 1) / CHUNK));
            m->be->ops->copy_in(m->be, p->master + at, j.out,
                                (size_t)j.n * sizeof(float));
        }
    }
    pf_free(j.out);
    return 0;
}

/* ------------------------------------------------------------ identity -- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const pf_param *const *)a)->name,
                  (*(const pf_param *const *)b)->name);
}

static void hash_param(const pf_model *m, pf_sha256 *sha, const pf_param *p,
                       float *staging)
{
    pf_sha256_update(sha, p->name, strlen(p->name) + 1);
    int64_t shape[5] = {p->n_dims};
    for (int d = 0; d < p->n_dims; d++)
        shape[1 + d] = p->dim[d];
    pf_sha256_update(sha, shape, (size_t)(1 + p->n_dims) * sizeof *shape);
    for (int64_t at = 0; at < p->count; at += CHUNK) {
        size_t bytes = (size_t)PF_MIN(p->count - at, CHUNK) * sizeof(float);
        m->be->ops->copy_out(m->be, staging, p->master + at, bytes);
        pf_sha256_update(sha, staging, bytes);
    }
}

int pf_model_identity(const pf_model *m, pf_ident *id, pf_err *e)
{
    const pf_param **sorted = pf_calloc(m->n_param, sizeof *sorted);
    float *staging = pf_calloc(CHUNK, sizeof *staging);
    int rc = sorted && staging ? 0 : pf_err_nomem(e);
    if (rc == 0) {
        uint8_t digest[PF_SHA256_BYTES];
        char hex[PF_SHA256_HEX];
        pf_sha256 sha;
        pf_sha256_init(&sha);
        for (size_t i = 0; i < m->n_param; i++)
            sorted[i] = &m->param[i];
        qsort(sorted, m->n_param, sizeof *sorted, by_name);
        for (size_t i = 0; i < m->n_param; i++)
            hash_param(m, &sha, sorted[i], staging);
        pf_sha256_final(&sha, digest);
        rc = pf_ident_set(id, "model.weights",
                          pf_hex(digest, sizeof digest, hex), e);
    }
    if (rc == 0)
        rc = pf_config_identity(&m->cfg, id, e);
    pf_free(sorted);
    pf_free(staging);
    return rc;
}
