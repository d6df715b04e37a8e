/* SPDX-License-Identifier: MIT */
#include "tools/tool_lines.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/lines.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/utf8.h"
#include "formats/source.h"

#define BATCH ((size_t)256 << 10)
#define OUR_START "{\"_src\""

typedef struct pf_job_source {
    const char *path;
    pf_reader *reader;
    bool seen_src, cut;
} source;

typedef struct item {
    int file;
    bool end; /* behind the last line of a source */
    pf_line batch;
    pf_buf block;
    int64_t bytes;
    bool ended;
    pf_json *json;
    pf_arena arena;
    pf_buf rejects, scratch;
    pf_tally tally;
    bool seen_src, cut;
    void *slot;
} item;

/* A file of lines that are arrays looks like one JSON array. */
static int look(const pf_line_job *j, pf_reader *r, pf_err *e)
{
    pf_slice head;
    int rc = j->arrays ? pf_reader_peek(r, 1, &head, e) : 0;
    if (rc < 0 || (j->arrays && head.n && head.p[0] == '['))
        return rc;
    return pf_source_check(r, e);
}

int pf_line_job_open(pf_line_job *j, pf_err *e)
{
    static char dash[] = "-", *standard_input[] = {dash};
    bool standard = false;
    char **path = j->n_path ? j->path : standard_input;
    int n = j->n_path ? j->n_path : 1;
    if ((unsigned)n > PF_SRC_FILES)
        return pf_err_set(e, PF_E_LIMIT, "more than %u files", PF_SRC_FILES);
    j->source = pf_calloc((size_t)n, sizeof *j->source);
    if (!j->source)
        return pf_err_nomem(e);
    j->n_source = n;
    for (int i = 0; i < n; i++) {
        source *s = &j->source[i];
        bool is_dash = strcmp(path[i], "-") == 0;
        if (is_dash && standard)
            return pf_err_set(e, PF_E_USAGE, "standard input named twice");
        standard |= is_dash;
        s->path = path[i];
        int rc = pf_reader_open(&s->reader, s->path, e);
        if (rc == 0)
            rc = look(j, s->reader, e);
        if (rc < 0)
            return rc;
        if (pf_reader_raw_size(s->reader) >= 0 && !is_dash) {
            pf_reader_close(s->reader);
            s->reader = NULL;
        }
    }
    return 0;
}

void pf_line_job_close(pf_line_job *j)
{
    pf_lines_free(j->lines);
    for (int i = 0; i < j->n_source; i++)
        pf_reader_close(j->source[i].reader);
    pf_free(j->source);
    j->source = NULL;
    j->lines = NULL;
    j->n_source = 0;
}

static bool next_line(pf_slice *rest, pf_slice *line)
{
    if (rest->n == 0)
        return false;
    const char *lf = memchr(rest->p, '\n', rest->n);
    line->p = rest->p;
    line->n = lf ? (size_t)(lf - rest->p) : rest->n;
    rest->p += line->n + (lf != NULL);
    rest->n -= line->n + (lf != NULL);
    return true;
}

/* Cuts the batch behind the line that reaches the limit; true when it did. */
static bool apply_limit(pf_line_job *j, pf_line *batch)
{
    pf_slice rest = batch->text, line;
    while (j->limit && next_line(&rest, &line)) {
        if (pf_slice_blank(line) || ++j->rows_read < j->limit)
            continue;
        batch->ended |= rest.n > 0;
        batch->text.n -= rest.n;
        return true;
    }
    return false;
}

static int start_source(pf_line_job *j, source *s, pf_err *e)
{
    int rc = 0;
    if (!s->reader)
        rc = pf_reader_open(&s->reader, s->path, e);
    if (rc == 0 && j->threads > 1)
        rc = pf_reader_prefetch(s->reader, e);
    if (rc == 0)
        rc = pf_lines_new(&j->lines, s->reader, j->max_line, e);
    j->source_bytes = 0;
    j->source_ended = true;
    return rc;
}

