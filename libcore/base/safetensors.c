/* SPDX-License-Identifier: MIT
 *
 * Reading safetensors. Everything in the header is checked at open, so that a
 * tensor handed out lies inside the mapping; values are not looked at. */
#include "base/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"

#define HEADER_MAX ((uint64_t)100 << 20)

static const struct {
    const char *name;
    size_t size;
} dtypes[PF_DT_COUNT] = {
    [PF_DT_F64] = {"F64", 8},   [PF_DT_F32] = {"F32", 4},
    [PF_DT_F16] = {"F16", 2},   [PF_DT_BF16] = {"BF16", 2},
    [PF_DT_I64] = {"I64", 8},   [PF_DT_I32] = {"I32", 4},
    [PF_DT_I16] = {"I16", 2},   [PF_DT_I8] = {"I8", 1},
    [PF_DT_U64] = {"U64", 8},   [PF_DT_U32] = {"U32", 4},
    [PF_DT_U16] = {"U16", 2},   [PF_DT_U8] = {"U8", 1},
    [PF_DT_BOOL] = {"BOOL", 1},
};

struct pf_st_file {
    const char *path; /* in the arena, as all names */
    pf_mapping map;
    const unsigned char *data; /* behind the header */
    uint64_t data_n;
    pf_arena arena;
    pf_st_tensor *t; /* by data offset */
    size_t n;
    pf_map *by_name; /* index + 1 */
    const char **meta; /* key, value, key, value ... */
    size_t n_meta;
};

size_t pf_dtype_size(pf_dtype t)
{
    return dtypes[t].size;
}

const char *pf_dtype_name(pf_dtype t)
{
    return dtypes[t].name;
}

/* PF_E_FORMAT at a value of the header. */
static int bad_value(const pf_st_file *f, pf_jval at, const char *name,
                     const char *what, pf_err *e)
{
    char q[80];
    return pf_err_pos(e, PF_E_FORMAT, f->path, 0,
                      (int64_t)pf_joffset(at) + 8, "tensor %s: %s",
                      pf_err_quote(q, sizeof q, name, strlen(name)), what);
}

/* A string of the header as a C string, NULL when out of memory. A NUL byte
 * inside is refused before. */
static char *keep(pf_st_file *f, pf_slice s)
{
    return pf_arena_dup(&f->arena, s.p, s.n);
}

static bool has_nul(pf_slice s)
{
    return s.n > 0 && memchr(s.p, 0, s.n) != NULL;
}

/* The shape, with the product of its dimensions; t->name is set. */
static int read_shape(pf_st_file *f, pf_st_tensor *t, pf_jval v, pf_err *e)
{
    if (pf_jtype(v) != PF_JSON_ARRAY)
        return bad_value(f, v, t->name, "no shape", e);
    if (pf_jcount(v) > PF_ST_MAX_DIMS)
        return bad_value(f, v, t->name, "more than 8 dimensions", e);
    t->count = 1;
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it)) {
        int64_t d;
        if (!pf_ji64(it.value, &d) || d < 0)
            return bad_value(f, it.value, t->name, "bad dimension", e);
        t->dim[t->n_dims++] = d;
        if (!pf_mul64(t->count, d, &t->count))
            return bad_value(f, it.value, t->name, "shape overflows", e);
    }
    return 0;
}

static int read_range(pf_st_file *f, pf_st_tensor *t, pf_jval v, pf_err *e)
{
    int64_t at[2] = {0, 0};
    size_t n = 0;
    pf_jiter it = pf_jiter_of(v);
    if (pf_jtype(v) != PF_JSON_ARRAY || pf_jcount(v) != 2)
        return bad_value(f, v, t->name, "no pair of data_offsets", e);
    while (pf_jiter_next(&it))
        if (!pf_ji64(it.value, &at[n++]))
            return bad_value(f, it.value, t->name, "bad data offset", e);
    if (at[0] < 0 || at[1] < at[0] || (uint64_t)at[1] > f->data_n)
        return bad_value(f, v, t->name, "data_offsets outside the file", e);
    int64_t want;
    if (!pf_mul64(t->count, (int64_t)dtypes[t->dtype].size, &want) ||
        want != at[1] - at[0])
        return bad_value(f, v, t->name,
                         "data_offsets do not fit shape and dtype", e);
    t->data = f->data + at[0];
    return 0;
}

