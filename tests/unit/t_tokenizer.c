/* SPDX-License-Identifier: MIT
 *
 * The tokenizer of samples/tiny-hh against vectors of Hugging Face tokenizers
 * 0.23.2, variants of its file for every flag, and files it must refuse. */
#include "base/io.h"
#include "base/json.h"
#include "base/lines.h"
#include "base/mem.h"
#include "tests/pftest.h"
#include "text/tokenizer.h"

#define DIR "samples/tiny-hh"

typedef struct fixture {
    pf_tokenizer *t;
    pf_tok_scratch *s;
    pf_idbuf ids;
} fixture;

static void fix(fixture *f, pf_tokenizer *t)
{
    *f = (fixture){.t = t};
    CHECK_OK(pf_tok_scratch_new(&f->s, t, NULL));
}

static void unfix(fixture *f)
{
    pf_tok_scratch_free(f->s);
    pf_tokenizer_free(f->t);
    pf_idbuf_release(&f->ids);
}

/* "1,2,3" */
static const char *encode(fixture *f, pf_slice text, pf_special special)
{
    static char out[4096];
    size_t o = 0;
    f->ids.n = 0;
    int rc = pf_tok_encode(f->t, f->s, text, special, &f->ids, NULL);
    CHECK_OK(rc);
    if (rc == 1)
        return "holds a special token";
    out[0] = 0;
    for (size_t i = 0; i < f->ids.n && o < sizeof out - 16; i++)
        o += (size_t)sprintf(out + o, i ? ",%u" : "%u", f->ids.id[i]);
    return out;
}

static void vectors(void)
{
    fixture f;
    pf_tokenizer *t = NULL;
    pf_reader *r;
    pf_lines *l;
    pf_line line;
    pf_err e = PF_ERR_INIT;
    char msg[600];
    CHECK_OK(pf_tokenizer_open(&t, DIR, &e));
    if (!t) {
        printf("# %s\n", pf_err_text(&e, msg, sizeof msg));
        return;
    }
    fix(&f, t);
    CHECK_OK(pf_reader_open(&r, "tests/diff/tiny-hh.vec", NULL));
    CHECK_OK(pf_lines_new(&l, r, 1 << 20, NULL));
    pf_json *j = pf_json_new();
    int n = 0, k = 0;
    pf_buf back = {0}, text = {0};
    while (pf_lines_next(l, &line, NULL) == 1) {
        pf_jval v;
        if (line.text.n && line.text.p[0] == '#')
            continue;
        CHECK_OK(pf_json_parse(j, line.text, &v, NULL));
        if (n++ % 2 == 0) {
            pf_slice s = pf_jstr(v);
            pf_buf_clear(&text);
            pf_buf_add(&text, s.p, s.n);
            f.ids.n = 0;
            CHECK_OK(pf_tok_encode(t, f.s, s, PF_SPECIAL_PARSE, &f.ids, NULL));
            continue;
        }
        bool same = pf_jcount(v) == f.ids.n;
        pf_jiter it = pf_jiter_of(v);
        for (size_t i = 0; same && pf_jiter_next(&it); i++) {
            int64_t id;
            same = pf_ji64(it.value, &id) && id == (int64_t)f.ids.id[i];
        }
        if (!same) {
            printf("# vector %d: %.*s\n", n / 2, (int)PF_MIN(text.n, 80u),
                   text.p);
            pft_failures++;
        }
        pf_buf_clear(&back);
        CHECK_OK(pf_tok_decode(t, f.ids.id, f.ids.n, false, &back, NULL));
        CHECK(pf_slice_eq(pf_buf_slice(&back), pf_buf_slice(&text)));
        k++;
    }
    CHECK_INT(k, 200);
    pf_buf_release(&back);
    pf_buf_release(&text);
    pf_json_free(j);
    pf_lines_free(l);
    pf_reader_close(r);
    unfix(&f);
}

