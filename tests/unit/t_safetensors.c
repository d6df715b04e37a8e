/* SPDX-License-Identifier: MIT
 *
 * safetensors: writing and reading back, every kind of damage, every single
 * byte of a small file changed, every truncation, out of memory. */
#include <unistd.h>

#include "base/bytes.h"
#include "base/safetensors.h"
#include "tests/pftest.h"

static char dir[64], path[96];

static void setup(void)
{
    if (dir[0])
        return;
    snprintf(dir, sizeof dir, "/tmp/pf-t-safetensors-XXXXXX");
    if (!mkdtemp(dir))
        abort();
    snprintf(path, sizeof path, "%s/x.safetensors", dir);
}

static const float f32s[6] = {0, -1, 0.5f, 3e38f, 1e-40f, 7};
static const uint16_t bf16s[4] = {0x3f80, 0xc000, 0x7f80, 0x0001};
static const uint16_t f16s[5] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0xfc00};
static const double f64s[2] = {0.1, 1e300};
static const int64_t i64s[3] = {-1, 2, 3};

static const pf_st_out some[] = {
    {"model.b", PF_DT_F32, 2, {2, 3}, f32s},
    {"model.a", PF_DT_BF16, 1, {4}, bf16s},
    {"h\"alf\n", PF_DT_F16, 3, {5, 1, 1}, f16s},
    {"none", PF_DT_F32, 2, {0, 7}, ""},
    {"none.too", PF_DT_U8, 1, {0}, ""},
    {"wide", PF_DT_F64, 1, {2}, f64s},
    {"ints", PF_DT_I64, 1, {3}, i64s},
    {"scalar", PF_DT_F32, 0, {0}, f32s + 5},
};

static void test_round_trip(void)
{
    pf_err e = PF_ERR_INIT;
    pf_st_file *f = NULL;
    float v[8];
    setup();
    CHECK_OK(pf_st_write(path, some, PF_COUNTOF(some), NULL, NULL,
                         PF_WRITE_REPLACE, &e));
    CHECK_OK(pf_st_open(&f, path, &e));
    if (!f)
        return;
    CHECK_INT(pf_st_count(f), PF_COUNTOF(some));
    CHECK_STR(pf_st_meta(f, "format"), "pt");
    CHECK(!pf_st_meta(f, "other") && !pf_st_find(f, "model"));
    CHECK_STR(pf_st_at(f, 0)->name, "model.b");
    for (size_t i = 0; i < PF_COUNTOF(some); i++) {
        const pf_st_tensor *t = pf_st_find(f, some[i].name);
        CHECK(t && t->dtype == some[i].dtype && t->n_dims == some[i].n_dims);
        if (!t)
            continue;
        CHECK(memcmp(t->dim, some[i].dim, sizeof t->dim) == 0);
        size_t n = (size_t)t->count * pf_dtype_size(t->dtype);
        CHECK(memcmp(t->data, some[i].data, n) == 0);
    }
    CHECK_INT(pf_st_find(f, "scalar")->count, 1);
    CHECK_OK(pf_st_to_f32(pf_st_find(f, "model.b"), 1, 5, v, &e));
    CHECK(memcmp(v, f32s + 1, 20) == 0);
    CHECK_OK(pf_st_to_f32(pf_st_find(f, "model.a"), 0, 4, v, &e));
    CHECK(v[0] == 1 && v[1] == -2 && isinf(v[2]) && v[3] == 0x1p-133f);
    CHECK_OK(pf_st_to_f32(pf_st_find(f, "h\"alf\n"), 0, 5, v, &e));
    CHECK(v[0] == 1 && v[1] == -2 && v[2] == 65504 && v[3] == 0x1p-24f);
    CHECK(isinf(v[4]) && v[4] < 0);
    CHECK_OK(pf_st_to_f32(pf_st_find(f, "wide"), 0, 2, v, &e));
    CHECK(v[0] == 0.1f && isinf(v[1]));
    CHECK_INT(pf_st_to_f32(pf_st_find(f, "ints"), 0, 3, v, &e), PF_E_FORMAT);
    pf_st_close(f);
}

static int fill(void *ctx, size_t i, uint64_t off, void *buf, size_t n,
                pf_err *e)
{
    if (ctx && off > 0)
        return pf_err_set(e, PF_E_IO, "planned");
    for (size_t k = 0; k < n; k++)
        ((unsigned char *)buf)[k] = (unsigned char)((off + k) * 7 + i);
    return 0;
}

static void test_fill(void)
{
    static const pf_st_out big[] = {
        {"a", PF_DT_U8, 1, {1}, NULL},
        {"b", PF_DT_U8, 2, {3, 1 << 20}, NULL},
    };
    pf_err e = PF_ERR_INIT;
    pf_st_file *f = NULL;
    setup();
    CHECK_OK(pf_st_write(path, big, 2, fill, NULL, PF_WRITE_REPLACE, &e));
    CHECK_OK(pf_st_open(&f, path, &e));
    if (f) {
        const unsigned char *p = pf_st_find(f, "b")->data;
        size_t bad = 0;
        for (size_t k = 0; k < 3 << 20; k++)
            bad += p[k] != (unsigned char)(k * 7 + 1);
        CHECK_INT(bad, 0);
        pf_st_close(f);
    }
    /* A failing producer publishes nothing. */
    unlink(path);
    CHECK_INT(pf_st_write(path, big, 2, fill, &e, PF_WRITE_NEW, &e), PF_E_IO);
    CHECK(!pf_path_exists(path));
    static const pf_st_out bad = {"x", PF_DT_F32, 2, {INT64_MAX, 2}, NULL};
    CHECK_INT(pf_st_write(path, &bad, 1, fill, NULL, PF_WRITE_NEW, NULL),
              PF_E_LIMIT);
    CHECK(!pf_path_exists(path));
}

