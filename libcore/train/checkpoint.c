/* SPDX-License-Identifier: MIT
 *
 * checkpoint-N: a Hugging Face model directory and what a resume needs.
 *
 *   model.safetensors, config.json, tokenizer files   the model so far
 *   optimizer.safetensors   m.NAME, v.NAME (and master.NAME where the model
 *                           is stored in less than f32)
 *   trainer_state.json      for transformers' TrainerState.load_from_json,
 *                           its keys only (any other is a TypeError there)
 *   prefkit_state.json      counters, the open log window, identity
 *
 * Written under a temporary name, synced, renamed: a checkpoint-N that exists
 * is whole. prefkit_state.json holds hashes of the two tensor files, so a
 * damaged checkpoint is refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "train/train_int.h"

#define STATE_FILE "prefkit_state.json"
#define STATE_VERSION 1

/* ------------------------------------------------------------ directories */

/* Removes a directory of plain files; what is not there is no error. */
static int remove_dir(const char *dir, pf_err *e)
{
    char **name = NULL;
    size_t n = 0;
    if (!pf_path_is_dir(dir))
        return 0;
    int rc = pf_list_dir(dir, &name, &n, e);
    for (size_t i = 0; i < n; i++) {
        char *path = rc == 0 ? pf_path_join(dir, name[i]) : NULL;
        if (rc == 0 && !path)
            rc = pf_err_nomem(e);
        else if (rc == 0 && unlink(path) != 0)
            rc = pf_err_errno(e, path, "cannot remove");
        pf_free(path);
        pf_free(name[i]);
    }
    pf_free(name);
    if (rc == 0 && rmdir(dir) != 0)
        rc = pf_err_errno(e, dir, "cannot remove");
    return rc;
}

/* The N of "checkpoint-N", or -1. */
static int64_t number_of(const char *name)
{
    static const char head[] = "checkpoint-";
    size_t h = sizeof head - 1, len = strlen(name);
    if (len <= h || len > h + 18 || memcmp(name, head, h) != 0)
        return -1;
    int64_t n = 0;
    for (const char *p = name + h; *p; p++) {
        if (*p < '0' || *p > '9')
            return -1;
        n = n * 10 + (*p - '0');
    }
    return n;
}

static bool has_file(const char *dir, const char *name)
{
    char *path = pf_path_join(dir, name);
    bool yes = path && pf_path_exists(path);
    pf_free(path);
    return yes;
}

typedef struct found {
    int64_t *n; /* ascending */
    size_t count, cap;
} found;

static int cmp_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Numbers of the checkpoints in a directory that hold a file of that name. */
static int find_all(const char *output_dir, const char *file, found *f,
                    pf_err *e)
{
    char **name = NULL;
    size_t n = 0;
    int rc = 0;
    if (pf_path_is_dir(output_dir))
        rc = pf_list_dir(output_dir, &name, &n, e);
    for (size_t i = 0; i < n; i++) {
        int64_t k = number_of(name[i]);
        char *path = rc == 0 && k >= 0 ? pf_path_join(output_dir, name[i])
                                       : NULL;
        if (path && has_file(path, file)) {
            if (PF_GROW(&f->n, &f->cap, f->count + 1))
                f->n[f->count++] = k;
            else
                rc = pf_err_nomem(e);
        }
        pf_free(path);
        pf_free(name[i]);
    }
    pf_free(name);
    if (f->count)
        qsort(f->n, f->count, sizeof *f->n, cmp_i64);
    return rc;
}

static char *checkpoint_path(const char *output_dir, int64_t n,
                             const char *tail)
{
    char name[64];
    snprintf(name, sizeof name, "checkpoint-%lld%s", (long long)n, tail);
    return pf_path_join(output_dir, name);
}

