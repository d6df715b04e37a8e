/* SPDX-License-Identifier: MIT
 *
 * prefconv: preference data in any known format -> records. */
#include <stdio.h>

#include "formats/source.h"
#include "tools/prefconv_int.h"
#include "tools/tool.h"

typedef struct settings {
    pf_common common;
    int from, to;
    const char *output, *rejects;
    bool list_formats;
} settings;

#define AT(field) offsetof(settings, field)
#define LATER "comes with a later version"
#define UNBUILT(name, arg) \
    {name, 0, PF_OPT_UNBUILT, 0, arg, LATER, 0, 0, NULL}

/* The order of pf_conv_to; the rest is not built. */
#define TO_CHOICES "pairs|messages|sft|coh|unpaired|prompts"
static const char *const to_unbuilt[] = {NULL,  NULL,       NULL,
                                         "coh", "unpaired", "prompts"};

static const pf_opt options[] = {
    {"from", 0, PF_OPT_CHOICE, AT(from), "auto|hh-rlhf|trl",
     "format of the input (default auto: by its first record)", 0, 0, NULL},
    {"to", 0, PF_OPT_CHOICE, AT(to), TO_CHOICES,
     "shape of the records (default: pairs as strings or message lists, as "
     "they come)",
     0, 0, NULL},
    {"output", 'o', PF_OPT_STRING, AT(output), "FILE",
     "write to FILE, whole or not at all (default: standard output)", 0, 0,
     NULL},
    {"rejects", 0, PF_OPT_STRING, AT(rejects), "FILE",
     "write the rows that were not kept, with reasons, as JSON Lines", 0, 0,
     NULL},
    {"list-formats", 0, PF_OPT_BOOL, AT(list_formats), NULL,
     "print the formats that --from takes", 0, 0, NULL},
    UNBUILT("map", "FIELD=PATH"),
    UNBUILT("preset", "FILE"),
    UNBUILT("dedup", "exact|prompt|near"),
    UNBUILT("split", "NAME=SHARE,..."),
    UNBUILT("only", "NAME"),
    UNBUILT("exclude", "FILE"),
    UNBUILT("sample", "N"),
    UNBUILT("shuffle", NULL),
    UNBUILT("mix", "WEIGHTS"),
    UNBUILT("binarize", "best-worst|best-random|adjacent|all"),
    UNBUILT("min-margin", "X"),
    UNBUILT("drop-if", "PATTERN"),
    UNBUILT("coh-modes", "p,n,pn,np"),
    UNBUILT("coh-phrases", "FILE"),
    UNBUILT("describe", NULL),
    UNBUILT("part", "I/N"),
    {.name = NULL},
};

static int list_formats(void)
{
    for (const pf_format *const *f = pf_formats(); *f; f++)
        printf("%-10s %s\n", (*f)->name, (*f)->about);
    return 0;
}

static void show_progress(void *ctx, uint64_t rows)
{
    pf_progress(ctx, "rows", rows, 0, NULL);
}

/* Publishes what was written: the rejects first, so that a complete output
 * never stands without them. */
static int publish(pf_conv *c, pf_err *e)
{
    pf_writer *w = c->rejects;
    c->rejects = NULL;
    int rc = w ? pf_writer_commit(w, e) : 0;
    if (rc < 0)
        return rc;
    if (c->tally.count[PF_KEPT] == 0)
        return pf_err_set(e, PF_E_FORMAT,
                          "no row was kept: nothing is written");
    pf_record_writer_finish(&c->out);
    w = c->out.w;
    c->out.w = NULL;
    return pf_writer_commit(w, e);
}

static int open_outputs(pf_conv *c, const settings *s, pf_err *e)
{
    int rc = pf_writer_open(&c->out.w, s->output ? s->output : "-",
                            s->common.force ? PF_WRITE_REPLACE : PF_WRITE_NEW,
                            e);
    if (rc == 0 && s->rejects)
        rc = pf_writer_open(&c->rejects, s->rejects, PF_WRITE_REPLACE, e);
    return rc;
}

static int run(const pf_tool *t, void *settings_, int n, char **operand,
               pf_err *e)
{
    settings *s = settings_;
    if (s->list_formats)
        return list_formats();
    if (to_unbuilt[s->to])
        return pf_err_set(e, PF_E_USAGE, "--to %s is not available: " LATER,
                          to_unbuilt[s->to]);
    pf_conv c = {
        .format = s->from ? pf_formats()[s->from - 1] : NULL,
        .to = pf_opt_given("to") ? (pf_conv_to)s->to : PF_CONV_KEEP,
        .threads = (int)s->common.threads,
        .max_line = (size_t)s->common.max_line,
        .limit = (uint64_t)s->common.limit,
        .progress = show_progress,
        .ctx = &s->common,
    };
    int rc = pf_conv_open(&c, operand, n, e);
    if (rc == 0)
        rc = open_outputs(&c, s, e);
    if (rc == 0)
        rc = pf_conv_run(&c, e);
    pf_progress_end(&s->common);
    if (rc == 0) {
        rc = publish(&c, e);
        /* After "no row was kept" the summary says why. */
        if (rc == 0 || rc == PF_E_FORMAT) {
            int told = pf_tool_summary(t, &s->common, &c.tally, c.bytes, e);
            rc = rc < 0 ? rc : told;
        }
    }
    if (rc == 0)
        rc = pf_max_bad_check(&s->common, &c.tally, e);
    pf_writer_abort(c.out.w);
    pf_writer_abort(c.rejects);
    pf_conv_close(&c);
    return rc;
}

static const pf_tool tool = {
    .name = "prefconv",
    .synopsis = "[option ...] [FILE ...]",
    .summary = "convert preference data to records",
    .options = options,
    .common = "j progress limit stats f max-line max-bad",
    .settings_size = sizeof(settings),
    .run = run,
};

int main(int argc, char **argv)
{
    return pf_tool_main(&tool, argc, argv);
}
