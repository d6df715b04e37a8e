/* SPDX-License-Identifier: MIT
 *
 * Tile kernels in portable C. */
#include "backend/cpu_gemm_body_int.h"
