/* SPDX-License-Identifier: MIT */
#include "tools/prefconv_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/utf8.h"
#include "prep/transcript.h"

#define BATCH ((size_t)256 << 10)
#define OUR_START "{\"_src\""

/* A batch of lines of one source, and what became of it. */
typedef struct item {
    int source;
    bool end; /* behind the last line of the source: holds no lines */
    pf_line batch;
    pf_buf block;
    int64_t bytes; /* of the source, and its last LF, when end */
    bool ended;
    /* filled by the work */
    pf_json *json;
    pf_arena arena;
    pf_buf out, rejects, scratch;
    pf_tally tally;
    int kind;
    bool seen_src, cut;
} item;

/* ----------------------------------------------------------------- open -- */

static int open_source(pf_conv *c, pf_conv_source *s, pf_err *e)
{
    int rc = pf_reader_open(&s->reader, s->path, e);
    if (rc < 0)
        return rc;
    rc = pf_source_check(s->reader, e);
    if (rc < 0)
        return rc;
    s->format = c->format;
    if (!s->format) {
        rc = pf_source_sniff(s->reader, &s->format, e);
        if (rc < 0)
            return rc;
    }
    if (pf_reader_raw_size(s->reader) >= 0 && strcmp(s->path, "-") != 0) {
        pf_reader_close(s->reader);
        s->reader = NULL;
    }
    return 0;
}

