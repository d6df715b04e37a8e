/* SPDX-License-Identifier: MIT */
#include "train/metrics.h"

#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

static const char *const names[PF_METRIC_COUNT] = {
    "entropy",           "logits/chosen",      "logits/rejected",
    "mean_token_accuracy", "rewards/chosen",   "rewards/rejected",
    "rewards/accuracies", "rewards/margins",   "logps/chosen",
    "logps/rejected",
};

const char *pf_metric_name(pf_metric m)
{
    return names[m];
}

bool pf_metric_of_seq(pf_metric m)
{
    return m == PF_METRIC_ENTROPY || m == PF_METRIC_TOKEN_ACCURACY;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

void pf_window_add(pf_window *w, const pf_item *it, uint32_t n, double beta,
                   bool seq)
{
    double tok[2] = {0}, ent = 0, logit[2] = {0}, hit = 0, lp[2] = {0};
    double rw[2] = {0}, acc = 0, margin = 0;
    for (uint32_t i = 0; i < n; i++, it++) {
        double r[2];
        for (int k = 0; k < 2; k++) {
            r[k] = beta * (it->x.logp[k] - it->x.ref[k]);
            tok[k] += it->n[k];
            ent += it->entropy[k];
            logit[k] += it->logit[k];
            lp[k] += it->x.logp[k];
            rw[k] += r[k];
        }
        hit += it->hit[0];
        acc += r[0] > r[1];
        margin += r[0] - r[1];
    }
    double *s = w->sum;
    w->micro++;
    s[PF_METRIC_ENTROPY] += ratio(ent, tok[0] + tok[1]);
    s[PF_METRIC_TOKEN_ACCURACY] += ratio(hit, tok[0]);
    if (seq)
        return;
    s[PF_METRIC_LOGITS_CHOSEN] += ratio(logit[0], tok[0]);
    s[PF_METRIC_LOGITS_REJECTED] += ratio(logit[1], tok[1]);
    s[PF_METRIC_REWARDS_CHOSEN] += rw[0] / n;
    s[PF_METRIC_REWARDS_REJECTED] += rw[1] / n;
    s[PF_METRIC_REWARDS_ACCURACIES] += acc / n;
    s[PF_METRIC_REWARDS_MARGINS] += margin / n;
    s[PF_METRIC_LOGPS_CHOSEN] += lp[0] / n;
    s[PF_METRIC_LOGPS_REJECTED] += lp[1] / n;
}

void pf_jw_metric(pf_jw *j, const char *prefix, const char *key, double v)
{
    pf_buf k = {0};
    pf_buf_str(&k, prefix);
    pf_buf_str(&k, key);
    if (k.failed) {
        j->out->failed = true;
    } else {
        pf_jw_key_s(j, pf_buf_slice(&k));
        pf_jw_f64(j, v);
    }
    pf_buf_release(&k);
}

void pf_window_write(const pf_window *w, pf_jw *j, const char *prefix,
                     uint64_t num_tokens, bool seq)
{
    for (int m = 0; m < PF_METRIC_COUNT; m++) {
        if (seq && !pf_metric_of_seq((pf_metric)m))
            continue;
        if (w->micro)
            pf_jw_metric(j, prefix, names[m],
                         w->sum[m] / (double)w->micro);
        if (m == PF_METRIC_ENTROPY)
            pf_jw_metric(j, prefix, "num_tokens", (double)num_tokens);
    }
}

/* --------------------------------------------------------------- history -- */

int pf_history_keep(pf_history *h, pf_slice object, pf_err *e)
{
    if (!PF_GROW(&h->line, &h->cap, h->n + 1))
        return pf_err_nomem(e);
    h->line[h->n] = pf_memdup0(object.p, object.n);
    if (!h->line[h->n])
        return pf_err_nomem(e);
    h->n++;
    return 0;
}

static int put(pf_history *h, const char *line, pf_err *e)
{
    if (fputs(line, h->f) == EOF || fputc('\n', h->f) == EOF ||
        fflush(h->f) != 0)
        return pf_err_errno(e, h->path, "cannot write");
    return 0;
}

int pf_history_open(pf_history *h, const char *path, pf_err *e)
{
    pf_buf b = {0};
    for (size_t i = 0; i < h->n; i++) {
        pf_buf_str(&b, h->line[i]);
        pf_buf_char(&b, '\n');
    }
    h->path = pf_strdup(path);
    if (b.failed || !h->path) {
        pf_buf_release(&b);
        return pf_err_nomem(e);
    }
    int rc = pf_write_file(path, b.p ? b.p : "", b.n, PF_WRITE_REPLACE, e);
    pf_buf_release(&b);
    if (rc < 0)
        return rc;
    h->f = fopen(path, "a");
    return h->f ? 0 : pf_err_errno(e, path, "cannot open");
}

int pf_history_add(pf_history *h, pf_slice object, pf_err *e)
{
    int rc = pf_history_keep(h, object, e);
    if (rc == 0 && h->f)
        rc = put(h, h->line[h->n - 1], e);
    return rc;
}

int pf_history_sync(pf_history *h, pf_err *e)
{
    if (h->f && (fflush(h->f) != 0 || fsync(fileno(h->f)) != 0))
        return pf_err_errno(e, h->path, "cannot write");
    return 0;
}

void pf_history_release(pf_history *h)
{
    for (size_t i = 0; i < h->n; i++)
        pf_free(h->line[i]);
    pf_free(h->line);
    pf_free(h->path);
    if (h->f)
        fclose(h->f);
    *h = (pf_history){0};
}