static void facts(void)
{
    pf_tokenizer *t = NULL;
    size_t n;
    CHECK_OK(pf_tokenizer_open(&t, DIR "/tokenizer.json", NULL));
    CHECK_INT(pf_tokenizer_vocab(t), 1024);
    CHECK_INT(pf_tokenizer_eos(t), 0);
    CHECK_INT(pf_tokenizer_bos(t), -1);
    CHECK_INT(pf_tokenizer_max_length(t), 1024);
    CHECK_INT(pf_tokenizer_id(t, PF_LIT("<|im_end|>")), 2);
    CHECK_INT(pf_tokenizer_id(t, PF_LIT("nope nope")), -1);
    CHECK(pf_tokenizer_chat_template(t) != NULL);
    (void)pf_tokenizer_prefix(t, &n);
    CHECK_INT(n, 0);
    pf_slice b = pf_tok_bytes(t, 223);
    CHECK(pf_slice_is(b, " "));
    CHECK(pf_tok_bytes(t, 5000).p == NULL);
    /* one byte of a character alone, and one in an invalid place */
    pf_buf out = {0};
    uint32_t id[] = {139, 68};
    CHECK_OK(pf_tok_decode(t, id, 2, false, &out, NULL));
    CHECK_STR(out.p, "\xef\xbf\xbd" "b");
    pf_buf_clear(&out);
    uint32_t special[] = {2, 68};
    CHECK_OK(pf_tok_decode(t, special, 2, true, &out, NULL));
    CHECK_STR(out.p, "b");
    id[0] = 1024;
    CHECK_INT(pf_tok_decode(t, id, 1, false, &out, NULL), PF_E_FORMAT);
    pf_buf_release(&out);
    pf_tokenizer_free(t);
}

/* The file with the first occurrence of each from[i] replaced by to[i]. */
static int variant(pf_tokenizer **out, const char *const *swap, size_t n,
                   pf_err *e)
{
    char *s;
    size_t len;
    int rc = pf_read_file(DIR "/tokenizer.json", 1 << 20, &s, &len, e);
    for (size_t i = 0; i < n && rc == 0; i += 2) {
        pf_buf b = {0};
        ptrdiff_t k =
            pf_slice_find((pf_slice){s, len}, pf_slice_of(swap[i]));
        if (k < 0) {
            printf("# not in the file: %s\n", swap[i]);
            pft_failures++;
            break;
        }
        size_t end = (size_t)k + strlen(swap[i]);
        pf_buf_add(&b, s, (size_t)k);
        pf_buf_str(&b, swap[i + 1]);
        pf_buf_add(&b, s + end, len - end);
        pf_free(s);
        s = pf_buf_take(&b, &len);
        rc = s ? 0 : pf_err_nomem(e);
    }
    if (rc == 0)
        rc = pf_tokenizer_of_json(out, (pf_slice){s, len},
                                  (pf_slice){NULL, 0}, "t.json", e);
    pf_free(s);
    return rc;
}

#define TOKEN(content, single, l, r, norm, special)                        \
    "{\"id\":0,\"content\":\"" content "\",\"single_word\":" #single       \
    ",\"lstrip\":" #l ",\"rstrip\":" #r ",\"normalized\":" #norm           \
    ",\"special\":" #special "},"

static const char *const added[] = {
    "\"added_tokens\": [",
    "\"added_tokens\": [" TOKEN("<m>", false, true, true, false, true)
        TOKEN("<w>", true, false, false, false, false)
            TOKEN("  ", false, false, false, true, false)
                TOKEN("\u00e9", false, false, false, true, false)
                    TOKEN("<mm>", false, false, false, false, true)
                        TOKEN("the", false, false, false, false, false)
                            TOKEN("<r>", false, false, true, false, true)
                                TOKEN(" <q>", false, false, false, false,
                                      false),
    "\"normalizer\": null", "\"normalizer\": {\"type\":\"NFC\"}"};

