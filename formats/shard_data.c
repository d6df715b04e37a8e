/* SPDX-License-Identifier: MIT
 *
 * DATA chunks <-> rows.
 *
 * Row i of a chunk has the tokens [row_off[i], row_off[i + 1]); its prompt is
 * p_len[i] of them (none for seq), branch k < K - 1 is b_len[i * (K - 1) + k],
 * and the last branch is what remains. The loss bits of a seq row begin at
 * byte (row_off[i] >> 3) + i of the mask: rows never share a byte, and no
 * second offset table is needed. */
#include "formats/shard_int.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

static uint64_t mask_at(uint64_t off, uint64_t row)
{
    return (off >> 3) + row;
}

/* A row's share of the order-free sum of a set. */
static pf_hash128 row_share(uint64_t row_id, pf_hash128 key)
{
    uint8_t b[24];
    pf_put_u64(b, row_id);
    pf_put_u64(b + 8, key.lo);
    pf_put_u64(b + 16, key.hi);
    return pf_xxh3_128(b, sizeof b, 0);
}

static void sum128(pf_hash128 *s, pf_hash128 v)
{
    s->lo += v.lo;
    s->hi += v.hi + (s->lo < v.lo);
}

pf_hash128 pf_rows_hash(const uint64_t *key, uint32_t n)
{
    return pf_xxh3_128(key, (size_t)n * 16, 0);
}

/* ------------------------------------------------------------- reading -- */

uint32_t pf_chunk_rows(const pf_chunk *c)
{
    return c->n;
}

pf_hash128 pf_chunk_key(const pf_chunk *c, uint32_t i)
{
    return (pf_hash128){c->key[2 * (size_t)i], c->key[2 * (size_t)i + 1]};
}

void pf_chunk_row(const pf_chunk *c, uint32_t i, pf_row *out)
{
    uint32_t off = c->row_off[i], rest = c->row_off[i + 1] - off;
    out->kind = c->kind;
    out->flags = c->flags[i];
    out->label = c->label && c->label[i];
    out->id_size = c->id_size;
    out->n_branch = c->K;
    out->p_len = c->p_len ? c->p_len[i] : 0;
    rest -= out->p_len;
    for (uint32_t k = 0; k + 1 < c->K; k++) {
        out->b_len[k] = c->b_len[(size_t)i * (c->K - 1) + k];
        rest -= out->b_len[k];
    }
    out->b_len[c->K - 1] = rest;
    out->ids = c->tokens + (size_t)off * c->id_size;
    out->mask = c->mask ? c->mask + mask_at(off, i) : NULL;
    out->row_id = c->row_id[i];
    out->has_ref = c->imported && !isnan(c->imported[(size_t)i * c->K]);
    for (uint32_t k = 0; out->has_ref && k < c->K; k++)
        out->ref_sum[k] = c->imported[(size_t)i * c->K + k];
}

uint32_t pf_chunk_refs(const pf_chunk *c)
{
    return c->n_refs;
}

pf_ref_decl pf_chunk_ref(const pf_chunk *c, uint32_t ref)
{
    return (pf_ref_decl){c->ref[ref].name, c->ref[ref].ident};
}

void pf_chunk_row_ref(const pf_chunk *c, uint32_t i, uint32_t ref,
                      pf_row_ref *out)
{
    const pf_cols *r = &c->ref[ref];
    /* completion tokens before row i: all tokens less the prompts */
    out->token = r->token ? r->token + c->comp_off[i] : NULL;
    for (uint32_t k = 0; k < c->K; k++)
        out->sum[k] = r->sum[(size_t)i * c->K + k];
}

