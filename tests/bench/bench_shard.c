/* SPDX-License-Identifier: MIT
 *
 * Speed of the container beside plain write(2) and memcpy of the same bytes:
 *
 *   bench_shard [MiB] [DIR]
 *
 * writes a stream to /dev/null and a set to DIR (default: a temporary
 * directory), opens it with everything verified, and reads random rows. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "formats/shard.h"

enum { ROWS = 4096, P = 110, A = 40, B = 50, LEN = P + A + B };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const pf_err *e)
{
    char text[600];
    fprintf(stderr, "%s\n", pf_err_text(e, text, sizeof text));
    exit(1);
}

static double put_rows(const pf_rows_out_opts *o, const uint16_t *ids,
                       uint64_t n)
{
    pf_err e = PF_ERR_INIT;
    pf_rows_head h = {.kind = PF_ROW_PAIR, .n_branch = 2, .vocab = 50257};
    pf_rows_out *out;
    double t = now();
    if (pf_ident_set(&h.recipe, "row.schema", "1", &e) < 0 ||
        pf_rows_out_open(&out, &h, o, &e) < 0)
        die(&e);
    for (uint64_t i = 0; i < n; i++) {
        pf_row r = {.kind = PF_ROW_PAIR, .id_size = 2, .n_branch = 2,
                    .p_len = P, .b_len = {A, B}, .row_id = i << 12,
                    .ids = ids + i % ROWS * LEN};
        if (pf_rows_out_add(out, &r, &e) < 0)
            die(&e);
    }
    if (pf_rows_out_finish(out, NULL, NULL, &e) < 0)
        die(&e);
    pf_rows_head_release(&h);
    return now() - t;
}

static double plain_write(const char *path, const uint16_t *ids, uint64_t n)
{
    double t = now();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (uint64_t i = 0; i < n; i += ROWS)
        if (write(fd, ids, ROWS * LEN * 2) < 0)
            exit(1);
    fsync(fd);
    close(fd);
    t = now() - t;
    unlink(path);
    return t;
}

static void bench_set(const char *dir, uint64_t n, double gb)
{
    pf_err e = PF_ERR_INIT;
    pf_set *s;
    for (int k = 0; k < 3; k++) {
        double t = now();
        if (pf_set_open(&s, dir, NULL, &e) < 0)
            die(&e);
        printf("open and verify  %6.2f GB/s\n", gb / (now() - t));
        if (k < 2)
            pf_set_close(s);
    }
    enum { READS = 2000000 };
    const pf_rowset *rows = pf_set_rows(s);
    uint64_t sum = 0;
    double t = now();
    for (uint64_t i = 0; i < READS; i++) {
        pf_row r;
        if (rows->get(rows, pf_rand_below(1, 2, i, n), &r, &e) < 0)
            die(&e);
        sum += pf_row_id_at(&r, r.p_len);
    }
    printf("random row       %6.1f ns (%llu)\n", (now() - t) / READS * 1e9,
           (unsigned long long)sum);
    pf_set_close(s);
}

int main(int argc, char **argv)
{
    pf_err e = PF_ERR_INIT;
    uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 10) : 256;
    char tmp[] = "/tmp/bench_shard_XXXXXX";
    const char *dir = argc > 2 ? argv[2] : mkdtemp(tmp);
    uint64_t n = (mib << 20) / (LEN * 2);
    double gb = (double)n * LEN * 2 / 1e9;
    uint16_t *ids = pf_alloc(ROWS * LEN * 2);
    char path[512];
    pf_writer *w;
    if (!ids || !dir || pf_writer_open(&w, "/dev/null", PF_WRITE_REPLACE, &e))
        return 1;
    for (uint64_t i = 0; i < ROWS * LEN; i++)
        ids[i] = (uint16_t)pf_rand_below(1, 1, i, 50257);
    pf_rows_out_opts stream = {.w = w}, set = {.dir = dir, .replace = true};
    printf("stream           %6.2f GB/s\n", gb / put_rows(&stream, ids, n));
    if (pf_writer_commit(w, &e) < 0)
        die(&e);
    snprintf(path, sizeof path, "%s/plain", dir);
    printf("plain write      %6.2f GB/s\n", gb / plain_write(path, ids, n));
    printf("set              %6.2f GB/s\n", gb / put_rows(&set, ids, n));
    bench_set(dir, n, gb);
    pf_free(ids);
    return 0;
}
