/* SPDX-License-Identifier: MIT
 *
 * Hash map from byte strings to 64-bit values; keys are copied in.
 *
 * Iteration is in insertion order, so whatever is derived from a map is
 * deterministic. Open addressing over an index table; entries in one array.
 * Not thread-safe for writers; concurrent pf_map_get is fine. */
#ifndef PF_BASE_MAP_H
#define PF_BASE_MAP_H

#include "base/str.h"

typedef struct pf_map pf_map;

/* NULL when out of memory. seed varies the hash (0 is fine for trusted keys;
 * keys from a file may use any other number). */
PF_MUST_CHECK pf_map *pf_map_new(uint64_t seed);
void pf_map_free(pf_map *m);
size_t pf_map_count(const pf_map *m);

/* Pointer to the value of key, or NULL. Valid until the next pf_map_put. */
uint64_t *pf_map_get(const pf_map *m, pf_slice key);

/* Finds or inserts key. Returns its value's address, with *added telling
 * whether it is new (then the value is 0). NULL when out of memory. */
PF_MUST_CHECK uint64_t *pf_map_put(pf_map *m, pf_slice key, bool *added);

/* The i-th entry by insertion, i < pf_map_count(). */
pf_slice pf_map_key(const pf_map *m, size_t i);
uint64_t pf_map_value(const pf_map *m, size_t i);

#endif
