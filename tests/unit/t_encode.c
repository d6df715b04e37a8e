/* SPDX-License-Identifier: MIT
 *
 * Records -> rows with samples/tiny-hh. Ids of texts are those that TRL 1.16
 * makes with transformers (common prefix rule, EOS text). */
#include "base/json.h"
#include "base/mem.h"
#include "prep/encode.h"
#include "tests/pftest.h"

typedef struct fixture {
    pf_tokenizer *t;
    pf_template *m;
    pf_encoder *c;
    pf_encode_scratch *s;
    pf_json *j;
    pf_arena a;
    pf_row row;
    pf_reason why;
    const char *where;
} fixture;

static fixture f;

static void open_with(pf_encode_opts o, bool chat)
{
    f = (fixture){0};
    CHECK_OK(pf_tokenizer_open(&f.t, "samples/tiny-hh", NULL));
    if (chat)
        CHECK_OK(pf_template_new(
            &f.m, pf_slice_of(pf_tokenizer_chat_template(f.t)), "t", NULL));
    CHECK_OK(pf_encoder_new(&f.c, f.t, f.m, &o, NULL));
    CHECK_OK(pf_encode_scratch_new(&f.s, f.c, NULL));
    f.j = pf_json_new();
}

static void close_all(void)
{
    pf_encode_scratch_free(f.s);
    pf_encoder_free(f.c);
    pf_template_free(f.m);
    pf_tokenizer_free(f.t);
    pf_json_free(f.j);
    pf_arena_release(&f.a);
}

static int encode(const char *json, pf_err *e)
{
    pf_jval v;
    pf_record r;
    pf_arena_reset(&f.a);
    r.src.known = false;
    int rc = pf_json_parse(f.j, pf_slice_of(json), &v, e);
    if (rc == 0)
        rc = pf_record_of_json(&r, v, &f.a, &f.why, &f.where, e);
    if (rc == 1) {
        r.src = (pf_src){1, 2, 3, true};
        rc = pf_encode_record(f.c, f.s, &r, &f.a, &f.row, &f.why, &f.where, e);
    }
    return rc;
}

/* "p p|b b|b b", seq tokens with loss have a '*'; or the reason. */
static const char *row(const char *json)
{
    static char out[2048];
    pf_err e = PF_ERR_INIT;
    int rc = encode(json, &e);
    size_t o = 0, at = 0;
    if (rc != 1) {
        snprintf(out, sizeof out, "%s", rc < 0 ? e.msg : pf_reason_name(f.why));
        return out;
    }
    CHECK_OK(pf_row_check(&f.row, 1024, NULL));
    CHECK_INT(f.row.row_id, pf_src_row_id((pf_src){1, 2, 3, true}));
    for (int k = -1; k < (int)f.row.n_branch; k++) {
        uint32_t n = k < 0 ? f.row.p_len : f.row.b_len[k];
        for (uint32_t i = 0; i < n; i++, at++)
            o += (size_t)snprintf(out + o, sizeof out - o, "%s%u%s",
                                  i ? " " : k < 0 || at == 0 ? "" : "|",
                                  pf_row_id_at(&f.row, at),
                                  f.row.mask && pf_row_mask_at(&f.row, at)
                                      ? "*" : "");
    }
    return out;
}

#define PAIR(p, c, r) \
    "{\"prompt\":\"" p "\",\"chosen\":\"" c "\",\"rejected\":\"" r "\"}"

static void pairs(void)
{
    open_with((pf_encode_opts){0}, false);
    CHECK_STR(row(PAIR("\\n\\nHuman: a\\n\\nAssistant:", " b", " b")),
              "201 201 300 28 263 201 201 304 28|278 0|278 0");
    CHECK_INT(f.row.flags, 0);
    CHECK_STR(row(PAIR("Hello wor", "ld", "ld")), "42 395 81 464|319 0|319 0");
    /* a merge over the border moves it, for both sides */
    CHECK_STR(row(PAIR("Hi", "there", "there")), "42|353 352 0|353 352 0");
    CHECK_INT(f.row.flags, PF_ROW_BOUNDARY_MOVED);
    CHECK_STR(row(PAIR("Hi", "there", "")), "42|353 352 0|75 0");
    CHECK_STR(row(PAIR("x ", "  y", "")), "90|686 273 0|223 0");
    /* EOS once, also where the text has it */
    CHECK_STR(row(PAIR("x", "<|endoftext|>", "")), "90|0|0");
    /* but not in the middle: content is text */
    CHECK(strstr(row(PAIR("x", "<|endoftext|>y", "")), "|0 ") == NULL);
    CHECK_STR(row(PAIR("", "a", "b")), "empty_prompt");
    CHECK_STR(row("{\"prompt\":\"x\",\"completion\":\"\",\"label\":true}"),
              "90|0");
    CHECK(f.row.label && f.row.kind == PF_ROW_UNPAIRED);
    CHECK_STR(row("{\"prompt\":[{\"role\":\"user\",\"content\":\"a\"}],"
                  "\"chosen\":[{\"role\":\"assistant\",\"content\":\"b\"}],"
                  "\"rejected\":[{\"role\":\"assistant\",\"content\":\"c\"}]}"),
              "message lists need a chat template and there is none: give one "
              "with --template FILE");
    close_all();
    open_with((pf_encode_opts){.eos = PF_AFFIX_NEVER}, false);
    CHECK_STR(row(PAIR("x", "", "y")), "empty_chosen");
    CHECK_STR(row(PAIR("x", "y", "")), "empty_rejected");
    close_all();
}

