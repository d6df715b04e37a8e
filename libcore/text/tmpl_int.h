/* SPDX-License-Identifier: MIT
 *
 * Inside of the template engine: syntax tree, values, strings that know where
 * each of their bytes came from. */
#ifndef PF_TEXT_TMPL_INT_H
#define PF_TEXT_TMPL_INT_H

#include "base/arena.h"
#include "base/json.h"
#include "text/template.h"

/* ---------------------------------------------------------------- values */

/* A run of bytes of one origin, ending at `end`. */
typedef struct tm_run {
    size_t end;
    bool content;
} tm_run;

/* run == NULL: all bytes have the origin `content`. */
typedef struct tm_str {
    const char *p;
    size_t n;
    const tm_run *run;
    size_t n_run;
    bool content;
} tm_str;

typedef enum tm_kind {
    TM_UNDEF, TM_NONE, TM_BOOL, TM_INT, TM_FLOAT, TM_STR, TM_LIST, TM_MAP,
    TM_NAMESPACE, TM_MACRO,
} tm_kind;

typedef struct tm_val tm_val;
typedef struct tm_list {
    tm_val *v;
    size_t n, cap;
} tm_list;
typedef struct tm_map {
    tm_str *key;
    tm_val *v;
    size_t n, cap, cap_v;
} tm_map;

struct tm_val {
    tm_kind k;
    union {
        bool b;
        int64_t i;
        double f;
        tm_str s;
        tm_list *l;
        tm_map *m;
        const struct tm_node *macro;
        const char *name; /* TM_UNDEF: what was asked for */
    } u;
};

/* ------------------------------------------------------------------ tree */

typedef enum tm_op {
    /* expressions */
    TM_CONST, TM_NAME, TM_ATTR, TM_ITEM, TM_SLICE, TM_CALL, TM_METHOD,
    TM_FILTER, TM_TEST, TM_NOT, TM_NEG, TM_ADD, TM_SUB, TM_MUL, TM_DIV,
    TM_IDIV, TM_MOD, TM_CONCAT, TM_EQ, TM_NE, TM_LT, TM_LE, TM_GT, TM_GE,
    TM_IN, TM_AND, TM_OR, TM_COND, TM_LISTLIT, TM_MAPLIT,
    /* statements */
    TM_TEXT, TM_OUTPUT, TM_IF, TM_FOR, TM_SET, TM_SETBLOCK, TM_MACRODEF,
    TM_GENERATION, TM_BREAK, TM_CONTINUE,
} tm_op;

typedef struct tm_node tm_node;
struct tm_node {
    tm_op op;
    uint32_t line, col;
    int fn;          /* filter, test, method, function */
    pf_slice name;
    tm_val value;    /* CONST, TEXT */
    tm_node *a, *b, *c;
    tm_node **arg;   /* call arguments, list items, statements */
    pf_slice *key;   /* keyword of arg[i] or {NULL, 0}; names of targets */
    size_t n, n_key;
    tm_node **other; /* else branch */
    size_t n_other;
};

/* Functions by number: the tables are in tmpl_expr.c. */
enum tm_filter {
    TM_F_TRIM, TM_F_LENGTH, TM_F_TOJSON, TM_F_DEFAULT, TM_F_STRING, TM_F_LIST,
    TM_F_JOIN, TM_F_UPPER, TM_F_LOWER, TM_F_FIRST, TM_F_LAST, TM_F_ITEMS,
    TM_F_REPLACE, TM_F_INT,
};
enum tm_test {
    TM_T_DEFINED, TM_T_UNDEFINED, TM_T_NONE, TM_T_STRING, TM_T_MAPPING,
    TM_T_ITERABLE, TM_T_SEQUENCE, TM_T_NUMBER, TM_T_INTEGER, TM_T_BOOLEAN,
    TM_T_TRUE, TM_T_FALSE, TM_T_EQ, TM_T_IN,
};
enum tm_method {
    TM_M_STRIP, TM_M_LSTRIP, TM_M_RSTRIP, TM_M_SPLIT, TM_M_STARTSWITH,
    TM_M_ENDSWITH, TM_M_UPPER, TM_M_LOWER, TM_M_REPLACE, TM_M_ITEMS, TM_M_GET,
    TM_M_KEYS, TM_M_VALUES,
};
enum tm_function { TM_G_MACRO, TM_G_RAISE, TM_G_NAMESPACE, TM_G_RANGE };

struct pf_template {
    pf_arena arena;
    char *source, *name;
    size_t n;
    tm_node *root;
    bool has_generation;
    uint8_t digest[PF_SHA256_BYTES];
};

