/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define BLOCK_MIN ((size_t)16 << 10)
#define BLOCK_KEEP ((size_t)4 << 20)
#ifdef PF_ASAN
#define RED_ZONE 16
#else
#define RED_ZONE 0
#endif

struct pf_arena_block {
    pf_arena_block *next;
    size_t size, used;
    max_align_t data[];
};

static void *take(pf_arena_block *b, size_t n)
{
    char *p = (char *)b->data + b->used;
    b->used += n + RED_ZONE;
    PF_UNPOISON(p, n);
    return p;
}

void *pf_arena_alloc(pf_arena *a, size_t n)
{
    if (n > SIZE_MAX / 4)
        return NULL;
    n = (n + 15) & ~(size_t)15;
    size_t need = n + RED_ZONE;
    for (pf_arena_block *b = a->current; b; b = b->next) {
        if (b->size - b->used >= need) {
            a->current = b;
            return take(b, n);
        }
    }
    size_t size = a->current ? PF_MIN(a->current->size * 2, BLOCK_KEEP)
                             : BLOCK_MIN;
    if (size < need)
        size = need;
    pf_arena_block *b = pf_alloc(sizeof *b + size);
    if (!b)
        return NULL;
    b->size = size;
    b->used = 0;
    PF_POISON(b->data, size);
    if (a->current) {
        b->next = a->current->next;
        a->current->next = b;
    } else {
        b->next = NULL;
        a->first = b;
    }
    a->current = b;
    return take(b, n);
}

void *pf_arena_calloc(pf_arena *a, size_t count, size_t size)
{
    size_t n;
    if (!pf_mul(count, size, &n))
        return NULL;
    void *p = pf_arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

char *pf_arena_dup(pf_arena *a, const char *p, size_t n)
{
    size_t bytes;
    if (!pf_add(n, 1, &bytes))
        return NULL;
    char *q = pf_arena_alloc(a, bytes);
    if (q) {
        if (n)
            memcpy(q, p, n);
        q[n] = 0;
    }
    return q;
}

void pf_arena_reset(pf_arena *a)
{
    pf_arena_block **at = &a->first;
    while (*at) {
        pf_arena_block *b = *at;
        if (b->size > BLOCK_KEEP) {
            *at = b->next;
            pf_free(b);
            continue;
        }
        b->used = 0;
        PF_POISON(b->data, b->size);
        at = &b->next;
    }
    a->current = a->first;
}

void pf_arena_release(pf_arena *a)
{
    for (pf_arena_block *b = a->first, *next; b; b = next) {
        next = b->next;
        pf_free(b);
    }
    *a = (pf_arena){0};
}
