/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "formats/source.h"
#include "tests/pftest.h"

static char path[64];

/* The format's name, or the message. */
static const char *sniff(const char *p, size_t n, int *rc)
{
    static pf_err e;
    pf_reader *r;
    const pf_format *f = NULL;
    CHECK_OK(pf_write_file(path, p, n, PF_WRITE_REPLACE, NULL));
    pf_err_clear(&e);
    *rc = pf_reader_open(&r, path, &e);
    if (*rc < 0)
        return e.msg;
    *rc = pf_source_check(r, &e);
    if (*rc == 0)
        *rc = pf_source_sniff(r, &f, &e);
    pf_reader_close(r);
    return *rc < 0 ? e.msg : f->name;
}

static void is(const char *text, const char *name)
{
    int rc;
    CHECK_STR(sniff(text, strlen(text), &rc), name);
    CHECK_INT(rc, 0);
}

#define REFUSED(bytes, part)                                     \
    do {                                                         \
        int rc_;                                                 \
        const char *m_ = sniff(bytes, sizeof(bytes) - 1, &rc_);  \
        CHECK_INT(rc_, PF_E_FORMAT);                             \
        if (!strstr(m_, part))                                   \
            CHECK_STR(m_, part);                                 \
    } while (0)

#define HH "{\"chosen\":\"\\n\\nAssistant: a\",\"rejected\":\"\"}"

static void test_formats(void)
{
    is(HH "\n", "hh-rlhf");
    is("\n\n" HH, "hh-rlhf");
    is("\xef\xbb\xbf" HH, "hh-rlhf");
    is("not json\n{\"a\":1}\n" HH "\n", "hh-rlhf");
    is("{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}\n", "trl");
    is("{\"prompt\":\"a\",\"completion\":\"c\",\"label\":true}", "trl");
    is("{\"chosen\":[],\"rejected\":[]}", "trl");
    is("{\"messages\":[]}\n", "trl");
    is("{\"segments\":[]}\n", "trl");
    is("{\"_src\":\"0:0:0\",\"prompt\":\"a\",\"chosen\":\"b\","
       "\"rejected\":\"c\"}", "trl");
    /* a first line longer than any buffer */
    size_t n = 3000000;
    char *p = malloc(n + 100);
    memset(p, 'x', n);
    memcpy(p, "{\"prompt\":\"", 11);
    snprintf(p + n, 100, "\",\"chosen\":\"b\",\"rejected\":\"c\"}\n");
    is(p, "trl");
    free(p);
}

static void test_refused(void)
{
    REFUSED("", "empty");
    REFUSED("version https://git-lfs.github.com/spec/v1\noid sha256:aa\n",
            "git-lfs");
    REFUSED("PAR1....", "Parquet");
    REFUSED("ARROW1\0\0", "Arrow");
    REFUSED("<!DOCTYPE html>\n<html>", "HTML");
    REFUSED("\xff\xfe{\0", "UTF-16");
    REFUSED("[{\"chosen\":1}]", "JSON array");
    REFUSED("\0\0\0\0\0", "binary");
    REFUSED("hello\nworld\n", "no JSON object");
    REFUSED("{\"question\":1,\"answer\":2}\n", "'question', 'answer'");
    REFUSED("{\"chosen\":\"a\",\"rejected\":\"b\"}\n", "'chosen'");
    REFUSED("\n\n\n", "no JSON object");
}

static void test_end(void)
{
    pf_reader *r;
    CHECK_OK(pf_write_file(path, "x", 1, PF_WRITE_REPLACE, NULL));
    CHECK_OK(pf_reader_open(&r, path, NULL));
    CHECK_OK(pf_source_end(r, true, true, 10, NULL));
    CHECK_OK(pf_source_end(r, false, false, 10, NULL));
    CHECK_OK(pf_source_end(r, false, true, 0, NULL));
    CHECK_INT(pf_source_end(r, true, false, 10, NULL), PF_E_TRUNCATED);
    pf_reader_close(r);
}

static int walk(void)
{
    pf_reader *r;
    const pf_format *f;
    int rc = pf_reader_open(&r, path, NULL);
    if (rc < 0)
        return rc;
    rc = pf_source_check(r, NULL);
    if (rc == 0)
        rc = pf_source_sniff(r, &f, NULL);
    pf_reader_close(r);
    return rc;
}

static void test_oom(void)
{
    CHECK_OK(pf_write_file(path, HH, strlen(HH), PF_WRITE_REPLACE, NULL));
    OOM_WALK(walk());
    unlink(path);
}

static void test_setup(void)
{
    snprintf(path, sizeof path, "/tmp/t_source.XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
}

static const pft_test tests[] = {
    {"setup", test_setup},
    {"formats", test_formats},
    {"refused", test_refused},
    {"end mark", test_end},
    {"out of memory", test_oom},
};
PF_TEST_MAIN(tests)
