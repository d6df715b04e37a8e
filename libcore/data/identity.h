/* SPDX-License-Identifier: MIT
 *
 * Identity: what must be equal for two things to belong together, by content
 * only, never by path, time or host.
 *
 *   recipe_id  SHA-256 of the canonical JSON of all that decides a row given
 *              its record (known before the first row)
 *   set_id     SHA-256 over recipe_id and the ordered row keys
 *   a reference's identity adds the weights digest, config fields that change
 *   logits, dtype and kernel_id, and the hash of the rows it covers
 *
 * An identity is an ordered list of key = value, values being strings. Keys
 * are dotted, lower case. `prefshard why` prints the keys that differ. */
#ifndef PF_DATA_IDENTITY_H
#define PF_DATA_IDENTITY_H

#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/str.h"

typedef struct pf_ident_item {
    char *key, *value;
} pf_ident_item;

/* Zero-initialise; release with pf_ident_release. Kept sorted by key. */
typedef struct pf_ident {
    pf_ident_item *item;
    size_t n, cap;
} pf_ident;

void pf_ident_release(pf_ident *id);
/* Adds or replaces. < 0 when out of memory. */
PF_MUST_CHECK int pf_ident_set(pf_ident *id, const char *key,
                               const char *value, pf_err *e);
PF_MUST_CHECK int pf_ident_setf(pf_ident *id, pf_err *e, const char *key,
                                const char *fmt, ...) PF_PRINTF(4, 5);
const char *pf_ident_get(const pf_ident *id, const char *key); /* or NULL */
/* Canonical JSON object {"key":"value",...}, keys sorted bytewise. */
PF_MUST_CHECK int pf_ident_json(const pf_ident *id, pf_buf *out, pf_err *e);
/* From such an object; other shapes are PF_E_FORMAT. */
PF_MUST_CHECK int pf_ident_of_json(pf_ident *id, pf_jval v, pf_err *e);
/* SHA-256 of the canonical JSON. */
PF_MUST_CHECK int pf_ident_digest(const pf_ident *id,
                                  uint8_t out[PF_SHA256_BYTES], pf_err *e);

/* Calls fn for every key whose values differ (NULL = absent on that side), in
 * order of keys. Returns how many. */
typedef void pf_ident_diff_fn(void *ctx, const char *key, const char *a,
                              const char *b);
size_t pf_ident_diff(const pf_ident *a, const pf_ident *b,
                     pf_ident_diff_fn *fn, void *ctx);

/* PF_E_IDENTITY with a message naming the differing keys and both values
 * (as many as fit), or 0. what names the two sides: "references", "shards". */
PF_MUST_CHECK int pf_ident_require(const pf_ident *want, const pf_ident *got,
                                   const char *what, pf_err *e);

/* set_id: init with the recipe, add row keys in order, finish. */
typedef struct pf_set_hash {
    pf_sha256 sha;
} pf_set_hash;
void pf_set_hash_init(pf_set_hash *h, const uint8_t recipe[PF_SHA256_BYTES]);
void pf_set_hash_add(pf_set_hash *h, pf_hash128 row_key);
void pf_set_hash_final(pf_set_hash *h, uint8_t out[PF_SHA256_BYTES]);

#endif
