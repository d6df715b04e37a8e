/* SPDX-License-Identifier: MIT
 *
 * Option tables: parsing of command lines and of single values.
 *
 * Not getopt_long: '_' and '-' are the same letter here, booleans have three
 * forms, lists may take several words, and a prefix of a name is an error
 * (scripts that rely on prefixes break with the next option). State is static:
 * a process is one tool. */
#include "tools/tool.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tools/opt_int.h"

#define MAX_OPTS 320

static struct {
    const pf_tool *tool;
    bool given[MAX_OPTS];
    char **owned; /* strings that list values point into */
    size_t n_owned, cap_owned;
    pf_opt_list **list; /* lists whose arrays are freed at the end */
    size_t n_list, cap_list;
    char **operand;
    int argc;
    char **argv;
} state;

/* -------------------------------------------------------------- tables -- */

#define COMMON(field) offsetof(pf_common, field)

static const pf_opt common[] = {
    {"threads", 'j', PF_OPT_INT, COMMON(threads), "N",
     "threads (default: all cores); the output is the same for every N", 1,
     1024, NULL},
    {"quiet", 'q', PF_OPT_BOOL, COMMON(quiet), NULL,
     "errors only: no warnings, no summary", 0, 0, NULL},
    {"verbose", 'v', PF_OPT_INT, COMMON(verbose), NULL,
     "say more; twice: say still more", 0, 0, NULL},
    {"progress", 0, PF_OPT_STRING, COMMON(progress), "[json]",
     "draw progress although output goes to a pipe, or as JSON lines", 0, 0,
     NULL},
    {"seed", 0, PF_OPT_INT, COMMON(seed), "N", "seed of all random choices", 0,
     0x1p53, NULL},
    {"limit", 0, PF_OPT_INT, COMMON(limit), "N",
     "stop after N rows of input (0: no limit)", 0, 0x1p53, NULL},
    {"stats", 0, PF_OPT_STRING, COMMON(stats), "FILE",
     "write counts, reasons and rates as JSON", 0, 0, NULL},
    {"force", 'f', PF_OPT_BOOL, COMMON(force), NULL,
     "replace an existing output", 0, 0, NULL},
    {"max-line", 0, PF_OPT_SIZE, COMMON(max_line), "SIZE",
     "longest line that is read (default 64M); longer ones are rejected", 1,
     0x1p32 - 1, NULL},
    {"max-bad", 0, PF_OPT_STRING, COMMON(max_bad), "N|P%",
     "rows that may be rejected as damaged before the exit status is 1 "
     "(default 0)",
     0, 0, NULL},
    {"help", 'h', PF_OPT_BOOL, PF_OPT_SERVED, NULL, "print this help", 0, 0,
     NULL},
    {"version", 0, PF_OPT_BOOL, PF_OPT_SERVED, NULL,
     "print version, features and libraries", 0, 0, NULL},
};

static bool same_char(char a, char b)
{
    return a == b || ((a == '_' || a == '-') && (b == '_' || b == '-'));
}

/* Is s[0..n) this name, with '_' and '-' the same? */
static bool same_name(const char *name, const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && name[i] && same_char(name[i], s[i]))
        i++;
    return i == n && !name[i];
}

static bool in_words(const char *words, const char *s, size_t n)
{
    while (words && *words) {
        size_t len = strcspn(words, " ");
        size_t i = 0;
        while (i < n && i < len && same_char(words[i], s[i]))
            i++;
        if (i == n && i == len)
            return true;
        words += len + (words[len] == ' ');
    }
    return false;
}

static bool common_applies(const pf_tool *t, const pf_opt *o)
{
    if (o->offset == PF_OPT_SERVED || o->letter == 'q' || o->letter == 'v')
        return true;
    return in_words(t->common, o->name, strlen(o->name)) ||
           (o->letter && in_words(t->common, &o->letter, 1));
}

const pf_opt *pf_opt_at(const pf_tool *t, size_t i)
{
    for (const pf_opt *o = t->options; o && o->name; o++)
        if (i-- == 0)
            return o;
    for (size_t k = 0; k < PF_COUNTOF(common); k++)
        if (common_applies(t, &common[k]) && i-- == 0)
            return &common[k];
    return NULL;
}

