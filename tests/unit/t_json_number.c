/* SPDX-License-Identifier: MIT
 *
 * Numbers in both directions: against the C library, on random bit patterns,
 * and the table of powers of ten against long integer arithmetic. */
#include "base/bytes.h"
#include "base/json.h"
#include "base/json_int.h"
#include "base/rng.h"
#include "tests/pftest.h"

static double read_f64(const char *s)
{
    return pf_json_to_f64(pf_slice_of(s));
}

static void test_read(void)
{
    /* Halfway cases, the edges of the range, what makes digits drop. */
    static const char *const text[] = {
        "0", "-0", "0.0e5", "1", "9007199254740993", "9007199254740992.9",
        "9007199254740993.00000000000000000000000000000000000000000000001",
        "1e22", "1e23", "8.5e22", "123456789e-30", "1e308", "1e309",
        "1.7976931348623158e308", "1.797693134862315807e308", "4.9e-324",
        "2.4703282292062327e-324", "2.4703282292062328e-324", "1e-400",
        "2.2250738585072011e-308", "2.2250738585072014e-308", "-1e-5",
        "0.000000000000000000000000000000000000000000000000000000000001e60",
        "1000000000000000000000000000000000000000000000000000000000000e-60",
        "18446744073709551615", "18446744073709551616", "0.1e1", "5e-1",
        "1e99999999999999999999", "1e-99999999999999999999",
        "0e99999999999999999999", "-1.5E+3", "6.02214076e23", "1.0000e2",
    };
    for (size_t i = 0; i < PF_COUNTOF(text); i++) {
        double got = read_f64(text[i]), want = strtod(text[i], NULL);
        if (memcmp(&got, &want, 8) != 0) {
            printf("# %s: %a, want %a\n", text[i], got, want);
            CHECK(!"equal to strtod");
        }
    }
    /* 2^-1074 / 2 exactly, then a hair above it far behind digit 800. */
    char exact[2048];
    int n = snprintf(exact, sizeof exact, "%.1075f", 0x1p-1074);
    CHECK(read_f64(exact) == 0x1p-1074);
    n = snprintf(exact, sizeof exact, "%.1074f", 0x1p-1023);
    memset(exact + n, '0', 200);
    memcpy(exact + n + 200, "1", 2);
    CHECK(read_f64(exact) == 0x1p-1023);
}

/* Exactly halfway between 1 and its successor, then more after 900 zeros. */
static void test_sticky(void)
{
    char s[1200] = "1.00000000000000011102230246251565404236316680908203125";
    CHECK(read_f64(s) == 1);
    size_t n = strlen(s);
    memset(s + n, '0', 900);
    CHECK(read_f64(s) == 1);
    memcpy(s + n + 900, "1", 2);
    CHECK(read_f64(s) == 1 + 0x1p-52);
}

static void test_text(void)
{
    static const struct {
        double v;
        const char *text;
    } t[] = {
        {0, "0.0"}, {-0.0, "-0.0"}, {1, "1.0"}, {-1.5, "-1.5"}, {0.1, "0.1"},
        {100, "100.0"}, {1e15, "1000000000000000.0"}, {1e16, "1e+16"},
        {123456789012345680, "1.2345678901234568e+17"}, {1e-4, "0.0001"},
        {9007199254740993, "9007199254740992.0"}, {1e-5, "1e-05"},
        {0.00012345, "0.00012345"}, {1.5e-7, "1.5e-07"}, {1e23, "1e+23"},
        {5e-324, "5e-324"}, {1.7976931348623157e308, "1.7976931348623157e+308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"}, {0.3, "0.3"},
        {0.1 + 0.2, "0.30000000000000004"}, {INFINITY, "null"}, {NAN, "null"},
        {9.5367431640625e-07, "9.5367431640625e-07"}, {2e100, "2e+100"},
    };
    char buf[32];
    for (size_t i = 0; i < PF_COUNTOF(t); i++) {
        int n = pf_f64_text(t[i].v, buf);
        CHECK_STR(buf, t[i].text);
        CHECK_INT(n, strlen(buf));
    }
    pf_f32_text(0.1f, buf);
    CHECK_STR(buf, "0.1");
    pf_f32_text(16777216.0f, buf);
    CHECK_STR(buf, "16777216.0");
    pf_f32_text(0x1p-149f, buf);
    CHECK_STR(buf, "1e-45");
    pf_f32_text(3.4028235e38f, buf);
    CHECK_STR(buf, "3.4028235e+38");
    pf_f32_text(-INFINITY, buf);
    CHECK_STR(buf, "null");
}

