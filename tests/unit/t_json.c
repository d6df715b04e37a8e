/* SPDX-License-Identifier: MIT
 *
 * JSON reader and writer: what is accepted, what is refused and where, access
 * to values. The CPU tiers against one another are in t_json_tiers. */
#include "base/cpu.h"
#include "base/json.h"
#include "tests/pftest.h"

static pf_json *doc;

/* Parses n bytes held in a block of exactly that size, so that ASan sees any
 * read behind it. */
static int parse(const char *s, size_t n, pf_jval *root, pf_err *e)
{
    static char *held;
    free(held);
    held = malloc(n ? n : 1);
    memcpy(held, s, n);
    if (!doc && !(doc = pf_json_new()))
        return PF_E_LIMIT;
    return pf_json_parse(doc, (pf_slice){held, n}, root, e);
}

static pf_jval root_of(const char *s)
{
    pf_jval v;
    CHECK_OK(parse(s, strlen(s), &v, NULL));
    return v;
}

static void accept_all(void)
{
    static const char *const good[] = {
        "null", "true", "false", "0", "-0", "-1.5e-7", "1E+2", "1e400", "0e1",
        "123456789012345678901234567890123456789012345678901234567890",
        "-0.0000000000000000000000000000000000000000000000000000000000001",
        "\"\"", "\"a\"", "[]", "{}", " [ ] ", "\t{\n}\r ", "[[],{}]",
        "[1,2 , 3\n,4]", "{\"a\":1}", "{ \"a\" : [ 1 ] , \"b\" : { } }",
        "{\"\":0}", "{\"a\":1,\"a\":2}", "[\"\\u0000\"]", "\"\\u0020\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\uD834\\uDd1e\"", "\"\x7f\"",
        "\"\\uFFFE\\uffff\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\"", "[null,true,false]",
        "\"\\u0022\\u005c\"", "[0.1,-0.1,1.0e10,20E-3]",
    };
    for (size_t i = 0; i < PF_COUNTOF(good); i++) {
        pf_jval v;
        if (parse(good[i], strlen(good[i]), &v, NULL) != 0) {
            printf("# refused: %s\n", good[i]);
            CHECK(!"accepted");
        }
    }
}

