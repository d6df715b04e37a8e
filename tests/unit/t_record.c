/* SPDX-License-Identifier: MIT */
#include "data/record.h"
#include "prep/transcript.h"
#include "tests/pftest.h"

typedef struct bench {
    pf_json *json;
    pf_arena arena;
    pf_buf out, scratch;
    pf_record r;
    pf_reason why;
    const char *where;
} bench;

static void bench_release(bench *b)
{
    pf_json_free(b->json);
    pf_arena_release(&b->arena);
    pf_buf_release(&b->out);
    pf_buf_release(&b->scratch);
}

/* Reads text as a record; then the rules, when it has the shape of one. */
static int load(bench *b, const char *text, pf_err *e)
{
    pf_jval v;
    b->json = b->json ? b->json : pf_json_new();
    if (!b->json)
        return pf_err_nomem(e);
    int rc = pf_json_parse(b->json, pf_slice_of(text), &v, e);
    if (rc < 0)
        return rc;
    rc = pf_record_of_json(&b->r, v, &b->arena, &b->why, &b->where, e);
    if (rc == 1) {
        b->why = pf_record_check(&b->r, &b->where);
        rc = b->why ? 2 : 1;
    }
    return rc;
}

static void same(const char *text, const char *want)
{
    bench b = {0};
    CHECK_INT(load(&b, text, NULL), 1);
    pf_record_to_json(&b.r, &b.out);
    CHECK_STR(b.out.p, want);
    bench_release(&b);
}

static void rejected(const char *text, pf_reason why, const char *where)
{
    bench b = {0};
    CHECK_INT(load(&b, text, NULL), 2);
    if (b.why != why)
        printf("# %s: %s\n", text, pf_reason_name(b.why));
    CHECK_INT(b.why, why);
    CHECK_STR(b.where ? b.where : "-", where);
    bench_release(&b);
}

static void test_kinds(void)
{
    same("{\"rejected\": \"c\", \"_src\":\"3:99:1\", \"chosen\":\"b\\n\", "
         "\"prompt\":\"a\\\"\\u00e9\", \"x\":1, \"meta\": {\"k\": [1, 2]}, "
         "\"score_chosen\": 1.50, \"id\": \"7\"}",
         "{\"_src\":\"3:99:1\",\"id\":\"7\",\"prompt\":\"a\\\"\xc3\xa9\","
         "\"chosen\":\"b\\n\",\"rejected\":\"c\",\"score_chosen\":1.50,"
         "\"meta\":{\"k\": [1, 2]}}");
    same("{\"prompt\":\"a\",\"completion\":\"b\"}",
         "{\"prompt\":\"a\",\"completion\":\"b\"}");
    same("{\"prompt\":\"a\",\"completion\":\"b\",\"label\":false}",
         "{\"prompt\":\"a\",\"completion\":\"b\",\"label\":false}");
    same("{\"segments\":[{\"text\":\"a\",\"loss\":false},{\"loss\":true,"
         "\"text\":\"b\"}]}",
         "{\"segments\":[{\"text\":\"a\",\"loss\":false},{\"text\":\"b\","
         "\"loss\":true}]}");
    same("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"tool_calls\":[1]}]}",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"tool_calls\":[1]}]}");
    same("{\"prompt_ids\":[1,2],\"chosen_ids\":[3],\"rejected_ids\":[4,5],"
         "\"ref_chosen_logps\":-1.5,\"ref_rejected_logps\":-2e1}",
         "{\"prompt_ids\":[1,2],\"chosen_ids\":[3],\"rejected_ids\":[4,5],"
         "\"ref_chosen_logps\":-1.5,\"ref_rejected_logps\":-20.0}");
    same("{\"prompt\":\"only\"}", "{\"prompt\":\"only\"}");
    same("{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\","
         "\"completion\":null,\"label\":null}",
         "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}");
}

#define U(t) "{\"role\":\"user\",\"content\":\"" t "\"}"
#define A(t) "{\"role\":\"assistant\",\"content\":\"" t "\"}"

