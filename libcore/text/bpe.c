/* SPDX-License-Identifier: MIT
 *
 * Merging repeats: take the pair of least rank, the leftmost of equals. Ranks
 * belong to pairs one to one, so this is what the priority queue of Hugging
 * Face tokenizers computes, whatever the structure. */
#include "text/bpe.h"

#include "base/hash.h"
#include "base/mem.h"

/* ------------------------------------------------------------ pair table */

PF_INLINE uint32_t pair_hash(uint32_t a, uint32_t b)
{
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 13);
}

int pf_bpe_init(pf_bpe *b, const pf_merge *merge, size_t n, pf_err *e)
{
    size_t slots = 64;
    while (slots * 5 / 8 < n)
        slots *= 2;
    if (slots > UINT32_MAX / 2)
        return pf_err_set(e, PF_E_LIMIT, "%zu merges are too many", n);
    b->slot_bytes = slots * sizeof *b->slot;
    b->slot = pf_alloc_big(b->slot_bytes);
    if (!b->slot)
        return pf_err_nomem(e);
    b->mask = (uint32_t)slots - 1;
    for (size_t i = 0; i < slots; i++)
        b->slot[i].rank = PF_BPE_NONE;
    for (size_t i = 0; i < n; i++) {
        uint32_t h = pair_hash(merge[i].left, merge[i].right) & b->mask;
        while (b->slot[h].rank != PF_BPE_NONE &&
               (b->slot[h].left != merge[i].left ||
                b->slot[h].right != merge[i].right))
            h = (h + 1) & b->mask;
        b->slot[h] = merge[i];
    }
    return 0;
}

void pf_bpe_release(pf_bpe *b)
{
    pf_free_big(b->slot, b->slot_bytes);
    b->slot = NULL;
}

PF_INLINE const pf_merge *pair_find(const pf_bpe *b, uint32_t l, uint32_t r)
{
    uint32_t h = pair_hash(l, r) & b->mask;
    for (;; h = (h + 1) & b->mask) {
        const pf_merge *m = b->slot + h;
        if ((m->left == l && m->right == r) || m->rank == PF_BPE_NONE)
            return m;
    }
}

PF_INLINE uint32_t pair_rank(const pf_bpe *b, uint32_t l, uint32_t r)
{
    return pair_find(b, l, r)->rank;
}

/* --------------------------------------------------------------- scratch */

/* A short piece and its ids. Key: up to 15 bytes, the length in the last. */
enum { WIDE = 3, NARROW = 6, CACHE_BITS = 15, SHORT_PIECE = 15, SCAN_MAX = 48 };
typedef struct slot {
    uint64_t key[2];
    uint32_t n;
    union {
        uint32_t wide[WIDE];
        uint16_t narrow[NARROW]; /* when n > WIDE */
    } id;
} slot;

typedef struct node {
    uint32_t id, prev, next;
} node;

struct pf_bpe_scratch {
    slot *cache; /* pairs of slots, the newer first */
    node *node;  /* long pieces: symbols as a linked list */
    size_t cap_node;
    uint64_t *heap; /* rank << 32 | position */
    size_t n_heap, cap_heap;
};

static const size_t cache_bytes = sizeof(slot) * 2 << CACHE_BITS;

int pf_bpe_scratch_new(pf_bpe_scratch **out, pf_err *e)
{
    pf_bpe_scratch *s = pf_calloc(1, sizeof *s);
    if (!s)
        return pf_err_nomem(e);
    s->cache = pf_alloc_big(cache_bytes);
    if (!s->cache) {
        pf_free(s);
        return pf_err_nomem(e);
    }
    *out = s;
    return 0;
}

void pf_bpe_scratch_free(pf_bpe_scratch *s)
{
    if (!s)
        return;
    pf_free_big(s->cache, cache_bytes);
    pf_free(s->node);
    pf_free(s->heap);
    pf_free(s);
}

/* --------------------------------------------------------------- merging */

