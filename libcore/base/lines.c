/* SPDX-License-Identifier: MIT
 *
 * One core, batch(): whole lines in a block, what follows the last LF carried
 * over to the next. Single lines are cut from such blocks. */
#define _GNU_SOURCE /* memrchr */
#include "base/lines.h"

#include "base/mem.h"

#define BLOCK ((size_t)256 << 10)
#define SHOWN ((size_t)4096) /* bytes kept of a line that is too long */
#define SLACK 64             /* readable bytes behind the text */

struct pf_lines {
    pf_reader *r;
    size_t max_line;
    pf_buf carry;   /* bytes read behind the last batch */
    int64_t offset; /* of carry's first byte */
    int64_t number; /* of the line that begins there */
    pf_buf block;   /* for pf_lines_next and pf_lines_batch */
    pf_line batch;  /* the block that pf_lines_next cuts */
    size_t at;
};

int pf_lines_new(pf_lines **out, pf_reader *r, size_t max_line, pf_err *e)
{
    pf_lines *l = pf_calloc(1, sizeof *l);
    if (!l)
        return pf_err_nomem(e);
    l->r = r;
    l->max_line = PF_MAX(max_line, 1);
    l->number = 1;
    *out = l;
    return 0;
}

void pf_lines_free(pf_lines *l)
{
    if (!l)
        return;
    pf_buf_release(&l->carry);
    pf_buf_release(&l->block);
    pf_free(l);
}

static ssize_t read_more(pf_lines *l, pf_buf *b, size_t n, pf_err *e)
{
    if (!pf_buf_reserve(b, n + SLACK))
        return pf_err_nomem(e);
    ssize_t got = pf_reader_read(l->r, b->p + b->n, n, e);
    if (got > 0)
        b->n += (size_t)got;
    return got;
}

/* Keeps b's bytes from `at` on for the next batch. */
static int keep(pf_lines *l, const pf_buf *b, size_t at, pf_err *e)
{
    pf_buf_clear(&l->carry);
    pf_buf_add(&l->carry, b->p + at, b->n - at);
    return pf_buf_failed(&l->carry) ? pf_err_nomem(e) : 0;
}

/* A line of more than max_line bytes begins b: returns its beginning, having
 * read past its LF. lf: offset of that LF in b, or -1 when not seen yet. */
static int too_long(pf_lines *l, pf_buf *b, ptrdiff_t lf, pf_line *out,
                    pf_err *e)
{
    int64_t length = lf >= 0 ? lf : (int64_t)b->n;
    size_t shown = PF_MIN(SHOWN, (size_t)length);
    out->too_long = true;
    out->ended = lf >= 0;
    if (lf >= 0) {
        int rc = keep(l, b, (size_t)lf + 1, e);
        if (rc < 0)
            return rc;
    }
    while (!out->ended) {
        size_t at = b->n = shown;
        ssize_t got = read_more(l, b, PF_MIN(BLOCK, l->max_line), e);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        const char *end = memchr(b->p + at, '\n', (size_t)got);
        size_t part = end ? (size_t)(end - b->p) - at : (size_t)got;
        length += (int64_t)part;
        shown = PF_MIN(SHOWN, at + part);
        out->ended = end != NULL;
        if (end) {
            int rc = keep(l, b, at + part + 1, e);
            if (rc < 0)
                return rc;
        }
    }
    out->text = (pf_slice){b->p, shown};
    l->offset += length + out->ended;
    l->number++;
    return 1;
}

static int64_t count_lf(const char *p, size_t n)
{
    int64_t count = 0;
    const char *end = p + n;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        count++;
        p++;
    }
    return count;
}

static void skip_bom(pf_lines *l, pf_line *out)
{
    if (l->offset == 0 && out->text.n >= 3 &&
        memcmp(out->text.p, "\xef\xbb\xbf", 3) == 0) {
        out->text.p += 3;
        out->text.n -= 3;
        out->offset = 3;
    }
}

/* The first n bytes of b, whole lines, are the batch. */
static int cut(pf_lines *l, pf_buf *b, size_t n, pf_line *out, pf_err *e)
{
    int rc = keep(l, b, n, e);
    if (rc < 0)
        return rc;
    b->n = n;
    out->ended = n > 0 && b->p[n - 1] == '\n';
    out->text = (pf_slice){b->p, n};
    skip_bom(l, out);
    if (out->text.n == 0) /* a byte order mark was all there is */
        return 0;
    l->offset += (int64_t)n;
    l->number += count_lf(b->p, n) + !out->ended;
    return 1;
}

static int batch(pf_lines *l, pf_buf *b, size_t want, pf_line *out, pf_err *e)
{
    /* No line inside a block of max_line bytes can be too long: only one that
     * fills the whole block has to be measured. (What is carried over is never
     * more than max_line either.) */
    want = PF_MIN(PF_MAX(want, 1), l->max_line);
    *out = (pf_line){.offset = l->offset, .number = l->number};
    pf_buf_clear(b);
    pf_buf_add(b, l->carry.p, l->carry.n);
    pf_buf_clear(&l->carry);
    if (pf_buf_failed(b))
        return pf_err_nomem(e);
    ssize_t got = 1;
    while (b->n < want && got > 0) {
        got = read_more(l, b, want - b->n, e);
        if (got < 0)
            return (int)got;
    }
    if (b->n == 0)
        return 0;
    if (got == 0) /* the end: all of it, a last line may lack its LF */
        return cut(l, b, b->n, out, e);
    const char *last = memrchr(b->p, '\n', b->n);
    if (last)
        return cut(l, b, (size_t)(last - b->p) + 1, out, e);
    for (;;) {
        size_t seen = b->n;
        if (seen > l->max_line)
            return too_long(l, b, -1, out, e);
        got = read_more(l, b, PF_MIN(BLOCK, PF_MAX(want, 1)), e);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return cut(l, b, b->n, out, e);
        const char *lf = memchr(b->p + seen, '\n', (size_t)got);
        if (!lf)
            continue;
        if ((size_t)(lf - b->p) > l->max_line)
            return too_long(l, b, lf - b->p, out, e);
        return cut(l, b, (size_t)(lf - b->p) + 1, out, e);
    }
}

int pf_lines_fill(pf_lines *l, pf_buf *block, size_t want, pf_line *out,
                  pf_err *e)
{
    return batch(l, block, want, out, e);
}

int pf_lines_batch(pf_lines *l, size_t want, pf_line *out, pf_err *e)
{
    return batch(l, &l->block, want, out, e);
}

int pf_lines_next(pf_lines *l, pf_line *out, pf_err *e)
{
    if (l->at == l->batch.text.n) {
        int rc = batch(l, &l->block, BLOCK, &l->batch, e);
        l->at = 0;
        if (rc <= 0) {
            l->batch.text.n = 0;
            return rc;
        }
        if (l->batch.too_long) {
            *out = l->batch;
            l->at = l->batch.text.n;
            return 1;
        }
    }
    const char *p = l->batch.text.p + l->at;
    size_t left = l->batch.text.n - l->at;
    const char *lf = left ? memchr(p, '\n', left) : NULL;
    *out = (pf_line){
        .text = {p, lf ? (size_t)(lf - p) : left},
        .offset = l->batch.offset + (int64_t)l->at,
        .number = l->batch.number++,
        .ended = lf != NULL,
    };
    l->at += out->text.n + out->ended;
    return 1;
}
