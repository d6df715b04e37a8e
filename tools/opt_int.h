/* SPDX-License-Identifier: MIT
 *
 * Shared by opt.c (parsing) and opt_help.c (what is printed about options). */
#ifndef PF_TOOLS_OPT_INT_H
#define PF_TOOLS_OPT_INT_H

#include "tools/tool.h"

/* Walks the options of a tool: its own, then the common ones that apply.
 * i counts from 0; NULL at the end. */
const pf_opt *pf_opt_at(const pf_tool *t, size_t i);

/* Offset of options that are served by the parser itself. */
#define PF_OPT_SERVED ((size_t)-1)

/* A counter such as -v: INT without an argument. */
static inline bool pf_opt_takes_value(const pf_opt *o)
{
    return o->type != PF_OPT_BOOL && !(o->type == PF_OPT_INT && !o->arg);
}
static inline bool pf_opt_value_optional(const pf_opt *o)
{
    return o->arg && o->arg[0] == '[' && o->arg[strlen(o->arg) - 1] == ']';
}

/* Each appends to out what its option prints. */
void pf_opt_help(const pf_tool *t, pf_buf *out);       /* --help */
void pf_opt_version(const pf_tool *t, pf_buf *out);    /* --version */
void pf_opt_mdoc(const pf_tool *t, pf_buf *out);       /* --help-mdoc */
void pf_opt_completion(const pf_tool *t, pf_buf *out); /* --help-completion */

/* --max-bad "N" or "P%": exactly one of *rows, *percent is >= 0. */
PF_MUST_CHECK int pf_max_bad_parse(const char *s, int64_t *rows,
                                   double *percent, pf_err *e);

#endif
