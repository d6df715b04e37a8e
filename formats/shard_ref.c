/* SPDX-License-Identifier: MIT
 *
 * pf_ref_out: one reference for a set, cell by cell of a 1024-row grid.
 *
 * A finished cell is a COLS chunk in a *.part file, fsynced under its name; so
 * resuming is looking which parts are there and belong here. When all are, a
 * sidecar a shard is put together from them, then published: sidecars,
 * SHA256SUMS, and the reference's manifest last. */
#include "formats/shard_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

typedef struct cell {
    uint32_t shard, first, n; /* rows of the shard */
    bool done;
} cell;

struct pf_ref_out {
    char *dir;
    pf_ref_manifest man;
    pf_set *set;
    int lock;
    cell *cells;
    uint32_t n;
    bool replace;
};

static void ref_free(pf_ref_out *o)
{
    pf_set_close(o->set);
    pf_ref_manifest_release(&o->man);
    pf_free(o->cells);
    pf_free(o->dir);
    if (o->lock >= 0)
        close(o->lock);
    pf_free(o);
}

/* -------------------------------------------------------- single parts -- */

typedef struct part {
    const char *dir, *file, *name;
    const pf_ident *ident;
    const pf_chunk *c;
    uint32_t first, n;
    uint64_t seq;
} part;

static uint64_t part_tokens(const part *p)
{
    return p->c->comp_off[p->first + p->n] - p->c->comp_off[p->first];
}

static pf_hash128 part_rows(const part *p)
{
    return pf_rows_hash(p->c->key + 2 * (size_t)p->first, p->n);
}

/* PF_E_IO is "not there"; anything else but no memory: not usable here. */
static int part_open(const part *p, pf_cols_file *f, pf_err *e)
{
    uint8_t id[PF_SHA256_BYTES];
    pf_hash128 rows = part_rows(p);
    int rc = pf_ident_digest(p->ident, id, e);
    if (rc == 0)
        rc = pf_cols_file_open(f, p->dir, p->file, part_tokens(p), e);
    if (rc < 0)
        return rc;
    if (memcmp(f->head.ref_id, id, sizeof id) != 0 ||
        strcmp(f->head.name, p->name) != 0 || f->head.rows.lo != rows.lo ||
        f->head.rows.hi != rows.hi || f->ck.head.n_rows != p->n ||
        f->ck.head.n_branch != p->c->K || !f->cols.token ||
        memcmp(f->ck.head.recipe, p->c->ck.head.recipe, 32) != 0) {
        pf_cols_file_close(f);
        return pf_err_set(e, PF_E_IDENTITY, "part of other rows");
    }
    return 0;
}

static int part_save(const part *p, const float *token, const double *sum,
                     pf_err *e)
{
    pf_tmp_file f = {0};
    pf_ck_head h = p->c->ck.head;
    pf_cols cols = {.name = p->name, .ident = p->ident, .token = token,
                    .sum = sum, .n_token = part_tokens(p)};
    char *path = pf_path_join(p->dir, p->file);
    pf_ck_sink to = pf_tmp_sink(&f);
    h.seq = p->seq;
    h.first_row += p->first;
    h.n_rows = p->n;
    pf_sha256_init(&f.sha);
    int rc = path ? pf_writer_open(&f.w, path, PF_WRITE_REPLACE, e)
                  : pf_err_nomem(e);
    pf_free(path);
    if (rc < 0)
        return rc;
    rc = pf_cols_write(&h, &cols, part_rows(p), &to, NULL, NULL, e);
    if (rc < 0) {
        pf_writer_abort(f.w);
        return rc;
    }
    return pf_writer_commit(f.w, e);
}

/* 1 = there and right; 0 = not (what was in its place is removed). */
static int part_usable(const part *p, pf_cols_file *f, pf_err *e)
{
    pf_err why = PF_ERR_INIT;
    int rc = part_open(p, f, &why);
    if (rc == 0)
        return 1;
    if (rc == PF_E_LIMIT)
        return pf_err_nomem(e);
    return pf_dir_unlink(p->dir, p->file, e);
}

static void batch_file(char *buf, size_t n, uint64_t first, const char *name)
{
    snprintf(buf, n, "rows-%012" PRIu64 ".%s.part", first, name);
}

