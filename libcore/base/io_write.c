/* SPDX-License-Identifier: MIT
 *
 * pf_writer: buffered, checked, and atomic when it writes to a path. */
#define _GNU_SOURCE /* renameat2 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define BUFFER_CAP ((size_t)256 << 10)
#define TEMP_TRIES 100

struct pf_writer {
    int fd;
    bool own_fd;
    bool pipe, hold_lf;
    pf_write_mode mode;
    char *path; /* for messages; "(stdout)" */
    char *temp; /* NULL when written directly */
    unsigned char *buf;
    size_t n;
    uint64_t bytes;
    int failed;
    pf_err err;
};

/* How much of [p, p + n) the next write takes. Writes of up to PIPE_BUF bytes
 * to a pipe are all or nothing (POSIX), also when the writer is killed. */
static size_t step(const pf_writer *w, const unsigned char *p, size_t n)
{
    if (!w->hold_lf || !w->pipe || n <= PIPE_BUF)
        return n;
    n = PIPE_BUF;
    while (n > 1 && p[n - 1] == '\n')
        n--;
    return n;
}

static void put_all(pf_writer *w, const unsigned char *p, size_t n)
{
    while (n && !w->failed) {
        ssize_t put = write(w->fd, p, step(w, p, n));
        if (put >= 0) {
            p += put;
            n -= (size_t)put;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd f = {.fd = w->fd, .events = POLLOUT};
            if (poll(&f, 1, -1) < 0 && errno != EINTR)
                w->failed = pf_err_errno(&w->err, w->path, "cannot write");
        } else if (errno != EINTR) {
            w->failed = pf_err_errno(&w->err, w->path, "cannot write");
        }
    }
}

/* Writes the buffer, all of it or without the LFs that end it. */
static void drain(pf_writer *w, bool all)
{
    size_t n = w->n;
    while (!all && w->hold_lf && n && w->buf[n - 1] == '\n')
        n--;
    if (n == 0)
        n = w->n == BUFFER_CAP || all ? w->n : 0;
    put_all(w, w->buf, n);
    memmove(w->buf, w->buf + n, w->n - n);
    w->n -= n;
}

void pf_writer_write(pf_writer *w, const void *from, size_t n)
{
    const unsigned char *p = from;
    w->bytes += n;
    while (n >= BUFFER_CAP - w->n) {
        if (w->n == 0 && !w->hold_lf) {
            put_all(w, p, n);
            return;
        }
        size_t part = BUFFER_CAP - w->n;
        memcpy(w->buf + w->n, p, part);
        w->n = BUFFER_CAP;
        p += part;
        n -= part;
        drain(w, false);
    }
    if (n)
        memcpy(w->buf + w->n, p, n);
    w->n += n;
}

void pf_writer_hold_lf(pf_writer *w)
{
    w->hold_lf = true;
}

static int report(const pf_writer *w, pf_err *e)
{
    if (w->failed && e && !e->code)
        *e = w->err;
    return w->failed;
}

int pf_writer_flush(pf_writer *w, pf_err *e)
{
    drain(w, false);
    return report(w, e);
}

uint64_t pf_writer_bytes(const pf_writer *w)
{
    return w->bytes;
}

/* PATH.tmp.PID, or with a further number where a dead process of the same id
 * left one. */
static int open_temp(pf_writer *w, const char *path, pf_err *e)
{
    size_t cap = strlen(path) + 48;
    w->temp = pf_alloc(cap);
    if (!w->temp)
        return pf_err_nomem(e);
    for (int i = 0; i < TEMP_TRIES; i++) {
        int n = snprintf(w->temp, cap, "%s.tmp.%ld", path, (long)getpid());
        if (i)
            snprintf(w->temp + n, cap - (size_t)n, ".%d", i);
        do
            w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                         0666);
        while (w->fd < 0 && errno == EINTR);
        if (w->fd >= 0) {
            w->own_fd = true;
            return 0;
        }
        if (errno != EEXIST)
            break;
    }
    int rc = pf_err_errno(e, path, "cannot create");
    pf_free(w->temp); /* not ours: abort must not remove it */
    w->temp = NULL;
    return rc;
}

static int exists(const char *path, pf_err *e)
{
    return pf_err_pos(e, PF_E_IO, path, 0, -1, "exists already");
}