/* First symbols of a piece. Returns their number. */
static size_t symbols(const pf_bpe *b, const unsigned char *p, size_t n,
                      uint32_t *id)
{
    size_t k = 0;
    bool in_unk = false;
    for (size_t i = 0; i < n; i++) {
        uint32_t s = b->byte_id[p[i]];
        bool unk = s == PF_BPE_NONE;
        if (unk && (b->unk == PF_BPE_NONE || (in_unk && b->fuse_unk)))
            continue;
        in_unk = unk;
        id[k++] = unk ? b->unk : s;
    }
    return k;
}

/* In place, for k <= SCAN_MAX symbols. Returns how many are left. */
static size_t merge_scan(const pf_bpe *b, uint32_t *id, size_t k)
{
    uint32_t rank[SCAN_MAX];
    for (size_t i = 0; i + 1 < k; i++)
        rank[i] = pair_rank(b, id[i], id[i + 1]);
    while (k > 1) {
        size_t at = 0;
        uint32_t least = rank[0];
        for (size_t i = 1; i + 1 < k; i++)
            if (rank[i] < least) {
                least = rank[i];
                at = i;
            }
        if (least == PF_BPE_NONE)
            break;
        id[at] = pair_find(b, id[at], id[at + 1])->id;
        k--;
        memmove(id + at + 1, id + at + 2, (k - at - 1) * sizeof *id);
        if (at + 1 < k) {
            memmove(rank + at + 1, rank + at + 2,
                    (k - at - 2) * sizeof *rank);
            rank[at] = pair_rank(b, id[at], id[at + 1]);
        }
        if (at > 0)
            rank[at - 1] = pair_rank(b, id[at - 1], id[at]);
    }
    return k;
}

static void heap_push(uint64_t *h, size_t n, uint64_t v)
{
    size_t i = n;
    for (; i > 0 && h[(i - 1) / 2] > v; i = (i - 1) / 2)
        h[i] = h[(i - 1) / 2];
    h[i] = v;
}

static uint64_t heap_pop(uint64_t *h, size_t n)
{
    uint64_t top = h[0], v = h[n - 1];
    size_t i = 0;
    n--;
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && h[c + 1] < h[c])
            c++;
        if (h[c] >= v)
            break;
        h[i] = h[c];
    }
    h[i] = v;
    return top;
}

static void offer(const pf_bpe *b, pf_bpe_scratch *s, uint32_t at)
{
    const node *x = s->node + at;
    if (x->next == PF_BPE_NONE)
        return;
    uint32_t r = pair_rank(b, x->id, s->node[x->next].id);
    if (r != PF_BPE_NONE)
        heap_push(s->heap, s->n_heap++, (uint64_t)r << 32 | at);
}

/* The same result for any k < 2^32, with a heap of (rank, position); entries
 * whose pair has changed since are skipped. Every merge adds two at most. */
static int merge_heap(const pf_bpe *b, pf_bpe_scratch *s, uint32_t *id,
                      size_t *n, pf_err *e)
{
    size_t k = *n, need;
    if (k >= UINT32_MAX || !pf_mul(k, 3, &need))
        return pf_err_set(e, PF_E_LIMIT, "a piece of %zu bytes", k);
    if (!PF_GROW(&s->node, &s->cap_node, k) ||
        !PF_GROW(&s->heap, &s->cap_heap, need))
        return pf_err_nomem(e);
    for (uint32_t i = 0; i < k; i++)
        s->node[i] = (node){id[i], i - 1, i + 1 < k ? i + 1 : PF_BPE_NONE};
    s->n_heap = 0;
    for (uint32_t i = 0; i + 1 < k; i++)
        offer(b, s, i);
    while (s->n_heap) {
        uint64_t top = heap_pop(s->heap, s->n_heap--);
        uint32_t at = (uint32_t)top;
        node *x = s->node + at;
        if (x->id == PF_BPE_NONE || x->next == PF_BPE_NONE)
            continue;
        node *y = s->node + x->next;
        const pf_merge *m = pair_find(b, x->id, y->id);
        if (m->rank != (uint32_t)(top >> 32))
            continue;
        x->id = m->id;
        y->id = PF_BPE_NONE;
        x->next = y->next;
        if (x->next != PF_BPE_NONE)
            s->node[x->next].prev = at;
        if (x->prev != PF_BPE_NONE)
            offer(b, s, x->prev);
        offer(b, s, at);
    }
    size_t out = 0;
    for (uint32_t i = k ? 0 : PF_BPE_NONE; i != PF_BPE_NONE;
         i = s->node[i].next)
        id[out++] = s->node[i].id;
    *n = out;
    return 0;
}

