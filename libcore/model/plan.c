/* SPDX-License-Identifier: MIT
 *
 * Rows -> blocks in three passes: sort the rows by (class, length), place
 * each in the fullest block of its class that still has room (best fit
 * decreasing), then fill arrays that were sized exactly. The search for a
 * block is a bit set over the remaining room, so a plan of n rows costs
 * n log n.
 *
 * The picture of one group, P = 3 and branches of 2 and 3 tokens:
 *
 *   row        g+0 g+1 g+2 | g+3 g+4 | g+5 g+6 g+7
 *   token      p0  p1  p2  | a0  a1  | b0  b1  b2
 *   position   0   1   2   | 3   4   | 3   4   5
 *   predicts   -   -  a0,b0| a1  -   | b1  b2  - */
#include "model/plan.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* What pass one knows of a row. */
typedef struct item {
    int64_t class, tokens;
    uint32_t index;
    uint32_t block;
} item;

/* Blocks being filled: sizes now, and the list of those with equal room. */
typedef struct open_block {
    int64_t rows, groups, targets, heads;
    uint32_t next;
} open_block;

#define NO_BLOCK UINT32_MAX

typedef struct packer {
    open_block *block;
    size_t n, cap;
    uint32_t *head;  /* [class + 1]: first block with that much room */
    uint64_t *bits;  /* which of them are not empty */
    int64_t class;
    size_t head_cap, bits_cap;
} packer;

static int64_t class_of(const pf_caps *caps, int64_t tokens)
{
    for (int i = 0; i < caps->n_class; i++)
        if (tokens <= caps->block_rows[i])
            return caps->block_rows[i];
    int64_t last = caps->n_class ? caps->block_rows[caps->n_class - 1] : 1;
    return (tokens + last - 1) / last * last;
}

/* Is token t of branch k one to predict, and is there a row before it? */
static bool is_target(const pf_row *r, uint64_t id_at, uint32_t t)
{
    return (t > 0 || r->p_len > 0) && pf_row_mask_at(r, id_at);
}

static void count_targets(const pf_row *r, int64_t *targets, int64_t *heads)
{
    uint64_t at = r->p_len;
    bool shared = false; /* row P-1 predicts something */
    for (uint32_t k = 0; k < r->n_branch; k++)
        for (uint32_t t = 0; t < r->b_len[k]; t++, at++) {
            if (!is_target(r, at, t))
                continue;
            ++*targets;
            if (t > 0)
                ++*heads;
            else
                shared = true;
        }
    *heads += shared;
}

