/* SPDX-License-Identifier: MIT
 *
 * The registry of formats, and what can be told of a file by its beginning
 * and its end. */
#include "formats/source.h"

#include <strings.h>

#include "formats/registry.h"

#define HEAD 512
#define SNIFF_LINES 64
#define SNIFF_BYTES ((size_t)32 << 20)

static const pf_format *const formats[] = {
    &pf_format_hh_rlhf,
    &pf_format_trl,
    NULL,
};

const pf_format *const *pf_formats(void)
{
    return formats;
}

const pf_format *pf_format_find(const char *name)
{
    for (const pf_format *const *f = formats; *f; f++)
        if (strcmp((*f)->name, name) == 0)
            return *f;
    return NULL;
}

/* ------------------------------------------------------------ beginning -- */

static pf_slice skip_space(pf_slice s)
{
    if (s.n >= 3 && memcmp(s.p, "\xef\xbb\xbf", 3) == 0)
        s = (pf_slice){s.p + 3, s.n - 3};
    while (s.n && (*s.p == ' ' || *s.p == '\n' || *s.p == '\r' || *s.p == '\t'))
        s = (pf_slice){s.p + 1, s.n - 1};
    return s;
}

static bool has_control_bytes(pf_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f')
            return true;
    }
    return false;
}

/* What is wrong with a file that begins so, or NULL. */
static const char *refusal(pf_slice s)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *what;
    } known[] = {
        {"version https://git-lfs.github.com/", 35,
         "a git-lfs pointer: the data was never downloaded (git lfs pull)"},
        {"PAR1", 4, "a Parquet file, which this version does not read"},
        {"ARROW1", 6, "an Arrow file, which this version does not read"},
        {"\xff\xff\xff\xff", 4,
         "an Arrow stream, which this version does not read"},
        {"\xff\xfe", 2, "UTF-16 text: convert it to UTF-8 first"},
        {"\xfe\xff", 2, "UTF-16 text: convert it to UTF-8 first"},
        {"\xfd" "7zXZ", 5, "an xz file: unpack it first (xz -dc)"},
        {"BZh", 3, "a bzip2 file: unpack it first (bzip2 -dc)"},
        {"PK\x03\x04", 4, "a zip file: unpack it first"},
        {"\x89PRF", 4, "a prefkit chunk stream, not a dataset"},
    };
    for (size_t i = 0; i < PF_COUNTOF(known); i++)
        if (s.n >= known[i].n && memcmp(s.p, known[i].magic, known[i].n) == 0)
            return known[i].what;
    pf_slice t = skip_space(s);
    if (t.n >= 5 && (strncasecmp(t.p, "<html", 5) == 0 ||
                     strncasecmp(t.p, "<!doc", 5) == 0))
        return "an HTML page: the download gave a web page, not the data";
    if (t.n && t.p[0] == '[')
        return "a JSON array: this version reads JSON Lines";
    return has_control_bytes(s) ? "a binary file, not JSON Lines" : NULL;
}

int pf_source_check(pf_reader *r, pf_err *e)
{
    pf_slice s;
    const char *name = pf_reader_name(r);
    int rc = pf_reader_peek(r, HEAD, &s, e);
    if (rc < 0)
        return rc;
    if (s.n == 0 && pf_reader_is_pipe(r))
        return pf_err_pos(e, PF_E_TRUNCATED, name, 0, -1,
                          "no input: the producer wrote nothing");
    if (s.n == 0)
        return pf_err_pos(e, PF_E_FORMAT, name, 0, -1, "empty file");
    s.n = PF_MIN(s.n, HEAD); /* the verdict must not depend on timing */
    const char *what = refusal(s);
    return what ? pf_err_pos(e, PF_E_FORMAT, name, 0, -1, "%s", what) : 0;
}

/* The best format for a record: 1, or 0 when none fits, or an error. */
static int choose(pf_jval v, const char *name, int64_t line,
                  const pf_format **out, pf_err *e)
{
    int best = 0;
    const pf_format *tie = NULL;
    *out = NULL;
    for (const pf_format *const *f = formats; *f; f++) {
        int score = (*f)->probe(v);
        if (score > best) {
            best = score;
            *out = *f;
            tie = NULL;
        } else if (score && score == best) {
            tie = *f;
        }
    }
    if (tie)
        return pf_err_pos(e, PF_E_FORMAT, name, line, -1,
                          "could be %s or %s: say which with --from",
                          (*out)->name, tie->name);
    return *out != NULL;
}

