/* SPDX-License-Identifier: MIT
 *
 * The training run: likelihood on seq rows with evaluation against TRL's
 * SFTTrainer, micro-batch splits, resume, checkpoints and their damage, what
 * the first step refuses, out of memory. */
#include "train/train.h"

#include <sys/stat.h>
#include <unistd.h>

#include "trainset.h"

#define DIR "tests/golden/trajectories/"
#define MODEL "tests/golden/models/llama"

static char tmp[48];

static pf_backend *be;
static pf_model *model;
static trainset set;

static void close_all(void)
{
    trainset_close(&set);
    pf_model_free(model);
    pf_backend_close(be);
    model = NULL;
    be = NULL;
}

static bool open_all(size_t n, bool seq)
{
    pf_err e = PF_ERR_INIT;
    pf_model_opts o = {.train = true};
    int rc = pf_backend_open(&be, "cpu", "f32", NULL, &e);
    if (rc == 0)
        rc = pf_model_load(&model, MODEL, be, &o, &e);
    CHECK_OK(rc);
    if (rc < 0 || !trainset_open(&set, DIR "rows.ids.jsonl", n))
        return false;
    if (seq)
        trainset_to_seq(&set);
    else
        trainset_score(&set, model);
    return true;
}

/* The weights of the file again, without loading anew. */
static void reload(void)
{
    pf_model_opts o = {.train = true};
    pf_model_free(model);
    CHECK_OK(pf_model_load(&model, MODEL, be, &o, NULL));
}

static uint64_t weights(void)
{
    size_t n;
    uint64_t h = 0;
    pf_param *p = pf_model_params(model, &n);
    for (size_t i = 0; i < n; i++) {
        float *x = calloc((size_t)p[i].count, sizeof *x);
        be->ops->copy_out(be, x, p[i].master, (size_t)p[i].count * 4);
        h = pf_xxh3_64(x, (size_t)p[i].count * 4, h);
        free(x);
    }
    return h;
}

static pf_train_args args(uint32_t batch, uint32_t accum, int64_t steps)
{
    pf_train_args a = {.batch = batch, .accum = accum, .max_steps = steps,
                       .eval_batch = 5, .lr = 2e-3, .train = true,
                       .random = true, .order_seed = 7, .log_steps = 1,
                       .log_when = PF_WHEN_STEPS, .eval_steps = 1,
                       .save_steps = 2, .epochs = 3,
                       .save_dtype = PF_DT_F32,
                       .step0 = PF_STEP0_EXACT};
    a.loss = (pf_loss_args){.beta = 0.1, .n_kind = 1, .weight = {1}};
    a.loss.kind[0] = pf_loss_find("sigmoid");
    a.optim = (pf_optim_settings){.kind = PF_OPTIM_ADAMW, .beta1 = 0.9,
                                  .beta2 = 0.999, .eps = 1e-8,
                                  .max_grad_norm = 1};
    a.schedule = PF_SCHEDULE_COSINE;
    return a;
}

static int run(const pf_train_args *a, const pf_train_hooks *h, pf_err *e)
{
    pf_train_result r;
    return pf_train_run(model, a, &set.rows, NULL, 0, h, &r, e);
}

static char *path_in(const char *name)
{
    static char buf[16][256];
    static int at;
    char *p = buf[at++ % 16];
    snprintf(p, 256, "%s/%s", tmp, name);
    return p;
}

/* A fresh directory for outputs. */
static void fresh(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'; mkdir '%s'", tmp, tmp);
    CHECK(system(cmd) == 0);
}

/* ------------------------------------------------------------ likelihood */

static double num(pf_jval o, const char *key)
{
    double v = NAN;
    pf_jf64(pf_jget(o, key), &v);
    return v;
}

/* One line of metrics.jsonl against one of TRL's. */
static void compare_line(pf_jval got, pf_jval want, int line)
{
    pf_jiter it = pf_jiter_of(want);
    while (pf_jiter_next(&it)) {
        char key[64];
        double v = 0, g;
        pf_slice k = it.key;
        snprintf(key, sizeof key, "%.*s", (int)k.n, k.p);
        pf_jf64(it.value, &v);
        if (strstr(key, "runtime") || strstr(key, "per_second"))
            continue; /* times */
        g = num(got, key);
        double tol = strcmp(key, "grad_norm") == 0 ? 2e-4 * v
                                                   : 5e-5 * fmax(1, fabs(v));
        if (!(fabs(g - v) <= tol)) {
            printf("# line %d %s: %.9g, want %.9g\n", line, key, g, v);
            CHECK(!"trajectory");
        }
    }
}