int pf_ref_part_load(const char *dir, const char *name, const pf_ident *ident,
                  const pf_chunk *c, uint32_t first, uint32_t n, float *token,
                  double *sum, pf_err *e)
{
    char file[128];
    pf_cols_file f;
    part p = {dir, file, name, ident, c, first, n, 0};
    batch_file(file, sizeof file, c->ck.head.first_row + first, name);
    int rc = part_usable(&p, &f, e);
    if (rc != 1)
        return rc;
    if (f.cols.n_token)
        memcpy(token, f.cols.token, 4 * f.cols.n_token);
    memcpy(sum, f.cols.sum, 8 * (size_t)n * c->K);
    pf_cols_file_close(&f);
    return 1;
}

int pf_ref_part_save(const char *dir, const char *name, const pf_ident *ident,
                  const pf_chunk *c, uint32_t first, uint32_t n,
                  const float *token, const double *sum, pf_err *e)
{
    char file[128];
    uint64_t row = c->ck.head.first_row + first;
    part p = {dir, file, name, ident, c, first, n, row / PF_REF_GRID};
    batch_file(file, sizeof file, row, name);
    return part_save(&p, token, sum, e);
}

/* "<begin>....<.name.><digits>part" or "<begin>...<.name>.part" */
typedef struct part_filter {
    const char *begin, *name;
} part_filter;

static bool is_part(const char *file, void *ctx)
{
    const part_filter *f = ctx;
    size_t n = strlen(file), b = strlen(f->begin), m = strlen(f->name);
    if (n < b + m + 6 || strncmp(file, f->begin, b) != 0 ||
        strcmp(file + n - 5, ".part") != 0)
        return false;
    const char *p = file + b + strspn(file + b, "0123456789");
    if (*p++ != '.' || strncmp(p, f->name, m) != 0)
        return false;
    p += m;
    if (strcmp(f->begin, "rows-") == 0)
        return strcmp(p, ".part") == 0;
    return *p == '.' &&
           strcmp(p + 1 + strspn(p + 1, "0123456789"), ".part") == 0;
}

int pf_ref_part_remove(const char *dir, const char *name, pf_err *e)
{
    part_filter f = {"rows-", name};
    return pf_dir_sweep(dir, is_part, &f, e);
}

/* ------------------------------------------------------------- the grid -- */

static part part_of(const pf_ref_out *o, uint32_t i, char *file, size_t n)
{
    const cell *c = &o->cells[i];
    uint32_t at = c->first / PF_REF_GRID;
    snprintf(file, n, "shard-%05" PRIu32 ".%s.%05" PRIu32 ".part", c->shard,
             o->man.name, at);
    return (part){o->dir, file, o->man.name, &o->man.ident,
                  pf_set_shard(o->set, c->shard), c->first, c->n, at};
}

static int make_cells(pf_ref_out *o, pf_err *e)
{
    size_t n = 0, at = 0;
    for (size_t s = 0; s < pf_set_shards(o->set); s++)
        n += (pf_chunk_rows(pf_set_shard(o->set, s)) + PF_REF_GRID - 1) /
             PF_REF_GRID;
    o->cells = pf_calloc(n, sizeof *o->cells);
    if (!o->cells)
        return pf_err_nomem(e);
    for (size_t s = 0; s < pf_set_shards(o->set); s++) {
        uint32_t rows = pf_chunk_rows(pf_set_shard(o->set, s));
        for (uint32_t first = 0; first < rows; first += PF_REF_GRID)
            o->cells[at++] = (cell){(uint32_t)s, first,
                                    PF_MIN(rows - first, PF_REF_GRID), false};
    }
    o->n = (uint32_t)n;
    return 0;
}

static int find_done(pf_ref_out *o, pf_err *e)
{
    for (uint32_t i = 0; i < o->n; i++) {
        char file[128];
        pf_cols_file f;
        part p = part_of(o, i, file, sizeof file);
        int rc = part_usable(&p, &f, e);
        if (rc < 0)
            return rc;
        if (rc == 1)
            pf_cols_file_close(&f);
        o->cells[i].done = rc == 1;
    }
    return 0;
}