/* "the first record has the fields a, b, c" for a file no format fits. */
static int no_format(pf_json *j, pf_slice first, const char *name, pf_err *e)
{
    pf_jval v;
    pf_buf keys = {0};
    if (pf_json_parse(j, first, &v, NULL) < 0 ||
        pf_jtype(v) != PF_JSON_OBJECT)
        return pf_err_pos(e, PF_E_FORMAT, name, 0, -1,
                          "no JSON object on its first lines: not a dataset "
                          "in JSON Lines");
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it) && keys.n < 200) {
        char q[48];
        pf_buf_printf(&keys, "%s%s", keys.n ? ", " : "",
                      pf_err_quote(q, sizeof q, it.key.p, it.key.n));
    }
    int rc = pf_err_pos(e, PF_E_FORMAT, name, 0, -1,
                        "no known format has records with the fields %s",
                        keys.p ? keys.p : "(none)");
    pf_buf_release(&keys);
    return rc;
}

/* Line i of what can be peeked (0-based), without its LF: 1, 0 when the input
 * ends before it, or an error. Grows the view until the line is whole. */
static int peek_line(pf_reader *r, int i, pf_slice *line, pf_err *e)
{
    pf_slice s = {NULL, 0};
    for (size_t want = 1;; want = PF_MIN(s.n * 2, s.n + SNIFF_BYTES / 8)) {
        size_t had = s.n;
        int rc = pf_reader_peek(r, PF_MAX(want, had + 1), &s, e);
        if (rc < 0)
            return rc;
        pf_slice rest = s;
        for (int k = 0; rest.n; k++) {
            const char *lf = memchr(rest.p, '\n', rest.n);
            bool last = s.n == had || s.n >= SNIFF_BYTES;
            if (!lf && !last)
                break;
            size_t n = lf ? (size_t)(lf - rest.p) : rest.n;
            *line = (pf_slice){rest.p, n};
            if (k == i)
                return 1;
            rest = (pf_slice){rest.p + n + (lf != NULL),
                              rest.n - n - (lf != NULL)};
        }
        if (s.n == had || s.n >= SNIFF_BYTES)
            return 0;
    }
}

int pf_source_sniff(pf_reader *r, const pf_format **out, pf_err *e)
{
    const char *name = pf_reader_name(r);
    pf_json *j = pf_json_new();
    if (!j)
        return pf_err_nomem(e);
    pf_slice line, first = {NULL, 0};
    int rc = 0;
    for (int i = 0; i < SNIFF_LINES && rc == 0; i++) {
        rc = peek_line(r, i, &line, e);
        if (rc <= 0)
            break;
        line = skip_space(line);
        pf_jval v;
        rc = line.n ? pf_json_parse(j, line, &v, NULL) : PF_E_FORMAT;
        if (rc == PF_E_LIMIT) {
            pf_err_nomem(e);
            break;
        }
        rc = rc == 0 ? choose(v, name, i + 1, out, e) : 0;
    }
    if (rc == 0) {
        rc = peek_line(r, 0, &first, e);
        if (rc >= 0)
            rc = no_format(j, skip_space(first), name, e);
    }
    pf_json_free(j);
    return PF_MIN(rc, 0);
}

/* ------------------------------------------------------------------ end -- */

int pf_source_end(const pf_reader *r, bool seen_src, bool last_line_ended,
                  int64_t bytes, pf_err *e)
{
    if (bytes == 0 && pf_reader_is_pipe(r))
        return pf_err_pos(e, PF_E_TRUNCATED, pf_reader_name(r), 0, -1,
                          "no input: the producer wrote nothing");
    if (seen_src && !last_line_ended)
        return pf_err_pos(e, PF_E_TRUNCATED, pf_reader_name(r), 0, bytes,
                          "the records end without their end mark: the "
                          "producer did not finish");
    return 0;
}
