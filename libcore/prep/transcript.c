/* SPDX-License-Identifier: MIT */
#include "prep/transcript.h"

static const struct {
    pf_slice marker;
    const char *role;
} turns[] = {
    {{"\n\nHuman:", 8}, "user"},
    {{"\n\nAssistant:", 12}, "assistant"},
};

static pf_slice trim(pf_slice s)
{
    while (s.n && pf_slice_blank((pf_slice){s.p, 1}))
        s = (pf_slice){s.p + 1, s.n - 1};
    while (s.n && pf_slice_blank((pf_slice){s.p + s.n - 1, 1}))
        s.n--;
    return s;
}

static int make_message(pf_message *m, const char *role, pf_slice content,
                        pf_arena *a, pf_buf *scratch, pf_err *e)
{
    content = trim(content);
    pf_buf_clear(scratch);
    pf_buf_printf(scratch, "{\"role\":\"%s\",\"content\":", role);
    pf_json_quote(scratch, content);
    pf_buf_char(scratch, '}');
    if (pf_buf_failed(scratch))
        return pf_err_nomem(e);
    char *json = pf_arena_dup(a, scratch->p, scratch->n);
    if (!json)
        return pf_err_nomem(e);
    *m = (pf_message){
        .role = pf_slice_of(role),
        .content = content,
        .json = {json, scratch->n},
        .plain = true,
    };
    return 0;
}

static int one_message(pf_text *t, const char *role, pf_arena *a,
                       pf_buf *scratch, pf_err *e)
{
    if (!t->present || t->is_messages)
        return 1;
    pf_message *m = pf_arena_calloc(a, 1, sizeof *m);
    if (!m)
        return pf_err_nomem(e);
    int rc = make_message(m, role, t->text, a, scratch, e);
    if (rc < 0)
        return rc;
    *t = (pf_text){.present = true, .is_messages = true, .msg = m, .n_msg = 1};
    return 1;
}

/* The next marker at or after `from`, its turn in *which; -1 when none. */
static ptrdiff_t next_marker(pf_slice s, size_t from, int *which)
{
    ptrdiff_t best = -1;
    for (int i = 0; i < 2; i++) {
        pf_slice rest = {s.p + from, s.n - from};
        ptrdiff_t at = pf_slice_find(rest, turns[i].marker);
        if (at >= 0 && (best < 0 || at < best)) {
            best = at;
            *which = i;
        }
    }
    return best < 0 ? -1 : best + (ptrdiff_t)from;
}

/* Where the first turn's text begins: behind a marker at offset 0, which may
 * lack its blank line there. 0 when there is none. */
static size_t first_turn(pf_slice s, int *which)
{
    for (int i = 0; i < 2; i++) {
        pf_slice m = turns[i].marker, bare = {m.p + 2, m.n - 2};
        *which = i;
        if (pf_slice_starts(s, m))
            return m.n;
        if (pf_slice_starts(s, bare))
            return bare.n;
    }
    return 0;
}

/* The turns of s, which ends in the assistant's marker; that last, empty turn
 * is left out. */
static int split(pf_text *t, pf_arena *a, pf_buf *scratch, pf_err *e)
{
    pf_slice s = t->text;
    int which, next = 0;
    size_t at = first_turn(s, &which), n = 0;
    if (at == 0)
        return 2;
    size_t count = 0;
    int ignored = 0;
    for (ptrdiff_t p = (ptrdiff_t)at;
         (p = next_marker(s, (size_t)p, &ignored)) >= 0; p++)
        count++;
    pf_message *m = pf_arena_calloc(a, count, sizeof *m);
    if (!m)
        return pf_err_nomem(e);
    for (ptrdiff_t end; (end = next_marker(s, at, &next)) >= 0; n++) {
        pf_slice turn = {s.p + at, (size_t)end - at};
        int rc = make_message(&m[n], turns[which].role, turn, a, scratch, e);
        if (rc < 0)
            return rc;
        at = (size_t)end + turns[next].marker.n;
        which = next;
    }
    *t = (pf_text){.present = true, .is_messages = true, .msg = m, .n_msg = n};
    return 1;
}

int pf_record_to_messages(pf_record *r, pf_arena *a, pf_buf *scratch,
                          pf_reason *why, const char **where, pf_err *e)
{
    *where = "prompt";
    if (r->kind == PF_RECORD_IDS || r->segment) {
        *why = PF_REASON_WRONG_TYPE;
        return 2;
    }
    int rc = 1;
    pf_text *p = &r->prompt;
    if (p->present && !p->is_messages) {
        if (pf_slice_ends(p->text, turns[1].marker))
            rc = split(p, a, scratch, e);
        else
            rc = one_message(p, "user", a, scratch, e);
    }
    if (rc == 2)
        *why = PF_REASON_NO_MARKER;
    if (rc == 1 && p->present && p->n_msg == 0) {
        *why = PF_REASON_EMPTY_PROMPT;
        rc = 2;
    }
    pf_text *const reply[] = {&r->chosen, &r->rejected, &r->completion};
    for (int i = 0; i < 3 && rc == 1; i++)
        rc = one_message(reply[i], "assistant", a, scratch, e);
    return rc;
}

int pf_record_to_sft(pf_record *r, pf_reason *why, const char **where)
{
    if (r->kind == PF_RECORD_PAIR) {
        r->kind = PF_RECORD_SEQ;
        r->completion = r->chosen;
        r->chosen = r->rejected = (pf_text){0};
        r->score_chosen = r->score_rejected = (pf_slice){NULL, 0};
        return 1;
    }
    if (r->kind == PF_RECORD_SEQ)
        return 1;
    *why = PF_REASON_WRONG_TYPE;
    *where = NULL;
    return 2;
}