static int read_tensor(pf_st_file *f, pf_slice name, pf_jval v, pf_err *e)
{
    pf_st_tensor *t = &f->t[f->n];
    if (has_nul(name))
        return bad_value(f, v, "", "a NUL byte in its name", e);
    if (!(t->name = keep(f, name)))
        return pf_err_nomem(e);
    if (pf_jtype(v) != PF_JSON_OBJECT)
        return bad_value(f, v, t->name, "not an object", e);
    pf_slice type = pf_jstr(pf_jget(v, "dtype"));
    int d = 0;
    while (d < PF_DT_COUNT && !(type.p && pf_slice_is(type, dtypes[d].name)))
        d++;
    if (d == PF_DT_COUNT)
        return bad_value(f, v, t->name, "no dtype that is known", e);
    t->dtype = (pf_dtype)d;
    int rc = read_shape(f, t, pf_jget(v, "shape"), e);
    if (rc == 0)
        rc = read_range(f, t, pf_jget(v, "data_offsets"), e);
    f->n += rc == 0;
    return rc;
}

static int read_meta(pf_st_file *f, pf_jval v, pf_err *e)
{
    if (pf_jtype(v) != PF_JSON_OBJECT)
        return bad_value(f, v, "__metadata__", "not an object", e);
    size_t n = pf_jcount(v);
    f->meta = pf_arena_calloc(&f->arena, n, 2 * sizeof *f->meta);
    if (!f->meta)
        return pf_err_nomem(e);
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it)) {
        pf_slice s = pf_jstr(it.value);
        if (!s.p || has_nul(s) || has_nul(it.key))
            return bad_value(f, it.value, "__metadata__",
                             "a value that is not plain text", e);
        const char **pair = f->meta + 2 * f->n_meta;
        if (!(pair[0] = keep(f, it.key)) || !(pair[1] = keep(f, s)))
            return pf_err_nomem(e);
        f->n_meta++;
    }
    return 0;
}