static int produce(void *ctx, void *slot, pf_err *e)
{
    pf_line_job *j = ctx;
    item *it = slot;
    if (j->current == j->n_source)
        return 0;
    source *s = &j->source[j->current];
    int rc = j->lines ? 0 : start_source(j, s, e);
    if (rc < 0)
        return rc;
    it->file = j->current;
    rc = pf_lines_fill(j->lines, &it->block, BATCH, &it->batch, e);
    if (rc < 0)
        return rc;
    it->end = rc == 0;
    if (rc == 1) {
        j->source_ended = it->batch.ended;
        j->source_bytes = it->batch.offset + (int64_t)it->batch.text.n;
        if (apply_limit(j, &it->batch))
            j->current = j->n_source;
        return 1;
    }
    it->bytes = j->source_bytes;
    it->ended = j->source_ended;
    pf_lines_free(j->lines);
    j->lines = NULL;
    j->current++;
    return 1;
}

/* Bytes that may not be UTF-8, as a JSON string. */
static void put_bytes(pf_jw *w, pf_buf *scratch, pf_slice s)
{
    pf_buf_clear(scratch);
    while (s.n) {
        size_t good = pf_utf8_check(s.p, s.n);
        pf_buf_add(scratch, s.p, good);
        if (good < s.n) {
            pf_buf_str(scratch, "\xef\xbf\xbd"); /* U+FFFD */
            good++;
        }
        s = (pf_slice){s.p + good, s.n - good};
    }
    if (pf_buf_failed(scratch))
        w->out->failed = true;
    else
        pf_jw_str(w, pf_buf_slice(scratch));
}

static void reject(const pf_line_job *j, item *it, const pf_job_row *row,
                   pf_slice text, pf_reason why, const char *where,
                   const char *detail)
{
    it->tally.count[why]++;
    if (!j->rejects)
        return;
    pf_jw w = {.out = &it->rejects};
    pf_jw_obj(&w);
    pf_jw_key(&w, "file");
    put_bytes(&w, &it->scratch, pf_slice_of(row->path));
    pf_jw_key(&w, "line");
    pf_jw_i64(&w, row->number);
    pf_jw_key(&w, "offset");
    pf_jw_i64(&w, row->offset);
    pf_jw_key(&w, "reason");
    pf_jw_cstr(&w, pf_reason_name(why));
    pf_jw_key(&w, "field");
    if (where)
        pf_jw_cstr(&w, where);
    else
        pf_jw_null(&w);
    if (detail) {
        pf_jw_key(&w, "detail");
        pf_jw_cstr(&w, detail);
    }
    pf_jw_key(&w, "row");
    if (row->json.doc)
        pf_jw_raw(&w, pf_jraw(row->json));
    else
        put_bytes(&w, &it->scratch, text);
    pf_jw_end(&w, '}');
    pf_buf_char(&it->rejects, '\n');
}

static int parse_line(pf_line_job *j, item *it, pf_job_row *row, pf_slice text,
                      bool ended, pf_err *e)
{
    pf_err why = PF_ERR_INIT;
    int rc = pf_json_parse(it->json, text, &row->json, &why);
    if (rc == 0) {
        it->tally.duplicate_keys += pf_json_duplicates(it->json);
        return 1;
    }
    if (rc != PF_E_FORMAT) {
        if (e)
            *e = why;
        return rc;
    }
    /* Whoever feeds a pipe and dies leaves half a line. */
    size_t n = PF_MIN(text.n, sizeof OUR_START - 1);
    it->cut |= !ended && (memcmp(text.p, OUR_START, n) == 0 ||
                          pf_reader_is_pipe(j->source[it->file].reader));
    char detail[400];
    snprintf(detail, sizeof detail, "byte %" PRId64 ": %s", why.byte, why.msg);
    row->json = (pf_jval){NULL, 0};
    reject(j, it, row, text,
           pf_utf8_valid(text.p, text.n) ? PF_REASON_INVALID_JSON
                                         : PF_REASON_INVALID_UTF8,
           NULL, detail);
    return 2;
}

