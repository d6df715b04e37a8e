/* SPDX-License-Identifier: MIT
 *
 * TRL's columns, which are those of our own records (docs/formats/record.md):
 * prompt, chosen, rejected as strings or message lists, conversations whose
 * common beginning is the prompt, prompt + completion [+ label], messages,
 * segments, token ids. Two strings without a prompt are not split here: at a
 * common prefix of characters words end up on the wrong side. */
#include "formats/registry.h"

static bool is_text(pf_jval v)
{
    pf_json_type t = pf_jtype(v);
    return t == PF_JSON_STRING || t == PF_JSON_ARRAY;
}

static int probe(pf_jval v)
{
    pf_jval c = pf_jget(v, "chosen"), j = pf_jget(v, "rejected");
    bool prompt = is_text(pf_jget(v, "prompt"));
    if (is_text(c) && is_text(j))
        return prompt || pf_jtype(c) == PF_JSON_ARRAY ? 90 : 0;
    if (pf_jtype(pf_jget(v, "prompt_ids")) == PF_JSON_ARRAY ||
        (prompt && is_text(pf_jget(v, "completion"))) ||
        pf_jtype(pf_jget(v, "messages")) == PF_JSON_ARRAY ||
        pf_jtype(pf_jget(v, "segments")) == PF_JSON_ARRAY)
        return 90;
    return prompt ? 20 : 0;
}

static int convert(pf_record *r, pf_jval line, pf_arena *a, pf_reason *why,
                   const char **where, pf_err *e)
{
    int rc = pf_record_of_json(r, line, a, why, where, e);
    if (rc != 1)
        return rc;
    *why = pf_record_check(r, where);
    return *why ? 2 : 1;
}

const pf_format pf_format_trl = {
    .name = "trl",
    .about = "TRL columns and prefkit records: prompt, chosen, rejected ...",
    .probe = probe,
    .convert = convert,
};
