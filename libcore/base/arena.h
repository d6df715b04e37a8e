/* SPDX-License-Identifier: MIT
 *
 * Bump arena: memory for one record, freed all at once.
 *
 * Blocks are kept over pf_arena_reset(), so a steady stream of records
 * allocates nothing. Under AddressSanitizer unused bytes and a red zone after
 * every allocation are poisoned. One thread at a time. */
#ifndef PF_BASE_ARENA_H
#define PF_BASE_ARENA_H

#include <stddef.h>

#include "base/compiler.h"

typedef struct pf_arena_block pf_arena_block;

/* Zero-initialise it; release it with pf_arena_release(). */
typedef struct pf_arena {
    pf_arena_block *first, *current;
} pf_arena;

/* n bytes aligned to 16, not zeroed; NULL when out of memory. */
PF_MUST_CHECK void *pf_arena_alloc(pf_arena *a, size_t n);
/* count * size bytes, checked for overflow; zeroed. */
PF_MUST_CHECK void *pf_arena_calloc(pf_arena *a, size_t count, size_t size);
/* A copy of n bytes with a NUL after it. */
PF_MUST_CHECK char *pf_arena_dup(pf_arena *a, const char *p, size_t n);
/* Forgets all allocations; keeps the blocks, save those over 4 MiB. */
void pf_arena_reset(pf_arena *a);
void pf_arena_release(pf_arena *a);

#endif