static void compare_files(const char *got_path, const char *want_path)
{
    char *g = NULL, *w = NULL;
    size_t gn = 0, wn = 0;
    CHECK_OK(pf_read_file(got_path, 1 << 24, &g, &gn, NULL));
    CHECK_OK(pf_read_file(want_path, 1 << 24, &w, &wn, NULL));
    pf_json *gj = pf_json_new(), *wj = pf_json_new();
    size_t ga = 0, wa = 0;
    int line = 1;
    for (; ga < gn && wa < wn; line++) {
        size_t gl = strcspn(g + ga, "\n"), wl = strcspn(w + wa, "\n");
        pf_jval gv, wv;
        CHECK_OK(pf_json_parse(gj, (pf_slice){g + ga, gl}, &gv, NULL));
        CHECK_OK(pf_json_parse(wj, (pf_slice){w + wa, wl}, &wv, NULL));
        compare_line(gv, wv, line);
        ga += gl + 1;
        wa += wl + 1;
    }
    CHECK(ga == gn && wa == wn && line > 1);
    pf_json_free(gj);
    pf_json_free(wj);
    pf_free(g);
    pf_free(w);
}

/* 16 rows in micro-batches of 3, 2 a step, evaluation of 12 rows by 5. */
static void test_seq(void)
{
    if (!open_all(16, true))
        return;
    fresh();
    static trainset eval;
    CHECK(trainset_open(&eval, DIR "rows.ids.jsonl", 12));
    trainset_to_seq(&eval);
    pf_train_args a = args(3, 2, -1);
    a.eval_when = PF_WHEN_EPOCH;
    a.output_dir = tmp;
    a.log_rows = path_in("rows.jsonl");
    pf_train_set ev = {NULL, &eval.rows};
    pf_train_result r;
    pf_err e = PF_ERR_INIT;
    CHECK_OK(pf_train_run(model, &a, &set.rows, &ev, 1, NULL, &r, &e));
    CHECK_INT(r.steps, 9);
    compare_files(path_in("metrics.jsonl"), DIR "llama_sft.jsonl");
    CHECK(pf_path_exists(path_in("model.safetensors")));
    CHECK(pf_path_exists(path_in("config.json")));
    /* evaluation alone, under a name */
    fresh();
    a.train = false;
    a.log_rows = NULL;
    ev.name = "held";
    CHECK_OK(pf_train_run(model, &a, NULL, &ev, 1, NULL, &r, &e));
    char *text = NULL;
    size_t n;
    CHECK_OK(pf_read_file(path_in("metrics.jsonl"), 1 << 20, &text, &n, NULL));
    CHECK(text && strncmp(text, "{\"eval_held_loss\":7.20", 22) == 0);
    CHECK(!pf_path_exists(path_in("model.safetensors")));
    pf_free(text);
    trainset_close(&eval);
    close_all();
}

/* ---------------------------------------------------------------- splits */

static void test_splits(void)
{
    static const uint32_t split[][2] = {{8, 1}, {4, 2}, {2, 4}, {1, 8}};
    uint64_t first = 0;
    if (!open_all(16, false))
        return;
    for (size_t i = 0; i < PF_COUNTOF(split); i++) {
        pf_train_args a = args(split[i][0], split[i][1], 3);
        if (i)
            reload();
        CHECK_OK(run(&a, NULL, NULL));
        uint64_t h = weights();
        if (i == 0)
            first = h;
        CHECK(h == first);
    }
    close_all();
}

/* ---------------------------------------------------------------- resume */

static int64_t stop_at;
static int64_t steps_seen;

static void see(void *ctx, int64_t step, int64_t total, const char *entry)
{
    (void)ctx;
    (void)total;
    (void)entry;
    steps_seen = step;
}

static int stop(void *ctx)
{
    (void)ctx;
    return steps_seen == stop_at;
}

/* metrics.jsonl without what depends on time. */
static uint64_t metrics_hash(void)
{
    char *text = NULL;
    size_t n = 0;
    uint64_t h = 0;
    CHECK_OK(pf_read_file(path_in("metrics.jsonl"), 1 << 24, &text, &n, NULL));
    pf_json *j = pf_json_new();
    for (size_t at = 0; at < n;) {
        size_t len = strcspn(text + at, "\n");
        pf_jval v;
        CHECK_OK(pf_json_parse(j, (pf_slice){text + at, len}, &v, NULL));
        pf_jiter it = pf_jiter_of(v);
        while (pf_jiter_next(&it)) {
            pf_slice raw = pf_jraw(it.value);
            if (pf_slice_find(it.key, PF_LIT("_per_second")) < 0 &&
                pf_slice_find(it.key, PF_LIT("train_")) < 0)
                h = pf_xxh3_64(raw.p, raw.n, h);
        }
        at += len + 1;
    }
    pf_json_free(j);
    pf_free(text);
    return h;
}

