/* SPDX-License-Identifier: MIT
 *
 * What is printed from an option table: --help, --version, the OPTIONS list
 * of the man page (--help-mdoc, which lint compares with the page) and the
 * bash completion (--help-completion, which make install writes). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tools/opt_int.h"

#define COLUMN 26 /* where the help text begins */
#define WIDTH 79

/* "-j, --threads N" or "    --from a|b". */
static void put_spelling(const pf_opt *o, pf_buf *out)
{
    if (o->letter)
        pf_buf_printf(out, "  -%c, --%s", o->letter, o->name);
    else
        pf_buf_printf(out, "      --%s", o->name);
    if (pf_opt_value_optional(o))
        pf_buf_printf(out, "[=%.*s]", (int)strlen(o->arg) - 2, o->arg + 1);
    else if (pf_opt_takes_value(o))
        pf_buf_printf(out, " %s", o->arg);
}

/* Words of text from column `at` on, broken at WIDTH. */
static void put_wrapped(const char *text, size_t at, pf_buf *out)
{
    bool first = true;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (!first && at + 1 + len > WIDTH) {
            pf_buf_printf(out, "\n%*s", COLUMN, "");
            at = COLUMN;
            first = true;
        }
        if (!first) {
            pf_buf_char(out, ' ');
            at++;
        }
        pf_buf_add(out, text, len);
        at += len;
        first = false;
        text += len + (text[len] == ' ');
    }
    pf_buf_char(out, '\n');
}

static void put_option(const pf_opt *o, pf_buf *out)
{
    size_t start = out->n;
    put_spelling(o, out);
    size_t at = out->n - start;
    if (at + 2 > COLUMN) {
        pf_buf_char(out, '\n');
        at = 0;
    }
    while (at < COLUMN) {
        pf_buf_char(out, ' ');
        at++;
    }
    pf_buf help = {0};
    pf_buf_str(&help, o->help);
    if (o->aliases) {
        pf_buf_str(&help, " (also");
        for (const char *a = o->aliases; *a;) {
            size_t len = strcspn(a, " ");
            pf_buf_printf(&help, " --%.*s", (int)len, a);
            a += len + (a[len] == ' ');
        }
        pf_buf_str(&help, ")");
    }
    if (pf_buf_failed(&help))
        out->failed = true;
    else
        put_wrapped(help.p, at, out);
    pf_buf_release(&help);
}

void pf_opt_help(const pf_tool *t, pf_buf *out)
{
    const pf_opt *o;
    pf_buf_printf(out, "usage: %s %s\n%s\n\noptions:\n", t->name, t->synopsis,
                  t->summary);
    for (size_t i = 0; (o = pf_opt_at(t, i)); i++)
        if (o->type != PF_OPT_UNBUILT)
            put_option(o, out);
    pf_buf_printf(out,
                  "\nexit status: 0 ok, 1 rows rejected as damaged, 2 usage, "
                  "3 input not\nunderstood, 4 truncated, 5 identity mismatch, "
                  "6 missing file or I/O,\n7 resource limit; see %s(1)\n",
                  t->name);
}

void pf_opt_mdoc(const pf_tool *t, pf_buf *out)
{
    const pf_opt *o;
    pf_buf_printf(out, ".Nm %s\n", t->name);
    for (size_t i = 0; (o = pf_opt_at(t, i)); i++) {
        if (o->type == PF_OPT_UNBUILT)
            continue;
        pf_buf_str(out, ".It ");
        if (o->letter)
            pf_buf_printf(out, "Fl %c , ", o->letter);
        pf_buf_printf(out, "Fl -%s", o->name);
        if (pf_opt_value_optional(o))
            pf_buf_printf(out, " Ns Op = Ns Ar %.*s", (int)strlen(o->arg) - 2,
                          o->arg + 1);
        else if (pf_opt_takes_value(o))
            pf_buf_printf(out, " Ar %s", o->arg);
        pf_buf_printf(out, "\n%s.\n", o->help);
    }
}

/* "a|b|c" as words. */
static void put_words(const char *choices, pf_buf *out)
{
    for (; *choices; choices++)
        pf_buf_char(out, *choices == '|' ? ' ' : *choices);
}

void pf_opt_completion(const pf_tool *t, pf_buf *out)
{
    const pf_opt *o;
    pf_buf_printf(out,
                  "# bash completion for %s(1)\n"
                  "_%s()\n{\n"
                  "    local cur=${COMP_WORDS[COMP_CWORD]} "
                  "prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                  "    case $prev in\n",
                  t->name, t->name);
    for (size_t i = 0; (o = pf_opt_at(t, i)); i++) {
        if (o->type != PF_OPT_CHOICE)
            continue;
        pf_buf_str(out, "    ");
        if (o->letter)
            pf_buf_printf(out, "-%c|", o->letter);
        pf_buf_printf(out, "--%s) COMPREPLY=($(compgen -W '", o->name);
        put_words(o->arg, out);
        pf_buf_str(out, "' -- \"$cur\")); return ;;\n");
    }
    pf_buf_str(out, "    esac\n"
                    "    case $cur in\n"
                    "    -*) COMPREPLY=($(compgen -W '");
    for (size_t i = 0; (o = pf_opt_at(t, i)); i++)
        if (o->type != PF_OPT_UNBUILT)
            pf_buf_printf(out, "%s--%s", i ? " " : "", o->name);
    pf_buf_printf(out,
                  "' -- \"$cur\")) ;;\n"
                  "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
                  "    esac\n}\n"
                  "complete -o filenames -F _%s %s\n",
                  t->name, t->name);
}