int pf_checkpoint_last(const char *output_dir, char **out, pf_err *e)
{
    found f = {0};
    *out = NULL;
    int rc = find_all(output_dir, STATE_FILE, &f, e);
    if (rc == 0 && f.count) {
        *out = checkpoint_path(output_dir, f.n[f.count - 1], "");
        if (!*out)
            rc = pf_err_nomem(e);
    }
    pf_free(f.n);
    return rc;
}

int pf_checkpoint_clear(const char *output_dir, pf_err *e)
{
    char **name = NULL;
    size_t n = 0;
    int rc = 0;
    if (pf_path_is_dir(output_dir))
        rc = pf_list_dir(output_dir, &name, &n, e);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(name[i]);
        bool ours = number_of(name[i]) >= 0 ||
                    (strncmp(name[i], "checkpoint-", 11) == 0 && len > 4 &&
                     strcmp(name[i] + len - 4, ".tmp") == 0);
        char *path = rc == 0 && ours ? pf_path_join(output_dir, name[i])
                                     : NULL;
        if (path)
            rc = remove_dir(path, e);
        else if (rc == 0 && ours)
            rc = pf_err_nomem(e);
        pf_free(path);
        pf_free(name[i]);
    }
    pf_free(name);
    return rc;
}

static int drop_old(const pf_train *t, pf_err *e)
{
    found f = {0};
    if (t->a->save_limit <= 0)
        return 0;
    int rc = find_all(t->a->output_dir, "trainer_state.json", &f, e);
    for (size_t i = 0;
         rc == 0 && i + (size_t)t->a->save_limit < f.count; i++) {
        char *path = checkpoint_path(t->a->output_dir, f.n[i], "");
        rc = path ? remove_dir(path, e) : pf_err_nomem(e);
        pf_free(path);
    }
    pf_free(f.n);
    return rc;
}

/* --------------------------------------------------------------- tensors */

typedef struct tensors {
    const pf_train *t;
    pf_st_out *out;
    const float **src; /* device memory of each */
    size_t n;
} tensors;

static int fill(void *ctx, size_t i, uint64_t off, void *buf, size_t n,
                pf_err *e)
{
    const tensors *s = ctx;
    pf_backend *be = pf_model_backend(s->t->model);
    (void)e;
    be->ops->copy_out(be, buf, (const char *)s->src[i] + off, n);
    be->ops->sync(be);
    return 0;
}

static char *tensor_name(const char *kind, const char *name)
{
    pf_buf b = {0};
    pf_buf_str(&b, kind);
    pf_buf_char(&b, '.');
    pf_buf_str(&b, name);
    size_t n;
    return pf_buf_take(&b, &n);
}

static bool add_tensor(tensors *s, const char *kind, const pf_param *p,
                       const float *src)
{
    pf_st_out *o = &s->out[s->n];
    o->name = tensor_name(kind, p->name);
    o->dtype = PF_DT_F32;
    o->n_dims = p->n_dims;
    memcpy(o->dim, p->dim, sizeof p->dim);
    s->src[s->n++] = src;
    return o->name != NULL;
}

static int save_optimizer(const pf_train *t, const char *path, pf_err *e)
{
    const pf_optim *o = &t->optim;
    bool masters = t->a->save_dtype != PF_DT_F32;
    tensors s = {.t = t, .out = pf_calloc(3 * o->n, sizeof *s.out),
                 .src = pf_calloc(3 * o->n, sizeof *s.src)};
    bool ok = s.out && s.src;
    for (size_t i = 0; i < o->n && ok; i++) {
        ok = add_tensor(&s, "m", &o->param[i], o->m[i]) &&
             add_tensor(&s, "v", &o->param[i], o->v[i]) &&
             (!masters ||
              add_tensor(&s, "master", &o->param[i], o->param[i].master));
    }
    int rc = ok ? pf_st_write(path, s.out, s.n, fill, &s, PF_WRITE_REPLACE, e)
                : pf_err_nomem(e);
    for (size_t i = 0; i < s.n; i++)
        pf_free((char *)s.out[i].name);
    pf_free(s.out);
    pf_free(s.src);
    return rc;
}

