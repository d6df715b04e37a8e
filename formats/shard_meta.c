/* SPDX-License-Identifier: MIT
 *
 * META and END chunks, the totals they and manifests carry, provenance. */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_create*_advanced */
#include "formats/shard_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/utf8.h"

/* ---------------------------------------------------------------- zstd -- */

static void *zalloc(void *ctx, size_t n)
{
    (void)ctx;
    return pf_alloc(n);
}

static void zfree(void *ctx, void *p)
{
    (void)ctx;
    pf_free(p);
}

int pf_zstd_pack(const void *p, size_t n, char **out, size_t *out_n,
                 pf_err *e)
{
    ZSTD_customMem mem = {zalloc, zfree, NULL};
    ZSTD_CCtx *z = ZSTD_createCCtx_advanced(mem);
    size_t cap = ZSTD_compressBound(n), got;
    char *b = z ? pf_alloc(cap) : NULL;
    if (!b) {
        ZSTD_freeCCtx(z);
        return pf_err_nomem(e);
    }
    ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, 3);
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    got = ZSTD_compress2(z, b, cap, p, n);
    ZSTD_freeCCtx(z);
    if (ZSTD_isError(got)) { /* the bound was given: only memory can lack */
        pf_free(b);
        return pf_err_nomem(e);
    }
    *out = b;
    *out_n = got;
    return 0;
}

int pf_zstd_unpack(const void *p, size_t stored, size_t n, const char *what,
                   char **out, pf_err *e)
{
    if (n > PF_BLOB_MAX)
        return pf_err_set(e, PF_E_LIMIT, "%s of %zu bytes", what, n);
    if (ZSTD_getFrameContentSize(p, stored) != n)
        return pf_err_set(e, PF_E_FORMAT, "%s: not a zstd frame of %zu bytes",
                          what, n);
    ZSTD_customMem mem = {zalloc, zfree, NULL};
    ZSTD_DCtx *z = ZSTD_createDCtx_advanced(mem);
    char *b = z ? pf_alloc(n + 1) : NULL;
    if (!b) {
        ZSTD_freeDCtx(z);
        return pf_err_nomem(e);
    }
    size_t got = ZSTD_decompressDCtx(z, b, n, p, stored);
    ZSTD_freeDCtx(z);
    if (got != n) {
        pf_free(b);
        return pf_err_set(e, PF_E_FORMAT, "%s: damaged zstd frame", what);
    }
    b[n] = 0;
    *out = b;
    return 0;
}

/* ---------------------------------------------------------------- head -- */

typedef struct blob {
    char **p;
    size_t *n;
    const char *section;
} blob;

enum { BLOBS = 4 };

static void blobs_of(pf_rows_head *h, blob b[BLOBS])
{
    b[0] = (blob){&h->tokenizer_json, &h->tokenizer_json_n, "tok"};
    b[1] = (blob){&h->tokenizer_config, &h->tokenizer_config_n, "tokcfg"};
    b[2] = (blob){&h->chat_template, &h->chat_template_n, "template"};
    b[3] = (blob){&h->provenance, &h->provenance_n, "prov"};
}

void pf_rows_head_release(pf_rows_head *h)
{
    blob b[BLOBS];
    blobs_of(h, b);
    for (int i = 0; i < BLOBS; i++)
        pf_free(*b[i].p);
    pf_ident_release(&h->recipe);
    *h = (pf_rows_head){0};
}

int pf_rows_head_copy(pf_rows_head *to, const pf_rows_head *from, pf_err *e)
{
    pf_rows_head source = *from, copy = {.kind = from->kind,
                                         .n_branch = from->n_branch,
                                         .vocab = from->vocab};
    blob a[BLOBS], b[BLOBS];
    int rc = 0;
    blobs_of(&source, a);
    blobs_of(&copy, b);
    for (int i = 0; i < BLOBS && rc == 0; i++) {
        if (!*a[i].p)
            continue;
        *b[i].p = pf_memdup0(*a[i].p, *a[i].n);
        *b[i].n = *a[i].n;
        if (!*b[i].p)
            rc = pf_err_nomem(e);
    }
    for (size_t i = 0; i < from->recipe.n && rc == 0; i++)
        rc = pf_ident_set(&copy.recipe, from->recipe.item[i].key,
                          from->recipe.item[i].value, e);
    if (rc < 0) {
        pf_rows_head_release(&copy);
        return rc;
    }
    *to = copy;
    return 0;
}