static void added_tokens(void)
{
    /* ids of Hugging Face tokenizers for the same file */
    static const char *const want[][2] = {
        {"a  <m>  b", "67,1024,68"},
        {"a<w>b <w> c<w>", "67,30,89,32,68,223,1025,275,30,89,32"},
        {"x   y    z", "90,1026,273,1026,1026,92"},
        {"e\u0301z \u00e9", "168,92,223,168"},
        {"<m> <m>", "1024,1024"},
        {"<w>", "1025"},
        {"\u00e9<w>", "168,30,89,32"},
        {"<mm><m>m>", "1027,1024,79,32"},
        {"<|im_end|> the<r>   x", "2,223,1028,1029,90"},
        {"<r>   <m>y", "1029,1024,91"},
        {"<r>  <q> z", "1029,1030,223,92"},
        {"then", "1028,80"},
        {"a<m>\u0301b", "67,1024,139,226,68"},
    };
    fixture f;
    pf_tokenizer *t = NULL;
    CHECK_OK(variant(&t, added, PF_COUNTOF(added), NULL));
    if (!t)
        return;
    fix(&f, t);
    for (size_t i = 0; i < PF_COUNTOF(want); i++)
        CHECK_STR(encode(&f, pf_slice_of(want[i][0]), PF_SPECIAL_PARSE),
                  want[i][1]);
    unfix(&f);
}

/* Content never becomes a special token unless it is asked for. */
static void injection(void)
{
    static const char *const all[] = {"<m>", "<w>", "\u00e9", "<mm>", "the",
                                      "<r>", " <q>", "<|im_end|>"};
    fixture f;
    pf_tokenizer *t = NULL;
    pf_buf back = {0};
    CHECK_OK(variant(&t, added, PF_COUNTOF(added), NULL));
    if (!t)
        return;
    fix(&f, t);
    for (size_t i = 0; i < PF_COUNTOF(all); i++) {
        pf_slice s = pf_slice_of(all[i]);
        (void)encode(&f, s, PF_SPECIAL_NONE);
        for (size_t k = 0; k < f.ids.n; k++)
            CHECK(f.ids.id[k] > 2 && f.ids.id[k] < 1024);
        pf_buf_clear(&back);
        CHECK_OK(pf_tok_decode(t, f.ids.id, f.ids.n, false, &back, NULL));
        CHECK(pf_slice_eq(pf_buf_slice(&back), s));
        CHECK_STR(encode(&f, s, PF_SPECIAL_ERROR), "holds a special token");
    }
    CHECK_STR(encode(&f, PF_LIT("<mm>the"), PF_SPECIAL_NONSPECIAL),
              "30,79,79,32,1028");
    /* runs of white space are ordinary vocabulary */
    CHECK_STR(encode(&f, PF_LIT("x   y"), PF_SPECIAL_NONE), "90,1026,273");
    CHECK_STR(encode(&f, PF_LIT("x   y"), PF_SPECIAL_ERROR), "90,1026,273");
    pf_buf_release(&back);
    unfix(&f);
}

static void spans(void)
{
    fixture f;
    pf_tokenizer *t = NULL;
    pf_slice text = PF_LIT("<|im_end|>a<|im_end|>");
    pf_tok_span sp[] = {{0, 10, PF_SPECIAL_PARSE}, {10, 21, PF_SPECIAL_NONE}};
    CHECK_OK(pf_tokenizer_open(&t, DIR, NULL));
    if (!t)
        return;
    fix(&f, t);
    CHECK_OK(pf_tok_encode_spans(t, f.s, text, sp, 2, &f.ids, NULL));
    CHECK(f.ids.n > 3 && f.ids.id[0] == 2 && f.ids.id[f.ids.n - 1] != 2);
    /* a token over two spans that allow it, and half in one that does not */
    sp[0].end = sp[1].start = 4;
    sp[1].special = PF_SPECIAL_PARSE;
    f.ids.n = 0;
    CHECK_OK(pf_tok_encode_spans(t, f.s, text, sp, 2, &f.ids, NULL));
    CHECK_INT(f.ids.n, 3);
    sp[1].special = PF_SPECIAL_NONE;
    f.ids.n = 0;
    CHECK_OK(pf_tok_encode_spans(t, f.s, text, sp, 2, &f.ids, NULL));
    for (size_t i = 0; i < f.ids.n; i++)
        CHECK(f.ids.id[i] != 2);
    CHECK_INT(pf_tok_encode(t, f.s, PF_LIT("ab\xff"), PF_SPECIAL_NONE, &f.ids,
                            NULL), PF_E_FORMAT);
    unfix(&f);
}