static void reject_all(void)
{
    static const struct {
        const char *text;
        int at;
    } bad[] = {
        {"", 0}, {" ", 1}, {"nul", 0}, {"nulll", 4}, {"True", 0}, {"NaN", 0},
        {"Infinity", 0}, {"-Infinity", 1}, {"-", 1}, {"+1", 0}, {"01", 1},
        {"-01", 2}, {"1.", 2}, {".5", 0}, {"1.e3", 2}, {"1e", 2}, {"1e+", 3},
        {"0x10", 1}, {"1 2", 2}, {"[", 1}, {"]", 0}, {"[1", 2}, {"[1,", 3},
        {"[1,]", 3}, {"[,1]", 1}, {"[1 2]", 3}, {"[1}", 2}, {"{", 1},
        {"{]", 1}, {"{1:2}", 1}, {"{\"a\"", 4}, {"{\"a\"}", 4},
        {"{\"a\":", 5}, {"{\"a\":}", 5}, {"{\"a\":1", 6}, {"{\"a\":1,", 7},
        {"{\"a\":1,}", 7}, {"{\"a\":1]", 6}, {"{a:1}", 1}, {"{'a':1}", 1},
        {"{\"a\" 1}", 5}, {"{\"a\"::1}", 5}, {"{,}", 1}, {"[1]]", 3},
        {"{}{}", 2}, {"[1]x", 3}, {"//\n1", 0}, {"[1/**/]", 2}, {"'a'", 0},
        {"\"", 1}, {"\"abc", 4}, {"\"\\", 1}, {"\"\\x41\"", 1},
        {"\"\\u12\"", 1}, {"\"\\u12G4\"", 1}, {"\"\\uD800\"", 1},
        {"\"\\uDC00\"", 1}, {"\"\\uD800\\u0041\"", 1}, {"\"\\uD800\\n\"", 1},
        {"\"\\uD800\\uD800\"", 1}, {"\"ab\\U0041\"", 3}, {"\"\\a\"", 1},
        {"\"a\nb\"", 2}, {"\"\t\"", 1}, {"\"\x1f\"", 1}, {"[\"a\x01\"]", 3},
        {"\"\\n\x02\"", 3}, {"\"\x80\"", 1}, {"\"a\xc3\"", 2},
        {"\"\xc0\xaf\"", 1}, {"\"\xed\xa0\x80\"", 1}, {"\"\xff\"", 1},
        {"\"\xf4\x90\x80\x80\"", 1}, {"\"\xe2\x82\"", 1},
        {"\"\\n\xe2\x82\"", 3}, {"\"\xf0\x80\x80\x80\"", 1}, {"\xc3\xa9", 0},
        {"[\xc3\xa9]", 1}, {"\xef\xbb\xbf{}", 0}, {"\f1", 0}, {"\v1", 0},
        {"\xc2\xa0[]", 0}, {"[1]\xe2\x80\xa8", 3}, {"\"\xc3 and then", 1},
        {"{\"a\":tru}", 5}, {"[-]", 2}, {"[1.5.5]", 4}, {"[1-2]", 2},
        {"{\"\xe9\":1}", 2}, {"{\"a\":1 \"b\":2}", 7},
        {"\"0123456789012345678901234567890123456789012345678901234567890"
         "123456789\x03\"", 71},
    };
    for (size_t i = 0; i < PF_COUNTOF(bad); i++) {
        pf_err e = PF_ERR_INIT;
        pf_jval v;
        int rc = parse(bad[i].text, strlen(bad[i].text), &v, &e);
        if (rc != PF_E_FORMAT || e.byte != bad[i].at || v.doc) {
            printf("# %s: code %d, byte %lld: %s\n", bad[i].text, rc,
                   (long long)e.byte, e.msg);
            CHECK(!"refused in place");
        }
    }
    pf_jval v;
    CHECK_INT(parse("[0\0]", 4, &v, NULL), PF_E_FORMAT);
    CHECK_INT(parse("\"a\0\"", 4, &v, NULL), PF_E_FORMAT);
    CHECK_INT(parse("1\0", 2, &v, NULL), PF_E_FORMAT);
}

static void on_each_tier(void (*fn)(void))
{
    for (int tier = PF_CPU_PORTABLE; tier <= PF_CPU_AVX512; tier++) {
        pf_cpu_cap((pf_cpu)tier);
        fn();
    }
}

static void test_accept(void)
{
    on_each_tier(accept_all);
}

static void test_reject(void)
{
    on_each_tier(reject_all);
}

static void test_depth(void)
{
    char text[8000];
    for (int mixed = 0; mixed < 2; mixed++) {
        for (size_t depth = 1023; depth <= 1025; depth++) {
            size_t n = 0;
            for (size_t i = 0; i < depth; i++) {
                bool object = mixed && i % 2;
                memcpy(text + n, object ? "{\"\":" : "[", object ? 4 : 1);
                n += object ? 4 : 1;
            }
            text[n++] = '1';
            for (size_t i = depth; i-- > 0;)
                text[n++] = mixed && i % 2 ? '}' : ']';
            pf_jval v;
            CHECK_INT(parse(text, n, &v, NULL),
                      depth <= 1024 ? 0 : PF_E_FORMAT);
        }
    }
}

