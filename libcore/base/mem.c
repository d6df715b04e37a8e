/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

static atomic_uint_fast64_t counter;
static atomic_uint_fast64_t fail_at; /* absolute count, 0 = off */
static atomic_bool fail_every;
static atomic_bool failed;
static atomic_int guarded;

void pf_mem_fail_at(uint64_t n, bool every)
{
    atomic_store(&failed, false);
    atomic_store(&fail_every, every);
    atomic_store(&fail_at, n ? atomic_load(&counter) + n : 0);
}

uint64_t pf_mem_count(void)
{
    return atomic_load(&counter);
}

bool pf_mem_failed(void)
{
    return atomic_load(&failed);
}

void pf_mem_guard(bool on)
{
    atomic_fetch_add(&guarded, on ? 1 : -1);
}

/* Counts one allocation; false when it has to fail. */
static bool admit(void)
{
    uint64_t c = atomic_fetch_add(&counter, 1) + 1;
    uint64_t at = atomic_load(&fail_at);
#ifdef PF_DEV
    if (atomic_load(&guarded) > 0)
        PF_BUG("allocation inside a guarded region");
#endif
    if (PF_LIKELY(at == 0 || c < at))
        return true;
    if (c > at && !atomic_load(&fail_every))
        return true;
    atomic_store(&failed, true);
    return false;
}

void *pf_alloc(size_t n)
{
    return admit() ? malloc(n ? n : 1) : NULL;
}

void *pf_calloc(size_t n, size_t size)
{
    size_t bytes;
    if (!pf_mul(n, size, &bytes) || !admit())
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *pf_realloc(void *p, size_t n)
{
    return admit() ? realloc(p, n ? n : 1) : NULL;
}

void pf_free(void *p)
{
    free(p);
}

static size_t big_size(size_t n)
{
    return (n + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

void *pf_alloc_big(size_t n)
{
    if (!admit() || n > SIZE_MAX / 2)
        return NULL;
    if (n < HUGE_PAGE) {
        void *p = NULL;
        if (posix_memalign(&p, 64, n ? n : 1) != 0)
            return NULL;
        return memset(p, 0, n);
    }
    /* Mapped one huge page longer and trimmed, so that it starts on one. */
    size_t len = big_size(n), all = len + HUGE_PAGE;
    char *p = mmap(NULL, all, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t skip = (size_t)(-(uintptr_t)p & (HUGE_PAGE - 1));
    if (skip)
        munmap(p, skip);
    if (HUGE_PAGE - skip)
        munmap(p + skip + len, HUGE_PAGE - skip);
    madvise(p + skip, len, MADV_HUGEPAGE);
    return p + skip;
}

void pf_free_big(void *p, size_t n)
{
    if (!p)
        return;
    if (n < HUGE_PAGE)
        free(p);
    else
        munmap(p, big_size(n));
}

char *pf_memdup0(const char *p, size_t n)
{
    size_t bytes;
    if (!pf_add(n, 1, &bytes))
        return NULL;
    char *q = pf_alloc(bytes);
    if (q) {
        if (n)
            memcpy(q, p, n);
        q[n] = 0;
    }
    return q;
}

char *pf_strdup(const char *s)
{
    return pf_memdup0(s, strlen(s));
}

bool pf_grow(void **p, size_t *cap, size_t want, size_t elem)
{
    if (want <= *cap)
        return true;
    size_t next = *cap + *cap / 2, bytes;
    if (next < want)
        next = want;
    if (next < 8)
        next = 8;
    if (!pf_mul(next, elem, &bytes))
        return false;
    void *q = pf_realloc(*p, bytes);
    if (!q)
        return false;
    *p = q;
    *cap = next;
    return true;
}
