/* SPDX-License-Identifier: MIT
 *
 * Record -> one JSON object. Strings are copied as they stood in the source
 * where that is what the JSON writer would give, which saves the escaping. */
#include "data/record.h"

/* A member whose value is raw with `quote` bytes of '"' around it, in one
 * piece: most of a record is written here. */
static void member(pf_buf *out, const char *name, pf_slice raw, size_t quote)
{
    size_t n = strlen(name);
    if (!pf_buf_reserve(out, n + raw.n + 6))
        return;
    char *p = out->p + out->n;
    if (p[-1] != '{')
        *p++ = ',';
    *p++ = '"';
    memcpy(p, name, n);
    p += n;
    *p++ = '"';
    *p++ = ':';
    *p = '"';
    p += quote;
    memcpy(p, raw.p, raw.n);
    p += raw.n;
    *p = '"';
    p += quote;
    *p = 0;
    out->n = (size_t)(p - out->p);
}

static void key(pf_buf *out, const char *name)
{
    member(out, name, PF_LIT(""), 0);
}

static void put_raw(pf_buf *out, const char *name, pf_slice raw)
{
    if (raw.p)
        member(out, name, raw, 0);
}

static void put_text(pf_buf *out, const char *name, const pf_text *t)
{
    if (!t->present)
        return;
    if (t->raw.p) {
        member(out, name, t->raw, 1);
        return;
    }
    key(out, name);
    if (t->is_messages) {
        for (size_t i = 0; i < t->n_msg; i++) {
            pf_buf_char(out, i ? ',' : '[');
            pf_buf_add(out, t->msg[i].json.p, t->msg[i].json.n);
        }
        pf_buf_str(out, t->n_msg ? "]" : "[]");
    } else {
        pf_json_quote(out, t->text);
    }
}

static void put_ids(pf_buf *out, const char *name, const pf_ids *ids)
{
    key(out, name);
    pf_jw w = {.out = out};
    pf_jw_arr(&w);
    for (size_t i = 0; i < ids->n; i++)
        pf_jw_u64(&w, ids->id[i]);
    pf_jw_end(&w, ']');
}

static void put_f64(pf_buf *out, const char *name, double v)
{
    char text[32];
    int n = pf_f64_text(v, text);
    key(out, name);
    pf_buf_add(out, text, (size_t)n);
}

static void put_segments(pf_buf *out, const pf_record *r)
{
    key(out, "segments");
    pf_jw w = {.out = out};
    pf_jw_arr(&w);
    for (size_t i = 0; i < r->n_segment; i++) {
        pf_jw_obj(&w);
        pf_jw_key(&w, "text");
        pf_jw_str(&w, r->segment[i].text);
        pf_jw_key(&w, "loss");
        pf_jw_bool(&w, r->segment[i].loss);
        pf_jw_end(&w, '}');
    }
    pf_jw_end(&w, ']');
}

void pf_record_to_json(const pf_record *r, pf_buf *out)
{
    pf_buf_char(out, '{');
    if (pf_buf_failed(out))
        return;
    if (r->src.known) {
        char text[40];
        int n = pf_src_text(r->src, text);
        member(out, "_src", (pf_slice){text, (size_t)n}, 1);
    }
    put_raw(out, "id", r->id);
    put_raw(out, "source", r->source);
    put_text(out, "prompt", &r->prompt);
    put_text(out, "chosen", &r->chosen);
    put_text(out, "rejected", &r->rejected);
    put_text(out, "completion", &r->completion);
    if (r->kind == PF_RECORD_UNPAIRED)
        put_raw(out, "label", r->label ? PF_LIT("true") : PF_LIT("false"));
    if (r->segment)
        put_segments(out, r);
    put_text(out, "messages", &r->messages);
    if (r->kind == PF_RECORD_IDS) {
        put_ids(out, "prompt_ids", &r->prompt_ids);
        put_ids(out, "chosen_ids", &r->chosen_ids);
        put_ids(out, "rejected_ids", &r->rejected_ids);
        if (r->has_ref) {
            put_f64(out, "ref_chosen_logps", r->ref_chosen);
            put_f64(out, "ref_rejected_logps", r->ref_rejected);
        }
    }
    put_raw(out, "score_chosen", r->score_chosen);
    put_raw(out, "score_rejected", r->score_rejected);
    put_raw(out, "tools", r->tools);
    put_raw(out, "chat_template_kwargs", r->chat_template_kwargs);
    put_raw(out, "meta", r->meta);
    pf_buf_char(out, '}');
}