static void test_access(void)
{
    pf_jval r = root_of("{\"s\": \"a\\u00e9\\n\", \"n\":[1, -2.5,1e3],\n"
                        " \"o\":{\"x\":null,\"y\":true,\"\\u007a\":false},"
                        "\"big\":9223372036854775808,\"e\":[],\"nul\":\""
                        "\\u0000\"}");
    CHECK_INT(pf_jtype(r), PF_JSON_OBJECT);
    CHECK_INT(pf_jcount(r), 6);
    CHECK(pf_slice_is(pf_jstr(pf_jget(r, "s")), "a\xc3\xa9\n"));
    CHECK(pf_slice_is(pf_jraw(pf_jget(r, "s")), "\"a\\u00e9\\n\""));
    CHECK_INT(pf_joffset(pf_jget(r, "s")), 6);
    pf_jval n = pf_jget(r, "n");
    CHECK(pf_slice_is(pf_jraw(n), "[1, -2.5,1e3]"));
    CHECK_INT(pf_jcount(n), 3);
    int64_t i = 0;
    double d = 0;
    pf_jiter it = pf_jiter_of(n);
    CHECK(pf_jiter_next(&it) && pf_ji64(it.value, &i) && i == 1);
    CHECK(pf_jiter_next(&it) && !pf_ji64(it.value, &i));
    CHECK(pf_jf64(it.value, &d) && d == -2.5);
    CHECK(pf_jiter_next(&it) && !pf_ji64(it.value, &i));
    CHECK(pf_jf64(it.value, &d) && d == 1000);
    CHECK(!it.key.p && !pf_jiter_next(&it));
    pf_jval o = pf_jget(r, "o");
    CHECK_STR(pf_jtype_name(pf_jget(o, "x")), "null");
    CHECK(pf_jbool(pf_jget(o, "y"), false));
    CHECK(!pf_jbool(pf_jget(o, "z"), true));
    CHECK(pf_jbool(pf_jget(o, "w"), true));
    it = pf_jiter_of(o);
    CHECK(pf_jiter_next(&it) && pf_slice_is(it.key, "x"));
    CHECK(!pf_ji64(pf_jget(r, "big"), &i) && pf_jf64(pf_jget(r, "big"), &d));
    CHECK(d == 9223372036854775808.0);
    CHECK(pf_slice_is(pf_jraw(pf_jget(r, "big")), "9223372036854775808"));
    it = pf_jiter_of(pf_jget(r, "e"));
    CHECK(!pf_jiter_next(&it));
    CHECK_INT(pf_jstr(pf_jget(r, "nul")).n, 1);
    CHECK(pf_ji64(root_of("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(!pf_ji64(root_of("-9223372036854775809"), &i));
}

static void test_nothing(void)
{
    pf_jval list = root_of("[1]"), none = pf_jget(list, "x");
    int64_t i;
    double d;
    CHECK_INT(pf_jtype(none), PF_JSON_NONE);
    CHECK_STR(pf_jtype_name(none), "nothing");
    CHECK(!pf_jstr(none).p && !pf_jraw(none).p && pf_jcount(none) == 0);
    CHECK(!pf_ji64(none, &i) && !pf_jf64(none, &d) && pf_joffset(none) == 0);
    CHECK_INT(pf_jtype(pf_jget(none, "x")), PF_JSON_NONE);
    pf_jiter it = pf_jiter_of(none);
    CHECK(!pf_jiter_next(&it));
    CHECK(!pf_jstr(list).p && !pf_ji64(list, &i));
}

static void test_duplicates(void)
{
    int64_t x = 0;
    pf_jval r = root_of("{\"a\":1,\"b\":{\"c\":0,\"c\":0},\"\\u0061\":3,"
                        "\"a\":[4,{}]}");
    CHECK_INT(pf_json_duplicates(doc), 3);
    CHECK_INT(pf_jtype(pf_jget(r, "a")), PF_JSON_ARRAY);
    CHECK_INT(pf_jcount(r), 4);
    root_of("{\"a\":1,\"b\":2}");
    CHECK_INT(pf_json_duplicates(doc), 0);
    pf_buf b = {0};
    for (int n = 10; n < 600; n += n < 16 ? 1 : 37) {
        pf_buf_clear(&b);
        pf_jw w = {.out = &b};
        pf_jw_obj(&w);
        for (int i = 0; i < n; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", i % (n - 3));
            pf_jw_key(&w, key);
            pf_jw_i64(&w, i);
        }
        pf_jw_end(&w, '}');
        r = root_of(b.p);
        CHECK_INT(pf_json_duplicates(doc), 3);
        CHECK(pf_ji64(pf_jget(r, "k0"), &x) && x == n - 3);
    }
    pf_buf_release(&b);
}

/* -------------------------------------------------------------- writer -- */

static void test_writer(void)
{
    pf_buf b = {0};
    pf_jw w = {.out = &b};
    pf_jw_obj(&w);
    pf_jw_key(&w, "a\"\\\n");
    pf_jw_arr(&w);
    pf_jw_i64(&w, INT64_MIN);
    pf_jw_u64(&w, UINT64_MAX);
    pf_jw_i64(&w, 0);
    pf_jw_f64(&w, 0.1);
    pf_jw_f32(&w, 0.1f);
    pf_jw_f64(&w, NAN);
    pf_jw_end(&w, ']');
    pf_jw_key(&w, "b");
    pf_jw_obj(&w);
    pf_jw_end(&w, '}');
    pf_jw_key_s(&w, PF_LIT("c"));
    pf_jw_cstr(&w, "\x01\x1f\x7f/\b\f\r\t\xc3\xa9");
    pf_jw_key(&w, "d");
    pf_jw_raw(&w, PF_LIT("[1, 2]"));
    pf_jw_key(&w, "e");
    pf_jw_bool(&w, true);
    pf_jw_key(&w, "f");
    pf_jw_null(&w);
    pf_jw_end(&w, '}');
    CHECK_STR(b.p, "{\"a\\\"\\\\\\n\":[-9223372036854775808,"
                   "18446744073709551615,0,0.1,0.1,null],\"b\":{},"
                   "\"c\":\"\\u0001\\u001f\x7f/\\b\\f\\r\\t\xc3\xa9\","
                   "\"d\":[1, 2],\"e\":true,\"f\":null}");
    pf_buf_clear(&b);
    w = (pf_jw){.out = &b};
    for (int i = 0; i < 64; i++)
        pf_jw_arr(&w);
    for (int i = 0; i < 64; i++)
        pf_jw_end(&w, ']');
    pf_jw_i64(&w, 1);
    CHECK_INT(b.n, 129);
    pf_buf_release(&b);
}

static void test_canonical(void)
{
    pf_buf b = {0};
    pf_err e = PF_ERR_INIT;
    CHECK_OK(pf_json_canonical(root_of(" {\"b\" : [1 , 2.50,{} ,[]], \"\\u0061"
                                       "\":\"\\u00e9\\/\",\"ab\":{\"z\":null,"
                                       "\"y\":true}, \"\":false} "),
                               &b, &e));
    CHECK_STR(b.p, "{\"\":false,\"a\":\"\xc3\xa9/\",\"ab\":{\"y\":true,"
                   "\"z\":null},\"b\":[1,2.50,{},[]]}");
    pf_buf_clear(&b);
    CHECK_INT(pf_json_canonical(root_of("{\"a\":{\"x\":1,\"x\":12}}"), &b, &e),
              PF_E_FORMAT);
    CHECK(e.byte == 10 || e.byte == 16);
    pf_buf_release(&b);
}

static int all_of_it(void)
{
    pf_err e = PF_ERR_INIT;
    pf_jval v;
    pf_buf b = {0};
    pf_json *j = pf_json_new();
    int rc = j ? pf_json_parse(j, PF_LIT("[{\"a\\n\":1,\"b\":[2,3,4,5,6,7,8],"
                                         "\"c\":0,\"d\":0,\"e\":0,\"f\":0,"
                                         "\"g\":0,\"h\":0,\"i\":0,\"j\":0,"
                                         "\"k\":0,\"l\":0,\"m\":0,\"n\":0}]"),
                               &v, &e)
               : PF_E_LIMIT;
    if (rc == 0)
        rc = pf_json_canonical(v, &b, &e);
    pf_buf_release(&b);
    pf_json_free(j);
    return rc;
}

static void test_oom(void)
{
    OOM_WALK(all_of_it());
}

static const pft_test tests[] = {
    {"legal texts", test_accept},
    {"illegal texts, each at its byte", test_reject},
    {"depth limit", test_depth},
    {"access", test_access},
    {"nothing", test_nothing},
    {"duplicate keys", test_duplicates},
    {"writer", test_writer},
    {"canonical form", test_canonical},
    {"out of memory", test_oom},
};
PF_TEST_MAIN(tests)
