/* SPDX-License-Identifier: MIT
 *
 * Directories and paths. */
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int pf_sync_dir(const char *path, pf_err *e)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return pf_err_errno(e, path, "cannot open");
    int rc = 0;
    /* EINVAL: a file system that has no fsync for directories. */
    if (fsync(fd) < 0 && errno != EINVAL)
        rc = pf_err_errno(e, path, "cannot fsync");
    close(fd);
    return rc;
}

int pf_make_dirs(const char *path, pf_err *e)
{
    char *p = pf_strdup(path);
    if (!p)
        return pf_err_nomem(e);
    int rc = 0;
    for (char *at = p + 1;; at++) {
        char c = *at;
        if (c && c != '/')
            continue;
        *at = 0;
        if (mkdir(p, 0777) < 0 && !pf_path_is_dir(p)) {
            rc = pf_err_errno(e, path, "cannot create directory");
            break;
        }
        *at = c;
        if (!c)
            break;
    }
    pf_free(p);
    return rc;
}

bool pf_path_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

bool pf_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *pf_path_join(const char *dir, const char *name)
{
    pf_buf b = {0};
    pf_buf_str(&b, dir);
    if (b.n && b.p[b.n - 1] != '/')
        pf_buf_char(&b, '/');
    pf_buf_str(&b, name);
    return pf_buf_take(&b, NULL);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int pf_list_dir(const char *dir, char ***names, size_t *n, pf_err *e)
{
    char **v = NULL;
    size_t count = 0, cap = 0;
    int rc;
    DIR *d = opendir(dir);
    if (!d)
        return pf_err_errno(e, dir, "cannot open");
    for (;;) {
        errno = 0;
        struct dirent *ent = readdir(d);
        if (!ent) {
            if (errno == 0)
                break;
            rc = pf_err_errno(e, dir, "cannot read");
            goto fail;
        }
        if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
            continue;
        if (!PF_GROW(&v, &cap, count + 1) ||
            !(v[count] = pf_strdup(ent->d_name))) {
            rc = pf_err_nomem(e);
            goto fail;
        }
        count++;
    }
    closedir(d);
    if (count)
        qsort(v, count, sizeof *v, by_name);
    *names = v;
    *n = count;
    return 0;
fail:
    closedir(d);
    for (size_t i = 0; i < count; i++)
        pf_free(v[i]);
    pf_free(v);
    return rc;
}
