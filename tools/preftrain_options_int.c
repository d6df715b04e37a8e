/* SPDX-License-Identifier: MIT
 *
 * preftrain's options: the names of TRL's DPOConfig and transformers'
 * TrainingArguments, their defaults, and for every one that has no effect or
 * no place here the reason. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/preftrain_int.h"

#define AT(field) offsetof(pf_train_settings_cli, field)
#define CHOICE(name, field, words, help) \
    {name, 0, PF_OPT_CHOICE, AT(field), words, help, 0, 0, NULL}
#define BOOL(name, field, help) \
    {name, 0, PF_OPT_BOOL, AT(field), NULL, help, 0, 0, NULL}
#define TEXT(name, field, arg, help) \
    {name, 0, PF_OPT_STRING, AT(field), arg, help, 0, 0, NULL}
#define INT(name, field, lo, help) \
    {name, 0, PF_OPT_INT, AT(field), "N", help, lo, 0x1p31 - 1, NULL}
#define NUM(name, field, lo, hi, help) \
    {name, 0, PF_OPT_FLOAT, AT(field), "X", help, lo, hi, NULL}
#define LIST(name, field, arg, help) \
    {name, 0, PF_OPT_LIST, AT(field), arg, help, 0, 0, NULL}
#define REFUSED(name, why) \
    {name, 0, PF_OPT_UNBUILT, 0, NULL, why, 0, 0, NULL}
#define LATER(name) REFUSED(name, "comes with a later version")
#define GONE(name) REFUSED(name, "TRL 1.16 has removed it")
#define NO_ADAPTERS(name) REFUSED(name, "adapters and quantised weights are " \
                                        "not built: all weights are trained")
#define NOT_THE_REF(name) REFUSED(name, "the reference is fixed: its " \
                                        "log-probabilities come with the rows")
#define ANY 0x1p53

const pf_opt pf_preftrain_options[] = {
    {"model", 'm', PF_OPT_STRING, AT(model), "MODEL",
     "model to train: a directory, or org/name in the Hugging Face cache", 0,
     0, "model_name_or_path"},
    TEXT("train_dataset", train_dataset, "DIR", "shard set to train on"),
    LIST("eval_dataset", eval_dataset, "[NAME=]DIR",
         "shard sets to evaluate on; NAME stands in the metrics"),
    {"output_dir", 'o', PF_OPT_STRING, AT(output_dir), "DIR",
     "where the trained model, metrics and checkpoints go", 0, 0, NULL},
    BOOL("do_train", do_train, "train (default); false: evaluate only"),
    TEXT("ref", ref, "NAME",
         "which reference of the sets; needed when it is by other weights "
         "than the model's"),
    BOOL("allow_imported_refs", allow_imported_refs,
         "take reference sums that came with the rows, of unknown origin"),
    CHOICE("backend", backend, "auto|cpu|ref", "how to compute (auto)"),
    BOOL("bf16", bf16,
         "compute in bfloat16 (or not; default: as the references)"),
    CHOICE("init", init, "pretrained|random",
           "weights to start from (pretrained)"),
    CHOICE("gradient_checkpointing", gradient_checkpointing,
           "auto|true|false", "recompute activations to save memory (auto)"),
    CHOICE("save_dtype", save_dtype, "float32|bfloat16",
           "type of the weights that are written (float32)"),
    TEXT("dump_grads", dump_grads, "FILE",
         "write the gradient of step 1, before clipping, as safetensors"),
    TEXT("log_rows", log_rows, "FILE",
         "write loss and log-probabilities of every row trained or evaluated on, as "
         "JSON Lines"),
    TEXT("resume_from_checkpoint", resume, "DIR|true",
         "go on from a checkpoint; true: the newest in output_dir"),
    {"max_length", 0, PF_OPT_INT, AT(max_length), "N",
     "refuse sets with longer rows (rows are cut by preftok)", 1, 0x1p31 - 1,
     NULL},
    CHOICE("truncation_mode", truncation_mode, "keep_start|keep_end",
           "checked only: rows are cut by preftok"),
    /* loss */
    LIST("loss_type", loss_type, "NAME",
         "sigmoid (default for pairs), cdpo, robust, hinge, ipo, exo_pair, "
         "nca_pair, bco_pair, sppo_hard, apo_zero, apo_down, discopop, "
         "sigmoid_norm, or several; nll for seq rows"),
    LIST("loss_weights", loss_weights, "X", "one weight for each loss (1)"),
    NUM("beta", beta, 0, 1e6, "strength of the pull to the reference (0.1)"),
    NUM("label_smoothing", label_smoothing, 0, 1,
        "share of labels taken as flipped (0)"),
    NUM("discopop_tau", discopop_tau, 0, 1e6, "temperature of discopop (0.05)"),
    /* update */
    NUM("learning_rate", learning_rate, 0, 1e3, "peak learning rate (1e-6)"),
    TEXT("lr_scheduler_type", lr_scheduler_type, "NAME",
         "linear (default), cosine, constant, constant_with_warmup"),
    {"warmup_steps", 0, PF_OPT_FLOAT, AT(warmup_steps), "N",
     "steps of warm-up; below 1 a share of all steps (0)", 0, ANY,
     "warmup_ratio"},
    TEXT("optim", optim, "NAME", "adamw_torch, adamw_torch_fused (the same)"),
    NUM("adam_beta1", adam_beta1, 0, 1, "decay of the first moment (0.9)"),
    NUM("adam_beta2", adam_beta2, 0, 1, "decay of the second moment (0.999)"),
    NUM("adam_epsilon", adam_epsilon, 0, 1, "added to the divisor (1e-8)"),
    NUM("weight_decay", weight_decay, 0, 1e3,
        "decoupled decay of matrices, embeddings and head (0)"),
    NUM("max_grad_norm", max_grad_norm, 0, ANY,
        "gradients are clipped to this norm, 0: not (1)"),
    /* steps */
    INT("per_device_train_batch_size", train_batch, 1,
        "rows in a micro-batch (8)"),
    INT("per_device_eval_batch_size", eval_batch, 1,
        "rows in a batch of evaluation (8)"),
    INT("gradient_accumulation_steps", accum, 1,
        "micro-batches in a step (1)"),
    NUM("num_train_epochs", epochs, 0, 1e9, "passes over the rows (3)"),
    {"max_steps", 0, PF_OPT_INT, AT(max_steps), "N",
     "steps in all; above 0 it overrides num_train_epochs (-1)", -1, ANY,
     NULL},
    {"data_seed", 0, PF_OPT_INT, AT(data_seed), "N",
     "seed of the row order (default: seed)", 0, ANY, NULL},
    CHOICE("train_sampling_strategy", sampling, "random|sequential",
           "order of rows: torch's permutation of the epoch, or as stored "
           "(random)"),
    BOOL("dataloader_drop_last", drop_last,
         "leave out the last, short micro-batch"),
    /* when */
    CHOICE("logging_strategy", logging_strategy, "no|steps|epoch",
           "when to log (steps)"),
    NUM("logging_steps", logging_steps, 0, ANY,
        "steps between logs; below 1 a share of all steps (10)"),
    BOOL("logging_first_step", logging_first_step, "log the first step too"),
    CHOICE("eval_strategy", eval_strategy, "no|steps|epoch",
           "when to evaluate (no)"),
    NUM("eval_steps", eval_steps, 0, ANY,
        "steps between evaluations (default: logging_steps)"),
    BOOL("eval_on_start", eval_on_start, "evaluate before the first step"),
    NUM("eval_delay", eval_delay, 0, ANY,
        "steps or epochs before the first evaluation (0)"),
    CHOICE("save_strategy", save_strategy, "no|steps|epoch",
           "when to save checkpoints (steps)"),
    NUM("save_steps", save_steps, 0, ANY,
        "steps between checkpoints; below 1 a share of all steps (500)"),
    {"save_total_limit", 0, PF_OPT_INT, AT(save_total_limit), "N",
     "checkpoints kept; 0: all (0)", 0, 0x1p31 - 1, NULL},
    BOOL("save_only_model", save_only_model,
         "checkpoints without what a resume needs"),
    /* taken, no effect; pf_preftrain_notes says why */
    CHOICE("report_to", report_to, "none", "metrics go to metrics.jsonl"),
    TEXT("run_name", text_unused, "NAME", "no effect"),
    TEXT("dtype", text_unused, "NAME", "no effect"),
    TEXT("attn_implementation", text_unused, "NAME", "no effect"),
    BOOL("precompute_ref_log_probs", bool_unused, "no effect"),
    INT("precompute_ref_batch_size", int_unused, 1, "no effect"),
    BOOL("push_to_hub", bool_unused, "no effect"),
    BOOL("disable_tqdm", bool_unused, "no effect"),
    BOOL("use_cpu", bool_unused, "no effect"),
    BOOL("remove_unused_columns", bool_unused, "no effect"),
    INT("dataset_num_proc", int_unused, 0, "no effect"),
    INT("dataloader_num_workers", int_unused, 0, "no effect"),
    /* refused */
    LATER("config"),
    LATER("fcm_max_ratio"),
    LATER("lr_scheduler_kwargs"),
    LATER("optim_args"),
    LATER("f_divergence_type"),
    LATER("f_alpha_divergence_coef"),
    LATER("ld_alpha"),
    LATER("use_weighting"),
    LATER("load_best_model_at_end"),
    LATER("metric_for_best_model"),
    LATER("greater_is_better"),
    REFUSED("dataset_name", "rows come from shard sets: --train_dataset DIR"),
    REFUSED("fp16", "only float32 and bfloat16 are built"),
    REFUSED("deepspeed", "one process trains"),
    REFUSED("fsdp", "one process trains"),
    REFUSED("padding_free", "blocks never hold padding"),
    REFUSED("neftune_noise_alpha", "the first step would not be exact"),
    REFUSED("trust_remote_code", "no code is ever loaded with a model"),
    REFUSED("auto_find_batch_size", "memory is planned before the run"),
    REFUSED("group_by_length", "blocks are packed by length already"),
    NOT_THE_REF("ref_model"),
    NOT_THE_REF("sync_ref_model"),
    NOT_THE_REF("ref_model_mixup_alpha"),
    NOT_THE_REF("ref_model_sync_steps"),
    NO_ADAPTERS("use_peft"),
    NO_ADAPTERS("lora_r"),
    NO_ADAPTERS("lora_alpha"),
    NO_ADAPTERS("lora_target_modules"),
    NO_ADAPTERS("load_in_4bit"),
    NO_ADAPTERS("load_in_8bit"),
    GONE("rpo_alpha"),
    GONE("reference_free"),
    GONE("max_prompt_length"),
    GONE("max_completion_length"),
    {.name = NULL},
};

