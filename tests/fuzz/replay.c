/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target over files: each file of the directories and files named
 * on the command line, then every truncation of it (sampled above 2 KiB) and
 * a fixed set of damaged copies. Deterministic, so that `make test` finds the
 * same on every machine; libFuzzer (make fuzz) does the searching. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FILE = 1 << 20, CUTS = 512, DAMAGED = 1024 };

static uint64_t rng_state;

static uint32_t rng(void)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng_state >> 33);
}

/* A copy of exactly n bytes, so that ASan sees a read past the end. */
static void run_copy(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        exit(1);
    if (n)
        memcpy(copy, p, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void run_damaged(uint8_t *p, size_t n)
{
    size_t step = n / CUTS + 1;
    size_t rounds = n > 65536 ? 64 : n > 4096 ? DAMAGED / 4 : DAMAGED;
    for (size_t cut = 0; cut <= n; cut += step)
        run_copy(p, cut);
    for (size_t k = 0; n && k < rounds; k++) {
        size_t at = rng() % n;
        uint8_t old = p[at];
        p[at] = k & 1 ? (uint8_t)rng() : (uint8_t)(old ^ 1u << (rng() & 7));
        run_copy(p, n);
        p[at] = old;
    }
}

static int run_file(const char *path)
{
    static uint8_t buf[MAX_FILE];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    size_t n = fread(buf, 1, sizeof buf, f);
    fclose(f);
    rng_state = n;
    run_copy(buf, n);
    run_damaged(buf, n);
    return 0;
}

static int run_dir(const char *dir, int *count)
{
    struct dirent **list;
    char path[4096];
    int bad = 0, n = scandir(dir, &list, NULL, alphasort);
    if (n < 0) {
        perror(dir);
        return 1;
    }
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
            bad |= run_file(path);
            ++*count;
        }
        free(list[i]);
    }
    free(list);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0, count = 0;
    struct stat st;
    run_copy((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            bad |= run_dir(argv[i], &count);
        } else {
            bad |= run_file(argv[i]);
            count++;
        }
    }
    printf("1..1\n%sok 1 - %d files and their damaged copies\n",
           bad || !count ? "not " : "", count);
    return bad || !count;
}