static int find_sections(pf_chunk *c, pf_err *e)
{
    static const char *const known[] = {
        "tokens", "row_off", "p_len", "b_len", "row_key", "row_id",
        "flags",  "mask",    "label", "ref_sum", NULL};
    const pf_ck *ck = &c->ck;
    const pf_ck_sec *s;
    uint64_t n = c->n, N = ck->tail.tokens;
    int rc = pf_ck_known(ck, known, e);
#define NEED(name, dtype, count, field)                    \
    do {                                                   \
        if (rc == 0)                                       \
            rc = pf_ck_need(ck, name, dtype, count, &s, e); \
        if (rc == 0)                                       \
            c->field = s->p;                               \
    } while (0)
    NEED("tokens", c->id_size == 2 ? 'H' : 'I', N, tokens);
    NEED("row_off", 'I', n + 1, row_off);
    if (c->kind != PF_ROW_SEQ)
        NEED("p_len", 'I', n, p_len);
    if (c->K > 1)
        NEED("b_len", 'I', n * (c->K - 1), b_len);
    NEED("row_key", 'Q', 2 * n, key);
    NEED("row_id", 'Q', n, row_id);
    NEED("flags", 'B', n, flags);
    if (c->kind == PF_ROW_SEQ)
        NEED("mask", 'B', mask_at(N, n), mask);
    if (c->kind == PF_ROW_UNPAIRED)
        NEED("label", 'B', n, label);
    if (c->kind != PF_ROW_SEQ && pf_ck_find(ck, "ref_sum"))
        NEED("ref_sum", 'd', n * c->K, imported);
#undef NEED
    return rc;
}

/* Lengths and label of row i; *completion grows by its branch tokens. */
static int check_row(const pf_chunk *c, uint32_t i, uint64_t *completion,
                     pf_err *e)
{
    uint32_t off = c->row_off[i], end = c->row_off[i + 1];
    uint64_t p = c->p_len ? c->p_len[i] : 0, head = p;
    bool empty = c->p_len && p == 0;
    for (uint32_t k = 0; k + 1 < c->K; k++) {
        uint32_t n = c->b_len[(size_t)i * (c->K - 1) + k];
        head += n;
        empty |= n == 0;
    }
    if (end < off || end > c->ck.tail.tokens || head >= end - off || empty ||
        end - off > INT32_MAX)
        return pf_ck_error(&c->ck, e, "row %u: lengths make no sense", i);
    *completion += end - off - p;
    if (c->label && c->label[i] > 1)
        return pf_ck_error(&c->ck, e, "row %u: label %u", i, c->label[i]);
    for (uint32_t k = 0; c->imported && k < c->K; k++) {
        double v = c->imported[(size_t)i * c->K + k];
        bool none = isnan(c->imported[(size_t)i * c->K]);
        if (none ? !isnan(v) : !isfinite(v))
            return pf_ck_error(&c->ck, e, "row %u: imported sums", i);
    }
    return 0;
}

static int check_ids(const pf_chunk *c, uint32_t vocab, pf_err *e)
{
    uint64_t n = c->ck.tail.tokens;
    uint64_t at = pf_ids_scan(c->tokens, c->id_size, n, vocab);
    if (at == n)
        return 0;
    uint32_t row = 0;
    while (row + 1 < c->n && c->row_off[row + 1] <= at)
        row++;
    return pf_ck_error(&c->ck, e, "row %u: token id outside the vocabulary "
                       "of %u", row, vocab);
}

int pf_chunk_init(pf_chunk *c, const pf_rows_head *h, pf_err *e)
{
    const pf_ck_head *ck = &c->ck.head;
    if (ck->kind != PF_CK_DATA)
        return pf_ck_error(&c->ck, e, "chunk of kind %u, want rows", ck->kind);
    if (ck->row_kind != h->kind || ck->n_branch != h->n_branch ||
        ck->vocab != h->vocab)
        return pf_ck_error(&c->ck, e, "rows are not of the kind, branches or "
                           "vocabulary announced");
    c->kind = h->kind;
    c->n = ck->n_rows;
    c->K = h->n_branch;
    c->id_size = h->vocab <= 65536 ? 2 : 4;
    c->n_refs = 0;
    if (c->n == 0 || c->ck.tail.tokens > UINT32_MAX)
        return pf_ck_error(&c->ck, e, "%u rows of %" PRIu64 " tokens", c->n,
                           c->ck.tail.tokens);
    int rc = find_sections(c, e);
    if (rc < 0)
        return rc;
    if (!PF_GROW(&c->comp_off, &c->cap_comp, (size_t)c->n + 1))
        return pf_err_nomem(e);
    uint64_t completion = 0;
    pf_hash128 sum = {0, 0};
    if (c->row_off[0] != 0 || c->row_off[c->n] != c->ck.tail.tokens)
        return pf_ck_error(&c->ck, e, "row offsets do not cover the tokens");
    for (uint32_t i = 0; i < c->n && rc == 0; i++) {
        c->comp_off[i] = (uint32_t)completion;
        sum128(&sum, row_share(c->row_id[i], pf_chunk_key(c, i)));
        rc = check_row(c, i, &completion, e);
    }
    c->comp_off[c->n] = (uint32_t)completion;
    if (rc == 0)
        rc = check_ids(c, h->vocab, e);
    if (rc == 0 && (completion != c->ck.tail.completion ||
                    sum.lo != c->ck.tail.row_sum.lo ||
                    sum.hi != c->ck.tail.row_sum.hi))
        rc = pf_ck_error(&c->ck, e, "totals of the trailer are not its rows'");
    return rc;
}