void pf_preftrain_defaults(void *settings)
{
    pf_train_settings_cli *s = settings;
    s->common.seed = 42;
    s->do_train = true;
    s->beta = 0.1;
    s->discopop_tau = 0.05;
    s->learning_rate = 1e-6;
    s->lr_scheduler_type = "linear";
    s->optim = "adamw_torch";
    s->adam_beta1 = 0.9;
    s->adam_beta2 = 0.999;
    s->adam_epsilon = 1e-8;
    s->max_grad_norm = 1;
    s->train_batch = s->eval_batch = 8;
    s->accum = 1;
    s->epochs = 3;
    s->max_steps = -1;
    s->logging_strategy = s->save_strategy = PF_WHEN_STEPS;
    s->logging_steps = 10;
    s->save_steps = 500;
}

void pf_preftrain_notes(void)
{
    static const struct {
        const char *name, *why;
    } notes[] = {
        {"run_name", "metrics go to metrics.jsonl"},
        {"dtype", "masters are float32; --bf16 decides how to compute"},
        {"attn_implementation", "there is one attention"},
        {"precompute_ref_log_probs", "references always come with the rows"},
        {"precompute_ref_batch_size", "references come with the rows"},
        {"push_to_hub", "nothing is uploaded"},
        {"remove_unused_columns", "shards hold nothing unused"},
        {"dataset_num_proc", "rows are tokenised already; see -j"},
        {"dataloader_num_workers", "rows are mapped from disk"},
    };
    for (size_t i = 0; i < PF_COUNTOF(notes); i++)
        if (pf_opt_given(notes[i].name))
            pf_log_msg(pf_tool_log(), PF_LOG_WARN, "--%s has no effect: %s",
                       notes[i].name, notes[i].why);
}

