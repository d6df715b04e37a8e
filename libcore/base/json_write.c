/* SPDX-License-Identifier: MIT
 *
 * The streaming writer and the canonical form. */
#include "base/cpu.h"
#include "base/json_int.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>

/* Strings are escaped a block at a time, each with room for the worst. */
#define BLOCK ((size_t)8 << 10)

char *pf_json_put_escape(char *dst, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letter[128] = {
        ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
        ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
    };
    *dst++ = '\\';
    if (letter[c]) {
        *dst++ = letter[c];
        return dst;
    }
    memcpy(dst, "u00", 3);
    dst[3] = hex[c >> 4];
    dst[4] = hex[c & 15];
    return dst + 5;
}

void pf_json_quote(pf_buf *out, pf_slice s)
{
    s.p = s.p ? s.p : "";
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    pf_cpu tier = pf_cpu_tier();
    do {
        size_t n = PF_MIN((size_t)(end - p), BLOCK);
        if (!pf_buf_reserve(out, 6 * n + PF_JSON_PAD + 2))
            return;
        char *dst = out->p + out->n;
        if (p == (const unsigned char *)s.p)
            *dst++ = '"';
        switch (tier) {
#if defined(__x86_64__)
        case PF_CPU_AVX512:
            dst = pf_json_escape_avx512(dst, p, p + n);
            break;
        case PF_CPU_AVX2:
            dst = pf_json_escape_avx2(dst, p, p + n);
            break;
#endif
        default:
            dst = pf_json_escape_scalar(dst, p, p + n);
        }
        p += n;
        if (p == end)
            *dst++ = '"';
        *dst = 0;
        out->n = (size_t)(dst - out->p);
    } while (p < end);
}

/* What comes before a value or key: the comma that is due. */
static void item(pf_jw *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0)
        return;
    uint64_t bit = UINT64_C(1) << (w->depth - 1);
    if (w->has_item & bit)
        pf_buf_char(w->out, ',');
    w->has_item |= bit;
}

static void open(pf_jw *w, char c)
{
    item(w);
    PF_ASSERT(w->depth < 64);
    w->has_item &= ~(UINT64_C(1) << w->depth++);
    pf_buf_char(w->out, c);
}

void pf_jw_obj(pf_jw *w)
{
    open(w, '{');
}

void pf_jw_arr(pf_jw *w)
{
    open(w, '[');
}

void pf_jw_end(pf_jw *w, char close)
{
    PF_ASSERT(w->depth > 0 && !w->after_key);
    w->depth--;
    pf_buf_char(w->out, close);
}

void pf_jw_key_s(pf_jw *w, pf_slice key)
{
    PF_ASSERT(!w->after_key);
    item(w);
    pf_json_quote(w->out, key);
    pf_buf_char(w->out, ':');
    w->after_key = true;
}

void pf_jw_key(pf_jw *w, const char *key)
{
    pf_jw_key_s(w, pf_slice_of(key));
}

void pf_jw_str(pf_jw *w, pf_slice s)
{
    item(w);
    pf_json_quote(w->out, s);
}

void pf_jw_cstr(pf_jw *w, const char *s)
{
    pf_jw_str(w, pf_slice_of(s));
}

static void add_u64(pf_buf *out, bool neg, uint64_t v)
{
    char buf[24], *p = buf + sizeof buf;
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    if (neg)
        *--p = '-';
    pf_buf_add(out, p, (size_t)(buf + sizeof buf - p));
}

void pf_jw_i64(pf_jw *w, int64_t v)
{
    item(w);
    add_u64(w->out, v < 0, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void pf_jw_u64(pf_jw *w, uint64_t v)
{
    item(w);
    add_u64(w->out, false, v);
}

void pf_jw_f64(pf_jw *w, double v)
{
    char buf[32];
    item(w);
    pf_buf_add(w->out, buf, (size_t)pf_f64_text(v, buf));
}

void pf_jw_f32(pf_jw *w, float v)
{
    char buf[32];
    item(w);
    pf_buf_add(w->out, buf, (size_t)pf_f32_text(v, buf));
}

void pf_jw_bool(pf_jw *w, bool v)
{
    pf_jw_raw(w, v ? PF_LIT("true") : PF_LIT("false"));
}

void pf_jw_null(pf_jw *w)
{
    pf_jw_raw(w, PF_LIT("null"));
}

void pf_jw_raw(pf_jw *w, pf_slice json)
{
    item(w);
    pf_buf_add(w->out, json.p, json.n);
}

/* ------------------------------------------------------ canonical form -- */

typedef struct member {
    pf_slice key;
    pf_jval value;
} member;

static int by_key(const void *a, const void *b)
{
    return pf_slice_cmp(((const member *)a)->key, ((const member *)b)->key);
}

static int canonical_object(pf_jval v, pf_buf *out, pf_err *e)
{
    size_t n = pf_jcount(v), i = 0;
    int rc = 0;
    member *m = pf_calloc(n, sizeof *m);
    if (!m)
        return pf_err_nomem(e);
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it))
        m[i++] = (member){it.key, it.value};
    if (n > 1)
        qsort(m, n, sizeof *m, by_key);
    pf_buf_char(out, '{');
    for (i = 0; i < n && rc == 0; i++) {
        if (i > 0 && pf_slice_eq(m[i].key, m[i - 1].key)) {
            char name[80];
            rc = pf_err_pos(e, PF_E_FORMAT, NULL, 0,
                            (int64_t)pf_joffset(m[i].value),
                            "duplicate key %s",
                            pf_err_quote(name, sizeof name, m[i].key.p,
                                         m[i].key.n));
            break;
        }
        if (i > 0)
            pf_buf_char(out, ',');
        pf_json_quote(out, m[i].key);
        pf_buf_char(out, ':');
        rc = pf_json_canonical(m[i].value, out, e);
    }
    pf_buf_char(out, '}');
    pf_free(m);
    return rc;
}

/* Recursion is bounded by the reader's depth limit. */
int pf_json_canonical(pf_jval v, pf_buf *out, pf_err *e)
{
    pf_slice raw = pf_jraw(v);
    int rc = 0;
    switch (pf_jtype(v)) {
    case PF_JSON_OBJECT:
        rc = canonical_object(v, out, e);
        break;
    case PF_JSON_ARRAY: {
        pf_jiter it = pf_jiter_of(v);
        char sep = '[';
        while (rc == 0 && pf_jiter_next(&it)) {
            pf_buf_char(out, sep);
            sep = ',';
            rc = pf_json_canonical(it.value, out, e);
        }
        pf_buf_str(out, sep == '[' ? "[]" : "]");
        break;
    }
    case PF_JSON_STRING:
        pf_json_quote(out, pf_jstr(v));
        break;
    default:
        pf_buf_add(out, raw.p, raw.n);
    }
    return rc ? rc : pf_buf_failed(out) ? pf_err_nomem(e) : 0;
}