static void test_conversations(void)
{
    /* the common beginning is the prompt; a string prompt beside lists is
     * not used */
    same("{\"chosen\":[" U("q") "," A("x") "],\"rejected\":[{\"content\":"
         "\"\\u0071\", \"role\":\"user\"}," A("y") "]}",
         "{\"prompt\":[" U("q") "],\"chosen\":[" A("x") "],\"rejected\":["
         A("y") "]}");
    same("{\"prompt\":\"q\",\"chosen\":[" U("q") "," A("x") "],\"rejected\":["
         U("q") "," A("y") "]}",
         "{\"prompt\":[" U("q") "],\"chosen\":[" A("x") "],\"rejected\":["
         A("y") "]}");
    rejected("{\"chosen\":[" U("q") "," A("x") "],\"rejected\":[" U("p") ","
             A("y") "]}", PF_REASON_PROMPT_MISMATCH, "rejected");
    rejected("{\"chosen\":[" U("q") "," A("x") "],\"rejected\":[" U("q") ","
             A("x") "," U("r") "]}", PF_REASON_EMPTY_CHOSEN, "chosen");
    rejected("{\"chosen\":[" U("q") "," A("x") "," U("z") "],\"rejected\":["
             U("q") "," A("y") "]}", PF_REASON_LAST_NOT_ASSISTANT, "chosen");
}

static void test_rejects(void)
{
    rejected("[1]", PF_REASON_NOT_AN_OBJECT, "-");
    rejected("{}", PF_REASON_MISSING_FIELD, "prompt");
    rejected("{\"chosen\":\"a\",\"rejected\":\"b\"}", PF_REASON_MISSING_FIELD,
             "prompt");
    rejected("{\"prompt\":\"a\",\"chosen\":\"b\"}", PF_REASON_MISSING_FIELD,
             "rejected");
    rejected("{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":1}",
             PF_REASON_WRONG_TYPE, "rejected");
    rejected("{\"prompt\":\"a\",\"chosen\":[],\"rejected\":\"x\"}",
             PF_REASON_WRONG_TYPE, "rejected");
    rejected("{\"prompt\":\"a\",\"chosen\":\" \\n\",\"rejected\":\"x\"}",
             PF_REASON_EMPTY_CHOSEN, "chosen");
    rejected("{\"prompt\":\"\",\"chosen\":\"a\",\"rejected\":\"x\"}",
             PF_REASON_EMPTY_PROMPT, "prompt");
    rejected("{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"\\u0061\"}",
             PF_REASON_IDENTICAL_PAIR, "rejected");
    rejected("{\"prompt\":\"a\",\"completion\":\"b\",\"label\":1}",
             PF_REASON_WRONG_TYPE, "label");
    rejected("{\"_src\":\"1:2\",\"prompt\":\"a\"}", PF_REASON_WRONG_TYPE,
             "_src");
    rejected("{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[-1]}",
             PF_REASON_BAD_ID, "rejected_ids");
    rejected("{\"prompt_ids\":[1],\"chosen_ids\":[2.5],\"rejected_ids\":[1]}",
             PF_REASON_WRONG_TYPE, "chosen_ids");
    rejected("{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[1],"
             "\"ref_chosen_logps\":-1}", PF_REASON_MISSING_FIELD,
             "ref_rejected_logps");
    rejected("{\"messages\":[{\"role\":1}]}", PF_REASON_WRONG_TYPE,
             "messages");
    rejected("{\"segments\":[{\"text\":\"a\",\"loss\":false}]}",
             PF_REASON_NO_LOSS, "segments");
}

static void test_src(void)
{
    pf_src s;
    char buf[40];
    CHECK(pf_src_parse(PF_LIT("4095:1099511627775:4095"), &s));
    CHECK(pf_src_row_id(s) == UINT64_MAX);
    pf_src t = pf_src_of_row_id(pf_src_row_id(s));
    pf_src_text(t, buf);
    CHECK_STR(buf, "4095:1099511627775:4095");
    CHECK(pf_src_parse(PF_LIT("0:0:0"), &s) && pf_src_row_id(s) == 0);
    static const char *const bad[] = {
        "", "0", "0:0", "0:0:", "0:0:0:", "4096:0:0", "0:1099511627776:0",
        "0:0:4096", "01:0:0", "-1:0:0", " 0:0:0", "0:0:0 ",
        "0:99999999999999999999:0",
    };
    for (size_t i = 0; i < PF_COUNTOF(bad); i++)
        CHECK(!pf_src_parse(pf_slice_of(bad[i]), &s));
}