/* Ids of one piece, past the cache. */
static int piece(const pf_bpe *b, pf_bpe_scratch *s, const char *p, size_t n,
                 uint32_t *id, size_t *n_id, pf_err *e)
{
    if (b->whole) {
        const uint64_t *v = pf_map_get(b->whole, (pf_slice){p, n});
        if (v) {
            id[0] = (uint32_t)*v;
            *n_id = 1;
            return 0;
        }
    }
    size_t k = symbols(b, (const unsigned char *)p, n, id);
    *n_id = k;
    if (k > SCAN_MAX)
        return merge_heap(b, s, id, n_id, e);
    *n_id = merge_scan(b, id, k);
    return 0;
}

/* ---------------------------------------------------------------- pieces */

/* The key of n <= 15 bytes at p, of which `room` bytes are readable. */
PF_INLINE void make_key(const char *p, size_t n, size_t room, uint64_t key[2])
{
    if (PF_LIKELY(room >= 16)) {
        memcpy(key, p, 16);
        if (n < 8) {
            key[0] &= ((uint64_t)1 << (n * 8)) - 1;
            key[1] = 0;
        } else {
            key[1] &= ((uint64_t)1 << ((n - 8) * 8)) - 1;
        }
    } else {
        key[0] = key[1] = 0;
        memcpy(key, p, n);
    }
    key[1] |= (uint64_t)n << 56;
}

PF_INLINE size_t key_slot(const uint64_t key[2])
{
    uint64_t h = (key[0] ^ key[1] * 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u;
    return (size_t)((h ^ h >> 29) >> (64 - CACHE_BITS)) * 2;
}

PF_INLINE bool slot_is(const slot *c, const uint64_t key[2])
{
    return c->key[0] == key[0] && c->key[1] == key[1];
}

/* Keeps a piece of up to three ids, or six of 16 bits. */
static void slot_put(slot *c, const uint64_t key[2], const uint32_t *id,
                     size_t n)
{
    uint32_t all = 0;
    for (size_t i = 0; i < n; i++)
        all |= id[i];
    if (n > WIDE && (n > NARROW || all > UINT16_MAX))
        return;
    c[1] = c[0];
    memcpy(c->key, key, sizeof c->key);
    c->n = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        if (n <= WIDE)
            c->id.wide[i] = id[i];
        else
            c->id.narrow[i] = (uint16_t)id[i];
    }
}

int pf_bpe_encode(const pf_bpe *b, pf_bpe_scratch *s, const char *text,
                  size_t limit, size_t begin, const size_t *end, size_t n,
                  uint32_t *ids, size_t *n_id, pf_err *e)
{
    uint32_t *out = ids;
    for (size_t i = 0; i < n; begin = end[i++]) {
        size_t len = end[i] - begin, k;
        const char *p = text + begin;
        if (len > SHORT_PIECE) {
            int rc = piece(b, s, p, len, out, &k, e);
            if (rc < 0)
                return rc;
            out += k;
            continue;
        }
        uint64_t key[2];
        make_key(p, len, limit - begin, key);
        slot *c = s->cache + key_slot(key);
        if (!slot_is(c, key)) {
            if (slot_is(c + 1, key)) {
                c++;
            } else {
                int rc = piece(b, s, p, len, out, &k, e);
                if (rc < 0)
                    return rc;
                slot_put(c, key, out, k);
                out += k;
                continue;
            }
        }
        if (PF_LIKELY(c->n <= WIDE))
            for (uint32_t j = 0; j < c->n; j++)
                out[j] = c->id.wide[j];
        else
            for (uint32_t j = 0; j < c->n; j++)
                out[j] = c->id.narrow[j];
        out += c->n;
    }
    *n_id = (size_t)(out - ids);
    return 0;
}