static int open_bytes(const void *p, size_t n, pf_err *e)
{
    pf_st_file *f;
    int rc = pf_write_file(path, p, n, PF_WRITE_REPLACE, e);
    if (rc)
        abort();
    rc = pf_st_open(&f, path, e);
    if (rc == 0)
        pf_st_close(f);
    return rc;
}

static int open_header(const char *json, size_t data, pf_err *e)
{
    char file[2048] = {0};
    size_t n = strlen(json);
    pf_put_u64(file, n);
    memcpy(file + 8, json, n);
    return open_bytes(file, 8 + n + data, e);
}

static void test_damage(void)
{
#define T(dtype, shape, range)                                              \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" range "}"
    static const struct {
        int rc;
        size_t data;
        const char *json;
    } t[] = {
        {0, 0, "{}"},
        {0, 0, "{\"__metadata__\":{}}   "},
        {0, 8, "{\"a\":" T("F32", "[2]", "[0,8]") "}"},
        {0, 8, "{\"b\":" T("U8", "[4]", "[4,8]") ",\"a\":"
                  T("F32", "[]", "[0,4]") "}"},
        {0, 4, "{\"a\":" T("F32", "[1]", "[0,4]") ",\"e\":"
                  T("F32", "[0]", "[4,4]") "}"},
        {-3, 1, "{}"},
        {-3, 0, ""},
        {-3, 0, " {}"},
        {-3, 0, "[]"},
        {-3, 0, "{"},
        {-3, 0, "{}x"},
        {-3, 0, "{\"__metadata__\":1}"},
        {-3, 0, "{\"__metadata__\":{\"a\":1}}"},
        {-3, 0, "{\"__metadata__\":{\"a\":\"\\u0000\"}}"},
        {-3, 0, "{\"a\":1}"},
        {-3, 0, "{\"a\":{}}"},
        {-3, 8, "{\"a\":" T("F31", "[2]", "[0,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "2", "[0,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[-2]", "[0,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[2.0]", "[0,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[4294967296,4294967296]", "[0,8]") "}"},
        {-3, 8, "{\"a\":" T("F64", "[2305843009213693953]", "[0,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[3]", "[0,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[2]", "[0,8,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[2]", "[0,\"8\"]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[2]", "[8,0]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[2]", "[-8,0]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[3]", "[0,12]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[1]", "[4,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[1]", "[0,4]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":"
                   T("F32", "[1]", "[4,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[1]", "[0,4]") ",\"a\":"
                   T("F32", "[1]", "[4,8]") "}"},
        {-3, 8, "{\"a\":" T("F32", "[2]", "[0,8]") ",\"e\":"
                   T("F32", "[0]", "[4,4]") "}"},
        {-3, 8, "{\"a\\u0000\":" T("F32", "[2]", "[0,8]") "}"},
    };
#undef T
    setup();
    for (size_t i = 0; i < PF_COUNTOF(t); i++) {
        pf_err e = PF_ERR_INIT;
        int rc = open_header(t[i].json, t[i].data, &e);
        if (rc != t[i].rc || (rc && (!e.msg[0] || !e.file[0])))
            printf("# %s\n# %d %s\n", t[i].json, rc, e.msg);
        CHECK_INT(rc, t[i].rc);
    }
    static const unsigned char huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0xff, '{',  '}'};
    CHECK_INT(open_bytes(huge, 16, NULL), PF_E_FORMAT);
    CHECK_INT(open_bytes("", 0, NULL), PF_E_FORMAT);
    CHECK_INT(open_bytes("1234567", 7, NULL), PF_E_FORMAT);
    pf_st_file *f;
    CHECK_INT(pf_st_open(&f, "/nonexistent/x", NULL), PF_E_IO);
}

static void test_every_byte(void)
{
    char *good = NULL;
    size_t n = 0;
    pf_err e = PF_ERR_INIT;
    setup();
    CHECK_OK(pf_st_write(path, some, 2, NULL, NULL, PF_WRITE_REPLACE, &e));
    CHECK_OK(pf_read_file(path, 1 << 20, &good, &n, &e));
    for (size_t cut = 0; good && cut < n; cut++)
        CHECK_INT(open_bytes(good, cut, NULL), PF_E_FORMAT);
    for (size_t at = 0; good && at < n; at++) {
        good[at] ^= 0x04; /* may be legal (a name); must be clean */
        int rc = open_bytes(good, n, NULL);
        CHECK(rc == 0 || rc == PF_E_FORMAT);
        good[at] ^= 0x04;
    }
    pf_free(good);
}

static int write_and_read(void)
{
    pf_err e = PF_ERR_INIT;
    pf_st_file *f;
    int rc = pf_st_write(path, some, PF_COUNTOF(some), NULL, NULL,
                         PF_WRITE_REPLACE, &e);
    if (rc == 0)
        rc = pf_st_open(&f, path, &e);
    if (rc == 0)
        pf_st_close(f);
    return rc;
}

static void test_oom(void)
{
    setup();
    OOM_WALK(write_and_read());
}

static void test_clean(void)
{
    char **names = NULL;
    size_t n = 0;
    unlink(path);
    CHECK_OK(pf_list_dir(dir, &names, &n, NULL));
    CHECK_INT(n, 0); /* no temporary was left */
    for (size_t i = 0; i < n; i++)
        pf_free(names[i]);
    pf_free(names);
    rmdir(dir);
}

static const pft_test tests[] = {
    {"round trip", test_round_trip}, {"data from a callback", test_fill},
    {"damaged headers", test_damage}, {"every byte", test_every_byte},
    {"out of memory", test_oom},      {"nothing left behind", test_clean},
};
PF_TEST_MAIN(tests)
