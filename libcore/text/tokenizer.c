/* SPDX-License-Identifier: MIT
 *
 * The tokenizer object: opening, what it knows, its digests. Encoding and
 * decoding are in tok_encode.c. */
#include "text/tok_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/mem.h"

enum { MAX_FILE = 1 << 28 };

void pf_tokenizer_free(pf_tokenizer *t)
{
    if (!t)
        return;
    pf_free(t->json);
    pf_free(t->config);
    pf_free(t->entry);
    pf_buf_release(&t->strings);
    pf_buf_release(&t->bytes);
    pf_map_free(t->by_string);
    pf_map_free(t->by_bytes);
    pf_bpe_release(&t->bpe);
    pf_free(t->added);
    pf_added_free(t->raw);
    pf_added_free(t->normal);
    pf_free(t->chat_template);
    pf_free(t);
}

/* --------------------------------------------------------------- digests */

static void put_num(pf_sha256 *s, uint64_t v)
{
    pf_sha256_update(s, &v, sizeof v);
}

static void put_str(pf_sha256 *s, const char *p, size_t n)
{
    put_num(s, n);
    pf_sha256_update(s, p, n);
}

static int cmp_merge(const void *a, const void *b)
{
    const pf_merge *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static int put_merges(pf_sha256 *s, const pf_bpe *b, pf_err *e)
{
    size_t n = 0;
    pf_merge *m = pf_calloc((size_t)b->mask + 1, sizeof *m);
    if (!m)
        return pf_err_nomem(e);
    for (size_t i = 0; i <= b->mask; i++)
        if (b->slot[i].rank != PF_BPE_NONE)
            m[n++] = b->slot[i];
    qsort(m, n, sizeof *m, cmp_merge);
    for (size_t i = 0; i < n; i++) /* the order, not gaps in the numbering */
        m[i].rank = (uint32_t)i;
    put_str(s, (const char *)m, n * sizeof *m);
    pf_free(m);
    return 0;
}

/* Versions of the two streams stand first: a change of meaning changes them. */
static int make_digests(pf_tokenizer *t, pf_err *e)
{
    pf_sha256 s;
    pf_sha256_init(&s);
    put_str(&s, "vocab 1", 7);
    for (size_t i = 0; i < t->n_entry; i++) {
        const pf_tok_entry *x = t->entry + i;
        put_num(&s, x->known);
        put_str(&s, t->bytes.p + x->byte, x->byte_n);
    }
    pf_sha256_final(&s, t->digest_vocab);

    pf_sha256_init(&s);
    put_str(&s, "byte-level bpe 1", 16);
    pf_sha256_update(&s, t->digest_vocab, sizeof t->digest_vocab);
    for (size_t i = 0; i < t->n_entry; i++)
        put_num(&s, (uint64_t)t->entry[i].special << 1 | t->entry[i].plain);
    put_str(&s, (const char *)t->bpe.byte_id, sizeof t->bpe.byte_id);
    put_num(&s, t->bpe.unk);
    put_num(&s, t->bpe.fuse_unk);
    put_num(&s, t->bpe.whole != NULL);
    put_num(&s, t->pretok.kind);
    put_num(&s, t->pretok.max_digits);
    put_num(&s, t->pretok.digits_apart);
    put_num(&s, (uint64_t)t->nfc << 1 | t->prefix_space);
    put_num(&s, t->n_added);
    for (size_t i = 0; i < t->n_added; i++) {
        const pf_added_token *a = t->added + i;
        put_str(&s, a->content.p, a->content.n);
        put_num(&s, a->id);
        put_num(&s, (unsigned)(a->single_word | a->lstrip << 1 |
                               a->rstrip << 2 | a->normalized << 3 |
                               a->special << 4));
    }
    put_str(&s, (const char *)t->prefix, t->n_prefix * sizeof *t->prefix);
    put_str(&s, (const char *)t->suffix, t->n_suffix * sizeof *t->suffix);
    int rc = put_merges(&s, &t->bpe, e);
    pf_sha256_final(&s, t->digest_all);
    return rc;
}

/* --------------------------------------------------------------- opening */

/* Takes json and config over, also when it fails. */
static int make(pf_tokenizer **out, char *json, size_t json_n, char *config,
                size_t config_n, char *tmpl, const char *name,
                const char *config_name, pf_err *e)
{
    pf_tokenizer *t = pf_calloc(1, sizeof *t);
    if (!t) {
        pf_free(json);
        pf_free(config);
        pf_free(tmpl);
        return pf_err_nomem(e);
    }
    t->json = json;
    t->json_n = json_n;
    t->config = config;
    t->config_n = config_n;
    t->chat_template = tmpl;
    t->bos = t->eos = -1;
    int rc = 0;
    t->by_string = pf_map_new(0x746f6b);
    if (!t->by_string)
        rc = pf_err_nomem(e);
    if (rc == 0)
        rc = pf_tok_load_json(t, (pf_slice){json, json_n}, name, e);
    if (rc == 0 && config_n)
        rc = pf_tok_load_config(t, (pf_slice){config, config_n}, config_name,
                                e);
    if (rc == 0)
        rc = make_digests(t, e);
    if (rc < 0) {
        pf_tokenizer_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

int pf_tokenizer_of_json(pf_tokenizer **out, pf_slice json, pf_slice config,
                         const char *name, pf_err *e)
{
    char *a = pf_memdup0(json.p, json.n);
    char *b = config.n ? pf_memdup0(config.p, config.n) : NULL;
    if (!a || (config.n && !b)) {
        pf_free(a);
        pf_free(b);
        return pf_err_nomem(e);
    }
    return make(out, a, json.n, b, config.n, NULL, name,
                "tokenizer_config.json", e);
}

/* Reads PREFIX + name, also as .zst or .gz: 1 read, 0 not there. *path gets
 * the name (allocated) when read. */
static int read_beside(const char *prefix, const char *name, char **data,
                       size_t *n, char **path, pf_err *e)
{
    static const char *const suffix[] = {"", ".zst", ".gz"};
    for (size_t i = 0; i < PF_COUNTOF(suffix); i++) {
        pf_buf b = {0};
        pf_buf_str(&b, prefix);
        pf_buf_str(&b, name);
        pf_buf_str(&b, suffix[i]);
        char *p = pf_buf_take(&b, NULL);
        if (!p)
            return pf_err_nomem(e);
        if (!pf_path_exists(p)) {
            pf_free(p);
            continue;
        }
        int rc = pf_read_file(p, MAX_FILE, data, n, e);
        if (rc < 0) {
            pf_free(p);
            return rc;
        }
        if (path)
            *path = p;
        else
            pf_free(p);
        return 1;
    }
    return 0;
}

/* "DIR/" for a directory; for DIR/X.json[.zst] the part DIR/X., or DIR/ when
 * the file is called tokenizer.json. Allocated. */
static char *siblings(const char *path, bool is_dir)
{
    pf_buf b = {0};
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    const char *ext = strstr(base, ".json");
    if (is_dir) {
        pf_buf_str(&b, path);
        pf_buf_char(&b, '/');
    } else if (!ext || strncmp(base, "tokenizer.json", 14) == 0) {
        pf_buf_add(&b, path, (size_t)(base - path));
    } else {
        pf_buf_add(&b, path, (size_t)(ext + 1 - path));
    }
    if (!b.p)
        pf_buf_str(&b, "");
    return pf_buf_take(&b, NULL);
}

/* eos_token_id of config.json: a number, or the first of a list. */
static int eos_of_model(pf_tokenizer *t, const char *prefix, pf_err *e)
{
    char *text = NULL;
    size_t n;
    pf_jval root;
    int rc = read_beside(prefix, "config.json", &text, &n, NULL, e);
    if (rc <= 0)
        return rc;
    pf_json *j = pf_json_new();
    rc = j ? pf_json_parse(j, (pf_slice){text, n}, &root, e) : pf_err_nomem(e);
    if (rc == 0) {
        int64_t id;
        pf_jval v = pf_jget(root, "eos_token_id");
        pf_jiter it = pf_jiter_of(v);
        if (pf_jtype(v) == PF_JSON_ARRAY && pf_jiter_next(&it))
            v = it.value;
        if (pf_ji64(v, &id) && id >= 0 && id < (int64_t)t->n_entry &&
            t->entry[id].known)
            t->eos = (int32_t)id;
    }
    pf_json_free(j);
    pf_free(text);
    return rc;
}

int pf_tokenizer_open(pf_tokenizer **out, const char *path, pf_err *e)
{
    char *json = NULL, *config = NULL, *tmpl = NULL, *pre = NULL;
    char *json_path = NULL, *config_path = NULL;
    size_t json_n = 0, config_n = 0, n;
    bool is_dir = pf_path_is_dir(path);
    int rc = PF_E_LIMIT;
    pre = siblings(path, is_dir);
    if (!pre) {
        rc = pf_err_nomem(e);
        goto done;
    }
    if (is_dir) {
        rc = read_beside(pre, "tokenizer.json", &json, &json_n, &json_path, e);
        if (rc == 0)
            rc = pf_err_pos(e, PF_E_IO, path, 0, -1,
                            "no tokenizer.json in this directory");
    } else {
        rc = pf_read_file(path, MAX_FILE, &json, &json_n, e);
    }
    if (rc < 0)
        goto done;
    rc = read_beside(pre, "tokenizer_config.json", &config, &config_n,
                     &config_path, e);
    if (rc >= 0)
        rc = read_beside(pre, "chat_template.jinja", &tmpl, &n, NULL, e);
    if (rc < 0)
        goto done;
    rc = make(out, json, json_n, config, config_n, tmpl,
              json_path ? json_path : path,
              config_path ? config_path : "tokenizer_config.json", e);
    json = config = tmpl = NULL;
    if (rc == 0 && (*out)->eos < 0 && is_dir) {
        rc = eos_of_model(*out, pre, e);
        if (rc < 0) {
            pf_tokenizer_free(*out);
            *out = NULL;
        }
    }
done:
    pf_free(json);
    pf_free(config);
    pf_free(tmpl);
    pf_free(pre);
    pf_free(json_path);
    pf_free(config_path);
    return rc < 0 ? rc : 0;
}

/* ----------------------------------------------------------- what it has */

pf_slice pf_tokenizer_json(const pf_tokenizer *t)
{
    return (pf_slice){t->json, t->json_n};
}

pf_slice pf_tokenizer_config_json(const pf_tokenizer *t)
{
    return (pf_slice){t->config, t->config_n};
}

uint32_t pf_tokenizer_vocab(const pf_tokenizer *t)
{
    return (uint32_t)t->n_entry;
}

int32_t pf_tokenizer_id(const pf_tokenizer *t, pf_slice content)
{
    const uint64_t *v = pf_map_get(t->by_string, content);
    return v ? (int32_t)*v : -1;
}

pf_slice pf_tokenizer_text(const pf_tokenizer *t, uint32_t id)
{
    if (id >= t->n_entry || !t->entry[id].known)
        return (pf_slice){NULL, 0};
    return pf_tok_string(t, id);
}

int32_t pf_tokenizer_bos(const pf_tokenizer *t)
{
    return t->bos;
}

int32_t pf_tokenizer_eos(const pf_tokenizer *t)
{
    return t->eos;
}

const uint32_t *pf_tokenizer_prefix(const pf_tokenizer *t, size_t *n)
{
    *n = t->n_prefix;
    return t->prefix;
}

const uint32_t *pf_tokenizer_suffix(const pf_tokenizer *t, size_t *n)
{
    *n = t->n_suffix;
    return t->suffix;
}

const char *pf_tokenizer_chat_template(const pf_tokenizer *t)
{
    return t->chat_template;
}

uint64_t pf_tokenizer_max_length(const pf_tokenizer *t)
{
    return t->max_length;
}

void pf_tokenizer_digest(const pf_tokenizer *t, uint8_t all[PF_SHA256_BYTES],
                         uint8_t vocab[PF_SHA256_BYTES])
{
    memcpy(all, t->digest_all, PF_SHA256_BYTES);
    memcpy(vocab, t->digest_vocab, PF_SHA256_BYTES);
}