static int open_target(pf_writer *w, const char *path, pf_err *e)
{
    struct stat st;
    if (strcmp(path, "-") == 0) {
        w->fd = STDOUT_FILENO;
        return 0;
    }
    if (stat(path, &st) < 0)
        return open_temp(w, path, e);
    if (S_ISDIR(st.st_mode))
        return pf_err_pos(e, PF_E_IO, path, 0, -1, "is a directory");
    if (S_ISREG(st.st_mode)) {
        if (w->mode == PF_WRITE_NEW)
            return exists(path, e);
        return open_temp(w, path, e);
    }
    do
        w->fd = open(path, O_WRONLY | O_CLOEXEC);
    while (w->fd < 0 && errno == EINTR);
    if (w->fd < 0)
        return pf_err_errno(e, path, "cannot open");
    w->own_fd = true;
    return 0;
}

int pf_writer_open(pf_writer **out, const char *path, pf_write_mode mode,
                   pf_err *e)
{
    int rc;
    pf_writer *w = pf_calloc(1, sizeof *w);
    if (!w)
        return pf_err_nomem(e);
    w->fd = -1;
    w->mode = mode;
    w->err = (pf_err)PF_ERR_INIT;
    w->path = pf_strdup(strcmp(path, "-") == 0 ? "(stdout)" : path);
    w->buf = pf_alloc(BUFFER_CAP);
    if (!w->path || !w->buf) {
        rc = pf_err_nomem(e);
        goto fail;
    }
    rc = open_target(w, path, e);
    if (rc < 0)
        goto fail;
    struct stat st;
    w->pipe = fstat(w->fd, &st) == 0 &&
              (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
    *out = w;
    return 0;
fail:
    pf_writer_abort(w);
    return rc;
}

static void writer_free(pf_writer *w)
{
    pf_free(w->temp);
    pf_free(w->path);
    pf_free(w->buf);
    pf_free(w);
}

void pf_writer_abort(pf_writer *w)
{
    if (!w)
        return;
    if (w->own_fd)
        close(w->fd);
    if (w->temp)
        unlink(w->temp);
    writer_free(w);
}

/* Renames temp to path; with PF_WRITE_NEW never over another file, even one
 * that appeared since the check at open. */
static int publish(pf_writer *w, pf_err *e)
{
    if (w->mode == PF_WRITE_NEW) {
#ifdef RENAME_NOREPLACE
        if (renameat2(AT_FDCWD, w->temp, AT_FDCWD, w->path,
                      RENAME_NOREPLACE) == 0)
            return 0;
        if (errno == EEXIST)
            return exists(w->path, e);
        if (errno != EINVAL && errno != ENOSYS)
            return pf_err_errno(e, w->path, "cannot rename into place");
#endif
        if (pf_path_exists(w->path))
            return exists(w->path, e);
    }
    if (rename(w->temp, w->path) < 0)
        return pf_err_errno(e, w->path, "cannot rename into place");
    return 0;
}

static int sync_parent(const char *path, pf_err *e)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return pf_sync_dir(".", e);
    char *dir = pf_memdup0(path, slash == path ? 1 : (size_t)(slash - path));
    if (!dir)
        return pf_err_nomem(e);
    int rc = pf_sync_dir(dir, e);
    pf_free(dir);
    return rc;
}

int pf_writer_commit(pf_writer *w, pf_err *e)
{
    bool renamed = false;
    drain(w, true);
    int rc = report(w, e);
    if (rc < 0)
        goto fail;
    if (w->temp && fsync(w->fd) < 0) {
        rc = pf_err_errno(e, w->path, "cannot fsync");
        goto fail;
    }
    if (w->own_fd) {
        w->own_fd = false; /* closed also when close fails (Linux) */
        if (close(w->fd) < 0 && errno != EINTR) {
            rc = pf_err_errno(e, w->path, "cannot close");
            goto fail;
        }
    }
    if (w->temp) {
        rc = publish(w, e);
        if (rc < 0)
            goto fail;
        renamed = true;
        rc = sync_parent(w->path, e);
        if (rc < 0)
            goto fail;
    }
    writer_free(w);
    return 0;
fail:
    /* The directory may forget a rename it could not sync, so a new name is
     * taken back. A replaced file cannot be: the complete new one stays. */
    if (renamed && w->mode == PF_WRITE_NEW)
        unlink(w->path);
    pf_writer_abort(w);
    return rc;
}

int pf_write_file(const char *path, const void *p, size_t n,
                  pf_write_mode mode, pf_err *e)
{
    pf_writer *w;
    int rc = pf_writer_open(&w, path, mode, e);
    if (rc < 0)
        return rc;
    pf_writer_write(w, p, n);
    return pf_writer_commit(w, e);
}