/* By place of the data; of those at one place the empty ones come first. */
static int by_data(const void *pa, const void *pb)
{
    const pf_st_tensor *a = pa, *b = pb;
    uintptr_t x = (uintptr_t)a->data, y = (uintptr_t)b->data;
    if (x != y)
        return x < y ? -1 : 1;
    if ((a->count == 0) != (b->count == 0))
        return a->count == 0 ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* No overlap, no hole, all of the file; then the index of names. */
static int finish(pf_st_file *f, pf_err *e)
{
    if (f->n > 1)
        qsort(f->t, f->n, sizeof *f->t, by_data);
    const unsigned char *at = f->data;
    for (size_t i = 0; i < f->n; i++) {
        const pf_st_tensor *t = &f->t[i];
        bool added;
        if (t->data != at) {
            char q[80];
            return pf_err_pos(
                e, PF_E_FORMAT, f->path, 0, at - f->map.p,
                "tensor %s: its data %s",
                pf_err_quote(q, sizeof q, t->name, strlen(t->name)),
                (const unsigned char *)t->data < at
                    ? "overlaps that of another"
                    : "leaves a hole before it");
        }
        at += (size_t)t->count * dtypes[t->dtype].size;
        uint64_t *index = pf_map_put(f->by_name, pf_slice_of(t->name), &added);
        if (!index)
            return pf_err_nomem(e);
        *index = i + 1;
    }
    if ((uint64_t)(at - f->data) != f->data_n)
        return pf_err_pos(e, PF_E_FORMAT, f->path, 0, at - f->map.p,
                          "%" PRIu64 " bytes after the last tensor",
                          f->data_n - (uint64_t)(at - f->data));
    return 0;
}

static int read_header(pf_st_file *f, pf_json *json, pf_slice header,
                       pf_err *e)
{
    pf_jval root;
    if (header.n == 0 || header.p[0] != '{')
        return pf_err_pos(e, PF_E_FORMAT, f->path, 0, 8,
                          "the header does not start with '{'");
    int rc = pf_json_parse(json, header, &root, e);
    if (rc) {
        if (e && e->byte >= 0)
            e->byte += 8; /* counts from the start of the file */
        pf_err_at(e, f->path, 0, -1);
        return rc;
    }
    if (pf_json_duplicates(json))
        return pf_err_pos(e, PF_E_FORMAT, f->path, 0, 8,
                          "the header has duplicate names");
    f->t = pf_calloc(pf_jcount(root), sizeof *f->t);
    if (!f->t)
        return pf_err_nomem(e);
    pf_jiter it = pf_jiter_of(root);
    while (rc == 0 && pf_jiter_next(&it))
        rc = pf_slice_is(it.key, "__metadata__")
                 ? read_meta(f, it.value, e)
                 : read_tensor(f, it.key, it.value, e);
    return rc ? rc : finish(f, e);
}

int pf_st_open(pf_st_file **out, const char *path, pf_err *e)
{
    *out = NULL;
    pf_json *json = NULL;
    pf_st_file *f = pf_calloc(1, sizeof *f);
    if (!f)
        return pf_err_nomem(e);
    int rc = pf_mapping_open(&f->map, path, false, e);
    if (rc)
        goto fail;
    rc = PF_E_LIMIT;
    f->path = pf_arena_dup(&f->arena, path, strlen(path));
    json = pf_json_new();
    f->by_name = pf_map_new(0x7374);
    if (!f->path || !json || !f->by_name) {
        pf_err_nomem(e);
        goto fail;
    }
    rc = PF_E_FORMAT;
    if (f->map.n < 8) {
        pf_err_pos(e, rc, path, 0, 0, "too short for a safetensors file");
        goto fail;
    }
    uint64_t n = pf_get_u64(f->map.p);
    if (n > HEADER_MAX || n > f->map.n - 8) {
        pf_err_pos(e, rc, path, 0, 0,
                   "safetensors header of %" PRIu64 " bytes in a file of %zu",
                   n, f->map.n);
        goto fail;
    }
    f->data = f->map.p + 8 + n;
    f->data_n = f->map.n - 8 - n;
    rc = read_header(f, json, (pf_slice){(const char *)f->map.p + 8, n}, e);
fail:
    pf_json_free(json);
    if (rc)
        pf_st_close(f);
    else
        *out = f;
    return rc;
}

void pf_st_close(pf_st_file *f)
{
    if (!f)
        return;
    pf_map_free(f->by_name);
    pf_free(f->t);
    pf_arena_release(&f->arena);
    pf_mapping_close(&f->map);
    pf_free(f);
}

size_t pf_st_count(const pf_st_file *f)
{
    return f->n;
}

const pf_st_tensor *pf_st_at(const pf_st_file *f, size_t i)
{
    return &f->t[i];
}

const pf_st_tensor *pf_st_find(const pf_st_file *f, const char *name)
{
    const uint64_t *index = pf_map_get(f->by_name, pf_slice_of(name));
    return index ? &f->t[*index - 1] : NULL;
}

const char *pf_st_meta(const pf_st_file *f, const char *key)
{
    for (size_t i = 0; i < f->n_meta; i++)
        if (strcmp(f->meta[2 * i], key) == 0)
            return f->meta[2 * i + 1];
    return NULL;
}

int pf_st_to_f32(const pf_st_tensor *t, int64_t first, int64_t n, float *out,
                 pf_err *e)
{
    PF_ASSERT(first >= 0 && n >= 0 && first <= t->count &&
              n <= t->count - first);
    const unsigned char *p = t->data;
    p += (size_t)first * dtypes[t->dtype].size;
    switch (t->dtype) {
    case PF_DT_F64:
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)pf_get_f64(p + 8 * i);
        return 0;
    case PF_DT_F32:
        if (n)
            memcpy(out, p, (size_t)n * 4);
        return 0;
    case PF_DT_F16:
        for (int64_t i = 0; i < n; i++)
            out[i] = pf_f16_to_f32(pf_get_u16(p + 2 * i));
        return 0;
    case PF_DT_BF16:
        for (int64_t i = 0; i < n; i++)
            out[i] = pf_bf16_to_f32(pf_get_u16(p + 2 * i));
        return 0;
    default: {
        char q[80];
        return pf_err_set(e, PF_E_FORMAT, "tensor %s: %s is not a float type",
                          pf_err_quote(q, sizeof q, t->name, strlen(t->name)),
                          dtypes[t->dtype].name);
    }
    }
}