static int one_line(pf_line_job *j, item *it, int thread, pf_job_row *row,
                    pf_slice text, bool ended, pf_err *e)
{
    pf_reason why = PF_KEPT;
    const char *where = NULL;
    it->tally.in++;
    int rc = parse_line(j, it, row, text, ended, e);
    if (rc != 1)
        return PF_MIN(rc, 0);
    rc = j->row(j->ctx, it->slot, thread, row, &why, &where, &it->seen_src, e);
    if (rc == 1)
        it->tally.count[PF_KEPT]++;
    else if (rc == 2)
        reject(j, it, row, text, why, where, NULL);
    else
        pf_err_at(e, row->path, row->number, -1);
    return PF_MIN(rc, 0);
}

static int work(void *ctx, void *slot, int thread, pf_err *e)
{
    pf_line_job *j = ctx;
    item *it = slot;
    pf_buf_clear(&it->rejects);
    pf_arena_reset(&it->arena);
    it->tally = (pf_tally){0};
    it->seen_src = it->cut = false;
    j->begin(j->ctx, it->slot);
    if (it->end)
        return 0;
    pf_job_row row = {.offset = it->batch.offset,
                      .number = it->batch.number,
                      .file = it->file,
                      .path = j->source[it->file].path,
                      .arena = &it->arena};
    pf_slice rest = it->batch.text, text;
    if (it->batch.too_long) {
        it->tally.in++;
        reject(j, it, &row, rest, PF_REASON_LINE_TOO_LONG, NULL, NULL);
        rest.n = 0;
    }
    if ((uint64_t)row.offset + rest.n >= PF_SRC_OFFSETS)
        return pf_err_pos(e, PF_E_LIMIT, row.path, 0, row.offset,
                          "file of 1 TiB or more");
    int rc = 0;
    for (; rc == 0 && next_line(&rest, &text); row.number++) {
        row.offset = it->batch.offset + (text.p - it->batch.text.p);
        if (!pf_slice_blank(text))
            rc = one_line(j, it, thread, &row, text,
                          rest.n > 0 || it->batch.ended, e);
    }
    if (rc == 0 && pf_buf_failed(&it->rejects))
        rc = pf_err_nomem(e);
    return rc;
}

static int end_source(pf_line_job *j, const item *it, pf_err *e)
{
    source *s = &j->source[it->file];
    int rc = pf_source_end(s->reader, s->seen_src || s->cut,
                           it->ended && !s->cut, it->bytes, e);
    pf_reader_close(s->reader);
    s->reader = NULL;
    return rc;
}

static int consume(void *ctx, void *slot, pf_err *e)
{
    pf_line_job *j = ctx;
    item *it = slot;
    if (it->end)
        return end_source(j, it, e);
    j->source[it->file].seen_src |= it->seen_src;
    j->source[it->file].cut |= it->cut;
    pf_tally_add(&j->tally, &it->tally);
    j->bytes += it->batch.text.n;
    if (j->rejects && it->rejects.n) {
        pf_writer_write(j->rejects, it->rejects.p, it->rejects.n);
        int rc = pf_writer_flush(j->rejects, e);
        if (rc < 0)
            return rc;
    }
    return j->end(j->ctx, it->slot, e);
}

static int item_init(void *ctx, void *slot, pf_err *e)
{
    const pf_line_job *j = ctx;
    item *it = slot;
    it->json = pf_json_new();
    it->slot = pf_calloc(1, j->slot_size);
    return it->json && it->slot ? 0 : pf_err_nomem(e);
}

static void item_release(void *ctx, void *slot)
{
    const pf_line_job *j = ctx;
    item *it = slot;
    if (it->slot && j->release)
        j->release(j->ctx, it->slot);
    pf_free(it->slot);
    pf_json_free(it->json);
    pf_arena_release(&it->arena);
    pf_buf_release(&it->block);
    pf_buf_release(&it->rejects);
    pf_buf_release(&it->scratch);
}

int pf_line_job_run(pf_line_job *j, pf_err *e)
{
    pf_flow f = {
        .produce = produce,
        .work = work,
        .consume = consume,
        .item_init = item_init,
        .item_release = item_release,
        .ctx = j,
        .item_size = sizeof(item),
    };
    return pf_flow_run(&f, j->threads, e);
}