int pf_chunk_check_keys(const pf_chunk *c, pf_err *e)
{
    for (uint32_t i = 0; i < c->n; i++) {
        pf_row r;
        pf_chunk_row(c, i, &r);
        pf_hash128 key = pf_row_key(&r), want = pf_chunk_key(c, i);
        if (key.lo != want.lo || key.hi != want.hi)
            return pf_ck_error(&c->ck, e, "row %u: its key is not that of its "
                               "content", i);
    }
    return 0;
}

/* ------------------------------------------------------------- writing -- */

void pf_gather_init(pf_gather *g, const pf_rows_head *h, uint32_t n_refs)
{
    *g = (pf_gather){.kind = h->kind, .K = h->n_branch, .n_refs = n_refs,
                     .id_size = h->vocab <= 65536 ? 2 : 4};
}

void pf_gather_release(pf_gather *g)
{
    void *const all[] = {g->tokens, g->row_off, g->p_len, g->b_len, g->key,
                         g->row_id, g->flags,   g->mask,  g->label,
                         g->imported};
    for (size_t i = 0; i < PF_COUNTOF(all); i++)
        pf_free(all[i]);
    for (uint32_t r = 0; r < g->n_refs; r++) {
        pf_free(g->ref[r].token);
        pf_free(g->ref[r].sum);
    }
    *g = (pf_gather){0};
}

void pf_gather_clear(pf_gather *g)
{
    g->n = 0;
    g->n_token = g->n_completion = 0;
    g->any_imported = false;
    g->row_sum = (pf_hash128){0, 0};
    for (uint32_t r = 0; r < g->n_refs; r++)
        g->ref[r].n_token = 0;
}

/* Room for one more row of n tokens, `comp` of them in branches. */
static bool make_room(pf_gather *g, uint64_t n, uint64_t comp)
{
    size_t rows = (size_t)g->n + 1, K = g->K;
    bool ok = PF_GROW(&g->tokens, &g->cap_tokens,
                      (g->n_token + n) * g->id_size) &&
              PF_GROW(&g->row_off, &g->cap_off, rows + 1) &&
              PF_GROW(&g->p_len, &g->cap_p, rows) &&
              PF_GROW(&g->b_len, &g->cap_b, rows * K) &&
              PF_GROW(&g->key, &g->cap_key, 2 * rows) &&
              PF_GROW(&g->row_id, &g->cap_id, rows) &&
              PF_GROW(&g->flags, &g->cap_flags, rows) &&
              PF_GROW(&g->label, &g->cap_label, rows) &&
              PF_GROW(&g->imported, &g->cap_imp, rows * K);
    if (ok && g->kind == PF_ROW_SEQ)
        ok = PF_GROW(&g->mask, &g->cap_mask, mask_at(g->n_token + n, rows));
    for (uint32_t r = 0; ok && r < g->n_refs; r++)
        ok = PF_GROW(&g->ref[r].token, &g->ref[r].cap_token,
                     g->ref[r].n_token + comp) &&
             PF_GROW(&g->ref[r].sum, &g->ref[r].cap_sum, rows * K);
    return ok;
}

static void put_ids(pf_gather *g, const pf_row *r, uint64_t n)
{
    uint8_t *to = g->tokens + g->n_token * g->id_size;
    if (r->id_size == g->id_size) {
        memcpy(to, r->ids, n * g->id_size);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (g->id_size == 2)
            pf_put_u16(to + 2 * i, (uint16_t)pf_row_id_at(r, i));
        else
            pf_put_u32(to + 4 * i, pf_row_id_at(r, i));
    }
}

