/* SPDX-License-Identifier: MIT
 *
 * prefshard: looks into chunk streams and shard sets. */
#include <string.h>

#include "tools/prefshard_int.h"

#define AT(field) offsetof(pf_prefshard, field)
#define LATER "comes with a later version"

static const pf_opt options[] = {
    {"to", 0, PF_OPT_CHOICE, AT(to), "trl|jsonl",
     "export: trl = TRL's columns; jsonl = the same with _src, which preftok "
     "reads again",
     0, 0, NULL},
    {"per-token", 0, PF_OPT_BOOL, AT(per_token), NULL,
     "export: per-token reference log-probs too", 0, 0, NULL},
    {"ref", 0, PF_OPT_STRING, AT(ref), "NAME",
     "show, export: which references (default: the only ones; 'imported' = "
     "those that came with the rows)",
     0, 0, NULL},
    {"row", 0, PF_OPT_STRING, AT(row), "N|FILE:OFFSET:SUB",
     "show: one row, by its place or by its source", 0, 0, NULL},
    {"numpy", 0, PF_OPT_BOOL, AT(numpy), NULL,
     "ls: a np.memmap line for every section", 0, 0, NULL},
    {"output", 'o', PF_OPT_STRING, AT(output), "FILE",
     "export: write to FILE, whole or not at all", 0, 0, NULL},
    {"source", 0, PF_OPT_UNBUILT, 0, "FILE", LATER, 0, 0, NULL},
    {.name = NULL},
};

typedef int verb_fn(const pf_prefshard *s, const char *path, pf_err *e);

/* NULL: named in the design, not built. */
static const struct {
    const char *name;
    verb_fn *fn;
} verbs[] = {
    {"ls", pf_prefshard_ls},         {"show", pf_prefshard_show},
    {"verify", pf_prefshard_verify}, {"export", pf_prefshard_export},
    {"stat", NULL},   {"why", NULL},    {"sum", NULL},  {"cat", NULL},
    {"merge", NULL},  {"split", NULL},  {"filter", NULL},
    {"sample", NULL}, {"import", NULL}, {"plan", NULL},
};

static int run(const pf_tool *t, void *settings, int n, char **operand,
               pf_err *e)
{
    const pf_prefshard *s = settings;
    (void)t;
    if (n == 0)
        return pf_err_set(e, PF_E_USAGE,
                          "a verb is needed: ls, show, verify or export");
    size_t v = 0;
    while (v < PF_COUNTOF(verbs) && strcmp(verbs[v].name, operand[0]) != 0)
        v++;
    if (v == PF_COUNTOF(verbs))
        return pf_err_set(e, PF_E_USAGE, "unknown verb '%.40s'", operand[0]);
    if (!verbs[v].fn)
        return pf_err_set(e, PF_E_USAGE, "%s is not available: " LATER,
                          verbs[v].name);
    if (n > 2 && verbs[v].fn == pf_prefshard_export)
        return pf_err_set(e, PF_E_USAGE, "export takes one input");
    if (n == 1)
        return verbs[v].fn(s, "-", e);
    for (int i = 1; i < n; i++) {
        int rc = verbs[v].fn(s, operand[i], e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static const pf_tool tool = {
    .name = "prefshard",
    .synopsis = "ls|show|verify|export [option ...] [DIR | FILE | -]",
    .summary = "look into token rows: sets and streams",
    .options = options,
    .common = "limit f",
    .settings_size = sizeof(pf_prefshard),
    .run = run,
};

int main(int argc, char **argv)
{
    return pf_tool_main(&tool, argc, argv);
}