/* By long name or alias; *index counts as pf_opt_at does. */
static const pf_opt *find_long(const pf_tool *t, const char *s, size_t n,
                               size_t *index)
{
    const pf_opt *o;
    for (size_t i = 0; (o = pf_opt_at(t, i)); i++) {
        if (same_name(o->name, s, n) || in_words(o->aliases, s, n)) {
            *index = i;
            return o;
        }
    }
    return NULL;
}

static const pf_opt *find_letter(const pf_tool *t, char c, size_t *index)
{
    const pf_opt *o;
    for (size_t i = 0; (o = pf_opt_at(t, i)); i++) {
        if (o->letter == c) {
            *index = i;
            return o;
        }
    }
    return NULL;
}

/* -------------------------------------------------------------- values -- */

/* Multiplier of a unit, 0 when there is no such unit. */
static int64_t unit_of(const char *s, bool size)
{
    static const char letters[] = "KMGT";
    if (!*s)
        return 1;
    char c = *s == 'k' ? 'K' : *s;
    const char *at = strchr(letters, c);
    if (!at)
        return size && strcmp(s, "B") == 0 ? 1 : 0;
    bool binary = s[1] == 'i';
    const char *rest = s + 1 + binary;
    if (*rest && !(size && strcmp(rest, "B") == 0))
        return 0;
    int64_t base = size || binary ? 1024 : 1000, m = 1;
    for (ptrdiff_t i = 0; i <= at - letters; i++)
        m *= base;
    return m;
}

static int parse_int(const pf_opt *o, const char *s, int64_t *out, pf_err *e)
{
    char q[64];
    const char *digits = s + (*s == '-' || *s == '+');
    size_t nd = strspn(digits, "0123456789");
    int64_t unit = unit_of(digits + nd, o->type == PF_OPT_SIZE);
    if (nd == 0 || unit == 0)
        return pf_err_set(e, PF_E_USAGE, "--%s: %s is not a%s", o->name,
                          pf_err_quote(q, sizeof q, s, strlen(s)),
                          o->type == PF_OPT_SIZE ? " size (such as 64M)"
                                                 : "n integer");
    errno = 0;
    int64_t v = strtoll(s, NULL, 10);
    bool bounded = o->min != 0 || o->max != 0;
    if (errno || !pf_mul64(v, unit, &v) ||
        (bounded && ((double)v < o->min || (double)v > o->max)))
        return pf_err_set(e, PF_E_USAGE,
                          "--%s: %s is out of range (%.15g to %.15g)", o->name,
                          pf_err_quote(q, sizeof q, s, strlen(s)),
                          bounded ? o->min : -0x1p63, bounded ? o->max : 0x1p63);
    *out = v;
    return 0;
}

static int parse_float(const pf_opt *o, const char *s, double *out, pf_err *e)
{
    char q[64], *end;
    errno = 0;
    double v = strtod(s, &end); /* tools stay in the C locale */
    size_t n = strlen(s);
    if (n == 0 || *end || strspn(s, "0123456789+-.eE") != n)
        return pf_err_set(e, PF_E_USAGE, "--%s: %s is not a number", o->name,
                          pf_err_quote(q, sizeof q, s, n));
    bool bounded = o->min != 0 || o->max != 0;
    if ((errno && (v > 1 || v < -1)) ||
        (bounded && (v < o->min || v > o->max)))
        return pf_err_set(e, PF_E_USAGE,
                          "--%s: %s is out of range (%.15g to %.15g)", o->name,
                          pf_err_quote(q, sizeof q, s, n),
                          bounded ? o->min : -DBL_MAX,
                          bounded ? o->max : DBL_MAX);
    *out = v;
    return 0;
}