void pf_head_fill(pf_ck_head *h, const pf_rows_head *r,
                  const uint8_t recipe[PF_SHA256_BYTES])
{
    *h = (pf_ck_head){.row_kind = (uint8_t)r->kind,
                      .n_branch = (uint8_t)r->n_branch,
                      .vocab = r->vocab};
    memcpy(h->recipe, recipe, PF_SHA256_BYTES);
}

int pf_meta_write(const pf_rows_head *h, uint64_t seq,
                  const uint8_t recipe[PF_SHA256_BYTES],
                  const pf_ck_sink *to, pf_err *e)
{
    pf_rows_head view = *h;
    blob b[BLOBS];
    char *packed[BLOBS] = {0};
    pf_buf json = {0};
    pf_ck c = {0};
    blobs_of(&view, b);
    pf_head_fill(&c.head, h, recipe);
    c.head.kind = PF_CK_META;
    c.head.seq = seq;
    int rc = pf_ident_json(&h->recipe, &json, e);
    if (rc == 0)
        pf_ck_add(&c, "recipe", 'B', json.p, json.n);
    for (int i = 0; i < BLOBS && rc == 0; i++) {
        size_t n;
        if (!*b[i].p)
            continue;
        rc = pf_zstd_pack(*b[i].p, *b[i].n, &packed[i], &n, e);
        if (rc < 0)
            break;
        pf_ck_add(&c, b[i].section, 'B', packed[i], *b[i].n);
        c.sec[c.head.n_sec - 1].codec = PF_CK_ZSTD;
        c.sec[c.head.n_sec - 1].stored = n;
    }
    if (rc == 0)
        rc = pf_ck_write(&c, to, e);
    for (int i = 0; i < BLOBS; i++)
        pf_free(packed[i]);
    pf_buf_release(&json);
    return rc;
}

int pf_shard_json(pf_json **doc, pf_slice text, pf_jval *root, pf_err *e)
{
    *doc = NULL;
    if (text.n > PF_JSON_MAX)
        return pf_err_set(e, PF_E_LIMIT, "JSON of %zu bytes", text.n);
    *doc = pf_json_new();
    if (!*doc)
        return pf_err_nomem(e);
    return pf_json_parse(*doc, text, root, e);
}

static int read_recipe(pf_rows_head *h, const pf_ck *c, pf_err *e)
{
    static const char *const known[] = {"recipe", "tok", "tokcfg", "template",
                                        "prov", NULL};
    const pf_ck_sec *s;
    uint8_t id[PF_SHA256_BYTES];
    pf_json *doc = NULL;
    pf_jval root;
    int rc = pf_ck_known(c, known, e);
    if (rc == 0)
        rc = pf_ck_need(c, "recipe", 'B', UINT64_MAX, &s, e);
    if (rc == 0)
        rc = pf_shard_json(&doc, (pf_slice){s->p, s->n}, &root, e);
    if (rc == 0)
        rc = pf_ident_of_json(&h->recipe, root, e);
    if (rc == 0)
        rc = pf_ident_digest(&h->recipe, id, e);
    pf_json_free(doc);
    if (rc == 0 && memcmp(id, c->head.recipe, sizeof id) != 0)
        rc = pf_ck_error(c, e, "recipe and recipe_id do not belong together");
    return rc;
}

