/* SPDX-License-Identifier: MIT */
#include "base/json.h"
#include "base/mem.h"
#include "tests/pftest.h"
#include "text/template.h"

#define S(text) {text, sizeof(text) - 1}
static const pf_message talk[] = {
    {S("user"), S(" Hi "),
     S("{\"role\":\"user\",\"content\":\" Hi \",\"n\":[1,2.5,null,true]}"), false},
    {S("assistant"), S("<|e|>\u00e9"), {NULL, 0}, true},
    {S("user"), S("b"), {NULL, 0}, true},
    {S("assistant"), S("c"), {NULL, 0}, true},
};

/* Compiles and renders the first n messages; the error when it fails. */
static int render(const char *source, size_t n, bool generation, bool loss,
                  pf_rendered *out, pf_err *e)
{
    pf_template *t = NULL;
    int rc = pf_template_new(&t, pf_slice_of(source), "t", e);
    pf_render_args a = {
        .msg = talk,
        .n_msg = n,
        .tools = PF_LIT("[{\"a\":\"\u00e4\\n\",\"b\":1}]"),
        .kwargs = PF_LIT("{\"think\":false,\"who\":\"me\"}"),
        .add_generation_prompt = generation,
        .mark_loss = loss,
        .bos = PF_LIT("<s>"),
        .eos = PF_LIT("</s>"),
    };
    if (rc == 0)
        rc = pf_template_render(t, &a, out, e);
    pf_template_free(t);
    return rc;
}

static const char *text(const char *source)
{
    static char buf[2048];
    pf_rendered r = {0};
    pf_err e = PF_ERR_INIT;
    if (render(source, 2, false, false, &r, &e) < 0)
        snprintf(buf, sizeof buf, "error: %s", e.msg);
    else
        snprintf(buf, sizeof buf, "%.*s", (int)r.text.n,
                 r.text.p ? r.text.p : "");
    pf_rendered_release(&r);
    return buf;
}

