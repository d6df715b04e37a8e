/* SPDX-License-Identifier: MIT
 *
 * One chunk as bytes. Every byte of it is compared to a constant or lies under
 * a hash; verification goes from the outside in, so that no number is used
 * before its own hash was checked. */
#include "formats/shard_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

static const uint8_t magic[8] = {0x89, 'P', 'R', 'F', '\r', '\n', 0x1a, '\n'};
static const uint8_t end_magic[8] = {0x89, 'p', 'r', 'f',
                                     '\r', '\n', 0x1a, '\n'};

enum { MAJOR = 1, MINOR = 0, FLAG_CRITICAL = 1, BLOCK_LOG2 = 20 };

/* Builds for fuzzing take every checksum for right, or no input would get
 * behind the first one. */
static bool differ(uint64_t want, uint64_t got)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return (void)want, (void)got, false;
#else
    return want != got;
#endif
}

static uint64_t chunk_seed(const pf_ck_head *h)
{
    return pf_get_u64(h->recipe) ^
           pf_mix64((uint64_t)h->kind << 56 | (h->seq + 1));
}

static uint64_t block_seed(uint64_t seed, uint32_t section, uint64_t block)
{
    return seed ^ pf_mix64((uint64_t)(section + 1) << 40 | (block + 1));
}

static uint64_t blocks_of(uint64_t bytes)
{
    return bytes / PF_CK_BLOCK + (bytes % PF_CK_BLOCK != 0);
}

static unsigned dtype_size(char t)
{
    switch (t) {
    case 'B':
        return 1;
    case 'H':
        return 2;
    case 'I':
    case 'f':
        return 4;
    case 'Q':
    case 'd':
        return 8;
    default:
        return 0;
    }
}

int pf_ck_error(const pf_ck *c, pf_err *e, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return pf_err_pos(e, PF_E_FORMAT, c->file, 0, (int64_t)c->at,
                      "chunk %" PRIu64 ": %s", c->head.seq, text);
}

/* ------------------------------------------------------------- writing -- */

void pf_ck_add(pf_ck *c, const char *name, char dtype, const void *p,
               uint64_t n)
{
    if (c->head.n_sec == PF_CK_SECTIONS || strlen(name) > 8)
        PF_BUG("bad section");
    pf_ck_sec *s = &c->sec[c->head.n_sec++];
    *s = (pf_ck_sec){.dtype = dtype, .p = p, .n = n,
                     .stored = n * dtype_size(dtype)};
    memcpy(s->name, name, strlen(name));
}

static void write_header(const pf_ck_head *h, uint64_t seed,
                         uint64_t table_hash, uint8_t out[PF_CK_HEADER])
{
    memset(out, 0, PF_CK_HEADER);
    memcpy(out, magic, 8);
    pf_put_u16(out + 8, MAJOR);
    pf_put_u16(out + 10, MINOR);
    pf_put_u32(out + 12, h->kind);
    pf_put_u64(out + 16, h->bytes);
    pf_put_u64(out + 24, h->seq);
    pf_put_u64(out + 32, h->first_row);
    pf_put_u32(out + 40, h->n_rows);
    pf_put_u32(out + 44, h->n_sec);
    out[56] = h->row_kind;
    out[57] = h->n_branch;
    pf_put_u32(out + 60, h->vocab);
    memcpy(out + 64, h->recipe, 32);
    pf_put_u64(out + 112, table_hash);
    pf_put_u64(out + 120, pf_xxh3_64(out, 120, seed));
}

/* Fills the table and returns the offset of the hash list. */
static uint64_t lay_out(const pf_ck *c, uint8_t *table)
{
    uint64_t at = PF_CK_HEADER + (uint64_t)PF_CK_ENTRY * c->head.n_sec;
    uint64_t first = 0;
    for (uint32_t i = 0; i < c->head.n_sec; i++) {
        const pf_ck_sec *s = &c->sec[i];
        uint8_t *t = table + (size_t)PF_CK_ENTRY * i;
        memset(t, 0, PF_CK_ENTRY);
        memcpy(t, s->name, 8);
        t[8] = (uint8_t)s->dtype;
        t[9] = s->codec;
        t[10] = FLAG_CRITICAL;
        t[11] = BLOCK_LOG2;
        pf_put_u64(t + 16, at);
        pf_put_u64(t + 24, s->stored);
        pf_put_u64(t + 32, s->n);
        pf_put_u64(t + 40, first);
        first += blocks_of(s->stored);
        at = pf_align_up(at + s->stored, PF_CK_ALIGN);
    }
    return at;
}

