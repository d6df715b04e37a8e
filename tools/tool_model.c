/* SPDX-License-Identifier: MIT
 *
 * MODEL names: a path, or a repository in the local Hugging Face cache. The
 * cache is only read; nothing is ever downloaded. Its layout is that of
 * huggingface_hub: HUB/models--ORG--NAME/{refs/REV, snapshots/COMMIT/}. */
#include "tools/tool.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"

/* The hub directory, in the order huggingface_hub looks. */
static void put_hub(pf_buf *b)
{
    const char *dir;
    if ((dir = getenv("HF_HUB_CACHE")) && *dir)
        pf_buf_str(b, dir);
    else if ((dir = getenv("HF_HOME")) && *dir)
        pf_buf_printf(b, "%s/hub", dir);
    else if ((dir = getenv("XDG_CACHE_HOME")) && *dir)
        pf_buf_printf(b, "%s/huggingface/hub", dir);
    else if ((dir = getenv("HOME")) && *dir)
        pf_buf_printf(b, "%s/.cache/huggingface/hub", dir);
}

/* Could it be [org/]name? At most one slash, and the characters of the hub. */
static bool is_repo_name(const char *s, size_t n)
{
    size_t slashes = 0;
    if (n == 0 || s[0] == '.' || s[0] == '/' || s[n - 1] == '/')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c >= '0' && c <= '9') || strchr("-_.", c);
        if (!word && c != '/')
            return false;
        slashes += c == '/';
    }
    return slashes <= 1;
}

static void put_repo_dir(pf_buf *b, const char *repo, size_t n)
{
    put_hub(b);
    pf_buf_str(b, "/models--");
    for (size_t i = 0; i < n; i++) {
        if (repo[i] == '/')
            pf_buf_str(b, "--");
        else
            pf_buf_char(b, repo[i]);
    }
}

/* The commit that refs/REV names, or REV itself. */
static int put_snapshot(pf_buf *b, const char *rev, pf_err *e)
{
    size_t base = b->n, n = 0;
    char *commit = NULL;
    pf_buf_printf(b, "/refs/%s", rev);
    if (pf_buf_failed(b))
        return pf_err_nomem(e);
    if (pf_path_exists(b->p)) {
        int rc = pf_read_file(b->p, 4096, &commit, &n, e);
        if (rc < 0)
            return rc;
        commit[strcspn(commit, " \r\n/")] = 0;
    }
    b->n = base;
    pf_buf_printf(b, "/snapshots/%s", commit ? commit : rev);
    pf_free(commit);
    return pf_buf_failed(b) ? pf_err_nomem(e) : 0;
}

int pf_model_path(char **out, const char *model, pf_err *e)
{
    pf_buf b = {0};
    if (pf_path_exists(model)) {
        *out = pf_strdup(model);
        return *out ? 0 : pf_err_nomem(e);
    }
    size_t n = strcspn(model, "@");
    const char *rev = model[n] ? model + n + 1 : "main";
    if (!is_repo_name(model, n) || !*rev || strstr(rev, ".."))
        return pf_err_pos(e, PF_E_IO, model, 0, -1,
                          "no such model: No such file or directory");
    put_repo_dir(&b, model, n);
    int rc = put_snapshot(&b, rev, e);
    if (rc == 0 && !pf_path_exists(b.p))
        rc = pf_err_pos(e, PF_E_IO, model, 0, -1,
                        "no such model: no file of that name, and not in the "
                        "local Hugging Face cache (looked for %s)",
                        b.p);
    if (rc == 0 && !(*out = pf_buf_take(&b, NULL)))
        rc = pf_err_nomem(e);
    pf_buf_release(&b);
    return rc;
}