int pf_meta_read(pf_rows_head *h, const pf_ck *c, pf_err *e)
{
    *h = (pf_rows_head){.kind = (pf_row_kind)c->head.row_kind,
                        .n_branch = c->head.n_branch,
                        .vocab = c->head.vocab};
    blob b[BLOBS];
    blobs_of(h, b);
    int rc = read_recipe(h, c, e);
    for (int i = 0; i < BLOBS && rc == 0; i++) {
        const pf_ck_sec *s = pf_ck_find(c, b[i].section);
        if (!s)
            continue;
        if (s->dtype != 'B' || s->codec != PF_CK_ZSTD)
            rc = pf_ck_error(c, e, "section '%s' is not zstd", s->name);
        else if (s->n > PF_BLOB_MAX)
            rc = pf_err_set(e, PF_E_LIMIT, "%s of more than 256 MiB", s->name);
        else
            rc = pf_zstd_unpack(s->p, s->stored, s->n, s->name, b[i].p, e);
        *b[i].n = rc == 0 ? s->n : 0;
    }
    if (rc == 0 && h->provenance) {
        size_t lines;
        rc = pf_provenance_check(h->provenance, h->provenance_n, false,
                                 &lines, c->file, e);
    }
    if (rc < 0) {
        pf_rows_head_release(h);
        pf_err_at(e, c->file, 0, (int64_t)c->at);
    }
    return rc;
}

/* -------------------------------------------------------------- totals -- */

void pf_totals_init(pf_totals *s, const uint8_t recipe[PF_SHA256_BYTES])
{
    *s = (pf_totals){0};
    pf_set_hash_init(&s->hash, recipe);
}

void pf_totals_add(pf_totals *s, const uint64_t *key, uint32_t n,
                   const pf_ck_tail *tail)
{
    s->t.rows += n;
    s->t.tokens += tail->tokens;
    s->t.completion += tail->completion;
    uint64_t lo = s->row_sum.lo + tail->row_sum.lo;
    s->row_sum.hi += tail->row_sum.hi + (lo < tail->row_sum.lo);
    s->row_sum.lo = lo;
    /* the stored form of keys is what pf_set_hash_add feeds, row by row */
    pf_sha256_update(&s->hash.sha, key, (size_t)n * 16);
}

void pf_totals_final(pf_totals *s)
{
    pf_set_hash_final(&s->hash, s->t.set_id);
}

void pf_hash128_hex(pf_hash128 h, char buf[33])
{
    snprintf(buf, 33, "%016" PRIx64 "%016" PRIx64, h.hi, h.lo);
}

void pf_tally_json(pf_jw *w, const pf_tally *t)
{
    struct member {
        const char *name;
        uint64_t v;
    } m[PF_REASON_COUNT + 2];
    size_t n = 0;
    for (int i = 0; i < PF_REASON_COUNT; i++)
        m[n++] = (struct member){pf_reason_name((pf_reason)i),
                                 t->count[i]};
    m[n++] = (struct member){"duplicate_keys", t->duplicate_keys};
    m[n++] = (struct member){"in", t->in};
    pf_jw_obj(w);
    for (const char *last = "";;) { /* canonical: in byte order */
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (strcmp(m[i].name, last) > 0 &&
                (best == n || strcmp(m[i].name, m[best].name) < 0))
                best = i;
        if (best == n)
            break;
        last = m[best].name;
        if (m[best].v) {
            pf_jw_key(w, last);
            pf_jw_u64(w, m[best].v);
        }
    }
    pf_jw_end(w, '}');
}

int pf_json_u64(pf_jval obj, const char *key, uint64_t *out, pf_err *e)
{
    int64_t v;
    if (!pf_ji64(pf_jget(obj, key), &v) || v < 0)
        return pf_err_set(e, PF_E_FORMAT, "'%s' is %s, not a count", key,
                          pf_jtype_name(pf_jget(obj, key)));
    *out = (uint64_t)v;
    return 0;
}

int pf_json_hex(pf_jval obj, const char *key, uint8_t *out, size_t n,
                pf_err *e)
{
    pf_slice s = pf_jstr(pf_jget(obj, key));
    char back[2 * PF_SHA256_BYTES + 1];
    if (s.n != 2 * n || !pf_unhex(s.p, s.n, out, n) ||
        memcmp(pf_hex(out, n, back), s.p, s.n) != 0)
        return pf_err_set(e, PF_E_FORMAT, "'%s' is not %zu hex digits", key,
                          2 * n);
    return 0;
}

