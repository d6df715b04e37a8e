/* SPDX-License-Identifier: MIT
 *
 * Row kernels in AVX-512. */
#include "backend/cpu_rows_body_int.h"
