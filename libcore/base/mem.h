/* SPDX-License-Identifier: MIT
 *
 * Memory. Every allocation of prefkit goes through here, libraries included
 * where they take an allocator, so that tests can make any one of them fail.
 *
 * Three lifetimes only: a pf_arena reset for each record (base/arena.h), an
 * object with new/free, and a block for the run.
 *
 * All functions are thread-safe. A failed allocation returns NULL and leaves
 * what existed untouched; the caller reports it with pf_err_nomem(). */
#ifndef PF_BASE_MEM_H
#define PF_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* n = 0 is allowed and returns a unique pointer. Aligned to 16. */
PF_MUST_CHECK void *pf_alloc(size_t n);
/* Zeroed memory for n elements; NULL also when n * size overflows. */
PF_MUST_CHECK void *pf_calloc(size_t n, size_t size);
PF_MUST_CHECK void *pf_realloc(void *p, size_t n);
void pf_free(void *p);

/* Memory aligned to a cache line (64), zeroed, for a run: above 2 MiB it
 * is mapped with huge pages requested before the first touch. Free it with
 * pf_free_big() and the same n. */
PF_MUST_CHECK void *pf_alloc_big(size_t n);
void pf_free_big(void *p, size_t n);

PF_MUST_CHECK char *pf_strdup(const char *s);
PF_MUST_CHECK char *pf_memdup0(const char *p, size_t n); /* adds a NUL */

/* Checked arithmetic on sizes: false on overflow (then *out is undefined). */
static inline bool pf_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool pf_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool pf_mul64(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool pf_add64(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* Grows the array at *p (cap elements of size elem) to hold at least want,
 * by half at a time. False when out of memory, with *p and *cap unchanged.
 * Use the macro: PF_GROW(&v->a, &v->cap, v->n + 1). */
PF_MUST_CHECK bool pf_grow(void **p, size_t *cap, size_t want, size_t elem);
#define PF_GROW(pp, pcap, want) \
    pf_grow((void **)(pp), (pcap), (want), sizeof **(pp))

/* Fault injection. After pf_mem_fail_at(n) the n-th allocation from now on
 * (1 = the next) fails, once; with `every` true all later ones fail too.
 * n = 0 turns it off. pf_mem_count() counts allocations since start: a test
 * runs its subject with n = 1, 2, ... until a run makes fewer than n. */
void pf_mem_fail_at(uint64_t n, bool every);
uint64_t pf_mem_count(void);
bool pf_mem_failed(void); /* has the planned failure happened? */

/* Allocation guard: while on, any allocation is a PF_BUG (dev builds). The
 * training step runs under it. Calls nest. */
void pf_mem_guard(bool on);

#endif
