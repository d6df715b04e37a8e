/* SPDX-License-Identifier: MIT
 *
 * Which backend a name means. */
#include "backend/cpu.h"
#include "backend/ref.h"
#include "model/ops.h"

#include <string.h>

int pf_backend_open(pf_backend **out, const char *name, const char *dtype,
                    pf_pool *pool, pf_err *e)
{
    *out = NULL;
    if (strcmp(name, "auto") == 0 || strcmp(name, "cpu") == 0)
        return pf_backend_cpu_open(out, dtype, pool, e);
    if (strcmp(name, "ref") == 0)
        return pf_backend_ref_open(out, dtype, pool, e);
    return pf_err_set(e, PF_E_USAGE,
                      "unknown backend \"%s\": auto, cpu and ref are known",
                      name);
}

void pf_backend_close(pf_backend *be)
{
    if (be)
        be->close(be);
}