static int load_tensor(const pf_train *t, const pf_st_file *f,
                       const char *path, const char *name, const pf_param *p,
                       float *dst, pf_err *e)
{
    pf_backend *be = pf_model_backend(t->model);
    const pf_st_tensor *x = pf_st_find(f, name);
    if (!x || x->dtype != PF_DT_F32 || x->count != p->count)
        return pf_err_pos(e, PF_E_IDENTITY, path, 0, -1,
                          "tensor %s is missing or of another shape", name);
    be->ops->copy_in(be, dst, x->data, (size_t)p->count * sizeof(float));
    be->ops->sync(be);
    return 0;
}

static int load_kind(const pf_train *t, const pf_st_file *f, const char *path,
                     const char *kind, float **dst, pf_err *e)
{
    const pf_optim *o = &t->optim;
    int rc = 0;
    for (size_t i = 0; i < o->n && rc == 0; i++) {
        const pf_param *p = &o->param[i];
        char *name = kind ? tensor_name(kind, p->name) : pf_strdup(p->name);
        rc = name ? load_tensor(t, f, path, name, p,
                                dst ? dst[i] : p->master, e)
                  : pf_err_nomem(e);
        pf_free(name);
    }
    return rc;
}

static int load_tensors(const pf_train *t, const char *dir, pf_err *e)
{
    char *opt = pf_path_join(dir, "optimizer.safetensors");
    char *mod = pf_path_join(dir, "model.safetensors");
    pf_st_file *fo = NULL, *fm = NULL;
    int rc = opt && mod ? pf_st_open(&fo, opt, e) : pf_err_nomem(e);
    if (rc == 0)
        rc = load_kind(t, fo, opt, "m", t->optim.m, e);
    if (rc == 0)
        rc = load_kind(t, fo, opt, "v", t->optim.v, e);
    char *first = rc == 0 ? tensor_name("master", t->optim.param[0].name)
                          : NULL;
    if (rc == 0 && !first)
        rc = pf_err_nomem(e);
    if (rc == 0 && pf_st_find(fo, first)) {
        rc = load_kind(t, fo, opt, "master", NULL, e);
    } else if (rc == 0) {
        rc = pf_st_open(&fm, mod, e);
        if (rc == 0)
            rc = load_kind(t, fm, mod, NULL, NULL, e);
    }
    if (rc == 0)
        pf_model_refresh(t->model);
    pf_free(first);
    pf_st_close(fo);
    pf_st_close(fm);
    pf_free(opt);
    pf_free(mod);
    return rc;
}

/* ----------------------------------------------------------------- state */

static int hash_file(const char *dir, const char *name, char hex[17],
                     pf_err *e)
{
    char *path = pf_path_join(dir, name);
    pf_mapping m = {0};
    int rc = path ? pf_mapping_open(&m, path, false, e) : pf_err_nomem(e);
    if (rc == 0)
        snprintf(hex, 17, "%016llx",
                 (unsigned long long)pf_xxh3_64(m.p, m.n, 0));
    pf_mapping_close(&m);
    pf_free(path);
    return rc;
}

static int add_setting(pf_ident *id, const char *key, double v, pf_err *e)
{
    char text[32];
    text[pf_f64_text(v, text)] = 0;
    return pf_ident_set(id, key, text, e);
}