int pf_conv_open(pf_conv *c, char **path, int n, pf_err *e)
{
    static char *standard_input[] = {(char *)"-"};
    if (n == 0) {
        path = standard_input;
        n = 1;
    }
    if ((unsigned)n > PF_SRC_FILES)
        return pf_err_set(e, PF_E_LIMIT, "more than %u files", PF_SRC_FILES);
    c->kind = -1;
    c->source = pf_calloc((size_t)n, sizeof *c->source);
    if (!c->source)
        return pf_err_nomem(e);
    c->n_source = n;
    int standard = 0;
    for (int i = 0; i < n; i++)
        standard += strcmp(path[i], "-") == 0;
    if (standard > 1)
        return pf_err_set(e, PF_E_USAGE, "standard input named twice");
    for (int i = 0; i < n; i++) {
        c->source[i].path = path[i];
        int rc = open_source(c, &c->source[i], e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void pf_conv_close(pf_conv *c)
{
    pf_lines_free(c->lines);
    for (int i = 0; i < c->n_source; i++)
        pf_reader_close(c->source[i].reader);
    pf_free(c->source);
    c->source = NULL;
    c->lines = NULL;
    c->n_source = 0;
}

/* -------------------------------------------------------------- produce -- */

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

/* Cuts the batch behind the row that reaches the limit; true when it did. */
static bool apply_limit(pf_conv *c, pf_line *batch)
{
    if (c->limit == 0)
        return false;
    pf_slice rest = batch->text, line;
    while (next_line(&rest, &line)) {
        if (pf_slice_blank(line))
            continue;
        if (++c->rows_read == c->limit) {
            batch->ended |= rest.n > 0;
            batch->text.n -= rest.n;
            return true;
        }
    }
    return false;
}

static int start_source(pf_conv *c, pf_conv_source *s, pf_err *e)
{
    int rc = 0;
    if (!s->reader)
        rc = pf_reader_open(&s->reader, s->path, e);
    if (rc == 0 && c->threads > 1)
        rc = pf_reader_prefetch(s->reader, e);
    if (rc == 0)
        rc = pf_lines_new(&c->lines, s->reader, c->max_line, e);
    c->source_bytes = 0;
    c->source_ended = true;
    return rc;
}

static int produce(void *ctx, void *slot, pf_err *e)
{
    pf_conv *c = ctx;
    item *it = slot;
    if (c->current == c->n_source)
        return 0;
    pf_conv_source *s = &c->source[c->current];
    int rc = c->lines ? 0 : start_source(c, s, e);
    if (rc < 0)
        return rc;
    it->source = c->current;
    rc = pf_lines_fill(c->lines, &it->block, BATCH, &it->batch, e);
    if (rc < 0)
        return rc;
    it->end = rc == 0;
    if (rc == 1) {
        c->source_ended = it->batch.ended;
        c->source_bytes = it->batch.offset + (int64_t)it->batch.text.n;
        if (apply_limit(c, &it->batch))
            c->current = c->n_source;
        return 1;
    }
    it->bytes = c->source_bytes;
    it->ended = c->source_ended;
    pf_lines_free(c->lines);
    c->lines = NULL;
    c->current++;
    return 1;
}

/* ----------------------------------------------------------------- work -- */

typedef struct line_info {
    pf_slice text;
    int64_t offset, number;
    bool ended;
} line_info;

/* Bytes of a line that may not be UTF-8, as a JSON string. */
static void put_bytes(pf_jw *w, item *it, pf_slice s)
{
    pf_buf_clear(&it->scratch);
    while (s.n) {
        size_t good = pf_utf8_check(s.p, s.n);
        pf_buf_add(&it->scratch, s.p, good);
        if (good < s.n) {
            pf_buf_str(&it->scratch, "\xef\xbf\xbd"); /* U+FFFD */
            good++;
        }
        s = (pf_slice){s.p + good, s.n - good};
    }
    if (pf_buf_failed(&it->scratch))
        it->rejects.failed = true;
    else
        pf_jw_str(w, pf_buf_slice(&it->scratch));
}

/* Counts a rejected row and describes it for --rejects. root.doc is NULL when
 * the line is not JSON. */
static void reject(const pf_conv *c, item *it, const line_info *line,
                   pf_reason why, const char *where, pf_jval root,
                   const char *detail)
{
    it->tally.count[why]++;
    if (!c->rejects)
        return;
    pf_jw w = {.out = &it->rejects};
    pf_jw_obj(&w);
    pf_jw_key(&w, "file");
    put_bytes(&w, it, pf_slice_of(c->source[it->source].path));
    pf_jw_key(&w, "line");
    pf_jw_i64(&w, line->number);
    pf_jw_key(&w, "offset");
    pf_jw_i64(&w, line->offset);
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
    if (root.doc)
        pf_jw_raw(&w, pf_jraw(root));
    else
        put_bytes(&w, it, line->text);
    pf_jw_end(&w, '}');
    pf_buf_char(&it->rejects, '\n');
}

/* Is this unterminated last line a record of ours cut off, or may it be the
 * very beginning of one? */
static bool is_cut_record(pf_slice s)
{
    size_t n = PF_MIN(s.n, sizeof OUR_START - 1);
    return memcmp(s.p, OUR_START, n) == 0;
}

/* Returns 1 when the line is JSON, 2 when it was rejected. */
static int parse_line(pf_conv *c, item *it, const line_info *line,
                      pf_jval *root, pf_err *e)
{
    pf_err why = PF_ERR_INIT;
    int rc = pf_json_parse(it->json, line->text, root, &why);
    it->tally.duplicate_keys += rc == 0 ? pf_json_duplicates(it->json) : 0;
    if (rc == 0)
        return 1;
    if (rc != PF_E_FORMAT) {
        if (e && !e->code)
            *e = why;
        return rc;
    }
    /* Whoever feeds a pipe and dies leaves half a line. */
    it->cut |= !line->ended &&
               (is_cut_record(line->text) ||
                pf_reader_is_pipe(c->source[it->source].reader));
    bool utf8 = pf_utf8_valid(line->text.p, line->text.n);
    char detail[400];
    snprintf(detail, sizeof detail, "byte %" PRId64 ": %s", why.byte, why.msg);
    reject(c, it, line,
           utf8 ? PF_REASON_INVALID_JSON : PF_REASON_INVALID_UTF8, NULL,
           (pf_jval){NULL, 0}, detail);
    return 2;
}

static int reshape(const pf_conv *c, item *it, pf_record *r, pf_reason *why,
                   const char **where, pf_err *e)
{
    bool pairs = r->kind == PF_RECORD_PAIR || r->kind == PF_RECORD_IDS;
    *where = NULL;
    *why = PF_REASON_WRONG_TYPE;
    switch (c->to) {
    case PF_CONV_PAIRS:
        return pairs ? 1 : 2;
    case PF_CONV_MESSAGES:
        return pf_record_to_messages(r, &it->arena, &it->scratch, why, where,
                                     e);
    case PF_CONV_SFT:
        return pf_record_to_sft(r, why, where);
    default:
        return 1;
    }
}

static const char *to_name(pf_conv_to to)
{
    static const char *const name[] = {"pairs", "messages", "sft", ""};
    return name[to];
}

/* A record of another kind than asked for is the wrong file, not a bad row. */
static int wrong_kind(const pf_conv *c, const item *it, const line_info *line,
                      pf_record_kind kind, pf_err *e)
{
    return pf_err_pos(e, PF_E_FORMAT, c->source[it->source].path, line->number,
                      -1, "a record of kind %s has no form for --to %s",
                      pf_record_kind_name(kind), to_name(c->to));
}

static int mixed_kinds(const pf_conv *c, const item *it, int64_t line, int a,
                       int b, pf_err *e)
{
    return pf_err_pos(e, PF_E_FORMAT, c->source[it->source].path, line, -1,
                      "a record of kind %s after records of kind %s",
                      pf_record_kind_name((pf_record_kind)b),
                      pf_record_kind_name((pf_record_kind)a));
}

static int convert_line(pf_conv *c, item *it, const line_info *line, pf_err *e)
{
    pf_jval root;
    pf_record r;
    pf_reason why = PF_KEPT;
    const char *where = NULL;
    it->tally.in++;
    int rc = parse_line(c, it, line, &root, e);
    if (rc != 1)
        return PF_MIN(rc, 0);
    if (pf_jtype(root) != PF_JSON_OBJECT) {
        reject(c, it, line, PF_REASON_NOT_AN_OBJECT, NULL, root, NULL);
        return 0;
    }
    pf_arena_reset(&it->arena);
    r.src.known = false;
    rc = c->source[it->source].format->convert(&r, root, &it->arena, &why,
                                               &where, e);
    if (rc > 0)
        it->seen_src |= r.src.known;
    if (rc == 1) {
        pf_record_kind kind = r.kind;
        rc = reshape(c, it, &r, &why, &where, e);
        if (rc == 2 && why == PF_REASON_WRONG_TYPE)
            return wrong_kind(c, it, line, kind, e);
    }
    if (rc < 0)
        return rc;
    if (rc == 2) {
        reject(c, it, line, why, where, root, NULL);
        return 0;
    }
    if (it->kind < 0)
        it->kind = (int)r.kind;
    else if (it->kind != (int)r.kind)
        return mixed_kinds(c, it, line->number, it->kind, (int)r.kind, e);
    if (!r.src.known)
        r.src = (pf_src){(uint32_t)it->source, (uint64_t)line->offset, 0, true};
    it->tally.count[PF_KEPT]++;
    if (it->out.n)
        pf_buf_char(&it->out, '\n');
    pf_record_to_json(&r, &it->out);
    return 0;
}

static int work(void *ctx, void *slot, int thread, pf_err *e)
{
    (void)thread;
    pf_conv *c = ctx;
    item *it = slot;
    pf_buf_clear(&it->out);
    pf_buf_clear(&it->rejects);
    it->tally = (pf_tally){0};
    it->kind = -1;
    it->seen_src = it->cut = false;
    if (it->end)
        return 0;
    line_info line = {.offset = it->batch.offset, .number = it->batch.number};
    if (it->batch.too_long) {
        line.text = it->batch.text;
        it->tally.in++;
        reject(c, it, &line, PF_REASON_LINE_TOO_LONG, NULL,
               (pf_jval){NULL, 0}, NULL);
    }
    pf_slice rest = it->batch.text;
    if (it->batch.too_long)
        rest.n = 0;
    if ((uint64_t)line.offset + rest.n >= PF_SRC_OFFSETS)
        return pf_err_pos(e, PF_E_LIMIT, c->source[it->source].path, 0,
                          line.offset, "file of 1 TiB or more");
    int rc = 0;
    for (; rc == 0 && next_line(&rest, &line.text); line.number++) {
        line.ended = rest.n > 0 || it->batch.ended;
        line.offset = it->batch.offset + (line.text.p - it->batch.text.p);
        if (!pf_slice_blank(line.text))
            rc = convert_line(c, it, &line, e);
    }
    if (rc == 0 && (pf_buf_failed(&it->out) || pf_buf_failed(&it->rejects)))
        rc = pf_err_nomem(e);
    return rc;
}

/* -------------------------------------------------------------- consume -- */

static int end_source(pf_conv *c, const item *it, pf_err *e)
{
    pf_conv_source *s = &c->source[it->source];
    int rc = pf_source_end(s->reader, s->seen_src || s->cut,
                           it->ended && !s->cut, it->bytes, e);
    pf_reader_close(s->reader);
    s->reader = NULL;
    return rc;
}

static int consume(void *ctx, void *slot, pf_err *e)
{
    pf_conv *c = ctx;
    item *it = slot;
    pf_conv_source *s = &c->source[it->source];
    if (it->end)
        return end_source(c, it, e);
    s->seen_src |= it->seen_src;
    s->cut |= it->cut;
    if (it->kind >= 0 && c->kind >= 0 && it->kind != c->kind)
        return mixed_kinds(c, it, it->batch.number, c->kind, it->kind, e);
    if (it->kind >= 0)
        c->kind = it->kind;
    pf_tally_add(&c->tally, &it->tally);
    c->bytes += it->batch.text.n;
    if (c->rejects && it->rejects.n) {
        pf_writer_write(c->rejects, it->rejects.p, it->rejects.n);
        int rc = pf_writer_flush(c->rejects, e);
        if (rc < 0)
            return rc;
    }
    pf_record_writer_put(&c->out, pf_buf_slice(&it->out));
    if (c->progress)
        c->progress(c->ctx, c->tally.in);
    return pf_writer_flush(c->out.w, e);
}

static int item_init(void *ctx, void *slot, pf_err *e)
{
    (void)ctx;
    item *it = slot;
    it->json = pf_json_new();
    return it->json ? 0 : pf_err_nomem(e);
}

static void item_release(void *ctx, void *slot)
{
    (void)ctx;
    item *it = slot;
    pf_json_free(it->json);
    pf_arena_release(&it->arena);
    pf_buf_release(&it->block);
    pf_buf_release(&it->out);
    pf_buf_release(&it->rejects);
    pf_buf_release(&it->scratch);
}

int pf_conv_run(pf_conv *c, pf_err *e)
{
    pf_flow f = {
        .produce = produce,
        .work = work,
        .consume = consume,
        .item_init = item_init,
        .item_release = item_release,
        .ctx = c,
        .item_size = sizeof(item),
    };
    return pf_flow_run(&f, c->threads, e);
}
