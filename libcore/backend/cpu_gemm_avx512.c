/* SPDX-License-Identifier: MIT
 *
 * Tile kernels in AVX-512. */
#include "backend/cpu_gemm_body_int.h"
