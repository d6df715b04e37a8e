/* SPDX-License-Identifier: MIT
 *
 * Compiler attributes and the few macros that every file may use. All GNU
 * extensions of the code base are named here, so a port changes one file. */
#ifndef PF_BASE_COMPILER_H
#define PF_BASE_COMPILER_H

#include <stddef.h>

#define PF_MUST_CHECK __attribute__((warn_unused_result))
#define PF_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PF_NORETURN __attribute__((noreturn))
#define PF_NOINLINE __attribute__((noinline))
#define PF_INLINE static inline __attribute__((always_inline))
#define PF_UNUSED __attribute__((unused))
#define PF_LIKELY(x) __builtin_expect(!!(x), 1)
#define PF_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PF_RESTRICT __restrict__
#define PF_ALIGNED(n) __attribute__((aligned(n)))

/* Products of two 64-bit numbers. */
__extension__ typedef unsigned __int128 pf_u128;

/* Before a loop of at most 16 rounds known at compile time: all of them laid
 * out, so that an array indexed by it can live in registers. */
#if defined(__clang__)
#define PF_UNROLL _Pragma("clang loop unroll(full)")
#else
#define PF_UNROLL _Pragma("GCC unroll 16")
#endif

#define PF_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#define PF_MIN(a, b) ((a) < (b) ? (a) : (b))
#define PF_MAX(a, b) ((a) > (b) ? (a) : (b))

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PF_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define PF_ASAN 1
#endif
#ifdef PF_ASAN
#include <sanitizer/asan_interface.h>
#define PF_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define PF_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define PF_POISON(p, n) ((void)(p), (void)(n))
#define PF_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

/* Aborts with file and line: for our own mistakes only, never for bad input. */
#define PF_BUG(what) pf_bug(__FILE__, __LINE__, what)
#define PF_ASSERT(cond) ((cond) ? (void)0 : PF_BUG(#cond))
PF_NORETURN void pf_bug(const char *file, int line, const char *what);

#endif
