/* SPDX-License-Identifier: MIT
 *
 * Pre-tokenizers: text -> pieces that BPE merges within.
 *
 * Hand-written scanners for two families of regular expressions. A file's
 * regex is matched against the known ones byte for byte; any other has no
 * scanner here and is refused by the loader. */
#ifndef PF_TEXT_PRETOK_H
#define PF_TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef enum pf_pretok_kind {
    PF_PRETOK_GPT2,   /* ByteLevel's own regex */
    PF_PRETOK_CL100K, /* the llama-3 / qwen-2 regex */
} pf_pretok_kind;

typedef struct pf_pretok {
    pf_pretok_kind kind;
    unsigned max_digits; /* CL100K: \p{N}{1,max_digits} */
    bool digits_apart;   /* GPT2: a Digits(individual) step comes before */
} pf_pretok;

/* The pre-tokenizer of a Split regex, or false. */
bool pf_pretok_of_regex(pf_slice regex, pf_pretok *out);

/* The next pieces of valid UTF-8 text [pos, n): their end offsets (relative
 * to p) into end, at most cap of them. Pieces tile the text, so each begins
 * where the one before ended. Returns how many; 0 only when pos == n. */
size_t pf_pretok_scan(const pf_pretok *t, const char *p, size_t n, size_t pos,
                      size_t *end, size_t cap);

#endif