/* What Jinja 3.1 gives with trim_blocks and lstrip_blocks. */
static void output(void)
{
    static const char *const want[][2] = {
        {"a\n", "a"},
        {"a\r\nb\n\n", "a\nb\n"},
        {"{{ bos_token }}|{{ eos_token }}|{{ nothing }}|", "<s>|</s>||"},
        {"x\n  {% if true %}\n  y\n  {% endif %}\nz", "x\n  y\nz"},
        {"x  {%- if true -%}  y  {%- endif %} z", "xy z"},
        {"x\n  {%+ if true %}y{% endif +%}\nz", "x\n  y\nz"},
        {"a {# b\n #}\nc {#- d -#} e", "a ce"},
        {"{% for m in messages %}{{ loop.index }}/{{ loop.length }}:"
         "{{ m.role }}{{ ',' if not loop.last }}{% endfor %}",
         "1/2:user,2/2:assistant"},
        {"{% for m in messages if m.role == 'x' %}a{% else %}none{% endfor %}",
         "none"},
        {"{% set x = 1 %}{% for m in messages %}{% set x = 2 %}{% endfor %}"
         "{{ x }}", "1"},
        {"{% set n = namespace(x=1) %}{% for m in messages %}"
         "{% set n.x = n.x + 2 %}{% endfor %}{{ n.x }}", "5"},
        {"{{ messages[0].content | trim }}|{{ messages[0]['content'][1:] }}|"
         "{{ messages[-1].role.upper() }}", "Hi|Hi |ASSISTANT"},
        {"{{ messages[::-1][0].content }}", "<|e|>\u00e9"},
        {"{{ tools | tojson }}", "[{\"a\": \"\u00e4\\n\", \"b\": 1}]"},
        {"{{ tools[0] | tojson(indent=2) }}",
         "{\n  \"a\": \"\u00e4\\n\",\n  \"b\": 1\n}"},
        {"{{ messages[0].n | tojson }}", "[1, 2.5, null, true]"},
        {"{{ think }} {{ who }} {{ none }} {{ 2.50 }} {{ 1.0 }}",
         "False me None 2.5 1.0"},
        {"{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 + 3 * 4 - 1 }}",
         "-4 2 -2 13"},
        {"{{ 'a' ~ 1 ~ true }} {{ 'a' + \"b\" }} {{ 'b' in 'abc' }} "
         "{{ 2 not in [1, 3] }}", "a1True ab True True"},
        {"{{ 1 == 1.0 and not false or x }}", "True"},
        {"{{ 'x' if false }}|{{ 'x' if false else 'y' }}", "|y"},
        {"{{ x is defined }} {{ x is not defined }} {{ 'a' is string }} "
         "{{ tools is iterable }} {{ none is none }}",
         "False True True True True"},
        {"{{ x | default('d') }} {{ '' | default('d', true) }}", "d d"},
        {"{{ 'a,b'.split(',') | join('+') }} {{ 'xAx'.replace('x', 'yy') }} "
         "{{ '\\tq '.strip() }}", "a+b yyAyy q"},
        {"{{ 'ab'.startswith('a') }} {{ {'k': {'l': 3}}['k']['l'] }}",
         "True 3"},
        {"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}"
         "{% endfor %}", "a1b2"},
        {"{% macro f(a, b='d') %}<{{ a }}{{ b }}>{% endmacro %}"
         "{{ f(1) }}{{ f('x', b=2) }}", "<1d><x2>"},
        {"{% set z %}q{{ 1 }}{% endset %}{{ z }}{{ z | length }}", "q12"},
        {"{% for i in range(6) %}{% if i == 1 %}{% continue %}{% endif %}"
         "{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "023"},
        {"{{ 'q\\t\\x41\\u00e9\\'\\d' }}", "q\tA\u00e9'\\d"},
    };
    for (size_t i = 0; i < PF_COUNTOF(want); i++)
        CHECK_STR(text(want[i][0]), want[i][1]);
}

/* Refused while compiling, with line and column. */
static void refused(void)
{
    static const char *const bad[][2] = {
        {"a\n{{ x | frob }}", "t:2:8: the filter is not built: 'frob'"},
        {"{% include 'x' %}", "t:1:4: the tag is not built: 'include'"},
        {"{{ x is frob }}", "t:1:9: the test is not built: 'frob'"},
        {"{{ x.frob() }}", "t:1:6: the method is not built: 'frob'"},
        {"{{ strftime_now('%d') }}", "t:1:4: strftime_now is not built"},
        {"{{ 1 < 2 < 3 }}", "t:1:10: chained comparisons are not built"},
        {"{{ (1, 2) }}", "t:1:6: tuples are not built"},
        {"{% if x %}", "t:1:11: the template ends inside a block"},
        {"{{ x ", "t:1:6: the template ends inside a tag"},
        {"{{ 'x }}", "t:1:4: a string does not end"},
        {"{# x", "t:1:1: a comment does not end"},
        {"{% break %}", "t:1:4: the tag is not built: 'break'"},
        {"{% endif %}", "t:1:4: the tag is not built: 'endif'"},
        {"{{ 2 ** 3 }}", "t:1:6: ** is not built"},
    };
    for (size_t i = 0; i < PF_COUNTOF(bad); i++) {
        pf_rendered r = {0};
        pf_err e = PF_ERR_INIT;
        CHECK_INT(render(bad[i][0], 1, false, false, &r, &e), PF_E_USAGE);
        CHECK_STR(e.msg, bad[i][1]);
        pf_rendered_release(&r);
    }
}

/* A row's fault. */
static void raised(void)
{
    static const char *const bad[] = {
        "{{ raise_exception('no') }}", "{{ x.y }}", "{{ 'a' + 1 }}",
        "{{ messages }}", "{{ 1 // 0 }}", "{% for x in 3 %}{% endfor %}",
        "{{ f() }}", "{{ 'a' < 1 }}",
    };
    for (size_t i = 0; i < PF_COUNTOF(bad); i++) {
        pf_rendered r = {0};
        pf_err e = PF_ERR_INIT;
        CHECK_INT(render(bad[i], 1, false, false, &r, &e), PF_E_FORMAT);
        pf_rendered_release(&r);
    }
    CHECK_STR(text("\n{{ raise_exception('no') }}"),
              "error: t:2:19: the template raised 'no'");
    pf_rendered r = {0};
    CHECK_INT(render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", 1,
                     false, false, &r, NULL), PF_E_FORMAT);
    CHECK_INT(render("{% for a in range(99999) %}{% for b in range(99999) %}"
                     "{% if a %}{% endif %}{% endfor %}{% endfor %}", 1, false,
                     false, &r, NULL), PF_E_LIMIT);
    pf_rendered_release(&r);
}

