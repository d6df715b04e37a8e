/* SPDX-License-Identifier: MIT
 *
 * Row kernels in AVX2 and FMA. */
#include "backend/cpu_rows_body_int.h"
