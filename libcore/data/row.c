/* SPDX-License-Identifier: MIT
 *
 * Rules and content hash of rows. */
#include "data/row.h"

#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/bytes.h"

static const char *const kind_name[] = {
    [PF_ROW_PAIR] = "pair",
    [PF_ROW_SEQ] = "seq",
    [PF_ROW_UNPAIRED] = "unpaired",
};

const char *pf_row_kind_name(pf_row_kind k)
{
    return kind_name[k];
}

bool pf_row_kind_parse(const char *s, pf_row_kind *out)
{
    for (int k = PF_ROW_PAIR; k <= PF_ROW_UNPAIRED; k++) {
        if (strcmp(s, kind_name[k]) == 0) {
            *out = (pf_row_kind)k;
            return true;
        }
    }
    return false;
}

/* A row's content is hashed in pieces, each behind the hash of what came
 * before, so that a row of any length needs no memory: nearly every row is
 * one piece. */
#define CHAIN 16
#define PIECE 4096

typedef struct hasher {
    size_t n;
    uint8_t buf[PIECE];
} hasher;

static pf_hash128 fold(hasher *h)
{
    pf_hash128 v = pf_xxh3_128(h->buf, h->n, 0);
    pf_put_u64(h->buf, v.lo);
    pf_put_u64(h->buf + 8, v.hi);
    h->n = CHAIN;
    return v;
}

static void put_u32(hasher *h, uint32_t v)
{
    if (h->n == PIECE)
        fold(h);
    pf_put_u32(h->buf + h->n, v);
    h->n += 4;
}

static void put_ids(hasher *h, const pf_row *r, uint64_t total)
{
    for (uint64_t i = 0; i < total;) {
        if (h->n == PIECE)
            fold(h);
        uint64_t room = (PIECE - h->n) / 4, n = total - i;
        if (n > room)
            n = room;
        uint8_t *to = h->buf + h->n;
        if (r->id_size == 4) {
            memcpy(to, (const uint32_t *)r->ids + i, n * 4);
        } else {
            const uint16_t *from = (const uint16_t *)r->ids + i;
            for (uint64_t k = 0; k < n; k++)
                pf_put_u32(to + 4 * k, from[k]);
        }
        h->n += n * 4;
        i += n;
    }
}

static void put_mask(hasher *h, const pf_row *r, uint64_t total)
{
    for (uint64_t i = 0; i < total; i += 8) {
        uint8_t byte = r->mask ? r->mask[i >> 3] : 0xff;
        if (total - i < 8)
            byte &= (uint8_t)((1u << (total - i)) - 1);
        if (h->n == PIECE)
            fold(h);
        h->buf[h->n++] = byte;
    }
}

pf_hash128 pf_row_key(const pf_row *r)
{
    hasher h;
    memset(h.buf, 0, CHAIN);
    h.n = CHAIN;
    put_u32(&h, (uint32_t)r->kind);
    put_u32(&h, r->kind == PF_ROW_UNPAIRED && r->label);
    put_u32(&h, r->n_branch);
    put_u32(&h, r->p_len);
    for (uint32_t k = 0; k < r->n_branch; k++)
        put_u32(&h, r->b_len[k]);
    uint64_t total = pf_row_tokens(r);
    put_ids(&h, r, total);
    if (r->kind == PF_ROW_SEQ)
        put_mask(&h, r, total);
    return fold(&h);
}

/* How many ids from the start lie in whole blocks of 64 without one above
 * last. SSE2 is in every x86-64; elsewhere the plain loop does it all. */
#ifdef __SSE2__
static uint64_t skip16(const uint16_t *id, uint64_t n, uint16_t last)
{
    const __m128i top = _mm_set1_epi16((short)last);
    uint64_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m128i over = _mm_setzero_si128();
        for (int k = 0; k < 64; k += 8) {
            __m128i v = _mm_loadu_si128((const __m128i *)(id + i + k));
            over = _mm_or_si128(over, _mm_subs_epu16(v, top));
        }
        over = _mm_cmpeq_epi8(over, _mm_setzero_si128());
        if (_mm_movemask_epi8(over) != 0xffff)
            break;
    }
    return i;
}

