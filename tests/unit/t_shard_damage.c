/* SPDX-License-Identifier: MIT
 *
 * Damage: every single bit and every length of a small stream and of every
 * file of a small set; chunks and shards that changed places. Nothing of it
 * may be read as if it were whole. */
#include "tests/pftest.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/bytes.h"
#include "shard_fixture.h"

static int read_stream(const char *path)
{
    pf_rows_in *in = NULL;
    const pf_chunk *c;
    int rc = pf_rows_in_open(&in, path, NULL);
    while (rc == 0 && (rc = pf_rows_in_next(in, &c, NULL)) == 1)
        rc = 0;
    pf_rows_in_close(in);
    return rc;
}

/* In place, without the writer: thousands of times. */
static void put_bytes(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n)
        abort();
    close(fd);
}

/* The bytes as they lie there (pf_read_file would unpack *.zst). */
static char *get_bytes(const char *path, size_t *n)
{
    pf_mapping m;
    if (pf_mapping_open(&m, path, true, NULL) < 0)
        abort();
    char *p = pf_memdup0((const char *)m.p, *n = m.n);
    pf_mapping_close(&m);
    return p;
}

static void put_byte(int fd, size_t at, char v)
{
    if (pwrite(fd, &v, 1, (off_t)at) != 1)
        abort();
}

typedef int check_fn(const char *path);

/* Every bit of the file `path`, seen through check(subject). */
static void flip_all(const char *path, const char *subject, check_fn *check)
{
    size_t n;
    char *p = get_bytes(path, &n);
    unsigned missed = 0, wrong = 0;
    put_bytes(path, p, n); /* a file we may write to, not a temporary's */
    CHECK_INT(check(subject), 0);
    int fd = open(path, O_RDWR);
    for (size_t i = 0; i < n; i++) {
        for (int b = 0; b < 8; b++) {
            put_byte(fd, i, (char)(p[i] ^ (1 << b)));
            int rc = check(subject);
            missed += rc >= 0;
            if (rc >= 0 || rc < PF_E_IDENTITY || rc > PF_E_FORMAT) {
                if (wrong++ < 5)
                    printf("# %s byte %zu bit %d: %d\n", path, i, b, rc);
            }
        }
        put_byte(fd, i, p[i]);
    }
    close(fd);
    CHECK_INT(missed, 0);
    CHECK_INT(wrong, 0);
    CHECK_INT(check(subject), 0);
    pf_free(p);
}

static void cut_all(const char *path, const char *subject, check_fn *check,
                    size_t from)
{
    size_t n;
    char *p = get_bytes(path, &n);
    put_bytes(path, p, n);
    for (size_t len = n; len-- > from;) {
        if (truncate(path, (off_t)len) != 0)
            abort();
        int rc = check(subject);
        if (rc != PF_E_TRUNCATED) {
            printf("# %s cut to %zu: %d\n", path, len, rc);
            CHECK_INT(rc, PF_E_TRUNCATED);
            break;
        }
    }
    put_bytes(path, p, n);
    CHECK_INT(check(subject), 0);
    /* and one byte too many */
    char *q = pf_alloc(n + 1);
    memcpy(q, p, n);
    q[n] = '\n';
    put_bytes(path, q, n + 1);
    CHECK_INT(check(subject), PF_E_FORMAT);
    put_bytes(path, p, n);
    pf_free(q);
    pf_free(p);
}

static void t_stream(void)
{
    const char *s = fx_path("s.prf");
    CHECK_OK(fx_write_file(s, PF_ROW_PAIR, 500, 2, 1, NULL));
    flip_all(s, s, read_stream);
    cut_all(s, s, read_stream, 1);
    put_bytes(s, "", 0);
    CHECK_INT(read_stream(s), PF_E_FORMAT); /* an empty file is its own case */
    CHECK_OK(fx_write_file(s, PF_ROW_SEQ, 70000, 2, 0, NULL));
    cut_all(s, s, read_stream, 1);
    CHECK_OK(fx_write_file(s, PF_ROW_UNPAIRED, 500, 2, 0, NULL));
    cut_all(s, s, read_stream, 1);
}