int pf_train_settings(const pf_train *t, pf_ident *id, pf_err *e)
{
    const pf_train_args *a = t->a;
    const struct {
        const char *key;
        double v;
    } num[] = {
        {"total_steps", (double)t->total},
        {"per_device_train_batch_size", a->batch},
        {"gradient_accumulation_steps", a->accum},
        {"dataloader_drop_last", a->drop_last},
        {"train_sampling_random", a->random},
        {"data_seed", (double)a->order_seed},
        {"learning_rate", a->lr},
        {"lr_scheduler_type", a->schedule},
        {"warmup_steps", (double)t->schedule.warmup},
        {"optim", a->optim.kind},
        {"adam_beta1", a->optim.beta1},
        {"adam_beta2", a->optim.beta2},
        {"adam_epsilon", a->optim.eps},
        {"weight_decay", a->optim.weight_decay},
        {"max_grad_norm", a->optim.max_grad_norm},
        {"beta", a->loss.beta},
        {"label_smoothing", a->loss.label_smoothing},
        {"discopop_tau", a->loss.discopop_tau},
    };
    int rc = 0;
    for (size_t i = 0; i < PF_COUNTOF(num) && rc == 0; i++)
        rc = add_setting(id, num[i].key, num[i].v, e);
    for (size_t i = 0; i < a->loss.n_kind && rc == 0 && !t->seq; i++) {
        char key[32];
        snprintf(key, sizeof key, "loss_type.%zu", i);
        rc = pf_ident_setf(id, e, key, "%s * %.17g", a->loss.kind[i]->name,
                           a->loss.weight[i]);
    }
    if (rc == 0)
        rc = pf_ident_set(id, "kernel_id",
                          pf_model_backend(t->model)->caps.kernel_id, e);
    return rc;
}

static void put_window(pf_jw *j, const pf_window *w)
{
    pf_jw_key(j, "window");
    pf_jw_obj(j);
    pf_jw_key(j, "micro");
    pf_jw_u64(j, w->micro);
    pf_jw_key(j, "steps");
    pf_jw_u64(j, w->steps);
    pf_jw_key(j, "rows");
    pf_jw_u64(j, w->rows);
    pf_jw_key(j, "tokens");
    pf_jw_u64(j, w->tokens);
    pf_jw_metric(j, "", "seconds", w->seconds);
    pf_jw_metric(j, "", "loss", w->loss);
    pf_jw_key(j, "sum");
    pf_jw_arr(j);
    for (int i = 0; i < PF_METRIC_COUNT; i++)
        pf_jw_f64(j, w->sum[i]);
    pf_jw_end(j, ']');
    pf_jw_end(j, '}');
}

static int put_ident(pf_jw *j, const char *key, const pf_ident *id, pf_err *e)
{
    pf_buf b = {0};
    int rc = pf_ident_json(id, &b, e);
    if (rc == 0) {
        pf_jw_key(j, key);
        pf_jw_raw(j, pf_buf_slice(&b));
    }
    pf_buf_release(&b);
    return rc;
}

static int write_buf(const char *dir, const char *name, const pf_buf *b,
                     pf_err *e)
{
    char *path = pf_path_join(dir, name);
    int rc = path && !b->failed
                 ? pf_write_file(path, b->p, b->n, PF_WRITE_REPLACE, e)
                 : pf_err_nomem(e);
    pf_free(path);
    return rc;
}

static int save_state(const pf_train *t, const char *dir, pf_err *e)
{
    static const char *const files[] = {"model.safetensors",
                                        "optimizer.safetensors"};
    static const pf_ident empty = {0};
    pf_buf b = {0};
    pf_jw j = {.out = &b};
    pf_ident set = {0};
    int rc = pf_train_settings(t, &set, e);
    pf_jw_obj(&j);
    pf_jw_key(&j, "version");
    pf_jw_i64(&j, STATE_VERSION);
    pf_jw_key(&j, "step");
    pf_jw_i64(&j, t->step);
    pf_jw_key(&j, "last_log");
    pf_jw_i64(&j, t->last_log);
    pf_jw_key(&j, "optimizer_steps");
    pf_jw_i64(&j, t->optim.t);
    pf_jw_key(&j, "num_tokens");
    pf_jw_u64(&j, t->num_tokens);
    pf_jw_metric(&j, "", "epoch", t->epoch);
    put_window(&j, &t->window);
    if (rc == 0)
        rc = put_ident(&j, "settings", &set, e);
    if (rc == 0)
        rc = put_ident(&j, "identity",
                       t->a->identity ? t->a->identity : &empty, e);
    pf_jw_key(&j, "xxh3_64");
    pf_jw_obj(&j);
    for (size_t i = 0; i < 2 && rc == 0; i++) {
        char hex[17];
        rc = hash_file(dir, files[i], hex, e);
        if (rc < 0)
            break;
        pf_jw_key(&j, files[i]);
        pf_jw_cstr(&j, hex);
    }
    pf_jw_end(&j, '}');
    pf_jw_end(&j, '}');
    pf_buf_char(&b, '\n');
    if (rc == 0)
        rc = write_buf(dir, STATE_FILE, &b, e);
    pf_buf_release(&b);
    pf_ident_release(&set);
    return rc;
}

