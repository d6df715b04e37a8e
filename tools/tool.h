/* SPDX-License-Identifier: MIT
 *
 * What every tool shares: option tables, start-up, messages, exit.
 *
 * A tool is one thin file: a struct of settings, one option table, run(). Its
 * main() is
 *
 *   int main(int argc, char **argv)
 *   {
 *       return pf_tool_main(&tool, argc, argv);
 *   }
 *
 * The option table drives parsing, -h, the man page's synopsis (lint compares
 * them) and shell completion. '_' and '-' are the same in long options. An
 * option that DESIGN names and this version has not built stands in the table
 * as PF_OPT_UNBUILT: using it is exit 2, naming it. */
#ifndef PF_TOOLS_TOOL_H
#define PF_TOOLS_TOOL_H

#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "data/reason.h"

typedef enum pf_opt_type {
    PF_OPT_BOOL,    /* bool: --x, --x=true|false, --no_x */
    PF_OPT_INT,     /* int64_t, strict, units K M G (and Ki Mi Gi), in range */
    PF_OPT_SIZE,    /* int64_t bytes: 64M means 64 * 2^20 */
    PF_OPT_FLOAT,   /* double, strict, in range */
    PF_OPT_STRING,  /* const char * */
    PF_OPT_CHOICE,  /* int: index into choices "a|b|c" */
    PF_OPT_LIST,    /* pf_opt_list: values by comma, space or repetition */
    PF_OPT_UNBUILT, /* known, not built: exit 2 with help as the reason */
} pf_opt_type;

typedef struct pf_opt_list {
    const char **v;
    size_t n, cap;
} pf_opt_list;

typedef struct pf_opt {
    const char *name;    /* long name, words joined by '_' or '-' as shown */
    char letter;         /* 0 = none */
    pf_opt_type type;
    size_t offset;       /* of the value in the tool's settings struct */
    const char *arg;     /* "N", "FILE"; for CHOICE "a|b|c"; "[x]" = optional,
                            given as --name=x; INT with NULL counts -vvv */
    const char *help;    /* one line; lower case, no full stop */
    double min, max;     /* INT SIZE FLOAT: both 0 = no bound */
    const char *aliases; /* further names, space-separated, or NULL */
} pf_opt;

/* Options common to all tools, embedded first in a tool's settings. */
typedef struct pf_common {
    int64_t threads;      /* -j; 0 until resolved to the cores */
    bool quiet;
    int64_t verbose;      /* number of -v */
    const char *progress; /* NULL, "", "json" */
    int64_t seed;
    int64_t limit;        /* rows to take, 0 = all */
    const char *stats;    /* --stats FILE */
    bool force;           /* -f */
    int64_t max_line;     /* --max-line */
    const char *max_bad;  /* --max-bad N or P% */
} pf_common;

typedef struct pf_tool pf_tool;
struct pf_tool {
    const char *name;
    const char *synopsis;   /* "[option ...] [FILE ...]" */
    const char *summary;    /* one line */
    const pf_opt *options;  /* ends with a NULL name */
    const char *common;     /* which of the common options apply: letters and
                               names, space-separated */
    size_t settings_size;   /* pf_common first */
    void (*defaults)(void *settings); /* may be NULL */
    /* Does the work: 0, PF_E_REJECTED, or another PF_E_* with e set. */
    int (*run)(const pf_tool *t, void *settings, int n_operand,
               char **operand, pf_err *e);
    bool no_operand; /* operands are refused, and a list option takes all
                        words up to the next option */
};

/* Parses, runs, reports, and returns the exit status (DESIGN section 3).
 * SIGPIPE keeps its default action; where the parent had it ignored, EPIPE on
 * standard output ends the process by SIGPIPE all the same. Settings start
 * zeroed, with max_line 64M, then defaults(), then the command line; run()
 * sees threads resolved. Standard output is closed and checked last. After a
 * signal that pf_catch_stop() caught the process ends by that signal. */
int pf_tool_main(const pf_tool *t, int argc, char **argv);

/* Parses argv into settings; *operand gets the rest, in order. PF_E_USAGE
 * with the message; 1 when --help or --version was served. What it keeps
 * (operands, list values, pf_opt_given) lives until pf_opt_release(), which
 * comes before the settings go. */
PF_MUST_CHECK int pf_opt_parse(const pf_tool *t, void *settings, int argc,
                               char **argv, int *n_operand, char ***operand,
                               pf_err *e);
/* Sets one option by name from text (also for --config files). */
PF_MUST_CHECK int pf_opt_set(const pf_tool *t, void *settings,
                             const char *name, const char *value, pf_err *e);
/* Was it given (on the command line or by pf_opt_set)? Any of its names. */
bool pf_opt_given(const char *name);
void pf_opt_release(void); /* pf_tool_main calls it last */
/* The command line as it was given (for provenance). */
void pf_tool_args(int *argc, char ***argv);

/* The log that writes "tool: message" to standard error by -q and -v. */
const pf_log *pf_tool_log(void);

/* Decides exit 1: are the damaged rows of a tally above --max-bad? */
PF_MUST_CHECK int pf_max_bad_check(const pf_common *c, const pf_tally *t,
                                   pf_err *e);
/* The summary line and --stats FILE (JSON): rows in, out, rejected by reason,
 * bytes, seconds. Shown on a terminal, with -v, or when rows were rejected. */
PF_MUST_CHECK int pf_tool_summary(const pf_tool *t, const pf_common *c,
                                  const pf_tally *tally, uint64_t bytes,
                                  pf_err *e);
/* Progress on a terminal (or as JSON lines), at most 5 times a second. total
 * 0 = unknown. unit names what is counted: "pairs". */
void pf_progress(const pf_common *c, const char *unit, uint64_t done,
                 uint64_t total, const char *extra);
void pf_progress_end(const pf_common *c);

/* PF_E_USAGE when standard output is a terminal and the tool would write
 * binary to it. */
PF_MUST_CHECK int pf_refuse_terminal(pf_err *e);

/* MODEL operand -> an existing path: itself, or org/name[@revision] in the
 * local Hugging Face cache (HF_HUB_CACHE, HF_HOME; offline). Allocated. PF_E_IO naming what
 * was looked for. */
PF_MUST_CHECK int pf_model_path(char **out, const char *model, pf_err *e);

/* Set by SIGTERM / SIGINT after pf_catch_stop(): the signal number, else 0. */
void pf_catch_stop(void);
int pf_stop_signal(void);

#endif