static void processors(void)
{
    static const char *const swap[] = {
        "\"post_processor\": null",
        "\"post_processor\": {\"type\":\"Sequence\",\"processors\":["
        "{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\",\"single\":"
        "[{\"SpecialToken\":{\"id\":\"s\",\"type_id\":0}},{\"Sequence\":"
        "{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"t\"}}],"
        "\"special_tokens\":{\"s\":{\"id\":\"s\",\"ids\":[1,2]},\"t\":"
        "{\"id\":\"t\",\"ids\":[0]}}},{\"type\":\"RobertaProcessing\","
        "\"cls\":[\"c\",7],\"sep\":[\"d\",8]}]}"};
    pf_tokenizer *t = NULL;
    size_t n;
    CHECK_OK(variant(&t, swap, 2, NULL));
    if (!t)
        return;
    const uint32_t *p = pf_tokenizer_prefix(t, &n);
    CHECK_INT(n, 3);
    CHECK(p[0] == 7 && p[1] == 1 && p[2] == 2);
    p = pf_tokenizer_suffix(t, &n);
    CHECK_INT(n, 2);
    CHECK(p[0] == 0 && p[1] == 8);
    pf_tokenizer_free(t);
}

static void refusals(void)
{
    static const char *const bad[][3] = {
        {"\"type\": \"BPE\"", "\"type\": \"Unigram\"", "model.type"},
        {"\"dropout\": null", "\"dropout\": 0.1", "model.dropout"},
        {"\"end_of_word_suffix\": null", "\"end_of_word_suffix\": \"</w>\"",
         "model.end_of_word_suffix"},
        {"\"normalizer\": null", "\"normalizer\": {\"type\":\"Lowercase\"}",
         "normalizer"},
        {"\"use_regex\": true", "\"use_regex\": false", "pre_tokenizer"},
        {"\"pre_tokenizer\": {",
         "\"pre_tokenizer\": {\"type\":\"Sequence\",\"pretokenizers\":[{"
         "\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\d\"},\"behavior\":"
         "\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\"}]},\"x\":{",
         "pre_tokenizer.pretokenizers[0]"},
        {"\"post_processor\": null", "\"post_processor\": {\"type\":\"X\"}",
         "post_processor"},
        {"\"decoder\": {", "\"decoder\": {\"type\":\"Fuse\"},\"y\":{",
         "decoder"},
        {"\"<|im_start|>\",", "\"\",", "added_tokens[1]"},
    };
    for (size_t i = 0; i < PF_COUNTOF(bad); i++) {
        pf_tokenizer *t = NULL;
        pf_err e = PF_ERR_INIT;
        CHECK_INT(variant(&t, bad[i], 2, &e), PF_E_USAGE);
        CHECK(strncmp(e.msg, bad[i][2], strlen(bad[i][2])) == 0);
        if (strncmp(e.msg, bad[i][2], strlen(bad[i][2])) != 0)
            printf("# %s\n", e.msg);
        CHECK_STR(e.file, "t.json");
    }
}

