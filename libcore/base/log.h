/* SPDX-License-Identifier: MIT
 *
 * Messages from libraries to whoever runs them. A library gets a pf_log and
 * never prints by itself; tools give one that writes to standard error. A
 * NULL pf_log or sink swallows everything. */
#ifndef PF_BASE_LOG_H
#define PF_BASE_LOG_H

#include "base/compiler.h"

typedef enum pf_log_level {
    PF_LOG_WARN,  /* shown unless -q */
    PF_LOG_INFO,  /* shown on a terminal or with -v */
    PF_LOG_DEBUG, /* shown with -vv */
} pf_log_level;

typedef struct pf_log {
    void (*sink)(void *ctx, pf_log_level level, const char *message);
    void *ctx;
    pf_log_level level; /* messages above it are not formatted */
} pf_log;

void pf_log_msg(const pf_log *l, pf_log_level level, const char *fmt, ...)
    PF_PRINTF(3, 4);

#endif