static void pad(const pf_ck_sink *to, uint64_t n)
{
    static const uint8_t zero[PF_CK_ALIGN];
    uint64_t rest = n % PF_CK_ALIGN;
    if (rest)
        to->write(to->ctx, zero, PF_CK_ALIGN - rest);
}

int pf_ck_write(pf_ck *c, const pf_ck_sink *to, pf_err *e)
{
    uint8_t header[PF_CK_HEADER], tail[PF_CK_TRAILER] = {0};
    uint8_t table[PF_CK_SECTIONS * PF_CK_ENTRY];
    size_t n_hash = 0, at = 0, table_n = PF_CK_ENTRY * c->head.n_sec;
    for (uint32_t i = 0; i < c->head.n_sec; i++)
        n_hash += blocks_of(c->sec[i].stored);
    uint64_t *hash = pf_calloc(n_hash, sizeof *hash);
    if (!hash)
        return pf_err_nomem(e);
    uint64_t hash_at = lay_out(c, table), seed = chunk_seed(&c->head);
    c->head.bytes =
        pf_align_up(hash_at + 8 * n_hash, PF_CK_ALIGN) + PF_CK_TRAILER;
    write_header(&c->head, seed, pf_xxh3_64(table, table_n, seed), header);
    to->write(to->ctx, header, sizeof header);
    to->write(to->ctx, table, table_n);
    for (uint32_t i = 0; i < c->head.n_sec; i++) {
        const pf_ck_sec *s = &c->sec[i];
        for (uint64_t b = 0, off = 0; off < s->stored; b++) {
            size_t n = (size_t)PF_MIN(s->stored - off, (uint64_t)PF_CK_BLOCK);
            const uint8_t *p = (const uint8_t *)s->p + off;
            pf_put_u64(&hash[at++], pf_xxh3_64(p, n, block_seed(seed, i, b)));
            to->write(to->ctx, p, n);
            off += n;
        }
        pad(to, s->stored);
    }
    to->write(to->ctx, hash, 8 * n_hash);
    pad(to, 8 * n_hash);
    memcpy(tail, end_magic, 8);
    pf_put_u64(tail + 8, c->head.bytes);
    pf_put_u64(tail + 16, pf_xxh3_64(hash, 8 * n_hash, seed));
    pf_put_u64(tail + 24, c->tail.row_sum.lo);
    pf_put_u64(tail + 32, c->tail.row_sum.hi);
    pf_put_u64(tail + 40, c->tail.tokens);
    pf_put_u64(tail + 48, c->tail.completion);
    c->tail.hash = pf_xxh3_64(tail, 56, seed);
    pf_put_u64(tail + 56, c->tail.hash);
    to->write(to->ctx, tail, sizeof tail);
    pf_free(hash);
    return 0;
}

/* ------------------------------------------------------------- reading -- */

static int bad(const char *file, uint64_t at, pf_err *e, const char *fmt, ...)
    PF_PRINTF(4, 5);
static int bad(const char *file, uint64_t at, pf_err *e, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return pf_err_pos(e, PF_E_FORMAT, file, 0, (int64_t)at, "%s", text);
}

int pf_ck_header(pf_ck_head *h, const uint8_t *p, const char *file,
                 uint64_t at, pf_err *e)
{
    if (memcmp(p, magic, 8) != 0)
        return bad(file, at, e, "not the beginning of a chunk");
    *h = (pf_ck_head){
        .kind = pf_get_u32(p + 12),
        .bytes = pf_get_u64(p + 16),
        .seq = pf_get_u64(p + 24),
        .first_row = pf_get_u64(p + 32),
        .n_rows = pf_get_u32(p + 40),
        .n_sec = pf_get_u32(p + 44),
        .row_kind = p[56],
        .n_branch = p[57],
        .vocab = pf_get_u32(p + 60),
    };
    memcpy(h->recipe, p + 64, 32);
    /* A newer major may hash otherwise: say that before "damaged". */
    if (pf_get_u16(p + 8) != MAJOR)
        return bad(file, at, e, "chunk of format version %u, this is 1",
                   pf_get_u16(p + 8));
    uint64_t want = pf_get_u64(p + 120),
             got = pf_xxh3_64(p, 120, chunk_seed(h));
    if (differ(want, got))
        return bad(file, at, e,
                   "chunk header: checksum mismatch (want %016" PRIx64
                   ", got %016" PRIx64 ")",
                   want, got);
    if (pf_get_u32(p + 48))
        return bad(file, at, e, "chunk needs features 0x%x, unknown here",
                   pf_get_u32(p + 48));
    static const uint8_t zero[16];
    if (memcmp(p + 96, zero, 16) != 0 || p[58] || p[59])
        return bad(file, at, e, "reserved bytes of a chunk header are set");
    if (h->kind < PF_CK_DATA || h->kind > PF_CK_END)
        return bad(file, at, e, "chunk of unknown kind %u", h->kind);
    if (h->n_sec > PF_CK_SECTIONS)
        return bad(file, at, e, "chunk with %u sections", h->n_sec);
    if (h->row_kind < PF_ROW_PAIR || h->row_kind > PF_ROW_UNPAIRED ||
        h->n_branch != (h->row_kind == PF_ROW_PAIR ? 2 : 1) || !h->vocab)
        return bad(file, at, e, "rows of unknown kind %u with %u branches",
                   h->row_kind, h->n_branch);
    if (h->bytes % PF_CK_ALIGN || h->bytes > INT64_MAX ||
        h->bytes < PF_CK_HEADER + PF_CK_TRAILER +
                       (uint64_t)PF_CK_ENTRY * h->n_sec)
        return bad(file, at, e, "chunk of %" PRIu64 " bytes", h->bytes);
    return 0;
}

