/* SPDX-License-Identifier: MIT */
#include "backend/cpu.h"

int pf_backend_cpu_open(pf_backend **out, const char *dtype, pf_pool *pool,
                        pf_err *e)
{
    (void)dtype;
    (void)pool;
    *out = NULL;
    return pf_err_set(e, PF_E_USAGE, "backend \"cpu\" is not built");
}
