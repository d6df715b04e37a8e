/* SPDX-License-Identifier: MIT
 *
 * JSON object -> record, by the fields that are there. It checks shape and
 * types; whether a record is worth keeping is pf_record_check()'s business. */
#include <math.h>

#include "data/record.h"

/* A string's value, kept beyond the parser's next document. */
static int keep_string(pf_slice *out, pf_jval v, pf_arena *a, pf_err *e)
{
    pf_slice s = pf_jstr(v), raw = pf_jraw(v);
    if (s.p != raw.p + 1) { /* it held escapes */
        s.p = pf_arena_dup(a, s.p, s.n);
        if (!s.p)
            return pf_err_nomem(e);
    }
    *out = s;
    return 0;
}

static int read_message(pf_message *m, pf_jval v, pf_arena *a, bool *ok,
                        pf_err *e)
{
    *m = (pf_message){.json = pf_jraw(v)};
    pf_jval role = pf_jget(v, "role"), content = pf_jget(v, "content");
    pf_json_type t = pf_jtype(content);
    /* A call of tools has no content; parts of images and the like are a
     * list. Both are for templates to read. */
    *ok = pf_jtype(v) == PF_JSON_OBJECT && pf_jtype(role) == PF_JSON_STRING &&
          (t == PF_JSON_STRING || t == PF_JSON_NULL || t == PF_JSON_NONE ||
           t == PF_JSON_ARRAY);
    if (!*ok)
        return 0;
    m->plain = t == PF_JSON_STRING && pf_jcount(v) == 2;
    int rc = keep_string(&m->role, role, a, e);
    if (rc == 0 && t == PF_JSON_STRING)
        rc = keep_string(&m->content, content, a, e);
    return rc;
}

int pf_text_of_json(pf_text *out, pf_jval v, pf_arena *a, pf_reason *why,
                    pf_err *e)
{
    *out = (pf_text){0};
    pf_json_type t = pf_jtype(v);
    if (t == PF_JSON_NONE || t == PF_JSON_NULL)
        return 1;
    *why = PF_REASON_WRONG_TYPE;
    out->present = true;
    if (t == PF_JSON_STRING) {
        pf_slice raw = pf_jraw(v);
        raw = (pf_slice){raw.p + 1, raw.n - 2};
        int rc = keep_string(&out->text, v, a, e);
        if (rc < 0)
            return rc;
        if (pf_jplain(v))
            out->raw = raw;
        return 1;
    }
    if (t != PF_JSON_ARRAY)
        return 2;
    out->is_messages = true;
    out->n_msg = pf_jcount(v);
    out->msg = pf_arena_calloc(a, out->n_msg, sizeof *out->msg);
    if (!out->msg)
        return pf_err_nomem(e);
    pf_jiter it = pf_jiter_of(v);
    for (size_t i = 0; pf_jiter_next(&it); i++) {
        bool ok;
        int rc = read_message(&out->msg[i], it.value, a, &ok, e);
        if (rc < 0)
            return rc;
        if (!ok)
            return 2;
    }
    return 1;
}

/* What the functions below share. */
typedef struct reading {
    pf_record *r;
    pf_arena *a;
    pf_reason *why;
    const char **where;
    pf_err *e;
} reading;

static int reject(const reading *g, pf_reason why, const char *where)
{
    *g->why = why;
    *g->where = where;
    return 2;
}

static int read_text(const reading *g, pf_text *out, pf_jval v,
                     const char *name)
{
    int rc = pf_text_of_json(out, v, g->a, g->why, g->e);
    if (rc == 2)
        *g->where = name;
    return rc;
}

static int need_text(const reading *g, pf_text *out, pf_jval v,
                     const char *name)
{
    int rc = read_text(g, out, v, name);
    if (rc == 1 && !out->present)
        return reject(g, PF_REASON_MISSING_FIELD, name);
    return rc;
}

static int read_ids(const reading *g, pf_ids *out, pf_jval v, const char *name)
{
    if (pf_jtype(v) == PF_JSON_NONE)
        return reject(g, PF_REASON_MISSING_FIELD, name);
    if (pf_jtype(v) != PF_JSON_ARRAY)
        return reject(g, PF_REASON_WRONG_TYPE, name);
    out->n = pf_jcount(v);
    out->id = pf_arena_calloc(g->a, out->n, sizeof *out->id);
    if (!out->id)
        return pf_err_nomem(g->e);
    pf_jiter it = pf_jiter_of(v);
    for (size_t i = 0; pf_jiter_next(&it); i++) {
        int64_t id;
        if (!pf_ji64(it.value, &id))
            return reject(g, PF_REASON_WRONG_TYPE, name);
        if (id < 0 || id > UINT32_MAX)
            return reject(g, PF_REASON_BAD_ID, name);
        out->id[i] = (uint32_t)id;
    }
    return 1;
}