static void test_raw_plain(void)
{
    static const struct {
        const char *json;
        bool plain;
    } t[] = {
        {"\"a\\n\\\\u\\\"\"", true}, {"\"\\\\\\u0041\"", false},
        {"\"\\/\"", false},           {"\"\"", true},
        {"\"abc\"", true},            {"1", false},
    };
    pf_json *j = pf_json_new();
    for (size_t i = 0; i < PF_COUNTOF(t); i++) {
        pf_jval v;
        CHECK_OK(pf_json_parse(j, pf_slice_of(t[i].json), &v, NULL));
        CHECK_INT(pf_jplain(v), t[i].plain);
    }
    pf_json_free(j);
}

static void to_messages(const char *text, const char *want)
{
    bench b = {0};
    CHECK_INT(load(&b, text, NULL), 1);
    CHECK_INT(pf_record_to_messages(&b.r, &b.arena, &b.scratch, &b.why,
                                    &b.where, NULL), 1);
    pf_record_to_json(&b.r, &b.out);
    CHECK_STR(b.out.p, want);
    bench_release(&b);
}

static void test_messages(void)
{
    to_messages("{\"prompt\":\"\\n\\nHuman: a \\\"b\\\"\\n\\nAssistant: c\\n"
                "\\nHuman: d\\n\\nAssistant:\",\"chosen\":\" x\",\"rejected\":"
                "\" y\\n\"}",
                "{\"prompt\":[" U("a \\\"b\\\"") "," A("c") "," U("d")
                "],\"chosen\":[" A("x") "],\"rejected\":[" A("y") "]}");
    /* two turns of one side stay two; a role name inside a turn is text */
    to_messages("{\"prompt\":\"Human: a\\nHuman: b\\n\\nAssistant: c\\n\\n"
                "Assistant:\",\"completion\":\" x\"}",
                "{\"prompt\":[" U("a\\nHuman: b") "," A("c")
                "],\"completion\":[" A("x") "]}");
    to_messages("{\"prompt\":\"plain\",\"chosen\":\"x\",\"rejected\":\"y\"}",
                "{\"prompt\":[" U("plain") "],\"chosen\":[" A("x")
                "],\"rejected\":[" A("y") "]}");
    bench b = {0};
    CHECK_INT(load(&b, "{\"prompt\":\"pre\\n\\nHuman: a\\n\\nAssistant:\","
                       "\"completion\":\"x\"}", NULL), 1);
    CHECK_INT(pf_record_to_messages(&b.r, &b.arena, &b.scratch, &b.why,
                                    &b.where, NULL), 2);
    CHECK_INT(b.why, PF_REASON_NO_MARKER);
    bench_release(&b);
}

static int walk(const char *text)
{
    bench b = {0};
    int rc = load(&b, text, NULL);
    if (rc == 1)
        rc = pf_record_to_messages(&b.r, &b.arena, &b.scratch, &b.why,
                                   &b.where, NULL);
    if (rc == 1) {
        pf_record_to_json(&b.r, &b.out);
        rc = pf_buf_failed(&b.out) ? PF_E_LIMIT : 1;
    }
    bench_release(&b);
    return rc;
}

static void test_oom(void)
{
    OOM_WALK(walk("{\"prompt\":\"\\n\\nHuman: a\\n\\nAssistant:\",\"chosen\":"
                  "\" x\\u0041\",\"rejected\":\" y\"}"));
    OOM_WALK(walk("{\"chosen\":[" U("q") "," A("x") "],\"rejected\":[" U("q")
                  "," A("y\\n") "]}"));
    OOM_WALK(walk("{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":"
                  "[1]}"));
    OOM_WALK(walk("{\"segments\":[{\"text\":\"a\\n\",\"loss\":true}]}"));
}

static const pft_test tests[] = {
    {"kinds", test_kinds},
    {"conversations", test_conversations},
    {"rejects", test_rejects},
    {"_src", test_src},
    {"raw text", test_raw_plain},
    {"transcripts to messages", test_messages},
    {"out of memory", test_oom},
};
PF_TEST_MAIN(tests)