/* Number of significant digits of a text. */
static int digits(const char *s)
{
    int n = 0, zeros = 0;
    for (; *s && *s != 'e'; s++) {
        if (*s < '0' || *s > '9' || (n == 0 && *s == '0'))
            continue;
        zeros = *s == '0' ? zeros + 1 : 0;
        n++;
    }
    return n - zeros;
}

/* No shorter text reads back; printf tries one digit less. */
static void check_f64(uint64_t bits)
{
    double v, strtod_v, our_v;
    char buf[32], less[40];
    memcpy(&v, &bits, sizeof v);
    if (!isfinite(v))
        return;
    int n = pf_f64_text(v, buf), k = digits(buf);
    strtod_v = strtod(buf, NULL);
    our_v = pf_json_to_f64((pf_slice){buf, (size_t)n});
    CHECK(memcmp(&strtod_v, &v, 8) == 0 && memcmp(&our_v, &v, 8) == 0);
    CHECK(n <= 24 && k <= 17);
    if (k > 1) {
        snprintf(less, sizeof less, "%.*e", k - 2, v);
        CHECK(strtod(less, NULL) != v);
    }
}

static void check_f32(uint32_t bits)
{
    float v = pf_bits_f32(bits);
    char buf[32], less[40];
    if (!isfinite(v))
        return;
    pf_f32_text(v, buf);
    int k = digits(buf);
    CHECK(pf_f32_bits(strtof(buf, NULL)) == bits && k <= 9);
    if (k > 1) {
        snprintf(less, sizeof less, "%.*e", k - 2, v);
        CHECK(strtof(less, NULL) != v);
    }
}

static void test_round_trip(void)
{
    for (uint64_t i = 0; i < 60000; i++) {
        uint64_t u = pf_rand_u64(1, 0, i);
        check_f64(u);
        check_f32((uint32_t)(u >> 32));
        double metric = pf_rand_f64(1, 1, i);
        memcpy(&u, &metric, sizeof u);
        check_f64(u);
    }
    for (uint64_t exp = 0; exp < 2047; exp++) { /* both sides of powers of 2 */
        check_f64(exp << 52);
        check_f64((exp << 52) + 1);
        check_f64((exp << 52) - (exp > 0));
    }
    for (uint32_t exp = 0; exp < 255; exp++) {
        check_f32(exp << 23);
        check_f32((exp << 23) + 1);
        check_f32((exp << 23) - (exp > 0));
    }
}

/* A long integer, 32 bits a limb, lowest first. */
typedef struct big {
    uint32_t limb[72];
} big;

static void big_mul(big *x, uint32_t m)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < PF_COUNTOF(x->limb); i++) {
        carry += (uint64_t)x->limb[i] * m;
        x->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void big_div(big *x, uint32_t d)
{
    uint64_t rest = 0;
    for (size_t i = PF_COUNTOF(x->limb); i-- > 0;) {
        rest = rest << 32 | x->limb[i];
        x->limb[i] = (uint32_t)(rest / d);
        rest %= d;
    }
}

/* The entry for the top 128 bits of x: floor + 1. */
static pf_pow10 top_bits(const big *x)
{
    int top = (int)PF_COUNTOF(x->limb) * 32 - 1;
    while (!(x->limb[top / 32] >> top % 32 & 1))
        top--;
    pf_u128 v = 0;
    for (int bit = top; bit > top - 128; bit--)
        v = v << 1 | (bit >= 0 ? x->limb[bit / 32] >> bit % 32 & 1 : 0);
    v++;
    return (pf_pow10){(uint64_t)(v >> 64), (uint64_t)v};
}

static void test_table(void)
{
    int bad = 0;
    big up = {{1}};
    for (int k = 0; k <= PF_POW10_MAX; k++) {
        pf_pow10 want = top_bits(&up), got = pf_pow10_table[k - PF_POW10_MIN];
        bad += want.hi != got.hi || want.lo != got.lo;
        big_mul(&up, 10);
    }
    /* floor(2^N / 10^k) divided step by step is the exact floor; it keeps
     * far more than 128 bits for every k here. */
    big down = {{0}};
    down.limb[PF_COUNTOF(down.limb) - 1] = 1u << 31;
    for (int k = -1; k >= PF_POW10_MIN; k--) {
        big_div(&down, 10);
        pf_pow10 want = top_bits(&down), got = pf_pow10_table[k - PF_POW10_MIN];
        bad += want.hi != got.hi || want.lo != got.lo;
    }
    CHECK_INT(bad, 0);
}

static const pft_test tests[] = {
    {"reading", test_read},
    {"digits far behind", test_sticky},
    {"texts", test_text},
    {"shortest round trip", test_round_trip},
    {"powers of ten", test_table},
};
PF_TEST_MAIN(tests)