static int whole(const char *name, double v, pf_err *e)
{
    if (v > 0 && (v < 1 || v == floor(v)))
        return 0;
    return pf_err_set(e, PF_E_USAGE,
                      "--%s: %g is neither a whole number of steps nor a "
                      "share below 1", name, v);
}

static int set_losses(const pf_train_settings_cli *s, pf_train_args *a,
                      pf_err *e)
{
    pf_loss_args *l = &a->loss;
    char q[64];
    if (s->loss_type.n > PF_LOSS_MAX_MIX)
        return pf_err_set(e, PF_E_USAGE, "--loss_type: at most %d losses",
                          PF_LOSS_MAX_MIX);
    if (s->loss_weights.n && s->loss_weights.n != PF_MAX(s->loss_type.n, 1))
        return pf_err_set(e, PF_E_USAGE,
                          "--loss_weights: %zu weights for %zu losses",
                          s->loss_weights.n, PF_MAX(s->loss_type.n, 1));
    l->n_kind = PF_MAX(s->loss_type.n, 1);
    for (size_t i = 0; i < l->n_kind; i++) {
        const char *name = s->loss_type.n ? s->loss_type.v[i] : "sigmoid";
        l->kind[i] = pf_loss_find(name);
        if (!l->kind[i])
            return pf_err_set(e, PF_E_USAGE, "--loss_type: no such loss: %s",
                              pf_err_quote(q, sizeof q, name, strlen(name)));
        l->weight[i] = 1;
        if (!s->loss_weights.n)
            continue;
        const char *w = s->loss_weights.v[i];
        char *end;
        l->weight[i] = strtod(w, &end);
        if (end == w || *end || !isfinite(l->weight[i]))
            return pf_err_set(e, PF_E_USAGE,
                              "--loss_weights: %s is not a number",
                              pf_err_quote(q, sizeof q, w, strlen(w)));
    }
    return pf_loss_check(l, e);
}