static int verify(const char *dir)
{
    return pf_set_verify(dir, NULL);
}

static int open_a(const char *dir)
{
    pf_set *s = NULL;
    int rc = pf_set_open(&s, dir, "a", NULL);
    pf_set_close(s);
    return rc;
}

static void t_set(void)
{
    /* derived: seen by verify alone */
    static const char *const derived[] = {"SHA256SUMS"};
    static const char *const files[] = {
        "shard-00000.prf", "shard-00000.a.ref", "a.ref.json",
        "manifest.json", "provenance.jsonl", "tokenizer.json.zst",
        "chat_template.jinja.zst"};
    pf_rows_out_opts o = {.dir = fx_path("set")};
    CHECK_OK(fx_write(&o, PF_ROW_PAIR, 500, 2, 1, NULL, NULL));
    for (size_t i = 0; i < PF_COUNTOF(files); i++) {
        char *p = pf_path_join(o.dir, files[i]);
        flip_all(p, o.dir, open_a);
        cut_all(p, o.dir, open_a, 0);
        pf_free(p);
    }
    for (size_t i = 0; i < PF_COUNTOF(derived); i++) {
        char *p = pf_path_join(o.dir, derived[i]);
        flip_all(p, o.dir, verify);
        cut_all(p, o.dir, verify, 0);
        pf_free(p);
    }
}

/* The chunks of a stream, by their own lengths. */
static size_t split(const char *p, size_t n, size_t *at)
{
    size_t k = 0;
    at[0] = 0;
    while (at[k] < n) {
        at[k + 1] = at[k] + (size_t)pf_get_u64(p + at[k] + 16);
        k++;
    }
    return k;
}

static int rebuild(const char *path, const char *p, const size_t *at,
                   const size_t *order, size_t n)
{
    pf_buf b = {0};
    for (size_t i = 0; i < n; i++)
        pf_buf_add(&b, p + at[order[i]], at[order[i] + 1] - at[order[i]]);
    put_bytes(path, b.p, b.n);
    pf_buf_release(&b);
    return read_stream(path);
}

/* META DATA COLS DATA COLS DATA COLS END, then misplaced in every way. */
static void t_places(void)
{
    const char *s = fx_path("p.prf");
    char *p;
    size_t n, at[16], order[16] = {0};
    CHECK_OK(fx_write_file(s, PF_ROW_PAIR, 500, 2100, 1, NULL));
    CHECK_OK(pf_read_file(s, 1 << 24, &p, &n, NULL));
    size_t k = split(p, n, at);
    CHECK_INT(k, 8);
    for (size_t i = 0; i < k; i++)
        order[i] = i;
    CHECK_INT(rebuild(s, p, at, order, k), 0);
    for (size_t a = 0; a < k; a++) { /* two swapped */
        for (size_t b = a + 1; b < k; b++) {
            order[a] = b, order[b] = a;
            CHECK_INT(rebuild(s, p, at, order, k), PF_E_FORMAT);
            order[a] = a, order[b] = b;
        }
    }
    for (size_t a = 0; a < k; a++) { /* one dropped, one doubled */
        size_t drop[16], twice[16], d = 0, t = 0;
        for (size_t i = 0; i < k; i++) {
            if (i != a)
                drop[d++] = i;
            twice[t++] = i;
            if (i == a)
                twice[t++] = i;
        }
        int want = a == k - 1 ? PF_E_TRUNCATED : PF_E_FORMAT;
        CHECK_INT(rebuild(s, p, at, drop, d), want);
        CHECK_INT(rebuild(s, p, at, twice, t), PF_E_FORMAT);
    }
    pf_free(p);
}

