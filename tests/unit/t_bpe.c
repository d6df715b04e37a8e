/* SPDX-License-Identifier: MIT
 *
 * BPE against the plainest form of its definition, for pieces on both sides
 * of where the method changes, and its time on long runs. */
#include <time.h>

#include "base/mem.h"
#include "tests/pftest.h"
#include "text/bpe.h"

/* Alphabet a..d = 0..3; random merges make 4, 5, ... */
enum { LETTERS = 4, MERGES = 60, MAX = 400 };
static pf_merge merges[MERGES + 1];

static void make_model(pf_bpe *b, uint32_t seed)
{
    uint32_t n = LETTERS, x = seed;
    *b = (pf_bpe){.unk = PF_BPE_NONE};
    for (int i = 0; i < 256; i++)
        b->byte_id[i] = i >= 'a' && i < 'a' + LETTERS ? (uint32_t)(i - 'a')
                                                      : PF_BPE_NONE;
    for (uint32_t i = 0; i < MERGES; i++) {
        x = x * 1664525 + 1013904223;
        uint32_t l = (x >> 8) % n, r = (x >> 20) % n;
        merges[i] = (pf_merge){l, r, i, n++};
    }
    /* The first pair once more, last: that rank counts. */
    merges[MERGES] = (pf_merge){merges[0].left, merges[0].right, MERGES,
                                merges[0].id};
    CHECK_OK(pf_bpe_init(b, merges, MERGES + 1, NULL));
}

/* Repeats the leftmost merge of least rank. */
static size_t plain(const char *s, size_t n, uint32_t *id)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (s[i] >= 'a' && s[i] < 'a' + LETTERS)
            id[k++] = (uint32_t)(s[i] - 'a');
    for (;;) {
        const pf_merge *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < k; i++)
            for (int m = MERGES; m >= 0; m--) {
                if (merges[m].left != id[i] || merges[m].right != id[i + 1])
                    continue;
                if (!best || merges[m].rank < best->rank) {
                    best = &merges[m];
                    at = i;
                }
                break; /* the last of equal pairs counts */
            }
        if (!best)
            return k;
        id[at] = best->id;
        k--;
        memmove(id + at + 1, id + at + 2, (k - at - 1) * sizeof *id);
    }
}

static void one(const pf_bpe *b, pf_bpe_scratch *s, const char *p, size_t n)
{
    static uint32_t got[MAX], want[MAX];
    size_t k = 0, w = plain(p, n, want);
    CHECK_OK(pf_bpe_encode(b, s, p, n, 0, &n, 1, got, &k, NULL));
    if (k != w || memcmp(got, want, k * sizeof *got) != 0) {
        printf("# piece \"%.*s\" differs\n", (int)n, p);
        pft_failures++;
    }
}

static void as_defined(void)
{
    for (uint32_t seed = 1; seed < 12; seed++) {
        pf_bpe b;
        pf_bpe_scratch *s;
        char p[MAX];
        uint32_t x = seed * 77;
        make_model(&b, seed);
        CHECK_OK(pf_bpe_scratch_new(&s, NULL));
        for (int i = 0; i < 400; i++) {
            x = x * 1664525 + 1013904223;
            size_t n = 1 + (x >> 10) % (i % 4 ? 20 : 120);
            unsigned kinds = 1 + (x >> 20) % 5; /* 'e' has no symbol */
            for (size_t k = 0; k < n; k++) {
                x = x * 1664525 + 1013904223;
                p[k] = (char)('a' + (x >> 16) % kinds);
            }
            one(&b, s, p, n);
            one(&b, s, p, n); /* from the cache */
        }
        pf_bpe_scratch_free(s);
        pf_bpe_release(&b);
    }
}

static void unknown(void)
{
    pf_bpe b;
    pf_bpe_scratch *s;
    uint32_t id[16];
    size_t k, n = 5;
    make_model(&b, 3);
    CHECK_OK(pf_bpe_scratch_new(&s, NULL));
    CHECK_OK(pf_bpe_encode(&b, s, "zzzzz", 5, 0, &n, 1, id, &k, NULL));
    CHECK_INT(k, 0);
    pf_bpe_scratch_free(s);
    CHECK_OK(pf_bpe_scratch_new(&s, NULL));
    b.unk = 99;
    CHECK_OK(pf_bpe_encode(&b, s, "zzzzz", 5, 0, &n, 1, id, &k, NULL));
    CHECK_INT(k, 5);
    pf_bpe_scratch_free(s);
    CHECK_OK(pf_bpe_scratch_new(&s, NULL));
    b.fuse_unk = true;
    CHECK_OK(pf_bpe_encode(&b, s, "zzzzz", 5, 0, &n, 1, id, &k, NULL));
    CHECK_INT(k, 1);
    CHECK_INT(id[0], 99);
    pf_bpe_scratch_free(s);
    pf_bpe_release(&b);
}

static double seconds(size_t n)
{
    pf_bpe b = {.unk = PF_BPE_NONE};
    pf_bpe_scratch *s;
    pf_merge m[10];
    size_t k = 0;
    struct timespec t0, t1;
    char *p = pf_alloc(n);
    uint32_t *id = pf_alloc(n * sizeof *id);
    memset(p, 'a', n);
    for (uint32_t i = 0; i < 10; i++)
        m[i] = (pf_merge){i, i, i, i + 1};
    CHECK_OK(pf_bpe_init(&b, m, 10, NULL));
    CHECK_OK(pf_bpe_scratch_new(&s, NULL));
    clock_gettime(CLOCK_MONOTONIC, &t0);
    CHECK_OK(pf_bpe_encode(&b, s, p, n, 0, &n, 1, id, &k, NULL));
    clock_gettime(CLOCK_MONOTONIC, &t1);
    CHECK_INT(k, n >> 10);
    pf_bpe_scratch_free(s);
    pf_bpe_release(&b);
    pf_free(p);
    pf_free(id);
    return (double)(t1.tv_sec - t0.tv_sec) +
           (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9;
}

static void long_runs(void)
{
    double t = seconds(1 << 20);
    printf("# 1 MiB of one letter: %.3f s\n", t);
    CHECK(t < 20); /* a quadratic method takes hours */
}

static int oom(void)
{
    pf_bpe b = {.unk = PF_BPE_NONE};
    pf_bpe_scratch *s = NULL;
    uint32_t id[200];
    char p[200];
    size_t k, n = sizeof p;
    memset(p, 'a', n);
    pf_merge m = {0, 0, 0, 1};
    int rc = pf_bpe_init(&b, &m, 1, NULL);
    if (rc == 0)
        rc = pf_bpe_scratch_new(&s, NULL);
    if (rc == 0)
        rc = pf_bpe_encode(&b, s, p, n, 0, &n, 1, id, &k, NULL);
    pf_bpe_scratch_free(s);
    pf_bpe_release(&b);
    return rc;
}

static void out_of_memory(void)
{
    OOM_WALK(oom());
}

static const pft_test list[] = {
    {"as defined", as_defined}, {"bytes without a symbol", unknown},
    {"long runs", long_runs},   {"out of memory", out_of_memory},
};
PF_TEST_MAIN(list)