/* Stopped after every step, resumed from the checkpoint that a stop writes;
 * with the log window open (logging every 4 steps). */
static void test_resume(void)
{
    if (!open_all(22, false))
        return;
    pf_train_args a = args(4, 3, 7);
    pf_train_hooks h = {.stop = stop, .step = see};
    a.output_dir = tmp;
    a.log_steps = 4;
    a.warmup_steps = 2;
    a.optim.weight_decay = 0.1;
    fresh();
    stop_at = -1;
    CHECK_OK(run(&a, &h, NULL));
    uint64_t whole = weights(), log = metrics_hash();
    for (stop_at = 1; stop_at < 7; stop_at++) {
        fresh();
        reload();
        a.resume = NULL;
        CHECK_OK(run(&a, &h, NULL));
        CHECK_INT(steps_seen, stop_at);
        char *last = NULL;
        pf_err e = PF_ERR_INIT;
        CHECK_OK(pf_checkpoint_last(tmp, &last, &e));
        CHECK(last != NULL);
        reload();
        a.resume = last;
        CHECK_OK(run(&a, &h, &e));
        if (e.code)
            printf("# %s %s\n", e.file, e.msg);
        CHECK(weights() == whole);
        CHECK(metrics_hash() == log);
        pf_free(last);
    }
    close_all();
}

/* Weights stored in bfloat16 resume from the masters beside them. */
static void test_resume_bf16(void)
{
    if (!open_all(8, false))
        return;
    pf_train_args a = args(4, 1, 4);
    a.output_dir = tmp;
    a.save_dtype = PF_DT_BF16;
    a.save_when = PF_WHEN_STEPS;
    a.save_limit = 2;
    fresh();
    CHECK_OK(run(&a, NULL, NULL));
    uint64_t whole = weights();
    CHECK(pf_path_exists(path_in("checkpoint-2/trainer_state.json")));
    CHECK(pf_path_exists(path_in("checkpoint-4/trainer_state.json")));
    reload();
    a.resume = path_in("checkpoint-2");
    a.save_limit = 1;
    CHECK_OK(run(&a, NULL, NULL));
    CHECK(weights() == whole);
    CHECK(!pf_path_is_dir(path_in("checkpoint-2")));
    CHECK(pf_path_is_dir(path_in("checkpoint-4")));
    CHECK_OK(pf_checkpoint_clear(tmp, NULL));
    CHECK(!pf_path_is_dir(path_in("checkpoint-4")));
    close_all();
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    CHECK(f != NULL);
    if (!f)
        return;
    CHECK(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET) == 0);
    int c = fgetc(f);
    CHECK(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET) == 0);
    fputc(c ^ 1, f);
    fclose(f);
}

static void test_damage(void)
{
    if (!open_all(8, false))
        return;
    pf_train_args a = args(4, 1, 2);
    pf_ident id = {0};
    pf_err e = PF_ERR_INIT;
    CHECK_OK(pf_ident_set(&id, "train.set_id", "one", NULL));
    a.identity = &id;
    a.output_dir = tmp;
    a.save_when = PF_WHEN_STEPS;
    fresh();
    CHECK_OK(run(&a, NULL, NULL));
    a.max_steps = 4;
    a.resume = path_in("checkpoint-2");
    CHECK_OK(pf_ident_set(&id, "train.set_id", "two", NULL));
    CHECK_INT(run(&a, NULL, &e), PF_E_IDENTITY);
    CHECK(strstr(e.msg, "train.set_id") != NULL);
    CHECK_OK(pf_ident_set(&id, "train.set_id", "one", NULL));
    flip(path_in("checkpoint-2/optimizer.safetensors"), -100);
    pf_err_clear(&e);
    CHECK_INT(run(&a, NULL, &e), PF_E_FORMAT);
    CHECK(strstr(e.msg, "optimizer.safetensors") != NULL);
    flip(path_in("checkpoint-2/optimizer.safetensors"), -100);
    CHECK(truncate(path_in("checkpoint-2/prefkit_state.json"), 50) == 0);
    CHECK_INT(run(&a, NULL, NULL), PF_E_FORMAT);
    CHECK(truncate(path_in("checkpoint-2/prefkit_state.json"), 0) == 0);
    CHECK_INT(run(&a, NULL, NULL), PF_E_FORMAT);
    CHECK(unlink(path_in("checkpoint-2/prefkit_state.json")) == 0);
    CHECK_INT(run(&a, NULL, NULL), PF_E_IO);
    char *last;
    CHECK_OK(pf_checkpoint_last(tmp, &last, NULL));
    CHECK(last == NULL);
    pf_ident_release(&id);
    close_all();
}

