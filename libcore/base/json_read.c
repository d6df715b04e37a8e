/* SPDX-License-Identifier: MIT
 *
 * The reader around its kernel (json_kernel.inc): life of a parser, escapes,
 * duplicate keys, access to values. */
#include "base/cpu.h"
#include "base/hash.h"
#include "base/json_int.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Objects with more keys are checked for duplicates through a hash set. */
#define FEW_KEYS 12

pf_json *pf_json_new(void)
{
    return pf_calloc(1, sizeof(pf_json));
}

void pf_json_free(pf_json *j)
{
    if (!j)
        return;
    pf_free(j->tape);
    pf_free(j->side);
    pf_free(j->set);
    pf_free(j);
}

int pf_json_parse(pf_json *j, pf_slice text, pf_jval *root, pf_err *e)
{
    int rc;
    *root = (pf_jval){NULL, 0};
    if (text.n >= UINT32_MAX)
        return pf_err_set(e, PF_E_LIMIT, "JSON text of 4 GiB or more");
    j->text = (const unsigned char *)(text.p ? text.p : "");
    j->n = text.n;
    j->n_tape = j->n_side = j->duplicates = 0;
    switch (pf_cpu_tier()) {
#if defined(__x86_64__)
    case PF_CPU_AVX512:
        rc = pf_json_run_avx512(j, e);
        break;
    case PF_CPU_AVX2:
        rc = pf_json_run_avx2(j, e);
        break;
#endif
    default:
        rc = pf_json_run_scalar(j, e);
    }
    if (rc == 0)
        root->doc = j;
    return rc;
}

size_t pf_json_duplicates(const pf_json *j)
{
    return j->duplicates;
}

int pf_json_fail(const pf_json *j, const unsigned char *p, const char *what,
                 pf_err *e)
{
    int64_t at = p - j->text;
    if ((size_t)at == j->n)
        return pf_err_pos(e, PF_E_FORMAT, NULL, 0, at,
                          "invalid JSON: the text ends early");
    return pf_err_pos(e, PF_E_FORMAT, NULL, 0, at, "invalid JSON: %s", what);
}

/* ------------------------------------------------------------- escapes -- */

/* Four hex digits at p, or -1. */
static int32_t hex4(const unsigned char *p, const unsigned char *end)
{
    uint8_t b[2];
    if (end - p < 4 || !pf_unhex((const char *)p, 4, b, 2))
        return -1;
    return b[0] << 8 | b[1];
}

const unsigned char *pf_json_unescape(const unsigned char *p,
                                      const unsigned char *end,
                                      unsigned char **dst)
{
    static const unsigned char simple[256] = {
        ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
    };
    if (end - p < 2)
        return NULL;
    if (simple[p[1]]) {
        *(*dst)++ = simple[p[1]];
        return p + 2;
    }
    int32_t c = p[1] == 'u' ? hex4(p + 2, end) : -1;
    if (c < 0)
        return NULL;
    p += 6;
    if (c >= 0xd800 && c < 0xe000) {
        if (c >= 0xdc00 || end - p < 6 || p[0] != '\\' || p[1] != 'u')
            return NULL;
        int32_t low = hex4(p + 2, end);
        if (low < 0xdc00 || low >= 0xe000)
            return NULL;
        c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
        p += 6;
    }
    *dst += pf_utf8_put((char *)*dst, (uint32_t)c);
    return p;
}

/* ------------------------------------------------------ duplicate keys -- */

static inline unsigned char first_byte(const pf_json *j, uint32_t at)
{
    return j->text[j->tape[at].begin];
}

/* The node after the value at `at` and all it holds. */
static inline uint32_t after(const pf_json *j, uint32_t at)
{
    unsigned char c = first_byte(j, at);
    return c == '{' || c == '[' ? j->tape[at].a : at + 1;
}

static inline pf_slice string_at(const pf_json *j, uint32_t at)
{
    const pf_jnode *v = &j->tape[at];
    const unsigned char *p = v->a ? j->side + (v->a - 1)
                                  : j->text + v->begin + 1;
    return (pf_slice){(const char *)p, v->b};
}

static size_t duplicates_of_few(const pf_json *j, uint32_t object)
{
    uint32_t seen[FEW_KEYS];
    size_t n = 0, found = 0;
    for (uint32_t at = object + 1, i = 0; i < j->tape[object].b; i++) {
        size_t k = 0;
        while (k < n && !pf_slice_eq(string_at(j, at), string_at(j, seen[k])))
            k++;
        if (k < n)
            found++;
        else
            seen[n++] = at;
        at = after(j, at + 1);
    }
    return found;
}