static void damage(void)
{
    static const char *const bad[][2] = {
        {"\"!\": 3", "\"!\": 4"},       {"\"!\": 3", "\"!\": -1"},
        {"\"!\": 3", "\"!\": 4000000000"}, {"\"vocab\": {", "\"vocab\": 3, \"z\": {"},
        {"\"merges\": [", "\"merges\": [\"zz zzz\","},
        {"\"merges\": [", "\"merges\": [[\"a\"],"},
        {"\"merges\": [", "\"merges\": [7,"}, {"{", "["},
    };
    for (size_t i = 0; i < PF_COUNTOF(bad); i++) {
        pf_tokenizer *t = NULL;
        int rc = variant(&t, bad[i], 2, NULL);
        CHECK(rc == PF_E_FORMAT || rc == PF_E_USAGE);
        pf_tokenizer_free(rc < 0 ? NULL : t);
    }
    pf_tokenizer *t = NULL;
    CHECK_INT(pf_tokenizer_open(&t, "samples/nowhere", NULL), PF_E_IO);
    CHECK_INT(pf_tokenizer_open(&t, "samples", NULL), PF_E_IO);
    CHECK_INT(pf_tokenizer_of_json(&t, PF_LIT("{}"), (pf_slice){NULL, 0}, "x",
                                   NULL), PF_E_FORMAT);
}

static void digests(void)
{
    uint8_t all[2][32], vocab[2][32];
    static const char *const swap[][2] = {
        {"\"normalizer\": null", "\"normalizer\": {\"type\":\"NFC\"}"},
        {"\"lstrip\": false", "\"lstrip\": true"},
        {"\"ignore_merges\": false", "\"ignore_merges\": true"},
        {"\"add_prefix_space\": false", "\"add_prefix_space\": true"},
    };
    pf_tokenizer *t = NULL;
    CHECK_OK(variant(&t, NULL, 0, NULL));
    pf_tokenizer_digest(t, all[0], vocab[0]);
    pf_tokenizer_free(t);
    for (size_t i = 0; i < PF_COUNTOF(swap); i++) {
        CHECK_OK(variant(&t, swap[i], 2, NULL));
        pf_tokenizer_digest(t, all[1], vocab[1]);
        CHECK(memcmp(all[0], all[1], 32) != 0);
        CHECK(memcmp(vocab[0], vocab[1], 32) == 0);
        pf_tokenizer_free(t);
    }
    /* how a file is written does not count */
    CHECK_OK(variant(&t, (const char *const[]){"{", "{ \"padding\": null,"},
                     2, NULL));
    pf_tokenizer_digest(t, all[1], vocab[1]);
    CHECK(memcmp(all[0], all[1], 32) == 0);
    pf_tokenizer_free(t);
}

static int oom(void)
{
    pf_tokenizer *t = NULL;
    int rc = pf_tokenizer_open(&t, DIR, NULL);
    pf_tokenizer_free(rc == 0 ? t : NULL);
    return rc;
}

static int oom_encode(void)
{
    static pf_tokenizer *t;
    if (!t) {
        pf_mem_fail_at(0, false);
        CHECK_OK(variant(&t, added, PF_COUNTOF(added), NULL));
        pf_mem_fail_at(1, false);
    }
    pf_tok_scratch *s = NULL;
    pf_idbuf ids = {0};
    pf_buf out = {0};
    int rc = pf_tok_scratch_new(&s, t, NULL);
    if (rc == 0)
        rc = pf_tok_encode(t, s, PF_LIT("abc e\u0301 <m> aaaaaaaaaaaaaaaaaaaa"
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                           PF_SPECIAL_PARSE, &ids, NULL);
    if (rc == 0)
        rc = pf_tok_decode(t, ids.id, ids.n, false, &out, NULL);
    pf_buf_release(&out);
    pf_idbuf_release(&ids);
    pf_tok_scratch_free(s);
    return rc;
}

static void out_of_memory(void)
{
    OOM_WALK(oom());
    OOM_WALK(oom_encode());
}

static const pft_test list[] = {
    {"vectors of Hugging Face", vectors},
    {"facts", facts},
    {"added tokens", added_tokens},
    {"content is no special token", injection},
    {"spans", spans},
    {"post-processors", processors},
    {"refusals name the path", refusals},
    {"damaged files", damage},
    {"digests", digests},
    {"out of memory", out_of_memory},
};
PF_TEST_MAIN(list)
