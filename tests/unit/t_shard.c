/* SPDX-License-Identifier: MIT
 *
 * The container: what is written is read back, from streams and from sets. */
#include "tests/pftest.h"

#include <stdio.h>

#include "shard_fixture.h"

static const struct {
    pf_row_kind kind;
    uint32_t vocab, refs;
} cases[] = {
    {PF_ROW_PAIR, 500, 0},      {PF_ROW_PAIR, 65536, 1},
    {PF_ROW_PAIR, 65537, 2},    {PF_ROW_SEQ, 500, 0},
    {PF_ROW_SEQ, 100000, 0},    {PF_ROW_UNPAIRED, 500, 1},
    {PF_ROW_UNPAIRED, 70000, 0},
};

static void check_err(int rc, const pf_err *e)
{
    char buf[600];
    if (rc < 0)
        printf("# %s\n", pf_err_text(e, buf, sizeof buf));
}

static void read_back(const char *path, pf_row_kind kind, uint32_t vocab,
                      uint32_t n, uint32_t refs, uint32_t max_chunk)
{
    pf_err e = PF_ERR_INIT;
    pf_rows_in *in = NULL;
    const pf_chunk *c;
    uint64_t at = 0;
    int rc = pf_rows_in_open(&in, path, &e);
    check_err(rc, &e);
    CHECK_INT(rc, 0);
    if (rc < 0)
        return;
    const pf_rows_head *h = pf_rows_in_head(in);
    CHECK_INT(h->kind, kind);
    CHECK_INT(h->vocab, vocab);
    CHECK_STR(h->tokenizer_json, "{\"version\":\"1.0\"}");
    CHECK_STR(h->chat_template, "{{ messages }}");
    CHECK(h->tokenizer_config == NULL);
    CHECK(h->provenance != NULL);
    CHECK_STR(pf_ident_get(&h->recipe, "max_length"), "512");
    while ((rc = pf_rows_in_next(in, &c, &e)) == 1) {
        CHECK(pf_chunk_rows(c) <= max_chunk);
        CHECK_INT(pf_chunk_refs(c), refs);
        for (uint32_t i = 0; i < pf_chunk_rows(c); i++, at++) {
            pf_row r;
            pf_row_ref ref;
            pf_chunk_row(c, i, &r);
            CHECK(fx_same(&r, kind, vocab, at));
            for (uint32_t k = 0; k < refs; k++) {
                pf_chunk_row_ref(c, i, k, &ref);
                CHECK(fx_same_ref(&ref, kind, vocab, at));
            }
        }
    }
    check_err(rc, &e);
    CHECK_INT(rc, 0);
    CHECK_INT(at, n);
    CHECK_INT(pf_rows_in_total(in)->rows, n);
    CHECK_INT(pf_rows_in_total(in)->tally.in, n + 1);
    CHECK_INT(pf_rows_in_total(in)->tally.count[PF_REASON_TOO_LONG], 1);
    pf_rows_in_close(in);
}

static void t_stream(void)
{
    for (size_t i = 0; i < PF_COUNTOF(cases); i++) {
        pf_err e = PF_ERR_INIT;
        const char *path = fx_path("s.prf");
        int rc = fx_write_file(path, cases[i].kind, cases[i].vocab, 2500,
                               cases[i].refs, &e);
        check_err(rc, &e);
        CHECK_INT(rc, 0);
        read_back(path, cases[i].kind, cases[i].vocab, 2500, cases[i].refs,
                  1024);
    }
}

static void t_set(void)
{
    for (size_t i = 0; i < PF_COUNTOF(cases); i++) {
        pf_err e = PF_ERR_INIT;
        const char *dir = fx_path("set");
        pf_rows_total total;
        pf_rows_out_opts o = {.dir = dir, .shard_rows = 1000,
                              .replace = i > 0};
        int rc = fx_write(&o, cases[i].kind, cases[i].vocab, 2500,
                          cases[i].refs, &total, &e);
        check_err(rc, &e);
        CHECK_INT(rc, 0);
        CHECK_INT(total.rows, 2500);
        read_back(dir, cases[i].kind, cases[i].vocab, 2500, cases[i].refs,
                  1000);
        pf_set *s = NULL;
        rc = pf_set_open(&s, dir, cases[i].refs ? "a" : NULL, &e);
        check_err(rc, &e);
        CHECK_INT(rc, 0);
        const pf_rowset *rows = pf_set_rows(s);
        CHECK_INT(rows->n_rows, 2500);
        for (uint64_t k = 0; k < 2500; k += 77) {
            pf_row r;
            pf_row_ref ref;
            CHECK_OK(rows->get(rows, k, &r, &e));
            CHECK(fx_same(&r, cases[i].kind, cases[i].vocab, k));
            if (cases[i].refs) {
                CHECK_OK(rows->ref(rows, k, &ref, &e));
                CHECK(fx_same_ref(&ref, cases[i].kind, cases[i].vocab, k));
            }
        }
        pf_row r;
        CHECK_INT(rows->get(rows, 2500, &r, NULL), PF_E_USAGE);
        CHECK(!rows->ref == !cases[i].refs);
        if (cases[i].refs)
            CHECK_STR(pf_ident_get(pf_set_ref_ident(s), "model.weights"),
                      "aaaa");
        pf_set_close(s);
        rc = pf_set_verify(dir, &e);
        check_err(rc, &e);
        CHECK_INT(rc, 0);
    }
}

