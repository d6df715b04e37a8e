/* SPDX-License-Identifier: MIT
 *
 * The tape, and what the parts of the JSON code know of each other.
 *
 * A value is one node; a container's node is followed by those of its
 * elements, a member is a key node (a string) followed by its value. What a
 * node is shows in the first byte of its source text.
 *
 *            begin, end        a                      b
 *   string   with its quotes   side offset + 1, or 0  unescaped length
 *   array,   with brackets     node after the last    count
 *   object                     descendant
 *   others   the text          -                      -
 *
 * The byte before a string in the side buffer is pf_jplain() of it.
 * While a container is open, a is its parent (PF_JSON_TOP for none). The side
 * buffer holds the strings that had escapes, and is as long as the text plus
 * PF_JSON_PAD, so that vector stores need no check. */
#ifndef PF_BASE_JSON_INT_H
#define PF_BASE_JSON_INT_H

#include "base/json.h"

#define PF_JSON_DEPTH 1024
#define PF_JSON_TOP UINT32_MAX
#define PF_JSON_PAD 64

typedef struct pf_jnode {
    uint32_t begin, end, a, b;
} pf_jnode;

struct pf_json {
    const unsigned char *text;
    size_t n;
    pf_jnode *tape;
    size_t n_tape, tape_cap;
    unsigned char *side;
    size_t n_side, side_cap;
    size_t duplicates;
    uint32_t *set; /* hash set of key nodes, for large objects */
    size_t set_cap;
};

/* One parse, by tier. j->text and j->n are set, the rest is empty. */
int pf_json_run_scalar(pf_json *j, pf_err *e);
int pf_json_run_avx2(pf_json *j, pf_err *e);
int pf_json_run_avx512(pf_json *j, pf_err *e);

/* Writes the escaped form of [p, end) without quotes at dst, which has room
 * for 6 bytes for each and PF_JSON_PAD; returns its end. */
char *pf_json_escape_scalar(char *dst, const unsigned char *p,
                            const unsigned char *end);
char *pf_json_escape_avx2(char *dst, const unsigned char *p,
                          const unsigned char *end);
char *pf_json_escape_avx512(char *dst, const unsigned char *p,
                            const unsigned char *end);

/* "invalid JSON: WHAT" at p, or "... ends early" when p is the end. */
int pf_json_fail(const pf_json *j, const unsigned char *p, const char *what,
                 pf_err *e);
/* Adds to j->duplicates those of the object that has just been closed. */
int pf_json_find_duplicates(pf_json *j, uint32_t object, pf_err *e);
/* Unescapes "\..." at p (a backslash) to *dst, which it moves; returns the
 * byte after it, or NULL when malformed. */
const unsigned char *pf_json_unescape(const unsigned char *p,
                                      const unsigned char *end,
                                      unsigned char **dst);
/* Writes the escape of c, which needs one; returns its end. */
char *pf_json_put_escape(char *dst, unsigned char c);

/* The double nearest to a number of JSON syntax. */
double pf_json_to_f64(pf_slice number);

/* 10^k as a 128-bit fraction, -292 <= k <= 324: floor(10^k / 2^r) + 1 with r
 * such that it lies in [2^127, 2^128). json_pow10.c */
typedef struct pf_pow10 {
    uint64_t hi, lo;
} pf_pow10;
#define PF_POW10_MIN (-292)
#define PF_POW10_MAX 324
extern const pf_pow10 pf_pow10_table[PF_POW10_MAX - PF_POW10_MIN + 1];

#endif
