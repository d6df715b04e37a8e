/* SPDX-License-Identifier: MIT
 *
 * pf_rows_in: a chunk stream, or a set read in order. The references of a
 * chunk follow it in a stream, so the reader looks one chunk header ahead. */
#include "formats/shard_int.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

/* One chunk's memory; chunks of equal size reuse it. */
typedef struct slot {
    uint8_t *p;
    size_t cap;
    pf_ck ck;
    pf_cols_head cols;
} slot;

struct pf_rows_in {
    pf_rows_head head;
    uint8_t recipe[PF_SHA256_BYTES];
    pf_totals totals;
    bool ended;
    pf_chunk chunk;
    /* stream */
    pf_reader *r;
    uint64_t at, seq; /* of the next chunk */
    bool have_next;   /* next holds a header */
    uint8_t next[PF_CK_HEADER];
    pf_ck_head next_head;
    slot data, ref[PF_MAX_REFS];
    uint32_t n_refs; /* of the first chunk: all have the same */
    uint8_t ref_id[PF_MAX_REFS][PF_SHA256_BYTES];
    char ref_name[PF_MAX_REFS][PF_REF_NAME_MAX + 1];
    bool any_rows;
    /* set */
    pf_set *set;
    size_t shard;
};

void pf_rows_in_close(pf_rows_in *in)
{
    if (!in)
        return;
    for (int i = 0; i < PF_MAX_REFS; i++) {
        pf_cols_head_release(&in->ref[i].cols);
        pf_free(in->ref[i].p);
    }
    pf_free(in->data.p);
    pf_free(in->chunk.comp_off);
    pf_rows_head_release(&in->head);
    pf_reader_close(in->r);
    pf_set_close(in->set);
    pf_free(in);
}

const pf_rows_head *pf_rows_in_head(const pf_rows_in *in)
{
    return in->set ? pf_set_head(in->set) : &in->head;
}

const pf_rows_total *pf_rows_in_total(const pf_rows_in *in)
{
    return in->set ? pf_set_total(in->set) : &in->totals.t;
}

/* -------------------------------------------------------------- stream -- */

