/* SPDX-License-Identifier: MIT
 *
 * preftrain's material: shard sets with references, the model, and whether
 * they belong together. A reference model is never loaded: what is compared
 * is identities. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "text/tokenizer.h"
#include "tools/preftrain_int.h"

/* Allowed rms per token between references and the policy's own first
 * log-probabilities where kernels differ (DESIGN section 5 gives the paths'
 * distances from f64: 1e-4 and 0.02). */
#define RMS_F32 5e-4
#define RMS_BF16 0.05

/* ------------------------------------------------------------------ sets */

/* The reference to open, by what was asked for and what there is. */
static int open_pairs(pf_set **out, const char *dir,
                      const pf_train_settings_cli *s, pf_err *e)
{
    char **names = NULL;
    size_t n = 0;
    int rc = pf_set_ref_names(dir, &names, &n, e);
    for (size_t i = 0; i < n; i++)
        pf_free(names[i]);
    pf_free(names);
    if (rc < 0)
        return rc;
    const char *name = s->ref                           ? s->ref
                       : s->allow_imported_refs && n == 0 ? "imported"
                                                          : "";
    rc = pf_set_open(out, dir, name, e);
    if (rc == 0 && pf_set_ref_imported(*out) && !s->allow_imported_refs)
        return pf_err_pos(e, PF_E_IDENTITY, dir, 0, -1,
                          "the references were imported, by a model nobody "
                          "knows: --allow_imported_refs takes them");
    return rc;
}

static int open_set(pf_set **out, const char *dir,
                    const pf_train_settings_cli *s, pf_err *e)
{
    int rc = pf_set_open(out, dir, NULL, e);
    if (rc < 0 || pf_set_head(*out)->kind == PF_ROW_SEQ)
        return rc;
    pf_set_close(*out);
    *out = NULL;
    return open_pairs(out, dir, s, e);
}

/* "[NAME=]DIR"; a '/' before the '=' belongs to the directory. */
static int open_eval(pf_train_setup *u, const char *operand, pf_err *e)
{
    if (u->n_eval == PF_COUNTOF(u->eval))
        return pf_err_set(e, PF_E_USAGE, "--eval_dataset: more than %zu sets",
                          PF_COUNTOF(u->eval));
    size_t i = u->n_eval++;
    const char *eq = strchr(operand, '=');
    if (eq && memchr(operand, '/', (size_t)(eq - operand)))
        eq = NULL;
    if (eq) {
        u->eval_name[i] = pf_memdup0(operand, (size_t)(eq - operand));
        if (!u->eval_name[i])
            return pf_err_nomem(e);
    }
    return open_set(&u->eval[i], eq ? eq + 1 : operand, u->s, e);
}

pf_set *pf_train_setup_first(const pf_train_setup *u)
{
    return u->train ? u->train : u->eval[0];
}

const pf_rowset *pf_train_setup_rows(const pf_train_setup *u)
{
    return u->train ? pf_set_rows(u->train) : NULL;
}

static int open_sets(pf_train_setup *u, pf_err *e)
{
    const pf_train_settings_cli *s = u->s;
    int rc = 0;
    if (s->do_train)
        rc = open_set(&u->train, s->train_dataset, s, e);
    for (size_t i = 0; i < s->eval_dataset.n && rc == 0; i++)
        rc = open_eval(u, s->eval_dataset.v[i], e);
    for (size_t i = 0; i < u->n_eval && rc == 0; i++)
        u->eval_set[i] = (pf_train_set){u->eval_name[i],
                                        pf_set_rows(u->eval[i])};
    if (rc == 0 && u->n_eval > 1)
        for (size_t i = 0; i < u->n_eval; i++)
            if (!u->eval_name[i])
                return pf_err_set(e, PF_E_USAGE,
                                  "--eval_dataset: several sets need names "
                                  "(NAME=DIR)");
    return rc;
}

static int check_length(const pf_train_setup *u, pf_set *set, pf_err *e)
{
    const pf_rowset *r = pf_set_rows(set);
    int64_t most = u->s->max_length;
    for (uint64_t i = 0; most > 0 && i < r->n_rows; i++) {
        pf_row row;
        int rc = r->get(r, i, &row, e);
        if (rc < 0)
            return rc;
        for (uint32_t k = 0; k < row.n_branch; k++)
            if ((int64_t)row.p_len + row.b_len[k] > most)
                return pf_err_set(e, PF_E_IDENTITY,
                                  "row %llu has %llu tokens, --max_length "
                                  "says %lld: rows are cut by preftok "
                                  "--max-length",
                                  (unsigned long long)i,
                                  (unsigned long long)row.p_len + row.b_len[k],
                                  (long long)most);
    }
    return 0;
}

/* ----------------------------------------------------------------- model */

/* The type to compute in: as asked, else as the references were. */
static const char *dtype_of(const pf_train_setup *u)
{
    const pf_ident *id = pf_set_ref_ident(pf_train_setup_first(u));
    const char *d = id ? pf_ident_get(id, "dtype") : NULL;
    if (pf_opt_given("bf16"))
        return u->s->bf16 ? "bf16" : "f32";
    if (d && strcmp(d, "bfloat16") == 0)
        return "bf16";
    if (d && strcmp(d, "float32") == 0 && u->s->backend != 2)
        return "f32";
    return "auto";
}