static int start(pf_ref_out *o, const char *name, const pf_ident *ident,
                 bool resume, pf_err *e)
{
    char file[PF_REF_NAME_MAX + 16];
    int rc = pf_ref_name_check(name, e);
    if (rc == 0)
        rc = pf_set_open(&o->set, o->dir, NULL, e);
    if (rc == 0 && pf_set_rows(o->set)->kind == PF_ROW_SEQ)
        rc = pf_err_pos(e, PF_E_USAGE, o->dir, 0, -1,
                        "a seq set needs no references");
    if (rc == 0)
        rc = pf_dir_lock(o->dir, &o->lock, e);
    if (rc < 0)
        return rc;
    snprintf(o->man.name, sizeof o->man.name, "%s", name);
    snprintf(file, sizeof file, "%s.ref.json", name);
    for (size_t i = 0; i < ident->n && rc == 0; i++)
        rc = pf_ident_set(&o->man.ident, ident->item[i].key,
                          ident->item[i].value, e);
    char *path = rc == 0 ? pf_path_join(o->dir, file) : NULL;
    if (rc == 0 && !path)
        rc = pf_err_nomem(e);
    if (rc == 0 && pf_path_exists(path) && !o->replace)
        rc = pf_err_pos(e, PF_E_IO, path, 0, -1,
                        "the reference is there already (-f replaces it)");
    pf_free(path);
    if (rc == 0)
        rc = pf_dir_sweep(o->dir, pf_is_temporary, NULL, e);
    part_filter f = {"shard-", name};
    if (rc == 0 && !resume)
        rc = pf_dir_sweep(o->dir, is_part, &f, e);
    if (rc == 0)
        rc = make_cells(o, e);
    return rc < 0 ? rc : find_done(o, e);
}

int pf_ref_out_open(pf_ref_out **out, const char *dir, const char *name,
                    const pf_ident *ident, bool resume, bool replace,
                    pf_err *e)
{
    pf_ref_out *o = pf_calloc(1, sizeof *o);
    if (!o)
        return pf_err_nomem(e);
    o->lock = -1;
    o->replace = replace;
    o->dir = pf_strdup(dir);
    int rc = o->dir ? start(o, name, ident, resume, e) : pf_err_nomem(e);
    if (rc < 0) {
        ref_free(o);
        return rc;
    }
    *out = o;
    return 0;
}

uint32_t pf_ref_out_cells(const pf_ref_out *o)
{
    return o->n;
}

const pf_rowset *pf_ref_out_rows(const pf_ref_out *o)
{
    return pf_set_rows(o->set);
}

void pf_ref_out_cell(const pf_ref_out *o, uint32_t i, uint64_t *first,
                     uint32_t *n, bool *done)
{
    const cell *c = &o->cells[i];
    *first = pf_set_shard(o->set, c->shard)->ck.head.first_row + c->first;
    *n = c->n;
    *done = c->done;
}

int pf_ref_out_put(pf_ref_out *o, uint32_t i, const float *token,
                   const double *sum, pf_err *e)
{
    char file[128];
    part p = part_of(o, i, file, sizeof file);
    int rc = part_save(&p, token, sum, e);
    if (rc == 0)
        o->cells[i].done = true; /* cells are distinct: no lock is needed */
    return rc;
}

/* ----------------------------------------------------------- publishing -- */

static int gather_parts(pf_ref_out *o, size_t shard, float *token,
                        double *sum, pf_err *e)
{
    const pf_chunk *c = pf_set_shard(o->set, shard);
    for (uint32_t i = 0; i < o->n; i++) {
        char file[128];
        pf_cols_file f;
        if (o->cells[i].shard != shard)
            continue;
        part p = part_of(o, i, file, sizeof file);
        int rc = part_open(&p, &f, e);
        if (rc < 0)
            return rc;
        memcpy(token + c->comp_off[p.first], f.cols.token,
               4 * f.cols.n_token);
        memcpy(sum + (size_t)p.first * c->K, f.cols.sum,
               8 * (size_t)p.n * c->K);
        pf_cols_file_close(&f);
    }
    return 0;
}