static bool bool_word(const char *s, bool *out)
{
    static const char *const yes[] = {"true", "True", "yes", "on", "1"};
    static const char *const no[] = {"false", "False", "no", "off", "0"};
    for (size_t i = 0; i < PF_COUNTOF(yes); i++) {
        if (strcmp(s, yes[i]) == 0 || strcmp(s, no[i]) == 0) {
            *out = strcmp(s, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static int parse_choice(const pf_opt *o, const char *s, int *out, pf_err *e)
{
    char q[64];
    size_t n = strlen(s);
    int i = 0;
    for (const char *p = o->arg;; i++) {
        size_t len = strcspn(p, "|");
        if (len == n && memcmp(p, s, n) == 0) {
            *out = i;
            return 0;
        }
        if (!p[len])
            break;
        p += len + 1;
    }
    return pf_err_set(e, PF_E_USAGE, "--%s: %s is not one of %s", o->name,
                      pf_err_quote(q, sizeof q, s, n), o->arg);
}

static int add_list(pf_opt_list *l, const char *s, pf_err *e)
{
    if (l->n == 0 && l->cap == 0) {
        if (!PF_GROW(&state.list, &state.cap_list, state.n_list + 1))
            return pf_err_nomem(e);
        state.list[state.n_list++] = l;
    }
    if (!PF_GROW(&state.owned, &state.cap_owned, state.n_owned + 1))
        return pf_err_nomem(e);
    char *copy = pf_strdup(s);
    if (!copy)
        return pf_err_nomem(e);
    state.owned[state.n_owned++] = copy;
    for (char *p = copy; *p;) {
        size_t len = strcspn(p, ", ");
        bool more = p[len] != 0;
        p[len] = 0;
        if (len) {
            if (!PF_GROW(&l->v, &l->cap, l->n + 1))
                return pf_err_nomem(e);
            l->v[l->n++] = p;
        }
        p += len + more;
    }
    return 0;
}

/* value NULL: the option stands alone. */
static int set_value(const pf_opt *o, size_t index, void *settings,
                     const char *value, pf_err *e)
{
    void *at = (char *)settings + (o->offset == PF_OPT_SERVED ? 0 : o->offset);
    int rc = 0;
    if (o->type == PF_OPT_UNBUILT)
        return pf_err_set(e, PF_E_USAGE, "--%s is not available: %s", o->name,
                          o->help);
    if (!value && pf_opt_takes_value(o) && !pf_opt_value_optional(o))
        return pf_err_set(e, PF_E_USAGE, "--%s needs a value (%s)", o->name,
                          o->arg);
    switch (o->type) {
    case PF_OPT_BOOL: {
        bool b = true;
        if (value && !bool_word(value, &b))
            return pf_err_set(e, PF_E_USAGE,
                              "--%s takes true or false, or no value", o->name);
        *(bool *)at = b;
        break;
    }
    case PF_OPT_INT:
        if (!value && !o->arg)
            ++*(int64_t *)at;
        else
            rc = parse_int(o, value, at, e);
        break;
    case PF_OPT_SIZE:
        rc = parse_int(o, value, at, e);
        break;
    case PF_OPT_FLOAT:
        rc = parse_float(o, value, at, e);
        break;
    case PF_OPT_STRING:
        *(const char **)at = value ? value : "";
        break;
    case PF_OPT_CHOICE:
        rc = parse_choice(o, value, at, e);
        break;
    case PF_OPT_LIST:
        rc = add_list(at, value, e);
        break;
    case PF_OPT_UNBUILT:
        break;
    }
    if (rc == 0)
        state.given[index] = true;
    return rc;
}

static bool is_progress_word(const char *s)
{
    return s[0] == 0 || strcmp(s, "json") == 0;
}

/* Checks of common values that a type cannot express. */
static int check_common(const pf_common *c, pf_err *e)
{
    int64_t rows;
    double percent;
    if (c->progress && !is_progress_word(c->progress))
        return pf_err_set(e, PF_E_USAGE, "--progress takes no value or json");
    return c->max_bad ? pf_max_bad_parse(c->max_bad, &rows, &percent, e) : 0;
}

int pf_max_bad_parse(const char *s, int64_t *rows, double *percent, pf_err *e)
{
    char q[64];
    size_t n = strlen(s);
    pf_opt as = {.name = "max-bad"};
    *rows = -1;
    *percent = -1;
    if (n > 1 && n < sizeof q && s[n - 1] == '%') {
        memcpy(q, s, n - 1);
        q[n - 1] = 0;
        as.max = 100;
        return parse_float(&as, q, percent, e);
    }
    as.type = PF_OPT_INT;
    as.max = 0x1p53;
    return parse_int(&as, s, rows, e);
}

/* ------------------------------------------------------------- parsing -- */

/* Levenshtein distance of short names, '_' equal to '-'. */
static int distance(const char *a, const char *b, size_t nb)
{
    enum { MAX = 48 };
    int row[MAX + 1];
    size_t na = strlen(a);
    if (na > MAX || nb > MAX)
        return MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int diag = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            int sub = diag + !same_char(a[i - 1], b[j - 1]);
            diag = row[j];
            row[j] = PF_MIN(sub, PF_MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[nb];
}

static int unknown_long(const pf_tool *t, const char *s, size_t n, pf_err *e)
{
    char q[80];
    const pf_opt *o, *best = NULL;
    int best_d = n > 4 ? 3 : 2;
    for (size_t i = 0; (o = pf_opt_at(t, i)); i++) {
        int d = distance(o->name, s, n);
        if (o->type != PF_OPT_UNBUILT && d < best_d) {
            best = o;
            best_d = d;
        }
    }
    pf_err_quote(q, sizeof q, s, n);
    if (best)
        return pf_err_set(e, PF_E_USAGE,
                          "unknown option %s; the nearest is --%s", q,
                          best->name);
    return pf_err_set(e, PF_E_USAGE, "unknown option %s", q);
}

/* Text of a served option on standard output. Returns 1. */
static int serve(const pf_tool *t, void (*print)(const pf_tool *, pf_buf *),
                 pf_err *e)
{
    pf_buf out = {0};
    print(t, &out);
    int rc = pf_buf_failed(&out) ? pf_err_nomem(e) : 1;
    if (rc == 1)
        fwrite(out.p, 1, out.n, stdout); /* checked when stdout is closed */
    pf_buf_release(&out);
    return rc;
}

static int serve_long(const pf_tool *t, const char *name, size_t n, pf_err *e)
{
    if (same_name("help", name, n))
        return serve(t, pf_opt_help, e);
    if (same_name("version", name, n))
        return serve(t, pf_opt_version, e);
    if (same_name("help-mdoc", name, n))
        return serve(t, pf_opt_mdoc, e);
    if (same_name("help-completion", name, n))
        return serve(t, pf_opt_completion, e);
    return 0;
}

typedef struct parse {
    const pf_tool *t;
    void *settings;
    char **argv;
    int argc, at; /* argv[at] is the next word */
} parse;

/* The words after a list option of a tool without operands. */
static int more_words(parse *p, const pf_opt *o, size_t index, pf_err *e)
{
    while (p->t->no_operand && o->type == PF_OPT_LIST && p->at < p->argc &&
           p->argv[p->at][0] != '-') {
        int rc = set_value(o, index, p->settings, p->argv[p->at++], e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int parse_long(parse *p, const char *s, pf_err *e)
{
    const char *eq = strchr(s, '=');
    size_t n = eq ? (size_t)(eq - s) : strlen(s), index;
    const char *value = eq ? eq + 1 : NULL;
    int rc = eq ? 0 : serve_long(p->t, s, n, e);
    if (rc)
        return rc;
    const pf_opt *o = find_long(p->t, s, n, &index);
    if (!o && n > 3 && s[0] == 'n' && s[1] == 'o' && same_char(s[2], '_')) {
        o = find_long(p->t, s + 3, n - 3, &index);
        if (o && o->type == PF_OPT_UNBUILT)
            return set_value(o, index, p->settings, NULL, e);
        if (o && (o->type != PF_OPT_BOOL || eq || o->offset == PF_OPT_SERVED))
            o = NULL;
        if (o)
            value = "false";
    }
    if (!o)
        return unknown_long(p->t, s, n, e);
    if (o->offset == PF_OPT_SERVED)
        return pf_err_set(e, PF_E_USAGE, "--%s takes no value", o->name);
    if (!value && p->at < p->argc && o->type != PF_OPT_UNBUILT) {
        const char *next = p->argv[p->at];
        /* "--do_train false", as Hugging Face's parser takes it. */
        bool literal = o->type == PF_OPT_BOOL && (strcmp(next, "true") == 0 ||
                                                  strcmp(next, "false") == 0 ||
                                                  strcmp(next, "True") == 0 ||
                                                  strcmp(next, "False") == 0);
        if (literal || (pf_opt_takes_value(o) && !pf_opt_value_optional(o))) {
            value = next;
            p->at++;
        }
    }
    rc = set_value(o, index, p->settings, value, e);
    return rc < 0 ? rc : more_words(p, o, index, e);
}

/* A cluster: -qv, -j4, -o FILE. */
static int parse_letters(parse *p, const char *s, pf_err *e)
{
    for (; *s; s++) {
        size_t index;
        char q[32];
        const pf_opt *o = find_letter(p->t, *s, &index);
        if (!o)
            return pf_err_set(e, PF_E_USAGE, "unknown option -%s",
                              pf_err_quote(q, sizeof q, s, 1));
        if (o->offset == PF_OPT_SERVED)
            return serve(p->t, pf_opt_help, e);
        const char *value = NULL;
        if (pf_opt_takes_value(o) && o->type != PF_OPT_UNBUILT) {
            if (s[1])
                value = s + 1;
            else if (p->at < p->argc)
                value = p->argv[p->at++];
        }
        int rc = set_value(o, index, p->settings, value, e);
        if (rc < 0)
            return rc;
        if (value)
            return more_words(p, o, index, e);
    }
    return 0;
}

int pf_opt_parse(const pf_tool *t, void *settings, int argc, char **argv,
                 int *n_operand, char ***operand, pf_err *e)
{
    parse p = {t, settings, argv, argc, 1};
    int n = 0;
    bool options = true;
    pf_free(state.operand);
    memset(state.given, 0, sizeof state.given);
    state.tool = t;
    state.argc = argc;
    state.argv = argv;
    state.operand = pf_calloc((size_t)argc + 1, sizeof *state.operand);
    if (!state.operand)
        return pf_err_nomem(e);
    if (pf_opt_at(t, MAX_OPTS))
        PF_BUG("option table too long");
    while (p.at < argc) {
        char *s = argv[p.at++];
        int rc = 0;
        if (!options || s[0] != '-' || !s[1]) {
            char q[64];
            if (t->no_operand)
                return pf_err_set(e, PF_E_USAGE, "unexpected operand %s",
                                  pf_err_quote(q, sizeof q, s, strlen(s)));
            state.operand[n++] = s;
        } else if (s[1] != '-') {
            rc = parse_letters(&p, s + 1, e);
        } else if (s[2]) {
            rc = parse_long(&p, s + 2, e);
        } else {
            options = false;
        }
        if (rc)
            return rc;
    }
    *n_operand = n;
    *operand = state.operand;
    return check_common(settings, e);
}

int pf_opt_set(const pf_tool *t, void *settings, const char *name,
               const char *value, pf_err *e)
{
    size_t index;
    const pf_opt *o = find_long(t, name, strlen(name), &index);
    state.tool = t;
    if (!o || o->offset == PF_OPT_SERVED)
        return unknown_long(t, name, strlen(name), e);
    return set_value(o, index, settings, value, e);
}

bool pf_opt_given(const char *name)
{
    size_t index;
    return state.tool &&
           find_long(state.tool, name, strlen(name), &index) &&
           state.given[index];
}

void pf_tool_args(int *argc, char ***argv)
{
    *argc = state.argc;
    *argv = state.argv;
}

void pf_opt_release(void)
{
    for (size_t i = 0; i < state.n_owned; i++)
        pf_free(state.owned[i]);
    for (size_t i = 0; i < state.n_list; i++) {
        pf_free(state.list[i]->v);
        *state.list[i] = (pf_opt_list){0};
    }
    pf_free(state.owned);
    pf_free(state.list);
    pf_free(state.operand);
    memset(&state, 0, sizeof state);
}
