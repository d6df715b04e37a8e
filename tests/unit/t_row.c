/* SPDX-License-Identifier: MIT
 *
 * Rules and keys of rows. */
#include "tests/pftest.h"

#include "base/bytes.h"
#include "data/row.h"

static pf_row pair(const uint32_t *ids, uint32_t p, uint32_t a, uint32_t b)
{
    return (pf_row){.kind = PF_ROW_PAIR, .id_size = 4, .n_branch = 2,
                    .p_len = p, .b_len = {a, b}, .ids = ids};
}

static bool differ(const pf_row *a, const pf_row *b)
{
    pf_hash128 x = pf_row_key(a), y = pf_row_key(b);
    return x.lo != y.lo || x.hi != y.hi;
}

static void t_key_bytes(void)
{
    uint32_t ids[] = {5, 6, 7};
    pf_row r = pair(ids, 1, 1, 1);
    uint8_t b[16 + 6 * 4 + 3 * 4] = {0};
    const uint32_t v[] = {1, 0, 2, 1, 1, 1, 5, 6, 7};
    for (size_t i = 0; i < 9; i++)
        pf_put_u32(b + 16 + 4 * i, v[i]);
    pf_hash128 want = pf_xxh3_128(b, sizeof b, 0), got = pf_row_key(&r);
    CHECK(want.lo == got.lo && want.hi == got.hi);
}

static void t_key_content(void)
{
    uint32_t ids[] = {5, 6, 7, 8};
    uint16_t narrow[] = {5, 6, 7, 8};
    pf_row r = pair(ids, 1, 2, 1), o = r;
    o.row_id = 9;
    o.flags = 3;
    o.has_ref = true;
    o.label = true; /* means nothing in a pair */
    CHECK(!differ(&r, &o));
    o.ids = narrow;
    o.id_size = 2;
    CHECK(!differ(&r, &o));
    o = pair(ids, 1, 1, 2);
    CHECK(differ(&r, &o));
    o = pair(ids, 2, 1, 1);
    CHECK(differ(&r, &o));
    uint32_t other[] = {5, 6, 7, 9};
    o = pair(other, 1, 2, 1);
    CHECK(differ(&r, &o));
    pf_row u = {.kind = PF_ROW_UNPAIRED, .id_size = 4, .n_branch = 1,
                .p_len = 1, .b_len = {3}, .ids = ids}, l = u;
    l.label = true;
    CHECK(differ(&u, &l));
}

static void t_key_mask(void)
{
    uint32_t ids[] = {1, 2, 3};
    uint8_t full = 0x07, noisy = 0xff, part = 0x03;
    pf_row r = {.kind = PF_ROW_SEQ, .id_size = 4, .n_branch = 1,
                .b_len = {3}, .ids = ids}, o = r;
    o.mask = &full;
    CHECK(!differ(&r, &o)); /* no mask: all tokens */
    o.mask = &noisy;
    CHECK(!differ(&r, &o)); /* bits past the row do not count */
    o.mask = &part;
    CHECK(differ(&r, &o));
}

/* Every id of a row of several pieces counts, and its place. */
static void t_key_long(void)
{
    enum { N = 5000 };
    static uint32_t ids[N];
    pf_row r = {.kind = PF_ROW_SEQ, .id_size = 4, .n_branch = 1,
                .b_len = {N}, .ids = ids};
    pf_hash128 base = pf_row_key(&r);
    for (uint32_t i = 0; i < N; i += 7) {
        ids[i] = 1;
        pf_hash128 k = pf_row_key(&r);
        CHECK(k.lo != base.lo && k.hi != base.hi);
        ids[i] = 0;
    }
    r.b_len[0] = N - 1;
    pf_hash128 k = pf_row_key(&r);
    CHECK(k.lo != base.lo);
}

static void t_check(void)
{
    uint32_t ids[200];
    uint16_t narrow[200];
    for (uint32_t i = 0; i < 200; i++)
        narrow[i] = (uint16_t)(ids[i] = i);
    pf_row r = pair(ids, 100, 50, 50);
    CHECK_INT(pf_row_check(&r, 200, NULL), 0);
    CHECK_INT(pf_row_check(&r, 199, NULL), PF_E_FORMAT);
    r.ids = narrow;
    r.id_size = 2;
    CHECK_INT(pf_row_check(&r, 200, NULL), 0);
    CHECK_INT(pf_row_check(&r, 199, NULL), PF_E_FORMAT);
    CHECK_INT(pf_row_check(&r, 65536, NULL), 0);
    r = pair(ids, 0, 1, 1);
    CHECK_INT(pf_row_check(&r, 200, NULL), PF_E_FORMAT);
    r = pair(ids, 1, 0, 1);
    CHECK_INT(pf_row_check(&r, 200, NULL), PF_E_FORMAT);
    r = pair(ids, 1, 1, 1);
    r.n_branch = 3;
    CHECK_INT(pf_row_check(&r, 200, NULL), PF_E_FORMAT);
    r = pair(ids, 1, UINT32_MAX, UINT32_MAX);
    CHECK_INT(pf_row_check(&r, 200, NULL), PF_E_LIMIT);
    r = pair(ids, 1, 1, 1);
    r.has_ref = true;
    r.ref_sum[1] = NAN;
    CHECK_INT(pf_row_check(&r, 200, NULL), PF_E_FORMAT);
    r.id_size = 3;
    CHECK_INT(pf_row_check(&r, 200, NULL), PF_E_FORMAT);
    r.kind = (pf_row_kind)7;
    CHECK_INT(pf_row_check(&r, 200, NULL), PF_E_FORMAT);
}

static void t_kinds(void)
{
    pf_row_kind k;
    CHECK(pf_row_kind_parse("unpaired", &k) && k == PF_ROW_UNPAIRED);
    CHECK(!pf_row_kind_parse("pairs", &k));
    CHECK_STR(pf_row_kind_name(PF_ROW_SEQ), "seq");
}

static const pft_test tests[] = {
    {"the bytes of a key", t_key_bytes},
    {"what a key covers", t_key_content},
    {"masks in keys", t_key_mask},
    {"long rows", t_key_long},
    {"rules", t_check},
    {"names of kinds", t_kinds},
};
PF_TEST_MAIN(tests)
