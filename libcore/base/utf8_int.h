/* SPDX-License-Identifier: MIT
 *
 * pf_utf8_check by tier; utf8.c picks. The vector forms look for a block
 * that holds an error and leave finding it to the scalar one. */
#ifndef PF_BASE_UTF8_INT_H
#define PF_BASE_UTF8_INT_H

#include <stddef.h>

size_t pf_utf8_check_scalar(const char *p, size_t n);
size_t pf_utf8_check_avx2(const char *p, size_t n);
size_t pf_utf8_check_avx512(const char *p, size_t n);

/* The scalar check of [done, n), where all before done is valid but for a
 * sequence that may be open there. */
size_t pf_utf8_check_from(const char *p, size_t n, size_t done);

#endif