/* ----------------------------------------------------------------- step 0 */

static void test_step0(void)
{
    if (!open_all(8, false))
        return;
    pf_train_args a = args(4, 2, 1);
    pf_err e = PF_ERR_INIT;
    /* one bit of one stored reference */
    double *sum = &set.ref[5].sum[1], keep = *sum;
    *sum = nextafter(*sum, 0);
    CHECK_INT(run(&a, NULL, &e), PF_E_IDENTITY);
    CHECK(strstr(e.msg, "row 5") != NULL);
    *sum = keep;
    /* chosen and rejected swapped */
    keep = set.ref[0].sum[0];
    set.ref[0].sum[0] = set.ref[0].sum[1];
    set.ref[0].sum[1] = keep;
    CHECK_INT(run(&a, NULL, NULL), PF_E_IDENTITY);
    set.ref[0].sum[1] = set.ref[0].sum[0];
    set.ref[0].sum[0] = keep;
    set.ref[3].sum[0] = NAN;
    CHECK_INT(run(&a, NULL, NULL), PF_E_IDENTITY);
    reload();
    trainset_score(&set, model);
    /* a tolerance: rms a token */
    float *tok = (float *)(uintptr_t)set.ref[2].token;
    tok[0] += 1;
    a.step0 = PF_STEP0_TOLERANCE;
    a.step0_rms = 1e-4;
    CHECK_INT(run(&a, NULL, NULL), PF_E_IDENTITY);
    a.step0_rms = 0.1;
    CHECK_OK(run(&a, NULL, NULL));
    a.step0 = PF_STEP0_REPORT;
    CHECK_OK(run(&a, NULL, NULL));
    set.rows.ref = NULL;
    pf_err_clear(&e);
    CHECK_INT(run(&a, NULL, &e), PF_E_IDENTITY);
    CHECK(strstr(e.msg, "no references") != NULL);
    set.rows.kind = PF_ROW_UNPAIRED;
    CHECK_INT(run(&a, NULL, NULL), PF_E_USAGE);
    set.rows.kind = PF_ROW_PAIR;
    set.rows.vocab = 5000;
    CHECK_INT(run(&a, NULL, NULL), PF_E_IDENTITY);
    close_all();
}

/* A step that gives no number leaves the weights and goes on. */
static void test_not_finite(void)
{
    if (!open_all(8, false))
        return;
    pf_train_args a = args(8, 1, 1);
    a.loss.kind[0] = pf_loss_find("sppo_hard");
    a.step0 = PF_STEP0_REPORT;
    set.ref[1].sum[0] = 1e300;
    uint64_t before = weights();
    CHECK_OK(run(&a, NULL, NULL));
    CHECK(weights() == before);
    close_all();
}

static void test_oom(void)
{
    if (!open_all(4, false))
        return;
    pf_train_args a = args(2, 1, 1);
    a.step0 = PF_STEP0_REPORT;
    a.output_dir = tmp;
    a.save_when = PF_WHEN_STEPS;
    fresh();
    OOM_WALK(run(&a, NULL, NULL));
    a.resume = path_in("checkpoint-1");
    a.max_steps = 1;
    OOM_WALK(run(&a, NULL, NULL));
    close_all();
}

static void test_tidy(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", tmp);
    CHECK(system(cmd) == 0);
}

static const pft_test tests[] = {
    {"likelihood and evaluation as TRL's SFTTrainer", test_seq},
    {"equal splits into micro-batches give equal bits", test_splits},
    {"stopped anywhere and resumed: the same bits", test_resume},
    {"resume of weights stored in bfloat16; limit", test_resume_bf16},
    {"damaged and foreign checkpoints", test_damage},
    {"what the first step refuses", test_step0},
    {"steps that are not finite", test_not_finite},
    {"out of memory", test_oom},
    {"leaves no files", test_tidy},
};

int main(void)
{
    snprintf(tmp, sizeof tmp, "/tmp/pf_t_train.%d", (int)getpid());
    int bad = 0, n = (int)PF_COUNTOF(tests);
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        pft_failures = 0;
        tests[i].fn();
        printf("%sok %d - %s\n", pft_failures ? "not " : "", i + 1,
               tests[i].name);
        bad += pft_failures != 0;
    }
    return bad != 0;
}