int pf_tally_read(pf_tally *t, pf_jval v, pf_err *e)
{
    *t = (pf_tally){0};
    if (pf_jtype(v) != PF_JSON_OBJECT)
        return pf_err_set(e, PF_E_FORMAT, "'tally' is %s", pf_jtype_name(v));
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it)) {
        int64_t n;
        char name[64];
        pf_reason r;
        if (!pf_ji64(it.value, &n) || n < 0 || it.key.n >= sizeof name)
            return pf_err_set(e, PF_E_FORMAT, "'tally' holds a non-count");
        memcpy(name, it.key.p, it.key.n);
        name[it.key.n] = 0;
        if (strcmp(name, "in") == 0)
            t->in = (uint64_t)n;
        else if (strcmp(name, "duplicate_keys") == 0)
            t->duplicate_keys = (uint64_t)n;
        else if (pf_reason_parse(name, &r))
            t->count[r] = (uint64_t)n;
        else
            return pf_err_set(e, PF_E_FORMAT, "'tally' holds '%s'", name);
    }
    return 0;
}

static int end_json(const pf_totals *s, pf_buf *out, pf_err *e)
{
    char hex[PF_SHA256_HEX], sum[33];
    pf_jw w = {.out = out};
    pf_hash128_hex(s->row_sum, sum);
    pf_jw_obj(&w);
    pf_jw_key(&w, "completion");
    pf_jw_u64(&w, s->t.completion);
    pf_jw_key(&w, "row_sum");
    pf_jw_cstr(&w, sum);
    pf_jw_key(&w, "rows");
    pf_jw_u64(&w, s->t.rows);
    pf_jw_key(&w, "set_id");
    pf_jw_cstr(&w, pf_hex(s->t.set_id, PF_SHA256_BYTES, hex));
    pf_jw_key(&w, "tally");
    pf_tally_json(&w, &s->t.tally);
    pf_jw_key(&w, "tokens");
    pf_jw_u64(&w, s->t.tokens);
    pf_jw_end(&w, '}');
    return pf_buf_failed(out) ? pf_err_nomem(e) : 0;
}

int pf_end_write(const pf_totals *s, const pf_ck_head *like, uint64_t seq,
                 const pf_ck_sink *to, pf_err *e)
{
    pf_buf json = {0};
    pf_ck c = {.head = *like};
    c.head.kind = PF_CK_END;
    c.head.seq = seq;
    c.head.first_row = s->t.rows;
    c.head.n_rows = c.head.n_sec = 0;
    int rc = end_json(s, &json, e);
    if (rc == 0) {
        pf_ck_add(&c, "total", 'B', json.p, json.n);
        rc = pf_ck_write(&c, to, e);
    }
    pf_buf_release(&json);
    return rc;
}

int pf_end_read(pf_totals *s, const pf_ck *c, pf_err *e)
{
    static const char *const known[] = {"total", NULL};
    const pf_ck_sec *sec;
    pf_json *doc = NULL;
    pf_jval root;
    pf_buf mine = {0};
    int rc = pf_ck_known(c, known, e);
    if (rc == 0)
        rc = pf_ck_need(c, "total", 'B', UINT64_MAX, &sec, e);
    if (rc == 0)
        rc = pf_shard_json(&doc, (pf_slice){sec->p, sec->n}, &root, e);
    if (rc == 0)
        rc = pf_tally_read(&s->t.tally, pf_jget(root, "tally"), e);
    if (rc == 0)
        rc = end_json(s, &mine, e);
    if (rc == 0 && !pf_slice_eq(pf_buf_slice(&mine),
                                (pf_slice){sec->p, sec->n}))
        rc = pf_ck_error(c, e, "totals of the end differ from the %" PRIu64
                         " rows that came", s->t.rows);
    pf_json_free(doc);
    pf_buf_release(&mine);
    return rc;
}

/* ---------------------------------------------------------- provenance -- */

#define LINE_HEAD "{\"digest\":\""
#define LINE_MID "\",\"run\":"
enum { DIGEST = 16, LINE_FIXED = 11 + DIGEST + 8 };

