/* SPDX-License-Identifier: MIT
 *
 * Errors. No function of libcore/ or formats/ prints or exits: it returns 0
 * (or a count) on success and a negative PF_E* code on failure, and describes
 * the failure in the pf_err that the caller passed as last parameter.
 *
 *   int pf_thing_open(pf_thing **out, const char *path, pf_err *e);
 *
 * Rules
 *  - e may be NULL: the code alone is wanted then.
 *  - On success *e is untouched, so one pf_err serves a chain of calls.
 *  - The first error wins: pf_err_set() on a pf_err that already holds an
 *    error keeps the old one. Call pf_err_clear() to reuse it on purpose.
 *  - -code is the exit status of the tool that meets it (DESIGN section 3).
 *  - A message is lower case, has no full stop, says what failed first and
 *    the detail after a colon. Bytes of the input in it are made printable by
 *    pf_err_quote(). Data errors carry a position: set it with pf_err_at().
 *  - A pf_err is plain memory: no release, copy it by assignment. It is used
 *    by one thread at a time. */
#ifndef PF_BASE_ERR_H
#define PF_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

typedef enum pf_errcode {
    PF_OK = 0,
    PF_E_REJECTED = -1,  /* rows were rejected as damaged above --max-bad */
    PF_E_USAGE = -2,     /* the request makes no sense or is not built */
    PF_E_FORMAT = -3,    /* input not understood */
    PF_E_TRUNCATED = -4, /* input ends before its end */
    PF_E_IDENTITY = -5,  /* parts that do not belong together */
    PF_E_IO = -6,        /* missing file, I/O error, no space */
    PF_E_LIMIT = -7,     /* out of memory or over a stated limit */
} pf_errcode;

typedef struct pf_err {
    int code;       /* 0 = no error, else PF_E_* */
    int64_t line;   /* 1-based line of a text file, 0 = none */
    int64_t byte;   /* byte offset in the (uncompressed) file, -1 = none */
    char file[192]; /* shortened in the middle when longer; "" = none */
    char msg[320];
} pf_err;

#define PF_ERR_INIT {.byte = -1}

void pf_err_clear(pf_err *e);

/* Sets the error unless one is set, and returns code (so that one can write
 * "return pf_err_set(e, ...)"). code must be negative. */
int pf_err_set(pf_err *e, int code, const char *fmt, ...) PF_PRINTF(3, 4);

/* As pf_err_set with the position of the trouble. file may be NULL, line 0,
 * byte -1. */
int pf_err_pos(pf_err *e, int code, const char *file, int64_t line,
               int64_t byte, const char *fmt, ...) PF_PRINTF(6, 7);

/* Adds a position to an error that has none (a lower layer did not know it).
 * Does nothing when no error is set. */
void pf_err_at(pf_err *e, const char *file, int64_t line, int64_t byte);

/* "cannot open: No such file or directory" from errno, code PF_E_IO (or
 * PF_E_LIMIT for ENOMEM, EMFILE and ENFILE). */
int pf_err_errno(pf_err *e, const char *file, const char *what);

/* "out of memory", PF_E_LIMIT. */
int pf_err_nomem(pf_err *e);

/* Writes "file:line: message", "file: byte N: message" or "message" into buf
 * (always NUL-terminated) and returns buf. */
const char *pf_err_text(const pf_err *e, char *buf, size_t n);

/* A printable form of at most n - 1 bytes of s in buf: quoted, control and
 * non-ASCII bytes as \xHH, an ellipsis where cut. Returns buf. */
const char *pf_err_quote(char *buf, size_t n, const char *s, size_t len);

#endif
