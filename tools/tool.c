/* SPDX-License-Identifier: MIT
 *
 * From main() to the exit status: descriptors, signals, options, the run, the
 * message, standard output closed and checked last. */
#include "tools/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tools/tool_int.h"

static const char *tool_name = "prefkit";
static volatile sig_atomic_t stop_signal;
static pthread_mutex_t stderr_lock = PTHREAD_MUTEX_INITIALIZER;
static bool on_line; /* a progress line stands on the terminal */

/* ------------------------------------------------------------- messages -- */

void pf_tool_put(const char *text, bool stays)
{
    pthread_mutex_lock(&stderr_lock);
    /* \033[K clears what was left of a longer progress line. */
    fprintf(stderr, "%s%s%s", on_line ? "\r\033[K" : "", text,
            stays ? "\n" : "");
    fflush(stderr);
    on_line = !stays && text[0];
    pthread_mutex_unlock(&stderr_lock);
}

static void say(const char *text)
{
    char line[1400];
    snprintf(line, sizeof line, "%s: %s", tool_name, text);
    pf_tool_put(line, true);
}

static void log_sink(void *ctx, pf_log_level level, const char *message)
{
    (void)ctx;
    (void)level;
    say(message);
}

static pf_log tool_log = {log_sink, NULL, PF_LOG_WARN};
static bool log_off; /* -q */

const pf_log *pf_tool_log(void)
{
    return log_off ? NULL : &tool_log;
}

static void set_log(const pf_common *c)
{
    log_off = c->quiet;
    tool_log.level = c->verbose > 1                          ? PF_LOG_DEBUG
                     : c->verbose > 0 || isatty(STDERR_FILENO) ? PF_LOG_INFO
                                                               : PF_LOG_WARN;
}

/* -------------------------------------------------------------- signals -- */

static void on_stop(int sig)
{
    stop_signal = sig;
}

void pf_catch_stop(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_stop;
    sa.sa_flags = (int)SA_RESETHAND; /* the second one ends us at once */
    sigemptyset(&sa.sa_mask);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
}

int pf_stop_signal(void)
{
    return stop_signal;
}

static void die_by(int sig)
{
    sigset_t set;
    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(sig);
}

/* A parent may ignore SIGPIPE (Python does): a filter must still end quietly
 * when its reader goes away. */
static void restore_sigpipe(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* A closed standard descriptor would be given to the next file we open, and
 * messages would land in it. The stand-in fails on use, as a closed one. */
static bool fill_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF)
            continue;
        if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            return false;
    }
    return true;
}

/* ----------------------------------------------------------------- main -- */

static int close_stdout(pf_err *e)
{
    errno = 0;
    bool bad = fflush(stdout) != 0 || ferror(stdout);
    /* EBADF: the run wrote by descriptor and has closed it, checked. */
    if (!bad && fclose(stdout) != 0)
        bad = errno != EBADF;
    if (bad) {
        if (!errno)
            errno = EIO;
        return pf_err_errno(e, "(stdout)", "cannot write");
    }
    return 0;
}

static int parse_and_run(const pf_tool *t, void *settings, int argc,
                         char **argv, pf_err *e)
{
    pf_common *c = settings;
    int n;
    char **operand;
    c->max_line = (int64_t)64 << 20;
    if (t->defaults)
        t->defaults(settings);
    int rc = pf_opt_parse(t, settings, argc, argv, &n, &operand, e);
    if (rc == 1)
        return 0;
    if (rc < 0) {
        size_t len = strlen(e->msg);
        snprintf(e->msg + len, sizeof e->msg - len, " (see %s --help)",
                 t->name);
        return rc;
    }
    set_log(c);
    if (c->threads == 0)
        c->threads = pf_cpu_count();
    return t->run(t, settings, n, operand, e);
}

int pf_tool_main(const pf_tool *t, int argc, char **argv)
{
    char text[1024];
    pf_err e = PF_ERR_INIT;
    tool_name = t->name;
    if (!fill_descriptors())
        return -PF_E_IO;
    restore_sigpipe();
    pf_tool_start_clock();
    void *settings = pf_calloc(1, t->settings_size);
    int rc = settings ? parse_and_run(t, settings, argc, argv, &e)
                      : pf_err_nomem(&e);
    int out = close_stdout(&e);
    if (rc >= 0)
        rc = out;
    pf_opt_release();
    pf_free(settings);
    if (rc < 0)
        say(e.code ? pf_err_text(&e, text, sizeof text) : "failed");
    else
        pf_tool_put("", false);
    if (stop_signal)
        die_by(stop_signal);
    return rc < 0 ? -rc : 0;
}