static int open_model(pf_train_setup *u, pf_err *e)
{
    static const char *const backends[] = {"auto", "cpu", "ref"};
    const pf_train_settings_cli *s = u->s;
    pf_model_opts o = {.train = s->do_train, .random = s->init == 1,
                       .seed = (uint64_t)s->common.seed,
                       .checkpointing = s->gradient_checkpointing == 1,
                       .log = pf_tool_log()};
    int rc = pf_model_path(&u->dir, s->model, e);
    if (rc == 0)
        rc = pf_pool_new(&u->pool, (int)s->common.threads, e);
    if (rc == 0)
        rc = pf_backend_open(&u->be, backends[s->backend], dtype_of(u),
                             u->pool, e);
    if (rc == 0)
        rc = pf_model_load(&u->model, u->dir, u->be, &o, e);
    return rc;
}

/* Ids mean the same to both: the vocabulary of the rows is the model's. */
static int check_vocab(const pf_train_setup *u, pf_err *e)
{
    const pf_rows_head *h = pf_set_head(pf_train_setup_first(u));
    const char *rows = pf_ident_get(&h->recipe, "tokenizer.vocab");
    char *path = pf_path_join(u->dir, "tokenizer.json");
    bool there = path && pf_path_exists(path);
    pf_tokenizer *t = NULL;
    pf_err te = PF_ERR_INIT;
    uint8_t all[PF_SHA256_BYTES], vocab[PF_SHA256_BYTES];
    char hex[PF_SHA256_HEX];
    int rc = path ? 0 : pf_err_nomem(e);
    if (rc == 0 && there && rows) {
        rc = pf_tokenizer_open(&t, u->dir, &te);
        if (rc == PF_E_USAGE) {
            pf_log_msg(pf_tool_log(), PF_LOG_WARN,
                       "the model's tokenizer is not compared: %s", te.msg);
            rc = 0;
        } else if (rc < 0 && e) {
            *e = te;
        }
    }
    if (rc == 0 && t) {
        pf_tokenizer_digest(t, all, vocab);
        if (strcmp(pf_hex(vocab, sizeof vocab, hex), rows) != 0)
            rc = pf_err_pos(e, PF_E_IDENTITY, u->dir, 0, -1,
                            "the model has another vocabulary (%.12s) than "
                            "the rows (%.12s)", hex, rows);
    }
    pf_tokenizer_free(t);
    pf_free(path);
    return rc;
}

/* -------------------------------------------------------------- identity */

static bool same(const pf_ident *a, const pf_ident *b, const char *key)
{
    const char *x = pf_ident_get(a, key), *y = pf_ident_get(b, key);
    return x && y && strcmp(x, y) == 0;
}

/* Do the model's own keys (model.*) agree on both sides? */
static bool same_model(const pf_ident *model, const pf_ident *ref)
{
    for (size_t i = 0; i < model->n; i++)
        if (strncmp(model->item[i].key, "model.", 6) == 0 &&
            !same(model, ref, model->item[i].key))
            return false;
    return true;
}

static int other_weights(const pf_train_setup *u, const pf_ident *model,
                         const pf_ident *ref, pf_err *e)
{
    const char *a = pf_ident_get(model, "model.weights");
    const char *b = pf_ident_get(ref, "model.weights");
    return pf_err_pos(e, PF_E_IDENTITY, u->dir, 0, -1,
                      "the references are by other weights: the policy's are "
                      "%.16s, the references' %.16s; --ref NAME takes them "
                      "on purpose", a ? a : "unknown", b ? b : "unknown");
}

/* What the first step must show, by how the references were made. */
static int check_ref(pf_train_setup *u, const pf_set *set,
                     const pf_ident *model, pf_err *e)
{
    const pf_ident *ref = pf_set_ref_ident(set);
    if (pf_set_head(set)->kind == PF_ROW_SEQ)
        return 0;
    if (!ref || pf_set_ref_imported(set)) {
        u->step0 = PF_STEP0_REPORT;
        return 0;
    }
    if (!same_model(model, ref)) {
        if (!u->s->ref)
            return other_weights(u, model, ref, e);
        u->step0 = PF_STEP0_REPORT;
    } else if (same(model, ref, "kernel_id") && same(model, ref, "dtype")) {
        u->step0 = PF_STEP0_EXACT;
    } else {
        const char *d = pf_ident_get(ref, "dtype");
        bool bf16 = strcmp(u->be->caps.dtype, "bfloat16") == 0 || !d ||
                    strcmp(d, "bfloat16") == 0;
        u->step0 = PF_STEP0_TOLERANCE;
        u->step0_rms = bf16 ? RMS_BF16 : RMS_F32;
        pf_log_msg(pf_tool_log(), PF_LOG_WARN,
                   "references by other kernels (%s) than the run's (%s)",
                   pf_ident_get(ref, "kernel_id") ? pf_ident_get(ref,
                                                                 "kernel_id")
                                                  : "unknown",
                   u->be->caps.kernel_id);
    }
    return 0;
}