/* Reads entry i, which must lie at *at, and moves *at behind its section. */
static int read_entry(pf_ck *c, const uint8_t *p, uint32_t i, uint64_t *at,
                      uint64_t *first, pf_err *e)
{
    const uint8_t *t = p + PF_CK_HEADER + (size_t)PF_CK_ENTRY * i;
    pf_ck_sec *s = &c->sec[i];
    memcpy(s->name, t, 8);
    s->name[8] = 0;
    size_t len = strlen(s->name);
    static const uint8_t zero[16];
    if (!len || memcmp(t + len, zero, 8 - len) != 0)
        return pf_ck_error(c, e, "section %u has no name", i);
    for (size_t k = 0; k < len; k++)
        if (s->name[k] < 0x21 || s->name[k] > 0x7e)
            return pf_ck_error(c, e, "section %u has a broken name", i);
    s->dtype = (char)t[8];
    s->codec = t[9];
    s->critical = t[10] & FLAG_CRITICAL;
    s->stored = pf_get_u64(t + 24);
    s->n = pf_get_u64(t + 32);
    unsigned size = dtype_size(s->dtype);
    if (!size || s->codec > PF_CK_ZSTD || t[10] > FLAG_CRITICAL ||
        t[11] != BLOCK_LOG2 || memcmp(t + 12, zero, 4) != 0 ||
        memcmp(t + 48, zero, 16) != 0)
        return pf_ck_error(c, e, "section '%s': unknown layout", s->name);
    if (s->codec == PF_CK_RAW &&
        (s->n > UINT64_MAX / size || s->n * size != s->stored))
        return pf_ck_error(c, e, "section '%s': %" PRIu64 " elements in %"
                           PRIu64 " bytes", s->name, s->n, s->stored);
    if (pf_get_u64(t + 16) != *at || pf_get_u64(t + 40) != *first)
        return pf_ck_error(c, e, "section '%s' is not in its place", s->name);
    if (s->stored > c->head.bytes - *at)
        return pf_ck_error(c, e, "section '%s' goes past the chunk", s->name);
    s->p = p + *at;
    *first += blocks_of(s->stored);
    *at = pf_align_up(*at + s->stored, PF_CK_ALIGN);
    if (*at > c->head.bytes)
        return pf_ck_error(c, e, "section '%s' goes past the chunk", s->name);
    return 0;
}

static int check_zero(const pf_ck *c, const uint8_t *p, uint64_t from,
                      uint64_t to, pf_err *e)
{
    for (uint64_t i = from; i < to; i++)
        if (p[i])
            return pf_ck_error(c, e, "padding at byte %" PRIu64 " is not zero",
                               i);
    return 0;
}

static int check_trailer(pf_ck *c, const uint8_t *p, uint64_t hash_at,
                         uint64_t n_hash, uint64_t seed, pf_err *e)
{
    const uint8_t *t = p + c->head.bytes - PF_CK_TRAILER;
    c->tail = (pf_ck_tail){
        .row_sum = {pf_get_u64(t + 24), pf_get_u64(t + 32)},
        .tokens = pf_get_u64(t + 40),
        .completion = pf_get_u64(t + 48),
        .hash = pf_get_u64(t + 56),
    };
    if (memcmp(t, end_magic, 8) != 0 || pf_get_u64(t + 8) != c->head.bytes ||
        differ(c->tail.hash, pf_xxh3_64(t, 56, seed)))
        return pf_ck_error(c, e, "trailer: checksum mismatch");
    if (differ(pf_get_u64(t + 16),
               pf_xxh3_64(p + hash_at, 8 * n_hash, seed)))
        return pf_ck_error(c, e, "block hashes: checksum mismatch");
    return check_zero(c, p, hash_at + 8 * n_hash,
                      c->head.bytes - PF_CK_TRAILER, e);
}