static int set_loss(const pf_train_settings_cli *s, bool seq,
                    pf_train_args *a, pf_err *e)
{
    a->loss.beta = s->beta;
    a->loss.label_smoothing = s->label_smoothing;
    a->loss.discopop_tau = s->discopop_tau;
    if (!seq)
        return set_losses(s, a, e);
    bool nll = s->loss_type.n == 0 ||
               (s->loss_type.n == 1 && strcmp(s->loss_type.v[0], "nll") == 0);
    if (!nll || s->loss_weights.n || s->label_smoothing != 0)
        return pf_err_set(e, PF_E_USAGE,
                          "seq rows are trained by likelihood alone "
                          "(--loss_type nll)");
    return 0;
}

int pf_preftrain_args(const pf_train_settings_cli *s, bool seq,
                      pf_train_args *a, pf_err *e)
{
    *a = (pf_train_args){
        .batch = (uint32_t)s->train_batch,
        .eval_batch = (uint32_t)s->eval_batch,
        .accum = (uint32_t)s->accum,
        .epochs = s->epochs,
        .max_steps = s->max_steps,
        .drop_last = s->drop_last,
        .random = s->sampling == 0,
        .order_seed = (uint64_t)(pf_opt_given("data_seed")
                                     ? s->data_seed : s->common.seed),
        .optim = {.beta1 = s->adam_beta1, .beta2 = s->adam_beta2,
                  .eps = s->adam_epsilon, .weight_decay = s->weight_decay,
                  .max_grad_norm = s->max_grad_norm},
        .lr = s->learning_rate,
        .warmup_steps = s->warmup_steps,
        .log_when = (pf_when)s->logging_strategy,
        .eval_when = (pf_when)s->eval_strategy,
        .save_when = (pf_when)s->save_strategy,
        .log_steps = s->logging_steps,
        .eval_steps = pf_opt_given("eval_steps") ? s->eval_steps
                                                 : s->logging_steps,
        .save_steps = s->save_steps,
        .eval_delay = s->eval_delay,
        .log_first = s->logging_first_step,
        .eval_on_start = s->eval_on_start,
        .save_limit = s->save_total_limit,
        .save_only_model = s->save_only_model,
        .output_dir = s->output_dir,
        .dump_grads = s->dump_grads,
        .log_rows = s->log_rows,
        .save_dtype = s->save_dtype ? PF_DT_BF16 : PF_DT_F32,
        .train = s->do_train,
    };
    int rc = whole("logging_steps", a->log_steps, e);
    if (rc == 0)
        rc = whole("eval_steps", a->eval_steps, e);
    if (rc == 0)
        rc = whole("save_steps", a->save_steps, e);
    if (rc == 0)
        rc = pf_schedule_parse(s->lr_scheduler_type, &a->schedule, e);
    if (rc == 0)
        rc = pf_optim_parse(s->optim, &a->optim.kind, e);
    if (rc == 0)
        rc = set_loss(s, seq, a, e);
    return rc;
}
