/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "tests/pftest.h"

#include <zlib.h>
#include <zstd.h>

static char dir[64];

static const char *at(const char *name)
{
    static char buf[4][256];
    static int i;
    i = (i + 1) % 4;
    snprintf(buf[i], sizeof buf[i], "%s/%s", dir, name);
    return buf[i];
}

static void put(const char *name, const void *p, size_t n)
{
    CHECK_OK(pf_write_file(at(name), p, n, PF_WRITE_REPLACE, NULL));
}

/* n bytes that compress, but not to nothing. */
static char *sample(size_t n)
{
    char *p = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)("abcdefgh\n"[pf_mix64(i / 3) % 9]);
    return p;
}

/* One gzip member of p with a name field in its header; returns the size. */
static size_t gz(unsigned char *out, size_t cap, const char *p, size_t n)
{
    z_stream z = {0};
    gz_header h = {.name = (Bytef *)"a name", .name_max = 7, .hcrc = 1};
    deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    deflateSetHeader(&z, &h);
    z.next_in = (Bytef *)p;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)cap;
    CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return cap - z.avail_out;
}

/* Reads all of a file in steps; the code, and the bytes in *out. */
static int slurp(const char *path, bool prefetch, size_t step, pf_buf *out,
                 pf_err *e)
{
    pf_reader *r;
    int rc = pf_reader_open(&r, path, e);
    if (rc < 0)
        return rc;
    pf_slice head;
    rc = pf_reader_peek(r, 10, &head, e);
    if (rc == 0 && prefetch)
        rc = pf_reader_prefetch(r, e);
    while (rc == 0) {
        if (!pf_buf_reserve(out, step)) {
            rc = pf_err_nomem(e);
            break;
        }
        ssize_t got = pf_reader_read(r, out->p + out->n, step, e);
        if (got < 0)
            rc = (int)got;
        if (got <= 0)
            break;
        out->n += (size_t)got;
    }
    pf_reader_close(r);
    return rc;
}

static bool same(const char *path, bool prefetch, size_t step, const char *p,
                 size_t n)
{
    pf_buf b = {0};
    pf_err e = PF_ERR_INIT;
    int rc = slurp(path, prefetch, step, &b, &e);
    bool ok = rc == 0 && b.n == n && (n == 0 || memcmp(b.p, p, n) == 0);
    if (!ok)
        printf("# %s: rc %d, %zu bytes, want %zu: %s\n", path, rc, b.n, n,
               e.msg);
    pf_buf_release(&b);
    return ok;
}

#define BIG 3000000

static void test_plain(void)
{
    char *p = sample(BIG);
    put("plain", p, BIG);
    for (int pre = 0; pre < 2; pre++) {
        CHECK(same(at("plain"), pre, 1 << 20, p, BIG));
        CHECK(same(at("plain"), pre, 777, p, BIG));
    }
    put("empty", "", 0);
    CHECK(same(at("empty"), false, 10, "", 0));
    put("three", "abc", 3);
    CHECK(same(at("three"), false, 10, "abc", 3));
    free(p);
}

static void test_gzip(void)
{
    char *p = sample(BIG);
    unsigned char *c = malloc(2 * BIG);
    size_t n = gz(c, 2 * BIG, p, BIG);
    put("one.gz", c, n);
    for (int pre = 0; pre < 2; pre++) {
        CHECK(same(at("one.gz"), pre, 1 << 20, p, BIG));
        CHECK(same(at("one.gz"), pre, 1000, p, BIG));
    }
    /* many members, empty ones among them, zero padding behind */
    size_t at_in = 0, at_out = 0;
    for (unsigned i = 0; at_in < BIG; i++) {
        size_t len = PF_MIN((size_t)(pf_mix64(i) % 2000), BIG - at_in);
        at_out += gz(c + at_out, 2 * BIG - at_out, p + at_in, len);
        at_in += len;
    }
    memset(c + at_out, 0, 700);
    put("many.gz", c, at_out + 700);
    for (int pre = 0; pre < 2; pre++)
        CHECK(same(at("many.gz"), pre, 1 << 16, p, BIG));
    c[at_out + 699] = 'x';
    put("junk.gz", c, at_out + 700);
    pf_buf b = {0};
    CHECK_INT(slurp(at("junk.gz"), true, 1 << 16, &b, NULL), PF_E_FORMAT);
    pf_buf_release(&b);
    free(c);
    free(p);
}