static void put_i64(pf_jw *j, const char *key, int64_t v)
{
    pf_jw_key(j, key);
    pf_jw_i64(j, v);
}

static void put_null(pf_jw *j, const char *key)
{
    pf_jw_key(j, key);
    pf_jw_null(j);
}

/* The twenty keys of TrainerState in transformers 5.23, and no other. */
static int save_trainer_state(const pf_train *t, const char *dir, pf_err *e)
{
    pf_buf b = {0};
    pf_jw j = {.out = &b};
    pf_jw_obj(&j);
    put_null(&j, "best_global_step");
    put_null(&j, "best_metric");
    put_null(&j, "best_model_checkpoint");
    pf_jw_metric(&j, "", "epoch", t->epoch);
    put_i64(&j, "eval_steps", t->eval_every);
    put_i64(&j, "global_step", t->step);
    pf_jw_key(&j, "is_hyper_param_search");
    pf_jw_bool(&j, false);
    pf_jw_key(&j, "is_local_process_zero");
    pf_jw_bool(&j, true);
    pf_jw_key(&j, "is_world_process_zero");
    pf_jw_bool(&j, true);
    pf_jw_key(&j, "log_history");
    pf_jw_arr(&j);
    for (size_t i = 0; i < t->history.n; i++)
        pf_jw_raw(&j, pf_slice_of(t->history.line[i]));
    pf_jw_end(&j, ']');
    put_i64(&j, "logging_steps", t->log_every);
    put_i64(&j, "max_steps", t->total);
    put_i64(&j, "num_input_tokens_seen", 0);
    put_i64(&j, "num_train_epochs",
            (t->total + t->order.steps_per_epoch - 1) /
                t->order.steps_per_epoch);
    put_i64(&j, "save_steps", t->save_every);
    pf_jw_key(&j, "stateful_callbacks");
    pf_jw_obj(&j);
    pf_jw_end(&j, '}');
    put_i64(&j, "total_flos", 0);
    put_i64(&j, "train_batch_size", t->a->batch);
    put_null(&j, "trial_name");
    put_null(&j, "trial_params");
    pf_jw_end(&j, '}');
    pf_buf_char(&b, '\n');
    int rc = write_buf(dir, "trainer_state.json", &b, e);
    pf_buf_release(&b);
    return rc;
}

/* ------------------------------------------------------------------ save */

static int write_all(const pf_train *t, const char *dir, pf_err *e)
{
    char *path = pf_path_join(dir, "optimizer.safetensors");
    int rc = path ? remove_dir(dir, e) : pf_err_nomem(e);
    if (rc == 0)
        rc = pf_make_dirs(dir, e);
    if (rc == 0 && t->h->beside)
        rc = t->h->beside(t->h->ctx, dir, e);
    if (rc == 0)
        rc = pf_model_save(t->model, dir, t->a->save_dtype, e);
    if (rc == 0)
        rc = save_trainer_state(t, dir, e);
    if (rc == 0 && !t->a->save_only_model)
        rc = save_optimizer(t, path, e);
    if (rc == 0 && !t->a->save_only_model)
        rc = save_state(t, dir, e);
    if (rc == 0)
        rc = pf_sync_dir(dir, e);
    pf_free(path);
    return rc;
}

