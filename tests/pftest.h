/* SPDX-License-Identifier: MIT
 *
 * Unit tests: a file is a list of test functions run by PF_TEST_MAIN. Output
 * is TAP; a failed check says where and goes on. */
#ifndef PF_TESTS_PFTEST_H
#define PF_TESTS_PFTEST_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static int pft_failures;

#define CHECK(cond)                                                         \
    do {                                                                    \
        if (!(cond)) {                                                      \
            printf("# %s:%d: failed: %s\n", __FILE__, __LINE__, #cond);     \
            pft_failures++;                                                 \
        }                                                                   \
    } while (0)

#define CHECK_INT(got, want)                                                \
    do {                                                                    \
        long long pft_g = (long long)(got), pft_w = (long long)(want);      \
        if (pft_g != pft_w) {                                               \
            printf("# %s:%d: %s is %lld, want %lld\n", __FILE__, __LINE__,  \
                   #got, pft_g, pft_w);                                     \
            pft_failures++;                                                 \
        }                                                                   \
    } while (0)

#define CHECK_STR(got, want)                                                \
    do {                                                                    \
        const char *pft_g = (got), *pft_w = (want);                         \
        if (!pft_g || strcmp(pft_g, pft_w) != 0) {                          \
            printf("# %s:%d: %s is \"%s\", want \"%s\"\n", __FILE__,        \
                   __LINE__, #got, pft_g ? pft_g : "(null)", pft_w);        \
            pft_failures++;                                                 \
        }                                                                   \
    } while (0)

/* |got - want| <= tol * max(1, |want|) */
#define CHECK_NEAR(got, want, tol)                                          \
    do {                                                                    \
        double pft_g = (got), pft_w = (want);                               \
        if (!(fabs(pft_g - pft_w) <= (tol)*fmax(1, fabs(pft_w)))) {         \
            printf("# %s:%d: %s is %.17g, want %.17g\n", __FILE__,          \
                   __LINE__, #got, pft_g, pft_w);                           \
            pft_failures++;                                                 \
        }                                                                   \
    } while (0)

/* The call succeeds; its error is shown when it does not. */
#define CHECK_OK(call)                                                      \
    do {                                                                    \
        int pft_rc = (call);                                                \
        if (pft_rc < 0) {                                                   \
            printf("# %s:%d: %s returned %d\n", __FILE__, __LINE__, #call,  \
                   pft_rc);                                                 \
            pft_failures++;                                                 \
        }                                                                   \
    } while (0)

/* OOM walk: body is a statement using `e`, giving rc. Every allocation in it
 * fails once; each failure must surface as PF_E_LIMIT, and the run without a
 * failure must succeed. Leaks show under ASan. */
#define OOM_WALK(rc_expr)                                                   \
    do {                                                                    \
        for (unsigned pft_n = 1;; pft_n++) {                                \
            pf_mem_fail_at(pft_n, false);                                   \
            int pft_rc = (rc_expr);                                         \
            bool pft_hit = pf_mem_failed();                                 \
            pf_mem_fail_at(0, false);                                       \
            if (!pft_hit) {                                                 \
                CHECK(pft_rc >= 0);                                         \
                break;                                                      \
            }                                                               \
            CHECK_INT(pft_rc, PF_E_LIMIT);                                  \
            if (pft_n > 100000) {                                           \
                CHECK(!"endless OOM walk");                                 \
                break;                                                      \
            }                                                               \
        }                                                                   \
    } while (0)

typedef struct pft_test {
    const char *name;
    void (*fn)(void);
} pft_test;

#define PF_TEST_MAIN(tests)                                                 \
    int main(void)                                                          \
    {                                                                       \
        int pft_bad = 0, pft_n = (int)(sizeof(tests) / sizeof((tests)[0])); \
        printf("1..%d\n", pft_n);                                           \
        for (int i = 0; i < pft_n; i++) {                                   \
            pft_failures = 0;                                               \
            (tests)[i].fn();                                                \
            printf("%sok %d - %s\n", pft_failures ? "not " : "", i + 1,     \
                   (tests)[i].name);                                        \
            pft_bad += pft_failures != 0;                                   \
        }                                                                   \
        return pft_bad != 0;                                                \
    }

#endif
