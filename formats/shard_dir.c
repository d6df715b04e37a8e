/* SPDX-License-Identifier: MIT
 *
 * A set's directory: names, temporaries, the lock, SHA256SUMS.
 *
 * Files are written and fsynced as NAME.tmp and get their names only when all
 * of them are there; what a killed run left is recognised by name and swept by
 * the next writer. Writers hold a lock on the directory itself, which dies
 * with them. */
#include "formats/shard_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"

void pf_shard_name(char *buf, size_t n, size_t shard, const char *ref)
{
    if (ref)
        snprintf(buf, n, "shard-%05zu.%s.ref", shard, ref);
    else
        snprintf(buf, n, "shard-%05zu.prf", shard);
}

int pf_dir_lock(const char *dir, int *fd, pf_err *e)
{
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return pf_err_errno(e, dir, "cannot open");
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    int rc = errno == EWOULDBLOCK
                 ? pf_err_pos(e, PF_E_IO, dir, 0, -1,
                              "another process is writing here")
                 : pf_err_errno(e, dir, "cannot lock");
    close(*fd);
    *fd = -1;
    return rc;
}

int pf_dir_rename(const char *dir, const char *from, const char *to,
                  pf_err *e)
{
    char *a = pf_path_join(dir, from), *b = pf_path_join(dir, to);
    int rc = 0;
    if (!a || !b)
        rc = pf_err_nomem(e);
    else if (rename(a, b) != 0)
        rc = pf_err_errno(e, b, "cannot rename");
    pf_free(a);
    pf_free(b);
    return rc;
}

int pf_dir_unlink(const char *dir, const char *name, pf_err *e)
{
    char *p = pf_path_join(dir, name);
    if (!p)
        return pf_err_nomem(e);
    int rc = 0;
    if (unlink(p) != 0 && errno != ENOENT)
        rc = pf_err_errno(e, p, "cannot remove");
    pf_free(p);
    return rc;
}

