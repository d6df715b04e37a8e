/* SPDX-License-Identifier: MIT
 *
 * What all tools share beside options: model names, --max-bad, --stats, and
 * the way from main() to an exit status. */
#include "tests/pftest.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "tools/tool.h"

static char dir[] = "/tmp/prefkit-t_tool.XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256], parent[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    CHECK_OK(pf_make_dirs(parent, NULL));
    CHECK_OK(pf_write_file(path, text, strlen(text), PF_WRITE_REPLACE, NULL));
}

static int model_rc(const char *name, const char *want)
{
    char *path = NULL, full[256];
    pf_err e = PF_ERR_INIT;
    int rc = pf_model_path(&path, name, &e);
    if (rc == 0) {
        snprintf(full, sizeof full, "%s/%s", dir, want);
        CHECK_STR(path, full);
    }
    pf_free(path);
    return rc;
}

static void test_model_path(void)
{
    char hub[256];
    snprintf(hub, sizeof hub, "%s/home", dir);
    setenv("HF_HOME", hub, 1);
    unsetenv("HF_HUB_CACHE");
    put("home/hub/models--org--m.1/refs/main", "abc\n");
    put("home/hub/models--org--m.1/snapshots/abc/config.json", "{}");
    put("home/hub/models--org--m.1/snapshots/def/config.json", "{}");
    put("cache/models--gpt2/refs/main", "000");
    put("cache/models--gpt2/snapshots/000/config.json", "{}");
    CHECK_INT(model_rc("org/m.1", "home/hub/models--org--m.1/snapshots/abc"),
              0);
    CHECK_INT(
        model_rc("org/m.1@def", "home/hub/models--org--m.1/snapshots/def"), 0);
    CHECK_INT(model_rc("org/m.1@nope", ""), PF_E_IO);
    CHECK_INT(model_rc("gpt2", ""), PF_E_IO);
    snprintf(hub, sizeof hub, "%s/cache", dir);
    setenv("HF_HUB_CACHE", hub, 1);
    CHECK_INT(model_rc("gpt2", "cache/models--gpt2/snapshots/000"), 0);
    CHECK_INT(model_rc("org/m.1", ""), PF_E_IO);
    CHECK_INT(model_rc("../etc", ""), PF_E_IO);
    CHECK_INT(model_rc("a/b/c", ""), PF_E_IO);
    CHECK_INT(model_rc("org/m.1@../../x", ""), PF_E_IO);
    CHECK_INT(model_rc("", ""), PF_E_IO);
    OOM_WALK(model_rc("gpt2", "cache/models--gpt2/snapshots/000"));
}

static int bad_rc(const char *max_bad)
{
    pf_tally t = {.in = 200};
    pf_common c = {.max_bad = max_bad};
    t.count[PF_REASON_INVALID_JSON] = 3;
    t.count[PF_REASON_EMPTY_CHOSEN] = 50; /* dropped by rule: not damage */
    t.count[PF_KEPT] = 147;
    return pf_max_bad_check(&c, &t, NULL);
}

static void test_max_bad(void)
{
    CHECK_INT(bad_rc(NULL), PF_E_REJECTED);
    CHECK_INT(bad_rc("2"), PF_E_REJECTED);
    CHECK_INT(bad_rc("3"), 0);
    CHECK_INT(bad_rc("1.4%"), PF_E_REJECTED);
    CHECK_INT(bad_rc("1.5%"), 0);
    pf_tally none = {.in = 10};
    CHECK_INT(pf_max_bad_check(&(pf_common){0}, &none, NULL), 0);
}

/* ------------------------------------------------------- whole processes -- */

typedef struct settings {
    pf_common common;
    const char *mode;
} settings;

static const pf_opt options[] = {
    {"mode", 'm', PF_OPT_STRING, offsetof(settings, mode), "WORD", "what to do",
     0, 0, NULL},
    {0},
};

