/* SPDX-License-Identifier: MIT
 *
 * Row kernels in portable C. */
#include "backend/cpu_rows_body_int.h"
