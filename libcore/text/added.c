/* SPDX-License-Identifier: MIT
 *
 * A byte trie whose edges lie in one hash table, entered through a bitmap of
 * the first two bytes of all patterns, so that text without any is passed at
 * the speed of a table look-up a byte. */
#include "text/added.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "text/unidata.h"

typedef struct edge {
    uint32_t from; /* node << 8 | byte */
    uint32_t to;   /* 0 = free slot */
} edge;

struct pf_added {
    const pf_added_token *token;
    uint32_t *leaf; /* per node: token index + 1, or 0 */
    size_t cap_leaf;
    uint32_t n_node;
    edge *edge;
    uint32_t mask;
    uint64_t first[256 / 64];     /* first bytes */
    uint64_t pair[65536 / 64];    /* first two bytes */
};

static uint32_t edge_slot(const pf_added *a, uint32_t key)
{
    uint32_t h = (key * 0x9e3779b1u) >> 7 & a->mask;
    while (a->edge[h].to && a->edge[h].from != key)
        h = (h + 1) & a->mask;
    return h;
}

static int add_pattern(pf_added *a, pf_slice p, uint32_t index, pf_err *e)
{
    uint32_t node = 0;
    for (size_t i = 0; i < p.n; i++) {
        uint32_t key = node << 8 | (unsigned char)p.p[i];
        edge *x = a->edge + edge_slot(a, key);
        if (!x->to) {
            if (!PF_GROW(&a->leaf, &a->cap_leaf, (size_t)a->n_node + 1))
                return pf_err_nomem(e);
            a->leaf[a->n_node] = 0;
            *x = (edge){key, a->n_node++};
        }
        node = x->to;
    }
    if (!a->leaf[node])
        a->leaf[node] = index + 1;
    unsigned b0 = (unsigned char)p.p[0];
    a->first[b0 >> 6] |= (uint64_t)1 << (b0 & 63);
    for (unsigned b1 = 0; b1 < 256; b1++) {
        unsigned w = b0 << 8 | b1;
        if (p.n == 1 || b1 == (unsigned char)p.p[1])
            a->pair[w >> 6] |= (uint64_t)1 << (w & 63);
    }
    return 0;
}

int pf_added_new(pf_added **out, const pf_added_token *token,
                 const pf_slice *pattern, size_t n, pf_err *e)
{
    size_t bytes = 0, slots = 16;
    for (size_t i = 0; i < n; i++)
        if (!pf_add(bytes, pattern[i].n, &bytes) || bytes >= 1u << 23)
            return pf_err_set(e, PF_E_LIMIT,
                              "added tokens of more than 8 MiB");
    while (slots < bytes * 2)
        slots *= 2;
    pf_added *a = pf_calloc(1, sizeof *a);
    if (!a)
        return pf_err_nomem(e);
    int rc = 0;
    a->token = token;
    a->mask = (uint32_t)slots - 1;
    a->n_node = 1;
    a->edge = pf_calloc(slots, sizeof *a->edge);
    if (!a->edge || !PF_GROW(&a->leaf, &a->cap_leaf, 1)) {
        rc = pf_err_nomem(e);
        goto fail;
    }
    a->leaf[0] = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        if (pattern[i].n)
            rc = add_pattern(a, pattern[i], (uint32_t)i, e);
    if (rc < 0)
        goto fail;
    *out = a;
    return 0;
fail:
    pf_added_free(a);
    return rc;
}

void pf_added_free(pf_added *a)
{
    if (!a)
        return;
    pf_free(a->edge);
    pf_free(a->leaf);
    pf_free(a);
}

bool pf_added_find(const pf_added *a, pf_slice text, size_t from,
                   pf_added_allow_fn *allow, const void *ctx,
                   pf_added_match *out)
{
    const unsigned char *p = (const unsigned char *)text.p;
    for (size_t i = from; i < text.n; i++) {
        if (PF_LIKELY(!(a->first[p[i] >> 6] >> (p[i] & 63) & 1)))
            continue;
        unsigned w = (unsigned)p[i] << 8 | (i + 1 < text.n ? p[i + 1] : 0);
        if (i + 1 < text.n && !(a->pair[w >> 6] >> (w & 63) & 1))
            continue;
        uint32_t node = 0;
        const pf_added_token *best = NULL;
        for (size_t k = i; k < text.n; k++) {
            const edge *x =
                a->edge + edge_slot(a, node << 8 | p[k]);
            if (!x->to)
                break;
            node = x->to;
            if (!a->leaf[node])
                continue;
            const pf_added_token *t = a->token + a->leaf[node] - 1;
            if (!allow || allow(ctx, t, i, k + 1)) {
                best = t;
                *out = (pf_added_match){t, i, k + 1};
            }
        }
        if (best)
            return true;
    }
    return false;
}

/* ----------------------------------------------------------------- flags */

/* The character that ends at p + n, and where it begins. */
static uint32_t char_before(const char *p, size_t n, size_t *start)
{
    int len;
    size_t i = n - 1;
    while (i > 0 && ((unsigned char)p[i] & 0xc0) == 0x80)
        i--;
    *start = i;
    return pf_utf8_get(p + i, &len);
}

static bool is_single_word(pf_slice t, size_t start, size_t end)
{
    size_t at;
    int len;
    if (start > 0 && pf_uni_word(pf_uni(char_before(t.p, start, &at))))
        return false;
    return end == t.n || !pf_uni_word(pf_uni(pf_utf8_get(t.p + end, &len)));
}

static size_t spaces_before(pf_slice t, size_t start)
{
    size_t at;
    while (start > 0 && pf_uni_space(pf_uni(char_before(t.p, start, &at))))
        start = at;
    return start;
}

static size_t spaces_after(pf_slice t, size_t end)
{
    int len;
    while (end < t.n && pf_uni_space(pf_uni(pf_utf8_get(t.p + end, &len))))
        end += (size_t)len;
    return end;
}

bool pf_added_is_plain(const pf_added_token *t)
{
    return !t->special && spaces_after(t->content, 0) == t->content.n;
}

int pf_added_next(const pf_added *a, pf_slice text, pf_added_split *s,
                  pf_added_allow_fn *allow, const void *ctx, size_t *gap,
                  size_t *gap_end, const pf_added_token **token)
{
    pf_added_match m;
    while (pf_added_find(a, text, s->at, allow, ctx, &m)) {
        /* The search goes on behind the token as found, even where rstrip
         * takes more: so does the reference. */
        s->at = m.end;
        if (m.token->single_word && !is_single_word(text, m.start, m.end))
            continue;
        if (m.token->lstrip)
            m.start = PF_MAX(spaces_before(text, m.start), s->done);
        if (m.token->rstrip)
            m.end = spaces_after(text, m.end);
        *gap = s->done;
        *gap_end = PF_MAX(m.start, s->done);
        s->done = m.end; /* as there, also when that is a step back */
        *token = m.token;
        return 1;
    }
    *gap = s->done;
    *gap_end = PF_MAX(text.n, s->done);
    s->done = s->at = text.n;
    return 0;
}