int pf_dir_sweep(const char *dir, pf_name_fn *fn, void *ctx, pf_err *e)
{
    char **names = NULL;
    size_t n = 0;
    int rc = pf_list_dir(dir, &names, &n, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (fn(names[i], ctx))
            rc = pf_dir_unlink(dir, names[i], e);
    for (size_t i = 0; i < n; i++)
        pf_free(names[i]);
    pf_free(names);
    return rc;
}

/* Names that sets give to files, as beginnings. */
static bool is_ours(const char *name)
{
    static const char *const begin[] = {
        "shard-",         "rows-",          "manifest.json", "SHA256SUMS",
        "provenance.jsonl", "tokenizer.json.zst", "tokenizer_config.json.zst",
        "chat_template.jinja.zst"};
    for (size_t i = 0; i < PF_COUNTOF(begin); i++)
        if (strncmp(name, begin[i], strlen(begin[i])) == 0)
            return true;
    return strstr(name, ".ref.json.tmp") != NULL;
}

bool pf_is_temporary(const char *name, void *ctx)
{
    (void)ctx;
    const char *t = strstr(name, ".tmp");
    while (t && t[4] && strncmp(t, ".tmp.", 5) != 0)
        t = strstr(t + 1, ".tmp");
    return t && is_ours(name);
}

/* ---------------------------------------------------------- temporaries -- */

int pf_tmp_open(pf_tmp_file *f, const char *dir, const char *name, pf_err *e)
{
    char tmp[160];
    *f = (pf_tmp_file){.dir = pf_strdup(dir), .name = pf_strdup(name)};
    snprintf(tmp, sizeof tmp, "%s.tmp", name);
    char *path = pf_path_join(dir, tmp);
    pf_sha256_init(&f->sha);
    int rc = f->dir && f->name && path
                 ? pf_writer_open(&f->w, path, PF_WRITE_REPLACE, e)
                 : pf_err_nomem(e);
    pf_free(path);
    if (rc < 0)
        pf_tmp_abort(f);
    return rc;
}

static void tmp_write(void *ctx, const void *p, size_t n)
{
    pf_tmp_file *f = ctx;
    pf_sha256_update(&f->sha, p, n);
    pf_writer_write(f->w, p, n);
    f->bytes += n;
}

pf_ck_sink pf_tmp_sink(pf_tmp_file *f)
{
    return (pf_ck_sink){tmp_write, f};
}

void pf_tmp_abort(pf_tmp_file *f)
{
    pf_writer_abort(f->w);
    pf_free(f->dir);
    pf_free(f->name);
    *f = (pf_tmp_file){0};
}

int pf_tmp_commit(pf_tmp_file *f, uint8_t sha[PF_SHA256_BYTES], pf_err *e)
{
    uint8_t digest[PF_SHA256_BYTES];
    int rc = pf_writer_commit(f->w, e);
    pf_sha256_final(&f->sha, digest);
    if (sha)
        memcpy(sha, digest, sizeof digest);
    f->w = NULL;
    pf_tmp_abort(f);
    return rc;
}

int pf_tmp_write(const char *dir, const char *name, const void *p, size_t n,
                 uint8_t sha[PF_SHA256_BYTES], pf_err *e)
{
    pf_tmp_file f;
    int rc = pf_tmp_open(&f, dir, name, e);
    if (rc < 0)
        return rc;
    tmp_write(&f, p, n);
    return pf_tmp_commit(&f, sha, e);
}

/* ----------------------------------------------------------- SHA256SUMS -- */

void pf_sums_release(pf_sums *s)
{
    for (size_t i = 0; i < s->n; i++)
        pf_free(s->item[i].name);
    pf_free(s->item);
    *s = (pf_sums){0};
}

int pf_sums_put(pf_sums *s, const char *name,
                const uint8_t sha[PF_SHA256_BYTES], pf_err *e)
{
    size_t at = 0;
    while (at < s->n && strcmp(s->item[at].name, name) < 0)
        at++;
    if (at == s->n || strcmp(s->item[at].name, name) != 0) {
        char *copy = pf_strdup(name);
        if (!copy || !PF_GROW(&s->item, &s->cap, s->n + 1)) {
            pf_free(copy);
            return pf_err_nomem(e);
        }
        memmove(s->item + at + 1, s->item + at,
                (s->n - at) * sizeof *s->item);
        s->item[at].name = copy;
        s->n++;
    }
    memcpy(s->item[at].sha, sha, PF_SHA256_BYTES);
    return 0;
}

int pf_sums_text(const pf_sums *s, pf_buf *out, pf_err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        char hex[PF_SHA256_HEX];
        pf_buf_printf(out, "%s  %s\n",
                      pf_hex(s->item[i].sha, PF_SHA256_BYTES, hex),
                      s->item[i].name);
    }
    return pf_buf_failed(out) ? pf_err_nomem(e) : 0;
}

int pf_sums_read(pf_sums *s, const char *dir, pf_err *e)
{
    char *path = pf_path_join(dir, "SHA256SUMS"), *text = NULL;
    size_t n = 0;
    int rc = path ? pf_read_file(path, PF_JSON_MAX, &text, &n, e)
                  : pf_err_nomem(e);
    int64_t line = 1;
    for (size_t at = 0; at < n && rc == 0; line++) {
        char *end = memchr(text + at, '\n', n - at);
        uint8_t sha[PF_SHA256_BYTES];
        size_t len = end ? (size_t)(end - (text + at)) : 0;
        if (len < 67 || !pf_unhex(text + at, 64, sha, 32) ||
            memcmp(text + at + 64, "  ", 2) != 0) {
            rc = pf_err_pos(e, PF_E_FORMAT, path, line, -1,
                            "not a line of sha256sum");
            break;
        }
        *end = 0;
        rc = pf_sums_put(s, text + at + 66, sha, e);
        at += len + 1;
    }
    pf_free(text);
    pf_free(path);
    return rc;
}
