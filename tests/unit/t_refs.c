/* SPDX-License-Identifier: MIT
 *
 * References of a set: cells, parts, resuming, publication, refusals. */
#include "tests/pftest.h"

#include <stdio.h>

#include "shard_fixture.h"

enum { ROWS = 2500, VOCAB = 500 };

static int base(const char *dir, uint32_t refs, pf_err *e)
{
    pf_rows_out_opts o = {.dir = dir, .shard_rows = 2000, .replace = true};
    return fx_write(&o, PF_ROW_PAIR, VOCAB, ROWS, refs, NULL, e);
}

/* Scores cells [from, to) with the made-up log-probs. */
static int put(pf_ref_out *o, uint32_t from, uint32_t to, pf_err *e)
{
    static float token[PF_REF_GRID * 2 * FX_MAX];
    static double sum[PF_REF_GRID * 2];
    fx_row f;
    int rc = 0;
    for (uint32_t c = from; c < to && rc == 0; c++) {
        uint64_t first;
        uint32_t n;
        bool done;
        size_t at = 0;
        pf_ref_out_cell(o, c, &first, &n, &done);
        if (done)
            continue;
        for (uint32_t i = 0; i < n; i++) {
            fx_make(&f, PF_ROW_PAIR, VOCAB, first + i);
            size_t k = (size_t)pf_row_completion(&f.row);
            memcpy(token + at, f.logp, 4 * k);
            memcpy(sum + 2 * i, f.ref.sum, 16);
            at += k;
        }
        rc = pf_ref_out_put(o, c, token, sum, e);
    }
    return rc;
}

static int ident(pf_ident *id, const char *weights, pf_err *e)
{
    pf_ident_release(id);
    return pf_ident_set(id, "model.weights", weights, e);
}

static bool same_file(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    bool ok = pf_read_file(a, 1 << 24, &x, &n, NULL) == 0 &&
              pf_read_file(b, 1 << 24, &y, &m, NULL) == 0 && n == m &&
              memcmp(x, y, n) == 0;
    pf_free(x);
    pf_free(y);
    return ok;
}

static uint32_t count_done(const pf_ref_out *o)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < pf_ref_out_cells(o); i++) {
        uint64_t first;
        uint32_t n;
        bool done;
        pf_ref_out_cell(o, i, &first, &n, &done);
        k += done;
    }
    return k;
}

/* In pieces, resumed, or written with the rows: the same files. */
static void t_resume(void)
{
    pf_err e = PF_ERR_INIT;
    pf_ident id = {0};
    pf_ref_out *o = NULL;
    const char *dir = fx_path("r1"), *whole = fx_path("r2");
    CHECK_OK(base(dir, 0, &e));
    CHECK_OK(base(whole, 1, &e));
    CHECK_OK(ident(&id, "aaaa", &e));
    CHECK_OK(pf_ref_out_open(&o, dir, "a", &id, false, false, &e));
    CHECK_INT(pf_ref_out_cells(o), 3);
    CHECK_OK(put(o, 0, 2, &e));
    CHECK_INT(pf_ref_out_finish(o, &e), 1); /* not all: the parts stay */
    CHECK_INT(pf_set_open(&(pf_set *){0}, dir, "a", NULL), PF_E_IDENTITY);
    CHECK_OK(pf_ref_out_open(&o, dir, "a", &id, true, false, &e));
    CHECK_INT(count_done(o), 2);
    pf_ref_out_abort(o);
    /* another model's run does not take them over */
    CHECK_OK(ident(&id, "cccc", &e));
    CHECK_OK(pf_ref_out_open(&o, dir, "a", &id, true, false, &e));
    CHECK_INT(count_done(o), 0);
    CHECK_OK(put(o, 1, 2, &e));
    pf_ref_out_abort(o);
    CHECK_OK(ident(&id, "aaaa", &e));
    CHECK_OK(pf_ref_out_open(&o, dir, "a", &id, false, false, &e));
    CHECK_INT(count_done(o), 0);
    CHECK_OK(put(o, 0, 3, &e));
    CHECK_INT(pf_ref_out_finish(o, &e), 0);
    CHECK_OK(pf_set_verify(dir, &e));
    CHECK(same_file(fx_path("r1/SHA256SUMS"), fx_path("r2/SHA256SUMS")));
    CHECK(same_file(fx_path("r1/shard-00001.a.ref"),
                    fx_path("r2/shard-00001.a.ref")));
    CHECK_INT(pf_ref_out_open(&o, dir, "a", &id, false, false, NULL),
              PF_E_IO);
    CHECK_OK(pf_ref_out_open(&o, dir, "a", &id, false, true, &e));
    CHECK_OK(put(o, 0, 3, &e));
    CHECK_INT(pf_ref_out_finish(o, &e), 0);
    CHECK(same_file(fx_path("r1/SHA256SUMS"), fx_path("r2/SHA256SUMS")));
    pf_ident_release(&id);
    if (e.code)
        printf("# %s: %s\n", e.file, e.msg);
}