/* The same rows give the same files, whatever chunks they came in. */
static void t_same_bytes(void)
{
    pf_err e = PF_ERR_INIT;
    pf_rows_out_opts a = {.dir = fx_path("sa"), .shard_rows = 1000};
    pf_rows_out_opts b = {.dir = fx_path("sb"), .shard_rows = 1000};
    CHECK_OK(fx_write(&a, PF_ROW_PAIR, 500, 2100, 1, NULL, &e));
    CHECK_OK(fx_write_file(fx_path("s.prf"), PF_ROW_PAIR, 500, 2100, 1, &e));
    pf_rows_in *in = NULL;
    pf_rows_out *out = NULL;
    const pf_chunk *c;
    CHECK_OK(pf_rows_in_open(&in, fx_path("s.prf"), &e));
    while (in && pf_rows_in_next(in, &c, &e) == 1) {
        pf_ref_decl d = pf_chunk_ref(c, 0);
        b.refs = &d;
        b.n_refs = 1;
        if (!out)
            CHECK_OK(pf_rows_out_open(&out, pf_rows_in_head(in), &b, &e));
        for (uint32_t i = 0; out && i < pf_chunk_rows(c); i++) {
            pf_row r;
            pf_row_ref ref;
            pf_chunk_row(c, i, &r);
            pf_chunk_row_ref(c, i, 0, &ref);
            CHECK_OK(pf_rows_out_add_refs(out, &r, &ref, &e));
        }
    }
    CHECK_OK(pf_rows_out_finish(out, &pf_rows_in_total(in)->tally, NULL, &e));
    pf_rows_in_close(in);
    char *x, *y;
    size_t nx = 0, ny = 1;
    CHECK_OK(pf_read_file(fx_path("sa/SHA256SUMS"), 1 << 20, &x, &nx, &e));
    CHECK_OK(pf_read_file(fx_path("sb/SHA256SUMS"), 1 << 20, &y, &ny, &e));
    CHECK(nx == ny && memcmp(x, y, nx) == 0);
    pf_free(x);
    pf_free(y);
}

static void t_set_rules(void)
{
    pf_err e = PF_ERR_INIT;
    pf_rows_out_opts o = {.dir = fx_path("rules")};
    CHECK_OK(fx_write(&o, PF_ROW_PAIR, 500, 10, 0, NULL, &e));
    CHECK_INT(fx_write(&o, PF_ROW_PAIR, 500, 10, 0, NULL, NULL), PF_E_IO);
    CHECK_INT(pf_set_open(&(pf_set *){0}, o.dir, "", NULL), PF_E_IDENTITY);
    CHECK_INT(pf_set_open(&(pf_set *){0}, o.dir, "x", NULL), PF_E_IDENTITY);
    CHECK_INT(pf_set_open(&(pf_set *){0}, fx_path("no"), NULL, NULL),
              PF_E_IO);
    CHECK_INT(pf_set_open(&(pf_set *){0}, fx_tmp(), NULL, NULL), PF_E_IO);
    o.replace = true;
    CHECK_INT(fx_write(&o, PF_ROW_PAIR, 500, 0, 0, NULL, NULL), PF_E_FORMAT);
    CHECK_OK(pf_set_verify(o.dir, &e)); /* the old set is still there */
    CHECK_OK(fx_write(&o, PF_ROW_PAIR, 500, 20, 2, NULL, &e));
    CHECK_INT(pf_set_open(&(pf_set *){0}, o.dir, "", NULL), PF_E_USAGE);
    /* an unfinished writer leaves nothing, and holds the directory */
    pf_rows_out *a = NULL, *b = NULL;
    pf_rows_head h;
    pf_rows_out_opts p = {.dir = fx_path("open"), .shard_rows = 1};
    CHECK_OK(fx_head(&h, PF_ROW_PAIR, 500, &e));
    CHECK_OK(pf_rows_out_open(&a, &h, &p, &e));
    CHECK_INT(pf_rows_out_open(&b, &h, &p, NULL), PF_E_IO);
    fx_row f;
    fx_make(&f, PF_ROW_PAIR, 500, 1);
    CHECK_OK(pf_rows_out_add(a, &f.row, &e));
    fx_make(&f, PF_ROW_SEQ, 500, 1);
    CHECK_INT(pf_rows_out_add(a, &f.row, NULL), PF_E_FORMAT);
    pf_rows_out_abort(a);
    CHECK(!pf_path_exists(p.dir));
    pf_rows_head_release(&h);
}