/* A chunk of another stream in the same place. */
static void t_foreign_chunk(void)
{
    const char *s = fx_path("q.prf"), *t = fx_path("r.prf");
    char *p, *q;
    size_t n, m, at[16], bt[16];
    CHECK_OK(fx_write_file(s, PF_ROW_PAIR, 500, 1100, 0, NULL));
    CHECK_OK(fx_write_file(t, PF_ROW_PAIR, 501, 1100, 0, NULL));
    CHECK_OK(pf_read_file(s, 1 << 24, &p, &n, NULL));
    CHECK_OK(pf_read_file(t, 1 << 24, &q, &m, NULL));
    size_t k = split(p, n, at);
    CHECK_INT(split(q, m, bt), k);
    pf_buf b = {0};
    pf_buf_add(&b, p, at[1]);
    pf_buf_add(&b, q + bt[1], bt[2] - bt[1]);
    pf_buf_add(&b, p + at[2], n - at[2]);
    put_bytes(s, b.p, b.n);
    CHECK_INT(read_stream(s), PF_E_FORMAT);
    pf_buf_release(&b);
    pf_free(p);
    pf_free(q);
}

static void swap_files(const char *dir, const char *x, const char *y)
{
    char *a = pf_path_join(dir, x), *b = pf_path_join(dir, y);
    char *t = pf_path_join(dir, "swap");
    if (rename(a, t) || rename(b, a) || rename(t, b))
        abort();
    pf_free(a);
    pf_free(b);
    pf_free(t);
}

static void t_shards(void)
{
    pf_rows_out_opts o = {.dir = fx_path("sh"), .shard_rows = 2};
    CHECK_OK(fx_write(&o, PF_ROW_PAIR, 500, 6, 1, NULL, NULL));
    swap_files(o.dir, "shard-00000.prf", "shard-00001.prf");
    CHECK(open_a(o.dir) < 0);
    swap_files(o.dir, "shard-00000.prf", "shard-00001.prf");
    CHECK_INT(open_a(o.dir), 0);
    swap_files(o.dir, "shard-00000.a.ref", "shard-00001.a.ref");
    CHECK(open_a(o.dir) < 0);
    swap_files(o.dir, "shard-00000.a.ref", "shard-00001.a.ref");
    swap_files(o.dir, "shard-00000.prf", "shard-00000.a.ref");
    CHECK(open_a(o.dir) < 0);
    swap_files(o.dir, "shard-00000.prf", "shard-00000.a.ref");
    unlink(fx_path("sh/shard-00002.prf"));
    CHECK_INT(open_a(o.dir), PF_E_IO);
}

/* What is no stream is called what it is. */
static void t_other_files(void)
{
    static const struct {
        const char *text;
        const char *says;
        int code;
    } t[] = {
        {"{\"prompt\":\"x\"}\n", "JSON text", PF_E_FORMAT},
        {"version https://git-lfs.github.com/spec/v1\n", "git-lfs",
         PF_E_FORMAT},
        {"", "empty file", PF_E_FORMAT},
        {"PK\3\4........................", "not a chunk stream", PF_E_FORMAT},
    };
    const char *s = fx_path("other");
    for (size_t i = 0; i < PF_COUNTOF(t); i++) {
        pf_err e = PF_ERR_INIT;
        pf_rows_in *in = NULL;
        put_bytes(s, t[i].text, strlen(t[i].text));
        CHECK_INT(pf_rows_in_open(&in, s, &e), t[i].code);
        CHECK(strstr(e.msg, t[i].says) != NULL);
    }
    pf_err e = PF_ERR_INIT;
    CHECK_INT(pf_rows_in_open(&(pf_rows_in *){0}, fx_path("none"), &e),
              PF_E_IO);
    fx_remove_dir(fx_tmp());
}

static const pft_test tests[] = {
    {"every bit and length of streams", t_stream},
    {"every bit and length of a set", t_set},
    {"chunks out of place", t_places},
    {"a chunk of another stream", t_foreign_chunk},
    {"shards out of place", t_shards},
    {"other files", t_other_files},
};
PF_TEST_MAIN(tests)