/* tmpl_parse.c */
PF_MUST_CHECK int pf_tm_parse(pf_template *t, pf_err *e);

/* Fails with the position of a node: "template:LINE:COLUMN: ...". code is
 * PF_E_USAGE while parsing, PF_E_FORMAT while rendering. */
int pf_tm_fail(const pf_template *t, int code, uint32_t line, uint32_t col,
            pf_err *e, const char *fmt, ...) PF_PRINTF(6, 7);

/* -------------------------------------------------------------- strings */

tm_str pf_tm_lit(const char *s);
tm_str pf_tm_sub(const tm_str *s, size_t from, size_t to, pf_arena *a);
bool pf_tm_str_eq(const tm_str *a, const tm_str *b);
/* Bytes [from, to) of s are of one origin up to *end; returns it. */
bool pf_tm_origin(const tm_str *s, size_t at, size_t *end);

/* Bytes with their origins, growing in heap memory. */
typedef struct tm_sink {
    pf_buf text;
    tm_run *run;
    size_t n_run, cap_run;
    size_t taken; /* bytes that went into the arena */
    bool failed;
} tm_sink;
void pf_tm_sink_release(tm_sink *k);
void pf_tm_sink_add(tm_sink *k, const tm_str *s);
void pf_tm_sink_raw(tm_sink *k, const char *p, size_t n, bool content);
bool pf_tm_sink_failed(const tm_sink *k);
/* A copy of bytes [from, end) in the arena, cut off the sink. */
PF_MUST_CHECK int pf_tm_sink_take(tm_sink *k, size_t from, pf_arena *a,
                               tm_str *out);

/* --------------------------------------------------------------- values */

bool pf_tm_truth(const tm_val *v);
bool pf_tm_equal(const tm_val *a, const tm_val *b);
const char *pf_tm_type(const tm_val *v);
/* NULL when absent. */
tm_val *pf_tm_map_get(const tm_map *m, const tm_str *key);
PF_MUST_CHECK int pf_tm_map_put(tm_map *m, tm_str key, tm_val v, pf_arena *a);
PF_MUST_CHECK int pf_tm_list_add(tm_list *l, tm_val v, pf_arena *a);
PF_MUST_CHECK int pf_tm_of_json(tm_val *out, pf_jval v, pf_arena *a, int depth);
/* As Python prints it; false for what has no plain text (a list, a map). */
bool pf_tm_print(tm_sink *k, const tm_val *v);
/* As json.dumps(ensure_ascii=False); false for what is no JSON. */
bool pf_tm_json(tm_sink *k, const tm_val *v, int64_t indent, int depth);

/* ----------------------------------------------------------- evaluation */

typedef struct tm_var {
    pf_slice name;
    tm_val value;
} tm_var;

typedef struct tm_ctx {
    const pf_template *t;
    pf_arena *a;
    tm_var *var; /* scopes lie one after the other */
    size_t n_var, cap_var;
    size_t scope; /* where the innermost begins */
    tm_sink out;
    int depth;
    uint64_t steps;
    size_t *mark; /* generation blocks: starts and ends */
    size_t n_mark, cap_mark;
    pf_err *e;
} tm_ctx;

PF_MUST_CHECK int pf_tm_set_var(tm_ctx *x, pf_slice name, tm_val v);
/* tmpl_eval.c: an expression. */
PF_MUST_CHECK int pf_tm_eval(tm_ctx *x, const tm_node *n, tm_val *out);
/* tmpl_call.c: filters, tests, methods; v is what they are applied to. */
PF_MUST_CHECK int pf_tm_filter(tm_ctx *x, const tm_node *n, tm_val v,
                            tm_val *out);
PF_MUST_CHECK int pf_tm_test(tm_ctx *x, const tm_node *n, const tm_val *v,
                          bool *out);
PF_MUST_CHECK int pf_tm_method(tm_ctx *x, const tm_node *n, tm_val v,
                            tm_val *out);
/* Is a in b? */
PF_MUST_CHECK int pf_tm_contains(tm_ctx *x, const tm_node *n, const tm_val *a,
                              const tm_val *b, bool *out);
/* tmpl_run.c: statements into x->out. 0; 1 = break, 2 = continue. */
PF_MUST_CHECK int pf_tm_run_list(tm_ctx *x, tm_node *const *list, size_t n);
PF_MUST_CHECK int pf_tm_call_macro(tm_ctx *x, const tm_node *call,
                                const tm_node *macro, tm_val *out);

#endif
