/* SPDX-License-Identifier: MIT
 *
 * Identities: order, canonical form, differences. */
#include "tests/pftest.h"

#include "data/identity.h"

static void t_json(void)
{
    pf_err e = PF_ERR_INIT;
    pf_ident a = {0}, b = {0};
    pf_buf out = {0};
    CHECK_OK(pf_ident_set(&a, "b.x", "2", &e));
    CHECK_OK(pf_ident_set(&a, "a", "old", &e));
    CHECK_OK(pf_ident_set(&a, "a", "q\"uote", &e));
    CHECK_OK(pf_ident_setf(&a, &e, "b", "%d", 7));
    CHECK_OK(pf_ident_json(&a, &out, &e));
    CHECK_STR(out.p, "{\"a\":\"q\\\"uote\",\"b\":\"7\",\"b.x\":\"2\"}");
    pf_json *j = pf_json_new();
    pf_jval v;
    CHECK_OK(pf_json_parse(j, pf_buf_slice(&out), &v, &e));
    CHECK_OK(pf_ident_of_json(&b, v, &e));
    CHECK_INT(pf_ident_diff(&a, &b, NULL, NULL), 0);
    uint8_t x[32], y[32];
    CHECK_OK(pf_ident_digest(&a, x, &e));
    CHECK_OK(pf_ident_digest(&b, y, &e));
    CHECK(memcmp(x, y, 32) == 0);
    CHECK_OK(pf_ident_set(&b, "b", "8", &e));
    CHECK_OK(pf_ident_digest(&b, y, &e));
    CHECK(memcmp(x, y, 32) != 0);
    static const char *const bad[] = {"[]", "{\"a\":1}",
                                      "{\"a\":\"1\",\"a\":\"1\"}",
                                      "{\"a\\u0000\":\"1\"}", "null"};
    for (size_t i = 0; i < PF_COUNTOF(bad); i++) {
        CHECK_OK(pf_json_parse(j, pf_slice_of(bad[i]), &v, &e));
        CHECK_INT(pf_ident_of_json(&b, v, NULL), PF_E_FORMAT);
        CHECK_INT(b.n, 0);
    }
    pf_json_free(j);
    pf_buf_release(&out);
    pf_ident_release(&a);
    pf_ident_release(&b);
}

static void t_long_value(void)
{
    pf_err e = PF_ERR_INIT;
    pf_ident a = {0};
    char text[1000];
    memset(text, 'x', 999);
    text[999] = 0;
    CHECK_OK(pf_ident_setf(&a, &e, "k", "%s", text));
    CHECK_STR(pf_ident_get(&a, "k"), text);
    CHECK(pf_ident_get(&a, "kk") == NULL);
    pf_ident_release(&a);
}

static void t_require(void)
{
    pf_err e = PF_ERR_INIT;
    pf_ident a = {0}, b = {0};
    CHECK_OK(pf_ident_set(&a, "dtype", "f32", &e));
    CHECK_OK(pf_ident_set(&a, "model.weights", "1111", &e));
    CHECK_OK(pf_ident_set(&b, "model.weights", "1111", &e));
    CHECK_INT(pf_ident_require(&a, &b, "references", &e), PF_E_IDENTITY);
    CHECK_STR(e.msg, "references do not match: dtype is absent, want f32");
    pf_err_clear(&e);
    CHECK_OK(pf_ident_set(&b, "dtype", "bf16", &e));
    CHECK_OK(pf_ident_set(&b, "model.weights", "2222", &e));
    CHECK_INT(pf_ident_require(&a, &b, "references", &e), PF_E_IDENTITY);
    CHECK_STR(e.msg, "references do not match: dtype is bf16, want f32; "
                     "model.weights is 2222, want 1111");
    pf_err_clear(&e);
    CHECK_OK(pf_ident_require(&a, &a, "references", &e));
    pf_ident_release(&a);
    pf_ident_release(&b);
}

static void t_set_hash(void)
{
    uint8_t recipe[32] = {1}, all[32 + 32] = {1}, got[32], want[32];
    pf_set_hash h;
    pf_set_hash_init(&h, recipe);
    pf_set_hash_add(&h, (pf_hash128){.lo = 0x0201, .hi = 0x03});
    pf_set_hash_add(&h, (pf_hash128){.lo = 5, .hi = 0});
    pf_set_hash_final(&h, got);
    all[32] = 1, all[33] = 2, all[40] = 3, all[48] = 5;
    pf_sha256_of(all, sizeof all, want);
    CHECK(memcmp(got, want, 32) == 0);
}

static int walk(void)
{
    pf_err e = PF_ERR_INIT;
    pf_ident a = {0}, b = {0};
    uint8_t x[32];
    pf_json *j = pf_json_new();
    pf_jval v;
    int rc = j ? pf_json_parse(j, PF_LIT("{\"a\":\"1\",\"b\":\"2\"}"), &v, &e)
               : PF_E_LIMIT;
    if (rc == 0)
        rc = pf_ident_of_json(&a, v, &e);
    if (rc == 0)
        rc = pf_ident_setf(&a, &e, "k", "%300d", 1);
    if (rc == 0)
        rc = pf_ident_digest(&a, x, &e);
    pf_json_free(j);
    pf_ident_release(&a);
    pf_ident_release(&b);
    return rc;
}

static void t_oom(void)
{
    OOM_WALK(walk());
}

static const pft_test tests[] = {
    {"canonical JSON", t_json},
    {"long values", t_long_value},
    {"differences", t_require},
    {"set_id", t_set_hash},
    {"every allocation fails once", t_oom},
};
PF_TEST_MAIN(tests)
