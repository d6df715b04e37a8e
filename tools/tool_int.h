/* SPDX-License-Identifier: MIT
 *
 * Shared by tool.c and tool_report.c. */
#ifndef PF_TOOLS_TOOL_INT_H
#define PF_TOOLS_TOOL_INT_H

#include <stdbool.h>

/* Writes text to standard error in place of a progress line, if one stands
 * there. stays: with a newline; otherwise it is the progress line. */
void pf_tool_put(const char *text, bool stays);

void pf_tool_start_clock(void);

#endif
