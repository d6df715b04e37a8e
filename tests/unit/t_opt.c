/* SPDX-License-Identifier: MIT
 *
 * Option tables: every form of every type, refusals, and what is printed. */
#include "tests/pftest.h"

#include "tools/opt_int.h"

typedef struct settings {
    pf_common common;
    const char *model;
    bool text, do_train;
    int64_t n, bytes;
    double beta;
    int from;
    pf_opt_list words;
} settings;

#define AT(f) offsetof(settings, f)
static const pf_opt options[] = {
    {"model", 'm', PF_OPT_STRING, AT(model), "MODEL", "the model", 0, 0,
     "model_name_or_path"},
    {"text", 't', PF_OPT_BOOL, AT(text), NULL, "text", 0, 0, NULL},
    {"do_train", 0, PF_OPT_BOOL, AT(do_train), NULL, "train", 0, 0, NULL},
    {"number", 'n', PF_OPT_INT, AT(n), "N", "a number", -5, 1e9, NULL},
    {"shard-size", 0, PF_OPT_SIZE, AT(bytes), "SIZE", "bytes", 0, 0, NULL},
    {"beta", 0, PF_OPT_FLOAT, AT(beta), "X", "temperature", 0, 10, NULL},
    {"from", 0, PF_OPT_CHOICE, AT(from), "auto|hh-rlhf|trl", "format", 0, 0,
     NULL},
    {"words", 'w', PF_OPT_LIST, AT(words), "[NAME=]W,...", "words", 0, 0, NULL},
    {"use_peft", 0, PF_OPT_UNBUILT, 0, NULL, "adapters are not built", 0, 0,
     NULL},
    {0},
};

static int run(const pf_tool *t, void *set, int n, char **operands, pf_err *e)
{
    (void)t, (void)set, (void)n, (void)operands, (void)e;
    return 0;
}

static const pf_tool filter = {
    .name = "filter",
    .synopsis = "[option ...] [FILE ...]",
    .summary = "a filter",
    .options = options,
    .common = "j seed max-line max-bad progress",
    .settings_size = sizeof(settings),
    .run = run,
};
static const pf_tool plain = {
    .name = "plain",
    .synopsis = "[option ...]",
    .summary = "takes no operand",
    .options = options,
    .common = "",
    .settings_size = sizeof(settings),
    .run = run,
    .no_operand = true,
};

static settings s;
static pf_err err;
static int n_operand;
static char **operand;

/* Parses words separated by newlines (words may hold spaces). */
static int parse(const pf_tool *t, const char *line)
{
    static char buf[512];
    static char *argv[32];
    int argc = 1;
    pf_opt_release();
    s = (settings){0};
    pf_err_clear(&err);
    argv[0] = buf;
    snprintf(buf, sizeof buf, "%s", line);
    for (char *p = buf; *p;) {
        size_t len = strcspn(p, "\n");
        bool more = p[len] != 0;
        p[len] = 0;
        argv[argc++] = p;
        p += len + more;
    }
    return pf_opt_parse(t, &s, argc, argv, &n_operand, &operand, &err);
}

static void test_forms(void)
{
    CHECK_OK(parse(&filter, "-m\nA\n--number=7\nf1\n-tj4\n-\n--from\ntrl"));
    CHECK_STR(s.model, "A");
    CHECK_INT(s.n, 7);
    CHECK_INT(s.text, 1);
    CHECK_INT(s.common.threads, 4);
    CHECK_INT(s.from, 2);
    CHECK_INT(n_operand, 2);
    CHECK_STR(operand[0], "f1");
    CHECK_STR(operand[1], "-");
    CHECK(pf_opt_given("model_name-or_path"));
    CHECK(!pf_opt_given("beta"));
    CHECK_OK(parse(&filter, "--model-name-or-path=B\n--shard_size\n2k"));
    CHECK_STR(s.model, "B");
    CHECK_INT(s.bytes, 2048);
    CHECK_OK(parse(&filter, "-mC\n--\n--text\n-n"));
    CHECK_STR(s.model, "C");
    CHECK_INT(n_operand, 2);
    CHECK_STR(operand[0], "--text");
    CHECK_OK(parse(&filter, "-vv\n-v\n-q"));
    CHECK_INT(s.common.verbose, 3);
    CHECK_INT(s.common.quiet, 1);
    CHECK_OK(parse(&filter, "-n\n-5"));
    CHECK_INT(s.n, -5);
    CHECK_OK(parse(&filter, "-n\n1\n-n\n2"));
    CHECK_INT(s.n, 2);
}