static void t_imported(void)
{
    pf_err e = PF_ERR_INIT;
    pf_rows_head h;
    fx_row f;
    for (int all = 0; all < 2; all++) {
        pf_rows_out *out = NULL;
        pf_rows_out_opts o = {.dir = fx_path("imp"), .replace = true};
        CHECK_OK(fx_head(&h, PF_ROW_PAIR, 500, &e));
        CHECK_OK(pf_rows_out_open(&out, &h, &o, &e));
        for (uint64_t i = 0; i < 5; i++) {
            fx_make(&f, PF_ROW_PAIR, 500, i);
            f.row.has_ref = all || i != 3;
            f.row.ref_sum[0] = -1.5 * (double)i;
            f.row.ref_sum[1] = -2;
            CHECK_OK(pf_rows_out_add(out, &f.row, &e));
        }
        CHECK_OK(pf_rows_out_finish(out, NULL, NULL, &e));
        pf_rows_head_release(&h);
        pf_set *s = NULL;
        int rc = pf_set_open(&s, o.dir, "", NULL);
        CHECK_INT(rc, all ? 0 : PF_E_IDENTITY);
        if (!all)
            continue;
        pf_row_ref ref;
        CHECK(pf_set_ref_imported(s));
        CHECK_OK(pf_set_rows(s)->ref(pf_set_rows(s), 2, &ref, &e));
        CHECK(ref.token == NULL && ref.sum[0] == -3 && ref.sum[1] == -2);
        pf_set_close(s);
    }
}

/* The shard of docs/formats/shard.md section 8: the format is frozen. */
static void t_frozen(void)
{
    pf_err e = PF_ERR_INIT;
    pf_rows_head h = {.kind = PF_ROW_PAIR, .n_branch = 2, .vocab = 100};
    uint32_t ids[] = {5, 6, 7, 8, 9};
    pf_row r = {.kind = PF_ROW_PAIR, .id_size = 4, .n_branch = 2,
                .p_len = 2, .b_len = {1, 2}, .ids = ids, .row_id = 4096};
    pf_rows_out *out = NULL;
    pf_rows_out_opts o = {.dir = fx_path("one")};
    char *p, hex[PF_SHA256_HEX];
    size_t n;
    uint8_t sha[PF_SHA256_BYTES];
    CHECK_OK(pf_ident_set(&h.recipe, "row.schema", "1", &e));
    CHECK_OK(pf_rows_out_open(&out, &h, &o, &e));
    CHECK_OK(pf_rows_out_add(out, &r, &e));
    CHECK_OK(pf_rows_out_finish(out, NULL, NULL, &e));
    CHECK_OK(pf_read_file(fx_path("one/shard-00000.prf"), 1 << 20, &p, &n,
                          &e));
    pf_sha256_of(p, n, sha);
    CHECK_STR(pf_hex(sha, sizeof sha, hex),
              "101d209d56bd1625d2e8b2e2d872215296009970587cf308504e8c50dcbee445");
    pf_free(p);
    CHECK_OK(pf_read_file(fx_path("one/manifest.json"), 1 << 20, &p, &n, &e));
    pf_sha256_of(p, n, sha);
    CHECK_STR(pf_hex(sha, sizeof sha, hex),
              "c9e01845a2cff51de322112eb30639bc902bf58f75575f5f782bb754ae3fb216");
    pf_free(p);
    pf_rows_head_release(&h);
}

static int walk_stream(void)
{
    pf_err e = PF_ERR_INIT;
    pf_rows_in *in = NULL;
    const pf_chunk *c;
    int rc = fx_write_file(fx_path("oom.prf"), PF_ROW_PAIR, 500, 40, 1, &e);
    if (rc == 0)
        rc = pf_rows_in_open(&in, fx_path("oom.prf"), &e);
    while (rc == 0 && (rc = pf_rows_in_next(in, &c, &e)) == 1)
        rc = 0;
    pf_rows_in_close(in);
    return rc;
}

static int walk_set(void)
{
    pf_err e = PF_ERR_INIT;
    pf_set *s = NULL;
    pf_rows_out_opts o = {.dir = fx_path("oomset"), .replace = true,
                          .shard_rows = 30};
    int rc = fx_write(&o, PF_ROW_PAIR, 500, 40, 1, NULL, &e);
    if (rc == 0)
        rc = pf_set_open(&s, o.dir, "a", &e);
    pf_set_close(s);
    if (rc == 0)
        rc = pf_set_verify(o.dir, &e);
    return rc;
}

/* A write that fails for memory is an I/O matter of the writer: any refusal
 * counts here, success without the failure does not. */
static void t_oom(void)
{
    OOM_WALK(walk_stream());
    OOM_WALK(walk_set());
}

static void t_clean(void)
{
    fx_remove_dir(fx_tmp());
    CHECK(!pf_path_exists(fx_tmp()));
}

static const pft_test tests[] = {
    {"streams", t_stream},
    {"sets", t_set},
    {"rows decide the bytes", t_same_bytes},
    {"rules of sets", t_set_rules},
    {"imported references", t_imported},
    {"the frozen bytes", t_frozen},
    {"every allocation fails once", t_oom},
    {"nothing left behind", t_clean},
};
PF_TEST_MAIN(tests)