/* References of other rows or of another model are refused. */
static void t_foreign(void)
{
    pf_err e = PF_ERR_INIT;
    pf_rows_out_opts o = {.dir = fx_path("f1"), .replace = true},
                     p = {.dir = fx_path("f2"), .replace = true};
    static const char *const files[] = {"shard-00000.a.ref", "a.ref.json"};
    CHECK_OK(fx_write(&o, PF_ROW_PAIR, VOCAB, 40, 2, NULL, &e));
    CHECK_OK(fx_write(&p, PF_ROW_PAIR, VOCAB, 41, 1, NULL, &e));
    char *x;
    size_t n;
    /* a sidecar of other rows */
    for (int both = 0; both < 2; both++) {
        for (int i = 0; i <= both; i++) {
            char *from = pf_path_join(p.dir, files[i]);
            char *to = pf_path_join(o.dir, files[i]);
            CHECK_OK(pf_read_file(from, 1 << 24, &x, &n, &e));
            CHECK_OK(pf_write_file(to, x, n, PF_WRITE_REPLACE, &e));
            pf_free(x);
            pf_free(from);
            pf_free(to);
        }
        CHECK_INT(pf_set_open(&(pf_set *){0}, o.dir, "a", NULL),
                  PF_E_IDENTITY);
    }
    /* a sidecar of another model over the same rows */
    CHECK_OK(fx_write(&o, PF_ROW_PAIR, VOCAB, 40, 2, NULL, &e));
    CHECK_OK(pf_read_file(fx_path("f1/shard-00000.b.ref"), 1 << 24, &x, &n,
                          &e));
    CHECK_OK(pf_write_file(fx_path("f1/shard-00000.a.ref"), x, n,
                           PF_WRITE_REPLACE, &e));
    pf_free(x);
    CHECK_INT(pf_set_open(&(pf_set *){0}, o.dir, "a", &e), PF_E_IDENTITY);
    CHECK(strstr(e.msg, "model.weights") != NULL);
    /* one shard's sidecar missing */
    unlink(fx_path("f1/shard-00000.a.ref"));
    CHECK_INT(pf_set_open(&(pf_set *){0}, o.dir, "a", NULL), PF_E_IO);
}

static void t_names(void)
{
    static const char *const bad[] = {"", ".a", "-a", "a/b", "imported",
                                      "a b", "\xc3\xa9"};
    for (size_t i = 0; i < PF_COUNTOF(bad); i++)
        CHECK_INT(pf_ref_name_check(bad[i], NULL), PF_E_USAGE);
    CHECK_INT(pf_ref_name_check("SmolLM2-135M_v1.0", NULL), 0);
    char **names;
    size_t n;
    CHECK_OK(pf_set_ref_names(fx_path("r1"), &names, &n, NULL));
    CHECK_INT(n, 1);
    CHECK_STR(names[0], "a");
    pf_free(names[0]);
    pf_free(names);
}

static int walk(void)
{
    pf_err e = PF_ERR_INIT;
    pf_ident id = {0};
    pf_ref_out *o = NULL;
    int rc = ident(&id, "dddd", &e);
    if (rc == 0)
        rc = pf_ref_out_open(&o, fx_path("f2"), "d", &id, true, true, &e);
    if (rc == 0) {
        rc = put(o, 0, 1, &e);
        if (rc < 0)
            pf_ref_out_abort(o);
        else
            rc = pf_ref_out_finish(o, &e);
    }
    pf_ident_release(&id);
    return rc;
}

static void t_oom(void)
{
    OOM_WALK(walk());
    CHECK_OK(pf_set_verify(fx_path("f2"), NULL));
    fx_remove_dir(fx_tmp());
}

static const pft_test tests[] = {
    {"cells, resuming, publication", t_resume},
    {"foreign references", t_foreign},
    {"names", t_names},
    {"every allocation fails once", t_oom},
};
PF_TEST_MAIN(tests)