static int write_sidecar(pf_ref_out *o, size_t shard, const pf_cols *cols,
                         pf_sums *sums, pf_err *e)
{
    const pf_chunk *c = pf_set_shard(o->set, shard);
    pf_listed item = {.first_row = c->ck.head.first_row, .rows = c->n,
                      .completion = cols->n_token};
    char name[128];
    uint8_t sha[PF_SHA256_BYTES];
    pf_tmp_file f;
    pf_shard_name(name, sizeof name, shard, o->man.name);
    int rc = pf_tmp_open(&f, o->dir, name, e);
    if (rc < 0)
        return rc;
    pf_ck_sink to = pf_tmp_sink(&f);
    rc = pf_cols_write(&c->ck.head, cols, pf_rows_hash(c->key, c->n), &to,
                       &item.trailer, &item.bytes, e);
    if (rc < 0) {
        pf_tmp_abort(&f);
        return rc;
    }
    rc = pf_tmp_commit(&f, sha, e);
    if (rc == 0)
        rc = pf_sums_put(sums, name, sha, e);
    o->man.rows += c->n;
    o->man.completion += cols->n_token;
    if (rc == 0)
        rc = pf_listed_add(&o->man.shard, &o->man.n_shard, &o->man.cap_shard,
                           &item, name, e);
    return rc;
}

static int assemble(pf_ref_out *o, size_t shard, pf_sums *sums, pf_err *e)
{
    const pf_chunk *c = pf_set_shard(o->set, shard);
    uint64_t n = c->ck.tail.completion;
    float *token = pf_calloc(n, sizeof *token);
    double *sum = pf_calloc((size_t)c->n * c->K, sizeof *sum);
    pf_cols cols = {.name = o->man.name, .ident = &o->man.ident,
                    .token = token, .sum = sum, .n_token = n};
    int rc = token && sum ? gather_parts(o, shard, token, sum, e)
                          : pf_err_nomem(e);
    if (rc == 0)
        rc = write_sidecar(o, shard, &cols, sums, e);
    pf_free(token);
    pf_free(sum);
    return rc;
}

static int give_name(const char *dir, const char *name, pf_err *e)
{
    char tmp[160];
    snprintf(tmp, sizeof tmp, "%s.tmp", name);
    return pf_dir_rename(dir, tmp, name, e);
}

static int publish(pf_ref_out *o, pf_sums *sums, pf_err *e)
{
    char file[PF_REF_NAME_MAX + 16];
    uint8_t sha[PF_SHA256_BYTES];
    pf_buf b = {0};
    snprintf(file, sizeof file, "%s.ref.json", o->man.name);
    memcpy(o->man.set_id, pf_set_total(o->set)->set_id, PF_SHA256_BYTES);
    int rc = pf_ref_manifest_json(&o->man, &b, e);
    if (rc == 0)
        rc = pf_tmp_write(o->dir, file, b.p, b.n, sha, e);
    if (rc == 0)
        rc = pf_sums_put(sums, file, sha, e);
    pf_buf_clear(&b);
    if (rc == 0)
        rc = pf_sums_text(sums, &b, e);
    if (rc == 0)
        rc = pf_tmp_write(o->dir, "SHA256SUMS", b.p, b.n, NULL, e);
    pf_buf_release(&b);
    if (rc == 0)
        rc = pf_dir_unlink(o->dir, file, e); /* one that is replaced */
    for (size_t i = 0; i < o->man.n_shard && rc == 0; i++)
        rc = give_name(o->dir, o->man.shard[i].file, e);
    if (rc == 0)
        rc = give_name(o->dir, "SHA256SUMS", e);
    if (rc == 0)
        rc = pf_sync_dir(o->dir, e);
    if (rc == 0)
        rc = give_name(o->dir, file, e);
    if (rc == 0)
        rc = pf_sync_dir(o->dir, e);
    part_filter f = {"shard-", o->man.name};
    return rc < 0 ? rc : pf_dir_sweep(o->dir, is_part, &f, e);
}

int pf_ref_out_finish(pf_ref_out *o, pf_err *e)
{
    pf_sums sums = {0};
    for (uint32_t i = 0; i < o->n; i++) {
        if (!o->cells[i].done) {
            ref_free(o);
            return 1;
        }
    }
    int rc = pf_sums_read(&sums, o->dir, e);
    for (size_t s = 0; s < pf_set_shards(o->set) && rc == 0; s++)
        rc = assemble(o, s, &sums, e);
    if (rc == 0)
        rc = publish(o, &sums, e);
    pf_sums_release(&sums);
    if (rc < 0)
        pf_ref_out_abort(o);
    else
        ref_free(o);
    return rc;
}

void pf_ref_out_abort(pf_ref_out *o)
{
    if (!o)
        return;
    int rc = pf_dir_sweep(o->dir, pf_is_temporary, NULL, NULL);
    (void)rc; /* what is left the next writer sweeps */
    ref_free(o);
}
