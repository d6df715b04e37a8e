/* SPDX-License-Identifier: MIT */
#include "data/identity.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

void pf_ident_release(pf_ident *id)
{
    for (size_t i = 0; i < id->n; i++) {
        pf_free(id->item[i].key);
        pf_free(id->item[i].value);
    }
    pf_free(id->item);
    *id = (pf_ident){0};
}

/* Where key stands or belongs. */
static size_t place(const pf_ident *id, const char *key, bool *found)
{
    size_t lo = 0, hi = id->n;
    *found = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(id->item[mid].key, key);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int pf_ident_set(pf_ident *id, const char *key, const char *value, pf_err *e)
{
    bool found;
    size_t at = place(id, key, &found);
    char *v = pf_strdup(value);
    if (!v)
        return pf_err_nomem(e);
    if (found) {
        pf_free(id->item[at].value);
        id->item[at].value = v;
        return 0;
    }
    char *k = pf_strdup(key);
    if (!k || !PF_GROW(&id->item, &id->cap, id->n + 1)) {
        pf_free(k);
        pf_free(v);
        return pf_err_nomem(e);
    }
    memmove(id->item + at + 1, id->item + at,
            (id->n - at) * sizeof *id->item);
    id->item[at] = (pf_ident_item){k, v};
    id->n++;
    return 0;
}

int pf_ident_setf(pf_ident *id, pf_err *e, const char *key, const char *fmt,
                  ...)
{
    char small[256], *text = small;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0)
        return pf_err_set(e, PF_E_USAGE, "identity value cannot be written");
    if ((size_t)n >= sizeof small) {
        text = pf_alloc((size_t)n + 1);
        if (!text)
            return pf_err_nomem(e);
        va_start(ap, fmt);
        vsnprintf(text, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    int rc = pf_ident_set(id, key, text, e);
    if (text != small)
        pf_free(text);
    return rc;
}

const char *pf_ident_get(const pf_ident *id, const char *key)
{
    bool found;
    size_t at = place(id, key, &found);
    return found ? id->item[at].value : NULL;
}

int pf_ident_json(const pf_ident *id, pf_buf *out, pf_err *e)
{
    pf_jw w = {.out = out};
    pf_jw_obj(&w);
    for (size_t i = 0; i < id->n; i++) {
        pf_jw_key(&w, id->item[i].key);
        pf_jw_cstr(&w, id->item[i].value);
    }
    pf_jw_end(&w, '}');
    return pf_buf_failed(out) ? pf_err_nomem(e) : 0;
}

/* One member of an identity document; NUL bytes would cut a C string short. */
static int add_member(pf_ident *id, pf_slice key, pf_jval v, pf_err *e)
{
    pf_slice value = pf_jstr(v);
    if (pf_jtype(v) != PF_JSON_STRING)
        return pf_err_set(e, PF_E_FORMAT, "identity value is %s, not a string",
                          pf_jtype_name(v));
    if (memchr(key.p, 0, key.n) || (value.n && memchr(value.p, 0, value.n)))
        return pf_err_set(e, PF_E_FORMAT, "identity holds a NUL");
    char *k = pf_memdup0(key.p, key.n);
    char *s = pf_memdup0(value.p, value.n);
    int rc = k && s ? 0 : pf_err_nomem(e);
    if (rc == 0 && pf_ident_get(id, k))
        rc = pf_err_set(e, PF_E_FORMAT, "identity key '%.64s' stands twice",
                        k);
    if (rc == 0)
        rc = pf_ident_set(id, k, s, e);
    pf_free(k);
    pf_free(s);
    return rc;
}

int pf_ident_of_json(pf_ident *id, pf_jval v, pf_err *e)
{
    pf_ident_release(id);
    if (pf_jtype(v) != PF_JSON_OBJECT)
        return pf_err_set(e, PF_E_FORMAT, "identity is %s, not an object",
                          pf_jtype_name(v));
    pf_jiter it = pf_jiter_of(v);
    while (pf_jiter_next(&it)) {
        int rc = add_member(id, it.key, it.value, e);
        if (rc < 0) {
            pf_ident_release(id);
            return rc;
        }
    }
    return 0;
}

int pf_ident_digest(const pf_ident *id, uint8_t out[PF_SHA256_BYTES],
                    pf_err *e)
{
    pf_buf b = {0};
    int rc = pf_ident_json(id, &b, e);
    if (rc == 0)
        pf_sha256_of(b.p, b.n, out);
    pf_buf_release(&b);
    return rc;
}

size_t pf_ident_diff(const pf_ident *a, const pf_ident *b,
                     pf_ident_diff_fn *fn, void *ctx)
{
    size_t i = 0, j = 0, n = 0;
    while (i < a->n || j < b->n) {
        int c = i == a->n   ? 1
                : j == b->n ? -1
                            : strcmp(a->item[i].key, b->item[j].key);
        const char *key = c <= 0 ? a->item[i].key : b->item[j].key;
        const char *x = c <= 0 ? a->item[i++].value : NULL;
        const char *y = c >= 0 ? b->item[j++].value : NULL;
        if (x && y && strcmp(x, y) == 0)
            continue;
        n++;
        if (fn)
            fn(ctx, key, x, y);
    }
    return n;
}

typedef struct differing {
    char text[240];
    size_t n;
} differing;

/* Long values keep their beginning: digests differ there already. */
static void add_difference(void *ctx, const char *key, const char *want,
                           const char *got)
{
    differing *d = ctx;
    int n = snprintf(d->text + d->n, sizeof d->text - d->n,
                     "%s%s is %.24s, want %.24s", d->n ? "; " : "", key,
                     got ? got : "absent", want ? want : "absent");
    if (n > 0)
        d->n = PF_MIN(d->n + (size_t)n, sizeof d->text - 1);
}

int pf_ident_require(const pf_ident *want, const pf_ident *got,
                     const char *what, pf_err *e)
{
    differing d = {.n = 0};
    if (pf_ident_diff(want, got, add_difference, &d) == 0)
        return 0;
    return pf_err_set(e, PF_E_IDENTITY, "%s do not match: %s", what, d.text);
}

void pf_set_hash_init(pf_set_hash *h, const uint8_t recipe[PF_SHA256_BYTES])
{
    pf_sha256_init(&h->sha);
    pf_sha256_update(&h->sha, recipe, PF_SHA256_BYTES);
}

void pf_set_hash_add(pf_set_hash *h, pf_hash128 row_key)
{
    uint8_t b[16];
    pf_put_u64(b, row_key.lo);
    pf_put_u64(b + 8, row_key.hi);
    pf_sha256_update(&h->sha, b, sizeof b);
}

void pf_set_hash_final(pf_set_hash *h, uint8_t out[PF_SHA256_BYTES])
{
    pf_sha256_final(&h->sha, out);
}