static int check_blocks(const pf_ck *c, const uint8_t *p,
                        const uint8_t *hashes, uint64_t seed, pf_err *e)
{
    size_t at = 0;
    for (uint32_t i = 0; i < c->head.n_sec; i++) {
        const pf_ck_sec *s = &c->sec[i];
        const uint8_t *base = s->p;
        for (uint64_t b = 0, off = 0; off < s->stored; b++) {
            size_t n = (size_t)PF_MIN(s->stored - off, (uint64_t)PF_CK_BLOCK);
            uint64_t want = pf_get_u64(hashes + 8 * at++);
            uint64_t got = pf_xxh3_64(base + off, n, block_seed(seed, i, b));
            if (differ(want, got))
                return bad(c->file, c->at + (uint64_t)(base - p) + off, e,
                           "chunk %" PRIu64 ": section '%s': block %" PRIu64
                           ": checksum mismatch (want %016" PRIx64
                           ", got %016" PRIx64 ")",
                           c->head.seq, s->name, b, want, got);
            off += n;
        }
        uint64_t end = (uint64_t)(base - p) + s->stored;
        int rc = check_zero(c, p, end, pf_align_up(end, PF_CK_ALIGN), e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int pf_ck_open(pf_ck *c, const uint8_t *p, size_t n, const char *file,
               uint64_t at, pf_err *e)
{
    c->file = file;
    c->at = at;
    if (n < PF_CK_HEADER)
        return pf_err_pos(e, PF_E_TRUNCATED, file, 0, (int64_t)(at + n),
                          "ends inside a chunk header");
    int rc = pf_ck_header(&c->head, p, file, at, e);
    if (rc < 0)
        return rc;
    if (n < c->head.bytes)
        return pf_err_pos(e, PF_E_TRUNCATED, file, 0, (int64_t)(at + n),
                          "ends inside chunk %" PRIu64 " of %" PRIu64
                          " bytes", c->head.seq, c->head.bytes);
    if (n > c->head.bytes)
        return pf_ck_error(c, e, "followed by %" PRIu64 " more bytes",
                           (uint64_t)n - c->head.bytes);
    uint64_t seed = chunk_seed(&c->head);
    size_t table_n = PF_CK_ENTRY * c->head.n_sec;
    if (differ(pf_get_u64(p + 112),
               pf_xxh3_64(p + PF_CK_HEADER, table_n, seed)))
        return pf_ck_error(c, e, "section table: checksum mismatch");
    uint64_t off = PF_CK_HEADER + table_n, n_hash = 0;
    for (uint32_t i = 0; i < c->head.n_sec; i++) {
        rc = read_entry(c, p, i, &off, &n_hash, e);
        if (rc < 0)
            return rc;
    }
    if (pf_align_up(off + 8 * n_hash, PF_CK_ALIGN) + PF_CK_TRAILER !=
        c->head.bytes)
        return pf_ck_error(c, e, "sections do not fill the chunk");
    rc = check_trailer(c, p, off, n_hash, seed, e);
    return rc < 0 ? rc : check_blocks(c, p, p + off, seed, e);
}

const pf_ck_sec *pf_ck_find(const pf_ck *c, const char *name)
{
    for (uint32_t i = 0; i < c->head.n_sec; i++)
        if (strcmp(c->sec[i].name, name) == 0)
            return &c->sec[i];
    return NULL;
}

int pf_ck_known(const pf_ck *c, const char *const *known, pf_err *e)
{
    for (uint32_t i = 0; i < c->head.n_sec; i++) {
        const pf_ck_sec *s = &c->sec[i];
        const char *const *k = known;
        while (*k && strcmp(*k, s->name) != 0)
            k++;
        if (!*k && s->critical)
            return pf_ck_error(c, e, "section '%s' is unknown here", s->name);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(c->sec[j].name, s->name) == 0)
                return pf_ck_error(c, e, "section '%s' stands twice",
                                   s->name);
    }
    return 0;
}

int pf_ck_need(const pf_ck *c, const char *name, char dtype, uint64_t n,
               const pf_ck_sec **out, pf_err *e)
{
    const pf_ck_sec *s = pf_ck_find(c, name);
    if (!s)
        return pf_ck_error(c, e, "no section '%s'", name);
    if (s->dtype != dtype || s->codec != PF_CK_RAW)
        return pf_ck_error(c, e, "section '%s' is of dtype %c, codec %u",
                           name, s->dtype, s->codec);
    if (n != UINT64_MAX && s->n != n)
        return pf_ck_error(c, e, "section '%s' has %" PRIu64
                           " elements, want %" PRIu64, name, s->n, n);
    *out = s;
    return 0;
}