static int read_ref(const reading *g, double *out, pf_jval v, const char *name)
{
    if (pf_jtype(v) == PF_JSON_NONE)
        return reject(g, PF_REASON_MISSING_FIELD, name);
    if (!pf_jf64(v, out) || !isfinite(*out))
        return reject(g, PF_REASON_WRONG_TYPE, name);
    return 1;
}

/* The members that decide a record, found in one walk. */
enum {
    F_SRC, F_ID, F_SOURCE, F_PROMPT, F_CHOSEN, F_REJECTED, F_COMPLETION,
    F_LABEL, F_SEGMENTS, F_MESSAGES, F_PROMPT_IDS, F_CHOSEN_IDS,
    F_REJECTED_IDS, F_REF_CHOSEN, F_REF_REJECTED, F_SCORE_CHOSEN,
    F_SCORE_REJECTED, F_TOOLS, F_KWARGS, F_META, N_FIELDS
};
static const char *const field_name[N_FIELDS] = {
    "_src", "id", "source", "prompt", "chosen", "rejected", "completion",
    "label", "segments", "messages", "prompt_ids", "chosen_ids",
    "rejected_ids", "ref_chosen_logps", "ref_rejected_logps", "score_chosen",
    "score_rejected", "tools", "chat_template_kwargs", "meta",
};

static void find_fields(pf_jval obj, pf_jval f[N_FIELDS])
{
    pf_jiter it = pf_jiter_of(obj);
    while (pf_jiter_next(&it)) {
        for (int i = 0; i < N_FIELDS; i++) {
            if (pf_slice_is(it.key, field_name[i])) {
                f[i] = it.value;
                break;
            }
        }
    }
}

static bool has(const pf_jval *v)
{
    return pf_jtype(*v) != PF_JSON_NONE && pf_jtype(*v) != PF_JSON_NULL;
}

static int read_ids_record(const reading *g, const pf_jval *f)
{
    pf_record *r = g->r;
    r->kind = PF_RECORD_IDS;
    int rc = read_ids(g, &r->prompt_ids, f[F_PROMPT_IDS], "prompt_ids");
    if (rc == 1)
        rc = read_ids(g, &r->chosen_ids, f[F_CHOSEN_IDS], "chosen_ids");
    if (rc == 1)
        rc = read_ids(g, &r->rejected_ids, f[F_REJECTED_IDS], "rejected_ids");
    r->has_ref = has(&f[F_REF_CHOSEN]) || has(&f[F_REF_REJECTED]);
    if (rc == 1 && r->has_ref)
        rc = read_ref(g, &r->ref_chosen, f[F_REF_CHOSEN], "ref_chosen_logps");
    if (rc == 1 && r->has_ref)
        rc = read_ref(g, &r->ref_rejected, f[F_REF_REJECTED],
                      "ref_rejected_logps");
    return rc;
}

/* Two whole conversations: what they share from the start is the prompt (as
 * TRL's extract_prompt does for message lists). */
static int split_common(const reading *g)
{
    pf_record *r = g->r;
    pf_text *c = &r->chosen, *j = &r->rejected;
    size_t n = 0;
    while (n < c->n_msg && n < j->n_msg &&
           pf_message_eq(&c->msg[n], &j->msg[n]))
        n++;
    if (n == 0)
        return reject(g, PF_REASON_PROMPT_MISMATCH, "rejected");
    r->prompt = (pf_text){.present = true, .is_messages = true,
                          .msg = c->msg, .n_msg = n};
    c->msg += n;
    c->n_msg -= n;
    j->msg += n;
    j->n_msg -= n;
    return 1;
}

static int read_pair(const reading *g, const pf_jval *f)
{
    pf_record *r = g->r;
    r->kind = PF_RECORD_PAIR;
    int rc = need_text(g, &r->chosen, f[F_CHOSEN], "chosen");
    if (rc == 1)
        rc = need_text(g, &r->rejected, f[F_REJECTED], "rejected");
    if (rc != 1)
        return rc;
    if (r->rejected.is_messages != r->chosen.is_messages)
        return reject(g, PF_REASON_WRONG_TYPE, "rejected");
    pf_json_type t = pf_jtype(f[F_PROMPT]);
    if (r->chosen.is_messages && t != PF_JSON_ARRAY) {
        if (has(&f[F_PROMPT]) && t != PF_JSON_STRING)
            return reject(g, PF_REASON_WRONG_TYPE, "prompt");
        return split_common(g);
    }
    rc = need_text(g, &r->prompt, f[F_PROMPT], "prompt");
    if (rc != 1)
        return rc;
    if (r->prompt.is_messages != r->chosen.is_messages)
        return reject(g, PF_REASON_WRONG_TYPE, "prompt");
    return 1;
}