static uint64_t skip32(const uint32_t *id, uint64_t n, uint32_t last)
{
    const __m128i flip = _mm_set1_epi32(INT32_MIN);
    const __m128i top = _mm_xor_si128(_mm_set1_epi32((int)last), flip);
    uint64_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m128i over = _mm_setzero_si128();
        for (int k = 0; k < 64; k += 4) {
            __m128i v = _mm_loadu_si128((const __m128i *)(id + i + k));
            over = _mm_or_si128(over,
                                _mm_cmpgt_epi32(_mm_xor_si128(v, flip), top));
        }
        if (_mm_movemask_epi8(over))
            break;
    }
    return i;
}
#else
static uint64_t skip16(const uint16_t *id, uint64_t n, uint16_t last)
{
    (void)id, (void)n, (void)last;
    return 0;
}

static uint64_t skip32(const uint32_t *id, uint64_t n, uint32_t last)
{
    (void)id, (void)n, (void)last;
    return 0;
}
#endif

uint64_t pf_ids_scan(const void *ids, uint8_t id_size, uint64_t n,
                     uint32_t vocab)
{
    uint64_t i;
    if (vocab == 0)
        return 0;
    if (id_size == 2) {
        const uint16_t *id = ids;
        if (vocab > UINT16_MAX)
            return n;
        i = skip16(id, n, (uint16_t)(vocab - 1));
        while (i < n && id[i] < vocab)
            i++;
    } else {
        const uint32_t *id = ids;
        i = skip32(id, n, vocab - 1);
        while (i < n && id[i] < vocab)
            i++;
    }
    return i;
}

static int check_shape(const pf_row *r, pf_err *e)
{
    uint32_t want;
    switch (r->kind) {
    case PF_ROW_PAIR:
        want = 2;
        break;
    case PF_ROW_SEQ:
    case PF_ROW_UNPAIRED:
        want = 1;
        break;
    default:
        return pf_err_set(e, PF_E_FORMAT, "unknown row kind %d", (int)r->kind);
    }
    if (r->n_branch != want)
        return pf_err_set(e, PF_E_FORMAT, "%s row with %u branches",
                          pf_row_kind_name(r->kind), r->n_branch);
    if (r->kind == PF_ROW_SEQ && r->p_len != 0)
        return pf_err_set(e, PF_E_FORMAT, "seq row with a prompt");
    if (r->kind != PF_ROW_SEQ && r->p_len == 0)
        return pf_err_set(e, PF_E_FORMAT, "%s row without a prompt token",
                          pf_row_kind_name(r->kind));
    for (uint32_t k = 0; k < r->n_branch; k++)
        if (r->b_len[k] == 0)
            return pf_err_set(e, PF_E_FORMAT, "branch %u of a row is empty", k);
    if (pf_row_tokens(r) > INT32_MAX)
        return pf_err_set(e, PF_E_LIMIT, "row of more than 2^31 tokens");
    if (r->id_size != 2 && r->id_size != 4)
        return pf_err_set(e, PF_E_FORMAT, "id size %u", r->id_size);
    return 0;
}

int pf_row_check(const pf_row *r, uint32_t vocab, pf_err *e)
{
    int rc = check_shape(r, e);
    if (rc < 0)
        return rc;
    uint64_t n = pf_row_tokens(r);
    uint64_t at = pf_ids_scan(r->ids, r->id_size, n, vocab);
    if (at < n)
        return pf_err_set(e, PF_E_FORMAT,
                          "token id %u is outside the vocabulary of %u",
                          pf_row_id_at(r, at), vocab);
    if (!r->has_ref)
        return 0;
    if (r->kind == PF_ROW_SEQ)
        return pf_err_set(e, PF_E_FORMAT, "seq row with reference sums");
    for (uint32_t k = 0; k < r->n_branch; k++)
        if (!isfinite(r->ref_sum[k]))
            return pf_err_set(e, PF_E_FORMAT, "reference sum is not finite");
    return 0;
}
