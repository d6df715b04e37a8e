/* SPDX-License-Identifier: MIT
 *
 * Preloaded into a tool under test: makes one system call go wrong.
 *
 *   INJECT=CALL:N:WHAT   CALL is open read write fsync rename close; the N-th
 *                        one (from 1) gets WHAT: an errno name (EIO ENOSPC
 *                        EINTR EAGAIN), SHORT (one byte is transferred),
 *                        KILL (SIGKILL before it) or HALF (half of a write,
 *                        then SIGKILL)
 *   INJECT_HIT=FILE      is created when the N-th call came
 *
 * Standard error is left alone, so that messages come through. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum what { NOTHING, FAIL, SHORT, KILL, HALF };

static struct {
    char call[16];
    long n;
    enum what what;
    int error;
} plan;
static atomic_long count;

__attribute__((constructor)) static void load(void)
{
    static const struct {
        const char *name;
        enum what what;
        int error;
    } kinds[] = {
        {"EIO", FAIL, EIO},       {"ENOSPC", FAIL, ENOSPC},
        {"EINTR", FAIL, EINTR},   {"EAGAIN", FAIL, EAGAIN},
        {"EMFILE", FAIL, EMFILE}, {"SHORT", SHORT, 0},
        {"KILL", KILL, 0},        {"HALF", HALF, 0},
    };
    const char *s = getenv("INJECT");
    const char *a = s ? strchr(s, ':') : NULL, *b = a ? strchr(a + 1, ':') : NULL;
    if (!b || (size_t)(a - s) >= sizeof plan.call)
        return;
    memcpy(plan.call, s, (size_t)(a - s));
    plan.n = strtol(a + 1, NULL, 10);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(b + 1, kinds[i].name) == 0) {
            plan.what = kinds[i].what;
            plan.error = kinds[i].error;
        }
    }
}

static enum what due(const char *call)
{
    if (plan.what == NOTHING || strcmp(call, plan.call) != 0 ||
        atomic_fetch_add(&count, 1) + 1 != plan.n)
        return NOTHING;
    const char *hit = getenv("INJECT_HIT");
    if (hit)
        syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, hit,
                                   O_WRONLY | O_CREAT, 0666));
    if (plan.what == KILL)
        kill(getpid(), SIGKILL);
    errno = plan.error;
    return plan.what;
}

static int open_any(const char *path, int flags, va_list ap)
{
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
    if (due("open") == FAIL)
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int fd = open_any(path, flags, ap);
    va_end(ap);
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int fd = open_any(path, flags, ap);
    va_end(ap);
    return fd;
}

ssize_t read(int fd, void *buf, size_t n)
{
    enum what w = due("read");
    if (w == FAIL)
        return -1;
    return syscall(SYS_read, fd, buf, w == SHORT && n ? 1 : n);
}

ssize_t write(int fd, const void *buf, size_t n)
{
    enum what w = fd == STDERR_FILENO ? NOTHING : due("write");
    if (w == FAIL)
        return -1;
    if (w == HALF) {
        syscall(SYS_write, fd, buf, n / 2);
        kill(getpid(), SIGKILL);
    }
    return syscall(SYS_write, fd, buf, w == SHORT && n ? 1 : n);
}

int fsync(int fd)
{
    return due("fsync") == FAIL ? -1 : (int)syscall(SYS_fsync, fd);
}

int close(int fd)
{
    /* As Linux does it: the descriptor is gone whatever the result. */
    enum what w = due("close");
    int error = errno, rc = (int)syscall(SYS_close, fd);
    if (w != FAIL)
        return rc;
    errno = error;
    return -1;
}

int rename(const char *from, const char *to)
{
    if (due("rename") == FAIL)
        return -1;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int fd, const char *from, int fd2, const char *to,
              unsigned flags)
{
    if (due("rename") == FAIL)
        return -1;
    return (int)syscall(SYS_renameat2, fd, from, fd2, to, flags);
}