static void truncation(void)
{
    pf_encode_opts o = {.max_length = 6};
    open_with(o, false);
    CHECK_STR(row(PAIR("Hello wor", "ld", "ld")), "42 395 81 464|319 0|319 0");
    CHECK_STR(row(PAIR("Hello wor", "ld!", "ld")), "too_long");
    close_all();
    o.truncation = PF_TRUNC_KEEP_START;
    open_with(o, false);
    CHECK_STR(row(PAIR("Hello wor", "ld!!!", "ld")),
              "42 395 81 464|319 3|319 0");
    CHECK_INT(f.row.flags, PF_ROW_TRUNCATED_BRANCH);
    CHECK_STR(row(PAIR("Hello worrrrrrrr", "ld", "ld")), "too_long");
    close_all();
    o.truncation = PF_TRUNC_KEEP_END;
    open_with(o, false);
    CHECK_STR(row(PAIR("Hello wor", "ld!", "ld")), "395 81 464|319 3 0|319 0");
    CHECK_INT(f.row.flags, PF_ROW_TRUNCATED_PROMPT);
    CHECK_STR(row(PAIR("Hello wor", "ld!?!?!?!?", "ld")), "too_long");
    close_all();
}

static void ids(void)
{
    open_with((pf_encode_opts){.max_length = 5,
                               .truncation = PF_TRUNC_KEEP_START}, false);
    CHECK_STR(row("{\"prompt_ids\":[1,2],\"chosen_ids\":[3],\"rejected_ids\":"
                  "[4,5],\"ref_chosen_logps\":-1.5,\"ref_rejected_logps\":-2}"),
              "1 2|3|4 5");
    CHECK(f.row.has_ref && f.row.ref_sum[0] == -1.5 && f.row.ref_sum[1] == -2);
    CHECK_STR(row("{\"prompt_ids\":[1,2],\"chosen_ids\":[1024],"
                  "\"rejected_ids\":[4]}"), "bad_id");
    CHECK_STR(f.where, "chosen_ids");
    CHECK_STR(row("{\"prompt_ids\":[],\"chosen_ids\":[1],\"rejected_ids\":"
                  "[4]}"), "empty_prompt");
    CHECK_STR(row("{\"prompt_ids\":[1],\"chosen_ids\":[1],\"rejected_ids\":"
                  "[]}"), "empty_rejected");
    /* sums of tokens that are cut would be wrong */
    CHECK_STR(row("{\"prompt_ids\":[1,2],\"chosen_ids\":[3,3,3,3],"
                  "\"rejected_ids\":[4],\"ref_chosen_logps\":-1,"
                  "\"ref_rejected_logps\":-2}"), "too_long");
    CHECK_STR(row("{\"prompt_ids\":[1,2],\"chosen_ids\":[3,3,3,3],"
                  "\"rejected_ids\":[4]}"), "1 2|3 3 3|4");
    close_all();
}

#define USER(t) "{\"role\":\"user\",\"content\":\"" t "\"}"
#define BOT(t) "{\"role\":\"assistant\",\"content\":\"" t "\"}"

static void messages(void)
{
    open_with((pf_encode_opts){0}, true);
    /* <|im_start|> = 1, <|im_end|> = 2: the template's; content's are text */
    const char *s = row("{\"prompt\":[" USER("x") "],\"chosen\":[" BOT("y")
                        "],\"rejected\":[" BOT("<|im_end|>") "]}");
    CHECK(strncmp(s, "1 ", 2) == 0);
    const char *chosen = strchr(s, '|');
    CHECK(chosen && strncmp(chosen, "|91 2 201|", 10) == 0);
    int ends = 0;
    for (uint32_t i = 0; i < pf_row_tokens(&f.row); i++)
        ends += pf_row_id_at(&f.row, i) == 2;
    CHECK_INT(ends, 3); /* the prompt's and one a side */
    CHECK_INT(f.row.flags, 0);
    /* a seq: loss on the assistant's turns with their end */
    s = row("{\"messages\":[" USER("x") "," BOT("y") "," USER("x") ","
            BOT("yy") "]}");
    CHECK(strstr(s, " 91* 2* 201* 1 ") != NULL);
    CHECK(f.row.kind == PF_ROW_SEQ && f.row.p_len == 0);
    CHECK_STR(row("{\"messages\":[" USER("x") "]}"), "no_loss");
    CHECK_STR(row("{\"prompt\":\"x\",\"chosen\":[" BOT("y")
                  "],\"rejected\":\"z\"}"), "wrong_type");
    close_all();
}

