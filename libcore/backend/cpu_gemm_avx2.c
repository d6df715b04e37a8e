/* SPDX-License-Identifier: MIT
 *
 * Tile kernels in AVX2 and FMA. */
#include "backend/cpu_gemm_body_int.h"