static void test_bool(void)
{
    CHECK_OK(parse(&filter, "--text=false"));
    CHECK_INT(s.text, 0);
    CHECK(pf_opt_given("text"));
    CHECK_OK(parse(&filter, "--text=True"));
    CHECK_INT(s.text, 1);
    CHECK_OK(parse(&filter, "-t\n--no_text"));
    CHECK_INT(s.text, 0);
    CHECK_OK(parse(&filter, "-t\n--no-text"));
    CHECK_INT(s.text, 0);
    CHECK_OK(parse(&filter, "--do-train\nfalse\nfile"));
    CHECK_INT(s.do_train, 0);
    CHECK_INT(n_operand, 1);
    CHECK_OK(parse(&filter, "--do-train\nfile"));
    CHECK_INT(s.do_train, 1);
    CHECK_INT(n_operand, 1);
    CHECK_INT(parse(&filter, "--text=maybe"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--no_text=true"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--no_number"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--no_help"), PF_E_USAGE);
}

static void test_ints(void)
{
    static const struct {
        const char *text;
        int rc;
        int64_t want;
    } ints[] = {
        {"--number=0", 0, 0},
        {"--number=+3", 0, 3},
        {"--number=2K", 0, 2000},
        {"--number=2Ki", 0, 2048},
        {"--number=1M", 0, 1000000},
        {"--number=-6", PF_E_USAGE, 0},
        {"--number=2G", PF_E_USAGE, 0},
        {"--number=", PF_E_USAGE, 0},
        {"--number=1.5", PF_E_USAGE, 0},
        {"--number=0x10", PF_E_USAGE, 0},
        {"--number= 1", PF_E_USAGE, 0},
        {"--number=1 ", PF_E_USAGE, 0},
        {"--number=1KB", PF_E_USAGE, 0},
        {"--number=1e3", PF_E_USAGE, 0},
        {"--number=99999999999999999999", PF_E_USAGE, 0},
        {"--number=9223372036854775807K", PF_E_USAGE, 0},
        {"--number", PF_E_USAGE, 0},
    };
    for (size_t i = 0; i < PF_COUNTOF(ints); i++) {
        int rc = parse(&filter, ints[i].text);
        CHECK_INT(rc, ints[i].rc);
        if (rc == 0)
            CHECK_INT(s.n, ints[i].want);
        else
            CHECK(strstr(err.msg, "--number"));
    }
    CHECK_OK(parse(&filter, "--shard-size=64M"));
    CHECK_INT(s.bytes, 64 << 20);
    CHECK_OK(parse(&filter, "--shard-size=3KiB"));
    CHECK_INT(s.bytes, 3072);
    CHECK_INT(parse(&filter, "--shard-size=3X"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--max-line=0"), PF_E_USAGE);
}

static void test_floats(void)
{
    static const char *const bad[] = {
        "--beta=nan", "--beta=inf",  "--beta=0x1p3", "--beta=",  "--beta=1,5",
        "--beta=-1",  "--beta=10.1", "--beta=1e999", "--beta=1 "};
    CHECK_OK(parse(&filter, "--beta=5e-1"));
    CHECK(s.beta == 0.5);
    CHECK_OK(parse(&filter, "--beta=1e-400"));
    for (size_t i = 0; i < PF_COUNTOF(bad); i++)
        CHECK_INT(parse(&filter, bad[i]), PF_E_USAGE);
}

static void test_lists(void)
{
    CHECK_OK(parse(&filter, "-w\na,b\n--words=c d\n--words\n,,e\nfile"));
    CHECK_INT(s.words.n, 5);
    CHECK_STR(s.words.v[0], "a");
    CHECK_STR(s.words.v[3], "d");
    CHECK_STR(s.words.v[4], "e");
    CHECK_INT(n_operand, 1);
    CHECK_OK(parse(&plain, "--words\na\nb,c\n-t"));
    CHECK_INT(s.words.n, 3);
    CHECK_INT(s.text, 1);
    CHECK_INT(parse(&plain, "--words=a\nb\n-t\nstray"), PF_E_USAGE);
    CHECK(strstr(err.msg, "'stray'"));
}

static void test_refusals(void)
{
    CHECK_INT(parse(&filter, "--modle=x"), PF_E_USAGE);
    CHECK(strstr(err.msg, "'modle'") && strstr(err.msg, "--model"));
    CHECK_INT(parse(&filter, "--mod=x"), PF_E_USAGE); /* no prefixes */
    CHECK_INT(parse(&filter, "-Z"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--a\x01\xff"), PF_E_USAGE);
    CHECK(strstr(err.msg, "\\x01\\xff"));
    CHECK_INT(parse(&filter, "--limit=3"), PF_E_USAGE); /* does not apply */
    CHECK_INT(parse(&filter, "--use_peft"), PF_E_USAGE);
    CHECK(strstr(err.msg, "--use_peft") && strstr(err.msg, "not built"));
    CHECK_INT(parse(&filter, "--use-peft\ntrue"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--no_use_peft"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--from=TRL"), PF_E_USAGE);
    CHECK(strstr(err.msg, "auto|hh-rlhf|trl"));
    CHECK_INT(parse(&filter, "--from="), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--help=1"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--max-bad=101%"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--max-bad=-1"), PF_E_USAGE);
    CHECK_INT(parse(&filter, "--max-bad=%"), PF_E_USAGE);
    CHECK_OK(parse(&filter, "--max-bad=0.5%"));
    CHECK_OK(parse(&filter, "--max-bad=10"));
    CHECK_INT(parse(&filter, "--progress=xml"), PF_E_USAGE);
    CHECK_OK(parse(&filter, "--progress\nfile"));
    CHECK_STR(s.common.progress, "");
    CHECK_INT(n_operand, 1);
    CHECK_OK(parse(&filter, "--progress=json"));
    CHECK_INT(parse(&filter, "-m"), PF_E_USAGE);
    CHECK_INT(parse(&plain, "x"), PF_E_USAGE);
    CHECK_INT(parse(&plain, "-j2"), PF_E_USAGE);
}

static void test_set(void)
{
    CHECK_OK(parse(&plain, "--beta=2"));
    CHECK_OK(pf_opt_set(&plain, &s, "model-name_or_path", "M", &err));
    CHECK_STR(s.model, "M");
    CHECK(pf_opt_given("model"));
    CHECK_OK(pf_opt_set(&plain, &s, "text", "false", &err));
    CHECK_OK(pf_opt_set(&plain, &s, "words", "x, y", &err));
    CHECK_INT(s.words.n, 2);
    CHECK_INT(pf_opt_set(&plain, &s, "use_peft", "true", &err), PF_E_USAGE);
    CHECK_INT(pf_opt_set(&plain, &s, "colour", "red", &err), PF_E_USAGE);
    CHECK_INT(pf_opt_set(&plain, &s, "help", "true", &err), PF_E_USAGE);
}

static void test_printed(void)
{
    pf_buf b = {0};
    pf_opt_help(&filter, &b);
    CHECK(strstr(b.p, "usage: filter [option ...] [FILE ...]\n"));
    CHECK(strstr(b.p, "  -m, --model MODEL       the model (also "
                      "--model_name_or_path)\n"));
    CHECK(strstr(b.p, "      --progress[=json]   "));
    CHECK(!strstr(b.p, "use_peft") && !strstr(b.p, "--limit"));
    for (char *p = b.p, *q; (q = strchr(p, '\n')); p = q + 1)
        CHECK(q - p < 80);
    pf_buf_clear(&b);
    pf_opt_mdoc(&filter, &b);
    CHECK(strstr(b.p, ".It Fl m , Fl -model Ar MODEL\n"));
    CHECK(strstr(b.p, ".It Fl -progress Ns Op = Ns Ar json\n"));
    CHECK(strstr(b.p, ".It Fl v , Fl -verbose\n"));
    pf_buf_clear(&b);
    pf_opt_completion(&filter, &b);
    CHECK(strstr(b.p, "--from) COMPREPLY=($(compgen -W 'auto hh-rlhf trl'"));
    pf_buf_clear(&b);
    pf_opt_version(&filter, &b);
    CHECK(strstr(b.p, "filter (prefkit) " PF_VERSION "\n"));
    CHECK(strstr(b.p, "libraries: pcre2 "));
    pf_buf_release(&b);
}

static int oom_body(void)
{
    int rc = parse(&plain, "--words\na,b,c\nd\ne,f\n-m\nx");
    pf_opt_release();
    return rc;
}

static void test_oom(void)
{
    OOM_WALK(oom_body());
}

static const pft_test tests[] = {
    {"forms", test_forms},       {"bool", test_bool},
    {"ints", test_ints},         {"floats", test_floats},
    {"lists", test_lists},       {"refusals", test_refusals},
    {"set", test_set},           {"printed", test_printed},
    {"oom", test_oom},
};

PF_TEST_MAIN(tests)
