/* SPDX-License-Identifier: MIT
 *
 * What a run says about itself: progress, the summary line, --stats, and the
 * verdict of --max-bad. */
#include "tools/tool.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "tools/opt_int.h"
#include "tools/tool_int.h"

static double started;

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

void pf_tool_start_clock(void)
{
    started = now();
}

/* ------------------------------------------------------------- progress -- */

static pthread_mutex_t progress_lock = PTHREAD_MUTEX_INITIALIZER;
static double last_drawn;

static bool stdout_is_pipe(void)
{
    struct stat st;
    return fstat(STDOUT_FILENO, &st) == 0 &&
           (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

typedef enum draw { DRAW_NOTHING, DRAW_LINE, DRAW_JSON } draw;

/* Of the tools of a pipe only the last draws, and only on a terminal. */
static draw how_to_draw(const pf_common *c)
{
    if (c->progress && strcmp(c->progress, "json") == 0)
        return DRAW_JSON;
    if (c->quiet || !isatty(STDERR_FILENO))
        return DRAW_NOTHING;
    return c->progress || !stdout_is_pipe() ? DRAW_LINE : DRAW_NOTHING;
}

static void put_progress_json(pf_buf *b, const char *unit, uint64_t done,
                              uint64_t total, const char *extra, double dt)
{
    pf_jw w = {.out = b};
    pf_jw_obj(&w);
    pf_jw_key(&w, "unit");
    pf_jw_cstr(&w, unit);
    pf_jw_key(&w, "done");
    pf_jw_u64(&w, done);
    if (total) {
        pf_jw_key(&w, "total");
        pf_jw_u64(&w, total);
    }
    pf_jw_key(&w, "seconds");
    pf_jw_f64(&w, dt);
    if (extra && *extra) {
        pf_jw_key(&w, "note");
        pf_jw_cstr(&w, extra);
    }
    pf_jw_end(&w, '}');
}

static void put_progress_line(pf_buf *b, const char *unit, uint64_t done,
                              uint64_t total, const char *extra, double dt)
{
    double rate = dt > 0 ? (double)done / dt : 0;
    if (total)
        pf_buf_printf(b, "%" PRIu64 "/%" PRIu64 " %s (%.0f%%)", done, total,
                      unit, 100.0 * (double)done / (double)total);
    else
        pf_buf_printf(b, "%" PRIu64 " %s", done, unit);
    pf_buf_printf(b, ", %.*f/s", rate < 10 ? 2 : 0, rate);
    if (total > done && rate > 0) {
        double left = (double)(total - done) / rate;
        pf_buf_printf(b, ", %.0f:%02.0f left", (double)(int64_t)(left / 60),
                      (double)((int64_t)left % 60));
    }
    if (extra && *extra)
        pf_buf_printf(b, ", %s", extra);
}

void pf_progress(const pf_common *c, const char *unit, uint64_t done,
                 uint64_t total, const char *extra)
{
    double t = now();
    pthread_mutex_lock(&progress_lock);
    bool due = t - last_drawn >= 0.2 && t - started >= 0.2;
    if (due)
        last_drawn = t;
    pthread_mutex_unlock(&progress_lock);
    draw how = due ? how_to_draw(c) : DRAW_NOTHING;
    if (how == DRAW_NOTHING)
        return;
    pf_buf b = {0};
    if (how == DRAW_JSON)
        put_progress_json(&b, unit, done, total, extra, t - started);
    else
        put_progress_line(&b, unit, done, total, extra, t - started);
    if (!pf_buf_failed(&b))
        pf_tool_put(b.p, how == DRAW_JSON);
    pf_buf_release(&b);
}

void pf_progress_end(const pf_common *c)
{
    if (how_to_draw(c) == DRAW_LINE)
        pf_tool_put("", false);
}

/* -------------------------------------------------------------- summary -- */

static void put_bytes(pf_buf *b, uint64_t n)
{
    static const char units[] = "kMGTPE";
    double v = (double)n;
    int u = -1;
    while (v >= 999.5 && u < 5) {
        v /= 1000;
        u++;
    }
    if (u < 0)
        pf_buf_printf(b, "%" PRIu64 " B", n);
    else
        pf_buf_printf(b, "%.3g %cB", v, units[u]);
}

static void put_summary(pf_buf *b, const char *name, const pf_tally *t,
                        uint64_t bytes, double dt)
{
    uint64_t rejected = pf_tally_rejected(t);
    pf_buf_printf(b, "%s: %" PRIu64 " rows in, %" PRIu64 " out", name, t->in,
                  t->count[PF_KEPT]);
    if (rejected) {
        const char *sep = " (";
        pf_buf_printf(b, ", %" PRIu64 " rejected", rejected);
        for (int i = 1; i < PF_REASON_COUNT; i++) {
            if (!t->count[i])
                continue;
            pf_buf_printf(b, "%s%s %" PRIu64, sep,
                          pf_reason_name((pf_reason)i), t->count[i]);
            sep = ", ";
        }
        pf_buf_char(b, ')');
    }
    if (t->duplicate_keys)
        pf_buf_printf(b, ", %" PRIu64 " repeated JSON keys",
                      t->duplicate_keys);
    pf_buf_str(b, ", ");
    put_bytes(b, bytes);
    pf_buf_printf(b, ", %.2f s, %.0f rows/s", dt,
                  dt > 0 ? (double)t->in / dt : 0);
}

static void put_stats(pf_buf *b, const char *name, const pf_tally *t,
                      uint64_t bytes, double dt)
{
    pf_jw w = {.out = b};
    pf_jw_obj(&w);
    pf_jw_key(&w, "tool");
    pf_jw_cstr(&w, name);
    pf_jw_key(&w, "version");
    pf_jw_cstr(&w, PF_VERSION);
    pf_jw_key(&w, "rows_in");
    pf_jw_u64(&w, t->in);
    pf_jw_key(&w, "rows_out");
    pf_jw_u64(&w, t->count[PF_KEPT]);
    pf_jw_key(&w, "rows_rejected");
    pf_jw_u64(&w, pf_tally_rejected(t));
    pf_jw_key(&w, "rows_damaged");
    pf_jw_u64(&w, pf_tally_damaged(t));
    pf_jw_key(&w, "rejected");
    pf_jw_obj(&w);
    for (int i = 1; i < PF_REASON_COUNT; i++) {
        if (!t->count[i])
            continue;
        pf_jw_key(&w, pf_reason_name((pf_reason)i));
        pf_jw_u64(&w, t->count[i]);
    }
    pf_jw_end(&w, '}');
    pf_jw_key(&w, "duplicate_keys");
    pf_jw_u64(&w, t->duplicate_keys);
    pf_jw_key(&w, "bytes");
    pf_jw_u64(&w, bytes);
    pf_jw_key(&w, "seconds");
    pf_jw_f64(&w, dt);
    pf_jw_end(&w, '}');
    pf_buf_char(b, '\n');
}

int pf_tool_summary(const pf_tool *t, const pf_common *c,
                    const pf_tally *tally, uint64_t bytes, pf_err *e)
{
    double dt = now() - started;
    pf_buf b = {0};
    int rc = 0;
    bool shown = !c->quiet && (c->verbose || pf_tally_rejected(tally) ||
                               isatty(STDERR_FILENO));
    if (shown) {
        put_summary(&b, t->name, tally, bytes, dt);
        if (pf_buf_failed(&b))
            rc = pf_err_nomem(e);
        else
            pf_tool_put(b.p, true);
    }
    if (rc == 0 && c->stats) {
        pf_buf_clear(&b);
        put_stats(&b, t->name, tally, bytes, dt);
        rc = pf_buf_failed(&b) ? pf_err_nomem(e)
                               : pf_write_file(c->stats, b.p, b.n,
                                               PF_WRITE_REPLACE, e);
    }
    pf_buf_release(&b);
    return rc;
}

int pf_max_bad_check(const pf_common *c, const pf_tally *t, pf_err *e)
{
    int64_t rows = 0;
    double percent = -1;
    uint64_t bad = pf_tally_damaged(t);
    if (c->max_bad) {
        int rc = pf_max_bad_parse(c->max_bad, &rows, &percent, e);
        if (rc < 0)
            return rc;
    }
    bool over = rows >= 0 ? bad > (uint64_t)rows
                          : (double)bad > percent / 100 * (double)t->in;
    if (!over)
        return 0;
    return pf_err_set(e, PF_E_REJECTED,
                      "%" PRIu64 " of %" PRIu64
                      " rows rejected as damaged, over --max-bad %s",
                      bad, t->in, c->max_bad ? c->max_bad : "0");
}

int pf_refuse_terminal(pf_err *e)
{
    if (!isatty(STDOUT_FILENO))
        return 0;
    return pf_err_set(e, PF_E_USAGE, "binary output is not written to a "
                                     "terminal; use -o or a pipe");
}