int pf_checkpoint_save(pf_train *t, pf_err *e)
{
    const char *out = t->a->output_dir;
    char *tmp = checkpoint_path(out, t->step, ".tmp");
    char *old = checkpoint_path(out, t->step, ".old.tmp");
    char *dir = checkpoint_path(out, t->step, "");
    int rc = tmp && old && dir ? pf_history_sync(&t->history, e)
                               : pf_err_nomem(e);
    if (rc == 0)
        rc = write_all(t, tmp, e);
    if (rc == 0)
        rc = remove_dir(old, e);
    if (rc == 0 && rename(dir, old) != 0 && errno != ENOENT)
        rc = pf_err_errno(e, dir, "cannot rename");
    if (rc == 0 && rename(tmp, dir) != 0)
        rc = pf_err_errno(e, tmp, "cannot rename");
    if (rc == 0)
        rc = pf_sync_dir(out, e);
    if (rc == 0)
        rc = remove_dir(old, e);
    if (rc == 0)
        rc = drop_old(t, e);
    if (rc == 0)
        pf_log_msg(t->h->log, PF_LOG_INFO, "saved %s", dir);
    pf_free(tmp);
    pf_free(old);
    pf_free(dir);
    return rc;
}

/* ------------------------------------------------------------------ load */

static int bad_state(const char *path, const char *what, pf_err *e)
{
    return pf_err_pos(e, PF_E_FORMAT, path, 0, -1, "%s: missing or malformed",
                      what);
}

static bool get_u64(pf_jval o, const char *key, uint64_t *out)
{
    int64_t v;
    if (!pf_ji64(pf_jget(o, key), &v) || v < 0)
        return false;
    *out = (uint64_t)v;
    return true;
}

static bool get_window(pf_jval v, pf_window *w)
{
    pf_jval sum = pf_jget(v, "sum");
    bool ok = get_u64(v, "micro", &w->micro) &&
              get_u64(v, "steps", &w->steps) && get_u64(v, "rows", &w->rows) &&
              get_u64(v, "tokens", &w->tokens) &&
              pf_jf64(pf_jget(v, "seconds"), &w->seconds) &&
              pf_jf64(pf_jget(v, "loss"), &w->loss) &&
              pf_jtype(sum) == PF_JSON_ARRAY &&
              pf_jcount(sum) == PF_METRIC_COUNT;
    pf_jiter it = pf_jiter_of(sum);
    for (int i = 0; ok && pf_jiter_next(&it); i++)
        ok = pf_jf64(it.value, &w->sum[i]);
    return ok;
}

static int check_hashes(pf_jval v, const char *dir, pf_err *e)
{
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it)) {
        char name[64], hex[17];
        if (it.key.n >= sizeof name)
            return bad_state(dir, "xxh3_64", e);
        memcpy(name, it.key.p, it.key.n);
        name[it.key.n] = 0;
        int rc = hash_file(dir, name, hex, e);
        if (rc < 0)
            return rc;
        if (!pf_slice_is(pf_jstr(it.value), hex))
            return pf_err_pos(e, PF_E_FORMAT, dir, 0, -1,
                              "checkpoint is damaged: %s has another hash",
                              name);
    }
    return 0;
}

static void name_change(void *ctx, const char *key, const char *a,
                        const char *b)
{
    const pf_train *t = ctx;
    pf_log_msg(t->h->log, PF_LOG_WARN,
               "resuming with another %s: %s, the checkpoint has %s", key,
               b ? b : "none", a ? a : "none");
}

