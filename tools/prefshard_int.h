/* SPDX-License-Identifier: MIT
 *
 * The verbs of prefshard; each takes one operand: a set's directory, a stream
 * file, or "-". */
#ifndef PF_TOOLS_PREFSHARD_INT_H
#define PF_TOOLS_PREFSHARD_INT_H

#include <stdio.h>

#include "formats/shard.h"
#include "tools/tool.h"

typedef struct pf_prefshard {
    pf_common common;
    const char *output, *ref, *row;
    int to;
    bool per_token, numpy;
} pf_prefshard;

PF_MUST_CHECK int pf_prefshard_ls(const pf_prefshard *s, const char *path,
                                  pf_err *e);
PF_MUST_CHECK int pf_prefshard_show(const pf_prefshard *s, const char *path,
                                    pf_err *e);
PF_MUST_CHECK int pf_prefshard_verify(const pf_prefshard *s, const char *path,
                                      pf_err *e);
PF_MUST_CHECK int pf_prefshard_export(const pf_prefshard *s, const char *path,
                                      pf_err *e);

#endif