static void put_mask(pf_gather *g, const pf_row *r, uint64_t n)
{
    uint64_t at = mask_at(g->n_token, g->n),
             end = mask_at(g->n_token + n, (uint64_t)g->n + 1);
    uint8_t *to = g->mask + at;
    size_t bytes = (size_t)((n + 7) / 8);
    memset(to, 0, (size_t)(end - at));
    if (r->mask)
        memcpy(to, r->mask, bytes);
    else
        memset(to, 0xff, bytes);
    if (n % 8)
        to[bytes - 1] &= (uint8_t)((1u << n % 8) - 1);
}

int pf_gather_add(pf_gather *g, const pf_row *r, const pf_row_ref *refs,
                  pf_err *e)
{
    uint64_t n = pf_row_tokens(r), comp = n - r->p_len;
    uint32_t i = g->n, K = g->K;
    if (n > UINT32_MAX - g->n_token)
        return pf_err_set(e, PF_E_LIMIT, "more than 2^32 tokens in a chunk");
    if (!make_room(g, n, comp))
        return pf_err_nomem(e);
    pf_hash128 key = pf_row_key(r);
    put_ids(g, r, n);
    g->row_off[0] = 0;
    g->row_off[i + 1] = (uint32_t)(g->n_token + n);
    g->p_len[i] = r->p_len;
    for (uint32_t k = 0; k + 1 < K; k++)
        g->b_len[(size_t)i * (K - 1) + k] = r->b_len[k];
    g->key[2 * (size_t)i] = key.lo;
    g->key[2 * (size_t)i + 1] = key.hi;
    g->row_id[i] = r->row_id;
    g->flags[i] = r->flags;
    g->label[i] = r->kind == PF_ROW_UNPAIRED && r->label;
    for (uint32_t k = 0; k < K; k++)
        g->imported[(size_t)i * K + k] = r->has_ref ? r->ref_sum[k] : NAN;
    g->any_imported |= r->has_ref;
    if (g->kind == PF_ROW_SEQ)
        put_mask(g, r, n);
    for (uint32_t f = 0; f < g->n_refs; f++) {
        pf_gather_ref *to = &g->ref[f];
        if (refs[f].token) {
            memcpy(to->token + to->n_token, refs[f].token, comp * 4);
            to->n_token += comp;
        }
        for (uint32_t k = 0; k < K; k++)
            to->sum[(size_t)i * K + k] = refs[f].sum[k];
    }
    sum128(&g->row_sum, row_share(r->row_id, key));
    g->n_token += n;
    g->n_completion += comp;
    g->n++;
    return 0;
}

int pf_gather_write(pf_gather *g, pf_ck *ck, const pf_ck_sink *to, pf_err *e)
{
    uint64_t n = g->n;
    ck->head.kind = PF_CK_DATA;
    ck->head.n_rows = g->n;
    ck->head.n_sec = 0;
    ck->tail = (pf_ck_tail){.row_sum = g->row_sum, .tokens = g->n_token,
                            .completion = g->n_completion};
    pf_ck_add(ck, "tokens", g->id_size == 2 ? 'H' : 'I', g->tokens,
              g->n_token);
    pf_ck_add(ck, "row_off", 'I', g->row_off, n + 1);
    if (g->kind != PF_ROW_SEQ)
        pf_ck_add(ck, "p_len", 'I', g->p_len, n);
    if (g->K > 1)
        pf_ck_add(ck, "b_len", 'I', g->b_len, n * (g->K - 1));
    pf_ck_add(ck, "row_key", 'Q', g->key, 2 * n);
    pf_ck_add(ck, "row_id", 'Q', g->row_id, n);
    pf_ck_add(ck, "flags", 'B', g->flags, n);
    if (g->kind == PF_ROW_SEQ)
        pf_ck_add(ck, "mask", 'B', g->mask, mask_at(g->n_token, n));
    if (g->kind == PF_ROW_UNPAIRED)
        pf_ck_add(ck, "label", 'B', g->label, n);
    if (g->any_imported)
        pf_ck_add(ck, "ref_sum", 'd', g->imported, n * g->K);
    return pf_ck_write(ck, to, e);
}