static int check_identity(const pf_train *t, pf_jval root, pf_err *e)
{
    pf_ident was = {0}, now = {0};
    int rc = pf_ident_of_json(&was, pf_jget(root, "identity"), e);
    if (rc == 0 && t->a->identity)
        rc = pf_ident_require(&was, t->a->identity, "the checkpoint", e);
    pf_ident_release(&was);
    was = (pf_ident){0};
    if (rc == 0)
        rc = pf_ident_of_json(&was, pf_jget(root, "settings"), e);
    if (rc == 0)
        rc = pf_train_settings(t, &now, e);
    if (rc == 0)
        pf_ident_diff(&was, &now, name_change, (void *)(uintptr_t)t);
    pf_ident_release(&was);
    pf_ident_release(&now);
    return rc;
}

static int read_state(pf_train *t, pf_json *doc, const char *path,
                      const char *dir, pf_slice text, pf_err *e)
{
    pf_jval root;
    int64_t version;
    uint64_t step, last, steps;
    int rc = pf_json_parse(doc, text, &root, e);
    if (rc < 0) {
        pf_err_at(e, path, 0, -1);
        return rc;
    }
    if (!pf_ji64(pf_jget(root, "version"), &version) ||
        version != STATE_VERSION)
        return bad_state(path, "version", e);
    if (!get_u64(root, "step", &step) || !get_u64(root, "last_log", &last) ||
        last > step || !get_u64(root, "optimizer_steps", &steps) ||
        !get_u64(root, "num_tokens", &t->num_tokens) ||
        !pf_jf64(pf_jget(root, "epoch"), &t->epoch))
        return bad_state(path, "counters", e);
    if (!get_window(pf_jget(root, "window"), &t->window))
        return bad_state(path, "window", e);
    t->step = (int64_t)step;
    t->last_log = (int64_t)last;
    t->optim.t = (int64_t)steps;
    rc = check_identity(t, root, e);
    if (rc == 0)
        rc = check_hashes(pf_jget(root, "xxh3_64"), dir, e);
    return rc;
}

static int read_history(pf_train *t, pf_json *doc, const char *path,
                        pf_slice text, pf_err *e)
{
    pf_jval root;
    int rc = pf_json_parse(doc, text, &root, e);
    if (rc < 0) {
        pf_err_at(e, path, 0, -1);
        return rc;
    }
    pf_jval list = pf_jget(root, "log_history");
    if (pf_jtype(list) != PF_JSON_ARRAY)
        return bad_state(path, "log_history", e);
    pf_jiter it = pf_jiter_of(list);
    while (rc == 0 && pf_jiter_next(&it))
        rc = pf_history_keep(&t->history, pf_jraw(it.value), e);
    return rc;
}

int pf_checkpoint_load(pf_train *t, pf_err *e)
{
    const char *dir = t->a->resume;
    char *state = pf_path_join(dir, STATE_FILE);
    char *trainer = pf_path_join(dir, "trainer_state.json");
    pf_json *doc = pf_json_new();
    char *text = NULL;
    size_t n;
    int rc = state && trainer && doc ? 0 : pf_err_nomem(e);
    if (rc == 0)
        rc = pf_read_file(state, (size_t)1 << 30, &text, &n, e);
    if (rc == 0)
        rc = read_state(t, doc, state, dir, (pf_slice){text, n}, e);
    pf_free(text);
    text = NULL;
    if (rc == 0)
        rc = pf_read_file(trainer, (size_t)1 << 30, &text, &n, e);
    if (rc == 0)
        rc = read_history(t, doc, trainer, (pf_slice){text, n}, e);
    pf_free(text);
    if (rc == 0)
        rc = load_tensors(t, dir, e);
    if (rc == 0)
        pf_log_msg(t->h->log, PF_LOG_INFO, "resumed at step %lld from %s",
                   (long long)t->step, dir);
    pf_json_free(doc);
    pf_free(state);
    pf_free(trainer);
    return rc;
}