static int run(const pf_tool *t, void *set, int n, char **operand, pf_err *e)
{
    settings *s = set;
    pf_tally tally = {.in = 5};
    (void)n, (void)operand;
    CHECK(s->common.threads > 0 && s->common.max_line == 64 << 20);
    if (strcmp(s->mode, "print") == 0)
        return puts("hello") < 0 ? PF_E_IO : 0;
    if (strcmp(s->mode, "forever") == 0)
        for (;;)
            if (write(STDOUT_FILENO, "x", 1) != 1)
                return pf_err_errno(e, "(stdout)", "cannot write");
    if (strcmp(s->mode, "stop") == 0) {
        pf_catch_stop();
        raise(SIGTERM);
        CHECK_INT(pf_stop_signal(), SIGTERM);
        return 0;
    }
    if (strcmp(s->mode, "stats") == 0) {
        tally.count[PF_REASON_INVALID_UTF8] = 1;
        tally.count[PF_KEPT] = 4;
        return pf_tool_summary(t, &s->common, &tally, 1234, e);
    }
    return pf_err_pos(e, PF_E_TRUNCATED, "in.jsonl", 7, -1, "it ends early");
}

static const pf_tool tool = {
    .name = "mock",
    .synopsis = "[option ...]",
    .summary = "a mock",
    .options = options,
    .common = "j stats",
    .settings_size = sizeof(settings),
    .run = run,
};

/* Runs the tool in a child with its standard output on out_fd (-1 = closed)
 * and standard error in DIR/err; returns the wait status. */
static int child(int out_fd, bool ignore_pipe, const char *mode)
{
    char path[256], stats[256];
    snprintf(path, sizeof path, "%s/err", dir);
    snprintf(stats, sizeof stats, "--stats=%s/stats", dir);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int err = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        dup2(err, 2);
        if (out_fd < 0)
            close(1);
        else
            dup2(out_fd, 1);
        if (ignore_pipe)
            signal(SIGPIPE, SIG_IGN);
        char *argv[] = {(char[]){"mock"}, (char[]){"-m"}, (char *)mode, stats,
                        NULL};
        _exit(pf_tool_main(&tool, 4, argv));
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void check_text(const char *name, const char *want)
{
    char path[256], *text = NULL;
    size_t n;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_OK(pf_read_file(path, 4096, &text, &n, NULL));
    if (!text || !strstr(text, want))
        printf("# %s holds: %s\n", name, text ? text : "nothing");
    CHECK(text && strstr(text, want));
    pf_free(text);
}

static void test_process(void)
{
    int null = open("/dev/null", O_WRONLY), full = open("/dev/full", O_WRONLY);
    int pipes[2];
    int st = child(null, false, "fail");
    CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 4);
    check_text("err", "mock: in.jsonl:7: it ends early\n");
    st = child(null, false, "print");
    CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 0);
    st = child(full, false, "print");
    CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 6);
    check_text("err", "cannot write: No space left");
    st = child(-1, false, "print");
    CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 6);
    for (int ignored = 0; ignored < 2; ignored++) {
        CHECK(pipe(pipes) == 0);
        close(pipes[0]);
        st = child(pipes[1], ignored, "forever");
        CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGPIPE);
        close(pipes[1]);
    }
    st = child(null, false, "stop");
    CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGTERM);
    st = child(null, false, "stats");
    CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 0);
    check_text("stats", "\"rows_in\":5,\"rows_out\":4");
    check_text("stats", "\"rejected\":{\"invalid_utf8\":1}");
    check_text("err", "mock: 5 rows in, 4 out, 1 rejected (invalid_utf8 1), "
                      "1.23 kB");
    close(null);
    close(full);
}

static void remove_tree(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    CHECK(system(cmd) == 0);
}

static const pft_test tests[] = {
    {"model path", test_model_path},
    {"max bad", test_max_bad},
    {"process", test_process},
    {"clean", remove_tree},

};

int main(void)
{
    int bad = 0;
    if (!mkdtemp(dir))
        return 1;
    printf("1..%zu\n", PF_COUNTOF(tests));
    for (size_t i = 0; i < PF_COUNTOF(tests); i++) {
        pft_failures = 0;
        tests[i].fn();
        printf("%sok %zu - %s\n", pft_failures ? "not " : "", i + 1,
               tests[i].name);
        bad |= pft_failures != 0;
    }
    return bad;
}