/* n bytes, or as many as come: *got. */
static int read_full(pf_rows_in *in, void *p, size_t n, size_t *got,
                     pf_err *e)
{
    *got = 0;
    while (*got < n) {
        ssize_t k = pf_reader_read(in->r, (char *)p + *got, n - *got, e);
        if (k < 0)
            return (int)k;
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return 0;
}

static int cut(const pf_rows_in *in, uint64_t at, pf_err *e)
{
    return pf_err_pos(e, PF_E_TRUNCATED, pf_reader_name(in->r), 0,
                      (int64_t)at, "the stream ends without its end mark: its "
                      "producer did not finish");
}

/* The header of the next chunk, or the end of the bytes (have_next false). */
static int look_ahead(pf_rows_in *in, pf_err *e)
{
    size_t got;
    const char *name = pf_reader_name(in->r);
    if (in->have_next)
        return 0;
    int rc = read_full(in, in->next, PF_CK_HEADER, &got, e);
    if (rc < 0 || got == 0)
        return rc;
    if (got < PF_CK_HEADER)
        return cut(in, in->at + got, e);
    rc = pf_ck_header(&in->next_head, in->next, name, in->at, e);
    if (rc < 0)
        return rc;
    if (in->seq > 0 && memcmp(in->next_head.recipe, in->recipe,
                              PF_SHA256_BYTES) != 0)
        return pf_err_pos(e, PF_E_IDENTITY, name, 0, (int64_t)in->at,
                          "chunk of another recipe");
    if (in->next_head.seq != in->seq)
        return pf_err_pos(e, PF_E_FORMAT, name, 0, (int64_t)in->at,
                          "chunk %" PRIu64 " where %" PRIu64 " belongs",
                          in->next_head.seq, in->seq);
    in->have_next = true;
    return 0;
}

/* Reads the chunk whose header is in->next. Memory grows with what arrives,
 * not with what the header promises. */
static int read_chunk(pf_rows_in *in, slot *s, pf_err *e)
{
    const uint64_t want = in->next_head.bytes;
    size_t have = PF_CK_HEADER, got;
    if (s->cap < PF_CK_HEADER || !s->p) {
        pf_free(s->p);
        s->p = pf_alloc(s->cap = 64 << 10);
        if (!s->p) {
            s->cap = 0;
            return pf_err_nomem(e);
        }
    }
    memcpy(s->p, in->next, PF_CK_HEADER);
    while (have < want) {
        if (have == s->cap) {
            size_t cap = (size_t)PF_MIN(want, (uint64_t)s->cap * 4);
            void *p = pf_realloc(s->p, cap);
            if (!p)
                return pf_err_nomem(e);
            s->p = p;
            s->cap = cap;
        }
        size_t n = (size_t)PF_MIN(want, (uint64_t)s->cap) - have;
        int rc = read_full(in, s->p + have, n, &got, e);
        if (rc < 0)
            return rc;
        have += got;
        if (got < n)
            return cut(in, in->at + have, e);
    }
    int rc = pf_ck_open(&s->ck, s->p, (size_t)want, pf_reader_name(in->r),
                        in->at, e);
    in->have_next = false;
    in->at += want;
    in->seq++;
    return rc;
}

static int open_stream(pf_rows_in *in, pf_err *e)
{
    int rc = look_ahead(in, e);
    if (rc == 0 && in->next_head.kind != PF_CK_META)
        rc = pf_err_pos(e, PF_E_FORMAT, pf_reader_name(in->r), 0, 0,
                        "a single chunk, not a stream (a set is read by the "
                        "name of its directory)");
    if (rc == 0)
        rc = read_chunk(in, &in->data, e);
    if (rc == 0)
        rc = pf_meta_read(&in->head, &in->data.ck, e);
    if (rc < 0)
        return rc;
    memcpy(in->recipe, in->data.ck.head.recipe, PF_SHA256_BYTES);
    pf_totals_init(&in->totals, in->recipe);
    return 0;
}

/* Says what a file that is no stream looks like. */
static int not_a_stream(pf_rows_in *in, pf_slice s, pf_err *e)
{
    const char *name = pf_reader_name(in->r);
    const char *what = "not a chunk stream";
    size_t i = 0;
    if (s.n == 0)
        return pf_reader_is_pipe(in->r)
                   ? pf_err_pos(e, PF_E_TRUNCATED, name, 0, 0,
                                "no input: the producer wrote nothing")
                   : pf_err_pos(e, PF_E_FORMAT, name, 0, -1, "empty file");
    while (i < s.n && strchr(" \t\r\n", s.p[i]) && s.p[i])
        i++;
    if (i < s.n && (s.p[i] == '{' || s.p[i] == '['))
        what = "JSON text, not a chunk stream (preftok makes one of records)";
    else if (pf_slice_starts(s, PF_LIT("version https://git-lfs")))
        what = "a git-lfs pointer: the data was never downloaded";
    else if (s.n < 8)
        return cut(in, s.n, e);
    return pf_err_pos(e, PF_E_FORMAT, name, 0, 0, "%s", what);
}

int pf_rows_in_open(pf_rows_in **out, const char *path, pf_err *e)
{
    pf_rows_in *in = pf_calloc(1, sizeof *in);
    int rc;
    if (!in)
        return pf_err_nomem(e);
    if (strcmp(path, "-") != 0 && pf_path_is_dir(path)) {
        rc = pf_set_open_all(&in->set, path, e);
    } else {
        pf_slice s;
        rc = pf_reader_open(&in->r, path, e);
        if (rc == 0)
            rc = pf_reader_peek(in->r, 64, &s, e);
        if (rc == 0 && (s.n < 8 || memcmp(s.p, "\x89PRF\r\n\x1a\n", 8) != 0))
            rc = not_a_stream(in, s, e);
        if (rc == 0)
            rc = open_stream(in, e);
    }
    if (rc < 0) {
        pf_rows_in_close(in);
        return rc;
    }
    *out = in;
    return 0;
}

/* A COLS chunk behind the rows. */
static int attach(pf_rows_in *in, pf_err *e)
{
    pf_chunk *c = &in->chunk;
    uint32_t r = c->n_refs;
    slot *s = &in->ref[r < PF_MAX_REFS ? r : 0];
    const char *name = pf_reader_name(in->r);
    uint64_t at = in->at;
    if (r == PF_MAX_REFS)
        return pf_err_pos(e, PF_E_LIMIT, name, 0, (int64_t)at,
                          "more than %d references", PF_MAX_REFS);
    pf_cols_head_release(&s->cols);
    int rc = read_chunk(in, s, e);
    if (rc == 0)
        rc = pf_cols_read(&s->cols, &c->ref[r], &s->ck,
                          c->ck.tail.completion, e);
    if (rc < 0)
        return rc;
    pf_hash128 rows = pf_rows_hash(c->key, c->n);
    const pf_ck_head *a = &s->ck.head, *b = &c->ck.head;
    if (a->first_row != b->first_row || a->n_rows != b->n_rows ||
        a->row_kind != b->row_kind || a->n_branch != b->n_branch ||
        s->cols.rows.lo != rows.lo || s->cols.rows.hi != rows.hi)
        return pf_err_pos(e, PF_E_IDENTITY, name, 0, (int64_t)at,
                          "references '%s' are of other rows", s->cols.name);
    if (!in->any_rows) {
        memcpy(in->ref_id[r], s->cols.ref_id, PF_SHA256_BYTES);
        memcpy(in->ref_name[r], s->cols.name, sizeof s->cols.name);
        in->n_refs = r + 1;
    } else if (r >= in->n_refs ||
               memcmp(in->ref_id[r], s->cols.ref_id, PF_SHA256_BYTES) != 0 ||
               strcmp(in->ref_name[r], s->cols.name) != 0) {
        return pf_err_pos(e, PF_E_IDENTITY, name, 0, (int64_t)at,
                          "references '%s' are not those of the chunks before",
                          s->cols.name);
    }
    c->n_refs++;
    return 0;
}

static int end_stream(pf_rows_in *in, pf_err *e)
{
    size_t got;
    uint8_t more;
    int rc = read_chunk(in, &in->data, e);
    pf_totals_final(&in->totals);
    if (rc == 0)
        rc = pf_end_read(&in->totals, &in->data.ck, e);
    if (rc == 0)
        rc = read_full(in, &more, 1, &got, e);
    if (rc == 0 && got)
        rc = pf_err_pos(e, PF_E_FORMAT, pf_reader_name(in->r), 0,
                        (int64_t)in->at, "bytes after the end of the stream");
    in->ended = rc == 0;
    return rc;
}

static int next_of_stream(pf_rows_in *in, const pf_chunk **out, pf_err *e)
{
    pf_chunk *c = &in->chunk;
    int rc = look_ahead(in, e);
    if (rc < 0)
        return rc;
    if (!in->have_next)
        return cut(in, in->at, e);
    if (in->next_head.kind == PF_CK_END)
        return end_stream(in, e);
    rc = read_chunk(in, &in->data, e);
    if (rc < 0)
        return rc;
    c->ck = in->data.ck;
    if (c->ck.head.first_row != in->totals.t.rows)
        return pf_ck_error(&c->ck, e, "its first row is %" PRIu64
                           ", not %" PRIu64, c->ck.head.first_row,
                           in->totals.t.rows);
    rc = pf_chunk_init(c, &in->head, e);
    while (rc == 0) {
        rc = look_ahead(in, e);
        if (rc < 0 || !in->have_next || in->next_head.kind != PF_CK_COLS)
            break;
        rc = attach(in, e);
    }
    if (rc == 0 && c->n_refs != in->n_refs)
        rc = pf_err_pos(e, PF_E_IDENTITY, pf_reader_name(in->r), 0,
                        (int64_t)c->ck.at, "rows without the references of "
                        "the chunks before");
    if (rc < 0)
        return rc;
    in->any_rows = true;
    pf_totals_add(&in->totals, c->key, c->n, &c->ck.tail);
    *out = c;
    return 1;
}

int pf_rows_in_next(pf_rows_in *in, const pf_chunk **out, pf_err *e)
{
    if (in->ended)
        return 0;
    if (!in->set)
        return next_of_stream(in, out, e);
    if (in->shard == pf_set_shards(in->set)) {
        in->ended = true;
        return 0;
    }
    *out = pf_set_shard(in->set, in->shard++);
    return 1;
}
