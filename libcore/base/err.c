/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pf_bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "BUG at %s:%d: %s\n", file, line, what);
    abort();
}

void pf_err_clear(pf_err *e)
{
    if (e)
        *e = (pf_err)PF_ERR_INIT;
}

/* Long paths keep their two ends: the name tells most, then the root. */
static void copy_path(char *dst, size_t n, const char *path)
{
    size_t len = strlen(path);
    if (len < n) {
        memcpy(dst, path, len + 1);
        return;
    }
    size_t head = n / 4, tail = n - head - 4;
    memcpy(dst, path, head);
    memcpy(dst + head, "...", 3);
    memcpy(dst + head + 3, path + len - tail, tail);
    dst[n - 1] = 0;
}

PF_PRINTF(6, 0)
static int set_va(pf_err *e, int code, const char *file, int64_t line,
                  int64_t byte, const char *fmt, va_list ap)
{
    if (!e || e->code)
        return code;
    e->code = code;
    e->line = line;
    e->byte = byte;
    e->file[0] = 0;
    if (file)
        copy_path(e->file, sizeof e->file, file);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    return code;
}

int pf_err_set(pf_err *e, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_va(e, code, NULL, 0, -1, fmt, ap);
    va_end(ap);
    return code;
}

int pf_err_pos(pf_err *e, int code, const char *file, int64_t line,
               int64_t byte, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_va(e, code, file, line, byte, fmt, ap);
    va_end(ap);
    return code;
}

void pf_err_at(pf_err *e, const char *file, int64_t line, int64_t byte)
{
    if (!e || !e->code)
        return;
    if (!e->file[0] && file)
        copy_path(e->file, sizeof e->file, file);
    if (e->line == 0 && line > 0)
        e->line = line;
    if (e->byte < 0 && byte >= 0)
        e->byte = byte;
}

int pf_err_errno(pf_err *e, const char *file, const char *what)
{
    int no = errno;
    int code = no == ENOMEM || no == EMFILE || no == ENFILE ? PF_E_LIMIT
                                                            : PF_E_IO;
    char buf[128];
    if (strerror_r(no, buf, sizeof buf) != 0)
        snprintf(buf, sizeof buf, "error %d", no);
    return pf_err_pos(e, code, file, 0, -1, "%s: %s", what, buf);
}

int pf_err_nomem(pf_err *e)
{
    return pf_err_set(e, PF_E_LIMIT, "out of memory");
}

const char *pf_err_text(const pf_err *e, char *buf, size_t n)
{
    if (e->file[0] && e->line > 0)
        snprintf(buf, n, "%s:%" PRId64 ": %s", e->file, e->line, e->msg);
    else if (e->file[0] && e->byte >= 0)
        snprintf(buf, n, "%s: byte %" PRId64 ": %s", e->file, e->byte, e->msg);
    else if (e->file[0])
        snprintf(buf, n, "%s: %s", e->file, e->msg);
    else
        snprintf(buf, n, "%s", e->msg);
    return buf;
}

const char *pf_err_quote(char *buf, size_t n, const char *s, size_t len)
{
    size_t o = 0;
    if (n < 16)
        PF_BUG("quote buffer too small");
    buf[o++] = '\'';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (o + 10 > n) {
            memcpy(buf + o, "...", 3);
            o += 3;
            break;
        }
        if (c >= 0x20 && c < 0x7f)
            buf[o++] = (char)c;
        else
            o += (size_t)snprintf(buf + o, n - o, "\\x%02x", c);
    }
    buf[o++] = '\'';
    buf[o] = 0;
    return buf;
}