static int read_completion(const reading *g, const pf_jval *f)
{
    pf_record *r = g->r;
    r->kind = PF_RECORD_SEQ;
    int rc = need_text(g, &r->prompt, f[F_PROMPT], "prompt");
    if (rc == 1)
        rc = need_text(g, &r->completion, f[F_COMPLETION], "completion");
    if (rc == 1 && r->prompt.is_messages != r->completion.is_messages)
        return reject(g, PF_REASON_WRONG_TYPE, "completion");
    if (rc != 1 || !has(&f[F_LABEL]))
        return rc;
    r->kind = PF_RECORD_UNPAIRED;
    pf_json_type t = pf_jtype(f[F_LABEL]);
    if (t != PF_JSON_TRUE && t != PF_JSON_FALSE)
        return reject(g, PF_REASON_WRONG_TYPE, "label");
    r->label = t == PF_JSON_TRUE;
    return 1;
}

static int read_segments(const reading *g, pf_jval v)
{
    pf_record *r = g->r;
    r->kind = PF_RECORD_SEQ;
    if (pf_jtype(v) != PF_JSON_ARRAY)
        return reject(g, PF_REASON_WRONG_TYPE, "segments");
    r->n_segment = pf_jcount(v);
    r->segment = pf_arena_calloc(g->a, r->n_segment, sizeof *r->segment);
    if (!r->segment)
        return pf_err_nomem(g->e);
    pf_jiter it = pf_jiter_of(v);
    for (size_t i = 0; pf_jiter_next(&it); i++) {
        pf_jval text = pf_jget(it.value, "text");
        pf_jval loss = pf_jget(it.value, "loss");
        pf_json_type t = pf_jtype(loss);
        if (pf_jtype(text) != PF_JSON_STRING ||
            (t != PF_JSON_TRUE && t != PF_JSON_FALSE))
            return reject(g, PF_REASON_WRONG_TYPE, "segments");
        int rc = keep_string(&r->segment[i].text, text, g->a, g->e);
        if (rc < 0)
            return rc;
        r->segment[i].loss = t == PF_JSON_TRUE;
    }
    return 1;
}

static int read_messages(const reading *g, pf_jval v)
{
    pf_record *r = g->r;
    r->kind = PF_RECORD_SEQ;
    int rc = need_text(g, &r->messages, v, "messages");
    if (rc == 1 && !r->messages.is_messages)
        return reject(g, PF_REASON_WRONG_TYPE, "messages");
    return rc;
}

/* _src and the optional fields, kept as raw JSON. */
static int read_extras(const reading *g, const pf_jval *f)
{
    pf_record *r = g->r;
    pf_slice *const raw[] = {&r->id, &r->source, &r->score_chosen,
                             &r->score_rejected, &r->tools,
                             &r->chat_template_kwargs, &r->meta};
    static const int field[] = {F_ID, F_SOURCE, F_SCORE_CHOSEN,
                                F_SCORE_REJECTED, F_TOOLS, F_KWARGS, F_META};
    for (size_t i = 0; i < PF_COUNTOF(raw); i++)
        if (has(&f[field[i]]))
            *raw[i] = pf_jraw(f[field[i]]);
    if (pf_jtype(f[F_SRC]) != PF_JSON_NONE &&
        !pf_src_parse(pf_jstr(f[F_SRC]), &r->src))
        return reject(g, PF_REASON_WRONG_TYPE, "_src");
    return 1;
}

int pf_record_of_json(pf_record *r, pf_jval obj, pf_arena *a, pf_reason *why,
                      const char **where, pf_err *e)
{
    *r = (pf_record){0};
    *where = NULL;
    reading g = {r, a, why, where, e};
    if (pf_jtype(obj) != PF_JSON_OBJECT)
        return reject(&g, PF_REASON_NOT_AN_OBJECT, NULL);
    pf_jval f[N_FIELDS] = {{NULL, 0}};
    find_fields(obj, f);
    int rc = read_extras(&g, f);
    if (rc != 1)
        return rc;
    if (has(&f[F_PROMPT_IDS]) || has(&f[F_CHOSEN_IDS]))
        return read_ids_record(&g, f);
    if (has(&f[F_CHOSEN]) || has(&f[F_REJECTED]))
        return read_pair(&g, f);
    if (has(&f[F_COMPLETION]))
        return read_completion(&g, f);
    if (has(&f[F_SEGMENTS]))
        return read_segments(&g, f[F_SEGMENTS]);
    if (has(&f[F_MESSAGES]))
        return read_messages(&g, f[F_MESSAGES]);
    r->kind = PF_RECORD_PROMPT;
    return need_text(&g, &r->prompt, f[F_PROMPT], "prompt");
}
