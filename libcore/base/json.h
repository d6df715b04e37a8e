/* SPDX-License-Identifier: MIT
 *
 * JSON (RFC 8259), strict: a tape reader and a streaming writer.
 *
 * Reader. One pass over the text fills a tape of values in document order;
 * every value knows its byte range in the source, so raw text can be copied
 * through and errors carry offsets. Strings are unescaped into a side buffer
 * only when they hold an escape. Strict means: valid UTF-8, no control bytes
 * in strings, no lone surrogate escapes, no junk before or after, no comments
 * or trailing commas, depth <= 1024. Numbers of any size are legal and keep
 * their text. Duplicate keys: the last wins (as Python and jq), counted.
 * String scanning is vectorised with run-time dispatch.
 *
 * Writer. Shortest decimal numbers that read back to the same value, laid out
 * as Python's repr does (1.0, 0.0001, 1e-05); UTF-8 is kept as it is; only
 * '"', '\\' and bytes below 0x20 are escaped. */
#ifndef PF_BASE_JSON_H
#define PF_BASE_JSON_H

#include "base/err.h"
#include "base/str.h"

typedef enum pf_json_type {
    PF_JSON_NONE = 0, /* no such value (a missing key) */
    PF_JSON_NULL,
    PF_JSON_FALSE,
    PF_JSON_TRUE,
    PF_JSON_NUMBER,
    PF_JSON_STRING,
    PF_JSON_ARRAY,
    PF_JSON_OBJECT,
} pf_json_type;

typedef struct pf_json pf_json; /* a parser with its tape: reuse it */

/* A value of the last document parsed. {NULL, 0} is PF_JSON_NONE, and all
 * accessors take it. Valid until the next parse. */
typedef struct pf_jval {
    const pf_json *doc;
    uint32_t at;
} pf_jval;

PF_MUST_CHECK pf_json *pf_json_new(void);
void pf_json_free(pf_json *j);

/* Parses text as one document. text must stay in place while values are
 * used. On malformed input: PF_E_FORMAT with the byte offset (within text)
 * in e->byte and what was expected in the message; bad UTF-8 is found too (to
 * tell it apart, ask pf_utf8_check after a failure). At most 4 GiB. */
PF_MUST_CHECK int pf_json_parse(pf_json *j, pf_slice text, pf_jval *root,
                                pf_err *e);
/* Duplicate keys seen in the last document. */
size_t pf_json_duplicates(const pf_json *j);

pf_json_type pf_jtype(pf_jval v);
const char *pf_jtype_name(pf_jval v); /* "a string", "an object", "nothing" */
/* Its exact bytes in the source (strings with their quotes). */
pf_slice pf_jraw(pf_jval v);
/* Offset of its first byte in the source. */
size_t pf_joffset(pf_jval v);
/* A string's unescaped bytes; {NULL, 0} for other types. */
pf_slice pf_jstr(pf_jval v);
/* Is the raw text of a string without escapes other than \" \\ \b \f \n \r
 * \t? Then it is what pf_json_quote() writes for its value. */
bool pf_jplain(pf_jval v);
/* Number of elements / members. */
size_t pf_jcount(pf_jval v);
bool pf_jbool(pf_jval v, bool dflt);
/* True and *out when v is an integer (no fraction, no exponent) in range. */
bool pf_ji64(pf_jval v, int64_t *out);
/* True and *out (correctly rounded; overflow gives an infinity) when v is a
 * number. Not affected by the locale. */
bool pf_jf64(pf_jval v, double *out);

/* Member by (unescaped) key, or NONE. Linear; objects here are small. For a
 * big one iterate. */
pf_jval pf_jget(pf_jval obj, const char *key);
pf_jval pf_jget_s(pf_jval obj, pf_slice key);

/* Iteration over elements or members, in source order:
 *   pf_jiter it = pf_jiter_of(v);
 *   while (pf_jiter_next(&it)) use(it.key, it.value);
 * Duplicate keys are all returned. it.key is unescaped ({NULL,0} in arrays). */
typedef struct pf_jiter {
    pf_jval value;
    pf_slice key;
    uint32_t next, end;
    const pf_json *doc;
    bool object;
} pf_jiter;
pf_jiter pf_jiter_of(pf_jval v);
bool pf_jiter_next(pf_jiter *it);

/* ------------------------------------------------------------- writer -- */

/* Appends to a pf_buf. Commas and colons are put in by the writer. Errors
 * are those of the buffer (sticky). Depth <= 64. Zero-initialise with out. */
typedef struct pf_jw {
    pf_buf *out;
    uint64_t has_item; /* bit per level: a comma is due */
    int depth;
    bool after_key;
} pf_jw;

void pf_jw_obj(pf_jw *w);
void pf_jw_arr(pf_jw *w);
void pf_jw_end(pf_jw *w, char close); /* '}' or ']' */
void pf_jw_key(pf_jw *w, const char *key);
void pf_jw_key_s(pf_jw *w, pf_slice key);
void pf_jw_str(pf_jw *w, pf_slice s);
void pf_jw_cstr(pf_jw *w, const char *s);
void pf_jw_i64(pf_jw *w, int64_t v);
void pf_jw_u64(pf_jw *w, uint64_t v);
/* Shortest text that reads back to v. NaN and infinities become null. */
void pf_jw_f64(pf_jw *w, double v);
/* The same for a float: shortest text that reads back to the float. */
void pf_jw_f32(pf_jw *w, float v);
void pf_jw_bool(pf_jw *w, bool v);
void pf_jw_null(pf_jw *w);
void pf_jw_raw(pf_jw *w, pf_slice json); /* trusted JSON, copied */

/* The quoted, escaped form of s alone (vectorised). */
void pf_json_quote(pf_buf *out, pf_slice s);
/* Shortest round-trip decimal in JSON syntax with a NUL ("null" for NaN and
 * infinities); buf holds 32. Returns the length. */
int pf_f64_text(double v, char *buf);
int pf_f32_text(float v, char *buf);
/* Canonical form for hashing: members sorted by key bytes, no white space,
 * strings as pf_json_quote writes them, numbers as they stand in the source
 * (identity documents hold integers and strings only). A duplicate key is
 * PF_E_FORMAT. out is appended to, and of no use after a failure. */
PF_MUST_CHECK int pf_json_canonical(pf_jval v, pf_buf *out, pf_err *e);

#endif
