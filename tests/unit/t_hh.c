/* SPDX-License-Identifier: MIT */
#include "base/hash.h"
#include "formats/source.h"
#include "tests/pftest.h"

static pf_json *json;
static pf_arena arena;

static int convert(pf_record *r, pf_slice line, pf_reason *why,
                   const char **where)
{
    pf_jval v;
    CHECK_OK(pf_json_parse(json, line, &v, NULL));
    pf_arena_reset(&arena);
    *where = NULL;
    return pf_format_find("hh-rlhf")->convert(r, v, &arena, why, where, NULL);
}

/* "reason field", or the record. */
static void expect(const char *line, const char *want)
{
    pf_record r;
    pf_reason why;
    const char *where;
    pf_buf b = {0};
    if (convert(&r, pf_slice_of(line), &why, &where) == 1)
        pf_record_to_json(&r, &b);
    else
        pf_buf_printf(&b, "%s %s", pf_reason_name(why), where);
    CHECK_STR(b.p, want);
    pf_buf_release(&b);
}

#define ROW(c, r) "{\"chosen\": \"" c "\", \"rejected\": \"" r "\"}"
#define REC(p, c, r) \
    "{\"prompt\":\"" p "\",\"chosen\":\"" c "\",\"rejected\":\"" r "\"}"
#define Q "\\n\\nHuman: q"
#define A "\\n\\nAssistant:"

static void test_rows(void)
{
    expect(ROW(Q A " x", Q A " y"), REC(Q A, " x", " y"));
    expect(ROW(Q A " a" Q A " x", Q A " a" Q A " y"),
           REC(Q A " a" Q A, " x", " y"));
    /* the reply may hold what looks like a marker */
    expect(ROW(Q A " Human: x", Q A " \\nAssistant: y"),
           REC(Q A, " Human: x", " \\nAssistant: y"));
    expect(ROW(Q A " x\\n\\nHuman", Q A " y"),
           REC(Q A, " x\\n\\nHuman", " y"));
    expect(ROW(Q A " ", Q A " y"), "empty_chosen chosen");
    expect(ROW(Q A " x", Q A ""), "empty_rejected rejected");
    expect(ROW(Q A " x", Q A " x"), "identical_pair rejected");
    expect(ROW(Q A " x" A " z", Q A " x"), "prompt_mismatch rejected");
    expect(ROW(Q A " x" Q, Q A " y"), "last_not_assistant chosen");
    expect(ROW("Human: q\\n\\nassistant: x", Q A " y"), "no_marker chosen");
    expect(ROW(Q A " x", "y"), "no_marker rejected");
    expect("{\"chosen\":\"a\"}", "no_marker chosen");
    expect("{\"rejected\":\"a\"}", "missing_field chosen");
    expect("{\"chosen\":1,\"rejected\":\"a\"}", "wrong_type chosen");
    /* of a repeated key the last counts, as in Python */
    expect("{\"chosen\":1,\"chosen\":\"" Q A " x\",\"rejected\":\"" Q A
           " y\"}", REC(Q A, " x", " y"));
}

/* Escapes: what the source wrote in another way comes out in ours, and only
 * a genuine marker cuts. */
static void test_escapes(void)
{
    expect(ROW("\\n\\nHuman: \\u0071\\/\\u000a\\nAssistant: \\u00e9",
               "\\n\\nHuman: q/" A " y"),
           REC("\\n\\nHuman: q/" A, " \xc3\xa9", " y"));
    expect(ROW(Q A " x\\\\n\\nAssistant: z", Q A " y"),
           REC(Q A, " x\\\\n\\nAssistant: z", " y"));
    expect(ROW(Q A " x\\\\\\n\\nAssistant: z", Q A " x\\\\\\n\\nAssistant: y"),
           REC(Q A " x\\\\\\n\\nAssistant:", " z", " y"));
    expect(ROW(Q A " \\\"x\\\"\\t\\b", Q A " y"),
           REC(Q A, " \\\"x\\\"\\t\\b", " y"));
}

/* Random transcripts over the bytes that matter: the cut of escaped text is
 * that of the text itself. */
static void test_random(void)
{
    static const char *const piece[] = {
        "\n\nAssistant:", "\n\nHuman:", "\\", "\\n", "n", "\n", "\"", "a",
        "\n\nAssistant", "Assistant:", " ", "\xc3\xa9",
    };
    int kept = 0;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        pf_buf c = {0}, j = {0};
        uint64_t x = pf_mix64(seed);
        for (int i = 0; i < 6; i++, x = pf_mix64(x))
            pf_buf_str(&c, piece[x % PF_COUNTOF(piece)]);
        pf_buf_str(&c, "\n\nAssistant:");
        pf_buf_add(&j, c.p, c.n);
        for (int i = 0; i < 4; i++, x = pf_mix64(x)) {
            pf_buf_str(&c, piece[2 + x % (PF_COUNTOF(piece) - 2)]);
            pf_buf_str(&j, piece[2 + (x >> 20) % (PF_COUNTOF(piece) - 2)]);
        }
        pf_buf b = {0};
        pf_buf_str(&b, "{\"chosen\":");
        pf_json_quote(&b, pf_buf_slice(&c));
        pf_buf_str(&b, ",\"rejected\":");
        pf_json_quote(&b, pf_buf_slice(&j));
        pf_buf_str(&b, "}");
        pf_record r;
        pf_reason why;
        const char *where;
        if (convert(&r, pf_buf_slice(&b), &why, &where) == 1) {
            ptrdiff_t at = pf_slice_rfind(pf_buf_slice(&c),
                                          PF_LIT("\n\nAssistant:"));
            CHECK(r.prompt.text.n == (size_t)at + 12);
            pf_buf got = {0}, want = {0};
            pf_record_to_json(&r, &got);
            r.prompt.raw = r.chosen.raw = r.rejected.raw = (pf_slice){0};
            pf_record_to_json(&r, &want);
            CHECK_STR(got.p, want.p);
            pf_buf_release(&got);
            pf_buf_release(&want);
            kept++;
        }
        pf_buf_release(&b);
        pf_buf_release(&c);
        pf_buf_release(&j);
    }
    CHECK(kept > 10000);
}

static void test_setup(void)
{
    json = pf_json_new();
    CHECK(json != NULL);
}

static void test_cleanup(void)
{
    pf_json_free(json);
    pf_arena_release(&arena);
}

static const pft_test tests[] = {
    {"setup", test_setup},
    {"rows", test_rows},
    {"escapes", test_escapes},
    {"random transcripts", test_random},
    {"cleanup", test_cleanup},
};
PF_TEST_MAIN(tests)