static int by_class_and_length(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    if (x->tokens != y->tokens)
        return x->tokens > y->tokens ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static bool packer_start(packer *p, int64_t class)
{
    size_t n = (size_t)class + 1, words = n / 64 + 1;
    if (!PF_GROW(&p->head, &p->head_cap, n) ||
        !PF_GROW(&p->bits, &p->bits_cap, words))
        return false;
    memset(p->bits, 0, words * sizeof *p->bits);
    p->class = class;
    return true;
}

static void packer_list(packer *p, uint32_t block)
{
    int64_t room = p->class - p->block[block].rows;
    uint64_t bit = 1ull << (room & 63);
    if (!(p->bits[room >> 6] & bit))
        p->head[room] = NO_BLOCK;
    p->bits[room >> 6] |= bit;
    p->block[block].next = p->head[room];
    p->head[room] = block;
}

/* Takes the listed block with the least room >= want off its list. */
static uint32_t packer_best(packer *p, int64_t want)
{
    int64_t words = p->class / 64 + 1, w = want >> 6;
    uint64_t bits = p->bits[w] & ~0ull << (want & 63);
    while (!bits && ++w < words)
        bits = p->bits[w];
    if (!bits)
        return NO_BLOCK;
    int64_t room = w * 64 + __builtin_ctzll(bits);
    uint32_t block = p->head[room];
    p->head[room] = p->block[block].next;
    if (p->head[room] == NO_BLOCK)
        p->bits[room >> 6] &= ~(1ull << (room & 63));
    return block;
}

static int pack(packer *p, item *it, size_t n, const pf_row *row, pf_err *e)
{
    int64_t class = -1;
    for (size_t i = 0; i < n; i++) {
        if (it[i].class != class) {
            class = it[i].class;
            if (!packer_start(p, class))
                return pf_err_nomem(e);
        }
        uint32_t at = packer_best(p, it[i].tokens);
        if (at == NO_BLOCK) {
            if (!PF_GROW(&p->block, &p->cap, p->n + 1))
                return pf_err_nomem(e);
            at = (uint32_t)p->n++;
            p->block[at] = (open_block){0};
        }
        open_block *b = &p->block[at];
        b->rows += it[i].tokens;
        b->groups++;
        count_targets(&row[it[i].index], &b->targets, &b->heads);
        it[i].block = at;
        packer_list(p, at);
    }
    return 0;
}

static void *take(int32_t **at, int64_t n, size_t words)
{
    void *p = *at;
    *at += (size_t)n * words;
    return p;
}

/* Cuts the arrays of all blocks from one piece of memory. */
static int carve(pf_plan *p, const packer *pk, pf_err *e)
{
    size_t words = 0;
    for (size_t i = 0; i < pk->n; i++) {
        const open_block *b = &pk->block[i];
        size_t keys = sizeof(pf_keys) / 4, group = sizeof(pf_group) / 4;
        words += (size_t)b->rows * (2 + keys) + (size_t)b->groups * (2 + group) +
                 (size_t)b->heads + (size_t)b->targets * 4;
    }
    p->block = pf_calloc(pk->n, sizeof *p->block);
    p->mem = pf_calloc(words, 4);
    if (!p->block || !p->mem)
        return pf_err_nomem(e);
    p->n_block = pk->n;
    int32_t *at = p->mem;
    for (size_t i = 0; i < pk->n; i++) {
        const open_block *o = &pk->block[i];
        pf_block *b = &p->block[i];
        b->tok = take(&at, o->rows, 1);
        b->pos = take(&at, o->rows, 1);
        b->keys = take(&at, o->rows, sizeof(pf_keys) / 4);
        b->group = take(&at, o->groups, sizeof(pf_group) / 4);
        b->item = take(&at, o->groups, 1);
        b->p_len = take(&at, o->groups, 1);
        b->head_row = take(&at, o->heads, 1);
        b->target_row = take(&at, o->targets, 1);
        b->target_id = take(&at, o->targets, 1);
        b->target_item = take(&at, o->targets, 1);
        b->target_at = take(&at, o->targets, 1);
        p->max_rows = PF_MAX(p->max_rows, o->rows);
        p->max_head = PF_MAX(p->max_head, o->heads);
    }
    return 0;
}

static void add_target(pf_block *b, const pf_row *r, uint32_t index,
                       int32_t row, uint64_t id_at)
{
    if (!b->n_head || b->head_row[b->n_head - 1] != row)
        b->head_row[b->n_head++] = row;
    int32_t t = b->n_target++;
    b->target_row[t] = b->n_head - 1;
    b->target_id[t] = (int32_t)pf_row_id_at(r, id_at);
    b->target_item[t] = index;
    b->target_at[t] = (uint32_t)(id_at - r->p_len);
}

static void put_rows(pf_block *b, const pf_row *r)
{
    int32_t g = b->n_row, P = (int32_t)r->p_len;
    uint64_t at = 0;
    for (int32_t i = 0; i < P; i++, at++) {
        int32_t row = b->n_row++;
        b->tok[row] = (int32_t)pf_row_id_at(r, at);
        b->pos[row] = i;
        b->keys[row] = (pf_keys){g, g, g, row + 1};
    }
    for (uint32_t k = 0; k < r->n_branch; k++) {
        int32_t start = b->n_row;
        for (uint32_t t = 0; t < r->b_len[k]; t++, at++) {
            int32_t row = b->n_row++;
            b->tok[row] = (int32_t)pf_row_id_at(r, at);
            b->pos[row] = P + (int32_t)t;
            b->keys[row] = (pf_keys){g, g + P, start, row + 1};
        }
    }
}

/* Targets in order of the rows that predict them: row P-1 first, with the
 * first token of every branch, then each branch. */
static void put_targets(pf_block *b, const pf_row *r, uint32_t index,
                        int32_t g)
{
    uint64_t at = r->p_len;
    int32_t last_prompt = g + (int32_t)r->p_len - 1;
    for (uint32_t k = 0; k < r->n_branch; at += r->b_len[k++])
        if (r->b_len[k] && is_target(r, at, 0))
            add_target(b, r, index, last_prompt, at);
    at = r->p_len;
    for (uint32_t k = 0; k < r->n_branch; at += r->b_len[k++])
        for (uint32_t t = 1; t < r->b_len[k]; t++)
            if (is_target(r, at + t, t))
                add_target(b, r, index, g + (int32_t)(at + t) - 1, at + t);
}

static void put_group(pf_block *b, const pf_row *r, uint32_t index)
{
    int32_t g = b->n_row;
    put_rows(b, r);
    put_targets(b, r, index, g);
    b->group[b->n_group] = (pf_group){g, b->n_row - g};
    b->item[b->n_group] = index;
    b->p_len[b->n_group++] = (int32_t)r->p_len;
}

static int measure(item *it, const pf_row *row, size_t n, const pf_caps *caps,
                   int64_t max_len, pf_err *e)
{
    for (size_t i = 0; i < n; i++) {
        int64_t longest = row[i].p_len;
        for (uint32_t k = 0; k < row[i].n_branch; k++)
            longest = PF_MAX(longest, (int64_t)row[i].p_len + row[i].b_len[k]);
        if (longest > max_len)
            return pf_err_set(e, PF_E_LIMIT,
                              "row %zu has %lld tokens along one branch, the "
                              "limit is %lld",
                              i, (long long)longest, (long long)max_len);
        int64_t tokens = (int64_t)pf_row_tokens(&row[i]);
        if (tokens > INT32_MAX / 2)
            return pf_err_set(e, PF_E_LIMIT, "row %zu has %lld tokens", i,
                              (long long)tokens);
        it[i] = (item){class_of(caps, tokens), tokens, (uint32_t)i, 0};
    }
    return 0;
}

int pf_plan_build(pf_plan *p, const pf_row *row, size_t n, const pf_caps *caps,
                  int64_t max_len, pf_err *e)
{
    *p = (pf_plan){0};
    packer pk = {0};
    item *it = NULL;
    int rc = n < NO_BLOCK ? 0 : pf_err_set(e, PF_E_LIMIT, "%zu rows in a plan", n);
    if (rc == 0 && !(it = pf_calloc(n, sizeof *it)))
        rc = pf_err_nomem(e);
    if (rc == 0)
        rc = measure(it, row, n, caps, max_len, e);
    if (rc == 0) {
        qsort(it, n, sizeof *it, by_class_and_length);
        rc = pack(&pk, it, n, row, e);
    }
    if (rc == 0)
        rc = carve(p, &pk, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        put_group(&p->block[it[i].block], &row[it[i].index], it[i].index);
    pf_free(it);
    pf_free(pk.block);
    pf_free(pk.head);
    pf_free(pk.bits);
    if (rc < 0)
        pf_plan_release(p);
    return rc;
}

void pf_plan_release(pf_plan *p)
{
    pf_free(p->block);
    pf_free(p->mem);
    *p = (pf_plan){0};
}
