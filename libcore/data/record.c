/* SPDX-License-Identifier: MIT
 *
 * Names, positions, equality and the rules of records. */
#include "data/record.h"

#include <inttypes.h>
#include <stdio.h>

const char *pf_record_kind_name(pf_record_kind k)
{
    static const char *const name[PF_RECORD_KINDS] = {
        [PF_RECORD_PAIR] = "pair",   [PF_RECORD_SEQ] = "seq",
        [PF_RECORD_UNPAIRED] = "unpaired", [PF_RECORD_IDS] = "ids",
        [PF_RECORD_PROMPT] = "prompt",
    };
    return name[k];
}

uint64_t pf_src_row_id(pf_src s)
{
    return (uint64_t)s.file << 52 | s.offset << 12 | s.sub;
}

pf_src pf_src_of_row_id(uint64_t id)
{
    return (pf_src){
        .file = (uint32_t)(id >> 52),
        .offset = id >> 12 & (PF_SRC_OFFSETS - 1),
        .sub = (uint32_t)(id & (PF_SRC_SUBS - 1)),
        .known = true,
    };
}

static char *put_number(char *p, uint64_t v)
{
    char digits[20];
    int n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n)
        *p++ = digits[--n];
    return p;
}

int pf_src_text(pf_src s, char *buf)
{
    char *p = put_number(buf, s.file);
    *p++ = ':';
    p = put_number(p, s.offset);
    *p++ = ':';
    p = put_number(p, s.sub);
    *p = 0;
    return (int)(p - buf);
}

/* Canonical decimal below limit, moving *s past it. */
static bool take_number(pf_slice *s, uint64_t limit, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    if (s->n == 0) /* its address may be NULL then */
        return false;
    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
        if (i == 1 && s->p[0] == '0')
            return false;
        v = v * 10 + (uint64_t)(s->p[i] - '0');
        if (v >= limit)
            return false;
    }
    s->p += i;
    s->n -= i;
    *out = v;
    return i > 0;
}

static bool take_colon(pf_slice *s)
{
    if (s->n == 0 || s->p[0] != ':')
        return false;
    s->p++;
    s->n--;
    return true;
}

bool pf_src_parse(pf_slice s, pf_src *out)
{
    uint64_t file, offset, sub;
    if (!take_number(&s, PF_SRC_FILES, &file) || !take_colon(&s) ||
        !take_number(&s, PF_SRC_OFFSETS, &offset) || !take_colon(&s) ||
        !take_number(&s, PF_SRC_SUBS, &sub) || s.n)
        return false;
    *out = (pf_src){(uint32_t)file, offset, (uint32_t)sub, true};
    return true;
}

/* ----------------------------------------------------------------- text -- */

bool pf_message_eq(const pf_message *a, const pf_message *b)
{
    if (a->plain && b->plain)
        return pf_slice_eq(a->role, b->role) &&
               pf_slice_eq(a->content, b->content);
    return pf_slice_eq(a->json, b->json);
}

bool pf_text_eq(const pf_text *a, const pf_text *b)
{
    if (a->present != b->present || a->is_messages != b->is_messages)
        return false;
    if (!a->is_messages)
        return a->raw.p && b->raw.p ? pf_slice_eq(a->raw, b->raw)
                                    : pf_slice_eq(a->text, b->text);
    if (a->n_msg != b->n_msg)
        return false;
    for (size_t i = 0; i < a->n_msg; i++)
        if (!pf_message_eq(&a->msg[i], &b->msg[i]))
            return false;
    return true;
}

bool pf_slice_blank(pf_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return false;
    }
    return true;
}

bool pf_text_blank(const pf_text *t)
{
    if (!t->is_messages)
        return pf_slice_blank(t->text);
    if (t->n_msg == 0)
        return true;
    const pf_message *m = &t->msg[t->n_msg - 1];
    return m->plain && pf_slice_blank(m->content);
}

/* ---------------------------------------------------------------- rules -- */

static bool ends_with_assistant(const pf_text *t)
{
    return !t->is_messages ||
           pf_slice_is(t->msg[t->n_msg - 1].role, "assistant");
}

static pf_reason check_reply(const pf_text *t, pf_reason empty,
                             const char *name, const char **where)
{
    *where = name;
    if (pf_text_blank(t))
        return empty;
    return ends_with_assistant(t) ? PF_KEPT : PF_REASON_LAST_NOT_ASSISTANT;
}

static pf_reason check_pair(const pf_record *r, const char **where)
{
    pf_reason why = check_reply(&r->chosen, PF_REASON_EMPTY_CHOSEN, "chosen",
                                where);
    if (!why)
        why = check_reply(&r->rejected, PF_REASON_EMPTY_REJECTED, "rejected",
                          where);
    if (!why && pf_text_eq(&r->chosen, &r->rejected)) {
        *where = "rejected";
        why = PF_REASON_IDENTICAL_PAIR;
    }
    return why;
}

static pf_reason check_ids(const pf_record *r, const char **where)
{
    *where = "prompt_ids";
    if (r->prompt_ids.n == 0)
        return PF_REASON_EMPTY_PROMPT;
    *where = "chosen_ids";
    if (r->chosen_ids.n == 0)
        return PF_REASON_EMPTY_CHOSEN;
    *where = "rejected_ids";
    return r->rejected_ids.n == 0 ? PF_REASON_EMPTY_REJECTED : PF_KEPT;
}

static pf_reason check_seq(const pf_record *r, const char **where)
{
    if (r->completion.present)
        return check_reply(&r->completion, PF_REASON_EMPTY_COMPLETION,
                           "completion", where);
    if (r->messages.present) {
        *where = "messages";
        return pf_text_blank(&r->messages) ? PF_REASON_EMPTY_COMPLETION
                                           : PF_KEPT;
    }
    *where = "segments";
    bool loss = false;
    for (size_t i = 0; i < r->n_segment; i++)
        loss |= r->segment[i].loss && r->segment[i].text.n > 0;
    return loss ? PF_KEPT : PF_REASON_NO_LOSS;
}

pf_reason pf_record_check(const pf_record *r, const char **where)
{
    const pf_text *p = &r->prompt;
    *where = "prompt";
    if (p->present && (p->is_messages ? p->n_msg : p->text.n) == 0)
        return PF_REASON_EMPTY_PROMPT;
    switch (r->kind) {
    case PF_RECORD_PAIR:
        return check_pair(r, where);
    case PF_RECORD_UNPAIRED:
        return check_reply(&r->completion, PF_REASON_EMPTY_COMPLETION,
                           "completion", where);
    case PF_RECORD_IDS:
        return check_ids(r, where);
    case PF_RECORD_SEQ:
        return check_seq(r, where);
    default:
        return PF_KEPT;
    }
}
