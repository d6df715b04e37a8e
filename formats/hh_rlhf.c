/* SPDX-License-Identifier: MIT
 *
 * Anthropic's hh-rlhf: {"chosen": transcript, "rejected": transcript}.
 *
 * The prompt is everything through the last "\n\nAssistant:" of a transcript,
 * exactly that marker, and must be the same bytes on both sides; a reply keeps
 * its leading space. Rows that do not obey are rejected, never repaired: other
 * converters cut at a common prefix of characters, which moves words of the
 * reply into the prompt in a fifth of the rows.
 *
 * Where a string's JSON text is what our writer would write, it is cut in that
 * form and copied through. There a marker is genuine only when its first
 * backslash is not itself escaped. */
#include "formats/registry.h"

#define ASSISTANT PF_LIT("\n\nAssistant:")
#define HUMAN PF_LIT("\n\nHuman:")
#define ASSISTANT_RAW PF_LIT("\\n\\nAssistant:")

/* One transcript, cut. */
typedef struct side {
    pf_text prompt, reply;
} side;

static int probe(pf_jval v)
{
    pf_jval c = pf_jget(v, "chosen"), r = pf_jget(v, "rejected");
    if (pf_jtype(c) != PF_JSON_STRING || pf_jtype(r) != PF_JSON_STRING ||
        pf_jtype(pf_jget(v, "prompt")) != PF_JSON_NONE)
        return 0;
    bool marked = pf_slice_find(pf_jstr(c), ASSISTANT) >= 0 ||
                  pf_slice_find(pf_jstr(r), ASSISTANT) >= 0;
    return marked ? 95 : 0;
}

static pf_text text_of(const char *p, size_t n, const char *raw, size_t n_raw)
{
    pf_text t = {.present = true, .text = {p, n}};
    if (raw)
        t.raw = (pf_slice){raw, n_raw};
    return t;
}

/* The last genuine marker in escaped text; there is one. */
static size_t raw_marker(pf_slice raw)
{
    for (;;) {
        size_t at = (size_t)pf_slice_rfind(raw, ASSISTANT_RAW), slashes = 0;
        while (slashes < at && raw.p[at - slashes - 1] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return at + ASSISTANT_RAW.n;
        raw.n = at + ASSISTANT_RAW.n - 1;
    }
}

/* Replies are short and have few line feeds: faster than memmem. */
static bool has_human(pf_slice s)
{
    const char *end = s.p + s.n, *p = s.p;
    while ((size_t)(end - p) >= HUMAN.n &&
           (p = memchr(p, '\n', (size_t)(end - p) - HUMAN.n + 1))) {
        if (memcmp(p, HUMAN.p, HUMAN.n) == 0)
            return true;
        p++;
    }
    return false;
}

static pf_reason cut(side *s, pf_jval v)
{
    pf_slice t = pf_jstr(v), raw = pf_jraw(v);
    raw = (pf_slice){raw.p + 1, raw.n - 2};
    ptrdiff_t at = pf_slice_rfind(t, ASSISTANT);
    if (at < 0)
        return PF_REASON_NO_MARKER;
    size_t n = (size_t)at + ASSISTANT.n;
    pf_slice reply = {t.p + n, t.n - n};
    if (has_human(reply))
        return PF_REASON_LAST_NOT_ASSISTANT;
    if (pf_jplain(v)) {
        size_t m = raw_marker(raw);
        s->prompt = text_of(t.p, n, raw.p, m);
        s->reply = text_of(reply.p, reply.n, raw.p + m, raw.n - m);
    } else {
        s->prompt = text_of(t.p, n, NULL, 0);
        s->reply = text_of(reply.p, reply.n, NULL, 0);
    }
    return PF_KEPT;
}

static pf_reason read_side(side *s, pf_jval obj, const char *name,
                           const char **where)
{
    *where = name;
    pf_jval v = pf_jget(obj, name);
    pf_json_type t = pf_jtype(v);
    if (t == PF_JSON_NONE || t == PF_JSON_NULL)
        return PF_REASON_MISSING_FIELD;
    return t == PF_JSON_STRING ? cut(s, v) : PF_REASON_WRONG_TYPE;
}

static int convert(pf_record *r, pf_jval line, pf_arena *a, pf_reason *why,
                   const char **where, pf_err *e)
{
    (void)a;
    (void)e;
    side c, j;
    *r = (pf_record){.kind = PF_RECORD_PAIR};
    *why = read_side(&c, line, "chosen", where);
    if (!*why)
        *why = read_side(&j, line, "rejected", where);
    if (*why)
        return 2;
    if (!pf_text_eq(&c.prompt, &j.prompt)) {
        *why = PF_REASON_PROMPT_MISMATCH;
        return 2;
    }
    r->prompt = c.prompt;
    r->chosen = c.reply;
    r->rejected = j.reply;
    *why = pf_record_check(r, where);
    return *why ? 2 : 1;
}

const pf_format pf_format_hh_rlhf = {
    .name = "hh-rlhf",
    .about = "Anthropic hh-rlhf: chosen and rejected as whole transcripts",
    .probe = probe,
    .convert = convert,
};
