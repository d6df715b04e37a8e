/* SPDX-License-Identifier: MIT
 *
 * The formats, for the registry in source.c. */
#ifndef PF_FORMATS_REGISTRY_H
#define PF_FORMATS_REGISTRY_H

#include "formats/source.h"

extern const pf_format pf_format_hh_rlhf;
extern const pf_format pf_format_trl;

#endif