/* Every truncation and every bit flip of a small file in several pieces: cut
 * inside a piece is "truncated"; a flip never yields other bytes. */
static void damage(const char *name, const unsigned char *c, size_t n,
                   const size_t *cut, size_t n_cut, const char *p, size_t np)
{
    pf_buf b = {0};
    for (size_t len = 0; len < n; len++) {
        bool boundary = len == 0;
        for (size_t i = 0; i < n_cut; i++)
            boundary |= len == cut[i];
        put(name, c, len);
        pf_buf_clear(&b);
        int rc = slurp(at(name), len % 2, 100, &b, NULL);
        if (len && len < 4)
            continue; /* not yet recognised as compressed */
        CHECK_INT(rc, boundary ? 0 : PF_E_TRUNCATED);
        CHECK(b.n <= np && (b.n == 0 || memcmp(b.p, p, b.n) == 0));
    }
    unsigned char *f = malloc(n);
    memcpy(f, c, n);
    for (size_t bit = 0; bit < n * 8; bit++) {
        f[bit / 8] ^= (unsigned char)(1 << bit % 8);
        put(name, f, n);
        pf_buf_clear(&b);
        int rc = slurp(at(name), false, 1000, &b, NULL);
        if (rc == 0 && pf_slice_starts(pf_buf_slice(&b), PF_LIT("{\"a\"")))
            CHECK(b.n == np && memcmp(b.p, p, np) == 0);
        f[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    free(f);
    pf_buf_release(&b);
}

static void test_damage(void)
{
    const char *p = "{\"a\": \"some text, some more text\"}\n{\"a\": 2}\n";
    size_t half = 36, np = strlen(p);
    unsigned char c[512];
    size_t cut[1];
    cut[0] = gz(c, sizeof c, p, half);
    size_t n = cut[0] + gz(c + cut[0], sizeof c - cut[0], p + half, np - half);
    damage("small.gz", c, n, cut, 1, p, np);
    ZSTD_CCtx *z = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    cut[0] = ZSTD_compress2(z, c, sizeof c, p, half);
    n = cut[0] + ZSTD_compress2(z, c + cut[0], sizeof c - cut[0], p + half,
                                np - half);
    ZSTD_freeCCtx(z);
    damage("small.zst", c, n, cut, 1, p, np);
}

static void test_zstd(void)
{
    char *p = sample(BIG);
    char *c = malloc(2 * BIG);
    size_t a = ZSTD_compress(c, 2 * BIG, p, BIG / 3, 1);
    size_t b = ZSTD_compress(c + a, 2 * BIG - a, p + BIG / 3, BIG - BIG / 3, 3);
    put("two.zst", c, a + b);
    for (int pre = 0; pre < 2; pre++) {
        CHECK(same(at("two.zst"), pre, 1 << 20, p, BIG));
        CHECK(same(at("two.zst"), pre, 1111, p, BIG));
    }
    memcpy(c + a + b, "hello", 5);
    put("junk.zst", c, a + b + 5);
    pf_buf buf = {0};
    pf_err e = PF_ERR_INIT;
    CHECK_INT(slurp(at("junk.zst"), false, 1 << 20, &buf, &e), PF_E_FORMAT);
    CHECK_INT(e.byte, (int64_t)(a + b));
    pf_buf_release(&buf);
    free(c);
    free(p);
}

static void test_peek(void)
{
    char *p = sample(200000);
    put("peek", p, 200000);
    pf_reader *r;
    pf_slice s;
    char buf[200001];
    CHECK_OK(pf_reader_open(&r, at("peek"), NULL));
    CHECK_OK(pf_reader_peek(r, 16, &s, NULL));
    CHECK(s.n >= 16 && memcmp(s.p, p, s.n) == 0);
    CHECK_INT(pf_reader_read(r, buf, 10, NULL), 10);
    CHECK_OK(pf_reader_peek(r, 65536, &s, NULL));
    CHECK(s.n == 65536 && memcmp(s.p, p + 10, s.n) == 0);
    size_t n = 10;
    for (ssize_t got; (got = pf_reader_read(r, buf + n, 7000, NULL)) > 0;)
        n += (size_t)got;
    CHECK(n == 200000 && memcmp(buf + 10, p + 10, n - 10) == 0);
    CHECK_OK(pf_reader_peek(r, 1, &s, NULL));
    CHECK_INT(s.n, 0);
    CHECK(!pf_reader_is_pipe(r));
    CHECK_INT(pf_reader_raw_size(r), 200000);
    pf_reader_close(r);
    free(p);
}

static void test_open_errors(void)
{
    pf_reader *r;
    pf_err e = PF_ERR_INIT;
    char text[600];
    CHECK_INT(pf_reader_open(&r, at("nowhere"), &e), PF_E_IO);
    CHECK(strstr(pf_err_text(&e, text, sizeof text), "cannot open"));
    pf_err_clear(&e);
    CHECK_INT(pf_reader_open(&r, dir, &e), PF_E_IO);
    CHECK(strstr(e.msg, "directory"));
    char *p;
    size_t n;
    put("ten", "0123456789", 10);
    CHECK_INT(pf_read_file(at("ten"), 9, &p, &n, NULL), PF_E_LIMIT);
    CHECK_OK(pf_read_file(at("ten"), 10, &p, &n, NULL));
    CHECK_INT(n, 10);
    CHECK_STR(p, "0123456789");
    pf_free(p);
}

static void test_mapping(void)
{
    pf_mapping m;
    put("map", "mapped", 6);
    CHECK_OK(pf_mapping_open(&m, at("map"), true, NULL));
    CHECK(m.n == 6 && memcmp(m.p, "mapped", 6) == 0);
    pf_mapping_close(&m);
    put("map0", "", 0);
    CHECK_OK(pf_mapping_open(&m, at("map0"), false, NULL));
    CHECK(m.n == 0 && !m.p);
    pf_mapping_close(&m);
    CHECK_INT(pf_mapping_open(&m, dir, false, NULL), PF_E_IO);
}

static size_t count_files(void)
{
    char **names;
    size_t n;
    CHECK_OK(pf_list_dir(dir, &names, &n, NULL));
    for (size_t i = 0; i < n; i++)
        pf_free(names[i]);
    pf_free(names);
    return n;
}

static void test_writer(void)
{
    size_t before = count_files();
    pf_writer *w;
    CHECK_OK(pf_writer_open(&w, at("out"), PF_WRITE_NEW, NULL));
    char *p = sample(700000);
    pf_writer_write(w, p, 10);
    pf_writer_write(w, p + 10, 600000);
    pf_writer_write(w, p + 600010, 99990);
    CHECK(!pf_path_exists(at("out")));
    CHECK_INT(pf_writer_bytes(w), 700000);
    CHECK_OK(pf_writer_commit(w, NULL));
    CHECK(same(at("out"), false, 1 << 20, p, 700000));
    CHECK_INT(count_files(), before + 1);
    pf_err e = PF_ERR_INIT;
    CHECK_INT(pf_writer_open(&w, at("out"), PF_WRITE_NEW, &e), PF_E_IO);
    CHECK(strstr(e.msg, "exists"));
    CHECK_OK(pf_writer_open(&w, at("out"), PF_WRITE_REPLACE, NULL));
    pf_writer_write(w, "x", 1);
    pf_writer_abort(w);
    CHECK(same(at("out"), false, 1 << 20, p, 700000));
    /* a target that appears between open and commit is not replaced */
    CHECK_OK(pf_writer_open(&w, at("late"), PF_WRITE_NEW, NULL));
    pf_writer_write(w, "mine", 4);
    put("late", "theirs", 6);
    CHECK_INT(pf_writer_commit(w, NULL), PF_E_IO);
    CHECK(same(at("late"), false, 10, "theirs", 6));
    CHECK_INT(count_files(), before + 2);
    CHECK_OK(pf_writer_open(&w, "/dev/null", PF_WRITE_NEW, NULL));
    pf_writer_write(w, p, 700000);
    CHECK_OK(pf_writer_commit(w, NULL));
    CHECK_INT(pf_writer_open(&w, at("no/such"), PF_WRITE_NEW, NULL), PF_E_IO);
    if (access("/dev/full", W_OK) == 0) {
        pf_err_clear(&e);
        CHECK_OK(pf_writer_open(&w, "/dev/full", PF_WRITE_NEW, NULL));
        pf_writer_write(w, p, 700000);
        CHECK_INT(pf_writer_commit(w, &e), PF_E_IO);
        CHECK(strstr(e.msg, "space"));
    }
    free(p);
}

static void test_paths(void)
{
    CHECK_OK(pf_make_dirs(at("d/e/f"), NULL));
    CHECK_OK(pf_make_dirs(at("d/e/f/"), NULL));
    CHECK(pf_path_is_dir(at("d/e/f")));
    put("d/b", "", 0);
    put("d/a", "", 0);
    CHECK_INT(pf_make_dirs(at("d/a/x"), NULL), PF_E_IO);
    char **names;
    size_t n;
    CHECK_OK(pf_list_dir(at("d"), &names, &n, NULL));
    CHECK_INT(n, 3);
    CHECK(n == 3 && !strcmp(names[0], "a") && !strcmp(names[2], "e"));
    for (size_t i = 0; i < n; i++)
        pf_free(names[i]);
    pf_free(names);
    CHECK_INT(pf_list_dir(at("none"), &names, &n, NULL), PF_E_IO);
    char *j = pf_path_join("x/", "y");
    CHECK_STR(j, "x/y");
    pf_free(j);
    j = pf_path_join("x", "y");
    CHECK_STR(j, "x/y");
    pf_free(j);
}

static int read_all(const char *path, bool prefetch)
{
    pf_buf b = {0};
    int rc = slurp(path, prefetch, 65536, &b, NULL);
    pf_buf_release(&b);
    return rc;
}

static void test_oom(void)
{
    OOM_WALK(read_all(at("one.gz"), true));
    OOM_WALK(read_all(at("two.zst"), false));
    unlink(at("oom"));
    OOM_WALK((unlink(at("oom")), pf_write_file(at("oom"), "abc", 3,
                                               PF_WRITE_NEW, NULL)));
    OOM_WALK(pf_make_dirs(at("q/r"), NULL));
}

static void test_cleanup(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    CHECK_INT(system(cmd), 0);
}

static void test_setup(void)
{
    snprintf(dir, sizeof dir, "%s/t_io.XXXXXX",
             getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 40
                 ? getenv("TMPDIR") : "/tmp");
    CHECK(mkdtemp(dir) != NULL);
}

static const pft_test tests[] = {
    {"setup", test_setup},
    {"plain files", test_plain},
    {"gzip, one and many members", test_gzip},
    {"zstd frames", test_zstd},
    {"every truncation and bit flip", test_damage},
    {"peek", test_peek},
    {"errors of open", test_open_errors},
    {"mappings", test_mapping},
    {"atomic writer", test_writer},
    {"paths", test_paths},
    {"out of memory", test_oom},
    {"cleanup", test_cleanup},
};
PF_TEST_MAIN(tests)