static int add_set(pf_train_setup *u, const pf_set *set, const char *name,
                   pf_err *e)
{
    char key[64], hex[PF_SHA256_HEX];
    uint8_t digest[PF_SHA256_BYTES];
    snprintf(key, sizeof key, "%s.set_id", name);
    int rc = pf_ident_set(&u->identity, key,
                          pf_hex(pf_set_total(set)->set_id, 32, hex), e);
    const pf_ident *ref = pf_set_ref_ident(set);
    if (rc == 0 && ref) {
        snprintf(key, sizeof key, "%s.reference", name);
        rc = pf_ident_digest(ref, digest, e);
        if (rc == 0)
            rc = pf_ident_set(&u->identity, key, pf_hex(digest, 32, hex), e);
    }
    return rc;
}

static int identify(pf_train_setup *u, pf_err *e)
{
    pf_ident now = {0};
    int rc = pf_model_identity(u->model, &now, e);
    if (rc == 0)
        rc = pf_ident_set(&now, "kernel_id", u->be->caps.kernel_id, e);
    if (rc == 0)
        rc = pf_ident_set(&now, "dtype", u->be->caps.dtype, e);
    for (size_t i = 0; i < u->n_eval && rc == 0; i++)
        rc = check_ref(u, u->eval[i], &now, e);
    if (rc == 0 && u->train)
        rc = check_ref(u, u->train, &now, e);
    /* kernels may change between a run and its resume (with a warning) */
    for (size_t i = 0; i < now.n && rc == 0; i++)
        if (strncmp(now.item[i].key, "model.", 6) == 0)
            rc = pf_ident_set(&u->identity, now.item[i].key,
                              now.item[i].value, e);
    if (rc == 0 && u->train)
        rc = add_set(u, u->train, "train", e);
    pf_ident_release(&now);
    return rc;
}

/* ------------------------------------------------------------------ both */

int pf_train_setup_open(pf_train_setup *u, pf_err *e)
{
    int rc = open_sets(u, e);
    if (rc == 0 && u->train)
        rc = check_length(u, u->train, e);
    for (size_t i = 0; i < u->n_eval && rc == 0; i++)
        rc = check_length(u, u->eval[i], e);
    if (rc == 0)
        rc = open_model(u, e);
    if (rc == 0)
        rc = check_vocab(u, e);
    if (rc == 0)
        rc = identify(u, e);
    return rc;
}

void pf_train_setup_release(pf_train_setup *u)
{
    pf_ident_release(&u->identity);
    pf_model_free(u->model);
    pf_backend_close(u->be);
    pf_pool_free(u->pool);
    for (size_t i = 0; i < u->n_eval; i++) {
        pf_set_close(u->eval[i]);
        pf_free(u->eval_name[i]);
    }
    pf_set_close(u->train);
    pf_free(u->dir);
}

/* --------------------------------------------------------- files beside */

static int put_file(const char *dir, const char *name, const char *p,
                    size_t n, pf_err *e)
{
    char *path = pf_path_join(dir, name);
    int rc = path ? pf_write_file(path, p, n, PF_WRITE_REPLACE, e)
                  : pf_err_nomem(e);
    pf_free(path);
    return rc;
}

/* From the model's directory, else from the set (blob), else nothing. */
static int copy_file(const pf_train_setup *u, const char *dir,
                     const char *name, const char *blob, size_t blob_n,
                     pf_err *e)
{
    char *from = pf_path_join(u->dir, name), *text = NULL;
    size_t n = 0;
    if (!from)
        return pf_err_nomem(e);
    int rc = 0;
    if (pf_path_exists(from)) {
        rc = pf_read_file(from, (size_t)1 << 30, &text, &n, e);
        if (rc == 0)
            rc = put_file(dir, name, text, n, e);
    } else if (blob) {
        rc = put_file(dir, name, blob, blob_n, e);
    }
    pf_free(text);
    pf_free(from);
    return rc;
}

int pf_train_setup_beside(void *ctx, const char *dir, pf_err *e)
{
    static const char *const names[] = {
        "generation_config.json", "special_tokens_map.json",
        "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model"};
    const pf_train_setup *u = ctx;
    const pf_rows_head *h = pf_set_head(pf_train_setup_first(u));
    int rc = copy_file(u, dir, "tokenizer.json", h->tokenizer_json,
                       h->tokenizer_json_n, e);
    if (rc == 0)
        rc = copy_file(u, dir, "tokenizer_config.json", h->tokenizer_config,
                       h->tokenizer_config_n, e);
    if (rc == 0)
        rc = copy_file(u, dir, "chat_template.jinja", h->chat_template,
                       h->chat_template_n, e);
    for (size_t i = 0; i < PF_COUNTOF(names) && rc == 0; i++)
        rc = copy_file(u, dir, names[i], NULL, 0, e);
    return rc;
}
