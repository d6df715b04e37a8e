/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "base/hash.h"
#include "base/lines.h"
#include "tests/pftest.h"

static char path[64];

static void put(const char *p, size_t n)
{
    CHECK_OK(pf_write_file(path, p, n, PF_WRITE_REPLACE, NULL));
}

/* The lines of the file as "offset:number:text" + "." (no LF) or "!" (too
 * long), by pf_lines_next or cut from batches of `want` bytes. */
static int list(pf_buf *out, size_t max_line, size_t want, pf_err *e)
{
    pf_reader *r;
    pf_lines *l = NULL;
    pf_line line;
    int rc = pf_reader_open(&r, path, e);
    if (rc < 0)
        return rc;
    rc = pf_lines_new(&l, r, max_line, e);
    while (rc >= 0) {
        rc = want ? pf_lines_batch(l, want, &line, e)
                  : pf_lines_next(l, &line, e);
        if (rc <= 0)
            break;
        if (line.too_long) {
            pf_buf_printf(out, "%d:%d:%zu%s!|", (int)line.offset,
                          (int)line.number, line.text.n,
                          line.ended ? "" : ".");
            continue;
        }
        size_t at = 0;
        do {
            const char *p = line.text.p + at;
            size_t left = line.text.n - at;
            const char *lf = left ? memchr(p, '\n', left) : NULL;
            bool ended = lf || (!want && line.ended);
            pf_buf_printf(out, "%d:%d:%.*s%s|", (int)line.offset + (int)at,
                          (int)line.number++,
                          lf ? (int)(lf - p) : (int)left, p, ended ? "" : ".");
            at += lf ? (size_t)(lf - p) + 1 : left;
        } while (at < line.text.n);
    }
    if (rc == 0 && pf_buf_failed(out))
        rc = pf_err_nomem(e);
    pf_lines_free(l);
    pf_reader_close(r);
    return rc;
}

static void expect(const char *text, size_t n, size_t max_line,
                   const char *want)
{
    static const size_t batch[] = {0, 1, 2, 3, 5, 8, 100, 1 << 20};
    put(text, n);
    for (size_t i = 0; i < PF_COUNTOF(batch); i++) {
        pf_buf b = {0};
        CHECK_OK(list(&b, max_line, batch[i], NULL));
        pf_buf_char(&b, '$');
        b.p[b.n - 1] = 0;
        CHECK_STR(b.p, want);
        pf_buf_release(&b);
    }
}

#define EXPECT(text, max_line, want) \
    expect(text, sizeof(text) - 1, max_line, want)

static void test_lines(void)
{
    EXPECT("", 100, "");
    EXPECT("a\nbb\n\nccc\n", 100, "0:1:a|2:2:bb|5:3:|6:4:ccc|");
    EXPECT("a\nbb", 100, "0:1:a|2:2:bb.|");
    EXPECT("\n", 100, "0:1:|");
    EXPECT("x", 100, "0:1:x.|");
    /* only LF ends a line */
    EXPECT("a\rb\x0b" "c\xe2\x80\xa8" "d\xc2\x85" "e\n", 100,
           "0:1:a\rb\x0b" "c\xe2\x80\xa8" "d\xc2\x85" "e|");
    EXPECT("\xef\xbb\xbf" "a\nb\n", 100, "3:1:a|5:2:b|");
    EXPECT("\xef\xbb\xbf", 100, "");
    EXPECT("a\n\xef\xbb\xbf" "b\n", 100, "0:1:a|2:2:\xef\xbb\xbf" "b|");
}

static void test_too_long(void)
{
    EXPECT("abc\nabcd\nab\n", 3, "0:1:abc|4:2:4!|9:3:ab|");
    EXPECT("abcd\nabcd\n", 3, "0:1:4!|5:2:4!|");
    EXPECT("abc", 3, "0:1:abc.|");
    EXPECT("ab\nabcdefgh", 3, "0:1:ab|3:2:8.!|");
    EXPECT("abcdefgh\n\nx\n", 1, "0:1:8!|9:2:|10:3:x|");
    /* longer than the pieces it is read in, and than what is shown of it */
    size_t n = 3000000;
    char *p = malloc(n);
    memset(p, 'x', n);
    memcpy(p + n - 3, "\ny\n", 3);
    char want[80];
    snprintf(want, sizeof want, "0:1:4096!|%d:2:y|", (int)n - 2);
    expect(p, n, 100000, want);
    free(p);
}

/* Random texts: every way of cutting gives the lines of a plain loop. */
static void test_random(void)
{
    for (unsigned seed = 0; seed < 60; seed++) {
        char text[400];
        size_t n = pf_mix64(seed) % sizeof text;
        for (size_t i = 0; i < n; i++)
            text[i] = pf_mix64(seed * 1000 + i) % 7 ? 'a' : '\n';
        pf_buf want = {0};
        int number = 1;
        for (size_t at = 0; at < n; number++) {
            const char *lf = memchr(text + at, '\n', n - at);
            size_t len = lf ? (size_t)(lf - text) - at : n - at;
            if (len > 12)
                pf_buf_printf(&want, "%d:%d:%zu%s!|", (int)at, number, len,
                              lf ? "" : ".");
            else
                pf_buf_printf(&want, "%d:%d:%.*s%s|", (int)at, number,
                              (int)len, text + at, lf ? "" : ".");
            at += len + 1;
        }
        pf_buf_char(&want, '$');
        want.p[want.n - 1] = 0;
        expect(text, n, 12, want.p);
        pf_buf_release(&want);
    }
}

static int walk(void)
{
    pf_buf b = {0};
    int rc = list(&b, 12, 0, NULL);
    pf_buf_release(&b);
    return rc;
}

static void test_oom(void)
{
    put("abc\nabcdefghijklmnopqrstuvwxyz\nabc", 34);
    OOM_WALK(walk());
    unlink(path);
}

static void test_setup(void)
{
    snprintf(path, sizeof path, "/tmp/t_lines.XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
}

static const pft_test tests[] = {
    {"setup", test_setup},
    {"lines and batches", test_lines},
    {"lines that are too long", test_too_long},
    {"random texts", test_random},
    {"out of memory", test_oom},
};
PF_TEST_MAIN(tests)