int pf_json_find_duplicates(pf_json *j, uint32_t object, pf_err *e)
{
    uint32_t count = j->tape[object].b;
    if (count <= FEW_KEYS) {
        j->duplicates += duplicates_of_few(j, object);
        return 0;
    }
    size_t size = 64;
    while (size < (size_t)count * 2)
        size *= 2;
    if (!PF_GROW(&j->set, &j->set_cap, size))
        return pf_err_nomem(e);
    memset(j->set, 0, size * sizeof *j->set);
    for (uint32_t at = object + 1, i = 0; i < count; i++) {
        pf_slice k = string_at(j, at);
        size_t slot = pf_xxh3_64(k.p, k.n, count) & (size - 1);
        while (j->set[slot] && !pf_slice_eq(k, string_at(j, j->set[slot])))
            slot = (slot + 1) & (size - 1);
        if (j->set[slot])
            j->duplicates++;
        else
            j->set[slot] = at; /* a key is never node 0 */
        at = after(j, at + 1);
    }
    return 0;
}

/* -------------------------------------------------------------- access -- */

pf_json_type pf_jtype(pf_jval v)
{
    if (!v.doc)
        return PF_JSON_NONE;
    switch (first_byte(v.doc, v.at)) {
    case '"':
        return PF_JSON_STRING;
    case '{':
        return PF_JSON_OBJECT;
    case '[':
        return PF_JSON_ARRAY;
    case 't':
        return PF_JSON_TRUE;
    case 'f':
        return PF_JSON_FALSE;
    case 'n':
        return PF_JSON_NULL;
    default:
        return PF_JSON_NUMBER;
    }
}

const char *pf_jtype_name(pf_jval v)
{
    static const char *const name[] = {
        [PF_JSON_NONE] = "nothing",    [PF_JSON_NULL] = "null",
        [PF_JSON_FALSE] = "false",     [PF_JSON_TRUE] = "true",
        [PF_JSON_NUMBER] = "a number", [PF_JSON_STRING] = "a string",
        [PF_JSON_ARRAY] = "an array",  [PF_JSON_OBJECT] = "an object",
    };
    return name[pf_jtype(v)];
}

pf_slice pf_jraw(pf_jval v)
{
    if (!v.doc)
        return (pf_slice){NULL, 0};
    const pf_jnode *n = &v.doc->tape[v.at];
    return (pf_slice){(const char *)v.doc->text + n->begin,
                      n->end - n->begin};
}

size_t pf_joffset(pf_jval v)
{
    return v.doc ? v.doc->tape[v.at].begin : 0;
}

pf_slice pf_jstr(pf_jval v)
{
    if (pf_jtype(v) != PF_JSON_STRING)
        return (pf_slice){NULL, 0};
    return string_at(v.doc, v.at);
}

bool pf_jplain(pf_jval v)
{
    if (pf_jtype(v) != PF_JSON_STRING)
        return false;
    uint32_t a = v.doc->tape[v.at].a;
    return a == 0 || v.doc->side[a - 2];
}

static bool is_container(pf_jval v)
{
    pf_json_type t = pf_jtype(v);
    return t == PF_JSON_ARRAY || t == PF_JSON_OBJECT;
}

size_t pf_jcount(pf_jval v)
{
    return is_container(v) ? v.doc->tape[v.at].b : 0;
}

bool pf_jbool(pf_jval v, bool dflt)
{
    pf_json_type t = pf_jtype(v);
    return t == PF_JSON_TRUE || (t != PF_JSON_FALSE && dflt);
}

bool pf_ji64(pf_jval v, int64_t *out)
{
    if (pf_jtype(v) != PF_JSON_NUMBER)
        return false;
    pf_slice s = pf_jraw(v);
    bool neg = s.p[0] == '-';
    int64_t x = 0;
    for (size_t i = neg; i < s.n; i++) {
        int digit = s.p[i] - '0';
        if (digit < 0 || digit > 9 || !pf_mul64(x, 10, &x) ||
            !pf_add64(x, neg ? -digit : digit, &x))
            return false;
    }
    *out = x;
    return true;
}

bool pf_jf64(pf_jval v, double *out)
{
    if (pf_jtype(v) != PF_JSON_NUMBER)
        return false;
    *out = pf_json_to_f64(pf_jraw(v));
    return true;
}

pf_jiter pf_jiter_of(pf_jval v)
{
    if (!is_container(v))
        return (pf_jiter){0};
    return (pf_jiter){.next = v.at + 1,
                      .end = v.doc->tape[v.at].a,
                      .doc = v.doc,
                      .object = pf_jtype(v) == PF_JSON_OBJECT};
}

bool pf_jiter_next(pf_jiter *it)
{
    if (it->next >= it->end)
        return false;
    if (it->object)
        it->key = string_at(it->doc, it->next++);
    it->value = (pf_jval){it->doc, it->next};
    it->next = after(it->doc, it->next);
    return true;
}

pf_jval pf_jget_s(pf_jval obj, pf_slice key)
{
    pf_jval found = {NULL, 0};
    if (pf_jtype(obj) != PF_JSON_OBJECT)
        return found;
    pf_jiter it = pf_jiter_of(obj);
    while (pf_jiter_next(&it))
        if (pf_slice_eq(it.key, key))
            found = it.value;
    return found;
}

pf_jval pf_jget(pf_jval obj, const char *key)
{
    return pf_jget_s(obj, pf_slice_of(key));
}