/* Spans as "[Cl text]": C content or T template, l with loss. */
static const char *spans(const char *source, bool loss)
{
    static char buf[1024];
    pf_rendered r = {0};
    pf_err e = PF_ERR_INIT;
    size_t o = 0, at = 0;
    buf[0] = 0;
    if (render(source, 4, false, loss, &r, &e) < 0)
        snprintf(buf, sizeof buf, "error: %s", e.msg);
    for (size_t i = 0; i < r.n_span; i++) {
        CHECK_INT(r.span[i].start, at);
        at = r.span[i].end;
        o += (size_t)snprintf(buf + o, sizeof buf - o, "[%c%s%.*s]",
                              r.span[i].content ? 'C' : 'T',
                              r.span[i].loss ? "l " : " ",
                              (int)(at - r.span[i].start),
                              r.text.p + r.span[i].start);
    }
    pf_rendered_release(&r);
    return buf;
}

#define TURNS(inner) "{% for m in messages %}" inner "{% endfor %}"

static void origins(void)
{
    CHECK_STR(spans(TURNS("<{{ m.content | trim }}>"), false),
              "[T <][C Hi][T ><][C <|e|>\u00e9][T ><][C b][T ><][C c][T >]");
    CHECK_STR(spans("{% set x = ('<' + messages[1].content + '>').replace("
                    "'|', '!') %}{{ x[1:-1] }}{{ x[-1:] }}", false),
              "[C <][T !][C e][T !][C >\u00e9][T >]");
    CHECK_STR(spans("{% set x %}a{{ who }}{% endset %}{{ x ~ 'b' }}", false),
              "[T a][C me][T b]");
    CHECK_STR(spans("{{ tools | tojson }}{{ bos_token }}", false),
              "[C [{\"a\": \"\u00e4\\n\", \"b\": 1}]][T <s>]");
}

static void loss(void)
{
    CHECK_STR(spans(TURNS("({{ m.role }}:{{ m.content }})")
                    "{% if add_generation_prompt %}(assistant:{% endif %}",
                    true),
              "[T (][C user][T :][C  Hi ][T )(][C assistant][T :]"
              "[Cl <|e|>\u00e9][Tl )][T (][C user][T :][C b][T )(]"
              "[C assistant][T :][Cl c][Tl )]");
    CHECK_STR(spans(TURNS("{% if m.role == 'user' %}{{ m.content }}"
                          "{% else %}-{% generation %}{{ m.content }}."
                          "{% endgeneration %}{% endif %}"), true),
              "[C  Hi ][T -][Cl <|e|>\u00e9][Tl .][C b][T -][Cl c][Tl .]");
    /* the end depends on how many there are: turns cannot be told apart */
    CHECK(strstr(spans("{{ messages | length }}"
                       TURNS("{{ m.content }}"), true),
                 "no prefix") != NULL);
}

static int oom(void)
{
    pf_rendered r = {0};
    int rc = render("{% macro f(a) %}<{{ a }}>{% endmacro %}"
                    TURNS("{% set x = f(m.content) ~ [1, 2] | join('') %}"
                          "{{ x[1:] | trim }}{{ tools | tojson }}"
                          "{{ {'a': 1}.items() | length }}"),
                    4, false, false, &r, NULL);
    pf_rendered_release(&r);
    return rc;
}

static void out_of_memory(void)
{
    OOM_WALK(oom());
}

static const pft_test list[] = {
    {"output", output},       {"refused", refused}, {"raised", raised},
    {"origins", origins},     {"loss", loss},       {"out of memory", out_of_memory},
};
PF_TEST_MAIN(list)
