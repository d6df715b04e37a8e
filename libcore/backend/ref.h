/* SPDX-License-Identifier: MIT
 *
 * The oracle: every operation of ops.h as the plainest loop, with
 * act = acc = f64 and f32 masters. Slow on purpose; what the other backends
 * and the layer loops are measured against. It ignores the pool. */
#ifndef PF_BACKEND_REF_H
#define PF_BACKEND_REF_H

#include "model/ops.h"

/* dtype: "auto" or "f64"; anything else is PF_E_USAGE. */
PF_MUST_CHECK int pf_backend_ref_open(pf_backend **out, const char *dtype,
                                      pf_pool *pool, pf_err *e);

#endif
