/* SPDX-License-Identifier: MIT
 *
 * Inside of the template parser: tokens (tmpl_lex.c), expressions
 * (tmpl_expr.c), statements (tmpl_parse.c). */
#ifndef PF_TEXT_TMPL_PARSE_H
#define PF_TEXT_TMPL_PARSE_H

#include "text/tmpl_int.h"

typedef enum tok { T_END, T_NAME, T_STR, T_INT, T_FLOAT, T_OP } tok;

typedef struct tm_parser {
    pf_template *t;
    const char *s;
    size_t n, at;
    /* current token of an expression */
    tok k;
    char op[3];
    pf_slice word;
    tm_val value;
    size_t start; /* of it */
    int depth, loops, maps, captures;
    size_t seen, line_at; /* where positions were counted up to */
    uint32_t line;
    pf_err *e;
} tm_parser;

/* PF_E_USAGE "NAME:LINE:COLUMN: what detail" at byte `at`. */
int pf_tm_refuse(tm_parser *p, size_t at, const char *what, pf_slice detail);
/* A zeroed node placed at byte `at`; NULL when out of memory. */
tm_node *pf_tm_new_node(tm_parser *p, tm_op op, size_t at);
/* Append to the lists of a node. */
PF_MUST_CHECK int pf_tm_push(tm_parser *p, tm_node ***list, size_t *n,
                          tm_node *x);
PF_MUST_CHECK int pf_tm_push_key(tm_parser *p, tm_node *x, pf_slice key);

bool pf_tm_is_space(char c);
/* The next token of an expression; T_END at "%}", "}}" and their "-" forms. */
PF_MUST_CHECK int pf_tm_next(tm_parser *p);
bool pf_tm_is_op(const tm_parser *p, const char *op);
bool pf_tm_is_word(const tm_parser *p, const char *w);
pf_slice pf_tm_here(const tm_parser *p); /* the text of the token */
/* Passes the operator, or refuses. */
PF_MUST_CHECK int pf_tm_expect(tm_parser *p, const char *op);

/* An expression with its "a if b else c" forms, from the current token; NULL
 * when it failed (the error is in p->e). */
tm_node *pf_tm_expr(tm_parser *p);
/* Without them: level 0 is `or`. */
tm_node *pf_tm_binary(tm_parser *p, int level);

#endif