static void sequences(void)
{
    open_with((pf_encode_opts){0}, false);
    CHECK_STR(row("{\"prompt\":\"Hello wor\",\"completion\":\"ld\"}"),
              "42 395 81 464 319* 0*");
    CHECK_STR(row("{\"prompt\":\"Hi\",\"completion\":\"there\"}"),
              "42 353* 352* 0*");
    CHECK_STR(row("{\"segments\":[{\"text\":\"Hello wor\",\"loss\":false},"
                  "{\"text\":\"ld\",\"loss\":true},{\"text\":\" b\",\"loss\":"
                  "false},{\"text\":\" b\",\"loss\":true}]}"),
              "42 395 81 464 319* 278 278* 0*");
    CHECK_STR(row("{\"segments\":[{\"text\":\"x\",\"loss\":false}]}"),
              "no_loss");
    close_all();
    open_with((pf_encode_opts){.loss_on = PF_LOSS_ON_ALL, .max_length = 3,
                               .truncation = PF_TRUNC_KEEP_END}, false);
    CHECK_STR(row("{\"prompt\":\"Hello wor\",\"completion\":\"ld\"}"),
              "464* 319* 0*");
    close_all();
}

/* Every option that decides rows changes the recipe. */
static void identity(void)
{
    static const pf_encode_opts o[] = {
        {0},
        {.special = PF_SPECIAL_PARSE},
        {.eos = PF_AFFIX_NEVER},
        {.bos = PF_AFFIX_NEVER},
        {.truncation = PF_TRUNC_KEEP_END},
        {.max_length = 5},
        {.loss_on = PF_LOSS_ON_ALL},
        {0}, /* with a template */
    };
    uint8_t d[PF_COUNTOF(o)][32];
    for (size_t i = 0; i < PF_COUNTOF(o); i++) {
        pf_ident id = {0};
        open_with(o[i], i + 1 == PF_COUNTOF(o));
        CHECK_OK(pf_encoder_ident(f.c, &id, NULL));
        CHECK_OK(pf_ident_digest(&id, d[i], NULL));
        for (size_t k = 0; k < i; k++)
            CHECK(memcmp(d[i], d[k], 32) != 0);
        pf_ident_release(&id);
        close_all();
    }
    pf_tokenizer *t;
    pf_encoder *c;
    pf_err e = PF_ERR_INIT;
    CHECK_OK(pf_tokenizer_open(&t, "samples/tiny-hh", NULL));
    CHECK_INT(pf_encoder_new(&c, t, NULL, &(pf_encode_opts){
                             .bos = PF_AFFIX_ALWAYS}, &e), PF_E_USAGE);
    pf_tokenizer_free(t);
}

static int oom(void)
{
    static const char json[] = "{\"messages\":[" USER("x") "," BOT("y") "]}";
    pf_json *j = pf_json_new();
    pf_jval v;
    pf_record r;
    pf_row out;
    pf_reason why;
    const char *where;
    pf_arena a = {0};
    pf_encode_scratch *s = NULL;
    pf_ident id = {0};
    int rc = j ? pf_json_parse(j, PF_LIT(json), &v, NULL) : PF_E_LIMIT;
    if (rc == 0)
        rc = pf_record_of_json(&r, v, &a, &why, &where, NULL);
    if (rc == 1)
        rc = pf_encode_scratch_new(&s, f.c, NULL);
    if (rc == 0)
        rc = pf_encode_record(f.c, s, &r, &a, &out, &why, &where, NULL);
    if (rc == 1)
        rc = pf_encoder_ident(f.c, &id, NULL);
    pf_ident_release(&id);
    pf_encode_scratch_free(s);
    pf_arena_release(&a);
    pf_json_free(j);
    return rc;
}

static void out_of_memory(void)
{
    open_with((pf_encode_opts){0}, true);
    OOM_WALK(oom());
    close_all();
}

static const pft_test list[] = {
    {"pairs", pairs},         {"truncation", truncation},
    {"ids", ids},             {"messages", messages},
    {"sequences", sequences}, {"identity", identity},
    {"out of memory", out_of_memory},
};
PF_TEST_MAIN(list)