static void run_json(pf_jw *w, const char *tool, int argc, char **argv)
{
    char host[256] = "", when[32];
    time_t now = time(NULL);
    struct tm tm;
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    pf_jw_obj(w);
    pf_jw_key(w, "argv");
    pf_jw_arr(w);
    for (int i = 0; i < argc; i++) {
        char quoted[512];
        if (pf_utf8_valid(argv[i], strlen(argv[i])))
            pf_jw_cstr(w, argv[i]);
        else
            pf_jw_cstr(w, pf_err_quote(quoted, sizeof quoted, argv[i],
                                       strlen(argv[i])));
    }
    pf_jw_end(w, ']');
    pf_jw_key(w, "host");
    pf_jw_cstr(w, pf_utf8_valid(host, strlen(host)) ? host : "");
    pf_jw_key(w, "time");
    pf_jw_cstr(w, when);
    pf_jw_key(w, "tool");
    pf_jw_cstr(w, tool);
    pf_jw_key(w, "version");
    pf_jw_cstr(w, PF_VERSION);
    pf_jw_end(w, '}');
}

int pf_provenance_add(pf_rows_head *h, const char *tool, int argc,
                      char **argv, pf_err *e)
{
    pf_buf run = {0}, all = {0};
    pf_jw w = {.out = &run};
    run_json(&w, tool, argc, argv);
    if (h->provenance)
        pf_buf_add(&all, h->provenance, h->provenance_n);
    if (!pf_buf_failed(&run)) {
        pf_buf_printf(&all, LINE_HEAD "%016" PRIx64 LINE_MID,
                      pf_xxh3_64(run.p, run.n, 0));
        pf_buf_add(&all, run.p, run.n);
        pf_buf_str(&all, "}\n");
    }
    int rc = pf_buf_failed(&run) || pf_buf_failed(&all) ? pf_err_nomem(e) : 0;
    pf_buf_release(&run);
    if (rc < 0) {
        pf_buf_release(&all);
        return rc;
    }
    pf_free(h->provenance);
    h->provenance = pf_buf_take(&all, &h->provenance_n);
    return 0;
}

static size_t count_lines(const char *p, size_t n)
{
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += p[i] == '\n';
    return lines;
}

int pf_provenance_file(const char *lines, size_t n, pf_buf *out, pf_err *e)
{
    pf_buf_add(out, lines, n);
    pf_buf_printf(out, "{\"digest\":\"%016" PRIx64 "\",\"lines\":%zu}\n",
                  pf_xxh3_64(lines, n, 0), count_lines(lines, n));
    return pf_buf_failed(out) ? pf_err_nomem(e) : 0;
}

static bool line_ok(const char *p, size_t n)
{
    char digest[DIGEST + 1];
    if (n < LINE_FIXED + 1 || memcmp(p, LINE_HEAD, 11) != 0 ||
        memcmp(p + 11 + DIGEST, LINE_MID, 8) != 0 || p[n - 1] != '}')
        return false;
    snprintf(digest, sizeof digest, "%016" PRIx64,
             pf_xxh3_64(p + LINE_FIXED, n - LINE_FIXED - 1, 0));
    return memcmp(digest, p + 11, DIGEST) == 0;
}

int pf_provenance_check(const char *p, size_t n, bool closed, size_t *lines,
                        const char *file, pf_err *e)
{
    if (n == 0 || p[n - 1] != '\n')
        return pf_err_pos(e, PF_E_TRUNCATED, file, 0, (int64_t)n,
                          "provenance ends inside a line");
    size_t body = n;
    if (closed) {
        body = n - 1;
        while (body && p[body - 1] != '\n')
            body--;
        pf_buf want = {0};
        int rc = pf_provenance_file(p, body, &want, e);
        bool same = want.n == n && memcmp(want.p, p, n) == 0;
        pf_buf_release(&want);
        if (rc < 0)
            return rc;
        if (!same)
            return pf_err_pos(e, line_ok(p + body, n - body - 1)
                                     ? PF_E_TRUNCATED
                                     : PF_E_FORMAT,
                              file, 0, (int64_t)body,
                              "provenance: closing line missing or wrong");
    }
    for (size_t at = 0, line = 1; at < body; line++) {
        const char *end = memchr(p + at, '\n', body - at);
        size_t len = (size_t)(end - (p + at));
        if (!line_ok(p + at, len))
            return pf_err_pos(e, PF_E_FORMAT, file, (int64_t)line, -1,
                              "provenance: line is damaged");
        at += len + 1;
    }
    *lines = body;
    return 0;
}
