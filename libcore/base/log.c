/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void pf_log_msg(const pf_log *l, pf_log_level level, const char *fmt, ...)
{
    if (!l || !l->sink || level > l->level)
        return;
    char buf[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    l->sink(l->ctx, level, buf);
}
