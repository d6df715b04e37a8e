/* SPDX-License-Identifier: MIT
 *
 * The CPU backend: AMX-bf16, AVX-512, AVX2 or portable C by what the machine
 * has. */
#ifndef PF_BACKEND_CPU_H
#define PF_BACKEND_CPU_H

#include "model/ops.h"

/* dtype: "auto" (the fastest that is exact enough here), "f32", "bf16"; one
 * that the machine lacks is PF_E_USAGE. */
PF_MUST_CHECK int pf_backend_cpu_open(pf_backend **out, const char *dtype,
                                      pf_pool *pool, pf_err *e);

#endif
